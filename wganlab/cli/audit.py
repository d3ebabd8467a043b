"""``wganlab audit``: known bugs in somebody's gradient penalty."""

import argparse
import contextlib
import json

from ..errors import InputError
from ..mistakes import audit
from .loading import loaded, loaded_critic
from .terminal import print_error, print_result


def run(options: argparse.Namespace) -> int:
    """The exit code; a file that cannot be judged is one line on stderr, and the others are judged."""
    reports, code = {}, 0
    for place in options.places:
        try:
            given = loaded_critic(options.critic) if options.critic else contextlib.nullcontext()
            with loaded(place) as function, given as critic:
                report = audit(function, critic=critic)
        except (Exception, GeneratorExit) as error:  # one file must not end the audit of the others
            foreseen = isinstance(error, InputError)
            if options.debug and not foreseen:
                raise
            said = str(error) if foreseen else f"it cannot be judged ({type(error).__name__})"
            print_error(f"{place}: {said}")
            reports[place], code = {"error": said}, 2
            continue
        code = code or (0 if report.ok else 6)
        reports[place] = report.as_dict()
        if not options.json:
            print_result(str(report) if len(options.places) == 1 else f"{place}: {report.headline()}")
    if options.json:
        print_result(json.dumps(reports, indent=1))
    return code
