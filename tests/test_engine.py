"""Each acceleration against plain float64 autograd, its refusals, and the counts beside it."""

import copy
import importlib
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial
from itertools import product

import pytest
import torch
from games import equal, weights_of
from torch import nn

from wganlab import Game, networks, recipes, sampling, train
from wganlab.constraints import GradientPenalty
from wganlab.engine import autocast, chain, compiled, cost, fast, flops, graphed, threads_for
from wganlab.engine.autocast import AutocastPlayer
from wganlab.errors import InputError
from wganlab.training import fit

room = importlib.import_module("wganlab.engine.compiled")  # the package's name for it is the function
needs_compiler = pytest.mark.skipif(room.compiler() is None, reason="needs a C++ compiler")
PLAYERS = {
    "mlp": lambda: (networks.mlp(3, 2, hidden=(8,)), networks.mlp(2, 1, hidden=(8, 6), slope=0.2)),
    "dcgan": lambda: (networks.dcgan_generator(3, width=2, dense=4), networks.dcgan_critic(width=2)),
}
RECIPES = {"gan": recipes.gan, "wgan": recipes.wgan, "wgan_gp": recipes.wgan_gp}
traced = partial(compiled, backend="aot_eager")
half = autocast(torch.bfloat16)


def new_game(players, recipe, dtype=torch.float64, mean=lambda gradients: gradients):
    torch.manual_seed(0)
    generator, critic = PLAYERS[players]()
    return Game(generator.to(dtype), critic.to(dtype), recipe, mean=mean)


def new_batch(game, t=0, m=6):
    """x, z and eps in the type of the game's weights."""
    rng, dtype = torch.Generator().manual_seed(t), next(game.critic.parameters()).dtype
    shape = (2,) if isinstance(game.critic[0], nn.Linear) else (1, 28, 28)
    x = torch.rand(m, *shape, generator=rng, dtype=dtype)
    return x, torch.randn(m, 3, generator=rng, dtype=dtype), torch.rand(m, generator=rng, dtype=dtype)


def distance(found, wanted):
    """The length of the difference, relative to that of ``wanted``."""
    found, wanted = (torch.cat([part.detach().flatten() for part in parts]) for parts in (found, wanted))
    return ((found - wanted).norm() / wanted.norm()).item()


def new_draw(latent, m=6):
    """The ring and a normal prior in float64."""
    double = lambda sampler: lambda n, rng: sampler(n, rng).double()  # noqa: E731
    return sampling.Draw(double(sampling.ring()), double(sampling.normal(latent)), m)


# What all have in common

ACCELERATIONS = {"fast": (fast, 1e-9), "aot_eager": (traced, 1e-9), "autocast": (half, 0.05)}
ACCELERATIONS["graphed"] = (graphed, 0)  # on a CPU the plain step


@pytest.mark.parametrize("name", ACCELERATIONS)
def test_a_game_trains_as_it_does_plainly(name):
    """The copy shares players and optimizers; averages, projections and counts are those of the game."""
    accelerate, tolerance = ACCELERATIONS[name]
    recipe, seen = replace(recipes.wgan, n_critic=2), []
    game = new_game("mlp", recipe, mean=lambda gradients: seen.append(1) or list(gradients))
    twin = new_game("mlp", recipe)
    assert [step.index for step in train(game, new_draw(3), 3, accelerate=accelerate)] == [1, 2, 3]
    list(train(twin, new_draw(3), 3))
    assert len(seen) == 3 * (2 + 1)
    assert {entries["step"].item() for entries in game.critic_optimizer.state.values()} == {6}
    assert max(weight.abs().max().item() for weight in game.critic.parameters()) == pytest.approx(0.01)
    for player in ("critic", "generator"):
        assert distance(getattr(game, player).parameters(), getattr(twin, player).parameters()) <= tolerance


@pytest.mark.parametrize("name", ACCELERATIONS)
def test_a_lone_critic_trains_as_it_does_plainly(name):
    accelerate, tolerance = ACCELERATIONS[name]
    (_, start), ends, losses = PLAYERS["mlp"](), [], []
    for each in (accelerate, chain()):
        critic = copy.deepcopy(start).double()
        steps = list(fit(critic, new_draw(2), recipes.wgan_gp, 5, accelerate=each))
        losses.append([torch.stack([step.critic_loss, step.penalty]) for step in steps])
        ends.append(
            [weight - old for weight, old in zip(critic.parameters(), start.parameters(), strict=True)]
        )
    assert distance(*losses) <= tolerance
    assert distance(*ends) <= tolerance


# Compiled


def by_hand(game, x, z, eps):
    """Losses and gradients of critic and generator in float64, with autograd alone; nothing moves."""
    x_fake, weight = game.generator(z).detach(), getattr(game.recipe.constraint, "weight", 0.0)
    loss, penalty = game.recipe.objective.critic(game.critic(x), game.critic(x_fake)), torch.zeros(())
    if weight:
        share = eps.reshape(-1, *[1] * (x.ndim - 1))
        x_hat = (share * x + (1 - share) * x_fake).requires_grad_()
        (slopes,) = torch.autograd.grad(game.critic(x_hat).sum(), x_hat, create_graph=True)
        penalty = weight * ((slopes.flatten(1).square().sum(1).sqrt() - 1) ** 2).mean()
    gradient = torch.autograd.grad(loss + penalty, list(game.critic.parameters()))
    other = game.recipe.objective.generator(game.critic(game.generator(z)))
    return (loss, penalty, gradient), (other, torch.autograd.grad(other, list(game.generator.parameters())))


def cases():
    """Differentiation is traced in the ordinary run for small players; C++ is made there of WGAN-GP alone."""
    for recipe, players, backend in product(RECIPES, PLAYERS, ("aot_eager", "inductor")):
        brief = players == "mlp" and (backend == "aot_eager" or recipe == "wgan_gp")
        marks = [needs_compiler] * (backend == "inductor") + [pytest.mark.slow] * (not brief)
        yield pytest.param(recipe, players, backend, marks=marks, id=f"{recipe}-{players}-{backend}")


@pytest.mark.parametrize(("recipe", "players", "backend"), list(cases()))
def test_compiled_gradients_equal_plain_float64_autograd(recipe, players, backend):
    """Twice-differentiated compiled code has been silently wrong: pytorch issues 91469 and 181581."""
    game = new_game(players, RECIPES[recipe])
    weights = [*game.critic.parameters(), *game.generator.parameters()]
    inductor = importlib.import_module("torch._inductor.config")  # here: all of the compiler takes seconds
    with inductor.patch(compile_threads=1):
        play = compiled(game, backend=backend)
        for t in range(2):
            x, z, eps = new_batch(game, t)
            before = [weight.clone() for weight in weights]
            found = play.critic_gradient(x, z, eps), play.generator_gradient(z)
            assert equal(before, weights)
            for (*losses, gradient), (*wanted, exact) in zip(found, by_hand(game, x, z, eps), strict=True):
                assert [a.item() for a in losses] == pytest.approx(
                    [a.item() for a in wanted], rel=1e-12, abs=1e-14
                )
                assert distance(gradient, exact) < 1e-12
                assert not any(value.requires_grad for value in (*losses, *gradient))
            play.critic_step(x, z, eps)  # the next gradients are those of other weights
            play.generator_step(z)


def test_one_process_may_compile_many_games():
    """PyTorch compiles one function 8 times by default, and every game shares the functions of ``Game``."""
    with torch._dynamo.config.patch(recompile_limit=1):
        for width in (3, 4):
            game = Game(networks.mlp(2, 2, hidden=()), networks.mlp(2, 1, hidden=(width,)), recipes.gan)
            traced(game).generator_step(torch.zeros(4, 2))


@pytest.mark.slow
def test_compiled_leaves_the_checks_of_distributions_on():
    """PyTorch turns them off when it first compiles, so that it must be seen in a process of its own."""
    code = (
        "import torch\nfrom wganlab import Game, networks, recipes\n"
        "from wganlab.engine import compiled\n"
        "compiled(Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan), backend='aot_eager')\n"
        "try: torch.distributions.Normal(0.0, 1.0).log_prob(0.5)\n"
        "except ValueError: print('checked')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "checked\n", done.stderr


def test_compiled_says_what_it_needs(monkeypatch):
    game = new_game("mlp", recipes.wgan_gp)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=r"needs a C\+\+ compiler.*environment variable CXX"):
        compiled(game)
    monkeypatch.undo()
    monkeypatch.setattr(room, "traces_gradients", lambda: False)
    with pytest.raises(InputError, match=r"needs a PyTorch that traces torch.autograd.grad"):
        compiled(game)


def exchanged(game):
    """The game with another gradient of the generator, as a trick makes one."""
    twin = copy.copy(game)
    twin.generator_gradient = lambda z: game.generator_gradient(2 * z)
    return twin


@pytest.mark.parametrize(
    ("change", "name"),
    [(fast, "critic_gradient"), (graphed, "critic_step"), (exchanged, "generator_gradient")],
)
def test_compiled_and_autocast_refuse_a_game_whose_gradient_or_step_is_exchanged(change, name):
    game = change(new_game("mlp", recipes.wgan_gp))
    with pytest.raises(InputError, match=f"compiled takes a game whose gradients are its own, but {name}"):
        traced(game)
    with pytest.raises(InputError, match="put it first in a chain"):
        half(game)


def test_a_player_that_cannot_be_traced_is_named():
    class Asking(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum().item() > 0 else super().forward(-x)

    game = Game(nn.Linear(2, 2), nn.Sequential(Asking(2, 1), nn.Flatten(0)), recipes.gan)
    with pytest.raises(InputError, match="compiled cannot trace generator_gradient"):
        traced(game).generator_step(torch.ones(3, 2))
    assert not torch._dynamo.config.trace_autograd_ops  # set for the call alone


@pytest.mark.parametrize("action", ["error", "always", "ignore"])
def test_what_the_compiler_warns_of_itself_is_no_failure_where_warnings_are_errors(action):
    """Python 3.13.0 alone makes PyTorch warn so; this backend does it on each."""

    def warning(graph, _):
        warnings.warn_explicit("of itself", RuntimeWarning, "guards.py", 1, module="torch._dynamo.guards")
        return graph

    game = new_game("mlp", recipes.wgan_gp)
    z = torch.ones(2, 3, dtype=torch.float64)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        before = list(warnings.filters)
        compiled(game, backend=warning).generator_gradient(z)
        assert warnings.filters == before
    assert [str(said.message) for said in caught].count("of itself") == (action != "ignore")


def test_compiled_takes_an_autocast_game():
    game = new_game("mlp", recipes.wgan_gp, torch.float32)
    (*found, gradient), (*wanted, exact) = (
        accelerate(game).critic_gradient(*new_batch(game)) for accelerate in (chain(half, traced), half)
    )
    assert [a.item() for a in found] == pytest.approx([a.item() for a in wanted], rel=1e-2, abs=1e-4)
    assert distance(gradient, exact) < 2e-2


# Mixed precision

KINDS = {
    "mlp": (lambda: networks.mlp(784, 1, hidden=(512, 256), slope=0.2), (784,), 256),
    "toy": (lambda: networks.mlp(2, 1, hidden=(512, 512, 512)), (2,), 256),
    "dcgan": (networks.dcgan_critic, (1, 28, 28), 64),
}


def slopes_of(critic, x, x_fake, eps):
    share = eps.view(-1, *[1] * (x.ndim - 1))
    x_hat = (share * x + (1 - share) * x_fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    return gradient.flatten(1).norm(dim=1)


def in_both(kind, mean):
    """Slopes at x_hat, and the penalty's gradient, in bfloat16 and in float64.

    The critic's last layer is scaled so that its slopes have this mean.
    """
    torch.manual_seed(0)
    make, row, m = KINDS[kind]
    critic, rng = make(), torch.Generator().manual_seed(1)
    x, x_fake = (torch.rand(m, *row, generator=rng) * scale - shift for scale, shift in ((2, 1), (0.5, 0)))
    batch = x, x_fake, torch.rand(m, generator=rng)
    last = [layer for layer in critic if isinstance(layer, nn.Linear)][-1]
    last.weight.data.mul_(mean / slopes_of(critic, *batch).mean().item())
    rounded, exact = AutocastPlayer(critic, torch.bfloat16), copy.deepcopy(critic).double()
    slopes, gradients = [], []
    for player, dtype in ((rounded, torch.float32), (exact, torch.float64)):
        values = [value.to(dtype) for value in batch]
        penalty = GradientPenalty(10.0).penalty(player, *values)
        slopes.append(slopes_of(player, *values).detach())
        assert slopes[-1].dtype == penalty.dtype == dtype
        weights = [weight for weight in player.parameters() if weight.ndim > 1]
        gradients.append([part.double() for part in torch.autograd.grad(penalty, weights)])
    return [each.double() for each in slopes], gradients


@pytest.mark.parametrize(("kind", "slope", "far", "near"), [
    ("mlp", (3e-3, 5e-3), (6e-3, 1.1e-2), (4e-2, 0.16)),
    ("dcgan", (1.5e-3, 3e-3), (5e-3, 1.8e-2), (2.5e-2, 0.1)),
    ("toy", (4e-2, 9e-2), (8e-3, 2.5e-2), (3e-2, 0.12)),
])  # fmt: skip
def test_how_wrong_bfloat16_is_as_its_docstring_says(kind, slope, far, near):
    """Far from slope 1 the gradient has 2 to 3 digits; where slopes are about 1 it loses one of them."""
    for mean, bounds in ((2.0, far), (1.003, near)):
        (found, exact), gradients = in_both(kind, mean)
        assert slope[0] < ((found - exact) / exact).square().mean().sqrt() < slope[1]
        assert bounds[0] < distance(*gradients) < bounds[1]


def test_a_row_near_slope_1_loses_its_penalty():
    """A slope off by the share r moves (s - 1)^2 by the share 2 r s / |s - 1|."""
    (s, exact), _ = in_both("mlp", 1.1)
    r, share = (s - exact) / exact, (s - 1).square() / (exact - 1).square() - 1
    far = (exact - 1).abs() > 0.03
    assert far.sum() > 100
    expected = (2 * r * exact / (exact - 1))[far].tolist()
    assert share[far].tolist() == pytest.approx(expected, rel=0.2, abs=0.01)
    assert 0.04 < share[far].square().mean().sqrt() < 0.2


def test_autocast_computes_in_bfloat16_and_sums_in_float32():
    seen, game = {}, new_game("mlp", recipes.wgan_gp, torch.float32)
    for name, layer in (("first", game.critic[0]), ("last", game.critic[4]), ("fake", game.generator[-1])):
        layer.register_forward_hook(lambda *call, name=name: seen.update({name: call[2].dtype}))
    batch = new_batch(game)
    loss, penalty, gradient = half(game).critic_gradient(*batch)
    assert seen == {"first": torch.bfloat16, "last": torch.float32, "fake": torch.float32}
    assert all(value.dtype == torch.float32 for value in (loss, penalty, *gradient))
    _, wanted, exact = game.critic_gradient(*batch)
    assert 0 < abs(penalty - wanted).item() < 0.05 * wanted.item()
    assert 0 < distance(gradient, exact) < 0.05
    pictures = new_game("dcgan", recipes.gan, torch.float32)
    fake = half(pictures).generator(torch.randn(5, 3))
    assert fake.dtype == torch.float32
    assert torch.equal(fake, fake.bfloat16().float())  # it ends in a convolution, so all of it is rounded


def test_autocast_keeps_the_constraints_checks():
    game = new_game("mlp", recipes.wgan_gp, torch.float32)
    game.critic.append(nn.Unflatten(0, (-1, 1))).append(nn.BatchNorm1d(1)).append(nn.Flatten(0))
    with pytest.raises(InputError, match="BatchNorm1d, which mixes the rows"):
        half(game).critic_step(*new_batch(game))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.float32])
def test_autocast_refuses_other_types(dtype):
    with pytest.raises(InputError, match=f"autocast takes torch.bfloat16, got {dtype}"):
        autocast(dtype)


# Counts


def test_flops_of_wgan_gp_are_those_counted_by_hand():
    """Products of (m, n) and (n, k) count 2 m n k."""
    m, game = 10, new_game("mlp", recipes.wgan_gp)
    g1, g2 = 2 * m * 3 * 8, 2 * m * 8 * 2  # the generator's layers, forward
    f1, f2, f3 = 2 * m * 2 * 8, 2 * m * 8 * 6, 2 * m * 6 * 1  # the critic's
    g, f = g1 + g2, f1 + f2 + f3
    scored = f + f + (f2 + f3)  # forward; gradients of the weights; gradients of the layers' inputs
    generator = (g + f) + f + (g + g2)  # forward; back through the critic; back through the generator
    assert flops(new_game("mlp", recipes.wgan), m) == 5 * (g + 2 * scored) + generator
    # x_hat: forward, and back to its gradient; through that second chain to its weights and upwards, but not
    # to the score's constant 1; then autograd pushes zeros back through the first one.
    twice = f + f + f + (f1 + f2) + (f1 + f2 + f2)
    assert flops(game, m) == 5 * (g + 2 * scored + twice) + generator


def test_flops_do_not_move_the_game_and_need_a_linear_start():
    game = new_game("dcgan", recipes.wgan_gp, torch.float32)
    before, state = weights_of(game.generator, game.critic), torch.random.get_rng_state()
    assert flops(game, 4) == 2 * flops(game, 2)
    assert equal(before, weights_of(game.generator, game.critic))
    assert game.step == 0
    assert not game.critic_optimizer.state
    assert torch.equal(state, torch.random.get_rng_state())
    start = nn.Sequential(nn.ConvTranspose2d(3, 1, 28), nn.Tanh())
    with pytest.raises(InputError, match="must be nn.Linear, and is ConvTranspose2d"):
        flops(Game(start, networks.dcgan_critic(width=2), recipes.gan), 4)


def test_small_steps_get_one_thread_and_large_ones_all_cores(monkeypatch):
    assert 1 <= cost.cores() <= os.cpu_count()
    monkeypatch.setattr(cost, "cores", lambda: 7)
    assert threads_for(new_game("mlp", recipes.wgan_gp), 64) == 1
    large = Game(networks.mlp(64, 784, hidden=(2048,)), networks.mlp(784, 1, hidden=(2048,)), recipes.wgan_gp)
    assert threads_for(large, 256) == 7
    assert threads_for(large, 1) == 1


def test_a_chain_applies_the_first_first_and_none_is_the_identity():
    assert chain()(5) == 5
    assert chain(lambda k: k + 1, lambda k: k * 10)(2) == 30
