"""Players: generators and critics as plain ``nn.Module``s, without state of their own.

Weights are drawn by PyTorch's default rules from its global generator, so a notebook says
``torch.manual_seed`` before it builds players. A critic has no BatchNorm and gives (m,) scores.

- ``mlp``: any rows; ``lipschitz_mlp``, ``GroupSort``, ``spectral``: critics whose layers bound the slope.
- ``dcgan``: pictures of 28x28 (``dcgan_*``), 32x32 and 64x64; ``resnet``: WGAN-GP's for CIFAR-10.
"""

from .dcgan import (
    dcgan32_critic,
    dcgan32_generator,
    dcgan64_critic,
    dcgan64_generator,
    dcgan_critic,
    dcgan_generator,
)
from .mlp import GroupSort, lipschitz_mlp, mlp, spectral
from .resnet import resnet_critic, resnet_generator

__all__ = ["GroupSort", "lipschitz_mlp", "mlp", "spectral"]
__all__ += ["dcgan32_critic", "dcgan32_generator", "dcgan64_critic", "dcgan64_generator"]
__all__ += ["dcgan_critic", "dcgan_generator"]
__all__ += ["resnet_critic", "resnet_generator"]
