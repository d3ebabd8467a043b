"""What a turn costs: operations, and the number of threads that they are worth."""

import copy
import os
from pathlib import Path

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ..errors import InputError
from ..training import Game
from .autocast import has_weights


def cores() -> int:
    """The number of physical cores that this process may use."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    system = Path("/sys/devices/system/cpu")  # Linux's, which lists for each thread those of its core
    lists = [system / f"cpu{cpu}/topology/thread_siblings_list" for cpu in allowed]
    return len({path.read_text() if path.exists() else path for path in lists})


class FlopCounter(TorchDispatchMode):
    """Counts with PyTorch's formulas; its own ``FlopCounterMode`` fails on a gradient in a leaf."""

    total = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        formula = flop_registry.get(operation._overloadpacket)
        self.total += formula(*args, **(kwargs or {}), out_val=result) if formula else 0
        return result


def flops(game: Game, m: int) -> int:
    """The floating-point operations of one turn: a product of (m, n) and (n, k) counts 2 m n k.

    n_critic critic updates and one of the generator, backward and double backward included; activations,
    sums and optimizers are not counted. The game does not move. Raises ``InputError`` for a generator whose
    first layer is not ``nn.Linear``.

    >>> from wganlab import networks, recipes
    >>> game = Game(networks.mlp(2, 2, hidden=()), networks.mlp(2, 1, hidden=()), recipes.wgan)
    >>> flops(game, 10)
    1440
    """
    leaves = (layer for layer in game.generator.modules() if not any(layer.children()))
    first = next(filter(has_weights, leaves))
    if not isinstance(first, nn.Linear):
        found = type(first).__name__
        raise InputError(f"flops reads z's width from a first layer that must be nn.Linear, and is {found}.")
    twin = Game(copy.deepcopy(game.generator), copy.deepcopy(game.critic), game.recipe)
    z = torch.randn(m, first.in_features, generator=torch.Generator().manual_seed(0)).to(first.weight)
    with torch.no_grad():
        x = -twin.generator(z)
    with FlopCounter() as counter:
        for _ in range(game.recipe.n_critic):
            twin.critic_step(x, z, x.new_full((m,), 0.5))
        twin.generator_step(z)
    return counter.total


def threads_for(game: Game, m: int) -> int:
    """The number of CPU threads: all physical cores from 10^9 operations an update on, 1 below.

    Such an update takes one core some ten milliseconds. In smaller ones the threads mostly wait for each
    other: on two cores they gained 10 to 40 % while nothing else ran, and lost a factor of 2 to 20 as soon as
    something did. For ``torch.set_num_threads``; say 1 on a machine that others use.

    >>> from wganlab import networks, recipes
    >>> threads_for(Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan_gp), 64)
    1
    """
    update = flops(game, 2) * m / 2 / (game.recipe.n_critic + 1)  # two rows: a large game takes long
    return cores() if update >= 1e9 else 1
