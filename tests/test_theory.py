"""The exact numbers of the chapters on theory, each computed again without the chapter."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import linprog
from scipy.special import expit, log_expit
from scipy.stats import binom, norm

from wganlab import divergences, sampling, transport


def test_both_sides_of_the_value_of_the_game():
    """V(D*) = 2 JS - 2 ln 2 = -1.163451 for N(0, 1) and N(1, 1), and -2 ln 2 for equal laws."""

    def value(x):  # D*(x) = sigma(1/2 - x)
        return norm.pdf(x) * log_expit(0.5 - x) + norm.pdf(x, 1) * log_expit(x - 0.5)

    game = quad(value, -np.inf, np.inf, epsabs=1e-12)[0]
    js = divergences.js_density(norm(0, 1).logpdf, norm(1, 1).logpdf, (-np.inf, np.inf))
    assert game == pytest.approx(-1.163451, abs=5e-7)
    assert game == pytest.approx(2 * js - 2 * math.log(2), abs=1e-9)
    best = divergences.optimal_discriminator([0.25, 0.75], [0.25, 0.75])
    assert divergences.gan_value(best, [0.25, 0.75], [0.25, 0.75]) == pytest.approx(-1.3862943611, abs=1e-10)


def test_the_value_over_z_is_the_value_over_x():
    """The mean of ln(1 - D(g(z))) over the prior is that of ln(1 - D(x)) over the generator's law."""
    over_z = quad(lambda z: math.log1p(-expit(0.5 - (norm.ppf(z) + 1))), 0, 1, epsabs=1e-12)[0]
    over_x = quad(lambda x: norm.pdf(x, 1) * log_expit(x - 0.5), -np.inf, np.inf, epsabs=1e-12)[0]
    assert over_z == pytest.approx(over_x, abs=1e-9)


def test_the_dual_program_has_the_value_of_the_primal():
    rng = np.random.default_rng(0)
    for _ in range(20):
        n, m = rng.integers(2, 8, size=2)
        a, b, cost = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), rng.normal(size=(n, m))
        sums = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
        dual = linprog(-np.concatenate([a, b]), A_ub=sums.T, b_ub=cost.ravel(), bounds=(None, None))
        assert -dual.fun == pytest.approx(transport.emd_from_cost(cost, a, b).cost, abs=1e-9)


def test_the_sign_that_spoils_the_swap():
    """On two points: 1 with the right sign; unbounded, 199 for |f| <= 100, with the printed one."""

    def cells(s, sign):
        return [abs(i - j) + sign * (i - j) * s for i in (0, 1) for j in (0, 1)]

    grid = np.arange(-100, 101) / 1.0
    assert max(s + min(cells(s, -1)) for s in grid) == 1
    assert max(s - min(cells(s, +1)) for s in grid) == 199


def test_the_gradient_points_from_the_fake_to_the_real_point():
    """Real at 3, fake at 0: +1; the formula with exchanged roles gives -1."""
    gradient = transport.kantorovich_potential([[3.0]], [[0.0]]).gradient([[1.0]])
    assert gradient.tolist() == [[1.0]]


def test_slopes_and_lipschitz_constants():
    for R in (1.0, 10.0, 100.0):
        x = np.linspace(-R, R, 401)
        rise, way = np.abs(np.subtract.outer(x**2, x**2)), np.abs(np.subtract.outer(x, x))
        assert (rise[way > 0] / way[way > 0]).max() == pytest.approx(2 * R, rel=0.01)
        assert (rise <= 2 * R * way + 1e-9).all()
    left, right = np.linspace(-1, -0.1, 50), np.linspace(0.1, 1, 50)
    jump = np.subtract.outer(np.sign(right), np.sign(left)) / np.subtract.outer(right, left)
    assert jump.max() == pytest.approx(10, rel=1e-12)  # gradient 0, and not 1-Lipschitz


def test_bounded_critics_measure_twice_the_total_variation():
    rng = np.random.default_rng(1)
    for p, q in rng.dirichlet(np.ones(6), size=(20, 2)):
        bounded = -linprog(q - p, bounds=(-1, 1)).fun
        assert bounded == pytest.approx(2 * divergences.tv(p, q), abs=1e-9)


def test_the_product_loss_has_a_best_and_a_worst_minimum():
    table = {(x, y): (x - y, x * y) for x in (1, -1) for y in (1, -1)}
    assert table == {(1, 1): (0, 1), (1, -1): (2, -1), (-1, 1): (-2, -1), (-1, -1): (0, 1)}


def test_simultaneous_steps_of_the_xy_game_spiral_outwards():
    x = y = 1.0
    for _ in range(100):
        x, y = x - 0.1 * y, y + 0.1 * x
    assert math.hypot(x, y) == pytest.approx(2.3258606, abs=5e-8)
    assert math.hypot(x, y) == pytest.approx(math.sqrt(2) * 1.01**50, rel=1e-12)
    x, y, kept = 1.0, 1.0, []
    for _ in range(100):
        x = x - 0.1 * y
        y = y + 0.1 * x
        kept.append(x * x + y * y - 0.1 * x * y)
    assert kept == pytest.approx([1.9] * 100, abs=1e-12)


def test_random_segments_cross_in_the_plane_with_probability_25_in_108():
    a, b, c, d = np.random.default_rng(2).random((4, 400_000, 2)) @ [1, 1j]

    def side(p, q, r):
        return np.sign(((q - p).conj() * (r - p)).imag)

    crossing = (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)
    assert crossing.mean() == pytest.approx(25 / 108, abs=0.003)


def test_ten_piles_of_a_textbook():
    p, q = [5, 3, 2, 1, 8, 7, 5, 9, 2, 1], [4, 10, 1, 1, 4, 6, 3, 2, 0, 1]
    delta = steps = Fraction(0)
    for mass, other in zip(p, q, strict=True):
        delta += Fraction(mass, sum(p)) - Fraction(other, sum(q))
        steps += abs(delta)
    assert steps / 9 == Fraction(469, 3096)
    places = np.linspace(0, 1, 10)
    found = transport.wasserstein_1d(places, places, np.divide(p, sum(p)), np.divide(q, sum(q)))
    assert found == pytest.approx(469 / 3096, abs=1e-12)
    assert found == pytest.approx(0.151486, abs=5e-7)


def test_two_batches_of_one_law_are_far_apart():
    for d, least, most in ((784, 37.8, 38.2), (2, 0.38, 0.56)):
        rng = torch.Generator().manual_seed(0)
        assert least < transport.sample_w1(sampling.normal(d), 64, repeats=10, rng=rng).mean < most


@pytest.mark.parametrize(("n", "best"), [(1, 1.0), (2, 17 / 24), (8, 0.614), (64, 0.602)])
def test_minibatches_of_a_coin_have_their_minimum_at_a_wrong_place(n, best):
    """E |k - l| / n for k ~ B(n, 0.6), l ~ B(n, theta): exact, by double sums."""
    count = np.arange(n + 1)
    way = np.abs(np.subtract.outer(count, count)) / n
    thetas = np.arange(501) / 1000 + 0.5
    values = [binom.pmf(count, n, 0.6) @ way @ binom.pmf(count, n, theta) for theta in thetas]
    assert thetas[int(np.argmin(values))] == pytest.approx(best, abs=1.5e-3)


def test_entropy_costs_at_most_epsilon_times_the_smaller_entropy_and_finds_the_middle_plan():
    P, Q = np.array([3, 2, 1, 4]) / 10, np.array([1, 2, 4, 3]) / 10
    cost = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
    found = transport.sinkhorn(cost, P, Q, epsilon=0.01)
    assert 0 <= found.cost - 0.5 <= 0.01 * -(P @ np.log(P))
    middle = [[1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 1, 3]]
    np.testing.assert_allclose(10 * found.plan, middle, atol=1e-6)
