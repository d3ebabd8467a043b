"""Penalties for ``test_field``, in the styles of the field; the docstring of each is the verdict."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import autograd
from torch.autograd import Variable


def gradient_of(scores, points):
    return autograd.grad(scores, points, torch.ones_like(scores), create_graph=True, retain_graph=True)[0]


# Rows


def rows_lambda(D, real, fake):
    """ok"""
    lam = 0.1
    a = torch.rand(real.size(0), 1)
    p = Variable(a.expand(real.size()) * real.data + (1 - a) * fake.data, requires_grad=True)
    g = gradient_of(D(p), p)
    return ((g.norm(2, dim=1) - 1) ** 2).mean() * lam


def rows_of_numpy(critic, x, x_fake):
    """ok"""
    u = torch.as_tensor(np.random.uniform(size=(len(x), 1)), dtype=x.dtype)  # noqa: NPY002
    p = torch.lerp(x_fake, x, u).requires_grad_()
    g = gradient_of(critic(p), p)
    return 10 * F.mse_loss(g.norm(dim=1), torch.ones(len(x), dtype=g.dtype))


def rows_float_lp(critic, x, x_fake):
    """ok"""
    u = torch.rand(len(x), 1)
    p = (x_fake.float() + u * (x - x_fake).float()).requires_grad_()
    g = gradient_of(critic(p), p)
    return 5.0 * F.relu(torch.sqrt(g.pow(2).sum(1) + 1e-8) - 1).pow(2).mean()


def rows_with_logs(critic, x, x_fake):
    """ok"""
    u = torch.rand(len(x), 1)
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    slope = gradient_of(critic(p), p).norm(2, 1)
    gap = critic(x).mean() - critic(x_fake).mean()
    return {"penalty": 10 * ((slope - 1) ** 2).mean(), "slope": slope, "gap": gap}


def rows_sum_over_m(critic, x, x_fake):
    """ok"""
    m = x.shape[0]
    p = x_fake.clone()
    u = torch.rand(m)
    for i in range(m):
        p[i] = u[i] * x[i] + (1 - u[i]) * x_fake[i]
    p.requires_grad_(True)
    g = gradient_of(critic(p), p)
    return 10 / m * sum((row.norm() - 1) ** 2 for row in g)


def rows_global(critic, x, x_fake):
    """global-norm"""
    u = torch.rand(len(x), 1)
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    return 10 * (gradient_of(critic(p), p).norm(2) - 1) ** 2


def rows_normal(critic, x, x_fake):
    """normal-eps"""
    u = torch.normal(0.0, 1.0, (len(x), 1))
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).norm(2, 1) - 1) ** 2).mean()


def rows_batch_axis(critic, x, x_fake):
    """wrong-axes"""
    u = torch.rand(len(x), 1)
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    g = torch.stack(list(gradient_of(critic(p), p)), dim=1)
    return 10 * ((g.norm(2, 1) - 1) ** 2).mean()


def rows_of_100(critic, x, x_fake):
    """fixed-batch"""
    u = torch.rand(100, 1)
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).norm(2, 1) - 1) ** 2).mean()


def rows_of_37(critic, x, x_fake):
    """fixed-batch"""
    u = torch.rand(37, 1).expand(37, x.shape[1])
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).norm(2, 1) - 1) ** 2).mean()


# Pictures


def pictures_expand(D, real, fake):
    """ok"""
    b, c, h, w = real.shape
    a = torch.rand(b, 1).expand(b, c * h * w).contiguous().view(b, c, h, w)
    p = autograd.Variable(a * real + (1 - a) * fake, requires_grad=True)
    g = gradient_of(D(p), p).view(b, -1)
    return ((g.norm(2, dim=1) - 1) ** 2).mean() * 10


def pictures_axes(critic, x, x_fake):
    """ok"""
    u = torch.rand(len(x), 1, 1, 1)
    p = (x_fake + u * (x - x_fake)).detach().requires_grad_()
    g = gradient_of(critic(p), p)
    return 10 * ((g.square().sum(dim=(1, 2, 3)) + 1e-12).sqrt() - 1).square().mean()


def pictures_any_axes(critic, x, x_fake):
    """ok"""
    u = torch.rand([x.shape[0]] + [1] * (x.dim() - 1))
    p = (x_fake + u * (x - x_fake)).detach().requires_grad_()
    g = gradient_of(critic(p), p)
    return 10 * (torch.linalg.vector_norm(g, dim=(1, 2, 3)) - 1).square().mean()


def pictures_channels(critic, x, x_fake):
    """channel-norm"""
    u = torch.rand(len(x), 1, 1, 1)
    p = (x_fake + u * (x - x_fake)).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).norm(2, dim=1) - 1) ** 2).mean()


def pictures_per_pixel(critic, x, x_fake):
    """pixel-eps"""
    b, c, h, w = x.shape
    p = (x_fake + torch.rand(b, c, h, w) * (x - x_fake)).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).reshape(b, -1).norm(2, dim=1) - 1) ** 2).mean()


def pictures_of_48(critic, x, x_fake):
    """fixed-size"""
    u = torch.rand(len(x), 1, 1, 1).expand(len(x), x.shape[1], 48, 48)
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).flatten(1).norm(2, dim=1) - 1) ** 2).mean()


def pictures_attached(critic, x, x_fake):
    """needs-attached-fakes"""
    u = torch.rand(x.size(0), 1, 1, 1).expand_as(x)
    p = u * x.data + (1 - u) * x_fake
    return 10 * ((gradient_of(critic(p), p).flatten(1).norm(2, 1) - 1) ** 2).mean()


def pictures_r1(critic, x, x_fake):
    """r1"""
    p = x.detach().requires_grad_(True)
    g = gradient_of(critic(p), p)
    return 5 * g.square().flatten(1).sum(1).mean()


def pictures_old(critic, x, x_fake):
    """raises"""
    u = torch.rand(x.size(0), 1, 1, 1)
    p = Variable(u * x + (1 - u) * x_fake, requires_grad=True)
    loss = critic(p).mean()
    print(loss.data[0])
    return 10 * ((gradient_of(critic(p), p).flatten(1).norm(2, 1) - 1) ** 2).mean()


# Sequences


def sequences_plain(critic, x, x_fake):
    """ok"""
    b, t, f = x.size()
    u = torch.rand(b, 1, 1).expand(b, t, f)
    p = (u * x + (1 - u) * x_fake).detach().requires_grad_()
    return 10 * ((gradient_of(critic(p), p).reshape(b, t * f).norm(2, dim=1) - 1) ** 2).mean()


def sequences_of_audio(critic, x, x_fake):
    """ok"""
    u = torch.rand(len(x), 1, 1)
    p = (x + u * (x_fake - x)).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).norm(2, dim=[1, 2]) - 1) ** 2).mean()


def sequences_per_token(critic, x, x_fake):
    """wrong-axes"""
    u = torch.rand(len(x), 1, 1)
    p = (x + u * (x_fake - x)).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).norm(2, dim=2) - 1) ** 2).mean()


def sequences_per_step(critic, x, x_fake):
    """pixel-eps"""
    u = torch.rand(len(x), x.shape[1], 1)
    p = (x + u * (x_fake - x)).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).flatten(1).norm(2, dim=1) - 1) ** 2).mean()


def sequences_one_number(critic, x, x_fake):
    """global-norm"""
    u = torch.rand(len(x), 1, 1)
    p = (x + u * (x_fake - x)).requires_grad_()
    g = gradient_of(critic(p), p)
    return 10 * (torch.sqrt(torch.sum(g**2) + 1e-12) - 1) ** 2


# Volumes


def volumes_plain(critic, x, x_fake):
    """ok"""
    u = torch.rand(len(x), 1, 1, 1, 1)
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).view(len(x), -1).norm(2, dim=1) - 1) ** 2).mean()


def volumes_named(critic, x, x_fake):
    """ok"""
    b, c, d, h, w = x.shape
    u = torch.FloatTensor(b, 1, 1, 1, 1).uniform_(0, 1).expand(b, c, d, h, w)
    p = torch.autograd.Variable((1 - u) * x + u * x_fake, requires_grad=True)
    g = gradient_of(critic(p), p)
    return 10 * (g.pow(2).sum([1, 2, 3, 4]).add(1e-16).sqrt() - 1).pow(2).mean()


def volumes_root(critic, x, x_fake):
    """nan-at-zero"""
    u = torch.rand(len(x), 1, 1, 1, 1)
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    g = gradient_of(critic(p), p)
    return 10 * (g.pow(2).sum([1, 2, 3, 4]).sqrt() - 1).pow(2).mean()


# Anything


def any_dragan(critic, x, x_fake):
    """dragan"""
    p = (x + 0.5 * x.std() * torch.rand_like(x)).detach().requires_grad_()
    return 10 * ((gradient_of(critic(p), p).flatten(1).norm(2, 1) - 1) ** 2).mean()


def any_arc(critic, x, x_fake):
    """arcs"""
    u = torch.rand(len(x), *[1] * (x.ndim - 1)) * math.pi / 2
    p = (torch.sin(u) * x + torch.cos(u) * x_fake).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).flatten(1).norm(2, 1) - 1) ** 2).mean()


def any_sphere(critic, x, x_fake):
    """arcs"""
    a, b = F.normalize(x.flatten(1), dim=1), F.normalize(x_fake.flatten(1), dim=1)
    angle = torch.acos((a * b).sum(1).clamp(-1 + 1e-9, 1 - 1e-9)).view(-1, *[1] * (x.ndim - 1))
    u = torch.rand_like(angle)
    p = (torch.sin((1 - u) * angle) * x + torch.sin(u * angle) * x_fake) / torch.sin(angle)
    p = p.requires_grad_()
    return 10 * ((gradient_of(critic(p), p).flatten(1).norm(2, 1) - 1) ** 2).mean()


def any_triples(critic, x, x_fake):
    """pacgan"""
    u = torch.rand(len(x) // 3).repeat_interleave(3).view(-1, *[1] * (x.ndim - 1))
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    g = gradient_of(critic(p).view(-1, 3).sum(1), p)
    return 10 * ((g.reshape(len(x) // 3, -1).norm(2, 1) - 1) ** 2).mean()


def any_pixels(critic, x, x_fake):
    """foreign-units"""
    u = torch.rand(len(x), *[1] * (x.ndim - 1))
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    return 10 * ((gradient_of(critic(p / 255), p).flatten(1).norm(2, 1) - 1) ** 2).mean()


SCALER = torch.amp.GradScaler("cpu", init_scale=1024.0)


def any_scaled(critic, x, x_fake):
    """wrong-target"""
    u = torch.rand(len(x), *[1] * (x.ndim - 1))
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    g = gradient_of(SCALER.scale(critic(p)), p)
    return 10 * ((g.flatten(1).norm(2, 1) - 1) ** 2).mean()


def any_unscaled(critic, x, x_fake):
    """ok"""
    u = torch.rand(len(x), *[1] * (x.ndim - 1))
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    g = gradient_of(SCALER.scale(critic(p)), p) / SCALER.get_scale()
    return 10 * ((g.flatten(1).norm(2, 1) - 1) ** 2).mean()


STATE = {"weight": 10.0}


def any_decay(critic, x, x_fake):
    """depends-on-calls"""
    STATE["weight"] *= 0.9
    u = torch.rand(len(x), *[1] * (x.ndim - 1))
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    return STATE["weight"] * ((gradient_of(critic(p), p).flatten(1).norm(2, 1) - 1) ** 2).mean()


def any_of_the_input(critic, x, x_fake):
    """not-the-critic"""
    u = torch.rand(len(x), *[1] * (x.ndim - 1))
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    critic(p)
    return 10 * ((gradient_of(p.square().sum(), p).flatten(1).norm(2, 1) - 1) ** 2).mean()


def any_backward(critic, x, x_fake):
    """ok"""
    u = torch.rand(len(x), *[1] * (x.ndim - 1))
    p = (u * x + (1 - u) * x_fake).requires_grad_()
    loss = 10 * ((gradient_of(critic(p), p).flatten(1).norm(2, 1) - 1) ** 2).mean()
    loss.backward()
    return loss.item()


def any_in_place(critic, x, x_fake):
    """changes-batch"""
    u = torch.rand(len(x), *[1] * (x.ndim - 1))
    x_fake -= x
    p = (x + u * x_fake).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).flatten(1).norm(2, 1) - 1) ** 2).mean()


def any_leaf(critic, x, x_fake):
    """ok"""
    x_fake.requires_grad_()
    u = torch.rand(len(x), *[1] * (x.ndim - 1))
    p = u * x + (1 - u) * x_fake
    return 10 * ((gradient_of(critic(p), p).flatten(1).norm(2, 1) - 1) ** 2).mean()


def any_noise(critic, x, x_fake):
    """ends-only"""
    p = (x + torch.randint(0, 1, x.shape)).requires_grad_()
    return 10 * ((gradient_of(critic(p), p).flatten(1).norm(2, 1) - 1) ** 2).mean()


def any_first_fake(critic, x, x_fake):
    """one-partner"""
    return any_leaf(critic, x, x_fake[0].expand_as(x))


def any_mean_fake(critic, x, x_fake):
    """off-segment"""
    return any_leaf(critic, x, x_fake.mean(0, keepdim=True).expand_as(x))


def any_scrambled(critic, x, x_fake):
    """off-segment"""
    return any_leaf(critic, x.transpose(0, -1).reshape(x.shape), x_fake)


def any_shuffled(critic, x, x_fake):
    """ok"""
    return any_leaf(critic, x, x_fake[torch.randperm(len(x_fake))])


def any_half(critic, x, x_fake):
    """fewer-points"""
    return any_leaf(critic, x[: len(x) // 2], x_fake[: len(x) // 2])


STYLES = {name: part for name, part in vars().items() if callable(part) and "_" in name and part.__doc__}
STYLES = {name: part for name, part in STYLES.items() if part.__module__ == __name__}
