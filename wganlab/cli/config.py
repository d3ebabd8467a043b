"""What a run is: all that decides its numbers, kept in its checkpoint, so that no resume can change it."""

import argparse
import hashlib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import checkpoints, data, networks, recipes, sampling
from ..data._pictures import kinds
from ..engine.ranks import Ranks
from ..errors import CheckpointError, InputError
from ..training import Average, Game
from .datasets import DATASETS, Dataset, takers
from .terminal import print_warnings

CHECKPOINT = "checkpoint.wgan"
SIDES = {1: (28, 32, 64), 3: (32, 64)}  # of pictures that the convolutional players are for, by channels
DECISIVE = ("data", "size", "players", "recipe", "batch", "seed", "decay", "precision", "accelerate")


@dataclass(frozen=True)
class RunConfig:
    """What the options and the table of data sets have decided.

    ``shape`` is that of a row, ``size`` the side of pictures from a folder, ``source`` where the data are.
    ``rows`` and ``sha256`` are those of the data found, and None before.
    """

    data: str
    shape: list[int]
    players: str
    recipe: str
    batch: int
    size: int | None = None
    source: str | None = None
    seed: int = 0
    decay: float = 0.0
    precision: str = "float32"
    accelerate: str = "auto"
    steps: int = 2000
    rows: int | None = None
    sha256: str | None = None

    @property
    def dataset(self) -> Dataset:
        """What is usual for the data."""
        return DATASETS[self.data]

    def load(self, *, train: bool = True, download: bool = False) -> sampling.Sampler | Tensor:
        """The data: a distribution in the plane, or rows (n, ...) of the training or the test set."""
        match self.data:
            case "digits":
                return data.digits().x
            case "mnist" | "cifar10":
                return getattr(data, self.data)(self.source, train=train, download=download).x
            case "images":
                return data.images(self.source, size=self.size, channels=self.shape[0])
        return getattr(sampling, self.data)()

    def resumed(self, path: Path, options: argparse.Namespace) -> "RunConfig":
        """The same run, perhaps longer; raises ``CheckpointError`` if an option asks for another one."""
        steps, remedy = options.steps or self.steps, "Leave the option out to continue the run"
        for name in DECISIVE:
            check_same(path, f"--{name}", getattr(self, name), getattr(options, name), remedy)
        check_same(path, "--channels", self.shape[0], options.channels, remedy)
        if self.decay:
            check_same(path, "--steps (which --decay counts from)", self.steps, steps, remedy)
        return replace(self, steps=steps, source=options.source or self.source)

    def with_data(self, path: Path, found: dict[str, Any]) -> "RunConfig":
        """With the fingerprint of the data; raises ``CheckpointError`` if the run had others before."""
        for name, value in found.items() if self.sha256 is not None else ():
            remedy = "Restore the data, name them with --from"
            check_same(path, f"data with {name} =", getattr(self, name), value, remedy)
        return replace(self, **found)

    def as_extra(self) -> dict[str, Any]:
        """As a checkpoint keeps it; ``source`` is called ``from`` there, a word that no field can have."""
        return {"from" if name == "source" else name: value for name, value in asdict(self).items()}


def load_config(path: Path, extra: dict[str, Any]) -> RunConfig:
    """The run whose checkpoint holds ``extra``; raises ``CheckpointError`` unless ``train`` wrote it."""
    kept = {"source" if name == "from" else name: value for name, value in extra.items()}
    if kept.keys() != {field.name for field in fields(RunConfig)} or kept["data"] not in DATASETS:
        raise CheckpointError(f"{path} was not written by 'wganlab train': it does not say of which data.")
    return RunConfig(**kept)


def new_config(options: argparse.Namespace) -> RunConfig:
    """A new run: what the options say, and for the rest what is usual for the data.

    Pictures from a folder get the channels and the side asked for, else those that they have where dcgan is
    for that, else the side 64.
    """
    name = options.data or "digits"
    known = DATASETS[name]
    given = {"--size": options.size, "--channels": options.channels}
    given |= {"--from": options.source, "--download": options.download}
    for flag, value in given.items():
        if value and flag not in known.options:
            raise InputError(f"{flag} is for --data {takers(flag)}, not for {name}. Leave it out.")
        if not value and flag in known.required:
            raise InputError(f"--data {name} needs {flag} PATH, a folder of pictures.")
    usual = {"data": name, "shape": list(known.shape), "players": known.players, "batch": known.batch}
    if "--size" in known.options:
        found = kinds(options.source)
        channels = options.channels or found.channels
        size = options.size or (found.side if found.side in SIDES[channels] else 64)
        usual |= {"shape": [channels, size, size], "size": size}
    usual["recipe"] = "wgan_gp_resnet" if options.players == "resnet" else known.recipe
    asked = {name: getattr(options, name) for name in (*DECISIVE, "source", "steps")}
    return RunConfig(**usual | {name: value for name, value in asked.items() if value is not None})


def check_same(path: Path, what: str, saved: Any, now: Any, remedy: str) -> None:
    """Raise ``CheckpointError`` if something else is asked for now than the run at ``path`` began with."""
    if now is not None and now != saved:
        wrong = f"{path} is of another run: it has {what} {saved}, not {now}"
        raise CheckpointError(f"{wrong}. {remedy}, or name another folder.")


def fingerprint(x: sampling.Sampler | Tensor) -> dict[str, Any]:
    """How many rows the data have, and their sha256; a distribution has neither."""
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
        case "dcgan", (c, 32, 32):
            return networks.dcgan32_generator(latent, channels=c), networks.dcgan32_critic(channels=c)
        case "dcgan", (c, 64, 64):
            return networks.dcgan64_generator(latent, channels=c), networks.dcgan64_critic(channels=c)
        case "resnet", (3, 32, 32):
            return networks.resnet_generator(latent), networks.resnet_critic()
    rule = "mlp is for any, mixed for 28x28 in grey, dcgan for that, 32x32 and 64x64, resnet for 32x32 in"
    remedy = "colour. Choose others, or for images another --size."
    raise InputError(f"--players {name} has none for rows of shape {row}: {rule} {remedy}")


def set_up(config: RunConfig, ranks: Ranks) -> tuple[Game, Average]:
    """A new game for a run, its weights decided by the seed, and the average of its generator."""
    torch.manual_seed(config.seed)
    generator, critic = players(config.players, tuple(config.shape), config.dataset.latent)
    if config.recipe == "sn_gan":  # its constraint is in the critic's layers
        critic = networks.spectral(critic)
    pair = [ranks.share_batchnorm(player.to(ranks.device), config.batch) for player in (generator, critic)]
    game = Game(*pair, getattr(recipes, config.recipe), mean=ranks.mean(config.batch))
    return game, Average(game.generator)


def load_run(folder: Path) -> tuple[RunConfig, Game, Average]:
    """What the run in a folder is, its game and its generator's average, as saved, on the CPU."""
    path = folder / CHECKPOINT
    state = checkpoints.read(path)
    config = load_config(path, state["extra"])
    torch.set_num_threads(max(1, min(state["threads"], 256)))
    game, average = set_up(config, Ranks(0, 1, torch.device("cpu")))
    with print_warnings():
        checkpoints.load(path, game, average=average, state=state)
    return config, game, average
