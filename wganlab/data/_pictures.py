"""A folder of pictures as one tensor."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .._files import errors_as
from ..errors import DataError, InputError

ENDS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # none that starts another program
MOST_PIXELS = 50_000_000  # of one picture: 150 MB while it is read


class Kinds(NamedTuple):
    """How many pictures are ``grey``, how many in ``colour``; ``side`` if all are squares of one size."""

    grey: int
    colour: int
    side: int | None

    @property
    def channels(self) -> int:
        """1 if all are grey, else 3; a ``UserWarning`` says what becomes of a mixed folder."""
        if self.grey and self.colour:
            found = f"{self.grey} grey and {self.colour} colour pictures were found: all are taken as colour"
            becomes = "the grey ones with three equal channels. channels=1 (--channels 1) takes all as grey."
            warnings.warn(f"{found}, {becomes}", stacklevel=3)
        return 3 if self.colour else 1


def images(folder: str | Path, *, size: int = 64, channels: int | None = None) -> Tensor:
    """All pictures below a folder, (n, channels, size, size) float32 in [-1, 1], in the order of their paths.

    ``channels`` is 1 for grey and 3 for colour, by default 1 if all pictures are grey; a ``UserWarning`` says
    how many are if only some are. Of each the middle square is taken and resized (bilinear, every source
    pixel counted), as if the shorter side were resized to ``size`` and the rest cropped. A camera's rotation
    is applied; transparent parts become white; 16 bits of grey, 0 to 65,535, become -1 to 1 as 8 bits do.
    Hidden files and names unlike a picture's are passed over.

    Raises ``DataError`` that names the file if one is damaged, cut, has more than 50 million pixels, or
    numbers whose range is not known (32 bits), or if there is none; ``InputError`` unless ``size`` is 1 to
    1024 and ``channels`` 1 or 3. The result has 4 n channels size**2 bytes, and no more is held beside it
    than the picture being read.
    """
    if type(size) is not int or not 1 <= size <= 1024:
        raise InputError(f"size must be a whole number of pixels from 1 to 1024, not {size!r}.")
    if channels not in (None, 1, 3):
        raise InputError(f"channels must be 1 for grey or 3 for colour, not {channels!r}.")
    files = pictures_in(folder)
    channels = channels or kinds(folder).channels
    x = torch.empty(len(files), channels, size, size)
    for row, file in zip(x.numpy(), files, strict=True):
        with opened(file) as picture:
            row[:] = square(picture, size, channels)
    return x.div_(127.5).sub_(1)


def kinds(folder: str | Path) -> Kinds:
    """What kinds of pictures a folder holds, by their headers; raises as ``images`` does."""
    grey, sizes = [], set()
    for file in pictures_in(folder):
        with opened(file) as picture:
            grey.append(is_grey(picture))
            sizes.add(picture.size)
    width, height = sizes.pop()
    return Kinds(sum(grey), grey.count(False), width if width == height and not sizes else None)


def is_grey(picture: Image.Image) -> bool:
    """Whether no pixel can have a colour, by the picture's mode or palette."""
    if picture.mode in ("P", "PA"):
        levels = np.array(picture.getpalette("RGB")).reshape(-1, 3)
        return bool((levels == levels[:, :1]).all())
    return picture.mode in ("1", "L", "LA", "La") or picture.mode.startswith("I;16")


def pictures_in(folder: str | Path) -> list[Path]:
    """The pictures below a folder; raises ``DataError`` if there is none."""
    files = list(pictures_below(Path(folder)))
    if not files:
        raise DataError(f"{folder} holds no picture: no name below it ends in {', '.join(sorted(ENDS))}.")
    return files


def pictures_below(folder: Path) -> Iterator[Path]:
    """The pictures below a folder in the order of their paths; links to folders are not followed."""
    with errors_as(DataError, f"The folder {folder} cannot be read"):
        paths = sorted(folder.iterdir())
    for path in paths:
        if path.is_dir() and not path.name.startswith("."):
            yield from () if path.is_symlink() else pictures_below(path)
        elif path.suffix.lower() in ENDS and not path.name.startswith("."):
            yield path


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Image.Image]:
    """A picture whose header was read; whatever goes wrong with it becomes a ``DataError`` that names it."""
    if not file.is_file():  # a pipe would wait for ever
        raise DataError(f"The picture {file} is no regular file. Take it out of the folder.")
    remedy = "Replace it, or take it out of the folder."  # what foreign bytes raise differs between formats
    errors = errors_as(DataError, f"The picture {file} cannot be read", remedy, Exception, named=True)
    silent = warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning)
    with errors, silent, Image.open(file, formats=FORMATS) as picture:
        w, h = picture.size
        if w * h > MOST_PIXELS:  # before they are unpacked; stricter than Pillow
            raise DataError(f"{file} has {w} x {h} pixels, more than {MOST_PIXELS}. Make it smaller.")
        if picture.mode in ("I", "F"):
            what = f"32 bits a pixel (mode {picture.mode}), whose range is not known"
            raise DataError(f"{file} has {what}. Save it with 16.")
        yield picture


def square(picture: Image.Image, size: int, channels: int) -> np.ndarray:
    """The middle square (channels, size, size) of a picture, float32 from 0 to 255."""
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode.startswith("I;16"):
        whole = Image.fromarray(np.asarray(picture, np.float32) / 257)  # 65,535 = 257 * 255
    else:
        whole = opaque(picture, "L" if channels == 1 else "RGB")
    # The cut strips are never resized, however long they are.
    fitted = np.asarray(ImageOps.fit(whole, (size, size), Image.Resampling.BILINEAR), np.float32)
    return np.broadcast_to(fitted if fitted.ndim == 2 else fitted.transpose(2, 0, 1), (channels, size, size))


def opaque(picture: Image.Image, mode: str) -> Image.Image:
    """The picture as RGB or grey (L), on white where it is transparent."""
    if "A" in picture.getbands() or "a" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert(mode)
