"""The kept results of chapter 9 hold what it says: two clips, critics alone, momentum, digits."""

import numpy as np

from wganlab import data


def test_two_clips_end_alike_and_report_numbers_a_hundred_times_apart():
    run = data.results("clips").arrays
    assert run["after"].shape == run["estimate"].shape == (2, 5)
    assert len(np.unique(run["after"])) == 10  # no seed twice
    assert (run["before"] > 1.2).all()
    assert (run["after"] < 0.5).all()
    assert run["estimate"][1].min() / run["estimate"][0].max() > 100
    tight, wide = run["after"]
    assert abs(np.median(tight) - np.median(wide)) < min(np.ptp(tight), np.ptp(wide))
    np.testing.assert_array_equal(run["after_same_batches"][:, 0], run["after"][:, 0])
    w1, gap, lower, upper = np.moveaxis(run["looks"], 3, 0)
    assert w1.shape == (2, 5, 11)
    assert (lower < upper).all()
    assert (gap < upper * w1).all()
    np.testing.assert_allclose(w1[:, :, -1], run["after"], rtol=1e-6)


def test_the_family_holds_a_straight_line_that_the_optimizer_does_not_find():
    run = data.results("reasons").arrays
    best = run["line_K"][:, None, None] * run["line_w1"]
    assert run["line"].shape == (2, 5, 4)
    assert (run["line"] < 0.2 * best).all()
    assert (run["line"] > 0).all()
    assert (run["positive"][:, :, -1] > 0.95 * best[:, :, 0]).all()
    assert (run["positive"] < 1.0001 * best).all()
    assert (np.abs(run["clipped"]) < run["plane_K"] * run["plane_w1"]).all()
    assert (run["sorting"] < 1.0001 * run["plane_w1"]).all()
    assert (run["sorting"][:, -1] > 0.95 * run["plane_w1"]).all()


def test_only_momentum_points_uphill_and_all_can_end_higher():
    run = data.results("momentum").arrays
    for name in ("rmsprop", "adam_0"):
        assert run[f"{name}.cosine"].shape == (5, 750)
        assert (run[f"{name}.cosine"] > 0).all()
    assert (run["adam_9_fast.cosine"] < 0).any()
    assert all((run[f"{name}.rise"] > 0).any() for name in ("adam_0", "adam_9", "adam_9_fast"))


def test_digits_three_seeds_of_each_clipped_and_each_plain_game():
    run = data.results("wgan_digits").arrays
    for generator in ("mlp", "dcgan", "plain"):
        for method in ("wgan", "gan"):
            curves = np.array([run[f"{generator}_{method}_{seed}.curve"] for seed in range(3)])
            assert curves.shape == (3, 21, 14)
            assert len(np.unique(curves[:, -1, 3])) == 3
            np.testing.assert_allclose(curves[:, :, 4:].sum(2), 1, atol=1e-5)
    failed = np.array([run[f"failed_wgan_{seed}.curve"] for seed in range(3)])
    assert (failed[:, 1:, 3] > 1000).all()
