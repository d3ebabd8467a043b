"""Divergences against closed forms, scipy and a double loop, and the laws that they obey."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import digamma
from scipy.stats import beta, entropy, norm, uniform

from wganlab.divergences import (
    gan_value,
    js,
    js_density,
    js_distance,
    kl,
    kl_density,
    kl_normal,
    optimal_discriminator,
    tv,
    tv_density,
)
from wganlab.errors import InputError, SolverError


@st.composite
def laws(draw, count=2):
    """``count`` laws on the same 1 to 8 points, zeros and tiny weights among them."""
    n = draw(st.integers(1, 8))
    weight = st.one_of(st.just(0.0), st.floats(1e-12, 1.0))
    found = []
    for _ in range(count):
        w = np.array(draw(st.lists(weight, min_size=n, max_size=n)))
        w[draw(st.integers(0, n - 1))] += 1.0
        found.append(w / w.sum())
    return found


def on_a_grid(mean, std):
    """N(mean, std^2) on points so close that sums over them are integrals."""
    w = norm(mean, std).pdf(np.linspace(-25, 25, 5001))
    return w / w.sum()


def test_kl_of_normals_is_its_closed_form_and_not_symmetric():
    p, q = on_a_grid(0, 1), on_a_grid(0, 2)
    assert kl(p, q) == pytest.approx(math.log(2) + 1 / 8 - 1 / 2, abs=1e-9)
    assert kl(p, q) == pytest.approx(0.318147, abs=5e-7)
    assert kl(q, p) == pytest.approx(0.806853, abs=5e-7)


def test_kl_of_normals_with_one_variance_is_half_both_ways():
    p, q = on_a_grid(0, 1), on_a_grid(1, 1)
    assert kl(p, q) == pytest.approx(0.5, abs=1e-9)
    assert kl(q, p) == pytest.approx(0.5, abs=1e-9)
    assert js(p, q) == pytest.approx(0.1114214822, abs=1e-10)
    assert js(p, q, base=2) == pytest.approx(0.1607472198, abs=1e-10)
    assert 2 * js(p, q) - 2 * math.log(2) == pytest.approx(-1.163451, abs=1e-6)


def test_closed_forms_on_two_points():
    assert kl([0.5, 0.5], [0.25, 0.75]) == pytest.approx(math.log(4 / 3) / 2, rel=1e-14)
    assert kl([1, 0], [0.5, 0.5]) == pytest.approx(math.log(2), rel=1e-15)
    assert js([1, 0], [0.5, 0.5]) == pytest.approx((3 * math.log(4 / 3)) / 4, rel=1e-14)
    assert tv([0.5, 0.5], [0.25, 0.75]) == 0.25


def test_disjoint_laws():
    p, q = [1.0, 0.0], [0.0, 1.0]
    assert kl(p, q) == kl(q, p) == math.inf
    assert js(p, q) == pytest.approx(0.693147, abs=5e-7)
    assert js(p, q) == math.log(2)
    assert js(p, q, base=2) == 1.0
    assert tv(p, q) == 1.0


def test_the_smallest_weights_count_for_what_they_are():
    """(p + q)/2 of two of them is 0; nothing else is lost to that."""
    assert js([1, 5e-324], [1, 0]) == pytest.approx(0, abs=1e-300)
    assert kl([1, 5e-324], [1, 1e-300]) == pytest.approx(0, abs=1e-290)
    assert kl([0.5, 0.5], [1, 5e-324]) == pytest.approx(math.log(0.5) - math.log(5e-324) / 2, rel=1e-15)
    x = np.arange(-40, 41, 0.01)
    p, q = (np.exp(-((x - mean) ** 2) / 2) for mean in (0, 1))
    p, q = p / p.sum(), q / q.sum()
    assert js(p, q) == pytest.approx(0.1114214822, abs=1e-10)
    assert js_distance(p, q) ** 2 == pytest.approx(js(p, q), rel=1e-15)


@pytest.mark.parametrize("by", [1e-3, 1e-6, 1e-9, 1e-12])
def test_js_of_laws_that_hardly_differ_keeps_its_digits(by):
    """The first term of its series: the sum of (p - q)^2 / (4 (p + q)); the next is smaller by u^2."""
    p, q = np.array([0.25, 0.75]), np.array([0.25 + by, 0.75 - by])
    series = ((p - q) ** 2 / (4 * (p + q))).sum()
    assert js(p, q) == pytest.approx(series, rel=4 * by**2 + 1e-12)


def test_js_has_no_triangle_inequality_but_its_root_has():
    p, q, middle = [1, 0], [0, 1], [0.5, 0.5]
    assert js(p, middle) + js(middle, q) == pytest.approx(0.4315, abs=5e-5)
    assert js(p, q) > js(p, middle) + js(middle, q)


def test_js_of_laws_without_a_common_point_does_not_see_how_far_apart_they_are():
    for place in range(1, 6):
        assert js(np.eye(6)[0], np.eye(6)[place]) == math.log(2)


def test_kl_is_non_negative_on_1000_random_pairs_and_zero_on_the_diagonal():
    rng = np.random.default_rng(0)
    for p, q in rng.dirichlet(np.ones(6), size=(1000, 2)):
        assert kl(p, q) >= 0
        assert kl(p, p) == js(p, p) == tv(p, p) == 0


@given(laws())
@settings(max_examples=100)
def test_agree_with_scipy_and_with_a_loop(pair):
    p, q = pair
    assert kl(p, q) == pytest.approx(max(0.0, entropy(p, q)), rel=1e-9, abs=1e-12)
    looped = sum(a * math.log(a / b) if b else math.inf for a, b in zip(p, q, strict=True) if a)
    assert kl(p, q) == pytest.approx(looped, rel=1e-9, abs=1e-12)
    m = (p + q) / 2
    assert js(p, q) == pytest.approx(entropy(m) - (entropy(p) + entropy(q)) / 2, abs=1e-12)
    assert tv(p, q) == pytest.approx(sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2, abs=1e-14)
    events = (p - q)[:, None] * (np.arange(2 ** len(p)) >> np.arange(len(p))[:, None] & 1)
    assert tv(p, q) == pytest.approx(events.sum(0).max(), abs=1e-14)  # sup over all events


@given(laws())
@settings(max_examples=100)
def test_laws_of_two(pair):
    p, q = pair
    assert kl(p, q) >= 0
    assert js(p, q) == pytest.approx(js(q, p), abs=1e-15)
    assert tv(p, q) == tv(q, p)
    assert 0 <= js(p, q) <= math.log(2)
    assert 0 <= tv(p, q) <= 1 + 1e-12
    assert 2 * tv(p, q) ** 2 <= kl(p, q) + 1e-12  # Pinsker
    assert js(p, q) <= math.log(2) * tv(p, q) + 1e-12  # Lin 1991, theorem 3
    middle = (p + q) / 2
    assert js(p, q) == pytest.approx((kl(p, middle) + kl(q, middle)) / 2, abs=1e-12)
    assert kl(p, q, base=2) == pytest.approx(kl(p, q) / math.log(2), rel=1e-15)


@given(laws(3))
@settings(max_examples=100)
def test_triangle_inequalities(three):
    p, q, r = three
    assert tv(p, r) <= tv(p, q) + tv(q, r) + 1e-12
    assert math.sqrt(js(p, r)) <= math.sqrt(js(p, q)) + math.sqrt(js(q, r)) + 1e-7


@given(laws(), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_the_order_of_the_points_does_not_matter_and_merging_points_loses(pair, random):
    p, q = pair
    order = random.sample(range(len(p)), len(p))
    assert kl(p[order], q[order]) == pytest.approx(kl(p, q), rel=1e-9, abs=1e-12)
    if len(p) > 1:  # data processing
        merged = [np.append(w[2:], w[0] + w[1]) for w in (p, q)]
        for divergence in (kl, js, tv):
            assert divergence(*merged) <= divergence(p, q) + 1e-12


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
@pytest.mark.parametrize("divergence", [kl, js, tv])
def test_any_kind_of_vector_gives_a_float(divergence, kind):
    found = divergence(kind([0.5, 0.25, 0.25]), kind([0.25, 0.25, 0.5]))
    assert type(found) is float
    assert found == divergence(np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.25, 0.5]))


def test_integers_half_precision_and_tensors_with_a_graph_are_taken():
    assert tv([1, 0], np.array([0, 1], dtype=np.int8)) == 1
    weights = torch.tensor([0.5, 0.5], dtype=torch.bfloat16, requires_grad=True)
    assert kl(weights, [0.25, 0.75]) == kl([0.5, 0.5], [0.25, 0.75])


def test_inputs_stay_as_they_are():
    p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    p.flags.writeable = q.flags.writeable = False
    assert np.isfinite([kl(p, q), js(p, q), tv(p, q)]).all()
    assert p.tolist() == [0.5, 0.5]
    assert q.tolist() == [0.25, 0.75]


@pytest.mark.parametrize("divergence", [kl, js, tv, js_distance])
def test_short_numbers_are_laws_up_to_their_rounding(divergence):
    """0.1 + 0.2 + 0.7 in float32, the usual kind of a tensor, is 1 - 7e-9."""
    p, q = torch.tensor([0.1, 0.2, 0.7]), torch.tensor([0.3, 0.3, 0.4])
    exact = divergence([0.1, 0.2, 0.7], [0.3, 0.3, 0.4])
    assert divergence(p, q) == pytest.approx(exact, abs=1e-7)
    assert divergence(p.numpy(), [0.3, 0.3, 0.4]) == pytest.approx(exact, abs=1e-7)
    assert divergence(p.half(), q.half()) == pytest.approx(exact, abs=1e-3)
    scores = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    p, q = torch.softmax(scores, 1)
    v, w = p.double().numpy(), q.double().numpy()
    root = jensenshannon(v, w)
    expected = {kl: entropy(v, w), js: root**2, tv: np.abs(v - w).sum() / 2, js_distance: root}[divergence]
    assert divergence(p, q) == pytest.approx(expected, rel=1e-6)
    for off in (p * (1 + 2e-6), p.double() * (1 + 2e-9)):
        with pytest.raises(InputError, match="must sum to 1.*Divide it by its sum, in float64"):
            divergence(off, q)


def test_tv_is_at_most_1():
    assert tv([1 + 9e-10, 0], [0, 1 + 9e-10]) == 1


def test_a_base_may_be_of_any_kind():
    for base in (2, 2.0, np.float32(2), np.int64(2)):
        assert js([1, 0], [0, 1], base=base) == 1


BAD = {
    "nan": ([math.nan, 1], "'p' must be finite, but entry \\(0,\\) is nan"),
    "inf": ([0, math.inf], "'p' must be finite, but entry \\(1,\\) is inf"),
    "negative": ([1.5, -0.5], "'p' must be non-negative, but entry 1 is -0.5"),
    "sum": ([0.5, 0.6], "'p' must sum to 1, but sums to 1.1. Divide it by its sum"),
    "zero": ([0, 0], "'p' must sum to 1, but sums to 0"),
    "empty": ([], r"'p' must be a non-empty vector, got shape \(0,\)"),
    "matrix": ([[1.0]], r"'p' must be a non-empty vector, got shape \(1, 1\)"),
    "scalar": (1.0, r"'p' must be a non-empty vector, got shape \(\)"),
    "ragged": ([[1.0], [0.5, 0.5]], "'p' must be an array of real numbers"),
    "text": ("half", "'p' must be an array of real numbers"),
    "complex": (np.array([1j, 1]), "'p' must be an array of real numbers: it is complex"),
    "length": ([1, 0, 0], "on the same points, got 3 and 2 weights. Put zeros"),
}


@pytest.mark.parametrize("divergence", [kl, js, tv])
@pytest.mark.parametrize(("weights", "message"), BAD.values(), ids=BAD)
def test_refuses(divergence, weights, message):
    with pytest.raises(InputError, match=message):
        divergence(weights, [0.5, 0.5])
    other = message.replace("'p'", "'q'").replace("3 and 2", "2 and 3")
    with pytest.raises(InputError, match=other):
        divergence([0.5, 0.5], weights)


@pytest.mark.parametrize("divergence", [kl, js])
@pytest.mark.parametrize("base", [1, 0.5, -2, 0, math.inf, math.nan, "e"])
def test_refuses_a_base_that_is_none(divergence, base):
    with pytest.raises(InputError, match=f"must be > 1, got {base}. Use 2 for bits"):
        divergence([1, 0], [0.5, 0.5], base=base)


# Normals and densities


def log_normal_density(mean, std):
    return lambda x: -(((x - mean) / std) ** 2) / 2 - math.log(std * math.sqrt(2 * math.pi))


LINE = (-math.inf, math.inf)
BETWEEN = st.floats(-3, 3)
WIDTHS = st.floats(0.2, 5)


def test_the_numbers_of_the_first_chapter():
    assert kl_normal(0, 1, 0, 2) == pytest.approx(math.log(2) + 1 / 8 - 1 / 2, abs=1e-15)
    assert kl_normal(0, 2, 0, 1) == pytest.approx(-math.log(2) + 2 - 1 / 2, abs=1e-15)
    assert kl_normal(0, 1, 1, 1) == kl_normal(1, 1, 0, 1) == 0.5
    assert kl_normal(0, 1, 1, 1, base=2) == pytest.approx(0.5 / math.log(2), abs=1e-15)
    p, q = log_normal_density(0, 1), log_normal_density(1, 1)
    assert js_density(p, q, LINE) == pytest.approx(0.1114214822, abs=1e-10)
    assert js_density(p, q, LINE, base=2) == pytest.approx(0.1607472198, abs=1e-10)
    assert tv_density(p, q, LINE) == pytest.approx(math.erf(1 / (2 * math.sqrt(2))), abs=1e-10)


@given(BETWEEN, WIDTHS, BETWEEN, WIDTHS)
@settings(max_examples=20)
def test_quadrature_meets_the_closed_form_and_the_laws(m_p, s_p, m_q, s_q):
    p, q = log_normal_density(m_p, s_p), log_normal_density(m_q, s_q)
    assert kl_density(p, q, LINE) == pytest.approx(kl_normal(m_p, s_p, m_q, s_q), rel=1e-9, abs=1e-9)
    js_pq, tv_pq = js_density(p, q, LINE), tv_density(p, q, LINE)
    assert js_pq == pytest.approx(js_density(q, p, LINE), abs=1e-9)
    assert 0 <= js_pq <= math.log(2) * tv_pq + 1e-9
    assert 2 * tv_pq**2 <= kl_density(p, q, LINE) + 1e-9
    mirrored = kl_density(log_normal_density(-m_p, s_p), log_normal_density(-m_q, s_q), LINE)
    assert mirrored == pytest.approx(kl_density(p, q, LINE), abs=1e-9)


@pytest.mark.slow
def test_densities_with_jumps_and_poles():
    p, q = uniform(0, 1).logpdf, uniform(0.3, 2).logpdf
    for support in (LINE, (0, 2.3), (-5, 5)):
        assert kl_density(p, q, support) == kl_density(q, p, support) == math.inf
        assert tv_density(p, q, support) == pytest.approx(0.65, abs=1e-9)  # 1 - 0.7 / 2
    assert kl_density(p, uniform(-1, 3.3).logpdf, LINE) == pytest.approx(math.log(3.3), abs=1e-9)
    assert kl_density(p, q, (0, 1)) == math.inf  # q's mass may lie elsewhere, p's may not
    far = js_density(log_normal_density(0, 1), log_normal_density(1000, 1), LINE)
    assert far == pytest.approx(math.log(2), abs=1e-9)
    assert kl_density(beta(2, 3).logpdf, beta(0.5, 0.5).logpdf, (0, 1)) == pytest.approx(
        float(-beta(2, 3).entropy() + math.log(math.pi) + (digamma(2) + digamma(3)) / 2 - digamma(5)),
        abs=1e-8,
    )


def test_a_zero_of_q_at_one_point_is_no_miss():
    """q = 3 x^2 / 2 on [-1, 1] vanishes at 0, where the quadrature looks; KL(U || q) = ln(1/3) + 2."""

    def p(x):
        return -math.log(2)

    def q(x):
        return math.log(1.5 * x * x) if x else -math.inf

    assert kl_density(p, q, (-1, 1)) == pytest.approx(-math.log(3) + 2, abs=1e-9)


BAD_DENSITIES = {
    "mass": (
        lambda x: 0.0,
        (0, 3),
        r"exp\(log_p\) must integrate to 1 over the support \(0, 3\), but gives 3",
    ),
    "cut off": (log_normal_density(0, 1), (-1, 1), "but gives 0.682689492. Normalise it, widen the support"),
    "thin peak": (
        log_normal_density(3e5, 0.01),
        LINE,
        "but gives 0. .* narrow it if the density is a thin peak",
    ),
    "nan": (lambda x: math.nan, (0, 1), "'log_p' must be finite or -inf, but at .* it is nan"),
    "not a function": ([0.5, 0.5], (0, 1), "'log_p' must be a function .* 'list' object is not callable"),
    "wants a tensor": (
        torch.distributions.Normal(0.0, 1.0).log_prob,
        (0, 1),
        "'log_p' must be a function that maps a float to the log of a density, but at .* must be a Tensor",
    ),
    "vector": (lambda x: np.array([0.0]), (0, 1), r"'log_p' must be a non-empty number, got shape \(1,\)"),
    "ln 0": (lambda x: math.log(x - x), (0, 1), "'log_p' must be a function .* but at"),
    "pole inside": (lambda x: math.inf, (0, 1), "'log_p' must be finite or -inf, but at .* it is inf"),
}


@pytest.mark.parametrize("divergence", [kl_density, js_density, tv_density])
@pytest.mark.parametrize(("log_p", "support", "message"), BAD_DENSITIES.values(), ids=BAD_DENSITIES)
def test_refuses_what_is_no_density(divergence, log_p, support, message):
    with pytest.raises(InputError, match=message):
        divergence(log_p, log_p, support)


def test_an_infinite_integral_is_not_a_number():
    with pytest.raises(SolverError, match="it is infinite, or"):
        kl_density(lambda x: -math.log(math.pi * (1 + x * x)), log_normal_density(0, 1), LINE)


def test_an_integral_beyond_float64_is_neither_a_number_nor_a_warning():
    """-p ln q = 1/x on (0, 1], where the sums of the quadrature overflow."""
    with pytest.raises(SolverError, match="it is infinite, or"):
        kl_density(lambda x: 0.0, lambda x: -1 / x if x else -math.inf, (0, 1))


def test_a_density_may_be_a_tensor_with_a_graph():
    weight = torch.tensor(0.0, requires_grad=True)
    assert kl_density(lambda x: weight, lambda x: 0 * weight, (0, 1)) == 0


def test_too_much_of_q_or_too_little_for_js():
    p = log_normal_density(0, 1)
    with pytest.raises(InputError, match=r"exp\(log_q\) must integrate to 1"):
        kl_density(p, lambda x: p(x) + 1, LINE)
    with pytest.raises(InputError, match=r"exp\(log_q\) must integrate to 1"):
        js_density(uniform(0, 1).logpdf, uniform(0, 2).logpdf, (0, 1))


@pytest.mark.parametrize(
    ("normals", "message"),
    [
        ((0, 0, 0, 1), "must be positive, got 0.0 for p and 1.0 for q"),
        ((0, 1, 0, -1), "must be positive, got 1.0 for p and -1.0 for q"),
        ((math.nan, 1, 0, 1), "'mean_p' must be finite"),
        ((0, 1, 0, math.inf), "'std_q' must be finite"),
        (([0, 1], 1, 0, 1), "'mean_p' must be a non-empty number"),
        ((0, 1e300, 0, 1e-300), "overflows float64. Take less extreme ones"),
    ],
)
def test_refuses_what_is_no_normal(normals, message):
    with pytest.raises(InputError, match=message):
        kl_normal(*normals)


def test_kl_of_extreme_normals_is_right_where_it_is_a_number():
    assert kl_normal(0, 1e-300, 0, 1e300) == pytest.approx(600 * math.log(10) - 0.5, rel=1e-12)
    assert kl_normal(1e-200, 1e-200, 0, 1e-200) == 0.5


# The game


def test_the_best_discriminator_of_two_normals():
    p, q = norm(0, 1).pdf, norm(1, 1).pdf
    assert optimal_discriminator(p(0.0), q(0.0)) == pytest.approx(1 / (1 + math.exp(-0.5)), abs=1e-12)
    x = np.linspace(-4, 5, 50)
    answers = np.linspace(1e-6, 1 - 1e-6, 1_000_001)
    best = optimal_discriminator(p(x), q(x))
    for point, found in zip(x, best, strict=True):
        value = p(point) * np.log(answers) + q(point) * np.log1p(-answers)
        assert answers[value.argmax()] == pytest.approx(found, abs=2e-6)


@given(laws())
@settings(max_examples=60)
def test_the_value_of_the_game_at_its_best_is_js(pair):
    p, q = pair
    best = optimal_discriminator(p, q)
    assert gan_value(best, p, q) == pytest.approx(2 * js(p, q) - 2 * math.log(2), abs=1e-12)
    rng = np.random.default_rng(len(p))
    for other in rng.random((20, len(p))):
        assert gan_value(other, p, q) <= gan_value(best, p, q) + 1e-12
    assert js_distance(p, q) == pytest.approx(jensenshannon(p, q), abs=1e-7)
    assert js_distance(p, q, base=2) == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)


@given(laws(), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60)
def test_smoothed_labels_have_the_best_answer_of_their_own_loss(pair, real, fake):
    p, q = pair
    best = optimal_discriminator(p, q, real_label=real, fake_label=fake)
    answers = np.linspace(0, 1, 2001)[1:-1, None]
    loss = -(real * p + fake * q) * np.log(answers) - ((1 - real) * p + (1 - fake) * q) * np.log1p(-answers)
    read = p + q > 1e-3
    np.testing.assert_allclose(
        answers[loss.argmin(0), 0][read], np.clip(best, 5e-4, 1 - 5e-4)[read], atol=6e-4
    )


@pytest.mark.parametrize("dtype", [float, np.float32, torch.float32, torch.bfloat16])
def test_an_answer_that_is_rounded_to_certain_is_no_infinite_loss(dtype):
    p, q = np.array([1 - 1e-20, 0.0]), np.array([1e-20, 1.0])
    best = optimal_discriminator(p, q)
    best = torch.tensor(best).to(dtype) if isinstance(dtype, torch.dtype) else best.astype(dtype)
    assert best.tolist() == [1, 0]
    assert gan_value(best, p, q) == pytest.approx(2 * js(p, q) - 2 * math.log(2), abs=1e-15)
    assert gan_value(best, [0.5, 0.5], [0.5, 0.5]) == -math.inf  # certain and wrong, not rounded


def test_one_sided_and_two_sided_smoothing():
    assert optimal_discriminator([0.5], [0.5], real_label=0.9).tolist() == [0.45]
    assert optimal_discriminator([0.0], [1.0], real_label=0.9, fake_label=0.1).tolist() == [0.1]
    assert optimal_discriminator([0.0], [1.0], real_label=0.9).tolist() == [0.0]


def test_what_nobody_sees_is_undefined_and_not_read():
    best = optimal_discriminator([0.5, 0.5, 0.0], [1.0, 0.0, 0.0])
    assert math.isnan(best[2])
    assert gan_value(best, [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]) == gan_value(best[:2], [0.5, 0.5], [1.0, 0.0])


def test_extreme_values_kinds_and_certainties():
    assert optimal_discriminator([1.5e308, 5e-324], [1.5e308, 5e-324]).tolist() == [0.5, 0.5]
    assert torch.is_tensor(optimal_discriminator(torch.tensor([0.5]), [0.5]))
    assert gan_value([1.0, 0.0], [1, 0], [0, 1]) == 0.0
    assert gan_value([0.0, 0.0], [1, 0], [0, 1]) == -math.inf
    for dtype in (torch.float32, torch.bfloat16):
        D = torch.tensor([0.5, 0.5], requires_grad=True, dtype=dtype)
        assert gan_value(D, [1, 0], [0, 1]) == -2 * math.log(2)
    assert optimal_discriminator([0.5], [0.5], real_label=torch.tensor(0.5)).tolist() == [0.25]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optimal_discriminator([-0.1, 1], [0.5, 0.5]), "non-negative, but hold -0.1"),
        (lambda: optimal_discriminator([1.0], [0.5, 0.5]), "same points, got shapes"),
        (
            lambda: optimal_discriminator([1.0], [0.5], real_label=1.1),
            r"Labels must lie in \[0, 1\], got 1.1",
        ),
        (lambda: optimal_discriminator([math.nan], [0.5]), "'p' must be finite"),
        (
            lambda: optimal_discriminator([1.0], [0.5], real_label="0.9"),
            "'real_label' must be .* real numbers",
        ),
        (
            lambda: optimal_discriminator([1.0], [0.5], fake_label=[0.1, 0.2]),
            "'fake_label' must be a .* number",
        ),
        (lambda: gan_value([[1], [1, 2]], [0.5, 0.5], [0.5, 0.5]), "'D' must be an array of real numbers"),
        (
            lambda: gan_value(np.ma.masked_equal([0.5, 0.2], 0.2), [0.5, 0.5], [0.5, 0.5]),
            "'D' .* masked entries",
        ),
        (lambda: gan_value([0.5], [0.5, 0.5], [0.5, 0.5]), "one value a point, so shape"),
        (
            lambda: gan_value([0.5, 1.5], [0.5, 0.5], [0.5, 0.5]),
            "ranges from 0.5 to 1.5. Pass scores through",
        ),
        (lambda: gan_value([0.5, math.nan], [0.5, 0.5], [0.5, 0.5]), "'D' must be finite"),
        (lambda: gan_value([0.5, 0.5], [0.5, 0.6], [0.5, 0.5]), "'p' must sum to 1"),
    ],
)
def test_the_game_refuses(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("divergence", [kl, js, tv])
def test_a_sum_beyond_float64_is_refused_without_a_warning(divergence):
    with pytest.raises(InputError, match="sums to inf"):
        divergence([1.7e308, 1.7e308], [0.5, 0.5])


def test_the_kinks_of_total_variation_are_integrated_up_to_them():
    """Once off by 2e-9, where Gauss's and Kronrod's errors at a kink happen to agree."""
    p, q = log_normal_density(1.0, 0.5), log_normal_density(1.25, 3.0)
    assert tv_density(p, q, LINE) == pytest.approx(0.6949755878277051, abs=1e-12)
