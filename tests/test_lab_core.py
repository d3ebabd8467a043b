"""The lab's numerical core, run by node, against wganlab: gradients, steps, whole turns, distances, laws.

Needs node, version 20 or newer; without it these tests skip and say so. Questions go to tests/lab/serve.mjs
as JSON, in which doubles survive unchanged. The last tests put faults into a copy of the core and see red.
"""

import dataclasses
import json
import math
import os
import re
import shutil
import subprocess
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from make_lab_fixture import PATH as FIXTURE
from make_lab_fixture import constraint, critic_answer, fixture, generator_answer, network
from scipy.optimize import linear_sum_assignment
from torch import nn

from wganlab import metrics, objectives, recipes, sampling
from wganlab.constraints import GradientPenalty, WeightClipping, input_gradient
from wganlab.networks import mlp
from wganlab.training import Game
from wganlab.transport import emd

ROOT = Path(__file__).parents[1]
CORE = ROOT / "book" / "_lab" / "core"
LAB = Path(__file__).parent / "lab"
NODE_TESTS = sorted(path.name for path in LAB.glob("*.test.mjs"))


def no_node(program: str = "node") -> str:
    """Why the tests cannot run, or an empty string."""
    path = shutil.which(program)
    if path is None:
        return "node is not installed: the lab's core is NOT tested"
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.", said)
    if not version or int(version[1]) < 20:
        return f"node is {said.strip() or 'broken'}, older than v20: the lab's core is NOT tested"
    return ""


NO_NODE = no_node()
needs_node = pytest.mark.skipif(bool(NO_NODE), reason=NO_NODE)


def node_tests(name: str, core: Path = CORE) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["node", "--test-reporter=tap", LAB / name],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"LAB_CORE": str(core)},
    )


def ask(*questions: tuple[str, dict], core: Path = CORE) -> list:
    """The core's answers to questions, each a name and its numbers."""
    done = subprocess.run(
        ["node", LAB / "serve.mjs"],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"LAB_CORE": str(core)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def relative(found, expected) -> float:
    """max |found - expected| / max |expected|; NaN, which passes no bound, for numbers that are missing."""
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    if found.shape != expected.shape:
        return math.nan
    scale = np.abs(expected).max()
    error = np.abs(found - expected).max()
    return float(error / scale) if scale > 0 else float(error)


def vector(net: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(net.parameters()).detach()


# ---- The tests in node, and node itself


@needs_node
@pytest.mark.parametrize("name", NODE_TESTS)
def test_in_node(name):
    done = node_tests(name)
    assert done.returncode == 0, done.stdout
    assert "\n# fail 0\n" in done.stdout, done.stdout
    assert int(re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)[1]) > 0, done.stdout
    assert "\n# skipped 0\n" in done.stdout, done.stdout


def test_a_missing_or_old_node_is_named(tmp_path):
    assert "not installed" in no_node("no-such-node")
    for said, reason in (("v18.20.4", "node is v18.20.4, older than v20"), ("", "broken"), ("v22.1.0", "")):
        program = tmp_path / "node"
        program.write_text(f"#!/bin/sh\necho {said}\n")
        program.chmod(0o755)
        found = no_node(str(program))
        assert reason in found
        assert bool(found) == bool(reason)


def test_the_fixture_is_what_its_maker_makes():
    committed, made = json.loads(FIXTURE.read_text(encoding="utf-8")), fixture()
    cases = committed.pop("cases"), made.pop("cases")
    assert committed == made
    for old, new in zip(*cases, strict=True):
        assert {**old, "loss": 0, "gradient": 0} == {**new, "loss": 0, "gradient": 0}
        assert relative(old["gradient"], new["gradient"]) <= 1e-13
        assert old["loss"] == pytest.approx(new["loss"], rel=1e-13, abs=0)


# ---- Losses and gradients

M, WEIGHT = 128, 10.0
OBJECTIVES = ("wasserstein", "non_saturating", "minimax")
LIMITS = ("none", "clipping", "penalty", "one_sided")
NETS = [(width, depth, slope) for width in (16, 32) for depth in (1, 2, 3) for slope in (0.0, 0.2)]


def gradient_question(arithmetic: str, width: int, depth: int, slope: float, dead: bool = False) -> dict:
    """Two players with biases, a batch, and all games; rounded to the arithmetic's precision beforehand.

    The critic's slopes lie on both sides of 1; scores below 20, since beyond it PyTorch's softplus is linear.
    """
    rng = torch.Generator().manual_seed(1000 * width + 10 * depth + int(slope > 0))
    hidden = depth * (width,)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    def rounded(values):
        values = values if arithmetic == "Float64" else values.float()
        return values.double().flatten().tolist()

    def player(outputs):
        net = mlp(2, outputs, hidden=hidden, slope=slope).double()
        for layer in net:
            if isinstance(layer, nn.Linear):
                layer.weight.data = normal(*layer.weight.shape) * math.sqrt(2 / layer.in_features)
                layer.bias.data = 0.3 * normal(*layer.bias.shape)
        return net

    critic, generator = player(1), player(2)
    x, fake, z = normal(M, 2), 0.7 + 0.5 * normal(M, 2), normal(M, 2)
    eps = torch.rand(M, generator=rng, dtype=torch.float64)
    between = eps[:, None] * x + (1 - eps[:, None]) * fake
    slopes = input_gradient(critic, between).norm(dim=1)
    last = [layer for layer in critic if isinstance(layer, nn.Linear)][-1]
    last.weight.data /= slopes.median()
    slopes = input_gradient(critic, between).norm(dim=1)
    assert min((slopes > 1.01).sum(), (slopes < 0.99).sum()) >= M / 8
    assert max(critic(points).abs().max() for points in (x, fake, generator(z))) < 20
    if dead:  # no unit of the first layer is ever active
        critic[0].bias.data.fill_(-100.0)
    games = [
        {"objective": objective, "constraint": limit, "weight": WEIGHT}
        for objective in OBJECTIVES
        for limit in LIMITS
    ]
    return {
        "arithmetic": arithmetic, "slope": slope, "m": M, "games": games, "objectives": OBJECTIVES,
        "critic": {"sizes": (2, *hidden, 1), "weights": rounded(vector(critic))},
        "generator": {"sizes": (2, *hidden, 2), "weights": rounded(vector(generator))},
        "x": rounded(x), "fake": rounded(fake), "z": rounded(z), "eps": rounded(eps),
    }  # fmt: skip


def gradients_by_torch(question: dict) -> dict:
    critic, generator = (
        network(question[player]["sizes"], question[player]["weights"], question["slope"])
        for player in ("critic", "generator")
    )
    x, fake, z = (torch.tensor(question[name], dtype=torch.float64).view(M, 2) for name in ("x", "fake", "z"))
    eps = torch.tensor(question["eps"], dtype=torch.float64)
    return {
        "critic": [
            critic_answer(
                critic, x, fake, eps, game["objective"], constraint(game["constraint"], game["weight"])
            )
            for game in question["games"]
        ],
        "generator": [generator_answer(generator, critic, z, objective) for objective in OBJECTIVES],
    }


def gradient_errors(arithmetic: str, nets=NETS, dead: bool = False, core: Path = CORE) -> dict[str, float]:
    """The largest error of a gradient and of a loss over all nets, for each game."""
    questions = [gradient_question(arithmetic, *net, dead=dead) for net in nets]
    worst: dict[str, float] = {}
    answers = ask(*(("gradients", question) for question in questions), core=core)
    for question, found in zip(questions, answers, strict=True):
        expected = gradients_by_torch(question)
        names = [f"critic {game['objective']} {game['constraint']}" for game in question["games"]]
        names += [f"generator {objective}" for objective in OBJECTIVES]
        rows = zip(
            names,
            found["critic"] + found["generator"],
            expected["critic"] + expected["generator"],
            strict=True,
        )
        for name, mine, by_torch in rows:
            errors = {
                name: relative(mine["gradient"], by_torch["gradient"]),
                f"{name}, loss": relative([mine["loss"]], [by_torch["loss"]]),
            }
            for key, error in errors.items():
                worst[key] = max(worst.get(key, 0.0), error if error == error else math.inf)
    return worst


@needs_node
@pytest.mark.parametrize(
    ("arithmetic", "bound"),
    [("Float64", 1e-12), pytest.param("Float32", 1e-5, marks=pytest.mark.slow), ("kernel", 1e-5)],
)
def test_losses_and_gradients(arithmetic, bound):
    errors = gradient_errors(arithmetic)
    assert len(errors) == 2 * (len(OBJECTIVES) * len(LIMITS) + len(OBJECTIVES))
    assert max(errors.values()) <= bound, errors
    assert arithmetic == "Float64" or max(errors.values()) > 1e-12, "float32 is float32"


@needs_node
def test_a_slope_of_zero_has_the_derivative_zero():
    errors = gradient_errors("Float64", [(16, 2, 0.0)], dead=True)
    assert max(errors.values()) <= 1e-12, errors


class Shift(nn.Module):
    """Example 1's generator: z goes to (theta, z)."""

    def __init__(self, theta: float):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([theta], dtype=torch.float64))

    def forward(self, z):
        return torch.cat([self.theta.expand(len(z), 1), z], dim=1)


SETTINGS = {
    "data": "ring", "cells": [], "recipe": "wgan_gp", "weight": 2.5, "c": 0.05, "nCritic": 3,
    "rates": [2e-3, 1e-3], "width": 12, "depth": 2, "batch": 32, "slope": 0.2, "seed": 3, "n": 16,
}  # fmt: skip


def shift_error(core: Path = CORE) -> float:
    worst = 0.0
    for objective in OBJECTIVES:
        critic = gradient_question("Float64", 16, 2, 0.2)["critic"] | {"slope": 0.2}
        z = torch.rand(M, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        question = {
            "settings": SETTINGS, "theta": 0.4, "critic": critic, "z": z.flatten().tolist(), "m": M,
            "objective": objective,
        }  # fmt: skip
        (found,) = ask(("shift", question), core=core)
        net = network(critic["sizes"], critic["weights"], critic["slope"])
        expected = generator_answer(Shift(0.4), net, z, objective)
        gradient = [0.0, 0.0, *expected["gradient"], 0.0]
        errors = relative(found["gradient"], gradient), relative([found["loss"]], [expected["loss"]])
        worst = max(worst, *errors)
    return worst


@needs_node
def test_the_gradient_of_a_shift():
    assert shift_error() <= 1e-12


@needs_node
def test_values_and_slopes_of_a_critic():
    points = torch.randn(100, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (found,) = ask(("judge", {"settings": SETTINGS, "turns": 5, "points": points.flatten().tolist()}))
    critic = network(found["sizes"], found["weights"], SETTINGS["slope"])
    points.requires_grad_()
    f = critic(points)
    (slopes,) = torch.autograd.grad(f.sum(), points)
    assert relative(found["f"], f.tolist()) <= 1e-13
    assert relative(found["slopes"], slopes.flatten().tolist()) <= 1e-13


# ---- The recipes, their steps, and whole turns

OURS = {
    "gan": recipes.gan,
    "minimax": dataclasses.replace(recipes.gan, objective=objectives.minimax),
    "wgan": recipes.wgan,
    "wgan_gp": recipes.wgan_gp,
    "wgan_lp": recipes.wgan_lp,
}


def described(recipe: recipes.Recipe) -> dict:
    """A recipe of wganlab in the lab's words."""
    (name,) = (name for name in OBJECTIVES if getattr(objectives, name) == recipe.objective)
    limits = {limit: constraint(limit, 10.0) for limit in LIMITS}
    (limit,) = (limit for limit in LIMITS if limits[limit] == recipe.constraint)
    made = recipe.optimizer([nn.Parameter(torch.zeros(1))])
    assert (made.defaults["eps"], made.defaults["weight_decay"]) == (1e-8, 0)
    if isinstance(made, torch.optim.RMSprop):
        assert (made.defaults["momentum"], made.defaults["centered"]) == (0, False)
        return {"objective": name, "constraint": limit, "optimiser": "rmsprop"}
    assert type(made) is torch.optim.Adam
    return {
        "objective": name,
        "constraint": limit,
        "optimiser": "adam",
        "betas": list(made.defaults["betas"]),
    }


@needs_node
def test_the_recipes_are_those_of_wganlab():
    (found,) = ask(("games", {}))
    assert found["RECIPES"] == {name: described(recipe) for name, recipe in OURS.items()}
    assert sorted(found["objectives"]) == sorted(OBJECTIVES)
    assert sorted(found["CONSTRAINTS"]) == sorted(LIMITS)


def step_error(core: Path = CORE) -> float:
    """Fifty steps of each recipe's own optimizer, with gradients of all sizes and some that are 0."""
    rng, rate, n = np.random.default_rng(4), 0.01, 12
    start = rng.normal(size=n)
    gradients = rng.normal(size=(50, n)) * 10.0 ** rng.uniform(-9, 3, n)
    gradients[:, 3] = 0
    gradients[7:20, 4] = 0
    worst = 0.0
    for recipe in OURS.values():
        weight = nn.Parameter(torch.tensor(start))
        optimizer = recipe.optimizer([weight], lr=rate)
        expected = []
        for gradient in torch.tensor(gradients):
            weight.grad = gradient.clone()
            optimizer.step()
            expected.append(weight.tolist())
        question = {"weights": start.tolist(), "gradients": gradients.tolist(), "rate": rate}
        named = {key: described(recipe).get(key) for key in ("optimiser", "betas")}
        (found,) = ask(("steps", question | named), core=core)
        worst = max(
            worst, relative(np.diff(found, axis=0), np.diff(expected, axis=0)), relative(found, expected)
        )
    return worst


@needs_node
def test_fifty_steps_of_each_optimiser():
    assert step_error() <= 1e-13


def with_numbers(recipe: recipes.Recipe, settings: dict) -> recipes.Recipe:
    """A recipe of wganlab with the lab's rates, weight, c and n_critic."""
    limit = recipe.constraint
    if isinstance(limit, GradientPenalty):
        limit = dataclasses.replace(limit, weight=settings["weight"])
    if isinstance(limit, WeightClipping):
        limit = dataclasses.replace(limit, c=settings["c"])
    critic, generator = (partial(recipe.optimizer, lr=rate) for rate in settings["rates"])
    return dataclasses.replace(
        recipe,
        constraint=limit,
        optimizer=critic,
        generator_optimizer=generator,
        n_critic=settings["nCritic"],
    )


def turn_error(core: Path = CORE, names=tuple(OURS), data=("ring", "lines"), turns: int = 3) -> float:
    """The largest error of a weight after each of the lab's own turns, by Algorithm 1 on the same draws.

    It is larger than rounding: optimisers divide by 1e-8 where a gradient vanishes.
    """
    games = [SETTINGS | {"recipe": name, "data": law} for name in names for law in data]
    answers = ask(*(("turns", {"settings": game, "turns": turns}) for game in games), core=core)
    worst = 0.0
    for settings, answer in zip(games, answers, strict=True):
        lines, slope = settings["data"] == "lines", settings["slope"]
        critic = network(answer["sizes"]["critic"], answer["first"]["critic"], slope)
        first = answer["first"]["generator"]
        generator = Shift(first[2]) if lines else network(answer["sizes"]["generator"], first, slope)
        game = Game(generator, critic, with_numbers(OURS[settings["recipe"]], settings))
        latent = (settings["batch"], answer["sizes"]["generator"][0])

        def rows(values, shape):
            return torch.tensor(values, dtype=torch.float64).view(shape)

        for turn in answer["played"]:
            assert len(turn["steps"]) == settings["nCritic"]
            for step in turn["steps"]:
                x, z = rows(step["x"], (settings["batch"], 2)), rows(step["z"], latent)
                game.critic_step(x, z, rows(step["eps"], -1))
            game.generator_step(rows(turn["z"], latent))
            theta = [0.0, 1.0, *vector(generator).tolist(), 0.0] if lines else vector(generator).tolist()
            for found, expected in (
                (turn["weights"]["generator"], theta),
                (turn["weights"]["critic"], vector(critic).tolist()),
            ):
                error = float(np.abs(np.array(found) - expected).max())
                worst = max(worst, error if error == error else math.inf)
    return worst


@needs_node
@pytest.mark.parametrize("name", OURS)
def test_three_turns(name):
    assert turn_error(names=(name,)) <= 1e-10


# ---- The exact distance


def costs(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(2, n, 2))
    twice = x[rng.integers(0, (n + 1) // 2, n)]

    def distances(a, b):
        return np.linalg.norm(a[:, None] - b[None], axis=2)

    return [
        rng.normal(size=(n, n)),
        rng.integers(0, 4, (n, n)).astype(float),
        rng.integers(0, n, (n, n)).astype(float),
        np.ones((n, n)),
        distances(x, y),
        distances(twice, y),
        distances(twice, twice[rng.permutation(n)]),
        distances(x, np.repeat(y[:1], n, axis=0)),
    ]


def assignment_error(core: Path = CORE, sizes=(*range(1, 12), 16, 31, 64, 100, 128, 200)) -> float:
    problems = [cost for n in sizes for cost in costs(n)]
    questions = (("assign", {"costs": cost.flatten().tolist(), "n": len(cost)}) for cost in problems)
    worst = 0.0
    for cost, found in zip(problems, ask(*questions, core=core), strict=True):
        match = np.array(found["match"])
        if sorted(match) != list(range(len(cost))):
            return math.inf
        least = cost[linear_sum_assignment(cost)].sum()
        for total in (found["cost"], cost[np.arange(len(cost)), match].sum()):
            worst = max(worst, abs(total - least) / max(1.0, abs(least)))
    return worst


@needs_node
def test_assignments():
    assert assignment_error() <= 1e-12


@needs_node
def test_the_distance_of_batches():
    rng = torch.Generator().manual_seed(8)
    pairs = []
    for n in (1, 2, 17, 64, 128, 200):
        for law, other in ((sampling.ring(), sampling.normal(2)), (sampling.grid(), sampling.grid())):
            pairs.append((law(n, rng).double(), other(n, rng).double()))
    for (x, y), found in zip(
        pairs,
        ask(*(("w1", {"x": x.flatten().tolist(), "y": y.flatten().tolist()}) for x, y in pairs)),
        strict=True,
    ):
        assert found == pytest.approx(emd(x, y).distance, rel=1e-12, abs=1e-13)


# ---- The laws


@needs_node
def test_centres():
    ring, grid = ask(("centres", {"law": "ring"}), ("centres", {"law": "grid"}))
    angle = np.pi * np.arange(8) / 4
    line = 2 / 2.828 * np.arange(-2, 3)
    assert relative(ring, 2 / 1.414 * np.stack([np.cos(angle), np.sin(angle)], axis=1)) <= 1e-15
    assert relative(grid, [[x, y] for x in line for y in line]) <= 1e-15
    for found, law in ((ring, sampling.ring()), (grid, sampling.grid())):  # those are in float32
        assert relative(found, law.centres.tolist()) <= 3e-7


def off(name: str, x: np.ndarray) -> np.ndarray:
    """Squared distances of points from the nearest centre, arm of the spiral, or line."""
    if name == "roll":  # the arms are at t = angle + 2 pi k, and almost circles
        radius, angle = 7.5 * np.linalg.norm(x, axis=1), np.arctan2(x[:, 1], x[:, 0])
        return (radius - angle - 2 * np.pi * ((radius - angle) / (2 * np.pi)).round()) ** 2
    if name == "lines":
        return x[:, 0] ** 2
    centres = LAWS[name].centres.double().numpy()
    return ((x[:, None] - centres) ** 2).sum(axis=2).min(axis=1)


def law_distance(name: str, x: np.ndarray, y: np.ndarray) -> float:
    """The largest difference between means over two samples, in standard deviations.

    The means are those of waves, from the length of the whole picture to that of a mode, and of ``off``.
    """
    rng = np.random.default_rng(5)
    length, angle = 10.0 ** rng.uniform(-0.5, 2, 60), rng.uniform(0, 2 * np.pi, 60)
    waves = length * np.stack([np.cos(angle), np.sin(angle)])

    def numbers(points):
        return np.column_stack([np.cos(points @ waves), np.sin(points @ waves), off(name, points)])

    a, b = numbers(x), numbers(y)
    difference = np.abs(a.mean(axis=0) - b.mean(axis=0))
    deviation = np.sqrt(a.var(axis=0) / len(a) + b.var(axis=0) / len(b))
    return float((difference[difference > 0] / deviation[difference > 0]).max())


def by_torch(law: sampling.Sampler, seed: int, n: int = 20_000) -> np.ndarray:
    return law(n, torch.Generator().manual_seed(seed)).double().numpy()


def law_error(name: str, core: Path = CORE, n: int = 20_000) -> float:
    """How far the lab's law is from that of wganlab, in standard deviations."""
    (answer,) = ask(("sample", {"law": name, "cells": [], "n": n, "seed": 1}), core=core)
    return law_distance(name, np.array(answer).reshape(n, 2), by_torch(LAWS[name], 1))


LAWS = {
    "ring": sampling.ring(),
    "grid": sampling.grid(),
    "roll": sampling.swiss_roll(),
    "lines": sampling.parallel_line(0.0),
}


@needs_node
@pytest.mark.parametrize("name", LAWS)
def test_laws(name):
    assert law_error(name) <= 5


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("ring", sampling.ring(std=0.016)),
        ("ring", sampling.ring(radius=1.42)),
        ("grid", sampling.grid(std=0.02)),
        ("roll", sampling.swiss_roll(noise=0.27)),
        ("roll", sampling.swiss_roll(scale=7.6)),
        ("lines", sampling.parallel_line(0.001)),
    ],
)
def test_a_law_that_differs_a_little_is_seen(name, close):
    assert law_distance(name, by_torch(LAWS[name], 1), by_torch(LAWS[name], 2)) <= 5
    assert law_distance(name, by_torch(close, 1), by_torch(LAWS[name], 2)) > 5


@needs_node
@pytest.mark.parametrize("name", ["ring", "grid"])
def test_modes_are_those_of_the_metrics(name):
    law, rng = LAWS[name], torch.Generator().manual_seed(6)
    centres = law.centres.double().numpy()
    for kept in (1, 3, len(centres)):
        x = sampling.Mixture(law.centres[:kept], 0.1)(1024, rng).double().numpy()
        (found,) = ask(("modes", {"law": name, "x": x.flatten().tolist()}))
        expected = metrics.mode_coverage(x, centres, radius=0.2)
        assert found == {"covered": expected.modes, "total": len(centres), "near": expected.share}
        assert 0.5 < expected.share < 1


@cache
def mulberry32(seed: int, n: int) -> list[float]:
    """Mulberry32 in whole numbers without a sign."""
    low, numbers = 2**32 - 1, []
    for k in range(1, n + 1):
        state = (seed + k * 0x6D2B79F5) & low
        t = (state ^ (state >> 15)) * (1 | state) & low
        t = (t + (t ^ (t >> 7)) * (61 | t) & low) ^ t
        numbers.append(((t ^ (t >> 14)) & low) / 2**32)
    return numbers


@needs_node
@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_random_numbers(seed):
    (found,) = ask(("uniform", {"seed": seed, "n": 200}))
    assert found == mulberry32(seed, 200)


# ---- Faults on purpose


def gradients_wrong(core: Path) -> bool:
    return not max(gradient_errors("Float64", [(16, 2, 0.2)], core=core).values()) <= 1e-6


def dead_units_wrong(core: Path) -> bool:
    return not max(gradient_errors("Float64", [(16, 2, 0.0)], dead=True, core=core).values()) <= 1e-6


def shift_wrong(core: Path) -> bool:
    return not shift_error(core) <= 1e-6


def steps_wrong(core: Path) -> bool:
    return not step_error(core) <= 1e-6


def turns_wrong(core: Path) -> bool:
    return not turn_error(core) <= 1e-6


def assignments_wrong(core: Path) -> bool:
    return not assignment_error(core, sizes=(5, 16, 31)) <= 1e-6


def roll_wrong(core: Path) -> bool:
    return not law_error("roll", core) <= 5


class Fault(NamedTuple):
    """A change of one place in the core, the tests in node that see it, and the comparisons above that do."""

    file: str
    old: str
    new: str
    node: str = ""
    seen: tuple = ()


FAULTS = {
    "wrong end of the segment": Fault(
        "losses",
        "eps[i] * x[k] + (1 - eps[i]) * fake[k]",
        "(1 - eps[i]) * x[k] + eps[i] * fake[k]",
        "fixture",
        (gradients_wrong, turns_wrong),
    ),
    "penalty at the middle": Fault(
        "losses",
        "eps[i] * x[k] + (1 - eps[i]) * fake[k]",
        "0.5 * x[k] + 0.5 * fake[k]",
        "fixture",
        (gradients_wrong, turns_wrong),
    ),
    "two-sided for one-sided": Fault(
        "losses", "oneSided && slope < 1", "false", "fixture losses", (gradients_wrong, turns_wrong)
    ),
    "one-sided for two-sided": Fault(
        "losses", "oneSided && slope < 1", "slope < 1", "fixture losses", (gradients_wrong, turns_wrong)
    ),
    "penalty over the wrong rows": Fault(
        "losses",
        "for (let k = 4 * m; k < 6 * m; k += 2) {\n    const",
        "for (let k = 2 * m; k < 4 * m; k += 2) {\n    const",
        "fixture differences",
        (gradients_wrong, turns_wrong),
    ),
    "penalty without its weight": Fault(
        "losses", "(2 * weight / m)", "(2 / m)", "fixture losses differences", (gradients_wrong,)
    ),
    "biases get a share of the penalty": Fault(
        "losses",
        "weightGradients(critic, t, rows, 2 * m)",
        "weightGradients(critic, t, rows, rows)",
        "fixture losses differences",
        (gradients_wrong, turns_wrong),
    ),
    "biases in the tangents": Fault(
        "losses",
        "critic.W[l - 1], null, out",
        "critic.W[l - 1], critic.b[l - 1], out",
        "fixture differences",
        (gradients_wrong,),
    ),
    "a slope of 0 gives NaN": Fault(
        "losses", "Math.max(slope, 1e-12)", "slope", "losses", (dead_units_wrong,)
    ),
    "sign of the critic": Fault(
        "losses",
        "real: (f) => -f, realSlope: () => -1,\n    fake: (f) => f, fakeSlope: () => 1,",
        "real: (f) => f, realSlope: () => 1,\n    fake: (f) => -f, fakeSlope: () => -1,",
        "fixture losses",
        (gradients_wrong, turns_wrong),
    ),
    "sign of the generator": Fault(
        "losses",
        "generator: (f) => -f, generatorSlope: () => -1",
        "generator: (f) => f, generatorSlope: () => 1",
        "fixture losses",
        (gradients_wrong, turns_wrong, shift_wrong),
    ),
    "minimax for non-saturating": Fault(
        "losses",
        "generator: (f) => softplus(-f), generatorSlope: (f) => -sigmoid(-f)",
        "generator: (f) => -softplus(f), generatorSlope: (f) => -sigmoid(f)",
        "fixture losses",
        (gradients_wrong, turns_wrong),
    ),
    "ReLU for leaky ReLU": Fault(
        "arithmetic", "h[i] > 0 ? 1 : slope", "h[i] > 0 ? 1 : 0", "fixture", (gradients_wrong, turns_wrong)
    ),
    "frozen weights move": Fault(
        "network", "for (const i of net.frozen) g[i] = 0;", "", "training", (shift_wrong, turns_wrong)
    ),
    "no clip after a step": Fault(
        "training",
        "updateCritic();\n    if (clipped) clip(critic, c);",
        "updateCritic();",
        "training",
        (turns_wrong,),
    ),
    "clip from above only": Fault(
        "optimisers",
        "Math.min(Math.max(p[i], -c), c)",
        "Math.min(p[i], c)",
        "optimisers training",
        (turns_wrong,),
    ),
    "one critic step a turn": Fault("training", "t < nCritic", "t < 1", "training", (turns_wrong,)),
    "the critic's noise for the generator": Fault(
        "training", "tc, prior(z, random), m, game)", "tc, z, m, game)", "", (turns_wrong,)
    ),
    "the players' rates swapped": Fault(
        "training",
        "[update(critic, rates[0]), update(generator, rates[1])]",
        "[update(critic, rates[1]), update(generator, rates[0])]",
        "",
        (turns_wrong,),
    ),
    "Adam without bias correction": Fault(
        "optimisers",
        "step = rate / (1 - beta1 ** t), correction = 1 - beta2 ** t",
        "step = rate, correction = 1",
        "optimisers",
        (steps_wrong, turns_wrong),
    ),
    "another smoothing constant": Fault(
        "optimisers", "smoothing = 0.99", "smoothing = 0.9", "optimisers", (steps_wrong, turns_wrong)
    ),
    "eps inside the root": Fault(
        "optimisers",
        "(Math.sqrt(square[i]) + eps)",
        "Math.sqrt(square[i] + eps)",
        "optimisers",
        (steps_wrong,),
    ),
    "greedy assignment": Fault(
        "transport",
        "u[rowOf[j]] += shortest - distance[j];",
        "",
        "transport",
        (assignments_wrong,),
    ),
    "squared distances": Fault(
        "transport", "Math.sqrt(across * across + up * up)", "across * across + up * up", "transport"
    ),
    "wider noise of the roll": Fault(
        "laws", "(t * Math.cos(t) + 0.25 *", "(t * Math.cos(t) + 0.3 *", "laws", (roll_wrong,)
    ),
    "a quarter is not enough": Fault("laws", "count >= fair / 4", "count > fair / 4", "laws"),
    "the rim is outside": Fault("laws", "best > RADIUS", "best >= RADIUS", "laws"),
    "looks take the run's random numbers": Fault(
        "training",
        "latent: (n, from) => prior(new Real(latent * n), from)",
        "latent: (n, from) => prior(new Real(latent * n), random)",
        "session",
    ),
    "pictures share memory": Fault(
        "session",
        "field: run.judge(points, FIELD * FIELD).f.slice()",
        "field: run.judge(points, FIELD * FIELD).f",
        "session",
    ),
    "each look twice": Fault("engine", "looks.splice(0)", "looks.slice()", "engine"),
    "turns that were missed are made up for": Fault(
        "engine",
        "Math.min(owed + (now - since) * pace, 1 + pace / 10)",
        "owed + (now - since) * pace",
        "engine",
    ),
    "a page that rests goes on": Fault("engine", "pace === 0 || game.diverged", "game.diverged", "engine"),
}


def broken(fault: Fault, folder: Path) -> Path:
    """A copy of the core with the fault in it."""
    core = shutil.copytree(CORE, folder / "core")
    path = core / f"{fault.file}.mjs"
    source = path.read_text(encoding="utf-8")
    assert source.count(fault.old) == 1, f"the core no longer has one '{fault.old}'"
    path.write_text(source.replace(fault.old, fault.new), encoding="utf-8")
    return core


@needs_node
@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name, tmp_path):
    fault = FAULTS[name]
    core = broken(fault, tmp_path)
    for node_test in fault.node.split():
        done = node_tests(f"{node_test}.test.mjs", core)
        assert done.returncode == 1, f"{node_test}.test.mjs is green"
        assert "ERR_ASSERTION" in done.stdout, done.stdout
    assert fault.node or fault.seen
    for wrong in fault.seen:
        assert wrong(core), f"{wrong.__name__} sees nothing"


@needs_node
@pytest.mark.slow
def test_a_sound_copy_is_green(tmp_path):
    core = shutil.copytree(CORE, tmp_path / "core")
    names = {name for fault in FAULTS.values() for name in fault.node.split()}
    assert [name for name in names if node_tests(f"{name}.test.mjs", core).returncode != 0] == []
    checks = {wrong for fault in FAULTS.values() for wrong in fault.seen}
    assert [wrong.__name__ for wrong in checks if wrong(core)] == []
