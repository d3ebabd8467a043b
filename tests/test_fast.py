"""The written-out gradient equals autograd's, and steps aside where it is not known to be right."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD

from wganlab import Draw, Game, networks, objectives, recipes, sampling, train
from wganlab.constraints import R1, Constraint, GradientPenalty, WeightClipping
from wganlab.engine import WrittenOut, fast
from wganlab.errors import InputError

BY_GRADIENT = partial(SGD, lr=1.0)
OBJECTIVES = (objectives.wasserstein, objectives.non_saturating, objectives.least_squares, objectives.hinge)
CONSTRAINTS = (
    *(GradientPenalty(10.0), GradientPenalty(0.1, one_sided=True)),
    *(WeightClipping(0.05), Constraint()),
)


def game_of(critic, shape=(2,), objective=objectives.wasserstein, constraint=CONSTRAINTS[0]):
    """A float64 game whose optimizers leave the gradient readable."""
    generator = nn.Sequential(nn.Linear(3, torch.Size(shape).numel()), nn.Unflatten(1, shape))
    recipe = replace(recipes.wgan_gp, objective=objective, constraint=constraint, optimizer=BY_GRADIENT)
    return Game(generator.double(), critic.double(), recipe)


def batch(shape, m=6):
    """x, z and eps in float64."""
    return torch.randn(m, *shape).double(), torch.randn(m, 3).double(), torch.rand(m).double()


def is_written_out(step):
    return isinstance(getattr(step, "__self__", None), WrittenOut)


def assert_equal_to_autograd(game, shape, tolerance=1e-12):
    """One critic step of a game and of its copy: losses, gradients and weights agree."""
    twin = copy.deepcopy(game)
    step = fast(twin.critic_step)
    assert is_written_out(step)
    made = batch(shape)
    for a, b in zip(game.critic_step(*made), step(*made), strict=True):
        assert abs(a - b) <= tolerance * max(1.0, abs(a))
    for a, b in zip(game.critic.parameters(), twin.critic.parameters(), strict=True):
        assert (a.grad - b.grad).abs().max() <= tolerance * max(1.0, a.grad.abs().max())
        assert (a - b).abs().max() <= tolerance * max(1.0, a.abs().max())


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=("wasserstein", "non_saturating", "squares", "hinge"))
@pytest.mark.parametrize(
    ("critic", "shape"),
    [
        (partial(networks.mlp, 2, 1, hidden=(7, 5)), (2,)),
        (partial(networks.mlp, (1, 6, 6), 1, hidden=(9,), slope=0.2), (1, 6, 6)),
        (partial(networks.dcgan_critic, width=3), (1, 28, 28)),
    ],
    ids=("mlp", "pictures", "dcgan"),
)
def test_one_step_equals_autograd(critic, shape, objective, constraint):
    torch.manual_seed(1)
    made = critic()
    for weight in made.parameters():  # steep enough that the one-sided penalty is not zero
        weight.data *= 3
    assert_equal_to_autograd(game_of(made, shape, objective, constraint), shape)


@st.composite
def critics(draw):
    """A chain of layers of each known kind, in nested Sequentials."""
    slope = st.sampled_from([0.0, 0.01, 0.2, 1.0])
    width, layers = draw(st.integers(1, 4)), []
    channels, side = 2, 6
    for _ in range(draw(st.integers(0, 2))):
        form = draw(st.sampled_from([(3, 1, 1, 1), (4, 2, 1, 1), (3, 1, 2, 2), ((1, 2), 1, (0, 1), 1)]))
        kernel, stride, padding, dilation = form
        layers.append(
            nn.Conv2d(channels, 2 * width, kernel, stride, padding, dilation, bias=draw(st.booleans()))
        )
        layers.append(
            nn.LeakyReLU(draw(slope)) if draw(st.booleans()) else nn.ReLU(inplace=draw(st.booleans()))
        )
        channels = 2 * width
    size = nn.Sequential(*layers, nn.Flatten())(torch.zeros(1, 2, side, side)).shape[1]
    layers.append(nn.Flatten())
    for _ in range(draw(st.integers(0, 3))):
        layers += [nn.Linear(size, width, bias=draw(st.booleans())), nn.LeakyReLU(draw(slope)), nn.Identity()]
        size = width
    cut = draw(st.integers(0, len(layers)))
    return nn.Sequential(nn.Sequential(*layers[:cut]), *layers[cut:], nn.Linear(size, 1), nn.Flatten(0))


@settings(max_examples=40, deadline=None)
@given(critics(), st.sampled_from(CONSTRAINTS), st.sampled_from(OBJECTIVES), st.integers(0, 2**31))
def test_any_chain_of_known_layers_equals_autograd(critic, constraint, objective, seed):
    torch.manual_seed(seed)
    for weight in critic.parameters():
        nn.init.normal_(weight)
    assert_equal_to_autograd(game_of(critic, (2, 6, 6), objective, constraint), (2, 6, 6), tolerance=1e-10)


def test_a_critic_with_slope_zero_has_a_finite_gradient():
    game = game_of(networks.mlp(2, 1, hidden=(4,)))
    for weight in game.critic.parameters():
        weight.data.zero_()
    assert_equal_to_autograd(game, (2,))
    assert all(torch.isfinite(weight.grad).all() for weight in game.critic.parameters())


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def shared():
    layer = nn.Linear(2, 2)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(2, 1), nn.Flatten(0))


def tied():
    critic = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Linear(2, 1), nn.Flatten(0))
    critic[2].weight = critic[0].weight
    return critic


def frozen():
    critic = networks.mlp(2, 1, hidden=(4,))
    critic[0].weight.requires_grad_(False)
    return critic


def hooked():
    critic = networks.mlp(2, 1, hidden=(4,))
    critic[0].register_forward_hook(lambda module, arguments, y: y + 1)
    return critic


def hooked_backward():
    critic = networks.mlp(2, 1, hidden=(4,))
    critic[2].register_full_backward_hook(lambda module, inner, outer: (2 * inner[0],))
    return critic


def module():
    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = networks.mlp(2, 1, hidden=(4,))

        def forward(self, x):
            return self.net(x) * 2

    return Critic()


def with_layer(layer):
    return nn.Sequential(nn.Linear(2, 4), layer, nn.Linear(4, 1), nn.Flatten(0))


def pictures(**convolution):
    return nn.Sequential(
        nn.Unflatten(1, (1, 1, 2)), nn.Conv2d(1, 2, 3, **convolution), nn.ReLU(),
        nn.Flatten(), nn.Linear(4, 1), nn.Flatten(0),
    )  # fmt: skip


UNKNOWN = {
    "tanh": partial(with_layer, nn.Tanh()),
    "layer norm": partial(with_layer, nn.LayerNorm(4)),
    "a subclass": lambda: nn.Sequential(Doubled(2, 1), nn.Flatten(0)),
    "negative slope": partial(with_layer, nn.LeakyReLU(-0.5)),
    "spectral norm": lambda: networks.spectral(networks.mlp(2, 1, hidden=(4,))),
    "groups that are sorted": lambda: networks.lipschitz_mlp(2, hidden=(4,)),
    "one layer twice": shared,
    "one weight twice": tied,
    "frozen weights": frozen,
    "a hook": hooked,
    "a hook of autograd": hooked_backward,
    "rows that are split": lambda: nn.Sequential(
        nn.Flatten(0),
        nn.Unflatten(0, (-1, 1)),
        nn.Linear(1, 1),
        nn.Flatten(0),
        nn.Unflatten(0, (-1, 2)),
        nn.Linear(2, 1),
        nn.Flatten(0),
    ),
    "a module of its own": module,
    "an activation first": lambda: nn.Sequential(nn.ReLU(), nn.Linear(2, 1), nn.Flatten(0)),
    "circular padding": partial(pictures, padding=1, padding_mode="circular"),
    "padding by name": partial(pictures, padding="same"),
}


@pytest.mark.parametrize("make", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_an_unknown_critic_is_left_to_autograd(make):
    torch.manual_seed(2)
    game = game_of(make())
    twin = copy.deepcopy(game)
    step = fast(twin.critic_step)
    assert not is_written_out(step)
    made = batch((2,))
    assert all(torch.equal(a, b) for a, b in zip(game.critic_step(*made), step(*made), strict=True))


def test_an_unknown_constraint_and_the_generator_are_left_to_autograd():
    game = game_of(networks.mlp(2, 1), constraint=R1(1.0))
    assert not is_written_out(fast(game.critic_step))
    game = game_of(networks.mlp(2, 1))
    assert is_written_out(fast(game.critic_step))
    assert not is_written_out(fast(game.generator_step))


def test_a_hook_on_a_weight_is_left_to_autograd():
    game = game_of(networks.mlp(2, 1, hidden=(4,)))
    assert is_written_out(fast(game.critic_step))
    game.critic[2].weight.register_hook(lambda gradient: 2 * gradient)
    assert not is_written_out(fast(game.critic_step))


def test_grouped_convolutions_equal_autograd():
    critic = nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 9, 1), nn.Flatten(0)
    )
    torch.manual_seed(3)
    assert_equal_to_autograd(game_of(critic, (4, 3, 3)), (4, 3, 3))


@pytest.mark.parametrize("bias", [True, False])
def test_layers_that_see_several_vectors_a_row_equal_autograd(bias):
    critic = nn.Sequential(
        nn.Unflatten(1, (3, 2)), nn.Linear(2, 4, bias=bias), nn.LeakyReLU(0.2), nn.Linear(4, 3, bias=bias),
        nn.ReLU(), nn.Flatten(), nn.Linear(9, 1), nn.LeakyReLU(0.5), nn.Flatten(0),
    )  # fmt: skip
    torch.manual_seed(4)
    assert_equal_to_autograd(game_of(critic, (6,)), (6,))


def test_faults_are_those_of_the_plain_step():
    step = fast(game_of(nn.Sequential(nn.Linear(2, 1))).critic_step)
    assert is_written_out(step)
    with pytest.raises(InputError, match="one score a row"):
        step(*batch((2,)))
    step = fast(game_of(networks.mlp(2, 1)).critic_step)
    x, z, eps = batch((2,))
    with pytest.raises(InputError, match="one eps a row"):
        step(x, z, eps[:, None])
    with pytest.raises(InputError, match="one shape"):
        step(x[:3], z, eps)


@pytest.mark.parametrize("recipe", [recipes.gan, recipes.wgan, recipes.wgan_gp, recipes.wgan_lp])
def test_a_run_in_float64_equals_the_plain_run(recipe):
    def run(accelerate):
        torch.manual_seed(0)
        game = Game(networks.mlp(2, 2).double(), networks.mlp(2, 1).double(), recipe)

        def ring(n, rng):
            return sampling.ring()(n, rng).double()

        def prior(n, rng):
            return sampling.normal(2)(n, rng).double()

        draw = Draw(ring, prior, 16)
        wide = lambda step, t: (*draw(step, t)[:2], draw(step, t)[2].double())  # noqa: E731
        wide.latent = draw.latent
        losses = [torch.stack(step[1:]) for step in train(game, wide, 10, accelerate=accelerate)]
        return torch.stack(losses), game

    (plain, game), (written, twin) = run(lambda step: step), run(fast)
    assert torch.allclose(plain, written, rtol=0, atol=1e-9)
    for a, b in zip(game.generator.parameters(), twin.generator.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-9)


def test_a_run_stopped_and_continued_equals_the_whole_one():
    def game():
        torch.manual_seed(0)
        return Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan_gp)

    draw = Draw(sampling.ring(), sampling.normal(2), 64)
    whole, first, second = game(), game(), game()
    list(train(whole, draw, 6, accelerate=fast))
    list(train(first, draw, 3, accelerate=fast))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    list(train(second, draw, 6, accelerate=fast))
    for a, b in zip(whole.generator.parameters(), second.generator.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_mean_over_ranks_is_asked():
    game = game_of(networks.mlp(2, 1))
    game.mean = lambda gradients: [torch.zeros_like(gradient) for gradient in gradients]
    before = copy.deepcopy(game.critic.state_dict())
    fast(game.critic_step)(*batch((2,)))
    assert all(torch.equal(before[name], weight) for name, weight in game.critic.state_dict().items())


def test_critics_weights_are_clipped():
    game = game_of(networks.mlp(2, 1), constraint=WeightClipping(0.01))
    fast(game.critic_step)(*batch((2,)))
    assert max(weight.abs().max().item() for weight in game.critic.parameters()) == pytest.approx(0.01)
