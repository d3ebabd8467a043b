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
from .calls import ROWS, Layout, Observed, Penalty, broadcast_notes, find, fixed, layout_notes, other_channels
from .critics import examine_critic
from .explanation import Explanation, derive, explain
from .probes import undisturbed
from .report import Finding, Report

__all__ = ["audit"]


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

    >>> import torch
    >>> from wganlab.constraints import GradientPenalty
    >>> right = GradientPenalty(10.0).penalty
    >>> print(audit(lambda critic, x, x_fake: right(critic, x, x_fake, torch.rand(len(x)))))
    ok: no known bug. The penalty is 10 * mean((slope - 1)^2), two-sided.
    >>> audit(lambda critic, x, x_fake: right(critic, x, x_fake, torch.randn(len(x)))).names
    ('normal-eps',)
    """
    check_arguments(gradient_penalty, critic)
    with undisturbed():
        found, notes, weight_and_side = judge(gradient_penalty)
        if critic is not None:
            bugs, said = examine_critic(critic)
            found, notes = found | bugs, [*notes, *said]
    return Report(tuple(Finding.of(*item) for item in found.items()), tuple(notes), *weight_and_side)


def check_arguments(gradient_penalty: object, critic: object) -> None:
    """Raise ``InputError`` for what cannot be called with (critic, x, x_fake), and for what is no critic."""
    if not callable(gradient_penalty):
        raise InputError(
            f"audit needs a function gradient_penalty(critic, x, x_fake), "
            f"got {type(gradient_penalty).__name__}. Hand over the function, not what it returned."
        )
    try:
        with contextlib.suppress(ValueError):  # a builtin without a signature
            inspect.signature(gradient_penalty).bind(None, None, None)
    except TypeError as error:
        raise InputError(
            f"audit calls the function with (critic, x, x_fake) alone, but: {error}. "
            f"Wrap it: lambda critic, x, x_fake: yours(critic, x, x_fake, ...)."
        ) from error
    if critic is not None and not isinstance(critic, nn.Module):
        raise InputError(f"audit needs an nn.Module as critic, got {type(critic).__name__}.")


def examine(function: Penalty, layout: Layout) -> tuple[dict[str, str], Explanation | None]:
    """What one layout shows: of each bug what was seen first (name -> seen), and what explains them."""
    observed = Observed(function, layout)
    explanation = explain(observed)
    findings: dict[str, str] = {}
    for name, seen in derive(observed, explanation):
        findings.setdefault(name, seen)
    return findings, explanation


def judge(function: Penalty) -> tuple[dict[str, str], list[str], tuple[float | None, bool | None]]:
    """Bugs (name -> seen), notes, and the weight and side, each None if it could not be found."""
    found, notes, explanations, refused = {}, [], [], {}
    for kind in ROWS:
        layout, error = find(function, kind)
        if layout is None:
            refused[kind] = error
            continue
        notes += layout_notes(function, layout)
        bugs, explanation = examine(function, layout)
        explanations.append(explanation)
        found = fixed(function, layout, error) | bugs | found
        if kind == "pictures" and not found:  # a bug may show with another number of channels alone
            found, explanation = examine(function, other_channels(layout))
            explanations.append(explanation)
    if not explanations:
        return {"raises": f"on {' and '.join(refused)}: {refused['rows']}"}, notes, (None, None)
    notes += [f"{kind}: not taken ({error})" for kind, error in refused.items()]
    if "pictures" in refused:
        notes += broadcast_notes(function)
    known = [each for each in explanations if each and each.formula]
    for each in [] if found else known[1:]:
        (weight, side), (first, first_side) = each.weight_and_side, known[0].weight_and_side
        if side != first_side or not math.isclose(weight, first, rel_tol=1e-3):
            found["unknown"] = f"{known[0]}, {each}: two different penalties"
    return found, notes, known[0].weight_and_side if known else (None, None)
