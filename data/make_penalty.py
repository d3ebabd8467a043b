"""Trains what chapters 11 and 12 show of the gradient penalty, three seeds each; twelve CPU-minutes.

    python data/make_penalty.py

Writes data/runs/penalty.npz and .json.

    weights          (3,) 10, 1 and 0.1

    ring_step        (k,) generator updates at which the games on eight Gaussians were judged
    ring_w1          (3, 3, k) weight, seed: exact W1 of 1,000 points of the generator as it stands
    ring_estimate    (3, 3, k) the critic's estimate, mean of the last 20 updates
    ring_average     (3, 3) exact W1 of the averaged generator at the end
    ring_modes       (3, 3) modes of eight that it finds
    ring_floor       () exact W1 between two real samples
    ring_one_sided_w1, ..._estimate, ..._average, ..._modes: the same with the one-sided penalty

    digit_sizes      (2,) 1,000 and 200 real digits for the critic to see
    digit_step       (k,) critic updates
    digit_gap        (2, 2, 3, k, 2) penalty or clipping, size, seed, step: the estimate on the digits seen
                     and on 1,000 others; fakes are other digits with noise

    pair_kinds       (3,) one_sided and two_sided (SiLU), relu (one-sided)
    pair_estimate    (3, 3, 3) kind, weight, seed: two normals against one between them, in the plane
    pair_objective   (3, 3, 3) the estimate less the penalty
    pair_KIND_W_...  weights of the critics of seed 0, W the place in weights

    noise_estimate   (2, 3, 3) one- or two-sided, weight, seed: eight Gaussians against themselves with noise
    noise_w1         (4,) exact W1 of four pairs of samples of 2,000 points
"""

import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from wganlab import Average, Draw, Game, data, fit, metrics, networks, recipes, sampling, train
from wganlab.constraints import Constraint, GradientPenalty, WeightClipping
from wganlab.objectives import wasserstein
from wganlab.recipes import Recipe
from wganlab.transport import emd

WEIGHTS, SEEDS = (10.0, 1.0, 0.1), 3
RING_UPDATES, RING_EVERY = 600, 50
DIGIT_SIZES, DIGIT_STEPS, DIGIT_EVERY, NOISE = (1000, 200), 2000, 100, 0.5
PAIR_STEPS, PAIR_BATCH, PAIR_RATE = 2000, 256, 2e-3
KINDS = {"one_sided": (True, nn.SiLU), "two_sided": (False, nn.SiLU), "relu": (True, nn.ReLU)}

ring = sampling.ring()
two_normals = sampling.Mixture(torch.tensor([[-1.5, 0.0], [1.5, 0.0]]), 0.5)
one_normal = sampling.Mixture(torch.zeros(1, 2), 0.5)


def noisy(n: int, rng: torch.Generator) -> Tensor:
    """The ring with normal noise of variance 1."""
    return ring(n, rng) + torch.randn(n, 2, generator=rng)


def tower(activation: type[nn.Module], *sizes: int) -> nn.Sequential:
    """A critic with any activation."""
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers[:-1], nn.Flatten(0))


# ---- games on the ring


def ring_game(weight: float, seed: int, *, one_sided: bool, n_critic: int = 5) -> dict[str, np.ndarray]:
    rng = torch.Generator().manual_seed(99)
    real, other, z = ring(1000, rng), ring(1000, rng), sampling.normal(2)(1000, rng)
    torch.manual_seed(seed)
    toy = recipes.wgan_gp_toy
    recipe = Recipe(toy.objective, GradientPenalty(weight, one_sided), toy.optimizer, n_critic=n_critic)
    game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipe)
    average = Average(game.generator, decay=0.99)
    draw = Draw(ring, sampling.normal(2), 128, seed=seed)
    estimates, curve = [], []
    for step in train(game, draw, until=RING_UPDATES):
        average.update(game.generator)
        estimates.append(-step.critic_loss.item())
        if step.index % RING_EVERY == 0:
            with torch.no_grad():
                w1 = emd(real, game.generator(z)).distance
            curve.append((step.index, w1, np.mean(estimates[-20:])))
    with torch.no_grad():
        fake = average.player(z)
    steps, w1, estimate = np.array(curve).T
    judged = metrics.exact_w1(real, other, fake)
    modes = metrics.mode_coverage(fake, ring.centres, radius=0.2).modes
    print(f"ring   one-sided {one_sided} weight {weight:4} seed {seed}: W1 {w1.round(2)}")
    print(f"{'':28}estimate {estimate.round(2)}")
    print(f"{'':28}averaged {judged.w1:.3f}, floor {judged.floor:.3f}, modes {modes}", flush=True)
    return {"step": steps, "w1": w1, "estimate": estimate, "average": judged.w1, "modes": modes,
            "floor": judged.floor}  # fmt: skip


# ---- critics that see few digits


def digit_gaps(constraint: Constraint, size: int, seed: int) -> np.ndarray:
    x, _ = data.digits()
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))].flatten(1)
    seen, others, pool = x[:size], x[1000:2000], x[2000:4000]
    clean = sampling.empirical(pool)

    def fakes(n: int, rng: torch.Generator) -> Tensor:
        return clean(n, rng) + NOISE * torch.randn(n, 784, generator=rng)

    x_fake = fakes(1000, torch.Generator().manual_seed(seed))
    torch.manual_seed(seed)
    critic = networks.mlp(784, 1, hidden=(256, 256))
    paper = recipes.wgan if isinstance(constraint, WeightClipping) else recipes.wgan_gp
    draw, gaps = Draw(seen, fakes, 64, seed=seed), []
    recipe = replace(paper, constraint=constraint)
    for step in fit(critic, lambda step: draw(step + 1), recipe, DIGIT_STEPS):  # batches 1, 2, ...
        if step.index % DIGIT_EVERY == 0:
            with torch.no_grad():
                gaps.append([(critic(some).mean() - critic(x_fake).mean()).item() for some in (seen, others)])
    print(f"digits {type(constraint).__name__:15} {size:4} seed {seed}: "
          f"{np.array(gaps)[[2, len(gaps) // 2 - 1, -1]].round(3).tolist()}", flush=True)  # fmt: skip
    return np.array(gaps)


# ---- critics of two fixed laws in the plane


def penalised(real, fake, critic, weight, one_sided, seed, *, steps=PAIR_STEPS):
    """The critic's estimate and objective after training, both on 2^18 fresh points."""
    penalty = GradientPenalty(weight, one_sided=one_sided)
    adam = partial(recipes.adam, lr=PAIR_RATE, betas=(0.0, 0.9))
    recipe, draw = Recipe(wasserstein, penalty, adam), Draw(real, fake, PAIR_BATCH, seed=seed)
    for _ in fit(critic, draw, recipe, steps, rate=lambda step: 1 - step / steps):
        pass
    found, fresh = [], Draw(real, fake, 2**15, seed=1000)
    for part in range(8):
        x, x_fake, eps = fresh(part, 0)
        with torch.no_grad():
            estimate = (critic(x).mean() - critic(x_fake).mean()).item()
        found.append((estimate, estimate - penalty.penalty(critic, x, x_fake, eps).item()))
    return np.mean(found, axis=0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    begin, clock = time.perf_counter(), time.process_time()
    kept = {"weights": np.array(WEIGHTS)}

    shape = (len(KINDS), len(WEIGHTS), SEEDS)
    kept["pair_kinds"] = np.array(list(KINDS))
    kept |= {"pair_estimate": np.zeros(shape), "pair_objective": np.zeros(shape)}
    for k, (kind, (one_sided, activation)) in enumerate(KINDS.items()):
        for j, weight in enumerate(WEIGHTS):
            for seed in range(SEEDS):
                torch.manual_seed(seed)
                critic = tower(activation, 2, 64, 64, 1)
                found = penalised(two_normals, one_normal, critic, weight, one_sided, seed)
                kept["pair_estimate"][k, j, seed], kept["pair_objective"][k, j, seed] = found
                if seed == 0:
                    kept |= {f"pair_{kind}_{j}_{n}": w.numpy() for n, w in critic.state_dict().items()}
            print(f"pair   {kind:9} {weight:4}: estimate {kept['pair_estimate'][k, j].round(4)}, "
                  f"J {kept['pair_objective'][k, j].round(4)}", flush=True)  # fmt: skip

    kept["noise_estimate"] = np.zeros((2, *shape[1:]))
    for k, one_sided in enumerate((True, False)):
        for j, weight in enumerate(WEIGHTS):
            for seed in range(SEEDS):
                torch.manual_seed(seed)
                critic = networks.mlp(2, 1, hidden=(64, 64, 64))
                estimate, _ = penalised(ring, noisy, critic, weight, one_sided, seed, steps=1500)
                kept["noise_estimate"][k, j, seed] = estimate
            found = kept["noise_estimate"][k, j].round(3)
            print(f"noise  one-sided {one_sided} {weight:4}: {found}", flush=True)
    rngs = [torch.Generator().manual_seed(seed) for seed in range(4)]
    kept["noise_w1"] = np.array([emd(ring(2000, rng), noisy(2000, rng)).distance for rng in rngs])
    print(f"noise  exact W1 {kept['noise_w1'].round(3)}", flush=True)

    for side, one_sided in (("ring", False), ("ring_one_sided", True)):
        games = [[ring_game(w, seed, one_sided=one_sided) for seed in range(SEEDS)] for w in WEIGHTS]
        for name in ("w1", "estimate", "average", "modes"):
            kept[f"{side}_{name}"] = np.array([[game[name] for game in row] for row in games])
    kept |= {"ring_step": games[0][0]["step"], "ring_floor": np.array(games[0][0]["floor"])}

    constraints = (GradientPenalty(10.0), WeightClipping(0.01))
    kept["digit_sizes"] = np.array(DIGIT_SIZES)
    kept["digit_step"] = np.arange(DIGIT_EVERY, DIGIT_STEPS + 1, DIGIT_EVERY)
    kept["digit_gap"] = np.array([
        [[digit_gaps(constraint, size, seed) for seed in range(SEEDS)] for size in DIGIT_SIZES]
        for constraint in constraints
    ])  # fmt: skip

    about = {
        "command": "python data/make_penalty.py",
        "what": "the gradient penalty on eight Gaussians, on few digits and on normals in the plane",
        "pair_critic": f"2-64-64-1, Adam({PAIR_RATE} falling to 0, 0 and 0.9), {PAIR_STEPS} x {PAIR_BATCH}",
        "seconds": round(time.perf_counter() - begin),
        "cpu_seconds": round(time.process_time() - clock),
    }
    data.save_results(Path(__file__).parent / "runs", "penalty", kept, about)
    print(f"{about['seconds']} s, {about['cpu_seconds']} CPU-s")
