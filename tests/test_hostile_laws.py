"""420 hostile inputs to divergences, metrics, slopes and integrals; and the judge is not fooled by lies."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch
from hostile import error_of, judge, kept_promise
from hostile_cases import LIBRARY, MAKERS, ORDER, case
from hostile_critics import constant_on_the_line, followed, gradients, matrix_norm, spectral_norm
from hostile_exact import exact, mp
from hostile_laws import js_of, kl_of
from torch import nn

from wganlab import divergences, lipschitz, metrics
from wganlab.errors import InputError

INPUTS = 7 * len(ORDER)


def broken(function, kind="valid"):
    """How the library fails on inputs of one function, by outcome; empty if it does not."""
    made = [case(index) for index in range(INPUTS) if ORDER[index % len(ORDER)] == function]
    judged = [(one, judge(one, one.given, LIBRARY[function])) for one in made if one.kind == kind]
    return Counter(verdict.outcome for one, verdict in judged if not kept_promise(one, verdict))


def test_420_inputs_none_refused_none_wrong_none_warned_about_none_changed():
    seen = Counter()
    for index in range(INPUTS):
        made = case(index)
        verdict = judge(made, made.given, LIBRARY[made.function])
        assert kept_promise(made, verdict), (index, made, verdict)
        seen.update([made.function, (made.kind, verdict.outcome)])
    assert set(MAKERS) < set(seen)
    assert seen["valid", "right"] >= 200
    assert seen["faulty", "refused"] >= 130
    assert seen["extreme", "right"] + seen["extreme", "refused"] >= 10
    assert {kind for kind in seen if isinstance(kind, tuple)} <= {
        ("valid", "right"),
        ("faulty", "refused"),
    } | {("extreme", outcome) for outcome in ("right", "refused")}


def test_an_input_depends_on_its_number_only():
    for index in (3, 44, 57):
        assert str(case(index)) == str(case(index))


# The exact answers, where they can be known without any of this


def test_closed_forms_of_the_reference():
    p, q = [Fraction(1, 2)] * 2, [Fraction(1, 4), Fraction(3, 4)]
    assert abs(kl_of(p, q) - mp.log(mp.mpf(4) / 3) / 2) < 1e-45
    assert abs(js_of([Fraction(1), 0], [0, Fraction(1)]) - mp.log(2)) < 1e-45
    assert kl_of(p, [Fraction(1), Fraction(0)]) == mp.inf
    assert float(exact(mp.mpf(0.1) ** 200)) == pytest.approx(1e-200, rel=1e-12)
    assert float(spectral_norm([[3, 0], [4, 5]])) == pytest.approx(math.sqrt(45), rel=1e-15)


def test_a_critic_in_fractions_is_the_critic():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(1, 5), nn.ReLU(), nn.Linear(5, 4), nn.LeakyReLU(0.25), nn.Linear(4, 1))
    critic = critic.append(nn.Flatten(0)).double()
    x = torch.linspace(-9, 9, 20001, dtype=torch.float64)[:, None]
    slopes = lipschitz.gradient_norms(critic, x)
    value, steps, smooth = followed(critic, [0.3])
    assert smooth
    assert float(value) == pytest.approx(critic(torch.tensor([[0.3]], dtype=torch.float64)).item(), rel=1e-12)
    near = lipschitz.gradient_norms(critic, torch.tensor([[0.3]], dtype=torch.float64)).item()
    assert abs(float(gradients(steps)[0][0])) == pytest.approx(near, rel=1e-12)
    assert float(constant_on_the_line(critic)) == pytest.approx(slopes.max().item(), rel=1e-9)
    layer = nn.Conv2d(1, 1, 1)
    assert matrix_norm(np.full((1, 1, 1, 1), 3), layer) == 3


def test_an_interval_infinity_and_undefined_are_judged_for_what_they_are():
    one, two = Fraction(1), Fraction(2)
    assert error_of(1.5, (one, two)) == 0
    assert error_of(0.5, (one, two)) == error_of(2.5, (one, two)) == Fraction(1, 2)
    assert error_of(math.inf, math.inf) == error_of(math.nan, math.nan) == 0
    assert error_of(math.inf, two) == error_of(math.inf, -math.inf) == error_of(2.0, math.inf) == math.inf
    assert not error_of(2.0, math.nan) <= 1


# Lies


LIES = {
    "kl": (divergences, lambda found: found * (1 + 1e-8) + 2e-12),
    "gan_value": (divergences, lambda found: found + 1e-7),
    "mode_coverage": (metrics, lambda found: (found.modes, found.share + 1e-6)),
    "mmd": (metrics, lambda found: -found + 1e-3),
    "upper_bound": (lipschitz, lambda found: found * (1 - 1e-8)),
    "layer_gradients": (lipschitz, lambda found: found * (1 + 1e-8) + 1e-300),
    "clip_bound": (lipschitz, lambda found: found / 2),
}


@pytest.mark.parametrize("function", LIES)
def test_a_wrong_number_is_seen(monkeypatch, function):
    home, lie = LIES[function]
    honest = getattr(home, function)
    assert not broken(function)
    monkeypatch.setattr(home, function, lambda **given: lie(honest(**given)))
    assert broken(function)["wrong"] >= 5


def test_a_lower_bound_above_the_constant_is_seen(monkeypatch):
    """The bound by layers is one from above: as a lower bound it is mostly wrong."""
    monkeypatch.setattr(lipschitz, "lower_bound", lambda critic, x: lipschitz.upper_bound(critic))
    assert broken("lower_bound")["wrong"] >= 5


@pytest.mark.parametrize("function", ["js", "inception_score", "gradient_norms", "clip_bound"])
def test_a_refusal_and_an_answer_to_a_fault_are_seen(monkeypatch, function):
    def refusing(**given):
        raise InputError("no")

    home = next(home for home in (divergences, metrics, lipschitz) if hasattr(home, function))
    monkeypatch.setattr(home, function, refusing)
    assert set(broken(function)) == {"refused"}
    assert not broken(function, "faulty")
    monkeypatch.setattr(home, function, lambda **given: 0.5)
    assert set(broken(function, "faulty")) == {"answered"}
    monkeypatch.setattr(home, function, lambda **given: math.nan)
    assert set(broken(function, "faulty")) == {"not finite"}
