r"""What keeps a critic near the 1-Lipschitz functions: a penalty, a projection, or nothing.

A ``Constraint`` has three hooks, which the training loop calls at fixed places:
``check(critic)`` once when a game is set up, ``penalty(critic, x, x_fake, eps)`` as part of
the critic's loss, ``project(critic)`` after the critic's update.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .errors import InputError


@dataclass(frozen=True)
class Constraint:
    """No constraint: the penalty is 0 and the projection does nothing (the original GAN).

    >>> Constraint().penalty(None, torch.ones(2, 1), torch.zeros(2, 1), torch.rand(2)).item()
    0.0
    """

    def check(self, critic: nn.Module) -> None:
        """Nothing to refuse; a constraint that cannot work with ``critic`` raises here."""

    def penalty(self, critic: nn.Module, x: Tensor, x_fake: Tensor, eps: Tensor) -> Tensor:
        """What is added to the critic's loss: a tensor of shape (), here 0."""
        return x.new_zeros(())

    def project(self, critic: nn.Module) -> None:
        """What is done to the critic's weights after its update: here nothing."""


@dataclass(frozen=True)
class WeightClipping(Constraint):
    r""":math:`w \leftarrow \mathrm{clip}(w, -c, c)` for every weight and bias of the critic.

    Buffers, such as the running statistics of BatchNorm, are not weights and stay as they
    are. Raises ``InputError`` unless 0 < c < infinity.
    Source: Arjovsky et al. 2017, Algorithm 1, line 7; c = 0.01 is their default.

    >>> critic = nn.Linear(1, 1)
    >>> _ = critic.weight.data.fill_(5.0)
    >>> WeightClipping(0.5).project(critic)
    >>> critic.weight.item()
    0.5
    """

    c: float = 0.01

    def __post_init__(self):
        if not 0 < self.c < float("inf"):
            raise InputError(
                f"WeightClipping needs a bound c > 0, got c = {self.c}. The paper's value is 0.01."
            )

    @torch.no_grad()
    def project(self, critic: nn.Module) -> None:
        for weight in critic.parameters():
            weight.clamp_(-self.c, self.c)


def input_gradient(critic: nn.Module, x: Tensor) -> Tensor:
    r""":math:`\nabla_x f(x)` row by row: x and the result have shape (m, ...).

    The graph is kept, so the result can itself be differentiated with respect to the weights.
    Row i is the gradient of row i's score only if the critic scores rows one by one.

    >>> input_gradient(lambda x: 0.5 * x.square().sum(1), torch.tensor([[3.0, 4.0]]))
    tensor([[3., 4.]], grad_fn=<MulBackward0>)
    """
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return gradient


@dataclass(frozen=True)
class GradientPenalty(Constraint):
    r""":math:`\lambda\,\frac1m\sum_i(\|\nabla f(\hat x_i)\| - 1)^2` on random segments.

    :math:`\hat x_i = \varepsilon_i x_i + (1 - \varepsilon_i)\tilde x_i`, one uniform
    :math:`\varepsilon_i` a row. With ``one_sided=True`` only slopes above 1 cost:
    :math:`\max(0, \|\nabla f\| - 1)^2`.

    Shapes: x and x_fake (m, ...), eps (m,), result (). A zero gradient has slope 0 and
    the derivative 0, never NaN. Raises ``InputError`` for a weight that is not positive, for
    other shapes, and for a critic with BatchNorm in training mode, since that mixes rows.
    Source: Gulrajani et al. 2017, Algorithm 1, lines 4-7 (two-sided, weight 10) and
    appendix C (one-sided).

    >>> linear = nn.Linear(2, 1, bias=False)
    >>> linear.weight.data = torch.tensor([[3.0, 4.0]])  # slope 5 everywhere
    >>> x, x_fake, eps = torch.ones(4, 2), torch.zeros(4, 2), torch.rand(4)
    >>> GradientPenalty(10.0).penalty(linear, x, x_fake, eps).item()  # 10 (5 - 1)^2
    160.0
    """

    weight: float = 10.0
    one_sided: bool = False

    def __post_init__(self):
        if not 0 < self.weight < float("inf"):
            raise InputError(
                f"GradientPenalty needs a weight > 0, got {self.weight}. The paper's value is 10."
            )

    def check(self, critic: nn.Module) -> None:
        for name, module in getattr(critic, "named_modules", tuple)():
            uses_batch = isinstance(module, _BatchNorm) and (
                module.training or not module.track_running_stats
            )
            if uses_batch:
                raise InputError(
                    f"GradientPenalty needs a critic that scores each row on its own, but "
                    f"'{name}' is {type(module).__name__}, which mixes the rows of a batch "
                    f"(Gulrajani et al. 2017, section 4). Use LayerNorm or GroupNorm."
                )

    def penalty(self, critic: nn.Module, x: Tensor, x_fake: Tensor, eps: Tensor) -> Tensor:
        self.check(critic)
        check_segment(x, x_fake, eps)
        eps = eps.view(-1, *[1] * (x.ndim - 1))  # (m,) -> (m, 1, ..., 1): one per row
        x_hat = eps * x + (1 - eps) * x_fake  # line 6
        slope = input_gradient(critic, x_hat).flatten(1).norm(dim=1)  # (m,)
        excess = (slope - 1).relu() if self.one_sided else slope - 1
        return self.weight * excess.square().mean()  # line 7


def check_segment(x: Tensor, x_fake: Tensor, eps: Tensor) -> None:
    """Raise ``InputError`` unless x and x_fake agree in shape and eps has one number a row."""
    if x.shape != x_fake.shape or x.ndim < 2:
        raise InputError(
            f"GradientPenalty draws segments between rows, so x and x_fake need one shape "
            f"(m, ...), got {tuple(x.shape)} and {tuple(x_fake.shape)}. "
            f"Give points on the line as (m, 1)."
        )
    if eps.shape != x.shape[:1]:
        raise InputError(
            f"GradientPenalty needs one eps a row, shape ({len(x)},), got {tuple(eps.shape)}. "
            f"One eps a pixel leaves the segment; one a batch multiplies the variance."
        )
