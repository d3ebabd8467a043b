"""Folders of pictures: the middle square of each, exact where it can be, and every bad file named."""

import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wganlab import data
from wganlab.data import _pictures
from wganlab.errors import DataError, InputError

RNG = np.random.default_rng(1)


def noise(height, width, channels=3):
    return RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def as_tensor(pixels):
    return torch.from_numpy(np.ascontiguousarray(pixels)).float().div(127.5).sub(1).permute(2, 0, 1)


def test_pictures_of_the_asked_size_come_byte_for_byte(tmp_path):
    first, other = noise(16, 16), noise(16, 16)
    save(tmp_path / "b.png", other)
    save(tmp_path / "a.bmp", first)
    x = data.images(tmp_path, size=16)
    assert (x.shape, x.dtype) == ((2, 3, 16, 16), torch.float32)
    assert torch.equal(x, torch.stack([as_tensor(first), as_tensor(other)]))


def test_the_middle_is_kept(tmp_path):
    wide, tall = noise(8, 20), noise(21, 8)
    save(tmp_path / "1.png", wide)
    save(tmp_path / "2.png", tall)
    x = data.images(str(tmp_path), size=8)
    assert torch.equal(x[0], as_tensor(wide[:, 6:14]))
    below, above = as_tensor(tall[6:14]), as_tensor(tall[7:15])  # 6.5 rows are cut on either side
    assert (x[1] - (below + above) / 2).abs().max() <= 1.01 / 127.5


def test_resizing_is_a_mean_with_weights(tmp_path):
    """Halving: each axis is the triangle (1, 3, 3, 1) / 8, with the edge's weights put on what is left."""
    pixels = noise(16, 16)
    save(tmp_path / "a.png", pixels)
    weights = np.zeros((8, 16))
    for k in range(8):
        for place, weight in zip(range(2 * k - 1, 2 * k + 3), (1, 3, 3, 1), strict=True):
            if 0 <= place < 16:
                weights[k, place] = weight
    weights /= weights.sum(axis=1, keepdims=True)
    expected = np.einsum("ai,bj,ijc->abc", weights, weights, pixels.astype(float))
    found = (data.images(tmp_path, size=8)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(found - expected).max() <= 1.01  # rounded after each axis


def test_one_colour_stays_one_colour(tmp_path):
    for k, size in enumerate([(1, 1), (3, 200), (200, 3), (1000, 700)]):
        save(tmp_path / f"{k}.png", Image.new("RGB", size, (255, 0, 51)))
    x = data.images(tmp_path)
    assert x.shape == (4, 3, 64, 64)
    for channel, value in zip(x.unbind(1), (1.0, -1.0, -0.6), strict=True):
        assert channel.unique().tolist() == [pytest.approx(value, abs=1e-6)]


def test_folders_below_and_the_order_of_paths(tmp_path):
    for k, name in enumerate(["b/2.PNG", "a/9.jpg", "a/10.jpeg", "c.webp", "a.gif", "b/x/1.tif"]):
        save(tmp_path / name, Image.new("L", (4, 4), 10 * k))
    for name in (".hidden.png", "._a.png", ".cache/x.png", "notes.txt", "noend"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "again").symlink_to(tmp_path)  # links to folders may lead round
    x = data.images(tmp_path, size=4, channels=1)  # WebP knows no grey
    found = ((x.mean((1, 2, 3)) + 1) * 12.75).round().int().tolist()
    assert found == [2, 1, 4, 0, 5, 3]  # a/10, a/9, a.gif, b/2, b/x/1, c


def test_every_kind_of_pixel(tmp_path):
    grey = noise(8, 8, 1)[:, :, 0]
    save(tmp_path / "1.png", grey)
    save(tmp_path / "2.png", Image.fromarray(grey).convert("P"))
    save(tmp_path / "3.png", Image.fromarray(grey).convert("LA"))
    save(tmp_path / "4.png", Image.fromarray(np.where(grey > 127, 255, 0).astype(np.uint8)).convert("1"))
    save(tmp_path / "5.tif", Image.new("CMYK", (8, 8), (0, 255, 255, 0)))
    with pytest.warns(UserWarning, match=r"4 grey and 1 colour pictures were found: all are taken as colour"):
        x = data.images(tmp_path, size=8)
    for k in range(3):
        assert torch.equal(x[k], as_tensor(np.stack([grey] * 3, axis=2)))
    assert x[3].unique().tolist() == [-1, 1]
    assert x[4].mean((1, 2)).tolist() == [1, -1, -1]
    assert torch.equal(data.images(tmp_path, size=8, channels=3), x)  # asked for: nothing to say
    alike = data.images(tmp_path, size=8, channels=1)
    assert torch.equal(alike[:4], x[:4, :1])
    assert alike[4].unique().tolist() == [pytest.approx(76 / 127.5 - 1, abs=1e-6)]  # 0.299 of red


def test_a_grey_folder_has_one_channel(tmp_path):
    grey = noise(28, 28, 1)[:, :, 0]
    for k, mode in enumerate(("L", "LA", "P", "1")):
        save(tmp_path / f"{k}.png", Image.fromarray(grey).convert(mode))
    save(tmp_path / "4.jpg", Image.fromarray(grey))
    x = data.images(tmp_path, size=28)
    assert x.shape == (5, 1, 28, 28)
    for k in range(3):
        assert torch.equal(x[k], as_tensor(grey[:, :, None]))
    assert torch.equal(data.images(tmp_path, size=28, channels=3), x.expand(-1, 3, -1, -1))
    assert _pictures.kinds(tmp_path) == (5, 0, 28)
    save(tmp_path / "5.png", Image.fromarray(noise(28, 30)))
    assert _pictures.kinds(tmp_path) == (5, 1, None)
    save(tmp_path / "0.png", Image.fromarray(noise(28, 28)).convert("P"))  # a palette of colours
    assert _pictures.kinds(tmp_path).grey == 4


@pytest.mark.parametrize("end", ["png", "tif"])
def test_16_bits_are_read_by_their_range(tmp_path, end):
    levels = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    save(tmp_path / f"a.{end}", Image.fromarray(levels))
    x = data.images(tmp_path, size=8)
    assert x.shape == (1, 1, 8, 8)
    np.testing.assert_allclose(x[0, 0].numpy(), levels / 32767.5 - 1, atol=1e-6)
    assert len(x.unique()) == 64
    coloured = data.images(tmp_path, size=8, channels=3)
    assert torch.equal(coloured, x.expand(-1, 3, -1, -1))
    half = data.images(tmp_path, size=4)  # resized as 8 bits are
    assert half.min() > -1
    assert half.mean().item() == pytest.approx(x.mean().item(), abs=0.01)


def test_what_is_transparent_becomes_white(tmp_path):
    pixels = noise(8, 8, 4)
    pixels[:, :, 3] = 255
    pixels[:4, :, 3] = 0
    save(tmp_path / "1.png", pixels)
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    save(tmp_path / "2.png", palette, transparency=1)
    save(tmp_path / "3.png", palette, transparency=b"\xff\x00")
    x = data.images(tmp_path, size=8)
    assert (x[0, :, :4] == 1).all()
    assert torch.equal(x[0, :, 4:], as_tensor(pixels[4:, :, :3]))
    assert (x[1:] == 1).all()


def test_the_camera_s_rotation_is_applied(tmp_path):
    pixels = noise(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    save(tmp_path / "a.png", pixels, exif=exif)
    assert torch.equal(data.images(tmp_path, size=8)[0], as_tensor(np.rot90(pixels, -1)))


# What is wrong


def png(width, height, body=b""):
    """A PNG that says what size it is, and holds ``body``."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp", "a.tif", "a.bmp"])
def test_a_cut_picture_is_named(tmp_path, name):
    save(tmp_path / "0.png", noise(8, 8))
    path = save(tmp_path / name, noise(64, 64))
    content = path.read_bytes()
    for size in (0, 3, 30, len(content) // 2):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=f"{name} cannot be read: .*Replace it, or take it out"):
            data.images(tmp_path)


def test_what_is_no_picture_is_named(tmp_path):
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nquit\n"  # would start Ghostscript
    for content in (b"<!DOCTYPE html>", b"\0" * 100, eps, b"RIFF1234WAVE"):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(DataError, match=r"a.png cannot be read: UnidentifiedImageError"):
            data.images(tmp_path)


@pytest.mark.parametrize(
    "size", [(10_000, 5_001), (12_000, 12_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)]
)
def test_a_bomb_is_not_unpacked(tmp_path, size):
    (tmp_path / "a.png").write_bytes(png(*size, bytes(1000)))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"a.png (has .*50000000.*Make it smaller|.*DecompressionBombError)"):
        data.images(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_strip_is_not_blown_up(tmp_path):
    """The shorter side is 1: resized whole to a side of 64 it would have 4 billion pixels."""
    save(tmp_path / "a.png", Image.new("L", (1_000_000, 1), 51))
    assert data.images(tmp_path).unique().tolist() == [pytest.approx(-0.6, abs=1e-6)]


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_of_no_known_range(tmp_path, mode):
    save(tmp_path / "a.tif", Image.new(mode, (8, 8), 1))
    with pytest.raises(
        DataError, match=rf"a.tif has 32 bits a pixel \(mode {mode}\), whose range is not known"
    ):
        data.images(tmp_path)


@pytest.mark.parametrize("channels", [0, 2, 4, "grey"])
def test_channels_that_are_none(tmp_path, channels):
    with pytest.raises(InputError, match=r"channels must be 1 for grey or 3 for colour, not"):
        data.images(tmp_path, channels=channels)


def test_folders_without_pictures(tmp_path):
    with pytest.raises(DataError, match=r"holds no picture: no name below it ends in .bmp, .gif"):
        data.images(tmp_path)
    with pytest.raises(DataError, match=r"nowhere cannot be read: No such file"):
        data.images(tmp_path / "nowhere")
    (tmp_path / "text").write_text("x")
    with pytest.raises(DataError, match=r"text cannot be read: Not a directory"):
        data.images(tmp_path / "text")
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a.png is no regular file"):
        data.images(tmp_path)
    (tmp_path / "a.png").unlink()
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"b.png is no regular file"):
        data.images(tmp_path)


def test_a_closed_folder_below_is_not_passed_over(tmp_path, monkeypatch):
    save(tmp_path / "a.png", noise(8, 8))
    (tmp_path / "shut").mkdir()
    look = Path.iterdir

    def shut(path):
        if path.name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(Path, "iterdir", shut)
    with pytest.raises(DataError, match=r"shut cannot be read: Permission denied"):
        data.images(tmp_path)


@pytest.mark.parametrize("size", [0, -1, 1025, 64.0, "64", True, None])
def test_sizes_that_are_none(tmp_path, size):
    with pytest.raises(InputError, match=r"size must be a whole number of pixels from 1 to 1024, not"):
        data.images(tmp_path, size=size)


def test_no_more_is_held_than_one_picture(tmp_path):
    for k in range(40):
        save(tmp_path / f"{k}.png", noise(64, 64))
    tracemalloc.start()  # sees numpy's arrays, not torch's
    data.images(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert _pictures.MOST_PIXELS < Image.MAX_IMAGE_PIXELS  # so that Pillow's own limit is never met first
