"""What a version says of itself is the same in each place, and what a shared link shows is in each page."""

import datetime
import html
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from PIL import Image
from test_book import load

import wganlab

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
CHANGES = re.findall(
    r"^## (\S+) \((.*)\)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
)
social = load(ROOT / "book" / "_ext" / "social.py")


def test_package_citation_and_changelog_name_one_version():
    version, date = CHANGES[0]
    assert wganlab.__version__ == CITATION["version"] == version
    assert CITATION["date-released"] == datetime.date.fromisoformat(date)
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_citation_has_what_its_schema_asks_for_and_both_licences():
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION)
    assert CITATION["license"] == ["MIT", "CC-BY-4.0"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "MIT License" in text
    assert "CC BY 4.0" in text or "CC-BY-4.0" in text or "Attribution 4.0" in text


def test_errata_name_versions_that_there_are():
    rows = re.findall(
        r"\| (\d+\.\d+\.\d+) \|$", (ROOT / "book" / "errata.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) >= 10
    assert set(rows) <= {version for version, _ in CHANGES}


def test_nothing_that_is_stored_depends_on_the_version():
    """A checkpoint of another version stays readable: only what the command says names the version."""
    uses = {
        file.relative_to(ROOT / "wganlab").as_posix()
        for file in (ROOT / "wganlab").rglob("*.py")
        if re.search(r"(?<!torch\.)(?<!\)\.)__version__", file.read_text(encoding="utf-8"))
    }
    assert uses == {"__init__.py", "cli/doctor.py", "cli/grammar.py"}


# ---- A shared link


class Meta(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        if tag == "meta" and (name := of.get("property") or of.get("name")):
            self.found[name] = of.get("content")


@pytest.mark.parametrize("address", ["", "https://example.org/book/"])
def test_tags_have_a_picture_only_with_an_address(address):
    found = Meta(social.tags("The book", 'A "page" & more', "Says <this>.", "book/a", address)).found
    assert found["og:title"] == 'A "page" & more'
    assert found["og:description"] == found["description"] == "Says <this>."
    if not address:
        assert not {name for name in found if "image" in name or "url" in name}
        return
    assert found["og:image"] == "https://example.org/book/_static/social.png"
    assert found["og:url"] == "https://example.org/book/book/a.html"
    assert found["twitter:card"] == "summary_large_image"


def test_description_is_cut_at_a_word():
    nodes = pytest.importorskip("docutils.nodes")
    page = nodes.section("", nodes.paragraph("", " "), nodes.paragraph("", "one two, " * 40))
    assert social.description(page).endswith(("one two…", "one…"))
    assert 180 < len(social.description(page)) <= social.LONGEST
    assert social.description(nodes.section()) == ""


@pytest.mark.parametrize(("address", "stays"), [("", False), ("https://example.org", True)])
def test_picture_is_part_of_a_site_that_shows_it(tmp_path, address, stays):
    (tmp_path / "_static").mkdir()
    picture = tmp_path / "_static" / social.PICTURE
    picture.touch()
    builder, config = SimpleNamespace(format="html"), SimpleNamespace(html_baseurl=address)
    social.drop_picture(SimpleNamespace(builder=builder, config=config, outdir=tmp_path), None)
    assert picture.exists() == stays


def test_picture_has_the_size_that_its_tags_say():
    picture = ROOT / "book" / "_static" / social.PICTURE
    assert picture.stat().st_size <= 100_000
    with Image.open(picture) as image:
        assert image.size == social.SIZE


def test_each_page_of_the_site_has_title_and_description():
    pages = sorted((SITE / "book").glob("*.html"))
    if not pages:
        pytest.skip(f"no built book in {SITE}: run `make book` first")
    descriptions = {}
    for page in pages:
        text = page.read_text(encoding="utf-8").partition("</head>")[0]
        found = Meta(text).found
        title = html.unescape(re.search("<title>(.*?) &#8212; ", text)[1])
        assert found["og:title"] == title, page.name
        assert len(found["og:description"]) >= 40, page.name
        descriptions[found["og:description"]] = page.name
    assert len(descriptions) == len(pages)
