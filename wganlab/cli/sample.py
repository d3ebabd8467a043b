"""``wganlab sample``: what a trained generator makes, as a picture or as numbers."""

import argparse
import io

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from .. import sampling
from .._files import errors_as
from ..errors import InputError
from .config import load_run
from .terminal import print_result

CHUNK_ROWS = 500  # rows a batch: BatchNorm wants many, memory few


def run(options: argparse.Namespace) -> int:
    """The exit code."""
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
    with errors_as(InputError, f"Cannot write {out}", "Name another --out."):
        out.write_bytes(buffer.getvalue())
    print_result(f"{out}: {len(x)} samples after {game.step} generator updates")
    return 0


@torch.no_grad()
def generate(generator: nn.Module, latent: int, n: int, rng: torch.Generator) -> Tensor:
    """n samples (n, ...); BatchNorm uses the batch that it is given, so that is never below 250 rows."""
    prior, sizes = sampling.normal(latent), [min(CHUNK_ROWS, n - k) for k in range(0, n, CHUNK_ROWS)]
    return torch.cat([generator(prior(max(250, rows), rng))[:rows] for rows in sizes])


def draw_points(real_points: Tensor, x: Tensor, file: io.BytesIO) -> None:
    """Real and generated points in the plane as PNG."""
    from matplotlib.figure import Figure

    from .. import plots

    figure = Figure(figsize=(6, 6), layout="constrained")
    plots.points(real_points, x, figure.subplots())
    figure.savefig(file, format="png")


def draw_images(x: Tensor, file: io.BytesIO, *, ink: bool = True) -> None:
    """Pictures (n, c, h, w) in [-1, 1] as one PNG, pixel by pixel; with ``ink`` 1 is black in grey ones."""
    levels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    levels = 255 - levels if x.shape[1] == 1 and ink else levels
    columns = min(len(x), 8 if len(x) <= 64 else 16)
    # White to the right of each, below it, and in place of those that the last line lacks.
    white = (0, 2, 0, 2, 0, 0, 0, -len(x) % columns)
    tiles = nn.functional.pad(levels.expand(-1, 3, -1, -1), white, value=255)
    lines = tiles.permute(0, 2, 3, 1).unflatten(0, (-1, columns))  # (lines, columns, h + 2, w + 2, 3)
    sheet = Image.fromarray(lines.transpose(1, 2).flatten(2, 3).flatten(0, 1)[:-2, :-2].numpy())
    ImageOps.scale(sheet, max(1, 600 // sheet.width), Image.Resampling.NEAREST).save(file, "png")
