"""Figures that a reader moves: a picture, or the script that takes its place where scripts run.

The scripts lie beside this file: each solves its problem in the page and draws it as SVG. ``kit.js``
and ``figures.css`` hold what they share. Nothing is fetched, and equal arguments give equal HTML.
"""

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ..errors import InputError

FOLDER = Path(__file__).parent
FIGURES = {  # name -> the data it draws
    "two_normals": (),
    "parallel_lines": (),
    "piles": ("P", "Q"),
    "entropic_plan": ("places", "P", "Q", "power"),
    "penalty_weight": ("weights", "one_sided", "reversed"),
    "phase_plane": (),
    "training_movie": ("titles", "steps", "real", "samples", "critic", "w1", "estimate"),
    "latent_walk": ("shapes", "weights", "scales", "digits", "start"),
}


@dataclass(frozen=True)
class Interactive:
    """A figure as ``html``, which a notebook shows when it is the last value of a cell."""

    name: str
    html: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<interactive figure {self.name}>"


@cache
def script(name: str) -> str:
    """The whole script of a figure: one function that calls itself, so that a page may hold several.

    Raises ``InputError`` unless there is such a figure.
    """
    if name not in FIGURES:
        raise InputError(f"There is no interactive figure {name!r}. Take one of: {', '.join(FIGURES)}.")
    kit, own = ((FOLDER / f"{part}.js").read_text(encoding="utf-8").strip() for part in ("kit", name))
    return f'(() => {{\n"use strict";\n\n{kit}\n\n{own}\n}})();'


def png(still: Figure) -> str:
    """``still`` as base64, on its own size and ground, and closed, so that a notebook shows it once."""
    picture = io.BytesIO()
    still.savefig(picture, format="png", metadata={"Software": None})
    plt.close(still)
    return base64.b64encode(picture.getvalue()).decode()


def plain(array) -> str | list:
    """An array for JSON: bytes (uint8) as base64, which is short, others as lists."""
    return base64.b64encode(array.tobytes()).decode() if array.dtype == np.uint8 else array.tolist()


def encoded(name: str, data: Mapping) -> str:
    """``data`` as JSON in base64, arrays as ``plain``. Raises ``InputError`` for other data than it draws."""
    if set(data) != set(FIGURES[name]):
        wanted, got = (", ".join(names) or "nothing" for names in (FIGURES[name], data))
        raise InputError(f"The figure {name!r} draws the data: {wanted}. Got: {got}.")
    try:
        text = json.dumps(dict(data), allow_nan=False, sort_keys=True, default=plain)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"The data of a figure must be finite numbers or arrays of them: {error}.") from None
    return base64.b64encode(text.encode()).decode()


def show(name: str, still: Figure, *, label: str, data: Mapping | None = None) -> Interactive:
    """The figure ``name``, to be the last value of a notebook's cell.

    Where scripts do not run the reader sees ``still``, which this call closes, with ``label`` as its
    alt text; ``label``, a sentence, also names the figure to a screen reader. ``data`` holds what
    the figure draws, by the names in ``FIGURES``; they stand in the HTML to the last bit, so build them of
    whole numbers if machines shall agree; bytes (uint8) take least room. Once a page, since the HTML has a
    fixed id. Raises ``InputError`` for an unknown name, an empty label and other data.
    Cost: 40 to 85 kB of the page; the frames of a film 105 kB more, a generator 250 kB.

    >>> show("two_normals", plt.figure(figsize=(1, 1)), label="Two bells, one twice as wide.")
    <interactive figure two_normals>
    """
    code = script(name)
    if not (isinstance(label, str) and label.strip()):
        raise InputError("The label of a figure must say what it shows, but it is empty. Write a sentence.")
    said = escape(" ".join(label.split()))
    given = f' data-json="{encoded(name, data or {})}"' if data or FIGURES[name] else ""
    style = (FOLDER / "figures.css").read_text(encoding="utf-8").strip()
    html = (
        f'<div class="interactive-figure" id="wganlab-{name}" role="group" aria-label="{said}"{given}>\n'
        f"<style>\n{style}\n</style>\n"
        f'<img src="data:image/png;base64,{png(still)}" alt="{said}">\n'
        f"<script>\n{code}\n</script>\n</div>"
    )
    return Interactive(name, html)
