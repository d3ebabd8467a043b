"""The border between a reader's arrays (numpy, torch or lists) and float64 computation."""

import numpy as np
import torch
from numpy.typing import ArrayLike

from .errors import InputError


def as_float64(values: ArrayLike, name: str, ndim: int | None) -> np.ndarray:
    """``values`` as a float64 array; raises ``InputError`` for another ndim, no entries, NaN or inf.

    ``ndim=None`` takes any shape.
    """
    if torch.is_tensor(values):  # first in its own precision, so that complex numbers are seen
        values = values.detach().cpu()
        values = values.numpy() if values.is_complex() else values.double().numpy()
    try:
        if np.iscomplexobj(values) or np.ma.is_masked(values):
            raise TypeError("it is complex" if np.iscomplexobj(values) else "it has masked entries")
        array = np.asarray(values)
        if array.dtype.kind not in "biufO":  # text and dates would be read as numbers
            raise TypeError(f"it holds {array.dtype}")
        array = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"'{name}' must be an array of real numbers: {error}.") from None
    if ndim not in (None, array.ndim) or array.size == 0:
        kind = ("number", "vector", "matrix")[ndim] if ndim is not None else "array"
        raise InputError(f"'{name}' must be a non-empty {kind}, got shape {array.shape}.")
    if not np.isfinite(array).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"'{name}' must be finite, but entry {where} is {array[where]}.")
    return array


def as_kind(array: np.ndarray, like: ArrayLike) -> ArrayLike:
    """``array`` as a tensor on the device of ``like`` if that is a tensor, else as it is."""
    return torch.as_tensor(array, device=like.device) if torch.is_tensor(like) else array
