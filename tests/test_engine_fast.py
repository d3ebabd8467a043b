"""The written-out gradient equals autograd's, and steps aside where it is not known to be right."""

import copy
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from games import equal, new_draw, new_game, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wganlab import Game, networks, objectives, recipes, train
from wganlab.constraints import (
    R1,
    Constraint,
    Dragan,
    GradientPenalty,
    SlopePenalty,
    WassersteinDivergence,
    WeightClipping,
)
from wganlab.engine import fast, writes_out
from wganlab.engine.one_pass import OnePass, one_pass
from wganlab.errors import InputError

OBJECTIVES = {
    **{name: getattr(objectives, name) for name in ("wasserstein", "minimax", "non_saturating")},
    **{name: getattr(objectives, name) for name in ("least_squares", "hinge")},
    "labels": objectives.with_labels(objectives.non_saturating, real=0.9),
}
CONSTRAINTS = (
    *(Constraint(), WeightClipping(0.05), GradientPenalty(10.0), GradientPenalty(0.1, one_sided=True)),
    *(R1(3.0), WassersteinDivergence()),
)
CRITICS = {
    "mlp": (partial(networks.mlp, 2, 1, hidden=(7, 5)), (2,)),
    "pictures": (partial(networks.mlp, (1, 6, 6), 1, hidden=(9,), slope=0.2), (1, 6, 6)),
    "dcgan": (partial(networks.dcgan_critic, width=3), (1, 28, 28)),
}


def game_of(critic, shape=(2,), objective=objectives.wasserstein, constraint=CONSTRAINTS[2]):
    """A float64 game with this critic for rows of this shape."""
    generator = nn.Sequential(nn.Linear(3, torch.Size(shape).numel()), nn.Unflatten(1, shape))
    recipe = replace(recipes.wgan_gp, objective=objective, constraint=constraint)
    return Game(generator.double(), critic.double(), recipe)


def batch(shape=(2,), m=6, latent=3):
    """x, z and eps in float64."""
    return torch.randn(m, *shape).double(), torch.randn(m, latent).double(), torch.rand(m).double()


def assert_equal_to_autograd(game, shape=(2,), tolerance=1e-12):
    """Losses and gradient agree, relative to the largest of them; nothing moves."""
    assert writes_out(game)
    made, before = batch(shape), weights_of(game.critic, game.generator)
    *losses, gradient = game.critic_gradient(*made)
    *found, written = fast(game).critic_gradient(*made)
    for these, those in ((found, losses), (written, gradient)):
        scale = max(part.abs().max() for part in those).clamp(min=1e-3)
        for a, b in zip(these, those, strict=True):
            assert a.shape == b.shape
            assert not a.requires_grad
            assert (a - b).abs().max() <= tolerance * scale
    assert equal(before, weights_of(game.critic, game.generator))
    assert all(weight.grad is None for weight in game.critic.parameters())


def assert_left_to_autograd(game, **sizes):
    assert not writes_out(game)
    made = batch(**sizes)
    *losses, gradient = game.critic_gradient(*made)
    *found, other = fast(game).critic_gradient(*made)
    assert equal([*losses, *gradient], [*found, *other])


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
@pytest.mark.parametrize("kind", CRITICS)
def test_the_gradient_of_every_objective_equals_autograds(kind, constraint):
    critic, shape = CRITICS[kind]
    for objective in OBJECTIVES.values():
        torch.manual_seed(1)
        game = game_of(critic(), shape, objective, constraint)
        for weight in game.critic.parameters():  # steep enough that the one-sided penalty is not zero
            weight.data *= 3
        assert_equal_to_autograd(game, shape)


@st.composite
def critics(draw):
    """A chain of layers of each known kind, in nested Sequentials."""
    slope = st.sampled_from([0.0, 0.01, 0.2, 1.0])
    width, layers = draw(st.integers(1, 4)), []
    channels, side = 2, 6
    for _ in range(draw(st.integers(0, 2))):
        form = draw(st.sampled_from([(3, 1, 1, 1), (4, 2, 1, 1), (3, 1, 2, 2), ((1, 2), 1, (0, 1), 1)]))
        layers += [
            nn.Conv2d(channels, 2 * width, *form, groups=draw(st.integers(1, 2)), bias=draw(st.booleans())),
            nn.LeakyReLU(draw(slope)) if draw(st.booleans()) else nn.ReLU(inplace=draw(st.booleans())),
        ]
        channels = 2 * width
    size = nn.Sequential(*layers, nn.Flatten())(torch.zeros(1, 2, side, side)).shape[1]
    layers.append(nn.Flatten())
    for _ in range(draw(st.integers(0, 3))):
        layers += [nn.Linear(size, width, bias=draw(st.booleans())), nn.LeakyReLU(draw(slope)), nn.Identity()]
        size = width
    cut = draw(st.integers(0, len(layers)))
    return nn.Sequential(nn.Sequential(*layers[:cut]), *layers[cut:], nn.Linear(size, 1), nn.Flatten(0))


@settings(max_examples=40, deadline=None)
@given(critics(), st.sampled_from(CONSTRAINTS), st.sampled_from(list(OBJECTIVES)), st.integers(0, 2**31))
def test_any_chain_of_known_layers_equals_autograd(critic, constraint, objective, seed):
    torch.manual_seed(seed)
    for weight in critic.parameters():
        nn.init.normal_(weight)
    game = game_of(critic, (2, 6, 6), OBJECTIVES[objective], constraint)
    assert_equal_to_autograd(game, (2, 6, 6), tolerance=1e-10)


@pytest.mark.parametrize("bias", [True, False])
def test_layers_that_see_several_vectors_a_row_equal_autograd(bias):
    torch.manual_seed(4)
    critic = nn.Sequential(
        nn.Unflatten(1, (3, 2)), nn.Linear(2, 4, bias=bias), nn.LeakyReLU(0.2), nn.Linear(4, 3, bias=bias),
        nn.ReLU(), nn.Flatten(), nn.Linear(9, 1), nn.LeakyReLU(0.5), nn.Flatten(0),
    )  # fmt: skip
    assert_equal_to_autograd(game_of(critic, (6,)), (6,))


@pytest.mark.parametrize("constraint", CONSTRAINTS[2:], ids=repr)
def test_a_critic_with_slope_zero_has_a_finite_gradient(constraint):
    game = game_of(networks.mlp(2, 1, hidden=(4,)), constraint=constraint)
    for weight in game.critic.parameters():
        weight.data.zero_()
    assert_equal_to_autograd(game)
    assert all(part.isfinite().all() for part in fast(game).critic_gradient(*batch())[2])


# What is left to autograd


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = networks.mlp(2, 1, hidden=(4,))

    def forward(self, x):
        return self.net(x) * 2


def changed(change):
    """A small MLP that is not what its layers say."""
    critic = networks.mlp(2, 1, hidden=(2, 2))
    change(critic)
    return critic


def with_layer(layer):
    return nn.Sequential(nn.Linear(2, 4), layer, nn.Linear(4, 1), nn.Flatten(0))


def convolution(**options):
    layers = nn.Unflatten(1, (1, 1, 2)), nn.Conv2d(1, 2, 3, **options), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(4, 1), nn.Flatten(0))


def split_rows():
    pair = nn.Flatten(0), nn.Unflatten(0, (-1, 2))
    return nn.Sequential(nn.Unflatten(1, (2, 1)), nn.Linear(1, 1), *pair, nn.Linear(2, 1), nn.Flatten(0))


UNKNOWN = {
    "tanh": lambda: with_layer(nn.Tanh()),
    "layer norm": lambda: with_layer(nn.LayerNorm(4)),
    "negative slope": lambda: with_layer(nn.LeakyReLU(-0.5)),
    "a subclass": lambda: nn.Sequential(Doubled(2, 1), nn.Flatten(0)),
    "a module of its own": Wrapped,
    "spectral norm": lambda: networks.spectral(networks.mlp(2, 1, hidden=(4,))).eval(),
    "groups that are sorted": lambda: networks.lipschitz_mlp(2, hidden=(4,)),
    "one layer twice": lambda: changed(lambda critic: critic.__setitem__(2, critic[0])),
    "one weight twice": lambda: changed(lambda critic: setattr(critic[2], "weight", critic[0].weight)),
    "frozen weights": lambda: changed(lambda critic: critic[0].weight.requires_grad_(False)),
    "a hook": lambda: changed(lambda critic: critic[0].register_forward_hook(lambda *call: call[2] + 1)),
    "a hook of autograd": lambda: changed(
        lambda critic: critic[2].register_full_backward_hook(lambda *call: (2 * call[1][0],))
    ),
    "a hook of a weight": lambda: changed(
        lambda critic: critic[2].weight.register_hook(lambda gradient: 2 * gradient)
    ),
    "rows that are split": split_rows,
    "an activation first": lambda: nn.Sequential(nn.ReLU(), nn.Linear(2, 1), nn.Flatten(0)),
    "circular padding": lambda: convolution(padding=1, padding_mode="circular"),
    "padding by name": lambda: convolution(padding="same"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_critic_is_left_to_autograd(name):
    torch.manual_seed(2)
    assert_left_to_autograd(game_of(UNKNOWN[name]()))


class Elsewhere(GradientPenalty):
    def where(self, x, x_fake, eps):
        return x_fake + 1


class Halved(GradientPenalty):
    def penalty(self, critic, x, x_fake, eps):
        return super().penalty(critic, x, x_fake, eps) / 2


@pytest.mark.parametrize("constraint", [Dragan(), Elsewhere(), Halved()], ids=lambda c: type(c).__name__)
def test_a_penalty_at_other_points_or_of_its_own_is_left_to_autograd(constraint):
    torch.manual_seed(3)
    assert_left_to_autograd(game_of(networks.mlp(2, 1), constraint=constraint))


@dataclass(frozen=True)
class Steep(SlopePenalty):
    def what(self, gradient):
        return gradient.pow(4).mean()


@dataclass(frozen=True)
class Signs(WeightClipping):
    @torch.no_grad()
    def project(self, critic):
        for weight in critic.parameters():
            weight.sign_()


def test_a_constraint_that_changes_only_what_a_slope_costs_or_the_projection_is_served():
    torch.manual_seed(3)
    assert_equal_to_autograd(game_of(networks.mlp(2, 1), constraint=Steep()))
    game = game_of(networks.mlp(2, 1), constraint=Signs())
    assert_equal_to_autograd(game)
    fast(game).critic_step(*batch())
    assert all((weight.abs() == 1).all() for weight in game.critic.parameters())


class Descended(Game):
    def critic_gradient(self, x, z, eps):
        loss, penalty, gradient = super().critic_gradient(x, z, eps)
        return loss, penalty, [2 * part for part in gradient]


def test_a_gradient_that_is_not_algorithm_1s_stays():
    torch.manual_seed(3)
    game = game_of(networks.mlp(2, 1))
    assert_left_to_autograd(Descended(game.generator, game.critic, game.recipe))
    twin = copy.copy(game)
    twin.critic_gradient = Descended(game.generator, game.critic, game.recipe).critic_gradient
    assert_left_to_autograd(twin)


def test_batches_of_unequal_size_are_left_to_autograd():
    game = game_of(networks.mlp(2, 1), constraint=WeightClipping())
    x, z, eps = batch()
    *losses, gradient = game.critic_gradient(x[:4], z, eps)
    *found, other = fast(game).critic_gradient(x[:4], z, eps)
    assert equal([*losses, *gradient], [*found, *other])


def test_faults_are_those_of_the_plain_gradient():
    with pytest.raises(InputError, match="one score a row"):
        fast(game_of(nn.Sequential(nn.Linear(2, 1)))).critic_gradient(*batch())
    game = fast(game_of(networks.mlp(2, 1)))
    x, z, eps = batch()
    with pytest.raises(InputError, match="one eps a row"):
        game.critic_gradient(x, z, eps[:, None])
    with pytest.raises(InputError, match="one shape"):
        game.critic_gradient(x[:3], z, eps)


def run(game, until, accelerate=lambda game: game):
    """Turns in the precision of the game's weights; their losses."""
    draw, dtype = new_draw(m=16), next(game.critic.parameters()).dtype
    batches = lambda *key: tuple(value.to(dtype) for value in draw(*key))  # noqa: E731
    batches.latent = lambda step: draw.latent(step).to(dtype)
    return [torch.stack(step[1:]) for step in train(game, batches, until, accelerate=accelerate)]


@pytest.mark.parametrize("name", ["gan", "wgan", "wgan_gp", "wgan_lp"])
def test_a_run_in_float64_equals_the_plain_run(name):
    games = [new_game(getattr(recipes, name)) for _ in range(2)]
    for game in games:
        game.generator.double(), game.critic.double()
    losses = run(games[0], 10), run(games[1], 10, fast)
    ends = [weights_of(game.generator, game.critic) for game in games]
    for these, those in (losses, ends):
        assert all(torch.allclose(a, b, rtol=0, atol=1e-9) for a, b in zip(these, those, strict=True))


def test_a_run_stopped_and_continued_equals_the_whole_one():
    whole, first, second = (new_game(recipes.wgan_gp) for _ in range(3))
    run(whole, 6, fast)
    run(first, 3, fast)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    run(second, 6, fast)
    assert equal(weights_of(whole.generator, whole.critic), weights_of(second.generator, second.critic))


# RMSprop in one pass


@pytest.mark.parametrize("numbers", [{}, {"alpha": 0.9, "eps": 1e-3}, {"lr": 0.5, "alpha": 0.0}])
def test_rmsprop_in_one_pass_is_rmsprop_and_either_goes_on_from_the_other(numbers):
    """Fifty steps, the rate changed in between, and a state that is loaded on the way."""
    torch.manual_seed(0)
    players = [networks.mlp(3, 1, hidden=(8,)) for _ in range(2)]
    players[1].load_state_dict(players[0].state_dict())
    plain, other = (torch.optim.RMSprop(player.parameters(), **numbers) for player in players)
    one = one_pass(other)
    assert isinstance(one, OnePass)
    scale = max(group["lr"] for group in plain.param_groups)
    for step in range(50):
        for a, b in zip(*(player.parameters() for player in players), strict=True):
            a.grad = b.grad = torch.randn_like(a) * 10.0 ** (step % 7 - 3)
        plain.param_groups[0]["lr"] = one.param_groups[0]["lr"] = scale / (1 + step)
        plain.step()
        (other if step % 10 == 3 else one).step()
        if step == 25:
            other.load_state_dict(copy.deepcopy(plain.state_dict()))
    for a, b in zip(*(player.parameters() for player in players), strict=True):
        assert (a - b).abs().max() <= 2e-6 * max(scale, a.abs().max().item())
        assert other.state[b].keys() == plain.state[a].keys() == {"step", "square_avg"}
        assert other.state[b]["step"] == plain.state[a]["step"] == 50
        torch.testing.assert_close(
            other.state[b]["square_avg"], plain.state[a]["square_avg"], rtol=2e-6, atol=0
        )


def test_a_weight_without_a_gradient_stays():
    weights = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = torch.optim.RMSprop(weights)
    weights[0].grad = torch.ones(2)
    one_pass(optimizer).step()
    assert weights[1].tolist() == [1, 1]
    assert weights[0].tolist() != [1, 1]
    assert optimizer.state[weights[1]] == {}


OTHERS = {
    "momentum": partial(torch.optim.RMSprop, momentum=0.9),
    "centered": partial(torch.optim.RMSprop, centered=True),
    "weight decay": partial(torch.optim.RMSprop, weight_decay=0.1),
    "maximize": partial(torch.optim.RMSprop, maximize=True),
    "a long memory": partial(torch.optim.RMSprop, alpha=0.99999),
    "Adam": torch.optim.Adam,
    "a subclass": type("Own", (torch.optim.RMSprop,), {}),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_every_other_optimizer_stays_what_it_is(make):
    optimizer = make([nn.Parameter(torch.ones(2))])
    assert one_pass(optimizer) is optimizer
    assert one_pass(None) is None
    half = torch.optim.RMSprop([nn.Parameter(torch.ones(2, dtype=torch.bfloat16))])
    assert one_pass(half) is half
