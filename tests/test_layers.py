"""Imports inside the package point downwards only, and are few: every one is named here."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import wganlab

FOLDER = Path(wganlab.__file__).parent
TRANSPORT = ["congested", "entropic", "exact", "line", "normals", "potentials", "samples", "slices"]
ALLOWED = {
    "__init__": {"sampling", "training"},
    "__main__": {
        *("cli.audit", "cli.doctor", "cli.evaluate", "cli.grammar", "cli.output"),
        *("cli.sample", "cli.train", "errors", "parallel"),
    },
    "benchmark_pair": {"arrays", "errors"},
    "checkpoints": {"errors", "files", "training"},
    "training": {"errors", "recipes", "sampling"},
    "recipes": {"constraints", "errors", "objectives"},
    "metrics": {"arrays", "data", "errors", "transport.exact", "transport.normals"},
    "arrays": {"errors"},
    "constraints": {"errors", "sampling"},
    "data": {
        *("data._cifar", "data._digits", "data._download", "data._mnist", "data._pictures"),
        *("data._results", "errors"),
    },
    "divergences": {"arrays", "errors", "quadrature"},
    "lipschitz": {"errors", "networks"},
    "mistakes": {"mistakes.entry", "mistakes.examine", "mistakes.report", "mistakes.zoo"},
    "mistakes.critics": {"mistakes.probes"},
    "mistakes.entry": set(),
    "mistakes.examine": {
        *("errors", "mistakes.critics", "mistakes.formulas", "mistakes.layouts"),
        *("mistakes.points", "mistakes.probes", "mistakes.report"),
    },
    "mistakes.formulas": set(),
    "mistakes.layouts": {"mistakes.probes"},
    "mistakes.loading": {"errors"},
    "mistakes.loops": {"mistakes.entry"},
    "mistakes.penalties": {"constraints", "mistakes.entry", "mistakes.examine"},
    "mistakes.players": {"mistakes.critics", "mistakes.entry", "objectives"},
    "mistakes.points": set(),
    "mistakes.probes": set(),
    "mistakes.report": set(),
    "mistakes.zoo": {"mistakes.entry", "mistakes.loops", "mistakes.penalties", "mistakes.players"},
    "networks": {"errors", "resnet"},
    "plots": {"errors"},
    "sampling": {"errors"},
    "quadrature": {"errors"},
    "transport": {f"transport.{room}" for room in TRANSPORT},
    "transport.congested": {"arrays", "errors", "quadrature"},
    "transport.entropic": {"arrays", "errors", "transport.exact"},
    "transport.exact": {"arrays", "errors"},
    "transport.line": {"arrays", "errors", "transport.exact"},
    "transport.normals": {"arrays", "errors"},
    "transport.potentials": {"arrays", "errors", "transport.exact"},
    "transport.samples": {"arrays", "errors", "quadrature", "transport.exact", "transport.line"},
    "transport.slices": {"arrays", "errors", "transport.exact", "transport.line"},
    "objectives": {"errors"},
    "interactive": {"errors"},
    "errors": set(),
    "accelerate": {"constraints", "errors", "graphs", "training"},
    "cli": set(),
    "cli.about": {"checkpoints", "cli.setups", "cli.stop", "errors", "training"},
    "cli.audit": {"cli.output", "errors", "mistakes", "mistakes.loading"},
    "cli.doctor": {
        *("__init__", "accelerate", "cli.output", "data", "fast", "networks", "recipes"),
        *("sampling", "training", "transport"),
    },
    "cli.evaluate": {
        *("cli.about", "cli.output", "cli.sample", "cli.setups", "constraints", "data"),
        *("errors", "metrics", "objectives", "training"),
    },
    "cli.grammar": {"__init__", "cli.output"},
    "cli.log": {"errors", "files", "training"},
    "cli.output": {"errors"},
    "cli.sample": {"cli.about", "cli.output", "cli.setups", "errors", "plots", "sampling"},
    "cli.setups": {"data", "errors", "networks", "recipes", "sampling", "training"},
    "cli.speed": {"accelerate", "errors", "fast", "training"},
    "cli.stop": {"cli.output"},
    "cli.train": {
        *("checkpoints", "cli.about", "cli.log", "cli.output", "cli.setups", "cli.speed"),
        *("cli.stop", "objectives", "parallel", "sampling", "schedules", "training"),
    },
    "data._cifar": {"data._digits", "data._download", "errors"},
    "data._digits": {"errors"},
    "data._download": {"errors", "files"},
    "data._mnist": {"data._digits", "data._download", "errors"},
    "data._pictures": {"errors"},
    "data._results": {"data._digits", "errors"},
    "fast": {"constraints", "products", "training"},
    "files": {"errors"},
    "graphs": {"errors", "training"},
    "parallel": {
        *("checkpoints", "errors", "parallel.heartbeat", "parallel.jointnorm"),
        *("sampling", "training"),
    },
    "parallel.heartbeat": set(),
    "parallel.jointnorm": {"errors"},
    "products": set(),
    "resnet": {"errors"},
    "schedules": {"errors", "training"},
}


def name_of(path):
    """The dotted name of a module below ``wganlab``; a folder's ``__init__`` has the folder's name."""
    parts = path.relative_to(FOLDER).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FOLDER.rglob("*.py")}


def edges(source, folder=""):
    """The modules of the package that a module in the sub-folder ``folder`` imports, anywhere in its text."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            paths = [alias.name.split(".") for alias in node.names]
            found |= {
                ".".join([*path, "__init__"][1:][: max(1, len(path) - 1)])
                for path in paths
                if path[0] == "wganlab"
            }
        elif isinstance(node, ast.ImportFrom) and (node.level or node.module.split(".")[0] == "wganlab"):
            inner = (node.module or "").removeprefix("wganlab").strip(".")
            if node.level == 1 and folder:
                inner = f"{folder}.{inner}".strip(".")
            found |= {inner} if inner else {alias.name for alias in node.names}
    return {name if name in MODULES else "__init__" for name in found}


def test_every_import_inside_the_package_is_an_allowed_one():
    found = {}
    for name, path in MODULES.items():
        folder = path.parent.relative_to(FOLDER).as_posix().strip(".")
        found[name] = edges(path.read_text(encoding="utf-8"), folder)
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
    assert edges("from ..arrays import as_kind\nfrom .exact import emd", "transport") == {
        "arrays",
        "transport.exact",
    }
    assert edges("import wganlab.transport.exact") == {"transport.exact"}
