"""Members of a tar archive by name, without extracting any.

Only 512-byte headers are interpreted, one by one. Members that were not asked for are passed over
whatever they are (``../`` paths, links, devices, long-name and pax records), so nothing is ever
written and no record can make the reader allocate. What is unpacked in all is bounded.

Source: POSIX.1-2001, pax, "ustar Interchange Format".
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError

BLOCK = 512
WHOLE = 1 << 29  # bytes unpacked: CIFAR-10 has 186 million
CHUNK = 1 << 20


def members(path: Path, wanted: set[str], limit: int) -> Iterator[tuple[str, bytes]]:
    """``(name, content)`` of each wanted member of a .tar or .tar.gz, in the archive's order.

    Each has ``limit`` bytes at most. The archive is read to its end, where gzip checks its sum. Raises
    ``DataError`` if it is cut, damaged or a bomb, or a wanted member is missing, twice there or no
    regular file.
    """
    missing = set(wanted)
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.open(raw) if packed else raw as file:
                yield from walk(file, path, wanted, missing, limit)
    except (OSError, EOFError, zlib.error, tarfile.HeaderError) as error:
        raise DataError(f"The archive {path} cannot be read: {error or 'it is cut'}. Get it anew.") from error
    if missing:
        raise DataError(f"The archive {path} has no member {', '.join(sorted(missing))}. Get it anew.")


def walk(file, path: Path, wanted: set[str], missing: set[str], limit: int) -> Iterator[tuple[str, bytes]]:
    """The wanted members of an open archive; takes their names from ``missing``."""
    place = 0
    while header := file.read(BLOCK):
        if header.count(0) == BLOCK:
            break  # the end of the archive
        member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        name = member.name.removeprefix("./")
        padded = -(-member.size // BLOCK) * BLOCK
        place += BLOCK + padded
        if member.size < 0:
            raise tarfile.InvalidHeaderError(f"{name} has {member.size} bytes")
        if place > WHOLE:
            raise DataError(too_much(path))
        if name in wanted:
            check(path, member, name not in missing, limit)
            missing.remove(name)
            yield name, whole(file, member.size)
            padded -= member.size
        skip(file, padded)
    skip(file, WHOLE - place)
    if file.read(1):
        raise DataError(too_much(path))


def check(path: Path, member: tarfile.TarInfo, twice: bool, limit: int) -> None:
    """Raise ``DataError`` unless a wanted member is a regular file of fitting size, there once."""
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise DataError(
            f"In the archive {path}, {member.name} is a link or device (type {member.type!r}), no file."
        )
    if twice:
        raise DataError(f"The archive {path} holds {member.name} twice. Get it anew.")
    if member.size > limit:
        raise DataError(
            f"In the archive {path}, {member.name} has {member.size} bytes; expected at most {limit}."
        )


def whole(file, size: int) -> bytes:
    """The next ``size`` bytes; raises ``EOFError`` if there are fewer."""
    content = file.read(size)
    if len(content) < size:
        raise EOFError("it ends within a member")
    return content


def skip(file, size: int) -> None:
    """Pass over ``size`` bytes, or to the end."""
    while size > 0 and (passed := len(file.read(min(size, CHUNK)))):
        size -= passed


def too_much(path: Path) -> str:
    """What is said of a bomb."""
    return f"The archive {path} holds more than {WHOLE} bytes, and was not unpacked further. Get it anew."
