"""Trains a WGAN-GP that is told which digit to draw, and two that are told in a wrong way: chapter 14.

    python data/make_conditional.py [FOLDER]

About six minutes on one thread. Writes data/runs/conditional.npz and .json: curves, and of the right one's
seed 0 a sheet and the averaged generator's weights (float16). Finished runs are kept in FOLDER, if one is
given, so that a stopped command can go on.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import one_hot

from wganlab import Average, Draw, Game, data, metrics, networks, recipes, train
from wganlab.constraints import GradientPenalty
from wganlab.engine import fast

LATENT, PIXELS, M, UPDATES, LOOKS, SEEDS = 64, 784, 32, 800, 4, (0, 1, 2)


class Asked(nn.Module):
    """From noise and a label, (m, 64 + 10), to a picture and the same label, (m, 784 + 10)."""

    def __init__(self):
        super().__init__()
        self.picture = networks.dcgan_generator(LATENT + 10, dense=64)

    def forward(self, z):
        return torch.cat([self.picture(z).flatten(1), z[:, LATENT:]], dim=1)


class SameLabels(Draw):
    """A draw whose fake in row i is asked for the label of the real picture in row i."""

    def __call__(self, step, t=0):
        x, z, eps = super().__call__(step, t)
        return x, torch.cat([z[:, :LATENT], x[:, PIXELS:]], dim=1), eps


class GivenLabel(GradientPenalty):
    """The gradient penalty on the slope in the picture alone: the label is given, not moved."""

    def what(self, gradient):
        return super().what(gradient[:, :PIXELS])


def noise_and_label(n, rng):
    labels = torch.randint(10, (n,), generator=rng)
    return torch.cat([torch.randn(n, LATENT, generator=rng), one_hot(labels, 10).float()], dim=1)


given = replace(recipes.wgan_gp_digits, constraint=GivenLabel(10.0))
METHODS = {  # draw, recipe, whether the critic sees the labels
    "same": (SameLabels, given, True),
    "mixed": (Draw, recipes.wgan_gp_digits, True),  # other labels in a pair, slope in picture and label
    "blind": (Draw, given, False),  # labels to the generator only
}


class Blind(nn.Module):
    """A generator of pictures and of no label: zeros in its place."""

    def __init__(self):
        super().__init__()
        self.inner = Asked()

    def forward(self, z):
        rows = self.inner(z)
        return torch.cat([rows[:, :PIXELS], torch.zeros_like(rows[:, PIXELS:])], dim=1)


torch.set_num_threads(1)
torch.set_flush_denormal(True)
digits, labels = data.digits()
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(1))
held, rest = digits[order[:1000]], digits[order[1000:]]
rows = torch.cat([digits.flatten(1), one_hot(labels, 10).float()], dim=1)


def moments(pictures):
    features = metrics.digit_features(pictures)
    return features.mean(0), np.cov(features, rowvar=False)


real_moments = moments(rest)
asked = torch.arange(10).repeat(100)
noise = torch.randn(1000, LATENT, generator=torch.Generator().manual_seed(7))
z_test = torch.cat([noise, one_hot(asked, 10).float()], dim=1)


@torch.no_grad()
def judge(player):
    """The share of 1,000 pictures that is read as asked, the score, the share by digit, and the pictures."""
    pictures = player(z_test)[:, :PIXELS].view(-1, 1, 28, 28)
    right = torch.from_numpy(metrics.digit_probabilities(pictures).argmax(1)) == asked
    by_digit = right.view(100, 10).float().mean(0)
    score = metrics.frechet_distance(*real_moments, *moments(pictures))
    return [right.float().mean().item(), score, *by_digit.tolist()], pictures


def play(draw, recipe, told, seed):
    """Rows (update, CPU seconds, estimate, share, score, ten shares), 100 pictures, the averaged weights."""
    torch.manual_seed(seed)
    critic = networks.mlp(PIXELS + 10, 1, hidden=(512, 256), slope=0.2)
    generator, seen = (Asked() if told else Blind()), rows.clone()
    seen[:, PIXELS:] *= told
    game, average = Game(generator, critic, recipe), Average(generator)
    table, spent, estimates = [[0, 0.0, np.nan, *judge(average.player)[0]]], 0.0, []
    start = time.process_time()
    for step in train(game, draw(seen, noise_and_label, M, seed=seed), until=UPDATES, accelerate=fast):
        average.update(generator)
        estimates.append(-step.critic_loss.item())
        if step.index % (UPDATES // LOOKS) == 0:
            spent += time.process_time() - start
            row, pictures = judge(average.player)
            table.append([step.index, spent, np.median(estimates), *row])
            estimates = []
            start = time.process_time()
    weights = {f"generator.{name}": w.numpy() for name, w in average.player.state_dict().items()}
    sheet = pictures[:100].add(1).mul(127.5).round().byte().numpy()
    return {"curve": np.array(table, np.float32), "sheet": sheet} | weights


folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
arrays, seconds = {}, 0.0
for name, method in METHODS.items():
    for seed in SEEDS:
        part = folder / f"conditional_{name}_{seed}.npz" if folder else None
        if part and part.exists():
            result = dict(np.load(part))
        else:
            result = play(*method, seed)
            if part:
                folder.mkdir(parents=True, exist_ok=True)
                np.savez(part, **result)
        _, spent, estimate, share, score, *_ = result["curve"][-1]
        seconds += spent
        print(f"{name:6}{seed}  {spent:4.0f} s  estimate {estimate:6.2f}  as asked {share:.3f}"
              f"  score {score:6.1f}", flush=True)  # fmt: skip
        arrays[f"{name}_{seed}.curve"] = result["curve"]
        if (name, seed) == ("same", 0):
            arrays["sheet"] = result["sheet"]
            weights = {key: value for key, value in result.items() if key.startswith("generator.")}
            arrays |= {
                key: w.astype(np.float16) if w.dtype == np.float32 else w for key, w in weights.items()
            }

unseen = torch.arange(5000) % 500 >= 400  # by the classifier: data/make_digit_features.py
read = metrics.digit_probabilities(digits[unseen]).argmax(1)
arrays["share_floor"] = np.array((read == labels[unseen].numpy()).mean())
arrays["score_floor"] = np.array(metrics.digit_score(rest, held))
about = {
    "command": "python data/make_conditional.py",
    "what": "WGAN-GP with labels on data/digits.npz: pairs of one label, of any, a critic without "
    "labels; recipes.wgan_gp_digits, batch 32, seeds 0 to 2",
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "conditional", arrays, about)
print(f"{seconds:.0f} s; floors: as asked {arrays['share_floor']:.3f}, score {arrays['score_floor']:.2f}")
