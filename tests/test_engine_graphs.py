"""All of the graph machinery but the device: a tape that runs the recorded step again stands for a GPU.

Like a CUDA graph it moves nothing while it records, and replays with the numbers of that moment.
"""

import copy
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD

from wganlab import Draw, Game, accelerate, networks, recipes, sampling, schedules, train
from wganlab.constraints import Constraint
from wganlab.errors import InputError
from wganlab.engine import fast
from wganlab.engine import WARM, Tape, game_of, graphed

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


def new_game(recipe, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return Game(
        networks.mlp(2, 2, hidden=(8,), norm=nn.BatchNorm1d).to(dtype),
        networks.mlp(2, 1, hidden=(8, 8)).to(dtype),
        recipe,
    )


def new_draw(m=16):
    return Draw(sampling.ring(), sampling.normal(2), m)


def memory(game):
    """Every tensor that a step of ``game`` can write, weights' gradients apart."""
    optimizers = (game.critic_optimizer, game.generator_optimizer)
    states = [entries for optimizer in optimizers for entries in optimizer.state.values()]
    values = [value for entries in states for value in entries.values() if torch.is_tensor(value)]
    return [
        *(tensor for player in (game.generator, game.critic) for tensor in player.state_dict().values()),
        *values,
    ]


class Replayed(Tape):
    """Runs the step again, with the optimizers' numbers and the modes of the recording."""

    device = "cpu"
    game: Game
    log: list

    def aside(self, run):
        self.log.append("step")
        assert not any(group.get("capturable") for group in self.groups())
        return run()

    def groups(self):
        return self.game.critic_optimizer.param_groups + self.game.generator_optimizer.param_groups

    @torch.no_grad()
    def record(self, run):
        self.log.append("record")
        before = [tensor.clone() for tensor in memory(self.game)]
        with torch.enable_grad():
            self.outputs = run()
        for tensor, value in zip(memory(self.game), before, strict=True):
            tensor.copy_(value)  # a recording moves nothing
        self.run = run
        self.numbers = [
            {key: value for key, value in group.items() if key != "params"} for group in self.groups()
        ]
        return self.outputs

    def play(self):
        self.log.append("play")
        now = [{key: value for key, value in group.items() if key != "params"} for group in self.groups()]
        for group, numbers in zip(self.groups(), self.numbers, strict=True):
            group.update(numbers)
        results = self.run()
        for group, numbers in zip(self.groups(), now, strict=True):
            group.update(numbers)
        pairs = (
            zip([self.outputs], [results], strict=True)
            if torch.is_tensor(results)
            else zip(self.outputs, results, strict=True)
        )
        for static, value in pairs:
            static.copy_(value)


def taped(game, log):
    """``graphed`` with a tape of this game."""
    tape = type("Tape", (Replayed,), {"game": game, "log": log})
    return lambda step: graphed(step, tape=tape)


def run(game, until, accelerate=lambda step: step, draw=None, each=None):
    """The losses of every turn."""
    losses = []
    for step in train(game, draw or new_draw(), until, accelerate=accelerate):
        losses.append(step[1:])
        if each:
            each(game)
    return losses


def assert_equal(game, twin):
    for one, other in zip(memory(game), memory(twin), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", RECIPES)
def test_graphed_training_equals_plain_training_bit_for_bit(name):
    game, twin, log = new_game(RECIPES[name]), new_game(RECIPES[name]), []
    found, wanted = run(game, 9, taped(game, log)), run(twin, 9)
    assert_equal(game, twin)
    assert all(
        torch.equal(a, b)
        for one, other in zip(found, wanted, strict=True)
        for a, b in zip(one, other, strict=True)
    )
    n = RECIPES[name].n_critic
    assert log.count("record") == 2
    assert log.count("step") == 2 * WARM
    assert log.count("play") == 9 * (n + 1) - 2 * WARM  # every call is one update: none lost, none doubled


def test_the_first_three_calls_are_steps_the_fourth_records_and_replays():
    game, log = new_game(recipes.wgan_gp), []
    step = taped(game, log)(game.critic_step)
    for t in range(5):
        before = [weight.clone() for weight in game.critic.parameters()]
        step(*new_draw()(0, t))
        assert not all(torch.equal(a, b) for a, b in zip(before, game.critic.parameters(), strict=True))
    assert log == ["step"] * 3 + ["record", "play", "play"]


def test_losses_are_new_tensors():
    game = new_game(recipes.wgan_gp)
    losses = run(game, 8, taped(game, []))
    assert len({loss.data_ptr() for row in losses for loss in row}) == 24
    assert len({loss.item() for row in losses for loss in row[:1]}) == 8


def test_the_optimizer_is_left_as_a_checkpoint_wants_it():
    game, twin = new_game(recipes.wgan), new_game(recipes.wgan)
    run(game, 6, taped(game, []))
    run(twin, 6)
    for optimizer, other in (
        (game.critic_optimizer, twin.critic_optimizer),
        (game.generator_optimizer, twin.generator_optimizer),
    ):
        assert optimizer.state_dict()["param_groups"] == other.state_dict()["param_groups"]
        steps = [entries["step"].item() for entries in optimizer.state.values()]
        assert steps == [entries["step"].item() for entries in other.state.values()]
        assert not any(group["capturable"] for group in optimizer.param_groups)


def test_another_shape_and_another_device_take_the_plain_step():
    game, twin, log = new_game(recipes.wgan_gp), new_game(recipes.wgan_gp), []
    step, draw, short = taped(game, log)(game.critic_step), new_draw(), new_draw(m=5)
    for t in range(8):
        batch = (short if t in (4, 6) else draw)(0, t)
        for a, b in zip(step(*batch), twin.critic_step(*batch), strict=True):
            assert torch.equal(a, b)
    assert_equal(game, twin)
    assert log == ["step"] * 3 + ["record", "play", "play", "play"]  # 8 calls, two of them plain
    plain = graphed(game.critic_step)  # the CUDA tape
    assert torch.equal(plain(*draw(0, 9))[0], twin.critic_step(*draw(0, 9))[0])


def test_a_state_loaded_after_the_recording_is_not_lost():
    """``Optimizer.load_state_dict`` makes new tensors; a recording still writes to the old ones."""
    source = new_game(recipes.wgan_gp, seed=1)
    run(source, 3)
    game, twin, log = new_game(recipes.wgan_gp), new_game(recipes.wgan_gp), []
    for one in (game, twin):
        steps = train(one, new_draw(), 20, accelerate=taped(game, log) if one is game else lambda step: step)
        for _ in range(6):
            next(steps)
        one.load_state_dict(copy.deepcopy(source.state_dict()))
        for _ in range(7):
            next(steps)
    assert_equal(game, twin)
    assert log.count("record") == 4


CHANGES = {
    "eval": lambda game: game.generator.eval(),
    "betas": lambda game: game.critic_optimizer.param_groups[0].update(betas=(0.5, 0.9)),
    "weights": lambda game: setattr(game.critic[0].weight, "data", game.critic[0].weight.data * 2),
    "recipe": lambda game: setattr(game, "recipe", replace(game.recipe, constraint=Constraint())),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_recording_has_fixed_is_looked_at_on_each_call(change):
    game, twin, log = new_game(recipes.wgan_gp), new_game(recipes.wgan_gp), []
    for one, step in ((game, taped(game, log)(game.critic_step)), (twin, twin.critic_step)):
        for t in range(12):
            if t == 6:
                change(one)
            step(*new_draw()(0, t))
    assert_equal(game, twin)
    assert log == (["step"] * 3 + ["record"] + ["play"] * 3) * 2


def test_a_rate_that_changes_is_recorded_once_more_and_then_read():
    """float32 rounds the rate by 6e-8 of itself, so weights agree to 1e-6 and not bit for bit."""
    game, twin, log = (new_game(recipes.wgan_gp_resnet, dtype=torch.float64) for _ in range(2)), None, []
    game, twin = game
    decay = partial(schedules.linear_decay, start=0, until=20)
    draw = new_draw()
    doubled = lambda *key: tuple(value.double() for value in draw(*key))  # noqa: E731
    doubled.latent = lambda step: draw.latent(step).double()
    for one, decorator in ((game, taped(game, log)), (twin, lambda step: step)):
        decay(one)
        run(one, 12, decorator, draw=doubled, each=decay)
        assert one.critic_optimizer.param_groups[0]["lr"] == pytest.approx(2e-4 * 8 / 20)
    for weight, other in zip(game.critic.parameters(), twin.critic.parameters(), strict=True):
        assert torch.allclose(weight, other, rtol=0, atol=1e-8)  # the weights moved by 60 * 2e-4
    assert log.count("record") == 4  # with the rate as a constant, then as a number on the device: two steps
    assert isinstance(game.critic_optimizer.param_groups[0]["lr"], float)


def test_it_stands_last_in_a_chain():
    game, twin, log = new_game(recipes.wgan_gp), new_game(recipes.wgan_gp), []
    both = accelerate.chain(accelerate.autocast(torch.bfloat16), taped(game, log))
    run(game, 5, both)
    run(twin, 5, accelerate.autocast(torch.bfloat16))
    assert_equal(game, twin)
    assert log.count("record") == 2


def test_it_takes_the_step_that_fast_has_written_out():
    game, twin, log = new_game(recipes.wgan_gp), new_game(recipes.wgan_gp), []
    steps = accelerate.chain(fast, taped(game, log))(game.critic_step), fast(twin.critic_step)
    for t in range(6):
        for one, other in zip(*(step(*new_draw()(0, t)) for step in steps), strict=True):
            assert torch.equal(one, other)
    assert_equal(game, twin)
    assert log == ["step"] * 3 + ["record"] + ["play"] * 3


def test_a_step_that_cannot_be_recorded_is_named():
    class Refusing(Tape):
        device = "cpu"

        def aside(self, run):
            return run()

        def record(self, run):
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    game = new_game(recipes.wgan_gp)
    with pytest.raises(InputError, match="could not record critic_step: operation not permitted.*item"):
        run(game, 2, lambda step: graphed(step, tape=Refusing))
    assert not any(group["capturable"] for group in game.critic_optimizer.param_groups)
    with pytest.raises(InputError, match="takes game.critic_step or game.generator_step"):
        graphed(lambda x: x)


def test_a_wrapped_step_still_names_its_game():
    game = new_game(recipes.wgan_gp)
    assert game_of(graphed(game.critic_step)) is game
    assert graphed(game.generator_step).__name__ == "generator_step"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", RECIPES)
def test_on_a_gpu_graphs_equal_the_plain_steps_bit_for_bit(name):
    games = [new_game(RECIPES[name]), new_game(RECIPES[name])]
    draw = Draw(sampling.ring(), sampling.normal(2), 16, device="cuda")
    for one, decorator in zip(games, (graphed, lambda step: step), strict=True):
        one = Game(one.generator.cuda(), one.critic.cuda(), RECIPES[name])
        run(one, 20, decorator, draw=draw)
    for player in ("generator", "critic"):
        pairs = zip(
            getattr(games[0], player).parameters(), getattr(games[1], player).parameters(), strict=True
        )
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu_an_unrecordable_step_is_named():
    class Asking(Constraint):
        def project(self, critic):
            next(critic.parameters()).sum().item()

    game = new_game(replace(recipes.gan, constraint=Asking()))
    game = Game(game.generator.cuda(), game.critic.cuda(), game.recipe)
    draw = Draw(sampling.ring(), sampling.normal(2), 16, device="cuda")
    with pytest.raises(InputError, match="could not record critic_step"):
        run(game, 6, graphed, draw=draw)
