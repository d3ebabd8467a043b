"""The other library's matrix products: right, differentiable twice, and asked only where they fit."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from wganlab.engine import products

CAN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@pytest.fixture
def other(monkeypatch):
    """The other library, whatever the processor."""
    if not CAN:
        pytest.skip("this build of PyTorch has no oneDNN")
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)


def bound(a, b):
    """How far a float32 product may be from the float64 one."""
    return 2e-7 * a.shape[1] ** 0.5 * (a.double().abs() @ b.double().abs()).max()


@pytest.mark.parametrize(("m", "k", "n"), [(64, 100, 128), (192, 784, 512), (512, 192, 784), (1000, 1000, 1)])
def test_a_product_is_that_of_float64(other, m, k, n):
    torch.manual_seed(0)
    a, b, bias = torch.randn(m, k), torch.randn(k, n), torch.randn(n)
    turned = torch.randn(k, m).T
    for left, right in ((a, b), (turned, b), (a, torch.randn(n, k).T)):
        assert products.fits(left, right) == (left.is_contiguous() or n >= products.NARROW)
        exact = left.double() @ right.double()
        assert (products.matmul(left, right) - exact).abs().max() <= bound(left, right)
        assert (products.matmul(left, right, bias) - exact - bias).abs().max() <= bound(left, right) + 1e-5


def test_it_is_asked_only_where_it_fits(other, monkeypatch):
    a, b = torch.ones(256, 256), torch.ones(256, 256)
    assert products.fits(a, b)
    assert not products.fits(a.double(), b.double())
    assert not products.fits(a[None], b)
    assert not products.fits(a[:2, :2], b[:2])
    with torch.autocast("cpu", torch.bfloat16):
        assert not products.fits(a, b)
    monkeypatch.setattr(products, "onednn_is_faster", lambda: False)
    assert not products.fits(a, b)
    assert products.with_onednn(len) is len


def test_both_functions_have_the_right_first_and_second_derivatives():
    torch.manual_seed(0)
    x, weight, bias = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 4), (2, 4), 2)
    )
    assert torch.autograd.gradcheck(products.LinearFunction.apply, (x, weight, bias))
    assert torch.autograd.gradgradcheck(products.LinearFunction.apply, (x, weight, bias))
    assert torch.autograd.gradcheck(products.MatMul.apply, (x, weight.T))
    assert torch.autograd.gradgradcheck(products.MatMul.apply, (x, weight.T))


def test_a_penalty_through_them_equals_the_plain_one(other, monkeypatch):
    torch.manual_seed(0)
    critic = nn.Sequential(
        nn.Linear(300, 256), nn.ReLU(), nn.Linear(256, 256, bias=False), nn.ReLU(), nn.Linear(256, 1)
    )
    x, called, inner = torch.randn(64, 300), [], products.LinearFunction.forward

    def penalty():
        point = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(critic(point).sum(), point, create_graph=True)
        loss = critic(x).mean() + (slope.norm(dim=1) - 1).square().mean()
        return torch.autograd.grad(loss, list(critic.parameters()))

    plain = penalty()
    count = staticmethod(lambda *arguments: called.append(1) or inner(*arguments))
    monkeypatch.setattr(products.LinearFunction, "forward", count)
    for a, b in zip(plain, products.with_onednn(penalty)(), strict=True):
        assert (a - b).abs().max() <= 1e-5 * max(1.0, a.abs().max())
    assert len(called) == 4  # two layers are large enough, in two passes


def test_keywords_and_layers_without_bias_pass_through(other):
    x, weight, bias = torch.randn(256, 256), torch.randn(256, 256), torch.randn(256)
    for made in (lambda: functional.linear(x, weight, bias=bias), lambda: functional.linear(x, weight)):
        assert torch.allclose(made(), products.with_onednn(made)(), atol=1e-3)


@pytest.mark.parametrize(
    ("maker", "capability", "faster"),
    [
        ("AuthenticAMD", "AVX512", True),
        ("GenuineIntel", "AVX512", False),
        ("AuthenticAMD", "AVX2", False),
        (None, "AVX512", False),  # not Linux: no such file
    ],
)
def test_the_processor_decides_and_nothing_else(monkeypatch, maker, capability, faster):
    def read_text(path, **keywords):
        if maker is None:
            raise FileNotFoundError
        return maker

    monkeypatch.setattr(products.Path, "read_text", read_text)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    assert products.onednn_is_faster.__wrapped__() == (faster and CAN)  # what is cached is left alone
