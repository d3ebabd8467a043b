"""Congested transport: closed forms on the line, a certificate on the grid, and laws between the two."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import logsumexp, ndtr

from wganlab import transport
from wganlab.errors import InputError, SolverError
from wganlab.transport import congested_flow, interpolate_density, penalised_line
from wganlab.transport.congested import Grid

# On the line


def atoms(d, weight):
    return penalised_line(lambda x: 1.0, lambda x: 1 / d, (0.0, d), weight=weight)


@pytest.mark.parametrize("weight", [0.1, 1.0, 10.0, 1e4])
@pytest.mark.parametrize("d", [0.5, 1.0, 3.0])
def test_two_points_at_distance_d(d, weight):
    """Slope 1 + d/(2 lambda), estimate d + d^2/(2 lambda), J = d + d^2/(4 lambda)."""
    found = atoms(d, weight)
    assert found.w1 == pytest.approx(d, rel=1e-12)
    assert found.estimate == pytest.approx(d + d**2 / (2 * weight), rel=1e-12)
    assert found.objective == pytest.approx(d + d**2 / (4 * weight), rel=1e-12)
    assert found.slope(d / 2) == pytest.approx(1 + d / (2 * weight), rel=1e-12)
    assert found.reversed_estimate == pytest.approx(-d + d**2 / (2 * weight), rel=1e-12)
    expected = d / (2 * weight) - 1 if d <= 2 * weight else math.nan
    assert found.reversed_slope(d / 2) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("weight", [0.1, 1.0, 10.0])
def test_a_point_against_the_unit_interval(weight):
    """W1 = 1/2 and I = ln(4/3), with interpolates of density -ln x."""
    found = penalised_line(lambda x: 1 - x, lambda x: -math.log(x), (0.0, 1.0), weight=weight)
    assert found.estimate == pytest.approx(0.5 + math.log(4 / 3) / (2 * weight), abs=1e-9)
    assert found.objective == pytest.approx(0.5 + math.log(4 / 3) / (4 * weight), abs=1e-9)


def normals_h(x):
    """F_g - F_r of N(3, 1) and N(0, 1), in each tail from small numbers."""
    return ndtr(x - 3) - ndtr(x) if x < 1.5 else ndtr(-x) - ndtr(3 - x)


def normals_density(x):
    return interpolate_density([[x]], [[0.0]], 1.0, [[3.0]], 1.0)[0]


def test_two_normals_at_distance_3():
    """I = 9.259070: the authors' toy weight of 0.1 makes a distance of 3 look like 49.3."""
    found = {w: penalised_line(normals_h, normals_density, (-9, 12), weight=w) for w in (10.0, 1.0, 0.1)}
    assert [round(one.w1, 9) for one in found.values()] == [3.0] * 3
    assert [round(one.estimate, 3) for one in found.values()] == [3.463, 7.63, 49.295]
    assert found[10.0].reversed_estimate == pytest.approx(-2.537047, abs=1e-6)
    assert found[1.0].slope(1.5) < -1  # f falls from the real points to the fakes


def test_the_slope_maximises_the_integrand():
    found = penalised_line(normals_h, normals_density, (-9, 12), weight=2.0)
    for x in (-1.0, 0.5, 1.5, 4.0):
        h, rho, s = normals_h(x), normals_density(x), np.linspace(-9, 9, 180001)
        gain = s * h - 2.0 * (np.abs(s) - 1) ** 2 * rho
        assert s[gain.argmax()] == pytest.approx(found.slope(x), abs=2e-4)
        wrong = gain[s * h < 0]
        reversed_slope = found.reversed_slope(x)
        expected = 0.0 if math.isnan(reversed_slope) else reversed_slope  # no peak: best where it ends
        assert s[s * h < 0][wrong.argmax()] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"weight": 0.0}, "weight > 0, got 0"),
        ({"density": lambda x: 2.0}, "mass 2 on"),
        ({"density": lambda x: 1 - 1e-7}, "mass 0.9999999 on .* or widen the support"),
        ({"density": lambda x: 1.0 if x < 0.5 else 0.0}, "must be positive where the laws differ"),
        ({"density": lambda x: -1.0}, "must be positive"),
        ({"support": (1.0, 0.0)}, "low < high"),
    ],
)
def test_penalised_line_refuses(arguments, says):
    right = {"h": lambda x: 1.0, "density": lambda x: 1.0, "support": (0.0, 1.0), "weight": 1.0}
    with pytest.raises(InputError, match=says):
        penalised_line(**(right | arguments))


def test_an_infinite_congestion_is_no_number():
    """h = 1 where the density is 2x: the integral of 1/(2x) diverges."""
    with pytest.raises(SolverError, match="infinite"):
        penalised_line(lambda x: 1.0, lambda x: 2 * x, (0.0, 1.0), weight=1.0)


# The density of the interpolates


def test_the_density_of_interpolates_has_mass_1_and_the_moments_of_its_law():
    """Means 0 and 3: E x_hat = 3/2; variance E(eps^2 + (1 - eps)^2) + 9 var(eps) = 2/3 + 3/4."""
    x = np.linspace(-9, 12, 4001)
    rho = interpolate_density(x[:, None], [[0.0]], 1.0, [[3.0]], 1.0)
    step = x[1] - x[0]
    assert rho.sum() * step == pytest.approx(1, abs=1e-12)
    assert (rho * x).sum() * step == pytest.approx(1.5, abs=1e-10)
    assert (rho * (x - 1.5) ** 2).sum() * step == pytest.approx(2 / 3 + 3 / 4, abs=1e-9)


def test_the_density_of_mixtures_is_the_mean_over_pairs():
    x = np.random.default_rng(0).normal(size=(50, 2))
    p, q = [[-1.5, 0.0], [1.5, 0.0]], [[0.0, 0.0], [0.0, 1.0], [2.0, 2.0]]
    whole = interpolate_density(x, p, 0.5, q, 0.7)
    parts = [interpolate_density(x, [a], 0.5, [b], 0.7) for a in p for b in q]
    assert np.allclose(whole, np.mean(parts, axis=0), rtol=1e-9, atol=1e-15)


def test_the_narrowest_bumps_are_resolved():
    x = np.linspace(-1, 2, 20001)
    rho = interpolate_density(x[:, None], [[0.0]], 0.01, [[1.0]], 0.01)
    assert rho.sum() * (x[1] - x[0]) == pytest.approx(1, abs=1e-10)
    assert np.allclose(rho[(x > 0.1) & (x < 0.9)], 1, rtol=0, atol=1e-3)  # no ripple of the nodes
    with pytest.raises(InputError, match="Widen the bumps"):
        interpolate_density(x[:, None], [[0.0]], 0.009, [[1.0]], 1.0)


@pytest.mark.parametrize("d", [3, 64, 784])
@pytest.mark.parametrize("widths", [(1.0, 0.5), (0.4, 0.4), (0.3, 1.5)])
def test_the_density_in_many_dimensions(d, widths):
    """Against the trapezoidal rule in logarithms with 200,001 places."""
    rng = np.random.default_rng(d)
    p, q = rng.normal(size=d) / d**0.5, rng.normal(size=d) / d**0.5
    eps = np.linspace(0, 1, 200_001)
    variance = (eps * widths[0]) ** 2 + ((1 - eps) * widths[1]) ** 2
    for share in (0.1, 0.5, 0.9):
        width = math.hypot(share * widths[0], (1 - share) * widths[1])
        x = share * p + (1 - share) * q + width * rng.normal(size=d)
        from_q, way = x - q, p - q
        square = from_q @ from_q - 2 * eps * (from_q @ way) + eps**2 * (way @ way)
        logs = -square / (2 * variance) - d / 2 * np.log(2 * math.pi * variance)
        truth = logsumexp(logs, b=np.r_[0.5, np.ones(199_999), 0.5]) - math.log(200_000)
        found = interpolate_density([x], [p], widths[0], [q], widths[1], log=True)[0]
        assert found == pytest.approx(truth, abs=1e-9)
        if truth > -700:
            density = interpolate_density([x], [p], widths[0], [q], widths[1])[0]
            assert math.log(density) == pytest.approx(truth, abs=1e-9)


def test_a_density_beyond_float64_is_no_number():
    with pytest.raises(InputError, match="overflows float64 in 784 dimensions. Take log=True"):
        interpolate_density(np.zeros((1, 784)), np.zeros((1, 784)), 0.02, np.zeros((1, 784)), 0.02)
    with pytest.raises(InputError, match="is 1000 times the width"):
        interpolate_density([[0.0]], [[0.0]], 1e-3, [[0.0]], 1.0)


@pytest.mark.parametrize(
    "arguments", [([[0.0, 0.0]], [[0.0]], 1, [[0.0]], 1), ([[0.0]], [[0.0]], 0, [[0.0]], 1)]
)
def test_interpolate_density_refuses(arguments):
    with pytest.raises(InputError, match="needs places and means"):
        interpolate_density(*arguments)


# On the grid


def bumps(n, k, width, real, fake, std):
    """Masses of two mixtures on a grid with side ``width`` in x, and the density of their interpolates."""
    step = width / n
    x, y = (step * (np.arange(m) - m / 2 + 0.5) for m in (n, k))
    places = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)

    def mass(means):
        total = sum(np.exp(-((places - np.array(mean)) ** 2).sum(1) / (2 * std**2)) for mean in means)
        return (total / total.sum()).reshape(n, k)

    density = interpolate_density(places, real, std, fake, std).reshape(n, k)
    return mass(real), mass(fake), density, step


def divergence(flow, density, step, weight):
    grid = Grid(density, step, weight)
    return grid.inflow(flow)


def test_a_row_of_cells_is_the_line():
    """One unit over n - 1 edges: each costs 1 + 1/(4 lambda rho) of its length."""
    n, step, weight = 50, 0.1, 2.0
    p, q = np.zeros((n, 1)), np.zeros((n, 1))
    p[-1], q[0] = 1.0, 1.0
    rho = np.linspace(0.5, 1.5, n)[:, None] / step
    found = congested_flow(p, q, rho, step=step, weight=weight)
    # Between two cells half of it flows in each one's quarters: forward on the left, backward on the right.
    room = weight * step**2 * rho[:, 0]
    split = room[:-1] + room[1:]
    expected = step * (n - 1) + (step**2 / (2 * split)).sum()
    assert found.cost == pytest.approx(expected, rel=1e-7)
    assert found.bound == pytest.approx(expected, rel=1e-7)
    assert found.length == pytest.approx(step * (n - 1), rel=1e-7)
    assert (np.diff(found.potential[:, 0]) > 0).all()


@pytest.mark.parametrize("weight", [0.1, 1.0, 10.0])
def test_a_strip_equals_the_theory_on_the_line(weight):
    """Laws that do not depend on y, with the density of the line: the grid meets quadrature as step -> 0."""
    theory = penalised_line(normals_h, normals_density, (-9, 12), weight=weight)
    errors = []
    for n in (120, 240):
        step = 15 / n
        x = -6 + step * (np.arange(n) + 0.5)
        p, q = (np.exp(-((x - mean) ** 2) / 2) for mean in (0, 3))
        rho = interpolate_density(x[:, None], [[0.0]], 1.0, [[3.0]], 1.0)
        k = 2
        strip = lambda row: np.repeat(row[:, None], k, axis=1)  # noqa: B023, E731
        flow = congested_flow(
            strip(p / p.sum() / k), strip(q / q.sum() / k), strip(rho / (k * step)), step=step, weight=weight
        )
        errors.append([abs(flow.cost / theory.objective - 1), abs(flow.estimate / theory.estimate - 1)])
    assert max(errors[1]) < 4e-3
    assert errors[1][1] < 0.3 * errors[0][1]  # of second order


MIX = ([[-1.5, 0.0], [1.5, 0.0]], [[0.0, 0.0]], 0.5)


@pytest.mark.parametrize("weight", [0.1, 1.0, 10.0, 100.0])
def test_the_certificate_and_the_marginals(weight):
    p, q, density, step = bumps(32, 24, 8, *MIX)
    found = congested_flow(p, q, density, step=step, weight=weight)
    assert found.bound <= found.cost * (1 + 1e-12)
    assert found.cost - found.bound <= 1e-8 * found.cost
    assert found.estimate == pytest.approx(2 * found.cost - found.length, rel=1e-12)
    # bound is J of the potential, computed here from its own differences
    rise, climb = np.diff(found.potential, axis=0) / step, np.diff(found.potential, axis=1) / step
    sides = [np.pad(rise, ((0, 1), (0, 0))), np.pad(rise, ((1, 0), (0, 0)))]
    up = [np.pad(climb, ((0, 0), (0, 1))), np.pad(climb, ((0, 0), (1, 0)))]
    penalty = (
        sum((np.maximum(np.hypot(a, b) - 1, 0) ** 2 * density).sum() for a in sides for b in up) * step**2 / 4
    )
    assert (found.potential * (p - q)).sum() - weight * penalty == pytest.approx(found.bound, rel=1e-9)
    # what the best critic reports is what the flow says
    assert (found.potential * (p - q)).sum() == pytest.approx(found.estimate, rel=1e-3)


def test_the_cost_falls_to_w1_as_the_weight_grows():
    p, q, density, step = bumps(16, 12, 8, *MIX)
    costs = [congested_flow(p, q, density, step=step, weight=w).cost for w in (0.1, 1, 10, 100, 1000)]
    assert costs == sorted(costs, reverse=True)
    x, y = (step * (np.arange(m) - m / 2 + 0.5) for m in p.shape)
    places = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    exact = transport.emd(places, places, p.reshape(-1), q.reshape(-1)).distance
    assert costs[-1] == pytest.approx(exact, rel=0.01)


@given(st.integers(0, 10**6), st.floats(0.2, 5.0))
@settings(max_examples=15)
def test_scaling_all_lengths_and_the_weight_scales_the_cost(seed, scale):
    """lambda has the unit of a length: lengths and lambda times s make the cost s times as large."""
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(30), 2).reshape(2, 6, 5)
    density = rng.uniform(0.5, 2, (6, 5))
    one = congested_flow(p, q, density, step=1.0, weight=1.0)
    other = congested_flow(p, q, density / scale**2, step=scale, weight=scale)
    assert other.cost == pytest.approx(scale * one.cost, rel=1e-6)


def test_mirrored_and_turned_problems_have_mirrored_answers():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(30), 2).reshape(2, 6, 5)
    density = rng.uniform(0.5, 2, (6, 5))
    cost = congested_flow(p, q, density, step=1.0, weight=1.0).cost
    for change in (lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a.T):
        found = congested_flow(change(p), change(q), change(density), step=1.0, weight=1.0)
        assert found.cost == pytest.approx(cost, rel=1e-7)
    assert congested_flow(q, p, density, step=1.0, weight=1.0).cost == pytest.approx(cost, rel=1e-7)


@pytest.mark.parametrize(
    ("weight", "ratio"), [(10.0, (2.3, 3.1)), pytest.param(1000.0, (1.8, 2.4), marks=pytest.mark.slow)]
)
def test_a_curved_flow_is_met_from_below_and_slower_than_by_the_square(weight, ratio):
    """Real N(0, I), fake N(0, I/4): radial, W1 = sqrt(pi/2)/2, and the cost is an integral on the line."""
    crosses = lambda r: math.exp(-(r**2) / 2) - math.exp(-2 * r**2)  # noqa: E731
    centre = [[0.0, 0.0]]

    def surcharge(r):
        rho = interpolate_density([[r, 0.0]], centre, 1.0, centre, 0.5)[0]
        return crosses(r) ** 2 / (2 * math.pi * r * rho)

    w1 = quad(crosses, 0, 10)[0]
    assert w1 == pytest.approx(math.sqrt(math.pi / 2) / 2, rel=1e-9)
    cost = w1 + quad(surcharge, 0, 8)[0] / (4 * weight)
    found = []
    for step in (1 / 2, 1 / 4, 1 / 8):
        edges = step * np.arange(-round(5 / step), round(5 / step) + 1)
        p, q = (np.outer(mass, mass) for mass in (np.diff(ndtr(edges)), np.diff(ndtr(2 * edges))))
        middle = (edges[1:] + edges[:-1]) / 2
        places = np.stack(np.meshgrid(middle, middle, indexing="ij"), axis=-1).reshape(-1, 2)
        rho = interpolate_density(places, centre, 1.0, centre, 0.5).reshape(p.shape)
        found.append(congested_flow(p / p.sum(), q / q.sum(), rho, step=step, weight=weight))
    errors = np.array([cost - flow.cost for flow in found])
    assert (errors > 0).all()
    assert (ratio[0] < errors[:-1] / errors[1:]).all()
    assert (errors[:-1] / errors[1:] < ratio[1]).all()
    assert all(flow.length < w1 for flow in found)


def test_equal_masses_cost_nothing():
    p = np.full((4, 4), 1 / 16)
    found = congested_flow(p, p, np.ones((4, 4)), step=1.0, weight=1.0)
    assert (found.cost, found.bound, found.estimate) == (0, 0, 0)


def test_inputs_are_left_alone_and_lists_will_do():
    p, q, density = [[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 1.0]]
    found = congested_flow(p, q, density, step=1.0, weight=1.0)
    assert found.cost == pytest.approx(1 + 1 / 4, rel=1e-7)
    assert (p, q) == ([[1.0, 0.0]], [[0.0, 1.0]])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"p": np.full((3, 2), 1 / 6)}, "on one grid"),
        ({"p": np.full((2, 2), 0.3)}, "'p' must hold masses >= 0 with the sum 1"),
        ({"q": np.array([[1.5, -0.5], [0.0, 0.0]])}, "'q' must hold masses >= 0"),
        (
            {"density": np.array([[1.0, 0.0], [1.0, 1.0]])},
            "positive on the whole grid, but its least value is 0",
        ),
        ({"density": np.array([[1.0, np.nan], [1.0, 1.0]])}, "density"),
        ({"step": 0.0}, "step > 0"),
        ({"weight": -1.0}, "weight > 0"),
    ],
)
def test_congested_flow_refuses(change, says):
    right = {"p": np.full((2, 2), 0.25), "q": np.eye(2) / 2, "density": np.ones((2, 2))}
    right |= {"step": 1.0, "weight": 1.0}
    with pytest.raises(InputError, match=says):
        congested_flow(**(right | change))


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("offset", [0.0, 1e12])
def test_the_density_moves_and_scales_with_its_laws(unit, offset):
    """Squares of 1e-200 vanish; at 1e12 the means' own rounding was taken for their distance."""
    x, p, q = (np.array([[place]]) for place in (0.25, 0.0, 1.0))
    right = interpolate_density(x, p, 0.5, q, 1.0, log=True)
    moved = ((z + offset) * unit for z in (x, p, q))
    x, p, q = moved
    found = interpolate_density(x, p, 0.5 * unit, q, unit, log=True) + np.log(unit)
    assert found == pytest.approx(right, abs=1e-12 if offset == 0 else 1e-3)


@pytest.mark.parametrize("value", ["many", None, math.nan, 1j, [1.0, 2.0]])
def test_numbers_and_functions_that_are_none(value):
    right = {"h": lambda x: 1.0, "density": lambda x: 1.0, "support": (0.0, 1.0), "weight": 1.0}
    for name, wrong in (
        ("weight", value),
        ("h", value),
        ("h", lambda x: value),
        ("density", lambda x: value),
    ):
        with pytest.raises(InputError, match=name):
            penalised_line(**(right | {name: wrong}))
    with pytest.raises(InputError, match="'std_p'"):
        interpolate_density([[0.5]], [[0.0]], value, [[1.0]], 1.0)
    p = np.full((2, 2), 0.25)
    with pytest.raises(InputError, match="'step'"):
        congested_flow(p, p, p, step=value, weight=1.0)


def test_an_estimate_beyond_float64_is_no_number():
    with pytest.raises(InputError, match="Take a larger weight"):
        penalised_line(lambda x: 1.0, lambda x: 1.0, (0.0, 1.0), weight=5e-324)
