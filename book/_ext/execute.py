"""Run notebooks and write them back with their outputs, so that the same input gives the same file.

    python book/_ext/execute.py [notebook ...]        (default: every notebook of the book)

Each notebook runs from its first cell to its last in a new kernel, in its own folder, on one thread. It is
written only if every cell ran and the file stays within 500 kB. Nothing that differs from run to run is kept:
no times, no random cell ids, no editor's metadata.
"""

import argparse
import base64
import io
import os
import sys
import tempfile
import time
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]
LIMIT = 500_000  # bytes of a notebook: a reader downloads it, git keeps every version of it
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

# Before numpy or torch can start threads, here and in the kernels, which inherit it.
os.environ.update(THREADS)

import nbformat  # noqa: E402
import zmq  # noqa: E402
from nbclient import NotebookClient  # noqa: E402
from nbclient.exceptions import CellExecutionError  # noqa: E402
from PIL import Image  # noqa: E402
from traitlets.config import Config  # noqa: E402

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def normalise(notebook):
    """`notebook` with ids 01, 02, ..., one metadata block for all, and sorted cell metadata."""
    width = max(2, len(str(len(notebook.cells))))
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells, 1):
        cell["id"] = f"{number:0{width}}"
        for volatile in ("execution", "collapsed", "ExecuteTime", "scrolled", "jp-MarkdownHeadingCollapsed"):
            cell.metadata.pop(volatile, None)
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in sorted(cell.metadata)})
        cell.source = cell.source.strip("\n")
    return notebook


def dumps(notebook):
    """The notebook as text, the way git compares it best: keys sorted, indent 1, a newline at the end."""
    return (
        nbformat.writes(notebook, version=nbformat.NO_CONVERT, indent=1, sort_keys=True).rstrip("\n") + "\n"
    )


def smaller(picture):
    """A PNG in base64 with the 256 colours that fit it best, or as it is where that is no gain."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    if image.mode == "P":
        return picture
    dpi, found = image.info.get("dpi"), io.BytesIO()
    image = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    image.save(found, "PNG", optimize=True, **({"dpi": dpi} if dpi else {}))
    text = base64.b64encode(found.getvalue()).decode()
    return text if len(text) < len(picture) else picture


def with_smaller_pictures(notebook):
    """`notebook`, each PNG among its outputs `smaller`."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = smaller(output["data"]["image/png"])
    return notebook


def by_file(folder):
    """Settings for kernels reached by files in `folder`: a free TCP port may be taken before they open it."""
    return Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"} if zmq.has("ipc") else {})


def execute(path, timeout=300):
    """Run the notebook at `path`, write it back, return its size in bytes. Raises before it writes."""
    notebook = normalise(nbformat.read(path, as_version=4))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as room:
        NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            record_timing=False,
            config=by_file(room),
            extra_arguments=["--log-level=ERROR"],  # a kernel warns of its own TCP port on each start
            coalesce_streams=True,  # one stdout per cell, however the kernel cut it into messages
            resources={"metadata": {"path": str(path.parent)}},
        ).execute()
    nbformat.validate(normalise(with_smaller_pictures(notebook)))
    text = dumps(notebook)
    size = len(text.encode())
    if size > LIMIT:
        raise ValueError(
            f"{size:,} bytes, and the limit is {LIMIT:,}: fewer or smaller figures (100 dpi are enough)"
        )
    path.write_text(text, encoding="utf-8")
    return size


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: every notebook of the book")
    paths = parser.parse_args(arguments).notebooks or sorted(BOOK.glob("*.ipynb"))
    failed = []
    for path in paths:
        start = time.perf_counter()
        try:
            size = execute(path.resolve())
        except (CellExecutionError, ValueError, OSError, RuntimeError, nbformat.ValidationError) as error:
            failed.append(path)
            print(f"{path}: NOT WRITTEN: {error}", file=sys.stderr, flush=True)
        else:
            print(f"{path}: {time.perf_counter() - start:.1f} s, {size:,} bytes", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
