"""Saving a game so that it is never lost, and loading it so that nothing wrong is ever loaded.

A checkpoint is one line of text, ``wganlab-checkpoint 1 SHA256``, and a PyTorch archive of plain
types. It is written to a new file in the same folder, flushed to the disk and then renamed, so
that at any moment the path holds either the old checkpoint or the new one. It is read with
``weights_only=True``, which runs no code from the file.
"""

import hashlib
import io
import os
import pickle
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import CheckpointError, DivergenceError
from .training import Average, Game

MAGIC = b"wganlab-checkpoint 1 "
HEADER = len(MAGIC) + 64 + 1  # the digest in hex, and a newline


def tensors(state: Any, key: str = "") -> dict[str, Tensor]:
    """Every tensor in nested dicts and lists, by its path: ``critic.0.weight``."""
    if torch.is_tensor(state):
        return {key: state}
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    return {
        name: leaf for k, value in items for name, leaf in tensors(value, f"{key}.{k}".lstrip(".")).items()
    }


def collect(game: Game, average: Average | None) -> dict[str, Any]:
    """The state of a game and its average, and what must agree when it is loaded."""
    return {
        "recipe": repr(game.recipe),
        "threads": torch.get_num_threads(),
        "game": game.state_dict(),
        "average": average.state_dict() if average else None,
    }


def save(
    path: str | os.PathLike, game: Game, *, average: Average | None = None, extra: dict | None = None
) -> None:
    """Write ``game`` (and ``average``) to ``path``, replacing an older checkpoint in one step.

    ``extra`` is a dict of plain types that ``load`` returns. Raises ``DivergenceError`` if a
    weight is not finite and ``CheckpointError`` if the file cannot be written; either way an older
    checkpoint at ``path`` stays as it was.
    """
    path = Path(path)
    state = collect(game, average) | {"extra": extra or {}}
    for key, value in tensors(state).items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise DivergenceError(
                f"Not saved to {path}: '{key}' has NaN or infinity at step {game.step}. "
                f"The last checkpoint is untouched."
            )
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    digest = hashlib.sha256(payload).hexdigest().encode()
    try:
        write_atomically(path, MAGIC + digest + b"\n" + payload)
    except OSError as error:
        raise CheckpointError(f"Cannot write the checkpoint {path}: {error}.") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` by one with ``content``, whatever interrupts it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if os.name == "posix":  # make the rename itself durable
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(path: str | os.PathLike) -> dict[str, Any]:
    """The content of a checkpoint, its digest checked; raises ``CheckpointError``."""
    path = Path(path)
    if not path.is_file():
        what = "is not a regular file" if path.exists() else "does not exist"
        raise CheckpointError(f"Cannot load the checkpoint {path}: it {what}.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"Cannot load the checkpoint {path}: {error}.") from error
    if not content.startswith(MAGIC) or len(content) <= HEADER:
        raise CheckpointError(
            f"{path} is not a wganlab checkpoint: it starts with {content[:20]!r}, not with {MAGIC!r}."
        )
    stored, payload = content[len(MAGIC) : HEADER - 1].decode("latin-1"), content[HEADER:]
    found = hashlib.sha256(payload).hexdigest()
    if stored != found:
        raise CheckpointError(
            f"{path} is damaged: its sha256 is {found[:12]}..., and {stored[:12]}... was written. "
            f"Use an older checkpoint or start again."
        )
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{path} does not hold plain tensors and numbers: {reason}") from error
    entries = {"recipe", "threads", "game", "average", "extra"}
    missing = sorted(entries - set(state if isinstance(state, dict) else ()))
    if missing:
        raise CheckpointError(f"{path} has no entry '{missing[0]}'. It was not written by this version.")
    return state


def load(path: str | os.PathLike, game: Game, *, average: Average | None = None) -> dict[str, Any]:
    """Bring ``game`` (and ``average``) to the state saved at ``path``; returns its ``extra``.

    The game must have the same recipe and players of the same shapes. Everything is checked
    before anything is changed. Raises ``CheckpointError`` for a file that is missing, damaged or
    foreign, and for one of another game; warns if the number of threads has changed, since
    the continued run then differs from the uninterrupted one in the last bits.
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
    if not isinstance(state["game"].get("step"), int):
        raise CheckpointError(f"{path} has no entry 'game.step' that is a whole number.")
    for player in ("game.generator", "game.critic", "average"):
        check_same(path, player, player_of(state, player), player_of(expected, player))
    for name in ("generator", "critic"):
        check_optimizer(path, state, name, game)
    if state["threads"] != expected["threads"]:
        warnings.warn(
            f"{path} was made with {state['threads']} threads and is continued with "
            f"{expected['threads']}: the run will not be the same to the last bit.",
            stacklevel=2,
        )
    game.load_state_dict(state["game"])
    if average:
        average.load_state_dict(state["average"])
    return state["extra"]


def player_of(state: dict[str, Any], key: str) -> Any:
    """The part of ``state`` at a dotted key, or an empty dict."""
    for name in key.split("."):
        state = (state or {}).get(name)
    return state or {}


def check_same(path, player: str, saved: Any, expected: Any) -> None:
    """Raise ``CheckpointError`` unless both hold the same tensors in shape and dtype, all finite."""
    saved, expected = tensors(saved), tensors(expected)
    for key in sorted(set(saved) ^ set(expected)):
        where = "is not in this player" if key in saved else "is missing in the file"
        raise CheckpointError(f"{path} is of another architecture: '{player}.{key}' {where}.")
    for key, value in expected.items():
        if saved[key].shape != value.shape or saved[key].dtype != value.dtype:
            raise CheckpointError(
                f"{path} is of another architecture: '{player}.{key}' is {tuple(saved[key].shape)} "
                f"{saved[key].dtype} in the file and {tuple(value.shape)} {value.dtype} here."
            )
        if value.is_floating_point() and not torch.isfinite(saved[key]).all():
            raise CheckpointError(f"{path} holds NaN or infinity in '{player}.{key}'.")


def check_optimizer(path, state: dict[str, Any], name: str, game: Game) -> None:
    """Raise ``CheckpointError`` unless an optimizer's state is whole: what one step of ours would leave."""
    make_optimizer = game.recipe.optimizer
    if name == "generator":
        make_optimizer = game.recipe.generator_optimizer or make_optimizer
    twins = [torch.zeros_like(weight, requires_grad=True) for weight in getattr(game, name).parameters()]
    reference = make_optimizer(twins)
    if state["game"]["step"] > 0:
        for twin in twins:
            twin.grad = torch.zeros_like(twin)
        reference.step()
    expected, saved = reference.state_dict(), player_of(state, f"game.{name}_optimizer")
    check_same(path, f"game.{name}_optimizer", saved.get("state", {}), expected["state"])
    groups = [{"params": group["params"], "keys": set(group)} for group in saved.get("param_groups", [])]
    if groups != [{"params": group["params"], "keys": set(group)} for group in expected["param_groups"]]:
        raise CheckpointError(f"{path}: 'game.{name}_optimizer.param_groups' is not that of this recipe.")
