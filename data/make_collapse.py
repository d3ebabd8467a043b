"""Trains GAN and WGAN-GP on 8 and 25 Gaussians, ten seeds and five, and keeps what chapter 4 shows.

    python data/make_collapse.py [FOLDER]

About fourteen minutes on one CPU thread. Writes data/runs/collapse.npz and .json: along each run how many of
2,000 points lie near each centre, for three radii, and the exact W1; points of the ends, and of seed 0 all
the way; and the ring once more with the learning rates of GAN and WGAN-GP exchanged. Finished runs are kept
in FOLDER, if one is given, so that a stopped command can go on.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch

from wganlab import Draw, Game, data, engine, networks, recipes, sampling, train, transport
from wganlab.objectives import minimax

M, POINTS, LOOKS, RADII = 128, 2000, 10, (0.05, 0.1, 0.2)
SEEDS = {"ring": range(10), "exchanged": range(5), "grid": range(5)}
LAWS = {"ring": sampling.ring(), "grid": sampling.grid()}
# 3,000 updates of a player for all: 1 and 1 a turn for the GANs, 5 and 1 for WGAN-GP.
RECIPES = {
    "saturating": (replace(recipes.gan, objective=minimax), 1500),
    "non_saturating": (recipes.gan, 1500),
    "gp": (recipes.wgan_gp_toy, 500),
}
# The GANs learn with the rate 2e-4, WGAN-GP with 1e-3. On the ring also the other way round.
EXCHANGED = {
    name: (replace(recipe, optimizer=partial(recipe.optimizer, lr=2e-4 if name == "gp" else 1e-3)), turns)
    for name, (recipe, turns) in RECIPES.items()
}
torch.set_num_threads(1)
prior = sampling.normal(2)
z_test = prior(POINTS, torch.Generator().manual_seed(7))
test_rng = torch.Generator().manual_seed(99)
TESTS = {name: (law(500, test_rng), law(500, test_rng)) for name, law in LAWS.items()}


def look(generator, law_name):
    """Counts (radii, centres), the exact W1 of 500 points, and 200 points."""
    with torch.no_grad():
        fake = generator(z_test)
    centres = LAWS[law_name].centres
    distance, nearest = torch.cdist(fake, centres).min(dim=1)
    counts = [nearest[distance <= r].bincount(minlength=len(centres)).numpy() for r in RADII]
    w1 = transport.emd(TESTS[law_name][0], fake[:500]).distance
    return np.array(counts, np.int16), w1, fake[:200].half().numpy()


def play(law_name, recipe, turns, seed):
    """What ``look`` sees at the start and at LOOKS equally spaced turns, and the seconds of training."""
    torch.manual_seed(seed)
    game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipe)
    draw = Draw(LAWS[law_name], prior, M, seed=seed)
    seen, seconds = [look(game.generator, law_name)], 0.0
    for number in range(1, LOOKS + 1):
        begin = time.process_time()
        for _step in train(game, draw, until=number * turns // LOOKS, accelerate=engine.fast):
            pass
        seconds += time.process_time() - begin
        seen.append(look(game.generator, law_name))
    counts, w1, points = map(np.array, zip(*seen, strict=True))
    return {"counts": counts, "w1": w1, "points": points, "seconds": np.array(seconds)}


folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None


def played(name, law_name, recipe_name, chosen, seed):
    """What ``play`` returns, from FOLDER if it is there."""
    part = folder / f"{name}_{recipe_name}_{seed}.npz" if folder else None
    if part and part.exists():
        result = dict(np.load(part))
    else:
        result = play(law_name, *chosen[recipe_name], seed)
        if part:
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(part, **result)
    modes = (result["counts"][-1] >= POINTS / 100).sum(axis=1)
    print(f"{name} {recipe_name:14} seed {seed} {float(result['seconds']):4.0f} s  "
          f"W1 {result['w1'][-1]:.3f}  modes for each radius {modes}", flush=True)  # fmt: skip
    return result


exchanged = {
    (recipe_name, seed): played("exchanged", "ring", recipe_name, EXCHANGED, seed)
    for seed, recipe_name in product(SEEDS["exchanged"], RECIPES)
}
results = {
    (law_name, recipe_name, seed): played(law_name, law_name, recipe_name, RECIPES, seed)
    for law_name in LAWS
    for seed, recipe_name in product(SEEDS[law_name], RECIPES)
}
arrays = {"radii": np.array(RADII), "turns": np.array([turns for _, turns in RECIPES.values()])}
for law_name in LAWS:
    real, other_real = TESTS[law_name]
    arrays[f"{law_name}.floor"] = np.array(transport.emd(real, other_real).distance)
    for key in ("counts", "w1", "points", "seconds"):
        values = [[results[law_name, name, seed][key] for seed in SEEDS[law_name]] for name in RECIPES]
        arrays[f"{law_name}.{key}"] = np.array(values)
    points = arrays.pop(f"{law_name}.points")
    arrays[f"{law_name}.film"], arrays[f"{law_name}.ends"] = points[:, 0], points[:, :, -1]
for key in ("counts", "w1"):
    values = [[exchanged[name, seed][key] for seed in SEEDS["exchanged"]] for name in RECIPES]
    arrays[f"exchanged.{key}"] = np.array(values)
seconds = sum(float(result["seconds"]) for result in (results | exchanged).values())
about = {
    "command": "python data/make_collapse.py",
    "what": "GAN with either loss and WGAN-GP; batch 128; ring with seeds 0 to 9, grid with seeds 0 to 4",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "collapse", arrays, about)
print(f"{seconds:.0f} s")
