"""The obvious implementations that the benchmarks compare with, written afresh: one ``next``, one turn.

``as shipped``: the loops that PyTorch-GAN's ``wgan.py`` and ``wgan_gp.py`` made popular, with their networks
and numbers, a loader that decodes and normalises picture by picture (torchvision's operations, written out),
noise from numpy, and the printed line. ``resident``: the same loop on a tensor in memory, silent.
``detached``: a careful user's, who keeps the fakes out of the critic's graph. ``authors``: the form of the
WGAN-GP authors' scripts and their PyTorch ports, three backward passes for a critic update, for any players.
"""

from functools import partial
from itertools import cycle, pairwise

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.optim import Adam, RMSprop
from torch.utils.data import DataLoader, Dataset

LATENT, BATCH, N_CRITIC = 100, 64, 5
RNG = np.random.default_rng(0)


def generator():
    """100-128-256-512-1024-784 with BatchNorm (eps 0.8, as there) and leaky ReLU."""
    sizes, layers = [LATENT, 128, 256, 512, 1024], []
    for k, (size, following) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(size, following), nn.BatchNorm1d(following, 0.8) if k else nn.Identity()]
        layers += [nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(1024, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))


def critic():
    """784-512-256-1 with leaky ReLU; scores (m, 1)."""
    act = partial(nn.LeakyReLU, 0.2)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), act(), nn.Linear(512, 256), act(), nn.Linear(256, 1)
    )


class Pictures(Dataset):
    """Picture by picture: tensor, PIL image, tensor, normalised, as MNIST with its usual transforms."""

    def __init__(self, images):
        self.images = torch.from_numpy(images)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        picture = Image.fromarray(self.images[index].numpy())
        x = torch.from_numpy(np.array(picture, np.uint8, copy=True))  # ToTensor
        x = x.view(picture.size[1], picture.size[0], 1).permute((2, 0, 1)).contiguous()
        x = x.to(dtype=torch.float32).div(255).clone()  # Normalize
        mean, std = torch.as_tensor([0.5], dtype=x.dtype), torch.as_tensor([0.5], dtype=x.dtype)
        if (std == 0).any():
            raise ValueError("std is zero")
        return x.sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1)), 0


def shipped_batches(images):
    """Endless shuffled batches from a loader."""
    loader = DataLoader(Pictures(images), batch_size=BATCH, shuffle=True, drop_last=True)
    while True:
        for x, _ in loader:
            yield x.type(torch.FloatTensor)


def resident_batches(x, m=BATCH):
    """Endless shuffled batches from a tensor in memory."""
    while True:
        for rows in torch.randperm(len(x)).split(m)[: len(x) // m]:
            yield x[rows]


def slopes(D, x_hat):
    """The norms of the critic's gradients."""
    x_hat.requires_grad_(True)
    scores = D(x_hat)
    (gradients,) = torch.autograd.grad(scores, x_hat, torch.ones_like(scores), create_graph=True)
    return gradients.view(len(x_hat), -1).norm(2, dim=1)


def noise(shape, shipped):
    """Standard normal noise, from numpy as shipped."""
    return torch.FloatTensor(RNG.normal(0, 1, shape)) if shipped else torch.randn(*shape)


def wgan_gp(batches, *, shipped=False, detached=False):
    """Turns of PyTorch-GAN's WGAN-GP."""
    G, D = generator(), critic()
    optimizer_G = Adam(G.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer_D = Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
    for i in cycle(range(N_CRITIC)):
        real = next(batches)
        optimizer_D.zero_grad()
        z = noise((len(real), LATENT), shipped)
        with torch.set_grad_enabled(not detached):
            fake = G(z)
        share = (len(real), 1, 1, 1)
        alpha = torch.FloatTensor(RNG.random(share)) if shipped else torch.rand(share)
        penalty = ((slopes(D, alpha * real + (1 - alpha) * fake.data) - 1) ** 2).mean()
        loss_D = -D(real).mean() + D(fake).mean() + 10 * penalty
        loss_D.backward()
        optimizer_D.step()
        optimizer_G.zero_grad()
        if i == N_CRITIC - 1:
            loss_G = -D(G(z)).mean()
            loss_G.backward()
            optimizer_G.step()
            if shipped:
                _ = f"[D loss: {loss_D.item():f}] [G loss: {loss_G.item():f}]"
            yield


def wgan(batches, *, shipped=False):
    """Turns of PyTorch-GAN's WGAN."""
    G, D = generator(), critic()
    optimizer_G, optimizer_D = RMSprop(G.parameters(), lr=5e-5), RMSprop(D.parameters(), lr=5e-5)
    for i in cycle(range(N_CRITIC)):
        real = next(batches)
        optimizer_D.zero_grad()
        z = noise((len(real), LATENT), shipped)
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
            if shipped:
                _ = f"[D loss: {loss_D.item():f}] [G loss: {loss_G.item():f}]"
            yield


def authors(G, D, batches, latent, weight):
    """Turns in the form of the WGAN-GP authors' PyTorch scripts, for any players."""
    optimizer_G = Adam(G.parameters(), lr=1e-4, betas=(0.5, 0.9))
    optimizer_D = Adam(D.parameters(), lr=1e-4, betas=(0.5, 0.9))
    while True:
        for p in D.parameters():
            p.requires_grad = True
        for _ in range(N_CRITIC):
            real = next(batches)
            D.zero_grad()
            (-D(real).mean()).backward()
            with torch.no_grad():
                fake = G(torch.randn(len(real), latent))
            D(fake).mean().backward()
            alpha = torch.rand(len(real), *[1] * (real.ndim - 1)).expand(real.size())
            penalty = ((slopes(D, alpha * real + (1 - alpha) * fake) - 1) ** 2).mean() * weight
            penalty.backward()
            optimizer_D.step()
        for p in D.parameters():
            p.requires_grad = False
        G.zero_grad()
        (-D(G(torch.randn(len(real), latent))).mean()).backward()
        optimizer_G.step()
        yield
