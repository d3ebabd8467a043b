"""Imports inside the package point downwards only, and are few: every one is named here."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import wganlab

FOLDER = Path(wganlab.__file__).parent
ALLOWED = {
    "__init__": {"sampling", "training"},
    "__main__": {"checkpoints", "data", "errors", "networks", "plots", "recipes", "sampling", "training"},
    "checkpoints": {"errors", "training"},
    "training": {"errors", "recipes", "sampling"},
    "recipes": {"constraints", "errors", "objectives"},
    "metrics": {"arrays", "data", "errors", "transport"},
    "arrays": {"errors"},
    "constraints": {"errors"},
    "data": {"errors"},
    "divergences": {"arrays", "errors"},
    "networks": {"errors"},
    "plots": {"errors"},
    "sampling": {"errors"},
    "transport": {"arrays", "errors"},
    "objectives": set(),
    "errors": set(),
}


def edges(source):
    """The modules of the package that a module imports, anywhere in its text."""
    modules = {path.stem for path in FOLDER.glob("*.py")}
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            paths = [alias.name.split(".") for alias in node.names]
            found |= {[*path, "__init__"][1] for path in paths if path[0] == "wganlab"}
        elif isinstance(node, ast.ImportFrom) and (node.level or node.module.split(".")[0] == "wganlab"):
            inner = (node.module or "").removeprefix("wganlab").strip(".")
            found |= {inner} if inner else {alias.name for alias in node.names}
    return {name if name in modules else "__init__" for name in found}


def test_every_import_inside_the_package_is_an_allowed_one():
    found = {path.stem: edges(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.py")}
    assert found == ALLOWED


def test_they_have_no_cycle():
    order = list(TopologicalSorter(ALLOWED).static_order())  # raises CycleError
    assert order[0] in {"errors", "objectives"}
    assert set(order) == set(ALLOWED)


def test_every_way_of_writing_an_import_is_seen():
    assert edges("from . import data, plots\nfrom .errors import InputError") == {"data", "plots", "errors"}
    assert edges("import wganlab.metrics\ndef f():\n    from wganlab.transport import emd") == {
        "metrics",
        "transport",
    }
    assert edges("import wganlab\nfrom wganlab import Game, networks") == {"__init__", "networks"}
    assert edges("import torch\nfrom numpy import array") == set()
