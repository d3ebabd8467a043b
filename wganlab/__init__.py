"""The package in which the book *Wasserstein GANs, checked* is written. A map of the house:

1. Theory: ``divergences`` (KL, JS, total variation, the optimal discriminator) and ``transport`` (exact
   transport with a certificate, potentials, Sinkhorn, slices, what a gradient penalty computes).
2. The game: ``sampling`` (distributions, and ``Draw``: all the randomness of a run), ``networks`` (players),
   ``objectives`` (what each minimises), ``constraints`` (what keeps a critic 1-Lipschitz), ``recipes`` (the
   papers' numbers; begin here), ``training`` (``Game``, ``train``, ``fit``: Algorithm 1), ``tricks`` (what
   helps a GAN to train: layers and functions Game -> Game), ``alae`` (a GAN cut in two places, so that it
   encodes), ``games`` (two numbers that play).
3. Measuring: ``metrics`` (exact W1, Fréchet distance, modes), ``lipschitz`` (how steep a critic is),
   ``benchmark_pair`` (two distributions whose W1 is known), ``curves`` (what a run's log says of it).
4. Looking: ``plots`` (figures), ``interactive`` (figures that a reader moves).
5. Rooms you need not enter: ``engine`` (the same game, faster), ``checkpoints`` (nothing lost), ``data``
   (digits, MNIST, CIFAR-10, kept results), ``mistakes`` (the bug zoo and ``audit``), ``cli`` (the command
   ``wganlab``), ``errors``.

Import modules by name: ``from wganlab import networks, recipes, sampling``. What a notebook needs most is
here too. Importing wganlab reads no data and changes no setting, and PyTorch is imported when the first of
these names is asked for, so that ``wganlab --help`` answers at once and Ctrl-C is heard from the start.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sampling import Draw
    from .training import Average, Game, Step, device, fit, train

__version__ = "1.0.0"

__all__ = ["Average", "Draw", "Game", "Step", "device", "fit", "train"]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module 'wganlab' has no attribute '{name}'")
    home = "sampling" if name == "Draw" else "training"
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
