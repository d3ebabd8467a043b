"""Trains critics of a few points beside the program that says where they go; six CPU-minutes.

    python data/make_sample.py

Writes data/runs/sample.npz and .json.

    few_x, few_fake  (4, 10) each: normal points; weight 1
    few_numbers      (3, 2) seed: objective (one-sided) and estimate of a trained SiLU critic 512-512
    twenty_numbers   (3, 2) the same for 20 real digits and 20 fixed fakes, weight 10, SiLU 256-256
    twenty_limit     (4,) objective, cost and estimate of the program, and W1
    heart_step       (k,) critic updates
    heart_gap        (3, k, 2) seed, step: the "by heart" critic of data/make_penalty.py (200 digits, penalty,
                     784-256-256-1) trained on: the estimate on the digits seen and on 1,000 others
    heart_limit      (3, 4) seed: the program for 1,000 of the fakes: objective, estimate; and on 4,000 fresh
                     fakes what the objective of its values on the digits is, each fake's value chosen best
                     for it, with its standard error
    heart_w1         (3,) exact W1 of the 200 digits and the 1,000 fakes
    heart_distance   (3,) mean distance of a digit and a fake
"""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from make_penalty import NOISE, tower
from scipy.optimize import brentq
from scipy.spatial.distance import cdist
from torch import nn

from wganlab import Draw, data, fit, networks, recipes, sampling
from wganlab.constraints import GradientPenalty
from wganlab.transport import emd, penalised_sample

SEEDS, HEART_STEPS, HEART_EVERY = 3, 10_000, 500


def on_all_pairs(x, x_fake, sizes, weight, seed, *, steps, batch, rate=1e-3):
    """Objective and estimate of a critic that sees ``batch`` random pairs a step, all pairs equally often."""
    torch.manual_seed(seed)
    critic, rng = tower(nn.SiLU, *sizes), torch.Generator().manual_seed(seed)
    penalty = GradientPenalty(weight, one_sided=True)
    pairs = torch.cartesian_prod(torch.arange(len(x)), torch.arange(len(x_fake)))

    def draw(step):
        turn = torch.cat([torch.randperm(len(pairs), generator=rng) for _ in range(-(-batch // len(pairs)))])
        i, j = pairs[turn[:batch]].T
        return x[i], x_fake[j], torch.rand(batch, generator=rng)

    adam = partial(recipes.adam, lr=rate, betas=(0.0, 0.9))
    recipe = replace(recipes.wgan_gp, constraint=penalty, optimizer=adam)
    for _ in fit(critic, draw, recipe, steps, rate=lambda step: 1 - step / steps):
        pass
    with torch.no_grad():
        estimate = (critic(x).mean() - critic(x_fake).mean()).item()
    i, j = pairs.T
    paid = [penalty.penalty(critic, x[i], x_fake[j], torch.rand(len(i), generator=rng)).item()
            for _ in range(-(-8000 // len(pairs)))]  # fmt: skip
    return estimate - np.mean(paid), estimate


def best_values(f, far, weight):
    """For each fake the g that is best for given values f (n,) of the real points; J of each (m,)."""

    def slack(g, d):
        slope = (f - g) / d
        return 2 * weight * (np.sign(slope) * np.maximum(np.abs(slope) - 1, 0) / d).mean() - 1

    g = np.array([brentq(slack, f.min() - 9 * d.max(), f.max() + d.max(), args=(d,)) for d in far.T])
    excess = np.maximum(np.abs(f[:, None] - g) / far - 1, 0)
    return f.mean() - g - weight * (excess**2).mean(0)


def by_heart(seed):
    """The numbers of the critic along its training, and where it goes: the names of the file."""
    x, _ = data.digits()
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))].flatten(1)
    seen, others, clean = x[:200], x[1000:2000], sampling.empirical(x[2000:4000])

    def fakes(n, rng):
        return clean(n, rng) + NOISE * torch.randn(n, 784, generator=rng)

    rng = torch.Generator().manual_seed(1000 + seed)
    some, fresh = fakes(1000, rng), fakes(4000, rng)
    found = penalised_sample(seen, some, weight=10.0)
    values = best_values(found.f_x, cdist(seen, fresh), 10.0)
    error = values.std() / len(values) ** 0.5
    limit = (found.objective, found.estimate, values.mean(), error)
    print(f"heart  seed {seed}: limit {np.round(limit, 3)}", flush=True)
    x_fake = fakes(1000, torch.Generator().manual_seed(seed))
    torch.manual_seed(seed)
    critic, draw, gaps = networks.mlp(784, 1, hidden=(256, 256)), Draw(seen, fakes, 64, seed=seed), []
    recipe = replace(recipes.wgan_gp, constraint=GradientPenalty(10.0))
    for step in fit(critic, lambda step: draw(step + 1), recipe, HEART_STEPS):  # batches 1, 2, ...
        if step.index % HEART_EVERY == 0:
            with torch.no_grad():
                gaps.append([(critic(some).mean() - critic(x_fake).mean()).item() for some in (seen, others)])
    print(f"heart  seed {seed}: {np.round(gaps[3::4], 2).tolist()}", flush=True)
    return gaps, limit, emd(seen, some).distance, cdist(seen, some).mean()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    begin, clock, kept = time.perf_counter(), time.process_time(), {}
    rng = torch.Generator().manual_seed(0)
    x, x_fake = torch.randn(4, 10, generator=rng), torch.randn(4, 10, generator=rng)
    kept |= {"few_x": x.numpy(), "few_fake": x_fake.numpy()}
    kept["few_numbers"] = np.array([
        on_all_pairs(x, x_fake, (10, 512, 512, 1), 1.0, seed, steps=3000, batch=64) for seed in range(SEEDS)
    ])  # fmt: skip
    print(f"few    {kept['few_numbers'].round(3).tolist()} {time.process_time() - clock:.0f} s", flush=True)

    x, _ = data.digits()
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))].flatten(1)
    x, x_fake = x[:20], x[2000:2020] + NOISE * torch.randn(20, 784, generator=rng)
    found = penalised_sample(x, x_fake, weight=10.0)
    kept["twenty_limit"] = np.array([found.objective, found.cost, found.estimate, emd(x, x_fake).distance])
    kept["twenty_numbers"] = np.array([
        on_all_pairs(x, x_fake, (784, 256, 256, 1), 10.0, seed, steps=3000, batch=64) for seed in range(SEEDS)
    ])  # fmt: skip
    print(f"twenty {kept['twenty_limit'].round(3)} {kept['twenty_numbers'].round(3).tolist()} "
          f"{time.process_time() - clock:.0f} s", flush=True)  # fmt: skip

    kept["heart_step"] = np.arange(HEART_EVERY, HEART_STEPS + 1, HEART_EVERY)
    names = ("heart_gap", "heart_limit", "heart_w1", "heart_distance")
    runs = zip(*(by_heart(seed) for seed in range(SEEDS)), strict=True)
    kept |= {name: np.array(run) for name, run in zip(names, runs, strict=True)}
    about = {
        "command": "python data/make_sample.py",
        "what": "critics of few points beside quadratically regularised transport",
        "seconds": round(time.perf_counter() - begin),
        "cpu_seconds": round(time.process_time() - clock),
    }
    data.save_results(Path(__file__).parent / "runs", "sample", kept, about)
    print(f"{about['seconds']} s, {about['cpu_seconds']} CPU-s")
