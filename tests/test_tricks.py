"""The remedies: closed forms, gradients against float64 autograd, runs that resume and run fast, refusals."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from games import equal, new_draw, new_players, weights_of
from torch import nn

from wganlab import Game, checkpoints, networks, objectives, recipes, train, tricks
from wganlab.engine import autocast, compiled, fast, graphed, writes_out
from wganlab.engine.graphs import CudaGraph
from wganlab.errors import InputError
from wganlab.lipschitz import gradient_norms
from wganlab.training import LoneCritic, parameters_of

M = 16


# Whole games, each trick alone and all together


def plain(recipe=recipes.gan):
    return Game(*new_players(), recipe), new_draw(m=M)


def matched(recipe=recipes.gan):
    return tricks.feature_matching(plain(recipe)[0]), new_draw(m=M)


def averaged(recipe=recipes.gan):
    return tricks.historical_averaging(plain(recipe)[0], 0.1), new_draw(m=M)


def discriminating_critic():
    layers = (nn.Linear(2, 12), nn.ReLU(), tricks.MinibatchDiscrimination(12, 4, 3), nn.Linear(16, 8))
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0))


def discriminating(recipe=recipes.gan):
    generator, _ = new_players()
    return Game(generator, discriminating_critic(), recipe), new_draw(m=M)


def virtual_generator():
    torch.manual_seed(2)
    player = networks.mlp(2, 2, hidden=(12, 12), norm=tricks.VirtualBatchNorm)
    return tricks.with_reference(player, new_draw(m=M).latent(0))


def normalised(recipe=recipes.gan):
    return Game(virtual_generator(), new_players()[1], recipe), new_draw(m=M)


def noisy(recipe=recipes.gan):
    generator, critic = new_players()
    generator, draw = tricks.InstanceNoise(0.3, until=8)(generator, new_draw(m=M))
    return Game(generator, critic, recipe), draw


def smoothed(recipe=recipes.gan):
    return plain(replace(recipe, objective=objectives.with_labels(objectives.non_saturating)))


def together(recipe=recipes.gan):
    """All seven; the labels only where there is a discriminator."""
    if recipe is recipes.gan:
        recipe = replace(recipe, objective=objectives.with_labels(objectives.non_saturating))
    generator, draw = tricks.InstanceNoise(0.3, until=8)(virtual_generator(), new_draw(m=M))
    torch.manual_seed(3)
    game = tricks.feature_matching(Game(generator, discriminating_critic(), recipe))
    return tricks.historical_averaging(game, 0.1), draw


GAMES = (plain, matched, averaged, discriminating, normalised, noisy, smoothed, together)


def play(game, draw, until, accelerate=lambda game: game):
    for _step in train(game, draw, until, accelerate=accelerate):
        pass
    return game


def state_of(game):
    return list(checkpoints.tensors(game.state_dict()).values())


@pytest.mark.parametrize("accelerate", [lambda game: game, fast], ids=["plain", "fast"])
@pytest.mark.parametrize("make", GAMES)
def test_break_save_load_continue_equals_the_uninterrupted_run(make, accelerate, tmp_path):
    whole = play(*make(), 7, accelerate)
    checkpoints.save(tmp_path / "c", play(*make(), 4, accelerate))
    game, draw = make()
    play(game, draw, 2, accelerate)  # has begun, which must leave no trace
    checkpoints.load(tmp_path / "c", game)
    assert game.step == 4
    assert equal(state_of(play(game, draw, 7, accelerate)), state_of(whole))


@pytest.mark.parametrize("make", GAMES[1:])
def test_a_trick_changes_the_run_and_a_fast_run_is_the_same_up_to_rounding(make):
    game, draw = make()
    whole, other = play(game, draw, 5), play(*make(), 5, fast)
    pairs = list(zip(state_of(whole), state_of(other), strict=True))
    assert max((a.double() - b.double()).abs().max().item() for a, b in pairs) < 1e-4
    if make in (matched, averaged, noisy, smoothed):  # the same players as the plain game's
        plainly = weights_of(play(*plain(), 5).generator)
        moved = weights_of(getattr(whole.generator, "player", whole.generator))
        assert max((a - b).abs().max().item() for a, b in zip(plainly, moved, strict=True)) > 1e-4


@pytest.mark.parametrize("recipe", [recipes.gan, recipes.wgan, recipes.wgan_gp], ids=["gan", "wgan", "gp"])
@pytest.mark.parametrize("make", [matched, averaged, normalised, noisy, discriminating, together])
def test_fast_writes_the_gradient_out_where_the_critic_is_a_chain_of_known_layers(make, recipe, monkeypatch):
    if recipe is recipes.wgan_gp and make in (discriminating, together):
        with pytest.raises(InputError, match="MinibatchDiscrimination, which mixes the rows"):
            make(recipe)
        return
    game, draw = make(recipe)
    asked = []
    monkeypatch.setattr(Game, "critic_gradient", spied(Game.critic_gradient, asked))
    assert writes_out(game) == (make not in (discriminating, together))
    play(game, draw, 2, fast)
    assert bool(asked) == (not writes_out(game))  # by autograd, or by the formulas


def spied(method, calls):
    def spy(self, *batch):
        calls.append(1)
        return method(self, *batch)

    spy.__name__ = method.__name__
    return spy


def test_a_plain_run_through_a_trick_without_weight_is_the_plain_run():
    (game, draw), (other, _) = plain(), plain()
    play(tricks.Trick(other), draw, 4)
    assert equal(state_of(play(game, draw, 4)), state_of(other))
    assert other.step == game.step == 4


def test_noise_that_has_ended_leaves_the_plain_draw():
    draw = new_draw(m=M)
    generator, noisy_draw = tricks.InstanceNoise(0.5, until=10)(new_players()[0], draw)
    for plainly, noised in zip(draw(10, 1), noisy_draw(10, 1), strict=True):
        assert torch.equal(plainly, noised[:, :2] if noised.ndim > 1 else noised)
    assert torch.equal(generator(noisy_draw.latent(10)), generator.player(draw.latent(10)))


# Refused by what cannot keep a trick


@pytest.mark.parametrize("make", [matched, averaged])
def test_what_records_or_traces_refuses_a_game_around_a_game(make):
    for acceleration in (graphed, compiled, autocast(torch.bfloat16)):
        with pytest.raises(InputError, match="graphed records|its own"):
            acceleration(make()[0])


def test_tricks_go_around_games_and_accelerations_around_tricks():
    game = plain()[0]
    for accelerated in (fast(game), graphed(game, graph=CudaGraph)):
        with pytest.raises(InputError, match="accelerations around all"):
            tricks.historical_averaging(accelerated, 0.1)
    inner = tricks.historical_averaging(game, 0.1)
    for trick in (tricks.feature_matching, lambda game: tricks.historical_averaging(game, 0.1)):
        with pytest.raises(InputError, match="Put historical averaging around"):
            trick(inner)
    with pytest.raises(InputError, match="replaced already"):
        tricks.feature_matching(tricks.feature_matching(game))
    for wrong in (nn.Linear(1, 1), LoneCritic(networks.mlp(2, 1), recipes.gan)):
        with pytest.raises(InputError, match="two players"):
            tricks.historical_averaging(wrong, 0.1)


@pytest.mark.parametrize("make", GAMES)
def test_gradients_move_nothing(make):
    game, draw = make()
    play(game, draw, 2)
    before = copy.deepcopy(game.state_dict())
    game.critic_gradient(*draw(2, 0))
    game.generator_gradient(draw.latent(2))
    assert equal(state_of(game), list(checkpoints.tensors(before).values()))


# Feature matching


def in_float64(make):
    """The game after three turns with players and draws in float64, and a batch."""
    game, draw = make()
    play(game, draw, 3)
    game.generator.double(), game.critic.double()
    x, z, eps = draw(3, 0)
    return game, x.double(), z.double(), eps.double()


def assert_close(these, those):
    for a, b in zip(these, those, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_feature_matching_is_the_gradient_of_its_formula_in_the_generator_alone():
    game, x, z, eps = in_float64(matched)
    critic, weights = game.critic, [*game.generator.parameters(), *game.critic.parameters()]
    assert_close(game.critic_gradient(x, z, eps)[2], game.inner.critic_gradient(x, z, eps)[2])
    loss, gradient = game.generator_gradient(z)
    h_x, h_gz = (critic[:4](points) for points in (x.clone(), game.generator(z)))  # two hidden layers
    formula = sum((h_x[:, k].mean().detach() - h_gz[:, k].mean()) ** 2 for k in range(16))
    assert_close([loss], [formula])
    assert len(gradient) == len(list(game.generator.parameters()))  # T1: to G only
    assert_close(gradient, torch.autograd.grad(formula, weights[: len(gradient)]))


def test_the_distance_of_two_features():
    assert tricks.feature_distance(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2)).item() == 5.0  # T1


def test_features_of_ones_own_choice():
    game = tricks.feature_matching(plain()[0], features=lambda x: x)  # matches the means
    x, z, eps = new_draw(m=M)(0, 0)
    game.critic_gradient(x, z, eps)
    expected = (x.mean(0) - game.generator(z).mean(0)).square().sum()
    torch.testing.assert_close(game.generator_gradient(z)[0], expected.detach())


@pytest.mark.parametrize("critic", [
    nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)),
    nn.Sequential(nn.Identity(), nn.Linear(2, 1), nn.Flatten(0)),
    nn.Sequential(nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1)), nn.Flatten(0)),
])  # fmt: skip
def test_a_critic_without_hidden_features_is_refused(critic):
    with pytest.raises(InputError, match=r"needs a critic with a hidden layer.*Hand it a function"):
        tricks.feature_matching(Game(new_players()[0], critic, recipes.gan))


def test_feature_matching_waits_for_a_batch():
    with pytest.raises(InputError, match="Update the critic first"):
        matched()[0].generator_gradient(torch.zeros(4, 2))


# Historical averaging


def test_historical_averaging_adds_the_gradient_of_its_formula():
    game, x, z, eps = in_float64(averaged)
    for history in (game.critic_history, game.generator_history):
        history.means = [mean.double() for mean in history.means]
    pairs = (
        (game.critic_gradient(x, z, eps), game.inner.critic_gradient(x, z, eps), game.critic_history),
        (game.generator_gradient(z), game.inner.generator_gradient(z), game.generator_history),
    )
    for found, inner, history in pairs:
        both = zip(history.weights, history.means, strict=True)
        cost = 0.1 * sum((w - mean).square().sum() for w, mean in both)
        pull = torch.autograd.grad(cost, history.weights)
        assert_close(found[-1], [a + b for a, b in zip(inner[-1], pull, strict=True)])
        assert_close([found[-2]], [inner[-2] + cost.detach()])  # the penalty, or the generator's loss
    assert_close([pairs[0][0][0]], [pairs[0][1][0]])  # the critic's loss stays an estimate


def test_the_mean_is_that_of_the_weights_before_each_update():
    game, draw = averaged(recipes.wgan)
    seen = {"critic": [], "generator": []}
    for turn in range(4):
        for t in range(5):
            seen["critic"].append(torch.cat([w.flatten() for w in weights_of(game.critic)]))
            game.critic_step(*draw(turn, t))
        seen["generator"].append(torch.cat([w.flatten() for w in weights_of(game.generator)]))
        game.generator_step(draw.latent(turn))
    for name, history in (("critic", game.critic_history), ("generator", game.generator_history)):
        mean = torch.cat([mean.flatten() for mean in history.means])
        torch.testing.assert_close(mean, torch.stack(seen[name]).mean(0))
        assert history.count == len(seen[name])


def test_a_history_of_one_two_three():
    theta = nn.Parameter(torch.tensor([0.0]))
    history = tricks.History([theta])
    costs = []
    for value in (1.0, 2.0, 3.0):
        theta.data.fill_(value)
        history.record()
        costs.append(history.cost(1.0)[0].item())
    assert costs == [0.0, 0.25, 1.0]  # T3: (3 - 2)^2
    assert history.cost(0.5)[1][0].item() == 1.0  # 2 * 0.5 * (3 - 2)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_a_weight_must_be_positive(weight):
    with pytest.raises(InputError, match="historical_averaging needs a weight > 0, got"):
        tricks.historical_averaging(plain()[0], weight)


def test_a_checkpoint_of_the_plain_game_does_not_fit_its_trick(tmp_path):
    checkpoints.save(tmp_path / "c", play(*plain(), 2))
    game = averaged()[0]
    before = state_of(game)
    with pytest.raises(checkpoints.CheckpointError, match="critic_history"):
        checkpoints.load(tmp_path / "c", game)
    assert equal(before, state_of(game))


# Minibatch discrimination


def test_minibatch_discrimination_is_its_formula_row_by_row():
    torch.manual_seed(0)
    layer, h = tricks.MinibatchDiscrimination(3, 4, 2).double(), torch.randn(5, 3, dtype=torch.float64)
    weight = layer.weight
    expected = torch.zeros(5, 4, dtype=torch.float64)
    for i in range(5):
        for b in range(4):
            rows = [h[j] @ weight[:, b] for j in range(5)]
            expected[i, b] = sum((-(rows[i] - rows[j]).abs().sum()).exp() for j in range(5) if j != i)
    assert_close([layer(h)], [torch.cat([h, expected], 1)])
    h.requires_grad_()
    assert torch.autograd.gradcheck(layer, [h])
    (gradient,) = torch.autograd.grad(layer(h).square().sum(), weight)
    (formula,) = torch.autograd.grad(expected.square().sum(), weight)
    assert_close([gradient], [formula])


def test_identical_rows_are_one_near_and_a_distance_of_ln_2_one_half():
    layer = tricks.MinibatchDiscrimination(1, 2, 1)
    layer.weight.data.fill_(1.0)
    assert layer(torch.zeros(2, 1))[:, 1:].tolist() == [[1.0, 1.0]] * 2  # T2, self left out
    assert layer(torch.tensor([[0.0], [math.log(2)]]))[:, 1:].flatten().tolist() == pytest.approx([0.5] * 4)
    assert layer(torch.zeros(7, 1))[:, 1:].tolist() == [[6.0, 6.0]] * 7


@pytest.mark.parametrize("shape", [(1, 3), (4, 2), (4, 3, 1), (3,)])
def test_minibatch_discrimination_refuses_other_features_and_a_batch_of_one(shape):
    with pytest.raises(InputError, match="compares two or more rows of 3 features"):
        tricks.MinibatchDiscrimination(3)(torch.zeros(shape))


def test_slope_penalties_and_slopes_refuse_a_critic_that_compares_rows():
    for name in ("wgan_gp", "wgan_lp"):
        with pytest.raises(InputError, match=r"'2' is MinibatchDiscrimination, which mixes.*one of the two"):
            discriminating(getattr(recipes, name))
    with pytest.raises(InputError, match="MinibatchDiscrimination"):
        gradient_norms(discriminating_critic(), torch.randn(4, 2))
    with pytest.raises(InputError, match="sizes >= 1"):
        tricks.MinibatchDiscrimination(3, kernels=0)


# Virtual batch normalisation


@pytest.mark.parametrize("shape", [(4,), (4, 3, 2)])
def test_virtual_batchnorm_normalises_with_the_reference_and_the_row_itself(shape):
    torch.manual_seed(0)
    layer = tricks.VirtualBatchNorm(4).double()
    nn.init.normal_(layer.weight), nn.init.normal_(layer.bias)
    reference, h = (torch.randn(n, *shape, dtype=torch.float64) for n in (6, 3))
    player = tricks.with_reference(layer, reference)
    for row, found in zip(h, player(h), strict=True):
        plain = nn.BatchNorm2d(4) if len(shape) > 1 else nn.BatchNorm1d(4)
        plain.double().load_state_dict(layer.state_dict(), strict=False)
        assert_close([found], [plain(torch.cat([reference, row[None]]))[-1]])  # BatchNorm of 7 rows
    norm = nn.functional.batch_norm(reference, None, None, layer.weight, layer.bias, training=True)
    assert_close([layer(torch.cat([reference, h]))[:6]], [norm])
    assert torch.autograd.gradcheck(player, [h.requires_grad_()])


def test_a_row_does_not_depend_on_the_rest_of_its_batch():
    player, z = virtual_generator().double(), torch.randn(5, 2, dtype=torch.float64)
    assert_close([player(z)[:1]], [player(torch.cat([z[:1], 100 * z[1:]]))[:1]])  # T5
    gradient = torch.autograd.functional.jacobian(lambda z: player(z)[0], z)
    assert not gradient[:, 1:].any()
    assert gradient[:, 0].any()


def test_a_critic_with_virtual_batchnorm_has_a_slope_for_each_row():
    torch.manual_seed(0)
    critic = networks.mlp(2, 1, hidden=(8,), norm=tricks.VirtualBatchNorm)
    critic = tricks.with_reference(critic, new_draw()(0, 0)[0])
    game = Game(new_players()[0], critic, recipes.wgan_gp)
    assert not writes_out(game)
    play(game, new_draw(m=M), 2, fast)


def test_the_reference_is_saved_and_chosen_once(tmp_path):
    game = normalised()[0]
    checkpoints.save(tmp_path / "c", game)
    kept = game.generator.reference.clone()
    game.generator.reference.zero_()
    checkpoints.load(tmp_path / "c", game)
    assert torch.equal(game.generator.reference, kept)
    assert torch.equal(kept, new_draw(m=M).latent(0))


def wide(norm=tricks.VirtualBatchNorm, *more):
    return nn.Sequential(nn.Linear(2, 4), norm(4), *more, nn.Linear(4, 2))


@pytest.mark.parametrize(("player", "reference", "match"), [
    (wide(), torch.zeros(1, 2), r"two or more finite rows.*got \(1, 2\)"),
    (wide(), torch.full((4, 2), math.nan), "two or more finite rows"),
    (wide(), torch.zeros(4), "two or more finite rows"),
    (wide(), [[0.0, 0.0]], "got list"),
    (wide(), torch.zeros(4, 2, dtype=torch.long), "two or more finite rows"),
    (wide(), torch.zeros(4, 3), r"does not take a reference batch of shape \(4, 3\).*draw.latent"),
    (wide(nn.BatchNorm1d), torch.zeros(4, 2), "needs a player with VirtualBatchNorm"),
    (wide(tricks.VirtualBatchNorm, nn.BatchNorm1d(4)), torch.zeros(4, 2), "without layers that mix rows"),
])  # fmt: skip
def test_reference_batches_that_do_not_fit(player, reference, match):
    with pytest.raises(InputError, match=match):
        tricks.with_reference(player, reference)


def test_a_layer_without_reference_and_rows_of_another_shape():
    with pytest.raises(InputError, match="through tricks.with_reference"):
        tricks.VirtualBatchNorm(4)(torch.zeros(8, 4))
    player = tricks.with_reference(wide(), torch.randn(4, 2))
    with pytest.raises(InputError, match=r"reference batch has rows \(2,\), got \(3,\)"):
        player(torch.zeros(4, 3))


# Instance noise


def test_instance_noise_is_normal_on_both_sides_and_falls_along_a_line():
    draw = new_draw(m=4000)
    noise = tricks.InstanceNoise(0.4, until=10)
    generator, noisy_draw = noise(new_players()[0], draw)
    for step, std in ((0, 0.4), (5, 0.2), (9, 0.04)):
        x, z, eps = noisy_draw(step, 1)
        real, latent, plain_eps = draw(step, 1)
        fake = generator(z) - generator.player(latent)
        assert torch.equal(eps, plain_eps)
        at_generator = generator(noisy_draw.latent(step)) - generator.player(draw.latent(step))
        for added in (x - real, fake, at_generator):
            assert added.mean().abs().item() < 4 * std / math.sqrt(8000)
            assert added.std().item() / std == pytest.approx(1, abs=0.05)
        assert torch.corrcoef(torch.stack([(x - real).flatten(), fake.flatten()]))[0, 1].abs() < 0.05


def test_instance_noise_is_a_function_of_seed_step_and_t():
    one, other = (tricks.InstanceNoise(0.4)(new_players()[0], new_draw(m=8, seed=seed))[1] for seed in (0, 1))
    again = tricks.InstanceNoise(0.4)(new_players()[0], new_draw(m=8))[1]
    assert equal(one(3, 1), again(3, 1))
    drawn = ((one, (3, 1)), (one, (3, 0)), (one, (2, 1)), (other, (3, 1)))
    noise = [
        (draw(*at)[0] - draw.draw(*at)[0]).round(decimals=3) for draw, at in drawn
    ]  # apart from rounding
    assert len({tuple(added.flatten().tolist()) for added in noise}) == 4


def test_ranks_have_the_rows_of_the_joint_noise():
    joint = tricks.InstanceNoise(0.4)(new_players()[0], new_draw(m=8))[1](3, 1)
    parts = [
        tricks.InstanceNoise(0.4)(new_players()[0], new_draw(m=8, rank=rank, world=2))[1](3, 1)
        for rank in range(2)
    ]
    assert equal(joint, [torch.cat(both) for both in zip(*parts, strict=True)])


def test_pictures_with_noise():
    draw = new_draw(m=4)
    draw.real = lambda n, rng: torch.zeros(n, 1, 28, 28)
    generator, noisy_draw = tricks.InstanceNoise(0.1)(networks.dcgan_generator(2, width=2, dense=8), draw)
    x, z, _ = noisy_draw(0, 0)
    assert x.shape == generator(z).shape == (4, 1, 28, 28)


@pytest.mark.parametrize(("arguments", "match"), [
    ((-0.1,), "std >= 0, got -0.1"), ((math.nan,), "std >= 0"), ((math.inf,), "std >= 0"),
    ((0.1, 0), "until >= 1"), ((0.1, 2.5), "until >= 1"),
])  # fmt: skip
def test_instance_noise_refuses_other_numbers(arguments, match):
    with pytest.raises(InputError, match=match):
        tricks.InstanceNoise(*arguments)


def test_instance_noise_refuses_other_draws_and_latents():
    noise, generator = tricks.InstanceNoise(0.1), new_players()[0]
    with pytest.raises(InputError, match="adds to a sampling.Draw"):
        noise(generator, lambda step, t: None)
    draw = new_draw()
    draw.prior = lambda n, rng: torch.zeros(n, 2, 2)
    with pytest.raises(InputError, match="latent vectors"):
        noise(generator, draw)
    with pytest.raises(InputError, match="call its .player"):
        noise(generator, new_draw())[0](torch.zeros(4, 2))


def test_the_players_are_those_of_the_plain_game():
    game = plain()[0]
    trick = tricks.historical_averaging(tricks.feature_matching(game), 0.1)
    assert parameters_of(trick.critic_optimizer) == parameters_of(game.critic_optimizer)
    assert all(getattr(trick, part) is getattr(game, part) for part in tricks.SHARED)
