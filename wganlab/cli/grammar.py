"""The command line's grammar. The docstring of a verb's arguments is the help that teaches the verb."""

import argparse
import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from .. import __version__
from .datasets import DATASETS, takers, usual
from .terminal import print_error, print_result

RECIPES = ("gan", "dcgan", "wgan", "wgan_gp", "wgan_lp", "sn_gan")
RECIPES += ("wgan_gp_toy", "wgan_gp_digits", "wgan_gp_resnet")
CODES = """\
exit codes:
  0 done   2 usage   3 data   4 checkpoint   5 diverged   6 audit or diagnose found something
  129, 130, 143 ended by SIGHUP, Ctrl-C, SIGTERM (train saves a checkpoint first)
  1 several processes that lost each other, or what nobody foresaw"""


def whole(low: int, high: int) -> Callable[[str], int]:
    """The reader of a whole number from ``low`` to ``high``."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", text) or not low <= int(text) <= high:
            rule = f"must be a whole number from {low} to {high}"
            raise argparse.ArgumentTypeError(f"{rule}, got {text[:40]!r}")
        return int(text)

    return read


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    if not re.fullmatch(r"[0-9.]{1,20}", text) or text.count(".") > 1 or not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {text[:40]!r}")
    return float(text)


def threads(text: str) -> int | str:
    """A number of CPU threads, or ``auto``."""
    return text if text == "auto" else whole(1, 256)(text)


def row(text: str) -> tuple[int, ...]:
    """The shape of one row, sizes with commas between them."""
    return tuple(map(whole(1, 10**6), text.split(",")))


def path(text: str) -> Path:
    """A path that the system can have."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("must be a path, not empty and without NUL")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        found = f"{text[error.start]!r} at place {error.start + 1}"
        raise argparse.ArgumentTypeError(f"must be a path that this system can write, got {found}") from error
    return Path(text)


def source(text: str) -> str:
    """Where data are, wherever a resumed run is started."""
    return str(path(text).absolute())


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all failures here do; options are written in full."""

    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        print_error(f"{message}. See '{self.prog} --help'.")
        self.exit(2)

    def _print_message(self, message, file=None):  # of argparse: the help and the version, on stdout
        print_result(message.rstrip())


def parser() -> argparse.ArgumentParser:
    """Train Wasserstein GANs, look at what they make, and check it against exact distances.

    start here:
      wganlab doctor
      wganlab train runs/ring --data ring --steps 500
      wganlab sample runs/ring
      wganlab evaluate runs/ring

    'wganlab VERB --help' explains a verb, with examples.
    """
    purpose, epilog = help_of(parser)
    top = Parser(prog="wganlab", description=purpose, epilog=epilog)
    top.add_argument("--version", action="version", version=f"wganlab {__version__}")
    top.add_argument("--debug", action="store_true", help="show where a failure comes from")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", title="verbs", required=True)
    for fill in (train, sample, evaluate, diagnose, audit, doctor):
        purpose, epilog = help_of(fill)
        short = purpose[0].lower() + purpose[1:-1]
        verb = verbs.add_parser(fill.__name__, help=short, description=purpose, epilog=epilog)
        again = {"action": "store_true", "default": argparse.SUPPRESS}  # or it undoes one before the verb
        verb.add_argument("--debug", **again, help="show where a failure comes from")
        fill(verb)
    return top


def help_of(function: Callable) -> tuple[str, str]:
    """What a docstring says first, and the rest with the exit codes."""
    purpose, _, rest = inspect.getdoc(function).partition("\n\n")
    return purpose, rest if "exit codes" in rest else f"{rest}\n\n{CODES}"


def train(verb: argparse.ArgumentParser) -> None:
    """Train a generator and a critic; keep checkpoints and a log.

    examples:
      wganlab train runs/ring --data ring --steps 500
      wganlab train runs/digits --steps 3000 --decay 0.4
      wganlab train runs/digits --resume
      wganlab train runs/mnist --data mnist --download
      wganlab train runs/cifar --data cifar10 --players resnet --steps 100000 --decay 1
      wganlab train runs/mine --data images --from my/pictures --size 64
      torchrun --nproc-per-node 2 -m wganlab train runs/two --data ring

    The folder gets checkpoint.wgan, which holds all that the run needs to continue, and log.csv. Ctrl-C
    ends the run after the step in progress, with a checkpoint. A run that was stopped and resumed ends in
    the same weights as one that was not, on the same machine. With --resume, options that decide the
    numbers may be left out: the run goes on with those that it began with; one that differs is refused.
    """
    verb.add_argument("folder", type=path, metavar="FOLDER", help="where the run is kept; made if missing")
    add = verb.add_argument_group("data").add_argument
    add("--data", choices=DATASETS, help="what to learn (default: digits, which ship with wganlab)")
    add("--from", dest="source", type=source, metavar="PATH", help=f"the folder of {takers('--from')}")
    add("--download", action="store_true", help=f"fetch {takers('--download')} into the cache if need be")
    side = f"{takers('--size')}: side in pixels (default: theirs where dcgan is for it, else 64)"
    add("--size", type=whole(4, 512), metavar="N", help=side)
    colours = f"{takers('--channels')}: 1 for grey, 3 for colour (default: 1 if all are grey)"
    add("--channels", type=int, choices=(1, 3), help=colours)
    game_options(verb.add_argument_group("the game: these options decide the numbers").add_argument)
    add = verb.add_argument_group("the course of the run").add_argument
    add("--steps", type=whole(1, 10**9), metavar="N", help="generator updates in all (default: 2000)")
    add("--resume", action="store_true", help="continue the run in this folder")
    often = {"type": whole(1, 10**9), "metavar": "N"}
    add("--every", **often, default=500, help="updates between checkpoints (default: %(default)s)")
    rows = "updates between rows of log.csv (default: %(default)s); torchrun wants it in full"
    add("--log", "--log-every", **often, default=50, help=rows)
    devices = ["auto", "cpu", "cuda"]
    add("--device", choices=devices, default="auto", help="default: auto, a GPU if there is one")
    by_size = "CPU threads; default: auto, by the size of the players"
    add("--threads", type=threads, default="auto", metavar="N", help=by_size)


def game_options(add: Callable) -> None:
    """What decides a run's numbers, besides the data; ``None`` until a ``RunConfig`` is made of it."""
    add("--players", choices=("mixed", "mlp", "dcgan", "resnet"), help=f"default: {usual('players')}")
    add("--recipe", choices=RECIPES, help=f"default: {usual('recipe')}; wgan_gp_resnet for resnet")
    add("--batch", type=whole(1, 2**20), metavar="M", help=f"rows a batch (default: {usual('batch')})")
    add("--seed", type=whole(0, 2**63 - 1), metavar="S", help="decides all randomness (default: 0)")
    part = "learning rates fall to 0 over this last part of --steps (default: 0, they stay)"
    add("--decay", type=fraction, metavar="FRACTION", help=part)
    add("--precision", choices=["float32", "tf32", "bf16"], help="of matrix products (default: float32)")
    speeds = ["auto", "plain", "fast", "compile", "graph"]
    add("--accelerate", choices=speeds, help="default: auto, which is fast on a CPU and graph on a GPU")


def run_folder(verb: argparse.ArgumentParser) -> Callable:
    """The arguments that ``sample`` and ``evaluate`` share; what adds another."""
    add = verb.add_argument
    add("folder", type=path, metavar="FOLDER", help="a folder that 'wganlab train' made")
    add("--seed", type=whole(0, 2**63 - 1), default=0, metavar="S", help="default: %(default)s")
    return add


def sample(verb: argparse.ArgumentParser) -> None:
    """Draw samples from a trained generator.

    examples:
      wganlab sample runs/ring
      wganlab sample runs/digits --count 100 --seed 1 --out sheet.png
      wganlab sample runs/digits --count 5000 --format npy

    A .npy file holds float32 (count, ...): points, or pictures (count, channels, height, width) in [-1, 1].
    """
    add = run_folder(verb)
    add("--count", type=whole(1, 10**6), default=64, metavar="N", help="samples drawn (default: %(default)s)")
    add("--out", type=path, metavar="FILE", help="default: samples.png or samples.npy in the folder")
    add("--format", choices=["png", "npy"], help="default: npy if --out ends so, else png")


def evaluate(verb: argparse.ArgumentParser) -> None:
    """Compare a generator with real data: exact W1 and its floor.

    examples:
      wganlab evaluate runs/ring
      wganlab evaluate runs/ring -n 1000 --seed 1 --json

    Each number stands beside its floor: the same between two real samples. Only a number well above its
    floor tells that something is wrong. What cannot be computed is said.
    """
    add = run_folder(verb)
    add("-n", type=whole(2, 10_000), default=500, metavar="N", help="rows a sample (default: %(default)s)")
    add("--from", dest="source", type=source, metavar="PATH", help="the data; default: as in training")
    add("--json", action="store_true", help="print one JSON object")


def diagnose(verb: argparse.ArgumentParser) -> None:
    """Say in plain sentences what a run's log shows, and what no log shows.

    examples:
      wganlab diagnose runs/ring
      wganlab diagnose runs/ring/log.csv
      wganlab diagnose mine.csv --json

    A folder is read with its checkpoint: its recipe tells what is due, and a last look measures slopes,
    weights and the exact W1. A file is read alone; one of your own needs the columns step and critic_loss,
    and may have penalty, generator_loss and estimate (E f(x) - E f(g(z)), where the critic raises that).
    A line with ! is an alarm and makes the code 6; one with - is a note.
    """
    verb.add_argument("place", type=path, metavar="FOLDER|FILE.csv", help="of 'wganlab train', or your own")
    verb.add_argument("--json", action="store_true", help="print one JSON object")


def audit(verb: argparse.ArgumentParser) -> None:
    """Look for known bugs in gradient penalties.

    examples:
      wganlab audit mine.py:gradient_penalty
      wganlab audit ada.py:penalty bo.py:penalty --json
      wganlab audit mine.py:gradient_penalty --critic mine.py:make_critic
      wganlab audit mine.py:gradient_penalty --shape 3,64,64 --batch 64
      wganlab audit mine.py:training_step --step --n-critic 5

    The function takes (critic, x, x_fake) and returns the penalty; of one that does not, a wrapper is
    printed that does. With --step it takes (generator, critic, optimizers, batch) and trains. Each file is
    run once, as an import does: audit only files that you would run. With several files the code is 2 if one
    could not be judged, else 6 or 0.
    """
    verb.add_argument("places", nargs="+", metavar="FILE.py:FUNCTION", help="(critic, x, x_fake) -> penalty")
    verb.add_argument("--critic", metavar="FILE.py:MAKE", help="a critic, or a function that makes one")
    shapes = "the shape of one row, as 24,5 or 3,32,32 (default: rows, pictures, sequences and volumes)"
    verb.add_argument("--shape", type=row, metavar="N,...", help=shapes)
    verb.add_argument("--batch", type=whole(1, 2**20), metavar="M", help="rows a batch, if it is fixed")
    verb.add_argument("--step", action="store_true", help="the function is a whole training step")
    turns = "with --step: updates of the critic for one of the generator (default: %(default)s)"
    verb.add_argument("--n-critic", type=whole(1, 100), default=5, metavar="N", help=turns)
    verb.add_argument("--json", action="store_true", help="print the reports as one JSON object")


def doctor(verb: argparse.ArgumentParser) -> None:
    """Say what this machine has, and try that it computes right.

    examples:
      wganlab doctor
      wganlab doctor --json

    exit codes: 0 if all that is required works, 1 otherwise
    """
    verb.add_argument("--json", action="store_true", help="print one JSON object")
