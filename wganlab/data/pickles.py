"""A batch of CIFAR-10 out of a pickle, without running anything that the pickle names.

Two gates. First the opcodes are read as text: only those are let through that build dicts, lists,
strings, bytes, whole numbers and numpy's arrays, and no more of them than a batch needs, since a
few bytes of pickle can ask for gigabytes. Then a restricted unpickler loads it, in which the five
names that such a file mentions stand for classes of this module: not even numpy's own code is called.
"""

import io
import pickle
import pickletools

import numpy as np

from ..errors import DataError

LIMIT = 1 << 26  # bytes: a published batch has 31 million, one written by Python 3 about 46
OPERATIONS = 200_000  # a published batch has some 40,000: one a label, three a file name
ALLOWED = {
    *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
    *("BININT", "BININT1", "BININT2", "LONG1"),
    *("SHORT_BINSTRING", "BINSTRING", "SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES"),
    *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "LIST", "APPEND", "APPENDS"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}


class Kind:
    """Stands for ``numpy.ndarray``, which an array's pickle names and we do not need."""

    def __setstate__(self, state):
        raise pickle.UnpicklingError("a state for something that has none")


class Text(Kind):
    """Stands for ``_codecs.encode``, by which Python 3 writes bytes for Python 2."""

    def __new__(cls, text, encoding):
        if encoding not in ("latin1", b"latin1"):
            raise pickle.UnpicklingError(f"bytes written as {encoding!r}")
        return text.encode("latin1")


class Dtype(Kind):
    """Stands for ``numpy.dtype``; unsigned bytes have no byte order that a state could set."""

    def __init__(self, name, align=0, copy=1):
        self.name = name.decode("ascii") if isinstance(name, bytes) else name

    def __setstate__(self, state):
        pass


class Array(Kind):
    """Stands for numpy's ``_reconstruct``: an array of unsigned bytes with two dimensions."""

    values = None

    def __init__(self, kind, shape, letter):
        if kind is not Kind:
            raise pickle.UnpicklingError("an array of another kind than numpy.ndarray")

    def __setstate__(self, state):
        _, shape, dtype, by_columns, content = state
        if dtype.name not in ("u1", "|u1") or not isinstance(content, bytes) or by_columns:
            raise pickle.UnpicklingError("an array that is not of bytes by rows")
        self.values = np.frombuffer(content, dtype=np.uint8).reshape([int(length) for length in shape])


KNOWN = {
    ("numpy", "ndarray"): Kind,
    ("numpy", "dtype"): Dtype,
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy._core.multiarray", "_reconstruct"): Array,  # written by numpy 2
    ("_codecs", "encode"): Text,
}


class Unpickler(pickle.Unpickler):
    """Knows five names and nothing else; keeps the strings of Python 2 as bytes."""

    def __init__(self, content: bytes):
        super().__init__(io.BytesIO(content), encoding="bytes")

    def find_class(self, module, name):
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which a batch does not need")
        return KNOWN[module, name]


def read_pickle(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The pixels (n, 3072) and labels (n,) of a batch, both uint8; ``where`` is its name for errors.

    Raises ``DataError`` for anything else than such a batch, without having run any of it.
    """
    try:
        examine(content)
        batch = Unpickler(content).load()
        batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        pixels, labels = batch["data"].values, batch["labels"]
    except Exception as error:  # what foreign bytes raise differs from opcode to opcode
        raise DataError(
            f"{where} is not a batch of CIFAR-10: {type(error).__name__}: {error}. Nothing in it was run. "
            f"Get it anew from where it was published."
        ) from error
    if pixels is None or pixels.ndim != 2 or pixels.shape[1] != 3072:
        raise DataError(f"{where}: 'data' is not an array of n rows of 3072 bytes. Get it anew.")
    if not isinstance(labels, list) or any(type(label) is not int or not 0 <= label <= 9 for label in labels):
        raise DataError(f"{where}: 'labels' is not a list of whole numbers from 0 to 9. Get it anew.")
    return pixels, np.array(labels, dtype=np.uint8)


def examine(content: bytes) -> None:
    """Raise ``UnpicklingError`` unless a pickle has only allowed opcodes, and a batch's number of them."""
    if len(content) > LIMIT:
        raise pickle.UnpicklingError(f"it has {len(content)} bytes, and a batch at most {LIMIT}")
    for count, (opcode, value, place) in enumerate(pickletools.genops(content)):
        if opcode.name not in ALLOWED:
            raise pickle.UnpicklingError(f"opcode {opcode.name} at byte {place}, which a batch does not need")
        # an index into the memo makes the unpickler allocate up to there
        if count >= OPERATIONS or (opcode.name == "LONG_BINPUT" and value >= OPERATIONS):
            raise pickle.UnpicklingError(f"more than {OPERATIONS} operations or memo entries")
