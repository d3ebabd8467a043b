"""The kept results of chapter 10 hold what it says: ceilings, seeds, blocks of deep clipped critics."""

import numpy as np
import pytest

from wganlab import data

MATRICES = 11  # between the 12 hidden layers


@pytest.fixture(scope="module")
def seeds():
    return data.results("clipping_seeds").arrays


@pytest.mark.parametrize(("law", "modes"), [("ring", 8), ("grid", 25), ("roll", -1)])
def test_exact_critics_of_other_samples_are_a_ceiling_below_one(seeds, law, modes):
    mean, largest, cosine, seen = seeds[f"ceiling_{law}"].T[1:]
    assert len(cosine) == len(np.unique(cosine)) == 5
    assert cosine.min() > 0.8
    assert cosine.max() < 0.97
    assert np.abs([mean, largest]).max() == pytest.approx(1, abs=1e-9)
    assert (seen <= modes).all()


def test_clipped_critics_of_the_ring_are_hills_and_the_one_sided_penalty_finds_the_peaks(seeds):
    keys = ("clip_01", "clip_1", "positive", "gp", "lp")
    assert {seeds[f"ring_{key}"].shape for key in keys} == {(3, 5)}
    gap, _, largest, cosine, seen = np.moveaxis([seeds[f"ring_{key}"] for key in keys], 2, 0)
    assert (seen[:3] == 0).all()
    assert (seen[4] == 8).all()
    assert cosine[:3].max() < 0.45 < 0.88 < cosine[4].min()
    bound = 0.01**4 * 2**0.5 * 128**3
    assert (largest[[0, 2]] < bound).all()
    assert (gap[2] > 3 * gap[0].max()).all()
    assert gap[2].max() < bound * seeds["ring_w1"] / 4


def test_deep_critics_sleep_or_end_on_the_line_of_equal_signs(seeds):
    lines = {"c_04": 0.04, "c_1": 0.1, "c_1_tiny": 0.1, "c_01_tiny": 0.01, "figure": 0.1}
    for key, c in lines.items():
        before, after = seeds[f"deep_{key}_slopes"].T
        assert np.abs(after - np.log10(64 * c)).max() < 0.06
        assert (before < -0.3).all()
        assert (seeds[f"deep_{key}_shares"][:, 1] > 0.1).all()
    before, after = seeds["deep_c_01_slopes"].T
    assert np.abs(after - before).max() < 1e-3
    assert (seeds["deep_c_01_shares"][:, 1] == 0).all()


def test_blocks_are_aligned_with_the_tiny_epsilon_only(seeds):
    keys = ("c_01", "c_04", "c_1", "c_01_tiny", "c_1_tiny", "figure")
    blocks = {key: seeds[f"deep_{key}_blocks"] for key in keys}
    assert {found.shape for found in blocks.values()} == {(3, MATRICES, 5)}
    active, norm, bound, *_ = np.moveaxis(np.median(blocks["c_01_tiny"], axis=1), 1, 0)
    assert np.abs(norm - 1).max() < 0.01
    assert np.abs(bound - 1).max() < 0.01
    assert np.abs(active - 0.5).max() < 0.05
    active, norm, bound, *_ = np.moveaxis(np.median(blocks["figure"], axis=1), 1, 0)
    assert (norm < 0.85).all()
    assert (bound < 0.65).all()
    assert (active > 0.65).all()
    assert np.median(blocks["c_01"][..., 1]) < 0.3  # asleep: as random signs have it


def test_two_more_games_of_twelve_layers(seeds):
    assert seeds["trap_c"].tolist() == [0.03, 0.1, 0.3]
    assert seeds["trap_w1"].shape == seeds["trap_estimate"].shape == (3, 2)
    assert (seeds["trap_w1"] > float(data.results("clipping_trap").arrays["floor"])).all()
