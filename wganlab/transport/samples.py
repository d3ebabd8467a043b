"""What a finite sample does to the Wasserstein distance."""

import math
from collections.abc import Callable
from numbers import Integral
from typing import NamedTuple

import numpy as np
from torch import Generator, Tensor

from .._arrays import as_rows
from .._quadrature import Function, Interval, integral, interval, value_at
from ..errors import InputError
from .exact import emd
from .special_cases import wasserstein_1d


class SampleW1(NamedTuple):
    """``mean`` of W1 over pairs of samples, and the standard ``error`` of that mean."""

    mean: float
    error: float


def sample_w1(
    sampler: Callable[[int, Generator], Tensor], n: int, *, repeats: int = 20, rng: Generator
) -> SampleW1:
    """The mean of W1 between two independent samples of n points of one law: the floor at size n.

    ``sampler(n, rng)`` gives points (n, ...), each of which is flattened. Raises ``InputError`` for n < 1 or
    fewer than 2 repeats. Cost: that many transport problems, or sorts on the line.

    >>> import torch
    >>> flat = lambda n, rng: torch.zeros(n, 2)
    >>> sample_w1(flat, 5, rng=torch.Generator())
    SampleW1(mean=0.0, error=0.0)
    """
    if not (isinstance(n, Integral) and isinstance(repeats, Integral) and n >= 1 and repeats >= 2):
        raise InputError(f"sample_w1 needs n >= 1 points and repeats >= 2, got {n} and {repeats}.")
    values = []
    for _ in range(repeats):
        x, y = as_rows(sampler(n, rng), "sampler"), as_rows(sampler(n, rng), "sampler")
        values.append(emd(x, y).distance if x.shape[1] > 1 else wasserstein_1d(x[:, 0], y[:, 0]))
    return SampleW1(float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(repeats)))


def bridge_constant(cdf: Function, support: Interval, *, sf: Function | None = None) -> float:
    r""":math:`\sqrt{2/\pi}\int\sqrt{F(1 - F)}\,dx`, the limit of :math:`\sqrt n\,\mathbb E\,W_1(P_n, P)`.

    ``cdf`` is the distribution function F of a law P on the line, with the support (low, high), which
    may be infinite; ``sf`` is 1 - F, computed so that it does not vanish in the upper tail, where F rounds to
    1: a law without a largest point needs it. Between two independent samples of n points the limit is
    larger by the factor :math:`\sqrt 2`. Raises ``InputError`` if F or 1 - F gives no number in [0, 1], if
    they do not sum to 1, if the support leaves out mass, and if what 1 - F loses to rounding would change the
    result; ``SolverError`` where the integral diverges: heavy tails.
    Source: del Barrio, Giné & Matrán 1999.

    >>> round(bridge_constant(lambda x: x, (0.0, 1.0)), 6)  # sqrt(pi / 32)
    0.313329
    >>> exponential = bridge_constant(lambda x: -math.expm1(-x), (0, math.inf), sf=lambda x: math.exp(-x))
    >>> round(exponential, 9), round(math.sqrt(math.pi / 2), 9)
    (1.253314137, 1.253314137)
    """
    low, high = interval(support)

    def tails(x: float) -> tuple[float, float]:
        below = share(cdf, "cdf", x)
        above = 1 - below if sf is None else share(sf, "sf", x)
        if abs(below + above - 1) > 1e-9:
            raise InputError(f"'sf' must be 1 - cdf, but at {x:g} they are {above:g} and {below:g}.")
        return below, above

    def at(x: float) -> np.ndarray:
        below, above = tails(x)
        lost = 2.0**-53 if sf is None else 0.0
        return np.array([math.sqrt(below * above), math.sqrt(below * (above + lost))])

    for end, part in ((low, tails(low)[0]), (high, tails(high)[1])):
        if part > 0:
            found = f"The support ({low:g}, {high:g}) must hold all of the law, but {part:.3g} of its mass"
            raise InputError(f"{found} lies beyond {end:g}. Widen it, to infinity if the law has a tail.")
    if sf is None and high == math.inf:
        raise InputError(NEEDS_SF)
    levels = [0.5, *(10.0**-k for k in (1, 2, 4, 8, 16, 32))]
    places = [quantile(lambda x, k=k: tails(x)[k], low, high, level) for level in levels for k in (0, 1)]
    value, value_if_lost = integral(at, low, high, points=places).tolist()
    if value_if_lost - value > 1e-9 * max(1.0, value):
        raise InputError(NEEDS_SF)
    return math.sqrt(2 / math.pi) * value


NEEDS_SF = (
    "bridge_constant needs 'sf', the upper tail 1 - F, of this law: F rounds to 1 where sqrt(1 - F) still "
    "counts. Hand over the survival function, such as scipy's norm.sf, or end the support where F reaches 1."
)


def quantile(tail: Function, low: float, high: float, level: float) -> float:
    """A place in [low, high] where a monotone tail passes a level, by bisection of the places' arsinh.

    >>> round(quantile(lambda x: min(x / 4e6, 1.0), 0.0, math.inf, 0.25), 3)
    1000000.0
    """
    left, right = np.arcsinh(np.clip((low, high), -1e300, 1e300)).tolist()

    def place(t: float) -> float:
        return min(max(math.sinh(t), low), high)

    rises = tail(place(left)) < tail(place(right))
    for _ in range(64):
        middle = (left + right) / 2
        left, right = (left, middle) if (tail(place(middle)) > level) == rises else (middle, right)
    return place(right)


def share(function: Function, name: str, x: float) -> float:
    """A distribution function's value; raises ``InputError`` unless it is in [0, 1], up to rounding."""
    value = value_at(function, name, x)
    if not -1e-12 <= value <= 1 + 1e-12:
        raise InputError(f"'{name}' must have values in [0, 1], but at {x:g} it is {value}.")
    return min(max(value, 0.0), 1.0)
