"""Players: generators and critics as plain ``nn.Module``s, without state of their own.

Weights are drawn by PyTorch's default rules from its global generator, so a notebook says
``torch.manual_seed`` before it builds players. A critic has no BatchNorm and gives (m,) scores.
"""

import itertools
import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal, spectral_norm

from ..errors import InputError
from .resnet import resnet_critic as resnet_critic
from .resnet import resnet_generator as resnet_generator


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
    row_in = (inputs,) if isinstance(inputs, int) else tuple(inputs)
    row_out = (outputs,) if isinstance(outputs, int) else tuple(outputs)
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


def dcgan_generator(latent: int = 64, *, width: int = 16, dense: int = 128) -> nn.Sequential:
    """A small transposed-convolution generator: (m, latent) to 28x28 pictures in (-1, 1).

    ``width`` channels before the last layer, twice as many before that, ``dense`` units in
    the layer above. The last bias starts at -1, so that the first pictures are dark, as digits are.
    Shape of the result: (m, 1, 28, 28). Raises ``InputError`` for a size below 1.
    Source: the guidelines of Radford et al. 2016, section 3, in a size of ours.

    >>> import torch
    >>> dcgan_generator(8)(torch.zeros(2, 8)).shape
    torch.Size([2, 1, 28, 28])
    """
    if min(latent, width, dense) < 1:
        raise InputError(f"dcgan_generator needs sizes >= 1, got {latent}, {width}, {dense}.")
    channels = 2 * width
    picture = nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1)
    nn.init.constant_(picture.bias, -1.0)
    return nn.Sequential(
        nn.Linear(latent, dense, bias=False), nn.BatchNorm1d(dense), nn.ReLU(),
        nn.Linear(dense, channels * 7 * 7, bias=False), nn.BatchNorm1d(channels * 7 * 7), nn.ReLU(),
        nn.Unflatten(1, (channels, 7, 7)),
        nn.ConvTranspose2d(channels, width, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width), nn.ReLU(),
        picture, nn.Tanh(),
    )  # fmt: skip


def dcgan_critic(*, width: int = 32) -> nn.Sequential:
    """A strided-convolution critic: pictures (m, 1, 28, 28) to scores (m,); no normalisation.

    Maps of 14x14 with ``width`` channels, then 7x7 with twice as many, then one linear layer.
    Raises ``InputError`` for a width below 1.
    Source: the guidelines of Radford et al. 2016, section 3, less BatchNorm, which a gradient
    penalty forbids (Gulrajani et al. 2017, section 4).

    >>> import torch
    >>> dcgan_critic(width=4)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2])
    """
    if width < 1:
        raise InputError(f"dcgan_critic needs a width >= 1, got {width}.")
    return nn.Sequential(
        nn.Conv2d(1, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(2 * width * 7 * 7, 1), nn.Flatten(0),
    )  # fmt: skip


def dcgan32_generator(latent: int = 64, *, width: int = 16, channels: int = 3) -> nn.Sequential:
    """A small transposed-convolution generator: (m, latent) to pictures (m, channels, 32, 32) in (-1, 1).

    Maps of 4x4 with 4 ``width`` channels, then 8x8 with 2 ``width``, 16x16 with ``width``. For short runs on
    a CPU; ``resnet_generator`` is the paper's. Raises ``InputError`` for a size below 1.
    Source: the guidelines of Radford et al. 2016, section 3, in a size of ours.

    >>> import torch
    >>> dcgan32_generator(8, width=2)(torch.zeros(2, 8)).shape
    torch.Size([2, 3, 32, 32])
    """
    if min(latent, width, channels) < 1:
        raise InputError(f"dcgan32_generator needs sizes >= 1, got {latent}, {width}, {channels}.")
    layers = [nn.Linear(latent, 4 * width * 4 * 4, bias=False), nn.Unflatten(1, (4 * width, 4, 4))]
    for size in (4 * width, 2 * width):
        layers += [nn.BatchNorm2d(size), nn.ReLU()]
        layers += [nn.ConvTranspose2d(size, size // 2, 4, stride=2, padding=1, bias=False)]
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1)]
    return nn.Sequential(*layers, nn.Tanh())


def dcgan32_critic(*, width: int = 32, channels: int = 3) -> nn.Sequential:
    """A strided-convolution critic: pictures (m, channels, 32, 32) to scores (m,); no normalisation.

    Maps of 16x16 with ``width`` channels, 8x8 with twice and 4x4 with four times as many, then one linear
    layer. Raises ``InputError`` for a size below 1.
    Source: the guidelines of Radford et al. 2016, section 3, less BatchNorm.

    >>> import torch
    >>> dcgan32_critic(width=2)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2])
    """
    if min(width, channels) < 1:
        raise InputError(f"dcgan32_critic needs sizes >= 1, got {width}, {channels}.")
    layers: list[nn.Module] = []
    for size, following in itertools.pairwise((channels, width, 2 * width, 4 * width)):
        layers += [nn.Conv2d(size, following, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * width * 4 * 4, 1), nn.Flatten(0))


def dcgan64_generator(latent: int = 128, *, width: int = 64, channels: int = 3) -> nn.Sequential:
    """The DCGAN generator of the WGAN-GP authors: (m, latent) to pictures (m, channels, 64, 64) in (-1, 1).

    Maps of 4x4 with 8 ``width`` channels, half as many at each of four 5x5 transposed convolutions of stride
    2; weights N(0, 0.02^2). 5,356,099 weights by default. Raises ``InputError`` for a size below 1.
    Source: Radford et al. 2016, Figure 1 (there 1,024 maps of 4x4) and section 4 (initial weights), in the
    size of ``gan_64x64.py``, ``DCGANGenerator``, of Gulrajani et al. 2017; biases in front of BatchNorm,
    which removes them, are left out, and the initial weights are normal as in the first paper.

    >>> import torch
    >>> dcgan64_generator(8, width=1)(torch.zeros(2, 8)).shape
    torch.Size([2, 3, 64, 64])
    """
    if min(latent, width, channels) < 1:
        raise InputError(f"dcgan64_generator needs sizes >= 1, got {latent}, {width}, {channels}.")
    form = {"kernel_size": 5, "stride": 2, "padding": 2, "output_padding": 1}
    layers = [nn.Linear(latent, 8 * width * 4 * 4, bias=False), nn.Unflatten(1, (8 * width, 4, 4))]
    for size in (8 * width, 4 * width, 2 * width):
        layers += [nn.BatchNorm2d(size), nn.ReLU(), nn.ConvTranspose2d(size, size // 2, **form, bias=False)]
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, channels, **form), nn.Tanh()]
    return radford(nn.Sequential(*layers))


def dcgan64_critic(*, width: int = 64, channels: int = 3) -> nn.Sequential:
    """The DCGAN critic of the WGAN-GP authors: pictures (m, channels, 64, 64) to scores (m,).

    Four 5x5 convolutions of stride 2 with 1, 2, 4, 8 times ``width`` maps and leaky ReLU 0.2, one linear
    layer; weights N(0, 0.02^2). 4,314,753 weights by default. Raises ``InputError`` for a size below 1.
    Source: ``gan_64x64.py``, ``DCGANDiscriminator`` with ``bn=False``, of Gulrajani et al. 2017 (there with
    LayerNorm by default); Radford et al. 2016, section 4, with BatchNorm, which a penalty forbids.

    >>> import torch
    >>> dcgan64_critic(width=1)(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2])
    """
    if min(width, channels) < 1:
        raise InputError(f"dcgan64_critic needs sizes >= 1, got {width}, {channels}.")
    layers: list[nn.Module] = []
    for size, following in itertools.pairwise((channels, width, 2 * width, 4 * width, 8 * width)):
        layers += [nn.Conv2d(size, following, 5, stride=2, padding=2), nn.LeakyReLU(0.2)]
    return radford(nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * width * 4 * 4, 1), nn.Flatten(0)))


def radford(player: nn.Module) -> nn.Module:
    """The player with weights N(0, 0.02^2) and biases 0 in its linear layers and convolutions.

    Source: Radford et al. 2016, section 4.
    """
    for layer in player.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return player


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
            raise InputError(
                f"GroupSort sorts groups of {self.size}, which do not divide the width {x.shape[-1]}. "
                f"Choose an even width."
            )
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
    if any(width % size for width in hidden):
        raise InputError(f"lipschitz_mlp needs hidden widths that {size} divides, got {tuple(hidden)}.")
    layers = [
        GroupSort(size) if isinstance(layer, nn.ReLU) else layer for layer in mlp(inputs, 1, hidden=hidden)
    ]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            orthogonal(layer)
    return nn.Sequential(*layers)
