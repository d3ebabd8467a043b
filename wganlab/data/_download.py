"""Published files: the one that was published, whole, in the user's cache, or none.

An answer is held in memory, and written to the cache only if its sha256 is the known one. So the name holds
the right file or nothing, whatever interrupts it and however many processes do the same at once. A server
that is slow, endless or says something else costs a bounded time and memory.
"""

import contextlib
import gzip
import hashlib
import http.client
import os
import ssl
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import IO, NamedTuple

from .._files import errors_as, write_atomically
from ..errors import DataError

PAUSES = (0.0, 1.0, 2.0)  # seconds before an url is asked, in each round over them
TIMEOUT = 30.0  # seconds for one read
SLOWEST = 50_000  # bytes a second: the deadline of a file is its size over this, and a minute
PACKING = 1 << 17  # bytes by which a gzip may be longer than what it holds


class File(NamedTuple):
    """A published file, its ``size`` in bytes and ``sha256``: unpacked, where the urls hold its gzip."""

    name: str
    urls: tuple[str, ...]
    sha256: str
    size: int
    gzipped: bool = False


class DownloadError(Exception):
    """Why an url did not give the file, and whether that is final: asking again would not help."""


def cache() -> Path:
    """The user's cache: $WGANLAB_CACHE, else $XDG_CACHE_HOME/wganlab, else ~/.cache/wganlab.

    It is made when something is first written to it. Raises ``DataError`` where no home folder is known.
    """
    parent = Path(os.environ.get("XDG_CACHE_HOME", ""))
    parent = parent if parent.is_absolute() else Path("~/.cache")
    with errors_as(DataError, "There is no cache", "Set WGANLAB_CACHE to a folder.", RuntimeError):
        return Path(os.environ.get("WGANLAB_CACHE") or parent / "wganlab").expanduser().absolute()


def cached(file: File, folder: Path, download: bool) -> Path:
    """The path of ``file`` in ``folder``, its sha256 checked; fetched unless it is whole, if it may be.

    Raises ``DataError``; what could not be fetched leaves nothing in the folder.
    """
    path = folder / file.name
    remedy = f"Set WGANLAB_CACHE to a folder with room for {file.size} bytes."
    with errors_as(DataError, f"Cannot read or write {path}", remedy):
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        if download and found != file.sha256:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, fetch(file, 60 + file.size / SLOWEST))
            return path
    remedy = "Get it with download=True (--download), or hand in the folder where you have it."
    if found != file.sha256:
        altered = f"was altered: its sha256 is {found}, expected {file.sha256}"
        raise DataError(f"{path} {altered if found else 'is not in the cache'}. {remedy}")
    return path


def fetch(file: File, seconds: float) -> bytes:
    """The content of a file from the first url that has it, within ``seconds``.

    The urls are asked in turn, a few times; one whose answer is final (404, another file) once. Raises
    ``DataError`` that names each url, what came and what was expected.

    This is done in a thread, which is left behind at the deadline: a server that sends its name, certificate
    or headers byte by byte holds that, not us.
    """
    # Of each url the reason why not, and whether that is final.
    answers = dict.fromkeys(file.urls, ("no whole answer in time", False))
    found, stop = [], threading.Event()

    def ask() -> None:
        for pause, url in product(PAUSES, file.urls):
            if not found and not answers[url][1] and not stop.wait(pause):
                try:
                    found.append(receive(url, file, stop))
                except DownloadError as error:
                    answers[url] = error.args

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    finally:
        stop.set()
    if not found:
        said = "; ".join(f"{url}: {reason[:300]}" for url, (reason, _) in answers.items())
        said = "".join(filter(str.isprintable, said))
        said += f". Expected were {file.size} bytes with sha256 {file.sha256}"
        remedy = "Check the network and try again, or hand in your own folder."
        raise DataError(f"{file.name} could not be downloaded within {seconds:.0f} s. {said}. {remedy}")
    return found[0]


def receive(url: str, file: File, stop: threading.Event) -> bytes:
    """What an url answers, unpacked, if it is the file; raises ``DownloadError``.

    Certificates are verified; redirects are followed as ``Redirect`` says.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "wganlab"})
    raw, limit = bytearray(), file.size + PACKING
    try:
        with urllib.request.build_opener(Redirect).open(request, timeout=TIMEOUT) as response:
            while len(raw) <= limit and not stop.is_set() and (chunk := response.read1(1 << 18)):
                raw += chunk
    except urllib.error.HTTPError as error:
        error.close()
        final = error.code < 500 and error.code not in (408, 425, 429)
        raise DownloadError(f"HTTP {error.code} {error.reason}", final) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(f"{type(reason).__name__}: {reason}", isinstance(reason, ssl.SSLError)) from error
    content = bytes(raw)
    if file.gzipped:
        with contextlib.suppress(zlib.error):  # what is no gzip is reported as it came
            content = zlib.decompressobj(wbits=31).decompress(content, file.size + 1)
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:  # what was cut may come whole the next time
        says = f"{len(content)} bytes came, their sha256 is {found}, the first are {bytes(raw[:20])!r}"
        raise DownloadError(says, len(content) >= file.size)
    return content


class Redirect(urllib.request.HTTPRedirectHandler):
    """Five redirects at most, to http or https, and never from https to http."""

    max_redirections = 5

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        fp.close()  # so that its body, which may be endless, is not read
        if not newurl.startswith("https://") and not (req.type == "http" and newurl.startswith("http://")):
            raise urllib.error.HTTPError(newurl, code, f"redirect to {newurl} refused", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def find(folder: Path, places: list[str], name: str) -> Path:
    """The first of some files that is in a folder of the user's; raises ``DataError`` if there is none."""
    with errors_as(DataError, f"The folder {folder} cannot be read"):  # or does not exist
        for path in (folder / place for place in places):
            if path.is_file():
                return path
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    found = f"{folder} has none of {', '.join(places[:5])}; it holds {held}"
    raise DataError(f"{found}. Put one there, or get it with data.{name}(download=True).")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file open for reading, unpacked if it is gzip, which is seen by its first bytes."""
    with path.open("rb") as raw:
        packed = raw.peek(2).startswith(b"\x1f\x8b")
        yield gzip.GzipFile(fileobj=raw) if packed else raw
