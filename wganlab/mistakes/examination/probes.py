"""Probe critics, whose slopes are known and which remember where they were evaluated."""

import contextlib
import io
import math
import random
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

GRAD = 0.25


class Points(list):
    """The batches a probe was evaluated at; a copy of the probe writes into the same list."""

    def __deepcopy__(self, memo):
        return self


class Probe(nn.Module):
    r""":math:`f(x) = \langle w, x\rangle + \frac{b}{2}\sum_j c_j x_j^2`, slope by slope known.

    Its gradient at x is :math:`w + b\,c\,x`, where w has the norm ``slope`` and b is ``bend``;
    both are weights. ``row`` is the shape of one row, and another one is refused, so that
    an accidental broadcast does not pass. ``points`` lists the batches that were handed in. The weights
    carry a gradient, so that a call that changes it is seen.

    >>> probe = Probe((2,), slope=5.0)
    >>> round(probe.weight.norm().item(), 6)
    5.0
    >>> _ = probe(torch.ones(3, 2, dtype=torch.float64))
    >>> probe.points[0].shape
    torch.Size([3, 2])
    """

    def __init__(self, row: tuple[int, ...], slope: float = 0.0, bend: float = 0.0, scores: str = "flat"):
        super().__init__()
        size = math.prod(row)
        direction = torch.cos(2.0 * torch.arange(size, dtype=torch.float64)) + 1.5
        self.weight = nn.Parameter(slope * direction / direction.norm())
        self.bend = nn.Parameter(torch.tensor(bend, dtype=torch.float64))
        self.register_buffer("curve", 1.0 + 0.3 * torch.sin(torch.arange(size, dtype=torch.float64)))
        self.row, self.scores, self.points = tuple(row), scores, Points()
        for weight in self.parameters():
            weight.grad = torch.full_like(weight, GRAD)

    def forward(self, x: Tensor) -> Tensor:
        single = tuple(x.shape) == self.row  # one row without a batch, as under vmap
        if not single and tuple(x.shape[1:]) != self.row:
            raise ValueError(f"the critic was handed shape {tuple(x.shape)}, rows have shape {self.row}")
        self.points.append(unwrapped(x).reshape(-1, *self.row))
        h = x.reshape(1 if single else len(x), -1)
        weight, bend, curve = (part.to(h.dtype) for part in (self.weight, self.bend, self.curve))
        f = h @ weight + 0.5 * bend * (h.square() @ curve)
        if single and self.scores == "scalar":
            return f[0]
        return f[:, None] if self.scores == "column" else f

    def gradient(self, x: Tensor) -> Tensor:
        """The gradient at each row of x, differentiable in the weights: the truth of an audit."""
        return (self.weight + self.bend * self.curve * x.flatten(1).double()).view(x.shape)


def unwrapped(x: Tensor) -> Tensor:
    """The plain tensor below those that torch.func's transforms wrap around it, copied."""
    inner = torch._C._functorch
    while inner.is_functorch_wrapped_tensor(x):  # torch.func.debug_unwrap, which 2.6 has not
        x = inner.get_unwrapped(x)
    return x.detach().clone()


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Random states, warnings, modes of torch and stdout are afterwards as they were before."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    with (
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(action="ignore"),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autograd.set_detect_anomaly(False),  # it would turn the NaN of nan-at-zero into an exception
        contextlib.redirect_stdout(io.StringIO()),
    ):
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_default_device(None if device.type == "cpu" else device)
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def seed(number: int) -> None:
    """Seed torch, numpy and random, whichever the audited function draws from."""
    torch.default_generator.manual_seed(number)  # the CPU's alone: torch.manual_seed queues for CUDA too
    np.random.seed(number)  # noqa: NPY002
    random.seed(number)
