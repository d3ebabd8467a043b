"""Bounds of a critic's Lipschitz constant enclose it, and layer gradients are those of the chain rule."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wganlab import networks
from wganlab.errors import InputError
from wganlab.lipschitz import clip_bound, gradient_norms, layer_gradients, lower_bound, upper_bound

seeds = st.integers(0, 2**31)


def critic_of(seed, hidden=(8, 8), **options):
    torch.manual_seed(seed)
    return networks.mlp(2, 1, hidden=hidden, **options).double()


def points(seed, n=64, d=2):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# From below


def test_gradient_norms_of_a_quadratic_are_its_radii():
    x = points(0)
    found = gradient_norms(lambda x: 0.5 * x.square().sum(1), x)
    assert torch.allclose(found, x.norm(dim=1), rtol=1e-12, atol=0)
    assert not found.requires_grad
    assert not x.requires_grad


def test_gradient_norms_of_pictures_are_over_all_pixels():
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    assert gradient_norms(lambda x: x.flatten(1).sum(1), x).tolist() == pytest.approx(
        [math.sqrt(32)] * 3, rel=1e-12
    )


def test_gradient_norms_work_without_gradients_around():
    with torch.no_grad():
        assert gradient_norms(lambda x: 3 * x[:, 0], points(0)).tolist() == pytest.approx(
            [3.0] * 64, rel=1e-12
        )


def test_a_pair_can_be_steeper_than_every_point():
    """f(x) = sign(x) |x|^(1/2)-like step: flat at the points, a rise of 2 over 0.1 between them."""
    step = lambda x: torch.where(x[:, 0] > 0, 1.0, -1.0) + 0 * x[:, 0]  # noqa: E731
    assert lower_bound(step, torch.tensor([[-0.05], [0.05], [3.0]])) == pytest.approx(20, rel=1e-5)


def test_coinciding_points_and_a_single_one():
    linear = lambda x: 5 * x[:, 0]  # noqa: E731
    assert lower_bound(linear, torch.zeros(4, 2)) == 5
    assert lower_bound(linear, torch.zeros(1, 2)) == 5


def test_rounding_is_not_taken_for_slope():
    """200 neighbours in float32: x + 100 is rounded to multiples of 2^-17, 64 times their distance."""
    close = 1 + 2.0**-23 * torch.arange(200)[:, None]
    by_hand = torch.pdist(close + 100) / torch.pdist(close)
    assert by_hand.max() == 64
    assert lower_bound(lambda x: x.flatten() + 100, close) == 1


def test_refuses_scores_of_another_shape():
    with pytest.raises(InputError, match=r"one score a row, shape \(64,\), but this critic gave \(64, 1\)"):
        gradient_norms(nn.Linear(2, 1).double(), points(0))


# From above


@given(seeds, st.sampled_from([(4,), (8, 8), (16, 4, 8)]), st.sampled_from([0.0, 0.2]))
@settings(max_examples=40)
def test_the_bounds_enclose(seed, hidden, slope):
    critic = critic_of(seed, hidden, slope=slope)
    assert 0 < lower_bound(critic, points(seed)) <= upper_bound(critic) * (1 + 1e-12)


def test_one_layer_is_met_exactly():
    critic = nn.Sequential(nn.Linear(3, 1, bias=False), nn.Flatten(0)).double()
    critic[0].weight.data = torch.tensor([[2.0, 3.0, 6.0]]).double()
    assert upper_bound(critic) == pytest.approx(7, rel=1e-12)
    assert lower_bound(critic, points(0, d=3)) == pytest.approx(7, rel=1e-12)


def matrix_of(layer, shape):
    """The matrix of a convolution on pictures of that shape, column by column."""
    size = math.prod(shape)
    with torch.no_grad():
        columns = layer(torch.eye(size).double().view(size, *shape)) - layer(torch.zeros(1, *shape).double())
    return columns.flatten(1).T


CONVOLUTIONS = [(3, 1, 1, 1), (4, 2, 1, 1), (5, 2, 2, 1), (3, 3, 0, 1), (1, 1, 0, 1)]  # the last is dilation
CONVOLUTIONS += [(3, 2, 0, 2), (3, 2, 4, 4), (2, 3, 1, 3), (4, 6, 3, 4), (5, 4, 2, 2), (3, 2, 1, 3)]


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), CONVOLUTIONS)
@pytest.mark.parametrize("seed", [0, 1, "ones"])
def test_a_convolution_is_enclosed(kernel, stride, padding, dilation, seed):
    torch.manual_seed(0 if seed == "ones" else seed)
    layer = nn.Conv2d(2, 3, kernel, stride=stride, padding=padding, dilation=dilation).double()
    if seed == "ones":
        nn.init.ones_(layer.weight)
    norm = torch.linalg.matrix_norm(matrix_of(layer, (2, 19, 19)), 2).item()
    bound = upper_bound(nn.Sequential(layer))
    assert norm <= bound * (1 + 1e-12)
    assert bound < 3.5 * norm


def test_a_dilated_kernel_of_ones_meets_itself_as_often_as_it_does():
    """Stride 2 and dilation 2: all nine places of the kernel fall on the same inputs, norm near 9."""
    layer = nn.Conv2d(1, 1, 3, stride=2, dilation=2, bias=False).double()
    nn.init.ones_(layer.weight)
    norm = torch.linalg.matrix_norm(matrix_of(layer, (1, 41, 41)), 2).item()
    assert 8.5 < norm <= upper_bound(layer) == pytest.approx(9, rel=1e-12)


def test_a_layer_counts_each_time_it_stands_in_the_chain():
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = 3 * torch.eye(2)
    critic = nn.Sequential(layer, layer)
    assert upper_bound(critic) == 9
    assert gradient_norms(nn.Sequential(critic, nn.Linear(2, 1), nn.Flatten(0)), torch.randn(3, 2)).shape == (
        3,
    )
    end = nn.Linear(2, 1, bias=False)
    end.weight.data = torch.ones(1, 2)
    whole = nn.Sequential(layer, layer, end, nn.Flatten(0))
    assert len(layer_gradients(whole, torch.ones(4, 2), torch.zeros(4, 2))) == 3


@pytest.mark.parametrize("take", [gradient_norms, lower_bound])
def test_scores_that_depend_on_the_whole_batch_have_no_slope_of_a_row(take):
    critic = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1), nn.Flatten(0))
    with pytest.raises(
        InputError, match=rf"{take.__name__} needs a critic that scores each row.* '1' is BatchNorm1d"
    ):
        take(critic, torch.randn(8, 2))
    assert take(critic.eval(), torch.randn(8, 2)) is not None


def test_the_kernel_as_a_matrix_is_no_bound():
    """A kernel of ones, 3 x 3: as a matrix its norm is 3, as a convolution it is near 9."""
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False).double()
    layer.weight.data.fill_(1.0)
    norm = torch.linalg.matrix_norm(matrix_of(layer, (1, 16, 16)), 2).item()
    assert 8.5 < norm <= upper_bound(nn.Sequential(layer)) == pytest.approx(9, rel=1e-12)


def test_many_outputs_of_one_input_count_together():
    """Eight copies of one pixel: no row of the matrix has more than 1, and the norm is sqrt(8)."""
    for layer in (nn.Conv2d(1, 8, 1, bias=False), nn.Conv2d(8, 1, 1, bias=False)):
        layer.weight.data.fill_(1.0)
        assert upper_bound(nn.Sequential(layer)) == pytest.approx(8**0.5, rel=1e-12)


def test_critics_of_the_package():
    torch.manual_seed(0)
    x = torch.randn(16, 1, 28, 28)
    critic = networks.dcgan_critic(width=8)
    assert lower_bound(critic, x) <= upper_bound(critic)
    assert upper_bound(networks.lipschitz_mlp(2)) == pytest.approx(1, abs=1e-5)
    # dividing by a little less than the norm
    assert upper_bound(networks.spectral(networks.mlp(2, 1)).eval()) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("layer", [nn.LayerNorm(8), nn.BatchNorm1d(8), nn.LeakyReLU(2.0), nn.ELU()])
def test_refuses_layers_without_a_known_bound(layer):
    critic = nn.Sequential(nn.Linear(2, 8), nn.Sequential(layer), nn.Linear(8, 1))
    with pytest.raises(InputError, match=f"'1.0' is {type(layer).__name__}"):
        upper_bound(critic)


def test_refuses_what_is_no_chain():
    with pytest.raises(InputError, match="in an nn.Sequential, but '' is Module"):
        upper_bound(nn.Module())


# Clipping


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.floats(1e-3, 1.0))
@settings(max_examples=40)
def test_the_clip_bound_is_attained_by_all_weights_equal(widths, c):
    critic = networks.mlp((widths[0],), 1, hidden=widths[1:]).double()
    for weight in critic.parameters():
        weight.data.fill_(c if weight.ndim == 2 else 0.0)
    found = gradient_norms(critic, torch.ones(1, widths[0]).double()).item()
    assert found == pytest.approx(clip_bound((*widths, 1), c), rel=1e-9)
    assert upper_bound(critic) == pytest.approx(found, rel=1e-9)


@given(seeds, st.sampled_from([0.01, 0.1]))
@settings(max_examples=30)
def test_no_clipped_critic_passes_it(seed, c):
    critic = critic_of(seed, (16, 16))
    for weight in critic.parameters():
        weight.data.uniform_(-c, c)
    assert upper_bound(critic) <= clip_bound((2, 16, 16, 1), c) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("sizes", "c"), [((2,), 0.1), ((2, 0, 1), 0.1), ((2, 8), 0.1), ((2, 8, 1), 0.0), ((2.5, 1), 0.1)]
)
def test_clip_bound_refuses(sizes, c):
    with pytest.raises(InputError, match="needs the widths of a critic"):
        clip_bound(sizes, c)
    for c in (math.inf, math.nan, 1j, "many", None, np.ones(2)):
        with pytest.raises(InputError, match="'c' must be"):
            clip_bound((2, 1), c)


# Layer by layer


def test_layer_gradients_equal_those_of_hooks():
    critic, x, x_fake = critic_of(0, (8, 6, 4)), points(1), points(2)
    kept = []
    for layer in critic:
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda layer, given, a: (a.retain_grad(), kept.append(a))[1])
    f = critic(torch.cat([x, x_fake]))
    (f[64:].mean() - f[:64].mean()).backward()
    expected = [a.grad.norm().item() for a in kept]
    assert layer_gradients(critic, x, x_fake).tolist() == pytest.approx(expected, rel=1e-12)


def test_layer_gradients_of_a_chain_of_factors():
    """f = 2 * 3 * 5 x: each layer before the last multiplies what comes back by its factor."""
    critic = nn.Sequential(*[nn.Linear(1, 1, bias=False) for _ in range(3)], nn.Flatten(0))
    for layer, factor in zip(critic, (2.0, 3.0, 5.0), strict=False):
        layer.weight.data.fill_(factor)
    found = layer_gradients(critic, torch.ones(2, 1), torch.zeros(2, 1))
    assert (found / found[-1]).tolist() == pytest.approx([15, 5, 1], rel=1e-12)
    assert found[-1].item() == pytest.approx(1, rel=1e-12)  # four entries of size 1/2


def test_layer_gradients_do_not_underflow_and_leave_the_critic_alone():
    critic = networks.mlp(2, 1, hidden=(16,) * 11)
    for weight in critic.parameters():
        weight.data.mul_(1e-6)
    before = [weight.clone() for weight in critic.parameters()]
    found = layer_gradients(critic, torch.ones(4, 2), torch.zeros(4, 2))
    assert 0 < found[0] < 1e-60
    assert found.dtype == torch.float64
    assert len(found) == 12
    for weight, old in zip(critic.parameters(), before, strict=True):
        assert torch.equal(weight, old)
        assert weight.grad is None
        assert weight.dtype == torch.float32


def test_layer_gradients_of_convolutions_and_spectral_norms():
    torch.manual_seed(0)
    critic = networks.spectral(networks.dcgan_critic(width=4)).eval()
    assert layer_gradients(critic, torch.ones(2, 1, 28, 28), torch.zeros(2, 1, 28, 28)).shape == (3,)


def test_layer_gradients_refuse_a_critic_without_layers():
    with pytest.raises(InputError, match="found none"):
        layer_gradients(nn.Sequential(nn.Flatten(0)), torch.ones(1, 1), torch.ones(1, 1))


def test_numpy_is_not_needed_but_the_constant_of_a_known_net_is_met():
    """max(x, 0) - 2 max(-x, 0) has the constant 2, and the product of norms says sqrt(2) sqrt(5)."""
    critic = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False), nn.Flatten(0))
    critic[0].weight.data = torch.tensor([[1.0], [-1.0]])
    critic[2].weight.data = torch.tensor([[1.0, -2.0]])
    x = torch.from_numpy(np.linspace(-1, 1, 20, dtype=np.float32))[:, None]
    assert lower_bound(critic, x) == pytest.approx(2, rel=1e-6)
    assert upper_bound(critic) == pytest.approx(math.sqrt(10), rel=1e-6)


# What leaves float64, and what is no number


def chain_of(*weights):
    layers = [nn.Linear(1, 1, bias=False, dtype=torch.float64) for _ in weights]
    for layer, weight in zip(layers, weights, strict=True):
        layer.weight.data.fill_(weight)
    return nn.Sequential(*layers, nn.Flatten(0))


def test_bounds_of_large_and_small_weights():
    """The product of the first two norms alone is 0 in float64, and so was the bound."""
    assert upper_bound(chain_of(1e-200, 1e-200, 1e300)) == pytest.approx(1e-100, rel=1e-12)
    assert clip_bound((1, 10**150, 10**150, 1), 1e-110) == pytest.approx(1e-30, rel=1e-12)
    layer = nn.Conv2d(1, 1, 2, bias=False, dtype=torch.float64)
    for unit in (1e-200, 1e200):
        layer.weight.data.fill_(unit)
        assert upper_bound(layer) == pytest.approx(4 * unit, rel=1e-12)
    for critic in (chain_of(1e-200, 1e-200), chain_of(1e200, 1e200)):
        with pytest.raises(InputError, match="leaves float64"):
            upper_bound(critic)
    for c in (1e-200, 1e200):
        with pytest.raises(InputError, match="leaves float64"):
            clip_bound((2, 3, 1), c)


def test_slopes_whose_squares_leave_the_precision():
    for slope in (1e-200, 1e200):
        critic, x = chain_of(slope), points(0, 3, 1)
        assert gradient_norms(critic, x).tolist() == pytest.approx([slope] * 3, rel=1e-12)
        assert lower_bound(critic, x) == pytest.approx(slope, rel=1e-12)
        found = layer_gradients(chain_of(1.0, slope), x[:1], x[1:2])
        assert found[0].item() == pytest.approx(math.sqrt(2) * slope, rel=1e-12)
    assert lower_bound(chain_of(1.0), 1e-200 * points(0, 9, 1)) == pytest.approx(1, rel=1e-12)
    assert lower_bound(lambda x: x[:, 0], torch.randn(9, 2).half()) == 1  # torch has no pdist of float16


@pytest.mark.parametrize("take", [gradient_norms, lower_bound, lambda f, x: layer_gradients(f, x, x)])
def test_rows_and_critics_that_are_none(take):
    critic, x = chain_of(2.0), torch.ones(2, 1, dtype=torch.float64)
    wrong = [x.long(), x + 0j, x[:0], x[:, 0], x[0, 0], x.tolist(), x.numpy(), "many", None]
    for rows in [*wrong, x * math.nan, x * math.inf]:
        with pytest.raises(InputError, match=r"as a tensor \(m, ...\) of finite floats"):
            take(critic, rows)
    for bad in (chain_of(math.nan), chain_of(1.0, math.inf)):
        with pytest.raises(InputError, match="finite weights"):
            take(bad, x)
        with pytest.raises(InputError, match="finite weights"):
            upper_bound(bad)
    for bad in (None, 1.0, "many", nn.Linear(3, 1).double()):
        with pytest.raises(InputError, match="needs"):
            take(bad, x)
    with pytest.raises(InputError, match="one score a row"):
        take(nn.Sequential(critic, nn.Unflatten(0, (-1, 1))), x)


def test_scores_that_autograd_cannot_follow():
    for take in (gradient_norms, lower_bound):
        with pytest.raises(InputError, match="without detach"):
            take(lambda x: x.detach()[:, 0], torch.ones(2, 1))


def test_layer_gradients_refuse_rows_of_two_shapes():
    with pytest.raises(InputError, match="rows of one shape"):
        layer_gradients(chain_of(1.0), torch.ones(2, 1), torch.ones(2, 2))


def test_a_softplus_that_jumps_has_no_bound():
    assert upper_bound(nn.Sequential(nn.Softplus())) == 1
    with pytest.raises(InputError, match="Softplus"):
        upper_bound(nn.Sequential(nn.Softplus(threshold=0.5)))
