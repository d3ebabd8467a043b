"""Makers of laws and samples, with the exact divergence or metric; for ``hostile_cases``."""

import itertools
import math
from fractions import Fraction

import hostile
import numpy as np
from hostile import floats, scale
from hostile_exact import KINDS, SHORT, Made, as_64, exact, mp, real

# Laws


SMALL = [5e-324, 1e-300, 1e-160, math.exp(-800), math.exp(-700), 1e-17, 1e-12]


def law(rng, n):
    """Weights (n,): sixteenths, any, with tiny ones, or one point's."""
    style = rng.integers(4)
    if style == 0:
        return rng.multinomial(16, np.ones(n) / n) / 16
    if style == 1:
        return np.eye(n)[rng.integers(n)]
    w = rng.dirichlet(np.ones(n))
    if style == 2:
        w = np.where(rng.random(n) < 0.6, rng.choice(SMALL, n), w)
        w[rng.integers(n)] = 0
        w[np.argmin(w)] = 1 - w.sum()
    return w


def laws(rng):
    """Two laws, equal, nearly equal, without a common point or any; at times short or off by 5e-10; kinds."""
    n = int(rng.integers(2, 7))
    p, q = law(rng, n), law(rng, n)
    how = rng.random()
    if how < 0.1:
        q = p.copy()
    elif how < 0.3:
        p = rng.dirichlet(np.ones(n)) if p.min() < 1e-3 or p.max() == 1 else p
        q = p + p[0] / 2 * float(rng.choice([1e-6, 1e-10, 1e-12, 2e-16])) * (np.eye(n)[0] - np.eye(n)[1])
        q = np.maximum(q, 0)
    elif how < 0.4:
        p, q = np.append(p, 0 * q), np.append(0 * p, q)
    if rng.random() < 0.2:
        kinds = dict(zip("pq", rng.choice(SHORT, 2).tolist(), strict=True))
        short = {name: as_64(KINDS[kinds[name]](w)) for name, w in (("p", p), ("q", q))}
        return short, kinds
    if rng.random() < 0.05:
        p = p * (1 + 5e-10)
    return {"p": p, "q": q}, {}


def rational(w, *, always=False):
    """The weights as fractions; of a total that is off by more than 1e-9, or always, divided by it."""
    w = [Fraction(v) for v in w.tolist()]
    return [v / sum(w) for v in w] if always or abs(sum(w) - 1) > Fraction(1, 10**9) else w


def kl_of(p, q):
    terms = [real(a) * mp.log(real(a) / real(b)) if b else mp.inf for a, b in zip(p, q, strict=True) if a]
    return max(mp.fsum(terms), mp.mpf(0))


def js_of(p, q):
    m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return min((kl_of(p, m) + kl_of(q, m)) / 2, mp.log(2))


def tv_of(p, q):
    return min(real(sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2), mp.mpf(1))


def base_of(rng):
    base = [None, None, 2, 10.0, 1.5, np.float32(3), 10**400][rng.integers(7)]
    if base is None:
        return {}, mp.mpf(1)
    return {"base": base}, mp.log(mp.mpf(base if isinstance(base, int) else float(base)))


def divergence(value_of, *, unit=True):
    def make(rng):
        plain, kinds = laws(rng)
        base, log = base_of(rng) if unit else ({}, mp.mpf(1))
        both = [value_of(*(rational(w, always=always) for w in plain.values())) for always in (0, 1)]
        values = sorted(exact(v / log) if value_of is not rooted else exact(v / mp.sqrt(log)) for v in both)
        return Made(plain | base, [tuple(values)], exact(1 / min(log, 1)), kinds=kinds)

    return make


def rooted(p, q):
    return mp.sqrt(js_of(p, q))


def normal_numbers(rng):
    size = [float(rng.choice([1.0, 3.0, 0.1, 1e-12, 1e-300, 5e-324, 1e150, 1e300])) for _ in range(4)]
    if rng.random() < 0.6:
        size = [1.0] * 4
    m_p, m_q = float(rng.normal()) * size[0], float(rng.normal()) * size[1]
    s_p, s_q = size[2] * (0.5 + rng.random() if size[2] > 1e-320 else 1), size[3]
    if rng.random() < 0.2:
        m_q, s_q = m_p * (1 + 1e-12), s_p * (1 - 1e-12)
    return m_p, s_p, m_q, s_q or 5e-324


def kl_of_normals(m_p, s_p, m_q, s_q):
    m_p, s_p, m_q, s_q = map(real, (m_p, s_p, m_q, s_q))
    return mp.log(s_q / s_p) + (s_p**2 + (m_p - m_q) ** 2) / (2 * s_q**2) - mp.mpf(1) / 2


def normals(rng):
    numbers = normal_numbers(rng)
    base, log = base_of(rng)
    nats = kl_of_normals(*numbers)
    names = ("mean_p", "std_p", "mean_q", "std_q")
    fits = [exact(nats), Fraction(numbers[0]) - Fraction(numbers[2])]
    plain = {name: np.float64(number) for name, number in zip(names, numbers, strict=True)}
    return Made(plain | base, [exact(nats / log)], exact(1 / min(log, 1)), fits)


def best(a, b, real_label, fake_label):
    return (Fraction(real_label) * a + Fraction(fake_label) * b) / (a + b) if a + b else math.nan


def discriminator(rng):
    n = int(rng.integers(1, 6))
    sizes = rng.choice([0.0, 1.0, 1.0, 1e-300, 5e-324, 1e300, 1.7e308], (2, n))
    p, q = np.where(np.isin(sizes, [0.0, 5e-324, 1.7e308]), sizes, sizes * rng.random((2, n)))
    labels = {}
    if rng.random() < 0.5:
        labels = {"real_label": float(rng.random()), "fake_label": float(rng.choice([0.0, 0.1, 1.0]))}
    answers = labels.get("real_label", 1), labels.get("fake_label", 0)
    value = [best(Fraction(a), Fraction(b), *answers) for a, b in zip(p.tolist(), q.tolist(), strict=True)]
    return Made({"p": p, "q": q} | labels, value)


def game(rng):
    plain, kinds = laws(rng)
    p, q = (rational(w) for w in plain.values())
    exactly = [best(a, b, 1, 0) for a, b in zip(p, q, strict=True)]
    rounded = np.array([float(v) for v in exactly])
    D, dtype = rounded, str(rng.choice([*SHORT, "float64"]))
    if rng.random() < 0.5:
        D = rng.choice([0.0, 1.0, 0.25, 1e-300, 1 - 2.0**-30, 0.7], len(p))
    D, rounded = (as_64(KINDS[dtype](values)) for values in (D, rounded))
    total = mp.mpf(0)
    for a, b, d, r, v in zip(p, q, D.tolist(), rounded.tolist(), exactly, strict=True):
        if a + b:
            d = v if d == r else Fraction(d)
            for mass, share in ((a, d), (b, 1 - d)):
                if mass:
                    total += real(mass) * mp.log(real(share)) if share else -mp.inf
    return Made(plain | {"D": D}, [exact(total)], Fraction(1), kinds=kinds | {"D": dtype})


# Metrics


def frechet(rng):
    plain, (w2,), bound, fits = hostile.normals(rng)
    bound = bound**2 if bound < 20 * fits[0] else bound * bound  # 100 roots of the trace, where singular
    return Made(plain, [w2**2], bound * 1000, [*fits, w2**2, bound])


def inception(rng):
    n, k = rng.integers(1, 5), int(rng.integers(2, 6))
    p = np.stack([law(rng, k) for _ in range(n)])
    if rng.random() < 0.2:
        p = p * (1 + rng.uniform(-9e-7, 9e-7, (n, 1)))
    rows = [rational(row, always=True) for row in p]
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return Made({"probabilities": p}, [exact(mp.exp(mp.fsum(kl_of(row, mean) for row in rows) / len(rows)))])


def linear_kernel(x, y):
    return x @ y.T


def discrepancy(rng):
    d, kernel = int(rng.integers(1, 4)), rng.random() < 0.5
    x, y = (rng.integers(-9, 10, (rng.integers(2, 6), d)).tolist() for _ in range(2))
    unit = scale(rng)

    def k(u, v):
        dot = sum(a * b for a, b in zip(u, v, strict=True)) * unit**2
        return dot if kernel else (dot / d + 1) ** 3

    value, largest = -2 * sum(k(u, v) for u in x for v in y) / (len(x) * len(y)), Fraction(0)
    for cloud in (x, y):
        pairs = [k(u, v) for u, v in itertools.permutations(cloud, 2)]
        value += sum(pairs) / len(pairs)
        largest = max(largest, *(abs(k(u, v)) for u in cloud for v in [*x, *y]))
    options = {"kernel": linear_kernel} if kernel else {}
    return Made({"x": floats(x, unit), "y": floats(y, unit)} | options, [value], largest, [largest * 2**10])


def squared(u, v):
    return sum((a - b) ** 2 for a, b in zip(u, v, strict=True))


def share_inside(x, sample, k):
    radius = [sorted(squared(u, v) for v in sample)[k] for u in sample]
    hits = [any(squared(u, v) <= r for v, r in zip(sample, radius, strict=True)) for u in x]
    return Fraction(sum(hits), len(hits))


def neighbours(rng):
    d, k = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    x, y = (rng.integers(-5, 6, (rng.integers(k + 1, 9), d)) for _ in range(2))
    offset, unit = 2 ** int(rng.choice([0, 0, 0, 40])), scale(rng, of=((2**41,),))
    x, y = (x + offset).tolist(), (y + offset).tolist()
    value = [share_inside(y, x, k), share_inside(x, y, k)]
    return Made({"real": floats(x, unit), "fake": floats(y, unit), "k": k}, value, fits=[unit, unit**2])


def modes(rng):
    d, unit = int(rng.integers(1, 4)), scale(rng, of=((9,),))
    x, centres = (rng.integers(-5, 6, (rng.integers(1, 7), d)).tolist() for _ in range(2))
    radius = Fraction(str(rng.choice(["1", "2", "5", "1.5", "0.25"])))
    ways = [[squared(u, c) for c in centres] for u in x]
    near = [row.index(min(row)) for row in ways if min(row) <= radius**2]
    value = [Fraction(len(set(near))), Fraction(len(near), len(x))]
    plain = {"x": floats(x, unit), "centres": floats(centres, unit), "radius": float(radius * unit)}
    return Made(plain, value, fits=[unit**2, 9 * unit])


def principal(rng):
    """Corners of a box, whose sides are along the principal directions, turned in one plane."""
    d = int(rng.integers(1, 4))
    corners = np.array(list(itertools.product([-1, 1], repeat=d))).repeat(2, 0)
    k = int(rng.integers(1, d + 1))
    sides, other, fakes = rng.permutation([1, 2, 4])[:d], int(rng.integers(1, 3)), rng.integers(1, 6, d)
    shift, turn, unit = rng.integers(-3, 4, d), np.eye(d, dtype=int), scale(rng, 500)
    length = 1
    if d > 1 and rng.random() < 0.5:
        turn, length = 5 * turn, 25
        turn[:2, :2] = [[3, -4], [4, 3]]
    n, chosen = len(corners), np.argsort(sides)[-k:].tolist()
    grown = Fraction(n, n - 1)

    def distance(spread, moved):
        return sum(
            int(moved[j]) ** 2
            + (grown * (int(sides[j]) ** 2 + int(spread[j]) ** 2))
            - 2 * grown * int(sides[j] * spread[j])
            for j in chosen
        )

    value = [length * distance(fakes, shift) * unit**2, length * distance(sides * other, 0 * shift) * unit**2]
    rows = [corners * sides, corners[rng.permutation(n)] * sides * other, corners * fakes + shift]
    names = ("real", "other_real", "fake")
    plain = {name: floats(x @ turn, unit) for name, x in zip(names, rows, strict=True)} | {"components": k}
    return Made(plain, value, 400 * length * unit**2, [unit, unit**4])


MAKERS = {
    "kl": divergence(kl_of),
    "js": divergence(js_of),
    "tv": divergence(tv_of, unit=False),
    "js_distance": divergence(rooted),
    "kl_normal": normals,
    "optimal_discriminator": discriminator,
    "gan_value": game,
    "frechet_distance": frechet,
    "inception_score": inception,
    "mmd": discrepancy,
    "precision_recall": neighbours,
    "mode_coverage": modes,
    "principal_frechet": principal,
}
