"""The wheel in an empty folder, as a reader has it: README's snippets and the commands, beside nothing else.

Needs the folder of an installed wheel in WGANLAB_WHEEL (`.ci/run` makes one); without it the tests skip.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SITE = os.environ.get("WGANLAB_WHEEL")
README = Path(__file__).resolve().parents[1] / "README.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
PENALTY = """
import torch

def penalty(critic, x, x_fake):
    eps = torch.rand(len(x), *[1] * (x.ndim - 1))
    x_hat = (eps * x + (1 - eps) * x_fake).requires_grad_()
    (g,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    return {factor} * (g.flatten(1).norm(dim=1) - 1).pow(2).mean()
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SITE, reason="needs an installed wheel: set WGANLAB_WHEEL to its folder"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("empty")


@pytest.fixture
def python(folder):
    """A function of the interpreter's arguments to what it printed, run in that folder beside nothing."""

    def run(*words, code=0):
        bare = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        bare |= {"PYTHONPATH": SITE, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "error", *map(str, words)]
        done = subprocess.run(command, cwd=folder, env=bare, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return run


def test_it_is_the_wheel_that_is_imported(python):
    where = python("-c", "import wganlab; print(wganlab.__file__)").strip()
    assert where == str(Path(SITE) / "wganlab" / "__init__.py")


def test_snippets_of_the_readme_run(python):
    """From the first to the last in one process: the later ones go on with the names of the earlier."""
    assert len(SNIPPETS) >= 3
    text = "\n".join(SNIPPETS)
    assert text.count("until=1000") == 2
    text = text.replace("until=1000", "until=60") + "\nprint(estimate.item(), game.step)"
    estimate, step = python("-c", text).split()
    assert float(estimate) == pytest.approx(1, abs=0.15)  # the second snippet's, of W1 between two lines
    assert int(step) == 60


def test_commands(python, folder):
    wganlab = "-m", "wganlab"
    assert "computes right" in python(*wganlab, "doctor") or "ok" in python(*wganlab, "doctor")
    python(*wganlab, "train", "run", "--data", "ring", "--steps", "20", "--every", "10")
    assert "20 of 20" in python(*wganlab, "train", "run", "--resume")
    python(*wganlab, "sample", "run")
    assert (folder / "run" / "samples.png").read_bytes().startswith(b"\x89PNG")
    assert "W1" in python(*wganlab, "evaluate", "run")
    (folder / "right.py").write_text(PENALTY.format(factor=10))
    (folder / "wrong.py").write_text(PENALTY.format(factor="10 * len(x)"))
    python(*wganlab, "audit", "right.py:penalty")
    python(*wganlab, "audit", "wrong.py:penalty", code=6)
