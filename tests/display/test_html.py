"""The page and the notebook form: complete without script, escaped, self-contained, and the same as the terminal."""

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from upweight.display.blocks import Document, RowTable, Section, Sentence
from upweight.display.html import fragment, report, write_report
from upweight.display.terminal import render
from upweight.errors import FileError

VOID = {"meta", "img", "line", "path", "circle"}


class Page(HTMLParser):
    """Every element with its attributes, the readable text, and a check that each element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def same(text: str) -> str:
    """Text without what differs by renderer: line breaks, kinds of quotes."""
    return " ".join(text.replace("“", '"').replace("”", '"').split())


def strings(value: object) -> set[str]:
    """Every string that a block holds and that a reader must see."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, tuple):
        return set().union(*map(strings, value))
    names = getattr(value, "__dataclass_fields__", {})
    hidden = {"anchor", "alt", "ink", "pixels", "verdict", "align", "line", "points", "marked", "id_name", "letter"}
    return set().union(*(strings(getattr(value, name)) for name in names if name not in hidden), set())


def test_terminal_and_page_show_the_same(demo: Document, full: Document) -> None:
    """Every section, row id, label, number and sentence of a document stands in both, and in the notebook form."""
    for document in (demo, full):
        terminal = same(render(document, width=400, color=False, unicode=True))
        for text in (report(document), fragment(document)):
            page = same(Page(text).text)
            for said in strings(document):
                assert same(said) in terminal, said
                assert same(said) in page, said


def test_every_string_is_escaped(make_full: Callable[[str], Document]) -> None:
    """A script, a quote or an entity in any field of any block stays text."""
    attack = "<script>alert(1)</script>\"' onload=x &amp;"
    clean = Page(report(make_full("")))
    for text in (report(make_full(attack)), fragment(make_full(attack))):
        page = Page(text)
        assert not page.all("script")
        assert "<script" not in text
        assert "&amp;amp;" in text
        assert {tag for tag, _ in page.elements} <= {tag for tag, _ in clean.elements} | {"div", "p"}
        assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_the_page_asks_for_nothing_outside(full: Document) -> None:
    """No script, no style attribute, no address but data: and anchors of its own; under 100 kB."""
    text = report(full)
    page = Page(text)
    for tag, attributes in page.elements:
        assert "style" not in attributes, tag
        assert tag not in ("script", "link", "iframe", "object", "base")
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            address = attributes.get(name) or "#"
            assert address.startswith(("#", "data:image/png;base64,")), address
    outside = re.findall(r"https?://[^\s\"'<]+|url\(|@import", text)
    assert set(outside) <= {"http://www.w3.org/2000/svg"}  # a namespace, which nothing fetches
    assert len(text.encode()) < 100_000


def test_the_policy_names_the_style_that_is_there(full: Document) -> None:
    """The hash in the content security policy is the sha256 of the one style element, to the byte."""
    text = report(full)
    policy = next(m["content"] for m in Page(text).all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def test_the_page_can_be_read_by_structure(full: Document) -> None:
    """Language, landmarks, one h1, links to every section, captions, scopes, alternative texts, ids used once."""
    page = Page(report(full))
    tags = [tag for tag, _ in page.elements]
    assert page.all("html")[0]["lang"] == "en"
    assert all(tags.count(tag) == 1 for tag in ("header", "nav", "main", "footer", "h1"))
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    links = [(a["href"] or "")[1:] for a in page.all("a")]
    assert links == ["main", "overview", "why", "map", "trust"]
    assert set(links) <= set(ids)
    for _, attributes in page.elements:
        assert set((attributes.get("aria-labelledby") or "").split()) <= set(ids)
    assert all(th.get("scope") in ("row", "col") for th in page.all("th"))
    assert tags.count("caption") == tags.count("table")
    assert all(img.get("alt") for img in page.all("img"))


def test_sign_is_shape_and_word(full: Document) -> None:
    """Every coloured verdict carries its shape and its word."""
    for text in (report(full), fragment(full)):
        signs = re.findall(r'<span class="uw-v ([^"]+)"><span aria-hidden="true">(.)</span> ([a-z ]+)</span>', text)
        assert signs
        assert set(signs) <= {("uw-v-up", "▲", "helpful"), ("uw-v-down", "▼", "harmful")}


def test_nothing_prints_nan_inf_or_none(full: Document) -> None:
    """A point that is not finite is left out and counted; the page holds no nan, inf or None."""
    page = Page(report(full))
    assert not re.search(r"\b(nan|inf|None)\b", page.text)
    assert not any(value and re.search(r"\b(nan|inf|None)\b", value) for _, a in page.elements for value in a.values())
    assert "1 point left out" in page.text


def test_a_block_alone_is_a_fragment(full: Document) -> None:
    """A notebook shows a section or a single block; every rule of the style is scoped to it."""
    for shown in (full, full.sections[0], Sentence("hello")):
        text = fragment(shown)
        assert text.startswith('<div class="uw uw-fragment">')
        assert "<html" not in text
        assert not any(attributes.get("id") in ("main", "why") for _, attributes in Page(text).elements)
    (style,) = re.findall(r"<style>(.*?)</style>", fragment(Sentence("hello")), flags=re.DOTALL)
    rules = re.sub(r"@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)\}", r"\1", style)
    selectors = [s for rule in re.findall(r"([^{}]+)\{", rules) for s in re.split(r",(?![^(]*\))", rule)]
    assert all(selector.strip().startswith(".uw") for selector in selectors)


def test_two_plots_never_share_an_id(full: Document) -> None:
    """The same plot twice in a page has two names, so that its title and description stay its own."""
    twice = Document("t", sections=(full.sections[3], full.sections[3]))
    ids = [attributes["id"] for _, attributes in Page(report(twice)).elements if attributes.get("id")]
    assert len(ids) == len(set(ids))


def test_an_empty_table_says_none() -> None:
    """A table without rows holds one cell that says so."""
    page = Page(report(Document("t", sections=(Section("s", "s", (RowTable("c", (), ()),)),))))
    assert "none" in page.text


def test_the_report_is_written_whole_or_not_at_all(full: Document, tmp_path: Path) -> None:
    """The file holds the page; where it cannot be written, nothing is left and the error names it."""
    write_report(full, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == report(full)
    with pytest.raises(FileError, match=r"report\.html"):
        write_report(full, tmp_path / "absent" / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, by WCAG 2.2's definition of relative luminance."""

    def luminance(colour: str) -> float:
        digits = colour.lstrip("#")
        digits = "".join(c * 2 for c in digits) if len(digits) == 3 else digits
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_both_themes_can_be_read(full: Document) -> None:
    """Text and signs reach 4.5 : 1 on what they stand on, in the light and in the dark; the signs are UX.md 5's."""
    themes = [dict(re.findall(r"--(\w+):(#\w+)", rule)) for rule in re.findall(r"\{(--paper[^}]*)", report(full))]
    assert [(theme["up"], theme["down"]) for theme in themes] == [("#0b63a5", "#b84a00"), ("#56b4e9", "#f0a030")]
    for theme in themes:
        for text in ("ink", "quiet", "up", "down"):
            assert contrast(theme[text], theme["paper"]) >= 4.5
        assert contrast(theme["ink"], theme["panel"]) >= 4.5
        assert contrast(theme["ink"], theme["mark"]) >= 4.5
