"""The built site and the lab in Firefox: what test_browser.py and test_lab_page.py ask in Chromium.

Needs a built book and Firefox (on the PATH, or the program in FIREFOX); without them the tests skip and say
why. What is looked for on a page is the same text, run in the other browser. The finders are seen red here,
too.
"""

from contextlib import contextmanager

import pytest
import test_browser
import test_lab_page as pages
from firefox import Firefox, FirefoxError, firefox, tab
from test_browser import MODES, PLANTED, faults_of, pages_of, plant, require_site, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def open_tab(browser, base, mode):
    return tab(browser, base, MODES[mode])


def started(scheme):
    program = firefox()
    if program is None:
        pytest.skip("NO FIREFOX: nothing was seen in it. Install firefox-esr, or set FIREFOX to its path.")
    return Firefox(program, scheme)


@pytest.fixture(scope="module")
def browser():
    with started("light") as found:
        yield found


# ---- The book


@pytest.mark.parametrize("mode", ["phone", "dark"])
def test_every_page(mode):
    site = require_site()
    names = [page.relative_to(site).as_posix() for page in pages_of(site)]
    with started(MODES[mode]["color_scheme"]) as found:
        faults = faults_of(visit(found, site, "http", names, mode, tab=open_tab))
    assert names
    assert not faults, "\n".join(["", *faults])


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_seen(browser, tmp_path, fault):
    plant(tmp_path, PLANTED[fault])
    found = visit(browser, tmp_path, "http", ["page.html"], "phone", tab=open_tab)["page.html"].faults
    assert any(one.removeprefix("phone: ").startswith(fault) for one in found), found


def test_good_page_has_no_fault(browser, tmp_path):
    plant(tmp_path, test_browser.GOOD)
    assert faults_of(visit(browser, tmp_path, "http", ["page.html"], "phone", tab=open_tab)) == []


def test_search_finds(browser):
    with (
        test_browser.served(require_site(), "file") as base,
        open_tab(browser, base, "light") as (page, faults),
    ):
        page.goto(base + "search.html?q=critic")
        pages.until(page, "document.querySelector('#search-results ul.search li') !== null")
        assert faults == []


def test_what_firefox_refuses_is_said(browser):
    with pytest.raises(FirefoxError, match="unknown command"):
        browser.command("session.nothing")
    with open_tab(browser, "", "light") as (page, _), pytest.raises(FirefoxError, match="planted"):
        page.evaluate("(() => { throw new Error('planted') })()")


# ---- The lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A function that opens the page of the lab, or the page without its kernel, at an address."""
    folder = tmp_path_factory.mktemp("lab")
    made = {True: pages.lab.page(), False: pages.page_without_kernel(folder)}
    for fast, html in made.items():
        (folder / f"{fast}.html").write_text(html, encoding="utf-8")

    @contextmanager
    def opened(browser, address="", mode="light", fast=True):
        base = folder.as_uri() + "/"
        with open_tab(browser, base, mode) as (page, faults):
            page.goto(f"{base}{fast}.html{address}")
            pages.until(page, "lab.state !== null")
            yield page
            assert faults == []

    return opened


@pytest.mark.parametrize("fast", [True, False])
def test_the_lab_trains_in_a_worker_as_under_node(browser, lab, fast):
    with lab(browser, "#seed=3", fast=fast) as page:
        pages.train(page, 75)
        assert page.evaluate("[lab.worker, lab.state.fast]") == [True, fast]
        expected = pages.expected_looks("wgan_gp", "ring", 3, 75, fast)
        pages.assert_same_looks(page.evaluate("lab.looks.slice(0, 4)"), expected)


@pytest.mark.parametrize("seed", pages.SEEDS)
def test_the_lab_holds_all_modes(browser, lab, seed):
    with lab(browser, f"#seed={seed}") as page:
        page.evaluate("lab.start()")
        pages.until(page, f"lab.state.sustained !== null || lab.state.turns > {pages.TURNS}")
        assert page.evaluate("lab.state.sustained?.turn ?? Infinity") <= pages.TURNS


@pytest.mark.parametrize("address", ["", "#recipe=gan&data=grid", "#data=drawn", "#width=64&n=512"])
def test_the_lab_fits_a_phone(browser, lab, address):
    with lab(browser, address, "phone") as page:
        pages.train(page, 26)
        assert [fault for fault in page.evaluate(test_browser.FAULTS) if "image" not in fault] == []


@pytest.mark.parametrize("state", pages.AXE_STATES)
def test_axe_finds_nothing(browser, lab, state):
    with lab(browser, pages.AXE_STATES[state]) as page:
        if state == "trained":
            pages.train(page, 60)
        page.run(pages.axe_script())
        assert page.evaluate("axe.run().then(({ violations }) => violations.map(({ id }) => id))") == []
