"""Algorithm 1 against the loop written by hand, and the properties that make it trustworthy."""

import copy
import itertools
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from wganlab import networks, recipes, sampling
from wganlab.constraints import Constraint, GradientPenalty
from wganlab.errors import DivergenceError, InputError
from wganlab.objectives import Objective
from wganlab.training import Average, Game, Step, check_finite, descend, device, follow, train

RECIPES = {
    "gan": recipes.gan,
    "wgan": recipes.wgan,
    "wgan_gp": recipes.wgan_gp,
    "one-sided": replace(recipes.wgan_gp, constraint=GradientPenalty(10.0, one_sided=True)),
    "digits": recipes.wgan_gp_digits,
}


def new_players(seed=0):
    torch.manual_seed(seed)
    return networks.mlp(2, 2, hidden=(16, 16)), networks.mlp(2, 1, hidden=(16, 16))


def new_draw(seed=0, m=32):
    return sampling.Draw(sampling.ring(), sampling.normal(2), m, seed=seed)


def weights_of(*players):
    return [w.detach().clone() for player in players for w in player.parameters()]


def equal(these, those):
    return all(torch.equal(a, b) for a, b in zip(these, those, strict=True))


def by_hand(generator, critic, recipe, draw, turns):
    """Algorithm 1 of all three papers with ``backward`` and no class of the library's loop."""
    critic_optimizer = recipe.optimizer(critic.parameters())
    generator_optimizer = (recipe.generator_optimizer or recipe.optimizer)(generator.parameters())
    penalty_weight = getattr(recipe.constraint, "weight", 0.0)
    for step in range(turns):
        for t in range(recipe.n_critic):
            x, z, eps = draw(step, t)
            x_fake = generator(z).detach()
            loss = recipe.objective.critic(critic(x), critic(x_fake))
            if penalty_weight:
                x_hat = (eps[:, None] * x + (1 - eps[:, None]) * x_fake).requires_grad_()
                slope = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)[0].norm(dim=1)
                excess = (slope - 1).relu() if recipe.constraint.one_sided else slope - 1
                loss = loss + penalty_weight * (excess**2).mean()
            critic_optimizer.zero_grad()
            loss.backward()
            critic_optimizer.step()
            if recipe is RECIPES["wgan"]:
                for w in critic.parameters():
                    w.data.clamp_(-0.01, 0.01)
        z = draw.latent(step)
        loss = recipe.objective.generator(critic(generator(z)))
        generator_optimizer.zero_grad()
        loss.backward()
        generator_optimizer.step()


@pytest.mark.parametrize("name", RECIPES)
def test_the_library_equals_the_loop_written_by_hand_bit_for_bit(name):
    players, twins = new_players(), new_players()
    by_hand(*twins, RECIPES[name], new_draw(), turns=6)
    for _ in train(Game(*players, RECIPES[name]), new_draw(), until=6):
        pass
    assert equal(weights_of(*players), weights_of(*twins))
    assert not equal(weights_of(*players), weights_of(*new_players()))


@pytest.mark.parametrize("name", RECIPES)
def test_stopping_and_continuing_from_a_state_changes_nothing(name):
    whole = Game(*new_players(), RECIPES[name])
    for _ in train(whole, new_draw(), until=8):
        pass
    first = Game(*new_players(), RECIPES[name])
    for _ in train(first, new_draw(), until=3):
        pass
    second = Game(*new_players(seed=9), RECIPES[name])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in train(second, new_draw(), until=8):
        pass
    assert equal(weights_of(second.generator, second.critic), weights_of(whole.generator, whole.critic))


def test_a_run_is_decided_by_the_seed():
    ends = []
    for seed in (0, 0, 1):
        game = Game(*new_players(), recipes.wgan_gp)
        for _ in train(game, new_draw(seed), until=2):
            torch.rand(3)  # the global generator plays no part
        ends.append(weights_of(game.generator, game.critic))
    assert equal(ends[0], ends[1])
    assert not equal(ends[0], ends[2])


def test_steps_count_and_critic_updates_are_as_the_recipe_says():
    calls = []
    game = Game(*new_players(), recipes.wgan)
    accelerate = lambda step: lambda *batch: (calls.append(step.__name__), step(*batch))[1]  # noqa: E731
    steps = list(train(game, new_draw(), until=3, accelerate=accelerate))
    assert [step.index for step in steps] == [1, 2, 3]
    assert calls == (["critic_step"] * 5 + ["generator_step"]) * 3
    assert list(train(game, new_draw(), until=3)) == []  # it has arrived already
    assert all(value.shape == () and not value.requires_grad for value in steps[0][1:])


def test_after_every_critic_update_weights_are_within_the_clip():
    game = Game(*new_players(), recipes.wgan)
    draw = new_draw()
    for t in range(3):
        game.critic_step(*draw(0, t))
        largest = max(w.abs().max().item() for w in game.critic.parameters())
        assert largest <= 0.01
    assert largest == pytest.approx(0.01)


def test_each_player_moves_only_in_its_own_step():
    game = Game(*new_players(), recipes.wgan_gp)
    x, z, eps = new_draw()(0, 0)
    generator, critic = weights_of(game.generator), weights_of(game.critic)
    game.critic_step(x, z, eps)
    assert equal(weights_of(game.generator), generator)
    assert not equal(weights_of(game.critic), critic)
    critic = weights_of(game.critic)
    game.generator_step(z)
    assert equal(weights_of(game.critic), critic)
    assert not equal(weights_of(game.generator), generator)


def test_the_signs_critic_rises_on_real_and_generator_climbs_the_critic():
    critic = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Flatten(0))
    critic[0].weight.data = torch.tensor([[1.0, 0.0]])
    generator = nn.Linear(2, 2)
    sgd = lambda weights: torch.optim.SGD(weights, lr=0.5)  # noqa: E731
    game = Game(generator, critic, recipes.Recipe(recipes.wgan.objective, Constraint(), sgd))
    bias = generator.bias.detach().clone()
    loss = game.generator_step(torch.zeros(4, 2))
    assert loss.item() == pytest.approx(-bias[0].item())
    assert torch.allclose(generator.bias, bias + torch.tensor([0.5, 0.0]))  # uphill for f(x) = x_1
    x = torch.ones(4, 2)
    before = -game.critic_step(x, torch.zeros(4, 2), torch.zeros(4))[0]
    after = -game.critic_step(x, torch.zeros(4, 2), torch.zeros(4))[0]
    assert after > before  # the estimate of W1 rises


def test_the_average_of_gradients_over_ranks_is_the_joint_gradient():
    torch.manual_seed(0)
    critic = networks.mlp(2, 1, hidden=(8,)).double()
    generator = networks.mlp(2, 2, hidden=(8,)).double()
    used = {}

    def keep(name):
        return lambda gradients: used.setdefault(name, list(gradients))

    def batch(rank=0, world=1):
        draw = sampling.Draw(sampling.ring(), sampling.normal(2), 8, rank=rank, world=world)
        return [part.double() for part in draw(0, 0)]

    for name, ranks in (("joint", {}), ("0", {"rank": 0, "world": 2}), ("1", {"rank": 1, "world": 2})):
        game = Game(copy.deepcopy(generator), copy.deepcopy(critic), recipes.wgan_gp, mean=keep(name))
        game.critic_step(*batch(**ranks))
    for joint, first, second in zip(used["joint"], used["0"], used["1"], strict=True):
        assert torch.allclose(joint, (first + second) / 2, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("where", ["critic_loss", "penalty", "generator_loss"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_is_named_with_its_step(where, value):
    step = Step(7, torch.tensor(0.5), torch.tensor(0.0), torch.tensor(1.0))._replace(
        **{where: torch.tensor(value)}
    )
    with pytest.raises(DivergenceError, match=f"at step 7: .*{where.replace('_', ' ')} {value:g}"):
        check_finite(step)
    check_finite(step._replace(**{where: torch.tensor(0.0)}))


def test_training_stops_at_the_step_that_diverged():
    def critic_loss(f_x, f_gz):
        loss = f_gz.mean() - f_x.mean()
        return loss * float("nan") if game.step == 2 else loss

    recipe = replace(recipes.wgan, objective=Objective(critic_loss, recipes.wgan.objective.generator))
    game = Game(*new_players(), recipe)
    seen = []
    with pytest.raises(DivergenceError, match="diverged at step 3"):
        for step in train(game, new_draw(), until=10):
            seen.append(step.index)
    assert seen == [1, 2]


def test_what_a_game_refuses():
    generator, critic = new_players()
    with pytest.raises(InputError, match="critic has no weights"):
        Game(generator, nn.Flatten(0), recipes.wgan)
    normalised = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1), nn.Flatten(0))
    with pytest.raises(InputError, match="'1' is BatchNorm1d.*Use LayerNorm or GroupNorm"):
        Game(generator, normalised, recipes.wgan_gp)
    Game(generator, normalised, recipes.wgan)  # clipping does not mind
    column = nn.Linear(2, 1)
    with pytest.raises(InputError, match=r"one score a row, shape \(32,\).*gave \(32, 1\)"):
        list(train(Game(generator, column, recipes.wgan), new_draw(), until=1))
    for until in (-1, 2.5):
        with pytest.raises(InputError, match="generator updates >= 0"):
            list(train(Game(generator, critic, recipes.wgan), new_draw(), until=until))


def test_descend_uses_the_gradients_that_mean_returns():
    weight = nn.Parameter(torch.tensor(1.0))
    descend(3 * weight, torch.optim.SGD([weight], lr=1.0), mean=lambda gradients: [g / 3 for g in gradients])
    assert weight.item() == 0.0


def test_the_average_is_the_closed_form_of_its_recursion():
    player = nn.Linear(1, 1, bias=False)
    player.weight.data.fill_(0.0)
    average = Average(player, decay=0.5)
    expected = 0.0
    for t, value in enumerate([1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0]):
        player.weight.data.fill_(value)
        average.update(player)
        d = min(0.5, (t + 1) / (t + 10))
        expected = d * expected + (1 - d) * value
    assert average.player.weight.item() == pytest.approx(expected, rel=1e-6)
    assert average.updates == 9
    with pytest.raises(InputError, match="decay in"):
        Average(player, decay=1.0)


def test_the_average_copies_running_statistics():
    player = nn.BatchNorm1d(2)
    average = Average(player)
    player(torch.randn(8, 2) + 3)
    average.update(player)
    assert torch.equal(average.player.running_mean, player.running_mean)


def test_device_is_cuda_exactly_where_there_is_one():
    assert device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", RECIPES)
def test_the_same_lines_train_on_cuda(name):
    generator, critic = (player.cuda() for player in new_players())
    draw = sampling.Draw(sampling.ring(), sampling.normal(2), 32, device="cuda")
    game = Game(generator, critic, RECIPES[name])
    for step in train(game, draw, until=3):
        assert step.critic_loss.is_cuda
    assert game.step == 3


def test_frozen_weights_stay_and_the_others_move():
    critic = networks.mlp(2, 1, hidden=(4,))
    critic[0].requires_grad_(False)
    game = Game(networks.mlp(2, 2, hidden=(4,)), critic, recipes.wgan_gp)
    before = copy.deepcopy(critic.state_dict())
    list(train(game, sampling.Draw(sampling.ring(), sampling.normal(2), 8), 2))
    moved = {name: not torch.equal(before[name], weight) for name, weight in critic.state_dict().items()}
    # a constant added to the critic changes no loss, so the last bias has the gradient 0
    assert moved == {"0.weight": False, "0.bias": False, "2.weight": True, "2.bias": False}


@pytest.mark.parametrize("every", [1, 2, 3, 7, 100])
def test_a_divergence_is_named_however_seldom_it_is_looked_for(every):
    def broken(step):
        count = itertools.count(1)

        def run(*batch):
            result = step(*batch)
            return result if torch.is_tensor(result) or next(count) < 5 else (result[0] * math.nan, result[1])

        return run

    game = Game(networks.mlp(2, 2), networks.mlp(2, 1), replace(recipes.wgan_gp, n_critic=1))
    draw = sampling.Draw(sampling.ring(), sampling.normal(2), 8)
    seen = []
    with pytest.raises(DivergenceError, match="at step 5: critic loss nan"):
        seen.extend(train(game, draw, 9, accelerate=broken, check_every=every))
    assert len(seen) == min(9, -(-5 // every) * every) - 1


def test_losses_near_the_largest_float_are_finite():
    big = torch.tensor(1e38)
    check_finite(*[Step(k, big, big, big) for k in range(10)])


@pytest.mark.parametrize("every", [0, -1, 1.5])
def test_check_every_must_be_a_whole_number(every):
    game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan_gp)
    with pytest.raises(InputError, match="check_every >= 1"):
        next(train(game, sampling.Draw(sampling.ring(), sampling.normal(2), 8), 1, check_every=every))


@pytest.mark.parametrize("make", [partial(torch.optim.Adam, fused=True), torch.optim.RMSprop])
def test_a_gradient_is_applied_where_its_weight_lies(make):
    torch.manual_seed(0)
    gradient = torch.randn(4, 3, 2, 2)
    plain = nn.Parameter(torch.zeros(4, 3, 2, 2))
    last = nn.Parameter(torch.zeros(4, 3, 2, 2).to(memory_format=torch.channels_last))
    turned = nn.Parameter(torch.zeros(2, 2, 3, 4).permute(3, 2, 1, 0))
    for weight in (plain, last, turned):
        optimizer = make([weight], lr=0.1)
        for k in (1, 2, 3):
            follow([gradient * k], optimizer)
    assert torch.equal(plain, last)
    assert torch.equal(plain, turned)


@pytest.mark.parametrize(("name", "field"), [("critic", "optimizer"), ("generator", "generator_optimizer")])
def test_an_optimizer_that_refuses_its_numbers_is_named(name, field):
    recipe = replace(recipes.wgan_gp, **{field: partial(torch.optim.Adam, lr=-1.0)})
    with pytest.raises(
        InputError, match=f"The {name}'s optimizer cannot be made: Invalid learning rate: -1.0"
    ):
        Game(networks.mlp(2, 2), networks.mlp(2, 1), recipe)
