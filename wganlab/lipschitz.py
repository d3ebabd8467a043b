r"""How steep a critic is: bounds of its Lipschitz constant from below and above, and slopes layer by layer.

:math:`\|f\|_L` is the least K with :math:`|f(x) - f(y)| \le K\|x - y\|`. For a network it is hard to
compute, so it is enclosed: ``lower_bound(critic, x)`` <= ``||f||_L`` <= ``upper_bound(critic)``.
"""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext
from numbers import Integral

import torch
from torch import Tensor, nn

from ._arrays import as_number
from .constraints import refuse_mixed_rows
from .errors import InputError
from .networks import GroupSort

__all__ = ["clip_bound", "gradient_norms", "layer_gradients", "lower_bound", "upper_bound"]

# Maps that are 1-Lipschitz for the Euclidean norm, whatever their size; of two, ``norm_of`` reads a number.
ONE_LIPSCHITZ = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Softplus, GroupSort)
ONE_LIPSCHITZ += (nn.Flatten, nn.Unflatten, nn.Identity)
WITH_WEIGHTS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)  # the layers of Figure 1(b), not normalisations


def gradient_norms(critic: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    r""":math:`\|\nabla f(x_i)\|` for each row: x (m, ...), result (m,), without a graph.

    In the precision of the critic: what leaves it within the critic is lost. Raises ``InputError`` if x is no
    tensor of finite floats, if the critic does not give one finite score a row, or has BatchNorm in training
    mode, so that a score depends on all rows.

    >>> gradient_norms(lambda x: 0.5 * x.square().sum(1), torch.tensor([[3.0, 4.0]])).tolist()
    [5.0]
    """
    return scores_and_norms("gradient_norms", critic, x)[1]


def scores_and_norms(caller: str, critic: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """f(x_i) and the norm of its gradient for each row; raises as ``gradient_norms`` does."""
    check_rows(caller, "x", x)
    refuse_mixed_rows(critic, caller)
    check_weights(caller, critic)
    x = x.detach().requires_grad_()
    f, (gradient,) = derivatives(caller, critic, x, torch.sum, [x])
    return f.detach(), length(gradient.flatten(1))


def check_rows(caller: str, name: str, x: Tensor) -> None:
    """Raise ``InputError`` unless x is a tensor (m, ...) of finite floats."""
    floats = torch.is_tensor(x) and x.ndim > 1 and x.numel() > 0 and x.is_floating_point()
    if not (floats and x.isfinite().all()):
        found = f"shape {tuple(x.shape)} of {x.dtype}" if torch.is_tensor(x) else type(x).__name__
        raise InputError(
            f"{caller} needs '{name}' as a tensor (m, ...) of finite floats, got {found}"
            f"{' with NaN or infinity' if floats else ''}. Points on the line are (m, 1)."
        )


def check_weights(caller: str, critic: Callable) -> None:
    """Raise ``InputError`` if a weight of a module is NaN or infinite."""
    for name, weight in critic.named_parameters() if isinstance(critic, nn.Module) else ():
        if not weight.isfinite().all():
            raise InputError(f"{caller} needs a critic of finite weights, but '{name}' has NaN or infinity.")


def derivatives(caller: str, critic, x: Tensor, loss: Callable, of: list[Tensor]) -> tuple[Tensor, tuple]:
    """The scores of the rows x, and the gradients of their loss by ``of``, which the critic may fill.

    Raises ``InputError`` unless there is one finite score a row that autograd can follow.
    """
    try:
        with torch.enable_grad():
            f = critic(x)
            gave = tuple(f.shape) if torch.is_tensor(f) else type(f).__name__
            if gave != (len(x),):
                found = f"{caller} needs one score a row, shape ({len(x)},), but this critic gave {gave}."
                raise InputError(f"{found} End it with nn.Flatten(0).")
            found = torch.autograd.grad(loss(f), of)
    except (TypeError, IndexError, RuntimeError) as error:
        raise InputError(
            f"{caller} needs a critic that scores rows of shape {tuple(x.shape[1:])} and {x.dtype}, so that "
            f"autograd can follow back to them, without detach(), but this one fails: {error}"
        ) from error
    if not all(tensor.isfinite().all() for tensor in (f, *found)):
        raise InputError(f"{caller} needs finite scores and slopes. Scale the critic's weights down.")
    return f, found


def length(rows: Tensor) -> Tensor:
    """The norm of each row (m, d), in units of a power of 2, so that no square leaves the precision."""
    unit = power_of_two(rows.abs().amax(1))
    return (rows / unit[:, None]).norm(dim=1) * unit


def power_of_two(x: Tensor) -> Tensor:
    """The power of 2 at or below each entry, 1/2 for 0."""
    return torch.ldexp(torch.ones_like(x), torch.frexp(x).exponent - 1)


def lower_bound(critic: Callable[[Tensor], Tensor], x: Tensor) -> float:
    r"""The steepest that f is seen to be at the rows of x and between them: at most :math:`\|f\|_L`.

    The larger of :math:`\max_i\|\nabla f(x_i)\|` and
    :math:`\max_{i<j}|f(x_i) - f(x_j)| / \|x_i - x_j\|`, pairs that coincide left out. x (m, ...). From each
    difference of scores 32 roundings of the largest score are taken off, so that points which nearly coincide
    do not turn rounding into slope. Cost: m^2 pairs.
    Raises as ``gradient_norms`` does. Caveats: at a kink the slope is what autograd gives, which can be
    steeper than f; a critic whose hidden values are far larger than its scores rounds by more than is taken
    off.

    >>> lower_bound(lambda x: x.abs().sum(1), torch.tensor([[-1.0], [2.0], [0.5]]))
    1.0
    """
    f, slopes = scores_and_norms("lower_bound", critic, x)
    rounding = 32 * torch.finfo(f.dtype).eps
    f, x = f.double(), x.detach().double().flatten(1)
    high, wide = power_of_two(f.abs().max()), power_of_two(x.abs().max())
    distance = torch.nn.functional.pdist(x / wide)
    rise = torch.nn.functional.pdist((f / high)[:, None], p=1) - rounding * (f / high).abs().max()
    apart = distance > 1e-150  # below, squares vanish
    between = (rise[apart] / distance[apart]).max().item() if apart.any() else 0.0
    found = max(slopes.max().item(), between * high.item() / wide.item())
    if not found < math.inf:
        raise InputError("The slope between two rows overflows float64. Scale the critic down.")
    return found


def upper_bound(critic: nn.Module) -> float:
    r""":math:`\prod_\ell\|M_\ell\|_2`: the product of the layers' spectral norms, at least :math:`\|f\|_L`.

    For chains (``nn.Sequential``) of linear and convolution layers with zero padding, and of maps that are
    1-Lipschitz by themselves: ReLU, leaky ReLU of slope at most 1, tanh, softplus (with torch's threshold or
    a higher one, at which it jumps to the identity), GroupSort, reshaping.
    A convolution's norm is bounded by the smaller of :math:`\sqrt{\|M\|_1\|M\|_\infty}` and the spectral
    norm of its kernel as a matrix times the root of the number of patches that an input can lie in.
    Raises ``InputError`` for a layer of which no bound is known, such as LayerNorm, for weights that are not
    finite, and for a bound that leaves float64.
    Source: Szegedy et al. 2014, section 4.3 (the product); Miyato et al. 2018, section 2.1.

    >>> critic = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1), nn.Flatten(0))
    >>> critic[0].weight.data, critic[2].weight.data = 3 * torch.eye(2), torch.tensor([[3.0, 4.0]])
    >>> upper_bound(critic)
    15.0
    """
    check_weights("upper_bound", critic)
    return product("The bound", (norm_of(name, layer) for name, layer in layers(critic)))


def product(name: str, factors: Iterable[float]) -> float:
    """The product of factors >= 0, in any order; raises ``InputError`` if it overflows or underflows float64.

    >>> product("It", [1e-200, 1e-200, 1e300, 1e100])
    1.0
    """
    with localcontext(Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[]):  # 28 digits, and no exponent is too large
        exact = math.prod(map(Decimal, factors), start=Decimal(1))
        found = float(exact)
        if not found < math.inf or (exact > 0 and found < sys.float_info.min):
            raise InputError(f"{name} leaves float64. Scale the weights towards 1.")
    return found


def layers(player: nn.Module, name: str = "") -> list[tuple[str, nn.Module]]:
    """The chain of a player's layers with their names after ``name``, nested ``nn.Sequential`` opened.

    >>> [name for name, _ in layers(nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU())))]
    ['0', '1.0']
    """
    if not isinstance(player, nn.Sequential):
        return [(name.removesuffix("."), player)]
    children = player._modules.items()  # named_children leaves out a layer's second place
    return [pair for inner, child in children for pair in layers(child, f"{name}{inner}.")]


def norm_of(name: str, layer: nn.Module) -> float:
    """A bound of one layer's Lipschitz constant; for a linear layer its spectral norm itself."""
    if isinstance(layer, nn.Linear):
        return torch.linalg.matrix_norm(layer.weight.detach().double(), 2).item()
    if isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros" and layer.groups == 1:
        return convolution_norm(layer)
    flat = abs(getattr(layer, "negative_slope", 0)) <= 1 and getattr(layer, "threshold", 20) >= 20
    if isinstance(layer, ONE_LIPSCHITZ) and flat:
        return 1.0
    raise InputError(
        f"upper_bound knows linear and convolution layers, ReLU, leaky ReLU, tanh, softplus, GroupSort and "
        f"reshaping in an nn.Sequential, but '{name}' is {type(layer).__name__}. No useful "
        f"bound is known of it (LayerNorm's is above 300); use lower_bound on points instead."
    )


def convolution_norm(layer: nn.Conv2d) -> float:
    """The bound of ``upper_bound`` for a convolution with zero padding, for pictures of any size."""
    kernel = layer.weight.detach().double()  # (out, in, height, width)
    row_sum = kernel.abs().sum(dim=(1, 2, 3)).max()  # one output: a row of the matrix
    column_sum = kernel.abs().sum(dim=(0, 2, 3)).max()  # one input: at most one column of the kernel's
    patches = math.prod(  # the kernel's places that fall on one input lie stride / gcd apart
        math.ceil(size * math.gcd(stride, dilation) / stride)
        for size, stride, dilation in zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
    )
    as_matrix = torch.linalg.matrix_norm(kernel.flatten(1), 2) * math.sqrt(patches)
    return min((row_sum.sqrt() * column_sum.sqrt()).item(), as_matrix.item())  # their product may overflow


def clip_bound(sizes: Sequence[int], c: float) -> float:
    r""":math:`c^L\sqrt{n_0}\,n_1\cdots n_{L-1}`: the steepest a network can be with all weights in [-c, c].

    ``sizes`` are the widths :math:`n_0, n_1, \dots, n_L`, with one output, :math:`n_L = 1`. Attained by
    ReLU networks.
    Raises ``InputError`` for fewer than two sizes, sizes below 1, more outputs, c <= 0, and a bound that
    leaves float64.

    >>> round(clip_bound((2, 512, 512, 512, 1), 0.01), 4)
    1.8981
    """
    c, widths = as_number(c, "c"), tuple(sizes) if isinstance(sizes, Iterable) else ()
    whole = all(isinstance(n, Integral) and 1 <= n < 1e300 for n in widths)
    if not (whole and len(widths) >= 2 and widths[-1] == 1 and c > 0):
        raise InputError(
            f"clip_bound needs the widths of a critic from its input to its one output and a bound c > 0, "
            f"got {sizes} and c = {c}. For example: clip_bound((2, 128, 1), 0.01)."
        )
    return product("The bound", (c, widths[0] ** 0.5, *(factor for n in widths[1:-1] for factor in (c, n))))


def layer_gradients(critic: nn.Sequential, x: Tensor, x_fake: Tensor) -> Tensor:
    r""":math:`\|\partial L/\partial a_\ell\|` for the output :math:`a_\ell` of each layer that has weights.

    First layer first. :math:`L = \frac1m\sum f(\tilde x_i) - \frac1m\sum f(x_i)` is the critic's loss; the
    norm is over all rows and units of the layer's output on both batches, computed in float64 so that it
    does not underflow. Result (L,).
    Source: Gulrajani et al. 2017, Figure 1(b), left. Raises ``InputError`` for a critic without such layers.

    >>> critic = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1), nn.Flatten(0))
    >>> _ = critic[1].weight.data.fill_(3.0)
    >>> layer_gradients(critic, torch.ones(1, 1), torch.zeros(1, 1)).square().round().tolist()
    [18.0, 2.0]
    """
    for name, rows in (("x", x), ("x_fake", x_fake)):
        check_rows("layer_gradients", name, rows)
    if x.shape[1:] != x_fake.shape[1:]:
        raise InputError(f"layer_gradients needs rows of one shape, got {x.shape[1:]}, {x_fake.shape[1:]}.")
    if not any(isinstance(layer, WITH_WEIGHTS) for _, layer in layers(critic)):
        raise InputError("layer_gradients needs an nn.Sequential of layers with weights, and found none.")
    check_weights("layer_gradients", critic)
    outputs = []

    def chain(a: Tensor) -> Tensor:
        for _, layer in layers(critic):
            tensors = {name: tensor.double() for name, tensor in layer.state_dict(keep_vars=True).items()}
            a = torch.func.functional_call(layer, tensors, (a,))  # which leaves the layer as it is
            if isinstance(layer, WITH_WEIGHTS):
                outputs.append(a)
        return a

    def loss(f: Tensor) -> Tensor:
        return f[len(x) :].mean() - f[: len(x)].mean()

    _, found = derivatives("layer_gradients", chain, torch.cat([x, x_fake]).double(), loss, outputs)
    return torch.cat([length(gradient.reshape(1, -1)) for gradient in found])
