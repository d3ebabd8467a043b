"""The zoo's first house: gradient penalties that are wrong in one place each.

All have the arguments ``(critic, x, x_fake)`` and the weight 10. ``audit`` names each by its key.
"""

import itertools

import torch
from torch import Tensor, nn

from ...constraints import input_gradient
from ..examination import audit
from .entry import entry

WEIGHT = 10.0


def uniform(x: Tensor) -> Tensor:
    """One eps a row, of shape (m, 1, ..., 1)."""
    return torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)


def between(eps: Tensor, x: Tensor, x_fake: Tensor) -> Tensor:
    return eps * x + (1 - eps) * x_fake


def slopes(critic: nn.Module, x_hat: Tensor) -> Tensor:
    """The norm of the gradient in each row, shape (m,)."""
    return input_gradient(critic, x_hat).flatten(1).norm(dim=1)


def cost(slope: Tensor) -> Tensor:
    return WEIGHT * (slope - 1).square().mean()


def penalty(critic: nn.Module, x: Tensor, x_fake: Tensor) -> Tensor:
    r"""The right one: :math:`10\,\frac1m\sum_i(\|\nabla f(\hat x_i)\| - 1)^2`, uniform eps, one a row.

    >>> linear = nn.Linear(2, 1, bias=False)
    >>> linear.weight.data = torch.tensor([[3.0, 4.0]])
    >>> penalty(linear, torch.ones(4, 2), torch.zeros(4, 2)).item()
    160.0
    """
    return cost(slopes(critic, between(uniform(x), x, x_fake)))


# The norm


def global_norm(critic, x, x_fake):
    """Symptom: slope 1 in each of 64 rows costs 10 (8 - 1)^2 = 490 instead of 0; slope 1/8 costs 0

    Seen in: keras-contrib, examples/improved_wgan.py at commit 2b62fb2 (pull request 232, fixed in
    bd3f4d7); torchgan, torchgan/losses/functional.py, both its gradient penalty and its DRAGAN penalty
    """
    return cost(input_gradient(critic, between(uniform(x), x, x_fake)).norm())


def channel_norm(critic, x, x_fake):
    """Symptom: a gradient of 1 in each of 3 x 2 x 2 entries has norm 3.4641, its channel norms are 1.7321

    Seen in: caogang/wgan-gp, issues 25, 27 and 56; PyTorch-GAN, issue 20; Zeleni9/pytorch-wgan, issue 40;
    hwalsuklee/tensorflow-generative-model-collections, pull request 22
    """
    return cost(input_gradient(critic, between(uniform(x), x, x_fake)).norm(dim=1))


def wrong_axes(critic, x, x_fake):
    """Symptom: the gradient (1/2, 1/2, 1/2, 1/2) of norm 1 costs 10 (1/2 - 1)^2 = 2.5 instead of 0"""
    return cost(input_gradient(critic, between(uniform(x), x, x_fake)).abs())


def other_norm(critic, x, x_fake):
    """Symptom: the gradient (0.6, 0.8) of norm 1 costs 10 (1.4 - 1)^2 = 1.6 instead of 0"""
    return cost(input_gradient(critic, between(uniform(x), x, x_fake)).flatten(1).abs().sum(1))


def squared_norm(critic, x, x_fake):
    """Symptom: slope 5 costs 10 (25 - 1)^2 = 5760 instead of 160"""
    return cost(input_gradient(critic, between(uniform(x), x, x_fake)).flatten(1).square().sum(1))


def nan_at_zero(critic, x, x_fake):
    """Symptom: for a critic of slope 0 the value is 10, which is right, and its gradient in the weights is
    nan

    Seen in: the WGAN-GP example of keras-io, issues 624 and 910, fixed by pull request 2364; the blog on
    WGAN and WGAN-GP
    """
    gradient = input_gradient(critic, between(uniform(x), x, x_fake))
    return cost(gradient.flatten(1).square().sum(1).sqrt())  # infinite derivative at 0


def mean_score(critic, x, x_fake):
    """Symptom: slope 1 in each of 64 rows costs 10 (1/64 - 1)^2 = 9.6899 instead of 0; slope 64 costs 0"""
    return cost(slopes(lambda x_hat: critic(x_hat).mean(), between(uniform(x), x, x_fake)))


def wrong_variable(critic, x, x_fake):
    """Symptom: slope 1 costs 10 (eps - 1)^2 in a row, on average 3.3333 instead of 0; the cheapest slope is
    3/2
    """
    return cost(slopes(lambda x: critic(between(uniform(x), x, x_fake)), x))


# What is asked of the slope


def no_square(critic, x, x_fake):
    """Symptom: slope 0 costs -10 instead of 10: a flat critic is rewarded"""
    return WEIGHT * (slopes(critic, between(uniform(x), x, x_fake)) - 1).mean()


def wrong_side(critic, x, x_fake):
    """Symptom: slope 5 costs 0 instead of 160"""
    return WEIGHT * (1 - slopes(critic, between(uniform(x), x, x_fake))).relu().square().mean()


def zero_centred(critic, x, x_fake):
    """Symptom: slope 3 costs 90 instead of 40, and the cheapest slope is 0

    Seen in: the lecture notes of Larson, which explain R1 as if it were this penalty; as R1 it is right
    """
    return WEIGHT * slopes(critic, between(uniform(x), x, x_fake)).square().mean()


def wrong_target(critic, x, x_fake):
    """Symptom: slope 1 costs 10 (1 - 0.3)^2 = 4.9 instead of 0"""
    return WEIGHT * (slopes(critic, between(uniform(x), x, x_fake)) - 0.3).square().mean()


def sum_over_batch(critic, x, x_fake):
    """Symptom: slope 5 in each of 64 rows costs 10240 instead of 160"""
    return WEIGHT * (slopes(critic, between(uniform(x), x, x_fake)) - 1).square().sum()


def no_mean(critic, x, x_fake):
    """Symptom: 64 rows give a tensor of 64 numbers instead of one"""
    return WEIGHT * (slopes(critic, between(uniform(x), x, x_fake)) - 1).square()


def mean_slope(critic, x, x_fake):
    """Symptom: two rows with slopes 0 and 2 cost 0 instead of 10"""
    return cost(slopes(critic, between(uniform(x), x, x_fake)).mean())


def wrong_sign(critic, x, x_fake):
    """Symptom: slope 5 costs -160 instead of 160"""
    return -penalty(critic, x, x_fake)


# The way back to the weights


def no_graph(critic, x, x_fake):
    """Symptom: slope 5 costs 160, which is right, and its gradient in the weights does not exist instead of
    80
    """
    x_hat = between(uniform(x), x, x_fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x_hat).sum(), x_hat)  # create_graph is missing
    return cost(gradient.flatten(1).norm(dim=1))


def wrong_weight_gradient(critic, x, x_fake):
    """Symptom: slope 5 costs 160, which is right, and its gradient in the weights has length 40 instead of
    80
    """
    excess = slopes(critic, between(uniform(x), x, x_fake)) - 1
    return WEIGHT * (excess.detach() * excess).mean()  # half the gradient


def needs_attached_fakes(critic, x, x_fake):
    """Symptom: with fakes on the generator's graph slope 5 costs 160; with detached ones it raises a
    RuntimeError
    """
    x_hat = between(uniform(x), x, x_fake)  # no leaf of its own
    (gradient,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    return cost(gradient.flatten(1).norm(dim=1))


# The points


def batch_eps(critic, x, x_fake):
    """Symptom: for f = |x|^2 / 2 from 0 to (2, 0) the value / 10 has the variance 4/45 = 0.0889, for 64 rows
    too, instead of 0.0014

    Seen in: torchgan, torchgan/losses/wasserstein.py
    """
    return cost(slopes(critic, between(torch.rand(()), x, x_fake)))


def pixel_eps(critic, x, x_fake):
    """Symptom: between (0, 0) and (1, 1) the point nearest to x_hat on the segment is 0.2357 away on average

    Seen in: hwalsuklee/tensorflow-generative-model-collections, issue 33;
    preritj/progressive_growing_of_GANs, issue 3; PyTorch-GAN, implementations/dragan/dragan.py
    """
    return cost(slopes(critic, between(torch.rand_like(x), x, x_fake)))


def normal_eps(critic, x, x_fake):
    """Symptom: 65.87 % of the points are outside the segment; for f = |x|^2 / 2 from 0 to (2, 0) the value /
    10 is 1.8085 on average instead of 0.3333

    Seen in: the blog on WGAN and WGAN-GP; the WGAN-GP example of keras-io, issue 624
    """
    return cost(slopes(critic, between(torch.randn_like(uniform(x)), x, x_fake)))


def eps_range(critic, x, x_fake):
    """Symptom: with eps uniform on [-1, 1] half of the points are outside the segment"""
    return cost(slopes(critic, between(2 * uniform(x) - 1, x, x_fake)))


def constant_eps(critic, x, x_fake):
    """Symptom: for f = |x|^2 / 2 from 0 to (2, 0) the value is 0, because the slope in the middle is 1"""
    return cost(slopes(critic, (x + x_fake) / 2))


def ends_only(critic, x, x_fake):
    """Symptom: for f = |x|^2 / 2 from 0 to (2, 0) the value is 10 instead of 3.3333 on average"""
    return cost(slopes(critic, x))


def off_segment(critic, x, x_fake):
    """Symptom: between x = 1 and x_fake = 1 the points reach up to 2; a factor 1 - eps is missing"""
    return cost(slopes(critic, uniform(x) * x + x_fake))


def foreign_units(critic, x, x_fake):
    """Symptom: data in [0, 1], a critic of [-1, 1]: slope 5 costs 10 (10 - 1)^2 = 810 instead of 160; slope
    1/2 costs 0
    """
    return cost(slopes(lambda x_hat: critic(2 * x_hat - 1), between(uniform(x), x, x_fake)))


def not_the_critic(critic, x, x_fake):
    """Symptom: slope 5 costs 0 instead of 160, and so does every other slope"""
    x_hat = between(uniform(x), x, x_fake)
    critic(x_hat)  # its scores are thrown away
    return cost(slopes(lambda x_hat: x_hat.flatten(1).norm(dim=1), x_hat))


# Shapes


def fixed_channels(critic, x, x_fake):
    """Symptom: pictures with 3 channels pass, pictures with 1 raise a RuntimeError

    Seen in: mimicry, torch_mimicry/nets/wgan_gp/wgan_gp_base.py
    """
    m, _, height, width = x.shape
    eps = torch.rand(m, 1, dtype=x.dtype).expand(m, x[0].numel()).reshape(m, 3, height, width)
    return cost(slopes(critic, between(eps, x, x_fake)))


def fixed_batch(critic, x, x_fake):
    """Symptom: 60000 rows in batches of 64 leave a last batch of 32, which raises a RuntimeError

    Seen in: the blog on WGAN and WGAN-GP
    """
    eps = torch.rand(64, *[1] * (x.ndim - 1), dtype=x.dtype)
    return cost(slopes(critic, between(eps, x, x_fake)))


def fixed_size(critic, x, x_fake):
    """Symptom: pictures of 28 x 28 pass, pictures of 32 x 32 raise a RuntimeError"""
    eps = uniform(x).expand(len(x), *x.shape[1:-2], 28, 28)
    return cost(slopes(critic, between(eps, x, x_fake)))


# Side effects


def changes_batch(critic, x, x_fake):
    """Symptom: x = 1 and x_fake = 0 before the call; after it, x is eps"""
    eps = uniform(x)
    return cost(slopes(critic, x.mul_(eps).add_((1 - eps) * x_fake)))


def changes_critic(critic, x, x_fake):
    """Symptom: after one call the critic has 0 weights that require a gradient"""
    value = penalty(critic, x, x_fake)
    critic.requires_grad_(False)  # "freeze the critic", and never thaw it
    return value


def writes_grad(critic, x, x_fake):
    """Symptom: slope 5: after the call .grad of a linear critic has length 80, not None"""
    value = penalty(critic, x, x_fake)
    value.backward(retain_graph=True)
    return value


CALLS = itertools.count(1)


def depends_on_calls(critic, x, x_fake):
    """Symptom: the same critic and batch cost 160 more in each call, at slope 5"""
    return next(CALLS) * penalty(critic, x, x_fake)


def switches_mode(critic, x, x_fake):
    """Symptom: critic.training is True before the call and False after it"""
    critic.eval()
    return penalty(critic, x, x_fake)


def passes(function) -> bool:
    """Whether ``audit`` finds nothing in the function."""
    return audit(function).ok


# Each function above that has a symptom is wrong
WRONG = [part for part in list(vars().values()) if str(part.__doc__).startswith("Symptom: ")]
PENALTIES = {wrong.__name__.replace("_", "-"): entry(wrong, penalty, passes) for wrong in WRONG}
