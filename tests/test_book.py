"""The committed notebooks have the form that the book relies on. Cheap: nothing is executed or built here.

Each rule is a function from a `Notebook` to the faults it finds, as text. The rules run on every notebook of
the book, and each is seen red on a small notebook with one planted fault.
"""

import ast
import importlib.util
import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from wganlab import interactive

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
PAGES = sorted(BOOK.glob("*.md"))


def load(path):
    """The module in the file `path`, which belongs to no package."""
    spec = importlib.util.spec_from_file_location(f"book_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


execute = load(BOOK / "_ext" / "execute.py")
strict = load(BOOK / "conftest.py")


class Notebook(NamedTuple):
    path: Path
    content: nbformat.NotebookNode
    keys: frozenset  # of references.bib

    def cells(self, kind):
        """Pairs (number, cell) of one kind; numbers count all cells from 1, as the cells' ids do."""
        return [(n, cell) for n, cell in enumerate(self.content.cells, 1) if cell.cell_type == kind]

    def outputs(self):
        """Triples (number, cell, output)."""
        return [(n, cell, output) for n, cell in self.cells("code") for output in cell.outputs]

    def markdown(self):
        return "\n\n".join(cell.source for _, cell in self.cells("markdown"))


def read(path, keys=frozenset()):
    if path.suffix == ".md":
        content = new_notebook(cells=[new_markdown_cell(path.read_text(encoding="utf-8"))])
    else:
        content = nbformat.read(path, as_version=4)
    return Notebook(path, content, keys)


def bibliography_keys(path):
    return frozenset(
        re.findall(r"^\s*@\w+\s*\{\s*([^,\s]+)\s*,", path.read_text(encoding="utf-8"), re.MULTILINE)
    )


# ---- Markdown without what is not prose

FENCE = re.compile(
    r"^ {0,3}(?P<mark>`{3,}|~{3,})(?P<info>[^\n]*)\n.*?^ {0,3}(?P=mark)[ \t]*$", re.MULTILINE | re.DOTALL
)


def without_code(text):
    """`text` without fenced code and `spans`; directives are prose if fenced with colons."""
    text = FENCE.sub("", text)
    return re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "·", text, flags=re.DOTALL)


def without_math(text):
    text = re.sub(r"(?<!\\)\$\$.*?(?<!\\)\$\$", "", text, flags=re.DOTALL)
    return re.sub(r"(?<![\\$])\$(?!\s).*?(?<![\\\s])\$", "", text, flags=re.DOTALL)


# ---- The rules


def executed(nb):
    """Every code cell ran, once, from the first to the last."""
    counts = [cell.execution_count for _, cell in nb.cells("code")]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}"


def proves_something(nb):
    """What book/conftest.py refuses before the notebook test."""
    yield from strict.refusals(nb.content)


def written_alt_text(nb):
    """A figure has an alt text that somebody wrote."""
    for number, cell, output in nb.outputs():
        if any(kind.startswith("image/") for kind in output.get("data", {})):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            if (
                len(alt.strip()) < 20
                or re.search(r"\.(png|jpe?g|svg|gif)\b", alt, re.IGNORECASE)
                or " " not in alt.strip()
            ):
                yield f"cell {number}: metadata mystnb.image.alt is {alt!r}"


def small(nb):
    """A reader downloads it."""
    size = nb.path.stat().st_size
    if size > execute.LIMIT:
        yield f"{size:,} bytes"


def no_magic(nb):
    """Every cell is Python, and shows its warnings."""
    for number, cell in nb.cells("code"):
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            yield f"cell {number}: not Python: {error.text!r}"
        if re.search(r"get_ipython|filterwarnings|simplefilter|PYTHONWARNINGS", cell.source):
            yield f"cell {number}: a warnings filter or get_ipython"


SCRIPT = re.compile(r"<script\b|<iframe\b|\son\w+\s*=\s*[\"']|javascript:", re.IGNORECASE)
OWN_SCRIPTS = {f"<script>\n{interactive.script(name)}\n</script>": name for name in interactive.FIGURES}


def self_contained(nb):
    """An output fetches nothing and runs nothing but our own scripts, in a cell `interactive-figure`."""
    outside = re.compile(
        r"""(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:)?//|url\(\s*["']?(?:https?:)?//|@import""", re.I
    )
    for number, cell, output in nb.outputs():
        for kind, data in output.get("data", {}).items():
            text = data if isinstance(data, str) else str(data)
            if kind in ("text/html", "image/svg+xml", "text/markdown"):
                if outside.search(text):
                    yield f"cell {number}: {kind} refers to another host"
                if kind == "text/html" and "interactive-figure" in cell.metadata.get("tags", []):
                    for own in OWN_SCRIPTS:
                        text = text.replace(own, "")
                if SCRIPT.search(text):
                    yield f"cell {number}: {kind} with a script that is not the package's, or without the tag"
            elif kind == "application/javascript" or "widget" in kind:
                yield f"cell {number}: {kind}"


def interactive_figures(nb):
    """The tag `interactive-figure` stands for one such figure, with a written label; none is there twice."""
    shown = []
    for number, cell in nb.cells("code"):
        html = "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
        here = [name for own, name in OWN_SCRIPTS.items() for _ in range(html.count(own))]
        shown += here
        if len(here) != ("interactive-figure" in cell.metadata.get("tags", [])):
            yield f"cell {number}: the tag interactive-figure stands for one figure, and here are {len(here)}"
        for label in re.findall(r'<img [^>]*alt="([^"]*)"', html):
            if len(label) < 20 or " " not in label:
                yield f"cell {number}: the label is {label!r}"
    if len(shown) != len(set(shown)):
        yield f"{shown}: a figure has a fixed id, so it can be on a page once"


def asserts(nb):
    """Something is checked."""
    if not any(
        re.search(r"^\s*(assert\b|claim\()", cell.source, re.MULTILINE) for _, cell in nb.cells("code")
    ):
        yield "no assert and no claim"


def cites_what_exists(nb):
    text = FENCE.sub("", nb.markdown())
    for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text):
        for key in keys.split(","):
            key = re.sub(r".*<|>.*", "", key).strip()
            if key not in nb.keys:
                yield f"{key!r} is not in references.bib"


def no_raw_latex(nb):
    r"""\begin{align} and its like start a line or stand in math; elsewhere they stay raw TeX."""
    text = without_math(without_code(nb.markdown()))
    for line in text.splitlines():
        if re.search(
            r"\S.*\\begin\{(align|aligned|gather|gathered|equation|split|cases|multline)\*?\}", line
        ):
            yield repr(line.strip())
    if text.count("$"):
        yield "a stray $: " + repr(next(line for line in text.splitlines() if "$" in line))


def headings_in_order(nb):
    """One title, first; and no level is left out on the way down."""
    levels = [
        len(marks) for marks in re.findall(r"^ {0,3}(#{1,6}) ", FENCE.sub("", nb.markdown()), re.MULTILINE)
    ]
    if levels[:1] != [1] or levels.count(1) != 1:
        yield f"levels are {levels}: one title, at the top"
    elif any(after > before + 1 for before, after in itertools.pairwise(levels)):
        yield f"levels are {levels}: one is left out"


def short_cells(nb):
    """20 lines of code at most, unless the chapter is about that code (tag `long-cell`)."""
    for number, cell in nb.cells("code"):
        lines = sum(bool(line.strip()) for line in cell.source.splitlines())
        if lines > 20 and "long-cell" not in cell.metadata.get("tags", []):
            yield f"cell {number}: {lines} lines"


def says_what_it_saw(nb):
    """No line says True or False: a value and what is claimed of it, or a truth behind its mark."""
    for number, _, output in nb.outputs():
        for line in strict.lines(output):
            if re.search(r"(^|: *)[\[(]?(True|False)\b", line):
                yield f"cell {number} prints {line!r}"


WORDS, CELLS = (
    3300,
    28,
)  # a lecture of 90 minutes: 3,000 words and 25 cells, and what a count by machine is off
NO_WORDS = r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|:::+\{[^}]*\}|\{[^}]*\}"


def one_lecture(nb):
    """A chapter's page is one lecture, and a proof of more than twelve lines is folded."""
    words, cells = 0, 0
    for _, cell in nb.cells("markdown"):
        for proof in re.findall(r"^:::+\{prf:proof\}(.*?)^:::", cell.source, re.MULTILINE | re.DOTALL):
            if len(proof.splitlines()) > 13 and "dropdown" not in proof:
                yield f"a proof is open: {proof[:60]!r}"
    for cell in nb.content.cells:
        if re.search(r"^#+ (Exercises|Quiz)", cell.source, re.MULTILINE):
            break
        if cell.cell_type == "markdown":
            words += len(
                re.findall(r"[A-Za-z][A-Za-z'-]*", re.sub(NO_WORDS, " ", cell.source, flags=re.DOTALL))
            )
        else:
            cells += not any(tag.startswith("hide") for tag in cell.metadata.get("tags", []))
    if re.match(r"\d\d_", nb.path.stem) and not nb.path.stem.endswith("_further"):
        if words > WORDS:
            yield f"{words} words, at most {WORDS}"
        if cells > CELLS:
            yield f"{cells} visible cells, at most {CELLS}"


def in_normal_form(nb):
    """As book/_ext/execute.py writes it: ids 01, 02, ..., one metadata block, keys sorted."""
    text = nb.path.read_text(encoding="utf-8")
    if text != execute.dumps(execute.normalise(nbformat.read(nb.path, as_version=4))):
        yield "not in the form that book/_ext/execute.py writes"


RULES = [
    executed,
    proves_something,
    written_alt_text,
    small,
    no_magic,
    self_contained,
    interactive_figures,
    asserts,
    cites_what_exists,
    no_raw_latex,
    headings_in_order,
    short_cells,
    says_what_it_saw,
    one_lecture,
    in_normal_form,
]
TEXT_RULES = [cites_what_exists, no_raw_latex, headings_in_order]


def toc_faults(root):
    """Files that _toc.yml names and that are not there, and notebooks and pages that no reader can reach."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))

    def files(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key in ("root", "file"):
                    yield re.sub(r"\.(md|ipynb)$", "", value)
                else:
                    yield from files(value)
        elif isinstance(node, list):
            for value in node:
                yield from files(value)

    named = list(files(toc))
    there = {
        path.relative_to(root).with_suffix("").as_posix()
        for suffix in ("ipynb", "md")
        for path in (root / "book").rglob(f"[!_]*.{suffix}")
        if not {"_build", "_ext", "_static", ".ipynb_checkpoints"} & set(path.parts)
    }
    return (
        [f"{name} is named in _toc.yml and is not there" for name in named if name not in there]
        + [f"{name} is not in _toc.yml" for name in sorted(there - set(named))]
        + [
            f"{name} is in _toc.yml twice"
            for name in sorted({name for name in named if named.count(name) > 1})
        ]
    )


def minutes_faults(book):
    """Minutes behind a chapter's name on the first page that the chapter does not state, and wrong sums."""
    for line in (book / "index.md").read_text(encoding="utf-8").splitlines():
        named = re.findall(r"\{doc\}`(\w+)` \((\d+)\)", line)
        for page, minutes in named:
            text = (book / f"{page}.ipynb").read_text(encoding="utf-8")
            stated = re.findall(r"\*\*Time\W+(\d+) minutes", text)
            if stated != [minutes]:
                yield f"{page}: {minutes} on the first page, {stated} on its own"
        if named and not re.search(rf"\| {sum(int(minutes) for _, minutes in named)} \|$", line):
            yield f"the minutes do not add up: {line}"


# ---- The book keeps them


@pytest.fixture(scope="module")
def keys():
    return bibliography_keys(BOOK / "references.bib")


def test_there_is_a_book():
    assert NOTEBOOKS
    assert PAGES


def test_toc():
    assert toc_faults(ROOT) == []


def test_minutes():
    assert list(minutes_faults(BOOK)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path, keys):
    notebook = read(path, keys)
    assert [f"{rule.__name__}: {fault}" for rule in RULES for fault in rule(notebook)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_broken_claim_is_refused(path):
    """A committed value that breaks what is claimed beside it, on each marked line of every notebook."""
    content = read(path).content
    marked = [
        (output, line)
        for cell in content.cells
        for output in cell.get("outputs", [])
        for line in strict.lines(output)
        if "≈" in line
    ]
    for output, line in marked:
        before, output["text"] = output["text"], re.sub(r"≈ [^ ,]+", "≈ nan", line)
        assert len(strict.refusals(content)) == 1, line
        output["text"] = before


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page(path, keys):
    page = read(path, keys)
    assert [f"{rule.__name__}: {fault}" for rule in TEXT_RULES for fault in rule(page)] == []


# ---- and each rule is seen red


LABEL = "Two parallel lines with a slider for their distance."
FIGURE = (
    f'<div><img src="data:image/png;base64,AAAA" alt="{LABEL}">'
    f"<script>\n{interactive.script('parallel_lines')}\n</script></div>"
)


def good():
    """A notebook that keeps every rule."""
    figure = new_output(
        "display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 640x480 with 1 Axes>"}
    )
    return execute.normalise(
        new_notebook(
            cells=[
                new_markdown_cell(
                    "# Title\n\nBy {cite:t}`villani2009`: $a$, `$b`.\n\n\\begin{align}\na &= b\n\\end{align}"
                ),
                new_code_cell(
                    "x = 'no % magic'\nassert x, 'really?'\nprint(x)  # why?",
                    execution_count=1,
                    outputs=[new_output("stream", name="stdout", text="no % magic\n")],
                ),
                new_markdown_cell(
                    "## Section\n\n```python\n# code\n```\n\n$$\n\\begin{aligned}a\\end{aligned}\n$$\n\n### C"
                ),
                new_code_cell(
                    "plt.show()",
                    execution_count=2,
                    outputs=[figure],
                    metadata={"mystnb": {"image": {"alt": "Two parallel lines, half a unit apart"}}},
                ),
                new_code_cell(
                    "interactive.show(...)",
                    execution_count=3,
                    outputs=html(FIGURE),
                    metadata={"tags": ["interactive-figure"]},
                ),
            ]
        )
    )


def prints(text):
    return [new_output("stream", name="stdout", text=text)]


def html(text):
    return [new_output("display_data", {"text/html": text})]


def alt(text):
    return {"metadata": nbformat.from_dict({"mystnb": {"image": {"alt": text}}})}


LINES = "\n".join(f"x = {n}" for n in range(21))

BROKEN = [
    "W1: ≈ 0.5   (claimed: below 0.4)",
    "W1: ≈ 0.4   (claimed: below 0.4)",
    "W1: ≈ nan   (claimed: below 0.4)",
    "W1: ≈ 0.1, 0.5   (claimed: each below 0.4)",
    "W1: ≈ 0.1   (claimed: above 0.1)",
    "W1: ≈ 0.1   (claimed: above 0.2 and below 0.4)",
    "W1: ≈ 0.1   (claimed: 0.3 up to 0.1)",
    "W1: ≈ 1, 2   (claimed: 1, 3 up to 0.1)",
    "W1: ≈ 1   (claimed: 1, 3 up to 0.1)",
    "W1: ≈ 0.1",
    "W1: ≈ small   (claimed: below 0.4)",
    "W1: ≈ 0.1   (claimed: good)",
]

# rule, the cell that is changed, and what is changed in it
PLANTED = [
    (executed, 1, {"execution_count": None}),
    (executed, 3, {"execution_count": 7}),
    (proves_something, 1, {"execution_count": None}),
    (proves_something, 1, {"outputs": [new_output("error", ename="E", evalue="", traceback=[])]}),
    (proves_something, 1, {"outputs": [new_output("stream", name="stderr", text="Warning")]}),
    (proves_something, 1, {"metadata": nbformat.from_dict({"tags": ["nbval-ignore-output"]})}),
    (proves_something, 1, {"source": "# NBVAL_SKIP\nprint(x)"}),
    *(
        (proves_something, 1, {"outputs": [new_output("stream", name="stdout", text=line)]})
        for line in BROKEN
    ),
    (written_alt_text, 3, {"metadata": nbformat.from_dict({})}),
    (written_alt_text, 3, alt("Two lines")),
    (written_alt_text, 3, alt("../_images/0a1b2c3d4e5f6071.png")),
    (small, 1, {"outputs": [new_output("stream", name="stdout", text="x" * 500_000)]}),
    (no_magic, 1, {"source": "%matplotlib inline"}),
    (no_magic, 1, {"source": "print?"}),
    (no_magic, 1, {"source": "!pip install torch"}),
    (no_magic, 1, {"source": "import warnings\nwarnings.filterwarnings('ignore')"}),
    (self_contained, 1, {"outputs": html('<img src="https://example.org/a.png">')}),
    (self_contained, 1, {"outputs": html('<link href="//example.org/a.css">')}),
    (self_contained, 1, {"outputs": html("<script>alert(1)</script>")}),
    (self_contained, 1, {"outputs": html('<img src="a.png" onerror="alert(1)">')}),
    (self_contained, 1, {"outputs": [new_output("display_data", {"application/javascript": "alert(1)"})]}),
    (self_contained, 1, {"outputs": html(FIGURE)}),  # without the tag
    (self_contained, 4, {"outputs": html(FIGURE.replace("0", "1", 1))}),  # a script that is not ours
    (self_contained, 4, {"outputs": html(FIGURE + "<script>alert(1)</script>")}),
    (self_contained, 4, {"outputs": html(FIGURE.replace("<img", '<img onload="alert(1)"'))}),
    (interactive_figures, 4, {"outputs": html("<p>no script, so the tag is idle</p>")}),
    (interactive_figures, 4, {"outputs": html(FIGURE * 2)}),
    (interactive_figures, 4, {"outputs": html(FIGURE.replace(LABEL, "Two lines"))}),
    (interactive_figures, 1, {"outputs": html(FIGURE)}),
    (asserts, 1, {"source": "print('no assert here')"}),
    (cites_what_exists, 0, {"source": "# Title\n\nBy {cite:p}`villani2009,nobody1999`."}),
    (no_raw_latex, 0, {"source": "# Title\n\nSo \\begin{align} a &= b \\end{align}"}),
    (no_raw_latex, 0, {"source": "# Title\n\nIt is $a and no more."}),
    (headings_in_order, 0, {"source": "## No title"}),
    (headings_in_order, 2, {"source": "# A second title"}),
    (headings_in_order, 2, {"source": "### A level is left out"}),
    (short_cells, 1, {"source": LINES}),
    (says_what_it_saw, 1, {"outputs": prints("W1 below 0.4: True\n")}),
    (says_what_it_saw, 1, {"outputs": prints("[False, False]\n")}),
    (one_lecture, 0, {"source": "# Title\n\n:::{prf:proof}\n" + "A line.\n" * 14 + ":::"}),
    (one_lecture, 0, {"source": "# Title\n\n" + "word " * 3300}),
    (in_normal_form, 1, {"id": "a1b2c3d4"}),
    (in_normal_form, 1, {"metadata": nbformat.from_dict({"ExecuteTime": 1})}),
]


def write(content, path):
    path.write_text(execute.dumps(content), encoding="utf-8")
    return read(path, frozenset({"villani2009"}))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_passes_a_good_notebook(rule, tmp_path):
    assert list(rule(write(good(), tmp_path / "good.ipynb"))) == []


@pytest.mark.parametrize(
    ("rule", "number", "change"),
    PLANTED,
    ids=[f"{rule.__name__}-{n}" for n, (rule, _, _) in enumerate(PLANTED)],
)
def test_rule_sees_a_planted_fault(rule, number, change, tmp_path):
    content = good()
    content.cells[number].update(change)
    assert list(rule(write(content, tmp_path / "01_bad.ipynb"))) != []


def test_every_rule_was_seen_red():
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


def test_stripped_notebook_is_refused(tmp_path):
    content = good()
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    assert any(
        "no output at all" in fault for fault in proves_something(write(content, tmp_path / "stripped.ipynb"))
    )


def test_tag_that_allows(tmp_path):
    content = good()
    content.cells[1].update(source=LINES)
    content.cells[1].metadata.tags = ["long-cell"]
    assert list(short_cells(write(content, tmp_path / "tagged.ipynb"))) == []


def test_no_tag_switches_the_comparison_off(tmp_path):
    content = good()
    content.cells[4].metadata.tags = ["interactive-figure", "nbval-ignore-output"]
    assert any(
        "switches the comparison" in fault for fault in proves_something(write(content, tmp_path / "nb"))
    )


NBVAL = ["--nbval", "-q", "-p", "no:cacheprovider", "-rA", "--continue-on-collection-errors"]
PAGE = """from IPython.display import HTML, display
print("W1: ≈ 0.163   (claimed: below 0.4)")
print("plan: ≈ 1, 2   (claimed: each above 0)")
print("data:image/png;base64,AAAA")
display(HTML('<p>a <img src="data:image/png;base64,AAAA" alt="b"> <img src="data:image/gif;base64,AAAA">'))"""


@pytest.mark.slow
def test_notebook_test_ignores_pixels_and_marked_digits_and_nothing_else(tmp_path):
    shutil.copy(BOOK / "conftest.py", tmp_path)
    first = tmp_path / "as_it_is.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(PAGE)]), first)
    execute.execute(first)
    text = first.read_text(encoding="utf-8")
    cell, output = text.split('"outputs": ')
    changes = {
        "pixels": ('png;base64,AAAA\\" alt', 'png;base64,iVBORw0KGgo=\\" alt'),
        "alt": ('alt=\\"b', 'alt=\\"c'),
        "word": ("<p>a ", "<p>b "),
        "bytes_of_another_kind": ("gif;base64,AAAA", "gif;base64,AAAB"),
        "marked": ("≈ 0.163 ", "≈ 0.1701 "),
        "text_of_a_claim": ("W1: ≈", "W2: ≈"),
        "bound": ("below 0.4", "below 0.5"),
        "broken": ("≈ 0.163", "≈ 0.463"),
        "how_many": ("≈ 1, 2 ", "≈ 1, 2, 3 "),
        "printed": ('"data:image/png;base64,AAAA', '"data:image/png;base64,AAAB'),
    }
    for name, (before, after) in changes.items():
        output_, source_ = output.split('"source": ')
        assert before in output_, name
        changed = cell + '"outputs": ' + output_.replace(before, after) + '"source": ' + source_
        (tmp_path / f"{name}.ipynb").write_text(changed, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *NBVAL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    passed = set(re.findall(r"^PASSED \S*?(\w+)\.ipynb", done.stdout, re.MULTILINE))
    failed = set(re.findall(r"^FAILED \S*?(\w+)\.ipynb", done.stdout, re.MULTILINE))
    assert passed == {"as_it_is", "pixels", "marked"}, done.stdout
    assert failed == set(changes) - {"pixels", "marked", "broken"}, done.stdout
    assert "broken.ipynb is refused: cell 0" in done.stdout


def test_toc_sees_planted_faults(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "index.md").write_text("# Index")
    (tmp_path / "book" / "01_orphan.ipynb").write_text("{}")
    (tmp_path / "_toc.yml").write_text(
        "root: book/index\nchapters: [{file: book/02_missing}, {file: book/index}]"
    )
    assert toc_faults(tmp_path) == [
        "book/02_missing is named in _toc.yml and is not there",
        "book/01_orphan is not in _toc.yml",
        "book/index is in _toc.yml twice",
    ]


def test_minutes_that_disagree_are_found(tmp_path):
    (tmp_path / "a.ipynb").write_text("**Time.** 50 minutes to read")
    (tmp_path / "b.ipynb").write_text("**Time**: 20 minutes to read")
    (tmp_path / "index.md").write_text("| {doc}`a` (50), {doc}`b` (25) | 75 |\n| {doc}`b` (20) | 25 |\n")
    first, second = minutes_faults(tmp_path)
    assert first == "b: 25 on the first page, ['20'] on its own"
    assert second == "the minutes do not add up: | {doc}`b` (20) | 25 |"


# ---- the script that executes


@pytest.mark.slow
def test_execute_is_deterministic_and_writes_only_success(tmp_path):
    path = tmp_path / "nb.ipynb"
    nbformat.write(
        new_notebook(cells=[new_code_cell("assert 1 + 1 == 2\nprint('two')", metadata={"scrolled": True})]),
        path,
    )
    execute.execute(path)
    first = path.read_bytes()
    assert first.endswith(b"}\n")
    assert b"two" in first
    assert b"scrolled" not in first
    execute.execute(path)
    assert path.read_bytes() == first

    nbformat.write(new_notebook(cells=[new_code_cell("raise RuntimeError('no')")]), path)
    before = path.read_bytes()
    assert execute.main([str(path)]) == 1
    assert path.read_bytes() == before


@pytest.mark.slow
def test_execute_refuses_a_large_notebook(tmp_path):
    path = tmp_path / "nb.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("print(('x' * 99 + '\\n') * 5_001)")]), path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="the limit is 500,000"):
        execute.execute(path)
    assert path.read_bytes() == before
