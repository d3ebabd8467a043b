r"""What each player minimises: an ``Objective`` is two functions of scores.

The scores are :math:`f(x)` on a real batch and :math:`f(g(z))` on a fake one, each of
shape (m,). In the GAN objectives the discriminator is :math:`D = \sigma(f)`, so that
:math:`\log D = -\mathrm{softplus}(-f)` and :math:`\log(1 - D) = -\mathrm{softplus}(f)`.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import softplus

from .errors import InputError

__all__ = ["Objective", "hinge", "least_squares", "minimax", "non_saturating", "wasserstein", "with_labels"]


class Objective(NamedTuple):
    r"""A pair of losses: ``critic(f_x, f_gz)`` and ``generator(f_gz)``, both minimised.

    Any two functions will do, which is how a reader adds an objective:

    >>> import torch
    >>> squared = Objective(
    ...     critic=lambda f_x, f_gz: (f_x - f_gz - 1).square().mean(),
    ...     generator=lambda f_gz: -f_gz.mean(),
    ... )
    >>> squared.critic(torch.tensor([3.0]), torch.tensor([0.0])).item()
    4.0
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]

    def __repr__(self):  # without memory addresses, so that checkpoints can compare recipes
        return f"Objective({self.critic.__name__}, {self.generator.__name__})"


def wasserstein_critic(f_x: Tensor, f_gz: Tensor) -> Tensor:
    r""":math:`\frac1m\sum f(g(z_i)) - \frac1m\sum f(x_i)`: minus the estimate of W1.

    Source: Gulrajani et al. 2017, Algorithm 1, line 7 without the penalty; Arjovsky et
    al. 2017, Algorithm 1, line 5 with the opposite sign (there the critic ascends).

    >>> import torch
    >>> wasserstein_critic(torch.tensor([3.0, 1.0]), torch.tensor([0.0, 0.0])).item()
    -2.0
    """
    return f_gz.mean() - f_x.mean()


def wasserstein_generator(f_gz: Tensor) -> Tensor:
    r""":math:`-\frac1m\sum f(g(z_i))`: descending it makes the critic's score of fakes rise.

    Source: Arjovsky et al. 2017, Algorithm 1, line 10; Gulrajani et al. 2017, line 12.

    >>> import torch
    >>> wasserstein_generator(torch.tensor([1.0, 2.0])).item()
    -1.5
    """
    return -f_gz.mean()


def discriminator(f_x: Tensor, f_gz: Tensor) -> Tensor:
    r""":math:`-\frac1m\sum\log D(x_i) - \frac1m\sum\log(1 - D(g(z_i)))`: cross entropy.

    At its optimum it equals :math:`2\ln 2 - 2\,\mathrm{JS}(P_r, P_g)`.
    Source: Goodfellow et al. 2014, equation 1 and Algorithm 1, negated to be minimised.

    >>> import torch
    >>> round(discriminator(torch.zeros(4), torch.zeros(4)).item(), 6)  # 2 ln 2
    1.386294
    """
    return softplus(-f_x).mean() + softplus(f_gz).mean()


def minimax_generator(f_gz: Tensor) -> Tensor:
    r""":math:`\frac1m\sum\log(1 - D(g(z_i)))`: the generator's side of the zero-sum game.

    Source: Goodfellow et al. 2014, Algorithm 1. Its gradient with respect to a score is
    :math:`-D`, which vanishes where the discriminator is sure that a point is fake.

    >>> import torch
    >>> round(minimax_generator(torch.zeros(4)).item(), 6)  # -ln 2
    -0.693147
    """
    return -softplus(f_gz).mean()


def non_saturating_generator(f_gz: Tensor) -> Tensor:
    r""":math:`-\frac1m\sum\log D(g(z_i))`: its gradient does not vanish for poor fakes.

    Source: Goodfellow et al. 2014, section 3, last paragraph.

    >>> import torch
    >>> round(non_saturating_generator(torch.zeros(4)).item(), 6)  # ln 2
    0.693147
    """
    return softplus(-f_gz).mean()


def least_squares_critic(f_x: Tensor, f_gz: Tensor) -> Tensor:
    r""":math:`\frac1{2m}\sum(f(x_i) - 1)^2 + \frac1{2m}\sum f(g(z_i))^2`: scores as labels 1 and 0.

    Source: Mao et al. 2017, equation 9 (labels a = 0, b = c = 1).

    >>> import torch
    >>> least_squares_critic(torch.tensor([3.0]), torch.tensor([1.0])).item()
    2.5
    """
    return ((f_x - 1).square().mean() + f_gz.square().mean()) / 2


def least_squares_generator(f_gz: Tensor) -> Tensor:
    r""":math:`\frac1{2m}\sum(f(g(z_i)) - 1)^2`: fakes are to be scored 1.

    Source: Mao et al. 2017, equation 9.

    >>> import torch
    >>> least_squares_generator(torch.tensor([3.0])).item()
    2.0
    """
    return (f_gz - 1).square().mean() / 2


def hinge_critic(f_x: Tensor, f_gz: Tensor) -> Tensor:
    r""":math:`\frac1m\sum\max(0, 1 - f(x_i)) + \frac1m\sum\max(0, 1 + f(g(z_i)))`: a margin of 1 is enough.

    Source: Miyato et al. 2018, equation 16; its generator's loss is that of ``wasserstein``, equation 17.

    >>> import torch
    >>> hinge_critic(torch.tensor([0.5, 2.0]), torch.tensor([0.0, -3.0])).item()
    0.75
    """
    return (1 - f_x).relu().mean() + (1 + f_gz).relu().mean()


wasserstein = Objective(wasserstein_critic, wasserstein_generator)
minimax = Objective(discriminator, minimax_generator)
non_saturating = Objective(discriminator, non_saturating_generator)
least_squares = Objective(least_squares_critic, least_squares_generator)
hinge = Objective(hinge_critic, wasserstein_generator)


def cross_entropy(f: Tensor, label: float) -> Tensor:
    r""":math:`-\frac1m\sum p\log D + (1 - p)\log(1 - D)` for the label p, a probability."""
    return (label * softplus(-f) + (1 - label) * softplus(f)).mean()


def with_labels(objective: Objective, real: float = 0.9, fake: float = 0.0) -> Objective:
    r"""Label smoothing: D is asked to say ``real`` on real points and ``fake`` on fakes, not 1 and 0.

    The best D is then :math:`(\alpha p_r + \beta p_g)/(p_r + p_g)` with :math:`\alpha` real and
    :math:`\beta` fake; any :math:`\beta > 0` rewards fakes where there are no data, so 0 is the default
    ("one-sided"). For ``minimax`` and ``non_saturating``; the generator's loss stays. Raises ``InputError``
    for other objectives and labels outside 0 <= fake < real <= 1.
    Source: Salimans et al. 2016, section 3.4.

    >>> import torch
    >>> smooth = with_labels(non_saturating)
    >>> round(smooth.critic(torch.zeros(4), torch.zeros(4)).item(), 6)  # 2 ln 2, as for any label at D = 1/2
    1.386294
    """
    if objective.critic is not discriminator:
        found = f"with_labels smooths the labels of a discriminator, but {objective} has none."
        raise InputError(f"{found} Use it with minimax or non_saturating.")
    if not 0 <= fake < real <= 1:
        found = f"with_labels needs 0 <= fake < real <= 1, got real = {real} and fake = {fake}."
        raise InputError(f"{found} One-sided smoothing is real = 0.9 and fake = 0.")

    def smoothed(f_x: Tensor, f_gz: Tensor) -> Tensor:
        return cross_entropy(f_x, real) + cross_entropy(f_gz, fake)

    smoothed.__name__ = f"discriminator with labels {real:g} and {fake:g}"
    return Objective(smoothed, objective.generator)
