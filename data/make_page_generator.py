"""Trains a small WGAN-GP on 4,000 digits, rounds it to bytes, and keeps what chapter 14 walks with.

    python data/make_page_generator.py [FOLDER]

Some minutes on one thread. The critic that the generator learns from is too large for a page, so a small one
is trained afterwards against the finished generator. Writes data/runs/page_generator.npz and .json:
generator and small critic of seed 0 in bytes, a hundred digits of four bits a pixel, and for three seeds the
quality before and after rounding. Finished runs are kept in FOLDER, if one is given, so that a stopped
command can go on.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from wganlab import Average, Draw, Game, data, fit, metrics, networks, recipes, sampling, train, transport

LATENT, DENSE, WIDTH, M, SEEDS = 16, 48, 16, 32, (0, 1, 2)
UPDATES, EVERY, CRITIC_UPDATES = 5000, 500, 1000  # of the generator; between two looks; of the small critic
START = 8  # of the two latent points that the page begins with: chosen by eye, two clear digits
SIZES = {"latent": LATENT, "dense": DENSE, "width": WIDTH}

torch.set_num_threads(1)
torch.set_flush_denormal(True)
x, labels = data.digits()
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
held, rest = x[order[:1000]], x[order[1000:]]  # 1,000 digits that no player sees, and 4,000 to learn from
shown = torch.cat([order[1000:][labels[order[1000:]] == digit][:10] for digit in range(10)])
prior = sampling.normal(LATENT)
z_test = prior(1000, torch.Generator().manual_seed(7))


def settled(generator: nn.Sequential) -> nn.Sequential:
    """The generator with BatchNorm's means and variances of 20,000 latent points, in evaluation mode."""
    for layer in generator:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # the mean of all batches
    rng = torch.Generator().manual_seed(8)
    for _ in range(20):
        generator.train()(prior(1000, rng))
    return generator.eval()


def folded(player: nn.Sequential) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(weight, bias) of each layer, its outputs first, with BatchNorm multiplied into the layer before it."""
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    for layer in player:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            factor = layer.weight / (layer.running_var + layer.eps).sqrt()
            weight, bias = found[-1]
            factors = factor.view(-1, *[1] * (weight.ndim - 1))
            found[-1] = weight * factors, (bias - layer.running_mean) * factor + layer.bias
        elif hasattr(layer, "weight"):
            weight = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
            found.append((weight, torch.zeros(len(weight)) if layer.bias is None else layer.bias))
    return [(weight.detach(), bias.detach()) for weight, bias in found]


def generate(layers, z):
    """The folded generator, without BatchNorm."""
    (W1, b1), (W2, b2), (W3, b3), (W4, b4) = layers
    hidden = (
        nn.functional.linear(nn.functional.linear(z, W1, b1).relu(), W2, b2).relu().view(-1, 2 * WIDTH, 7, 7)
    )
    up = partial(nn.functional.conv_transpose2d, stride=2, padding=1)
    return up(up(hidden, W3.transpose(0, 1), b3).relu(), W4.transpose(0, 1), b4).tanh()


def score(layers, x):
    """The folded small critic."""
    (W1, b1), (W2, b2), (W3, b3) = layers
    down = partial(nn.functional.conv2d, stride=2, padding=1)
    leaky = partial(nn.functional.leaky_relu, negative_slope=0.2)
    maps = leaky(down(leaky(down(x, W1, b1)), W2, b2))
    return nn.functional.linear(maps.flatten(1), W3, b3)[:, 0]


def small_critic(layers, seed):
    """A critic of 10,065 weights, trained against the finished generator with a rate that falls to 0."""
    torch.manual_seed(seed)
    critic = networks.dcgan_critic(width=WIDTH)
    recipe = replace(recipes.wgan_gp, optimizer=partial(recipes.adam, lr=1e-3, betas=(0.0, 0.9)))
    fakes = Draw(rest, lambda n, rng: generate(layers, prior(n, rng)), M, seed=seed)
    for _ in fit(critic, fakes, recipe, until=CRITIC_UPDATES, rate=lambda step: 1 - step / CRITIC_UPDATES):
        pass
    return critic


def turned(layers):
    """The generator in coordinates of z in which the picture changes most along the first, and so on.

    The columns of V are the eigenvectors of E[J'J], J the Jacobian at a latent point; V z is normal if z is.
    The sign is that of more ink. Also the eigenvalues: the mean squared change of the picture along each.
    """
    z = prior(1000, torch.Generator().manual_seed(9))
    steps = 1e-2 * torch.eye(LATENT)
    J = torch.stack([(generate(layers, z + h) - generate(layers, z - h)).flatten(1) / 2e-2 for h in steps])
    values, V = torch.linalg.eigh(torch.einsum("imp,jmp->ij", J, J).double() / len(z))
    V = V.flip(1).float()
    V = V * (V.T @ J.sum((1, 2))).sign()
    (weight, bias), *others = layers
    return [(weight @ V, bias), *others], values.flip(0)


def rounded(layers):
    """Bytes, and a scale for each row, an output's weights and its bias: weight = scale (byte - 128)."""
    rows = [torch.cat([weight.flatten(1), bias[:, None]], dim=1).numpy() for weight, bias in layers]
    scales = [np.abs(row).max(1, keepdims=True).astype(np.float32) / 127 for row in rows]
    codes = [(np.round(row / scale) + 128).astype(np.uint8) for row, scale in zip(rows, scales, strict=True)]
    return codes, scales


def restored(layers):
    """The layers with the weights that bytes and scales give."""
    found = []
    for codes, scales, (weight, _) in zip(*rounded(layers), layers, strict=True):
        row = torch.from_numpy((codes.astype(np.float32) - 128) * scales)
        found.append((row[:, :-1].reshape(weight.shape), row[:, -1]))
    return found


def w1(fake):
    """Exact W1 to 500 digits that were held out."""
    return transport.emd(held[:500].flatten(1), fake.flatten(1)).distance


def opened(run):
    """The generator's layers out of a kept run."""
    codes = np.split(run["weights"], np.cumsum(run["shapes"].prod(1)))
    scales = np.split(run["scales"], np.cumsum(run["shapes"][:, 0]))
    layers = []
    for code, scale in zip(codes[:4], scales[:4], strict=True):
        row = torch.from_numpy((code.reshape(len(scale), -1).astype(np.float32) - 128) * scale[:, None])
        weight = row[:, :-1] if len(layers) < 2 else row[:, :-1].reshape(len(row), -1, 4, 4)
        layers.append((weight, row[:, -1]))
    return layers


def judge(fake):
    """Exact W1 of 500 and the score of 1,000 pictures."""
    return [w1(fake[:500]), metrics.digit_score(rest, fake)]


def play(seed):
    torch.manual_seed(seed)
    generator = networks.dcgan_generator(**SIZES)
    critic = networks.mlp((1, 28, 28), 1, hidden=(512, 256), slope=0.2)
    game, draw = Game(generator, critic, recipes.wgan_gp_digits), Draw(rest, prior, M, seed=seed)
    average, curve, start = Average(generator), [], time.process_time()
    for step in train(game, draw, until=UPDATES):
        average.update(generator)
        if step.index % EVERY == 0:
            curve.append([step.index, *judge(average.player(z_test))])
            print(
                f"seed {seed} {step.index:5d}  W1 {curve[-1][1]:.3f}  score {curve[-1][2]:6.2f}", flush=True
            )
    with torch.no_grad():
        layers, effects = turned(folded(settled(average.player)))
    small = small_critic(layers, seed)
    seconds = time.process_time() - start
    with torch.no_grad():
        scorer = folded(small)
        before, after = generate(layers, z_test), generate(restored(layers), z_test)
        change = (after - before).abs().flatten(1)
        gaps = [
            (score(net, held).mean() - score(net, after).mean()).item() for net in (scorer, restored(scorer))
        ]
    (codes, scales), (more, others) = rounded(layers), rounded(scorer)
    return {
        "curve": np.array(curve, np.float32),
        "before": np.array(judge(before)),
        "after": np.array(judge(after)),
        "change": np.array([change.max(), change.square().sum(1).sqrt().mean()]),  # of a pixel; of a picture
        "estimate": np.array(gaps),  # of W1 by the small critic, its weights as trained and rounded
        "effects": effects.numpy(),
        "seconds": np.array(seconds),
        "shapes": np.array([code.shape for code in codes + more], np.int64),
        "weights": np.concatenate([code.ravel() for code in codes + more]),
        "scales": np.concatenate([scale.ravel() for scale in scales + others]),
    }


folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
runs = []
for seed in SEEDS:
    part = folder / f"{seed}.npz" if folder else None
    if part and part.exists():
        runs.append(dict(np.load(part)))
        continue
    runs.append(play(seed))
    if part:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(part, **runs[-1])

pixels = ((x[shown].flatten(1) + 1) * 7.5).round().byte().numpy()  # 0 to 15
torch.manual_seed(0)
untrained = networks.dcgan_generator(**SIZES).requires_grad_(False)(z_test)
mean = rest.mean(0, keepdim=True).expand(500, -1, -1, -1)
arrays = {key: runs[0][key] for key in ("shapes", "weights", "scales")}
arrays |= {
    key: np.stack([run[key] for run in runs])
    for key in ("curve", "before", "after", "change", "estimate", "effects")
}
a, b = prior(2, torch.Generator().manual_seed(START)).double().mul(10).round().div(10)
strip = generate(opened(runs[0]), torch.stack([a + k / 8 * (b - a) for k in range(9)]).float())
arrays |= {
    "start": torch.stack([a, b]).numpy(),
    "strip": strip[:, 0].add(1).mul(127.5).round().byte().numpy(),
    "digits": pixels[:, ::2] * 16 + pixels[:, 1::2],  # two pixels a byte
    "shown": shown.numpy(),
    "floor": np.array([w1(held[500:]), metrics.digit_score(rest, held)]),
    "untrained": np.array(judge(untrained)),
    "mean_w1": np.array(w1(mean)),
}
seconds = sum(float(run["seconds"]) for run in runs)
about = {
    "command": "python data/make_page_generator.py",
    "what": f"WGAN-GP on 4,000 of data/digits.npz, latent {LATENT}, batch {M}, averaged; seeds 0 to 2",
    "generator_updates": UPDATES,
    "critic_updates": UPDATES * recipes.wgan_gp_digits.n_critic,
    "small_critic_updates": CRITIC_UPDATES,
    "seconds": round(seconds),
}
data.save_results(Path(__file__).parent / "runs", "page_generator", arrays, about)
print(
    arrays["estimate"],
    arrays["before"],
    arrays["after"],
    arrays["change"],
    arrays["floor"],
    arrays["untrained"],
    arrays["mean_w1"],
)
