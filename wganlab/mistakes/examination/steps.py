"""``audit_step``: which known slips a whole training step has, told by what it does to two small players.

The step is called many times with a generator, a critic and two optimizers that are watched: which noise and
which points each update saw, whose gradients it used, which weights changed outside of a step.
"""

import copy
import itertools
import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from ...errors import InputError
from .calls import ROWS
from .critics import candidate_rows
from .probes import seed, undisturbed
from .report import Finding, Report

Net = nn.Module | None
SHAPES, RATE, M = [(2,), *ROWS["rows"], *ROWS["pictures"], *ROWS["sequences"]], 0.05, 8
SEEN = tomllib.loads(Path(__file__).with_name("steps.toml").read_text(encoding="utf-8"))


class Optimizers(NamedTuple):
    """The two optimizers in the order of the players; also ``optimizers["critic"]``."""

    generator: Optimizer
    critic: Optimizer

    def __getitem__(self, key: object) -> Optimizer:
        return tuple(self)[int(key[:1].lower() != "g") if isinstance(key, str) else key]


def players(row: tuple[int, ...], column: bool) -> tuple[nn.Module, nn.Module]:
    """Players for such rows that take noise of any shape, and labels; scores are (m,) or (m, 1)."""
    size, end = math.prod(row), nn.Identity() if column else nn.Flatten(0)
    generator = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, size), nn.Unflatten(1, row))
    generator.register_forward_pre_hook(lambda _, z: nn.functional.pad(z[0].flatten(1), (0, 1))[:, :2])
    critic = nn.Sequential(nn.Flatten(), nn.Linear(size, 8), nn.Tanh(), nn.Linear(8, 1), end)
    critic.register_forward_pre_hook(lambda _, x: x[0])
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

    Each update ends a phase. "s" stands for an update of the critic by a part of its loss alone. ``made`` has
    phase, noise, fakes and mode; ``used`` phase and noise; ``recent``, of this phase, points and gradients in
    their scores; ``learned`` phase and gradient of each player's first weights.
    """

    def __init__(self, generator: nn.Module, critic: nn.Module):
        self.players, self.order, self.found = {"g": generator, "c": critic}, "", {}
        self.made, self.used, self.recent, self.learned = [], [], [], {"g": [], "c": []}
        self.x, self.limit, self.pull = torch.empty(0, 1), math.inf, 0.0
        self.weights, self.buffers = self.copies(), [part.clone() for part in critic.buffers()]
        self.optimizers = Optimizers(*(SGD(part.parameters(), lr=RATE) for part in self.players.values()))
        generator.register_forward_hook(self.generated)
        critic.register_forward_hook(self.scored)
        for k, optimizer in zip("gc", self.optimizers, strict=True):
            optimizer.register_step_pre_hook(lambda *_, k=k: self.before(k))
            optimizer.register_step_post_hook(self.after)
            first = next(self.players[k].parameters())
            first.register_hook(lambda g, k=k: self.learned[k].append((len(self.order), g.detach().clone())))

    def copies(self) -> list[Tensor]:
        return [part.detach().clone() for part in self.players["c"].parameters()]

    def note(self, **slips: object) -> None:
        """What is the case, with words about it of ``steps.toml``."""
        for name in (name.replace("_", "-") for name, case in slips.items() if case):
            self.found.setdefault(name, f"after {self.order[-12:] or 'no update'}, {SEEN[name]}")

    def generated(self, player: nn.Module, inputs: tuple[Tensor, ...], fakes: Tensor) -> None:
        z, fakes = inputs[0].detach().clone(), fakes.detach().clone()
        self.made.append((len(self.order), z, fakes, player.training))

    def scored(self, _: nn.Module, inputs: tuple[Tensor, ...], scores: Tensor) -> None:
        """Remember the points, and the last gradient in their scores: the loss's; a penalty asks before."""
        self.look()
        gradient = torch.zeros(len(scores))
        self.recent.append((inputs[0].detach().clone(), gradient))
        if scores.requires_grad:
            scores.register_hook(lambda g: [gradient.copy_(g.detach().reshape(len(g), -1).sum(1)), None][1])

    def look(self) -> None:
        """Were the critic's weights clipped since its last step, and all of them?"""
        now = self.copies()
        pairs = zip(now, self.weights, strict=True)
        changed = [part.abs() for part, old in pairs if not torch.equal(part, old)]
        limit = max((part.max().item() for part in changed), default=math.inf)
        if sum((part == limit).sum() for part in changed) > 1:  # several weights end at the same number
            self.limit = limit * (1 + 1e-6)
        beyond = max(part.abs().max() for part in now) > self.limit and "partial-clip" not in self.found
        self.note(partial_clip=beyond and changed, clamp_first=beyond and not changed)
        self.weights = now

    def before(self, letter: str) -> None:
        """What an update has seen and learnt, when it is about to be made."""
        self.look()
        phase, since, critic = len(self.order), self.since(letter), letter == "c"
        fakes = [each for each in self.made if any(rows_in(x, each[2]).any() for x, _ in self.recent)]
        real, fake = (
            sum(gradient[rows_in(points, rows)].sum() for points, gradient in self.recent for rows in of)
            for of in ([self.x], [each[2] for each in fakes])
        )
        old = [z for when, z in self.used if when < phase]
        fresh = not critic or real or any(each[0] == phase for each in (*self.made, *fakes))
        same = not critic and self.pull * fake > 0
        self.note(
            reused_noise=any(at < phase or any(torch.equal(z, o) for o in old) for at, z, *_ in fakes),
            sampling_mode=not all(each[3] for each in fakes),
            moving_critic=critic and "g" in since,
            stale_gradients=since and not (critic and "g" in since),
            separate_adam=not (since or fresh),
            generator_sign=same and fake > 0,
            reversed_sign=(same and fake < 0) or (critic and real * fake > 0),
            attached_fakes=critic and any(at == phase for at, _ in self.learned["g"]),
        )
        self.used += [(phase, each[1]) for each in fakes]
        self.letter, self.pull = letter if fresh else "s", fake if critic else self.pull

    def since(self, letter: str) -> str:
        """The updates since the oldest gradient that is in the player's ``.grad``."""
        total, grad = 0.0, next(self.players[letter].parameters()).grad
        for phase, gradient in reversed(self.learned[letter] if grad is not None else []):
            total = total + gradient
            if torch.allclose(total, grad, rtol=1e-3, atol=1e-9):
                return self.order[phase:]
        return ""

    def after(self, *_: object) -> None:
        self.order, self.recent, self.weights = self.order + self.letter, [], self.copies()

    def end(self) -> None:
        """What is left at the end of one call."""
        self.look()
        self.note(clip_buffers=not all(map(torch.equal, self.buffers, self.players["c"].buffers())))
        self.note(switches_mode=not all(player.training for player in self.players.values()))


def audit_step(step: Callable, n_critic: int = 5, *, generator: Net = None, critic: Net = None) -> Report:
    """Which known slips a training step ``(generator, critic, optimizers, batch) -> None`` has.

    ``optimizers`` are the generator's and the critic's; ``batch`` is x, or (x, labels) for a step that wants
    them. The step holds a whole turn, or decides itself when the generator moves. The players are our own,
    which take any noise, or copies of those given; a shape of data is looked for. Clipping, fresh noise,
    detached fakes, signs, leftover gradients, modes and the order of updates are judged; the losses are not.
    Raises ``InputError`` for what cannot be called so.

    >>> audit_step(lambda generator, critic, optimizers, batch: optimizers[1].step()).names
    ('other-n-critic',)
    """
    with undisturbed():
        watched = watch(step, n_critic, (generator, critic))
        if watched.found:  # the step may expect the critic's optimizer first
            other = watch(step, n_critic, (generator, critic), swapped=True)
            watched = min(watched, other, key=lambda each: len(each.found))
    order = f"the order of updates, c for the critic and g for the generator: {watched.order[:36]}"
    return Report(tuple(Finding.of(*item) for item in watched.found.items()), (order,), None, None)


def watch(step: Callable, n_critic: int, given: tuple[Net, Net], *, swapped: bool = False) -> Watch:
    """The step on the first shape of data that it takes."""
    errors, shapes = [], candidate_rows(given[1]) if given[1] else SHAPES
    for row, column, labels in itertools.product(shapes, (False, True), (False, True)):
        seed(0)
        pair = [copy.deepcopy(mine) or own for mine, own in zip(given, players(row, column), strict=True)]
        watched, more = Watch(*pair), (torch.zeros(M, dtype=torch.long),) if labels else ()
        optimizers = Optimizers(*reversed(watched.optimizers)) if swapped else watched.optimizers
        try:
            for _ in range(2 * n_critic + 1):
                watched.x = torch.rand(M, *row) * 2 - 1
                step(*pair, optimizers, (watched.x.clone(), *more) if labels else watched.x.clone())
                watched.end()
        except Exception as error:
            errors.append(" ".join(f"{type(error).__name__}: {error}".split())[:200])
            continue
        if name := order_slip(order := watched.order.replace("s", ""), n_critic):
            watched.found[name] = f"n_critic is {n_critic}, and the order of updates is {order[:24]}"
        return watched
    rule = "audit calls a step with (generator, critic, optimizers, batch), and it raises"
    raise InputError(f"{rule} {errors[0]}. Let it take its rows from batch and draw its noise.")


def order_slip(order: str, n_critic: int) -> str:
    """The name of the slip if the generator does not move once after each n_critic critic's updates, or "".

    >>> order_slip("cgcccccg", 5)
    'early-generator'
    """
    counts = [len(turn) for turn in order.split("g")[:-1]]
    if counts and counts[0] < n_critic and {*counts[1:]} == {n_critic}:
        return "early-generator"
    return {(n_critic,): "", (n_critic + 1,): "one-turn-more"}.get((*{*counts},), "other-n-critic")
