"""``wganlab train``: a run that can be stopped at any moment and goes on as if it had not been.

Beside its checkpoint it keeps ``log.csv``, a curve that survives what the run survives.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from .. import checkpoints, objectives, sampling
from .._files import errors_as, lock_folder, write_atomically
from ..engine import autocast, chain, compiled, fast, graphed, threads_for
from ..engine.ranks import Ranks, join
from ..errors import CheckpointError, InputError
from ..training import Acceleration, Average, Game, Step, identity, linear_decay, train
from .config import CHECKPOINT, RunConfig, fingerprint, load_config, new_config, set_up
from .terminal import Stop, print_progress, print_warnings

RANK_CHECK_EVERY = 100  # turns between two comparisons of the ranks' weights
FINITE_CHECK_EVERY = {"cpu": 1, "cuda": 16}  # turns between two looks at the losses: a GPU is waited for
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


@dataclass
class Run:
    """A run that is set up: what it is, its state, and who takes part in it."""

    path: Path
    config: RunConfig
    game: Game
    average: Average
    draw: sampling.Draw
    accelerate: Acceleration
    ranks: Ranks
    log: Log | None = None

    def decay(self) -> None:
        """Set the learning rates of this turn."""
        if self.config.decay:
            until = self.config.steps
            linear_decay(self.game, until - max(1, round(until * self.config.decay)), until)

    def save(self) -> None:
        """Write the checkpoint, on the one process that writes."""
        if self.log:
            self.log.flush()
            checkpoints.save(self.path, self.game, average=self.average, extra=self.config.as_extra())


def run(options: argparse.Namespace) -> int:
    """The exit code: 0, or 128 and the number of the signal that ended the run."""
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no CUDA device here. Use --device cpu or auto.")
    path = options.folder / CHECKPOINT
    with Stop() as stop, join(device=options.device) as ranks, contextlib.ExitStack() as stack:
        with print_warnings(ranks.writes):
            resumed = is_resumed(path, options.resume, ranks.restarted)
            new = None if resumed else prepare(path, new_config(options), options, ranks)
            if ranks.writes:
                stack.enter_context(lock_folder(options.folder))
                if not resumed:  # another process may have been here since we looked
                    is_resumed(path, False, False)
            one = new or resume(path, options, ranks)
        if ranks.writes:
            measures = one.game.recipe.objective is objectives.wasserstein
            log = Log(options.folder / "log.csv", options.log, one.game.step, measures=measures)
            one.log = stack.enter_context(log)
        stop.begin()
        ended = loop(one, options.every, stop)
        if ranks.writes:
            done = f"{one.game.step} of {one.config.steps} generator updates"
            print_progress(f"{path}: {done}, recipe {one.config.recipe}, on {ranks.device}")
    return 128 + ended if ended else 0


def is_resumed(path: Path, asked: bool, restarted: bool) -> bool:
    """Whether the run at ``path`` goes on: if asked for, or if torchrun has started anew and it had begun.

    Raises ``CheckpointError`` if a run is in the way of a new one, or there is none to resume.
    """
    with errors_as(CheckpointError, f"Cannot look for {path}", "Name another folder."):
        before = [place for place in (path, checkpoints.previous(path)) if place.exists()]
    if before and not (asked or restarted):
        raise CheckpointError(f"{before[0]} exists. Add --resume to continue it, or name another folder.")
    if asked and not before:
        raise CheckpointError(f"There is no {path} to resume. Leave out --resume to start a run.")
    return bool(before)


def resume(path: Path, options: argparse.Namespace, ranks: Ranks) -> Run:
    """The run at ``path`` as it was saved; raises ``CheckpointError`` if it is not the one asked for."""
    state = checkpoints.read(path)
    one = prepare(path, load_config(path, state["extra"]).resumed(path, options), options, ranks)
    checkpoints.load(path, one.game, average=one.average, state=state)
    return one


def prepare(path: Path, config: RunConfig, options: argparse.Namespace, ranks: Ranks) -> Run:
    """A run at its beginning; nothing is written yet."""
    m, device = config.batch, ranks.device
    torch.set_float32_matmul_precision("high" if config.precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = config.precision == "tf32"
    torch.set_flush_denormal(True)
    accelerate = chain(accelerator(config.accelerate, config.precision, device), ranks.average_losses)
    game, average = set_up(config, ranks)
    set_threads(options.threads, game, m, device)
    x = config.load(download=options.download)
    config = config.with_data(path, fingerprint(x))
    prior = sampling.normal(config.dataset.latent)
    draw = sampling.Draw(x, prior, m, seed=config.seed, device=device, rank=ranks.rank, world=ranks.world)
    return Run(path, config, game, average, draw, accelerate, ranks)


def accelerator(name: str, precision: str, device: torch.device) -> Acceleration:
    """The acceleration of that name; raises ``InputError`` for one that cannot be."""
    if name == "graph" and device.type != "cuda":
        raise InputError(f"--accelerate graph needs a CUDA device, and this run is on {device}. Use fast.")
    if name == "auto":
        name = "graph" if device.type == "cuda" else "fast"
    chosen = {"plain": identity, "fast": fast, "compile": compiled, "graph": graphed}[name]
    return chain(autocast(torch.bfloat16), chosen) if precision == "bf16" else chosen


def set_threads(asked: int | str, game: Game, m: int, device: torch.device) -> None:
    """Let PyTorch use so many CPU threads.

    ``auto`` goes by the size of the players, shares the cores among the ranks of this machine, and on a GPU
    leaves PyTorch's own choice.
    """
    if asked != "auto":
        torch.set_num_threads(asked)
    elif device.type != "cuda":
        torch.set_num_threads(max(1, threads_for(game, m) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def loop(one: Run, every: int, stop: Stop) -> int:
    """Algorithm 1 until the last step or a signal, whose number it returns, with what follows each step."""
    until, look = one.config.steps, FINITE_CHECK_EVERY[one.ranks.device.type]
    one.decay()
    steps = train(one.game, one.draw, until, accelerate=one.accelerate, check_every=look)
    for step in show_progress(steps, one.game.step, until, silent=not one.ranks.writes):
        one.average.update(one.game.generator)
        one.decay()
        if one.log:
            one.log.write(step)
        ended = one.ranks.agree(stop.signal)  # never written back: a signal may come in between
        if step.index % RANK_CHECK_EVERY == 0:
            one.ranks.check_same(one.game)
        if step.index % every == 0 or step.index == until or ended:
            one.save()
        if ended:
            return ended
    return stop.signal


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
