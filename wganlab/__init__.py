"""The package in which the book *Wasserstein GANs, checked* is written.

Import its modules by name: ``from wganlab import networks, recipes, sampling``. What a notebook
needs most, ``Game``, ``train`` and ``Draw``, is here too. Importing wganlab reads no data and
changes no setting, and PyTorch is imported when the first of these names is asked for, so that
``wganlab --help`` answers at once and Ctrl-C is heard from the start.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sampling import Draw
    from .training import Average, Game, Step, device, train

__version__ = "0.1.0"

__all__ = ["Average", "Draw", "Game", "Step", "device", "train"]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module 'wganlab' has no attribute '{name}'")
    home = "sampling" if name == "Draw" else "training"
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
