"""The second and third step of an examination: which formula gives the numbers, and what is wrong with it.

Where on the segments a penalty asks is read off point by point: with x = 1 and x_fake = 0 in every entry, an
interpolate *is* its eps. One entry is -3 in both, an anchor that no interpolation can move, and that a clamp
to [-1, 1] does. No statistics is needed but for the law of eps, whose tests raise a false alarm with
probability below 1e-9.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple

import torch
from torch import Tensor

from .calls import ANCHOR, MOST, OTHER_BATCH, PROBES, Call, Observed
from .formulas import Formula, Observation, find_formula
from .probes import GRAD, Probe

SAME = 1e-5  # float32 rounds at 6e-8


class Explanation(NamedTuple):
    """The formula that gives the numbers, None if no known one does, and its weight, a guess then.

    ``block`` is the one of the critic's calls in which the points are, -1 for all of them.
    """

    numbers: list[tuple[Call, Observation]]
    block: int
    formula: Formula | None
    weight: float
    pack: int = 1  # rows that are one sample

    @property
    def names(self) -> tuple[str, ...]:
        """The bugs in the formula."""
        if self.formula is None:
            return ("unknown",)
        sign = ("wrong-sign",) if self.weight < 0 else ()
        return self.formula.names(self.numbers[0][1].gradient.ndim) + sign

    @property
    def weight_and_side(self) -> tuple[float, bool] | None:
        """What a report says of the formula: its weight, and whether it is one-sided."""
        return (float(f"{abs(self.weight):.6g}"), self.formula.one_sided) if self.formula else None

    def __str__(self):
        weight, one_sided = self.weight_and_side
        return f"weight {weight:g}, {'one' if one_sided else 'two'}-sided, on {self.numbers[0][0].layout}"


def explain(observed: Observed) -> Explanation | None:
    """The formula with the fewest bugs; None where there are no finite numbers to be explained."""
    calls = observed.answered
    if any(each.failure for each in observed.usual) or not all(each.value.isfinite() for each in calls):
        return None
    counts, known = {len(each.blocks) for each in calls}, []
    several = len(counts) == 1 and max(counts) <= 7  # the same calls of the critic each time, and few
    for block in (*(range(counts.pop() - 1) if several else ()), -1):
        numbers = [(each, each.observation(block)) for each in calls]
        if found := find_formula([observation for _, observation in numbers]):
            known.append(Explanation(numbers, block, *found))
    guess = abs(calls[0].value.item()) / 16 or 1.0
    best = min(known, key=lambda each: len(each.names), default=Explanation(numbers, -1, None, guess))
    if best.formula is None:
        return next(filter(None, (packed(best, pack) for pack in (2, 3))), best)
    free = observed.dead.value.item() if best.names == ("zero-centred",) and not observed.dead.failure else 0
    target = math.sqrt(max(free / best.weight, 0.0))
    if target and abs((bits := -math.log2(target)) - round(bits)) < 1e-3:  # as of a GradScaler
        return best._replace(formula=replace(best.formula, target=target))
    return best


def packed(plain: Explanation, pack: int) -> Explanation | None:
    """The explanation in which as many rows are one sample of the critic; None if there is none."""
    numbers = []
    for each, (value, gradient, eps) in plain.numbers:
        if len(gradient) % pack:
            return None
        joint = gradient.reshape(len(gradient) // pack, -1, *gradient.shape[2:])
        numbers.append((each, Observation(value, joint, eps[::pack])))
    found = find_formula([observation for _, observation in numbers])
    return Explanation(numbers, -1, *found, pack) if found and not found[0].names(joint.ndim) else None


def derive(observed: Observed, explanation: Explanation | None) -> Iterator[tuple[str, str]]:
    """Name and what was seen, in the order of the calls; where a usual one fails, nothing more."""
    for each in observed.usual:
        yield from each.findings.items()
        if each.failure:
            return
    pack = explanation.pack if explanation else 1
    for each in observed.other:
        yield from each.effects.items()
        if each.failure and OTHER_BATCH % pack == 0:
            yield "fixed-batch", f"it takes {each.layout}, but not {OTHER_BATCH} rows: {each.failure}"
    if not explanation:
        each = next(each for each in observed.answered if not each.value.isfinite())
        yield "not-finite", f"{each} costs {each.value.item()}"
    elif explanation.formula is None and (strange := strangeness(observed)):
        yield from strange.items()
        return
    else:
        yield from value_findings(explanation)
        yield from weight_findings(explanation)
        yield from dead_findings(observed.dead)
    # without a formula, and with several calls of the critic, no one knows which points count
    if (explanation and explanation.formula) or len(observed.usual[0].probe.points) == 1:
        for each in observed.segments:
            yield from each.findings.items()
            if each.failure:
                return
        yield from point_findings(observed, explanation).items()


def strangeness(observed: Observed) -> dict[str, str]:
    """Why no formula can give the numbers: they change from call to call, or not with the critic."""
    values = [each.value.item() for each in (observed.usual[0], *observed.repeated) if not each.failure]
    if len(values) <= len(observed.repeated):
        return {}
    before, later, *others = values
    if all(math.isclose(value, later, rel_tol=1e-6) for value in others):
        return {"not-the-critic": f"critics of slope 1/2, 1, 5 and 20 cost the same, {later:.6g}"}
    if not math.isclose(before, later, rel_tol=1e-6):
        return {"depends-on-calls": f"{observed.usual[0]} costs {before:.6g}, and later {later:.6g}"}
    return {}


def point_findings(observed: Observed, explanation: Explanation | None) -> dict[str, str]:
    """The bugs in the points, and the departures."""
    block, again, moved = explanation.block if explanation else -1, observed.again, observed.moved
    points = [each.blocks[block] for each in observed.segments]
    found = diagnose_points(points)
    if explanation and "wrong-target" in explanation.names:  # points k (x_hat - b) for slope 1/k?
        k = 1 / explanation.formula.target
        b = ANCHOR - points[0].flatten(1)[0, 0].item() / k
        if not diagnose_points([part / k + b for part in points]):
            return {"foreign-units": f"it asks the critic at {k:.4g} (x_hat - {b:.4g}), its slope in x_hat"}
    if explanation and explanation.pack > 1:
        found.pop("batch-eps", None)
        found["pacgan"] = f"one norm for each {explanation.pack} rows, which are one sample of the critic"
    if "off-segment" in found:
        if not moved.failure and torch.equal(moved.blocks[block], points[0]):
            return {"dragan": "the points are near the real rows, and x_fake does not enter"}
        if on_arcs(observed.usual, block):
            return {"arcs": "each point is on an arc, not on the segment, between its two rows"}
    if "ends-only" in found and not again.failure and again.drew:
        found["ends-only"] += "; random numbers are drawn, but they do not enter or are always 0"
    if {*found} <= {"normal-eps", "eps-range"} and "changes-batch" not in observed.usual[0].effects:
        found |= diagnose_pairs(observed.usual[0], block)
    repeated = not again.failure and torch.equal(points[-1], again.blocks[block])
    if repeated and not torch.equal(points[-1], points[0]):
        found["constant-eps"] = "a second call, without a new seed, has the eps of the first"
    return found


def diagnose_pairs(call: Call, block: int) -> dict[str, str]:
    """Rows that are dropped, mixed, or all paired with one, on random rows: name -> what was seen."""
    x, x_fake, points = (each.detach().double().flatten(1) for each in (*call.batch, call.blocks[block]))
    m, d = x.shape
    if len(points) < m:
        return {"fewer-points": f"the critic is asked at {len(points)} points for {m} rows"}
    some = slice(max(3, MOST // (min(len(points), 16) * m * m)))  # of the entries; all, if they are few
    x, x_fake, points = x[:, some], x_fake[:, some], points[:16, None, None, some]
    along = x[:, None] - x_fake
    eps = ((points - x_fake) * along).sum(-1, keepdim=True) / along.square().sum(-1, keepdim=True)
    off = (points - x_fake - eps * along).norm(dim=-1).flatten(1)
    if off.amin(1).max() > 1e-4:
        return {"off-segment": f"a point is {off.amin(1).max():.3g} away from each segment between two rows"}
    nearest = off.argmin(1)
    alone = [name for name, k in (("real", nearest // m), ("fake", nearest % m)) if len(k.unique()) == 1]
    seen = f"{len(nearest)} points are on segments to one {' and one '.join(alone)} row"
    return {"one-partner": seen} if alone and d > 1 else {}


def on_arcs(calls: Sequence[Call], block: int) -> bool:
    """Whether each point is a x + b x_fake on the circle or ellipse through both, and not on the chord."""
    for each in calls:
        x, x_fake = (part.detach().double().flatten(1) for part in each.batch)
        points = each.blocks[block].double().flatten(1)
        if points.shape != x.shape or x.shape[1] < 3:
            return False
        both = torch.stack([x, x_fake], dim=2)
        a, b = torch.linalg.lstsq(both, points[..., None]).solution[..., 0].unbind(1)
        cosines = torch.nn.functional.cosine_similarity(x, x_fake), torch.zeros(())
        if min((a * a + b * b + 2 * a * b * c - 1).abs().max() for c in cosines) > 1e-3:
            return False
    return True


def value_findings(explanation: Explanation) -> Iterator[tuple[str, str]]:
    """Each bug of the formula, with the first number that is off by a hundredth, or else the one most off.

    Or that no formula is known.
    """
    cost = "above squared" if explanation.formula and explanation.formula.one_sided else "square"
    weight, off = abs(explanation.weight), []
    for each, (value, gradient, eps) in explanation.numbers:
        right = weight * Formula(tuple(range(1, gradient.ndim)), cost=cost)(gradient, eps).item()
        off.append((abs(value - right) / (abs(right) + 1e-3 * weight), each, value, right))
    _, each, value, right = next((item for item in off if item[0] > 0.01), max(off, key=itemgetter(0)))
    seen = f"{each} costs {value:.6g} instead of {right:.6g}"
    if "wrong-target" in explanation.names:
        target = explanation.formula.target
        seen += f"; slope {target:.4g} is free: a factor {1 / target:.6g} in it, a weight or a GradScaler's?"
    if "unknown" in explanation.names:
        seen = f"{each} costs {value:.6g}; the right formula with the weight {explanation.weight:.6g}, which "
        seen += f"slope 5 suggests, gives {right:.6g}. None of the known bugs explains it"
    yield from ((name, seen) for name in explanation.names)


def weight_findings(explanation: Explanation) -> Iterator[tuple[str, str]]:
    """d penalty / d weights, of a linear and a bent probe, against that of the formula found."""
    for each, (value, gradient, eps) in (explanation.numbers[0], explanation.numbers[len(PROBES) - 1]):
        found = weight_gradient(each.value, each.probe)
        if found is None:
            yield "no-graph", f"the value {value:.6g} has no gradient in the critic's weights"
            return
        if explanation.formula is None:
            continue
        right = weight_gradient(explanation.weight * explanation.formula(gradient, eps), each.probe)
        size = right.norm().item()
        if not (found - right).norm().item() <= 1e-3 * size + 1e-6 * abs(explanation.weight):
            seen = f"{each} costs {value:.6g} as it should, but its gradient in the weights has length"
            yield "wrong-weight-gradient", f"{seen} {found.norm().item():.6g} instead of {size:.6g}"
            return


def weight_gradient(value: Tensor, probe: Probe) -> Tensor | None:
    """d value / d weights of the probe as one vector, None if there is no way from one to the other.

    A value without a graph may have been differentiated by the function itself, into the fields .grad.
    """
    weights = [probe.weight, probe.bend]
    if not value.requires_grad:
        written = [torch.zeros_like(w) if w.grad is None else w.grad - GRAD for w in weights]
        written = torch.cat([part.detach().flatten() for part in written])
        return written if written.any() else None
    try:
        found = torch.autograd.grad(value, weights, allow_unused=True, retain_graph=True)
    except RuntimeError:  # no graph, or the function has used it up by a backward pass of its own
        return None
    if all(part is None for part in found):
        return None
    parts = (torch.zeros_like(w) if part is None else part for part, w in zip(found, weights, strict=True))
    return torch.cat([part.flatten() for part in parts])


def dead_findings(dead: Call) -> Iterator[tuple[str, str]]:
    """A critic of slope 0: its penalty and the gradient in its weights must be finite."""
    yield from dead.findings.items()
    if dead.failure:
        return
    value, gradient = dead.value.item(), weight_gradient(dead.value, dead.probe)
    length = 0.0 if gradient is None else gradient.norm().item()
    if not (math.isfinite(value) and math.isfinite(length)):
        seen = f"a critic of slope 0 costs {value:.6g}, with a gradient of length {length:.6g} in its weights"
        yield "nan-at-zero", seen


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
