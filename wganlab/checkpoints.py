"""Saving a game so that it is never lost, and loading it so that nothing wrong is ever loaded.

A checkpoint is one line of text, ``wganlab-checkpoint 1 SHA256``, and a PyTorch archive of plain
types. It is written to a new file in the same folder, flushed to the disk and then renamed, so
that at any moment the path holds either the old checkpoint or the new one; the old one stays
beside it, in case the disk damages the new one later. It is read with ``weights_only=True``,
which runs no code from the file.
"""

import hashlib
import io
import math
import os
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ._files import claim, room, write_atomically
from .errors import CheckpointError, DivergenceError, InputError
from .training import Average, Game, parameters_of

__all__ = ["claim", "load", "previous", "read", "save", "tensors", "write_atomically"]

MAGIC = b"wganlab-checkpoint 1 "
HEADER = len(MAGIC) + 64 + 1  # the digest in hex, and a newline
PLAIN = (Tensor, str, bytes, int, float, bool, type(None))  # besides dict, list and tuple


def leaves(state: Any, key: str = "") -> dict[str, Any]:
    """What nested dicts, lists and tuples hold, by its path: ``critic.0.weight``, ``betas[1]``."""
    if isinstance(state, dict):
        items = [(f".{k}" if isinstance(k, str) else f"[{k!r}]", v) for k, v in state.items()]
    elif isinstance(state, list | tuple):
        items = [(f"[{i}]", v) for i, v in enumerate(state)]
    else:
        return {key: state}
    return {path: leaf for k, v in items for path, leaf in leaves(v, f"{key}{k}".removeprefix(".")).items()}


def tensors(state: Any) -> dict[str, Tensor]:
    """Every tensor in nested dicts and lists, by its path."""
    return {key: leaf for key, leaf in leaves(state).items() if torch.is_tensor(leaf)}


def finite(leaf: Any) -> bool:
    """Whether a number or all numbers of a tensor are finite; true of what is no number."""
    if torch.is_tensor(leaf):
        return not leaf.is_floating_point() or bool(torch.isfinite(leaf).all())
    return not isinstance(leaf, float) or math.isfinite(leaf)


def collect(game: Game, average: Average | None) -> dict[str, Any]:
    """The state of a game and its average, and what should agree when it is loaded."""
    return {
        "recipe": re.sub(r" at 0x[0-9a-fA-F]+", "", repr(game.recipe)),  # addresses differ between processes
        "threads": torch.get_num_threads(),
        "device": next(game.generator.parameters()).device.type,
        "game": game.state_dict(),
        "average": average.state_dict() if average else None,
    }


def previous(path: str | os.PathLike) -> Path:
    """Where ``save`` keeps the checkpoint that it replaced.

    >>> previous("run/checkpoint.wgan").name
    'checkpoint.previous.wgan'
    """
    path = Path(path)
    return path.parent / f"{path.stem}.previous{path.suffix}"


def save(
    path: str | os.PathLike, game: Game, *, average: Average | None = None, extra: dict | None = None
) -> None:
    """Write ``game`` (and ``average``) to ``path``, replacing an older checkpoint in one step.

    The older one is kept at ``previous(path)``. ``extra`` is a dict of plain types that ``load``
    returns. Raises ``DivergenceError`` if a weight is not finite, ``InputError`` for what ``load``
    could not read back, and ``CheckpointError`` if the file cannot be written; in each case an
    older checkpoint at ``path`` stays as it was.
    """
    path = Path(path)
    state = collect(game, average) | {"extra": extra or {}}
    for key, leaf in leaves(state).items():
        if not isinstance(leaf, PLAIN) or not (torch.is_tensor(leaf) or type(leaf) in PLAIN):
            raise InputError(
                f"A checkpoint holds tensors and plain Python types, but '{key}' is a "
                f"{type(leaf).__module__}.{type(leaf).__name__}. Convert it, say by float() or str()."
            )
        if not key.startswith("extra") and not finite(leaf):
            raise DivergenceError(
                f"Not saved to {path}: '{key}' has NaN or infinity at step {game.step}. "
                f"The last checkpoint is untouched."
            )
    buffer = io.BytesIO(bytes(HEADER))
    buffer.seek(HEADER)
    torch.save(state, buffer)
    content = buffer.getbuffer()
    content[:HEADER] = MAGIC + hashlib.sha256(content[HEADER:]).hexdigest().encode() + b"\n"
    try:
        write_atomically(path, content, keep=previous(path))
    except (OSError, ValueError) as error:  # ValueError: NUL in a path
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"Cannot write the checkpoint {path}: {reason}. {room(path, len(content))} "
            f"A checkpoint that was there is untouched."
        ) from error


def payload_of(path: Path) -> bytes:
    """The archive in a checkpoint, its digest checked; raises ``CheckpointError``."""
    try:
        if not path.is_file():  # a pipe would be waited for
            what = "is not a regular file" if path.exists() else "does not exist"
            raise CheckpointError(f"Cannot load the checkpoint {path}: it {what}.")
        with open(path, "rb") as file:
            header = file.read(HEADER)
            known = header.startswith(MAGIC) and len(header) == HEADER
            payload = file.read() if known else b""
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "it does not fit into memory"
        raise CheckpointError(f"Cannot load the checkpoint {path}: {reason}.") from error
    version = re.match(rb"wganlab-checkpoint (\d{1,9}) [0-9a-f]{60}", header)
    if version and int(version[1]) > 1:
        raise CheckpointError(
            f"{path} has format {int(version[1])}, and this wganlab reads format 1. Install a newer wganlab."
        )
    if not known:
        raise CheckpointError(
            f"{path} is not a wganlab checkpoint: it starts with {header[:20]!r}, not with {MAGIC!r}."
        )
    stored = header[len(MAGIC) :].decode("latin-1")
    found = hashlib.sha256(payload).hexdigest()
    if stored != found + "\n":
        raise CheckpointError(
            f"{path} is damaged: its sha256 is {found[:12]}..., and {stored[:12]!r}... was written."
        )
    return payload


def read(path: str | os.PathLike) -> dict[str, Any]:
    """The content of a checkpoint, its digest checked.

    Raises ``CheckpointError``; where the checkpoint before it is whole, the message names that one.
    """
    path = Path(path)
    try:
        payload = payload_of(path)
    except CheckpointError as error:
        older = previous(path)
        try:
            payload_of(older)
        except CheckpointError:
            raise CheckpointError(f"{error} Use another checkpoint or start again.") from error
        raise CheckpointError(
            f"{error} The one before it, {older}, is whole: copy it to {path.name} to continue from there."
        ) from error
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # whoever made the file decides which
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(f"{path} does not hold plain tensors and numbers: {reason}") from error
    entries = {"recipe": str, "threads": int, "game": dict, "average": dict | None, "extra": dict}
    for name, kind in entries.items():
        if not isinstance(state, dict) or not isinstance(state.get(name, ...), kind):
            raise CheckpointError(
                f"{path} has no entry '{name}' of its kind. It was not written by this version."
            )
    return state


def load(path: str | os.PathLike, game: Game, *, average: Average | None = None) -> dict[str, Any]:
    """Bring ``game`` (and ``average``) to the state saved at ``path``; returns its ``extra``.

    The game must have the same recipe and players of the same shapes. Everything is checked
    before anything is changed. Raises ``CheckpointError`` for a file that is missing, damaged or
    foreign, and for one of another game; warns if the number of threads or the kind of device has
    changed, since the continued run then differs from the uninterrupted one.
    """
    state = read(path)
    expected = collect(game, average)
    if state["recipe"] != expected["recipe"]:
        raise CheckpointError(
            f"{path} was trained by another recipe.\n  saved: {state['recipe']}\n  "
            f"here:  {expected['recipe']}\nBuild the game with the saved one."
        )
    if (average is None) != (state["average"] is None):
        have = "no average" if state["average"] is None else "an average"
        raise CheckpointError(f"{path} has {have} of the generator's weights. Load it likewise.")
    for name in ("generator", "critic"):
        expected["game"][f"{name}_optimizer"] = optimizer_state(game, name, state["game"].get("step"))
    for part in ("game", "average"):
        check_same(path, leaves(state[part], part), leaves(expected[part], part))
    for name, unit in (("threads", " threads"), ("device", "")):
        before, now = state.get(name, expected[name]), expected[name]
        if before != now:
            warnings.warn(
                f"{path} was made with {before}{unit} and is continued with {now}{unit}: "
                f"the run will not be the same to the last bit.",
                stacklevel=2,
            )
    game.load_state_dict(state["game"])
    if average:
        average.load_state_dict(state["average"])
    return state["extra"]


def optimizer_state(game: Game, name: str, step: Any) -> dict[str, Any]:
    """The state of a player's optimizer as one step of the recipe's would leave it; fresh for step 0."""
    make_optimizer = game.recipe.optimizer
    if name == "generator":
        make_optimizer = game.recipe.generator_optimizer or make_optimizer
    weights = parameters_of(getattr(game, f"{name}_optimizer"))
    twins = [torch.zeros_like(weight, requires_grad=True) for weight in weights]
    reference = make_optimizer(twins)
    if step != 0:
        for twin in twins:
            twin.grad = torch.zeros_like(twin)
        reference.step()
    return reference.state_dict()


def kind(leaf: Any) -> str:
    """What a leaf is, so that two of one kind can replace each other."""
    if torch.is_tensor(leaf):
        return f"{tuple(leaf.shape)} {leaf.dtype}"
    if leaf is None or isinstance(leaf, bool):
        return "a flag"
    return "a number" if isinstance(leaf, int | float) else type(leaf).__name__


def check_same(path, saved: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raise ``CheckpointError`` unless both hold the same keys, shapes and kinds, all numbers finite."""
    for key in [key for key in {**expected, **saved} if (key in saved) != (key in expected)][:1]:
        where = "is not in this game" if key in saved else "is missing in the file"
        raise CheckpointError(f"{path} is of another architecture: '{key}' {where}.")
    for key, value in expected.items():
        found = saved[key]
        if kind(found) != kind(value):
            raise CheckpointError(
                f"{path} is of another architecture: '{key}' is {kind(found)} in the file and "
                f"{kind(value)} here."
            )
        if not finite(found):
            raise CheckpointError(f"{path} holds NaN or infinity in '{key}'.")
        if key in ("game.step", "average.updates") and not (isinstance(found, int) and found >= 0):
            raise CheckpointError(f"{path}: '{key}' is {found!r}, and must be a whole number >= 0.")
        if ".params[" in key and found != value:
            raise CheckpointError(f"{path}: '{key}' is {found!r}, and must be {value!r}.")
