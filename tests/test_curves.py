"""The doctor for curves: each finding on a log made by hand, on both sides of its limit, and files."""

import json
import os
import re
import string
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from wganlab import Draw, Game, __main__, curves, data, fit, networks, recipes, sampling, train
from wganlab.cli.train import COLUMNS, Log
from wganlab.constraints import Constraint, GradientPenalty, WeightClipping
from wganlab.errors import DataError, InputError
from wganlab.training import Step

N = 40
FLAT = np.ones(N)
ALTERNATING = np.where(np.arange(N) % 2, 1.0, -1.0)
FALLING = np.geomspace(1, 0.1, N)


def log(estimate=FLAT, **columns):
    """A healthy log, but for what is given; the estimate rests at 1."""
    estimate = np.asarray(estimate)
    found = {
        "step": np.arange(1, N + 1) * 50,
        "critic_loss": -estimate,
        "generator_loss": 0.5 * FLAT[: len(estimate)],
    }
    return found | {"estimate": estimate} | columns


def names(log, recipe=None):
    return [finding.name for finding in curves.diagnose(log, recipe=recipe)]


def after(first, second):
    """A curve of two halves."""
    return np.repeat([first, second], N // 2).astype(float)


def quarters(*values):
    return np.repeat(values, N // 4).astype(float)


def looked(**numbers):
    found = {"slope": 1.0, "w1": 0.4, "floor": 0.1, "gap": 0.4, "spread": 1.0} | numbers
    return log() | {key: np.array([value]) for key, value in found.items()}


gp, clip = recipes.wgan_gp, recipes.wgan
NO_ESTIMATE = {"step": np.arange(N), "critic_loss": FLAT}
CASES = {  # a log that shows it, one that is just not enough, and the recipe
    "not-finite": (log(penalty=after(0.1, np.nan)), log(penalty=after(0.1, 0.2)), None),
    "too-short": ({k: v[:15] for k, v in log().items()}, {k: v[:16] for k, v in log().items()}, None),
    "below-zero": (log(np.repeat([1, -1], [25, 15])), log(np.repeat([1, -1], [26, 14])), None),
    "runaway": (log(quarters(1, 1, 5, 20)), log(quarters(1, 1, 5, 19.9)), None),
    "swings": (*(log(ALTERNATING, generator_loss=k * ALTERNATING) for k in (2.5, 2.6)), None),
    "flat": (log(0 * FLAT), log(1e-100 * FLAT), None),
    "penalty-negative": (log(penalty=after(1, -0.1)), log(penalty=after(-1, 0.1)), None),
    "penalty-gone": (log(penalty=after(1, 0)), log(penalty=after(1, 1e-9)), None),
    "penalty-free": (log(penalty=after(1, 0)), log(penalty=after(1, 1e-9)), recipes.wgan_lp),
    "penalty-unheeded": (log(penalty=after(1, 5)), log(penalty=after(1, 4.9)), None),
    "penalty-still": (log(penalty=after(1, 0.9)), log(penalty=after(1, 0.89)), None),
    "does-not-fit": (log(penalty=FALLING**9 * 1e-3), log(penalty=FALLING * 0.1), gp),
    "won": (NO_ESTIMATE | {"critic_loss": 0.02 * FLAT}, NO_ESTIMATE | {"critic_loss": 0.021 * FLAT}, None),
    "even": (NO_ESTIMATE | {"critic_loss": 1.386 * FLAT}, NO_ESTIMATE, None),
    "at-rest": (log(quarters(9, 3, 1, 0.75)), log(quarters(9, 3, 1, 0.74)), None),
    "mixes-rows": (looked(slope=np.nan), looked(), gp),
    "slope-low": (looked(slope=0.5), looked(slope=0.51), gp),
    "slope-high": (looked(slope=2.04), looked(slope=2.03), gp),  # 1 + 0.4 / 20 is due
    "beyond-clip": (looked(largest_weight=0.0101), looked(largest_weight=0.01, at_clip=0.5), clip),
    "clip-idle": (looked(largest_weight=0.00998), looked(largest_weight=0.009991, at_clip=0.5), clip),
    "at-clip": (looked(largest_weight=0.01, at_clip=0.5), looked(largest_weight=0.02, at_clip=0.5), clip),
    "together": (looked(spread=0.1), looked(spread=0.11), None),
    "apart": (looked(spread=3.0), looked(spread=2.9), None),
    "near-floor": (looked(w1=0.15), looked(w1=0.16), None),
    "floor": (looked(), log(), None),
    "calm": (log(), log(-FLAT), None),
    "unread": (NO_ESTIMATE, log(), None),
}


@pytest.mark.parametrize("name", CASES)
def test_each_finding_on_both_sides_of_its_limit(name):
    shown, hidden, recipe = CASES[name]
    assert name in names(shown, recipe)
    assert name not in names(hidden, recipe)


def test_every_finding_is_tried_and_has_a_page_and_all_its_words():
    assert set(curves.KNOWN) == {*CASES, "rest"}
    pages = {path.stem for path in (Path(__file__).parents[1] / "book").glob("*.*")}
    for name, known in curves.KNOWN.items():
        assert known["page"] in pages, name
        fields = {field for _, field, _, _ in string.Formatter().parse(known["sentence"]) if field}
        beside = {"not-finite": "column value", "at-rest": "level", "at-clip": "clip"}
        beside |= {"slope-low": "slope due", "slope-high": "slope due"}
        beside |= {"beyond-clip": "clip largest_weight", "clip-idle": "clip largest_weight"}
        assert fields <= {*known["when"], *beside.get(name, "").split()}, name


def test_a_run_that_has_just_begun_is_not_called_ill():
    young = {key: value[:15] for key, value in looked(slope=0.01, spread=0.01, largest_weight=0.001).items()}
    for recipe in (gp, clip):
        assert [finding.name for finding in curves.diagnose(young, recipe=recipe)] == [
            "too-short",
            "floor",
            "rest",
        ]


def test_alarms_come_first_and_a_sentence_says_its_number():
    findings = curves.diagnose(log(ALTERNATING))
    assert [finding.alarm for finding in findings] == sorted((f.alarm for f in findings), reverse=True)
    swings = next(finding for finding in findings if finding.name == "swings")
    assert str(swings).startswith("! The estimate swings about zero: 100 % of the rows")
    assert str(swings).endswith("(book/04_dynamics)")
    assert [finding.name for finding in curves.diagnose(log())] == ["calm", "at-rest", "rest"]


def test_nothing_after_the_first_row_that_is_not_finite_counts():
    estimate = after(1, -1)
    estimate[20] = np.inf
    findings = curves.diagnose(log(estimate))
    assert findings[0].sentence.startswith("At step 1050, critic_loss is -inf")
    assert "below-zero" not in [finding.name for finding in findings]


@pytest.mark.parametrize("name", [name for name, (_, _, recipe) in CASES.items() if recipe is None])
@pytest.mark.parametrize("unit", [2.0**-40, 2.0**40])
def test_a_log_has_no_unit(name, unit):
    """Without a recipe the findings are those of the same log in other units; a cross entropy has one."""
    for found in CASES[name][:2]:
        if "estimate" in found:
            scaled = {k: v * unit if k in curves.CURVES[1:] else v for k, v in found.items()}
            assert names(scaled) == names(found)


@pytest.mark.parametrize("distance", [0.1, 1.0, 30.0])
def test_a_critic_at_rest_fits_its_penalty(distance):
    """Atoms at 0 and d, f(x) = s x, s = 1 + d / (2 weight): the ratio of the sentence is 1 for every d."""
    weight = recipes.wgan_gp.constraint.weight
    s = 1 + distance / (2 * weight)
    known = {"estimate": s * distance * FLAT, "penalty": weight * (s - 1) ** 2 * FLAT}
    assert curves.of_curves(known, weight)["misfit"] == pytest.approx(1, rel=1e-9)


def test_quarters_and_shares_by_hand():
    said = curves.of_curves(
        {"estimate": quarters(1, 2, -3, 4), "generator_loss": quarters(1, 1, 7, 9)}, np.nan
    )
    expected = {"below": 50, "growth": 2, "pace": 4 / 3, "level": 3.5, "share": 3.5, "turns": 100 / 19}
    assert said == pytest.approx(expected, rel=1e-12)


def test_steps_and_the_log_of_the_same_run_say_the_same(tmp_path):
    torch.manual_seed(0)
    game = Game(networks.mlp(2, 2, hidden=(8,)), networks.mlp(2, 1, hidden=(8,)), recipes.wgan_gp_toy)
    draw = Draw(sampling.ring(), sampling.normal(2), 16)
    steps = []
    with Log(tmp_path / "log.csv", 1, 0, measures=True) as book:
        for step in train(game, draw, until=30):
            steps.append(step)
            book.write(step)
    read = curves.read(tmp_path / "log.csv")
    assert list(read) == list(curves.CURVES)
    assert set(COLUMNS) == {*curves.CURVES, "seconds"}
    assert curves.diagnose(steps, recipe=game.recipe) == curves.diagnose(read, recipe=game.recipe)
    alone = [Step(step.index, step.critic_loss, step.penalty) for step in steps]  # as fit gives them
    assert "at-rest" in names(alone, game.recipe) or names(alone, game.recipe)[-1] == "rest"


def test_look_by_hand():
    critic = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Flatten(0)).double()
    critic[0].weight.data = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    real = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]).double()
    found = curves.look(critic, real, real + 1, 2 * real)
    expected = {
        "slope": 1,
        "largest_weight": 0.8,
        "at_clip": 0.5,
        "gap": -5,
        "w1": 5,
        "floor": 2**0.5,
        "spread": 2,
    }
    assert found == pytest.approx(expected, rel=1e-12)
    mixing = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1), nn.Flatten(0)).double()
    assert np.isnan(curves.look(mixing, real, real, real)["slope"])


def test_what_look_says_of_a_critic_and_does_not_do_to_it():
    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    mixing = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1), nn.Flatten(0))
    before = mixing[0].running_mean.clone()
    curves.look(mixing, x, x, x + 1)
    assert torch.equal(mixing[0].running_mean, before)
    plain = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    seen = [curves.look(plain, *rows) for rows in ((x, x, x + 1), (x.double(), x.double(), x.double() + 1))]
    assert seen[1] == pytest.approx(seen[0], rel=1e-5, abs=1e-6)
    with pytest.raises(InputError, match="one score a row"):
        curves.look(nn.Sequential(nn.Linear(2, 1)), x, x, x)


@pytest.mark.parametrize("constraint", [GradientPenalty(1.0), GradientPenalty(1.0, one_sided=True)])
def test_a_perfect_generator_is_not_called_ill_by_the_last_look(constraint):
    """The laws are equal, so the estimate is noise about zero, and each alarm by its sign is a false one."""
    torch.manual_seed(0)
    recipe = replace(recipes.wgan_gp_toy, constraint=constraint)
    ring, critic = sampling.ring(), networks.mlp(2, 1, hidden=(16, 16))
    steps = list(fit(critic, Draw(ring, ring, 32, seed=0), recipe, 150))
    rng = torch.Generator().manual_seed(1)
    end = curves.look(critic, *(ring(128, rng) for _ in range(3)))
    assert end["w1"] < 1.5 * end["floor"]
    log = dict(zip(curves.CURVES, zip(*(map(float, step[:3]) for step in steps), strict=True), strict=False))
    found = curves.diagnose(log | end, recipe=recipe)
    assert "near-floor" in {finding.name for finding in found}
    assert not any(finding.alarm for finding in found)


@pytest.mark.parametrize(
    ("name", "found", "recipe"),
    [
        ("runaway", log(quarters(0.01, 0.01, 1, 1)), None),  # it has come to rest again
        ("penalty-gone", log(penalty=np.where(np.arange(N) % 5 < 2, 0.2, 0)), None),
        ("penalty-gone", log(penalty=after(1, 0)), recipes.wgan_lp),
        ("does-not-fit", log(penalty=after(1, 0)), recipes.wgan_lp),
        ("slope-low", looked(slope=0.1), recipes.wgan_lp),
        ("below-zero", log(-FLAT) | looked(w1=0.1, floor=0.1) | {"estimate": -FLAT}, None),
        ("won", NO_ESTIMATE | {"critic_loss": -0.01 * FLAT}, None),
        ("even", NO_ESTIMATE | {"critic_loss": 1.386 * FLAT}, recipes.sn_gan),
        ("even", NO_ESTIMATE | {"critic_loss": -1.386 * FLAT}, None),
        ("at-rest", log(0 * FLAT), None),
        ("calm", log(after(1, np.nan)), None),
        ("swings", {k: v for k, v in log(ALTERNATING).items() if k != "generator_loss"}, None),
    ],
)
def test_what_is_not_said(name, found, recipe):
    assert name not in names(found, recipe)


# Reading


HEADER = "step,critic_loss,penalty\n"
OWN = {
    "a byte order mark, spaces, an empty column and one of one's own": (
        "\ufeffstep,critic_loss,estimate,mine\n1, 0.5,,a\n2,nan,,b\n\n3,-Infinity,,\n",
        {"step": [1, 2, 3], "critic_loss": [0.5, np.nan, -np.inf]},
    ),
    "a row that was cut off": (f"{HEADER}1,2,3\n2,3", {"step": [1], "critic_loss": [2], "penalty": [3]}),
    "a row that was cut after its last comma": (
        f"{HEADER}1,2,3\n2,3,",
        {"step": [1], "critic_loss": [2], "penalty": [3]},
    ),
    "what was looked at": (
        "step,critic_loss,slope\r\n1,2,1.5\r\n2,2,1.25\r\n",
        {"step": [1, 2], "critic_loss": [2, 2], "slope": [1.5, 1.25]},
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_a_log_of_ones_own(name, tmp_path):
    text, expected = OWN[name]
    (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
    read = curves.read(tmp_path / "mine.csv")
    assert set(read) == set(expected)
    for column, values in expected.items():
        np.testing.assert_array_equal(read[column], values)


BAD = {
    "": "needs the column 'step', and has: none",
    "epoch,loss\n0,1.5\n": "needs the column 'step', and has: epoch, loss. Name yours so: step, critic_loss",
    "Wall time,Step,Value\n1,2,3\n": "needs the column 'step', and has: Wall time, Step, Value",
    "step,loss\n1,2\n": "needs the column 'critic_loss', and has: step, loss",
    HEADER: "has no rows yet. 'wganlab train --log N'",
    f"{HEADER}1,2": "has no rows yet",
    f"{HEADER}1,2,3\n2,much,3\n": "line 3, 'critic_loss': could not convert string to float: 'much'",
    f"{HEADER}1,1_000,3\n": "line 2, 'critic_loss': .*1_000",
    "step,critic_loss\n1,2\x0c3\n": "line 2, 'critic_loss'",
    'step,critic_loss\n1,"2\n3"\n': "line 3, 'critic_loss'",
    f"{HEADER}1{400 * '0'},2,3\n": "needs finite steps, got inf",
    f"{HEADER}1,2,3\n2,3\n3,4,5\n": "line 3, 'penalty': could not convert string to float: ''",
    f"{HEADER}1,2,3\n2,3,\n3,4,5\n": "line 3, 'penalty': could not convert string to float: ''",
    f"{HEADER}1,0,5,0,1\n2,0,4,0,1\n": "has columns without a name of their own: step, critic_loss, penalty",
    "step,critic_loss,step\n1,2,3\n": "has columns without a name of their own: step, critic_loss, step",
    f"{HEADER}1,2,3\n1,2,3\n": "its steps grow, but 1 follows 1. Cut it there",
    f"{HEADER}5,2,3\nnan,2,3\n": "its steps grow, but nan follows 5",
    '"step,critic_loss\n1,2\n': "Cannot read .*unexpected end of data",
    "step,critic_loss\n1,\0\n": "(line 2|line contains NUL)",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_log_is_refused_with_the_value_found(text, tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=BAD[text]):
        curves.read(path)
    assert __main__.main(["diagnose", str(path)]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert re.match(r"wganlab: [^\n]+\n$", said.err)


def test_files_that_cannot_be_read(tmp_path, capsys):
    (tmp_path / "latin.csv").write_bytes(b"step,critic_loss,\xfc\n")
    os.mkfifo(tmp_path / "pipe")
    for name in ("none", "", "pipe", "x" * 300):
        assert __main__.main(["diagnose", str(tmp_path / name)]) == 3
        assert "There is no log" in capsys.readouterr().err
    assert __main__.main(["diagnose", str(tmp_path / "latin.csv")]) == 3
    assert "Cannot read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "needs columns by name, or Steps with their recipe=.*got nothing"),
        ([Step(1, 2.0, 3.0)], "recipe=.*got Step"),
        (None, "recipe=.*got NoneType"),
        (5, "recipe=.*got int"),
        ({"step": [np.nan], "critic_loss": [1.0]}, "needs finite steps, got nan"),
        ({"step": [1], "critic_loss": [torch.ones((), requires_grad=True)]}, "requires grad"),
        (
            {"step": [1], "critic_loss": torch.ones(1, device="meta")},
            "'critic_loss' must be an array of real",
        ),
        ({}, "needs the column 'step', and has: none"),
        (
            {"step": [1, 2], "critic_loss": [1.0]},
            "as many numbers in each curve, found step: 2, critic_loss: 1",
        ),
        ({"step": [1, 2], "critic_loss": [[1.0], [2.0]]}, "'critic_loss' must be a non-empty vector"),
        ({"step": [1, 2], "critic_loss": ["a", "b"]}, "'critic_loss' must be an array of real numbers"),
        ({"step": [2, 1], "critic_loss": [1.0, 2.0]}, "its steps grow, but 1 follows 2"),
    ],
)
def test_columns_that_are_no_log(steps, message):
    with pytest.raises(InputError, match=message):
        curves.diagnose(steps)


@pytest.mark.parametrize("loss", ["a", 1j, 10**400, torch.ones(2), torch.ones((), device="meta"), None])
def test_steps_without_a_number_are_refused(loss):
    steps = [Step(1, 1.0, 1.0, 1.0), Step(2, loss, 1.0, 1.0)]
    with pytest.raises(InputError, match="Steps need one real number each as 'critic_loss'"):
        curves.diagnose(steps, recipe=gp)


def test_a_number_stands_in_its_own_column_and_a_recipe_is_one():
    steps = [Step(k, -1.0, None, torch.tensor(5.0, requires_grad=True)) for k in range(20)]
    assert list(curves.columns_of(steps, gp)) == ["step", "critic_loss", "generator_loss"]
    with pytest.raises(InputError, match="needs a Recipe, such as recipes.wgan_gp; got str"):
        curves.diagnose(log(), recipe="wgan_gp")


# The command line


@pytest.fixture
def folder(tmp_path):
    words = [
        "--data",
        "ring",
        "--batch",
        "8",
        "--steps",
        "25",
        "--log",
        "1",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    assert __main__.main(["train", str(tmp_path / "run"), *words]) == 0
    yield tmp_path / "run"
    torch.set_flush_denormal(False)


def test_a_folder_is_looked_at_and_a_file_is_not(folder, capsys):
    capsys.readouterr()
    assert __main__.main(["diagnose", str(folder), "--json"]) in (0, 6)
    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == 25
    assert set(report["seen"]) == set(curves.LOOKED)
    assert "floor" in {finding["name"] for finding in report["findings"]}
    assert 0.05 < report["seen"]["floor"] < 0.3
    assert __main__.main(["diagnose", str(folder / "log.csv")]) == 0
    said = capsys.readouterr().out
    assert "exact W1" not in said
    assert "What no log shows" in said
    (folder / "checkpoint.wgan").unlink()
    (folder / "checkpoint.wgan").write_bytes(b"damaged")
    assert __main__.main(["diagnose", str(folder)]) == 4


def test_an_alarm_makes_the_exit_code_6(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    rows = [f"{step},{loss:g},{-loss:g}" for step, loss in enumerate(np.linspace(1, 2, 30))]
    path.write_text("\n".join(["step,critic_loss,estimate", *rows]))
    assert __main__.main(["diagnose", str(path)]) == 6
    said = capsys.readouterr().out
    assert said.startswith("! The estimate is below zero in 100 % of the second half")


# The kept runs


@pytest.fixture(scope="module")
def kept():
    """Each kept run's group and name, its log, what was looked at, and the recipe that was meant."""
    arrays, about = data.results("curves")
    found = []
    for (group, name, _), rows, seen in zip(about["runs"], arrays["logs"], arrays["looks"], strict=True):
        log = dict(zip(about["columns"], rows.T.astype(float), strict=True))
        if name not in about["no_estimate"]:
            log["estimate"] = -log["critic_loss"]
        kind, number = about["asked"][name] or ("none", 0.0)
        constraint = {"weight": GradientPenalty, "clip": WeightClipping}.get(
            kind, lambda number: Constraint()
        )(number)
        recipe = replace(recipes.wgan_gp if kind != "none" else recipes.gan, constraint=constraint)
        end = dict(zip(about["looked"], seen.tolist(), strict=True))
        found.append((group, name, log, end if np.isfinite(end["w1"]) else {}, recipe))
    return found, about


def alarms(log, recipe=None):
    return {finding.name for finding in curves.diagnose(log, recipe=recipe) if finding.alarm}


def test_no_false_alarm_on_five_seeds_of_each_recipe(kept):
    healthy = [run for run in kept[0] if run[0] == "healthy"]
    assert len(healthy) == 60
    assert {name for _, name, *_ in healthy} >= {"gan", "dcgan", "wgan", "wgan_gp", "wgan_lp", "sn_gan", "r1"}
    for _, name, log, end, recipe in healthy:
        assert alarms(log) == set(), name
        assert alarms(log | {"generator_loss": log["generator_loss"] + 300}) == set(), name
        assert alarms(log | end, recipe) == set(), name


def test_healthy_runs_that_no_limit_was_chosen_by(kept):
    fresh = [run for run in kept[0] if run[0] == "held out"]
    assert len(fresh) >= 24
    assert sum(bool(alarms(log | end, recipe)) for _, _, log, end, recipe in fresh) <= len(fresh) // 20


def test_the_confusion_table(kept):
    runs, about = kept
    sick = [run for run in runs if run[0] == "sick"]
    right = {name: set(shown) for name, shown in about["shown_by"].items()}
    assert {name for _, name, *_ in sick} == set(right)
    by_log = [name for _, name, log, _, _ in sick if alarms(log) & right[name]]
    with_look = [name for _, name, log, end, recipe in sick if alarms(log | end, recipe) & right[name]]
    assert 0.41 < len(by_log) / len(sick) < 0.47
    assert 0.66 < len(with_look) / len(sick) < 0.72
    assert len(set(by_log)) >= 10
    assert not {"normal-eps", "reused-noise"} & set(with_look)  # no curve shows these
    said = set().union(*(alarms(log | end, recipe) for *_, log, end, recipe in sick))
    assert said == {name for name, known in curves.KNOWN.items() if known["alarm"]}  # none is idle


def test_at_rest_estimate_and_penalty_fit(kept):
    for group, name, log, _, recipe in kept[0]:
        if group == "healthy" and name in ("wgan_gp", "wgan_gp_toy", "weight 1", "wgan_lp"):
            assert 0.2 < curves.of_curves(log, recipe.constraint.weight)["misfit"] < 2
