"""examples/wgan_gp.py is the library's loop, and what its first lines promise comes out."""

import re
import runpy
from pathlib import Path

import pytest
import torch
from games import equal, weights_of

from wganlab import networks
from wganlab.training import Game, train

SOURCE = Path(__file__).parents[1] / "examples" / "wgan_gp.py"


def run(tmp_path, monkeypatch, recipe: str, turns: int) -> dict:
    """The example with another recipe and number of turns: its names at the end."""
    line = "recipe, turns = wgan_gp, 1000\n"
    source = SOURCE.read_text(encoding="utf-8")
    assert source.count(line) == 1
    path = tmp_path / "example.py"
    path.write_text(source.replace(line, f"recipe, turns = {recipe}, {turns}\n"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return runpy.run_path(str(path))


@pytest.mark.parametrize("recipe", ["wgan_gp", "wgan"])
def test_it_equals_the_library_bit_for_bit(tmp_path, monkeypatch, recipe):

    names = run(tmp_path, monkeypatch, recipe, 4)
    torch.manual_seed(0)
    game = Game(networks.mlp(2, 2), networks.mlp(2, 1), names["recipe"])
    for _ in train(game, names["draw"], until=4):
        pass
    assert equal(weights_of(game.generator, game.critic), weights_of(names["generator"], names["critic"]))
    assert (tmp_path / "wgan_gp.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_penalised_critic_measures_and_the_clipped_one_does_not(tmp_path, monkeypatch, capsys):
    ends = {}
    for recipe in ("wgan_gp", "wgan"):
        run(tmp_path, monkeypatch, recipe, 600)
        last = capsys.readouterr().out.splitlines()[-1]
        estimate, exact, modes = re.search(r"estimate +(\S+), exact W1 (\S+) .* (\d) of 8", last).groups()
        ends[recipe] = float(estimate), float(exact), int(modes)
    estimate, exact, modes = ends["wgan_gp"]
    assert 0.5 * exact < estimate < exact < 0.3
    assert modes == 8
    estimate, exact, _ = ends["wgan"]
    assert abs(estimate) < 0.01 < 0.15 < exact < 0.6
