"""The shipped colour pictures: drawn again they are the same, and their parts can be read off."""

import importlib.util
from pathlib import Path

import numpy as np

from wganlab import data

CREATURES = data.results("creatures").arrays


def test_drawn_again_they_are_the_same():
    path = data.folder() / "make_creatures.py"
    spec = importlib.util.spec_from_file_location("make_creatures", Path(path))
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for k in (0, 17, 143):
        assert np.array_equal(script.creature(*CREATURES["kinds"][k]), CREATURES["templates"][k])


def test_24_of_144_kinds_are_never_drawn_and_the_others_five_times():
    kinds, parts = CREATURES["kinds"].tolist(), CREATURES["parts"].tolist()
    counts = np.array([parts.count(kind) for kind in kinds])
    assert counts.tolist() == (5 * CREATURES["drawn"]).tolist()
    assert CREATURES["drawn"].sum() == 120
    assert CREATURES["pictures"].shape == (600, 32, 32, 3)
    drawn = CREATURES["kinds"][CREATURES["drawn"]]
    assert [set(column) for column in drawn.T] == [
        set(range(n)) for n in (3, 4, 3, 2, 2)
    ]  # each part is seen


def test_the_nearest_template_has_the_right_parts():
    """Also one pixel away and a little lighter: so that a generator's pictures can be counted."""
    x = CREATURES["pictures"].reshape(600, -1) / 255
    square = []
    for move in np.ndindex(3, 3):
        moved = np.roll(CREATURES["templates"], np.subtract(move, 1), (1, 2)).reshape(144, -1) / 255
        square.append((x**2).sum(1)[:, None] + (moved**2).sum(1) - 2 * x @ moved.T)
    nearest = np.min(square, axis=0).argmin(1)
    assert np.array_equal(CREATURES["kinds"][nearest], CREATURES["parts"])
