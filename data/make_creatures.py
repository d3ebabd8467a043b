"""Draws the creatures of chapter 14: 600 small colour pictures of animals with parts that can be counted.

    python data/make_creatures.py            writes data/runs/creatures.npz and .json
    python data/make_creatures.py FOLDER     writes the 600 pictures as PNG files, for a folder of pictures:
                                             wganlab train RUN --data images --from FOLDER

A creature has five parts: one of 3 bodies, 4 colours, 1 to 3 eyes, 2 or 4 legs, and ears or none, hence 144
kinds. 24 kinds are never drawn, so that a picture of one was invented; each of the other 120 is drawn five
times, one pixel this way or that, a little lighter or darker.

    pictures    (600, 32, 32, 3) uint8
    parts       (600, 5) which body, colour, eyes, legs, ears
    kinds       (144, 5) all combinations; kind k was drawn if ``drawn[k]``
    drawn       (144,)
    templates   (144, 32, 32, 3) uint8: each kind in the middle, neither lighter nor darker
"""

import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from wganlab import data

SIZE, FINE = 32, 8  # pixels, and how much finer it is drawn
COLOURS = [(208, 62, 52), (58, 118, 196), (70, 150, 80), (226, 172, 46)]
BODIES = [  # in pixels, from the middle of the body
    lambda draw, box, fill: draw.ellipse(box, fill=fill),
    lambda draw, box, fill: draw.rounded_rectangle(box, radius=2 * FINE, fill=fill),
    lambda draw, box, fill: draw.polygon(
        [(box[0], box[3]), (box[2], box[3]), ((box[0] + box[2]) / 2, box[1])], fill=fill
    ),
]
PARTS = {"body": 3, "colour": 4, "eyes": 3, "legs": 2, "ears": 2}


def creature(body, colour, eyes, legs, ears, *, right=0, down=0, light=0.0):
    """A picture (32, 32, 3) uint8; ``light`` is added to the body's colour, -1 to 1."""
    image = Image.new("RGB", (SIZE * FINE, SIZE * FINE), (250, 248, 242))
    draw = ImageDraw.Draw(image)
    fill = tuple(int(np.clip(level + 40 * light, 0, 255)) for level in COLOURS[colour])
    dark = tuple(level // 2 for level in fill)

    def box(x, y, width, height):
        """A box around (x, y), in pixels from the middle."""
        x, y = (16 + x + right) * FINE, (16 + y + down) * FINE
        return x - width * FINE / 2, y - height * FINE / 2, x + width * FINE / 2, y + height * FINE / 2

    for x in ((-4, 4), (-6, -2, 2, 6))[legs]:
        draw.rectangle(box(x, 10, 2, 5), fill=dark)
    if ears:
        for x in (-5, 5):
            draw.ellipse(box(x, -9, 4, 7), fill=dark)
    BODIES[body](draw, box(0, 0, 18, 18), fill)
    for x in ((0,), (-3, 3), (-4, 0, 4))[eyes]:
        draw.ellipse(box(x, 1, 4, 4), fill="white")
        draw.ellipse(box(x, 1, 2, 2), fill="black")
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX))


def main():
    started = time.process_time()
    kinds = np.array(list(product(*map(range, PARTS.values()))))
    rng = np.random.default_rng(0)
    drawn = np.ones(len(kinds), bool)
    drawn[rng.choice(len(kinds), 24, replace=False)] = False
    parts = np.repeat(kinds[drawn], 5, axis=0)
    moves = rng.integers(-1, 2, (len(parts), 2))
    pictures = np.stack(
        [
            creature(*row, right=right, down=down, light=light)
            for row, (right, down), light in zip(parts, moves, rng.uniform(-1, 1, len(parts)), strict=True)
        ]
    )
    if sys.argv[1:]:
        folder = Path(sys.argv[1])
        folder.mkdir(parents=True)
        for k, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / f"{k:03}.png")
        print(f"{len(pictures)} pictures in {folder}")
        return
    arrays = {
        "pictures": pictures,
        "parts": parts.astype(np.uint8),
        "kinds": kinds.astype(np.uint8),
        "drawn": drawn,
        "templates": np.stack([creature(*kind) for kind in kinds]),
    }
    about = {
        "command": "python data/make_creatures.py",
        "what": "600 creatures of 120 kinds, five parts each; 24 kinds are left out",
        "cpu_seconds": round(time.process_time() - started),
    }
    data.save_results(Path(__file__).with_name("runs"), "creatures", arrays, about)


if __name__ == "__main__":
    main()
