"""The whole book as one PDF for paper, A4: `_build/wganlab.pdf`.

    python book/_teach/pdf.py                 # or `make pdf`, which builds the site first
    python book/_teach/pdf.py 07_duality      # these pages alone, to look at

It is made of the built site: the articles of all pages in the order of _toc.yml become one page of HTML
(`_build/wganlab.html`), their formulas are typeset once, and Chromium (on the PATH, or the program in
CHROMIUM) prints it. The print says on which page each chapter begins; a second one, of these numbers alone,
is laid over the contents. pypdf does that, and adds bookmarks and the date of the version.

What stands on paper: proofs, solutions and answers stand open. Code that the pages show stands there; code
that they fold away, which imports, draws or keeps books, is left out, and what it prints and draws stays. A
figure that moves is its still, the lab is a photograph with its address, and the address of a link that leads
out of the book is printed behind it. A table or a formula that is too wide is set smaller; what is wider than
the page even so is an error, and its page and its name are said.
"""

import base64
import html
import io
import json
import logging
import os
import re
import shutil
import sys
from pathlib import Path

import matplotlib
import numpy as np
import yaml
from PIL import Image
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, ByteStringObject, NameObject, NumberObject

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "_build"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
STYLE = Path(__file__).with_suffix(".css")
SCRIPT = Path(__file__).with_suffix(".js")
NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND"
logging.getLogger("pypdf").setLevel(logging.ERROR)  # it counts the objects of a copied file, and wonders
TEXT_WIDTH, TEXT_HEIGHT = 650, 940  # of an A4 page within the margins of pdf.css, in pixels of 1/96 inch


def pages(toc=ROOT / "_toc.yml"):
    """(part, depth, name) of each page in order; only the first of a part has its caption, not None."""
    table = yaml.safe_load(toc.read_text(encoding="utf-8"))
    found = [("", 1, Path(table["root"]).name)]
    for part in table["parts"]:
        caption = part["caption"]
        for chapter in part["chapters"]:
            found.append((caption, 1, Path(chapter["file"]).name))
            caption = None
            found += [(None, 2, Path(further["file"]).name) for further in chapter.get("sections", ())]
    return found


def article(source, name, names, address=""):
    """The article of a page, its ids and links those of the one document, its pictures those of the site."""
    body = source[source.index('<article class="bd-article">') : source.index("</article>")]
    body = re.sub(r"<script\b.*?</script>", "", body, flags=re.DOTALL)
    body = re.sub(r' id="[\w-]+-content"', "", body)  # of every box the same
    body = re.sub(r'( id| for)="([^"]+)"', rf'\1="{name}--\2"', body)
    body = re.sub(r"url\(#", f"url(#{name}--", body)
    body = body.replace('src="../_images', 'src="html/_images')
    if name == "gallery":  # on paper the pictures of the pages, which the file has once, for the thumbnails
        thumbnail = re.compile(r'src="[^"]*\.webp"(.*?href="\.\./(_images/\w+\.png)")', re.DOTALL)
        body = thumbnail.sub(r'src="html/\2"\1', body)

    def link(match):
        page, _, place = match[1].partition("#")
        page = page.removesuffix(".html") or name
        if page in names:
            return f'href="#{page}--{place}"' if place else f'href="#{page}"'
        if re.match(r"\w+:", page):
            return match[0]
        return f'href="{address}/{match[1][3:]}"' if address and page.startswith("../") else 'class="no-link"'

    body = re.sub(r'href="([^"]*)"', link, body)
    body = re.sub(r'src="(html/_images/[^"]*\.webp)"', photo, body)
    return body[body.index(">") + 1 :]


def embedded(jpeg):
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def photo(match):
    """A WebP of the site as JPEG, which PDF knows; Chromium would store its pixels."""
    out = io.BytesIO()
    Image.open(BUILD / match[1]).convert("RGB").save(out, "JPEG", quality=80)
    return f'src="{embedded(out.getvalue())}"'


def version():
    """The citation's version, licences and date."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return citation["version"], citation["license"], citation["date-released"]


def document(wanted, site, lab=""):
    """The one page of HTML. `lab` is the picture that stands in the place of its frame."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    address = (config["sphinx"]["config"].get("html_baseurl") or "").rstrip("/")
    number, licences, date = version()
    names = {name for _, _, name in wanted}
    sheets, running, contents, body = {}, [], [], []
    for part, depth, name in wanted:
        source = (site / "book" / f"{name}.html").read_text(encoding="utf-8")
        sheets |= dict.fromkeys(re.findall(r'<link[^>]*href="\.\./_static[^>]*\.css[^>]*>', source))
        title = html.unescape(re.search(r"<title>(.*?) &#8212; ", source)[1])
        if part == "":
            title = "About this book"
        quoted = json.dumps(title, ensure_ascii=False)
        running.append(f"@page p{name} {{ @top-center {{ content: {quoted} }} }}")
        if part:
            contents.append(f'<p class="part">{part}</p>')
        contents.append(
            f'<p class="depth{depth}"><a href="#{name}">{html.escape(title)}</a>'
            '<span class="leader"></span><span class="number"></span></p>'
        )
        head = f'<p class="part">{part}</p>' if part else ""
        body.append(
            f'<section class="page depth{depth}" id="{name}" style="page: p{name}" data-part="{part or ""}"'
            f' data-title="{html.escape(title)}">{head}<article class="bd-article">'
            f"{article(source, name, names, address)}</article></section>"
        )
    where = f"{address}/lab.html" if address else "lab.html in the built book (make book)"
    frame = (
        f'<figure class="lab"><img src="{lab}" alt="The lab: settings, pictures, readings"><figcaption>'
        f"The lab after 1,000 turns of its first setup. It runs in a browser: {where}.</figcaption></figure>"
    )
    body = re.sub(r"<iframe.*?</iframe>", frame, "".join(body), flags=re.DOTALL)
    style = STYLE.read_text(encoding="utf-8").replace("FONTS", FONTS.as_uri())
    return f"""<!doctype html><html lang="en" data-theme="light" data-mode="light">
<head><meta charset="utf-8">
<title>{config["title"]}</title>{"".join(sheets).replace("../_static", "html/_static")}
<style>{style}{"".join(running)}</style>
<script>window.MathJax = {{loader: {{load: ["core", "input/tex", "output/chtml"]}},
  startup: {{typeset: false}},
  options: {{processHtmlClass: "tex2jax_process|mathjax_process|math|output_area"}}}};</script>
<script defer src="html/_static/mathjax/startup.js"></script></head>
<body><main class="bd-main"><div class="bd-content"><div class="bd-article-container">
<section class="title-page"><h1>{config["title"]}</h1><div class="cover"></div>
<p>{config["author"]}</p><p>Version {number} of {date.day} {date:%B %Y}</p>
<p>Licences: {licences[0]} for the code, {licences[1]} for text and figures.</p></section>
<nav class="book-contents"><h1>Contents</h1>{"".join(contents)}</nav>
{body}</div></div></main></body></html>"""


def photograph(browser, site):
    """The lab after some turns, as the address of a picture."""
    page = browser.new_page(viewport={"width": 1000, "height": 900}, device_scale_factor=1.5)
    page.goto((site / "lab.html").as_uri() + "#preset=eight-modes-with-a-penalty")
    page.locator("#readings dd:text-matches('^[0-9]')").first.wait_for()
    page.evaluate("lab.send({ turns: 1000, want: -1 })")
    page.locator("#readings dd:text-matches('^1,?000,')").wait_for(timeout=120_000)
    picture = page.screenshot(full_page=True, type="jpeg", quality=80)
    page.close()
    return embedded(picture)


def opened(browser, file):
    """`file` as it will be printed, and the (depth, title, id) of its bookmarks. Raises if it has a fault."""
    page = browser.new_page(viewport={"width": TEXT_WIDTH, "height": TEXT_HEIGHT}, color_scheme="light")
    page.set_default_timeout(300_000)
    page.emulate_media(media="print")
    page.goto(file.as_uri(), wait_until="load")
    page.evaluate(SCRIPT.read_text(encoding="utf-8"))
    bookmarks = page.evaluate("prepare()")
    if faults := page.evaluate(f"faults({TEXT_WIDTH})"):
        raise SystemExit("\n".join(["The book does not fit its paper:", *faults]))
    return page, bookmarks


def printed(page):
    return PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True, print_background=True)))


def places_of(reader):
    """The number of the page that each link leads to, by the id that it names."""
    return {
        name.lstrip("/"): reader.get_destination_page_number(place) + 1
        for name, place in reader.named_destinations.items()
    }


def pack(pages):
    """Give pictures back the palettes that they had in the notebooks: Chromium stores three bytes a dot."""
    for page in pages:
        for image in page["/Resources"].get("/XObject", {}).values():
            image = image.get_object()
            if image["/Subtype"] != "/Image" or image["/Filter"] != "/FlateDecode":
                continue
            dots = np.frombuffer(image.get_data(), np.uint8)
            if dots.size != 3 * image["/Width"] * image["/Height"] or image["/ColorSpace"][0] == "/Indexed":
                continue
            colours, index = np.unique(dots.reshape(-1, 3) @ [65536, 256, 1], return_inverse=True)
            if len(colours) <= 256:
                palette = np.stack([colours >> 16, colours >> 8, colours], -1).astype(np.uint8).tobytes()
                space = NameObject("/Indexed"), image["/ColorSpace"], NumberObject(len(colours) - 1)
                image[NameObject("/ColorSpace")] = ArrayObject([*space, ByteStringObject(palette)])
                image.set_data(index.astype(np.uint8).tobytes())


def finish(book, numbers, bookmarks, target):
    """Write the PDF with bookmarks, the contents' numbers, and the version's date in place of today's."""
    number, licences, date = version()
    places, writer = places_of(book), PdfWriter(clone_from=book)
    for page, over in zip(writer.pages, numbers.pages, strict=False):
        page.merge_page(over)
    pack(writer.pages)
    writer.add_metadata(
        {
            "/Title": f"{book.metadata.title}, version {number}",
            "/Author": "The wganlab authors",
            "/Subject": "Licences: " + ", ".join(licences),
            "/CreationDate": f"D:{date:%Y%m%d}000000Z",
            "/ModDate": f"D:{date:%Y%m%d}000000Z",
        }
    )
    parents = {}
    for depth, title, place in bookmarks:
        above = parents.get(max((d for d in parents if d < depth), default=None))
        parents = {d: item for d, item in parents.items() if d < depth}
        item = {"title": title, "page_number": places[place] - 1, "is_open": depth == 0}
        parents[depth] = writer.add_outline_item(**item, parent=above)
    writer.page_mode = "/UseOutlines"
    writer.write(target)


def main(only=()):
    wanted = [page for page in pages() if not only or page[2] in only]
    if unknown := set(only) - {name for _, _, name in wanted}:
        raise SystemExit(
            f"_toc.yml has no page {', '.join(sorted(unknown))}. Name pages without folder and ending."
        )
    if not (BUILD / "html" / "book" / "index.html").is_file():
        raise SystemExit("There is no built book: run `make book` first.")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("make pdf needs Chromium: install it, or set CHROMIUM to its path.")
    site, source, target = BUILD / "html", BUILD / "wganlab.html", BUILD / "wganlab.pdf"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", NETWORK]
        )
        lab = photograph(browser, site) if any(name == "lab" for *_, name in wanted) else ""
        source.write_text(document(wanted, site, lab), encoding="utf-8")
        page, bookmarks = opened(browser, source)
        book = printed(page)
        page.evaluate("number", places_of(book))
        finish(book, printed(page), bookmarks, target)
        browser.close()
    print(f"{target}: {len(book.pages)} pages, {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
