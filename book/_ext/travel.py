"""Sphinx extension: the notebook that a page offers for download reads well where nothing knows this book.

A plain viewer, Colab and VS Code show Markdown, formulas and outputs, but no directives and no references. So
when the pages are written, the copy of each notebook under `_sources` is made anew:

- theorems, definitions and exercises get their number and title as bold text; proofs, solutions and answers
  that are folded become `<details>`; other boxes become quotations;
- references become the text that the page shows ("Theorem 7.2", "chapter 7"), citations names and years, with
  the works at the end; a link into the book gets the book's address, if _config.yml has one, or its title;
- the first cell says how to install the package, and does so where it is missing.

Numbers are read out of the written pages, so that the copy says what they say.
"""

import html
import json
import re
from pathlib import Path

import nbformat
from pybtex.database import parse_file
from pybtex.richtext import Text
from sphinx.util import logging

UNSET = "https://github.com/executablebooks/jupyter-book"  # what Jupyter Book takes where nothing is set
LOGGER = logging.getLogger(__name__)
FENCE = re.compile(r"(?P<mark>:{3,})\{(?P<kind>[\w:]+)\}[ \t]*(?P<title>.*)")
# From left to right: fenced code, a role, code in a line. So a role inside code is code.
TOKEN = re.compile(
    r"^(?P<mark>`{3,}).*?^(?P=mark)[ \t]*$|\{(?P<role>[\w:]+)\}`(?P<text>[^`]*)`|`[^`\n]+`",
    re.MULTILINE | re.DOTALL,
)
TARGET = re.compile(r"(?P<text>.*?)\s*<(?P<label>[^<>]+)>", re.DOTALL)
TITLES = re.compile(
    r'<div class="(?:proof|exercise)[^"]*" id="([^"]+)">\s*<p class="admonition-title">'
    r'<span class="caption-number">([^<]+?)\s*</span>'
)
EQUATIONS = re.compile(r'id="equation-([^"]+)">\s*<span class="eqno">\((.+?)\)<a')
SECTION = re.compile(r'<h1><span class="section-number">([\d.]+?)\.?\s*</span>')
HEADING = re.compile(r"^\((?P<label>[\w-]+)\)=\n+#+ (?P<title>.*)", re.MULTILINE)


class Numbers:
    """What the written pages call each label, each page's title, and the works in the bibliography."""

    def __init__(self, source, pages, address):
        self.labels, self.titles, self.address, self.cited = {}, {}, address.rstrip("/"), []
        for page in sorted((source / "book").glob("*.ipynb")) + sorted((source / "book").glob("*.md")):
            text = page.read_text(encoding="utf-8")
            if page.suffix == ".ipynb":
                cells = nbformat.reads(text, as_version=4).cells
                text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
            self.titles[page.stem] = re.search(r"^# (.*)", text, re.MULTILINE)[1]
            written = pages / "book" / f"{page.stem}.html"
            shown = html.unescape(written.read_text(encoding="utf-8")) if written.is_file() else ""
            self.labels |= dict(TITLES.findall(shown)) | dict(EQUATIONS.findall(shown))
            self.labels |= {match["label"]: match["title"] for match in HEADING.finditer(text)}
            if section := SECTION.search(shown):
                self.labels |= {f"{match['label']}%": section[1] for match in HEADING.finditer(text)}
        self.works = parse_file(str(source / "book" / "references.bib")).entries

    def role(self, match):
        """The text that stands for a role."""
        role, text = match["role"], match["text"]
        target = TARGET.fullmatch(text)
        label = target["label"] if target else text
        if role.startswith("cite"):
            names = [self.cite(key.strip()) for key in text.split(",")]
            if role == "cite:t":
                return ", ".join("{} ({})".format(*name) for name in names)
            return "({})".format("; ".join("{}, {}".format(*name) for name in names))
        if role == "doc":
            return self.link(target["text"] if target else self.titles[label], f"{label}.html")
        if role == "numref":
            if not target:
                return self.labels[label]
            number = self.labels.get(f"{label}%") or self.labels[label].split()[-1]
            return target["text"].replace("%s", number)
        if role == "eq":
            return f"({self.labels[label]})"
        if role == "term":
            return target["text"] if target else text
        if role in ("prf:ref", "ref"):
            return target["text"] if target else self.labels[label]
        raise KeyError(role)

    def link(self, text, page):
        return f"[{text}]({self.address}/book/{page})" if self.address else f"*{text}*"

    def cite(self, key):
        """The names and the year of a work, which is remembered for the list at the end."""
        work = self.works[key]
        if key not in self.cited:
            self.cited.append(key)
        names = [" ".join(person.prelast_names + person.last_names) for person in work.persons["author"]]
        shown = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        return str(Text.from_latex(shown)), work.fields.get("year", "n.d.")

    def references(self):
        """The works that were cited, one a line."""
        lines = []
        for key in sorted(self.cited, key=lambda key: self.cite(key)):
            fields, (names, year) = self.works[key].fields, self.cite(key)
            where = fields.get("journal") or fields.get("booktitle") or fields.get("publisher") or ""
            address = fields.get("url") or (
                "eprint" in fields and f"https://arxiv.org/abs/{fields['eprint']}"
            )
            place = ". ".join(filter(None, (f"{names} ({year})", fields["title"], where)))
            lines.append(f"- {Text.from_latex(place)}." + (f" <{address}>" if address else ""))
        return "\n".join(lines)


def plain(text, numbers):
    """`text` without directives, roles and labels."""
    kept = []

    def token(match):
        if match["role"]:
            return numbers.role(match)
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    text = TOKEN.sub(token, text)
    text = re.sub(r"^\([\w-]+\)=\n+", "", text, flags=re.MULTILINE)
    text = re.sub(
        r"\n?\$\$[ \t]*\(([\w-]+)\)[ \t]*$",
        lambda match: f" \\tag{{{numbers.labels[match[1]]}}}\n$$",
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(r"!\[([^]]*)\]\((?!https?:)[^)]*\)", r"*(Picture: \1)*", text)
    text = re.sub(
        r"\[([^]]+)\]\((\w+)\.(?:md|ipynb)(#[\w-]+)?\)",
        lambda match: numbers.link(match[1], f"{match[2]}.html{match[3] or ''}"),
        text,
    )
    text = "\n".join(unfenced(text.split("\n"), numbers))
    return re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], text)


def unfenced(lines, numbers):
    """The lines, with every directive between colons as Markdown."""
    lines, out = iter(lines), []
    for line in lines:
        fence = FENCE.fullmatch(line.rstrip())
        if not fence:
            out.append(line)
            continue
        body = []
        for inner in lines:
            if inner.rstrip() == fence["mark"]:
                break
            body.append(inner)
        else:
            raise ValueError(f"{line!r} is not closed")
        options = {}
        while body and (option := re.fullmatch(r":(\w+):[ \t]*(.*)", body[0])):
            options[option[1]] = option[2]
            body.pop(0)
        out += box(fence["kind"], fence["title"], options, list(unfenced(body, numbers)), numbers)
    return out


def box(kind, title, options, body, numbers):
    """One directive as Markdown."""
    body = "\n".join(body).strip("\n").split("\n")
    folded = "dropdown" in options.get("class", "")
    if kind == "prf:proof":
        name = "Proof"
    elif kind == "solution":
        name = f"Solution to {numbers.labels[title]}"
    elif kind == "exercise" or kind.startswith("prf:"):
        name = numbers.labels[options["label"]] + (f" ({title})" if title else "")
    else:
        name = title or kind
    if folded:
        return ["<details>", f"<summary>{name}</summary>", "", *body, "", "</details>"]
    if kind == "prf:proof":
        return [f"*{name}.* {body[0]}", *body[1:], "", "∎"]
    if kind.startswith("prf:") or kind == "exercise":
        return [f"**{name}.**", "", *body]
    return ["> " + line if line else ">" for line in (f"**{name}**", "", *body)]


def install(repository):
    """The first cell: what a reader runs before the others."""
    where = f"git+{repository}" if repository else "wganlab-*.whl"
    return nbformat.from_dict(
        {
            "cell_type": "code",
            "id": "00",
            "execution_count": None,
            "outputs": [],
            "metadata": {"tags": ["install"]},
            "source": "# Needs the package wganlab, once: run this cell first"
            + ("" if repository else ", beside the wheel that the book's project builds")
            + ".\ntry:\n    import wganlab\nexcept ModuleNotFoundError:\n"
            + f"    get_ipython().run_line_magic('pip', 'install -q {where}')",
        }
    )


def travelled(notebook, numbers, repository=""):
    """The notebook as it is handed out."""
    numbers.cited = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = plain(cell.source, numbers)
        elif {"hide-input", "hide-cell"} & set(cell.metadata.get("tags", [])):
            cell.metadata["jupyter"] = {"source_hidden": True}  # JupyterLab
            cell.metadata["cellView"] = "form"  # Colab
    notebook.cells.insert(0, install(repository))
    if numbers.cited:
        last = {"cell_type": "markdown", "id": "references", "metadata": {}}
        notebook.cells.append(nbformat.from_dict(last | {"source": "## Works\n\n" + numbers.references()}))
    return notebook


def finish(app, exception):
    if exception or app.builder.format != "html":
        return
    source, pages = Path(app.srcdir), Path(app.outdir)
    repository = (app.config.html_theme_options or {}).get("repository_url", "")
    if repository == UNSET:
        repository = ""
    numbers = Numbers(source, pages, app.config.html_baseurl or "")
    for page in sorted((pages / "_sources" / "book").glob("*.ipynb")):
        original = nbformat.read(source / "book" / page.name, as_version=4)
        try:
            notebook = travelled(original, numbers, repository)
        except (KeyError, ValueError) as error:
            LOGGER.warning("book/%s cannot be made to travel: %s", page.name, error)
            continue
        text = json.dumps(notebook, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        page.write_text(text + "\n", encoding="utf-8")  # without indentation: less to download


def setup(app):
    app.connect("build-finished", finish, priority=850)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
