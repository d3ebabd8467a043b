"""Nothing is lost by an interruption, nothing wrong is loaded, and nothing in a file is run."""

import hashlib
import io
import os
import pathlib
import random
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

from wganlab import checkpoints, networks, recipes, sampling
from wganlab.errors import CheckpointError, DivergenceError
from wganlab.training import Average, Game, train

DRAW = sampling.Draw(sampling.ring(), sampling.normal(2), 16)
NAMES = ["gan", "wgan", "wgan_gp", "wgan_gp_digits"]


def new_game(recipe="wgan_gp", seed=0, hidden=(8,)):
    torch.manual_seed(seed)
    generator, critic = networks.mlp(2, 2, hidden=hidden), networks.mlp(2, 1, hidden=hidden)
    game = Game(generator, critic, getattr(recipes, recipe))
    return game, Average(generator)


def play(game, average, until):
    for _ in train(game, DRAW, until):
        average.update(game.generator)
    return game, average


def weights_of(game, average):
    return [w.clone() for p in (game.generator, game.critic, average.player) for w in p.state_dict().values()]


@pytest.fixture
def saved(tmp_path):
    """A checkpoint after three updates, and the game it was made from."""
    game, average = play(*new_game(), until=3)
    path = tmp_path / "checkpoint.wgan"
    checkpoints.save(path, game, average=average, extra={"seed": 0})
    return path, game, average


def rewrite(path, change):
    """Apply ``change`` to the state in a checkpoint and give it a matching digest."""
    state = checkpoints.read(path)
    change(state)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    path.write_bytes(checkpoints.MAGIC + digest + b"\n" + buffer.getvalue())


def swap(items, i, j):
    items[i], items[j] = items[j], items[i]


@pytest.mark.parametrize("recipe", NAMES)
def test_break_save_load_continue_equals_the_uninterrupted_run(recipe, tmp_path):
    whole = play(*new_game(recipe), until=9)
    broken = play(*new_game(recipe), until=4)
    checkpoints.save(tmp_path / "c", broken[0], average=broken[1])
    game, average = new_game(recipe, seed=5)
    checkpoints.load(tmp_path / "c", game, average=average)
    assert game.step == 4
    play(game, average, until=9)
    assert all(map(torch.equal, weights_of(game, average), weights_of(*whole)))


ITEMS = [
    lambda s: s["game"].update(step=1),
    lambda s: s["game"]["generator"]["0.weight"].add_(1e-6),
    lambda s: s["game"]["critic"]["0.bias"].add_(1e-6),
    lambda s: s["game"]["critic_optimizer"]["state"][0]["exp_avg_sq"].mul_(2),
    lambda s: s["game"]["generator_optimizer"]["state"][1]["exp_avg_sq"].mul_(2),
    lambda s: s["average"]["player"]["0.weight"].add_(1e-6),
    lambda s: s["average"].update(updates=0),
]


@pytest.mark.parametrize("change", ITEMS)
def test_every_item_of_the_state_matters(saved, change):
    path, game, average = saved
    rewrite(path, change)
    other, other_average = new_game(seed=5)
    checkpoints.load(path, other, average=other_average)
    play(game, average, until=8)
    play(other, other_average, until=8)
    assert not all(map(torch.equal, weights_of(other, other_average), weights_of(game, average)))


def test_extra_comes_back_and_the_file_holds_only_plain_types(saved):
    path, *_ = saved
    game, average = new_game(seed=5)
    assert checkpoints.load(path, game, average=average) == {"seed": 0}
    payload = path.read_bytes()[checkpoints.HEADER :]
    torch.load(io.BytesIO(payload), weights_only=True)


@pytest.mark.parametrize("recipe", NAMES)
def test_a_game_that_has_not_begun_can_be_saved_and_loaded(recipe, tmp_path):
    game, average = new_game(recipe)
    checkpoints.save(tmp_path / "c", game, average=average)
    other = new_game(recipe, seed=5)
    checkpoints.load(tmp_path / "c", other[0], average=other[1])
    assert all(map(torch.equal, weights_of(*other), weights_of(game, average)))


def test_every_flipped_bit_is_noticed(saved):
    path, *_ = saved
    content = path.read_bytes()
    rng = random.Random(0)
    places = [0, len(checkpoints.MAGIC), checkpoints.HEADER - 1, checkpoints.HEADER, len(content) - 1]
    for place in places + [rng.randrange(len(content)) for _ in range(95)]:
        broken = bytearray(content)
        broken[place] ^= 1 << rng.randrange(8)
        path.write_bytes(broken)
        if place == checkpoints.HEADER - 1:  # the newline after the digest carries nothing
            continue
        with pytest.raises(CheckpointError, match="damaged|not a wganlab checkpoint"):
            checkpoints.load(path, *new_game()[:1], average=new_game()[1])


@pytest.mark.parametrize("length", [0, 1, 50, 86, 1000])
def test_a_truncated_checkpoint_is_refused(saved, length):
    path, *_ = saved
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="damaged|not a wganlab checkpoint"):
        checkpoints.read(path)


def test_foreign_files_are_refused_by_name(tmp_path):
    page = tmp_path / "page"
    page.write_text("<!doctype html>" * 20)
    with pytest.raises(CheckpointError, match="not a wganlab checkpoint: it starts with b'<!doctype"):
        checkpoints.read(page)
    with pytest.raises(CheckpointError, match="is not a regular file"):
        checkpoints.read(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        checkpoints.read(tmp_path / "none")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(CheckpointError, match="is not a regular file"):
            checkpoints.read(tmp_path / "pipe")


class Gadget:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("force", ["0", "1"])  # 1 asks PyTorch to run such code by default
def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch, force):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", force)
    canary = tmp_path / "canary"
    buffer = io.BytesIO()
    torch.save({"extra": Gadget(canary)}, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    path = tmp_path / "evil"
    path.write_bytes(checkpoints.MAGIC + digest + b"\n" + buffer.getvalue())
    with pytest.raises(CheckpointError, match="does not hold plain tensors"):
        checkpoints.read(path)
    assert not canary.exists()


def test_another_game_is_refused_and_left_as_it_was(saved):
    path, *_ = saved
    game, average = new_game("wgan", seed=5)
    before = weights_of(game, average)
    with pytest.raises(CheckpointError, match="another recipe"):
        checkpoints.load(path, game, average=average)
    wide, wide_average = new_game(hidden=(9,))
    with pytest.raises(CheckpointError, match=r"generator.0.weight' is \(8, 2\).*\(9, 2\)"):
        checkpoints.load(path, wide, average=wide_average)
    deep, deep_average = new_game(hidden=(8, 8))
    with pytest.raises(CheckpointError, match="another architecture: 'game.generator"):
        checkpoints.load(path, deep, average=deep_average)
    with pytest.raises(CheckpointError, match="has an average"):
        checkpoints.load(path, new_game()[0])
    assert all(map(torch.equal, weights_of(game, average), before))
    assert game.step == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("game"), "no entry 'game'"),
        (lambda s: s["game"].pop("step"), "no entry 'game.step'"),
        (lambda s: s["game"]["critic"].pop("0.weight"), "'game.critic.0.weight' is missing in the file"),
        (lambda s: s["game"]["critic"].update(odd=torch.ones(1)), "'game.critic.odd' is not in this player"),
        (lambda s: s["game"]["critic"].update({"0.bias": torch.ones(8).double()}), "torch.float64"),
        (lambda s: s["game"]["critic"]["0.bias"].fill_(float("nan")), "NaN or infinity in 'game.critic"),
        (lambda s: s["game"]["critic_optimizer"].pop("param_groups"), "critic_optimizer.param_groups"),
        (
            lambda s: s["game"]["critic_optimizer"]["param_groups"][0].pop("eps"),
            "critic_optimizer.param_groups",
        ),
        (lambda s: s["game"]["critic_optimizer"]["state"].clear(), "critic_optimizer.0.exp_avg' is missing"),
        (
            lambda s: s["game"]["generator_optimizer"]["state"].pop(2),
            "generator_optimizer.2.exp_avg' is missing",
        ),
        (lambda s: s["game"]["critic_optimizer"]["state"][1].pop("exp_avg_sq"), "1.exp_avg_sq' is missing"),
        (
            lambda s: swap(s["game"]["critic_optimizer"]["state"], 0, 2),
            r"critic_optimizer.0.exp_avg' is \(1, 8\)",
        ),
        (
            lambda s: s["game"]["critic_optimizer"]["state"][0].update(exp_avg=torch.ones(3, 5)),
            r"critic_optimizer.0.exp_avg' is \(3, 5\).*\(8, 2\)",
        ),
        (
            lambda s: s["game"]["generator_optimizer"]["state"][0]["exp_avg"].fill_(float("inf")),
            "generator_optimizer.*exp_avg",
        ),
    ],
)
def test_a_checkpoint_with_wrong_content_is_refused_by_key(saved, change, says):
    path, *_ = saved
    rewrite(path, change)
    game, average = new_game(seed=5)
    before = weights_of(game, average)
    with pytest.raises(CheckpointError, match=says):
        checkpoints.load(path, game, average=average)
    assert all(map(torch.equal, weights_of(game, average), before))


def test_weights_that_are_not_finite_are_not_saved_over_a_good_checkpoint(saved):
    path, game, average = saved
    good = path.read_bytes()
    next(game.critic.parameters()).data[0, 0] = float("nan")
    with pytest.raises(DivergenceError, match=r"game.critic.0.weight' has NaN or infinity at step 3"):
        checkpoints.save(path, game, average=average)
    assert path.read_bytes() == good


def test_a_write_that_fails_leaves_the_old_checkpoint_and_no_litter(saved, monkeypatch):
    path, game, average = saved
    good = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        checkpoints.save(path, game, average=average)
    assert path.read_bytes() == good
    assert list(path.parent.iterdir()) == [path]


def test_another_number_of_threads_is_warned_of(saved):
    path, game, average = saved
    rewrite(path, lambda s: s.update(threads=s["threads"] + 1))
    with pytest.warns(UserWarning, match="threads"):
        checkpoints.load(path, game, average=average)


def test_batchnorm_statistics_survive(tmp_path):
    def build(seed):
        torch.manual_seed(seed)
        generator = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        return Game(generator, networks.mlp(2, 1, hidden=(8,)), recipes.wgan_gp)

    game = build(0)
    list(train(game, DRAW, 3))
    checkpoints.save(tmp_path / "c", game)
    other = build(1)
    checkpoints.load(tmp_path / "c", other)
    assert torch.equal(game.generator[1].running_var, other.generator[1].running_var)
    assert other.generator[1].num_batches_tracked == 3 * 6


KILLED = """
import sys, torch
from wganlab import checkpoints, networks, recipes, sampling, Game
game = Game(networks.mlp(2, 2, hidden=(256,)), networks.mlp(2, 1, hidden=(256,)), recipes.wgan_gp)
print("ready", flush=True)
while True:
    game.step += 1
    checkpoints.save(sys.argv[1], game)
"""


@pytest.mark.slow
def test_kill_9_during_saving_never_leaves_an_unreadable_checkpoint(tmp_path):
    path = tmp_path / "c"
    rng = random.Random(0)
    steps = []
    with warnings.catch_warnings():
        for _ in range(5):
            process = subprocess.Popen(
                [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
            )
            process.stdout.readline()
            try:
                process.wait(timeout=0.3 + 0.2 * rng.random())
            except subprocess.TimeoutExpired:
                process.kill()
            process.wait()
            process.stdout.close()
            steps.append(checkpoints.read(path)["game"]["step"])
    assert min(steps) >= 1
