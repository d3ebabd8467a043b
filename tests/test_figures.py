"""`make figures`: the archive of all figures, from a small book that is drawn anew."""

import csv
import importlib.util
import io
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image, ImageDraw

pytest.importorskip("sphinx", reason="NO SPHINX: pip install -r requirements.txt")
ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("figures", ROOT / "book" / "_teach" / "figures.py")
figures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(figures)

LINE = """import matplotlib.pyplot as plt
plt.plot([0, 1], [0, {height}]);"""
MOVES = """from matplotlib import pyplot as plt
from wganlab import interactive
still, ax = plt.subplots(figsize=(3, 2))
ax.plot([1, 0])
interactive.show("parallel_lines", still, label="Two lines, one to the right of the other.")"""
ALT = {"mystnb": {"image": {"alt": "A straight line that rises from the left to the right."}}}


def png(draw):
    image, held = Image.new("RGB", (300, 200), "white"), io.BytesIO()
    draw(ImageDraw.Draw(image))
    image.save(held, "PNG")
    return held.getvalue()


def test_pictures_are_told_apart_by_a_line_and_not_by_a_shade():
    line = png(lambda board: board.line((0, 0, 300, 200), "black"))
    assert figures.alike(line, png(lambda board: board.line((0, 0, 300, 200), (20, 20, 20))))
    assert not figures.alike(line, png(lambda board: board.line((0, 0, 300, 180), "black")))
    wide = io.BytesIO()
    Image.open(io.BytesIO(line)).resize((301, 200)).save(wide, "PNG")
    assert not figures.alike(line, wide.getvalue())


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A root with one executed notebook of three figures, a plain one, one that moves, and one again."""
    root = tmp_path_factory.mktemp("book")
    (root / "book").mkdir()
    (root / "LICENSE").write_text("CC BY 4.0")
    (root / "_toc.yml").write_text("root: book/a\nchapters:\n  - file: book/b\n")
    concepts = {"concepts": ["duality", "critic"]}
    cells = [
        new_markdown_cell("# Lines\n\n## The first"),
        new_code_cell(LINE.format(height=1), metadata=ALT | concepts),
        new_code_cell(MOVES, metadata={"tags": ["interactive-figure"]} | concepts),
        new_markdown_cell("## The last"),
        new_code_cell(LINE.format(height=2), metadata=ALT | concepts),
        new_code_cell("print('after the last figure nothing is run')"),
    ]
    path = root / "book" / "b.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    figures.execute.execute(path)
    return root


@pytest.fixture
def run(book, monkeypatch):
    """A function that changes a cell of the notebook, by its number, and runs the command for it."""
    path = book / "book" / "b.ipynb"
    before = path.read_text(encoding="utf-8")
    monkeypatch.setattr(figures, "ROOT", book)
    monkeypatch.setattr(figures, "BUILD", book / "_build")
    for name in ("MATPLOTLIBRC", "SOURCE_DATE_EPOCH"):  # put back at the end
        monkeypatch.setenv(name, "0")

    def changed(number=5, source="raise SystemError('never run')"):
        notebook = nbformat.reads(before, as_version=4)
        notebook.cells[number].source = source
        nbformat.write(notebook, path)  # its outputs stay
        return figures.main(["--jobs", "1"])

    yield changed
    path.write_text(before, encoding="utf-8")


@pytest.mark.slow
def test_the_archive_holds_each_figure_twice_with_caption_and_licence(book, run, capsys):
    assert run() == 0
    first = (book / "_build" / "figures.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        held = {name.removeprefix("figures/"): archive.read(name) for name in archive.namelist()}
    found = figures.gallery.figures(book / "book" / "b.ipynb")
    assert [figure.name for figure in found] == ["b-1-the-first", "b-2-the-first", "b-3-the-last"]
    pictures = {f"{figure.name}.{kind}" for figure in found for kind in ("png", "svg")}
    assert set(held) == pictures | {"captions.csv", "LICENSE"}
    rows = list(csv.DictReader(io.StringIO(held["captions.csv"].decode())))
    assert [row["file"] for row in rows] == [figure.name for figure in found]
    for figure, row in zip(found, rows, strict=True):
        assert held[f"{figure.name}.png"] == figure.png
        assert held[f"{figure.name}.svg"].lstrip().startswith(b"<?xml")
        assert (row["alt text"], row["png"], row["licence"]) == (figure.alt, "as in the book", "CC-BY-4.0")
        assert row["page"] == f"book/b.html#{figure.anchor}"
        svg = book / "_build" / "figures" / f"{figure.picture}.svg"
        assert svg.read_bytes() == held[f"{figure.name}.svg"]
    assert len(figures.gallery.drawn(book / "_build" / "html")) == 3
    assert "0 drawn otherwise" in capsys.readouterr().out

    assert run() == 0
    assert (book / "_build" / "figures.zip").read_bytes() == first


@pytest.mark.slow
def test_what_is_drawn_otherwise_or_too_heavy_is_named(run, capsys, monkeypatch):
    monkeypatch.setattr(figures, "HEAVY", 100)
    assert run(4, LINE.format(height=2).replace("[0, 1]", "[1, 0]")) == 0
    said = capsys.readouterr().out
    assert "1 drawn otherwise than in the book\n  b-3-the-last\n" in said
    assert "3 more than 100 bytes of SVG, in the archive only\n  b-1-the-first\n  b-2-the-first\n" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "source", "said"),
    [
        (1, "assert 1 == 2, 'planted'", "book/b.ipynb does not run: "),
        (4, "print('no picture')", "book/b.ipynb, figure 3: the run drew no 'The last'"),
        (2, MOVES.replace("[1, 0]", "[1, x]"), "book/b.ipynb does not run: "),
    ],
)
def test_a_planted_fault_is_named_and_leaves_no_archive(book, run, capsys, number, source, said):
    (book / "_build" / "figures.zip").unlink(missing_ok=True)
    assert run(number, source) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "1 of 1 notebooks failed: no archive was written" in error
    assert not (book / "_build" / "figures.zip").exists()


def test_a_page_that_is_not_there_is_refused(capsys):
    with pytest.raises(SystemExit):
        figures.main(["99_nothing"])
    assert "there is no book/99_nothing.ipynb" in capsys.readouterr().err
