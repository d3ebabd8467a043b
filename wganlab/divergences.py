"""KL, Jensen-Shannon and total variation, of weights, normals and densities; the best discriminator.

Weights are arrays (n,) on the same points, numpy or torch or a list. Densities are functions that return
the *logarithm* of a density on the line, so that tails do not vanish. Natural logarithms, so the
unit is the nat unless ``base`` says otherwise. The computation is in float64. Weights sum to 1, to one
part in 1e9; those of float32 or shorter up to their rounding, which is divided out.
"""

import math
from numbers import Real

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import rel_entr, xlog1py, xlogy

from ._arrays import as_float64, as_numbers, check_overflow, dtype_tolerance, like_input, total
from ._quadrature import Function, Interval, integral, interval, sign_changes, value_at
from .errors import InputError

__all__ = ["js", "js_distance", "kl", "kl_normal", "tv"]
__all__ += ["js_density", "kl_density", "tv_density"]
__all__ += ["gan_value", "optimal_discriminator"]

Base = float | None  # of logarithms; None means e, so nats


def as_weights(weights: ArrayLike, name: str) -> np.ndarray:
    """``weights`` as a float64 vector; raises ``InputError`` unless it is a law on n points.

    The total is 1 to 1e-9; of float32 and shorter numbers to their rounding, which is divided out.
    """
    w = as_float64(weights, name, 1)
    if w.min() < 0:
        raise InputError(f"'{name}' must be non-negative, but entry {w.argmin()} is {w.min()}.")
    off = abs(total(w) - 1)
    if off > max(1e-9, dtype_tolerance(weights)):
        found = f"'{name}' must sum to 1, but sums to {total(w):.12g}."
        raise InputError(f"{found} Divide it by its sum, in float64.")
    return w if off <= 1e-9 else w / w.sum()


def two_laws(p: ArrayLike, q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as weights on the same points; raises ``InputError`` if their lengths differ."""
    p, q = as_weights(p, "p"), as_weights(q, "q")
    if p.shape != q.shape:
        found = f"p and q must be weights on the same points, got {len(p)} and {len(q)} weights."
        raise InputError(f"{found} Put zeros where one of them has no mass.")
    return p, q


def in_base(nats: float, base: Base) -> float:
    """``nats`` in the unit whose logarithm has base ``base``; 2 gives bits."""
    if base is None:
        return nats
    if not (isinstance(base, Real) and 1 < base < math.inf):
        raise InputError(f"A base of logarithms must be > 1, got {base}. Use 2 for bits.")
    return nats / math.log(base)


def kl(p: ArrayLike, q: ArrayLike, *, base: Base = None) -> float:
    r""":math:`\mathrm{KL}(p\|q) = \sum_i p_i \ln(p_i/q_i)`; infinite where q misses mass of p.

    Terms with :math:`p_i = 0` are 0. Raises ``InputError`` unless p and q are laws on the
    same points.
    Source: Kullback & Leibler 1951.

    >>> round(kl([0.5, 0.5], [0.25, 0.75]), 12)  # ln(4/3)/2
    0.143841036226
    >>> kl([0.5, 0.5], [1.0, 0.0])
    inf
    """
    p, q = two_laws(p, q)
    return in_base(max(0.0, float(rel_entr(p, q).sum())), base)


def js(p: ArrayLike, q: ArrayLike, *, base: Base = None) -> float:
    r""":math:`\tfrac12\mathrm{KL}(p\|m) + \tfrac12\mathrm{KL}(q\|m)` with :math:`m = (p+q)/2`.

    Between 0 and ln 2, which it reaches for laws that share no point. Raises ``InputError``
    unless p and q are laws on the same points.
    Source: Lin 1991, with equal weights.

    >>> js([1.0, 0.0], [0.0, 1.0], base=2)
    1.0
    """
    p, q = two_laws(p, q)
    both = p + q  # (p + q) / 2 would vanish where they are smallest
    u = np.divide(p - q, both, out=np.zeros_like(both), where=both > 0)
    far = rel_entr(2 * p, both) + rel_entr(2 * q, both)
    v = np.clip(u, -0.5, 0.5)  # (1 + v) ln(1 + v) + (1 - v) ln(1 - v), without the difference of near equals
    near = both * (2 * v * np.arctanh(v) + np.log1p(-(v**2)))
    nats = float(np.where(abs(u) < 0.5, near, far).sum() / 4)
    return in_base(min(nats, math.log(2)), base)


def tv(p: ArrayLike, q: ArrayLike) -> float:
    r""":math:`\sup_A |p(A) - q(A)| = \tfrac12\sum_i |p_i - q_i|`, between 0 and 1.

    Raises ``InputError`` unless p and q are laws on the same points.

    >>> tv([0.5, 0.5], [0.25, 0.75])
    0.25
    """
    p, q = two_laws(p, q)
    return min(float(np.abs(p - q).sum() / 2), 1.0)


def js_distance(p: ArrayLike, q: ArrayLike, *, base: Base = None) -> float:
    r""":math:`\sqrt{\mathrm{JS}(p, q)}`, which is a metric; JS itself is not.

    Raises ``InputError`` unless p and q are laws on the same points.
    Source: Endres & Schindelin 2003.

    >>> js_distance([1.0, 0.0], [0.0, 1.0], base=2)
    1.0
    """
    return math.sqrt(js(p, q, base=base))


# Normals in closed form


def kl_normal(mean_p: float, std_p: float, mean_q: float, std_q: float, *, base: Base = None) -> float:
    r""":math:`\ln\frac{\sigma_q}{\sigma_p} + \frac{\sigma_p^2 + (\mu_p - \mu_q)^2}{2\sigma_q^2} - \frac12`.

    KL of the normal law p on the line from the normal law q, in this order. Raises ``InputError``
    unless the means are finite and the standard deviations positive and finite, and where the
    value overflows float64.

    >>> round(kl_normal(0, 1, 0, 2), 6), round(kl_normal(0, 2, 0, 1), 6)
    (0.318147, 0.806853)
    """
    m_p, s_p, m_q, s_q = as_numbers(mean_p=mean_p, std_p=std_p, mean_q=mean_q, std_q=std_q)
    if not (s_p > 0 and s_q > 0):
        raise InputError(f"Standard deviations must be positive, got {s_p} for p and {s_q} for q.")
    ratio, shift = s_p / s_q, (m_p - m_q) / s_q
    nats = math.log(s_q) - math.log(s_p) + ((ratio * ratio - 1) + shift * shift) / 2
    check_overflow("The divergence of these normals overflows float64. Take less extreme ones.", nats)
    return in_base(max(0.0, nats), base)


# Densities by quadrature


def density(log: float) -> float:
    """exp(log), bounded: what would overflow has far too much mass, which ``check_mass`` sees."""
    return math.exp(min(log, 700.0))


def integrate(log_p, log_q, support: Interval, term, *, whole=True, kinks=False) -> tuple[float, float]:
    """p's mass where q is 0, and the integral of ``term(log_p, log_q)``, with ``kinks`` at p = q.

    Raises ``InputError`` unless p has the mass 1 and q, too, or less where it need not be ``whole``.
    """
    low, high = interval(support)

    def log_at(log: Function, name: str, x: float) -> float:
        value = value_at(log, name, x, "the log of a density")
        if math.isnan(value) or (value == math.inf and x not in (low, high)):
            raise InputError(f"'{name}' must be finite or -inf, but at {x:g} it is {value}.")
        return value

    def at(x: float) -> np.ndarray:
        logs = log_at(log_p, "log_p", x), log_at(log_q, "log_q", x)
        if math.inf in logs:  # a pole at the end of the support is one point
            return np.zeros(4)
        p, q = map(density, logs)
        return np.array([p, q, p if logs[1] == -math.inf else 0.0, term(*logs)])

    points = sign_changes(lambda x: np.subtract(*at(x)[:2]), low, high) if kinks else ()
    mass_p, mass_q, missed, value = integral(at, low, high, points=points).tolist()
    for name, mass in (("log_p", mass_p), ("log_q", mass_q if whole else max(mass_q, 1.0))):
        if abs(mass - 1) > 1e-8:
            raise InputError(
                f"exp({name}) must integrate to 1 over the support {support}, but gives {mass:.9g}. "
                f"Normalise it, widen the support, or narrow it if the density is a thin peak."
            )
    return missed, value


def kl_density(log_p: Function, log_q: Function, support: Interval, *, base: Base = None) -> float:
    r""":math:`\int p\,(\ln p - \ln q)\,dx` by adaptive quadrature; infinite where q misses mass of p.

    ``log_p`` and ``log_q`` map a float to the log of a density, ``-inf`` where that is 0. The support
    (low, high) may be infinite, and must hold p's mass. Raises ``InputError`` if it does not, or if
    q has more than 1; ``SolverError`` for an integral not known to 1e-9, such as a divergent one.
    Caveat: p's mass is checked to 1e-8, q's only from above, so what less mass than that does, or a gap of q
    narrower than a thousandth of the support, can go unseen.

    >>> from scipy.stats import norm
    >>> round(kl_density(norm(0, 1).logpdf, norm(0, 2).logpdf, (-math.inf, math.inf)), 9)
    0.318147181
    """

    def term(p: float, q: float) -> float:
        return 0.0 if -math.inf in (p, q) else density(p) * (p - q)

    missed, nats = integrate(log_p, log_q, support, term, whole=False)
    return in_base(math.inf if missed > 1e-9 else max(0.0, nats), base)


def js_density(log_p: Function, log_q: Function, support: Interval, *, base: Base = None) -> float:
    r""":math:`\tfrac12\int p\ln\frac{2p}{p+q} + q\ln\frac{2q}{p+q}\,dx` by adaptive quadrature.

    Arguments and errors as in ``kl_density``; the support must hold the mass of both.

    >>> from scipy.stats import norm
    >>> round(js_density(norm(0, 1).logpdf, norm(1, 1).logpdf, (-math.inf, math.inf)), 9)
    0.111421482
    """

    def part(p: float, q: float) -> float:
        return density(p) * (math.log(2) - np.logaddexp(0.0, q - p)) if p > -math.inf else 0.0

    _, nats = integrate(log_p, log_q, support, lambda p, q: (part(p, q) + part(q, p)) / 2)
    return in_base(min(max(0.0, nats), math.log(2)), base)


def tv_density(log_p: Function, log_q: Function, support: Interval) -> float:
    r""":math:`\tfrac12\int|p - q|\,dx` by adaptive quadrature, between 0 and 1.

    Arguments and errors as in ``js_density``.

    >>> from scipy.stats import norm
    >>> round(tv_density(norm(0, 1).logpdf, norm(1, 1).logpdf, (-math.inf, math.inf)), 9)
    0.382924923
    """
    _, distance = integrate(log_p, log_q, support, lambda p, q: abs(density(p) - density(q)) / 2, kinks=True)
    return min(max(0.0, distance), 1.0)


# The game between a discriminator and a generator


def optimal_discriminator(
    p: ArrayLike, q: ArrayLike, *, real_label: float = 1.0, fake_label: float = 0.0
) -> ArrayLike:
    r""":math:`D^*(x) = \frac{\alpha\,p(x) + \beta\,q(x)}{p(x) + q(x)}`, the best answer at each point.

    p and q are weights or values of densities, of one shape; ``real_label`` is alpha,
    ``fake_label`` beta. NaN where p and q are both 0: no data are there, and any answer is best.
    The result is of the kind of p. Raises ``InputError`` for values that are negative or not finite,
    for different shapes, and for labels outside [0, 1].
    Source: Goodfellow et al. 2014, proposition 1; Salimans et al. 2016, section 3.4, for the labels.

    >>> optimal_discriminator([0.5, 0.5, 0.0], [0.0, 0.5, 0.5]).tolist()
    [1.0, 0.5, 0.0]
    >>> optimal_discriminator([0.5], [0.5], real_label=0.9).tolist()
    [0.45]
    """
    real, fake = as_float64(p, "p", None), as_float64(q, "q", None)
    if real.shape != fake.shape:
        raise InputError(f"p and q must be values at the same points, got shapes {real.shape}, {fake.shape}.")
    if (real < 0).any() or (fake < 0).any():
        raise InputError(f"p and q must be non-negative, but hold {min(real.min(), fake.min())}.")
    real_label, fake_label = as_numbers(real_label=real_label, fake_label=fake_label)
    if not (0 <= real_label <= 1 and 0 <= fake_label <= 1):
        raise InputError(f"Labels must lie in [0, 1], got {real_label} for real and {fake_label} for fake.")
    largest = np.maximum(real, fake)
    with np.errstate(invalid="ignore"):  # 0/0 where nothing is
        real, fake = real / largest, fake / largest  # so that neither sum nor quotient leaves float64
        best = (real_label * real + fake_label * fake) / (real + fake)
    return like_input(best, p)


def gan_value(D: ArrayLike, p: ArrayLike, q: ArrayLike) -> float:
    r""":math:`V(D) = \sum_i p_i\ln D_i + q_i\ln(1 - D_i)`, which the discriminator maximises.

    D (n,) are probabilities, p and q weights on the same points; D is not read where both are 0. Minus
    infinity where D is certain and wrong. Its maximum over D is 2 JS(p, q) - 2 ln 2, at
    ``optimal_discriminator(p, q)``: D holds rounded numbers, and where the best answer p/(p + q) rounds to
    the given one, to 1 for a small q, the best one is taken. Raises ``InputError`` unless p and q are laws
    and D lies in [0, 1].
    Source: Goodfellow et al. 2014, equation 1 and theorem 1.

    >>> round(gan_value([0.5, 0.5], [0.3, 0.7], [0.3, 0.7]), 6)  # -2 ln 2
    -1.386294
    """
    p, q = two_laws(p, q)
    read = p + q > 0
    answers = as_float64(D, "D", None, finite=False)
    if answers.shape != p.shape:
        raise InputError(f"D must have one value a point, so shape {p.shape}, got {answers.shape}.")
    p, q, answers = p[read], q[read], as_float64(answers[read], "D", 1)
    if answers.min() < 0 or answers.max() > 1:
        found = f"D must hold probabilities, but ranges from {answers.min():g} to {answers.max():g}."
        raise InputError(f"{found} Pass scores through a sigmoid first.")
    best = as_float64(rounded_as(D, optimal_discriminator(p, q)), "D", 1)
    with np.errstate(divide="ignore"):  # ln 0 is -inf
        given = xlogy(p, answers) + xlog1py(q, -answers)
    return float(np.where(answers == best, rel_entr(p, p + q) + rel_entr(q, p + q), given).sum())


def rounded_as(like: ArrayLike, values: np.ndarray) -> ArrayLike:
    """``values`` in the precision of ``like``, if that has one that is no integer's."""
    if torch.is_tensor(like) and like.is_floating_point():
        return torch.as_tensor(values).to(like.dtype)
    dtype = getattr(like, "dtype", None)
    return values.astype(dtype) if isinstance(dtype, np.dtype) and dtype.kind == "f" else values
