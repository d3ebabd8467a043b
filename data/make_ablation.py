"""Trains GANs with each remedy of chapter 5, with pairs and with all, and keeps what the chapter shows.

    python data/make_ablation.py [FOLDER]

About seventeen minutes on one CPU thread. Writes data/runs/ablation.npz and .json: for the 8 and the 25
Gaussians and the digits, each setting and five seeds, how good the generator is after as many updates, and
after as many seconds; four settings on the ring with five more seeds. Finished runs are kept in FOLDER, if
one is given.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from wganlab import (
    Draw,
    Game,
    data,
    metrics,
    networks,
    objectives,
    recipes,
    sampling,
    train,
    transport,
    tricks,
)
from wganlab.engine import fast

SEEDS, POINTS, W1_POINTS = range(5), 2000, 300
UPDATES = {"ring": 450, "grid": 450, "digits": 150}
LATENT = {"ring": 2, "grid": 2, "digits": 32}
M = {"ring": 64, "grid": 64, "digits": 32}
REFERENCE = 32  # rows of the reference batch
SETTINGS = {
    "GAN": (),
    "batch norm": ("batchnorm",),  # in the generator: what virtual batch normalisation replaces
    "feature matching": ("match",),
    "minibatch": ("minibatch",),
    "historical": ("history",),
    "labels": ("labels",),
    "virtual norm": ("virtual",),
    "noise": ("noise",),
    "the paper's three": ("minibatch", "labels", "virtual"),
    "virtual norm + labels": ("virtual", "labels"),
    "matching + noise": ("match", "noise"),
    "all": ("match", "minibatch", "history", "labels", "virtual", "noise"),
    "WGAN-GP": ("gp",),
}
MORE = ("GAN", "batch norm", "feature matching", "virtual norm")  # on the ring, with seeds 5 to 9, too
torch.set_num_threads(1)
pictures = data.digits().x
held_out = torch.arange(5000) % 500 >= 400  # the classifier behind digit_score has not seen them
test_rng = torch.Generator().manual_seed(99)
LAWS = {"ring": sampling.ring(), "grid": sampling.grid(), "digits": sampling.empirical(pictures[~held_out])}
RADIUS = {"ring": 0.2, "grid": 0.15}
TEST = {name: LAWS[name](2 * W1_POINTS, test_rng).split(W1_POINTS) for name in ("ring", "grid")}
shuffled = pictures[held_out][torch.randperm(1000, generator=test_rng)]
TEST["digits"] = shuffled[:W1_POINTS], shuffled[500 : 500 + W1_POINTS]


def players(name, parts, draw):
    """A generator and a critic; those of the digits are wider and have one row of 784 numbers."""
    shape, hidden = ((1, 28, 28), (128, 128)) if name == "digits" else (2, (64, 64, 64))
    norm = {"virtual": tricks.VirtualBatchNorm, "batchnorm": nn.BatchNorm1d}
    norm = next((norm[part] for part in parts if part in norm), None)
    last = nn.Tanh() if name == "digits" else None
    generator = networks.mlp(LATENT[name], shape, hidden=hidden, norm=norm, last=last)
    if "virtual" in parts:
        generator = tricks.with_reference(generator, draw.latent(0)[:REFERENCE])
    critic = networks.mlp(shape, 1, hidden=hidden, slope=0.2)
    if "minibatch" in parts:
        layer = tricks.MinibatchDiscrimination(hidden[-1], kernels=8, dims=4)
        critic = nn.Sequential(*critic[:-2], layer, nn.Linear(hidden[-1] + 8, 1), nn.Flatten(0))
    return generator, critic


def set_up(name, setting, seed):
    """The game, its draw, and the generator without noise."""
    parts = SETTINGS[setting]
    torch.manual_seed(seed)
    draw = Draw(LAWS[name], sampling.normal(LATENT[name]), M[name], seed=seed)
    bare, critic = players(name, parts, draw)
    generator = bare
    recipe = replace(recipes.gan, optimizer=partial(recipes.adam, lr=1e-3, betas=(0.5, 0.999)))
    if "gp" in parts:
        recipe = recipes.wgan_gp_digits if name == "digits" else recipes.wgan_gp_toy
    if "labels" in parts:
        recipe = replace(recipe, objective=objectives.with_labels(objectives.non_saturating))
    if "noise" in parts:
        generator, draw = tricks.InstanceNoise(0.3, until=3 * UPDATES[name] // 4)(bare, draw)
    game = Game(generator, critic, recipe)
    if "match" in parts:
        game = tricks.feature_matching(game)
    if "history" in parts:
        game = tricks.historical_averaging(game, weight=0.001)
    return game, draw, bare


def classes(name, fake):
    """How many fakes lie at each centre, or are read as each digit."""
    if name == "digits":
        return metrics.trained_digit_classifier()(fake).argmax(1).bincount(minlength=10)
    distance, nearest = torch.cdist(fake, LAWS[name].centres).min(dim=1)
    return nearest[distance <= RADIUS[name]].bincount(minlength=len(LAWS[name].centres))


@torch.no_grad()
def judge(name, generator):
    """Exact W1, modes with a tenth and with half of their due, share at a mode, and the digits' score."""
    fake = generator(sampling.normal(LATENT[name])(POINTS, torch.Generator().manual_seed(7)))
    real, counts = TEST[name][0], classes(name, fake)
    w1 = transport.emd(real.flatten(1), fake[:W1_POINTS].flatten(1)).distance
    due = POINTS / len(counts)
    score = metrics.digit_score(shuffled[:500], fake[:500]) if name == "digits" else np.nan
    held = [int((counts >= part * due).sum()) for part in (0.1, 0.5)]
    return [w1, *held, counts.sum().item() / POINTS, score], fake[:200]


def seconds_per_update():
    """Medians over rounds in which every setting plays ten updates: (data sets, settings)."""
    games = {(name, setting): set_up(name, setting, 0)[:2] for name in UPDATES for setting in SETTINGS}
    found = {key: [] for key in games}
    for _round in range(5):
        for key, (game, draw) in games.items():
            begin = time.process_time()
            for _step in train(game, draw, until=game.step + 10, accelerate=fast):
                pass
            found[key].append((time.process_time() - begin) / 10)
    return np.median([list(row) for row in found.values()], axis=1).reshape(len(UPDATES), len(SETTINGS))


def play(name, setting, seed, early):
    """What ``judge`` says after ``early`` updates and after all; the last points."""
    game, draw, bare = set_up(name, setting, seed)
    for step in train(game, draw, until=UPDATES[name], accelerate=fast):
        if step.index == early:
            first, _points = judge(name, bare)
    last, points = judge(name, bare)
    return {"measures": np.array([first, last]), "points": points.half().numpy()}


def kept(path, make):
    """What ``make`` gives as a dict of arrays, from the file where it was kept."""
    if not (path and path.exists()):
        result = make()
        if not path:
            return result
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **result)
    return dict(np.load(path))


folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
begin = time.process_time()


def run(name, setting, seed, early):
    """What ``play`` gives, from FOLDER if it is there."""
    part = folder and folder / f"{name}_{list(SETTINGS).index(setting)}_{seed}.npz"
    result = kept(part, partial(play, name, setting, seed, early))
    print(name, seed, setting, early, result["measures"].round(2).tolist(), flush=True)
    return result


costs = kept(folder and folder / "costs.npz", lambda: {"costs": seconds_per_update()})["costs"]
updates = np.array(list(UPDATES.values()))
# The budget of seconds is what the plain GAN needs for its updates: how many it buys in each setting.
early = np.minimum(np.rint(updates[:, None] * costs[:, :1] / costs), updates[:, None]).astype(int)
measures = np.full((len(UPDATES), len(SETTINGS), len(SEEDS), 2, 5), np.nan)
points = {}
for s, seed in enumerate(SEEDS):
    for d, name in enumerate(UPDATES):
        for k, setting in enumerate(SETTINGS):
            result = run(name, setting, seed, early[d, k])
            measures[d, k, s], points[name, k, s] = result["measures"], result["points"]
bought = dict(zip(SETTINGS, early[0], strict=True))  # on the ring
more = [
    [run("ring", setting, seed, bought[setting])["measures"] for seed in range(5, 10)] for setting in MORE
]

arrays = {
    "data": np.array(list(UPDATES)),
    "settings": np.array(list(SETTINGS)),
    "updates": updates,
    "seconds": costs,
    "early": early,
    "measures": measures,
    "more": np.array(more),  # (setting of MORE, seed, (seconds, updates), measure)
    "measured": np.array(["w1", "modes_tenth", "modes_half", "share", "score"]),
    "w1_floor": np.array([transport.emd(*(x.flatten(1) for x in TEST[name])).distance for name in UPDATES]),
    "score_floor": np.array(metrics.digit_score(shuffled[:500], shuffled[500:])),
    "points": np.stack([points["ring", k, 0] for k in range(len(SETTINGS))]),
}
about = {
    "command": "python data/make_ablation.py",
    "what": "GANs with the remedies of chapter 5 on 8 and 25 Gaussians and digits, seeds 0 to 4, after "
    "equal updates and after equal seconds",
    "seconds": round(time.process_time() - begin),
}
data.save_results(Path(__file__).parent / "runs", "ablation", arrays, about)
