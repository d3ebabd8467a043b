"""Algorithm 1 of GAN, WGAN and WGAN-GP, written once.

``train`` is a generator: it yields after each update of the generator, and whatever a reader
wants to do between updates (plot, save, stop) is the body of the reader's own loop:

>>> from wganlab import networks, recipes, sampling
>>> _ = torch.manual_seed(0)
>>> game = Game(networks.mlp(2, 2, hidden=(8,)), networks.mlp(2, 1, hidden=(8,)), recipes.wgan_gp)
>>> draw = sampling.Draw(sampling.ring(), sampling.normal(2), 16)
>>> for step in train(game, draw, until=3):
...     estimate = -step.critic_loss  # of W1; a tensor, read only when wanted
>>> game.step
3
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .errors import DivergenceError, InputError
from .recipes import MakeOptimizer, Recipe
from .sampling import Draw


def identity(value):
    """The function that returns its argument: no acceleration, no averaging."""
    return value


def device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Step(NamedTuple):
    """What one turn of the outer loop reports; the losses are tensors of shape ().

    ``index`` counts generator updates from 1. ``critic_loss`` and ``penalty`` are those of the
    last critic update; minus the critic's loss is its estimate of W1.
    """

    index: int
    critic_loss: Tensor
    penalty: Tensor
    generator_loss: Tensor


def descend(loss: Tensor, optimizer: Optimizer, mean: Callable = identity) -> None:
    """One step of ``optimizer`` down the gradient of ``loss`` in that player's weights only.

    ``mean`` maps the list of gradients to the list that is used; with several processes it
    averages over them.

    >>> weight = nn.Parameter(torch.tensor(3.0))
    >>> descend(weight.square(), torch.optim.SGD([weight], lr=0.5))
    >>> weight.item()  # 3 - 0.5 * 6
    0.0
    """
    follow(torch.autograd.grad(loss, weights_of(optimizer)), optimizer, mean)


def follow(gradients: Iterable[Tensor], optimizer: Optimizer, mean: Callable = identity) -> None:
    """One step of ``optimizer`` down ``mean`` of the ``gradients``, which stand in its weights' order.

    >>> weight = nn.Parameter(torch.tensor(3.0))
    >>> follow([torch.tensor(6.0)], torch.optim.SGD([weight], lr=0.5))
    >>> weight.item()
    0.0
    """
    for weight, gradient in zip(weights_of(optimizer), mean(gradients), strict=True):
        laid_out = gradient.stride() == weight.stride()  # on a CPU, fused optimizers read without asking
        weight.grad = gradient if laid_out else torch.empty_like(weight).copy_(gradient)
    optimizer.step()


def trained(player: nn.Module) -> list[Tensor]:
    """The weights of a player that are not frozen."""
    return [weight for weight in player.parameters() if weight.requires_grad]


def optimizer_for(name: str, player: nn.Module, make_optimizer: MakeOptimizer) -> Optimizer:
    """A player's optimizer; raises ``InputError`` for numbers that it refuses, such as a negative rate."""
    try:
        return make_optimizer(trained(player))
    except ValueError as error:
        raise InputError(
            f"The {name}'s optimizer cannot be made: {error}. Change that number in the recipe."
        ) from error


def weights_of(optimizer: Optimizer) -> list[Tensor]:
    """The weights that an optimizer moves, in its order."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


class Game:
    """Two players, the recipe they play by, their optimizers, and the number of turns so far.

    ``generator`` maps (m, latent) to (m, ...), ``critic`` maps that to scores (m,). The players
    stay on the device they are on. Raises ``InputError`` if the recipe's constraint cannot work
    with the critic, or a player has no weights.
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        recipe: Recipe,
        *,
        mean: Callable[[Iterable[Tensor]], Iterable[Tensor]] = identity,
    ):
        for name, player in (("generator", generator), ("critic", critic)):
            if not trained(player):
                raise InputError(f"The {name} has no weights to train. Give it at least one layer.")
        recipe.constraint.check(critic)
        self.generator, self.critic, self.recipe, self.mean = generator, critic, recipe, mean
        self.critic_optimizer = optimizer_for("critic", critic, recipe.optimizer)
        make_optimizer = recipe.generator_optimizer or recipe.optimizer
        self.generator_optimizer = optimizer_for("generator", generator, make_optimizer)
        self.step = 0

    def critic_step(self, x: Tensor, z: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Lines 5-7 of WGAN, 5-9 of WGAN-GP: one update of the critic; its loss and penalty."""
        with torch.no_grad():  # the critic's loss is not differentiated in the generator
            x_fake = self.generator(z)
        f_x, f_gz = scores(self.critic, x), scores(self.critic, x_fake)
        loss = self.recipe.objective.critic(f_x, f_gz)
        penalty = self.recipe.constraint.penalty(self.critic, x, x_fake, eps)
        descend(loss + penalty, self.critic_optimizer, self.mean)
        self.recipe.constraint.project(self.critic)
        return loss.detach(), penalty.detach()

    def generator_step(self, z: Tensor) -> Tensor:
        """Lines 10-11 of WGAN, 12 of WGAN-GP: one update of the generator; its loss."""
        loss = self.recipe.objective.generator(scores(self.critic, self.generator(z)))
        descend(loss, self.generator_optimizer, self.mean)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, besides the draw."""
        return {
            "step": self.step,
            "generator": self.generator.state_dict(),
            "critic": self.critic.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state``, which a game of the same players and recipe has given."""
        self.generator.load_state_dict(state["generator"])
        self.critic.load_state_dict(state["critic"])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        self.step = state["step"]


def scores(critic: nn.Module, x: Tensor) -> Tensor:
    """f(x) of shape (m,); raises ``InputError`` if the critic gives another shape."""
    return check_scores(critic(x), len(x))


def check_scores(f: Tensor, m: int) -> Tensor:
    """The scores of m rows; raises ``InputError`` unless their shape is (m,)."""
    if f.shape != (m,):
        raise InputError(
            f"A critic gives one score a row, shape ({m},), but this one gave "
            f"{tuple(f.shape)}. End it with nn.Flatten(0), or build it with "
            f"networks.mlp(inputs, 1)."
        )
    return f


def train(
    game: Game,
    draw: Draw,
    until: int,
    *,
    accelerate: Callable[[Callable], Callable] = identity,
    check_every: int = 1,
) -> Iterator[Step]:
    """Algorithm 1, from ``game.step`` to ``until``: yields a ``Step`` after each generator update.

    ``draw(step, t)`` gives x, z, eps and ``draw.latent(step)`` gives z, so that a run is
    decided by the players' weights and the draw alone: a run that was stopped, saved, loaded and
    continued equals the uninterrupted one. ``accelerate`` is applied to each of the two steps
    once, before the first turn; what it returns is called in their place.

    Raises ``DivergenceError``, which names the first turn whose losses are not finite, and
    ``InputError`` for an ``until`` that is not a whole number >= 0, or a ``check_every`` below 1. The
    losses are looked at every ``check_every`` turns: on a GPU each look waits for the device.
    Source: Arjovsky et al. 2017, Algorithm 1 (line numbers below); Gulrajani et al. 2017,
    Algorithm 1; Goodfellow et al. 2014, Algorithm 1.
    """
    if not isinstance(until, int) or until < 0:
        raise InputError(f"train runs until a number of generator updates >= 0, got {until!r}.")
    if not isinstance(check_every, int) or check_every < 1:
        raise InputError(f"train looks at the losses every check_every >= 1 turns, got {check_every!r}.")
    critic_step, generator_step = accelerate(game.critic_step), accelerate(game.generator_step)
    unseen: list[Step] = []
    while game.step < until:  # line 1
        for t in range(game.recipe.n_critic):  # 2
            x, z, eps = draw(game.step, t)  # 3-4
            critic_loss, penalty = critic_step(x, z, eps)  # 5-7
        z = draw.latent(game.step)  # 9
        generator_loss = generator_step(z)  # 10-11
        game.step += 1
        step = Step(game.step, critic_loss, penalty, generator_loss)
        unseen.append(step)
        if len(unseen) == check_every or game.step == until:
            check_finite(*unseen)
            unseen.clear()
        yield step


def check_finite(*steps: Step) -> None:
    """Raise ``DivergenceError`` if a loss of one of the ``steps`` is not finite; it names the first."""
    finite = torch.stack([step.critic_loss + step.penalty + step.generator_loss for step in steps]).isfinite()
    if not finite.all():
        step = steps[finite.tolist().index(False)]
        losses = ", ".join(
            f"{name.replace('_', ' ')} {getattr(step, name).item():g}" for name in step._fields[1:]
        )
        raise DivergenceError(
            f"Training diverged at step {step.index}: {losses}. The last checkpoint is untouched. "
            f"Look for non-finite data, a learning rate that is too high, or a missing constraint."
        )


class Average:
    r"""An exponential average of a generator's weights, which samples better than its last state.

    ``update`` sets :math:`\bar\theta \leftarrow d\,\bar\theta + (1 - d)\,\theta` with
    :math:`d = \min(\text{decay}, (t + 1)/(t + 10))` after the t-th update, so that the first
    steps are soon forgotten. Buffers are copied. ``player`` is the averaged generator, in
    training mode, so that BatchNorm uses the batch it is given: sample 250 or more at a time.
    Source: the exponential average of Yazici et al. 2019; the warm-up is ours.

    >>> player = nn.Linear(1, 1, bias=False)
    >>> average = Average(player, decay=0.999)
    >>> _ = player.weight.data.fill_(10.0)
    >>> average.player.weight.data.fill_(0.0).item()
    0.0
    >>> average.update(player)  # t = 0: d = 0.1
    >>> average.player.weight.item()
    9.0
    """

    def __init__(self, player: nn.Module, decay: float = 0.999):
        if not 0 <= decay < 1:
            raise InputError(f"Average needs a decay in [0, 1), got {decay}. A usual value is 0.999.")
        self.player = copy.deepcopy(player).requires_grad_(False)
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, player: nn.Module) -> None:
        """Take in the weights of ``player`` after one more generator update."""
        decay = min(self.decay, (self.updates + 1) / (self.updates + 10))
        for mean, weight in zip(self.player.parameters(), player.parameters(), strict=True):
            mean.lerp_(weight, 1 - decay)
        for mean, buffer in zip(self.player.buffers(), player.buffers(), strict=True):
            mean.copy_(buffer)
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights and the number of updates."""
        return {"player": self.player.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self.player.load_state_dict(state["player"])
        self.updates = state["updates"]
