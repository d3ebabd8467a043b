r"""BatchNorm with the statistics of a batch whose rows lie on several ranks.

With statistics of its own rows on each rank, N ranks would run another algorithm than one process. Rank r
holds the share :math:`w_r = m_r/m` of the rows, its loss is the mean over these, and gradients are averaged
with the same weights afterwards. So what a rank hands back through a joint statistic is
:math:`\sum_s w_s\,\partial L_s`, not the sum: the weighted mean over ranks is its own adjoint.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import InputError


class WeightedMean(torch.autograd.Function):
    r""":math:`\sum_r w_r a_r` over the ranks; backward is the same of the ranks' cotangents.

    ``mean`` maps this rank's tensor to the weighted sum over ranks, one collective.
    """

    @staticmethod
    def forward(ctx, a: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.mean = mean
        return mean(a)

    @staticmethod
    def backward(ctx, cotangent: Tensor) -> tuple[Tensor, None]:
        return WeightedMean.apply(cotangent, ctx.mean), None


class JointBatchNorm(_BatchNorm):
    """A BatchNorm of any dimension whose batch is the joint one of all ranks.

    ``sizes`` are the ranks' numbers of rows, ``mean`` as in ``WeightedMean``. It shares the weights and
    buffers of ``layer``, under the same names. A copy is a plain layer again, which knows of no ranks, so
    that one rank alone can sample from a copied generator. Raises ``InputError`` for a batch that is not this
    rank's share, since the other ranks may not be there to meet it.
    Source: Ioffe & Szegedy 2015, Algorithm 1; the variance of the parts is joined by Chan et al. 1979.
    """

    def __init__(self, layer: _BatchNorm, rank: int, sizes: list[int], mean: Callable[[Tensor], Tensor]):
        vars(self).update(vars(layer), plain=layer, rank=rank, sizes=sizes, mean=mean)

    def __deepcopy__(self, memo: dict) -> _BatchNorm:
        return copy.deepcopy(self.plain, memo).train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.track_running_stats:
            return super().forward(x)
        self._check_input_dim(x)
        own, m = self.sizes[self.rank], sum(self.sizes)
        if len(x) != own:
            share = f"rank {self.rank} brings {own} of the {m} rows of a batch"
            remedy = "To sample, take a copy (copy.deepcopy, Average.player): it is plain."
            raise InputError(f"In this shared BatchNorm {share}, but got {len(x)}. {remedy}")
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, var = self.statistics(wide)
        if self.training and self.track_running_stats:
            self.track(mean, var, m * x[0, 0].numel())
        row = (1, -1, *[1] * (x.ndim - 2))
        scale = (var + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        y = (wide - mean.view(row)) * scale.view(row)
        return (y if self.bias is None else y + self.bias.view(row)).to(x.dtype)

    def _check_input_dim(self, x: Tensor) -> None:
        self.plain._check_input_dim(x)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of each channel over the joint batch, (C,) each: one collective."""
        var, mean = torch.var_mean(x, [0, *range(2, x.ndim)], correction=0)
        # Every rank fills its own row and gets w_s times the statistics of rank s in row s. Sums of squares
        # would do without rows, but lose all digits where the mean is large.
        own = torch.stack([mean, var])[None]
        all_rows = pad(own, (0, 0, 0, 0, self.rank, len(self.sizes) - 1 - self.rank))
        means, variances = WeightedMean.apply(all_rows, self.mean).unbind(1)  # (world, C) each
        shares = x.new_tensor(self.sizes)[:, None] / sum(self.sizes)
        mean = means.sum(0)
        return mean, variances.sum(0) + ((means - shares * mean).square() / shares).sum(0)

    @torch.no_grad()
    def track(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Move the running statistics, the variance unbiased, as BatchNorm does."""
        self.num_batches_tracked.add_(1)
        momentum = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_((var * (n / (n - 1))).to(self.running_var.dtype), momentum)


def share_statistics(player: nn.Module, rank: int, sizes: list[int], mean: Callable) -> nn.Module:
    """``player`` with each BatchNorm in it replaced by a ``JointBatchNorm`` of the same weights."""
    if isinstance(player, _BatchNorm):
        return JointBatchNorm(player, rank, sizes, mean)
    for name, child in player._modules.items():  # named_children leaves out a layer's second place
        player._modules[name] = share_statistics(child, rank, sizes, mean) if child is not None else None
    return player
