"""The kept games of chapter 11 on eight Gaussians hold what it says of weights, sides and n_critic."""

import numpy as np
import pytest

from wganlab import data

TWO, ONE = 0, 1


@pytest.fixture(scope="module")
def more():
    return data.results("weights").arrays


@pytest.fixture(scope="module")
def first():
    return data.results("penalty").arrays


def test_no_game_is_there_twice(more, first):
    assert more["five_weights"].tolist() == [100]
    assert more["twenty_weights"].tolist() == [100, 10, 1, 0.1]
    for name, weights in (("five", 1), ("twenty", 4)):
        assert more[f"{name}_w1"].shape == more[f"{name}_estimate"].shape == (2, weights, 3, 12)
        assert more[f"{name}_average"].shape == more[f"{name}_modes"].shape == (2, weights, 3)
    assert (more["step"] == first["ring_step"]).all()
    ends = [run[name].ravel() for run in (more, first) for name in run if name.endswith("average")]
    assert len(np.unique(np.concatenate(ends))) == 48


def test_the_one_sided_penalty_trains_at_every_weight(more, first):
    ends = [more["five_average"][ONE], more["twenty_average"][ONE], first["ring_one_sided_average"]]
    assert all(end.max() < 0.2 for end in ends)
    modes = [more["five_modes"][ONE], more["twenty_modes"][ONE], first["ring_one_sided_modes"]]
    assert all((found == 8).all() for found in modes)


def test_the_two_sided_one_fails_at_large_weights_unless_the_critic_keeps_up(more, first):
    assert (more["five_average"][TWO] > 0.5).all()  # weight 100
    assert (first["ring_average"][0] > 0.25).all()  # weight 10, five critic updates
    hundred, ten, *small = more["twenty_average"][TWO]
    assert (hundred > 0.25).all()
    assert (ten < 0.25).all()
    assert np.max(small) < 0.2


def test_a_small_weight_measures_badly_on_either_side(more):
    late = more["twenty_estimate"][..., 6:].mean(-1) / more["twenty_w1"][..., 6:].mean(-1)
    assert (late[:, 3] > 1.8).all()  # weight 0.1
    assert (np.abs(late[:, 2] - 1) < 0.2).all()  # weight 1
    assert (late[ONE, :2] < 1).all()
