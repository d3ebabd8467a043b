"""The kept results of chapter 4 hold what it says: the generator's gradient, and modes along training."""

import numpy as np

from wganlab import data


def test_one_gradient_vanishes_one_grows_and_that_of_the_penalised_critic_does_neither():
    run = data.results("vanishing").arrays
    losses = ("saturating", "non_saturating", "wasserstein")
    assert {run[loss].shape for loss in losses} == {(2, 3, 12, 2)}
    vanishing, growing, level = (run[loss][..., 0] for loss in losses)
    assert len(np.unique(vanishing[..., -1])) == 6  # no seed twice
    assert np.abs(growing / vanishing - 1)[..., 0].max() < 0.3  # D is nearly 1/2 at first
    assert (vanishing[..., 0] / vanishing[..., -1] > 100).all()
    assert (growing[..., -1] / growing[..., 0] > 10).all()
    settled = level[..., run["steps"] >= 100]
    assert (settled.max(-1) / settled.min(-1) < 2).all()
    assert (run["largest"][:, :, -1] < 0.01).all()


def test_modes_along_the_three_trainings():
    run = data.results("collapse").arrays
    assert run["ring.counts"].shape == (3, 10, 11, 3, 8)
    assert run["grid.counts"].shape == (3, 5, 11, 3, 25)
    for law, most in (("ring", 2000 / 8), ("grid", 2000 / 25)):
        counts = run[f"{law}.counts"].astype(int)
        assert (np.diff(counts, axis=3) >= 0).all()  # a wider radius holds no fewer points
        assert (counts.sum(-1) <= 2000).all()
        assert len(np.unique(run[f"{law}.w1"][:, :, -1])) == (30 if law == "ring" else 15)
        assert (run[f"{law}.w1"] > run[f"{law}.floor"]).all()
        assert most < counts[..., -1, :].max()
    exchanged = run["exchanged.counts"]  # the ring, with the learning rates of GAN and WGAN-GP exchanged
    assert exchanged.shape == (3, 5, 11, 3, 8)
    assert ((exchanged[:, :, -1, 2] >= 20).sum(-1) >= 6).all()
    modes = (run["ring.counts"][:, :, -1, 2] >= 20).sum(-1)
    assert (modes[[0, 2]] == 8).all()
    assert ((modes[1] <= 1).sum(), (modes[1] == 8).sum()) == (2, 8)
    medians = np.median((run["grid.counts"][:, :, -1, 2] >= 20).sum(-1), axis=1)
    assert medians[2] > medians[0] > medians[1]  # WGAN-GP, saturating, non-saturating
