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
from numpy.typing import ArrayLike

from ._arrays import as_float64
from .errors import ClaimError, InputError

__all__ = ["claim"]

KINDS = [["equals"], ["equals", "to"], ["above"], ["below"], ["above", "below"]]
ROUNDING = 1e-9  # what `equals` forgives
MOST = 12  # numbers that a reader still reads on one line


def claim(
    text: str,
    value: ArrayLike | bool,
    *,
    equals: ArrayLike | None = None,
    to: float | None = None,
    below: float | None = None,
    above: float | None = None,
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
    if named == ["equals"]:
        if not np.isclose(values, equals, rtol=ROUNDING, atol=ROUNDING).all():
            raise ClaimError(f"{text}: {row(values)}, claimed: {said['equals']}.")
        print(f"{text}: {row(np.broadcast_to(equals, values.shape))}")
        return
    limits = {name: numbers(bound) for name, bound in said.items()}  # what is printed is what is claimed
    what = " and ".join(f"{name} {bound}" for name, bound in said.items())
    what = what.replace("equals ", "").replace(" and to ", " up to ")
    if not keeps(values, **limits):
        raise ClaimError(f"{text}: {row(values)}, claimed: {what}.")
    fine = {"equals": values, "to": limits.get("to", np.inf) / 10}
    rows = (row(values, digits) for digits in range(3, 18))
    seen = next(r for r in rows if keeps(numbers(r), **limits) and keeps(numbers(r), **fine))
    print(f"{text}: ≈ {seen}   (claimed: {'each ' * (values.size > np.size(equals))}{what})")


def keeps(values, *, equals=None, to=None, above=None, below=None) -> bool:
    """Whether every value is in these bounds; NaN is in none."""
    kept = ~np.isnan(values)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        kept &= True if equals is None else (np.abs(values - equals) <= to) | (values == equals)
    kept &= True if above is None else values > above
    kept &= True if below is None else values < below
    return bool(kept.all())


def row(values: ArrayLike, digits: int = 6) -> str:
    """The numbers with so many significant digits, whole ones with all of theirs."""

    def number(value: float) -> str:
        if value == np.rint(value) and abs(value) < 1e15:
            return str(int(value))
        if 1e-4 <= abs(value) < 1e7:
            return np.format_float_positional(value, precision=digits, fractional=False, trim="-")
        return f"{value:.{digits}g}"

    return ", ".join(number(value) for value in np.atleast_1d(values))


def numbers(row: str) -> np.ndarray:
    """The numbers of a row."""
    return np.array([float(number) for number in row.split(", ")])
