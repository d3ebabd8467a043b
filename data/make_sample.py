"""Trains critics of a few points beside the program that says where they go; five CPU-minutes.

    python data/make_sample.py

Writes data/runs/sample.npz and .json.

    few_x, few_fake  (4, 10) each: normal points; weight 1
    few_numbers      (3, 2) seed: objective (one-sided) and estimate of a trained SiLU critic 512-512
    twenty_numbers   (3, 2) the same for 20 real digits and 20 fixed fakes, weight 10, SiLU 256-256
    twenty_limit     (4,) objective, cost and estimate of the program, and W1
"""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from make_penalty import NOISE, tower
from torch import nn

from wganlab import data, fit, recipes
from wganlab.constraints import GradientPenalty
from wganlab.transport import emd, penalised_sample

SEEDS = 3


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

    about = {
        "command": "python data/make_sample.py",
        "what": "critics of few points beside quadratically regularised transport",
        "seconds": round(time.perf_counter() - begin),
        "cpu_seconds": round(time.process_time() - clock),
    }
    data.save_results(Path(__file__).parent / "runs", "sample", kept, about)
    print(f"{about['seconds']} s, {about['cpu_seconds']} CPU-s")
