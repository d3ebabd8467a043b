"""The penalised critic of a sample: closed forms, another solver, a bound for critics, invariances."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from wganlab.constraints import GradientPenalty
from wganlab.errors import InputError, SolverError
from wganlab.transport import emd, penalised_sample
from wganlab.transport.exact import ground_cost


def points(n, m, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5


def value(f, g, far, weight):
    excess = np.maximum(np.abs(f[:, None] - g) / far - 1, 0)
    return f.mean() - g.mean() - weight * (excess**2).mean()


@pytest.mark.parametrize("weight", [0.1, 1.0, 10.0, 1e4])
def test_two_points(weight):
    found = penalised_sample([[3.0, 4.0, 0.0]], [[0.0, 0.0, 0.0]], weight=weight)
    assert found.objective == pytest.approx(5 + 25 / (4 * weight), rel=1e-9)
    assert found.estimate == pytest.approx(5 + 25 / (2 * weight), rel=1e-9)
    assert found.f_x[0] - found.f_fake[0] == pytest.approx(found.estimate, rel=1e-12)
    assert found.plan.tolist() == [[1.0]]


@pytest.mark.parametrize("weight", [0.25, 0.5, 2.0, 20.0])
@pytest.mark.parametrize("away", [1.5, 2.0])
def test_two_and_two_points(weight, away):
    """A rectangle with near pairs at distance 1 and far ones at ``away``: p on each near road."""
    x, x_fake = [[0.0, 0.0, 0.0], [1.0, away, 0.0]], [[1.0, 0.0, 0.0], [0.0, away, 0.0]]
    p = min(0.5, (away**2 + weight * (away - 1)) / (2 * (1 + away**2)))
    flows = np.array([p, 0.5 - p]) * [1, away]
    found = penalised_sample(x, x_fake, weight=weight)
    assert found.cost == pytest.approx(2 * flows.sum() + 2 * (flows**2).sum() / weight, rel=1e-9)
    assert found.plan == pytest.approx(np.array([[p, 0.5 - p], [0.5 - p, p]]), abs=1e-8)
    assert found.estimate == pytest.approx(2 * flows.sum() + 4 * (flows**2).sum() / weight, rel=1e-7)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_simplex_is_two_points(n):
    """All distances equal: every road carries the same, and the number is that of two points."""
    corners = np.eye(2 * n) * 3
    found = penalised_sample(corners[:n], corners[n:], weight=2.0)
    far = 3 * math.sqrt(2)
    assert found.objective == pytest.approx(far + far**2 / 8, rel=1e-9)
    assert found.plan == pytest.approx(np.full((n, n), 1 / n**2), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(2, 3), (4, 4), (7, 5)])
@pytest.mark.parametrize("weight", [0.1, 1.0, 30.0])
def test_an_independent_solver_agrees(n, m, weight):
    x, x_fake = points(n, m)
    far = ground_cost(x, x_fake, 1.0)
    found = penalised_sample(x, x_fake, weight=weight)
    best = minimize(
        lambda both: -value(both[:n], both[n:], far, weight),
        np.concatenate([found.f_x, found.f_fake]) + np.random.default_rng(1).normal(size=n + m),
        method="BFGS",
        options={"gtol": 1e-9},
    )
    assert -best.fun == pytest.approx(found.objective, rel=1e-6)
    assert value(found.f_x, found.f_fake, far, weight) == pytest.approx(found.objective, rel=1e-12)


@given(st.integers(1, 8), st.integers(1, 8), st.sampled_from([0.05, 1.0, 20.0]), st.integers(0, 10**6))
@settings(max_examples=30)
def test_the_certificate(n, m, weight, seed):
    x, x_fake = points(n, m, 4, seed)
    far = ground_cost(x, x_fake, 1.0)
    found = penalised_sample(x, x_fake, weight=weight)
    assert found.objective <= found.cost * (1 + 1e-12)
    assert found.cost - found.objective <= 1e-9 * found.cost
    assert found.plan.sum(1) == pytest.approx(np.full(n, 1 / n), rel=1e-12)
    assert found.plan.sum(0) == pytest.approx(np.full(m, 1 / m), rel=1e-12)
    paid = np.abs(found.plan) * far
    assert (paid + n * m / (4 * weight) * paid**2).sum() == pytest.approx(found.cost, rel=1e-12)
    assert (paid + n * m / (2 * weight) * paid**2).sum() == pytest.approx(found.estimate, rel=1e-4)
    w1, product = emd(x, x_fake).distance, far.mean() + (far**2).mean() / (4 * weight)
    assert w1 * (1 - 1e-9) <= found.cost <= product * (1 + 1e-9)
    assert np.concatenate([found.f_x, found.f_fake]).mean() == pytest.approx(0, abs=1e-9)


def test_it_falls_to_w1_as_the_weight_grows():
    x, x_fake = points(12, 9)
    costs = [penalised_sample(x, x_fake, weight=w).cost for w in (0.1, 1, 10, 100, 1e4)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == pytest.approx(emd(x, x_fake).distance, rel=1e-3)


def test_mass_may_go_from_a_real_point_to_a_fake_one():
    """Left three fakes and one real point, right three real points and one fake."""
    far_left = [[-10.0, 0, 0], [-10, 1, 0], [-10, 0, 1]]
    far_right = [[10.0, 0, 0], [10, 1, 0], [10, 0, 1]]
    x, x_fake = [[-10, 0.6, 0.6], *far_right], [*far_left, [10, 0.6, 0.6]]
    plan = penalised_sample(x, x_fake, weight=1.0).plan
    assert plan[0, 3] < -0.04
    assert np.delete(plan, 3).min() > 0.04


@pytest.mark.parametrize("scale", [1e-150, 0.3, 1e150])
def test_lengths_and_weight_scale_together(scale):
    x, x_fake = points(4, 5)
    one = penalised_sample(x, x_fake, weight=1.0)
    other = penalised_sample(x * scale, x_fake * scale, weight=scale)
    assert other.objective / scale == pytest.approx(one.objective, rel=1e-9)
    assert other.plan == pytest.approx(one.plan, abs=1e-7)


def test_order_place_sides_and_copies_do_not_matter():
    x, x_fake = points(5, 6)
    one = penalised_sample(x, x_fake, weight=1.0)
    turned = penalised_sample(x[::-1] + 7, x_fake[[3, 0, 5, 1, 4, 2]] + 7, weight=1.0)
    assert turned.objective == pytest.approx(one.objective, rel=1e-9)
    assert turned.f_x[::-1] == pytest.approx(one.f_x, abs=1e-6)
    swapped = penalised_sample(x_fake, x, weight=1.0)
    assert swapped.objective == pytest.approx(one.objective, rel=1e-9)
    assert np.abs(swapped.plan.T - one.plan).max() < 1e-7
    twice = penalised_sample(np.tile(x, (2, 1)), x_fake, weight=1.0)  # the same law of the interpolates
    assert twice.objective == pytest.approx(one.objective, rel=1e-9)


@pytest.mark.parametrize("one_sided", [True, False])
def test_no_critic_does_better(one_sided):
    """100 places on each segment; midpoints overestimate no slope's penalty by more than their step."""
    x, x_fake = (torch.from_numpy(some).float() for some in points(3, 4))
    best = penalised_sample(x, x_fake, weight=1.0).objective
    i, j, t = torch.cartesian_prod(torch.arange(3), torch.arange(4), torch.arange(100)).T
    penalty = GradientPenalty(1.0, one_sided=one_sided)
    for seed in range(5):
        torch.manual_seed(seed)
        critic = nn.Sequential(nn.Linear(3, 32), nn.SiLU(), nn.Linear(32, 1), nn.Flatten(0))
        adam = torch.optim.Adam(critic.parameters(), lr=1e-2)
        for _ in range(40):
            adam.zero_grad()
            paid = penalty.penalty(critic, x[i], x_fake[j], (t + 0.5) / 100)
            objective = critic(x).mean() - critic(x_fake).mean() - paid
            (-objective).backward()
            adam.step()
            assert objective.item() < best + 1e-2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weight": 0.0}, "weight > 0, got 0"),
        ({"x_fake": [[0.0, 0.0]]}, "no point that is real and fake"),
        ({"x_fake": [[1.0]]}, "one dimension"),
        ({"x": [[math.nan, 0.0]]}, "'x' must be finite"),
        ({"weight": "many"}, "'weight'"),
    ],
)
def test_what_it_refuses(change, says):
    right = {"x": [[0.0, 0.0]], "x_fake": [[1.0, 0.0]], "weight": 1.0}
    with pytest.raises(InputError, match=says):
        penalised_sample(**(right | change))


def test_a_weight_that_is_w1_is_no_number():
    x, x_fake = points(60, 60)
    with pytest.raises(SolverError, match="near W1, emd is the solver"):
        penalised_sample(x, x_fake, weight=1e12)
