"""The kinds of failure that a reader can meet, each with its own class.

Every message says the rule, the value found and the remedy. Mistakes in what was
handed in are also ``ValueError``; what goes wrong while computing is also
``RuntimeError``.
"""


class WganlabError(Exception):
    """Any failure that wganlab reports on purpose."""


class InputError(WganlabError, ValueError):
    """An argument that breaks a rule of the function it was handed to."""


class DataError(WganlabError, ValueError):
    """A data file that is missing, altered or not what it says it is."""


class CheckpointError(WganlabError, ValueError):
    """A checkpoint that cannot be written, read or applied to this game."""


class SolverError(WganlabError, RuntimeError):
    """A solver's answer that could not be certified, so that no number is returned."""


class DivergenceError(WganlabError, RuntimeError):
    """A training run whose losses or weights are no longer finite."""


class ClaimError(WganlabError, AssertionError):
    """A claim of the book that does not hold."""


class RankError(WganlabError, RuntimeError):
    """A rank of a run on several devices that is silent, late or gone, or has other weights.

    ``blame`` says of which ranks what.
    """

    def __init__(self, message: str, blame: dict[int, str] | None = None):
        super().__init__(message)
        self.blame = blame or {}
