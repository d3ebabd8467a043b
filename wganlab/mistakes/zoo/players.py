"""The zoo's second house: slips in players and losses.

Each pair has its own arguments, which its docstring or the line above it names; ``check`` judges any
function with them.
"""

import math

import torch
from torch import nn

from ...objectives import minimax, wasserstein_critic, with_labels
from ..examination.critics import examine_critic
from .entry import entry

# Players: (width) -> a layer or a critic


def batchnorm_eps_wrong(width):
    """Symptom: a batch of variance 1 comes out with variance 1 / 1.8 = 0.5556

    Seen in: PyTorch-GAN, implementations/wgan_gp/wgan_gp.py among others, issue 116
    """
    return nn.BatchNorm1d(width, 0.8)  # the second argument is eps, not momentum


def batchnorm_eps_right(width):
    return nn.BatchNorm1d(width, momentum=0.2)


def normalises(make_layer) -> bool:
    """Whether a batch of variance 1 comes out with variance 1, up to a hundredth."""
    x = torch.tensor([-1.0, 1.0]).repeat(8)[:, None].repeat(1, 4)
    return abs(make_layer(4).train()(x).var(0, unbiased=False).mean().item() - 1) < 0.01


def critic_with(norm, width):
    return nn.Sequential(nn.Linear(2, width), norm, nn.ReLU(), nn.Linear(width, 1), nn.Flatten(0))


def mixing_critic(width):
    """Symptom: BatchNorm maps a row 0 to -1 beside a row 1 and to 1 beside a row -1

    Seen in: unified-gan-tensorflow, model.py: the discriminator keeps BatchNorm for all model types
    """
    return critic_with(nn.BatchNorm1d(width), width)


def separate_critic(width):
    return critic_with(nn.LayerNorm(width), width)


def scores_rows_apart(make_critic) -> bool:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        bugs, notes = examine_critic(make_critic(8))
    return not bugs and "scored by itself" in notes[0]


def layernorm_wrong(channels):
    """One mean for each pixel: Keras' default axis -1 of (m, H, W, C).

    Symptom: a picture with the left half at -1 and the right half at 1 comes out 0 everywhere

    Seen in: the blog on WGAN and WGAN-GP: LayerNormalization() of Keras acts on the last axis alone
    """
    norm = nn.LayerNorm(channels)
    return lambda h: norm(h.movedim(1, -1)).movedim(-1, 1)


def layernorm_right(channels):
    return nn.GroupNorm(1, channels)


def keeps_the_picture(make_layer) -> bool:
    """Whether a picture that is dark on the left and light on the right is so afterwards."""
    h = torch.ones(1, 2, 4, 4)
    h[..., :2] = -1.0
    out = make_layer(2)(h)
    return (out[..., 3] - out[..., 0]).mean().item() > 1


# Losses: (f_x, f_gz) -> number to be minimised by the critic


def reversed_sign(f_x, f_gz):
    """Symptom: real scores 1, fake scores 0: the loss is 1, so minus the loss estimates W1 as -1

    Seen in: keras-contrib, examples/improved_wgan.py, whose docstring says the opposite of its loss;
    martinarjovsky/WassersteinGAN, main.py, is reversed too, but consistent
    """
    return f_x.mean() - f_gz.mean()


def lifts_real(loss) -> bool:
    """Whether descending the loss raises the scores of real rows and lowers those of fakes."""
    f_x, f_gz = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    up, down = torch.autograd.grad(loss(f_x, f_gz), [f_x, f_gz])
    return bool((up < 0).all() and (down > 0).all())


def product_loss(f_x, f_gz):
    """Symptom: (f_x, f_gz) = (1, -1) and (-1, 1) both cost -1: the best critic and the worst

    Seen in: the lecture notes of Larson
    """
    return (f_x * f_gz).mean()


def one_best_corner(loss) -> bool:
    """Whether (f_x, f_gz) = (1, -1) costs less than its opposite (-1, 1)."""
    one = torch.ones(1)
    return bool(loss(one, -one) < loss(-one, one))


def two_sided_labels(f_x, f_gz):
    """Cross entropy with the labels 0.9 for real and 0.1 for fake rows.

    Symptom: where there are no real rows the best D is 0.1 instead of 0

    Seen in: Weng 2017, which calls the labels 0.9 and 0.1 one-sided
    """
    return with_labels(minimax, real=0.9, fake=0.1).critic(f_x, f_gz)


def rejects_lone_fakes(loss) -> bool:
    """Whether D = 0.05 on a fake is still pushed down where there are no real rows."""
    f_gz = torch.full((1,), math.log(0.05 / 0.95), requires_grad=True)
    (slope,) = torch.autograd.grad(loss(torch.zeros(1), f_gz), f_gz)
    return slope.item() > 0


def early_claim(d):
    """Is a generator whose fakes get the probability d of being real a good one?

    Symptom: at D = 0.01 the term -log(1 - D) is 0.0101, at D = 0.99 it is 4.6052: small for a bad
    generator

    Seen in: d2l, chapter on GANs (gan.md)
    """
    return -math.log(1 - d) < 0.1  # small, so the generator is thought to be good


PLAYERS = {
    "batchnorm-eps": entry(batchnorm_eps_wrong, batchnorm_eps_right, normalises),
    "mixes-rows": entry(mixing_critic, separate_critic, scores_rows_apart),
    "pixel-layernorm": entry(layernorm_wrong, layernorm_right, keeps_the_picture),
    "reversed-sign": entry(reversed_sign, wasserstein_critic, lifts_real),
    "product-loss": entry(product_loss, wasserstein_critic, one_best_corner),
    "two-sided-labels": entry(two_sided_labels, with_labels(minimax).critic, rejects_lone_fakes),
    "good-generator": entry(early_claim, lambda d: d >= 0.5, lambda good: not good(0.01) and good(0.99)),
}
