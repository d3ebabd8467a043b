"""A learning rate is a pure function of the number of turns, so that a resumed run has the same."""

import copy

import pytest
import torch

from wganlab import Draw, Game, networks, recipes, sampling, train
from wganlab.errors import InputError
from wganlab.training import linear_decay


def new_game(recipe=recipes.wgan_gp_resnet):
    torch.manual_seed(0)
    return Game(networks.mlp(2, 2, hidden=(8,)), networks.mlp(2, 1, hidden=(8,)), recipe)


def rates(game):
    return [
        group["lr"]
        for optimizer in (game.critic_optimizer, game.generator_optimizer)
        for group in optimizer.param_groups
    ]


@pytest.mark.parametrize(
    ("step", "share"), [(0, 1.0), (599, 1.0), (600, 1.0), (601, 0.9975), (800, 0.5), (1000, 0.0), (2000, 0.0)]
)
def test_the_rate_falls_on_a_line_from_start_to_until(step, share):
    game = new_game(recipes.wgan_gp_digits)
    for turn in (step, 3, step):  # nothing is remembered from the turns before
        game.step = turn
        linear_decay(game, 600, 1000)
    assert rates(game) == pytest.approx([2e-3 * share, 1e-3 * share], rel=1e-12)


def test_it_is_the_authors_decay():
    """gan_cifar_resnet.py: decay = max(0, 1 - iteration / 100000), at the first iteration 1."""
    game = new_game()
    for step in (0, 1, 12_345, 99_999, 100_000):
        game.step = step
        linear_decay(game, 0, 100_000)
        assert rates(game) == pytest.approx([2e-4 * max(0.0, 1 - step / 100_000)] * 2, rel=1e-12)


def run(game, until):
    linear_decay(game, 2, 8)
    for _ in train(game, Draw(sampling.ring(), sampling.normal(2), 8), until):
        linear_decay(game, 2, 8)


def test_a_resumed_run_equals_the_uninterrupted_one():
    whole, first, second = new_game(), new_game(), new_game()
    run(whole, 7)
    run(first, 4)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    run(second, 7)
    for one, other in zip(whole.critic.parameters(), second.critic.parameters(), strict=True):
        assert torch.equal(one, other)
    constant = new_game()
    list(train(constant, Draw(sampling.ring(), sampling.normal(2), 8), 7))
    assert not torch.equal(constant.critic[0].weight, whole.critic[0].weight)


def test_at_rate_0_nothing_moves():
    game = new_game()
    game.step = 8
    before = [weight.clone() for weight in game.critic.parameters()]
    run(game, 10)
    assert all(torch.equal(a, b) for a, b in zip(before, game.critic.parameters(), strict=True))


@pytest.mark.parametrize(("start", "until"), [(-1, 5), (5, 5), (6, 5)])
def test_refuses_a_line_that_is_none(start, until):
    with pytest.raises(InputError, match=f"0 <= start < until, got start {start} and until {until}"):
        linear_decay(new_game(), start, until)
