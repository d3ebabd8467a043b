"""The command line: every failure is one line on stderr and an exit code, never a traceback."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from wganlab import __main__ as cli
from wganlab import checkpoints, data
from wganlab.errors import DivergenceError

RING = ["--data", "ring", "--batch", "8", "--device", "cpu"]


@pytest.fixture(autouse=True)
def restore():
    """``train`` installs signal handlers and sets the threads of the process; put both back."""
    names = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    handlers, threads = [signal.getsignal(name) for name in names], torch.get_num_threads()
    yield
    for name, handler in zip(names, handlers, strict=True):
        signal.signal(name, handler)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def one_line(capsys):
    err = capsys.readouterr().err
    assert err.startswith("wganlab: ")
    assert err.count("\n") == 1
    return err


def weights(folder):
    return checkpoints.read(folder / "checkpoint.wgan")["game"]


def test_train_resume_equals_one_run_and_sample_draws(tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert cli.main(["train", str(whole), "--steps", "6", *RING]) == 0
    assert "6 of 6 generator updates, recipe wgan_gp_toy, on cpu" in capsys.readouterr().out
    assert cli.main(["train", str(parts), "--steps", "2", *RING]) == 0
    assert cli.main(["train", str(parts), "--steps", "6", "--resume", *RING]) == 0
    one, other = checkpoints.tensors(weights(whole)), checkpoints.tensors(weights(parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert cli.main(["sample", str(whole), "--count", "20"]) == 0
    assert (whole / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_digits_train_and_are_drawn(tmp_path):
    assert cli.main(["train", str(tmp_path / "run"), "--steps", "1", "--device", "cpu"]) == 0
    out = tmp_path / "sheet.png"
    assert cli.main(["sample", str(tmp_path / "run"), "--count", "16", "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["train"],
        ["train", "run", "--steps", "0"],
        ["train", "run", "--batch", "-3"],
        ["train", "run", "--recipe", "magic"],
        ["train", "run", "--device", "tpu"],
        ["train", "run", "--seed", "-1"],
        ["train", "run", "--seed", str(2**63)],
        ["train", "run", "--steps", "many"],
    ],
)
def test_usage_errors_exit_with_2(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "--help" in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_foresaw_is_one_line_too_and_whole_with_debug(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "set_up", lambda *_: 1 / 0)
    assert cli.main(["train", str(tmp_path / "run"), *RING]) == 1
    assert "unexpected ZeroDivisionError: division by zero" in one_line(capsys)
    with pytest.raises(ZeroDivisionError):
        cli.main(["--debug", "train", str(tmp_path / "run"), *RING])


def test_an_interrupted_sample_exits_with_130(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "read", interrupt)
    assert cli.main(["sample", str(tmp_path)]) == 130


def test_sampling_a_foreign_checkpoint_or_into_no_folder(tmp_path, capsys):
    run = tmp_path / "run"
    assert cli.main(["train", str(run), "--steps", "1", *RING]) == 0
    assert cli.main(["sample", str(run), "--out", str(tmp_path / "none" / "x.png")]) == 2
    assert "Cannot write" in one_line(capsys)
    path = run / "checkpoint.wgan"
    game, average, _ = cli.set_up("ring", "wgan_gp_toy", 0, torch.device("cpu"))
    checkpoints.save(path, game, average=average, extra={"mine": 1})
    assert cli.main(["sample", str(run)]) == 4
    assert "does not say of which data" in one_line(capsys)


def test_a_batch_larger_than_the_data_is_a_usage_error(tmp_path, capsys):
    assert cli.main(["train", str(tmp_path / "run"), "--batch", "6000", "--device", "cpu"]) == 2
    assert "6000 is larger than the data, which has 5000 rows" in one_line(capsys)
    assert not (tmp_path / "run").exists()


def test_cuda_where_there_is_none(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.main(["train", str(tmp_path), "--data", "ring", "--device", "cuda"]) == 2
    assert "no CUDA device" in one_line(capsys)


def test_altered_digits_exit_with_3(tmp_path, capsys, monkeypatch):
    content = bytearray((data.folder() / "digits.npz").read_bytes())
    content[1000] ^= 1
    (tmp_path / "digits.npz").write_bytes(content)
    monkeypatch.setattr(data, "folder", lambda: tmp_path)
    assert cli.main(["train", str(tmp_path / "run"), "--device", "cpu"]) == 3
    err = one_line(capsys)
    assert data.DIGITS_SHA256 in err
    assert "git checkout" in err


def test_checkpoint_errors_exit_with_4(tmp_path, capsys):
    run = tmp_path / "run"
    assert cli.main(["train", str(run), "--resume", *RING]) == 4
    assert "to resume" in one_line(capsys)
    assert cli.main(["train", str(run), "--steps", "1", *RING]) == 0
    capsys.readouterr()
    assert cli.main(["train", str(run), "--steps", "1", *RING]) == 4
    assert "exists. Add --resume" in one_line(capsys)
    assert cli.main(["train", str(run), "--resume", "--seed", "3", *RING]) == 4
    assert "another run" in one_line(capsys)
    (run / "checkpoint.wgan").write_bytes((run / "checkpoint.wgan").read_bytes()[:-5])
    assert cli.main(["sample", str(run)]) == 4
    assert "damaged" in one_line(capsys)
    (tmp_path / "file").write_text("")
    assert cli.main(["train", str(tmp_path / "file"), *RING]) == 4
    assert "Cannot write into" in one_line(capsys)


def test_divergence_exits_with_5_and_keeps_the_last_checkpoint(tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    assert cli.main(["train", str(run), "--steps", "4", *RING]) == 0
    capsys.readouterr()
    good = (run / "checkpoint.wgan").read_bytes()
    steps = cli.train

    def diverging(game, draw, until):
        for step in steps(game, draw, until):
            if step.index == 6:
                raise DivergenceError("Training diverged at step 6: critic loss nan.")
            yield step

    monkeypatch.setattr(cli, "train", diverging)
    assert cli.main(["train", str(run), "--steps", "9", "--resume", *RING]) == 5
    assert "diverged at step 6" in one_line(capsys)
    assert (run / "checkpoint.wgan").read_bytes() == good


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_between_two_steps_with_a_checkpoint(tmp_path, number, code):
    run = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "wganlab",
        "train",
        str(run),
        "--steps",
        "1000000",
        "--every",
        "5",
        *RING,
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (run / "checkpoint.wgan").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    step = weights(run)["step"]
    assert f"{step} of 1000000" in out


def test_the_console_script_is_installed():
    script = shutil.which("wganlab", path=os.path.dirname(sys.executable))
    assert script
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert "train two players" in done.stdout
