"""The terminal: what is printed, never a failure of its own, and the signals that ask a run to end."""

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
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
    """A line of the result, on stdout; raises ``BrokenPipeError``, or ``InputError`` for a full disk.

    After that stdout leads nowhere, or the interpreter would complain when it flushes the rest at exit.
    """
    try:
        write_line(text, sys.stdout)
    except OSError as error:
        with contextlib.suppress(OSError, ValueError, AttributeError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise InputError(f"Cannot write to stdout: {error.strerror}.") from error


def print_progress(text: str) -> None:
    """A line about work that goes on and matters more than the line: if nobody reads it, so be it."""
    with contextlib.suppress(OSError, InputError):
        print_result(text)


def print_error(text: str) -> None:
    """One line on stderr, which names the rank if it is not the first of several."""
    rank = os.environ.get("RANK", "0")
    who = "wganlab" if rank == "0" else f"wganlab (rank {rank})"
    with contextlib.suppress(OSError):
        write_line(f"{who}: {' '.join(text.split())}", sys.stderr)


@contextlib.contextmanager
def print_warnings(aloud: bool = True) -> Iterator[None]:
    """Warnings as one line each, or none; whatever a filter makes of warnings, the run goes on."""
    with warnings.catch_warnings(action="always"):
        warnings.showwarning = lambda message, *_: print_error(f"note: {message}") if aloud else None
        yield


class Stop:
    """Remembers the first signal that asks the run to end, so that it ends between two steps.

    A context: it takes over SIGINT, SIGTERM and SIGHUP and gives them back. A SIGHUP that ``nohup`` has
    switched off stays off. Until ``begin`` is called a second signal raises ``KeyboardInterrupt``, since
    before the first step there is nothing to lose; afterwards it is ignored, so that a save is never cut.
    """

    signal, begun = 0, False

    def __enter__(self) -> "Stop":
        self.handlers = {}
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
                    self.handlers[number] = signal.signal(number, self)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def __call__(self, number: int, _: object) -> None:
        if self.signal and not self.begun:
            raise KeyboardInterrupt(self.signal)
        self.signal = self.signal or number

    def begin(self) -> None:
        """From here on the run looks at ``signal`` after each step."""
        self.begun = True
