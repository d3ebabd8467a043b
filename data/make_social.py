"""Draws book/_static/social.png, which a link to the book shows elsewhere, around the book's cover.

python data/make_social.py
"""

import io
from pathlib import Path

from matplotlib import pyplot as plt
from PIL import Image

STATIC = Path(__file__).parents[1] / "book" / "_static"

fig = plt.figure(figsize=(12, 6.3))
fig.text(0.05, 0.86, "Wasserstein GANs, checked", fontsize=38)
fig.text(0.05, 0.77, "A book and a package in which every claim is tested", fontsize=19, color="0.3")
ax = fig.add_axes((0.03, 0.03, 0.94, 0.68))
ax.imshow(Image.open(STATIC / "cover.png"))
ax.set_axis_off()
drawn = io.BytesIO()
fig.savefig(drawn, dpi=100)
Image.open(drawn).convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE).save(
    STATIC / "social.png", optimize=True
)
