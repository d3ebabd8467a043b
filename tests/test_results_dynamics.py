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
