"""The fault table in full numbers: kills, resumed runs, damaged checkpoints, command lines, transport inputs.

    python benchmarks/soak.py [--kills 1000] [--resumes 100] [--flips 2200] [--lines 10000] [--inputs 10000]

The faults are those of ``tests/faults.py``, each made from its number alone. Exits with 1 if a checkpoint did
not load, a resumed run differs from the uninterrupted one, a damaged checkpoint was loaded, a command line
ended in an undocumented way, a transport input was answered wrongly, or the test of a row fails.
"""

import argparse
import math
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import faults
from test_faults import ROWS

from wganlab import checkpoints, data, networks, recipes, sampling
from wganlab.engine import fast
from wganlab.errors import CheckpointError
from wganlab.training import Average, Game, train

ROOT = Path(__file__).parents[1]


def kills(warm, folder, number, resumes):
    """Counts of kills in forks, and of a twentieth as many by the real command line."""
    found = []
    for name, runner, count in (("forks", warm, number), ("commands", faults.Real(), number // 20)):
        place = Path(folder) / name
        place.mkdir()
        each = max(1, math.ceil(number / max(1, resumes))) if runner is warm else 5
        found.append(faults.kill(runner, place, count, each=each) if count else Counter())
    return found


def clean(counts):
    """Whether kills lost nothing."""
    odd = [name for name in counts if name.startswith("ended with")]
    same = counts["runs equal to the uninterrupted"] == counts["runs"]
    return same and not odd and counts["steps lost"] == counts["files left over"] == 0


def damages(warm, folder, number):
    """How many checkpoints with each kind of damage were refused, and the numbers of those that were not."""
    folder = Path(folder)
    warm.run(faults.training(folder / "run", steps=1))
    content, path = (folder / "run" / "checkpoint.wgan").read_bytes(), folder / "damaged.wgan"
    refused, loaded = Counter(), []
    for index in range(number):
        name, broken = faults.damage(content, index)
        path.write_bytes(broken)
        try:
            checkpoints.read(path)
            loaded.append(index)
        except CheckpointError:
            refused[name] += 1
    return refused, loaded


def lines(warm, folder, number):
    """Counts of exit codes, and what was wrong with how a line ended; a fiftieth by the real command line."""
    verbs, codes, wrong = faults.grammar(), Counter(), []
    place, size = faults.scene(Path(folder) / "scene", warm), 50
    for start in range(0, number, size):
        batch = [faults.line(index, verbs) for index in range(start, min(number, start + size))]
        ends = warm.judge(batch, place, 5.0)
        codes.update(code for code, _ in ends)
        wrong += [(start + i, *end) for i, end in enumerate(ends) if faults.fault(*end)]
    real, index = faults.Real(), 0
    for _ in range(number // 50):
        while any("\0" in word or "\ud800" in word for word in faults.line(index, verbs)):
            index += 1  # no process can be given such words
        done = real.run(faults.line(index, verbs), place=place, seconds=30)
        codes["by the real command"] += 1
        if faults.fault(done.code, done.err):
            wrong.append((index, done.code, done.err))
        index += 1
    return codes, wrong


def overhead(folder):
    """Milliseconds of a save and of a generator update of the digits' run, each the median."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    critic = networks.mlp((1, 28, 28), 1, hidden=(512, 256), slope=0.2)
    game = Game(networks.dcgan_generator(64), critic, recipes.wgan_gp_digits)
    average, draw = Average(game.generator), sampling.Draw(data.digits().x, sampling.normal(64), 32)
    steps, saves, now = [], [], time.perf_counter()
    for _ in train(game, draw, until=200, accelerate=fast):
        average.update(game.generator)
        steps.append(time.perf_counter() - now)
        if len(steps) % 10 == 0:
            now = time.perf_counter()
            checkpoints.save(Path(folder) / "checkpoint.wgan", game, average=average)
            saves.append(time.perf_counter() - now)
        now = time.perf_counter()
    size = (Path(folder) / "checkpoint.wgan").stat().st_size / 1e6
    return 1e3 * statistics.median(saves), 1e3 * statistics.median(steps), size


def row(tests):
    """How many tests of one row of the table passed, were skipped or failed, and whether it stands."""
    places = ["tests/{}.py::{}".format(*test.split("::")) for test in tests]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *places]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    counts = re.findall(r"(\d+) (passed|skipped|failed|error)", last)
    return ", ".join(f"{n} {word}" for n, word in counts), done.returncode == 0


def transport(inputs):
    """Whether ``benchmarks/robustness.py`` found nothing that wganlab fails on."""
    command = [sys.executable, "benchmarks/robustness.py", "--inputs", str(inputs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode == 0


def cpu():
    """The kind of processor, where the system tells it."""
    file = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", file.read_text(encoding="utf-8") if file.exists() else "")
    return names[0] if names else platform.machine()


HEAD = """# Faults made on purpose

`python benchmarks/soak.py{options}`. torch {torch}, Python {python}, {cpu}, one thread.

- **kills**: `kill -9` of `wganlab train` on a toy, which saves after every update: a half of them aimed at a
  save, a quarter some updates later, a quarter at any moment, the set-up included. After each, the newest
  checkpoint has to load and to be no older than the last one seen; at last the run is resumed to its end and
  compared with one that was left alone: weights, averages, optimizers, counts, to the last bit. **In forks**
  of a process that has imported PyTorch; **commands** are `python -m wganlab`.
- **damage**: flipped bits, cut ends, blocks of zeros, noise, swapped and lost blocks, appended bytes, changed
  headers. Refused: `CheckpointError`.
- **command lines**: from the parser's own grammar, with values right, nearly right and absurd, and words
  lost, doubled and mixed. A bad end is a traceback, an exit code that `--help` does not list, a failure
  without a word, or anything on stderr that the command line did not write.
- **transport inputs**: those of `benchmarks/robustness.py`, with its own table.
"""


def report(text, options):
    """The head of the table."""
    given = "".join(f" --{name} {value}" for name, value in vars(options).items() if name != "rows")
    versions = {"torch": torch.__version__, "python": platform.python_version(), "cpu": cpu()}
    return [*HEAD.format(options=given, **versions).splitlines(), "", *text, ""]


def told(text, line, start):
    """Keep a line of the table and print it with the time."""
    text.append(line)
    print(line, f"({time.monotonic() - start:.0f} s)", flush=True)


def soak(options, text, start):
    """Everything but the rows; returns what went wrong."""
    wrong = []
    told(text, "| what | done | result |\n|---|---|---|", start)
    with faults.Warm() as warm, tempfile.TemporaryDirectory() as folder:
        for name, counts in zip(
            ("in forks", "commands"), kills(warm, folder, options.kills, options.resumes), strict=True
        ):
            wrong += [] if clean(counts) else [f"kills, {name}: {dict(counts)}"]
            done = f"{counts['kills']:,}, of which {counts['kills in a save']:,} left half a file"
            result = f"{counts['kills']:,} newest checkpoints load; steps lost {counts['steps lost']}; "
            result += f"{counts['runs equal to the uninterrupted']} of {counts['runs']} resumed runs equal"
            told(text, f"| kills, {name} | {done} | {result} |", start)
        refused, loaded = damages(warm, folder, options.flips)
        wrong += [f"damaged checkpoints loaded: {loaded}"] if loaded else []
        kinds = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in sorted(refused.items()))
        told(text, f"| damage | {options.flips:,}: {kinds} | loaded {len(loaded)} |", start)
        codes, bad = lines(warm, folder, options.lines)
        wrong += [f"command line {index} ended with {code}: {err[-300:]!r}" for index, code, err in bad]
        real = codes.pop("by the real command", 0)
        ends = ", ".join(f"{code}: {n:,}" for code, n in sorted(codes.items(), key=str))
        told(
            text,
            f"| command lines | {options.lines:,}, and {real} commands | bad ends {len(bad)}; {ends} |",
            start,
        )
        save, step, size = overhead(folder)
        share = 100 * save / (500 * step)
        wrong += [f"a save costs {share:.1f} % of the time"] if share >= 3 else []
        about = f"{save:.1f} ms a save of {size:.1f} MB, {step:.1f} ms an update"
        told(text, f"| cost, digits | {about} | {share:.2f} % of the time at `--every 500` |", start)
    if options.inputs:
        right = transport(options.inputs)
        wrong += [] if right else ["transport inputs"]
        told(
            text,
            f"| transport inputs | {options.inputs:,} | bad answers {'none' if right else 'some'} |",
            start,
        )
    return wrong


def rows(text, start):
    """The fault table, row by row; returns what failed."""
    wrong = []
    told(text, "\n| row | fault | `python -m pytest tests/` and | result |\n|---|---|---|---|", start)
    for number, (what, *tests) in sorted(ROWS.items()):
        result, right = row(tests)
        wrong += [] if right else [f"row {number}: {tests}"]
        names = " ".join("`{}.py::{}`".format(*test.split("::")) for test in tests)
        told(text, f"| {number} | {what} | {names} | {result} |", start)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("kills", 1000),
        ("resumes", 100),
        ("flips", 2200),
        ("lines", 10_000),
        ("inputs", 10_000),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--rows", action=argparse.BooleanOptionalAction, default=True, help="run the table's tests"
    )
    options, text, start = parser.parse_args(), [], time.monotonic()
    wrong = soak(options, text, start) + (rows(text, start) if options.rows else [])
    path = Path(__file__).parent / "results" / "soak.md"
    path.write_text("\n".join(report(text, options)), encoding="utf-8")
    print("\n".join(wrong) or "nothing was lost")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
