"""Times ``wganlab.train`` against the obvious implementations, in one process, in paired rounds.

    OMP_NUM_THREADS=1 python benchmarks/speed.py [--rounds 15]

A turn is one generator update with its critic updates. Reported are medians and quartiles of the ratios of
one round, in CPU time of the process, which a busy machine disturbs less than the clock on the wall. Then:
the floating-point operations of a turn and the share of the machine's measured peak; how the cost of a turn
grows with width, batch and data set; and the memory that a run adds. ``fast`` is
``train(..., accelerate=fast)``, ``plain`` is ``train(...)``.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import peers
import torch
from torch.optim import Adam
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from wganlab import Draw, Game, data, networks, recipes, sampling, train
from wganlab.constraints import GradientPenalty
from wganlab.engine import fast, products
from wganlab.training import identity

ROOT = Path(__file__).parent
SAME_ADAM = partial(Adam, lr=2e-4, betas=(0.5, 0.999), fused=True)
TOY = replace(recipes.wgan_gp, constraint=GradientPenalty(0.1))


def digits() -> torch.Tensor:
    return data.digits().x


def images():
    return digits().add(1).mul(127.5).round().byte().squeeze(1).numpy()


def library(recipe, *, accelerate=fast, x=None, m=peers.BATCH, width=512) -> Iterator:
    """Turns of the library with PyTorch-GAN's players; the critic's width can be varied."""
    x = digits() if x is None else x
    critic = networks.mlp((1, 28, 28), 1, hidden=(width, width // 2), slope=0.2)
    draw = Draw(x, sampling.normal(peers.LATENT), m)
    return train(Game(peers.generator(), critic, recipe), draw, 10**9, accelerate=accelerate)


def toy(width, accelerate=fast, m=256) -> Iterator:
    """Turns of the library on the ring, three layers of one width."""
    hidden = (width,) * 3
    game = Game(networks.mlp(2, 2, hidden=hidden), networks.mlp(2, 1, hidden=hidden), TOY)
    return train(game, Draw(sampling.ring(), sampling.normal(2), m), 10**9, accelerate=accelerate)


def obvious_toy(width, m=256) -> Iterator:
    hidden, rng = (width,) * 3, torch.Generator()
    batches = iter(lambda: sampling.ring()(m, rng), None)
    return peers.authors(
        networks.mlp(2, 2, hidden=hidden), networks.mlp(2, 1, hidden=hidden), batches, 2, 0.1
    )


def dcgan(accelerate=fast) -> Iterator:
    """Turns of the library with convolutions, batch 50."""
    game = Game(networks.dcgan_generator(64), networks.dcgan_critic(width=64), recipes.wgan_gp)
    return train(game, Draw(digits(), sampling.normal(64), 50), 10**9, accelerate=accelerate)


def obvious_dcgan() -> Iterator:
    players = networks.dcgan_generator(64), networks.dcgan_critic(width=64)
    return peers.authors(*players, peers.resident_batches(digits(), 50), 64, 10.0)


GP, CLIP = replace(recipes.wgan_gp, optimizer=SAME_ADAM), recipes.wgan
RUNS = {  # name: (the library's, peers by name, the marks of the peers, turns a round)
    "WGAN-GP, MLP on digits": (
        partial(library, GP),
        {
            "as shipped": lambda: peers.wgan_gp(peers.shipped_batches(images()), shipped=True),
            "resident": lambda: peers.wgan_gp(peers.resident_batches(digits())),
            "resident, detached": lambda: peers.wgan_gp(peers.resident_batches(digits()), detached=True),
        },
        (2.8, 2.0, 1.5),
        6,
    ),
    "WGAN, MLP on digits": (
        partial(library, CLIP),
        {
            "as shipped": lambda: peers.wgan(peers.shipped_batches(images()), shipped=True),
            "resident": lambda: peers.wgan(peers.resident_batches(digits())),
        },
        (2.2, 1.3),
        8,
    ),
    "WGAN-GP, ring, 3 x 512": (partial(toy, 512), {"authors' loop": partial(obvious_toy, 512)}, (1.3,), 4),
    "WGAN-GP, ring, 3 x 128": (partial(toy, 128), {"authors' loop": partial(obvious_toy, 128)}, (2.0,), 20),
    "WGAN-GP, DCGAN critic, width 64": (dcgan, {"authors' loop": obvious_dcgan}, (1.25,), 2),
}


def seconds(turns: Iterator, n: int) -> float:
    """CPU time of n turns."""
    start = time.process_time()
    for _ in range(n):
        next(turns)
    return time.process_time() - start


def paired(runs: dict[str, Iterator], n: int, rounds: int) -> dict[str, list[float]]:
    """Seconds a turn of each run in each round, in alternating order."""
    times = {name: [] for name in runs}
    for turns in runs.values():
        seconds(turns, 2)
    for k in range(rounds):
        for name in list(runs)[:: 1 if k % 2 else -1]:
            times[name].append(seconds(runs[name], n) / n)
    return times


def ratio(above: list[float], below: list[float]) -> str:
    """Median and quartiles of the paired ratios."""
    low, middle, high = statistics.quantiles([a / b for a, b in zip(above, below, strict=True)], n=4)
    return f"{middle:.2f} | {low:.2f} - {high:.2f}"


def flops(make: Callable[[], Iterator]) -> float:
    """Floating-point operations of a turn's products and convolutions, as PyTorch counts them."""
    uncounted = products.onednn_is_faster  # PyTorch counts no operations of the other library
    products.onednn_is_faster = lambda: False
    try:
        turns = make()
        next(turns)
        with FlopCounterMode(display=False) as counter:
            next(turns)
        return counter.get_total_flops()
    finally:
        products.onednn_is_faster = uncounted


def peak(size=1024, rounds=12) -> tuple[float, float]:
    """Operations a second of the best product of two float32 matrices: PyTorch's ``@``, and ``matmul``."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = []
    for multiply in (torch.matmul, products.matmul):
        times = []
        for _ in range(rounds):
            start = time.process_time()
            for _ in range(4):
                multiply(a, b)
            times.append((time.process_time() - start) / 4)
        best.append(2 * size**3 / min(times))
    return best[0], best[1]


def compare(rounds: int) -> Iterator[str]:
    """The tables of ratios and of shares of the peak."""
    shares = []
    gemm, best = peak()
    yield "| run | peer | peer / fast | quartiles | mark | peer / plain | quartiles |"
    yield "|---|---|---|---|---|---|---|"
    for name, (make, others, marks, n) in RUNS.items():
        runs = {"fast": make(), "plain": make(accelerate=identity)} | {
            key: peer() for key, peer in others.items()
        }
        times = paired(runs, n, rounds)
        for key, mark in zip(others, marks, strict=True):
            versus_plain = ratio(times[key], times["plain"])
            yield f"| {name} | {key} | {ratio(times[key], times['fast'])} | {mark} | {versus_plain} |"
        work = flops(make)
        rate = work / statistics.median(times["fast"])
        shares.append(f"| {name} | {work / 1e9:.2f} | {rate / gemm:.0%} | {rate / max(gemm, best):.0%} |")
    yield ""
    yield "On products of two 1024 x 1024 float32 matrices, the library that `engine.products` chooses here"
    yield f"has {best / gemm:.2f} times the peak of PyTorch's `@`. Operations are those of `fast`."
    yield ""
    yield "| run | GFLOP a turn | share of the peak of `@` | share of the best peak |"
    yield "|---|---|---|---|"
    yield from shares


PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm", "mkldnn::_linear_pointwise"}
PRODUCTS |= {"aten::mkldnn_convolution", "aten::convolution_backward", "aten::mkldnn_convolution_backward"}


def parts(rounds: int) -> Iterator[str]:
    """How a turn of ``fast`` spends its time, by PyTorch's profiler, which makes small operations dearer."""
    yield "| run | products | optimizers | all else |"
    yield "|---|---|---|---|"
    for name in ("WGAN-GP, MLP on digits", "WGAN, MLP on digits"):
        turns = RUNS[name][0]()
        seconds(turns, 3)
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            seconds(turns, 2 * rounds)
        spent = {"products": 0.0, "optimizers": 0.0, "else": 0.0}
        for event in profiler.events():
            if event.name in PRODUCTS:
                spent["products"] += event.cpu_time_total
            elif event.cpu_parent is None:
                part = "optimizers" if event.name.startswith("Optimizer.step") else "else"
                spent[part] += event.cpu_time_total - inner_products(event)
        whole = sum(spent.values())
        yield f"| {name} | " + " | ".join(f"{value / whole:.0%}" for value in spent.values()) + " |"


def inner_products(event) -> float:
    """The time of the products inside a profiled event."""
    return sum(
        child.cpu_time_total if child.name in PRODUCTS else inner_products(child)
        for child in event.cpu_children
    )


def growth(rounds: int) -> Iterator[str]:
    """How a turn's cost grows, relative to the first row of each block; WGAN-GP's MLP on digits, fast."""
    x = digits()
    blocks = {
        "critic's width": {w: partial(library, GP, width=w) for w in (128, 256, 512, 1024)},
        "batch": {m: partial(library, GP, m=m) for m in (32, 64, 128, 256)},
        "rows of data": {
            n: partial(library, GP, x=x.repeat(12, 1, 1, 1)[:n]) for n in (1000, 5000, 20000, 60000)
        },
    }
    yield "| varied | value | cost of a turn, relative | operations, relative |"
    yield "|---|---|---|---|"
    for name, variants in blocks.items():
        times = paired({str(value): make() for value, make in variants.items()}, 3, rounds)
        work = {str(value): flops(make) for value, make in variants.items()}
        first = next(iter(times))
        for value, spent in times.items():
            cost = statistics.median(a / b for a, b in zip(spent, times[first], strict=True))
            yield f"| {name} | {int(value):,} | {cost:.2f} | {work[value] / work[first]:.2f} |"


def high_water() -> int:
    """The largest memory that this process has held since it was last asked to forget, in kB (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def memory(name: str, which: str) -> None:
    """Print what ten turns add to this process's memory at the highest, in MB: for a process of its own."""
    make, others, _, _ = RUNS[name]
    turns = make() if which == "fast" else make(accelerate=identity) if which == "plain" else others[which]()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forget the highest so far
    before = high_water()
    seconds(turns, 10)
    print(round((high_water() - before) / 1024))


def memories() -> Iterator[str]:
    """The table of memory."""
    yield "| run | | MB added by ten turns |"
    yield "|---|---|---|"
    for name, (_, others, _, _) in RUNS.items():
        for which in ("fast", "plain", *others):
            command = [sys.executable, __file__, "--memory", name, which]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            yield f"| {name} | {which} | {done.stdout.strip()} |"


def machine() -> str:
    """The processor's kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--memory", nargs=2, metavar=("RUN", "WHICH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.memory:
        memory(*options.memory)
        return
    capability = torch.backends.cpu.get_cpu_capability()
    lines = [
        "# The library's loop against the obvious ones",
        "",
        f"`OMP_NUM_THREADS=1 python benchmarks/speed.py --rounds {options.rounds}`: CPU time of a peer's",
        "turn over that of `wganlab.train`, median and quartiles over paired rounds in one process, on a",
        "machine that others use too; above 1, wganlab is faster. The loops: see `benchmarks/peers.py`.",
        "`fast` is `train(..., accelerate=fast)`, `plain` is `train(...)`.",
        f"torch {torch.__version__}, Python {platform.python_version()}, {machine()}, {capability},",
        "one thread.",
        "",
        *compare(options.rounds),
        "",
        "## Where a turn's time goes",
        "",
        *parts(options.rounds),
        "",
        "## How the cost of a turn grows",
        "",
        "WGAN-GP's MLP on digits, `fast`.",
        "",
        *growth(max(5, options.rounds // 3)),
        "",
        "## Memory",
        "",
        "What ten turns add to the peak of a fresh process that holds data and players.",
        "",
        *memories(),
        "",
    ]
    text = "\n".join(lines)
    kind = f"{machine().split()[0].removesuffix('(R)').lower()}_{capability.lower()}"
    (ROOT / "results" / f"speed_{kind}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
