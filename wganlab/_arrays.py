"""The border between a reader's arrays (numpy, torch or lists) and float64 computation."""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike

from .errors import InputError


def as_float64(values: ArrayLike, name: str, ndim: int | None, *, finite: bool = True) -> np.ndarray:
    """``values`` as a float64 array; raises ``InputError`` for another ndim, no entries, NaN or inf.

    ``ndim=None`` takes any shape, ``finite=False`` NaN and infinity.
    """
    try:
        if torch.is_tensor(values):  # complex numbers stay what they are, so that they are seen
            values = values.detach().cpu().to(values.dtype if values.is_complex() else torch.float64)
        if np.ma.is_masked(values):
            raise TypeError("it has masked entries")
        array = np.asarray(values)
        if array.dtype.kind not in "biufO":  # complex numbers; text and dates would be read as numbers
            raise TypeError(f"it is {array.dtype.name}")
        array = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # ragged, sparse, 10**400, meta
        raise InputError(f"'{name}' must be an array of real numbers: {str(error).rstrip('.')}.") from None
    if ndim not in (None, array.ndim) or array.size == 0:
        kind = ("number", "vector", "matrix")[ndim] if ndim is not None else "array"
        raise InputError(f"'{name}' must be a non-empty {kind}, got shape {array.shape}.")
    if finite and not np.isfinite(array).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"'{name}' must be finite, but entry {where} is {array[where]}.")
    return array


def as_rows(values: ArrayLike, name: str) -> np.ndarray:
    """``values`` (n, ...) as n flat rows (n, d); numbers are one row."""
    array = as_float64(values, name, None)
    return array.reshape(len(array) if array.ndim else 1, -1)


def as_number(value: ArrayLike, name: str) -> float:
    """``value`` as a float; raises ``InputError`` unless it is one finite real number."""
    return float(as_float64(value, name, 0))


def as_numbers(**values: ArrayLike) -> list[float]:
    """Each of the named values ``as_number``."""
    return [as_number(value, name) for name, value in values.items()]


def total(array: np.ndarray, axis: int | None = None) -> np.ndarray:
    """The sum, infinite where it leaves float64, which the caller looks at, without a warning."""
    with np.errstate(over="ignore"):
        return array.sum(axis)


def dtype_tolerance(values: ArrayLike) -> float:
    """What a total of such numbers may be off by since they are rounded: 5e-7 for float32, 9e-16 for float64.

    0 for lists and integers.
    """
    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, torch.dtype) and dtype.is_floating_point:
        return 4 * torch.finfo(dtype).eps
    return 4 * float(np.finfo(dtype).eps) if isinstance(dtype, np.dtype) and dtype.kind == "f" else 0.0


def power_of_two_scale(*points: np.ndarray) -> float:
    """A power of 2 near the largest coordinate: dividing by it loses no digit."""
    exponent = math.frexp(max(np.abs(x).max(initial=0.0) for x in points))[1]
    return math.ldexp(1.0, min(max(exponent, -1022), 1023))


def check_overflow(message: str, *results: ArrayLike) -> None:
    """Raise ``InputError`` with this message unless all results are finite."""
    if not all(np.isfinite(result).all() for result in results):
        raise InputError(message)


def like_input(array: np.ndarray, like: ArrayLike) -> ArrayLike:
    """``array`` as a tensor on the device of ``like`` if that is a tensor, else as it is."""
    return torch.as_tensor(array, device=like.device) if torch.is_tensor(like) else array
