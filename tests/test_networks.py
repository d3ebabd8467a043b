"""Players have the shapes and weights that one counts by hand, and score each row on its own."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from wganlab import Draw, Game, networks, recipes, sampling, train
from wganlab.errors import InputError
from wganlab.networks import dcgan_critic, dcgan_generator, mlp

CRITICS = {
    "plane": (lambda: mlp(2, 1), (2,)),
    "leaky": (lambda: mlp(2, 1, hidden=(8,), slope=0.2), (2,)),
    "pictures": (lambda: mlp((1, 28, 28), 1, hidden=(16,)), (1, 28, 28)),
    "dcgan": (lambda: dcgan_critic(width=4), (1, 28, 28)),
    "dcgan32": (lambda: networks.dcgan32_critic(width=2), (3, 32, 32)),
    "dcgan64": (lambda: networks.dcgan64_critic(width=1, channels=1), (1, 64, 64)),
    "resnet": (lambda: networks.resnet_critic(width=4), (3, 32, 32)),
}
every_critic = pytest.mark.parametrize(("make", "row"), CRITICS.values(), ids=CRITICS)


def count(player):
    return sum(weight.numel() for weight in player.parameters())


@every_critic
@pytest.mark.parametrize("m", [1, 2, 7])
def test_a_critic_gives_one_score_a_row(make, row, m):
    assert make()(torch.randn(m, *row)).shape == (m,)


@every_critic
def test_a_critic_scores_each_row_on_its_own(make, row):
    critic, x = make(), torch.randn(5, *row, requires_grad=True)
    assert not any(isinstance(module, _BatchNorm) for module in critic.modules())
    (gradient,) = torch.autograd.grad(critic(x)[0], x)
    assert gradient[0].abs().max() > 0
    assert (gradient[1:] == 0).all()


def test_sizes_of_mlps():
    toy = mlp(2, 1, hidden=(512, 512, 512))  # the critic of the authors' toy script
    assert count(toy) == (2 * 512 + 512) + 2 * (512 * 512 + 512) + (512 + 1)
    assert count(mlp(2, 1)) == (2 * 128 + 128) + 2 * (128 * 128 + 128) + 129
    assert count(mlp(3, 4, hidden=())) == 3 * 4 + 4
    assert count(mlp((1, 28, 28), 1, hidden=(512, 256))) == 784 * 512 + 512 + 512 * 256 + 256 + 257
    assert count(mlp(64, (1, 28, 28), hidden=(10,))) == 64 * 10 + 10 + 10 * 784 + 784


def test_shapes_of_mlps():
    x = torch.randn(5, 2)
    assert mlp(2, 3)(x).shape == (5, 3)
    assert mlp(2, 1)(x).shape == (5,)
    assert mlp(2, (1,))(x).shape == (5, 1)
    assert mlp(2, (1, 4, 3))(x).shape == (5, 1, 4, 3)
    assert mlp((1, 4, 3), 2)(torch.randn(5, 1, 4, 3)).shape == (5, 2)
    assert mlp((7,), (2,))(torch.randn(5, 7)).shape == (5, 2)


def test_an_mlp_is_its_formula():
    net = mlp(2, 2, hidden=(3,), slope=0.2, last=nn.Tanh())
    kinds = [type(layer).__name__ for layer in net]
    assert kinds == ["Linear", "LeakyReLU", "Linear", "Tanh"]
    x, (W, b, V, c) = torch.randn(6, 2), net.parameters()
    h = x @ W.T + b
    h = torch.where(h > 0, h, 0.2 * h)
    assert torch.allclose(net(x), (h @ V.T + c).tanh(), atol=1e-6)
    assert [type(layer).__name__ for layer in mlp(2, 1, hidden=(3,))] == [
        "Linear",
        "ReLU",
        "Linear",
        "Flatten",
    ]


def test_the_small_dcgan_generator():
    generator = dcgan_generator(64)
    linear = 64 * 128 + 2 * 128 + 128 * (32 * 49) + 2 * (32 * 49)
    convolution = 32 * 16 * 16 + 2 * 16 + (16 * 1 * 16 + 1)
    assert count(generator) == linear + convolution == 220_769
    pictures = generator(torch.randn(8, 64))
    assert pictures.shape == (8, 1, 28, 28)
    assert pictures.abs().max() < 1
    assert dcgan_generator(3, width=2, dense=5)(torch.randn(4, 3)).shape == (4, 1, 28, 28)


def test_the_first_pictures_are_dark():
    generator = dcgan_generator()
    assert list(generator[-2].bias) == [-1.0]
    assert isinstance(generator[-1], nn.Tanh)
    torch.manual_seed(0)
    assert dcgan_generator()(torch.randn(64, 64)).median().item() == pytest.approx(-0.76, abs=0.1)  # tanh -1


def test_the_small_dcgan_critic():
    assert count(dcgan_critic()) == (32 * 16 + 32) + (64 * 32 * 16 + 64) + (64 * 49 + 1) == 36_513
    maps, x = dcgan_critic(width=4), torch.randn(2, 1, 28, 28)
    assert maps[:2](x).shape == (2, 4, 14, 14)
    assert maps[:4](x).shape == (2, 8, 7, 7)


def test_the_pair_for_32x32_pictures():
    generator, critic = networks.dcgan32_generator(), networks.dcgan32_critic()
    start = 64 * 64 * 16 + 2 * 64
    assert count(generator) == start + (64 * 32 * 16 + 2 * 32) + (32 * 16 * 16 + 2 * 16) + (16 * 3 * 16 + 3)
    assert count(generator) == 107_491
    layers = (3 * 32 * 16 + 32) + (32 * 64 * 16 + 64) + (64 * 128 * 16 + 128)
    assert count(critic) == layers + (128 * 16 + 1) == 167_649
    pictures = generator(torch.randn(4, 64))
    assert pictures.shape == (4, 3, 32, 32)
    assert pictures.abs().max() < 1
    assert critic(pictures).shape == (4,)
    assert networks.dcgan32_generator(5, width=1, channels=1)(torch.randn(2, 5)).shape == (2, 1, 32, 32)


def test_the_dcgan_pair_of_the_wgan_gp_authors():
    """gan_64x64.py: 5x5 kernels, maps 512-256-128-64 of 4x4 to 32x32, and back; DIM = 64."""
    generator, critic = networks.dcgan64_generator(), networks.dcgan64_critic()
    start = 128 * 512 * 16 + 2 * 512
    upward = (512 * 256 + 256 * 128 + 128 * 64) * 25 + 2 * (256 + 128 + 64)
    assert count(generator) == start + upward + (64 * 3 * 25 + 3) == 5_356_099
    downward = (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) * 25 + (64 + 128 + 256 + 512)
    assert count(critic) == downward + (512 * 16 + 1) == 4_314_753
    pictures = generator(torch.randn(2, 128))
    assert pictures.shape == (2, 3, 64, 64)
    assert critic(pictures).shape == (2,)
    sides = [part(pictures).shape[-1] for part in (critic[:2], critic[:4], critic[:6], critic[:8])]
    assert sides == [32, 16, 8, 4]


def test_the_weights_of_the_dcgan_pair_are_radfords():
    """Radford et al. 2016, section 4: zero-centred normal, standard deviation 0.02."""
    torch.manual_seed(0)
    for player in (networks.dcgan64_generator(), networks.dcgan64_critic()):
        for layer in player:
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                n = layer.weight.numel()
                assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / n**0.5)
                assert layer.weight.mean().item() == pytest.approx(0, abs=5 * 0.02 / n**0.5)
                assert layer.bias is None or not layer.bias.any()
    assert player[0].weight.abs().max() > 0.06  # a normal's tail, which a uniform law of this width lacks


# The residual players of gan_cifar_resnet.py


def test_sizes_of_the_residual_players():
    """Counted from the authors' blocks: two 3x3 convolutions, and a 1x1 one where the size changes."""
    square, point, norm = 128 * 128 * 9 + 128, 128 * 128 + 128, 2 * 128
    upward = 2 * norm + 2 * square + point
    generator = (128 * 4 * 4 * 128 + 4 * 4 * 128) + 3 * upward + norm + (128 * 3 * 9 + 3)
    assert count(networks.resnet_generator()) == generator == 1_204_483
    first = (3 * 128 * 9 + 128) + square + (3 * 128 + 128)
    critic = first + (2 * square + point) + 2 * (2 * square) + (128 + 1)
    assert count(networks.resnet_critic()) == critic == 1_053_825


def pooled(x):
    """ConvMeanPool's and MeanPoolConv's pooling: a quarter of the sum of four shifted grids."""
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


def nearest(x):
    """UpsampleConv's upsampling: each place four times."""
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def test_the_residual_critic_is_the_authors_function():
    torch.manual_seed(0)
    critic, x = networks.resnet_critic(width=4).double(), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    convolutions = [layer for layer in critic.modules() if isinstance(layer, nn.Conv2d)]
    a1, a2, a3, b1, b2, b3, c1, c2, d1, d2 = convolutions
    assert [layer.kernel_size[0] for layer in convolutions] == [3, 3, 1, 3, 3, 1, 3, 3, 3, 3]
    h = a3(pooled(x)) + pooled(a2(a1(x).relu()))  # OptimizedResBlockDisc1
    h = pooled(b3(h)) + pooled(b2(b1(h.relu()).relu()))  # resample='down': ConvMeanPool in both ways
    h = h + c2(c1(h.relu()).relu())
    h = h + d2(d1(h.relu()).relu())
    assert h.shape == (2, 4, 8, 8)
    f = critic[-2](h.relu().mean(dim=(2, 3)))[:, 0]
    assert torch.allclose(critic(x), f, rtol=1e-12, atol=1e-14)


def test_the_residual_generator_is_the_authors_function():
    torch.manual_seed(0)
    generator, z = networks.resnet_generator(5, width=4).double(), torch.randn(3, 5, dtype=torch.float64)
    linear, *convolutions = [
        layer for layer in generator.modules() if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    norm = nn.BatchNorm2d(4, affine=False, track_running_stats=False).double()
    h = linear(z).view(3, 4, 4, 4)
    for first, second, shortcut in (convolutions[:3], convolutions[3:6], convolutions[6:9]):
        way = second(norm(first(nearest(norm(h).relu()))).relu())
        h = shortcut(nearest(h)) + way  # UpsampleConv in the shortcut
    x = convolutions[9](norm(h).relu()).tanh()
    assert x.shape == (3, 3, 32, 32)
    assert torch.allclose(generator(z), x, rtol=1e-10, atol=1e-12)


def test_initial_weights_of_the_residual_players_are_the_authors():
    """tflib/ops/conv2d.py: uniform, variance 4 / (fan_in + fan_out) by He, half of it by Glorot; biases 0."""
    torch.manual_seed(0)
    for player in (networks.resnet_generator(), networks.resnet_critic()):
        layers = [layer for layer in player.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        for layer in layers:
            fan_out, fan_in, *kernel = layer.weight.shape
            area = kernel[0] ** 2 if kernel else 1
            he = area == 9 and fan_out != 3  # 3x3 in a block; the generator's last layer has he_init=False
            bound = (3 * (4 if he else 2) / (area * (fan_in + fan_out))) ** 0.5
            largest = layer.weight.abs().max().item()
            assert bound * (1 - 20 / layer.weight.numel()) < largest <= bound
            assert not layer.bias.any()


@pytest.mark.slow
def test_residual_players_train_with_the_penalty():
    torch.manual_seed(0)
    game = Game(
        networks.resnet_generator(4, width=4), networks.resnet_critic(width=4), recipes.wgan_gp_resnet
    )
    draw = Draw(torch.rand(16, 3, 32, 32) * 2 - 1, sampling.normal(4), 4)
    before = [weight.clone() for player in (game.generator, game.critic) for weight in player.parameters()]
    assert len(list(train(game, draw, 2))) == 2
    after = [weight for player in (game.generator, game.critic) for weight in player.parameters()]
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert sum(moved) >= len(moved) - 5  # biases in front of BatchNorm, or at the critic's end, need not


def test_weights_come_from_the_global_generator_alone():
    players = []
    for _ in range(2):
        torch.manual_seed(1)
        players.append(
            [
                mlp(2, 1),
                dcgan_generator(4, width=2, dense=4),
                dcgan_critic(width=2),
                networks.dcgan64_critic(width=1),
                networks.resnet_generator(2, width=2),
            ]
        )
    for one, other in zip(*players, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


REFUSALS = {
    "inputs": (lambda: mlp(0, 1), r"layers of size >= 1, got sizes \[0, 128, 128, 128, 1\]"),
    "hidden": (lambda: mlp(2, 1, hidden=(4, -1)), r"got sizes \[2, 4, -1, 1\]"),
    "outputs": (lambda: mlp(2, (1, 0, 28)), r"got sizes \[2, .*, 0\]"),
    "latent": (lambda: dcgan_generator(0), "dcgan_generator needs sizes >= 1, got 0, 16, 128"),
    "width": (lambda: dcgan_generator(width=0), "got 64, 0, 128"),
    "dense": (lambda: dcgan_generator(dense=-1), "got 64, 16, -1"),
    "critic": (lambda: dcgan_critic(width=0), "dcgan_critic needs a width >= 1, got 0"),
    "dcgan32": (lambda: networks.dcgan32_generator(channels=0), "dcgan32_generator needs .* got 64, 16, 0"),
    "dcgan32 critic": (lambda: networks.dcgan32_critic(width=-1), "dcgan32_critic needs .* got -1, 3"),
    "dcgan64": (lambda: networks.dcgan64_generator(0), "dcgan64_generator needs .* got 0, 64, 3"),
    "dcgan64 critic": (lambda: networks.dcgan64_critic(channels=0), "dcgan64_critic needs .* got 64, 0"),
    "resnet": (lambda: networks.resnet_generator(0), "resnet_generator needs sizes >= 1, got 0 and 128"),
    "resnet critic": (lambda: networks.resnet_critic(width=0), "resnet_critic needs a width >= 1, got 0"),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(call, message):
    with pytest.raises(InputError, match=message):
        call()


# Layers of norm 1


def test_a_norm_stands_before_each_activation_and_not_at_the_end():
    kinds = [type(layer).__name__ for layer in networks.mlp(2, 1, hidden=(4, 6), norm=nn.LayerNorm)]
    assert kinds == ["Linear", "LayerNorm", "ReLU", "Linear", "LayerNorm", "ReLU", "Linear", "Flatten"]
    widths = [
        layer.normalized_shape
        for layer in networks.mlp(2, 1, hidden=(4, 6), norm=nn.LayerNorm)
        if isinstance(layer, nn.LayerNorm)
    ]
    assert widths == [(4,), (6,)]
    assert networks.mlp(2, 1, hidden=(4, 8), norm=partial(nn.GroupNorm, 4))(torch.zeros(3, 2)).shape == (3,)
    assert [type(layer).__name__ for layer in networks.mlp(2, 3, hidden=(), norm=nn.LayerNorm)] == ["Linear"]


def norms(player):
    layers = [layer for layer in player.modules() if isinstance(layer, nn.Linear)]
    return [torch.linalg.matrix_norm(layer.weight, 2).item() for layer in layers]


def test_spectral_divides_each_matrix_by_its_norm():
    torch.manual_seed(0)
    plain = networks.mlp(2, 1, hidden=(16, 16))
    before = [weight.detach().clone() for weight in plain.parameters() if weight.ndim == 2]
    player = networks.spectral(plain)
    assert player is plain
    for _ in range(30):
        player(torch.zeros(1, 2))  # one step of power iteration each
    assert norms(player) == pytest.approx([1.0] * 3, abs=1e-4)
    matrices = [layer.weight.detach() for layer in player if isinstance(layer, nn.Linear)]
    for matrix, old in zip(matrices, before, strict=True):
        assert torch.allclose(matrix, old / torch.linalg.matrix_norm(old, 2), atol=1e-4)


def test_spectral_normalises_the_kernels_of_convolutions_as_matrices():
    torch.manual_seed(0)
    critic = networks.spectral(networks.dcgan_critic(width=4)).eval()
    kernels = [layer.weight.flatten(1) for layer in critic if isinstance(layer, nn.Conv2d)]
    found = [torch.linalg.matrix_norm(kernel, 2).item() for kernel in kernels]
    assert len(found) == 2
    assert found == pytest.approx([1.0, 1.0], abs=0.05)


def test_a_spectral_critic_trains_and_comes_back_from_its_state():
    def game():
        torch.manual_seed(0)
        return Game(
            networks.mlp(2, 2, hidden=(8,)),
            networks.spectral(networks.mlp(2, 1, hidden=(8, 8))),
            recipes.sn_gan,
        )

    draw = Draw(sampling.ring(), sampling.normal(2), 16)
    whole, broken = game(), game()
    list(train(whole, draw, 6))
    list(train(broken, draw, 3))
    resumed = game()
    resumed.load_state_dict(broken.state_dict())
    list(train(resumed, draw, 6))
    pairs = zip(whole.critic.state_dict().values(), resumed.critic.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert max(norms(whole.critic)) < 1.2


def test_group_sort_permutes_within_groups():
    x = torch.randn(5, 3, 12)
    for size in (1, 2, 3, 12):
        y = networks.GroupSort(size)(x)
        assert y.shape == x.shape
        groups = y.unflatten(-1, (-1, size))
        assert torch.equal(groups, groups.sort(dim=-1).values)
        assert torch.equal(y.sort(dim=-1).values, x.sort(dim=-1).values)
    with pytest.raises(InputError, match="groups of 5, which do not divide the width 12"):
        networks.GroupSort(5)(x)
    with pytest.raises(InputError, match="size >= 1"):
        networks.GroupSort(0)


@pytest.mark.parametrize("seed", range(3))
def test_a_lipschitz_mlp_is_1_lipschitz_with_slope_1_almost_everywhere(seed):
    """Orthonormal maps and sorting keep the length of the gradient where no layer narrows."""
    torch.manual_seed(seed)
    critic = networks.lipschitz_mlp(4, hidden=(4, 4)).double()
    x = torch.randn(200, 4, dtype=torch.float64, requires_grad=True)
    f = critic(x)
    (gradient,) = torch.autograd.grad(f.sum(), x)
    assert gradient.norm(dim=1).tolist() == pytest.approx([1.0] * 200, rel=1e-6)
    distance = torch.cdist(x, x)
    assert ((f[:, None] - f).abs() <= distance * (1 + 1e-6) + 1e-9).all()


@pytest.mark.slow
def test_a_lipschitz_mlp_learns_the_absolute_value_which_spectral_relu_cannot():
    """W1 between {-1, 1} and 0 is 1; the best critic is |x|."""
    x, x_fake = torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1)

    def estimate(critic):
        adam = torch.optim.Adam(critic.parameters(), lr=0.02)
        for _ in range(300):
            loss = critic(x_fake).mean() - critic(x).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        return -(critic(x_fake).mean() - critic(x).mean()).item()

    torch.manual_seed(0)
    assert estimate(networks.lipschitz_mlp((1,), hidden=(16, 16))) == pytest.approx(1, abs=0.02)
    assert estimate(networks.spectral(networks.mlp((1,), 1, hidden=(16, 16)))) < 0.9


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: networks.spectral(nn.Sequential(nn.ReLU())), "found none"),
        (lambda: networks.lipschitz_mlp(2, hidden=(5,)), "hidden widths that 2 divides"),
        (lambda: networks.lipschitz_mlp(0), "size >= 1"),
        (lambda: networks.lipschitz_mlp(2, size=0), "groups of size >= 1, got 0"),
    ],
)
def test_layers_of_norm_1_refuse(call, says):
    with pytest.raises(InputError, match=says):
        call()


def test_numpy_s_numbers_are_sizes():
    assert mlp(np.int64(2), np.int32(1))(torch.zeros(3, 2)).shape == (3,)
