"""The bytes of the lab's kernel: book/_lab/core/kernel.wat, assembled, as core/bytes.mjs.

    python data/make_kernel.py

Needs wat2wasm (Debian's package wabt), whose output has no names and no dates: equal texts give equal bytes.
"""

import base64
import subprocess
import sys
from pathlib import Path

CORE = Path(__file__).resolve().parents[1] / "book" / "_lab" / "core"


def script(core: Path = CORE) -> str:
    """The module `bytes.mjs` of the text `kernel.wat` in the folder."""
    command = ["wat2wasm", str(core / "kernel.wat"), "--output=-"]
    made = subprocess.run(command, capture_output=True, check=True).stdout
    text = base64.b64encode(made).decode()
    return f'// kernel.wat, assembled by data/make_kernel.py\nexport const BYTES = "{text}";\n'


if __name__ == "__main__":
    try:
        (CORE / "bytes.mjs").write_text(script(), encoding="utf-8")
    except FileNotFoundError:
        sys.exit("wat2wasm is not installed: on Debian, apt-get install wabt")
    except subprocess.CalledProcessError as error:
        sys.exit(f"kernel.wat cannot be assembled:\n{error.stderr.decode()}")
