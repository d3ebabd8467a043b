"""Plays games of chapter 11 on eight Gaussians: a large weight of the penalty, and many critic updates.

    python data/make_weights.py

Forty minutes on one CPU thread. Writes data/runs/weights.npz and .json. Players, draws, judges and looks are
those of `ring_game` in make_penalty.py, which plays the weights 10, 1 and 0.1 with n_critic 5. Three seeds.

    five_weights     (1,) 100, with n_critic 5
    twenty_weights   (4,) 100, 10, 1 and 0.1, with n_critic 20
    step             (12,) generator updates at which the games were judged

and for both, as five_... and twenty_...

    w1         (2, weights, 3, 12) two- and one-sided, weight, seed, look: exact W1 of the generator
    estimate   likewise: the critic's estimate, mean of the last 20 updates
    average    (2, weights, 3) exact W1 of the averaged generator at the end
    modes      (2, weights, 3) modes of eight that it finds
"""

import time
from pathlib import Path

import numpy as np
import torch
from make_penalty import SEEDS, ring_game

from wganlab import data

WEIGHTS = {5: (100.0,), 20: (100.0, 10.0, 1.0, 0.1)}
NAMES = {5: "five", 20: "twenty"}


def keep(play):
    """The arrays of all games, `play(weight, seed, one_sided, n_critic)` being one of them."""
    kept = {}
    for n_critic, name in NAMES.items():
        games = [
            [[play(weight, seed, side, n_critic) for seed in range(SEEDS)] for weight in WEIGHTS[n_critic]]
            for side in (False, True)
        ]
        kept[f"{name}_weights"] = np.array(WEIGHTS[n_critic])
        for key in ("w1", "estimate", "average", "modes"):
            kept[f"{name}_{key}"] = np.array([
                [[game[key] for game in row] for row in side] for side in games
            ])  # fmt: skip
        kept["step"] = games[0][0][0]["step"]
    return kept


def play(weight, seed, one_sided, n_critic):
    return ring_game(weight, seed, one_sided=one_sided, n_critic=n_critic)


def save(kept, seconds):
    about = {
        "command": "python data/make_weights.py",
        "what": "WGAN-GP on eight Gaussians, 600 updates, seeds 0 to 2: weight 100, and n_critic 20",
        "cpu_seconds": round(seconds),
    }
    data.save_results(Path(__file__).parent / "runs", "weights", kept, about)
    print(f"{seconds:.0f} s")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    begin = time.process_time()
    save(keep(play), time.process_time() - begin)
