r"""What a critic with a gradient penalty computes: transport on crowded roads, not W1 (Milne & Nachman 2022).

The one-sided penalty of weight :math:`\lambda`, at points with density :math:`\hat\rho`, makes the critic
maximise

.. math:: J(f) = \mathbb E_{P_r}f - \mathbb E_{P_g}f - \lambda\int(\|\nabla f\| - 1)_+^2\,\hat\rho

and the maximum is the least :math:`\int |w| + |w|^2 / (4\lambda\hat\rho)` over flows w that carry
:math:`P_g` to :math:`P_r`: carrying costs the more, the busier the place and the smaller its density of
interpolates. For fixed points (``penalised_sample``) no density is needed: the roads are the segments.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve
from scipy.sparse import csc_array, csr_array, diags_array, eye_array, kron, vstack
from scipy.sparse.linalg import splu
from scipy.special import logsumexp

from .._arrays import as_float64, as_number, as_numbers, check_overflow, power_of_two_scale, total
from .._quadrature import Function, Interval, integral, interval, sign_changes, value_at
from ..errors import InputError, SolverError
from .exact import as_clouds, ground_cost

NODES = cache(np.polynomial.legendre.leggauss)  # at about 0.3 seconds for 1000


@dataclass(frozen=True)
class PenalisedCritic:
    r"""The best critic on the line for the penalty of weight ``weight``, and what it reports.

    ``w1`` is the distance, ``congestion`` the integral :math:`I = \int h^2/\hat\rho` with
    :math:`h = F_g - F_r`. ``slope(x)`` and ``reversed_slope(x)`` give the derivatives of the best critic
    and of the two-sided penalty's other local optimum.
    """

    w1: float
    congestion: float
    weight: float
    h: Function
    density: Function

    @property
    def estimate(self) -> float:
        r""":math:`\mathbb E_{P_r}f - \mathbb E_{P_g}f = W_1 + I/(2\lambda)`: what one reads off."""
        return self.w1 + self.congestion / (2 * self.weight)

    @property
    def objective(self) -> float:
        r""":math:`\max J = W_1 + I/(4\lambda)`: the congested cost itself."""
        return self.w1 + self.congestion / (4 * self.weight)

    @property
    def reversed_estimate(self) -> float:
        r""":math:`-W_1 + I/(2\lambda)`: what the two-sided penalty's critic reports if reversed everywhere.

        It is a local optimum only where :math:`|h| < 2\lambda\hat\rho` on all of the line.
        """
        return -self.w1 + self.congestion / (2 * self.weight)

    def slope(self, x: float) -> float:
        r""":math:`f'(x) = \mathrm{sign}(h)\,(1 + |h|/(2\lambda\hat\rho))`; 0 where h = 0 (one of many)."""
        h = self.h(x)
        return math.copysign(1 + abs(h) / (2 * self.weight * self.density(x)), h) if h else 0.0

    def reversed_slope(self, x: float) -> float:
        r""":math:`f'(x) = -\mathrm{sign}(h)\,(1 - |h|/(2\lambda\hat\rho))`; NaN where it is none."""
        h = self.h(x)
        rest = 1 - abs(h) / (2 * self.weight * self.density(x)) if h else 0.0
        return math.copysign(rest, -h) if rest >= 0 else math.nan


def penalised_line(h: Function, density: Function, support: Interval, *, weight: float) -> PenalisedCritic:
    r"""The best penalised critic for two laws on the line, by quadrature: see ``PenalisedCritic``.

    ``h`` is :math:`F_g - F_r`, the fakes' distribution function minus that of the real points; ``density``
    is that of the interpolates :math:`\hat x = \varepsilon x + (1 - \varepsilon)\tilde x`, positive where h
    is not 0; both map a float to a float. In a tail take h as the difference of small numbers, :math:`(1 -
    F_r) - (1 - F_g)`. The support may be infinite, and must hold both laws: what lies outside is not counted,
    and seen only if it is more than 1e-8 of the interpolates' mass.
    Raises ``InputError`` for a weight that is not positive, a density that is negative, or 0 where h is
    not, or has not the mass 1; ``SolverError`` where an integral is infinite or not known to 1e-9.
    Source: the theorem "The bias of the gradient penalty on the line" of this book; in any dimension Milne
    & Nachman 2022.

    >>> found = penalised_line(lambda x: 1 - x, lambda x: -math.log(x), (0.0, 1.0), weight=1.0)
    >>> round(found.estimate, 6), round(0.5 + math.log(4 / 3) / 2, 6)
    (0.643841, 0.643841)
    """
    (low, high), weight = interval(support), as_number(weight, "weight")
    if not weight > 0:
        raise InputError(f"penalised_line needs a weight > 0, got {weight}. The paper's value is 10.")

    def at(x: float) -> np.ndarray:
        difference, rho = value_at(h, "h", x), value_at(density, "density", x)
        if not (rho > 0 or (rho == 0 and difference == 0)):
            raise InputError(
                f"The density of the interpolates must be positive where the laws differ, but at {x:g} it is "
                f"{rho:g} and the distribution functions differ by {difference:g}."
            )
        return np.array([abs(difference), difference**2 / rho if difference else 0.0, rho])

    kinks = sign_changes(lambda x: value_at(h, "h", x), low, high)
    w1, congestion, mass = (float(value) for value in integral(at, low, high, points=kinks))
    if not abs(mass - 1) <= 1e-8:
        raise InputError(
            f"The density of the interpolates has mass {mass:.8g} on ({low:g}, {high:g}), not 1. "
            f"Divide it by its integral, or widen the support."
        )
    found = PenalisedCritic(w1, congestion, weight, h, density)
    check_overflow("The best critic's slopes overflow float64. Take a larger weight.", found.estimate)
    return found


def interpolate_density(
    x: ArrayLike, means_p: ArrayLike, std_p: float, means_q: ArrayLike, std_q: float, *, log: bool = False
) -> np.ndarray:
    r"""The density of :math:`\varepsilon x + (1 - \varepsilon)\tilde x` for two mixtures of normals.

    x (k, d) are the places; real points have equal weights on N(mean, std_p^2 I) for each row of ``means_p``
    (i, d), fakes likewise. Given eps it is a normal law; over eps Gauss-Legendre. With ``log=True`` its
    logarithm, since in many dimensions the density itself leaves float64 to either side. Raises
    ``InputError`` for shapes that do not fit, widths that are not positive, widths below a hundredth of the
    other or of the largest distance between the means, which the nodes would not resolve, and a density
    that overflows.

    >>> at = interpolate_density([[0.5]], [[0.0]], 0.02, [[1.0]], 0.02)  # flat between two narrow bumps
    >>> round(float(at[0]), 2)
    1.0
    """
    places, p, q = as_float64(x, "x", 2), as_float64(means_p, "means_p", 2), as_float64(means_q, "means_q", 2)
    std_p, std_q = as_numbers(std_p=std_p, std_q=std_q)
    if not (places.shape[1] == p.shape[1] == q.shape[1] and min(std_p, std_q) > 0):
        raise InputError(
            f"interpolate_density needs places and means of one dimension and widths > 0, got "
            f"{places.shape}, {p.shape}, {q.shape}, {std_p} and {std_q}."
        )
    unit = power_of_two_scale(np.array([std_p, std_q]))  # so that no square of a width leaves float64
    std_p, std_q = std_p / unit, std_q / unit
    with np.errstate(over="ignore", invalid="ignore"):  # too far apart is seen in the reach
        ways = p[:, None] / unit - q / unit
        reach = max(std_p, std_q, np.linalg.norm(ways, axis=2).max()) / min(std_p, std_q)
    if not reach <= 100:
        raise InputError(
            f"interpolate_density resolves widths down to 1/100 of the other one and of the distance between "
            f"means, but here one of these is {reach:.4g} times the width. Widen the bumps."
        )
    nodes, shares = NODES(40 * math.ceil(max(4, reach, 2 * math.sqrt(p.shape[1])) / 4))
    eps = ((nodes + 1) / 2)[:, None, None]
    moved = eps[..., None] * ways  # (nodes, i, j, d), from the fakes' mean: the means themselves may be large
    variance = (eps * std_p) ** 2 + ((1 - eps) * std_q) ** 2
    log_share = np.log(shares / 2 / (len(p) * len(q)))[:, None, None]
    log_height = log_share - p.shape[1] / 2 * np.log(2 * math.pi * variance) - p.shape[1] * math.log(unit)

    def at(some: np.ndarray) -> np.ndarray:
        square = (((some[:, None] / unit - q / unit)[:, None, None] - moved) ** 2).sum(axis=4)
        return logsumexp(log_height - square / (2 * variance), axis=(1, 2, 3))

    pieces = np.array_split(places, math.ceil(len(places) * moved.size / 2**22))
    with np.errstate(over="ignore", invalid="ignore"):  # checked in the next lines
        logs = np.concatenate([at(piece) for piece in pieces])
        found, remedy = (logs, "places nearer to the means") if log else (np.exp(logs), "log=True")
    check_overflow(f"The density overflows float64 in {p.shape[1]} dimensions. Take {remedy}.", found)
    return found


@dataclass(frozen=True)
class CongestedFlow:
    r"""Congested transport on a grid with a certificate: ``bound`` <= the least cost <= ``cost``.

    ``potential`` (n, k) is the critic, high where the real mass is, and ``bound`` its :math:`J`. ``flow``
    (2, n, k) is the mass that crosses a place per unit of width, towards growing x and y; it carries the
    fake mass to the real exactly, and ``cost`` is its congested cost. ``estimate`` is :math:`\int |w| +
    |w|^2/(2\lambda\hat\rho)`: what the best critic reports, which the flow alone decides; ``length`` is
    :math:`\int|w|`. All are of the grid's own problem: a curved flow on a coarse grid is shorter than W1.
    """

    cost: float
    bound: float
    estimate: float
    length: float
    potential: np.ndarray
    flow: np.ndarray


class Grid:
    """A grid's difference quotients and its crowding weights, with what Newton's method asks of them.

    At each point there are four pairs of quotients, forward or backward in x and in y, so that no direction
    is preferred; each stands for a quarter of the cell. At the border the quotient that would leave is 0.
    """

    def __init__(self, density: np.ndarray, step: float, weight: float):
        self.size = density.size
        self.slopes = quotients(density.shape, step)
        # 2 lambda rho times the area, for each quarter of each cell
        self.capacity = weight * step**2 / 2 * np.tile(density.reshape(-1), (4, 1))

    def at(self, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The gradient's direction (4, 2, size), 0 where it vanishes, and its excess over 1 (4, size)."""
        gradient = (self.slopes @ f).reshape(4, 2, -1)
        slope = np.hypot(gradient[:, 0], gradient[:, 1])
        return gradient / np.where(slope > 0, slope, 1.0)[:, None], np.maximum(slope - 1, 0.0)

    def objective(self, f: np.ndarray, source: np.ndarray) -> float:
        """J(f)."""
        return float(f @ source - (self.capacity * self.at(f)[1] ** 2).sum() / 2)

    def inflow(self, flow: np.ndarray) -> np.ndarray:
        """What the flow brings to each point, less what it takes."""
        return self.slopes.T @ flow.reshape(-1)

    def step_length(self, f: np.ndarray, way: np.ndarray, source: np.ndarray, promised: float) -> float:
        """The largest of 1, 1/2, 1/4, ... whose rise of J keeps 1e-4 of what its slope promised."""
        share, before = 1.0, self.objective(f, source)
        while share > 1e-9 and self.objective(f + share * way, source) < before + 1e-4 * share * promised:
            share /= 2
        return share

    def curvature(self, f: np.ndarray, least: float) -> csc_array:
        """Minus the second derivative of J at f, kept positive by ``least`` times the capacity.

        The first value of f is held at 0.
        """
        direction, excess = self.at(f)
        u, v = direction[:, 0], direction[:, 1]
        across = self.capacity * np.maximum(excess / (1 + excess), least)
        along = self.capacity * np.where(excess > 0, 1.0, least) - across
        main = np.stack([across + along * u**2, across + along * v**2], axis=1).reshape(-1)
        beside = np.stack([along * u * v, np.zeros_like(u)], axis=1).reshape(-1)[: -self.size]
        blocks = diags_array([main, beside, beside], offsets=[0, self.size, -self.size])
        matrix = csc_array(self.slopes.T @ blocks @ self.slopes)
        matrix[0, 0] += matrix.diagonal().max()
        return matrix


def quotients(shape: tuple[int, int], step: float) -> csr_array:
    """All difference quotients of a grid function: for each of four quarters, first in x, then in y."""

    def along(m: int) -> tuple[csr_array, csr_array]:  # forward; backward, the same from the other end
        one = np.ones(m - 1) / step
        forward = diags_array([np.append(-one, 0.0), one], offsets=[0, 1], format="csr")
        return forward, -forward[::-1, ::-1]

    n, m = shape
    pairs = [(kron(x, eye_array(m)), kron(eye_array(n), y)) for x in along(n) for y in along(m)]
    return csr_array(vstack([quotient for pair in pairs for quotient in pair]))


def congested_flow(
    p: ArrayLike, q: ArrayLike, density: ArrayLike, *, step: float, weight: float, tolerance: float = 1e-8
) -> CongestedFlow:
    r"""Congested transport of fake masses q to real masses p on a grid, and the best penalised critic.

    p, q and ``density`` are (n, k): masses of the cells, each with the sum 1, and the density of the
    interpolates at their centres; cells are squares of side ``step``. The discrete problem is convex, and
    solved by Newton's method for J with a repaired flow, until cost and bound agree to ``tolerance``
    (relative). This certifies the solver, not the grid: a grid has fewer critics than the plane, so its
    answer is too small, by an error of the order of step^2 for straight flows and down to that of step for
    curved ones at a large weight: solve on three grids and look at the ratio of the changes. Raises
    ``InputError`` for other shapes, masses or densities (which must be positive), ``SolverError`` if 300
    steps do not suffice. Cost: about a second for 64 x 64.
    Source: Milne & Nachman 2022 (their weight is twice ours); Carlier, Jimenez & Santambrogio 2008.

    >>> p, q = np.zeros((5, 1)), np.zeros((5, 1))
    >>> p[4], q[0] = 1.0, 1.0  # one unit, four steps: 4 + 4/(4 weight density)
    >>> flow = congested_flow(p, q, np.full((5, 1), 0.2), step=1.0, weight=5.0)
    >>> round(flow.cost, 6), round(flow.bound, 6)
    (5.0, 5.0)
    """
    p, q, density = as_float64(p, "p", 2), as_float64(q, "q", 2), as_float64(density, "density", 2)
    step, weight, tolerance = as_numbers(step=step, weight=weight, tolerance=tolerance)
    check_grid(p, q, density, step, weight)
    source, grid = (p - q).reshape(-1), Grid(density, step, weight)
    f, least = np.zeros(grid.size), 1e-3
    repair = splu(grid.curvature(f, 1.0))
    for _ in range(300):
        direction, excess = grid.at(f)
        flow = (grid.capacity * excess)[:, None] * direction  # (4, 2, size), along the gradient of f
        gradient = source - grid.inflow(flow)
        correction = (grid.slopes @ repair.solve(gradient)).reshape(4, 2, -1)
        flow = flow + grid.capacity[:, None] * correction  # now its inflow is the source exactly
        length = float(np.hypot(flow[:, 0], flow[:, 1]).sum())
        crowd = float((flow**2 / grid.capacity[:, None]).sum())
        cost, bound = length + crowd / 2, grid.objective(f, source)
        if cost - bound <= tolerance * cost:
            whole = flow.sum(axis=0).reshape(2, *p.shape) / step**2
            return CongestedFlow(cost, bound, length + crowd, length, f.reshape(p.shape), whole)
        way = splu(grid.curvature(f, least)).solve(gradient)
        share = grid.step_length(f, way, source, promised=gradient @ way)
        f, least = f + share * way, max(least / 10, 1e-9) if share == 1 else min(3 * least, 1.0)
    raise SolverError(
        f"congested_flow stands at {bound:.9g} <= cost <= {cost:.9g} after 300 steps. Allow a larger "
        f"tolerance, or give a density without places that are nearly empty."
    )


def check_grid(p: np.ndarray, q: np.ndarray, density: np.ndarray, step: float, weight: float) -> None:
    """Raise ``InputError`` unless the masses, the density and the numbers of ``congested_flow`` fit."""
    shapes, least = (p.shape, q.shape, density.shape), density.min()
    if len(set(shapes)) > 1 or p.size == 1:
        raise InputError(f"p, q and density must be on one grid (n, k) of several cells, got {shapes}.")
    if not (step > 0 and weight > 0):
        raise InputError(f"congested_flow needs step > 0 and weight > 0, got {step} and {weight}.")
    for name, mass in (("p", p), ("q", q)):
        if mass.min() < 0 or abs(total(mass) - 1) > 1e-9:
            raise InputError(
                f"'{name}' must hold masses >= 0 with the sum 1, got a least one of {mass.min():.4g} and "
                f"the sum {total(mass):.9g}. Divide by the sum."
            )
    if not least > 0:
        raise InputError(f"'density' must be positive on the whole grid, but its least value is {least:.4g}.")


@dataclass(frozen=True, eq=False)
class PenalisedSample:
    r"""The best penalised critic of a sample with a certificate: ``objective`` <= the maximum <= ``cost``.

    ``f_x`` (n,) and ``f_fake`` (m,) are the critic's values, of mean 0 together, and ``objective`` their
    :math:`J`; ``plan`` (n, m) carries the fakes to the real points exactly, and ``cost`` is its congested
    cost. A negative entry carries mass from a real point to a fake one. ``estimate`` is what the critic
    reports, the difference of the two means.
    """

    objective: float
    cost: float
    estimate: float
    f_x: np.ndarray
    f_fake: np.ndarray
    plan: np.ndarray


class Roads:
    """All segments between n real and m fake points, of lengths ``far`` (n, m), and J of the ends' values."""

    def __init__(self, far: np.ndarray, weight: float):
        self.far, self.n, self.m = far, *far.shape
        self.width = 2 * weight / far.size  # of each road, times two

    def excess(self, f: np.ndarray, g: np.ndarray) -> np.ndarray:
        """The slopes' excess over 1 (n, m), with the slopes' signs."""
        slope = (f[:, None] - g) / self.far
        return np.sign(slope) * np.maximum(np.abs(slope) - 1, 0.0)

    def objective(self, f: np.ndarray, g: np.ndarray) -> float:
        """J, the penalty one-sided."""
        return float(f.mean() - g.mean() - self.width * (self.excess(f, g) ** 2).sum() / 2)

    def cost(self, plan: np.ndarray) -> float:
        """The congested cost of a plan."""
        paid = np.abs(plan) * self.far
        return float((paid + paid**2 / (2 * self.width)).sum())

    def newton(self, used: np.ndarray, least: float, df: np.ndarray, dg: np.ndarray) -> list[np.ndarray]:
        """Newton's step for the gradient (df, dg); a road that is not used counts ``least`` times."""
        bend = self.width / self.far**2 * np.where(used, 1.0, least)
        share = bend / bend.sum(0)
        matrix = np.diag(bend.sum(1)) - share @ bend.T
        matrix[0, 0] += bend.max()  # a constant is free: it is held where it was
        a = solve(matrix, df + share @ dg, assume_a="pos")
        return [a, dg / bend.sum(0) + share.T @ a]


def penalised_sample(
    x: ArrayLike, x_fake: ArrayLike, *, weight: float, tolerance: float = 1e-9
) -> PenalisedSample:
    r"""The best critic of a sample for the gradient penalty: quadratically regularised transport,

    .. math:: \max_{a, b}\ \frac1n\sum_i a_i - \frac1m\sum_j b_j
        - \frac{\lambda}{nm}\sum_{ij}\Big(\frac{|a_i - b_j|}{D_{ij}} - 1\Big)_+^2
        = \min_\pi \sum_{ij} |\pi_{ij}|D_{ij} + \frac{nm}{4\lambda}\pi_{ij}^2D_{ij}^2 ,

    over plans with row sums 1/n and column sums 1/m and entries of either sign, :math:`D_{ij} = |x_i -
    \tilde x_j|`. No critic of the n real points x (n, d) and the m fakes (m, d) has a larger objective, with
    either penalty. For these points, if they stay fixed and are in general position (their segments meet at
    ends only), it is the supremum over all smooth critics. For fakes drawn afresh at each step the program
    over their distribution is an upper bound of the objective only, and none of the estimate.
    Solved by Newton's method, until objective and cost agree to ``tolerance`` (relative). Raises
    ``InputError`` for a weight that is not positive or a point that is real and fake, ``SolverError`` if 300
    steps do not suffice, as for weights of more than 10^5 distances. Cost: a second for 500 by 500.
    Source: the theorem "The penalised critic of a sample" of this book; for entries >= 0 and other penalties
    Blondel, Seguy & Rolet 2018.

    >>> found = penalised_sample([[3.0]], [[0.0]], weight=1.5)  # D + D^2 / (4 weight), D + D^2 / (2 weight)
    >>> round(found.objective, 9), round(found.estimate, 9)
    (4.5, 6.0)
    """
    x, x_fake = as_clouds(x, x_fake)
    weight, tolerance = as_numbers(weight=weight, tolerance=tolerance)
    far = ground_cost(x, x_fake, 1.0)
    if not (weight > 0 and far.min() > 0):
        raise InputError(
            f"penalised_sample needs a weight > 0, got {weight}, and no point that is real and fake, but "
            f"the least distance is {far.min():.4g}. Take the paper's weight 10, and leave such points out."
        )
    unit = power_of_two_scale(far)
    roads, least = Roads(far / unit, weight / unit), 1.0
    (n, m), ends = far.shape, [np.zeros(len(x)), np.zeros(len(x_fake))]
    for _ in range(300):
        excess = roads.excess(*ends)
        plan = roads.width * excess / roads.far
        df, dg = 1 / n - plan.sum(1), plan.sum(0) - 1 / m
        plan += df[:, None] / m - dg / n - df.sum() / (n * m)  # now its sums are right
        cost, objective = roads.cost(plan), roads.objective(*ends)
        if cost - objective <= tolerance * cost:
            f, g = (end - np.append(*ends).mean() for end in ends)
            numbers = (objective, cost, float(f.mean() - g.mean()))
            return PenalisedSample(*(unit * number for number in numbers), unit * f, unit * g, plan)
        way, share = roads.newton(excess != 0, least, df, dg), 1.0
        promised = 1e-4 * (df @ way[0] + dg @ way[1])
        while share > 1e-9:
            ahead = [end + share * step for end, step in zip(ends, way, strict=True)]
            if roads.objective(*ahead) >= objective + share * promised:
                break
            share /= 2
        ends, least = ahead, max(least / 10, 1e-9) if share == 1 else min(3 * least, 1.0)
    raise SolverError(
        f"penalised_sample stands at {unit * objective:.9g} <= cost <= {unit * cost:.9g} after 300 steps. "
        f"Allow a larger tolerance, or take a smaller weight: near W1, emd is the solver."
    )
