"""The book as a PDF (`make pdf`): contents, bookmarks, links and the width of its paper.

The slow tests make it of the built site, with Chromium, in some minutes. What finds its faults is seen red.
"""

import html
import re
import subprocess
import sys
from pathlib import Path

import pypdf
import pytest
import test_browser
import yaml
from test_book import load

ROOT = Path(__file__).resolve().parents[1]
pdf = load(ROOT / "book" / "_teach" / "pdf.py")
NAMES = [name for _, _, name in pdf.pages()]
LARGEST = 15_000_000  # bytes


def test_pages_are_those_of_the_table_of_contents():
    listed = re.findall(r"(?:file|root): (?:book/)?(\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
    assert [name.removeprefix("book/") for name in listed] == NAMES
    parts = [part for part, *_ in pdf.pages() if part]
    assert parts == [part["caption"] for part in yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ('<a href="#here">', '<a href="#a--here">'),
        ('<a href="b.html">', '<a href="#b">'),
        ('<a href="b.html#there">', '<a href="#b--there">'),
        ('<a href="https://example.org/b.html#x">', '<a href="https://example.org/b.html#x">'),
        ('<a href="../lab.html#preset=x">', '<a class="no-link">'),
        ('<p id="here">', '<p id="a--here">'),
        ('<img src="../_images/x.png">', '<img src="html/_images/x.png">'),
        ("<script>\nlet x;\n</script>", ""),
    ],
)
def test_a_page_becomes_a_part_of_one_document(written, shown):
    page = f'<html><article class="bd-article">{written}</article></html>'
    assert pdf.article(page, "a", {"a", "b"}) == shown


def test_the_lab_has_its_address_where_the_book_has_one():
    page = '<article class="bd-article"><a href="../lab.html#x"></article>'
    assert 'href="https://example.org/lab.html#x"' in pdf.article(page, "a", {"a"}, "https://example.org")


# ---- Planted faults

PAGE = """<!doctype html><style>body {{margin: 0}} pre {{overflow: auto}}</style><script>
window.MathJax = {{startup: {{}}, typesetPromise: async () => {{}}}};</script>
<nav class="book-contents"></nav><section class="page depth1" id="planted" data-part="" data-title="Planted">
<article>{}</article></section>"""
PLANTED = {
    "planted: <table> reaches from 0 to 900 of 650: wide": "<table style='width: 900px'><td>wide</table>",
    "planted: <img> reaches from -9 to ": '<img style="margin-left: -9px" width="20" src="dot.svg">',
    "planted: <pre> hides ": f"<pre>{'x' * 200}</pre>",
    "planted: formula not typeset: x": '<span class="math">x</span>',
    "planted: formula with an error: bad": "<p><mjx-container><mjx-merror>bad</mjx-merror></mjx-container>",
    "planted: picture not loaded: ": '<img src="missing.png">',
    r"planted: raw TeX: a \(b\)": r"<p>a \(b\)</p>",
    "planted: #nowhere is not there": '<a href="#nowhere">x</a>',
}


browser = test_browser.browser


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_said_with_its_page(browser, tmp_path, fault):
    test_browser.plant(tmp_path, "")  # a picture, too
    (tmp_path / "book.html").write_text(PAGE.format(PLANTED[fault]))
    with pytest.raises(SystemExit, match=re.escape(fault)):
        pdf.opened(browser, tmp_path / "book.html")


@pytest.mark.slow
@pytest.mark.browser
def test_a_page_that_fits_has_no_fault(browser, tmp_path):
    body = "<h2>A <i>b</i></h2><table style='width: 640px'><td>x</table><h3 id='c'>C</h3>"
    (tmp_path / "book.html").write_text(PAGE.format(body))
    _, bookmarks = pdf.opened(browser, tmp_path / "book.html")
    assert [(depth, title) for depth, title, _ in bookmarks] == [(1, "Planted"), (3, "A b"), (4, "C")]


# ---- The book


@pytest.fixture(scope="module")
def book():
    """The PDF, made anew."""
    test_browser.require_site()
    if test_browser.chromium() is None:
        pytest.skip("NO CHROMIUM: the PDF was not made.")
    made = subprocess.run([sys.executable, pdf.__file__], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    print(made.stdout)
    return pypdf.PdfReader(ROOT / "_build" / "wganlab.pdf")


def listed(outline, above=()):
    """(titles down to it, item) of each bookmark."""
    titles = above
    for item in outline:
        if isinstance(item, list):
            yield from listed(item, titles)
        else:
            titles = (*above, item.title)
            yield titles, item


def titles_of(site):
    for name in NAMES:
        source = (site / "book" / f"{name}.html").read_text(encoding="utf-8")
        yield name, html.unescape(re.search("<title>(.*?) &#8212; ", source)[1])


@pytest.mark.slow
@pytest.mark.browser
def test_bookmarks_hold_parts_chapters_and_sections(book):
    places = pdf.places_of(book)
    found = {titles: book.get_destination_page_number(item) + 1 for titles, item in listed(book.outline)}
    part = chapter = None
    for (caption, depth, _), (name, title) in zip(pdf.pages(), titles_of(test_browser.SITE), strict=True):
        part, chapter = caption or part, title if depth == 1 else chapter
        path = ("About this book",) if name == "index" else tuple(dict.fromkeys((part, chapter, title)))
        assert found[path] == places[name], path
    assert {len(titles) for titles in found} == {1, 2, 3, 4, 5}
    assert len(found) >= 600


@pytest.mark.slow
@pytest.mark.browser
def test_contents_say_the_page_of_each_chapter(book):
    pages, places = list(titles_of(test_browser.SITE)), pdf.places_of(book)
    front = "\n".join(
        page.extract_text(extraction_mode="layout") for page in book.pages[1 : places["index"] - 1]
    )
    rows = [re.sub(r"\s+", " ", row).strip() for row in front.split("\n")]
    for name, title in pages[1:]:
        assert any(row == f"{title} {places[name]}" for row in rows), (title, places[name])
    assert f"About this book {places['index']}" in rows
    assert [places[name] for name in NAMES] == sorted({places[name] for name in NAMES})


@pytest.mark.slow
@pytest.mark.browser
def test_links_lead_to_places_of_the_book_or_out_of_it(book):
    inside, outside = [], []
    for page in book.pages:
        for link in page.get("/Annots", ()):
            link = link.get_object()
            if "/Dest" in link:
                inside.append(link["/Dest"])
            else:
                outside.append(link["/A"]["/URI"])
    assert len(inside) > 2500
    assert set(inside) <= set(book.named_destinations)
    assert all(address.startswith(("http://", "https://")) for address in outside)


@pytest.mark.slow
@pytest.mark.browser
def test_its_pages(book):
    assert 700 <= len(book.pages) <= 1000
    assert (ROOT / "_build" / "wganlab.pdf").stat().st_size <= LARGEST
    assert {tuple(map(round, page.mediabox[2:])) for page in book.pages} == {(595, 842)}  # A4 in points
    number, _, date = pdf.version()
    assert number in book.pages[0].extract_text()
    assert book.metadata.creation_date.date() == book.metadata.modification_date.date() == date


@pytest.mark.slow
@pytest.mark.browser
def test_no_heading_stands_alone_at_the_foot(book):
    """Two lines have room below each. Chromium gives the places in points, too high by the upper margin."""
    foot, head, two_lines = 57, 62, 30
    below = {}
    for name in NAMES:
        source = (test_browser.SITE / "book" / f"{name}.html").read_text(encoding="utf-8")
        for label in re.findall(r'<section[^>]* id="([^"]+)"', source):
            if place := book.named_destinations.get(f"/{name}--{label}"):
                below[f"{name}--{label}"] = place.top - head - foot
    assert len(below) > 700
    assert [label for label, room in below.items() if room < two_lines] == []


@pytest.mark.slow
@pytest.mark.browser
def test_first_and_last_theorem_are_in_it(book):
    sources = {name: (test_browser.SITE / "book" / f"{name}.html").read_text() for name in NAMES}
    theorems = [
        (name, *found)
        for name, source in sources.items()
        for found in re.findall(
            r'id="([^"]+)">\s*<p class="admonition-title"><span class="caption-number">(Theorem [\d.]+)',
            source,
        )
    ]
    places = pdf.places_of(book)
    for name, label, theorem in (theorems[0], theorems[-1]):
        page = places.get(f"{name}--{label}") or places[name]
        text = "".join(
            book.pages[k].extract_text()
            for k in range(page - 1, page + (1 if f"{name}--{label}" in places else 12))
        )
        assert theorem in text


def test_a_page_that_is_not_there_is_refused():
    with pytest.raises(SystemExit, match="_toc.yml has no page 07_dualty"):
        pdf.main(["07_dualty"])
