"""What needs no solver: the line, where sorting is enough, the mean over many lines, and normal laws.

Source: Peyré & Cuturi 2019, chapter 2.
"""

import math
import sys
from numbers import Integral, Number

import numpy as np
import torch
from numpy.typing import ArrayLike

from .._arrays import as_float64, check_overflow, like_input, power_of_two_scale
from ..errors import InputError
from .exact import Masses, as_clouds, as_masses, as_power

Randomness = np.random.Generator | torch.Generator | int | None


def wasserstein_1d(x: ArrayLike, y: ArrayLike, a: Masses = None, b: Masses = None, *, p: float = 1) -> float:
    r""":math:`W_p = (\int_0^1 |F^{-1}(u) - G^{-1}(u)|^p du)^{1/p}` between laws on the line.

    x (n,) and y (m,) need not be sorted or of one length; ``p=math.inf`` gives the largest
    displacement. Masses default to 1/n and 1/m, and are divided by their total; a share below
    4e-15 of it counts as rounding. Raises ``InputError`` for bad shapes, values or masses, unequal
    totals, and p < 1.
    Cost: a sort. Source: Peyré & Cuturi 2019, chapter 2.

    >>> wasserstein_1d([0.0, 1.0], [5.0, 6.0])
    5.0
    """
    x, y = as_float64(x, "x", 1), as_float64(y, "y", 1)
    a, b = as_masses(a, b, len(x), len(y))
    p = as_power(p, infinite=True)
    i, j = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    levels_x, levels_y = distribution_function(a[i]), distribution_function(b[j])
    u = np.sort(np.concatenate([levels_x, levels_y]))  # F^-1 and G^-1 are constant in between
    mass = np.diff(u, prepend=0.0)
    kept = mass > 16 * sys.float_info.epsilon  # less is rounding, as in 0.1 + 0.2 - 0.3, not mass
    x_u = x[i][np.searchsorted(levels_x, u[kept])]
    y_u = y[j][np.searchsorted(levels_y, u[kept])]
    with np.errstate(over="ignore"):  # checked below
        moved = np.abs(x_u - y_u)
    longest = moved.max()
    check_overflow("The distances overflow float64. Scale the points down.", longest)
    if 0 < longest < sys.float_info.min:
        raise InputError("The distances underflow float64. Scale the points up.")
    if p == math.inf or longest == 0:
        return float(longest)
    # in units of the longest way, so that powers neither overflow nor vanish
    return float(longest * np.sum(mass[kept] * (moved / longest) ** p) ** (1 / p))


def distribution_function(masses: np.ndarray) -> np.ndarray:
    """Cumulative shares of the total, increasing, the last exactly 1; summed in extended precision."""
    levels = np.cumsum(masses, dtype=np.longdouble)
    return (levels / levels[-1]).astype(np.float64)


def cumulative_flow(P: ArrayLike, Q: ArrayLike) -> ArrayLike:
    r""":math:`\delta_0 = 0,\ \delta_i = \delta_{i-1} + P_i - Q_i`: what crosses from pile i to i+1.

    For masses P and Q (n,) on points one unit apart, :math:`W_1 = \sum_i|\delta_i|`. Shape of the
    result: (n + 1,), its last entry 0. Raises ``InputError`` for masses that are negative, of
    different number or of unequal totals.

    >>> cumulative_flow([3, 2, 1, 4], [1, 2, 4, 3]).tolist()
    [0.0, 2.0, 2.0, -1.0, 0.0]
    """
    n = len(as_float64(P, "P", 1))
    p, q = as_masses(P, Q, n, n, names="PQ")
    flow = np.concatenate([[0.0], np.cumsum(p - q)])
    flow[-1] = 0.0
    return like_input(flow, P)


def directions(projections: int | ArrayLike, d: int, rng: Randomness) -> np.ndarray:
    """Unit vectors (k, d): k uniform ones, or the given rows, normalised."""
    if isinstance(projections, Number):
        if not (isinstance(projections, Integral) and projections >= 1):
            raise InputError(f"'projections' must be a number >= 1 or rows (k, {d}), got {projections}.")
        if isinstance(rng, torch.Generator):  # as samplers take
            rng = int(torch.randint(2**62, (), generator=rng, device=rng.device))
        try:
            rng = np.random.default_rng(0 if rng is None else rng)
        except (TypeError, ValueError):
            rule = "'rng' must be a generator of numpy or torch or a seed >= 0"
            raise InputError(f"{rule}, got {rng!r}.") from None
        rows = rng.normal(size=(int(projections), d))
    else:
        rows = as_float64(projections, "projections", 2)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if rows.shape[1] != d or not (largest > 0).all():
        raise InputError(f"'projections' must be non-zero rows of length {d}, got shape {rows.shape}.")
    rows = rows / largest  # so that no square leaves float64
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sliced_wasserstein(
    x: ArrayLike,
    y: ArrayLike,
    a: Masses = None,
    b: Masses = None,
    *,
    p: float = 1,
    projections: int | ArrayLike = 100,
    rng: Randomness = None,
) -> float:
    r""":math:`SW_p = (\mathbb E_\theta W_p^p(\langle x,\theta\rangle, \langle y,\theta\rangle))^{1/p}`.

    Points x (n, d), y (m, d), masses (n,), (m,) as in ``wasserstein_1d``. The mean runs over
    ``projections`` random unit vectors, or over the rows (k, d) that are handed in. Without ``rng``, a
    generator or a seed, the vectors are the same at each call, so that a value is a function of its
    arguments. At most :math:`W_p`. Raises ``InputError`` as ``emd`` does, and for rows and an ``rng`` that
    are none.
    Source: Bonneel et al. 2015.

    >>> sliced_wasserstein([[0.0, 0.0]], [[3.0, 4.0]], projections=[[1.0, 0.0], [0.0, 1.0]])
    3.5
    """
    points, others = as_clouds(x, y)
    p, rows = as_power(p), directions(projections, points.shape[1], rng)
    values = []
    for row in rows:
        with np.errstate(over="ignore", invalid="ignore"):  # checked in the next line
            shadows = points @ row, others @ row
        check_overflow("The projections overflow float64. Scale the points down.", *shadows)
        values.append(wasserstein_1d(*shadows, a, b, p=p))
    values = np.array(values)
    largest = values.max()
    return float(largest * np.mean((values / largest) ** p) ** (1 / p)) if largest > 0 else 0.0


def gaussian_w2(mean_p: ArrayLike, cov_p: ArrayLike, mean_q: ArrayLike, cov_q: ArrayLike) -> float:
    r""":math:`W_2 = (\|m_p - m_q\|^2 + \mathrm{tr}(C_p + C_q - 2(C_p^{1/2} C_q C_p^{1/2})^{1/2}))^{1/2}`.

    Means (d,), covariances (d, d), singular ones too; numbers for d = 1, where a covariance is a
    variance. The distance, not its square. Raises ``InputError`` for shapes that do not fit, values
    that are not finite, and matrices that are no covariances, by more than 1e-6 of the largest entry.
    Source: Dowson & Landau 1982; Peyré & Cuturi 2019, chapter 2.

    >>> gaussian_w2([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], [3.0, 4.0], [[1.0, 0.0], [0.0, 1.0]])
    5.0
    >>> gaussian_w2(0.0, 1.0, 0.0, 4.0)  # standard deviations 1 and 2
    1.0
    """
    distance = math.hypot(*w2_parts(mean_p, cov_p, mean_q, cov_q))
    check_overflow("The distance overflows float64. Scale the means and covariances down.", distance)
    return distance


def w2_parts(mean_p, cov_p, mean_q, cov_q) -> tuple[float, float]:
    r"""The two legs of W2: :math:`\|m_p - m_q\|` and the distance of the centred normals.

    The second is :math:`\min_U \|C_p^{1/2} - C_q^{1/2} U\|` over orthogonal U, the trace formula without its
    cancellation: 0 comes out as 0.
    """
    means = [np.atleast_1d(as_float64(m, name, None)) for m, name in ((mean_p, "mean_p"), (mean_q, "mean_q"))]
    covs = [np.atleast_2d(as_float64(c, name, None)) for c, name in ((cov_p, "cov_p"), (cov_q, "cov_q"))]
    d = means[0].shape[-1]
    if [m.shape for m in means] != [(d,)] * 2 or [c.shape for c in covs] != [(d, d)] * 2:
        rule = f"Normal laws need means of one shape (d,) and covariances (d, d), got {means[0].shape},"
        raise InputError(f"{rule} {covs[0].shape}, {means[1].shape}, {covs[1].shape}.")
    root_p, root_q = (symmetric_root(c, name) for c, name in zip(covs, ("cov_p", "cov_q"), strict=True))
    left, _, right = np.linalg.svd(root_q.T @ (root_p / power_of_two_scale(root_p)))  # without overflow
    with np.errstate(over="ignore"):  # the caller looks at what comes out
        shift, spread = means[0] - means[1], np.linalg.norm(root_p - root_q @ left @ right)
    return math.hypot(*shift), float(spread)


def symmetric_root(cov: np.ndarray, name: str) -> np.ndarray:
    """The symmetric square root of a covariance; raises ``InputError`` if it is not one."""
    half = (math.frexp(np.abs(cov).max())[1] - 1) // 2
    unit = math.ldexp(1.0, 2 * half)  # a power of 4 near the largest entry: dividing by it loses no digit
    cov = cov / unit  # so that no sum overflows
    rounding = 1e-6 * np.abs(cov).max()
    values, vectors = np.linalg.eigh((cov + cov.T) / 2)
    if np.abs(cov - cov.T).max() > rounding or values.min() < -rounding:
        rule = f"'{name}' must be a covariance, so symmetric and without negative eigenvalues; the"
        raise InputError(f"{rule} smallest one is {values.min() * unit:.3g}. Use np.cov(x, rowvar=False).")
    return vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T * math.sqrt(unit)
