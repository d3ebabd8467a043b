"""Sphinx extension: pages that need nothing from outside, over http and from a folder.

A default Jupyter Book asks a content network for MathJax and Thebe on every page and ships 1.5 MB of icon
JavaScript which it does not need, because the theme's web fonts draw the same icons. Once the pages are
written, this extension

1. copies the parts of MathJax 3.2.2 that pages load out of the PyPI package `sphinx-mathjax-offline`, a store
   of files here and no extension: each page would load a script under html_static_path, formulas or not;
2. takes the tags of Thebe, of the icon JavaScript, of the search index and of sphinx-design out of every page
   that does not use them, each script's second tag, and from two pages what only notebooks use;
3. takes off the spans around names, punctuation and operators in code, which are then printed in the text's
   own colour, and blanks at the ends of lines: an eighth of the site; also spans in links and at the start of
   code that no rule speaks of, and the one `id` that all theorems share;
4. deletes what nothing refers to any more: those scripts, source maps, templates, translations, rules of
   style sheets (two thirds of the theme's), icons, the pages of chapters that are gone, and pictures of
   earlier builds;
5. writes the search index without the blanks between its entries: a sixth of it.
"""

import json
import logging
import re
import shutil
import sysconfig
from pathlib import Path

import pydata_sphinx_theme
from fontTools import subset

# mathjax3_config.loader in _config.yml names what a page loads. The usual file, tex-chtml.js, is half as
# large again, for a menu that this book does not show. Rare commands (boldsymbol) load an extension on use.
MATHJAX = (
    "startup.js",
    "core.js",
    "input/tex.js",
    "input/tex/extensions",
    "output/chtml.js",
    "output/chtml/fonts/tex.js",
    "output/chtml/fonts/woff-v2",
    "a11y/assistive-mml.js",
)
UNUSED = (
    "**/*.map",
    "scripts/fontawesome.js*",
    "vendor/fontawesome/webfonts/*",
    "sphinx-thebe.*",
    "*webpack-macros.html",
    "locales",  # the theme's words in fifty languages, as it was compiled from them
    "cover.png",  # pages show the copy in _images
    "mathjax/input/tex/extensions/all-packages.js",  # MathJax loads them one by one
)
TAG = re.compile(r"[ \t]*<script\b[^>]*>.*?</script>[ \t]*\n?|[ \t]*<link\b[^>]*>[ \t]*\n?", re.DOTALL)
UNWANTED = re.compile(r"thebe|scripts/fontawesome\.js", re.IGNORECASE)
SEARCH = re.compile(r"[\"/](searchtools|language_data|searchindex)\.js")
NOTEBOOK = re.compile(r"mystnb|clipboard|copybutton|togglebutton|proof\.css|exercise\.css")
DESIGN = re.compile(r"sphinx-design|design-tabs")
BARE = ("search.html", "gallery.html")  # no cell, no proof, nothing to copy or to fold
CARDS = re.compile(r'class="(?:[^"]*\s)?sd-')  # what sphinx-design draws
PLAIN = re.compile(  # names, punctuation, spaces, operators; what no rule speaks of
    r'<span class="(?:[npwo]|doc|std std-(?:num)?ref)">([^<]*)</span>|(?<=<pre>)<span></span>'
    r'| id="proof-content"'
)
BLANK = re.compile(r"(<(pre|script|style|textarea)\b.*?</\2>)|[ \t]*\n\s*", re.DOTALL)
FONT = re.compile(r"@font-face\{[^}]*Font Awesome[^}]*?(fa-(?:solid|regular|brands)-\d+)\.[^}]*\}")
RULE = re.compile(r"([^{};]*)\{[^{}]*\}")
NESTED = re.compile(r"\([^()]*\)|\[[^\]]*\]")
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
COMPOSED = ("bs-",)  # classes of which scripts know the start only


def mathjax_store():
    """The folder of MathJax's files in the installed package; its name has hyphens, so no import finds it."""
    store = Path(sysconfig.get_path("purelib")) / "sphinx-mathjax-offline" / "static" / "mathjax"
    if not store.is_dir():
        raise FileNotFoundError(
            f"{store} is missing; install the book's packages: pip install -r requirements.txt"
        )
    return store


def copy_mathjax(static):
    """Copy what pages load and may load later into `static`/mathjax, unless it is there already."""
    store = mathjax_store()
    for name in MATHJAX:
        source, target = store / name, static / "mathjax" / name
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)


def clean(html, name=""):
    """The page without unwanted tags and spans, each script once; the search's index only where used."""
    seen, cards = set(), CARDS.search(html)

    def keep(match):
        tag = match[0].strip()
        head = tag[: tag.index(">") + 1]
        if UNWANTED.search(head) or "THEBE_JS_URL" in tag or "text/x-thebe-config" in head:
            return ""
        if (name != "search.html" and SEARCH.search(head)) or (name in BARE and NOTEBOOK.search(head)):
            return ""
        if DESIGN.search(head) and not cards:
            return ""
        if tag.startswith("<script"):
            # one file is asked for with and without a checksum in its query
            source = re.search(r'\bsrc="([^"?]*)', head)
            identity = source[1] if source else tag
            if identity in seen:
                return ""
            seen.add(identity)
        return match[0]

    html = BLANK.sub(lambda blank: blank[1] or "\n", TAG.sub(keep, html))
    return PLAIN.sub(r"\1", html)


def drop_rules(out):
    """Take out of each style sheet the rules whose classes occur nowhere on the site: most of the theme's."""
    users = [*out.rglob("*.html"), *(out / "_static").rglob("*.js")]
    used = set(re.findall(r"[\w-]+", "".join(file.read_text(encoding="utf-8") for file in users)))

    def applies(selector):
        classes = re.findall(r"\.([a-zA-Z_-][\w-]*)", selector)
        return "\\" in selector or all(name in used or name.startswith(COMPOSED) for name in classes)

    def cut(rule):
        selectors = COMMENT.sub("", rule[1])
        while selectors != (selectors := NESTED.sub("", selectors)):  # :not(.a) needs no .a
            pass
        kept = selectors.lstrip().startswith("@") or any(map(applies, selectors.split(",")))
        return rule[0] if kept else "".join(COMMENT.findall(rule[1]))

    for sheet in (out / "_static").rglob("*.css"):
        css = RULE.sub(cut, sheet.read_text(encoding="utf-8"))
        sheet.write_text(re.sub(r"@(?:media|supports)[^{};]*\{\s*\}", "", css), encoding="utf-8")


def drop_icons(out):
    """Leave in the icon fonts the icons of which the theme's style sheet still speaks: 4 kB of 160."""
    sheet = out / "_static" / "styles" / "pydata-sphinx-theme.css"
    css = sheet.read_text(encoding="utf-8")
    fonts = out / "_static" / "vendor" / "fontawesome" / "webfonts"
    theme = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"

    def cut(rule):
        if "brands" in rule[1]:
            return ""
        font = subset.load_font(theme / "vendor/fontawesome/webfonts" / f"{rule[1]}.ttf", subset.Options())
        subsetter = subset.Subsetter()
        subsetter.populate(unicodes=[int(code, 16) for code in re.findall(r"\\(f[0-9a-f]{3})", css)])
        subsetter.subset(font)
        fonts.mkdir(parents=True, exist_ok=True)
        font.save(fonts / f"{rule[1]}.ttf")
        return re.sub(r'url\([^)]*woff2\) format\("woff2"\),', "", rule[0])

    logging.getLogger("fontTools").setLevel(logging.WARNING)
    sheet.write_text(FONT.sub(cut, css), encoding="utf-8")


def pack_index(out):
    file = out / "searchindex.js"
    head, index = file.read_text(encoding="utf-8").split("(", 1)
    index = json.loads(index.rstrip(";\n)"))
    file.write_text(f"{head}({json.dumps(index, separators=(',', ':'))})", encoding="utf-8")


def finish(app, exception):
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir)
    pack_index(out)
    copy_mathjax(out / "_static")
    for page in out.glob("*/**/*.html"):  # a chapter that was renamed leaves its old page behind
        name = page.relative_to(out).with_suffix("").as_posix()
        if name not in app.env.all_docs and not name.startswith("_"):
            page.unlink()
    shown = set()
    for page in out.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        shown |= set(re.findall(r"_images/([\w.-]+)", html))
        if (cleaned := clean(html, page.name)) != html:
            page.write_text(cleaned, encoding="utf-8")
    for picture in (out / "_images").glob("*"):
        if picture.name not in shown:
            picture.unlink()
    for pattern in UNUSED:
        for file in (out / "_static").glob(pattern):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    drop_rules(out)
    drop_icons(out)


def setup(app):
    # after the extensions that copy their files at the same event
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
