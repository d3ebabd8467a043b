"""The examination behind ``audit``: observe, explain, derive the findings, report.

``calls`` asks the function with probe critics on the layouts that it takes and writes down what it gave;
``explanation`` looks for the one of the ``formulas`` that gives these numbers and derives what is wrong, the
law of eps included. Each step takes records and returns records.
"""

import contextlib
import inspect
import math

from torch import nn

from ...errors import InputError
from . import calls
from .calls import MOST, OF_AXES, Call, Layout, Observed, Penalty, Row
from .critics import examine_critic
from .explanation import Explanation, derive, explain
from .probes import undisturbed
from .report import KNOWN_BY, Finding, Report
from .wrappers import refuse

__all__ = ["audit"]

Net, Of, Size = nn.Module | None, Row | None, int | None


def audit(gradient_penalty: Penalty, *, critic: Net = None, shape: Of = None, batch: Size = None) -> Report:
    """Which known bugs a function ``gradient_penalty(critic, x, x_fake) -> number`` has.

    The function is called with probe critics of known slopes, on rows (m, d), pictures (m, C, H, W),
    sequences (m, T, F) and volumes (m, C, D, H, W), or on rows of that ``shape`` and in batches of ``batch``
    alone. They remember the points at which they were asked, so each number is compared with
    the right formula and with the wrong ones exactly; only the law of eps needs statistics, with
    false alarms below 1e-9. Two-sided and one-sided penalties of any weight are right. With
    ``critic`` that critic too is examined: rows must not influence each other.

    What is found is a ``Report``. No bug found is no proof: it means that the value, its
    gradient in the weights, the points and the side effects are right on the probes. Exceptions of
    the function become findings or notes. Random states are restored. Less than a second for most.
    Raises ``InputError`` for what cannot be called, or takes other arguments or another kind of critic: the
    error then ends in a function to audit instead, ready to paste.

    >>> import torch
    >>> from wganlab.constraints import GradientPenalty
    >>> right = GradientPenalty(10.0).penalty
    >>> print(audit(lambda critic, x, x_fake: right(critic, x, x_fake, torch.rand(len(x)))))
    ok: no known bug. The penalty is 10 * mean((slope - 1)^2), two-sided.
    >>> audit(lambda critic, x, x_fake: right(critic, x, x_fake, torch.randn(len(x)))).names
    ('normal-eps',)
    """
    check_arguments(gradient_penalty, critic, shape, batch)
    with undisturbed():
        found, notes, weight_and_side = judge(gradient_penalty, shape, batch)
        if critic is not None:
            bugs, said = examine_critic(critic)
            found, notes = found | bugs, [*notes, *said]
    return Report(tuple(Finding.of(*item) for item in found.items()), tuple(notes), *weight_and_side)


def check_arguments(gradient_penalty: object, critic: object, shape: object, batch: object) -> None:
    """Raise ``InputError`` for what cannot be called, for what is no critic, and for an impossible batch."""
    if not callable(gradient_penalty):
        found = f"a function gradient_penalty(critic, x, x_fake), got {type(gradient_penalty).__name__}"
        raise InputError(f"audit needs {found}. Hand over the function, not what it returned.")
    if critic is not None and not isinstance(critic, nn.Module):
        raise InputError(f"audit needs an nn.Module as critic, got {type(critic).__name__}.")
    size = math.prod(shape or (1,)) * (batch or 1)
    if (shape and len(shape) not in OF_AXES) or not 0 < size <= MOST:
        rule = f"audit needs a shape of 1 to 4 sizes and at most {MOST} numbers in a batch"
        raise InputError(f"{rule}, got {shape} and {batch} rows. Leave out what is not fixed.")


def examine(function: Penalty, layout: Layout) -> tuple[dict[str, str], list[str], Explanation | None]:
    """What one layout shows: of each bug what was seen first (name -> seen), notes, and the explanation."""
    observed = Observed(function, layout)
    explanation, notes = explain(observed), []
    found: dict[str, str] = {}
    for name, seen in derive(observed, explanation):
        found.setdefault(name, seen)
    graph = observed.answered and observed.answered[0].value.requires_grad
    if "writes-grad" in found and not (graph or {"no-graph", "wrong-weight-gradient"} & found.keys()):
        del found["writes-grad"]
        notes.append(f"{layout.kind}: it calls backward() by itself, into .grad; call none on what it gives")
    for name, parts in KNOWN_BY.items():
        if found.keys() >= set(parts):
            found = {name: found[parts[-1]]} | {key: said for key, said in found.items() if key not in parts}
    return found, notes, explanation


def judge(function: Penalty, shape: Of, batch: Size) -> tuple[dict[str, str], list[str], tuple]:
    """Bugs (name -> seen), notes, and the weight and side, each None if it could not be found."""
    try:
        with contextlib.suppress(ValueError):  # a builtin without a signature
            inspect.signature(function).bind(None, None, None)
    except TypeError as error:
        refuse(function, str(error))
        raise InputError(f"audit calls the function with (critic, x, x_fake) alone, but: {error}.") from error
    taken, refused = calls.layouts(function, shape, batch)
    if not taken:
        refuse(function, " ".join(call.error for call in refused.values()))
        return {"raises": told(refused)}, calls.broadcast_notes(function, refused), (None, None)
    found, notes, explanations = {}, [], []
    for kind, (layout, error) in taken.items():
        bugs, said, explanation = examine(function, layout)
        usual = any(other.usual for other, _ in taken.values())
        broadcast = usual and not layout.usual and bugs.keys() & {"batch-eps", "pixel-eps"}
        formula = explanation and explanation.formula
        if broadcast or (kind == "volumes" and formula and formula.axes == (1, 2, 3)):
            notes.append(f"{layout}: it does run, and is wrong there: {', '.join(bugs)}")
            continue
        notes += [*calls.layout_notes(function, layout), *said]
        explanations.append(explanation)
        if not (shape or batch):
            bugs = calls.fixed(function, layout, error) | bugs
        if layout.carrier == "x_fake":
            bugs["needs-attached-fakes"] = f"{layout} are taken if x_fake hangs on a graph; else {error}"
        found = bugs | found
        if kind == "pictures" and not (found or shape):  # a bug may show with other channels alone
            found, _, explanation = examine(function, calls.other_channels(layout))
            explanations.append(explanation)
    notes += [f"{k}: not taken ({refused[k].error})" for k in ("rows", "pictures") if k in refused]
    notes += calls.broadcast_notes(function, refused)
    if "unknown" in found:  # a critic that gives one score a row may be the reason
        usual = next(layout for layout, _ in taken.values())
        refuse(function, "", lambda wrapped: not examine(wrapped, usual)[0])
    known = [each for each in explanations if each and each.formula]
    for each in [] if found else known[1:]:
        (weight, side), (first, first_side) = each.weight_and_side, known[0].weight_and_side
        if side != first_side or not math.isclose(weight, first, rel_tol=1e-3):
            found["unknown"] = f"{known[0]}, {each}: two different penalties"
    return found, notes, known[0].weight_and_side if known else (None, None)


def told(refused: dict[str, Call]) -> str:
    """The errors with the kinds of data that raise them, where the function came farthest first."""
    kinds: dict[str, list[str]] = {}
    for kind, call in sorted(refused.items(), key=lambda item: item[1].reached, reverse=True):
        kinds.setdefault(call.error, []).append(kind)
    return "; ".join(f"on {' and '.join(names)}: {error}" for error, names in kinds.items())
