r"""RMSprop in one pass over the weights: PyTorch fuses Adam's step on a CPU, and not RMSprop's.

RMSprop sets :math:`v \leftarrow \alpha v + (1 - \alpha) g^2` and :math:`w \leftarrow w - \eta\,g / (\sqrt v +
\epsilon)`, in five passes over memory. Adam with :math:`\beta_1 = 0`, :math:`\beta_2 = \alpha` and a count of
steps at which its corrections are 1 is the same formula.
"""

import torch
from torch.optim import Adam, Optimizer, RMSprop

LATE = 1e9  # steps, after which 1 - alpha^t is 1 for any alpha below 1 - 1e-7


class OnePass:
    """An RMSprop whose ``step`` is Adam's fused one, on RMSprop's own state, which stays complete."""

    def __init__(self, optimizer: RMSprop):
        self.optimizer = optimizer
        groups = optimizer.param_groups
        own = [{"params": g["params"], "eps": g["eps"], "betas": (0.0, g["alpha"])} for g in groups]
        self.adam = Adam(own, fused=True)

    @property
    def param_groups(self) -> list[dict]:
        """Those of the optimizer itself."""
        return self.optimizer.param_groups

    def step(self) -> None:
        for own, group in zip(self.adam.param_groups, self.param_groups, strict=True):
            own["lr"] = group["lr"]
            torch._foreach_add_([self.prepare(w) for w in group["params"] if w.grad is not None], 1)
        self.adam.step()

    def prepare(self, weight: torch.Tensor) -> torch.Tensor:
        """Let Adam work on the mean square of this weight; the count of its steps."""
        state, twin = self.optimizer.state[weight], self.adam.state[weight]
        if not state:
            state.update(step=torch.tensor(0.0), square_avg=torch.zeros_like(weight))
        if not twin:
            twin.update(step=torch.tensor(LATE), exp_avg=torch.zeros_like(weight))
        twin["exp_avg_sq"] = state["square_avg"]
        return state["step"]


def one_pass(optimizer: Optimizer | None) -> Optimizer | OnePass | None:
    """The optimizer, in one pass if it is a plain RMSprop of float32 or float64 weights on a CPU.

    >>> weight, other = (torch.nn.Parameter(torch.tensor([3.0])) for _ in range(2))
    >>> weight.grad = other.grad = torch.tensor([2.0])
    >>> one, plain = one_pass(RMSprop([weight])), RMSprop([other])
    >>> one.step(), plain.step()
    (None, None)
    >>> bool((weight - other).abs() < 1e-6), one.optimizer.state[weight]["square_avg"]
    (True, tensor([0.0400]))
    """
    if type(optimizer) is not RMSprop:
        return optimizer
    changed = ("momentum", "centered", "weight_decay", "maximize", "capturable", "differentiable")
    plain = not any(group[name] for group in optimizer.param_groups for name in changed)
    early = all(group["alpha"] <= 0.9999 for group in optimizer.param_groups)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    known = all(w.device.type == "cpu" and w.dtype in (torch.float32, torch.float64) for w in weights)
    return OnePass(optimizer) if plain and early and known else optimizer
