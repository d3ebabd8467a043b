"""The kept generator in bytes: what is kept of it is what torch computes, and the page says."""

import numpy as np
import pytest
import torch
from torch import nn

from wganlab import data, metrics, networks, sampling, transport

RUN = data.results("page_generator").arrays


def players():
    """Generator and critic as torch's own layers, with the weights that the bytes give."""
    codes, scales = RUN["weights"].astype(np.float32) - 128, RUN["scales"]
    layers, at, output = [], 0, 0
    for rows, columns in RUN["shapes"]:
        row = codes[at : at + rows * columns].reshape(rows, columns) * scales[output : output + rows, None]
        layers.append(torch.from_numpy(row))
        at, output = at + rows * columns, output + rows
    assert (at, output) == (len(codes), len(scales))
    up = {"kernel_size": 4, "stride": 2, "padding": 1}
    generator = nn.Sequential(
        nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 1568), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 16, **up), nn.ReLU(), nn.ConvTranspose2d(16, 1, **up), nn.Tanh(),
    )  # fmt: skip
    critic = networks.dcgan_critic(width=RUN["shapes"][4][0])
    with torch.no_grad():
        weighted = [layer for layer in [*generator, *critic] if hasattr(layer, "weight")]
        for layer, row in zip(weighted, layers, strict=True):
            turned = isinstance(layer, nn.ConvTranspose2d)
            shape = layer.weight.transpose(0, 1).shape if turned else layer.weight.shape
            weight = row[:, :-1].reshape(shape)
            layer.weight.copy_(weight.transpose(0, 1) if turned else weight)
            layer.bias.copy_(row[:, -1])
    return generator.requires_grad_(False), critic.requires_grad_(False)


def digits():
    """The shipped digits, two pixels a byte, as rows in [-1, 1]."""
    return np.stack([RUN["digits"] >> 4, RUN["digits"] & 15], axis=2).reshape(100, 784) / 7.5 - 1


def test_the_bytes_give_the_quality_that_is_kept():
    generator, _ = players()
    fake = generator(sampling.normal(16)(1000, torch.Generator().manual_seed(7)))
    x, _ = data.digits()
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(1))
    held, rest = x[order[:1000]], x[order[1000:]]
    w1 = transport.emd(held[:500].flatten(1), fake[:500].flatten(1)).distance
    found = [w1, metrics.digit_score(rest, fake)]
    np.testing.assert_allclose(found, RUN["after"][0], rtol=0.002)
    floor = [
        transport.emd(held[:500].flatten(1), held[500:].flatten(1)).distance,
        metrics.digit_score(rest, held),
    ]
    np.testing.assert_allclose(floor, RUN["floor"], rtol=0.001)


def test_rounding_costs_little_and_training_did_something():
    for key in ("before", "after", "change"):
        assert RUN[key].shape == (3, 2), key
        assert len(np.unique(RUN[key])) == 6, key
    assert (np.abs(RUN["after"] / RUN["before"] - 1) < 0.1).all()
    assert (RUN["change"][:, 0] < 0.5).all()
    assert (RUN["after"][:, 1] < 0.2 * RUN["untrained"][1]).all()
    assert (RUN["before"] > RUN["floor"]).all()


def test_each_step_of_a_latent_coordinate_changes_the_picture_less_than_the_one_before():
    assert RUN["effects"].shape == (3, 16)
    assert (np.diff(RUN["effects"]) <= 0).all()
    generator, _ = players()
    z = sampling.normal(16)(500, torch.Generator().manual_seed(3))
    h = 1e-2 * torch.eye(16)
    J = torch.stack([(generator(z + step) - generator(z - step)).flatten(1) / 2e-2 for step in h])
    gram = torch.einsum("imp,jmp->ij", J, J) / len(z)
    np.testing.assert_allclose(gram.diag(), RUN["effects"][0], rtol=0.25)
    off = gram - gram.diag().diag()
    assert off.abs().max() < 0.1 * gram[0, 0]


def test_the_digits_are_those_of_the_set_at_four_bits_ten_a_class():
    x, labels = data.digits()
    assert labels[RUN["shown"]].tolist() == [label for label in range(10) for _ in range(10)]
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(1))
    assert not set(RUN["shown"]) & set(order[:1000].tolist())  # none was held out
    change = np.abs(digits() - x[RUN["shown"]].flatten(1).numpy()).max()
    assert change == pytest.approx(8 / 127.5, abs=1e-6)  # 16 levels, 17 bytes apart
