"""The built site in a real browser without a network: what a reader sees, on every page.

Needs a built book (`make book`; `_build/html`, or the folder in WGANLAB_SITE), Chromium (on the PATH, or the
program in CHROMIUM) and the package `playwright`, which here only drives an installed browser. Where one of
them is missing, the tests skip and say why. Each lecture, the first page and the laboratory are opened from a
local server, 390 pixels wide; the slow tests open every page in light, in dark and 390 pixels wide, from the
server and as a file.
Every fault that can be found on it is listed. The finders themselves are seen red on planted pages.
"""

import functools
import http.server
import os
import re
import shutil
import threading
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[1]
SITE = Path(os.environ.get("WGANLAB_SITE") or ROOT / "_build" / "html").resolve()
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MODES = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "device_scale_factor": 2},
}
# Marks, in bytes as they are stored: a page with all it loads, and the whole site.
PAGE, PAGE_WITH_MATH, INTERACTIVE_FIGURE, WHOLE_SITE = 1_000_000, 2_300_000, 350_000, 20_000_000


# ---- Without a browser: the files


class Links(HTMLParser):
    """What a page refers to, `loads` (by the browser) and `links` (by a reader), and its own `ids`."""

    def __init__(self, html):
        super().__init__()
        self.loads, self.links, self.ids = [], [], set()
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        self.ids.update(value for value in (of.get("id"), of.get("name")) if value)
        if tag == "a" and of.get("href"):
            self.links.append(of["href"])
        elif tag == "link" and of.get("href") and of.get("rel") != "canonical":
            (self.links if of.get("rel") in ("next", "prev", "index", "search") else self.loads).append(
                of["href"]
            )
        elif tag == "meta" and of.get("http-equiv", "").lower() == "refresh":
            self.links.append(of["content"].partition("url=")[2])
        self.loads += [of[key] for key in ("src", "poster", "data") if of.get(key)]
        self.loads += [part.split()[0] for part in of.get("srcset", "").split(",") if part.split()]

    handle_startendtag = handle_starttag


def pages_of(site):
    """Every page of the site, a page that only sends the reader on excepted."""
    return [
        page
        for page in sorted(site.rglob("*.html"))
        if "_static" not in page.relative_to(site).parts
        and 'http-equiv="refresh"' not in page.read_text(encoding="utf-8").lower()
    ]


def broken_references(site):
    """References without a file and an anchor in the site, and whatever is fetched from elsewhere."""
    parsed = {page: Links(page.read_text(encoding="utf-8")) for page in sorted(site.rglob("*.html"))}
    faults = []
    for page, document in parsed.items():
        name = page.relative_to(site).as_posix()
        for url in document.loads + document.links:
            parts = urlsplit(url)
            if parts.scheme == "data" or (
                parts.scheme in ("http", "https", "mailto") and url not in document.loads
            ):
                continue
            if parts.scheme or parts.netloc:
                faults.append(f"{name}: fetches {url}")
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.is_relative_to(site) or not target.is_file():
                faults.append(f"{name}: {url} is not there")
            elif "=" in parts.fragment:
                pass  # what a page is to show, not a place on it: the lab's setups
            elif parts.fragment and target in parsed and unquote(parts.fragment) not in parsed[target].ids:
                faults.append(f"{name}: {url} has no such anchor")
    for sheet in site.rglob("*.css"):
        for url in re.findall(r"url\(\s*[\"']?((?:https?:)?//[^)\"']+)", sheet.read_text(encoding="utf-8")):
            faults.append(f"{sheet.relative_to(site).as_posix()}: fetches {url}")
    return sorted(set(faults))


def overweight(weights, figures=None):
    """Pages above the mark, from {page: {address: bytes}}, with `figures` interactive figures on each."""
    faults = []
    for page, parts in weights.items():
        mark = PAGE_WITH_MATH if any("/mathjax/" in address for address in parts) else PAGE
        mark += INTERACTIVE_FIGURE * (figures or {}).get(page, 0)
        if sum(parts.values()) > mark:
            faults.append(f"{page}: {sum(parts.values()):,} bytes, the mark is {mark:,}")
    return faults


# ---- With a browser

# Runs in the loaded page and returns the faults. It looks at the article: the theme around it is not ours.
FAULTS = r"""
async () => {
  const faults = [], article = document.querySelector(".bd-article, article, main") ?? document.body;
  const text = e => e.textContent.trim().replace(/\s+/g, " ").slice(0, 80);

  // formulas
  if (window.MathJax?.startup?.promise) await MathJax.startup.promise;
  await document.fonts.ready;
  for (const math of document.querySelectorAll(".math"))
    if (!math.querySelector("mjx-container")) faults.push("formula not typeset: " + text(math));
  for (const bad of document.querySelectorAll("mjx-merror, [data-mjx-error]"))
    faults.push("formula with an error: " + (bad.getAttribute("data-mjx-error") ?? text(bad)));
  for (const bad of document.querySelectorAll("mjx-mtext .mjx-c5C"))  // MathJax prints the backslash it does not know
    faults.push("formula with an undefined command: " + text(bad.closest(".math") ?? bad));
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode())
    if (/\\[(\[]|\\begin\{|\$/.test(node.data) && !node.parentElement.closest("pre, code, script, style, mjx-container, .math"))
      faults.push("raw TeX: " + text(node));

  // figures
  for (const image of document.images) {
    image.loading = "eager";
    try { await image.decode(); } catch { /* its width says so */ }
    if (!image.naturalWidth) faults.push("image not loaded: " + image.getAttribute("src"));
    const alt = image.alt.trim();
    if (!alt || /\.(png|jpe?g|svg|gif)$|_images\//i.test(alt)) faults.push(`image without a written alt text: ${alt || image.src}`);
  }

  // width
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) faults.push(`page is ${root.scrollWidth} wide on a screen of ${root.clientWidth}`);
  const scrolls = e => e && e !== article && (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  if (root.clientWidth < 500)
    for (const e of article.querySelectorAll("p, li, pre, img, svg, table, mjx-container, .admonition, canvas, h1, h2, h3"))
      if (e.getBoundingClientRect().right > root.clientWidth + 1 && e.checkVisibility() && !scrolls(e))
        faults.push(`<${e.localName}> reaches ${Math.round(e.getBoundingClientRect().right)} px: ${text(e)}`);

  // contrast of text with what is behind it, 3:1 at least (it is near 1:1 where dark text meets a dark ground)
  const colour = value => (value.match(/[\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) { const c = colour(getComputedStyle(e).backgroundColor);
    if (c.length && (c[3] ?? 1) > .5) return c; } return [255, 255, 255]; };
  for (const e of article.querySelectorAll("p, li, h1, h2, h3, td, th, pre, mjx-container, .text_html")) {
    if (!e.checkVisibility() || !text(e)) continue;
    const [a, b] = [light(colour(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 3) faults.push(`contrast ${((a + .05) / (b + .05)).toFixed(1)}: <${e.localName}> ${text(e)}`);
  }
  return faults;
}
"""  # noqa: E501
# The page's theme, once it is the one wanted or after ten seconds; null if the page has none.
THEME = """
async wanted => {
  const theme = () => document.documentElement.dataset.theme ?? null;
  for (let k = 0; k < 400 && ![null, wanted].includes(theme()); k++)
    await new Promise(done => setTimeout(done, 25));
  return theme();
}
"""
# Chromium's own services would knock at their servers at every start: no name leads anywhere.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


class Visit(NamedTuple):
    faults: list
    weights: dict  # address -> bytes
    figures: int  # interactive ones


def require_site():
    if not list(SITE.glob("*.html")):
        pytest.skip(f"no built book in {SITE}: run `make book` first")
    return SITE


def chromium():
    """The path of an installed Chromium or Chrome, or None."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)


@pytest.fixture(scope="module")
def browser():
    program = chromium()
    if program is None:
        pytest.skip(
            "NO CHROMIUM: the book was not seen in a browser. Install chromium, or set CHROMIUM to its path."
        )
    driver = pytest.importorskip("playwright.sync_api", reason="NO PLAYWRIGHT: pip install playwright")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


@contextmanager
def served(site, protocol):
    """The address under which `site` can be opened, with a slash at its end."""
    if protocol == "file":
        yield site.as_uri() + "/"
        return
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextmanager
def tab(browser, base, mode="light"):
    """A page in `mode` and the list that its faults go to, requests to anything outside `base` among them."""
    faults = []

    context = browser.new_context(**MODES[mode])
    context.set_default_timeout(60_000)  # a busy machine is slow, not wrong
    page = context.new_page()
    page.on(
        "request",
        lambda request: (
            request.url.startswith((base, "data:", "blob:", "about:"))
            or faults.append(f"request to the outside: {request.url}")
        ),
    )
    page.on("console", lambda message: message.type == "error" and faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    # ERR_ABORTED is a request that the next page overtook (an icon, say)
    page.on(
        "requestfailed",
        lambda request: (
            request.failure != "net::ERR_ABORTED"
            and faults.append(f"failed request ({request.failure}): {request.url}")
        ),
    )
    page.on(
        "response", lambda answer: answer.status >= 400 and faults.append(f"{answer.status}: {answer.url}")
    )
    yield page, faults
    context.close()


def visit(browser, site, protocol, names, *modes, tab=tab):
    """{name: Visit} for pages of `site`, opened in the first of `modes` and then turned to the others."""
    visits = {}
    with served(site, protocol) as base, tab(browser, base, modes[0]) as (page, faults):
        weights = {}
        page.on(
            "request", lambda request: weights.setdefault(request.url.partition("?")[0].partition("#")[0], 0)
        )
        for name in names:
            page.goto("about:blank")  # so that the last page is not laid out once more
            show(page, modes[0])
            weights.clear()
            faults.clear()
            page.goto(urljoin(base, name), wait_until="load")
            for mode in modes:
                show(page, mode)
                theme = page.evaluate(THEME, wanted := MODES[mode]["color_scheme"])
                if theme not in (None, wanted):
                    faults.append(f"{mode}: theme is {theme}")
                faults += [f"{mode}: {fault}" for fault in page.evaluate(FAULTS)]
            loaded = [url for url in weights if url.startswith(base)]
            files = {url: site / unquote(url[len(base) :]) for url in loaded}
            sizes = {url: file.stat().st_size for url, file in files.items() if file.is_file()}
            figures = page.evaluate("document.querySelectorAll('.interactive-figure').length")
            visits[name] = Visit(list(faults), sizes, figures)
    return visits


def show(page, mode):
    page.emulate_media(color_scheme=MODES[mode]["color_scheme"])
    page.set_viewport_size(MODES[mode]["viewport"])


@pytest.fixture(scope="module")
def visited(browser):
    """A function of (protocol, *modes) to the visits of every page of the book, made once."""
    site = require_site()
    names = [page.relative_to(site).as_posix() for page in pages_of(site)]
    assert names, f"{site} has no page"
    return functools.cache(lambda protocol, *modes: visit(browser, site, protocol, names, *modes))


@pytest.fixture(scope="module")
def lectures(browser):
    """The visits of each lecture, the first page and the laboratory, on a phone."""
    site = require_site()
    lecture = re.compile(r"\d\d_(?!.*_further)|index|lab|common_mistakes|search")
    names = [page.relative_to(site).as_posix() for page in pages_of(site) if lecture.match(page.stem)]
    assert len(names) > 20, f"{site} has {len(names)} pages"
    return visit(browser, site, "http", names, "phone")


def faults_of(visits):
    return [f"{name}: {fault}" for name, one in visits.items() for fault in one.faults]


def overweight_of(visits):
    return overweight(
        {name: one.weights for name, one in visits.items()},
        {name: one.figures for name, one in visits.items()},
    )


# ---- The book


def test_references_resolve():
    faults = broken_references(require_site())
    assert not faults, "\n".join(["", *faults])


def test_every_page_of_a_lecture(lectures):
    faults = faults_of(lectures)
    assert not faults, "\n".join(["", *faults])


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http", "file"])
@pytest.mark.parametrize("mode", MODES)
def test_every_page_opened_anew(visited, protocol, mode):
    visits = visited(protocol, mode)
    faults = faults_of(visits) + overweight_of(visits)
    assert not faults, "\n".join(["", *faults])


@pytest.mark.parametrize("protocol", ["http", "file"])
def test_search_finds(browser, protocol):
    with served(require_site(), protocol) as base, tab(browser, base) as (page, faults):
        page.goto(urljoin(base, "search.html?q=critic"))
        page.locator("#search-results ul.search li").first.wait_for()
        assert faults == []


def test_first_page_leads_into_the_book(browser):
    with served(require_site(), "file") as base, tab(browser, base) as (page, faults):
        page.goto(urljoin(base, "index.html"))
        page.wait_for_url("**/book/index.html")
        assert faults == []


FOLDED = """() => [...document.querySelectorAll(".admonition.dropdown")].map(box => [...box.children]
    .slice(1).filter(part => part.localName !== "button")
    .every(part => getComputedStyle(part).visibility === "hidden"))"""


@pytest.mark.slow
def test_what_is_folded_stands_open_on_paper(browser):
    """Proofs, solutions and answers: each has its title and is closed on the screen, and none is in print."""
    site = require_site()
    with tab(browser, site.as_uri() + "/") as (page, faults):
        for name in ("07_duality", "08_practice"):
            page.goto((site / "book" / f"{name}.html").as_uri())
            page.locator(".toggle-button").first.wait_for()
            closed = page.evaluate(FOLDED)
            assert len(closed) >= 10
            assert all(closed)
            page.emulate_media(media="print")
            assert not any(page.evaluate(FOLDED))
            page.emulate_media(media="screen")
        assert faults == []


def test_weights(lectures):
    assert overweight_of(lectures) == []
    drawn = require_site() / "figures"  # SVGs that `make figures` has added
    files = [file for file in SITE.rglob("*") if file.is_file() and drawn not in file.parents]
    total = sum(file.stat().st_size for file in files)
    print(f"{total:>10,} bytes  the site")
    assert total <= WHOLE_SITE


# ---- Each finder is seen red

PLANTED = {
    "raw TeX: It is $x": "<p>It is $x and no more</p>",
    r"raw TeX: \begin{align} a": r"<p>\begin{align} a \end{align}</p>",
    r"raw TeX: \(a\)": r"<p>\(a\)</p>",
    "formula not typeset": r'<span class="math">\(a\)</span>',
    "formula with an error": "<mjx-container><mjx-merror>bad</mjx-merror></mjx-container>",
    "formula with an undefined command": '<mjx-mtext><mjx-c class="mjx-c5C"></mjx-c></mjx-mtext>',
    "image not loaded": '<img src="missing.png" alt="A figure that is not there">',
    "404: ": '<img src="missing.png" alt="A figure that is not there">',
    "image without a written alt text: ": '<img src="dot.svg">',
    "image without a written alt text: ../_images/a.png": '<img src="dot.svg" alt="../_images/a.png">',
    "page is 908 wide": '<div style="width: 900px">wide</div>',
    "<table> reaches": '<div style="overflow: hidden"><table width="900"><tr><td>x</td></tr></table></div>',
    "contrast 1.0": '<p style="color: #fefefe">white on white</p>',
    "request to the outside: https://example.org/a.js": '<script src="https://example.org/a.js"></script>',
    "console: planted": "<script>console.error('planted')</script>",
    "script: planted": "<script>throw new Error('planted')</script>",
}
GOOD = (
    '<p>A price of <code>$5</code>.</p><img src="dot.svg" alt="A dot"><div style="overflow-x: auto"><pre>'
    + "x" * 200
    + "</pre></div>"
)


def plant(folder, body):
    (folder / "dot.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="4"/></svg>'
    )
    (folder / "page.html").write_text(
        f'<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><main>{body}</main>'
    )


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_seen(browser, tmp_path, fault):
    plant(tmp_path, PLANTED[fault])
    found = visit(browser, tmp_path, "http", ["page.html"], "phone")["page.html"].faults
    assert any(one.removeprefix("phone: ").startswith(fault) for one in found), found


@pytest.mark.slow
def test_a_fault_of_one_mode_is_seen_after_turning_to_it(browser, tmp_path):
    plant(tmp_path, "<style>@media (prefers-color-scheme: dark) {p {background: #111}}</style><p>black</p>")
    (visited,) = visit(browser, tmp_path, "http", ["page.html"], *MODES).values()
    assert visited.faults == ["dark: contrast 1.1: <p> black"]
    (tmp_path / "page.html").write_text(
        '<!doctype html><html data-theme="light"><link rel="icon" href="data:,">'
    )
    (visited,) = visit(browser, tmp_path, "http", ["page.html"], "light", "dark").values()
    assert visited.faults == ["dark: theme is light"]


def test_good_page_has_no_fault(browser, tmp_path):
    plant(tmp_path, GOOD)
    assert faults_of(visit(browser, tmp_path, "http", ["page.html"], "phone")) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="missing.html">x</a>', "page.html: missing.html is not there"),
        ('<a href="#missing">x</a>', "page.html: #missing has no such anchor"),
        ('<a href="../../outside.html">x</a>', "page.html: ../../outside.html is not there"),
        ('<img src="//example.org/a.png">', "page.html: fetches //example.org/a.png"),
        (
            '<link rel="stylesheet" href="https://example.org/a.css">',
            "page.html: fetches https://example.org/a.css",
        ),
        (
            '<a href="https://example.org/">out</a><p id="here"><a href="page.html#here">x</a>',
            None,
        ),
    ],
)
def test_planted_reference_is_seen(tmp_path, body, fault):
    plant(tmp_path, body)
    assert broken_references(tmp_path) == ([fault] if fault else [])


def test_planted_style_sheet_is_seen(tmp_path):
    (tmp_path / "a.css").write_text("@font-face {src: url('https://example.org/a.woff2')}")
    assert broken_references(tmp_path) == ["a.css: fetches https://example.org/a.woff2"]


def test_weight_marks():
    heavy = {
        "a": {"x": PAGE + 1},
        "b": {"/mathjax/tex.js": PAGE + 1},
        "c": {"/mathjax/tex.js": PAGE_WITH_MATH + 1},
    }
    assert [fault[0] for fault in overweight(heavy)] == ["a", "c"]
    assert [fault[0] for fault in overweight(heavy, {"c": 1})] == ["a"]
