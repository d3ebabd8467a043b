"""Where a run computes and how fast: device, threads, precision, and the acceleration."""

import os

import torch

from ..engine import autocast, chain, compiled, fast, graphed, threads_for
from ..errors import InputError
from ..training import Acceleration, Game, identity


def check_device(name: str) -> None:
    """Raise ``InputError`` for CUDA where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no CUDA device here. Use --device cpu or auto.")


def set_threads(asked: int | str, game: Game, m: int, place: torch.device) -> None:
    """Let PyTorch use so many CPU threads.

    ``auto`` goes by the size of the players, shares the cores among the ranks of this machine, and on a GPU
    leaves PyTorch's own choice.
    """
    if asked == "auto" and place.type == "cuda":
        return
    if asked == "auto":
        asked = max(1, threads_for(game, m) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    torch.set_num_threads(asked)


def set_precision(name: str) -> None:
    """Let matrix products and convolutions in float32 round to TF32, or not; it matters on a GPU only."""
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = name == "tf32"


def accelerator(name: str, precision: str, place: torch.device) -> Acceleration:
    """The acceleration of that name; raises ``InputError`` for one that cannot be."""
    if name == "graph" and place.type != "cuda":
        raise InputError(f"--accelerate graph needs a CUDA device, and this run is on {place}. Use fast.")
    if name == "auto":
        name = "graph" if place.type == "cuda" else "fast"
    chosen = {"plain": identity, "fast": fast, "compile": compiled, "graph": graphed}[name]
    return chain(autocast(torch.bfloat16), chosen) if precision == "bf16" else chosen
