"""Trains GAN, WGAN and WGAN-GP with three generators on the digits, and keeps what chapter 9 shows.

    python data/make_wgan_digits.py [FOLDER]

About a quarter of an hour on one thread. Writes data/runs/wgan_digits.npz and .json: for each run its curve,
and of seed 0 a sheet of samples. Finished runs are kept in FOLDER, if one is given, so that a stopped command
can go on.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import RMSprop

from wganlab import Draw, Game, data, metrics, networks, recipes, sampling, train, transport

LATENT, M, EVALUATIONS, SEEDS = 64, 32, 20, (0, 1, 2)


def plain_generator(width: int = 16) -> nn.Sequential:
    """No BatchNorm and as many filters in each layer: the generator of WGAN's Figure 6, in a size of ours."""
    return nn.Sequential(
        nn.Linear(LATENT, width * 7 * 7), nn.ReLU(), nn.Unflatten(1, (width, 7, 7)),
        nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1), nn.Tanh(),
    )  # fmt: skip


def mlp_generator() -> nn.Sequential:
    """Four hidden layers with ReLU, as in WGAN's Figure 7, but 256 units wide and not 512.

    With PyTorch's own initial weights the pictures hardly depend on z, so the weights are drawn by He's
    rule; the last layer starts small and dark, as that of `networks.dcgan_generator`.
    """
    generator = networks.mlp(LATENT, (1, 28, 28), hidden=(256,) * 4, last=nn.Tanh())
    *hidden, last = (layer for layer in generator if isinstance(layer, nn.Linear))
    for layer in hidden:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    nn.init.xavier_normal_(last.weight, gain=0.3)
    nn.init.constant_(last.bias, -1.0)
    return generator


def mlp_critic() -> nn.Sequential:
    return networks.mlp((1, 28, 28), 1, hidden=(256,) * 4, slope=0.2)


GENERATORS = {
    "dcgan": partial(networks.dcgan_generator, LATENT),
    "plain": plain_generator,
    "mlp": mlp_generator,
}
# Learning rates: Adam's of Radford et al. for the GAN; ten (WGAN) and five (WGAN-GP) times the papers', so
# that 500 updates suffice. A GAN's update costs less, so it gets twice as many; the MLP needs slower steps.
slow_rms, slow_adam = partial(RMSprop, lr=1e-4), partial(recipes.adam, lr=1e-4, betas=(0.0, 0.9))
wgan = replace(recipes.wgan, optimizer=partial(RMSprop, lr=5e-4))
gp = replace(recipes.wgan_gp, optimizer=partial(recipes.adam, lr=5e-4, betas=(0.0, 0.9)))
RECIPES = {"gan": (recipes.gan, 1000), "wgan": (wgan, 500), "gp": (gp, 500)}
SLOW = {
    "gan": (recipes.gan, 1000),
    "wgan": (replace(wgan, generator_optimizer=slow_rms), 800),
    "gp": (replace(gp, generator_optimizer=slow_adam), 800),
}
TOO_FAST = (replace(recipes.wgan, optimizer=partial(RMSprop, lr=5e-3)), 300)
convolutions = partial(networks.dcgan_critic, width=16)
RUNS = {
    f"{g}_{r}_{seed}": (GENERATORS[g], convolutions, *(SLOW if g == "mlp" else RECIPES)[r], seed)
    for r in ("wgan", "gan", "gp") for seed in SEEDS for g in GENERATORS
} | {f"failed_wgan_{seed}": (mlp_generator, mlp_critic, *TOO_FAST, seed) for seed in SEEDS}  # fmt: skip

torch.set_num_threads(1)
torch.set_flush_denormal(True)
x, _ = data.digits()
shuffled = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(1))]
held, rest = shuffled[:1000], shuffled[1000:]
prior = sampling.normal(LATENT)
z_test = prior(1000, torch.Generator().manual_seed(7))
classifier = metrics.trained_digit_classifier()


def moments(pictures):
    features = metrics.digit_features(pictures)
    return features.mean(0), np.cov(features, rowvar=False)


real_moments = moments(rest)


@torch.no_grad()
def judge(generator):
    """Exact W1 of 500, the score of 1,000 (metrics.digit_score), and the share of each of the ten classes."""
    fake = generator(z_test)
    w1 = transport.emd(held[:500].flatten(1), fake[:500].flatten(1)).distance
    shares = classifier(fake).argmax(1).bincount(minlength=10) / len(fake)
    return [w1, metrics.frechet_distance(*real_moments, *moments(fake)), *shares.tolist()], fake[:8]


def play(make_generator, make_critic, recipe, updates, seed):
    """Rows (update, median critic loss since the last row, W1, score, ten shares) and 8 final pictures."""
    torch.manual_seed(seed)
    generator, critic = make_generator(), make_critic()
    row, _ = judge(generator)
    rows, recent = [[0, np.nan, *row]], []
    for step in train(Game(generator, critic, recipe), Draw(x, prior, M, seed=seed), until=updates):
        recent.append(step.critic_loss.item())
        if step.index % (updates // EVALUATIONS) == 0:
            row, pictures = judge(generator)
            rows.append([step.index, np.median(recent), *row])
            recent = []
    return {"curve": np.array(rows, np.float32), "sheet": pictures.add(1).mul(127.5).round().byte().numpy()}


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    arrays = {}
    for name, run in RUNS.items():
        part = folder / f"{name}.npz" if folder else None
        if part and part.exists():
            result = dict(np.load(part))
        else:
            begin = time.process_time()
            result = play(*run) | {"seconds": np.array(time.process_time() - begin)}
            if part:
                folder.mkdir(parents=True, exist_ok=True)
                np.savez(part, **result)
        _, loss, w1, score, *shares = result["curve"][-1]
        seconds = float(result["seconds"])
        print(f"{name:14} {seconds:4.0f} s  loss {loss:9.5f}  W1 {w1:6.3f}  score {score:7.1f}"
              f"  classes {sum(share > 0.0195 for share in shares)}", flush=True)  # fmt: skip
        arrays |= {f"{name}.{key}": value for key, value in result.items()}

    seconds = sum(float(value) for key, value in arrays.items() if key.endswith("seconds"))
    arrays = {key: value for key, value in arrays.items() if key.endswith(("curve", "_0.sheet"))}
    arrays["w1_floor"] = np.array(transport.emd(held[:500].flatten(1), held[500:].flatten(1)).distance)
    arrays["score_floor"] = np.array(metrics.frechet_distance(*real_moments, *moments(held)))
    about = {
        "command": "python data/make_wgan_digits.py",
        "what": "GAN, WGAN and WGAN-GP on data/digits.npz with three generators; batch 32, seeds 0 to 2",
        "seconds": round(seconds),
    }
    data.save_results(Path(__file__).parent / "runs", "wgan_digits", arrays, about)
    print(f"{seconds:.0f} s; floors: W1 {arrays['w1_floor']:.3f}, score {arrays['score_floor']:.2f}")


if __name__ == "__main__":
    main()
