"""Hands 10,000 valid and faulty inputs to transport functions, also POT's and scipy's, and 10,000 to others.

    python benchmarks/robustness.py [--inputs 10000] [--part transport] [--part laws]

The inputs and the judge are those of ``tests/hostile.py`` (transport) and ``tests/hostile_cases.py``
(divergences, metrics, Lipschitz bounds, integrals on the line), where the exact answers are explained:
input k is made from the seed and k alone. Every function works in a process of its own, which is replaced
when it dies. With ``--part`` no table is written. Exits with 1 if ``wganlab`` refuses a valid input, answers
wrongly or a fault, warns, changes one or dies.
"""

import argparse
import multiprocessing
import os
import platform
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import permutations
from pathlib import Path
from types import ModuleType

import numpy as np
import ot
import scipy
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance, wasserstein_distance_nd

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import hostile
import hostile_cases

SECONDS = 60  # for one input, before its process is killed, which counts as a death
COLUMNS = ["valid", "right", "refused", "wrong, seen", "wrong, silent", "faulty", "faults refused"]
COLUMNS += ["answered, seen", "answered, silent", "other exceptions", "warned", "inputs changed", "deaths"]


@dataclass
class Row:
    """One function of the table, and which inputs it gets."""

    name: str
    inputs: str  # the function of the library that they were made for
    call: Callable
    unit: Callable = lambda mass: 1  # its answer over that of the library, for this mass
    takes: tuple = ()  # what it takes on purpose, so that it is no fault
    fits: Callable = lambda made: True  # of a case
    source: ModuleType = hostile  # of its inputs


def emd2(cost, a=None, b=None):  # the peers are called as their documentation says
    return ot.emd2([] if a is None else a, [] if b is None else b, cost)


def sinkhorn2(method, cost, a, b, epsilon):
    return ot.sinkhorn2(a, b, cost, epsilon, method=method, stopThr=1e-11)


def assignment(cost):
    i, j = linear_sum_assignment(cost)
    return np.asarray(cost)[i, j].sum() / max(len(i), 1)


def with_p_1(made):
    return made.plain["p"] == 1 == made.given["p"]


def square(made):
    n, m = made.plain["cost"].shape
    return n == m and all(made.given.get(name) is made.plain.get(name) for name in "ab")


def on_line(call, **options):
    return lambda x, y, a=None, b=None, p=1: call(x, y, a, b, **options)


UNIFORM, TOTALS = ("empty in a", "empty in b"), ("unequal totals", "totals unequal")
LIBRARY, LAWS = (
    [Row(f"wganlab {name}", name, call, source=source) for name, call in source.LIBRARY.items()]
    for source in (hostile, hostile_cases)
)
POT_1D, SCIPY_1D = on_line(ot.wasserstein_1d), on_line(wasserstein_distance)
EMD_1D, SCIPY_ND = on_line(ot.emd2_1d, metric="euclidean"), on_line(wasserstein_distance_nd)
SINKHORN, LOGARITHMS = partial(sinkhorn2, "sinkhorn"), partial(sinkhorn2, "sinkhorn_log")
PEERS = [
    Row("ot.emd2", "emd_from_cost", emd2, takes=UNIFORM),
    Row("ot.emd2_1d", "wasserstein_1d", EMD_1D, lambda mass: mass, UNIFORM, with_p_1),
    Row("ot.wasserstein_1d", "wasserstein_1d", POT_1D, lambda mass: mass, (), with_p_1),
    Row("ot.sinkhorn2", "sinkhorn", SINKHORN, lambda mass: 1 / mass, UNIFORM),
    Row("ot.sinkhorn2, logarithms", "sinkhorn", LOGARITHMS, lambda mass: 1 / mass, UNIFORM),
    Row("scipy wasserstein_distance", "wasserstein_1d", SCIPY_1D, takes=TOTALS, fits=with_p_1),
    Row("scipy wasserstein_distance_nd", "emd", SCIPY_ND, lambda mass: 1 / mass, TOTALS, with_p_1),
    Row("scipy linear_sum_assignment", "emd_from_cost", assignment, takes=("infinity",), fits=square),
]


def for_peer(row, made):
    """The case in the peer's units and with plain arrays, or ``None`` if the peer has no such input."""
    given = made.given if made.kind == "faulty" else made.plain
    made = replace(made, given={name: hostile.as_numpy(value) for name, value in given.items()})
    if made.about.startswith(row.takes) or not row.fits(made):
        return None
    if row.call is assignment:  # knows one mass a row: every permutation is tried instead
        cost = [list(map(Fraction, line)) for line in made.plain["cost"].tolist()]
        n, largest = len(cost), max(abs(c) for line in cost for c in line)
        sums = (sum(map(list.__getitem__, cost, order)) for order in permutations(range(n)))
        return replace(made, given={"cost": made.given["cost"]}, value=[min(sums) / n], bound=largest)
    if row.inputs == "sinkhorn" and made.kind != "faulty":  # documented for masses of total 1
        made.given |= {name: made.plain[name] / made.plain[name].sum() for name in "ab"}
    unit = row.unit(sum(map(Fraction, made.plain.get("a", np.ones(1)).tolist())))
    return replace(made, value=[v * unit for v in made.value], bound=made.bound * unit)


def column(made, verdict):
    """Where the table counts a verdict."""
    outcome, seen = verdict.outcome, "seen" if verdict.visible else "silent"
    if outcome == "refused":
        return {"faulty": "faults refused", "valid": "refused", "extreme": "right"}[made.kind]
    if outcome in ("right", "nearest") or (made.kind == "extreme" and outcome == "not finite"):
        return "right"
    if outcome in ("wrong", "answered", "not finite"):
        return f"{'answered' if made.kind == 'faulty' else 'wrong'}, {seen}"
    return "other exceptions"


def cause(made):
    """What is special about a case: the fault, or the size of its numbers."""
    if made.kind == "faulty":
        return made.about.split(" in ")[0]
    if made.function in hostile_cases.MAKERS:
        return made.kind
    for name in ("masses", "costs or points"):
        array = made.plain.get("a") if name == "masses" else made.plain.get("cost", made.plain.get("x"))
        largest = 1.0 if array is None else float(np.abs(array).max())
        if largest and not 1e-9 <= largest <= 1e9:
            return f"{name} {'below 1e-9' if largest < 1 else 'above 1e9'}"
    return "ordinary numbers"


def work(row, indices, pipe):
    """Judges the inputs one by one and says so before the next, so that a death has a culprit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # peers print
    library = row in LIBRARY + LAWS
    refusals = [] if library else [(ValueError, TypeError, AssertionError)]
    for index in indices:
        made = row.source.case(index) if library else for_peer(row, row.source.case(index))
        signal.alarm(SECONDS)  # each alarm replaces the one before
        verdict = made and hostile.judge(made, made.given, row.call, *refusals)
        about = made and (made.kind, column(made, verdict), cause(made), hostile.kept_promise(made, verdict))
        pipe.send((index, about, verdict))


def tally(row, inputs):
    """Counts for one row, causes of what was silent, and the numbers of inputs that broke a promise."""
    order = row.source.ORDER
    indices = [index for index in range(inputs) if order[index % len(order)] == row.inputs]
    counts, causes, broken, context = Counter(), Counter(), [], multiprocessing.get_context("fork")
    while indices:
        reader, writer = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(row, indices, writer))
        process.start()
        writer.close()
        try:
            while indices:
                index, about, verdict = reader.recv()
                indices.remove(index)
                if about is None:
                    continue
                kind, where, why, kept = about
                counts.update(["faulty" if kind == "faulty" else "valid", where])
                counts.update({"warned": bool(verdict.warnings), "inputs changed": verdict.changed})
                causes[why] += where.endswith("silent")
                broken += [] if kept else [index]
        except EOFError:  # it died over the first input that it has not answered for
            process.join()
            if process.exitcode > 0:
                sys.exit(f"the benchmark itself failed on input {indices[0]} of {row.name}")
            broken.append(indices[0])
            culprit = row.source.case(indices.pop(0))
            counts.update(["faulty" if culprit.kind == "faulty" else "valid", "deaths"])
            causes[f"{cause(culprit)} ({signal.Signals(-process.exitcode).name})"] += 1
        process.join()
    return counts, causes, broken


def cpu():
    """The kind of processor, where the system tells it."""
    file = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", file.read_text(encoding="utf-8") if file.exists() else "")
    return names[0] if names else platform.machine()


TEXT = """# What transport functions do with {inputs:,} inputs, and the others with as many

`python benchmarks/robustness.py --inputs {inputs}`, seeds {seed} and {laws_seed}. numpy {numpy},
scipy {scipy}, POT {pot}, torch {torch}, Python {python}, {cpu}, one thread.

- **valid**: n and m from 1 to 6; ties, equal points, masses of 0; costs, points and masses from 1e-300 to
  1e300. `wganlab` gets them as lists, tuples, tensors with and without a graph, float32, integers, bool,
  strided, backwards, read-only and other arrays; the peers always get float64 arrays.
- **right**: off by at most 1e-9 of the largest cost (times the mass, where the value scales with it) from an
  exact answer: whole masses assigned one by one in whole numbers, rational quantiles, closed forms to 120
  digits. For `gaussian_w2` 1e-7 where a covariance is singular: there, rounding by 1e-16 moves W2 by 1e-8.
  Where the answer or a cost does not fit into float64, a refusal, infinity and the nearest float are right,
  too; of `wganlab` a refusal is demanded instead of these.
- **refused**: `InputError` or `SolverError`; for the peers `ValueError`, `TypeError` or `AssertionError`.
- **seen**: with a warning, or NaN or infinity as the answer. **silent**: a finite number and nothing else.
- **faulty**: one fault: NaN, infinity, empty, complex, text, dates, None, ragged, masked, another shape,
  negative, missing or unequal masses, p < 1, epsilon <= 0, and so on.
- **deaths**: the process ended, by a signal or after {seconds} s; the input at hand is blamed.

The peers get the inputs of the library function that does their work, as far as they have such inputs (p = 1;
square costs, with one mass a row, for `linear_sum_assignment`) and without what they take on purpose: POT
reads empty masses as uniform ones, scipy divides masses by their total, and an infinite cost forbids a pair
in an assignment. POT documents `sinkhorn2` for masses of total 1, so valid ones are divided by it, and for an
epsilon that is not too small; marginals were asked to be right to 1e-11, in the default of 1,000 iterations.
For `emd2` it speaks of histograms with one total. Scipy's n-dimensional routine is a linear program with the
tolerances of its solver. Masked arrays and text are read as plain numbers by most of numpy.

The rows from `wganlab kl` on are the second part: divergences, metrics, Lipschitz bounds and integrals on the
line, three times as many inputs for the functions that do not integrate.

- **valid**: laws with weights down to 5e-324, equal up to 1e-12 or without a common point, in float16,
  bfloat16 and float32 up to their rounding; points from 2^-1060 to 2^1010; chains nested, with layers used
  twice, strided, dilated and padded convolutions; laws on the line that are thin and far away.
- **right**: off by at most 1e-9 of the answer or 1e-12 of its natural scale, whichever is more, from
  fractions, 50 digits or a closed form; integrals on the line to 1e-9, slopes of float32 critics to 1e-6,
  Frechet distances to 1e-9 of traces and shifts. A Lipschitz bound must lie on its side of the exact
  constant. Where the answer or what it is made of does not fit into float64, or a peak is thin, a refusal
  is right, too.
- **faulty**: also weights that do not sum to 1, kernels, densities and critics that give no numbers, NaN in
  weights, layers without a known bound, wrong types of numbers.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--part", action="append", choices=["transport", "laws"], help="default: both")
    options = parser.parse_args()
    torch.set_num_threads(1)
    versions = {"numpy": np.__version__, "scipy": scipy.__version__, "pot": ot.__version__}
    versions |= {"torch": torch.__version__, "python": platform.python_version(), "cpu": cpu()}
    seeds = {"seed": hostile.SEED, "laws_seed": hostile_cases.SEED}
    text = TEXT.format(inputs=options.inputs, seconds=SECONDS, **seeds, **versions)
    parts = {"transport": LIBRARY + PEERS, "laws": LAWS}
    rows = [row for part in options.part or parts for row in parts[part]]
    lines = [
        *text.splitlines(),
        "",
        f"| function | {' | '.join(COLUMNS)} |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    failed, silent, start = [], [], time.monotonic()
    for row in rows:
        counts, causes, broken = tally(row, options.inputs)
        lines.append(f"| `{row.name}` | {' | '.join(str(counts[name]) for name in COLUMNS)} |")
        print(lines[-1], f"{time.monotonic() - start:.0f} s", flush=True)
        silent.append(f"- `{row.name}`: {', '.join(f'{why} {n}' for why, n in causes.most_common() if n)}.")
        failed += [] if row in PEERS else [(row.name, index) for index in broken]
    lines += [
        "",
        "Silent wrong answers, silently answered faults and deaths, by what is special about the input:",
        "",
    ]
    lines += [line for line in silent if not line.endswith(": .")]
    if not options.part:  # one part alone is no table
        file = Path(__file__).parent / "results" / "robustness.md"
        file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print(f"inputs that wganlab fails on: {failed or 'none'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
