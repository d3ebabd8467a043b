"""Makers of functions on the line, with the exact integral, which is asked to 1e-9; for ``hostile_cases``."""

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from hostile import LARGEST, floats, scale
from hostile_exact import Made, exact, mp, real
from hostile_laws import base_of, kl_of_normals

FINE = Fraction(1000)  # the scale of what is right to 1e-9 only
HALF = Fraction(1, 2)
INFINITE = (-math.inf, math.inf)


@dataclass(frozen=True)
class LogDensity:
    """Of a normal law, or of one on an interval: uniform, or falling exponentially from 0."""

    family: str
    mean: float
    width: float
    off: float = 0.0
    fault: tuple = ()  # of one value

    def __call__(self, x):
        if self.fault and x > self.mean:
            return self.fault[0]
        z = (x - self.mean) / self.width
        if self.family == "normal":
            return self.off - z * z / 2 - math.log(self.width) - math.log(2 * math.pi) / 2
        if not 0 <= z <= (1 if self.family == "uniform" else math.inf):
            return -math.inf
        return self.off - math.log(self.width) - (0 if self.family == "uniform" else z)


def tv_normals(m, s, n, t):
    """Between N(m, s^2) and N(n, t^2): where the densities cross is a quadratic equation."""
    a, b = 1 / s**2 - 1 / t**2, m / s**2 - n / t**2
    c = m**2 / s**2 - n**2 / t**2 + 2 * mp.log(s / t)
    if a == 0:
        cuts = [] if b == 0 else [c / (2 * b)]
    else:
        half = mp.sqrt(b * b - a * c)
        cuts = sorted([(b - half) / a, (b + half) / a])
    gaps = [mp.ncdf(cut, m, s) - mp.ncdf(cut, n, t) for cut in cuts]
    ends = [mp.mpf(0), *gaps, mp.mpf(0)]
    return sum(abs(high - low) for low, high in itertools.pairwise(ends)) / 2


def densities(which):
    def make(rng):
        family = str(rng.choice(["normal", "normal", "uniform", "exponential"]))
        m, n = (float(Fraction(int(rng.integers(-8, 9)), 4)) for _ in range(2))
        s, t = (float(rng.choice([0.5, 1.0, 2.0, 3.0])) for _ in range(2))
        extreme = rng.random() < 0.1
        if extreme:  # thin peaks, far from 0, for which a refusal is right, too
            m, n, s, t = m * 1000, n * 1000, s / 100, t / 100
        if family != "normal":
            m = n = 0.0
            s, t = sorted((s, t))
        support = {"normal": INFINITE, "uniform": (0.0, t), "exponential": (0.0, math.inf)}[family]
        a, b, c, e = map(real, (m, s, n, t))
        if family == "normal":
            value = {"kl": lambda: kl_of_normals(m, s, n, t), "tv": lambda: tv_normals(a, b, c, e)}
        elif family == "uniform":
            u, v = b / e, 1 - b / e
            value = {"kl": lambda: -mp.log(u), "tv": lambda: v}
            value["js"] = lambda: (mp.log(2 / (1 + u)) + u * mp.log(2 * u / (1 + u)) + v * mp.log(2)) / 2
        else:
            cut = mp.log(e / b) / (1 / b - 1 / e) if b != e else mp.mpf(0)
            value = {
                "kl": lambda: mp.log(e / b) + b / e - 1,
                "tv": lambda: mp.exp(-cut / e) - mp.exp(-cut / b),
            }
        log_p, log_q = LogDensity(family, m, s), LogDensity(family, n, t)
        if which == "js" and family != "uniform":
            value["js"] = lambda: mp.mpf(js_by_quadrature(family, m, s, n, t))
        base, log = base_of(rng) if which != "tv" else ({}, mp.mpf(1))
        plain = {"log_p": log_p, "log_q": log_q, "support": support} | base
        kind = "extreme" if extreme else "valid"
        return Made(plain, [exact(value[which]() / log)], FINE * exact(1 / min(log, 1)), kind=kind)

    return make


NODES, SHARES = np.polynomial.legendre.leggauss(20)


def summed(function, low, high, panels=400):
    """The integral of a smooth function of an array, by Gauss-Legendre on many panels: to 1e-13 of it."""
    ends = np.linspace(low, high, panels + 1)
    half = np.diff(ends) / 2
    places = (ends[:-1] + half)[:, None] + half[:, None] * NODES
    return float((function(places) * SHARES * half[:, None]).sum())


def js_by_quadrature(family, m, s, n, t):
    def log(x, m, s):
        z = (x - m) / s
        return -np.log(s) - (z * z / 2 + np.log(2 * np.pi) / 2 if family == "normal" else z)

    def at(x):
        u, v = log(x, m, s), log(x, n, t)
        return (np.exp(u) * half_log(v - u) + np.exp(v) * half_log(u - v)) / 2

    def half_log(z):
        return np.log(2) - np.logaddexp(0, z)

    if family == "exponential":
        return summed(at, 0, 40 * max(s, t))
    return summed(at, min(m - 9 * s, n - 9 * t), max(m + 9 * s, n + 9 * t))


@dataclass(frozen=True)
class Distribution:
    """A distribution function of width ``width``, or its upper tail."""

    family: str
    width: float
    power: float = 1.0
    upper: bool = False
    place: float = 0.0
    fault: tuple = ()  # of one value

    def __call__(self, x):
        z = (x - self.place) / self.width
        if self.fault and z > 0.5:
            return self.fault[0]
        if self.family == "logistic":
            z = -z if self.upper else z
            return 1 / (1 + math.exp(-z)) if z > -700 else 0.0
        if self.family == "exponential":
            return math.exp(-max(z, 0)) if self.upper else -math.expm1(-max(z, 0))
        if self.family == "two points":
            below = float(self.power) * (z >= 0) if z < 1 else 1.0
        else:
            below = min(max(z, 0.0), 1.0) ** self.power
        return 1 - below if self.upper else below


def bridge(rng):
    family = str(rng.choice(["uniform", "power", "exponential", "logistic", "two points"]))
    width = float(rng.choice([1.0, 0.1, 7.0]))
    extreme = rng.random() < 0.1
    if extreme:
        width *= float(rng.choice([1e-12, 1e12, 1e-300, 1e300]))
    power = {"power": float(rng.choice([0.5, 2.0, 3.0])), "two points": float(rng.choice([0.5, 0.1]))}
    power = power.get(family, 1.0)
    a = real(power)
    unit = {
        "exponential": lambda: mp.pi / 2,
        "logistic": lambda: mp.pi,
        "two points": lambda: mp.sqrt(a * (1 - a)),
    }.get(family, lambda: mp.beta(mp.mpf(1) / 2 + 1 / a, mp.mpf(3) / 2) / a)()
    tail = family in ("exponential", "logistic")
    low, high = (-math.inf if family == "logistic" else 0.0), (math.inf if tail else width)
    if family == "two points":
        low = -width
    place = float(rng.choice([0, 0, 16, 1000, -2e5])) if width in (1, 0.1, 7) else 0.0
    far = 1e4 if family == "logistic" and rng.random() < 0.3 else math.inf
    ends = (max(low, -far) + place, min(high, far) + place)
    plain = {"cdf": Distribution(family, width, power, False, place), "support": ends}
    if tail or rng.random() < 0.5:
        plain["sf"] = Distribution(family, width, power, True, place)
    value, kind = exact(mp.sqrt(2 / mp.pi) * unit * real(width)), "extreme" if extreme else "valid"
    return Made(plain, [value], FINE, kind=kind)


@dataclass(frozen=True)
class Gap:
    """h, or the density of the interpolates, of two laws on (0, width)."""

    family: str
    width: float
    part: str
    fault: tuple = ()  # of one value

    def __call__(self, x):
        z = x / self.width
        if self.fault and 0.3 < z < 0.6:
            return self.fault[0]
        if self.part == "density":
            return (-math.log(z) if z > 0 else 0.0) / self.width if self.family == "point" else 1 / self.width
        return {"point": 1 - z, "two points": 1.0, "bump": 4 * z * (1 - z), "odd": z - 0.5}[self.family]


def penalised(rng):
    """A point against an interval, two points, or h a polynomial on a flat density."""
    family, width = (
        str(rng.choice(["point", "two points", "bump", "odd"])),
        float(rng.choice([1.0, 0.5, 3.0])),
    )
    extreme = rng.random() < 0.1
    if extreme:
        width *= float(rng.choice([1e-12, 1e9, 1e-300, 1e200]))
    weight = float(rng.choice([10.0, 0.1, 1.0, 1e-300, 1e300]))
    w1, crowd = {
        "point": (HALF, exact(mp.log(mp.mpf(4) / 3))),
        "two points": (Fraction(1), Fraction(1)),
        "bump": (Fraction(2, 3), Fraction(16, 30)),
        "odd": (Fraction(1, 4), Fraction(1, 12)),
    }[family]
    w, lam = Fraction(width), Fraction(weight)
    w1, crowd = w1 * w, crowd * w * w
    value = [w1, crowd, w1 + crowd / (2 * lam), w1 + crowd / (4 * lam), crowd / (2 * lam) - w1]
    plain = {"h": Gap(family, width, "h"), "density": Gap(family, width, "density"), "support": (0.0, width)}
    kind = "extreme" if extreme or max(value) > LARGEST else "valid"
    return Made(plain | {"weight": weight}, value, FINE * max(1, 1 / lam), kind=kind)


def interpolates(rng):
    d = int(rng.integers(1, 4))
    p, q = (rng.integers(-2, 3, (rng.integers(1, 3), d)) for _ in range(2))
    s, t = (Fraction(str(rng.choice(["0.25", "1", "2"]))) for _ in range(2))
    x, log, unit = rng.integers(-6, 7, (2, d)), bool(rng.random() < 0.5), scale(rng, 1000)
    offset = 2 ** int(rng.choice([0, 0, 0, 40])) if unit == 1 else 0

    def at(z):
        """The logarithm of the density for widths and distances in units."""
        squares = [((z - v) ** 2, (z - v) * (u - v), (u - v) ** 2) for u, v in itertools.product(p, q)]
        squares = np.array(squares).sum(2).tolist()

        def logs(e):
            var = 2 * ((e * float(s)) ** 2 + ((1 - e) * float(t)) ** 2)
            return [-(a - 2 * e * b + e * e * c) / var - d / 2 * np.log(np.pi * var) for a, b, c in squares]

        most = max(log.max() for log in logs(np.linspace(0, 1, 999)))
        return most + np.log(
            summed(lambda e: sum(np.exp(log - most) for log in logs(e)), 0, 1) / len(squares)
        )

    value = [mp.mpf(at(z)) - d * mp.log(real(unit)) for z in x / 2]
    value = [exact(v if log else mp.exp(v)) for v in value]
    peak = (min(s, t) * unit) ** -d
    plain = {
        "x": floats(x + 2 * offset, unit / 2),
        "means_p": floats(p + offset, unit),
        "std_p": float(s * unit),
    }
    plain |= {"means_q": floats(q + offset, unit), "std_q": float(t * unit), "log": log}
    return Made(plain, value, Fraction(100) if log else peak, [unit, *([] if log else [*value, peak])])


MAKERS = {
    "kl_density": densities("kl"),
    "js_density": densities("js"),
    "tv_density": densities("tv"),
    "bridge_constant": bridge,
    "penalised_line": penalised,
    "interpolate_density": interpolates,
}
