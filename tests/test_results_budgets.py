"""The kept results of chapter 14 hold what it says: four models, labels, architectures, CIFAR-10."""

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from wganlab import data, metrics, networks

MODELS = ("clip_rmsprop", "gp_rmsprop", "gp_adam", "gan")
UPDATES = dict.fromkeys((*MODELS, "gan_2e-03"), 1000)  # of the critic
UPDATES |= {"clip_1e-05": 500, "gp_1e-05": 500, "clip_1e-04": 2000, "gp_1e-04": 2000}


def curves(run, name):
    return np.array([run[f"{name}_{seed}.curve"] for seed in range(3)], float)


@pytest.mark.parametrize("name", UPDATES)
def test_updates_are_counted_and_no_seed_is_there_twice(name):
    turns, critic, seconds, _, w1, score = np.moveaxis(curves(data.results("results").arrays, name), 2, 0)
    assert (critic == turns * (1 if name.startswith("gan") else 5)).all()
    assert (critic[:, -1] == UPDATES[name]).all()
    assert (np.diff(seconds) > 0).all()
    assert len(np.unique(score[:, -1])) == 3
    run = data.results("results").arrays
    assert (score > run["score_floor"]).all()
    assert (w1 > run["w1_floor"]).all()


def test_all_models_of_a_seed_start_from_the_same_generator():
    run = data.results("results").arrays
    starts = np.array([curves(run, name)[:, 0, 4:] for name in UPDATES])
    assert (starts == starts[0]).all()


def test_the_kept_generator_draws_what_it_is_asked_for():
    run = data.results("conditional").arrays
    player = networks.dcgan_generator(74, dense=64)
    kept = {
        key.removeprefix("generator.picture."): w for key, w in run.items() if key.startswith("generator.")
    }
    player.load_state_dict(
        {name: torch.from_numpy(np.array(w)).to(torch.float32) for name, w in kept.items()}
    )
    asked = torch.arange(10).repeat(100)
    noise = torch.randn(1000, 64, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        pictures = player(torch.cat([noise, one_hot(asked, 10)], dim=1))
    share = (metrics.digit_probabilities(pictures).argmax(1) == asked.numpy()).mean()
    assert abs(share - run["same_0.curve"][-1, 3]) < 0.02
    assert (pictures[:100].add(1).mul(127.5) - torch.from_numpy(run["sheet"])).abs().max() < 16


def test_who_is_told_the_label_draws_it():
    run = data.results("conditional").arrays
    same, mixed, blind = (curves(run, way)[:, :, 3] for way in ("same", "mixed", "blind"))
    assert (same[:, 0] < 0.2).all()
    assert (same[:, -1] > blind[:, -1] + 0.3).all()
    assert (abs(blind[:, -1] - 0.1) < 0.05).all()
    assert mixed.shape == same.shape


@pytest.mark.parametrize("players", ["dcgan", "plain", "mlp", "tanh", "resnet"])
def test_the_grid_has_a_thousand_critic_updates_in_each_field(players):
    kept = data.results("wgan_digits").arrays | data.results("architectures").arrays
    for method, turns in {"gan": 1000, "gan10": 1000, "wgan": 200, "gp": 200}.items():
        tables = [
            table
            for name, table in kept.items()
            if name.startswith(f"{players}_{method}_") and table.ndim == 2
        ]
        rows = np.array([row for table in tables for row in table[table[:, 0] == turns]])
        assert rows.shape == (3, 14)
        assert len(np.unique(rows[:, 3])) == 3
        np.testing.assert_allclose(rows[:, 4:].sum(1), 1, atol=1e-5)


def test_cifar_ends_between_its_floor_and_the_untrained_pictures():
    run = data.results("cifar").arrays
    for name in MODELS:
        curve = run[f"{name}.curve"]
        assert (curve[:, 4:] > run["floor"]).all()
        assert curve[-1, 5] < curve[0, 5]
        assert run[f"{name}.sheet"].shape == (16, 3, 32, 32)
