"""Trains three methods with tanh everywhere and with residual players, and fast GANs: chapter 14.

    python data/make_architectures.py [FOLDER]

About 18 minutes on one thread. Writes data/runs/architectures.npz and .json: for each run its
curve, and of seed 0 a sheet of samples. Finished runs are kept in FOLDER, if one is given, so that a stopped
command can go on. The other fields of the grid are those of data/make_wgan_digits.py: same recipes, judges
and players.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from make_wgan_digits import LATENT, SEEDS, M, gp, judge, mlp_generator, plain_generator, prior, wgan, x
from torch import nn

from wganlab import Draw, Game, data, networks, recipes, train
from wganlab.engine import fast
from wganlab.networks.resnet import Residual, convolution, up_block


def with_tanh(player):
    """The player with tanh in place of each (leaky) ReLU."""
    for k, layer in enumerate(player):
        if isinstance(layer, nn.ReLU | nn.LeakyReLU):
            player[k] = nn.Tanh()
    return player


def residual_generator(width=8):
    """One residual block that doubles 7x7 maps, then one transposed convolution to 28x28."""
    picture = nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1)
    nn.init.constant_(picture.bias, -1.0)
    return nn.Sequential(
        nn.Linear(LATENT, width * 7 * 7), nn.Unflatten(1, (width, 7, 7)),
        up_block(width), nn.BatchNorm2d(width), nn.ReLU(), picture, nn.Tanh(),
    )  # fmt: skip


def residual_critic(width=8):
    """A convolution of stride 2 to 14x14, a residual block with mean pooling, one without, a linear layer."""

    def block(*end):
        ways = nn.ReLU(), convolution(width, width), nn.ReLU(), convolution(width, width)
        return Residual(nn.Sequential(*ways, *end), nn.Sequential(*end))

    return nn.Sequential(
        nn.Conv2d(1, width, 4, stride=2, padding=1), block(nn.AvgPool2d(2)), block(),
        nn.ReLU(), nn.Flatten(), nn.Linear(width * 7 * 7, 1), nn.Flatten(0),
    )  # fmt: skip


def with_critic(generator):
    return lambda: (generator(), networks.dcgan_critic(width=16))


PLAYERS = {
    "dcgan": with_critic(partial(networks.dcgan_generator, LATENT)),
    "plain": with_critic(plain_generator),
    "mlp": with_critic(mlp_generator),
    "tanh": lambda: (
        with_tanh(networks.dcgan_generator(LATENT)),
        with_tanh(networks.dcgan_critic(width=16)),
    ),
    "resnet": lambda: (residual_generator(), residual_critic()),
}
fast_gan = replace(recipes.gan, optimizer=partial(recipes.adam, lr=2e-3, betas=(0.5, 0.999)))
RECIPES = {"gan10": (fast_gan, 1000), "gan": (recipes.gan, 1000), "wgan": (wgan, 200), "gp": (gp, 200)}
ALONE = ("dcgan", "plain", "mlp")  # of these only gan10 is made here


def play(players, recipe, updates, seed):
    """Rows (update, CPU seconds, W1, score, ten shares) and 8 final pictures."""
    torch.manual_seed(seed)
    generator, critic = players()
    rows, spent = [[0, 0.0, *judge(generator)[0]]], 0.0
    start = time.process_time()
    for step in train(
        Game(generator, critic, recipe), Draw(x, prior, M, seed=seed), until=updates, accelerate=fast
    ):
        if step.index % (updates // 2) == 0:
            spent += time.process_time() - start
            row, pictures = judge(generator)
            rows.append([step.index, spent, *row])
            start = time.process_time()
    return {"curve": np.array(rows, np.float32), "sheet": pictures.add(1).mul(127.5).round().byte().numpy()}


folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
arrays, seconds = {}, 0.0
for p, players in PLAYERS.items():
    for seed in SEEDS:
        for name, recipe in RECIPES.items():
            if p in ALONE and name != "gan10":
                continue
            part = folder / f"architectures_{p}_{name}_{seed}.npz" if folder else None
            if part and part.exists():
                result = dict(np.load(part))
            else:
                result = play(players, *recipe, seed)
                if part:
                    folder.mkdir(parents=True, exist_ok=True)
                    np.savez(part, **result)
            step, spent, w1, score, *shares = result["curve"][-1]
            seconds += spent
            print(f"{p:7}{name:6}{seed} {spent:4.0f} s  W1 {w1:6.3f}  score {score:7.1f}"
                  f"  classes {sum(share > 0.0195 for share in shares)}", flush=True)  # fmt: skip
            arrays |= {f"{p}_{name}_{seed}.{key}": value for key, value in result.items()}

arrays = {key: value for key, value in arrays.items() if key.endswith(("curve", "_0.sheet"))}
about = {
    "command": "python data/make_architectures.py",
    "what": "GAN, WGAN and WGAN-GP on data/digits.npz, with tanh and with residual players, and the GAN at "
    "ten times its rate with five pairs of players; 1,000 critic updates, seeds 0 to 2, batch 32",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "architectures", arrays, about)
print(f"{seconds:.0f} s")
