"""A whole step as one CUDA graph: recorded once, then replayed with a single launch.

Small networks leave a GPU waiting for Python, which launches some hundred kernels a step. A graph holds the
kernels of a step, their order and the addresses they read and write; replaying it costs one launch. All
that needs a device stands in ``CudaGraph``; the rest is proved on a CPU, with one that runs the step again.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import InputError
from ..training import Game
from ..tricks import Trick

WARMUP = 3  # ordinary steps before a graph is recorded: they make the optimizer's state and choose kernels


class CudaGraph:
    """The calls that need a CUDA device, and nothing else; one object holds one graph."""

    device = "cuda"

    def on_side_stream(self, run: Callable) -> tuple[Tensor, ...]:
        """``run()`` on a stream of its own, as PyTorch asks for before a recording."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = run()
        torch.cuda.current_stream().wait_stream(stream)
        return result

    def record(self, run: Callable) -> tuple[Tensor, ...]:
        """Note what ``run`` launches without doing it; the tensors that ``play`` will fill."""
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            return run()

    def play(self) -> None:
        """Do what was recorded."""
        self.graph.replay()


def graphed(game: Game, *, graph: type[CudaGraph] = CudaGraph) -> Game:
    """The game with each step as a CUDA graph: 3 ordinary steps, then a recording that is replayed.

    For ``train(..., accelerate=graphed)``, or in a ``chain`` behind what changes the step. Every call is one
    update, the results are new tensors, and nothing is stored in the game: its state can be saved, loaded and
    trained without graphs. Calls on a CPU, and batches of another shape than the first, take the plain step.

    Python runs only while recording, so what it decides is then fixed: that is looked at on each call, and
    after ``load_state_dict``, ``eval()``, new weights or another number of the optimizer, three ordinary
    steps and a new recording follow. A learning rate that changes becomes a number on the device, which the
    graph reads as float32; until then a graph and the plain step agree bit for bit. A step must not ask
    for a tensor's value (``item``, a branch on it), and ``mean`` must stay on the device (NCCL, not gloo).
    Raises ``InputError`` where recording fails, and for a ``tricks.Trick``, whose Python would run only while
    recording; the tricks that are layers or draws are recorded as they are.

    >>> from wganlab import networks, recipes
    >>> game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan)
    >>> graphed(game).generator_step(torch.zeros(4, 2)).shape  # on a CPU the plain step
    torch.Size([])
    """
    if isinstance(game, Trick):
        rule = "graphed records steps without the Python between them"
        raise InputError(f"{rule}, and {type(game).__name__} needs it. Train without it, or with fast.")
    twin = copy.copy(game)
    twin.critic_step = GraphedStep(game.critic_step, game, game.critic_optimizer, graph)
    twin.generator_step = GraphedStep(game.generator_step, game, game.generator_optimizer, graph)
    return twin


class GraphedStep:
    """One step, its static inputs and outputs, and the recording if there is one."""

    def __init__(self, step: Callable, game: Game, optimizer: Optimizer, new_graph: type[CudaGraph]):
        self.step, self.game, self.optimizer, self.new_graph = step, game, optimizer, new_graph
        self.graph, self.warmed, self.rates = None, 0, None
        # Listed once: to walk through the players takes longer than a replay.
        players = nn.ModuleList([game.generator, game.critic])
        self.modules = list(players.modules())
        self.tensors = [*players.parameters(), *players.buffers()]
        self.inputs: list[Tensor] = []

    def __call__(self, *batch: Tensor) -> Tensor | tuple[Tensor, ...]:
        if not self.fits(batch):
            return self.step(*batch)
        if self.graph and self.known != self.state():
            self.graph, self.warmed = None, 0
            if self.lr != self.current_rates():
                self.rates = [batch[0].new_tensor(lr, dtype=torch.float32) for lr in self.current_rates()]
        if not self.graph and self.warmed < WARMUP:
            self.warmed += 1
            return cloned(self.new_graph().on_side_stream(lambda: self.step(*batch)))
        if not self.graph:
            self.record(batch)
        for static, value in zip(self.inputs, batch, strict=True):
            static.copy_(value)
        for rate, lr in zip(self.rates or [], self.current_rates(), strict=bool(self.rates)):
            rate.fill_(lr)
        self.graph.play()
        return cloned(self.outputs)

    def fits(self, batch: tuple[Tensor, ...]) -> bool:
        """Whether the batch is on the graph's device and of the first batch's shapes and types."""
        if any(value.device.type != self.new_graph.device for value in batch):
            return False
        self.inputs = self.inputs or [torch.empty_like(value) for value in batch]
        pairs = zip(self.inputs, batch, strict=True)
        return all(static.shape == value.shape and static.dtype == value.dtype for static, value in pairs)

    def record(self, batch: tuple[Tensor, ...]) -> None:
        """Record the step on the static inputs; no weight moves."""
        graph = self.new_graph()
        with capturable(self.optimizer, self.rates):
            try:
                self.outputs = graph.record(lambda: self.step(*self.inputs))
            except RuntimeError as error:
                what = f"{self.step.__name__}: {str(error).strip().splitlines()[0]}"
                rule = "A step must not ask for a tensor's value (item, a branch on it) nor leave the device"
                raise InputError(f"graphed could not record {what}. {rule}; train without it.") from error
        self.graph, self.lr, self.known = graph, self.current_rates(), self.state()

    def current_rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state(self) -> tuple:
        """All that a recording has fixed: addresses, modes, and the optimizer's numbers."""
        entries = [value for each in self.optimizer.state.values() for value in each.values()]
        tensors = [*self.tensors, *filter(torch.is_tensor, entries)]
        free = {"params", "lr"} if self.rates else {"params"}
        numbers = [{key: group[key] for key in group.keys() - free} for group in self.optimizer.param_groups]
        modes = [module.training for module in self.modules]
        return [value.data_ptr() for value in tensors], numbers, modes, self.game.recipe


def cloned(result: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    """The losses as tensors that no later step overwrites."""
    return result.clone() if torch.is_tensor(result) else tuple(value.clone() for value in result)


@contextmanager
def capturable(optimizer: Optimizer, rates: list[Tensor] | None) -> Iterator[None]:
    """The optimizer with its counts on the device, ``capturable``, and with ``rates``, while it is recorded.

    The flag is taken back at the end: outside a recording PyTorch warns of it, and a checkpoint with it
    would not train on a CPU.
    """
    for weight, entries in optimizer.state.items():
        if torch.is_tensor(entries.get("step")):  # RMSprop's count lives on the CPU, a loaded one too
            entries["step"] = entries["step"].to(weight.device)
    kept = [dict(group) for group in optimizer.param_groups]
    for k, group in enumerate(optimizer.param_groups):
        if "capturable" in group:
            group["capturable"] = True
        if rates:
            group["lr"] = rates[k]
    try:
        yield
    finally:
        for group, values in zip(optimizer.param_groups, kept, strict=True):
            group.update(values)
