"""Trains the critics that chapter 10 shows, by clipping and by penalty, and keeps what it draws of them.

    python data/make_clipping.py

About a quarter of an hour on one quiet CPU thread. Writes data/runs/clipping_PART.npz and .json, four parts:
``surface``: critics of three toy laws against the same points plus noise (WGAN-GP, Figure 1a);
``layers``: gradients and weights of critics of 12 hidden layers (Figure 1b);
``law``: the slope of those gradients against c, for two values of RMSProp's epsilon;
``trap``: the exact W1 of generators trained against clipped critics, against c.
"""

import itertools
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cosine_similarity
from torch.optim import Adam, RMSprop

from wganlab import Draw, Game, data, fit, metrics, networks, recipes, sampling, train, transport
from wganlab.constraints import Constraint, GradientPenalty, WeightClipping, input_gradient
from wganlab.lipschitz import layer_gradients
from wganlab.objectives import wasserstein
from wganlab.recipes import MakeOptimizer, Recipe

LAWS = {"ring": sampling.ring(), "grid": sampling.grid(), "roll": sampling.swiss_roll()}
SURFACES = {  # constraint, whether the segments join a point with its own noisy copy, optimizer, steps
    "clip_01": (WeightClipping(0.01), True, partial(RMSprop, lr=2e-4), 2000),
    "clip_1": (WeightClipping(0.1), True, partial(RMSprop, lr=2e-4), 2000),
    "gp": (GradientPenalty(10.0), True, partial(Adam, lr=1e-3, betas=(0.0, 0.9), fused=True), 1200),
    "lp": (GradientPenalty(10.0, True), True, partial(Adam, lr=1e-3, betas=(0.0, 0.9), fused=True), 1200),
    "gp_mixed": (GradientPenalty(10.0), False, partial(Adam, lr=1e-3, betas=(0.0, 0.9), fused=True), 1200),
}
HALF, SIDE = 2.4, 41  # the square [-HALF, HALF]^2 of the pictures, SIDE points a side
DEEP, WIDTH = 12, 128
CLIPS = (0.001, 0.003, 0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.2)
TRAPS = {3: (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0), 12: (0.003, 0.01, 0.03, 0.1, 0.3)}  # by depth
SEEDS = 3  # of each trap
BINS = 41

torch.set_num_threads(1)


def batch(law: sampling.Sampler, n: int, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """n points and their copies with noise N(0, I), row by row."""
    x = law(n, rng)
    return x, x + torch.randn(n, 2, generator=rng)


def train_critic(
    critic: torch.nn.Module,
    law: sampling.Sampler,
    constraint: Constraint,
    make_optimizer: MakeOptimizer,
    steps: int,
    *,
    seed: int,
    paired: bool = True,
    m: int = 256,
) -> None:
    """The critic alone, against fixed noise; ``paired=False`` shuffles the copies."""
    rng = torch.Generator().manual_seed(seed)
    kind = next(critic.parameters()).dtype

    def draw(step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x, x_fake = (points.to(kind) for points in batch(law, m, rng))
        eps = torch.rand(m, generator=rng).to(kind)
        return x, x_fake if paired else x_fake[torch.randperm(m, generator=rng)], eps

    constraint.project(critic)  # before the first update, too
    for _ in fit(critic, draw, Recipe(wasserstein, constraint, make_optimizer), steps):
        pass


def seen_modes(f, centres: torch.Tensor, radius: float) -> int:
    """At how many centres f is higher than on the whole circle of that radius around them."""
    angle = 2 * np.pi * torch.arange(32).double() / 32
    circle = centres.double()[:, None] + radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    with torch.no_grad():
        return int((f(centres.double()) > f(circle.view(-1, 2)).view(-1, 32).max(dim=1).values).sum())


def judge(f, gradient, exact, law_name: str, x: torch.Tensor, y: torch.Tensor) -> list[float]:
    """Gap, mean and largest slope, mean cosine with the exact gradient at fakes, modes seen."""
    law, at_fakes = LAWS[law_name], gradient(y)
    slope = torch.cat([gradient(x), at_fakes]).norm(dim=1)
    cosine = cosine_similarity(at_fakes, exact.gradient(y)).mean().item()
    modes = -1
    if isinstance(law, sampling.Mixture):
        modes = seen_modes(f, law.centres, 0.4 if law_name == "ring" else 0.3)
    with torch.no_grad():
        gap = (f(x).mean() - f(y).mean()).item()
    return [gap, slope.mean().item(), slope.max().item(), cosine, modes]


def surfaces(arrays: dict) -> None:
    """critics of three toy laws against the same points plus noise"""
    line = torch.linspace(-HALF, HALF, SIDE)
    square = torch.cartesian_prod(line, line).double()
    for name, law in LAWS.items():
        rng = torch.Generator().manual_seed(5)
        exact = transport.kantorovich_potential(*(p.double() for p in batch(law, 800, rng)))
        x, y = (points.double() for points in batch(law, 800, rng))
        arrays[f"{name}_w1"] = np.array(transport.emd(x, y).distance)
        arrays[f"{name}_exact"] = exact(square).reshape(SIDE, SIDE).float().numpy()
        rows = {"exact": judge(exact, exact.gradient, exact, name, x, y)}
        for key, (constraint, paired, make_optimizer, steps) in SURFACES.items():
            torch.manual_seed(0)
            critic = networks.mlp(2, 1)
            train_critic(critic, law, constraint, make_optimizer, steps, seed=0, paired=paired)
            critic = critic.double()
            slope = lambda points, f=critic: input_gradient(f, points).detach()  # noqa: E731
            rows[key] = judge(critic, slope, exact, name, x, y)
            with torch.no_grad():
                arrays[f"{name}_{key}"] = critic(square).reshape(SIDE, SIDE).float().numpy()
            print(name, key, np.round(rows[key], 4), flush=True)
        for key, values in rows.items():
            arrays[f"{name}_{key}_numbers"] = np.array(values)


def weights_of(critic: torch.nn.Module) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in critic.parameters() if w.ndim == 2])


def at_bound(critic: torch.nn.Module, c: float) -> float:
    """The share of the entries of the matrices that lie at +-c."""
    return (weights_of(critic).abs() >= c * (1 - 1e-6)).double().mean().item()


def slope_of(gradients: np.ndarray) -> float:
    """Decades a layer from the output back to the input, over the hidden layers: a line's slope."""
    logs = np.log10(gradients[:-1])
    return -np.polyfit(np.arange(len(logs)), logs, 1)[0]


def test_batch() -> tuple[torch.Tensor, torch.Tensor]:
    return batch(LAWS["roll"], 256, torch.Generator().manual_seed(1000))


def deep(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return networks.mlp(2, 1, hidden=(WIDTH,) * DEEP)


def layers(arrays: dict) -> None:
    """gradients and weights of critics of 12 hidden layers on the swiss roll"""
    clips = {"c_1": 0.1, "c_01": 0.01, "c_001": 0.001}
    for key in (*clips, "gp"):
        critic, c = deep(0), clips.get(key, 1.0)
        constraint = WeightClipping(c) if key in clips else GradientPenalty(10.0)
        constraint.project(critic)
        before, signs = layer_gradients(critic, *test_batch()), weights_of(critic).sign()
        shares = [at_bound(critic, c)]
        recipe = recipes.wgan if key in clips else recipes.wgan_gp
        train_critic(critic, LAWS["roll"], constraint, recipe.optimizer, 1500, seed=0)
        after = layer_gradients(critic, *test_batch())
        shares += [at_bound(critic, c), (weights_of(critic).sign() != signs).double().mean().item()]
        arrays[key] = torch.stack([before, after]).numpy()
        arrays[f"{key}_shares"] = np.array(shares)  # at the bound before and after; signs changed
        reach = 1.25 * clips.get(key, 0.2)
        counts = np.histogram(weights_of(critic).numpy(), bins=BINS, range=(-reach, reach))[0]
        arrays[f"{key}_weights"], arrays[f"{key}_reach"] = counts, np.array(reach)
        arrays[f"{key}_game"] = whole_game(replace(recipe, constraint=constraint))
        found = (before.numpy(), after.numpy(), arrays[f"{key}_game"])
        print(key, [round(slope_of(g), 3) for g in found], np.round(shares, 3), flush=True)


def whole_game(recipe: recipes.Recipe) -> np.ndarray:
    """The gradients of the critic of a whole game: the generator has 12 hidden layers too."""
    critic = deep(0)
    generator = networks.mlp(2, 2, hidden=(WIDTH,) * DEEP)
    draw = Draw(LAWS["roll"], sampling.normal(2), 256, seed=0)
    for _ in train(Game(generator, critic, recipe), draw, until=200):
        pass
    x, z, _ = draw(1000, 0)
    with torch.no_grad():
        x_fake = generator(z)
    return layer_gradients(critic, x, x_fake).numpy()


def law(arrays: dict) -> None:
    """slope of those gradients against c, for two values of RMSProp's epsilon"""
    rows = []
    for c in CLIPS:
        row = [c]
        for eps, kind in ((1e-8, torch.float32), (1e-30, torch.float64)):
            critic = deep(0).to(kind)
            WeightClipping(c).project(critic)
            before = slope_of(layer_gradients(critic, *test_batch()).numpy())
            rmsprop = partial(RMSprop, lr=3e-4, eps=eps)
            train_critic(critic, LAWS["roll"], WeightClipping(c), rmsprop, 400, seed=0, m=128)
            row += [before, slope_of(layer_gradients(critic, *test_batch()).numpy())]
        rows.append(row)
        print("law", np.round(row, 3), flush=True)
    arrays["law"] = np.array(rows)  # c; before and after with eps 1e-8, with eps 1e-30


def play(c: float, hidden: tuple[int, ...], seed: int):
    """The exact W1 after 400 turns on the ring, and the mean estimate of the last 50."""
    ring, rng = LAWS["ring"], torch.Generator().manual_seed(99)
    real, other = ring(500, rng), ring(500, rng)
    z = sampling.normal(2)(500, rng)
    torch.manual_seed(seed)
    generator, critic = networks.mlp(2, 2), networks.mlp(2, 1, hidden=hidden)
    recipe = replace(recipes.wgan, constraint=WeightClipping(c), optimizer=partial(RMSprop, lr=5e-4))
    draw, seen = Draw(ring, sampling.normal(2), 128, seed=seed), []
    for step in train(Game(generator, critic, recipe), draw, until=400):
        seen.append(-step.critic_loss.item())
    with torch.no_grad():
        return metrics.exact_w1(real, other, generator(z)), np.mean(seen[-50:])


def trap(arrays: dict) -> None:
    """exact W1 of generators of 8 Gaussians trained against clipped critics, against c"""
    for hidden, clips in TRAPS.items():
        w1, estimates = np.zeros((len(clips), SEEDS)), np.zeros((len(clips), SEEDS))
        for (i, c), seed in itertools.product(enumerate(clips), range(SEEDS)):
            found, estimates[i, seed] = play(c, (WIDTH,) * hidden, seed)
            w1[i, seed] = found.w1
            print(hidden, c, seed, round(found.w1, 3), estimates[i, seed], flush=True)
        arrays[f"c_{hidden}"], arrays[f"w1_{hidden}"] = np.array(clips), w1
        arrays[f"estimate_{hidden}"] = estimates
    arrays["floor"] = np.array(found.floor)


PARTS = {"layers": layers, "surface": surfaces, "law": law, "trap": trap}

if __name__ == "__main__":
    for name, part in PARTS.items():
        start, arrays = time.perf_counter(), {}
        part(arrays)
        about = {
            "command": "python data/make_clipping.py",
            "what": f"chapter 10, {name}: {part.__doc__}",
            "seconds": round(time.perf_counter() - start),
        }
        data.save_results(Path(__file__).parent / "runs", f"clipping_{name}", arrays, about)
        print(f"{name}: {about['seconds']} s", flush=True)
