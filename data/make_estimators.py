"""Estimators of W1 on digits beside a truth that is known, and pictures that minimise it: chapter 16.

    python data/make_estimators.py

About seven minutes on one CPU thread. Writes data/runs/estimators.npz and .json: free pictures, K-means
centres and real digits as judged by batches, three seeds; estimates of W1 on two pairs of discrete laws for
batches of 16 to 1,024, three seeds; and how the gradients of the estimators agree with the exact one.
"""

import time
from pathlib import Path

import numpy as np
import torch
from make_critics import CONSTRAINTS, make, trained
from torch import nn
from torch.nn.functional import cosine_similarity

from wganlab import Draw, data, metrics, networks, sampling, transport
from wganlab.constraints import input_gradient

SEEDS = (0, 1, 2)
SIZES, BATCHES = (16, 64, 256, 1024), (30, 30, 10, 4)
SHIFT, EPSILON, SLICES, STEPS, M, TEST = 3.0, 1.0, 200, 800, 64, 512
CRITICS = ("clip", "gp", "lp", "c_real")
FORMULAS = ("exact", "sliced", "sinkhorn", "divergence_1", "divergence_5")
FREE_STEPS, CLOUD = 400, 64

torch.set_num_threads(1)
torch.set_flush_denormal(True)
x_all, _ = data.digits()
flat = x_all.flatten(1).double()


# Pictures that minimise the distance of batches


def free_pictures(rows: torch.Tensor, n: int, rng: torch.Generator, steps: int = FREE_STEPS) -> torch.Tensor:
    """64 pictures, real digits at first, after Adam's steps down the exact W1 to fresh batches of n rows."""
    y = nn.Parameter(rows[torch.randperm(len(rows), generator=rng)[:CLOUD]].clone())
    adam = torch.optim.Adam([y], lr=0.04, betas=(0.9, 0.99))
    for step in range(steps):
        batch = rows[torch.randint(len(rows), (n,), generator=rng)]
        plan = transport.emd(batch, y.detach()).plan
        i, j = plan.nonzero(as_tuple=True)
        adam.param_groups[0]["lr"] = 0.04 * (1 - step / steps)
        adam.zero_grad()
        (plan[i, j] * (batch[i] - y[j]).norm(dim=1)).sum().backward()
        adam.step()
    return y.detach()


def centres(rows: torch.Tensor, rng: torch.Generator, turns: int = 40) -> torch.Tensor:
    """K-means (Lloyd) with 64 centres."""
    y = rows[torch.randperm(len(rows), generator=rng)[:CLOUD]].clone()
    for _ in range(turns):
        nearest = torch.cdist(rows, y).argmin(dim=1)
        for k in nearest.unique():
            y[k] = rows[nearest == k].mean(dim=0)
    return y


def geometric_median(rows: torch.Tensor, turns: int = 200) -> torch.Tensor:
    """The picture with the least mean distance to the rows (Weiszfeld)."""
    y = rows.mean(dim=0)
    for _ in range(turns):
        weight = 1 / (rows - y).norm(dim=1).clamp(min=1e-9)
        y = (weight[:, None] * rows).sum(dim=0) / weight.sum()
    return y


def judged(clouds: list[torch.Tensor], held: torch.Tensor, rest: torch.Tensor, rng) -> list[float]:
    """Of two clouds: W1 to held-out batches of 64 and to all 1,000, score of both, share of grey pixels."""
    small = [
        transport.emd(held[torch.randperm(len(held), generator=rng)[:CLOUD]], cloud).distance
        for cloud in clouds
        for _ in range(10)
    ]
    large = [transport.emd(held, cloud).distance for cloud in clouds]
    both = torch.cat(clouds)
    grey = (both.abs() < 0.5).double().mean().item()
    if len(both.unique(dim=0)) < 128:
        score = np.inf
    else:
        score = metrics.digit_score(rest.view(-1, 1, 28, 28), both.float().view(-1, 1, 28, 28))
    return [np.mean(small), np.mean(large), score, grey]


KINDS = ("real", "free_64", "free_1024", "kmeans", "median")


def blur() -> dict[str, np.ndarray]:
    found, sheets = np.zeros((len(KINDS), len(SEEDS), 4)), {}
    for k, seed in enumerate(SEEDS):
        rng = torch.Generator().manual_seed(seed)
        mixed = flat[torch.randperm(len(flat), generator=rng)]
        held, rest = mixed[:1000], mixed[1000:]
        median = geometric_median(rest)
        clouds = {
            "real": [rest[:64], rest[64:128]],
            "free_64": [free_pictures(rest, 64, rng) for _ in range(2)],
            "free_1024": [free_pictures(rest, 1024, rng, 150) for _ in range(2)],
            "kmeans": [centres(rest, rng) for _ in range(2)],
            "median": [median.expand(64, -1)] * 2,
        }
        for j, kind in enumerate(KINDS):
            found[j, k] = judged(clouds[kind], held, rest, rng)
            print(seed, kind, found[j, k].round(3), flush=True)
            if seed == 0:
                sheet = clouds[kind][0][: 1 if kind == "median" else 12].view(-1, 1, 28, 28)
                sheets[f"sheet_{kind}"] = sheet.add(1).mul(127.5).round().clamp(0, 255).byte().numpy()
    found[~np.isfinite(found)] = -1  # no score of one picture
    return {"blur": found} | sheets


# Two pairs of laws on 5,000 pictures each


def kept_generator() -> nn.Module:
    """The digit generator of chapter 11, with BatchNorm's statistics of 5,000 latent points, frozen."""
    kept, _ = data.results("digits_wgan_gp")
    generator = networks.dcgan_generator(64)
    state = {
        name.removeprefix("generator."): torch.from_numpy(weight)
        for name, weight in kept.items()
        if name.startswith("generator.")
    }
    generator.load_state_dict({n: w.float() if w.is_floating_point() else w for n, w in state.items()})
    for layer in generator.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0
    with torch.no_grad():
        generator(LATENT)
    return generator.eval()


LATENT = sampling.normal(64)(5000, torch.Generator().manual_seed(1))


class Translation(nn.Module):
    """z, a real digit, to z + c."""

    def __init__(self):
        super().__init__()
        self.c = nn.Parameter(torch.full((1, 28, 28), SHIFT / 28))

    def forward(self, z):
        return z + self.c


def towards(y: torch.Tensor, x: torch.Tensor, plan: torch.Tensor) -> torch.Tensor:
    """Minus the gradient of <plan, cost> at each y, times the number of rows: directions, blended."""
    way = x[:, None] - y[None]
    way = way / way.norm(dim=2, keepdim=True).clamp(min=1e-9)
    return len(y) * torch.einsum("ij,ijd->jd", plan, way)


def entropic(x: torch.Tensor, y: torch.Tensor, epsilon: float) -> torch.Tensor:
    """The entropic plan of two batches."""
    even, cost = np.full(len(x), 1 / len(x)), torch.cdist(x, y).numpy()
    f, g = transport.entropic_potentials(cost / 20, even, even, epsilon / 20)
    return torch.from_numpy(np.exp((f[:, None] + g - cost / 20) / (epsilon / 20)) / len(x) ** 2)


def by_formula(name: str, x: torch.Tensor, y: torch.Tensor, rng) -> torch.Tensor:
    """The direction (n, d) in which each fake goes, for an estimator without a network."""
    if name == "exact":
        return towards(y, x, transport.emd(x, y).plan)
    if name == "sinkhorn":
        return towards(y, x, entropic(x, y, EPSILON))
    if name.startswith("divergence"):
        epsilon = float(name.split("_")[1])
        return towards(y, x, entropic(x, y, epsilon)) - towards(y, y, entropic(y, y, epsilon))
    theta = torch.randn(SLICES, x.shape[1], generator=rng, dtype=torch.float64)
    theta = theta / theta.norm(dim=1, keepdim=True)
    shadow_x, shadow_y = (x @ theta.T).sort(dim=0).values, (y @ theta.T).sort(dim=0)
    sign = torch.zeros_like(shadow_x).scatter_(0, shadow_y.indices, (shadow_x - shadow_y.values).sign())
    return sign @ theta / SLICES


def value(name: str, x: torch.Tensor, y: torch.Tensor, rng) -> float:
    """The estimate from two batches; sliced W1 is scaled so that it is right for a shift."""
    if name == "exact":
        return transport.emd(x, y).distance
    if name == "sinkhorn":
        return transport.sinkhorn(torch.cdist(x, y), epsilon=EPSILON).cost
    if name.startswith("divergence"):
        return transport.sinkhorn_divergence(x, y, epsilon=float(name.split("_")[1]))
    theta = torch.randn(SLICES, x.shape[1], generator=rng, dtype=torch.float64)
    theta = theta / theta.norm(dim=1, keepdim=True)
    shadows = [(points @ theta.T).sort(dim=0).values for points in (x, y)]
    return ((shadows[0] - shadows[1]).abs().mean() * np.sqrt(np.pi * x.shape[1] / 2)).item()


def dual(critic: nn.Module, kind: str, x: torch.Tensor, y: torch.Tensor) -> float:
    """A critic's estimate from two batches."""
    with torch.no_grad():
        if kind == "c_real":
            return -CONSTRAINTS[kind].penalty(critic, x, y, None).item()
        return (critic(x).mean() - critic(y).mean()).item()


def direction(critic: nn.Module, kind: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The direction (n, d) in which each fake goes, for a critic."""
    if kind == "c_real":  # towards the picture that attains the transform
        with torch.no_grad():
            to = x[(torch.cdist(x.flatten(1), y.flatten(1)) - critic(x)[:, None]).argmin(dim=0)]
        return (to - y).flatten(1).double()
    return input_gradient(critic, y).detach().flatten(1).double()


def on_weights(generator: nn.Module, z: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """The direction in the generator's weights that moves its pictures along ``field``."""
    picture = generator(z)
    parts = torch.autograd.grad(picture, list(generator.parameters()), field.view_as(picture).float())
    return torch.cat([part.flatten() for part in parts]).double()


def agreement(generator, z, field: torch.Tensor, truth: torch.Tensor) -> list[float]:
    """Mean cosine at the fakes; in the generator's weights: mean of batches of 64, and all 512 together."""
    point = cosine_similarity(field, truth, dim=1).mean().item()
    parts = [slice(k, k + M) for k in range(0, TEST, M)]
    found = torch.stack([on_weights(generator, z[part], field[part]) for part in parts])
    right = torch.stack([on_weights(generator, z[part], truth[part]) for part in parts])
    batch = cosine_similarity(found, right, dim=1).mean().item()
    return [point, batch, cosine_similarity(found.sum(0), right.sum(0), dim=0).item()]


def on_a_pair(name: str) -> dict[str, np.ndarray]:
    generator = kept_generator() if name == "generator" else Translation()
    z = (
        LATENT
        if name == "generator"
        else x_all[torch.randperm(5000, generator=torch.Generator().manual_seed(9))]
    )
    with torch.no_grad():
        fakes = generator(z)
    y_all = fakes.flatten(1).double()
    begin = time.process_time()
    if name == "generator":
        whole = transport.emd(flat, y_all)
        truth, w1 = flat[whole.plan.argmax(dim=0)][:TEST] - y_all[:TEST], whole.distance
    else:
        truth, w1 = -torch.full((TEST, 784), SHIFT / 28, dtype=torch.float64), SHIFT
    print(f"{name}: W1 {w1:.4f}, {time.process_time() - begin:.1f} s", flush=True)

    names = (*FORMULAS, *CRITICS)
    mean = np.zeros((len(names), len(SIZES), len(SEEDS)))
    spread, cosines = mean.copy(), np.zeros((len(names), len(SEEDS), 3))
    slopes = np.zeros((len(CRITICS), len(SEEDS), 2))
    for k, seed in enumerate(SEEDS):
        critics = {}
        for j, kind in enumerate(CRITICS):
            torch.manual_seed(seed)
            draw = Draw(x_all, fakes, M, seed=seed)
            critics[kind] = trained(kind, make(kind, (1, 28, 28), (256, 256)), draw, STEPS, 5e-4)
            slope = input_gradient(critics[kind], fakes[:TEST]).flatten(1).norm(dim=1)
            slopes[j, k] = [slope.mean().item(), slope.max().item()]
        for i, (n, batches) in enumerate(zip(SIZES, BATCHES, strict=True)):
            rng = torch.Generator().manual_seed(100 * seed + i)
            values = {name: [] for name in names}
            for _ in range(batches):
                p, q = (torch.randint(5000, (n,), generator=rng) for _ in range(2))
                for name_ in FORMULAS:
                    if n <= 256 or name_ in ("exact", "sliced"):
                        values[name_].append(value(name_, flat[p], y_all[q], rng))
                for kind, critic in critics.items():
                    values[kind].append(dual(critic, kind, x_all[p], fakes[q]))
            for j, name_ in enumerate(names):
                seen = values[name_] or [0.0, 0.0]  # not computed
                mean[j, i, k], spread[j, i, k] = np.mean(seen), np.std(seen, ddof=1)
        rng = torch.Generator().manual_seed(seed)
        real = [torch.randint(5000, (M,), generator=rng) for _ in range(TEST // M)]
        parts = [slice(b, b + M) for b in range(0, TEST, M)]
        for j, name_ in enumerate(names):
            fields = [
                by_formula(name_, flat[p], y_all[part], rng)
                if name_ in FORMULAS
                else direction(critics[name_], name_, x_all[p], fakes[part])
                for p, part in zip(real, parts, strict=True)
            ]
            cosines[j, k] = agreement(generator, z[:TEST], torch.cat(fields), truth)
        for j, name_ in enumerate(names):
            print(name, seed, name_, mean[j, :, k].round(2), spread[j, :, k].round(2), cosines[j, k].round(3))
        print(slopes[:, k].round(2).tolist(), f"{time.process_time() - begin:.0f} s", flush=True)
    arrays = {"w1": np.array(w1), "mean": mean, "spread": spread, "cosine": cosines, "slope": slopes}
    if name == "generator":
        arrays |= beside(generator, z, y_all, truth)
    return {f"{name}.{key}": part for key, part in arrays.items()}


def without(generator, z, way: torch.Tensor, *fields: torch.Tensor) -> list[float]:
    """Cosine of two fields, and the share of the norm of the first, that are left without the direction way;
    at the fakes, in the weights by batches, over all batches: six numbers."""
    parts = [slice(k, k + M) for k in range(0, TEST, M)]
    in_weights = [torch.stack([on_weights(generator, z[p], f[p]) for p in parts]) for f in (way, *fields)]
    cosines, shares = [], []
    for u, *pair in ((way, *fields), in_weights, [w.sum(0, keepdim=True) for w in in_weights]):
        u = u / u.norm(dim=1, keepdim=True)
        left, right = (f - (f * u).sum(1, keepdim=True) * u for f in pair)
        cosines.append(cosine_similarity(left, right, dim=1).mean().item())
        shares.append((left.norm(dim=1) / pair[0].norm(dim=1)).mean().item())
    return cosines + shares


CONTROLS = ("the mean digit", "ten nearest", "all black", "a random digit each", "one digit")


def beside(generator, z, y_all: torch.Tensor, truth: torch.Tensor) -> dict[str, np.ndarray]:
    """What cosines and W1 are to be read beside: halves of the data, fields that know nothing."""
    found = {"halves": [], "untrained": [], "w1_halves": [], "controls": [], "rest": []}
    for seed in SEEDS:
        mixed = torch.randperm(5000, generator=torch.Generator().manual_seed(seed))
        a, b = flat[mixed[:2500]], flat[mixed[2500:]]
        solved = [transport.emd(half, y_all[:2500]) for half in (a, b)]
        to = [half[one.plan.argmax(dim=0)][:TEST] for half, one in zip((a, b), solved, strict=True)]
        y = y_all[:TEST]
        found["halves"].append(agreement(generator, z[:TEST], *(x - y for x in to)))
        # What knows half b only, beside the exact gradient of half a: fields towards pictures
        rng = torch.Generator().manual_seed(seed)
        near = torch.cdist(y, b).topk(10, largest=False).indices
        aims = (
            b.mean(0),
            b[near].mean(1),
            -torch.ones(784).double(),
            b[torch.randint(2500, (TEST,), generator=rng)],
            b[7],
        )
        found["controls"].append([agreement(generator, z[:TEST], aim - y, to[0] - y) for aim in aims])
        found["rest"].append(without(generator, z[:TEST], b.mean(0) - y, *(x - y for x in to)))
        found["w1_halves"].append([transport.emd(a, b).distance, solved[0].distance])
        torch.manual_seed(seed)
        field = direction(
            make("gp", (1, 28, 28), (256, 256)), "gp", None, y_all[:TEST].float().view(-1, 1, 28, 28)
        )
        found["untrained"].append(agreement(generator, z[:TEST], field, truth))
    to_the_mean = agreement(generator, z[:TEST], flat.mean(dim=0) - y_all[:TEST], truth)
    found = {key: np.array(rows) for key, rows in found.items()} | {"to_the_mean": np.array(to_the_mean)}
    print({key: rows.round(3).tolist() for key, rows in found.items()}, flush=True)
    return found


if __name__ == "__main__":
    start = time.process_time()
    arrays = blur() | on_a_pair("shift") | on_a_pair("generator")
    seconds = time.process_time() - start
    about = {
        "command": "python data/make_estimators.py",
        "what": "free pictures against batches; estimators of W1 on two pairs of laws of 5,000 pictures",
        "kinds": KINDS,
        "estimators": (*FORMULAS, *CRITICS),
        "sizes": SIZES,
        "batches": BATCHES,
        "seeds": SEEDS,
        "critic_updates": STEPS,
        "controls": CONTROLS,
        "epsilon": EPSILON,
        "seconds": round(seconds),
    }
    data.save_results(Path(__file__).parent / "runs", "estimators", arrays, about)
    print(f"{seconds:.0f} s")
