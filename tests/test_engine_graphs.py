"""All of the graph machinery but the device: a graph that runs the recorded step again stands for a GPU's.

Like a CUDA graph it moves nothing while it records, and replays with the numbers of that moment.
"""

import copy
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from games import equal, new_draw
from torch import nn
from torch.optim import SGD

from wganlab import Game, networks, recipes, train
from wganlab.constraints import Constraint
from wganlab.engine import autocast, chain, fast, graphed
from wganlab.engine.graphs import WARMUP, CudaGraph
from wganlab.errors import InputError
from wganlab.training import fit, linear_decay

RECIPES = {
    "gan": recipes.gan,
    "wgan": recipes.wgan,
    "wgan_gp": recipes.wgan_gp,
    "digits": recipes.wgan_gp_digits,
    "sgd": recipes.Recipe(recipes.wgan.objective, Constraint(), partial(SGD, lr=0.01), n_critic=2),
}


@pytest.fixture(autouse=True)
def _capturable_on_a_cpu(monkeypatch):
    """RMSprop asks whether the device can capture; here it can."""
    module = sys.modules["torch.optim.rmsprop"]  # torch.optim hides its name
    monkeypatch.setattr(module, "_get_capturable_supported_devices", lambda: ["cpu"])


def new_game(recipe=recipes.wgan_gp, seed=0):
    torch.manual_seed(seed)
    generator = networks.mlp(2, 2, hidden=(8,), norm=nn.BatchNorm1d)
    return Game(generator, networks.mlp(2, 1, hidden=(8, 8)), recipe)


def optimizers_of(game):
    """The optimizers; a lone critic has one."""
    return [each for each in (game.critic_optimizer, game.generator_optimizer) if each]


def memory(game):
    """Every tensor that a step of ``game`` can write, weights' gradients apart."""
    states = [entries for each in optimizers_of(game) for entries in each.state.values()]
    values = [value for entries in states for value in entries.values() if torch.is_tensor(value)]
    return [*game.generator.state_dict().values(), *game.critic.state_dict().values(), *values]


class Replayed(CudaGraph):
    """Runs the step again, with the optimizers' numbers and the modes of the recording."""

    device = "cpu"

    def __init__(self):
        self.groups = [group for each in optimizers_of(self.game) for group in each.param_groups]

    def on_side_stream(self, run):
        self.log.append("step")
        assert not any(group.get("capturable") for group in self.groups)
        return run()

    def numbers(self):
        return [{key: value for key, value in group.items() if key != "params"} for group in self.groups]

    def change(self, numbers):
        for group, values in zip(self.groups, numbers, strict=True):
            group.update(values)

    def record(self, run):
        self.log.append("record")
        before = [tensor.clone() for tensor in memory(self.game)]
        self.run, self.outputs, self.recorded = run, run(), self.numbers()
        with torch.no_grad():
            for tensor, value in zip(memory(self.game), before, strict=True):
                tensor.copy_(value)  # a recording moves nothing
        return self.outputs

    def play(self):
        self.log.append("play")
        now = self.numbers()
        self.change(self.recorded)
        results = self.run()
        self.change(now)
        alone = torch.is_tensor(results)
        for static, value in zip(
            *(([one] if alone else one) for one in (self.outputs, results)), strict=True
        ):
            static.copy_(value)


def recorded(log):
    """``graphed`` with that graph, noting in ``log`` what it does."""
    return lambda game: graphed(game, graph=type("Graph", (Replayed,), {"game": game, "log": log}))


def run(game, until, accelerate=lambda game: game):
    """The losses of every turn."""
    losses = []
    for step in train(game, new_draw(m=16), until, accelerate=accelerate):
        losses += step[1:]
    return losses


def assert_equal(game, twin):
    assert equal(memory(game), memory(twin))


@pytest.mark.parametrize("name", RECIPES)
def test_graphed_training_equals_plain_training_bit_for_bit(name):
    game, twin, log = new_game(RECIPES[name]), new_game(RECIPES[name]), []
    found, wanted = run(game, 9, recorded(log)), run(twin, 9)
    assert_equal(game, twin)
    assert equal(found, wanted)
    assert len({loss.data_ptr() for loss in found}) == len(found)  # new tensors, which no replay overwrites
    assert log.count("record") == 2
    assert log.count("step") == 2 * WARMUP
    calls = 9 * (RECIPES[name].n_critic + 1)
    assert log.count("play") == calls - 2 * WARMUP  # every call is one update: none lost, none doubled
    for optimizer, other in zip(
        optimizers_of(game), optimizers_of(twin), strict=True
    ):  # as a checkpoint wants it
        assert optimizer.state_dict()["param_groups"] == other.state_dict()["param_groups"]


def test_a_lone_critic_too():
    critics, log, losses = [new_game().critic for _ in range(2)], [], []
    for critic, accelerate in zip(critics, (recorded(log), chain()), strict=True):
        steps = fit(critic, new_draw(m=16), recipes.wgan_gp, 8, accelerate=accelerate)
        losses.append([loss for step in steps for loss in step[1:3]])
    assert equal(*losses)
    assert log == ["step"] * 3 + ["record"] + ["play"] * 5


def test_the_first_three_calls_are_steps_the_fourth_records_and_replays():
    game, log = new_game(), []
    play = recorded(log)(game)
    for t in range(5):
        before = [weight.clone() for weight in game.critic.parameters()]
        play.critic_step(*new_draw(m=16)(0, t))
        assert not equal(before, game.critic.parameters())
    assert log == ["step"] * 3 + ["record", "play", "play"]


def test_another_shape_and_another_device_take_the_plain_step():
    game, twin, log = new_game(), new_game(), []
    play, draw, short = recorded(log)(game), new_draw(m=16), new_draw(m=5)
    for t in range(8):
        batch = (short if t in (4, 6) else draw)(0, t)
        assert equal(play.critic_step(*batch), twin.critic_step(*batch))
    assert_equal(game, twin)
    assert log == ["step"] * 3 + ["record", "play", "play", "play"]  # 8 calls, two of them plain
    on_cuda = graphed(game)  # the true graph
    assert equal(on_cuda.critic_step(*draw(0, 9)), twin.critic_step(*draw(0, 9)))


def test_a_state_loaded_after_the_recording_is_not_lost():
    """``Optimizer.load_state_dict`` makes new tensors; a recording still writes to the old ones."""
    source, log = new_game(seed=1), []
    run(source, 3)
    games = new_game(), new_game()
    for game, accelerate in zip(games, (recorded(log), chain()), strict=True):
        steps = train(game, new_draw(m=16), 20, accelerate=accelerate)
        for _ in range(6):
            next(steps)
        game.load_state_dict(copy.deepcopy(source.state_dict()))
        for _ in range(7):
            next(steps)
    assert_equal(*games)
    assert log.count("record") == 4


CHANGES = {
    "eval": lambda game: game.generator.eval(),
    "betas": lambda game: game.critic_optimizer.param_groups[0].update(betas=(0.5, 0.9)),
    "weights": lambda game: setattr(game.critic[0].weight, "data", game.critic[0].weight.data * 2),
    "recipe": lambda game: setattr(game, "recipe", replace(game.recipe, constraint=Constraint())),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_recording_has_fixed_is_looked_at_on_each_call(change):
    game, twin, log = new_game(), new_game(), []
    for one, play in ((game, recorded(log)(game)), (twin, twin)):
        for t in range(12):
            if t == 6:
                change(one)
            play.critic_step(*new_draw(m=16)(0, t))
    assert_equal(game, twin)
    assert log == (["step"] * 3 + ["record"] + ["play"] * 3) * 2


def test_a_rate_that_changes_is_recorded_once_more_and_then_read():
    """float32 rounds the rate by 6e-8 of itself, so weights agree to 1e-6 and not bit for bit."""
    games, log = [new_game(recipes.wgan_gp_resnet) for _ in range(2)], []
    decay = partial(linear_decay, start=0, until=20)
    for game, accelerate in zip(games, (recorded(log), chain()), strict=True):
        game.generator.double(), game.critic.double()
        decay(game)
        play, draw = accelerate(game), new_draw(m=16)
        for t in range(60):
            game.step = t // 5
            decay(game)
            play.critic_step(*(value.double() for value in draw(0, t)))
        assert game.critic_optimizer.param_groups[0]["lr"] == pytest.approx(2e-4 * 9 / 20)
    for weight, other in zip(*(game.critic.parameters() for game in games), strict=True):
        assert torch.allclose(weight, other, rtol=0, atol=1e-8)  # the weights moved by up to 60 * 2e-4
    assert log.count("record") == 2  # with the rate as a constant, then as a number on the device
    assert isinstance(games[0].critic_optimizer.param_groups[0]["lr"], float)


@pytest.mark.parametrize("inner", [autocast(torch.bfloat16), fast], ids=("autocast", "fast"))
def test_it_stands_last_in_a_chain(inner):
    game, twin, log = new_game(), new_game(), []
    assert equal(run(game, 5, chain(inner, recorded(log))), run(twin, 5, inner))
    assert_equal(game, twin)
    assert log.count("record") == 2


def test_a_step_that_cannot_be_recorded_is_named():
    class Refusing(CudaGraph):
        device = "cpu"

        def on_side_stream(self, run):
            return run()

        def record(self, run):
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    game = new_game()
    with pytest.raises(InputError, match="could not record critic_step: operation not permitted.*item"):
        run(game, 2, partial(graphed, graph=Refusing))
    assert not any(group["capturable"] for group in game.critic_optimizer.param_groups)


def on_cuda(game):
    """The same game on the GPU, and a draw there."""
    draw = new_draw(m=16, device="cuda")
    return Game(game.generator.cuda(), game.critic.cuda(), game.recipe), draw


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", RECIPES)
def test_on_a_gpu_graphs_equal_the_plain_steps_bit_for_bit(name):
    ends = []
    for accelerate in (graphed, chain()):
        game, draw = on_cuda(new_game(RECIPES[name]))
        losses = [loss for step in train(game, draw, 20, accelerate=accelerate) for loss in step[1:]]
        ends.append([*losses, *memory(game)])
    assert equal(*ends)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu_an_unrecordable_step_is_named():
    class Asking(Constraint):
        def project(self, critic):
            next(critic.parameters()).sum().item()

    game, draw = on_cuda(new_game(replace(recipes.gan, constraint=Asking())))
    with pytest.raises(InputError, match="could not record critic_step"):
        list(train(game, draw, 6, accelerate=graphed))
