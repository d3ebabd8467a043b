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
from wganlab.mistakes.zoo.penalties import PENALTIES, penalty
from wganlab.mistakes.zoo.players import PLAYERS


@pytest.mark.parametrize("name", ZOO)
def test_the_check_tells_twins_with_the_same_arguments_apart(name):
    entry = ZOO[name]
    assert entry.check(entry.right) is True
    assert entry.check(entry.wrong) is False
    wrong, right = (list(inspect.signature(f).parameters) for f in (entry.wrong, entry.right))
    assert wrong == right


@pytest.mark.parametrize("name", PENALTIES)
def test_audit_names_each_wrong_penalty_and_nothing_else(name):
    report = audit(ZOO[name].wrong)
    assert report.names == (name,)
    assert report.weight == pytest.approx(10)
    assert report.one_sided is (False if name != "wrong-side" else report.one_sided)


def test_the_zoo_is_complete_and_in_order():
    assert list(ZOO) == [*PENALTIES, *PLAYERS, *LOOPS]
    assert len(ZOO) == len(PENALTIES) + len(PLAYERS) + len(LOOPS) >= 45
    assert set(KNOWN) - WITHOUT_ENTRY == set(PENALTIES) | {"mixes-rows"}
    for name, entry in ZOO.items():
        assert isinstance(entry, Entry)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", name)
        assert entry.where == COMMON or len(entry.where) > 10
        assert entry.wrong is not entry.right


@pytest.mark.parametrize("name", ["reversed-sign", "product-loss", "two-sided-labels"])
def test_a_loss_that_does_nothing_is_not_right(name):
    assert not ZOO[name].check(lambda f_x, f_gz: 0.0 * (f_x.sum() + f_gz.sum()))


def test_no_clipping_is_not_right():
    assert not ZOO["clip-buffers"].check(lambda *_: None)


# The numbers of the symptoms


def linear(*slopes):
    """f(x) = <slopes, x>."""
    critic = nn.Linear(len(slopes), 1, bias=False, dtype=torch.float64)
    critic.weight.data = torch.tensor([slopes], dtype=torch.float64)
    return nn.Sequential(critic, nn.Flatten(0))


def quadratic(x):
    return 0.5 * x.flatten(1).square().sum(1)


def on(name, *slopes, m=64):
    """The wrong penalty of a linear critic on m rows; without a name the right one."""
    critic = linear(*slopes)
    x = torch.ones(m, len(slopes), dtype=torch.float64)
    return (ZOO[name].wrong if name else penalty)(critic, x, torch.zeros_like(x)), critic


def between_0_and_2(name, m, seed=0):
    """Penalty / 10 of f = |x|^2 / 2 between (2, 0) and 0: (2 eps - 1)^2 on average over rows."""
    torch.manual_seed(seed)
    x = torch.tensor([[2.0, 0.0]] * m, dtype=torch.float64)
    function = ZOO[name].wrong if name else penalty
    return function(quadratic, x, torch.zeros_like(x)).item() / 10


def holds(name, *numbers):
    """Whether the symptom names these numbers."""
    return all(number in ZOO[name].symptom for number in numbers)


@pytest.mark.parametrize(
    ("name", "slopes", "expected", "text"),
    [
        ("global-norm", (1.0,), 490, "490"),
        ("global-norm", (1 / 8,), 0, "1/8"),
        ("wrong-axes", (0.5,) * 4, 2.5, "2.5"),
        ("other-norm", (0.6, 0.8), 1.6, "1.6"),
        ("squared-norm", (3.0, 4.0), 5760, "5760"),
        ("mean-score", (1.0,), 10 * (1 / 64 - 1) ** 2, "9.6899"),
        ("mean-score", (64.0,), 0, "slope 64 costs 0"),
        ("no-square", (0.0,), -10, "-10"),
        ("wrong-side", (3.0, 4.0), 0, "costs 0"),
        ("zero-centred", (3.0,), 90, "90"),
        ("wrong-target", (1.0,), 4.9, "4.9"),
        ("sum-over-batch", (3.0, 4.0), 10240, "10240"),
        ("wrong-sign", (3.0, 4.0), -160, "-160"),
        ("no-graph", (3.0, 4.0), 160, "160"),
        ("wrong-weight-gradient", (3.0, 4.0), 160, "160"),
        ("nan-at-zero", (0.0, 0.0), 10, "10"),
    ],
)
def test_penalties_of_linear_critics(name, slopes, expected, text):
    value, _ = on(name, *slopes)
    assert value.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert holds(name, text)


@pytest.mark.parametrize(
    ("slopes", "expected"), [((0.6, 0.8), 0), ((3.0, 4.0), 160), ((0.0, 0.0), 10), ((3.0, 0.0), 40)]
)
def test_the_right_values_that_the_symptoms_compare_with(slopes, expected):
    x = torch.ones(64, 2, dtype=torch.float64)
    assert penalty(linear(*slopes), x, 0 * x).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "slopes", "length"),
    [
        ("", (3.0, 4.0), 80),
        ("wrong-weight-gradient", (3.0, 4.0), 40),
        ("nan-at-zero", (0.0, 0.0), math.nan),
        ("writes-grad", (3.0, 4.0), 2 * 80),  # once by itself, once by the caller
    ],
)
def test_gradients_in_the_weights(name, slopes, length):
    value, critic = on(name, *slopes)
    value.backward()
    assert critic[0].weight.grad.norm().item() == pytest.approx(length, nan_ok=True)


def test_what_is_no_number_to_descend():
    assert not on("no-graph", 3.0, 4.0)[0].requires_grad
    assert on("no-mean", 1.0)[0].shape == (64,)
    assert holds("writes-grad", "80")


def test_channel_norms():
    gradient = torch.ones(1, 3, 2, 2)
    numbers = f"{gradient.norm().item():.4f}", f"{gradient.norm(dim=1).max().item():.4f}"
    assert holds("channel-norm", *numbers)


def test_two_slopes_that_cancel():
    """f(x) = |x|^2 / 2 at the points 0 and 2, where x = x_fake: slopes 0 and 2."""
    x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    assert ZOO["mean-slope"].wrong(quadratic, x, x).item() == pytest.approx(0, abs=1e-12)
    assert penalty(quadratic, x, x).item() == pytest.approx(10)


def test_the_gradient_in_x_carries_eps():
    """10 E (s eps - 1)^2 = 10 (s^2 / 3 - s + 1): 10/3 at s = 1, least at s = 3/2."""
    torch.manual_seed(0)
    values = [on("wrong-variable", 1.0, m=4000)[0].item() for _ in range(20)]
    assert np.mean(values) == pytest.approx(10 / 3, rel=0.02)
    slopes = np.linspace(0, 3, 301)
    assert slopes[np.argmin(slopes**2 / 3 - slopes + 1)] == pytest.approx(1.5)
    assert holds("wrong-variable", "3.3333", "3/2")


def test_one_eps_a_batch_multiplies_the_variance():
    """Var (2 eps - 1)^2 = 1/5 - 1/9 = 4/45, of one eps; of a mean of 64, a 64th."""
    values = [between_0_and_2("batch-eps", 64, seed) for seed in range(500)]
    assert np.var(values) == pytest.approx(4 / 45, rel=0.15)
    right = [between_0_and_2("", 64, seed) for seed in range(500)]
    assert np.var(right) == pytest.approx(4 / 45 / 64, rel=0.15)
    assert holds("batch-eps", "4/45", f"{4 / 45:.4f}", f"{4 / 45 / 64:.4f}")


def test_normal_eps_leave_the_segment():
    outside = 1 - (stats.norm.cdf(1) - stats.norm.cdf(0))
    mean, _ = integrate.quad(lambda e: (abs(2 * e) - 1) ** 2 * stats.norm.pdf(e), -12, 12, points=[0])
    assert between_0_and_2("normal-eps", 200_000) == pytest.approx(mean, rel=0.02)
    assert between_0_and_2("", 200_000) == pytest.approx(1 / 3, rel=0.02)
    assert holds("normal-eps", f"{100 * outside:.2f} %", f"{mean:.4f}", f"{1 / 3:.4f}")


def test_an_eps_a_pixel_leaves_the_segment():
    """(u, v) uniform on the square is |u - v| / sqrt 2 away from the diagonal: 1 / (3 sqrt 2)."""
    distance, _ = integrate.dblquad(lambda u, v: abs(u - v) / math.sqrt(2), 0, 1, 0, 1)
    assert distance == pytest.approx(1 / (3 * math.sqrt(2)), rel=1e-6)
    assert holds("pixel-eps", f"{distance:.4f}")


def test_points_in_the_middle_and_at_the_ends():
    assert between_0_and_2("constant-eps", 8) == pytest.approx(0, abs=1e-15)
    assert between_0_and_2("ends-only", 8) == pytest.approx(1)
    x = torch.randn(8, 3)
    values = set()
    for shift in (0.0, 100.0):
        torch.manual_seed(0)
        values.add(ZOO["off-segment"].wrong(quadratic, x, x * 0 + shift).item())
    assert len(values) == 1


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("fixed-channels", (4, 3, 8, 8), (4, 1, 8, 8)),
        ("fixed-size", (4, 1, 28, 28), (4, 1, 32, 32)),
        ("fixed-batch", (64, 1, 8, 8), (60_000 % 64, 1, 8, 8)),
    ],
)
def test_shapes_that_are_written_into_the_code(name, good, bad):
    assert torch.isfinite(ZOO[name].wrong(quadratic, torch.ones(good), torch.zeros(good)))
    with pytest.raises(RuntimeError):
        ZOO[name].wrong(quadratic, torch.ones(bad), torch.zeros(bad))
    assert name != "fixed-batch" or holds(name, f"a last batch of {bad[0]}")


def test_side_effects():
    x = torch.ones(4, 2)
    ZOO["changes-batch"].wrong(quadratic, x, torch.zeros(4, 2))
    assert (x < 1).all()
    critic = linear(3, 4)
    batch = torch.ones(4, 2, dtype=torch.float64)
    ZOO["switches-mode"].wrong(critic, batch, 0 * batch)
    assert not critic.training
    ZOO["changes-critic"].wrong(critic, batch, 0 * batch)
    assert not any(weight.requires_grad for weight in critic.parameters())


def test_players():
    x = torch.tensor([-1.0, 1.0]).repeat(8)[:, None]
    assert ZOO["batchnorm-eps"].wrong(1)(x).var(unbiased=False).item() == pytest.approx(1 / 1.8, rel=1e-5)
    assert (f"{1 / 1.8:.4f}", ZOO["batchnorm-eps"].wrong(1).eps) == ("0.5556", 0.8)
    h = torch.ones(1, 2, 4, 4)
    h[..., :2] = -1
    assert ZOO["pixel-layernorm"].wrong(2)(h).abs().max().item() == 0
    pairs = torch.tensor([[[0.0], [1.0]], [[0.0], [-1.0]]])
    assert [nn.BatchNorm1d(1)(pair)[0].item() for pair in pairs] == pytest.approx([-1, 1], abs=1e-3)
    torch.manual_seed(0)
    assert audit(penalty, critic=ZOO["mixes-rows"].wrong(8)).names == ("mixes-rows",)
    assert audit(penalty, critic=ZOO["mixes-rows"].right(8)).ok


def test_losses():
    one, zero = torch.ones(1), torch.zeros(1)
    assert (ZOO["reversed-sign"].wrong(one, zero), ZOO["reversed-sign"].right(one, zero)) == (1, -1)
    product = ZOO["product-loss"].wrong
    assert product(one, -one) == product(-one, one) == -1
    scores = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    far = torch.full((1,), 40.0, dtype=torch.float64)  # the real rows are elsewhere
    costs = [ZOO["two-sided-labels"].wrong(far, f[None]).item() for f in scores]
    assert torch.sigmoid(scores[np.argmin(costs)]).item() == pytest.approx(0.1, abs=1e-3)
    costs = [ZOO["two-sided-labels"].right(far, f[None]).item() for f in scores]
    assert np.argmin(costs) == 0
    assert (f"{-math.log(0.99):.4f}", f"{-math.log(0.01):.4f}") == ("0.0101", "4.6052")
    assert holds("good-generator", "0.0101", "4.6052")


def test_updates():
    assert f"{largest_after(ZOO['clamp-first'].wrong):.4f}" == "0.0105"
    assert largest_after(ZOO["clamp-first"].right) == 0.01
    assert f"{0.01 / math.sqrt(0.01 + 0.001):.4f}" == "0.0953"
    critic = nn.Sequential(nn.BatchNorm1d(2))
    ZOO["clip-buffers"].wrong(critic, 0.01)
    assert critic[0].running_var.tolist() == pytest.approx([0.01] * 2)
    assert critic[0].weight.tolist() == pytest.approx([0.01] * 2)
    separate, joint = ZOO["separate-adam"].wrong, ZOO["separate-adam"].right
    assert f"{moved(separate, 3.0):.4f}" == "0.3143"
    assert f"{moved(separate, 100.0):.4f}" == "0.3783"
    assert moved(joint, 3.0) == pytest.approx(moved(joint, 100.0), rel=1e-6) == pytest.approx(1)
    assert holds("separate-adam", "0.3143", "0.3783")


def test_loops():
    order = ZOO["early-generator"].wrong(5, 10)
    assert order in ZOO["early-generator"].symptom
    assert order.index("g") == 1
    assert len(ZOO["one-turn-more"].wrong(5)) == 6
    assert noise_of(ZOO["reused-noise"].wrong) == ([0, 1, 2, 3, 4], [4])
    assert noise_of(ZOO["reused-noise"].right) == ([0, 1, 2, 3, 4], [5])
    assert counts_seen(ZOO["early-record"].wrong) == [4, 9, 14]
    generator, critic = nn.Linear(1, 1, bias=False), linear(5.0).float()
    nn.init.ones_(generator.weight)
    ZOO["attached-fakes"].wrong(generator, critic, torch.ones(2, 1), torch.ones(2, 1))
    assert generator.weight.grad.item() == 5


def test_data_and_measurement():
    assert ZOO["tanh-range"].wrong(np.array([0.0])).item() == 0
    x, y = np.zeros((2, 1)), np.full((2, 1), 3.0)
    assert ZOO["squared-cost"].wrong(x, y) == pytest.approx(9)
    assert ZOO["squared-cost"].right(x, y) == pytest.approx(3)
    frames = ZOO["film-order"].wrong()
    assert frames[4] == 15
    assert frames != sorted(frames)
