"""The lab inside the book: its page and its setups, the chapters' pictures that become the lab, the theme.

Needs a built book and Chromium, as tests/test_browser.py does; without them the browser part skips and says
why.
"""

import re
from urllib.parse import urljoin

import nbformat
import pytest
from test_browser import ROOT, browser, require_site, served, tab  # noqa: F401 (`browser` is a fixture)

BOOK = ROOT / "book"
STATE = (BOOK / "_lab" / "page" / "state.mjs").read_text(encoding="utf-8")
PAGE = (BOOK / "lab.md").read_text(encoding="utf-8")
SETUPS = dict(re.findall(r'^  "([a-z-]+)": \{\n    name: "([^"]+)"', STATE, re.MULTILINE))
PICTURE = re.compile(r"\[!\[([^\]]+)\]\(_lab/stills/([a-z-]+)\.webp\)\]\(lab\.md#([a-z-]+)\)")
FRAME = "iframe.wganlab-lab"


def slug(title):
    return re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")


def pictures():
    """{notebook: [(alt text, still, setup)]} of all chapters that lead to the lab by a picture."""
    found = {}
    for path in sorted(BOOK.glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        if "_lab/stills" in text:
            found[path.stem] = PICTURE.findall(text)
    return found


# ---- The files


def test_each_setup_has_a_section_with_its_link_and_no_section_is_without():
    assert len(SETUPS) >= 9
    sections = re.findall(r'^### (.+)\n\n<a href="\.\./lab\.html#preset=([a-z-]+)">', PAGE, re.MULTILINE)
    assert {setup: title for title, setup in sections} == SETUPS
    assert all(slug(title) == setup for setup, title in SETUPS.items())
    assert PAGE.count("### ") == len(sections)


def test_each_setup_is_run_by_a_test():
    tests = (ROOT / "tests" / "test_lab_presets.py").read_text(encoding="utf-8")
    assert [setup for setup in SETUPS if f'"{setup}"' not in tests] == []


def test_chapters_lead_to_the_lab_by_pictures_of_their_setups():
    found = pictures()
    assert set(found) >= {"03_game", "10_clipping", "11_gradient_penalty", "12_congestion"}
    for name, links in found.items():
        assert len(links) == 1, name
        for alt, still, setup in links:
            assert still == setup
            assert setup in SETUPS
            assert len(alt) > 80
            assert (BOOK / "_lab" / "stills" / f"{still}.webp").stat().st_size < 60_000


# ---- In a browser


@pytest.fixture
def site(browser):  # noqa: F811
    with served(require_site(), "file") as base:
        yield lambda name, mode="light": opened(browser, base, name, mode)


class opened:
    """A page of the built book in a tab, with its faults; the lab in it as a frame once it is there."""

    def __init__(self, browser, base, name, mode):  # noqa: F811
        self.tab, self.address = tab(browser, base, mode), urljoin(base, name)

    def __enter__(self):
        self.page, self.faults = self.tab.__enter__()
        self.page.goto(self.address)
        return self

    def __exit__(self, *error):
        if error[0] is None:
            assert self.faults == []
        return self.tab.__exit__(*error)

    def lab(self):
        self.page.locator(FRAME).wait_for()
        frame = self.page.frame_locator(FRAME)
        frame.locator("#readings dd").filter(has_text="0, –").wait_for()
        return frame


in_browser = pytest.mark.browser


@in_browser
@pytest.mark.parametrize(
    "mode",
    [pytest.param("light", marks=pytest.mark.slow), pytest.param("dark", marks=pytest.mark.slow), "phone"],
)
def test_the_page_holds_the_whole_lab_in_the_theme_of_the_book(site, mode):
    with site("book/lab.html", mode) as there:
        frame = there.lab()
        theme = there.page.evaluate("document.documentElement.dataset.theme")
        assert theme == ("dark" if mode == "dark" else "light")
        assert frame.locator("html").get_attribute("data-theme") == theme
        sizes = "e => [e.scrollHeight, innerHeight, e.scrollWidth, innerWidth]"
        height, room, width, breadth = frame.locator("html").evaluate(sizes)
        assert height <= room
        assert width <= breadth
        there.page.evaluate("document.documentElement.dataset.theme = 'dark'")
        frame.locator("html[data-theme=dark]").wait_for()


@in_browser
def test_a_setup_of_the_page_is_loaded_and_its_address_can_be_sent(site):
    with site("book/lab.html") as there:
        frame = there.lab()
        there.page.locator('a[href$="preset=clipping-too-tight"]').click()
        frame.locator("#recipe").and_(frame.locator(":has(option[value=wgan]:checked)")).wait_for()
        assert frame.locator("#c").input_value() == "0.01"
        assert there.page.url.endswith("/book/lab.html#preset=clipping-too-tight")
        frame.locator("#seed").fill("7")
        frame.locator("#seed").press("Tab")
        there.page.wait_for_url(re.compile(r"lab\.html#data=ring&recipe=wgan&c=0\.01&.*seed=7$"))
        address = there.page.url
    with site("book/lab.html#" + address.partition("#")[2]) as there:
        frame = there.lab()
        assert frame.locator("#c").input_value() == "0.01"
        assert frame.locator("#seed").input_value() == "7"


@in_browser
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (k > 0)) for k, name in enumerate(sorted(pictures()))],
)
def test_a_picture_in_a_chapter_becomes_the_lab(site, name):
    ((_, _, setup),) = pictures()[name]
    with site(f"book/{name}.html") as there:
        assert there.page.locator(FRAME).count() == 0
        link = there.page.locator(f'a[href$="lab.html#{setup}"]:has(img)')
        link.focus()
        there.page.keyboard.press("Enter")
        frame = there.lab()
        assert frame.locator("#preset").input_value() == setup
        frame.locator("#play").click()
        frame.locator("#readings dd").filter(has_text="a second").wait_for()
        frame.locator("#play").click()
        there.page.wait_for_function(  # the frame has room for all of the lab
            f"document.querySelector('{FRAME}').clientHeight >= 1000"
        )
        within = frame.locator("html").evaluate("e => [e.scrollHeight, innerHeight]")
        assert within[0] <= within[1]


@in_browser
def test_without_scripts_the_picture_leads_to_the_page(browser):  # noqa: F811
    with served(require_site(), "file") as base:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(urljoin(base, "book/10_clipping.html"))
        page.locator('a[href$="lab.html#clipping-too-tight"]:has(img)').click()
        page.wait_for_url(re.compile(r"/book/lab\.html#clipping-too-tight$"))
        context.close()


@in_browser
def test_pages_without_the_lab_do_not_carry_its_script():
    pages = require_site().glob("book/*.html")
    names = {page.name for page in pages if "wganlab-lab" in page.read_text(encoding="utf-8")}
    assert names == {"lab.html", *(f"{name}.html" for name in pictures())}
