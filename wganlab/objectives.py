r"""What each player minimises: an ``Objective`` is two functions of scores.

The scores are :math:`f(x)` on a real batch and :math:`f(g(z))` on a fake one, each of
shape (m,). In the GAN objectives the discriminator is :math:`D = \sigma(f)`, so that
:math:`\log D = -\mathrm{softplus}(-f)` and :math:`\log(1 - D) = -\mathrm{softplus}(f)`.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import softplus


class Objective(NamedTuple):
    r"""A pair of losses: ``critic(f_x, f_gz)`` and ``generator(f_gz)``, both minimised.

    Any two functions will do, which is how a reader adds an objective:

    >>> import torch
    >>> hinge = Objective(
    ...     critic=lambda f_x, f_gz: (1 - f_x).relu().mean() + (1 + f_gz).relu().mean(),
    ...     generator=lambda f_gz: -f_gz.mean(),
    ... )
    >>> hinge.critic(torch.tensor([1.0]), torch.tensor([0.0])).item()
    1.0
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


wasserstein = Objective(wasserstein_critic, wasserstein_generator)
minimax = Objective(discriminator, minimax_generator)
non_saturating = Objective(discriminator, non_saturating_generator)
