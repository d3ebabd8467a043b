"""``wganlab train``: a run that can be stopped at any moment and goes on as if it had not been."""

import argparse
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import checkpoints, objectives, sampling
from .._files import errors_as, lock_folder
from ..engine import autocast, chain, compiled, fast, graphed, threads_for
from ..engine.ranks import Ranks, join
from ..errors import CheckpointError, InputError
from ..training import Acceleration, Average, Game, identity, linear_decay, train
from .config import CHECKPOINT, RunConfig, fingerprint, load_config, new_config, set_up
from .log import Log, show_progress
from .terminal import Stop, print_progress, print_warnings

RANK_CHECK_EVERY = 100  # turns between two comparisons of the ranks' weights
FINITE_CHECK_EVERY = {"cpu": 1, "cuda": 16}  # turns between two looks at the losses: a GPU is waited for


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
    config = load_config(path, state["extra"]).resumed(path, options)
    one = prepare(path, config, options, ranks)
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
