"""``audit`` at first contact with the field's habits: penalties, and what can only be judged in a wrapper."""

import re

import pytest

from tests import field_refusals
from tests.field_refusals import REFUSALS
from tests.field_styles import STYLES
from wganlab.errors import InputError
from wganlab.mistakes import audit


@pytest.mark.parametrize("name", STYLES)
def test_a_style_has_its_verdict(name):
    function = STYLES[name]
    report = audit(function)
    verdict = function.__doc__
    assert report.names == (() if verdict == "ok" else (verdict,)), report


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_ends_in_a_wrapper_that_works(name):
    """The lines that are shown are pasted below the function, as they are, and ``audited`` is judged."""
    function = REFUSALS[name]
    said = getattr(function, "forward", function).__doc__
    with pytest.raises(InputError) as refusal:
        audit(function)
    sentence, _, wrapper = str(refusal.value).partition("\n\n")
    assert said in sentence
    assert not re.search("[Pp]robe|Layout|Call", str(refusal.value))
    space = dict(vars(field_refusals))
    exec(wrapper, space)
    report = audit(space["audited"])
    assert report.ok, (wrapper, report)
    assert report.weight == 10
