"""N ranks equal one process, find out when they do not, and never wait for ever for one that is gone.

Ranks here are real processes that meet by gloo on this machine. The parent holds the store, as torchrun
does, so no port can be taken by somebody else.
"""

import contextlib
import copy
import itertools
import multiprocessing
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
import torch.distributed as dist
from games import equal
from torch import nn

from wganlab import checkpoints, networks, recipes, sampling
from wganlab.__main__ import main
from wganlab.engine.batchnorm import JointBatchNorm, share_statistics
from wganlab.engine.heartbeat import Heartbeat
from wganlab.engine.ranks import Ranks, join, should_report
from wganlab.errors import DataError, DivergenceError, InputError, RankError, WganlabError
from wganlab.training import Average, Game, train

DEADLINE = 120  # seconds for any of these runs, on a machine however busy; they take a few
FAILED = 7


def worker(function, folder, variables):
    """A process of its own: the environment that torchrun makes, and the result or the failure in a file."""
    os.environ.update(variables)
    torch.set_num_threads(1)
    code = 0
    try:
        result = function()
    except Exception as error:
        result, code = error, FAILED
        traceback.print_exc()
    part = folder / f"{variables['RANK']}.part"
    part.write_bytes(pickle.dumps(result))
    part.rename(part.with_suffix(""))
    raise SystemExit(code)


def free_port():
    """A port below those that Linux and macOS give to whoever asks for any, so nobody takes it meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Launch:
    """``world`` processes that run ``function``; ``results()`` waits for all but ``lost`` ranks.

    The store is the parent's, as with torchrun, or that of an earlier launch, or, with ``host``, rank 0's.
    """

    def __init__(self, function, folder, world, *, lost=(), store=None, host=False, restarts=0):
        folder.mkdir()
        self.store = store or dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self.folder, self.kept = folder, sorted(set(range(world)) - set(lost))
        common = {
            "WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port() if host else self.store.port),
            "TORCHELASTIC_USE_AGENT_STORE": str(not host),
            "TORCHELASTIC_RESTART_COUNT": str(restarts),
        }
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["pytest", "games", "torch._dynamo", "wganlab.engine.ranks"])
        self.ranks = []
        for rank in range(world):
            variables = {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            self.ranks.append(context.Process(target=worker, args=(function, folder, variables), daemon=True))
            self.ranks[-1].start()

    def results(self):
        try:
            for rank in self.kept:
                self.ranks[rank].join(DEADLINE)
                assert self.ranks[rank].exitcode in (0, FAILED), f"rank {rank} hangs or died"
        finally:
            self.kill()
        return [pickle.loads((self.folder / str(rank)).read_bytes()) for rank in self.kept]

    def kill(self):
        for rank in self.ranks:
            rank.kill()
            rank.join()

    def values(self):
        results = self.results()
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results


RECIPES = {"gan": recipes.gan, "wgan": recipes.wgan, "wgan_gp": recipes.wgan_gp}
CASES = [(name, norm, 13) for name in RECIPES for norm in ("plain", "batchnorm")]  # unequal shares
CASES += [("gan", "plain", 12), ("wgan_gp", "batchnorm", 12)]


def new_game(name, norm, m, dtype, ranks, share_norm=True):
    torch.manual_seed(0)
    generator = networks.mlp(2, 2, hidden=(16,), norm=nn.BatchNorm1d if norm == "batchnorm" else None)
    critic = networks.mlp(2, 1, hidden=(16, 16))
    generator, critic = generator.to(dtype), critic.to(dtype)
    if share_norm:
        generator = ranks.share_batchnorm(generator, m)
    return Game(generator, critic, RECIPES[name], mean=ranks.mean(m))


def normal_of(dtype, shift=0.0):
    return lambda n, rng: torch.randn(n, 2, generator=rng, dtype=dtype) + shift


def new_draw(m, dtype, ranks):
    real, prior = normal_of(dtype, 1.0), normal_of(dtype)
    return sampling.Draw(real, prior, m, seed=3, rank=ranks.rank, world=ranks.world)


def gradients(name, norm, m, dtype, ranks, share_norm=True):
    """The gradients of both players from the same weights, as the optimizers get them, and the buffers."""
    game, draw = new_game(name, norm, m, dtype, ranks, share_norm), new_draw(m, dtype, ranks)
    *_, critics = game.critic_gradient(*draw(0, 0))
    _, generators = game.generator_gradient(draw.latent(0))
    return [*game.mean(critics), *game.mean(generators), *game.generator.buffers()]


def trajectory(name, norm, m, ranks, turns=3):
    """The weights after some turns in float64, and the losses that each turn reported."""
    game = new_game(name, norm, m, torch.float64, ranks)
    steps = train(game, new_draw(m, torch.float64, ranks), turns, accelerate=ranks.average_losses)
    losses = torch.stack([torch.stack(step[1:]) for step in steps])
    ranks.check_same(game)
    return [*game.generator.state_dict().values(), *game.critic.state_dict().values()], losses


def everything():
    """What the equality tests need, computed on the ranks that there are."""
    with join() as ranks:
        return {
            "float64": {case: gradients(*case, torch.float64, ranks) for case in CASES},
            "float32": {case: gradients(*case, torch.float32, ranks) for case in CASES},
            "turns": {case: trajectory(*case, ranks) for case in CASES},
            "local": gradients("wgan_gp", "batchnorm", 12, torch.float64, ranks, share_norm=False),
        }


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def one():
    return everything()


@pytest.fixture(scope="module", params=[2, *(pytest.param(k, marks=pytest.mark.slow) for k in (3, 4))])
def many(request, tmp_path_factory):
    return Launch(everything, tmp_path_factory.mktemp("equal") / "ranks", request.param).values()


def error(these, those):
    """The largest difference of two lists of tensors, relative to the largest number of each tensor.

    A tensor counts as at least 1e-2 of the largest: before a BatchNorm, a bias has the gradient 0.
    """
    floor = 1e-2 * max(b.abs().max() for b in those)
    return max(((a - b).abs().max() / b.abs().max().clamp(min=floor)).item() for a, b in zip(these, those))  # noqa: B905


def test_gradients_of_ranks_are_those_of_one_process(one, many):
    for rank, case in itertools.product(many, CASES):
        assert error(rank["float64"][case], one["float64"][case]) < 1e-12, case
        assert error(rank["float32"][case], one["float32"][case]) < 1e-5, case


def test_several_turns_of_ranks_are_those_of_one_process(one, many):
    for rank, case in itertools.product(many, CASES):
        (weights, losses), (expected, expected_losses) = rank["turns"][case], one["turns"][case]
        assert error(weights, expected) < 1e-10, case
        assert torch.allclose(losses, expected_losses, rtol=1e-10, atol=1e-12), case


def test_all_ranks_hold_the_same_bits(many):
    first, *others = many
    for rank, case in itertools.product(others, CASES):
        for kind in ("float64", "float32"):
            assert equal(rank[kind][case], first[kind][case]), case
        (weights, losses), (expected, expected_losses) = rank["turns"][case], first["turns"][case]
        assert equal([*weights, losses], [*expected, expected_losses]), case


def test_batchnorm_with_local_statistics_is_another_algorithm(one, many):
    assert error(many[0]["local"], one["float64"]["wgan_gp", "batchnorm", 12]) > 1e-2


def goes_wrong(what, culprit, timeout=10.0, at=30):
    """Meet again and again until ``what`` happens to ``culprit``; the failure of the others is the result."""
    if what == "never comes" and int(os.environ["RANK"]) == culprit:
        time.sleep(1000)
    with join(timeout=timeout) as ranks:
        for turn in itertools.count():
            ranks.agree(turn)
            if turn == at and ranks.rank == culprit:
                FAULTS[what][0]()
            time.sleep(0.01)


def fails():
    raise DataError("one bad file")


SILENT = "rank {} is silent, it died or was stopped"
FAULTS = {  # what happens, and what the others say of it
    "stops": (lambda: os.kill(os.getpid(), signal.SIGSTOP), SILENT),
    "is killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), SILENT),
    "is late": (lambda: time.sleep(1000), "rank {} is late: it is at collective"),
    "fails": (fails, "rank {} ended with DataError: one bad file"),
    "never comes": (None, "Of 3 ranks, rank {} did not come within 10 seconds"),
}
BRIEF = [("is killed", 1), ("is late", 2), ("fails", 0)]
HOSTS = [("stops", 0), ("is killed", 0)]  # without torchrun rank 0 holds the store, and takes it along
LONG = [("stops", 2), ("never comes", 1), *HOSTS]


@pytest.fixture(scope="module")
def faults(tmp_path_factory, request):
    """All faults asked for, at once, each with three ranks of its own: most of their time is waiting."""
    folder, launches = tmp_path_factory.mktemp("faults"), {}
    asked = [getattr(item, "callspec", None) for item in request.session.items]
    for what, culprit in [
        (c.params["what"], c.params["culprit"]) for c in asked if c and {"what", "culprit"} <= c.params.keys()
    ]:
        launches[what, culprit] = Launch(
            partial(goes_wrong, what, culprit),
            folder / f"{what} {culprit}",
            world=3,
            lost=() if what == "fails" else (culprit,),
            host=(what, culprit) in HOSTS,
        )
    yield launches
    for launch in launches.values():
        launch.kill()


@pytest.mark.parametrize(
    ("what", "culprit"), BRIEF + [pytest.param(*case, marks=pytest.mark.slow) for case in LONG]
)
def test_every_other_rank_names_the_one_that(faults, what, culprit):
    found = [failure for failure in faults[what, culprit].results() if not isinstance(failure, DataError)]
    assert len(found) == 2
    for failure in found:
        assert isinstance(failure, RankError)
        assert FAULTS[what][1].format(culprit) in str(failure)
        assert failure.blame.keys() == {culprit}


def test_a_rank_that_gave_up_is_not_to_blame_but_whom_it_blamed():
    store = dist.HashStore()
    here, gave_up, lost = (Heartbeat(store, rank, 3, interval=0.01) for rank in range(3))
    for heartbeat in (here, gave_up, lost):
        heartbeat.write()
    gave_up.start()
    gave_up.close("RankError: the ranks did not meet", {2: "is silent"})
    here.exchange()
    assert here.diagnose() == {2: "is silent"}
    lost.start()
    lost.close("DataError: one bad file", {})  # what a rank says of itself counts more
    here.exchange()
    assert here.diagnose() == {2: "ended with DataError: one bad file"}


def short(fate=None):
    """A meeting of two ranks, of whom one may die in it."""
    with join(timeout=20) as ranks:
        ranks.agree(0)
        if fate == ranks.rank:
            os.kill(os.getpid(), signal.SIGKILL)
        return ranks.agree(ranks.rank), ranks.restarted


@pytest.mark.slow
def test_ranks_meet_again_after_a_restart_though_the_launcher_keeps_the_store(tmp_path):
    first = Launch(partial(short, 0), tmp_path / "first", world=2, lost=(0,))
    assert isinstance(first.results()[0], RankError)
    second = Launch(short, tmp_path / "second", world=2, store=first.store, restarts=1)
    assert second.values() == [(1, True), (1, True)]


def until_told(folder):
    """Train until a rank gets SIGTERM; the turn at which this one stopped."""
    got = []
    signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    with join() as ranks:
        game = new_game("gan", "plain", 12, torch.float32, ranks)
        for step in train(game, new_draw(12, torch.float32, ranks), 10**6):
            if step.index == 3:
                (folder / f"begun {ranks.rank}").touch()
            if number := ranks.agree(*got[:1] or [0]):
                break
    return step.index, number


def test_a_signal_to_one_rank_stops_all_at_the_same_turn(tmp_path):
    launch = Launch(partial(until_told, tmp_path), tmp_path / "ranks", world=2)
    until = time.monotonic() + DEADLINE
    while not (tmp_path / "begun 1").exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(launch.ranks[1].pid, signal.SIGTERM)
    first, second = launch.values()
    assert first == second
    assert first[0] >= 3
    assert first[1] == signal.SIGTERM


@pytest.mark.slow
def test_the_command_line_under_torchrun_trains_as_one_process_which_can_go_on(tmp_path, capsys):
    many, one = str(tmp_path / "many"), str(tmp_path / "one")
    options = ["--data", "ring", "--batch", "33", "--steps", "3"]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line = [*start, "-m", "wganlab", "train", many, *options]
    done = subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3 of 3 generator updates") == 1  # one rank speaks
    assert main(["train", one, *options]) == 0
    states = [checkpoints.read(f"{folder}/checkpoint.wgan")["game"] for folder in (many, one)]
    weights = [
        torch.cat([weight.flatten() for key in ("generator", "critic") for weight in state[key].values()])
        for state in states
    ]
    # In float32; where a gradient is nearly 0, Adam's first steps have its sign and the size of the rate.
    difference = (weights[0] - weights[1]).abs()
    assert difference.median() < 1e-6
    assert difference.max() < 0.1
    assert main(["train", many, "--steps", "5", "--resume"]) == 0
    torch.set_flush_denormal(False)
    assert "5 of 5 generator updates" in capsys.readouterr().out


# One launch for what needs ranks but no fault: each check is a function of ``ranks``, and runs on all of them


def one_ulp(ranks, culprit):
    """What ``check_same`` says before and after one weight of one rank has moved by one ulp."""
    game = new_game("wgan_gp", "batchnorm", 12, torch.float32, ranks)
    ranks.check_same(game)
    if ranks.rank == culprit:
        weight = game.critic[2].weight.data.view(-1)
        weight[17] = torch.nextafter(weight[17], torch.tensor(torch.inf))
    return failure_of(ranks.check_same, game)


def failure_of(function, *arguments):
    with pytest.raises(RankError) as caught:
        function(*arguments)
    return caught.value


def other_step(ranks):
    game = new_game("gan", "plain", 12, torch.float32, ranks)
    game.step = int(ranks.rank == 1)
    return failure_of(ranks.check_same, game)


def other_optimizer(ranks):
    game = new_game("gan", "plain", 12, torch.float32, ranks)
    game.critic_step(*new_draw(12, torch.float32, ranks)(0, 0))
    if ranks.rank == 0:
        game.critic_optimizer.state[game.critic[0].weight]["exp_avg_sq"][0, 0] += 1e-3
    return failure_of(ranks.check_same, game)


def agreed(ranks):
    return ranks.agree(15 if ranks.rank == 1 else 0), ranks.agree(0), ranks.agree([1, 2, 15][ranks.rank])


def weighted(ranks):
    """This rank's gradients of one critic's step, and what the average made of them."""
    seen, average = {}, ranks.mean(13)

    def mean(gradients):
        seen["own"] = [gradient.clone() for gradient in gradients]
        seen["all"] = average(gradients)
        return seen["all"]

    game = new_game("wgan_gp", "plain", 13, torch.float32, ranks)
    game.mean = mean
    game.critic_step(*new_draw(13, torch.float32, ranks)(0, 0))
    return seen


def layouts(ranks):
    """Gradients of other layouts and dtypes come back in their shape and dtype, after one collective."""
    gradients = [
        torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last),
        torch.ones(1).expand(5),
        torch.tensor(2.0),
        torch.arange(6.0).view(3, 2).T,
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones(2, dtype=torch.float64),
    ]
    before = ranks.heartbeat.count
    averaged = ranks.mean(13)(iter(gradients))
    alike = [(a.shape, a.dtype) == (b.shape, b.dtype) for a, b in zip(averaged, gradients, strict=True)]
    return all(alike), ranks.heartbeat.count - before, averaged


def one_divergence(ranks):
    """The turn at which each rank stops if the rows of rank 1 alone become infinite."""
    game = new_game("wgan", "plain", 12, torch.float32, ranks)
    draw = new_draw(12, torch.float32, ranks)
    draw_rows = lambda step, t: bad(draw(step, t), ranks.rank == 1 and step == 2)  # noqa: E731
    draw_rows.latent = draw.latent
    with pytest.raises(DivergenceError, match="at step 3") as caught:
        for _ in train(game, draw_rows, 9, accelerate=ranks.average_losses):
            pass
    return str(caught.value)


def bad(batch, now):
    x, z, eps = batch
    return (x / 0 if now else x), z, eps


def alone(ranks):
    """Rank 0 samples from the average by itself, and from a copy; the generator itself refuses."""
    game = new_game("wgan_gp", "batchnorm", 12, torch.float32, ranks)
    average = Average(game.generator)
    average.update(game.generator)
    plain = [type(layer) for layer in average.player.modules() if isinstance(layer, nn.BatchNorm1d)]
    before = ranks.heartbeat.count
    if ranks.rank == 0:
        average.player(torch.randn(250, 2))
        copy.deepcopy(game.generator)(torch.randn(250, 2))
        game.generator.eval()(torch.randn(250, 2))
        game.generator.train()
        with pytest.raises(InputError, match=r"rank 0 brings 4 of the 12 rows of a batch, but got 250.*copy"):
            game.generator(torch.randn(250, 2))
    return plain, ranks.heartbeat.count - before


def saved(ranks, folder):
    """Three turns, saved by rank 0; each rank loads the file in its turn and plays three more."""
    game = new_game("wgan_gp", "batchnorm", 12, torch.float64, ranks)
    average = Average(game.generator)
    for _ in train(game, new_draw(12, torch.float64, ranks), 3):
        average.update(game.generator)
    if ranks.writes:
        checkpoints.save(folder / "c", game, average=average)
    ranks.agree(0)
    return continued(ranks, folder)


def continued(ranks, folder):
    game = new_game("wgan_gp", "batchnorm", 12, torch.float64, ranks)
    average = Average(game.generator)
    checkpoints.load(folder / "c", game, average=average)
    ranks.check_same(game)
    for _ in train(game, new_draw(12, torch.float64, ranks), 6):
        average.update(game.generator)
    return [w.clone() for player in (game.generator, average.player) for w in player.state_dict().values()]


def both(folder):
    """All of the above, each in a meeting of its own, one after the other in the same processes."""
    torch.manual_seed(int(os.environ["RANK"]))
    found = {}
    with join() as ranks:
        found["ulp 2"], found["ulp 0"] = one_ulp(ranks, 2), one_ulp(ranks, 0)
    with join() as ranks:
        for check in (other_step, other_optimizer, agreed, weighted, layouts, one_divergence, alone):
            found[check.__name__] = check(ranks)
        found["saved"] = saved(ranks, folder)
    return found


@pytest.fixture(scope="module")
def odds(tmp_path_factory):
    """The results of ``both`` on three ranks, and the folder with the checkpoint."""
    folder = tmp_path_factory.mktemp("odds")
    return Launch(partial(both, folder), folder / "ranks", world=3).values(), folder


@pytest.mark.parametrize("culprit", [0, 2])
def test_one_ulp_in_one_weight_of_one_rank_is_found_and_the_rank_named(odds, culprit):
    for rank in odds[0]:
        failure = rank[f"ulp {culprit}"]
        assert f"step 0: 'critic.2.weight' of rank {culprit} differs from all others" in str(failure)
        assert failure.blame == {culprit: "differs in 'critic.2.weight'"}


def test_another_step_and_another_optimizer_are_found_too(odds):
    for rank in odds[0]:
        assert rank["other_step"].blame == {1: "differs in 'step'"}
        assert "optimizer" in str(rank["other_optimizer"])
        assert rank["other_optimizer"].blame.keys() == {0}


def test_ranks_agree_on_the_largest_flag(odds):
    assert [rank["agreed"] for rank in odds[0]] == [(15, 0, 15)] * 3


def test_the_mean_is_the_sum_of_each_gradient_times_its_share_of_the_rows(odds):
    ranks = odds[0]
    for k, averaged in enumerate(ranks[0]["weighted"]["all"]):
        parts = [rank["weighted"]["own"][k] * (n / 13) for n, rank in zip((4, 4, 5), ranks, strict=True)]
        orders = [(parts[a] + parts[b]) + parts[c] for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1))]
        found = torch.stack([averaged == order for order in orders])  # each number is summed in some order
        assert found.any(0).all()


def test_gradients_come_back_from_one_collective_in_their_shape_and_dtype(odds):
    for alike, collectives, averaged in (rank["layouts"] for rank in odds[0]):
        assert alike
        assert collectives == 1
        assert averaged[1].tolist() == pytest.approx([1.0] * 5)
        assert averaged[2].item() == pytest.approx(2.0)
        assert averaged[3].tolist() == [pytest.approx([0.0, 2.0, 4.0]), pytest.approx([1.0, 3.0, 5.0])]


def test_if_one_rank_diverges_all_do_at_the_same_turn(odds):
    first, *others = (rank["one_divergence"] for rank in odds[0])
    assert others == [first, first]


def test_rank_0_alone_can_sample_from_the_average_since_a_copy_is_plain(odds):
    for rank in odds[0]:
        kinds, collectives = rank["alone"]
        assert kinds == [nn.BatchNorm1d]
        assert collectives == 0


def test_what_three_ranks_saved_goes_on_on_one_with_the_same_names_and_numbers(odds):
    with join() as ranks:
        alone = continued(ranks, odds[1])
    for rank in odds[0]:
        assert error(rank["saved"], alone) < 1e-10


# Without processes: BatchNorm whose ranks are threads, and what one rank alone decides


class Threads:
    """Ranks that are threads: ``mean(rank)`` is the weighted sum of what all of them brought."""

    def __init__(self, sizes):
        self.sizes, self.slots = sizes, [None] * len(sizes)
        self.barrier = threading.Barrier(len(sizes), timeout=DEADLINE)

    def mean(self, rank):
        def joint(a):
            self.slots[rank] = a * (self.sizes[rank] / sum(self.sizes))
            self.barrier.wait()
            total = torch.stack(self.slots).sum(0)
            self.barrier.wait()
            return total

        return joint

    def run(self, function):
        with ThreadPoolExecutor(len(self.sizes)) as pool:
            return list(pool.map(function, range(len(self.sizes))))


LAYERS = {
    "rows": (partial(nn.BatchNorm1d, 3), (7, 3)),
    "sequences": (partial(nn.BatchNorm1d, 3), (7, 3, 4)),
    "pictures": (partial(nn.BatchNorm2d, 3), (7, 3, 4, 5)),
    "no affine": (partial(nn.BatchNorm2d, 3, affine=False), (7, 3, 2, 2)),
    "cumulative": (partial(nn.BatchNorm2d, 3, momentum=None), (7, 3, 2, 2)),
    "untracked": (partial(nn.BatchNorm2d, 3, track_running_stats=False), (7, 3, 2, 2)),
    "eps": (partial(nn.BatchNorm2d, 3, eps=0.3, momentum=0.5), (7, 3, 2, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_joint_batchnorm_is_batchnorm_of_the_joint_batch_with_all_its_derivatives(name):
    make, shape = LAYERS[name]
    torch.manual_seed(1)
    sizes = [1, 4, 2]
    xs = [100 + torch.randn(shape, dtype=torch.float64) for _ in range(2)]
    target = torch.randn(shape, dtype=torch.float64)
    layer = make(dtype=torch.float64)
    for weight in layer.parameters():
        nn.init.normal_(weight)
    threads = Threads(sizes)

    def rank_part(rank):
        stop = sum(sizes[: rank + 1])
        rows = slice(stop - sizes[rank], stop)
        mine = share_statistics(copy.deepcopy(layer), rank, sizes, threads.mean(rank))
        return run_layer(mine, [x[rows] for x in xs], target[rows])

    whole, parts = run_layer(copy.deepcopy(layer), xs, target), threads.run(rank_part)
    shares = [size / sum(sizes) for size in sizes]
    assert torch.allclose(torch.cat([part[0] for part in parts]), whole[0], rtol=1e-10, atol=1e-12)
    dx = torch.cat([share * part[1] for share, part in zip(shares, parts, strict=True)])
    assert torch.allclose(dx, whole[1], rtol=1e-10, atol=1e-12)
    for k, expected in enumerate(whole[2]):
        found = sum(share * part[2][k] for share, part in zip(shares, parts, strict=True))
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12)
    for part in parts:
        assert part[3].keys() == whole[3].keys()
        assert all(torch.allclose(part[3][key], whole[3][key], rtol=1e-12) for key in whole[3])
        assert torch.equal(part[4], parts[0][4])
        assert torch.allclose(part[4], whole[4], rtol=1e-12)


def run_layer(layer, xs, target):
    """y, dL/dx, dL/dweights, the state, and y in evaluation mode for a fixed x; L is a mean over rows."""
    layer(xs[0])
    x = xs[1].clone().requires_grad_()
    y = layer(x)
    loss = (y * target).flatten(1).sum(1).square().mean()
    dx, *weights = torch.autograd.grad(loss, [x, *layer.parameters()])
    state = {key: value.clone() for key, value in layer.state_dict().items()}
    fixed = torch.linspace(90, 110, 3 * 4, dtype=torch.float64).view(4, 3, *[1] * (x.ndim - 2))
    out = layer.eval()(fixed) if layer.track_running_stats else torch.zeros(1)
    return y.detach(), dx, weights, state, out.detach()


def test_one_process_alone_meets_nobody():
    with join() as ranks:
        assert (ranks.rank, ranks.world, ranks.writes, ranks.restarted) == (0, 1, True, False)
        game = new_game("gan", "batchnorm", 5, torch.float32, ranks)
        assert not any(isinstance(layer, JointBatchNorm) for layer in game.generator)
        gradients = [torch.ones(2)]
        assert ranks.mean(5)(gradients) is gradients
        assert ranks.average_losses(game) is game
        assert ranks.agree(3) == 3
        ranks.check_same(game)
    assert not dist.is_initialized()


@pytest.mark.parametrize("call", ["mean", "share_batchnorm"])
@pytest.mark.parametrize("m", [2, 3.0, 0])
def test_a_batch_needs_a_row_for_each_rank(call, m):
    ranks = Ranks(0, 3, torch.device("cpu"))
    arguments = (m,) if call == "mean" else (nn.Linear(1, 1), m)
    with pytest.raises(InputError, match=rf"3 ranks need a batch of m >= 3 rows, got m = {m}"):
        getattr(ranks, call)(*arguments)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_join_needs_a_timeout(timeout):
    with pytest.raises(InputError, match="join needs a timeout > 0"), join(timeout):
        pass


def test_join_cannot_reach_a_store_that_is_not_there(monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    with pytest.raises(RankError, match="Rank 1 cannot reach the store"), join(timeout=0.3):
        pass


def test_one_rank_reports(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert not should_report()
    assert not should_report(InputError("the same argument everywhere"))
    assert should_report(DataError("a file that only this machine lacks"))
    monkeypatch.setenv("RANK", "0")
    assert should_report()
    assert should_report(InputError("an argument"))


def meets_an_error(at):
    """The kind of failure that this rank met, and whether it is the one to print it."""
    try:
        with join(timeout=10) as ranks:
            ranks.agree(0)
            if at in ("all", f"rank {ranks.rank}"):
                raise DataError("a file is missing")
            ranks.agree(0)
    except WganlabError as failure:
        return type(failure).__name__, should_report(failure)


@pytest.mark.parametrize("at", ["all", "rank 0", "rank 1"])
def test_one_rank_reports_what_all_have_met(tmp_path, at):
    results = Launch(partial(meets_an_error, at), tmp_path / "ranks", world=2).values()
    reporters = [rank for rank, (kind, reports) in enumerate(results) if reports and kind == "DataError"]
    assert reporters == [1 if at == "rank 1" else 0]
    assert sum(reports for _, reports in results) == (1 if at == "all" else 2)
