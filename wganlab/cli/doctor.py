"""``wganlab doctor``: what this machine has, and a few seconds of proof that it computes right."""

import argparse
import importlib
import json
import locale
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .. import __version__
from .terminal import print_result


def run(options: argparse.Namespace) -> int:
    """The exit code: 0 if all that is required works, else 1."""
    findings = [tried(*check) for check in CHECKS]
    lacking = ", ".join(finding["name"] for finding in findings if finding["required"] and not finding["ok"])
    if options.json:
        print_result(json.dumps({"ok": not lacking, "findings": findings}, indent=1))
        return int(bool(lacking))
    for finding in findings:
        mark = "ok" if finding["ok"] else "FAILED" if finding["required"] else "-"
        print_result("{0:7}{name:14}{found}".format(mark, **finding))
    print_result(f"Not well: {lacking}. Mend that first." if lacking else "All that is required works.")
    return int(bool(lacking))


def tried(name: str, look: Callable[[], str], required: bool) -> dict[str, str | bool]:
    """What was looked at, whether it is well, what was found, and whether wganlab cannot do without.

    What ``look`` raises is a finding too.
    """
    try:
        ok, found = True, look()
    except Exception as error:  # a sick machine is what a doctor is for
        ok, found = False, " ".join(f"{type(error).__name__}: {error}".split())
    return {"name": name, "ok": ok, "found": found, "required": required}


def version(package: str) -> str:
    """The version of a package that can be imported, as it says it itself: 2.13.0+cu130."""
    return importlib.import_module("ot" if package == "POT" else package).__version__


def devices() -> str:
    """The device that training will use, and all GPUs."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = map(torch.cuda.get_device_properties, range(count))
    named = "; ".join(f"{gpu.name}, {gpu.total_memory / 2**30:.1f} GiB" for gpu in gpus)
    machine = f"{platform.system()} {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    return f"{named or 'no CUDA device: training uses the CPU'} ({machine})"


def threads() -> str:
    """How many threads PyTorch would take, and how many cores there are."""
    import torch

    from ..engine.cost import cores

    return f"{torch.get_num_threads()} of PyTorch, {cores()} cores"


def memory() -> str:
    """The computer's memory, and what of it is free; raises where the system does not tell."""
    page = os.sysconf("SC_PAGE_SIZE") / 2**30
    total, free = (os.sysconf(name) * page for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    return f"{total:.1f} GiB, {free:.1f} GiB free"


def data_here() -> str:
    """The data sets that are here; raises if those that ship are not whole."""
    from .. import data

    found = data.summary()
    data.digits()
    return "; ".join(f"{name}: {what}" for name, what in found.items() if name != "cache")


def cache() -> str:
    """The folder of downloads; raises if it cannot be written."""
    from .. import data

    place = data.cache()
    near = next(parent for parent in (place, *place.parents) if parent.exists())
    with tempfile.TemporaryFile(dir=near):
        return f"{place}, writable, {shutil.disk_usage(near).free / 2**30:.1f} GiB free"


def compiler() -> str:
    """The C++ compiler that ``--accelerate compile`` calls."""
    from ..engine.compiled import compiler as find

    found = find()
    if found is None:
        raise LookupError("none found, so --accelerate compile does not work; fast needs none")
    return found


def distributed() -> str:
    """How several processes would meet, and who starts them."""
    from torch import distributed

    kinds = ("gloo", "nccl", "mpi") if distributed.is_available() else ()
    backends = ", ".join(kind for kind in kinds if getattr(distributed, f"is_{kind}_available")())
    torchrun = shutil.which("torchrun", path=Path(sys.executable).parent) or shutil.which("torchrun")
    return f"{backends or 'no backend'}; torchrun: {torchrun or 'none, use python -m torch.distributed.run'}"


def same_gradient() -> str:
    """WGAN-GP's gradient for a critic, written out and by autograd, in float64; raises unless they agree."""
    from .. import networks, recipes, sampling
    from ..engine import fast
    from ..training import Game

    game = Game(networks.mlp(2, 2).double(), networks.mlp(2, 1).double(), recipes.wgan_gp)
    batch = [part.double() for part in sampling.Draw(sampling.ring(), sampling.normal(2), 64)(0, 0)]
    pairs = zip(*(played.critic_gradient(*batch)[2] for played in (game, fast(game))), strict=True)
    off = max((plain - quick).abs().max().item() for plain, quick in pairs)
    if not off <= 1e-9:
        raise ArithmeticError(f"the written-out gradient is {off:.1e} from autograd's")
    return f"fast and plain agree to {off:.0e}"


def exact_plan() -> str:
    """One exact transport, whose answer is known; raises unless it is right and proved."""
    import numpy as np

    from ..transport import emd

    x = np.linspace(0, 1, 100)
    found = emd(x, x[::-1] + 2)
    if not abs(found.distance - 2) <= 1e-9:
        raise ArithmeticError(f"W1 of a cloud moved by 2 came out as {found.distance!r}")
    return f"W1 = {found.distance:.9g}, as it must be, duality gap {found.gap:.0e}"


PACKAGES = ("torch", "numpy", "scipy", "POT", "matplotlib", "tqdm")
CHECKS: list[tuple[str, Callable[[], str], bool]] = [
    ("wganlab", lambda: f"{__version__} in {Path(__file__).parent.parent}", True),
    ("python", platform.python_version, True),
    *((name, partial(version, name), True) for name in PACKAGES),
    ("device", devices, True),
    ("threads", threads, True),
    ("memory", memory, False),
    ("data", data_here, True),
    ("cache", cache, False),
    ("compiler", compiler, False),
    ("distributed", distributed, False),
    ("locale", lambda: f"{locale.getpreferredencoding(False)}, stdout {sys.stdout.encoding}", False),
    ("training", same_gradient, True),
    ("transport", exact_plan, True),
]
