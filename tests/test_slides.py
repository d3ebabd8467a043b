"""Slides: what of a page stands on them; and the finished decks hold it, go by keys and ask for nothing.

The first part reads the built pages without a browser. The second makes every deck as `make slides` does and
looks at the files in Chromium: no slide overflows, on the screen, in print and on a phone.
"""

import importlib.util
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from test_browser import browser, require_site, tab  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("book_slides", ROOT / "book" / "_teach" / "slides.py")
slides = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(slides)

WEIGHT = 1_200_000  # bytes of a deck
CHAPTERS = 16


def in_browser(test):
    return pytest.mark.slow(pytest.mark.browser(test))


def text_of(html):
    return " ".join(BeautifulSoup(html, "html.parser").get_text(" ").split())


def read(body, question="<p>Which?</p>"):
    """The slides of a small page."""
    page = f"""<article><section><h1>1. Title</h1><p><em>Promise.</em></p><p>After</p><ul><li>Goal.</li></ul>
    <div class="note admonition"><p class="admonition-title">Before</p><p>Recap.</p></div>
    <section><h2>A question to open</h2>{question}</section>{body}</section></article>"""
    return slides.Reader(BeautifulSoup(page, "html.parser").article).slides


# ---- The rules, on small pages


def test_what_is_printed_becomes_a_table():
    table = slides.printed("a: b: ≈ 1, 2   (claimed: each below 3)\n  deep: 4\n✓ equal, bit for bit\n")
    rows = [text_of(str(row)) for row in BeautifulSoup(table, "html.parser").select("tr")]
    assert rows == ["claim value claimed", "a: b ≈ 1 , 2 each below 3", "deep 4", "equal, bit for bit ✓"]
    assert [table.count("<tbody>"), table.count('class="deep"')] == [2, 1]
    assert "claimed" not in slides.printed("a: 1")
    assert slides.printed("a  b\n1 < 2") == "<pre><span>a  b</span><span>1 &lt; 2</span></pre>"
    mixed = BeautifulSoup(slides.printed("n: 16\n0.5 ± 1\nexact: (1, 2)   (claimed: (1, 2))"), "html.parser")
    assert [text_of(str(part)) for part in mixed.select("span, td")] == [
        "n: 16",
        "0.5 ± 1",
        "(1 , 2)",
        "(1",
        "2)",
        "(1, 2)",
    ]


def test_the_answer_to_the_opening_question_is_not_seen():
    tip = '<div class="tip admonition"><p class="admonition-title">Commit</p><p>How many?</p></div>'
    for question in (tip, "<ol><li>How many?</li></ol>"):
        shown = read("", f"<p>Some are</p><p>many.</p>{question}<p>They are seven.</p>")[2:]
        assert "seven" not in "".join(block for slide in shown for block in slide.blocks)
        assert (
            text_of(" ".join(block for slide in shown for block in slide.blocks))
            == "Some are many. How many?"
        )
        assert "seven" in "".join(shown[-1].notes)


def test_prose_goes_into_the_notes_and_what_leads_in_onto_the_slide():
    theorem = """<div class="proof theorem admonition"><p class="admonition-title">
    <span class="caption-number">Theorem 1.1 </span>(Name)</p><section><p>It holds.</p></section></div>
    <p><strong>The idea: it must.</strong></p>
    <div class="proof dropdown admonition"><p class="admonition-title">Proof</p><p>Step.</p></div>"""
    cell = '<div class="cell"><div class="cell_output"><div class="output stream">a: 1</div></div></div>'
    body = f"<section><h2>Part</h2><p>Before.</p>{theorem}<p>After.</p><p>In numbers:</p>{cell}</section>"
    statement, claim = read(body)[3:]
    assert text_of("".join(statement.blocks)) == "It holds. The idea: it must."
    assert text_of(" ".join(statement.notes)) == "Part Before. Proof Step. After."
    assert (statement.section, text_of(statement.title)) == ("Part", "Theorem 1.1 (Name)")
    assert text_of("".join(claim.blocks)).startswith("In numbers: claim value a 1")


# ---- The chapters


@pytest.fixture(scope="module")
def chapters():
    """{name: (the page as it was built, its slides)}"""
    pages = sorted(require_site().glob("book/[0-9][0-9]_*.html"))
    pages = [page for page in pages if "_further" not in page.stem]
    assert len(pages) == CHAPTERS
    return {
        page.stem: (page.read_text(encoding="utf-8"), slides.Reader(slides.article_of(page)).slides)
        for page in pages
    }


def test_every_statement_picture_claim_and_question_is_in_the_deck(chapters):
    for name, (page, deck) in chapters.items():
        page = page[page.index("<article") : page.index("</article>")]
        page = re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)  # what is folded away
        lecture, _, rest = page.partition('<section id="exercises">')
        blocks = "".join(block for slide in deck for block in slide.blocks)
        titles = [text_of(slide.title) for slide in deck]
        pattern = (
            r'class="proof[^>]*>\s*<p class="admonition-title"><span class="caption-number">([^<]+?)\s*<'
        )
        stated = re.findall(pattern, lecture)
        assert stated, name
        assert [
            re.match(r"\w+ \d+\.\d+", title)[0] for title in titles if re.match(r"\w+ \d+\.\d+", title)
        ] == stated
        assert lecture.count("<img") == blocks.count("<img") == blocks.count("<figure>") > 2, name
        assert not re.findall(r'<img[^>]*alt=""', blocks), name
        ideas = len(re.findall(r"<p><strong>The idea:", lecture))
        assert ideas == blocks.count('class="idea"') > 0, name
        answers = rest.partition('<section id="quiz">')[2].count('class="dropdown admonition"')
        assert (
            answers == blocks.count('class="step box"') == sum(slide.kind == "quiz" for slide in deck) > 0
        ), name
        assert all(len(slide.blocks) > 1 for slide in deck if slide.kind == "quiz"), name
        misconceptions = len(re.findall(r'class="warning admonition"', lecture))
        assert misconceptions == sum(slide.kind == "misconception" for slide in deck), name
        assert [slide.kind for slide in deck].count("question") >= 1, name
        outputs = re.findall(r'<div class="output stream[^>]*>.*?<pre>(.*?)</pre>', lecture, re.DOTALL)
        lines = sum(output.rstrip().count("\n") + 1 for output in outputs)
        assert (
            lines == blocks.count('<th scope="row">') + len(re.findall("<pre>|</span><span>", blocks)) > 9
        ), name
        assert titles[-1] == "Summary", name


def test_all_prose_is_there_once_and_proofs_are_in_the_notes(chapters):
    for name, (page, deck) in chapters.items():
        shown = text_of("".join(block for slide in deck for block in slide.blocks))
        noted = text_of("".join(note for slide in deck for note in slide.notes))
        lecture = page[page.index("<article") : page.index('<section id="exercises">')]
        proofs = len(re.findall(r'<div class="proof (?:dropdown )?admonition"', lecture))
        assert noted.count("Proof ") >= proofs, name
        assert all(
            slide.notes or slide.kind in ("recap", "quiz", "question", "misconception") for slide in deck[:1]
        )
        for prose in re.findall(r"<p>([^<\\]{60,})</p>", lecture):
            prose = text_of(prose)
            assert (prose in shown) + (prose in noted) == 1, f"{name}: {prose}"


# ---- The finished decks


@pytest.fixture(scope="module")
def sheet(browser):  # noqa: F811
    """A page on which slides are laid out."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(120_000)  # a busy machine is slow, not wrong
    return page


@pytest.fixture(scope="module")
def decks(sheet, tmp_path_factory):
    """All decks, made as `make slides` makes them."""
    folder = tmp_path_factory.mktemp("slides")
    assert slides.build(sheet, require_site(), folder) == []
    files = sorted(folder.glob("[0-9]*.html"))
    assert len(files) == CHAPTERS
    return files


FAULTS = (ROOT / "book" / "_teach" / "slides_fit.js").read_text(encoding="utf-8") + "; faults()"


@in_browser
def test_no_slide_of_a_finished_deck_overflows(browser, decks):  # noqa: F811
    """Each file anew, as it is printed: every slide is there at once, answers too."""
    found = []
    for file in decks:
        with tab(browser, file.as_uri()) as (page, faults):
            page.goto(file.as_uri())
            page.emulate_media(media="print")
            found += [f"{file.stem}: {fault}" for fault in page.evaluate(FAULTS) + faults]
            assert page.locator(".math:not(:has(mjx-assistive-mml))").count() == 0
    assert found == []


@in_browser
def test_a_deck_is_one_light_file_that_asks_for_nothing(decks):
    for file in decks:
        text = file.read_text(encoding="utf-8")
        print(f"{file.stem:24}{len(text.encode()):>10,} bytes{text.count('<article'):>4} slides")
        assert len(text.encode()) <= WEIGHT, file.stem
        assert "default-src 'none'; img-src data:" in text
        assert (
            re.findall(r"""(?:src|href)=["'](?!data:|#)|url\(|@import|https?://(?!www\.w3\.org)""", text)
            == []
        )


@in_browser
def test_keys_walk_from_the_first_slide_to_the_last_and_back(browser, decks):  # noqa: F811
    for file in decks[:1] + decks[6:7]:
        with tab(browser, file.as_uri()) as (page, faults):
            page.goto(file.as_uri())
            slide = page.locator(".page:not([hidden])")
            count, answers = page.locator(".page").count(), page.locator(".step").count()
            for key, end in (("ArrowRight", count), ("ArrowLeft", 1)):
                for _ in range(count + answers - 1):
                    before, step = page.url, slide.locator(".step")
                    page.keyboard.press(key)
                    if step.count():  # an answer is hidden when its slide comes, or when one goes back to it
                        assert step.is_visible() == ((page.url == before) == (key == "ArrowRight"))
                assert page.url.endswith(f"#{end}")
                page.keyboard.press(key)
                assert page.url.endswith(f"#{end}")
            for keys, number in (
                ("End", count),
                ("Home", 1),
                ("1 2 Enter", 12),
                ("PageDown", 13),
                ("Space", 14),
            ):
                for key in keys.split():
                    page.keyboard.press(key)
                assert page.url.endswith(f"#{number}"), keys
            page.keyboard.press("o")
            page.get_by_role("link", name="Summary").press("Enter")
            page.wait_for_url(f"**#{count}")
            page.keyboard.press("?")
            assert page.get_by_role("dialog", name="Keys").is_visible()
            page.keyboard.press("Escape")
            assert not slide.locator(".notes").is_visible()
            page.keyboard.press("n")
            assert "Sources." in slide.locator(".notes").inner_text()
            assert page.locator(".page:not(:has(.notes > *))").count() == 0
            assert faults == []


@in_browser
def test_on_a_phone_a_slide_is_as_wide_as_the_screen_and_a_swipe_turns_it(browser, decks):  # noqa: F811
    swipe = """([from, to]) => ["touchstart", "touchend"].forEach((kind, k) => {
        const finger = new Touch({identifier: 1, target: document.body, clientX: [from, to][k], clientY: 9});
        const touch = new TouchEvent(kind, {bubbles: true, touches: [finger], changedTouches: [finger]});
        document.querySelector("main").dispatchEvent(touch);
    })"""
    for file in decks:
        with tab(browser, file.as_uri(), "phone") as (page, faults):
            page.goto(file.as_uri())
            wide = "pages.flatMap((_, k) => (show(k, 9), document.body.scrollWidth > 390 ? k + 1 : []))"
            assert page.evaluate(wide) == [], file.stem
            page.evaluate("show(0)")
            page.evaluate(swipe, [300, 100])
            assert page.url.endswith("#2")
            page.evaluate(swipe, [100, 300])
            assert page.url.endswith("#1")
            page.get_by_role("button", name="forth").click()
            assert page.url.endswith("#2")
            assert faults == []


@in_browser
def test_a_printed_deck_has_a_page_for_each_slide(browser, decks):  # noqa: F811
    file = decks[6]
    with tab(browser, file.as_uri()) as (page, _):
        page.goto(file.as_uri())
        printed = page.pdf(prefer_css_page_size=True, print_background=True)
        assert len(re.findall(rb"/Type\s*/Page\b", printed)) == page.locator(".page").count()
        assert set(re.findall(rb"/MediaBox\s*\[([^\]]*)\]", printed)) == {b"0 0 960 540"}


@in_browser
@pytest.mark.parametrize("mode", ["light", "dark", "phone"])
def test_axe_finds_nothing_serious(browser, decks, mode):  # noqa: F811
    from test_lab_page import axe_script

    run = "axe.run().then(({violations}) => violations.map(v => [v.id, v.impact, v.nodes[0].html]))"
    with tab(browser, decks[10].as_uri(), mode) as (page, _):
        page.goto(decks[10].as_uri())
        page.keyboard.press("n")
        page.evaluate("pages.forEach(page => { page.hidden = false; fit(page); })")  # all at once
        page.evaluate(axe_script())
        assert [one for one in page.evaluate(run) if one[1] in ("serious", "critical")] == []


# ---- Long slides, and faults on purpose


def laid_out(sheet, *blocks):
    title = slides.Slide("title", "Deck", "", ["<p>First.</p>"], [])
    planted = slides.Slide("point", "Too much", "", list(blocks), ["<p>Note.</p>"])
    text, faults = slides.deck(sheet, "Deck", slides.draft([title, planted]))
    return BeautifulSoup(text, "html.parser"), faults


@in_browser
def test_a_long_list_is_divided_and_nothing_is_lost(sheet):
    items = "".join(
        f"<li>Item {k} is a sentence that has some length, for it must fill a line.</li>" for k in range(60)
    )
    deck, faults = laid_out(sheet, "<p>It begins so:</p>", f"<ol>{items}</ol>")
    assert faults == []
    assert re.findall(r"Item (\d+) is", deck.get_text()) == [str(k) for k in range(60)]
    lists = deck.select("ol:has(li)")
    assert len(lists) > 4
    firsts = [int(part.get("start", 1)) for part in lists]
    assert firsts == [1 + int(re.search(r"Item (\d+)", part.li.get_text())[1]) for part in lists]
    assert [title.get_text() for title in deck.select("h2")][:3] == [
        "Too much",
        "Too much (2)",
        "Too much (3)",
    ]


PLANTED = {
    "too tall": f"<p>{'word ' * 900}</p>",
    "reaches out": '<p style="margin-left: 1300px">Out</p>',
    "too wide": rf'<div class="math">\[{"a + b + " * 60} c\]</div>',
    "without alt text": '<figure><img src="data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22/%3E"></figure>',
}


@in_browser
@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_overflow_is_told_with_its_name(sheet, fault):
    _, faults = laid_out(sheet, PLANTED[fault])
    assert any(one.startswith('slide 2, "Too much"') and fault in one for one in faults), faults
    assert laid_out(sheet, "<p>Little.</p>")[1] == []


@in_browser
def test_a_formula_with_an_error_stops_the_build(sheet):
    with pytest.raises(Exception, match="Undefined control sequence"):
        laid_out(sheet, r'<span class="math">\(\nosuch\)</span>')
