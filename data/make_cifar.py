"""Trains the four models of WGAN-GP's Figure 3 on CIFAR-10, as far as a CPU carries: chapter 14.

    python data/make_cifar.py FOLDER [PARTS]

FOLDER holds cifar-10-batches-py or another form of CIFAR-10 (data/README.md). About four minutes on one
thread. Writes data/runs/cifar.npz and .json: curves and sheets of generated pictures, nothing of CIFAR-10
itself. Finished runs are kept in the folder PARTS, if one is given, so that a stopped command can go on.
"""

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

LATENT, M = 64, 32
WGANS, GAN, LOOKS = 200, 1000, 5  # generator updates: 1,000 critic updates each

# As in make_results.py: ten times the papers' rates, the GAN's as it is.
rmsprop = partial(RMSprop, lr=5e-4)
adam = partial(recipes.adam, lr=1e-3, betas=(0.0, 0.9))
RECIPES = {
    "clip_rmsprop": (replace(recipes.wgan, optimizer=rmsprop), WGANS),
    "gp_rmsprop": (replace(recipes.wgan_gp, optimizer=rmsprop), WGANS),
    "gp_adam": (replace(recipes.wgan_gp, optimizer=adam), WGANS),
    "gan": (recipes.gan, GAN),
}

torch.set_num_threads(1)
torch.set_flush_denormal(True)
x = data.cifar10(sys.argv[1]).x
test = data.cifar10(sys.argv[1], train=False).x
test = test[torch.randperm(len(test), generator=torch.Generator().manual_seed(1))]
real, other = test[:1000], test[1000:2000]
prior = sampling.normal(LATENT)
z_test = prior(1000, torch.Generator().manual_seed(7))


def judge(pictures):
    """Exact W1 of 500, and the Frechet distance of 1,000 in 64 principal axes, from test data to pictures."""
    w1 = metrics.exact_w1(real[:500], other[:500], pictures[:500]).w1
    return w1, metrics.principal_frechet(real, other, pictures).distance


def play(recipe, updates):
    """Rows (generator update, critic update, CPU seconds, estimate, W1, Frechet) and 24 final pictures."""
    torch.manual_seed(0)
    generator, critic = networks.dcgan32_generator(LATENT), networks.dcgan32_critic(width=16)
    with torch.no_grad():
        rows, spent, estimates = [[0, 0, 0.0, np.nan, *judge(generator(z_test))]], 0.0, []
    game = Game(generator, critic, recipe)
    start = time.process_time()
    for step in train(game, Draw(x, prior, M, seed=0), until=updates, accelerate=fast):
        estimates.append(-step.critic_loss.item())
        if step.index % (updates // LOOKS) == 0:
            spent += time.process_time() - start
            with torch.no_grad():
                pictures = generator(z_test)
            n = step.index * recipe.n_critic
            rows.append([step.index, n, spent, np.median(estimates), *judge(pictures)])
            estimates = []
            start = time.process_time()
    sheet = pictures[:16].add(1).mul(127.5).round().byte().numpy()
    return {"curve": np.array(rows, np.float32), "sheet": sheet}


folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
arrays, seconds = {}, 0.0
for name, recipe in RECIPES.items():
    part = folder / f"cifar_{name}.npz" if folder else None
    if part and part.exists():
        result = dict(np.load(part))
    else:
        result = play(*recipe)
        if part:
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(part, **result)
    _, n, spent, _, w1, frechet = result["curve"][-1]
    seconds += spent
    print(f"{name:13} {n:5.0f} critic updates {spent:4.0f} s  W1 {w1:6.3f}  Frechet {frechet:7.1f}",
          flush=True)  # fmt: skip
    arrays |= {f"{name}.{key}": value for key, value in result.items()}

mean_picture = x[:10000].mean(0, keepdim=True).expand(1000, -1, -1, -1)
arrays["floor"] = np.array(judge(other))
arrays["mean_picture_w1"] = np.array(metrics.exact_w1(real[:500], other[:500], mean_picture[:500]).w1)
arrays["mean_picture_frechet"] = np.array(metrics.principal_frechet(real, other, mean_picture).distance)
about = {
    "command": "python data/make_cifar.py FOLDER",
    "what": "four models of WGAN-GP's Figure 3 on CIFAR-10 (pictures that went through JPEG); dcgan32 "
    "players, batch 32, seed 0",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "cifar", arrays, about)
floor = arrays["floor"]
print(f"{seconds:.0f} s; floors: W1 {floor[0]:.3f}, Frechet {floor[1]:.2f}; mean picture: "
      f"{float(arrays['mean_picture_w1']):.3f}, {float(arrays['mean_picture_frechet']):.1f}")  # fmt: skip
