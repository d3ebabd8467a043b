"""``audit``: which of the known bugs has this gradient penalty?"""

import inspect
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...errors import InputError
from .critics import examine as examine_critic
from .formulas import Case, Formula, explain
from .layouts import BATCHES, ROWS, Layout, find, fixed, remarks, traps
from .points import ends, place, read
from .probes import Answer, Penalty, Probe, call, undisturbed
from .report import Finding, Report

# label, slope of the linear part, bend: the probe critics whose values are compared
PROBES = [
    ("slope 5 in every row", 5.0, 0.0),
    ("slope 1/2 in every row", 0.5, 0.0),
    ("slope 1 in every row", 1.0, 0.0),
    ("slope 20 in every row", 20.0, 0.0),
    ("a slope of its own in each row", 0.0, 1.0),
    ("slopes that turn along the segment", 0.7, 0.8),
]
OTHER_BATCH = 11


def audit(gradient_penalty: Penalty, *, critic: nn.Module | None = None) -> Report:
    """Which known bugs a function ``gradient_penalty(critic, x, x_fake) -> number`` has.

    The function is called with probe critics of known slopes, on rows (m, d) and on pictures
    (m, C, H, W). They remember the points at which they were asked, so each number is compared with
    the right formula and with the wrong ones exactly; only the law of eps needs statistics, with
    false alarms below 1e-9. Two-sided and one-sided penalties of any weight are right. With
    ``critic`` that critic too is examined: rows must not influence each other.

    What is found is a ``Report``. No bug found is no proof: it means that the value, its
    gradient in the weights, the points and the side effects are right on the probes. Exceptions of
    the function become findings or notes. Random states are restored. Less than a second for most.
    Raises ``InputError`` for what cannot be called.

    >>> from wganlab.constraints import GradientPenalty
    >>> right = GradientPenalty(10.0).penalty
    >>> print(audit(lambda critic, x, x_fake: right(critic, x, x_fake, torch.rand(len(x)))))
    ok: no known bug. The penalty is 10 * mean((slope - 1)^2), two-sided.
    >>> audit(lambda critic, x, x_fake: right(critic, x, x_fake, torch.randn(len(x)))).names
    ('normal-eps',)
    """
    if not callable(gradient_penalty):
        raise InputError(
            f"audit needs a function gradient_penalty(critic, x, x_fake), "
            f"got {type(gradient_penalty).__name__}. Hand over the function, not what it returned."
        )
    try:
        inspect.signature(gradient_penalty).bind(None, None, None)
    except ValueError:  # a builtin without a signature
        pass
    except TypeError as error:
        raise InputError(
            f"audit calls the function with (critic, x, x_fake) alone, but: {error}. "
            f"Wrap it: lambda critic, x, x_fake: yours(critic, x, x_fake, ...)."
        ) from error
    if critic is not None and not isinstance(critic, nn.Module):
        raise InputError(f"audit needs an nn.Module as critic, got {type(critic).__name__}.")
    with undisturbed():
        found, notes, law = judge(gradient_penalty)
        if critic is not None:
            bugs, said = examine_critic(critic)
            found, notes = found | bugs, [*notes, *said]
    return Report(tuple(Finding.of(*item) for item in found.items()), tuple(notes), *law)


def judge(function: Penalty) -> tuple[dict[str, str], list[str], tuple[float | None, bool | None]]:
    """Bugs (name -> seen), notes, and the weight and side, each None if it could not be found."""
    found: dict[str, str] = {}
    notes, trials, refused = [], [], {}
    for kind in ROWS:
        layout, error = find(function, kind)
        if layout is None:
            refused[kind] = error
            continue
        notes += remarks(function, layout)
        tied = fixed(function, layout, error)
        trials.append(Trial(function, layout))
        found = tied | trials[-1].run() | found
        if kind == "pictures" and not found:  # a bug may show with another number of channels alone
            trials.append(Trial(function, layout.other_channels()))
            found = trials[-1].run() | found
    if len(refused) == len(ROWS):
        return {"raises": f"on {' and '.join(refused)}: {refused['rows']}"}, notes, (None, None)
    notes += [f"{kind}: not taken ({error})" for kind, error in refused.items()]
    if "pictures" in refused:
        notes += traps(function)
    known = [trial for trial in trials if trial.law]
    for trial in [] if found else known[1:]:
        if trial.law[1] != known[0].law[1] or not math.isclose(trial.law[0], known[0].law[0], rel_tol=1e-3):
            found["unknown"] = f"{known[0].summary()}, {trial.summary()}: two different penalties"
    return found, notes, known[0].law if known else (None, None)


class Asked(NamedTuple):
    """One probe, what the function answered, and the label of the probe for a reader."""

    label: str
    probe: Probe
    answer: Answer
    value: Tensor
    x: Tensor
    x_fake: Tensor


class Failure(Exception):
    """The function raised, or gave something that is no number; ends a trial."""


class Trial:
    """One function on one layout: ``run`` collects the bugs, ``law`` is its weight and side."""

    def __init__(self, function: Penalty, layout: Layout):
        self.function, self.layout = function, layout
        self.found: dict[str, str] = {}
        self.law: tuple[float, bool] | None = None
        self.choice: int | None = None  # which of the critic's calls holds the points; None: all

    def summary(self) -> str:
        """Weight, side and layout in words."""
        weight, one_sided = self.law
        return f"weight {weight:g}, {'one' if one_sided else 'two'}-sided, on {self.layout}"

    def run(self) -> dict[str, str]:
        """Value, gradient in the weights, dead critic, eps: name -> what was seen."""
        try:
            asked = self.ask_probes()
            if self.values_are_finite(asked):
                formula = self.explain_values(asked)
                self.check_weight_gradient(asked, formula)
                self.ask_dead_critic()
            if self.law or len(asked[0].answer.points) == 1:  # else no one knows which points count
                self.read_eps()
        except Failure as failure:
            self.found.setdefault("raises", f"{self.layout}: {failure}")
        return self.found

    def ask(self, label: str, slope: float, bend: float, x: Tensor, x_fake: Tensor, seed: int = 0) -> Asked:
        """One call; side effects are noted at once."""
        probe = Probe(self.layout.row, slope, bend, self.layout.scores)
        answer = call(self.function, probe, x, x_fake, seed)
        if answer.error:
            raise Failure(f"{label}: {answer.error}")
        for name, seen in answer.effects.items():
            self.found.setdefault(name, seen)
        return Asked(label, probe, answer, self.number(answer.value), x, x_fake)

    def number(self, value: object) -> Tensor:
        """The value as a tensor of shape (); other kinds of answers are noted."""
        if isinstance(value, Tensor) and (value.is_complex() or value.dtype == torch.bool):
            raise Failure(f"the answer has the type {value.dtype}")
        if isinstance(value, Tensor) and (value.is_meta or value.layout != torch.strided):
            raise Failure(f"the answer is a tensor on {value.device} with the layout {value.layout}")
        if isinstance(value, Tensor) and value.numel() > 1:
            self.found.setdefault("no-mean", f"the answer has shape {tuple(value.shape)}, not ()")
            return value.mean() if value.is_floating_point() else value.double().mean()
        if isinstance(value, Tensor) and value.numel() == 1:
            return value.reshape(())
        try:
            return torch.tensor(float(value))
        except (TypeError, ValueError) as error:
            raise Failure(f"the answer is no number but of type {type(value).__name__}") from error

    def batch(self, m: int, rng: torch.Generator) -> Tensor:
        """m random rows of very different lengths."""
        row = self.layout.row
        x = torch.randn(m, *row, generator=rng, dtype=torch.float64) / math.sqrt(math.prod(row))
        length = torch.linspace(0.3, 4.0, m, dtype=torch.float64)
        return (x * length.view(-1, *[1] * len(row))).to(self.layout.dtype)

    def ask_probes(self) -> list[Asked]:
        """All probes on the layout's batch and, if the function takes it, on one of another size."""
        rng = torch.Generator().manual_seed(0)
        asked = []
        for label, slope, bend in PROBES:
            asked.append(
                self.ask(label, slope, bend, self.batch(self.layout.m, rng), self.batch(self.layout.m, rng))
            )
        for label, slope, bend in (PROBES[0], PROBES[-1]):
            if "fixed-batch" in self.found or self.layout.m != BATCHES[0]:
                break
            x, x_fake = self.batch(OTHER_BATCH, rng), self.batch(OTHER_BATCH, rng)
            try:
                asked.append(self.ask(label, slope, bend, x, x_fake))
            except Failure as failure:
                self.found["fixed-batch"] = f"it takes {self.layout}, but not {OTHER_BATCH} rows: {failure}"
        return asked

    def values_are_finite(self, asked: Sequence[Asked]) -> bool:
        for each in asked:
            if not torch.isfinite(each.value):
                self.found["not-finite"] = f"{self.describe(each)} costs {each.value.item()}"
                return False
        return True

    def describe(self, each: Asked) -> str:
        shape = (len(each.x), *self.layout.row)
        return f"a critic with {each.label}, on {self.layout.kind} of shape {shape},"

    def blocks(self, each: Asked) -> list[Tensor]:
        """The batches that were asked; one of k times as many rows as x counts as k of them."""
        m = len(each.x)
        pieces = (points.split(m) if len(points) % m == 0 else [points] for points in each.answer.points)
        return [part for piece in pieces for part in piece]

    def points_of(self, each: Asked) -> Tensor:
        """The points of one call that the penalty is about."""
        if not each.answer.points:
            raise Failure("the critic was never asked for a score")
        blocks = self.blocks(each)
        return torch.cat(blocks) if self.choice is None else blocks[self.choice]

    def case(self, each: Asked) -> Case:
        where = self.points_of(each).double()
        eps = place(where, each.x.double(), each.x_fake.double())
        return Case(each.value.item(), each.probe.gradient(where).detach(), eps)

    def explain_values(self, asked: Sequence[Asked]) -> Formula | None:
        """The formula that gives all the numbers; its bugs are noted. None if none does."""
        counts = {len(self.blocks(each)) for each in asked}
        several = max(counts) <= 6 and len(counts) == 1 and len(self.points_of(asked[0])) > 6
        best = None
        for choice in (*(range(counts.pop()) if several else ()), None):
            self.choice = choice
            known = explain([self.case(each) for each in asked])
            if known and (best is None or self.bugs(known[0]) < self.bugs(best[1])):
                best = choice, *known
        if best is None:
            self.choice = None
            self.found["unknown"] = self.riddle(asked)
            return None
        self.choice, formula, weight = best
        self.law = float(f"{abs(weight):.6g}"), formula.one_sided
        self.note_formula(asked, formula, weight)
        return formula

    def bugs(self, formula: Formula) -> int:
        return len(formula.names(1 + len(self.layout.row)))

    def right(self, one_sided: bool) -> Formula:
        axes = tuple(range(1, 1 + len(self.layout.row)))
        return Formula(axes, cost="above squared" if one_sided else "square")

    def note_formula(self, asked: Sequence[Asked], formula: Formula, weight: float) -> None:
        """Note each bug of the formula, with the first number that is wrong."""
        names = [*formula.names(1 + len(self.layout.row)), *(["wrong-sign"] if weight < 0 else [])]
        each, value, right = self.first_far(asked, abs(weight), formula.one_sided)
        seen = f"{self.describe(each)} costs {value:.6g} instead of {right:.6g}"
        if "wrong-target" in names:
            seen += f"; slope {formula.target:.4g} is free"
        for name in names:
            self.found.setdefault(name, seen)

    def first_far(self, asked: Sequence[Asked], weight: float, one_sided: bool) -> tuple[Asked, float, float]:
        """The first probe whose value is off by a hundredth, else the one most off; value and right value."""
        far = []
        for each in asked:
            case = self.case(each)
            right = weight * self.right(one_sided)(case.gradient, case.eps).item()
            off = abs(case.value - right) / (abs(right) + 1e-3 * weight)
            far.append((off, each, case.value, right))
        chosen = next((item for item in far if item[0] > 0.01), max(far, key=lambda item: item[0]))
        return chosen[1:]

    def riddle(self, asked: Sequence[Asked]) -> str:
        """Two numbers that no known formula explains."""
        weight = abs(asked[0].value.item()) / 16 or 1.0
        each, value, right = self.first_far(asked, weight, one_sided=False)
        return (
            f"{self.describe(each)} costs {value:.6g}; the right formula with the weight {weight:.6g}, "
            f"which slope 5 suggests, gives {right:.6g}. None of the known bugs explains it"
        )

    def check_weight_gradient(self, asked: Sequence[Asked], formula: Formula | None) -> None:
        """d penalty / d weights against that of the formula that gives the value."""
        for each in (asked[0], asked[len(PROBES) - 1]):
            weights = [each.probe.weight, each.probe.bend]
            found = gradients(each.value, weights)
            if found is None:
                what = "has no gradient in the critic's weights"
                self.found["no-graph"] = f"the value {each.value.item():.6g} {what}"
                return
            if formula is None:
                continue
            case = self.case(each)
            sign = -1 if "wrong-sign" in self.found else 1
            where = self.points_of(each).double()
            truth = sign * self.law[0] * formula(each.probe.gradient(where), case.eps)
            right = torch.cat([part.flatten() for part in torch.autograd.grad(truth, weights)])
            size = right.norm().item()
            if not (found - right).norm().item() <= 1e-3 * size + 1e-6 * self.law[0]:
                seen = f"{self.describe(each)} costs {case.value:.6g} as it should, but its gradient in the"
                seen += f" weights has length {found.norm().item():.6g} instead of {size:.6g}"
                self.found["wrong-weight-gradient"] = seen
                return

    def ask_dead_critic(self) -> None:
        """A critic of slope 0: its penalty and the gradient in its weights must be finite."""
        x = torch.ones(self.layout.m, *self.layout.row, dtype=self.layout.dtype)
        each = self.ask("slope 0", 0.0, 0.0, x, torch.zeros_like(x))
        found = gradients(each.value, [each.probe.weight, each.probe.bend])
        if not torch.isfinite(each.value):
            self.found.setdefault("nan-at-zero", f"a critic of slope 0 costs {each.value.item()}")
        elif found is not None and not bool(torch.isfinite(found).all()):
            seen = "a critic of slope 0 gets a gradient in its weights that is not finite"
            self.found.setdefault("nan-at-zero", f"{seen} (the value is {each.value.item():.6g})")

    def read_eps(self) -> None:
        """Where on the segments the critic was asked, over several calls with different seeds."""
        row = self.layout.row
        total = 2048 if math.prod(row) <= 256 else 512
        m = 256 if self.layout.m == BATCHES[0] else self.layout.m
        x, x_fake = ends(m, row, self.layout.dtype)
        calls = []
        for number in range(max(2, total // m)):
            each = self.ask("any slope", 1.0, 1.0, x.clone(), x_fake.clone(), seed=number)
            calls.append(self.points_of(each))
        self.found.update(read(calls))


def gradients(value: Tensor, weights: Sequence[Tensor]) -> Tensor | None:
    """d value / d weights as one vector, None if there is no way from one to the other."""
    if not value.requires_grad:
        return None
    try:
        with torch.autograd.set_detect_anomaly(False):
            found = torch.autograd.grad(value, weights, allow_unused=True, retain_graph=True)
    except RuntimeError:  # the function has used up its graph by a backward pass of its own
        return None
    if all(part is None for part in found):
        return None
    return torch.cat([
        (torch.zeros_like(weight) if part is None else part).flatten()
        for part, weight in zip(found, weights, strict=True)
    ])  # fmt: skip
