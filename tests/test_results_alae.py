"""The kept results of chapter 15 hold what it says, and its kept weights give the numbers beside them."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from wganlab import data, networks

UPDATE, SECONDS, RECIPROCITY, SPREAD, SEEN, HELD, SAME, W1, SCORE, CODES = range(10)
NAMES = ("alae", "gp", "plain", "two_steps")


@pytest.fixture(scope="module")
def run():
    return data.results("alae").arrays


@pytest.fixture(scope="module")
def players(run):
    """F, G, E of ALAE's seed 0, from eight bits a weight."""
    mlp, leaky = partial(networks.mlp, slope=0.2), nn.LeakyReLU(0.2)
    made = {
        "F": mlp(50, 50, hidden=(50,) * 5, last=leaky),
        "G": mlp(50, (1, 28, 28), hidden=(128, 128), last=nn.Tanh()),
        "E": mlp((1, 28, 28), 50, hidden=(128, 128), last=leaky),
    }
    for letter, player in made.items():
        names = [f"alae_0.{letter}.{name}" for name in player.state_dict()]
        weights = [torch.from_numpy(run[name] * run.get(f"{name}.scale", np.float32(1))) for name in names]
        player.load_state_dict(dict(zip(player.state_dict(), weights, strict=True)))
    return made


def curves(run, name):
    return np.array([run[f"{name}_{seed}.curve"] for seed in range(3)])


@pytest.mark.parametrize("name", NAMES)
def test_three_seeds_of_each(run, name):
    found = curves(run, name)
    assert found.shape == (3, 12 if name == "gp" else 11, 10)
    assert len(np.unique(found[:, -1, SCORE])) == 3
    assert (np.diff(found[:, :, SECONDS]) > 0).all()
    assert (found[:, :, SCORE] > run["score_floor"]).all()
    assert ((found[:, :, SAME] >= 0) & (found[:, :, SAME] <= 1)).all()


def test_reciprocity_falls_as_a_share_of_the_codes_spread(run):
    share = curves(run, "alae")[:, :, RECIPROCITY] / curves(run, "alae")[:, :, SPREAD]
    alone = curves(run, "two_steps")[:, -1, RECIPROCITY] / curves(run, "two_steps")[:, -1, SPREAD]
    assert (share[:, 0] > 1).all()
    assert (share[:, -1] < 0.3).all()
    assert alone.min() > share[:, -1].max()


def test_copies_are_better_than_the_mean_picture_and_worse_than_by_their_own_loss(run):
    digits = data.digits().x[torch.randperm(5000, generator=torch.Generator().manual_seed(1))]
    mean_error = (digits[:1000] - digits[1000:].mean(0)).square().sum((1, 2, 3)).mean().item()
    copies = curves(run, "alae")[:, -1, HELD]
    assert (copies < mean_error).all()
    assert (curves(run, "plain")[:, -1, HELD] < 0.5 * copies.min()).all()


@torch.no_grad()
def test_the_kept_weights_give_the_kept_numbers(run, players):
    mapping, decoder, encoder = players["F"], players["G"], players["E"]
    digits = data.digits().x[torch.randperm(5000, generator=torch.Generator().manual_seed(1))]
    held, code = digits[:1000], mapping(torch.randn(1000, 50, generator=torch.Generator().manual_seed(7)))
    back = (encoder(decoder(code)) - code).square().sum(1).mean().item()
    copies = (decoder(encoder(held)) - held).square().sum((1, 2, 3)).mean().item()
    last = run["alae_0.curve"][-1]
    assert back == pytest.approx(last[RECIPROCITY], rel=0.15)
    assert copies == pytest.approx(last[HELD], rel=0.03)
    assert (code - code.mean(0)).square().sum(1).mean().item() == pytest.approx(last[SPREAD], rel=0.03)


def test_in_the_plane_the_third_step_makes_the_copies_in_four_seeds_of_five(run):
    three, two = run["ring"]
    assert three.shape == two.shape == (5, 3)
    assert ((three[:, :2] < 0.1).all(1)).sum() == 4
    assert (two[:, :2] > 0.9).all()


def test_without_the_third_step_the_place_is_in_a_code_that_g_does_not_read(run):
    read_back, mode, read, made = run["ring_codes"][1].T
    assert (read_back < 0.01).all()
    assert (mode > 0.99).all()
    assert (read < 0.001 * made).all()
    _updates, seconds, score = run["two_steps_0.longer"].T
    assert score[0] == pytest.approx(run["two_steps_0.curve"][-1, SCORE])  # the same run goes on
    assert seconds[-1] < run["alae_0.curve"][-1, SECONDS]
    assert score[-1] < run["gp_0.curve"][-1, SCORE]
