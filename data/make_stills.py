"""Pictures of setups of the lab, for the chapters that lead to it: book/_lab/stills/SETUP.webp.

    python data/make_stills.py

Needs Chromium (on the PATH, or the program in CHROMIUM) and playwright, as the tests do. Each setup is
trained in the page for the turns below, in a light theme; then its two panels are photographed.
"""

import importlib.util
import io
import os
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

BOOK = Path(__file__).resolve().parents[1] / "book"
STILLS = {
    "a-gan-on-the-ring": 2000,
    "clipping-too-tight": 500,
    "clipping-too-loose": 2000,
    "a-small-weight": 1800,
    "two-sided-at-ten": 300,
}


def lab_page():
    spec = importlib.util.spec_from_file_location("lab", BOOK / "_ext" / "lab.py")
    lab = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lab)
    return lab.page()


def photograph(page, address, setup, turns):
    page.goto(f"{address}#preset={setup}")
    page.reload()  # the address differs after # only
    page.locator("#readings dd:text-matches('^[0-9]')").first.wait_for()
    page.evaluate(f"lab.send({{ turns: {turns}, want: -1 }})")
    page.locator(f"#readings dd:text-matches('^{turns},')").wait_for()
    return Image.open(io.BytesIO(page.locator(".panels").screenshot()))


def main():
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    folder = BOOK / "_lab" / "stills"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        (Path(place) / "lab.html").write_text(lab_page(), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(
            viewport={"width": 760, "height": 900}, device_scale_factor=1.5, color_scheme="light"
        )
        for setup, turns in STILLS.items():
            picture = photograph(page, (Path(place) / "lab.html").as_uri(), setup, turns)
            target = folder / f"{setup}.webp"
            picture.convert("RGB").save(target, quality=70, method=6)
            print(f"{target.name}: {picture.width} x {picture.height}, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
