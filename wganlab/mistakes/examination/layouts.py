"""The shapes of data and scores that a function takes, found by trying; what is fixed in it shows here."""

import itertools
import math
import re
from dataclasses import replace

import torch

from .calls import BATCH, Layout, Penalty, error_on

# The first of each is what every function should take; the others find what a function is tied to.
ROWS = {
    "rows": [(5,), (2,), (3,), (784,), (1,)],
    "pictures": [(3, 4, 5), (1, 4, 5), (3, 32, 32), (1, 28, 28), (3, 64, 64), (1, 32, 32), (1, 64, 64)],
}
BATCHES = [BATCH, 64, 32, 128, 16, 256, 100, 50, 10, 8]
KINDS = [*itertools.product((torch.float64, torch.float32), ("flat", "column", "scalar"))]
NOTES = {
    torch.float32: "float64 data raise an error, float32 data do not",
    "column": "it needs a critic whose scores have shape (m, 1), not (m,)",
    "scalar": "it needs a critic that scores one row without a batch",
}


def unusual_shapes(kind: str) -> tuple[list[tuple[int, tuple[int, ...]]], list[tuple[int, tuple[int, ...]]]]:
    """Pairs of a batch size and a row: with one of the two unusual, and with both.

    A batch size is never a side of a picture, along which an eps of shape (m, 1) would be
    broadcast. An eps of shape (m, 1, 1, 1) is, on rows, into m times as many numbers: so none of many.
    """
    usual, *rows = ROWS[kind]
    one = [*((m, usual) for m in BATCHES[1:]), *((BATCH, row) for row in rows)]
    both = [*itertools.product(BATCHES[1:5], rows)]

    def fits(m: int, row: tuple[int, ...]) -> bool:
        return m not in row and m * math.prod(row) * (m if kind == "rows" else 1) < 4e5

    return [pair for pair in one if fits(*pair)], [pair for pair in both if fits(*pair)]


def template(error: str) -> str:
    """An error's text without its numbers.

    >>> template("RuntimeError: size 6 is not 64")
    'RuntimeError: size # is not #'
    """
    return re.sub(r"\d+", "#", error)


def find(function: Penalty, kind: str) -> tuple[Layout | None, str]:
    """The first layout of that kind that the function takes, and what it said to the usual one."""
    usual, (one, both), errors = (BATCH, ROWS[kind][0]), unusual_shapes(kind), []
    for pair in (usual, *one, *both):
        for each in KINDS:
            layout = Layout(kind, *pair, *each)
            errors.append(error_on(function, layout))
            if not errors[-1]:
                return layout, errors[0]
            if pair != usual and each == KINDS[0] and template(errors[-1]) == template(errors[0]):
                break  # the same trouble as before: dtype and scores are not the reason
    return None, errors[0]


def other_channels(layout: Layout) -> Layout:
    """Pictures of the same size with 1 channel instead of 3, or 3 instead of 1.

    >>> other_channels(Layout("pictures", 6, (3, 4, 5))).row
    (1, 4, 5)
    """
    channels, *size = layout.row
    return replace(layout, row=(4 - channels, *size))


def fixed(function: Penalty, layout: Layout, first: str) -> dict[str, str]:
    """What the function is tied to: channels, batch size or size of a row; name -> what was seen."""
    found, usual = {}, ROWS[layout.kind][0]
    said = f"it takes {layout}, but not {(BATCH, *usual)}: {first}"
    if layout.m != BATCH:
        found["fixed-batch"] = said
    if layout.row[-1] != usual[-1]:
        found["fixed-size"] = said
    if layout.kind == "pictures":
        other = other_channels(layout)
        if error := error_on(function, other):
            found["fixed-channels"] = f"it takes {layout}, but not {(layout.m, *other.row)}: {error}"
    return found


def layout_notes(function: Penalty, layout: Layout) -> list[str]:
    """What is no bug in the function but good to know."""
    said = [NOTES[choice] for choice in (layout.dtype, layout.scores) if choice in NOTES]
    if layout.m == BATCH and (error := error_on(function, replace(layout, m=1))):
        said.append(f"a batch of one row raises {error}")
    return [f"{layout.kind}: {each}" for each in said]


def broadcast_notes(function: Penalty) -> list[str]:
    """A note if the function refuses pictures, but not those of height or width m."""
    row = ROWS["pictures"][0]
    if all(error_on(function, Layout("pictures", m, row)) for m in row[1:]):
        return []
    return [
        "pictures: it does run, and gives a wrong number, when the batch size is a side of the picture: "
        "eps is then broadcast along that side. Give eps as many axes as x has"
    ]
