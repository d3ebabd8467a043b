r"""What keeps a critic near the 1-Lipschitz functions: a penalty, a projection, or nothing.

A ``Constraint`` has three hooks, which the training loop calls at fixed places:
``check(critic)`` once when a game is set up, ``penalty(critic, x, x_fake, eps)`` as part of
the critic's loss, ``project(critic)`` after the critic's update.

A ``SlopePenalty`` says *where* the critic's slope is asked for and *what* a slope costs:

=========================  =========================================  ====================
constraint                 where                                      what slope s costs
=========================  =========================================  ====================
``GradientPenalty``        on segments from fake to real points       weight (s - 1)^2
the same, ``one_sided``    there                                      weight max(0, s - 1)^2
``WassersteinDivergence``  there                                      k s^p
``R1``                     at the real points                         gamma/2 s^2
``Dragan``                 near the real points                       weight (s - 1)^2
=========================  =========================================  ====================
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from .errors import InputError

__all__ = ["Constraint", "WeightClipping", "input_gradient"]
__all__ += ["R1", "Dragan", "GradientPenalty", "SlopePenalty", "WassersteinDivergence"]


COMPUTED = (SpectralNorm, WeightNorm)  # the older way: hooks that compute a weight before each call


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
    are. Raises ``InputError`` unless 0 < c < infinity, and for a critic whose weights are computed from
    others, as spectral normalisation does: clipping those would bound nothing.
    Source: Arjovsky et al. 2017, Algorithm 1, line 7; c = 0.01 is their default.

    >>> critic = nn.Linear(1, 1)
    >>> _ = critic.weight.data.fill_(5.0)
    >>> WeightClipping(0.5).project(critic)
    >>> critic.weight.item()
    0.5
    """

    c: float = 0.01

    def __post_init__(self):
        check_positive("WeightClipping needs a bound c", self.c, "The paper's value is 0.01.")

    def check(self, critic: nn.Module) -> None:
        for name, module in critic.named_modules():
            hooks = module._forward_pre_hooks.values()
            if is_parametrized(module) or any(isinstance(hook, COMPUTED) for hook in hooks):
                raise InputError(
                    f"WeightClipping clips the weights that a layer multiplies by, but those of '{name}' are "
                    f"computed from others (spectral or weight normalisation). Take one of the two."
                )

    @torch.no_grad()
    def project(self, critic: nn.Module) -> None:
        self.check(critic)
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


class SlopePenalty(Constraint):
    """A mean cost of the critic's slope over some points: *where* it is asked for and *what* it costs.

    Each penalty states ``what(gradient)``, given the critic's gradients (m, ...) at the points of ``where``,
    and those that do not ask on segments another ``where``. Shapes: x and x_fake (m, ...), eps (m,), result
    (). Raises ``InputError`` for other shapes, and for a critic with BatchNorm in training mode, since that
    mixes rows.
    """

    def check(self, critic: nn.Module) -> None:
        refuse_mixed_rows(critic, type(self).__name__)

    def where(self, x: Tensor, x_fake: Tensor, eps: Tensor) -> Tensor:
        r"""The points (m, ...); here :math:`\hat x_i = \varepsilon_i x_i + (1 - \varepsilon_i)\tilde x_i`."""
        check_segment(type(self).__name__, x, x_fake, eps)
        eps = per_row(eps, x)
        return eps * x + (1 - eps) * x_fake  # WGAN-GP line 6

    def penalty(self, critic: nn.Module, x: Tensor, x_fake: Tensor, eps: Tensor) -> Tensor:
        self.check(critic)  # each time: a layer's mode may have changed
        return self.what(input_gradient(critic, self.where(x, x_fake, eps)))


@dataclass(frozen=True)
class GradientPenalty(SlopePenalty):
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
        check_positive("GradientPenalty needs a weight", self.weight, "The paper's value is 10.")

    def what(self, gradient: Tensor) -> Tensor:
        slope = gradient.flatten(1).norm(dim=1)  # (m, ...) -> (m,)
        excess = (slope - 1).relu() if self.one_sided else slope - 1
        return self.weight * excess.square().mean()  # WGAN-GP line 7, second part


@dataclass(frozen=True)
class R1(SlopePenalty):
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
        check_positive("R1 needs gamma", self.gamma, "The paper's value is 10.")

    def where(self, x: Tensor, x_fake: Tensor, eps: Tensor) -> Tensor:
        return x

    def what(self, gradient: Tensor) -> Tensor:
        return self.gamma / 2 * gradient.square().flatten(1).sum(dim=1).mean()


@dataclass(frozen=True)
class Dragan(SlopePenalty):
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
        check_positive("Dragan needs a weight", self.weight, "The authors' value is 10.")
        check_positive("Dragan needs a scale", self.scale, "The authors' value is 0.5.")

    def where(self, x: Tensor, x_fake: Tensor, eps: Tensor) -> Tensor:
        check_segment("Dragan", x, x, eps)
        return x + per_row(eps, x) * (self.scale * x.std() * hash_uniform(eps, x.shape[1:]))

    def what(self, gradient: Tensor) -> Tensor:
        return self.weight * (gradient.flatten(1).norm(dim=1) - 1).square().mean()


@dataclass(frozen=True)
class WassersteinDivergence(SlopePenalty):
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
            found = f"got k = {self.k} and p = {self.p}. Usual values are 2 and 6."
            raise InputError(f"WassersteinDivergence needs k > 0 and a power p >= 2, {found}")

    def what(self, gradient: Tensor) -> Tensor:
        square = gradient.square().flatten(1).sum(dim=1)  # of the slope, (m,)
        return self.k * square.pow(self.p / 2).mean()


def check_positive(need: str, value: float, usual: str) -> None:
    """Raise ``InputError`` unless a number is positive and finite."""
    if not 0 < value < float("inf"):
        raise InputError(f"{need} > 0, got {value}. {usual}")


def per_row(eps: Tensor, x: Tensor) -> Tensor:
    """``eps`` (m,) as (m, 1, ..., 1), so that it multiplies the rows of x (m, ...)."""
    return eps.view(-1, *[1] * (x.ndim - 1))


def hash_uniform(eps: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Numbers (m, *shape), as if uniform on [0, 1), that each row's eps (m,) decides.

    A pure function of the draw, so that a run can be resumed and its rows shared among processes.
    Source: the 32-bit mixing of Wellons 2018 ("lowbias32") on eps and a counter.

    >>> u = hash_uniform(torch.tensor([0.25, 0.5]), (1000,))
    >>> bool((u.mean() - 0.5).abs() < 0.02), torch.equal(u[:1], hash_uniform(torch.tensor([0.25]), (1000,)))
    (True, True)
    """
    row = (eps.detach().double() * 2**32).long()[:, None]
    word = hash32(hash32(row) + torch.arange(math.prod(shape), device=eps.device))
    return (word.double() / 2**32).to(eps.dtype).clamp(max=1 - 2**-24).view(-1, *shape)


def hash32(word: Tensor) -> Tensor:
    """A permutation of the numbers below 2^32 that leaves no pattern; int64 in, int64 out."""
    low = 2**32 - 1
    word = word & low
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & low
    word = ((word ^ (word >> 15)) * 0x846CA68B) & low
    return word ^ (word >> 16)


def refuse_mixed_rows(critic: nn.Module, penalty: str) -> None:
    """Raise ``InputError`` if a layer mixes the rows of a batch, as BatchNorm in training does.

    Other layers say so by an attribute ``mixes_rows``.
    """
    for name, module in getattr(critic, "named_modules", tuple)():
        batchnorm = isinstance(module, _BatchNorm) and (module.training or not module.track_running_stats)
        if batchnorm or getattr(module, "mixes_rows", False):
            remedy = "Use LayerNorm or GroupNorm." if batchnorm else "Take one of the two."
            raise InputError(
                f"{penalty} needs a critic that scores each row on its own, but '{name}' is "
                f"{type(module).__name__}, which mixes the rows of a batch (Gulrajani et al. 2017, "
                f"section 4). {remedy}"
            )


def check_segment(penalty: str, x: Tensor, x_fake: Tensor, eps: Tensor) -> None:
    """Raise ``InputError`` unless x and x_fake agree in shape and eps has one number a row."""
    if x.shape != x_fake.shape or x.ndim < 2:
        raise InputError(
            f"{penalty} draws segments between rows, so x and x_fake need one shape (m, ...), got "
            f"{tuple(x.shape)} and {tuple(x_fake.shape)}. Give points on the line as (m, 1)."
        )
    if eps.shape != x.shape[:1]:
        found = f"{penalty} needs one eps a row, shape ({len(x)},), got {tuple(eps.shape)}."
        raise InputError(f"{found} One eps a pixel leaves the segment; one a batch multiplies the variance.")
