"""Fully connected players, plain and 1-Lipschitz by construction, and spectral normalisation."""

import itertools
import math
from collections.abc import Callable, Sequence
from numbers import Integral

from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal, spectral_norm

from ..errors import InputError


def mlp(
    inputs: int | Sequence[int],
    outputs: int | Sequence[int],
    *,
    hidden: Sequence[int] = (128, 128, 128),
    slope: float = 0.0,
    norm: Callable[[int], nn.Module] | None = None,
    last: nn.Module | None = None,
) -> nn.Sequential:
    """A fully connected network with (leaky) ReLU between its layers.

    ``inputs`` and ``outputs`` are the shape of one row; an int d means (d,). ``outputs=1`` is a
    critic: the result has shape (m,). Write ``outputs=(1,)`` for points on the line, (m, 1).
    ``slope`` is the slope of the activation below zero; ``norm`` makes a layer for each hidden width, such as
    ``nn.LayerNorm``, which stands before the activation; ``last`` is applied to the result.
    Raises ``InputError`` for a size below 1.

    >>> import torch
    >>> mlp(2, 1)(torch.zeros(5, 2)).shape, mlp(2, (1,))(torch.zeros(5, 2)).shape
    (torch.Size([5]), torch.Size([5, 1]))
    """
    row_in = (inputs,) if isinstance(inputs, Integral) else tuple(inputs)
    row_out = (outputs,) if isinstance(outputs, Integral) else tuple(outputs)
    sizes = [math.prod(row_in), *hidden, math.prod(row_out)]
    if min(sizes) < 1:
        raise InputError(f"mlp needs layers of size >= 1, got sizes {sizes}.")
    layers: list[nn.Module] = [nn.Flatten()] if len(row_in) > 1 else []
    for size, following in itertools.pairwise(sizes[:-1]):
        layers += [nn.Linear(size, following), *([norm(following)] if norm else [])]
        layers += [nn.LeakyReLU(slope) if slope else nn.ReLU()]
    layers += [nn.Linear(sizes[-2], sizes[-1]), *([last] if last else [])]
    if outputs == 1:
        layers.append(nn.Flatten(0))  # (m, 1) -> (m,)
    elif len(row_out) > 1:
        layers.append(nn.Unflatten(1, row_out))
    return nn.Sequential(*layers)


def spectral(player: nn.Module) -> nn.Module:
    r"""The player with :math:`M_\ell / \|M_\ell\|_2` in place of each linear or convolution layer's matrix.

    The norm is followed by one step of power iteration at each call in training mode, so the layers'
    constants are near 1, a little above while the weights move; a convolution's matrix is its kernel as
    (out, in h w), whose norm is not that of the convolution. Changes ``player`` and returns it. Raises
    ``InputError`` for a player without such layers.
    Source: Miyato et al. 2018, section 2 and Algorithm 1; PyTorch's ``spectral_norm``, with 15 steps to
    start.

    >>> import torch
    >>> layer = spectral(nn.Linear(2, 2, bias=False)).eval()
    >>> bool((torch.linalg.matrix_norm(layer.weight, 2) - 1).abs() < 0.01)
    True
    """
    found = [layer for layer in player.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    if not found:
        raise InputError("spectral needs a player with linear or convolution layers, and found none.")
    for layer in found:
        spectral_norm(layer)
    return player


class GroupSort(nn.Module):
    """Sorts each group of ``size`` neighbours in the last axis: 1-Lipschitz, and keeps gradients' length.

    With ``size=2`` it is MaxMin. Raises ``InputError`` for an axis that ``size`` does not divide.
    Source: Anil, Lucas & Grosse 2019, section 4.1.

    >>> import torch
    >>> GroupSort()(torch.tensor([[3.0, 1.0, 2.0, 4.0]])).tolist()
    [[1.0, 3.0, 2.0, 4.0]]
    """

    def __init__(self, size: int = 2):
        super().__init__()
        if size < 1:
            raise InputError(f"GroupSort needs groups of size >= 1, got {size}.")
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % self.size:
            found = f"GroupSort sorts groups of {self.size}, which do not divide the width {x.shape[-1]}."
            raise InputError(f"{found} Choose a multiple of {self.size}.")
        return x.unflatten(-1, (-1, self.size)).sort(dim=-1).values.flatten(-2)


def lipschitz_mlp(
    inputs: int | Sequence[int], *, hidden: Sequence[int] = (64, 64, 64), size: int = 2
) -> nn.Sequential:
    r"""A critic that is 1-Lipschitz whatever its weights: orthonormal matrices, ``GroupSort`` between.

    Each matrix has orthonormal rows or columns (the last one row of length 1), so its spectral norm is 1.
    Result (m,). Groups have ``size`` neighbours. Raises ``InputError`` as ``mlp`` and ``GroupSort`` do.
    Source: Anil, Lucas & Grosse 2019; PyTorch's ``orthogonal`` keeps the matrices orthonormal.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> critic, x = lipschitz_mlp(2, hidden=(8,)), torch.randn(100, 2)
    >>> f, distance = critic(x), torch.cdist(x, x)
    >>> bool(((f[:, None] - f).abs() <= distance + 1e-5).all())
    True
    """
    GroupSort(size)  # raises for a size below 1
    if any(width % size for width in hidden):
        raise InputError(f"lipschitz_mlp needs hidden widths that {size} divides, got {tuple(hidden)}.")
    critic = mlp(inputs, 1, hidden=hidden)
    for k, layer in enumerate(critic):
        if isinstance(layer, nn.ReLU):
            critic[k] = GroupSort(size)
        elif isinstance(layer, nn.Linear):
            orthogonal(layer)
    return critic
