"""The 5,000 digits that ship, and how what ships is found, checked and scaled."""

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._files import errors_as
from ..errors import DataError

DIGITS_SHA256 = "246e0c30eeea57c8d0037d3f38c8e00651ec204cc61b8022563e9aeeb9d756f4"
RESTORE = "Restore it with 'git checkout -- data', or reinstall wganlab."


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


def folder() -> Path:
    """Where the data lie: inside the installed package, or beside it in the source tree."""
    package = Path(__file__).parent.parent
    inside = package / "_data"
    return inside if inside.is_dir() else package.parent / "data"


def read_checked(path: Path, sha256: str) -> bytes:
    """The content of a file; raises ``DataError`` if it is missing or was altered."""
    with errors_as(DataError, f"{path} cannot be read", RESTORE):
        content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(f"{path} was altered: its sha256 is {found}, expected {sha256}. {RESTORE}")
    return content


def digits() -> Images:
    """5,000 handwritten digits of MNIST, 500 of each class, in order of class.

    Raises ``DataError`` if data/digits.npz is missing or altered. Provenance and licence are in
    data/README.md.

    >>> x, labels = digits()
    >>> tuple(x.shape), x.min().item(), x.max().item(), labels.bincount().tolist() == [500] * 10
    ((5000, 1, 28, 28), -1.0, 1.0, True)
    """
    content = read_checked(folder() / "digits.npz", DIGITS_SHA256)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return Images(scaled(arrays["images"][:, None]), torch.from_numpy(arrays["labels"]).long())
