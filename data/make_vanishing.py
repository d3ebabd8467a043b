"""Trains critics from scratch against a fixed generator of digits, and keeps what chapter 4 shows.

    python data/make_vanishing.py

About two minutes on one CPU thread. Writes data/runs/vanishing.npz and .json: while a discriminator and a
critic with gradient penalty learn, the norm of the generator's mean gradient under each loss, its spread
from batch to batch, and the largest value and slope of the discriminator among the fakes.
"""

import itertools
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from wganlab import Draw, Game, data, fit, networks, recipes, sampling, train
from wganlab.constraints import input_gradient
from wganlab.objectives import minimax, non_saturating, wasserstein

LATENT, M, SEEDS, PRETRAINING = 64, 64, range(3), (0, 200)
STEPS = [0, 10, 25, 50, 100, 150, 250, 400, 600, 900, 1200, 1500]
# Both critics learn with the GAN's Adam, lr 2e-4 and betas (0.5, 0.999); they differ in the loss only.
CRITICS = {
    "discriminator": (recipes.gan, {"saturating": minimax, "non_saturating": non_saturating}),
    "gp": (replace(recipes.wgan_gp, optimizer=recipes.gan.optimizer), {"wasserstein": wasserstein}),
}
LOSSES = [name for _, losses in CRITICS.values() for name in losses]
torch.set_num_threads(1)
torch.set_flush_denormal(True)
digits, prior = data.digits().x, sampling.normal(LATENT)


def new_generator():
    return networks.mlp(LATENT, (1, 28, 28), hidden=(256, 256), last=nn.Tanh())


def new_critic():
    return networks.mlp((1, 28, 28), 1, hidden=(256, 256), slope=0.2)


def generator_of(seed, updates):
    """A generator after so many updates of a GAN."""
    torch.manual_seed(seed)
    generator, critic = new_generator(), new_critic()
    for _step in train(
        Game(generator, critic, recipes.gan), Draw(digits, prior, M, seed=seed), until=updates
    ):
        pass
    return generator


def mean_and_spread(generator, critic, objective, batches):
    """Norm of the mean of the batches' gradients, and their root mean squared distance from that mean."""
    gradients = []
    for z in batches:
        loss = objective.generator(critic(generator(z)))
        parts = torch.autograd.grad(loss, tuple(generator.parameters()))
        gradients.append(torch.cat([part.flatten() for part in parts]))
    gradients = torch.stack(gradients).double()
    mean = gradients.mean(0)
    return mean.norm().item(), (gradients - mean).square().sum(1).mean().sqrt().item()


def largest(critic, fakes):
    """The largest value and the largest slope of D = sigmoid(critic) among the fakes."""
    slope = input_gradient(lambda x: critic(x).sigmoid(), fakes).flatten(1).norm(dim=1)
    with torch.no_grad():
        return critic(fakes).sigmoid().max().item(), slope.max().item()


def watch(generator, kind, seed, batches):
    """Rows of ``mean_and_spread`` for each loss of this kind of critic, and of ``largest``, at STEPS."""
    recipe, losses = CRITICS[kind]
    with torch.no_grad():
        fakes = generator(torch.cat(batches))
    torch.manual_seed(1000 + seed)
    critic = new_critic()
    draw = Draw(digits, lambda n, rng: generator(prior(n, rng)).detach(), M, seed=1000 + seed)
    steps = itertools.chain([None], fit(critic, draw, recipe, until=STEPS[-1]))
    rows, sizes = [], []
    for number, _step in enumerate(steps):
        if number in STEPS:
            rows.append([mean_and_spread(generator, critic, loss, batches) for loss in losses.values()])
            sizes.append(largest(critic, fakes))
    return np.array(rows), np.array(sizes)


begin = time.process_time()
found, sizes = {}, []
for updates, seed in itertools.product(PRETRAINING, SEEDS):
    generator = generator_of(seed, updates)
    batches = list(prior(16 * M, torch.Generator().manual_seed(seed)).split(M))
    for kind, (_, losses) in CRITICS.items():
        rows, seen = watch(generator, kind, seed, batches)
        for number, name in enumerate(losses):
            found[name, updates, seed] = rows[:, number]
            print(f"{name:15} after {updates:3}, seed {seed}: {rows[[0, -1], number, 0]}", flush=True)
        sizes += [seen] if kind == "discriminator" else []
seconds = time.process_time() - begin
arrays = {
    name: np.array([[found[name, updates, seed] for seed in SEEDS] for updates in PRETRAINING])
    for name in LOSSES
} | {
    "largest": np.array(sizes).reshape(len(PRETRAINING), len(SEEDS), len(STEPS), 2),
    "steps": np.array(STEPS),
    "pretraining": np.array(PRETRAINING),
}
about = {
    "command": "python data/make_vanishing.py",
    "what": "Critics of a fixed generator of digits, 1,500 updates from scratch; batch 64, seeds 0 to 2",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "vanishing", arrays, about)
print(f"{seconds:.0f} s")
