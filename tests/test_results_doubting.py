"""The kept results of chapter 16 hold what it says: free pictures, estimators, five losses, the hunt."""

import numpy as np
import pytest

from wganlab import data, transport


@pytest.fixture(scope="module")
def estimators():
    return data.results("estimators")


def test_free_pictures_beat_real_ones_at_the_distance_and_are_grey(estimators):
    arrays, about = estimators
    of = dict(zip(about["kinds"], arrays["blur"], strict=True))  # seed, (W1 to 64, W1 to 1,000, score, grey)
    assert all(values.shape == (3, 4) for values in of.values())
    for kind in ("free_64", "free_1024", "kmeans"):
        assert (of[kind][:, :2] < of["real"][:, :2] - 1).all()
        assert (of[kind][:, 2] > 1.5 * of["real"][:, 2]).all()
        assert (of[kind][:, 3] > 2 * of["real"][:, 3]).all()
    sheet = arrays["sheet_free_64"] / 127.5 - 1
    assert abs((np.abs(sheet) < 0.5).mean() - of["free_64"][0, 3]) < 0.05


def test_the_shown_free_digits_are_the_nearer_ones(estimators):
    arrays, _ = estimators
    x = data.digits().x.flatten(1).double().numpy()[::5]
    clouds = [arrays[f"sheet_{kind}"].reshape(12, 784) / 127.5 - 1 for kind in ("free_64", "real")]
    free, real = (transport.emd(x, cloud).distance for cloud in clouds)
    assert free < real - 1


@pytest.mark.parametrize("pair", ["shift", "generator"])
def test_the_sandwich(estimators, pair):
    arrays, about = estimators
    of = dict(zip(about["estimators"], arrays[f"{pair}.mean"], strict=True))  # size, seed
    w1 = float(arrays[f"{pair}.w1"])
    assert (of["exact"] > w1).all()
    assert (np.diff(of["exact"], axis=0) < 0).all()
    assert (of["c_real"] < of["exact"] + 0.3).all()  # on average over batches drawn anew
    assert (of["sinkhorn"][:3] > of["exact"][:3]).all()
    assert (of["divergence_5"][:3] < of["divergence_1"][:3]).all()
    assert (of["divergence_1"][:3] < of["exact"][:3]).all()


def test_cosines_are_cosines(estimators):
    arrays, _ = estimators
    for pair in ("shift", "generator"):
        assert arrays[f"{pair}.cosine"].shape == (9, 3, 3)
        assert (np.abs(arrays[f"{pair}.cosine"]) <= 1).all()
    assert (np.abs(arrays["generator.halves"]) <= 1).all()


def test_a_field_without_noise_may_pass_the_cosine_of_two_halves(estimators):
    arrays, about = estimators
    of = dict(zip(about["controls"], np.moveaxis(arrays["generator.controls"], 1, 0), strict=True))
    halves = arrays["generator.halves"]  # seed, (at the fakes, in the weights by batch, all)
    assert (of["ten nearest"] > halves).all()
    assert (of["ten nearest"] < np.sqrt(halves)).all()
    assert (arrays["generator.rest"][:, :3] > 0.2).all()


def test_the_exact_loss_loses_variety_and_large_batches_do_not_cure_it():
    arrays, _ = data.results("losses")
    exact, gp, real = (arrays[f"digits.{name}.variety"] for name in ("exact", "gp", "real"))
    assert (exact[[0, 1, 3, 4]] < gp[[0, 1, 3, 4]]).all()
    assert (gp[[0, 1, 3, 4]] < real[[0, 1, 3, 4]]).all()
    assert exact[5:].sum() == gp[5:].sum() == real[5:].sum() == 1000
    assert arrays["digits.gp"][:, -1, 3].max() < arrays["digits.exact_256"][0, -1, 3]


def test_five_losses_three_seeds_and_the_seconds_of_each():
    arrays, about = data.results("losses")
    for setting in ("ring", "digits"):
        curves = np.array([arrays[f"{setting}.{loss}"] for loss in about["losses"]])
        assert curves.shape == (5, 3, 9, 5)
        assert len(np.unique(curves[:, :, -1, 2])) == 15  # no seed twice
        assert (np.diff(curves[..., :2], axis=2) > 0).all()  # updates and seconds


def test_the_hunt_is_fair():
    arrays, about = data.results("hunt")
    assert arrays["curves"].shape[:2] == (len(about["causes"]), 3)
    shown = arrays["anonymous"]
    assert len(shown) == len(about["key"]) == len(set(about["key"].values())) == 10
    flat = arrays["curves"].reshape(-1, *shown.shape[1:])
    assert all(any(np.array_equal(one, run) for run in flat) for one in shown)
    healthy = [i for i, cause in enumerate(about["causes"]) if cause.startswith("healthy")]
    w1 = arrays["curves"][:, :, :, about["shown"].index("w1")]
    fell = w1[healthy, :, -1] < w1[healthy, :, 0]  # two-sided, one-sided, clipped: one seed is slow
    assert fell.sum(axis=1).tolist() == [3, 3, 2]
