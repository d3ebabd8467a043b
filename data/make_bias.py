"""Trains penalised critics on four pairs of laws on the line and keeps what they report; eleven minutes.

    python data/make_bias.py

Writes data/runs/bias.npz and .json: what trained critics report, to be held against the exact value
W1 + I / (2 weight), I the integral of h^2 / rho. Every pair has its fake law at the left and its real law
at the right. Each number is E f(x) - E f(g(z)) by quadrature, not from a batch.

    pairs            (4,) names: points (0 and 1), uniform (the point 0 and U[0, 1]),
                     normals (N(0, 1) and N(3, 1)), uniforms (U[0, 1] and U[2, 3])
    weights          (3,) 10, 1 and 0.1
    one_sided        (4, 3, 3) pair, weight, seed: the estimate of a smooth critic (SiLU), from random weights
    two_sided        (4, 3, 3) the same, from a critic of slope +1
    relu             (4, 3, 3) the same as one_sided with ReLU: its kinks leave, and a straight line is left,
                     which reports W1 + W1^2 / (2 weight)
    *_objective      (4, 3, 3) of each: the estimate less the penalty on a million fresh points
    reversed         (4, 3) pair, seed: two-sided, weight 10, from a critic of slope -1
    free             (12,) seed: two-sided, weight 10, on the pair uniform from random weights: either sign
    x                (4, 81) places between and around the laws
    one_sided_slope  (4, 3, 81) f' there, of seed 0; relu_slope, too
    reversed_slope   (4, 81) of seed 0
"""

import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam

from wganlab import Draw, data, fit, networks, recipes
from wganlab.constraints import GradientPenalty, input_gradient
from wganlab.sampling import Sampler
from wganlab.training import descend

WEIGHTS, SEEDS, STEPS, BATCH = (10.0, 1.0, 0.1), 3, 1500, 512


class Law(NamedTuple):
    """A law on the line with points (n, 1) and masses (n,) that integrate a smooth function exactly."""

    sample: Sampler
    points: Tensor
    masses: Tensor

    def mean(self, f: nn.Module) -> float:
        with torch.no_grad():
            return (self.masses @ f(self.points).double()).item()


def point(at: float) -> Law:
    return Law(lambda n, rng: torch.full((n, 1), at), torch.full((1, 1), at), torch.ones(1).double())


def uniform(low: float) -> Law:
    points = low + (torch.arange(20_000)[:, None] + 0.5) / 20_000
    masses = torch.full((len(points),), 1 / len(points)).double()
    return Law(lambda n, rng: low + torch.rand(n, 1, generator=rng), points, masses)


def normal(mean: float) -> Law:
    grid = torch.linspace(-9, 9, 20_001).double()
    masses = torch.exp(-grid.square() / 2)
    points = (mean + grid).float()[:, None]
    return Law(lambda n, rng: mean + torch.randn(n, 1, generator=rng), points, masses / masses.sum())


PAIRS = {  # name -> real, fake, and where the slope is kept
    "points": (point(1.0), point(0.0), (0.0, 1.0)),
    "uniform": (uniform(0.0), point(0.0), (0.0, 1.0)),
    "normals": (normal(3.0), normal(0.0), (-3.0, 6.0)),
    "uniforms": (uniform(2.0), uniform(0.0), (0.0, 3.0)),
}


def smooth_mlp(*sizes: int) -> nn.Sequential:
    """A critic whose slope is continuous, as ReLU's is not."""
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*layers[:-1], nn.Flatten(0))


def train(pair, weight, seed, *, one_sided=False, relu=False, start=None):
    """A critic after STEPS fresh batches, the learning rate falling to 0."""
    real, fake, _ = PAIRS[pair]
    torch.manual_seed(seed)
    critic = networks.mlp(1, 1, hidden=(64, 64)) if relu else smooth_mlp(1, 64, 64, 1)
    if start is not None:
        places = torch.linspace(-4, 7, 256)[:, None]
        adam = Adam(critic.parameters(), lr=1e-2, fused=True)
        for _ in range(300):
            descend((critic(places) - start * places[:, 0]).square().mean(), adam)
    adam = partial(recipes.adam, lr=2e-3, betas=(0.0, 0.9))
    recipe = replace(recipes.wgan_gp, constraint=GradientPenalty(weight, one_sided=one_sided), optimizer=adam)
    draw = Draw(real.sample, fake.sample, BATCH, seed=seed)
    for _ in fit(critic, draw, recipe, STEPS, rate=lambda step: 1 - step / STEPS):
        pass
    return critic


def estimate(critic, pair):
    real, fake, _ = PAIRS[pair]
    return real.mean(critic) - fake.mean(critic)


def mean_penalty(critic, pair, weight, one_sided):
    """The penalty on 2^20 fresh points, in sixteen parts."""
    real, fake, _ = PAIRS[pair]
    penalty = GradientPenalty(weight, one_sided=one_sided).penalty
    draw = Draw(real.sample, fake.sample, 2**16)
    return np.mean([penalty(critic, *draw(part, 0)).item() for part in range(16)])


def slopes(critic, pair):
    places = torch.linspace(*PAIRS[pair][2], 81)
    return input_gradient(critic, places[:, None])[:, 0].detach().numpy()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    begin = time.process_time()
    shape, n = (len(PAIRS), len(WEIGHTS), SEEDS), 81
    kinds = {
        "one_sided": {"one_sided": True},
        "two_sided": {"start": 1.0},
        "relu": {"one_sided": True, "relu": True},
    }
    kept = {name + end: np.zeros(shape) for name in kinds for end in ("", "_objective")}
    kept |= {f"{name}_slope": np.zeros((*shape[:2], n), np.float32) for name in ("one_sided", "relu")}
    kept["reversed"] = np.zeros((len(PAIRS), SEEDS))
    kept["reversed_slope"] = np.zeros((len(PAIRS), n), np.float32)
    kept["free"] = np.array([estimate(train("uniform", 10.0, seed), "uniform") for seed in range(12)])
    print(f"free      {kept['free'].round(4)}", flush=True)
    for i, pair in enumerate(PAIRS):
        for name, setting in kinds.items():
            for j, weight in enumerate(WEIGHTS):
                for seed in range(SEEDS):
                    critic = train(pair, weight, seed, **setting)
                    kept[name][i, j, seed] = found = estimate(critic, pair)
                    paid = mean_penalty(critic, pair, weight, setting.get("one_sided", False))
                    kept[f"{name}_objective"][i, j, seed] = found - paid
                    if seed == 0 and f"{name}_slope" in kept:
                        kept[f"{name}_slope"][i, j] = slopes(critic, pair)
                print(f"{pair:9} {name:10} {weight:4}: {kept[name][i, j].round(4)}", flush=True)
        for seed in range(SEEDS):
            critic = train(pair, 10.0, seed, start=-1.0)
            kept["reversed"][i, seed] = estimate(critic, pair)
            if seed == 0:
                kept["reversed_slope"][i] = slopes(critic, pair)
        print(f"{pair:9} reversed   10.0: {kept['reversed'][i].round(4)}", flush=True)
    arrays = {
        "pairs": np.array(list(PAIRS)),
        "weights": np.array(WEIGHTS),
        "x": np.array([np.linspace(*ends, n) for _, _, ends in PAIRS.values()]),
    } | kept
    about = {
        "command": "python data/make_bias.py",
        "what": "what trained critics report on the line, by penalty, weight and seed",
        "critic": f"1-64-64-1, Adam(0.002 falling to 0, betas 0 and 0.9), {STEPS} batches of {BATCH}",
        "cpu_seconds": round(time.process_time() - begin),
    }
    data.keep(Path(__file__).parent / "runs", "bias", arrays, about)
    print(f"{about['cpu_seconds']} s")
