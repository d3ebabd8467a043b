"""The sliced distance against closed forms, POT, and its laws; what a sample does to W1."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import beta, expit, ndtr
from scipy.stats import norm

from wganlab import sampling
from wganlab.errors import InputError, SolverError
from wganlab.transport import bridge_constant, emd, sample_w1, sliced_wasserstein, wasserstein_1d

seeds = st.integers(0, 2**32 - 1)
AXES = [[1.0, 0.0], [0.0, 1.0]]


# Slices


def test_slices_by_hand():
    assert sliced_wasserstein([[0, 0]], [[3, 4]], projections=AXES) == 3.5
    assert sliced_wasserstein([[0, 0]], [[3, 4]], p=2, projections=AXES) == pytest.approx(math.sqrt(12.5))
    assert sliced_wasserstein([[0, 0]], [[3, 4]], projections=[[6.0, 8.0]]) == pytest.approx(
        5.0
    )  # normalised
    assert sliced_wasserstein([0.0, 1.0], [5.0, 6.0]) == 5.0  # on the line every direction is the same


def test_a_translation_in_the_plane():
    """SW_2^2 = |c|^2 / d and SW_1 = |c| E|cos| = 2 |c| / pi."""
    x = np.random.default_rng(0).normal(size=(50, 2))
    found = [sliced_wasserstein(x, x + np.array([3, 4]), p=p, projections=4000) for p in (1, 2)]
    assert found[0] == pytest.approx(5 * 2 / math.pi, rel=0.03)
    assert found[1] == pytest.approx(5 / math.sqrt(2), rel=0.03)


@given(seeds, st.sampled_from([1, 1.5, 2, 3]))
@settings(max_examples=20)
def test_pot_and_the_laws_of_slices(seed, p):
    rng = np.random.default_rng(seed)
    n, m, k, d = rng.integers(1, 9, 4)
    x, y, z = (rng.normal(size=(size, d)) for size in (n, m, k))
    a, b, c = (rng.dirichlet(np.ones(size)) for size in (n, m, k))
    rows = rng.normal(size=(20, d))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = sliced_wasserstein(x, y, a, b, p=p, projections=rows)
    pot = ot.sliced_wasserstein_distance(x, y, a, b, p=p, projections=rows.T)
    assert found == pytest.approx(float(pot), abs=1e-7)
    assert sliced_wasserstein(y, x, b, a, p=p, projections=rows) == pytest.approx(found, abs=1e-12)
    assert sliced_wasserstein(x, x, a, a, p=p) == 0
    there, on = (sliced_wasserstein(*pair, p=p, projections=rows) for pair in ((x, z, a, c), (z, y, c, b)))
    assert found <= there + on + 1e-9  # the directions are the same
    assert sliced_wasserstein(x, y, a, b, p=p) <= emd(x, y, a, b, p=p).distance + 1e-9


def test_the_same_directions_at_each_call_unless_asked():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    assert sliced_wasserstein(x, y) == sliced_wasserstein(torch.tensor(x), torch.tensor(y))
    assert sliced_wasserstein(x, y, rng=1) == sliced_wasserstein(x, y, rng=np.random.default_rng(1))
    assert sliced_wasserstein(x, y, rng=1) != sliced_wasserstein(x, y, rng=2)
    first, second = (torch.Generator().manual_seed(3) for _ in range(2))
    assert sliced_wasserstein(x, y, rng=first) == sliced_wasserstein(x, y, rng=second)
    assert sliced_wasserstein(x, y, rng=first) != sliced_wasserstein(
        x, y, rng=torch.Generator().manual_seed(3)
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sliced_wasserstein([[0, 0]], [[0.0]]), "one dimension, got 2 for x and 1 for y"),
        (lambda: sliced_wasserstein([0.0], [1.0], p=0.5), "finite and >= 1, got 0.5"),
        (lambda: sliced_wasserstein([0.0], [1.0], p=math.inf), "finite and >= 1, got inf"),
        (lambda: sliced_wasserstein([0.0], [1.0], projections=0), "a number >= 1 or rows"),
        (lambda: sliced_wasserstein([0.0], [1.0], projections=2.5), "a number >= 1 or rows"),
        (lambda: sliced_wasserstein([0.0], [1.0], projections=AXES), "non-zero rows of length 1"),
        (lambda: sliced_wasserstein([0.0], [1.0], projections=[[0.0]]), "non-zero rows of length 1"),
        (lambda: sliced_wasserstein([0.0], [1.0], projections=[[1.0], [1.0, 2.0]]), "array of real numbers"),
        (lambda: sliced_wasserstein([0.0], [1.0], projections=None), "'projections' must be"),
        (lambda: sliced_wasserstein([0.0], [1.0], rng="0"), "'rng' must be a generator of numpy or torch"),
        (lambda: sliced_wasserstein([0.0], [1.0], rng=-1), "or a seed >= 0, got -1"),
        (lambda: sliced_wasserstein([[1.7e308] * 2], [[0.0] * 2]), "projections overflow float64. Scale"),
        (lambda: sliced_wasserstein([math.nan], [1.0]), "'x' must be finite"),
        (lambda: sliced_wasserstein([0.0], [1.0], [1.0], [2.0]), "equal total masses"),
    ],
)
def test_slices_refuse(call, message):
    with pytest.raises(InputError, match=message):
        call()


# Samples


def test_the_constant_of_the_bridge():
    assert bridge_constant(lambda x: x, (0, 1)) == pytest.approx(math.sqrt(math.pi / 32), abs=1e-9)
    assert bridge_constant(lambda x: x / 7, (0, 7)) == pytest.approx(7 * math.sqrt(math.pi / 32), abs=1e-8)
    coin = bridge_constant(
        lambda x: (0.0 if x < 0 else 0.4) if x < 1 else 1.0, (-1e-9, 1)
    )  # atoms at 0 and 1
    assert coin == pytest.approx(math.sqrt(2 / math.pi * 0.24), abs=1e-6)


@pytest.mark.parametrize("place", [0.0, 12345.6, -1e6])
def test_the_bridge_of_a_thin_law_far_away_is_seen(place):
    """A logistic law of width 1: pi sqrt(2/pi), wherever it lies; once 6e-26 at 12345.6."""
    ends = ((-math.inf, math.inf), (place - 1e4, place + 2e5))
    for support in ends:
        found = bridge_constant(lambda x: expit(x - place), support, sf=lambda x: expit(place - x))
        assert found == pytest.approx(math.sqrt(2 * math.pi), abs=1e-8)


def test_the_bridge_of_a_law_as_wide_as_float64_is_no_number():
    """Once 8e-139, for 1e299."""
    with pytest.raises(SolverError, match="not known"):
        bridge_constant(
            lambda x: -math.expm1(-x / 1e300), (0, math.inf), sf=lambda x: math.exp(-max(x, 0) / 1e300)
        )


def pareto(x):
    return 1 - x**-3.0 if x < math.inf else 1.0


TAILS = {  # cdf, 1 - cdf, support, the integral of sqrt(F (1 - F))
    "exponential": (lambda x: -math.expm1(-x), lambda x: math.exp(-x), (0, math.inf), math.pi / 2),
    "Pareto, 3": (pareto, lambda x: x**-3.0, (1, math.inf), beta(1 / 6, 1.5) / 3),
    "Pareto, 3, mirrored": (
        lambda x: (-x) ** -3.0,
        lambda x: pareto(-x),
        (-math.inf, -1),
        beta(1 / 6, 1.5) / 3,
    ),
    "logistic": (expit, lambda x: expit(-x), (-math.inf, math.inf), math.pi),
    "uniform": (lambda x: x, lambda x: 1 - x, (0, 1), math.pi / 8),
}


@pytest.mark.parametrize(("cdf", "sf", "support", "truth"), TAILS.values(), ids=TAILS)
def test_the_constant_of_laws_with_tails(cdf, sf, support, truth):
    found = bridge_constant(cdf, support, sf=sf)
    assert found == pytest.approx(math.sqrt(2 / math.pi) * truth, abs=1e-9)


@pytest.mark.parametrize("law", ["exponential", "Pareto, 3", "logistic"])
def test_a_tail_that_rounding_takes_is_asked_for(law):
    cdf, sf, support, _ = TAILS[law]
    with pytest.raises(InputError, match="needs 'sf', the upper tail"):
        bridge_constant(cdf, support)
    for high in (20.0, 1e4):  # the end of a support that leaves the tail out, with and without it
        with pytest.raises(
            (InputError, SolverError), match="of its mass lies beyond|needs 'sf'|a narrower support"
        ):
            bridge_constant(cdf, (support[0], high))
    with pytest.raises(InputError, match=r"mass lies beyond 20. Widen it, to infinity"):
        bridge_constant(cdf, (support[0], 20.0), sf=sf)


def test_the_constant_is_what_samples_do():
    rng, n = np.random.default_rng(0), 400
    fine = norm.ppf((np.arange(4000) + 0.5) / 4000)
    mean = np.mean([wasserstein_1d(rng.normal(size=n), fine) for _ in range(300)])
    assert math.sqrt(n) * mean == pytest.approx(
        bridge_constant(ndtr, (-math.inf, math.inf), sf=lambda x: ndtr(-x)), rel=0.08
    )


def test_sample_w1_against_the_constant_and_a_loop():
    rng = torch.Generator().manual_seed(0)
    found = sample_w1(lambda n, rng: torch.rand(n, 1, generator=rng), 200, repeats=200, rng=rng)
    truth = math.sqrt(2 / 200) * math.sqrt(math.pi / 32)
    assert abs(found.mean - truth) < 4 * found.error + 0.02 * truth
    again, sampler = torch.Generator().manual_seed(7), sampling.normal(3)
    loop = [emd(sampler(20, again), sampler(20, again)).distance for _ in range(5)]
    found = sample_w1(sampler, 20, repeats=5, rng=torch.Generator().manual_seed(7))
    assert found.mean == pytest.approx(np.mean(loop), rel=1e-12)
    assert found.error == pytest.approx(np.std(loop, ddof=1) / math.sqrt(5), rel=1e-12)


def test_a_sampler_may_give_vectors_arrays_and_pictures():
    rng = torch.Generator()
    for shape in ((), (1,), (2, 3)):
        for make in (torch.ones, np.ones):
            assert sample_w1(lambda n, rng, make=make: make((n, *shape)), 4, rng=rng) == (0.0, 0.0)  # noqa: B023


def test_the_floor_falls_with_n_and_grows_with_the_dimension():
    floor = {
        (n, d): sample_w1(sampling.normal(d), n, repeats=10, rng=torch.Generator().manual_seed(0)).mean
        for n in (20, 160)
        for d in (1, 2, 10)
    }
    for d, least in ((1, 0.3), (2, 0.25), (10, 0.05)):
        rate = math.log(floor[20, d] / floor[160, d]) / math.log(8)
        assert least < rate < 0.7, (d, rate)
    assert floor[160, 1] < floor[160, 2] < floor[160, 10]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bridge_constant(lambda x: x, (0, 2)), r"in \[0, 1\], but at"),
        (lambda: bridge_constant(lambda x: [x, x], (0, 1)), "'cdf' must be a non-empty number, got shape"),
        (lambda: bridge_constant(lambda x: math.nan, (0, 1)), "'cdf' must be finite"),
        (lambda: bridge_constant(lambda x: x / 2, (0, 1)), "0.5 of its mass lies beyond 1. Widen it"),
        (lambda: bridge_constant(lambda x: x, (1, 0)), "low < high"),
        (lambda: bridge_constant(lambda x: x, (0, 1), sf=lambda x: x), "'sf' must be 1 - cdf, but at"),
        (
            lambda: bridge_constant(lambda x: x, (0, 1), sf=lambda x: 1.5),
            r"'sf' must have values in \[0, 1\]",
        ),
        (lambda: sample_w1(sampling.normal(1), 0, rng=torch.Generator()), "n >= 1 points"),
        (lambda: sample_w1(sampling.normal(1), "5", rng=torch.Generator()), "n >= 1 points"),
        (lambda: sample_w1(sampling.normal(1), 5, repeats=1, rng=torch.Generator()), "repeats >= 2"),
    ],
)
def test_samples_refuse(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_heavy_tails_have_no_constant():
    with pytest.raises(SolverError, match="it is infinite"):
        bridge_constant(lambda x: 1 - 1 / (1 + x), (0, math.inf), sf=lambda x: 1 / (1 + x))
