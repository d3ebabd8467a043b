"""The kept results of chapter 13 hold what it says: critics on pairs with few and with many funnels."""

import numpy as np
import pytest

from wganlab import data


@pytest.fixture(scope="module")
def race():
    arrays, about = data.results("race")
    index = {kind: j for j, kind in enumerate(about["kinds"])}
    return lambda name, kind: arrays[name][:, :, index[kind]], arrays


def test_with_more_funnels_the_two_sided_penalty_falls_and_r1_leads(race):
    of, _ = race
    cosine = {kind: of("cosine", kind) for kind in ("gp", "lp", "r1", "sort", "sn", "clip_matrices")}
    for kind, values in cosine.items():  # dim, funnels, seed
        assert (np.diff(values, axis=1) < 0).all() or kind == "clip_matrices"  # each falls, in each seed
    others = np.stack([values for kind, values in cosine.items() if kind != "r1"])
    assert (cosine["r1"][:, 2] > others.max(axis=0)[:, 2]).all()
    assert (of("error", "gp")[0, 2] > 1).all()
    assert (cosine["lp"] > cosine["gp"])[0, 1:].all()


def test_the_estimates_stay_below_what_a_bound_allows(race):
    of, arrays = race
    for kind in ("sn", "sort"):
        assert (of("estimate", kind) <= 1.02 * of("upper", kind) * arrays["w1"][..., None]).all()
        assert (of("lower", kind) <= of("upper", kind) + 1e-4).all()
    assert np.abs(of("upper", "sort") - 1).max() < 1e-3


def test_the_published_distances(race):
    _, arrays = race
    published = [[0.8174, 0.4662, 0.2303], [1.8817, 1.5850, 1.2593]]  # of 4,096 points
    assert np.abs(arrays["w1"] / published - 1).max() < 0.05
    assert (arrays["w1_error"] < 0.003).all()


def test_ten_times_a_normalised_critic_points_as_well_as_a_free_one(race):
    of, arrays = race
    free, ten = of("cosine", "lp")[:, 0], arrays["sn10_lp.cosine"]
    assert (ten > of("cosine", "sn")[:, 0] + 0.2).all()
    assert np.abs(np.median(ten, axis=-1) - np.median(free, axis=-1)).max() < 0.05
    assert np.abs(arrays["sn10_lp.upper"] - 10).max() < 0.2


def test_clipping_the_matrices_gives_the_published_cosines(race):
    of, _ = race
    published = np.array([[0.07, 0.07, 0.07], [0.34, 0.21, 0.12]])
    assert np.abs(np.median(of("cosine", "clip_matrices"), axis=-1) - published).max() < 0.1


def test_three_of_the_ten_critics_answer_the_opening_question():
    arrays, about = data.results("critics")
    kinds, w1 = about["kinds"], arrays["w1"][0]
    median = {kind: np.median(arrays["estimate"][0, kinds.index(kind)]) for kind in ("r1", "sn", "div", "gp")}
    assert [round(value, 2) for value in median.values()] == [0.10, 0.53, 0.56, 0.95]
    cosine = {kind: arrays["cosine"][0, kinds.index(kind)] for kind in median}
    assert cosine["sn"].max() < min(cosine[kind].min() for kind in ("r1", "div", "gp")) - 0.1
    assert abs(w1 - 0.909) < 1e-3
