"""Penalties for ``test_field`` that take other things than (critic, x, x_fake); all are right when called.

The docstring is a part of what the refusal says.
"""

from collections import namedtuple

import torch
from torch import nn


def slopes(scores, points):
    (g,) = torch.autograd.grad(scores, points, torch.ones_like(scores), create_graph=True)
    return g.flatten(1).norm(2, dim=1)


def cost(slope, weight=10.0):
    return weight * ((slope - 1) ** 2).mean()


def segment(x, y):
    u = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device)
    return (u * x + (1 - u) * y).detach().requires_grad_()


def real_fake_disc(real, fake, discriminator):
    """takes (real, fake, discriminator), with the critic as its third argument"""
    p = segment(real, fake)
    return cost(slopes(discriminator(p), p))


def real_model_fake(real_data, model, generated):
    """with the critic as its second argument"""
    p = segment(real_data, generated)
    return cost(slopes(model(p), p))


def with_batch_size(netD, batch_size, real, fake):
    """takes (netD, batch_size, real, fake)"""
    u = torch.rand(batch_size, *[1] * (real.ndim - 1))
    p = (u * real + (1 - u) * fake).requires_grad_()
    return cost(slopes(netD(p), p))


def with_weight(critic, real, fake, lambda_gp):
    """takes (critic, real, fake, lambda_gp)"""
    p = segment(real, fake)
    return cost(slopes(critic(p), p), lambda_gp)


def with_device(critic, real, fake, device):
    """takes (critic, real, fake, device)"""
    u = torch.rand(len(real), *[1] * (real.ndim - 1), device=device)
    p = (u * real + (1 - u) * fake).requires_grad_()
    return cost(slopes(critic(p), p))


def with_eps(critic, real, fake, epsilon):
    """takes (critic, real, fake, epsilon)"""
    p = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
    return cost(slopes(critic(p), p))


def with_labels(critic, real, fake, labels):
    """takes (critic, real, fake, labels) and hands the critic more than the points"""
    p = segment(real, fake)
    return cost(slopes(critic(p, labels), p))


def with_step(critic, real, fake, step, alpha):
    """takes (critic, real, fake, step, alpha) and hands the critic more"""
    p = segment(real, fake)
    return cost(slopes(critic(p, step=step, alpha=alpha), p))


def of_interpolates(critic, interpolates):
    """takes (critic, interpolates)"""
    interpolates.requires_grad_()
    return cost(slopes(critic(interpolates), interpolates))


def of_scores(d_interpolates, interpolates):
    """takes (d_interpolates, interpolates)"""
    return cost(slopes(d_interpolates, interpolates))


def of_gradient(gradient):
    """takes (gradient)"""
    return cost(gradient.reshape(len(gradient), -1).norm(2, dim=1))


def with_generator(G, D, real, z):
    """with the critic as its second argument"""
    p = segment(real, G(z))
    return cost(slopes(D(p), p))


def two_outputs(critic, real, fake):
    """wants a critic that gives two values, the score first"""
    p = segment(real, fake)
    return cost(slopes(critic(p)[0], p))


def features_and_score(critic, real, fake):
    """wants a critic that gives two values"""
    p = segment(real, fake)
    _, score = critic(p)
    return cost(slopes(score, p))


def first_of_three(critic, real, fake):
    """wants a critic that gives three values, the score first"""
    p = segment(real, fake)
    score, _features, _logits = critic(p)
    return cost(slopes(score, p))


def named_parts(model, real, fake):
    """reads discriminator from the critic"""
    p = segment(real, fake)
    return cost(slopes(model.discriminator(p), p))


def moved_to_gpu(critic, real, fake):
    """needs a GPU"""
    u = torch.rand(len(real), *[1] * (real.ndim - 1)).to("cuda")
    p = (u * real + (1 - u) * fake).requires_grad_()
    return cost(slopes(critic(p), p))


GPU = torch.device("cuda:0")


def made_on_gpu(critic, real, fake, device=GPU):
    """needs a GPU"""
    u = torch.rand(len(real), *[1] * (real.ndim - 1), device=device)
    p = (u * real + (1 - u) * fake).requires_grad_()
    scores = critic(p)
    (g,) = torch.autograd.grad(scores, p, torch.ones(scores.size()).cuda(), create_graph=True)
    return cost(g.flatten(1).norm(2, dim=1))


netD = nn.Linear(5, 1)


def of_a_global(real, fake):
    """takes (real, fake) and reads netD from its file"""
    p = segment(real, fake)
    return cost(slopes(netD(p), p))


class Trainer:
    def __init__(self):
        self.critic = nn.Linear(3, 1)
        self.weight = 10.0

    def between(self, real, fake):
        return segment(real, fake)

    def penalty(self, real, fake):
        """takes (real, fake) and reads critic from its object"""
        p = self.between(real, fake)
        return cost(slopes(self.critic(p), p), self.weight)


class Needy(nn.Module):
    def __init__(self, critic, options):
        super().__init__()
        self.D = critic
        self.lambda_gp = options.weight
        self.device = options.device

    def gradient_penalty(self, real, fake):
        """reads device, D, lambda_gp from its object"""
        u = torch.rand(len(real), *[1] * (real.ndim - 1)).to(self.device)
        p = (u * real + (1 - u) * fake).requires_grad_()
        return cost(slopes(self.D(p), p), self.lambda_gp)


class Loss(nn.Module):
    def forward(self, real, fake, critic):
        """with the critic as its third argument"""
        p = segment(real, fake)
        return cost(slopes(critic(p), p))


def labels_and_ones(critic, real, fake, labels):
    """takes (critic, real, fake, labels) and hands the critic more than the points"""
    p = segment(real, fake)
    scores, ones = critic(p, labels), torch.ones(len(real), 1, dtype=real.dtype)
    (g,) = torch.autograd.grad(scores, p, grad_outputs=ones, create_graph=True)
    return cost(g.flatten(1).norm(dim=1))


Options = namedtuple("Options", "weight device")
REFUSALS = {name: part for name, part in vars().items() if "_" in name and getattr(part, "__doc__", None)}
REFUSALS = {name: part for name, part in REFUSALS.items() if getattr(part, "__module__", "") == __name__}
REFUSALS |= {
    "a method": Trainer().penalty,
    "a method of what needs more": Needy(nn.Linear(5, 1), Options(10.0, "cpu")).gradient_penalty,
    "a module": Loss(),
}
