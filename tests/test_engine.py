"""Each acceleration against plain float64 autograd, its refusals, and the counts and facts beside it."""

import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch._inductor.config
from torch import nn

from wganlab import Draw, Game, accelerate, networks, recipes, sampling, train
from wganlab.engine import Mixed, autocast, chain, compiled, cores, describe, flops, threads_for
from wganlab.constraints import GradientPenalty
from wganlab.errors import InputError
from wganlab.engine import graphed

needs_compiler = pytest.mark.skipif(accelerate.compiler() is None, reason="needs a C++ compiler")
PLAYERS = {
    "mlp": lambda: (networks.mlp(3, 2, hidden=(8,)), networks.mlp(2, 1, hidden=(8, 6), slope=0.2)),
    "dcgan": lambda: (networks.dcgan_generator(3, width=2, dense=4), networks.dcgan_critic(width=2)),
}
traced = partial(compiled, backend="aot_eager")
RECIPES = {"gan": recipes.gan, "wgan": recipes.wgan, "wgan_gp": recipes.wgan_gp}


def new_game(players, recipe, dtype=torch.float64, mean=lambda gradients: gradients):
    torch.manual_seed(0)
    generator, critic = PLAYERS[players]()
    return Game(generator.to(dtype), critic.to(dtype), recipe, mean=mean)


def new_batch(game, t, m=6):
    rng = torch.Generator().manual_seed(t)
    z = torch.randn(m, 3, generator=rng, dtype=torch.float64)
    shape = (2,) if isinstance(game.critic[0], nn.Linear) else (1, 28, 28)
    x = torch.rand(m, *shape, generator=rng, dtype=torch.float64)
    return x, z, torch.rand(m, generator=rng, dtype=torch.float64)


def gradients_by_hand(game, step, x, z, eps):
    """The losses and the gradients of one player, in float64 and with autograd alone; nothing moves."""
    weight = getattr(game.recipe.constraint, "weight", 0.0)
    if step == "generator_step":
        loss = game.recipe.objective.generator(game.critic(game.generator(z)))
        return [loss], torch.autograd.grad(loss, list(game.generator.parameters()))
    x_fake = game.generator(z).detach()
    loss = game.recipe.objective.critic(game.critic(x), game.critic(x_fake))
    penalty = torch.zeros(())
    if weight:
        share = eps.reshape(-1, *[1] * (x.ndim - 1))
        x_hat = (share * x + (1 - share) * x_fake).requires_grad_()
        (slopes,) = torch.autograd.grad(game.critic(x_hat).sum(), x_hat, create_graph=True)
        penalty = weight * ((slopes.flatten(1).square().sum(1).sqrt() - 1) ** 2).mean()
    return [loss, penalty], torch.autograd.grad(loss + penalty, list(game.critic.parameters()))


def distance(found, wanted):
    """The length of the difference, relative to that of ``wanted``."""
    found, wanted = (torch.cat([part.detach().flatten() for part in parts]) for parts in (found, wanted))
    return ((found - wanted).norm() / wanted.norm()).item()


# Compiled


@pytest.fixture(autouse=True)
def _one_compiler_process():
    with torch._inductor.config.patch(compile_threads=1):
        yield


def cases():
    """Differentiation is traced in each case; C++ is made of WGAN-GP's critics, the rest is slow."""
    for name in ("critic_step", "generator_step"):
        for recipe in RECIPES:
            for players in PLAYERS:
                for backend in ("aot_eager", "inductor"):
                    brief = backend == "aot_eager" or (recipe, name) == ("wgan_gp", "critic_step")
                    marks = [needs_compiler] * (backend == "inductor") + [pytest.mark.slow] * (not brief)
                    values = (name, recipe, players, backend)
                    yield pytest.param(*values, marks=marks, id="-".join(values))


@pytest.mark.parametrize(("name", "recipe", "players", "backend"), list(cases()))
def test_compiled_gradients_equal_plain_float64_autograd(name, recipe, players, backend):
    """Twice-differentiated compiled code has been silently wrong: pytorch issues 91469 and 181581."""
    game = new_game(players, RECIPES[recipe])
    step, player = (
        compiled(getattr(game, name), backend=backend),
        game.critic if name == "critic_step" else game.generator,
    )
    twin = new_game(players, RECIPES[recipe])
    for t in range(3):
        x, z, eps = new_batch(game, t)
        losses, gradients = gradients_by_hand(game, name, x, z, eps)
        found = step(x, z, eps) if name == "critic_step" else [step(z)]
        assert [a.item() for a in found] == pytest.approx([a.item() for a in losses], rel=1e-12, abs=1e-14)
        assert distance([weight.grad for weight in player.parameters()], gradients) < 1e-12
        assert not any(value.requires_grad for value in found)
        getattr(twin, name)(*((x, z, eps) if name == "critic_step" else (z,)))
    fresh = new_game(players, RECIPES[recipe])
    for one, other in (("critic", name == "critic_step"), ("generator", name == "generator_step")):
        pairs = list(zip(getattr(game, one).parameters(), getattr(twin, one).parameters(), strict=True))
        assert all(torch.allclose(a, b, rtol=0, atol=1e-7) for a, b in pairs)  # RMSprop magnifies rounding
        old = getattr(fresh, one).parameters()
        still = [torch.equal(a, b) for a, (b, _) in zip(old, pairs, strict=True)]
        assert not any(still[:-1]) if other else all(still)  # a WGAN's last bias has no gradient


def test_compiled_training_clips_averages_and_counts_as_plain_training_does():
    seen = []
    recipe = replace(recipes.wgan, n_critic=2)
    game = new_game("mlp", recipe, torch.float32, mean=lambda gradients: seen.append(1) or list(gradients))
    twin = new_game("mlp", recipe, torch.float32)
    draw = Draw(sampling.ring(), sampling.normal(3), 6)
    for one, decorator in ((game, traced), (twin, lambda step: step)):
        steps = list(train(one, draw, 3, accelerate=decorator))
        assert [step.index for step in steps] == [1, 2, 3]
    assert len(seen) == 9  # the mean over ranks is taken once an update, outside the compiled graph
    assert max(weight.abs().max().item() for weight in game.critic.parameters()) == pytest.approx(0.01)
    assert distance(game.critic.parameters(), twin.critic.parameters()) < 1e-3
    for entries in game.critic_optimizer.state.values():
        assert entries["step"].item() == 6


def test_one_process_may_compile_many_games():
    """PyTorch compiles one function 8 times by default, and every game shares the functions of ``Game``."""
    with torch._dynamo.config.patch(recompile_limit=1):
        for width in (3, 4):
            game = Game(networks.mlp(2, 2, hidden=()), networks.mlp(2, 1, hidden=(width,)), recipes.gan)
            traced(game.generator_step)(torch.zeros(4, 2))


def test_compiled_leaves_the_checks_of_distributions_on():
    """PyTorch turns them off when it first compiles, so that it must be seen in a process of its own."""
    code = (
        "import torch\nfrom wganlab import Game, networks, recipes\n"
        "from wganlab.engine import compiled\n"
        "game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan)\n"
        "compiled(game.critic_step, backend='aot_eager')\n"
        "try: torch.distributions.Normal(0.0, 1.0).log_prob(0.5)\n"
        "except ValueError: print('checked')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "checked\n", done.stderr


def test_compiled_says_what_it_needs(monkeypatch):
    game = new_game("mlp", recipes.wgan_gp)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=r"needs a C\+\+ compiler.*environment variable CXX"):
        compiled(game.critic_step)
    monkeypatch.undo()
    monkeypatch.setattr(accelerate, "compiler", lambda: "/usr/bin/g++")
    for wrong in (lambda x: x, graphed(game.critic_step)):
        with pytest.raises(InputError, match=r"compiled takes game.critic_step or game.generator_step"):
            compiled(wrong)
    monkeypatch.setattr(accelerate, "traces_gradients", lambda: False)
    with pytest.raises(InputError, match=r"needs a PyTorch that traces torch.autograd.grad"):
        compiled(game.critic_step)


def test_a_player_that_cannot_be_traced_is_named():
    class Asking(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum().item() > 0 else super().forward(-x)

    game = Game(nn.Linear(2, 2), nn.Sequential(Asking(2, 1), nn.Flatten(0)), recipes.gan)
    with pytest.raises(InputError, match="compiled cannot trace generator_step"):
        traced(game.generator_step)(torch.ones(3, 2))
    assert not torch._dynamo.config.trace_autograd_ops  # set for the call alone


# Mixed precision


def bumpy(kind):
    """A critic, a batch for it, and the slopes at the points x_hat, all in float32."""
    torch.manual_seed(0)
    critic, row = {
        "mlp": (lambda: networks.mlp(784, 1, hidden=(512, 256), slope=0.2), (784,)),
        "toy": (lambda: networks.mlp(2, 1, hidden=(512, 512, 512)), (2,)),
        "dcgan": (networks.dcgan_critic, (1, 28, 28)),
    }[kind]
    critic, rng = critic(), torch.Generator().manual_seed(1)
    x, x_fake = (torch.rand(256, *row, generator=rng) * scale - shift for scale, shift in ((2, 1), (0.5, 0)))
    return critic, (x, x_fake, torch.rand(256, generator=rng))


def slopes_of(critic, x, x_fake, eps):
    share = eps.view(-1, *[1] * (x.ndim - 1))
    x_hat = (share * x + (1 - share) * x_fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    return gradient.flatten(1).norm(dim=1)


def scaled_to(critic, mean, batch):
    """The critic with its last layer scaled so that its slopes at x_hat have this mean."""
    last = [layer for layer in critic if isinstance(layer, nn.Linear)][-1]
    last.weight.data.mul_(mean / slopes_of(critic, *batch).mean().item())
    return critic


def errors_in_bfloat16(kind, mean):
    """Relative errors against float64: of a slope (root mean square), and of the penalty's gradient."""
    critic, batch = bumpy(kind)
    scaled_to(critic, mean, batch)
    found, gradients = [], []
    for player, dtype in (
        (Mixed(critic, torch.bfloat16), torch.float32),
        (copy.deepcopy(critic).double(), torch.float64),
    ):
        slopes = slopes_of(player, *(value.to(dtype) for value in batch))
        penalty = GradientPenalty(10.0).penalty(player, *(value.to(dtype) for value in batch))
        assert slopes.dtype == penalty.dtype == dtype
        weights = [weight for weight in player.parameters() if weight.ndim > 1]
        gradients.append([g.double() for g in torch.autograd.grad(penalty, weights)])
        found.append(slopes.detach().double())
    return ((found[0] - found[1]) / found[1]).square().mean().sqrt().item(), distance(*gradients)


@pytest.mark.parametrize(("kind", "slope", "far", "near"), [
    ("mlp", (3e-3, 5e-3), (6e-3, 1.1e-2), (4e-2, 0.16)),
    ("dcgan", (1.5e-3, 3e-3), (5e-3, 1.1e-2), (2.5e-2, 0.1)),
    ("toy", (4e-2, 9e-2), (8e-3, 2.5e-2), (3e-2, 0.12)),
])  # fmt: skip
def test_how_wrong_bfloat16_is_as_its_docstring_says(kind, slope, far, near):
    """Far from slope 1 the gradient has 2 to 3 digits; where slopes are about 1 it loses one of them."""
    of_slope, of_gradient = errors_in_bfloat16(kind, mean=2.0)
    assert slope[0] < of_slope < slope[1]
    assert far[0] < of_gradient < far[1]
    of_slope, of_gradient = errors_in_bfloat16(kind, mean=1.003)
    assert slope[0] < of_slope < slope[1]
    assert near[0] < of_gradient < near[1]


def test_a_row_near_slope_1_loses_its_penalty():
    """A slope off by the share r moves (s - 1)^2 by the share 2 r s / |s - 1|."""
    critic, batch = bumpy("mlp")
    scaled_to(critic, 1.1, batch)
    s, exact = (
        slopes_of(player, *(value.to(dtype) for value in batch)).detach().double()
        for player, dtype in (
            (Mixed(critic, torch.bfloat16), torch.float32),
            (copy.deepcopy(critic).double(), torch.float64),
        )
    )
    r, share = (s - exact) / exact, (s - 1).square() / (exact - 1).square() - 1
    far = (exact - 1).abs() > 0.03
    assert far.sum() > 100
    assert share[far].tolist() == pytest.approx(
        (2 * r * exact / (exact - 1))[far].tolist(), rel=0.2, abs=0.01
    )
    assert 0.04 < share[far].square().mean().sqrt() < 0.2


def test_autocast_computes_in_bfloat16_and_sums_in_float32():
    seen = {}

    def watch(name, layer):
        layer.register_forward_hook(lambda layer, inputs, out: seen.update({name: out.dtype}))

    game = new_game("mlp", recipes.wgan_gp, torch.float32)
    watch("first", game.critic[0])
    watch("last", game.critic[4])
    watch("generator", game.generator[-1])
    before = [weight.clone() for weight in game.critic.parameters()]
    x, z, eps = (value.float() for value in new_batch(game, 0))
    losses = autocast(torch.bfloat16)(game.critic_step)(x, z, eps)
    assert seen == {"first": torch.bfloat16, "last": torch.float32, "generator": torch.float32}
    assert all(loss.dtype == torch.float32 for loss in losses)
    assert all(weight.dtype == weight.grad.dtype == torch.float32 for weight in game.critic.parameters())
    assert not any(torch.equal(a, b) for a, b in zip(before[:-1], game.critic.parameters(), strict=False))
    twin = new_game("mlp", recipes.wgan_gp, torch.float32)
    wanted = twin.critic_step(x, z, eps)
    assert 0 < abs(losses[1] - wanted[1]).item() < 0.05 * wanted[1].item()
    pictures = new_game("dcgan", recipes.gan, torch.float32)
    fake = Mixed(pictures.generator, torch.bfloat16)(torch.randn(5, 3))
    assert fake.dtype == torch.float32
    assert torch.equal(fake, fake.bfloat16().float())  # it ends in a convolution, so all of it is rounded


def test_autocast_keeps_the_constraints_checks_and_projections():
    game = new_game("mlp", recipes.wgan, torch.float32)
    x, z, eps = (value.float() for value in new_batch(game, 0))
    autocast(torch.bfloat16)(game.critic_step)(x, z, eps)
    assert max(weight.abs().max().item() for weight in game.critic.parameters()) == pytest.approx(0.01)
    game = new_game("mlp", recipes.wgan_gp, torch.float32)
    step = autocast(torch.bfloat16)(game.critic_step)
    game.critic.append(nn.Unflatten(0, (-1, 1))).append(nn.BatchNorm1d(1)).append(nn.Flatten(0))
    with pytest.raises(InputError, match="BatchNorm1d, which mixes the rows"):
        autocast(torch.bfloat16)(game.critic_step)(x, z, eps)
    del step


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.float32])
def test_autocast_refuses_other_types_and_changed_steps(dtype):
    with pytest.raises(InputError, match=f"autocast takes torch.bfloat16, got {dtype}"):
        autocast(dtype)
    game = new_game("mlp", recipes.wgan_gp)
    with pytest.raises(InputError, match="put it first in a chain"):
        autocast(torch.bfloat16)(graphed(game.critic_step))


def test_compiled_takes_an_autocast_step():
    game = new_game("mlp", recipes.wgan_gp, torch.float32)
    twin = new_game("mlp", recipes.wgan_gp, torch.float32)
    x, z, eps = (value.float() for value in new_batch(game, 0))
    found = chain(autocast(torch.bfloat16), traced)(game.critic_step)(x, z, eps)
    wanted = autocast(torch.bfloat16)(twin.critic_step)(x, z, eps)
    assert [a.item() for a in found] == pytest.approx([a.item() for a in wanted], rel=1e-2, abs=1e-4)
    both = [[weight.grad for weight in one.critic.parameters()] for one in (game, twin)]
    assert distance(*both) < 2e-2


# Counts and circumstances


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
    before = {key: value.clone() for key, value in game.generator.state_dict().items()}
    state = torch.random.get_rng_state()
    assert flops(game, 4) == 2 * flops(game, 2)
    assert all(torch.equal(value, before[key]) for key, value in game.generator.state_dict().items())
    assert game.step == 0
    assert not game.critic_optimizer.state
    assert torch.equal(state, torch.random.get_rng_state())
    start = nn.Sequential(nn.ConvTranspose2d(3, 1, 28), nn.Tanh())
    with pytest.raises(InputError, match="must be nn.Linear, and is ConvTranspose2d"):
        flops(Game(start, networks.dcgan_critic(width=2), recipes.gan), 4)


def test_small_steps_get_one_thread_and_large_ones_all_cores(monkeypatch):
    monkeypatch.setattr(accelerate, "cores", lambda: 7)
    assert threads_for(new_game("mlp", recipes.wgan_gp), 64) == 1
    large = Game(networks.mlp(64, 784, hidden=(2048,)), networks.mlp(784, 1, hidden=(2048,)), recipes.wgan_gp)
    assert threads_for(large, 256) == 7
    assert threads_for(large, 1) == 1


def test_cores_are_no_more_than_cpus():
    assert 1 <= cores() <= os.cpu_count()


def test_describe_gives_plain_facts():
    facts = describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads()
    assert (facts["cuda"] == []) is not torch.cuda.is_available()
    assert facts["compiler"] is None or os.access(facts["compiler"], os.X_OK)


def test_a_chain_applies_the_first_first_and_none_is_the_identity():
    assert chain()(5) == 5
    assert chain(lambda k: k + 1, lambda k: k * 10)(2) == 30
