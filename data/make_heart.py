"""Trains critics that learn 200 digits by heart, beside the program that they go to; four CPU-minutes.

    python data/make_heart.py

Writes data/runs/heart.npz and .json: the "by heart" critic of data/make_penalty.py (200 digits, two-sided
penalty of weight 10, 784-256-256-1) for five times as many updates.

    step      (k,) critic updates
    gap       (3, k, 2) seed, step: the estimate on the digits seen and on 1,000 others
    limit     (3, 4) seed: the program for 1,000 of the fakes: objective, estimate; on 4,000 fresh fakes the
              objective of its values on the digits, each fake's value chosen best for it, with its
              standard error
    w1        (3,) exact W1 of the 200 digits and the 1,000 fakes
    distance  (3,) mean distance of a digit and a fake
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from make_penalty import NOISE
from scipy.optimize import brentq
from scipy.spatial.distance import cdist

from wganlab import Draw, data, fit, networks, recipes, sampling
from wganlab.constraints import GradientPenalty
from wganlab.transport import emd, penalised_sample

SEEDS, STEPS, EVERY = 3, 10_000, 500


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
    some, *more = (fakes(1000, rng) for _ in range(5))
    fresh = torch.cat(more)
    found = penalised_sample(seen, some, weight=10.0)
    values = best_values(found.f_x, cdist(seen, fresh), 10.0)
    error = values.std() / len(values) ** 0.5
    limit = (found.objective, found.estimate, values.mean(), error)
    print(f"heart  seed {seed}: limit {np.round(limit, 3)}", flush=True)
    x_fake = fakes(1000, torch.Generator().manual_seed(seed))
    torch.manual_seed(seed)
    critic, draw, gaps = networks.mlp(784, 1, hidden=(256, 256)), Draw(seen, fakes, 64, seed=seed), []
    recipe = replace(recipes.wgan_gp, constraint=GradientPenalty(10.0))
    for step in fit(critic, lambda step: draw(step + 1), recipe, STEPS):  # batches 1, 2, ...
        if step.index % EVERY == 0:
            with torch.no_grad():
                gaps.append([(critic(some).mean() - critic(x_fake).mean()).item() for some in (seen, others)])
    print(f"heart  seed {seed}: {np.round(gaps[3::4], 2).tolist()}", flush=True)
    return gaps, limit, emd(seen, some).distance, cdist(seen, some).mean()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    begin, clock = time.perf_counter(), time.process_time()
    runs = zip(*(by_heart(seed) for seed in range(SEEDS)), strict=True)
    kept = {name: np.array(run) for name, run in zip(("gap", "limit", "w1", "distance"), runs, strict=True)}
    about = {
        "command": "python data/make_heart.py",
        "what": "critics that learn 200 digits by heart, and where they go",
        "seconds": round(time.perf_counter() - begin),
        "cpu_seconds": round(time.process_time() - clock),
    }
    kept["step"] = np.arange(EVERY, STEPS + 1, EVERY)
    data.save_results(Path(__file__).parent / "runs", "heart", kept, about)
    print(f"{about['seconds']} s, {about['cpu_seconds']} CPU-s")
