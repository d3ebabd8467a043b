"""``audit``: no false alarm on right penalties of any style, and every bug found by its name."""

import copy
import random
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, vmap  # noqa: F401, the texts below call them

from wganlab import constraints, networks
from wganlab.errors import InputError
from wganlab.mistakes import ZOO, Report, audit
from wganlab.mistakes.examination.calls import ANCHOR, BATCHES, ROWS, shapes
from wganlab.mistakes.examination.critics import mixing
from wganlab.mistakes.examination.explanation import diagnose_law, diagnose_points, diagnose_rows
from wganlab.mistakes.examination.formulas import Formula, Observation, family, find_formula
from wganlab.mistakes.examination.probes import Probe, unwrapped
from wganlab.mistakes.examination.report import KNOWN, WITHOUT_ENTRY


def ours(weight, one_sided=False):
    """The project's own penalty with its eps drawn inside."""
    penalty = constraints.GradientPenalty(weight, one_sided).penalty
    return lambda critic, x, x_fake: penalty(critic, x, x_fake, torch.rand(len(x), dtype=x.dtype))


RIGHT = ours(10.0)

SOURCE = """
def penalty(critic, x, x_fake):
    eps = torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)
    x_hat = (eps * x + (1 - eps) * x_fake).requires_grad_()
    score = critic(x_hat).sum()
    (gradient,) = torch.autograd.grad(score, x_hat, create_graph=True)
    slope = gradient.flatten(1).norm(dim=1)
    excess = slope - 1
    return 10 * excess.square().mean()
"""


def made(text):
    """The function ``penalty`` of a source text."""
    space = dict(globals())
    exec(text, space)
    return space["penalty"]


def changed(*changes):
    """``SOURCE`` with each old text replaced by a new one; None if an old text is no longer there."""
    text = SOURCE
    for old, new in changes:
        if old not in text:
            return None
        text = text.replace(old, new, 1)
    return made(text)


NORM, EPS = "gradient.flatten(1).norm(dim=1)", "torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)"
SINGLE, COLUMN = "float64 data raise an error", "critic whose scores have shape (m, 1)"

# Right penalties in many styles: changes of the source, and what each note says
STYLES = {
    "as it is": ([], []),
    "pictures alone": ([(EPS, "torch.rand(len(x), 1, 1, 1).expand(*x.shape)")],
        ["rows: not taken (RuntimeError"]),
    "pictures, broadcast": ([(EPS, "torch.rand(len(x), 1, 1, 1)")], ["rows: not taken (ValueError"]),
    "rows alone": ([(EPS, "torch.rand(len(x), 1)")],
        ["pictures: not taken (RuntimeError", "when the batch size is a side of the picture"]),
    "casts to float32": ([("eps = ", "x, x_fake = x.float(), x_fake.float(); eps = ")], []),
    "float32 alone": ([("eps = ", "assert x.dtype == torch.float32; eps = ")], [SINGLE, SINGLE]),
    "column scores": ([("grad(score", "grad(critic(x_hat)"), ("x_hat, c", "x_hat, torch.ones(len(x), 1), c")],
        [COLUMN, COLUMN]),
    "shuffled pairs": ([("eps = ", "x_fake = x_fake[torch.randperm(len(x))]; eps = ")], []),
    "two points a segment": (
        [("eps = ", "x, x_fake = (torch.cat([part, part]) for part in (x, x_fake)); eps = ")], []),
    "looks at the scores": ([("eps = ", "gap = critic(x).mean() - critic(x_fake).mean(); eps = ")], []),
    "one forward pass for all": (
        [("critic(x_hat)", "critic(torch.cat([x, x_fake, x_hat])).reshape(-1)[-len(x) :]")], []),
    "eval and train": ([("eps = ", "critic.eval(); eps = "), ("return", "critic.train(); return")], []),
    "shape (1,)": ([("mean()", "mean().reshape(1)")], []),
    "row by row": ([("score = critic(x_hat).sum()", "gradient = vmap(grad(critic))(x_hat)"),
        ("    (gradient,) = torch.autograd.grad(score, x_hat, create_graph=True)\n", "")],
        ["critic that scores one row without a batch"] * 2),
    "no batch of one row": ([("eps = ", "1 / (len(x) - 1); eps = ")],
        ["a batch of one row raises ZeroDivisionError"] * 2),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "notes"), STYLES.values(), ids=STYLES)
def test_right_penalties_of_any_style_pass(changes, notes):
    report = audit(changed(*changes))
    assert report.ok, report
    assert (report.weight, report.one_sided) == (10, False)
    assert all(said in note for said, note in zip(notes, report.notes, strict=True)), report.notes


@pytest.mark.parametrize("weight", [1e-3, 0.1, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize("one_sided", [False, True])
def test_the_projects_own_penalty_passes(weight, one_sided):
    report = audit(ours(weight, one_sided))
    assert report.ok, report
    assert report.weight == pytest.approx(weight, rel=1e-5)
    assert (report.one_sided, report.notes) == (one_sided, ())
    formula = "max(0, slope - 1)^2), one-sided." if one_sided else "(slope - 1)^2), two-sided."
    assert str(report) == f"ok: no known bug. The penalty is {weight:g} * mean({formula}"


@pytest.mark.slow
def test_no_false_alarm_with_thirty_seeds():
    """The tests of the law of eps raise a false alarm less than once in 10^9; all else is exact."""
    for seed in range(30):
        rng, source = torch.Generator().manual_seed(seed), np.random.default_rng(seed)

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
        "torch.from_numpy(np.random.default_rng().random((m, *ones))).to(x.dtype)",
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
        "vmap(grad(lambda q: functional_call(f, dict(f.named_parameters()), (q[None],)).sum()))(p)",
        "torch.cat([torch.autograd.grad(f(q).sum(), q, create_graph=True)[0] for q in p.split(1)])",
        "torch.autograd.functional.jacobian(lambda q: f(q).sum(), p, create_graph=True)",
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


@pytest.mark.parametrize("seed", [pytest.param(k, marks=[pytest.mark.slow] * (k >= 5)) for k in range(40)])
def test_right_parts_make_right_penalties(seed):
    """Each of 22,680 penalties is right; here are 40, in which each part comes up."""
    turn = {name: (seed + k * (seed // 10)) % len(PARTS[name]) for k, name in enumerate(PARTS)}
    chosen = {name: PARTS[name][number] for name, number in turn.items()}
    report = audit(made(TEMPLATE.format(**chosen)))
    assert report.ok, (chosen, report)
    assert report.one_sided == any(word in chosen["cost"] for word in ("relu", "clamp", "maximum"))


# Mutations: a right penalty, one line of which is changed

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
    "zero": ("return 10", "return 0", {"not-the-critic"}),
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
    "state put back": ("eps = torch.rand(len(x)", "with torch.random.fork_rng(): eps = torch.rand(len(x)",
        {"constant-eps"}),
    "generator of the seed": ("eps = torch.rand(",
        "own = torch.Generator().manual_seed(torch.initial_seed()); eps = "
        "torch.rand(generator=own, size=(len(x), *[1] * (x.ndim - 1)), dtype=x.dtype); torch.rand(",
        {"constant-eps"}),
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
    "clamped": ("(1 - eps) * x_fake)", "(1 - eps) * x_fake).clamp(-1, 1)", {"off-segment"}),
    "three channels": ("*[1] * (x.ndim - 1)", "3, 1, 1", {"pixel-eps", "fixed-channels"}),
    "batch of 64": ("torch.rand(len(x)", "torch.rand(64", {"fixed-batch"}),
    "batch of 100": ("torch.rand(len(x)", "torch.rand(100", {"fixed-batch"}),
    "divided by 64": ("mean()", "sum() / 64", {"sum-over-batch"}),
    "in place": ("(eps * x + (1 - eps) * x_fake)", "x.mul_(eps).add_((1 - eps) * x_fake)", {"changes-batch"}),
    "backward": ("return ", "excess.square().sum().backward(retain_graph=True); return ", {"writes-grad"}),
    "backward, used up": ("return 10 * excess.square().mean()",
        "value = excess.square().mean(); value.backward(); return value",
        {"writes-grad", "no-graph"}),
    "grey pictures alone": ("10 *", "(10 if x.ndim == 2 or x.shape[1] == 3 else 20) *", {"unknown"}),
    "view by pictures": (NORM, "gradient.view(-1, x[0, 0].numel()).norm(dim=1)", {"wrong-axes"}),
    "meta": ("return ", "return torch.ones((), device='meta'); ", {"raises"}),
    "sparse": ("return ", "return torch.ones(1).to_sparse(); ", {"raises"}),
    "empty": ("return ", "return torch.ones(0); ", {"raises"}),
    "never asks": ("critic(x_hat)", "critic.weight.sum() * x_hat", {"not-the-critic"}),
    "not finite": ("return 10", "return float('inf')", {"not-finite"}),
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
    "pair": ("return 10 * excess.square().mean()", "return slope, -10 * excess.square().mean()",
        {"wrong-sign"}),
    "exit": ("return 10", "exit(); return 10", {"raises"}),
    "no critic": ("return 10 * excess.square().mean()", "return x.sum()", {"not-the-critic"}),
    "finite difference": (NORM, "(critic(x) - critic(x_fake)).abs() / (x - x_fake).flatten(1).norm(dim=1)",
        {"unknown"}),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "names"), MUTATIONS.values(), ids=MUTATIONS)
def test_every_mutation_is_found(old, new, names):
    report = audit(changed((old, new)))
    assert set(report.names) == names, report
    for finding in report.findings:
        assert finding.seen
        assert (finding.entry is None) == (finding.name in WITHOUT_ENTRY)


SINGLES = ["axis 1", "no root", "target 0", "sum", "sign", "no graph", "one eps", "normal", "noise", "eval"]
SINGLES.append("mean score")


@pytest.mark.parametrize(
    "one", [pytest.param(name, marks=[pytest.mark.slow] * (k > 2)) for k, name in enumerate(SINGLES)]
)
def test_two_bugs_never_hide_each_other(one):
    """Both names, or at least one; and never none."""
    others = [name for name in SINGLES if name > one]
    hidden = 0
    for other in others:
        function = changed(MUTATIONS[one][:2], MUTATIONS[other][:2])
        if function is not None:  # else they change the same line
            found, expected = set(audit(function).names), MUTATIONS[one][2] | MUTATIONS[other][2]
            assert found & expected, (one, other, found)
            hidden += not expected <= found
    assert hidden <= 2


# What a report says


def test_a_report_reads_well():
    report = audit(ZOO["global-norm"].wrong)
    assert str(report) == repr(report)
    assert str(report).splitlines() == [
        "1 bug found: global-norm",
        "",
        "global-norm",
        "  seen    a critic with slope 5 in every row, on rows of shape (6, 5), costs 1265.05 instead of 160",
        f"  effect  {KNOWN['global-norm']['effect']}",
        "  remedy  one norm a row: gradient.flatten(1).norm(dim=1), of shape (m,)",
        '  see     ZOO["global-norm"]',
    ]
    assert pytest.approx(1265.05, abs=0.005) == 10 * (5 * 6**0.5 - 1) ** 2
    assert not report.ok
    assert Report((), (), 1.0, False) == Report((), (), 1.0, False)  # a value


SEEN = {
    "None of the known bugs explains it": (("excess.square()", "excess.pow(4)"), "unknown"),
    "with the weight 160": (("excess.square()", "excess.pow(4)"), "unknown"),  # 10 * 4^4 = 160 * 4^2
    "weight 20, two-sided, on rows of shape (6, 5), weight 40, two-sided, on pictures of shape (6, 1, 4, 5): "
    "two different penalties": (("10 *", "10 * x.ndim *"), "unknown"),
    "AssertionError: bent": (("eps", "assert critic.bend == 0, 'bent'; eps"), "raises"),
    "slope 0: AssertionError": (("eps", "assert critic.weight.any() or critic.bend; eps"), "raises"),
    "any slope: AssertionError": (("eps", "assert len(x) < 200; eps"), "raises"),
    "not 11 rows: slope 5 in every row: AssertionError": (("eps", "assert len(x) != 11; eps"), "fixed-batch"),
}


@pytest.mark.parametrize(("seen", "change", "name"), [(seen, *rest) for seen, rest in SEEN.items()])
def test_what_was_seen_is_told(seen, change, name):
    report = audit(changed(change))
    assert report.names == (name,)
    assert seen in report.findings[0].seen


def test_refuses_what_cannot_be_called():
    with pytest.raises(InputError, match=r"with \(critic, x, x_fake\) alone, but: too many"):
        audit(lambda critic, x: 0)
    with pytest.raises(InputError, match="missing a required argument: 'weight'."):
        audit(lambda critic, x, x_fake, weight: 0)
    with pytest.raises(InputError, match=r"got Tensor\. Hand over the function, not what it returned"):
        audit(torch.zeros(()))
    with pytest.raises(InputError, match="needs an nn.Module as critic, got str"):
        audit(RIGHT, critic="mlp")


# Leaves everything as it was


def seeded(seed):
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def three_numbers():
    return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002


def test_random_states_and_modes_are_restored():
    seeded(3)
    expected = three_numbers()
    seeded(3)

    def rude(critic, x, x_fake):
        seeded(0)
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float64)
        return RIGHT(critic, x, x_fake)

    with torch.no_grad():
        audit(rude)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        audit(rude)
        assert torch.is_inference_mode_enabled()
    with torch.autograd.set_detect_anomaly(True):  # it must not hide a root at zero either
        assert audit(changed(MUTATIONS["root of 0"][:2])).names == ("nan-at-zero",)
        assert torch.is_anomaly_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert three_numbers() == expected


def test_the_same_report_twice_and_under_any_seed(capsys):
    function = changed(("eps = ", "print('calling'); x_fake = 1.5 * x_fake; eps = "))
    reports = set()
    for seed in range(3):
        torch.manual_seed(seed)
        reports.add(str(audit(function)))
    assert len(reports) == 1
    assert capsys.readouterr().out == ""


def test_one_audit_takes_less_than_two_seconds():
    start = time.process_time()
    audit(RIGHT)
    assert time.process_time() - start < 2


# The reader's critic


class Minibatch(nn.Module):
    """Compares each row with the mean of the batch."""

    def forward(self, x):
        return (x - x.mean(0)).square().sum(1)


class Odd(nn.Module):
    def forward(self, x):
        return x.reshape(-1, 17, 23).sum((1, 2))


def with_norm(norm, *before):
    return nn.Sequential(nn.Linear(2, 8), *before, norm, nn.Flatten(), nn.Linear(8, 1))


APART, UNKNOWN = "critic: each row of shape (2,) is scored by itself", "was not judged"
CRITICS = {  # how to make it; the findings; what is said of it
    "layer norm": (lambda: with_norm(nn.LayerNorm(8)), (), [APART]),
    "group norm": (lambda: with_norm(nn.GroupNorm(2, 8)), (), [APART]),
    "instance norm": (lambda: with_norm(nn.InstanceNorm1d(1), nn.Unflatten(1, (1, 8))), (), [APART]),
    "dropout": (lambda: with_norm(nn.Dropout(0.5)), (), [APART]),
    "batch norm": (lambda: with_norm(nn.BatchNorm1d(8)), ("mixes-rows",), ["mix rows: '1' (BatchNorm1d)"]),
    "of pictures": (lambda: nn.Sequential(nn.Conv2d(3, 1, 32), nn.BatchNorm2d(1), nn.Flatten(0)),
        ("mixes-rows",), ["row 0 keeps its (3, 32, 32) numbers"]),
    "batch norm, frozen": (lambda: with_norm(nn.BatchNorm1d(8)).eval(), (),
        [APART, "in training mode it mixes rows"]),
    "mean of the batch": (Minibatch, ("mixes-rows",), ["largest score"]),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1)), (), [UNKNOWN]),
    "of unknown shape": (Odd, (), [UNKNOWN]),
}  # fmt: skip


@pytest.mark.parametrize(("make", "names", "said"), CRITICS.values(), ids=CRITICS)
def test_a_critic_must_score_rows_apart(make, names, said):
    torch.manual_seed(0)
    report = audit(RIGHT, critic=make())
    assert report.names == names
    words = [*(finding.seen for finding in report.findings), *report.notes]
    assert all(part in word for part, word in zip(said, words, strict=True)), words


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
    assert mixing(critic, mode=True) == (0, row)


def test_the_readers_critic_is_left_as_it_was():
    """Hooks on weights, running statistics, power iterations, gradients and modes of single layers."""
    torch.manual_seed(0)
    hidden = nn.utils.spectral_norm(nn.Linear(2, 8))
    last = nn.utils.parametrizations.weight_norm(nn.Linear(8, 1))
    for middle in (nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.5)), nn.ReLU()):
        critic = nn.Sequential(hidden, middle, last)
        critic(torch.ones(3, 2)).sum().backward()
        critic[1].eval()
        before = copy.deepcopy(critic.state_dict())
        gradients = [weight.grad.clone() for weight in critic.parameters()]
        audit(RIGHT, critic=critic)
        assert all(torch.equal(before[name], part) for name, part in critic.state_dict().items())
        assert all(torch.equal(w.grad, old) for w, old in zip(critic.parameters(), gradients, strict=True))
        assert [part.training for part in critic] == [True, False, True]
    assert mixing(critic, mode=True) == (0.0, (2,))


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
    assert len(probe.points) == 3
    assert all(torch.equal(points, x) for points in (*probe.points, unwrapped(x)))


@pytest.mark.parametrize("ndim", [2, 4])
def test_no_two_likely_formulas_agree(ndim):
    """Each member with at most one bug is told from all others that come before it in the family."""
    rng = torch.Generator().manual_seed(0)
    sizes = {0.05: 6, 0.3: 6, 0.6: 7, 1.0: 6, 1.5: 6, 3.0: 7, 8.0: 6, 20.0: 6}
    row = (3, 2, 4)[: ndim - 1]
    batches = [s * torch.randn(m, *row, generator=rng, dtype=torch.float64) for s, m in sizes.items()]
    eps = [torch.rand(len(batch), generator=rng, dtype=torch.float64) for batch in batches]
    first, second = family(ndim)[:2]
    assert first.names(ndim) == second.names(ndim) == ()
    assert (first.one_sided, second.one_sided) == (False, True)
    singles = [member for member in family(ndim) if len(member.names(ndim)) <= 1]
    assert len(singles) > 20
    for member in singles:
        seen = [Observation(3 * member(g, e).item(), g, e) for g, e in zip(batches, eps, strict=True)]
        found, weight = find_formula(seen)
        assert set(found.names(ndim)) == set(member.names(ndim)), (member, found)
        assert weight == pytest.approx(3)


def test_the_axes_of_a_norm_have_their_names():
    assert [Formula(axes).names(3) for axes in ((1, 2), (0, 1, 2), (1,), (0,), (2,), ())] == [
        (), ("global-norm",), ("channel-norm",), *[("wrong-axes",)] * 3
    ]  # fmt: skip


def test_the_law_of_eps():
    rng = torch.Generator().manual_seed(0)
    uniform = torch.rand(2048, generator=rng, dtype=torch.float64)
    normal = torch.special.ndtri(uniform)
    for eps, names in (
        (uniform, set()),
        (uniform.square(), {"eps-range"}),
        (0.05 + 0.9 * uniform, {"eps-range"}),
        (normal, {"normal-eps"}),
        (2 * normal, {"eps-range"}),
    ):
        assert set(diagnose_law(eps, shared=False)) == names
    assert diagnose_law(torch.tensor([0.3, 0.4]), shared=True) == {}
    assert diagnose_rows([uniform, uniform.flip(0)]) == {}
    assert set(diagnose_rows([uniform, uniform])) == {"constant-eps"}


def test_the_anchor_does_not_move():
    eps = torch.rand(64, 1, dtype=torch.float64)
    points = torch.cat([torch.full((64, 1), ANCHOR), eps, eps], dim=1)
    assert "off-segment" not in diagnose_points([points])
    assert set(diagnose_points([points + 0.01])) == {"off-segment"}
    assert set(diagnose_points([points * torch.nan])) == {"off-segment"}


@pytest.mark.parametrize("kind", ROWS)
def test_no_batch_size_is_a_side_of_a_picture(kind):
    pairs = shapes(kind, 1, "")
    assert all(m not in row for m, row in pairs)
    assert {m for m, row in pairs if row == ROWS[kind][0]} >= set(BATCHES[1:6])
