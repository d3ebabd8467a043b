"""Every figure of the book as PNG and as SVG, with captions and licence: `_build/figures.zip`.

    python book/_teach/figures.py [page ...]        (default: every page; `make figures` then builds the site)

Each notebook runs once up to its last figure, as it is: only the kernel is told to draw in both formats. The
run must draw every figure that is committed, and all its claims must hold, or the notebook is named and no
archive is written. A PNG of the archive is the committed one where the run drew the same picture. Where it
did not, since trained networks differ between processors, it is the run's, so that PNG and SVG agree; the
table of captions says which. The SVGs also go into `_build/figures`, but for those too heavy for a page,
which are named; the next build of the site takes them from there into the gallery.
"""

import argparse
import ast
import base64
import csv
import io
import os
import shutil
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "_build"
sys.path.insert(0, str(ROOT / "book" / "_ext"))
import execute  # noqa: E402  (before anything that starts threads)
import gallery  # noqa: E402
import nbformat  # noqa: E402
from nbclient import NotebookClient  # noqa: E402
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError  # noqa: E402
from PIL import Image, ImageChops  # noqa: E402

HEAVY = 300_000  # bytes of an SVG: beyond, it is in the archive only
KERNEL = (
    "--log-level=ERROR",
    "--InlineBackend.figure_formats={'png', 'svg'}",
    # PNG first, as in the book: a drawing in another resolution moves the layout by a pixel
    "--IPKernelApp.code_to_run=(lambda of: of.update({'image/svg+xml': of.pop('image/svg+xml')}))"
    "(get_ipython().display_formatter.formatters)",
)
STILL = """import io as _io
_svg = _io.StringIO()
{name}.savefig(_svg, format="svg")
display({{"image/svg+xml": _svg.getvalue()}}, raw=True)"""
COLUMNS = ("file", "page", "heading", "alt text", "concepts", "png", "licence")


class FigureError(RuntimeError):
    """A notebook or a figure of it cannot be drawn; the message names it."""


def still(source):
    """The name of the Matplotlib figure that a cell hands to `interactive.show`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    (call,) = (call for call in calls if ast.unparse(call.func) == "interactive.show")
    return ast.unparse(call.args[1])


def draw(path):
    """[(PNG, SVG)] of the figures of the notebook at `path`, drawn anew. A FigureError names it."""
    wanted, notebook = gallery.figures(path), nbformat.read(path, as_version=4)
    cells = notebook.cells[: wanted[-1].index + 1]
    moving = {figure.index for figure in wanted if figure.interactive}
    notebook.cells = []
    for index, cell in enumerate(cells):
        notebook.cells.append(cell)
        if index in moving:
            notebook.cells.append(nbformat.v4.new_code_cell(STILL.format(name=still(cell.source))))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as room:
        client = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            config=execute.by_file(room),
            extra_arguments=list(KERNEL),
            resources={"metadata": {"path": str(path.parent)}},
        )
        try:
            client.execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise FigureError(f"book/{path.name} does not run: {error}") from None
    found = []
    for figure in wanted:
        number = figure.index + sum(other.interactive for other in wanted[: figure.number - 1])
        data = {}
        for cell in notebook.cells[number : number + 1 + figure.interactive]:
            for output in cell.outputs:
                data |= output.get("data", {})
        picture = gallery.STILL.search(data.get("text/html", "")) if figure.interactive else None
        png, svg = picture[1] if picture else data.get("image/png"), data.get("image/svg+xml")
        if not (png and svg):
            raise FigureError(f"book/{path.name}, figure {figure.number}: the run drew no {figure.title!r}")
        found.append((base64.b64decode(execute.smaller(png)), svg))
    return found


def alike(one, other):
    """Whether two PNGs show one picture: 1 of 500 pixels at most differs by an eighth of the scale."""
    one, other = (Image.open(io.BytesIO(png)).convert("RGB") for png in (one, other))
    if one.size != other.size:
        return False
    levels = ImageChops.difference(one, other).convert("L").histogram()
    return sum(levels[32:]) <= sum(levels) / 500


def archive(drawn, path):
    """Write {figure: (PNG, SVG)} to `path`, the same bytes each time; return the names drawn anew."""
    table, files, anew = io.StringIO(), {"LICENSE": (ROOT / "LICENSE").read_bytes()}, []
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    for figure, (png, svg) in drawn.items():
        if same := alike(png, figure.png):
            png = figure.png
        else:
            anew.append(figure.name)
        files |= {f"{figure.name}.png": png, f"{figure.name}.svg": svg.encode()}
        place, said = f"book/{figure.page}.html#{figure.anchor}", "as in the book" if same else "drawn anew"
        concepts = ", ".join(figure.concepts)
        rows.writerow((figure.name, place, figure.title, figure.alt, concepts, said, "CC-BY-4.0"))
    files["captions.csv"] = table.getvalue().encode()
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in sorted(files.items()):
            zipped.writestr(zipfile.ZipInfo(f"figures/{name}"), content, zipfile.ZIP_DEFLATED)
    return anew


def for_the_gallery(drawn, folder):
    """Put the SVGs into `folder`, named as the gallery finds them; return the names of those too heavy."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    heavy = []
    for figure, (_, svg) in drawn.items():
        if len(svg.encode()) > HEAVY:
            heavy.append(figure.name)
        else:
            (folder / f"{figure.picture}.svg").write_text(svg, encoding="utf-8")
    return heavy


def timed(path):
    """What `draw` gives or the FigureError that it raises, and the seconds it took."""
    start = time.perf_counter()
    try:
        found = draw(path)
    except FigureError as error:
        found = error
    return found, time.perf_counter() - start


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", help="07_duality, say: an archive of its figures alone")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="notebooks at a time")
    options = parser.parse_args(arguments)
    paths = [ROOT / "book" / f"{page}.ipynb" for page in options.pages or gallery.contents(ROOT)]
    if missing := [path.name for path in paths if not path.is_file()]:
        parser.error(f"there is no book/{missing[0]}")
    paths = [path for path in paths if gallery.figures(path)]
    drawn, failed, start = {}, 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as room, ProcessPoolExecutor(options.jobs) as pool:
        settings = Path(room) / "matplotlibrc"  # ids and dates in an SVG are the same in each run
        settings.write_text("svg.hashsalt: wganlab\n", encoding="utf-8")
        os.environ |= {"MATPLOTLIBRC": str(settings), "SOURCE_DATE_EPOCH": "0"}
        done = (pool.map if options.jobs > 1 else map)(timed, paths)
        for path, (found, seconds) in zip(paths, done, strict=True):
            if isinstance(found, FigureError):
                failed += 1
                print(found, file=sys.stderr, flush=True)
            else:
                drawn |= zip(gallery.figures(path), found, strict=True)
                print(f"book/{path.name}: {len(found)} figures, {seconds:.0f} s", flush=True)
    if failed:
        print(f"{failed} of {len(paths)} notebooks failed: no archive was written", file=sys.stderr)
        return 1
    BUILD.mkdir(exist_ok=True)
    target = BUILD / "figures.zip"
    for said, names in (
        ("drawn otherwise than in the book", archive(drawn, target)),
        (f"more than {HEAVY:,} bytes of SVG, in the archive only", for_the_gallery(drawn, BUILD / "figures")),
    ):
        print("\n  ".join([f"{len(names)} {said}", *names]))
    took = f"{time.perf_counter() - start:.0f} s"
    print(f"{target.relative_to(ROOT)}: {len(drawn)} figures, {target.stat().st_size:,} bytes, {took}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
