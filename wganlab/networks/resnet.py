"""The residual players of Gulrajani et al. 2017 for 32x32 colour pictures, as the authors' code builds them.

Source: ``gan_cifar_resnet.py`` of github.com/igul222/improved_wgan_training, without labels (there
``CONDITIONAL = ACGAN = False``).
"""

from math import sqrt

from torch import Tensor, nn

from ..errors import InputError


class Residual(nn.Module):
    """The sum of two ways for one input: x to way(x) + shortcut(x).

    >>> import torch
    >>> Residual(nn.ReLU(), nn.Identity())(torch.tensor([-1.0, 2.0])).tolist()
    [-1.0, 4.0]
    """

    def __init__(self, way: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.way, self.shortcut = way, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.way(x) + self.shortcut(x)


def convolution(inputs: int, outputs: int, kernel: int = 3, *, gain: float = sqrt(2)) -> nn.Conv2d:
    r"""A convolution that keeps the size: biases 0, weights uniform, variance 2 gain^2 / (fan_in + fan_out).

    The gain :math:`\sqrt 2` is He's rule for as many inputs as outputs, 1 is Glorot's; the authors use the
    first in front of and behind a ReLU, the second in shortcuts and at the end.
    """
    return glorot(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), gain)


def glorot(layer: nn.Linear | nn.Conv2d, gain: float = 1.0) -> nn.Module:
    """The layer with Glorot's weights times the gain, and biases 0."""
    nn.init.xavier_uniform_(layer.weight, gain=gain)
    nn.init.zeros_(layer.bias)
    return layer


def up_block(width: int) -> Residual:
    """The generator's block: ``width`` maps to as many of twice the height and width.

    The shortcut's 1x1 convolution stands before its upsampling, not behind it as in the authors' code: the
    two commute, and this order costs a quarter.
    """
    way = nn.Sequential(
        nn.BatchNorm2d(width), nn.ReLU(), nn.Upsample(scale_factor=2), convolution(width, width),
        nn.BatchNorm2d(width), nn.ReLU(), convolution(width, width),
    )  # fmt: skip
    return Residual(way, nn.Sequential(convolution(width, width, 1, gain=1.0), nn.Upsample(scale_factor=2)))


def resnet_generator(latent: int = 128, *, width: int = 128) -> nn.Sequential:
    """The generator of WGAN-GP's CIFAR-10 experiment: (m, latent) to pictures (m, 3, 32, 32) in (-1, 1).

    One linear layer to ``width`` maps of 4x4, three residual blocks with nearest-neighbour upsampling and
    BatchNorm, one convolution. 1,204,483 weights by default. Raises ``InputError`` for a size below 1.
    Source: Gulrajani et al. 2017 and the authors' ``gan_cifar_resnet.py``, ``Generator``.

    >>> import torch
    >>> resnet_generator(8, width=4)(torch.zeros(2, 8)).shape
    torch.Size([2, 3, 32, 32])
    """
    if min(latent, width) < 1:
        raise InputError(f"resnet_generator needs sizes >= 1, got {latent} and {width}.")
    return nn.Sequential(
        glorot(nn.Linear(latent, width * 4 * 4)), nn.Unflatten(1, (width, 4, 4)),
        up_block(width), up_block(width), up_block(width),
        nn.BatchNorm2d(width), nn.ReLU(), convolution(width, 3, gain=1.0), nn.Tanh(),
    )  # fmt: skip


def resnet_critic(*, width: int = 128) -> nn.Sequential:
    """The critic of WGAN-GP's CIFAR-10 experiment: pictures (m, 3, 32, 32) to scores (m,); no normalisation.

    Four residual blocks of ``width`` maps, the first two with mean pooling, then the mean over the
    remaining 8x8 places and one linear layer. The first block has no ReLU in front, and its shortcut pools
    before it convolves, as does the second's here (a 1x1 convolution and a mean commute). 1,053,825 weights
    by default. Raises ``InputError`` for a width below 1.
    Source: Gulrajani et al. 2017 and the authors' ``gan_cifar_resnet.py``, ``Discriminator``.

    >>> import torch
    >>> resnet_critic(width=4)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2])
    """
    if width < 1:
        raise InputError(f"resnet_critic needs a width >= 1, got {width}.")

    def pooled(inputs: int) -> nn.Sequential:
        return nn.Sequential(nn.AvgPool2d(2), convolution(inputs, width, 1, gain=1.0))

    def way(*end: nn.Module) -> nn.Sequential:
        return nn.Sequential(nn.ReLU(), convolution(width, width), nn.ReLU(), convolution(width, width), *end)

    first = nn.Sequential(convolution(3, width), nn.ReLU(), convolution(width, width), nn.AvgPool2d(2))
    return nn.Sequential(
        Residual(first, pooled(3)),
        Residual(way(nn.AvgPool2d(2)), pooled(width)),
        Residual(way(), nn.Identity()), Residual(way(), nn.Identity()),
        nn.ReLU(), nn.AvgPool2d(8), nn.Flatten(), glorot(nn.Linear(width, 1)), nn.Flatten(0),
    )  # fmt: skip
