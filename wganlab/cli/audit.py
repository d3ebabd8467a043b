"""``wganlab audit``: known bugs in somebody's gradient penalty."""

import argparse
import json

from ..errors import InputError
from ..mistakes import audit
from .loading import loaded, loaded_critic
from .output import complain, say


def run(options: argparse.Namespace) -> int:
    """The exit code; a file that cannot be judged is one line on stderr, and the others are judged."""
    reports, code = {}, 0
    for place in options.places:
        try:
            with loaded(place) as function, loaded_critic(options.critic) as critic:
                report = audit(function, critic=critic)
        except InputError as error:
            complain(f"{place}: {error}")
            reports[place], code = {"error": str(error)}, 2
            continue
        except (Exception, GeneratorExit) as error:  # one file must not end the audit of the others
            if options.debug:
                raise
            said = f"it cannot be judged ({type(error).__name__})"
            complain(f"{place}: {said}")
            reports[place], code = {"error": said}, 2
            continue
        code = code or (0 if report.ok else 6)
        reports[place] = report.as_dict()
        if not options.json:
            say(str(report) if len(options.places) == 1 else f"{place}: {report.headline()}")
    if options.json:
        say(json.dumps(reports, indent=1))
    return code
