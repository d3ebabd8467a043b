"""What is said to a function that cannot be judged as it is: how to call it, as lines to paste.

The lines are put together from ``wrappers.toml`` and tried; they are shown if the function runs in them and
its number follows the critic's slope.
"""

import inspect
import itertools
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import nn

from ...errors import InputError
from .calls import BATCH, KINDS, PROBES, ROWS, Call, Layout

TABLE = tomllib.loads(Path(__file__).with_name("wrappers.toml").read_text(encoding="utf-8"))
PLAIN, COMBINATIONS, SETTINGS = ("critic", "x", "x_fake"), 120, 6
PLACES = {1: "second", 2: "third", 3: "fourth", 4: "fifth"}
USUAL = KINDS[:7:3] + KINDS[1:5:3]
LAYOUTS = [Layout(k, BATCH, row, *each) for k in ROWS for row in ROWS[k][:3:2] for each in USUAL]


def described(function: Callable) -> SimpleNamespace:
    """How a function or a method is called, by which names, and where it may keep a critic of its own."""
    method = function if inspect.isroutine(function) else getattr(function, "forward", function.__call__)
    owner, inner = getattr(method, "__self__", None), getattr(method, "__wrapped__", method)
    signature = inspect.signature(method).parameters.values()
    wanted = [p.name for p in signature if p.default is p.empty and p.kind < p.VAR_POSITIONAL]
    known, name = getattr(inner, "__globals__", {}), getattr(inner, "__name__", "")
    if owner is None:
        name, made = name if name.isidentifier() else "yours", ""
        settings, space = f"{name}.__globals__", {name: function}
        critics = [key for key in names_in(inner) if isinstance(known.get(key, 0), nn.Module | None)]
    else:
        kind, space = type(owner).__name__, {type(owner).__name__: type(owner)}
        name, settings = f"owner.{name}", "vars(owner)"
        critics = [*itertools.chain.from_iterable(map(names_in, vars(type(owner)).values()))]
        try:
            type(owner)()
            made = f"owner = {kind}()"
        except Exception:
            made = f"owner = {kind}.__new__({kind})"
    places = [(), *((f'{settings}["{key}"] = critic',) for key in dict.fromkeys(critics))]
    return SimpleNamespace(name=name, made=made, wanted=wanted, places=places, space=space, known=known)


def names_in(part: object) -> list[str]:
    """The names in a function's text that may be a critic's."""
    names = getattr(getattr(part, "__code__", None), "co_names", ())
    return [name for name in names if re.search(TABLE["arguments"]["critic"], name.lower())]


def meanings(name: str) -> list[str]:
    """What an argument or an attribute of that name may be, the likeliest first; anything if no one knows."""
    known = [code for code, names in TABLE["arguments"].items() if re.search(names, name.lower())]
    return known or list(TABLE["arguments"])


class Wrapper(NamedTuple):
    """One way to call a function: its arguments, the kind of critic, and what is set before."""

    target: SimpleNamespace
    arguments: tuple[str, ...]
    critic: dict[str, str]
    gpu: bool
    settings: tuple[str, ...] = ()

    def __str__(self):
        call = f"return {self.target.name}({', '.join(self.arguments)})"
        lines = [self.target.made, self.critic["line"], *self.settings, call]
        for name, text in reversed(TABLE["lines"].items()):
            if re.search(rf"\b{name}\b", "\n".join(lines)):
                lines.insert(0, text)
        body = "\n".join(filter(None, lines))
        if self.critic["line"]:
            body = re.sub(r"\bcritic(?=[,)]|$)", "scorer", body, flags=re.MULTILINE)
        if self.gpu:
            body = f"{TABLE['cuda']['within']}\n{textwrap.indent(body, '    ')}"
        text = f"def audited(critic, x, x_fake):\n{textwrap.indent(body, '    ')}\n"
        text = f"{TABLE['cuda']['head'].lstrip()}\n\n{text}" if self.gpu else text
        return f"import torch\n\n\n{text}" if "torch." in text else text

    @property
    def reasons(self) -> str:
        """Why the function cannot be called as it is."""
        place = PLACES.get("critic" in self.arguments and self.arguments.index("critic"))
        where = f", with the critic as its {place} argument" if place else ""
        settings = " ".join(self.settings)
        home = "the critic" if "critic)" in settings else "its object" if "owner" in settings else "its file"
        names = ", ".join(re.findall(r'"(\w+)"', settings))
        said = {
            TABLE["cuda"]["said"]: self.gpu,
            f"takes ({', '.join(self.target.wanted)}){where}": self.arguments != PLAIN,
            f"reads {names} from {home}": names,
            self.critic["said"]: self.critic["said"],
        }
        return " and ".join(text for text, case in said.items() if case)

    @property
    def function(self) -> Callable:
        """What the lines define."""
        space = {"torch": torch, **self.target.space}
        exec(str(self), space)
        return space["audited"]

    def tried(self) -> str:
        """What the function raised in it, "" if it gave a number that follows the critic's slope."""
        audited, errors = self.function, ""
        for layout in LAYOUTS:
            batch = layout.segments(BATCH)
            one, two = (Call(audited, layout, probe, batch) for probe in (PROBES[0], PROBES[3]))
            if not (one.failure or two.failure) and one.value != two.value:
                return ""
            errors += f"{one.failure or 'no critic'} "
        return errors

    def mended(self) -> "Wrapper | None":
        """This one with what the function finds missing, if it then works."""
        error = self.tried()
        missing = re.search(r"'(\w+)' object has no attribute '(\w+)'", error)
        if not error or missing is None or len(self.settings) == SETTINGS:
            return None if error else self
        kind, name = missing.groups()
        place = {"Critic": "vars(critic)", **dict.fromkeys(self.target.space, "vars(owner)")}.get(kind)
        if place is None or (kind == "Critic" and name != "device" and hasattr(torch.Tensor, name)):
            return None
        lines = (f'{place}["{name}"] = {code}' for code in meanings(name)[:3])
        more = (self._replace(settings=(*self.settings, line)) for line in lines if line not in self.settings)
        return next(filter(None, (each.mended() for each in more)), None)


def wrappers(target: SimpleNamespace, gpu: bool, accepts: Callable | None) -> Iterator[Wrapper]:
    """The ways to call a function that work, the plain ones first."""
    choices = itertools.islice(itertools.product(*map(meanings, target.wanted)), COMBINATIONS)
    choices = [PLAIN] if target.wanted == [*PLAIN] else choices
    for critic, settings, arguments in itertools.product(TABLE["critics"], target.places, choices):
        useful = "critic" in arguments or settings or not critic["line"]
        if useful and len({*arguments}) == len(arguments) and (not accepts or "gives" in critic["said"]):
            found = Wrapper(target, arguments, critic, gpu, settings).mended()
            if found and (not accepts or accepts(found.function)):
                yield found


def refuse(function: Callable, errors: str, accepts: Callable[[Callable], bool] | None = None) -> None:
    """Raise ``InputError`` with a wrapper in which the function can be judged; return if there is none.

    With ``accepts`` those wrappers alone count which it accepts, and whose critics give several values.
    """
    gpu, target = re.search(TABLE["cuda"]["when"], errors) is not None, described(function)
    if not (gpu or accepts) and not Wrapper(target, PLAIN, TABLE["critics"][0], gpu).tried():
        return  # it runs as it is, on data of another shape
    before = dict(target.known)
    found = next(wrappers(target, gpu, accepts), None)
    target.known.update(before)
    if found:
        raise InputError(f"{TABLE['refusal'].format(found.reasons)}\n\n{found}")
    if gpu:
        raise InputError(f"The function {TABLE['cuda']['said']}. {TABLE['cuda']['remedy']}")
