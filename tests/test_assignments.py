"""Assignments made from the book's code exercises, and the marks that the real nbgrader gives for them."""

import csv
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_browser import require_site
from wrong_answers import SHARES, WRONG

ROOT = Path(__file__).resolve().parents[1]
TEACH = ROOT / ".venv-teach" / "bin"


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "book" / "_teach" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


assignments = load("assignments")


@pytest.fixture(scope="module")
def book():
    """The code exercises of the book, by label."""
    return {one.label: one for _, found in assignments.pages() for one in found}


# ---- the book's exercises


def test_every_code_exercise_of_the_book_is_found(book):
    asked = []
    for path in assignments.BOOK.glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        asked += [part.split("\n:::\n")[0] for part in text.split(":::{exercise}")[1:]]
    assert len(asked) == 174
    assert len(book) == sum("```python" in part for part in asked) == 38


def test_each_has_checker_decoys_solution_minutes_and_points(book):
    for one in book.values():
        assert one.points == {5: 1, 10: 2, 15: 3, 20: 4, 30: 6, 40: 8}[one.minutes]
        assert one.checker or "audit" in one.check
        assert one.decoys
        assert set(one.names) <= {name for part in one.answer for name in part.binds}
        assert len([pair for pair in one.decoys if pair != ("",)]) + len(WRONG.get(one.label, [])) >= 3


def test_no_solution_is_among_what_a_student_gets(book):
    for one in book.values():
        given = assignments.joined(one.setup + one.checker)
        assert not any(re.search(rf"^def {name}\b|^{name} =", given, re.MULTILINE) for name in one.names)


# ---- planted faults


STATEMENT = """:::{exercise} Twice ★★ (15 minutes)
:label: ex-t
Write it. Then call `check_twice(twice)`.

```python
def twice(x):
    ...
```
:::"""


def page(statement=STATEMENT, solution=":::{solution} ex-t\n:label: s\nAdd.\n:::", hidden=None, shown=None):
    """A page with one exercise."""
    checker = (
        "def check_twice(candidate):\n"
        "    right = np.allclose(candidate(times), TWO * times)\n"
        '    return f"{candidate.__name__}: " + ("right" if right else "not yet")\n\n\n'
        "def same(x):\n    return x\n\n\nprint(check_twice(same))"
    )
    seen = [new_output("stream", text="same: not yet\n" if shown is None else shown)]
    hidden = "def twice(x):\n    return x + x\n\n\nprint(check_twice(twice))" if hidden is None else hidden
    return new_notebook(
        cells=[
            new_code_cell("import numpy as np\nimport math\n"),
            new_code_cell(
                "times = [1]\ntimes.append(2)\ntimes = np.array(times)\nTWO = 3\nTWO -= 1\nlost = times + 1"
            ),
            new_markdown_cell(statement),
            new_code_cell(checker, outputs=seen, metadata={"tags": ["hide-input"]}),
            new_markdown_cell(solution),
            new_code_cell(hidden, metadata={"tags": ["hide-cell"]}),
        ]
    )


def test_an_exercise_brings_what_it_needs_and_no_more():
    [one] = assignments.exercises(page(), "a.ipynb")
    lines = ["import numpy as np", "import math", "times = [1]", "times.append(2)", "times = np.array(times)"]
    assert [part.text for part in one.setup] == [*lines, "TWO = 3", "TWO -= 1"]
    assert (one.minutes, one.stars, one.points, one.check) == (15, "★★", 3, "check_twice(twice)")
    assert assignments.answered(one).split("\n") == [
        "def twice(x):",
        "    ### BEGIN SOLUTION",
        "    return x + x",
        "    ### END SOLUTION",
    ]


FAULTS = {
    r"tag of ':::\{exercse\} Twice.* broken": page(STATEMENT.replace("{exercise}", "{exercse}")),
    r"tag of '::\{exercise\} Twice.* broken": page(STATEMENT[1:]),
    r"tag of ':::\{exercise\} Twice .* broken": page(STATEMENT[:-3]),
    r"'Twice ★★ \(15 minutes\)' has no :label:": page(STATEMENT.replace(":label: ex-t\n", "")),
    r"'Twice ★★' must read: title, one to three ★, and its minutes": page(
        STATEMENT.replace(" (15 minutes)", "")
    ),
    r"'Twice \(15 minutes\)' must read": page(STATEMENT.replace(" ★★", "")),
    r"ex-t names a checker and has no ```python stub": page(
        re.sub(r"```.*```\n", "", STATEMENT, flags=re.DOTALL)
    ),
    r"ex-t has no solution below it": page(solution="No more."),
    r"ex-t has no solution that defines twice": page(hidden="def double(x):\n    return x + x"),
    r"ex-t has no checker": page(hidden="def twice(x):\n    return x + x"),
    r"ex-t has no wrong answer that its checker refuses": page(shown="same: right\n"),
    r"ex-t needs 'Nobody', which no code cell above it": page(
        hidden="def twice(x):\n    return Nobody.of(x)\n\n\nprint(check_twice(twice))"
    ),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_fault_is_an_error_with_the_name(message):
    with pytest.raises(assignments.Fault, match=rf"a\.ipynb: .*{message}"):
        assignments.exercises(FAULTS[message], "a.ipynb")


def test_a_fault_stops_the_command_without_a_traceback(monkeypatch, tmp_path, capsys):
    require_site()
    monkeypatch.setattr(assignments, "BOOK", tmp_path)
    nbformat.write(page(shown=""), tmp_path / "01_a.ipynb")
    assert assignments.main([str(tmp_path / "course")]) == 1
    assert "01_a.ipynb: ex-t has no wrong answer" in capsys.readouterr().err


# ---- the grading of one answer, without nbgrader

RIGHT = "{check} = lambda *given: '{names}: right'\n"
EVERYTHING = """class Everything(float):
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = lambda *_: True
    __ne__ = lambda *_: False
    __sub__ = __rsub__ = __add__ = __mul__ = __truediv__ = __abs__ = __getitem__ = lambda self, *_: self
    __array_priority__ = 1e9
    __hash__ = float.__hash__
    __iter__ = lambda self: iter((self, self))
    shape = get = isfinite = all = any = lambda self, *_: self


"""
DO = "def {name}(*given, **named):\n    {what}\n"
PATCH = """import builtins, sys, numpy, torch, wganlab
torch.nn.Module.__call__ = lambda self, x: x.flatten().abs() / 3**0.5
for name in {"transport", "divergences"} & set(vars(wganlab)):
    setattr(wganlab, name, torch)
    sys.modules[f"wganlab.{name}"] = torch
for room in (numpy, torch, torch.Tensor, builtins):
    for name in ("isclose", "allclose", "array_equal", "equal", "abs", "all", "any", "max"):
        if hasattr(room, name):
            setattr(room, name, (lambda *a, **k: 0) if name in ("abs", "max") else (lambda *a, **k: True))
"""


def decoy(one, number):
    """The wrong answer of that number, 0 to 2: one of the page's own, or one of wrong_answers.py."""
    own = [pair for pair in one.decoys if pair != ("",)][:3]
    if number >= len(own):
        return WRONG[one.label][number - len(own)]
    pairs = zip(one.names, own[number], strict=True)
    text = assignments.joined(assignments.needed(set(own[number]), one.above, one.label))
    return text + "\n\n\n" + "\n".join(f"{name} = {wrong}" for name, wrong in pairs)


def cheats(one):
    """Pairs (name, code): answers that deserve nothing, by somebody who knows how they are checked."""
    said = f"{', '.join(one.names)}: right"
    wrong = decoy(one, 0)
    checker = one.check.split("(")[0]
    each = lambda what: "\n\n".join(DO.format(name=name, what=what) for name in one.names)  # noqa: E731
    if one.label == "ex-16-hunt":
        return [("equal", EVERYTHING + "answers = Everything()"), ("prints", f"answers = print({said!r})")]
    return [
        ("prints", each(f"print({said!r})")),
        ("redefines", wrong + "\n\n\n" + RIGHT.format(check=checker, names=said)),
        ("renames", wrong + "".join(f"\n{name}.__name__ = 'ok: '" for name in one.names)),
        ("patches", wrong + "\n" + PATCH),
        ("leaves", each("raise SystemExit(0)")),
        ("equal", EVERYTHING + each("return Everything()")),
        (
            "empties",
            each("[part.fill(0) for part in given if hasattr(part, 'fill')]\n    return 0 * given[-1]"),
        ),
    ]


def marks(one, codes):
    """What `grade` gives for each of the `codes`, as a share of the points; the cells of a notebook."""
    exec(assignments.joined(one.setup), {"__name__": "student"})
    grading = load("grading")
    setup = assignments.joined(one.setup + one.checker)
    for code in codes:
        space = {"__name__": "student"}
        exec(assignments.joined(one.setup), space)
        try:
            exec(code, space)
            found = grading.grade(one.points, {name: space[name] for name in one.names}, setup, one.check)
            yield 1 if found is None else found / one.points
        except AssertionError:
            yield 0
        finally:
            grading.restore()


CHEAP = ["ex-07-3", "ex-14-reach", "ex-16-hunt"]


def judge(one):
    answers = {"right": assignments.joined(one.answer)} | {f"wrong {k}": decoy(one, k) for k in range(3)}
    deserved = [1, *SHARES.get(one.label, (0, 0, 0))] + [0] * len(cheats(one))
    answers |= dict(cheats(one))
    found = dict(zip(answers, marks(one, answers.values()), strict=True))
    assert found == pytest.approx(dict(zip(answers, deserved, strict=True))), one.label


@pytest.mark.parametrize("label", CHEAP)
def test_an_answer_gets_the_marks_that_it_deserves(book, label):
    judge(book[label])


@pytest.mark.slow
def test_every_answer_gets_the_marks_that_it_deserves(book, monkeypatch):
    monkeypatch.chdir(assignments.BOOK)
    for label, one in book.items():
        if label not in CHEAP:
            judge(one)


# ---- nbgrader itself

TIMEOUT = 10  # seconds a cell, for the students whose cells hang


@pytest.fixture(scope="module")
def teach():
    """The folder of nbgrader's programs, installed now if need be."""
    made = subprocess.run(["make", ".venv-teach/installed"], cwd=ROOT, capture_output=True, text=True)
    if not (TEACH / "nbgrader").exists():
        pytest.skip(f"nbgrader cannot be installed: {(made.stderr.strip() or made.stdout).splitlines()[-1]}")
    return TEACH


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """An environment in which the kernel python3 is forked from a process that has imported the libraries."""
    program = str(ROOT / "tests" / "forked_kernels.py")
    room = Path(tempfile.mkdtemp())  # short: the address of a socket has at most 107 characters
    address = str(room / "kernels")
    spec = room / "kernels_of_jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-S", program, "kernel", address, "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "forked", "language": "python"})
    )
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = os.environ | one | {"PYTHONPATH": str(ROOT), "JUPYTER_PREFER_ENV_PATH": "0"}
    command = [sys.executable, program, "serve", address]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
    while not Path(address).exists():
        assert server.poll() is None
        time.sleep(0.1)
    yield environment | {"JUPYTER_PATH": str(spec.parents[1])}
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    shutil.rmtree(room)


class Course:
    """A course folder, its students and nbgrader."""

    def __init__(self, folder, teach, environment):
        self.folder, self.teach = folder, teach
        path = os.pathsep.join([str(teach), os.environ["PATH"]])
        self.environment = environment | {"PATH": path}

    def run(self, *command, environment=None):
        """Run a program of nbgrader's environment in the course folder; its exit status and what it said."""
        done = subprocess.run(
            [str(self.teach / command[0]), *command[1:]],
            cwd=self.folder,
            env=environment or self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    def all(self, step):
        status, said = self.run("python", str(ROOT / "book" / "_teach" / "nbgrade.py"), step, ".")
        assert status == 0, said[-5000:]

    def submit(self, student, name, answers, change=None):
        """Hand in the release of an assignment with the `answers`, by label, filled in."""
        target = self.folder / "submitted" / student / name
        target.mkdir(parents=True)
        for path in (self.folder / "release" / name).glob("*.ipynb"):
            notebook = nbformat.read(path, as_version=4)
            for cell in notebook.cells:
                label = cell.id.removesuffix("-answer")
                if cell.id.endswith("-answer") and label in answers:
                    cell.source = answers[label]
            if change:
                change(notebook)
            nbformat.write(notebook, target / path.name)

    def table(self):
        """Marks by assignment and student, as nbgrader exports them."""
        status, said = self.run("nbgrader", "export")
        assert status == 0, said
        with open(self.folder / "grades.csv", encoding="utf-8") as file:
            return {(row["assignment"], row["student_id"]): row for row in csv.DictReader(file)}


def show(table, students):
    """The marks as a table: one row an assignment, one column a student."""
    names = sorted({name for name, _ in table})
    rows = [["assignment", "of", *students]]
    for name in names:
        found = [table.get((name, one)) for one in students]
        rows.append([name, found[0]["max_score"], *(row["score"] if row else "" for row in found)])
    totals = [sum(float(row[k] or 0) for row in rows[1:]) for k in range(1, len(rows[0]))]
    rows.append(["all", *(f"{total:g}" for total in totals)])
    print(
        "\n"
        + "\n".join(
            "".join(f"{cell:<22}" if k == 0 else f"{cell:>10}" for k, cell in enumerate(row)) for row in rows
        )
    )


@pytest.fixture(scope="module")
def course(tmp_path_factory, teach, kernels):
    require_site()
    folder = tmp_path_factory.mktemp("course")
    assert assignments.main([str(folder)]) == 0
    made = Course(folder, teach, kernels)
    made.all("release")
    return made


USUAL = ["solution", "empty", "half", "wrong1", "wrong2", "wrong3"]


@pytest.mark.slow
def test_marks_in_every_chapter(course):
    expected = {}
    for name, found in assignments.sets().items():
        tasks = [one for _, exercises in found for one in exercises]
        points = {one.label: one.points for one in tasks}
        shutil.copytree(course.folder / "source" / name, course.folder / "submitted" / "solution" / name)
        course.submit("empty", name, {})
        expected |= {(name, "solution"): sum(points.values()), (name, "empty"): 0}
        half = tasks[::2]  # every second one, and the others left as they are
        course.submit("half", name, {one.label: assignments.joined(one.answer) for one in half})
        expected[name, "half"] = sum(one.points for one in half)
        for number in range(3):
            student = f"wrong{number + 1}"
            course.submit(student, name, {one.label: decoy(one, number) for one in tasks})
            deserved = [SHARES[one.label][number] * one.points for one in tasks if one.label in SHARES]
            expected[name, student] = sum(deserved)
    course.all("autograde")
    table = course.table()
    show(table, USUAL)
    assert {key: float(table[key]["score"]) for key in expected} == pytest.approx(expected)
    assert all(float(row["max_score"]) == expected[name, "solution"] for (name, _), row in table.items())


def hanging(one):
    return "def {}(*given):\n    while True:\n        pass".format(*one.names)


def stubborn(one):
    return (
        "def {}(*given):\n    while True:\n        try:\n            while True:\n                pass\n"
        "        except BaseException:\n            pass".format(*one.names)
    )


@pytest.mark.slow
def test_what_hangs_cheats_or_deletes(course, book):
    name = "07_duality"
    tasks = [one for one in book.values() if one.label.startswith("ex-07-")]
    right = {one.label: assignments.joined(one.answer) for one in tasks}
    wrong = {one.label: decoy(one, 0) for one in tasks}
    first, second = book["ex-07-2"], book["ex-07-3"]

    def redefine(notebook):
        for place in reversed(range(len(notebook.cells))):
            label = notebook.cells[place].id.removesuffix("-check")
            if label in book and label != notebook.cells[place].id:
                text = RIGHT.format(check=book[label].check.split("(")[0], names=book[label].names[0])
                notebook.cells.insert(place + 1, new_code_cell(text + "np = transport = steepness = None"))

    def delete(notebook):
        notebook.cells = [
            cell for cell in notebook.cells if not cell.metadata.get("nbgrader", {}).get("locked")
        ]

    def edit(notebook):
        for cell in notebook.cells:
            if cell.metadata.get("nbgrader", {}).get("locked"):
                cell.source, cell.metadata.nbgrader.points = "pass", 100

    def cheat(kind):  # without builtins, which the kernel needs as they are
        return {one.label: dict(cheats(one))[kind].replace(", builtins)", ")") for one in tasks}

    students = {
        "hangs": (right | {first.label: hanging(first)}, None, 13),
        "hangs_on": (right | {second.label: stubborn(second)}, None, 6),
        "prints": (cheat("prints"), None, 0),
        "redefines": (wrong, redefine, 0),
        "patches": (
            cheat("patches"),
            None,
            0,
        ),
        "equals": (cheat("equal"), None, 0),
        "leaves": (cheat("leaves"), None, 0),
        "deletes": (right | {second.label: decoy(second, 0)}, delete, 12),
        "edits": (right | {second.label: decoy(second, 0)}, edit, 12),
    }
    for student, (answers, change, _) in students.items():
        course.submit(student, name, answers, change)
    for student in students:
        limit = [f"--Execute.timeout={TIMEOUT}"] if student.startswith("hangs") else []
        status, said = course.run("nbgrader", "autograde", name, "--student", student, *limit)
        assert status == 0, said[-5000:]
    table = course.table()
    show({key: row for key, row in table.items() if key[0] == name}, list(students))
    found = {student: float(table[name, student]["score"]) for student in students}
    assert found == {student: marks for student, (_, _, marks) in students.items()}
