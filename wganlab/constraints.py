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
from .sampling import spread


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
        refuse_batchnorm(critic, "GradientPenalty")

    def penalty(self, critic: nn.Module, x: Tensor, x_fake: Tensor, eps: Tensor) -> Tensor:
        self.check(critic)
        check_segment("GradientPenalty", x, x_fake, eps)
        eps = eps.view(-1, *[1] * (x.ndim - 1))  # (m,) -> (m, 1, ..., 1): one per row
        x_hat = eps * x + (1 - eps) * x_fake  # line 6
        return self.of(input_gradient(critic, x_hat))  # line 7

    def of(self, gradient: Tensor) -> Tensor:
        """The penalty, given the critic's gradients (m, ...) at x_hat."""
        slope = gradient.flatten(1).norm(dim=1)  # (m,)
        excess = (slope - 1).relu() if self.one_sided else slope - 1
        return self.weight * excess.square().mean()


@dataclass(frozen=True)
class R1(Constraint):
    r""":math:`\frac\gamma2\,\frac1m\sum_i\|\nabla f(x_i)\|^2`: slopes at the real points cost, all of them.

    It asks for slope 0, not 1, and only at real data: a damping of the game, not an estimate of W1.
    Shapes as in ``GradientPenalty``; x_fake and eps are not used. Raises ``InputError`` for a gamma that is
    not positive, and for a critic with BatchNorm in training mode.
    Source: Mescheder et al. 2018, equation 9; there with the loss of the original GAN.

    >>> linear = nn.Linear(2, 1, bias=False)
    >>> linear.weight.data = torch.tensor([[3.0, 4.0]])
    >>> R1(10.0).penalty(linear, torch.ones(4, 2), torch.zeros(4, 2), torch.rand(4)).item()  # 10/2 * 25
    125.0
    """

    gamma: float = 10.0

    def __post_init__(self):
        if not 0 < self.gamma < float("inf"):
            raise InputError(f"R1 needs gamma > 0, got {self.gamma}. The paper's value is 10.")

    def check(self, critic: nn.Module) -> None:
        refuse_batchnorm(critic, "R1")

    def penalty(self, critic: nn.Module, x: Tensor, x_fake: Tensor, eps: Tensor) -> Tensor:
        self.check(critic)
        return self.gamma / 2 * input_gradient(critic, x).square().flatten(1).sum(dim=1).mean()


@dataclass(frozen=True)
class Dragan(Constraint):
    r""":math:`\lambda\,\frac1m\sum_i(\|\nabla f(\hat x_i)\| - 1)^2` near the real points only.

    :math:`\hat x_i = x_i + \varepsilon_i\,s\,\sigma u_i` with :math:`\sigma` the standard deviation of all
    numbers of the batch, ``scale`` s, and :math:`u_i` uniform on the unit cube, computed from
    :math:`\varepsilon_i`. Shapes as in ``GradientPenalty``; x_fake is not used. Raises ``InputError`` for a
    weight or a scale that is not positive, and for a critic with BatchNorm in training mode.
    Source: Kodali et al. 2017, with the noise of its authors' code: uniform, half a standard deviation. (The
    paper's text has normal noise.)

    >>> linear = nn.Linear(2, 1, bias=False)
    >>> linear.weight.data = torch.tensor([[3.0, 4.0]])
    >>> Dragan(10.0).penalty(linear, torch.randn(4, 2), torch.zeros(4, 2), torch.rand(4)).item()
    160.0
    """

    weight: float = 10.0
    scale: float = 0.5

    def __post_init__(self):
        if not (0 < self.weight < float("inf") and 0 < self.scale < float("inf")):
            raise InputError(
                f"Dragan needs a weight > 0 and a scale > 0, got {self.weight} and {self.scale}. "
                f"The authors' values are 10 and 0.5."
            )

    def check(self, critic: nn.Module) -> None:
        refuse_batchnorm(critic, "Dragan")

    def penalty(self, critic: nn.Module, x: Tensor, x_fake: Tensor, eps: Tensor) -> Tensor:
        self.check(critic)
        check_segment("Dragan", x, x, eps)
        noise = self.scale * x.std() * spread(eps, x.shape[1:])
        x_hat = x + eps.view(-1, *[1] * (x.ndim - 1)) * noise
        slope = input_gradient(critic, x_hat).flatten(1).norm(dim=1)
        return self.weight * (slope - 1).square().mean()


@dataclass(frozen=True)
class WassersteinDivergence(Constraint):
    r""":math:`k\,\frac1m\sum_i\|\nabla f(\hat x_i)\|^p` on the segments of ``GradientPenalty``.

    No slope is free and none is asked for: at the optimum the slope is a power of the flow over the
    density, so the critic's number is a divergence of its own and has no unit of length.
    Shapes as in ``GradientPenalty``. Raises ``InputError`` for k <= 0 and p < 2 (below 2 the derivative at
    slope 0 is unbounded or missing), and for a critic with BatchNorm in training mode.
    Source: Wu et al. 2018 (WGAN-div); k = 2 and p = 6 are the values of a widely used implementation
    (PyTorch-GAN), the authors' script has p = 6 with the weight 10.

    >>> linear = nn.Linear(2, 1, bias=False)
    >>> linear.weight.data = torch.tensor([[0.6, 0.8]])
    >>> x, x_fake, eps = torch.ones(4, 2), torch.zeros(4, 2), torch.rand(4)
    >>> round(WassersteinDivergence().penalty(linear, x, x_fake, eps).item(), 4)  # 2 * 1^6
    2.0
    """

    k: float = 2.0
    p: float = 6.0

    def __post_init__(self):
        if not (0 < self.k < float("inf") and 2 <= self.p < float("inf")):
            raise InputError(
                f"WassersteinDivergence needs k > 0 and a power p >= 2, got k = {self.k} and p = {self.p}. "
                f"Usual values are 2 and 6."
            )

    def check(self, critic: nn.Module) -> None:
        refuse_batchnorm(critic, "WassersteinDivergence")

    def penalty(self, critic: nn.Module, x: Tensor, x_fake: Tensor, eps: Tensor) -> Tensor:
        self.check(critic)
        check_segment("WassersteinDivergence", x, x_fake, eps)
        eps = eps.view(-1, *[1] * (x.ndim - 1))
        square = input_gradient(critic, eps * x + (1 - eps) * x_fake).square().flatten(1).sum(dim=1)
        return self.k * square.pow(self.p / 2).mean()


def refuse_batchnorm(critic: nn.Module, penalty: str) -> None:
    """Raise ``InputError`` if a layer mixes the rows of a batch, as BatchNorm in training does."""
    for name, module in getattr(critic, "named_modules", tuple)():
        uses_batch = isinstance(module, _BatchNorm) and (module.training or not module.track_running_stats)
        if uses_batch:
            raise InputError(
                f"{penalty} needs a critic that scores each row on its own, but "
                f"'{name}' is {type(module).__name__}, which mixes the rows of a batch "
                f"(Gulrajani et al. 2017, section 4). Use LayerNorm or GroupNorm."
            )


def check_segment(penalty: str, x: Tensor, x_fake: Tensor, eps: Tensor) -> None:
    """Raise ``InputError`` unless x and x_fake agree in shape and eps has one number a row."""
    if x.shape != x_fake.shape or x.ndim < 2:
        raise InputError(
            f"{penalty} draws segments between rows, so x and x_fake need one shape "
            f"(m, ...), got {tuple(x.shape)} and {tuple(x_fake.shape)}. "
            f"Give points on the line as (m, 1)."
        )
    if eps.shape != x.shape[:1]:
        raise InputError(
            f"{penalty} needs one eps a row, shape ({len(x)},), got {tuple(eps.shape)}. "
            f"One eps a pixel leaves the segment; one a batch multiplies the variance."
        )
