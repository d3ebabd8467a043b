"""The examination behind ``audit``: observe, explain, derive the findings, report.

``calls`` asks the function with probe critics on the layouts that it takes and writes down what it gave;
``explanation`` looks for the one of the ``formulas`` that gives these numbers and derives what is wrong, the
law of eps included. Each step takes records and returns records.
"""

import contextlib
import inspect
import itertools
import math

from torch import nn

from ...errors import InputError
from . import calls
from .calls import BATCH, BATCHES, MOST, OF_AXES, ROWS, Call, Layout, Observed, Penalty, Row
from .critics import examine_critic
from .explanation import Explanation, derive, diagnose_points, explain
from .probes import undisturbed
from .report import DEPARTURES, Finding, Report
from .wrappers import refuse

__all__ = ["audit"]


def audit(
    gradient_penalty: Penalty,
    *,
    critic: nn.Module | None = None,
    shape: Row | None = None,
    batch: int | None = None,
) -> Report:
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
        raise InputError(
            f"audit needs a function gradient_penalty(critic, x, x_fake), "
            f"got {type(gradient_penalty).__name__}. Hand over the function, not what it returned."
        )
    if critic is not None and not isinstance(critic, nn.Module):
        raise InputError(f"audit needs an nn.Module as critic, got {type(critic).__name__}.")
    size = math.prod(shape or (1,)) * (batch or 1)
    if (shape and len(shape) not in OF_AXES) or not 0 < size <= MOST:
        rule = f"audit needs a shape of 1 to 4 sizes and at most {MOST} numbers in a batch"
        raise InputError(f"{rule}, got {shape} and {batch} rows. Leave out what is not fixed.")


def examine(function: Penalty, layout: Layout) -> tuple[dict[str, str], list[str], Explanation | None]:
    """What one layout shows: of each bug what was seen first (name -> seen), notes, and what explains them."""
    observed = Observed(function, layout)
    explanation, notes = explain(observed), []
    findings: dict[str, str] = {}
    for name, seen in derive(observed, explanation):
        findings.setdefault(name, seen)
    graph = observed.answered and observed.answered[0].value.requires_grad
    if "writes-grad" in findings and not graph and not findings.keys() & {"no-graph", "wrong-weight-gradient"}:
        del findings["writes-grad"]
        notes.append("it calls backward() by itself and adds its gradient to .grad; call none on what it gives")
    if "foreign-units" in findings:
        findings.pop("wrong-target")
    for name, parts in DEPARTURES.items():
        if findings.keys() >= set(parts):
            findings = {name: findings[parts[-1]]} | {k: v for k, v in findings.items() if k not in parts}
    return findings, notes, explanation


def judge(
    function: Penalty, shape: Row | None, batch: int | None
) -> tuple[dict[str, str], list[str], tuple[float | None, bool | None]]:
    """Bugs (name -> seen), notes, and the weight and side, each None if it could not be found."""
    try:
        with contextlib.suppress(ValueError):  # a builtin without a signature
            inspect.signature(function).bind(None, None, None)
    except TypeError as error:
        refuse(function, str(error))
        raise InputError(f"audit calls the function with (critic, x, x_fake) alone, but: {error}.") from error
    taken, refused = layouts(function, shape, batch)
    found, notes, explanations = {}, [], []
    if not taken:
        refuse(function, " ".join(call.error for call in refused.values()))
        return {"raises": told(refused)}, notes, (None, None)
    home = any(layout.usual for layout, _ in taken.values())
    for kind, (layout, error) in taken.items():
        if home and spread(function, layout):
            notes.append(f"{kind}: it does run on {layout}, by broadcasting, and is wrong there")
            continue
        bugs, said, explanation = examine(function, layout)
        if kind == "volumes" and explanation and explanation.formula and explanation.formula.axes == (1, 2, 3):
            notes.append("volumes: it does run, but its norm is that of pictures")
            continue
        if not (shape or batch):
            bugs = calls.fixed(function, layout, error) | bugs
        notes += [*calls.layout_notes(function, layout), *(f"{kind}: {each}" for each in said)]
        explanations.append(explanation)
        if layout.carrier == "x_fake":
            bugs["needs-attached-fakes"] = f"{layout} are taken if x_fake hangs on a graph; else {error}"
        found = bugs | found
        if kind == "pictures" and not (found or shape):  # a bug may show with another number of channels alone
            found, _, explanation = examine(function, calls.other_channels(layout))
            explanations.append(explanation)
    notes += [f"{kind}: not taken ({refused[kind].error})" for kind in ("rows", "pictures") if kind in refused]
    if "pictures" in refused and "rows" in taken:
        notes += calls.broadcast_notes(function)
    known = [each for each in explanations if each and each.formula]
    for each in [] if found else known[1:]:
        (weight, side), (first, first_side) = each.weight_and_side, known[0].weight_and_side
        if side != first_side or not math.isclose(weight, first, rel_tol=1e-3):
            found["unknown"] = f"{known[0]}, {each}: two different penalties"
    return found, notes, known[0].weight_and_side if known else (None, None)


def layouts(
    function: Penalty, shape: Row | None, batch: int | None
) -> tuple[dict[str, tuple[Layout, str]], dict[str, Call]]:
    """Of each kind of data the layout that is taken, with the error on the usual one; and the calls refused.

    Unusual shapes are tried where no usual one is taken, and then the numbers in the text of errors.
    """
    usual = [lambda kind, _: [(BATCH, ROWS[kind][0])], lambda kind, _: sum(calls.unusual_shapes(kind), [])]
    own = lambda kind, _: [*itertools.product([batch] if batch else BATCHES, [shape] if shape else ROWS[kind])]
    stages = [own] if shape or batch else [*usual, calls.shapes_in, calls.shapes_with]
    taken, refused, errors = {}, {}, ""
    for stage in stages:
        said = errors
        for kind in [OF_AXES[len(shape)]] if shape else ROWS:
            if kind == "sequences" and sum(layout.usual for layout, _ in taken.values()) == 2:
                break  # it takes rows and pictures of any size, so it does not count axes
            layout, asked = calls.find(function, kind, stage(kind, said))
            errors += " ".join({call.error for call in asked})
            first = refused.setdefault(kind, asked[0]) if asked else refused[kind]
            if layout:
                taken[kind] = layout, first.error
        if taken:
            break
    return taken, {kind: call for kind, call in refused.items() if kind not in taken}


def spread(function: Penalty, layout: Layout) -> bool:
    """Whether a layout that is not the usual one is taken because eps is broadcast over it."""
    call = calls.tried(function, layout)
    if layout.usual or not call.probe.points:
        return False
    return bool({"batch-eps", "pixel-eps", "constant-eps"} & {*diagnose_points(call.blocks[-1:])})


def told(refused: dict[str, Call]) -> str:
    """The errors with the kinds of data that raise them, where the function came farthest first."""
    kinds: dict[str, list[str]] = {}
    for kind, call in sorted(refused.items(), key=lambda item: item[1].reached, reverse=True):
        kinds.setdefault(call.error, []).append(kind)
    return "; ".join(f"on {' and '.join(names)}: {error}" for error, names in kinds.items())
