"""Dual potentials as functions: the c-transform, and the exact critic on all of space."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.sparse.csgraph import csgraph_from_dense, dijkstra, floyd_warshall

from .._arrays import as_float64, check_overflow, like_input, power_of_two_scale
from ..errors import InputError
from .exact import Masses, as_clouds, as_masses, as_points, check_size, emd_from_cost, ground_cost

BLOCK = 2**22  # numbers that a potential holds at once: 32 MB
ALL_PATHS = 2000  # points, up to which all shortest paths are found: 8 seconds


class Potential:
    r""":math:`f(z) = \max_i (\varphi_i - \|z - x_i\|)`: 1-Lipschitz everywhere, and optimal for W1.

    Call it on points z (k, d), numpy or torch; the result (k,) is of the same kind, and a
    tensor's graph is kept. ``gradient(z)`` is its gradient (k, d), a unit vector at almost every z.
    """

    def __init__(self, x: np.ndarray, phi: np.ndarray):
        self.x, self.phi = torch.as_tensor(x.copy()), torch.as_tensor(phi)

    def __call__(self, z: ArrayLike) -> ArrayLike:
        points, d = as_points(z, "z"), self.x.shape[1]
        if points.shape[1] != d:
            raise InputError(f"This potential takes points of shape (k, {d}), got {points.shape}.")
        at = z.reshape(points.shape) if torch.is_tensor(z) else torch.as_tensor(points.copy())
        unit = power_of_two_scale(self.x.numpy(), points)
        at, x, phi = at.double() / unit, (self.x / unit).to(at.device), self.phi.to(at.device)
        blocks = at.detach().split(max(1, BLOCK // len(x)))  # k n numbers at once may be too many
        ways = (torch.cdist(block, x, compute_mode="donot_use_mm_for_euclid_dist") for block in blocks)
        piece = torch.cat([(phi - unit * way).argmax(dim=1) for way in ways])
        values = phi[piece] - unit * (at - x[piece]).norm(dim=1)
        if not torch.isfinite(values).all():
            raise InputError("The potential overflows float64 there. Scale the points down.")
        return values if torch.is_tensor(z) else values.numpy()

    def gradient(self, z: ArrayLike) -> ArrayLike:
        """The gradient at z; at a kink, that of one of the pieces that meet there; 0 at a peak."""
        points = torch.as_tensor(as_points(z, "z").copy()).requires_grad_()
        (gradient,) = torch.autograd.grad(self(points).sum(), points)
        return gradient.to(z.device) if torch.is_tensor(z) else gradient.numpy()


def interior_potentials(cost: np.ndarray, plan: np.ndarray, psi: np.ndarray) -> np.ndarray:
    r"""Potentials phi (n,) in the relative interior of all optimal ones, from one optimal psi (m,).

    A solver returns a vertex of the set of optimal potentials, where many constraints hold with
    equality by chance; f then has kinks at the fake points themselves. On the plan's support
    phi_i = C_ij - psi_j, which leaves :math:`\psi_j \le \psi_k + \min_{i \in supp(k)} (C_{ij} - C_{ik})`.
    The shortest paths from each k are extreme solutions of these inequalities, and their mean
    holds with equality only what every solution must. Source: Schrijver 2003, chapter 8, for
    potentials as shortest paths.

    All paths take m^3 steps. Above ``ALL_PATHS`` points a path counts up to a length R only: the least of R
    and the shortest path is a solution, too, and is R for all but the few points near k.
    """
    slack = np.maximum(cost - (cost - psi).min(axis=1)[:, None] - psi, 0.0)  # >= 0
    steps = np.stack([slack[plan[:, k] > 0].min(axis=0) for k in range(len(psi))])
    if len(psi) <= ALL_PATHS:
        graph = csgraph_from_dense(steps, null_value=np.inf)  # so that a step of length 0 is a step
        rise = floyd_warshall(graph).mean(axis=0)
    else:
        rise = mean_short_path(steps)
    return (cost - psi - rise).min(axis=1)


def mean_short_path(steps: np.ndarray, neighbours: int = 32) -> np.ndarray:
    r"""A mean over k of :math:`\min(R, \text{path from } k)`, less R: ``neighbours`` points are nearer.

    In the inequality of two points only those k count from which one of both is nearer than R. They share
    the weight 1, so that the mean is an inner solution by as much as if there were no others.
    """
    reach = float(np.median(np.partition(steps, neighbours, axis=1)[:, neighbours]))
    rows, columns = np.nonzero(steps <= reach)
    graph = csr_array((steps[rows, columns], (rows, columns)), shape=steps.shape)  # keeps steps of length 0
    total, near = np.zeros(len(steps)), np.zeros(len(steps))
    for sources in np.array_split(np.arange(len(steps)), -(-len(steps) // 256)):
        path = np.minimum(dijkstra(graph, indices=sources, limit=reach), reach)
        total += (path - reach).sum(axis=0)
        near += (path < reach).sum(axis=0)
    return total / max(1.0, 2 * near.max())


def kantorovich_potential(x: ArrayLike, y: ArrayLike, a: Masses = None, b: Masses = None) -> Potential:
    r"""The exact critic: f with :math:`\sum_i a_i f(x_i) - \sum_j b_j f(y_j) = W_1` and slope <= 1.

    x (n, d) are real points, where f is high, y (m, d) fake ones. f extends the dual
    potentials to all of space (McShane): it is a supremum of 1-Lipschitz functions, at least phi on x
    and at most -psi on y, hence attains the dual's value. Its peaks are at real points; at the fake
    ones, where a generator needs it, it has a gradient unless the optimal plan is not unique.
    Raises as ``emd`` does, and for m > 10,000. Cost: that of ``emd``, and up to m = 2,000 a term in m^3,
    about a second for m = 1,000; above, where paths are cut, a term in m^2.
    Source: McShane 1934; Villani 2009, chapter 5.

    >>> f = kantorovich_potential([[3.0]], [[0.0]])
    >>> float(f([[3.0]])[0] - f([[0.0]])[0]), f.gradient([[0.0]]).tolist()
    (3.0, [[1.0]])
    """
    points, others = as_clouds(x, y)
    a, b = as_masses(a, b, len(points), len(others))
    points, others, a, b = points[a > 0], others[b > 0], a[a > 0], b[b > 0]
    check_size(len(others), len(others))  # the steps between fake points are a matrix, too
    cost = ground_cost(points, others, 1)
    found = emd_from_cost(cost, a, b * (a.sum() / b.sum()))  # totals of float32 differ by rounding
    reached = found.plan.max(axis=0) > 0  # not what is below the rounding of all others
    phi = interior_potentials(cost[:, reached], found.plan[:, reached], found.psi[reached])
    return Potential(points, phi)


def c_transform(phi: ArrayLike, cost: ArrayLike) -> ArrayLike:
    r""":math:`\varphi^c_j = \min_i (C_{ij} - \varphi_i)`: the largest psi that phi allows.

    phi (n,), cost (n, m); the result (m,) is of the kind of phi. (phi, c_transform(phi, cost)) is
    feasible for the dual, and no partner of phi has a larger value. Raises ``InputError`` for shapes
    that do not fit and values that are not finite.
    Source: Villani 2009, chapter 5; Peyré & Cuturi 2019, chapter 3.

    >>> c_transform([0.0, 1.0], [[0.0, 2.0], [2.0, 0.0]]).tolist()
    [0.0, -1.0]
    """
    potential, matrix = as_float64(phi, "phi", 1), as_float64(cost, "cost", 2)
    if len(potential) != len(matrix):
        found = f"'phi' must have one value a row of 'cost', got {len(potential)} values and a cost of"
        raise InputError(f"{found} shape {matrix.shape}. For the other side hand over the transposed cost.")
    with np.errstate(over="ignore"):  # checked in the next line
        transform = (matrix - potential[:, None]).min(axis=0)
    check_overflow("The c-transform overflows float64. Scale the cost and phi down.", transform)
    return like_input(transform, phi)
