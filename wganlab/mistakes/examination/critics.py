"""A critic of the reader's own: does it score each row by itself?"""

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from .probes import seed

SIDES = (28, 32, 64, 16, 8, 128, 256)


def candidate_rows(critic: nn.Module) -> list[tuple[int, ...]]:
    """Shapes of one row that the critic might take, told by its first layer.

    >>> candidate_rows(nn.Linear(48, 1))
    [(48,), (3, 4, 4)]
    """
    first = next((layer for layer in critic.modules() if isinstance(layer, nn.Conv2d | nn.Linear)), None)
    if first is None:
        return [(2,), (1,), (784,), (1, 28, 28), (3, 32, 32), (3, 64, 64)]
    if isinstance(first, nn.Conv2d):
        return [(first.in_channels, side, side) for side in SIDES]
    n = first.in_features
    squares = [(channels, math.isqrt(n // channels), math.isqrt(n // channels)) for channels in (1, 3)]
    return [(n,), *(row for row in squares if math.prod(row) == n)]


def scores(critic: nn.Module, x: Tensor, mode: bool) -> Tensor | None:
    """f(x) with one line a row, from the same buffers and seed each time; None if it raises.

    Not by a copy: critics with hooks on their weights, such as weight_norm, cannot be copied.
    """
    modes = [(module, module.training) for module in critic.modules()]
    buffers = {name: part.clone() for name, part in critic.named_buffers()}
    seed(0)
    try:
        with torch.no_grad():
            return functional_call(critic.train(mode), buffers, (x,)).reshape(len(x), -1).clone()
    except (Exception, SystemExit):
        return None
    finally:
        for module, flag in modes:
            module.training = flag


def mixing(critic: nn.Module, mode: bool) -> tuple[float, tuple[int, ...]] | None:
    """How far row 0's score moves when the other rows change, relative to the scores; and the row's shape.

    >>> mixing(nn.Linear(3, 1), mode=True)[0]
    0.0
    """
    weights = list(critic.parameters())
    if any(is_lazy(weight) for weight in weights):
        return None
    for row in candidate_rows(critic):
        rng = torch.Generator().manual_seed(0)
        x = torch.randn(8, *row, generator=rng)
        other = torch.cat([x[:1], 3 * torch.randn(7, *row, generator=rng) + 1])
        x, other = (part.to(weights[0]) if weights else part for part in (x, other))
        one, two = scores(critic, x, mode), scores(critic, other, mode)
        if one is not None and two is not None:
            scale = torch.stack([one, two]).abs().max().clamp_min(1e-12)
            return ((one[0] - two[0]).abs().max() / scale).item(), row
    return None


def examine_critic(critic: nn.Module) -> tuple[dict[str, str], list[str]]:
    """The bugs and the notes about a critic, in the mode it is in; evaluation mode is noted."""
    moved = mixing(critic, critic.training)
    if moved is None:
        return {}, ["critic: no shape of data was found that it takes, so it was not judged"]
    amount, row = moved
    if amount > 1e-4:
        kinds = ((name, type(part).__name__) for name, part in critic.named_modules())
        layers = ", ".join(f"'{name}' ({kind})" for name, kind in kinds if "BatchNorm" in kind)
        seen = f"row 0 keeps its {row} numbers, the other rows change, and its score moves by {amount:.1%} of"
        return {"mixes-rows": f"{seen} the largest score; layers that mix rows: {layers or 'none known'}"}, []
    notes = [f"critic: each row of shape {row} is scored by itself"]
    later = mixing(critic, True) if not critic.training else None
    if later and later[0] > 1e-4:
        notes.append("critic: it is in evaluation mode; in training mode it mixes rows, by BatchNorm perhaps")
    return {}, notes
