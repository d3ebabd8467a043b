"""The notebooks for download: each directive and reference as plain Markdown, and nothing else changed."""

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from test_browser import require_site

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("travel", ROOT / "book" / "_ext" / "travel.py")
travel = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(travel)

NUMBERS = SimpleNamespace(
    labels={"thm-a": "Theorem 7.2", "ex-a": "Exercise 7.1", "eq-a": "7.3", "ch": "Duality", "ch%": "7"},
    titles={"07_duality": "Duality"},
    address="",
    cited=[],
    works=travel.parse_file(str(ROOT / "book" / "references.bib")).entries,
)
for name in ("role", "link", "cite", "references"):
    setattr(NUMBERS, name, getattr(travel.Numbers, name).__get__(NUMBERS))

PAIRS = [
    ("(ch)=\n# Duality", "# Duality"),
    ("By {numref}`chapter %s <ch>` and {numref}`Section %s <ch>`.", "By chapter 7 and Section 7."),
    ("{numref}`ex-a`, {numref}`ex. %s <ex-a>`", "Exercise 7.1, ex. 7.1"),
    ("By {prf:ref}`thm-a`, {ref}`ex-a` and {eq}`eq-a`.", "By Theorem 7.2, Exercise 7.1 and (7.3)."),
    ("A {term}`gap`, two {term}`plans <plan>`.", "A gap, two plans."),
    ("{ref}`signs <ch>`, {doc}`07_duality`, {doc}`there <07_duality>`", "signs, *Duality*, *there*"),
    (
        "{cite:t}`gulrajani2017` and {cite:p}`arjovsky2017`",
        "Gulrajani et al. (2017) and (Arjovsky et al., 2017)",
    ),
    ("$$\nx = y\n$$ (eq-a)", "$$\nx = y \\tag{7.3}\n$$"),
    ("{cite:t}`peyrecuturi2019`", "Peyré and Cuturi (2019)"),
    (":::{prf:theorem} Rays\n:label: thm-a\nBody.\n:::", "**Theorem 7.2 (Rays).**\n\nBody."),
    (":::{prf:proof}\nOne.\n\nTwo.\n:::", "*Proof.* One.\n\nTwo.\n\n∎"),
    (
        ":::{prf:proof}\n:class: dropdown\nLong.\n:::",
        "<details>\n<summary>Proof</summary>\n\nLong.\n\n</details>",
    ),
    (
        ":::{solution} ex-a\n:label: sol-a\n:class: dropdown\nDone.\n:::",
        "<details>\n<summary>Solution to Exercise 7.1</summary>\n\nDone.\n\n</details>",
    ),
    (":::{admonition} Think\n:class: tip\nFirst.\n\nThen.\n:::", "> **Think**\n>\n> First.\n>\n> Then."),
    (
        "::::{exercise} Nested\n:label: ex-a\n:::{admonition} Hint\nLook.\n:::\n::::",
        "**Exercise 7.1 (Nested).**\n\n> **Hint**\n>\n> Look.",
    ),
    ("![A ring.](_lab/ring.webp) [lab](lab.md#ring)", "*(Picture: A ring.)* *lab*"),
    (
        "`:::{x}` and\n```python\n(a)=\n\nx = '![a](b)'\n```",
        "`:::{x}` and\n```python\n(a)=\n\nx = '![a](b)'\n```",
    ),
    ("$f(x)$ [an address](https://example.org)", "$f(x)$ [an address](https://example.org)"),
]


@pytest.mark.parametrize(("text", "expected"), PAIRS)
def test_each_construct_as_plain_markdown(text, expected):
    assert travel.plain(text, NUMBERS) == expected


@pytest.mark.parametrize(
    "text", ["{prf:ref}`thm-b`", "{doc}`08`", "{cite:t}`nobody`", "{download}`x`", ":::{prf:proof}\nOpen."]
)
def test_what_it_does_not_know_is_an_error(text):
    with pytest.raises((KeyError, ValueError)):
        travel.plain(text, NUMBERS)


def test_works_are_listed_once_with_names_and_years():
    NUMBERS.cited = []
    travel.plain("{cite:t}`villani2009` {cite:p}`cuturi2013,villani2009`", NUMBERS)
    first, second = NUMBERS.references().split("\n")
    assert first.startswith("- Cuturi (2013). ")
    assert first.endswith(" <https://arxiv.org/abs/1306.0895>")
    assert second.startswith("- Villani (2009). ")


@pytest.mark.browser
def test_the_site_hands_out_notebooks_that_need_nothing():
    """Every download is a valid notebook, its code and outputs those of the book, its Markdown plain."""
    handed = sorted((require_site() / "_sources" / "book").glob("*.ipynb"))
    assert len(handed) == len(list((ROOT / "book").glob("*.ipynb")))
    for path in handed:
        notebook, original = (nbformat.read(p, as_version=4) for p in (path, ROOT / "book" / path.name))
        nbformat.validate(notebook)
        code = [(cell.source, cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
        assert code[1:] == [(c.source, c.outputs) for c in original.cells if c.cell_type == "code"]
        assert "import wganlab" in code[0][0]
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        text = re.sub(r"(?ms)^```.*?^```$|`[^`\n]+`", "", text)
        assert re.findall(r":::|\{[\w:]+\}`|^\([\w-]+\)=|\]\(\w+\.(?:md|ipynb)", text, re.MULTILINE) == []
        assert text.count("<details>") == text.count("</details>")
