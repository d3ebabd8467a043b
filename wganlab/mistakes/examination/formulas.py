r"""The penalty and its wrong relatives as one family of formulas, told apart by exact numbers.

Each member is :math:`\lambda\,\mathrm{reduce}\,\mathrm{cost}(\mathrm{norm}(k\,\nabla f) - t)`.
Two are right: the Euclidean norm of each row, k = 1, t = 1, mean, and as cost the square or the
square of what is above 0. A deviation in one place of the formula is one bug, which has a name.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm

# In each table the right choices come first, with the bug's name "".
NORMS = {"euclidean": "", "squared": "squared-norm", "absolute": "other-norm", "largest": "other-norm",
         "root mean square": "other-norm"}  # fmt: skip
FACTORS = {"1": "", "1/m": "mean-score", "eps": "wrong-variable", "1-eps": "wrong-variable"}
TARGETS = {1.0: "", 0.0: "zero-centred"}
COSTS = {"square": "", "above squared": "", "below squared": "wrong-side",
         "absolute": "no-square", "above": "no-square", "none": "no-square"}  # fmt: skip
REDUCTIONS = {"mean": "", "sum": "sum-over-batch", "of the mean": "mean-slope"}

NORM = {
    "euclidean": lambda g, axes: vector_norm(g, dim=axes),
    "squared": lambda g, axes: g.square().sum(axes),
    "absolute": lambda g, axes: vector_norm(g, 1, dim=axes),
    "largest": lambda g, axes: vector_norm(g, float("inf"), dim=axes),
    "root mean square": lambda g, axes: g.square().mean(axes).sqrt(),
}
COST = {
    "square": torch.square,
    "above squared": lambda excess: excess.relu().square(),
    "below squared": lambda excess: (-excess).relu().square(),
    "absolute": torch.abs,
    "above": torch.relu,
    "none": lambda excess: excess,
}


class Case(NamedTuple):
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
        places = (
            axes_bug(self.axes, ndim),
            NORMS[self.norm],
            FACTORS[self.factor],
            TARGETS.get(self.target, "wrong-target"),
            COSTS[self.cost],
            REDUCTIONS[self.reduction],
        )
        return tuple(name for name in places if name)

    def __call__(self, gradient: Tensor, eps: Tensor) -> Tensor:
        """Its value with weight 1 for gradients of shape (m, ...), shape ().

        >>> Formula((1,))(torch.tensor([[3.0, 4.0]]), torch.ones(1)).item()
        16.0
        """
        eps = eps.view(-1, *[1] * (gradient.ndim - 1))
        factor = {"1": 1.0, "1/m": 1.0 / len(gradient), "eps": eps, "1-eps": 1 - eps}[self.factor]
        gradient = factor * gradient
        slope = norm_of(gradient, self.axes, self.norm)
        if self.reduction == "of the mean":
            slope = slope.mean()
        cost = COST[self.cost](slope - self.target)
        return cost.sum() if self.reduction == "sum" else cost.mean()

    def weight(self, cases: Sequence[Case]) -> float | None:
        """The number that maps this formula's values to those of all cases, or None.

        >>> one, row = torch.ones(1), torch.tensor([[3.0, 4.0]])
        >>> Formula((1,)).weight([Case(160.0, row, one), Case(10.0, 0 * row, one)])
        10.0
        """
        small = 1e-6 * max(abs(case.value) for case in cases)
        weight = None
        for case in cases:
            unit = self(case.gradient, case.eps).item()
            if weight is None and abs(unit) > 1e-6:
                weight = case.value / unit
            if abs(case.value - (weight or 0.0) * unit) > 1e-4 * abs(case.value) + small:
                return None
        return weight or None


def norm_of(gradient: Tensor, axes: tuple[int, ...], kind: str) -> Tensor:
    """The norm of that kind over the axes; without axes, of each entry by itself."""
    if not axes:
        return gradient.square() if kind == "squared" else gradient.abs()
    return NORM[kind](gradient, axes)


def axes_bug(axes: tuple[int, ...], ndim: int) -> str:
    """The name of a norm over these axes of a gradient with ``ndim`` axes; "" for one norm a row."""
    if axes == tuple(range(1, ndim)):
        return ""
    if axes == tuple(range(ndim)):
        return "global-norm"
    return "channel-norm" if axes == (1,) else "wrong-axes"


@functools.cache
def family(ndim: int) -> tuple[Formula, ...]:
    """All members with at most three bugs, the likely ones first: odd axes count as two bugs."""
    subsets = [axes for k in range(ndim + 1) for axes in itertools.combinations(range(ndim), k)]
    ranked = []
    for axes in subsets:
        rank = {"": 0, "global-norm": 1, "channel-norm": 1}.get(
            axes_bug(axes, ndim), 2 if 0 not in axes else 3
        )
        for parts in itertools.product(NORMS, FACTORS, TARGETS, COSTS, REDUCTIONS):
            bugs = (NORMS, FACTORS, TARGETS, COSTS, REDUCTIONS)
            count = rank + sum(bool(table[part]) for table, part in zip(bugs, parts, strict=True))
            if count <= 3:
                ranked.append((count, Formula(axes, *parts)))
    return tuple(member for _, member in sorted(ranked, key=lambda item: item[0]))


def explain(cases: Sequence[Case]) -> tuple[Formula, float] | None:
    """The member with the fewest bugs that gives all the values, and its weight; None if none does."""
    ndim = cases[0].gradient.ndim
    for member in (*family(ndim), *other_target(cases)):
        weight = member.weight(cases)
        if weight is not None:
            return member, weight
    return None


def other_target(cases: Sequence[Case]) -> list[Formula]:
    r"""Formulas with a target t that is neither 0 nor 1, each from a fit of its three terms.

    :math:`\lambda\,\overline{(s - t)^2} = \lambda\overline{s^2} - 2\lambda t\,\bar s + \lambda t^2`.
    """
    ndim = cases[0].gradient.ndim
    values = torch.tensor([[case.value] for case in cases], dtype=torch.float64)
    found = []
    for axes, norm, reduction in itertools.product(
        (tuple(range(1, ndim)), tuple(range(ndim)), (1,)), ("euclidean", "squared"), ("mean", "sum")
    ):
        terms = []
        for case in cases:
            s = norm_of(case.gradient, axes, norm)
            rows = s.numel() if reduction == "sum" else 1
            terms.append([rows * s.square().mean(), rows * s.mean(), float(rows)])
        solution = torch.linalg.lstsq(torch.tensor(terms, dtype=torch.float64), values).solution
        weight, middle, _ = solution.flatten().tolist()
        if abs(weight) > 1e-9 * values.abs().max():
            found.append(Formula(axes, norm, target=-middle / (2 * weight), reduction=reduction))
    return found
