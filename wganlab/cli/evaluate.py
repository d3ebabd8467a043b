"""``wganlab evaluate``: a trained generator beside real data, each number beside its floor."""

import argparse
import json
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import data, metrics, objectives
from ..constraints import GradientPenalty, WeightClipping
from ..errors import DataError, InputError
from ..training import Game
from .about import opened
from .output import say
from .sample import drawn
from .setups import SETUPS, described, real

NEAR = 0.2  # a point so close to a centre belongs to its mode; the centres are more than 0.7 apart


class Measure(NamedTuple):
    """A number and its floor, the same between real and real; ``None`` and the reason where there is none."""

    name: str
    value: float | None
    floor: float | None
    note: str = ""


class Samples(NamedTuple):
    """n rows each: two real samples that share none, and generated ones."""

    real: Tensor
    other: Tensor
    fake: Tensor


def run(options: argparse.Namespace) -> int:
    """The exit code."""
    about, game, average = opened(options.folder)
    if options.source:
        about["from"] = str(options.source.absolute())
    n, seed = options.n, options.seed
    real_rows, other, held_out = reals(about, n, seed)
    fake = drawn(average.player, SETUPS[about["data"]].latent, n, stream(seed, 2))
    found = measures(about["data"], game, Samples(real_rows, other, fake))
    report = {
        "folder": str(options.folder),
        "step": game.step,
        **{name: about[name] for name in ("data", "recipe", "players")},
        "n": n,
        "seed": seed,
        "real": held_out,
        "measures": [measure._asdict() for measure in found],
    }
    say(json.dumps(report, indent=1) if options.json else table(report, found))
    return 0


def stream(seed: int, key: int) -> torch.Generator:
    """A generator of its own for each purpose."""
    (word,) = np.random.SeedSequence([seed, key]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(word))


def reals(about: dict[str, Any], n: int, seed: int) -> tuple[Tensor, Tensor, str]:
    """Two real samples of n rows, and in words where they come from."""
    pool, words = held_out(about)
    if not torch.is_tensor(pool):
        return pool(n, stream(seed, 0)), pool(n, stream(seed, 1)), words
    if len(pool) < 2 * n:
        raise InputError(
            f"evaluate needs 2 n real rows, so {2 * n}, and there are {len(pool)} ({words}). Take -n "
            f"{len(pool) // 2} at most."
        )
    rows = torch.randperm(len(pool), generator=stream(seed, 0))
    return pool[rows[:n]], pool[rows[n : 2 * n]], words


def held_out(about: dict[str, Any]) -> tuple[Any, str]:
    """What the run has not seen, where there is such a thing, and in words what it is."""
    match about["data"]:
        case "mnist" | "cifar10" as kind:
            return real(about, train=False), f"the test set of {kind}"
        case "digits":
            try:
                return real(about | {"data": "mnist"}, train=False), "the test set of mnist"
            except DataError:
                return data.digits().x, "the training digits: none is held out, and mnist is not here"
        case "images":
            pool = real(about)
            same = described(pool)["sha256"] == about["sha256"]
            return pool, "the training pictures: none is held out" if same else f"pictures of {about['from']}"
        case toy:
            return real(about), f"fresh points of {toy}"


def measures(kind: str, game: Game, x: Samples) -> list[Measure]:
    """All that can be computed for a kind of data, and for the rest the reason why not."""
    w1, floor = metrics.exact_w1(*x)
    found = [Measure("exact W1", w1, floor, "Euclidean"), estimate(game, x)]
    if kind in ("ring", "grid"):
        return found + modes(real({"data": kind, "from": None}).centres, x)
    if kind == "swiss_roll":
        return [*found, Measure("modes", None, None, "swiss_roll has none")]
    name = "digit score" if kind in ("digits", "mnist") else "Frechet, 64 components"
    if len(x.real) < 128:
        return [*found, Measure(name, None, None, "needs -n 128 or more")]
    if kind in ("digits", "mnist"):
        score, floor = metrics.digit_score(x.real, x.fake), metrics.digit_score(x.real, x.other)
        return [*found, Measure(name, score, floor, "Frechet distance on 64 features; not FID")]
    return [*found, Measure(name, *metrics.principal_frechet(*x), "of real pixels; not FID")]


@torch.no_grad()
def estimate(game: Game, x: Samples) -> Measure:
    """E f(x) - E f(g(z)) on the same rows, where the critic was trained to make that large."""
    name = "critic's estimate"
    if game.recipe.objective is not objectives.wasserstein:
        return Measure(name, None, None, "this recipe's critic does not estimate W1")
    critic = game.critic.eval()
    real_mean, other, fake = (critic(rows).double().mean().item() for rows in x)
    match game.recipe.constraint:
        case WeightClipping():
            note = "in units of a clipped critic, not W1's"
        case GradientPenalty(weight=weight):
            note = f"of W1; a penalty of weight {weight:g} biases it"
        case _:
            note = "of W1, by the trained critic"
    return Measure(name, real_mean - fake, real_mean - other, note)


def modes(centres: Tensor, x: Samples) -> list[Measure]:
    """How many modes are met, and the share of points that meet one."""
    fake, other = (metrics.mode_coverage(rows, centres, NEAR) for rows in (x.fake, x.other))
    return [
        Measure("modes met", fake.modes, other.modes, f"of {len(centres)}"),
        Measure("share near a mode", fake.share, other.share, f"within {NEAR}"),
    ]


def table(report: dict[str, Any], found: list[Measure]) -> str:
    """The report as text."""
    said = [
        f"{report['folder']}: {report['step']} generator updates, data {report['data']}, "
        f"recipe {report['recipe']}",
        f"{report['n']} generated, twice {report['n']} real ({report['real']}), seed {report['seed']}",
        "",
        f"{'':24}{'generated':>12}{'floor':>12}",
    ]
    for name, value, floor, note in found:
        numbers = ["-" if number is None else f"{number:.4g}" for number in (value, floor)]
        said.append(f"{name:24}{numbers[0]:>12}{numbers[1]:>12}  {note}")
    return "\n".join([*said, "", "floor: the same between two real samples"])
