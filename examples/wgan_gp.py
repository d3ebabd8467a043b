"""WGAN-GP on eight Gaussians, on one page: data, players, Algorithm 1, and what came out. Half a minute.

    python examples/wgan_gp.py

It prints the critic's estimate of W1 beside the exact one, and draws both players into wgan_gp.png. Then let
``recipe`` be ``wgan`` and run it again: the samples are there, but the critic no longer says how far they
are. ``wganlab.train`` is this loop, to the last bit.
"""

from dataclasses import replace
from functools import partial

import torch
from matplotlib import pyplot as plt
from torch.optim import Adam, RMSprop

from wganlab import Draw, metrics, networks, plots, recipes, sampling
from wganlab.constraints import GradientPenalty

# The papers' recipes for a short run: learning rates ten times theirs, and the penalty's weight 1 for 10.
adam, rmsprop = partial(Adam, lr=1e-3, betas=(0.0, 0.9)), partial(RMSprop, lr=5e-4)
wgan_gp = replace(recipes.wgan_gp, optimizer=adam, constraint=GradientPenalty(1.0))
wgan = replace(recipes.wgan, optimizer=rmsprop)

recipe, turns = wgan_gp, 1000

# Data: eight narrow normals on a circle of radius 1.41; all the randomness of the run is in ``draw``.
torch.manual_seed(0)
torch.set_num_threads(1)
ring, prior = sampling.ring(), sampling.normal(2)
draw = Draw(ring, prior, 128, seed=0)
rng = torch.Generator().manual_seed(1)
real, other_real, z_test = ring(500, rng), ring(500, rng), prior(500, rng)

# Players, and their optimizers.
generator, critic = networks.mlp(2, 2), networks.mlp(2, 1)  # (m, 2) -> (m, 2), (m, 2) -> (m,)
critic_optimizer = recipe.optimizer(critic.parameters())
generator_optimizer = recipe.optimizer(generator.parameters())

for step in range(turns):
    for t in range(recipe.n_critic):
        x, z, eps = draw(step, t)  # real points, noise, and where on its segment each x_hat lies
        x_fake = generator(z).detach()
        loss = recipe.objective.critic(critic(x), critic(x_fake))  # f(x_fake) - f(x), on average
        penalty = recipe.constraint.penalty(critic, x, x_fake, eps)  # (slope - 1)^2 at x_hat, on average
        critic_optimizer.zero_grad()
        (loss + penalty).backward()
        critic_optimizer.step()
        recipe.constraint.project(critic)  # WGAN clips its weights here, WGAN-GP does nothing
    generator_loss = recipe.objective.generator(critic(generator(draw.latent(step))))  # -f(x_fake)
    generator_optimizer.zero_grad()
    generator_loss.backward()
    generator_optimizer.step()

    if step == 0 or (step + 1) % 200 == 0:
        with torch.no_grad():
            fake = generator(z_test)
            estimate = (critic(real).mean() - critic(fake).mean()).item()
        exact = metrics.exact_w1(real, other_real, fake)
        modes = metrics.mode_coverage(fake, ring.centres, radius=0.2)
        print(
            f"turn {step + 1:4}: estimate {estimate:6.3f}, exact W1 {exact.w1:.3f} "
            f"(between two real samples {exact.floor:.3f}), {modes.modes} of 8 modes"
        )

plots.use_style()
figure, ax = plt.subplots(figsize=(4, 4))
plots.field(critic, 2.0, ax)
plots.points(real, fake, ax)
figure.savefig("wgan_gp.png", dpi=150)
