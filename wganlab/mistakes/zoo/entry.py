"""One entry of the zoo: a wrong function, its right twin, and how to tell them apart."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

COMMON = "a common slip; no project is named here"


@dataclass(frozen=True)
class Entry:
    """``wrong`` and ``right``, the ``symptom`` with its number, ``where`` it was seen, and a ``check``.

    ``check(function)`` is True for the right function and False for the wrong one; it judges any
    function with the same arguments, so it marks an exercise. Both functions are written
    for this book from the description of the bug; no line is taken from the projects named.
    """

    wrong: Callable[..., Any]
    right: Callable[..., Any]
    symptom: str
    where: str
    check: Callable[[Callable[..., Any]], bool]


def entry(wrong: Callable, right: Callable, check: Callable) -> Entry:
    """The entry of a wrong function whose docstring says ``Symptom: ...`` and ``Seen in: ...``.

    Without the second it is a common slip.
    """
    paragraphs = (" ".join(part.split()) for part in (inspect.getdoc(wrong) or "").split("\n\n"))
    said = dict(part.split(": ", 1) for part in paragraphs if part.startswith(("Symptom: ", "Seen in: ")))
    return Entry(wrong, right, said.get("Symptom", ""), said.get("Seen in", COMMON), check)
