"""``wganlab audit FILE.py:NAME``: the function is found, judged, and nothing of the file is left behind."""

import json
import sys
from pathlib import Path

import pytest
import torch

from wganlab import __main__ as cli

FILE = """
import torch
from torch import nn
from neighbour import WEIGHT
import argparse
argparse.ArgumentParser().parse_args()
print("imported")

def penalty(critic, x, x_fake):
    print("called")
    eps = torch.rand(len(x), *[1] * (x.ndim - 1))
    x_hat = (eps * x + (1 - eps) * x_fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    return WEIGHT * (gradient.flatten(1).norm(dim=1) - 1).square().mean()

def wrong(critic, x, x_fake):
    return -penalty(critic, x, x_fake)

def swapped(x, x_fake, critic):
    return penalty(critic, x, x_fake)

def of_pairs(critic, x, x_fake):
    assert x.shape[1:] == (7, 2)
    return penalty(critic, x, x_fake)

def step(generator, critic, optimizers, batch):
    for _ in range(3):
        fake = generator(torch.randn(len(batch), 2))
        optimizers.critic.zero_grad()
        (critic(fake).mean() - critic(batch).mean()).backward()
        optimizers.critic.step()
    optimizers.generator.zero_grad()
    (-critic(generator(torch.randn(len(batch), 2))).mean()).backward()
    optimizers.generator.step()

class Penalty:
    def __call__(self, critic, x, x_fake):
        return penalty(critic, x, x_fake)

    def method(self, critic, x, x_fake):
        return penalty(critic, x, x_fake)

class Needy:
    def __init__(self, weight): ...

    def of_its_critic(self, x, x_fake):
        return penalty(self.critic, x, x_fake)

    @staticmethod
    def apply(critic, x, x_fake):
        return penalty(critic, x, x_fake)

class Child(Needy): ...

class Quits:
    def __init__(self):
        exit(3)

def make_critic():
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))

critic = nn.Linear(2, 1)
number = 3
"""
RUDE = """
import os, torch
print("rude")
torch.manual_seed(0)
torch.set_grad_enabled(False)
torch.set_default_dtype(torch.float64)
torch.set_default_device("meta")
torch.autograd.set_detect_anomaly(True)
os.chdir("/")
def penalty(critic, x, x_fake):
    raise GeneratorExit
"""
FILES = {"mine.py": FILE, "rude.py": RUDE, "neighbour.py": "WEIGHT = 4.0", "syntax.py": "def"}
FILES |= {"raises.py": "1 / 0", "exits.py": "exit(3)", "text.txt": "f"}
OK = "ok: no known bug. The penalty is {} * mean((slope - 1)^2), two-sided.\n"


@pytest.fixture
def audit(tmp_path, monkeypatch, capsys):
    """The command in a folder with the files: exit code, stdout, and stderr but for what a file prints."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)

    def run(*words):
        code = cli.main(["audit", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err.replace("imported\n", "")

    return run


def test_a_function_is_judged_and_nothing_is_left_behind(audit, tmp_path):
    before = list(sys.path), list(sys.argv), set(sys.modules)
    assert audit("mine.py:penalty") == (0, OK.format(4), "")
    code, out, _ = audit("mine.py:wrong")
    assert (code, out.splitlines()[0]) == (6, "1 bug found: wrong-sign")
    assert (sys.path, sys.argv) == before[:2]
    assert not {name for name in set(sys.modules) - before[2] if "audited" in name or name == "neighbour"}
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)


@pytest.mark.parametrize("name", ["Penalty", "Penalty.method", "Needy.apply", "Child.apply"])
def test_classes_and_methods(name, audit):
    assert audit(f"mine.py:{name}")[:2] == (0, OK.format(4))


def test_critics(audit):
    code, out, _ = audit("mine.py:penalty", "--critic", "mine.py:critic")
    assert code == 0
    assert "note: critic: each row of shape (2,)" in out
    code, out, _ = audit("mine.py:penalty", "--critic", "mine.py:make_critic")
    assert code == 6
    assert out.startswith("1 bug found: mixes-rows")


@pytest.mark.parametrize(
    ("name", "said"), [("swapped", "takes (x, x_fake, critic)"), ("Needy.of_its_critic", "reads critic from")]
)
def test_what_takes_other_arguments_gets_a_wrapper_that_works(name, said, audit, tmp_path):
    code, out, err = audit(f"mine.py:{name}")
    first, _, wrapper = err.partition("\n\n")
    assert (code, out) == (2, "")
    assert said in first
    assert first.endswith("name them instead: wganlab audit mine.py:audited")
    code, out, _ = audit(f"mine.py:{name}", "--json")
    assert json.loads(out)[f"mine.py:{name}"]["wrapper"] == wrapper.rstrip("\n") + "\n"
    (tmp_path / "mine.py").write_text(FILE + wrapper)
    assert audit("mine.py:audited")[:2] == (0, OK.format(4))


def test_a_shape_of_ones_own(audit):
    code, out, _ = audit("mine.py:of_pairs", "--shape", "7,2", "--batch", "9")
    assert (code, out.splitlines()[0]) == (0, OK.format(4).rstrip())
    code, _, err = audit("mine.py:penalty", "--shape", "1,2,3,4,5")
    assert code == 2
    assert "a shape of 1 to 4 sizes" in err


def test_a_step(audit):
    code, out, _ = audit("mine.py:step", "--step", "--n-critic", "3")
    assert (code, out.splitlines()[0]) == (6, "1 bug found: attached-fakes")
    code, out, _ = audit("mine.py:step", "mine.py:penalty", "--step")
    assert (code, out) == (2, "mine.py:step: 2 bugs found: attached-fakes, other-n-critic\n")


def test_several_files_end_with_the_worst(audit, tmp_path):
    (tmp_path / "other").mkdir()
    for name, text in {"mine.py": FILE, "neighbour.py": "WEIGHT = 7.0"}.items():
        (tmp_path / "other" / name).write_text(text)
    places = ["mine.py:penalty", "other/mine.py:penalty"]
    said = "".join(f"{place}: {OK.format(weight)}" for place, weight in zip(places, (4, 7), strict=True))
    assert audit(*places) == (0, said, "")
    code, out, _ = audit("mine.py:wrong", "mine.py:penalty")
    assert (code, out.count("\n")) == (6, 2)
    code, out, err = audit("mine.py:wrong", "mine.py:absent", "mine.py:penalty")
    assert (code, out.count("\n"), err.count("has no 'absent'")) == (2, 2, 1)


def test_json(audit):
    code, out, _ = audit("--json", "mine.py:wrong", "mine.py:absent")
    found = json.loads(out)
    assert code == 2
    assert set(found["mine.py:wrong"]) == {"ok", "findings", "notes", "weight", "one_sided"}
    assert [finding["name"] for finding in found["mine.py:wrong"]["findings"]] == ["wrong-sign"]
    assert "has no 'absent'" in found["mine.py:absent"]["error"]


def test_one_student_does_not_change_the_verdict_on_the_next(audit):
    folder, state = Path.cwd(), torch.get_rng_state()
    code, out, err = audit("rude.py:penalty", "mine.py:penalty")
    assert code == 2
    assert out == f"mine.py:penalty: {OK.format(4)}"
    assert err == "rude\nwganlab: rude.py:penalty: it cannot be judged (GeneratorExit)\n"
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_device().type == "cpu"
    assert (torch.is_anomaly_enabled(), torch.is_grad_enabled(), Path.cwd()) == (False, True, folder)
    assert torch.equal(torch.get_rng_state(), state)


BROKEN = {
    "mine.py": "needs FILE.py:FUNCTION",
    "mine.py:": "needs FILE.py:FUNCTION",
    "none.py:f": "There is no file none.py to audit",
    "mine.py:f": "has no 'f'. It has: penalty, wrong, swapped",
    "mine.py:Penalty.f": "has no 'Penalty.f'",
    "mine.py:number": "got int",
    "mine.py:Needy": "cannot be made without arguments (TypeError",
    "mine.py:Quits": "cannot be made without arguments (SystemExit: 3). Name an instance.",
    "syntax.py:f": "cannot be imported (SyntaxError",
    "raises.py:f": "cannot be imported (ZeroDivisionError: division by zero)",
    "exits.py:f": "cannot be imported (SystemExit: 3)",
    "text.txt:f": "is no Python file",
    "mine.py:penalty --critic mine.py:number": "makes no critic",
    "mine.py:penalty --critic mine.py:Penalty": "makes no critic",
    "mine.py:penalty --critic mine.py:Needy.apply": "makes no critic",
    "mine.py:penalty --critic mine.py:none": "has no",
}


@pytest.mark.parametrize("words", BROKEN)
def test_what_cannot_be_read_is_one_line_and_2(words, audit):
    before = list(sys.path), set(sys.modules)
    code, out, err = audit(*words.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"wganlab: {words.split()[0]}: ")
    assert BROKEN[words] in err
    assert sys.path == before[0]
    assert not {name for name in set(sys.modules) - before[1] if "audited" in name or name == "neighbour"}
