r"""A pair of laws whose W1, plan and potential are known, to judge critics by (Korotin et al. 2022).

A *funnel* is :math:`\|x - a\| + b`: a cone that stands on its tip. The smallest of several funnels is
1-Lipschitz, and where points slide down its cones, it is an optimal critic.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import qmc
from torch import Tensor

from ._arrays import as_float64
from .errors import InputError

__all__ = ["FunnelPair"]

SIDE = 2.5  # real points are uniform on [-SIDE, SIDE]^dim
POWER = 8  # how strongly a point slides: the share t of its ray becomes t ** POWER
POINTS = 2**17  # of the quasi-random sample that W1 is computed from, in 16 parts


@dataclass(frozen=True)
class FunnelPair:
    r"""Real points uniform on a box, and fakes that slid from them down the funnels of :math:`u`.

    :math:`u(x) = \min_n(\|x - a_n\| + b_n)`, centres :math:`a_n` uniform on the box, :math:`b_n \sim N(0,
    0.1^2)`, drawn from ``seed``. The ray of x runs from its centre a (that of the smallest term) through x
    to where another funnel takes over, or to the box's wall; a point at the share t of its ray slides to
    the share :math:`t^8`. It stays in its funnel, so :math:`u(x) - u(T(x)) = \|x - T(x)\|`: u is an optimal
    critic, high on real points, and (x, T(x)) an optimal plan.
    Raises ``InputError`` for fewer than one dimension or funnel.
    Source: Korotin, Kolesov & Burnaev 2022, sections 3 and 5.1, with the constants of the authors' code.

    >>> pair = FunnelPair(2, funnels=4)
    >>> x, y = pair.couple(100, torch.Generator().manual_seed(0))
    >>> bool((pair.potential(x) - pair.potential(y) - (x - y).norm(dim=1)).abs().max() < 1e-5)
    True
    """

    dim: int = 2
    funnels: int = 4
    seed: int = 0

    def __post_init__(self):
        if self.dim < 1 or self.funnels < 1 or self.seed < 0:
            raise InputError(f"FunnelPair needs dim >= 1, funnels >= 1 and seed >= 0, got {self}.")

    @cached_property
    def tips(self) -> tuple[Tensor, Tensor]:
        """The centres (funnels, dim) and heights (funnels,) of the tips, in float64."""
        rng = np.random.default_rng(self.seed)
        centres = rng.uniform(-SIDE, SIDE, (self.funnels, self.dim))
        return torch.from_numpy(centres), torch.from_numpy(0.1 * rng.standard_normal(self.funnels))

    def terms(self, x: Tensor) -> Tensor:
        """The height of each funnel over each point: (k, funnels)."""
        centres, heights = (tip.to(x) for tip in self.tips)
        return (x[:, None] - centres).norm(dim=2) + heights

    def potential(self, x: ArrayLike) -> ArrayLike:
        """u(x): points (k, dim) to (k,), of the kind and precision of x; a tensor's graph is kept."""
        values = self.terms(self.checked(x)).min(dim=1).values
        return values if torch.is_tensor(x) else values.numpy()

    def gradient(self, x: ArrayLike) -> ArrayLike:
        """The gradient of u at points (k, dim): unit vectors away from the funnel's centre; 0 at a tip."""
        points = self.checked(x).detach()
        nearest = self.tips[0].to(points)[self.terms(points).argmin(dim=1)]
        away = torch.nn.functional.normalize(points - nearest, dim=1)
        return away if torch.is_tensor(x) else away.numpy()

    def slide(self, x: Tensor) -> Tensor:
        """T(x) for points x (k, dim) of the box."""
        points = self.checked(x)
        centres, heights = (tip.to(points) for tip in self.tips)
        mine = self.terms(points).argmin(dim=1)
        a, way = centres[mine], points - centres[mine]
        r = way.norm(dim=1)
        way = torch.nn.functional.normalize(way, dim=1)
        # The ray meets funnel m where |a + s v - a_m| + b_m = s + b, at s = (D^2 - h^2) / (2 (h - <D, v>)).
        D, h = a[:, None] - centres, (heights[mine][:, None] - heights)
        slope = h - (D * way[:, None]).sum(dim=2)
        meets = torch.where(slope > 0, (D.square().sum(dim=2) - h.square()) / (2 * slope), math.inf)
        meets = torch.where((meets > 0) & (meets + h >= 0), meets, math.inf).amin(dim=1)
        wall = torch.where(way != 0, (way.sign() * SIDE - a) / way, math.inf).amin(dim=1)
        reach = torch.minimum(meets, wall).clamp(min=r)
        share = torch.where(r > 0, r / reach, 0.0)
        return a + way * (r * share ** (POWER - 1))[:, None]  # at the share t^8 of its ray

    def real(self, n: int, rng: torch.Generator) -> Tensor:
        """n points of the box: a sampler of P_r."""
        return SIDE * (2 * torch.rand(n, self.dim, generator=rng, device=rng.device) - 1)

    def fake(self, n: int, rng: torch.Generator) -> Tensor:
        """n points that slid: a sampler of P_g, independent of what ``real`` gives next."""
        return self.slide(self.real(n, rng))

    def couple(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n pairs (x, T(x)) of the optimal plan."""
        x = self.real(n, rng)
        return x, self.slide(x)

    @property
    def w1(self) -> float:
        """W1(P_r, P_g) = E |x - T(x)|, from quasi-random points; see ``w1_error``."""
        return float(self.parts.mean())

    @property
    def w1_error(self) -> float:
        """The standard error of ``w1`` over 16 independent quasi-random samples."""
        return float(self.parts.std(ddof=1) / math.sqrt(len(self.parts)))

    @cached_property
    def parts(self) -> np.ndarray:
        """E |x - T(x)| by each of 16 scrambled Sobol samples."""
        means = []
        for k in range(16):
            sobol = qmc.Sobol(self.dim, rng=np.random.default_rng((self.seed, k)))
            x = torch.from_numpy(SIDE * (2 * sobol.random(POINTS // 16) - 1))
            means.append((x - self.slide(x)).norm(dim=1).mean().item())
        return np.array(means)

    def checked(self, x: ArrayLike) -> Tensor:
        """x as a tensor (k, dim); raises ``InputError`` for another shape or points that are not finite."""
        points = x if torch.is_tensor(x) else torch.from_numpy(as_float64(x, "x", 2).copy())
        if points.ndim != 2 or points.shape[1] != self.dim or not torch.isfinite(points).all():
            rule = f"This pair lives in {self.dim} dimensions: give finite points of shape (k, {self.dim})"
            raise InputError(f"{rule}, got shape {tuple(points.shape)}.")
        return points
