"""Trains the critics of chapter 13 on the published benchmark pairs, against the number of funnels.

    python data/make_race.py FOLDER

FOLDER is a copy of github.com/justkolesov/Wasserstein1Benchmark, which holds the funnels of the pairs. Writes
data/runs/race.npz and .json: for dimensions 2 and 8, 4, 16 and 64 funnels, each kind and seed the cosine and
squared error of the critic's gradient at the fakes, its estimate, and bounds of its Lipschitz constant; some
more kinds with four funnels. About half an hour on one CPU thread; an interrupted run goes on where it was.
"""

import copy
import itertools
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import make_critics
import numpy as np
import torch
from make_critics import BATCH, CONSTRAINTS, HIDDEN, judged
from torch import nn
from torch.nn.utils.parametrize import cached

from wganlab import data, fit, networks, recipes, sampling
from wganlab.benchmark_pair import FunnelPair
from wganlab.constraints import Constraint, GradientPenalty, WeightClipping
from wganlab.engine import fast
from wganlab.objectives import wasserstein
from wganlab.training import identity

DIMS, FUNNELS, SEEDS, STEPS = (2, 8), (4, 16, 64), (0, 1, 2), 1500
NAMES = ("cosine", "error", "estimate", "slope", "lower", "upper")
one_sided = GradientPenalty(10.0, one_sided=True)


class MatrixClipping(WeightClipping):
    """Clips what a layer multiplies by, and leaves its biases free, as the benchmark's authors do."""

    def project(self, critic: nn.Module) -> None:
        for layer in critic.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.data.clamp_(-self.c, self.c)


RACE = {  # on every pair
    **{kind: CONSTRAINTS[kind] for kind in ("gp", "lp", "r1", "sn")},
    "clip_matrices": MatrixClipping(0.04),
    "sort": Constraint(),
}
SCOPE = {  # on the pairs with four funnels
    "clip": WeightClipping(0.04),
    "sn_two": Constraint(),  # SN with two hidden layers of 128 units, as the authors have it
    "sn10_lp": one_sided,  # 10 x SN
}
PLANE = {  # there, in the plane only
    "sn3_lp": one_sided,  # 3 x SN
    "sort_all": Constraint(),  # all units of a layer in one group, as the authors have it
}
KINDS = RACE | SCOPE | PLANE
TIMES = {"sn3_lp": 3.0, "sn10_lp": 10.0}


def times(K: float, critic: nn.Sequential) -> nn.Sequential:
    """K times the critic: a last factor that no training moves."""
    factor = nn.Linear(1, 1, bias=False).requires_grad_(False)
    factor.weight.fill_(K)
    return nn.Sequential(*critic[:-1], factor, critic[-1])


def make(kind: str, dim: int) -> nn.Module:
    """A new critic of a kind, drawn from PyTorch's global generator."""
    if kind == "sort_all":
        return networks.lipschitz_mlp(dim, hidden=HIDDEN, size=HIDDEN[0])
    if kind == "sn_two":
        return make_critics.make("sn", dim, (128, 128))
    if kind in TIMES:
        return times(TIMES[kind], make_critics.make("sn", dim))
    return make_critics.make(kind, dim)


def once(game):
    """The game with its orthonormal matrices computed once in each update."""
    play = copy.copy(game)

    def gradient(x, x_fake, eps):
        with cached():
            return game.critic_gradient(x, x_fake, eps)

    play.critic_gradient = gradient
    return play


def trained(kind: str, critic: nn.Module, batches: list) -> nn.Module:
    """The critic after one update on each batch, as in ``make_critics.trained``."""
    recipe = recipes.Recipe(wasserstein, KINDS[kind], partial(recipes.adam, lr=1e-3, betas=(0.0, 0.9)))
    accelerate = once if kind.startswith("sort") else identity if kind.startswith("sn") else fast
    for _ in fit(
        critic, batches.__getitem__, recipe, STEPS, rate=lambda k: 1 - k / STEPS, accelerate=accelerate
    ):
        pass
    return critic.eval()


@dataclass(frozen=True)
class Published(FunnelPair):
    """A pair with the tips of the benchmark's authors."""

    folder: Path = Path()

    @cached_property
    def tips(self):
        name = f"benchmarks/nd/dim_{self.dim}/width_{self.funnels}/deg_8_seed_987.pt"
        state = torch.load(self.folder / name, map_location="cpu", weights_only=True)
        return state["net.centers"].double(), state["net.bias"].double()


def plan():
    """Seeds, numbers of funnels, dimensions and the kinds that run there."""
    for kinds, funnels, dims in (
        (RACE, FUNNELS, DIMS),
        (SCOPE, FUNNELS[:1], DIMS),
        (PLANE, FUNNELS[:1], (2,)),
    ):
        for seed, number, dim in itertools.product(SEEDS, funnels, dims):
            yield seed, number, dim, kinds


def main(folder: Path, log: Path) -> None:
    """What stands in the log already is not computed again."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    lines = log.read_text().splitlines() if log.exists() else []
    done = {tuple(key): (found, seconds) for key, found, seconds in map(json.loads, lines)}
    for seed, number, dim, kinds in plan():
        left = [kind for kind in kinds if (dim, number, kind, seed) not in done]
        pair, start = Published(dim, number, folder=folder), time.process_time()
        draw = sampling.Draw(pair.real, pair.fake, BATCH, seed=seed)
        batches = [draw(step) for step in range(STEPS)] if left else []
        for kind in left:
            torch.manual_seed(seed)
            found = judged(trained(kind, make(kind, dim), batches), pair)
            row, start = (found, time.process_time() - start), time.process_time()
            done[dim, number, kind, seed] = row
            with log.open("a") as file:
                print(json.dumps([[dim, number, kind, seed], *row]), file=file)

    def table(name, kinds, funnels, dims):
        """(dims, funnels, kinds, seeds) of one measure."""
        keys = itertools.product(dims, funnels, kinds, SEEDS)
        values = np.array([done[key][0][name] for key in keys], dtype=np.float32)
        return values.reshape(len(dims), len(funnels), len(kinds), len(SEEDS))

    arrays = {name: table(name, RACE, FUNNELS, DIMS) for name in NAMES}
    for kinds, dims in ((SCOPE, DIMS), (PLANE, (2,))):
        for kind, name in itertools.product(kinds, NAMES):
            arrays[f"{kind}.{name}"] = table(name, [kind], FUNNELS[:1], dims)[:, 0, 0]
    pairs = [[Published(dim, number, folder=folder) for number in FUNNELS] for dim in DIMS]
    about = {
        "command": "python data/make_race.py FOLDER",
        "what": "critics on the published funnel pairs, 64-64-64 units; axes: dim, funnels, kind, seed; of "
        "KIND.measure, with four funnels: dim, seed",
        "kinds": list(RACE),
        "dims": DIMS,
        "funnels": FUNNELS,
        "seeds": SEEDS,
        "critic_updates": STEPS,
        "seconds": round(sum(seconds for _, seconds in done.values())),
    }
    truth = {
        "w1": np.array([[pair.w1 for pair in row] for row in pairs]),
        "w1_error": np.array([[pair.w1_error for pair in row] for row in pairs]),
    }
    data.save_results(Path(__file__).parent / "runs", "race", arrays | truth, about)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(tempfile.gettempdir()) / "race.jsonl")
