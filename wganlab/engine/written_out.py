r"""The critic's update with its gradient written out: autograd's numbers, without its waste.

The critic is a chain of affine layers :math:`W_\ell` with (leaky) ReLU between them. Its loss has the
rows [x; x_fake; x_hat]; :math:`s_\ell` are the activations' slopes there, and :math:`c` is the loss's
derivative in each row's score (1 for x_hat). Then the gradient is two chains of products:

- backward (the chapter's chain down): :math:`u_L = c`, :math:`u_{\ell-1} = (u_\ell W_\ell)\,s_{\ell-1}`;
  below the first layer stands :math:`g = \nabla f(\hat x)`, and with it
  :math:`G = \partial\,\text{penalty}/\partial g`;
- tangent (its chain up), on the rows x_hat alone: :math:`a_0 = G`,
  :math:`a_\ell = (a_{\ell-1} W_\ell^T)\,s_\ell`;
- :math:`\partial W_\ell = u_\ell^T\,[h_{\ell-1}(x);\ h_{\ell-1}(\tilde x);\ a_{\ell-1}]`, with the layer's
  inputs h, and :math:`\partial b_\ell` is the sum of :math:`u_\ell` over the rows x and x_fake.

Autograd pushes a second derivative through all that made g, zeros included. And x_hat needs no product with
:math:`W_1`: an affine layer's value there lies between those at x and x_fake.
"""

from collections.abc import Callable
from copy import copy
from types import MethodType

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

from ..constraints import R1, Constraint, GradientPenalty, SlopePenalty, WassersteinDivergence, per_row
from ..training import Game, Gradient, check_scores, critic_gradient, parameters_of
from ..tricks import Trick
from .one_pass import one_pass
from .products import matmul, with_onednn

# Where a penalty may ask for slopes: these points commute with affine maps, W x_hat + b = where(W x + b,
# W x_fake + b, eps), so that x_hat needs no product with the first matrix.
AFFINE = (SlopePenalty.where, R1.where)
# What costs no more than the length of a gradient decides.
OF_LENGTH = (GradientPenalty.what, R1.what, WassersteinDivergence.what)


def fast(game: Game) -> Game:
    """The game with the critic's gradient written out, where that is known to be right.

    For ``train(..., accelerate=fast)`` and ``fit``. It is written out for a critic that is an
    ``nn.Sequential``, nested or not, of ``Linear``, ``Conv2d``, ``ReLU``, ``LeakyReLU``, ``Flatten``,
    ``Unflatten`` and ``Identity``, with any objective, and weight clipping, no constraint, or a penalty
    on segments or real points (``GradientPenalty``, one-sided or not, ``WassersteinDivergence``, ``R1``).
    Every other gradient stays as it is, but for its matrix products (``products``). Within a ``tricks.Trick``
    it is the gradient of the game within that is written out. RMSprop takes one pass
    over the weights (``one_pass``). Gradients and steps are the plain ones up to rounding, so a run differs
    in its last bits.

    >>> from wganlab import networks, recipes
    >>> game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan_gp)
    >>> x, z, eps = torch.ones(4, 2), torch.zeros(4, 2), torch.rand(4)
    >>> pairs = zip(fast(game).critic_gradient(x, z, eps)[2], game.critic_gradient(x, z, eps)[2])
    >>> max((one - other).abs().max().item() for one, other in pairs) < 1e-5
    True
    """
    twin = copy(game)
    twin.critic_optimizer = one_pass(game.critic_optimizer)
    twin.generator_optimizer = one_pass(game.generator_optimizer)
    twin.generator_gradient = with_onednn(game.generator_gradient)
    if isinstance(game, Trick):  # its gradient is its own, and asks the game within for the rest
        twin.inner = fast(game.inner)
        return twin
    twin.critic_gradient = ManualGradient(game) if writes_out(game) else with_onednn(game.critic_gradient)
    return twin


def writes_out(game: Game) -> bool:
    """Whether ``fast`` writes this game's critic gradient out, and does not leave it to autograd.

    >>> from wganlab import networks, recipes
    >>> writes_out(Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan_lp))
    True
    >>> smooth = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    >>> writes_out(Game(networks.mlp(2, 2), smooth, recipes.wgan_lp))
    False
    """
    game = getattr(game, "innermost", game)
    constraint, layers = game.recipe.constraint, known_layers(game.critic)
    own = inherits(game, Game.critic_gradient) and inherits(game, Game.critic_step)
    known = inherits(constraint, Constraint.penalty)
    if inherits(constraint, SlopePenalty.penalty):
        known = any(inherits(constraint, where) for where in AFFINE)
    first = first_affine(layers)
    return own and known and first < len(layers) and not isinstance(layers[first], Activation)


def inherits(owner: object, method: Callable) -> bool:
    """Whether an object's method is that of a class above it, neither overridden nor exchanged."""
    return getattr(owner, method.__name__, None) == MethodType(method, owner)


class Reshape:
    """A layer that only arranges numbers."""

    def __init__(self, layer: nn.Module):
        self.forward = layer

    def backward(self, u: Tensor, h: Tensor, y: Tensor) -> Tensor:
        return u.reshape(h.shape)

    def tangent(self, a: Tensor, y: Tensor) -> Tensor:
        return self.forward(a)


class Activation:
    """ReLU or leaky ReLU: slope 1 above zero and ``slope`` below; it overwrites what it is given.

    Its input is needed by nobody else: ``y > 0`` says where the slope is 1, and the derivatives at its output
    belong to no weight.
    """

    def __init__(self, layer: nn.ReLU | nn.LeakyReLU):
        self.slope = getattr(layer, "negative_slope", 0.0)

    def forward(self, h: Tensor) -> Tensor:
        return functional.leaky_relu_(h, self.slope)

    def tangent(self, a: Tensor, y: Tensor) -> Tensor:
        return torch.ops.aten.leaky_relu_backward.grad_input(a, y, self.slope, True, grad_input=a)

    def backward(self, u: Tensor, h: Tensor, y: Tensor) -> Tensor:
        return self.tangent(u, y)


class Linear:
    """``nn.Linear``: h (rows, in) to h W^T + b (rows, out)."""

    def __init__(self, layer: nn.Linear):
        self.weight, self.bias = layer.weight, layer.bias  # (out, in), (out,)

    def forward(self, h: Tensor) -> Tensor:
        return matmul(h, self.weight.T, self.bias)

    def backward(self, u: Tensor, h: Tensor, y: Tensor) -> Tensor:
        return matmul(u, self.weight)  # (rows, out) -> (rows, in)

    def tangent(self, a: Tensor, y: Tensor) -> Tensor:
        return matmul(a, self.weight.T)  # (m, in) -> (m, out)

    def weight_gradient(self, u: Tensor, h: Tensor) -> Tensor:
        return matmul(u.flatten(0, -2).T, h.flatten(0, -2))  # (out, rows) (rows, in) -> (out, in)

    def bias_gradient(self, u: Tensor) -> Tensor:
        return u.flatten(0, -2).sum(0)


class Convolution:
    """``nn.Conv2d``: pictures (rows, in, height, width) to (rows, out, ...)."""

    def __init__(self, layer: nn.Conv2d):
        self.weight, self.bias, self.forward = layer.weight, layer.bias, layer
        self.form = (layer.stride, layer.padding, layer.dilation, layer.groups)

    def backward(self, u: Tensor, h: Tensor, y: Tensor) -> Tensor:
        return conv2d_input(h.shape, self.weight, u, *self.form)

    def tangent(self, a: Tensor, y: Tensor) -> Tensor:
        return functional.conv2d(a, self.weight, None, *self.form)

    def weight_gradient(self, u: Tensor, h: Tensor) -> Tensor:
        return conv2d_weight(h, self.weight.shape, u, *self.form)

    def bias_gradient(self, u: Tensor) -> Tensor:
        return u.sum((0, 2, 3))


KINDS = {nn.Linear: Linear, nn.Conv2d: Convolution, nn.ReLU: Activation, nn.LeakyReLU: Activation}
KINDS |= dict.fromkeys((nn.Flatten, nn.Unflatten, nn.Identity), Reshape)


def known_layers(critic: nn.Module) -> list:
    """The critic's layers as ``KINDS``, or an empty list if one of them is not known to be right."""
    parts = (part for _, part in critic.named_modules(remove_duplicate=False))  # one may stand twice
    layers = [part for part in parts if type(part) is not nn.Sequential]
    weights = [weight for layer in layers for weight in layer.parameters()]
    own = len(set(weights)) == len(weights) and all(weight.requires_grad for weight in weights)  # none twice
    plain = all(map(is_plain, layers)) and not any(map(hooked, (*critic.modules(), *weights)))
    known = own and plain and all(map(keeps_batch_axis, layers[:-1]))
    return [KINDS[type(layer)](layer) for layer in layers] if known else []


def first_affine(layers: list) -> int:
    """The number of the first layer that does more than arrange numbers; all of them if none does."""
    return next((k for k, layer in enumerate(layers) if not isinstance(layer, Reshape)), len(layers))


def is_plain(layer: nn.Module) -> bool:
    """Whether a layer is of ``KINDS``, and none of its options is one that they leave out."""
    options = vars(layer)
    zeros = options.get("padding_mode", "zeros") == "zeros" and not isinstance(options.get("padding"), str)
    return type(layer) in KINDS and zeros and options.get("negative_slope", 0.0) >= 0


def hooked(part: nn.Module | Tensor) -> bool:
    """Whether autograd or a call would do more to a layer or a weight than it says itself."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(part, name, None) for name in names)


def keeps_batch_axis(layer: nn.Module) -> bool:
    """Whether a layer keeps one row for each row; ``nn.Flatten(0)``, say, does not."""
    first = getattr(layer, "start_dim", getattr(layer, "dim", 1))  # of the axes that it changes
    return isinstance(first, int) and first >= 1


class ManualGradient:
    """``critic_gradient`` of a game whose critic is a chain of known layers, by the formulas above.

    ``first`` is the number of the first affine layer; those before it only arrange numbers. ``penalty`` is
    None where slopes cost nothing. The number of rows is n = 2m, or 3m with a penalty: x, x_fake, x_hat.
    """

    def __init__(self, game: Game):
        self.critic, self.recipe, self.generator = game.critic, game.recipe, with_onednn(game.generator)
        self.weights, self.layers = parameters_of(game.critic_optimizer), known_layers(game.critic)
        self.first = first_affine(self.layers)
        constraint = game.recipe.constraint
        self.penalty = constraint if isinstance(constraint, SlopePenalty) else None

    def __call__(self, x: Tensor, z: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Gradient]:
        with torch.no_grad():
            x_fake = self.generator(z)
        if x.shape != x_fake.shape:  # autograd's can do it, or says what is wrong
            return critic_gradient(self.critic, self.recipe, x, x_fake, eps, self.weights)
        return self.gradient(x, x_fake, eps)

    @torch.no_grad()
    def gradient(self, x: Tensor, x_fake: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Gradient]:
        """The critic's loss, its penalty, and the gradient of their sum."""
        m = len(x)
        values = self.forward(x, x_fake, eps)
        f = check_scores(values[-1], len(values[-1]))[: 2 * m]
        with torch.enable_grad():
            loss = self.recipe.objective.critic(*f.requires_grad_().split(m))
        (c,) = torch.autograd.grad(loss, f)  # (2m,)
        us = self.backward(values, torch.cat([c, c.new_ones(len(values[-1]) - 2 * m)]))
        penalty = torch.zeros_like(loss)
        if self.penalty:
            penalty, a = self.slope_cost(self.input_gradient(values, us[0][2 * m :]))
            self.tangent(values, a)
        found = self.weight_gradients(values, us, m)
        return loss.detach(), penalty.detach(), [found[weight] for weight in self.weights]

    def slope_cost(self, g: Tensor) -> tuple[Tensor, Tensor]:
        r"""The penalty of the slopes g (m, ...) and its derivative there.

        What only the length s of a gradient decides is asked for lengths (m, 1): the derivative is
        :math:`\partial_s\,g/s`, and 0 where s is.
        """
        by_length = any(inherits(self.penalty, what) for what in OF_LENGTH)
        s = g.flatten(1).norm(dim=1, keepdim=True) if by_length else g
        with torch.enable_grad():
            penalty = self.penalty.what(s.requires_grad_())
        (derivative,) = torch.autograd.grad(penalty, s)
        if by_length:
            derivative = per_row(torch.where(s > 0, derivative / s, 0.0)[:, 0], g) * g
        return penalty, derivative

    def forward(self, x: Tensor, x_fake: Tensor, eps: Tensor) -> list[Tensor]:
        """The input of each layer, then the scores, n rows each.

        Up to the first affine layer the rows of x_hat are a free place that ``tangent`` fills.
        """
        m = len(x)
        values = [torch.cat([x, x_fake, x] if self.penalty else [x, x_fake])]
        for k, layer in enumerate(self.layers):
            if k == self.first and self.penalty:
                y = layer.forward(values[k][: 2 * m])
                values.append(torch.cat([y, self.penalty.where(y[:m], y[m:], eps)]))
            else:
                values.append(layer.forward(values[k]))
        return values

    def backward(self, values: list[Tensor], u: Tensor) -> list[Tensor]:
        """The derivatives at each layer's output from the first affine one on; ``u`` (n,) is the last."""
        us = [u]
        for k in range(len(self.layers) - 1, self.first, -1):
            us.insert(0, self.layers[k].backward(us[0], values[k], values[k + 1]))
        return us

    def input_gradient(self, values: list[Tensor], u: Tensor) -> Tensor:
        """The gradient (m, ...) at x_hat, from ``u`` at the output of the first affine layer there."""
        for k in range(self.first, -1, -1):
            u = self.layers[k].backward(u, values[k][-len(u) :], values[k + 1])
        return u

    def tangent(self, values: list[Tensor], a: Tensor) -> None:
        """Put the tangents, from ``a`` (m, ...) at the input, in the place of each affine layer's input."""
        for layer, h, y in zip(self.layers, values, values[1:], strict=False):
            if hasattr(layer, "weight"):
                h[-len(a) :] = a
            a = layer.tangent(a, y[-len(a) :])

    def weight_gradients(self, values: list[Tensor], us: list[Tensor], m: int) -> dict[Tensor, Tensor]:
        """The derivative by weight; a bias does not move the gradient at x_hat."""
        found = {}
        for layer, h, u in zip(self.layers[self.first :], values[self.first :], us, strict=False):
            if hasattr(layer, "weight"):
                found[layer.weight] = layer.weight_gradient(u, h)
                if layer.bias is not None:
                    found[layer.bias] = layer.bias_gradient(u[: 2 * m])
        return found
