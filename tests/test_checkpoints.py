"""Nothing is lost by an interruption, nothing wrong is loaded, and nothing in a file is run."""

import hashlib
import io
import os
import pathlib
import pickle
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy
import pytest
import torch
from torch import nn

from wganlab import _files, checkpoints, networks, recipes, sampling
from wganlab._files import lock_folder
from wganlab.errors import CheckpointError, DivergenceError, InputError
from wganlab.training import Average, Game, train

DRAW = sampling.Draw(sampling.ring(), sampling.normal(2), 16)
RECIPES = [name for name, value in vars(recipes).items() if isinstance(value, recipes.Recipe)]
assert len(RECIPES) == 9


def new_game(recipe="wgan_gp", seed=0, hidden=(8,)):
    torch.manual_seed(seed)
    generator, critic = networks.mlp(2, 2, hidden=hidden), networks.mlp(2, 1, hidden=hidden)
    if recipe == "sn_gan":  # its constraint is in the critic's layers
        critic = networks.spectral(critic)
    game = Game(generator, critic, getattr(recipes, recipe))
    return game, Average(generator)


def play(game, average, until):
    for _ in train(game, DRAW, until):
        average.update(game.generator)
    return game, average


def weights_of(game, average):
    return [w.clone() for p in (game.generator, game.critic, average.player) for w in p.state_dict().values()]


def equal(one, other):
    """Whether two lists of tensors, or two pairs of game and average, are the same to the last bit."""
    one, other = (weights_of(*which) if isinstance(which, tuple) else which for which in (one, other))
    return all(map(torch.equal, one, other))


@pytest.fixture
def saved(tmp_path):
    """A checkpoint after three updates, and the game it was made from."""
    game, average = play(*new_game(), until=3)
    path = tmp_path / "checkpoint.wgan"
    checkpoints.save(path, game, average=average, extra={"seed": 0})
    return path, game, average


def write(path, state):
    """Write any state as a checkpoint, with a matching digest."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    path.write_bytes(checkpoints.MAGIC + digest + b"\n" + buffer.getvalue())


def rewrite(path, change):
    """Apply ``change`` to the state in a checkpoint."""
    state = checkpoints.read(path)
    change(state)
    write(path, state)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("broken", [0, 4])
def test_break_save_load_continue_equals_the_uninterrupted_run(recipe, broken, tmp_path):
    whole = play(*new_game(recipe), until=9)
    game, average = play(*new_game(recipe), until=broken)
    checkpoints.save(tmp_path / "c", game, average=average)
    other = play(*new_game(recipe, seed=5), until=2)  # has begun, which must leave no trace
    checkpoints.load(tmp_path / "c", other[0], average=other[1])
    assert other[0].step == broken
    assert equal(play(*other, until=9), whole)


def test_one_state_serves_two_games_that_then_go_their_own_ways(saved):
    path, game, average = saved
    state, twins = checkpoints.read(path), [new_game(seed=seed) for seed in (5, 6)]
    path.unlink()  # it is not read again
    for twin in twins:
        checkpoints.load(path, twin[0], average=twin[1], state=state)
        play(*twin, until=6)
    assert equal(*twins)
    assert equal(twins[0], play(game, average, until=6))


def test_what_averages_gradients_is_not_copied(saved):
    class Ranks:  # such as connections to other processes
        def __deepcopy__(self, memo):
            raise AssertionError

        def mean(self, gradients):
            return gradients

    path, game, average = saved
    other = Game(*(player for player in (game.generator, game.critic)), recipes.wgan_gp, mean=Ranks().mean)
    checkpoints.load(path, other, average=average)
    assert other.step == 3


def with_norm(seed):
    """Players with every kind of state: running statistics, both moments of Adam, a rate that has fallen."""
    torch.manual_seed(seed)
    generator = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    critic = networks.spectral(networks.mlp(2, 1, hidden=(8,)))
    game = Game(generator, critic, recipes.gan)  # Adam's first beta is 0.5; with 0 exp_avg would not matter
    return game, Average(generator)


def play_with_falling_rates(game, average, until):
    """Rates as a schedule sets them from time to time: only at step 3, and a resumed run begins later."""
    for step in train(game, DRAW, until):
        average.update(game.generator)
        for optimizer in (game.generator_optimizer, game.critic_optimizer) if step.index == 3 else ():
            optimizer.param_groups[0]["lr"] *= 0.5
    game.generator.eval()  # so that the running statistics are seen, too
    average.player.eval()
    with torch.no_grad():
        seen = [game.generator(DRAW(0, 0)[1]), average.player(DRAW(0, 0)[1])]
    game.generator.train()
    average.player.train()
    return [*weights_of(game, average), *seen]


def forget(key, *names):
    """Set what ``names`` are in the state's part at ``key`` to what they are in a new game."""

    def change(state):
        fresh = checkpoints.snapshot(*with_norm(seed=5))
        saved = state
        for name in key.split("."):
            saved, fresh = saved[name], fresh[name]
        for name in names:
            if "state" in saved and name != "lr":  # a new optimizer begins with zeros
                for moments in saved["state"].values():
                    moments[name].zero_()
            elif name == "lr":
                saved["param_groups"][0]["lr"] = fresh["param_groups"][0]["lr"]
            else:
                saved[name] = fresh[name]

    return change


STATISTICS = ["1.running_mean", "1.running_var"]
PLAYER = ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"]
ITEMS = {
    "step": lambda state: state["game"].update(step=1),
    "generator": forget("game.generator", *PLAYER[:1]),
    "generator's last bias": forget("game.generator", *PLAYER[-1:]),
    "critic": forget("game.critic", "0.parametrizations.weight.original"),
    "critic's power iteration": forget("game.critic", "0.parametrizations.weight.0._v"),
    **{
        f"{player}_optimizer's {name}": forget(f"game.{player}_optimizer", name)
        for player in ("generator", "critic")
        for name in ("exp_avg", "exp_avg_sq", "step", "lr")
    },
    "average": forget("average.player", *PLAYER[:1]),
    "average's updates": forget("average", "updates"),
    "nothing": lambda state: None,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A checkpoint after four updates, and the weights and samples of the uninterrupted run after nine."""
    path, broken = tmp_path_factory.mktemp("runs") / "c", with_norm(0)
    seen = play_with_falling_rates(*broken, until=4)
    checkpoints.save(path, broken[0], average=broken[1])
    return path.read_bytes(), {4: seen, 9: play_with_falling_rates(*broken, until=9)}


def resumed(path, content, change, until):
    """The weights and samples of the run in ``content``, changed and gone on with."""
    path.write_bytes(content)
    rewrite(path, change)
    game, average = with_norm(seed=7)
    checkpoints.load(path, game, average=average)
    return play_with_falling_rates(game, average, until)


@pytest.mark.parametrize("item", ITEMS)
def test_a_resumed_run_is_another_one_if_any_item_of_the_state_is_left_out(item, tmp_path, runs):
    content, expected = runs
    assert equal(resumed(tmp_path / "c", content, ITEMS[item], 9), expected[9]) == (item == "nothing")


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("player", ["game.generator", "average.player"])
def test_running_statistics_left_out_are_seen_in_evaluation(player, name, tmp_path, runs):
    """A few more turns would overwrite them, so they are looked at as they were loaded."""
    content, expected = runs
    assert equal(resumed(tmp_path / "c", content, lambda state: None, 4), expected[4])
    assert not equal(resumed(tmp_path / "c", content, forget(player, name), 4), expected[4])


def branches(state, key=()):
    """Every key of nested dicts and lists, with what holds it."""
    for k, value in list(state.items() if isinstance(state, dict) else enumerate(state)):
        yield (*key, k)
        if isinstance(value, dict | list):
            yield from branches(value, (*key, k))


@pytest.mark.slow
def test_a_checkpoint_without_any_one_of_its_entries_is_refused(tmp_path):
    path, (game, average) = tmp_path / "c", with_norm(0)
    play_with_falling_rates(game, average, until=1)
    checkpoints.save(path, game, average=average)
    content, seen = path.read_bytes(), set()
    for key in branches(checkpoints.read(path)):

        def omit(state, key=key):
            for k in key[:-1]:
                state = state[k]
            del state[key[-1]]

        rewrite(path, omit)
        other, other_average = with_norm(seed=5)
        before = weights_of(other, other_average)
        if key == ("device",):  # the first checkpoints had none
            checkpoints.load(path, other, average=other_average)
        else:
            with pytest.raises(
                CheckpointError, match=re.escape(next(k for k in key[::-1] if isinstance(k, str)))
            ):
                checkpoints.load(path, other, average=other_average)
            assert equal(weights_of(other, other_average), before)
        seen.add(key[:2])
        path.write_bytes(content)
    assert len(seen) == 5 + 5 + 2 + 1, seen


def test_every_flipped_bit_and_every_cut_is_noticed(saved):
    path, *_ = saved
    content, rng = path.read_bytes(), random.Random(0)
    places = [0, len(checkpoints.MAGIC), checkpoints.HEADER - 1, checkpoints.HEADER, len(content) - 1]
    broken = [bytearray(content) for _ in range(100)]
    for damaged, place in zip(broken, places + [rng.randrange(len(content)) for _ in range(95)], strict=True):
        damaged[place] ^= 1 << rng.randrange(8)
    for damaged in [*broken, *(content[:length] for length in (0, 1, 50, 86, 1000, len(content) - 1))]:
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged|not a wganlab checkpoint"):
            checkpoints.read(path)


FOREIGN = {
    "empty": (lambda path: path.write_bytes(b""), "not a wganlab checkpoint of format 1: it starts with b''"),
    "text": (
        lambda path: path.write_text("hello"),
        "not a wganlab checkpoint of format 1: it starts with b'hello'",
    ),
    "HTML": (lambda path: path.write_text("<!doctype html>" * 20), "it starts with b'<!doctype html><!doc"),
    "a folder": (pathlib.Path.mkdir, "is not a regular file"),
    "no file": (lambda path: None, "does not exist"),
    "a pipe": (lambda path: os.mkfifo(path), "is not a regular file"),  # nobody writes: to open it would hang
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "does not exist"),
    "a link to itself": (lambda path: path.symlink_to(path), "does not exist"),
    "a newer format": (
        lambda path: path.write_bytes(b"wganlab-checkpoint 2 " + b"0" * 64 + b"\n" + b"x" * 99),
        "it starts with b'wganlab-checkpoint 2'. A newer format needs a newer wganlab",
    ),
}


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices in the file system")
@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_files_are_refused_by_name(tmp_path, what):
    make, says = FOREIGN[what]
    make(tmp_path / "c")
    with pytest.raises(CheckpointError, match=re.escape(says)):
        checkpoints.read(tmp_path / "c")


def test_paths_that_no_system_has_are_refused(saved):
    path, game, _ = saved
    for bad in ("", "a\0b", "x" * 5000):
        with pytest.raises(CheckpointError):
            checkpoints.read(bad)
        with pytest.raises(CheckpointError):
            checkpoints.save(path.parent / bad, game)
        with pytest.raises(CheckpointError), lock_folder(path / bad):
            pass


class Gadget:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


GADGETS = {
    "a method": lambda canary: Gadget(pathlib.Path.touch, canary),
    "a shell": lambda canary: Gadget(os.system, f"touch '{canary}'"),
    "eval": lambda canary: Gadget(eval, f"open({str(canary)!r}, 'w').close()"),
}


@pytest.mark.parametrize("force", ["0", "1"])  # 1 asks PyTorch to run such code by default
@pytest.mark.parametrize("gadget", GADGETS)
def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch, gadget, force):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", force)
    canary, evil = tmp_path / "canary", GADGETS[gadget](tmp_path / "canary")
    pickle.loads(pickle.dumps(evil))
    assert canary.exists()  # it would have worked
    canary.unlink()
    path = tmp_path / "evil"
    write(path, {"extra": evil})
    archive = path.read_bytes()[checkpoints.HEADER :]
    with pytest.raises(CheckpointError, match="does not hold plain tensors"):
        checkpoints.read(path)
    for content in (pickle.dumps(evil), archive):  # neither is a checkpoint of ours
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is not a wganlab checkpoint"):
            checkpoints.read(path)
    assert not canary.exists()


def test_another_game_is_refused_and_left_as_it_was(saved):
    path, *_ = saved
    for other, says in (
        (new_game("wgan", seed=5), "'recipe' is Recipe.*GradientPenalty.* in the file, and Recipe.*WeightCl"),
        (new_game(hidden=(9,)), r"'game.generator.0.weight' is \(8, 2\).* in the file, and \(9, 2\)"),
        (new_game(hidden=(8, 8)), r"'game.generator.2.weight' is \(2, 8\).* in the file, and \(8, 8\)"),
        (
            (new_game()[0], None),
            "'average.player.0.weight' is .*, and missing in this game. Build the game and its",
        ),
    ):
        before = other[0].state_dict()["generator"]["0.weight"].clone()
        with pytest.raises(CheckpointError, match=says):
            checkpoints.load(path, other[0], average=other[1])
        assert torch.equal(other[0].state_dict()["generator"]["0.weight"], before)
        assert other[0].step == 0


def test_a_game_that_has_diverged_can_go_back(saved):
    path, *_ = saved
    game, average = new_game(seed=5)
    next(game.critic.parameters()).data.fill_(float("nan"))
    checkpoints.load(path, game, average=average)
    assert equal((game, average), saved[1:])


GONE = object()
CRITIC = "game critic_optimizer"
WRONG = [  # where in the state, what is put there or made of it, and what is said
    ("game", GONE, "no entry 'game'"),
    ("game", [], "no entry 'game' of its kind"),
    ("game step", GONE, "'game.step' is missing in the file, and a count"),
    ("game step", -1, "'game.step' is -1 in the file, and a count"),
    ("average updates", 2.5, "'average.updates' is 2.5 in the file, and a count"),
    ("average", None, "'average.player.0.weight' is missing in the file"),
    ("game generator", [], "game.generator.0.weight' is missing"),
    (
        "game critic 0.weight",
        GONE,
        r"'game.critic.0.weight' is missing in the file, and \(8, 2\) torch.float32",
    ),
    (
        "game critic odd",
        torch.ones(1),
        r"'game.critic.odd' is \(1,\) .* in the file, and missing in this game",
    ),
    (
        "game critic 0.bias",
        torch.Tensor.double,
        r"\(8,\) torch.float64 in the file, and \(8,\) torch.float32",
    ),
    ("game critic 0.bias", lambda bias: bias * float("nan"), "'game.critic.0.bias' is NaN or infinity in"),
    (f"{CRITIC} param_groups", GONE, "critic_optimizer.param_groups"),
    (f"{CRITIC} param_groups", lambda groups: dict(enumerate(groups)), "does not fit"),
    (f"{CRITIC} param_groups 0 eps", GONE, r"critic_optimizer.param_groups\[0\].eps' is missing"),
    (f"{CRITIC} param_groups 0 lr", float("inf"), r"critic_optimizer.param_groups\[0\].lr' is NaN or inf"),
    (
        f"{CRITIC} param_groups 0 params",
        [0, 3, 2, 1],
        r"param_groups\[0\].params\[1\]' is 3 in the file, and 1",
    ),
    (f"{CRITIC} state", {}, r"critic_optimizer.state\[0\].step' is missing"),
    (f"{CRITIC} state 2", GONE, r"critic_optimizer.state\[2\].step' is missing"),
    (f"{CRITIC} state 1 exp_avg_sq", GONE, r"state\[1\].exp_avg_sq' is missing"),
    (
        f"{CRITIC} state 0 exp_avg",
        torch.ones(3, 5),
        r"state\[0\].exp_avg' is \(3, 5\) .*, and \(8, 2\) torch",
    ),
    (
        f"{CRITIC} state 0 exp_avg",
        lambda mean: mean + float("inf"),
        r"state\[0\].exp_avg' is NaN or infinity",
    ),
]


@pytest.mark.parametrize(("where", "what", "says"), WRONG)
def test_a_checkpoint_with_wrong_content_is_refused_by_key(saved, where, what, says):
    def change(state):
        *path, last = (int(key) if key.isdigit() else key for key in where.split())
        for key in path:
            state = state[key]
        if what is GONE:
            del state[last]
        else:
            state[last] = what(state[last]) if callable(what) else what

    path, *_ = saved
    rewrite(path, change)
    game, average = new_game(seed=5)
    before = weights_of(game, average)
    with pytest.raises(CheckpointError, match=says):
        checkpoints.load(path, game, average=average)
    assert equal(weights_of(game, average), before)


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


@pytest.mark.skipif(_files.fcntl is None, reason="no locks on this system")
def test_a_write_whose_part_another_process_took_for_a_killed_ones_begins_again(tmp_path, monkeypatch):
    lock, taken = _files.fcntl.flock, []

    def late(file, flags):
        if flags == _files.fcntl.LOCK_EX and not taken:
            taken.extend(tmp_path.glob(".*.part"))
            taken[0].unlink()
        lock(file, flags)

    monkeypatch.setattr(_files.fcntl, "flock", late)
    _files.write_atomically(tmp_path / "file", b"content")
    assert len(taken) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"content"


def test_the_checkpoint_that_was_replaced_is_kept_and_named_when_the_newest_is_damaged(saved):
    path, game, average = saved
    first = path.read_bytes()
    older = checkpoints.previous(path)
    assert not older.exists()
    play(game, average, until=4)
    checkpoints.save(path, game, average=average)
    second = path.read_bytes()
    assert (older.read_bytes(), sorted(path.parent.iterdir())) == (first, sorted([path, older]))
    for damage in (lambda: path.write_bytes(second[:-9]), path.unlink):
        damage()
        with pytest.raises(
            CheckpointError, match=f"The one before it, {re.escape(str(older))}, is whole: copy it"
        ):
            checkpoints.read(path)
    older.write_bytes(first[:-9])
    with pytest.raises(CheckpointError, match=r"does not exist. Use another checkpoint or start again\.$"):
        checkpoints.read(path)


def test_a_damaged_checkpoint_never_replaces_the_whole_one_before_it_first(saved, monkeypatch):
    """Until the new file has its name, the one before the damaged may be the only one that is whole."""
    path, game, average = saved
    checkpoints.save(path, game, average=average)
    older = checkpoints.previous(path)
    good = older.read_bytes()
    path.write_bytes(b"rotten")
    replace, seen = os.replace, []

    def watch(source, target):
        whole = older.read_bytes() == good or path.read_bytes().startswith(checkpoints.MAGIC)
        seen.append((pathlib.Path(target), whole))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watch)
    checkpoints.save(path, game, average=average)
    assert seen == [(path, True), (older, True)]
    checkpoints.read(path)


def test_without_hard_links_the_replaced_checkpoint_is_copied(saved, monkeypatch):
    path, game, average = saved
    first = path.read_bytes()

    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    checkpoints.save(path, game, average=average)
    assert checkpoints.previous(path).read_bytes() == first
    monkeypatch.setattr(shutil, "copyfile", no_links)  # no room for a copy: the new one counts more
    checkpoints.save(path, game, average=average)
    assert sorted(path.parent.iterdir()) == sorted([path, checkpoints.previous(path)])


def test_what_killed_saves_left_is_deleted_by_the_next_and_that_of_living_ones_is_not(saved):
    fcntl = pytest.importorskip("fcntl")
    path, game, average = saved
    folder = path.parent
    dead, alive, other = (
        folder / f".{name}.part" for name in (f"{path.name}.a", f"{path.name}.b", "log.csv.c")
    )
    for part in (dead, alive, other):
        part.write_bytes(b"half")
    with open(alive, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        checkpoints.save(path, game, average=average)
        assert sorted(folder.glob(".*.part")) == sorted([alive, other])
        with lock_folder(folder):
            assert list(folder.glob(".*.part")) == [alive]


def test_a_file_that_is_being_written_is_not_swept_away(saved, monkeypatch):
    pytest.importorskip("fcntl")
    path, game, average = saved
    flush, swept = os.fsync, []

    def sweep_meanwhile(handle):
        swept.append(len(list(path.parent.glob(".*.part"))))
        _files.remove_stale(path.parent)
        flush(handle)

    monkeypatch.setattr(os, "fsync", sweep_meanwhile)
    checkpoints.save(path, game, average=average)
    assert swept == [1, 0]  # the file, and then the folder
    checkpoints.read(path)


def test_a_folder_is_locked_by_one_at_a_time(tmp_path):
    pytest.importorskip("fcntl")
    folder = tmp_path / "a" / "b"
    with lock_folder(folder):
        says = rf"Another process \({os.getpid()}\) trains in .*b\. Wait"
        with pytest.raises(CheckpointError, match=says), lock_folder(folder):
            pass
        with lock_folder(tmp_path):  # another folder
            pass
    with pytest.raises(ZeroDivisionError), lock_folder(folder):
        raise ZeroDivisionError
    with lock_folder(folder):
        pass


HOLDER = """
import pathlib, sys, time
from wganlab._files import lock_folder
with lock_folder(pathlib.Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


def test_a_lock_ends_with_its_process_even_by_kill_9(tmp_path):
    pytest.importorskip("fcntl")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "locked\n"
            says = rf"Another process \({process.pid}\)"
            with pytest.raises(CheckpointError, match=says), lock_folder(tmp_path):
                pass
        finally:
            process.kill()
    assert (tmp_path / ".lock").exists()
    with lock_folder(tmp_path):
        pass


def test_where_nothing_can_be_locked_there_is_a_warning(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.warns(UserWarning, match="cannot be locked .No locks available"), lock_folder(tmp_path):
        pass


def test_what_could_not_be_read_back_is_not_saved(saved):
    path, game, average = saved
    good = path.read_bytes()
    for odd in (numpy.float64(1.0), pathlib.Path("x"), {1, 2}, complex(1, 2), object()):
        with pytest.raises(InputError, match=r"'extra.runs\[0\].odd' is a .*Convert it"):
            checkpoints.save(path, game, average=average, extra={"runs": [{"odd": odd}]})
    assert path.read_bytes() == good
    extra = {"a": [1, (2.0, None, True)], "b": {"c": "d", 3: torch.ones(2)}, "e": b"f", "inf": float("inf")}
    checkpoints.save(path, game, average=average, extra=extra)
    assert str(checkpoints.load(path, game, average=average)) == str(extra)


def test_a_recipe_with_functions_of_ones_own_is_known_again(saved):
    """Their printed form has an address, which differs between processes."""
    path, *_ = saved
    for same in (True, False):
        game, average = new_game()
        optimizer = lambda weights: torch.optim.SGD(weights, lr=0.1)  # noqa: E731
        game = Game(game.generator, game.critic, replace(recipes.wgan_gp, optimizer=optimizer))
        if same:
            checkpoints.save(path, game, average=average)
    assert "<lambda>" in checkpoints.read(path)["recipe"]
    checkpoints.load(path, game, average=average)


def test_a_checkpoint_from_a_gpu_is_read_where_there_is_none_and_the_change_is_warned_of(saved, monkeypatch):
    path, game, average = saved
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    checkpoints.save(path, game, average=average)
    assert b"cuda:0" in path.read_bytes()
    rewrite(path, lambda state: state.update(device="cuda"))
    other, other_average = new_game(seed=5)
    with pytest.warns(UserWarning, match="was made with cuda and is continued with cpu"):
        checkpoints.load(path, other, average=other_average)
    assert equal((other, other_average), (game, average))


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
def test_a_checkpoint_has_the_rights_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        _files.write_atomically(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
