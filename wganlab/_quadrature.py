"""Integrals over an interval, which may be infinite, that say when they are not known."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
from scipy.integrate import quad_vec
from scipy.optimize import brentq

from ._arrays import as_float64
from .errors import InputError, SolverError

LARGEST = 1e15  # above, an adaptive rule cannot tell a large integral from an infinite one
TOLERANCE = 1e-9  # relative to the largest component, or to 1 if that is larger
Function = Callable[[float], float]
Interval = tuple[float, float]


def interval(support: Interval) -> Interval:
    """``support`` as floats (low, high); raises ``InputError`` unless low < high."""
    with suppress(ValueError):  # no vector of numbers, or not of two
        low, high = as_float64(support, "support", 1, finite=False).tolist()
        if low < high:
            return low, high
    raise InputError(f"'support' must be an interval (low, high) with low < high, got {support}.")


def value_at(function: Function, name: str, x: float, what: str = "") -> float:
    """function(x) as a float, finite unless ``what`` says what it is; ``InputError`` if it is none."""
    try:
        value = function(x)
        is_float = isinstance(value, float) and (bool(what) or math.isfinite(value))
        return value if is_float else float(as_float64(value, name, 0, finite=not what))
    except (TypeError, ValueError, ArithmeticError) as error:  # InputError is a ValueError
        raise InputError(
            f"'{name}' must be a function that maps a float to {what or 'a finite number'}, "
            f"but at {x:g}: {error}"
        ) from error


def sign_changes(function: Function, low: float, high: float) -> list[float]:
    """Where a function changes its sign between 400 places, by Brent's method: there its modulus has a kink.

    >>> sign_changes(lambda x: x - 2, 0.0, math.inf)
    [2.0]
    """
    ends = (min(max(end, -LARGEST), LARGEST) for end in (low, high))
    grid = [x for x in np.sinh(np.linspace(*map(math.asinh, ends), 401)).tolist() if low < x < high]
    changes = np.flatnonzero(np.diff([function(x) > 0 for x in grid]))
    return [brentq(function, grid[k], grid[k + 1], xtol=1e-300, rtol=1e-15, maxiter=3000) for k in changes]


def integral(function: Callable, low: float, high: float, *, points: Sequence[float] = ()) -> np.ndarray:
    r""":math:`\int_{low}^{high} g(x)\,dx` of a function g with values (k,), by adaptive Gauss-Kronrod.

    The ends may be infinite. A thin peak far from 0 may be missed: integrate along with g something
    whose integral is known, such as a density, or name ``points`` in it. Raises ``SolverError`` if the error
    bound stays above 1e-9, if the value or a point exceeds 1e15, or if x g(x) does not vanish at an infinite
    end.

    >>> import numpy as np
    >>> round(float(integral(lambda x: np.array([math.exp(-x)]), 0.0, math.inf)[0]), 12)
    1.0
    """
    places = [sign * k * 10.0**n for sign in (-1, 1) for n in range(-3, 5) for k in (1, 2, 5)]
    if math.isfinite(low) and math.isfinite(high):
        places = np.linspace(low, high, 33).tolist()
    near = np.clip(points, -LARGEST, LARGEST).tolist()  # the others are refused below
    inside = sorted({place for place in (*places, *near) if low < place < high})
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite integral, checked below
        values, error = quad_vec(function, low, high, 1e-11, 1e-11, norm="max", limit=2000, points=inside)
        far = [math.copysign(1e30, end) for end in (low, high) if math.isinf(end)]
        tail = max((np.abs(x * function(x)).max() for x in far), default=0.0)
    largest, farthest = np.abs(values).max(), max(map(abs, points), default=0.0)
    known = error <= TOLERANCE * max(1.0, largest) and tail <= TOLERANCE
    if not (known and largest <= LARGEST and farthest <= LARGEST):
        raise SolverError(
            f"An integral over ({low:g}, {high:g}) is not known to {TOLERANCE:.0e}: it is infinite, or it "
            f"has peaks or tails that a narrower support would resolve."
        )
    return values
