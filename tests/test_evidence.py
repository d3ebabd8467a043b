"""The table of empirical sentences, book/_evidence/*.csv: each is on its page, and its numbers in its cell.

A row is a sentence of a page (or the part of it that says what was found), a line of output that it rests on,
the number of seeds (0: nothing random is trained there), the effect, and its spread. `cell` is a text that
stands in the output of exactly one cell of the page. The finders are seen red on planted rows.
"""

import csv
import json
import re
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[1] / "book"
TABLES = sorted((BOOK / "_evidence").glob("*.csv"))
COLUMNS = ["page", "sentence", "cell", "seeds", "effect", "spread"]
NUMBER = re.compile(r"(?<![\w.])[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
ONE_RUN = re.compile(r"\bone (?:\w+ )?(run|seed)\b", re.IGNORECASE)
# The pages whose every cell must be named.
TRAINED = tuple(f"{n:02}_" for n in (3, 4, 5, *range(9, 17)))


def output_of(cell):
    parts = (o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in cell.get("outputs", []))
    return "".join("".join(part) for part in parts)


def page_of(name):
    cells = json.loads((BOOK / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    prose = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return prose, [output_of(cell) for cell in cells if cell["cell_type"] == "code"]


def plain(text):
    return " ".join(text.split())


def numbers(text):
    return [
        (float(found), found)
        for found in (one.replace(",", "").replace("−", "-") for one in NUMBER.findall(text))
    ]


def near(number, written, others):
    """`number`, as it is `written`, is one of `others`: rounded to its last digit, or to 5 %."""
    digits = len(written.partition("e")[0].partition(".")[2])
    power = int(written.partition("e")[2] or 0)
    slack = max(0.5000001 * 10.0 ** (power - digits), 0.05 * abs(number))
    return any(abs(number - other) <= slack for other, _ in others)


def faults_of(row, prose, outputs):
    sentence, cell = plain(row["sentence"]), plain(row["cell"])
    paragraphs = [plain(part) for text in prose for part in re.split(r"\n\s*\n", text)]
    homes = [part for part in paragraphs if sentence in part]
    found = [text for text in outputs if cell in plain(text)]
    if len(sentence) < 15 or not homes:
        yield f"no such sentence: {sentence!r}"
    if len(cell) < 6 or len(found) != 1:
        yield f"{len(found)} cells print {cell!r}"
    if not re.fullmatch(r"\d+", row["seeds"]):
        yield f"seeds: {row['seeds']!r}"
    elif row["seeds"] == "1" and homes and not any(ONE_RUN.search(part) for part in homes):
        yield f"rests on one run and does not say so: {sentence!r}"
    if not NUMBER.search(row["effect"]):
        yield f"no number in the effect {row['effect']!r}"
    if row["seeds"] not in ("0", "1") and not row["spread"].strip():
        yield f"{row['seeds']} seeds and no spread: {sentence!r}"
    for number, written in numbers(row["effect"]) + numbers(row["spread"]):
        if found and not near(number, written, numbers(found[0])):
            yield f"{written} is not printed by {cell!r}"


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        assert table.fieldnames == COLUMNS
        return list(table)


@pytest.mark.parametrize("path", TABLES, ids=[path.stem for path in TABLES])
def test_each_sentence_rests_on_the_cell_it_names(path):
    faults = []
    for row in rows_of(path):
        try:
            faults += [f"{row['page']}: {fault}" for fault in faults_of(row, *page_of(row["page"]))]
        except FileNotFoundError:
            faults.append(f"no page {row['page']}")
    assert not faults, "\n".join(["", *faults])


def unnamed(outputs, named):
    """The first lines of cells that print a number which may differ between machines and are in no row."""
    return [
        text.strip().splitlines()[0]
        for text in outputs
        if "≈" in text and not any(plain(cell) in plain(text) for cell in named)
    ]


def test_no_measured_number_is_without_a_row():
    rows = [row for path in TABLES for row in rows_of(path)]
    faults = []
    for path in sorted(BOOK.glob("*.ipynb")):
        if path.stem.startswith(TRAINED):
            named = [row["cell"] for row in rows if row["page"] == path.stem]
            faults += [f"{path.stem}: {line}" for line in unnamed(page_of(path.stem)[1], named)]
    assert not faults, "\n".join(["", *faults])


# ---- Each finder is seen red

PROSE = ["Text.\n\nAfter one run the critic reports 6.00, six times the distance."]
OUTPUTS = ["estimate: ≈ 6.002   (claimed: 6 up to 0.1)\n", "W1: 1\n"]
RIGHT = {
    "page": "11_x",
    "sentence": "the critic reports 6.00",
    "cell": "estimate: ≈",
    "seeds": "1",
    "effect": "6.00",
    "spread": "",
}


def test_a_right_row_is_right():
    assert list(faults_of(RIGHT, PROSE, OUTPUTS)) == []
    assert unnamed(OUTPUTS, ["estimate: ≈"]) == []
    assert unnamed(OUTPUTS, ["W1: 1"]) == ["estimate: ≈ 6.002   (claimed: 6 up to 0.1)"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sentence": "the critic reports 6.50"}, "no such sentence"),
        ({"cell": "estimates: ≈"}, "0 cells print"),
        ({"seeds": "some"}, "seeds: 'some'"),
        ({"effect": "six"}, "no number in the effect"),
        ({"effect": "7.00"}, "7.00 is not printed"),
        ({"seeds": "3", "spread": ""}, "3 seeds and no spread"),
        ({"seeds": "3", "spread": "5.1 to 6.0"}, "5.1 is not printed"),
    ],
)
def test_a_planted_fault_is_found(change, said):
    assert any(said in fault for fault in faults_of(RIGHT | change, PROSE, OUTPUTS))


def test_one_run_must_be_called_one():
    assert any("does not say so" in fault for fault in faults_of(RIGHT, ["the critic reports 6.00"], OUTPUTS))
