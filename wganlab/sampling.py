"""Distributions as functions ``sampler(n, rng) -> (n, ...)``, and ``Draw``, a run's randomness.

A sampler has no state: all its randomness comes from the ``torch.Generator`` that it is handed,
and its points lie on that generator's device.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from .errors import InputError

__all__ = ["Draw", "Mixture", "Sampler", "shard"]
__all__ += ["empirical", "grid", "normal", "parallel_line", "ring", "swiss_roll"]

Sampler = Callable[[int, torch.Generator], Tensor]
WORD = 2**32


@dataclass(frozen=True, eq=False)
class Mixture:
    """Equal weights on normals N(centre, std^2 I), one for each row of ``centres`` (k, d)."""

    centres: Tensor
    std: float

    def __call__(self, n: int, rng: torch.Generator) -> Tensor:
        centres = self.centres.to(rng.device)
        mode = torch.randint(len(centres), (n,), generator=rng, device=rng.device)
        return centres[mode] + self.std * torch.randn(n, centres.shape[1], generator=rng, device=rng.device)


def ring(modes: int = 8, *, radius: float = 2 / 1.414, std: float = 0.02 / 1.414) -> Mixture:
    """Narrow normals on a circle in the plane; the first centre is (radius, 0).

    The defaults are the 8 Gaussians of the WGAN-GP authors' ``gan_toy.py``: radius 2 and standard
    deviation 0.02, both divided by 1.414. Raises ``InputError`` for fewer than one mode.

    >>> ring(4, radius=1.0).centres.round(decimals=6).tolist()
    [[1.0, 0.0], [-0.0, 1.0], [-1.0, -0.0], [0.0, -1.0]]
    """
    if modes < 1:
        raise InputError(f"ring needs at least one mode, got {modes}.")
    angle = 2 * math.pi * torch.arange(modes) / modes
    return Mixture(radius * torch.stack([angle.cos(), angle.sin()], dim=1), std)


def grid(side: int = 5, *, gap: float = 2 / 2.828, std: float = 0.05 / 2.828) -> Mixture:
    """Narrow normals on a square lattice of side x side points around the origin.

    The defaults are the 25 Gaussians of the authors' ``gan_toy.py``: spacing 2 and standard
    deviation 0.05, both divided by 2.828. Raises ``InputError`` for a side below 1.

    >>> grid(2, gap=1.0).centres.tolist()
    [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]
    """
    if side < 1:
        raise InputError(f"grid needs at least one point a side, got {side}.")
    line = gap * (torch.arange(side) - (side - 1) / 2)
    return Mixture(torch.cartesian_prod(line, line).view(-1, 2), std)


def swiss_roll(*, noise: float = 0.25, scale: float = 7.5) -> Sampler:
    r"""The spiral :math:`(t\cos t, t\sin t)`, t uniform on [3pi/2, 9pi/2], with normal noise.

    Both coordinates are divided by ``scale``. The defaults are those of the authors'
    ``gan_toy.py``, which takes two coordinates of scikit-learn's ``make_swiss_roll``.

    >>> x = swiss_roll(noise=0.0)(1000, torch.Generator().manual_seed(0))
    >>> radius = 7.5 * x.norm(dim=1)
    >>> bool((radius > 1.5 * math.pi - 1e-3).all() and (radius < 4.5 * math.pi + 1e-3).all())
    True
    """

    def sample(n: int, rng: torch.Generator) -> Tensor:
        t = 1.5 * math.pi * (1 + 2 * torch.rand(n, generator=rng, device=rng.device))
        spiral = torch.stack([t * t.cos(), t * t.sin()], dim=1)
        return (spiral + noise * torch.randn(n, 2, generator=rng, device=rng.device)) / scale

    return sample


def parallel_line(theta: float) -> Sampler:
    """The uniform law on the segment {theta} x [0, 1] in the plane.

    Source: Arjovsky et al. 2017, example 1.

    >>> parallel_line(0.5)(3, torch.Generator())[:, 0].tolist()
    [0.5, 0.5, 0.5]
    """

    def sample(n: int, rng: torch.Generator) -> Tensor:
        height = torch.rand(n, generator=rng, device=rng.device)
        return torch.stack([torch.full_like(height, theta), height], dim=1)

    return sample


def normal(dim: int) -> Sampler:
    """The standard normal law N(0, I) in ``dim`` dimensions; the usual prior.

    >>> tuple(normal(64)(10, torch.Generator()).shape)
    (10, 64)
    """
    if dim < 1:
        raise InputError(f"normal needs a dimension >= 1, got {dim}.")

    def sample(n: int, rng: torch.Generator) -> Tensor:
        return torch.randn(n, dim, generator=rng, device=rng.device)

    return sample


def empirical(rows: Tensor) -> Sampler:
    """The uniform law on the rows of a tensor (N, ...): n of them, drawn with replacement.

    Raises ``InputError`` for fewer rows than one batch, and for rows that are not finite.

    >>> empirical(torch.tensor([[7.0]]))(1, torch.Generator()).tolist()
    [[7.0]]
    """
    if not torch.is_tensor(rows) or rows.ndim < 2 or not rows.is_floating_point():
        found = f"{rows.dtype} {tuple(rows.shape)}" if torch.is_tensor(rows) else type(rows).__name__
        rule = "empirical needs a tensor of real numbers with one point a row, (N, ...)"
        raise InputError(f"{rule}, got {found}.")
    if not torch.isfinite(rows).all():
        bad = int((~torch.isfinite(rows.flatten(1)).all(1)).nonzero()[0])
        raise InputError(f"empirical needs finite rows, but row {bad} has NaN or infinity. Remove it.")

    def sample(n: int, rng: torch.Generator) -> Tensor:
        if n > len(rows):
            found = f"A batch of {n} is larger than the data, which has {len(rows)} rows."
            raise InputError(f"{found} Take a smaller batch or more data.")
        return rows[torch.randint(len(rows), (n,), generator=rng, device=rows.device)]

    return sample


def shard(m: int, rank: int, world: int) -> slice:
    """The rows of a joint batch of m that are ``rank``'s: consecutive, and all ranks' numbers within 1.

    >>> [shard(8, rank, 3) for rank in range(3)]
    [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
    """
    return slice(rank * m // world, (rank + 1) * m // world)


class Draw:
    """The randomness of a run: a pure function of (seed, step, t).

    ``draw(step, t)`` gives ``x`` (m, ...), ``z`` (m, ...) and ``eps`` (m,), uniform on [0, 1), for
    critic update t of turn ``step``; ``draw.latent(step)`` gives ``z`` for the generator's update.
    ``real`` and ``prior`` are samplers; a tensor or array stands for ``empirical`` of it. With ``world`` > 1,
    rank r gets its ``shard`` of the rows of the one joint batch of m. The numbers differ between CPU and
    CUDA.

    Raises ``InputError`` for m < 1, m < ``world``, a rank outside 0..world-1, a negative seed, m larger than
    the data, and samplers whose points are too few or not finite.

    >>> draw = Draw(ring(), normal(2), 4, seed=1)
    >>> all(torch.equal(a, b) for a, b in zip(draw(3, 0), draw(3, 0)))
    True
    >>> torch.equal(draw(3, 0)[0], draw(3, 1)[0])
    False
    """

    def __init__(
        self,
        real: Sampler | Tensor | np.ndarray,
        prior: Sampler | Tensor | np.ndarray,
        m: int,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
    ):
        if not isinstance(m, Integral) or world < 1 or m < world:
            raise InputError(f"Draw needs a batch of m >= 1 rows for each of {world} ranks, got m = {m!r}.")
        if not 0 <= rank < world or not isinstance(seed, Integral) or seed < 0:
            found = f"rank {rank}, world {world}, seed {seed}"
            raise InputError(f"Draw needs 0 <= rank < world and seed >= 0, got {found}.")
        self.m, self.seed, self.device = int(m), int(seed), torch.device(device)
        self.real, self.prior = (law if callable(law) else self.law(law) for law in (real, prior))
        self.rows = shard(m, rank, world)
        # Of the joint batch, so that all ranks refuse what one would.
        for name, batch in zip(("real", "prior", "eps"), self.joint(0, 0), strict=True):
            if len(batch) != m:
                raise InputError(f"The sampler '{name}' gave {len(batch)} rows where {m} were asked for.")
            if not torch.isfinite(batch).all():
                raise InputError(f"The sampler '{name}' gives NaN or infinity. Draw needs finite points.")

    def law(self, rows: Tensor | np.ndarray) -> Sampler:
        """``empirical`` of rows (N, ...) in a tensor or an array."""
        rows = torch.as_tensor(rows) if isinstance(rows, np.ndarray) else rows
        return empirical(rows.to(self.device) if torch.is_tensor(rows) else rows)

    def rng(self, *key: int) -> torch.Generator:
        """A generator whose stream is decided by the seed and ``key``, whole numbers from 0 to 2^32 - 1.

        ``SeedSequence`` takes words of 32 bits; those that a longer seed has more of stand at the end, where
        no key can be mistaken for them.
        """
        if not all(isinstance(part, Integral) and 0 <= part < WORD for part in key):
            raise InputError(f"A draw needs whole numbers from 0 to 2^32 - 1 for step and t, got {key}.")
        words = [self.seed % WORD, *map(int, key)]
        if self.seed >= WORD:
            words.append(self.seed // WORD)
        (word,) = np.random.SeedSequence(words).generate_state(1, np.uint64)
        return torch.Generator(self.device).manual_seed(int(word))

    def __call__(self, step: int, t: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        x, z, eps = self.joint(step, t)
        return x[self.rows], z[self.rows], eps[self.rows]

    def joint(self, step: int, t: int) -> tuple[Tensor, Tensor, Tensor]:
        """The batch of all ranks."""
        rng = self.rng(step, 1 + t)
        x, z = self.real(self.m, rng), self.prior(self.m, rng)
        return x, z, torch.rand(self.m, generator=rng, device=self.device)

    def latent(self, step: int) -> Tensor:
        """``z`` for the generator's update of turn ``step``: independent of the critic's."""
        return self.prior(self.m, self.rng(step, 0))[self.rows]
