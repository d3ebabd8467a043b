"""Trains two-sided critics of another width and activation on the pair in the plane; five CPU-minutes.

    python data/make_widths.py

Writes data/runs/widths.npz and .json: two normals against one between them, as in data/make_penalty.py, with
the two-sided penalty of weight 10.

    names       (2,) softplus 64-64 and SiLU 256-256-256; SiLU 64-64 is in penalty.npz
    estimate    (2, 3) name, seed: on 2^18 fresh points
    objective   (2, 3) the estimate less the penalty
"""

import time
from pathlib import Path

import numpy as np
import torch
from make_penalty import one_normal, penalised, tower, two_normals
from torch import nn

from wganlab import data

CRITICS = {
    "softplus 64-64": (nn.Softplus, 64, 64),
    "SiLU 256-256-256": (nn.SiLU, 256, 256, 256),
}
WEIGHT, SEEDS = 10.0, 3

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    begin, clock = time.perf_counter(), time.process_time()
    kept = {"names": np.array(list(CRITICS))}
    kept |= {name: np.zeros((len(CRITICS), SEEDS)) for name in ("estimate", "objective")}
    for i, (name, (activation, *hidden)) in enumerate(CRITICS.items()):
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            critic = tower(activation, 2, *hidden, 1)
            found = penalised(two_normals, one_normal, critic, WEIGHT, False, seed)
            kept["estimate"][i, seed], kept["objective"][i, seed] = found
            print(f"{name:17} {seed}: {np.round(found, 4)} {time.process_time() - clock:.0f} s", flush=True)
    about = {
        "command": "python data/make_widths.py",
        "what": "two-sided critics of other widths against two normals and one in the plane",
        "seconds": round(time.perf_counter() - begin),
        "cpu_seconds": round(time.process_time() - clock),
    }
    data.save_results(Path(__file__).parent / "runs", "widths", kept, about)
    print(f"{about['seconds']} s, {about['cpu_seconds']} CPU-s")
