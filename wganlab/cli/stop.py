"""Signals that ask a run to end, and warnings that a run goes on after."""

import contextlib
import signal
import threading
import warnings
from collections.abc import Iterator
from types import FrameType

from .output import complain


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


@contextlib.contextmanager
def noted(aloud: bool = True) -> Iterator[None]:
    """Warnings as one line each, or none; whatever a filter makes of warnings, the run goes on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught if aloud else ():
        complain(f"note: {warning.message}")
