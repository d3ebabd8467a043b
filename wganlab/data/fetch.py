"""Downloads into the user's cache: the file that was published, whole, or none.

What comes is counted and hashed while it comes. It is written to a new file in the cache, flushed
to the disk and renamed only when its sha256 is the known one, so that the name holds the right
file or nothing, whatever interrupts it and however many processes do the same at once. A server
that is slow, endless or says something else costs a bounded time and memory.
"""

import contextlib
import hashlib
import io
import os
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from .._files import flush_folder
from ..errors import DataError
from .web import CHUNK, Fault, Terms, body

SPARE = 1 << 17  # bytes of headers, redirects and packing that may come above a file's own
SLOWEST = 50_000  # bytes a second: the deadline of a file is its size over this, and a minute


class File(NamedTuple):
    """A published file, its ``size`` in bytes and ``sha256``: unpacked, where the urls hold its gzip."""

    name: str
    urls: tuple[str, ...]
    sha256: str
    size: int
    gzipped: bool = False


class Patience(NamedTuple):
    """Seconds for the whole (None: by size), one read, the first pause; and rounds over the urls."""

    deadline: float | None = None
    timeout: float = 30.0
    pause: float = 1.0
    rounds: int = 3


def cache() -> Path:
    """The user's cache: $WGANLAB_CACHE, else $XDG_CACHE_HOME/wganlab, else ~/.cache/wganlab.

    It is made when something is first written to it. Raises ``DataError`` where no home folder is known.
    """
    parent = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        if chosen := os.environ.get("WGANLAB_CACHE"):
            return Path(chosen).expanduser().absolute()
        return (parent if parent.is_absolute() else Path("~/.cache").expanduser()) / "wganlab"
    except RuntimeError as error:
        raise DataError(f"There is no cache: {error} Set WGANLAB_CACHE to a folder.") from error


def cached(file: File, folder: Path, download: bool) -> Path:
    """The path of ``file`` in ``folder``, its sha256 checked; fetched if it may be. Raises ``DataError``."""
    if download:
        return fetch(file, folder)
    path = folder / file.name
    try:
        found = digest(path)
    except OSError as error:
        raise DataError(f"The cached file {path} cannot be read: {error.strerror}.") from error
    if found is None:
        raise DataError(
            f"{path} is not in the cache. Download it with download=True (--download), or hand in the "
            f"folder where you have it."
        )
    if found != file.sha256:
        raise DataError(
            f"The cached file {path} was altered: its sha256 is {found}, expected {file.sha256}. "
            f"Get it anew with download=True (--download)."
        )
    return path


def fetch(file: File, folder: Path, patience: Patience = Patience()) -> Path:  # noqa: B008 (it is a tuple)
    """The path of ``file`` in ``folder``, downloaded unless it is there whole.

    The urls are asked in turn, ``rounds`` times; one whose answer is final (404, another file) is not
    asked again. Raises ``DataError``, which names every url, what came and what was expected; the
    folder then holds no part of it.
    """
    path = folder / file.name
    deadline = 60 + file.size / SLOWEST if patience.deadline is None else patience.deadline
    until = time.monotonic() + deadline
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder, file.name, deadline)
        if digest(path) == file.sha256:
            return path
        faults = ask(file, path, until, patience)
    except OSError as error:
        raise DataError(
            f"Cannot write {path}: {error.strerror or error}. Set WGANLAB_CACHE to a folder that can be "
            f"written and has room for {file.size} bytes."
        ) from error
    if faults:
        answers = "; ".join(f"{url}: {reason}" for url, reason in faults.items())
        raise DataError(
            f"{file.name} could not be downloaded. {answers}. Expected were {file.size} bytes with sha256 "
            f"{file.sha256}. Check the network and try again, or hand in the folder where you have the file."
        )
    return path


def ask(file: File, path: Path, until: float, patience: Patience) -> dict[str, str]:
    """Ask the urls of a file in turn; their faults, or none as soon as the file is at ``path``."""
    faults = dict.fromkeys(file.urls, "not asked, since the time was up")
    left = list(file.urls)
    for turn in range(patience.rounds):
        if turn and left:
            time.sleep(max(0.0, min(patience.pause * 2 ** (turn - 1), until - time.monotonic())))
        for url in list(left):
            if time.monotonic() >= until:
                return faults
            try:
                download(file, url, path, until, patience.timeout)
                return {}
            except Fault as fault:
                faults[url] = str(fault)
                if fault.final:
                    left.remove(url)
    return faults


def download(file: File, url: str, path: Path, until: float, timeout: float) -> None:
    """Put what ``url`` answers at ``path``, if it is the file; raises ``Fault`` if it is not."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{file.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as part:
            receive(file, url, part, until, timeout)
            part.flush()
            os.fsync(part.fileno())
        os.chmod(name, 0o644)  # a cache may be shared
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        flush_folder(path.parent)


def receive(file: File, url: str, part: io.BufferedWriter, until: float, timeout: float) -> None:
    """Write what ``url`` answers, unpacked, to ``part``; raises ``Fault`` unless it is the file."""
    came, kept, size, start = hashlib.sha256(), hashlib.sha256(), 0, b""
    terms = Terms(file.size + file.size // 100 + SPARE, until, timeout)
    chunks = noted(body(url, terms), came)
    with contextlib.closing(chunks):
        try:
            for piece in unpacked(chunks) if file.gzipped else chunks:
                size, start = size + len(piece), start or piece[:20]
                if size > file.size:
                    raise Fault(f"more than {file.size} bytes came, the first are {start!r}", final=True)
                kept.update(piece)
                part.write(piece)
        except zlib.error as error:
            raise Fault(
                f"the gzip that came is damaged ({error}), its sha256 up to there is {came.hexdigest()}",
                final=True,
            ) from error
    if kept.hexdigest() != file.sha256:
        raise Fault(
            f"{size} bytes came, their sha256 is {kept.hexdigest()}, the first are {start!r}",
            final=size == file.size,  # what was cut may come whole the next time
        )


def noted(chunks: Iterator[bytes], sha256) -> Iterator[bytes]:
    """The same chunks, each hashed."""
    with contextlib.closing(chunks):
        for chunk in chunks:
            sha256.update(chunk)
            yield chunk


def unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What gzipped chunks hold, CHUNK bytes at most at a time; raises ``Fault`` if they are no gzip."""
    gzip = zlib.decompressobj(wbits=31)
    start = b""
    for chunk in chunks:
        start = start or chunk[:20]
        if not start.startswith(b"\x1f\x8b"[: len(start)]):
            raise Fault(
                f"what came is not gzip, it starts with {start!r}, "
                f"the sha256 of its first {len(chunk)} bytes is {hashlib.sha256(chunk).hexdigest()}",
                final=True,
            )
        while chunk and not gzip.eof:
            yield gzip.decompress(chunk, CHUNK)
            chunk = gzip.unconsumed_tail
        if gzip.eof:
            return


def digest(path: Path) -> str | None:
    """The sha256 of a file, or None where there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep(folder: Path, name: str, age: float) -> None:
    """Remove parts of ``name`` that a killed download left: none lives longer than its deadline."""
    for part in folder.glob(f".{name}.*.part"):
        with contextlib.suppress(FileNotFoundError):  # another process may sweep too
            if time.time() - part.stat().st_mtime > age:
                part.unlink()
