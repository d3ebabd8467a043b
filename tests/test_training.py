"""Algorithm 1 against the loop written by hand, and the properties that make it trustworthy."""

import copy
import itertools
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from games import RECIPES, equal, new_draw, new_game, new_players, weights_of
from torch import nn

from wganlab import networks, recipes, sampling
from wganlab.constraints import Constraint, WeightClipping
from wganlab.engine import fast
from wganlab.errors import DivergenceError, InputError
from wganlab.objectives import Objective
from wganlab.training import (
    Average,
    Game,
    Step,
    apply_gradient,
    check_finite,
    critic_gradient,
    descend,
    device,
    fit,
    identity,
    linear_decay,
    train,
)


def by_hand(generator, critic, recipe, draw, turns):
    """Algorithm 1 of all three papers with ``backward`` and no class of the library's loop."""
    critic_optimizer = recipe.optimizer(critic.parameters())
    generator_optimizer = (recipe.generator_optimizer or recipe.optimizer)(generator.parameters())
    penalty_weight = getattr(recipe.constraint, "weight", 0.0)
    clip = getattr(recipe.constraint, "c", None)
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
            if clip:
                for w in critic.parameters():
                    w.data.clamp_(-clip, clip)
        z = draw.latent(step)
        loss = recipe.objective.generator(critic(generator(z)))
        generator_optimizer.zero_grad()
        loss.backward()
        generator_optimizer.step()


@pytest.mark.parametrize("name", RECIPES)
def test_the_library_equals_the_loop_written_by_hand_bit_for_bit(name):
    game, twin = new_game(RECIPES[name]), new_game(RECIPES[name])
    by_hand(twin.generator, twin.critic, RECIPES[name], new_draw(), turns=6)
    for _ in train(game, new_draw(), until=6):
        pass
    assert equal(weights_of(game.generator, game.critic), weights_of(twin.generator, twin.critic))
    assert not equal(weights_of(game.generator, game.critic), weights_of(*new_players()))


@pytest.mark.parametrize("name", RECIPES)
def test_stopping_and_continuing_from_a_state_changes_nothing(name):
    whole, first, second = new_game(RECIPES[name]), new_game(RECIPES[name]), new_game(RECIPES[name], seed=9)
    for game, until in ((whole, 8), (first, 3)):
        for _ in train(game, new_draw(), until):
            pass
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in train(second, new_draw(), until=8):
        pass
    assert equal(weights_of(second.generator, second.critic), weights_of(whole.generator, whole.critic))


@pytest.mark.parametrize("name", RECIPES)
def test_fit_is_the_inner_loop_written_by_hand_bit_for_bit(name):
    """With a rate that falls, for every recipe; the fakes are a fixed law, not a generator's."""
    recipe, draw = RECIPES[name], sampling.Draw(sampling.ring(), sampling.normal(2), 32, seed=3)
    (_, critic), (_, twin) = (new_players(spectral=recipe is recipes.sn_gan) for _ in range(2))
    optimizer, losses = recipe.optimizer(twin.parameters()), []
    for step in range(12):
        for group in optimizer.param_groups:
            group["lr"] = optimizer.defaults["lr"] * (1 - step / 12)
        x, x_fake, eps = draw(step, 0)
        loss = recipe.objective.critic(twin(x), twin(x_fake))
        descend(loss + recipe.constraint.penalty(twin, x, x_fake, eps), optimizer)
        recipe.constraint.project(twin)
        losses.append(loss.detach())
    steps = list(fit(critic, draw, recipe, until=12, rate=lambda step: 1 - step / 12))
    assert equal(weights_of(critic), weights_of(twin))
    assert equal([step.critic_loss for step in steps], losses)
    assert [step.index for step in steps] == list(range(1, 13))
    assert steps[0].generator_loss is None


def test_fit_refuses_what_train_refuses_and_stops_at_nan():
    _, critic = new_players()
    draw = new_draw()
    with pytest.raises(InputError, match="critic updates >= 0, got -1"):
        fit(critic, draw, recipes.wgan, until=-1)
    with pytest.raises(InputError, match="critic has no weights"):
        next(fit(nn.Flatten(0), draw, recipes.wgan, until=1))

    def spoilt(step):
        x, x_fake, eps = draw(step)
        return (x * math.nan if step == 2 else x), x_fake, eps

    with pytest.raises(DivergenceError, match="at step 3: critic loss nan, penalty"):
        list(fit(critic, spoilt, recipes.wgan_gp, until=9))


def in_groups(parameters):
    """An optimizer with its weights in another order: biases apart, the last layer first."""
    weights = list(parameters)[::-1]
    groups = [{"params": [w for w in weights if (w.ndim == 1) == biases]} for biases in (True, False)]
    return torch.optim.SGD(groups, lr=1e-3, momentum=0.9)


@pytest.mark.parametrize("accelerate", [identity, fast])
def test_an_optimizer_may_hold_the_weights_in_another_order(accelerate):
    grouped, plain = (
        new_game(replace(recipes.wgan_gp, optimizer=make))
        for make in (in_groups, partial(torch.optim.SGD, lr=1e-3, momentum=0.9))
    )
    for game in (grouped, plain):
        list(train(game, new_draw(), until=3, accelerate=accelerate))
    assert equal(weights_of(grouped.generator, grouped.critic), weights_of(plain.generator, plain.critic))


def test_gradients_move_nothing_and_steps_apply_them():
    game = new_game(recipes.wgan)
    x, z, eps = new_draw()(0, 0)
    before = weights_of(game.generator, game.critic)
    loss, penalty, gradient = game.critic_gradient(x, z, eps)
    generator_loss, generator_gradient = game.generator_gradient(z)
    assert equal(weights_of(game.generator, game.critic), before)
    x_fake = game.generator(z).detach()
    lone = critic_gradient(game.critic, game.recipe, x, x_fake, eps)
    assert equal([loss, penalty, *gradient], [lone[0], lone[1], *lone[2]])
    sgd = replace(recipes.wgan, optimizer=partial(torch.optim.SGD, lr=1.0), constraint=WeightClipping(1e9))
    twin = Game(copy.deepcopy(game.generator), copy.deepcopy(game.critic), sgd)
    assert equal(twin.critic_step(x, z, eps), [loss, penalty])
    moved = zip(game.critic.parameters(), gradient, strict=True)
    assert equal(twin.critic.parameters(), [weight - part for weight, part in moved])
    twin = Game(copy.deepcopy(game.generator), copy.deepcopy(game.critic), sgd)
    assert torch.equal(twin.generator_step(z), generator_loss)
    moved = zip(game.generator.parameters(), generator_gradient, strict=True)
    assert equal(twin.generator.parameters(), [weight - part for weight, part in moved])


def test_a_run_is_decided_by_the_seed():
    ends = []
    for seed in (0, 0, 1):
        game = new_game()
        for _ in train(game, new_draw(seed), until=2):
            torch.rand(3)  # the global generator plays no part
        ends.append(weights_of(game.generator, game.critic))
    assert equal(ends[0], ends[1])
    assert not equal(ends[0], ends[2])


def test_steps_count_and_critic_updates_are_as_the_recipe_says():
    calls = []
    game = new_game(recipes.wgan)

    def noting(game):
        twin = copy.copy(game)
        for name in ("critic_step", "generator_step"):
            step = getattr(game, name)
            setattr(twin, name, lambda *batch, name=name, step=step: (calls.append(name), step(*batch))[1])
        return twin

    steps = list(train(game, new_draw(), until=3, accelerate=noting))
    assert [step.index for step in steps] == [1, 2, 3]
    assert calls == (["critic_step"] * 5 + ["generator_step"]) * 3
    assert list(train(game, new_draw(), until=3)) == []  # it has arrived already
    assert all(value.shape == () and not value.requires_grad for value in steps[0][1:])


def test_after_every_critic_update_weights_are_within_the_clip():
    game = new_game(recipes.wgan)
    draw = new_draw()
    for t in range(3):
        game.critic_step(*draw(0, t))
        largest = max(w.abs().max().item() for w in game.critic.parameters())
        assert largest <= 0.01
    assert largest == pytest.approx(0.01)


def test_each_player_moves_only_in_its_own_step():
    game = new_game()
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
    generator, critic = (player.cuda() for player in new_players(spectral=name == "sn_gan"))
    game = Game(generator, critic, RECIPES[name])
    for step in train(game, new_draw(device="cuda"), until=3):
        assert step.critic_loss.is_cuda
    assert game.step == 3


def test_frozen_weights_stay_and_the_others_move():
    critic = networks.mlp(2, 1, hidden=(4,))
    critic[0].requires_grad_(False)
    game = Game(networks.mlp(2, 2, hidden=(4,)), critic, recipes.wgan_gp)
    before = copy.deepcopy(critic.state_dict())
    list(train(game, new_draw(m=8), 2))
    moved = {name: not torch.equal(before[name], weight) for name, weight in critic.state_dict().items()}
    # a constant added to the critic changes no loss, so the last bias has the gradient 0
    assert moved == {"0.weight": False, "0.bias": False, "2.weight": True, "2.bias": False}


@pytest.mark.parametrize("every", [1, 2, 3, 7, 100])
def test_a_divergence_is_named_however_seldom_it_is_looked_for(every):
    def broken(game):
        count, twin = itertools.count(1), copy.copy(game)

        def critic_step(*batch):
            loss, penalty = game.critic_step(*batch)
            return (loss if next(count) < 5 else loss * math.nan), penalty

        twin.critic_step = critic_step
        return twin

    game, draw = new_game(replace(recipes.wgan_gp, n_critic=1)), new_draw(m=8)
    seen = []
    with pytest.raises(DivergenceError, match="at step 5: critic loss nan"):
        seen.extend(train(game, draw, 9, accelerate=broken, check_every=every))
    assert len(seen) == min(9, -(-5 // every) * every) - 1


@pytest.mark.parametrize("accelerate", [lambda game: game, fast])
@pytest.mark.parametrize("double", ["players", "prior", "real"])
def test_another_precision_is_named(double, accelerate):
    generator, critic = networks.mlp(2, 2, hidden=(4,)), networks.mlp(2, 1, hidden=(4,))
    if double == "players":
        generator, critic = generator.double(), critic.double()
    laws = {"real": sampling.ring(), "prior": sampling.normal(2)}
    if double in laws:
        law = laws[double]
        laws[double] = lambda n, rng: law(n, rng).double()
    game = Game(generator, critic, recipes.wgan_gp)
    with pytest.raises(InputError, match="one precision, but .*float64.*Call .float.. on"):
        list(train(game, sampling.Draw(*laws.values(), 4), 1, accelerate=accelerate))


def test_one_precision_of_either_kind_trains_and_other_failures_keep_their_name():
    double = sampling.Draw(*(lambda n, rng: torch.randn(n, 2, generator=rng).double() for _ in range(2)), 4)
    game = Game(networks.mlp(2, 2).double(), networks.mlp(2, 1).double(), recipes.wgan_gp)
    assert [step.critic_loss.dtype for step in train(game, double, 1)] == [torch.float64]
    game = Game(networks.mlp(3, 2), networks.mlp(2, 1), recipes.wgan_gp)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(train(game, sampling.Draw(sampling.ring(), sampling.normal(2), 4), 1))


def test_losses_near_the_largest_float_are_finite():
    big = torch.tensor(1e38)
    check_finite(*[Step(k, big, big, big) for k in range(10)])


@pytest.mark.parametrize("every", [0, -1, 1.5])
def test_check_every_must_be_a_whole_number(every):
    with pytest.raises(InputError, match="check_every >= 1"):
        train(new_game(), new_draw(), 1, check_every=every)


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
            apply_gradient([gradient * k], optimizer)
    assert torch.equal(plain, last)
    assert torch.equal(plain, turned)


@pytest.mark.parametrize(("name", "field"), [("critic", "optimizer"), ("generator", "generator_optimizer")])
def test_an_optimizer_that_refuses_its_numbers_is_named(name, field):
    recipe = replace(recipes.wgan_gp, **{field: partial(torch.optim.Adam, lr=-1.0)})
    with pytest.raises(
        InputError, match=f"The {name}'s optimizer cannot be made: Invalid learning rate: -1.0"
    ):
        Game(networks.mlp(2, 2), networks.mlp(2, 1), recipe)


# Learning rates are a pure function of the number of turns, so that a resumed run has the same


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
    game = new_game(recipes.wgan_gp_resnet)
    for step in (0, 1, 12_345, 99_999, 100_000):
        game.step = step
        linear_decay(game, 0, 100_000)
        assert rates(game) == pytest.approx([2e-4 * max(0.0, 1 - step / 100_000)] * 2, rel=1e-12)


def run_with_decay(game, until):
    linear_decay(game, 2, 8)
    for _ in train(game, new_draw(m=8), until):
        linear_decay(game, 2, 8)


def test_a_resumed_run_has_the_rates_of_the_uninterrupted_one():
    whole, first, second = new_game(), new_game(), new_game()
    run_with_decay(whole, 7)
    run_with_decay(first, 4)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    run_with_decay(second, 7)
    for one, other in zip(whole.critic.parameters(), second.critic.parameters(), strict=True):
        assert torch.equal(one, other)
    constant = new_game()
    list(train(constant, new_draw(m=8), 7))
    assert not torch.equal(constant.critic[0].weight, whole.critic[0].weight)


def test_at_rate_0_nothing_moves():
    game = new_game(recipes.wgan_gp_resnet)
    game.step = 8
    before = [weight.clone() for weight in game.critic.parameters()]
    run_with_decay(game, 10)
    assert all(torch.equal(a, b) for a, b in zip(before, game.critic.parameters(), strict=True))


@pytest.mark.parametrize(("start", "until"), [(-1, 5), (5, 5), (6, 5)])
def test_refuses_a_line_that_is_none(start, until):
    with pytest.raises(InputError, match=f"0 <= start < until, got start {start} and until {until}"):
        linear_decay(new_game(), start, until)
