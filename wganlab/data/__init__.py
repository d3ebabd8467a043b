"""Data: what ships with the project, full MNIST, CIFAR-10 and folders of pictures.

- what ships: ``digits``, ``results`` (kept by ``save_results``), both checked against their SHA-256
  each time they are read; ``folder`` is where they lie, ``read_checked`` how they are read
- what you have or download: ``mnist``, ``cifar10``, ``images``; downloads go to ``cache``
- what is here: ``summary``

Pictures are float32 in [-1, 1], channels first. Nothing is read at import, and nothing is downloaded
unless ``download=True`` asks for it.
"""

from pathlib import Path

from ..errors import DataError
from ._cifar import ARCHIVE, cifar10
from ._download import File, cache
from ._mnist import TEST, TRAIN, mnist
from ._pictures import images
from ._shipped import DIGITS_SHA256, Images, Results, digits, folder, read_checked, results, save_results

__all__ = ["DIGITS_SHA256", "Images", "Results", "cache", "cifar10", "digits", "folder", "images", "mnist"]
__all__ += ["read_checked", "results", "save_results", "summary"]


def summary() -> dict[str, str]:
    """What data are here, a line for each: for ``doctor``. Reads the digits, fetches nothing, raises nothing.

    >>> summary()["digits"]
    'ok, 5000 pictures'
    """
    found = {"digits": "", "cache": "", "mnist": "not found", "cifar10": "not found"}
    try:
        found["digits"] = f"ok, {len(digits().x)} pictures"
    except DataError as error:
        found["digits"] = str(error)
    try:
        place = cache()
        found["cache"] = f"{place}{'' if place.is_dir() else ' (not there yet)'}"
        found["mnist"] = presence(place / "mnist", (*TRAIN, *TEST))
        found["cifar10"] = presence(place, (ARCHIVE,))
    except (DataError, OSError) as error:
        found["cache"] = str(error)
    return found


def presence(place: Path, files: tuple[File, ...]) -> str:
    """Whether files are in the cache, judged by their sizes."""
    sizes = [path.stat().st_size if (path := place / file.name).is_file() else 0 for file in files]
    if not any(sizes):
        return "not found"
    whole = sizes == [file.size for file in files]
    return "found" if whole else "found, but not whole: get it anew with download=True"
