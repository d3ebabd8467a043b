"""Trains the four models of WGAN-GP's Figure 3 on the digits, and three of them at other rates: chapter 14.

    python data/make_results.py [FOLDER]

About 15 minutes on one thread. Writes data/runs/results.npz and .json: for each run its curve over
updates and seconds, and of seed 0 a sheet of samples. Finished runs are kept in FOLDER, if one is given, so
that a stopped command can go on.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.optim import RMSprop

from wganlab import Draw, Game, data, metrics, networks, recipes, sampling, train, transport
from wganlab.engine import fast

LATENT, M, SEEDS = 64, 32, (0, 1, 2)
WGANS, GAN = 200, 1000  # generator updates: 1,000 critic updates each

# The paper's Figure 3: clipping and one WGAN-GP share RMSProp and its rate, the other has Adam at twice that.
# All three rates are ten times the papers', so that 200 updates show something; the GAN's is as published.
rmsprop = partial(RMSprop, lr=5e-4)
adam = partial(recipes.adam, lr=1e-3, betas=(0.0, 0.9))
RECIPES = {
    "clip_rmsprop": (replace(recipes.wgan, optimizer=rmsprop), WGANS, 8),
    "gp_rmsprop": (replace(recipes.wgan_gp, optimizer=rmsprop), WGANS, 8),
    "gp_adam": (replace(recipes.wgan_gp, optimizer=adam), WGANS, 8),
    "gan": (recipes.gan, GAN, 8),
    # as the others: ten times the published rate
    "gan_2e-03": (replace(recipes.gan, optimizer=partial(recipes.adam, lr=2e-3, betas=(0.5, 0.999))), GAN, 8),
}
# The rates of the blog's two programs, 1e-5 with clipping and 1e-4 with the penalty, and the same exchanged.
for lr in (1e-5, 1e-4):
    slow = partial(RMSprop, lr=lr)
    turns = WGANS // 2 if lr == 1e-5 else 2 * WGANS
    RECIPES[f"clip_{lr:.0e}"] = (replace(recipes.wgan, optimizer=slow), turns, turns // 50)
    RECIPES[f"gp_{lr:.0e}"] = (replace(recipes.wgan_gp, optimizer=slow), turns, turns // 50)

torch.set_num_threads(1)
torch.set_flush_denormal(True)
x, _ = data.digits()
shuffled = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(1))]
held, rest = shuffled[:1000], shuffled[1000:]
prior = sampling.normal(LATENT)
z_test = prior(1000, torch.Generator().manual_seed(7))


def moments(pictures):
    features = metrics.digit_features(pictures)
    return features.mean(0), np.cov(features, rowvar=False)


real_moments = moments(rest)


@torch.no_grad()
def judge(generator):
    """Exact W1 of 500, the score of 1,000 (metrics.digit_score), and 8 pictures."""
    fake = generator(z_test)
    w1 = transport.emd(held[:500].flatten(1), fake[:500].flatten(1)).distance
    return [w1, metrics.frechet_distance(*real_moments, *moments(fake))], fake[:8]


def play(recipe, updates, looks, seed):
    """Rows (generator update, critic update, CPU seconds, estimate, W1, score) and 8 final pictures."""
    torch.manual_seed(seed)
    generator, critic = networks.dcgan_generator(LATENT), networks.dcgan_critic(width=16)
    rows, spent, estimates = [[0, 0, 0.0, np.nan, *judge(generator)[0]]], 0.0, []
    game = Game(generator, critic, recipe)
    start = time.process_time()
    for step in train(game, Draw(x, prior, M, seed=seed), until=updates, accelerate=fast):
        estimates.append(-step.critic_loss.item())
        if step.index % (updates // looks) == 0:
            spent += time.process_time() - start
            row, pictures = judge(generator)
            n = step.index * recipe.n_critic
            rows.append([step.index, n, spent, np.median(estimates), *row])
            estimates = []
            start = time.process_time()
    return {"curve": np.array(rows, np.float32), "sheet": pictures.add(1).mul(127.5).round().byte().numpy()}


folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
arrays, seconds = {}, 0.0
for seed in SEEDS:
    for name, recipe in RECIPES.items():
        part = folder / f"results_{name}_{seed}.npz" if folder else None
        if part and part.exists():
            result = dict(np.load(part))
        else:
            result = play(*recipe, seed)
            if part:
                folder.mkdir(parents=True, exist_ok=True)
                np.savez(part, **result)
        _, n, spent, _, w1, score = result["curve"][-1]
        seconds += spent
        print(f"{name:13}{seed}  {n:5.0f} critic updates {spent:4.0f} s  W1 {w1:6.3f}  score {score:7.1f}",
              flush=True)  # fmt: skip
        arrays |= {f"{name}_{seed}.{key}": value for key, value in result.items()}

arrays = {key: value for key, value in arrays.items() if key.endswith(("curve", "_0.sheet"))}
arrays["w1_floor"] = np.array(transport.emd(held[:500].flatten(1), held[500:].flatten(1)).distance)
arrays["score_floor"] = np.array(metrics.digit_score(rest, held))
about = {
    "command": "python data/make_results.py",
    "what": "four models of WGAN-GP's Figure 3 and three rates on data/digits.npz; batch 32, seeds 0 to 2",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "results", arrays, about)
print(f"{seconds:.0f} s; floors: W1 {arrays['w1_floor']:.3f}, score {arrays['score_floor']:.2f}")
