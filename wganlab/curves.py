"""What a run's log says of the run, in plain sentences: ``diagnose``, a doctor for curves.

A log is a table; ``wganlab train`` writes one, and one of your own needs the first two columns:

==================  ===================================================================================
``step``            the number of generator updates, growing from row to row
``critic_loss``     what the critic minimises, without its penalty
``penalty``         what is added to it, if anything is
``generator_loss``  what the generator minimises
``estimate``        E f(x) - E f(g(z)), where the critic was trained to make that large; else left out
``slope`` and on    what ``look`` measures at the end, or a loop of your own along the way
==================  ===================================================================================

A log cannot show everything: a bug may leave every curve as it is (chapter 16 has some). The thresholds and
sentences are in ``curves.toml``; the book's page of questions counts how often they are right.
"""

import copy
import csv
import io
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ._arrays import as_float64
from ._files import errors_as
from .claims import row
from .constraints import GradientPenalty, per_row, refuse_mixed_rows
from .errors import DataError, InputError
from .lipschitz import gradient_norms
from .metrics import exact_w1
from .objectives import minimax, non_saturating, wasserstein
from .recipes import Recipe
from .training import Step

__all__ = ["Finding", "diagnose", "look", "read"]

KNOWN = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
REQUIRED = ("step", "critic_loss")
CURVES = (*REQUIRED, "penalty", "generator_loss", "estimate")
LOOKED = ("slope", "largest_weight", "at_clip", "gap", "w1", "floor", "spread")
Columns = Mapping[str, ArrayLike]
TINY = 1e-300  # so that ratios are defined


class Finding(NamedTuple):
    """What a log shows: the ``name`` of it, whether it is an ``alarm``, a ``sentence``, and a ``page``."""

    name: str
    alarm: bool
    sentence: str
    page: str

    def __str__(self) -> str:
        return f"{'!' if self.alarm else '-'} {self.sentence} (book/{self.page})"


def diagnose(steps: Iterable[Step] | Columns, *, recipe: Recipe | None = None) -> list[Finding]:
    """What a run's curves show: a list of ``Finding``, alarms first, never empty.

    ``steps`` are those that ``train`` or ``fit`` gave, or columns by name, as ``read`` returns them; what
    ``look`` has seen may be merged in. The ``recipe`` tells which slope and which clip are meant; steps need
    it, since they do not say what the losses are. Raises ``InputError`` for what is no such log or recipe.

    >>> log = {"step": range(20), "critic_loss": [0.5] * 20, "estimate": [-0.5] * 20}
    >>> diagnose(log)[0].name
    'below-zero'
    """
    if not isinstance(recipe, Recipe | None):
        raise InputError(f"recipe= needs a Recipe, such as recipes.wgan_gp; got {type(recipe).__name__}.")
    if not isinstance(steps, Mapping):
        steps = columns_of(list(steps) if isinstance(steps, Iterable) else [steps], recipe)
    log = checked(steps, InputError, "A log")
    if "estimate" not in log and recipe and recipe.objective is wasserstein:
        log["estimate"] = -log["critic_loss"]
    said = measured(log, recipe)
    found = [name for name, known in KNOWN.items() if stands(known["when"], said)]
    if "too-short" not in found and not any(KNOWN[name]["alarm"] for name in found):
        found.insert(0, "calm" if "estimate" in log else "unread")
    words = {key: value if isinstance(value, str) else row(value, 3) for key, value in said.items()}
    known = [(name, KNOWN[name]) for name in sorted(found, key=lambda name: not KNOWN[name]["alarm"])]
    return [Finding(name, one["alarm"], one["sentence"].format(**words), one["page"]) for name, one in known]


def stands(limits: dict[str, tuple[float, float]], said: dict[str, Any]) -> bool:
    """Whether each of these numbers is there and lies within its limits."""
    return all(low <= said.get(name, np.nan) <= high for name, (low, high) in limits.items())


@np.errstate(over="ignore", invalid="ignore")  # near 1e308; what is then no number stands for nothing
def measured(log: dict[str, np.ndarray], recipe: Recipe | None) -> dict[str, Any]:
    """The numbers that ``curves.toml`` judges by; of the curves up to the first row that is not finite.

    ``due``, with a penalty: of all slopes s, s W1 - weight (s - 1)^2 is largest at s = 1 + W1 / (2 weight).
    ``excess``: W1 over its floor, infinite where it is not known; ``sides`` of the penalty, 2 if not known.
    """
    names = [name for name in CURVES if name in log]
    table = np.stack([log[name] for name in names])
    finite, constraint = np.isfinite(table), recipe and recipe.constraint
    rows = int(np.append(finite.all(axis=0), False).argmin())
    weight = constraint.weight if isinstance(constraint, GradientPenalty) else np.nan
    said = {"rows": rows, "clip": getattr(constraint, "c", np.nan)}
    said["sides"] = 2 - getattr(constraint, "one_sided", False)
    said |= {name: float(log[name][-1]) for name in LOOKED if name in log}
    if rows < table.shape[1]:
        k = int(finite[:, rows].argmin())
        said |= {"broken": log["step"][rows], "column": names[k], "value": str(table[k, rows])}
    if rows > KNOWN["too-short"]["when"]["rows"][1]:
        said |= of_curves(dict(zip(names, table[:, :rows], strict=True)), weight)
    if recipe and recipe.objective not in (minimax, non_saturating):
        said.pop("saturated", None)
    excess = said.get("w1", np.inf) / max(said.get("floor", 0.0), TINY)
    slope, due = said.get("slope", 0.0), 1 + said.get("w1", 0.0) / (2 * weight)
    said["excess"] = np.nan_to_num(excess, nan=np.inf)
    said |= {"due": due, "steepness": slope / due, "mixes": float(np.isnan(slope))}
    return said | {"over_clip": said.get("largest_weight", np.nan) / said["clip"]}


def size(curve: np.ndarray, first: int = 2, end: int = 4) -> float:
    """The median size of a curve from one of its quarters to another; the last half is 2 to 4."""
    n = len(curve)
    return max(float(np.median(np.abs(curve[n * first // 4 : n * end // 4]))), TINY)


def of_curves(curves: dict[str, np.ndarray], weight: float) -> dict[str, float]:
    """Numbers of the second half, most of them ratios, since a log has no unit; shares are in percent.

    ``below``: rows with an estimate below zero, ``turns``: of another sign than the row before; ``growth``:
    of the estimate's size, last quarter over second, ``pace``: last over third; ``level``: that size,
    ``share``: over the standard deviation of the generator's loss, which a constant in the scores leaves as
    it is; ``load``: of the penalty over it; ``highest``: the largest penalty; ``change``: the penalty's range
    over its largest size; ``misfit``: |estimate - 2 penalty| over 2 sqrt(weight penalty), if there is one.
    Without an estimate ``saturated``: the critic's loss, if it is never negative, as a cross entropy.
    """
    if "estimate" not in curves:
        loss = curves["critic_loss"]
        return {"saturated": float(np.median(loss[len(loss) // 2 :]))} if loss.min() >= 0 else {}
    estimate, penalty = curves["estimate"], curves.get("penalty", np.zeros(4))
    late, level, last = estimate[len(estimate) // 2 :], size(estimate), size(estimate, 3)
    said = {"below": 100 * (late < 0).mean(), "turns": 100 * (np.diff(np.sign(late)) != 0).mean()}
    said |= {"growth": last / size(estimate, 1, 2), "pace": last / size(estimate, 2, 3)}
    generator = curves.get("generator_loss", np.full(4, np.nan))
    said |= {"level": level, "share": level / max(generator[len(generator) // 2 :].std(), TINY)}
    if penalty.any():
        change, bound = np.ptp(penalty) / np.abs(penalty).max(), size(2 * np.sqrt(weight * np.abs(penalty)))
        ends = penalty[len(penalty) // 2 :]
        said |= {"penalty": np.median(ends), "highest": np.abs(ends).max(), "change": 100 * change}
        fits = size(estimate - 2 * penalty) / bound
        said |= {"load": size(penalty) / level, "misfit": fits if bound > TINY else np.nan}
    return said


def columns_of(steps: list[Step], recipe: Recipe | None) -> dict[str, list[float]]:
    """Steps as columns; a critic trained alone has no generator's loss."""
    if recipe is None or not all(isinstance(step, Step) for step in steps):
        rule = "needs columns by name, or Steps with their recipe=, without which their losses say nothing"
        raise InputError(f"diagnose {rule}; got {type(steps[0]).__name__ if steps else 'nothing'}.")
    caught, columns = (TypeError, ValueError, OverflowError, RuntimeError), {}
    for name, column in zip(CURVES, zip(*steps, strict=True), strict=False):
        if any(value is not None for value in column):
            with errors_as(InputError, f"Steps need one real number each as '{name}'", caught=caught):
                columns[name] = [float(x.detach() if torch.is_tensor(x) else x) for x in column]
    return columns


def checked(columns: Columns, kind: type, name: str) -> dict[str, np.ndarray]:
    """Those columns that are known, as vectors; raises ``kind`` unless they are the log of one run."""
    if missing := [column for column in REQUIRED if column not in columns]:
        found = f"'{missing[0]}', and has: {', '.join(map(str, columns))[:200] or 'none'}"
        raise kind(f"{name} needs the column {found}. Name yours so: {', '.join(CURVES)}.")
    log = {key: as_float64(columns[key], key, 1, finite=False) for key in CURVES if key in columns}
    if len({len(curve) for curve in log.values()}) > 1:
        found = ", ".join(f"{key}: {len(curve)}" for key, curve in log.items())
        raise kind(f"{name} has as many numbers in each curve, found {found}. Leave out what is not logged.")
    if (stuck := np.flatnonzero(~(np.diff(log["step"]) > 0))).size:
        before, after = log["step"][stuck[0] : stuck[0] + 2]
        raise kind(f"{name} is of one run: its steps grow, but {after:g} follows {before:g}. Cut it there.")
    if not np.isfinite(log["step"]).all():
        raise kind(f"{name} needs finite steps, got {log['step'].min():g} to {log['step'].max():g}.")
    ends = {key: as_float64(columns[key], key, None, finite=False) for key in LOOKED if key in columns}
    return log | {key: value.ravel() for key, value in ends.items()}


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The columns of a log as CSV: those that the table above names, each a vector of float64.

    A column without any entry is left out, and so is a last row that was cut off. Raises ``DataError`` for a
    file that cannot be read or is no such log: the line, what stands there, and what should.
    """
    if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
        raise DataError(f"There is no log {path}. Name a file, or a folder that 'wganlab train' made.")
    caught = (OSError, ValueError, csv.Error)
    with errors_as(DataError, f"Cannot read {path}", "A log is a CSV file in UTF-8.", caught):
        text = Path(path).read_bytes().decode("utf-8-sig")
        table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        lines = [(table.line_num, cells) for cells in table]
    names = list(table.fieldnames or [])
    if lines and (None in lines[-1][1].values() or text.endswith(",")):  # what a lost machine leaves of a row
        lines.pop()
    if "step" in names and not lines:
        raise DataError(f"{path} has no rows yet. 'wganlab train --log N' writes one each N updates.")
    full = {name: None for name in names if any(cells[name] for _, cells in lines)}
    for name in {*CURVES, *LOOKED} & {*full}:
        full[name] = []
        for line, cells in lines:
            with errors_as(DataError, f"{path}, line {line}, '{name}'", "A log has numbers only. Mend it."):
                cell = cells[name] or ""
                full[name].append(float(repr(cell) if "_" in cell else cell))  # Python takes 1_000
    log = checked(full, DataError, str(path))
    if len({*names}) < len(names) or any(None in cells for _, cells in lines):
        raise DataError(f"{path} has columns without a name of their own: {', '.join(names)}. Name each.")
    return log


def look(critic: nn.Module, real: Tensor, other_real: Tensor, fake: Tensor) -> dict[str, float]:
    """What the end of a run shows, of n real, n other real and n generated rows, each (n, ...).

    ``slope``: the mean of the critic's slope on segments from real to fake rows, NaN if it mixes rows;
    ``largest_weight`` of the critic, and ``at_clip``, the share of weights as large, up to a thousandth;
    ``gap``: the estimate on these rows; ``w1`` and ``floor`` as in ``metrics.exact_w1``; ``spread``: the mean
    distance between fake rows over that between real ones. The critic stays as it is. Raises as
    ``metrics.exact_w1`` and ``lipschitz.gradient_norms`` do.

    >>> critic = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Flatten(0))
    >>> critic[0].weight.data = torch.tensor([[3.0, 4.0]])
    >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> seen = look(critic, x + 1, x + 1, x)
    >>> [round(seen[name], 4) for name in ("slope", "largest_weight", "gap", "w1", "floor")]
    [5.0, 4.0, 7.0, 1.4142, 0.0]
    """
    w1, floor = exact_w1(real, other_real, fake)
    critic = copy.deepcopy(critic)  # BatchNorm and spectral norms count what they see
    real, fake = (rows.to(next(critic.parameters())) for rows in (real, fake))
    eps = per_row(torch.linspace(0, 1, len(real), dtype=real.dtype, device=real.device), real)
    try:
        refuse_mixed_rows(critic, "look")
    except InputError:
        slope = np.nan
    else:
        slope = gradient_norms(critic, eps * real + (1 - eps) * fake).mean().item()
    with torch.no_grad():
        gap = (critic(real).mean() - critic(fake).mean()).item()
        weights = torch.cat([weight.flatten().abs() for weight in critic.parameters()])
        spread = torch.pdist(fake.flatten(1)).mean() / torch.pdist(real.flatten(1)).mean()
    at_clip = (weights >= 0.999 * weights.max()).double().mean().item()
    seen = slope, weights.max().item(), at_clip, gap, w1, floor, spread.item()
    return dict(zip(LOOKED, seen, strict=True))
