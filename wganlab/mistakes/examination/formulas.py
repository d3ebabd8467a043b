r"""The penalty and its wrong relatives as one family of formulas, told apart by exact numbers.

Each member is :math:`\lambda\,\mathrm{reduce}\,\mathrm{cost}(\mathrm{norm}(k\,\nabla f) - t)`.
Two are right: the Euclidean norm of each row, k = 1, t = 1, mean, and as cost the square or the
square of what is above 0. A deviation in one place of the formula is one bug, which has a name.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm

# In each table the right choices come first, with the bug's name "".
NORMS = {
    "euclidean": ("", lambda g, axes: vector_norm(g, dim=axes)),
    "squared": ("squared-norm", lambda g, axes: g.square().sum(axes)),
    "absolute": ("other-norm", lambda g, axes: vector_norm(g, 1, dim=axes)),
    "largest": ("other-norm", lambda g, axes: vector_norm(g, float("inf"), dim=axes)),
    "root mean square": ("other-norm", lambda g, axes: g.square().mean(axes).sqrt()),
}
FACTORS = {
    "1": ("", torch.ones_like),
    "1/m": ("mean-score", lambda eps: torch.ones_like(eps) / len(eps)),
    "eps": ("wrong-variable", lambda eps: eps),
    "1-eps": ("wrong-variable", lambda eps: 1 - eps),
}
TARGETS = {1.0: "", 0.0: "zero-centred"}  # and "wrong-target" for any other
COSTS = {
    "square": ("", torch.square),
    "above squared": ("", lambda excess: excess.relu().square()),
    "below squared": ("wrong-side", lambda excess: (-excess).relu().square()),
    "absolute": ("no-square", torch.abs),
    "above": ("no-square", torch.relu),
    "none": ("no-square", lambda excess: excess),
}
REDUCTIONS = {
    "mean": ("", lambda cost, excess: cost(excess).mean()),
    "sum": ("sum-over-batch", lambda cost, excess: cost(excess).sum()),
    "of the mean": ("mean-slope", lambda cost, excess: cost(excess.mean())),
}


class Observation(NamedTuple):
    """One call of the audited function: its value, the true gradients (m, ...), and eps (m,)."""

    value: float
    gradient: Tensor
    eps: Tensor


@dataclass(frozen=True)
class Formula:
    """One member of the family; ``axes`` are those of the gradient that the norm runs over."""

    axes: tuple[int, ...]
    norm: str = "euclidean"
    factor: str = "1"
    target: float = 1.0
    cost: str = "square"
    reduction: str = "mean"

    @property
    def one_sided(self) -> bool:
        """Whether slopes below the target are free."""
        return self.cost.startswith("above")

    def names(self, ndim: int) -> tuple[str, ...]:
        """The bugs in it, none for a right penalty of data with ``ndim`` axes.

        >>> Formula((0, 1), reduction="sum").names(2)
        ('global-norm', 'sum-over-batch')
        """
        whole = tuple(range(ndim))
        axes = {(1,): "channel-norm", whole: "global-norm", whole[1:]: ""}  # the last wins: rows have (1,)
        bugs = [axes.get(self.axes, "wrong-axes"), NORMS[self.norm][0], FACTORS[self.factor][0]]
        bugs += [TARGETS.get(self.target, "wrong-target"), COSTS[self.cost][0], REDUCTIONS[self.reduction][0]]
        return tuple(filter(None, bugs))

    def __call__(self, gradient: Tensor, eps: Tensor) -> Tensor:
        """Its value with weight 1 for gradients of shape (m, ...), shape ().

        >>> Formula((1,))(torch.tensor([[3.0, 4.0]]), torch.ones(1)).item()
        16.0
        """
        factor = FACTORS[self.factor][1](eps).view(-1, *[1] * gradient.ndim)
        # one more axis of length 1, so that a norm over no axes is that of each entry by itself
        slope = NORMS[self.norm][1](factor * gradient[..., None], (*self.axes, -1))
        return REDUCTIONS[self.reduction][1](COSTS[self.cost][1], slope - self.target)

    def weight(self, observations: Sequence[Observation]) -> float | None:
        """The number that maps this formula's values to those observed, or None.

        >>> one, row = torch.ones(1), torch.tensor([[3.0, 4.0]])
        >>> Formula((1,)).weight([Observation(160.0, row, one), Observation(10.0, 0 * row, one)])
        10.0
        """
        small = 1e-6 * max(abs(each.value) for each in observations)
        weight = None
        for each in observations:
            unit = self(each.gradient, each.eps).item()
            if weight is None and abs(unit) > 1e-6:
                weight = each.value / unit
            if abs(each.value - (weight or 0.0) * unit) > 1e-4 * abs(each.value) + small:
                return None
        return weight or None


@functools.cache
def family(ndim: int) -> tuple[Formula, ...]:
    """All members with at most three bugs, the likely ones first: odd axes count as two bugs or three."""

    def bugs(member: Formula) -> int:
        odd = "wrong-axes" in member.names(ndim)
        return len(member.names(ndim)) + (odd and (2 if 0 in member.axes else 1))

    subsets = [axes for k in range(ndim + 1) for axes in itertools.combinations(range(ndim), k)]
    choices = itertools.product(subsets, NORMS, FACTORS, TARGETS, COSTS, REDUCTIONS)
    members = (Formula(*choice) for choice in choices)
    return tuple(sorted((member for member in members if bugs(member) <= 3), key=bugs))


@torch.no_grad()
def find_formula(observations: Sequence[Observation]) -> tuple[Formula, float] | None:
    """The member with the fewest bugs that gives all the values, and its weight; None if none does."""
    for member in itertools.chain(family(observations[0].gradient.ndim), with_other_target(observations)):
        if weight := member.weight(observations):
            return member, weight
    return None


def with_other_target(observations: Sequence[Observation]) -> Iterator[Formula]:
    r"""Formulas with a target t that is neither 0 nor 1, each from a fit of its values at -1, 0 and 1.

    The square is a parabola in t: :math:`F_t = \frac{t(t-1)}{2} F_{-1} + (1-t^2) F_0 + \frac{t(t+1)}{2} F_1`.
    So the three coefficients of :math:`\lambda F_t` have the sum :math:`\lambda`, and the last less the
    first is :math:`\lambda t`.
    """
    ndim = observations[0].gradient.ndim
    values = torch.tensor([[each.value] for each in observations], dtype=torch.float64)
    subsets = (tuple(range(1, ndim)), tuple(range(ndim)), (1,))
    for axes, norm, reduction in itertools.product(subsets, ("euclidean", "squared"), ("mean", "sum")):
        three = [Formula(axes, norm, target=t, reduction=reduction) for t in (-1.0, 0.0, 1.0)]
        terms = [[member(each.gradient, each.eps) for member in three] for each in observations]
        solution = torch.linalg.lstsq(torch.tensor(terms, dtype=torch.float64), values).solution
        weight = solution.sum().item()
        if abs(weight) > 1e-9 * values.abs().max():
            target = (solution[2] - solution[0]).item() / weight
            yield Formula(axes, norm, target=target, reduction=reduction)
