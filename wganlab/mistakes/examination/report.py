"""What an audit says: named findings, each with what was seen, what it does, and the remedy."""

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

KNOWN = tomllib.loads(Path(__file__).with_name("known.toml").read_text(encoding="utf-8"))
KNOWN_BY = {"r1": ("zero-centred", "ends-only"), "foreign-units": ("wrong-target", "foreign-units")}
DEPARTURES = {"r1", "dragan", "pacgan", "arcs", "fewer-points"}  # other methods than WGAN-GP
WITHOUT_ENTRY = {"raises", "unknown", "not-finite", "one-partner", *DEPARTURES}
WITHOUT_ENTRY |= {"moving-critic", "stale-gradients", "sampling-mode", "other-n-critic"}


@dataclass(frozen=True)
class Finding:
    """One bug: its ``name``, what was ``seen``, its ``effect``, the ``remedy``, and the ZOO's key.

    >>> Finding.of("normal-eps", "eps from -3.1 to 2.9").entry
    'normal-eps'
    """

    name: str
    seen: str
    effect: str
    remedy: str
    entry: str | None

    @classmethod
    def of(cls, name: str, seen: str) -> "Finding":
        """The bug of that name in the table ``KNOWN``."""
        return cls(name, seen, **KNOWN[name], entry=None if name in WITHOUT_ENTRY else name)


@dataclass(frozen=True, repr=False)
class Report:
    """The findings and notes of one audit; ``ok`` if there is no finding.

    ``weight`` and ``one_sided`` are read off the returned numbers, None where they could not be.
    ``notes`` hold what is not a bug: a layout that the function does not take, say.

    >>> print(Report((), (), 10.0, False))
    ok: no known bug. The penalty is 10 * mean((slope - 1)^2), two-sided.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    weight: float | None
    one_sided: bool | None

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the findings."""
        return tuple(finding.name for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON.

        >>> Report((), (), 10.0, False).as_dict()["ok"]
        True
        """
        return {"ok": self.ok, **asdict(self)}

    def __str__(self):
        lines = [self.headline()]
        for finding in self.findings:
            lines += ["", finding.name]
            lines += [f"  {key:<8}{getattr(finding, key)}" for key in ("seen", "effect", "remedy")]
            lines += [f'  see     ZOO["{finding.entry}"]'] if finding.entry else []
        lines += ["", *(f"note: {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines)

    __repr__ = __str__

    def headline(self) -> str:
        """The first line: ok, or the names of the bugs."""
        if not self.ok:
            bugs, others = ([n for n in self.names if (n in DEPARTURES) is said] for said in (False, True))
            said = [f"{len(bugs)} bug{'s' * (len(bugs) > 1)} found: {', '.join(bugs)}"] if bugs else []
            return "; ".join(said + [f"departs from WGAN-GP: {', '.join(others)}"] * bool(others))
        if self.weight is None:
            return "ok: no known slip in this training step."
        cost, side = ("max(0, slope - 1)", "one") if self.one_sided else ("(slope - 1)", "two")
        kinds = " or ".join(note.split(":")[0] for note in self.notes if ": not taken (" in note)
        ok = f"ok, but not on {kinds}" if kinds else "ok"
        return f"{ok}: no known bug. The penalty is {self.weight:g} * mean({cost}^2), {side}-sided."
