"""Algorithm 1 of GAN, WGAN and WGAN-GP, written once.

``algorithm_1`` is the loop, ``Game`` its two updates, each a gradient (which moves no weight) and a
step that applies it. ``train`` plays a game and ``fit`` trains a critic alone, the inner loop. Both are
generators: what a reader wants to do between updates (plot, save, stop) is the body of his own loop:

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
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .errors import DivergenceError, InputError
from .recipes import MakeOptimizer, Recipe
from .sampling import Draw

__all__ = ["Average", "Game", "Step", "critic_gradient", "fit", "train"]
__all__ += ["apply_gradient", "descend", "device", "linear_decay"]

Gradient = Sequence[Tensor]  # one tensor for each trainable weight, in the optimizer's order
STATEFUL = ("generator", "critic", "generator_optimizer", "critic_optimizer")  # the parts of a game's state


def identity(value):
    """The function that returns its argument: no acceleration, no averaging."""
    return value


def device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Step(NamedTuple):
    """What one turn of a loop reports; the losses are tensors of shape ().

    ``train``: ``index`` counts generator updates from 1, ``critic_loss`` and ``penalty`` are those of the
    last critic update. ``fit``: ``index`` counts critic updates, and ``generator_loss`` is None. Minus the
    critic's loss is its estimate of W1.
    """

    index: int
    critic_loss: Tensor
    penalty: Tensor
    generator_loss: Tensor | None = None


def descend(loss: Tensor, optimizer: Optimizer, mean: Callable = identity) -> None:
    """One step of ``optimizer`` down the gradient of ``loss`` in that player's weights only.

    ``mean`` as in ``apply_gradient``.

    >>> weight = nn.Parameter(torch.tensor(3.0))
    >>> descend(weight.square(), torch.optim.SGD([weight], lr=0.5))
    >>> weight.item()  # 3 - 0.5 * 6
    0.0
    """
    apply_gradient(torch.autograd.grad(loss, parameters_of(optimizer)), optimizer, mean)


def apply_gradient(gradient: Gradient, optimizer: Optimizer, mean: Callable = identity) -> None:
    """One step of ``optimizer`` down ``mean`` of the ``gradient``, which stands in its weights' order.

    ``mean`` maps the list of gradients to the list that is used; with several processes it averages over
    them.

    >>> weight = nn.Parameter(torch.tensor(3.0))
    >>> apply_gradient([torch.tensor(6.0)], torch.optim.SGD([weight], lr=0.5))
    >>> weight.item()
    0.0
    """
    for weight, part in zip(parameters_of(optimizer), mean(gradient), strict=True):
        laid_out = part.stride() == weight.stride()  # on a CPU, fused optimizers read without asking
        weight.grad = part if laid_out else torch.empty_like(weight).copy_(part)
    optimizer.step()


def trainable(player: nn.Module) -> list[Tensor]:
    """The weights of a player that are not frozen."""
    return [weight for weight in player.parameters() if weight.requires_grad]


def optimizer_for(name: str, player: nn.Module, make_optimizer: MakeOptimizer) -> Optimizer:
    """A player's optimizer; raises ``InputError`` for no weights and numbers that it refuses."""
    if not trainable(player):
        raise InputError(f"The {name} has no weights to train. Give it at least one layer.")
    try:
        return make_optimizer(trainable(player))
    except ValueError as error:
        remedy = "Change that number in the recipe."
        raise InputError(f"The {name}'s optimizer cannot be made: {error}. {remedy}") from error


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """The weights that an optimizer moves, in its order."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def critic_gradient(
    critic: nn.Module, recipe: Recipe, x: Tensor, x_fake: Tensor, eps: Tensor, weights: Sequence[Tensor] = ()
) -> tuple[Tensor, Tensor, Gradient]:
    """WGAN line 5, WGAN-GP lines 6-8: the critic's loss, its penalty, and the gradient of their sum.

    x and x_fake are batches (m, ...), eps is (m,); the losses have shape (), and the gradient has one tensor
    for each of the ``weights``, by default all that are trainable. No weight moves. Raises ``InputError`` if
    the critic does not give one score a row, and what the recipe's constraint raises.

    >>> from wganlab import recipes
    >>> critic = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Flatten(0))
    >>> critic[0].weight.data.fill_(3.0).item()
    3.0
    >>> ones, zeros = torch.ones(4, 1), torch.zeros(4, 1)
    >>> loss, penalty, (gradient,) = critic_gradient(critic, recipes.wgan_gp, ones, zeros, torch.rand(4))
    >>> loss.item(), penalty.item(), gradient.item()  # 0 - 3, 10 (3 - 1)^2, -1 + 20 (3 - 1)
    (-3.0, 40.0, 39.0)
    """
    f_x, f_gz = scores(critic, x), scores(critic, x_fake)
    loss = recipe.objective.critic(f_x, f_gz)
    penalty = recipe.constraint.penalty(critic, x, x_fake, eps)
    gradient = torch.autograd.grad(loss + penalty, weights or trainable(critic))
    return loss.detach(), penalty.detach(), gradient


class Game:
    """Two players, the recipe they play by, their optimizers, and the number of turns so far.

    ``generator`` maps (m, latent) to (m, ...), ``critic`` maps that to scores (m,). The players
    stay on the device they are on. The two gradients move no weight, the two steps apply them; an
    acceleration is a copy of a game with one of the four exchanged. ``mean`` as in ``apply_gradient``.
    Raises ``InputError`` if the recipe's constraint cannot work with the critic, or a player has no weights.

    >>> from wganlab import networks, recipes
    >>> game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan)
    >>> x, z, eps = torch.ones(4, 2), torch.zeros(4, 2), torch.rand(4)
    >>> loss, penalty, gradient = game.critic_gradient(x, z, eps)
    >>> len(gradient), penalty.item()  # four matrices and four biases; no penalty
    (8, 0.0)
    """

    def __init__(self, generator: nn.Module, critic: nn.Module, recipe: Recipe, *, mean: Callable = identity):
        recipe.constraint.check(critic)
        self.generator, self.critic, self.recipe, self.mean = generator, critic, recipe, mean
        self.critic_optimizer = optimizer_for("critic", critic, recipe.optimizer)
        make_optimizer = recipe.generator_optimizer or recipe.optimizer
        self.generator_optimizer = optimizer_for("generator", generator, make_optimizer)
        self.step = 0

    def critic_gradient(self, x: Tensor, z: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Gradient]:
        """WGAN line 5, WGAN-GP lines 5-8: the critic's loss, its penalty, the gradient of their sum."""
        with torch.no_grad():  # the critic's loss is not differentiated in the generator
            x_fake = self.generator(z)
        return critic_gradient(self.critic, self.recipe, x, x_fake, eps, parameters_of(self.critic_optimizer))

    def generator_gradient(self, z: Tensor) -> tuple[Tensor, Gradient]:
        """WGAN line 10, the gradient in WGAN-GP line 12: the generator's loss and its gradient."""
        loss = self.recipe.objective.generator(scores(self.critic, self.generator(z)))
        return loss.detach(), torch.autograd.grad(loss, parameters_of(self.generator_optimizer))

    def critic_step(self, x: Tensor, z: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """One update of the critic; its loss and its penalty before it."""
        loss, penalty, gradient = self.critic_gradient(x, z, eps)  # WGAN 5, WGAN-GP 5-8
        apply_gradient(gradient, self.critic_optimizer, self.mean)  # 6, 9
        self.recipe.constraint.project(self.critic)  # 7, none
        return loss, penalty

    def generator_step(self, z: Tensor) -> Tensor:
        """One update of the generator; its loss before it."""
        loss, gradient = self.generator_gradient(z)  # WGAN 10, WGAN-GP 12
        apply_gradient(gradient, self.generator_optimizer, self.mean)  # 11, 12
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, besides the draw."""
        return {"step": self.step} | {name: getattr(self, name).state_dict() for name in STATEFUL}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state``, which a game of the same players and recipe has given."""
        for name in STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]


class LoneCritic(Game):
    """A game against fixed distributions: its generator is the identity, so that its z are the fakes."""

    def __init__(self, critic: nn.Module, recipe: Recipe):
        recipe.constraint.check(critic)
        self.generator, self.critic, self.recipe, self.mean = nn.Identity(), critic, recipe, identity
        self.generator_optimizer = None  # nothing to move
        self.critic_optimizer = optimizer_for("critic", critic, recipe.optimizer)
        self.step = 0


def scores(critic: nn.Module, x: Tensor) -> Tensor:
    """f(x) of shape (m,); raises ``InputError`` if the critic gives another shape."""
    return check_scores(critic(x), len(x))


def check_scores(f: Tensor, m: int) -> Tensor:
    """The scores of m rows; raises ``InputError`` unless their shape is (m,)."""
    if f.shape != (m,):
        found = f"A critic gives one score a row, shape ({m},), but this one gave {tuple(f.shape)}."
        raise InputError(f"{found} End it with nn.Flatten(0), or build it with networks.mlp(inputs, 1).")
    return f


Acceleration = Callable[[Game], Game]


def train(
    game: Game, draw: Draw, until: int, *, accelerate: Acceleration = identity, check_every: int = 1
) -> Iterator[Step]:
    """Algorithm 1, from ``game.step`` to ``until``: yields a ``Step`` after each generator update.

    ``draw(step, t)`` gives x, z, eps and ``draw.latent(step)`` gives z, so that a run is
    decided by the players' weights and the draw alone: a run that was stopped, saved, loaded and
    continued equals the uninterrupted one. ``accelerate`` makes of the game a copy that shares its players
    and optimizers and takes the same steps in another way; it is called once, before the first turn.

    Raises ``DivergenceError``, which names the first turn whose losses are not finite, and
    ``InputError`` for an ``until`` that is not a whole number >= 0, a ``check_every`` below 1, or a draw of
    another precision than the players'. The losses are looked at every ``check_every`` turns: on a GPU
    each look waits for the device.
    Source: see ``algorithm_1``.
    """
    check_until("train", "generator", until)
    if not isinstance(check_every, Integral) or check_every < 1:
        raise InputError(f"train looks at the losses every check_every >= 1 turns, got {check_every!r}.")
    steps = algorithm_1(game, draw, until, accelerate(game))
    return stop_at_nan(of_one_precision(steps, game, draw), until, check_every)


def algorithm_1(game: Game, draw: Draw, until: int, play: Game) -> Iterator[Step]:
    """The outer loop; ``play`` is the game or a faster copy of it.

    Source: Arjovsky et al. 2017, Algorithm 1, and Gulrajani et al. 2017, Algorithm 1, whose line numbers
    stand beside the statements; Goodfellow et al. 2014, Algorithm 1, has the same loop.
    """
    while game.step < until:  #                                     WGAN 1      WGAN-GP 1
        for t in range(game.recipe.n_critic):  #                         2              2
            x, z, eps = draw(game.step, t)  #                            3-4            3-4
            critic_loss, penalty = play.critic_step(x, z, eps)  #        5-7            5-9
        z = draw.latent(game.step)  #                                    9              11
        generator_loss = play.generator_step(z)  #                       10-11          12
        game.step += 1
        yield Step(game.step, critic_loss, penalty, generator_loss)


def fit(
    critic: nn.Module,
    draw: Callable[[int], tuple[Tensor, Tensor, Tensor]],
    recipe: Recipe,
    until: int,
    *,
    rate: Callable[[int], float] = lambda step: 1.0,
    accelerate: Acceleration = identity,
) -> Iterator[Step]:
    """A critic alone against fixed distributions, lines 2 to 8 of Algorithm 1: a ``Step`` after each update.

    ``draw(step)`` gives x, x_fake and eps of update ``step`` = 0, 1, ...; a ``Draw`` of the two distributions
    does. ``rate(step)`` is the share of the recipe's learning rate that the update takes, all of it by
    default. The optimizer starts anew with each call. Raises as ``train`` and ``Game`` do.
    Source: Arjovsky et al. 2017, Algorithm 1, lines 2-8; Gulrajani et al. 2017, Algorithm 1, lines 2-10.

    >>> from wganlab import recipes, sampling
    >>> critic = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    >>> lines = sampling.Draw(sampling.parallel_line(0.0), sampling.parallel_line(1.0), 64)
    >>> for step in fit(critic, lines, recipes.wgan, until=500):
    ...     estimate = -step.critic_loss
    >>> step.index, bool(critic[0].weight[0, 0] == -torch.tensor(0.01))  # as steep as the clip allows
    (500, True)
    """
    check_until("fit", "critic", until)
    game = LoneCritic(critic, recipe)
    steps = inner_loop(game, draw, until, rate, accelerate(game))
    return stop_at_nan(of_one_precision(steps, game, draw), until)


def inner_loop(game: Game, draw: Callable, until: int, rate: Callable, play: Game) -> Iterator[Step]:
    """The loop of ``fit``; ``play`` is the game or a faster copy of it."""
    for step in range(until):  #                                    WGAN 2      WGAN-GP 2
        set_rate(game.critic_optimizer, rate(step))
        x, x_fake, eps = draw(step)  #                                   3-4            3-5
        critic_loss, penalty = play.critic_step(x, x_fake, eps)  #       5-7            6-9
        yield Step(step + 1, critic_loss, penalty)


def set_rate(optimizer: Optimizer, share: float) -> None:
    """Set the learning rate to a share of the one that the recipe gave."""
    for group in optimizer.param_groups:
        group["lr"] = share * optimizer.defaults["lr"]  # defaults are never loaded nor changed


def linear_decay(game: Game, start: int, until: int) -> None:
    r"""Set each rate to :math:`\text{lr}\,\min(1, (\text{until} - t) / (\text{until} - \text{start}))`.

    t is ``game.step`` and lr the recipe's rate; from turn ``until`` on the rate is 0. Call it
    before ``train`` and after each turn. Nothing is remembered, so a resumed run has the same rates. Raises
    ``InputError`` unless 0 <= start < until.
    Source: Gulrajani et al. 2017, CIFAR-10 with residual players: start 0, until 100,000.

    >>> from wganlab import networks, recipes
    >>> game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan_gp_resnet)
    >>> game.step = 75_000
    >>> linear_decay(game, 0, 100_000)
    >>> game.critic_optimizer.param_groups[0]["lr"]  # a quarter of 2e-4
    5e-05
    """
    if not 0 <= start < until:
        raise InputError(f"linear_decay needs 0 <= start < until, got start {start} and until {until}.")
    share = min(1.0, max(0.0, (until - game.step) / (until - start)))
    for optimizer in (game.critic_optimizer, game.generator_optimizer):
        set_rate(optimizer, share)


def check_until(loop: str, player: str, until: int) -> None:
    """Raise ``InputError`` unless ``until`` is a whole number >= 0."""
    if not isinstance(until, Integral) or until < 0:
        raise InputError(f"{loop} runs until a number of {player} updates >= 0, got {until!r}.")


def of_one_precision(steps: Iterator[Step], game: Game, draw: Callable) -> Iterator[Step]:
    """The same steps; raises ``InputError`` where a player's weights and the draw cannot be multiplied."""
    try:
        yield from steps
    except RuntimeError as error:
        x, z, _ = draw(game.step)
        weights = [*game.generator.parameters(), *game.critic.parameters()]
        if len({tensor.dtype for tensor in (x, z, *weights)}) == 1:
            raise
        raise InputError(
            f"Players and points must have one precision, but the players are {dtypes(weights)} and the draw "
            f"{dtypes([x, z])}. Call .float() on the players, or give Draw samplers such as "
            f"lambda n, rng: normal(2)(n, rng).double()."
        ) from error


def dtypes(tensors: Sequence[Tensor]) -> str:
    """Their dtypes as a message has them: ``float32 and float64``."""
    return " and ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors}))


def stop_at_nan(steps: Iterator[Step], until: int, check_every: int = 1) -> Iterator[Step]:
    """The same steps, their losses looked at every ``check_every``: raises ``DivergenceError``."""
    unseen: list[Step] = []
    for step in steps:
        unseen.append(step)
        if len(unseen) == check_every or step.index == until:
            check_finite(*unseen)
            unseen.clear()
        yield step


def check_finite(*steps: Step) -> None:
    """Raise ``DivergenceError`` if a loss of one of the ``steps`` is not finite; it names the first."""
    finite = torch.stack([sum(losses_of(step).values()) for step in steps]).isfinite()
    if not finite.all():
        step = steps[finite.tolist().index(False)]
        losses = ", ".join(f"{name} {loss.item():g}" for name, loss in losses_of(step).items())
        raise DivergenceError(
            f"Training diverged at step {step.index}: {losses}. The last checkpoint is untouched. "
            f"Look for non-finite data, a learning rate that is too high, or a missing constraint."
        )


def losses_of(step: Step) -> dict[str, Tensor]:
    """The losses of a step by their names."""
    return {name.replace("_", " "): loss for name, loss in step._asdict().items() if torch.is_tensor(loss)}


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
