"""Trains a WGAN on the eight Gaussians with two clips and five seeds, and keeps what chapter 9 shows.

    python data/make_clips.py

About four minutes on one CPU thread. Writes data/runs/clips.npz and .json: for each run the exact W1 before
and after, the modes that its generator holds, its critic's last number, and at eleven updates what is seen of
the critic; of seed 0 also pictures. The last rows repeat the runs with the batches of seed 0.
"""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.optim import RMSprop

from wganlab import Draw, Game, data, lipschitz, metrics, networks, recipes, sampling, train, transport
from wganlab.constraints import WeightClipping

CLIPS, SEEDS, UPDATES, M = (0.01, 0.05), range(5), 400, 128
LOOKS, FRAMES = (1, 10, 25, *range(50, UPDATES + 1, 50)), (1, 25, 100, 400)
torch.set_num_threads(1)
ring, prior = sampling.ring(), sampling.normal(2)
test_rng = torch.Generator().manual_seed(99)
real, other_real = ring(500, test_rng), ring(500, test_rng)
z_test = prior(500, test_rng)
line = torch.linspace(-2.2, 2.2, 40)
square = torch.cartesian_prod(line, line)


@torch.no_grad()
def judge(generator):
    """Exact W1, its floor, and the modes that have a point nearby."""
    fake = generator(z_test)
    return *metrics.exact_w1(real, other_real, fake), metrics.mode_coverage(fake, ring.centres, 0.2).modes


def look(generator, critic):
    """Exact W1, the critic's number, and two bounds of its slope, on the 500 + 500 test points."""
    with torch.no_grad():
        fake = generator(z_test)
        gap = (critic(real).mean() - critic(fake).mean()).item()
    lower = lipschitz.lower_bound(critic, torch.cat([real, fake]))
    return transport.emd(real, fake).distance, gap, lower, lipschitz.upper_bound(critic)


@torch.no_grad()
def frame(generator, critic):
    """Eighty fakes, and the critic on a square, scaled to 0 and 1."""
    f = critic(square)
    return generator(z_test[:80]), (f - f.min()) / (f.max() - f.min())


def play(c, seed, batches, looks=()):
    """Numbers before and after, the looks, and the frames."""
    torch.manual_seed(seed)
    generator, critic = networks.mlp(2, 2), networks.mlp(2, 1)
    recipe = replace(recipes.wgan, constraint=WeightClipping(c), optimizer=partial(RMSprop, lr=5e-4))
    before, estimates, seen, frames = judge(generator)[0], [], [], []
    draw = Draw(ring, prior, M, seed=batches)
    for step in train(Game(generator, critic, recipe), draw, until=UPDATES):
        estimates.append(-step.critic_loss.item())
        if step.index in looks:
            seen.append(look(generator, critic))
            if step.index in FRAMES:
                frames.append(frame(generator, critic))
    return [before, *judge(generator), np.mean(estimates[-50:])], seen, frames


begin = time.process_time()
runs = [[play(c, seed, seed, LOOKS) for seed in SEEDS] for c in CLIPS]
same = np.array([[play(c, seed, 0)[0] for seed in SEEDS[1:]] for c in CLIPS])
seconds = time.process_time() - begin
before, after, floor, modes, estimate = np.moveaxis(np.array([[one[0] for one in row] for row in runs]), 2, 0)
frames = [row[0][2] for row in runs]
arrays = {
    "c": np.array(CLIPS),
    "before": before,
    "after": after,
    "floor": floor[0, 0],
    "modes": modes.astype(int),
    "estimate": estimate,
    "update": np.array(LOOKS),
    "looks": np.array([[one[1] for one in row] for row in runs]),  # W1, gap, lower, upper
    "frames": np.array(FRAMES),
    "real": real[:80].numpy(),
    "fake": np.array([[one[0].numpy() for one in row] for row in frames], np.float16),
    "field": np.array([[np.rint(255 * one[1].numpy()) for one in row] for row in frames], np.uint8),
    "after_same_batches": np.concatenate([after[:, :1], same[:, :, 1]], axis=1),
}
about = {
    "command": "python data/make_clips.py",
    "what": "WGAN on the eight Gaussians; 400 updates, batch 128, clips 0.01 and 0.05, seeds 0 to 4",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "clips", arrays, about)
for c, w1, again, number in zip(CLIPS, after, arrays["after_same_batches"], estimate, strict=True):
    print(f"c = {c}: W1 {w1.round(3)}, with the batches of seed 0 {again.round(3)}, {number.round(5)}")
print(f"{seconds:.0f} s; floor of W1 {floor[0, 0]:.3f}")
