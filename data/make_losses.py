"""Trains one generator by five estimates of W1, on the ring and on digits, and keeps what chapter 16 shows.

    python data/make_losses.py

About eight minutes on one CPU thread. Writes data/runs/losses.npz and .json: for each loss and seed the
exact W1, the score of digits (or the share of points near a mode), and the seconds of training, at eight
looks; the variety of the digits of two losses and the exact loss in batches of 256, one seed each.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from make_critics import CONSTRAINTS, none
from torch import nn
from torch.optim import RMSprop

from wganlab import Draw, Game, data, engine, metrics, networks, recipes, sampling, train, transport
from wganlab.constraints import WeightClipping
from wganlab.objectives import wasserstein
from wganlab.recipes import Recipe
from wganlab.training import descend, identity

SEEDS, LOOKS = (0, 1, 2), 8
LOSSES = ("exact", "divergence", "c_real", "clip", "gp")

torch.set_num_threads(1)
torch.set_flush_denormal(True)


def exact_loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """W1 of two batches, differentiable in y: the optimal plan is held fixed (the envelope theorem)."""
    plan = transport.emd(x, y.detach()).plan
    i, j = plan.nonzero(as_tuple=True)
    return (plan[i, j].to(y) * (x[i] - y[j]).norm(dim=1)).sum()


def divergence_loss(x: torch.Tensor, y: torch.Tensor, epsilon: float) -> torch.Tensor:
    """The Sinkhorn divergence, up to the part that y does not change; the plans are held fixed."""
    across = (torch.cdist(x, y) * entropic_plan(x, y, epsilon)).sum()
    fixed = y.detach()
    return across - (torch.cdist(fixed, y) * entropic_plan(y, y, epsilon)).sum()


def entropic_plan(x: torch.Tensor, y: torch.Tensor, epsilon: float) -> torch.Tensor:
    even, cost = np.full(len(x), 1 / len(x)), torch.cdist(x, y).detach().double().numpy()
    scale = cost.max()
    f, g = transport.entropic_potentials(cost / scale, even, even, epsilon / scale)
    plan = np.exp((f[:, None] + g - cost / scale) * scale / epsilon) / len(x) ** 2
    return torch.from_numpy(plan).to(y)


def without_critic(loss: Callable, generator: nn.Module, draw: Draw, make_optimizer, until: int):
    """A generator that descends a distance of batches: yields the number of updates so far."""
    optimizer = make_optimizer(generator.parameters())
    for step in range(until):
        x, z, _ = draw(step)
        descend(loss(x.flatten(1), generator(z).flatten(1)), optimizer)
        yield step + 1


class TransformGame(Game):
    """The critic scores real pictures; the generator descends the c-transform of a fresh real batch."""

    def generator_gradient(self, z):
        x, _, _ = self.draw(self.step, self.recipe.n_critic)
        y = self.generator(z)
        with torch.no_grad():
            f_x = self.critic(x)
        loss = (torch.cdist(x.flatten(1), y.flatten(1)) - f_x[:, None]).amin(dim=0).mean()
        return loss.detach(), torch.autograd.grad(loss, list(self.generator.parameters()))


def with_critic(name: str, generator, critic, draw: Draw, recipe: Recipe, until: int):
    game = (TransformGame if name == "c_real" else Game)(generator, critic, recipe)
    game.draw = draw
    for step in train(game, draw, until=until, accelerate=identity if name == "c_real" else engine.fast):
        yield step.index


fast = partial(recipes.adam, lr=1e-3, betas=(0.0, 0.9))
rms = partial(RMSprop, lr=5e-4)


class Setting:
    """What is learned, by which players, and how it is judged."""

    def __init__(self, real, latent, m, generator, critic, critic_recipes, epsilon, updates):
        self.real, self.prior, self.m, self.epsilon = real, sampling.normal(latent), m, epsilon
        self.generator, self.critic, self.recipes, self.updates = generator, critic, critic_recipes, updates

    def run(self, name: str, seed: int) -> dict[str, np.ndarray]:
        torch.manual_seed(seed)
        generator, critic = self.generator(), self.critic()
        draw, until = Draw(self.real, self.prior, self.m, seed=seed), self.updates[name]
        if name in self.recipes:
            steps = with_critic(name, generator, critic, draw, self.recipes[name], until)
        else:
            loss = exact_loss if name == "exact" else partial(divergence_loss, epsilon=self.epsilon)
            steps = without_critic(loss, generator, draw, fast, until)
        rows, clock, begin = [[0, 0.0, *self.judge(generator, seed)]], 0.0, time.process_time()
        for step in steps:
            if step % (until // LOOKS) == 0:
                clock += time.process_time() - begin
                rows.append([step, clock, *self.judge(generator, seed)])
                begin = time.process_time()
        with torch.no_grad():
            fakes = generator(self.prior(512, torch.Generator().manual_seed(7)))
        return {"curve": np.array(rows), "fakes": fakes, "generator": generator}


class Ring(Setting):
    law = sampling.ring()

    def judge(self, generator, seed):
        """Exact W1 of 1,000, the share of points near a mode, the number of modes with 20 points or more."""
        rng = torch.Generator().manual_seed(100 + seed)
        real = self.law(1000, rng)
        with torch.no_grad():
            fake = generator(self.prior(1000, rng))
        far = torch.cdist(fake, self.law.centres.to(fake))
        near, mode = far.min(dim=1)
        counts = mode[near < 0.15].bincount(minlength=8)
        return [
            transport.emd(real, fake).distance,
            (near < 0.15).float().mean().item(),
            (counts >= 20).sum().item(),
        ]

    def floor(self, seed):
        rng = torch.Generator().manual_seed(200 + seed)
        return [transport.emd(self.law(1000, rng), self.law(1000, rng)).distance, 1.0]


class Digits(Setting):
    x, _ = data.digits()
    shuffled = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(1))]
    held, rest = shuffled[:1000], shuffled[1000:]

    def judge(self, generator, seed):
        """Exact W1 of 500 to held-out digits, the score of 1,000, the share of grey pixels."""
        fake = self.judged(generator, seed)
        w1 = transport.emd(self.held[:500].flatten(1), fake[:500].flatten(1)).distance
        return [w1, metrics.digit_score(self.rest, fake), (fake.abs() < 0.5).float().mean().item()]

    @torch.no_grad()
    def judged(self, generator, seed):
        return generator(self.prior(1000, torch.Generator().manual_seed(100 + seed)))

    def variety(self, pictures):
        """Variance of pixels and of features over that of real digits; precision and recall in features,
        recall in pixels, beside held-out digits; how many of 1,000 are read as each digit."""
        seen, real, held = (metrics.digit_features(x) for x in (pictures, self.rest, self.held))
        pixels = pictures.flatten(1).var(0).sum() / self.rest.flatten(1).var(0).sum()
        features = np.cov(seen, rowvar=False).trace() / np.cov(real, rowvar=False).trace()
        found = metrics.precision_recall(held, seen)
        in_pixels = metrics.precision_recall(self.held, pictures)
        counts = metrics.trained_digit_classifier()(pictures).argmax(1).bincount(minlength=10)
        return [pixels.item(), features, found.precision, found.recall, in_pixels.recall, *counts.tolist()]

    def floor(self, seed):
        w1 = transport.emd(self.held[:500].flatten(1), self.held[500:].flatten(1)).distance
        return [w1, metrics.digit_score(self.rest, self.held)]


transform = Recipe(none, CONSTRAINTS["c_real"], fast, 5)
wgan_toy = Recipe(wasserstein, WeightClipping(0.05), rms, 5)
ring = Ring(
    sampling.ring(), 2, 128,
    partial(networks.mlp, 2, 2, hidden=(64, 64, 64)), partial(networks.mlp, 2, 1, hidden=(64, 64, 64)),
    {"c_real": transform, "clip": wgan_toy, "gp": recipes.wgan_gp_toy},
    0.1, {"exact": 800, "divergence": 320, "c_real": 320, "clip": 320, "gp": 320},
)  # fmt: skip
quick = partial(recipes.adam, lr=2e-3, betas=(0.0, 0.9))
digits = Digits(
    Digits.rest, 64, 64,
    networks.dcgan_generator, partial(networks.mlp, (1, 28, 28), 1, hidden=(256, 128), slope=0.2),
    {
        "c_real": replace(transform, optimizer=quick, generator_optimizer=fast, n_critic=2),
        "clip": replace(recipes.wgan, optimizer=rms),
        "gp": recipes.wgan_gp_digits,
    },
    5.0, {"exact": 560, "divergence": 480, "c_real": 280, "clip": 200, "gp": 360},
)  # fmt: skip


large = copy.copy(digits)  # the exact machine sees four times as many pictures at once
large.m, large.updates = 256, {"exact": 240}


def main() -> None:
    arrays, start = {}, time.process_time()
    for setting, place in (("ring", ring), ("digits", digits)):
        for name in LOSSES:
            curves = []
            for seed in SEEDS:
                found = place.run(name, seed)
                curves.append(found["curve"])
                if seed == 0:
                    fakes, first = found["fakes"], found["generator"]
                print(setting, name, seed, found["curve"][-1].round(3), flush=True)
            arrays[f"{setting}.{name}"] = np.array(curves, np.float32)
            if setting == "ring":
                arrays[f"ring.{name}.points"] = fakes.numpy().astype(np.float16)
            else:
                arrays[f"digits.{name}.sheet"] = fakes[:16].add(1).mul(127.5).round().byte().numpy()
                if name in ("exact", "gp"):
                    arrays[f"digits.{name}.variety"] = np.array(place.variety(place.judged(first, SEEDS[0])))
        arrays[f"{setting}.floor"] = np.array([place.floor(seed) for seed in SEEDS])
    arrays["digits.real.variety"] = np.array(digits.variety(digits.rest[:1000]))
    arrays["digits.exact_256"] = np.array([large.run("exact", 0)["curve"]], np.float32)
    seconds = time.process_time() - start
    about = {
        "command": "python data/make_losses.py",
        "what": "one generator, five estimates of W1 as its loss; the ring (batch 128), digits (batch 64)",
        "losses": LOSSES,
        "seeds": SEEDS,
        "critic_updates_a_turn": {"ring": [0, 0, 5, 5, 5], "digits": [0, 0, 2, 5, 2]},
        "seconds": round(seconds),
    }
    data.save_results(Path(__file__).parent / "runs", "losses", arrays, about)
    print(f"{seconds:.0f} s")


if __name__ == "__main__":
    main()
