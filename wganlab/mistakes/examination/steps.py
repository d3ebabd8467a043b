"""``audit_step``: which known slips a whole training step has, told by what it does to two small players.

The step is called many times with a generator, a critic and two optimizers that are watched: which noise and
which points each update saw, whose gradients it used, which weights changed outside of a step.
"""

import contextlib
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
from .report import KNOWN, WITHOUT_ENTRY, Finding, Report
from .wrappers import meanings

Net = nn.Module | None
SHAPES, RATE, M = [(2,), *ROWS["rows"], *ROWS["pictures"], *ROWS["sequences"]], 0.05, 8
WORDS = tomllib.loads(Path(__file__).with_name("steps.toml").read_text(encoding="utf-8"))


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


def bound(parts: list[Tensor]) -> float:
    """The largest absolute value of weights if several have it, as after a clip, else infinity.

    >>> bound([torch.tensor([0.5, -0.5]), torch.tensor([0.25])]), bound([torch.tensor([0.5, 0.25])])
    (0.5, inf)
    """
    limit = max((part.abs().max().item() for part in parts), default=math.inf)
    return limit if sum((part.abs() == limit).sum() for part in parts) > 1 else math.inf


class Watch:
    """What a step does to two players: the ``order`` of updates, and what was ``found`` (name -> seen).

    Each update ends a phase. "s" stands for an update of the critic by a part of its loss alone. ``made`` has
    phase, noise, fakes and mode; ``used`` phase and noise; ``recent``, of this phase, points, gradients in
    their scores and mode; ``learned`` phase and gradient of each player's first weights.
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

    def copies(self) -> dict[str, list[Tensor]]:
        return {k: [part.detach().clone() for part in self.players[k].parameters()] for k in "gc"}

    def note(self, **slips: object) -> None:
        """What is the case, with words about it of ``steps.toml``."""
        for name in (name.replace("_", "-") for name, case in slips.items() if case):
            when = f"after {self.order[-12:]}" if self.order else "before the first update"
            self.found.setdefault(name, f"{when}, {WORDS['seen'][name]}")

    def generated(self, player: nn.Module, inputs: tuple[Tensor, ...], fakes: Tensor) -> None:
        z, fakes = inputs[0].detach().clone(), fakes.detach().clone()
        self.made.append((len(self.order), z, fakes, player.training))

    def scored(self, player: nn.Module, inputs: tuple[Tensor, ...], scores: Tensor) -> None:
        """Remember the points, a loss's last gradient in their scores (a penalty's has a graph), the mode."""
        self.look()
        last = torch.zeros_like(scores)
        self.recent.append((inputs[0].detach().clone(), last, player.training))
        if scores.requires_grad:
            scores.register_hook(lambda g: [torch.is_grad_enabled() or last.copy_(g), None][1])

    def look(self) -> None:
        """Were weights clipped since a step: all of the critic's, and none of the generator's?"""
        old, self.weights = self.weights, self.copies()
        pairs = {k: zip(self.weights[k], old[k], strict=True) for k in "gc"}
        own, changed = ([new for new, was in pairs[k] if not torch.equal(new, was)] for k in "gc")
        if bound(changed) < math.inf:
            self.limit = bound(changed) * (1 + 1e-6)
        over = max(p.abs().max() for p in self.weights["c"]) > self.limit and "partial-clip" not in self.found
        self.note(partial_clip=over and changed, clamp_first=over and not changed)
        self.note(generator_clip=bound(own) < math.inf)

    def before(self, letter: str) -> None:
        """What an update has seen and learnt, when it is about to be made."""
        self.look()
        phase, since, critic = len(self.order), self.since(letter), letter == "c"
        learnt = [x for x, g, _ in self.recent if g.any()]  # the others were scored to be looked at
        fakes = [each for each in self.made if any(rows_in(x, each[2]).any() for x in learnt)]
        real, fake = (
            sum(gradient[rows_in(points, rows)].sum() for points, gradient, _ in self.recent for rows in of)
            for of in ([self.x], [each[2] for each in fakes])
        )
        drawn = [when for at, z, *_ in fakes for when, old in [(at, z), *self.used] if torch.equal(z, old)]
        order, oldest = self.order.replace("s", ""), min(drawn, default=phase)
        turn = phase - ("cc" not in order and order[-1:] != letter)  # so far one update each: a pair of them
        fresh = not critic or real or any(each[0] == phase for each in (*self.made, *fakes))
        same = not critic and self.pull * fake > 0
        own = [g.any() for at, g in self.learned[letter] if at == phase]  # all 0 where a right loss is flat
        idle = all(p.grad is None or p.grad.norm() == 0 for p in self.players[letter].parameters())
        self.note(
            reused_noise=oldest < turn,
            shared_noise=turn <= oldest < phase,
            no_gradient=idle and self.recent and any(own or [True]),
            sampling_mode=not all(each[3] for each in fakes) or any(g.any() > on for _, g, on in self.recent),
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
        self.note(switches_mode=(left := [part for part in self.players.values() if not part.training]))
        for player in left:  # one slip is told once: what the next call does in this mode is no other
            player.train()


def audit_step(step: Callable, n_critic: int = 5, *, generator: Net = None, critic: Net = None) -> Report:
    """Which known slips a training step ``(generator, critic, optimizers, batch) -> None`` has.

    ``optimizers`` are the generator's and the critic's; ``batch`` is x, or (x, labels) for a step that wants
    them. The step holds a whole turn, or decides itself when the generator moves. The players are our own,
    which take any noise, or copies of those given; a shape of data is looked for. Clipping, fresh noise,
    detached fakes, signs, leftover and lost gradients, modes and the order of updates are judged; the losses
    are not. Raises ``InputError`` for what cannot be called so.

    >>> audit_step(lambda generator, critic, optimizers, batch: optimizers[1].step()).names
    ('other-n-critic',)
    """
    with undisturbed():
        situation = n_critic, (generator, critic)
        try:
            watched = watch(step, *situation)
        except InputError as error:
            raise InputError(f"{error}{wrapper(step, *situation)}") from error
        if watched.found:  # the step may expect the critic's optimizer first
            other = watch(step, *situation, swapped=True)
            watched = min(watched, other, key=lambda each: len(each.found))
    order, more = watched.order[:36], "…" * (len(watched.order) > 36)
    alone = ", s for the critic without new rows" * ("s" in order)
    order = f"the order of updates, c for the critic{alone} and g for the generator: {order}{more}"
    shared = watched.found.pop("shared-noise", "")
    notes = (order, shared) if shared and "reused-noise" not in watched.found else (order,)
    return Report(tuple(finding(*item) for item in watched.found.items()), notes, None, None)


def wrapper(step: Callable, *situation: object) -> str:
    """What to do with a step whose players are globals of its file: lines to paste, tried, or a page."""
    known, said = getattr(step, "__globals__", {}), WORDS["globals"]
    nets = [(name, part) for name, part in known.items() if isinstance(part, nn.Module)]
    owner = {id(weight): name for name, part in nets for weight in part.parameters()}
    optimizers = [(name, part) for name, part in known.items() if isinstance(part, Optimizer)]
    pairs = [(owner.get(id(part.param_groups[0]["params"][0]), ""), name) for name, part in optimizers]
    pairs.sort(key=lambda pair: "critic" in meanings(pair[0]))
    if len(pairs) != 2 or not all(map(all, pairs)) or known.get(step.__name__) is not step:
        return said["read"]
    text, before, order = said["lines"].format(*zip(*pairs, strict=True), step=step.__name__), {**known}, ""
    exec(text, known)
    with contextlib.suppress(InputError):
        order = watch(known.pop("audited_step"), *situation).order
    known.update(before)
    return f"{said['paste']}\n\n{text}" if order else said["read"]


def finding(name: str, seen: str) -> Finding:
    """The slip in the words of a step, where it has some of its own."""
    entry = name if name in KNOWN.keys() - WITHOUT_ENTRY else None
    return Finding(name, seen, **{**KNOWN.get(name, {}), **WORDS.get(name, {})}, entry=entry)


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
    raise InputError(f"{rule} {errors[0]}. Let it take its rows from batch and draw its noise. ")


def order_slip(order: str, n_critic: int) -> str:
    """The name of the slip if the generator does not move once after each n_critic critic's updates, or "".

    >>> order_slip("cgcccccg", 5)
    'early-generator'
    """
    counts = [len(turn) for turn in order.split("g")[:-1]]
    if counts and counts[0] < n_critic and {*counts[1:]} == {n_critic}:
        return "early-generator"
    return {(n_critic,): "", (n_critic + 1,): "one-turn-more"}.get((*{*counts},), "other-n-critic")
