r"""The critic's update with its gradient written out: autograd's numbers, without its waste.

The critic is a chain of affine layers :math:`W_\ell` with (leaky) ReLU between them. Its loss has the
rows [x; x_fake; x_hat]; :math:`s_\ell` are the activations' slopes there, and :math:`c` is the loss's
derivative in each row's score (1 for x_hat). Then the gradient is two chains of products:

- down: :math:`u_L = c`, :math:`u_{\ell-1} = (u_\ell W_\ell)\,s_{\ell-1}`; below the first layer stands
  :math:`g = \nabla f(\hat x)`, and with it :math:`G = \partial\,\text{penalty}/\partial g`;
- up, on the rows x_hat alone: :math:`a_0 = G`, :math:`a_\ell = (a_{\ell-1} W_\ell^T)\,s_\ell`;
- :math:`\partial W_\ell = u_\ell^T\,[h_{\ell-1}(x);\ h_{\ell-1}(\tilde x);\ a_{\ell-1}]`, with the layer's
  inputs h, and :math:`\partial b_\ell` is the sum of :math:`u_\ell` over the rows x and x_fake.

Autograd pushes a second derivative through all that made g, zeros included. And x_hat needs no product with
:math:`W_1`: an affine layer's value there lies between those at x and x_fake.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

from .constraints import Constraint, GradientPenalty, WeightClipping, check_segment
from .products import multiplied, product
from .training import Game, check_scores, follow, weights_of


def fast(step: Callable) -> Callable:
    """A step of a game with the critic's gradient written out, where that is known to be right.

    For ``train(..., accelerate=fast)``. The critic's step is rewritten for a critic that is an
    ``nn.Sequential``, nested or not, of ``Linear``, ``Conv2d``, ``ReLU``, ``LeakyReLU``, ``Flatten``,
    ``Unflatten`` and ``Identity``, with a ``GradientPenalty``, ``WeightClipping`` or no constraint, and any
    objective. Every other step stays as it is, but for its matrix products (``products``). The gradient
    equals autograd's up to rounding, so a run differs from the plain one in its last bits.

    >>> from wganlab import networks, recipes
    >>> game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan_gp)
    >>> step = fast(game.critic_step)
    >>> x, z, eps = torch.ones(4, 2), torch.zeros(4, 2), torch.rand(4)
    >>> tuple(loss.ndim for loss in step(x, z, eps))
    (0, 0)
    """
    game = getattr(step, "__self__", None)
    if not isinstance(game, Game) or step != game.critic_step:
        return multiplied(step)
    layers = chain(game.critic)
    first = next((k for k, layer in enumerate(layers) if not isinstance(layer, Shape)), None)
    known = type(game.recipe.constraint) in (Constraint, WeightClipping, GradientPenalty)
    if not known or first is None or isinstance(layers[first], Bend):
        return multiplied(step)
    return WrittenOut(game, layers, first, multiplied(game.generator)).critic_step


class Shape:
    """A layer that only arranges numbers."""

    def __init__(self, layer: nn.Module):
        self.forward = layer

    def down(self, u: Tensor, h: Tensor, y: Tensor) -> Tensor:
        return u.reshape(h.shape)

    def up(self, a: Tensor, y: Tensor) -> Tensor:
        return self.forward(a)


class Bend:
    """An activation of slope 1 above zero and ``slope`` below; it overwrites what it is given.

    Its input is needed by nobody else: ``y > 0`` says where the slope is 1, and the derivatives at its output
    belong to no weight.
    """

    def __init__(self, layer: nn.ReLU | nn.LeakyReLU):
        self.slope = getattr(layer, "negative_slope", 0.0)

    def forward(self, h: Tensor) -> Tensor:
        return functional.leaky_relu_(h, self.slope)

    def up(self, a: Tensor, y: Tensor) -> Tensor:
        return torch.ops.aten.leaky_relu_backward.grad_input(a, y, self.slope, True, grad_input=a)

    def down(self, u: Tensor, h: Tensor, y: Tensor) -> Tensor:
        return self.up(u, y)


class Dense:
    """``nn.Linear``: h to h W^T + b."""

    def __init__(self, layer: nn.Linear):
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, h: Tensor) -> Tensor:
        return product(h, self.weight.T, self.bias)

    def down(self, u: Tensor, h: Tensor, y: Tensor) -> Tensor:
        return product(u, self.weight)

    def up(self, a: Tensor, y: Tensor) -> Tensor:
        return product(a, self.weight.T)

    def slope(self, u: Tensor, h: Tensor) -> Tensor:
        """The derivative in the weight."""
        return product(u.flatten(0, -2).T, h.flatten(0, -2))

    def sum(self, u: Tensor) -> Tensor:
        """The derivative in the bias."""
        return u.flatten(0, -2).sum(0)


class Convolution:
    """``nn.Conv2d``."""

    def __init__(self, layer: nn.Conv2d):
        self.weight, self.bias, self.forward = layer.weight, layer.bias, layer
        self.form = (layer.stride, layer.padding, layer.dilation, layer.groups)

    def down(self, u: Tensor, h: Tensor, y: Tensor) -> Tensor:
        return conv2d_input(h.shape, self.weight, u, *self.form)

    def up(self, a: Tensor, y: Tensor) -> Tensor:
        return functional.conv2d(a, self.weight, None, *self.form)

    def slope(self, u: Tensor, h: Tensor) -> Tensor:
        """The derivative in the weight."""
        return conv2d_weight(h, self.weight.shape, u, *self.form)

    def sum(self, u: Tensor) -> Tensor:
        """The derivative in the bias."""
        return u.sum((0, 2, 3))


KINDS = {
    **dict.fromkeys((nn.Flatten, nn.Unflatten, nn.Identity), Shape),
    **dict.fromkeys((nn.ReLU, nn.LeakyReLU), Bend),
    nn.Linear: Dense,
    nn.Conv2d: Convolution,
}


def chain(critic: nn.Module) -> list:
    """The critic's layers as ``KINDS``, or an empty list if one of them is not known to be right."""
    layers = list(leaves(critic))
    weights = [weight for layer in layers for weight in layer.parameters()]
    known = (
        all(type(layer) in KINDS for layer in layers)
        and len(set(weights)) == len(weights)  # no weight stands twice
        and all(weight.requires_grad for weight in weights)
        and not any(hooked(part) for part in (*critic.modules(), *weights))
        and all(by_rows(layer) or (layer is layers[-1]) for layer in layers)
        and all(getattr(layer, "padding_mode", "zeros") == "zeros" for layer in layers)
        and all(getattr(layer, "negative_slope", 0.0) >= 0 for layer in layers)
        and not any(isinstance(getattr(layer, "padding", 0), str) for layer in layers)
    )
    return [KINDS[type(layer)](layer) for layer in layers] if known else []


def hooked(part: nn.Module | Tensor) -> bool:
    """Whether autograd or a call would do more to a layer or a weight than it says itself."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(part, name, None) for name in names)


def by_rows(layer: nn.Module) -> bool:
    """Whether a layer keeps one row for each row; ``nn.Flatten(0)``, say, does not."""
    match layer:
        case nn.Flatten():
            return layer.start_dim >= 1
        case nn.Unflatten():
            return isinstance(layer.dim, int) and layer.dim >= 1
    return True


def leaves(part: nn.Module) -> Iterator[nn.Module]:
    """The layers of nested ``nn.Sequential``s in the order in which they are called."""
    if type(part) is not nn.Sequential:
        yield part
    else:
        for inner in part:
            yield from leaves(inner)


@dataclass
class WrittenOut:
    """A game whose critic is a chain of known layers, so that its update needs no autograd of it.

    ``first`` is the number of the first affine layer; those before it only arrange numbers.
    """

    game: Game
    layers: list
    first: int
    generator: Callable

    @torch.no_grad()
    def critic_step(self, x: Tensor, z: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """What ``Game.critic_step`` does."""
        game = self.game
        loss, penalty, gradients = self.gradients(x, self.generator(z), eps)
        follow(
            [gradients[weight] for weight in weights_of(game.critic_optimizer)],
            game.critic_optimizer,
            game.mean,
        )
        game.recipe.constraint.project(game.critic)
        return loss, penalty

    def gradients(
        self, x: Tensor, x_fake: Tensor, eps: Tensor
    ) -> tuple[Tensor, Tensor, dict[Tensor, Tensor]]:
        """The critic's loss, its penalty, and the derivative of their sum by weight."""
        recipe, m = self.game.recipe, len(x)
        values = self.forward(x, x_fake, eps)
        f = check_scores(values[-1], len(values[-1]))[: 2 * m]
        with torch.enable_grad():
            loss = recipe.objective.critic(*f.requires_grad_().split(m))
        (c,) = torch.autograd.grad(loss, f)
        us = self.down(values, torch.cat([c, c.new_ones(len(values[-1]) - 2 * m)]))
        penalty = torch.zeros_like(loss)
        if isinstance(recipe.constraint, GradientPenalty):
            g = self.bottom(values, us[0][2 * m :])
            with torch.enable_grad():
                penalty = recipe.constraint.of(g.requires_grad_())
            self.up(values, *torch.autograd.grad(penalty, g))
        return loss.detach(), penalty.detach(), self.collect(values, us, m)

    def forward(self, x: Tensor, x_fake: Tensor, eps: Tensor) -> list[Tensor]:
        """The input of each layer, then the scores, at the rows x, x_fake and, with a penalty, x_hat.

        Up to the first affine layer the rows of x_hat are a free place that ``up`` fills.
        """
        m, penalised = len(x), isinstance(self.game.recipe.constraint, GradientPenalty)
        if penalised:
            check_segment("GradientPenalty", x, x_fake, eps)
        values = [torch.cat([x, x_fake, x] if penalised else [x, x_fake])]
        for k, layer in enumerate(self.layers):
            if k == self.first and penalised:
                y = layer.forward(values[k][: 2 * m])
                y_hat = y[m:].lerp(y[:m], eps.view(-1, *[1] * (y.ndim - 1)))
                values.append(torch.cat([y, y_hat]))
            else:
                values.append(layer.forward(values[k]))
        return values

    def down(self, values: list[Tensor], u: Tensor) -> list[Tensor]:
        """The derivatives at the output of each layer from the first affine one on; ``u`` is the last."""
        us = [u]
        for k in range(len(self.layers) - 1, self.first, -1):
            us.insert(0, self.layers[k].down(us[0], values[k], values[k + 1]))
        return us

    def bottom(self, values: list[Tensor], u: Tensor) -> Tensor:
        """The gradient at x_hat, from ``u`` at the output of the first affine layer there."""
        for k in range(self.first, -1, -1):
            u = self.layers[k].down(u, values[k][-len(u) :], values[k + 1])
        return u

    def up(self, values: list[Tensor], a: Tensor) -> None:
        """Put the tangents, from ``a`` at the input, in the place of each affine layer's input at x_hat."""
        for layer, h, y in zip(self.layers, values, values[1:], strict=False):
            if isinstance(layer, Dense | Convolution):
                h[-len(a) :] = a
            a = layer.up(a, y[-len(a) :])

    def collect(self, values: list[Tensor], us: list[Tensor], m: int) -> dict[Tensor, Tensor]:
        """The derivative by weight; a bias does not move the gradient at x_hat."""
        found = {}
        for layer, h, u in zip(self.layers[self.first :], values[self.first :], us, strict=False):
            if isinstance(layer, Dense | Convolution):
                found[layer.weight] = layer.slope(u, h)
                if layer.bias is not None:
                    found[layer.bias] = layer.sum(u[: 2 * m])
        return found
