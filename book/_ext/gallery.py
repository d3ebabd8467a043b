"""Sphinx extension: the gallery, every figure of the book on one page.

A figure is a cell that shows a PNG, or an interactive figure with its still. Its alt text stands in the
cell's metadata as `mystnb.image.alt` (an interactive figure's in its HTML), the words by which it is found
as `concepts`: at least one of those below. The directive `gallery` writes the page from the notebooks
themselves, each cell with a figure gets an anchor, `figure-1`, `figure-2`, ... on its page, and a figure
without alt text or concept is a warning, which fails the build.

The thumbnails are small WebPs, so that the page with all its pictures weighs less than a lecture. The links
lead to the pictures of the pages; the stills of interactive figures, which stand inside their pages, are
written once more. Where `make figures` has drawn SVGs, the page links to them, too.
"""

import base64
import hashlib
import html
import io
import re
import shutil
import struct
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import nbformat
from docutils import nodes
from execute import smaller
from PIL import Image
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

CONCEPTS = (
    "convexity",
    "divergences",
    "Wasserstein distance",
    "transport plan",
    "duality",
    "entropic transport",
    "sampling error",
    "discriminator",
    "critic",
    "vanishing gradient",
    "dynamics",
    "mode collapse",
    "measures of quality",
    "clipping",
    "gradient penalty",
    "congestion",
    "architectures",
    "samples",
    "latent space",
    "ALAE",
    "mistakes",
)
PAGE = "book/gallery"
OTHERS = "Laboratory and appendices"  # the heading above figures of pages that belong to no chapter
THUMBNAIL = (256, 30)  # width in pixels, WebP's quality
STILL = re.compile(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]*)">')
SYMBOLS = {"$": "", "_1": "₁", r"\theta": "θ"}  # of the headings above figures, which are plain text here
LOGGER = logging.getLogger(__name__)


class Figure(NamedTuple):
    page: str  # the notebook's name
    number: int  # on its page, from 1
    index: int  # of its cell, from 0
    title: str  # the heading above it
    alt: str
    concepts: tuple
    png: bytes
    interactive: bool = False

    @property
    def anchor(self):
        return f"figure-{self.number}"

    @property
    def name(self):
        """What its files are called."""
        return f"{self.page}-{self.number}-{re.sub('[^a-z0-9]+', '-', self.title.lower()).strip('-')[:40]}"

    @property
    def picture(self):
        """The name of its PNG, which is that which MyST-NB gives it."""
        return hashlib.sha256(self.png).hexdigest()

    @property
    def thumbnail(self):
        """The name of its thumbnail."""
        return "{:.16}-{}-{}.webp".format(self.picture, *THUMBNAIL)

    @property
    def size(self):
        """Width and height of its thumbnail."""
        width, height = struct.unpack(">II", self.png[16:24])
        return THUMBNAIL[0], round(height * THUMBNAIL[0] / width)

    @property
    def chapter(self):
        """The number of its chapter, or None."""
        number = re.match(r"\d\d", self.page)
        return number and int(number[0])

    def faults(self):
        """What it lacks, as text that names it."""
        here = f"book/{self.page}.ipynb, cell {self.index + 1}, figure {self.number}"
        if len(self.alt) < 20:
            yield f"{here}: no alt text (metadata mystnb.image.alt)"
        if not self.concepts:
            yield f"{here}: no concepts in its metadata; take some of those in book/_ext/gallery.py"
        for word in self.concepts:
            if word not in CONCEPTS:
                yield f"{here}: the concept {word!r} is none of those in book/_ext/gallery.py"


def plain(heading):
    """A heading as plain text."""
    for symbol, shown in SYMBOLS.items():
        heading = heading.replace(symbol, shown)
    if left := re.search(r"[\\{}`_]", heading):
        raise ValueError(f"{left[0]!r} in the heading {heading!r} above a figure: add it to SYMBOLS")
    return heading


def figures(path):
    """The figures of the notebook at `path`."""
    found, heading = [], ""
    for index, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^#+ (.*)", cell.source, re.MULTILINE) or [heading])[-1]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                picture, alt = (
                    data["image/png"],
                    cell.metadata.get("mystnb", {}).get("image", {}).get("alt", ""),
                )
            elif "interactive-figure" in cell.metadata.get("tags", []) and "text/html" in data:
                picture, alt = STILL.search(data["text/html"]).groups()
                picture, alt = smaller(picture), html.unescape(alt)
            else:
                continue
            concepts, png = tuple(cell.metadata.get("concepts", ())), base64.b64decode(picture)
            place = path.stem, len(found) + 1, index, plain(heading)
            found.append(Figure(*place, alt.strip(), concepts, png, "image/png" not in data))
    return found


def contents(root):
    """{name: title} of the notebooks, in the order of _toc.yml."""
    toc = (root / "_toc.yml").read_text(encoding="utf-8")
    paths = [root / f"{name}.ipynb" for name in re.findall(r"\bfile: *(\S+)", toc)]
    titles = {}
    for path in paths:
        if path.is_file():
            first = nbformat.read(path, as_version=4).cells[0].source
            titles[path.stem] = re.search(r"^# (.*)", first, re.MULTILINE)[1]
    return titles


def split(alt):
    """`alt` in two: a start of about 100 characters, cut behind a sentence or else a word, and the rest."""
    if len(alt) <= 110:
        return alt, ""
    cut = re.match(r".{30,110}\.(?=\s)", alt) or re.match(r".{,100}(?=\s)", alt)
    return cut[0], alt[cut.end() :].strip()


def card(figure, title, svg=None):
    """One figure as HTML; `title` is that of its page where it is not the chapter's own."""
    say = html.escape
    start, rest = map(say, split(figure.alt))
    width, height = figure.size
    text = f"<details><summary>{start}</summary> {rest}</details>" if rest else f"<p>{start}</p>"
    where = ", ".join(filter(None, (say(title), "interactive" if figure.interactive else "")))
    where = f"<small>{where}</small>" if where else ""
    tags = " ".join(f"<li>{word}</li>" for word in figure.concepts)
    more = f' <a href="{svg}">SVG</a>' if svg else ""
    return (
        f'<li><a href="{figure.page}.html#{figure.anchor}"><img src="../_images/{figure.thumbnail}" '
        f'width="{width}" height="{height}" loading="lazy" alt="Figure {figure.number}: ">'
        f"<b>{say(figure.title)}</b></a> {where} {text} <ul>{tags}</ul> "
        f'<p><a href="../_images/{figure.picture}.png">PNG</a>{more}</p></li>'
    )


def tools(found):
    """The field, a button for each concept and the count. Without scripts the style sheet hides them."""
    counts = [(word, sum(word in figure.concepts for figure in found)) for word in CONCEPTS]
    chips = "".join(
        f'<button type="button" aria-pressed="false" value="{word}">{word} <small>{count}</small></button>'
        for word, count in counts
    )
    return (
        '<form id="gallery-filter" role="search" aria-label="Figures"><label for="gallery-find">Find figures'
        '</label><input id="gallery-find" type="search" autocomplete="off" spellcheck="false" '
        'aria-describedby="gallery-hint"><output for="gallery-find" aria-live="polite">'
        f'{len(found)} figures</output><small id="gallery-hint">Words of a title, an alt text or a concept, '
        "or <i>chapter 7</i>; all of them must fit. Escape shows everything again.</small>"
        f'<div role="group" aria-label="Concepts">{chips}</div></form>'
    )


def drawn(out):
    """{picture: path} of the SVGs that `make figures` has left beside the site in `out`."""
    return {path.stem: path for path in sorted((Path(out).parent / "figures").glob("*.svg"))}


class Gallery(SphinxDirective):
    """Every figure, by chapter."""

    def run(self):
        root, svgs = Path(self.env.srcdir), drawn(self.env.app.outdir)
        titles, found = contents(root), []
        for depends in [*(f"book/{page}.ipynb" for page in titles), "_toc.yml", "book/_ext/gallery.py"]:
            self.env.note_dependency(depends)
        for page in titles:
            found += figures(root / "book" / f"{page}.ipynb")
        for figure in found:
            for fault in figure.faults():
                LOGGER.warning(fault)
        parts = [nodes.raw("", tools(found), format="html")]
        for chapter, group in groupby(found, lambda figure: figure.chapter):
            core = chapter and next(page for page in titles if page.startswith(f"{chapter:02}_"))
            heading = f"{chapter}. {titles[core]}" if chapter else OTHERS
            cards = "".join(
                card(
                    figure,
                    titles[figure.page] if figure.page != core else "",
                    f"../figures/{figure.name}.svg" if figure.picture in svgs else None,
                )
                for figure in group
            )
            section = nodes.section(ids=[f"chapter-{chapter}" if chapter else "others"])
            section += nodes.title("", heading)
            section += nodes.raw("", f'<ul class="gallery">{cards}</ul>', format="html")
            parts.append(section)
        return parts


def give_anchors(app, doctree):
    """Give the cells of a notebook that show a figure the anchors to which the gallery links."""
    path = Path(app.srcdir) / f"{app.env.docname}.ipynb"
    if path.is_file():
        anchors = {figure.index: figure.anchor for figure in figures(path)}
        for cell in doctree.findall(nodes.container):
            if cell.get("nb_element") == "cell_code" and cell["cell_index"] in anchors:
                cell["ids"].append(anchors[cell["cell_index"]])


def load_filter(app, page, template, context, doctree):
    """The script and the style of this page, on no other page."""
    if page == PAGE:
        app.add_js_file("gallery.js", loading_method="defer")
        app.add_css_file("gallery.css")


def outdated(app, env, added, changed, removed):
    """The page is written again once other SVGs have been drawn."""
    before, env.gallery_svgs = getattr(env, "gallery_svgs", None), set(drawn(app.outdir))
    return [PAGE] if PAGE in env.all_docs and before != env.gallery_svgs else []


def write_thumbnail(figure, path):
    picture = Image.open(io.BytesIO(figure.png)).convert("RGB")
    picture.resize(figure.size, Image.Resampling.LANCZOS).save(path, "WebP", quality=THUMBNAIL[1], method=6)


def finish(app, exception):
    """Write the thumbnails, the stills, and the SVGs where there are any."""
    if exception or app.builder.format != "html":
        return
    root, out, svgs = Path(app.srcdir), Path(app.outdir), drawn(app.outdir)
    shutil.rmtree(out / "figures", ignore_errors=True)
    if svgs:
        (out / "figures").mkdir()
    for page in contents(root):
        for figure in figures(root / "book" / f"{page}.ipynb"):
            picture = out / "_images" / f"{figure.picture}.png"
            if not picture.exists():
                picture.write_bytes(figure.png)
            if not (small := out / "_images" / figure.thumbnail).exists():
                write_thumbnail(figure, small)
            if figure.picture in svgs:
                shutil.copyfile(svgs[figure.picture], out / "figures" / f"{figure.name}.svg")


def setup(app):
    app.add_directive("gallery", Gallery)
    app.connect("doctree-read", give_anchors)
    app.connect("html-page-context", load_filter)
    app.connect("env-get-outdated", outdated)
    app.connect("build-finished", finish, priority=800)  # before offline.py, which looks for unused pictures
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
