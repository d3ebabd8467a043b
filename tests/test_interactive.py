"""The interactive figures: their HTML, and what they compute and do in a real browser.

The browser part opens one page with all figures as a file, without a network, works it as a reader
would - keys, mouse, buttons - and compares what it reads there with the package and with scipy and POT.
"""

import base64
import itertools
import json
import math
import re

import contourpy
import numpy as np
import ot
import pytest
import test_browser
import torch
from matplotlib import pyplot as plt
from scipy.integrate import quad
from scipy.interpolate import RegularGridInterpolator
from scipy.stats import norm
from test_results_page_generator import RUN as WALK
from test_results_page_generator import digits as real_digits
from test_results_page_generator import players

from wganlab import data, divergences, interactive, transport
from wganlab.errors import InputError
from wganlab.games import SCHEMES, bilinear, dirac_gan, jacobian, simulate, update_matrix
from wganlab.objectives import minimax, non_saturating, wasserstein
from wganlab.transport.congested import interpolate_density, penalised_line

LIMIT = 40_000  # bytes of a script
LABEL = 'A figure with "quotes" & <signs>, to be moved.'
P, Q = np.array([3.0, 2, 1, 4]), np.array([1.0, 2, 4, 3])
places = (np.arange(24) + 0.5) / 24
bumps = norm.pdf(places, 0.25, 0.07) + 0.7 * norm.pdf(places, 0.6, 0.06), norm.pdf(places, 0.7, 0.12) + 0.02
laws = [bump / bump.sum() for bump in bumps]
DATA = {
    "two_normals": None,
    "parallel_lines": None,
    "phase_plane": None,
    "piles": {"P": P, "Q": Q},
    "entropic_plan": {"places": places, "P": laws[0], "Q": laws[1], "power": 2},
}
BIAS, MOVIE = data.results("bias").arrays, data.results("movie").arrays
for name, kept in (("penalty_weight", BIAS), ("training_movie", MOVIE)):
    DATA[name] = {key: kept[key] for key in interactive.FIGURES[name]}
DATA["latent_walk"] = {key: WALK[key] for key in interactive.FIGURES["latent_walk"]}
DATA["latent_walk"]["scales"] = WALK["scales"].view(np.uint8)


def shown(name, **changes):
    return interactive.show(
        name, plt.figure(figsize=(1, 1)), **{"label": LABEL, "data": DATA[name], **changes}
    )


# ---- The HTML


@pytest.mark.parametrize("name", interactive.FIGURES)
def test_html_is_the_same_each_time_and_the_still_is_closed(name):
    before = plt.get_fignums()
    first, second = shown(name), shown(name)
    assert first.html == second.html == first._repr_html_()
    assert repr(first) == f"<interactive figure {name}>"
    assert plt.get_fignums() == before
    assert first.html.count("<script>") == first.html.count("<img ") == first.html.count("</div>") == 1


def test_label_is_escaped_and_the_still_is_a_picture():
    html = shown("piles", label='Piles & "more" <b>\n   on two lines').html
    said = "Piles &amp; &quot;more&quot; &lt;b&gt; on two lines"
    assert f'role="group" aria-label="{said}"' in html
    assert f'alt="{said}"' in html
    still = re.search(r'<img src="data:image/png;base64,([A-Za-z0-9+/=]+)"', html)[1]
    assert base64.b64decode(still).startswith(b"\x89PNG")


def test_data_arrive_as_they_are():
    html = shown("entropic_plan").html
    found = json.loads(base64.b64decode(re.search(r'data-json="([^"]+)"', html)[1]))
    assert found == {key: np.asarray(value).tolist() for key, value in DATA["entropic_plan"].items()}
    assert "data-json" not in shown("two_normals").html


def test_bytes_arrive_as_base64_and_a_film_stays_small():
    text = base64.b64decode(interactive.encoded("training_movie", DATA["training_movie"]))
    found = json.loads(text)
    for key in ("real", "samples", "critic"):
        assert np.array_equal(np.frombuffer(base64.b64decode(found[key]), np.uint8), MOVIE[key].ravel()), key
    assert found["steps"] == MOVIE["steps"].tolist()
    assert len(base64.b64encode(text)) <= 120_000


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        (
            "pile",
            {"data": {}},
            "no interactive figure 'pile'. Take one of: two_normals, parallel_lines, piles",
        ),
        ("piles", {"label": "  "}, "label of a figure must say what it shows, but it is empty. Write"),
        ("piles", {"label": None}, "label of a figure must say what it shows"),
        ("piles", {"data": None}, "'piles' draws the data: P, Q. Got: nothing."),
        ("piles", {"data": {"P": [1]}}, "'piles' draws the data: P, Q. Got: P."),
        (
            "penalty_weight",
            {"data": {"weights": [1]}},
            "draws the data: weights, one_sided, reversed. Got: weights",
        ),
        (
            "training_movie",
            {"data": {}},
            "draws the data: titles, steps, real, samples, critic, w1, estimate.",
        ),
        ("two_normals", {"data": {"x": 1}}, "'two_normals' draws the data: nothing. Got: x."),
        ("piles", {"data": {"P": [math.nan], "Q": [1]}}, "must be finite numbers or arrays"),
        ("piles", {"data": {"P": object(), "Q": [1]}}, "must be finite numbers or arrays"),
    ],
)
def test_mistakes_are_named(name, changes, said):
    still = plt.figure(figsize=(1, 1))
    with pytest.raises(InputError, match=re.escape(said)):
        interactive.show(name, still, **{"label": LABEL, "data": None, **changes})
    plt.close(still)


@pytest.mark.parametrize("name", interactive.FIGURES)
def test_script_is_small_and_refers_to_nothing(name):
    text = interactive.script(name)
    assert len(text.encode()) < LIMIT
    assert re.findall(r"\w+://\S+", text) == ['http://www.w3.org/2000/svg";']  # a name, which nothing fetches
    assert not re.search(
        r"\bfetch\b|XMLHttpRequest|import\b|\beval\b|localStorage|innerHTML|</|\bsrc\b", text
    )


def test_every_script_is_a_figure_and_the_style_stays_inside():
    assert {path.stem for path in interactive.FOLDER.glob("*.js")} == {*interactive.FIGURES, "kit"}
    style = re.sub(r"/\*.*?\*/", "", (interactive.FOLDER / "figures.css").read_text(), flags=re.DOTALL)
    assert "url(" not in style
    for selectors in re.findall(r"([^{}]+)\{", style):
        for selector in re.split(r",(?![^(]*\))", selectors):
            assert selector.strip().startswith((".interactive-figure", "@media", "@container")), selector


# ---- In a browser


def in_browser(test):
    return pytest.mark.browser(pytest.mark.slow(test))


browser = test_browser.browser

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Figures</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>:root {{ color-scheme: light dark }} body {{ margin: 16px; font: 16px sans-serif; background: #fff }}
main {{ max-width: 46rem }} @media (prefers-color-scheme: dark) {{ body {{ background: #14181e }} }}</style>
<main><h1>Figures</h1>{}</main></html>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    body = "\n".join(shown(name).html for name in interactive.FIGURES)
    (folder / "page.html").write_text(PAGE.format(body), encoding="utf-8")
    return folder


@pytest.fixture
def page(browser, folder):
    """The page as a file, in light; whatever goes wrong on it fails the test."""
    with test_browser.tab(browser, folder.as_uri() + "/") as (page, faults):
        page.goto((folder / "page.html").as_uri())
        yield page
        assert faults == []


def tool(page, name, call):
    """The value of a call of the figure's own functions."""
    return page.evaluate(f"document.getElementById('wganlab-{name}').wganlab.{call}")


def read(page, name):
    """What a figure reads out: {name: text}."""
    return page.eval_on_selector_all(
        f"#wganlab-{name} [data-name]",
        "cells => Object.fromEntries(cells.map(c => [c.dataset.name, c.textContent]))",
    )


def number(text):
    """A number as a reader takes it: 0.5, −1, ∞, 3 · 10⁻⁴, "ln 2 = 0.6931"."""
    text = text.rpartition("= ")[2].replace("−", "-").replace("∞", "inf")
    mantissa, _, power = text.partition(" · 10")
    return float(mantissa) * 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)


def press(page, selector, *keys):
    page.locator(selector).focus()
    for key in keys:
        page.keyboard.press(key)


def spoken(page, name):
    return page.locator(f"#wganlab-{name} output").text_content()


def freeze(page):
    """Time passes only by `page.clock.run_for`: an installed clock alone goes on with the machine's."""
    page.clock.install(time=0)
    page.clock.pause_at(3600)


def wait_until_it_spoke(page, name):
    """A figure speaks 700 ms after it was drawn; on a busy machine that is later than a test may think."""
    page.wait_for_function(f"document.querySelector('#wganlab-{name} output').textContent !== ''")


@in_browser
def test_stills_give_way_and_figures_do_not_disturb_each_other(page):
    assert page.locator(".interactive-figure > img:visible").count() == 0
    others = {name: read(page, name) for name in ("parallel_lines", "piles", "entropic_plan")}
    press(page, "#wganlab-two_normals-mean", "ArrowRight")
    assert {name: read(page, name) for name in others} == others
    ids = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    assert len(ids) == len(set(ids))


@in_browser
def test_what_takes_the_focus_keeps_its_keys_in_jupyterlab(page):
    """Its shortcuts pass over an element that has this attribute itself; a parent's does not help."""
    inside = ".interactive-figure :is(input, button, [tabindex])"
    assert page.locator(inside).count() == 4 + 4 + 8 + 6 + 10 + 2 + 25
    assert page.locator(f"{inside}:not([data-lm-suppress-shortcuts])").count() == 0


@in_browser
def test_without_scripts_there_is_the_still(browser, folder):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "page.html").as_uri())
    assert page.locator(".interactive-figure > img:visible").count() == len(interactive.FIGURES)
    context.close()


@in_browser
def test_a_script_that_fails_leaves_the_still(browser, tmp_path):
    html = shown("piles").html.replace("function solve", "function solved", 1)
    (tmp_path / "page.html").write_text(PAGE.format(html), encoding="utf-8")
    with test_browser.tab(browser, tmp_path.as_uri() + "/") as (page, faults):
        page.goto((tmp_path / "page.html").as_uri())
        assert page.locator(".interactive-figure > img:visible").count() == 1
        assert len(faults) == 1


TEXTS = """() => [...document.querySelectorAll(".interactive-figure svg text")].map(text => {
    const picture = text.ownerSVGElement, outer = picture.getBoundingClientRect();
    const box = text.getBoundingClientRect(), scale = outer.width / picture.viewBox.baseVal.width;
    return [text.textContent, parseFloat(getComputedStyle(text).fontSize) * scale,
            box.left >= outer.left - 1 && box.right <= outer.right + 1]; })"""
SPILL = """() => [...document.querySelectorAll(".interactive-figure :is(.readouts > div, .controls, p)")]
    .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"""


@in_browser
@pytest.mark.parametrize("mode", test_browser.MODES)
def test_nothing_overflows_and_all_can_be_read(browser, folder, mode):
    with test_browser.tab(browser, folder.as_uri() + "/", mode) as (page, faults):
        page.goto((folder / "page.html").as_uri())
        for width in (page.viewport_size["width"], 360, 620):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(test_browser.FAULTS) == []
            texts = page.evaluate(TEXTS)
            assert [text for text, size, _ in texts if size < 11] == []
            assert [text for text, _, inside in texts if not inside] == []
            spill = page.evaluate(SPILL)
            assert spill == []
            lengths = page.eval_on_selector_all(
                "input", "all => all.map(e => e.getBoundingClientRect().width)"
            )
            assert min(lengths) > 120
        assert faults == []


# two_normals


def by_quadrature(mean, std):
    p, q = norm(0, 1), norm(mean, std)
    ends = min(-12, mean - 12 * std), max(12, mean + 12 * std)

    def integral(f):
        return quad(f, *ends, limit=800, epsabs=1e-13, points=[0, mean])[0]

    def entropy(a, b):  # integrand of KL from the mixture, by logarithms
        return lambda x: a.pdf(x) * (a.logpdf(x) - np.logaddexp(a.logpdf(x), b.logpdf(x)) + math.log(2)) / 2

    return {
        "pq": integral(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x))),
        "qp": integral(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x))),
        "js": integral(entropy(p, q)) + integral(entropy(q, p)),
        "tv": integral(lambda x: abs(p.pdf(x) - q.pdf(x)) / 2),
    }


@in_browser
@pytest.mark.parametrize(
    ("mean", "std"), [(0.0, 2.0), (1.0, 1.0), (0.0, 1.0), (2.0, 0.5), (-2.0, 2.5), (-1.3, 0.7)]
)
def test_normals_against_quadrature(page, mean, std):
    press(page, "#wganlab-two_normals-mean", "Home", *["ArrowRight"] * round((mean + 2) * 10))
    press(page, "#wganlab-two_normals-std", "Home", *["ArrowRight"] * round((std - 0.5) * 10))
    theory = by_quadrature(mean, std)
    assert theory["pq"] == pytest.approx(math.log(std) + (1 + mean**2) / (2 * std**2) - 0.5, abs=1e-9)
    for key, text in read(page, "two_normals").items():
        assert number(text) == pytest.approx(theory[key], abs=5.1e-5), key
    exact = tool(page, "two_normals", f"solve({mean}, {std})")
    for key, tolerance in {"pq": 1e-9, "qp": 1e-9, "js": 1e-9, "tv": 1e-5}.items():
        assert exact[key] == pytest.approx(theory[key], abs=tolerance), key


@in_browser
def test_normals_agree_with_the_package_on_a_grid(page):
    x = np.linspace(-25, 25, 40_001)
    p, q = norm.pdf(x), norm.pdf(x, 1.0, 2.0)
    p, q = p / p.sum(), q / q.sum()
    found = tool(page, "two_normals", "solve(1, 2)")
    assert found["pq"] == pytest.approx(divergences.kl(p, q), abs=1e-8)
    assert found["js"] == pytest.approx(divergences.js(p, q), abs=1e-8)
    assert found["tv"] == pytest.approx(divergences.tv(p, q), abs=1e-6)


@in_browser
def test_normals_start_unequal_and_a_button_makes_them_equal(page):
    start = read(page, "two_normals")
    assert (start["pq"], start["qp"]) == ("0.3181", "0.8069")
    page.get_by_role("button", name="equal widths", exact=True).click()
    equal = read(page, "two_normals")
    assert (equal["pq"], equal["qp"]) == ("0.5000", "0.5000")
    page.get_by_role("button", name="unequal widths").click()
    assert read(page, "two_normals") == start


@in_browser
def test_the_spoken_line_waits_until_the_reader_rests(page):
    wait_until_it_spoke(page, "two_normals")
    freeze(page)
    page.evaluate("""() => { window.heard = [];
        const line = document.querySelector("#wganlab-two_normals output");
        new MutationObserver(() => heard.push(line.textContent)).observe(line, { childList: true }); }""")
    for _ in range(8):
        press(page, "#wganlab-two_normals-mean", "ArrowRight")
        page.clock.run_for(650)
    assert page.evaluate("heard") == []
    page.clock.run_for(5000)
    values = read(page, "two_normals")
    assert page.evaluate("heard") == [
        f"KL of p from q {values['pq']}, KL of q from p {values['qp']}, JS {values['js']}, TV {values['tv']}."
    ]


# parallel_lines


@in_browser
@pytest.mark.parametrize("theta", [-1.0, -0.5, -0.01, 0.0, 0.01, 0.3, 1.0])
def test_lines_against_the_package(page, theta):
    if theta == 1:
        press(page, "#wganlab-parallel_lines-theta", "End")
    else:  # from -1 or from 0.5, whichever is nearer
        keys = ["Home", *["ArrowRight"] * round(100 * (theta + 1))] if theta < -0.2 else []
        keys += ["ArrowLeft"] * round(100 * (0.5 - theta)) if theta >= -0.2 else []
        press(page, "#wganlab-parallel_lines-theta", *keys)
    height = (np.arange(10) + 0.5) / 10
    x, x_fake = (np.column_stack([np.full(10, at), height]) for at in (0.0, theta))
    points, index = np.unique(np.vstack([x, x_fake]), axis=0, return_inverse=True)
    p, q = (np.bincount(half, minlength=len(points)) / 10 for half in np.split(index.ravel(), 2))
    theory = {
        "w1": transport.emd(x, x_fake).distance,
        "js": divergences.js(p, q),
        "tv": divergences.tv(p, q),
        "kl": divergences.kl(p, q),
    }
    for key, text in read(page, "parallel_lines").items():
        assert number(text) == pytest.approx(theory[key], abs=5e-5), key
    assert tool(page, "parallel_lines", f"solve({theta})") == pytest.approx(theory, abs=1e-12)
    assert (
        page.locator("#wganlab-parallel_lines-theta").get_attribute("aria-valuetext") == f"theta {theta:.2f}"
    )


# piles

pile = "#wganlab-piles [aria-label='{}, place {}']".format


def shown_piles(page):
    values = page.eval_on_selector_all(
        "#wganlab-piles [role=slider]", "all => all.map(e => [e.ariaLabel[0], Number(e.ariaValueNow)])"
    )
    return tuple([value for name, value in values if name == law] for law in "PQ")


def random_piles(count):
    rng = np.random.default_rng(20)
    while count:
        p, q = rng.integers(0, 10, (2, 4))
        if p.sum() and p.sum() == q.sum():
            count -= 1
            yield p, q


@in_browser
def test_fifty_configurations_against_the_exact_solver(page):
    place = np.arange(4.0)
    for p, q in random_piles(50):
        tool(page, "piles", f"set({p.tolist()}, {q.tolist()})")
        values = {key: number(text) for key, text in read(page, "piles").items()}
        exact = transport.emd(place, place, p, q)
        assert values["cost"] == pytest.approx(exact.cost, abs=1e-9)
        assert values["dual"] == values["cost"]
        assert values["gap"] == 0
        assert values["w1"] == pytest.approx(
            transport.wasserstein_1d(place, place, p / p.sum(), q / q.sum()), abs=5.1e-5
        )
        found = tool(page, "piles", f"solve({p.tolist()}, {q.tolist()})")
        plan, phi, psi = (np.array(found[key]) for key in ("plan", "phi", "psi"))
        C = np.abs(place[:, None] - place)
        assert (plan >= 0).all()
        assert plan.sum(1).tolist() == p.tolist()
        assert plan.sum(0).tolist() == q.tolist()
        assert (plan * C).sum() == found["cost"] == p @ phi + q @ psi
        assert (phi[:, None] + psi <= C).all()
        assert np.abs(found["flow"]).sum() == found["cost"]
        assert found["flow"] == transport.cumulative_flow(p, q)[1:-1].tolist()
        stage = p.copy()
        for move in found["moves"]:
            stage[move["i"]] -= move["mass"]
            stage[move["j"]] += move["mass"]
            assert (stage >= 0).all()
            assert (stage <= 9).all()
        assert stage.tolist() == q.tolist()


@in_browser
def test_the_plan_that_is_drawn_is_the_plan_that_is_solved(page):
    cells = page.eval_on_selector(
        "#wganlab-piles svg[aria-label^='The plan as a matrix']", "e => e.ariaLabel"
    )
    assert cells == "The plan as a matrix. Rows: 1 2 0 0; 0 0 2 0; 0 0 1 0; 0 0 1 3."
    assert (
        page.locator("#wganlab-piles .note").text_content()
        == "Moves: 2 from 1 to 2, 2 from 2 to 3, 1 from 4 to 3."
    )


@in_browser
def test_unequal_and_empty_totals_are_refused(page):
    press(page, pile("Q", 1), "ArrowUp")
    assert set(read(page, "piles").values()) == {"–"}
    note = page.locator("#wganlab-piles .note")
    assert note.text_content() == (
        "Transport needs equal totals, but P has 10 shovelfuls and Q has 11. "
        "Add 1 to P, or take as many from Q."
    )
    assert page.get_by_role("button", name="play the moves").is_disabled()
    assert tool(page, "piles", "solve([1, 0], [1, 1]).cost") is None
    tool(page, "piles", "set([0, 0, 0, 0], [0, 0, 0, 0])")
    assert note.text_content().startswith("Transport needs a positive total, but P and Q both have 0")
    assert set(read(page, "piles").values()) == {"–"}
    page.get_by_role("button", name="reset").click()
    assert shown_piles(page) == (P.tolist(), Q.tolist())
    assert read(page, "piles")["cost"] == "5"


@in_browser
def test_piles_by_keyboard(page):
    first = pile("P", 1)
    keys = {"ArrowUp": 4, "ArrowRight": 5, "ArrowDown": 4, "ArrowLeft": 3, "PageUp": 6, "End": 9, "Home": 0}
    for key, value in [*keys.items(), ("ArrowDown", 0), ("PageUp", 3), ("PageDown", 0), ("ArrowUp", 1)]:
        press(page, first, key)
        assert page.locator(first).get_attribute("aria-valuenow") == str(value), key
    assert page.locator(first).get_attribute("aria-valuetext") == "1 shovelful"
    press(page, pile("P", 2), "ArrowUp", "ArrowUp")
    assert shown_piles(page) == ([1, 4, 1, 4], Q.tolist())
    assert number(read(page, "piles")["cost"]) == transport.emd(range(4), range(4), [1, 4, 1, 4], Q).cost


@in_browser
def test_piles_by_mouse(page):
    """Down by two shovelfuls, sideways out of the pile, and far above the highest."""
    bar = page.locator(pile("P", 4))
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    shovelful = 21 * page.locator("#wganlab-piles .yard").bounding_box()["height"] / 274
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 50, y + 2 * shovelful, steps=5)
    assert shown_piles(page) == ([3, 2, 1, 2], Q.tolist())
    page.mouse.move(x, y - 30 * shovelful)
    assert shown_piles(page)[0][3] == 9
    page.mouse.move(x, y - shovelful)
    page.mouse.up()
    page.mouse.move(x, y + 4 * shovelful)
    assert shown_piles(page) == ([3, 2, 1, 5], Q.tolist())


@in_browser
def test_piles_by_touch(browser, folder):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto((folder / "page.html").as_uri())
    bar = page.locator(pile("Q", 3))
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    shovelful = 21 * page.locator("#wganlab-piles .yard").bounding_box()["height"] / 274
    at, session = page.evaluate("scrollY"), context.new_cdp_session(page)
    for kind, *down in [("touchStart", 0), ("touchMove", 1), ("touchMove", 3), ("touchEnd",)]:
        points = [{"x": x, "y": y + k * shovelful} for k in down]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_timeout(100)  # moves arrive once a frame
    assert shown_piles(page) == (P.tolist(), [1, 2, 1, 3])
    assert page.evaluate("scrollY") == at  # the page stays while a pile is dragged
    context.close()


@in_browser
def test_the_moves_are_played(page):
    freeze(page)
    note, button = page.locator("#wganlab-piles .note"), page.locator("#wganlab-piles button").first
    rest = note.text_content()
    button.click()
    heard = [note.text_content()]
    for _ in range(2):
        page.clock.run_for(1800)
        heard.append(note.text_content())
    assert heard == [
        "Move 1 of 3: 2 from 2 to 3, which costs 2. So far 2.",
        "Move 2 of 3: 2 from 1 to 2, which costs 2. So far 4.",
        "Move 3 of 3: 1 from 4 to 3, which costs 1. P is now Q, for 5 in all.",
    ]
    numbers = page.eval_on_selector_all(
        "#wganlab-piles .pile text", "all => all.map(e => Number(e.textContent))"
    )
    assert numbers == [*Q, *Q]
    assert shown_piles(page) == (P.tolist(), Q.tolist())
    page.clock.run_for(4000)
    assert note.text_content() == rest
    assert button.text_content() == "play the moves"
    button.click()
    press(page, pile("P", 1), "ArrowUp")  # a change stops the play
    page.clock.run_for(9000)
    assert "needs equal totals" in note.text_content()


@in_browser
def test_little_motion_means_one_move_a_press(browser, folder):
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto((folder / "page.html").as_uri())
    note, button = page.locator("#wganlab-piles .note"), page.locator("#wganlab-piles button").first
    for k in (1, 2, 3):
        button.click()
        assert note.text_content().startswith(f"Move {k} of 3")
        assert page.locator("#wganlab-piles .playing").count() == 0
    assert button.text_content() == "show the start"
    page.wait_for_timeout(500)
    assert note.text_content().startswith("Move 3 of 3")
    button.click()
    assert note.text_content().startswith("Moves: ")
    context.close()


# entropic_plan


@in_browser
@pytest.mark.parametrize("k", [60, 40, 20, 0])
def test_entropic_plan_against_pot(page, k):
    press(page, "#wganlab-entropic_plan-epsilon", "Home", *["ArrowRight"] * k)
    epsilon = 0.001 * 10 ** (k / 20)
    C = (places[:, None] - places) ** 2
    theory = ot.sinkhorn(*laws, C, epsilon, method="sinkhorn_log", numItermax=100_000, stopThr=1e-13)
    found = tool(page, "entropic_plan", f"solve({epsilon!r})")
    plan = np.array(found["plan"])
    assert np.abs(plan - theory).max() < 1e-8
    off = max(np.abs(plan.sum(1) - laws[0]).sum(), np.abs(plan.sum(0) - laws[1]).sum())
    assert off == pytest.approx(found["error"], abs=1e-14)
    assert off <= 1e-9
    least = transport.emd_from_cost(C, *laws).cost
    assert tool(page, "entropic_plan", "least") == pytest.approx(least, abs=1e-12)
    values = read(page, "entropic_plan")
    assert number(values["cost"]) == pytest.approx((theory * C).sum(), abs=5.1e-5)
    assert number(values["least"]) == pytest.approx(least, abs=5.1e-5)
    assert number(values["error"]) == pytest.approx(off, rel=0.5)
    assert int(values["iterations"]) == found["iterations"]
    excess = (theory * C).sum() - least
    if excess < 1e-8:
        assert values["excess"] == "below 10⁻⁸"
    else:
        assert number(values["excess"]) == pytest.approx(excess, abs=max(5.1e-5, excess / 10))


@in_browser
def test_entropic_cost_falls_to_the_least_one(page):
    costs = [
        tool(page, "entropic_plan", f"solve({epsilon}).cost") for epsilon in (1, 0.3, 0.1, 0.03, 0.01, 0.003)
    ]
    assert (np.diff(costs) < 0).all()
    assert costs[-1] >= transport.wasserstein_1d(places, places, *laws, p=2) ** 2 - 1e-9


@in_browser
def test_heat_map_shows_the_plan(page):
    opacity = page.eval_on_selector_all(
        "#wganlab-entropic_plan rect[fill-opacity]",
        "all => all.map(e => Number(e.getAttribute('fill-opacity')))",
    )
    plan = np.array(tool(page, "entropic_plan", "solve(0.1).plan"))
    assert np.abs(np.array(opacity).reshape(24, 24) ** 2 - plan / plan.max()).max() < 2e-3


# penalty_weight


def density_of_uniforms(x):
    """Of eps (2 + v) + (1 - eps) u: the mean of 1 / (2 + v - u) over u < x < 2 + v."""
    high = max(x, 2.0)
    return quad(lambda u: math.log((3 - u) / (high - u)), 0, min(x, 1.0), epsabs=1e-13)[0]


LINES = {  # name -> h, density, support
    "points": (lambda x: 1.0, lambda x: 1.0, (0.0, 1.0)),
    "uniform": (lambda x: 1 - x, lambda x: -math.log(x), (0.0, 1.0)),
    "normals": (
        lambda x: norm.cdf(x) - norm.cdf(x, 3) if x < 1.5 else norm.sf(x, 3) - norm.sf(x),
        lambda x: float(interpolate_density([[x]], [[3.0]], 1.0, [[0.0]], 1.0)[0]),
        (-12.0, 15.0),
    ),
    "uniforms": (
        lambda x: min(x, 3 - x, 1.0),
        lambda x: density_of_uniforms(min(x, 3 - x) if not 1 < x < 2 else x),
        (0.0, 3.0),
    ),
}
LABELS = {
    "points": "two points",
    "uniform": "a point and U[0, 1]",
    "normals": "N(0, 1) and N(3, 1)",
    "uniforms": "U[0, 1] and U[2, 3]",
}


@pytest.fixture(scope="module")
def penalised():
    """The theory by quadrature for weight 1, from which every weight follows."""
    return {
        name: penalised_line(h, density, support, weight=1.0) for name, (h, density, support) in LINES.items()
    }


def choose(page, pair, k, reverse=False):
    """By the keyboard: the pair, the place of the slider, the toggle."""
    root = page.locator("#wganlab-penalty_weight")
    root.get_by_role("button", name=LABELS[pair]).press("Enter")
    toggle = root.get_by_role("button", name="reversed critic")
    if (toggle.get_attribute("aria-pressed") == "true") != reverse:
        toggle.press("Space")
    press(page, "#wganlab-penalty_weight-lambda", "Home", *["ArrowRight"] * k)


@in_browser
@pytest.mark.parametrize("pair", LINES)
def test_penalised_critic_against_quadrature(page, penalised, pair):
    theory = penalised[pair]
    for weight in (0.1, 0.25, 1.0, 10.0, 100.0):
        found = tool(page, "penalty_weight", f"solve('{pair}', {weight})")
        bias = theory.congestion / (2 * weight)
        assert found["w1"] == pytest.approx(theory.w1, abs=1e-9)
        assert found["congestion"] == pytest.approx(theory.congestion, abs=1e-8)
        assert found["estimate"] == pytest.approx(theory.w1 + bias, abs=1e-6)
        assert found["objective"] == pytest.approx(theory.w1 + bias / 2, abs=1e-6)
    low, high = {"normals": (-3.0, 6.0)}.get(pair, LINES[pair][2])
    for x in low + (high - low) * (np.arange(9) + 0.5) / 9:
        assert tool(page, "penalty_weight", f"slope('{pair}', 1, {x})") == pytest.approx(
            theory.slope(x), abs=1e-9
        )
        turned, reverse = (
            tool(page, "penalty_weight", f"slope('{pair}', 1, {x}, true)"),
            theory.reversed_slope(x),
        )
        assert turned == pytest.approx(theory.slope(x) if math.isnan(reverse) else reverse, abs=1e-9)


@in_browser
def test_penalised_critic_in_closed_form(page):
    exact = {"points": (1, 1), "uniform": (0.5, math.log(4 / 3))}
    for pair, (w1, congestion) in exact.items():
        found = tool(page, "penalty_weight", f"solve('{pair}', 0.1)")
        assert found["estimate"] == pytest.approx(w1 + 5 * congestion, abs=1e-12)


@in_browser
@pytest.mark.parametrize("pair", LINES)
def test_reversed_critic_against_a_fine_sum(page, penalised, pair):
    """The integral of f' h, where f' is turned on {h < 2 lambda rho} and only there."""
    h, density, (low, high) = LINES[pair]
    x = low + (high - low) * (np.arange(4000) + 0.5) / 4000
    rise = np.array([h(at) for at in x])
    ratio = rise / np.array([density(at) for at in x])
    for weight in (0.1, 1.0, 1.3, 2.0, 10.0):
        found = tool(page, "penalty_weight", f"solve('{pair}', {weight})")
        turned = ratio < 2 * weight
        slope = 1 + ratio / (2 * weight) - 2 * turned
        assert found["reversed"] == pytest.approx((slope * rise).mean() * (high - low), abs=5e-3)
        inside = np.any([(a < x) & (x < b) for a, b in found["parts"]], axis=0) if found["parts"] else x < low
        assert (inside != turned)[rise > 1e-9].mean() < 1e-3
        assert found["reversedObjective"] == pytest.approx(
            found["objective"] + found["reversed"] - found["estimate"], abs=1e-12
        )
        if turned[rise > 1e-12].all():
            everywhere = -penalised[pair].w1 + penalised[pair].congestion / (2 * weight)
            assert found["reversed"] == pytest.approx(everywhere, abs=1e-6)
            assert found["share"] == pytest.approx(1, abs=1e-9)


@in_browser
def test_penalty_weight_by_keyboard(page, penalised):
    slider = page.locator("#wganlab-penalty_weight-lambda")
    for pair, k in (("normals", 0), ("uniform", 20), ("points", 40), ("uniforms", 25)):
        choose(page, pair, k)
        weight = 0.1 * 10 ** (k / 20)
        estimate = penalised[pair].w1 + penalised[pair].congestion / (2 * weight)
        values = {key: number(text) for key, text in read(page, "penalty_weight").items()}
        assert values["estimate"] == pytest.approx(estimate, abs=5.1e-5)
        assert values["objective"] == pytest.approx((estimate + penalised[pair].w1) / 2, abs=5.1e-5)
        assert values["w1"] == pytest.approx(penalised[pair].w1, abs=5.1e-5)
        assert values["ratio"] == pytest.approx(estimate / penalised[pair].w1, abs=5.1e-4)
        assert slider.get_attribute("aria-valuetext") == f"lambda {float(f'{weight:.2g}'):g}"
    press(page, "#wganlab-penalty_weight-lambda", "End")
    assert slider.get_attribute("aria-valuetext") == "lambda 100"
    pressed = page.locator("#wganlab-penalty_weight [aria-pressed=true]").all_text_contents()
    assert pressed == [LABELS["uniforms"]]


@in_browser
def test_the_toggle_turns_the_critic_round(page):
    choose(page, "normals", 40, reverse=True)
    note = page.locator("#wganlab-penalty_weight .note")
    assert read(page, "penalty_weight")["estimate"] == "−2.5370"
    assert note.text_content().startswith("With this weight the slope can be reversed everywhere. ")
    choose(page, "points", 0, reverse=True)
    assert read(page, "penalty_weight")["estimate"] == "6.0000"
    assert "can be reversed nowhere." in note.text_content()
    choose(page, "uniforms", 20, reverse=True)
    assert "can be reversed on a part of the line." in note.text_content()
    choose(page, "points", 40, reverse=False)
    assert read(page, "penalty_weight")["estimate"] == "1.0500"
    page.wait_for_function(
        "document.querySelector('#wganlab-penalty_weight output').textContent.includes('1.05')"
    )
    assert spoken(page, "penalty_weight") == note.text_content().replace("W₁", "W1")


REPORT = """() => { const root = document.getElementById("wganlab-penalty_weight");
    const part = name => root.querySelector(`[data-part=${name}]`);
    const place = dot => ["cx", "cy"].map(key => Number(dot.getAttribute(key)));
    return { now: place(part("now")), rings: [...part("trained").children].map(place),
        ticks: [...part("ticks").querySelectorAll("text")]
            .map(text => [Number(text.textContent), Number(text.getAttribute("y")) - 4]) }; }"""


@in_browser
@pytest.mark.parametrize("pair", LINES)
def test_trained_critics_lie_where_they_were_measured(page, pair):
    """Read off the picture, by its own ticks."""
    choose(page, pair, 20)
    found = page.evaluate(REPORT)
    (one, y_one), *_, (other, y_other) = found["ticks"]

    def value(y):
        return one * (other / one) ** ((np.array(y) - y_one) / (y_other - y_one))

    x, y = np.array(found["rings"]).T
    assert BIAS["pairs"].tolist() == list(LINES)
    assert 0.1 * 10 ** (3 * (x - 46) / 262) == pytest.approx(np.repeat(BIAS["weights"], 3), rel=1e-6)
    trained = BIAS["one_sided"][list(LINES).index(pair)]
    assert value(y) == pytest.approx(trained.ravel(), rel=1e-6)
    assert found["now"][0] == pytest.approx(46 + 262 / 3)
    now = tool(page, "penalty_weight", f"solve('{pair}', 1).estimate")
    assert value(found["now"][1]) == pytest.approx(now, rel=1e-6)


# phase_plane

plane = "#wganlab-phase_plane"
GAMES = {
    "bilinear": lambda gamma: bilinear(),
    "minimax": lambda gamma: dirac_gan(minimax, r1=gamma),
    "non_saturating": lambda gamma: dirac_gan(non_saturating, r1=gamma),
    "wasserstein": lambda gamma: dirac_gan(wasserstein, r1=gamma),
}
ETAS = [0.01, 0.1, 0.5, 1.0]


def gammas_of(game):
    return [0] if game == "bilinear" else [0, 0.3, 1, 1.5, 2, 3]  # 1 and 2: double eigenvalues


def theory_of(game, scheme, eta, gamma):
    """The eigenvalues of one step at (0, 0), the greatest first and the upper one of a pair."""
    found = np.linalg.eigvals(update_matrix(jacobian(GAMES[game](gamma), (0, 0)), eta=eta, scheme=scheme))
    return sorted(found, key=lambda value: (-abs(value).round(9), -value.imag))


@in_browser
@pytest.mark.parametrize("game", GAMES)
def test_paths_and_eigenvalues_against_the_package(page, game):
    grid = list(itertools.product(SCHEMES, ETAS, gammas_of(game), ([1, 0], [-2.5, 1.3])))
    calls = """(grid => JSON.stringify(grid.map(([scheme, eta, gamma, start]) => [
        eigenvalues(game, scheme, eta, gamma), simulate(game, scheme, eta, gamma, start)])))"""
    tools = f"const {{ eigenvalues, simulate }} = document.querySelector('{plane}').wganlab, game = '{game}'"
    answers = json.loads(page.evaluate(f"grid => {{ {tools}; return {calls}(grid) }}", grid))
    for (scheme, eta, gamma, start), (found, path) in zip(grid, answers, strict=True):
        first, second = theory_of(game, scheme, eta, gamma)
        tolerance = 1e-13 / max(abs(first - second), 1e-6)  # a double eigenvalue is ill-conditioned
        assert [complex(*value) for value in found] == pytest.approx([first, second], abs=tolerance)
        theory = simulate(GAMES[game](gamma), start, eta=eta, steps=200, scheme=scheme)
        assert np.allclose(path, theory, rtol=1e-9, atol=1e-12), (scheme, eta, gamma, start)


@in_browser
def test_numbers_by_hand(page):
    assert read(page, "phase_plane") == {
        "first": "1.0000 + 0.1000 i",
        "second": "1.0000 − 0.1000 i",
        "modulus": "1.0050",
        "radius": f"{1.01**100:.4f}",
    }
    page.locator(plane).get_by_role("button", name="Dirac minimax").press("Enter")
    press(page, f"{plane}-gamma", *["ArrowRight"] * 20)  # gamma = 1: minus a half, twice
    values = read(page, "phase_plane")
    assert (values["first"], values["second"], values["modulus"]) == ("0.9500", "0.9500", "0.9500")
    tool(page, "phase_plane", "set('minimax', 'simultaneous', 20, 0, [0, 0])")
    assert read(page, "phase_plane")["radius"] == "0"


DRAWN = r"""() => { const root = document.getElementById("wganlab-phase_plane");
    const numbers = text => text.match(/-?[\d.]+/g).map(Number);
    return { path: numbers(root.querySelector("[data-part=path]").getAttribute("d").replaceAll("h0", "")),
        handle: numbers(root.querySelector("[role=slider]").getAttribute("transform")),
        dots: [...root.querySelector("[data-part=eigenvalues]").children].map(dot =>
            [Number(dot.getAttribute("cx")), Number(dot.getAttribute("cy")), dot.getAttribute("class")]),
        lens: [...root.querySelectorAll("g[clip-path$='lens)'] > g > *")].map(part => part.localName === "g"
            ? numbers(part.getAttribute("transform"))
            : ["cx", "cy"].map(key => Number(part.getAttribute(key)))) }; }"""


@in_browser
@pytest.mark.parametrize(
    ("game", "scheme", "keys", "gamma", "start"),
    [("minimax", "alternating", 24, 0.5, (2, -1.5)), ("wasserstein", "extragradient", 40, 3, (-1, 0.5))],
)
def test_what_is_drawn_is_what_is_computed(page, game, scheme, keys, gamma, start):
    """By the ticks of both panels: 45 and 84.375 to a unit, the origins in the middle of 270 by 270."""
    eta = {24: 0.16, 40: 1.0}[keys]
    tool(page, "phase_plane", f"set('{game}', '{scheme}', {keys}, {gamma}, {list(start)})")
    drawn, middle = page.evaluate(DRAWN), np.array([173, 165])
    theory = simulate(GAMES[game](gamma), start, eta=eta, steps=200, scheme=scheme)
    seen = np.abs(theory).max(1) < 3
    found = (np.array(drawn["path"]).reshape(-1, 2) - middle) / (45, -45)
    assert np.abs(found - theory)[seen].max() < 2e-4
    assert (np.abs(found[~seen]).max(1, initial=9) > 3).all()
    assert (np.array(drawn["handle"]) - middle) / (45, -45) == pytest.approx(np.array(start, float), abs=1e-9)
    values = theory_of(game, scheme, eta, gamma)
    for (x, y, kind), value in zip(drawn["dots"], values, strict=True):
        place = complex(x - 173, 165 - y) / 84.375
        assert kind == ("fill-real" if abs(value.real) < 1.6 else "hole")
        assert place == pytest.approx(complex(min(value.real, 1.6), value.imag), abs=1e-9)
    centre, *enlarged = (complex(x, -y) for x, y in drawn["lens"])  # of the circle in the lens; its dots
    assert [(dot - centre) / 843.75 for dot in enlarged] == pytest.approx(values, abs=1e-9)
    assert enlarged[0] == 80 - 72j


BOTH, ONE = "Both eigenvalues lie", "One eigenvalue lies"
SAID = [
    ("bilinear simultaneous", 0.1, 0, BOTH, "outside", "the path winds out, twice as far every 139 steps."),
    ("bilinear alternating", 0.5, 0, BOTH, "on", "the path goes round, neither in nor out."),
    ("bilinear extragradient", 0.5, 0, BOTH, "inside", "the path winds in, half as far every 6.7 steps."),
    ("bilinear extragradient", 1, 0, BOTH, "on", "the path goes round, neither in nor out."),
    ("minimax alternating", 0.1, 0, BOTH, "on", "goes round, and terms of higher order decide the rest."),
    ("minimax simultaneous", 0.2, 0.5, BOTH, "inside", "near (0, 0) the path winds in, half as far every 15"),
    ("minimax simultaneous", 0.2, 1, BOTH, "inside", "the path goes in, half as far every 6.6 steps."),
    ("non_saturating simultaneous", 0.8, 2.6, ONE, "on", "goes from side to side, and terms of higher order"),
    ("wasserstein alternating", 1, 1.5, ONE, "on", "the path goes from side to side, neither in nor out."),
    (
        "wasserstein alternating",
        1,
        3,
        ONE,
        "outside",
        "out from side to side, more than twice as far each",
    ),
    (
        "wasserstein extragradient",
        1,
        3,
        ONE,
        "outside",
        "the path goes out, more than twice as far each",
    ),
]


@in_browser
def test_the_sentence_says_what_the_eigenvalues_do(page):
    for of, eta, gamma, which, where, rest in SAID:
        game, scheme = of.split()
        found = tool(page, "phase_plane", f"eigenvalues('{game}', '{scheme}', {eta}, {gamma})")
        sentence = tool(page, "phase_plane", f"verdict('{game}', {json.dumps(found)})")
        assert sentence.startswith(f"{which} {where} the circle: ")
        assert rest in sentence
        moduli = np.abs(theory_of(game, scheme, eta, gamma))
        side = {"inside": -1, "on": 0, "outside": 1}[where]
        assert np.sign((moduli - 1).round(9)).tolist() == [side, side if which == BOTH else -1]
        if time := re.search(r"every (\S+) steps", sentence):
            assert float(time[1]) == pytest.approx(math.log(2) / abs(math.log(moduli[0])), abs=0.5)


@in_browser
def test_phase_plane_by_keyboard(page):
    handle = f"{plane} [role=slider]"
    page.locator(f"{plane}-gamma").focus()  # disabled in the bilinear game, so it is passed over
    press(page, f"{plane}-eta", "Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "slider"
    assert page.locator(handle).get_attribute("aria-valuetext") == "x 1.00, y 0.00"
    press(page, handle, *["ArrowUp"] * 3, "ArrowLeft", "Shift+ArrowDown", "Shift+ArrowRight")
    assert page.locator(handle).get_attribute("aria-valuetext") == "x 1.40, y −0.20"
    press(page, handle, *["Shift+ArrowRight"] * 5)
    assert page.locator(handle).get_attribute("aria-valuenow") == "3"
    theory = simulate(bilinear(), (3, -0.2), eta=0.1, steps=200)
    assert number(read(page, "phase_plane")["radius"]) == pytest.approx(np.hypot(*theory[-1]), abs=5.1e-5)
    root = page.locator(plane)
    root.get_by_role("button", name="Dirac WGAN").press("Enter")
    root.get_by_role("button", name="extragradient").press("Space")
    press(page, handle, "Home")
    press(page, f"{plane}-eta", "Home", *["ArrowRight"] * 24)
    press(page, f"{plane}-gamma", *["ArrowRight"] * 6)
    assert page.locator(f"{plane}-eta").get_attribute("aria-valuetext") == "eta 0.16"
    assert page.locator(f"{plane}-gamma").get_attribute("aria-valuetext") == "gamma 0.30"
    assert page.locator(handle).get_attribute("aria-valuetext") == "theta 1.00, psi 0.00"
    pressed = page.locator(f"{plane} [aria-pressed=true]").all_text_contents()
    assert pressed == ["Dirac WGAN", "extragradient"]
    first, _ = theory_of("wasserstein", "extragradient", 0.16, 0.3)
    theory = simulate(dirac_gan(wasserstein, r1=0.3), (1, 0), eta=0.16, steps=200, scheme="extragradient")
    values = read(page, "phase_plane")
    assert values["first"] == f"{first.real:.4f} + {first.imag:.4f} i"
    assert number(values["modulus"]) == pytest.approx(abs(first), abs=5.1e-5)
    assert number(values["radius"]) == pytest.approx(np.hypot(*theory[-1]), rel=0.5)
    note = page.locator(f"{plane} .note").text_content()
    page.wait_for_function(f"document.querySelector('{plane} output').textContent.startsWith({note!r})")
    assert spoken(page, "phase_plane") == f"{note} After 200 steps the radius is below 0.001."
    picture = page.locator(f"{plane} svg[role=img]").get_attribute("aria-label")
    assert f"eigenvalues {values['first']} and {values['second']};" in picture


@in_browser
def test_r1_waits_while_the_game_has_no_data(page):
    root, slide = page.locator(plane), page.locator(f"{plane}-gamma")
    root.get_by_role("button", name="Dirac minimax").click()
    press(page, f"{plane}-gamma", *["ArrowRight"] * 9)
    damped = read(page, "phase_plane")
    root.get_by_role("button", name="bilinear").click()
    assert slide.is_disabled()
    assert slide.get_attribute("aria-valuetext") == "no R1 in this game"
    assert read(page, "phase_plane")["modulus"] == "1.0050"
    root.get_by_role("button", name="Dirac minimax").click()
    assert slide.is_enabled()
    assert read(page, "phase_plane") == damped


@in_browser
def test_the_start_by_mouse(page):
    """One to the left and half up, then far out of the plane."""
    handle = page.locator(f"{plane} [role=slider]")
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    one = 45 * page.locator(f"{plane} .yard").bounding_box()["width"] / 320
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x + 3, y)
    page.mouse.down()
    page.mouse.move(x + 3 - one, y - one / 2, steps=5)
    assert handle.get_attribute("aria-valuetext") == "x 0.00, y 0.50"
    page.mouse.move(x + 3 - 9 * one, y)
    assert handle.get_attribute("aria-valuetext") == "x −3.00, y 0.00"
    page.mouse.move(x + 3, y - one)
    page.mouse.up()
    page.mouse.move(x, y + one)
    assert handle.get_attribute("aria-valuetext") == "x 1.00, y 1.00"
    assert number(read(page, "phase_plane")["radius"]) == pytest.approx(math.sqrt(2) * 1.01**100, abs=5.1e-5)


@in_browser
def test_the_start_by_touch(browser, folder):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto((folder / "page.html").as_uri())
    handle = page.locator(f"{plane} [role=slider]")
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    one = 45 * page.locator(f"{plane} .yard").bounding_box()["width"] / 320
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    at, session = page.evaluate("scrollY"), context.new_cdp_session(page)
    for kind, *down in [("touchStart", 0), ("touchMove", 1), ("touchMove", 2), ("touchEnd",)]:
        points = [{"x": x, "y": y + k * one} for k in down]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_timeout(100)
    assert handle.get_attribute("aria-valuetext") == "x 1.00, y −2.00"
    assert page.evaluate("scrollY") == at
    context.close()


# training_movie

film = "#wganlab-training_movie"
LAST = len(MOVIE["steps"]) - 1


def frame_now(page):
    return int(page.locator(f"{film}-frame").input_value())


def play_button(page):
    """The film's button, in view for a while: an observer that is late would stop the film."""
    button = page.locator(f"{film} button")
    button.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    return button


@in_browser
@pytest.mark.parametrize("k", [0, 9, LAST])
def test_a_frame_is_the_kept_one(page, k):
    press(page, f"{film}-frame", "Home", *["ArrowRight"] * k)
    values = read(page, "training_movie")
    shown_points = page.eval_on_selector_all(f"{film} path.fake", "all => all.map(e => e.getAttribute('d'))")
    for game, found in enumerate(tool(page, "training_movie", f"frame({k})")):
        points = MOVIE["samples"][game, k]
        assert found["points"] == points.ravel().tolist()
        places = np.array(
            [[float(v) for v in dot.split()] for dot in re.findall(r"M([^h]+)h0", shown_points[game])]
        )
        assert np.abs(places - np.array([0, 200]) - points * [200 / 255, -200 / 255]).max() < 0.051
        assert number(values[f"w1-{game}"]) == MOVIE["w1"][game, k]
        exact = MOVIE["estimate"][game, k]
        assert number(values[f"estimate-{game}"]) == pytest.approx(
            exact, abs=5.1e-4 if abs(exact) >= 1e-3 else abs(exact) / 2
        )
    step = MOVIE["steps"][k]
    assert page.locator(f"{film}-frame").get_attribute("aria-valuetext") == f"after {step} updates"
    assert page.locator(f"{film} .slider span").text_content() == str(step)


@in_browser
def test_level_lines_against_contourpy(page):
    k = 12
    for game, found in enumerate(tool(page, "training_movie", f"frame({k})")):
        values = MOVIE["critic"][game, k].astype(float)  # first axis: x
        smooth = RegularGridInterpolator((np.arange(20), np.arange(20)), values)
        contours = contourpy.contour_generator(z=values.T)
        assert len(found["lines"]) == 8
        for j, segments in enumerate(found["lines"], start=1):
            level = 255 * j / 9
            ends = np.array(segments).reshape(-1, 2)
            assert np.abs(smooth(ends) - level).max() < 1e-9
            expected = np.concatenate(contours.lines(level))
            assert {tuple(end) for end in ends.round(6)} == {tuple(end) for end in expected.round(6)}
        at = (3.3, 7.75)
        assert tool(page, "training_movie", f"between({game}, {k}, 3.3, 7.75)") == pytest.approx(
            float(smooth(at))
        )


@in_browser
def test_shading_is_the_critic(page):
    """The band painted at the middle of each small square holds the critic's value there."""
    k = 20
    press(page, f"{film}-frame", "Home", *["ArrowRight"] * k)
    for game in range(3):
        paths = page.eval_on_selector_all(
            f"{film} .panels > div:nth-child({game + 1}) g path", "all => all.map(e => e.getAttribute('d'))"
        )
        band = np.full((40, 40), -1)
        for j, path in enumerate(paths):
            for left, top, right in re.findall(r"M(\S+) (\S+)H(\S+)v5", path):
                band[round(float(top) / 5), round(float(left) / 5) : round(float(right) / 5)] = j
        centre = (np.arange(40) + 0.5) / 40 * 19
        smooth = RegularGridInterpolator(
            (np.arange(20), np.arange(20)), MOVIE["critic"][game, k].astype(float)
        )
        value = smooth(np.array([[(x, y) for x in centre] for y in centre[::-1]]))
        assert (np.abs(value - (band + 0.5) * 255 / 9) <= 255 / 18 + 1e-6).all()


@in_browser
def test_the_film_plays_on_a_press_only_and_stops_at_its_end(page):
    freeze(page)
    button = play_button(page)
    button.scroll_into_view_if_needed()
    page.clock.run_for(3000)
    assert (frame_now(page), button.text_content()) == (0, "play")
    button.press("Space")
    page.clock.run_for(910)
    assert (frame_now(page), button.text_content()) == (3, "pause")
    assert number(read(page, "training_movie")["w1-2"]) == MOVIE["w1"][2, 3]
    button.press("Enter")
    page.clock.run_for(3000)
    assert (frame_now(page), button.text_content()) == (3, "play")
    button.click()
    page.clock.run_for(60_000)
    assert (frame_now(page), button.text_content()) == (LAST, "play")
    button.click()  # from the start again
    page.clock.run_for(610)
    assert frame_now(page) == 2
    press(page, f"{film}-frame", "ArrowRight")  # a hand on the slider stops the film
    page.clock.run_for(3000)
    assert (frame_now(page), button.text_content()) == (3, "play")


@in_browser
def test_the_film_is_silent_while_it_plays(page):
    wait_until_it_spoke(page, "training_movie")
    freeze(page)
    button = play_button(page)
    before = spoken(page, "training_movie")
    button.click()
    page.clock.run_for(2000)
    assert spoken(page, "training_movie") == before
    button.click()
    page.clock.run_for(1000)
    k = frame_now(page)
    assert spoken(page, "training_movie").startswith(
        f"After {MOVIE['steps'][k]} updates: clipping, c = 0.01, W1 "
    )


@in_browser
def test_the_film_stops_where_nobody_sees_it(page):
    button = play_button(page)
    button.click()
    page.evaluate("""Object.defineProperty(document, "hidden", { value: true, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));""")
    assert button.text_content() == "play"
    button.click()
    assert button.text_content() == "pause"
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function(f"document.querySelector('{film} button').textContent === 'play'")
    assert frame_now(page) < LAST


@in_browser
def test_the_film_is_slow_for_who_wants_little_motion(browser, folder):
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    freeze(page)
    page.goto((folder / "page.html").as_uri())
    page.clock.run_for(5000)
    assert frame_now(page) == 0
    before = spoken(page, "training_movie")
    play_button(page).click()
    page.clock.run_for(2900)
    assert frame_now(page) == 2
    assert spoken(page, "training_movie") == before
    context.close()


# latent_walk

walker = "#wganlab-latent_walk"


def state_of(page):
    return tool(page, "latent_walk", "state()")


def canvases(page):
    """The grey values on the page, (27, 784): generated, nearest, 9 of the walk, 16 samples."""
    return np.array(
        page.eval_on_selector_all(
            f"{walker} canvas",
            """all => all.map(one => {
                const { data } = one.getContext("2d").getImageData(0, 0, 28, 28);
                return [...data].filter((_, k) => k % 4 === 0); })""",
        )
    )


def grey(picture):
    return 127.5 - 127.5 * np.asarray(picture)


def in_torch(z):
    """Picture, score, nearest digit and distance of a latent point, by torch and numpy."""
    generator, critic = players()
    picture = generator(torch.from_numpy(np.array([z], np.float32)))
    distances = np.linalg.norm(real_digits() - picture.numpy().reshape(784), axis=1)
    return picture.numpy().reshape(784), critic(picture).item(), distances.argmin(), distances.min()


@in_browser
def test_twenty_pictures_scores_and_nearest_digits_are_those_of_torch(page):
    rng = np.random.default_rng(0)
    for z in [*WALK["start"], *rng.normal(size=(18, 16)), 3 * rng.normal(size=16), np.zeros(16)]:
        found = tool(page, "latent_walk", f"judge({z.tolist()})")
        picture, score, index, distance = in_torch(z)
        assert np.abs(np.array(found["picture"]) - picture).max() < 1e-4  # the mark is .03
        assert found["score"] == pytest.approx(score, abs=1e-3)
        assert (found["index"], found["distance"]) == (index, pytest.approx(distance, abs=1e-3))


@in_browser
def test_the_digits_of_the_page_are_the_shipped_ones(page):
    np.testing.assert_allclose(tool(page, "latent_walk", "digits()"), real_digits(), atol=1e-6)
    _, critic = players()
    scores = critic(torch.from_numpy(real_digits()).float().view(-1, 1, 28, 28))
    assert tool(page, "latent_walk", "realMean()") == pytest.approx(scores.mean().item(), abs=1e-3)


def shows(page, z):
    """What the page shows and reads out is what torch makes of z."""
    picture, score, index, distance = in_torch(z)
    shown = canvases(page)
    assert np.abs(shown[0] - grey(picture)).max() < 1
    assert np.abs(shown[1] - grey(real_digits()[index])).max() < 1
    values = read(page, "latent_walk")
    assert number(values["score"]) == pytest.approx(score, abs=0.006)
    mean = tool(page, "latent_walk", "realMean()")
    assert number(values["against"]) == pytest.approx(score - mean, abs=0.006)
    assert values["nearest"] == f"a {index // 10}"
    assert number(values["distance"]) == pytest.approx(distance, abs=0.006)
    assert number(values["length"]) == pytest.approx(np.linalg.norm(z), abs=0.006)


@in_browser
def test_the_walk_by_keyboard_on_the_line_and_on_the_arc(page):
    a, b = WALK["start"]
    shows(page, a)
    press(page, f"{walker}-walk", "End")
    shows(page, b)
    press(page, f"{walker}-walk", "Home", *["ArrowRight"] * 10)
    shows(page, (a + b) / 2)
    for k, picture in enumerate(canvases(page)[2:11]):
        assert np.abs(picture - grey(in_torch(a + k / 8 * (b - a))[0])).max() < 1
    middle = number(read(page, "latent_walk")["middle"])
    assert middle == pytest.approx(np.linalg.norm(a + b) / 2, abs=0.006)
    page.locator(f"{walker} button", has_text="line").press("Enter")
    press(page, f"{walker}-walk", *["ArrowRight"] * 5)
    shows(page, np.cos(np.pi / 8) * a + np.sin(np.pi / 8) * b)
    middle = number(read(page, "latent_walk")["middle"])
    assert middle == pytest.approx(np.linalg.norm(a + b) / math.sqrt(2), abs=0.006)
    page.locator(f"{walker} button", has_text="arc").click()
    assert state_of(page)["onArc"] is False


@in_browser
def test_a_coordinate_by_keyboard_begins_a_new_walk(page):
    a, b = WALK["start"].copy()
    press(page, f"{walker}-walk", *["ArrowRight"] * 3)
    press(page, f"{walker}-z2", "ArrowRight", "ArrowRight")
    here = a + 0.15 * (b - a)
    here[1] = state_of(page)["z"][1]
    assert here[1] == pytest.approx(a[1] + 0.15 * (b - a)[1] + 0.2, abs=0.051)  # from the nearest tenth
    shows(page, here)
    state = state_of(page)
    assert state["from"] == state["z"] == pytest.approx(here)
    assert state["to"] == pytest.approx(b)
    assert page.locator(f"{walker}-walk").input_value() == "0"


@in_browser
def test_samples_and_new_points(page):
    samples = state_of(page)["samples"]
    shown = canvases(page)[11:]
    assert len(shown) == len(samples) == 16
    for picture, z in zip(shown, samples, strict=True):
        assert np.abs(picture - grey(in_torch(z)[0])).max() < 1
    label = page.locator(f"{walker} button canvas").nth(4).locator("..").get_attribute("aria-label")
    assert label == f"walk to sample 5, nearest to a {in_torch(samples[4])[2] // 10}"
    page.locator(f"{walker} button canvas").nth(4).click()
    assert state_of(page)["to"] == pytest.approx(samples[4])
    page.locator(f"{walker} button", has_text="new point").click()
    state = state_of(page)
    assert state["to"] == pytest.approx(samples[4])
    shows(page, state["z"])
    page.locator(f"{walker} button", has_text="new samples").click()
    drawn = [*samples, *state_of(page)["samples"], state["z"]]
    assert len(np.unique(np.round(drawn, 6), axis=0)) == 33
    for _ in range(30):
        page.locator(f"{walker} button", has_text="new samples").click()
        drawn += state_of(page)["samples"]
    drawn = np.array(drawn)
    assert np.abs(drawn.mean(axis=0)).max() < 5 / math.sqrt(len(drawn))
    assert np.abs(np.cov(drawn, rowvar=False) - np.eye(16)).max() < 6 / math.sqrt(len(drawn))


@in_browser
def test_the_ruler_is_the_scores(page):
    """Ticks lie in the order and in the proportion of the scores; the mark is the picture's."""
    _, critic = players()
    real = critic(torch.from_numpy(real_digits()).float().view(-1, 1, 28, 28)).numpy()
    fake = np.array([in_torch(z)[1] for z in state_of(page)["samples"]])
    now = in_torch(WALK["start"][0])[1]
    low, high = np.min([*real, *fake, now]), np.max([*real, *fake, now])
    paths = {
        kind: page.locator(f"{walker} svg path.curve.{kind}").last.get_attribute("d")
        for kind in ("real", "fake")
    }
    paths["now"] = page.locator(f"{walker} svg path.fill-ink").get_attribute("d")
    for kind, scores in (("real", real), ("fake", fake), ("now", [now])):
        places = [float(x) for x in re.findall(r"M(\S+) ", paths[kind])]
        expected = 8 + (np.asarray(scores) - low) / (high - low) * 304
        np.testing.assert_allclose(places, expected, atol=0.2, err_msg=kind)


@in_browser
def test_the_walk_plays_on_a_press_only_is_silent_and_stops(page):
    wait_until_it_spoke(page, "latent_walk")
    said = spoken(page, "latent_walk")
    assert re.fullmatch(
        r"The nearest real digit is a \d, at distance \d+\.\d\. "
        r"The score is \d+\.\d (above|below) the mean of the real digits\.",
        said,
    )
    freeze(page)
    button = page.locator(f"{walker} button").first
    way = page.locator(f"{walker}-walk")
    page.clock.run_for(3000)
    assert (way.input_value(), button.text_content()) == ("0", "play")
    button.press("Space")
    page.clock.run_for(610)
    assert (way.input_value(), button.text_content()) == ("0.15", "pause")
    assert spoken(page, "latent_walk") == said
    page.clock.run_for(10_000)
    assert (way.input_value(), button.text_content()) == ("1", "play")
    shows(page, WALK["start"][1])
    assert spoken(page, "latent_walk") != said
    button.click()  # from its start again
    page.clock.run_for(210)
    assert way.input_value() == "0.05"
    press(page, f"{walker}-walk", "ArrowRight")  # a hand on the slider stops it
    page.clock.run_for(3000)
    assert (way.input_value(), button.text_content()) == ("0.1", "play")


@in_browser
def test_the_walk_is_slow_for_who_wants_little_motion(browser, folder):
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    freeze(page)
    page.goto((folder / "page.html").as_uri())
    page.locator(f"{walker} button").first.click()
    page.clock.run_for(2900)
    assert page.locator(f"{walker}-walk").input_value() == "0.1"
    context.close()


@in_browser
@pytest.mark.parametrize(
    ("name", "key", "cut"),
    [
        ("training_movie", "critic", lambda array: array[:, 1:]),
        ("training_movie", "samples", lambda array: array.ravel()[1:]),
        ("training_movie", "w1", lambda array: array[1:]),
        ("penalty_weight", "one_sided", lambda array: array[:1]),
        ("penalty_weight", "reversed", lambda array: array[:1]),
        ("latent_walk", "weights", lambda array: array[1:]),
        ("latent_walk", "digits", lambda array: array[1:]),
        ("latent_walk", "shapes", lambda array: array[1:]),
    ],
)
def test_data_that_are_not_whole_leave_the_still(browser, tmp_path, name, key, cut):
    html = shown(name, data=DATA[name] | {key: cut(DATA[name][key])}).html
    (tmp_path / "page.html").write_text(PAGE.format(html), encoding="utf-8")
    with test_browser.tab(browser, tmp_path.as_uri() + "/") as (page, faults):
        page.goto((tmp_path / "page.html").as_uri())
        assert page.locator(".interactive-figure > img:visible").count() == 1
        assert len(faults) == 1


@in_browser
@pytest.mark.parametrize("width", [360, 780])
def test_moving_a_figure_moves_nothing_around_it(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    heights = set()
    for k in range(0, LAST + 1, 3):
        press(page, f"{film}-frame", "Home", *["ArrowRight"] * k)
        heights.add(page.locator(film).bounding_box()["height"])
    assert len(heights) == 1
    heights = set()
    for pair in LINES:
        for k in (0, 30, 60):
            for reverse in (False, True):
                choose(page, pair, k, reverse)
                heights.add(page.locator("#wganlab-penalty_weight").bounding_box()["height"])
    assert len(heights) == 1
    heights = set()
    for game, scheme, *numbers in itertools.product(GAMES, SCHEMES, (0, 20, 38, 40), (0, 0.5, 1, 1.5, 3)):
        tool(page, "phase_plane", f"set('{game}', '{scheme}', ...{numbers}, [-2.85, 2.85])")
        heights.add(page.locator(plane).bounding_box()["height"])
    assert len(heights) == 1
    heights = set()
    for keys in (["Home"], ["End"], ["Home", "ArrowRight"] * 5):
        press(page, f"{walker}-walk", *keys)
        heights.add(page.locator(walker).bounding_box()["height"])
    assert len(heights) == 1
