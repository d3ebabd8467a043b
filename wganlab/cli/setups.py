"""What the command line trains on what: the usual players, recipe and batch for each kind of data."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .. import data, networks, recipes, sampling
from ..errors import InputError
from ..training import Average, Game


class Setup(NamedTuple):
    """The defaults for a kind of data: names as on the command line, rows a batch, latent dimension."""

    players: str
    recipe: str
    batch: int
    latent: int


GREY, COLOUR = Setup("mixed", "wgan_gp_digits", 32, 64), Setup("dcgan", "wgan_gp", 64, 128)
POINTS = Setup("mlp", "wgan_gp_toy", 128, 2)
SETUPS = {"digits": GREY, "mnist": GREY, "cifar10": COLOUR, "images": COLOUR}
SETUPS |= dict.fromkeys(("ring", "grid", "swiss_roll"), POINTS)


def shape(kind: str, size: int | None) -> tuple[int, ...]:
    """The shape of one row."""
    if SETUPS[kind] is POINTS:
        return (2,)
    if SETUPS[kind] is GREY:
        return (1, 28, 28)
    return (3, 32, 32) if kind == "cifar10" else (3, size or 64, size or 64)


def real(about: dict[str, Any], *, train: bool = True, download: bool = False) -> sampling.Sampler | Tensor:
    """A run's data: a law in the plane, or pictures (n, ...) in [-1, 1]; ``train=False``: the test set."""
    place = about["from"] and Path(about["from"])
    match about["data"]:
        case "digits":
            return data.digits().x
        case "mnist":
            return data.mnist(place, train=train, download=download).x
        case "cifar10":
            return data.cifar10(place, train=train, download=download).x
        case "images":
            return data.images(place, size=about["size"])
        case toy:
            return getattr(sampling, toy)()


def described(x: sampling.Sampler | Tensor) -> dict[str, Any]:
    """How many rows the data have, and their sha256; a law has neither."""
    if not torch.is_tensor(x):
        return {"rows": 0, "sha256": ""}
    content = memoryview(x.contiguous().numpy()).cast("B")
    return {"rows": len(x), "sha256": hashlib.sha256(content).hexdigest()}


def players(name: str, row: tuple[int, ...], latent: int) -> tuple[nn.Module, nn.Module]:
    """Generator and critic of that name for rows of that shape; raises ``InputError`` if there are none."""
    match name, row:
        case "mlp", (_,):
            return networks.mlp(latent, row), networks.mlp(row, 1)
        case "mlp", _:
            generator = networks.mlp(latent, row, hidden=(256, 512), last=nn.Tanh())
            return generator, networks.mlp(row, 1, hidden=(512, 256), slope=0.2)
        case "mixed", (1, 28, 28):
            # The critic first: which weights a seed gives depends on the order.
            critic = networks.mlp(row, 1, hidden=(512, 256), slope=0.2)
            return networks.dcgan_generator(latent), critic
        case "dcgan", (1, 28, 28):
            return networks.dcgan_generator(latent), networks.dcgan_critic()
        case "dcgan", (3, 32, 32):
            return networks.dcgan32_generator(latent), networks.dcgan32_critic()
        case "dcgan", (3, 64, 64):
            return networks.dcgan64_generator(latent), networks.dcgan64_critic()
        case "resnet", (3, 32, 32):
            return networks.resnet_generator(latent), networks.resnet_critic()
    raise InputError(
        f"--players {name} has none for rows of shape {row}: mlp is for any, mixed for 28x28, dcgan for "
        f"28x28, 32x32 and 64x64, resnet for 32x32. Choose others, or for images another --size."
    )


def plain(value: Any) -> Any:
    """The value itself: what one process needs of several."""
    return value


def set_up(
    about: dict[str, Any],
    place: torch.device | str = "cpu",
    *,
    mean: Callable = plain,
    share: Callable[[nn.Module], nn.Module] = plain,
) -> tuple[Game, Average]:
    """A new game for a run, its weights decided by the seed, and the average of its generator.

    ``mean`` averages gradients over several processes, and ``share`` joins their BatchNorms.
    """
    torch.manual_seed(about["seed"])
    generator, critic = players(about["players"], tuple(about["shape"]), SETUPS[about["data"]].latent)
    if about["recipe"] == "sn_gan":  # its constraint is in the critic's layers
        critic = networks.spectral(critic)
    generator, critic = (share(player.to(place)) for player in (generator, critic))
    game = Game(generator, critic, getattr(recipes, about["recipe"]), mean=mean)
    return game, Average(game.generator)
