"""What the command line prints: never a failure of its own, whatever became of the terminal or pipe."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from ..errors import InputError


def put(text: str, stream: TextIO | None) -> None:
    """One line of text; characters that the stream's encoding lacks are written as backslash escapes."""
    if stream is None:  # closed by whoever started us
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def say(text: str) -> None:
    """A line of the result, on stdout; raises ``BrokenPipeError``, or ``InputError`` for a full disk."""
    with reported():
        put(text, sys.stdout)


def flush() -> None:
    """Write out what stdout still holds; raises as ``say`` does."""
    with reported():
        if sys.stdout is not None:
            sys.stdout.flush()


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Failures of stdout by name; a broken pipe is none."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        silence()
        raise InputError(f"Cannot write to stdout: {error.strerror}.") from error


def mention(text: str) -> None:
    """A line about work that goes on and matters more than the line: if nobody reads it, so be it."""
    try:
        put(text, sys.stdout)
    except OSError:
        silence()


def complain(text: str) -> None:
    """One line on stderr, which names the rank if it is not the first of several."""
    rank = os.environ.get("RANK", "0")
    who = "wganlab" if rank == "0" else f"wganlab (rank {rank})"
    with contextlib.suppress(OSError):
        put(f"{who}: {' '.join(text.split())}", sys.stderr)


def hush() -> None:
    """Keep from stderr what matplotlib says when it is imported and HOME cannot be written."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def silence() -> None:
    """Send stdout nowhere from now on, or the interpreter complains when it flushes the rest at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, sys.stdout.fileno())
        finally:
            os.close(nowhere)
