"""Everything that only a GPU can show, by one command; exits with 1 if one of the checks fails.

    python benchmarks/gpu.py                         # on a GPU: writes benchmarks/results/gpu.md
    python benchmarks/gpu.py --device cpu --quick    # all but the device, in two minutes; writes nothing

Checks: gradients equal those of the CPU for every recipe; graphs equal plain steps bit for bit; two runs with
deterministic algorithms are equal; how far TF32 and bfloat16 move the penalty. Then a table of speed and
memory. A turn is one generator update with its critic updates. Ratios are medians over paired rounds against
the obvious loop: real data on the device, fakes in the generator's graph, PyTorch's Adam as it comes.
"""

import argparse
import os
import platform
import statistics
import sys
import time
from functools import partial
from itertools import cycle
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic cuBLAS; read when CUDA starts

import torch
from torch import nn
from torch.optim import Adam

from wganlab import Draw, Game, networks, recipes, sampling, train
from wganlab.engine import autocast, chain, compiled, fast, flops, graphed
from wganlab.engine.autocast import AutocastPlayer

RECIPES = {name: value for name, value in vars(recipes).items() if isinstance(value, recipes.Recipe)}
BF16 = autocast(torch.bfloat16)
MODES = {
    "eager": chain(),
    "fast": fast,
    "graphed": graphed,
    "fast + graphed": chain(fast, graphed),
    "compiled": compiled,
    "compiled + graphed": chain(compiled, graphed),
    "bf16": BF16,
    "bf16 + graphed": chain(BF16, graphed),
}


def mnist_players(share=1):
    """The sizes of PyTorch-GAN's pair for MNIST, without BatchNorm; every width divided by ``share``."""
    widths = [width // share for width in (128, 256, 512, 1024)]
    return (
        networks.mlp(100, (1, 28, 28), hidden=widths, slope=0.2, last=nn.Tanh()),
        networks.mlp((1, 28, 28), 1, hidden=(512 // share, 256 // share), slope=0.2),
    )


def toy_players(width=512):
    return networks.mlp(2, 2, hidden=(width,) * 3), networks.mlp(2, 1, hidden=(width,) * 3)


def workloads(quick):
    """Players, the shape of a row, the latent dimension, the batch."""
    size, m = ({"width": 8}, 8) if quick else ({}, 64)
    return {
        "MLP, MNIST": (partial(mnist_players, 8 if quick else 1), (1, 28, 28), 100, 64),
        "toy 3x512": (partial(toy_players, 64 if quick else 512), (2,), 2, 256),
        "DCGAN-28": (lambda: (networks.dcgan_generator(), networks.dcgan_critic()), (1, 28, 28), 64, m),
        "DCGAN-64": (
            lambda: (networks.dcgan64_generator(**size), networks.dcgan64_critic(**size)),
            *((3, 64, 64), 128, m),
        ),
        "ResNet-32": (
            lambda: (networks.resnet_generator(**size), networks.resnet_critic(**size)),
            *((3, 32, 32), 128, m),
        ),
    }


def make(workload, recipe, device, dtype=torch.float32):
    """A game and its draw, always with the same weights and data."""
    players, row, latent, m = workload
    torch.manual_seed(0)
    generator, critic = (player.to(device, dtype) for player in players())
    data = torch.rand(1000, *row).mul(2).sub(1).to(device, dtype)
    return Game(generator, critic, recipe), Draw(data, sampling.normal(latent), m, device=device)


def distance(found, wanted):
    """The length of the difference of two lists of tensors, relative to that of the second."""
    found, wanted = (
        torch.cat([part.detach().double().cpu().flatten() for part in parts]) for parts in (found, wanted)
    )
    return ((found - wanted).norm() / wanted.norm().clamp(min=1e-300)).item()


def gradients(workload, recipe, device, dtype):
    """Both players' gradients in a first turn, for batches made on the CPU."""
    game, _ = make(workload, recipe, device, dtype)
    _, draw = make(workload, recipe, "cpu")
    *_, critics = game.critic_gradient(*(value.to(device, dtype) for value in draw(0, 0)))
    _, generators = game.generator_gradient(draw.latent(0).to(device, dtype))
    return [*critics, *generators]


def equal_to_cpu(device, quick):
    """Gradients on the device against those of the CPU in float64."""
    yield "| recipe | players | float64 | float32 | |"
    yield "|---|---|---|---|---|"
    sizes = workloads(quick)
    names = ["MLP, MNIST", "DCGAN-28"] if quick else list(sizes)
    for recipe in RECIPES:
        for name in names if recipe in ("gan", "wgan", "wgan_gp") else names[:1]:
            wanted = gradients(sizes[name], RECIPES[recipe], "cpu", torch.float64)
            errors = [
                distance(gradients(sizes[name], RECIPES[recipe], device, dtype), wanted)
                for dtype in (torch.float64, torch.float32)
            ]
            passed = errors[0] < 1e-10 and errors[1] < 1e-3
            yield f"| {recipe} | {name} | {errors[0]:.0e} | {errors[1]:.0e} | {verdict(passed)} |"


def verdict(passed):
    return "ok" if passed else "FAILED"


def end_of(workload, recipe, device, mode, turns):
    """All weights after some turns."""
    game, draw = make(workload, recipe, device)
    for _ in train(game, draw, turns, accelerate=mode):
        pass
    return [
        value.clone() for player in (game.generator, game.critic) for value in player.state_dict().values()
    ]


def same(these, those):
    return all(torch.equal(a, b) for a, b in zip(these, those, strict=True))


def graphs_equal_steps(device, quick):
    """20 turns with graphs and without."""
    turns = 5 if quick else 20
    for recipe in ("gan", "wgan", "wgan_gp"):
        for name, workload in list(workloads(quick).items())[: 3 if quick else None]:
            ends = [
                end_of(workload, RECIPES[recipe], device, mode, turns) for mode in (graphed, MODES["eager"])
            ]
            yield f"- {recipe}, {name}, {turns} turns: {verdict(same(*ends))}"
    if device == "cpu":
        yield "- (on a CPU `graphed` is the plain step: for graphs see tests/test_engine_graphs.py)"


def deterministic(device, quick):
    """Two runs of the same seed under ``torch.use_deterministic_algorithms``."""
    torch.use_deterministic_algorithms(True)
    for name, workload in workloads(quick).items():
        ends = [end_of(workload, RECIPES["wgan_gp"], device, MODES["eager"], 3) for _ in range(2)]
        yield f"- {name}: {verdict(same(*ends))}"
    torch.use_deterministic_algorithms(False)


def precisely(name, work):
    """``work()`` with float32 products as ``name`` says."""
    torch.set_float32_matmul_precision("high" if name == "TF32" else "highest")
    torch.backends.cudnn.allow_tf32 = name == "TF32"
    result = work()
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    return result


def scaled(game, draw, mean):
    """The game with its critic's last layer scaled so that slopes at real points have this mean."""
    x, _, _ = draw(0, 0)
    x.requires_grad_()
    (slopes,) = torch.autograd.grad(game.critic(x).sum(), x)
    last = [layer for layer in game.critic if isinstance(layer, nn.Linear)][-1]
    last.weight.data.mul_(mean / slopes.flatten(1).norm(dim=1).mean())
    return game


def penalty_error(workload, device, dtype, critic_of, mean):
    """The penalty and its gradient in the weights, for a critic with this mean slope."""
    game, draw = make(workload, RECIPES["wgan_gp"], device, dtype)
    game, (x, z, eps) = scaled(game, draw, mean), draw(0, 0)
    with torch.no_grad():
        x_fake = game.generator(z.to(dtype))
    critic = critic_of(game.critic)
    penalty = game.recipe.constraint.penalty(critic, x, x_fake, eps.to(dtype))
    weights = [weight for weight in critic.parameters() if weight.ndim > 1]
    return penalty.item(), torch.autograd.grad(penalty, weights)


def rounding(device, quick):
    """How far float32, TF32 and bfloat16 are from float64."""
    yield "| players | mean slope | precision | penalty | its gradient |"
    yield "|---|---|---|---|---|"
    for name, workload in workloads(quick).items():
        if name == "ResNet-32" and quick:
            continue
        for mean in (2.0, 1.1, 1.003):
            wanted = penalty_error(workload, device, torch.float64, lambda critic: critic, mean)
            for precision in ("float32", "TF32", "bf16"):
                mixed = partial(AutocastPlayer, dtype=torch.bfloat16)
                critic_of = mixed if precision == "bf16" else lambda critic: critic
                work = partial(penalty_error, workload, device, torch.float32, critic_of, mean)
                found = precisely(precision, work)
                share = abs(found[0] - wanted[0]) / wanted[0]
                yield f"| {name} | {mean} | {precision} | {share:.0e} | {distance(found[1], wanted[1]):.0e} |"


def obvious(workload, device):
    """Turns of the loop that a user would write, on resident data."""
    players, row, latent, m = workload
    torch.manual_seed(0)
    G, D = (player.to(device) for player in players())
    x = torch.rand(1000, *row, device=device) * 2 - 1
    optimizer_G, optimizer_D = (Adam(player.parameters(), lr=1e-4, betas=(0.0, 0.9)) for player in (G, D))
    for i in cycle(range(5)):
        real = x[torch.randint(len(x), (m,), device=device)]
        optimizer_D.zero_grad()
        fake = G(torch.randn(m, latent, device=device))
        alpha = torch.rand(m, *[1] * len(row), device=device)
        x_hat = (alpha * real + (1 - alpha) * fake.data).requires_grad_(True)
        scores = D(x_hat)
        (slopes,) = torch.autograd.grad(scores, x_hat, torch.ones_like(scores), create_graph=True)
        penalty = ((slopes.view(m, -1).norm(2, dim=1) - 1) ** 2).mean()
        (-D(real).mean() + D(fake).mean() + 10 * penalty).backward()
        optimizer_D.step()
        if i == 4:
            optimizer_G.zero_grad()
            (-D(G(torch.randn(m, latent, device=device))).mean()).backward()
            optimizer_G.step()
            yield


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(turns, n, device):
    """Wall time of n turns."""
    wait(device)
    start = time.perf_counter()
    for _ in range(n):
        next(turns)
    wait(device)
    return time.perf_counter() - start


def peak(device, quick):
    """The best measured rate of a float32 matrix product, in operations a second."""
    n = 512 if device == "cpu" else 8192
    a = torch.rand(n, n, device=device)
    a @ a
    wait(device)
    best = float("inf")
    for _ in range(5 if quick else 20):
        start = time.perf_counter()
        a @ a
        wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


def memory(turns, device):
    """MiB that a turn needs at most, on a GPU."""
    if device == "cpu":
        return "-"
    torch.cuda.reset_peak_memory_stats()
    seconds(turns, 1, device)
    return f"{torch.cuda.max_memory_allocated() / 2**20:.0f}"


def throughput(device, quick):
    """Every mode against the obvious loop."""
    top, rounds, n = peak(device, quick), 2 if quick else 15, 1 if quick else 20
    yield f"Measured peak of a float32 product: {top / 1e12:.2f} TFLOP/s."
    yield ""
    yield "| players | mode | ms a turn | ratio to the obvious loop | range | share of peak | peak MiB |"
    yield "|---|---|---|---|---|---|---|"
    for name, workload in workloads(quick).items():
        work = flops(make(workload, RECIPES["wgan_gp"], "cpu")[0], workload[3])
        modes = [mode for mode in MODES if "compiled" not in mode or not quick or name == "toy 3x512"]
        for mode in modes:
            try:
                game, draw = make(workload, RECIPES["wgan_gp"], device)
                turns = train(game, draw, 10**9, accelerate=MODES[mode])
                yield measured(name, mode, turns, obvious(workload, device), (rounds, n, device), work / top)
            except Exception as error:  # one mode that fails must not hide the others
                yield f"| {name} | {mode} | FAILED: {' '.join(str(error).split())[:150]} | | | | |"


def measured(name, mode, turns, peer, plan, ideal):
    """A row of the table: paired rounds of two loops."""
    rounds, n, device = plan
    for loop in (turns, peer):
        seconds(loop, 2 if device == "cpu" else 6, device)  # warm up: graphs are recorded at the 4th call
    times = {turns: [], peer: []}
    for k in range(rounds):
        for loop in (turns, peer) if k % 2 else (peer, turns):
            times[loop].append(seconds(loop, n, device) / n)
    ratios = sorted(b / a for a, b in zip(times[turns], times[peer], strict=True))
    best = statistics.median(times[turns])
    return (
        f"| {name} | {mode} | {1e3 * best:.2f} | {statistics.median(ratios):.2f} | "
        f"{ratios[0]:.2f} - {ratios[-1]:.2f} | {ideal / best:.0%} | {memory(turns, device)} |"
    )


SECTIONS = {
    "Gradients against the CPU in float64, relative": equal_to_cpu,
    "Graphs against plain steps, bit for bit": graphs_equal_steps,
    "Two runs with deterministic algorithms": deterministic,
    "Distance of the penalty from float64, relative": rounding,
    "Speed": throughput,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no CUDA device here; --device cpu --quick proves all but the device")
    torch.backends.cudnn.allow_tf32 = False
    if options.device == "cpu":
        torch.set_num_threads(1)
    name = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU {platform.machine()}"
    command = "python " + " ".join(["benchmarks/gpu.py", *sys.argv[1:]])
    lines = [
        f"# On {name}",
        "",
        f"`{command}`; torch {torch.__version__}, Python {platform.python_version()}.",
        "",
    ]
    print("\n".join(lines))
    for title, section in SECTIONS.items():
        lines += ["", f"## {title}", ""]
        print(f"\n## {title}\n")
        for line in section(options.device, options.quick):
            lines.append(line)
            print(line, flush=True)
    if options.device == "cuda" and not options.quick:
        path = Path(__file__).parent / "results" / "gpu.md"
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return int(any("FAILED" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main())
