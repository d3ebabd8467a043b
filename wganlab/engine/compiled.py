"""Both gradients of a game compiled by ``torch.compile``, and where that works."""

import contextlib
import copy
import functools
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..errors import InputError
from ..training import Game
from .autocast import exchanged


def compiled(game: Game, *, backend: str = "inductor") -> Game:
    """The game with its losses and gradients compiled by ``torch.compile``, one graph for each player.

    The update itself (``mean``, the optimizer's fused kernel, the projection) stays outside the graph. The
    penalty's gradient is differentiated inside it, which PyTorch does only with
    ``torch._dynamo.config.trace_autograd_ops``, set here for the call alone; compiled code that is
    differentiated twice from outside has been silently wrong (pytorch issues 91469 and 181581), so the tests
    compare this one with float64 autograd at 1e-12. The first call of each shape takes seconds to minutes.
    ``backend`` is that of ``torch.compile``; "aot_eager" traces and differentiates without compiling.

    Raises ``InputError`` where no C++ compiler is found, for PyTorch without that option, for a game whose
    gradients or steps are exchanged already, and at the first step for a player that cannot be traced.

    >>> from wganlab import networks, recipes
    >>> game = Game(networks.mlp(2, 2), networks.mlp(2, 1), recipes.wgan)
    >>> compiled(game, backend="aot_eager").critic is game.critic
    True
    """
    if names := exchanged(game):
        rule = "compiled takes a game whose gradients are its own"
        raise InputError(f"{rule}, but {names[0]} is exchanged. In a chain only autocast stands before it.")
    if not traces_gradients():
        rule = "compiled needs a PyTorch that traces torch.autograd.grad (2.11 or newer)"
        raise InputError(f"{rule}, and this is {torch.__version__}. Use accelerate=fast.")
    if backend == "inductor" and compiler() is None:
        remedy = "Install g++, or name one in the environment variable CXX; accelerate=fast needs none."
        raise InputError(f"compiled needs a C++ compiler, and found none. {remedy}")
    twin = copy.copy(game)
    twin.critic_gradient = traced(game.critic_gradient, backend)
    twin.generator_gradient = traced(game.generator_gradient, backend)
    return twin


def traced(gradient: Callable, backend: str) -> Callable:
    """A game's gradient, compiled when it is first called."""
    validates = torch.distributions.Distribution._validate_args
    graph = torch.compile(gradient, fullgraph=True, dynamic=False, backend=backend)
    # The first torch.compile of a process turns the checks of all torch.distributions off.
    torch.distributions.Distribution.set_default_validate_args(validates)

    @functools.wraps(gradient)
    def run(*batch: Tensor) -> tuple:
        try:
            with advice(), torch._dynamo.config.patch(trace_autograd_ops=True, recompile_limit=64):
                return graph(*batch)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join(str(error).split("\n\n")[0].split())
            message = f"compiled cannot trace {gradient.__name__}: {reason}. Train without it."
            raise InputError(message) from error

    return run


@contextlib.contextmanager
def advice() -> Iterator[None]:
    """A context in which what PyTorch's compiler warns of its own insides is no error, whatever the filter.

    It warns that Python 3.13.0 slows it down.
    """
    general = (f[0] for f in warnings.filters if not (f[1] or f[3]) and issubclass(RuntimeWarning, f[2]))
    if next(general, None) != "error":
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("default", module=r"torch\._(dynamo|functorch|inductor)\b")
        yield


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
