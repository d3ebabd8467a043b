"""``wganlab train``: a run that can be stopped at any moment and goes on as if it had not been."""

import argparse
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .. import checkpoints, objectives, sampling
from ..engine import chain
from ..engine.ranks import Ranks, join
from ..training import Average, Game, Step, linear_decay, train
from .about import CHECKPOINT, check_free, confirm, settle
from .log import Log
from .output import mention
from .setups import SETUPS, described, real, set_up
from .speed import accelerator, check_device, set_precision, set_threads
from .stop import Stop, noted

SILENCE = 15.0  # seconds between two lines of progress where there is no terminal for a bar
COMPARE = 100  # turns between two comparisons of the ranks' weights
LOOK = {"cpu": 1, "cuda": 16}  # turns between two looks at the losses, for which a GPU would be waited for


@dataclass
class Run:
    """A run that is set up: what it is (``about``), its state, and who takes part in it."""

    path: Path
    about: dict[str, Any]
    game: Game
    average: Average
    draw: sampling.Draw
    accelerate: Callable
    ranks: Ranks
    log: Log | None = None

    def decay(self) -> None:
        """Set the learning rates of this turn."""
        if self.about["decay"]:
            until = self.about["steps"]
            linear_decay(self.game, until - max(1, round(until * self.about["decay"])), until)

    def save(self) -> None:
        """Write the checkpoint, on the one process that writes."""
        if self.log:
            self.log.settle()
            checkpoints.save(self.path, self.game, average=self.average, extra=self.about)


def run(options: argparse.Namespace) -> int:
    """The exit code: 0, or 128 and the number of the signal that ended the run."""
    check_device(options.device)
    with Stop() as stop, join(device=options.device) as ranks, contextlib.ExitStack() as stack:
        one, resumed = prepare(options, ranks)
        if ranks.writes:
            with noted():
                stack.enter_context(checkpoints.claim(options.folder))
            if not resumed:  # another process may have been here since ``settle`` looked
                check_free(one.path)
        if resumed:
            with noted(ranks.writes):
                checkpoints.load(one.path, one.game, average=one.average)
        if ranks.writes:
            measures = one.game.recipe.objective is objectives.wasserstein
            log = Log(options.folder / "log.csv", options.log, one.game.step, measures=measures)
            one.log = stack.enter_context(log)
        stop.begin()
        ended = loop(one, options.every, stop)
        if ranks.writes:
            done = f"{one.game.step} of {one.about['steps']} generator updates"
            mention(f"{one.path}: {done}, recipe {one.about['recipe']}, on {one.draw.device}")
    return 128 + ended if ended else 0


def prepare(options: argparse.Namespace, ranks: Ranks) -> tuple[Run, bool]:
    """The run at its beginning, and whether it is to be resumed; nothing is written yet."""
    path = options.folder / CHECKPOINT
    about, resumed = settle(options, path)
    m, place = about["batch"], ranks.device
    set_precision(about["precision"])
    torch.set_flush_denormal(True)
    speed = accelerator(about["accelerate"], about["precision"], place)
    game, average = set_up(about, place, mean=ranks.mean(m), share=lambda one: ranks.share_batchnorm(one, m))
    set_threads(options.threads, game, m, place)
    x = real(about, download=options.download)
    confirm(path, about, described(x))
    prior = sampling.normal(SETUPS[about["data"]].latent)
    draw = sampling.Draw(x, prior, m, seed=about["seed"], device=place, rank=ranks.rank, world=ranks.world)
    return Run(path, about, game, average, draw, chain(speed, ranks.average_losses), ranks), resumed


def loop(one: Run, every: int, stop: Stop) -> int:
    """Algorithm 1 until the last step or a signal, whose number it returns, with what follows each step."""
    until, look = one.about["steps"], LOOK[one.draw.device.type]
    one.decay()
    with Progress(one, until) as progress:
        for step in train(one.game, one.draw, until, accelerate=one.accelerate, check_every=look):
            one.average.update(one.game.generator)
            one.decay()
            if one.log:
                one.log.take(step)
            progress.show(step)
            ended = one.ranks.agree(stop.signal)  # never written back: a signal may come in between
            if step.index % COMPARE == 0:
                one.ranks.check_same(one.game)
            if step.index % every == 0 or step.index == until or ended:
                one.save()
            if ended:
                return ended
    return stop.signal


class Progress:
    """A bar on a terminal, else a line of text every ``SILENCE`` seconds; nothing on ranks but the first."""

    def __init__(self, one: Run, until: int):
        self.until, self.silent, self.last = until, not one.ranks.writes, time.monotonic()
        self.first, self.began = one.game.step, self.last
        self.bar = tqdm(
            total=until, initial=min(self.first, until), unit="step", disable=True if self.silent else None
        )

    def show(self, step: Step) -> None:
        """Take note of a step; the losses are read only where they are shown."""
        self.bar.update()
        if not self.bar.disable:
            if step.index % 50 == 0:
                self.bar.set_postfix_str(f"critic loss {step.critic_loss.item():.3f}", refresh=False)
            return
        now = time.monotonic()
        if self.silent or now - self.last < SILENCE:
            return
        self.last = now
        rate = (step.index - self.first) / (now - self.began)
        loss = step.critic_loss.item()
        mention(f"step {step.index} of {self.until}, {rate:.3g} steps a second, critic loss {loss:.3f}")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()
