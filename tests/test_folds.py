"""A folded proof has a title, without which the script that folds leaves the rest of the page open."""

import importlib.util
from pathlib import Path

import pytest

nodes = pytest.importorskip("docutils.nodes")
proofs = pytest.importorskip("sphinx_proof.nodes")

PATH = Path(__file__).resolve().parents[1] / "book" / "_ext" / "folds.py"


def folds():
    spec = importlib.util.spec_from_file_location("folds", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def proof(*children, classes=()):
    """As sphinx-proof makes it."""
    box = nodes.admonition("", nodes.paragraph("", "", *children), classes=["proof", *classes], ids=["proof"])
    return proofs.proof_node("", box)


def test_folded_proofs_get_a_title_and_all_get_an_id():
    start, step = nodes.Text("Proof. "), nodes.strong("", "Step 1.")
    page = nodes.section("", proof(nodes.Text("Proof. Open.")), proof(start, step, classes=["dropdown"]))
    folds().give_titles(None, page)
    opened, folded = page.findall(nodes.admonition)
    assert [opened["ids"], folded["ids"]] == [["proof-1"], ["proof-2"]]
    assert opened.astext() == "Proof. Open."
    assert isinstance(folded[0], nodes.title)
    assert [child.astext() for child in folded] == ["Proof", "Step 1."]
