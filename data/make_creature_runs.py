"""Trains WGAN-GP with three seeds, a GAN and a WGAN with one, on the creatures, and counts what they draw.

    python data/make_creature_runs.py [FOLDER]

About half an hour on one thread. Writes data/runs/creature_runs.npz and .json. Finished runs are kept in
FOLDER, if one is given, so that a stopped command can go on.

    light           (144, 32, 32, 3) int8: what one unit of light adds to each template of creatures.npz
    least           (5,) the least distance between two kinds with another body, colour, eyes, legs, ears
    RUN.kinds       (3, 2000) uint8: the kind nearest to each of 2,000 samples, after 1/7, 3/7 and all turns
    RUN.medians     (3,) the median of their distances, each at most 12.75; gp_0.distances: at the end, 1/20
    RUN.told        (3, 2000) uint8: bit p is set if part p is told (see `reading`)
    RUN.curve       (21, 3) turn, CPU seconds, median critic loss of 50 updates
    RUN.near        (2, 600) float16: distance of each sample to the nearest of the 600 and of 600 fresh ones
    RUN.pr          precision and recall against 600 fresh creatures
    RUN.sheet       9 pictures of the end, uint8, of gan_0 and wgan_0; of gp_0 at the two other times
    fresh.*         the same for fresh creatures: the floor
    gp_0.state.*    the weights of the last generator of the run gp_0, float16
"""

import importlib.util
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.optim import RMSprop

from wganlab import Draw, Game, data, metrics, networks, recipes, sampling, train
from wganlab.engine import fast
from wganlab.training import linear_decay

HERE = Path(__file__).parent
LATENT, M, LOOKS, TIMES, N = 32, 32, 21, (3, 9, 21), 2000

SHEETS = {"gp_0": slice(2), "gan_0": 2, "wgan_0": 2}  # pictures of which times are kept

wgan = replace(recipes.wgan, optimizer=partial(RMSprop, lr=5e-4))  # ten times the paper's, as in chapter 9
RUNS = {  # recipe, turns (generator updates), seed; turns so that each takes about as many seconds
    "gp_0": (recipes.wgan_gp_digits, 3780, 0),
    "gan_0": (recipes.gan, 7140, 0),
    "wgan_0": (wgan, 2436, 0),
    "gp_1": (recipes.wgan_gp_digits, 3780, 1),
    "gp_2": (recipes.wgan_gp_digits, 3780, 2),
}

spec = importlib.util.spec_from_file_location("make_creatures", HERE / "make_creatures.py")
creatures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(creatures)
shipped = data.results("creatures").arrays


def families(light: np.ndarray):
    """Each kind at nine places (1296, 3072), and what one unit of light adds to it; in units of 255."""
    both = (shipped["templates"] / 255, light / 255)
    moves = [tuple(np.subtract(move, 1)) for move in np.ndindex(3, 3)]
    return [
        np.concatenate([np.roll(x, move, (1, 2)).reshape(144, -1) for move in moves]).astype(np.float32)
        for x in both
    ]


def read(x: np.ndarray, templates: np.ndarray, lights: np.ndarray):
    """The nearest kind of pictures (n, 32, 32, 3) in [0, 1], its distance, and its leads (n, 5).

    Each kind is taken at its best place and light. The lead in a part is how much larger the square of the
    distance is to the best kind with another such part.
    """
    x, kinds = x.reshape(len(x), -1).astype(np.float32), shipped["kinds"]
    square = (x**2).sum(1)[:, None] + (templates**2).sum(1) - 2 * x @ templates.T
    along, size = x @ lights.T - (templates * lights).sum(1), (lights**2).sum(1)
    level = np.clip(along / size, -1, 1)
    square += level * (level * size - 2 * along)
    square = square.reshape(len(x), 9, 144).min(1)
    best, first = square.argmin(1), square.min(1)
    others = [np.where(column == column[best][:, None], np.inf, square).min(1) for column in kinds.T]
    return best, np.sqrt(first.clip(0)), np.stack(others, 1) - first[:, None]


def gaps(templates: np.ndarray, lights: np.ndarray) -> np.ndarray:
    """The least distance (144, 144) between two kinds, each at any place and light; inf to itself.

    Two kinds at two places and all lights are two segments t + a m and s + b n with a and b in [-1, 1].
    """
    t, m, least = templates.reshape(144, -1), lights.reshape(144, -1), np.full((144, 144), np.inf)
    for move in np.ndindex(5, 5):
        s, n = (np.roll(x, np.subtract(move, 2), (1, 2)).reshape(144, -1) for x in (templates, lights))
        uu = (t**2).sum(1)[:, None] + (s**2).sum(1) - 2 * t @ s.T
        um, un, mn = (t * m).sum(1)[:, None] - m @ s.T, t @ n.T - (s * n).sum(1), m @ n.T
        mm, nn = (m**2).sum(1)[:, None], (n**2).sum(1)[None]

        def square(a, b):
            return uu + a * a * mm + b * b * nn + 2 * (a * um - b * un - a * b * mn)  # noqa: B023

        inner = np.maximum(mm * nn - mn * mn, 1e-9)
        a, b = (un * mn - um * nn) / inner, (mm * un - mn * um) / inner
        inside = (abs(a) <= 1) & (abs(b) <= 1)
        found = [square(a.clip(-1, 1), b.clip(-1, 1)) + np.where(inside, 0, np.inf)]
        found += [square(a, ((un + a * mn) / nn).clip(-1, 1)) for a in (-1, 1)]
        found += [square(((b * mn - um) / mm).clip(-1, 1), b) for b in (-1, 1)]
        least = np.minimum(least, np.min(found, axis=0))
    np.fill_diagonal(least, np.inf)
    return np.sqrt(least)


def fresh(n: int, seed: int) -> np.ndarray:
    """n creatures of the law that the 600 were drawn from: (n, 32, 32, 3) in [0, 1]."""
    rng = np.random.default_rng(seed)
    kinds = shipped["kinds"][shipped["drawn"]][rng.integers(120, size=n)]
    moves, lights = rng.integers(-1, 2, (n, 2)), rng.uniform(-1, 1, n)
    rows = zip(kinds, moves, lights, strict=True)
    return np.stack([creatures.creature(*k, right=r, down=d, light=x) for k, (r, d), x in rows]) / 255


def nearest(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The distance of each picture to the nearest of the rows."""
    x, rows = (torch.from_numpy(part).double().flatten(1) for part in (x, rows))
    return torch.cdist(x, rows).amin(1).numpy()


def numbers(x: np.ndarray) -> dict:
    """Distances to the nearest of the 600 and of as many fresh pictures; precision and recall."""
    pairs = [nearest(x[:600], rows) for rows in (shipped["pictures"] / 255, held)]
    pr = metrics.precision_recall(held.reshape(600, -1), x[:600].reshape(600, -1))
    return {"near": np.array(pairs, np.float16), "pr": np.array(pr)}


def reading(x: np.ndarray) -> dict:
    """What is kept of a picture: its kind, its distance in 1/20, and which parts are told, as bits."""
    kinds, distances, leads = read(x, *FAMILIES)
    told = (leads >= least**2 / 2) @ (1 << np.arange(5))
    coded = np.ceil(distances * 20).clip(0, 255)
    return {
        "kinds": kinds.astype(np.uint8), "distances": coded.astype(np.uint8), "told": told.astype(np.uint8)
    }  # fmt: skip


@torch.no_grad()
def pictures(generator, n=N):
    """n samples (n, 32, 32, 3) in [0, 1], in batches of 500, which BatchNorm normalises each by itself."""
    z = sampling.normal(LATENT)(n, torch.Generator().manual_seed(7))
    return torch.cat([generator(part) for part in z.split(500)]).add(1).div(2).permute(0, 2, 3, 1).numpy()


def play(recipe, turns, seed):
    torch.manual_seed(seed)
    generator, critic = networks.dcgan32_generator(LATENT), networks.dcgan32_critic(width=16)
    game, draw = Game(generator, critic, recipe), Draw(real, sampling.normal(LATENT), M, seed=seed)
    kept, losses = {"curve": [], "samples": []}, []
    spent, start = 0.0, time.process_time()
    for look in range(1, LOOKS + 1):
        for step in train(game, draw, until=turns * look // LOOKS, accelerate=fast):
            losses.append(step.critic_loss.item())
            linear_decay(game, turns * 3 // 5, turns)
        spent += time.process_time() - start
        x = pictures(generator, N if look in TIMES else 500)
        kept["curve"].append([game.step, spent, np.median(losses[-50:])])
        found = reading(x[:500])
        said = f"named {(found['told'] == 31).mean():.3f}, distance {np.median(found['distances']) / 20:.2f}"
        print("{:6d} {:5.0f} s  loss {:8.4f}".format(*kept["curve"][-1]), said, flush=True)
        if look in TIMES:
            kept["samples"].append((x * 255).round().astype(np.uint8))
        start = time.process_time()
    state = {f"state.{key}": value.numpy() for key, value in generator.state_dict().items()}
    return {key: np.array(value) for key, value in kept.items()} | state


torch.set_num_threads(1)
torch.set_flush_denormal(True)
real = torch.from_numpy(shipped["pictures"]).permute(0, 3, 1, 2).float() / 127.5 - 1
brighter, darker = (
    np.stack([creatures.creature(*kind, light=light) for kind in shipped["kinds"]]).astype(int)
    for light in (1, -1)
)
light = ((brighter - darker) / 2).round().astype(np.int8)
FAMILIES = families(light)
differ = shipped["kinds"][:, None] != shipped["kinds"]
between = gaps(shipped["templates"] / 255, light / 255)
least = np.array([between[differ[:, :, part]].min() for part in range(5)])
held = fresh(600, 1)

if __name__ == "__main__":
    start = time.process_time()
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    results = {}
    for name, run in RUNS.items():
        part = folder / f"{name}.npz" if folder else None
        if part and part.exists():
            results[name] = dict(np.load(part))
            continue
        print(name, flush=True)
        results[name] = play(*run)
        if part:
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(part, **results[name])
    arrays = {"light": light, "least": least}
    for name, result in results.items():
        arrays[f"{name}.curve"] = result["curve"][:, :3].astype(np.float32)
        samples = result["samples"] / 255
        found = [reading(x) for x in samples]
        found = {key: np.array([at[key] for at in found]) for key in found[0]} | numbers(samples[-1])
        arrays |= {f"{name}.{key}": value for key, value in found.items()}
        arrays[f"{name}.medians"] = np.median(arrays[f"{name}.distances"], axis=1) / 20
        distances = arrays.pop(f"{name}.distances")
        if name == "gp_0":
            arrays["gp_0.distances"] = distances[-1]
        if name in SHEETS:
            arrays[f"{name}.sheet"] = result["samples"][SHEETS[name], :9]
    state = {key: value for key, value in results["gp_0"].items() if key.startswith("state.")}
    arrays |= {f"gp_0.{key}": value.astype(np.float16) for key, value in state.items()}
    x = fresh(N, 2)
    arrays |= {f"fresh.{key}": value for key, value in (reading(x) | numbers(x)).items()}
    seconds = sum(float(arrays[f"{name}.curve"][-1, 1]) for name in RUNS)
    about = {
        "command": "python data/make_creature_runs.py",
        "what": "WGAN-GP (seeds 0 to 2), GAN and WGAN (seed 0) on the 600 creatures, batch 32",
        "seconds": round(seconds),
    }
    data.save_results(HERE / "runs", "creature_runs", arrays, about)
    print(f"{seconds:.0f} s of training, {time.process_time() - start:.0f} s in this command")
