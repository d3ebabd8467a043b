"""W2 between normal laws, in closed form."""

import math

import numpy as np
from numpy.typing import ArrayLike

from .._arrays import as_float64, check_overflow, power_of_two_scale
from ..errors import InputError


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
        raise InputError(
            f"Normal laws need means of one shape (d,) and covariances (d, d), got {means[0].shape}, "
            f"{covs[0].shape}, {means[1].shape}, {covs[1].shape}."
        )
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
        raise InputError(
            f"'{name}' must be a covariance, so symmetric and without negative eigenvalues; the "
            f"smallest one is {values.min() * unit:.3g}. Use np.cov(x, rowvar=False)."
        )
    return vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T * math.sqrt(unit)
