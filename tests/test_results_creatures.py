"""The kept generators of the creatures hold what the page on counting says, and the reader is a right one."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from wganlab import data, networks, sampling

RUN = data.results("creature_runs").arrays
RUNS = ("gp_0", "gp_1", "gp_2", "gan_0", "wgan_0")


@pytest.fixture(scope="module")
def script():
    path = Path(data.folder()) / "make_creature_runs.py"
    spec = importlib.util.spec_from_file_location("make_creature_runs", path)
    module = importlib.util.module_from_spec(spec)
    threads = torch.get_num_threads()
    spec.loader.exec_module(module)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    return module


def test_the_light_is_the_script_s(script):
    assert np.array_equal(RUN["light"], script.light)
    for kind, level in ((3, 0.5), (100, -0.8)):
        drawn = script.creatures.creature(*script.shipped["kinds"][kind], light=level)
        lit = script.shipped["templates"][kind] + level * RUN["light"][kind]
        assert np.sqrt((((drawn - lit) / 255) ** 2).sum()) < 0.5


def test_no_two_kinds_are_nearer_than_the_kept_distance(script):
    """By search over light and place, which the script does in closed form."""
    templates, lights = script.FAMILIES
    kinds = script.shipped["kinds"]
    differ = kinds[:, None] != kinds
    for part in range(5):
        pairs = np.argwhere(differ[:, :, part])[::400]
        least = np.inf
        for i, j in pairs:
            for level in np.linspace(-1, 1, 5):
                x = (templates[4 * 144 + i] + level * lights[4 * 144 + i])[None]
                one = slice(j, None, 144)
                square = ((x - templates[one]) ** 2).sum(1)
                along = ((x - templates[one]) * lights[one]).sum(1)
                size = (lights[one] ** 2).sum(1)
                a = np.clip(along / size, -1, 1)
                least = min(least, np.sqrt((square - 2 * a * along + a * a * size).min()))
        assert least > RUN["least"][part] - 1e-3


def test_the_reader_finds_the_kind_place_and_light(script):
    rng = np.random.default_rng(3)
    kinds = rng.integers(144, size=40)
    rows = kinds + 144 * rng.integers(9, size=40)
    x = script.FAMILIES[0][rows] + rng.uniform(-1, 1, (40, 1)).astype(np.float32) * script.FAMILIES[1][rows]
    found, distance, leads = script.read(x, *script.FAMILIES)
    assert np.array_equal(found, kinds)
    assert distance.max() < 0.15  # float32
    assert (leads > RUN["least"] ** 2 - 0.2).all()  # the proposition of the page
    away = x + 0.02 * rng.normal(size=x.shape)
    assert np.array_equal(script.read(away, *script.FAMILIES)[0], kinds)


def test_the_kept_generator_draws_what_was_counted(script):
    generator = networks.dcgan32_generator(script.LATENT)
    state = {k.removeprefix("gp_0.state."): torch.from_numpy(v) for k, v in RUN.items() if ".state." in k}
    generator.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    with torch.no_grad():
        z = sampling.normal(script.LATENT)(2000, torch.Generator().manual_seed(7))[:500]
        x = generator(z).add(1).div(2).permute(0, 2, 3, 1).numpy()
    kinds, distance, leads = script.read(x, *script.FAMILIES)
    assert (kinds == RUN["gp_0.kinds"][-1, :500]).mean() > 0.97  # the weights are kept in 16 bits
    assert np.abs(distance - RUN["gp_0.distances"][:500] / 20).max() < 0.2
    named = (leads >= RUN["least"] ** 2 / 2).all(1)
    assert abs(named.mean() - (RUN["gp_0.told"][-1, :500] == 31).mean()) < 0.02


def test_counts_of_five_runs_and_of_fresh_creatures():
    drawn = data.results("creatures").arrays["drawn"]
    for name in RUNS:
        assert RUN[f"{name}.kinds"].shape == RUN[f"{name}.told"].shape == (3, 2000)
        assert RUN[f"{name}.kinds"].max() < 144
        assert RUN[f"{name}.near"].shape == (2, 600)
    assert len({RUN[f"{name}.kinds"].tobytes() for name in RUNS}) == 5  # no run twice
    assert drawn[RUN["fresh.kinds"]].all()
    assert RUN["fresh.distances"].max() / 20 < 0.5
    assert (RUN["fresh.told"] == 31).all()
    assert len(set(RUN["fresh.kinds"])) == 120
