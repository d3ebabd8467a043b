"""Measures for chapter 10 what one seed cannot show: ceilings, more seeds, blocks of deep clipped critics.

    python data/make_clipping_seeds.py

About eight minutes on one quiet CPU thread. Writes data/runs/clipping_seeds.npz and .json:
``ceiling``: the agreement and the modes of exact critics of other samples, on three toy laws;
``ring``: critics of eight Gaussians, three seeds each, ``positive`` from a hill's signs;
``deep``: critics of 12 hidden layers on the swiss roll, three seeds each: slopes, signs, blocks;
``trap``: two more seeds of the games with a critic of 12 hidden layers.
"""

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from make_clipping import (
    LAWS,
    at_bound,
    batch,
    deep,
    judge,
    play,
    slope_of,
    test_batch,
    train_critic,
    weights_of,
)
from torch import nn
from torch.optim import Adam, RMSprop

from wganlab import data, networks, transport
from wganlab.constraints import GradientPenalty, WeightClipping, input_gradient
from wganlab.lipschitz import layer_gradients

SEEDS = range(3)
OTHERS = 5  # samples beside the one whose exact critic is the yardstick
ADAM = partial(Adam, lr=1e-3, betas=(0.0, 0.9), fused=True)
RING = {  # constraint, optimizer, steps
    "clip_01": (WeightClipping(0.01), partial(RMSprop, lr=2e-4), 400),
    "clip_1": (WeightClipping(0.1), partial(RMSprop, lr=2e-4), 400),
    "positive": (WeightClipping(0.01), partial(RMSprop, lr=2e-4), 400),
    "gp": (GradientPenalty(10.0), ADAM, 500),
    "lp": (GradientPenalty(10.0, True), ADAM, 500),
}
DEEP = {  # c, epsilon, step size, updates, batch
    "c_1": (0.1, 1e-8, 3e-4, 400, 128),
    "c_01_tiny": (0.01, 1e-30, 3e-4, 400, 128),
    "c_01": (0.01, 1e-8, 3e-4, 400, 128),
    "c_1_tiny": (0.1, 1e-30, 3e-4, 400, 128),
    "figure": (0.1, 1e-8, 5e-5, 1500, 256),
    "c_04": (0.04, 1e-8, 3e-4, 400, 128),
}
TRAPS = (0.03, 0.1, 0.3)


def ceiling(arrays: dict) -> None:
    """exact critics of other samples, judged by that of the first; the rows are those of ``judge``"""
    for name, law in LAWS.items():
        rng = torch.Generator().manual_seed(5)
        samples = [[p.double() for p in batch(law, 800, rng)] for _ in range(OTHERS + 2)]
        exact, *others = (transport.kantorovich_potential(*s) for s in samples[:1] + samples[2:])
        rows = [judge(f, f.gradient, exact, name, *samples[1]) for f in others]
        arrays[f"ceiling_{name}"] = np.array(rows)
        print("ceiling", name, np.round(rows, 3), flush=True)


def with_positive_weights(critic: nn.Module) -> nn.Module:
    """All weights behind the first layer are positive, and those of the last negative: a hill."""
    linears = [layer for layer in critic if isinstance(layer, nn.Linear)]
    for layer in linears[1:]:
        layer.weight.data.abs_()
    linears[-1].weight.data.neg_()
    return critic


def ring(arrays: dict) -> None:
    """critics of eight Gaussians, judged as in the chapter: by the exact critic of 500 other pairs"""
    rng = torch.Generator().manual_seed(5)
    samples = [[p.double() for p in batch(LAWS["ring"], 500, rng)] for _ in range(2)]
    exact = transport.kantorovich_potential(*samples[0])
    arrays["ring_w1"] = np.array(transport.emd(*samples[1]).distance)
    for key, (constraint, make_optimizer, steps) in RING.items():
        rows = []
        for seed in SEEDS:
            torch.manual_seed(seed)
            critic = networks.mlp(2, 1)
            if key == "positive":
                critic = with_positive_weights(critic)
            train_critic(critic, LAWS["ring"], constraint, make_optimizer, steps, seed=seed, m=128)
            critic = critic.double()
            slope = lambda points, f=critic: input_gradient(f, points).detach()  # noqa: E731
            rows.append(judge(critic, slope, exact, "ring", *samples[1]))
        arrays[f"ring_{key}"] = np.array(rows)
        print("ring", key, np.round(rows, 4), flush=True)


def blocks(critic: nn.Module, points: torch.Tensor, c: float) -> np.ndarray:
    """For each matrix between two hidden layers, mean over the points, of the block of active units:

    the share of active units in the layer above; the block's spectral norm over c sqrt(k k'); the share of
    its entries at +-c; the share of its positive entries; that of the whole matrix.
    """
    rows, a, before = [], points.double(), None
    for layer in critic:
        if not isinstance(layer, nn.Linear):
            a = layer(a)
            continue
        weight = layer.weight.detach().double()
        a = torch.nn.functional.linear(a, weight, layer.bias.detach().double())
        active = (a > 0).double()
        if before is not None and len(weight) > 1:
            mask = active[:, :, None] * before[:, None]  # (points, above, below)
            entries = mask.sum(dim=(1, 2))
            norm = torch.linalg.matrix_norm(mask * weight, 2) / (c * entries.sqrt())
            bound = (mask * (weight.abs() >= c * (1 - 1e-6))).sum(dim=(1, 2)) / entries
            positive = (mask * (weight > 0)).sum(dim=(1, 2)) / entries
            whole = (weight > 0).double().mean()
            kept = entries > 0  # a layer may be asleep at a point
            found = [active.mean(), norm[kept].mean(), bound[kept].mean(), positive[kept].mean(), whole]
            rows.append([value.item() for value in found])
        before = active
    return np.array(rows)


def deep_critics(arrays: dict) -> None:
    """slopes before and after, shares of signs changed and of weights at the bound, and the blocks"""
    points = torch.cat([p[:8] for p in test_batch()])
    for key, (c, eps, rate, updates, m) in DEEP.items():
        slopes, gradients, shares, found = [], [], [], []
        for seed in SEEDS:
            start = time.perf_counter()
            critic = deep(seed).to(torch.float32 if eps > 1e-20 else torch.float64)
            WeightClipping(c).project(critic)
            signs = weights_of(critic).sign()
            row = [slope_of(layer_gradients(critic, *test_batch()).numpy())]
            rmsprop = partial(RMSprop, lr=rate, eps=eps)
            train_critic(critic, LAWS["roll"], WeightClipping(c), rmsprop, updates, seed=seed, m=m)
            gradients.append(layer_gradients(critic, *test_batch()).numpy())
            slopes.append([*row, slope_of(gradients[-1])])
            changed = (weights_of(critic).sign() != signs).double().mean().item()
            shares.append([at_bound(critic, c), changed])
            found.append(blocks(critic, points, c))
            middle = np.round(np.median(found[-1], axis=0), 3)
            print(key, seed, np.round(slopes[-1] + shares[-1], 3), middle, flush=True)
            print(f"  {time.perf_counter() - start:.0f} s", flush=True)
        arrays[f"deep_{key}_slopes"], arrays[f"deep_{key}_shares"] = np.array(slopes), np.array(shares)
        arrays[f"deep_{key}_gradients"] = np.array(gradients)
        arrays[f"deep_{key}_blocks"] = np.array(found).astype(np.float32)  # (seeds, 11, 5)


def trap(arrays: dict) -> None:
    """the exact W1 and the estimate for two more seeds of the games with 12 layers"""
    w1, estimates = np.zeros((len(TRAPS), 2)), np.zeros((len(TRAPS), 2))
    for i, c in enumerate(TRAPS):
        for j, seed in enumerate((3, 4)):
            found, estimates[i, j] = play(c, (128,) * 12, seed)
            w1[i, j] = found.w1
            print("trap", c, seed, round(found.w1, 3), estimates[i, j], flush=True)
    arrays["trap_c"], arrays["trap_w1"], arrays["trap_estimate"] = np.array(TRAPS), w1, estimates


if __name__ == "__main__":
    start, arrays = time.process_time(), {}
    for part in (ceiling, ring, deep_critics, trap):
        part(arrays)
        print(f"{part.__name__}: {time.process_time() - start:.0f} s of processor time so far", flush=True)
    about = {
        "command": "python data/make_clipping_seeds.py",
        "what": "chapter 10: ceilings of the agreement, three seeds, blocks of deep critics, two more games",
        "seconds": round(time.process_time() - start),
    }
    data.save_results(Path(__file__).parent / "runs", "clipping_seeds", arrays, about)
