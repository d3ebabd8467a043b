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

from wganlab import checkpoints, files, networks, recipes, sampling
from wganlab.errors import CheckpointError, DivergenceError, InputError
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
        fresh = checkpoints.collect(*with_norm(seed=5))
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


@pytest.mark.parametrize("item", ITEMS)
def test_a_resumed_run_is_another_one_if_any_item_of_the_state_is_left_out(item, tmp_path):
    path, whole, broken = tmp_path / "c", with_norm(0), with_norm(0)
    expected = play_with_falling_rates(*whole, until=9)
    play_with_falling_rates(*broken, until=4)
    checkpoints.save(path, broken[0], average=broken[1])
    rewrite(path, ITEMS[item])
    game, average = with_norm(seed=7)
    checkpoints.load(path, game, average=average)
    found = play_with_falling_rates(game, average, until=9)
    assert all(map(torch.equal, found, expected)) == (item == "nothing")


@pytest.mark.parametrize(
    ("player", "name"),
    [("game.generator", n) for n in STATISTICS] + [("average.player", n) for n in STATISTICS],
)
def test_running_statistics_left_out_are_seen_in_evaluation(player, name, tmp_path):
    """A few more turns would overwrite them, so they are looked at as they were loaded."""
    path, broken = tmp_path / "c", with_norm(0)
    expected = play_with_falling_rates(*broken, until=4)
    checkpoints.save(path, broken[0], average=broken[1])
    for change, same in ((lambda state: None, True), (forget(player, name), False)):
        rewrite(path, change)
        game, average = with_norm(seed=7)
        checkpoints.load(path, game, average=average)
        assert all(map(torch.equal, play_with_falling_rates(game, average, until=4), expected)) == same


def branches(state, key=()):
    """Every key of nested dicts and lists, with what holds it."""
    for k, value in list(state.items() if isinstance(state, dict) else enumerate(state)):
        yield (*key, k)
        if isinstance(value, dict | list):
            yield from branches(value, (*key, k))


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
            assert all(map(torch.equal, weights_of(other, other_average), before))
        seen.add(key[:2])
        path.write_bytes(content)
    assert len(seen) == 5 + 5 + 2 + 1, seen


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
        with pytest.raises(CheckpointError, match="damaged|not a wganlab checkpoint"):
            checkpoints.load(path, *new_game()[:1], average=new_game()[1])


@pytest.mark.parametrize("length", [0, 1, 50, 86, 1000])
def test_a_truncated_checkpoint_is_refused(saved, length):
    path, *_ = saved
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="damaged|not a wganlab checkpoint"):
        checkpoints.read(path)


FOREIGN = {
    "empty": (lambda path: path.write_bytes(b""), "not a wganlab checkpoint: it starts with b''"),
    "text": (lambda path: path.write_text("hello"), "not a wganlab checkpoint: it starts with b'hello'"),
    "HTML": (lambda path: path.write_text("<!doctype html>" * 20), "it starts with b'<!doctype html><!doc"),
    "a folder": (pathlib.Path.mkdir, "is not a regular file"),
    "no file": (lambda path: None, "does not exist"),
    "a pipe": (lambda path: os.mkfifo(path), "is not a regular file"),  # nobody writes: to open it would hang
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "does not exist"),
    "a link to itself": (lambda path: path.symlink_to(path), "does not exist"),
    "a newer format": (
        lambda path: path.write_bytes(b"wganlab-checkpoint 2 " + b"0" * 64 + b"\n" + b"x" * 99),
        "has format 2, and this wganlab reads format 1. Install a newer wganlab",
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
        with pytest.raises(CheckpointError), checkpoints.claim(path / bad):
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
    buffer = io.BytesIO()
    torch.save({"extra": evil}, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    path = tmp_path / "evil"
    path.write_bytes(checkpoints.MAGIC + digest + b"\n" + buffer.getvalue())
    with pytest.raises(CheckpointError, match="does not hold plain tensors"):
        checkpoints.read(path)
    for content in (pickle.dumps(evil), buffer.getvalue()):  # neither is a checkpoint of ours
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is not a wganlab checkpoint"):
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
        (lambda s: s["game"].pop("step"), "'game.step' is missing in the file"),
        (lambda s: s["game"]["critic"].pop("0.weight"), "'game.critic.0.weight' is missing in the file"),
        (lambda s: s["game"]["critic"].update(odd=torch.ones(1)), "'game.critic.odd' is not in this game"),
        (lambda s: s["game"]["critic"].update({"0.bias": torch.ones(8).double()}), "torch.float64"),
        (lambda s: s["game"]["critic"]["0.bias"].fill_(float("nan")), "NaN or infinity in 'game.critic"),
        (lambda s: s["game"]["critic_optimizer"].pop("param_groups"), "critic_optimizer.param_groups"),
        (
            lambda s: swap(s["game"]["critic_optimizer"]["param_groups"][0]["params"], 1, 3),
            r"critic_optimizer.param_groups\[0\].params\[1\]' is 3, and must be 1",
        ),
        (lambda s: s["game"].update(step=-1), "'game.step' is -1, and must be a whole number >= 0"),
        (lambda s: s["average"].update(updates=2.5), "'average.updates' is 2.5, and must be a whole number"),
        (lambda s: s["game"].update(generator=[]), "game.generator.0.weight' is missing"),
        (lambda s: s.update(game=[]), "no entry 'game' of its kind"),
        (
            lambda s: s["game"]["critic_optimizer"]["param_groups"][0].pop("eps"),
            "critic_optimizer.param_groups",
        ),
        (
            lambda s: s["game"]["critic_optimizer"]["state"].clear(),
            r"critic_optimizer.state\[0\].step' is missing",
        ),
        (
            lambda s: s["game"]["generator_optimizer"]["state"].pop(2),
            r"generator_optimizer.state\[2\].step' is missing",
        ),
        (
            lambda s: s["game"]["critic_optimizer"]["state"][1].pop("exp_avg_sq"),
            r"state\[1\].exp_avg_sq' is missing",
        ),
        (
            lambda s: swap(s["game"]["critic_optimizer"]["state"], 0, 2),
            r"critic_optimizer.state\[0\].exp_avg' is \(1, 8\)",
        ),
        (
            lambda s: s["game"]["critic_optimizer"]["state"][0].update(exp_avg=torch.ones(3, 5)),
            r"critic_optimizer.state\[0\].exp_avg' is \(3, 5\).*\(8, 2\)",
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
        with checkpoints.claim(folder):
            assert list(folder.glob(".*.part")) == [alive]


def test_a_file_that_is_being_written_is_not_swept_away(saved, monkeypatch):
    pytest.importorskip("fcntl")
    path, game, average = saved
    flush, swept = os.fsync, []

    def sweep_meanwhile(handle):
        swept.append(len(list(path.parent.glob(".*.part"))))
        files.sweep(path.parent)
        flush(handle)

    monkeypatch.setattr(os, "fsync", sweep_meanwhile)
    checkpoints.save(path, game, average=average)
    assert swept == [1, 0]  # the file, and then the folder
    checkpoints.read(path)


def test_a_folder_is_claimed_by_one_at_a_time(tmp_path):
    pytest.importorskip("fcntl")
    folder = tmp_path / "a" / "b"
    with checkpoints.claim(folder):
        says = rf"Another process \({os.getpid()}\) trains in .*b\. Wait"
        with pytest.raises(CheckpointError, match=says), checkpoints.claim(folder):
            pass
        with checkpoints.claim(tmp_path):  # another folder
            pass
    with pytest.raises(ZeroDivisionError), checkpoints.claim(folder):
        raise ZeroDivisionError
    with checkpoints.claim(folder):
        pass


HOLDER = """
import sys, time
from wganlab import checkpoints
with checkpoints.claim(sys.argv[1]):
    print("claimed", flush=True)
    time.sleep(600)
"""


def test_a_claim_ends_with_its_process_even_by_kill_9(tmp_path):
    pytest.importorskip("fcntl")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "claimed\n"
            says = rf"Another process \({process.pid}\)"
            with pytest.raises(CheckpointError, match=says), checkpoints.claim(tmp_path):
                pass
        finally:
            process.kill()
    assert (tmp_path / ".lock").exists()
    with checkpoints.claim(tmp_path):
        pass


def test_where_nothing_can_be_locked_there_is_a_warning(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.warns(UserWarning, match="cannot be locked .No locks available"), checkpoints.claim(tmp_path):
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
    assert all(map(torch.equal, weights_of(other, other_average), weights_of(game, average)))


def test_a_file_of_any_date_is_loaded(saved):
    """Clocks are set wrong, and are set back."""
    path, *_ = saved
    for date in (0, 2**33):
        os.utime(path, (date, date))
        game, average = new_game(seed=5)
        checkpoints.load(path, game, average=average)
        checkpoints.save(path, game, average=average)


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


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
def test_a_checkpoint_has_the_rights_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_atomically(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
