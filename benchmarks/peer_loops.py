"""Times ``wganlab.train`` against the obvious implementation, in one process, in paired rounds.

    python benchmarks/peer_loops.py [--rounds 15] [--turns 20]

The obvious implementation is the loop that PyTorch-GAN's ``wgan.py`` and ``wgan_gp.py`` made popular,
written afresh here with the same networks, batch size (64), n_critic (5) and optimizer numbers. It runs
as shipped (a loader that decodes and normalises picture by picture; fakes of WGAN-GP still in the
generator's graph) and with resident data (the same loop on a tensor in memory). A turn is one generator
update with its critic updates. Reported are medians of the ratios of one round, which a busy machine
disturbs less than times.
"""

import argparse
import platform
import statistics
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import cycle, pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.optim import Adam, RMSprop
from torch.utils.data import DataLoader, Dataset

from wganlab import Draw, Game, data, recipes, sampling, train

LATENT, BATCH, N_CRITIC = 100, 64, 5


def generator():
    """100-128-256-512-1024-784 with BatchNorm (eps 0.8, as there) and leaky ReLU."""
    sizes, layers = [LATENT, 128, 256, 512, 1024], []
    for k, (size, following) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(size, following), nn.BatchNorm1d(following, 0.8) if k else nn.Identity()]
        layers += [nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(1024, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))


def critic():
    """784-512-256-1 with leaky ReLU."""
    act = partial(nn.LeakyReLU, 0.2)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), act(), nn.Linear(512, 256), act(), nn.Linear(256, 1)
    )


class Pictures(Dataset):
    """Picture by picture: array, PIL image, tensor, normalised."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        picture = np.array(Image.fromarray(self.images[index]), dtype=np.uint8, copy=True)
        return torch.from_numpy(picture)[None].float().div(255).sub(0.5).div(0.5)


def shipped_batches(images):
    """Endless shuffled batches from a loader."""
    loader = DataLoader(Pictures(images), batch_size=BATCH, shuffle=True, drop_last=True)
    while True:
        yield from loader


def resident_batches(x):
    """Endless shuffled batches from a tensor in memory."""
    while True:
        for rows in torch.randperm(len(x)).split(BATCH)[: len(x) // BATCH]:
            yield x[rows]


def obvious_wgan_gp(batches):
    """Turns of the WGAN-GP loop, one ``next`` each."""
    G, D = generator(), critic()
    optimizer_G = Adam(G.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer_D = Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
    for i in cycle(range(N_CRITIC)):
        real = next(batches)
        optimizer_D.zero_grad()
        z = torch.randn(len(real), LATENT)
        fake = G(z)
        alpha = torch.rand(len(real), 1, 1, 1)
        x_hat = (alpha * real + (1 - alpha) * fake.data).requires_grad_(True)
        scores = D(x_hat)
        (gradients,) = torch.autograd.grad(scores, x_hat, torch.ones_like(scores), create_graph=True)
        penalty = ((gradients.view(len(real), -1).norm(2, dim=1) - 1) ** 2).mean()
        loss_D = -D(real).mean() + D(fake).mean() + 10 * penalty
        loss_D.backward()
        optimizer_D.step()
        if i == N_CRITIC - 1:
            optimizer_G.zero_grad()
            loss_G = -D(G(z)).mean()
            loss_G.backward()
            optimizer_G.step()
            yield


def obvious_wgan(batches):
    """Turns of the WGAN loop, one ``next`` each."""
    G, D = generator(), critic()
    optimizer_G, optimizer_D = RMSprop(G.parameters(), lr=5e-5), RMSprop(D.parameters(), lr=5e-5)
    for i in cycle(range(N_CRITIC)):
        real = next(batches)
        optimizer_D.zero_grad()
        z = torch.randn(len(real), LATENT)
        fake = G(z).detach()
        loss_D = -D(real).mean() + D(fake).mean()
        loss_D.backward()
        optimizer_D.step()
        for weight in D.parameters():
            weight.data.clamp_(-0.01, 0.01)
        if i == N_CRITIC - 1:
            optimizer_G.zero_grad()
            loss_G = -D(G(z)).mean()
            loss_G.backward()
            optimizer_G.step()
            yield


def library(recipe, x):
    """Turns of ``wganlab.train`` with the same networks and numbers."""
    D = nn.Sequential(*critic(), nn.Flatten(0))
    draw = Draw(x, sampling.normal(LATENT), BATCH)
    return train(Game(generator(), D, recipe), draw, until=10**9)


def seconds(turns, n):
    """Wall time of n turns."""
    start = time.perf_counter()
    for _ in range(n):
        next(turns)
    return time.perf_counter() - start


def compare(name, obvious, recipe, x, images, rounds, n):
    """Rows of the table for one recipe."""
    runs = {
        "wganlab": library(recipe, x),
        "as shipped": obvious(shipped_batches(images)),
        "resident": obvious(resident_batches(x)),
    }
    for turns in runs.values():
        seconds(turns, 3)  # warm up
    times = {key: [] for key in runs}
    for k in range(rounds):
        for key in list(runs)[:: 1 if k % 2 else -1]:  # alternate the order
            times[key].append(seconds(runs[key], n))
    for key in ("as shipped", "resident"):
        ratios = sorted(a / b for a, b in zip(times[key], times["wganlab"], strict=True))
        median = statistics.median(ratios)
        yield f"| {name} | {key} | {median:.2f} | {ratios[0]:.2f} - {ratios[-1]:.2f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = data.digits().x
    images = x.add(1).mul(127.5).round().byte().squeeze(1).numpy()
    same_adam = partial(Adam, lr=2e-4, betas=(0.5, 0.999), fused=True)
    lines = [
        f"`python benchmarks/peer_loops.py --rounds {options.rounds} --turns {options.turns}`:",
        "time of the obvious loop divided by the time of `wganlab.train`, median and range over paired",
        "rounds; above 1, wganlab is faster.",
        f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, one thread.",
        "",
        "| recipe | obvious loop | median ratio | range |",
        "|---|---|---|---|",
    ]
    for name, obvious, recipe in (
        ("wgan", obvious_wgan, recipes.wgan),
        ("wgan_gp", obvious_wgan_gp, replace(recipes.wgan_gp, optimizer=same_adam)),
    ):
        lines += compare(name, obvious, recipe, x, images, options.rounds, options.turns)
    text = "\n".join(["# The library's loop against the obvious one", "", *lines, ""])
    (Path(__file__).parent / "results" / "peer_loops.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
