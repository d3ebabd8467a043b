"""What was seen beside what is claimed of it, on one line of a notebook.

>>> claim("W1 of the two lines", 0.25 + 0.25, equals=0.5)
W1 of the two lines: 0.5
>>> claim("exact W1 after training", 0.1634, below=0.4)
exact W1 after training: ≈ 0.163   (claimed: below 0.4)
>>> claim("modes held by three generators", [6, 8, 7], above=5)
modes held by three generators: ≈ 6, 8, 7   (claimed: each above 5)
>>> claim("both loops give the same weights", True)
✓ both loops give the same weights

A number marked with ≈ may differ on another machine: the notebook test compares it by its claim only, and
every other character of the line as it stands. A claim that does not hold stops the cell.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike

from ._arrays import as_float64
from .errors import ClaimError, InputError

__all__ = ["claim"]

Bound = float | None
KINDS = [["equals"], ["equals", "to"], ["above"], ["below"], ["above", "below"]]
ROUNDING = 1e-9  # what `equals` forgives
MOST = 12  # numbers that a reader still reads on one line


def claim(
    text: str,
    value: ArrayLike,
    *,
    equals: ArrayLike | None = None,
    to: Bound = None,
    below: Bound = None,
    above: Bound = None,
) -> None:
    r"""A line with ``text``, ``value`` and what is claimed of it; or ``ClaimError`` where that does not hold.

    - ``claim(text, condition)``: a truth, printed behind ✓;
    - ``equals=v``: \|value - v\| <= 1e-9 (1 + \|v\|), printed without ≈, with six digits, which are the same
      everywhere;
    - ``equals=v, to=t``: \|value - v\| <= t; ``above=a``, ``below=b`` or both: a < value < b. Printed behind
      ≈, with three digits, or as many as show that the claim holds.

    ``value`` may be up to twelve numbers, each of which is meant. NaN keeps no claim. The bounds are compared
    letter for letter, so they should be theory or chosen, not measured. Raises ``InputError`` for a number of
    which nothing is claimed, or a truth of which something is.
    """
    bounds = {"equals": equals, "to": to, "above": above, "below": below}
    named = [name for name, bound in bounds.items() if bound is not None]
    value = value.detach().cpu() if torch.is_tensor(value) else value
    truth = np.asarray(value).dtype == bool and np.ndim(value) == 0
    if named not in ([[]] if truth else KINDS):
        raise InputError(
            f"'{text}': a claim is of one truth, or of numbers with 'equals', 'equals' and 'to', 'below', "
            f"'above', or the last two, but {value!r} came with {' and '.join(named) or 'nothing'}."
        )
    if truth:
        if not value:
            raise ClaimError(f"{text}: this does not hold.")
        print(f"✓ {text}")
        return
    values = np.atleast_1d(as_float64(value, "value", None, finite=False))
    fitting = equals is None or np.shape(equals) in ((), values.shape)
    if values.ndim > 1 or values.size > MOST or not fitting:
        raise InputError(f"'{text}': up to {MOST} numbers in a row, as many as in 'equals', not {value!r}.")
    ndim = {"equals": None}  # others are one number
    said = {name: row(as_float64(bounds[name], name, ndim.get(name, 0), finite=False)) for name in named}
    limits = {name: numbers(bound) for name, bound in said.items()}  # what is printed is what is claimed
    if exact := named == ["equals"]:
        limits = {"equals": np.asarray(equals), "to": ROUNDING * (1 + np.abs(equals))}
    what = " and ".join(f"{name} {bound}" for name, bound in said.items())
    what = what.replace("equals ", "").replace(" and to ", " up to ")
    if not keeps(values, **limits):
        raise ClaimError(f"{text}: {row(values)}, claimed: {what}.")
    if exact:
        print(f"{text}: {row(np.broadcast_to(equals, values.shape))}")
        return
    fine = limits.get("to", np.inf) / 10
    rows = (row(values, digits) for digits in range(3, 18))
    seen = next(r for r in rows if keeps(numbers(r), **limits) and keeps(numbers(r), values, fine))
    print(f"{text}: ≈ {seen}   (claimed: {'each ' * (values.size > np.size(equals))}{what})")


def keeps(values, equals=None, to=None, *, above=np.nan, below=np.nan) -> bool:
    """Whether every value is in these bounds; NaN is in none, and as a bound it is none."""
    if equals is None:
        return bool(np.all(~(values <= above) & ~(values >= below) & ~np.isnan(values)))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        return bool(np.all((np.abs(values - equals) <= to) | (values == equals)))


def row(values: ArrayLike, digits: int = 6) -> str:
    """The numbers with so many significant digits, whole ones with all of theirs."""

    def number(value: float) -> str:
        if value == np.rint(value) and abs(value) < 1e15:
            return str(int(value))
        if 1e-4 <= abs(value) < 1e7:
            return np.format_float_positional(value, precision=digits, fractional=False, trim="-")
        return f"{value:.{digits}g}"

    return ", ".join(map(number, np.atleast_1d(values)))


def numbers(row: str) -> np.ndarray:
    """The numbers of a row."""
    return np.array([float(number) for number in row.split(", ")])
