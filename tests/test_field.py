"""``audit`` at first contact with the field's habits: penalties, and what can only be judged in a wrapper."""

import pytest

from tests.field_styles import STYLES
from wganlab.mistakes import audit


@pytest.mark.parametrize("name", STYLES)
def test_a_style_has_its_verdict(name):
    function = STYLES[name]
    report = audit(function)
    verdict = function.__doc__
    assert report.names == (() if verdict == "ok" else (verdict,)), report
