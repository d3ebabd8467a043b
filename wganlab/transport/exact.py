"""Exact plans for any points and any cost matrix, with their certificate."""

import math
import sys
import warnings
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
import ot
from numpy.typing import ArrayLike
from scipy.optimize import linprog
from scipy.spatial.distance import cdist

from .._arrays import as_float64, check_overflow, dtype_tolerance, like_input, power_of_two_scale, total
from ..errors import InputError, SolverError

TOLERANCE = 1e-9  # of a certificate, relative to the mass times the largest cost
LARGEST_COST = 10**8  # entries of a cost matrix: 0.8 GB, and the solver needs several times that
Masses = ArrayLike | None  # None means equal ones of total 1


@dataclass(frozen=True, eq=False)
class Transport:
    r"""An optimal plan with its proof.

    ``cost`` is :math:`\sum\gamma_{ij}C_{ij}`; ``plan`` :math:`\gamma` (n, m); ``phi`` (n,) and ``psi`` (m,)
    are dual potentials; ``gap`` is the certified distance between ``cost`` and a lower bound on
    every plan's cost. ``distance`` is :math:`\text{cost}^{1/p}`.
    """

    cost: float
    plan: ArrayLike
    phi: ArrayLike
    psi: ArrayLike
    gap: float
    p: float = 1.0

    @property
    def distance(self) -> float:
        return self.cost ** (1 / self.p)


def as_points(x: ArrayLike, name: str) -> np.ndarray:
    """Points as (n, d); a vector is n points on the line."""
    array = as_float64(x, name, None)
    return array[:, None] if array.ndim == 1 else as_float64(array, name, 2)


def as_clouds(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as points (n, d) and (m, d); raises ``InputError`` for different dimensions."""
    x, y = as_points(x, "x"), as_points(y, "y")
    if x.shape[1] != y.shape[1]:
        raise InputError(f"Points must have one dimension, got {x.shape[1]} for x and {y.shape[1]} for y.")
    return x, y


def mass_vector(masses: Masses, n: int, name: str) -> np.ndarray:
    """Masses on n points, each >= 0 and not all 0; ``None`` means 1/n each."""
    if masses is None:
        return np.full(n, 1 / n)
    w = as_float64(masses, name, 1)
    if len(w) != n:
        raise InputError(f"'{name}' must have one mass a point, so {n} of them, got {len(w)}.")
    if w.min() < 0:
        raise InputError(f"'{name}' must be non-negative, but entry {w.argmin()} is {w.min()}.")
    if not 0 < total(w) < math.inf:
        raise InputError(f"'{name}' must have a positive finite total mass, got {total(w)}.")
    return w


def as_masses(a: Masses, b: Masses, n: int, m: int, names: str = "ab") -> tuple[np.ndarray, np.ndarray]:
    """Masses on n and on m points; raises ``InputError`` unless they have the same total.

    To one part in 1e9; for float32 and shorter numbers to what they are rounded by.
    """
    v, w = mass_vector(a, n, names[0]), mass_vector(b, m, names[1])
    tolerance = max(TOLERANCE, dtype_tolerance(a), dtype_tolerance(b))
    if abs(v.sum() - w.sum()) > tolerance * max(v.sum(), w.sum()):
        found = f"Transport needs equal total masses, got {v.sum():.12g} and {w.sum():.12g}."
        raise InputError(f"{found} Divide each by its sum to compare them as probability laws.")
    return v, w


def as_power(p: float, *, infinite: bool = False) -> float:
    """``p`` as a float; raises ``InputError`` unless it is >= 1, and finite if it has to be."""
    if not (isinstance(p, Real) and p >= 1 and (infinite or p < math.inf)):
        raise InputError(f"The power p must be {'' if infinite else 'finite and '}>= 1, got {p}.")
    return float(p)


def certify(cost, a, b, answer, largest_gap: float) -> tuple[float, float]:
    """The plan's value and its duality gap; raises ``SolverError`` if either is not proved.

    ``answer`` is a solver's: plan, phi and psi. All arguments are on the solver's scale: unit masses and
    costs up to 1. The potentials may break phi_i + psi_j <= cost_ij by some v; lowering them by v costs v of
    the lower bound.
    """
    plan, phi, psi = answer
    if not all(np.isfinite(array).all() for array in answer) or plan.min() < 0:
        raise SolverError("The solver returned a plan or potentials that are not finite and >= 0.")
    off = max(np.abs(plan.sum(1) - a).max(), np.abs(plan.sum(0) - b).max())
    value = float(np.vdot(plan, cost))
    slack = float((cost - phi[:, None] - psi).min())
    gap = abs(value - float(a @ phi + b @ psi + min(0.0, slack)))
    if max(off, -slack) > TOLERANCE or gap > largest_gap:
        raise SolverError(
            f"The solver's answer is not proved: marginals are off by {off:.1e} and the potentials exceed a "
            f"cost by {max(0.0, -slack):.1e} of the largest one (limit {TOLERANCE:.0e}); the duality gap is "
            f"{gap:.1e} (limit {largest_gap:.0e})."
        )
    return value, float(gap)


def network_simplex(cost: np.ndarray, a: np.ndarray, b: np.ndarray):
    """Plan and potentials by POT's network simplex, for unit masses and costs up to 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # POT warns where we raise, on the result code
        plan, log = ot.emd(a, b, cost, numItermax=10_000_000, log=True, check_marginals=False)
    if log["result_code"] != 1:
        raise SolverError(f"The solver stopped with code {log['result_code']}: {log['warning']}.")
    return plan, log["u"], log["v"]


def linear_program(cost: np.ndarray, a: np.ndarray, b: np.ndarray):
    """Plan and potentials by scipy's ``linprog``, for unit masses and costs up to 1."""
    n, m = cost.shape
    if n * m > 10_000:
        raise InputError(f"emd_lp takes at most 10,000 entries, got {n} x {m}. Use emd_from_cost, exact too.")
    # sums @ plan.ravel() is plan.sum(1), then plan.sum(0)
    sums = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    result = linprog(cost.ravel(), A_eq=sums, b_eq=np.append(a, b), method="highs-ds", options=options)
    if result.status != 0:
        raise SolverError(f"scipy's linprog stopped with status {result.status}: {result.message}")
    duals = result.eqlin.marginals
    return np.maximum(result.x.reshape(n, m), 0.0), duals[:n], duals[n:]


def scale_of(cost: np.ndarray) -> float:
    """The largest absolute cost, in which everything is measured; 1 if all are 0."""
    return float(max(cost.max(), -cost.min())) or 1.0


def solve(cost, a, b, like: ArrayLike, solver, largest_gap: float = TOLERANCE) -> Transport:
    """Check the problem, scale to unit masses and costs, solve, certify, scale back."""
    cost, a, b = problem(cost, a, b)
    mass, scale = float(a.sum()), scale_of(cost)
    unit_cost, unit_a, unit_b = cost / scale, a / mass, b / b.sum()
    plan, phi, psi = answer = solver(unit_cost, unit_a, unit_b)
    value, gap = certify(unit_cost, unit_a, unit_b, answer, largest_gap)
    if scale * mass < sys.float_info.min:
        raise InputError("The total cost underflows float64. Scale the costs or masses up.")
    small, large = sorted((scale, mass))  # in this order no digit is lost to a small factor
    with np.errstate(over="ignore"):  # checked in the next line
        plan *= mass
        whole, phi, psi = value * large * small, phi * scale, psi * scale
    check_overflow("A cost or potential overflows float64. Scale the costs or masses down.", whole, phi, psi)
    plan, phi, psi = (like_input(array, like) for array in (plan, phi, psi))
    return Transport(whole, plan, phi, psi, gap * large * small)


def check_size(n: int, m: int) -> None:
    """Raise ``InputError`` for a cost matrix that would not fit into memory."""
    try:
        if n * m > LARGEST_COST:
            raise MemoryError
        np.empty((6, n, m))  # what the solver needs, given back: POT ends the process where it gets no memory
    except MemoryError:
        raise InputError(
            f"Exact transport between {n} and {m} points needs a cost matrix of {8e-9 * n * m:.1f} GB, and "
            f"the solver six times that; the limit is {LARGEST_COST:.0e} entries and the free memory. "
            f"Take a random subset of the points, or wasserstein_1d for points on the line."
        ) from None


def problem(cost: ArrayLike, a: Masses, b: Masses) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cost matrix (n, m) and masses that fit it and each other; raises ``InputError`` otherwise."""
    matrix = as_float64(cost, "cost", 2)
    check_size(*matrix.shape)
    return matrix, *as_masses(a, b, *matrix.shape)


def emd_from_cost(cost: ArrayLike, a: Masses = None, b: Masses = None) -> Transport:
    r"""The cheapest plan between masses a (n,) and b (m,) for any cost matrix (n, m).

    Masses default to 1/n and 1/m; they need equal totals, not total 1: ``cost`` scales with
    the mass. Totals of float32 and shorter numbers are equal up to their rounding. The certificate
    is relative to the mass times the largest absolute cost.
    Raises ``InputError`` for shapes that do not fit, NaN or infinity, negative or unequal masses,
    and more than 1e8 entries or than the memory takes; ``SolverError`` for an answer that is not proved
    optimal.
    Cost: about 0.1 s for n = m = 1000, growing a little faster than n^2.

    >>> round(emd_from_cost([[0.0, 2.0], [2.0, 1.0]], [1.0, 1.0], [1.0, 1.0]).cost, 12)
    1.0
    """
    return solve(cost, a, b, like=cost, solver=network_simplex)


def emd_lp(cost: ArrayLike, a: Masses = None, b: Masses = None) -> Transport:
    """The same as ``emd_from_cost``, by a general linear programming solver: slow, for teaching.

    The constraint matrix is written out in full, so n m is limited to 10,000. Raises as
    ``emd_from_cost`` does.

    >>> round(emd_lp([[0.0, 2.0], [2.0, 1.0]], [1.0, 1.0], [1.0, 1.0]).cost, 12)
    1.0
    """
    return solve(cost, a, b, like=cost, solver=linear_program)


def ground_cost(x: ArrayLike, y: ArrayLike, p: float) -> ArrayLike:
    """Euclidean distances (n, m) to the power p between the points x (n, d) and y (m, d).

    Raises ``InputError`` as ``emd`` does, and where a distance leaves float64.

    >>> ground_cost([[0.0, 0.0]], [[3.0, 4.0]], 2).tolist()
    [[25.0]]
    """
    like, (x, y), p = x, as_clouds(x, y), as_power(p)
    check_size(len(x), len(y))
    unit = power_of_two_scale(x, y)
    distance = cdist(x / unit, y / unit)  # squares of the points themselves may leave float64
    with np.errstate(over="ignore", under="ignore"):  # checked below
        cost = (distance * unit) ** p
    check_overflow("The distances overflow float64. Scale the points down.", cost)
    if cost.max() < sys.float_info.min and distance.max() > 0:
        raise InputError("The distances underflow float64. Scale the points up.")
    return like_input(cost, like)


def emd(x: ArrayLike, y: ArrayLike, a: Masses = None, b: Masses = None, *, p: float = 1) -> Transport:
    r"""Exact optimal transport between points x (n, d) and y (m, d), cost :math:`\|x_i-y_j\|^p`.

    A vector is n points on the line. Masses default to 1/n and 1/m. ``distance`` of the result is
    the Wasserstein distance :math:`W_p` if the masses are probabilities. Raises as
    ``emd_from_cost`` does, for points of different dimension or p < 1, and where the p-th powers lie so far
    apart that float64 does not tell the distance from 0.
    Source: Peyré & Cuturi 2019, chapter 3; the solver is POT's network simplex.

    >>> emd([[0.0, 0.0]], [[3.0, 4.0]]).distance
    5.0
    """
    like, (x, y) = x, as_clouds(x, y)
    cost = ground_cost(x, y, p)
    found = solve(cost, a, b, like=like, solver=network_simplex)
    share = found.cost / (float(found.plan.sum()) * scale_of(cost))  # of the largest cost; known to 1e-15
    unsure = (share + 1e-15) ** (1 / p) - share ** (1 / p)
    if unsure > 1e-3 and ground_cost(x, y, 1)[as_float64(found.plan, "plan", 2) > 0].max() > 0:
        rule = f"With p = {p:g} the cheapest plan costs {share:.1e} of the largest cost, 0 to float64"
        raise InputError(f"{rule}. Take a smaller p, or wasserstein_1d for points on the line.")
    return replace(found, p=float(p))
