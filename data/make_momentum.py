"""Plays WGAN with four optimizers of the critic, and keeps how its steps lie to the gradient, for chapter 9.

    python data/make_momentum.py

About two minutes on one thread. Writes data/runs/momentum.npz and .json: for each optimizer and seed, after
every update of the critic and before the clip, the cosine between the step and minus the gradient, and by how
much the loss of the same batch rose; and the exact W1 at the end.
"""

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import Adam, RMSprop

from wganlab import Draw, data, networks, sampling, transport
from wganlab.constraints import WeightClipping
from wganlab.objectives import wasserstein
from wganlab.training import descend

SEEDS, TURNS = range(5), 150
OPTIMIZERS = {
    "rmsprop": partial(RMSprop, lr=5e-4),
    "adam_0": partial(Adam, lr=5e-4, betas=(0.0, 0.99)),
    "adam_9": partial(Adam, lr=5e-4, betas=(0.9, 0.999)),
    "adam_9_fast": partial(Adam, lr=1.5e-3, betas=(0.9, 0.999)),
}
torch.set_num_threads(1)
ring, prior = sampling.ring(), sampling.normal(2)
test_rng = torch.Generator().manual_seed(99)
real, _, z_test = ring(500, test_rng), ring(500, test_rng), prior(500, test_rng)
flat = nn.utils.parameters_to_vector


def play(make_optimizer, seed):
    """Cosines and rises, one a critic update, and the exact W1 at the end."""
    torch.manual_seed(seed)
    generator, f = networks.mlp(2, 2), networks.mlp(2, 1)
    optimizer = make_optimizer(f.parameters())
    generator_optimizer = RMSprop(generator.parameters(), lr=5e-4)
    draw, clip, seen = Draw(ring, prior, 128, seed=seed), WeightClipping(0.01), []
    for step in range(TURNS):
        for t in range(5):
            x, z, _ = draw(step, t)
            x_fake, before = generator(z).detach(), flat(f.parameters()).detach()
            loss = wasserstein.critic(f(x), f(x_fake))
            descend(loss, optimizer)
            moved = flat(f.parameters()).detach() - before
            slope = flat(w.grad for w in f.parameters())
            with torch.no_grad():
                rise = wasserstein.critic(f(x), f(x_fake)) - loss
            seen.append((torch.cosine_similarity(-moved, slope, dim=0).item(), rise.item()))
            clip.project(f)
        descend(wasserstein.generator(f(generator(draw.latent(step)))), generator_optimizer)
    with torch.no_grad():
        return *zip(*seen, strict=True), transport.emd(real, generator(z_test)).distance


begin = time.process_time()
runs = {name: [play(make, seed) for seed in SEEDS] for name, make in OPTIMIZERS.items()}
seconds = time.process_time() - begin
arrays = {}
for name, found in runs.items():
    cosines, rises, w1 = zip(*found, strict=True)
    arrays[f"{name}.cosine"] = np.array(cosines, np.float32)
    arrays[f"{name}.rise"] = np.array(rises, np.float32)
    arrays[f"{name}.w1"] = np.array(w1)
    uphill, rose = ((np.array(a) < 0).sum(1) for a in (cosines, -np.array(rises)))
    print(f"{name}: uphill {uphill}, loss rose {rose} of {5 * TURNS}, W1 {np.round(w1, 3)}")
about = {
    "command": "python data/make_momentum.py",
    "what": "WGAN on the ring, c = 0.01, 150 turns of five critic updates, four optimizers, seeds 0 to 4",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "momentum", arrays, about)
print(f"{seconds:.0f} s")
