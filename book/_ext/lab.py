"""Sphinx extension: the WGAN lab, one page that needs no other file, built out of `book/_lab`.

The lab is written as small ES modules, which `node --test` runs as they are. For the reader they become two
scripts inside one page: `core`, which the page also hands to its worker, and the page's own. `bundle` puts
the modules one after the other, each after those that it imports, and takes their `import` and `export` away:
so no two modules may give one name to two things, and imports may not rename. A policy in the page lets only
these two scripts and the style run, by their checksums, and nothing be fetched; it allows WebAssembly, whose
bytes are in the core.

    python book/_ext/lab.py lab.html        writes the page by itself

Pages of the book that hold the lab in a frame, or a picture that leads to one of its setups, get the script
`frame.js`; no other page does.
"""

import base64
import hashlib
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "_lab"
NAME = "lab.html"  # at the top of the site
IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:const|let|function)\b)", re.MULTILINE)
EXPORTED = re.compile(r"^export (?:const|let|function) (\w+)", re.MULTILINE)
COMMENT = re.compile(r"^\s*//.*\n|  // .*$", re.MULTILINE)
INDENT = re.compile(r"^\s+", re.MULTILINE)
JOINT = re.compile(r"(?<=[;{},(])\n")  # a line may go on here without its end
SPACE = re.compile(r"\s*([{};,])\s*|(?<=:)\s+")  # in a style sheet
DEFINED = re.compile(r"^(?:const|let|function) (\w+|[\[{][^\]}]*[\]}])", re.MULTILINE)
USES = re.compile(r'class="wganlab-lab"|<a [^>]*href="[^"]*\blab\.html#[^"]*">(?:<span[^>]*>)?<img ')
LEFT = re.compile(r"^\s*(?:import|export)\b.*", re.MULTILINE)


class LabError(Exception):
    """A module that cannot be put into the page."""


def imports(path):
    """{module: names} that the module at `path` imports."""
    found = {}
    for names, target in IMPORT.findall(path.read_text(encoding="utf-8")):
        module = (path.parent / target).resolve()
        if not module.is_file():
            raise LabError(f"{path.name} imports {target}, but there is no such file.")
        wanted = {name.strip() for name in names.split(",") if name.strip()}
        if lacking := wanted - set(EXPORTED.findall(module.read_text(encoding="utf-8"))):
            raise LabError(
                f"{path.name} imports {', '.join(sorted(lacking))}, but {target} exports no such name."
            )
        found[module] = wanted
    return found


def order(folder):
    """The modules of `folder`, each after those that it imports there."""
    graph = {}
    for path in sorted(folder.glob("*.mjs")):
        graph[path] = sorted(module for module in imports(path) if module.parent == folder)
    return list(TopologicalSorter(graph).static_order())


def body(path):
    """The module without `import`, `export`, comments and white space that a page need not carry."""
    source = EXPORT.sub("", IMPORT.sub("", path.read_text(encoding="utf-8")))
    if left := LEFT.search(source):
        raise LabError(
            f'{path.name} has {left[0].strip()!r}. Only `import {{ a, b }} from "./x.mjs";` on one line and '
            f"`export` before const, let or function can be bundled."
        )
    return squeezed(source)


def squeezed(script):
    return JOINT.sub("", INDENT.sub("", COMMENT.sub("", script))).strip()


def check_names(modules, taken=()):
    """Raise where two modules give one name to two things at their top level, or one of them is `taken`."""
    owners = dict.fromkeys(taken, "the core")
    for path in modules:
        source = EXPORT.sub("", path.read_text(encoding="utf-8"))
        for name in re.findall(r"\w+", " ".join(DEFINED.findall(source))):
            if name in owners:
                raise LabError(f"{owners[name]} and {path.name} both define {name}. Rename one.")
            owners[name] = path.name


def bundle(folder):
    """The scripts (core, page) of a lab's `folder`; the core gives the page what it imports, and `work`."""
    core, own = order(folder / "core"), order(folder / "page")
    wanted = sorted(
        {
            name
            for path in own
            for module, names in imports(path).items()
            if module.parent == folder / "core"
            for name in names
        }
    )
    check_names(core)
    check_names(own, wanted)
    first, second = ("\n".join(map(body, modules)) for modules in (core, own))
    given = ", ".join([*wanted, "work"])
    return (
        f'"use strict";\nconst Core = (() => {{\n{first}\nreturn {{ {given} }};\n}})();\n',
        f'"use strict";\n(() => {{\nconst {{ {", ".join(wanted)} }} = Core;\n{second}\n}})();\n',
    )


def checksum(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page(folder=FOLDER):
    """The lab as one HTML page; equal sources give equal pages."""
    core, own = bundle(folder)
    style = SPACE.sub(r"\1", (folder / "page" / "style.css").read_text(encoding="utf-8")) + "\n"
    parts = {"style": style, "core": core, "page": own}
    sums = {name: checksum("\n" + text) for name, text in parts.items()}  # each begins on a line of its own
    parts["policy"] = (
        f"default-src 'none'; script-src {sums['core']} {sums['page']} 'wasm-unsafe-eval'; "
        f"style-src {sums['style']}; worker-src blob:; img-src data:; base-uri 'none'; form-action 'none'"
    )
    html = (folder / "page" / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{(policy|style|core|page)\}", lambda match: parts[match[1]], html)


def finish(app, exception):
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir)
    (out / NAME).write_text(page(), encoding="utf-8")
    source = (FOLDER / "frame.js").read_text(encoding="utf-8")
    script = f"<script>\n{squeezed(source)}\n</script>\n</body>"
    for file in out.glob("*/**/*.html"):
        html = file.read_text(encoding="utf-8")
        if USES.search(html) and script not in html:
            file.write_text(html.replace("</body>", script), encoding="utf-8")


def setup(app):
    app.connect("build-finished", finish, priority=950)  # after offline.py, which looks for unused scripts
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python book/_ext/lab.py FILE.html")
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
