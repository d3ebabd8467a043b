"""The WGAN lab's page: how it is built, what its address may say, and what it does in a real browser.

The browser part builds the page, opens it as a file without a network and works it as a reader would, with
keys, mouse and touch. What it shows is held against the core under node, scipy and contourpy. What needs
node, Chromium or axe-core is skipped, with the reason, where that is not installed.
"""

import base64
import functools
import hashlib
import importlib.util
import itertools
import json
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import contourpy
import numpy as np
import pytest
import test_browser
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from test_lab_core import NO_NODE

ROOT = Path(__file__).resolve().parents[1]
WEIGHT = 66_000  # bytes of the page
TURNS = 4_000  # in which WGAN-GP, as it is set at first, must hold all eight modes
SEEDS = range(1, 6)
PATIENCE = 240  # seconds: a busy machine is slow, not wrong
SPAN, CELLS, FIELD = 2.3, 64, 40  # of the view, the drawing board and the painted field
WIDTHS = (360, 700, 1100)
LOOKED = "#readings dd:text-matches('^[0-9]')"  # the first number: until then the readings are dashes


def load_extension():
    spec = importlib.util.spec_from_file_location("book_lab", ROOT / "book" / "_ext" / "lab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lab = load_extension()


# ---- The page as it is built


class Parts(HTMLParser):
    """The `scripts` of a page, its `style`, its `policy`, and the `addresses` in its attributes."""

    def __init__(self, html):
        super().__init__()
        self.inside, self.scripts, self.style, self.addresses, self.policy = None, [], "", [], {}
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        self.inside = tag
        if tag == "script":
            self.scripts.append("")
        if of.get("http-equiv") == "Content-Security-Policy":
            rules = (rule.split() for rule in of["content"].split(";"))
            self.policy = {name: set(values) for name, *values in rules}
        self.addresses += [
            of[key] for key in ("src", "href", "srcset", "action", "data", "poster") if key in of
        ]

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data
        if self.inside == "style":
            self.style += data


def checksum(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_page_is_small_and_the_same_each_time():
    html = lab.page()
    assert html == load_extension().page()
    assert 20_000 < len(html.encode()) <= WEIGHT


def test_the_policy_lets_these_scripts_run_and_nothing_be_fetched():
    found = Parts(lab.page())
    assert len(found.scripts) == 2
    assert found.policy["script-src"] == {*map(checksum, found.scripts), "'wasm-unsafe-eval'"}
    assert found.policy["style-src"] == {checksum(found.style)}
    assert found.policy["default-src"] == {"'none'"}
    assert found.policy["worker-src"] == {"blob:"}
    allowed = {"default-src", "script-src", "style-src", "worker-src", "img-src", "base-uri", "form-action"}
    assert set(found.policy) == allowed


def test_the_page_refers_to_nothing():
    html = lab.page()
    found = Parts(html)
    assert set(found.addresses) <= {"#", "data:,"}
    assert re.findall(r"(?:\w+:)?//[\w.-]+\.\w+", html) == []
    assert re.findall(r"url\(|@import", found.style) == []
    for script in found.scripts:
        calls = r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|\bimport\b|\beval\b"
        assert re.findall(calls, script) == []


def page_without_kernel(folder):
    """The page of a copy of the sources, in `folder`, whose kernel has no bytes: plain JavaScript is left."""
    copy = Path(shutil.copytree(lab.FOLDER, folder / "_lab"))
    (copy / "core" / "bytes.mjs").write_text('export const BYTES = "";\n', encoding="utf-8")
    return lab.page(copy)


@pytest.fixture
def copied(tmp_path):
    return Path(shutil.copytree(lab.FOLDER, tmp_path / "_lab"))


def test_a_copy_gives_the_same_page(copied):
    assert lab.page(copied) == lab.page()


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("core/random.mjs", "export default 1;", "random.mjs has 'export default 1;'. Only"),
        ("core/random.mjs", "export { stream as other };", "random.mjs has 'export {"),
        ("core/random.mjs", "export class Stream {}", "random.mjs has 'export class"),
        ("page/board.mjs", 'import * as all from "./drawing.mjs";', "board.mjs has 'import * as all"),
        ("page/board.mjs", 'import printed from "./drawing.mjs";', "board.mjs has 'import printed from"),
        ("page/board.mjs", 'import "./drawing.mjs";', 'board.mjs has \'import "./drawing.mjs"'),
        (
            "page/board.mjs",
            'import { nobody } from "./drawing.mjs";',
            "board.mjs imports nobody, but ./drawing.mjs exports no such name.",
        ),
        (
            "page/board.mjs",
            'import { printed as text } from "./drawing.mjs";',
            "board.mjs imports printed as text, but ./drawing.mjs exports no such name.",
        ),
        (
            "page/board.mjs",
            'import { x } from "./nowhere.mjs";',
            "board.mjs imports ./nowhere.mjs, but there is no such file.",
        ),
        (
            "core/random.mjs",
            "const assign = 1;",
            "random.mjs and transport.mjs both define assign. Rename one.",
        ),
        (
            "page/state.mjs",
            "function printed() {}",
            "drawing.mjs and state.mjs both define printed. Rename one.",
        ),
    ],
)
def test_what_cannot_be_bundled_is_named(copied, file, line, said):
    module = copied / file
    module.write_text(f"{module.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    with pytest.raises(lab.LabError, match=re.escape(said)):
        lab.page(copied)


# ---- Its parts under node


def node(script, *values):
    """What `script` returns, the body of an async function of `values`; `core` and `page` import modules."""
    if NO_NODE:
        pytest.skip(NO_NODE)
    source = f"""
        const at = (folder) => (name) => import(`{lab.FOLDER.as_uri()}/${{folder}}/${{name}}.mjs`);
        const [core, page] = [at("core"), at("page")];
        const values = JSON.parse(require("fs").readFileSync(0, "utf8"));
        (async (...values) => {{ {script} }})(...values)
          .then((found) => process.stdout.write(JSON.stringify(found)));"""
    done = subprocess.run(
        ["node", "--input-type=commonjs", "-e", source],
        input=json.dumps(values),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_setting_survives_the_address():
    found = node("""
        const { SETTINGS, PRESETS, ...state } = await page("state"), tried = [];
        const { applies, changed, defaults, parse, presetOf, print, settingsOf } = state;
        const all = ({ values, range }) => range ?? (Array.isArray(values) ? values : Object.keys(values));
        for (const data of all(SETTINGS.data)) for (const recipe of all(SETTINGS.recipe)) {
          const start = defaults(data, recipe);
          for (const name of Object.keys(SETTINGS)) for (const value of all(SETTINGS[name])) {
            const settings = changed(start, name, value);
            if (applies(name, settings)) tried.push([settings, parse("#" + print(settings)), name, value]);
          }
        }
        const setups = Object.keys(PRESETS).map((id) => {
          const parsed = parse(`#preset=${id}`);
          return [settingsOf(id), parsed, id, presetOf(parsed.settings)];
        });
        return { tried, setups, start: defaults(), empty: parse("") };""")
    assert len(found["tried"]) > 1000
    for settings, parsed, name, value in found["tried"]:
        assert settings[name] == value
        assert parsed["complaints"] == []
        assert parsed["settings"] == settings
    for settings, parsed, preset, recognised in found["setups"]:
        assert parsed == {"settings": settings, "complaints": []}
        assert recognised == preset
    assert found["empty"] == {"settings": found["start"], "complaints": []}


def test_a_drawing_survives_the_address():
    rng = np.random.default_rng(0)
    drawings = [[0], [CELLS * CELLS - 1], sorted(rng.choice(CELLS * CELLS, 1200, replace=False).tolist())]
    found = node(
        """
        const { defaults, parse, print } = await page("state");
        return values.map((cells) => {
          const address = print({ ...defaults("drawn"), cells });
          return [parse("#" + address), address.length];
        });""",
        *drawings,
    )
    for cells, (parsed, length) in zip(drawings, found, strict=True):
        assert parsed["settings"]["cells"] == cells
        assert parsed["complaints"] == []
        assert length <= 2 * len(cells) + 200
    turned = node("""return (await page("state")).parse("#data=drawn&cells=CACBCA").settings.cells""")
    assert turned == [128, 129]  # in order, and each once


BAD = {
    "data=moon": "data must be one of ring, grid, roll, lines, drawn, but the address has “moon”.",
    "recipe=gp": "recipe must be one of gan, minimax, wgan, wgan_gp, wgan_lp, but the address has “gp”.",
    "weight=7": "but the address has “7”.",
    "c=": "but the address has “”.",
    "nCritic=-1": "but the address has “-1”.",
    "criticRate=1e9": "but the address has “1e9”.",
    "generatorRate=toString": "but the address has “toString”.",
    "width=128": "width must be one of 16, 32, 64, but the address has “128”.",
    "n=NaN": "n must be one of 64, 128, 256, 512, but the address has “NaN”.",
    "seed=0": "seed must be a whole number from 1 to 9999, but the address has “0”.",
    "seed=1.5": "seed must be a whole number from 1 to 9999, but the address has “1.5”.",
    "data=constructor": "but the address has “constructor”.",
    "preset=__proto__": "but the address has “__proto__”.",
    "cells=A": "cells must be pairs of letters, digits, - and _, but the address has “A”.",
    "cells=A!": "cells must be pairs of letters, digits, - and _, but the address has “A!”.",
    "lambda=1": "There is no setting “lambda”.",
    "<b>=1": "There is no setting “<b>”.",
}


@pytest.mark.parametrize("bad", BAD)
def test_what_an_address_cannot_have_is_named(bad):
    parsed, usual = node(
        """const { defaults, parse } = await page("state"); return [parse(`#${values[0]}`), defaults()];""",
        bad,
    )
    assert parsed["settings"] == usual
    (complaint,) = parsed["complaints"]
    assert complaint.endswith(BAD[bad])
    rule = (
        rf"{bad.partition('=')[0]} must be (one of [\w.-]+(, [\w.-]+)+|a whole number from|pairs of letters)"
    )
    assert re.match(rule, complaint) or complaint.startswith("There is no setting ")


@pytest.mark.parametrize("level", [-0.4, 0.0, 0.3])
def test_level_lines_against_contourpy(level):
    size = 14
    values = np.random.default_rng(1).normal(size=(size, size))  # rough: many saddles
    found = node(
        """return (await page("drawing")).levelLine(...values)""", values.ravel().tolist(), size, level
    )
    lines = contourpy.contour_generator(z=values, name="serial").lines(level)
    pairs = [(line[k], line[k + 1]) for line in lines for k in range(len(line) - 1)]

    def segments(pairs):
        return {frozenset(tuple(np.round(end, 6) + 0.0) for end in pair) for pair in pairs}

    assert len(pairs) > 50
    assert segments([(one[:2], one[2:]) for one in found]) == segments(pairs)


def test_a_long_game_is_drawn_from_few_looks_at_equal_distances():
    keys = ("w1", "gap", "lower", "js", "steep", "slope")
    looks = [{"turn": 25 * k, **{key: float((k * k) % 97) for key in keys}} for k in range(3000)]
    found = node(
        """
        const { remember, trace } = await page("curves"), [looks] = values, kept = trace(), sizes = [];
        looks.forEach((_, k) => { remember(kept, looks.slice(0, k + 1)); sizes.push(kept.rows.length); });
        return [sizes, kept];""",
        looks,
    )
    sizes, kept = found
    assert sizes[:400] == list(range(1, 401))
    assert max(sizes) == 480
    turns = np.array([row["turn"] for row in kept["rows"]])
    assert turns[0] == 0
    assert set(np.diff(turns)) == {25 * kept["stride"]}
    assert turns[-1] > 25 * 2999 - 25 * kept["stride"]
    for row in kept["rows"]:
        k = row["turn"] // 25
        last = [look["gap"] for look in looks[max(0, k - 9) : k + 1]]
        assert row["gap"] == looks[k]["gap"]
        assert row["mean"] == {key: pytest.approx(np.mean(last)) for key in keys}


@pytest.mark.parametrize("recipe", ["gan", "minimax", "wgan", "wgan_gp"])
def test_the_push_is_the_way_down_for_a_sample(recipe):
    """-d/dx of the generator's term, by central differences, from what the recipes' papers write down."""
    f, push = node(
        """
        const { session } = await core("session"), { defaults, forEngine } = await page("state");
        const game = session({ ...forEngine(defaults("ring", values[0])), Real: Float64Array });
        game.advance(40, () => 0);
        const { fake, push } = game.picture(), h = 1e-6;
        const judge = (dx, dy) => {
          const moved = fake.map((v, k) => v + (k % 2 ? dy : dx));
          return Array.from(game.run.judge(moved, 256).f);
        };
        return [[[0, 0], [h, 0], [-h, 0], [0, h], [0, -h]].map((d) => judge(...d)), Array.from(push)];""",
        recipe,
    )
    terms = {"gan": lambda f: np.logaddexp(0, -f), "minimax": lambda f: -np.logaddexp(0, f)}
    _, right, left, up, down = terms.get(recipe, np.negative)(np.array(f))
    expected = -np.stack([right - left, up - down], axis=1) / 2e-6
    away = np.abs(np.array(push).reshape(-1, 2) - expected).max(axis=1)
    assert np.abs(expected).max() > 1e-3
    assert np.mean(away < 1e-7) > 0.97  # a kink may lie between two differences


# ---- In a browser


def in_browser(test):
    return pytest.mark.browser(pytest.mark.slow(test))


browser = test_browser.browser


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("lab") / "lab.html"
    path.write_text(lab.page(), encoding="utf-8")
    return path


@contextmanager
def opened(browser, file, address="", mode="light", *, width=None, before=None, slower=None, **media):
    """The lab at `address`; a message on the console, a request to the outside or an error fails the test."""
    with test_browser.tab(browser, file.parent.as_uri() + "/", mode) as (page, faults):
        page.on("console", lambda message: faults.append(f"console ({message.type}): {message.text}"))
        if width:
            page.set_viewport_size({"width": width, "height": 900})
        if before:
            page.add_init_script(before)
        if media:
            page.emulate_media(**media)
        if slower:
            page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})
        page.goto(file.as_uri() + address)
        page.locator(LOOKED).first.wait_for()
        yield page
        assert faults == []


def until(page, condition, seconds=PATIENCE):
    """Wait for it. Playwright's own way would evaluate a text in the page, which its policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"not within {seconds} s: {condition}"
        page.wait_for_timeout(40)


def status(page):
    return page.locator("#status").text_content()


def readings(page):
    return page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#readings > div')].map(e => "
        "[e.children[0].textContent, e.children[1].textContent]))"
    )


def paused(page):
    """Wait for the last word after a pause; the turns then."""
    until(page, "/^Paused at turn/.test(document.getElementById('status').textContent)")
    return page.evaluate("lab.state.turns")


def train(page, turns):
    """At least so many turns, as fast as it goes, and a pause; without input, so that layout shifts count."""
    page.evaluate("lab.start()")
    until(page, f"lab.state?.turns >= {turns}")
    page.evaluate("lab.rest()")
    return paused(page)


def now(page):
    """The engine's own word on where the game stands."""
    page.evaluate("lab.state = null; lab.send({ want: 1e9 })")
    until(page, "lab.state !== null")
    return page.evaluate("lab.state")


def pixels(page, canvas):
    """Rows x columns x (r, g, b, a) of a canvas."""
    width, height, text = page.evaluate(
        """id => { const e = document.getElementById(id), { width, height } = e;
            const g = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
            g.drawImage(e, 0, 0);
            const { data } = g.getImageData(0, 0, width, height);
            let text = ""; for (let k = 0; k < data.length; k += 4096) text += String.fromCharCode(...data.subarray(k, k + 4096));
            return [width, height, btoa(text)]; }""",  # noqa: E501
        canvas,
    )
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


# Keys


CONTROLS = ["preset", "data", "recipe", "weight", "c", "nCritic", "criticRate", "generatorRate", "width", "n"]
CONTROLS += ["seed", "play", "step", "reset", "pace", "defaults", "link"]


def focused(page):
    return page.evaluate("document.activeElement.id")


@in_browser
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize(
    ("recipe", "skipped"), [("wgan_gp", {"c"}), ("wgan", {"weight"}), ("gan", {"c", "weight"})]
)
def test_tab_goes_the_way_a_reader_reads(browser, file, width, recipe, skipped):
    with opened(browser, file, f"#recipe={recipe}", width=width) as page:
        found, boxes = [], []
        for _ in range(len(CONTROLS) - len(skipped)):
            page.keyboard.press("Tab")
            found.append(focused(page))
            boxes.append(page.locator(f"#{found[-1]}").bounding_box())
        assert found == [name for name in CONTROLS if name not in skipped]
        for a, b in itertools.pairwise(boxes):
            same_line = abs(a["y"] + a["height"] / 2 - b["y"] - b["height"] / 2) < 12
            assert b["x"] > a["x"] if same_line else b["y"] > a["y"]


@in_browser
def test_a_whole_run_by_keyboard(browser, file):
    def tab_to(page, name):
        for _ in range(40):
            if focused(page) == name:
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"no way to {name}")

    with opened(browser, file, "#recipe=gan") as page:
        tab_to(page, "recipe")
        for _ in range(3):
            page.keyboard.press("ArrowDown")
        assert page.evaluate("lab.settings.recipe") == "wgan_gp"
        assert status(page) == "Ready."
        assert page.evaluate("location.hash") == page.locator("#link").get_attribute("href")
        tab_to(page, "play")
        page.keyboard.press("Space")
        assert page.locator("#play").text_content() == "Pause"
        assert status(page) == "Training."
        until(page, "lab.state?.turns >= 130")
        page.keyboard.press("Enter")
        turns = paused(page)
        assert page.locator("#play").text_content() == "Start"
        assert status(page).startswith(f"Paused at turn {turns}. Exact W₁ ")
        first = page.evaluate("lab.looks")
        assert [look["turn"] for look in first] == list(range(0, turns + 1, 25))
        page.keyboard.press("Tab")
        for k in range(1, 4):
            page.keyboard.press("Enter")
            until(page, f"lab.state.turns === {turns + k}")
        assert now(page)["turns"] == turns + 3
        assert status(page) == "One turn more."
        assert readings(page)["Turns, one generator update each"].startswith(f"{turns + 3}, ")
        page.keyboard.press("Tab")
        assert focused(page) == "reset"
        page.keyboard.press("Enter")
        until(page, "lab.state?.turns === 0")
        assert status(page) == "Reset: the same game from its beginning."
        assert len(page.evaluate("lab.looks")) == 1
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Shift+Tab")
        assert focused(page) == "play"
        page.keyboard.press("Enter")
        until(page, "lab.state?.turns >= 130")
        page.keyboard.press("Space")
        paused(page)
        assert page.evaluate("lab.looks.slice(0, 6)") == first[:6]


@in_browser
def test_speed_by_keyboard(browser, file):
    with opened(browser, file) as page:
        slider = page.locator("#pace")
        slider.focus()
        assert slider.get_attribute("aria-valuetext") == "as fast as it goes"
        page.keyboard.press("Home")
        assert slider.get_attribute("aria-valuetext") == "2 turns a second"
        begin = time.monotonic()
        page.evaluate("lab.start()")
        until(page, "lab.state?.turns >= 4")
        page.evaluate("lab.rest()")
        assert paused(page) <= 2 * (time.monotonic() - begin) + 1


@in_browser
def test_another_seed_is_another_game(browser, file):
    with opened(browser, file) as page:
        first = page.evaluate("lab.looks[0].w1")
        page.locator("#seed").fill("2")
        page.locator("#seed").press("Enter")
        until(page, "lab.looks.length > 0")
        assert page.evaluate("lab.looks[0].w1") != first
        page.locator("#seed").fill("1.5")
        page.locator("#seed").press("Tab")
        assert status(page) == "The seed must be a whole number from 1 to 9999. It is 2 again."
        assert page.locator("#seed").input_value() == "2"


# Training


@in_browser
@pytest.mark.parametrize("seed", SEEDS)
def test_wgan_gp_holds_all_modes(browser, file, seed):
    with opened(browser, file, f"#seed={seed}") as page:
        assert page.evaluate("[lab.settings.recipe, lab.settings.data]") == ["wgan_gp", "ring"]
        page.locator("#play").click()
        until(page, f"lab.state.sustained !== null || lab.state.turns > {TURNS}")
        held = page.evaluate("lab.state.sustained")
        assert held is not None, f"not within {TURNS} turns"
        assert held["turn"] <= TURNS
        when = f"turn {held['turn']}, after {held['seconds']:.1f} s of training"
        until(page, "document.getElementById('status').textContent !== 'Training.'")
        assert status(page) == f"All 8 modes held for 10 looks, at {when}."
        page.locator("#play").click()
        paused(page)
        covered = page.evaluate(
            f"lab.looks.filter(l => l.turn <= {held['turn']}).slice(-10).map(l => l.modes.covered)"
        )
        assert covered == [8] * 10
        shown = readings(page)["All modes held for ten looks"]
        assert shown == f"turn {held['turn']}, {held['seconds']:.1f} s"


WORKERS = {
    "worker": None,
    "none": "delete window.Worker;",
    "refused": """window.Worker = class { postMessage() {} constructor() { setTimeout(() =>
        this.onerror(new ErrorEvent("error", { message: "refused", cancelable: true })), 50); } };""",
}


@functools.cache
def expected_looks(recipe, data, seed, turns, fast=True):
    """The looks of the same game under node."""
    return node(
        """
        const { session } = await core("session"), { defaults, forEngine } = await page("state");
        const [recipe, data, seed, turns, fast] = values;
        const game = session({ ...forEngine(defaults(data, recipe)), seed, fast });
        game.advance(turns, () => 0);
        return game.looks;""",
        recipe,
        data,
        seed,
        turns,
        fast,
    )


def assert_same_looks(found, expected):
    """Equal but for the last bits in which two engines' logarithms may differ."""
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for key, value in other.items():
            assert one[key] == (
                pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value
            ), key


@in_browser
@pytest.mark.parametrize(
    ("mode", "worker"),
    [("light", "worker"), ("light", "none"), ("light", "refused"), ("dark", "worker"), ("phone", "worker")],
)
def test_a_run_asks_for_nothing_and_does_not_depend_on_the_thread(browser, file, mode, worker):
    requests = []
    width = 360 if mode == "phone" else None
    with opened(browser, file, "#seed=3", mode, before=WORKERS[worker], width=width) as page:
        page.on("request", lambda request: requests.append(request.url))
        page.reload()
        page.locator(LOOKED).first.wait_for()
        train(page, 75)
        assert page.evaluate("[lab.worker, lab.state.fast]") == [worker == "worker", True]
        looks = page.evaluate("lab.looks.slice(0, 4)")
        assert page.evaluate("document.documentElement.dataset.theme") == (
            "dark" if mode == "dark" else "light"
        )
    others = [url for url in requests if not url.startswith(("blob:", "data:", file.as_uri()))]
    assert others == []
    assert sum(url.startswith("file:") for url in requests) == 1
    assert_same_looks(looks, expected_looks("wgan_gp", "ring", 3, 75))


@in_browser
@pytest.mark.parametrize("worker", ["worker", "none"])
def test_without_the_kernel_the_lab_runs_in_plain_javascript(browser, tmp_path, worker):
    slow = tmp_path / "lab.html"
    slow.write_text(page_without_kernel(tmp_path), encoding="utf-8")
    with opened(browser, slow, "#seed=3", before=WORKERS[worker]) as page:
        train(page, 75)
        assert page.evaluate("lab.state.fast") is False
        expected = expected_looks("wgan_gp", "ring", 3, 75, False)
        assert_same_looks(page.evaluate("lab.looks.slice(0, 4)"), expected)


@in_browser
def test_a_worker_leaves_the_page_free(browser, file):
    """While the worker trains, the page's own thread is not held up for longer than a picture takes."""
    with opened(browser, file) as page:
        page.evaluate("""() => { window.late = []; let before = performance.now(); setInterval(() => {
            late.push(performance.now() - before); before = performance.now(); }, 10); }""")
        page.evaluate("lab.start()")
        until(page, "lab.state.turns > 100")
        late = np.array(page.evaluate("late"))
        assert np.median(late) < 60
        assert page.evaluate("lab.painting") < 0.7 * page.evaluate("performance.now() / 1000")


@in_browser
def test_a_hidden_tab_pauses(browser, file):
    with opened(browser, file) as page:
        page.locator("#play").click()
        until(page, "lab.state.turns > 10")
        page.evaluate("""Object.defineProperty(document, "hidden", { value: true, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));""")
        assert page.locator("#play").text_content() == "Start"
        turns = paused(page)
        page.wait_for_timeout(400)
        assert now(page)["turns"] == turns


# Layout

PLACES = """() => [...document.querySelectorAll("main, header, form, #see, .bar, .bar *, #status, .panels, figure, canvas, "
    + "figcaption, #readings, #readings > div")].map(e => { const box = e.getBoundingClientRect();
        return [e.id || e.localName, box.x, box.y + scrollY, box.width, box.height].map(v => v.toFixed?.(1) ?? v).join(" "); })"""  # noqa: E501
WATCH = """window.shifts = []; new PerformanceObserver((list) => list.getEntries().forEach((entry) => shifts.push([entry.value,
    entry.sources.map(s => s.node?.id || s.node?.localName).join(" ")]))).observe({ type: "layout-shift", buffered: true });"""  # noqa: E501


@in_browser
@pytest.mark.parametrize("recipe", ["wgan_gp", "gan"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_while_a_game_goes_on(browser, file, width, recipe):
    with opened(browser, file, f"#recipe={recipe}", width=width, before=WATCH) as page:
        before = page.evaluate(PLACES)
        train(page, 60)
        assert page.evaluate(PLACES) == before
        page.locator("#step").evaluate("e => e.click()")
        until(page, "document.getElementById('status').textContent === 'One turn more.'")
        assert page.evaluate(PLACES) == before
        page.evaluate("lab.start()")
        until(page, "lab.looks.length > 6")
        assert page.evaluate(PLACES) == before
        page.evaluate(
            "lab.settings.criticRate = 1e30; document.getElementById('reset').click(); lab.start();"
        )
        until(page, "lab.state?.diverged")
        assert status(page).startswith("The game has diverged. Choose ")
        assert page.evaluate("lab.running") is False
        assert page.evaluate(PLACES) == before
        assert page.evaluate("shifts") == []


@in_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_while_a_slow_machine_loads_the_page(browser, file, width):
    with opened(browser, file, width=width, before=WATCH, slower=20) as page:
        assert page.locator("main").is_visible()
        assert page.evaluate("shifts") == []


@in_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_setup_from_the_list_leaves_the_pictures_where_they_are(browser, file, width):
    with opened(browser, file, width=width) as page:
        places = set()
        setups = page.eval_on_selector_all("#preset option", "all => all.map(e => e.value)")
        for setup in filter(None, setups):
            page.locator("#preset").select_option(setup)
            until(page, "lab.state !== null")
            assert page.evaluate("location.hash") == f"#preset={setup}"
            places.add(page.evaluate("document.getElementById('plane').getBoundingClientRect().y + scrollY"))
        assert len(places) <= 1


@in_browser
@pytest.mark.parametrize("mode", ["light", "dark", "phone"])
@pytest.mark.parametrize("address", ["", "#recipe=gan&data=grid", "#data=drawn", "#data=lines"])
def test_nothing_sticks_out(browser, file, mode, address):
    with opened(browser, file, address, mode, width=360 if mode == "phone" else 700) as page:
        train(page, 26)
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
        assert [fault for fault in page.evaluate(test_browser.FAULTS) if "image" not in fault] == []
        spill = """() => [...document.querySelectorAll("main *")].filter(e =>
            e.scrollWidth > e.clientWidth + 1 && e.clientWidth
            && !/^(select|canvas|svg|path|sub)$/.test(e.localName)
            && getComputedStyle(e).display !== "inline").map(e => e.id || e.outerHTML.slice(0, 60))"""
        assert page.evaluate(spill) == []


# Names, axe


@in_browser
def test_every_control_has_a_name(browser, file):
    with opened(browser, file, "#data=drawn") as page:
        names = {}
        for control in page.locator("select, input, button, a, [tabindex]").all():
            snapshot = control.aria_snapshot()
            names[control.get_attribute("id")] = re.search(r'"([^"]+)"', snapshot)
        assert set(names) == {*CONTROLS, "plane", "clear"}
        assert [key for key, name in names.items() if not name] == []


AXE_MODES = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "360 px": {"viewport": {"width": 360, "height": 800}, "color_scheme": "light"},
}
AXE_STATES = {
    "default": "",
    "gan": "#recipe=gan",
    "clipping": "#recipe=wgan",
    "drawn": "#data=drawn",
    "trained": "",
}


def axe_script():
    """The text of axe-core, which a package brings."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None:
        pytest.skip("NO AXE: the lab was not looked at by axe-core: pip install axe-playwright-python==0.1.8")
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def axe_findings(browser, file, mode):
    """{state: [(rule, impact, element)]} that axe-core finds, all its rules on, best practices too."""
    context = browser.new_context(**AXE_MODES[mode], bypass_csp=True)
    context.set_default_timeout(60_000)
    found = {}
    for state, address in AXE_STATES.items():
        page = context.new_page()
        page.goto(file.as_uri() + address)
        page.locator(LOOKED).first.wait_for()
        if state == "trained":
            train(page, 60)
        page.evaluate(axe_script())
        violations = page.evaluate("axe.run().then(({ violations }) => violations)")
        found[state] = [(v["id"], v["impact"], node["html"][:90]) for v in violations for node in v["nodes"]]
        page.close()
    context.close()
    return found


@in_browser
@pytest.mark.parametrize("mode", AXE_MODES)
def test_axe_finds_nothing(browser, file, mode):
    assert axe_findings(browser, file, mode) == {state: [] for state in AXE_STATES}


# What is said aloud


@in_browser
def test_the_status_speaks_sparingly(browser, file):
    with opened(browser, file) as page:
        assert page.locator("#status").get_attribute("role") == "status"
        others = (
            "document.querySelectorAll('[aria-live], [role=status], [role=alert], [role=log], output').length"
        )
        assert page.evaluate(others) == 1
        page.evaluate("""() => { window.said = []; const status = document.getElementById("status");
            new MutationObserver(() => said.push(status.textContent))
              .observe(status, { childList: true, characterData: true, subtree: true }); }""")
        page.locator("#play").click()
        until(page, "lab.looks.length > 8")
        page.wait_for_timeout(1500)
        page.locator("#play").click()
        paused(page)
        page.wait_for_timeout(200)
        first, *between, last = said = page.evaluate("said")
        assert first == "Training."
        assert last.startswith("Paused at turn ")
        assert len(between) <= 1
        assert all(text.startswith("All 8 modes held ") for text in between)
        page.locator("#reset").click()
        until(page, "lab.state?.turns === 0")
        assert page.evaluate("said")[len(said) :] == ["Reset: the same game from its beginning."]


@in_browser
def test_a_bad_address_is_answered_in_the_page(browser, file):
    with opened(browser, file, "#data=moon&seed=0&weight=3&lambda=<b>1</b>") as page:
        for said in (BAD["data=moon"], BAD["seed=0"], BAD["lambda=1"], "The usual value is taken."):
            assert said in status(page)
        settings = page.evaluate("lab.settings")
        assert (settings["data"], settings["seed"], settings["weight"]) == ("ring", 1, 3)
        page.evaluate("location.hash = '#recipe=gan&data=grid'")
        until(page, "lab.settings.recipe === 'gan' && lab.state !== null")
        assert page.locator("#data").input_value() == "grid"
        assert status(page) == "Ready."


@in_browser
def test_the_link_is_the_setup(browser, file):
    with opened(browser, file) as page:
        page.locator("#recipe").select_option("wgan")
        page.locator("#c").select_option("0.3")
        page.locator("#seed").fill("7")
        page.locator("#seed").press("Enter")
        link = page.locator("#link").get_attribute("href")
        settings = page.evaluate("lab.settings")
        assert page.evaluate("location.hash") == link
    with opened(browser, file, link) as page:
        assert page.evaluate("lab.settings") == settings
        assert page.locator("#c").input_value() == "0.3"
        page.locator("#defaults").click()
        assert page.evaluate("[lab.settings.recipe, lab.settings.seed]") == ["wgan_gp", 1]


# Themes, frames, motion

GROUND = {"light": [255, 255, 255], "dark": [20, 24, 30]}


@in_browser
def test_the_pictures_follow_the_theme(browser, file):
    with opened(browser, file) as page:
        for scheme in ("light", "dark", "light"):
            page.emulate_media(color_scheme=scheme)
            until(page, f"document.documentElement.dataset.theme === '{scheme}'")
            assert pixels(page, "curves")[0, 0, :3].tolist() == GROUND[scheme]
            assert (pixels(page, "plane")[..., :3].mean() > 128) == (scheme == "light")


PARENT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title>
<link rel="icon" href="data:,">
<script>window.told = []; addEventListener("message", ({ data, source }) => told.push(data));</script>
<iframe name="lab" title="lab" src="lab.html#recipe=gan" style="width: 700px; height: 400px"></iframe>
<iframe name="other" title="other" srcdoc="<p>x</p>"></iframe></html>"""


@in_browser
def test_inside_another_page(browser, file):
    (file.parent / "parent.html").write_text(PARENT, encoding="utf-8")
    with test_browser.tab(browser, file.parent.as_uri() + "/") as (page, faults):
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.goto((file.parent / "parent.html").as_uri())
        inner, other = page.frame(name="lab"), page.frame(name="other")
        inner.locator(LOOKED).first.wait_for()

        def theme():
            page.wait_for_timeout(200)
            return inner.evaluate("document.documentElement.dataset.theme")

        header = inner.locator("header").bounding_box()  # for a screen reader only
        assert header["width"] <= 1 >= header["height"]
        message = "postMessage({ wganlab: 'theme', name: 'dark' }, '*')"
        inner.evaluate(message)
        other.evaluate(f"parent.frames[0].{message}")
        assert theme() == "light"
        page.evaluate(f"frames[0].{message}")
        until(inner, "document.documentElement.dataset.theme === 'dark'")
        assert pixels(inner, "curves")[0, 0, :3].tolist() == [0x12] * 3  # the book's ground
        page.evaluate("frames[0].postMessage({ wganlab: 'theme', name: 'light' }, '*')")
        until(inner, "document.documentElement.dataset.theme === 'light'")
        for message in ("null", "'text'", "{ wganlab: 'other' }", "{ name: 'dark' }"):
            page.evaluate(f"frames[0].postMessage({message}, '*')")
        assert theme() == "light"

        told = page.evaluate("told")
        assert {"wganlab": "ready"} in told
        height = inner.evaluate("document.documentElement.offsetHeight")
        assert [one["height"] for one in told if one["wganlab"] == "height"][-1] == height
        states = [one["text"] for one in told if one["wganlab"] == "state"]
        assert states == [inner.evaluate("location.hash")]
        inner.locator("#data").select_option("drawn")
        inner.locator("#clear").wait_for()
        until(page, "told.filter(one => one.wganlab === 'state').length > 1")
        taller = inner.evaluate("document.documentElement.offsetHeight")
        assert taller >= height
        until(page, f"told.findLast(one => one.wganlab === 'height').height === {taller}")
        told = page.evaluate("told")
        assert [one["text"] for one in told if one["wganlab"] == "state"][-1].startswith(
            "#data=drawn&recipe=gan&"
        )
        assert faults == []


@in_browser
def test_who_wants_little_motion_gets_few_pictures_and_full_speed(browser, file):
    with opened(browser, file, reduced_motion="reduce") as page:
        page.evaluate("lab.start()")
        until(page, "lab.state.turns > 0")
        before, begin = page.evaluate("[lab.paints, lab.state.seconds]"), time.monotonic()
        page.wait_for_timeout(3200)
        after, spent = page.evaluate("[lab.paints, lab.state.seconds]"), time.monotonic() - begin
        assert 2 <= after[0] - before[0] <= max(4, spent + 1)
        assert after[1] - before[1] > 0.2 * spent
        page.emulate_media(reduced_motion="no-preference")
        before = page.evaluate("lab.paints")
        until(page, f"lab.paints > {before + 10}", 5 + PATIENCE / 20)


# Drawing


def cells_of(*places):
    """The squares of brushes of 2 x 2 at places [column, row]."""
    return sorted({(y + dy) * CELLS + x + dx for x, y in places for dx in (0, 1) for dy in (0, 1)})


def middle_of(page, column, row):
    """Where the middle of a square lies on the screen."""
    box = page.locator("#plane").bounding_box()
    return box["x"] + (column + 0.5) * box["width"] / CELLS, box["y"] + (row + 0.5) * box["height"] / CELLS


@in_browser
def test_drawing_with_the_mouse_and_sending_it(browser, file):
    with opened(browser, file, "#data=drawn") as page:
        page.locator("#plane").scroll_into_view_if_needed()
        page.locator("#clear").click()
        assert page.evaluate("lab.settings.cells") == []
        assert status(page) == "The board is empty: paint some squares first."
        for button, said in (("play", "There is nothing to learn"), ("reset", "The board is empty")) * 2:
            page.locator(f"#{button}").click()
            assert page.evaluate("lab.running") is False
            assert status(page).startswith(said)  # another sentence each time: a screen reader says it
        page.locator("#step").click()
        assert status(page).startswith("There is nothing to learn")
        assert page.locator("#readings dd").all_text_contents() == ["–"] * 10
        page.mouse.move(*middle_of(page, 10, 20))
        page.mouse.down()
        page.mouse.move(*middle_of(page, 16, 20))
        page.mouse.move(*middle_of(page, 16, 23))
        page.mouse.up()
        expected = cells_of(*[(x, 20) for x in range(10, 17)], *[(16, y) for y in range(20, 24)])
        assert page.evaluate("lab.settings.cells") == expected
        assert status(page) == "Ready."
        page.locator(LOOKED).first.wait_for()
        page.mouse.move(*middle_of(page, 30, 30))  # with no button down
        assert page.evaluate("lab.settings.cells") == expected
        until(page, "lab.picture.real.length > 0 && lab.state !== null")
        train(page, 50)
        looks, address = page.evaluate("lab.looks.slice(0, 3)"), page.evaluate("location.hash")
        real = np.array(list(page.evaluate("[...lab.picture.real]"))).reshape(-1, 2)
        column = np.floor((real[:, 0] / SPAN + 1) * CELLS / 2).astype(int)
        row = np.floor((1 - real[:, 1] / SPAN) * CELLS / 2).astype(int)
        assert set(row * CELLS + column) <= set(expected)
    with opened(browser, file, address) as page:
        assert page.evaluate("lab.settings.cells") == expected
        train(page, 50)
        assert page.evaluate("lab.looks.slice(0, 3)") == looks


@in_browser
def test_a_stroke_stays_in_sight_while_a_game_goes_on(browser, file):
    with opened(browser, file, "#data=drawn&cells=AA") as page:
        page.locator("#plane").scroll_into_view_if_needed()
        page.locator("#play").click()
        until(page, "lab.state?.turns > 2")
        page.mouse.move(*middle_of(page, 4, 58))
        page.mouse.down()
        page.mouse.move(*middle_of(page, 58, 58))
        for _ in range(3):
            before = page.evaluate("lab.paints")
            until(page, f"lab.paints > {before + 1}")
            image = pixels(page, "plane")[..., :3].astype(float)
            at = image.shape[0] / CELLS
            stroke, below = (image[int(row * at), int(5 * at) : int(57 * at)] for row in (59, 61.5))
            assert np.median(below - stroke, axis=0).max() > 40
        page.mouse.up()
        assert page.evaluate("lab.running")
        assert page.evaluate("lab.settings.cells.length") == 1 + 2 * 56


@in_browser
def test_drawing_beyond_the_edge(browser, file):
    with opened(browser, file, "#data=drawn&cells=AA") as page:
        page.locator("#plane").scroll_into_view_if_needed()
        page.mouse.move(*middle_of(page, 60, 30))
        page.mouse.down()
        page.mouse.move(*middle_of(page, 70, 30))
        page.mouse.up()
        expected = {(30 + dy) * CELLS + x for x in range(60, 64) for dy in (0, 1)}
        assert page.evaluate("lab.settings.cells") == sorted(expected | {0})


@in_browser
def test_drawing_with_the_keys(browser, file):
    with opened(browser, file, "#data=drawn&cells=AA", width=360) as page:
        plane = page.locator("#plane")
        assert plane.get_attribute("aria-describedby") == "drawHelp"
        plane.focus()
        before = page.evaluate("scrollY")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        assert page.evaluate("lab.settings.cells") == sorted([0, *cells_of((30, 30))])
        assert focused(page) == "plane"
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Enter")
        assert page.evaluate("lab.settings.cells") == sorted([0, *cells_of((30, 30), (36, 30))])
        page.keyboard.press("Delete")
        assert page.evaluate("lab.settings.cells") == sorted([0, *cells_of((30, 30))])
        for _ in range(40):
            page.keyboard.press("Shift+ArrowLeft")
            page.keyboard.press("Shift+ArrowUp")
        page.keyboard.press("Backspace")
        assert page.evaluate("lab.settings.cells") == cells_of((30, 30))
        page.wait_for_timeout(200)
        assert page.evaluate("scrollY") == before
        page.keyboard.press("Tab")
        assert focused(page) == "clear"


def swipe(page, start, end):
    """A finger from one place to another, as the browser itself gets it."""
    client = page.context.new_cdp_session(page)
    points = [{"x": a + (b - a) * 0, "y": c} for (a, c), (b, _) in [(start, end)]]
    client.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points})
    for k in range(1, 11):
        point = {"x": start[0] + (end[0] - start[0]) * k / 10, "y": start[1] + (end[1] - start[1]) * k / 10}
        client.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        page.wait_for_timeout(16)
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(300)


@in_browser
@pytest.mark.parametrize("drawing", [True, False])
def test_a_finger_draws_or_scrolls(browser, file, drawing):
    context = browser.new_context(viewport={"width": 360, "height": 700}, has_touch=True, is_mobile=True)
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(file.as_uri() + ("#data=drawn&cells=AA" if drawing else "#data=ring"))
    page.locator(LOOKED).first.wait_for()
    page.locator("#plane").scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    cells = page.evaluate("lab.settings.cells")
    swipe(page, middle_of(page, 30, 50), middle_of(page, 30, 20))
    if drawing:
        assert page.evaluate("scrollY") == before
        assert page.evaluate("lab.settings.cells") == sorted(
            [0, *cells_of(*[(30, y) for y in range(20, 51)])]
        )
    else:
        assert page.evaluate("scrollY") > before + 40
        assert page.evaluate("lab.settings.cells") == cells
    context.close()


# The pictures and the numbers tell the truth


def place(pixel, size):
    """The coordinate of the plane at the middle of a pixel of the canvas."""
    return ((pixel + 0.5) / size * 2 - 1) * SPAN


@in_browser
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_points_are_drawn_where_they_are(browser, file, mode):
    with opened(browser, file, "#data=lines", mode) as page:
        image = pixels(page, "plane")[..., :3].astype(int)
        height, width = image.shape[:2]
        theme = page.evaluate("""["real", "fake"].map(name =>
            getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim())""")
        for colour, x in zip(theme, (0, 1), strict=True):
            rgb = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
            rows, columns = np.nonzero((image == rgb).all(axis=2))
            assert len(rows) > 300
            pixel = 2 * SPAN / width
            assert np.median(place(columns, width)) == pytest.approx(x, abs=2 * pixel)
            if x == 0:
                assert place(columns, width).min() > -5 * pixel
                assert place(columns, width).max() < 5 * pixel
            y = -place(rows, height)
            assert y.min() == pytest.approx(0, abs=6 * pixel)
            assert y.max() == pytest.approx(1, abs=6 * pixel)
        assert page.evaluate("lab.picture.theta") == 1


@in_browser
def test_the_field_is_blue_where_the_critic_is_high(browser, file):
    with opened(browser, file, "#seed=5") as page:  # before any turn: this critic is high here and low there
        field, middle = page.evaluate("[[...lab.picture.field], lab.picture.middle]")
        image = pixels(page, "plane")[..., :3].astype(float)
        above = np.array(field).reshape(FIELD, FIELD) - middle  # rows from the top
        strong = np.abs(above) > 0.5 * np.quantile(np.abs(above), 0.95)
        at = ((np.arange(FIELD) + 0.5) / FIELD * image.shape[0]).astype(int)
        blue = (image[..., 2] - image[..., 0])[np.ix_(at, at)]
        assert strong.sum() > 200
        assert (above[strong] > 0).any()
        assert (above[strong] < 0).any()
        assert np.mean((blue > 0) == (above > 0), where=strong) > 0.93  # the rest is under points and lines


def number(text):
    """A number as it is printed: 0.5, −1, 3.0 · 10⁻⁴."""
    mantissa, _, power = text.replace("−", "-").partition(" · 10")
    return float(mantissa) * 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)


@in_browser
@pytest.mark.parametrize("recipe", ["wgan_gp", "wgan_lp", "wgan", "gan", "minimax"])
def test_the_readings_are_the_cores(browser, file, recipe):
    with opened(browser, file, f"#recipe={recipe}") as page:
        turns = train(page, 50)
        looks, shown = page.evaluate("lab.looks"), readings(page)
        look, floor = looks[-1], page.evaluate("lab.state.floor")
        assert_same_looks(looks[:3], expected_looks(recipe, "ring", 1, 50))
        assert shown["Turns, one generator update each"].startswith(f"{turns}, ")
        labels = {"Exact W₁ of two batches of 128": "w1", "Steepest slope seen": "steep"}
        labels["Mean slope between data and samples"] = "slope"
        if recipe in ("gan", "minimax"):
            labels["Bound on JS, ln 2 − loss/2 (at most 0.693 nats)"] = "js"
            assert shown["Estimate ÷ steepest slope seen"] == "–"
        else:
            labels["Critic’s estimate E f(x) − E f(g(z))"] = "gap"
            labels["Estimate ÷ steepest slope seen"] = "lower"
        for label, key in labels.items():
            assert number(shown[label]) == pytest.approx(look[key], abs=5.1e-4), label
        mean, _, spread = shown["Its floor: data against data, mean ± 2 sd"].partition(" ± ")
        assert [number(mean), number(spread)] == pytest.approx(
            [floor["mean"], 2 * floor["deviation"]], abs=5.1e-4
        )
        modes = look["modes"]
        least = look["least"] if look["least"] is not None else "–"
        said = f"{modes['covered']} of {modes['total']}, {least}"
        assert shown["Modes now, and least of the last ten looks"] == said


W1_LABELS = {
    "Batch for exact W₁",
    "exact W₁ of two batches",
    "Exact W₁ of two batches of 128",
    "θ of Example 1 (W₁ of the laws is |θ|)",
}


@in_browser
@pytest.mark.parametrize("address", ["", "#recipe=gan", "#data=lines", "#data=lines&recipe=wgan"])
def test_only_exact_computations_are_called_w1(browser, file, address):
    with opened(browser, file, address) as page:
        texts = page.evaluate("""() => { const found = [], walker = document.createTreeWalker(
            document.querySelector("main"), NodeFilter.SHOW_TEXT);
            for (let n = walker.nextNode(); n; n = walker.nextNode())
              if (/W₁|W1|Wasserstein/.test(n.data) && !n.parentElement.closest("header, #see, option"))
                found.push(n.data);
            return found; }""")
        assert set(texts) <= W1_LABELS
        assert len(texts) >= 3


@pytest.mark.parametrize("data", ["ring", "roll", "lines"])
def test_the_exact_distance_is_scipys(data):
    """The batches of a look, as the critic is asked about them: scipy's assignment and plain means."""
    found = node(
        """
        const { session } = await core("session"), { defaults, forEngine } = await page("state");
        const game = session({ ...forEngine(defaults(values[0])), seed: 4 }), { run } = game, asked = [];
        const judge = run.judge;
        run.judge = (points, n) => {
          const answer = judge(points, n);
          const [f, slopes] = [answer.f, answer.slopes].map((values) => Array.from(values));
          asked.push({ points: Array.from(points), f, slopes });
          return answer;
        };
        game.advance(50, () => 0);
        return { asked: asked.slice(-4), look: game.looks.at(-1) };""",
        data,
    )
    look = found["look"]
    x, fake, between, lattice = ({k: np.array(v) for k, v in one.items()} for one in found["asked"])
    cost = cdist(x["points"].reshape(-1, 2), fake["points"].reshape(-1, 2))
    assert look["w1"] == pytest.approx(cost[linear_sum_assignment(cost)].mean(), rel=1e-9)
    assert look["gap"] == pytest.approx(x["f"].mean() - fake["f"].mean(), rel=1e-6, abs=1e-7)
    slopes = [np.hypot(*one["slopes"].reshape(-1, 2).T) for one in (x, fake, between, lattice)]
    assert look["steep"] == pytest.approx(max(map(max, slopes)), rel=1e-6)
    assert look["slope"] == pytest.approx(slopes[2].mean(), rel=1e-6)
    assert look["lower"] == pytest.approx(look["gap"] / look["steep"], rel=1e-9)
    assert (lattice["points"].reshape(-1, 2)[0] * [1, -1]) == pytest.approx(-SPAN * (1 - 1 / FIELD))
