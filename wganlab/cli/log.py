"""What a run tells as it goes: ``log.csv``, a curve that survives what the run survives, and its progress."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from .._files import errors_as, write_atomically
from ..errors import CheckpointError
from ..training import Step
from .terminal import print_progress

COLUMNS = ["step", "seconds", "critic_loss", "penalty", "generator_loss", "estimate"]
PROGRESS_SECONDS = 15.0  # between two lines of progress where there is no terminal for a bar


class Log(contextlib.AbstractContextManager):
    """Appends a row each ``every`` generator updates; what it holds is cut back to ``step`` first.

    ``seconds`` counts the time spent in this run, over all its parts. ``estimate`` is the critic's of W1,
    minus its loss, and empty where ``measures`` says that the objective is none of W1. A row is one write,
    so that only a lost machine can leave half of one. Raises ``CheckpointError`` for a file that cannot be
    written, or that is no such log.
    """

    def __init__(self, path: Path, every: int, step: int, *, measures: bool):
        self.path, self.every, self.measures = path, every, measures
        kept = self.rows(step) if step and path.exists() else []
        self.start = time.monotonic() - (float(kept[-1][1]) if kept else 0.0)
        with errors_as(CheckpointError, f"Cannot write {path}"):
            write_atomically(path, csv_lines([COLUMNS, *kept]))
            self.file = open(path, "ab", buffering=0)  # noqa: SIM115

    def rows(self, step: int) -> list[list[str]]:
        """The whole rows up to a step."""
        with errors_as(CheckpointError, f"Cannot read {self.path}", "Move it away to go on."):
            lines = self.path.read_text(encoding="utf-8").split("\n")
            header, *rows = [line.split(",") for line in lines[:-1] or [""]]  # the last is none, or half
            if header != COLUMNS:
                raise ValueError(f"it does not begin with '{','.join(COLUMNS)}'")
        return [row for row in rows if len(row) == len(COLUMNS) and row[0].isdigit() and int(row[0]) <= step]

    def write(self, step: Step) -> None:
        """Write a row if it is time for one."""
        if step.index % self.every:
            return
        numbers = [f"{loss.item():.9g}" for loss in step[1:]]
        numbers.append(f"{-step.critic_loss.item():.9g}" if self.measures else "")
        row = [step.index, f"{time.monotonic() - self.start:.3f}", *numbers]
        with errors_as(CheckpointError, f"Cannot write {self.path}"):
            self.file.write(csv_lines([row]))

    def flush(self) -> None:
        """Bring the rows to the disk: before each checkpoint, so that it never knows more than the log."""
        with errors_as(CheckpointError, f"Cannot write {self.path}"):
            os.fsync(self.file.fileno())

    def __exit__(self, *_) -> None:
        self.file.close()


def csv_lines(rows: list[list]) -> bytes:
    """Rows as the lines of a file: names and numbers, of which none needs quotes."""
    return "".join(",".join(map(str, row)) + "\n" for row in rows).encode()


def show_progress(steps: Iterator[Step], done: int, until: int, *, silent: bool) -> Iterator[Step]:
    """The same steps, on a terminal with a bar, else with a line of text every ``PROGRESS_SECONDS``.

    Losses are read only where they are shown, and nothing is where ``silent``.
    """
    began = last = time.monotonic()
    # ``disable=None``: where there is no terminal
    with tqdm(total=until, initial=min(done, until), unit="step", disable=silent or None) as bar:
        for step in steps:
            yield step
            bar.update()
            now = time.monotonic()
            if not bar.disable and step.index % 50 == 0:
                bar.set_postfix_str(f"critic loss {step.critic_loss.item():.3f}", refresh=False)
            elif bar.disable and not silent and now - last >= PROGRESS_SECONDS:
                speed, loss, last = (step.index - done) / (now - began), step.critic_loss.item(), now
                said = f"step {step.index} of {until}, {speed:.3g} steps a second, critic loss {loss:.3f}"
                print_progress(said)
