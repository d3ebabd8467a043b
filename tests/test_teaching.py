"""The pages for lecturers keep what they promise. Cheap: committed pages are read, nothing runs.

- The plans of book/lecturers.ipynb: each section's minutes by the book's rule (120 words a minute, 5 minutes
  an open proof, 1 minute a visible cell; folded proofs apart), each exercise's as its title says, right sums,
  no lecture above 90 minutes, and no chapter before those from which the map of the first page leads to it.
- The questions of book/exam.ipynb: kind, stars, points with the same sum in the solution, a folded solution,
  and a folded cell that claims something where the solution has a number; each decimal number of a solution
  in its question or in that cell; exams of eight questions and 90 points.
- book/misconceptions.md: every box "Common misconception" of the book, in its own words, with a link.

Each finder is seen red on planted faults.
"""

import functools
import itertools
import json
import re

import pytest
from test_book import BOOK, NO_WORDS

LECTURE = 90  # minutes
KINDS = {"Compute", "Prove", "Judge", "Judge a figure", "Judge a log", "Judge, and prove", "Find the bug"}
KINDS |= {"Find the bugs"}
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?")
FREE = {"vote", "vote again", "quiz", "town hall"}  # minutes as the lecturer likes, up to ten


def once(read):
    """`read`, which looks at a file once, whatever links lead to it."""
    kept = functools.cache(read)
    return lambda path: kept(path.resolve())


@once
def cells_of(path):
    """Kind, source, tags and what is printed, of each cell of a notebook."""
    return [
        (
            cell["cell_type"],
            "".join(cell["source"]),
            cell["metadata"].get("tags", []),
            "".join("".join(output.get("text", "")) for output in cell.get("outputs", [])),
        )
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]


def prose(path):
    return "\n\n".join(source for kind, source, *_ in cells_of(path) if kind == "markdown")


# ---- The plans


@once
def sections(path):
    """Minutes of each section of a chapter, by its heading: to the next heading of any level."""
    found, here = {}, None
    for kind, source, tags, _ in cells_of(path):
        if kind == "code":
            if here is not None:
                found[here] += not any(tag.startswith("hide") for tag in tags)
            continue
        for part in re.split(r"^(?=#{1,3} )", source, flags=re.MULTILINE):
            if heading := re.match(r"#{1,3} (.*)", part):
                here = heading[1].strip()
                found[here] = 0
            if here is None:
                continue
            for proof in re.findall(r"^:::+\{prf:proof\}.*?^:::", part, re.MULTILINE | re.DOTALL):
                folded = "dropdown" in proof
                part = part.replace(proof, "") if folded else part
                found[here] += 0 if folded else 5
            text = re.sub(NO_WORDS, " ", part, flags=re.DOTALL)
            found[here] += len(re.findall(r"[A-Za-z][A-Za-z'-]*", text)) / 120
    return found


@once
def exercises(path):
    """Minutes that the title of each exercise states, by its label."""
    titles = r":::\{exercise\} .*\((?:.*?)(\d+) minutes.*\)\n:label: (\S+)"
    return {label: int(minutes) for minutes, label in re.findall(titles, prose(path))}


def arrows(index):
    """Pairs (needed, needs) of pages from the map on the first page."""
    boxes = re.findall(
        r'href="(\w+)\.html"[^>]*><rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', index
    )

    def at(x, y):
        for page, left, top, width, height in boxes:
            if 0 <= x - int(left) <= int(width) and 0 <= y - int(top) <= int(height):
                return page
        raise AssertionError(f"no box at {x}, {y}")

    ways = re.findall(r'class="way" d="M(\d+) (\d+)[^"]*?(\d+) (\d+)"', index)
    return {(at(int(a), int(b)), at(int(c), int(d))) for a, b, c, d in ways}


def pages(book):
    """The page of each chapter, by its label."""
    first = ((path.stem, cells_of(path)[0][1]) for path in sorted(book.glob("[01]*.ipynb")))
    return {label[1]: page for page, text in first if (label := re.match(r"\((chapter-[\w-]+)\)=", text))}


def plans(book):
    """For each plan its rows: number, page or None (in its sum), items, minutes."""
    text, by_label = prose(book / "lecturers.ipynb"), pages(book)
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        name, rows = part.splitlines()[0].strip(), []
        for line in part.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if len(cells) == 4 and (home := re.fullmatch(r"\{(?:doc|numref)\}`.*?([\w-]+)>?`", cells[1])):
                page = by_label.get(home[1], home[1])
                rows.append((cells[0], page, cells[2].split("; "), int(cells[3])))
            elif len(cells) == 4 and cells[1] == "*together*":
                rows.append((cells[0], None, [], int(cells[3])))
        if rows:
            yield name, rows


def item_fault(item, page, book):
    """What is wrong with one item of a row, or None; and its minutes."""
    found = re.fullmatch(r"(.+) \((\d+)\)", item)
    if not found:
        return f"no minutes: {item!r}", 0
    what, minutes = found[1], int(found[2])
    if link := re.fullmatch(r"\[(.+)\]\((\w+)\.ipynb#\S+\)", what):
        true = sections(book / f"{link[2]}.ipynb").get(link[1])
        if link[2] != page or true is None:
            return f"{page} has no section {link[1]!r}", minutes
        if abs(minutes - true) > max(1.5, 0.15 * true):
            return f"{link[1]}: {minutes} minutes, and by the rule {true:.1f}", minutes
    elif label := re.fullmatch(r"\{ref\}`(\S+)`", what):
        if exercises(book / f"{page}.ipynb").get(label[1]) != minutes:
            return f"{label[1]} of {page} has not {minutes} minutes", minutes
    elif label := re.fullmatch(r"proof of \{prf:ref\}`(\S+)`", what):
        if f":label: {label[1]}\n" not in prose(book / f"{page}.ipynb") or not 5 <= minutes <= 15:
            return f"a proof of {label[1]} in {minutes} minutes, on {page}", minutes
    elif what not in FREE or not 0 < minutes <= 10:
        return f"neither section, exercise nor proof: {item!r}", minutes
    return None, minutes


def plan_faults(book):
    needs = arrows((book / "index.md").read_text(encoding="utf-8"))
    for plan, rows in plans(book):
        seen, total = set(), 0
        for number, page, items, minutes in rows:
            where = f"{plan}, lecture {number}, {page or 'together'}"
            if page is None:
                if minutes != total:
                    yield f"{where}: {minutes}, and the rows have {total}"
                if total > LECTURE:
                    yield f"{where}: {total} minutes, at most {LECTURE}"
                total = 0
                continue
            judged = [item_fault(item, page, book) for item in items]
            yield from (f"{where}: {fault}" for fault, _ in judged if fault)
            if sum(one for _, one in judged) != minutes:
                yield f"{where}: {minutes}, and its items have {sum(one for _, one in judged)}"
            yield from (f"{where}: needs {a} before" for a, b in sorted(needs) if b == page and a not in seen)
            seen.add(page)
            total += minutes
        if total:
            yield f"{plan}: {total} minutes after the last sum"


def test_plans():
    assert [name for name, _ in plans(BOOK)] == ["One evening", "Six lectures", "Twelve lectures"]
    sums = [sum(page is None for _, page, _, _ in rows) for _, rows in plans(BOOK)]
    assert sums == [2, 6, 12]
    assert list(plan_faults(BOOK)) == []


def test_a_page_states_its_minutes_by_the_rule():
    """Within 12: pages round up by five, and chapter 16 names fifteen for two tables."""
    for path in sorted(BOOK.glob("[01]*.ipynb")):
        stated = int(re.search(r"\*\*Time\.\*\* (?:About )?(\d+) minutes", prose(path))[1])
        lecture = itertools.takewhile(
            lambda item: item[0] not in ("Exercises", "Quiz"), sections(path).items()
        )
        assert abs(stated - sum(minutes for _, minutes in lecture)) < 12, path.stem


def test_map_has_its_arrows():
    needs = arrows((BOOK / "index.md").read_text(encoding="utf-8"))
    assert len(needs) == 18
    assert {("01_divergences", "02_parallel_lines"), ("11_gradient_penalty", "14_results")} <= needs


# ---- The exam


def questions(book):
    """Number, title, stars, points, kind, text, and the cell below with its tags, of each question."""
    cells = cells_of(book / "exam.ipynb")
    head = r"^### (\d+)\. (.+?) (★{1,3}) \((\d+) points\)\n\n\*(.+?)\.\*"
    for here, (kind, source, *_) in enumerate(cells):
        if kind == "markdown" and (start := re.search(head, source, re.MULTILINE)):
            home = here
            if [one for one, *_ in cells[here : here + 3]] == ["markdown", "code", "markdown"]:
                after = cells[here + 2][1]
                if "\n### " not in f"\n{after}":  # a figure stands between the question and its solution
                    home, source = here + 2, source + after
            _, code, tags, printed = cells[home + 1] if home + 1 < len(cells) else ("", "", [], "")
            yield (*start.groups(), source, code, tags, printed)


def exam_faults(book):
    points = {}
    for number, title, _, worth, kind, text, code, tags, printed in questions(book):
        where = f"{number}. {title}"
        points[number] = int(worth)
        solution = re.search(r":::\{admonition\} Solution\n:class: dropdown\n(.*?)\n:::", text, re.DOTALL)
        if kind not in KINDS:
            yield f"{where}: of no kind, {kind!r}"
        if not solution:
            yield f"{where}: no folded solution"
            continue
        parts = sum(map(int, re.findall(r"\((\d+) points\)", solution[1])))
        if parts != int(worth):
            yield f"{where}: {worth} points, and its solution has {parts}"
        needed = re.search(r"\d", re.sub(r"^\d\. |\(\d+ points\)", "", solution[1], flags=re.MULTILINE))
        if needed and not ("claim(" in code and "hide-cell" in tags):
            yield f"{where}: a number in the solution, and no folded claim below it"
        seen = [float(one) for one in NUMBER.findall(f"{text[: solution.start()]} {code} {printed}")]
        for one in NUMBER.findall(solution[1]):
            last = 10.0 ** -len(one.partition(".")[2])
            if "." in one and not any(abs(float(one) - other) <= 0.5000001 * last for other in seen):
                yield f"{where}: {one} is in the solution alone"
    if list(points) != [str(n) for n in range(1, len(points) + 1)]:
        yield f"the questions are numbered {list(points)}"
    exams = re.findall(r"^\| ([\w ]+) \| (\{ref\}.*) \| (\d+) \|$", prose(book / "exam.ipynb"), re.MULTILINE)
    if len(exams) != 3:
        yield f"{len(exams)} exams, not three"
    for name, row, total in exams:
        chosen = re.findall(r"`(\d+) <exam-\1>`", row)
        if len(chosen) != 8 or not sum(points.get(n, 0) for n in chosen) == int(total) == LECTURE:
            yield f"{name}: {len(chosen)} questions with {sum(points.get(n, 0) for n in chosen)} points"


def test_exam():
    asked = list(questions(BOOK))
    assert list(exam_faults(BOOK)) == []
    assert len(asked) >= 40
    kinds = [kind.split(",")[0].split(" a ")[0].replace("bugs", "bug") for _, _, _, _, kind, *_ in asked]
    assert min(kinds.count(kind) for kind in ("Compute", "Prove", "Judge", "Find the bug")) >= 6
    homes = re.findall(r"^With \{doc\}`(\d\d)_\w+`\.$", prose(BOOK / "exam.ipynb"), re.MULTILINE)
    assert homes == [f"{n:02}" for n in range(1, 17)]


# ---- What students get wrong


def boxes(book):
    """Pairs (page, wrong sentence) of all boxes "Common misconception"."""
    for path in sorted([*book.glob("*.ipynb"), *book.glob("*.md")]):
        text = prose(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
        for sentence in re.findall(r'^:::+\{admonition\} Common misconception: "(.+)"$', text, re.MULTILINE):
            yield path.stem, sentence


def misconception_faults(book):
    text = (book / "misconceptions.md").read_text(encoding="utf-8")
    said = dict(re.findall(r'^"(.+)"\n((?:: .*\n?)+)', text, re.MULTILINE))
    for page, sentence in boxes(book):
        lines = said.pop(sentence, None)
        if lines is None:
            yield f"{page}: not there: {sentence}"
        elif [line[:6] for line in lines.splitlines()] != [": *Rig", ": *Sho", ": *In "]:
            yield f"{page}: not right, place and class: {sentence}"
        elif not re.search(rf"\]\({page}\.ipynb#|\{{doc\}}`{page}`", lines.splitlines()[1]):
            yield f"{page}: not linked: {sentence}"
    yield from (f"in no box: {sentence}" for sentence in said)


def test_misconceptions():
    assert len(list(boxes(BOOK))) >= 30
    assert list(misconception_faults(BOOK)) == []


# ---- and each finder is seen red

FINDERS = {
    "lecturers.ipynb": plan_faults,
    "exam.ipynb": exam_faults,
    "misconceptions.md": misconception_faults,
}
PLANTED = [
    (
        "lecturers.ipynb",
        "discriminator-measures) (11)",
        "discriminator-measures) (13)",
        "by the rule 10.6",
    ),
    ("lecturers.ipynb", "[The picture](02", "[A picture](02", "no section 'A picture'"),
    ("lecturers.ipynb", "{ref}`ex-01-1` (5)", "{ref}`ex-01-1` (10)", "ex-01-1 of 01_divergences has not 10"),
    ("lecturers.ipynb", "`thm-11-bias` (15)", "`thm-11-bia` (15)", "a proof of thm-11-bia"),
    ("lecturers.ipynb", "; town hall (10)", "; tea (10)", "neither section, exercise nor proof: 'tea (10)'"),
    ("lecturers.ipynb", " | 86 |", " | 85 |", "85, and the rows have 86"),
    ("lecturers.ipynb", "vote (5)", "vote (10)", "its items have"),
    ("lecturers.ipynb", "<chapter-earth-mover>` |", "<chapter-remedies>` |", "needs 04_dynamics before"),
    ("exam.ipynb", "★ (10 points)", "★ (15 points)", "15 points, and its solution has 10"),
    ("exam.ipynb", "*Compute.*", "*Think.*", "of no kind, 'Think'"),
    ("exam.ipynb", "{admonition} Solution", "{admonition} Answer", "no folded solution"),
    ("exam.ipynb", "{ref}`1 <exam-1>`", "{ref}`5 <exam-5>`", "8 questions with 85 points"),
    ("exam.ipynb", "\\\\ln 2 = 0.1308$", "\\\\ln 2 = 0.1318$", "0.1318 is in the solution alone"),
    ("exam.ipynb", "### 2. ", "### 3. ", "the questions are numbered"),
    ("exam.ipynb", '"hide-cell"', '"keep"', "no folded claim below it"),
    ("misconceptions.md", '"JS lies between', '"JS lies within', "in no box: JS lies within 0 and 1"),
    ("misconceptions.md", "(01_divergences.ipynb#two", "(02.ipynb#two", "not linked: $N(0, 1)$"),
    ("misconceptions.md", ": *In class.* Write", ": Write", "not right, place and class: JS lies"),
]


@pytest.mark.parametrize(("page", "before", "after", "fault"), PLANTED, ids=lambda text: text[:24])
def test_a_planted_fault_is_found(page, before, after, fault, tmp_path):
    for path in (*BOOK.glob("*.ipynb"), *BOOK.glob("*.md")):
        if path.name != page:
            (tmp_path / path.name).symlink_to(path)
    text = (BOOK / page).read_text(encoding="utf-8")
    assert before in text
    (tmp_path / page).write_text(text.replace(before, after, 1), encoding="utf-8")
    assert any(fault in one for one in FINDERS[page](tmp_path))
