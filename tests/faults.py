"""Faults made on purpose, each from a seed, and what has to hold after them: for the tests and the soak.

``Warm`` runs command lines in forks of a process that has imported PyTorch already: a fiftieth of a second
each, in place of two seconds. A fork differs from ``python -m wganlab`` in nothing that the package sees.
"""

import builtins
import contextlib
import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from wganlab import checkpoints
from wganlab.__main__ import main, parser

CODES = {0, 2, 3, 4, 5, 6, 129, 130, 143}  # of the command line, as its help says
QUIET = ["--device", "cpu", "--threads", "1"]
RUNS = [  # data and recipe of the runs that are killed
    ("ring", "wgan_gp_toy"),
    ("grid", "wgan"),
    ("swiss_roll", "gan"),
    ("ring", "wgan_gp"),
]


def training(folder, *, seed=0, steps=4, resume=False):
    """The command line of toy run ``seed``, which saves after every step."""
    data, recipe = RUNS[seed % len(RUNS)]
    line = ["train", str(folder), "--data", data, "--recipe", recipe, "--steps", str(steps), *QUIET]
    return [*line, "--batch", "8", "--seed", str(seed), "--every", "1"] + ["--resume"] * resume


def state(folder):
    """The checkpoint of a run, or ``None`` before the first; raises ``CheckpointError`` if it is damaged."""
    path = Path(folder) / "checkpoint.wgan"
    return checkpoints.read(path) if path.exists() else None


def equal(one, other):
    """Whether two states are the same to the last bit."""
    one, other = checkpoints.flatten(one), checkpoints.flatten(other)
    return one.keys() == other.keys() and all(
        torch.equal(leaf, other[key]) if torch.is_tensor(leaf) else leaf == other[key]
        for key, leaf in one.items()
    )


# Forks of a warm process


@dataclass
class Done:
    """How a command line ended; the code is negative for a signal."""

    code: int
    out: str
    err: str


class Warm:
    """A process that runs command lines in forks of itself; a context."""

    def __enter__(self):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def ask(self, **request):
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def start(self, line, **how):
        """Start a command line; returns the number of its process. ``how`` is that of ``child``."""
        return self.ask(line=line, how=how)

    def wait(self, process):
        """Its end."""
        return Done(*self.ask(wait=process))

    def run(self, line, **how):
        return self.wait(self.start(line, **how))

    def judge(self, lines, folder, seconds):
        """(code, stderr) of many command lines, in one fork as long as it lives."""
        return self.ask(lines=lines, folder=str(folder), seconds=seconds)


class Real:
    """The same by ``python -m wganlab``, each time a new process."""

    def __init__(self):
        self.environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.running = {}

    def start(self, line, place=None):
        files = [tempfile.TemporaryFile("w+", errors="replace") for _ in range(2)]  # noqa: SIM115
        command = [sys.executable, "-m", "wganlab", *line]
        out, err = files
        process = subprocess.Popen(command, stdout=out, stderr=err, env=self.environment, cwd=place)
        self.running[process.pid] = process, files
        return process.pid

    def wait(self, number, seconds=None):
        process, files = self.running.pop(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait()
        texts = []
        for file in files:
            file.seek(0)
            texts.append(file.read())
            file.close()
        return Done(process.returncode, *texts)

    def run(self, line, place=None, seconds=None):
        return self.wait(self.start(line, place), seconds)


def serve():
    """The other side of ``Warm``."""
    torch.set_num_threads(1)
    answers, requests = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0))
    silent = os.open(os.devnull, os.O_RDWR)
    os.dup2(silent, 0), os.dup2(silent, 1)
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stderr(None):  # so that all is imported that a verb needs
            main(training(f"{folder}/run", steps=1))
            for verb in ("sample", "evaluate", "audit"):
                main([verb, f"{folder}/run"])
        for request in map(json.loads, requests):
            if "wait" in request:
                answer = ended(request["wait"], folder)
            elif "lines" in request:
                answer = judged(request["lines"], request["folder"], request["seconds"], folder)
            else:
                answer = forked(folder, child, request["line"], **request["how"])
            print(json.dumps(answer), file=answers, flush=True)


def forked(folder, function, *arguments, **how):
    """Run ``function`` in a fork; its outputs go to files named after its process."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        for handle, name in ((1, "out"), (2, "err")):
            file = os.open(f"{folder}/{os.getpid()}.{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.dup2(file, handle)
            os.close(file)
        code = function(*arguments, **how)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        code = 1
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def ended(process, folder):
    """Code, stdout and stderr of a fork, once it has ended."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    files = [Path(f"{folder}/{process}.{name}") for name in ("out", "err")]
    texts = [file.read_text(encoding="utf-8", errors="replace") if file.exists() else "" for file in files]
    for file in files:
        file.unlink(missing_ok=True)
    return [code, *texts]


def child(line, *, plant=(), limit=None, user=None, place=None):
    """Run a command line with faults planted, a largest file size, as another user, in a folder."""
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if place is not None:
        os.chdir(place)
    if user is not None:
        os.setgroups([]), os.setgid(user), os.setuid(user)
    for what in plant:
        put(*what)
    return main(line)


def put(moment, turn, action):
    """Let a fault happen at the ``turn``-th call of what is done at ``moment``.

    ``action`` names signals, which come first; or it is ``full`` (no space left) or ``NaN`` (of the batch).
    """
    from wganlab import sampling, training

    owner, name, mark = {
        "loading": (sampling.Draw, "__init__", ""),
        "batch": (sampling.Draw, "__call__", ""),  # called once before the first step
        "step": (training.Game, "generator_step", ""),
        "flush": (os, "fsync", ""),
        "link": (os, "link", "checkpoint"),
        "rename": (os, "replace", "checkpoint"),
        "write": (builtins, "open", ".part"),  # the first is that of the log
    }[moment]
    original, calls = getattr(owner, name), [0]

    def replaced(*given, **named):
        calls[0] += mark in " ".join(map(str, given))
        if calls[0] != turn:
            return original(*given, **named)
        if action == "full":
            raise OSError(28, "No space left on device")
        if action == "NaN":
            return [part * float("nan") for part in original(*given, **named)]
        if moment == "write":
            return Half(given[0], action)
        strike(action)
        return original(*given, **named)

    setattr(owner, name, replaced)


def strike(names):
    """Send this process signals."""
    for name in names.split():
        os.kill(os.getpid(), getattr(signal, name))


class Half(io.FileIO):
    """A file to which signals come when half of the content is written."""

    def __init__(self, path, names):
        super().__init__(path, "xb")
        self.names = names

    def write(self, content):
        middle = super().write(content[: len(content) // 2])
        strike(self.names)
        return middle + super().write(content[middle:])


# Kills


def gone(process):
    """Whether a child has ended and waits to be read; only Linux tells."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


class Killed:
    """Runs that are killed by kill -9 at random moments, resumed, and compared with one left alone."""

    def __init__(self, warm, folder, *, steps=40, seed=0):
        self.warm, self.folder, self.steps, self.rng = warm, Path(folder), steps, random.Random(seed)
        self.counts = Counter()

    def strike(self, process, folder):
        """Kill a process: in one of its next saves, or some saves later, or at any time."""
        aim, saves, file = self.rng.choice(["save", "save", "step", "any"]), self.rng.randrange(5), None
        start = now = time.monotonic()
        while aim != "any" and now < start + 60 and not gone(process):
            names = os.listdir(folder) if folder.exists() else []
            if saves == 0 and (aim == "step" or any(name.endswith(".part") for name in names)):
                break
            with contextlib.suppress(OSError):
                found = os.stat(folder / "checkpoint.wgan").st_ino
                saves -= saves > 0 and file not in (None, found)
                file = found
            time.sleep(0.0001)
            now = time.monotonic()
        time.sleep(self.rng.random() * {"save": 0.003, "step": 0.02, "any": 0.5}[aim])
        os.kill(process, signal.SIGKILL)

    def end(self, folder, number):
        """Let a run go on to its end; returns its last state."""
        line = training(folder, seed=number, steps=self.steps, resume=state(folder) is not None)
        done = self.warm.run(line)
        if done.code:
            raise RuntimeError(f"a run ended with {done.code}: {done.err[-500:]}")
        return state(folder)

    def run(self, number, kills):
        """Kill run ``number`` up to ``kills`` times, then let it end."""
        expected, folder, reached = (
            self.end(self.folder / f"whole{number}", number),
            self.folder / f"run{number}",
            0,
        )
        for _ in range(kills):
            line = training(folder, seed=number, steps=self.steps, resume=state(folder) is not None)
            process = self.warm.start(line)
            self.strike(process, folder)
            done = self.warm.wait(process)
            if done.code != -signal.SIGKILL:
                self.counts["ended before the kill" if done.code == 0 else f"ended with {done.code}"] += 1
                break
            found = state(folder)  # raises if the newest checkpoint does not load
            step = found["game"]["step"] if found else 0
            self.counts["kills"] += 1
            self.counts["kills in a save"] += any(folder.glob(".checkpoint.*.part"))
            self.counts["kills before the first save"] += found is None
            self.counts["steps lost"] += max(0, reached - step)
            reached = max(step, reached)
        self.counts["runs"] += 1
        self.counts["runs equal to the uninterrupted"] += equal(self.end(folder, number), expected)
        self.counts["files left over"] += len(list(folder.glob(".*.part")))


def kill(warm, folder, kills, *, each=10, steps=40):
    """Counts over as many runs as ``kills`` take, about ``each`` in a run."""
    killed, number = Killed(warm, folder, steps=steps), 0
    while killed.counts["kills"] < kills:
        killed.run(number, min(each, kills - killed.counts["kills"]))
        number += 1
    return killed.counts


# Damage


def flipped(content, rng):
    place = rng.randrange(len(content))
    content[place] ^= 1 << rng.randrange(8)


def cut(content, rng):
    del content[rng.randrange(len(content)) :]


def zeroed(content, rng):
    start, size = block(content, rng)
    content[start : start + size] = bytes(size)


def swapped(content, rng):
    size = min(4096, len(content) // 2)
    one, other = sorted(rng.sample(range(len(content) // size), 2))
    one, other = slice(one * size, one * size + size), slice(other * size, other * size + size)
    content[one], content[other] = content[other], content[one]


def appended(content, rng):
    content += rng.randbytes(rng.randrange(1, 100))


def left_out(content, rng):
    start, size = block(content, rng)
    del content[start : start + size]


def noise(content, rng):
    start, size = block(content, rng)
    content[start : start + size] = rng.randbytes(size)


def header(content, rng):
    place = rng.randrange(checkpoints.HEADER)
    content[place] = rng.choice([c for c in b"0123456789abcdefABCDEF \n\x00\xff" if c != content[place]])


def block(content, rng):
    """A block as disks lose them: of a sector or a page, where one begins."""
    size = min(rng.choice([512, 4096]), len(content))
    return rng.randrange(len(content) // size) * size, size


DAMAGE = [flipped, cut, zeroed, swapped, appended, left_out, noise, header]


def damage(content, number):
    """The name of damage ``number`` and the damaged bytes, which differ from ``content``."""
    rng, kind = random.Random(number), DAMAGE[number % len(DAMAGE)]
    while True:
        broken = bytearray(content)
        kind(broken, rng)
        if broken != content:  # a block of zeros may have been zeroed
            return kind.__name__, bytes(broken)


# Command lines


WORDS = """
0 1 2 3 -1 -0 1e3 1.5 nan inf -inf 0x10 1_0 ٣ १ 2147483648 9223372036854775808 true None [] {} %s
%(default)s é 日本 `id` * ~ -- - --- = --help= -h @file ../../.. /dev/null /dev/null/x /dev/zero
/proc/self/mem /proc/1/fd file:///etc http://localhost:1 NUL"""
VALUES = [*WORDS.split(), "", " ", " 7", "7 ", "9" * 30, "-" + "9" * 30, str(2**64), "; ls", "C:\\x"]
VALUES += ["\u202e", "\ud800", "\0", "a\0b", "\n", "a\nb", "\x1b[31m", "$(touch pwned)"]
VALUES += ["x" * 300, "x" * 5000, "/" * 300]
FILES = """
run new none/deep damaged empty text page good.py good.py:penalty bad.py:penalty good.py:nothing
raises.py:penalty loops.py run/checkpoint.wgan pictures loop pipe"""
PLACES = [*FILES.split(), "é ü"]
SMALL = ["1", "2", "3"]


def grammar(top=None):
    """The verbs of the command line, each with its arguments, as argparse knows them."""
    top = top or parser()
    (verbs,) = [action for action in top._actions if isinstance(action.choices, dict)]
    return {name: [a for a in verb._actions if a.dest != "help"] for name, verb in verbs.choices.items()}


def value(action, rng):
    """A value for an argument: right, nearly right, or anything."""
    if rng.random() < 0.15:
        return rng.choice(VALUES)
    if action.choices:
        return rng.choice(
            [str(choice) for choice in action.choices if choice != "compile"]
        )  # which takes a minute
    if action.dest in ("folder", "place", "out", "source", "places", "critic"):
        return rng.choice(PLACES)
    if action.dest in ("steps", "batch", "count", "n", "size", "threads", "every", "log"):
        return rng.choice([*SMALL, "8", "64", str(10**6)] if action.dest != "steps" else SMALL)
    return rng.choice([*SMALL, "0", "0.5"])


def line(number, verbs):
    """Command line ``number``: the grammar's words with values of all kinds, some lost, doubled or mixed."""
    rng = random.Random(number)
    verb = rng.choice([*verbs, *[verb for verb in verbs if verb != "doctor"] * 2, "train", "train"])
    words = [verb]
    for action in verbs[verb]:
        if not action.option_strings:
            words += [value(action, rng) for _ in range(rng.choice([1, 1, 1, 2]) if action.nargs else 1)]
        elif rng.random() < 0.3 or (action.dest in ("steps", "data") and rng.random() < 0.9):
            words.append(rng.choice(action.option_strings))
            if action.nargs != 0:
                words.append(value(action, rng))
    for _ in range(rng.choice([0, 0, 0, 0, 1, 2])):
        place = rng.randrange(len(words) + 1)
        match rng.randrange(4):
            case 0:
                words.insert(place, rng.choice(VALUES))
            case 1:
                del words[place : place + 1]
            case 2:
                words[place:place] = words[place - 1 : place]
            case 3:
                rng.shuffle(words)
    return [
        word for word in words if word not in ("--debug", "--download")
    ]  # tracebacks are asked for by one


def scene(folder, warm):
    """A folder with all that ``PLACES`` names."""
    folder = Path(folder)
    folder.mkdir()
    warm.run(training("run", steps=1), place=str(folder))
    (folder / "damaged").mkdir()
    content = (folder / "run" / "checkpoint.wgan").read_bytes()
    (folder / "damaged" / "checkpoint.wgan").write_bytes(content[:-1])
    (folder / "empty").mkdir()
    (folder / "pictures").mkdir()
    (folder / "pictures" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "text").write_text("text")
    (folder / "page").write_text("<!doctype html>")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    body = "def penalty(critic, x, x_fake):\n    return {}\n"
    (folder / "good.py").write_text(
        "nothing = None\n" + body.format("((critic(x) - critic(x_fake)) ** 2).mean()")
    )
    (folder / "bad.py").write_text(body.format("'a string'"))
    (folder / "raises.py").write_text("raise SystemExit(17)\n")
    (folder / "loops.py").write_text("import loops\n")
    return folder


def judged(lines, folder, seconds, outputs):
    """(code, stderr) of each line; a fork that dies is replaced, and the line at hand blamed."""
    found = []
    while len(found) < len(lines):
        results = Path(outputs) / "results"
        results.unlink(missing_ok=True)
        process = forked(outputs, batch, lines[len(found) :], folder, seconds, str(results))
        code, _, err = ended(process, outputs)
        if results.exists():
            found += map(json.loads, results.read_text(encoding="utf-8").splitlines())
        if code:
            found.append([code, err[-2000:]])
    return found


def limit_memory(more):
    """Let this process have ``more`` bytes than it maps now; PyTorch's CUDA build alone maps 3 GB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more,) * 2)


def batch(lines, folder, seconds, results):
    """Run command lines one after the other; each is interrupted as by Ctrl-C when its time is over."""
    import socket

    def unreachable(*_):
        raise OSError(101, "Network is unreachable")

    socket.socket.connect = unreachable
    limit_memory(5 * 2**30)
    os.chdir(folder)
    errors = os.open(f"{results}.stderr", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(errors, 2)
    interrupted = []

    def interrupt(*_):
        interrupted.append(True)
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGALRM, interrupt)
    for words in lines:
        os.ftruncate(errors, 0), os.lseek(errors, 0, os.SEEK_SET)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        try:
            code = main(words)
        except SystemExit as stop:
            code = stop.code
        except BaseException:  # a traceback, for a reader
            code = 1
            sys.excepthook(*sys.exc_info())
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stderr.flush()
        err = os.pread(errors, 4000, 0).decode("utf-8", "replace")
        with open(results, "a", encoding="utf-8") as file:
            print(json.dumps([code, err]), file=file)
        if interrupted:  # perhaps in the middle of an import, which the next line would have to suffer for
            break
    return 0


def fault(code, err):
    """What is wrong with how a command line ended, or ``None``."""
    if "Traceback" in err:
        return "a traceback"
    if code not in CODES:
        return f"exit code {code}"
    said = [row for row in err.splitlines() if row and not row.startswith("wganlab: ")]
    if said:
        return "stderr that is not the command line's"
    return None if bool(err) or code in (0, 6) or code > 128 else "no word about the failure"


if __name__ == "__main__":
    serve()
