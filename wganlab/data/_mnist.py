"""Full MNIST, and the IDX format in which it was published.

An IDX file is two zero bytes, a byte for the type (8: unsigned bytes), a byte d, then d lengths of
four bytes, most significant first, then the values.

Source: LeCun, Cortes and Burges, *The MNIST database of handwritten digits*, "File formats".
"""

import math
import zlib
from pathlib import Path

import numpy as np
import torch

from .._files import errors_as
from ..errors import DataError
from ._download import File, cache, cached, find, opened
from ._shipped import Images, scaled

MOST = 1_000_000  # pictures: a header that says more is not believed
CHUNK = 1 << 20
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SHA256 = {  # of the unpacked files: mirrors pack them each in their way
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def published(name: str, size: int) -> File:
    """A file of MNIST: offered as gzip, kept and checked unpacked."""
    return File(name, tuple(f"{mirror}{name}.gz" for mirror in MIRRORS), SHA256[name], size, gzipped=True)


TRAIN = published("train-images-idx3-ubyte", 47_040_016), published("train-labels-idx1-ubyte", 60_008)
TEST = published("t10k-images-idx3-ubyte", 7_840_016), published("t10k-labels-idx1-ubyte", 10_008)


def mnist(folder: str | Path | None = None, *, train: bool = True, download: bool = False) -> Images:
    """Full MNIST: 60,000 digits (``train``) or 10,000, ``x`` (n, 1, 28, 28) in [-1, 1] and labels.

    With ``folder``, the four files as published (gzip or unpacked; also ``train-images.idx3-ubyte``,
    and below ``raw`` or ``MNIST/raw``), whatever pictures they hold. Without, those of the cache,
    whose sha256 must be the published one; ``download=True`` fetches what the cache lacks.

    Raises ``DataError`` if a file is missing, altered, cut or of another format. The training set
    is 188 MB.

    Source: LeCun, Bottou, Bengio and Haffner 1998. Provenance and licence: data/README.md.
    """
    files = TRAIN if train else TEST
    if folder is None:
        images, labels = (cached(file, cache() / "mnist", download) for file in files)
    else:
        images, labels = (find(Path(folder), places(file.name), "mnist") for file in files)
    x, y = read_idx(images, (28, 28)), read_idx(labels, ())
    if len(x) != len(y):
        raise DataError(f"{images} holds {len(x)} pictures, and {labels} {len(y)} labels. They must agree.")
    if y.max() > 9:
        raise DataError(f"{labels} holds the label {y.max()}; expected are 0 to 9. Get it anew.")
    return Images(scaled(x[:, None]), torch.from_numpy(y.astype(np.int64)))


def places(name: str) -> list[str]:
    """Where a file of MNIST lies below a folder, by any of the names that are in use."""
    names = (name, name.replace("-idx", ".idx"))
    folders = ("", "raw/", "MNIST/raw/", "mnist/", *(f"{name}/" for name in names))  # as unpackers leave it
    return [f"{folder}{name}{end}" for folder in folders for name in names for end in ("", ".gz")]


def read_idx(path: Path, row: tuple[int, ...]) -> np.ndarray:
    """The bytes (n, *row) of an IDX file; no more is unpacked than its header says. Raises ``DataError``."""
    magic = bytes([0, 0, 8, 1 + len(row)])
    said, faults = f"{path} cannot be read", (OSError, EOFError, zlib.error)
    with errors_as(DataError, said, "Get it anew.", faults), opened(path) as file:
        header = file.read(8 + 4 * len(row))
        shape = np.frombuffer(header, ">u4", len(header) // 4)[1:].tolist()
        if not (header.startswith(magic) and shape and shape[1:] == [*row] and 1 <= shape[0] <= MOST):
            found = f"after {header[:4]!r}, expected {magic!r}, it says {shape}"
            remedy = "Get it anew; for other pictures use data.images."
            raise DataError(f"{path} is no IDX file of 1 to {MOST} times {row} bytes: {found}. {remedy}")
        length, values = math.prod(shape), bytearray()  # grown by what is there, not by what it says
        while part := file.read(min(CHUNK, length + 1 - len(values))):
            values += part  # up to one more than may be; at its end gzip checks its sum
    if len(values) != length:
        found = len(values) if len(values) < length else "more"
        raise DataError(f"{path} should hold {length} bytes after its header, holds {found}. Get it anew.")
    return np.frombuffer(values, np.uint8).reshape(shape)
