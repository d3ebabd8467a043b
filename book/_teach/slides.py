"""Slides: one deck a chapter, made from the core page of the built site: `_build/slides/NN_name.html`.

No deck is written by hand. What a page has in common with the others decides what a slide is: its promise and
goals, the opening question, every picture, definition and theorem (with the bold sentence of its idea), the
lines that its claims print, boxes, numbered equations, quiz and summary. All other prose, proofs included,
goes into the presenter's notes of the slide it stands with, in its order. Numbers and references are those of
the page, where they are resolved already.

Chromium then opens the slides without a network, and `slides_fit.js` typesets the formulas once, joins short
slides and divides long ones. A slide that overflows even so is an error with its name. A finished deck is one
file that asks for nothing: pictures, formulas, style and `slides.js` are in it.

    python book/_teach/slides.py              # all chapters of _build/html
    python book/_teach/slides.py 07_duality   # one of them
"""

import argparse
import base64
import hashlib
import os
import shutil
import sys
from contextlib import contextmanager
from html import escape
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from bs4 import BeautifulSoup, SoupStrainer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "_ext"))
from offline import mathjax_store  # noqa: E402

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
SHORT = 320  # letters: a paragraph that begins in bold stands on a slide up to this length
SENTENCE = (".", "?", "!", ")", "”")  # a paragraph that ends otherwise leads in to what follows
MATHJAX = """window.MathJax = {startup: {typeset: false}, svg: {fontCache: "global"},
    options: {enableMenu: false}, tex: {packages: {"[-]": ["noundefined"]}}}"""  # unknown commands are errors


class Slide(NamedTuple):
    """A slide before it is laid out: HTML with formulas as TeX; `kind` chooses its look."""

    kind: str
    title: str
    section: str  # the heading of its section
    blocks: list
    notes: list


def inner(tag):
    return tag.decode_contents().strip()


def figure(image):
    return f'<figure><img src="{image["src"]}" alt="{escape(image.get("alt", ""))}"></figure>'


def claims(lines):
    """Lines that claims printed as a table of text, value and what is claimed."""
    groups, wide = [], any("(claimed: " in line for line in lines)
    for line in lines:
        line, _, claimed = line.partition("   (claimed: ")
        name, _, value = line.rpartition(": ")
        if line.strip().startswith("✓"):
            name, value = line.replace("✓", ""), "✓"
        numbers = [escape(number) for number in value.split(", ")]
        value = ", ".join(f"<span>{one}</span>" if len(one) < 20 else one for one in numbers)
        cells = [value, escape(claimed.removesuffix(")"))][: 1 + wide]
        row = f'<th scope="row">{escape(name.strip())}</th>' + "".join(f"<td>{cell}</td>" for cell in cells)
        if line.startswith("  ") and groups:  # it belongs to the line above
            groups[-1] += f'<tr class="deep">{row}</tr>'
        else:
            groups.append(f"<tr>{row}</tr>")
    head = "<th>claim</th><th>value</th>" + "<th>claimed</th>" * wide
    rows = "".join(f"<tbody>{group}</tbody>" for group in groups)
    return f'<table class="claims"><thead><tr>{head}</tr></thead>{rows}</table>'


def printed(text):
    """What a cell printed: claims as tables, all else line by line."""
    lines = text.rstrip().split("\n")
    sure = [line.strip().startswith("✓") or "   (claimed: " in line for line in lines]
    if all(found or ": " in line for found, line in zip(sure, lines, strict=True)):
        return claims(lines)  # where nothing else is printed, a claim of an exact value is "text: value"
    blocks = []
    for found, run in groupby(zip(sure, lines, strict=True), key=lambda pair: pair[0]):
        part = [line for _, line in run]
        blocks.append(
            claims(part)
            if found
            else f"<pre>{''.join(f'<span>{escape(line)}</span>' for line in part)}</pre>"
        )
    return "".join(blocks)


def article_of(page):
    """The article of a built page, without links, scripts and what is folded, its pictures as data."""
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser", parse_only=SoupStrainer("article"))
    article = soup.article
    for tag in article.select("a.headerlink, script, style, details, .toctree-wrapper, .cell_input"):
        tag.decompose()
    for tag in article.select("a, .pre, .std, .doc"):
        tag.unwrap()
    for image in article.select("img"):
        if not image["src"].startswith("data:"):
            data = (page.parent / image["src"]).read_bytes()
            image["src"] = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    for tag in article.select("[id]"):
        del tag["id"]
    return article


class Reader:
    """The slides of a page, read from top to bottom.

    `pending` is prose before the first slide of a section, `lead` a paragraph that leads in to what follows.
    """

    def __init__(self, article):
        self.slides, self.pending, self.lead, self.heading, self.fresh = [], [], [], "", True
        page = article.find("section", recursive=False)
        self.title, self.name = inner(page.h1), page.h1.get_text()
        promise, after, goals, *rest = page.find_all(["p", "ul", "div"], recursive=False)
        recap = next(part for part in rest if "note" in part.get("class", []))
        rest.remove(recap)
        self.add(
            "title",
            self.title,
            f'<p class="promise">{inner(promise)}</p>',
            after,
            goals,
            notes=map(str, rest),
        )
        self.box("recap", recap)
        for section in page.find_all("section", recursive=False):
            self.section(section)
        self.slides[-1].notes.extend(self.pending)

    def add(self, kind, title, *blocks, notes=()):
        blocks = [*self.lead, *map(str, blocks)]
        self.slides.append(Slide(kind, title, self.heading, blocks, [*self.pending, *notes]))
        self.pending, self.lead, self.fresh = [], [], False

    def box(self, kind, part):
        self.add(kind, inner(part.select_one(".admonition-title").extract()), inner(part))

    def extend(self, kind, block):
        """Put a block onto the last slide of this section if it is of the same kind, else onto a new one."""
        if self.slides[-1].kind == kind and not self.fresh:
            self.slides[-1].blocks.extend([*self.lead, str(block)])
            self.lead = []
        else:
            self.add(kind, self.heading, block)

    def prose(self, *html):
        """Prose for the notes; first what was to lead in to something that did not come."""
        (self.pending if self.fresh else self.slides[-1].notes).extend([*self.lead, *html])
        self.lead = []

    def section(self, section):
        heading = section.find(["h2", "h3"], recursive=False).extract()
        self.prose()
        self.heading, self.fresh = inner(heading), True
        self.prose(f"<h3>{self.heading}</h3>")
        parts, name = section.find_all(recursive=False), heading.get_text()
        if name == "Exercises":
            titles = [inner(title) for title in section.select(".exercise > .admonition-title")]
            self.add("point", name, f"<ul>{''.join(f'<li>{title}</li>' for title in titles)}</ul>")
        elif name == "Quiz":
            self.quiz(parts)
        elif name == "Summary":
            self.add("point", name, parts[0], notes=[str(part) for part in parts[1:] if part.name == "p"])
        else:
            asked = not name.startswith("A question to open")
            for part in parts:
                if part.name == "section":
                    self.section(part)
                else:
                    asked |= self.part(part, part.get("class", []), asked)

    def quiz(self, parts):
        question, number = [], 1
        for part in parts:
            if "note" in part.get("class", []):  # for lecturers
                self.prose(str(part))
            elif "dropdown" in part.get("class", []):
                part.select_one(".admonition-title").extract()
                self.add(
                    "quiz", f"Question {number}", *question, f'<div class="step box">{inner(part)}</div>'
                )
                question, number = [], number + 1
            elif part.name in ("p", "ol", "ul"):
                question.append(part)

    def part(self, part, classes, asked):
        """One part of a section; true if it asks the opening question, whose answer must not be seen then."""
        if "cell" in classes or part.img:
            for image in part.select("img"):
                self.add("picture", self.heading, figure(image))
            for output in part.select(".output.stream"):
                self.extend("point", printed(output.get_text()))
        elif "proof" in classes:
            self.statement(part)
        elif "dropdown" in classes:
            self.prose(str(part))
        elif "admonition" in classes:
            self.box("question" if "tip" in classes else "misconception", part)
            return "tip" in classes
        elif not asked:
            self.extend("question", part)
            return part.name in ("ul", "ol")
        elif part.name == "p":
            self.paragraph(part)
        elif part.table or part.select_one(".eqno") or (part.name in ("ul", "ol") and self.lead):
            self.extend("point", part.table or part)
        else:
            self.prose(str(part))
        return False

    def paragraph(self, part):
        text = part.get_text().strip()
        first = next((child for child in part.contents if str(child).strip()), None)
        bold = getattr(first, "name", None) == "strong"
        if text.startswith("The idea:") and self.slides[-1].kind == "statement":
            self.slides[-1].blocks.append(f'<p class="idea">{inner(part)}</p>')
        elif not text.endswith(SENTENCE):
            self.prose()
            self.lead = [str(part)]
        elif bold and len(text) <= SHORT:
            self.extend("point", part)
        else:
            self.prose(str(part))

    def statement(self, part):
        title = part.select_one(".admonition-title")
        if title and title.select_one(".caption-number"):
            self.add("statement", inner(title.extract()), *part.section.find_all(recursive=False))
        else:  # a proof, and nothing of it on a slide
            if title:
                title.extract()
            self.prose(f"<h4>Proof</h4>{inner(part)}")


def draft(slides):
    """The slides as HTML, before they are laid out."""
    pages = []
    for before, slide in zip([None, *slides], slides, strict=False):
        joins = before is not None and before.section == slide.section == slide.title
        kicker = f'<p class="kicker">{slide.section}</p>' if slide.section not in ("", slide.title) else ""
        heading = "h1" if slide.kind == "title" else "h2"
        pages.append(
            f'<article class="page"{" data-joins" * joins}><div class="stage">'
            f'<section class="slide {slide.kind}">'
            f"<header>{kicker}<{heading}>{slide.title}</{heading}></header>"
            f'<div class="body">{"".join(slide.blocks)}</div><footer></footer></section></div>'
            f'<aside class="notes" aria-label="Notes">{"".join(slide.notes)}</aside></article>'
        )
    return f"<main>{''.join(pages)}</main>"


def file_of(title, body, style="", script=""):
    """A whole file; its policy lets this one script run and nothing be fetched."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        (HERE / "slides.html")
        .read_text(encoding="utf-8")
        .format(
            policy="default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
            title=escape(title),
            style=(HERE / "slides.css").read_text(encoding="utf-8") + style,
            body=body,
            script=f"<script>{script}</script>",
        )
    )


@contextmanager
def chromium():
    """A tab in which no name leads anywhere."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        sys.exit("slides are laid out by Chromium: install chromium, or set CHROMIUM to its path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser.new_page(viewport={"width": 1280, "height": 720})
        browser.close()


def deck(tab, title, html):
    """(file, faults): the finished deck of a draft, and what overflows in it, by slide."""
    tab.set_content(
        f"<!doctype html><style>{(HERE / 'slides.css').read_text(encoding='utf-8')}</style>{html}"
    )
    tab.evaluate(MATHJAX)
    tab.add_script_tag(path=str(mathjax_store() / "tex-svg-full.js"))
    tab.add_script_tag(path=str(HERE / "slides_fit.js"))
    body, style = tab.evaluate("layOut()")
    return file_of(title, body, style, (HERE / "slides.js").read_text(encoding="utf-8")), tab.evaluate(
        "faults()"
    )


def build(tab, site, out, chapters=()):
    """Write the decks of a built site, and their list if they are all; what overflows, by deck and slide."""
    pages = [page for page in sorted(site.glob("book/[0-9][0-9]_*.html")) if "_further" not in page.stem]
    pages = [page for page in pages if page.stem in (chapters or [page.stem])]
    if not pages:
        sys.exit(f"no such chapter in {site}: run `make book` first")
    out.mkdir(parents=True, exist_ok=True)
    faults, links = [], []
    for page in pages:
        reader = Reader(article_of(page))
        text, found = deck(tab, reader.name, draft(reader.slides))
        (out / page.name).write_text(text, encoding="utf-8")
        faults += [f"{page.stem}: {fault}" for fault in found]
        size = f"{text.count('<article')} slides, {len(text.encode()) / 1e6:.2f} MB"
        links.append(f'<li><a href="{page.name}">{escape(reader.name)}</a>: {size}</li>')
        print(f"{page.stem}: {size}", flush=True)
    if not chapters:
        body = f"<h1>Slides</h1><ul>{''.join(links)}</ul><p>In a deck, ? lists the keys.</p>"
        text = file_of("Slides", f'<main class="list">{body}</main>')
        (out / "index.html").write_text(text, encoding="utf-8")
    return faults


def main():
    parser = argparse.ArgumentParser(description="One deck of slides a chapter, in _build/slides.")
    parser.add_argument("chapters", nargs="*", help="names such as 07_duality; without any, all")
    chapters = parser.parse_args().chapters
    with chromium() as tab:
        faults = build(tab, ROOT / "_build" / "html", ROOT / "_build" / "slides", chapters)
    sys.exit("\n".join(faults) if faults else 0)


if __name__ == "__main__":
    main()
