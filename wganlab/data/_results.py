"""Kept results: the numbers and small weights of long runs, each with how it was made."""

import hashlib
import io
import json
import platform
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..errors import DataError
from ._digits import RESTORE, folder, read_checked


class Results(NamedTuple):
    """What a run left: ``arrays`` by name, and ``about``: the command, versions and machine."""

    arrays: dict[str, np.ndarray]
    about: dict


def results(name: str) -> Results:
    """The results kept in data/runs: ``NAME.npz``, and ``NAME.json`` that says how they were made.

    Raises ``DataError`` if either is missing or the arrays do not have the recorded sha256.

    >>> results("digit_features").about["command"]
    'python data/make_digit_features.py'
    """
    path = folder() / "runs" / f"{name}.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        kept = ", ".join(sorted(file.stem for file in path.parent.glob("*.json"))) or "none"
        raise DataError(f"There are no results '{name}' at {path} ({error}). Kept are: {kept}.") from error
    if "sha256" not in about:
        raise DataError(f"{path} does not say the sha256 of its arrays. {RESTORE}")
    content = read_checked(path.with_suffix(".npz"), about["sha256"])
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return Results(dict(arrays), about)


def save_results(target: Path, name: str, arrays: dict[str, np.ndarray], about: dict) -> None:
    """Write what ``results`` reads: ``target/NAME.npz`` and ``target/NAME.json``.

    To ``about`` come the versions of PyTorch and Python, the kind of machine, and the arrays' sha256.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    content = buffer.getvalue()
    threads = torch.get_num_threads()
    about = about | {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {'one CPU thread' if threads == 1 else f'{threads} CPU threads'}",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    target.mkdir(parents=True, exist_ok=True)
    (target / f"{name}.npz").write_bytes(content)
    (target / f"{name}.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
