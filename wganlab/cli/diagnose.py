"""``wganlab diagnose``: what a run's log says of it, in plain sentences, with a last look at its end."""

import argparse
import json
import math
from pathlib import Path

import torch

from .. import curves
from ..recipes import Recipe
from .config import CHECKPOINT, load_run
from .evaluate import real_samples, stream
from .sample import generate
from .terminal import print_result


def run(options: argparse.Namespace) -> int:
    """The exit code: 6 if there is an alarm."""
    place, recipe, seen = options.place, None, {}
    log = curves.read(place / "log.csv" if place.is_dir() else place)
    if (place / CHECKPOINT).exists():
        recipe, seen = last_look(place)
    findings = curves.diagnose(log | seen, recipe=recipe)
    if options.json:
        numbers = {name: None if math.isnan(value) else value for name, value in seen.items()}
        report = {"place": str(place), "rows": len(log["step"]), "seen": numbers}
        print_result(json.dumps(report | {"findings": [one._asdict() for one in findings]}, indent=1))
    else:
        print_result("\n".join(map(str, findings)))
    return 6 if any(finding.alarm for finding in findings) else 0


def last_look(folder: Path) -> tuple[Recipe, dict[str, float]]:
    """The recipe of the run in a folder, and what ``curves.look`` sees of its players as they are now."""
    config, game, _ = load_run(folder)
    data, rng = config.load(), stream(config.seed, 2)
    n = min(256, len(data) // 2) if torch.is_tensor(data) else 256
    fake = generate(game.generator, config.dataset.latent, n, rng)
    return game.recipe, curves.look(game.critic, *real_samples(data, config.data, n, config.seed), fake)
