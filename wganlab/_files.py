"""Files that survive: written whole or not at all, and folders that one process has for itself."""

import contextlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from glob import escape
from pathlib import Path

from .errors import CheckpointError, WganlabError

try:
    import fcntl
except ImportError:  # Windows: there, a second run in one folder is not noticed
    fcntl = None


@contextlib.contextmanager
def errors_as(kind: type, said: str, remedy="", caught=(OSError, ValueError), named=False) -> Iterator[None]:
    """What is ``caught`` inside becomes an error of this ``kind``: what was ``said``, the reason, the remedy.

    By default that is what the system refuses; a path with NUL in it is a ``ValueError``. What is reported on
    purpose stays as it is. ``named`` tells the class of the error, too.
    """
    try:
        yield
    except WganlabError:
        raise
    except caught as error:
        name, text = type(error).__name__, getattr(error, "strerror", None) or str(error)
        text = text.partition("\n")[0].rstrip(".")  # PyTorch goes on for a page
        raise kind(f"{said}: {f'{name}: {text}' if named else text or name}. {remedy}".rstrip()) from error


def space_message(path: Path, size: int) -> str:
    """A sentence on the bytes that a file needs and its file system has."""
    needed = f"It takes {size / 1e6:.2f} MB"
    with contextlib.suppress(OSError, ValueError):
        needed += f", and {shutil.disk_usage(path.parent).free / 1e6:.2f} MB are free"
    return f"{needed}."


def write_atomically(path: Path, content: bytes, *, keep: Path | None = None) -> None:
    """Replace the file at ``path`` by one with ``content``, whatever interrupts it.

    The replaced file is kept at ``keep``. Raises ``OSError``.
    """
    remove_stale(path.parent, path.name)
    new = path.parent / f".{path.name}.{os.urandom(8).hex()}.part"
    old = Path(f"{new}.old.part")
    try:
        with open(new, "xb") as file:  # with the rights of any new file: mkstemp would give its owner's alone
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX)  # so that no other process removes it as stale
            if os.fstat(file.fileno()).st_nlink == 0:  # one has, before it was locked
                write_atomically(path, content, keep=keep)
                return
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            kept = keep is not None and hard_link(path, old)
            if os.name == "nt":  # which renames no open file
                file.close()
            os.replace(new, path)
        with contextlib.suppress(OSError):  # the new file is in place; this is more than was asked for
            if kept:  # only now: until then ``keep`` may be the only one that is whole
                os.replace(old, keep)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # so that the renames last through a power failure
            finally:
                os.close(folder)
    finally:
        for part in (new, old):
            part.unlink(missing_ok=True)


def hard_link(path: Path, name: Path) -> bool:
    """Give the file at ``path`` another name too; false if there is none, or no room for a copy of it."""
    for give in (os.link, shutil.copyfile):  # not every file system has hard links
        with contextlib.suppress(OSError):
            give(path, name)
            return True
    return False


def remove_stale(folder: Path, name: str | None = None) -> None:
    """Delete the ``.part`` files of writes that were killed: no process locks them any more."""
    for part in folder.glob(f".{escape(name) if name else '*'}.*.part") if fcntl else ():
        with contextlib.suppress(OSError), open(part, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """A run's folder for this process alone, while the ``with`` lasts.

    It is made if it does not exist, and freed of what killed writes have left. Raises
    ``CheckpointError`` if it cannot be written, or another living process has locked it. The
    lock is one on ``folder/.lock``, which the kernel lifts when the process ends, however it ends.
    """
    with errors_as(CheckpointError, f"Cannot write into {folder}", "Name another folder."):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # the lock may be older than the folder's rights
            file = open(folder / ".lock", "a+", encoding="utf-8")  # noqa: SIM115
    with file:
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            print(os.getpid(), file=file, flush=True)
        except BlockingIOError as error:
            file.seek(0)
            said = f"Another process ({file.read().strip() or 'just started'}) trains in {folder}."
            raise CheckpointError(f"{said} Wait for its end, or name another folder.") from error
        except OSError as error:
            said = f"{folder} cannot be locked ({error.strerror}): a second run in it would not be noticed."
            warnings.warn(said, stacklevel=3)
        remove_stale(folder)
        yield
