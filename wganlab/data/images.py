"""Pictures as the trainings want them: float32 in [-1, 1], channels first."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Images(NamedTuple):
    """``x`` (n, channels, height, width), float32 in [-1, 1], and ``labels`` (n,), int64."""

    x: Tensor
    labels: Tensor


def scaled(pixels: np.ndarray) -> Tensor:
    """``byte / 127.5 - 1``: uint8 of any shape as float32 in [-1, 1].

    >>> scaled(np.array([0, 51, 255], dtype=np.uint8))
    tensor([-1.0000, -0.6000,  1.0000])
    """
    return torch.from_numpy(pixels.astype(np.float32)).div_(127.5).sub_(1)
