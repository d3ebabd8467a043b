"""The primer and the glossary: each statement names who needs it, each term says where it stands.

A fault finder takes the text and returns what is wrong as text; each is seen red on a planted fault.
"""

import itertools
import json
import re
import unicodedata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"


def text_of(path):
    """A page's Markdown; of a notebook, with its code cells as fenced code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(source if kind == "markdown" else f"```\n{source}\n```" for kind, source in cells)


PAGES = {path.stem: text_of(path) for path in sorted((*BOOK.glob("*.ipynb"), *BOOK.glob("*.md")))}
# Of each label, the page on which it stands.
LABELS = {
    label: name
    for name, text in PAGES.items()
    for label in re.findall(r"^:label: (\S+)$|^\(([\w-]+)\)=$|\$\$ \(([\w-]+)\)$", text, re.MULTILINE)
    for label in filter(None, label)
}
REACHED = set(re.findall(r"book/(\w+)", (ROOT / "_toc.yml").read_text(encoding="utf-8")))
STATEMENT = re.compile(
    r"^:::\{prf:(?P<kind>\w+)\} (?P<title>[^\n]+)\n:label: (?P<label>\S+)\n(?P<body>.*?)^:::$"
    r"(?P<proof>\s+:::\{prf:proof\}\n.*?^:::$)?",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\{(prf:ref|doc|numref|eq|ref)\}`(?:[^`<]*<)?([\w-]+)>?`")
BOX = re.compile(r"^\*\*You need\*\*.*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
# Of each notion that a box may name, the sections of the primer to which it then links.
NOTIONS = {
    r"convex|concave|Jensen|median|projection": "convexity",
    r"(?<!conditional\s)expectation|variance|Cauchy|normal\sapproximation": "distributions",
    r"push-forward": "pushforward",
    r"chain rule|mean value theorem|spectral norm|singular value|norm of a matrix": "gradients",
    r"eigenvalue|Taylor": "eigenvalues gradients",
    r"measure theory|dominated|Fubini|Rademacher|conditional means": "limits",
}


def dangling(text, labels=LABELS, reached=REACHED):
    """Links that lead nowhere, or to a page that no reader reaches."""
    for role, target in LINK.findall(text):
        page = target if role == "doc" else labels.get(target)
        if page not in reached:
            yield f"{target} is on no page that is reached"


def statement_faults(text):
    """Statements of the primer that nobody needs, or that have neither a proof, short, nor a source."""
    for found in STATEMENT.finditer(text):
        needed = found["body"].partition("*Needed by*")[2]
        if not [label for _, label in LINK.findall(needed) if "-primer-" not in label]:
            yield f"{found['label']}: no proof of the book is named that needs it"
        if found["kind"] == "definition":
            continue
        if not found["proof"] and "{cite:" not in found["body"]:
            yield f"{found['label']}: neither a proof nor a source"
        if found["proof"] and len(found["proof"].strip().splitlines()) > 8 + 3:
            yield f"{found['label']}: its proof has more than eight lines"


def claim_faults(text):
    """Sections with fewer claims than statements."""
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        statements, claims = len(STATEMENT.findall(section)), len(re.findall(r"^ *claim\(", section, re.M))
        if claims < statements:
            yield f"{section.splitlines()[0]}: {statements} statements, {claims} claims"


def box_faults(text):
    """Notions that a box "You need" names without a link to the primer."""
    for box in BOX.findall(text):
        linked = re.findall(r"<primer-(\w+)>", box)
        plain = re.sub(r"\b[Nn]o (more )?measure\s+theory", "", box)
        for notion, sections in NOTIONS.items():
            named = re.search(notion, plain, re.IGNORECASE)
            if named and not set(sections.split()) & set(linked):
                yield f"{named[0]!r} without a link to the section {sections!r} of the primer"


def returned(primer, pages):
    """Pages whose proofs the primer names and whose box does not lead there."""
    for label in {label for _, label in LINK.findall(primer)} & set(LABELS):
        page = LABELS[label]
        if (boxes := BOX.findall(pages.get(page, ""))) and "<primer-" not in "".join(boxes):
            yield f"{page}, which has {label}, does not lead to the primer"


def entries(text):
    """Pairs (terms, definition) of a glossary."""
    for block in re.findall(r"^:::\{glossary\}\n(.*?)^:::$", text, re.MULTILINE | re.DOTALL):
        for entry in block.strip("\n").split("\n\n"):
            lines = entry.split("\n")
            yield [line for line in lines if line[0] != " "], [line for line in lines if line[0] == " "]


def key(term):
    """The words by which a term is sorted and found."""
    term = unicodedata.normalize("NFKD", term.replace(r"\varphi", "phi").casefold())
    return re.sub(r"^(the|a|an) ", "", re.sub(r"[^a-z0-9 ]", "", term.replace("-", " ")))


def glossary_faults(text):
    found = list(entries(text))
    for before, after in itertools.pairwise(key(terms[0]) for terms, _ in found):
        if before >= after:
            yield f"{after} stands behind {before}"
    named = [key(term) for terms, _ in found for term in terms]
    yield from (f"{name} is there twice" for name in sorted({n for n in named if named.count(n) > 1}))
    yield from (f"{terms[0]} has no link" for terms, said in found if not LINK.search(" ".join(said)))


# Definitions whose title is not itself a term: the terms under which they are found.
OTHER = {
    "def-02-density": "density",
    "def-10-measures": "agreement",
    "def-13-penalties": "R1, DRAGAN, WGAN-div",
    "def-13-funnels": "funnel pair",
}


def missing_terms(glossary, pages):
    """Definitions of the book whose title is no term, or to whose place no term leads."""
    terms = {key(term) for names, _ in entries(glossary) for term in names}
    linked = {label for _, label in LINK.findall(glossary)}
    for text in pages.values():
        for found in STATEMENT.finditer(text):
            if found["kind"] != "definition":
                continue
            for part in re.split(", | and ", OTHER.get(found["label"], found["title"])):
                if not {key(part), key(part).removesuffix("s")} & terms:
                    yield f"{part!r} of {found['label']} is no term"
            if found["label"] not in linked:
                yield f"no term leads to {found['label']}"


PRIMER, GLOSSARY = PAGES["primer"], PAGES["glossary"]


def test_primer():
    assert len(STATEMENT.findall(PRIMER)) > 25
    assert [*dangling(PRIMER), *statement_faults(PRIMER), *claim_faults(PRIMER)] == []
    assert list(returned(PRIMER, PAGES)) == []


def test_boxes():
    assert [f"{name}: {fault}" for name, text in PAGES.items() for fault in box_faults(text)] == []


def test_glossary():
    assert 80 <= len(list(entries(GLOSSARY))) <= 120
    assert [*dangling(GLOSSARY), *glossary_faults(GLOSSARY), *missing_terms(GLOSSARY, PAGES)] == []


def test_pages_are_in_the_table_of_contents():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    last = [chapter["file"] for chapter in toc["parts"][-1]["chapters"]]
    assert last.index("book/primer") + 1 == last.index("book/glossary") < last.index("book/notation")


GOOD = """## Means

:::{prf:lemma} Rule
:label: lem-primer-rule
It holds.

*Needed by* {prf:ref}`thm-07-kr`.
:::

:::{prf:proof}
Read it.
:::

```
claim("it", True)
```

**You need** {ref}`convex functions <primer-convexity>`. No measure theory.

:::{glossary}
apple
  A fruit; {prf:ref}`thm-07-kr`.

bee
  An insect; {doc}`07_duality`.
:::
"""


@pytest.mark.parametrize(
    ("faults", "before", "after"),
    [
        (statement_faults, "{prf:ref}`thm-07-kr`.\n:::\n\n:::{prf:proof}", "nobody.\n:::\n\n:::{prf:proof}"),
        (statement_faults, "thm-07-kr`.\n:::\n\n:::{prf:proof}", "lem-primer-x`.\n:::\n\n:::{prf:proof}"),
        (statement_faults, "\n:::{prf:proof}\nRead it.\n:::\n", ""),
        (statement_faults, "Read it.", "Read it.\n" * 10),
        (claim_faults, 'claim("it", True)', "print()"),
        (dangling, "07_duality", "07_nowhere"),
        (dangling, "thm-07-kr", "thm-07-gone"),
        (box_faults, "<primer-convexity>", "<words>"),
        (box_faults, "No measure theory", "Some measure theory"),
        (glossary_faults, "apple", "cherry"),
        (glossary_faults, "bee\n", "bee\napple\n"),
        (glossary_faults, "{doc}`07_duality`", "buzzing"),
    ],
)
def test_planted_faults_are_seen(faults, before, after):
    assert list(faults(GOOD)) == []
    assert before in GOOD
    assert list(faults(GOOD.replace(before, after))) != []


def test_a_definition_without_a_term_is_seen():
    page = {"page": ":::{prf:definition} Bees, The pear\n:label: def-x\nA pear.\n:::\n"}
    assert list(missing_terms(GOOD, page)) == ["'The pear' of def-x is no term", "no term leads to def-x"]
    assert list(missing_terms(GOOD.replace("`07_duality", "`def-x").replace("apple", "pear"), page)) == []


def test_a_page_that_does_not_lead_back_is_seen():
    assert list(returned(GOOD, {"07_duality": "**You need** nothing."})) != []
    assert list(returned(GOOD, {"07_duality": "**You need** {ref}`sets <primer-convexity>`."})) == []
