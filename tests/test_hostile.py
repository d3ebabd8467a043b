"""500 hostile inputs to all transport functions; and the judge is not fooled by functions that lie."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hostile import KINDS, LIBRARY, MAKERS, SCALES, case, entropic, judge, kept_promise, quantile_moves

from wganlab import transport
from wganlab.errors import InputError, SolverError
from wganlab.transport import exact

INPUTS = 500


def verdicts(function=None, inputs=INPUTS):
    """(index, case, verdict) of the first inputs, of one function or of all."""
    for index in range(inputs):
        made = case(index)
        if function in (None, made.function):
            yield index, made, judge(made, made.given, LIBRARY[made.function])


def broken(function, kind="valid"):
    """How the library fails on inputs of one function, by outcome; empty if it does not."""
    failed = [
        verdict
        for _, made, verdict in verdicts(function)
        if made.kind == kind and not kept_promise(made, verdict)
    ]
    return Counter(verdict.outcome for verdict in failed)


def test_500_inputs_none_refused_none_wrong_none_warned_about_none_changed():
    seen = Counter()
    for index, made, verdict in verdicts():
        assert kept_promise(made, verdict), (index, made, verdict)
        seen[made.function] += 1
        seen[made.kind, verdict.outcome] += 1
        seen.update(kind for kind in KINDS if made.kind != "faulty" and f" {kind}," in f"{made.about},")
    assert sum(seen[function] for function in MAKERS) == INPUTS
    assert min(seen[function] for function in MAKERS) == INPUTS // len(MAKERS)
    assert min(seen[kind] for kind in KINDS) >= 15, seen
    assert seen["valid", "right"] >= 240
    assert seen["faulty", "refused"] >= 180
    assert seen["extreme", "right"] + seen["extreme", "refused"] >= 15
    assert set(seen) == {*MAKERS, *KINDS, ("valid", "right"), ("faulty", "refused")} | {
        ("extreme", outcome) for outcome in ("right", "refused")
    }


def test_an_input_depends_on_its_number_only():
    for index in (3, 40, 461):
        assert str(case(index)) == str(case(index))
    assert 2.0 ** SCALES[1] < 1e-299
    assert 2.0 ** SCALES[-2] > 1e299


def test_points_without_mass_loosen_no_bound():
    rng = np.random.default_rng(0)
    cost, a, b = rng.random((6, 5)), np.append(rng.dirichlet(np.ones(4)), [0, 0]), rng.dirichlet(np.ones(5))
    for solve in (transport.emd_from_cost, lambda *problem: transport.sinkhorn(*problem, epsilon=1e-3)):
        among, alone = solve(cost, a, b), solve(cost[:4], a[:4], b)
        assert among.cost == pytest.approx(alone.cost, abs=1e-9)
        assert among.gap == pytest.approx(alone.gap, abs=1e-9)


# The exact answers, where they can be known without any of this


def test_closed_forms_of_the_reference():
    one, zero = Fraction(1), Fraction(0)
    half = [Fraction(1, 2)] * 2
    cost, total = entropic([[zero, one], [one, zero]], half, half, Fraction(1, 2))
    assert float(cost) == pytest.approx(1 / (1 + math.exp(2)), rel=1e-15)
    assert float(total) == pytest.approx(-math.log((1 + math.exp(-2)) / 2) / 2, rel=1e-15)
    assert entropic([[one, one], [one, one]], half, [one, zero], one) == (1, 1)
    assert list(quantile_moves([0, 10], [11, 1], [1, 2], [2, 1])) == [(1, 2), (1, 1)]


# Lies


LIES = {
    "off by 1e-8": (lambda cost: cost * (1 + 1e-8) + 1e-308, "wrong"),
    "NaN": (lambda cost: math.nan, "not finite"),
    "0": (lambda cost: 0.0, "wrong"),
    "more than one number": (lambda cost: [cost, cost], "wrong"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("lie", "outcome"), LIES.values(), ids=LIES)
def test_a_wrong_number_is_seen(monkeypatch, lie, outcome):
    honest = transport.wasserstein_1d
    assert not broken("wasserstein_1d")
    monkeypatch.setattr(transport, "wasserstein_1d", lambda **given: lie(honest(**given)))
    assert set(broken("wasserstein_1d")) == {outcome}
    assert broken("wasserstein_1d")[outcome] >= 10


@pytest.mark.slow
def test_a_solver_that_lies_is_refused_by_the_certificate_and_without_it_seen_by_the_judge(monkeypatch):
    honest = exact.network_simplex

    def lying(cost, a, b):
        _, phi, psi = honest(cost, a, b)
        return np.outer(a, b), phi, psi  # right marginals, not the least cost

    monkeypatch.setattr(exact, "network_simplex", lying)
    assert set(broken("emd_from_cost")) == {"refused"}
    monkeypatch.setattr(
        exact, "certify", lambda cost, a, b, answer, gap: (np.vdot(answer[0], cost).item(), 0.0)
    )
    assert set(broken("emd_from_cost")) == {"wrong"}


@pytest.mark.slow
@pytest.mark.parametrize("error", [SolverError, InputError, KeyError])
def test_a_refusal_of_a_valid_input_is_seen(monkeypatch, error):
    def refusing(**given):
        raise error("no")

    monkeypatch.setattr(transport, "cumulative_flow", refusing)
    outcome = "KeyError" if error is KeyError else "refused"
    assert set(broken("cumulative_flow")) == {outcome}
    assert bool(broken("cumulative_flow", "faulty")) == (error is KeyError)


def test_an_answer_to_a_fault_is_seen(monkeypatch):
    for answer, outcome in ((0.0, "answered"), (math.nan, "not finite")):
        monkeypatch.setattr(transport, "gaussian_w2", lambda answer=answer, **given: answer)
        assert set(broken("gaussian_w2", "faulty")) == {outcome}


def test_a_changed_input_and_a_warning_are_seen(monkeypatch):
    honest = transport.c_transform

    def sorting(**given):
        answer = honest(**given)
        if isinstance(given["phi"], np.ndarray) and given["phi"].flags.writeable:
            given["phi"][0] = not given["phi"][0]
        return answer

    monkeypatch.setattr(transport, "c_transform", sorting)
    assert broken("c_transform")["right"] >= 5
    monkeypatch.setattr(
        transport, "c_transform", lambda **given: honest(**given) + 0 * np.log(np.zeros(1) - 1)
    )
    assert "not finite" in broken("c_transform")
