"""The fault table: what fails elsewhere, done to the command line on purpose. Nothing is lost.

Scaled down; ``make soak`` does the full numbers. ``ROWS`` names the test of each row, here or elsewhere.
"""

import ast
import fcntl
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import replace
from pathlib import Path

import faults
import pytest
import torch

from wganlab import checkpoints, networks, recipes, sampling
from wganlab.errors import CheckpointError, DivergenceError, InputError
from wganlab.training import Game, train

TESTS = Path(__file__).parent
ROWS = {  # what is done, and the tests that do it
    1: (
        "kill -9, with the run on another file system",
        "test_faults::test_kill_9_loses_no_checkpoint_and_no_bit",
        "test_faults::test_kill_9_at_each_point_of_a_save",
        "test_faults::test_kill_9_of_the_real_command",
    ),
    2: (
        "SIGTERM, SIGINT, SIGHUP in a step, in a save, while data load",
        "test_faults::test_a_signal_at_any_moment_saves_and_ends",
        "test_faults::test_a_terminal_that_is_closed_ends_the_run_with_a_checkpoint",
        "test_main::test_a_signal_ends_the_run_between_two_steps_with_a_checkpoint",
    ),
    3: ("a second signal during a save", "test_faults::test_a_second_signal_during_a_save_leaves_it_whole"),
    4: (
        "no permission, folder is a file, full disk, folder in use",
        "test_faults::test_a_folder_that_cannot_be_written_is_refused_before_step_1",
        "test_faults::test_a_full_disk_keeps_the_old_checkpoint_and_says_how_much_is_needed",
        "test_faults::test_two_runs_never_share_a_folder_and_a_dead_one_is_no_obstacle",
    ),
    5: (
        "empty, text, HTML, folder, link, pipe, damage as checkpoint",
        "test_checkpoints::test_foreign_files_are_refused_by_name",
        "test_faults::test_no_damaged_checkpoint_is_loaded",
    ),
    6: ("code in a checkpoint", "test_checkpoints::test_code_in_a_checkpoint_is_not_run"),
    7: (
        "keys, shapes, dtypes, NaN that are not the game's",
        "test_checkpoints::test_a_checkpoint_with_wrong_content_is_refused_by_key",
        "test_checkpoints::test_another_game_is_refused_and_left_as_it_was",
    ),
    8: (
        "optimizer of other shapes",
        "test_checkpoints::test_a_checkpoint_with_wrong_content_is_refused_by_key",
    ),
    9: (
        "each item of the state omitted",
        "test_checkpoints::test_a_checkpoint_without_any_one_of_its_entries_is_refused",
        "test_checkpoints::test_a_resumed_run_is_another_one_if_any_item_of_the_state_is_left_out",
        "test_checkpoints::test_running_statistics_left_out_are_seen_in_evaluation",
    ),
    10: (
        "resume with other threads",
        "test_faults::test_another_number_of_threads_is_noted_and_the_run_goes_on",
    ),
    11: (
        "NaN in data, infinite rate, exploding critic",
        "test_faults::test_a_run_that_diverges_says_where_and_keeps_its_last_checkpoint",
        "test_faults::test_an_exploding_critic_is_never_saved",
    ),
    12: (
        "options out of range; data without variety",
        "test_main::test_usage_errors_exit_with_2",
        "test_main::test_a_batch_larger_than_the_data_is_a_usage_error",
        "test_faults::test_numbers_that_no_game_can_use_are_refused_by_name",
        "test_faults::test_data_without_any_variety_train_without_nan",
    ),
    13: (
        "wrong images",
        "test_pictures::test_what_is_no_picture_is_named",
        "test_loaders::test_a_wrong_file_is_named",
        "test_main::test_players_that_do_not_fit_are_refused",
    ),
    14: (
        "penalty at a gradient of zero",
        "test_constraints::test_a_dead_critic_costs_lambda_and_has_finite_gradients",
    ),
    15: (
        "0 x 0, 1 x m, n = 200,000 in little memory",
        "test_transport::test_shapes_at_the_edge_in_4_gb_of_memory",
        "test_transport::test_a_matrix_that_would_not_fit_is_refused_before_it_is_made",
    ),
    16: (
        "Sinkhorn with a bad epsilon, or too few iterations",
        "test_entropic::test_refuses_an_epsilon_that_is_none",
        "test_entropic::test_what_has_not_converged_is_no_number",
    ),
    17: (
        "result codes of the solver",
        "test_transport::test_a_result_code_other_than_1_is_never_a_number",
        "test_transport::test_a_failed_linear_program_is_never_a_number",
    ),
    18: ("a solver that lies", "test_transport::test_a_wrong_answer_of_the_solver_is_caught"),
    19: (
        "python -O",
        "test_optimised::test_refusals_and_answers_stand_without_asserts",
        "test_optimised::test_the_package_has_no_assert",
    ),
    20: (
        "a server that is ill, slow, endless or not itself",
        "test_download::test_what_is_wrong_is_refused",
        "test_download::test_what_is_wrongly_packed_is_refused",
        "test_download::test_a_drip_ends_at_the_deadline",
        "test_download::test_silence_ends_at_the_time_out",
        "test_download::test_a_server_that_nobody_vouches_for_is_refused",
        "test_download::test_refused_connections",
    ),
    21: ("a damaged file in the cache", "test_download::test_an_altered_file_of_the_cache"),
    22: (
        "four downloads at once; kill -9 in a download",
        "test_download::test_four_processes_at_once",
        "test_download::test_kills_in_a_download_leave_no_wrong_file",
    ),
    23: (
        "archives that attack",
        "test_loaders::test_members_that_were_not_asked_for_are_passed_over",
        "test_loaders::test_a_batch_that_is_no_regular_file",
        "test_loaders::test_a_bomb_is_not_unpacked",
        "test_loaders::test_nothing_that_a_pickle_names_is_run",
        "test_loaders::test_a_few_bytes_do_not_allocate_gigabytes",
    ),
    24: (
        "digits missing or altered",
        "test_data::test_one_changed_byte_is_found",
        "test_data::test_a_missing_file_is_named",
    ),
    25: (
        "a rank that hangs, is stopped or dies",
        "test_engine_ranks::test_every_other_rank_names_the_one_that",
        "test_engine_ranks::test_one_rank_reports_what_all_have_met",
    ),
    26: (
        "ranks against the joint batch; one ulp",
        "test_engine_ranks::test_gradients_of_ranks_are_those_of_one_process",
        "test_engine_ranks::test_several_turns_of_ranks_are_those_of_one_process",
        "test_engine_ranks::test_one_ulp_in_one_weight_of_one_rank_is_found_and_the_rank_named",
    ),
    27: (
        "no network, home, display, UTF-8, standard output",
        "test_faults::test_a_bare_environment_is_enough",
        "test_faults::test_nobody_reads_what_is_printed",
    ),
    28: ("a changed digit in each notebook", "test_mutation::test_a_changed_digit_fails"),
    29: (
        "a script or an address planted in an output",
        "test_book::test_rule_sees_a_planted_fault",
        "test_browser::test_planted_reference_is_seen",
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_the_tests_of_each_row_exist(row):
    for test in ROWS[row][1:]:
        file, name = test.split("::")
        tree = ast.parse((TESTS / f"{file}.py").read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, forks and limits as Linux has them")


@pytest.fixture(scope="module")
def warm():
    with faults.Warm() as process:
        yield process


@pytest.fixture
def elsewhere():
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def step_of(folder):
    return faults.state(folder)["game"]["step"]


def wait_for(path, process=None):
    """Wait until a file is there."""
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        assert process is None or process.poll() is None, f"no {path}, and its writer has ended"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def finished(warm, tmp_path_factory):
    """Whether run 0 in a folder, resumed to its sixth step, ends in the state of one that was left alone."""
    whole = tmp_path_factory.mktemp("whole") / "run"
    assert warm.run(faults.training(whole, steps=6)).code == 0

    def same(run):
        done = warm.run(faults.training(run, steps=6, resume=faults.state(run) is not None))
        assert (done.code, done.err) == (0, "")
        return faults.equal(faults.state(run), faults.state(whole))

    return same


# Kills


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs another file system, /dev/shm")
def test_kill_9_loses_no_checkpoint_and_no_bit(warm):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        assert os.stat(folder).st_dev != os.stat(tempfile.gettempdir()).st_dev
        counts = faults.kill(warm, folder, 20, steps=24)
    assert counts["kills"] == 20
    assert counts["steps lost"] == counts["files left over"] == 0
    assert counts["runs equal to the uninterrupted"] == counts["runs"] >= 2
    assert not [name for name in counts if name.startswith("ended with")], counts


@pytest.mark.parametrize("moment", ["write", "flush", "link", "rename"])
@pytest.mark.parametrize("turn", [1, 2, 3, 4])
def test_kill_9_at_each_point_of_a_save(warm, tmp_path, moment, turn, finished):
    run = tmp_path / "run"
    done = warm.run(faults.training(run, steps=6), plant=[[moment, turn, "SIGKILL"]])
    assert done.code == -signal.SIGKILL
    assert finished(run)
    assert list(run.glob(".*.part")) == []


@pytest.mark.slow
def test_kill_9_of_the_real_command(tmp_path, warm):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "wganlab", *faults.training(run, steps=10**6)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_for(checkpoints.previous(run / "checkpoint.wgan"), process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert step_of(run) >= 2


# Signals


@pytest.mark.parametrize(
    "name", ["SIGINT", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SIGTERM", "SIGHUP"))]
)
@pytest.mark.parametrize("moment", ["loading", "batch", "step", "write", "flush", "link", "rename"])
def test_a_signal_at_any_moment_saves_and_ends(warm, tmp_path, name, moment, finished):
    turn, run = 1 if moment in ("loading", "link") else 2, tmp_path / "run"
    done = warm.run(faults.training(run, steps=6), plant=[[moment, turn, name]])
    assert (done.code, done.err) == (128 + getattr(signal, name), "")
    assert step_of(run) in (1, 2, 3)  # of 6: the step in progress, or the one after the save in progress
    assert f"{step_of(run)} of 6 generator updates" in done.out
    assert finished(run)


@pytest.mark.parametrize("moment", ["write", "flush", "link", "rename"])
def test_a_second_signal_during_a_save_leaves_it_whole(warm, tmp_path, moment, finished):
    run = tmp_path / "run"
    done = warm.run(faults.training(run, steps=6), plant=[[moment, 2, "SIGINT SIGINT SIGTERM"]])
    assert done.code in (130, 143)
    assert "Traceback" not in done.err
    assert list(run.glob(".*.part")) == []
    assert finished(run)


ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_the_run_with_a_checkpoint(tmp_path):
    """The run gets SIGHUP, and every line that it writes from then on fails."""
    run, (ours, theirs) = tmp_path / "run", pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = [sys.executable, "-c", ON_TERMINAL, sys.executable, "-m", "wganlab"]
    command += faults.training(run, steps=10**6)
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    with subprocess.Popen(command, start_new_session=True, **streams) as process:
        os.close(theirs)
        wait_for(checkpoints.previous(run / "checkpoint.wgan"), process)
        seen = os.read(ours, 65536)
        os.close(ours)
    assert b"/1000000 [" in seen  # a bar was being written
    assert process.returncode == 128 + signal.SIGHUP
    assert step_of(run) >= 2


# Folders, disks


def test_a_folder_that_cannot_be_written_is_refused_before_step_1(warm, elsewhere):
    nobody = 65534 if os.geteuid() == 0 else None  # root may write everywhere
    for name, mode in (("open", 0o777), ("closed", 0o555)):
        (elsewhere / name).mkdir()
        (elsewhere / name).chmod(mode)
    (elsewhere / "file").write_text("")
    assert warm.run(faults.training(elsewhere / "open" / "run"), user=nobody).code == 0
    for place in ("closed", "closed/run", "file", "file/run"):
        done = warm.run(faults.training(elsewhere / place), user=nobody, plant=[["batch", 2, "SIGKILL"]])
        assert done.code == 4
        assert re.fullmatch(
            r"wganlab: Cannot write into \S+: (Permission denied|Not a directory|File exists)\. .*\n",
            done.err,
        )
    assert list((elsewhere / "closed").iterdir()) == []
    run = elsewhere / "open" / "run"
    run.chmod(0o555)  # after it has begun
    done = warm.run(faults.training(run, steps=6, resume=True), user=nobody, plant=[["batch", 2, "SIGKILL"]])
    assert (done.code, step_of(run)) == (4, 4)


@pytest.mark.parametrize("cause", ["a limit on file sizes", "no space"])
def test_a_full_disk_keeps_the_old_checkpoint_and_says_how_much_is_needed(warm, tmp_path, cause, finished):
    run = tmp_path / "run"
    assert warm.run(faults.training(run)).code == 0
    content = (run / "checkpoint.wgan").read_bytes()
    how = (
        {"limit": len(content) - 1} if cause == "a limit on file sizes" else {"plant": [["flush", 4, "full"]]}
    )
    done = warm.run(faults.training(run, steps=6, resume=True), **how)
    assert done.code == 4
    size = f"{len(content) / 1e6:.2f}"
    assert re.search(
        rf"^wganlab: Cannot write the checkpoint \S+: .*\. It takes {size} MB, and \S+ MB are free\.",
        done.err,
    )
    assert (run / "checkpoint.wgan").read_bytes() == content
    assert list(run.glob(".*.part")) == []
    assert finished(run)


def test_two_runs_never_share_a_folder_and_a_dead_one_is_no_obstacle(warm, tmp_path):
    run = tmp_path / "run"
    process = warm.start(faults.training(run, steps=10**6))
    wait_for(run / "checkpoint.wgan")
    done = warm.run(faults.training(run, steps=10**6, resume=True))
    assert done.code == 4
    assert f"Another process ({process}) trains in {run}" in done.err
    os.kill(process, signal.SIGKILL)
    assert warm.wait(process).code == -signal.SIGKILL
    before = step_of(run)
    assert (
        warm.run(faults.training(run, steps=10**6, resume=True), plant=[["step", 2, "SIGTERM"]]).code == 143
    )
    assert step_of(run) == before + 2


def test_a_new_run_never_replaces_an_old_one(warm, tmp_path, finished):
    run = tmp_path / "run"
    assert warm.run(faults.training(run)).code == 0
    for _ in range(2):  # the second time only the one before the newest is there
        content = {path.name: path.read_bytes() for path in run.glob("*.wgan")}
        assert warm.run(faults.training(run)).code == 4
        assert content == {path.name: path.read_bytes() for path in run.glob("*.wgan")}
        (run / "checkpoint.wgan").unlink(missing_ok=True)
    done = warm.run(faults.training(run, resume=True))
    assert done.code == 4
    assert "checkpoint.previous.wgan, is whole: copy it to checkpoint.wgan" in done.err
    shutil.copy(run / "checkpoint.previous.wgan", run / "checkpoint.wgan")
    assert finished(run)


# Damage


def test_no_damaged_checkpoint_is_loaded(warm, tmp_path):
    run, path = tmp_path / "run", tmp_path / "c"
    assert warm.run(faults.training(run, steps=1)).code == 0
    content = (run / "checkpoint.wgan").read_bytes()
    for number in range(104):
        path.write_bytes(faults.damage(content, number)[1])
        with pytest.raises(CheckpointError, match="is damaged|is not a wganlab checkpoint|has format"):
            checkpoints.read(path)
    path.write_bytes(content)
    checkpoints.read(path)


def test_every_kind_of_damage_changes_what_it_says():
    content = random.Random(0).randbytes(20_000)
    lengths = {
        faults.damage(content, number)[0]: len(faults.damage(content, number)[1]) for number in range(8)
    }
    assert len(lengths) == len(faults.DAMAGE) == 8
    assert lengths["cut"] < 20_000
    assert lengths["left_out"] < 20_000
    assert lengths["appended"] > 20_000
    assert all(lengths[name] == 20_000 for name in ("flipped", "zeroed", "swapped", "noise", "header"))


# Numbers


def test_another_number_of_threads_is_noted_and_the_run_goes_on(warm, tmp_path):
    run = tmp_path / "run"
    assert warm.run(faults.training(run)).code == 0
    done = warm.run([*faults.training(run, steps=6, resume=True), "--threads", "2"])
    assert (done.code, step_of(run)) == (0, 6)
    assert re.fullmatch(r"wganlab: .*made with 1 threads and is continued with 2 threads.*\n", done.err)


@pytest.mark.parametrize("turn", [3, 8, 13])  # critic updates, five a step
def test_a_run_that_diverges_says_where_and_keeps_its_last_checkpoint(warm, tmp_path, turn, finished):
    run, step = tmp_path / "run", 1 + (turn - 1) // 5
    done = warm.run(faults.training(run, steps=6), plant=[["batch", turn, "NaN"]])
    assert done.code == 5
    assert re.fullmatch(rf"wganlab: Training diverged at step {step}: critic loss nan.*\n", done.err)
    assert (step_of(run) if step > 1 else faults.state(run)) == (step - 1 or None)
    assert finished(run)


def adam(lr):
    return lambda weights: torch.optim.Adam(weights, lr=lr)


@pytest.mark.parametrize("lr", [float("inf"), 1e30])
@pytest.mark.parametrize("name", ["wgan_gp", "gan"])
def test_an_exploding_critic_is_never_saved(tmp_path, name, lr):
    torch.manual_seed(0)
    recipe = replace(getattr(recipes, name), optimizer=adam(lr), generator_optimizer=adam(1e-4))
    game = Game(networks.mlp(2, 2, hidden=(8,)), networks.mlp(2, 1, hidden=(8,)), recipe)
    draw, path = sampling.Draw(sampling.ring(), sampling.normal(2), 16), tmp_path / "c"
    with pytest.raises(DivergenceError, match=r"at step \d+"):
        for _ in train(game, draw, until=500):
            checkpoints.save(path, game)
    assert game.step < 100
    if path.exists():
        checkpoints.load(path, game)


def test_numbers_that_no_game_can_use_are_refused_by_name():
    with pytest.raises(InputError, match="n_critic >= 1"):
        replace(recipes.wgan_gp, n_critic=0)
    with pytest.raises(InputError, match="dimension >= 1"):
        sampling.normal(0)
    with pytest.raises(ValueError, match="learning rate"):
        recipe = replace(recipes.wgan_gp, optimizer=adam(-1.0))
        Game(networks.mlp(2, 2), networks.mlp(2, 1), recipe)


@pytest.mark.parametrize("rows", [torch.zeros(64, 2), torch.ones(1, 2).repeat(64, 1)])
def test_data_without_any_variety_train_without_nan(rows):
    torch.manual_seed(0)
    game = Game(networks.mlp(2, 2, hidden=(8,)), networks.mlp(2, 1, hidden=(8,)), recipes.wgan_gp_toy)
    for step in train(game, sampling.Draw(rows, sampling.normal(2), 16), until=30):
        assert all(torch.isfinite(loss) for loss in step[1:])


# Surroundings


NO_NETWORK = """
import socket
def unreachable(*_):
    raise OSError(101, "Network is unreachable")
socket.socket.connect = socket.getaddrinfo = unreachable
"""


@pytest.fixture
def bare(tmp_path):
    """No network, no home, no display, no UTF-8, temporary files on another file system."""
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        bare = {"PYTHONPATH": f"{tmp_path}", "TMPDIR": folder, "HOME": "/proc/none", "OMP_NUM_THREADS": "1"}
        yield bare | {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.slow
def test_a_bare_environment_is_enough(tmp_path, bare):
    run = tmp_path / "a run, é ü 日本"
    for line in (faults.training(run, steps=2), ["sample", str(run), "--count", "8"]):
        command = [sys.executable, "-m", "wganlab", *line]
        done = subprocess.run(command, env=bare, cwd=tmp_path, capture_output=True, timeout=300)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.isascii()
    assert (run / "samples.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["pipe", "closed"])
def test_nobody_reads_what_is_printed(tmp_path, stream):
    run, (read, write) = tmp_path / "run", os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "wganlab", *faults.training(run, steps=2)]
    if stream == "closed":
        command = ["/bin/sh", "-c", '"$@" >&-', "sh", *command]
    with os.fdopen(write, "wb") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, timeout=300)
    assert done.returncode in (0, 141)
    assert (done.stderr, step_of(run)) == (b"", 2)


# Command lines


@pytest.mark.slow
def test_500_command_lines_end_as_documented(warm, tmp_path):
    verbs, place = faults.grammar(), faults.scene(tmp_path / "scene", warm)
    lines = [faults.line(number, verbs) for number in range(500)]
    ends = [end for start in range(0, 500, 50) for end in warm.judge(lines[start : start + 50], place, 5.0)]
    wrong = [
        (line, code, err) for line, (code, err) in zip(lines, ends, strict=True) if faults.fault(code, err)
    ]
    assert wrong == []
    codes = [code for code, _ in ends]
    assert min(codes.count(code) for code in (0, 2, 4)) >= 5  # lines of all kinds were among them
    assert {line[0] for line in lines if line} >= set(verbs)


def test_a_bad_end_is_seen():
    assert faults.fault(1, "wganlab: unexpected KeyError: 'x'\n") == "exit code 1"
    assert faults.fault(-11, "") == "exit code -11"
    assert faults.fault(2, "Traceback (most recent call last):\n") == "a traceback"
    assert faults.fault(3, "") == "no word about the failure"
    assert faults.fault(0, "UserWarning: odd\n") == "stderr that is not the command line's"
    assert faults.fault(4, "wganlab: no\n") is faults.fault(0, "") is faults.fault(130, "") is None
