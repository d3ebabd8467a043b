"""What a run is: all that decides its numbers, kept in its checkpoint, so that no resume can change it."""

import argparse
import os
from pathlib import Path
from typing import Any

import torch

from .. import checkpoints
from ..errors import CheckpointError, InputError
from ..training import Average, Game
from .setups import SETUPS, set_up, shape
from .stop import noted

CHECKPOINT = "checkpoint.wgan"
DECIDES = ("data", "size", "players", "recipe", "batch", "seed", "decay", "precision", "accelerate")
KEPT = {*DECIDES, "shape", "steps", "from", "rows", "sha256"}


def settle(options: argparse.Namespace, path: Path) -> tuple[dict[str, Any], bool]:
    """What the run is to be, and whether it continues the one at ``path``.

    After a restart by torchrun it does if there is a checkpoint. Raises ``CheckpointError`` if a run is in
    the way, or there is none to resume, or it is another; ``InputError`` for options that do not fit.
    """
    before = runs_at(path)
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    if options.resume or (restarted and before):
        if not before:
            raise CheckpointError(f"There is no {path} to resume. Leave out --resume to start a run.")
        return continued(options, path), True
    check_free(path)
    return fresh(options), False


def check_free(path: Path) -> None:
    """Raise ``CheckpointError`` if a run is at ``path``, or was there: a new one would end it."""
    for place in runs_at(path):
        raise CheckpointError(f"{place} exists. Add --resume to continue it, or name another folder.")


def runs_at(path: Path) -> list[Path]:
    """The checkpoint at ``path`` and the one before it, as far as they exist."""
    return [place for place in (path, checkpoints.previous(path)) if exists(place)]


def exists(path: Path) -> bool:
    """Whether there is something at ``path``; raises ``CheckpointError`` where the system cannot say."""
    try:
        return path.exists()
    except OSError as error:
        raise CheckpointError(f"Cannot look for {path}: {error.strerror}. Name another folder.") from error


def fresh(options: argparse.Namespace) -> dict[str, Any]:
    """A new run: what the options say, and for the rest what is usual for the data."""
    kind = options.data or "digits"
    for given, flag, kinds in (
        (options.size, "--size", ["images"]),
        (options.source, "--from", ["mnist", "cifar10", "images"]),
        (options.download, "--download", ["mnist", "cifar10"]),
    ):
        if given and kind not in kinds:
            raise InputError(f"{flag} is for --data {' or '.join(kinds)}, not for {kind}. Leave it out.")
    if kind == "images" and not options.source:
        raise InputError("--data images needs --from PATH, a folder of pictures.")
    setup = SETUPS[kind]
    chosen = options.players or setup.players
    usual = "wgan_gp_resnet" if chosen == "resnet" else setup.recipe
    return {
        "data": kind,
        "size": (options.size or 64) if kind == "images" else None,
        "shape": list(shape(kind, options.size)),
        "from": str(options.source.absolute()) if options.source else None,
        "players": chosen,
        "recipe": options.recipe or usual,
        "batch": options.batch or setup.batch,
        "seed": options.seed or 0,
        "decay": options.decay or 0.0,
        "precision": options.precision or "float32",
        "accelerate": options.accelerate or "auto",
        "steps": options.steps or 2000,
    }


def continued(options: argparse.Namespace, path: Path) -> dict[str, Any]:
    """The run at ``path``; raises ``CheckpointError`` if an option asks for another one."""
    saved = written(path)
    for name in DECIDES:
        asked = getattr(options, name)
        if asked is not None and asked != saved[name]:
            refuse(path, f"--{name}", saved[name], asked)
    steps = options.steps or saved["steps"]
    if saved["decay"] and steps != saved["steps"]:
        refuse(path, "--steps (which --decay counts from)", saved["steps"], steps)
    source = str(options.source.absolute()) if options.source else saved["from"]
    return saved | {"steps": steps, "from": source}


def refuse(path: Path, name: str, saved: Any, asked: Any) -> None:
    """Raise ``CheckpointError``: the run at ``path`` is another one."""
    raise CheckpointError(
        f"{path} is of another run: it has {name} {saved}, and {asked} was asked for. Leave the option out "
        f"to continue the run, or name another folder."
    )


def written(path: Path) -> dict[str, Any]:
    """What the run at ``path`` is; raises ``CheckpointError`` unless ``wganlab train`` wrote it."""
    exists(path)
    about = checkpoints.read(path)["extra"]
    if not set(about) >= KEPT or about["data"] not in SETUPS:
        raise CheckpointError(f"{path} was not written by 'wganlab train': it does not say of which data.")
    return about


def confirm(path: Path, about: dict[str, Any], found: dict[str, Any]) -> None:
    """Take what the data are into ``about``; raises ``CheckpointError`` if a resumed run had others."""
    for name, what in (("rows", "the number of rows"), ("sha256", "data of sha256")):
        if about.get(name, found[name]) != found[name]:
            raise CheckpointError(
                f"{path} is of another run: it has {what} {about[name]}, and here it is {found[name]}. "
                f"Restore the data, name them with --from, or start another run in another folder."
            )
    about.update(found)


def opened(folder: Path) -> tuple[dict[str, Any], Game, Average]:
    """What the run in a folder is, its game and its generator's average, as saved, on the CPU."""
    path = folder / CHECKPOINT
    about = written(path)
    torch.set_num_threads(max(1, min(checkpoints.read(path)["threads"], 256)))
    game, average = set_up(about)
    with noted():
        checkpoints.load(path, game, average=average)
    return about, game, average
