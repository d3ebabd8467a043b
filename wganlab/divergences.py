"""KL, Jensen-Shannon and total variation between weights on the same points.

Arrays of weights (n,), numpy or torch or a list; natural logarithms, so the unit is the nat
unless ``base`` says otherwise. The computation is in float64 and the result is a float.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr

from .arrays import as_float64
from .errors import InputError


def as_weights(weights: ArrayLike, name: str) -> np.ndarray:
    """``weights`` as a float64 vector; raises ``InputError`` unless it is a law on n points."""
    w = as_float64(weights, name, 1)
    if (w < 0).any():
        bad = int(np.argmax(w < 0))
        raise InputError(f"'{name}' must be non-negative, but entry {bad} is {w[bad]}.")
    if abs(w.sum() - 1) > 1e-9:
        raise InputError(f"'{name}' must sum to 1, but sums to {w.sum():.12g}. Divide it by its sum.")
    return w


def two_laws(p: ArrayLike, q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as weights on the same points; raises ``InputError`` if their lengths differ."""
    p, q = as_weights(p, "p"), as_weights(q, "q")
    if p.shape != q.shape:
        raise InputError(
            f"p and q must be weights on the same points, got {len(p)} and {len(q)} weights. "
            f"Put zeros where one of them has no mass."
        )
    return p, q


def in_base(nats: float, base: float | None) -> float:
    """``nats`` in the unit whose logarithm has base ``base``; 2 gives bits."""
    if base is None:
        return nats
    if not (isinstance(base, int | float) and 1 < base < math.inf):
        raise InputError(f"A base of logarithms must be > 1, got {base}. Use 2 for bits.")
    return nats / math.log(base)


def kl(p: ArrayLike, q: ArrayLike, *, base: float | None = None) -> float:
    r""":math:`\mathrm{KL}(p\|q) = \sum_i p_i \ln(p_i/q_i)`; infinite where q misses mass of p.

    Terms with :math:`p_i = 0` are 0. Raises ``InputError`` unless p and q are laws on the
    same points.
    Source: Kullback & Leibler 1951.

    >>> round(kl([0.5, 0.5], [0.25, 0.75]), 12)  # ln(4/3)/2
    0.143841036226
    >>> kl([0.5, 0.5], [1.0, 0.0])
    inf
    """
    p, q = two_laws(p, q)
    return in_base(max(0.0, float(rel_entr(p, q).sum())), base)


def js(p: ArrayLike, q: ArrayLike, *, base: float | None = None) -> float:
    r""":math:`\tfrac12\mathrm{KL}(p\|m) + \tfrac12\mathrm{KL}(q\|m)` with :math:`m = (p+q)/2`.

    Between 0 and ln 2, which it reaches for laws that share no point. Raises ``InputError``
    unless p and q are laws on the same points.
    Source: Lin 1991, with equal weights.

    >>> js([1.0, 0.0], [0.0, 1.0], base=2)
    1.0
    """
    p, q = two_laws(p, q)
    m = (p + q) / 2
    nats = float(rel_entr(p, m).sum() + rel_entr(q, m).sum()) / 2
    return in_base(min(max(0.0, nats), math.log(2)), base)


def tv(p: ArrayLike, q: ArrayLike) -> float:
    r""":math:`\sup_A |p(A) - q(A)| = \tfrac12\sum_i |p_i - q_i|`, between 0 and 1.

    Raises ``InputError`` unless p and q are laws on the same points.

    >>> tv([0.5, 0.5], [0.25, 0.75])
    0.25
    """
    p, q = two_laws(p, q)
    return float(np.abs(p - q).sum() / 2)
