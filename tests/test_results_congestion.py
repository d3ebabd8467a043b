"""The kept results of the further pages of chapter 12: few points beside the program, other widths."""

import numpy as np

from wganlab import data
from wganlab.transport import penalised_sample


def test_trained_critics_of_few_points_end_a_little_below():
    run = data.results("sample").arrays
    found = penalised_sample(run["few_x"], run["few_fake"], weight=1.0)
    objective, estimate = run["few_numbers"].T
    assert (objective < found.objective).all()
    assert (objective > 0.96 * found.objective).all()
    assert np.abs(estimate / found.estimate - 1).max() < 0.05
    limit, objective = run["twenty_limit"], run["twenty_numbers"][:, 0]
    assert (objective < limit[0]).all()
    assert (objective > 0.9 * limit[0]).all()


def test_the_critic_that_learns_by_heart_is_far_from_where_it_goes():
    run = data.results("heart").arrays
    objective, estimate, fresh, error = run["limit"].T
    assert (np.abs(objective - fresh) < 0.5).all()  # from above and from below, on average over fakes
    assert (error < 0.1).all()
    assert (estimate > 2.5 * run["w1"]).all()
    reported = data.results("penalty").arrays["digit_gap"][0, 1, :, -1, 0]
    assert (reported < 0.4 * run["w1"]).all()


def test_a_larger_network_comes_nearer_with_the_two_sided_penalty_and_none_reaches_the_cost():
    run, small = data.results("widths").arrays, data.results("penalty").arrays
    softplus, wide = run["objective"]
    assert run["names"].tolist() == ["softplus 64-64", "SiLU 256-256-256"]
    silu = small["pair_objective"][small["pair_kinds"].tolist().index("two_sided"), 0]
    assert softplus.max() < silu.min() < silu.max() < wide.min() < wide.max() < 1.1406
