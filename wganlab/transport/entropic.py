r"""Entropic transport: :math:`\min_\gamma \langle\gamma, C\rangle + \varepsilon\,\mathrm{KL}(\gamma\|a b^T)`.

Its solution is :math:`\gamma_{ij} = a_i b_j e^{(f_i + g_j - C_{ij})/\varepsilon}`, and Sinkhorn's
iteration finds the potentials f and g by giving it the one and the other marginal in turn. All of it
stays in the logarithm, so that a small epsilon does not underflow.
"""

import math
from numbers import Integral, Real
from operator import itemgetter

import numpy as np
import torch
from numpy.typing import ArrayLike

from .._arrays import as_number
from ..errors import InputError, SolverError
from .exact import TOLERANCE, Masses, Transport, as_clouds, as_masses, ground_cost, problem, scale_of, solve

STEPS = 256  # of Sinkhorn's between two of Newton's: about as dear
TINY = 1e-200  # a sum below may have lost parts to underflow


def as_epsilon(epsilon: float) -> float:
    """``epsilon`` as a float; raises ``InputError`` unless it is positive and finite."""
    value = as_number(epsilon, "epsilon")
    if not value > 0:
        raise InputError(f"'epsilon' must be positive, got {value}. For 0 take emd, which is exact.")
    return value


def softmin(cost: np.ndarray, potential: np.ndarray, masses: np.ndarray, epsilon: float) -> np.ndarray:
    r""":math:`-\varepsilon\ln\sum_j b_j e^{(g_j - C_{ij})/\varepsilon}` (n,): the c-transform, smoothed."""
    with np.errstate(divide="ignore"):  # ln 0 is -inf: a point without mass
        terms = (potential - cost) / epsilon + np.log(masses)
    return -epsilon * torch.from_numpy(terms).logsumexp(dim=1).numpy()  # scipy's is five times slower


def newton_step(plan: np.ndarray, a: np.ndarray, epsilon: float) -> np.ndarray:
    r"""The change of f (n,) that mends the row sums of ``plan`` to first order; its columns are exact.

    With rows r and columns c it solves :math:`(\mathrm{diag}(r) - \gamma\,\mathrm{diag}(c)^{-1}\gamma^T)\,
    \delta = \varepsilon(a - r)`. The constants, which change nothing, are taken out of the singular
    system; and no entry exceeds 10 epsilon, since the plan answers by a factor of e^10 to that.
    """
    rows, columns = plan.sum(1), plan.sum(0)
    system = np.diag(np.where(rows > 0, rows, 1.0) + 1e-15) + np.outer(rows, rows)
    system -= (plan / np.where(columns > 0, columns, 1.0)) @ plan.T
    step = np.linalg.solve(system, a - rows)
    return epsilon * step * min(1.0, 10.0 / max(np.abs(step).max(), 1e-300))


def entropic_potentials(
    cost: ArrayLike, a: ArrayLike, b: ArrayLike, epsilon: float, *, iterations: int = 1000
) -> tuple[np.ndarray, np.ndarray]:
    r"""Potentials f (n,), g (m,) for which :math:`a_i b_j e^{(f_i + g_j - C_{ij})/\varepsilon}` is the plan.

    With the best g for each f, the dual :math:`\langle a, f\rangle + \langle b, g\rangle` is concave in
    f. A turn takes Sinkhorn's steps or Newton's, whichever leads higher: Sinkhorn's alone are the more
    the smaller epsilon is. The start is the solution for a larger epsilon, which falls by half
    until it is the one asked for. Raises ``SolverError`` if after so many ``iterations`` the marginals are
    still off by more than 1e-10 in sum, and ``InputError`` for fewer than 1 and as ``sinkhorn`` does.
    Source: Cuturi 2013; Brauer et al. 2017 for Newton's step.

    >>> f, g = entropic_potentials([[2.0]], [1.0], [1.0], epsilon=0.5)
    >>> round(float(f[0] + g[0]), 9)
    2.0
    """
    if not (isinstance(iterations, Integral) and iterations >= 1):
        raise InputError(f"'iterations' must be a whole number >= 1, got {iterations}.")
    (cost, a, b), epsilon = problem(cost, a, b), as_epsilon(epsilon)
    if len(a) > len(b):  # Newton's system has a row for each point of the first law
        g, f = entropic_potentials(cost.T, b, a, epsilon, iterations=iterations)
        return f, g

    def dual(f: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        g = softmin(cost.T, f, a, scale)  # the best g: the columns are exact
        return float(a @ f + b @ g), f, g

    scale = max(float(np.abs(cost).max()), epsilon)  # costs that are all 0 start at epsilon
    _, f, g = dual(softmin(cost, np.zeros(len(b)), b, scale))
    for _ in range(iterations):
        target = TOLERANCE / 10 if scale == epsilon else 1e-2
        plan = entropic_plan(cost, a, b, f, g, scale)
        u, v, off = sinkhorn_steps(plan, a, b, target)
        f, g = f + scale * np.log(u), g + scale * np.log(v)
        if off <= target and scale == epsilon:
            return f, g
        if off <= target:
            scale = max(scale / 2, epsilon)
            _, f, g = dual(f)
            continue
        step = newton_step(u[:, None] * plan * v, a, scale)
        sinkhorn_f = softmin(cost, g, b, scale)
        _, f, g = max(map(dual, (sinkhorn_f, f + step, f + step / 8)), key=itemgetter(0))
    raise SolverError(
        f"Sinkhorn has not converged: after {iterations} iterations the marginals are off by {off:.1e} "
        f"(limit {TOLERANCE:.0e}) at epsilon = {epsilon / scale_of(cost):.3g} of the largest cost. Take a "
        f"larger epsilon, more iterations, or emd, which is exact."
    )


def sinkhorn_steps(plan, a, b, target: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Factors u (n,), v (m,) of rows and columns after Sinkhorn's steps, and how far the rows are off then.

    The columns of ``plan`` are exact, and stay so. Ends where the rows are off by less than ``target``, after
    ``STEPS`` steps or as soon as these will not be enough, and where a number leaves float64's middle.
    """
    u, v, before = np.ones(len(a)), np.ones(len(b)), math.inf
    for k in range(STEPS):
        rows = plan @ v
        off = float(np.abs(u * rows - a).sum())
        if off <= target:
            break
        if k % 16 == 15:
            if off > before * (target / off) ** (16 / STEPS):
                break
            before = off
        following = np.divide(a, rows, out=u.copy(), where=a > 0)
        columns = following @ plan
        if not (rows[a > 0].min() > TINY and columns[b > 0].min() > TINY):
            break
        u, v = following, np.divide(b, columns, out=v.copy(), where=b > 0)
    return u, v, off


def entropic_plan(cost, a, b, f, g, epsilon: float) -> np.ndarray:
    r""":math:`a_i b_j e^{(f_i + g_j - C_{ij})/\varepsilon}` (n, m)."""
    with np.errstate(divide="ignore", under="ignore"):  # ln 0 is -inf
        return np.exp((f[:, None] + g - cost) / epsilon + np.log(a)[:, None] + np.log(b))


def feasible(plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A plan with exact marginals, no further from ``plan`` than twice what its own are off by.

    Source: Altschuler, Weed & Rigollet 2017, algorithm 2.
    """
    plan = plan * np.minimum(a / np.maximum(plan.sum(1), TINY), 1.0)[:, None]
    plan = plan * np.minimum(b / np.maximum(plan.sum(0), TINY), 1.0)
    rows, columns = np.maximum(a - plan.sum(1), 0.0), np.maximum(b - plan.sum(0), 0.0)
    return plan + np.outer(rows, columns) / (rows.sum() or 1.0)


def sinkhorn(
    cost: ArrayLike, a: Masses = None, b: Masses = None, *, epsilon: float, iterations: int = 1000
) -> Transport:
    r"""The plan that minimises :math:`\langle\gamma, C\rangle + \varepsilon\,\mathrm{KL}(\gamma\|a b^T)`.

    ``epsilon`` has the unit of the cost. In the result ``cost`` is :math:`\langle\gamma, C\rangle`
    without the entropy, ``phi`` and ``psi`` are feasible for transport itself, and ``gap`` is the proved
    bound on how far ``cost`` lies above the least one: small for a small epsilon. Masses and errors as
    in ``emd_from_cost``; also ``InputError`` for an epsilon that is not positive and finite, and
    ``SolverError`` with the error of the marginals if they are not reached. Cost: some tens of turns of
    order n m and min(n, m)^3 (Newton's step), more for an epsilon below 1e-5 of the largest cost.
    Source: Cuturi 2013.

    >>> found = sinkhorn([[0.0, 1.0], [1.0, 0.0]], epsilon=0.5)  # off the diagonal: 1/(1 + e^2)
    >>> abs(round(found.cost - 1 / (1 + math.exp(2)), 9))
    0.0
    """
    (matrix, *_), epsilon = problem(cost, a, b), as_epsilon(epsilon)
    unit_epsilon = epsilon / scale_of(matrix)
    if not 0 < unit_epsilon < math.inf:
        raise InputError(f"epsilon = {epsilon} is out of float64's range beside costs of {scale_of(matrix)}.")

    def solver(cost: np.ndarray, a: np.ndarray, b: np.ndarray):
        f, g = entropic_potentials(cost, a, b, unit_epsilon, iterations=iterations)
        plan = feasible(entropic_plan(cost, a, b, f, g, unit_epsilon), a, b)
        psi = (cost - f[:, None])[a > 0].min(axis=0)  # points without mass must not lower the bound
        return plan, (cost - psi).min(axis=1), psi

    return solve(cost, a, b, cost, solver, largest_gap=math.inf)


def sinkhorn_divergence(
    x: ArrayLike, y: ArrayLike, a: Masses = None, b: Masses = None, *, epsilon: float, p: float = 1
) -> float:
    r""":math:`OT_\varepsilon(x, y) - \tfrac12 OT_\varepsilon(x, x) - \tfrac12 OT_\varepsilon(y, y)`.

    :math:`OT_\varepsilon` is the least value of cost plus :math:`\varepsilon\,\mathrm{KL}`, for points
    x (n, d), y (m, d) and the cost :math:`\|x_i - y_j\|^p`, 1 <= p <= 2; ``epsilon`` has its unit. Masses
    are divided by their total. The value is >= 0, and 0 only for equal laws; for a small epsilon it
    tends to :math:`W_p^p`. Raises as ``emd`` and ``sinkhorn`` do.
    Source: Feydy et al. 2019.

    >>> round(sinkhorn_divergence([[0.0, 0.0]], [[3.0, 4.0]], epsilon=1.0), 9)
    5.0
    """
    (points, others), epsilon = as_clouds(x, y), as_epsilon(epsilon)
    if not (isinstance(p, Real) and 1 <= p <= 2):
        raise InputError(f"sinkhorn_divergence is only known to be positive for 1 <= p <= 2, got p = {p}.")
    a, b = as_masses(a, b, len(points), len(others))
    a, b = a / a.sum(), b / b.sum()

    def value(x, a, y, b) -> float:  # the dual one, whose last term, eps (1 - mass), is 0
        cost = ground_cost(x, y, p)
        scale = scale_of(cost)
        f, g = entropic_potentials(cost / scale, a, b, epsilon / scale)
        return float(a @ f + b @ g) * scale

    laws = (points, a), (others, b)
    return max(0.0, value(*laws[0], *laws[1]) - sum(value(*law, *law) for law in laws) / 2)
