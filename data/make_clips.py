"""Trains a WGAN on the eight Gaussians with two clips and five seeds, and keeps what chapter 9 shows.

    python data/make_clips.py

About two minutes on one CPU thread. Writes data/runs/clips.npz and .json: for each run the exact W1 before
and after, the modes that its generator holds, and its critic's last number.
"""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.optim import RMSprop

from wganlab import Draw, Game, data, metrics, networks, recipes, sampling, train
from wganlab.constraints import WeightClipping

CLIPS, SEEDS, UPDATES, M = (0.01, 0.05), range(5), 400, 128
torch.set_num_threads(1)
ring, prior = sampling.ring(), sampling.normal(2)
test_rng = torch.Generator().manual_seed(99)
real, other_real = ring(500, test_rng), ring(500, test_rng)
z_test = prior(500, test_rng)


def judge(generator):
    with torch.no_grad():
        fake = generator(z_test)
    modes = metrics.mode_coverage(fake, ring.centres, radius=0.2).modes
    return metrics.exact_w1(real, other_real, fake), modes


def play(c, seed):
    """Exact W1 before and after, the floor, modes after, and the mean of the last 50 estimates."""
    torch.manual_seed(seed)
    generator, critic = networks.mlp(2, 2), networks.mlp(2, 1)
    recipe = replace(recipes.wgan, constraint=WeightClipping(c), optimizer=partial(RMSprop, lr=5e-4))
    before, estimates = judge(generator)[0].w1, []
    for step in train(Game(generator, critic, recipe), Draw(ring, prior, M, seed=seed), until=UPDATES):
        estimates.append(-step.critic_loss.item())
    (after, floor), modes = judge(generator)
    return before, after, floor, modes, np.mean(estimates[-50:])


begin = time.process_time()
rows = np.array([[play(c, seed) for seed in SEEDS] for c in CLIPS])
seconds = time.process_time() - begin
before, after, floor, modes, estimate = np.moveaxis(rows, 2, 0)
arrays = {
    "c": np.array(CLIPS),
    "before": before,
    "after": after,
    "floor": floor[0, 0],
    "modes": modes.astype(int),
    "estimate": estimate,
}
about = {
    "command": "python data/make_clips.py",
    "what": "WGAN on the eight Gaussians; 400 updates, batch 128, clips 0.01 and 0.05, seeds 0 to 4",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "clips", arrays, about)
for c, w1, number in zip(CLIPS, after, estimate, strict=True):
    print(f"c = {c}: W1 {w1.round(3)}, estimates {number.round(5)}")
print(f"{seconds:.0f} s; floor of W1 {floor[0, 0]:.3f}")
