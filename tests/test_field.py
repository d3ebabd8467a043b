"""``audit`` at first contact with the field's habits: penalties, and what can only be judged in a wrapper."""

import re

import pytest

from tests import field_refusals
from tests.field_refusals import REFUSALS
from tests.field_steps import RIGHT, SLIPS, slip
from tests.field_styles import STYLES
from wganlab.errors import InputError
from wganlab.mistakes import audit, audit_step
from wganlab.mistakes.examination.steps import WORDS, finding


def some(cases, every):
    """One of so many in the tests of every change, the others in the slow ones."""
    return [pytest.param(case, marks=[pytest.mark.slow] * (k % every > 0)) for k, case in enumerate(cases)]


@pytest.mark.parametrize("name", some(STYLES, 7))
def test_a_style_has_its_verdict(name):
    function = STYLES[name]
    report = audit(function)
    verdict = function.__doc__
    assert report.names == (() if verdict == "ok" else (verdict,)), report


@pytest.mark.parametrize("name", some(REFUSALS, 6))
def test_a_refusal_ends_in_a_wrapper_that_works(name):
    """The lines that are shown are pasted below the function, as they are, and ``audited`` is judged."""
    function = REFUSALS[name]
    said = getattr(function, "forward", function).__doc__
    with pytest.raises(InputError) as refusal:
        audit(function)
    sentence, _, wrapper = str(refusal.value).partition("\n\n")
    assert said in sentence
    assert not re.search("[Pp]robe|Layout|Call", str(refusal.value))
    space = dict(vars(field_refusals))
    exec(wrapper, space)
    report = audit(space["audited"])
    assert report.ok, (wrapper, report)
    assert report.weight == 10


@pytest.mark.parametrize(
    "step", some(RIGHT, 6), ids=lambda step: getattr(step, "__name__", type(step).__name__)
)
def test_a_right_step_is_right(step):
    report = audit_step(step)
    assert report.ok, report
    assert "cccccgcccccg" in report.notes[0]


@pytest.mark.parametrize("name", some(SLIPS, 5))
def test_a_slip_of_a_step_is_named(name):
    report = audit_step(slip(name))
    assert set(report.names) in ({name.split(", ")[0]}, set(name.split(", "))), report
    legend, order = report.notes[0].split(": ")
    assert (", s for the critic" in legend) == ("s" in order)
    assert order.endswith("…") == (len(order) > 36)


def test_each_slip_of_a_step_has_words():
    assert all(
        finding(name, seen).effect and finding(name, seen).remedy for name, seen in WORDS["seen"].items()
    )
    assert finding("switches-mode", "").remedy == "call train() again before the step returns"
    assert finding("no-gradient", "").entry is None
