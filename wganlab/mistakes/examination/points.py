r"""Where on the segments a penalty asks: eps read off one by one, :math:`\hat x = \varepsilon` itself.

With x = 1 and x_fake = 0 in every entry, an interpolate *is* its eps. One entry is -3 in both, an
anchor that no interpolation can move, and that a clamp to [-1, 1] does. No statistics is needed but
for the law of eps, whose tests raise a false alarm with probability below 1e-9.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

ANCHOR = -3.0
SAME = 1e-5  # float32 rounds at 6e-8


def unit_segment(m: int, row: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """x and x_fake of shape (m, *row): ones and zeros, and the anchor where rows have 3 entries or more.

    >>> unit_segment(1, (3,), torch.float32)
    (tensor([[-3.,  1.,  1.]]), tensor([[-3.,  0.,  0.]]))
    """
    x, x_fake = torch.ones(m, *row, dtype=dtype), torch.zeros(m, *row, dtype=dtype)
    if math.prod(row) >= 3:
        x.view(m, -1)[:, 0] = x_fake.view(m, -1)[:, 0] = ANCHOR
    return x, x_fake


def diagnose_points(calls: Sequence[Tensor]) -> dict[str, str]:
    """The bugs in the points of several calls with other seeds, each (n, ...): name -> what was seen."""
    pooled, found = torch.cat(list(calls)).double().flatten(1), {}
    if pooled.shape[1] >= 3:
        moved = (pooled[:, 0] - ANCHOR).abs().max().item()
        if not moved <= SAME:
            return {"off-segment": f"an entry of {ANCHOR:g} in x and in x_fake is moved by up to {moved:.3g}"}
        pooled = pooled[:, 1:]
    spread = (pooled.amax(1) - pooled.amin(1)).max().item()
    if spread > SAME:
        found["pixel-eps"] = f"eps differs by up to {spread:.3g} between the entries of one row"
    return found | diagnose_rows([points.double().flatten(1)[:, -1] for points in calls])


def diagnose_rows(calls: Sequence[Tensor]) -> dict[str, str]:
    """The bugs in the eps of several calls, one number a row.

    >>> diagnose_rows([torch.full((4,), 0.3), torch.full((4,), 0.8)])
    {'batch-eps': '1 different eps in 4 rows of one call'}
    >>> diagnose_rows([torch.ones(4)] * 2)
    {'ends-only': 'eps is 1 in every row and call: the real rows alone'}
    """
    pooled = torch.cat(list(calls))
    low, high = pooled.min().item(), pooled.max().item()
    if torch.minimum(pooled.abs(), (pooled - 1).abs()).max() < SAME:
        alone = "the real rows alone" if low > SAME else "the fake rows alone"
        amount, where = (f"{low:.3g}", alone) if high - low < SAME else ("0 or 1", "the ends")
        return {"ends-only": f"eps is {amount} in every row and call: {where}"}
    if high - low < SAME:
        return {"constant-eps": f"eps is {low:.3g} in every row and call"}
    found = {}
    if all(torch.equal(calls[0], other) for other in calls[1:]):
        found["constant-eps"] = "the same eps come back in every call, whatever the seed"
    different, m = max(len(eps.unique()) for eps in calls), len(calls[0])
    if different <= m / 2 and m > 1:
        found["batch-eps"] = f"{different} different eps in {m} rows of one call"
    return found | diagnose_law(pooled, shared="batch-eps" in found)


def diagnose_law(eps: Tensor, *, shared: bool) -> dict[str, str]:
    """The bugs in the law of eps: normal, or not uniform on [0, 1]; ``shared`` eps are too few for a law."""
    low, high = eps.min().item(), eps.max().item()
    outside = ((eps < -SAME) | (eps > 1 + SAME)).double().mean().item()
    ordered = eps.sort().values
    bound = math.sqrt(math.log(2e9) / (2 * len(eps)))  # Massart 1990: exceeded once in 1e9
    if outside:
        name = "normal-eps" if ks_distance(ordered, torch.special.ndtr(ordered)) < bound else "eps-range"
        return {name: f"eps from {low:.3g} to {high:.3g}, {100 * outside:.0f} % outside [0, 1]"}
    far, edge = ks_distance(ordered, ordered), 21.0 / len(eps)  # (1 - 21/n)^n < 1e-9
    if shared or (low <= edge and high >= 1 - edge and far <= bound):
        return {}
    return {"eps-range": f"eps from {low:.3g} to {high:.3g}, at distance {far:.2g} from uniform on [0, 1]"}


def ks_distance(ordered: Tensor, law: Tensor) -> float:
    """sup |F_n - F| for sorted numbers and F at each of them (Kolmogorov and Smirnov).

    >>> ks_distance(torch.tensor([0.25, 0.75]), torch.tensor([0.25, 0.75]))
    0.25
    """
    steps = torch.arange(len(ordered) + 1, dtype=torch.float64) / len(ordered)
    return max((law - steps[:-1]).max().item(), (steps[1:] - law).max().item())


def eps_of(points: Tensor, x: Tensor, x_fake: Tensor) -> Tensor:
    """The eps of each row that puts it nearest to its own segment, shape (n,).

    >>> eps_of(torch.tensor([[1.0, 0.0]]), torch.tensor([[4.0, 0.0]]), torch.zeros(1, 2))
    tensor([0.2500])
    """
    if points.shape != x.shape:
        return torch.ones(len(points), dtype=points.dtype)
    along = (x - x_fake).flatten(1).to(points.dtype)
    return ((points - x_fake).flatten(1) * along).sum(1) / along.square().sum(1)
