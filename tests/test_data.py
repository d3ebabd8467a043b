"""What ships is what it was, and a file that is not says so."""

import hashlib
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from wganlab import data
from wganlab.data import _shipped
from wganlab.errors import DataError

ARRAYS = {"loss": np.array([3.0, 1.5]), "step": np.array([1, 2])}
ABOUT = {"command": "python make.py", "seed": 3}
PACKAGE = Path(data.__file__).parent.parent


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A copy of the data, which a test may break."""
    shutil.copy(data.folder() / "digits.npz", tmp_path)
    monkeypatch.setattr(_shipped, "folder", lambda: tmp_path)
    return tmp_path


# Digits


def test_the_digits():
    x, labels = data.digits()
    assert (x.shape, x.dtype) == ((5000, 1, 28, 28), torch.float32)
    assert (labels.shape, labels.dtype) == ((5000,), torch.int64)
    assert labels.tolist() == [k for k in range(10) for _ in range(500)]
    assert (x.min().item(), x.max().item()) == (-1, 1)
    assert len(x.flatten(1).unique(dim=0)) == 5000
    mean = x.view(10, 500, 28, 28).mean(1)
    assert mean[0, 14, 14] < mean[1, 14, 14]  # a nought is hollow, a one is not
    assert (mean[:, 0] < -0.99).all()  # margins
    x.zero_()
    assert data.digits().x.min().item() == -1  # each time new tensors


def test_the_scaling_is_that_of_bytes():
    with np.load(data.folder() / "digits.npz") as arrays:
        images = arrays["images"]
    x = data.digits().x
    assert images.dtype == np.uint8
    assert torch.equal(((x.squeeze(1) + 1) * 127.5).round().byte(), torch.from_numpy(images))
    for byte in (0, 1, 127, 128, 255):
        found = x.squeeze(1)[torch.from_numpy(images == byte)].unique()
        assert found.tolist() == [pytest.approx(byte / 127.5 - 1, abs=1e-7)]


def test_one_changed_byte_is_found(folder):
    path = folder / "digits.npz"
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == data.DIGITS_SHA256
    flipped = [
        content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        for place in (0, len(content) // 2, len(content) - 1)
    ]
    for altered in (*flipped, b"", b"<html>not found</html>", content[:-1]):
        path.write_bytes(altered)
        found = hashlib.sha256(altered).hexdigest()
        message = f"digits.npz was altered: its sha256 is {found}, expected {data.DIGITS_SHA256}.*checkout"
        with pytest.raises(DataError, match=message):
            data.digits()
    path.write_bytes(content)
    assert len(data.digits().x) == 5000


def test_a_missing_file_is_named(folder):
    (folder / "digits.npz").unlink()
    with pytest.raises(DataError, match=r"digits.npz cannot be read: No such file.*git checkout.*reinstall"):
        data.digits()
    (folder / "digits.npz").mkdir()
    with pytest.raises(DataError, match=r"digits.npz cannot be read"):
        data.digits()


# Where the data lie, and what is public


def test_the_source_tree_keeps_its_data_beside_the_package():
    expected = PACKAGE / "_data" if (PACKAGE / "_data").is_dir() else PACKAGE.parent / "data"
    assert data.folder() == expected
    assert (expected / "digits.npz").is_file()


@pytest.mark.slow
def test_an_installed_wheel_keeps_its_data_inside_the_package_and_reads_none_at_import(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "wganlab", ignore=shutil.ignore_patterns("__pycache__", "_data"))
    code = (
        "import sys; from wganlab import data\n"
        "try: print(data.folder(), len(data.digits().x), len(data.results('digit_features').arrays))\n"
        "except Exception as error: print(type(error).__name__)"
    )
    for says in ("DataError", f"{tmp_path / 'wganlab' / '_data'} 5000 8"):
        command = [sys.executable, "-c", code]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
        assert found.stdout.strip() == says
        shutil.copytree(data.folder(), tmp_path / "wganlab" / "_data", dirs_exist_ok=True)


def test_the_public_names_are_all_there():
    assert sorted(data.__all__) == data.__all__
    assert all(callable(getattr(data, name)) for name in data.__all__ if name != "DIGITS_SHA256")


# What is here


def test_the_summary_says_what_is_here_and_never_raises(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("WGANLAB_CACHE", str(cache))
    assert data.summary() == {
        "digits": "ok, 5000 pictures",
        "cache": f"{cache} (not there yet)",
        "mnist": "not found",
        "cifar10": "not found",
    }
    assert not cache.exists()
    (folder / "digits.npz").write_bytes(b"x")
    (cache / "mnist").mkdir(parents=True)
    sizes = {"mnist/train-images-idx3-ubyte": 47_040_016, "cifar-10-python.tar.gz": 170_498_071}
    for name, size in sizes.items():
        with (cache / name).open("wb") as file:
            file.truncate(size)
    found = data.summary()
    assert "digits.npz was altered" in found["digits"]
    assert (found["cache"], found["cifar10"]) == (str(cache), "found")
    assert found["mnist"].startswith("found, but not whole")
    monkeypatch.setenv("WGANLAB_CACHE", "x" * 300)
    assert "File name too long" in data.summary()["cache"]


def test_the_summary_without_a_home(monkeypatch):
    for name in ("WGANLAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nowhere(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nowhere)
    says = "There is no cache: Could not determine home directory. Set WGANLAB_CACHE to a folder."
    assert data.summary()["cache"] == says
    with pytest.raises(DataError, match=r"Set WGANLAB_CACHE"):
        data.mnist()


# Kept results


def test_what_is_saved_comes_back(folder):
    data.save_results(folder / "runs", "toy", ARRAYS, ABOUT)
    arrays, about = data.results("toy")
    assert {name: array.tolist() for name, array in arrays.items()} == {"loss": [3.0, 1.5], "step": [1, 2]}
    assert {key: about[key] for key in ABOUT} == ABOUT
    content = (folder / "runs" / "toy.npz").read_bytes()
    assert about["sha256"] == hashlib.sha256(content).hexdigest()
    assert (about["torch"], about["python"]) == (torch.__version__, platform.python_version())
    threads = torch.get_num_threads()
    assert about["machine"].endswith(", one CPU thread" if threads == 1 else f", {threads} CPU threads")
    assert set(ABOUT) == {"command", "seed"}


def test_all_kept_results_are_whole_and_say_how_they_were_made():
    names = sorted(path.stem for path in (data.folder() / "runs").glob("*.json"))
    assert "digit_features" in names
    for name in names:
        arrays, about = data.results(name)
        assert arrays
        for key, array in arrays.items():
            rows = array[1:] if key.endswith(".curve") else array  # no estimate before the first update
            if (name, key) in (("ablation", "measures"), ("ablation", "more")):
                rows = array[..., :4]  # the last one is the score of the digits, which points have not
                assert np.isnan(array[:2, ..., 4]).all()
            if name == "curves" and key in ("logs", "looks"):  # by design: no number, and no slope
                rows = array[[run[1] not in ("nan-at-zero", "mixes-rows") for run in about["runs"]]]
            assert rows.dtype.kind != "f" or np.isfinite(rows).all()
        assert about["command"].startswith("python ")
        assert {"torch", "python", "machine"} <= set(about)


def test_results_that_are_missing_name_those_that_are_kept(folder):
    with pytest.raises(DataError, match=r"no results 'other' .* Kept are: none"):
        data.results("other")
    for name in ("toy", "grid"):
        data.save_results(folder / "runs", name, ARRAYS, ABOUT)
    with pytest.raises(DataError, match=r"no results 'other' .* Kept are: grid, toy"):
        data.results("other")


def test_results_that_were_altered(folder):
    data.save_results(folder / "runs", "toy", ARRAYS, ABOUT)
    arrays, about = folder / "runs" / "toy.npz", folder / "runs" / "toy.json"
    kept = json.loads(about.read_text())
    content = arrays.read_bytes()

    arrays.write_bytes(content[:-1] + b"x")
    with pytest.raises(DataError, match=f"toy.npz was altered: .* expected {kept['sha256']}"):
        data.results("toy")
    arrays.unlink()
    with pytest.raises(DataError, match=r"toy.npz cannot be read"):
        data.results("toy")
    arrays.write_bytes(content)
    for text, says in (
        (json.dumps(kept | {"sha256": "0" * 64}), "was altered"),
        (json.dumps(ABOUT), "toy.json does not say the sha256 of its arrays. Restore it"),
        ("{", "no results 'toy'"),
    ):
        about.write_text(text)
        with pytest.raises(DataError, match=says):
            data.results("toy")


def test_no_code_is_run_from_a_kept_file(folder):
    data.save_results(folder / "runs", "trap", {"images": np.array([print], dtype=object)}, ABOUT)
    with pytest.raises(ValueError, match=r"allow_pickle"):
        data.results("trap")
