"""What is said to a function that cannot be judged as it is: how to call it, as lines to paste.

The lines are put together from ``wrappers.toml`` and tried; they are shown if the function runs in them and
its number follows the critic's slope.
"""

import inspect
import itertools
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ...errors import InputError
from .calls import BATCH, PROBES, ROWS, Call, Layout

TABLE = tomllib.loads(Path(__file__).with_name("wrappers.toml").read_text(encoding="utf-8"))
PLAIN, COMBINATIONS, SETTINGS = ("critic", "x", "x_fake"), 120, 6
PLACES = ("first", "second", "third", "fourth", "fifth", "sixth")
DATA = [(torch.float64, ""), (torch.float32, ""), (torch.float64, "x_fake")]
LAYOUTS = [
    Layout(kind, BATCH, row, dtype, "flat", carrier)
    for kind, rows in ROWS.items()
    for row in rows[: 3 if kind == "pictures" else 1]
    for dtype, carrier in DATA
]


class Target(NamedTuple):
    """A function as a wrapper writes it: its call, where its settings are, and what the names mean."""

    call: str
    made: str  # what makes the object that a method belongs to, "" for a function
    arguments: list[str]
    settings: str  # of the object, or of the function's file
    critics: list[str]  # the names among them that may be the critic
    space: dict[str, Any]

    @classmethod
    def of(cls, function: Callable) -> "Target":
        """What a function, a method or an object that can be called is in a wrapper."""
        method = function if inspect.isroutine(function) else getattr(function, "forward", function.__call__)
        owner, inner = getattr(method, "__self__", None), getattr(method, "__wrapped__", method)
        wanted = [name for name, each in inspect.signature(method).parameters.items()
                  if each.default is each.empty and each.kind < each.VAR_POSITIONAL]  # fmt: skip
        if owner is None:
            name = inner.__name__ if inner.__name__.isidentifier() else "yours"
            known = getattr(inner, "__globals__", {})
            read = [key for key in names_in(inner) if isinstance(known.get(key, 0), nn.Module | None)]
            return cls(name, "", wanted, f"{name}.__globals__", read, {name: function, "torch": torch})
        kind = type(owner)
        try:
            made = f"{kind.__name__}()" if kind() else ""
        except Exception:
            made = f"{kind.__name__}.__new__({kind.__name__})"
        read = [key for part in vars(kind).values() for key in names_in(part)]
        space = {kind.__name__: kind, "torch": torch}
        return cls(f"owner.{inner.__name__}", made, wanted, "vars(owner)", read, space)


def names_in(function: object) -> list[str]:
    """The names in a function's text that may be a critic's."""
    names = getattr(getattr(function, "__code__", None), "co_names", ())
    return [name for name in names if re.search(TABLE["arguments"]["critic"], name.lower())]


def meanings(name: str) -> list[str]:
    """What an argument or an attribute of that name may be, the likeliest first; anything if no one knows."""
    known = [code for code, names in TABLE["arguments"].items() if re.search(names, name.lower())]
    return known or list(TABLE["arguments"])


class Wrapper(NamedTuple):
    """One way to call a target: its arguments, the kind of critic, and what is set before."""

    target: Target
    arguments: Sequence[str]
    critic: dict[str, str]
    gpu: bool
    settings: tuple[str, ...] = ()

    def __str__(self):
        target, line = self.target, self.critic["line"]
        call = f"{target.call}({', '.join(self.arguments)})"
        before = [f"owner = {target.made}"] if target.made else []
        words = "\n".join((*self.settings, line, call))
        for name, text in reversed(TABLE["lines"].items()):
            if re.search(rf"\b{name}\b", words):
                before.insert(0, text)
                words += text
        body = "\n".join((*before, *[line] * bool(line), *self.settings, f"return {call}"))
        if line:
            body = re.sub(r"\bcritic(?=[,)]| *$)", "scorer", body, flags=re.MULTILINE)
        head = TABLE["cuda"]["head"] if self.gpu else ""
        body = f"{TABLE['cuda']['within']}\n{textwrap.indent(body, '    ')}" if self.gpu else body
        text = f"{head}\n\ndef audited(critic, x, x_fake):\n{textwrap.indent(body, '    ')}\n".lstrip()
        return f"import torch\n\n\n{text}" if "torch." in text else text

    @property
    def reasons(self) -> Iterator[str]:
        """Why the target cannot be called as it is."""
        if self.gpu:
            yield TABLE["cuda"]["said"]
        if tuple(self.arguments) != PLAIN:
            place = self.arguments.index("critic") if "critic" in self.arguments else 0
            where = f", with the critic as its {PLACES[place]} argument" if 0 < place < len(PLACES) else ""
            yield f"takes ({', '.join(self.target.arguments)}){where}"
        if self.settings:
            names = re.findall('"(.*?)"', " ".join(self.settings))
            places = {"vars(critic)": "the critic", "vars(owner)": "its object"}
            yield f"reads {', '.join(names)} from {places.get(self.settings[0].split('[')[0], 'its file')}"
        if self.critic["said"]:
            yield self.critic["said"]

    @property
    def function(self) -> Callable:
        """What the lines define."""
        space = dict(self.target.space)
        exec(str(self), space)
        return space["audited"]

    def tried(self) -> str:
        """What the function raised in it, "" if it gave a number that follows the critic's slope."""
        audited, errors = self.function, []
        for layout in LAYOUTS:
            values = []
            for probe in (PROBES[0], PROBES[3]):
                call = Call(audited, layout, probe, layout.segments(layout.m))
                if call.failure:
                    errors.append(call.failure)
                    break
                values.append(call.value.item())
            if len(values) == 2 and values[0] != values[1]:
                return ""
        return " ".join(errors) or "no critic"

    def mended(self) -> "Wrapper | None":
        """This one with what its target finds missing, if it then works."""
        error = self.tried()
        if not error:
            return self
        missing = re.search(r"'(\w+)' object has no attribute '(\w+)'", error)
        if missing is None or len(self.settings) == SETTINGS:
            return None
        kind, name = missing.groups()
        place = {"Critic": "vars(critic)", self.target.made.split("(")[0].split(".")[0]: "vars(owner)"}.get(
            kind
        )
        if place is None or (kind == "Critic" and name != "device" and hasattr(torch.Tensor, name)):
            return None
        lines = (f'{place}["{name}"] = {code}' for code in meanings(name)[:3])
        more = (self._replace(settings=(*self.settings, line)) for line in lines if line not in self.settings)
        return next(filter(None, (each.mended() for each in more)), None)


def wrappers(target: Target, gpu: bool) -> Iterator[Wrapper]:
    """The ways to call a target, the plain ones first."""
    choices = itertools.product(*map(meanings, target.arguments))
    choices = [*itertools.islice(choices, COMBINATIONS)]
    places = [(), *((f'{target.settings}["{name}"] = critic',) for name in dict.fromkeys(target.critics))]
    for critic, settings, arguments in itertools.product(TABLE["critics"], places, choices):
        if not critic["line"] or settings or "critic" in arguments:
            yield Wrapper(target, arguments, critic, gpu, settings)


def refuse(function: Callable, errors: str, accepts: Callable[[Callable], bool] | None = None) -> None:
    """Raise ``InputError`` with a wrapper in which the function can be judged; return if there is none.

    With ``accepts`` those wrappers alone count which it accepts, and whose critics give several values.
    """
    gpu = re.search(TABLE["cuda"]["when"], errors) is not None
    target = Target.of(function)
    known = getattr(getattr(function, "__wrapped__", function), "__globals__", {})
    before = dict(known)
    try:
        ways = (each for each in wrappers(target, gpu) if not accepts or "gives" in each.critic["said"])
        mended = (way for way in (each.mended() for each in ways) if way)
        found = next((way for way in mended if not accepts or accepts(way.function)), None)
    finally:
        known.update(before)
    if found:
        rule = "audit calls a function with (critic, x, x_fake) on the CPU, but this one"
        remedy = "Put these lines below it and name them instead: wganlab audit FILE.py:audited"
        raise InputError(f"{rule} {' and '.join(found.reasons)}. {remedy}\n\n{found}")
    if gpu:
        raise InputError(f"The function {TABLE['cuda']['said']}. {TABLE['cuda']['remedy']}")
