"""Matrix products by the faster of the two libraries that PyTorch carries on a CPU.

PyTorch multiplies float32 matrices with MKL, which uses 512-bit vectors on Intel's processors only. On others
that have them, oneDNN, which PyTorch uses for convolutions, is twice as fast. ``OneDNNMode`` sends the
products of linear layers there, forward and backward; elsewhere, and for other types, nothing changes.
"""

from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

SMALLEST = 2**19  # multiplications; below, the call costs more than it saves
NARROW = 256  # columns; with fewer, copying a left matrix that lies transposed costs more than is saved


@cache
def onednn_is_faster() -> bool:
    """Whether this processor has 512-bit vectors that MKL leaves unused.

    Its maker decides, not a clock: that would choose anew in each run, and with it a run's last bits.
    """
    capable = torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()
    capable = capable and torch.backends.cpu.get_cpu_capability() == "AVX512"
    try:
        maker = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False  # not Linux: the maker is not known
    return capable and "AuthenticAMD" in maker and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def fits(a: Tensor, b: Tensor) -> bool:
    """Whether a (m, k) times b (k, n) is worth sending to oneDNN."""
    return (
        onednn_is_faster()
        and a.ndim == b.ndim == 2
        and a.dtype == b.dtype == torch.float32
        and a.device.type == "cpu"
        and a.numel() * b.shape[1] >= SMALLEST
        and (a.is_contiguous() or b.shape[1] >= NARROW)
        and not torch.is_autocast_enabled("cpu")
    )


def matmul(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """``a @ b + bias``, for (..., k) and a matrix (k, n) that need no graph.

    >>> matmul(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    if fits(a, b):
        return torch.ops.mkldnn._linear_pointwise(a, b.T, bias, "none", [], "")
    return a @ b if bias is None else functional.linear(a, b.T, bias)


def with_onednn(function: Callable) -> Callable:
    """The function with the products of its linear layers sent to the faster library."""
    if not onednn_is_faster():
        return function

    @wraps(function)
    def inside(*arguments):
        with OneDNNMode():
            return function(*arguments)

    return inside


class MatMul(torch.autograd.Function):
    """``matmul`` that can be differentiated as often as wanted."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return matmul(a, b)

    @staticmethod
    def backward(ctx, u: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        in_a, in_b = ctx.needs_input_grad
        return MatMul.apply(u, b.T) if in_a else None, MatMul.apply(a.T, u) if in_b else None


class LinearFunction(torch.autograd.Function):
    """x W^T + b, whose derivative in W lies in memory as W does."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return matmul(x, weight.T, bias)

    @staticmethod
    def backward(ctx, u: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        in_x, in_weight, in_bias = ctx.needs_input_grad
        return (
            MatMul.apply(u, weight) if in_x else None,
            MatMul.apply(u.T, x) if in_weight else None,
            u.sum(0) if in_bias else None,
        )


class OneDNNMode(TorchFunctionMode):
    """Inside ``with OneDNNMode():`` linear layers multiply with ``matmul``.

    >>> layer = torch.nn.Linear(2, 1)
    >>> with OneDNNMode():
    ...     y = layer(torch.zeros(3, 2))
    >>> bool((y == layer.bias).all())
    True
    """

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        if function is functional.linear and not keywords:
            x, weight, bias = (*arguments, None)[:3]
            if fits(x, weight.T):
                return LinearFunction.apply(x, weight, bias)
        return function(*arguments, **(keywords or {}))
