"""The package in which the book *Wasserstein GANs, checked* is written.

Import its modules by name: ``from wganlab import networks, recipes, sampling``. What a notebook
needs most, ``Game``, ``train`` and ``Draw``, is here too. Importing wganlab reads no data and
changes no setting.
"""

from .sampling import Draw
from .training import Average, Game, Step, device, train

__version__ = "0.1.0"

__all__ = ["Average", "Draw", "Game", "Step", "device", "train"]
