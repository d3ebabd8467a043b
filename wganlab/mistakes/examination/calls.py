"""The first step of an examination: the function is called, and what it gave is written down.

The shapes of data and scores that it takes are found by trying; what is fixed in it shows there.
"""

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .formulas import Observation
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
ANCHOR = -3.0  # an entry that x and x_fake share

# The first of each is what every function should take; the others find what a function is tied to.
ROWS = {
    "rows": [(5,), (2,), (3,), (784,), (1,)],
    "pictures": [(3, 4, 5), (1, 4, 5), (3, 32, 32), (1, 28, 28), (3, 64, 64), (1, 32, 32), (1, 64, 64)],
}
BATCHES = [BATCH, 64, 32, 128, 16, 256, 100, 50, 10, 8]
KINDS = [*itertools.product((torch.float64, torch.float32), ("flat", "column", "scalar"))]
NOTES = {
    torch.float32: "float64 data raise an error, float32 data do not",
    "column": "it needs a critic whose scores have shape (m, 1), not (m,)",
    "scalar": "it needs a critic that scores one row without a batch",
}


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
        """m rows each, between which eps can be read off: ones, zeros, and the anchor in rows of 3 or more.

        >>> Layout("rows", 6, (3,), torch.float32).segments(1)
        (tensor([[-3.,  1.,  1.]]), tensor([[-3.,  0.,  0.]]))
        """
        x, x_fake = (make(m, *self.row, dtype=self.dtype) for make in (torch.ones, torch.zeros))
        if math.prod(self.row) >= 3:
            x.view(m, -1)[:, 0] = x_fake.view(m, -1)[:, 0] = ANCHOR
        return x, x_fake

    def random(self, m: int, rng: torch.Generator) -> Batch:
        """m random rows each, of very different lengths."""
        length = torch.linspace(0.3, 4.0, m, dtype=torch.float64) / math.sqrt(math.prod(self.row))
        length = length.view(-1, *[1] * len(self.row))
        x, x_fake = (torch.randn(m, *self.row, generator=rng, dtype=torch.float64) for _ in range(2))
        return (length * x).to(self.dtype), (length * x_fake).to(self.dtype)


class Call:
    """One call after that seed, or without one, watched.

    It has the probe, which holds the points, the ``value`` or the ``failure`` for which there is none, the
    ``error`` that was raised, "" if none was, and the side ``effects`` by name.
    """

    def __init__(
        self, function: Penalty, layout: Layout, probe: ProbeSpec, batch: Batch, number: int | None = 0
    ):
        self.layout, self.batch, (self.label, slope, bend) = layout, batch, probe
        self.probe = Probe(layout.row, slope, bend, layout.scores)
        self.value, self.effects, self.error = None, {}, ""
        parts = {"x": batch[0], "x_fake": batch[1], **self.probe.state_dict(keep_vars=True)}
        before = [(name, part, part.detach().clone(), part.requires_grad) for name, part in parts.items()]
        if number is not None:
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
    seed each, for the law of eps, and ``again`` is one more without a seed.
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
        self.again = Call(function, layout, BENT, layout.segments(many), None)


def eps_of(points: Tensor, x: Tensor, x_fake: Tensor) -> Tensor:
    """The eps of each row that puts it nearest to its own segment, shape (n,).

    >>> eps_of(torch.tensor([[1.0, 0.0]]), torch.tensor([[4.0, 0.0]]), torch.zeros(1, 2))
    tensor([0.2500])
    """
    if points.shape != x.shape:
        return torch.ones(len(points), dtype=points.dtype)
    along = (x - x_fake).flatten(1).to(points.dtype)
    return ((points - x_fake).flatten(1) * along).sum(1) / along.square().sum(1)


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


def unusual_shapes(kind: str) -> tuple[list[tuple[int, tuple[int, ...]]], list[tuple[int, tuple[int, ...]]]]:
    """Pairs of a batch size and a row: with one of the two unusual, and with both.

    A batch size is never a side of a picture, along which an eps of shape (m, 1) would be
    broadcast. An eps of shape (m, 1, 1, 1) is, on rows, into m times as many numbers: so none of many.
    """
    usual, *rows = ROWS[kind]
    one = [*((m, usual) for m in BATCHES[1:]), *((BATCH, row) for row in rows)]
    both = [*itertools.product(BATCHES[1:5], rows)]

    def fits(m: int, row: tuple[int, ...]) -> bool:
        return m not in row and m * math.prod(row) * (m if kind == "rows" else 1) < 4e5

    return [pair for pair in one if fits(*pair)], [pair for pair in both if fits(*pair)]


def template(error: str) -> str:
    """An error's text without its numbers.

    >>> template("RuntimeError: size 6 is not 64")
    'RuntimeError: size # is not #'
    """
    return re.sub(r"\d+", "#", error)


def find(function: Penalty, kind: str) -> tuple[Layout | None, str]:
    """The first layout of that kind that the function takes, and what it said to the usual one."""
    usual, (one, both), errors = (BATCH, ROWS[kind][0]), unusual_shapes(kind), []
    for pair in (usual, *one, *both):
        for each in KINDS:
            layout = Layout(kind, *pair, *each)
            errors.append(error_on(function, layout))
            if not errors[-1]:
                return layout, errors[0]
            if pair != usual and each == KINDS[0] and template(errors[-1]) == template(errors[0]):
                break  # the same trouble as before: dtype and scores are not the reason
    return None, errors[0]


def other_channels(layout: Layout) -> Layout:
    """Pictures of the same size with 1 channel instead of 3, or 3 instead of 1.

    >>> other_channels(Layout("pictures", 6, (3, 4, 5))).row
    (1, 4, 5)
    """
    channels, *size = layout.row
    return replace(layout, row=(4 - channels, *size))


def fixed(function: Penalty, layout: Layout, first: str) -> dict[str, str]:
    """What the function is tied to: channels, batch size or size of a row; name -> what was seen."""
    found, usual = {}, ROWS[layout.kind][0]
    said = f"it takes {layout}, but not {(BATCH, *usual)}: {first}"
    if layout.m != BATCH:
        found["fixed-batch"] = said
    if layout.row[-1] != usual[-1]:
        found["fixed-size"] = said
    if layout.kind == "pictures":
        other = other_channels(layout)
        if error := error_on(function, other):
            found["fixed-channels"] = f"it takes {layout}, but not {(layout.m, *other.row)}: {error}"
    return found


def layout_notes(function: Penalty, layout: Layout) -> list[str]:
    """What is no bug in the function but good to know."""
    said = [NOTES[choice] for choice in (layout.dtype, layout.scores) if choice in NOTES]
    if layout.m == BATCH and (error := error_on(function, replace(layout, m=1))):
        said.append(f"a batch of one row raises {error}")
    return [f"{layout.kind}: {each}" for each in said]


def broadcast_notes(function: Penalty) -> list[str]:
    """A note if the function refuses pictures, but not those of height or width m."""
    row = ROWS["pictures"][0]
    if all(error_on(function, Layout("pictures", m, row)) for m in row[1:]):
        return []
    return [
        "pictures: it does run, and gives a wrong number, when the batch size is a side of the picture: "
        "eps is then broadcast along that side. Give eps as many axes as x has"
    ]
