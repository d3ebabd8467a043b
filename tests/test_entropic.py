"""Entropic transport against closed forms and POT; the laws of its plan, certificate and divergence."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import xlogy

from wganlab.errors import InputError, SolverError
from wganlab.transport import emd, emd_from_cost, entropic, ground_cost, sinkhorn, sinkhorn_divergence

seeds = st.integers(0, 2**32 - 1)


def problem(seed, p=1):
    """Points, masses (some 0) and costs between two random clouds."""
    rng = np.random.default_rng(seed)
    n, m, d = (*rng.integers(1, 12, 2).tolist(), int(rng.integers(1, 4)))
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d)) + rng.normal(size=d)
    a, b = (rng.integers(0, 4, k) + np.eye(k)[rng.integers(k)] for k in (n, m))
    a, b = a / a.sum(), b / b.sum()
    return x, y, a, b, ground_cost(x, y, p)


def kl(plan, a, b):
    return float((xlogy(plan, plan) - xlogy(plan, np.outer(a, b))).sum())


@pytest.mark.parametrize("epsilon", [1e-4, 0.01, 0.5, 1.0, 100.0])
def test_two_by_two_in_closed_form(epsilon):
    """Off the diagonal half of e^(-1/eps) / (1 + e^(-1/eps))."""
    off = 0.5 / (1 + math.exp(min(1 / epsilon, 700)))
    found = sinkhorn([[0.0, 1.0], [1.0, 0.0]], epsilon=epsilon)
    np.testing.assert_allclose(found.plan, [[0.5 - off, off], [off, 0.5 - off]], atol=1e-10)
    assert found.cost == pytest.approx(2 * off, abs=1e-10)


@given(seeds, st.sampled_from([0.1, 0.5, 2.0]), st.sampled_from([1, 2]))
@settings(max_examples=40)
def test_equals_pot_and_has_the_form_of_the_theorem(seed, epsilon, p):
    _, _, a, b, cost = problem(seed, p)
    found = sinkhorn(cost, a, b, epsilon=epsilon)
    there = np.ix_(a > 0, b > 0)
    options = {"method": "sinkhorn_log", "numItermax": 50_000, "stopThr": 1e-10, "warn": False}
    pot = ot.sinkhorn(a[a > 0], b[b > 0], cost[there], epsilon, **options)
    np.testing.assert_allclose(found.plan[there], pot, atol=1e-7)
    f, g = entropic.entropic_potentials(cost, a, b, epsilon)
    np.testing.assert_allclose(
        np.outer(a, b) * np.exp((f[:, None] + g - cost) / epsilon), found.plan, atol=1e-9
    )


@given(seeds, st.sampled_from([1e-3, 0.05, 0.5, 5.0]))
@settings(max_examples=60)
def test_the_plan_is_a_plan_and_the_gap_is_a_bound(seed, epsilon):
    _, _, a, b, cost = problem(seed)
    found, least = sinkhorn(cost, a, b, epsilon=epsilon), emd_from_cost(cost, a, b).cost
    np.testing.assert_allclose(found.plan.sum(1), a, atol=1e-14)
    np.testing.assert_allclose(found.plan.sum(0), b, atol=1e-14)
    assert found.plan.min() >= 0
    assert (cost - found.phi[:, None] - found.psi).min() >= -1e-12
    assert found.cost == pytest.approx(np.vdot(found.plan, cost), abs=1e-12)
    assert a @ found.phi + b @ found.psi == pytest.approx(found.cost - found.gap, abs=1e-9)
    assert found.cost - found.gap - 1e-9 <= least <= found.cost + 1e-9
    entropy = min(-xlogy(w, w).sum() for w in (a, b))
    assert found.cost - least <= epsilon * entropy + 1e-9  # KL(plan || ab) is at most either entropy


@given(seeds)
@settings(max_examples=40)
def test_no_other_plan_has_a_smaller_objective(seed):
    _, _, a, b, cost = problem(seed)
    rng = np.random.default_rng(seed)
    found = sinkhorn(cost, a, b, epsilon=0.3).plan
    value = np.vdot(found, cost) + 0.3 * kl(found, a, b)
    for other in (np.outer(a, b), emd_from_cost(rng.random(cost.shape), a, b).plan):
        mixed = 0.9 * found + 0.1 * other
        assert np.vdot(mixed, cost) + 0.3 * kl(mixed, a, b) >= value - 1e-9


def test_cost_grows_with_epsilon_from_the_least_to_the_product():
    _, _, a, b, cost = problem(3)
    costs = [sinkhorn(cost, a, b, epsilon=epsilon).cost for epsilon in (1e-4, 1e-2, 0.1, 1.0, 10.0, 1e4)]
    assert (np.diff(costs) >= -1e-12).all()
    assert costs[0] == pytest.approx(emd_from_cost(cost, a, b).cost, abs=1e-3)
    assert costs[-1] == pytest.approx(a @ cost @ b, abs=1e-3)


@pytest.mark.parametrize("shift", [0.0, 1e-3])
def test_equal_and_nearly_equal_laws_converge_at_a_small_epsilon(shift):
    """Sinkhorn's iteration alone has not converged here after 10,000 steps."""
    x = np.random.default_rng(0).normal(size=(200, 2))
    found = sinkhorn(ground_cost(x, x + shift, 1), epsilon=0.05)
    assert found.gap < 0.4
    assert found.plan.trace() > 0.1


def test_scaling_of_cost_and_mass():
    _, _, a, b, cost = problem(5)
    one = sinkhorn(cost, a, b, epsilon=0.1)
    for scale in (1e-250, 1e-9, 1e9, 1e250):
        found = sinkhorn(cost * scale, a * 7, b * 7, epsilon=0.1 * scale)
        assert found.cost / scale == pytest.approx(7 * one.cost, rel=1e-9)
        np.testing.assert_allclose(found.plan, 7 * one.plan, atol=1e-9)


def test_kinds_in_kinds_out_and_nothing_changed():
    cost = torch.tensor([[0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    found = sinkhorn(cost, epsilon=0.5)
    assert all(torch.is_tensor(part) for part in (found.plan, found.phi, found.psi))
    assert cost.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert type(found.cost) is type(found.gap) is float


@pytest.mark.parametrize("epsilon", [0, -1, math.nan, math.inf, "small", [0.1, 0.2], None])
def test_refuses_an_epsilon_that_is_none(epsilon):
    with pytest.raises(InputError, match="'epsilon' must be"):
        sinkhorn([[0.0, 1.0], [1.0, 0.0]], epsilon=epsilon)
    with pytest.raises(InputError, match="'epsilon' must be"):
        sinkhorn_divergence([0.0], [1.0], epsilon=epsilon)


def test_an_epsilon_out_of_range_of_the_cost_is_refused():
    with pytest.raises(InputError, match="out of float64's range beside costs of 1e\\+300"):
        sinkhorn([[0.0, 1e300], [1e300, 0.0]], epsilon=1e-300)


def test_what_has_not_converged_is_no_number():
    cost = ground_cost(
        np.random.default_rng(0).normal(size=(50, 2)), np.zeros((50, 2)) + np.arange(50)[:, None], 1
    )
    with pytest.raises(
        SolverError, match=r"after 3 iterations the marginals are off by .* Take a larger epsilon"
    ):
        sinkhorn(cost, epsilon=0.01, iterations=3)


@pytest.mark.parametrize("iterations", [0, -1, 1.5, None, "many"])
def test_iterations_are_a_number(iterations):
    with pytest.raises(InputError, match="'iterations' must be a whole number >= 1, got"):
        sinkhorn([[0.0, 1.0]], epsilon=1.0, iterations=iterations)


def test_newtons_system_has_the_size_of_the_smaller_law(monkeypatch):
    """So that many points against few cost neither the memory nor the time of many against many."""
    rng, sizes, honest = np.random.default_rng(0), [], entropic.newton_step
    monkeypatch.setattr(
        entropic, "newton_step", lambda plan, a, scale: sizes.append(len(a)) or honest(plan, a, scale)
    )
    cost = ground_cost(rng.normal(size=(40, 2)), rng.normal(size=(3, 2)), 1)
    tall, wide = sinkhorn(cost, epsilon=1e-4), sinkhorn(cost.T, epsilon=1e-4)
    assert set(sizes) == {3}
    np.testing.assert_allclose(tall.plan, wide.plan.T, atol=1e-12)
    assert tall.gap == pytest.approx(wide.gap, abs=0.05)


def test_a_solver_that_lies_is_caught(monkeypatch):
    honest = entropic.feasible
    for lie in (lambda plan: plan * 1.001, lambda plan: plan - 1e-6, lambda plan: np.roll(plan, 1, 0) * 0.9):
        monkeypatch.setattr(entropic, "feasible", lambda plan, a, b, lie=lie: lie(honest(plan, a, b)))
        with pytest.raises(SolverError, match="is not proved: marginals are off by"):
            sinkhorn([[0.0, 1.0], [1.0, 0.0]], epsilon=0.5)


def test_bad_problems_are_refused_as_by_emd():
    for cost, a, b, message in (
        ([[0.0, math.nan]], None, None, "'cost' must be finite"),
        (np.zeros((0, 2)), None, None, "non-empty matrix"),
        ([[0.0, 1.0]], [1.0], [0.5, 0.6], "equal total masses"),
        ([[0.0, 1.0]], [1.0], [1.5, -0.5], "'b' must be non-negative"),
        ([[0.0, 1.0]], [0.0], [0.0, 0.0], "'a' must have a positive finite total"),
    ):
        with pytest.raises(InputError, match=message):
            sinkhorn(cost, a, b, epsilon=0.1)


# The divergence


@given(seeds, st.sampled_from([0.1, 1.0, 10.0]), st.sampled_from([1, 1.5, 2]))
@settings(max_examples=20)
def test_the_divergence_is_positive_symmetric_and_zero_for_equal_laws(seed, epsilon, p):
    x, y, a, b, _ = problem(seed)
    value = sinkhorn_divergence(x, y, a, b, epsilon=epsilon, p=p)
    assert value >= 0
    assert sinkhorn_divergence(y, x, b, a, epsilon=epsilon, p=p) == pytest.approx(value, abs=1e-8)
    assert sinkhorn_divergence(x, x, a, a, epsilon=epsilon, p=p) == pytest.approx(0, abs=1e-8)
    assert sinkhorn_divergence(x, y, 5 * a, 5 * b, epsilon=epsilon, p=p) == pytest.approx(value, abs=1e-8)
    assert sinkhorn_divergence(x + 3, y + 3, a, b, epsilon=epsilon, p=p) == pytest.approx(value, abs=1e-7)


@given(seeds)
@settings(max_examples=20)
def test_the_divergence_is_its_definition(seed):
    x, y, a, b, cost = problem(seed)

    def value(cost, a, b):
        plan = sinkhorn(cost, a, b, epsilon=0.3).plan
        return np.vdot(plan, cost) + 0.3 * kl(plan, a, b)

    by_hand = (
        value(cost, a, b) - value(ground_cost(x, x, 1), a, a) / 2 - value(ground_cost(y, y, 1), b, b) / 2
    )
    assert sinkhorn_divergence(x, y, a, b, epsilon=0.3) == pytest.approx(by_hand, abs=1e-6)


def test_the_limits_of_the_divergence():
    """W1 for epsilon to 0; half the energy distance for epsilon to infinity."""
    x, y, a, b, cost = problem(11)
    assert sinkhorn_divergence(x, y, a, b, epsilon=1e-4) == pytest.approx(emd(x, y, a, b).cost, abs=1e-2)
    energy = a @ cost @ b - a @ ground_cost(x, x, 1) @ a / 2 - b @ ground_cost(y, y, 1) @ b / 2
    assert sinkhorn_divergence(x, y, a, b, epsilon=1e5) == pytest.approx(energy, abs=1e-3)


def test_the_divergence_of_two_atoms_is_their_distance():
    for p in (1, 1.5, 2):
        assert sinkhorn_divergence([[0.0, 0.0]], [[3.0, 4.0]], epsilon=2.0, p=p) == pytest.approx(
            5**p, abs=1e-9
        )


@pytest.mark.parametrize("p", [0.5, 2.5, math.inf, math.nan])
def test_the_divergence_refuses_powers_without_a_theorem(p):
    with pytest.raises(InputError, match="positive for 1 <= p <= 2, got"):
        sinkhorn_divergence([0.0], [1.0], epsilon=1.0, p=p)


def test_the_potentials_take_lists_and_refuse_what_is_no_problem():
    f, g = entropic.entropic_potentials([[0.0, 1.0], [1.0, 0.0]], [0.5, 0.5], [0.5, 0.5], 0.5)
    plan = 0.25 * np.exp((f[:, None] + g - np.array([[0.0, 1.0], [1.0, 0.0]])) / 0.5)
    np.testing.assert_allclose(plan.sum(1), [0.5, 0.5], atol=1e-9)
    for problem_given, message in (
        (([[0.0, math.nan]], [1.0], [0.5, 0.5], 0.5), "'cost' must be finite"),
        (([[0.0, 1.0]], [1.0], [1.0], 0.5), "'b' must have one mass a point"),
        (([[0.0, 1.0]], [1.0], [0.5, 0.6], 0.5), "equal total masses"),
        (([[0.0, 1.0]], [1.0], [0.5, 0.5], 0.0), "'epsilon' must be positive"),
    ):
        with pytest.raises(InputError, match=message):
            entropic.entropic_potentials(*problem_given)
