"""What the build takes out of the site, on a site of one page."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="NO SPHINX: pip install -r requirements.txt")
sys.path.append(str(Path(__file__).resolve().parents[1] / "book" / "_ext"))
import offline

SHEET = """/*! the licence of .gone */
.used, .gone { color: red }
.gone:hover .used { color: red }
.used:not(.gone, :has(.gone)) { color: red }
.made { color: red }
.bs-composed-by-a-script { color: red }
a[href*=".gone"]::after { content: ".gone" }
@media (max-width: 1px) { .gone { color: red } p.gone { color: red } }
@media (max-width: 2px) { .gone { color: red } p { color: red } }
@keyframes turn { from { color: red } 50.5% { color: blue } }"""
LEFT = """/*! the licence of .gone */
.used, .gone { color: red }
.used:not(.gone, :has(.gone)) { color: red }
.made { color: red }
.bs-composed-by-a-script { color: red }
a[href*=".gone"]::after { content: ".gone" }
@media (max-width: 2px) { p { color: red } }
@keyframes turn { from { color: red } 50.5% { color: blue } }"""


def test_rules_for_classes_that_occur_nowhere_are_dropped(tmp_path):
    static = tmp_path / "_static"
    static.mkdir()
    (tmp_path / "index.html").write_text('<p class="used">', encoding="utf-8")
    (static / "a.js").write_text('element.classList.add("made")', encoding="utf-8")
    sheet = static / "a.css"
    sheet.write_text(SHEET, encoding="utf-8")
    offline.drop_rules(tmp_path)
    once = sheet.read_text(encoding="utf-8")
    assert once.split() == LEFT.split()
    offline.drop_rules(tmp_path)
    assert sheet.read_text(encoding="utf-8") == once
