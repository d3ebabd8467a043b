"""Decorators for ``train(..., accelerate=...)``: a step in, the same step in another speed out.

``compiled``, ``autocast(dtype)`` and ``graphed`` each take ``game.critic_step`` or ``game.generator_step``
and give a function of the same tensors; ``chain`` applies several. For float32 products on the tensor cores
of an NVIDIA GPU (TF32, 10 bits of mantissa) say ``torch.set_float32_matmul_precision("high")``: PyTorch's
default keeps float32 for matrices, and TF32 for convolutions (``torch.backends.cudnn.allow_tf32``).
"""

import copy
import functools
import inspect
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from .constraints import Constraint
from .errors import InputError
from .graphs import game_of, graphed, optimizer_of
from .training import Game, follow, identity, weights_of

__all__ = ["autocast", "chain", "compiled", "describe", "flops", "graphed", "threads_for"]


def chain(*decorators: Callable[[Callable], Callable]) -> Callable[[Callable], Callable]:
    """One decorator that applies several, the first one first: ``chain(f, g)(step)`` is ``g(f(step))``.

    ``autocast`` comes first, then ``compiled`` or ``fast``, then ``graphed``, then ``ranks.shared``.

    >>> chain(lambda step: step + ["f"], lambda step: step + ["g"])(["step"])
    ['step', 'f', 'g']
    """

    def decorate(step: Callable) -> Callable:
        for decorator in decorators:
            step = decorator(step)
        return step

    return decorate


# Compiled


@dataclass
class Waiting:
    """An optimizer that holds its weights and does not move them."""

    param_groups: list

    def step(self) -> None:
        """Nothing: the update is made outside the compiled graph."""


@dataclass(frozen=True)
class Unprojected(Constraint):
    """A constraint with its penalty and without its projection."""

    of: Constraint

    def penalty(self, critic: nn.Module, x: Tensor, x_fake: Tensor, eps: Tensor) -> Tensor:
        return self.of.penalty(critic, x, x_fake, eps)


def still(game: Game) -> Game:
    """The same players in a game whose steps give each weight its gradient, and move nothing."""
    twin = copy.copy(game)
    twin.critic_optimizer = Waiting(game.critic_optimizer.param_groups)
    twin.generator_optimizer = Waiting(game.generator_optimizer.param_groups)
    twin.recipe = copy.copy(game.recipe)
    object.__setattr__(twin.recipe, "constraint", Unprojected(game.recipe.constraint))
    twin.mean = identity
    return twin


def compiled(step: Callable, *, backend: str = "inductor") -> Callable:
    """The step with its losses and gradients compiled by ``torch.compile`` as one graph.

    The update itself (``mean``, the optimizer's fused kernel, the projection) stays outside the graph. The
    penalty's gradient is differentiated inside it, which PyTorch does only with
    ``torch._dynamo.config.trace_autograd_ops``, set here for the call alone; compiled code that is
    differentiated twice from outside has been silently wrong (pytorch issues 91469 and 181581), so the tests
    compare this one with float64 autograd at 1e-12. The first call of each shape takes seconds to minutes.
    ``backend`` is that of ``torch.compile``; "aot_eager" traces and differentiates without compiling.

    Raises ``InputError`` where no C++ compiler is found, for PyTorch without that option, for a step that
    another decorator has changed, and at the first call for a player that cannot be traced.
    """
    if not inspect.ismethod(step):
        raise InputError(
            "compiled takes game.critic_step or game.generator_step themselves. In a chain only autocast "
            "stands before it."
        )
    game, optimizer = game_of(step), optimizer_of(step)
    check_compiler(backend)
    validates = torch.distributions.Distribution._validate_args
    gradients = torch.compile(
        getattr(still(game), step.__name__), fullgraph=True, dynamic=False, backend=backend
    )
    # The first torch.compile of a process turns the checks of all torch.distributions off.
    torch.distributions.Distribution.set_default_validate_args(validates)
    project = game.recipe.constraint.project if step.__name__ == "critic_step" else identity
    weights = weights_of(optimizer)

    @functools.wraps(step)
    def run(*batch: Tensor) -> Tensor | tuple[Tensor, ...]:
        try:
            with torch._dynamo.config.patch(trace_autograd_ops=True, recompile_limit=64):
                losses = gradients(*batch)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join(str(error).split("\n\n")[0].split())
            raise InputError(f"compiled cannot trace {step.__name__}: {reason}. Train without it.") from error
        follow([weight.grad for weight in weights], optimizer, game.mean)
        project(game.critic)
        return losses

    return run


def compiler() -> str | None:
    """The path of the C++ compiler that ``torch.compile`` would call, ``$CXX`` or the usual one, or None."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX") or usual)


def traces_gradients() -> bool:
    """Whether this PyTorch can trace ``torch.autograd.grad``; imports what it needs for that."""
    with warnings.catch_warnings():  # of PyTorch's own use of torch.jit, while it is imported
        warnings.simplefilter("ignore", DeprecationWarning)
        import torch._dynamo
        import torch.utils.mkldnn
    return hasattr(torch._dynamo.config, "trace_autograd_ops")


def check_compiler(backend: str) -> None:
    """Raise ``InputError`` where ``torch.compile`` could not work."""
    if not traces_gradients():
        raise InputError(
            f"compiled needs a PyTorch that traces torch.autograd.grad (2.11 or newer), and this is "
            f"{torch.__version__}. Use accelerate=fast."
        )
    if backend == "inductor" and compiler() is None:
        raise InputError(
            "compiled needs a C++ compiler, and found none. Install g++ or clang++, or name one in the "
            "environment variable CXX; accelerate=fast needs none."
        )


# Mixed precision


class Mixed(nn.Module):
    """A player that computes in ``dtype`` and gives its result in the type of its input.

    The last linear layer of an ``nn.Sequential`` and what follows it stay in the input's type, so that a
    critic's scores are not rounded to 8 bits.
    """

    def __init__(self, player: nn.Module, dtype: torch.dtype):
        super().__init__()
        layers = list(player) if isinstance(player, nn.Sequential) else []
        linear = [k for k, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
        cut = linear[-1] if linear and not any(map(has_weights, layers[linear[-1] + 1 :])) else len(layers)
        self.body, self.head = (player[:cut], player[cut:]) if layers else (player, nn.Identity())
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, self.dtype):
            h = self.body(x)
        return self.head(h.to(x.dtype))


def has_weights(layer: nn.Module) -> bool:
    """Whether the layer has parameters."""
    return next(layer.parameters(), None) is not None


def autocast(dtype: torch.dtype) -> Callable[[Callable], Callable]:
    r"""A decorator: players in bfloat16; last linear layer, losses, slopes, penalty and updates in float32.

    bfloat16 has 8 bits. Against float64 a slope s is off by 0.4 % for an MLP 784-512-256-1, by 0.2 % for
    ``dcgan_critic`` and by 6 % for an MLP 2-512-512-512-1 (root mean square, on a CPU; float32: 5e-8 to
    6e-7). A row's penalty :math:`(s-1)^2` is then off by the share :math:`0.008\,s/|s-1|` for the first:
    1.6 % at slope 2, 9 % at 1.1, 80 % at 1.01. The penalty's gradient in the weights is off by 0.8 % where
    slopes are near 2 and by 5 to 8 % where their mean is within 0.003 of 1, which is where a good critic's
    are. So: for training, where it is faster; not to measure W1. On a CPU only wide layers gain by it.

    ``dtype`` must be ``torch.bfloat16``; raises ``InputError`` for another one, and for a step that another
    decorator has changed.
    """
    if dtype is not torch.bfloat16:
        raise InputError(
            f"autocast takes torch.bfloat16, got {dtype}. float16 needs a scaled loss, which the penalty's "
            f"square makes another loss."
        )

    def decorate(step: Callable) -> Callable:
        if not inspect.ismethod(step):
            raise InputError(
                "autocast takes game.critic_step or game.generator_step: put it first in a chain."
            )
        twin = copy.copy(game_of(step))
        twin.generator, twin.critic = Mixed(twin.generator, dtype), Mixed(twin.critic, dtype)
        return getattr(twin, step.__name__)

    return decorate


# Counts and circumstances


def cores() -> int:
    """The number of physical cores that this process may use."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    places = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            places.add(tuple((topology / name).read_text() for name in ("physical_package_id", "core_id")))
        except OSError:
            places.add(cpu)
    return len(places)


def turn(game: Game, m: int) -> Callable[[], None]:
    """A function that plays one turn of a copy of ``game`` with batches of m rows made of noise."""
    first = next(
        layer for layer in game.generator.modules() if has_weights(layer) and not any(layer.children())
    )
    if not isinstance(first, nn.Linear):
        raise InputError(
            f"The shape of z is read from the generator's first layer, which must be nn.Linear, and is "
            f"{type(first).__name__}."
        )
    twin = Game(copy.deepcopy(game.generator), copy.deepcopy(game.critic), game.recipe)
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(m, first.in_features, generator=rng).to(first.weight)
    with torch.no_grad():
        x = -twin.generator(z)

    def play() -> None:
        for _ in range(game.recipe.n_critic):
            twin.critic_step(x, z, x.new_full((m,), 0.5))
        twin.generator_step(z)

    return play


class Counter(TorchDispatchMode):
    """Counts with PyTorch's formulas; its own ``FlopCounterMode`` fails on a gradient in a leaf."""

    total = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        formula = flop_registry.get(operation._overloadpacket)
        self.total += formula(*args, **(kwargs or {}), out_val=result) if formula else 0
        return result


def flops(game: Game, m: int) -> int:
    """The floating-point operations of one turn: a product of (m, n) and (n, k) counts 2 m n k.

    n_critic critic updates and one of the generator, backward and double backward included; activations,
    sums and optimizers are not counted. The game does not move. Raises ``InputError`` for a generator whose
    first layer is not ``nn.Linear``.

    >>> from wganlab import networks, recipes
    >>> game = Game(networks.mlp(2, 2, hidden=()), networks.mlp(2, 1, hidden=()), recipes.wgan)
    >>> flops(game, 10)
    1440
    """
    play = turn(game, m)
    with Counter() as counter:
        play()
    return counter.total


def threads_for(game: Game, m: int) -> int:
    """The number of CPU threads: all physical cores from 10^9 operations an update on, 1 below.

    Such an update takes one core some ten milliseconds. In smaller ones the threads mostly wait for each
    other: on two cores they gained 10 to 40 % while nothing else ran, and lost a factor of 2 to 20 as soon as
    something did. For ``torch.set_num_threads``; say 1 on a machine that others use.

    >>> from wganlab import networks, recipes
    >>> threads_for(Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan_gp), 64)
    1
    """
    update = flops(game, 2) * m / 2 / (game.recipe.n_critic + 1)  # two rows: a large game takes long
    return cores() if update >= 1e9 else 1


def describe() -> dict[str, Any]:
    """What this machine offers, in plain types: versions, threads, compiler, CUDA devices."""
    devices = [
        {
            "name": (found := torch.cuda.get_device_properties(k)).name,
            "memory_gib": round(found.total_memory / 2**30, 1),
            "capability": f"{found.major}.{found.minor}",
        }
        for k in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ]
    distributed = torch.distributed.is_available()
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "compiler": compiler(),
        "cuda": devices,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        "distributed": [
            name
            for name in ("gloo", "nccl", "mpi")
            if distributed and getattr(torch.distributed, f"is_{name}_available")()
        ],
    }
