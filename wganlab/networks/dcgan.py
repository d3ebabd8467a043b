"""Convolutional players by the guidelines of DCGAN, for pictures of 28x28, 32x32 and 64x64."""

import itertools
from collections.abc import Sequence

from torch import nn

from ..errors import InputError

KERNEL_4 = {"kernel_size": 4, "stride": 2, "padding": 1}  # halves height and width, or doubles them
KERNEL_5 = {"kernel_size": 5, "stride": 2, "padding": 2}


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
    check_sizes("dcgan_generator", latent, width, dense)
    channels = 2 * width
    picture = nn.ConvTranspose2d(width, 1, **KERNEL_4)
    nn.init.constant_(picture.bias, -1.0)
    return nn.Sequential(
        nn.Linear(latent, dense, bias=False), nn.BatchNorm1d(dense), nn.ReLU(),
        nn.Linear(dense, channels * 7 * 7, bias=False), nn.BatchNorm1d(channels * 7 * 7), nn.ReLU(),
        nn.Unflatten(1, (channels, 7, 7)),
        nn.ConvTranspose2d(channels, width, **KERNEL_4, bias=False),
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
    return downsampling(1, (width, 2 * width), KERNEL_4, side=7)


def dcgan32_generator(latent: int = 64, *, width: int = 16, channels: int = 3) -> nn.Sequential:
    """A small transposed-convolution generator: (m, latent) to pictures (m, channels, 32, 32) in (-1, 1).

    Maps of 4x4 with 4 ``width`` channels, then 8x8 with 2 ``width``, 16x16 with ``width``. For short runs on
    a CPU; ``resnet_generator`` is the paper's. Raises ``InputError`` for a size below 1.
    Source: the guidelines of Radford et al. 2016, section 3, in a size of ours.

    >>> import torch
    >>> dcgan32_generator(8, width=2)(torch.zeros(2, 8)).shape
    torch.Size([2, 3, 32, 32])
    """
    check_sizes("dcgan32_generator", latent, width, channels)
    return upsampling(latent, (4 * width, 2 * width, width), channels, KERNEL_4)


def dcgan32_critic(*, width: int = 32, channels: int = 3) -> nn.Sequential:
    """A strided-convolution critic: pictures (m, channels, 32, 32) to scores (m,); no normalisation.

    Maps of 16x16 with ``width`` channels, 8x8 with twice and 4x4 with four times as many, then one linear
    layer. Raises ``InputError`` for a size below 1.
    Source: the guidelines of Radford et al. 2016, section 3, less BatchNorm.

    >>> import torch
    >>> dcgan32_critic(width=2)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2])
    """
    check_sizes("dcgan32_critic", width, channels)
    return downsampling(channels, (width, 2 * width, 4 * width), KERNEL_4, side=4)


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
    check_sizes("dcgan64_generator", latent, width, channels)
    widths = (8 * width, 4 * width, 2 * width, width)
    return dcgan_init(upsampling(latent, widths, channels, KERNEL_5 | {"output_padding": 1}))


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
    check_sizes("dcgan64_critic", width, channels)
    return dcgan_init(downsampling(channels, (width, 2 * width, 4 * width, 8 * width), KERNEL_5, side=4))


def check_sizes(player: str, *sizes: int) -> None:
    """Raise ``InputError`` unless all sizes are at least 1."""
    if min(sizes) < 1:
        raise InputError(f"{player} needs sizes >= 1, got {', '.join(map(str, sizes))}.")


def upsampling(latent: int, widths: Sequence[int], channels: int, kernel: dict[str, int]) -> nn.Sequential:
    """4x4 maps, doubled in height and width from each width to the next and at the end, then tanh."""
    layers: list[nn.Module] = [nn.Linear(latent, widths[0] * 4 * 4, bias=False)]
    layers += [nn.Unflatten(1, (widths[0], 4, 4))]
    for size, following in itertools.pairwise(widths):
        layers += [nn.BatchNorm2d(size), nn.ReLU(), nn.ConvTranspose2d(size, following, **kernel, bias=False)]
    layers += [nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.ConvTranspose2d(widths[-1], channels, **kernel)]
    return nn.Sequential(*layers, nn.Tanh())


def downsampling(channels: int, widths: Sequence[int], kernel: dict[str, int], *, side: int) -> nn.Sequential:
    """Maps halved in height and width at each width, leaky ReLU 0.2, one linear layer on side x side maps."""
    layers: list[nn.Module] = []
    for size, following in itertools.pairwise((channels, *widths)):
        layers += [nn.Conv2d(size, following, **kernel), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * side * side, 1), nn.Flatten(0))


def dcgan_init(player: nn.Module) -> nn.Module:
    """The player with weights N(0, 0.02^2) and biases 0 in its linear layers and convolutions.

    Source: Radford et al. 2016, section 4.
    """
    for layer in player.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return player
