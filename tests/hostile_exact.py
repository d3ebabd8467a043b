"""Exact numbers for makers of hostile inputs: what a maker gives, fractions, 50 digits, kinds of array."""

from dataclasses import dataclass, field
from fractions import Fraction

import hostile
import numpy as np
import torch
from hostile import as_numpy
from mpmath import MPContext

mp = MPContext()
mp.dps = 50


@dataclass
class Made:
    """What a maker gives: plain arguments, the answer, its natural scale, and numbers that must fit.

    An entry of the answer is a fraction, an interval of two, or infinity or NaN where that is the answer.
    """

    plain: dict
    value: list
    scale: Fraction = Fraction(1)
    fits: list = field(default_factory=list)
    kinds: dict = field(default_factory=dict)  # of array, where the answer depends on it
    kind: str = "valid"


def real(value):
    value = Fraction(value)
    return mp.mpf(value.numerator) / value.denominator


def exact(value) -> Fraction:
    """A number of mpmath as a fraction; infinity as it is."""
    if not mp.isfinite(value):
        return float(value)
    sign, digits, power, _ = mp.mpf(value)._mpf_
    return (-1) ** sign * int(digits) * Fraction(2) ** power


def as_64(values):
    return np.asarray(as_numpy(values), np.float64)


SHORT = ["torch float16", "torch bfloat16", "torch float32", "float16", "float32"]
KINDS = hostile.KINDS | {
    "float16": lambda array: array.astype(np.float16),
    "torch float16": lambda array: torch.tensor(array, dtype=torch.float16),
    "torch bfloat16": lambda array: torch.tensor(array, dtype=torch.bfloat16),
    "torch with a graph": lambda array: torch.tensor(array, requires_grad=True) * 1,
    "torch strided": lambda array: torch.tensor(np.repeat(array, 2, axis=-1))[..., ::2],
}
