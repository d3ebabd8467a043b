"""Divergences against closed forms, scipy and a double loop, and the laws that they obey."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy, norm

from wganlab.divergences import js, kl, tv
from wganlab.errors import InputError


def examples(count):
    """So many examples, the same in each run, however slow the machine."""
    return settings(max_examples=count, deadline=None, derandomize=True, database=None)


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
@examples(100)
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
@examples(100)
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
@examples(100)
def test_triangle_inequalities(three):
    p, q, r = three
    assert tv(p, r) <= tv(p, q) + tv(q, r) + 1e-12
    assert math.sqrt(js(p, r)) <= math.sqrt(js(p, q)) + math.sqrt(js(q, r)) + 1e-7


@given(laws(), st.randoms(use_true_random=False))
@examples(50)
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
