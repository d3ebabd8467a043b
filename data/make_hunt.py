"""Trains on the ring with and without bugs and bad settings, and keeps the curves of chapter 16's hunt.

    python data/make_hunt.py

About two minutes on one CPU thread. Writes data/runs/hunt.npz and .json: for each cause and three seeds
what a screen shows along 96 updates of the generator. Ten of the runs are named A to J; of their causes only
hashes are kept.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import RMSprop

from wganlab import Draw, Game, data, networks, recipes, sampling, train, transport
from wganlab.constraints import Constraint, GradientPenalty, WeightClipping, input_gradient
from wganlab.mistakes import ZOO
from wganlab.objectives import Objective, wasserstein
from wganlab.recipes import Recipe

SEEDS, UPDATES, EVERY, M = (0, 1, 2), 96, 6, 64
SHOWN = ("estimate", "w1", "penalty", "slope", "steepest", "generator_loss", "at_clip")

torch.set_num_threads(1)
torch.set_flush_denormal(True)
law, prior = sampling.ring(), sampling.normal(2)


@dataclass(frozen=True)
class Zoo(Constraint):
    """A penalty of the zoo, of weight 1 in place of its 10."""

    penalise: Callable

    def penalty(self, critic, x, x_fake, eps):
        return self.penalise(critic, x, x_fake).mean() / 10


class Attached(Game):
    """The zoo's "attached-fakes": the critic's backward passes leave their gradient in the generator, too."""

    left = ()

    def critic_step(self, x, z, eps):
        weights = list(self.generator.parameters())
        gradient = torch.autograd.grad(self.critic(self.generator(z)).mean(), weights)
        self.left = [a + b for a, b in zip(self.left, gradient, strict=True)] if self.left else gradient
        return super().critic_step(x, z, eps)

    def generator_gradient(self, z):
        loss, gradient = super().generator_gradient(z)
        both = [a + b for a, b in zip(gradient, self.left, strict=True)]
        self.left = ()
        return loss, both


fast = partial(recipes.adam, lr=1e-3, betas=(0.0, 0.9))
healthy = Recipe(wasserstein, Zoo(ZOO["global-norm"].right), fast, 5)
clipped = Recipe(wasserstein, WeightClipping(0.05), partial(RMSprop, lr=5e-4), 5)
reversed_sign = Objective(critic=ZOO["reversed-sign"].wrong, generator=wasserstein.generator)


def bug(name: str) -> Recipe:
    return replace(healthy, constraint=Zoo(ZOO[name].wrong))


def one_row(n, rng):
    return prior(1, rng).expand(n, 2)


CAUSES = {
    "healthy-penalty": healthy,
    "healthy-one-sided": replace(healthy, constraint=GradientPenalty(1.0, one_sided=True)),
    "healthy-clipped": clipped,
    "global-norm": bug("global-norm"),
    "mean-score": bug("mean-score"),
    "no-graph": bug("no-graph"),
    "zero-centred": bug("zero-centred"),
    "normal-eps": bug("normal-eps"),
    "batch-eps": bug("batch-eps"),
    "reversed-sign": replace(healthy, objective=reversed_sign),
    "attached-fakes": healthy,
    "mixes-rows": healthy,
    "same-latent": healthy,
    "fast-generator": replace(healthy, generator_optimizer=partial(recipes.adam, lr=5e-2, betas=(0.0, 0.9))),
    "slow-critic": replace(healthy, optimizer=partial(recipes.adam, lr=1e-5, betas=(0.0, 0.9)), n_critic=1,
                           generator_optimizer=fast),
    "tight-clip": replace(clipped, constraint=WeightClipping(0.005)),
    "wide-clip": replace(clipped, constraint=WeightClipping(1.0)),
}  # fmt: skip


def look(game: Game, latent, penalties, losses, seed: int) -> list[float]:
    """One row of ``SHOWN``; always from the same fresh points."""
    rng = torch.Generator().manual_seed(1000 + seed)
    x, z, eps = law(256, rng), latent(256, rng), torch.rand(256, generator=rng)[:, None]
    with torch.no_grad():
        y = game.generator(z)
        gap = (game.critic(x).mean() - game.critic(y).mean()).item()
    slope = input_gradient(game.critic, eps * x + (1 - eps) * y).norm(dim=1)
    c = getattr(game.recipe.constraint, "c", None)
    weights = torch.cat([weight.detach().flatten() for weight in game.critic.parameters()])
    at_clip = (weights.abs() > 0.999 * c).float().mean().item() if c else 0.0
    w1 = transport.emd(x, y).distance
    return [gap, w1, np.mean(penalties), slope.mean().item(), slope.max().item(), np.mean(losses), at_clip]


def run(cause: str, seed: int) -> np.ndarray:
    torch.manual_seed(seed)
    recipe, latent = CAUSES[cause], one_row if cause == "same-latent" else prior
    generator = networks.mlp(2, 2, hidden=(64, 64, 64))
    norm = nn.BatchNorm1d if cause == "mixes-rows" else None
    critic = networks.mlp(2, 1, hidden=(64, 64, 64), norm=norm)
    game = (Attached if cause == "attached-fakes" else Game)(generator, critic, recipe)
    rows, penalties, losses = [], [], []
    for step in train(game, Draw(law, latent, M, seed=seed), until=UPDATES):
        penalties.append(step.penalty.item())
        losses.append(step.generator_loss.item())
        if step.index % EVERY == 0:
            rows.append(look(game, latent, penalties, losses, seed))
            penalties, losses = [], []
    return np.array(rows)


def hashed(letter: str, cause: str) -> str:
    return hashlib.sha256(f"{letter}: {cause}".encode()).hexdigest()[:16]


# Which runs are shown, in an order that is drawn.
CHOSEN = [
    ("healthy-penalty", 1),
    ("healthy-one-sided", 0),
    ("healthy-clipped", 1),
    ("global-norm", 0),
    ("no-graph", 1),
    ("reversed-sign", 2),
    ("mixes-rows", 0),
    ("fast-generator", 1),
    ("wide-clip", 0),
    ("attached-fakes", 2),
]


def main() -> None:
    start = time.process_time()
    curves = np.zeros((len(CAUSES), len(SEEDS), UPDATES // EVERY, len(SHOWN)))
    for i, cause in enumerate(CAUSES):
        for k, seed in enumerate(SEEDS):
            curves[i, k] = run(cause, seed)
            ended = f"{time.process_time() - start:.0f} s"
            print(f"{cause:18}", seed, curves[i, k, -1].round(4), ended, flush=True)
    order = np.random.default_rng(16).permutation(len(CHOSEN))
    names, letters = list(CAUSES), "ABCDEFGHIJ"
    shown = {letter: CHOSEN[i] for letter, i in zip(letters, order, strict=True)}
    rng = torch.Generator().manual_seed(5)
    floor = np.mean([transport.emd(law(256, rng), law(256, rng)).distance for _ in range(10)])
    arrays = {
        "curves": curves.astype(np.float32),
        "anonymous": np.stack([curves[names.index(c), s] for c, s in shown.values()]).astype(np.float32),
        "floor": np.array(floor),
    }
    about = {
        "command": "python data/make_hunt.py",
        "what": "WGAN-GP (weight 1) and WGAN (c = 0.05) on the ring, batch 64, with and without a bug",
        "shown": SHOWN,
        "every": EVERY,
        "causes": names,
        "key": {letter: hashed(letter, cause.split("-")[0] if cause.startswith("healthy") else cause)
                for letter, (cause, _) in shown.items()},
        "seconds": round(time.process_time() - start),
    }  # fmt: skip
    data.save_results(Path(__file__).parent / "runs", "hunt", arrays, about)
    print(shown)


if __name__ == "__main__":
    main()
