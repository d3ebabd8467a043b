"""Makers of critics of small whole weights, with their exact slopes and constants; for ``hostile_cases``.

A rectified critic is followed in fractions: its value, its slope, and, on the line, all of its pieces. A
convolution's matrix is built column by column.
"""

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from hostile import floats, root, scale
from hostile_exact import Made, exact, mp
from torch import nn

from wganlab.networks import GroupSort

ROUNDED = {torch.float64: 1, torch.float32: 10**6}  # a result in float32 is right to 1e-6


def linear(weight, bias, unit, dtype):
    layer = nn.Linear(len(weight[0]), len(weight), bias=any(bias), dtype=dtype)
    layer.weight.data = torch.tensor(floats(weight, unit), dtype=dtype)
    if any(bias):
        layer.bias.data = torch.tensor(floats(bias, unit), dtype=dtype)
    return layer


def whole(rng, *shape):
    weight = rng.integers(-3, 4, shape)
    weight.flat[rng.integers(weight.size)] = rng.choice([-2, 1, 3])  # not all 0
    return weight


def fractions(tensor):
    return [list(map(Fraction, row)) for row in tensor.detach().double().tolist()]


def product(a, b):
    return [
        [sum(s * t for s, t in zip(row, column, strict=True)) for column in zip(*b, strict=True)] for row in a
    ]


def spectral_norm(matrix):
    """The largest singular value of a small matrix of floats or fractions, to 50 digits."""
    rows = [list(map(Fraction, row)) for row in matrix]
    entries = mp.matrix([[mp.mpf(v.numerator) / v.denominator for v in row] for row in rows])
    gram = entries * entries.T
    if gram.rows == 1:
        return exact(mp.sqrt(gram[0, 0]))
    largest = max(abs(v) for v in gram)
    return (
        exact(mp.sqrt(max(mp.eigsy(gram / largest, eigvals_only=True)) * largest)) if largest else Fraction(0)
    )


def opened(critic):
    """The layers of a chain, nested chains opened."""
    return [
        inner
        for layer in critic
        for inner in (opened(layer) if isinstance(layer, nn.Sequential) else [layer])
    ]


def slope_of(layer):
    return Fraction(layer.negative_slope) if isinstance(layer, nn.LeakyReLU) else Fraction(0)


def followed(critic, x):
    """f(x), the layers' matrices at x, each with whether it has weights, and whether x is at no kink."""
    a, steps, smooth = [Fraction(v) for v in x], [], True
    for layer in opened(critic):
        if isinstance(layer, nn.Linear):
            matrix = fractions(layer.weight)
            bias = [0] * len(matrix) if layer.bias is None else map(Fraction, layer.bias.tolist())
            a = [v + b for (v,), b in zip(product(matrix, [[v] for v in a]), bias, strict=True)]
            steps.append((matrix, True))
        elif isinstance(layer, (nn.ReLU, nn.LeakyReLU)):
            smooth &= all(a)
            slopes = [Fraction(1) if v > 0 else slope_of(layer) for v in a]
            a = [v * s for v, s in zip(a, slopes, strict=True)]
            steps.append(([[s * (i == j) for j in range(len(a))] for i, s in enumerate(slopes)], False))
    return a[0], steps, smooth


def gradients(steps):
    """The gradient of f for the critic's input, and for the output of each layer that has weights."""
    row, found = [[Fraction(1)]], []
    for matrix, own in reversed(steps):
        if own:
            found.append(row[0])
        row = product(row, matrix)
    return row[0], found[::-1]


def length(vectors):
    return root(sum(v * v for vector in vectors for v in vector), 2)


def constant_on_the_line(critic):
    """The Lipschitz constant of a rectified critic on the line: its steepest piece."""
    pieces = [(None, None, [Fraction(1)], [Fraction(0)])]  # of x = a t + b between two ends
    for layer in opened(critic):
        if isinstance(layer, nn.Linear):
            matrix = fractions(layer.weight)
            bias = (
                [Fraction(0)] * len(matrix)
                if layer.bias is None
                else list(map(Fraction, layer.bias.tolist()))
            )

            def on(v, matrix=matrix):
                return [row[0] for row in product(matrix, [[w] for w in v])]

            pieces = [
                (low, high, on(a), [v + c for v, c in zip(on(b), bias, strict=True)])
                for low, high, a, b in pieces
            ]
        elif isinstance(layer, (nn.ReLU, nn.LeakyReLU)):
            pieces = [part for piece in pieces for part in bent(piece, slope_of(layer))]
    return max(abs(a[0]) for _, _, a, _ in pieces)


def bent(piece, slope):
    """A piece cut where an entry changes its sign, with the negative entries times the slope."""
    low, high, a, b = piece
    zeros = {-d / c for c, d in zip(a, b, strict=True) if c}
    cuts = sorted(z for z in zeros if (low is None or z > low) and (high is None or z < high))
    for left, right in itertools.pairwise([low, *cuts, high]):
        inside = [end for end in (left, right) if end is not None]
        t = (
            sum(inside) / 2
            if len(inside) == 2
            else (right - 1 if left is None else left + 1)
            if inside
            else 0
        )
        kept = [1 if c * t + d > 0 else slope for c, d in zip(a, b, strict=True)]
        yield (
            left,
            right,
            [c * k for c, k in zip(a, kept, strict=True)],
            [d * k for d, k in zip(b, kept, strict=True)],
        )


def nested(rng, layers):
    """A chain of the layers, some of them in a chain of their own."""
    cut = int(rng.integers(len(layers)))
    inner = [nn.Sequential(*layers[cut:])] if rng.random() < 0.3 and layers[cut:] else layers[cut:]
    return nn.Sequential(*layers[:cut], *inner)


def rectified(rng, d, depth=None, most=150):
    """A critic (m, d) to (m,), leaky or not, one square layer at times twice, and the units of its layers."""
    dtype = torch.float32 if rng.random() < 0.3 else torch.float64
    slope = float(rng.choice([0.25, -0.5, 1.0]))
    widths = [d, *rng.integers(1, 5, rng.integers(0, 3) if depth is None else depth).tolist()]
    most = 25 if dtype == torch.float32 else most
    units = [scale(rng, most) for _ in widths]
    layers = []
    for n, m, unit in zip(widths, [*widths[1:], 1], list(units), strict=True):
        layers.append(linear(whole(rng, m, n).tolist(), whole(rng, m).tolist(), unit, dtype))
        if m == n and rng.random() < 0.5:
            layers += [nn.ReLU(), layers[-1]]
            units.append(unit)
        layers.append(nn.LeakyReLU(slope) if rng.random() < 0.3 else nn.ReLU())
    layers[-1] = nn.Flatten(0)
    return nested(rng, layers), units


def rows(rng, critic, d, m):
    """m rows at no kink of the critic, in its precision, or ``None``."""
    dtype = opened(critic)[0].weight.dtype
    candidates = (
        rng.integers(-8, 9, (40, d))
        / 8
        * 2.0
        ** int(rng.choice([0, 0, 3, -3, -60, 60] if dtype == torch.float32 else [0, 0, 3, -3, -300, 300]))
    )
    smooth = (row for row in candidates.tolist() if followed(critic, row)[2])
    found = list(itertools.islice(smooth, m))
    return torch.tensor(found, dtype=dtype) if len(found) == m else None


def critic_and_rows(rng, d, m, depth=None):
    while True:
        critic, units = rectified(rng, d, depth)
        x = rows(rng, critic, d, m)
        if x is not None and exactly(critic, x):
            return critic, x, units


def exactly(critic, x):
    """Whether the critic's own precision gives its values without any rounding."""
    values = [followed(critic, row)[0] for row in x.tolist()]
    with torch.no_grad():
        return list(map(Fraction, critic(x).tolist())) == values


def steepness(rng):
    d, m = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    critic, x, units = critic_and_rows(rng, d, m)
    value = [length([gradients(followed(critic, row)[1])[0]]) for row in x.tolist()]
    return Made({"critic": critic, "x": x}, value, max(value) * ROUNDED[x.dtype], [*units, max(value)])


def below(rng):
    """On the line, where the constant is known for any depth; or one layer with all its signs in reach."""
    d = int(rng.choice([1, 1, 2, 3]))
    critic, x, units = critic_and_rows(rng, d, int(rng.integers(2, 6)), None if d == 1 else 1)
    steps = [followed(critic, row)[1] for row in x.tolist()]
    least = max(length([gradients(step)[0]]) for step in steps)
    most = constant_on_the_line(critic) if d == 1 else steepest_pattern(critic)
    if rng.random() < 0.3:
        x = torch.cat(
            [x, x[:1], x[:1] + 2.0 ** -int(rng.choice([18, 40, 49]))]
        )  # points that nearly coincide
        x = x if exactly(critic, x) and all(followed(critic, row)[2] for row in x.tolist()) else x[:-1]
        least = max(least, *(length([gradients(followed(critic, row)[1])[0]]) for row in x.tolist()))
    return Made({"critic": critic, "x": x}, [(least, most)], most * ROUNDED[x.dtype], [*units, most])


def steepest_pattern(critic):
    """The largest slope over all signs before one rectifier: the constant if all are in reach, else more."""
    first, middle, *others = [layer for layer in opened(critic) if not isinstance(layer, nn.Flatten)]
    chain, best = [middle, *others], Fraction(0)
    for signs in itertools.product([0, 1], repeat=len(first.weight)):
        matrix = fractions(first.weight)
        for k, layer in enumerate(chain):
            if isinstance(layer, nn.Linear):
                matrix = product(fractions(layer.weight), matrix)
            elif k == 0:
                matrix = [
                    [v * (1 if s else slope_of(layer)) for v in row]
                    for s, row in zip(signs, matrix, strict=True)
                ]
            else:
                return math.prod(
                    spectral_norm(fractions(w.weight)) for w in opened(critic) if hasattr(w, "weight")
                )
        best = max(best, length(matrix))
    return best


def chain(rng):
    """Linear layers and maps that lengthen nothing: the bound is the product of the spectral norms."""
    d = int(rng.integers(1, 4))
    critic, units = rectified(rng, d, most=500)
    layers = list(critic)
    if rng.random() < 0.3:
        layers.insert(
            0, [nn.Tanh(), nn.Identity(), nn.Softplus(), GroupSort(d), nn.Flatten()][rng.integers(5)]
        )
    if rng.random() < 0.2:
        critic, layers = layers[0], layers[:1]
    else:
        critic = nn.Sequential(*layers)
    value = Fraction(1)
    for layer in opened(layers):
        if isinstance(layer, nn.Linear):
            value *= spectral_norm(fractions(layer.weight))
    return Made({"critic": critic}, [value], value, [*units, value, value * 2**40])


def pictures(rng):
    """Convolutions, between the norm of their matrix on some picture and a bound by absolute sums."""
    layers, low, high, units = [], Fraction(1), Fraction(1), []
    channels, dtype = int(rng.integers(1, 3)), torch.float32 if rng.random() < 0.3 else torch.float64
    for _ in range(int(rng.integers(1, 3))):
        size, stride, dilation = (tuple(rng.integers(1, most, 2).tolist()) for most in (4, 4, 3))
        padding = tuple(rng.integers(0, 3, 2).tolist())
        if stride == (1, 1) and rng.random() < 0.5:
            padding = str(rng.choice(["same", "valid"]))
        out = int(rng.integers(1, 4))
        layer = nn.Conv2d(channels, out, size, stride, padding, dilation, dtype=dtype)
        kernel, unit = whole(rng, out, channels, *size), scale(rng, 100 if dtype == torch.float32 else 500)
        layer.weight.data = torch.tensor(floats(kernel, unit), dtype=dtype)
        low *= matrix_norm(kernel, layer) * unit
        most = np.abs(kernel).sum((1, 2, 3)).max() * np.abs(kernel).sum((0, 2, 3)).max()
        high *= root(Fraction(int(most)), 2) * unit
        layers, units, channels = [*layers, layer, nn.LeakyReLU(0.5)], [*units, unit], out
    return Made({"critic": nested(rng, layers)}, [(low, high)], high, [*units, low, high * 2**40])


def matrix_norm(kernel, layer):
    """The spectral norm of a convolution of whole numbers on pictures of 7 x 8, built column by column."""
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        bias=False,
    ).double()
    plain.weight.data = torch.tensor(kernel, dtype=torch.float64)
    shape = (layer.in_channels, 7, 8)
    basis = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    with torch.no_grad():
        columns = torch.stack([plain(e[None]).flatten() for e in basis], 1)
    return Fraction(float(np.linalg.norm(columns.numpy(), 2)))


def upper(rng):
    return pictures(rng) if rng.random() < 0.4 else chain(rng)


def layerwise(rng):
    d, m, n = int(rng.integers(1, 4)), *rng.integers(1, 4, 2).tolist()
    critic, x, units = critic_and_rows(rng, d, m + n)
    shares = [Fraction(-1, m)] * m + [Fraction(1, n)] * n
    by_row = [gradients(followed(critic, row)[1])[1] for row in x.tolist()]
    value = []
    for vectors in zip(*by_row, strict=True):
        value.append(length([[v * s for v in vector] for s, vector in zip(shares, vectors, strict=True)]))
    least = [v for v in value if v]
    return Made(
        {"critic": critic, "x": x[:m].clone(), "x_fake": x[m:].clone()}, value, Fraction(0), [*units, *least]
    )


def clipped(rng):
    sizes = rng.integers(1, 6, rng.integers(1, 7)).tolist()
    if rng.random() < 0.2:
        sizes = [int(s) * 10 ** int(rng.choice([3, 30])) for s in sizes]
    c = float(rng.choice([0.01, 1.0, 0.3, 1e-100, 1e-200, 1e60, 5e-324]))
    value = Fraction(c) ** len(sizes) * root(Fraction(sizes[0]), 2) * math.prod(sizes[1:])
    return Made({"sizes": (*sizes, 1), "c": c}, [value], value, [value])


@dataclass(frozen=True)
class Score:
    """A critic that is a function, and none if it has a fault."""

    fault: str = ""

    def __call__(self, x):
        if self.fault == "NaN":
            return x.flatten(1).sum(1) * math.nan
        return {
            "one number": x.sum(),
            "a column": x[:, :1],
            "text": "many",
            "None": None,
            "no graph": x.detach()[:, 0],
        }[self.fault]


MAKERS = {
    "upper_bound": upper,
    "lower_bound": below,
    "gradient_norms": steepness,
    "layer_gradients": layerwise,
    "clip_bound": clipped,
}
