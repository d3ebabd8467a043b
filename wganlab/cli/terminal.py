"""The terminal: what is printed, never a failure of its own, and the signals that ask a run to end."""

import contextlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import TextIO

from ..errors import InputError


def write_line(text: str, stream: TextIO | None) -> None:
    """One line of text; characters that the stream's encoding lacks are written as backslash escapes."""
    if stream is None:  # closed by whoever started us
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def print_result(text: str) -> None:
    """A line of the result, on stdout; raises ``BrokenPipeError``, or ``InputError`` for a full disk."""
    with stdout_errors():
        write_line(text, sys.stdout)


def flush_stdout() -> None:
    """Write out what stdout still holds; raises as ``print_result`` does."""
    with stdout_errors():
        if sys.stdout is not None:
            sys.stdout.flush()


@contextlib.contextmanager
def stdout_errors() -> Iterator[None]:
    """Failures of stdout by name; a broken pipe is none."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_stdout()
        raise InputError(f"Cannot write to stdout: {error.strerror}.") from error


def print_progress(text: str) -> None:
    """A line about work that goes on and matters more than the line: if nobody reads it, so be it."""
    try:
        write_line(text, sys.stdout)
    except OSError:
        discard_stdout()


def print_error(text: str) -> None:
    """One line on stderr, which names the rank if it is not the first of several."""
    rank = os.environ.get("RANK", "0")
    who = "wganlab" if rank == "0" else f"wganlab (rank {rank})"
    with contextlib.suppress(OSError):
        write_line(f"{who}: {' '.join(text.split())}", sys.stderr)


@contextlib.contextmanager
def print_warnings(aloud: bool = True) -> Iterator[None]:
    """Warnings as one line each, or none; whatever a filter makes of warnings, the run goes on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught if aloud else ():
        print_error(f"note: {warning.message}")


def quiet_matplotlib() -> None:
    """Keep from stderr what matplotlib says when it is imported and HOME cannot be written."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def discard_stdout() -> None:
    """Send stdout nowhere from now on, or the interpreter complains when it flushes the rest at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


class Stop:
    """Remembers the first signal that asks the run to end, so that it ends between two steps.

    A context: it takes over SIGINT, SIGTERM and SIGHUP and gives them back. A SIGHUP that ``nohup`` has
    switched off stays off. Until ``begin`` is called a second signal raises ``KeyboardInterrupt``, since
    before the first step there is nothing to lose; afterwards it is ignored, so that a save is never cut.
    """

    def __init__(self):
        self.signal, self.begun, self.handlers = 0, False, {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
                    continue
                self.handlers[number] = signal.signal(number, self)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.signal and not self.begun:
            raise KeyboardInterrupt(self.signal)
        self.signal = self.signal or number

    def begin(self) -> None:
        """From here on the run looks at ``signal`` after each step."""
        self.begun = True
