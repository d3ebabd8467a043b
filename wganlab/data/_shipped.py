"""What ships: the 5,000 digits, and kept results, the numbers and small weights of long runs.

Each is checked against its sha256 whenever it is read.
"""

import hashlib
import io
import json
import platform
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._files import errors_as
from ..errors import DataError

DIGITS_SHA256 = "246e0c30eeea57c8d0037d3f38c8e00651ec204cc61b8022563e9aeeb9d756f4"
RESTORE = "Restore it with 'git checkout -- data', or reinstall wganlab."


class Images(NamedTuple):
    """``x`` (n, channels, height, width), float32 in [-1, 1], and ``labels`` (n,), int64."""

    x: Tensor
    labels: Tensor


def scaled(pixels: np.ndarray) -> Tensor:
    """``byte / 127.5 - 1``: uint8 of any shape as float32 in [-1, 1].

    >>> scaled(np.array([0, 51, 255], dtype=np.uint8))
    tensor([-1.0000, -0.6000,  1.0000])
    """
    return torch.from_numpy(pixels.astype(np.float32)).div_(127.5).sub_(1)


def folder() -> Path:
    """Where the data lie: inside the installed package, or beside it in the source tree."""
    package = Path(__file__).parent.parent
    inside = package / "_data"
    return inside if inside.is_dir() else package.parent / "data"


def read_checked(path: Path, sha256: str) -> bytes:
    """The content of a file; raises ``DataError`` if it is missing or was altered."""
    with errors_as(DataError, f"{path} cannot be read", RESTORE):
        content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(f"{path} was altered: its sha256 is {found}, expected {sha256}. {RESTORE}")
    return content


def digits() -> Images:
    """5,000 handwritten digits of MNIST, 500 of each class, in order of class.

    Raises ``DataError`` if data/digits.npz is missing or altered. Provenance and licence are in
    data/README.md.

    >>> x, labels = digits()
    >>> tuple(x.shape), x.min().item(), x.max().item(), labels.bincount().tolist() == [500] * 10
    ((5000, 1, 28, 28), -1.0, 1.0, True)
    """
    content = read_checked(folder() / "digits.npz", DIGITS_SHA256)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return Images(scaled(arrays["images"][:, None]), torch.from_numpy(arrays["labels"]).long())


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
    kept = ", ".join(sorted(file.stem for file in path.parent.glob("*.json"))) or "none"
    with errors_as(DataError, f"There are no results '{name}' at {path}", f"Kept are: {kept}."):
        about = json.loads(path.read_text(encoding="utf-8"))
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
