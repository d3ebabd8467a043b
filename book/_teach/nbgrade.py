"""Run nbgrader over every assignment of a course folder, in one process: it takes seconds to start.

    .venv-teach/bin/python book/_teach/nbgrade.py release [folder]         source/ -> release/
    .venv-teach/bin/python book/_teach/nbgrade.py autograde [folder]       submitted/ -> autograded/ and marks

The same as `nbgrader generate_assignment NAME --force` and `nbgrader autograde NAME --force` for each name.
"""

import argparse
import os
import sys
from pathlib import Path

from nbgrader.apps import NbGraderAPI
from traitlets.config import PyFileConfigLoader

ROOT = Path(__file__).resolve().parents[2]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("release", "autograde"))
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "_build" / "assignments")
    chosen = parser.parse_args(arguments)
    os.chdir(chosen.folder)
    # nbgrader calls alembic by its name.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    api = NbGraderAPI(config=PyFileConfigLoader("nbgrader_config.py").load_config())
    failed = 0
    for name in sorted(api.get_source_assignments()):
        if chosen.step == "release":
            tasks = [(name, api.generate_assignment(name, force=True))]
        else:
            students = sorted(api.get_submitted_students(name))
            tasks = [(f"{name} of {one}", api.autograde(name, one, force=True)) for one in students]
        for what, result in tasks:
            print(f"{what}: {'done' if result['success'] else 'FAILED'}", flush=True)
            if not result["success"]:
                failed += 1
                print(result.get("error", ""), result.get("log", ""), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
