"""What can be learned, in one table, with what is usual for each: the only place that knows them by name.

It imports nothing slow, since the help is made of it: a loader imports what it needs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Dataset:
    """A kind of data, with the usual players, recipe, rows a batch and latent dimension.

    ``load(config, train, download)`` is a distribution, or all rows as a tensor (n, ...), each of ``shape``.
    ``measure`` tells good samples from bad ones, besides distances, and ``tested_on`` names the data whose
    published test set they are held against. ``options`` are the flags that say where the data are or of
    what size, and ``required`` those of them that cannot be left out.
    """

    load: Callable
    shape: tuple[int, ...]
    players: str
    recipe: str
    batch: int
    latent: int
    measure: str
    tested_on: str | None = None
    options: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


def points(config, train: bool, download: bool):
    """The distribution in the plane of that name."""
    from .. import sampling

    return getattr(sampling, config.data)()


def digits(config, train: bool, download: bool):
    """The digits that ship with wganlab, (5000, 1, 28, 28)."""
    from .. import data

    return data.digits().x


def published(config, train: bool, download: bool):
    """MNIST or CIFAR-10 from a folder or the cache: 60,000 or 50,000 pictures, or the test set of 10,000."""
    from .. import data

    return getattr(data, config.data)(config.source, train=train, download=download).x


def images(config, train: bool, download: bool):
    """The pictures in a folder, (n, channels, size, size)."""
    from .. import data

    return data.images(config.source, size=config.size, channels=config.shape[0])


FRECHET = "Frechet, 64 components"
PUBLISHED, PICTURES = ("--from", "--download"), ("--size", "--channels", "--from")
DIGITS = Dataset(digits, (1, 28, 28), "mixed", "wgan_gp_digits", 32, 64, "digit score", tested_on="mnist")
MNIST = replace(DIGITS, load=published, options=PUBLISHED)
CIFAR10 = Dataset(published, (3, 32, 32), "dcgan", "wgan_gp", 64, 128, FRECHET, "cifar10", PUBLISHED)
IMAGES = Dataset(images, (3, 64, 64), "dcgan", "wgan_gp", 64, 128, FRECHET, None, PICTURES, ("--from",))
POINTS = Dataset(points, (2,), "mlp", "wgan_gp_toy", 128, 2, "modes")
DATASETS = {"digits": DIGITS, "mnist": MNIST, "cifar10": CIFAR10, "images": IMAGES}
DATASETS |= dict.fromkeys(("ring", "grid", "swiss_roll"), POINTS)


def listed(names: list[str], last: str) -> str:
    """Names as a sentence has them: ``a, b and c``."""
    return f" {last} ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def takers(option: str) -> str:
    """The data for which an option is: ``mnist, cifar10 or images``."""
    return listed([name for name, dataset in DATASETS.items() if option in dataset.options], "or")


def usual(what: str) -> str:
    """A default, by the data: ``32 for digits and mnist, 64 for cifar10 and images, ...``."""
    names: dict[str, list[str]] = {}
    for name, dataset in DATASETS.items():
        names.setdefault(getattr(dataset, what), []).append(name)
    return ", ".join(f"{value} for {listed(those, 'and')}" for value, those in names.items())
