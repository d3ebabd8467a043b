"""CIFAR-10 in its published layouts; pickles that are not executed, archives that are not extracted."""

import gzip
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
from wganlab.data import archive, cifar, pickles
from wganlab.errors import DataError

SHARED = os.environ.get("WGANLAB_SHARED_DATA")
NAMES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
RNG = np.random.default_rng(1)
PIXELS = {name: RNG.integers(0, 256, (4, 3072), dtype=np.uint8) for name in NAMES}
LABELS = {name: RNG.integers(0, 10, 4).tolist() for name in NAMES}


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


LAYOUTS = {
    "python 2": ("cifar-10-batches-py", "", "cifar-10-python.tar.gz", of_python_2),
    "python 3": ("cifar-10-batches-py", "", "cifar-10-python.tar.gz", of_python_3),
    "binary": ("cifar-10-batches-bin", ".bin", "cifar-10-binary.tar.gz", binary),
}


def write_folder(folder, layout="python 2"):
    place, end, _, write = LAYOUTS[layout]
    (folder / place).mkdir(parents=True)
    for name in NAMES:
        (folder / place / f"{name}{end}").write_bytes(write(PIXELS[name], LABELS[name]))
    return folder


def member(name, content=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), link
    return info, content


def write_archive(path, members, mode="w:gz"):
    with tarfile.open(path, mode, format=tarfile.USTAR_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def batches(layout="python 2"):
    """The members of a published archive: not in the order of their names."""
    place, end, _, write = LAYOUTS[layout]
    members = [member(f"{place}/{name}{end}", write(PIXELS[name], LABELS[name])) for name in NAMES]
    meta = member(f"{place}/batches.meta", b"not read")
    return [member(place, kind=tarfile.DIRTYPE), members[3], meta, members[5], *members[:3], members[4]]


def expected(names):
    pixels = torch.from_numpy(np.concatenate([PIXELS[name] for name in names]))
    x = pixels.float().div(127.5).sub(1).reshape(-1, 3, 32, 32)
    return x, [label for name in names for label in LABELS[name]]


def is_whole(folder):
    for train, names in ((True, NAMES[:5]), (False, NAMES[5:])):
        found = data.cifar10(folder, train=train)
        x, labels = expected(names)
        assert (found.x.dtype, found.labels.dtype) == (torch.float32, torch.int64)
        assert torch.equal(found.x, x)
        assert found.labels.tolist() == labels


# What is right


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_published_folder(tmp_path, layout):
    write_folder(tmp_path, layout)
    is_whole(tmp_path)
    is_whole(str(tmp_path / LAYOUTS[layout][0]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_published_archive(tmp_path, layout):
    path = write_archive(tmp_path / LAYOUTS[layout][2], batches(layout))
    is_whole(tmp_path)
    is_whole(path)
    assert os.listdir(tmp_path) == [path.name]  # nothing was extracted


def test_an_archive_that_is_not_packed_or_was_made_by_hand(tmp_path):
    members = [(info, content) for info, content in batches()]
    for info, _ in members:
        info.name = f"./{info.name}"
    write_archive(tmp_path / "cifar-10-python.tar", members, "w")
    is_whole(tmp_path)


def test_records_for_long_names_and_times_are_passed_over(tmp_path):
    for style in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        path = tmp_path / str(style) / "cifar-10-python.tar.gz"
        path.parent.mkdir()
        with tarfile.open(path, "w:gz", format=style, pax_headers={"comment": "x" * 300}) as tar:
            for info, content in [member("a/" * 200 + "long", b"1"), *batches()]:
                info.mtime = 1.5
                tar.addfile(info, io.BytesIO(content))
        is_whole(path)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_of_later_pythons(protocol):
    content = of_python_3(PIXELS["test_batch"], LABELS["test_batch"], protocol)
    pixels, labels = pickles.read_pickle(content, "x")
    assert np.array_equal(pixels, PIXELS["test_batch"])
    assert labels.tolist() == LABELS["test_batch"]
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")  # as numpy 1 wrote it
    if protocol < 4:
        assert np.array_equal(pickles.read_pickle(old, "x")[0], PIXELS["test_batch"])


def test_it_reads_what_pickle_reads():
    """The oracle: Python's own unpickler, which runs what it is told."""
    content = of_python_2(PIXELS["test_batch"], LABELS["test_batch"])
    own = pickle.loads(content, encoding="bytes")
    assert np.array_equal(own[b"data"], PIXELS["test_batch"])
    assert own[b"labels"] == LABELS["test_batch"]
    assert own[b"filenames"][3] == b"a_s_000003.png"
    assert np.array_equal(pickles.read_pickle(content, "x")[0], own[b"data"])


def test_a_published_batch_keeps_within_the_limits():
    pixels, labels = np.zeros((10_000, 3072), dtype=np.uint8), [9] * 10_000
    content = of_python_2(pixels, labels)
    assert 30_720_000 < len(content) < pickles.LIMIT / 2
    assert len(pickles.read_pickle(content, "x")[0]) == 10_000
    # Python 3 writes each byte from 128 as two: even then white pictures keep within
    assert len(of_python_3(np.full((100, 3072), 255, dtype=np.uint8), labels[:100])) * 100 < pickles.LIMIT


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
    yield b"\x80\x02cnumpy\nndarray\n(K\x01tR."


def test_nothing_that_a_pickle_names_is_run(tmp_path):
    canary = tmp_path / "canary"
    count = 0
    for content in evil(canary):
        with pytest.raises(DataError, match=r"trap is not a batch of CIFAR-10: .*Nothing in it was run"):
            pickles.read_pickle(content, "trap")
        count += 1
    assert count == 33
    assert not canary.exists()


def test_a_state_changes_no_class_for_later_files():
    """BUILD on a class, with slots to set: the way to leave something behind."""
    for module, name in pickles.KNOWN:
        for state in (b"}X\x06\x00\x00\x00valuesK\x07s", b"N}X\x06\x00\x00\x00valuesK\x07s\x86"):
            with pytest.raises(DataError):
                pickles.read_pickle(f"\x80\x02c{module}\n{name}\n".encode("latin1") + state + b"b.", "x")
    assert pickles.Array.values is None
    assert "values" not in vars(pickles.Kind) | vars(pickles.Text) | vars(pickles.Dtype)


BATCH = of_python_2(PIXELS["test_batch"], LABELS["test_batch"])
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
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bomb is not a batch of CIFAR-10"):
        pickles.read_pickle(BOMBS[name], "bomb")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40_000_000


def test_memory_that_is_not_python_s_own_is_bounded_too():
    """tracemalloc does not see all: the same bombs in a process that may have 100 MB more than it has."""
    code = (
        "import resource, sys; from wganlab.data import pickles; from wganlab.errors import DataError\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 100_000_000,) * 2)\n"
        "for bomb in eval(sys.stdin.read()):\n"
        "    try: pickles.read_pickle(bomb, 'x')\n"
        "    except DataError as error: print('refused', 'MemoryError' in str(error))\n"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    found = subprocess.run(
        [sys.executable, "-c", code],
        input=repr(list(BOMBS.values())),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.stdout.splitlines() == ["refused False"] * len(BOMBS), found.stderr


def test_a_pickle_that_is_too_long(monkeypatch):
    monkeypatch.setattr(pickles, "LIMIT", len(BATCH) - 1)
    with pytest.raises(DataError, match=rf"it has {len(BATCH)} bytes, and a batch at most {len(BATCH) - 1}"):
        pickles.read_pickle(BATCH, "x")


OTHER = {
    "no dict": (pickle.dumps([1], 2), "is not a batch"),
    "no data": (pickle.dumps({b"labels": [1]}, 2), "KeyError: 'data'"),
    "data no array": (pickle.dumps({b"data": 1, b"labels": [1]}, 2), "is not a batch"),
    "floats": (
        of_python_3(PIXELS["test_batch"].astype("f4"), [1] * 4),
        "an array that is not of bytes by rows",
    ),
    "columns": (of_python_3(np.asfortranarray(PIXELS["test_batch"]), [1] * 4), "not of bytes by rows"),
    "one dimension": (of_python_3(PIXELS["test_batch"][0], [1]), "'data' is not an array of n rows of 3072"),
    "other rows": (of_python_3(PIXELS["test_batch"][:, :3071].copy(), [1] * 4), "n rows of 3072"),
    "label 10": (of_python_2(PIXELS["test_batch"], [1, 2, 3, 10]), "from 0 to 9"),
    "label -1": (of_python_3(PIXELS["test_batch"], [1, 2, 3, -1]), "from 0 to 9"),
    "label true": (of_python_3(PIXELS["test_batch"], [1, 2, 3, True]), "from 0 to 9"),
    "labels array": (of_python_3(PIXELS["test_batch"], PIXELS["test_batch"][0]), "'labels' is not a list"),
    "empty": (b"", "is not a batch"),
    "html": (b"<!DOCTYPE html><title>404</title>", "is not a batch"),
    "cut": (BATCH[:-1], "is not a batch"),
}


@pytest.mark.parametrize("name", OTHER)
def test_pickles_of_something_else_are_refused(name):
    content, says = OTHER[name]
    with pytest.raises(DataError, match=says):
        pickles.read_pickle(content, "x")


def test_a_thousand_damaged_pickles_raise_a_data_error_or_are_batches():
    small = of_python_2(PIXELS["test_batch"][:1], [3])
    ends = len(small) - 3072  # damage what is not pixels
    wild = random.Random(3)
    refused = 0
    for _ in range(1000):
        damaged = bytearray(small)
        for _ in range(wild.choice((1, 1, 2, 5))):
            place = wild.randrange(ends)
            place = place if place < small.index(PIXELS["test_batch"][0].tobytes()) else place + 3072
            damaged[place] = wild.randrange(256)
        try:
            pixels, labels = pickles.read_pickle(bytes(damaged), "x")
        except DataError:
            refused += 1
        else:
            assert pixels.shape[1] == 3072
            assert labels.max(initial=0) <= 9
    assert refused > 300


# Folders that are not whole


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"holds no CIFAR-10: expected is cifar-10-batches-py/data_batch_1"):
        data.cifar10(tmp_path)
    with pytest.raises(DataError, match=r"nowhere holds no CIFAR-10"):
        data.cifar10(tmp_path / "nowhere")
    write_folder(tmp_path)
    place = tmp_path / "cifar-10-batches-py"
    (place / "data_batch_4").unlink()
    with pytest.raises(DataError, match=r"data_batch_4 is missing"):
        data.cifar10(tmp_path)
    os.mkfifo(place / "data_batch_4")
    with pytest.raises(DataError, match=r"data_batch_4 is missing, or is no regular file"):
        data.cifar10(tmp_path)


def test_a_folder_that_cannot_be_looked_into():
    with pytest.raises(DataError, match=r"CIFAR-10 cannot be read: File name too long"):
        data.cifar10("x" * 300)


def test_batches_must_be_of_one_length(tmp_path):
    place = write_folder(tmp_path) / "cifar-10-batches-py"
    (place / "data_batch_3").write_bytes(of_python_2(PIXELS["test_batch"][:3], [1, 2, 3]))
    with pytest.raises(DataError, match=r"data_batch_3 holds 3 pictures and 3 labels; expected are 4 of"):
        data.cifar10(tmp_path)
    (place / "data_batch_3").write_bytes(of_python_2(PIXELS["test_batch"], [1, 2, 3]))
    with pytest.raises(DataError, match=r"data_batch_3 holds 4 pictures and 3 labels"):
        data.cifar10(tmp_path)
    (place / "data_batch_1").write_bytes(of_python_2(PIXELS["test_batch"][:0], []))
    with pytest.raises(DataError, match=r"data_batch_1 holds 0 pictures and 0 labels; expected are 10000"):
        data.cifar10(tmp_path)


def test_binary_batches_that_are_wrong(tmp_path):
    place = write_folder(tmp_path, "binary") / "cifar-10-batches-bin"
    whole = (place / "data_batch_2.bin").read_bytes()
    for content, says in (
        (whole[:-1], r"data_batch_2.bin has 12291 bytes; expected n times 3073"),
        (b"", r"data_batch_2.bin has 0 bytes"),
        (b"\x0a" + whole[1:], r"data_batch_2.bin has the label 10; expected are 0 to 9"),
    ):
        (place / "data_batch_2.bin").write_bytes(content)
        with pytest.raises(DataError, match=says):
            data.cifar10(tmp_path)


def test_a_file_that_is_too_long(tmp_path, monkeypatch):
    write_folder(tmp_path, "binary")
    monkeypatch.setattr(cifar, "LIMIT", 4 * 3073 - 1)
    with pytest.raises(DataError, match=r"data_batch_1.bin has more than 12291 bytes"):
        data.cifar10(tmp_path)


def test_the_cache_must_hold_the_published_archive(tmp_path, monkeypatch):
    monkeypatch.setenv("WGANLAB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz is not in the cache.*download=True"):
        data.cifar10()
    write_archive(tmp_path / "cifar-10-python.tar.gz", batches())
    with pytest.raises(DataError, match=r"was altered: .* expected 6d958be074577803"):
        data.cifar10()
    is_whole(tmp_path)  # as a folder of one's own it may hold other pixels


# Archives that attack (row 23)


def attacks(outside):
    """Members that would write outside, or be something else, were they extracted."""
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    return [
        *(member(f"{'../' * k}evil", b"x") for k in range(1, 6)),
        *(member(str(outside / "evil"), b"x"), member("cifar-10-batches-py/../../evil", b"x")),
        *(member(f"link{kind.decode()}", kind=kind, link=str(outside / "evil")) for kind in kinds),
        member("cifar-10-batches-py", kind=tarfile.SYMTYPE, link=str(outside)),
        member("cifar-10-batches-py/batches.meta", kind=tarfile.LNKTYPE, link="../../evil"),
    ]


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_members_that_were_not_asked_for_are_passed_over(tmp_path, monkeypatch):
    inside, outside = tmp_path / "deep" / "in" / "side", tmp_path / "outside"
    inside.mkdir(parents=True)
    outside.mkdir()
    monkeypatch.chdir(inside)
    write_archive(inside / "cifar-10-python.tar.gz", [*attacks(outside), *batches(), *attacks(outside)])
    before = everything(tmp_path)
    is_whole(inside)
    assert everything(tmp_path) == before
    assert os.listdir(outside) == []


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_a_batch_that_is_no_regular_file(tmp_path, kind):
    members = [member("cifar-10-batches-py/data_batch_2", kind=kind, link="/etc/passwd"), *batches()]
    path = write_archive(tmp_path / "cifar-10-python.tar.gz", members)
    with pytest.raises(DataError, match=r"data_batch_2 is a link or device .*no file"):
        data.cifar10(path)


def test_a_batch_that_is_missing_twice_there_or_too_long(tmp_path, monkeypatch):
    path = tmp_path / "cifar-10-python.tar.gz"
    write_archive(path, batches()[2:])
    with pytest.raises(DataError, match=r"has no member cifar-10-batches-py/data_batch_4"):
        data.cifar10(path)
    write_archive(path, [*batches(), *batches()])
    with pytest.raises(DataError, match=r"holds cifar-10-batches-py/data_batch_4 twice"):
        data.cifar10(path)
    write_archive(path, batches())
    monkeypatch.setattr(cifar, "LIMIT", 1000)
    with pytest.raises(DataError, match=r"data_batch_4 has 1\d{4} bytes; expected at most 1000"):
        data.cifar10(path)


def header(name, size, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


BIG = 200_000_000
HUGE = {  # a header that lies, and what follows it
    "a member": (header("x", BIG), BIG),
    "a pax record": (header("x", BIG, tarfile.XHDTYPE), BIG),
    "a long name": (header("x", BIG, tarfile.GNUTYPE_LONGNAME), BIG),
    "a terabyte": (header("x", 1 << 40), 1000),
    "its end": (bytes(1024), BIG),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_bomb_is_not_unpacked(tmp_path, name, monkeypatch):
    """200 MB of zeros in 200 kB, under a limit that is lowered to 100 MB."""
    monkeypatch.setattr(archive, "WHOLE", BIG // 2)
    start, size = HUGE[name]
    path = tmp_path / "cifar-10-python.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(size // 1_000_000):
            file.write(bytes(1_000_000))
    assert path.stat().st_size < 2_000_000
    tracemalloc.start()
    with pytest.raises(DataError, match=r"holds more than 100000000 bytes, and was not unpacked further"):
        data.cifar10(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("name", ["x", "cifar-10-batches-py/data_batch_1"])
def test_a_negative_size_is_refused(tmp_path, name):
    """It would take back what has been counted, and read all there is."""
    raw = bytearray(header(name, 0))
    raw[124:136] = b"\xff" * 12  # base 256, two's complement: -1
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    (tmp_path / "cifar-10-python.tar").write_bytes(bytes(raw) * 3)
    with pytest.raises(DataError, match=rf"cifar-10-python.tar cannot be read: {name} has -1 bytes"):
        data.cifar10(tmp_path)


def test_damage_anywhere_in_an_archive_is_found(tmp_path):
    """gzip's own checksum is read to the end, so that not one pixel is silently another."""
    path = write_archive(tmp_path / "cifar-10-python.tar.gz", batches())
    content = path.read_bytes()
    wild = random.Random(4)
    for place in (*(wild.randrange(10, len(content)) for _ in range(100)), len(content) - 1):
        damaged = bytearray(content)
        damaged[place] ^= 1 << wild.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cifar-10-python.tar.gz"):
            data.cifar10(path)
    for size in (0, 1, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=r"cifar-10-python.tar.gz"):
            data.cifar10(path)
    path.write_bytes(b"<!DOCTYPE html>" * 100)
    with pytest.raises(DataError, match=r"cannot be read: .*Get it anew"):
        data.cifar10(path)


# The real size


@pytest.mark.slow
@pytest.mark.skipif(not SHARED, reason="needs CIFAR-10: set WGANLAB_SHARED_DATA to its folder")
def test_the_published_size(tmp_path):
    subprocess.run([sys.executable, Path(SHARED, "unpack_cifar10.py"), tmp_path], check=True, timeout=600)
    x, labels = data.cifar10(tmp_path, train=False)
    own = pickle.loads((tmp_path / "cifar-10-batches-py" / "test_batch").read_bytes())
    assert labels.tolist() == own[b"labels"]
    assert torch.equal(x, torch.from_numpy(own[b"data"]).float().div(127.5).sub(1).view(-1, 3, 32, 32))
    del x, own
    x, labels = data.cifar10(tmp_path)
    assert x.shape == (50_000, 3, 32, 32)
    assert labels.bincount().tolist() == [5000] * 10
