"""The kept results hold what the chapters say about them: trained critics beside the theory, and the film."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from wganlab import data
from wganlab.transport.congested import interpolate_density, penalised_line

PAIRS = ["points", "uniform", "normals", "uniforms"]
KINDS = ["one_sided", "two_sided"]


def between_uniforms(x):
    """The density of the interpolates of U[0, 1] and U[2, 3]: the mean of 1 / (w - u) over u < x < w."""
    return quad(lambda u: math.log((3 - u) / (max(x, 2) - u)), 0, min(x, 1))[0]


@pytest.fixture(scope="module")
def bias():
    return data.results("bias")


@pytest.fixture(scope="module")
def theory():
    """(4, 2): W1 and the integral of h^2 / rho."""
    lines = [
        penalised_line(lambda x: 1.0, lambda x: 1.0, (0, 1), weight=1.0),
        penalised_line(lambda x: 1 - x, lambda x: -math.log(x), (0, 1), weight=1.0),
        penalised_line(
            lambda x: norm.cdf(x) - norm.cdf(x, 3) if x < 1.5 else norm.sf(x, 3) - norm.sf(x),
            lambda x: float(interpolate_density([[x]], [[3.0]], 1.0, [[0.0]], 1.0)[0]),
            (-12, 15),
            weight=1.0,
        ),
        penalised_line(lambda x: min(x, 3 - x, 1), between_uniforms, (0, 3), weight=1.0),
    ]
    return np.array([(line.w1, line.congestion) for line in lines])


def test_what_is_kept(bias):
    arrays = bias.arrays
    assert arrays["pairs"].tolist() == PAIRS
    assert arrays["weights"].tolist() == [10, 1, 0.1]
    for kind in (*KINDS, "relu"):
        assert arrays[kind].shape == arrays[f"{kind}_objective"].shape == (4, 3, 3)
        assert len(np.unique(arrays[kind])) == 36  # no seed twice
    assert arrays["x"].shape == (4, 81)
    assert arrays["one_sided_slope"].shape == arrays["relu_slope"].shape == (4, 3, 81)
    assert arrays["reversed"].shape == (4, 3)
    assert arrays["reversed_slope"].shape == (4, 81)


@pytest.mark.parametrize("kind", KINDS)
def test_trained_critics_report_the_biased_number_within_two_percent(bias, theory, kind):
    (w1, congestion), weight = theory.T[:, :, None, None], bias.arrays["weights"][:, None]
    expected = w1 + congestion / (2 * weight)
    assert np.abs(bias.arrays[kind] / expected - 1).max() < 0.02
    expected = w1 + congestion / (4 * weight)
    assert np.abs(bias.arrays[f"{kind}_objective"] / expected - 1).max() < 0.02


def test_a_relu_critic_reports_the_number_of_the_best_straight_line(bias, theory):
    w1, weight = theory[:, 0, None, None], bias.arrays["weights"][:, None]
    line = w1 + w1**2 / (2 * weight)
    assert np.abs(bias.arrays["relu"] / line - 1)[:2].max() < 0.01
    assert np.abs(bias.arrays["relu"] / line - 1).max() < 0.02
    slopes = bias.arrays["relu_slope"][1]  # one slope on the whole of [0, 1]
    assert (np.ptp(slopes, axis=1) < 0.02 * slopes.mean(axis=1)).all()


def test_both_basins_of_the_two_sided_penalty(bias, theory):
    w1, congestion = theory.T[:, :, None]
    assert np.abs(bias.arrays["reversed"] / (-w1 + congestion / 20) - 1).max() < 0.02
    free = bias.arrays["free"]
    ends = np.array([w1[1, 0], -w1[1, 0]]) + congestion[1, 0] / 20
    nearest = np.abs(free[:, None] - ends).argmin(axis=1)
    assert np.abs(free / ends[nearest] - 1).max() < 0.02
    assert set(nearest) == {0, 1}


def test_the_trained_slope_is_the_optimal_one(bias):
    """On the middle of each pair, where the batches lie dense; weight 1."""
    x, slope = bias.arrays["x"][1], bias.arrays["one_sided_slope"][1, 1]
    dense = (x > 0.1) & (x < 0.95)
    expected = 1 + (1 - x[dense]) / (-2 * np.log(x[dense]))
    assert np.abs(slope[dense] / expected - 1).max() < 0.05
    turned = bias.arrays["reversed_slope"][1]
    assert ((turned > -1.01) & (turned < -0.9)).all()


# The film


@pytest.fixture(scope="module")
def movie():
    return data.results("movie").arrays


def test_a_film_is_whole(movie):
    games, frames = len(movie["titles"]), len(movie["steps"])
    assert (games, frames) == (3, 28)
    assert movie["samples"].shape == (games, frames, 144, 2)
    assert movie["critic"].shape == (games, frames, 20, 20)
    assert movie["w1"].shape == movie["estimate"].shape == (games, frames)
    assert {movie[name].dtype for name in ("real", "samples", "critic")} == {np.dtype(np.uint8)}
    assert (np.diff(movie["steps"]) > 0).all()
    assert (movie["critic"].min(axis=(2, 3)) == 0).all()
    assert (movie["critic"].max(axis=(2, 3)) == 255).all()


def test_the_three_games_start_alike_and_end_as_the_chapter_says(movie):
    assert (movie["samples"][:, 0] == movie["samples"][0, 0]).all()
    assert len(set(movie["w1"][:, 0])) == 1
    w1, estimate = movie["w1"], movie["estimate"]
    assert (w1[:, -1] < 0.3 * w1[:, 0]).all()
    assert w1[2, -1] < 0.75 * w1[:2, -1].min()
    assert np.abs(estimate[0, -1]) < 1e-4  # a clip of 0.01 leaves nothing of the scale
    assert (estimate[2, 1:] > w1[2, 1:]).all()  # and the penalty of weight 0.1 reports too much


def test_real_points_lie_on_the_ring(movie):
    radius = np.hypot(*((movie["real"] / 255 * 2 - 1) * 2.25).T)
    assert np.abs(radius - 2 / 1.414).max() < 0.1


# The plain GAN


@pytest.fixture(scope="module")
def game():
    return data.results("game").arrays


def test_the_kept_games_are_whole(game):
    assert game["ring.turns"].tolist() == game["slow.turns"].tolist() == [0, 50, 400]
    assert game["digits.turns"].tolist() == [0, 50, 400, 1500]
    assert game["ring.numbers"].shape == game["slow.numbers"].shape == (15, 3, 4)
    assert game["digits.numbers"].shape == (6, 4, 5)
    assert game["ring.shown"].shape == (3, 300, 2)
    assert game["digits.shown"].shape == (4, 16, 28, 28)
    assert game["digits.shown"].dtype == np.uint8


def test_the_two_rates_start_alike_and_end_apart(game):
    fast, slow = game["ring.numbers"], game["slow.numbers"]
    assert (fast[:, 0] == slow[:, 0]).all()
    held, w1 = fast[:, -1, 2], fast[:, -1, 0]
    assert (held == 8).sum() == 9
    assert (w1[held == 8] < 0.46).all()
    assert (w1[held < 8] > w1[held == 8].max()).all()
    assert np.median(slow[:, -1, 0]) > 3 * np.median(w1)


def test_digits_get_better_and_stay_above_both_floors(game):
    w1, w1_floor, _, score, score_floor = np.moveaxis(game["digits.numbers"], 2, 0)
    assert (np.diff(score[:, 1:], axis=1) < 0).all()
    assert (w1 > w1_floor).all()
    assert (score > 5 * score_floor).all()


# The remedies


@pytest.fixture(scope="module")
def ablation():
    return data.results("ablation").arrays


def test_every_setting_was_played_with_five_seeds(ablation):
    places, settings = len(ablation["data"]), len(ablation["settings"])
    assert (places, settings) == (3, 13)
    assert ablation["measures"].shape == (places, settings, 5, 2, 5)
    assert np.isfinite(ablation["measures"][..., :4]).all()
    assert np.isfinite(ablation["measures"][2]).all()  # the score is the digits'
    assert ablation["points"].shape == (settings, 200, 2)
    assert (ablation["seconds"] > 0).all()
    assert len(np.unique(ablation["measures"][0, :, :, 1, 0])) == 65  # no run twice
    assert ablation["more"].shape == (
        4,
        5,
        2,
        5,
    )  # four settings on the ring


def test_equal_seconds_buy_fewer_updates_of_what_costs_more(ablation):
    early, updates, seconds = (ablation[name] for name in ("early", "updates", "seconds"))
    assert (early[:, 0] == updates).all()  # the plain GAN sets the budget
    bought = np.minimum(updates[:, None] * seconds[:, :1] / seconds, updates[:, None])
    assert np.abs(early - bought).max() <= 0.5
    modes = ablation["measures"][..., 1:3]
    assert (modes[..., 0] >= modes[..., 1]).all()  # a tenth of the due share is easier than a half
    assert (modes <= np.array([8, 25, 10])[:, None, None, None, None]).all()
