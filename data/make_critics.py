"""Trains ten kinds of critics on the benchmark pair and three on digits, and keeps what chapter 13 shows.

    python data/make_critics.py

About fourteen minutes on one CPU thread. Writes data/runs/critics.npz and .json: for dimensions 2 and 8, each
kind and seed the cosine and squared error of the critic's gradient at the fakes, its estimate, and bounds
of its Lipschitz constant; the critics of the plane on a grid; estimates between batches of digits.
"""

import copy
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from wganlab import data, fit, lipschitz, networks, recipes, sampling, transport
from wganlab.benchmark_pair import FunnelPair
from wganlab.constraints import (
    R1,
    Constraint,
    Dragan,
    GradientPenalty,
    WassersteinDivergence,
    WeightClipping,
    input_gradient,
)
from wganlab.objectives import Objective, wasserstein
from wganlab.recipes import Recipe


class ScoresReal(Constraint):
    """Minus the dual value of scores f(x) and their c-transform: all of the loss, without an objective."""

    def penalty(self, critic, x, x_fake, eps):
        f_x, cost = critic(x), torch.cdist(x.flatten(1), x_fake.flatten(1))
        return -f_x.mean() - (cost - f_x[:, None]).amin(dim=0).mean()


class ScoresFakes(Constraint):
    """The same of scores f(x_fake)."""

    def penalty(self, critic, x, x_fake, eps):
        f_gz, cost = critic(x_fake), torch.cdist(x.flatten(1), x_fake.flatten(1))
        return f_gz.mean() - (cost + f_gz).amin(dim=1).mean()


none = Objective(critic=lambda f_x, f_gz: f_x.new_zeros(()), generator=lambda f_gz: f_gz.new_zeros(()))

CONSTRAINTS = {
    "clip": WeightClipping(0.04),
    "gp": GradientPenalty(10.0),
    "lp": GradientPenalty(10.0, one_sided=True),
    "dragan": Dragan(10.0),
    "r1": R1(10.0),
    "div": WassersteinDivergence(),
    "sn": Constraint(),  # in the layers
    "sort": Constraint(),  # in the layers
    "c_real": ScoresReal(),  # c-transform, the network scores real points
    "c_fake": ScoresFakes(),  # c-transform, the network scores fakes
}
DIMS, SEEDS, STEPS, BATCH, HIDDEN = (2, 8), (0, 1, 2), 3000, 256, (64, 64, 64)
SIDE, GRID, ARROWS = 2.5, 41, 11
DIGIT_STEPS, DIGIT_BATCH, DIGIT_TRIALS = 1000, 64, 20


def make(kind: str, inputs: int | tuple[int, ...], hidden: tuple[int, ...] = HIDDEN) -> nn.Module:
    """A new critic of a kind, drawn from PyTorch's global generator."""
    if kind == "sort":
        return networks.lipschitz_mlp(inputs, hidden=hidden)
    critic = networks.mlp(inputs, 1, hidden=hidden)
    return networks.spectral(critic) if kind == "sn" else critic


def trained(kind: str, critic: nn.Module, draw: sampling.Draw, steps: int, lr: float) -> nn.Module:
    """The critic after ``steps`` of Adam, beta = (0, 0.9), with a step size that falls to 0."""
    objective = none if kind in ("c_real", "c_fake") else wasserstein
    recipe = Recipe(objective, CONSTRAINTS[kind], partial(recipes.adam, lr=lr, betas=(0.0, 0.9)))
    for _ in fit(critic, draw, recipe, steps, rate=lambda step: 1 - step / steps):
        pass
    return critic.eval()


def judged(critic: nn.Module, pair: FunnelPair) -> dict[str, float]:
    """The critic against the truth, on 4,096 points of the optimal plan, in float64: many fakes lie close."""
    critic = copy.deepcopy(critic).double()
    x, x_fake = (points.double() for points in pair.couple(4096, torch.Generator().manual_seed(123)))
    gradient, truth = input_gradient(critic, x_fake).detach(), pair.gradient(x_fake)
    with torch.no_grad():
        estimate = (critic(x).mean() - critic(x_fake).mean()).item()
    return {
        "cosine": cosine_similarity(gradient, truth, dim=1).mean().item(),
        "error": (gradient - truth).square().sum(dim=1).mean().item(),
        "estimate": estimate,
        "slope": gradient.norm(dim=1).mean().item(),
        "lower": lipschitz.lower_bound(critic, torch.cat([x[:1000], x_fake[:1000]])),
        "upper": lipschitz.upper_bound(critic),
    }


def shown(f, gradient) -> tuple[np.ndarray, np.ndarray]:
    """Values on a grid of the square, and gradients on a coarser one."""
    line, coarse = torch.linspace(-SIDE, SIDE, GRID), torch.linspace(-SIDE, SIDE, ARROWS + 2)[1:-1]
    with torch.no_grad():
        values = f(torch.cartesian_prod(line, line)).view(GRID, GRID)
    arrows = gradient(torch.cartesian_prod(coarse, coarse)).detach().view(ARROWS, ARROWS, 2)
    return (values - values.mean()).numpy().astype(np.float16), arrows.numpy().astype(np.float16)


def on_the_pair() -> dict[str, np.ndarray]:
    """Every kind, dimension and seed."""
    names = ("cosine", "error", "estimate", "slope", "lower", "upper")
    arrays = {name: np.zeros((len(DIMS), len(CONSTRAINTS), len(SEEDS))) for name in names}
    maps = {}
    for i, dim in enumerate(DIMS):
        pair = FunnelPair(dim, funnels=4)
        if dim == 2:
            maps["map_truth"], maps["arrows_truth"] = shown(pair.potential, pair.gradient)
        for k, seed in enumerate(SEEDS):
            draw = sampling.Draw(pair.real, pair.fake, BATCH, seed=seed)
            for j, kind in enumerate(CONSTRAINTS):
                torch.manual_seed(seed)
                critic = trained(kind, make(kind, dim), draw, STEPS, 1e-3)
                found = judged(critic, pair)
                for name in names:
                    arrays[name][i, j, k] = found[name]
                if dim == 2 and k == 0:
                    look = shown(critic, lambda z, critic=critic: input_gradient(critic, z))
                    maps[f"map_{kind}"], maps[f"arrows_{kind}"] = look
                print(dim, seed, kind, {name: round(v, 3) for name, v in found.items()}, flush=True)
    pairs = [FunnelPair(dim, funnels=4) for dim in DIMS]
    return (
        arrays
        | maps
        | {"w1": np.array([p.w1 for p in pairs]), "w1_error": np.array([p.w1_error for p in pairs])}
    )


def on_digits() -> dict[str, np.ndarray]:
    """Estimates between fresh batches of 64 digits and 64 fakes, for critics trained on such batches."""
    kept, _ = data.results("digits_wgan_gp")
    generator = networks.dcgan_generator(64)
    state = {
        n.removeprefix("generator."): torch.from_numpy(w)
        for n, w in kept.items()
        if n.startswith("generator.")
    }
    generator.load_state_dict({n: w.float() if w.is_floating_point() else w for n, w in state.items()})
    with torch.no_grad():
        fakes = generator(sampling.normal(64)(5000, torch.Generator().manual_seed(1)))
    x, _ = data.digits()
    mixed = torch.randperm(len(x), generator=torch.Generator().manual_seed(2))
    held, rest = x[mixed[:1500]], x[mixed[1500:]]
    draw = sampling.Draw(rest, fakes[1500:], DIGIT_BATCH, seed=0)
    arrays = {}
    for kind in ("clip", "gp", "c_real"):
        torch.manual_seed(0)
        critic = make(kind, (1, 28, 28), (256, 256))
        critic = trained(kind, critic, draw, DIGIT_STEPS, 5e-4)
        values = []
        for k in range(DIGIT_TRIALS):
            part = slice(DIGIT_BATCH * k, DIGIT_BATCH * (k + 1))
            with torch.no_grad():
                if kind == "c_real":
                    values.append(-CONSTRAINTS[kind].penalty(critic, held[part], fakes[part], None).item())
                else:
                    values.append((critic(held[part]).mean() - critic(fakes[part]).mean()).item())
        arrays[f"digits_{kind}"] = np.array(values)
        print(kind, np.mean(values), np.std(values), flush=True)
    exact, floor = [], []
    for k in range(DIGIT_TRIALS):
        part = slice(DIGIT_BATCH * k, DIGIT_BATCH * (k + 1))
        exact.append(transport.emd(held[part].flatten(1), fakes[part].flatten(1)).distance)
        floor.append(transport.emd(held[part].flatten(1), rest[part].flatten(1)).distance)
    print("exact", np.mean(exact), np.std(exact), "real-real", np.mean(floor), flush=True)
    return arrays | {"digits_exact": np.array(exact), "digits_floor": np.array(floor)}


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    start = time.process_time()
    arrays = on_digits() | on_the_pair()
    seconds = time.process_time() - start
    about = {
        "command": "python data/make_critics.py",
        "what": "critics on FunnelPair(dim, funnels=4), 64-64-64 units; critics on digits, 256-256 units",
        "kinds": list(CONSTRAINTS),
        "dims": DIMS,
        "seeds": SEEDS,
        "critic_updates": STEPS,
        "seconds": round(seconds),
    }
    data.save_results(Path(__file__).parent / "runs", "critics", arrays, about)
    print(f"{seconds:.0f} s")


if __name__ == "__main__":
    main()
