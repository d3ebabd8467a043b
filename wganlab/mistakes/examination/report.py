"""What an audit says: named findings, each with what was seen, what it does, and the remedy."""

from dataclasses import asdict, dataclass
from typing import Any

SEGMENT = "x_hat = eps * x + (1 - eps) * x_fake"
SHAPE = "eps.view(-1, *[1] * (x.ndim - 1))"

# name: (what it does, remedy). A name is also the key of its twin in the ZOO, if it has one.
KNOWN = {
    "global-norm": (
        "the norm grows with the root of the batch size; the critic's slope settles near 1 / sqrt(m)",
        "one norm a row: gradient.flatten(1).norm(dim=1), of shape (m,)",
    ),
    "channel-norm": (
        "each place of the picture is asked for slope 1, so a row's slope is far above 1",
        "one norm a row: gradient.flatten(1).norm(dim=1), of shape (m,)",
    ),
    "wrong-axes": (
        "the numbers that are asked to be 1 are not the slopes of the rows",
        "one norm a row: gradient.flatten(1).norm(dim=1), of shape (m,)",
    ),
    "other-norm": (
        "the critic is 1-Lipschitz for another distance than the Euclidean one of W1",
        "the Euclidean norm: gradient.flatten(1).norm(dim=1)",
    ),
    "squared-norm": (
        "slopes above 1 cost far more and slopes below 1 far less than they should",
        "take the root: gradient.flatten(1).norm(dim=1), then (slope - 1) ** 2",
    ),
    "no-square": (
        "the pull towards slope 1 does not fade near 1, or slopes below 1 are even rewarded",
        "square the excess: (slope - 1).square().mean()",
    ),
    "wrong-side": (
        "slopes below 1 cost and slopes above 1 are free, so nothing keeps the critic Lipschitz",
        "one-sided means (slope - 1).relu().square()",
    ),
    "zero-centred": (
        "the best slope is pulled towards 0, not 1: this is R1, which belongs to another objective",
        "subtract 1 from the slope before the square",
    ),
    "wrong-target": (
        "the critic estimates that number times W1 instead of W1",
        "subtract 1 from the slope before the square",
    ),
    "sum-over-batch": (
        "the weight of the penalty grows with the batch size",
        "average over rows: .mean() instead of .sum()",
    ),
    "no-mean": (
        "there is no number to descend, or a later sum makes the weight grow with the batch size",
        "average over rows: .mean() at the end",
    ),
    "mean-slope": (
        "rows of slope 0 and of slope 2 cancel and cost nothing",
        "subtract 1 and square in each row, then average",
    ),
    "mean-score": (
        "every slope is divided by the batch size, so the critic ends up m times too steep",
        "differentiate critic(x_hat).sum(), whose gradient in row i is that of score i",
    ),
    "wrong-variable": (
        "each slope carries the factor eps or 1 - eps, so that the critic ends up too steep",
        "differentiate with respect to x_hat itself, made by x_hat.detach().requires_grad_()",
    ),
    "wrong-sign": (
        "descending it drives the slopes away from 1",
        "add +weight * (slope - 1).square().mean() to the loss that the critic minimises",
    ),
    "no-graph": (
        "its gradient in the weights is missing, so the critic trains as if there were no penalty",
        "pass create_graph=True to autograd.grad, and let no detach, data, item or float in between",
    ),
    "wrong-weight-gradient": (
        "the number is right and what the critic learns from it is not",
        "let no detach or no_grad stand between the critic and the penalty",
    ),
    "nan-at-zero": (
        "the root has an infinite derivative at 0, so one row of slope 0 turns all weights into NaN",
        "gradient.flatten(1).norm(dim=1), whose derivative at 0 is 0, or sqrt(sum + 1e-12)",
    ),
    "not-finite": ("training stops at the first step", "look for a division by 0 or a root of 0"),
    "batch-eps": (
        "all rows sit at the same place of their segments, which multiplies the variance",
        f"one eps a row: torch.rand(len(x)), as {SHAPE}",
    ),
    "pixel-eps": (
        "the points are not on the segments between real and fake rows",
        f"one eps a row: torch.rand(len(x)), as {SHAPE}",
    ),
    "normal-eps": (
        "about 66 % of the points are outside the segments",
        "torch.rand, which is uniform on [0, 1], instead of torch.randn",
    ),
    "eps-range": (
        "parts of the segments are never visited, or points outside them are",
        "eps = torch.rand(len(x)), uniform on [0, 1]",
    ),
    "constant-eps": (
        "the slope is only ever checked at the same places of the segments",
        "draw eps anew in each call, and seed no generator inside the function",
    ),
    "ends-only": (
        "the slope is free between the two laws, where the critic does its work",
        f"{SEGMENT}, with eps uniform on [0, 1]",
    ),
    "off-segment": (
        "the slope is asked for at points where the theory does not need it, not where it does",
        f"{SEGMENT} and nothing more",
    ),
    "fixed-channels": ("grey pictures, or coloured ones, fail", f"take shapes from the tensor: {SHAPE}"),
    "fixed-batch": (
        "the last, smaller batch of an epoch fails",
        "take the batch size from the tensor: len(x)",
    ),
    "fixed-size": ("data of another size fail", f"take shapes from the tensor: {SHAPE}"),
    "changes-batch": (
        "the caller's data are other data after the call",
        "no operation in place on x or x_fake: make x_hat a new tensor",
    ),
    "changes-critic": ("the critic is another one after the call", "leave weights, buffers and flags alone"),
    "writes-grad": (
        "gradients pile up on the weights and enter the next optimizer step",
        "torch.autograd.grad(...) instead of backward() and zero_grad()",
    ),
    "switches-mode": (
        "dropout and normalisation act in another mode after the call",
        "leave train() and eval() to the caller",
    ),
    "mixes-rows": (
        "a row's gradient then depends on the other rows, and the penalty is no longer one slope a row",
        "LayerNorm or GroupNorm instead of BatchNorm in the critic",
    ),
    "raises": (
        "there is no penalty",
        "take (critic, x, x_fake), make x_hat by .detach().requires_grad_() outside no_grad, give one number",
    ),
    "unknown": ("something else than the penalty is computed", "compare it line by line with Algorithm 1"),
}


@dataclass(frozen=True)
class Finding:
    """One bug: its ``name``, what was ``seen``, its ``effect``, the ``remedy``, and the ZOO's key.

    >>> Finding.of("normal-eps", "eps from -3.1 to 2.9").entry
    'normal-eps'
    """

    name: str
    seen: str
    effect: str
    remedy: str
    entry: str | None

    @classmethod
    def of(cls, name: str, seen: str) -> "Finding":
        """The finding of that name in the table ``KNOWN``."""
        effect, remedy = KNOWN[name]
        return cls(name, seen, effect, remedy, None if name in WITHOUT_ENTRY else name)


WITHOUT_ENTRY = {"raises", "unknown", "not-finite"}


@dataclass(frozen=True, repr=False)
class Report:
    """The findings and notes of one audit; ``ok`` if there is no finding.

    ``weight`` and ``one_sided`` are read off the returned numbers, None where they could not be.
    ``notes`` hold what is not a bug: a layout that the function does not take, say.

    >>> print(Report((), (), 10.0, False))
    ok: no known bug. The penalty is 10 * mean((slope - 1)^2), two-sided.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    weight: float | None
    one_sided: bool | None

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the findings."""
        return tuple(finding.name for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON.

        >>> Report((), (), 10.0, False).as_dict()["ok"]
        True
        """
        return {"ok": self.ok, **asdict(self)}

    def __str__(self):
        lines = [self.headline()]
        for finding in self.findings:
            lines += [
                "",
                f"{finding.name}",
                f"  seen    {finding.seen}",
                f"  effect  {finding.effect}",
                f"  remedy  {finding.remedy}",
            ]
            lines += [f'  see     ZOO["{finding.entry}"]'] if finding.entry else []
        lines += ["", *(f"note: {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines)

    __repr__ = __str__

    def headline(self) -> str:
        """The first line: ok, or the names of the bugs."""
        if not self.ok:
            count = len(self.findings)
            return f"{count} bug{'s' if count > 1 else ''} found: {', '.join(self.names)}"
        if self.one_sided:
            return f"ok: no known bug. The penalty is {self.weight:g} * mean(max(0, slope - 1)^2), one-sided."
        return f"ok: no known bug. The penalty is {self.weight:g} * mean((slope - 1)^2), two-sided."
