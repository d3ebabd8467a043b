"""Exact transport against closed forms, oracles, its own laws, and solvers that are made to lie."""

import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance, wasserstein_distance_nd

from wganlab import transport
from wganlab.errors import InputError, SolverError
from wganlab.transport import (
    cumulative_flow,
    emd,
    emd_from_cost,
    emd_lp,
    exact,
    kantorovich_potential,
    potentials,
    wasserstein_1d,
)

SOLVERS = {"emd_from_cost": emd_from_cost, "emd_lp": emd_lp}
both_solvers = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
seeds = st.integers(0, 2**32 - 1)


def clouds(seed, *, ties=False):
    """Random points x, y in one dimension d <= 3 and masses of one total, some of them 0."""
    rng = np.random.default_rng(seed)
    n, m, d = (*rng.integers(1, 9, 2).tolist(), int(rng.integers(1, 4)))
    points = (
        (lambda k: rng.integers(0, 3, (k, d)).astype(float)) if ties else lambda k: rng.normal(size=(k, d))
    )
    masses = [rng.integers(0, 4, k) + np.eye(k)[rng.integers(k)] for k in (n, m)]
    a, b = (w / w.sum() for w in masses)
    return points(n), points(m), a, b


def exact_value(cost, a, b):
    """The least cost of moving whole masses a to b, by repeating points and assigning them."""
    rows, columns = np.repeat(np.arange(len(a)), a), np.repeat(np.arange(len(b)), b)
    i, j = linear_sum_assignment(cost[np.ix_(rows, columns)])
    pairs = zip(rows[i], columns[j], strict=True)
    return sum((Fraction(float(cost[pair])) for pair in pairs), Fraction(0))


# Closed forms


def test_two_atoms_are_as_far_apart_as_they_look():
    found = emd([[0.0, 0.0]], [[3.0, 4.0]])
    assert found.cost == found.distance == 5.0
    assert found.plan.tolist() == [[1.0]]
    assert emd([[0.0, 0.0]], [[3.0, 4.0]], p=2).cost == 25.0
    assert emd([[0.0, 0.0]], [[3.0, 4.0]], p=2).distance == 5.0


@pytest.mark.parametrize("theta", [0.5, -1.0, 2.0, 0.0])
def test_parallel_lines_are_theta_apart(theta):
    height = np.linspace(0, 1, 50)
    x, y = (np.stack([np.full(50, place), height], axis=1) for place in (0.0, theta))
    assert emd(x, y).cost == pytest.approx(abs(theta), abs=1e-12)
    pushed = np.eye(50) / 50  # the plan that the map (0, h) -> (theta, h) induces
    assert np.vdot(pushed, transport.ground_cost(x, y, 1)) == pytest.approx(abs(theta), abs=1e-12)


@both_solvers
def test_four_piles(solve):
    P, Q = np.array([3.0, 2, 1, 4]), np.array([1.0, 2, 4, 3])
    cost = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
    assert solve(cost, P, Q).cost == pytest.approx(5.0, abs=1e-12)
    assert solve(cost, P / 10, Q / 10).cost == pytest.approx(0.5, abs=1e-12)
    np.testing.assert_allclose(solve(cost, P, Q).plan.sum(1), P, atol=1e-12)
    np.testing.assert_allclose(solve(cost, P, Q).plan.sum(0), Q, atol=1e-12)
    flow = cumulative_flow(P, Q)
    assert flow.tolist() == [0, 2, 2, -1, 0]
    assert np.abs(flow).sum() == 5
    assert wasserstein_1d(np.arange(4), np.arange(4), P, Q) == pytest.approx(0.5, abs=1e-15)


@both_solvers
def test_k_lipschitz_duality_scales_with_k(solve):
    x, y = np.array([0.0, 1.0]), np.array([1.2, 2.2])
    cost = np.abs(np.subtract.outer(x, y))
    assert solve(cost).cost == pytest.approx(1.2, abs=1e-12)
    assert solve(3 * cost).cost == pytest.approx(3.6, abs=1e-12)


def test_normals_shifted_by_3_and_4_are_about_5_apart():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(500, 2)), rng.normal(size=(500, 2)) + np.array([3, 4])
    assert emd(x, y).distance == pytest.approx(5, rel=0.1)


def test_a_sample_approaches_its_law_like_one_over_the_root_of_n():
    """sqrt(n) E W1(U_n, U) -> E int |Brownian bridge| = sqrt(pi / 32) = 0.3133."""
    rng, n, fine = np.random.default_rng(0), 400, (np.arange(4000) + 0.5) / 4000
    mean = np.mean([wasserstein_1d(rng.random(n), fine) for _ in range(300)])
    assert math.sqrt(n) * mean == pytest.approx(math.sqrt(math.pi / 32), abs=0.03)


def test_one_dimensional_powers():
    assert wasserstein_1d([0, 1], [5, 6]) == 5
    assert wasserstein_1d([1, 0], [0, 3], p=1) == 1
    assert wasserstein_1d([1, 0], [0, 3], p=2) == pytest.approx(math.sqrt(2), rel=1e-15)
    assert wasserstein_1d([1, 0], [0, 3], p=math.inf) == 2
    assert wasserstein_1d([0], [0], p=3) == 0
    assert wasserstein_1d([0, 1], [0], [1, 3], [4]) == 0.75


def test_rounding_of_the_masses_is_not_mass():
    """0.1 + 0.2 is not 0.3, but nothing moves from 0 to 10 here."""
    x, a, y, b = [0, 0, 10], [0.1, 0.2, 0.7], [0, 10], [0.3, 0.7]
    assert 0.1 + 0.2 != 0.3
    for p in (1, 2, 10, math.inf):
        assert wasserstein_1d(x, y, a, b, p=p) == 0


def test_a_last_point_without_mass_does_not_matter():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        x, y, a, b = *rng.normal(size=(2, 12)), *rng.random((2, 12))
        x[-1] = 1e6
        a[-1] = 0
        a, b = a / a.sum(), b / b.sum()
        assert wasserstein_1d(x, y, a, b, p=math.inf) == wasserstein_1d(x[:-1], y, a[:-1], b, p=math.inf)


# Oracles


@given(seeds)
@settings(max_examples=60)
def test_emd_equals_raw_pot_scipy_and_the_linear_program(seed):
    x, y, a, b = clouds(seed)
    cost = np.array([[math.dist(p, q) for q in y] for p in x])  # a double loop
    value = emd(x, y, a, b).cost
    assert value == pytest.approx(ot.emd2(a, b, cost), abs=1e-12)
    assert value == pytest.approx(wasserstein_distance_nd(x, y, a, b), abs=1e-7)
    assert value == pytest.approx(emd_lp(cost, a, b).cost, abs=1e-9)
    assert value == pytest.approx(emd_from_cost(cost, a, b).cost, abs=1e-12)


@given(seeds, st.booleans())
@settings(max_examples=60)
def test_on_the_line_all_roads_lead_to_one_number(seed, ties):
    x, y, a, b = clouds(seed, ties=ties)
    x, y = x[:, 0], y[:, 0]
    found = wasserstein_1d(x, y, a, b)
    assert found == pytest.approx(wasserstein_distance(x, y, a, b), abs=1e-12)
    assert found == pytest.approx(emd(x, y, a, b).cost, abs=1e-9)
    for p in (1, 2, 3):
        assert wasserstein_1d(x, y, a, b, p=p) ** p == pytest.approx(
            ot.wasserstein_1d(x, y, a, b, p=p), abs=1e-9
        )
        assert wasserstein_1d(x, y, a, b, p=p) ** p == pytest.approx(emd(x, y, a, b, p=p).cost, abs=1e-9)
    ends = np.unique(np.concatenate([x, y]))  # int |F - G|
    F, G = (np.array([w[z <= t].sum() for t in ends]) for z, w in ((x, a), (y, b)))
    assert found == pytest.approx(np.abs(F - G)[:-1] @ np.diff(ends), abs=1e-12)


# Laws


@given(seeds, st.booleans())
@settings(max_examples=60)
def test_the_answer_proves_itself(seed, ties):
    x, y, a, b = clouds(seed, ties=ties)
    cost = transport.ground_cost(x, y, 1)
    for found in (emd(x, y, a, b), emd_lp(cost, a, b)):
        scale = cost.max() or 1.0
        slack = cost - found.phi[:, None] - found.psi
        assert slack.min() >= -1e-9 * scale  # dual feasible
        assert a @ found.phi + b @ found.psi == pytest.approx(found.cost, abs=1e-9 * scale)  # no gap
        assert 0 <= found.gap <= 1e-9 * scale
        assert np.abs(slack[found.plan > 1e-12]).max() <= 1e-8 * scale  # complementary slackness
        np.testing.assert_allclose(found.plan.sum(1), a, atol=1e-12)
        np.testing.assert_allclose(found.plan.sum(0), b, atol=1e-12)
        assert found.plan.min() >= 0
        assert np.vdot(found.plan, cost) == pytest.approx(found.cost, abs=1e-12 * scale)


@given(seeds, st.sampled_from([1, 1.5, 2]))
@settings(max_examples=40)
def test_symmetry_identity_translation_scaling(seed, p):
    x, y, a, b = clouds(seed)
    there = emd(x, y, a, b, p=p).distance
    assert emd(y, x, b, a, p=p).distance == pytest.approx(there, rel=1e-7, abs=1e-9)
    assert emd(x, x, a, a, p=p).cost == pytest.approx(0, abs=1e-12)
    shift = np.arange(1.0, x.shape[1] + 1)
    assert emd(x + shift, y + shift, a, b, p=p).distance == pytest.approx(there, rel=1e-7, abs=1e-9)
    assert emd(-3 * x, -3 * y, a, b, p=p).distance == pytest.approx(3 * there, rel=1e-7, abs=1e-9)
    assert emd(x, x + shift, a, a, p=p).distance == pytest.approx(np.linalg.norm(shift), rel=1e-9)
    assert emd(x, y, 5 * a, 5 * b, p=p).cost == pytest.approx(5 * there**p, rel=1e-7, abs=1e-9)


@given(seeds)
@settings(max_examples=40)
def test_triangle_and_order_of_powers(seed):
    x, y, a, b = clouds(seed)
    rng = np.random.default_rng(seed)
    z, c = rng.normal(size=(5, x.shape[1])), rng.dirichlet(np.ones(5))
    for p in (1, 2):
        direct = emd(x, z, a, c, p=p).distance
        assert direct <= emd(x, y, a, b, p=p).distance + emd(y, z, b, c, p=p).distance + 1e-9
    assert emd(x, y, a, b).distance <= emd(x, y, a, b, p=2).distance + 1e-9
    assert emd(x, y, a, b).distance >= np.linalg.norm(a @ x - b @ y) - 1e-9  # Jensen
    line = wasserstein_1d(x[:, 0], y[:, 0], a, b, p=4), wasserstein_1d(x[:, 0], y[:, 0], a, b, p=math.inf)
    assert line[0] <= line[1] + 1e-12


@given(seeds)
@settings(max_examples=30)
def test_a_cost_may_be_negative_and_a_constant_only_shifts_it(seed):
    x, y, a, b = clouds(seed)
    cost = transport.ground_cost(x, y, 1)
    assert emd_from_cost(cost - 7, a, b).cost == pytest.approx(emd_from_cost(cost, a, b).cost - 7, abs=1e-8)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_flow_is_the_transport_between_neighbours(P, random):
    P[0] += 1
    Q = random.sample(P, len(P))
    flow = cumulative_flow(P, Q)
    assert flow[0] == flow[-1] == 0
    assert np.diff(flow).tolist() == [p - q for p, q in zip(P, Q, strict=True)]
    assert np.abs(flow).sum() == pytest.approx(emd(np.arange(len(P)), np.arange(len(Q)), P, Q).cost, abs=1e-6)


# Potentials


@given(seeds, st.booleans())
@settings(max_examples=60)
def test_the_potential_is_1_lipschitz_anywhere_and_attains_w1(seed, ties):
    x, y, a, b = clouds(seed, ties=ties)
    f = kantorovich_potential(x, y, a, b)
    assert a @ f(x) - b @ f(y) == pytest.approx(emd(x, y, a, b).cost, abs=1e-8)
    rng = np.random.default_rng(seed)
    z = np.concatenate([x, y, rng.normal(size=(50, x.shape[1])) * 10 ** rng.uniform(-3, 3, (50, 1))])
    rise = np.abs(np.subtract.outer(f(z), f(z)))
    assert (rise - np.linalg.norm(z[:, None] - z, axis=2)).max() <= 1e-9
    slopes = np.linalg.norm(f.gradient(z), axis=1)
    assert slopes.max() <= 1 + 1e-9


def test_the_potential_rises_with_slope_1_along_every_matched_segment():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 2)) + np.array([1, 0]), rng.normal(size=(300, 2))
    found, f = emd(x, y), kantorovich_potential(x, y)
    i, j = np.nonzero(found.plan > 1e-9)
    assert len(i) >= 300
    length = np.linalg.norm(x[i] - y[j], axis=1)
    np.testing.assert_allclose(f(x[i]) - f(y[j]), length, atol=1e-9)
    middle = (x[i] + y[j]) / 2
    np.testing.assert_allclose(f(middle) - f(y[j]), length / 2, atol=1e-9)  # a straight line
    along = ((x[i] - y[j]) * f.gradient(middle)).sum(1) / length
    np.testing.assert_allclose(along, 1, atol=1e-6)


def test_the_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(1)
    f = kantorovich_potential(rng.normal(size=(20, 2)), rng.normal(size=(20, 2)))
    z, h = rng.normal(size=(50, 2)), 1e-6
    differences = np.stack([(f(z + e) - f(z - e)) / (2 * h) for e in h * np.eye(2)], axis=1)
    np.testing.assert_allclose(f.gradient(z), differences, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(f.gradient(z), axis=1), 1, atol=1e-12)


def test_points_without_mass_do_not_bend_the_potential():
    alone = kantorovich_potential([[3.0]], [[0.0]])
    among = kantorovich_potential([[3.0], [-9.0]], [[0.0], [2.9]], [1.0, 0.0], [1.0, 0.0])
    z = np.linspace(-10, 10, 41)[:, None]
    assert (alone([[3.0]]) - alone([[0.0]])).item() == pytest.approx(3, abs=1e-12)
    np.testing.assert_allclose(among(z), alone(z), atol=1e-12)


def test_the_potential_pulls_every_fake_point_towards_its_partner():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(60, 2)) + np.array([2, 0]), rng.normal(size=(60, 2))
    partner = emd(x, y).plan.argmax(axis=0)
    way = x[partner] - y
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    np.testing.assert_allclose(kantorovich_potential(x, y).gradient(y), way, atol=1e-9)
    assert (kantorovich_potential(x, y).gradient([[0.0, 0.0]]) ** 2).sum() == pytest.approx(1, abs=1e-12)


def test_a_mass_below_all_rounding_is_no_obstacle():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 2)) + 3, rng.normal(size=(7, 2))
    for tiny in (1e-15, 1e-16, 1e-17, 1e-300):
        b = np.append(np.full(6, 1 / 6), tiny)
        f = kantorovich_potential(x, y, None, b)
        assert f(x).mean() - b @ f(y) == pytest.approx(emd(x, y[:6]).cost, abs=1e-9)
        f = kantorovich_potential(y, x, b, None)
        assert b @ f(y) - f(x).mean() == pytest.approx(emd(x, y[:6]).cost, abs=1e-9)


@pytest.mark.parametrize("n", [300, 420])
def test_short_paths_give_an_optimal_critic_with_a_gradient_at_each_fake_point(n, monkeypatch):
    """With one partner each the way leads there; with more, f is optimal all the same."""
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, 2)) + np.array([1, 0]), rng.normal(size=(300, 2))
    far = kantorovich_potential(x, y)
    monkeypatch.setattr(potentials, "ALL_PATHS", 100)
    f = kantorovich_potential(x, y)
    assert not np.array_equal(f(y), far(y))
    assert f(x).mean() - f(y).mean() == pytest.approx(emd(x, y).cost, abs=1e-9)
    if n == 300:
        partner = emd(x, y).plan.argmax(axis=0)
        way = (x[partner] - y) / np.linalg.norm(x[partner] - y, axis=1, keepdims=True)
        for step in (0.0, 1e-7):  # and a little beside the point, so not by luck at a kink
            shifted = y + step * rng.normal(size=y.shape)
            np.testing.assert_allclose(f.gradient(shifted), way, atol=1e-3 if step else 1e-9)


def test_a_potential_is_evaluated_in_blocks(monkeypatch):
    rng = np.random.default_rng(1)
    f, z = kantorovich_potential(rng.normal(size=(40, 3)), rng.normal(size=(30, 3))), rng.normal(size=(25, 3))
    by_hand = (f.phi.numpy() - np.linalg.norm(z[:, None] - f.x.numpy(), axis=2)).max(axis=1)
    whole, gradient = f(z), f.gradient(z)
    np.testing.assert_allclose(whole, by_hand, rtol=0, atol=1e-14)
    monkeypatch.setattr(potentials, "BLOCK", 100)
    assert np.array_equal(f(z), whole)
    assert np.array_equal(f.gradient(z), gradient)


def test_a_potential_keeps_kinds_and_graphs():
    f = kantorovich_potential([0.0, 1.0], [2.0, 3.0])
    z = torch.tensor([[0.5], [2.5]], requires_grad=True)
    f(z).sum().backward()
    assert z.grad.tolist() == [[-1.0], [-1.0]]
    assert type(f(np.array([[0.5]]))) is type(f.gradient([[0.5]])) is np.ndarray
    assert torch.is_tensor(f.gradient(z))
    assert f([0.5]) == f(torch.tensor([0.5])).numpy()  # a vector is points on the line


# 500 inputs of every kind, against whole masses that are assigned exactly


def as_given(array, kind):
    """The same numbers as another kind of array, or None if that kind cannot hold them."""
    if kind == "list":
        return array.tolist()
    if kind == "torch":
        return torch.tensor(array)
    if kind == "column-major":
        return np.asfortranarray(array)
    if kind == "strided":
        wide = np.full([2 * k for k in array.shape], np.nan)
        wide[tuple(slice(None, None, 2) for _ in array.shape)] = array
        return wide[tuple(slice(None, None, 2) for _ in array.shape)]
    if kind == "read-only":
        array = array.copy()
        array.flags.writeable = False
        return array
    if kind in ("float32", "int64", "bool"):
        with np.errstate(over="ignore", invalid="ignore"):
            cast = array.astype(kind)
        return cast if (cast.astype(float) == array).all() else None
    return array.copy()


KINDS = ["float64", "float32", "int64", "bool", "list", "torch", "column-major", "strided", "read-only"]


def frozen(given):
    """A copy of what was given, for comparing afterwards."""
    return given.clone() if torch.is_tensor(given) else np.array(given)


def test_500_valid_inputs_none_refused_none_wrong_none_changed():
    rng, tried = np.random.default_rng(2024), dict.fromkeys(KINDS, 0)
    largest = 0.0
    for _ in range(500):
        n, m = rng.integers(1, 7, 2)
        a = rng.integers(0, 4, n)
        a[rng.integers(n)] += 1
        b = rng.multinomial(a.sum(), np.ones(m) / m)  # many are 0
        cost = rng.integers(0, rng.choice([2, 4, 1000]), (n, m)).astype(float)  # many ties
        if rng.random() < 0.2:
            cost *= rng.random((n, m))
        cost *= rng.choice([1.0, 1.0, 1.0, 1e-300, 1e-150, 1e-16, 1e-3, 1e16, 1e150, 1e300])
        kinds = rng.choice(KINDS, 3)
        handed = []
        for kind, array in zip(kinds, (cost, a.astype(float), b.astype(float)), strict=True):
            one = as_given(array, kind)
            kind = "float64" if one is None else kind
            handed.append(array.copy() if one is None else one)
            tried[kind] += 1
        before = [frozen(one) for one in handed]
        found = emd_from_cost(*handed)  # a refusal fails the test
        wrong = abs(float(Fraction(found.cost) - exact_value(cost, a, b)))
        scale = float(a.sum() * cost.max()) or 1.0
        assert wrong <= 1e-9 * scale, (cost, a, b)
        largest = max(largest, wrong / scale)
        assert found.gap <= 1e-9 * scale
        assert torch.is_tensor(found.plan) == torch.is_tensor(handed[0])
        for one, copy in zip(handed, before, strict=True):
            assert np.array_equal(np.asarray(one), np.asarray(copy))
    assert min(tried.values()) >= 10, tried
    assert largest <= 1e-12  # in fact exact up to the last bits


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-20, 1.0, 1e20, 1e200, 1e300])
def test_points_of_any_scale(scale):
    rng = np.random.default_rng(0)
    x, y = rng.integers(-9, 9, (6, 2)).astype(float), rng.integers(-9, 9, (6, 2)).astype(float)
    distances = np.array([[math.dist(p, q) for q in y] for p in x])
    expected = float(exact_value(distances, np.ones(6, int), np.ones(6, int))) / 6
    assert emd(x * scale, y * scale).distance / scale == pytest.approx(expected, rel=1e-9)
    assert wasserstein_1d(x[:, 0] * scale, y[:, 0] * scale, p=2) / scale == pytest.approx(
        wasserstein_1d(x[:, 0], y[:, 0], p=2), rel=1e-12
    )


def test_masses_of_any_scale():
    for mass in (1e-300, 1e-30, 1e30, 1e300):
        found = emd_from_cost([[0.0, 2.0], [2.0, 1.0]], [mass, mass], [mass, mass])
        assert found.cost == pytest.approx(mass, rel=1e-12)
        np.testing.assert_allclose(found.plan, np.eye(2) * mass, rtol=1e-12)


@pytest.mark.parametrize("solve", [emd_from_cost, emd_lp, emd])
def test_numpy_in_numpy_out_torch_in_torch_out(solve):
    array = np.array([[0.0, 2.0], [2.0, 1.0]])
    args = {np.ndarray: array, torch.Tensor: torch.tensor(array, dtype=torch.float32, requires_grad=True)}
    for kind, one in args.items():
        found = solve(one, one) if solve is emd else solve(one)
        assert {type(part) for part in (found.plan, found.phi, found.psi)} == {kind}
        assert {str(part.dtype).split(".")[-1] for part in (found.plan, found.phi)} == {"float64"}
        assert (found.plan.shape, found.phi.shape, found.psi.shape) == ((2, 2), (2,), (2,))
        assert type(found.cost) is type(found.gap) is type(found.distance) is float
    assert type(cumulative_flow([1, 2], [2, 1])) is np.ndarray
    assert torch.is_tensor(cumulative_flow(torch.tensor([1, 2]), [2, 1]))
    assert emd_from_cost(torch.ones(2, 2, dtype=torch.bfloat16)).cost == 1


SHORT = {
    "emd": lambda a, b: emd([0, 1, 2], [0, 1], a, b).cost,
    "emd_from_cost": lambda a, b: emd_from_cost([[0, 1], [1, 0], [2, 1]], a, b).cost,
    "emd_lp": lambda a, b: emd_lp([[0, 1], [1, 0], [2, 1]], a, b).cost,
    "wasserstein_1d": lambda a, b: wasserstein_1d([0, 1, 2], [0, 1], a, b),
    "sliced_wasserstein": lambda a, b: transport.sliced_wasserstein([0, 1, 2], [0, 1], a, b),
    "cumulative_flow": lambda a, b: np.abs(np.asarray(cumulative_flow(a, np.append(b, 0)))).sum(),
    "kantorovich_potential": lambda a, b: (
        np.diff(kantorovich_potential([0, 1, 2], [0, 1], a, b)([1.0, 2.0]))[0] * 0.9
    ),
    "sinkhorn": lambda a, b: transport.sinkhorn([[0, 1], [1, 0], [2, 1]], a, b, epsilon=1e-3).cost,
    "sinkhorn_divergence": lambda a, b: transport.sinkhorn_divergence([0, 1, 2], [0, 1], a, b, epsilon=1e-7),
}


@pytest.mark.parametrize("take", SHORT.values(), ids=SHORT)
def test_totals_of_short_numbers_are_equal_up_to_their_rounding(take):
    """0.1 + 0.2 + 0.7 in float32, the usual kind of a tensor, is 1 - 7e-9."""
    a, b = np.array([0.1, 0.2, 0.7]), np.array([0.3, 0.7])
    for short in (a.astype(np.float32), torch.tensor([0.1, 0.2, 0.7])):
        assert take(short, b) == pytest.approx(0.9, abs=1e-6)
    with pytest.raises(InputError, match="equal total masses"):
        take(torch.tensor([0.1, 0.2, 0.7]) * (1 + 2e-6), b)
    with pytest.raises(InputError, match="equal total masses"):
        take(a * (1 + 2e-9), b)


def test_the_ground_cost_takes_any_kind_and_gives_it_back():
    for x in ([0, 1], np.array([0.0, 1.0]), torch.tensor([0.0, 1.0])):
        found = transport.ground_cost(x, [[3.0]], 2)
        assert type(found) is (torch.Tensor if torch.is_tensor(x) else np.ndarray)
        assert found.tolist() == [[9.0], [4.0]]
    with pytest.raises(InputError, match="'x' must be finite"):
        transport.ground_cost([math.nan], [0.0], 1)


def test_powers_may_be_of_any_kind():
    """Roots are taken in float64, whatever kind of number p is."""
    for p in (np.float16(3), np.float32(3), Fraction(3), 3):
        found = emd([0.0, 1.0], [2.0, 3.5], p=p)
        assert type(found.distance) is float
        for distance in (found.distance, wasserstein_1d([0.0, 1.0], [2.0, 3.5], p=p)):
            assert distance == pytest.approx(((2**3 + 2.5**3) / 2) ** (1 / 3), rel=1e-15)


# Refusals


BAD_COSTS = {
    "0x0": (np.zeros((0, 0)), r"'cost' must be a non-empty matrix, got shape \(0, 0\)"),
    "0xn": (np.zeros((0, 3)), r"non-empty matrix, got shape \(0, 3\)"),
    "vector": ([1.0, 2.0], r"non-empty matrix, got shape \(2,\)"),
    "nan": ([[1.0, math.nan]], r"'cost' must be finite, but entry \(0, 1\) is nan"),
    "inf": ([[1.0], [math.inf]], r"'cost' must be finite, but entry \(1, 0\) is inf"),
    "ragged": ([[1.0], [1.0, 2.0]], "'cost' must be an array of real numbers"),
    "complex": (np.array([[1j]]), "'cost' must be an array of real numbers: it is complex"),
    "complex tensor": (torch.tensor([[1j]]), "'cost' must be an array of real numbers: it is complex"),
    "text": ([["far"]], "'cost' must be an array of real numbers"),
    "none": (None, "'cost' must be"),
    "sparse": (torch.eye(2).to_sparse(), "'cost' must be an array of real numbers: .* Sparse layout"),
    "too large a number": ([[10**400]], "'cost' must be an array of real numbers: int too large"),
}


@both_solvers
@pytest.mark.parametrize(("cost", "message"), BAD_COSTS.values(), ids=BAD_COSTS)
def test_refuses_costs(solve, cost, message):
    with pytest.raises(InputError, match=message):
        solve(cost)


BAD_MASSES = {
    "negative": ([1.5, -0.5], "must be non-negative, but entry 1 is -0.5"),
    "nan": ([math.nan, 1.0], r"must be finite, but entry \(0,\) is nan"),
    "inf": ([math.inf, 1.0], r"must be finite, but entry \(0,\) is inf"),
    "zero": ([0.0, 0.0], "must have a positive finite total mass, got 0.0"),
    "count": ([1.0, 0.0, 0.0], "must have one mass a point, so 2 of them, got 3"),
    "matrix": ([[0.5, 0.5]], "must be a non-empty vector"),
    "unequal": ([0.5, 0.6], "needs equal total masses, got (1.1 and 1|1 and 1.1). Divide each by its sum"),
}
TWO = np.eye(2)
TAKE_MASSES = {
    "emd": lambda a, b: emd(TWO, TWO, a, b),
    "emd_from_cost": lambda a, b: emd_from_cost(TWO, a, b),
    "emd_lp": lambda a, b: emd_lp(TWO, a, b),
    "wasserstein_1d": lambda a, b: wasserstein_1d([0, 1], [0, 1], a, b),
    "kantorovich_potential": lambda a, b: kantorovich_potential(TWO, TWO, a, b),
}


@pytest.mark.parametrize("take", TAKE_MASSES.values(), ids=TAKE_MASSES)
@pytest.mark.parametrize(("masses", "message"), BAD_MASSES.values(), ids=BAD_MASSES)
def test_refuses_masses(take, masses, message):
    with pytest.raises(InputError, match=message):
        take(masses, None)
    with pytest.raises(InputError, match=message):
        take(None, masses)


def test_a_total_that_overflows_is_refused():
    with np.errstate(over="ignore"), pytest.raises(InputError, match=r"positive finite total mass, got inf"):
        emd_from_cost(TWO, [1e308, 1e308], [1e308, 1e308])
    with pytest.raises(InputError, match=r"overflows float64. Scale the costs or masses down"):
        emd_from_cost([[1e300]], [1e10], [1e10])


@pytest.mark.parametrize("take", [emd, kantorovich_potential])
def test_refuses_points(take):
    with pytest.raises(InputError, match=r"must have one dimension, got 2 for x and 3 for y"):
        take(np.zeros((1, 2)), np.zeros((1, 3)))
    with pytest.raises(InputError, match=r"'y' must be finite, but entry \(0, 0\) is nan"):
        take([[0.0]], [[math.nan]])
    with pytest.raises(InputError, match=r"'x' must be a non-empty matrix, got shape \(1, 1, 1\)"):
        take(np.zeros((1, 1, 1)), [0.0])
    with pytest.raises(InputError, match=r"'x' must be a non-empty array, got shape \(0,\)"):
        take([], [0.0])
    with pytest.raises(InputError, match=r"'x' must be an array of real numbers"):
        take([[0.0], [0.0, 1.0]], [0.0])
    with pytest.raises(InputError, match=r"overflow float64. Scale the points down"):
        take([[1.5e308, 0.0]], [[-1.5e308, 0.0]])


def test_refuses_powers():
    for p in (0.5, 0, -1, math.inf, math.nan):
        with pytest.raises(InputError, match=f"The power p must be finite and >= 1, got {p}"):
            emd([0.0], [1.0], p=p)
    for p in (0.5, 0, -1, math.nan):
        with pytest.raises(InputError, match=f"The power p must be >= 1, got {p}"):
            wasserstein_1d([0.0], [1.0], p=p)
    with pytest.raises(InputError, match=r"overflow float64. Scale the points down"):
        emd([0.0], [1e200], p=2)
    with pytest.raises(InputError, match=r"underflow float64. Scale the points up"):
        emd([0.0], [1e-200], p=2)
    with pytest.raises(InputError, match=r"overflow float64. Scale the points down"):
        wasserstein_1d([1e308], [-1e308])


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_a_distance_that_the_costs_do_not_tell_from_0_is_refused(kind):
    x, y = kind([0.0, 1.0]), kind([0.25, 1.25])
    assert emd(x, y, p=10).distance == pytest.approx(0.25, rel=1e-12)
    assert emd(x, kind([1.0, 0.0]), p=500).distance == 0  # nothing moves, and that is sure
    assert emd([0.0, 3.0], [2.0, 2.0], p=40).distance == pytest.approx(2 * 2 ** (-1 / 40), rel=1e-12)
    for p in (30, 500):
        with pytest.raises(InputError, match=f"With p = {p:g} the cheapest plan costs .* smaller p"):
            emd(x, y, p=p)
    assert wasserstein_1d(x, y, p=500) == pytest.approx(0.25, rel=1e-12)


def test_refuses_what_is_not_on_the_line():
    with pytest.raises(InputError, match=r"'x' must be a non-empty vector, got shape \(1, 2\)"):
        wasserstein_1d([[0.0, 1.0]], [1.0])
    with pytest.raises(InputError, match=r"'y' must be finite, but entry \(0,\) is -inf"):
        wasserstein_1d([0.0], [-math.inf])


def test_refuses_flows():
    with pytest.raises(InputError, match=r"'Q' must have one mass a point, so 2 of them, got 3"):
        cumulative_flow([1, 2], [1, 1, 1])
    with pytest.raises(InputError, match=r"'P' must be non-negative, but entry 1 is -1"):
        cumulative_flow([1, -1], [0, 0])
    with pytest.raises(InputError, match=r"equal total masses, got 3 and 4"):
        cumulative_flow([1, 2], [2, 2])
    with pytest.raises(InputError, match=r"'P' must be a non-empty vector, got shape \(\)"):
        cumulative_flow(3, 3)


def test_refuses_points_of_another_dimension_for_a_potential():
    f = kantorovich_potential(np.zeros((1, 2)), np.ones((1, 2)))
    for z in (np.zeros((4, 3)), torch.zeros(4, 3), torch.zeros(2), torch.zeros(1, 1, 2)):
        with pytest.raises(InputError, match=r"takes points of shape \(k, 2\), got|a non-empty matrix"):
            f(z)
    with pytest.raises(InputError, match=r"'z' must be finite"):
        f([[0.0, math.nan]])


def test_a_matrix_that_would_not_fit_is_refused_before_it_is_made(monkeypatch):
    def no(*args, **kwargs):
        raise AssertionError("a cost matrix was allocated")

    monkeypatch.setattr(exact, "cdist", no)
    x = np.zeros((200_000, 1))
    with pytest.raises(InputError, match=r"200000 and 200000 points needs .* 320.0 GB.*random subset"):
        emd(x, x)
    with pytest.raises(InputError, match=r"at most 10,000 entries, got 101 x 100. Use emd_from_cost"):
        emd_lp(np.zeros((101, 100)))
    with pytest.raises(InputError, match=r"200000 and 200000 points needs"):
        kantorovich_potential(x[:1], x)  # its steps between fake points
    monkeypatch.setattr(exact, "LARGEST_COST", 5)
    with pytest.raises(InputError, match=r"Exact transport between 2 and 3 points"):
        emd_from_cost(np.zeros((2, 3)))


IN_4_GB = """
import faults
import numpy as np
from wganlab import transport
from wganlab.errors import InputError

faults.limit_memory(4 * 10**9)
points = np.zeros((200_000, 2))
for call in (
    lambda: transport.emd_from_cost(np.zeros((0, 0))),
    lambda: transport.emd_from_cost(np.zeros((0, 5))),
    lambda: transport.emd_from_cost(np.zeros((5, 0))),
    lambda: transport.sinkhorn(np.zeros((0, 0)), epsilon=1),
    lambda: transport.emd(points, points),
    lambda: transport.kantorovich_potential(points, points),
    lambda: transport.sinkhorn_divergence(points, points, epsilon=1),
    lambda: transport.emd(points[:10_000], points[:10_000]),
    lambda: transport.emd_from_cost(np.zeros((10_000, 10_000))),
):
    try:
        print("answered", call())
    except InputError:
        pass
print(transport.emd_from_cost([[2.0]]).cost, transport.emd_from_cost([[2.0] * 8]).cost)
print(transport.emd(points, points[:1]).cost)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit is not kept")
def test_shapes_at_the_edge_in_4_gb_of_memory():
    """POT ends the process for 0 x 0, and where it gets no memory: refused before it is asked."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", IN_4_GB]
    done = subprocess.run(
        command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "2.0 2.0\n0.0\n"), done.stderr


# Solvers that fail or lie


@pytest.mark.parametrize("code", [0, 2, 3, 4])
def test_a_result_code_other_than_1_is_never_a_number(monkeypatch, code):
    solved = ot.emd

    def failing(*args, **kwargs):
        plan, log = solved(*args, **kwargs)
        return plan, log | {"result_code": code, "warning": "as planned"}

    monkeypatch.setattr(ot, "emd", failing)
    for take in (emd_from_cost, lambda cost: emd(cost, cost), lambda cost: kantorovich_potential(cost, cost)):
        with pytest.raises(SolverError, match=f"stopped with code {code}: as planned"):
            take(TWO)


def test_a_failed_linear_program_is_never_a_number(monkeypatch):
    class Result:
        status, message = 4, "numerical difficulties"

    monkeypatch.setattr(exact, "linprog", lambda *args, **kwargs: Result())
    with pytest.raises(SolverError, match=r"linprog stopped with status 4: numerical difficulties"):
        emd_lp(TWO)


def corrupt_plan(plan, u, v):
    plan[0, 0] += 1e-6
    return plan, u, v


def swap_rows(plan, u, v):
    return plan[::-1].copy(), u, v


def worse_plan(plan, u, v):
    return np.outer(plan.sum(1), plan.sum(0)), u, v  # right marginals, not the least cost


LIES = {
    "plan off by 1e-6": (corrupt_plan, "marginals are off by 1.0e-06"),
    "rows of the plan swapped": (swap_rows, "duality gap is [1-9]"),
    "plan not optimal": (worse_plan, "duality gap is [1-9]"),
    "phi permuted": (lambda plan, u, v: (plan, np.roll(u, 1), v), "duality gap"),
    "psi permuted": (lambda plan, u, v: (plan, u, v[::-1].copy()), "duality gap"),
    "potentials swapped": (lambda plan, u, v: (plan, v, u), "duality gap"),
    "phi off by 1e-6": (lambda plan, u, v: (plan, u + 1e-6 * np.eye(len(u))[0], v), "duality gap"),
    "phi infeasible": (lambda plan, u, v: (plan, u + 1, v), "potentials exceed a cost by 1.0e[+]00"),
    "phi NaN": (lambda plan, u, v: (plan, u * math.nan, v), "not finite and >= 0"),
    "plan NaN": (lambda plan, u, v: (plan * math.nan, u, v), "not finite and >= 0"),
    "plan negative": (lambda plan, u, v: (plan - 1e-15, u, v), "not finite and >= 0"),
    "plan empty": (lambda plan, u, v: (plan * 0, u, v), "marginals are off by"),
}


@pytest.mark.parametrize(("lie", "message"), LIES.values(), ids=LIES)
def test_a_wrong_answer_of_the_solver_is_caught(monkeypatch, lie, message):
    rng = np.random.default_rng(3)
    x, y, a, b = rng.normal(size=(6, 2)), rng.normal(size=(6, 2)), *rng.dirichlet(np.ones(6), 2)
    honest = exact.network_simplex
    assert emd(x, y, a, b).cost > 0.1
    monkeypatch.setattr(exact, "network_simplex", lambda *problem: lie(*honest(*problem)))
    for take in (emd, kantorovich_potential):
        with pytest.raises(SolverError, match=message):
            take(x, y, a, b)


def test_the_certificate_accepts_the_truth_and_measures_the_gap():
    cost, a, b = np.array([[0.0, 1.0], [1.0, 0.5]]), np.array([0.5, 0.5]), np.array([0.5, 0.5])
    phi, psi = np.array([0.0, 0.5]), np.array([0.0, 0.0])
    value, gap = exact.certify(cost, a, b, (np.eye(2) / 2, phi, psi), 0.0)
    assert (value, gap) == (0.25, 0.0)
    free = np.zeros((2, 2))  # every plan costs 0, so that only the marginals can be wrong
    for wrong in ([[0.5 + 1e-6, 0.0], [0.0, 0.5]], [[0.5, 0.0], [0.5, 0.0]], [[0.5, 0.5], [0.0, 0.0]]):
        with pytest.raises(SolverError, match=r"marginals are off by"):
            exact.certify(free, a, b, (np.array(wrong), free[0], free[0]), math.inf)
    lower = phi - 4e-10
    answer = (np.eye(2) / 2, lower, psi)
    assert exact.certify(cost, a, b, answer, 5e-10)[1] == pytest.approx(4e-10, rel=1e-5)
    with pytest.raises(SolverError, match=r"duality gap is 4.0e-10 \(limit 3e-10\)"):
        exact.certify(cost, a, b, answer, 3e-10)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU that PyTorch can use")
def test_tensors_on_the_gpu_give_plans_on_the_gpu():
    x, y = torch.randn(5, 2, device="cuda"), torch.randn(4, 2, device="cuda")
    found, on_cpu = emd(x, y), emd(x.cpu(), y.cpu())
    assert {part.device.type for part in (found.plan, found.phi, found.psi)} == {"cuda"}
    assert torch.equal(found.plan.cpu(), on_cpu.plan)
    f = kantorovich_potential(x, y)
    assert f(x).device.type == f.gradient(x).device.type == "cuda"
    assert (f(x).mean() - f(y).mean()).item() == pytest.approx(found.cost, abs=1e-5)


def test_the_largest_distance_may_be_the_smallest_normal_float():
    assert wasserstein_1d([sys.float_info.min], [0.0]) == sys.float_info.min
    assert emd([[sys.float_info.min]], [[0.0]]).distance == sys.float_info.min


# The c-transform


@given(seeds)
@settings(max_examples=60)
def test_the_c_transform_is_the_best_partner(seed):
    x, y, a, b = clouds(seed)
    cost = transport.ground_cost(x, y, 1)
    rng = np.random.default_rng(seed)
    phi = rng.normal(size=len(x))
    psi = transport.c_transform(phi, cost)
    slack = cost - phi[:, None] - psi
    assert slack.min() >= -1e-12  # feasible
    np.testing.assert_allclose(slack.min(axis=0), 0, atol=1e-12)  # and no entry can grow
    back = transport.c_transform(psi, cost.T)
    assert (back >= phi - 1e-12).all()  # twice never loses
    np.testing.assert_allclose(transport.c_transform(back, cost), psi, atol=1e-12)  # three times is once
    assert a @ back + b @ psi <= emd(x, y, a, b).cost + 1e-9
    best = emd(x, y, a, b)
    improved = transport.c_transform(best.phi, cost)
    assert a @ best.phi + b @ improved == pytest.approx(best.cost, abs=1e-9)
    within = transport.ground_cost(x, x, 1)
    f = kantorovich_potential(x, y, a, b)(x)  # 1-Lipschitz, so its own transform up to the sign
    np.testing.assert_allclose(transport.c_transform(f, within), -f, atol=1e-9)


def test_the_c_transform_keeps_kinds_and_refuses():
    assert torch.is_tensor(transport.c_transform(torch.tensor([0.0, 1.0]), [[0.0, 2.0], [2.0, 0.0]]))
    with pytest.raises(InputError, match="one value a row of 'cost', got 2 values and a cost of shape"):
        transport.c_transform([0.0, 1.0], [[0.0, 2.0]])
    with pytest.raises(InputError, match="overflows float64"):
        transport.c_transform([-1.7e308], [[1.7e308]])
    with pytest.raises(InputError, match="'phi' must be finite"):
        transport.c_transform([math.nan], [[1.0]])


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
def test_potentials_at_any_scale(scale):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(6, 2)) / 10, rng.normal(size=(5, 2)) / 10
    f = kantorovich_potential(x * scale, y * scale)
    gap = (f(x * scale).mean() - f(y * scale).mean()) / scale
    assert gap == pytest.approx(emd(x, y).cost, abs=1e-9)
    np.testing.assert_allclose(np.linalg.norm(f.gradient(y * scale), axis=1), 1, atol=1e-9)


def test_a_potential_refuses_what_is_no_point():
    f = kantorovich_potential([[0.0, 0.0]], [[1.0, 0.0]])
    for bad in (torch.tensor([[math.nan, 0.0]]), np.array([[math.inf, 0.0]])):
        with pytest.raises(InputError, match="finite"):
            f(bad)
    with pytest.raises(InputError, match="'z' must be an array of real numbers: it is complex"):
        f(torch.tensor([[1j, 0.0]]))
    with pytest.raises(InputError, match="overflows float64 there"):
        f([[1.7e308, 1.7e308]])
