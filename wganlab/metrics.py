"""How close fakes are to real data: exact W1 with its floor, modes, Fréchet distance, the papers' scores."""

from collections.abc import Callable
from functools import cache
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from scipy.special import rel_entr, softmax
from torch import Tensor, nn

from . import data
from ._arrays import as_float64, as_number, as_rows, check_overflow, power_of_two_scale, total
from .errors import InputError
from .transport.exact import emd
from .transport.special_cases import w2_parts

__all__ = ["Coverage", "ExactW1", "exact_w1", "mode_coverage"]
__all__ += ["PrincipalFrechet", "frechet_distance", "principal_frechet"]
__all__ += ["digit_classifier", "digit_features", "digit_probabilities", "digit_score"]
__all__ += ["PrecisionRecall", "inception_score", "mmd", "precision_recall", "trained_digit_classifier"]


class ExactW1(NamedTuple):
    """``w1`` between real and fake, and ``floor``, the same between two real samples."""

    w1: float
    floor: float


def three_samples(real: ArrayLike, other_real: ArrayLike, fake: ArrayLike) -> list[np.ndarray]:
    """Each sample (n, ...) as n flat rows; raises ``InputError`` for different shapes."""
    samples = {"real": real, "other_real": other_real, "fake": fake}
    rows = [as_float64(sample, name, None) for name, sample in samples.items()]
    shapes = [row.shape for row in rows]
    if len(set(shapes)) > 1 or rows[0].ndim < 2:
        found = ", ".join(map(str, shapes))
        raise InputError(f"A distance with its floor needs three samples of one shape (n, ...), got {found}.")
    return [row.reshape(len(row), -1) for row in rows]


def exact_w1(real: ArrayLike, other_real: ArrayLike, fake: ArrayLike) -> ExactW1:
    r"""Exact W1 between n real and n fake rows, beside W1 between two real samples of that size.

    W1 between samples is above 0 even for one and the same law, so a number is judged against
    its floor. Rows (n, ...) are flattened; the ground distance is Euclidean. Raises ``InputError``
    for different shapes, and as ``transport.emd`` does. Cost: two transport problems.

    >>> real, fake = [[0.0], [1.0]], [[2.0], [3.0]]
    >>> exact_w1(real, real, fake)
    ExactW1(w1=2.0, floor=0.0)
    """
    real, other_real, fake = three_samples(real, other_real, fake)
    return ExactW1(emd(real, fake).distance, emd(real, other_real).distance)


class Coverage(NamedTuple):
    """``modes``: how many centres have a point nearby; ``share``: of points near a centre."""

    modes: int
    share: float


def mode_coverage(x: ArrayLike, centres: ArrayLike, radius: float) -> Coverage:
    """Modes that at least one point of x (n, d) lies within ``radius`` of, and the share that do.

    Each point counts for its nearest row of ``centres`` (k, d). Raises ``InputError`` for points of
    another dimension and a radius that is not positive.

    >>> mode_coverage([[0.1], [0.2], [5.0]], [[0.0], [1.0]], radius=0.5)
    Coverage(modes=1, share=0.6666666666666666)
    """
    points, middles = as_float64(x, "x", 2), as_float64(centres, "centres", 2)
    radius = as_number(radius, "radius")
    if points.shape[1] != middles.shape[1] or not radius > 0:
        rule = "mode_coverage needs points and centres of one dimension and a radius > 0,"
        raise InputError(f"{rule} got {points.shape[1]}, {middles.shape[1]} and {radius}.")
    points, middles, unit = scaled(points, middles)
    distance = cdist(points, middles)
    near = distance.min(axis=1) <= radius / unit
    return Coverage(len(set(distance.argmin(axis=1)[near].tolist())), float(near.mean()))


def scaled(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Rows x and y in units of a power of 2, in which squares of differences fit into float64; the unit.

    Raises ``InputError`` where entries differ by less than 1e-150 of the largest, so that they do even then.
    """
    unit = power_of_two_scale(x, y)
    x, y = x / unit, y / unit
    gaps = np.diff(np.sort(np.concatenate([x, y]), axis=0), axis=0)
    if ((gaps > 0) & (gaps < 1e-150)).any():
        rule = "Distances between rows need entries that differ by more than 1e-150 of the largest one,"
        raise InputError(f"{rule} which is about {unit:.3g}. Leave out the rows that lie far away.")
    return x, y, unit


def frechet_distance(mean_p: ArrayLike, cov_p: ArrayLike, mean_q: ArrayLike, cov_q: ArrayLike) -> float:
    r""":math:`\|m_p - m_q\|^2 + \mathrm{tr}(C_p + C_q - 2(C_p C_q)^{1/2})`: squared, as in FID.

    It is the square of W2 between the normals with these means (d,) and covariances (d, d).
    Raises ``InputError`` for shapes that do not fit, values that are not finite, matrices that are no
    covariances, and a distance that overflows float64.
    Source: Dowson & Landau 1982; Heusel et al. 2017, equation 6.

    >>> import numpy as np
    >>> round(frechet_distance([0.0, 0.0], np.eye(2), [1.0, 2.0], 4 * np.eye(2)), 12)  # 5 + 2 (2 - 1)^2
    7.0
    """
    shift, spread = w2_parts(mean_p, cov_p, mean_q, cov_q)
    distance = shift * shift + spread * spread
    check_overflow("The distance overflows float64. Scale the means and covariances down.", distance)
    return distance


class PrincipalFrechet(NamedTuple):
    """``distance`` between real and fake, and ``floor``, the same between two real samples."""

    distance: float
    floor: float


def principal_frechet(
    real: ArrayLike, other_real: ArrayLike, fake: ArrayLike, *, components: int = 64
) -> PrincipalFrechet:
    r"""Fréchet distance on the first principal components of real rows, beside that of two real samples.

    Rows (n, ...) are flattened and centred, then projected onto the ``components`` directions along which the
    first 1,000 rows of both real samples together vary most. It is FID's formula on pixels, without a
    network: it sees colours and coarse shapes, and is not comparable with any FID. Raises ``InputError`` for
    different shapes and for fewer than two rows a component, or fewer columns than components.

    >>> import numpy as np
    >>> square = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> found = principal_frechet(square, square, square + [3.0, 4.0], components=2)
    >>> round(found.distance, 12), round(found.floor, 12)
    (25.0, 0.0)
    """
    rows = three_samples(real, other_real, fake)
    n, d = rows[0].shape
    if not (isinstance(components, Integral) and 1 <= components <= min(n // 2, d)):
        rule = "principal_frechet needs samples with two rows and one column a component,"
        raise InputError(f"{rule} and one component or more, got ({n}, {d}) and components = {components}.")
    reals = np.concatenate([x[:1000] for x in rows[:2]])
    centre = reals.mean(0)
    axes = principal_axes(reals - centre, components)
    p, q, fakes = (moments((x - centre) @ axes) for x in rows)
    return PrincipalFrechet(frechet_distance(*p, *fakes), frechet_distance(*p, *q))


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) of rows (n, d)."""
    return x.mean(0), np.cov(x, rowvar=False)


def principal_axes(x: np.ndarray, k: int) -> np.ndarray:
    """The k orthonormal directions (d, k) along which centred rows x (n, d) vary most.

    From the smaller of the two products of x with itself: their eigenvectors are the singular vectors of x.
    """
    if x.shape[1] <= x.shape[0]:
        return np.linalg.eigh(x.T @ x)[1][:, -k:]
    left = np.linalg.eigh(x @ x.T)[1][:, -k:]
    return np.linalg.qr(x.T @ left)[0]


def inception_score(probabilities: ArrayLike) -> float:
    r""":math:`\exp \frac1n\sum_i KL(p(y|x_i)\,\|\,p(y))` of a classifier's answers p(y|x_i), rows of (n, k).

    p(y) is the rows' mean. Between 1, all rows alike, and k, certain rows and every class as often. It sees
    no real data: k pictures learnt by heart, one a class, have the best score. Raises ``InputError`` unless
    each row is a law of two classes or more: no entry below 0, sum 1 (to 1e-6).
    Source: Salimans et al. 2016, section 4.

    >>> inception_score([[1.0, 0.0], [0.0, 1.0]]), inception_score([[0.5, 0.5], [0.5, 0.5]])
    (2.0, 1.0)
    """
    p = as_float64(probabilities, "probabilities", 2)
    if p.shape[1] < 2:
        raise InputError(f"inception_score needs two classes or more, a column each, got shape {p.shape}.")
    off = abs(total(p, 1) - 1) > 1e-6
    if (p < 0).any() or off.any():
        bad = int(np.argmax((p < 0).any(1) | off))
        found = f"inception_score needs rows that are laws, but row {bad} has the least entry"
        raise InputError(f"{found} {p[bad].min():g} and the sum {total(p[bad]):g}. Apply a softmax first.")
    p = p / p.sum(1, keepdims=True)
    mean = np.broadcast_to(p.sum(0), p.shape)  # n times it, which would vanish where it is smallest
    return float(np.exp(rel_entr(len(p) * p, mean).sum() / len(p) ** 2))


def polynomial_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    r""":math:`(x\cdot y/d + 1)^3` for rows (n, d) and (m, d): the kernel of KID.

    Source: Binkowski et al. 2018, section 4.

    >>> polynomial_kernel(np.ones((1, 4)), np.ones((1, 4))).item()
    8.0
    """
    return (x @ y.T / x.shape[1] + 1) ** 3


def mmd(
    x: ArrayLike, y: ArrayLike, kernel: Callable[[np.ndarray, np.ndarray], np.ndarray] = polynomial_kernel
) -> float:
    r"""The unbiased estimate of MMD\ :sup:`2` from rows x (n, d) and y (m, d); of features, it is KID.

    :math:`\frac{1}{n(n-1)}\sum_{i\ne j} k(x_i, x_j) + \frac{1}{m(m-1)}\sum_{i\ne j} k(y_i, y_j) -
    \frac{2}{nm}\sum_{ij} k(x_i, y_j)`. It may be below 0, since its mean is 0 for equal laws. ``kernel`` maps
    (n, d), (m, d) to (n, m). Raises ``InputError`` for fewer than two rows, rows of unequal length, and
    a kernel that overflows. Cost: (n + m)^2 kernel values, held n^2 at a time.
    Source: Gretton et al. 2012, equation 3.

    >>> mmd([[0.0], [2.0]], [[1.0], [3.0]], lambda x, y: x @ y.T)  # the squared distance of means, less noise
    -1.0
    """
    x, y = as_float64(x, "x", 2), as_float64(y, "y", 2)
    if x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise InputError(f"mmd needs two or more rows of one length a sample, got {x.shape} and {y.shape}.")
    with np.errstate(over="ignore", invalid="ignore"):  # seen in the result
        found = -2 * kernel_values(kernel, x, y).mean()
        for sample in (x, y):
            gram = kernel_values(kernel, sample, sample)
            found += (gram.sum() - np.trace(gram)) / (len(sample) * (len(sample) - 1))
    check_overflow("The kernel's values overflow float64. Scale the rows down.", found)
    return float(found)


def kernel_values(kernel: Callable, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """kernel(x, y); raises ``InputError`` unless it is a function that gives one number a pair of rows."""
    rule = "'kernel' must map rows (n, d), (m, d) to (n, m)"
    if not callable(kernel):
        raise InputError(f"{rule}, but is {type(kernel).__name__}.")
    values = as_float64(kernel(x, y), "kernel", 2, finite=False)
    if values.shape != (len(x), len(y)):
        raise InputError(f"{rule}, but gave {values.shape} for {len(x)} and {len(y)} rows.")
    return values


class PrecisionRecall(NamedTuple):
    """``precision``: the share of fakes near real data; ``recall``: of real data near fakes."""

    precision: float
    recall: float


def precision_recall(real: ArrayLike, fake: ArrayLike, *, k: int = 3) -> PrecisionRecall:
    """Shares of points in the other sample's balls, each as wide as the way to its k-th nearest neighbour.

    Rows (n, ...) and (m, ...) are flattened; the paper takes features, not pixels. A point on a ball's
    rim is inside; neighbours are others of the same sample. Raises ``InputError`` for rows of unequal length
    and unless 1 <= k < n, m. Cost: n m distances, in blocks of 1,000 rows.
    Source: Kynkaanniemi et al. 2019, equations 1 and 2, with their k = 3.

    >>> precision_recall([[0.0], [1.0], [4.0]], [[0.5], [9.0], [9.5]], k=1)
    PrecisionRecall(precision=0.3333333333333333, recall=1.0)
    """
    real, fake = as_rows(real, "real"), as_rows(fake, "fake")
    in_range = isinstance(k, Integral) and 1 <= k < min(len(real), len(fake))
    if real.shape[1] != fake.shape[1] or not in_range:
        rule = "precision_recall needs rows of one length and 1 <= k < n in each sample,"
        raise InputError(f"{rule} got {real.shape}, {fake.shape} and k = {k}.")
    real, fake, _ = scaled(real, fake)
    return PrecisionRecall(inside(fake, real, k), inside(real, fake, k))


def inside(x: np.ndarray, sample: np.ndarray, k: int) -> float:
    """The share of rows x in the union of the balls of ``sample``."""
    hit = np.zeros(len(x), bool)
    for block in np.array_split(sample, -(-len(sample) // 1000)):
        radius = np.partition(cdist(block, sample), k, axis=1)[:, k]  # the nearest of all is the point itself
        hit |= (cdist(block, x) <= radius[:, None]).any(0)
    return float(hit.mean())


def digit_classifier() -> nn.Sequential:
    """A small convolutional classifier of 28x28 digits, (m, 1, 28, 28) to logits (m, 10).

    The 64 numbers before its last layer are ``digit_features``.
    """
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU(),
        nn.Conv2d(8, 16, 5, stride=2, padding=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 7 * 7, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip


@cache
def trained_digit_classifier() -> nn.Sequential:
    """``digit_classifier`` with the weights kept in data/runs/digit_features.npz."""
    net = digit_classifier()
    arrays = data.results("digit_features").arrays
    net.load_state_dict({name: torch.from_numpy(weight).float() for name, weight in arrays.items()})
    return net.requires_grad_(False).eval()


def digit_rows(net: nn.Module, x: Tensor) -> np.ndarray:
    """net(x) as float64 rows; raises ``InputError`` unless x are finite digits (n, 1, 28, 28), n >= 1."""
    if not torch.is_tensor(x) or x.ndim != 4 or x.shape[1:] != (1, 28, 28) or len(x) == 0:
        found = tuple(x.shape) if torch.is_tensor(x) else type(x).__name__
        raise InputError(f"Digits are a tensor (n, 1, 28, 28) with n >= 1, scaled to [-1, 1], got {found}.")
    as_float64(x, "x", 4)
    with torch.no_grad():
        return np.concatenate([net(block.cpu().float()).double().numpy() for block in x.detach().split(1000)])


def digit_features(x: Tensor) -> np.ndarray:
    """The 64 features of each digit by ``trained_digit_classifier``: (n, 1, 28, 28) in [-1, 1] to (n, 64).

    What a network of ImageNet does for FID, KID, precision and recall this one does for digits. Raises
    ``InputError`` for other shapes, no pictures, and values that are not finite.

    >>> from wganlab import data
    >>> digit_features(data.digits().x[:3]).shape
    (3, 64)
    """
    return digit_rows(trained_digit_classifier()[:-1], x)


def digit_probabilities(x: Tensor) -> np.ndarray:
    """p(y|x) of ``trained_digit_classifier`` for digits (n, 1, 28, 28) in [-1, 1], rows of (n, 10).

    For ``inception_score``. Raises ``InputError`` as ``digit_features`` does.

    >>> from wganlab import data
    >>> digit_probabilities(data.digits().x[:1]).argmax().item()  # the first digit is a 0
    0
    """
    return softmax(digit_rows(trained_digit_classifier(), x), axis=1)


def digit_score(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance between 64 features of real and fake digits, each (n, 1, 28, 28) in [-1, 1].

    0 for the same pictures; 1,000 other real digits set the floor. It is FID's formula on the features
    of a small classifier of this project: not comparable with any published FID. Raises
    ``InputError`` as ``digit_features`` does and for fewer than 128 different pictures, from which a
    64 x 64 covariance cannot be estimated. (That it is singular says nothing: some features are 0 on
    all real digits.)
    """
    found = []
    for name, x in (("real", real), ("fake", fake)):
        features = digit_features(x)
        different = len({row.tobytes() for row in x.detach().cpu().float().numpy()})
        if different < 128:
            raise InputError(
                f"digit_score estimates a 64 x 64 covariance from 128 different pictures or more, but "
                f"'{name}' has {different}. Draw more, or give known moments to frechet_distance."
            )
        found += moments(features)
    return frechet_distance(*found)
