r"""Games of two numbers, small enough that their dynamics can be computed: bilinear and Dirac-GAN.

A game is its field: at a point p, the coordinates of the first player and then as many of the second, it
gives the velocity v(p), minus each player's own gradient. What a training loop does near an equilibrium is
the linear map ``update_matrix``: its eigenvalues inside the unit circle mean convergence, outside, spirals.

>>> path = simulate(bilinear(), (1.0, 1.0), eta=0.1, steps=100)
>>> round(float(np.hypot(*path[-1])), 9)  # sqrt(2) 1.01^50
2.325860628
"""

from collections.abc import Callable
from functools import partial
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import as_float64, as_number, as_numbers
from .errors import InputError
from .objectives import Objective, minimax, non_saturating, wasserstein

__all__ = ["bilinear", "dirac_gan", "jacobian", "simulate", "update_matrix"]

Field = Callable[[np.ndarray], np.ndarray]


def bilinear(strength: float = 1.0) -> Field:
    r""":math:`v(x, y) = (-ay, ax)`: of x, who descends the value axy, and of y, who ascends it.

    Its only equilibrium is (0, 0). Raises ``InputError`` for a strength a that is not a finite number.

    >>> bilinear()(np.array([1.0, 2.0]))
    array([-2.,  1.])
    """
    turn = as_number(strength, "strength") * np.array([[0.0, -1.0], [1.0, 0.0]])
    return lambda p: turn @ p


def sigmoid(s: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-s)), of complex numbers too, without overflow."""
    return (1 + np.tanh(s / 2)) / 2


# For a score s: the slopes of the critic's loss on real and on fake points, and of the generator's loss.
SLOPES = {
    minimax: (lambda s: -sigmoid(-s), sigmoid, lambda s: -sigmoid(s)),
    non_saturating: (lambda s: -sigmoid(-s), sigmoid, lambda s: -sigmoid(-s)),
    wasserstein: (lambda s: -np.ones_like(s), np.ones_like, lambda s: -np.ones_like(s)),
}


def dirac_gan(
    objective: Objective = minimax, *, r1: float = 0.0, weight: float = 0.0, noise: float = 0.0
) -> Field:
    r"""The field of :math:`(\theta, \psi)`: data at 0, fakes at :math:`\theta`, and f(x) = :math:`\psi x`.

    Each player descends its loss of ``objective``; the critic's has the penalty
    :math:`\frac{r_1}2\psi^2 + \text{weight}\,(|\psi| - 1)^2` too, R1 and WGAN-GP, since its slope is
    :math:`|\psi|` everywhere. With ``noise`` :math:`\sigma`, data and fakes are moved by :math:`\pm\sigma`,
    as often up as down: instance noise, of which only the variance matters near (0, 0). Raises
    ``InputError`` for other objectives than minimax, non_saturating and wasserstein, and numbers below 0.
    Source: Mescheder et al. 2018, section 2 and definition 2.1.

    >>> dirac_gan()(np.array([1.0, 0.0]))  # D = 1/2 everywhere
    array([ 0. , -0.5])
    >>> dirac_gan(wasserstein, r1=3.0)(np.array([1.0, 2.0]))  # 2 and -1 - 3 * 2
    array([ 2., -7.])
    """
    if objective not in SLOPES:
        raise InputError(f"dirac_gan knows minimax, non_saturating and wasserstein, got {objective!r}.")
    r1, weight, noise = numbers = as_numbers(r1=r1, weight=weight, noise=noise)
    if min(numbers) < 0:
        raise InputError(f"dirac_gan needs r1, weight and noise >= 0, got {r1:g}, {weight:g} and {noise:g}.")
    of_real, of_fake, of_generator = SLOPES[objective]
    x = noise * np.array([1.0, -1.0])

    def field(p: np.ndarray) -> np.ndarray:
        theta, psi = p
        x_fake = theta + x
        slope = (of_real(psi * x) * x + of_fake(psi * x_fake) * x_fake).mean()
        penalty = r1 * psi + 2 * weight * (psi - np.sign(psi.real))
        return 0 - np.array([(of_generator(psi * x_fake) * psi).mean(), slope + penalty])

    return field


def simultaneous(field: Field, p: np.ndarray, eta: float) -> np.ndarray:
    """Both players step from p."""
    return p + eta * field(p)


def alternating(field: Field, p: np.ndarray, eta: float) -> np.ndarray:
    """The first player steps, and the second answers."""
    first = np.arange(len(p)) < len(p) // 2
    p = p + eta * field(p) * first
    return p + eta * field(p) * ~first


def extragradient(field: Field, p: np.ndarray, eta: float) -> np.ndarray:
    """Both players step from p with the velocity that they would have after a step."""
    return p + eta * field(p + eta * field(p))


SCHEMES = {scheme.__name__: scheme for scheme in (simultaneous, alternating, extragradient)}


def as_step(eta: float, scheme: str) -> Callable[[Field, np.ndarray], np.ndarray]:
    """One step of a scheme as a function of field and point; raises ``InputError``."""
    if scheme not in SCHEMES:
        raise InputError(f"'scheme' must be one of {', '.join(SCHEMES)}, got {scheme!r}.")
    if not (eta := as_number(eta, "eta")) > 0:
        raise InputError(f"A step size must be > 0, got eta = {eta:g}. A usual value is 0.1.")
    return partial(SCHEMES[scheme], eta=eta)


def as_point(field: Field, values: ArrayLike, name: str) -> np.ndarray:
    """A vector with as many coordinates for either player, which the field maps to such a one."""
    point = as_float64(values, name, 1)
    if len(point) % 2:
        raise InputError(f"'{name}' needs as many coordinates for either player, got {len(point)} in all.")
    if (found := np.shape(field(point))) != point.shape:
        raise InputError(f"A field maps {point.shape} to {point.shape}, but this one gave {found}.")
    return point


def simulate(
    field: Field,
    x0: ArrayLike,
    *,
    eta: float,
    steps: int,
    scheme: str = "simultaneous",
    project: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> np.ndarray:
    r"""The points (steps + 1, d) that a game visits from ``x0`` (d,), with step size ``eta``.

    "simultaneous": :math:`p + \eta v(p)`. "alternating": the first player steps, and the second answers
    what it sees, as GANs are trained. "extragradient": :math:`p + \eta v(p + \eta v(p))`. ``project`` maps
    each new point to the one that is kept (weight clipping, say). Raises ``InputError`` for eta <= 0, steps
    that are no whole number >= 0, another scheme, a start that is not finite or of odd length, and a path
    that leaves float64.
    Source: Korpelevich 1976 (extragradient).

    >>> simulate(bilinear(), (1.0, 0.0), eta=0.5, steps=1, scheme="alternating")[-1]  # y answers the new x
    array([1. , 0.5])
    """
    step, p = as_step(eta, scheme), as_point(field, x0, "x0")
    if not isinstance(steps, Integral) or steps < 0:
        raise InputError(f"simulate takes a whole number of steps >= 0, got {steps!r}.")
    path = [p]
    with np.errstate(over="ignore", invalid="ignore"):  # looked at below
        for k in range(1, steps + 1):
            path.append(project(step(field, path[-1])))
            if not np.isfinite(path[-1]).all():
                raise InputError(f"The path leaves float64 at step {k}. Take fewer steps or a smaller eta.")
    return np.array(path)


def jacobian(field: Field, point: ArrayLike) -> np.ndarray:
    r"""The matrix :math:`\partial v_i/\partial p_j` (d, d) of a field at a point, exact to rounding.

    By a step of 1e-100 i, with which nothing cancels: the field must be made of analytic operations, which
    exclude absolute values and maxima. The result is compared with central differences: raises ``InputError``
    where they differ, as at a kink.
    Source: Squire & Trapp 1998.

    >>> np.linalg.eigvals(jacobian(dirac_gan(), (0.0, 0.0))).imag  # a rotation
    array([ 0.5, -0.5])
    """
    point = as_point(field, point, "point")
    h = 1e-5 * max(1.0, np.abs(point).max())
    columns, differences = [], []
    for e in np.eye(len(point)):
        columns.append(np.imag(field(point + 1e-100j * e)) / 1e-100)
        differences.append((field(point + h * e) - field(point - h * e)) / (2 * h))
    found, other = np.array(columns).T, np.array(differences).T
    gap = np.abs(found - other).max()
    if not gap <= 1e-4 * max(1.0, np.abs(found).max()):
        raise InputError(
            f"The field has no Jacobian to be trusted at {point.tolist()}: two ways to compute it differ by "
            f"{gap:.2g}. Write the field with analytic operations, and take a point away from its kinks."
        )
    return found


def update_matrix(J: ArrayLike, *, eta: float, scheme: str = "simultaneous") -> np.ndarray:
    r"""The matrix (d, d) of one step of ``simulate`` for a field v(p) = Jp.

    Simultaneous :math:`I + \eta J`, alternating :math:`(I + \eta S_2J)(I + \eta S_1J)` with :math:`S_k` the
    projection on player k, extragradient :math:`I + \eta J + \eta^2J^2`. Near an equilibrium a game
    behaves like it: it converges if all eigenvalues have modulus < 1 and leaves if one has more. Raises
    ``InputError`` as ``simulate`` does, and for a matrix that is not square.

    >>> M = update_matrix(jacobian(bilinear(), (0.0, 0.0)), eta=0.1)
    >>> np.round(np.abs(np.linalg.eigvals(M)) ** 2, 12)
    array([1.01, 1.01])
    """
    J, step = as_float64(J, "J", 2), as_step(eta, scheme)
    if J.shape[0] != J.shape[1]:
        raise InputError(f"'J' must be square, got {J.shape}.")
    as_point(lambda p: p, J[0], "J[0]")
    return np.array([step(lambda p: J @ p, e) for e in np.eye(len(J))]).T
