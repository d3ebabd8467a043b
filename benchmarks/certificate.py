"""What the certificate costs: ``wganlab.transport`` against the bare solvers, in paired rounds.

    python benchmarks/certificate.py [--rounds 15]

Each row times one call of the library and one of a peer on the same input, both in one process and on
one thread, in alternating order; the first pair is not counted. Points are normal in the plane, the second
cloud shifted by (1, 0); points on the line are normal. Times are CPU times and ratios are of the pairs, so
that a busy machine, which slows both calls of a pair, disturbs them less. The answers are compared, too.
"""

import argparse
import math
import platform
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import ot
import scipy
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance, wasserstein_distance_nd

from wganlab.transport import emd, emd_from_cost, kantorovich_potential, sinkhorn, wasserstein_1d

MARKS = {"ot.emd2": 1.15, "ot.sinkhorn": 8.0}  # under 15 % extra; a certified Sinkhorn over bare iterations
EPSILON = 0.05


def assignment(cost):
    """The least mean cost of an assignment by scipy."""
    return cost[linear_sum_assignment(cost)].mean()


def bare_points(x, y):
    """The distances, then POT's value without its proof."""
    return ot.emd2([], [], cdist(x, y))


def bare_sinkhorn(cost):
    """The plan's cost by POT's kernel iterations."""
    plan = ot.sinkhorn([], [], cost, EPSILON, numItermax=100_000, stopThr=1e-9)
    return (plan * cost).sum()


def bare_potential(cost):
    """The dual value by POT's solver, with more steps than it takes by itself, and a c-transform."""
    _, log = ot.emd([], [], cost, numItermax=10_000_000, log=True)
    return log["u"].mean() + (cost - log["u"][:, None]).min(axis=0).mean()


def critic_value(x, y):
    """E f(x) - E f(y) of the exact critic."""
    f = kantorovich_potential(x, y)
    return f(x).mean() - f(y).mean()


def comparisons():
    """(library, peer, size, the two calls) of each row; both calls give one number."""
    for n in (500, 1000, 2000):
        rng = np.random.default_rng(n)
        x, y = rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) + np.array([1, 0])
        cost = cdist(x, y)
        certified = lambda cost=cost: emd_from_cost(cost).cost  # noqa: E731
        yield "emd_from_cost", "ot.emd2", n, certified, partial(ot.emd2, [], [], cost)
        yield "emd", "cdist, ot.emd2", n, lambda x=x, y=y: emd(x, y).cost, partial(bare_points, x, y)
        yield "emd_from_cost", "linear_sum_assignment", n, certified, partial(assignment, cost)
    for n in (100, 200):
        rng = np.random.default_rng(n)
        x, y = rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) + np.array([1, 0])
        yield (
            "emd",
            "wasserstein_distance_nd",
            n,
            lambda x=x, y=y: emd(x, y).cost,
            partial(wasserstein_distance_nd, x, y),
        )
    for n in (200, 500, 1000, 2000):
        rng = np.random.default_rng(n)
        cost = cdist(rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) + np.array([1, 0]))
        library = lambda cost=cost: sinkhorn(cost, epsilon=EPSILON).cost  # noqa: E731
        yield "sinkhorn", "ot.sinkhorn", n, library, partial(bare_sinkhorn, cost)
    for n in (200, 500, 1000, 2000, 5000):
        rng = np.random.default_rng(n)
        x, y = rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) + np.array([1, 0])
        peer = partial(bare_potential, cdist(x, y))
        yield "kantorovich_potential", "ot.emd, c-transform", n, partial(critic_value, x, y), peer
    for n in (1_000, 10_000, 100_000):
        rng = np.random.default_rng(n)
        x, y = rng.normal(size=n), rng.normal(size=n) + 1
        yield (
            "wasserstein_1d",
            "wasserstein_distance",
            n,
            partial(wasserstein_1d, x, y),
            partial(wasserstein_distance, x, y),
        )


def seconds(call):
    """CPU time of one call, and what it gave."""
    start = time.process_time()
    value = call()
    return time.process_time() - start, float(value)


def ratios(library, peer, rounds):
    """Sorted quotients of times, library over peer, of so many pairs after one that does not count."""
    found = []
    for k in range(rounds + 1):
        pair = {call: seconds(call) for call in ((library, peer) if k % 2 else (peer, library))}
        (ours, value), (theirs, expected) = pair[library], pair[peer]
        if not math.isclose(value, expected, rel_tol=1e-6):
            sys.exit(f"the answers differ: {value} and {expected}")
        found.append(ours / theirs)
    return sorted(found[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "# What a proved answer costs",
        "",
        f"`OMP_NUM_THREADS=1 python benchmarks/certificate.py --rounds {options.rounds}`: CPU time of",
        "`wganlab.transport` over that of the peer on the same input, median and quartiles over paired",
        "rounds in one process, on a machine that others use too; below 1, wganlab is faster. Masses are",
        f"uniform. Marks: over `ot.emd2` at most {MARKS['ot.emd2']}, over `ot.sinkhorn` (epsilon {EPSILON},",
        "kernel iterations until the marginals are known to 1e-9) at most "
        f"{MARKS['ot.sinkhorn']}. `emd2` gives a value",
        "only; `emd_from_cost` and `sinkhorn` check their input and give value, plan, potentials and the",
        "gap between them; `kantorovich_potential` finds an optimum that is no vertex and extends it to all",
        "of space. For n = 5,000 three rounds.",
        f"numpy {np.__version__}, scipy {scipy.__version__}, POT {ot.__version__}, Python",
        f"{platform.python_version()}, {platform.machine()}, one thread.",
        "",
        "| wganlab | peer | n | median ratio | quartiles |",
        "|---|---|---|---|---|",
    ]
    dear = False
    for name, other, n, library, peer in comparisons():
        first, median, third = statistics.quantiles(
            ratios(library, peer, options.rounds if n != 5000 else 3), n=4
        )
        lines.append(f"| `{name}` | `{other}` | {n:,} | {median:.3g} | {first:.3g} - {third:.3g} |")
        print(lines[-1], flush=True)
        dear |= median > MARKS.get(other, math.inf)
    text = "\n".join([*lines, ""])
    (Path(__file__).parent / "results" / "certificate.md").write_text(text, encoding="utf-8")
    return int(dear)


if __name__ == "__main__":
    sys.exit(main())
