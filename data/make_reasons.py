"""Trains critics alone against fixed points, and keeps how far their numbers are from W1, for chapter 9.

    python data/make_reasons.py

About two minutes on one thread. Writes data/runs/reasons.npz and .json. Two scenes: on the line N(0, 1/4)
against N(4, 1/4), where the best clipped critic is known; and in the plane 500 points of the ring against 500
of a blob in its middle, where a clipped critic has to rise in all directions.
"""

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.optim import Adam, RMSprop

from wganlab import Draw, data, fit, lipschitz, networks, sampling, transport
from wganlab.constraints import Constraint, WeightClipping
from wganlab.objectives import wasserstein
from wganlab.recipes import Recipe

SEEDS, CLIPS = range(5), (0.01, 0.05)
LINE_STEPS, PLANE_STEPS = (150, 300, 600, 1200), (5, 25, 100, 400)
torch.set_num_threads(1)
rms = partial(RMSprop, lr=5e-4)


def bump(mean):
    return lambda n, rng: mean + 0.5 * torch.randn(n, 1, generator=rng)


def blob(n, rng):
    return 0.1 * torch.randn(n, 2, generator=rng)


def numbers(critic, draw, recipe, steps, x, x_fake):
    """The critic's number on x and x_fake after each of ``steps`` updates."""
    found = []
    for step in fit(critic, draw, recipe, until=steps[-1]):
        if step.index in steps:
            with torch.no_grad():
                found.append((critic(x).mean() - critic(x_fake).mean()).item())
    return found


def on_the_line(c, seed, positive=False):
    torch.manual_seed(seed)
    critic = networks.mlp(1, 1, hidden=(64, 64, 64))
    if positive:
        for weight in critic.parameters():
            weight.data.abs_()
        critic[-2].weight.data.neg_()
    draw, recipe = Draw(bump(0.0), bump(4.0), 256, seed=seed), Recipe(wasserstein, WeightClipping(c), rms)
    return numbers(critic, draw, recipe, LINE_STEPS[: 2 if positive else 4], x_line, y_line)


def in_the_plane(seed, c=None):
    """A clipped critic, or (c None) one of orthonormal matrices and sorting, which is 1-Lipschitz."""
    torch.manual_seed(seed)
    if c is None:
        critic = networks.lipschitz_mlp(2, hidden=(32, 32, 32))
        recipe = Recipe(wasserstein, Constraint(), partial(Adam, lr=5e-3))
    else:
        critic, recipe = networks.mlp(2, 1), Recipe(wasserstein, WeightClipping(c), rms)
    draw = Draw(lambda n, rng: x_plane, lambda n, rng: y_plane, len(x_plane))
    return numbers(critic, draw, recipe, PLANE_STEPS, x_plane, y_plane)


rng = torch.Generator().manual_seed(99)
x_line, y_line = bump(0.0)(4000, rng), bump(4.0)(4000, rng)
x_plane, y_plane = sampling.ring()(500, rng), blob(500, rng)
begin = time.process_time()
line = [[on_the_line(c, seed) for seed in SEEDS] for c in CLIPS]
positive = [[on_the_line(c, seed, positive=True) for seed in SEEDS] for c in CLIPS]
clipped = [in_the_plane(seed, 0.05) for seed in SEEDS]
sorting = [in_the_plane(seed) for seed in SEEDS]
seconds = time.process_time() - begin
arrays = {
    "c": np.array(CLIPS),
    "line_steps": np.array(LINE_STEPS),
    "line_K": np.array([lipschitz.clip_bound((1, 64, 64, 64, 1), c) for c in CLIPS]),
    "line_w1": np.array(transport.wasserstein_1d(x_line.flatten(), y_line.flatten())),
    "line": np.array(line),  # clips, seeds, steps
    "positive": np.array(positive),
    "plane_steps": np.array(PLANE_STEPS),
    "plane_K": np.array(lipschitz.clip_bound((2, 128, 128, 128, 1), 0.05)),
    "plane_w1": np.array(transport.emd(x_plane, y_plane).distance),
    "clipped": np.array(clipped),  # seeds, steps
    "sorting": np.array(sorting),
}
about = {
    "command": "python data/make_reasons.py",
    "what": "critics alone: two normals on the line, and the ring against a blob; seeds 0 to 4",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "reasons", arrays, about)
for name in ("line", "positive"):
    print(name, (arrays[name] / arrays["line_K"][:, None, None] / arrays["line_w1"]).round(3).tolist())
print("clipped", (arrays["clipped"] / arrays["plane_K"] / arrays["plane_w1"]).round(4).tolist())
print("sorting", (arrays["sorting"] / arrays["plane_w1"]).round(3).tolist())
print(f"{seconds:.0f} s")
