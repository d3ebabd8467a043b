"""``audit_step``: which known slips a whole training step has, told by what it does to two small players.

The step is called many times with a generator, a critic and two optimizers that are watched: which noise and
which points each update saw, whose gradients it used, which weights changed outside of a step.
"""

import copy
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from ...errors import InputError
from .calls import ROWS
from .critics import candidate_rows
from .probes import seed, undisturbed
from .report import Finding, Report

Step = Callable[[nn.Module, nn.Module, "Optimizers", Tensor], None]
Module = nn.Module | None
SHAPES = [(2,), *ROWS["rows"], *ROWS["pictures"], *ROWS["sequences"]]
RATE, M = 0.05, 8


class Optimizers(NamedTuple):
    """The two optimizers in the order of the players; also ``optimizers["critic"]``."""

    generator: Optimizer
    critic: Optimizer

    def __getitem__(self, key: object) -> Optimizer:
        return tuple(self)[int(key[:1].lower() != "g") if isinstance(key, str) else key]


class Generator(nn.Sequential):
    """Rows of one shape out of noise of any shape."""

    def forward(self, z: Tensor, *_: object) -> Tensor:
        return super().forward(nn.functional.pad(z.flatten(1), (0, 1))[:, :2])


class Critic(nn.Sequential):
    """A score for each row, with a buffer that nobody should touch."""

    def forward(self, x: Tensor, *_: object) -> Tensor:
        return super().forward(x)


def players(row: tuple[int, ...], column: bool) -> tuple[nn.Module, nn.Module]:
    """Players of our own; scores have the shape (m,) or (m, 1)."""
    size, end = math.prod(row), nn.Identity() if column else nn.Flatten(0)
    generator = Generator(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, size), nn.Unflatten(1, row))
    critic = Critic(nn.Flatten(), nn.Linear(size, 8), nn.Tanh(), nn.Linear(8, 1), end)
    critic.register_buffer("average", torch.full((3,), 2.0))
    return generator, critic


def rows_in(x: Tensor, other: Tensor) -> Tensor:
    """Which rows of x are rows of ``other``, shape (m,).

    >>> rows_in(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([False,  True])
    """
    x, other = x.flatten(1), other.flatten(1)
    same = x.shape[1] == other.shape[1]
    return (x[:, None] == other).all(2).any(1) if same else torch.zeros(len(x), dtype=torch.bool)


class Watch:
    """What a step does to two players: the ``order`` of updates, and what was ``found`` (name -> seen).

    Each update ends a phase. "s" stands for an update of the critic by a part of its loss alone.
    """

    def __init__(self, generator: nn.Module, critic: nn.Module):
        self.players = {"g": generator, "c": critic}
        self.order, self.found, self.limit, self.pull = "", {}, torch.inf, 0.0
        self.made, self.used, self.scores = (
            [],
            [],
            [],
        )  # the phase, and z, fakes, mode; z; points, gradients
        self.learned = {"g": [], "c": []}  # (phase, gradient) of the first weights
        self.weights, self.buffers = self.copies(), [part.clone() for part in critic.buffers()]
        self.optimizers = Optimizers(*(SGD(part.parameters(), lr=RATE) for part in self.players.values()))
        generator.register_forward_hook(
            lambda part, inputs, fakes: self.made.append(
                (len(self.order), inputs[0].clone(), fakes.detach().clone(), part.training)
            )
        )
        critic.register_forward_hook(self.score)
        for k, optimizer in zip("gc", self.optimizers, strict=True):
            optimizer.register_step_pre_hook(lambda *_, k=k: self.before(k))
            optimizer.register_step_post_hook(lambda *_: self.after())
            first = next(self.players[k].parameters())
            first.register_hook(lambda g, k=k: self.learned[k].append((len(self.order), g.detach().clone())))

    def copies(self) -> list[Tensor]:
        return [part.detach().clone() for part in self.players["c"].parameters()]

    def find(self, name: str, seen: str) -> None:
        self.found.setdefault(name, f"after the updates '{self.order[-12:]}' {seen}")

    def score(self, _: nn.Module, inputs: tuple[Tensor, ...], scores: Tensor) -> None:
        """Remember the points, and the last gradient in their scores: the loss's; a penalty asks before."""
        self.look()
        gradient = torch.zeros(len(scores))
        self.scores.append((len(self.order), inputs[0].detach().clone(), gradient))
        if scores.requires_grad:

            @scores.register_hook
            def _(g: Tensor) -> None:
                gradient.copy_(g.detach().reshape(len(g), -1).sum(1))

    def look(self) -> None:
        """Were the critic's weights clipped since its last step, and all of them?"""
        now = self.copies()
        changed = [part for part, old in zip(now, self.weights, strict=True) if not torch.equal(part, old)]
        limit = max((part.abs().max() for part in changed), default=torch.inf)
        if sum((part.abs() == limit).sum() for part in changed) > 1:  # several weights end at the same number
            self.limit = limit * (1 + 1e-6)
        largest = max(part.abs().max() for part in now)
        if largest > self.limit and "partial-clip" not in self.found:
            name = "partial-clip" if changed else "clamp-first"
            self.find(name, f"the critic's weights are clipped to {self.limit:.3g}, and one is {largest:.3g}")
        self.weights = now

    def before(self, letter: str) -> None:
        """What an update has seen and learnt, when it is about to be made."""
        self.look()
        phase = len(self.order)
        recent = [(points, gradient) for at, points, gradient in self.scores if at == phase]
        fakes = [each for each in self.made if any(rows_in(points, each[2]).any() for points, _ in recent)]
        for at, z, _, training in fakes:
            if at < phase or any(when < phase and torch.equal(z, other) for when, other in self.used):
                self.find("reused-noise", "an update gets fakes of noise that one before it had")
            if not training:
                self.find("sampling-mode", "an update gets fakes that were made in evaluation mode")
            self.used.append((phase, z))
        real, fake = (
            sum(gradient[rows_in(points, rows)].sum().item() for points, gradient in recent for rows in of)
            for of in ([self.x], [each[2] for each in fakes])
        )
        since = self.since(letter)
        fresh = real or any(each[0] == phase for each in (*self.made, *fakes))
        self.letter = letter if fresh or letter == "g" else "s"
        if since:
            name = "moving-critic" if letter == "c" and "g" in since else "stale-gradients"
            self.find(name, f"an update uses gradients from before the updates '{since}', too")
        elif self.letter == "s":
            self.find("separate-adam", "the critic makes a step of its own for a part of its loss")
        if letter == "g" and self.pull * fake > 0:
            name = "generator-sign" if fake > 0 else "reversed-sign"
            self.find(name, "the generator's loss moves fake scores the way that the critic's loss does")
        if letter == "c":
            self.pull = fake
            if real * fake > 0:
                self.find("reversed-sign", "the critic's loss moves real and fake scores the same way")
            if any(at == phase for at, _ in self.learned["g"]):
                self.find("attached-fakes", "the critic's loss gives the generator's weights a gradient")

    def since(self, letter: str) -> str:
        """The updates since the oldest gradient that is in the player's ``.grad``."""
        total, grad = 0.0, next(self.players[letter].parameters()).grad
        for phase, gradient in reversed(self.learned[letter] if grad is not None else []):
            total = total + gradient
            if torch.allclose(total, grad, rtol=1e-3, atol=1e-9):
                return self.order[phase:]
        return ""

    def after(self) -> None:
        self.order += self.letter
        self.weights = self.copies()

    def end(self) -> None:
        """What is left at the end of one call."""
        self.look()
        if not all(map(torch.equal, self.buffers, self.players["c"].buffers())):
            self.find("clip-buffers", "the critic's buffers have other numbers")
        if not all(player.training for player in self.players.values()):
            self.find("switches-mode", "a player is left in evaluation mode")


def audit_step(step: Step, n_critic: int = 5, *, generator: Module = None, critic: Module = None) -> Report:
    """Which known slips a training step ``(generator, critic, optimizers, batch) -> None`` has.

    ``optimizers`` are the generator's and the critic's; ``batch`` is x, or (x, labels) for a step that wants
    them. The step holds a whole turn, or decides itself when the generator moves. The players are our own,
    which take any noise, or copies of those given; a shape of data is looked for. Clipping, fresh noise,
    detached fakes, signs, leftover gradients, modes and the order of updates are judged; the losses are not.
    Raises ``InputError`` for what cannot be called so.

    >>> audit_step(lambda generator, critic, optimizers, batch: optimizers.critic.step()).names
    ('separate-adam', 'other-n-critic')
    """
    if not callable(step):
        raise InputError(f"audit needs a function (generator, critic, optimizers, batch), got {type(step)}.")
    with undisturbed():
        watched = watch(step, n_critic, (generator, critic), swapped=False)
        if watched.found:  # the step may expect the critic's optimizer first
            other = watch(step, n_critic, (generator, critic), swapped=True)
            watched = min(watched, other, key=lambda each: len(each.found))
    order = f"the order of updates, c for the critic and g for the generator: {watched.order[:36]}"
    return Report(tuple(Finding.of(*item) for item in watched.found.items()), (order,), None, None)


def watch(step: Step, n_critic: int, given: tuple[Module, Module], *, swapped: bool) -> Watch:
    """The step on the first shape of data that it takes."""
    errors = []
    shapes = candidate_rows(given[1]) if given[1] else SHAPES
    for row, column, labels in itertools.product(shapes, (False, True), (False, True)):
        seed(0)
        pair = [copy.deepcopy(mine) or own for mine, own in zip(given, players(row, column), strict=True)]
        watched = Watch(*pair)
        optimizers = Optimizers(*reversed(watched.optimizers)) if swapped else watched.optimizers
        try:
            for _ in range(2 * n_critic + 1):
                watched.x = torch.rand(M, *row) * 2 - 1
                batch = watched.x.clone()
                step(*pair, optimizers, (batch, torch.zeros(M, dtype=torch.long)) if labels else batch)
                watched.end()
        except Exception as error:
            errors.append(error)
            continue
        if name := order_slip(order := watched.order.replace("s", ""), n_critic):
            watched.found[name] = f"n_critic is {n_critic}, and the order of updates is {order[:24]}"
        return watched
    said = " ".join(f"{type(errors[0]).__name__}: {errors[0]}".split())[:200]
    rule = "audit calls a step with (generator, critic, optimizers, batch), and it raises"
    raise InputError(f"{rule} {said}. Let it take its rows from batch and draw its noise.") from errors[0]


def order_slip(order: str, n_critic: int) -> str:
    """The name of the slip if the generator does not move once after each n_critic critic's updates, or "".

    >>> order_slip("cgcccccg", 5)
    'early-generator'
    """
    counts = [len(turn) for turn in order.split("g")[:-1]]
    if counts and counts[0] < n_critic and {*counts[1:]} == {n_critic}:
        return "early-generator"
    return {(n_critic,): "", (n_critic + 1,): "one-turn-more"}.get((*{*counts},), "other-n-critic")
