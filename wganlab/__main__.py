"""``python -m wganlab`` and the command ``wganlab``: from arguments to an exit code.

0 done, 2 usage, 3 data, 4 checkpoint, 5 diverged, 6 audit found a bug; 129, 130 and 143 ended by SIGHUP,
Ctrl-C and SIGTERM. A failure is one line on stderr, without a traceback unless ``--debug`` asks for it.
"""

import argparse
import os
import sys

from .cli.grammar import parser
from .cli.output import complain, flush, silence

__all__ = ["main", "parser"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit code, and raises ``SystemExit`` where argparse does."""
    options = argparse.Namespace(debug=False)
    try:
        try:
            options = parser().parse_args(arguments)
            return run(options)
        finally:
            flush()
    except KeyboardInterrupt as stop:
        return 128 + (stop.args[0] if stop.args and isinstance(stop.args[0], int) else 2)
    except BrokenPipeError:
        silence()
        return 141  # what a shell says of a program that a broken pipe has ended
    except Exception as error:
        if options.debug:
            raise
        return failure(error)


def run(options: argparse.Namespace) -> int:
    """The verb's exit code. A verb is imported when it is called for: PyTorch takes a second."""
    match options.verb:
        case "train":
            from .cli.train import run as verb
        case "sample":
            from .cli.sample import run as verb
        case "evaluate":
            from .cli.evaluate import run as verb
        case "audit":
            from .cli.audit import run as verb
        case _:
            from .cli.doctor import run as verb
    return verb(options)


def failure(error: Exception) -> int:
    """Say in one line what went wrong, and give the exit code of its kind."""
    from .errors import CheckpointError, DataError, DivergenceError, InputError, WganlabError

    codes = {InputError: 2, DataError: 3, CheckpointError: 4, DivergenceError: 5, WganlabError: 1}
    code = next((code for kind, code in codes.items() if isinstance(error, kind)), None)
    text = str(error) if code is not None else f"unexpected {type(error).__name__}: {error}"
    if code is None and out_of_memory(error):
        code, text = 2, "There is not enough memory for this. Take a smaller --batch, --size, --count or -n."
    if speaks(error):
        complain(text)
    return 1 if code is None else code


def speaks(error: Exception) -> bool:
    """Whether this process is the one of several to say what all of them may have met."""
    if "RANK" not in os.environ:
        return True
    from .engine.ranks import should_report

    return should_report(error)


def out_of_memory(error: Exception) -> bool:
    """Whether memory, of the computer or of a GPU, was asked for and not given."""
    words = ("can't allocate memory", "not enough memory", "CUDA out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


if __name__ == "__main__":
    sys.exit(main())
