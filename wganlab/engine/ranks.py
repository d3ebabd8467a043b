"""Many devices as one: N ranks that torchrun starts, each with its rows of the joint batch.

Without torchrun there is one rank, for which every method does nothing, so that a script is the same:

>>> from wganlab import networks, recipes, sampling
>>> from wganlab.training import Game, train
>>> with join() as ranks:
...     generator = ranks.share_batchnorm(networks.mlp(2, 2, hidden=(8,)), 16)
...     game = Game(generator, networks.mlp(2, 1, hidden=(8,)), recipes.wgan_gp, mean=ranks.mean(16))
...     draw = sampling.Draw(
...         sampling.ring(), sampling.normal(2), 16, rank=ranks.rank, world=ranks.world
...     )
...     for step in train(game, draw, until=2, accelerate=ranks.average_losses):
...         pass
...     ranks.check_same(game)
>>> ranks.rank, ranks.world, ranks.writes
(0, 1, True)

On the CPU ranks meet by gloo, on CUDA by NCCL, one GPU a rank. Each method must be called by all ranks, in
the same order. What must not differ between ranks: the seed, the recipe, the data, m. What each rank has for
itself: dropout, and the standard deviation of the rows in ``constraints.Dragan``.
"""

import copy
import hashlib
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..checkpoints import tensors
from ..errors import InputError, RankError
from ..sampling import shard
from ..training import Game, identity
from .batchnorm import share_statistics
from .heartbeat import Heartbeat

# torchrun keeps one store through all restarts (but for ``TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1``), and gloo
# would take the addresses of dead processes from it. So each start, and each meeting after it, has its own
# names in the store.
MEETINGS = itertools.count()


class Ranks:
    """This process among ``world`` of them: ``rank`` from 0, its ``device``, and what they do together.

    ``writes`` is True for rank 0, the one that saves and prints. ``restarted`` is True if torchrun has
    started these processes again after a failure. Every method that meets the other ranks raises
    ``RankError`` if they do not come within the timeout.
    """

    def __init__(self, rank: int, world: int, device: torch.device, heartbeat: Heartbeat | None = None):
        self.rank, self.world, self.device, self.heartbeat = rank, world, device, heartbeat
        self.writes = rank == 0
        self.restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0

    def reduce(self, tensor: Tensor, op: dist.ReduceOp = dist.ReduceOp.SUM) -> Tensor:
        """``tensor``, in place the sum over ranks (or another ``op``)."""
        if self.world > 1:
            self.heartbeat.count += 1
            try:
                dist.all_reduce(tensor, op)
            except RuntimeError as error:
                what = f"The ranks did not meet at collective {self.heartbeat.count}"
                raise blame(self.heartbeat, what, error) from error
        return tensor

    def sizes(self, m: int) -> list[int]:
        """The ranks' numbers of rows of a joint batch of m; raises ``InputError`` for m < world."""
        if not isinstance(m, int) or m < self.world:
            raise InputError(f"{self.world} ranks need a batch of m >= {self.world} rows, got m = {m!r}.")
        return [len(range(m)[shard(m, rank, self.world)]) for rank in range(self.world)]

    def mean(self, m: int) -> Callable[[Iterable[Tensor]], list[Tensor]]:
        """For ``Game(mean=)``: gradients to their mean over ranks, weighted by each one's rows over m.

        One collective over one flat buffer. Raises ``InputError`` for m < world.
        """
        weight = self.sizes(m)[self.rank] / m
        if self.world == 1:
            return identity

        def averaged(gradients: Iterable[Tensor]) -> list[Tensor]:
            gradients = list(gradients)
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients]).mul_(weight)
            parts = self.reduce(flat).split([gradient.numel() for gradient in gradients])
            return [part.view_as(old).to(old.dtype) for part, old in zip(parts, gradients, strict=True)]

        return averaged

    def average_losses(self, game: Game) -> Game:
        """For ``train(accelerate=)``: the game whose losses are those of the joint batch.

        The losses of a turn are averaged in one collective at its end, after the generator's step: until
        then those that a critic's step returned are this rank's own. So all ranks see a divergence, and at
        the same turn.
        """
        if self.world == 1:
            return game
        twin = copy.copy(game)
        losses = torch.zeros(4)  # the critic's, its penalty, the generator's, and 1: their sums over ranks

        def critic_step(x: Tensor, z: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal losses
            loss, penalty = game.critic_step(x, z, eps)
            losses = torch.stack([loss, penalty, loss, loss])
            return losses[0], losses[1]

        def generator_step(z: Tensor) -> Tensor:
            losses[2], losses[3] = game.generator_step(z), 1.0
            if self.device.type == "cuda":  # on the CPU first: a GPU would wait for a lost rank for ever
                self.agree(0)
            total = self.reduce(losses.mul_(len(z)))
            total.div_(total[3].clone())
            return total[2]

        twin.critic_step, twin.generator_step = critic_step, generator_step
        return twin

    def share_batchnorm(self, player: nn.Module, m: int) -> nn.Module:
        """``player``, each BatchNorm in it with the statistics of the joint batch of m.

        Changes ``player``; weights, buffers and their names stay, so its checkpoints are those of one
        process. A deep copy of it is plain. Raises ``InputError`` for m < world.
        """
        sizes = self.sizes(m)
        if self.world == 1:
            return player
        return share_statistics(player, self.rank, sizes, lambda a: self.reduce(a * (sizes[self.rank] / m)))

    def agree(self, flag: int) -> int:
        """The largest ``flag`` of all ranks, such as the number of a signal that one of them got.

        >>> with join() as ranks:
        ...     ranks.agree(15)
        15
        """
        return flag if self.world == 1 else int(self.reduce(torch.tensor(flag), dist.ReduceOp.MAX))

    def check_same(self, game: Game) -> None:
        """Raise ``RankError`` unless all ranks hold the same game, to the last bit.

        Compared are digests of every tensor of ``game.state_dict()``; named are the ranks that differ from
        the majority, and the first tensor in which they do.
        """
        if self.world == 1:
            return
        state = tensors(game.state_dict())
        rows = torch.zeros(self.world, 1 + len(state), dtype=torch.int64)
        rows[self.rank] = torch.tensor([game.step, *map(digest, state.values())])
        columns = self.reduce(rows).T.tolist()
        for name, column in zip(["step", *state], columns, strict=True):
            majority, votes = Counter(column).most_common(1)[0]
            if votes < self.world:
                clear = votes > self.world / 2
                odd = [r for r in range(self.world) if not clear or column[r] != majority]
                rest = "all others" if clear else "each other, and no majority says which is right"
                who = f"rank{'s' * (len(odd) > 1)} {', '.join(map(str, odd))}"
                raise RankError(
                    f"The ranks are no longer the same at step {game.step}: '{name}' of {who} differs from "
                    f"{rest}. Look for a step that is not deterministic or a faulty device, and continue "
                    f"from the last checkpoint.",
                    dict.fromkeys(odd, f"differs in '{name}'"),
                )


def blame(heartbeat: Heartbeat, what: str, error: RuntimeError) -> RankError:
    """The failure ``what`` and whose fault it is, as far as the heartbeats tell; else what ``error`` says."""
    found = heartbeat.diagnose()
    why = "; ".join(f"rank {r} {reason}" for r, reason in sorted(found.items())) or str(error).splitlines()[0]
    remedy = "The last checkpoint is untouched: mend the cause and start again with --resume."
    return RankError(f"{what}: {why}. {remedy}", found)


def digest(tensor: Tensor) -> int:
    """64 bits that any change of a bit of ``tensor`` changes, as an int64."""
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=True)


@contextmanager
def join(timeout: float = 60.0, device: str = "auto") -> Iterator[Ranks]:
    """Meet the other ranks that torchrun started; within the block they work as one.

    ``timeout`` is in seconds: a rank that is late, stopped or dead for so long ends the others with a
    ``RankError`` that names it. ``device`` is "auto", "cpu" or "cuda". Raises ``InputError`` for a timeout
    that is not positive, and for CUDA without a GPU for each rank of this machine.
    """
    if not timeout > 0:
        raise InputError(f"join needs a timeout > 0 seconds, got {timeout}. A usual value is 60.")
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    place = device_for(device, int(os.environ.get("LOCAL_RANK", "0")))
    if world == 1:
        yield Ranks(0, 1, place)
        return
    heartbeat = rendezvous(rank, world, place, timeout)
    try:
        yield Ranks(rank, world, place, heartbeat)
    except BaseException as error:
        alike = heartbeat.close(f"{type(error).__name__}: {error}", getattr(error, "blame", {}))
        error.silent = rank != reporter(world, error) if isinstance(error, RankError) else rank > 0 and alike
        raise
    else:
        heartbeat.close("done", {})
    finally:
        dist.destroy_process_group()


def should_report(error: Exception | None = None) -> bool:
    """Whether this rank is the one to print ``error``, which all ranks may have met, or anything else.

    It is rank 0, unless rank 0 did not meet the same error; for one that blames ranks, the first that is not
    blamed. Of an ``InputError`` outside ``join`` only rank 0 does, since all have the same arguments.
    """
    first = os.environ.get("RANK", "0") == "0"
    if error is None:
        return first
    return not getattr(error, "silent", isinstance(error, InputError) and not first)


def reporter(world: int, error: RankError) -> int:
    """The first rank that ``error`` does not blame."""
    return min(set(range(world)) - error.blame.keys(), default=0)


def device_for(name: str, local_rank: int) -> torch.device:
    """The device of that name for the ``local_rank``-th process of this machine."""
    gpus = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not gpus):
        return torch.device("cpu")
    if local_rank >= gpus:
        found = f"PyTorch sees {gpus} for rank {local_rank} of this machine"
        remedy = "Start as many ranks as there are GPUs, or use --device cpu."
        raise InputError(f"Each rank needs a GPU of its own, and {found}. {remedy}")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def rendezvous(rank: int, world: int, place: torch.device, timeout: float) -> Heartbeat:
    """Set up the process group and this rank's heartbeat; raises ``RankError`` for ranks that do not come."""
    interval = min(1.0, timeout / 20)
    launcher = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    start = f"wganlab/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{next(MEETINGS)}"
    # The store that gloo uses is not the heartbeat's: a call that waits would keep the other from it.
    store = dist.PrefixStore(start, connect(rank, timeout, host=rank == 0 and not launcher))
    beats = dist.PrefixStore(start, connect(rank, timeout, host=False))
    heartbeat = Heartbeat(beats, rank, world, interval, None if launcher else 0)
    heartbeat.write()
    until = time.monotonic() + timeout
    while missing := {r: "did not come" for r, key in enumerate(heartbeat.keys) if not beats.check([key])}:
        if time.monotonic() > until:
            who = f"rank{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}"
            error = RankError(f"Of {world} ranks, {who} did not come within {timeout:g} seconds.", missing)
            error.silent = rank != reporter(world, error)
            raise error
        time.sleep(interval / 10)
    heartbeat.start()
    # The time that a diagnosis and the closing record take is part of the timeout.
    limit = timedelta(seconds=timeout - 7 * interval)
    backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=limit)
    except RuntimeError as error:
        raise blame(heartbeat, "The ranks cannot connect", error) from error
    return heartbeat


def connect(rank: int, timeout: float, *, host: bool) -> dist.TCPStore:
    """A connection to the common store, which the launcher holds, or else rank 0 (``host``)."""
    name, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        return dist.TCPStore(name, port, None, host, timedelta(seconds=timeout), wait_for_workers=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise RankError(f"Rank {rank} cannot reach the store at {name}:{port}: {reason}") from error
