"""The gallery: what each figure must have, the page that shows them all, and its filter in a real browser.

What the filter must find is counted here from the notebooks. The browser part works the page as a file, with
keys alone and without a network; it needs what test_browser.py needs, and axe-core.
"""

import importlib.util
import io
import json
import re
import sys
import unicodedata
from pathlib import Path

import nbformat
import numpy as np
import pytest
import test_browser
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from test_browser import browser  # noqa: F401  (a fixture)

pytest.importorskip("sphinx", reason="NO SPHINX: pip install -r requirements.txt")
ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "book" / "_ext"))
import gallery  # noqa: E402

TITLES = gallery.contents(ROOT)
FIGURES = [figure for page in TITLES for figure in gallery.figures(ROOT / "book" / f"{page}.ipynb")]
WEIGHT = 250_000  # bytes of the page


# ---- Each figure


def test_every_figure_has_its_text_and_its_concepts():
    faults = [fault for figure in FIGURES for fault in figure.faults()]
    assert not faults, "\n".join(["", *faults])


def test_no_figure_is_left_out():
    shown = 0
    for path in (ROOT / "book").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        shown += text.count('"image/png": "') + text.count('<div class=\\"interactive-figure\\"')
    assert len(FIGURES) == shown > 150
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)


def test_each_concept_is_used_and_tells_figures_apart():
    counts = {word: sum(word in figure.concepts for figure in FIGURES) for word in gallery.CONCEPTS}
    assert [word for word, count in counts.items() if not 1 <= count <= len(FIGURES) / 4] == []


PNG = "iVBORw0KGgo="
ALT = "Two parallel lines, half a unit apart."
METADATA = {"mystnb": {"image": {"alt": ALT}}, "concepts": ["duality"]}
PLANTED = {
    "book/bad.ipynb, cell 2, figure 1: no alt text": METADATA | {"mystnb": {}},
    "book/bad.ipynb, cell 2, figure 1: no concepts": METADATA | {"concepts": []},
    "book/bad.ipynb, cell 2, figure 1: the concept 'Duality' is none": METADATA | {"concepts": ["Duality"]},
}


def planted(folder, metadata, heading="## Lines of $W_1$"):
    path = folder / "bad.ipynb"
    cell = new_code_cell("plt.show()", outputs=[new_output("display_data", {"image/png": PNG})])
    nbformat.write(new_notebook(cells=[new_markdown_cell(heading), cell]), path)
    content = nbformat.read(path, as_version=4)
    content.cells[1].metadata.update(metadata)
    nbformat.write(content, path)
    return gallery.figures(path)


def test_a_good_figure_has_no_fault(tmp_path):
    (figure,) = planted(tmp_path, METADATA)
    assert list(figure.faults()) == []
    assert figure[:6] == ("bad", 1, 1, "Lines of W₁", ALT, ("duality",))
    assert figure.name == "bad-1-lines-of-w"


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_named(tmp_path, fault):
    (figure,) = planted(tmp_path, PLANTED[fault])
    (found,) = figure.faults()
    assert found.startswith(fault)


def test_a_heading_that_is_no_plain_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"heading 'A \\\\alpha' above a figure"):
        planted(tmp_path, METADATA, heading=r"## A $\alpha$")


def test_an_alt_text_is_cut_and_nothing_is_lost():
    for figure in FIGURES:
        start, rest = gallery.split(figure.alt)
        assert f"{start} {rest}".strip() == figure.alt
        assert len(start) <= 110
        assert rest or start == figure.alt


# ---- The page


def page_of(name):
    return (test_browser.require_site() / "book" / f"{name}.html").read_text(encoding="utf-8")


def test_the_page_shows_each_figure_and_leads_to_its_cell():
    site, html = test_browser.require_site(), page_of("gallery")
    cards = re.findall(
        r'<li><a href="(\w+)\.html#(figure-\d+)"><img src="\.\./_images/([\w.-]+)".*?/(\w+)\.png">PNG', html
    )
    assert cards == [(one.page, one.anchor, one.thumbnail, one.picture) for one in FIGURES]
    assert html.count('loading="lazy"') == len(FIGURES)
    assert len(html.encode()) <= WEIGHT
    for figure in FIGURES:
        assert (site / "_images" / f"{figure.picture}.png").read_bytes() == figure.png
        small = Image.open(site / "_images" / figure.thumbnail)
        large = Image.open(io.BytesIO(figure.png)).convert("RGB").resize(small.size, Image.Resampling.BOX)
        assert f'{figure.thumbnail}" width="{small.width}" height="{small.height}"' in html
        assert np.abs(np.subtract(small, large, dtype=float)).mean() < 12
        cell = page_of(figure.page).split(f'id="{figure.anchor}"')
        assert len(cell) == 2, figure.name
        cell = cell[1].partition(' id="figure-')[0]
        assert f"{figure.picture}.png" in cell or (figure.interactive and "interactive-figure" in cell)


def test_its_script_is_loaded_here_only_and_its_words_are_not_found_twice():
    site = test_browser.require_site()
    for page in test_browser.pages_of(site):
        assert ("gallery.js" in page.read_text(encoding="utf-8")) == (page.name == "gallery.html"), page
    index = json.loads((site / "searchindex.js").read_text(encoding="utf-8").split("(", 1)[1].rstrip(";\n)"))
    number = index["docnames"].index(gallery.PAGE)
    holds = [number in (found if isinstance(found, list) else [found]) for found in index["terms"].values()]
    assert not any(holds)


# ---- In a browser


def words(text):
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKD", text).lower()).strip()


def matching(find="", concept=""):
    """The figures that have the `concept` and say each word of `find`, or one that begins with it."""
    found = []
    for figure in FIGURES:
        core = next((page for page in TITLES if figure.chapter and page[:2] == figure.page[:2]), None)
        chapter = f"{figure.chapter} {TITLES[core]}" if core else gallery.OTHERS
        says = [chapter, figure.title, TITLES[figure.page], figure.alt, *figure.concepts, "PNG"]
        text = " " + words(" ".join(says + ["interactive"] * figure.interactive))
        if concept in ("", *figure.concepts) and all(f" {word}" in text for word in words(find).split()):
            found.append(figure)
    return found


def expected(*asked, **named):
    return len(matching(*asked, **named))


@pytest.fixture
def opened(browser):  # noqa: F811
    """A function of (mode, address's end) to the gallery opened as a file; at the end nothing was amiss."""
    file = test_browser.require_site() / "book" / "gallery.html"
    with test_browser.tab(browser, test_browser.SITE.as_uri() + "/") as (page, faults):

        def open_page(end="", mode="light"):
            test_browser.show(page, mode)
            page.goto("about:blank")
            page.goto(file.as_uri() + end)
            return page

        yield open_page
        assert faults == []


def count(page):
    text = page.locator("#gallery-filter output").inner_text()
    shown = page.locator(".gallery > li:visible").count()
    said = int(text.split()[0])
    assert text == (f"{said} figures" if said == len(FIGURES) else f"{said} of {len(FIGURES)} figures")
    assert said == shown
    empty = page.locator("section:has(> .gallery):not(:has(.gallery > li:not([hidden])))")
    assert empty.filter(visible=True).count() == 0
    return said


def focused(page):
    return page.evaluate("(e => e.id || e.value || e.getAttribute('href'))(document.activeElement)")


def tab_until(page, wanted, limit):
    for _ in range(limit):
        page.keyboard.press("Tab")
        if focused(page) == wanted:
            return
    raise AssertionError(f"{limit} times Tab did not reach {wanted}; the focus is at {focused(page)}")


@pytest.mark.slow
@pytest.mark.browser
def test_the_gallery_with_keys_alone(opened):
    page = opened()
    assert count(page) == len(FIGURES)
    page.keyboard.press("Tab")  # "Skip to main content"
    page.keyboard.press("Enter")
    tab_until(page, "gallery-find", 12)
    assert page.get_by_role("searchbox", name="Find figures").evaluate("e => e === document.activeElement")
    for find in ("clipping", "critic ring", "W1", "wgan-gp", "interactive", "zigzag", "no such words"):
        page.keyboard.type(find)
        assert count(page) == expected(find), find
        page.keyboard.press("Escape")
        assert count(page) == len(FIGURES)
        assert focused(page) == "gallery-find"
    assert 0 == expected("no such words") < expected("zigzag") < expected("clipping") < 50
    page.keyboard.type("chapter 1")
    assert count(page) == sum(figure.chapter == 1 for figure in FIGURES)
    page.keyboard.press("Escape")

    page.keyboard.type("plan")
    tab_until(page, "duality", gallery.CONCEPTS.index("duality") + 1)
    page.keyboard.press("Space")
    assert page.get_by_role("button", pressed=True).evaluate_all("all => all.map(e => e.value)") == [
        "duality"
    ]
    assert count(page) == expected("plan", "duality") < min(expected("plan"), expected(concept="duality"))
    assert page.url.endswith("gallery.html#find=plan&concept=duality")
    first = matching("plan", "duality")[0]
    tab_until(page, f"{first.page}.html#{first.anchor}", len(gallery.CONCEPTS))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{first.page}.html#{first.anchor}")
    assert page.locator(f"#{first.anchor} img").evaluate("e => e.checkVisibility()")
    assert page.locator(f"#{first.anchor}").evaluate("e => e.getBoundingClientRect().top < innerHeight")
    page.go_back()
    assert count(page) == expected("plan", "duality")  # from the address
    page.keyboard.press("Escape")
    assert count(page) == len(FIGURES)
    assert page.url.endswith("gallery.html")
    assert page.get_by_role("button", pressed=True).count() == 0


@pytest.mark.slow
@pytest.mark.browser
def test_addresses_clicks_and_the_contents_beside_it(opened):
    for concept in gallery.CONCEPTS:
        page = opened(f"#concept={concept.replace(' ', '+')}")
        assert count(page) == expected(concept=concept)
    assert count(opened("#concept=nothing")) == len(FIGURES)  # no such concept
    page = opened("#find=spiral")
    assert count(page) == expected("spiral") < 20
    page.evaluate(
        "location.hash = 'chapter-16'"
    )  # as the contents' link does: it must be there to be gone to
    page.wait_for_function("!document.querySelector('#chapter-16').hidden")
    assert count(page) == len(FIGURES)
    assert page.locator("#chapter-16").evaluate("e => Math.abs(e.getBoundingClientRect().top) < innerHeight")
    page.locator(".gallery ul > li", has_text="mistakes").first.click()
    assert count(page) == expected(concept="mistakes")
    page.get_by_role("button", name="mistakes").click()
    assert count(page) == len(FIGURES)


@pytest.mark.slow
@pytest.mark.browser
def test_nothing_moves_when_pictures_come(opened):
    for mode in test_browser.MODES:
        page = opened(mode=mode)
        height = page.evaluate("document.documentElement.scrollHeight")
        for image in page.locator(".gallery img").all()[::12]:
            image.scroll_into_view_if_needed()
            image.evaluate("image => image.decode()")
        assert page.evaluate("document.documentElement.scrollHeight") == height


@pytest.mark.slow
@pytest.mark.browser
def test_without_scripts_everything_is_shown(browser):  # noqa: F811
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((test_browser.require_site() / "book" / "gallery.html").as_uri())
    assert page.locator(".gallery > li:visible").count() == len(FIGURES)
    assert not page.locator("#gallery-filter").is_visible()
    card = page.locator(".gallery > li").nth(1)
    card.locator("summary").click()
    assert FIGURES[1].alt == " ".join(card.locator("details").inner_text().replace(" …", "").split())
    context.close()


AXE = "axe.run('.bd-article', { preload: false }).then(all => all.violations)"


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("mode", test_browser.MODES)
def test_axe_finds_nothing(opened, mode):
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None:
        pytest.skip("NO AXE: pip install axe-playwright-python==0.1.8")
    page = opened(mode=mode)
    page.add_script_tag(path=Path(spec.origin).parent / "axe.min.js")
    for chosen in ("", "duality"):
        page.evaluate("concept => { location.hash = concept && `concept=${concept}` }", chosen)
        page.wait_for_function(
            "want => document.querySelectorAll('[aria-pressed=true]').length == want", arg=bool(chosen)
        )
        found = page.evaluate(AXE)
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
    page.locator("#gallery-filter label").evaluate("label => label.remove()")
    assert "label" in [one["id"] for one in page.evaluate(AXE)]
