"""What can be learned, in one table, with what is usual for each; ``RunConfig.load`` knows how it is read.

It imports nothing slow, since the help is made of it.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Dataset:
    """A kind of data, rows of a ``shape``, with the usual players, recipe, rows a batch and latent dimension.

    ``measure`` tells good samples from bad ones, besides distances, and ``tested_on`` names the data whose
    published test set they are held against. ``options`` are the flags that say where the data are or of
    what size, and ``required`` those of them that cannot be left out.
    """

    shape: tuple[int, ...]
    players: str
    recipe: str
    batch: int
    latent: int
    measure: str
    tested_on: str | None = None
    options: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


FRECHET = "Frechet, 64 components"
PUBLISHED, PICTURES = ("--from", "--download"), ("--size", "--channels", "--from")
DIGITS = Dataset((1, 28, 28), "mixed", "wgan_gp_digits", 32, 64, "digit score", tested_on="mnist")
MNIST = replace(DIGITS, options=PUBLISHED)
CIFAR10 = Dataset((3, 32, 32), "dcgan", "wgan_gp", 64, 128, FRECHET, "cifar10", PUBLISHED)
IMAGES = Dataset((3, 64, 64), "dcgan", "wgan_gp", 64, 128, FRECHET, None, PICTURES, ("--from",))
POINTS = Dataset((2,), "mlp", "wgan_gp_toy", 128, 2, "modes")
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
