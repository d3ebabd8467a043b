"""The lab's kernel: the committed bytes are its text, and faults in the text are seen.

That it computes what plain JavaScript and PyTorch do is asked in tests/lab/kernel.test.mjs and
tests/test_lab_core.py. Needs wat2wasm; without it these tests skip and say so.
"""

import importlib.util
import shutil
import subprocess

import pytest
from test_lab_core import CORE, ROOT, gradient_errors, needs_node, node_tests

ASSEMBLER = shutil.which("wat2wasm")
pytestmark = pytest.mark.skipif(
    ASSEMBLER is None, reason="NO WAT2WASM: the kernel's bytes were not held to its text. Install wabt."
)


def load_maker():
    spec = importlib.util.spec_from_file_location("make_kernel", ROOT / "data" / "make_kernel.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


maker = load_maker()


def test_the_bytes_are_the_text_assembled():
    assert (CORE / "bytes.mjs").read_text(encoding="utf-8") == maker.script()


FAULTS = {
    "a row forgotten": ("(i32.add (local.get $i) (i32.const 3))", "(i32.add (local.get $i) (i32.const 2))"),
    "the right half from the left": ("(v128.load offset=16 (local.get $b))", "(v128.load (local.get $b))"),
    "no bias in single columns": ("(f32.load (i32.add (local.get $bias) (local.get $j)))", "(f32.const 0)"),
    "the slope at 0": ("(f32x4.gt ", "(f32x4.ge "),
    "sums in single precision": (
        "(f64.add (local.get $s0) (f64.promote_f32 (f32.load (i32.add (local.get $j) (local.get $a0)))))",
        "(f64.promote_f32 (f32.add (f32.demote_f64 (local.get $s0)) "
        "(f32.load (i32.add (local.get $j) (local.get $a0)))))",
    ),
}


@needs_node
@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_text_is_seen(name, tmp_path):
    old, new = FAULTS[name]
    core = shutil.copytree(CORE, tmp_path / "core")
    text = (core / "kernel.wat").read_text(encoding="utf-8")
    assert text.count(old) == 1
    (core / "kernel.wat").write_text(text.replace(old, new), encoding="utf-8")
    (core / "bytes.mjs").write_text(maker.script(core), encoding="utf-8")
    done = node_tests("kernel.test.mjs", core)
    assert done.returncode == 1
    assert "ERR_ASSERTION" in done.stdout


@needs_node
@pytest.mark.slow
def test_without_a_bias_there_is_none(tmp_path):
    """A fault in what stands around the bytes: PyTorch's gradients see it, too."""
    core = shutil.copytree(CORE, tmp_path / "core")
    source = (core / "kernel.mjs").read_text(encoding="utf-8")
    assert source.count("bias?.byteOffset ?? 0") == 1
    (core / "kernel.mjs").write_text(
        source.replace("bias?.byteOffset ?? 0", "(bias ?? W).byteOffset"), encoding="utf-8"
    )
    assert node_tests("kernel.test.mjs", core).returncode == 1
    assert max(gradient_errors("kernel", [(16, 2, 0.2)], core=core).values()) > 1e-3


def test_a_text_that_is_no_module_is_refused(tmp_path):
    (tmp_path / "kernel.wat").write_text("(module (func (export", encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError):
        maker.script(tmp_path)
