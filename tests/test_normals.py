"""W2 between normals against closed forms, POT, a sample, and its laws."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wganlab.errors import InputError
from wganlab.transport import emd, gaussian_w2


def normal(rng, d):
    root = rng.normal(size=(d, d))
    return rng.normal(size=d), root @ root.T


def test_closed_forms():
    eye = np.eye(2)
    assert gaussian_w2([0, 0], eye, [3, 4], eye) == 5.0
    assert gaussian_w2([0, 0], eye, [0, 0], 4 * eye) == pytest.approx(math.sqrt(2), abs=1e-12)
    assert gaussian_w2([0, 0], eye, [0, 0], np.diag([4, 9])) == pytest.approx(math.sqrt(1 + 4), abs=1e-12)
    assert gaussian_w2(1.0, 4.0, 5.0, 25.0) == pytest.approx(5.0, abs=1e-12)  # on the line: 4^2 + (2 - 5)^2
    assert gaussian_w2([0, 0], np.zeros((2, 2)), [3, 4], eye) == pytest.approx(
        math.sqrt(27), abs=1e-12
    )  # a point


def test_covariances_of_any_scale():
    p, q = np.array([[1.0, 1.0], [1.0, 1.0]]), np.diag([1.0, 0.0])
    one = gaussian_w2([0, 0], p, [0, 0], q)
    for scale in (1e-320, 1e-300, 1e300, 1e308):
        found = gaussian_w2([0, 0], p * scale, [0, 0], q * scale)
        assert found / math.sqrt(scale) == pytest.approx(one, rel=1e-3 if scale < 1e-308 else 1e-12)
    assert gaussian_w2(0.0, 1.7e308, 0.0, 1.7e308) == 0
    with pytest.raises(InputError, match="without negative eigenvalues; the smallest one is -1e"):
        gaussian_w2([0, 0], -1e308 * np.eye(2), [0, 0], np.eye(2))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
@settings(max_examples=60)
def test_pot_and_the_laws_of_a_distance(seed, d):
    rng = np.random.default_rng(seed)
    p, q, r = (normal(rng, d) for _ in range(3))
    found = gaussian_w2(*p, *q)
    assert found == pytest.approx(
        float(ot.gaussian.bures_wasserstein_distance(p[0], q[0], p[1], q[1])), abs=1e-6
    )
    assert found == pytest.approx(gaussian_w2(*q, *p), abs=1e-9)
    assert gaussian_w2(*p, *p) < 1e-12  # no cancellation
    assert found <= gaussian_w2(*p, *r) + gaussian_w2(*r, *q) + 1e-9
    assert found >= np.linalg.norm(p[0] - q[0]) - 1e-12
    shifted = gaussian_w2(p[0] + 1, p[1], q[0] + 1, q[1])
    assert shifted == pytest.approx(found, abs=1e-9)
    assert gaussian_w2(3 * p[0], 9 * p[1], 3 * q[0], 9 * q[1]) == pytest.approx(3 * found, rel=1e-9)


def test_a_sample_comes_near():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(800, 2)), rng.normal(size=(800, 2)) * [2, 3] + [3, 0]
    truth = gaussian_w2([0, 0], np.eye(2), [3, 0], np.diag([4, 9]))
    assert emd(x, y, p=2).distance == pytest.approx(truth, rel=0.05)


def test_tensors_are_taken_and_give_a_float():
    found = gaussian_w2(torch.zeros(2), torch.eye(2), torch.tensor([3.0, 4.0]), torch.eye(2))
    assert found == 5.0
    assert type(found) is float


@pytest.mark.parametrize(
    ("normals", "message"),
    [
        (
            ([0.0], np.eye(2), [0, 0], np.eye(2)),
            r"means of one shape \(d,\) and covariances \(d, d\), got \(1,\)",
        ),
        (([0, 0], np.eye(2), [0, 0], [[1, 2], [0, 1]]), "'cov_q' must be a covariance, so symmetric"),
        (([0, 0], -np.eye(2), [0, 0], np.eye(2)), "the smallest one is -1. Use np.cov"),
        ((0.0, -1.0, 0.0, 1.0), "'cov_p' must be a covariance"),
        ((math.nan, 1.0, 0.0, 1.0), "'mean_p' must be finite"),
        (([[0.0]], [[1.0]], [[0.0]], [[1.0]]), "means of one shape"),
    ],
)
def test_refuses(normals, message):
    with pytest.raises(InputError, match=message):
        gaussian_w2(*normals)
