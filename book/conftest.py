"""Makes a bare `pytest --nbval book/`, from any folder, as strict as it should be.

nbval runs every cell and compares its output with the committed one, letter for letter (PNG excepted, also
inside HTML: check the arrays behind a figure with `assert`). Left alone it also accepts what proves nothing;
here it does not:

- a notebook with an unexecuted code cell, a committed error or warning, or no output at all (a stripped
  notebook compares nothing);
- cells that switch the comparison off;
- a kernel other than the one that runs the tests, and a cell that hangs (120 s instead of 2000 s).
"""

import os
import re

import nbformat
import pytest

CELL_TIMEOUT = 120  # seconds; no cell of the book needs more than a fraction of it
PIXELS = re.compile(r"(data:image/png;base64,)[A-Za-z0-9+/=]*")
LOOSE_TAGS = {
    "nbval-ignore-output",
    "pytest-validate-ignore-output",
    "nbval-skip",
    "nbval-raises-exception",
    "raises-exception",
}
LOOSE_COMMENTS = {tag.upper().replace("-", "_") for tag in LOOSE_TAGS} - {"RAISES_EXCEPTION"}


def pytest_configure(config):
    # One thread: sums of floats depend on how they are split. Kernels inherit the environment.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    if not hasattr(config.option, "nbval"):
        return  # nbval is not installed or not loaded: there is nothing to make strict
    if not config.option.nbval_kernel_name:
        config.option.nbval_current_env = True
    config.option.nbval_cell_timeout = min(config.option.nbval_cell_timeout, CELL_TIMEOUT)


def pytest_ignore_collect(collection_path, config):
    """Only notebooks are tests here: no modules, and no copies that builds and editors leave."""
    if {"_build", "_ext", ".ipynb_checkpoints"} & set(collection_path.parts[-3:]):
        return True
    return None


def without_pixels(outputs):
    """Copies of a cell's `outputs` whose HTML holds no bytes of PNG pictures, and all else as it is."""
    copies = [nbformat.from_dict(output) for output in outputs]
    for output in copies:
        if "text/html" in output.get("data", {}):
            output["data"]["text/html"] = PIXELS.sub(r"\1", output["data"]["text/html"])
    return copies


def pytest_itemcollected(item):
    """nbval compares no PNG output; let it compare none inside HTML either, such as a figure's still."""
    compare = getattr(item, "compare_outputs", None)
    if compare:
        item.compare_outputs = lambda test, ref: compare(without_pixels(test), without_pixels(ref))


def is_loose(cell):
    """Whether nbval would run `cell` without comparing its output."""
    tags = set(cell.metadata.get("tags", []))
    comments = {
        line.strip().lstrip("#").strip() for line in cell.source.splitlines() if line.strip().startswith("#")
    }
    return bool(tags & LOOSE_TAGS or comments & LOOSE_COMMENTS)


def refusals(notebook):
    """Why the committed outputs of `notebook` would prove nothing; an empty list if they do."""
    code = [(number, cell) for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    found = []
    if not any(cell.outputs for _, cell in code):
        found.append("no output at all, so there is nothing to compare with")
    for number, cell in code:
        if cell.execution_count is None:
            found.append(f"cell {number} was not executed before it was committed")
        if any(output.output_type == "error" for output in cell.outputs):
            found.append(f"cell {number} has a committed error")
        if any(output.get("name") == "stderr" for output in cell.outputs):
            found.append(
                f"cell {number} has a committed warning (stderr), whose text differs between machines"
            )
        if is_loose(cell):
            found.append(f"cell {number} switches the comparison of its output off")
    return found


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Refuse a notebook before its first cell runs: an error of collection, so the whole run is red."""
    report = yield
    if collector.path.suffix == ".ipynb" and collector.path.is_file():
        found = refusals(nbformat.read(collector.path, as_version=4))
        if found:
            report.outcome, report.result = "failed", []
            report.longrepr = (
                f"{collector.path.name} is refused: "
                + "; ".join(found)
                + f".\nRun: python book/_ext/execute.py '{collector.path}'"
            )
    return report
