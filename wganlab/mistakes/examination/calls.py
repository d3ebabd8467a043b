"""The first step of an examination: the function is called, and what it gave is written down."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .formulas import Observation
from .points import eps_of, unit_segment
from .probes import GRAD, Probe, seed

Penalty = Callable[[nn.Module, Tensor, Tensor], Tensor]
Batch = tuple[Tensor, Tensor]  # x and x_fake
ProbeSpec = tuple[str, float, float]  # label, slope of the linear part, bend

PROBES: list[ProbeSpec] = [  # the critics whose values are compared
    ("slope 5 in every row", 5.0, 0.0),
    ("slope 1/2 in every row", 0.5, 0.0),
    ("slope 1 in every row", 1.0, 0.0),
    ("slope 20 in every row", 20.0, 0.0),
    ("a slope of its own in each row", 0.0, 1.0),
    ("slopes that turn along the segment", 0.7, 0.8),
]
DEAD, BENT = ("slope 0", 0.0, 0.0), ("any slope", 1.0, 1.0)
BATCH, OTHER_BATCH = 6, 11


@dataclass(frozen=True)
class Layout:
    """m rows of shape ``row``, their dtype, and the shape of the scores the function expects."""

    kind: str
    m: int
    row: tuple[int, ...]
    dtype: torch.dtype = torch.float64
    scores: str = "flat"

    def __str__(self):
        return f"{self.kind} of shape {(self.m, *self.row)}"

    def segments(self, m: int) -> Batch:
        """m rows each, between which eps can be read off."""
        return unit_segment(m, self.row, self.dtype)

    def random(self, m: int, rng: torch.Generator) -> Batch:
        """m random rows each, of very different lengths."""
        length = torch.linspace(0.3, 4.0, m, dtype=torch.float64) / math.sqrt(math.prod(self.row))
        length = length.view(-1, *[1] * len(self.row))
        x, x_fake = (torch.randn(m, *self.row, generator=rng, dtype=torch.float64) for _ in range(2))
        return (length * x).to(self.dtype), (length * x_fake).to(self.dtype)


class Call:
    """One call after that seed, watched.

    It has the probe, which holds the points, the ``value`` or the ``failure`` for which there is none, the
    ``error`` that was raised, "" if none was, and the side ``effects`` by name.
    """

    def __init__(self, function: Penalty, layout: Layout, probe: ProbeSpec, batch: Batch, number: int = 0):
        self.layout, self.batch, (self.label, slope, bend) = layout, batch, probe
        self.probe = Probe(layout.row, slope, bend, layout.scores)
        self.value, self.effects, self.error = None, {}, ""
        parts = {"x": batch[0], "x_fake": batch[1], **self.probe.state_dict(keep_vars=True)}
        before = [(name, part, part.detach().clone(), part.requires_grad) for name, part in parts.items()]
        seed(number)
        try:
            with torch.enable_grad():
                answer = function(self.probe, *batch)
        except (Exception, SystemExit) as error:
            self.error = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self.failure = f"{self.label}: {self.error}"
            return
        self.effects = side_effects(self.probe, before)
        self.value, self.failure = number_of(answer)
        if not self.probe.points:
            self.failure = "the critic was never asked for a score"
        if not self.failure and isinstance(answer, Tensor) and answer.numel() > 1:
            self.effects["no-mean"] = f"the answer has shape {tuple(answer.shape)}, not ()"

    def __str__(self):
        return f"a critic with {self.label}, on {self.layout.kind} of shape {tuple(self.batch[0].shape)},"

    @property
    def findings(self) -> dict[str, str]:
        """Side effects by name, and the failure."""
        return self.effects | ({"raises": f"{self.layout}: {self.failure}"} if self.failure else {})

    @property
    def blocks(self) -> list[Tensor]:
        """The batches that were asked, one of k times as many rows as x as k of them; last all together."""
        m = len(self.batch[0])
        pieces = (points.split(m) if len(points) % m == 0 else [points] for points in self.probe.points)
        several = [*itertools.chain.from_iterable(pieces)]
        return several if len(several) == 1 else [*several, torch.cat(several)]

    def observation(self, block: int) -> Observation:
        """The call in numbers, for the points in one of the blocks."""
        points = self.blocks[block].double()
        eps = eps_of(points, *(part.double() for part in self.batch))
        return Observation(self.value.item(), self.probe.gradient(points), eps)


class Observed:
    """All calls that the examination of one layout needs, whatever the earlier ones gave.

    ``usual`` has the layout's batch size and ``other`` another one, for the numbers; ``answered`` are those
    of them whose numbers a formula must give. ``dead`` is a critic of slope 0. ``segments`` are calls with a
    seed each, for the law of eps.
    """

    def __init__(self, function: Penalty, layout: Layout):
        m, free = layout.m, layout.m == BATCH  # free: of the batch size
        rng, others = torch.Generator().manual_seed(0), (PROBES[0], PROBES[-1]) if free else ()
        self.usual = [Call(function, layout, probe, layout.random(m, rng)) for probe in PROBES]
        self.other = [Call(function, layout, probe, layout.random(OTHER_BATCH, rng)) for probe in others]
        self.answered = [each for each in (*self.usual, *self.other) if not each.failure]
        self.dead = Call(function, layout, DEAD, layout.segments(m))
        many, total = 256 if free else m, 2048 if math.prod(layout.row) <= 256 else 512
        seeds = range(max(2, total // many))
        self.segments = [Call(function, layout, BENT, layout.segments(many), number) for number in seeds]


def error_on(function: Penalty, layout: Layout) -> str:
    """What the function raises on such data, "" if nothing."""
    return Call(function, layout, PROBES[0], layout.segments(layout.m)).error


def side_effects(critic: Probe, before: list[tuple[str, Tensor, Tensor, bool]]) -> dict[str, str]:
    """What a call changed, by name, given each part with its old numbers and flag; flags are put back."""
    effects = {}
    if not critic.training:
        effects["switches-mode"] = "the critic's training flag was True and is False"
    for name, weight in critic.named_parameters():
        if weight.grad is None or not bool((weight.grad == GRAD).all()):
            effects["writes-grad"] = f"the field .grad of the critic's '{name}' was changed by the call"
    for name, part, old, flag in before:
        kind = "changes-batch" if name in ("x", "x_fake") else "changes-critic"
        if not torch.equal(part.detach(), old):
            effects[kind] = f"'{name}' has other numbers after the call"
        elif kind == "changes-critic" and part.requires_grad != flag:
            effects[kind] = f"requires_grad of '{name}' was {flag} and is {not flag}"
            part.requires_grad_(flag)
    return effects


def number_of(answer: object) -> tuple[Tensor | None, str]:
    """An answer as a tensor of shape (), the mean of several numbers; or None, and why."""
    if isinstance(answer, Tensor):
        odd = answer.is_complex() or answer.dtype == torch.bool or answer.layout != torch.strided
        if odd or answer.is_meta or not answer.numel():
            what = f"{answer.dtype}, {answer.layout}, of shape {tuple(answer.shape)}, on {answer.device}"
            return None, f"the answer is a tensor without real numbers: {what}"
        return answer.double().mean(), ""
    try:
        return torch.tensor(float(answer)), ""
    except (TypeError, ValueError, RuntimeError):
        return None, f"the answer is no number but of type {type(answer).__name__}"
