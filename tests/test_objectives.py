"""Losses on fixed scores, their gradients, and what their optimum is worth."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wganlab import objectives
from wganlab.divergences import js
from wganlab.errors import InputError
from wganlab.objectives import Objective, minimax, non_saturating, wasserstein

OBJECTIVES = {"wasserstein": wasserstein, "minimax": minimax, "non_saturating": non_saturating}
scores = st.lists(st.floats(-30, 30), min_size=1, max_size=6).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def gradient(loss, *at):
    return [g.tolist() for g in torch.autograd.grad(loss(*at), at)]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def test_wasserstein_losses():
    f_x, f_gz = tensor(3, 1), tensor(0, 1, 2, -3)
    assert wasserstein.critic(f_x, f_gz).item() == -2  # so the estimate of W1 is +2
    assert wasserstein.generator(tensor(1, 2)).item() == -1.5
    assert gradient(wasserstein.critic, f_x, f_gz) == [[-0.5, -0.5], [0.25] * 4]
    assert gradient(wasserstein.generator, tensor(1, 2)) == [[-0.5, -0.5]]


def test_cross_entropy_at_zero_is_2_ln_2():
    zero = tensor(0, 0, 0)
    for objective in (minimax, non_saturating):
        assert objective.critic(zero, zero).item() == pytest.approx(1.386294, abs=5e-7)
        assert objective.critic(zero, zero).item() == pytest.approx(2 * math.log(2), rel=1e-15)
    assert minimax.generator(zero).item() == pytest.approx(-math.log(2), rel=1e-15)
    assert non_saturating.generator(zero).item() == pytest.approx(math.log(2), rel=1e-15)


@given(scores, scores)
@settings(max_examples=60)
def test_gan_losses_are_logarithms_of_d(f_x, f_gz):
    log_D = [math.log(sigmoid(f)) for f in f_x.tolist()]
    log_D_fake = [math.log(sigmoid(f)) for f in f_gz.tolist()]
    log_not_D = [math.log(sigmoid(-f)) for f in f_gz.tolist()]
    critic = -sum(log_D) / len(log_D) - sum(log_not_D) / len(log_not_D)
    for objective in (minimax, non_saturating):
        assert objective.critic(f_x, f_gz).item() == pytest.approx(critic, rel=1e-9, abs=1e-12)
    assert minimax.generator(f_gz).item() == pytest.approx(sum(log_not_D) / len(f_gz), rel=1e-9, abs=1e-12)
    expected = -sum(log_D_fake) / len(f_gz)
    assert non_saturating.generator(f_gz).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(scores, scores)
@settings(max_examples=60)
def test_the_game_is_zero_sum_where_the_paper_says_so(f_x, f_gz):
    real_part = torch.nn.functional.softplus(-f_x).mean()
    assert (minimax.critic(f_x, f_gz) + minimax.generator(f_gz)).item() == pytest.approx(
        real_part.item(), rel=1e-9, abs=1e-9
    )
    assert wasserstein.critic(f_x, f_gz).item() == pytest.approx(
        (wasserstein.generator(f_x) - wasserstein.generator(f_gz)).item(), abs=1e-12
    )
    shifted = wasserstein.critic(f_x + 100, f_gz + 100).item()
    assert shifted == pytest.approx(wasserstein.critic(f_x, f_gz).item(), abs=1e-11)


def test_a_sure_discriminator_leaves_the_minimax_generator_no_gradient():
    sure = tensor(-10)
    assert gradient(minimax.generator, sure)[0] == pytest.approx([-4.5398e-5], rel=1e-5)
    assert gradient(non_saturating.generator, sure)[0] == pytest.approx([-0.999955], abs=5e-7)
    assert gradient(minimax.generator, sure)[0] == pytest.approx([-sigmoid(-10)], rel=1e-12)
    assert gradient(wasserstein.generator, sure)[0] == [-1]


@pytest.mark.parametrize("f", [-1000.0, 1000.0])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_extreme_scores_stay_finite(objective, f):
    for dtype in (torch.float32, torch.float64):
        at = torch.tensor([f], dtype=dtype, requires_grad=True)
        for loss in (objective.generator(at), objective.critic(at, at)):
            assert math.isfinite(loss.item())
            assert torch.isfinite(torch.autograd.grad(loss, at, retain_graph=True)[0]).all()
    if objective is not wasserstein:
        assert objective.critic(tensor(f), tensor(f)).item() == 1000


def test_the_optimal_discriminator_is_the_posterior_and_is_worth_2_ln_2_less_2_js():
    """P_r on points 0 1 2 with weights p, P_g with weights q; one score a point."""
    p, q = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]
    rows_p, rows_q = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 2, 2])
    best = torch.log(torch.tensor(p, dtype=torch.float64) / torch.tensor(q, dtype=torch.float64))
    at = best.clone().requires_grad_()
    loss = minimax.critic(at[rows_p], at[rows_q])
    assert torch.autograd.grad(loss, at)[0].abs().max() < 1e-15
    assert loss.item() == pytest.approx(2 * math.log(2) - 2 * js(p, q), rel=1e-12)
    for k in range(3):
        for step in (-0.1, 0.1):
            other = best.clone()
            other[k] += step
            assert minimax.critic(other[rows_p], other[rows_q]) > loss + 1e-4


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_signs_f_rises_on_real_data_and_the_generator_makes_it_rise_on_fakes(objective):
    f_x, f_gz = tensor(0.3, -2), tensor(0.5, 1)
    on_real, on_fake = gradient(objective.critic, f_x, f_gz)
    assert max(on_real) < 0 < min(on_fake)  # descending raises f(x) and lowers f(g(z))
    assert max(gradient(objective.generator, f_gz)[0]) < 0
    assert objective.critic(f_x, f_gz).shape == objective.generator(f_gz).shape == ()


def test_an_objective_is_two_functions_and_names_them():
    hinge = Objective(critic=lambda f_x, f_gz: f_x.mean(), generator=lambda f_gz: f_gz.mean())
    assert hinge.critic(tensor(2), tensor(0)).item() == 2
    assert repr(wasserstein) == "Objective(wasserstein_critic, wasserstein_generator)"
    assert len({repr(objective) for objective in OBJECTIVES.values()}) == 3
    assert minimax.critic is non_saturating.critic


@given(scores, scores)
@settings(max_examples=40)
def test_least_squares_and_hinge_by_numpy(f_x, f_gz):
    x, z, a, b = f_x, f_gz, f_x.numpy(), f_gz.numpy()
    squares = ((a - 1) ** 2).mean() / 2 + (b**2).mean() / 2
    assert objectives.least_squares.critic(x, z).item() == pytest.approx(squares, rel=1e-9, abs=1e-12)
    assert objectives.least_squares.generator(z).item() == pytest.approx(
        ((b - 1) ** 2).mean() / 2, rel=1e-9, abs=1e-12
    )
    hinge = np.maximum(0, 1 - a).mean() + np.maximum(0, 1 + b).mean()
    assert objectives.hinge.critic(x, z).item() == pytest.approx(hinge, rel=1e-9, abs=1e-12)
    assert objectives.hinge.generator(z).item() == pytest.approx(-b.mean(), rel=1e-9, abs=1e-12)


def test_the_hinge_asks_for_a_margin_and_no_more():
    """Scores beyond 1 and -1 cost nothing and have no gradient."""
    f_x, f_gz = torch.tensor([1.5, 0.0], requires_grad=True), torch.tensor([-1.5, 0.0], requires_grad=True)
    loss = objectives.hinge.critic(f_x, f_gz)
    assert loss.item() == 1.0
    loss.backward()
    assert (f_x.grad.tolist(), f_gz.grad.tolist()) == ([0.0, -0.5], [0.0, 0.5])


@pytest.mark.parametrize(("real", "fake"), [(0.9, 0.0), (1.0, 0.0), (0.9, 0.1)])
@pytest.mark.parametrize(("p", "q"), [(0.3, 0.3), (0.5, 0.1), (0.0, 0.4), (0.4, 0.0)])
def test_smoothed_labels_move_the_best_discriminator(real, fake, p, q):
    """The least of p H(real, D) + q H(fake, D) over D is at (real p + fake q) / (p + q)."""
    smooth = objectives.with_labels(objectives.minimax, real, fake)
    f = torch.linspace(-12, 12, 240001, dtype=torch.float64)
    one = torch.zeros(1, dtype=torch.float64)
    for label, loss in (
        (real, lambda at: smooth.critic(at, one)),
        (fake, lambda at: smooth.critic(one, at)),
    ):
        found = torch.stack([loss(f[k : k + 1]) for k in range(0, 240001, 20000)]) - np.log(2)
        at = f[::20000].numpy()
        by_hand = label * np.logaddexp(0, -at) + (1 - label) * np.logaddexp(0, at)
        assert found.numpy() == pytest.approx(by_hand, rel=1e-9, abs=1e-12)
    D = torch.sigmoid(f)
    cost = -p * (real * D.log() + (1 - real) * (1 - D).log()) - q * (
        fake * D.log() + (1 - fake) * (1 - D).log()
    )
    best = D[cost.nan_to_num(nan=torch.inf).argmin()].item()
    assert best == pytest.approx((real * p + fake * q) / (p + q), abs=1e-4)
    assert smooth.generator is objectives.minimax_generator


def test_labels_1_and_0_are_the_plain_discriminator():
    f_x, f_gz = torch.randn(2, 10, dtype=torch.float64)
    smooth = objectives.with_labels(objectives.non_saturating, 1.0, 0.0)
    assert smooth.critic(f_x, f_gz).item() == pytest.approx(
        objectives.discriminator(f_x, f_gz).item(), rel=1e-12
    )
    assert repr(smooth) == "Objective(discriminator with labels 1 and 0, non_saturating_generator)"


@pytest.mark.parametrize(
    ("objective", "real", "fake", "says"),
    [
        (objectives.wasserstein, 0.9, 0.0, "has none. Use it with minimax"),
        (objectives.hinge, 0.9, 0.0, "has none"),
        (objectives.minimax, 0.9, 0.9, "0 <= fake < real <= 1"),
        (objectives.minimax, 1.1, 0.0, "0 <= fake < real <= 1"),
        (objectives.minimax, 0.9, -0.1, "0 <= fake < real <= 1"),
    ],
)
def test_with_labels_refuses(objective, real, fake, says):
    with pytest.raises(InputError, match=says):
        objectives.with_labels(objective, real, fake)
