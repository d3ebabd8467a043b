"""Full MNIST, and the IDX format in which it was published.

An IDX file is two zero bytes, a byte for the type (8: unsigned bytes), a byte d, then d lengths of
four bytes, most significant first, then the values. The header says how long the file must be,
so that one byte too few or too many is found.

Source: LeCun, Cortes and Burges, *The MNIST database of handwritten digits*, "File formats".
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch

from ..errors import DataError
from .fetch import File, cache, cached
from .images import Images, scaled

MOST = 1_000_000  # pictures: a header that says more is not believed, and nothing is unpacked for it
CHUNK = 1 << 20
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


def published(name: str, size: int, sha256: str) -> File:
    """A file of MNIST: offered as gzip, kept and checked unpacked (mirrors pack it each in their way)."""
    return File(name, tuple(f"{mirror}{name}.gz" for mirror in MIRRORS), sha256, size, gzipped=True)


TRAIN = (
    published(
        "train-images-idx3-ubyte",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    published(
        "train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
)
TEST = (
    published(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    published(
        "t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
)


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
        return pictures(images, labels)
    try:
        images, labels = (find(Path(folder), file.name) for file in files)
    except OSError as error:  # no right to look, or a name too long
        raise DataError(f"The folder {folder} of MNIST cannot be read: {error.strerror}.") from error
    return pictures(images, labels)


def pictures(images: Path, labels: Path) -> Images:
    """The digits of two IDX files, which must fit together."""
    x, y = read_idx(images, 3), read_idx(labels, 1)
    if x.shape[1:] != (28, 28):
        raise DataError(
            f"{images} holds pictures of {x.shape[1]} x {x.shape[2]} pixels, and MNIST has 28 x 28. "
            f"For other pictures use data.image_folder."
        )
    if len(x) != len(y):
        raise DataError(f"{images} holds {len(x)} pictures, and {labels} {len(y)} labels. They must agree.")
    if y.max() > 9:
        raise DataError(f"{labels} holds the label {y.max()}; expected are 0 to 9. Get it anew.")
    return Images(scaled(x[:, None]), torch.from_numpy(y.astype(np.int64)))


def find(folder: Path, name: str) -> Path:
    """The file ``name`` below ``folder``, by any of the names that are in use."""
    dotted = name.replace("-idx", ".idx")
    places = [folder / place for place in (".", "raw", "MNIST/raw", "mnist", name, dotted)]
    for place in places:
        for path in (place / f"{kind}{end}" for kind in (name, dotted) for end in ("", ".gz")):
            if path.is_file():
                return path
    if not folder.is_dir():
        raise DataError(f"The folder {folder} of MNIST does not exist, or is no folder.")
    held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise DataError(
        f"{folder} has no file {name}.gz (nor {name}, {dotted} or {dotted}.gz); it holds {held}. "
        f"Put the four files of MNIST there, or get them with data.mnist(download=True)."
    )


def read_idx(path: Path, dims: int) -> np.ndarray:
    """The values of an IDX file of unsigned bytes with ``dims`` dimensions; gzip is seen by its first bytes.

    No more is unpacked than the header says. Raises ``DataError``.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.open(raw) if packed else raw as file:
                shape = shape_of(path, file.read(4 + 4 * dims), dims)
                length = math.prod(shape)
                values = bytearray()  # grown by what is there, not by what the header says
                while part := file.read(min(CHUNK, length + 1 - len(values))):
                    values += part  # up to one more than may be; at its end gzip checks its sum
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}. Get it anew.") from error
    if len(values) != length:
        found = "more" if len(values) > length else str(len(values))
        raise DataError(
            f"{path} should hold {length} values ({' x '.join(map(str, shape))}) after its header, and holds "
            f"{found}. It was {'joined with something' if found == 'more' else 'cut'}: get it anew."
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def shape_of(path: Path, header: bytes, dims: int) -> tuple[int, ...]:
    """The lengths in an IDX header."""
    expected = bytes([0, 0, 8, dims])
    if len(header) < 4 + 4 * dims or header[:4] != expected:
        raise DataError(
            f"{path} is not an IDX file of bytes with {dims} dimension{'s' * (dims > 1)}: it starts with "
            f"{header[:4]!r}, expected {expected!r}. Get it anew."
        )
    shape = struct.unpack(f">{dims}I", header[4:])
    if not 1 <= shape[0] <= MOST or math.prod(shape) > MOST * 28 * 28 or 0 in shape:
        raise DataError(
            f"{path} says that it holds {' x '.join(map(str, shape))} values; expected are 1 to {MOST} "
            f"pictures of 28 x 28. Get it anew."
        )
    return shape
