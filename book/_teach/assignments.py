"""Assignments that nbgrader grades by itself, made from the code exercises of the pages: `make assignments`.

    python book/_teach/assignments.py [folder]         (default: _build/assignments)

Writes a course folder for nbgrader: `source/`, one assignment a chapter with one notebook for each of its
pages that has a code exercise, `nbgrader_config.py` and a README. Needs the built site, for the numbers
that references show.

A code exercise of the book is an {exercise} whose statement holds a ```python stub; then cells that define a
checker and print its verdict on wrong answers; then the {solution}, folded, and a hidden cell that prints the
verdict on it. Points: one for each five minutes that the exercise states, rounded up.
"""

import argparse
import ast
import builtins
import re
import shutil
import symtable
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
sys.path.insert(0, str(BOOK / "_ext"))

import travel  # noqa: E402

EXERCISE = re.compile(r"^(?P<mark>:{3,})\{exercise\}(?P<rest>.*?)^(?P=mark)[ \t]*$", re.MULTILINE | re.DOTALL)
HEAD = re.compile(
    r"[ \t]*(?P<title>\S.*?) (?P<stars>★{1,3}) \((?:a project, )?(?P<minutes>\d+) minutes\b.*\)"
)
STUB = re.compile(r"^```python\n(?P<code>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
REFUSED = re.compile(r"^(?P<names>[\w, ]+): (?:not yet|\d+ bugs? found)|; not yet: ", re.MULTILINE)
ALWAYS = {"np", "torch", "math"}  # what an answer may want, whether or not the solution does
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
HIDDEN = "### BEGIN HIDDEN TESTS\n{}\n### END HIDDEN TESTS"

CONFIG = """import atexit
import shutil
import tempfile

import zmq

c = get_config()
c.CourseDirectory.course_id = "wganlab"
c.OverwriteCells.add_missing_cells = True  # a deleted cell comes back before grading
c.Execute.timeout = 60  # seconds a cell; then it is interrupted and gets no marks
c.Execute.raise_on_iopub_timeout = False  # what refuses the interrupt costs its notebook, not the assignment
if zmq.has("ipc"):  # kernels reached by files: a free TCP port may be taken before a kernel opens it
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    c.KernelManager.transport, c.KernelManager.ip = "ipc", folder + "/kernel"
"""
README = """# Assignments

One assignment a chapter, from its code exercises: `source/` is yours and has the solutions, `release/` is
for students. Points: one for each five minutes that the exercise states, rounded up. All or nothing, by
the verdict of the book's checker; in the hunt of chapter 16 each letter counts. Parts that ask for a
proof or a sentence are not graded here.

{table}

The solutions stand in the book. Grade for having worked, or change numbers and names before you hand out.

## How to run it

In this folder, with nbgrader's environment: `. ../../.venv-teach/bin/activate`. Its kernel is the
project's `.venv`.

1. **Release.** Hand out `release/NAME/`. Students need Jupyter and the package `wganlab`. After a change
   in `source/`: `nbgrader generate_assignment NAME --force`.
2. **Collect.** Put what comes back into `submitted/STUDENT/NAME/`, under the notebooks' own names. For a
   zip file of a learning platform see `nbgrader zip_collect --help`.
3. **Autograde.** `nbgrader autograde NAME`. It runs the students' code: use an account or a container
   without rights.
4. **Table of marks.** `nbgrader export` writes `grades.csv`; `nbgrader generate_feedback NAME` a page for
   each student.

## What it takes and what it does not

Locked cells are put back before grading, also deleted ones. The graded cell runs set-up and checker in a
namespace of its own, with the libraries' functions as they were before the student's code. It takes only
the student's functions, hands them copies of arrays, and accepts plain values. So a checker redefined, a
patched library, a printed "right", an early exit or an object that equals everything earn nothing.

A cell that runs longer than the limit in `nbgrader_config.py` is interrupted, which costs its exercise
only. Code that refuses the interrupt costs all later exercises of its notebook. Code that kills its
kernel costs that student's assignment: `nbgrader autograde` says so and goes on with the others. None of
this stops somebody who reads the hidden cells and attacks them on purpose; nothing that runs in one
process does. Look at the code of an answer that surprises you.
"""


class Fault(ValueError):
    """What is wrong with an exercise of the book, with its name."""


class Statement(NamedTuple):
    """A statement of a page's code; the names that it binds, uses at once or when called, and changes."""

    cell: int
    text: str
    node: ast.stmt
    binds: frozenset
    uses: frozenset
    later: frozenset
    changes: frozenset


class Exercise(NamedTuple):
    """A code exercise: `setup` is what it needs of the page, `check` the call that judges an answer."""

    label: str
    title: str
    stars: str
    minutes: int
    statement: str
    stub: str
    setup: list
    checker: list
    answer: list
    check: str
    decoys: list  # of tuples of names, one for each name of the stub
    above: list  # all statements above the solution

    @property
    def points(self):
        return -(-self.minutes // 5)

    @property
    def names(self):
        """What the stub asks for."""
        return [name for one in statements(self.stub) for name in sorted(one.binds)]


def scopes(table):
    yield table
    for child in table.get_children():
        yield from scopes(child)


def statements(source, cell=0):
    """The statements of a code cell."""
    found = []
    lines = source.split("\n")
    for node in ast.parse(source).body:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        text = "\n".join(lines[first - 1 : node.end_lineno])
        [node] = ast.parse(text).body  # its lines count from the statement's first
        top, *inner = scopes(symtable.symtable(text, "cell", "exec"))
        binds = {one.get_name() for one in top.get_symbols() if one.is_assigned() or one.is_imported()}
        uses = {one.get_name() for one in top.get_symbols() if one.is_referenced()}
        later = {one.get_name() for table in inner for one in table.get_symbols() if one.is_global()}
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            added = {one.target for one in ast.walk(node) if isinstance(one, ast.AugAssign)}  # x += 1 uses x
            uses |= later | {one.id for one in added if isinstance(one, ast.Name)}
            later = set()
        changes = set() if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else changed(node)
        found.append(Statement(cell, text, node, *map(frozenset, (binds, uses, later, changes))))
    return found


def changed(node):
    """The names whose objects a statement may change: x in x[0] = 1, x.a = 1 and x.append(1)."""
    touched = set()
    for one in ast.walk(node):
        targets = [one.target] if isinstance(one, ast.AugAssign) else getattr(one, "targets", [])
        targets = [target for target in targets if not isinstance(target, ast.Name)]
        if isinstance(one, ast.Expr) and isinstance(one.value, ast.Call):
            targets.append(one.value.func)
        for target in targets:
            root = target
            while isinstance(root, (ast.Attribute, ast.Subscript)):
                root = root.value
            if isinstance(root, ast.Name) and root is not target:
                touched.add(root.id)
    return touched


def is_import(statement):
    return isinstance(statement.node, (ast.Import, ast.ImportFrom))


def needed(names, page, who):
    """The statements of `page` that give the `names` their meaning at its end, in their order."""
    found, wanted = set(), [(name, len(page)) for name in sorted(names)]
    while wanted:
        name, end = wanted.pop()
        places = [k for k in range(end) if name in page[k].binds]
        if not places:
            if hasattr(builtins, name) or name.startswith("__"):
                continue
            raise Fault(f"{who} needs {name!r}, which no code cell above it defines")
        changes = [k for k in range(places[-1] + 1, end) if name in page[k].changes]
        for k in [places[-1]] + ([] if is_import(page[places[-1]]) else changes):
            if k not in found:
                found.add(k)
                wanted += [(one, k) for one in page[k].uses] + [(one, len(page)) for one in page[k].later]
    return [page[k] for k in sorted(found)]


def only(statement, names):
    """An import of no more than the `names`; any other statement as it is."""
    if not is_import(statement):
        return statement
    [node] = ast.parse(statement.text).body
    node.names = [one for one in node.names if (one.asname or one.name.split(".")[0]) in names]
    return statement._replace(text=ast.unparse(node), node=node) if node.names else None


def called(node, names):
    """The first call inside print(...) that mentions one of `names`, as text."""
    call = node.value if isinstance(node, ast.Expr) else None
    if isinstance(call, ast.Call) and ast.unparse(call.func) == "print":
        for one in call.args:
            if isinstance(one, ast.Call) and names & {n.id for n in ast.walk(one) if isinstance(n, ast.Name)}:
                return ast.unparse(one)
    return None


def blocks(notebook, where):
    """Triples (number of the cell, text, label) of the exercises; a Fault for one whose tag is broken."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        found = list(EXERCISE.finditer(cell.source))
        if len(found) != len(re.findall(r"^:*\s*\{\s*ex\w*", cell.source, re.MULTILINE)):
            tag = re.search(r"^.*\{\s*ex.*", cell.source, re.MULTILINE)[0]
            raise Fault(f"{where}: the tag of {tag!r} is broken: :::{{exercise}} opens it, ::: closes it")
        for match in found:
            name = f"{where}: {match['rest'].splitlines()[0].strip()!r}"
            label = re.search(r"^:label: (\S+)$", match[0], re.MULTILINE)
            if not label:
                raise Fault(f"{name} has no :label:")
            if not HEAD.match(match["rest"]):
                raise Fault(f"{name} must read: title, one to three ★, and its minutes in brackets")
            yield number, match[0], label[1]


def around(notebook, number, label, who):
    """The cells between the exercise in cell `number` and its solution, and the hidden ones below that."""
    solution = re.compile(rf"^:+\{{solution\}} {re.escape(label)}$", re.MULTILINE)
    places = [k for k in range(number, len(notebook.cells)) if solution.search(notebook.cells[k].source)]
    if not places:
        raise Fault(f"{who} has no solution below it")
    end = places[0] + 1
    while end < len(notebook.cells) and "hide-cell" in notebook.cells[end].metadata.get("tags", []):
        end += 1
    return range(number + 1, places[0]), range(places[0] + 1, end)


def told(text, before):
    """Functions and modules of the page that the statement mentions, and those that are always at hand."""
    quoted = " ".join(re.findall(r"`([^`\n]+)`", text))
    named = ALWAYS | set(re.findall(r"[A-Za-z_]\w*", quoted))
    given = [one for one in before if is_import(one) or isinstance(one.node, ast.FunctionDef)]
    return {name for one in given for name in one.binds & named}


def exercises(notebook, where):
    """The code exercises of a page, in order."""
    cells = enumerate(notebook.cells)
    code = {number: statements(cell.source, number) for number, cell in cells if cell.cell_type == "code"}
    found, solved = [], set()
    for number, text, label in blocks(notebook, where):
        who = f"{where}: {label}"
        between, after = around(notebook, number, label, who)
        stub = STUB.search(text)
        if not stub:
            if re.search(r"`check\w*\(", text):
                raise Fault(f"{who} names a checker and has no ```python stub to fill")
            continue
        names = set().union(*(one.binds for one in statements(stub["code"])))
        before = [one for k in code if k < number and k not in solved for one in code[k]]
        above = before + [one for k in code if k in between for one in code[k]]
        inside = [one for k in after for one in code[k]]
        lacking = names - set().union(*(one.binds for one in inside))
        if lacking or not names:
            raise Fault(f"{who} has no solution that defines {', '.join(sorted(lacking)) or 'anything'}")
        checks = [call for one in inside if (call := called(one.node, names))]
        if not checks:
            asked = ", ".join(sorted(names))
            raise Fault(f"{who} has no checker: its hidden cell prints no verdict on {asked}")
        outputs = [out for k in between for out in notebook.cells[k].get("outputs", [])]
        shown = "\n".join(out.get("text", "") for out in outputs)
        decoys = [tuple((refused["names"] or "").split(", ")) for refused in REFUSED.finditer(shown)]
        if not decoys:
            raise Fault(f"{who} has no wrong answer that its checker refuses")
        used = {one.id for one in ast.walk(ast.parse(checks[0])) if isinstance(one, ast.Name)} - names
        checker, answer = needed(used, above, who), needed(names, before + inside, who)
        mentioned = told(text, before)
        parts = checker + answer + needed(mentioned - names, before, who)
        wanted = mentioned.union(used, *(one.uses | one.later for one in parts))
        chosen = {id(one) for one in parts}
        setup = [only(one, wanted) for one in before if id(one) in chosen]
        head = HEAD.match(EXERCISE.match(text)["rest"])
        found.append(
            Exercise(
                label=label,
                title=head["title"],
                stars=head["stars"],
                minutes=int(head["minutes"]),
                statement=text,
                stub=stub["code"].rstrip(),
                setup=[one for one in setup if one],
                checker=[one for one in checker if one.cell in between],
                answer=[one for one in answer if one.cell in after],
                check=checks[0],
                decoys=decoys,
                above=above,
            )
        )
        solved |= set(after)
    return found


def joined(found):
    """The text of statements, with the blank lines that the style asks for."""
    text, last = "", None
    for one in found:
        tall = [isinstance(n, (ast.FunctionDef, ast.ClassDef)) for n in (one.node, last.node)] if last else []
        text += ("\n\n\n" if any(tall) else "\n" if last else "") + one.text
        last = one
    return text


def answered(exercise):
    """The stub with the solution's code between the two marks that nbgrader looks for."""
    lines = []
    helpers = [one for one in exercise.answer if not one.binds & set(exercise.names)]
    asked = {name: one for one in statements(exercise.stub) for name in one.binds}
    for name, one in asked.items():
        solution = next(found for found in exercise.answer if name in found.binds)
        if not isinstance(one.node, ast.FunctionDef):
            lines += [f"{name} = None", BEGIN, solution.text, END, "", ""]
            continue
        head = re.sub(r":\s*\.\.\.$", ":", one.text.split("\n")[0])
        body = [part for part in solution.node.body if not docstring(part)]
        known = {arg.arg for arg in (*one.node.args.args, *one.node.args.kwonlyargs)}
        extra = solution.node.args.args[-len(solution.node.args.defaults) or len(solution.node.args.args) :]
        text = solution.text.split("\n")[body[0].lineno - 1 :]
        words = [ast.get_source_segment(one.text, part) for part in one.node.body if docstring(part)]
        lines += [head, *(f"    {word}" for word in words), f"    {BEGIN}"]
        lines += [f"    {line}" if line else "" for helper in helpers for line in helper.text.split("\n")]
        lines += [
            f"    {arg.arg} = {ast.unparse(value)}"
            for arg, value in zip(extra, solution.node.args.defaults, strict=True)
            if arg.arg not in known
        ]
        lines += [*text, f"    {END}", "", ""]
    return "\n".join(lines).rstrip()


def docstring(node):
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)


def graded(source, name, points=0, solution=False):
    """A code cell that nbgrader knows: the student's own, or one that it puts back before it grades."""
    marks = {"grade": not solution, "solution": solution, "locked": not solution, "task": False}
    marks |= {"grade_id": name, "schema_version": 3, "cell_type": "code"} | (
        {} if solution else {"points": points}
    )
    fixed = {} if solution else {"deletable": False, "editable": False}
    return new_code_cell(source, id=name, metadata={"nbgrader": marks, **fixed})


def raw(text):
    """`text` as a literal that reads as it does."""
    return repr(text) if "'''" in text or text.endswith("'") else f"r'''\n{text}\n'''"


def notebook_of(title, found, numbers):
    """The instructor's notebook of a page."""
    table = "\n".join(
        f"| {numbers.labels[one.label]} | {one.title} | {one.stars} | {one.minutes} | {one.points} |"
        for one in found
    )
    intro = (
        f"# {title}: assignment\n\nFill in each function where it says so, run its check, and hand in this "
        "file under its name. You may add cells; locked cells are put back as they were before grading. A "
        "statement may speak of the book's page, on which wrong answers stand too; what asks for a proof is "
        "not graded here.\n\n"
        f"| Exercise | Title | Difficulty | Minutes | Points |\n|---|---|---|---|---|\n{table}"
    )
    fixed = {"deletable": False, "editable": False}
    imports = {one.text: one for exercise in found for one in exercise.setup if is_import(one)}
    grading = (Path(__file__).with_name("grading.py")).read_text(encoding="utf-8")
    hidden = (
        "import sys, types\n\nsys.modules['grading'] = types.ModuleType('grading')\n"
        f"exec({raw(grading)}, vars(sys.modules['grading']))"
    )
    cells = [
        new_markdown_cell(intro, id="intro", metadata=fixed),
        graded("\n".join(imports) + "\n" + HIDDEN.format(hidden), "setup"),
    ]
    for one in found:
        numbers.cited = []
        text = travel.plain(one.statement, numbers)
        if numbers.cited:
            text += "\n\n" + numbers.references()
        cells.append(new_markdown_cell(text, id=one.label, metadata=fixed))
        helpers = joined([part for part in one.setup if not is_import(part)])
        if helpers:
            cells.append(graded("# From the page\n" + helpers, f"{one.label}-page"))
        cells.append(graded(answered(one), f"{one.label}-answer", solution=True))
        cells.append(graded(joined(one.checker) + f"\n\n\nprint({one.check})", f"{one.label}-check"))
        everything = joined(one.setup + one.checker)
        answers = "{" + ", ".join(f'"{name}": {name}' for name in one.names) + "}"
        hidden = (
            f"import sys\n\nsys.modules['grading'].grade(\n    {one.points},\n    {answers},\n"
            f"    {raw(everything)},\n    {one.check!r},\n)"
        )
        says = f"# Graded, {one.points} points: the check once more, in a namespace of its own."
        cells.append(graded(says + "\n" + HIDDEN.format(hidden), f"{one.label}-grade", one.points))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made = new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.validate(made)
    return made


def pages():
    """Pairs (page, its code exercises) of all pages that have one."""
    for path in sorted(BOOK.glob("*.ipynb")):
        if found := exercises(nbformat.read(path, as_version=4), path.name):
            yield path, found


def sets():
    """The pages of each assignment: a chapter's core page, whose name it has, and its further pages."""
    gathered = {}
    for path, found in pages():
        core = [
            one.stem for one in BOOK.glob(f"{path.stem[:2]}_*.ipynb") if not one.stem.endswith("_further")
        ]
        name = core[0] if path.stem[:2].isdigit() else path.stem
        gathered.setdefault(name, []).append((path, found))
    return gathered


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "_build" / "assignments")
    folder = parser.parse_args(arguments).folder
    numbers = travel.Numbers(ROOT, ROOT / "_build" / "html", "")
    rows = ["| Assignment | Exercises | Minutes | Points |", "|---|---|---|---|"]
    try:
        gathered = sets()
        for name, found in gathered.items():
            target = folder / "source" / name
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            for path, one in found:
                made = notebook_of(numbers.titles[path.stem], one, numbers)
                nbformat.write(made, target / path.name)
            tasks = [exercise for _, one in found for exercise in one]
            points, minutes = sum(one.points for one in tasks), sum(one.minutes for one in tasks)
            rows.append(f"| {name} | {len(tasks)} | {minutes} | {points} |")
        (folder / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
        (folder / "README.md").write_text(README.format(table="\n".join(rows)), encoding="utf-8")
        print("\n".join(rows))
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
