"""Sphinx extension: a folded proof has a title to click on, and each proof an id of its own.

sphinx-proof writes a proof as a box without a title, and all proofs of a page with the same id. The script
that folds boxes looks for a title; where it finds none it stops with an error, and every box below, solutions
and answers too, stays open. So when a page has been read, a proof of class `dropdown` gets the title "Proof"
in place of its first word.
"""

from docutils import nodes
from sphinx_proof.nodes import proof_node

WORD = "Proof. "


def give_titles(app, doctree):
    """Number the proofs of a page, and move the first word of each folded one into its title."""
    for number, node in enumerate(doctree.findall(proof_node), 1):
        box = node[0]
        box["ids"] = [f"proof-{number}"]
        if "dropdown" in box["classes"]:
            text = next(box.findall(nodes.Text))
            text.parent.replace(text, nodes.Text(text.removeprefix(WORD)))
            box.insert(0, nodes.title("", WORD.rstrip(". ")))


def setup(app):
    app.connect("doctree-read", give_titles)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
