"""Files that survive: written whole or not at all, and folders that one process has for itself."""

import contextlib
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import IO

from .errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows: there, a second run in one folder is not noticed
    fcntl = None


def room(path: Path, size: int) -> str:
    """A sentence on the bytes that a file needs and its file system has."""
    try:
        free = f", and {shutil.disk_usage(path.parent).free / 1e6:.2f} MB are free"
    except (OSError, ValueError):
        free = ""
    return f"It takes {size / 1e6:.2f} MB{free}."


def write_atomically(path: Path, content: bytes | memoryview, *, keep: Path | None = None) -> None:
    """Replace the file at ``path`` by one with ``content``, whatever interrupts it.

    The replaced file is kept at ``keep``. Raises ``OSError``.
    """
    sweep(path.parent, path.name)
    name = path.parent / f".{path.name}.{secrets.token_hex(8)}.part"
    old = f"{name}.old.part"
    # with the rights that any new file gets: mkstemp would give them to its owner alone
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX)  # so that no other process sweeps it away
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            kept = keep is not None and second_name(path, old)
            if os.name == "nt":  # which renames no open file
                file.close()
            os.replace(name, path)
    except BaseException:
        for part in (name, old):
            Path(part).unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # the new file is in place; what follows is more than was asked for
        if kept:  # only now: until then ``keep`` may be the only one that is whole
            os.replace(old, keep)
        if os.name == "posix":
            flush_folder(path.parent)


def flush_folder(path: Path) -> None:
    """Make the renames in a folder last through a power failure."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def second_name(path: Path, name: str) -> bool:
    """Give the file at ``path`` another name too; false if there is none, or no room for it."""
    try:
        os.link(path, name)
    except FileNotFoundError:
        return False
    except OSError:  # a file system without hard links
        try:
            shutil.copyfile(path, name)
        except OSError:
            Path(name).unlink(missing_ok=True)
            return False
    return True


def sweep(folder: Path, name: str | None = None) -> None:
    """Delete the ``.part`` files of saves that were killed: no process locks them any more."""
    for part in folder.glob(f".{escape(name) if name else '*'}.*.part") if fcntl else ():
        with contextlib.suppress(OSError), open(part, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


@contextlib.contextmanager
def claim(folder: str | os.PathLike) -> Iterator[None]:
    """A run's folder for this process alone, while the ``with`` lasts.

    It is made if it does not exist, and freed of what killed saves have left. Raises
    ``CheckpointError`` if it cannot be written, or another living process has claimed it. The
    claim is a lock on ``folder/.lock``, which the kernel lifts when the process ends, however it ends.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            lock = open(folder / ".lock", "a+", encoding="utf-8")  # noqa: SIM115
    except (OSError, ValueError) as error:  # ValueError: NUL in a path
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"Cannot write into {folder}: {reason}. Name another folder.") from error
    with lock:
        take(lock, folder)
        sweep(folder)
        yield


def take(lock: IO[str], folder: Path) -> None:
    """Lock the open file and write this process's number into it."""
    try:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
    except BlockingIOError as error:
        lock.seek(0)
        raise CheckpointError(
            f"Another process ({lock.read().strip() or 'just started'}) trains in {folder}. "
            f"Wait for its end, or name another folder."
        ) from error
    except OSError as error:
        warnings.warn(
            f"{folder} cannot be locked ({error.strerror}), so a second run in it would not be noticed.",
            stacklevel=4,
        )
