"""Full MNIST from IDX files: exact where they are right, a DataError that names the file where not."""

import gzip
import hashlib
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from wganlab import data
from wganlab.data import idx
from wganlab.errors import DataError

SHARED = os.environ.get("WGANLAB_SHARED_DATA")
X = np.random.default_rng(1).integers(0, 256, (5, 28, 28), dtype=np.uint8)
Y = np.array([5, 0, 4, 1, 9], dtype=np.uint8)


def as_idx(values):
    """An IDX file of bytes, written from its definition."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


IMAGES, LABELS = as_idx(X), as_idx(Y)


def write(folder, *, images=IMAGES, labels=LABELS, stem="train", joint="-", end=""):
    folder.mkdir(parents=True, exist_ok=True)
    pack = gzip.compress if end else bytes
    (folder / f"{stem}-images{joint}idx3-ubyte{end}").write_bytes(pack(images))
    (folder / f"{stem}-labels{joint}idx1-ubyte{end}").write_bytes(pack(labels))


def test_pixels_and_labels_are_those_of_the_file(tmp_path):
    write(tmp_path)
    write(tmp_path, stem="t10k", images=as_idx(X[:2]), labels=as_idx(Y[:2]))
    x, labels = data.mnist(tmp_path)
    assert (x.shape, x.dtype, labels.dtype) == ((5, 1, 28, 28), torch.float32, torch.int64)
    assert torch.equal(x, torch.from_numpy(X).float().div(127.5).sub(1).unsqueeze(1))
    assert labels.tolist() == Y.tolist()
    test = data.mnist(str(tmp_path), train=False)
    assert torch.equal(test.x, x[:2])
    assert test.labels.tolist() == [5, 0]


def test_it_is_the_scaling_of_the_digits_that_ship():
    with np.load(data.folder() / "digits.npz") as arrays:
        images = arrays["images"][:3]
    assert torch.equal(data.images.scaled(images[:, None]), data.digits().x[:3])


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("joint", ["-", "."])
@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw", "mnist"])
def test_names_and_places_in_use(tmp_path, place, joint, end):
    write(tmp_path / place, joint=joint, end=end)
    assert data.mnist(tmp_path).labels.tolist() == Y.tolist()


def test_a_folder_with_the_name_of_the_file_that_it_holds(tmp_path):
    """As some unpackers leave it."""
    for name, content in (("train-images-idx3-ubyte", IMAGES), ("train-labels.idx1-ubyte", LABELS)):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(content)
    assert data.mnist(tmp_path).labels.tolist() == Y.tolist()


def test_what_is_packed_is_seen_by_its_content(tmp_path):
    write(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(gzip.compress(IMAGES))
    (tmp_path / "train-labels-idx1-ubyte").rename(tmp_path / "train-labels-idx1-ubyte.gz")
    assert data.mnist(tmp_path).labels.tolist() == Y.tolist()


CUT = gzip.compress(IMAGES)[:-200]
CORRUPT = bytearray(gzip.compress(IMAGES))
CORRUPT[-6] ^= 1  # in the checksum
FAULTS = {
    "empty": (b"", "starts with b''"),
    "html": (b"<!DOCTYPE html>....", "starts with b'<!DO', expected b'.x00.x00.x08.x03'"),
    "header cut": (IMAGES[:10], "not an IDX file of bytes with 3 dimensions"),
    "labels for images": (LABELS, r"starts with b'.x00.x00.x08.x01'"),
    "other type": (b"\0\0\x0d\x03" + IMAGES[4:], "not an IDX file of bytes"),
    "magic": (b"\1" + IMAGES[1:], "not an IDX file of bytes"),
    "one too few": (IMAGES[:-1], r"3920 values \(5 x 28 x 28\).* holds 3919. It was cut"),
    "one too many": (IMAGES + b"\0", r"3920 values .* holds more. It was joined"),
    "none": (as_idx(X[:0]), "says that it holds 0 x 28 x 28 values"),
    "no rows": (as_idx(X[:, :0]), "says that it holds 5 x 0 x 28 values"),
    "huge": (struct.pack(">HBBIII", 0, 8, 3, 2**32 - 1, 2**32 - 1, 28), "says that it holds 4294967295 x"),
    "other size": (as_idx(X[:, :27]), "pictures of 27 x 28 pixels, and MNIST has 28 x 28"),
    "fewer": (as_idx(X[:4]), "holds 4 pictures, and .*train-labels-idx1-ubyte 5 labels"),
    "gzip cut": (CUT, "cannot be read: Compressed file ended"),
    "gzip corrupt": (bytes(CORRUPT), "cannot be read: CRC check failed"),
    "gzip broken": (gzip.compress(IMAGES)[:12] + b"\xff" * 40, "cannot be read"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_file_is_named(tmp_path, name):
    content, says = FAULTS[name]
    write(tmp_path, images=content)
    with pytest.raises(DataError, match=says) as caught:
        data.mnist(tmp_path)
    assert str(tmp_path / "train-images-idx3-ubyte") in str(caught.value)


def test_labels_beyond_nine(tmp_path):
    write(tmp_path, labels=as_idx(Y + 1))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte holds the label 10; expected are 0 to 9"):
        data.mnist(tmp_path)


@pytest.mark.parametrize("header", [IMAGES[:16], struct.pack(">HBBIII", 0, 8, 3, 1_000_000, 28, 28)])
def test_no_more_is_unpacked_than_the_header_says(tmp_path, header):
    """200 MB of zeros behind a header for 5 pictures; a header for a million before nothing."""
    write(tmp_path, images=header, end=".gz")
    if header == IMAGES[:16]:
        with gzip.open(tmp_path / "train-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
            file.write(header)
            for _ in range(200):
                file.write(bytes(1_000_000))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"holds more|holds 0"):
        data.mnist(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


def test_what_is_missing_is_named_with_what_is_there(tmp_path):
    with pytest.raises(DataError, match=r"no file train-images-idx3-ubyte.gz .*holds nothing.*download=True"):
        data.mnist(tmp_path)
    write(tmp_path)
    with pytest.raises(
        DataError, match=r"no file t10k-images-.* holds train-images-idx3-ubyte, train-labels"
    ):
        data.mnist(tmp_path, train=False)
    with pytest.raises(DataError, match=r"other of MNIST does not exist"):
        data.mnist(tmp_path / "other")
    with pytest.raises(DataError, match=r"ubyte of MNIST does not exist, or is no folder"):
        data.mnist(tmp_path / "train-images-idx3-ubyte")


def test_a_folder_that_lacks_a_file_is_never_made_up_for(tmp_path, monkeypatch):
    """Who names a folder gets its content or an error: not that of the cache, and no download."""

    def never(file, folder, download):
        raise AssertionError

    monkeypatch.setattr(idx, "cached", never)
    with pytest.raises(DataError, match=r"has no file"):
        data.mnist(tmp_path, download=True)


def test_a_folder_that_cannot_be_looked_into():
    with pytest.raises(DataError, match=r"MNIST cannot be read: File name too long"):
        data.mnist("x" * 300)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(DataError, match=r"has no file"):
        data.mnist(tmp_path)


def test_the_cache_must_hold_the_published_files(tmp_path, monkeypatch):
    monkeypatch.setenv("WGANLAB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"mnist/train-images-idx3-ubyte is not in the cache"):
        data.mnist()
    write(tmp_path / "mnist")  # it parses, and is not MNIST
    found = hashlib.sha256(IMAGES).hexdigest()
    with pytest.raises(DataError, match=f"was altered: its sha256 is {found}, expected ba891046e650"):
        data.mnist()
    assert data.mnist(tmp_path).labels.tolist() == Y.tolist()  # as a folder of one's own it may be


@pytest.mark.skipif(not SHARED, reason="needs full MNIST: set WGANLAB_SHARED_DATA to a folder with mnist/")
def test_the_published_files(tmp_path, monkeypatch):
    folder = Path(SHARED, "mnist")
    for train, counts in (
        (True, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        (False, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    ):
        x, labels = data.mnist(folder, train=train)
        assert x.shape == (60_000 if train else 10_000, 1, 28, 28)
        assert labels.bincount().tolist() == counts
        assert (x.min().item(), x.max().item()) == (-1, 1)
    cache = tmp_path / "mnist"
    cache.mkdir()
    for file in (*idx.TRAIN, *idx.TEST):  # the stored sha256 and sizes are those of the content
        content = gzip.decompress((folder / f"{file.name}.gz").read_bytes())
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
        (cache / file.name).write_bytes(content)
    md5 = hashlib.md5((cache / "train-images-idx3-ubyte").read_bytes(), usedforsecurity=False).hexdigest()
    assert md5 == "6bbc9ace898e44ae57da46a324031adb"  # as published with the data
    monkeypatch.setenv("WGANLAB_CACHE", str(tmp_path))
    assert torch.equal(data.mnist(train=False).x, x)
    assert data.summary()["mnist"] == "found"


@pytest.mark.skipif(not SHARED, reason="needs full MNIST: set WGANLAB_SHARED_DATA to a folder with mnist/")
def test_the_digits_that_ship_are_among_the_published_ones():
    shipped = data.digits()
    published = data.mnist(Path(SHARED, "mnist"))
    known = {(row.numpy().tobytes(), int(k)) for row, k in zip(published.x, published.labels, strict=True)}
    assert all((row.numpy().tobytes(), int(k)) in known for row, k in zip(*shipped, strict=True))
