"""Exact transport on the real line, where sorting is enough."""

import math
import sys

import numpy as np
from numpy.typing import ArrayLike

from .._arrays import as_float64, check_overflow, like_input
from ..errors import InputError
from .exact import Masses, as_masses, as_power


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
