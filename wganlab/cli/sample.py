"""``wganlab sample``: what a trained generator makes, as a picture or as numbers."""

import argparse
import io

import numpy as np
import torch
from torch import Tensor, nn

from .. import sampling
from ..errors import InputError
from .config import load_run
from .terminal import print_result, quiet_matplotlib

CHUNK_ROWS = 500  # rows a batch: BatchNorm wants many, memory few


def run(options: argparse.Namespace) -> int:
    """The exit code."""
    quiet_matplotlib()
    config, game, average = load_run(options.folder)
    rng = torch.Generator().manual_seed(options.seed)
    x = generate(average.player, config.dataset.latent, options.count, rng)
    kind = options.format or ("npy" if options.out and options.out.suffix == ".npy" else "png")
    out = options.out or options.folder / f"samples.{kind}"
    buffer = io.BytesIO()
    if kind == "npy":
        np.save(buffer, x.numpy())
    elif x.ndim == 2:
        draw_points(config.load()(1000, rng), x, buffer)
    else:
        draw_images(x, buffer, ink=config.data != "images")
    try:
        out.write_bytes(buffer.getvalue())
    except OSError as error:
        raise InputError(f"Cannot write {out}: {error.strerror}. Name another --out.") from error
    print_result(f"{out}: {len(x)} samples after {game.step} generator updates")
    return 0


@torch.no_grad()
def generate(generator: nn.Module, latent: int, n: int, rng: torch.Generator) -> Tensor:
    """n samples (n, ...); BatchNorm uses the batch that it is given, so that is never below 250 rows."""
    prior, parts = sampling.normal(latent), []
    for start in range(0, n, CHUNK_ROWS):
        rows = min(CHUNK_ROWS, n - start)
        parts.append(generator(prior(max(250, rows), rng))[:rows])
    return torch.cat(parts)


def draw_points(real_points: Tensor, x: Tensor, file: io.BytesIO) -> None:
    """Real and generated points in the plane as PNG."""
    from matplotlib.figure import Figure

    from .. import plots

    figure = Figure(figsize=(6, 6), layout="constrained")
    plots.points(real_points, x, figure.subplots())
    figure.savefig(file, format="png")


def draw_images(x: Tensor, file: io.BytesIO, *, ink: bool = True) -> None:
    """Pictures (n, c, h, w) in [-1, 1] as one PNG, pixel by pixel; with ``ink`` 1 is black in grey ones."""
    from matplotlib.image import imsave

    n, c, h, w = x.shape
    columns = min(n, 8 if n <= 64 else 16)
    lines = -(-n // columns)
    sheet = np.full((lines * (h + 2) - 2, columns * (w + 2) - 2, 3), 255, np.uint8)
    levels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    levels = 255 - levels if c == 1 and ink else levels
    for k, picture in enumerate(levels.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()):
        top, left = k // columns * (h + 2), k % columns * (w + 2)
        sheet[top : top + h, left : left + w] = picture
    zoom = max(1, 600 // sheet.shape[1])
    imsave(file, sheet.repeat(zoom, 0).repeat(zoom, 1), format="png")
