"""Draws book/_static/cover.png, the picture of the README and of the book's first page; about a minute.

python data/make_cover.py
"""

import io
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from PIL import Image

from wganlab import Average, Draw, Game, data, networks, plots, recipes, sampling, train, transport

torch.set_num_threads(1)
plots.use_style()
ring, rng = sampling.ring(), torch.Generator().manual_seed(0)
x, y = ring(300, rng).double(), 0.5 * sampling.normal(2)(300, rng).double()
potential, plan = transport.kantorovich_potential(x, y), transport.emd(x, y).plan

torch.manual_seed(0)
game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan_gp_toy)
average = Average(game.generator, decay=0.99)
for _ in train(game, Draw(ring, sampling.normal(2), 128), until=1500):
    average.update(game.generator)
with torch.no_grad():
    fake = average.player(sampling.normal(2)(600, rng))

fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.2))
plots.field(potential, 2.0, axes[0])
for i, j in torch.nonzero(plan).tolist()[::2]:
    axes[0].plot(*zip(x[i], y[j], strict=True), color="0.35", lw=0.5)
plots.points(x, y, axes[0])
plots.field(game.critic, 2.0, axes[1])
plots.points(ring(600, rng), fake, axes[1])
kept = data.results("digits_wgan_gp").arrays
plots.pictures(torch.from_numpy(kept["sheets"][-1]) / 127.5 - 1, axes[2])
for ax in axes:
    ax.set_axis_off()
drawn = io.BytesIO()
fig.savefig(drawn, dpi=110)
Image.open(drawn).convert("RGB").quantize(256).save(
    Path(__file__).parents[1] / "book" / "_static" / "cover.png", optimize=True
)
