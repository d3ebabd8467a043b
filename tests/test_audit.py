"""``audit``: no false alarm on right penalties of any style, and every bug found by its name."""

import copy
import json
import random
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, vmap

from wganlab import __main__ as cli
from wganlab import constraints, networks
from wganlab.errors import InputError
from wganlab.mistakes import ZOO, Report, audit
from wganlab.mistakes.critics import mixing
from wganlab.mistakes.formulas import Case, Formula, explain, family
from wganlab.mistakes.layouts import BATCHES, ROWS, shapes
from wganlab.mistakes.points import ANCHOR, read, read_law, read_rows
from wganlab.mistakes.probes import Probe, unwrapped
from wganlab.mistakes.report import KNOWN, WITHOUT_ENTRY

# Right penalties, each written in a style of its own


class WithState:
    """A class whose instances are called; it counts its calls and keeps its own generator."""

    def __init__(self, weight=10.0):
        self.weight, self.calls, self.rng = weight, 0, torch.Generator().manual_seed(7)

    def __call__(self, critic, real, fake):
        self.calls += 1
        mix = torch.rand(real.shape[0], generator=self.rng, dtype=real.dtype)
        while mix.ndim < real.ndim:
            mix = mix.unsqueeze(-1)
        points = torch.lerp(fake.detach(), real.detach(), mix).requires_grad_(True)
        scores = critic(points)
        gradients = torch.autograd.grad(
            outputs=scores, inputs=points, grad_outputs=torch.ones_like(scores), create_graph=True
        )[0]
        lengths = gradients.reshape(gradients.shape[0], -1).norm(2, dim=1)
        return ((lengths - 1) ** 2).mean() * self.weight


def by_transforms(critic, x, x_fake):
    """torch.func on one row at a time, with the weights handed in from outside."""
    eps = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)
    weights = dict(critic.named_parameters())

    def score(row):
        return functional_call(critic, weights, (row[None],)).sum()

    gradient = vmap(grad(score))(x_fake + eps * (x - x_fake))
    return 0.5 * (torch.linalg.vector_norm(gradient.flatten(1), dim=1) - 1).clamp_min(0).pow(2).mean()


def by_whole_batch(critic, x, x_fake):
    eps = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)
    gradient = grad(lambda points: critic(points).sum())(eps * x + (1 - eps) * x_fake)
    return 10 * ((gradient**2).flatten(1).sum(1).add(1e-12).sqrt() - 1).square().mean()


def by_a_loop(critic, x, x_fake):
    total = 0.0
    for real, fake in zip(x, x_fake, strict=True):
        eps = random.random()
        point = (eps * real + (1 - eps) * fake)[None].detach().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(point).sum(), point, create_graph=True)
        total = total + 10 * (gradient.norm() - 1) ** 2
    return total / len(x)


def by_jacobian(critic, x, x_fake):
    eps = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)
    rows = torch.autograd.functional.jacobian(
        lambda points: critic(points).sum(), eps * x + (1 - eps) * x_fake, create_graph=True
    )
    return 10 * (rows.flatten(1).norm(dim=1) - 1).square().mean()


def with_numpy(critic, x, x_fake):
    eps = torch.from_numpy(np.random.uniform(size=(len(x), *[1] * (x.ndim - 1)))).to(x.dtype)  # noqa: NPY002
    points = (eps * x + (1 - eps) * x_fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def with_fresh_numpy(critic, x, x_fake):
    eps = torch.tensor(np.random.default_rng().random(len(x)), dtype=x.dtype)
    points = (eps.view(-1, *[1] * (x.ndim - 1)) * (x - x_fake) + x_fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def for_pictures(critic, x, x_fake):
    m, c, h, w = x.shape
    alpha = torch.rand(m, 1, 1, 1).expand(m, c, h, w)
    points = (alpha * x + (1 - alpha) * x_fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return 10 * ((gradient.view(m, -1).norm(2, dim=1) - 1) ** 2).mean()


def for_pictures_by_broadcasting(critic, x, x_fake):
    alpha = torch.rand(x.shape[0], 1, 1, 1)
    points = (alpha * x + (1 - alpha) * x_fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return 10 * ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()


def for_rows(critic, x, x_fake):
    alpha = torch.rand(len(x), 1)
    points = (alpha * x + (1 - alpha) * x_fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return 10 * ((gradient.norm(2, dim=1) - 1) ** 2).mean()


def for_column_scores(critic, x, x_fake):
    """As in much code: the critic's scores have the shape (m, 1)."""
    alpha = torch.rand(len(x), *[1] * (x.ndim - 1))
    points = (alpha * x + (1 - alpha) * x_fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points), points, torch.ones(len(x), 1), create_graph=True)
    return 10 * ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()


def in_single_precision(critic, x, x_fake):
    """Casts whatever comes; an eps of single precision too."""
    x, x_fake = x.float(), x_fake.float()
    eps = torch.rand(len(x), *[1] * (x.ndim - 1))
    points = (eps * x + (1 - eps) * x_fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def single_precision_alone(critic, x, x_fake):
    if x.dtype != torch.float32:
        raise TypeError("float32 only")
    return in_single_precision(critic, x, x_fake)


def with_shuffled_pairs(critic, x, x_fake):
    """Real and fake rows are independent, so any pairing is right."""
    return with_numpy(critic, x, x_fake[torch.randperm(len(x))])


def with_two_points_a_segment(critic, x, x_fake):
    return with_numpy(critic, torch.cat([x, x]), torch.cat([x_fake, x_fake]))


def that_also_scores_the_batch(critic, x, x_fake):
    """Looks at the scores of both batches before it turns to the penalty."""
    gap = critic(x).mean() - critic(x_fake).mean()
    return with_numpy(critic, x, x_fake) + 0 * gap.detach()


def that_freezes_and_thaws(critic, x, x_fake):
    mode = critic.training
    critic.eval()
    value = with_numpy(critic, x, x_fake)
    critic.train(mode)
    return value


def of_shape_one(critic, x, x_fake):
    return with_numpy(critic, x, x_fake).reshape(1)


RIGHT = {
    "state": (WithState(), 10, False),
    "transforms": (by_transforms, 0.5, True),
    "whole batch": (by_whole_batch, 10, False),
    "loop": (by_a_loop, 10, False),
    "jacobian": (by_jacobian, 10, False),
    "numpy": (with_numpy, 10, False),
    "fresh numpy": (with_fresh_numpy, 10, False),
    "pictures": (for_pictures, 10, False),
    "pictures broadcast": (for_pictures_by_broadcasting, 10, False),
    "rows": (for_rows, 10, False),
    "column": (for_column_scores, 10, False),
    "single": (in_single_precision, 10, False),
    "single alone": (single_precision_alone, 10, False),
    "shuffled": (with_shuffled_pairs, 10, False),
    "two points": (with_two_points_a_segment, 10, False),
    "also scores": (that_also_scores_the_batch, 10, False),
    "thaws": (that_freezes_and_thaws, 10, False),
    "shape (1,)": (of_shape_one, 10, False),
    "zoo": (ZOO["global-norm"].right, 10, False),
}


def ours(weight, one_sided=False):
    """The project's own penalty with its eps drawn inside."""
    penalty = constraints.GradientPenalty(weight, one_sided).penalty
    return lambda critic, x, x_fake: penalty(critic, x, x_fake, torch.rand(len(x), dtype=x.dtype))


@pytest.mark.parametrize(("function", "weight", "one_sided"), RIGHT.values(), ids=RIGHT)
def test_right_penalties_of_any_style_pass(function, weight, one_sided):
    report = audit(function)
    assert report.ok, report
    assert (report.weight, report.one_sided) == (weight, one_sided)


@pytest.mark.parametrize("weight", [1e-3, 0.1, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize("one_sided", [False, True])
def test_the_projects_own_penalty_passes(weight, one_sided):
    report = audit(ours(weight, one_sided))
    assert report.ok, report
    assert report.weight == pytest.approx(weight, rel=1e-5)
    assert (report.one_sided, report.notes) == (one_sided, ())


def test_no_false_alarm_with_thirty_seeds():
    """The tests of the law of eps raise a false alarm less than once in 10^9; all else is exact."""
    for seed in range(30):
        rng = torch.Generator().manual_seed(seed)
        source = np.random.default_rng(seed)

        def drawn(critic, x, x_fake, rng=rng, source=source, seed=seed):
            eps = torch.rand(len(x), generator=rng) if seed % 2 else torch.tensor(source.random(len(x)))
            return constraints.GradientPenalty(1.0).penalty(critic, x, x_fake, eps)

        report = audit(drawn)
        assert report.ok, (seed, report)


# Right penalties put together from right parts

PARTS = {
    "eps": [
        "torch.rand(m, *ones, dtype=x.dtype)",
        "torch.rand(m).view(m, *ones).to(x.dtype)",
        "torch.empty(m, *ones, dtype=x.dtype).uniform_()",
        "torch.distributions.Uniform(0.0, 1.0).sample((m, *ones))",
        "torch.distributions.Beta(1.0, 1.0).sample((m, *ones)).to(x.dtype)",
        "torch.from_numpy(np.random.rand(m, *ones)).to(x.dtype)",
        "torch.tensor([random.random() for _ in range(m)], dtype=x.dtype).view(m, *ones)",
        "torch.special.ndtr(torch.randn(m, *ones, dtype=x.dtype))",
        "(torch.arange(m) / m + torch.rand(())).remainder(1.0).view(m, *ones)",
    ],
    "points": [
        "eps * x + (1 - eps) * y",
        "(1 - eps) * x + eps * y",
        "y + eps * (x - y)",
        "x - eps * (x - y)",
        "torch.lerp(x, y, eps.to(x.dtype))",
        "eps.expand_as(x) * x + (1 - eps.expand_as(x)) * y.roll(1, 0)",
    ],
    "gradient": [
        "torch.autograd.grad(f(p).sum(), p, create_graph=True)[0]",
        "torch.autograd.grad(f(p), p, torch.ones_like(f(p)), create_graph=True, retain_graph=True)[0]",
        "len(p) * torch.autograd.grad(f(p).mean(), p, create_graph=True)[0]",
        "grad(lambda q: f(q).sum())(p)",
        "vmap(grad(lambda q: f(q[None]).sum()))(p)",
        "vmap(jacrev(lambda q: f(q[None]).squeeze()))(p)",
    ],
    "slope": [
        "g.flatten(1).norm(dim=1)",
        "g.view(m, -1).norm(2, 1)",
        "torch.linalg.vector_norm(g, dim=tuple(range(1, g.ndim)))",
        "(g.square().flatten(1).sum(1) + 1e-12).sqrt()",
        "(g.pow(2).reshape(m, -1).sum(-1, keepdim=True) + 1e-10) ** 0.5",
        "torch.stack([row.norm() for row in g])",
    ],
    "cost": [
        "10 * (s - 1).square().mean()",
        "((s - 1) ** 2).mean() * 0.1",
        "torch.nn.functional.mse_loss(s, torch.ones_like(s))",
        "5.0 * (1 - s).pow(2).sum() / m",
        "10 * (s - 1).relu().square().mean()",
        "10 * torch.clamp(s - 1, min=0).pow(2).mean(0).squeeze()",
        "10 * torch.maximum(s - 1, torch.zeros_like(s)).square().mean()",
    ],
}
TEMPLATE = """
def penalty(f, x, y):
    m, ones = len(x), [1] * (x.ndim - 1)
    eps = {eps}
    p = ({points}).detach().requires_grad_()
    g = {gradient}
    s = {slope}
    return {cost}
"""


@pytest.mark.parametrize("seed", range(40))
def test_right_parts_make_right_penalties(seed):
    """Each of 13,608 penalties is right; here are 40, in which each part comes up."""
    turn = {name: (seed + k * (seed // 7)) % len(PARTS[name]) for k, name in enumerate(PARTS)}
    chosen = {name: PARTS[name][number] for name, number in turn.items()}
    space = {"torch": torch, "np": np, "random": random, "grad": grad, "vmap": vmap, "jacrev": jacrev}
    exec(TEMPLATE.format(**chosen), space)
    report = audit(space["penalty"])
    assert report.ok, (chosen, report)
    assert report.one_sided == any(word in chosen["cost"] for word in ("relu", "clamp", "maximum"))


# Mutations: a right penalty, one line of which is changed

SOURCE = """
import torch
CALLS = []

def penalty(critic, x, x_fake):
    eps = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)
    x_hat = (eps * x + (1 - eps) * x_fake).requires_grad_()
    score = critic(x_hat).sum()
    (gradient,) = torch.autograd.grad(score, x_hat, create_graph=True)
    slope = gradient.flatten(1).norm(dim=1)
    excess = slope - 1
    return 10 * excess.square().mean()
"""
NORM, EPS = "gradient.flatten(1).norm(dim=1)", "torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)"
MUTATIONS = {
    "global norm": (NORM, "gradient.norm()", {"global-norm"}),
    "global root": (NORM, "gradient.square().sum().sqrt()", {"global-norm", "nan-at-zero"}),
    "axis 1": (NORM, "gradient.norm(dim=1)", {"channel-norm"}),
    "axis 0": (NORM, "gradient.flatten(1).norm(dim=0)", {"wrong-axes"}),
    "last axis": (NORM, "gradient.norm(dim=-1)", {"wrong-axes"}),
    "entries": (NORM, "gradient.abs()", {"wrong-axes"}),
    "sum norm": ("norm(dim=1)", "norm(p=1, dim=1)", {"other-norm"}),
    "largest": ("norm(dim=1)", "norm(p=float('inf'), dim=1)", {"other-norm"}),
    "root mean square": ("flatten(1).norm(dim=1)", "flatten(1).square().mean(1).add(1e-12).sqrt()",
        {"other-norm"}),
    "no root": ("norm(dim=1)", "square().sum(1)", {"squared-norm"}),
    "root of 0": ("norm(dim=1)", "square().sum(1).sqrt()", {"nan-at-zero"}),
    "power one half": ("norm(dim=1)", "pow(2).sum(1) ** 0.5", {"nan-at-zero"}),
    "target 0": ("slope - 1", "slope", {"zero-centred"}),
    "target 2": ("slope - 1", "slope - 2", {"wrong-target"}),
    "plus": ("slope - 1", "slope + 1", {"wrong-target"}),
    "no square": ("excess.square()", "excess", {"no-square"}),
    "absolute": ("excess.square()", "excess.abs()", {"no-square"}),
    "one-sided, no square": ("excess.square()", "excess.relu()", {"no-square"}),
    "wrong side": ("excess.square()", "(-excess).relu().square()", {"wrong-side"}),
    "fourth power": ("excess.square()", "excess.pow(4)", {"unknown"}),
    "sum": ("square().mean()", "square().sum()", {"sum-over-batch"}),
    "no mean": (".mean()", "", {"no-mean"}),
    "root of mean": (".mean()", ".mean().sqrt()", {"unknown"}),
    "maximum": ("mean()", "max()", {"unknown"}),
    "mean first": ("excess.square().mean()", "excess.mean().square()", {"mean-slope"}),
    "sign": ("return 10", "return -10", {"wrong-sign"}),
    "zero": ("return 10", "return 0", {"unknown"}),
    "no graph": (", create_graph=True", "", {"no-graph"}),
    "retain instead": ("create_graph", "retain_graph", {"no-graph"}),
    "item": ("mean()", "mean().item()", {"no-graph"}),
    "detached slope": ("slope - 1", "slope.detach() - 1", {"no-graph"}),
    "half the gradient": ("excess.square()", "(excess.detach() * excess)", {"wrong-weight-gradient"}),
    "mean score": ("critic(x_hat).sum()", "critic(x_hat).mean()", {"mean-score"}),
    "square of the score": ("critic(x_hat).sum()", "critic(x_hat).square().sum()", {"unknown"}),
    "one eps": (EPS, "torch.rand(1)", {"batch-eps"}),
    "eps a float": (EPS, "torch.rand(()).item()", {"batch-eps"}),
    "eps for halves": ("x_hat = (", "eps = eps[torch.arange(len(x)) // 2]; x_hat = (", {"batch-eps"}),
    "eps an entry": (EPS, "torch.rand_like(x)", {"pixel-eps"}),
    "eps a column": (EPS, "torch.rand_like(x[:1])", {"pixel-eps", "batch-eps"}),
    "normal": ("torch.rand(", "torch.randn(", {"normal-eps"}),
    "normal, smaller": ("torch.rand(", "0.3 * torch.randn(", {"eps-range"}),
    "from -1": ("eps * x + (1 - eps)", "(2 * eps - 1) * x + (2 - 2 * eps)", {"eps-range"}),
    "half": ("x_hat = (", "eps = eps / 2; x_hat = (", {"eps-range"}),
    "squared eps": ("x_hat = (", "eps = eps ** 2; x_hat = (", {"eps-range"}),
    "bernoulli": ("x_hat = (", "eps = eps.round(); x_hat = (", {"ends-only"}),
    "tenths": ("x_hat = (", "eps = (10 * eps).floor() / 10; x_hat = (", {"batch-eps"}),
    "middle": ("eps * x + (1 - eps) * x_fake", "0.5 * x + 0.5 * x_fake", {"constant-eps"}),
    "seeded": ("eps = torch.rand(", "torch.manual_seed(0); eps = torch.rand(", {"constant-eps"}),
    "stratified": ("x_hat = (", "eps = torch.linspace(0, 1, len(x)).view_as(eps); x_hat = (",
        {"constant-eps"}),
    "real": ("eps * x + (1 - eps) * x_fake", "1 * x", {"ends-only"}),
    "fake": ("eps * x + (1 - eps) * x_fake", "1 * x_fake", {"ends-only"}),
    "both ends": ("eps * x + (1 - eps) * x_fake", "torch.cat([x, x_fake])", {"ends-only"}),
    "eps twice": ("(1 - eps) * x_fake", "eps * x_fake", {"off-segment"}),
    "sum of both": ("(1 - eps) * x_fake", "x_fake", {"off-segment"}),
    "difference": ("eps * x + (1 - eps) * x_fake", "eps * (x - x_fake)", {"off-segment"}),
    "noise": ("(1 - eps) * x_fake)", "(1 - eps) * x_fake + 0.1 * torch.randn_like(x))", {"off-segment"}),
    "little noise": ("(1 - eps) * x_fake)", "(1 - eps) * x_fake + 1e-3 * torch.rand_like(x))",
        {"off-segment"}),
    "clamped": ("(1 - eps) * x_fake)", "(1 - eps) * x_fake).clamp(-0.4, 0.4)", {"off-segment"}),
    "three channels": ("*[1] * (x.ndim - 1)", "3, 1, 1", {"pixel-eps", "fixed-channels"}),
    "batch of 64": ("torch.rand(len(x)", "torch.rand(64", {"fixed-batch"}),
    "batch of 100": ("torch.rand(len(x)", "torch.rand(100", {"fixed-batch"}),
    "divided by 64": ("mean()", "sum() / 64", {"sum-over-batch"}),
    "in place": ("(eps * x + (1 - eps) * x_fake)", "x.mul_(eps).add_((1 - eps) * x_fake)", {"changes-batch"}),
    "backward": ("return ", "excess.square().sum().backward(retain_graph=True); return ", {"writes-grad"}),
    "backward, used up": ("return 10 * excess.square().mean()",
        "value = excess.square().mean(); value.backward(); return value",
        {"writes-grad", "no-graph"}),
    "complex": ("return 10", "return 1j", {"raises"}),
    "truth": ("return 10 * excess.square().mean()", "return (excess < 1).all()", {"raises"}),
    "whole number": ("return 10 * excess.square().mean()",
        "return (10 * excess.square().mean()).round().long()",
        {"no-graph", "unknown"}),
    "tiny and wrong": ("10 * excess.square()", "1e-9 * (slope - 1.01).square()", {"wrong-target"}),
    "zero_grad": ("eps = torch", "critic.zero_grad(); eps = torch", {"writes-grad"}),
    "eval": ("eps = torch", "critic.eval(); eps = torch", {"switches-mode"}),
    "freeze": ("eps = torch", "critic.requires_grad_(False); eps = torch", {"no-graph", "changes-critic"}),
    "shrink": ("eps = torch", "[w.data.mul_(0.9) for w in critic.parameters()]; eps = torch",
        {"changes-critic"}),
    "no grad": ("slope = gradient", "gradient = gradient.data; slope = gradient", {"no-graph"}),
    "raise": ("return 10", "raise RuntimeError('oh'); return 10", {"raises"}),
    "none": ("return 10 * excess", "10 * excess", {"raises"}),
    "pair": ("return 10 * excess.square().mean()", "return 10 * excess.square().mean(), slope", {"raises"}),
    "exit": ("return 10", "exit(); return 10", {"raises"}),
    "no critic": ("return 10 * excess.square().mean()", "return x.sum()", {"no-graph", "unknown"}),
    "finite difference": (NORM, "(critic(x) - critic(x_fake)).abs() / (x - x_fake).flatten(1).norm(dim=1)",
        {"unknown"}),
}  # fmt: skip


def mutated(*changes):
    text = SOURCE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    space = {}
    exec(text, space)
    return space["penalty"]


def test_the_source_of_the_mutations_is_right():
    assert audit(mutated()).ok


@pytest.mark.parametrize(("old", "new", "names"), MUTATIONS.values(), ids=MUTATIONS)
def test_every_mutation_is_found(old, new, names):
    report = audit(mutated((old, new)))
    assert set(report.names) == names, report
    for finding in report.findings:
        assert finding.seen
        assert (finding.entry is None) == (finding.name in WITHOUT_ENTRY)


SINGLES = ["axis 1", "no root", "target 0", "sum", "sign", "no graph", "one eps", "normal", "noise", "eval"]
SINGLES.append("mean score")


@pytest.mark.parametrize("one", SINGLES)
def test_two_bugs_never_hide_each_other(one):
    """Both names, or at least one; and never none."""
    both = 0
    others = [name for name in SINGLES if name > one]
    for other in others:
        try:
            function = mutated(MUTATIONS[one][:2], MUTATIONS[other][:2])
        except AssertionError:
            both += 1  # they change the same line
            continue
        found = set(audit(function).names)
        expected = MUTATIONS[one][2] | MUTATIONS[other][2]
        assert found & expected, (one, other, found)
        both += expected <= found
    assert both >= len(others) - 2


# What a report says


def test_a_report_reads_well():
    report = audit(ZOO["global-norm"].wrong)
    assert str(report) == (
        "1 bug found: global-norm\n\n"
        "global-norm\n"
        "  seen    a critic with slope 5 in every row, on rows of shape (6, 5), costs 1265.05 instead of 160"
        "\n"
        "  effect  the norm grows with the root of the batch size; "
        "the critic's slope settles near 1 / sqrt(m)\n"
        "  remedy  one norm a row: gradient.flatten(1).norm(dim=1), of shape (m,)\n"
        '  see     ZOO["global-norm"]'
    )
    assert pytest.approx(1265.05, abs=0.005) == 10 * (5 * 6**0.5 - 1) ** 2
    assert repr(report) == str(report)
    assert not report.ok


def test_the_headline_of_a_right_penalty_is_its_formula():
    assert str(audit(ours(10.0))) == "ok: no known bug. The penalty is 10 * mean((slope - 1)^2), two-sided."
    assert audit(ours(0.5, one_sided=True)).headline() == (
        "ok: no known bug. The penalty is 0.5 * mean(max(0, slope - 1)^2), one-sided."
    )


def test_as_dict_is_json():
    found = json.loads(json.dumps(audit(ZOO["normal-eps"].wrong).as_dict()))
    assert found["ok"] is False
    assert [finding["name"] for finding in found["findings"]] == ["normal-eps"]
    assert found["weight"] == 10
    assert set(found) == {"ok", "findings", "notes", "weight", "one_sided"}


def test_every_known_bug_is_complete_and_has_its_place_in_the_zoo():
    for name, (effect, remedy) in KNOWN.items():
        assert effect
        assert remedy
        assert (name in ZOO) != (name in WITHOUT_ENTRY)


def test_an_unknown_deviation_comes_with_two_numbers():
    report = audit(mutated(("excess.square()", "excess.pow(4)")))
    assert report.names == ("unknown",)
    assert report.weight is None
    assert "None of the known bugs explains it" in report.findings[0].seen
    assert "the weight 160" in report.findings[0].seen  # 10 * 4^4 = 2560 = 160 * 4^2
    assert report.findings[0].entry is None


def test_what_is_wrong_for_one_number_of_channels_alone_is_found():
    """The rows of a gradient of (m, 1, H, W) are slopes after view(-1, H W); with 3 channels they are not."""

    def penalty(critic, x, x_fake):
        eps = torch.rand(len(x), 1, 1, 1)
        points = (eps * x + (1 - eps) * x_fake).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        return 10 * (gradient.view(-1, x.shape[2] * x.shape[3]).norm(dim=1) - 1).square().mean()

    assert audit(penalty).names == ("wrong-axes",)

    def the_other_way(critic, x, x_fake):
        value = penalty(critic, x.sum(1, keepdim=True), x_fake)
        return with_numpy(critic, x, x_fake) if x.shape[1] == 3 else 2 * value

    report = audit(the_other_way)
    assert not report.ok


def test_a_weight_that_depends_on_the_data_is_found():
    report = audit(lambda critic, x, x_fake: x.ndim * with_numpy(critic, x, x_fake))
    assert report.names == ("unknown",)
    assert report.findings[0].seen == (
        "weight 20, two-sided, on rows of shape (6, 5), weight 40, two-sided, on pictures of shape "
        "(6, 1, 4, 5): two different penalties"
    )


def test_what_is_no_bug_is_a_note():
    (note,) = audit(for_pictures).notes
    assert note.startswith("rows: not taken (ValueError")
    refused, trap = audit(for_rows).notes
    assert refused.startswith("pictures: not taken (RuntimeError")
    assert "when the batch size is a side of the picture" in trap
    assert all("scores have shape (m, 1)" in note for note in audit(for_column_scores).notes)
    assert all("float64 data raise an error" in note for note in audit(single_precision_alone).notes)

    def squeezing(critic, x, x_fake):
        return with_numpy(critic, x, x_fake) if len(x) > 1 else 1 / 0

    report = audit(squeezing)
    assert report.ok
    assert all("a batch of one row raises ZeroDivisionError" in note for note in report.notes)


def test_rows_without_a_batch_are_served():
    def one(x, x_fake, critic):
        eps = torch.rand((), dtype=x.dtype)
        return (grad(critic)(eps * x + (1 - eps) * x_fake).norm() - 1) ** 2

    def penalty(critic, x, x_fake):
        return vmap(one, in_dims=(0, 0, None), randomness="different")(x, x_fake, critic).mean()

    report = audit(penalty)
    assert report.ok
    assert all("scores one row without a batch" in note for note in report.notes)


def test_exceptions_are_findings():
    with pytest.raises(InputError, match=r"with \(critic, x, x_fake\) alone, but: too many .* Wrap it"):
        audit(lambda critic, x: 0)
    with pytest.raises(InputError, match="missing a required argument: 'weight'. Wrap it: lambda critic"):
        audit(lambda critic, x, x_fake, weight: 0)

    def moody(critic, x, x_fake):
        if critic.bend != 0:
            raise KeyError("bend")
        return with_numpy(critic, x, x_fake)

    assert audit(moody).names == ("raises",)
    assert "KeyError: 'bend'" in audit(moody).findings[0].seen


def test_refuses_what_cannot_be_called():
    with pytest.raises(InputError, match=r"got Tensor\. Hand over the function, not what it returned"):
        audit(torch.zeros(()))
    with pytest.raises(InputError, match="needs an nn.Module as critic, got str"):
        audit(with_numpy, critic="mlp")


# Leaves everything as it was


def test_random_states_and_modes_are_restored():
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    expected = torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)

    def rude(critic, x, x_fake):
        torch.manual_seed(0)
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float64)
        return with_numpy(critic, x, x_fake)

    with torch.no_grad():
        audit(rude)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        assert audit(rude).ok
        assert torch.is_inference_mode_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected  # noqa: NPY002


def test_the_same_report_twice_and_under_any_seed(capsys):
    def chatty(critic, x, x_fake):
        print("calling")
        return with_numpy(critic, x, 1.5 * x_fake)

    reports = set()
    for seed in range(3):
        torch.manual_seed(seed)
        reports.add(str(audit(chatty)))
    assert len(reports) == 1
    assert capsys.readouterr().out == ""


def test_the_readers_critic_is_left_alone():
    critic = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    before = copy.deepcopy(critic.state_dict())
    audit(with_numpy, critic=critic)
    assert critic.training
    assert all(torch.equal(before[name], part) for name, part in critic.state_dict().items())
    assert all(weight.grad is None for weight in critic.parameters())


def test_one_audit_takes_less_than_two_seconds():
    start = time.process_time()
    audit(ours(10.0))
    assert time.process_time() - start < 2


# The reader's critic


@pytest.mark.parametrize(
    "norm",
    [nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.InstanceNorm1d(8), nn.Identity(), nn.Dropout(0.5)],
    ids=lambda norm: type(norm).__name__,
)
def test_critics_that_score_rows_apart_pass(norm):
    shape = nn.Unflatten(1, (1, 8)) if "Instance" in str(norm) else nn.Identity()
    critic = nn.Sequential(nn.Linear(2, 8), shape, norm, nn.Flatten(), nn.Linear(8, 1))
    report = audit(with_numpy, critic=critic)
    assert report.ok
    assert report.notes == ("critic: each row of shape (2,) is scored by itself",)


def test_critics_that_mix_rows_are_found():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(1))
    critic(torch.zeros(2, 3, 32, 32))
    report = audit(with_numpy, critic=critic)
    assert report.names == ("mixes-rows",)
    assert "(3, 32, 32)" in report.findings[0].seen
    assert "'1' (BatchNorm2d)" in report.findings[0].seen
    fixed = audit(with_numpy, critic=critic.eval())
    assert fixed.ok
    assert "in training mode it mixes rows" in fixed.notes[1]


def test_a_critic_that_compares_with_the_mean_of_the_batch_is_found():
    class Minibatch(nn.Module):
        def forward(self, x):
            return (x - x.mean(0)).square().sum(1)

    assert audit(with_numpy, critic=Minibatch()).names == ("mixes-rows",)


@pytest.mark.parametrize(
    ("critic", "row"),
    [
        (networks.mlp(7, 1), (7,)),
        (networks.mlp((3, 8, 8), 1), (192,)),
        (networks.dcgan_critic(width=2), (1, 28, 28)),
        (nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Flatten(), nn.Linear(6, 1)), (6,)),
    ],
)
def test_the_shape_of_a_critics_data_is_guessed(critic, row):
    moved, found = mixing(critic, mode=True)
    assert moved == 0
    assert found == row


def test_critics_with_state_and_hooks_are_left_as_they_were():
    torch.manual_seed(0)
    hidden = nn.utils.spectral_norm(nn.Linear(2, 8))
    hooked = nn.Sequential(hidden, nn.ReLU(), nn.utils.parametrizations.weight_norm(nn.Linear(8, 1)))
    hooked(torch.ones(3, 2)).sum().backward()
    before = copy.deepcopy(hooked.state_dict())
    gradients = [weight.grad.clone() for weight in hooked.parameters()]
    assert mixing(hooked, mode=True) == (0.0, (2,))
    assert audit(with_numpy, critic=hooked).ok
    assert all(torch.equal(before[name], part) for name, part in hooked.state_dict().items())
    assert all(torch.equal(a.grad, b) for a, b in zip(hooked.parameters(), gradients, strict=True))
    hooked[1].eval()
    audit(with_numpy, critic=hooked)
    assert [module.training for module in hooked] == [True, False, True]


def test_a_lazy_critic_is_not_judged():
    critic = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1))
    assert "was not judged" in audit(with_numpy, critic=critic).notes[0]
    assert nn.parameter.is_lazy(critic[0].weight)


def test_a_critic_of_unknown_shape_is_a_note():
    class Odd(nn.Module):
        def forward(self, x):
            return x.reshape(-1, 17, 23).sum((1, 2))

    report = audit(with_numpy, critic=Odd())
    assert report.ok
    assert "was not judged" in report.notes[0]


# The parts


def test_a_probes_gradient_is_that_of_autograd():
    torch.manual_seed(0)
    probe = Probe((3, 2, 2), slope=0.7, bend=0.9)
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    assert torch.allclose(constraints.input_gradient(probe, x), probe.gradient(x), rtol=1e-12)
    assert Probe((5,), slope=5.0).weight.norm().item() == pytest.approx(5)
    with pytest.raises(ValueError, match=r"handed shape \(4, 1, 3, 2, 2\), rows have shape \(3, 2, 2\)"):
        probe(x[:, None])


def test_points_are_recorded_through_copies_and_transforms():
    probe = Probe((2,), slope=1.0)
    x = torch.randn(3, 2)
    copy.deepcopy(probe)(x)
    vmap(grad(lambda row: probe(row[None]).sum()))(x)
    grad(lambda rows: probe(rows).sum())(x)
    assert all(torch.equal(points, x) for points in probe.points)
    assert len(probe.points) == 3
    assert torch.equal(unwrapped(x), x)


@pytest.mark.parametrize("ndim", [2, 4])
def test_no_two_likely_formulas_agree(ndim):
    """Each member with at most one bug is told from all others that come before it in the family."""
    rng = torch.Generator().manual_seed(0)
    sizes = {0.05: 6, 0.3: 6, 0.6: 7, 1.0: 6, 1.5: 6, 3.0: 7, 8.0: 6, 20.0: 6}
    row = (3, 2, 4)[: ndim - 1]
    batches = [s * torch.randn(m, *row, generator=rng, dtype=torch.float64) for s, m in sizes.items()]
    eps = [torch.rand(len(batch), generator=rng, dtype=torch.float64) for batch in batches]
    singles = [member for member in family(ndim) if len(member.names(ndim)) <= 1]
    assert len(singles) > 20
    for member in singles:
        cases = [Case(3.0 * member(batch, e).item(), batch, e) for batch, e in zip(batches, eps, strict=True)]
        found, weight = explain(cases)
        assert set(found.names(ndim)) == set(member.names(ndim)), (member, found)
        assert weight == pytest.approx(3)


def test_right_formulas_come_first():
    for ndim in (2, 4):
        first, second = family(ndim)[:2]
        assert first.names(ndim) == second.names(ndim) == ()
        assert (first.one_sided, second.one_sided) == (False, True)
    assert Formula((1,)).names(4) == ("channel-norm",)


def test_the_law_of_eps():
    rng = torch.Generator().manual_seed(0)
    uniform = torch.rand(2048, generator=rng, dtype=torch.float64)
    assert read_law(uniform, shared=False) == {}
    assert set(read_law(uniform.square(), shared=False)) == {"eps-range"}
    assert set(read_law(0.05 + 0.9 * uniform, shared=False)) == {"eps-range"}
    assert set(read_law(torch.special.ndtri(uniform), shared=False)) == {"normal-eps"}
    assert set(read_law(2 * torch.special.ndtri(uniform), shared=False)) == {"eps-range"}
    assert read_law(torch.tensor([0.3, 0.4]), shared=True) == {}
    assert read_rows([uniform, uniform.flip(0)]) == {}
    assert set(read_rows([uniform, uniform])) == {"constant-eps"}


def test_the_anchor_does_not_move():
    eps = torch.rand(64, 1, dtype=torch.float64)
    points = torch.cat([torch.full((64, 1), ANCHOR), eps, eps], dim=1)
    assert "off-segment" not in read([points])
    assert set(read([points + 0.01])) == {"off-segment"}
    assert set(read([points * torch.nan])) == {"off-segment"}


def test_no_batch_size_is_a_side_of_a_picture():
    for kind in ROWS:
        one, both = shapes(kind)
        assert all(m not in row for m, row in one + both)
        assert {m for m, _ in one} >= set(BATCHES[1:6])


# The command line

FILE = """
import torch
from torch import nn
from neighbour import WEIGHT
import argparse
argparse.ArgumentParser().parse_args()
print("imported")

def penalty(critic, x, x_fake):
    print("called")
    eps = torch.rand(len(x), *[1] * (x.ndim - 1))
    x_hat = (eps * x + (1 - eps) * x_fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    return WEIGHT * (gradient.flatten(1).norm(dim=1) - 1).square().mean()

def wrong(critic, x, x_fake):
    return -penalty(critic, x, x_fake)

class Penalty:
    def __call__(self, critic, x, x_fake):
        return penalty(critic, x, x_fake)

    @staticmethod
    def apply(critic, x, x_fake):
        return penalty(critic, x, x_fake)

class Needy:
    def __init__(self, weight): ...

def make_critic():
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))

critic = nn.Linear(2, 1)
number = 3
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "neighbour.py").write_text("WEIGHT = 4.0")
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def test_audit_of_a_file(file, capsys):
    before, words = list(sys.path), list(sys.argv)
    assert cli.main(["audit", f"{file}:penalty"]) == 0
    assert sys.argv == words
    assert capsys.readouterr().out == (
        "ok: no known bug. The penalty is 4 * mean((slope - 1)^2), two-sided.\n"
    )
    assert cli.main(["audit", f"{file}:wrong"]) == 6
    assert capsys.readouterr().out.startswith("1 bug found: wrong-sign\n")
    assert sys.path == before
    assert "neighbour" not in sys.modules
    assert {path.name for path in file.parent.iterdir()} == {"mine.py", "neighbour.py"}


def test_classes_methods_and_critics(file, capsys):
    for name in ("Penalty", "Penalty.apply"):
        assert cli.main(["audit", f"{file}:{name}"]) == 0
    assert cli.main(["audit", f"{file}:penalty", "--critic", f"{file}:critic"]) == 0
    assert "note: critic: each row of shape (2,)" in capsys.readouterr().out
    assert cli.main(["audit", f"{file}:penalty", "--critic", f"{file}:make_critic"]) == 6
    assert "1 bug found: mixes-rows" in capsys.readouterr().out


def test_audit_of_several_files_ends_with_the_worst(file, tmp_path, capsys):
    other = tmp_path / "other" / "mine.py"
    other.parent.mkdir()
    other.write_text(FILE)
    (other.parent / "neighbour.py").write_text("WEIGHT = 7.0")
    assert cli.main(["audit", f"{file}:penalty", f"{other}:penalty"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[-1] for line in lines] == [
        f" no known bug. The penalty is {weight} * mean((slope - 1)^2), two-sided." for weight in (4, 7)
    ]
    assert cli.main(["audit", f"{file}:wrong", f"{file}:penalty"]) == 6
    assert capsys.readouterr().out.count("\n") == 2
    assert cli.main(["audit", f"{file}:wrong", f"{file}:absent", f"{file}:penalty"]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 2
    assert captured.err.count("has no 'absent'") == 1


def test_audit_as_json(file, capsys):
    assert cli.main(["audit", "--json", f"{file}:wrong", f"{file}:absent"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found[f"{file}:wrong"]["findings"][0]["name"] == "wrong-sign"
    assert "has no 'absent'" in found[f"{file}:absent"]["error"]


BROKEN = {
    "no colon": ("mine.py", "needs FILE.py:FUNCTION"),
    "no name": ("mine.py:", "needs FILE.py:FUNCTION"),
    "no file": ("none.py:f", "There is no file none.py to audit"),
    "no function": ("mine.py:f", "has no 'f'. It has: penalty, wrong, Penalty"),
    "no attribute": ("mine.py:Penalty.f", "has no 'Penalty.f'"),
    "not callable": ("mine.py:number", "got int"),
    "needs arguments": ("mine.py:Needy", "cannot be made without arguments"),
    "syntax": ("syntax.py:f", "cannot be imported (SyntaxError"),
    "raises": ("raises.py:f", "cannot be imported (ZeroDivisionError: division by zero)"),
    "exits": ("exits.py:f", "cannot be imported (SystemExit: 3)"),
    "text": ("text.txt:f", "is no Python file"),
}


@pytest.mark.parametrize(("place", "message"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read_is_one_line_and_2(place, message, file, capsys, monkeypatch):
    monkeypatch.chdir(file.parent)
    for name, text in {
        "syntax.py": "def",
        "raises.py": "1 / 0",
        "exits.py": "exit(3)",
        "text.txt": "f",
    }.items():
        (file.parent / name).write_text(text)
    before = list(sys.path), set(sys.modules)
    assert cli.main(["audit", place]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = [line for line in captured.err.splitlines() if line != "imported"]
    assert line.startswith(f"wganlab: {place}: ")
    assert message in line
    assert sys.path == before[0]
    assert not {name for name in set(sys.modules) - before[1] if "audited" in name or name == "neighbour"}


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("mine.py:number", "makes no critic"),
        ("mine.py:Penalty", "makes no critic"),
        ("mine.py:none", "has no"),
    ],
)
def test_what_makes_no_critic_is_2_too(place, message, file, capsys, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert cli.main(["audit", "mine.py:penalty", "--critic", place]) == 2
    assert message in capsys.readouterr().err


def test_a_report_is_a_value():
    assert Report((), (), 1.0, False) == Report((), (), 1.0, False)


# What an adversary found


def test_anomaly_mode_does_not_hide_a_root_at_zero():
    def root(critic, x, x_fake):
        slope = constraints.input_gradient(critic, segment(x, x_fake)).flatten(1).square().sum(1).sqrt()
        return 10 * (slope - 1).square().mean()

    with torch.autograd.set_detect_anomaly(True):
        assert audit(root).names == ("nan-at-zero",)
        assert torch.is_anomaly_enabled()


def segment(x, x_fake):
    eps = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)
    return eps * x + (1 - eps) * x_fake


def test_one_forward_pass_for_real_fake_and_between_is_right():
    def joint(critic, x, x_fake):
        x_hat = segment(x, x_fake).requires_grad_()
        score = critic(torch.cat([x, x_fake, x_hat])).reshape(-1)[-len(x) :]
        (gradient,) = torch.autograd.grad(score.sum(), x_hat, create_graph=True)
        return 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()

    assert audit(joint).ok


def test_clamped_points_are_off_the_segment():
    def clamped(critic, x, x_fake):
        slope = constraints.input_gradient(critic, segment(x, x_fake).clamp(-1, 1)).flatten(1).norm(dim=1)
        return 10 * (slope - 1).square().mean()

    assert "off-segment" in audit(clamped).names


def test_answers_that_hold_no_number_are_findings():
    for make in (lambda: torch.ones((), device="meta"), lambda: torch.ones(1).to_sparse()):
        assert audit(lambda critic, x, x_fake, make=make: make()).names == ("raises",)


def test_one_student_does_not_change_the_verdict_on_the_next(tmp_path, monkeypatch, capsys):
    right = """
import torch
class Net:
    def penalty(self, critic, x, x_fake):
        eps = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)
        x_hat = torch.lerp(x_fake.float(), x.float(), eps.float()).requires_grad_()
        g, = torch.autograd.grad(critic(x_hat.to(x.dtype)).sum(), x_hat, create_graph=True)
        return 10 * (g.flatten(1).norm(dim=1) - 1).square().mean()
"""
    rude = """
import os, torch
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
torch.autograd.set_detect_anomaly(True)
os.chdir("/")
def penalty(critic, x, x_fake):
    raise GeneratorExit
"""
    (tmp_path / "a.py").write_text(rude)
    (tmp_path / "b.py").write_text(right)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["audit", "a.py:penalty", "b.py:Net.penalty"]) == 2
    out, err = capsys.readouterr()
    assert "b.py:Net.penalty: ok" in out
    assert err.startswith("wganlab: a.py:penalty: ")
    assert len(err.splitlines()) == 1
    assert torch.get_default_dtype() == torch.float32
    assert not torch.is_anomaly_enabled()
