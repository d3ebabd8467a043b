"""A folder of pictures as one tensor."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..errors import DataError, InputError

ENDS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # none that starts another program
MOST_PIXELS = 50_000_000  # of one picture: 150 MB while it is read


def images(folder: str | Path, *, size: int = 64) -> Tensor:
    """All pictures below a folder, (n, 3, size, size) float32 in [-1, 1], in the order of their paths.

    Of each the middle square is taken and resized (bilinear, every source pixel counted), as if the
    shorter side were resized to ``size`` and the rest cropped. A camera's rotation is applied;
    transparent parts become white. Hidden files and names unlike a picture's are passed over.

    Raises ``DataError`` that names the file if one is damaged, cut, has more than 50 million pixels or more
    than 8 bits a channel, or if there is none; ``InputError`` unless ``size`` is 1 to 1024. The result has
    12 n size**2 bytes, and no more is held beside it than the picture being read.
    """
    if type(size) is not int or not 1 <= size <= 1024:
        raise InputError(f"size must be a whole number of pixels from 1 to 1024, not {size!r}.")
    try:
        files = list(pictures_below(Path(folder)))
    except OSError as error:
        raise DataError(f"The folder {error.filename} cannot be read: {error.strerror}.") from error
    if not files:
        raise DataError(f"{folder} holds no picture: no name below it ends in {', '.join(sorted(ENDS))}.")
    x = torch.empty(len(files), 3, size, size)
    for row, file in zip(x.numpy(), files, strict=True):
        row[:] = np.asarray(square(file, size)).transpose(2, 0, 1)
    return x.div_(127.5).sub_(1)


def pictures_below(folder: Path) -> Iterator[Path]:
    """The pictures below a folder in the order of their paths; links to folders are not followed."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield from () if path.is_symlink() else pictures_below(path)
        elif path.suffix.lower() in ENDS and not path.name.startswith("."):
            yield path


def square(file: Path, size: int) -> Image.Image:
    """The middle square of a picture, RGB, ``size`` pixels wide; raises ``DataError``."""
    if not file.is_file():  # a pipe would wait for ever
        raise DataError(f"The picture {file} is no regular file. Take it out of the folder.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # ``check`` is stricter
            with Image.open(file, formats=FORMATS) as picture:
                check(file, picture)
                ImageOps.exif_transpose(picture, in_place=True)
                # The cut strips are never resized, however long they are.
                return ImageOps.fit(opaque(picture), (size, size), Image.Resampling.BILINEAR)
    except DataError:
        raise
    except Exception as error:  # what foreign bytes raise differs from format to format
        reason = f"{type(error).__name__}: {error}. Replace it, or take it out of the folder"
        raise DataError(f"The picture {file} cannot be read: {reason}.") from error


def check(file: Path, picture: Image.Image) -> None:
    """Raise ``DataError`` for a picture that is too large or too deep, before its pixels are unpacked."""
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise DataError(f"{file} has {width} x {height} pixels, more than {MOST_PIXELS}. Make it smaller.")
    if picture.mode.startswith(("I", "F")):
        raise DataError(f"{file} has more than 8 bits a channel (mode {picture.mode}). Save it with 8.")


def opaque(picture: Image.Image) -> Image.Image:
    """The picture as RGB, on white where it is transparent."""
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")
