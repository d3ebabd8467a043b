"""What grades an answer inside nbgrader: this text stands, hidden, in the first cell of each assignment.

A student may have redefined the checker, its helpers or a library's function, may print what the checker
prints, leave early, or return an object that equals everything. So the page's set-up and checker run once
more in a namespace of their own, and the libraries' functions are put back as the first cell found them.
Of the notebook only the student's objects come in: functions that get copies of arrays and may return
nothing but plain values.
"""

import builtins
import contextlib
import io
import re
import sys
import types
import warnings

import numpy as np
import torch

LIBRARIES = {"builtins", "itertools", "math", "numpy", "ot", "scipy", "torch", "wganlab"}
RIGHT = re.compile(r"[\w, ]+: right|ok: .*")
SOME = re.compile(r"right: (?P<right>.*); not yet: (?P<wrong>.*)")
BEFORE = {
    (name, module): dict(vars(module))
    for name, module in sys.modules.items()
    if name.split(".")[0] in LIBRARIES and module
}
KINDS = (types.FunctionType, staticmethod, classmethod, property)
CLASSES = {torch.Tensor: dict(vars(torch.Tensor))} | {
    value: dict(vars(value))
    for (name, _), old in BEFORE.items()
    if name.startswith(("torch.nn.modules", "wganlab"))
    for value in old.values()
    if isinstance(value, type) and not hasattr(builtins, value.__name__)
}


def restore():
    """Put back each module, function and method of a library that is no longer the one found at first."""
    for (name, module), old in BEFORE.items():
        sys.modules[name] = module
        for key, value in old.items():
            changed = vars(module).get(key) is not value
            if changed and (callable(value) or isinstance(value, types.ModuleType)):
                setattr(module, key, value)
    for owner, old in CLASSES.items():
        for key in set(vars(owner)) - set(old):  # it hides what the class inherits
            delattr(owner, key)
        for key, value in old.items():
            if isinstance(value, KINDS) and vars(owner).get(key) is not value:
                setattr(owner, key, value)


def copied(value):
    """`value`, or a copy where a change would reach the checker: of arrays, of tensors without gradient."""
    if type(value) is np.ndarray:
        return value.copy()
    if type(value) is torch.Tensor and not value.requires_grad:
        return value.clone()
    return [copied(part) for part in value] if type(value) is list else value


def plain(value):
    """`value`, if it is made of numbers, text, arrays, tensors and torch's own layers; else a TypeError."""
    kind = type(value)
    if value is None or kind in (bool, int, float, complex, str, torch.Tensor, torch.nn.Parameter):
        return value
    if (
        isinstance(value, (np.ndarray, np.generic))
        and kind.__module__ == "numpy"
        and value.dtype.kind in "biufcU"
    ):
        return value
    if isinstance(value, (tuple, list)):
        return (list if isinstance(value, list) else tuple)(plain(part) for part in value)
    if kind is dict:
        return {plain(key): plain(part) for key, part in value.items()}
    if isinstance(value, torch.nn.Module):
        layers = list(torch.nn.Module.modules(value))
        genuine = all(getattr(torch.nn, type(one).__name__, None) is type(one) for one in layers)
        if genuine and not any("forward" in vars(one) or one._forward_hooks for one in layers):
            return value
    raise TypeError(
        f"The answer returns {kind.__name__}; the check takes numbers, arrays, tensors, torch's layers."
    )


def guarded(answer, name):
    """The student's `answer` as the checker may meet it."""
    if not callable(answer):
        return plain(answer)

    def call(*given, **named):
        return plain(answer(*map(copied, given), **{key: copied(value) for key, value in named.items()}))

    call.__name__ = name
    return call


def grade(points, answers, setup, check):
    """None for full marks, a number for some, AssertionError with the checker's words for none."""
    space = {"__name__": "__main__"}
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
            torch.random.fork_rng(devices=[]),
        ):
            warnings.simplefilter("ignore")  # nbgrader takes a word on stderr for a failure
            restore()
            exec(setup, space)
            space.update({name: guarded(answer, name) for name, answer in answers.items()})
            verdict = eval(check, space)
    except BaseException as error:  # SystemExit, and nbgrader's interrupt of what hangs, too
        raise AssertionError(f"{type(error).__name__}: {error}") from None
    if some := SOME.fullmatch(verdict):
        right, wrong = (set(some[key].split()) - {"none"} for key in ("right", "wrong"))
        share = len(right) / len(right | wrong)
        if 0 < share < 1:
            return points * share
    elif RIGHT.fullmatch(verdict):
        share = 1
    else:
        share = 0
    if not share:
        raise AssertionError(verdict)
    return None
