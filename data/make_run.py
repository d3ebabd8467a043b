"""Trains WGAN-GP on the 5,000 digits for 9,000 generator updates and keeps what chapter 11 shows.

    python data/make_run.py

About eight minutes on one CPU thread. Writes data/runs/digits_wgan_gp.npz and .json: curves,
sample sheets and the averaged generator's weights (float16).
"""

import time
from pathlib import Path

import numpy as np
import torch

from wganlab import Average, Draw, Game, data, metrics, networks, recipes, sampling, train

SHEETS = (150, 500, 1500, 4500, 9000)
EVERY = 300

torch.set_num_threads(1)
torch.set_flush_denormal(True)
x, _ = data.digits()
shuffled = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(1))]
held, rest = shuffled[:1000], shuffled[1000:]
prior = sampling.normal(64)

torch.manual_seed(0)
generator = networks.dcgan_generator(64)
critic = networks.mlp((1, 28, 28), 1, hidden=(512, 256), slope=0.2)
game = Game(generator, critic, recipes.wgan_gp_digits)
average = Average(generator)
draw = Draw(x, prior, 32, seed=0)


@torch.no_grad()
def samples(n: int) -> torch.Tensor:
    """n pictures of the averaged generator, always for the same n latent points."""
    return average.player(prior(n, torch.Generator().manual_seed(7)))


curve, sheets, estimates = [], [], []
start = time.perf_counter()
for step in train(game, draw, until=max(SHEETS)):
    average.update(generator)
    estimates.append(-step.critic_loss.item())
    if step.index in SHEETS:
        sheets.append(samples(256)[:64])
    if step.index % EVERY == 0:
        fake = samples(1000)
        w1, floor = metrics.exact_w1(held[:500], held[500:], fake[:500])
        score = metrics.digit_score(rest, fake)
        curve.append((step.index, np.mean(estimates[-EVERY:]), w1, score))
        print(f"{step.index:5d}  estimate {curve[-1][1]:6.3f}  W1 {w1:.3f}  score {score:6.2f}", flush=True)
seconds = time.perf_counter() - start

weights = {f"generator.{name}": w.numpy() for name, w in average.player.state_dict().items()}
arrays = {
    "step": np.array([row[0] for row in curve]),
    "estimate": np.array([row[1] for row in curve]),
    "w1": np.array([row[2] for row in curve]),
    "score": np.array([row[3] for row in curve]),
    "w1_floor": np.array(floor),
    "score_floor": np.array(metrics.digit_score(rest, held)),
    "sheet_steps": np.array(SHEETS),
    "sheets": torch.stack(sheets).add(1).mul(127.5).round().byte().numpy(),
} | {name: w.astype(np.float16) if w.dtype == np.float32 else w for name, w in weights.items()}
about = {
    "command": "python data/make_run.py",
    "what": "WGAN-GP on data/digits.npz: recipes.wgan_gp_digits, batch 32, seed 0, averaged generator",
    "generator_updates": max(SHEETS),
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "digits_wgan_gp", arrays, about)
print(
    f"{seconds:.0f} s; floors: W1 {float(arrays['w1_floor']):.3f}, score {float(arrays['score_floor']):.2f}"
)
