"""The command line: every verb, every refusal, and the promise that a stopped run loses nothing."""

import csv
import functools
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.image import imread, imsave
from PIL import Image

from wganlab import __main__ as cli
from wganlab import checkpoints, data, engine, metrics, networks, recipes, sampling, transport
from wganlab._files import lock_folder
from wganlab.cli import config, datasets, doctor, evaluate, grammar, sample, terminal, train
from wganlab.constraints import GradientPenalty
from wganlab.errors import CheckpointError, DataError, DivergenceError, InputError
from wganlab.training import Average, Game, Step, identity
from wganlab.training import train as algorithm

CPU = ["--device", "cpu", "--threads", "1"]
RING = ["--data", "ring", "--batch", "8", *CPU]
HEADER = ",".join(train.COLUMNS)
VERBS = ("train", "sample", "evaluate", "diagnose", "audit", "doctor")


@pytest.fixture(autouse=True)
def restore():
    """A run sets the threads and the rounding of the process; put them back."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.allow_tf32
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = convolutions


def run(*words):
    return cli.main([str(word) for word in words])


def one_line(capsys):
    """What was said on stderr: one line that names the program."""
    err = capsys.readouterr().err
    assert err.startswith("wganlab: "), err
    assert err.count("\n") == 1, err
    return err


def refused(capsys, code, message, *words):
    """The command line ends with ``code`` and one line that matches ``message``."""
    capsys.readouterr()
    try:
        found = run(*words)
    except SystemExit as end:
        found = end.code
    line = one_line(capsys)
    assert re.search(message, line), line
    assert found == code, line


def state(folder):
    return checkpoints.read(folder / "checkpoint.wgan")


def same(one, other):
    one, other = checkpoints.flatten(one), checkpoints.flatten(other)
    return one.keys() == other.keys() and all(
        torch.equal(leaf, other[key]) if torch.is_tensor(leaf) else leaf == other[key]
        for key, leaf in one.items()
    )


def furthest(one, other):
    """The largest difference between the weights of two runs' players."""
    one, other = (
        {key: leaf for key, leaf in checkpoints.tensors(run["game"]).items() if "optimizer" not in key}
        for run in (one, other)
    )
    return max((one[key].double() - other[key].double()).abs().max().item() for key in one)


def rows(folder, *, seconds=False):
    """``log.csv`` as lists, without the seconds."""
    with open(folder / "log.csv", newline="", encoding="utf-8") as file:
        found = list(csv.reader(file))
    return found if seconds else [[row[0], *row[2:]] for row in found]


# Training


def test_a_resumed_run_is_the_uninterrupted_one_in_weights_and_log(tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run("train", whole, "--steps", 6, "--log", 1, *RING) == 0
    assert "6 of 6 generator updates, recipe wgan_gp_toy, on cpu" in capsys.readouterr().out
    assert run("train", parts, "--steps", 2, "--log", 1, *RING) == 0
    assert run("train", parts, "--steps", 5, "--log", 1, "--resume", *RING) == 0
    with open(parts / "log.csv", "a", encoding="utf-8") as file:  # what a kill after the checkpoint leaves
        file.write("6,9.0,1,2,3,4\n7,9.")
    assert run("train", parts, "--steps", 6, "--log", 1, "--resume") == 0
    assert same(state(whole), state(parts))
    assert rows(whole) == rows(parts)
    seconds = [float(row[1]) for row in rows(parts, seconds=True)[1:]]
    assert seconds == sorted(seconds)
    assert seconds[-1] < 9.0  # the row behind the checkpoint is gone


def test_a_resume_without_options_goes_on_to_the_end_of_the_run_that_was_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(terminal.Stop, "begin", lambda self: setattr(self, "signal", signal.SIGTERM))
    line = ["--data", "grid", "--recipe", "wgan", "--seed", 3, "--steps", 4, "--batch", 8, *CPU]
    assert run("train", tmp_path / "a", *line) == 143
    assert state(tmp_path / "a")["game"]["step"] == 1
    monkeypatch.undo()
    assert run("train", tmp_path / "a", "--resume") == 0
    assert "4 of 4 generator updates, recipe wgan, on cpu" in capsys.readouterr().out
    assert run("train", tmp_path / "b", *line) == 0
    assert same(state(tmp_path / "a"), state(tmp_path / "b"))
    assert run("train", tmp_path / "a", "--resume") == 0  # nothing is left to do
    assert same(state(tmp_path / "a"), state(tmp_path / "b"))


@pytest.mark.parametrize("kind", ["ring", "digits"])
def test_a_plain_run_is_the_loop_that_a_reader_would_write(tmp_path, kind):
    """The defaults, and the order in which weights are drawn, are those of the first version."""
    assert run("train", tmp_path, "--data", kind, "--steps", 2, "--accelerate", "plain", *CPU) == 0
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    if kind == "ring":
        generator, critic, recipe, batch, latent = (
            *(networks.mlp(2, 2), networks.mlp(2, 1)),
            *(recipes.wgan_gp_toy, 128, 2),
        )
        real = sampling.ring()
    else:
        critic = networks.mlp((1, 28, 28), 1, hidden=(512, 256), slope=0.2)
        generator, recipe, batch, latent = networks.dcgan_generator(64), recipes.wgan_gp_digits, 32, 64
        real = data.digits().x
    game = Game(generator, critic, recipe)
    average = Average(game.generator)
    for _ in algorithm(game, sampling.Draw(real, sampling.normal(latent), batch), 2):
        average.update(game.generator)
    found = state(tmp_path)
    assert same(found["game"], game.state_dict())
    assert same(found["average"], average.state_dict())


@pytest.mark.parametrize("kind", ["ring", pytest.param("digits", marks=pytest.mark.slow)])
def test_fast_and_plain_agree_after_three_steps(tmp_path, kind):
    """In what they compute, at the paper's learning rate: Adam makes a full step of a rounding error."""
    z = torch.randn(300, datasets.DATASETS[kind].latent, generator=torch.Generator().manual_seed(0))
    found = []
    for name in ("fast", "plain", "auto"):
        words = ["--data", kind, "--steps", 3, "--recipe", "wgan_gp", "--accelerate", name, *CPU]
        assert run("train", tmp_path / name, *words) == 0
        _, game, average = config.load_run(tmp_path / name)
        with torch.no_grad():
            x = average.player(z)
            found.append((x, game.generator(z), game.critic(x)))
    for fast, plain in zip(*found[:2], strict=True):
        assert (fast - plain).abs().max() < 1e-4 * max(1, plain.abs().max())
    assert all(map(torch.equal, found[0], found[2]))


def test_learning_rates_fall_to_zero_over_the_last_part(tmp_path, capsys, monkeypatch):
    line = ["--steps", 10, "--decay", 0.4, "--accelerate", "plain", *RING]
    rates, decay = [], train.Run.decay

    def spy(one):
        decay(one)
        rates.append(one.game.critic_optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(train.Run, "decay", spy)
    assert run("train", tmp_path / "whole", *line) == 0
    # once before the first turn and after each: full up to turn 6, then lr (10 - t) / 4
    assert rates == pytest.approx([1e-3] * 7 + [0.75e-3, 0.5e-3, 0.25e-3, 0.0], rel=1e-12)
    with monkeypatch.context() as patch:
        patch.setattr(train, "loop", stopped_after(8, train.loop))
        assert run("train", tmp_path / "parts", *line) == 143
    assert run("train", tmp_path / "parts", "--resume") == 0
    assert same(state(tmp_path / "whole"), state(tmp_path / "parts"))
    refused(capsys, 4, "it has --steps .* 10, not 20", "train", tmp_path / "parts", "--resume", "--steps", 20)
    refused(capsys, 4, "--decay 0.4, not 0.5", "train", tmp_path / "parts", "--resume", "--decay", 0.5)


def stopped_after(step, loop):
    """``train.loop`` that gets a signal after so many steps."""

    def cut(one, every, stop):
        agree = one.ranks.agree
        one.ranks.agree = lambda flag: agree(signal.SIGTERM if one.game.step == step else flag)
        return loop(one, every, stop)

    return cut


DIFFERENT = {  # what is asked for, and what the run began with
    "--data": ("grid", "ring"),
    "--size": ("16", "None"),
    "--players": ("dcgan", "mlp"),
    "--recipe": ("wgan", "wgan_gp_toy"),
    "--batch": ("9", "8"),
    "--seed": ("3", "0"),
    "--decay": ("0.5", "0.0"),
    "--precision": ("bf16", "float32"),
    "--accelerate": ("plain", "auto"),
}


def test_a_resume_as_another_run_is_refused_by_the_name_of_what_differs(tmp_path, capsys):
    assert run("train", tmp_path, "--steps", 1, *RING) == 0
    good = (tmp_path / "checkpoint.wgan").read_bytes()
    for option, (asked, saved) in DIFFERENT.items():
        message = f"is of another run: it has {option} {saved}, not {asked}. Leave the option out"
        refused(capsys, 4, message, "train", tmp_path, "--resume", "--steps", 2, option, asked)
    assert {f"--{name}" for name in config.DECISIVE} == set(DIFFERENT)
    assert (tmp_path / "checkpoint.wgan").read_bytes() == good


def test_threads_go_by_the_size_of_the_players_and_the_ranks_of_the_machine(monkeypatch):
    cpu, game = torch.device("cpu"), None
    monkeypatch.setattr(train, "threads_for", lambda game, m: 6)
    for world, expected in ((1, 6), (4, 1), (3, 2), (8, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(world))
        train.set_threads("auto", game, 8, cpu)
        assert torch.get_num_threads() == expected
    train.set_threads(2, game, 8, cpu)
    assert torch.get_num_threads() == 2
    train.set_threads("auto", game, 8, torch.device("cuda"))
    assert torch.get_num_threads() == 2


def test_accelerations_by_name(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert train.accelerator("plain", "float32", cpu) is identity
    assert train.accelerator("auto", "float32", cpu) is train.fast
    assert train.accelerator("auto", "float32", cuda) is train.graphed
    assert train.accelerator("compile", "tf32", cpu) is train.compiled
    with pytest.raises(InputError, match="graph needs a CUDA device"):
        train.accelerator("graph", "float32", cpu)
    seen = []
    monkeypatch.setattr(train, "autocast", lambda dtype: lambda step: [*step, dtype])
    monkeypatch.setattr(train, "fast", lambda step: [*step, "fast"])
    assert train.accelerator("fast", "bf16", cpu)(seen) == [torch.bfloat16, "fast"]


@pytest.mark.parametrize(("name", "rounds"), [("tf32", ("high", True)), ("float32", ("highest", False))])
def test_precision_sets_what_pytorch_rounds(tmp_path, name, rounds):
    assert run("train", tmp_path, "--steps", 1, "--precision", name, *RING) == 0
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == rounds


def test_bf16_trains_and_differs(tmp_path):
    for name in ("bf16", "float32"):
        line = ["--steps", 2, "--precision", name, "--accelerate", "plain", *RING]
        assert run("train", tmp_path / name, *line) == 0
    assert furthest(state(tmp_path / "bf16"), state(tmp_path / "float32")) > 1e-6


def test_progress_is_a_line_of_text_where_there_is_no_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "PROGRESS_SECONDS", 0.0)
    assert run("train", tmp_path, "--steps", 2, *RING) == 0
    said = capsys.readouterr()
    assert re.search(r"^step 1 of 2, [\d.e+]+ steps a second, critic loss -?[\d.]+$", said.out, re.M)
    assert said.err == ""


# The log


def test_the_log_holds_what_the_steps_reported(tmp_path):
    assert run("train", tmp_path, "--steps", 5, "--log", 2, "--accelerate", "plain", *RING) == 0
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan_gp_toy)
    steps = list(algorithm(game, sampling.Draw(sampling.ring(), sampling.normal(2), 8), 5))
    header, *found = rows(tmp_path)
    assert ",".join([header[0], "seconds", *header[1:]]) == HEADER
    assert [row[0] for row in found] == ["2", "4"]
    for row, step in zip(found, steps[1::2], strict=False):
        values = [np.float32(value) for value in row[1:]]  # nine digits give back a float32
        assert values[:3] == [loss.item() for loss in step[1:]]
        assert values[3] == -step.critic_loss.item()
    assert run("train", tmp_path / "gan", "--steps", 1, "--log", 1, "--recipe", "gan", *RING) == 0
    assert rows(tmp_path / "gan")[1][-1] == ""  # its critic makes none


def step_of(index):
    return Step(index, torch.tensor(1.5), torch.tensor(0.25), torch.tensor(-3.0))


def test_a_log_by_hand(tmp_path):
    path = tmp_path / "log.csv"
    with train.Log(path, 2, 0, measures=True) as book:
        for index in range(1, 6):
            book.write(step_of(index))
        book.flush()
    lines = path.read_text().split("\n")
    assert [re.sub(r",\d+\.\d{3},", ",S,", line, count=1) for line in lines] == [
        HEADER,
        "2,S,1.5,0.25,-3,-1.5",
        "4,S,1.5,0.25,-3,-1.5",
        "",
    ]
    path.write_text(f"{HEADER}\n2,7.5,1,2,3,4\n4,8.5,1,2,3,4\n5,x\n6,9.")
    with train.Log(path, 2, 3, measures=False) as book:
        book.write(step_of(4))
    kept, new = path.read_text().split("\n")[1:3]
    assert kept == "2,7.5,1,2,3,4"
    assert float(new.split(",")[1]) >= 7.5  # time goes on from the last row that is kept
    assert new.endswith(",")
    path.write_text(f"{HEADER}\n2,7.5,1,2,3,4\n3,8.5,1,2,3,0.1")  # 0.1 may have been meant as 0.125
    with train.Log(path, 2, 3, measures=False):
        assert path.read_text() == f"{HEADER}\n2,7.5,1,2,3,4\n"
    with train.Log(path, 2, 0, measures=True):  # a new run begins a new log
        assert path.read_text() == f"{HEADER}\n"


def test_logs_that_are_none_and_disks_that_refuse(tmp_path):
    path = tmp_path / "log.csv"
    for content, message in ((b"a,b\n", "does not begin with 'step"), (b"\xff\n", "Cannot read")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=f"{message}.*Move it away"):
            train.Log(path, 1, 3, measures=True)
        assert path.read_bytes() == content
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match="Cannot write"):
        train.Log(path, 1, 0, measures=True)
    path.rmdir()
    with train.Log(path, 1, 0, measures=True) as book:
        book.file.close()
        book.file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
        with pytest.raises(CheckpointError, match="log.csv: No space left on device"):
            book.write(step_of(1))


# What a run is


def test_the_table_of_data_sets_names_what_there_is():
    known = {name for name, value in vars(recipes).items() if isinstance(value, recipes.Recipe)}
    assert set(grammar.RECIPES) == known
    flags = {"--size", "--channels", "--from", "--download"}
    for dataset in datasets.DATASETS.values():
        assert dataset.recipe in known
        assert dataset.measure in evaluate.MEASURES
        config.players(dataset.players, dataset.shape, dataset.latent)
        for channels, sides in config.SIDES.items() if "--channels" in dataset.options else ():
            for side in sides:
                generator, critic = config.players(dataset.players, (channels, side, side), 4)
                assert critic(generator(torch.zeros(2, 4))).shape == (2,)
        assert set(dataset.required) <= set(dataset.options) <= flags
        assert dataset.tested_on in (None, "mnist", "cifar10")
    assert datasets.usual("batch") == (
        "32 for digits and mnist, 64 for cifar10 and images, 128 for ring, grid and swiss_roll"
    )


def test_old_checkpoints_say_what_a_run_is():
    """The keys and types of the first version's."""
    plain = dict(
        zip(
            ("data", "size", "shape", "from", "players"),
            ("images", 16, [3, 16, 16], "/x", "mlp"),
            strict=True,
        )
    )
    plain |= {
        "recipe": "wgan_gp",
        "batch": 4,
        "seed": 1,
        "decay": 0.5,
        "precision": "bf16",
        "accelerate": "fast",
    }
    plain |= {"steps": 7, "rows": 8, "sha256": "ab"}
    found = config.load_config("c", plain)
    assert (found.source, found.dataset) == ("/x", datasets.DATASETS["images"])
    assert found.as_extra() == plain
    for key in plain:
        with pytest.raises(CheckpointError, match="was not written by 'wganlab train'"):
            config.load_config("c", {name: value for name, value in plain.items() if name != key})


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_reads_its_checkpoint_once(verb, tmp_path, monkeypatch):
    if verb in ("audit", "doctor"):
        return
    assert run("train", tmp_path, "--steps", 1, "--log", 1, *RING) == 0
    read, seen = checkpoints.verified, []
    monkeypatch.setattr(checkpoints, "verified", lambda path: seen.append(path) or read(path))
    assert run(verb, tmp_path, *(["--resume", "--steps", 2] if verb == "train" else [])) == 0
    assert seen == [tmp_path / "checkpoint.wgan"]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        *[(name, (1, 28, 28)) for name in ("mixed", "mlp", "dcgan")],
        *[(name, (3, 32, 32)) for name in ("mlp", "dcgan", "resnet")],
        *[(name, (3, 64, 64)) for name in ("mlp", "dcgan")],
        *[("mlp", (2,)), ("mlp", (3, 20, 20))],
    ],
)
def test_players_fit_their_rows(name, row):
    with torch.random.fork_rng(devices=[]):
        generator, critic = config.players(name, row, 5)
    with torch.no_grad():
        x = generator(torch.randn(2, 5))
        assert tuple(x.shape) == (2, *row)
        assert critic(x).shape == (2,)
        assert len(row) == 1 or x.abs().max() <= 1


@pytest.mark.parametrize(
    ("name", "row"),
    [("mixed", (2,)), ("dcgan", (3, 20, 20)), ("resnet", (1, 28, 28)), ("resnet", (3, 64, 64))],
)
def test_players_that_do_not_fit_are_refused(name, row):
    with pytest.raises(InputError, match=re.escape(f"--players {name} has none for rows of shape {row}")):
        config.players(name, row, 5)


def test_sn_gan_has_its_constraint_in_the_layers(tmp_path):
    assert run("train", tmp_path, "--steps", 2, "--recipe", "sn_gan", *RING) == 0
    _, game, _ = config.load_run(tmp_path)
    for layer in game.critic.modules():
        if isinstance(layer, torch.nn.Linear):
            assert torch.linalg.matrix_norm(layer.eval().weight, 2).item() == pytest.approx(1, abs=0.2)


def test_wrong_combinations_are_usage_errors_before_any_data_are_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(config.RunConfig, "load", None)
    for message, *words in (
        ("--from is for --data mnist, cifar10 or images, not for ring", "--data", "ring", "--from", "x"),
        ("--download is for --data mnist or cifar10, not for digits", "--download"),
        ("--size is for --data images, not for digits", "--size", 28),
        ("--data images needs --from PATH", "--data", "images"),
        ("--players resnet has none for rows of shape .2,.", "--data", "ring", "--players", "resnet"),
        ("--accelerate graph needs a CUDA device", "--accelerate", "graph", "--device", "cpu"),
    ):
        refused(capsys, 2, message, "train", tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()


def test_cuda_where_there_is_none(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(capsys, 2, "no CUDA device", "train", tmp_path, "--data", "ring", "--device", "cuda")


def test_a_batch_larger_than_the_data_is_a_usage_error(tmp_path, capsys):
    message = "6000 is larger than the data, which has 5000 rows"
    refused(capsys, 2, message, "train", tmp_path / "run", "--batch", 6000, *CPU)
    assert not (tmp_path / "run").exists()


# Data


def test_altered_digits_exit_with_3(tmp_path, capsys, monkeypatch):
    content = bytearray((data.folder() / "digits.npz").read_bytes())
    content[1000] ^= 1
    (tmp_path / "digits.npz").write_bytes(content)
    monkeypatch.setattr(data._shipped, "folder", lambda: tmp_path)
    refused(capsys, 3, f"{data.DIGITS_SHA256}.*git checkout", "train", tmp_path / "run", *CPU)


@pytest.mark.parametrize("kind", ["mnist", "cifar10", "images"])
def test_data_that_are_not_there_exit_with_3(kind, tmp_path, capsys):
    words = ["--data", kind, "--from", tmp_path / "none", "--players", "mlp", *CPU]
    refused(capsys, 3, "none", "train", tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()


def make_pictures(folder, count, side=16, seed=0):
    """So many small pictures with some structure: two colours, mixed at random."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    slope = np.linspace(0, 1, side)[:, None, None] * np.ones((1, side, 1))
    for k in range(count):
        picture = np.clip(slope * rng.uniform(size=3) + rng.uniform(0, 0.1, (side, side, 3)), 0, 1)
        imsave(folder / f"{k:04}.png", picture)
    return folder


def test_a_folder_of_pictures_is_trained_sampled_and_judged(tmp_path, capsys):
    pictures, folder = make_pictures(tmp_path / "pictures", 300), tmp_path / "run"
    words = ["--data", "images", "--from", pictures, "--size", 12, "--players", "mlp", "--batch", 8, *CPU]
    assert run("train", folder, "--steps", 2, *words) == 0
    assert run("sample", folder, "--count", 10) == 0
    sheet = imread(folder / "samples.png")
    zoom = 600 // (8 * 14 - 2)
    assert sheet.shape[:2] == ((2 * 14 - 2) * zoom, (8 * 14 - 2) * zoom)
    assert len({tuple(pixel) for pixel in sheet[:12, :12, :3].reshape(-1, 3).tolist()}) > 1  # it is in colour
    capsys.readouterr()
    assert run("evaluate", folder, "-n", 130, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["real"] == "the training data: none is held out"
    by_name = {measure["name"]: measure for measure in report["measures"]}
    found = by_name["Frechet, 64 components"]
    assert 0 < found["floor"] < found["value"]
    assert "not FID" in found["note"]
    assert by_name["exact W1"]["floor"] > 0.01  # no row is in both real samples
    refused(
        capsys, 2, "needs 2 n real rows, so 302, and there are 300.*-n 150 at", "evaluate", folder, "-n", 151
    )
    other = make_pictures(tmp_path / "other", 4, seed=1)
    assert run("evaluate", folder, "-n", 2, "--from", other) == 0
    said = capsys.readouterr().out
    assert f"(pictures of {other})" in said
    assert "needs -n 128 or more" in said
    (pictures / "0000.png").unlink()
    refused(capsys, 4, "data with rows = 300, not 299", "train", folder, "--resume", "--steps", 3)
    make_pictures(pictures, 300, seed=2)
    refused(capsys, 4, "data with sha256 =", "train", folder, "--resume", "--steps", 3)


shipped = functools.cache(data.digits)


def grey(k):
    return Image.fromarray((shipped().x[k, 0].numpy() * 127.5 + 127.5).round().astype(np.uint8))


def coloured(k):
    """A picture with a palette from red to blue."""
    picture = grey(k).convert("P")
    picture.putpalette([level for k in range(256) for level in (255 - k, 0, k)])
    return picture


FOLDERS = {  # the pictures, the shape of a row, and what is said of it
    "grey": ([grey(k) for k in range(12)], [1, 28, 28], ""),
    "grey, of another size": ([grey(k).resize((32, 32)) for k in range(12)], [1, 32, 32], ""),
    "grey, of many sizes": ([grey(k).resize((20 + k, 40)) for k in range(12)], [1, 64, 64], ""),
    "colour 28x28": ([grey(k).convert("RGB") for k in range(12)], [3, 64, 64], ""),
    "mixed": (
        [grey(k).convert("RGB" if k < 5 else "L").resize((32, 32)) for k in range(12)],
        [3, 32, 32],
        "note: 7 grey and 5 colour pictures were found: all are taken as colour",
    ),
    "palette with transparency": (
        [coloured(k) for k in range(12)],
        [3, 64, 64],
        "",
    ),
    "16 bits": ([Image.fromarray(np.asarray(grey(k), np.uint16) * 257) for k in range(12)], [1, 28, 28], ""),
}


@pytest.mark.parametrize(
    ("pictures", "shape", "said"),
    [
        pytest.param(
            *one, id=name, marks=[pytest.mark.slow] * (name in ("colour 28x28", "palette with transparency"))
        )
        for name, one in FOLDERS.items()
    ],
)
def test_pictures_as_people_have_them(pictures, shape, said, tmp_path, capsys):
    place, folder = tmp_path / "pictures", tmp_path / "run"
    place.mkdir()
    for k, picture in enumerate(pictures):
        picture.save(place / f"{k}.png", **({"transparency": 0} if picture.mode == "P" else {}))
    players = "mlp" if shape[-1] == 64 else "dcgan"  # whose larger players take half a minute
    words = ["--data", "images", "--from", place, "--batch", 4, "--players", players, *CPU]
    assert run("train", folder, "--steps", 1, *words) == 0
    err = capsys.readouterr().err
    assert said in err if said else err == ""
    kept = checkpoints.read(folder / "checkpoint.wgan")["extra"]
    assert (kept["shape"], kept["size"], kept["players"]) == (shape, shape[-1], players)
    assert run("train", folder, "--steps", 2, "--resume") == 0
    refused(capsys, 4, "it has --channels", "train", folder, "--resume", "--channels", 4 - shape[0])
    assert run("sample", folder, "--count", 2, "--format", "npy") == 0
    assert np.load(folder / "samples.npy").shape == (2, *shape)


def test_a_sheet_of_grey_pictures_is_no_negative(tmp_path):
    for ink, level in ((True, 0), (False, 255)):
        buffer = io.BytesIO()
        sample.draw_images(torch.ones(1, 1, 4, 4), buffer, ink=ink)
        assert np.unique(np.asarray(Image.open(buffer).convert("L"))).tolist() == [level]


@pytest.mark.parametrize(("kind", "row"), [("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))])
def test_data_sets_with_a_test_set_are_judged_by_it(kind, row, tmp_path, capsys, monkeypatch):
    rng = torch.Generator().manual_seed(0)
    images = data.Images(torch.rand(270, *row, generator=rng) * 2 - 1, torch.zeros(270, dtype=torch.int64))
    asked = []

    def loader(folder=None, *, train=True, download=False):
        asked.append((folder, train, download))
        return images

    monkeypatch.setattr(data, kind, loader)
    words = ["--data", kind, "--players", "mlp", "--from", tmp_path, "--download", "--batch", 4, *CPU]
    assert run("train", tmp_path / "run", "--steps", 1, *words) == 0
    assert run("evaluate", tmp_path / "run", "-n", 130, "--json") == 0
    assert asked == [(str(tmp_path), True, True), (str(tmp_path), False, False)]
    report = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert report["real"] == f"the test set of {kind}"
    assert report["measures"][2]["name"] == ("digit score" if kind == "mnist" else "Frechet, 64 components")
    assert report["measures"][2]["value"] > 0


# Sampling


def test_samples_of_points(tmp_path, capsys):
    folder = tmp_path / "run"
    assert run("train", folder, "--steps", 1, *RING) == 0
    assert run("sample", folder) == 0
    assert imread(folder / "samples.png").shape == (600, 600, 4)
    assert "samples.png: 64 samples after 1 generator updates" in capsys.readouterr().out
    assert run("sample", folder, "--count", 700, "--format", "npy", "--seed", 5) == 0
    x = np.load(folder / "samples.npy")
    assert x.shape == (700, 2)
    assert x.dtype == np.float32
    _, _, average = config.load_run(folder)
    z = torch.randn(500, 2, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        np.testing.assert_array_equal(x[:500], average.player(z).numpy())
    assert run("sample", folder, "--count", 3, "--out", tmp_path / "three.npy") == 0
    assert np.load(tmp_path / "three.npy").shape == (3, 2)


def test_samples_of_digits_are_drawn_pixel_by_pixel_in_black_ink(tmp_path):
    folder = tmp_path / "run"
    assert run("train", folder, "--steps", 1, *CPU) == 0
    assert run("sample", folder, "--count", 9, "--out", tmp_path / "sheet.png") == 0
    assert run("sample", folder, "--count", 9, "--format", "npy") == 0
    x = np.load(folder / "samples.npy")
    assert x.shape == (9, 1, 28, 28)
    sheet, zoom = imread(tmp_path / "sheet.png"), 600 // (8 * 30 - 2)
    assert sheet.shape[:2] == ((2 * 30 - 2) * zoom, (8 * 30 - 2) * zoom)
    for k, (top, left) in ((1, (0, 30)), (8, (30, 0))):
        drawn = sheet[top * zoom : (top + 28) * zoom : zoom, left * zoom : (left + 28) * zoom : zoom, 0]
        np.testing.assert_allclose(drawn, 1 - (x[k, 0] + 1) / 2, atol=1 / 255)
    assert (sheet[30 * zoom :, 30 * zoom :, :3] == 1).all()  # no picture: white


def test_batchnorm_never_sees_a_small_batch():
    seen = []

    class Player(torch.nn.Module):
        def forward(self, z):
            seen.append(len(z))
            return z

    x = sample.generate(Player(), 3, 1100, torch.Generator().manual_seed(0))
    assert seen == [500, 500, 250]
    assert x.shape == (1100, 3)
    assert torch.equal(sample.generate(Player(), 3, 7, torch.Generator().manual_seed(0)), x[:7])


def test_samples_that_cannot_be_written_and_checkpoints_that_are_foreign(tmp_path, capsys):
    folder = tmp_path / "run"
    assert run("train", folder, "--steps", 1, *RING) == 0
    for out in (tmp_path / "none" / "x.png", tmp_path, tmp_path / ("x" * 300)):
        refused(capsys, 2, "Cannot write .*Name another --out", "sample", folder, "--out", out)
    path = folder / "checkpoint.wgan"
    saved, game, average = config.load_run(folder)
    for extra in ({"mine": 1}, saved.as_extra() | {"data": "nothing"}):
        checkpoints.save(path, game, average=average, extra=extra)
        refused(capsys, 4, "does not say of which data", "sample", folder)
    for verb in ("sample", "evaluate"):
        refused(capsys, 4, "does not exist", verb, tmp_path / "none")
        refused(capsys, 4, "File name too long", verb, tmp_path / ("x" * 300))


# Evaluation


def test_a_trained_ring_is_near_its_floor_and_the_numbers_are_those_of_the_package(tmp_path, capsys):
    assert run("train", tmp_path, "--data", "ring", "--batch", 64, "--steps", 150, *CPU) == 0
    capsys.readouterr()
    assert run("evaluate", tmp_path, "-n", 300, "--seed", 2, "--json") == 0
    first = capsys.readouterr().out
    assert run("evaluate", tmp_path, "-n", 300, "--seed", 2, "--json") == 0
    assert capsys.readouterr().out == first
    report = json.loads(first)
    by_name = {measure["name"]: measure for measure in report["measures"]}
    assert list(by_name) == ["exact W1", "critic's estimate", "modes met", "share near a mode"]
    _, game, average = config.load_run(tmp_path)
    ring = sampling.ring()
    real, other = (ring(300, evaluate.stream(2, key)) for key in (0, 1))
    fake = sample.generate(average.player, 2, 300, evaluate.stream(2, 2))
    w1, floor = metrics.exact_w1(real, other, fake)
    assert (by_name["exact W1"]["value"], by_name["exact W1"]["floor"]) == (w1, floor)
    assert 0 < floor < w1 < 1.0  # an untrained generator stands at 1.3
    with torch.no_grad():
        gap = (game.critic(real).double().mean() - game.critic(fake).double().mean()).item()
    assert by_name["critic's estimate"]["value"] == pytest.approx(gap, abs=1e-12)
    assert by_name["critic's estimate"]["note"] == "of W1; a penalty of weight 0.1 biases it"
    coverage = metrics.mode_coverage(fake, ring.centres, 0.2)
    assert by_name["modes met"]["value"] == coverage.modes
    assert by_name["share near a mode"]["value"] == coverage.share
    assert (by_name["modes met"]["floor"], by_name["share near a mode"]["floor"]) == (8, 1.0)
    assert run("evaluate", tmp_path, "-n", 300, "--seed", 2) == 0
    table = capsys.readouterr().out
    assert f"{w1:.4g}" in table
    assert "150 generator updates, data ring" in table
    assert run("evaluate", tmp_path, "-n", 300, "--seed", 3, "--json") == 0
    assert capsys.readouterr().out != first


def test_what_cannot_be_computed_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WGANLAB_CACHE", str(tmp_path / "cache"))
    words = ["--data", "swiss_roll", "--recipe", "gan", "--batch", 8, *CPU]
    assert run("train", tmp_path / "roll", "--steps", 1, *words) == 0
    assert run("evaluate", tmp_path / "roll", "-n", 20) == 0
    said = capsys.readouterr().out
    assert re.search(r"critic's estimate +- +-  this recipe's critic does not estimate W1", said)
    assert re.search(r"modes +- +-  swiss_roll has none", said)
    assert run("train", tmp_path / "digits", "--steps", 1, "--recipe", "wgan", *CPU) == 0
    assert run("evaluate", tmp_path / "digits", "-n", 20) == 0
    said = capsys.readouterr().out
    assert "the training data: none is held out, and mnist is not here" in said
    assert "in units of a clipped critic" in said
    assert re.search(r"digit score +- +-  needs -n 128 or more", said)


def test_digits_are_judged_by_mnist_where_it_is(tmp_path, capsys, monkeypatch):
    assert run("train", tmp_path, "--steps", 1, *CPU) == 0
    digits = data.digits()
    pool = data.Images(digits.x[::10], digits.labels[::10])
    monkeypatch.setattr(data, "mnist", lambda folder=None, *, train=True, download=False: pool)
    assert run("evaluate", tmp_path, "-n", 200, "--json") == 0
    report = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert report["real"] == "the test set of mnist"
    score = report["measures"][2]
    assert 0 < score["floor"] < score["value"]


# Doctor


def test_doctor_finds_a_machine_that_trains_well(capsys):
    assert run("doctor", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    found = {finding["name"]: finding for finding in report["findings"]}
    assert report["ok"]
    assert {"wganlab", "python", "torch", "POT"} | {name for name, _, _ in doctor.CHECKS} == set(found)
    assert found["torch"]["found"] == torch.__version__
    assert "digits: ok, 5000 pictures" in found["data"]["found"]
    assert "gap" in found["transport"]["found"]
    assert run("doctor") == 0
    assert "All that is required works." in capsys.readouterr().out


def test_doctor_says_what_is_ill(capsys, monkeypatch, tmp_path):
    def altered():
        raise DataError("altered")

    monkeypatch.setattr(data, "digits", altered)
    monkeypatch.setenv("WGANLAB_CACHE", "/dev/null/cache")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert run("doctor") == 1
    said = capsys.readouterr().out
    assert re.search(r"^FAILED +data +DataError: altered$", said, re.M)
    assert re.search(r"^- +cache +", said, re.M)
    assert re.search(r"^- +compiler +LookupError: none found", said, re.M)
    assert "Not well: data. Mend that first." in said


def test_doctor_sees_a_wrong_gradient_and_a_wrong_plan(monkeypatch):
    def wrong(game):
        return Game(game.generator, game.critic, replace(game.recipe, constraint=GradientPenalty(10.001)))

    monkeypatch.setattr(engine, "fast", wrong)
    with pytest.raises(ArithmeticError, match="the written-out gradient is .* from autograd's"):
        doctor.same_gradient()
    emd = transport.emd
    monkeypatch.setattr(transport, "emd", lambda x, y: replace(emd(x, y), cost=2.00001))
    with pytest.raises(ArithmeticError, match="came out as 2.00001"):
        doctor.exact_plan()


# Usage and help


OUT_OF_RANGE = """\
fly
train
train run --steps 0
train run --steps 1000000000000000000000000000000
train run --steps many
train run --batch -3
train run --batch 1000000000000
train run --recipe magic
train run --device tpu
train run --seed -1
train run --seed 9223372036854775808
train run --seed ٣
train run --threads 1000000000
train run --decay 1.5
train run --decay nan
train run --decay .
train run --rec gan
train run --size 3
sample run --count 100000000
sample run --format jpg
evaluate run -n 1
evaluate run -n 10001
diagnose
diagnose log.csv --rows 3
audit
doctor me"""
ODD = [
    [],
    ["train", ""],
    ["train", "a\0b"],
    ["train", "run", "--seed", " 1_0"],
    ["train", "run", "--recipe", "two\nlines"],
]


@pytest.mark.parametrize("arguments", [*map(str.split, OUT_OF_RANGE.splitlines()), *ODD], ids=repr)
def test_usage_errors_exit_with_2(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    refused(capsys, 2, "--help", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_numbers_at_the_borders_are_taken():
    read = grammar.parser().parse_args
    assert read(["train", "x", "--seed", str(2**63 - 1)]).seed == 2**63 - 1
    assert read(["train", "x", "--decay", "1"]).decay == 1.0
    assert read(["train", "x", "--threads", "auto"]).threads == "auto"
    assert read(["evaluate", "x", "-n", "10000"]).n == 10_000


def help_of(verb, capsys):
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        run(*([verb] if verb else []), "--help")
    assert end.value.code == 0
    return capsys.readouterr().out


def test_help_teaches(capsys):
    top = help_of("", capsys)
    assert "start here:" in top
    for verb in VERBS:
        assert re.search(rf"^    {verb} +[a-z]", top, re.M)  # its purpose in one line
        said = help_of(verb, capsys)
        assert said.isascii()
        assert "examples:\n  wganlab" in said
        assert "exit codes:" in said
        lines = said[said.index("options:") : said.index("examples:")]
        for option in re.findall(r"^  (-.+(?:\n {10,}.+)*)", lines, re.M):
            assert re.search(r"  +[A-Za-z(]|\n", option), option  # each option says what it does
    with pytest.raises(SystemExit):
        run("--version")
    assert re.fullmatch(r"wganlab \d+\.\d+\.\d+\n", capsys.readouterr().out)


def examples(capsys):
    """Every example of every help, as words."""
    texts = [help_of(verb, capsys) for verb in ("", *VERBS)]
    lines = [line for text in texts for line in re.findall(r"^  ((?:wganlab|torchrun) .*)$", text, re.M)]
    return [shlex.split(line) for line in dict.fromkeys(lines)]


PENALTY = """
import torch
def gradient_penalty(critic, x, x_fake):
    eps = torch.rand(len(x), *[1] * (x.ndim - 1))
    x_hat = (eps * x + (1 - eps) * x_fake).requires_grad_()
    (g,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    return 10 * (g.flatten(1).norm(dim=1) - 1).square().mean()
penalty = gradient_penalty
def make_critic():
    layers = torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1), torch.nn.Flatten(0)
    return torch.nn.Sequential(*layers)
def training_step(generator, critic, optimizers, x):
    draw = lambda: generator(torch.randn(len(x), 2))
    for _ in range(5):
        x_fake = draw().detach()
        loss = critic(x_fake).mean() - critic(x).mean() + gradient_penalty(critic, x, x_fake)
        optimizers.critic.zero_grad(), loss.backward(), optimizers.critic.step()
    optimizers.generator.zero_grad(), (-critic(draw()).mean()).backward(), optimizers.generator.step()
"""


@pytest.mark.slow
def test_the_examples_of_the_help_run(tmp_path, monkeypatch, capsys):
    """As they stand, but for the number of steps; what would download is only read."""
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "ada", "bo"):
        (tmp_path / f"{name}.py").write_text(PENALTY)
    (tmp_path / "mine.csv").write_text("step,critic_loss\n1,0.5\n")
    (tmp_path / "my").mkdir()
    make_pictures(tmp_path / "my" / "pictures", 8)
    lines = examples(capsys)
    assert len(lines) >= 15
    for words in lines:
        if words[0] == "torchrun":
            words = words[words.index("wganlab") :]
        fewer = ["--steps", "2", "--log", "1"] if words[1] == "train" and "--resume" not in words else []
        if "cifar10" in words or "mnist" in words:
            grammar.parser().parse_args(words[1:])
            continue
        smaller = ["--batch", "4"] if "images" in words else []
        assert run(*words[1:], *fewer, *smaller) == 0, (words, capsys.readouterr().err)


# Failures and ends


def test_what_nobody_foresaw_is_one_line_too_and_whole_with_debug(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train, "set_up", lambda *_, **__: 1 / 0)
    assert run("train", tmp_path / "run", *RING) == 1
    assert "unexpected ZeroDivisionError: division by zero" in one_line(capsys)
    for words in (["--debug", "train", tmp_path / "run"], ["train", tmp_path / "run", "--debug"]):
        with pytest.raises(ZeroDivisionError):
            run(*words, *RING)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")],
)
def test_too_little_memory_is_a_usage_error(error, tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(train, "set_up", fail)
    refused(capsys, 2, "not enough memory for this. Take a smaller --batch", "train", tmp_path, *RING)


def test_an_interrupted_verb_exits_with_130(tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "read", interrupt)
    assert run("sample", tmp_path) == 130
    monkeypatch.setattr(cli, "parser", interrupt)
    assert run("train", tmp_path) == 130
    assert capsys.readouterr().err == ""


def test_checkpoint_errors_exit_with_4(tmp_path, capsys):
    folder = tmp_path / "run"
    path = folder / "checkpoint.wgan"
    refused(capsys, 4, "to resume", "train", folder, "--resume", *RING)
    assert not folder.exists()
    assert run("train", folder, "--steps", 1, *RING) == 0
    refused(capsys, 4, "exists. Add --resume", "train", folder, "--steps", 1, *RING)
    with lock_folder(folder):
        refused(capsys, 4, "Another process", "train", folder, "--resume", "--steps", 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    for verb in ("sample", "evaluate"):
        refused(capsys, 4, "damaged", verb, folder)
    refused(capsys, 4, "damaged", "train", folder, "--resume", "--steps", 2)
    path.rename(checkpoints.previous(path))
    refused(capsys, 4, "previous.wgan exists. Add --resume", "train", folder, *RING)
    (tmp_path / "file").write_text("")
    refused(capsys, 4, "Cannot write into", "train", tmp_path / "file", *RING)
    refused(capsys, 4, "Cannot look for", "train", tmp_path / ("x" * 300), *RING)


def test_a_run_that_another_process_has_begun_meanwhile_is_not_overwritten(tmp_path, capsys, monkeypatch):
    prepare = train.prepare

    def late(*arguments):
        prepared = prepare(*arguments)
        monkeypatch.setattr(train, "prepare", prepare)
        assert run("train", tmp_path, "--steps", 1, *RING) == 0
        return prepared

    monkeypatch.setattr(train, "prepare", late)
    refused(capsys, 4, "exists. Add --resume", "train", tmp_path, "--seed", 1, *RING)
    assert state(tmp_path)["extra"]["seed"] == 0


def test_a_run_that_another_process_goes_on_with_is_not_read_before_it_has_ended(
    tmp_path, capsys, monkeypatch
):
    assert run("train", tmp_path, "--steps", 1, *RING) == 0
    monkeypatch.setattr(checkpoints, "read", None)
    with lock_folder(tmp_path):
        refused(capsys, 4, "Another process", "train", tmp_path, "--resume", "--steps", 2)


def test_divergence_exits_with_5_and_keeps_the_last_checkpoint(tmp_path, capsys, monkeypatch):
    assert run("train", tmp_path, "--steps", 4, *RING) == 0
    good = (tmp_path / "checkpoint.wgan").read_bytes()
    steps = train.train

    def diverging(game, draw, until, **options):
        for step in steps(game, draw, until, **options):
            if step.index == 6:
                raise DivergenceError("Training diverged at step 6: critic loss nan.")
            yield step

    monkeypatch.setattr(train, "train", diverging)
    refused(capsys, 5, "diverged at step 6", "train", tmp_path, "--steps", 9, "--resume", *RING)
    assert (tmp_path / "checkpoint.wgan").read_bytes() == good


def test_a_restart_by_torchrun_resumes_by_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert run("train", tmp_path, "--steps", 2, *RING) == 0  # it died before its first checkpoint
    assert run("train", tmp_path, "--steps", 3, *RING) == 0
    assert state(tmp_path)["game"]["step"] == 3


# Signals


def test_the_first_signal_is_remembered_and_handlers_are_given_back():
    names = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = [signal.getsignal(name) for name in names]
    with terminal.Stop() as stopping:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.signal == signal.SIGTERM
        stopping.begin()
        os.kill(os.getpid(), signal.SIGINT)
        assert stopping.signal == signal.SIGTERM
    assert [signal.getsignal(name) for name in names] == before


def test_a_signal_while_the_ranks_agree_is_not_lost(tmp_path, monkeypatch):
    loop = train.loop

    def late(one, every, stop):
        def agree(flag):
            if one.game.step == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return flag

        one.ranks.agree = agree
        return loop(one, every, stop)

    monkeypatch.setattr(train, "loop", late)
    assert run("train", tmp_path, "--steps", 1000, *RING) == 143
    assert state(tmp_path)["game"]["step"] == 3


def test_a_second_signal_before_the_first_step_ends_at_once(tmp_path, monkeypatch, capsys):
    def slow(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError

    monkeypatch.setattr(config.RunConfig, "load", slow)
    assert run("train", tmp_path / "run", *RING) == 143
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "run").exists()


def test_one_signal_before_the_first_step_leaves_a_checkpoint(tmp_path, monkeypatch):
    load = config.RunConfig.load
    killed = lambda *a, **b: os.kill(os.getpid(), signal.SIGHUP) or load(*a, **b)  # noqa: E731
    monkeypatch.setattr(config.RunConfig, "load", killed)
    assert run("train", tmp_path, *RING) == 129
    assert state(tmp_path)["game"]["step"] == 1


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminal.Stop() as stopping:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stopping.signal == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_a_signal_ends_the_run_between_two_steps_with_a_checkpoint(tmp_path):
    folder = tmp_path / "run"
    words = ["train", str(folder), "--steps", "1000000", "--every", "5", *RING]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-m", "wganlab", *words], text=True, **pipes)
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.wgan").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "")
    assert f"{state(folder)['game']['step']} of 1000000" in out


# Outputs that nobody reads


def test_broken_pipes_in_process(tmp_path, monkeypatch, capsys):
    class Broken(io.StringIO):
        def write(self, _):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Broken())
    assert run("train", tmp_path, "--steps", 1, *RING) == 0
    assert run("sample", tmp_path) == 141
    assert run("doctor") == 141
    monkeypatch.setattr(sys, "stdout", None)
    assert run("sample", tmp_path) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_stdout_is_said(tmp_path, monkeypatch, capsys):
    assert run("train", tmp_path, "--steps", 1, *RING) == 0
    capsys.readouterr()
    for words, code in ((["sample"], 2), (["train", "--resume", "--steps", 2], 0)):
        with open("/dev/full", "w", encoding="utf-8") as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            assert run(*words, tmp_path) == code
        if code:
            assert "Cannot write to stdout: No space left on device" in one_line(capsys)


def test_lines_in_an_encoding_that_lacks_their_characters():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    terminal.write_line("Fr\u00e9chet \udcff", stream)
    assert stream.buffer.getvalue() == rb"Fr\xe9chet \udcff" + b"\n"


# Several processes, and the installed command


def test_torchrun_takes_none_of_our_options_for_its_own(capsys):
    from torch.distributed.run import get_args_parser

    options = set(re.findall(r"(?<![\w-])--[a-z-]+", help_of("train", capsys))) - {
        "--log",
        "--nproc-per-node",
    }
    assert {"--log-every", "--resume", "--steps"} <= options
    for option in options:
        found = get_args_parser().parse_args(["--nproc-per-node", "2", "-m", "wganlab", "train", "x", option])
        assert found.training_script_args == ["train", "x", option]


def test_the_command_helps_without_importing_torch():
    code = "import sys; from wganlab.__main__ import main\n"
    code += "try: main(['train', '--help'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nFalse\n")
    script = shutil.which("wganlab", path=os.path.dirname(sys.executable))
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert "train a generator and a critic" in done.stdout


@pytest.mark.parametrize(("rank", "lines"), [(None, 1), ("0", 1), ("1", 0)])
def test_what_all_ranks_have_met_is_said_once(rank, lines, monkeypatch, capsys):
    if rank:
        monkeypatch.setenv("RANK", rank)
    assert cli.failure(InputError("a rule")) == 2
    assert capsys.readouterr().err.count("a rule") == lines


@pytest.mark.parametrize("words", [("sample", "run", "--out"), ("train",), ("evaluate", "run", "--from")])
def test_a_path_that_no_system_can_write_is_a_usage_error(words, capsys):
    refused(
        capsys, 2, r"must be a path that this system can write, got '.ud800' at place 2", *words, "a\ud800"
    )
