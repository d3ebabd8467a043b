"""``python -m wganlab`` and the command ``wganlab``: from arguments to an exit code.

0 done, 2 usage, 3 data, 4 checkpoint, 5 diverged, 6 audit or diagnose found a fault; 129, 130 and 143 ended
by SIGHUP, Ctrl-C and SIGTERM. A failure is one line on stderr, without a traceback unless ``--debug`` asks.
"""

import argparse
import importlib
import logging
import os
import sys

from .cli.grammar import parser
from .cli.terminal import print_error
from .errors import CheckpointError, DataError, DivergenceError, InputError, WganlabError

__all__ = ["main", "parser"]

CODES = {InputError: 2, DataError: 3, CheckpointError: 4, DivergenceError: 5, WganlabError: 1}
NO_MEMORY = ("can't allocate memory", "not enough memory", "CUDA out of memory")  # as PyTorch says it


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit code, and raises ``SystemExit`` where argparse does."""
    options = argparse.Namespace(debug=False)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it speaks up where HOME cannot be written
    try:
        options = parser().parse_args(arguments)
        # A verb is imported when it is called for: PyTorch takes a second.
        return importlib.import_module(f".cli.{options.verb}", __package__).run(options)
    except KeyboardInterrupt as stop:
        return 128 + (stop.args[0] if stop.args and isinstance(stop.args[0], int) else 2)
    except BrokenPipeError:
        return 141  # what a shell says of a program that a broken pipe has ended
    except Exception as error:
        if options.debug:
            raise
        return failure(error)


def failure(error: Exception) -> int:
    """Say in one line what went wrong, and give the exit code of its kind."""
    code, text = next((code for kind, code in CODES.items() if isinstance(error, kind)), None), str(error)
    if code is None and (isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY)):
        code, text = 2, "There is not enough memory for this. Take a smaller --batch, --size, --count or -n."
    elif code is None:
        code, text = 1, f"unexpected {type(error).__name__}: {error}"
    if "RANK" in os.environ:  # several processes may have met the same
        from .engine.ranks import should_report

        if not should_report(error):
            return code
    print_error(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
