"""The command line's grammar, and the help that teaches it."""

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from .. import __version__
from .output import complain

TOYS = ("ring", "grid", "swiss_roll")
DATA = ("digits", "mnist", "cifar10", "images", *TOYS)
PLAYERS = ("mixed", "mlp", "dcgan", "resnet")
RECIPES = (
    *("gan", "dcgan", "wgan", "wgan_gp", "wgan_lp", "sn_gan"),
    *("wgan_gp_toy", "wgan_gp_digits", "wgan_gp_resnet"),
)
CODES = """\
exit codes:
  0 done   2 usage   3 data   4 checkpoint   5 diverged   6 audit found a bug
  129, 130, 143 ended by SIGHUP, Ctrl-C, SIGTERM (train saves a checkpoint first)
  1 several processes that lost each other, or what nobody foresaw"""

TOP = f"""\
start here:
  wganlab doctor
  wganlab train runs/ring --data ring --steps 500
  wganlab sample runs/ring
  wganlab evaluate runs/ring

'wganlab VERB --help' explains a verb, with examples.

{CODES}"""

TRAIN = f"""\
examples:
  wganlab train runs/ring --data ring --steps 500
  wganlab train runs/digits --steps 3000 --decay 0.4
  wganlab train runs/digits --resume
  wganlab train runs/mnist --data mnist --download
  wganlab train runs/cifar --data cifar10 --players resnet --steps 100000 --decay 1
  wganlab train runs/mine --data images --from my/pictures --size 64
  torchrun --nproc-per-node 2 -m wganlab train runs/two --data ring

The folder gets checkpoint.wgan, which holds all that the run needs to continue, and log.csv. Ctrl-C ends the
run after the step in progress, with a checkpoint. A run that was stopped and resumed ends in the same weights
as one that was not, on the same machine. With --resume, options that decide the numbers may be left out: the
run goes on with those that it began with; one that differs is refused.

{CODES}"""

SAMPLE = f"""\
examples:
  wganlab sample runs/ring
  wganlab sample runs/digits --count 100 --seed 1 --out sheet.png
  wganlab sample runs/digits --count 5000 --format npy

A .npy file holds float32 (count, ...): points, or pictures (count, channels, height, width) in [-1, 1].

{CODES}"""

EVALUATE = f"""\
examples:
  wganlab evaluate runs/ring
  wganlab evaluate runs/ring -n 1000 --seed 1 --json

Each number stands beside its floor: the same between two real samples. Only a number well above its floor
tells that something is wrong. What cannot be computed is said.

{CODES}"""

AUDIT = f"""\
examples:
  wganlab audit mine.py:gradient_penalty
  wganlab audit ada.py:penalty bo.py:penalty --json
  wganlab audit mine.py:gradient_penalty --critic mine.py:make_critic

The function takes (critic, x, x_fake) and returns the penalty. Each file is run once, as an import does:
audit only files that you would run. With several files the code is 2 if one could not be judged, else 6 or 0.

{CODES}"""

DOCTOR = """\
examples:
  wganlab doctor
  wganlab doctor --json

exit codes: 0 if all that is required works, 1 otherwise"""


def whole(low: int, high: int) -> Callable[[str], int]:
    """The reader of a whole number from ``low`` to ``high``."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}, got {text[:40]!r}"
            )
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


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all failures here do; options are written in full."""

    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        complain(f"{message}. See '{self.prog} --help'.")
        self.exit(2)


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = Parser(
        prog="wganlab",
        description="Train Wasserstein GANs, look at what they make, and check it against exact distances.",
        epilog=TOP,
    )
    top.add_argument("--version", action="version", version=f"wganlab {__version__}")
    top.add_argument("--debug", action="store_true", help="show where a failure comes from")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", title="verbs", required=True)
    for name, fill, purpose, epilog in (
        ("train", fill_train, "train a generator and a critic; keep checkpoints and a log", TRAIN),
        ("sample", fill_sample, "draw samples from a trained generator", SAMPLE),
        ("evaluate", fill_evaluate, "compare a generator with real data: exact W1 and its floor", EVALUATE),
        ("audit", fill_audit, "look for known bugs in gradient penalties", AUDIT),
        ("doctor", fill_doctor, "say what this machine has, and try that it computes right", DOCTOR),
    ):
        verb = verbs.add_parser(name, help=purpose, description=f"{purpose.capitalize()}.", epilog=epilog)
        verb.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show where a failure comes from"
        )
        fill(verb)
    return top


def fill_train(verb: argparse.ArgumentParser) -> None:
    """The arguments of ``train``."""
    add = verb.add_argument
    add("folder", type=path, metavar="FOLDER", help="where the run is kept; made if missing")
    add = verb.add_argument_group("data").add_argument
    add("--data", choices=DATA, help="what to learn (default: digits, which ship with wganlab)")
    add("--from", dest="source", type=path, metavar="PATH", help="the folder of mnist, cifar10 or images")
    add("--download", action="store_true", help="fetch mnist or cifar10 into the cache if it is not there")
    add("--size", type=whole(4, 512), metavar="N", help="images: side in pixels (default: 64)")
    fill_game(verb.add_argument_group("the game: these options decide the numbers").add_argument)
    fill_course(verb.add_argument_group("the course of the run").add_argument)


def fill_game(add: Callable) -> None:
    """What decides a run's numbers, besides the data; ``None`` until ``about.settle`` fills it in."""
    add("--players", choices=PLAYERS, help="default: mlp for points, mixed for 28x28, dcgan for colour")
    usual = "wgan_gp_toy for points, wgan_gp_digits for 28x28, wgan_gp for colour, wgan_gp_resnet for resnet"
    add("--recipe", choices=RECIPES, help=f"default: {usual}")
    add(
        "--batch",
        type=whole(1, 2**20),
        metavar="M",
        help="rows a batch (default: 128 for points, 32 for 28x28, 64 for colour)",
    )
    add("--seed", type=whole(0, 2**63 - 1), metavar="S", help="decides all randomness (default: 0)")
    add(
        "--decay",
        type=fraction,
        metavar="FRACTION",
        help="learning rates fall to 0 over this last part of --steps (default: 0, they stay)",
    )
    add("--precision", choices=["float32", "tf32", "bf16"], help="of matrix products (default: float32)")
    speeds = ["auto", "plain", "fast", "compile", "graph"]
    add("--accelerate", choices=speeds, help="default: auto, which is fast on a CPU and graph on a GPU")


def fill_course(add: Callable) -> None:
    """What decides when a run stops, what it writes and where it computes."""
    add("--steps", type=whole(1, 10**9), metavar="N", help="generator updates in all (default: 2000)")
    add("--resume", action="store_true", help="continue the run in this folder")
    often = {"type": whole(1, 10**9), "metavar": "N"}
    add("--every", **often, default=500, help="updates between checkpoints (default: %(default)s)")
    rows = "updates between rows of log.csv (default: %(default)s); torchrun wants it in full"
    add("--log", "--log-every", **often, default=50, help=rows)
    add(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="default: auto, a GPU if there is one",
    )
    by_size = "CPU threads; default: auto, by the size of the players"
    add("--threads", type=threads, default="auto", metavar="N", help=by_size)


def fill_sample(verb: argparse.ArgumentParser) -> None:
    """The arguments of ``sample``."""
    verb.add_argument("folder", type=path, metavar="FOLDER", help="a folder that 'wganlab train' made")
    verb.add_argument(
        "--count", type=whole(1, 10**6), default=64, metavar="N", help="samples drawn (default: %(default)s)"
    )
    verb.add_argument("--seed", type=whole(0, 2**63 - 1), default=0, metavar="S", help="default: %(default)s")
    verb.add_argument(
        "--out", type=path, metavar="FILE", help="default: samples.png or samples.npy in the folder"
    )
    verb.add_argument("--format", choices=["png", "npy"], help="default: npy if --out ends so, else png")


def fill_evaluate(verb: argparse.ArgumentParser) -> None:
    """The arguments of ``evaluate``."""
    verb.add_argument("folder", type=path, metavar="FOLDER", help="a folder that 'wganlab train' made")
    verb.add_argument(
        "-n",
        type=whole(2, 10_000),
        default=500,
        metavar="N",
        help="rows of each sample (default: %(default)s)",
    )
    verb.add_argument("--seed", type=whole(0, 2**63 - 1), default=0, metavar="S", help="default: %(default)s")
    verb.add_argument(
        "--from", dest="source", type=path, metavar="PATH", help="where the data are; default: as in training"
    )
    verb.add_argument("--json", action="store_true", help="print one JSON object")


def fill_audit(verb: argparse.ArgumentParser) -> None:
    """The arguments of ``audit``."""
    verb.add_argument("places", nargs="+", metavar="FILE.py:FUNCTION", help="(critic, x, x_fake) -> penalty")
    verb.add_argument("--critic", metavar="FILE.py:MAKE", help="a critic, or a function that makes one")
    verb.add_argument("--json", action="store_true", help="print the reports as one JSON object")


def fill_doctor(verb: argparse.ArgumentParser) -> None:
    """The arguments of ``doctor``."""
    verb.add_argument("--json", action="store_true", help="print one JSON object")
