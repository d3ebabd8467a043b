"""Trains GAN, WGAN and WGAN-GP on the 25 Gaussians with five seeds, and keeps what chapter 9 shows.

    python data/make_modes.py [FOLDER]

About four minutes on one CPU thread. Writes data/runs/modes.npz and .json: for each run its exact W1, how
many of 2,000 points lie near each centre, and 400 points. Finished runs are kept in FOLDER, if one is given.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.optim import RMSprop

from wganlab import Draw, Game, data, networks, recipes, sampling, train, transport

M, SEEDS, POINTS, RADIUS = 128, range(5), 2000, 0.15
# The GAN with Adam's numbers of Radford et al., WGAN at ten times the paper's rate, WGAN-GP as in recipes.py.
RECIPES = {
    "gan": (recipes.gan, 2000),
    "wgan": (replace(recipes.wgan, optimizer=partial(RMSprop, lr=5e-4)), 1000),
    "gp": (recipes.wgan_gp_toy, 1000),
}
torch.set_num_threads(1)
grid, prior = sampling.grid(), sampling.normal(2)
test_rng = torch.Generator().manual_seed(99)
real, other_real = grid(500, test_rng), grid(500, test_rng)
z_test = prior(POINTS, torch.Generator().manual_seed(7))


def counts(fake):
    """How many points lie within RADIUS of each of the 25 centres."""
    distance, nearest = torch.cdist(fake, grid.centres).min(dim=1)
    return nearest[distance <= RADIUS].bincount(minlength=25)


def play(recipe, updates, seed):
    torch.manual_seed(seed)
    generator, critic = networks.mlp(2, 2), networks.mlp(2, 1)
    for _step in train(Game(generator, critic, recipe), Draw(grid, prior, M, seed=seed), until=updates):
        pass
    with torch.no_grad():
        fake = generator(z_test)
    w1 = transport.emd(real, fake[:500]).distance
    return {"w1": np.array(w1), "counts": counts(fake).numpy(), "points": fake[:400].half().numpy()}


folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
results = {}
for seed in SEEDS:
    for name, (recipe, updates) in RECIPES.items():
        part = folder / f"{name}_{seed}.npz" if folder else None
        if part and part.exists():
            result = dict(np.load(part))
        else:
            begin = time.process_time()
            result = play(recipe, updates, seed)
            result["seconds"] = np.array(time.process_time() - begin)
            if part:
                folder.mkdir(parents=True, exist_ok=True)
                np.savez(part, **result)
        modes, share = (result["counts"] >= POINTS / 100).sum(), result["counts"].sum() / POINTS
        print(f"{name:5} seed {seed} {float(result['seconds']):4.0f} s  W1 {float(result['w1']):.3f}"
              f"  modes {modes}  share {share:.2f}", flush=True)  # fmt: skip
        results[name, seed] = result

arrays = {
    f"{name}.{key}": np.stack([results[name, seed][key] for seed in SEEDS])
    for name in RECIPES
    for key in ("w1", "counts", "points")
} | {"w1_floor": np.array(transport.emd(real, other_real).distance)}
seconds = sum(float(result["seconds"]) for result in results.values())
about = {
    "command": "python data/make_modes.py",
    "what": "GAN, WGAN and WGAN-GP on the 25 Gaussians (sampling.grid); batch 128, seeds 0 to 4",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "modes", arrays, about)
print(f"{seconds:.0f} s; floor of W1 {arrays['w1_floor']:.3f}")
