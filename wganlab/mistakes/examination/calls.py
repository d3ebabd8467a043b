"""The first step of an examination: the function is called, and what it gave is written down.

The shapes of data and scores that it takes are found by trying; what is fixed in it shows there.
"""

import itertools
import math
import re
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from .formulas import Observation
from .probes import GRAD, Probe, seed

Penalty = Callable[[nn.Module, Tensor, Tensor], Tensor]
Batch = tuple[Tensor, Tensor]  # x and x_fake
Row = tuple[int, ...]
Shape = tuple[int, Row]  # of a batch: how many rows, and each row
Parts = list[tuple[str, Tensor, Tensor, bool]]  # name, tensor, its old numbers, its old requires_grad
Spec = tuple[str, float, float]  # label, slope of the linear part, bend

TABLE = tomllib.loads(Path(__file__).with_name("calls.toml").read_text(encoding="utf-8"))
PROBES, NOTES = TABLE["probes"], TABLE["notes"]
ROWS = {kind: [*map(tuple, rows)] for kind, rows in TABLE["rows"].items()}
NEVER = "the critic was never asked for a score"
DEAD, BENT = ("slope 0", 0.0, 0.0), ("any slope", 1.0, 1.0)
BATCH, OTHER_BATCH = 6, 11
ANCHOR = -3.0  # an entry that x and x_fake share

OF_AXES = {len(rows[0]): kind for kind, rows in ROWS.items()}
BATCHES = [BATCH, 64, 32, 128, 16, 256, 100, 50, 10, 8]
MOST = 2_000_000  # numbers in one batch
KINDS = itertools.product(("", "x_fake", "x"), (torch.float64, torch.float32), ("flat", "column", "scalar"))
KINDS = [*KINDS]  # which part of the batch carries a graph, dtype, and shape of the scores


@dataclass(frozen=True)
class Layout:
    """m rows of shape ``row``, their dtype, and the shape of the scores the function expects."""

    kind: str
    m: int
    row: tuple[int, ...]
    carrier: str = ""
    dtype: torch.dtype = torch.float64
    scores: str = "flat"

    def __str__(self):
        return f"{self.kind} of shape {(self.m, *self.row)}"

    @property
    def usual(self) -> bool:
        """Whether its rows have the shape that a function for this kind of data should take."""
        return self.row == ROWS[self.kind][0]

    def carried(self, x: Tensor, x_fake: Tensor) -> Batch:
        """The batch, of which one part hangs on a graph if the layout says so."""
        fakes = x_fake.requires_grad_() + 0 if self.carrier == "x_fake" else x_fake
        return x.requires_grad_(self.carrier == "x"), fakes

    def segments(self, m: int) -> Batch:
        """m rows each, between which eps can be read off: ones, zeros, and the anchor in rows of 3 or more.

        >>> Layout("rows", 6, (3,), "", torch.float32).segments(1)
        (tensor([[-3.,  1.,  1.]]), tensor([[-3.,  0.,  0.]]))
        """
        x, x_fake = (make(m, *self.row, dtype=self.dtype) for make in (torch.ones, torch.zeros))
        if math.prod(self.row) >= 3:
            x.view(m, -1)[:, 0] = x_fake.view(m, -1)[:, 0] = ANCHOR
        return self.carried(x, x_fake)

    def random(self, m: int, rng: torch.Generator) -> Batch:
        """m random rows each, of very different lengths."""
        length = torch.linspace(0.3, 4.0, m, dtype=torch.float64) / math.sqrt(math.prod(self.row))
        length = length.view(-1, *[1] * len(self.row))
        x, x_fake = (torch.randn(m, *self.row, generator=rng, dtype=torch.float64) for _ in range(2))
        return self.carried(*((length * part).to(self.dtype) for part in (x, x_fake)))


class Call:
    """One call after that seed, or without one, watched.

    It has the probe, which holds the points, the ``value`` or the ``failure`` for which there is none, the
    ``error`` that was raised, "" if none was, and how far the function had come then (``reached``), the side
    ``effects`` by name, and ``notes``.
    """

    def __init__(self, function: Penalty, layout: Layout, probe: Spec, batch: Batch, number: int | None = 0):
        self.layout, self.batch, (self.label, slope, bend) = layout, batch, probe
        self.probe = Probe(layout.row, slope, bend, layout.scores)
        self.value, self.effects, self.error, self.notes = None, {}, "", []
        parts = {"x": batch[0], "x_fake": batch[1], **self.probe.state_dict(keep_vars=True)}
        before = [(name, part, part.detach().clone(), part.requires_grad) for name, part in parts.items()]
        if number is not None:
            seed(number)
        state = torch.get_rng_state()
        try:
            with torch.enable_grad():
                answer = function(self.probe, *batch)
        except (Exception, SystemExit) as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self.error = re.sub(r"\bProbe\b", "Critic", said)
            self.failure = f"{self.label}: {self.error}"
            frames = traceback.walk_tb(error.__traceback__)
            self.reached = len(self.probe.points), tuple(line for _, line in frames)[1:]
            return
        self.drew = not torch.equal(state, torch.get_rng_state())
        self.effects, self.notes = side_effects(self.probe, before)
        if isinstance(answer, tuple | list | dict) and len(answer):
            answers = [*(answer.values() if isinstance(answer, dict) else answer)]
            numbers = (each for each in answers if number_of(each)[0] is not None)
            answer = next((each for each in numbers if torch.as_tensor(each).numel() == 1), answers[0])
            self.notes.append(f"it gives {len(answers)} things; the first number among them is judged")
        self.value, self.failure = number_of(answer)
        if not self.probe.points:
            self.failure = NEVER
        if not self.failure and isinstance(answer, Tensor) and answer.numel() > 1:
            self.effects["no-mean"] = f"the answer has shape {tuple(answer.shape)}, not ()"

    def __str__(self):
        return f"a critic with {self.label}, on {self.layout.kind} of shape {tuple(self.batch[0].shape)},"

    @property
    def findings(self) -> dict[str, str]:
        """Side effects by name, and the failure."""
        name = "not-the-critic" if self.failure == NEVER else "raises"
        return self.effects | ({name: f"{self.layout}: {self.failure}"} if self.failure else {})

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
    seed each, for the law of eps, ``again`` is one more without a seed, and ``moved`` one with other fakes.
    ``repeated`` is the first call once more, then the same with critics of other slopes.
    """

    def __init__(self, function: Penalty, layout: Layout):
        m, free = layout.m, layout.m == BATCH  # free: of the batch size
        rng, others = torch.Generator().manual_seed(0), (PROBES[0], PROBES[-1]) if free else ()
        self.usual = [Call(function, layout, probe, layout.random(m, rng)) for probe in PROBES]
        self.other = [Call(function, layout, probe, layout.random(OTHER_BATCH, rng)) for probe in others]
        self.answered = [each for each in (*self.usual, *self.other) if not each.failure]
        self.dead = Call(function, layout, DEAD, layout.random(m, rng))
        size = math.prod(layout.row)
        many = max(m, min(256, MOST // size)) if free else m
        if free and tried(function, replace(layout, m=many)).error:
            many = max(m, many // 6 * 6)  # 2 or 3 rows may be one sample
        total = 2048 if size <= 256 else min(512, max(64, 8 * MOST // size))
        seeds = range(max(2, total // many))
        self.segments = [Call(function, layout, BENT, layout.segments(many), number) for number in seeds]
        self.again = Call(function, layout, BENT, layout.segments(many), None)
        x, x_fake = layout.segments(many)
        self.moved = Call(function, layout, BENT, (x, x_fake + 1))
        self.repeated = [Call(function, layout, probe, self.usual[0].batch) for probe in PROBES[:4]]


def eps_of(points: Tensor, x: Tensor, x_fake: Tensor) -> Tensor:
    """The eps of each row that puts it nearest to its own segment, shape (n,).

    >>> eps_of(torch.tensor([[1.0, 0.0]]), torch.tensor([[4.0, 0.0]]), torch.zeros(1, 2))
    tensor([0.2500])
    """
    if points.shape != x.shape:
        return torch.ones(len(points), dtype=points.dtype)
    along = (x - x_fake).flatten(1).to(points.dtype)
    return ((points - x_fake).flatten(1) * along).sum(1) / along.square().sum(1)


def tried(function: Penalty, layout: Layout) -> Call:
    """One call on such data."""
    return Call(function, layout, PROBES[0], layout.segments(layout.m))


def side_effects(critic: Probe, before: Parts) -> tuple[dict[str, str], list[str]]:
    """What a call changed, by name, given each part with its old numbers and flag, put back; and notes."""
    effects, notes = {}, []
    if not critic.training:
        effects["switches-mode"] = "the critic's training flag was True and is False"
    for name, weight in critic.named_parameters():
        if weight.grad is None or not bool((weight.grad == GRAD).all()):
            effects["writes-grad"] = f"the field .grad of the critic's '{name}' was changed by the call"
    for name, part, old, flag in before:
        kind = "changes-batch" if name in ("x", "x_fake") else "changes-critic"
        if not torch.equal(part.detach(), old):
            effects[kind] = f"'{name}' has other numbers after the call"
        elif part.requires_grad != flag and kind == "changes-critic":
            effects[kind] = f"requires_grad of '{name}' was {flag} and is {not flag}"
            part.requires_grad_(flag)
        elif part.requires_grad != flag:
            notes.append(f"it leaves the caller's {name} with requires_grad {not flag}, which was {flag}")
    return effects, notes


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


def fits(m: int, row: Row, most: float = MOST) -> bool:
    """Whether a batch is small, and its size no side of a row."""
    return m > 1 and m not in row and m * math.prod(row) <= most


def shapes(kind: str, stage: int, errors: str) -> list[Shape]:
    """What is tried: the usual shape, unusual ones, and those that stand in the text of errors or in part.

    >>> shapes("pictures", 2, "shape '[6, 16, 128, 128]' is invalid for input of size 30")[0]
    (6, (16, 128, 128))
    >>> shapes("rows", 2, "size of tensor a (5) must match that of b (40)")
    [(40, (5,)), (6, (40,))]

    A batch size is never a side of a picture, along which an eps of shape (m, 1) would be broadcast. An eps
    of shape (m, 1, 1, 1) is, on rows, into m times as many numbers: so none of many.
    """
    usual, *rows = ROWS[kind]
    unusual = [*((m, usual) for m in BATCHES[1:]), *((m, row) for m in BATCHES[:5] for row in rows)]
    if stage < 2:
        fitting = (pair for pair in unusual if fits(*pair, 4e5 / (pair[0] if kind == "rows" else 1)))
        return [*fitting] if stage else [(BATCH, usual)]
    errors = re.sub(r"expected \d+|was handed[^)]*\)[^)]*\)", "", errors.replace("[-1,", f"[{BATCH},"))
    lists = (map(int, text.split(", ")) for text in re.findall(r"[\[(](\d+(?:, \d+)+)[\])]", errors))
    pairs = [(n, tuple(row)) for m, *row in lists for n in (BATCH, m) if len(row) == len(usual)]
    often = Counter(map(int, re.findall(r"\b[1-9]\d{0,4}\b", errors))).most_common(12)
    numbers = [n for n, _ in often if n not in (BATCH, *usual)][:4]
    pairs += [(n, usual) for n in numbers]
    pairs += [(BATCH, row) for row in itertools.product(*([size, *numbers] for size in usual))]
    return [pair for pair in dict.fromkeys(pairs) if pair not in ((BATCH, usual), *unusual) and fits(*pair)]


def template(error: str) -> str:
    """An error's text without its numbers.

    >>> template("RuntimeError: size 6 is not 64")
    'RuntimeError: size # is not #'
    """
    return re.sub(r"\d+", "#", error)


def find(function: Penalty, kind: str, pairs: list[Shape]) -> tuple[Layout | None, list[Call]]:
    """The first layout of that kind with one of the shapes that the function takes, and the calls tried."""
    calls, troubles = [], set()
    for pair in pairs:
        for each in KINDS:
            layout = Layout(kind, *pair, *each)
            calls.append(tried(function, layout))
            if not calls[-1].error:
                return layout, calls
            if each == KINDS[0] and (trouble := template(calls[-1].error)) in troubles:
                break  # as before: dtype and scores are not the reason
            troubles.add(trouble)
    return None, calls


def layouts(function: Penalty, shape: Row | None, batch: int | None) -> tuple[dict, dict[str, Call]]:
    """Of each kind of data the layout that is taken, with the error on the usual one; and the calls refused.

    Unusual shapes are tried where no usual one is taken, and then the numbers in the text of errors.
    """
    taken, refused, errors = {}, {}, ""
    for stage in range(1 if shape or batch else 3):
        said = errors
        for kind in [OF_AXES[len(shape)]] if shape else ROWS:
            if kind == "sequences" and sum(layout.usual for layout, _ in taken.values()) == 2:
                break  # it takes rows and pictures of any size, so it does not count axes
            pairs = shapes(kind, stage, said)
            if shape or batch:
                pairs = [*itertools.product([batch] if batch else BATCHES, [shape] if shape else ROWS[kind])]
            layout, tries = find(function, kind, pairs)
            errors += " ".join({call.error for call in tries})
            first = refused.setdefault(kind, tries[0]) if tries else refused[kind]
            if layout:
                taken[kind] = layout, first.error
        if taken:
            break
    return taken, {kind: call for kind, call in refused.items() if kind not in taken}


def other_channels(layout: Layout) -> Layout:
    """Pictures of the same size with 1 channel, or with 3 instead of 1.

    >>> other_channels(Layout("pictures", 6, (3, 4, 5))).row
    (1, 4, 5)
    """
    channels, *size = layout.row
    return replace(layout, row=(3 if channels == 1 else 1, *size))


def fixed(function: Penalty, layout: Layout, first: str) -> dict[str, str]:
    """What the function is tied to: channels, batch size or size of a row; name -> what was seen."""
    found, usual = {}, ROWS[layout.kind][0]
    said = f"it takes {layout}, but not {(BATCH, *usual)}: {first}"
    if layout.m != BATCH:
        found["fixed-batch"] = said
    if layout.row[-1] != usual[-1] or (layout.kind == "sequences" and not layout.usual):
        found["fixed-size"] = said
    if layout.kind in ("pictures", "volumes"):
        other = other_channels(layout)
        if error := tried(function, other).error:
            found["fixed-channels"] = f"it takes {layout}, but not {(layout.m, *other.row)}: {error}"
    return found


def layout_notes(function: Penalty, layout: Layout) -> list[str]:
    """What is no bug in the function but good to know."""
    said = [NOTES[key] for key in map(str, (layout.dtype, layout.scores, layout.carrier)) if key in NOTES]
    if layout.m == BATCH and (error := tried(function, replace(layout, m=1)).error):
        said.append(f"a batch of one row raises {error}")
    if "scale" in getattr(getattr(function, "__code__", None), "co_names", ()) and layout.kind == "rows":
        said.append(NOTES["scaler"])
    return [f"{layout.kind}: {each}" for each in (*said, *tried(function, layout).notes)]


def broadcast_notes(function: Penalty, refused: dict[str, Call]) -> list[str]:
    """A note if the function refuses pictures, but not those of height or width m."""
    row = ROWS["pictures"][0]
    square = [Layout("pictures", m, row) for m in row[1:]] if "pictures" in refused else []
    return [NOTES["broadcast"]] * any(not tried(function, layout).error for layout in square)
