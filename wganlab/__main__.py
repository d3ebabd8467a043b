"""The command line: ``wganlab train``, ``sample`` and ``audit`` (or ``python -m wganlab``).

Exit codes: 0 done, 2 usage, 3 data, 4 checkpoint, 5 diverged, 6 audit found a bug, 130 interrupted,
143 terminated. An audit of several files ends with 2 if one could not be judged, else 6 or 0.
"""

import argparse
import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import torch
from tqdm import tqdm

from . import checkpoints, data, networks, recipes, sampling
from .errors import CheckpointError, DataError, DivergenceError, InputError, WganlabError
from .training import Average, Game, device, train

RECIPES = {
    name: getattr(recipes, name)
    for name in ("gan", "wgan", "wgan_gp", "wgan_lp", "wgan_gp_toy", "wgan_gp_digits")
}
TOYS = {"ring": sampling.ring, "grid": sampling.grid, "swiss_roll": sampling.swiss_roll}
EXIT = {InputError: 2, DataError: 3, CheckpointError: 4, DivergenceError: 5}


def positive(text: str) -> int:
    """A whole number >= 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1, got {text}")
    return value


def whole(text: str) -> int:
    """A whole number from 0 to 2^63 - 1, which PyTorch takes as a seed."""
    value = int(text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2^63 - 1, got {text}")
    return value


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all failures here do."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"wganlab: {message}. See '{self.prog} --help'.\n")


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = Parser(prog="wganlab", description=__doc__.splitlines()[0])
    top.add_argument("--debug", action="store_true", help="show where a failure comes from")
    verbs = top.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("train", help="train two players and keep checkpoints")
    run.add_argument("folder", type=Path, help="where the run is kept; made if it does not exist")
    run.add_argument("--data", choices=["digits", *TOYS], default="digits")
    run.add_argument("--recipe", choices=RECIPES, help="default: wgan_gp_digits, or wgan_gp_toy for a toy")
    run.add_argument("--steps", type=positive, default=2000, help="generator updates in all (%(default)s)")
    run.add_argument("--batch", type=positive, help="rows a batch; default 32, or 128 for a toy")
    run.add_argument("--seed", type=whole, default=0)
    run.add_argument("--every", type=positive, default=500, help="updates between checkpoints (%(default)s)")
    run.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    run.add_argument("--threads", type=positive, default=1, help="CPU threads (%(default)s)")
    run.add_argument("--resume", action="store_true", help="continue the run in this folder")
    show = verbs.add_parser("sample", help="draw samples from a trained generator")
    show.add_argument("folder", type=Path, help="a folder that 'wganlab train' made")
    show.add_argument("--out", type=Path, help="a .png to write; default: samples.png in the folder")
    show.add_argument("--count", type=positive, default=64, help="samples drawn (%(default)s)")
    show.add_argument("--seed", type=whole, default=0)
    judge = verbs.add_parser("audit", help="look for known bugs in gradient penalties")
    judge.add_argument("places", nargs="+", metavar="FILE.py:FUNCTION", help="(critic, x, x_fake) -> penalty")
    judge.add_argument("--critic", metavar="FILE.py:MAKE", help="a critic, or a function that makes one")
    judge.add_argument("--json", action="store_true", help="print the reports as one JSON object")
    return top


def players(kind: str) -> tuple[torch.nn.Module, torch.nn.Module, int]:
    """Generator, critic and latent dimension for a data set."""
    if kind == "digits":
        critic = networks.mlp((1, 28, 28), 1, hidden=(512, 256), slope=0.2)
        return networks.dcgan_generator(64), critic, 64
    return networks.mlp(2, 2), networks.mlp(2, 1), 2


def set_up(kind: str, recipe: str, seed: int, place: torch.device) -> tuple[Game, Average, int]:
    """A new game for a data set, the average of its generator, and the latent dimension."""
    torch.manual_seed(seed)
    generator, critic, latent = players(kind)
    game = Game(generator.to(place), critic.to(place), RECIPES[recipe])
    return game, Average(game.generator), latent


def place_for(name: str) -> torch.device:
    """The device of that name; raises ``InputError`` for CUDA where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no CUDA device here. Use --device cpu or auto.")
    return device() if name == "auto" else torch.device(name)


class Stop:
    """Remembers the first signal that asks the run to end, so that it ends between two steps."""

    def __init__(self):
        self.signal = 0
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or number


def run_train(options: argparse.Namespace) -> int:
    """``wganlab train``: returns the exit code."""
    stop = Stop()
    toy = options.data in TOYS
    recipe = options.recipe or ("wgan_gp_toy" if toy else "wgan_gp_digits")
    batch = options.batch or (128 if toy else 32)
    place = place_for(options.device)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    real = TOYS[options.data]() if toy else data.digits().x
    game, average, latent = set_up(options.data, recipe, options.seed, place)
    draw = sampling.Draw(real, sampling.normal(latent), batch, seed=options.seed, device=place)
    about = {"data": options.data, "recipe": recipe, "batch": batch, "seed": options.seed}

    path = prepare(options.folder, options.resume)
    if options.resume:
        saved = checkpoints.read(path)["extra"]
        if saved != about:
            raise CheckpointError(f"{path} is of another run: {saved}, asked for: {about}.")
        checkpoints.load(path, game, average=average)
    with tqdm(total=options.steps, initial=min(game.step, options.steps), unit="step", disable=None) as bar:
        for step in train(game, draw, options.steps):
            average.update(game.generator)
            bar.update()
            if step.index % 20 == 0:
                bar.set_postfix_str(f"critic estimate {-step.critic_loss.item():.3f}", refresh=False)
            if step.index % options.every == 0 or stop.signal:
                checkpoints.save(path, game, average=average, extra=about)
            if stop.signal:
                break
    if not stop.signal:
        checkpoints.save(path, game, average=average, extra=about)
    print(f"{path}: {game.step} of {options.steps} generator updates, recipe {recipe}, on {place}")
    return 128 + stop.signal if stop.signal else 0


def prepare(folder: Path, resume: bool) -> Path:
    """The run's checkpoint path; raises ``CheckpointError`` before any step if it cannot serve."""
    path = folder / "checkpoint.wgan"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CheckpointError(f"Cannot write into {folder}: {error.strerror}.") from error
    if path.exists() and not resume:
        raise CheckpointError(f"{path} exists. Add --resume to continue it, or name another folder.")
    if resume and not path.exists():
        raise CheckpointError(f"There is no {path} to resume. Leave out --resume to start a run.")
    return path


def run_sample(options: argparse.Namespace) -> int:
    """``wganlab sample``: returns the exit code."""
    from matplotlib.figure import Figure

    from . import plots

    path = options.folder / "checkpoint.wgan"
    state = checkpoints.read(path)
    about = state["extra"]
    if not {"data", "recipe", "seed"} <= set(about):
        raise CheckpointError(f"{path} was not written by 'wganlab train': it does not say of which data.")
    game, average, latent = set_up(about["data"], about["recipe"], about["seed"], torch.device("cpu"))
    torch.set_num_threads(state["threads"])
    checkpoints.load(path, game, average=average)
    rng = torch.Generator().manual_seed(options.seed)
    with torch.no_grad():  # BatchNorm wants a large batch, so never fewer than 250
        x = average.player(sampling.normal(latent)(max(250, options.count), rng))[: options.count]
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    if about["data"] == "digits":
        plots.pictures(x[: len(x) - len(x) % 8 or None], axes, columns=min(8, len(x)))
    else:
        plots.points(TOYS[about["data"]]()(1000, rng), x, axes)
    out = options.out or options.folder / "samples.png"
    try:
        figure.savefig(out, format="png")
    except OSError as error:
        raise InputError(f"Cannot write {out}: {error.strerror}.") from error
    print(f"{out}: {len(x)} samples after {game.step} generator updates")
    return 0


def run_audit(options: argparse.Namespace) -> int:
    """``wganlab audit``: returns the exit code; a file that cannot be judged is one line on stderr."""
    from .mistakes import audit
    from .mistakes.loading import loaded, loaded_critic

    reports, code = {}, 0
    for place in options.places:
        try:
            with loaded(place) as function, loaded_critic(options.critic) as critic:
                report = audit(function, critic=critic)
        except InputError as error:
            print(f"wganlab: {place}: {' '.join(str(error).split())}", file=sys.stderr)
            reports[place], code = {"error": str(error)}, 2
            continue
        except (Exception, GeneratorExit) as error:  # one file must not end the audit of the others
            if options.debug:
                raise
            said = f"it cannot be judged ({type(error).__name__})"
            print(f"wganlab: {place}: {said}", file=sys.stderr)
            reports[place], code = {"error": said}, 2
            continue
        code = code or (0 if report.ok else 6)
        reports[place] = report.as_dict()
        if not options.json:
            print(report if len(options.places) == 1 else f"{place}: {report.headline()}")
    if options.json:
        print(json.dumps(reports, indent=1))
    return code


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; a failure is one line on stderr and an exit code."""
    options = parser().parse_args(arguments)
    try:
        return {"train": run_train, "sample": run_sample, "audit": run_audit}[options.verb](options)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if options.debug:
            raise
        kind = "" if isinstance(error, WganlabError) else f"unexpected {type(error).__name__}: "
        line = " ".join(str(error).split())
        print(f"wganlab: {kind}{line}", file=sys.stderr)
        return next((code for kind, code in EXIT.items() if isinstance(error, kind)), 1)


if __name__ == "__main__":
    sys.exit(main())
