"""Computes where the critics go that learn 200 digits by heart in data/make_penalty.py; seconds.

    python data/make_heart.py

Writes data/runs/heart.npz and .json: the program of `penalised_sample` for the 200 digits of each seed and
the fakes of that experiment (other digits with fresh noise), weight 10.

    limit     (3, 4) seed: the program for 1,000 of the fakes: objective, estimate; on 4,000 fresh fakes the
              objective of its values on the digits, each fake's value chosen best for it, with its
              standard error
    w1        (3,) exact W1 of the 200 digits and the 1,000 fakes
    distance  (3,) mean distance of a digit and a fake
"""

import time
from pathlib import Path

import numpy as np
import torch
from make_penalty import NOISE
from scipy.optimize import brentq
from scipy.spatial.distance import cdist

from wganlab import data, sampling
from wganlab.transport import emd, penalised_sample

SEEDS, WEIGHT = 3, 10.0


def best_values(f, far, weight):
    """For each fake the g that is best for given values f (n,) of the real points; J of each (m,)."""

    def slack(g, d):
        slope = (f - g) / d
        return 2 * weight * (np.sign(slope) * np.maximum(np.abs(slope) - 1, 0) / d).mean() - 1

    g = np.array([brentq(slack, f.min() - 9 * d.max(), f.max() + d.max(), args=(d,)) for d in far.T])
    excess = np.maximum(np.abs(f[:, None] - g) / far - 1, 0)
    return f.mean() - g - weight * (excess**2).mean(0)


def by_heart(seed):
    """Limit, W1 and mean distance for the digits of one seed."""
    x, _ = data.digits()
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))].flatten(1)
    seen, clean = x[:200], sampling.empirical(x[2000:4000])

    def fakes(n, rng):
        return clean(n, rng) + NOISE * torch.randn(n, 784, generator=rng)

    rng = torch.Generator().manual_seed(1000 + seed)
    some, *more = (fakes(1000, rng) for _ in range(5))
    fresh = torch.cat(more)
    found = penalised_sample(seen, some, weight=WEIGHT)
    values = best_values(found.f_x, cdist(seen, fresh), WEIGHT)
    error = values.std() / len(values) ** 0.5
    limit = (found.objective, found.estimate, values.mean(), error)
    print(f"seed {seed}: limit {np.round(limit, 3)}", flush=True)
    return limit, emd(seen, some).distance, cdist(seen, some).mean()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    begin, clock = time.perf_counter(), time.process_time()
    runs = zip(*(by_heart(seed) for seed in range(SEEDS)), strict=True)
    kept = {name: np.array(run) for name, run in zip(("limit", "w1", "distance"), runs, strict=True)}
    about = {
        "command": "python data/make_heart.py",
        "what": "where critics that learn 200 digits by heart go",
        "seconds": round(time.perf_counter() - begin),
        "cpu_seconds": round(time.process_time() - clock),
    }
    data.save_results(Path(__file__).parent / "runs", "heart", kept, about)
    print(f"{about['seconds']} s, {about['cpu_seconds']} CPU-s")
