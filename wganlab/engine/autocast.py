"""Players that compute in bfloat16."""

import copy

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..training import Acceleration, Game
from ..tricks import own


class AutocastPlayer(nn.Module):
    """A player that computes in ``dtype`` and gives its result in the type of its input.

    The last linear layer of an ``nn.Sequential`` and what follows it stay in the input's type, so that a
    critic's scores are not rounded to 8 bits.
    """

    def __init__(self, player: nn.Module, dtype: torch.dtype):
        super().__init__()
        layers = list(player) if isinstance(player, nn.Sequential) else []
        linear = [k for k, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
        cut = linear[-1] if linear and not any(map(has_weights, layers[linear[-1] + 1 :])) else len(layers)
        self.body, self.head = (player[:cut], player[cut:]) if layers else (player, nn.Identity())
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, self.dtype):
            h = self.body(x)
        return self.head(h.to(x.dtype))


def exchanged(game: Game) -> list[str]:
    """The gradients and steps of a game that an acceleration or a trick has exchanged."""
    methods = (Game.critic_gradient, Game.generator_gradient, Game.critic_step, Game.generator_step)
    return [method.__name__ for method in methods if not own(game, method)]


def has_weights(layer: nn.Module) -> bool:
    """Whether the layer has parameters."""
    return next(layer.parameters(), None) is not None


def autocast(dtype: torch.dtype) -> Acceleration:
    r"""Players in bfloat16; last linear layer, losses, slopes, penalty and updates in float32.

    bfloat16 has 8 bits. Against float64 a slope s is off by 0.4 % for an MLP 784-512-256-1, by 0.2 % for
    ``dcgan_critic`` and by 6 % for an MLP 2-512-512-512-1 (root mean square, on a CPU; float32: 5e-8 to
    6e-7). A row's penalty :math:`(s-1)^2` is then off by the share :math:`0.008\,s/|s-1|` for the first:
    1.6 % at slope 2, 9 % at 1.1, 80 % at 1.01. The penalty's gradient in the weights is off by 0.8 % where
    slopes are near 2 and by 5 to 8 % where their mean is within 0.003 of 1, which is where a good critic's
    are. So: for training, where it is faster; not to measure W1. On a CPU only wide layers gain by it.

    ``dtype`` must be ``torch.bfloat16``; raises ``InputError`` for another one, and for a game whose
    gradients are exchanged already: it would go unheard.

    >>> from wganlab import networks, recipes
    >>> game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan)
    >>> half = autocast(torch.bfloat16)(game)
    >>> half.critic(torch.zeros(3, 2)).dtype, half.critic_optimizer is game.critic_optimizer
    (torch.float32, True)
    """
    if dtype is not torch.bfloat16:
        raise InputError(f"autocast takes torch.bfloat16, got {dtype}. float16 would need scaled losses.")

    def accelerate(game: Game) -> Game:
        if exchanged(game):
            raise InputError("autocast takes a game whose gradients are its own: put it first in a chain.")
        twin = copy.copy(game)
        twin.generator = AutocastPlayer(game.generator, dtype)
        twin.critic = AutocastPlayer(game.critic, dtype)
        return twin

    return accelerate
