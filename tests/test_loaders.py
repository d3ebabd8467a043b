"""MNIST and CIFAR-10 as published: exact where they are right, a DataError that names the file where not.

Pickles are not executed, archives not extracted, and nothing a file says makes us allocate much.
"""

import gzip
import hashlib
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from wganlab import data
from wganlab.data import _cifar, _mnist
from wganlab.errors import DataError

SHARED = os.environ.get("WGANLAB_SHARED_DATA")
needs_shared = pytest.mark.skipif(not SHARED, reason="needs MNIST and CIFAR-10: set WGANLAB_SHARED_DATA")
RNG = np.random.default_rng(1)


def as_tensor(pixels, *shape):
    return torch.from_numpy(pixels.astype(np.float32)).div(127.5).sub(1).view(-1, *shape)


def refused(read, says, *, bytes_at_most):
    """``read`` raises a ``DataError`` that says so, and allocates no more."""
    tracemalloc.start()
    with pytest.raises(DataError, match=says):
        read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < bytes_at_most


# MNIST

X = RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8)
Y = np.array([5, 0, 4, 1, 9], dtype=np.uint8)


def as_idx(values):
    """An IDX file of bytes, written from its definition."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


IMAGES, LABELS = as_idx(X), as_idx(Y)


def write_mnist(folder, *, images=IMAGES, labels=LABELS, stem="train", joint="-", end=""):
    folder.mkdir(parents=True, exist_ok=True)
    pack = gzip.compress if end else bytes
    (folder / f"{stem}-images{joint}idx3-ubyte{end}").write_bytes(pack(images))
    (folder / f"{stem}-labels{joint}idx1-ubyte{end}").write_bytes(pack(labels))
    return folder


def test_pixels_and_labels_are_those_of_the_file(tmp_path):
    write_mnist(tmp_path)
    write_mnist(tmp_path, stem="t10k", images=as_idx(X[:2]), labels=as_idx(Y[:2]))
    x, labels = data.mnist(tmp_path)
    assert (x.shape, x.dtype, labels.dtype) == ((5, 1, 28, 28), torch.float32, torch.int64)
    assert torch.equal(x, as_tensor(X, 1, 28, 28))
    assert labels.tolist() == Y.tolist()
    test = data.mnist(str(tmp_path), train=False)
    assert torch.equal(test.x, x[:2])
    assert test.labels.tolist() == [5, 0]


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("joint", ["-", "."])
@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw", "mnist"])
def test_names_and_places_in_use(tmp_path, place, joint, end):
    write_mnist(tmp_path / place, joint=joint, end=end)
    assert data.mnist(tmp_path).labels.tolist() == Y.tolist()


def test_a_folder_with_the_name_of_the_file_that_it_holds_and_gzip_without_its_ending(tmp_path):
    for name, content in (
        ("train-images-idx3-ubyte", gzip.compress(IMAGES)),
        ("train-labels.idx1-ubyte", LABELS),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(content)
    assert data.mnist(tmp_path).labels.tolist() == Y.tolist()


CORRUPT = bytearray(gzip.compress(IMAGES))
CORRUPT[-6] ^= 1  # in the checksum
IDX_FAULTS = {
    "empty": (b"", "no IDX file of .* after b'', expected b'.x00.x00.x08.x03'"),
    "html": (b"<!DOCTYPE html>....", "no IDX file of .* after b'<!DO', expected b'.x00.x00.x08.x03'"),
    "header cut": (IMAGES[:10], r"no IDX file .* it says \[5\]"),
    "labels for images": (LABELS, r"after b'.x00.x00.x08.x01'"),
    "magic": (b"\1" + IMAGES[1:], "no IDX file"),
    "one too few": (IMAGES[:-1], r"should hold 3920 bytes .* holds 3919"),
    "one too many": (IMAGES + b"\0", r"should hold 3920 bytes .* holds more"),
    "none": (as_idx(X[:0]), r"it says \[0, 28, 28\]"),
    "huge": (struct.pack(">HBBIII", 0, 8, 3, 2**32 - 1, 28, 28), r"it says \[4294967295, 28"),
    "other size": (
        as_idx(X[:, :27]),
        r"\(28, 28\) bytes.* it says \[5, 27, 28\].*for other pictures use data.images",
    ),
    "fewer": (as_idx(X[:4]), "holds 4 pictures, and .*train-labels-idx1-ubyte 5 labels"),
    "gzip cut": (gzip.compress(IMAGES)[:-200], "cannot be read: Compressed file ended"),
    "gzip corrupt": (bytes(CORRUPT), "cannot be read: CRC check failed"),
    "gzip broken": (gzip.compress(IMAGES)[:12] + b"\xff" * 40, "cannot be read"),
}


@pytest.mark.parametrize("name", IDX_FAULTS)
def test_a_wrong_file_is_named(tmp_path, name):
    content, says = IDX_FAULTS[name]
    write_mnist(tmp_path, images=content)
    with pytest.raises(DataError, match=says) as caught:
        data.mnist(tmp_path)
    assert str(tmp_path / "train-images-idx3-ubyte") in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "says"), [(as_idx(Y + 1), "label 10; expected are 0 to 9"), (LABELS[:5], "no IDX")]
)
def test_wrong_labels(tmp_path, labels, says):
    write_mnist(tmp_path, labels=labels)
    with pytest.raises(DataError, match=f"train-labels-idx1-ubyte .*{says}"):
        data.mnist(tmp_path)


def test_no_more_is_unpacked_than_the_header_says(tmp_path):
    """200 MB of zeros behind a header for 5 pictures; a header for a million before nothing."""
    content = IMAGES[:16] + bytes(200_000_000)
    write_mnist(tmp_path, images=content, end=".gz")
    refused(lambda: data.mnist(tmp_path), "holds more", bytes_at_most=3_000_000)
    write_mnist(tmp_path, images=struct.pack(">HBBIII", 0, 8, 3, 1_000_000, 28, 28), end=".gz")
    refused(lambda: data.mnist(tmp_path), "holds 0", bytes_at_most=3_000_000)


# CIFAR-10

NAMES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
PIXELS = {name: RNG.integers(0, 256, (4, 3072), dtype=np.uint8) for name in NAMES}
DIGITS = {name: RNG.integers(0, 10, 4).tolist() for name in NAMES}
LAST = PIXELS["test_batch"]


def of_python_2(pixels, labels):
    """A batch as Python 2 wrote it, protocol 2: its strings are bytes, opcode by opcode."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    content = pixels.tobytes()
    array = (
        *(
            b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85",
            text(b"b"),
            b"\x87R",
        ),
        *(b"(K\x01J", struct.pack("<i", len(pixels)), b"M\x00\x0c\x86"),
        *(b"cnumpy\ndtype\nq\x03", text(b"u1"), b"K\x00K\x01\x87R"),
        *(b"(K\x03", text(b"|"), b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"),
        *(b"T", struct.pack("<i", len(content)), content, b"tb"),
    )
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    names = b"](" + b"".join(text(b"a_s_%06d.png" % k) for k in range(len(labels))) + b"e"
    return b"".join(
        (
            *(b"\x80\x02}q\x00(", text(b"batch_label"), text(b"training batch 1 of 5")),
            *(text(b"labels"), listed, text(b"data"), *array, text(b"filenames"), names, b"u."),
        )
    )


def of_python_3(pixels, labels, protocol=2):
    return pickle.dumps({b"data": pixels, b"labels": labels}, protocol=protocol)


def binary(pixels, labels):
    return b"".join(bytes([label]) + row.tobytes() for row, label in zip(pixels, labels, strict=True))


BATCH = of_python_2(LAST, DIGITS["test_batch"])
LAYOUTS = {
    "python 2": ("cifar-10-batches-py", "", "cifar-10-python.tar.gz", of_python_2),
    "python 3": ("cifar-10-batches-py", "", "cifar-10-python.tar.gz", of_python_3),
    "binary": ("cifar-10-batches-bin", ".bin", "cifar-10-binary.tar.gz", binary),
}


def write_folder(folder, layout="python 2"):
    place, end, _, write = LAYOUTS[layout]
    (folder / place).mkdir(parents=True)
    for name in NAMES:
        (folder / place / f"{name}{end}").write_bytes(write(PIXELS[name], DIGITS[name]))
    return folder / place


def member(name, content=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), link
    return info, content


def write_archive(path, members, mode="w:gz", style=tarfile.USTAR_FORMAT):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, mode, format=style, pax_headers={"comment": "x" * 300}) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def batches(layout="python 2", prefix=""):
    """The members of a published archive: not in the order of their names."""
    place, end, _, write = LAYOUTS[layout]
    members = [member(f"{prefix}{place}/{name}{end}", write(PIXELS[name], DIGITS[name])) for name in NAMES]
    meta = member(f"{place}/batches.meta", b"not read")
    return [member(place, kind=tarfile.DIRTYPE), members[3], meta, members[5], *members[:3], members[4]]


def is_whole(folder):
    for train, names in ((True, NAMES[:5]), (False, NAMES[5:])):
        found = data.cifar10(folder, train=train)
        assert (found.x.dtype, found.labels.dtype) == (torch.float32, torch.int64)
        assert torch.equal(found.x, as_tensor(np.concatenate([PIXELS[name] for name in names]), 3, 32, 32))
        assert found.labels.tolist() == [label for name in names for label in DIGITS[name]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_published_folder_or_archive(tmp_path, layout):
    place = write_folder(tmp_path / "folder", layout)
    is_whole(tmp_path / "folder")
    is_whole(str(place))
    path = write_archive(tmp_path / "archive" / LAYOUTS[layout][2], batches(layout))
    is_whole(tmp_path / "archive")
    is_whole(path)
    assert os.listdir(tmp_path / "archive") == [path.name]  # nothing was extracted


@pytest.mark.parametrize("style", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_an_archive_made_by_hand(tmp_path, style):
    """Not packed, with ``./``, and with records for long names and times."""
    members = [member("a/" * 200 + "long", b"1"), *batches(prefix="./")]
    for info, _ in members:
        info.mtime = 1.5
    write_archive(tmp_path / "cifar-10-python.tar", members, "w", style)
    is_whole(tmp_path)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_of_later_pythons_and_other_numpys(protocol):
    content = of_python_3(LAST, DIGITS["test_batch"], protocol)
    here, other = b"numpy._core.multiarray", b"numpy.core.multiarray"
    if here not in content:
        here, other = other, here
    for pickled in (content, content.replace(here, other)) if protocol < 4 else (content,):
        pixels, labels = _cifar.read_batch(pickled, "x")
        assert np.array_equal(pixels, LAST)
        assert labels.tolist() == DIGITS["test_batch"]


def test_it_reads_what_pickle_reads():
    """The oracle: Python's own unpickler, which runs what it is told."""
    own = pickle.loads(BATCH, encoding="bytes")
    assert np.array_equal(own[b"data"], LAST)
    pixels, labels = _cifar.read_batch(BATCH, "x")
    assert np.array_equal(pixels, own[b"data"])
    assert labels.tolist() == own[b"labels"]


def test_a_published_batch_keeps_within_the_limits():
    content = of_python_2(np.zeros((10_000, 3072), dtype=np.uint8), [9] * 10_000)
    assert 30_720_000 < len(content) < _cifar.LIMIT / 2
    assert len(_cifar.read_batch(content, "x")[0]) == 10_000
    # Python 3 writes each byte from 128 as two: even then white pictures keep within
    assert len(of_python_3(np.full((100, 3072), 255, dtype=np.uint8), [9] * 100)) * 100 < _cifar.LIMIT


# Pickles that are something else


class Runs:
    """A gadget: unpickled as usual, it calls ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def evil(canary):
    touch = f"import pathlib; pathlib.Path({str(canary)!r}).write_text('x')"
    for protocol in range(6):
        yield pickle.dumps({b"data": Runs(exec, touch), b"labels": []}, protocol=protocol)
        yield pickle.dumps({b"data": Runs(os.system, f"touch '{canary}'"), b"labels": []}, protocol=protocol)
        yield pickle.dumps(Runs(subprocess.check_output, ["touch", str(canary)]), protocol=protocol)
        yield pickle.dumps(Runs(np.load, str(canary)), protocol=protocol)
    yield b"\x80\x02cbuiltins\nexec\n(X" + struct.pack("<i", len(touch)) + touch.encode() + b"tR."
    yield b"(ios\nsystem\n" + f"S'touch {canary}'\n".encode() + b"."  # INST
    yield b"\x80\x02(cos\nsystem\nX\x01\x00\x00\x00ao."  # OBJ
    yield b"\x80\x02cbuiltins\nexec\nX\x01\x00\x00\x00a\x85\x81."  # NEWOBJ
    yield b"\x80\x02X\x01\x00\x00\x00aQ."  # a persistent id
    yield b"\x80\x02\x82\x01."  # an extension's code
    yield b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x01a\x85R."  # STACK_GLOBAL
    yield b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.ctypes\x93."  # a dotted name
    yield b"\x80\x02cnumpy\nndarray\n(K\x01tR."  # an array made by the pickle itself


def test_nothing_that_a_pickle_names_is_run(tmp_path):
    canary = tmp_path / "canary"
    count = 0
    for content in evil(canary):
        with pytest.raises(DataError, match=r"(?s)trap is not a batch of CIFAR-10: .*Nothing in it was run"):
            _cifar.read_batch(content, "trap")
        count += 1
    assert count == 33
    assert not canary.exists()


@pytest.mark.parametrize("name", ["numpy\ndtype", "numpy.core.multiarray\n_reconstruct", "_codecs\nencode"])
def test_a_state_changes_nothing_for_later_files(name):
    """BUILD on what a name stands for, with slots to set: the way to leave something behind."""
    for state in (b"}X\x05\x00\x00\x00stateK\x07s", b"N}X\x05\x00\x00\x00stateK\x07s\x86"):
        with pytest.raises(DataError):
            _cifar.read_batch(f"\x80\x02c{name}\n".encode("latin1") + state + b"b.", "x")
    assert "state" not in vars(_cifar.Recorded)
    assert np.array_equal(_cifar.read_batch(BATCH, "x")[0], LAST)


BOMBS = {  # a few bytes that ask for gigabytes
    "memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    "bytes": b"\x80\x03B" + struct.pack("<I", 1 << 31) + b".",
    "bytes8": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"N.",
    "lists": b"\x80\x02" + b"]" * 5_000_000 + b".",
    "long": b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b".",
    "shape": BATCH.replace(b"(K\x01J\x04\x00\x00\x00", b"(K\x01J\xff\xff\xff\x7f"),
    "objects": BATCH.replace(b"U\x02u1", b"U\x02O8"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_few_bytes_do_not_allocate_gigabytes(name):
    says = "bomb is not a batch of CIFAR-10"
    refused(lambda: _cifar.read_batch(BOMBS[name], "bomb"), says, bytes_at_most=40_000_000)


def test_memory_that_is_not_python_s_own_is_bounded_too():
    """tracemalloc does not see all: the same bombs in a process that may have 100 MB more than it has."""
    code = (
        "import resource, sys; from wganlab.data import _cifar; from wganlab.errors import DataError\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 100_000_000,) * 2)\n"
        "for bomb in eval(sys.stdin.read()):\n"
        "    try: _cifar.read_batch(bomb, 'x')\n"
        "    except DataError as error: print('refused', 'MemoryError' in str(error))\n"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    command, bombs = [sys.executable, "-c", code], repr(list(BOMBS.values()))
    found = subprocess.run(command, input=bombs, capture_output=True, text=True, timeout=120)
    assert found.stdout.splitlines() == ["refused False"] * len(BOMBS), found.stderr


OTHER = {
    "no dict": (pickle.dumps([1], 2), "is not a batch"),
    "no data": (pickle.dumps({b"labels": [1]}, 2), "KeyError: 'data'"),
    "data no array": (pickle.dumps({b"data": 1, b"labels": [1]}, 2), "is not a batch"),
    "floats": (of_python_3(LAST.astype("f4"), [1] * 4), "not an array of n rows of 3072 bytes"),
    "columns": (of_python_3(np.asfortranarray(LAST), [1] * 4), "not an array of n rows of 3072 bytes"),
    "one dimension": (of_python_3(LAST[0], [1]), "not an array of n rows of 3072 bytes"),
    "other rows": (of_python_3(LAST[:, :3071].copy(), [1] * 4), "not an array of n rows of 3072 bytes"),
    "label 10": (of_python_2(LAST, [1, 2, 3, 10]), "from 0 to 9"),
    "label -1": (of_python_3(LAST, [1, 2, 3, -1]), "from 0 to 9"),
    "label 1.5": (of_python_3(LAST, [1, 2, 3, 1.5]), "from 0 to 9"),
    "label huge": (of_python_3(LAST, [1, 2, 3, 1 << 70]), "from 0 to 9"),
    "labels nested": (of_python_3(LAST, [[1], [2], [3], [4, 5]]), "is not a batch"),
    "too few labels": (of_python_2(LAST, [1, 2, 3]), "cannot reshape"),
    "none": (of_python_2(LAST[:0], []), "is not a batch"),
    "empty": (b"", "is not a batch"),
    "html": (b"<!DOCTYPE html><title>404</title>", "is not a batch"),
    "cut": (BATCH[:-1], "is not a batch"),
}


@pytest.mark.parametrize("name", OTHER)
def test_pickles_of_something_else_are_refused(name):
    content, says = OTHER[name]
    with pytest.raises(DataError, match=says):
        _cifar.read_batch(content, "x")


def test_a_thousand_damaged_pickles_raise_a_data_error_or_are_batches():
    small = of_python_2(LAST[:1], [3])
    pixels = small.index(LAST[0].tobytes())
    wild, refusals = random.Random(3), 0
    for _ in range(1000):
        damaged = bytearray(small)
        for _ in range(wild.choice((1, 1, 2, 5))):  # in what is not pixels
            place = wild.randrange(len(small) - 3072)
            damaged[place if place < pixels else place + 3072] = wild.randrange(256)
        try:
            found, labels = _cifar.read_batch(bytes(damaged), "x")
        except DataError:
            refusals += 1
        else:
            assert found.shape == (len(labels), 3072)
            assert 0 <= labels.min() <= labels.max() <= 9
    assert refusals > 300


# Folders that are not whole


@pytest.mark.parametrize(
    ("load", "name"), [(data.mnist, "train-images-idx3-ubyte"), (data.cifar10, "data_batch_1")]
)
def test_what_is_missing_is_named_with_what_is_there(tmp_path, monkeypatch, load, name):
    """Who names a folder gets its content or an error: not that of the cache, and no download."""
    monkeypatch.setattr(_mnist, "cached", None)
    monkeypatch.setattr(_cifar, "cached", None)
    with pytest.raises(
        DataError, match=rf"has none of .*{name}.*it holds nothing.*{load.__name__}.download=True"
    ):
        load(tmp_path, download=True)
    (tmp_path / "other").write_text("x")
    os.mkfifo(tmp_path / name)  # would wait for ever
    with pytest.raises(DataError, match=rf"it holds {min(name, 'other')}, {max(name, 'other')}"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"nowhere cannot be read: No such file"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"cannot be read: File name too long"):
        load("x" * 300)


def test_batches_that_are_missing_or_of_other_lengths(tmp_path):
    place = write_folder(tmp_path)
    (place / "data_batch_3").write_bytes(of_python_2(LAST[:3], [1, 2, 3]))
    with pytest.raises(DataError, match=r"'data_batch_3', .* hold \[4, 4, 3, 4, 4\] pictures"):
        data.cifar10(tmp_path)
    (place / "data_batch_4").unlink()
    with pytest.raises(DataError, match=r"data_batch_4 is missing"):
        data.cifar10(tmp_path)
    os.mkfifo(place / "data_batch_4")
    with pytest.raises(DataError, match=r"data_batch_4 is missing, too long, or no regular file"):
        data.cifar10(tmp_path)


def test_binary_batches_that_are_wrong(tmp_path, monkeypatch):
    path = write_folder(tmp_path, "binary") / "data_batch_2.bin"
    whole = path.read_bytes()
    wrong = (
        (whole[:-1], "reshape array of size 12291"),
        (b"", "ValueError"),
        (b"\x0a" + whole[1:], "0 to 9"),
    )
    for content, says in wrong:
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"data_batch_2.bin is not a batch of CIFAR-10: .*{says}"):
            data.cifar10(tmp_path)
    monkeypatch.setattr(_cifar, "LIMIT", 4 * 3073 - 1)
    with pytest.raises(DataError, match=r"data_batch_1.bin is missing, too long"):
        data.cifar10(tmp_path)


def test_the_cache_must_hold_the_published_files(tmp_path, monkeypatch):
    monkeypatch.setenv("WGANLAB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz is not in the cache.*download=True"):
        data.cifar10()
    with pytest.raises(DataError, match=r"mnist/train-images-idx3-ubyte is not in the cache"):
        data.mnist()
    write_archive(tmp_path / "cifar-10-python.tar.gz", batches())
    write_mnist(tmp_path / "mnist")  # they can be read, and are not the published ones
    with pytest.raises(DataError, match=r"was altered: .* expected 6d958be074577803"):
        data.cifar10()
    found = hashlib.sha256(IMAGES).hexdigest()
    with pytest.raises(DataError, match=f"was altered: its sha256 is {found}, expected ba891046e650"):
        data.mnist()
    is_whole(tmp_path)  # as a folder of one's own it may hold other pixels
    assert data.mnist(tmp_path).labels.tolist() == Y.tolist()


# Archives that attack (row 23)

LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)


def attacks(outside):
    """Members that would write outside, or be something else, were they extracted."""
    return [
        *(member(f"{'../' * k}evil", b"x") for k in range(1, 6)),
        *(member(str(outside / "evil"), b"x"), member("cifar-10-batches-py/../../evil", b"x")),
        *(member(f"link{kind.decode()}", kind=kind, link=str(outside / "evil")) for kind in LINKS),
        member("cifar-10-batches-py", kind=tarfile.SYMTYPE, link=str(outside)),
        member("cifar-10-batches-py/batches.meta", kind=tarfile.LNKTYPE, link="../../evil"),
    ]


def test_members_that_were_not_asked_for_are_passed_over(tmp_path, monkeypatch):
    inside, outside = tmp_path / "deep" / "in" / "side", tmp_path / "outside"
    inside.mkdir(parents=True)
    outside.mkdir()
    monkeypatch.chdir(inside)
    write_archive(inside / "cifar-10-python.tar.gz", [*attacks(outside), *batches(), *attacks(outside)])
    before = {path: path.lstat() for path in tmp_path.rglob("*")}
    is_whole(inside)
    after = {path: path.lstat() for path in tmp_path.rglob("*")}
    assert [(path, stat.st_mtime_ns) for path, stat in before.items()] == [
        (path, stat.st_mtime_ns) for path, stat in after.items()
    ]


@pytest.mark.parametrize("kind", [*LINKS, tarfile.DIRTYPE])
def test_a_batch_that_is_no_regular_file(tmp_path, kind):
    members = [member("cifar-10-batches-py/data_batch_2", kind=kind, link="/etc/passwd"), *batches()]
    path = write_archive(tmp_path / "cifar-10-python.tar.gz", members)
    with pytest.raises(DataError, match=r"data_batch_2 is twice there, too long, or no regular file"):
        data.cifar10(path)


def test_a_batch_that_is_missing_twice_there_or_too_long(tmp_path, monkeypatch):
    path = tmp_path / "cifar-10-python.tar.gz"
    write_archive(path, batches()[2:])
    with pytest.raises(DataError, match=r"it has no data_batch_4"):
        data.cifar10(path)
    write_archive(path, [*batches(), *batches()])
    with pytest.raises(DataError, match=r"data_batch_4 is twice there"):
        data.cifar10(path)
    write_archive(path, batches())
    monkeypatch.setattr(_cifar, "LIMIT", 1000)
    with pytest.raises(DataError, match=r"data_batch_4 is .* too long"):
        data.cifar10(path)


def header(name, size=0, kind=tarfile.REGTYPE, *, at=0, bytes_there=b""):
    """A tar header; ``bytes_there`` stand at byte ``at``, under a right checksum."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[at : at + len(bytes_there)] = bytes_there
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


MB = 1_000_000
BACK = {"at": 124, "bytes_there": b"\xff" * 10 + b"\xfc\0"}  # a size of -1024
LOOP = header("x") * 2 + header("x", **BACK)
MAP = (b"00000000001\0" * 42 + b"\1").ljust(512, b"\0")  # of a sparse file, and more of it follows
HUGE = {  # what an archive starts with, what follows 200 times, and what is said under a limit of 100 MB
    "a member": (header("x", 200 * MB), bytes(MB), "unpacks to more"),
    "a terabyte": (header("x", 1 << 40), b"", "unpacks to more"),
    "its end": (bytes(1024), bytes(MB), "unpacks to more"),
    "a batch": (header("cifar-10-batches-py/data_batch_1", 200 * MB), bytes(MB), "too long"),
    "a pax record": (header("x", 200 * MB, tarfile.XHDTYPE), bytes(MB), "its headers have more"),
    "a global record": (header("x", 200 * MB, tarfile.XGLTYPE), bytes(MB), "its headers have more"),
    "a long name": (header("x", 200 * MB, tarfile.GNUTYPE_LONGNAME), bytes(MB), "its headers have more"),
    "empty members": (b"", header("x") * 2000, "its headers have more"),
    "pax records": (b"", header("x", kind=tarfile.XHDTYPE) * 2000, "cannot be read"),
    "sparse map": (
        header("x", kind=tarfile.GNUTYPE_SPARSE, at=482, bytes_there=b"\1"),
        MAP * 2000,
        "its headers",
    ),
    "a way back": (LOOP, b"", "leads back|offset"),  # later Pythons refuse it first
    "a batch of less": (header("cifar-10-batches-py/data_batch_1", **BACK), b"", "not a batch|offset"),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_bomb_is_not_unpacked(tmp_path, name, monkeypatch):
    """200 MB in some 200 kB, members without number, sizes that lead back."""
    monkeypatch.setattr(_cifar, "WHOLE", 100 * MB)
    start, piece, says = HUGE[name]
    path = tmp_path / "cifar-10-python.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(200):
            file.write(piece)
    assert path.stat().st_size < 3 * MB
    refused(lambda: data.cifar10(path), f"cifar-10-python.tar.gz.*({says})", bytes_at_most=10 * MB)


def test_damage_anywhere_in_an_archive_is_found(tmp_path):
    """gzip's own checksum is read to the end, so that not one pixel is silently another."""
    path = write_archive(tmp_path / "cifar-10-python.tar.gz", batches())
    content = path.read_bytes()
    wild = random.Random(4)
    cases = [content[:size] for size in (0, 1, 20, len(content) // 2, len(content) - 1)]
    cases.append(b"<!DOCTYPE html>" * 100)
    for place in (*(wild.randrange(10, len(content)) for _ in range(100)), len(content) - 1):
        damaged = bytearray(content)
        damaged[place] ^= 1 << wild.randrange(8)
        cases.append(bytes(damaged))
    for case in cases:
        path.write_bytes(case)
        with pytest.raises(DataError, match=r"cifar-10-python.tar.gz.*Get it anew"):
            data.cifar10(path)


# The real files


@needs_shared
def test_the_published_mnist(tmp_path, monkeypatch):
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
    for file in (*_mnist.TRAIN, *_mnist.TEST):  # the stored sha256 and sizes are those of the content
        content = gzip.decompress((folder / f"{file.name}.gz").read_bytes())
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
        (cache / file.name).write_bytes(content)
    md5 = hashlib.md5((cache / "train-images-idx3-ubyte").read_bytes(), usedforsecurity=False).hexdigest()
    assert md5 == "6bbc9ace898e44ae57da46a324031adb"  # as published with the data
    monkeypatch.setenv("WGANLAB_CACHE", str(tmp_path))
    assert torch.equal(data.mnist(train=False).x, x)
    assert data.summary()["mnist"] == "found"


@needs_shared
def test_the_digits_that_ship_are_among_the_published_ones():
    shipped = data.digits()
    published = data.mnist(Path(SHARED, "mnist"))
    known = {(row.numpy().tobytes(), int(k)) for row, k in zip(published.x, published.labels, strict=True)}
    assert all((row.numpy().tobytes(), int(k)) in known for row, k in zip(*shipped, strict=True))


@pytest.mark.slow
@needs_shared
def test_cifar_10_of_the_published_size(tmp_path):
    subprocess.run([sys.executable, Path(SHARED, "unpack_cifar10.py"), tmp_path], check=True, timeout=600)
    x, labels = data.cifar10(tmp_path, train=False)
    own = pickle.loads((tmp_path / "cifar-10-batches-py" / "test_batch").read_bytes())
    assert labels.tolist() == own[b"labels"]
    assert torch.equal(x, as_tensor(own[b"data"], 3, 32, 32))
    del x, own
    x, labels = data.cifar10(tmp_path)
    assert x.shape == (50_000, 3, 32, 32)
    assert labels.bincount().tolist() == [5000] * 10
