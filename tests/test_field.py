"""``audit`` at first contact with the field's habits: penalties, and what can only be judged in a wrapper."""

import re

import pytest
import torch

from tests import field_refusals
from tests.field_refusals import REFUSALS
from tests.field_steps import OF_GLOBALS, RIGHT, SLIPS, one_fake, slip
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


def test_a_step_whose_players_are_globals_gets_lines_that_work():
    space = {}
    exec(OF_GLOBALS, space)
    before = {**space}
    with pytest.raises(InputError, match="takes 1 positional argument but 4 were given") as refusal:
        audit_step(space["train_step"])
    assert space == before
    wrapper = str(refusal.value).partition("\n\n")[2]
    assert "global gen, disc, g_opt, d_opt\n" in wrapper
    exec(wrapper, space)
    report = audit_step(space["audited_step"])
    assert report.ok, report
    assert "cccccgcccccg" in report.notes[0]
    exec(OF_GLOBALS.replace("d_opt = ", "third = d_opt = "), space)
    with pytest.raises(InputError, match=r"shows how, for players that are globals\.\)$"):
        audit_step(space["train_step"])


@pytest.mark.parametrize("first", ["critic", "generator"])
def test_one_fake_for_both_players_is_a_note_where_each_has_one_update(first):
    """The usual loops of a GAN; with noise that is always the same, or after five updates, it is a slip."""
    report = audit_step(one_fake(first), 1)
    assert "reused-noise" not in report.names
    assert report.ok == (first == "critic")
    assert "learn from the same fakes" in report.notes[1]
    always = audit_step(one_fake(first, torch.randn(8, 2)), 1)
    assert "reused-noise" in always.names
    assert len(always.notes) == 1


def test_a_penalty_that_fails_on_the_shape_asked_for_is_told_so():
    """There is nothing to wrap where a function runs as it is on data of another shape."""

    def rows_alone(critic, x, x_fake):
        eps = torch.rand(len(x), 1).expand(x.shape)
        x_hat = (eps * x + (1 - eps) * x_fake).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
        return 10 * (gradient.norm(2, dim=1) - 1).square().mean()

    report = audit(rows_alone, shape=(1, 28, 28))
    assert report.names == ("raises",)
    assert report.notes[0].startswith("pictures: it does run, and gives a wrong number")
    assert audit(rows_alone).headline().startswith("ok, but not on pictures: no known bug.")


def test_each_slip_of_a_step_has_words():
    assert all(
        finding(name, seen).effect and finding(name, seen).remedy
        for name, seen in WORDS["seen"].items()
        if name != "shared-noise"  # a note
    )
    assert finding("switches-mode", "").remedy == "call train() again before the step returns"
    assert finding("no-gradient", "").entry is None
