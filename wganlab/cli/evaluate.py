"""``wganlab evaluate``: a trained generator beside real data, each number beside its floor."""

import argparse
import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import metrics, objectives
from ..constraints import GradientPenalty, WeightClipping
from ..errors import DataError, InputError
from ..sampling import Sampler
from ..training import Game
from .config import RunConfig, fingerprint, load_run
from .sample import generate
from .terminal import print_result

MODE_RADIUS = 0.2  # a point so close to a centre belongs to its mode; the centres are more than 0.7 apart
LEAST_ROWS = 128  # for the covariance of 64 features of a picture


def run(options: argparse.Namespace) -> int:
    """The exit code."""
    config, game, average = load_run(options.folder)
    config, n, seed = replace(config, source=options.source or config.source), options.n, options.seed
    data, words = held_out(config)
    fake = generate(average.player, config.dataset.latent, n, stream(seed, 2))
    report = {"folder": str(options.folder), "step": game.step, "data": config.data, "recipe": config.recipe}
    report |= {"players": config.players, "n": n, "seed": seed, "real": words}
    report["measures"] = measures(config, game, *real_samples(data, words, n, seed), fake)
    print_result(json.dumps(report, indent=1) if options.json else table(report))
    return 0


def measure(name: str, value: float | None, floor: float | None, note: str) -> dict:
    """A number and its floor, the same between real and real; ``None`` and the reason where there is none."""
    return {"name": name, "value": value, "floor": floor, "note": note}


def stream(seed: int, key: int) -> torch.Generator:
    """A generator of its own for each purpose."""
    (word,) = np.random.SeedSequence([seed, key]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(word))


def held_out(config: RunConfig) -> tuple[Sampler | Tensor, str]:
    """What the run has not seen, where there is such a thing, and in words what it is."""
    other, lacking = config.dataset.tested_on, ""
    if other:
        try:
            return replace(config, data=other).load(train=False), f"the test set of {other}"
        except DataError:
            if other == config.data:
                raise
            lacking = f", and {other} is not here"
    data = config.load()
    if not torch.is_tensor(data):
        return data, f"fresh points of {config.data}"
    seen = fingerprint(data)["sha256"] == config.sha256
    return data, f"the training data: none is held out{lacking}" if seen else f"pictures of {config.source}"


def real_samples(data: Sampler | Tensor, words: str, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two samples of n rows, which share none; raises ``InputError`` where there are too few."""
    if not torch.is_tensor(data):
        return data(n, stream(seed, 0)), data(n, stream(seed, 1))
    if len(data) < 2 * n:
        there = f"there are {len(data)} ({words}). Take -n {len(data) // 2} at most."
        raise InputError(f"evaluate needs 2 n real rows, so {2 * n}, and {there}")
    rows = torch.randperm(len(data), generator=stream(seed, 0))
    return data[rows[:n]], data[rows[n : 2 * n]]


def measures(config: RunConfig, game: Game, *x: Tensor) -> list[dict]:
    """All that can be computed for the data, and for the rest the reason why not.

    ``x`` are n rows each: two real samples that share none, and generated ones.
    """
    found = [measure("exact W1", *metrics.exact_w1(*x), "Euclidean"), estimate(game, *x)]
    name = config.dataset.measure
    if name != "modes" and len(x[0]) < LEAST_ROWS:
        return [*found, measure(name, None, None, f"needs -n {LEAST_ROWS} or more")]
    return found + MEASURES[name](config, *x)


@torch.no_grad()
def estimate(game: Game, *x: Tensor) -> dict:
    """E f(x) - E f(g(z)) on the same rows, where the critic was trained to make that large."""
    name = "critic's estimate"
    if game.recipe.objective is not objectives.wasserstein:
        return measure(name, None, None, "this recipe's critic does not estimate W1")
    critic = game.critic.eval()
    real_mean, other, fake = (critic(rows).double().mean().item() for rows in x)
    constraint, note = game.recipe.constraint, "of W1, by the trained critic"
    if isinstance(constraint, WeightClipping):
        note = "in units of a clipped critic, not W1's"
    elif isinstance(constraint, GradientPenalty):
        note = f"of W1; a penalty of weight {constraint.weight:g} biases it"
    return measure(name, real_mean - fake, real_mean - other, note)


def modes(config: RunConfig, real: Tensor, other: Tensor, fake: Tensor) -> list[dict]:
    """How many modes are met, and the share of points that meet one."""
    centres = getattr(config.load(), "centres", None)
    if centres is None:
        return [measure("modes", None, None, f"{config.data} has none")]
    met, floor = (metrics.mode_coverage(rows, centres, MODE_RADIUS) for rows in (fake, other))
    share = measure("share near a mode", met.share, floor.share, f"within {MODE_RADIUS}")
    return [measure("modes met", met.modes, floor.modes, f"of {len(centres)}"), share]


def digit_score(config: RunConfig, real: Tensor, other: Tensor, fake: Tensor) -> list[dict]:
    """The distance of digits by the features of a network that reads them."""
    value, floor = (metrics.digit_score(real, rows) for rows in (fake, other))
    return [measure(config.dataset.measure, value, floor, "Frechet distance on 64 features; not FID")]


def frechet(config: RunConfig, *x: Tensor) -> list[dict]:
    """The distance of pictures by their principal components."""
    return [measure(config.dataset.measure, *metrics.principal_frechet(*x), "of real pixels; not FID")]


MEASURES = {"modes": modes, "digit score": digit_score, "Frechet, 64 components": frechet}


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    head = "{folder}: {step} generator updates, data {data}, recipe {recipe}\n"
    head += "{n} generated, twice {n} real ({real}), seed {seed}\n\n"
    lines = [head.format(**report) + f"{'':24}{'generated':>12}{'floor':>12}"]
    for found in report["measures"]:
        numbers = ["-" if found[k] is None else f"{found[k]:.4g}" for k in ("value", "floor")]
        lines.append("{name:24}{0:>12}{1:>12}  {note}".format(*numbers, **found))
    return "\n".join([*lines, "", "floor: the same between two real samples"])
