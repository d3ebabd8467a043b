"""A whole step as one CUDA graph: recorded once, then replayed with a single launch.

Small networks leave a GPU waiting for Python, which launches some hundred kernels a step. A graph holds the
kernels of a step, their order and the addresses they read and write; replaying it costs one launch. All
that needs a device stands in ``Tape``; the rest is proved on a CPU, with a tape that runs the step again.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Optimizer

from .errors import InputError
from .training import Game

WARM = 3  # ordinary steps before a graph is recorded: they make the optimizer's state and choose kernels


def game_of(step: Callable) -> Game:
    """The game whose step this is, through wrappers made with ``functools.wraps``; raises ``InputError``."""
    method = inspect.unwrap(step, stop=inspect.ismethod)  # a method's function may itself be wrapped
    owner = getattr(method, "__self__", None)
    game = getattr(owner, "game", owner)  # fast's steps belong to an object that holds the game
    if not isinstance(game, Game):
        raise InputError(
            f"An acceleration takes game.critic_step or game.generator_step, or a wrapper that names it by "
            f"functools.wraps, but got {step!r}."
        )
    return game


def optimizer_of(step: Callable) -> Optimizer:
    """The optimizer that this step moves."""
    game = game_of(step)
    return game.critic_optimizer if step.__name__ == "critic_step" else game.generator_optimizer


class Tape:
    """The calls that need a CUDA device, and nothing else; one tape holds one graph."""

    device = "cuda"

    def aside(self, run: Callable) -> tuple[Tensor, ...]:
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


def graphed(step: Callable, *, tape: Callable[[], Tape] = Tape) -> Callable:
    """The step as a CUDA graph: 3 ordinary steps, then a recording that is replayed.

    For ``train(..., accelerate=graphed)``, or in a ``chain`` behind what changes the step. Every call is one
    update, the results are new tensors, and nothing is stored in the game: its state can be saved, loaded and
    trained without graphs. Calls on a CPU, and batches of another shape than the first, take the plain step.

    Python runs only while recording, so what it decides is then fixed: that is looked at on each call, and
    after ``load_state_dict``, ``eval()``, new weights or another number of the optimizer, three ordinary
    steps and a new recording follow. A learning rate that changes becomes a number on the device, which the
    graph reads as float32; until then a graph and the plain step agree bit for bit. A step must not ask
    for a tensor's value (``item``, a branch on it), and ``mean`` must stay on the device (NCCL, not gloo).
    Raises ``InputError`` where recording fails, and for what is not a game's step.
    """
    return functools.wraps(step)(Graphed(step, tape))


class Graphed:
    """One step, its static inputs and outputs, and the recording if there is one."""

    def __init__(self, step: Callable, make_tape: Callable[[], Tape]):
        self.step, self.make_tape = step, make_tape
        self.game, self.optimizer = game_of(step), optimizer_of(step)
        self.tape, self.warm, self.rates = None, 0, None
        players = (self.game.generator, self.game.critic)  # listed once: walking through them takes longer
        self.modules = [module for player in players for module in player.modules()]  # than a replay
        self.tensors = [part for player in players for part in (*player.parameters(), *player.buffers())]
        self.inputs: list[Tensor] = []

    def __call__(self, *batch: Tensor) -> Tensor | tuple[Tensor, ...]:
        if not self.fits(batch):
            return self.step(*batch)
        if self.tape and self.known != self.state():
            self.tape, self.warm = None, 0
            if self.lr != self.current_rates():
                self.rates = [batch[0].new_tensor(lr, dtype=torch.float32) for lr in self.current_rates()]
        if not self.tape and self.warm < WARM:
            self.warm += 1
            return copied(self.make_tape().aside(lambda: self.step(*batch)))
        if not self.tape:
            self.record(batch)
        for static, value in zip(self.inputs, batch, strict=True):
            static.copy_(value)
        for rate, lr in zip(self.rates or [], self.current_rates(), strict=bool(self.rates)):
            rate.fill_(lr)
        self.tape.play()
        return copied(self.outputs)

    def fits(self, batch: tuple[Tensor, ...]) -> bool:
        """Whether the batch is on the tape's device and of the first batch's shapes and types."""
        if any(value.device.type != self.make_tape.device for value in batch):
            return False
        self.inputs = self.inputs or [torch.empty_like(value) for value in batch]
        return all(
            static.shape == value.shape and static.dtype == value.dtype
            for static, value in zip(self.inputs, batch, strict=True)
        )

    def record(self, batch: tuple[Tensor, ...]) -> None:
        """Record the step on the static inputs; no weight moves."""
        tape = self.make_tape()
        with recordable(self.optimizer, self.rates):
            try:
                self.outputs = tape.record(lambda: self.step(*self.inputs))
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[0]
                raise InputError(
                    f"graphed could not record {self.step.__name__}: {reason}. A step must not ask for a "
                    f"tensor's value (item, a branch on it) nor leave the device; train without graphed."
                ) from error
        self.tape, self.lr = tape, self.current_rates()
        self.known = self.state()

    def current_rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state(self) -> tuple:
        """All that a recording has fixed: addresses, modes, and the optimizer's numbers."""
        tensors = list(self.tensors)
        for entries in self.optimizer.state.values():
            tensors += [value for value in entries.values() if torch.is_tensor(value)]
        numbers = [
            (key, value)
            for group in self.optimizer.param_groups
            for key, value in group.items()
            if key != "params" and not (key == "lr" and self.rates)
        ]
        modes = [module.training for module in self.modules]
        return [value.data_ptr() for value in tensors], numbers, modes, self.game.recipe


def copied(result: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    """The losses as tensors that no later step overwrites."""
    return result.clone() if torch.is_tensor(result) else tuple(value.clone() for value in result)


@contextmanager
def recordable(optimizer: Optimizer, rates: list[Tensor] | None) -> Iterator[None]:
    """The optimizer with its counts on the device, ``capturable``, and with ``rates``, while it is recorded.

    The flag is taken back at the end: outside a recording PyTorch warns of it, and a checkpoint with it
    would not train on a CPU.
    """
    for weight, entries in optimizer.state.items():
        if torch.is_tensor(entries.get("step")):  # RMSprop's count lives on the CPU, a loaded one too
            entries["step"] = entries["step"].to(weight.device)
    kept = [{key: group[key] for key in ("capturable", "lr") if key in group} for group in groups(optimizer)]
    for k, group in enumerate(groups(optimizer)):
        if "capturable" in group:
            group["capturable"] = True
        if rates:
            group["lr"] = rates[k]
    try:
        yield
    finally:
        for group, values in zip(groups(optimizer), kept, strict=True):
            group.update(values)


def groups(optimizer: Optimizer) -> list[dict]:
    """The optimizer's groups of weights."""
    return optimizer.param_groups
