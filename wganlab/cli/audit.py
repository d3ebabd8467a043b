"""``wganlab audit``: known bugs in somebody's gradient penalty.

The function comes out of a file, by path, and nothing of the file is left behind.
"""

import argparse
import contextlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..mistakes import audit, audit_step
from ..mistakes.examination.probes import undisturbed
from .terminal import print_error, print_result, write_line

NAME = "wganlab_audited_file"


def run(options: argparse.Namespace) -> int:
    """The exit code; a file that cannot be judged is one line on stderr, and the others are judged."""
    reports, code = {}, 0
    for place in options.places:
        try:
            given = loaded_critic(options.critic) if options.critic else contextlib.nullcontext()
            with loaded(place) as function, given as critic:
                if options.step:
                    report = audit_step(function, options.n_critic, critic=critic)
                else:
                    report = audit(function, critic=critic, shape=options.shape, batch=options.batch)
        except (Exception, GeneratorExit) as error:  # one file must not end the audit of the others
            foreseen = isinstance(error, InputError)
            if options.debug and not foreseen:
                raise
            said = str(error) if foreseen else f"it cannot be judged ({type(error).__name__})"
            said = said.replace("FILE.py:audited", f"{place.rpartition(':')[0]}:audited")
            said, _, wrapper = said.partition("\n\n")
            print_error(f"{place}: {said}")
            if wrapper:
                write_line(f"\n{wrapper}", sys.stderr)
            reports[place], code = {"error": said} | ({"wrapper": wrapper} if wrapper else {}), 2
            continue
        code = code or (0 if report.ok else 6)
        reports[place] = report.as_dict()
        if not options.json:
            print_result(str(report) if len(options.places) == 1 else f"{place}: {report.headline()}")
    if options.json:
        print_result(json.dumps(reports, indent=1))
    return code


@contextlib.contextmanager
def loaded(place: str) -> Iterator[Any]:
    """The object that ``FILE.py:NAME`` names; a class is called without arguments.

    While it is in use, the file's folder comes first on ``sys.path``, so that the file may import
    its neighbours; afterwards the path and ``sys.modules`` are as before, and no bytecode is
    written. Raises ``InputError`` if there is no such file or name, or the import fails.
    """
    file, colon, name = place.rpartition(":")
    if not colon or not name:
        raise InputError(f"audit needs FILE.py:FUNCTION, got {place!r}. Add a colon and the function's name.")
    path = Path(file).resolve()
    if not path.is_file():
        raise InputError(f"There is no file {file} to audit. Give the path of a Python file.")
    before, writes, modules, words = list(sys.path), sys.dont_write_bytecode, set(sys.modules), sys.argv
    sys.path.insert(0, str(path.parent))
    sys.dont_write_bytecode, sys.argv = True, [str(path)]  # a script may read options when it is imported
    try:
        with undisturbed(), contextlib.chdir("."), contextlib.redirect_stdout(sys.stderr):
            yield attribute(imported(path), name, file)
    finally:
        sys.path[:], sys.dont_write_bytecode, sys.argv = before, writes, words
        for new in set(sys.modules) - modules:
            if new == NAME or neighbour(new, path.parent):
                del sys.modules[new]


def neighbour(name: str, folder: Path) -> bool:
    """Whether a module is a file of that folder or below, and none of an environment kept there."""
    file = getattr(sys.modules[name], "__file__", None)
    foreign = not file or "site-packages" in Path(file).parts or name.split(".")[0] == "wganlab"
    return not foreign and Path(file).resolve().is_relative_to(folder)


@contextlib.contextmanager
def loaded_critic(place: str) -> Iterator[nn.Module]:
    """The critic that ``FILE.py:NAME`` names, or that the function of this name makes."""
    with loaded(place) as found:
        torch.default_generator.manual_seed(0)
        with explained(f"{place} makes no critic", "It is called without arguments."):
            critic = found if isinstance(found, nn.Module) else found()
        if not isinstance(critic, nn.Module):
            raise InputError(f"{place} makes a {type(critic).__name__}, no critic. Return an nn.Module.")
        yield critic


def imported(path: Path) -> Any:
    """The module that a file makes when it is run, not as ``__main__``."""
    spec = importlib.util.spec_from_file_location(NAME, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path.name} is no Python file. Give a file whose name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    with explained(f"{path.name} cannot be imported", "Run it by itself to see where."):
        spec.loader.exec_module(module)
    return module


def attribute(module: Any, name: str, file: str) -> Any:
    """The module's attribute; dots lead into classes."""
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
            raise InputError(f"{file} has no {name!r}. It has: {', '.join(known) or 'nothing to call'}.")
        if isinstance(found, type) and inspect.isfunction(inspect.getattr_static(found, part, None)):
            try:  # a method wants an object, a static method does not
                found = found()
            except (Exception, SystemExit):
                found = found.__new__(found)  # a wrapper sets its attributes
        found = getattr(found, part)
    return instance(found, name, file) if isinstance(found, type) else found


def instance(found: type, name: str, file: str) -> Any:
    """An instance of a class that needs no arguments."""
    with explained(f"{name} of {file} cannot be made without arguments", "Name an instance."):
        return found()


@contextlib.contextmanager
def explained(said: str, remedy: str) -> Iterator[None]:
    """Whatever is raised becomes an ``InputError`` that says this and names the reason."""
    try:
        yield
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{said} ({reason}). {remedy}") from error
