"""Measures the WGAN lab's page as a reader has it: its weight, speed, painting, and the time to all modes.

    python benchmarks/lab.py [--quick]

Builds the page with `book/_ext/lab.py`, opens it as a file in Chromium and in Firefox without a window (found
as in `tests/test_browser.py` and `tests/firefox.py`), starts and stops it, and reads its own counters: turns,
seconds of training and of painting. The page without its kernel is measured in turns with it.
"""

import argparse
import gzip
import importlib.metadata
import importlib.util
import itertools
import os
import platform
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import firefox  # noqa: E402
import test_browser  # noqa: E402
import test_lab_core as core  # noqa: E402
import test_lab_page as pages  # noqa: E402

RECIPES = {
    "gan": "GAN, non-saturating",
    "minimax": "GAN, minimax",
    "wgan": "WGAN, clipping",
    "wgan_gp": "WGAN-GP",
    "wgan_lp": "WGAN-GP, one-sided",
}
NOW = "[lab.state.turns, lab.state.seconds, performance.now() / 1000, lab.painting, lab.paints]"
GAMES = [("wgan_gp", 16), ("wgan_gp", 32), ("wgan_gp", 64)]  # each with its width, in both browsers
GAMES += [(recipe, 32) for recipe in ("gan", "minimax", "wgan", "wgan_lp")]
ARITHMETICS = {"Float64": "double", "Float32": "single", "kernel": "kernel"}
NO_WORKER = "delete window.Worker;"
# Milliseconds of one distance, ring against a normal law. Clocks in a page are coarse: two are timed at once.
ASSIGN = """([n, rounds]) => {
  const random = stream(1), law = LAWS.ring(), found = [];
  const batch = () => [sample(law, new Float32Array(2 * n), n, random),
    Float32Array.from({ length: 2 * n }, () => random.normal())];
  for (let k = -1; k < rounds; k++) {
    const pairs = Array.from({ length: 2 }, batch), begin = performance.now();
    for (const [x, y] of pairs) w1(x, y, n);
    if (k >= 0) found.push((performance.now() - begin) / 2);
  }
  return found;
}"""


def spread(values, digits):
    """Median and range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} | {low:.{digits}f} - {high:.{digits}f}"


@contextmanager
def opened(browser, file, address, before=None):
    """The lab in a tab of its own, as wide as a usual window; in Chromium or in Firefox."""
    mode = test_browser.MODES["light"]
    if isinstance(browser, firefox.Firefox):
        with firefox.tab(browser, "file:", mode) as (page, _):
            page.goto(file.as_uri() + address)
            pages.until(page, "lab.state !== null")
            yield page
        return
    context = browser.new_context(**mode)
    context.set_default_timeout(60_000)
    page = context.new_page()
    if before:
        page.add_init_script(before)
    page.goto(file.as_uri() + address)
    page.locator(pages.LOOKED).first.wait_for()
    yield page
    context.close()


def windows(page, count, seconds):
    """Differences of NOW over `count` windows, after a window to warm up."""
    page.locator("#play").click()
    page.wait_for_timeout(1000 * seconds)
    marks = [page.evaluate(NOW)]
    for _ in range(count):
        page.wait_for_timeout(1000 * seconds)
        marks.append(page.evaluate(NOW))
    page.locator("#play").click()
    return [[b - a for a, b in zip(*pair, strict=True)] for pair in itertools.pairwise(marks)]


def weight(file):
    html = file.read_bytes()
    packed = len(gzip.compress(html, 9, mtime=0))
    yield f"The page is {len(html):,} bytes, style and scripts included (mark: {pages.WEIGHT:,});"
    yield f"{packed:,} after `gzip -9`. It asks for nothing else."


def race(tabs, count, seconds):
    """Pages x windows x 2: turns a second of training and on the wall; the pages take turns."""
    found = [[] for _ in tabs]
    for _ in range(count):
        for page, rates in zip(tabs, found, strict=True):
            page.evaluate("lab.start()")
            page.wait_for_timeout(300)
            before = page.evaluate(NOW)
            page.wait_for_timeout(1000 * seconds)
            turns, trained, wall = np.subtract(page.evaluate(NOW), before)[:3]
            rates.append((turns / trained, turns / wall))
            page.evaluate("lab.rest()")
            pages.paused(page)
    return np.array(found)


def speed(browser, file, plain, count, seconds):
    yield "| game | width | trained: kernel | range | plain | range | ratio | wall: kernel | plain | ratio |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for recipe, width in GAMES:
        address = f"#recipe={recipe}&width={width}"
        with opened(browser, file, address) as one, opened(browser, plain, address) as other:
            found = race([one, other], count, seconds)
        trained, wall = found[..., 0], found[..., 1]
        ratios = [np.median(rates[0] / rates[1]) for rates in (trained, wall)]
        cells = f"{spread(trained[0], 0)} | {spread(trained[1], 0)} | **{ratios[0]:.1f}**"
        walls = f"{np.median(wall[0]):.0f} | {np.median(wall[1]):.0f} | **{ratios[1]:.1f}**"
        yield f"| {RECIPES[recipe]} | {width} | {cells} | {walls} |"


def painting(browser, file, count, seconds):
    yield "| training | % painting | range | % training | range | pictures a s | ms each |"
    yield "|---|---|---|---|---|---|---|"
    for name, before in {"in a worker": None, "in the page, where there is no worker": NO_WORKER}.items():
        with opened(browser, file, "", before) as page:
            found = windows(page, count, seconds)
        painted = [100 * spent / passed for _, _, passed, spent, _ in found]
        trained = [100 * spent / passed for _, spent, passed, *_ in found]
        rate = statistics.median(paints / passed for *_, passed, _, paints in found)
        each = 1000 * sum(one[3] for one in found) / sum(one[4] for one in found)
        shares = " | ".join(spread(values, 0) for values in (painted, trained))
        yield f"| {name} | {shares} | {rate:.0f} | {each:.1f} |"


def sustained(browser, file, seeds, limit):
    """Per seed: the turn, seconds of training, seconds on the wall."""
    found = []
    for seed in seeds:
        with opened(browser, file, f"#seed={seed}") as page:
            begin = time.monotonic()
            page.evaluate("lab.start()")
            while True:
                held, turns = page.evaluate("[lab.state.sustained, lab.state.turns]")
                if held or turns > limit:
                    break
                page.wait_for_timeout(20)
            found.append((held["turn"], held["seconds"], time.monotonic() - begin) if held else None)
    yield "| seed | turns | seconds of training | seconds on the wall |"
    yield "|---|---|---|---|"
    for seed, one in zip(seeds, found, strict=True):
        said = f"{one[0]:,} | {one[1]:.1f} | {one[2]:.1f}" if one else f"not within {limit:,} | – | –"
        yield f"| {seed} | {said} |"
    held = [one for one in found if one]
    if held:
        turns, trained, wall = (statistics.median(values) for values in zip(*held, strict=True))
        yield f"| median | {turns:,.0f} | {trained:.1f} | {wall:.1f} |"


def distances(browser, file, rounds):
    yield "| n | milliseconds, median | quartiles |"
    yield "|---|---|---|"
    source = "\n".join(pages.lab.body(module) for module in pages.lab.order(pages.lab.FOLDER / "core"))
    timed = f"(given) => {{\n{source}\nreturn ({ASSIGN})(given);\n}}"
    with opened(browser, file, "") as page:
        for n in (64, 128, 256, 512):
            low, middle, high = statistics.quantiles(page.evaluate(timed, [n, rounds]), n=4)
            yield f"| {n} | {middle:.2f} | {low:.2f} - {high:.2f} |"


def axe(browser, file):
    yield "| | " + " | ".join(pages.AXE_STATES) + " |"
    yield "|---" * (len(pages.AXE_STATES) + 1) + "|"
    for mode in pages.AXE_MODES:
        found = pages.axe_findings(browser, file, mode)
        rules = [", ".join(sorted({rule for rule, *_ in found[state]})) for state in pages.AXE_STATES]
        counts = [str(len(found[state])) for state in pages.AXE_STATES]
        cells = [f"{count} ({names})" if names else count for count, names in zip(counts, rules, strict=True)]
        yield f"| {mode} | {' | '.join(cells)} |"


def errors(quick):
    if core.NO_NODE:
        yield core.NO_NODE
        return
    nets = core.NETS[-1:] if quick else core.NETS
    found = {name: core.gradient_errors(name, nets) for name in ARITHMETICS}
    yield "| | " + " | ".join(f"gradient, {name} | loss, {name}" for name in ARITHMETICS.values()) + " |"
    yield "|---" * (2 * len(ARITHMETICS) + 1) + "|"
    for game in (name for name in found["kernel"] if not name.endswith(", loss")):
        values = [errors[key] for errors in found.values() for key in (game, f"{game}, loss")]
        yield f"| {game.replace('_', '-')} | {' | '.join(f'{value:.0e}' for value in values)} |"
    yield ""
    steps, costs = core.step_error(), core.assignment_error()
    yield f"Fifty steps of each optimiser against PyTorch's: {steps:.0e}."
    yield f"Assignments against scipy's: {costs:.0e}."


def machine():
    """The processor's kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def report(browser, other, file, plain, quick):
    count, seconds, rounds = (2, 1, 5) if quick else (5, 1, 40)
    seeds = range(1, 3) if quick else pages.SEEDS
    browsers = {f"Chromium {browser.version}": browser}
    browsers |= {f"Firefox {other.version}": other} if other else {}
    yield from ["# The WGAN lab in the page", ""]
    yield f"`python benchmarks/lab.py{' --quick' if quick else ''}`: the page built from `book/_lab`, opened"
    yield f"as a file without a GPU and without a window, on a machine that others use too: {machine()},"
    yield f"{os.cpu_count()} cores. A turn is one generator update with its critic updates, batch 128."
    yield from ["", "## Weight", "", *weight(file)]
    yield from ["", "## Turns a second, with the kernel and in plain JavaScript", ""]
    yield "Ring; each game as it is set at first, but for the width. **Trained**: turns a second of training,"
    yield "which leaves out looks and pictures. **Wall**: turns a second that a reader waits. Both pages are"
    yield f"open, and go in turns: medians and ranges over {count} windows of {seconds} s each, and the"
    yield "median of the ratios."
    for name, one in browsers.items():
        yield from ["", f"### {name}", "", *speed(one, file, plain, count, seconds)]
    if not other:
        yield from ["", "Firefox is not installed: it was not measured."]
    yield from ["", "## Painting", ""]
    yield "WGAN-GP as it is set at first, as fast as it goes, in Chromium, in a window of 1280 x 900. Shares"
    yield "of the time on the wall. Painting is what the page's own scripts spend; the browser's drawing"
    yield "comes on top."
    yield from ["", *painting(browser, file, count, seconds)]
    yield from ["", "## Until all eight modes are held", ""]
    yield "WGAN-GP as it is set at first: at ten looks in a row, 25 turns apart, each mode has a quarter of"
    yield "its fair share of 1,024 points, or more, within 0.2 of its centre. Given is the last of the ten;"
    yield "the wall's clock runs from Start."
    for name, one in browsers.items():
        yield from ["", f"### In {name}", "", *sustained(one, file, seeds, pages.TURNS)]
    yield from ["", "## One exact distance", ""]
    yield "Two batches of n points, cost matrix and assignment together, in Chromium;"
    yield f"{rounds} times two pairs."
    yield from ["", *distances(browser, file, rounds)]
    yield from ["", "## Errors of the core", ""]
    yield "Under node, against `wganlab`'s own objectives and constraints in float64: the largest error over"
    yield "networks of widths 16 and 32, one to three hidden layers, slopes 0 and 0.2,"
    yield "relative to the largest entry of the gradient: plain JavaScript in double and in single precision,"
    yield "and the kernel, which the page uses where it can."
    yield from ["", *errors(quick)]
    yield from ["", "## axe-core", ""]
    if importlib.util.find_spec("axe_playwright_python") is None:
        yield "Not installed."
    else:
        version = importlib.metadata.version("axe-playwright-python")
        yield f"Findings in Chromium, all rules on, best practices too (axe-playwright-python {version})."
        yield from ["", *axe(browser, file)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute's look; writes nothing")
    options = parser.parse_args()
    program = test_browser.chromium()
    if program is None:
        sys.exit("No Chromium: install it, or set CHROMIUM to its path.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file, plain = Path(folder) / "lab.html", Path(folder) / "plain.html"
        file.write_text(pages.lab.page(), encoding="utf-8")
        plain.write_text(pages.page_without_kernel(Path(folder)), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=program, args=test_browser.ARGUMENTS)
        other = firefox.firefox()
        lines = []
        with firefox.Firefox(other) if other else nullcontext() as other:
            for line in report(browser, other, file, plain, options.quick):
                print(line, flush=True)
                lines.append(line)
        browser.close()
    if not options.quick:
        (ROOT / "benchmarks" / "results" / "lab.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
