"""Sphinx extension: what a shared link to a page shows: title, first sentences, the picture of the book.

Title and description are in each page. A picture needs an absolute address, so its tags are there only where
_config.yml gives the book's (`html_baseurl`), and without one `social.png` is not part of the site.
"""

import html
import re
from pathlib import Path

from docutils import nodes

PICTURE, SIZE = "social.png", (1200, 630)
ALT = "Level lines of an exact critic, eight clusters with a generator's points, and generated digits"
LONGEST = 200


def description(doctree):
    """The first paragraph, with its formulas as they are typed, cut at a word."""
    text = next((p.astext() for p in doctree.findall(nodes.paragraph) if p.astext().strip()), "")
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rsplit(" ", 1)[0].rstrip(",;:") + "…"


def tags(book, title, text, page, address=""):
    """The meta tags of `page`, as HTML; `address` is that of the book, or empty."""
    found = {"og:type": "article", "og:site_name": book, "og:title": title, "og:description": text}
    found["twitter:card"] = "summary_large_image" if address else "summary"
    if address:
        address = address.rstrip("/")
        width, height = map(str, SIZE)
        found |= {"og:url": f"{address}/{page}.html", "og:image": f"{address}/_static/{PICTURE}"}
        found |= {"og:image:width": width, "og:image:height": height, "og:image:alt": ALT}
    lines = [f'<meta name="description" content="{html.escape(text)}" />']
    for name, content in found.items():
        kind = "property" if name.startswith("og:") else "name"
        lines.append(f'<meta {kind}="{name}" content="{html.escape(content)}" />')
    return "\n".join(lines)


def add_tags(app, page, template, context, doctree):
    if doctree is not None:
        title = html.unescape(re.sub(r"<[^>]*>|\\[()]", "", context["title"]))
        found = tags(app.config.html_title, title, description(doctree), page, app.config.html_baseurl)
        context["metatags"] = context.get("metatags", "") + found


def drop_picture(app, exception):
    if not exception and app.builder.format == "html" and not app.config.html_baseurl:
        (Path(app.outdir) / "_static" / PICTURE).unlink(missing_ok=True)


def setup(app):
    app.connect("html-page-context", add_tags)
    app.connect("build-finished", drop_picture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
