"""A notebook whose last printed digit was changed fails: nothing that is printed goes unread.

Numbers behind a mark are held to the claim beside them: tests/test_book.py breaks each. The words before the
mark, "weight 10: W1: ≈", are compared letter for letter like a line without one.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.mutation
@pytest.mark.parametrize("path", sorted(ROOT.glob("book/*.ipynb")), ids=lambda path: path.stem)
def test_a_changed_digit_fails(path, tmp_path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    streams = [out for cell in notebook["cells"] for out in cell.get("outputs", []) if out.get("text")]
    for last in reversed(streams):
        text = "".join(last["text"])
        unmarked = re.sub(r"≈.*", lambda match: "-" * len(match[0]), text)
        if places := [match.start() for match in re.finditer(r"\d", unmarked)]:
            break
    place = places[-1]
    last["text"] = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
    shutil.copy(ROOT / "book" / "conftest.py", tmp_path)
    (tmp_path / path.name).write_text(json.dumps(notebook), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "-q",
        "-p",
        "no:cacheprovider",
        "--nbval-current-env",
    ]
    done = subprocess.run([*command, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert "1 failed" in done.stdout, done.stdout
