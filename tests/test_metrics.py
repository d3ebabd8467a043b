"""Metrics against closed forms, oracles and a look at real digits."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from wganlab import data, metrics, sampling
from wganlab.errors import DataError, InputError
from wganlab.metrics import (
    Coverage,
    ExactW1,
    PrecisionRecall,
    digit_features,
    digit_probabilities,
    digit_score,
    exact_w1,
    frechet_distance,
    inception_score,
    mmd,
    mode_coverage,
    polynomial_kernel,
    precision_recall,
    principal_frechet,
)
from wganlab.transport import emd


def normals(seed, d, *, rank=None):
    """Mean and covariance of two normals in d dimensions."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(2, d, rank or d))
    means = rng.normal(size=(2, d))
    return [part for mean, root in zip(means, roots, strict=True) for part in (mean, root @ root.T)]


# Fréchet distance


def test_closed_forms_of_the_frechet_distance():
    eye = np.eye(2)
    assert frechet_distance([0, 0], eye, [1, 2], 4 * eye) == pytest.approx(7, abs=1e-12)
    assert frechet_distance([0], [[1]], [3], [[4]]) == pytest.approx(3**2 + (2 - 1) ** 2, abs=1e-12)
    assert frechet_distance([0, 0], np.diag([1, 9]), [0, 0], np.diag([4, 1])) == pytest.approx(
        1 + 4, abs=1e-12
    )
    point = np.zeros((2, 2))
    with pytest.raises(InputError, match="overflows float64. Scale the means and covariances down"):
        frechet_distance(1e200, 1.0, -1e200, 1.0)
    assert frechet_distance([3, 4], point, [0, 0], point) == pytest.approx(25, abs=1e-12)
    assert frechet_distance([0, 0], point, [0, 0], eye) == pytest.approx(2, abs=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 6))
@settings(max_examples=40)
def test_the_frechet_distance_agrees_with_scipy_and_its_laws(seed, d):
    m_p, c_p, m_q, c_q = normals(seed, d)
    found = frechet_distance(m_p, c_p, m_q, c_q)
    cross = np.real(np.trace(sqrtm(c_p @ c_q)))
    scale = np.trace(c_p) + np.trace(c_q) + 1
    assert found == pytest.approx(
        ((m_p - m_q) ** 2).sum() + np.trace(c_p + c_q) - 2 * cross, abs=1e-6 * scale
    )
    assert found == pytest.approx(frechet_distance(m_q, c_q, m_p, c_p), abs=1e-9 * scale)
    assert found >= ((m_p - m_q) ** 2).sum() - 1e-9 * scale
    assert frechet_distance(m_p, c_p, m_p, c_p) == pytest.approx(0, abs=1e-9 * scale)
    shifted = frechet_distance(m_p + 7, c_p, m_q + 7, c_q)
    assert shifted == pytest.approx(found, abs=1e-9 * scale)
    assert frechet_distance(3 * m_p, 9 * c_p, 3 * m_q, 9 * c_q) == pytest.approx(9 * found, abs=1e-8 * scale)
    turn = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(d, d)))[0]
    turned = frechet_distance(turn @ m_p, turn @ c_p @ turn.T, turn @ m_q, turn @ c_q @ turn.T)
    assert turned == pytest.approx(found, abs=1e-8 * scale)


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_its_root_obeys_the_triangle_inequality(seed):
    m_p, c_p, m_q, c_q = normals(seed, 3)
    m_r, c_r, _, _ = normals(seed + 1, 3)
    there = math.sqrt(frechet_distance(m_p, c_p, m_q, c_q))
    detour = [frechet_distance(m_p, c_p, m_r, c_r), frechet_distance(m_r, c_r, m_q, c_q)]
    assert there <= sum(map(math.sqrt, detour)) + 1e-7


def test_covariances_that_are_singular_lose_no_digits():
    """From fewer samples than features, as in FID on few pictures: the root of rounding is not rounding."""
    m_p, c_p, _, _ = normals(0, 20, rank=4)
    assert frechet_distance(m_p, c_p, m_p, c_p) == pytest.approx(0, abs=1e-10)
    assert frechet_distance([0, 0], np.ones((2, 2)), [0, 0], np.eye(2)) == pytest.approx(
        4 - 2 * math.sqrt(2), abs=1e-12
    )


def test_it_is_the_square_of_w2_between_normals():
    """A linear map between N(0, I) and N(0, diag(4, 9)) moves by diag(1, 2): W2^2 = 1 + 4."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    y = x * [2, 3]  # the gradient of a convex function, so optimal
    assert emd(x, y, p=2).cost == pytest.approx((x**2 @ [1, 4]).mean(), rel=1e-9)
    found = frechet_distance(np.zeros(2), x.T @ x / 400, np.zeros(2), y.T @ y / 400)
    assert found == pytest.approx(emd(x, y, p=2).cost, rel=1e-2)
    assert frechet_distance([0, 0], np.eye(2), [0, 0], np.diag([4, 9])) == pytest.approx(5, abs=1e-12)


EYE = np.eye(2)
BAD_NORMALS = {
    "shapes": (([0.0], EYE, [0.0, 0.0], EYE), r"one shape \(d,\) and covariances \(d, d\), got \(1,\)"),
    "rectangle": (([0.0, 0.0], EYE[:1], [0.0, 0.0], EYE), r"got \(2,\), \(1, 2\)"),
    "nan": (([0.0, math.nan], EYE, [0.0, 0.0], EYE), r"'mean_p' must be finite, but entry \(1,\) is nan"),
    "inf": (([0.0, 0.0], EYE, [0.0, 0.0], np.full((2, 2), math.inf)), "'cov_q' must be finite"),
    "asymmetric": (([0, 0], [[1, 2], [0, 1]], [0, 0], EYE), "'cov_p' must be a covariance, so symmetric"),
    "negative": (([0, 0], EYE, [0, 0], -EYE), "'cov_q' must be .* the smallest one is -1. Use np.cov"),
    "empty": (([], np.zeros((0, 0)), [], np.zeros((0, 0))), "'mean_p' must be a non-empty array"),
}


@pytest.mark.parametrize(("normals", "message"), BAD_NORMALS.values(), ids=BAD_NORMALS)
def test_frechet_refuses(normals, message):
    with pytest.raises(InputError, match=message):
        frechet_distance(*normals)


# Modes


def test_coverage_by_hand():
    centres = [[0.0, 0.0], [1.0, 0.0], [0.0, 5.0]]
    x = [[0.1, 0.0], [0.0, 0.1], [1.0, 0.3], [0.5, 0.0], [9.0, 9.0]]
    assert mode_coverage(x, centres, 0.2) == Coverage(1, 0.4)
    assert mode_coverage(x, centres, 0.31) == Coverage(2, 0.6)
    assert mode_coverage(x, centres, 0.5) == Coverage(2, 0.8)  # the radius belongs to the ball
    assert mode_coverage(x, centres, 100.0) == Coverage(3, 1.0)
    assert mode_coverage([[3.0, 3.0]], centres, 0.5) == Coverage(0, 0.0)
    assert isinstance(mode_coverage(x, centres, 0.5).modes, int)


def test_coverage_counts_a_point_for_its_nearest_centre_only():
    assert mode_coverage([[0.4]], [[0.0], [1.0]], 10.0) == Coverage(1, 1.0)


def test_the_ring_covers_its_own_modes():
    ring = sampling.ring()
    x = ring(1000, torch.Generator().manual_seed(0))
    assert mode_coverage(x, ring.centres, 0.2) == Coverage(8, 1.0)
    near = mode_coverage(x, ring.centres, ring.std * math.sqrt(2 * math.log(2)))  # median of the radius
    assert near.share == pytest.approx(0.5, abs=0.05)
    assert mode_coverage(x[x[:, 0] > 0.1], ring.centres, 0.2).modes == 3


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_coverage_equals_a_loop(seed):
    rng = np.random.default_rng(seed)
    x, centres, radius = rng.normal(size=(15, 2)), rng.normal(size=(4, 2)), rng.uniform(0.1, 2)
    nearest = [min(range(4), key=lambda k: math.dist(row, centres[k])) for row in x]
    hits = [k for row, k in zip(x, nearest, strict=True) if math.dist(row, centres[k]) <= radius]
    assert mode_coverage(x, centres, radius) == Coverage(len(set(hits)), pytest.approx(len(hits) / 15))


@pytest.mark.parametrize("radius", [0, -1, math.nan, "1.0", None, [1.0]])
def test_coverage_refuses_radii(radius):
    with pytest.raises(InputError, match="a radius > 0, got 1, 1 and|'radius' must be"):
        mode_coverage([[0.0]], [[0.0]], radius)


def test_coverage_refuses_points():
    with pytest.raises(InputError, match=r"points and centres of one dimension .* got 1, 2 and 1"):
        mode_coverage([[0.0]], [[0.0, 0.0]], 1)
    with pytest.raises(InputError, match=r"'x' must be a non-empty matrix, got shape \(1,\)"):
        mode_coverage([0.0], [[0.0]], 1)
    with pytest.raises(InputError, match=r"'centres' must be finite, but entry \(0, 0\) is nan"):
        mode_coverage([[0.0]], [[math.nan]], 1)


# Exact W1 and its floor


def test_exact_w1_and_its_floor():
    real, other, fake = [[0.0], [1.0]], [[0.5], [1.5]], [[2.0], [3.0]]
    assert exact_w1(real, other, fake) == ExactW1(2.0, 0.5)
    assert exact_w1(real, real, real) == (0, 0)


def test_exact_w1_flattens_pictures():
    real = torch.zeros(3, 1, 2, 2)
    found = exact_w1(real, real, real + 0.5)
    assert found.w1 == pytest.approx(1, abs=1e-12)  # sqrt(4 * 0.25)
    assert found.floor == 0
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 20, 1, 3, 3))
    expected = emd(x.reshape(20, 9), z.reshape(20, 9)).cost, emd(x.reshape(20, 9), y.reshape(20, 9)).cost
    assert exact_w1(x, y, torch.tensor(z)) == pytest.approx(expected, abs=1e-12)


def test_a_fake_that_is_real_sits_on_the_floor():
    rng = torch.Generator().manual_seed(0)
    real, other, fake = (sampling.ring()(400, rng) for _ in range(3))
    found = exact_w1(real, other, fake)
    assert 0.03 < found.floor < 0.3
    assert found.w1 == pytest.approx(found.floor, abs=0.1)
    assert exact_w1(real, other, fake + 1).w1 > 5 * found.floor


def test_exact_w1_refuses():
    with pytest.raises(InputError, match=r"one shape \(n, ...\), got \(2, 1\), \(2, 1\), \(3, 1\)"):
        exact_w1(np.zeros((2, 1)), np.zeros((2, 1)), np.zeros((3, 1)))
    with pytest.raises(InputError, match=r"got \(2,\), \(2,\), \(2,\)"):
        exact_w1([0.0, 1.0], [0.0, 1.0], [0.0, 1.0])
    with pytest.raises(InputError, match=r"'fake' must be finite, but entry \(0, 0\) is nan"):
        exact_w1([[0.0]], [[0.0]], [[math.nan]])


# Digits


@pytest.fixture(scope="module")
def digits():
    """Two disjoint halves, each with 250 digits of every class, in random order."""
    x = data.digits().x
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    by_class = x.view(10, 500, 1, 28, 28)[:, order]
    return by_class[:, :250].flatten(0, 1), by_class[:, 250:].flatten(0, 1)


def test_the_kept_classifier_knows_digits(digits):
    x, labels = data.digits()
    net = metrics.trained_digit_classifier()
    assert not net.training
    assert not any(weight.requires_grad for weight in net.parameters())
    with torch.no_grad():
        right = (net(x[::5]).argmax(1) == labels[::5]).double().mean().item()
    assert right > 0.95
    assert metrics.digit_classifier()[:-1](x[:2]).shape == (2, 64)
    assert sum(w.numel() for w in net.parameters()) == 208 + 3216 + (784 * 64 + 64) + 650


def test_digit_score_ranks_what_the_eye_ranks(digits):
    real, other = digits
    rng = torch.Generator().manual_seed(0)
    noisy = (other + 0.3 * torch.randn(other.shape, generator=rng)).clamp(-1, 1)
    same, floor, worse = (digit_score(real, x) for x in (real, other, noisy))
    ones = digit_score(real, other[250:500])
    noise = digit_score(real, torch.rand(500, 1, 28, 28, generator=rng) * 2 - 1)
    assert same == pytest.approx(0, abs=1e-6)
    assert 0 < floor < worse / 3
    assert floor * 10 < min(ones, noise)  # one class only; no digits at all
    assert digit_score(other, real) == pytest.approx(floor, rel=1e-6)


@pytest.mark.parametrize("measure", [digit_features, digit_probabilities, lambda x: digit_score(x, x)])
def test_what_is_no_digit_is_refused(digits, measure):
    real = digits[0][:200]
    for x in (real[:0], real[:, 0], real[:, :, :27], real.expand(-1, 3, -1, -1)):
        found = ", ".join(map(str, x.shape))
        with pytest.raises(InputError, match=rf"\(n, 1, 28, 28\) with n >= 1, .* got \({found}\)"):
            measure(x)
    with pytest.raises(InputError, match="got ndarray"):
        measure(real.numpy())
    for value in (math.nan, math.inf):
        with pytest.raises(InputError, match="must be finite, but entry"):
            measure(torch.where(real > 0.9, value, real))


def test_digit_score_refuses_too_few_pictures(digits):
    """127 of them estimate no covariance of 64 features, nor do they when shown a hundred times."""
    real, _ = digits
    for few in (real[:127], real[:127].repeat(100, 1, 1, 1), real[:1].repeat(1000, 1, 1, 1)):
        count = min(len(few), 127) if len(few) % 127 == 0 else 1
        with pytest.raises(InputError, match=f"128 different pictures or more, but 'fake' has {count}. Draw"):
            digit_score(real, few)
        with pytest.raises(InputError, match="but 'real' has"):
            digit_score(few, real)
    assert digit_score(real, real[:128].repeat(4, 1, 1, 1)) > 0


def test_features_and_probabilities_are_those_of_the_classifier(digits):
    """Against the network's own layers; 1,500 pictures need two blocks."""
    x = torch.cat(digits)[:1500]
    features, p = digit_features(x), digit_probabilities(x)
    assert features.dtype == p.dtype == np.float64
    net = metrics.trained_digit_classifier()
    last = net[-1].weight.double().numpy(), net[-1].bias.double().numpy()
    powers = np.exp(features @ last[0].T + last[1])
    np.testing.assert_allclose(p, powers / powers.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-14)
    assert features.shape == (1500, 64)
    assert (features >= 0).all()  # they are behind a ReLU
    np.testing.assert_allclose(
        digit_features(x[[7, 1400]].double()), features[[7, 1400]], rtol=1e-4, atol=1e-4
    )
    assert not torch.is_grad_enabled() or digit_features(x[:2].clone().requires_grad_()).shape == (2, 64)


def test_digit_score_is_the_frechet_distance_of_features(digits):
    real, other = digits
    p, q = digit_features(real), digit_features(other)
    m, n = p - p.mean(0), q - q.mean(0)
    expected = frechet_distance(p.mean(0), m.T @ m / (len(p) - 1), q.mean(0), n.T @ n / (len(q) - 1))
    assert digit_score(real, other) == pytest.approx(expected, rel=1e-9)


def test_ten_certain_digits_fool_the_inception_score(digits):
    real, other = digits
    p = digit_probabilities(real)
    best = p[p.argmax(0)]  # the surest picture of each class
    assert 9.98 < inception_score(best) <= 10
    assert inception_score(digit_probabilities(other)) < 9.4


def test_a_missing_classifier_is_a_data_error(monkeypatch, tmp_path):
    monkeypatch.setattr(data._shipped, "folder", lambda: tmp_path)
    metrics.trained_digit_classifier.cache_clear()
    with pytest.raises(DataError, match=r"no results 'digit_features'"):
        metrics.trained_digit_classifier()


# Fréchet distance on principal components


def test_principal_frechet_is_the_frechet_distance_in_the_subspace_of_most_variance():
    """Four columns vary 5, 4, 1, 0.1: with two components only the first two count."""
    rng = np.random.default_rng(0)
    real, other, fake = (rng.normal(size=(800, 4)) * [5, 4, 1, 0.1] for _ in range(3))
    moved = fake + np.array([3, 0, 0, 100])  # the last column is not looked at
    found = principal_frechet(real, other, moved, components=2)
    still = principal_frechet(real, other, fake, components=2)
    assert found.floor == still.floor
    assert found.distance == pytest.approx(9 + still.distance, abs=1.5)  # 3^2, and noise of the means
    assert 0 < found.floor < 1


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=20)
def test_principal_frechet_against_the_singular_vectors(seed, wide):
    rng = np.random.default_rng(seed)
    n, d, k = 12, 40 if wide else 6, 3
    real, other, fake = (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) for _ in range(3))
    reals = np.concatenate([real, other])
    axes = np.linalg.svd(reals - reals.mean(0))[2][:k].T
    p, q, r = (x @ axes for x in (real, other, fake))
    expected = [
        frechet_distance(p.mean(0), np.cov(p, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
        for y in (r, q)
    ]
    found = principal_frechet(real, other, fake.reshape(n, 2, -1).reshape(n, d), components=k)
    assert found == pytest.approx(expected, rel=1e-7)


def test_all_components_are_the_frechet_distance_itself():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 3)) + 1
    plain = frechet_distance(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
    assert principal_frechet(x, x, y, components=3) == pytest.approx((plain, 0), abs=1e-9)
    assert principal_frechet(x[:, :1], x[:, :1], x[:, :1] + 2, components=1) == pytest.approx(
        (4, 0), abs=1e-12
    )


def test_principal_frechet_refuses():
    x = np.ones((10, 3))
    for bad in ((x, x, x[:9]), (x, x, np.ones((10, 4)))):
        with pytest.raises(InputError, match="three samples of one shape"):
            principal_frechet(*bad, components=2)
    for components in (0, 4, 6):
        with pytest.raises(InputError, match="two rows and one column a component"):
            principal_frechet(x, x, x, components=components)


# Inception score


def test_closed_forms_of_the_inception_score():
    assert inception_score(np.eye(10)) == pytest.approx(10, rel=1e-12)
    assert inception_score(np.eye(7)) == pytest.approx(7, rel=1e-12)
    assert inception_score(np.full((5, 4), 0.25)) == 1.0
    assert inception_score([[1, 0, 0]] * 9) == 1.0  # one class only
    assert inception_score(np.eye(3)[[0, 0, 1]]) == pytest.approx(math.exp(math.log(3) - 2 / 3 * math.log(2)))
    # certain to 3/4 of two classes: exp(log 2 - H(3/4))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert inception_score([[0.75, 0.25], [0.25, 0.75]]) == pytest.approx(2 * math.exp(-entropy), rel=1e-12)


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_the_inception_score_equals_a_loop_and_keeps_its_bounds(seed):
    p = np.random.default_rng(seed).dirichlet(np.full(4, 0.5), size=6)
    marginal = p.mean(0)
    divergences = [sum(a * math.log(a / b) for a, b in zip(row, marginal, strict=True) if a > 0) for row in p]
    assert inception_score(p) == pytest.approx(math.exp(sum(divergences) / 6), rel=1e-9)
    assert 1 - 1e-12 <= inception_score(p) <= 4 + 1e-12
    assert inception_score(torch.from_numpy(p).float()) == pytest.approx(inception_score(p), rel=1e-5)


def test_the_inception_score_of_the_smallest_answers_and_of_short_numbers():
    assert inception_score([[1.0, 5e-324], [1.0, 0.0]]) == pytest.approx(1, abs=1e-15)
    rows = torch.softmax(torch.randn(50, 10, generator=torch.Generator().manual_seed(0)), 1)  # sums 1 +- 1e-7
    exact = rows.double() / rows.double().sum(1, keepdim=True)
    assert inception_score(rows) == pytest.approx(inception_score(exact), rel=1e-14)
    assert inception_score(rows[:1].repeat(7, 1)) == pytest.approx(1, abs=1e-14)


def test_the_inception_score_refuses_what_is_no_law():
    for rows, message in (
        ([[0.5, 0.5], [0.5, 0.6]], "row 1 has the least entry 0.5 and the sum 1.1. Apply a softmax"),
        ([[1.5, -0.5]], "row 0 has the least entry -0.5"),
    ):
        with pytest.raises(InputError, match=message):
            inception_score(rows)
    with pytest.raises(InputError, match=r"two classes or more, a column each, got shape \(3, 1\)"):
        inception_score(np.ones((3, 1)))
    with pytest.raises(InputError, match="'probabilities' must be a non-empty matrix"):
        inception_score(np.ones((0, 3)))
    with pytest.raises(InputError, match="'probabilities' must be finite"):
        inception_score([[math.nan, 1.0]])


# MMD


def linear(x, y):
    return x @ y.T


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_mmd_equals_a_loop(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)) + 0.5

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    own_x = sum(k(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / 20
    own_y = sum(k(y[i], y[j]) for i in range(4) for j in range(4) if i != j) / 12
    cross = sum(k(a, b) for a in x for b in y) / 20
    assert mmd(x, y) == pytest.approx(own_x + own_y - 2 * cross, abs=1e-9)
    assert mmd(x, y) == pytest.approx(mmd(y, x), abs=1e-9)
    assert polynomial_kernel(x, y)[1, 2] == pytest.approx(k(x[1], y[2]), rel=1e-12)


def test_mmd_with_the_linear_kernel_is_the_squared_distance_of_means_less_its_noise():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=(30, 2)) + np.array([3, 4])
    noise = np.trace(np.cov(x, rowvar=False)) / 40 + np.trace(np.cov(y, rowvar=False)) / 30
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() - noise
    assert mmd(x, y, linear) == pytest.approx(expected, rel=1e-10)


def test_the_mmd_of_two_pairs_by_hand():
    """k(x, y) = xy on {0, 2}, {1, 3}: 0 + 3 - 2 mean(0, 0, 2, 6) = -1; with the diagonals (1 - 2)^2."""
    assert mmd([[0.0], [2.0]], [[1.0], [3.0]], linear) == -1


def test_mmd_has_mean_zero_for_equal_laws():
    """Its mean over 400 pairs stands within four standard errors of 0; with the diagonal it would not."""
    rng = np.random.default_rng(0)
    found = [mmd(rng.normal(size=(8, 2)), rng.normal(size=(8, 2))) for _ in range(400)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 20
    assert min(found) < 0
    diagonal = 2 / 8 * np.mean((rng.normal(size=(1000, 2)) ** 2 @ [0.5, 0.5] + 1) ** 3)
    assert diagonal > 12 * np.std(found) / 20


def test_mmd_refuses():
    with pytest.raises(InputError, match="two or more rows of one length"):
        mmd([[1.0]], [[1.0], [2.0]])
    with pytest.raises(InputError, match="two or more rows of one length"):
        mmd(np.ones((3, 2)), np.ones((3, 1)))
    with pytest.raises(InputError, match="overflow float64. Scale the rows down"):
        mmd(np.full((2, 1), 1e200), np.full((2, 1), -1e200))


# Precision and recall


def test_precision_and_recall_by_hand():
    real = [[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]]
    assert precision_recall(real, real, k=1) == PrecisionRecall(1.0, 1.0)
    one_corner = [[0.0, 0.0], [0.1, 0.0], [0.0, 0.1]]
    assert precision_recall(real, one_corner, k=1) == PrecisionRecall(1.0, 0.25)
    far = [[9.0, 9.0], [9.0, 9.1], [9.1, 9.0], [0.0, 4.0]]  # the last is on the rim of (0, 2)'s ball
    assert precision_recall(real, far, k=1).precision == 0.25
    line, way = [[0.0], [1.0], [3.0]], [[0.0], [6.0], [6.5]]
    assert precision_recall(line, way, k=1) == PrecisionRecall(1 / 3, 1.0)
    assert precision_recall(line, way, k=2) == PrecisionRecall(2 / 3, 1.0)  # radii 3, 2, 3


@given(st.integers(0, 10**6), st.integers(1, 4))
@settings(max_examples=20)
def test_precision_and_recall_equal_a_loop_and_mirror_each_other(seed, k):
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(9, 2)), 0.7 * rng.normal(size=(7, 2)) + 0.3

    def share(points, sample):
        radii = [sorted(math.dist(a, b) for b in sample)[k] for a in sample]
        return sum(
            any(math.dist(x, a) <= r for a, r in zip(sample, radii, strict=True)) for x in points
        ) / len(points)

    found = precision_recall(real, fake, k=k)
    assert found == pytest.approx((share(fake, real), share(real, fake)), abs=1e-12)
    assert precision_recall(fake, real, k=k) == found[::-1]
    assert precision_recall(7 * real + 2, 7 * fake + 2, k=k) == found


def test_blocks_of_rows_change_nothing():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(1500, 2)), rng.normal(size=(1200, 2)) * 1.5
    found = precision_recall(real, fake)
    radii = np.sort(np.linalg.norm(real[:, None] - real, axis=2), axis=1)[:, 3]
    hit = (np.linalg.norm(fake[:, None] - real, axis=2) <= radii).any(1)
    assert found.precision == pytest.approx(hit.mean(), abs=1e-12)


def test_precision_and_recall_refuse():
    for real, fake, k in ((np.ones((3, 1)), np.ones((3, 1)), 3), (np.ones((3, 1)), np.ones((3, 2)), 1)):
        with pytest.raises(InputError, match="rows of one length and 1 <= k < n"):
            precision_recall(real, fake, k=k)
    with pytest.raises(InputError, match="and k = 0"):
        precision_recall([[1.0]], [[1.0]], k=0)


@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1.0, 1e200, 1e300])
def test_neighbours_and_modes_do_not_depend_on_the_unit(unit):
    """Squares of 1e-200 vanish and those of 1e200 are infinite: all points were inside, or none."""
    real, fake = np.array([[0.0], [1.0], [4.0]]) * unit, np.array([[0.5], [9.0], [9.5]]) * unit
    assert precision_recall(real, fake, k=1) == (1 / 3, 1.0)
    assert mode_coverage(fake, real, 0.5 * unit) == (1, 1 / 3)


def test_distances_that_do_not_fit_beside_the_largest_are_refused():
    rows = [[0.0], [1e-200], [3e-200], [1.0]]
    with pytest.raises(InputError, match="differ by more than 1e-150"):
        precision_recall(rows, rows, k=1)
    with pytest.raises(InputError, match="differ by more than 1e-150"):
        mode_coverage(rows, rows, 1.0)


@pytest.mark.parametrize("count", [1.5, "many", None, math.nan, 1j, np.ones(2), 0])
def test_counts_are_whole_numbers(count):
    rows = np.eye(4)
    with pytest.raises(InputError, match="k = "):
        precision_recall(rows, rows, k=count)
    with pytest.raises(InputError, match="components = "):
        principal_frechet(rows, rows, rows, components=count)


@pytest.mark.parametrize(
    "kernel", ["many", None, 1.0, lambda x, y: (x @ y.T)[1:], lambda x, y: x @ y.T * math.nan]
)
def test_a_kernel_that_gives_no_number_a_pair_is_refused(kernel):
    with pytest.raises(InputError, match="kernel"):
        mmd(np.eye(3), np.eye(3), kernel)


def test_sums_beyond_float64_are_refused_without_a_warning():
    with pytest.raises(InputError, match="the sum inf"):
        inception_score([[1.7e308, 1.7e308]])
