"""``log.csv`` in a run's folder: a curve that survives what the run survives."""

import os
import time
from pathlib import Path

from .._files import write_atomically
from ..errors import CheckpointError
from ..training import Step

COLUMNS = "step,seconds,critic_loss,penalty,generator_loss,estimate"


class Log:
    """Appends a row each ``every`` generator updates; what it holds is cut back to ``step`` first.

    ``seconds`` counts the time spent in this run, over all its parts. ``estimate`` is the critic's of W1,
    minus its loss, and empty where ``measures`` says that the objective is none of W1. A row is one write,
    so that only a lost machine can leave half of one. Raises ``CheckpointError`` for a file that cannot be
    written, or that is no such log.
    """

    def __init__(self, path: Path, every: int, step: int, *, measures: bool):
        self.path, self.every, self.measures = path, every, measures
        kept = self.rows(step)
        spent = float(kept[-1].split(",")[1]) if kept else 0.0
        try:
            write_atomically(path, "\n".join([COLUMNS, *kept, ""]).encode())
            self.file = os.open(path, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            raise CheckpointError(f"Cannot write {path}: {error.strerror}.") from error
        self.start = time.monotonic() - spent

    def rows(self, step: int) -> list[str]:
        """The whole rows up to a step; none for a new run."""
        if step == 0 or not self.path.exists():
            return []
        try:
            lines = self.path.read_text(encoding="utf-8").split("\n")
            lines.pop()  # what follows the last newline is half a row
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"Cannot read {self.path}: {error}. Move it away to go on.") from error
        if lines[:1] != [COLUMNS]:
            raise CheckpointError(f"{self.path} does not begin with '{COLUMNS}'. Move it away to go on.")
        whole = [line for line in lines[1:] if line.count(",") == COLUMNS.count(",")]
        return [line for line in whole if line.split(",")[0].isdigit() and int(line.split(",")[0]) <= step]

    def take(self, step: Step) -> None:
        """Write a row if it is time for one."""
        if step.index % self.every:
            return
        losses = [f"{loss.item():.9g}" for loss in step[1:]]
        estimate = f"{-step.critic_loss.item():.9g}" if self.measures else ""
        row = ",".join([str(step.index), f"{time.monotonic() - self.start:.3f}", *losses, estimate])
        self.keep(lambda: os.write(self.file, f"{row}\n".encode()))

    def settle(self) -> None:
        """Bring the rows to the disk: before each checkpoint, so that it never knows more than the log."""
        self.keep(lambda: os.fsync(self.file))

    def keep(self, work) -> None:
        """Do ``work``; raises ``CheckpointError`` where the disk refuses."""
        try:
            work()
        except OSError as error:
            raise CheckpointError(f"Cannot write {self.path}: {error.strerror}.") from error

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_) -> None:
        os.close(self.file)
