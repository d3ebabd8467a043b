"""Penalties worked out by hand, one ratio per row, and gradients that stay finite."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wganlab import networks
from wganlab.constraints import (
    R1,
    Constraint,
    Dragan,
    GradientPenalty,
    WassersteinDivergence,
    WeightClipping,
    hash_uniform,
    input_gradient,
)
from wganlab.errors import InputError


def linear(*slopes):
    """The critic f(x) = <slopes, x>."""
    critic = nn.Linear(len(slopes), 1, bias=False, dtype=torch.float64)
    critic.weight.data = torch.tensor([slopes], dtype=torch.float64)
    return nn.Sequential(critic, nn.Flatten(0))


def quadratic(x):
    return 0.5 * x.flatten(1).square().sum(1)


def segment(m=4, *row):
    torch.manual_seed(0)
    x, x_fake = torch.randn(2, m, *(row or (2,)), dtype=torch.float64)
    return x, x_fake, torch.rand(m, dtype=torch.float64)


def row_by_row(critic, x, x_fake, eps, weight=10.0, one_sided=False):
    """The penalty by a loop: one gradient and one norm for each row, on its own."""
    terms = []
    for k in range(len(x)):
        point = (eps[k] * x[k] + (1 - eps[k]) * x_fake[k]).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(point[None]).sum(), point)
        excess = math.sqrt(sum(g**2 for g in gradient.flatten().tolist())) - 1
        terms.append(max(0.0, excess) ** 2 if one_sided else excess**2)
    return weight * sum(terms) / len(terms)


# The gradient penalty


def test_a_linear_critic_of_slope_5_costs_16_lambda():
    for weight in (1.0, 10.0):
        found = GradientPenalty(weight).penalty(linear(3, 4), *segment())
        assert found.item() == pytest.approx(16 * weight, rel=1e-12)
        assert found.shape == ()


@pytest.mark.parametrize("m", [1, 2, 64])
def test_one_ratio_per_row_whatever_the_batch(m):
    """One norm over the whole batch would give slope 5 sqrt(m), or 5 / sqrt(m) of a mean."""
    assert GradientPenalty(1.0).penalty(linear(3, 4), *segment(m)).item() == pytest.approx(16, rel=1e-12)


def test_slope_1_costs_nothing_and_slope_half_costs_a_quarter():
    assert GradientPenalty(1.0).penalty(linear(0.6, 0.8), *segment()).item() == pytest.approx(0, abs=1e-15)
    assert GradientPenalty(1.0).penalty(linear(0.5, 0), *segment()).item() == pytest.approx(0.25, rel=1e-12)
    one_sided = GradientPenalty(1.0, one_sided=True)
    assert one_sided.penalty(linear(0.5, 0), *segment()).item() == 0
    assert one_sided.penalty(linear(3, 4), *segment()).item() == pytest.approx(16, rel=1e-12)


def test_a_quadratic_critic_by_hand():
    """f = |x|^2 / 2 has slope |x|. x = (2, 0), x_fake = 0: slope 2 eps. eps = 0, 1/4, 1 gives
    excess -1, -1/2, 1, so the mean square is (1 + 1/4 + 1) / 3 = 3/4; one-sided, 1/3."""
    x, x_fake = torch.tensor([[2.0, 0.0]] * 3), torch.zeros(3, 2)
    eps = torch.tensor([0.0, 0.25, 1.0])
    assert GradientPenalty(10.0).penalty(quadratic, x, x_fake, eps).item() == pytest.approx(7.5, rel=1e-6)
    one_sided = GradientPenalty(3.0, one_sided=True)
    assert one_sided.penalty(quadratic, x, x_fake, eps).item() == pytest.approx(1, rel=1e-6)


def test_its_mean_over_eps():
    """E (2 eps - 1)^2 = 1/3 for eps uniform on [0, 1]."""
    m = 4000
    x, eps = torch.tensor([[2.0, 0.0]] * m).double(), (torch.arange(m).double() + 0.5) / m
    found = GradientPenalty(1.0).penalty(quadratic, x, torch.zeros_like(x), eps)
    assert found.item() == pytest.approx(1 / 3, rel=1e-6)


def test_eps_1_is_the_real_end_of_the_segment():
    x, x_fake = torch.full((2, 1), 3.0), torch.zeros(2, 1)
    for eps, slope in ((torch.ones(2), 3), (torch.zeros(2), 0)):
        found = GradientPenalty(1.0).penalty(quadratic, x, x_fake, eps).item()
        assert found == pytest.approx((slope - 1) ** 2, rel=1e-6)


def test_on_pictures_the_slope_is_the_norm_of_all_pixels():
    x, x_fake, eps = segment(4, 1, 2, 2)
    critic = nn.Sequential(nn.Flatten(), linear(1, 2, 2, 4))  # norm 5
    assert GradientPenalty(1.0).penalty(critic, x, x_fake, eps).item() == pytest.approx(16, rel=1e-12)
    x, x_fake, eps = segment(3, 3, 8, 8)
    found = GradientPenalty().penalty(quadratic, x, x_fake, eps).item()
    assert found == pytest.approx(row_by_row(quadratic, x, x_fake, eps), rel=1e-12)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
def test_equals_a_loop_over_rows(seed, one_sided):
    torch.manual_seed(seed)
    critic = networks.mlp(3, 1, hidden=(16, 16), slope=0.2).double()
    with torch.no_grad():
        critic[0].weight.mul_(5)
    x, x_fake = torch.randn(2, 5, 3, dtype=torch.float64)
    eps = torch.rand(5, dtype=torch.float64)
    found = GradientPenalty(one_sided=one_sided).penalty(critic, x, x_fake, eps).item()
    expected = row_by_row(critic, x, x_fake, eps, one_sided=one_sided)
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-14)
    order = torch.randperm(5)
    again = GradientPenalty(one_sided=one_sided).penalty(critic, x[order], x_fake[order], eps[order])
    assert again.item() == pytest.approx(found, rel=1e-10, abs=1e-14)
    assert found >= GradientPenalty(one_sided=True).penalty(critic, x, x_fake, eps).item() - 1e-12


# Its gradients


def test_the_penalty_has_the_right_gradient_in_the_weights():
    """10 (|w| - 1)^2 at w = (3, 4): 20 (5 - 1) w / 5 = (48, 64)."""
    critic = linear(3, 4)
    GradientPenalty(10.0).penalty(critic, *segment()).backward()
    assert critic[0].weight.grad.flatten().tolist() == pytest.approx([48, 64], rel=1e-12)


def test_the_gradient_in_the_weights_is_that_of_finite_differences():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 8), nn.Softplus(), nn.Linear(8, 1), nn.Flatten(0)).double()
    batch, weights = segment(), list(critic.parameters())
    penalty = GradientPenalty(10.0)
    gradients = torch.autograd.grad(penalty.penalty(critic, *batch), weights, allow_unused=True)
    assert gradients[-1] is None or not gradients[-1].any()  # the last bias does not change a slope
    for weight, gradient in zip(weights[:-1], gradients, strict=False):
        for k in range(weight.numel()):
            values = []
            for h in (1e-6, -2e-6):
                weight.data.view(-1)[k] += h
                values.append(penalty.penalty(critic, *batch).item())
            weight.data.view(-1)[k] += 1e-6
            assert gradient.view(-1)[k].item() == pytest.approx(
                (values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-6
            )


@pytest.mark.parametrize("one_sided", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_dead_critic_costs_lambda_and_has_finite_gradients(one_sided, dtype):
    torch.manual_seed(0)
    critic = networks.mlp(2, 1, hidden=(4,)).to(dtype)
    for weight in critic.parameters():
        nn.init.zeros_(weight)
    batch = [part.to(dtype) for part in segment()]
    found = GradientPenalty(10.0, one_sided=one_sided).penalty(critic, *batch)
    assert found.item() == (0 if one_sided else 10)
    gradients = torch.autograd.grad(found, list(critic.parameters()), allow_unused=True)
    assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)
    assert any(gradient is not None for gradient in gradients)


def test_a_slope_of_zero_in_one_row_leaves_the_others_alone():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    found = GradientPenalty(1.0).penalty(lambda x: scale * quadratic(x), x, x, torch.ones(2))
    assert found.item() == pytest.approx((1 + 16) / 2)
    (gradient,) = torch.autograd.grad(found, scale)  # rows: 0, and 2 (5 - 1) 5
    assert gradient.item() == pytest.approx(20, rel=1e-12)


def test_nothing_flows_into_the_batch_and_nothing_is_changed():
    x, x_fake, eps = (part.requires_grad_() for part in segment())
    before = [part.detach().clone() for part in (x, x_fake, eps)]
    critic = linear(3, 4)
    found = GradientPenalty().penalty(critic, x, x_fake, eps)
    gradients = torch.autograd.grad(found, [x, x_fake, eps], allow_unused=True)
    assert gradients == (None, None, None)
    assert all(torch.equal(part, copy) for part, copy in zip((x, x_fake, eps), before, strict=True))
    assert critic[0].weight.grad is None


def test_input_gradient_is_that_of_each_row():
    x = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert torch.equal(input_gradient(quadratic, x), x)
    assert not x.requires_grad
    pictures = torch.randn(2, 1, 3, 3)
    assert input_gradient(quadratic, pictures).shape == pictures.shape
    scale = torch.tensor(2.0, requires_grad=True)
    (second,) = torch.autograd.grad(input_gradient(lambda x: scale * quadratic(x), x).sum(), scale)
    assert second.item() == x.sum()


# Refusals

x, x_fake, eps = segment()
SEGMENTS = {
    "shapes": ((x, x_fake[:3], eps), r"one shape \(m, ...\), got \(4, 2\) and \(3, 2\)"),
    "vector": ((x[:, 0], x_fake[:, 0], eps), r"got \(4,\) and \(4,\). Give points on the line as \(m, 1\)"),
    "eps a batch": ((x, x_fake, eps[:1]), r"one eps a row, shape \(4,\), got \(1,\)"),
    "eps a scalar": ((x, x_fake, eps[0]), r"one eps a row, shape \(4,\), got \(\)"),
    "eps a column": ((x, x_fake, eps[:, None]), r"got \(4, 1\). One eps a pixel"),
    "eps a pixel": ((x, x_fake, x), r"got \(4, 2\). One eps a pixel leaves the segment"),
}


@pytest.mark.parametrize(("batch", "message"), SEGMENTS.values(), ids=SEGMENTS)
def test_refuses_segments(batch, message):
    with pytest.raises(InputError, match=message):
        GradientPenalty().penalty(linear(3, 4), *batch)


@pytest.mark.parametrize("bad", [0, -1, math.inf, math.nan])
def test_refuses_weights_and_bounds(bad):
    with pytest.raises(InputError, match=f"needs a weight > 0, got {bad}. The paper's value is 10"):
        GradientPenalty(bad)
    with pytest.raises(InputError, match=f"needs a bound c > 0, got {bad}. The paper's value is 0.01"):
        WeightClipping(bad)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False)])
def test_refuses_batch_norm(norm):
    critic = nn.Sequential(nn.Linear(2, 2), norm, nn.Linear(2, 1), nn.Flatten(0)).double()
    message = "scores each row on its own, but '1' is BatchNorm1d, .* Use LayerNorm or GroupNorm"
    for act in (GradientPenalty().check, lambda critic: GradientPenalty().penalty(critic, *segment())):
        with pytest.raises(InputError, match=message):
            act(critic)
    WeightClipping().check(critic)  # which the WGAN paper does not forbid
    Constraint().check(critic)
    if norm.track_running_stats:  # with fixed statistics it is an affine map of each row
        GradientPenalty().check(critic.eval())
    else:
        with pytest.raises(InputError, match=r"BatchNorm1d"):
            GradientPenalty().check(critic.eval())


@pytest.mark.parametrize("norm", [nn.LayerNorm(4), nn.GroupNorm(1, 4), nn.InstanceNorm1d(4)], ids=str)
def test_takes_the_norms_of_one_row(norm):
    GradientPenalty().check(nn.Sequential(nn.Linear(2, 4), norm))


# Clipping, and no constraint


def test_clipping_bounds_every_weight_and_bias_and_no_buffer():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 50), nn.BatchNorm1d(50), nn.Linear(50, 1))
    critic[1].running_var.fill_(3.0)
    before = [weight.detach().clone() for weight in critic.parameters()]
    WeightClipping(0.1).project(critic)
    for weight, old in zip(critic.parameters(), before, strict=True):
        assert torch.equal(weight, old.clamp(-0.1, 0.1))
    largest = max(weight.abs().max().item() for weight in critic.parameters())
    assert largest == pytest.approx(0.1, rel=1e-6)
    assert (critic[1].running_var == 3).all()
    assert all(weight.requires_grad and weight.grad is None for weight in critic.parameters())


def test_clipping_leaves_small_weights_and_is_idempotent():
    critic = nn.Linear(2, 1)
    critic.weight.data, critic.bias.data = torch.tensor([[0.005, -7.0]]), torch.tensor([0.02])
    for _ in range(2):
        WeightClipping().project(critic)
        assert critic.weight.tolist() == [pytest.approx([0.005, -0.01])]
        assert critic.bias.tolist() == pytest.approx([0.01])


@pytest.mark.parametrize(
    "compute",
    [nn.utils.parametrizations.spectral_norm, nn.utils.parametrizations.weight_norm, nn.utils.spectral_norm],
)
def test_clipping_refuses_weights_that_are_computed_from_others(compute):
    critic = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), compute(nn.Linear(4, 1)), nn.Flatten(0))
    before = [weight.clone() for weight in critic.parameters()]
    for call in (WeightClipping().check, WeightClipping().project):
        with pytest.raises(InputError, match="those of '2' are computed from others"):
            call(critic)
    assert all(map(torch.equal, before, critic.parameters()))


def test_what_a_constraint_does_not_do_is_nothing():
    x, x_fake, eps = segment()
    for constraint in (Constraint(), WeightClipping()):
        none = constraint.penalty(quadratic, x, x_fake, eps)
        assert none.item() == 0
        assert (none.shape, none.dtype) == ((), torch.float64)
    critic = nn.Linear(2, 1)
    before = [weight.detach().clone() for weight in critic.parameters()]
    for constraint in (Constraint(), GradientPenalty()):
        constraint.project(critic)
    assert all(torch.equal(a, b) for a, b in zip(before, critic.parameters(), strict=True))


def test_constraints_are_values():
    assert GradientPenalty() == GradientPenalty(10.0, one_sided=False) != GradientPenalty(1.0)
    assert (WeightClipping().c, GradientPenalty().weight) == (0.01, 10.0)
    assert len({repr(c) for c in (Constraint(), WeightClipping(), GradientPenalty())}) == 3


# What the penalty does to the estimate of W1


@pytest.mark.parametrize("weight", [0.1, 1.0, 10.0])
def test_the_penalised_optimum_of_two_atoms_is_steeper_than_1(weight):
    """Atoms at 0 and d: the best slope is 1 + d / (2 lambda), the gap d + d^2 / (2 lambda)."""
    d = 2.0
    x, x_fake = torch.full((1, 1), d).double(), torch.zeros(1, 1).double()
    slopes = np.linspace(-5, 15, 2001)
    penalty = GradientPenalty(weight).penalty
    objective = [d * s - penalty(lambda x, s=s: s * x[:, 0], x, x_fake, torch.ones(1)).item() for s in slopes]
    best = slopes[np.argmax(objective)]
    assert best == pytest.approx(1 + d / (2 * weight), abs=0.011)
    assert d * best == pytest.approx(d + d**2 / (2 * weight), abs=0.021)


# The other penalties


def test_r1_by_hand():
    """D(x) = 3x: 10/2 * 9 = 45, where the gradient penalty of weight 10 is 10 (3 - 1)^2 = 40."""
    x, x_fake, eps = segment(4, 1)
    assert R1(10.0).penalty(linear(3), x, x_fake, eps).item() == pytest.approx(45, rel=1e-12)
    assert GradientPenalty(10.0).penalty(linear(3), x, x_fake, eps).item() == pytest.approx(40, rel=1e-12)


def test_r1_looks_at_the_real_points_alone():
    """f = |x|^2 / 2 at (3, 4) and (0, 0): gamma/2 * (25 + 0) / 2."""
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    for x_fake in (torch.zeros(2, 2), torch.full((2, 2), 100.0)):
        assert R1(2.0).penalty(quadratic, x, x_fake, torch.rand(2)).item() == 12.5


def test_wasserstein_divergence_by_hand():
    """f = |x|^2 / 2 from x = (2, 0) to 0: slope 2 eps = 0, 1, 2, so k (0 + 1 + 2^p) / 3."""
    x, x_fake, eps = torch.tensor([[2.0, 0.0]] * 3), torch.zeros(3, 2), torch.tensor([0.0, 0.5, 1.0])
    assert WassersteinDivergence().penalty(quadratic, x, x_fake, eps).item() == pytest.approx(
        2 * 65 / 3, rel=1e-6
    )
    assert WassersteinDivergence(3.0, 2.0).penalty(quadratic, x, x_fake, eps).item() == pytest.approx(
        5, rel=1e-6
    )


def test_dragan_by_hand():
    """f = |x|^2 / 2 near x: the slope is the length of x + eps scale std u, where eps decides u."""
    x, _, eps = segment(5, 3)
    x_hat = x + eps[:, None] * 0.5 * x.std() * hash_uniform(eps, (3,))
    expected = 10 * (x_hat.norm(dim=1) - 1).square().mean().item()
    found = Dragan().penalty(quadratic, x, torch.full_like(x, math.nan), eps)
    assert found.item() == pytest.approx(expected, rel=1e-12)


ONES = torch.ones(2, 2)
OTHERS = [R1(), Dragan(), WassersteinDivergence()]
each_other = pytest.mark.parametrize("constraint", OTHERS, ids=lambda c: type(c).__name__)


@each_other
def test_their_gradients_in_the_weights_are_those_of_finite_differences(constraint):
    torch.manual_seed(0)
    critic = networks.mlp(2, 1, hidden=(6,), slope=0.3).double()
    x, x_fake, eps = segment(8)
    weights = list(critic.parameters())
    found = torch.autograd.grad(constraint.penalty(critic, x, x_fake, eps), weights, allow_unused=True)
    for weight, gradient in zip(weights, found, strict=True):
        if gradient is None or weight.ndim < 2:  # biases move only where the kinks are
            continue
        way, h = torch.randn_like(weight), 1e-6
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight += sign * h * way
            values.append(constraint.penalty(critic, x, x_fake, eps).item())
            with torch.no_grad():
                weight -= sign * h * way
        assert (values[0] - values[1]) / (2 * h) == pytest.approx(
            (gradient * way).sum().item(), rel=1e-5, abs=1e-7
        )


@each_other
def test_on_pictures_they_take_all_pixels(constraint):
    """f = sum of all pixels: slope sqrt(12) on 3 x 2 x 2."""
    x, x_fake, eps = segment(4, 3, 2, 2)
    expected = {"R1": 5 * 12, "Dragan": 10 * (12**0.5 - 1) ** 2, "WassersteinDivergence": 2 * 12**3}
    found = constraint.penalty(lambda x: x.flatten(1).sum(1), x, x_fake, eps).item()
    assert found == pytest.approx(expected[type(constraint).__name__], rel=1e-9)


@each_other
def test_a_dead_critic_has_finite_gradients_under_them(constraint):
    critic = networks.mlp(2, 1, hidden=(4,))
    for weight in critic.parameters():
        weight.data.zero_()
    x, x_fake, eps = (part.float() for part in segment())
    gradients = torch.autograd.grad(
        constraint.penalty(critic, x, x_fake, eps), list(critic.parameters()), allow_unused=True
    )
    assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)


@each_other
def test_they_refuse_batch_norm_and_change_nothing(constraint):
    critic = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1), nn.Flatten(0))
    with pytest.raises(InputError, match=f"{type(constraint).__name__} needs a critic that scores each row"):
        constraint.check(critic)
    x, x_fake, eps = segment()
    before = x.clone()
    right, state = linear(1, 2), torch.get_rng_state()
    constraint.penalty(right, x, x_fake, eps)
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)  # no randomness but the draw's


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: R1(0.0), "R1 needs gamma > 0, got 0.0"),
        (lambda: Dragan(-1.0), "Dragan needs a weight > 0"),
        (lambda: Dragan(1.0, math.inf), "Dragan needs a scale > 0, got inf"),
        (lambda: WassersteinDivergence(k=0), "k > 0"),
        (lambda: WassersteinDivergence(p=1.5), "p >= 2"),
        (
            lambda: WassersteinDivergence().penalty(quadratic, ONES, torch.ones(3, 2), torch.ones(2)),
            "one shape",
        ),
        (lambda: Dragan().penalty(quadratic, ONES, ONES, ONES), "one eps a row"),
    ],
)
def test_the_other_penalties_refuse(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_hash_uniform_is_uniform_and_without_a_pattern():
    """Means, variances and correlations of neighbours, of rows, and with eps itself: of uniform numbers."""
    eps = torch.rand(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = hash_uniform(eps, (50,))
    assert u.shape == (2000, 50)
    assert ((u >= 0) & (u < 1)).all()
    count = torch.histc(u, 20, 0, 1) / u.numel()
    assert (count - 0.05).abs().max() < 5 * (0.05 * 0.95 / u.numel()) ** 0.5
    columns = torch.corrcoef(torch.cat([u.T, eps[None]]))
    rows = torch.corrcoef(u[:200])
    for matrix, n in ((columns, 2000), (rows, 50)):
        off = matrix - torch.eye(len(matrix), dtype=torch.float64)
        assert off.abs().max() < 5.5 / n**0.5
        assert abs(off.square().mean().item() * n - 1) < 0.3


def test_hash_uniform_is_a_function_of_each_row_and_keeps_its_precision():
    eps = torch.rand(6)
    u = hash_uniform(eps, (3, 2, 2))
    assert u.dtype == torch.float32
    assert torch.equal(u[4:], hash_uniform(eps[4:], (3, 2, 2)))
    assert torch.equal(u, hash_uniform(eps, (3, 2, 2)))
    ends = hash_uniform(torch.tensor([0.0, 1 - 2**-24]), (1000,))
    assert ((ends >= 0) & (ends < 1)).all()
    assert abs(ends.mean().item() - 0.5) < 0.03
