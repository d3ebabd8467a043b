"""Figures in one style: each function draws on an ``Axes`` and returns it.

Real data are blue, fakes vermilion, theory black and dashed; a critic is blue where it is high and orange
where it is low.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import ArrayLike
from torch import Tensor

from .errors import InputError

__all__ = ["field", "pictures", "piles", "plan", "points", "use_style"]

REAL, FAKE, THEORY = "#0072B2", "#D55E00", "black"
LOW_TO_HIGH = LinearSegmentedColormap.from_list("critic", [FAKE, "white", REAL])


def use_style() -> None:
    """Let all figures of this process follow ``style.mplstyle``."""
    plt.style.use(Path(__file__).with_name("style.mplstyle"))


def array(values: ArrayLike) -> np.ndarray:
    """``values`` as numpy, from whatever device."""
    return values.detach().cpu().numpy() if torch.is_tensor(values) else np.asarray(values)


def points(real: ArrayLike, fake: ArrayLike, ax: Axes | None = None) -> Axes:
    """Real points (n, 2) in blue and fake points (m, 2) in vermilion, with equal scales."""
    ax = ax or plt.gca()
    for cloud, colour, label in ((array(real), REAL, "real"), (array(fake), FAKE, "fake")):
        ax.plot(*cloud.T, ".", color=colour, label=label, markersize=3, alpha=0.6)
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    return ax


def field(f: Callable[[Tensor], Tensor], limit: float, ax: Axes | None = None, *, n: int = 60) -> Axes:
    """Level lines of a critic or potential f on the square [-limit, limit]^2, high in blue."""
    ax = ax or plt.gca()
    line = torch.linspace(-limit, limit, n)
    square = torch.cartesian_prod(line, line)
    place = next(iter(f.parameters())).device if hasattr(f, "parameters") else "cpu"
    with torch.no_grad():
        values = array(f(square.to(place))).reshape(n, n).T
    ax.contourf(line, line, values, levels=14, cmap=LOW_TO_HIGH, alpha=0.8)
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal", xlim=(-limit, limit), ylim=(-limit, limit))
    return ax


def pictures(images: ArrayLike, ax: Axes | None = None, *, columns: int = 8) -> Axes:
    """Pictures (n, 1, h, w) in [-1, 1] as one sheet, ink black, ``columns`` in a row."""
    ax = ax or plt.gca()
    x = array(images)
    if x.ndim != 4 or x.shape[1] != 1 or columns < 1 or len(x) % columns:
        raise InputError(f"Draw grey images (n, 1, h, w) with n a multiple of {columns}, got {x.shape}.")
    n, _, h, w = x.shape
    sheet = x.reshape(n // columns, columns, h, w).swapaxes(1, 2).reshape(n // columns * h, columns * w)
    ax.imshow(sheet, cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    return ax


def plan(gamma: ArrayLike, ax: Axes | None = None) -> Axes:
    """A transport plan (n, m) as a heat map: rows are sources, columns are targets, counted from 1."""
    ax = ax or plt.gca()
    gamma = array(gamma)
    ax.imshow(gamma, cmap="Blues", vmin=0)
    for (i, j), mass in np.ndenumerate(gamma):
        if mass > 0:
            colour = "white" if mass > gamma.max() / 2 else "black"
            ax.text(j, i, f"{mass:g}", ha="center", va="center", color=colour)
    ax.set(xlabel="to $j$", ylabel="from $i$")
    ax.set_xticks(range(gamma.shape[1]), range(1, gamma.shape[1] + 1))
    ax.set_yticks(range(gamma.shape[0]), range(1, gamma.shape[0] + 1))
    return ax


def piles(P: ArrayLike, Q: ArrayLike, ax: Axes | None = None) -> Axes:
    """Two rows of piles side by side: masses P (n,) in blue and Q (n,) in vermilion."""
    ax = ax or plt.gca()
    place = np.arange(1, len(P) + 1)
    ax.bar(place - 0.2, array(P), width=0.38, color=REAL, label="$P$")
    ax.bar(place + 0.2, array(Q), width=0.38, color=FAKE, label="$Q$")
    ax.set(xlabel="place", ylabel="shovelfuls")
    ax.set_xticks(place)
    return ax
