"""Trains a plain GAN on the eight Gaussians and on digits, and keeps what chapter 3 shows.

    python data/make_game.py [FOLDER]

About eight minutes on one CPU thread. Writes data/runs/game.npz and .json: at each look the exact W1, what is
held of modes and classes, and pictures of seed 0. Finished runs are kept in FOLDER, if one is given.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from wganlab import Draw, Game, data, metrics, networks, recipes, sampling, train

torch.set_num_threads(1)
x, _ = data.digits()
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(99))
first, second = x[order[:1000]], x[order[1000:2000]]
ring, latent = sampling.ring(), sampling.normal(64)
test_rng = torch.Generator().manual_seed(99)
real, other_real = ring(500, test_rng), ring(500, test_rng)
z_ring = sampling.normal(2)(500, test_rng)
z_digits = latent(1000, torch.Generator().manual_seed(7))
classify = metrics.trained_digit_classifier()
fast = replace(  # recipes.dcgan is recipes.gan
    recipes.gan, optimizer=partial(recipes.adam, lr=1e-3, betas=(0.5, 0.999))
)


@torch.no_grad()
def look_at_ring(generator):
    fake = generator(z_ring)
    exact, held = metrics.exact_w1(real, other_real, fake), metrics.mode_coverage(fake, ring.centres, 0.2)
    return (exact.w1, exact.floor, held.modes, held.share), fake[:300].half()


@torch.no_grad()
def look_at_digits(generator):
    """A class is held if a quarter of its fair share, 25 of 1,000 pictures, is taken for it."""
    fake = generator(z_digits)
    exact = metrics.exact_w1(first[:500], second[:500], fake[:500])
    classes = (classify(fake).argmax(1).bincount(minlength=10) >= 25).sum()
    score, floor = metrics.digit_score(first, fake), metrics.digit_score(first, second)
    return (exact.w1, exact.floor, classes, score, floor), ((fake[:16, 0] + 1) * 127.5).byte()


def ring_players():
    return networks.mlp(2, 2, hidden=(64,) * 3), networks.mlp(2, 1, hidden=(64,) * 3)


def digit_players():
    return networks.dcgan_generator(64), networks.dcgan_critic(width=16)


DIGITS = (x, latent, 32)
RUNS = {  # players, recipe, draw, look, at which turns, seeds
    "ring": (ring_players, fast, (ring, sampling.normal(2), 128), look_at_ring, (0, 50, 400), 15),
    "slow": (ring_players, recipes.gan, (ring, sampling.normal(2), 128), look_at_ring, (0, 50, 400), 15),
    "digits": (digit_players, fast, DIGITS, look_at_digits, (0, 50, 400, 1500), 6),
}


def play(name, seed):
    players, recipe, laws, look, turns, _ = RUNS[name]
    torch.manual_seed(seed)
    game, begin = Game(*players(), recipe), time.process_time()
    seen = [look(game.generator)]
    for step in train(game, Draw(*laws, seed=seed), until=turns[-1]):
        if step.index in turns:
            seen.append(look(game.generator))
    numbers, shown = zip(*seen, strict=True)
    return {
        "numbers": np.array(numbers, dtype=float),
        "shown": torch.stack(shown).numpy(),
        "seconds": np.array(time.process_time() - begin),
    }


folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
arrays, seconds = {}, 0.0
for name, (*_, turns, seeds) in RUNS.items():
    runs = []
    for seed in range(seeds):
        part = folder / f"{name}_{seed}.npz" if folder else None
        if part and part.exists():
            runs.append(dict(np.load(part)))
        else:
            runs.append(play(name, seed))
            if part:
                folder.mkdir(parents=True, exist_ok=True)
                np.savez(part, **runs[-1])
        seconds += float(runs[-1]["seconds"])
        print(f"{name} seed {seed} {float(runs[-1]['seconds']):.0f} s", runs[-1]["numbers"].round(2).tolist())
    arrays[f"{name}.turns"] = np.array(turns)
    arrays[f"{name}.numbers"] = np.stack([run["numbers"] for run in runs])  # (seed, look, number)
    arrays[f"{name}.shown"] = runs[0]["shown"]
about = {
    "command": "python data/make_game.py",
    "what": "GAN on the eight Gaussians (two learning rates, seeds 0 to 14) and on digits (seeds 0 to 5)",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "game", arrays, about)
print(f"{seconds:.0f} s")
