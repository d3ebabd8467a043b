"""Saving a game so that it is never lost, and loading it so that nothing wrong is ever loaded.

A checkpoint is one line of text, ``wganlab-checkpoint 1 SHA256``, and a PyTorch archive of plain
types. It is written to a new file in the same folder, flushed to the disk and then renamed, so
that at any moment the path holds either the old checkpoint or the new one; the old one stays
beside it, in case the disk damages the new one later. It is read with ``weights_only=True``,
which runs no code from the file.

>>> import tempfile
>>> from wganlab import networks, recipes
>>> one, other = (Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan_gp) for _ in range(2))
>>> with tempfile.TemporaryDirectory() as folder:
...     save(Path(folder) / "checkpoint.wgan", one, extra={"seed": 0})
...     load(Path(folder) / "checkpoint.wgan", other)
{'seed': 0}
>>> all(map(torch.equal, one.critic.parameters(), other.critic.parameters()))
True
"""

import copy
import hashlib
import io
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ._files import errors_as, space_message, write_atomically
from .errors import CheckpointError, DivergenceError, InputError
from .training import Average, Game, parameters_of

__all__ = ["load", "previous", "read", "save", "tensors"]

MAGIC = b"wganlab-checkpoint 1 "
HEADER = len(MAGIC) + 64 + 1  # the digest in hex, and a newline
PLAIN = (str, bytes, int, float, bool, type(None))  # what may stand in dict, list and tuple, besides tensors
PARTS = ("recipe", "game", "average")  # that must agree with those of the game at hand
ENTRIES = {"recipe": str, "threads": int, "game": dict, "average": dict | None, "extra": dict}


def flatten(state: Any, key: str = "") -> dict[str, Any]:
    """What nested dicts, lists and tuples hold, by its path: ``critic.0.weight``, ``betas[1]``."""
    if not isinstance(state, dict | list | tuple):
        return {key: state}
    leaves = {}
    for name, part in state.items() if isinstance(state, dict) else enumerate(state):
        path = f"{key}.{name}" if isinstance(name, str) else f"{key}[{name!r}]"
        leaves |= flatten(part, path.removeprefix("."))
    return leaves


def tensors(state: Any) -> dict[str, Tensor]:
    """Every tensor in nested dicts and lists, by its path.

    >>> tensors({"a": [torch.ones(2)], "b": 1})
    {'a[0]': tensor([1., 1.])}
    """
    return {key: leaf for key, leaf in flatten(state).items() if torch.is_tensor(leaf)}


def finite(leaf: Any) -> bool:
    """Whether a number or all numbers of a tensor are finite; true of what is no number."""
    return not isinstance(leaf, Tensor | float) or bool(torch.as_tensor(leaf).isfinite().all())


def snapshot(game: Game, average: Average | None = None) -> dict[str, Any]:
    """The state of a game and its average, and what should agree when it is loaded."""
    return {
        "recipe": re.sub(r" at 0x[0-9a-fA-F]+", "", repr(game.recipe)),  # addresses differ between processes
        "threads": torch.get_num_threads(),
        "device": next(game.generator.parameters()).device.type,
        "game": game.state_dict(),
        "average": average.state_dict() if average else None,
    }


def previous(path: str | Path) -> Path:
    """Where ``save`` keeps the checkpoint that it replaced.

    >>> previous("run/checkpoint.wgan").name
    'checkpoint.previous.wgan'
    """
    path = Path(path)
    return path.parent / f"{path.stem}.previous{path.suffix}"


def save(path: str | Path, game: Game, *, average: Average | None = None, extra: dict | None = None) -> None:
    """Write ``game`` (and ``average``) to ``path``, replacing an older checkpoint in one step.

    The older one is kept at ``previous(path)``. ``extra`` is a dict of plain types that ``load``
    returns. Raises ``DivergenceError`` if a weight is not finite, ``InputError`` for what ``load``
    could not read back, and ``CheckpointError`` if the file cannot be written; in each case an
    older checkpoint at ``path`` stays as it was.
    """
    path, state = Path(path), snapshot(game, average) | {"extra": extra or {}}
    for key, leaf in flatten(state).items():
        if not torch.is_tensor(leaf) and type(leaf) not in PLAIN:
            what = f"'{key}' is a {type(leaf).__module__}.{type(leaf).__name__}"
            raise InputError(f"Checkpoints hold tensors and plain types, but {what}. Convert it by float().")
        if not key.startswith("extra") and not finite(leaf):
            what = f"'{key}' has NaN or infinity at step {game.step}"
            raise DivergenceError(f"Not saved to {path}: {what}. The last checkpoint is untouched.")
    buffer = io.BytesIO()
    torch.save(state, buffer)
    archive = buffer.getvalue()
    content = MAGIC + hashlib.sha256(archive).hexdigest().encode() + b"\n" + archive
    remedy = f"{space_message(path, len(content))} A checkpoint that was there is untouched."
    with errors_as(CheckpointError, f"Cannot write the checkpoint {path}", remedy):
        write_atomically(path, content, keep=previous(path))


def verified(path: Path) -> bytes:
    """The archive in a checkpoint, its digest checked; raises ``CheckpointError``."""
    with errors_as(CheckpointError, f"Cannot load {path}", caught=(OSError, MemoryError)):
        if not path.is_file():  # a pipe would be waited for
            what = "is not a regular file" if path.exists() else "does not exist"
            raise CheckpointError(f"Cannot load {path}: it {what}.")
        with open(path, "rb") as file:
            header = file.read(HEADER)
            if not header.startswith(MAGIC):
                what = f"{path} is not a wganlab checkpoint of format 1: it starts with {header[:20]!r}"
                raise CheckpointError(f"{what}. A newer format needs a newer wganlab.")
            archive = file.read()
    stored, found = header[len(MAGIC) :].decode("latin-1"), hashlib.sha256(archive).hexdigest()
    if stored != f"{found}\n":
        what = f"its sha256 is {found[:12]}..., and {stored[:12]!r}... was written"
        raise CheckpointError(f"{path} is damaged: {what}.")
    return archive


def read(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint, its digest checked.

    Raises ``CheckpointError``; where the checkpoint before it is whole, the message names that one.
    """
    path, older = Path(path), previous(path)
    try:
        archive = verified(path)
    except CheckpointError as error:
        remedy = f"The one before it, {older}, is whole: copy it to {path.name} to continue from there."
        try:
            verified(older)
        except CheckpointError:
            remedy = "Use another checkpoint or start again."
        raise CheckpointError(f"{error} {remedy}") from error
    with errors_as(CheckpointError, f"{path} does not hold plain tensors and numbers", caught=Exception):
        state = torch.load(io.BytesIO(archive), map_location="cpu", weights_only=True)
    for name, kind in ENTRIES.items():
        if not isinstance(state, dict) or not isinstance(state.get(name, ...), kind):
            raise CheckpointError(f"{path} has no entry '{name}' of its kind: this version did not write it.")
    return state


def load(path: str | Path, game: Game, *, average: Average | None = None, state: dict | None = None) -> dict:
    """Bring ``game`` (and ``average``) to the state saved at ``path``; returns its ``extra``.

    The game must have the same recipe and players of the same shapes. ``state`` is what ``read(path)``
    gave, so that a file need not be read twice. Everything is checked, and tried on a copy of the game,
    before anything is changed. Raises ``CheckpointError`` for a file that is missing, damaged or
    foreign, and for one of another game; warns if the number of threads or the kind of device has
    changed, since the continued run then differs from the uninterrupted one.
    """
    state = read(path) if state is None else state
    parts = {"game": game, "average": average} if average else {"game": game}
    trial = copy.deepcopy(parts, {id(shared): shared for shared in (game.recipe, game.mean)})
    fill_optimizers(trial["game"], state["game"].get("step"))
    here = snapshot(**trial)
    check_compatible(path, state, here)
    with errors_as(CheckpointError, f"{path} does not fit", caught=Exception):  # whatever PyTorch refuses
        for name, part in trial.items():
            part.load_state_dict(copy.deepcopy(state[name]))  # an optimizer keeps the tensors it is handed
    for name, unit in (("threads", " threads"), ("device", "")):
        before, now = state.get(name, here[name]), here[name]
        if before != now:
            what = f"{path} was made with {before}{unit} and is continued with {now}{unit}"
            warnings.warn(f"{what}: the run will not be the same to the last bit.", stacklevel=2)
    for name, part in parts.items():
        part.load_state_dict(trial[name].state_dict())
    return state["extra"]


def fill_optimizers(game: Game, step: Any) -> None:
    """Give the optimizers states of the right shapes: none at step 0, else those after a gradient of 0."""
    for optimizer in (part for part in vars(game).values() if isinstance(part, Optimizer)):
        optimizer.state.clear()
        for weight in parameters_of(optimizer):
            weight.grad = torch.zeros_like(weight)
        if step != 0:
            optimizer.step()


def check_compatible(path: str | Path, saved: dict[str, Any], here: dict[str, Any]) -> None:
    """Raise ``CheckpointError``, which names the first key that differs, unless what is saved fits here."""
    found, own = (flatten({part: state[part] or {} for part in PARTS}) for state in (saved, here))
    for key in own | found:
        ours, theirs = (signature(key, leaves.get(key, "missing")) for leaves in (own, found))
        if not finite(found.get(key)):
            theirs = "NaN or infinity"
        if theirs != ours:
            what = f"'{key}' is {theirs} in the file, and {ours} in this game"
            raise CheckpointError(f"{path} does not fit: {what}. Build the game and its average as it was.")


def signature(key: str, leaf: Any) -> str:
    """What a leaf is, in words: two that have the same can replace each other."""
    if torch.is_tensor(leaf):
        return f"{tuple(leaf.shape)} {leaf.dtype}"
    if isinstance(leaf, str) or ".params[" in key:
        return str(leaf)
    if key in ("game.step", "average.updates"):
        return "a count" if type(leaf) is int and leaf >= 0 else repr(leaf)
    if isinstance(leaf, bool | None):
        return "a flag"
    return "a number" if isinstance(leaf, int | float) else type(leaf).__name__
