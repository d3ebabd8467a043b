"""The house has floors: a room imports from rooms below it only, and inside a room there is no circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import wganlab

FOLDER = Path(wganlab.__file__).parent
FLOORS = [
    {"__main__"},
    {"cli"},
    {"engine"},
    {"alae", "checkpoints", "curves", "mistakes", "tricks"},
    {"__init__"},
    {"training"},
    {"recipes", "metrics", "lipschitz"},
    {"constraints", "data", "games", "networks", "sampling", "transport"},
    {"benchmark_pair", "claims", "divergences", "interactive", "objectives", "plots"},
    {"_quadrature"},
    {"_arrays", "_files"},
    {"errors"},
]


def name_of(path: Path) -> tuple[str, ...]:
    """The place of a module below ``wganlab``; a folder's ``__init__`` has the folder's."""
    parts = path.relative_to(FOLDER).with_suffix("").parts
    return parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts


MODULES = {name_of(path): path for path in FOLDER.rglob("*.py")}


def imports(source: str, folder: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """The modules of the package that a module in ``folder`` imports, anywhere in its text."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            places = [tuple(alias.name.split(".")) for alias in node.names]
            found |= {place[1:] or ("__init__",) for place in places if place[0] == "wganlab"}
        elif isinstance(node, ast.ImportFrom):
            place = tuple(node.module.split(".")) if node.module else ()
            if not node.level and place[0] != "wganlab":
                continue
            base = folder[: len(folder) + 1 - node.level] if node.level else ()
            place = base + (place if node.level else place[1:])
            inner = {(*place, alias.name) for alias in node.names}
            found |= {name if name in MODULES else place or ("__init__",) for name in inner}
    return found


EDGES = {
    name: imports(
        path.read_text(encoding="utf-8"),
        name if path.name == "__init__.py" and name != ("__init__",) else name[:-1],
    )
    for name, path in MODULES.items()
}


def test_every_room_has_a_floor():
    assert {name[0] for name in MODULES} == set.union(*FLOORS)


def test_a_room_imports_from_rooms_below_it_only():
    floor = {room: k for k, rooms in enumerate(FLOORS) for room in rooms}
    upwards = {
        f"{'.'.join(name)} -> {'.'.join(other)}"
        for name, others in EDGES.items()
        for other in others
        if other[0] != name[0] and floor[other[0]] <= floor[name[0]]
    }
    assert upwards == set()


def test_modules_have_no_circle():
    order = list(TopologicalSorter(EDGES).static_order())  # raises CycleError
    assert order[0] == ("errors",)
    assert set(order) == set(MODULES)


@pytest.mark.parametrize(
    ("source", "folder", "found"),
    [
        (
            "from . import data, plots\nfrom .errors import InputError",
            (),
            {("data",), ("plots",), ("errors",)},
        ),
        ("import wganlab.metrics", (), {("metrics",)}),
        ("def f():\n    from wganlab.transport import emd", (), {("transport",)}),
        ("from wganlab import Game, networks", (), {("__init__",), ("networks",)}),
        ("import torch\nfrom numpy import array", (), set()),
        (
            "from .._arrays import x\nfrom .exact import y",
            ("transport",),
            {("_arrays",), ("transport", "exact")},
        ),
        ("import wganlab.transport.exact", (), {("transport", "exact")}),
    ],
)
def test_every_way_of_writing_an_import_is_seen(source, folder, found):
    assert imports(source, folder) == found
