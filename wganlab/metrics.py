"""How close fakes are to real data: exact W1 with its floor, modes, and Fréchet distance."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from . import data
from .arrays import as_float64
from .errors import InputError
from .transport.exact import emd
from .transport.normals import legs_of_w2


class ExactW1(NamedTuple):
    """``w1`` between real and fake, and ``floor``, the same between two real samples."""

    w1: float
    floor: float


def exact_w1(real: ArrayLike, other_real: ArrayLike, fake: ArrayLike) -> ExactW1:
    r"""Exact W1 between n real and n fake rows, beside W1 between two real samples of that size.

    W1 between samples is above 0 even for one and the same law, so a number is judged against
    its floor. Rows (n, ...) are flattened; the ground distance is Euclidean. Raises ``InputError``
    for different shapes, and as ``transport.emd`` does. Cost: two transport problems.

    >>> real, fake = [[0.0], [1.0]], [[2.0], [3.0]]
    >>> exact_w1(real, real, fake)
    ExactW1(w1=2.0, floor=0.0)
    """
    samples = {"real": real, "other_real": other_real, "fake": fake}
    rows = [as_float64(sample, name, None) for name, sample in samples.items()]
    if len({row.shape for row in rows}) > 1 or rows[0].ndim < 2:
        raise InputError(
            f"exact_w1 needs three samples of one shape (n, ...), got "
            f"{', '.join(str(row.shape) for row in rows)}."
        )
    real, other_real, fake = (row.reshape(len(row), -1) for row in rows)
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
    if points.shape[1] != middles.shape[1] or not radius > 0:
        raise InputError(
            f"mode_coverage needs points and centres of one dimension and a radius > 0, got "
            f"{points.shape[1]}, {middles.shape[1]} and {radius}."
        )
    distance = np.linalg.norm(points[:, None] - middles, axis=2)
    near = distance.min(axis=1) <= radius
    return Coverage(len(set(distance.argmin(axis=1)[near].tolist())), float(near.mean()))


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
    shift, spread = legs_of_w2(mean_p, cov_p, mean_q, cov_q)
    distance = shift * shift + spread * spread
    if not math.isfinite(distance):
        raise InputError("The distance overflows float64. Scale the means and covariances down.")
    return distance


def digit_classifier() -> nn.Sequential:
    """A small convolutional classifier of 28x28 digits, (m, 1, 28, 28) to logits (m, 10).

    The 64 numbers before its last layer are the features that ``digit_score`` compares.
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
    arrays = data.run("digit_features").arrays
    net.load_state_dict({name: torch.from_numpy(weight).float() for name, weight in arrays.items()})
    return net.requires_grad_(False).eval()


def digit_score(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance between 64 features of real and fake digits, each (n, 1, 28, 28) in [-1, 1].

    0 for the same pictures; 1,000 other real digits set the floor. It is FID's formula on the features
    of a small classifier of this project: not comparable with any published FID. Raises
    ``InputError`` for other shapes or fewer than 128 pictures, from which a 64 x 64 covariance
    cannot be estimated.
    """
    for name, x in (("real", real), ("fake", fake)):
        if x.ndim != 4 or x.shape[1:] != (1, 28, 28) or len(x) < 128:
            raise InputError(
                f"digit_score needs '{name}' of shape (n, 1, 28, 28) with n >= 128, got {tuple(x.shape)}."
            )
    moments = []
    for x in (real, fake):
        features = trained_digit_classifier()[:-1](x.detach().cpu().float()).double().numpy()
        moments += [features.mean(0), np.cov(features, rowvar=False)]
    return frechet_distance(*moments)
