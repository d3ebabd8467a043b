"""Transport of one-dimensional shadows, for what is too large or too high-dimensional."""

from numbers import Integral, Number

import numpy as np
import torch
from numpy.typing import ArrayLike

from .._arrays import as_float64, check_overflow
from ..errors import InputError
from .exact import Masses, as_clouds, as_power
from .line import wasserstein_1d

Randomness = np.random.Generator | torch.Generator | int | None


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
            raise InputError(
                f"'rng' must be a generator of numpy or torch or a seed >= 0, got {rng!r}."
            ) from None
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
