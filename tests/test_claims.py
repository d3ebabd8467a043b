"""What a claim prints, when it stops a cell, and that the notebook test reads each line as it was meant."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wganlab.claims import claim
from wganlab.errors import ClaimError, InputError

SPEC = importlib.util.spec_from_file_location("strict", Path(__file__).parents[1] / "book" / "conftest.py")
strict = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(strict)
INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("value", "bounds", "line"),
    [
        (True, {}, "✓ W1"),
        (np.bool_(True), {}, "✓ W1"),
        (torch.tensor(True), {}, "✓ W1"),
        (0.5, {"equals": 0.5}, "W1: 0.5"),
        (2e-16, {"equals": 0}, "W1: 0"),
        (0.1 + 0.2, {"equals": 0.3}, "W1: 0.3"),
        (1 / 3, {"equals": 1 / 3}, "W1: 0.333333"),
        (torch.tensor(3.0), {"equals": 3}, "W1: 3"),
        (torch.tensor(3.0, requires_grad=True), {"above": 2}, "W1: ≈ 3   (claimed: above 2)"),
        (INF, {"equals": INF}, "W1: inf"),
        ([1, 2.5], {"equals": [1, 2.5]}, "W1: 1, 2.5"),
        ([1, 1], {"equals": 1}, "W1: 1, 1"),
        (1518400, {"equals": 1518400}, "W1: 1518400"),
        (0.1634, {"below": 0.4}, "W1: ≈ 0.163   (claimed: below 0.4)"),
        (0.39995, {"below": 0.4}, "W1: ≈ 0.39995   (claimed: below 0.4)"),
        (2.2e-16, {"below": 1e-9}, "W1: ≈ 2.2e-16   (claimed: below 1e-09)"),
        (10394, {"above": 1000}, "W1: ≈ 10394   (claimed: above 1000)"),
        (INF, {"above": 1000}, "W1: ≈ inf   (claimed: above 1000)"),
        (38.031, {"equals": 38, "to": 0.2}, "W1: ≈ 38.03   (claimed: 38 up to 0.2)"),
        (5, {"above": 4, "below": 6}, "W1: ≈ 5   (claimed: above 4 and below 6)"),
        ([6, 8], {"above": 5}, "W1: ≈ 6, 8   (claimed: each above 5)"),
        ([1.1, 2.2], {"equals": 1.5, "to": 1}, "W1: ≈ 1.1, 2.2   (claimed: each 1.5 up to 1)"),
        ([1.1, 2.2], {"equals": [1, 2], "to": 0.3}, "W1: ≈ 1.1, 2.2   (claimed: 1, 2 up to 0.3)"),
    ],
)
def test_a_claim_that_holds(value, bounds, line, capsys):
    claim("W1", value, **bounds)
    assert capsys.readouterr().out == line + "\n"
    assert strict.kept(line) is (True if "≈" in line else None)


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (False, {}, "W1: this does not hold."),
        (0.5, {"equals": 0.5 + 1e-8}, "W1: 0.5, claimed: 0.5."),
        (NAN, {"equals": NAN}, "W1: nan, claimed: nan."),
        (NAN, {"below": 1}, "W1: nan, claimed: below 1."),
        (NAN, {"above": 1}, "W1: nan, claimed: above 1."),
        (INF, {"equals": 1, "to": 3}, "W1: inf, claimed: 1 up to 3."),
        (0.4, {"below": 0.4}, "W1: 0.4, claimed: below 0.4."),
        (5, {"above": 5}, "W1: 5, claimed: above 5."),
        (7, {"above": 5, "below": 6}, "W1: 7, claimed: above 5 and below 6."),
        (5.3, {"equals": 5, "to": 0.25}, "W1: 5.3, claimed: 5 up to 0.25."),
        ([0.1, 0.5], {"below": 0.4}, "W1: 0.1, 0.5, claimed: below 0.4."),
    ],
)
def test_a_claim_that_does_not_hold(value, bounds, message, capsys):
    with pytest.raises(ClaimError) as caught:
        claim("W1", value, **bounds)
    assert str(caught.value) == message
    assert capsys.readouterr().out == ""
    assert issubclass(ClaimError, AssertionError)


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        (0.5, {}),
        (1, {}),
        ([True, True], {}),
        (True, {"below": 2}),
        (0.5, {"to": 0.1}),
        (0.5, {"equals": 0.5, "below": 1}),
        (0.5, {"below": 1, "to": 1}),
        ("0.5", {"below": 1}),
        ([0.5] * 13, {"below": 1}),
        ([[0.5]], {"below": 1}),
        ([0.5, 1], {"equals": [0.5, 1, 2]}),
        (0.5, {"below": [1, 2]}),
    ],
)
def test_no_claim(value, bounds):
    with pytest.raises(InputError):
        claim("W1", value, **bounds)


NUMBERS = st.floats(-1e12, 1e12) | st.floats(-1, 1) | st.integers(-(10**9), 10**9)


@given(st.lists(NUMBERS, min_size=1, max_size=12), NUMBERS, st.floats(1e-12, 1e9))
def test_the_notebook_test_reads_what_a_claim_prints(values, bound, to):
    """Every line that is printed keeps its claim when it is read, and none other does."""
    for bounds in ({"below": bound}, {"above": bound}, {"equals": bound, "to": to}):
        printed = []
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("builtins.print", printed.append)
                claim("a: text, (with) marks", values, **bounds)
        except ClaimError:
            continue
        assert strict.kept(printed[0]) is True
        shown = strict.numbers(strict.CLAIM.fullmatch(printed[0])["numbers"])
        assert np.allclose(shown, values, rtol=5.1e-3, atol=1e-300)
