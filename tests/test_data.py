"""The digits are what they were, and a file that is not says so."""

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
from wganlab.errors import DataError

ARRAYS = {"loss": np.array([3.0, 1.5]), "step": np.array([1, 2])}
ABOUT = {"command": "python make.py", "seed": 3}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A copy of the data, which a test may break."""
    shutil.copy(data.folder() / "digits.npz", tmp_path)
    monkeypatch.setattr(data, "folder", lambda: tmp_path)
    return tmp_path


# Digits


def test_the_digits():
    x, labels = data.digits()
    assert (x.shape, x.dtype) == ((5000, 1, 28, 28), torch.float32)
    assert (labels.shape, labels.dtype) == ((5000,), torch.int64)
    assert labels.tolist() == [k for k in range(10) for _ in range(500)]
    assert x.min().item() == -1
    assert x.max().item() == 1
    assert not torch.isnan(x).any()


def test_the_scaling_is_that_of_bytes():
    with np.load(data.folder() / "digits.npz") as arrays:
        images = arrays["images"]
    x = data.digits().x
    assert images.dtype == np.uint8
    assert torch.equal(((x.squeeze(1) + 1) * 127.5).round().byte(), torch.from_numpy(images))
    for byte in (0, 1, 127, 128, 255):
        found = x.squeeze(1)[torch.from_numpy(images == byte)].unique()
        assert found.tolist() == [pytest.approx(byte / 127.5 - 1, abs=1e-7)]


def test_the_digits_are_dark_with_light_strokes_and_all_different():
    x = data.digits().x
    assert -0.85 < x.mean().item() < -0.65
    assert len(x.flatten(1).unique(dim=0)) == 5000
    mean = x.view(10, 500, 28, 28).mean(1)
    assert mean[0, 14, 14] < mean[1, 14, 14]  # a nought is hollow, a one is not
    assert (mean[:, 0] < -0.99).all()  # margins


def test_reading_twice_gives_independent_tensors():
    one, other = data.digits(), data.digits()
    one.x.zero_()
    assert other.x.min().item() == -1


def test_the_sha256_is_that_of_the_file(folder):
    content = (folder / "digits.npz").read_bytes()
    assert hashlib.sha256(content).hexdigest() == data.DIGITS_SHA256


def test_one_changed_byte_is_found(folder):
    path = folder / "digits.npz"
    content = bytearray(path.read_bytes())
    for place in (0, len(content) // 2, len(content) - 1):
        altered = content.copy()
        altered[place] ^= 1
        path.write_bytes(altered)
        found = hashlib.sha256(altered).hexdigest()
        message = (
            f"digits.npz was altered: its sha256 is {found}, expected {data.DIGITS_SHA256}.*git checkout"
        )
        with pytest.raises(DataError, match=message):
            data.digits()
    path.write_bytes(content)
    assert len(data.digits().x) == 5000


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", None], ids=["empty", "html", "cut"])
def test_another_file_is_found(folder, content):
    path = folder / "digits.npz"
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    with pytest.raises(DataError, match=r"was altered"):
        data.digits()


def test_a_missing_file_is_named(folder):
    (folder / "digits.npz").unlink()
    with pytest.raises(DataError, match=r"digits.npz cannot be read: No such file.*git checkout.*reinstall"):
        data.digits()
    (folder / "digits.npz").mkdir()
    with pytest.raises(DataError, match=r"digits.npz cannot be read"):
        data.digits()


# Where the data lie


def test_the_source_tree_keeps_its_data_beside_the_package():
    package = Path(data.__file__).parent.parent
    expected = package / "_data" if (package / "_data").is_dir() else package.parent / "data"
    assert data.folder() == expected
    assert (expected / "digits.npz").is_file()


def test_an_installed_wheel_keeps_its_data_inside_the_package(tmp_path):
    package = Path(data.__file__).parent.parent
    shutil.copytree(package, tmp_path / "wganlab", ignore=shutil.ignore_patterns("__pycache__", "_data"))
    shutil.copytree(data.folder(), tmp_path / "wganlab" / "_data")
    code = (
        "from wganlab import data; x, labels = data.digits(); print(data.folder(), len(x));"
        "print(len(data.run('digit_features').arrays))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert found.stdout.splitlines() == [f"{tmp_path / 'wganlab' / '_data'} 5000", "8"]


def test_nothing_is_read_at_import(tmp_path):
    package = Path(data.__file__).parent.parent
    shutil.copytree(package, tmp_path / "wganlab", ignore=shutil.ignore_patterns("__pycache__", "_data"))
    code = (
        "from wganlab import data\ntry: data.digits()\nexcept Exception as error: print(type(error).__name__)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert found.stdout.strip() == "DataError"


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
    for name, size in (("train-images-idx3-ubyte", 47_040_016), ("train-labels-idx1-ubyte", 60_008)):
        with (cache / "mnist" / name).open("wb") as file:
            file.truncate(size)
    with (cache / "cifar-10-python.tar.gz").open("wb") as file:
        file.truncate(170_498_071)
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
    assert data.summary()["cache"] == (
        "There is no cache: Could not determine home directory. Set WGANLAB_CACHE to a folder."
    )
    with pytest.raises(DataError, match=r"Set WGANLAB_CACHE"):
        data.mnist()


def test_all_that_was_public_before_the_module_became_a_package_still_is():
    for name in ("digits", "run", "keep", "folder", "Images", "Run", "read_checked", "DIGITS_SHA256"):
        assert hasattr(data, name)
    assert all(hasattr(data, name) for name in data.__all__)


# Kept runs


def test_what_is_kept_comes_back(folder):
    data.keep(folder / "runs", "toy", ARRAYS, ABOUT)
    arrays, about = data.run("toy")
    assert {name: array.tolist() for name, array in arrays.items()} == {"loss": [3.0, 1.5], "step": [1, 2]}
    assert {key: about[key] for key in ABOUT} == ABOUT
    content = (folder / "runs" / "toy.npz").read_bytes()
    assert about["sha256"] == hashlib.sha256(content).hexdigest()
    assert (about["torch"], about["python"]) == (torch.__version__, platform.python_version())
    threads = torch.get_num_threads()
    assert about["machine"].endswith(", one CPU thread" if threads == 1 else f", {threads} CPU threads")
    assert set(ABOUT) == {"command", "seed"}


def test_every_kept_run_is_whole_and_says_how_it_was_made():
    names = sorted(path.stem for path in (data.folder() / "runs").glob("*.json"))
    assert "digit_features" in names
    for name in names:
        arrays, about = data.run(name)
        assert arrays
        for key, array in arrays.items():
            rows = array[1:] if key.endswith(".curve") else array  # no estimate before the first update
            assert rows.dtype.kind != "f" or np.isfinite(rows).all()
        assert about["command"].startswith("python ")
        assert {"torch", "python", "machine"} <= set(about)


def test_a_run_that_is_missing_names_those_that_are_kept(folder):
    with pytest.raises(DataError, match=r"no kept run 'other' .* Kept are: none"):
        data.run("other")
    data.keep(folder / "runs", "toy", ARRAYS, ABOUT)
    data.keep(folder / "runs", "grid", ARRAYS, ABOUT)
    with pytest.raises(DataError, match=r"no kept run 'other' .* Kept are: grid, toy"):
        data.run("other")


def test_a_run_that_was_altered(folder):
    data.keep(folder / "runs", "toy", ARRAYS, ABOUT)
    arrays, about = folder / "runs" / "toy.npz", folder / "runs" / "toy.json"
    kept = json.loads(about.read_text())
    content = arrays.read_bytes()

    arrays.write_bytes(content[:-1] + b"x")
    with pytest.raises(DataError, match=f"toy.npz was altered: .* expected {kept['sha256']}"):
        data.run("toy")
    arrays.unlink()
    with pytest.raises(DataError, match=r"toy.npz cannot be read"):
        data.run("toy")
    arrays.write_bytes(content)
    about.write_text(json.dumps(kept | {"sha256": "0" * 64}))
    with pytest.raises(DataError, match=r"was altered"):
        data.run("toy")
    about.write_text(json.dumps(ABOUT))
    with pytest.raises(DataError, match=r"toy.json does not say the sha256 of its arrays. Restore it"):
        data.run("toy")
    about.write_text("{")
    with pytest.raises(DataError, match=r"no kept run 'toy'"):
        data.run("toy")


def test_no_code_is_run_from_a_kept_file(folder):
    trap = np.array([print], dtype=object)
    with (folder / "trap.npz").open("wb") as file:
        np.savez(file, images=trap)
    content = (folder / "trap.npz").read_bytes()
    (folder / "runs").mkdir()
    (folder / "runs" / "trap.npz").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (folder / "runs" / "trap.json").write_text(json.dumps({"sha256": digest}))
    with pytest.raises(ValueError, match=r"allow_pickle"):
        data.run("trap")
