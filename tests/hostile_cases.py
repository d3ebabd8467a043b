"""Inputs for divergences, metrics, slopes and integrals on the line, valid and faulty, for ``hostile.judge``.

``case(index)`` makes one input from its number alone. An answer is right if it is off by at most 1e-9 of
itself or 1e-12 of its natural scale, whichever is more: 1 nat for a divergence (so 1/ln(base)), the largest
kernel value for MMD, 1 for what lies between 0 and 1. Frechet distances are right to 1e-9 of the traces and
the squared shift (1e-7 where a covariance is singular), integrals on the line to 1e-9, slopes of float32
critics to 1e-6, each layer's gradient to 1e-9 of itself. Below the smallest normal float 64 spacings of
floats are allowed. Where a Lipschitz constant is enclosed, so is the answer.
"""

import copy
import math
from dataclasses import replace
from fractions import Fraction

import hostile_critics
import hostile_laws
import hostile_line
import numpy as np
import torch
from hostile import ARRAY_FAULTS, FINEST, LARGEST, LEAST, TOLERANCE, Case, handed_as
from hostile_critics import Score, opened
from hostile_exact import KINDS
from torch import nn

from wganlab import divergences, lipschitz, metrics, transport

SEED = 2025
MAKERS = hostile_laws.MAKERS | hostile_critics.MAKERS | hostile_line.MAKERS
ORDER = [*hostile_laws.MAKERS, *hostile_critics.MAKERS] * 3 + list(
    hostile_line.MAKERS
)  # which take milliseconds

LAW_FAULTS = {
    "a negative weight": lambda w: np.append(w[:-1], [-0.25, w[-1] + 0.25])[1:],
    "negative, the sum 1": lambda w: np.append(w[:-1] * 0 - 0.5, 1 + 0.5 * (len(w) - 1)),
    "the sum 0": lambda w: 0 * w,
    "the sum 1.5": lambda w: w * 1.5,
    "the sum 1 + 1e-6": lambda w: w * (1 + 1e-6),
    "a sum beyond float64": lambda w: np.full_like(w, 1.7e308),
    "one weight too many": lambda w: np.append(w, 0.0),
    "a matrix": lambda w: np.stack([w, w]),
    "float32 off by 1e-5": lambda w: (w * (1 + 1e-5)).astype(np.float32),
}
ROW_FAULTS = {
    "n x 0": lambda x: x[:, :0],
    "0 x 0": lambda x: x[:0, :0],
    "a column too many": lambda x: np.pad(x, ((0, 0), (0, 1))),
    "a number": lambda x: 1.0,
}
NO_NUMBER = ["many", None, math.nan, 1j, [1.0, 2.0], np.ones(3)]
NO_SIZE = [*NO_NUMBER, 0.0, -1.0, math.inf]
NO_COUNT = [*NO_NUMBER, 0, -1, 1.5, math.inf, 10**6]
NUMBERS = {
    "base": ["two", math.nan, 1, 0, -2.0, 0.5, math.inf, 1 + 1j, [2.0]],
    "mean_p": [*NO_NUMBER, math.inf, "1.0"],
    "mean_q": [*NO_NUMBER, math.inf],
    "std_p": NO_SIZE,
    "std_q": NO_SIZE,
    "real_label": [*NO_NUMBER, -0.1, 1.1],
    "fake_label": [*NO_NUMBER, -0.1, 1.1],
    "radius": [*NO_NUMBER, 0.0, -1.0, "1.0"],
    "k": NO_COUNT,
    "components": NO_COUNT,
    "weight": [*NO_NUMBER, 0.0, -1.0, math.inf, "1.0"],
    "c": [*NO_NUMBER, 0.0, -1.0, math.inf],
    "sizes": [
        "many",
        None,
        (),
        (3,),
        (2, 0, 1),
        (2, -3, 1),
        (2, 3),
        (2.5, 1),
        (2, math.nan, 1),
        (2, "3", 1),
        3,
    ],
    "support": [
        (1.0, 0.0),
        (0.0, 0.0),
        (math.nan, 1.0),
        (0.0, math.nan),
        ("0", "1"),
        "01",
        1.0,
        None,
        (0.0, 1.0, 2.0),
    ],
}
FUNCTIONS = ["many", None, 1.0, str]
VALUES = [math.nan, "many", None, 1j, math.inf, [0.0, 0.0]]  # that a function on the line must not have


def nowhere(x, y):
    return np.full((len(x), len(y)), math.nan)


def a_row_less(x, y):
    return (x @ y.T)[1:]


def in_words(x, y):
    return [["many"] * len(y)] * len(x)


def kernel_faults():
    return ["many", 1.0, nowhere, a_row_less, in_words]


def spoiled(critic, value):
    """The critic with one weight that is no number, or none if it has no weights."""
    critic = copy.deepcopy(critic)
    layers = [layer for layer in opened([critic]) if hasattr(layer, "weight")]
    if layers:
        layers[0].weight.data.flatten()[0] = value
    return critic if layers else None


def critic_faults(function, critic):
    yield from (("NaN weight", spoiled(critic, math.nan)), ("infinite weight", spoiled(critic, math.inf)))
    yield from (("None", None), ("a number", 1.0), ("text", "many"))
    if function == "upper_bound":
        others = [
            nn.LayerNorm(2),
            nn.BatchNorm1d(2),
            nn.LeakyReLU(2.0),
            nn.LeakyReLU(math.nan),
            nn.Dropout(0.5),
        ]
        others += [nn.Conv2d(2, 2, 2, groups=2), nn.Conv2d(2, 2, 2, padding=1, padding_mode="circular")]
        yield from ((f"with {layer}", nn.Sequential(critic, layer)) for layer in others)
    if function in ("gradient_norms", "lower_bound"):
        yield "no Flatten at the end", nn.Sequential(critic, nn.Unflatten(0, (-1, 1)))
        yield "BatchNorm", nn.Sequential(nn.BatchNorm1d(1).double(), critic)
        yield from (
            (fault, Score(fault)) for fault in ("NaN", "one number", "a column", "text", "None", "no graph")
        )
    if function == "layer_gradients":
        yield from (
            ("no layers", nn.Sequential(nn.Flatten())),
            ("rows in a column", nn.Sequential(critic, nn.Unflatten(0, (-1, 1)))),
        )


def tensor_faults(x):
    for value in (math.nan, math.inf):
        bad = x.clone()
        bad.view(-1)[-1] = value
        yield str(value), bad
    yield from (
        ("empty", x[:0]),
        ("a list", x.tolist()),
        ("numpy", x.numpy()),
        ("text", "many"),
        ("None", None),
    )
    yield from (("whole", x.long()), ("complex", x + 0j), ("a number", x[0, 0]), ("one dimension", x[:, 0]))
    yield "a column too many", torch.nn.functional.pad(x, (0, 1))


def faults(function, plain):
    """(name, arguments) of all that can be wrong with one argument."""
    for name, given in plain.items():
        wrong = [] if isinstance(given, np.ndarray) else [(str(v), v) for v in NUMBERS.get(name, [])]
        if isinstance(given, np.ndarray):
            wrong += [
                (fault, spoil(given)) for fault, spoil in ARRAY_FAULTS.items() if fits(function, name, fault)
            ]
            if name in ("p", "q") and function not in ("optimal_discriminator",):
                wrong += [(fault, spoil(given)) for fault, spoil in LAW_FAULTS.items()]
            if given.ndim == 2 and function != "frechet_distance":
                known = ROW_FAULTS if function != "inception_score" else {"n x 0": ROW_FAULTS["n x 0"]}
                wrong += [(fault, spoil(given)) for fault, spoil in known.items()]
            wrong.append(("None", None))
        if name == "kernel":
            wrong += [(str(kernel), kernel) for kernel in kernel_faults()]
        if name == "critic":
            wrong += critic_faults(function, given)
        if torch.is_tensor(given):
            wrong += tensor_faults(given)
        if name in ("log_p", "log_q", "cdf", "sf", "h", "density"):
            wrong += [(str(value), value) for value in FUNCTIONS]
            wrong += [(f"with values {value}", replace(given, fault=(value,))) for value in VALUES]
        if name in ("log_p", "log_q"):
            wrong.append(("of mass 1.1", replace(given, off=0.1)))
        yield from ((f"{fault} for {name}", plain | {name: value}) for fault, value in wrong)
    yield from others(function, plain)


def fits(function, name, fault):
    """Whether it is a fault: D is not read where no data are, and pictures are rows of any shape."""
    if name == "D":
        return fault not in (
            "NaN",
            "infinity",
            "-infinity",
            "NaN, torch",
            "one None",
            "rows of None",
            "masked",
        )
    return not (function == "precision_recall" and fault == "one dimension more")


def others(function, plain):
    """Faults of their own of some functions."""
    if function == "optimal_discriminator":
        yield "a negative value", plain | {"p": -1 - plain["p"]}
        yield "one value too many in p", plain | {"p": np.append(plain["p"], 0.0)}
    if function == "gan_value":
        yield from (
            (f"D = {d}", plain | {"D": np.full(len(plain["p"]), d)}) for d in (-0.1, 1.1, math.nan, math.inf)
        )
    if function == "inception_score":
        p = plain["probabilities"]
        yield from (("sums of 1.1", {"probabilities": p * 1.1}), ("a negative row", {"probabilities": -p}))
        yield "sums beyond float64", {"probabilities": np.full((2, 3), 1.7e308)}
        yield "a vector", {"probabilities": p[0]}
        yield "one class", {"probabilities": np.ones((3, 1))}
    if function == "mmd":
        yield "one row", plain | {"x": plain["x"][:1]}
    if function == "principal_frechet":
        yield "too few rows", plain | {name: plain[name][:1] for name in ("real", "other_real", "fake")}
    if function == "frechet_distance":
        cov, d = plain["cov_p"], len(plain["mean_p"])
        yield "negative variance", plain | {"cov_p": -cov - (np.abs(cov).max() or 1) * np.eye(d)}
        yield "one dimension too many", plain | {"mean_p": np.append(plain["mean_p"], 0.0)}
    if function == "interpolate_density":
        yield "widths too unequal", plain | {"std_p": plain["std_q"] * 200}
    if function == "layer_gradients":
        yield "rows of another length", plain | {"x_fake": torch.nn.functional.pad(plain["x_fake"], (0, 1))}


def bounds(made):
    """For each entry what 1e-9 of it is the error allowed."""
    floor = max(made.scale / 1000, 64 * FINEST / TOLERANCE)
    sizes = [v for entry in made.value for v in [entry if isinstance(entry, tuple) else (entry,)]]
    return [max([floor, *(abs(v) for v in size if isinstance(v, Fraction))]) for size in sizes]


def case(index: int) -> Case:
    """Input number ``index``: of one function after the other, two in five with one fault."""
    rng = np.random.default_rng([SEED, index])
    function = ORDER[index % len(ORDER)]
    made = MAKERS[function](rng)
    found = Case(function, made.plain, made.value, bounds(made))
    if rng.random() < 0.4:
        wrong = list(faults(function, made.plain))
        found.about, found.given = wrong[rng.integers(len(wrong))]
        found.kind = "faulty"
        return found
    sizes = [abs(v) for v in made.fits]
    found.kind = made.kind if all(LEAST <= v <= LARGEST for v in sizes if v) else "extreme"
    found.given, kinds = dict(made.plain), {}
    for name, given in made.plain.items():
        if isinstance(given, np.ndarray):
            kinds[name] = made.kinds.get(name) or str(rng.choice(list(KINDS)))
            found.given[name] = handed_as(kinds[name], given, KINDS)
        elif isinstance(given, np.float64):
            found.given[name] = SCALARS[rng.integers(len(SCALARS))](given)
        elif torch.is_tensor(given):
            kinds[name] = str(rng.choice(list(TENSORS)))
            found.given[name] = TENSORS[kinds[name]](given)
    found.about = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    return found


TENSORS = {
    "torch": torch.clone,
    "torch with grad": lambda x: x.clone().requires_grad_(),
    "torch with a graph": lambda x: x.clone().requires_grad_() * 1,
    "torch strided": lambda x: x.repeat_interleave(2, 1)[:, ::2],
    "torch column-major": lambda x: x.T.contiguous().T,
}


SCALARS = [float, np.float64, np.array, torch.tensor, lambda number: torch.tensor(number, requires_grad=True)]


def of_critic(**given):
    found = transport.penalised_line(**given)
    return [found.w1, found.congestion, found.estimate, found.objective, found.reversed_estimate]


def named(module, name):
    return lambda **given: getattr(module, name)(**given)


HOMES = {name: home for home in (divergences, metrics, lipschitz) for name in home.__all__}
LIBRARY = {name: named(HOMES.get(name, transport), name) for name in MAKERS} | {"penalised_line": of_critic}
