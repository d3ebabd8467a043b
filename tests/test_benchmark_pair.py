"""The funnel pair's truth is the truth: exact transport on samples, and laws of its potential."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from wganlab import transport
from wganlab.benchmark_pair import SIDE, FunnelPair
from wganlab.errors import InputError

pairs = st.builds(
    FunnelPair, dim=st.integers(1, 9), funnels=st.sampled_from([1, 2, 4, 16]), seed=st.integers(0, 1000)
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def couple(pair, n, seed=0):
    x, y = pair.couple(n, rng(seed))
    return x.double(), y.double()


@given(pairs)
@settings(max_examples=40)
def test_every_point_slides_down_its_ray_inside_the_box(pair):
    x, y = couple(pair, 200)
    drop = pair.potential(x) - pair.potential(y)
    assert torch.allclose(drop, (x - y).norm(dim=1), rtol=0, atol=1e-5)  # drawn in float32
    assert y.abs().max() <= SIDE + 1e-5
    assert x.abs().max() <= SIDE


@given(pairs)
@settings(max_examples=40)
def test_the_potential_is_1_lipschitz_with_the_gradient_it_says(pair):
    x = torch.empty(100, pair.dim, dtype=torch.float64).uniform_(-4, 4, generator=rng(1))
    u, distance = pair.potential(x), torch.cdist(x, x)
    assert ((u[:, None] - u).abs() <= distance + 1e-9).all()
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(pair.potential(leaf).sum(), leaf)
    assert torch.allclose(gradient, pair.gradient(x), rtol=0, atol=1e-9)
    assert torch.allclose(gradient.norm(dim=1), torch.ones(100).double(), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("dim", "funnels"), [(1, 3), (2, 1), (2, 4), (8, 4), (3, 64)])
def test_its_plan_costs_what_exact_transport_costs(dim, funnels):
    x, y = couple(FunnelPair(dim, funnels, seed=3), 300)
    shuffled = y[torch.randperm(300, generator=rng(2))]
    assert transport.emd(x, shuffled).distance == pytest.approx((x - y).norm(dim=1).mean().item(), abs=1e-6)


def test_w1_on_the_line_is_an_integral():
    """One funnel at a, rays of length L to the walls: the mean of r - L (r/L)^8 is L (1/2 - 1/9)."""
    pair = FunnelPair(1, funnels=1, seed=5)
    a = pair.tips[0].item()
    expected = sum(length**2 * (1 / 2 - 1 / 9) for length in (SIDE - a, SIDE + a)) / (2 * SIDE)

    def drop(x):
        r, length = abs(x - a), SIDE - a if x > a else SIDE + a
        return r - length * (r / length) ** 8

    by_quadrature = quad(drop, -SIDE, SIDE, points=[a])[0] / (2 * SIDE)
    assert expected == pytest.approx(by_quadrature, rel=1e-9)
    assert pair.w1 == pytest.approx(expected, rel=5e-6)


def test_where_two_funnels_meet_the_ray_ends():
    """In the plane, from the formula of where a ray leaves its cell: u has two equal terms there."""
    pair = FunnelPair(2, funnels=6, seed=11)
    x = pair.real(500, rng()).double()
    mine = pair.terms(x).argmin(dim=1)
    a = pair.tips[0][mine]
    r = (x - a).norm(dim=1)
    seventh = (pair.slide(x) - a).norm(dim=1) / r  # (t^8 R) / (t R) = t^7
    x, a, r, seventh = (part[seventh > 1e-5] for part in (x, a, r, seventh))
    reach = r / seventh ** (1 / 7)
    top = a + (x - a) / r[:, None] * reach[:, None]
    terms = pair.terms(top).sort(dim=1).values
    at_border = (terms[:, 1] - terms[:, 0]).abs() < 1e-6
    at_wall = (top.abs().amax(dim=1) - SIDE).abs() < 1e-6
    assert (at_border | at_wall).all()
    assert at_border.any()
    assert at_wall.any()


def test_w1_agrees_with_sampling_and_knows_its_error():
    pair = FunnelPair(8, funnels=4, seed=0)
    x, y = couple(pair, 100_000)
    drop = (x - y).norm(dim=1)
    error = math.hypot(drop.std().item() / math.sqrt(len(drop)), pair.w1_error)
    assert abs(pair.w1 - drop.mean().item()) < 5 * error
    assert pair.w1_error < 0.002 * pair.w1


def test_samplers_are_functions_of_the_generator_alone():
    pair = FunnelPair(2, seed=1)
    assert torch.equal(pair.real(10, rng(1)), pair.real(10, rng(1)))
    assert torch.equal(pair.couple(10, rng(1))[1], pair.fake(10, rng(1)))
    assert torch.equal(FunnelPair(2, seed=1).fake(10, rng(1)), pair.fake(10, rng(1)))
    assert not torch.equal(FunnelPair(2, seed=2).fake(10, rng(1)), pair.fake(10, rng(1)))


def test_kinds_and_precision_are_kept():
    pair = FunnelPair(2)
    x = torch.zeros(3, 2)
    assert pair.potential(x).dtype == pair.gradient(x).dtype == torch.float32
    assert isinstance(pair.potential(x.numpy()), np.ndarray)
    assert isinstance(pair.gradient([[0.0, 1.0]]), np.ndarray)
    assert pair.potential(x.requires_grad_()).requires_grad
    assert not pair.gradient(x).requires_grad


def test_at_its_tip_a_point_stays():
    pair = FunnelPair(2, funnels=1)
    tip = pair.tips[0]
    assert torch.equal(pair.slide(tip), tip)
    assert torch.equal(pair.gradient(tip), torch.zeros(1, 2).double())


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: FunnelPair(0), "dim >= 1"),
        (lambda: FunnelPair(2, 0), "funnels >= 1"),
        (lambda: FunnelPair(2, seed=-1), "seed >= 0"),
        (lambda: FunnelPair(2).potential(torch.zeros(3, 3)), r"lives in 2 dimensions: .* got shape \(3, 3\)"),
        (lambda: FunnelPair(2).gradient(torch.full((1, 2), math.nan)), "finite points"),
        (lambda: FunnelPair(2).slide(torch.zeros(2)), "lives in 2 dimensions"),
    ],
)
def test_refuses(call, says):
    with pytest.raises(InputError, match=says):
        call()
