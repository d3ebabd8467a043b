"""The zoo: each check tells the twins apart, and each number in a symptom is computed here."""

import inspect
import math
import re

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from wganlab.mistakes import ZOO, Entry, audit
from wganlab.mistakes.examination.report import KNOWN, WITHOUT_ENTRY
from wganlab.mistakes.zoo.entry import COMMON
from wganlab.mistakes.zoo.loops import LOOPS, counts_seen, largest_after, moved, noise_of
from wganlab.mistakes.zoo.penalties import PENALTIES, passes, penalty
from wganlab.mistakes.zoo.players import PLAYERS


@pytest.mark.parametrize("name", ["global-norm", *PLAYERS, *LOOPS])
def test_the_check_tells_twins_with_the_same_arguments_apart(name):
    entry = ZOO[name]
    assert entry.check(entry.right) is True
    assert entry.check(entry.wrong) is False
    wrong, right = (list(inspect.signature(f).parameters) for f in (entry.wrong, entry.right))
    assert wrong == right


@pytest.mark.parametrize("name", PENALTIES)
def test_audit_names_each_wrong_penalty_and_nothing_else(name):
    entry = ZOO[name]
    assert (entry.right, entry.check) == (penalty, passes)
    report = audit(entry.wrong)
    assert report.names == (name,)
    unknown = name in ("not-the-critic", "depends-on-calls")
    assert report.weight == (None if unknown else pytest.approx(40 if name == "foreign-units" else 10))
    assert report.one_sided is (False if name != "wrong-side" and not unknown else report.one_sided)


def test_the_zoo_is_complete_and_in_order():
    assert list(ZOO) == [*PENALTIES, *PLAYERS, *LOOPS]
    assert len(ZOO) == len(PENALTIES) + len(PLAYERS) + len(LOOPS) >= 45
    unseen = {"early-record", "tanh-range", "squared-cost", "film-order"}
    assert set(KNOWN) == {*PENALTIES, *LOOPS, "mixes-rows", "reversed-sign"} - unseen | WITHOUT_ENTRY
    assert all(list(bug) == ["effect", "remedy"] and all(bug.values()) for bug in KNOWN.values())
    for name, entry in ZOO.items():
        assert isinstance(entry, Entry)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", name)
        assert entry.where == COMMON or len(entry.where) > 10


def test_a_function_that_does_nothing_is_not_right():
    for name in ("reversed-sign", "product-loss", "two-sided-labels"):
        assert not ZOO[name].check(lambda f_x, f_gz: 0.0 * (f_x.sum() + f_gz.sum()))
    assert not ZOO["clip-buffers"].check(lambda *_: None)


# The numbers of the symptoms


def wrong(name, *arguments):
    return ZOO[name].wrong(*arguments)


def right(name, *arguments):
    return ZOO[name].right(*arguments)


def linear(*slopes):
    """f(x) = <slopes, x>."""
    critic = nn.Linear(len(slopes), 1, bias=False, dtype=torch.float64)
    critic.weight.data = torch.tensor([slopes], dtype=torch.float64)
    return nn.Sequential(critic, nn.Flatten(0))


def quadratic(x):
    return 0.5 * x.flatten(1).square().sum(1)


def cost(name, *slopes, twin=wrong, m=64):
    """The penalty of a linear critic on m rows."""
    x = torch.ones(m, len(slopes), dtype=torch.float64)
    return twin(name, linear(*slopes), x, 0 * x).item()


def attached_cost(*slopes):
    """The penalty on fakes that hang on a graph; without one it raises."""
    x, x_fake = torch.ones(64, len(slopes), dtype=torch.float64), torch.zeros(64, 1, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="does not require grad"):
        wrong("needs-attached-fakes", linear(*slopes), x, x_fake * x)
    return wrong("needs-attached-fakes", linear(*slopes), x, x_fake.requires_grad_() * x).item()


def length(name, *slopes, twin=wrong, backward=True):
    """The length of the gradient in the weights of a linear critic, after one backward pass or none."""
    critic, x = linear(*slopes), torch.ones(64, len(slopes), dtype=torch.float64)
    value = twin(name, critic, x, 0 * x)
    if backward:
        value.backward()
    return critic[0].weight.grad.norm().item()


def between_0_and_2(name, m=64, *, twin=wrong, seed=0):
    """Penalty / 10 of f = |x|^2 / 2 between (2, 0) and 0: (2 eps - 1)^2 on average over rows."""
    torch.manual_seed(seed)
    x = torch.tensor([[2.0, 0.0]] * m, dtype=torch.float64)
    return twin(name, quadratic, x, 0 * x).item() / 10


def two_slopes(twin):
    """The penalty of f = |x|^2 / 2 at the points 0 and 2, where x = x_fake: slopes 0 and 2."""
    x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    return twin("mean-slope", quadratic, x, x).item()


def best_d(twin):
    """The D that costs least on fakes where there are no real rows."""
    scores = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    far = torch.full((1,), 40.0, dtype=torch.float64)
    costs = [twin("two-sided-labels", far, score[None]).item() for score in scores]
    return torch.sigmoid(scores[np.argmin(costs)]).item()


def clipped():
    """The running variance and gamma of BatchNorm after everything was clipped to 0.01."""
    critic = nn.Sequential(nn.BatchNorm1d(1))
    wrong("clip-buffers", critic, 0.01)
    return critic[0].running_var.item(), critic[0].weight.item()


def generator_gradient():
    generator, x = nn.Linear(1, 1, bias=False), torch.ones(2, 1)
    nn.init.ones_(generator.weight)
    wrong("attached-fakes", generator, linear(5.0).float(), x, x)
    return generator.weight.grad.item()


ONE, ZERO = torch.ones(1), torch.zeros(1)
HALVES = torch.tensor([-1.0, -1.0, 1.0, 1.0]).expand(1, 2, 4, 4)
SIGNS = torch.tensor([-1.0, 1.0]).repeat(8)[:, None]
APART = np.zeros((2, 1)), np.full((2, 1), 3.0)
OUTSIDE = 1 - (stats.norm.cdf(1) - stats.norm.cdf(0))
NORMAL_MEAN = integrate.quad(lambda e: (abs(2 * e) - 1) ** 2 * stats.norm.pdf(e), -12, 12, points=[0])[0]
# Var (2 eps - 1)^2 = 1/5 - 1/9 of one eps; (u, v) uniform on the square is |u - v| / sqrt 2 off the diagonal
VARIANCE, OFF_DIAGONAL = 1 / 5 - 1 / 9, 1 / (3 * math.sqrt(2))

# A text of the symptom that ends in a number, and where the number comes from
NUMBERS = [
    ("global-norm", "490", lambda: cost("global-norm", 1.0)),
    ("global-norm", "slope 1/8 costs 0", lambda: cost("global-norm", 1 / 8)),
    ("channel-norm", "has norm 3.4641", lambda: torch.ones(3, 2, 2).norm()),
    ("channel-norm", "channel norms are 1.7321", lambda: torch.ones(3, 2, 2).norm(dim=0).max()),
    ("wrong-axes", "= 2.5", lambda: cost("wrong-axes", *[0.5] * 4)),
    ("other-norm", "= 1.6", lambda: cost("other-norm", 0.6, 0.8)),
    ("other-norm", "instead of 0", lambda: cost("other-norm", 0.6, 0.8, twin=right)),
    ("squared-norm", "= 5760", lambda: cost("squared-norm", 3.0, 4.0)),
    ("squared-norm", "instead of 160", lambda: cost("squared-norm", 3.0, 4.0, twin=right)),
    ("nan-at-zero", "the value is 10", lambda: cost("nan-at-zero", 0.0, 0.0)),
    ("mean-score", "= 9.6899", lambda: cost("mean-score", 1.0)),
    ("mean-score", "slope 64 costs 0", lambda: cost("mean-score", 64.0)),
    ("wrong-variable", "3.3333", lambda: integrate.quad(lambda e: 10 * (e - 1) ** 2, 0, 1)[0]),
    ("no-square", "costs -10", lambda: cost("no-square", 0.0)),
    ("no-square", "instead of 10", lambda: cost("no-square", 0.0, twin=right)),
    ("wrong-side", "costs 0", lambda: cost("wrong-side", 3.0, 4.0)),
    ("zero-centred", "costs 90", lambda: cost("zero-centred", 3.0)),
    ("zero-centred", "instead of 40", lambda: cost("zero-centred", 3.0, twin=right)),
    ("wrong-target", "= 4.9", lambda: cost("wrong-target", 1.0)),
    ("sum-over-batch", "costs 10240", lambda: cost("sum-over-batch", 3.0, 4.0)),
    ("no-mean", "a tensor of 64", lambda: len(wrong("no-mean", quadratic, torch.ones(64, 1), ZERO))),
    ("mean-slope", "cost 0", lambda: two_slopes(wrong)),
    ("mean-slope", "instead of 10", lambda: two_slopes(right)),
    ("wrong-sign", "costs -160", lambda: cost("wrong-sign", 3.0, 4.0)),
    ("foreign-units", "= 810", lambda: cost("foreign-units", 3.0, 4.0)),
    ("foreign-units", "instead of 160", lambda: cost("foreign-units", 3.0, 4.0, twin=right)),
    ("foreign-units", "costs 0", lambda: cost("foreign-units", 0.3, 0.4)),
    ("not-the-critic", "slope 5 costs 0", lambda: cost("not-the-critic", 3.0, 4.0)),
    ("needs-attached-fakes", "slope 5 costs 160", lambda: attached_cost(3.0, 4.0)),
    (
        "depends-on-calls",
        "cost 160",
        lambda: -cost("depends-on-calls", 3.0, 4.0) + cost("depends-on-calls", 3.0, 4.0),
    ),
    ("no-graph", "costs 160", lambda: cost("no-graph", 3.0, 4.0)),
    ("no-graph", "instead of 80", lambda: length("no-graph", 3.0, 4.0, twin=right)),
    ("wrong-weight-gradient", "costs 160", lambda: cost("wrong-weight-gradient", 3.0, 4.0)),
    ("wrong-weight-gradient", "length 40", lambda: length("wrong-weight-gradient", 3.0, 4.0)),
    ("writes-grad", "length 80", lambda: length("writes-grad", 3.0, 4.0, backward=False)),
    ("batch-eps", "4/45 = 0.0889", lambda: VARIANCE),
    ("batch-eps", "instead of 0.0014", lambda: VARIANCE / 64),
    ("pixel-eps", "0.2357", lambda: OFF_DIAGONAL),
    ("normal-eps", "65.87", lambda: 100 * OUTSIDE),
    ("normal-eps", "1.8085", lambda: NORMAL_MEAN),
    ("normal-eps", "instead of 0.3333", lambda: 1 / 3),
    ("constant-eps", "the value is 0", lambda: between_0_and_2("constant-eps")),
    ("ends-only", "the value is 10", lambda: 10 * between_0_and_2("ends-only")),
    ("fixed-batch", "a last batch of 32", lambda: 60_000 % 64),
    ("batchnorm-eps", "0.5556", lambda: wrong("batchnorm-eps", 1)(SIGNS).detach().var(unbiased=False)),
    ("mixes-rows", "maps a row 0 to -1", lambda: nn.BatchNorm1d(1)(torch.tensor([[0.0], [1.0]])).detach()[0]),
    ("mixes-rows", "to 1", lambda: nn.BatchNorm1d(1)(torch.tensor([[0.0], [-1.0]])).detach()[0]),
    ("pixel-layernorm", "comes out 0", lambda: wrong("pixel-layernorm", 2)(HALVES).detach().abs().max()),
    ("reversed-sign", "the loss is 1", lambda: wrong("reversed-sign", ONE, ZERO)),
    ("product-loss", "both cost -1", lambda: wrong("product-loss", ONE, -ONE)),
    ("product-loss", "both cost -1", lambda: wrong("product-loss", -ONE, ONE)),
    ("two-sided-labels", "the best D is 0.1", lambda: best_d(wrong)),
    ("two-sided-labels", "instead of 0", lambda: best_d(right)),
    ("good-generator", "0.0101", lambda: -math.log(1 - 0.01)),
    ("good-generator", "4.6052", lambda: -math.log(1 - 0.99)),
    ("clamp-first", "0.0105", lambda: largest_after(ZOO["clamp-first"].wrong)),
    ("clamp-first", "a weight of 0.01", lambda: largest_after(ZOO["clamp-first"].right)),
    ("clip-buffers", "becomes 0.01", lambda: clipped()[0]),
    ("clip-buffers", "0.0953", lambda: clipped()[1] / math.sqrt(clipped()[0] + 0.001)),
    ("partial-clip", "up to 0.7071", lambda: 1 / math.sqrt(nn.Linear(2, 2).in_features)),
    ("generator-sign", "score 1 cost 1", lambda: wrong("generator-sign", ONE)),
    ("generator-sign", "cost -1", lambda: wrong("generator-sign", -ONE)),
    ("separate-adam", "0.3143", lambda: moved(ZOO["separate-adam"].wrong, 3.0)),
    ("separate-adam", "0.3783", lambda: moved(ZOO["separate-adam"].wrong, 100.0)),
    ("separate-adam", "instead of by 1", lambda: moved(ZOO["separate-adam"].right, 3.0)),
    ("one-turn-more", "gives 6", lambda: len(wrong("one-turn-more", 5))),
    ("attached-fakes", "gradient is 5", generator_gradient),
    ("tanh-range", "black is 0", lambda: wrong("tanh-range", np.zeros(1)).item()),
    ("squared-cost", "it gives 9", lambda: wrong("squared-cost", *APART)),
    ("squared-cost", "instead of 3", lambda: right("squared-cost", *APART)),
    ("film-order", "is from iteration 15", lambda: wrong("film-order")[4]),
]


@pytest.mark.parametrize(("name", "text", "number"), NUMBERS, ids=[f"{n}: {text}" for n, text, _ in NUMBERS])
def test_each_number_of_a_symptom_is_computed(name, text, number):
    assert text in ZOO[name].symptom
    last = re.findall(r"-?[\d.]*\d", text)[-1]
    half_a_digit = 0.5 * 10.0 ** -len(last.partition(".")[2]) if "." in last else 1e-3
    assert float(number()) == pytest.approx(float(last), abs=half_a_digit)


def test_orders_of_updates():
    order = wrong("early-generator", 5, 10)
    assert order in ZOO["early-generator"].symptom
    assert order.index("g") == 1
    assert [noise_of(ZOO["reused-noise"].wrong), noise_of(ZOO["reused-noise"].right)] == [
        ([0, 1, 2, 3, 4], [4]),
        ([0, 1, 2, 3, 4], [5]),
    ]
    assert counts_seen(ZOO["early-record"].wrong) == [4, 9, 14]


# What the numbers above take for granted


def test_the_gradient_in_x_carries_eps():
    """10 E (s eps - 1)^2 = 10 (s^2 / 3 - s + 1): 10/3 at s = 1, least at s = 3/2."""
    torch.manual_seed(0)
    slopes = (1.0, 1.4, 1.5, 1.6)
    costs = [np.mean([cost("wrong-variable", s, m=4000) for _ in range(20)]) for s in slopes]
    assert costs == pytest.approx([10 * (s**2 / 3 - s + 1) for s in slopes], rel=0.02)


@pytest.mark.parametrize(
    ("name", "twin", "mean", "variance"),
    [
        ("batch-eps", wrong, 1 / 3, VARIANCE),
        ("batch-eps", right, 1 / 3, VARIANCE / 64),
        ("normal-eps", wrong, NORMAL_MEAN, None),
    ],
)
def test_the_law_of_eps_is_that_of_the_value(name, twin, mean, variance):
    values = [between_0_and_2(name, twin=twin, seed=seed) for seed in range(500)]
    assert np.mean(values) == pytest.approx(mean, rel=0.1)
    assert variance is None or np.var(values) == pytest.approx(variance, rel=0.15)


def test_the_distance_from_the_diagonal():
    distance, _ = integrate.dblquad(lambda u, v: abs(u - v) / math.sqrt(2), 0, 1, 0, 1)
    assert distance == pytest.approx(OFF_DIAGONAL, rel=1e-6)


def test_points_reach_up_to_2_off_the_segment():
    """f = |x|^2 / 2 has the slope of the point: u = 1 + eps costs 10 E eps^2 = 10/3 where x = x_fake = 1."""
    torch.manual_seed(0)
    x = torch.ones(20_000, 1)
    assert wrong("off-segment", quadratic, x, x).item() == pytest.approx(10 / 3, rel=0.03)
    assert right("off-segment", quadratic, x, x).item() == pytest.approx(0, abs=1e-9)
