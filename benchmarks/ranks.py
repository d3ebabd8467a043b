"""N ranks against one process: the same gradients, the time they take, and what kill -9 does to a run.

    python benchmarks/ranks.py [--turns 40] [--kills 20]

Four parts, each with processes of its own that torchrun starts: errors of the gradients for 1 to 4 ranks;
time of a turn on 1 and 2 ranks and the share of it that goes into collectives; how soon the other ranks
name one that stops, dies, hangs or fails; a run of ``wganlab train`` on two ranks, of which a random one is
killed at random moments and which torchrun starts again. Needs Linux, for the list of a process's children.
"""

import argparse
import os
import platform
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from wganlab import checkpoints, networks, recipes, sampling
from wganlab.engine import chain, fast
from wganlab.engine.ranks import join
from wganlab.training import Game, train

RECIPES = {"GAN": recipes.gan, "WGAN": recipes.wgan, "WGAN-GP": recipes.wgan_gp}
M = 50  # 3 and 4 ranks do not divide it
TIMEOUT = 20.0  # of the ranks in the part on faults
TRAIN = ["--data", "digits", "--batch", "31", "--steps", "400", "--every", "5"]


def torchrun(world, *arguments, restarts=0):
    """The command that starts ``world`` ranks of this script, or of a module after "-m"."""
    script = [] if arguments[0] == "-m" else [__file__]
    start = ["--standalone", "--nproc-per-node", str(world), "--max-restarts", str(restarts)]
    return [sys.executable, "-m", "torch.distributed.run", *start, *script, *map(str, arguments)]


def measured(world, worker, *arguments):
    """What rank 0 of ``world`` ranks returns from the function ``worker``."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        done = subprocess.run(
            torchrun(world, "--worker", worker, "--out", out, *arguments), capture_output=True, text=True
        )
        if not out.exists():
            sys.exit(f"{worker} on {world} ranks failed:\n{done.stderr}")
        return torch.load(out, weights_only=True)


# Part 1: gradients


def gradients(ranks, name, norm, dtype, *, joint=True):
    """The gradients of both players from the same weights, as one flat tensor each."""
    torch.manual_seed(0)
    layer = nn.BatchNorm1d if norm else None
    generator = networks.mlp(2, 2, hidden=(64, 64), norm=layer).to(dtype)
    if joint:
        generator = ranks.share_batchnorm(generator, M)
    game = Game(generator, networks.mlp(2, 1, hidden=(64, 64)).to(dtype), RECIPES[name], mean=ranks.mean(M))
    law = lambda shift: lambda n, rng: torch.randn(n, 2, generator=rng, dtype=dtype) + shift  # noqa: E731
    draw = sampling.Draw(law(1.0), law(0.0), M, rank=ranks.rank, world=ranks.world)
    *_, critics = game.critic_gradient(*draw(0, 0))
    _, generators = game.generator_gradient(draw.latent(0))
    return [torch.cat([part.flatten() for part in game.mean(gradient)]) for gradient in (critics, generators)]


def all_gradients(ranks, options):
    """Gradients by algorithm, norm, type, and whether BatchNorm is joint."""
    return {
        f"{name} {norm} {dtype} {joint}": gradients(ranks, name, norm, dtype, joint=joint)
        for name in RECIPES
        for norm in (False, True)
        for dtype in (torch.float64, torch.float32)
        for joint in ([True, False] if norm else [True])
    }


def error(these, those):
    """The largest difference relative to the largest gradient of the player."""
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(these, those, strict=True))


def gradient_rows():
    """Table rows: algorithm, generator, ranks, errors."""
    one = measured(1, "all_gradients")
    for world in (1, 2, 3, 4):
        many = measured(world, "all_gradients")
        for name in RECIPES:
            for norm in (False, True):
                keys = [f"{name} {norm} {dtype} " for dtype in (torch.float64, torch.float32)]
                double, single = (error(many[f"{key}True"], one[f"{key}True"]) for key in keys)
                local = f"{error(many[f'{keys[0]}False'], one[f'{keys[0]}True']):.0e}" if norm else ""
                kind = "BatchNorm" if norm else "plain"
                yield f"| {world} | {name} | {kind} | {double:.0e} | {single:.0e} | {local} |"


# Part 2: time


def players(kind):
    """Generator, critic, shape of a row and latent dimension."""
    if kind == "ring":
        return networks.mlp(2, 2), networks.mlp(2, 1), (2,), 2
    generator = networks.dcgan_generator(64)
    if kind == "digits":
        return generator, networks.mlp((1, 28, 28), 1, hidden=(512, 256), slope=0.2), (1, 28, 28), 64
    return generator, networks.dcgan_critic(), (1, 28, 28), 64


def turn_times(ranks, options):
    """Seconds of each turn, of its collectives, and their number and bytes."""
    kind, m = options.case.split()
    m = int(m)
    torch.manual_seed(0)
    generator, critic, shape, latent = players(kind)
    recipe = recipes.wgan_gp_toy if kind == "ring" else recipes.wgan_gp_digits
    game = Game(ranks.share_batchnorm(generator, m), critic, recipe, mean=ranks.mean(m))
    law = lambda n, rng: torch.rand(n, *shape, generator=rng) * 2 - 1  # noqa: E731
    draw = sampling.Draw(law, sampling.normal(latent), m, rank=ranks.rank, world=ranks.world)
    spent, reduce = [], ranks.reduce

    def timed(tensor, *operation):
        start = time.perf_counter()
        try:
            return reduce(tensor, *operation)
        finally:
            spent.append((time.perf_counter() - start, tensor.nbytes))

    ranks.reduce = timed
    turns, start = [], time.perf_counter()
    for _ in train(game, draw, options.turns + 3, accelerate=chain(fast, ranks.average_losses)):
        ranks.agree(0)
        now = time.perf_counter()
        turns.append((now - start, sum(t for t, _ in spent), len(spent), sum(b for _, b in spent)))
        start, spent[:] = time.perf_counter(), []
    return turns[3:]  # the first turns also start PyTorch


def time_rows(turns):
    """Table rows: players, m, ranks, time of a turn, share of collectives."""
    for case in ("ring 128", "digits 32", "digits 256", "dcgan 64"):
        before = None
        for world in (1, 2):
            found = measured(world, "turn_times", "--case", case, "--turns", turns)
            whole, shared = (statistics.median(column) for column in list(zip(*found, strict=True))[:2])
            before = before or whole
            meetings = (
                f"{shared / whole:.0%} | {found[0][2]} | {found[0][3] / 1024:,.0f}" if world > 1 else "| |"
            )
            kind, m = case.split()
            yield f"| {kind} | {m} | {world} | {1e3 * whole:.1f} | {before / whole:.2f} | {meetings} |"


# Part 3: faults


def fault(ranks, options):
    """Meet until rank 1 does what it is told to; how long after that this rank knew, and what it said."""
    for turn in range(10**9):
        ranks.agree(turn)
        if turn == 100 and ranks.rank == 1:
            Path(f"{options.out}.time").write_text(str(time.time()))
            FAULTS[options.case]()
    return


def fails():
    raise ValueError("a failure of its own")


FAULTS = {
    "kill -9": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGSTOP": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "hangs in its own code": lambda: time.sleep(1000),
    "an exception": fails,
}


def fault_rows():
    """Table rows: fault, seconds until the last other rank has ended, what it said."""
    for case in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
            ranks = [started(rank, store.port, case, out) for rank in range(3)]
            said = [ranks[rank].communicate(timeout=600)[1] for rank in (0, 2)]
            late = time.time() - float(Path(f"{out}.time").read_text())
            ranks[1].kill()
            ranks[1].communicate()
            named = all(re.search(r"RankError: .*: rank 1 (is|ended)", text) for text in said)
            words = re.search(r"RankError: .*?: (rank .*?)\.", said[0])
            ok = named and all(ranks[rank].returncode > 0 for rank in (0, 2))
            yield f"| {case} | {late:.0f} | {'yes' if ok else 'NO'} | {words and words[1]} |"


def started(rank, port, case, out):
    """One of three ranks without torchrun, which would end the others before they can say anything."""
    variables = {"RANK": rank, "WORLD_SIZE": 3, "LOCAL_RANK": rank, "MASTER_PORT": port}
    variables |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_USE_AGENT_STORE": True}
    command = [sys.executable, __file__, "--worker", "fault", "--case", case, "--out", str(out)]
    environment = os.environ | {key: str(value) for key, value in variables.items()}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


# Part 4: kills


def children(pid):
    """The processes that ``pid`` has started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def state_of(folder):
    """Every tensor of the run in ``folder``."""
    state = checkpoints.read(folder / "checkpoint.wgan")
    return checkpoints.tensors({"game": state["game"], "average": state["average"]})


def step_of(folder):
    """The generator updates in the newest checkpoint, 0 if there is none."""
    path = folder / "checkpoint.wgan"
    return checkpoints.read(path)["game"]["step"] if path.exists() else 0


def killed_run(folder, kills, rng):
    """Train to the end in ``folder`` under up to ``kills`` kills; for each, rank, seconds and saved step."""
    log = (folder.parent / f"{folder.name}.log").open("w")
    command = torchrun(2, "-m", "wganlab", "train", folder, *TRAIN, restarts=kills)
    agent = subprocess.Popen(command, stdout=log, stderr=log)
    made = []
    while agent.poll() is None and len(made) < kills:
        before = set(children(agent.pid))
        delay = rng.uniform(0, 20)
        time.sleep(delay)
        victims = children(agent.pid)
        if agent.poll() is not None or len(victims) < 2:
            continue
        rank = rng.randrange(2)
        os.kill(sorted(victims)[rank], signal.SIGKILL)
        made.append((rank, delay, step_of(folder)))
        print(f"kill {len(made)}: rank {rank} after {delay:.1f} s, saved step {made[-1][2]}", flush=True)
        until = time.monotonic() + 120
        while agent.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
            now = set(children(agent.pid))
            if len(now) == 2 and not now & (set(victims) | before):
                break
    return agent.wait(), made


def kill_lines(kills):
    """The part of the results on kills, and whether all runs ended in the weights of the undisturbed one."""
    rng, made, runs, right = random.Random(2024), [], 0, 0
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        subprocess.run(torchrun(2, "-m", "wganlab", "train", whole, *TRAIN), check=True, capture_output=True)
        expected = state_of(whole)
        while len(made) < kills:
            runs += 1
            folder = Path(name) / f"run{runs}"
            code, more = killed_run(folder, kills - len(made), rng)
            made += more
            found = state_of(folder) if code == 0 else {}
            same = found.keys() == expected.keys() and all(
                torch.equal(found[k], expected[k]) for k in expected
            )
            right += same
            print(f"run {runs}: code {code}, {'same bits' if same else 'OTHER'}", flush=True)
    steps = sorted(step for *_, step in made)
    return [
        f"{len(made)} kills (seed 2024) of a random one of two ranks, each 0 to 20 s after the start of the",
        f"ranks, hit {runs} run{'s' * (runs > 1)} of `wganlab train {' '.join(TRAIN)}`",
        f"under `torchrun --nproc-per-node 2 --max-restarts {kills}`: BatchNorm in the generator, shares of",
        f"15 and 16 rows. At a kill, the last saved step was 0 {steps.count(0)} times, {steps[-1]} at most.",
        "",
        f"**{right} of {runs} ended, by themselves, in the same bits** as the run that nobody killed:",
        f"{len(expected)} tensors, of both players, both optimizers and the average.",
    ], right == runs


def head(options):
    """The first lines of the results."""
    processor = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    name = processor[1] if processor else "CPU"
    return [
        "# Many ranks as one",
        "",
        f"`OMP_NUM_THREADS=1 python benchmarks/ranks.py --turns {options.turns} --kills {options.kills}`:",
        "ranks are processes on one machine that others use too; they meet by gloo, one thread each.",
        f"torch {torch.__version__}, Python {platform.python_version()}, {name}, {os.cpu_count()} cores.",
    ]


def report(options):
    """The whole file, and whether all marks are met."""
    gradient, times, faults = list(gradient_rows()), list(time_rows(options.turns)), list(fault_rows())
    kills, right = kill_lines(options.kills) if options.kills else (["Not run."], True)
    right &= all("| yes |" in row for row in faults)
    worst = [max(float(row.split("|")[k]) for row in gradient) for k in (4, 5)]
    right &= worst[0] < 1e-12 and worst[1] < 1e-5
    return [
        *head(options),
        "", "## Gradients", "",
        "The largest error of a gradient of either player, relative to its largest entry, against one",
        f"process with the joint batch of {M} rows (3 and 4 ranks: unequal shares). Last column: with the",
        "statistics of each rank's own rows in BatchNorm, float64, which is another algorithm. Marks: 1e-12",
        f"and 1e-5; here at most {worst[0]:.0e} and {worst[1]:.0e}.", "",
        "| ranks | algorithm | generator | float64 | float32 | own statistics |", "|---|---|---|---|---|---|",
        *gradient,
        "", "## Time", "",
        f"Milliseconds of a turn of WGAN-GP with `accelerate=fast`, median of {options.turns}; the gain over",
        "one rank; the share of the turn inside collectives, waiting for the other rank included;",
        "collectives and KiB a turn. digits and dcgan have BatchNorm in the generator: one collective for",
        "each of its calls and derivatives. A rank has a core of its own only while nobody else is there.",
        "", "| players | m | ranks | ms a turn | gain | in collectives | collectives | KiB |",
        "|---|---|---|---|---|---|---|---|",
        *times,
        "", "## Faults", "",
        "Rank 1 of 3 does this; seconds until both others have ended with a code that is not 0 (time-out",
        f"{TIMEOUT:g} s); whether both named rank 1; what rank 0 said.", "",
        "| fault | seconds | named | said |", "|---|---|---|---|",
        *faults,
        "", "## Kills", "",
        *kills,
        "",
    ], right  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--kills", type=int, default=20)
    for hidden in ("--worker", "--case", "--out"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.worker:
        with join(timeout=TIMEOUT if options.worker == "fault" else 300) as ranks:
            found = globals()[options.worker](ranks, options)
            if ranks.writes:
                torch.save(found, options.out)
        return 0
    lines, right = report(options)
    (Path(__file__).parent / "results" / "ranks.md").write_text("\n".join(lines), encoding="utf-8")
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
