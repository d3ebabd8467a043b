"""Data: what ships with the project, full MNIST, CIFAR-10 and folders of pictures.

What ships is checked against its SHA-256 each time it is read. Its files lie in the source tree's
``data/``, or inside the package when it was installed as a wheel. Nothing is read at import, and
nothing is fetched unless ``download=True`` asks for it; then it goes to the user's cache.
"""

import hashlib
import io
import json
import platform
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..errors import DataError
from .cifar import ARCHIVE, cifar10
from .fetch import File, cache
from .idx import TEST, TRAIN, mnist
from .images import Images, scaled
from .pictures import image_folder

__all__ = [
    "DIGITS_SHA256",
    "Images",
    "Run",
    "cache",
    "cifar10",
    "digits",
    "folder",
    "image_folder",
    "keep",
    "mnist",
    "read_checked",
    "run",
    "summary",
]

DIGITS_SHA256 = "246e0c30eeea57c8d0037d3f38c8e00651ec204cc61b8022563e9aeeb9d756f4"


def folder() -> Path:
    """Where the data lie: inside the installed package, or beside it in the source tree."""
    package = Path(__file__).parent.parent
    inside = package / "_data"
    return inside if inside.is_dir() else package.parent / "data"


def read_checked(path: Path, sha256: str) -> bytes:
    """The content of a file; raises ``DataError`` if it is missing or was altered."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"The data file {path} cannot be read: {error.strerror}. Restore it with "
            f"'git checkout -- data', or reinstall wganlab."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"The data file {path} was altered: its sha256 is {found}, expected {sha256}. "
            f"Restore it with 'git checkout -- data', or reinstall wganlab."
        )
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
        images, labels = arrays["images"], arrays["labels"]
    return Images(scaled(images[:, None]), torch.from_numpy(labels).long())


class Run(NamedTuple):
    """A kept result: ``arrays`` by name, and ``about``: the command, versions and machine."""

    arrays: dict[str, np.ndarray]
    about: dict


def run(name: str) -> Run:
    """A result kept in data/runs: ``NAME.npz``, and ``NAME.json`` that says how it was made.

    Raises ``DataError`` if either is missing or the arrays do not have the recorded sha256.

    >>> run("digit_features").about["command"]
    'python data/make_digit_features.py'
    """
    path = folder() / "runs" / f"{name}.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        kept = ", ".join(sorted(file.stem for file in path.parent.glob("*.json"))) or "none"
        raise DataError(f"There is no kept run '{name}' at {path} ({error}). Kept are: {kept}.") from error
    if "sha256" not in about:
        raise DataError(
            f"{path} does not say the sha256 of its arrays. Restore it with 'git checkout -- data'."
        )
    content = read_checked(path.with_suffix(".npz"), about["sha256"])
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return Run(dict(arrays), about)


def keep(target: Path, name: str, arrays: dict[str, np.ndarray], about: dict) -> None:
    """Write a result that ``run`` can read: ``target/NAME.npz`` and ``target/NAME.json``.

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


def summary() -> dict[str, str]:
    """What data are here, a line for each: for ``doctor``. Reads the digits, fetches nothing, raises nothing.

    >>> summary()["digits"]
    'ok, 5000 pictures'
    """
    try:
        found = f"ok, {len(digits().x)} pictures"
    except DataError as error:
        found = str(error)
    try:
        place = cache()
        return {
            "digits": found,
            "cache": f"{place}{'' if place.is_dir() else ' (not there yet)'}",
            "mnist": presence(place / "mnist", (*TRAIN, *TEST)),
            "cifar10": presence(place, (ARCHIVE,)),
        }
    except (DataError, OSError) as error:
        return {"digits": found, "cache": str(error), "mnist": "not found", "cifar10": "not found"}


def presence(place: Path, files: tuple[File, ...]) -> str:
    """Whether files are in the cache, judged by their sizes."""
    sizes = [path.stat().st_size if (path := place / file.name).is_file() else 0 for file in files]
    if not any(sizes):
        return "not found"
    whole = all(size == file.size for size, file in zip(sizes, files, strict=True))
    return "found" if whole else "found, but not whole: get it anew with download=True"
