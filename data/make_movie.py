"""Trains three games on the ring of 8 Gaussians and keeps 28 frames of each; a minute.

    python data/make_movie.py

Writes data/runs/movie.npz and .json, which the interactive figure ``training_movie`` plays. The frames are
closer together at the start, where more happens.

    titles    (3,) names of the games: clipping with c = 0.01 and c = 0.1, and the gradient penalty
    steps     (28,) generator updates
    real      (96, 2) uint8: points of the ring; 0 ... 255 stands for -LIMIT ... LIMIT
    samples   (3, 28, 144, 2) uint8, in the same way: the generator's points for the same latent points
    critic    (3, 28, 20, 20) uint8: the critic on a lattice over the same square, first axis x1; in each
              frame from its least value, 0, to its largest, 255
    w1        (3, 28) exact W1 between 500 real points and 500 of the generator's
    estimate  (3, 28) the critic's E f(x) - E f(g(z)) on the same points, to four digits
    floor     exact W1 between these real points and 500 others
"""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.optim import RMSprop

from wganlab import Draw, Game, data, metrics, networks, recipes, sampling, train
from wganlab.constraints import WeightClipping

LIMIT, LATTICE, SAMPLES, UNTIL = 2.25, 20, 144, 1000
STEPS = (0, 5, 10, 15, 20, 30, 40, 50, 60, 75, 90, 110, 130, 150, 175, 200, 230, 265, 300)
STEPS = (*STEPS, 350, 400, 460, 530, 600, 680, 780, 880, UNTIL)


def clipped(c: float) -> recipes.Recipe:
    """Algorithm 1 of WGAN, ten times faster."""
    return replace(recipes.wgan, constraint=WeightClipping(c), optimizer=partial(RMSprop, lr=5e-4))


GAMES = {
    "clipping, c = 0.01": clipped(0.01),
    "clipping, c = 0.1": clipped(0.1),
    "gradient penalty": recipes.wgan_gp_toy,
}


def byte(values, low, high):
    return np.clip(np.round(255 * (np.asarray(values) - low) / (high - low)), 0, 255).astype(np.uint8)


def frame(game, real, other, z):
    """(samples, critic, w1, estimate) of a game as it stands."""
    line = torch.linspace(-LIMIT, LIMIT, LATTICE)
    with torch.no_grad():
        fake = game.generator(z)
        values = game.critic(torch.cartesian_prod(line, line)).view(LATTICE, LATTICE).numpy()
        estimate = (game.critic(real).mean() - game.critic(fake).mean()).item()
    values = byte(values, values.min(), values.max())
    w1 = metrics.exact_w1(real, other, fake).w1
    return byte(fake[:SAMPLES], -LIMIT, LIMIT), values, round(w1, 3), float(f"{estimate:.4g}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    begin = time.process_time()
    ring, prior, rng = sampling.ring(), sampling.normal(2), torch.Generator().manual_seed(99)
    real, other, z = ring(500, rng), ring(500, rng), prior(500, rng)
    films = []
    for title, recipe in GAMES.items():
        torch.manual_seed(0)
        generator, critic = (networks.mlp(2, outputs, hidden=(64, 64, 64)) for outputs in (2, 1))
        game = Game(generator, critic, recipe)
        film = [frame(game, real, other, z)]
        for step in train(game, Draw(ring, prior, 128, seed=0), until=UNTIL):
            if step.index in STEPS:
                film.append(frame(game, real, other, z))
        films.append([np.array(part) for part in zip(*film, strict=True)])
        print(f"{title:20} W1 {films[-1][2][[0, 9, -1]]}, estimate {films[-1][3][[0, 9, -1]]}", flush=True)
    samples, critic, w1, estimate = (np.array(part) for part in zip(*films, strict=True))
    arrays = {
        "titles": np.array(list(GAMES)),
        "steps": np.array(STEPS),
        "real": byte(real[:96], -LIMIT, LIMIT),
        "samples": samples,
        "critic": critic,
        "w1": w1,
        "estimate": estimate,
        "floor": np.array(round(metrics.exact_w1(real, other, real).floor, 3)),
    }
    about = {
        "command": "python data/make_movie.py",
        "what": "games on the ring: clipping (RMSProp, 0.0005) and recipes.wgan_gp_toy, batch 128, seed 0",
        "players": "generator and critic with three hidden layers of 64",
        "cpu_seconds": round(time.process_time() - begin),
    }
    data.save_results(Path(__file__).parent / "runs", "movie", arrays, about)
    print(f"{about['cpu_seconds']} s")
