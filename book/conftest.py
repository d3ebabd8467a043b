"""Makes a bare `pytest --nbval book/`, from any folder, as strict as it should be.

nbval runs every cell and compares its output with the committed one, letter for letter. Two things differ
between machines. Of a PNG, also inside HTML, no byte is compared: claim something of the arrays behind it.
In a line that `wganlab.claims.claim` has marked, "text: ≈ 0.163   (claimed: below 0.4)", the numbers behind
the mark are compared with what is claimed of them, and all else with the committed line.

Left alone nbval also accepts what proves nothing; here it does not:

- a committed line whose numbers break the claim beside them, or marked numbers without a claim;
- a notebook with an unexecuted code cell, a committed error or warning, or no output at all (a stripped
  notebook compares nothing);
- cells that switch the comparison off;
- a kernel other than the one that runs the tests, and a cell that hangs (120 s instead of 2000 s).
"""

import contextlib
import functools
import multiprocessing
import os
import re
import tempfile

import nbformat
import pytest
import zmq
from jupyter_client.provisioning import local_provisioner
from traitlets.config import Config

collect_ignore = ["_teach/nbgrade.py"]  # it runs where nbgrader is, in .venv-teach
CELL_TIMEOUT = 120  # seconds; no cell of the book needs more than a fraction of it
PIXELS = re.compile(r"(data:image/png;base64,)[A-Za-z0-9+/=]*")
CLAIM = re.compile(r"(?P<text>.*): ≈ (?P<numbers>\S.*?)   \(claimed: (?P<each>each )?(?P<what>.+)\)")
BOUND = re.compile(r"(?:above (?P<above>\S+))?(?: and )?(?:below (?P<below>\S+))?")
CENTRE = re.compile(r"(?P<centre>.+) up to (?P<to>\S+)")
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
    if config.option.nbval_current_env and "forkserver" in multiprocessing.get_all_start_methods():
        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as a kernel does
        local_provisioner.launch_kernel = ForkedKernel
    if zmq.has("ipc"):
        # Over TCP somebody else may take a port between the choice of it and the kernel's start.
        from nbval import kernel

        folder = tempfile.TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        by_file = Config(KernelManager={"transport": "ipc", "ip": f"{folder.name}/kernel"})
        kernel.KernelManager = functools.partial(kernel.KernelManager, config=by_file)


class ForkedKernel:
    """The kernel that ``command`` would start, with the face of a ``subprocess.Popen``.

    Before a notebook's first cell a new process imports PyTorch, SciPy and POT, five seconds each time. This
    one is forked from a process that has imported them and run nothing else.
    """

    libraries = ("ipykernel.kernelapp", "matplotlib.pyplot", "nbformat", "ot", "torch", "wganlab.plots")
    pid = -1  # of no process: so the manager looks for no group of it, and signals go to the kernel alone
    stdin = stdout = stderr = None

    def __init__(self, command, *, cwd=None, **_):
        from ipykernel.kernelapp import launch_new_instance

        # command: the path of Python, "-m", "ipykernel_launcher", and what the kernel is told
        fork = multiprocessing.get_context("forkserver")
        fork.set_forkserver_preload(list(self.libraries))
        self.process = fork.Process(target=launch_new_instance, kwargs={"argv": command[3:]}, daemon=True)
        with contextlib.chdir(cwd or "."):
            self.process.start()

    def poll(self):
        return self.process.exitcode

    def wait(self):
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.process.pid, number)


def pytest_ignore_collect(collection_path, config):
    """Only notebooks are tests here: no modules, and no copies that builds and editors leave."""
    if {"_build", "_ext", ".ipynb_checkpoints"} & set(collection_path.parts[-3:]):
        return True
    return None


def numbers(row):
    return [float(number) for number in row.split(", ")]


def kept(line):
    """Whether the numbers that `line` has marked keep what is claimed of them; None where it marks none."""
    if "≈" not in line:
        return None
    try:
        claim = CLAIM.fullmatch(line)
        values = numbers(claim["numbers"])
        if bound := BOUND.fullmatch(claim["what"]):
            low, high = float(bound["above"] or "-inf"), float(bound["below"] or "inf")
            if bound["above"] and bound["below"]:
                return all(low < value < high for value in values)
            return all(value > low if bound["above"] else value < high for value in values)
        claimed = CENTRE.fullmatch(claim["what"])
        centres, to = numbers(claimed["centre"]), float(claimed["to"])
        centres = centres * len(values) if len(centres) == 1 else centres
        pairs = zip(values, centres, strict=True)
        return all(value == centre or abs(value - centre) <= to * (1 + 1e-9) for value, centre in pairs)
    except (TypeError, ValueError):  # no claim stands there, or no numbers
        return False


def without_numbers(line):
    """`line` with a dash for each number that keeps what is claimed of it."""
    if not kept(line):
        return line
    start, end = CLAIM.fullmatch(line).span("numbers")
    return line[:start] + re.sub("[^ ,]+", "-", line[start:end]) + line[end:]


def lines(output):
    """The lines that `output` prints."""
    return "".join(output.get("text", "")).splitlines()


def without_what_differs(outputs):
    """Copies of a cell's `outputs` without the bytes of PNG pictures and the numbers that keep a claim."""
    copies = [nbformat.from_dict(output) for output in outputs]
    for output in copies:
        if "text/html" in output.get("data", {}):
            output["data"]["text/html"] = PIXELS.sub(r"\1", output["data"]["text/html"])
        if "text" in output:
            output["text"] = "\n".join(
                without_numbers(line) if kept(line) else line for line in lines(output)
            )
    return copies


def pytest_itemcollected(item):
    """Let nbval compare the rest."""
    compare = getattr(item, "compare_outputs", None)
    if compare:
        item.compare_outputs = lambda test, ref: compare(
            without_what_differs(test), without_what_differs(ref)
        )


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
        found += [
            f"cell {number} has {line!r}, whose numbers break what is claimed, or of which nothing is claimed"
            for output in cell.outputs
            for line in lines(output)
            if kept(line) is False
        ]
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
