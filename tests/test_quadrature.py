"""Integrals against closed forms, and what cannot be known is refused."""

import math

import numpy as np
import pytest

from wganlab._quadrature import integral, interval
from wganlab.errors import InputError, SolverError

INF = math.inf


@pytest.mark.parametrize(
    ("function", "low", "high", "truth"),
    [
        (lambda x: math.exp(-x * x), -INF, INF, math.sqrt(math.pi)),
        (lambda x: math.exp(-x), 0.0, INF, 1.0),
        (lambda x: 1 / (1 + x * x), -INF, INF, math.pi),
        (lambda x: math.exp(-(((x - 1000.3) / 9) ** 2)), -INF, INF, 9 * math.sqrt(math.pi)),
        (lambda x: math.exp(-(((x - 0.377) / 1e-3) ** 2)), 0.0, 1.0, 1e-3 * math.sqrt(math.pi)),
        (lambda x: float(x > 1 / 3), 0.0, 1.0, 2 / 3),
        (lambda x: 1 / math.sqrt(x) if x > 0 else 0.0, 0.0, 1.0, 2.0),
    ],
    ids=["normal", "half line", "Cauchy", "far peak", "thin peak", "jump", "pole at the end"],
)
def test_closed_forms(function, low, high, truth):
    assert integral(lambda x: np.array([function(x)]), low, high)[0] == pytest.approx(truth, abs=1e-9)


@pytest.mark.parametrize(
    "function",
    [lambda x: 1.0, lambda x: 1 / (1 + abs(x)), lambda x: 1 / x if x else 0.0],
    ids=["constant", "1/x far out", "1/x at 0"],
)
def test_a_divergent_integral_on_the_half_line_is_refused(function):
    with pytest.raises(SolverError, match="is not known to 1e-09: it is infinite, or"):
        integral(lambda x: np.array([function(x)]), 0.0, INF)


@pytest.mark.parametrize("bad", [(1, 0), (0, 0), (math.nan, 1), 3, (1, 2, 3), ("a", 1)])
def test_an_interval_is_two_numbers_in_order(bad):
    with pytest.raises(InputError, match="'support' must be an interval"):
        interval(bad)


def test_a_divergent_integral_between_finite_ends_is_refused():
    with pytest.raises(SolverError, match="it is infinite, or"):
        integral(lambda x: np.array([max(x, 1e-150) ** -2]), 0.0, 1.0)


def test_a_peak_is_found_where_points_name_it():
    def peak(x):
        return np.array([math.exp(-min((x - 1e6) ** 2, 700))])

    assert integral(peak, -INF, INF)[0] < 1e-200  # missed
    found = integral(peak, -INF, INF, points=[1e6 + step for step in (-9, -3, 0, 3, 9)])
    assert found[0] == pytest.approx(math.sqrt(math.pi), abs=1e-9)
    with pytest.raises(SolverError, match="not known"):
        integral(peak, -INF, INF, points=[1e200])
