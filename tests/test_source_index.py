"""The page book/source_index.md: no item of the four texts is missing, and each row's place is there.

Each row ends its first cell with the item's codes in a comment, which readers do not see. `ITEMS` is the
committed list of them, text by text: F a formula, E a worked example, A an algorithm, N a network, T a trick,
G data, a figure, a claim or a system, and I all else in the order of the text. The finders are seen red on
planted rows.
"""

import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from wganlab.__main__ import parser
from wganlab.mistakes import ZOO

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
PAGE = (BOOK / "source_index.md").read_text(encoding="utf-8")
ITEMS = {  # the key of the text, and its items
    "weng2017": "F1-10 F13-16 F18 F25-26 E1-5 E8-9 A1 N4 T1-8 G2 G6.1-10 G9 G12-13 G15.1-4 I1-29",
    "cheng2017": "F5 F8-9 F13 F18-21 A1-2 A6 T9 G3-4 G7 G11 I1-11",
    "larson": "F8-9 F11 F13 F15 F18-19 F21-24 F27 E6-7 A5 N5-8 T9-10 G1 G3-4 G8 G10 G15-16 I1-14",
    "wganblog2022": "F3 F9 F12-13 F17-19 E2 A1-4 N1-3 G1 G5 G14 I1-12",
    "arjovsky2017": "A7 N9-10",  # what the texts leave to the papers' own code
}
# Pages of the last chapters: a row may name one in plain code as long as there is no such page.
COMING = set()

CODES = re.compile(r" <!-- ([A-Z0-9. ]+) -->$")
TARGET = re.compile(r"\{(prf:ref|ref|eq|doc|numref|cite:t)\}`(?:[^`<]*<)?([^`<>]+)>?`")
SPAN = re.compile(r"`([^`]+)`")


def spelt_out(items):
    """["F1", "F2", "E2.1"] from "F1-2 E2.1"."""
    for item in items.split():
        head, first, last = re.fullmatch(r"([A-Z](?:\d+\.)?)(\d+)(?:-(\d+))?", item).groups()
        yield from (f"{head}{number}" for number in range(int(first), int(last or first) + 1))


def prose(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


class Book:
    """Where each label, heading and page of a folder is."""

    def __init__(self, folder):
        pages = [*folder.glob("*.md"), *folder.glob("*.ipynb")]
        self.text = {path.stem: prose(path) for path in pages if path.stem != "source_index"}
        self.page_of = {
            label: page
            for page, text in self.text.items()
            for found in re.findall(
                r"^\(([\w-]+)\)=$|^:label: +([\w-]+)$|^\$\$ \(([\w-]+)\)$", text, re.MULTILINE
            )
            for label in found
            if label
        }

    def titles(self, page):
        """Headings, and the bold words that a paragraph begins with, without their full stop."""
        return re.findall(r"^#+ (.+?) *$|^\*\*([^*]+?)\.?\*\*", self.text[page], re.MULTILINE)


def rows_of(text):
    """(key of the text, item, place, package) for each row of the page's tables."""
    key = None
    for line in text.splitlines():
        if cited := re.match(r"\{cite:t\}`(\w+)`", line):
            key = cited[1]
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if cells and cells[0] != "Item" and not re.fullmatch(r"\*\*.+\*\*", cells[0]):
            yield key, cells[0], *[cell.strip("| ") for cell in (*cells[1:], "", "")][:2]


def missing(rows, items):
    """Items that are in no row, or in several, or in the wrong text; and rows without one."""
    found = [(key, code) for key, item, *_ in rows for codes in CODES.findall(item) for code in codes.split()]
    listed = [(key, code) for key, some in items.items() for code in spelt_out(some)]
    yield from (f"{key}: {item!r} has no code" for key, item, *_ in rows if not CODES.search(item))
    yield from (f"{key}: no row for {code}" for key, code in listed if (key, code) not in found)
    yield from (f"{key}: {code} is not listed" for key, code in found if (key, code) not in listed)
    yield from (f"{key}: {code} twice" for key, code in set(found) if found.count((key, code)) > 1)


def in_place(place, book):
    """What is wrong with the place of a row."""
    pages, somewhere = set(), bool(re.search(r"left out: \w+ \w+", place))
    for role, name in TARGET.findall(place):
        page = name if role == "doc" else book.page_of.get(name)
        somewhere |= page in book.text
        pages.add(page)
        if page not in book.text:
            yield f"nothing is called {name!r}"
    rest = TARGET.sub("", place)
    for title in re.findall(r'"([^"]+)"', SPAN.sub("", rest)):
        if not any(title in found for page in pages & set(book.text) for found in book.titles(page)):
            yield f"no section {title!r} on {sorted(map(str, pages))}"
    for span in SPAN.findall(rest):
        if entry := re.fullmatch(r'ZOO\["([\w-]+)"\]', span):
            known = entry[1] in ZOO
        else:
            known = span in COMING and span not in book.text
        somewhere |= known
        if not known:
            yield f"{span!r} is no bug, and no page to come"
    if not somewhere:
        yield f"no place: {place!r}"


def in_package(cell):
    """What is wrong with the last cell of a row."""
    if SPAN.sub("", cell).strip(", "):
        yield f"more than names and commands: {cell!r}"
    for span in SPAN.findall(cell):
        words = shlex.split(span)
        try:
            if words[0] == "wganlab":
                parser().parse_args(words[1:])
            elif words[0] == "python":
                assert (ROOT / words[1]).is_file()
            else:
                module, _, name = f"wganlab.{span}".rpartition(".")
                getattr(import_module(module), name)
        except (SystemExit, AssertionError, ImportError, AttributeError):
            yield f"there is no {span!r}"


def faults(text, book, items=ITEMS):
    rows = list(rows_of(text))
    yield from missing(rows, items)
    for key, item, place, package in rows:
        yield from (f"{key}, {item}: {fault}" for fault in (*in_place(place, book), *in_package(package)))


@pytest.fixture(scope="module")
def book():
    return Book(BOOK)


def test_each_item_has_a_place(book):
    found = list(faults(PAGE, book))
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("| KL, as an integral <!-- F1 --> |", "|", "no row for F1"),
        (" <!-- F2 -->", "", "has no code"),
        (" <!-- F2 -->", " <!-- F2 F1 -->", "F1 twice"),
        (" <!-- F2 -->", " <!-- F2 F27 -->", "F27 is not listed"),
        ("{prf:ref}`thm-01-gibbs`", "", "no place"),
        ("{prf:ref}`thm-01-gibbs`", "a theorem", "no place"),
        ("{prf:ref}`thm-01-gibbs`", "{prf:ref}`thm-01-gibs`", "nothing is called 'thm-01-gibs'"),
        ("{eq}`eq-06-delta`", "{eq}`eq-06-epsilon`", "nothing is called 'eq-06-epsilon'"),
        ("{doc}`10_clipping`", "{doc}`10_snipping`", "nothing is called '10_snipping'"),
        ('"Thin supports" in', '"Thick supports" in', "no section 'Thick supports'"),
        ('ZOO["mixes-rows"]', 'ZOO["mixed-rows"]', "is no bug"),
        ("left out: we have not read it", "left out", "no place"),
        ("`divergences.kl`", "`divergences.kullback`", "there is no 'divergences.kullback'"),
        ("--data cifar10", "--data cifar", "there is no 'wganlab train runs/cifar"),
        ("data/make_modes.py", "data/make_mode.py", "there is no 'python data/make_mode.py'"),
    ],
)
def test_a_planted_fault_is_found(before, after, said, book):
    assert before in PAGE
    assert any(said in fault for fault in faults(PAGE.replace(before, after), book))


def test_a_page_that_has_come_is_linked(book):
    """A row that still names it in plain code, where a link would lead there, is a fault."""
    come = Book(BOOK)
    come.text |= dict.fromkeys(COMING, "")
    named = {page for page in COMING if f"`{page}`" in PAGE}
    assert {page for page in COMING if any(repr(page) in fault for fault in faults(PAGE, come))} == named
