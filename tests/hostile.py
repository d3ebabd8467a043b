"""Inputs for every transport function, valid and faulty, with the exact answer; and the judge of answers.

``case(index)`` makes one input from its number alone. Coordinates, costs and masses are small whole numbers
times powers of 2, which float64 holds exactly at any scale, so that answers are known exactly: whole masses
are repeated and assigned (``linear_sum_assignment`` on whole numbers), quantiles and closed forms are
computed in rational numbers, roots and exponentials to 120 digits.
"""

import math
import pickle
import warnings
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from wganlab import transport
from wganlab.errors import InputError, SolverError

SEED = 2024
TOLERANCE = Fraction(1, 10**9)  # of an answer, relative to the bound of its case
LEAST, LARGEST = Fraction(2) ** -1021, Fraction(2) ** 1010  # beyond, an answer may not fit into float64
SCALES = [-1060, -996, -500, -150, -53, -10, 10, 53, 150, 500, 996, 1010]  # 2^996 is 7e299
FINEST = Fraction(2) ** -1074  # between neighbouring floats below 1e-308
BITS = 36  # binary places of a distance that is not whole, in an assignment
DIGITS = 120


@dataclass
class Case:
    """One input: ``plain`` float64 arrays, ``given`` the same as other kinds of array, or with a fault."""

    function: str
    plain: dict
    value: (
        list  # the exact answer: Fractions or intervals (low, high) of two, or infinity or NaN; all entries
    )
    bound: Fraction | list  # the largest cost times the mass, or what stands for it, at times for each entry
    about: str = "plain"
    kind: str = "valid"  # or extreme: valid, but a refusal is right, too; or faulty
    given: dict = field(default_factory=dict)


# Exact answers


def decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def root(value: Fraction, p: int) -> Fraction:
    with localcontext(prec=DIGITS):
        return Fraction(decimal(value) ** (1 / Decimal(p))) if value else Fraction(0)


def distances(x, y, p):
    """|x_i - y_j|^p (n, m) between rows of whole numbers, in multiples of 2^-BITS."""

    def power(squared):
        whole = math.isqrt(squared**p)
        exact = whole**2 == squared**p
        return Fraction(whole) if exact else Fraction(math.isqrt(squared**p << 2 * BITS), 2**BITS)

    return [[power(sum((s - t) ** 2 for s, t in zip(u, v, strict=True))) for v in y] for u in x]


def assigned(cost, a, b) -> Fraction:
    """The least cost of moving whole masses a to b, for costs in multiples of 2^-BITS."""
    rows, columns = np.repeat(np.arange(len(a)), a), np.repeat(np.arange(len(b)), b)
    matrix = np.array([[int(c * 2**BITS) for c in row] for row in cost], dtype=object)[np.ix_(rows, columns)]
    assert max(map(abs, matrix.flat)) * len(rows) < 2**53  # so that all sums in float64 are exact
    return Fraction(sum(matrix[linear_sum_assignment(matrix.astype(float))]), 2**BITS)


def quantile_moves(x, y, a, b):
    """(way, mass) of the monotone plan between laws on the line, for whole or rational numbers."""
    laws = [
        [[z, w] for z, w in sorted(zip(points, masses, strict=True)) if w]
        for points, masses in ((x, a), (y, b))
    ]
    while all(laws):
        ends = [law[-1] for law in laws]
        mass = min(end[1] for end in ends)
        yield abs(ends[0][0] - ends[1][0]), mass
        for law, end in zip(laws, ends, strict=True):
            end[1] -= mass
            if not end[1]:
                law.pop()


def entropic(cost, a, b, epsilon) -> tuple[Fraction, Fraction]:
    """<plan, cost>, and that + epsilon KL(plan | a b), of the entropic plan between two and two points."""
    with localcontext(prec=DIGITS):
        (a1, a2), (b1, b2) = ([decimal(w) for w in masses] for masses in (a, b))
        (c11, c12), (c21, c22) = ([decimal(c) for c in row] for row in cost)
        epsilon = decimal(epsilon)
        k = ((c12 + c21 - c11 - c22) / epsilon).exp()  # = g11 g22 / (g12 g21), a quadratic equation for g11
        half = 1 + (k - 1) * (a1 + b1)
        other = max(half * half + 4 * (1 - k) * k * a1 * b1, Decimal(0)).sqrt()
        g = 2 * k * a1 * b1 / (half + other) if half > 0 else (other - half) / (2 * (1 - k))
        moved = (
            (g, c11, a1 * b1),
            (a1 - g, c12, a1 * b2),
            (b1 - g, c21, a2 * b1),
            (a2 - b1 + g, c22, a2 * b2),
        )
        moved = [(max(mass, Decimal(0)), c, free) for mass, c, free in moved if free]
        value = sum(mass * c for mass, c, _ in moved)
        kl = sum(mass * (mass / free).ln() for mass, _, free in moved if mass)
        return Fraction(value), Fraction(value + epsilon * kl)


# Valid inputs, one maker a function: plain arrays, the exact answer, its bound, and what else must fit


def scale(rng, most: int = 1100, of=((0,),)) -> Fraction:
    """A power of 2, half of the time 1, that leaves the coordinates ``of`` points finite."""
    most = (
        min(most, 1020 - max(abs(z) for row in of for z in row).bit_length()) if any(map(any, of)) else most
    )
    fitting = [k for k in SCALES if abs(k) <= most]
    return Fraction(2) ** int(rng.choice(fitting)) if rng.random() < 0.5 else Fraction(1)


def floats(whole, unit: Fraction = Fraction(1)) -> np.ndarray:
    """Whole or rational numbers times a unit as float64, which must be exact."""
    exact = np.vectorize(lambda w: Fraction(w) * unit, otypes=[object])(np.array(whole, dtype=object))
    array = exact.astype(float)
    assert all(Fraction(f) == e for f, e in zip(array.flat, exact.flat, strict=True))
    return array


def masses(rng, n, m):
    """Arguments a and b, or none for uniform ones; the masses in whole numbers; and their unit."""
    if rng.random() < 0.25:
        total = math.lcm(n, m)
        return {}, [total // n] * n, [total // m] * m, Fraction(1, total)
    a = rng.integers(0, 4, n)
    a[rng.integers(n)] += 1
    b = rng.multinomial(a.sum(), np.ones(m) / m)  # many are 0
    unit = scale(rng)
    return {"a": floats(a, unit), "b": floats(b, unit)}, a.tolist(), b.tolist(), unit


def points(rng, d, *, far=True):
    """Whole coordinates x, y with many ties, at times x = y or one point, at times far from 0."""
    n, m = rng.integers(1, 7, 2)
    reach = rng.choice([1, 3])
    x, y = rng.integers(-reach, reach + 1, (n, d)), rng.integers(-reach, reach + 1, (m, d))
    if rng.random() < 0.1:
        y = x[rng.permutation(n)]
    offset = 2 ** int(rng.choice([20, 40])) if far and rng.random() < 0.1 else 0
    return (x + offset).tolist(), (y + offset).tolist()


def from_cost(rng):
    if rng.random() < 0.15:  # on the line, with masses from 1 to 2^-50
        x, y = points(rng, 1)
        x, y = [z for (z,) in x], [z for (z,) in x]
        a = [Fraction(int(rng.integers(1, 4)), 2 ** int(rng.integers(0, 50))) for _ in x]
        b = [a[i] for i in rng.permutation(len(a))]
        cost, handed, unit = (
            np.abs(np.subtract.outer(x, y)).tolist(),
            {"a": floats(a), "b": floats(b)},
            Fraction(1),
        )
        value = sum(way * mass for way, mass in quantile_moves(x, y, a, b))
    else:
        n, m = rng.integers(1, 7, 2).tolist()
        most = int(rng.choice([2, 4, 1000]))
        cost = rng.integers(-most if rng.random() < 0.2 else 0, most, (n, m)).tolist()
        handed, a, b, unit = masses(rng, n, m)
        value = assigned(cost, a, b)
    largest = max(abs(c) for row in cost for c in row)
    high = scale(rng)
    plain = {"cost": floats(cost, high), **handed}
    return plain, [value * high * unit], largest * high * sum(a) * unit, [largest * high, sum(a) * unit]


def from_points(rng, powers=(1, 2, 3)):
    p, (x, y) = int(rng.choice(powers)), points(rng, int(rng.integers(1, 4)))
    handed, a, b, unit = masses(rng, len(x), len(y))
    cost = distances(x, y, p)
    largest, high = max(max(row) for row in cost), scale(rng, of=x + y)
    plain = {"x": floats(x, high), "y": floats(y, high), **handed}
    if len(powers) > 1:
        plain["p"] = p
    fits = [largest * high**p, max(abs(z) for row in x + y for z in row) * high, sum(a) * unit]
    return plain, [assigned(cost, a, b) * high**p * unit], largest * high**p * sum(a) * unit, fits


def on_the_line(rng):
    x, y = ([z for (z,) in cloud] for cloud in points(rng, 1))
    handed, a, b, unit = masses(rng, len(x), len(y))
    high, p = scale(rng, of=[x, y]), [1, 1, 2, 3, math.inf][rng.integers(5)]
    moves, total = list(quantile_moves(x, y, a, b)), sum(a)
    longest = max(way for way, _ in moves)
    value = longest if p == math.inf else root(Fraction(sum(way**p * w for way, w in moves), total), p)
    plain = {"x": floats(x, high), "y": floats(y, high), **handed, "p": p}
    fits = [longest * high, max(abs(z) for z in x + y) * high, total * unit]
    return plain, [value * high], longest * high, fits


def flow(rng):
    n = int(rng.integers(1, 9))
    P = rng.integers(0, 4, n)
    P[rng.integers(n)] += 1
    Q, unit = rng.multinomial(P.sum(), np.ones(n) / n), scale(rng)
    value = [0, *np.cumsum(P - Q).tolist()]
    bound = int(P.sum()) * unit
    return {"P": floats(P, unit), "Q": floats(Q, unit)}, [v * unit for v in value], bound, [bound]


def transform(rng):
    n, m = rng.integers(1, 7, 2)
    cost, phi, unit = rng.integers(-9, 10, (n, m)), rng.integers(-9, 10, n), scale(rng)
    value = (cost - phi[:, None]).min(0).tolist()
    bound = 18 * unit
    return {"phi": floats(phi, unit), "cost": floats(cost, unit)}, [v * unit for v in value], bound, [bound]


def normals(rng):
    d, far, high = int(rng.integers(1, 3)), scale(rng), scale(rng, 500)
    (m, r), (n, s) = ((rng.integers(-3, 4, d), rng.integers(-3, 4, (d, d))) for _ in range(2))
    if rng.random() < 0.3:
        n, s = m, r * int(rng.choice([1, 2]))
    P, Q = r @ r.T, s @ s.T
    dets = abs(round(np.linalg.det(r)) * round(np.linalg.det(s)))  # = root of det P det Q
    trace = int(np.trace(P + Q))
    cross = root(Fraction(int(np.trace(P @ Q)) + (2 * dets if d == 2 else 0)), 2)  # of the root of P Q
    shift, spread = int(((m - n) ** 2).sum()) * far**2, max(trace - 2 * cross, Fraction(0)) * high**2
    plain = {"mean_p": floats(m, far), "cov_p": floats(P, high**2)}
    plain |= {"mean_q": floats(n, far), "cov_q": floats(Q, high**2)}
    bound = root(shift + trace * high**2, 2)
    if not dets:  # a rounding error of 1e-16 in a singular covariance moves the distance by 1e-8
        bound += 100 * root(trace * high**2, 2)
    return plain, [root(shift + spread, 2)], bound, [bound, far, trace * high**2]


def two_groups(rng, n):
    """For each of n points one of two places, whole masses of the points, and masses of the places."""
    group, w = rng.integers(0, 2, n), rng.integers(0, 4, n)
    w[rng.integers(n)] += 1
    return group.tolist(), w.tolist(), [Fraction(int(w[group == g].sum()), int(w.sum())) for g in (0, 1)]


def regularised(rng):
    """Points that share one of two and two places, and a cost r_i + s_j more, which changes no plan."""
    n, m = rng.integers(1, 7, 2)
    (rows, a, left), (columns, b, right) = two_groups(rng, n), two_groups(rng, m)
    base, r, s = rng.integers(0, 10, (2, 2)), rng.integers(0, 3, n), rng.integers(0, 3, m)
    cost = base[np.ix_(rows, columns)] + r[:, None] + s
    epsilon, high, unit = Fraction(2) ** int(rng.integers(-2, 7)), scale(rng), scale(rng)
    if rng.random() < 0.1:
        epsilon /= 2**10
    value = entropic([[Fraction(int(c)) for c in row] for row in base], left, right, epsilon)[0]
    value += Fraction(int(r @ a), sum(a)) + Fraction(int(s @ b), sum(b))
    a, b = [w * sum(b) for w in a], [w * sum(a) for w in b]
    largest, total = int(cost.max()) * high, sum(a) * unit
    plain = {
        "cost": floats(cost, high),
        "a": floats(a, unit),
        "b": floats(b, unit),
        "epsilon": float(epsilon * high),
    }
    return plain, [value * high * total], largest * total, [largest, total, epsilon * high]


def debiased(rng):
    """Two laws on two places each, which their points share."""
    d, p = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    places = [rng.integers(-3, 4, (2, d)).tolist() for _ in range(2)]
    if rng.random() < 0.2:
        places[1] = places[0]
    (rows, a, left), (columns, b, right) = (two_groups(rng, int(rng.integers(1, 7))) for _ in range(2))
    epsilon, high, unit = Fraction(2) ** int(rng.integers(-1, 6)), scale(rng, 500), scale(rng)

    def between(i, j):
        return entropic(distances(places[i], places[j], p), (left, right)[i], (left, right)[j], epsilon)[1]

    value = between(0, 1) - between(0, 0) / 2 - between(1, 1) / 2
    x, y = [places[0][g] for g in rows], [places[1][g] for g in columns]
    largest = max(c for u, v in ((x, y), (x, x), (y, y)) for row in distances(u, v, p) for c in row)
    a, b = [w * sum(b) for w in a], [w * sum(a) for w in b]
    plain = {"x": floats(x, high), "y": floats(y, high), "a": floats(a, unit), "b": floats(b, unit)}
    plain |= {"epsilon": float(epsilon * high**p), "p": p}
    value = max(value, 0) if largest else 0
    return (
        plain,
        [value * high**p],
        (largest + epsilon) * high**p,
        [largest * high**p, epsilon * high**p, sum(a) * unit],
    )


def sliced(rng):
    """On the line; or equal laws; or shadows on the axes, longer or shorter rows of which are the same."""
    d, p, high = int(rng.integers(1, 4)), int(rng.integers(1, 4)), scale(rng)
    x, y = points(rng, d, far=False)
    handed, a, b, unit = masses(rng, len(x), len(y))
    plain, value = {"p": p}, Fraction(0)
    if d > 1 and rng.random() < 0.2:
        y, b, handed = x, a, {} if not handed else {"a": handed["a"], "b": handed["a"]}
        plain["projections"] = 7
    else:
        axes = rng.integers(0, d, 4)
        plain["projections"] = (
            floats(np.eye(d, dtype=int)[axes] * rng.choice([-4, 1, 2]), scale(rng)) if d > 1 else 3
        )
        for k in axes:
            moves = quantile_moves([z[k] for z in x], [z[k] for z in y], a, b)
            value += Fraction(sum(way**p * w for way, w in moves), 4 * sum(a))
    plain |= {"x": floats(x, high), "y": floats(y, high), **handed}
    longest = max(max(row) for row in distances(x, y, 1)) * high
    fits = [longest, max(abs(z) for row in x + y for z in row) * high, sum(a) * unit]
    return plain, [root(value, p) * high], longest, [*fits, Fraction(float(np.max(plain["projections"])))]


MAKERS = {
    "emd_from_cost": from_cost,
    "emd": from_points,
    "emd_lp": from_cost,
    "wasserstein_1d": on_the_line,
    "cumulative_flow": flow,
    "kantorovich_potential": lambda rng: from_points(rng, powers=(1,)),
    "c_transform": transform,
    "gaussian_w2": normals,
    "sinkhorn": regularised,
    "sinkhorn_divergence": debiased,
    "sliced_wasserstein": sliced,
}


ORDER = list(MAKERS)  # of the functions, one input after the other


# The same numbers as other kinds of array


def strided(array):
    wide = np.full([2 * k for k in array.shape], np.nan)
    inner = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    inner[...] = array
    return inner


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


KINDS = {
    "float64": np.copy,
    "float32": lambda array: array.astype(np.float32),
    "int64": lambda array: array.astype(np.int64),
    "uint8": lambda array: array.astype(np.uint8),
    "bool": lambda array: array.astype(bool),
    "longdouble": lambda array: array.astype(np.longdouble),
    "big-endian": lambda array: array.astype(">f8"),
    "list": np.ndarray.tolist,
    "tuple": lambda array: tuple(array.tolist()),
    "column-major": np.asfortranarray,
    "strided": strided,
    "backwards": lambda array: array[::-1].copy()[::-1],
    "read-only": read_only,
    "torch float64": torch.tensor,
    "torch float32": lambda array: torch.tensor(array, dtype=torch.float32),
    "torch int64": lambda array: torch.tensor(array.astype(np.int64)),
    "torch float64 with grad": lambda array: torch.tensor(array, requires_grad=True),
    "torch float32 with grad": lambda array: torch.tensor(array, dtype=torch.float32, requires_grad=True),
}


def as_numpy(value):
    """A tensor as an array; all else as it is."""
    if torch.is_tensor(value) and value.dtype == torch.bfloat16:  # which numpy has not
        value = value.float()
    return value.detach().numpy() if torch.is_tensor(value) else value


def handed_as(kind, array, kinds=KINDS):
    """The array as that kind, or as a copy where that kind cannot hold its numbers."""
    with np.errstate(all="ignore"):
        other = kinds[kind](array)
        same = np.array_equal(np.asarray(as_numpy(other), dtype=np.float64), array)
    return other if same else array.copy()


# Faults


def put(value):
    def spoil(array):
        array = array.copy()
        array.flat[-1] = value
        return array

    return spoil


ARRAY_FAULTS = {
    "NaN": put(math.nan),
    "infinity": put(math.inf),
    "-infinity": put(-math.inf),
    "NaN, torch": lambda array: torch.tensor(put(math.nan)(array), requires_grad=True),
    "empty": lambda array: array[:0],
    "complex": lambda array: array + 0j,
    "complex, torch": lambda array: torch.tensor(array + 1j),
    "words": lambda array: np.full(array.shape, "many").tolist(),
    "numbers as text": lambda array: array.astype(str).tolist(),
    "dates": lambda array: np.zeros(array.shape, "datetime64[s]"),
    "rows of None": lambda array: [None] * len(array),
    "one None": lambda array: put(None)(array.astype(object)),
    "ragged": lambda array: [*array.tolist(), [*np.ravel(array.tolist()), 0.0]],
    "one dimension more": lambda array: array[None],
    "masked": lambda array: np.ma.masked_equal(array, array.flat[0]),
    "a mapping": lambda array: dict(enumerate(array.tolist())),
}
NUMBER_FAULTS = {
    "p": [0.5, 0, -1, math.nan, "two"],
    "epsilon": [0.0, -1.0, math.nan, math.inf, "many"],
    "projections": [0, -1, 2.5, math.nan, [[0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0, 0.0]], [[math.nan] * 3]],
}


def mass_faults(w):
    """Masses (n,) that are none, by name; their total is kept where it is not the fault."""
    negative = np.append(-w[0] - w.sum(), w[1:]) if len(w) > 1 else -w
    if len(w) > 1:
        negative[1] += 2 * w[0] + w.sum()
    wrong = {
        "negative mass": negative if negative.min() < 0 else -w,
        "no mass": np.zeros_like(w),
        "unequal totals": w * 1.5,
        "totals unequal by 1e-6": w * (1 + 1e-6),
        "one mass too many": np.append(w, 0.0),
        "a total beyond float64": np.full_like(w, 1.7e308),
    }
    return {name: v for name, v in wrong.items() if not np.array_equal(v, w)}  # lost below 1e-308


def faults(function, plain):
    """(name, arguments) of all that can be wrong with one argument."""
    n = {"a": len(plain.get("x", plain.get("cost", "."))), "b": 0}
    if "x" in plain:
        n["b"] = len(plain["y"])
    elif "cost" in plain:
        n["b"] = plain["cost"].shape[1]
    for name, array in plain.items():
        if isinstance(array, np.ndarray) and name != "projections":
            for fault, spoil in ARRAY_FAULTS.items():
                yield f"{fault} in {name}", plain | {name: spoil(array)}
        if isinstance(array, np.ndarray) and array.ndim == 2 and not name.startswith("cov"):
            yield f"n x 0 for {name}", plain | {name: array[:, :0]}
            yield f"0 x 0 for {name}", plain | {name: array[:0, :0]}
    for name in ("x", "cost", "mean_p", "P", "phi"):
        if name in plain:
            yield f"None for {name}", plain | {name: None}
    if "x" in plain or ("cost" in plain and function != "c_transform"):
        both = {name: plain.get(name, np.full(n[name], 1 / n[name])) for name in "ab"}
        for name in "ab":
            for fault, wrong in mass_faults(both[name]).items():
                yield f"{fault} in {name}", plain | both | {name: wrong}
        yield "no mass in both", plain | {name: 0 * w for name, w in both.items()}
    for name, values in NUMBER_FAULTS.items():
        if name in plain:
            for value in values:
                yield f"{name} = {value}", plain | {name: value}
    if function in ("emd", "sinkhorn_divergence", "sliced_wasserstein", "kantorovich_potential"):
        yield "points of two dimensions", plain | {"y": np.pad(plain["y"], ((0, 0), (0, 1)))}
    if function in ("emd", "sinkhorn_divergence", "sliced_wasserstein"):
        yield "p = inf", plain | {"p": math.inf}
    if function == "cumulative_flow":
        for fault, wrong in mass_faults(plain["P"]).items():
            yield f"{fault} in P", plain | {"P": wrong}
    if function == "c_transform":
        yield "one value too many in phi", plain | {"phi": np.append(plain["phi"], 0.0)}
    if function == "gaussian_w2":
        cov, d = plain["cov_p"], len(plain["mean_p"])
        yield "negative variance", plain | {"cov_p": -cov - (np.abs(cov).max() or 1) * np.eye(d)}
        yield "one dimension too many", plain | {"mean_p": np.append(plain["mean_p"], 0.0)}
        if d == 2:
            yield (
                "not symmetric",
                plain | {"cov_p": cov + (np.abs(cov).max() or 1) * np.eye(2)[::-1] * [0, 1]},
            )


def case(index: int) -> Case:
    """Input number ``index``: of one function after the other, two in five with one fault."""
    rng = np.random.default_rng([SEED, index])
    function = ORDER[index % len(ORDER)]
    plain, value, bound, fits = MAKERS[function](rng)
    made = Case(function, plain, [Fraction(v) for v in value], Fraction(bound))
    if rng.random() < 0.4:
        wrong = list(faults(function, plain))
        made.about, made.given = wrong[rng.integers(len(wrong))]
        made.kind = "faulty"
        return made
    if any(size and not LEAST <= size <= LARGEST for size in (*fits, bound)):
        made.kind = "extreme"
    kinds = {
        name: str(rng.choice(list(KINDS))) for name, array in plain.items() if isinstance(array, np.ndarray)
    }
    made.given = plain | {name: handed_as(kind, plain[name]) for name, kind in kinds.items()}
    made.about = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    return made


# The judge


@dataclass
class Verdict:
    """``outcome``: right, nearest, wrong, refused, answered (a fault), not finite, or an exception's name.

    nearest is an answer below the smallest normal float that is right but for the spacing of floats there,
    such as 0 for 1e-400.
    """

    outcome: str
    warnings: list
    changed: bool
    said: str

    @property
    def visible(self) -> bool:
        return bool(self.warnings) or self.outcome == "not finite"


def judge(made: Case, arguments: dict, answer, refusals=(InputError, SolverError)) -> Verdict:
    """What ``answer(**arguments)`` does with one case."""
    before = pickle.dumps(arguments)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = answer(**arguments)
        except refusals as error:
            outcome, said = "refused", str(error)
        except Exception as error:
            outcome, said = type(error).__name__, str(error)
        else:
            outcome, said = outcome_of(made, found), str(found)
    return Verdict(outcome, [str(w.message) for w in caught], pickle.dumps(arguments) != before, said)


def outcome_of(made: Case, found) -> str:
    """right, nearest, wrong, answered or not finite, for an answer that came."""
    found = list(np.ravel(np.array(as_numpy(found), dtype=object)))
    finite = [isinstance(value, Fraction) or bool(np.isfinite(value)) for value in found]
    if made.kind == "faulty" or len(found) != len(made.value):
        return "not finite" if not all(finite) else "answered" if made.kind == "faulty" else "wrong"
    bounds = made.bound if isinstance(made.bound, list) else [made.bound] * len(found)
    errors = [error_of(f, v) for f, v in zip(found, made.value, strict=True)]
    if not all(fits or error == 0 for fits, error in zip(finite, errors, strict=True)):
        return "not finite"
    if all(error <= TOLERANCE * bound for error, bound in zip(errors, bounds, strict=True)):
        return "right"
    return "nearest" if all(error <= FINEST for error in errors) else "wrong"


def error_of(found, value):
    """How far a number is from the exact one or an interval; 0 for infinity or NaN where it is that."""
    low, high = value if isinstance(value, tuple) else (value, value)
    if not (isinstance(found, Fraction) or np.isfinite(found)):
        same = found == low == high or (found != found and low != low)
        return 0 if same else math.inf
    return max(low - Fraction(found), Fraction(found) - high, 0)


def kept_promise(made: Case, verdict: Verdict) -> bool:
    """Whether the library did what it promises: a proved answer or a refusal in words, and nothing else."""
    expected = {"valid": ["right"], "extreme": ["right", "refused"], "faulty": ["refused"]}[made.kind]
    return verdict.outcome in expected and not verdict.warnings and not verdict.changed


def dual_value(x, y, a=None, b=None):
    """sum a f(x) - sum b f(y) of the exact critic, in rational numbers."""
    f = transport.kantorovich_potential(x, y, a, b)
    total = Fraction(0)
    for points_, w, sign in ((x, a, 1), (y, b, -1)):
        values = np.asarray(as_numpy(f(points_))).tolist()
        w = (
            [Fraction(1, len(values))] * len(values)
            if w is None
            else map(Fraction, np.asarray(as_numpy(w), float).tolist())
        )
        if not all(map(math.isfinite, values)):
            return math.nan
        total += sign * sum(mass * Fraction(value) for mass, value in zip(w, values, strict=True))
    return total


LIBRARY = {
    "emd_from_cost": lambda **given: transport.emd_from_cost(**given).cost,
    "emd": lambda **given: transport.emd(**given).cost,
    "emd_lp": lambda **given: transport.emd_lp(**given).cost,
    "wasserstein_1d": lambda **given: transport.wasserstein_1d(**given),
    "cumulative_flow": lambda **given: transport.cumulative_flow(**given),
    "kantorovich_potential": dual_value,
    "c_transform": lambda **given: transport.c_transform(**given),
    "gaussian_w2": lambda **given: transport.gaussian_w2(**given),
    "sinkhorn": lambda **given: transport.sinkhorn(**given).cost,
    "sinkhorn_divergence": lambda **given: transport.sinkhorn_divergence(**given),
    "sliced_wasserstein": lambda **given: transport.sliced_wasserstein(**given),
}
