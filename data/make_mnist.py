"""Trains WGAN-GP on all 60,000 digits of MNIST and keeps the score against time.

    python data/make_mnist.py [FOLDER]

FOLDER holds the four IDX files; without it they are looked for in the cache (``data/README.md``). About
seven minutes on one CPU thread. Writes data/runs/mnist.npz and .json: curves, sample sheets, nothing of MNIST
itself. Pictures are judged against the 10,000 digits of the test set, which no player has seen.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from wganlab import Average, Draw, Game, data, metrics, networks, recipes, sampling, train
from wganlab.engine import fast

SHEETS = (400, 2000, 10000)
EVERY = 400

torch.set_num_threads(1)
torch.set_flush_denormal(True)
place = Path(sys.argv[1]) if len(sys.argv) > 1 else None
x = data.mnist(place).x
test = data.mnist(place, train=False).x
test = test[torch.randperm(len(test), generator=torch.Generator().manual_seed(1))]
prior = sampling.normal(64)

torch.manual_seed(0)
critic = networks.mlp((1, 28, 28), 1, hidden=(512, 256), slope=0.2)
game = Game(networks.dcgan_generator(64), critic, recipes.wgan_gp_digits)
average = Average(game.generator)
draw = Draw(x, prior, 32, seed=0)


@torch.no_grad()
def samples(n: int) -> torch.Tensor:
    """n pictures of the averaged generator, always for the same n latent points."""
    return average.player(prior(n, torch.Generator().manual_seed(7)))


curve, sheets, spent = [], [], 0.0
start = time.process_time()
for step in train(game, draw, until=max(SHEETS), accelerate=fast):
    average.update(game.generator)
    if step.index % EVERY == 0:
        spent += time.process_time() - start
        fake = samples(5000)
        w1 = metrics.exact_w1(test[:500], test[500:1000], fake[:500])
        curve.append((step.index, spent, -step.critic_loss.item(), w1.w1, metrics.digit_score(test, fake)))
        print("{:6d} {:6.0f} s  estimate {:6.3f}  W1 {:.3f}  score {:7.2f}".format(*curve[-1]), flush=True)
        if step.index in SHEETS:
            sheets.append(fake[:64])
        start = time.process_time()

step, seconds, estimate, w1s, score = (np.array(column) for column in zip(*curve, strict=True))
arrays = {
    "step": step, "seconds": seconds, "estimate": estimate, "w1": w1s, "score": score,
    "w1_floor": np.array(w1.floor),
    "score_floor": np.array(metrics.digit_score(test[:5000], test[5000:])),
    "sheet_steps": np.array(SHEETS),
    "sheets": torch.stack(sheets).add(1).mul(127.5).round().byte().numpy(),
}  # fmt: skip
about = {
    "command": "python data/make_mnist.py",
    "what": "WGAN-GP on the 60,000 digits of MNIST: recipes.wgan_gp_digits, batch 32, seed 0, "
    "accelerate=fast",
    "generator_updates": max(SHEETS),
    "seconds": round(float(spent)),
}
data.save_results(Path(__file__).parent / "runs", "mnist", arrays, about)
print(f"floors: W1 {float(arrays['w1_floor']):.3f}, score {float(arrays['score_floor']):.2f}")
