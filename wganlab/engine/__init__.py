"""The same game in another speed: functions Game -> Game, for ``train(..., accelerate=...)`` and ``fit``.

Each returns a copy of the game that shares its players and optimizers, with a gradient or a step exchanged:

- ``fast``: the critic's gradient written out (``written_out``);
- ``compiled``: both gradients compiled by ``torch.compile``;
- ``autocast(torch.bfloat16)``: players that compute in bfloat16;
- ``graphed``: both steps as CUDA graphs;
- ``chain(...)``: several of these, in the order ``autocast``, ``compiled`` or ``fast``, ``graphed``, and last
  ``ranks.average_losses`` of a run on several devices (``wganlab.engine.ranks``).

What is exchanged in a game after that, such as its recipe, its copies do not see; weights, optimizers'
numbers and a loaded state they share. For float32 products on the tensor cores of an NVIDIA GPU (TF32, 10
bits of mantissa) say ``torch.set_float32_matmul_precision("high")``: PyTorch's default keeps float32 for
matrices, and TF32 for convolutions (``torch.backends.cudnn.allow_tf32``).
"""

from ..training import Acceleration, Game
from .autocast import autocast
from .compiled import compiled
from .cost import flops, threads_for
from .graphs import graphed
from .written_out import fast, writes_out

__all__ = ["autocast", "chain", "compiled", "fast", "flops", "graphed", "threads_for", "writes_out"]


def chain(*accelerations: Acceleration) -> Acceleration:
    """One acceleration that applies several, the first one first: ``chain(f, g)(game)`` is ``g(f(game))``.

    >>> chain(lambda game: game + ["f"], lambda game: game + ["g"])(["game"])
    ['game', 'f', 'g']
    """

    def apply(game: Game) -> Game:
        for acceleration in accelerations:
            game = acceleration(game)
        return game

    return apply
