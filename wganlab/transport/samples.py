"""What a finite sample does to the Wasserstein distance."""

import math
from collections.abc import Callable
from numbers import Integral
from typing import NamedTuple

import numpy as np
from torch import Generator, Tensor

from .._arrays import as_float64
from .._quadrature import Interval, integral, interval
from ..errors import InputError
from .exact import as_points, emd
from .line import wasserstein_1d


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
        samples = (sampler(n, rng) for _ in range(2))
        x, y = (as_points(sample.reshape(len(sample), -1), "sampler") for sample in samples)
        line = x.shape[1] == 1
        values.append(wasserstein_1d(x[:, 0], y[:, 0]) if line else emd(x, y).distance)
    return SampleW1(float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(repeats)))


def bridge_constant(cdf: Callable[[float], float], support: Interval) -> float:
    r""":math:`\sqrt{2/\pi}\int\sqrt{F(1 - F)}\,dx`, the limit of :math:`\sqrt n\,\mathbb E\,W_1(P_n, P)`.

    ``cdf`` is the distribution function F of a law P on the line, with the support (low, high), which
    may be infinite. Between two independent samples of n points the limit is larger by the factor
    :math:`\sqrt 2`. Raises ``InputError`` if F gives no number in [0, 1] or the support misses mass;
    ``SolverError`` where the integral diverges: heavy tails.
    Source: del Barrio, Giné & Matrán 1999.

    >>> round(bridge_constant(lambda x: x, (0.0, 1.0)), 6)  # sqrt(pi / 32)
    0.313329
    """
    low, high = interval(support)

    def F(x: float) -> float:
        value = float(as_float64(cdf(x), "cdf", 0))
        if not 0 <= value <= 1:
            raise InputError(f"'cdf' must have values in [0, 1], but at {x:g} it is {value}.")
        return value

    def at(x: float) -> np.ndarray:
        return np.array([math.sqrt(F(x) * (1 - F(x)))])

    if not (F(low) <= 1e-6 and F(high) >= 1 - 1e-6):
        raise InputError(
            f"'cdf' must rise from 0 to 1 over the support ({low:g}, {high:g}), but goes from "
            f"{F(low):.6g} to {F(high):.6g}."
        )
    return math.sqrt(2 / math.pi) * float(integral(at, low, high)[0])
