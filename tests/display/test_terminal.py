"""The terminal: the drawing of UX.md 1 to the character, its width, ASCII, colour, and nothing that a row can break."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from upweight.display.blocks import (
    CardGroup,
    Column,
    Command,
    Document,
    Facts,
    Picture,
    RowCard,
    RowCards,
    RowTable,
    Section,
    Sentence,
    TableRow,
)
from upweight.display.terminal import render
from upweight.display.text import width_of

GOLDEN = """\
upweight demo · handwritten digits from scikit-learn, nothing is downloaded

  data      1,797 rows, 64 numbers each, 10 classes · 1,347 train, 450 held out
  model     logistic regression, right on 96.9 % of held-out rows

  Why did the model read held-out row 46 as a 1? (it is a 5)
    asked         ▼ harmful: without it the loss here would fall
     █▀▀▀         row 832  "1"  by 11 %   row 930  "5"  by 8 %
     ▀▀▀▄          ▄█                      █▀▀▀
     ▄▄▄▀           █                      ▀▀▀▄
    row 46  "5"    ▄█▄                     ▄▄▄▀
                  ▲ helpful: without it the loss here would rise
                  row 1611  "5"  by 6 %
                   █▀▀▀
                   ▀▀▀▄
                   ▄▄▄▀
    Without rows 832, 678, 247 it reads 5. Really refitted: yes, it does.

  Rows that hurt the held-out digits most                (loss now: 0.156 a row)
     row  label  model says  without it the loss would  refit says
    1571      8  8 (33 %)    fall 0.57 %                fall 0.55 %  ▼ harmful
    1495      1  9           fall 0.45 %                fall 0.46 %  ▼ harmful

  Checked   12 rows really removed, model refitted: correlation 0.998, sign
            right 12 of 12, real effect 1.01 times the estimate
  Grade     A   checked against refits and agrees
                signs, ranking and sizes agree with refits

  Report    demo/report.html     open it in a browser; it needs no internet
  Next      .venv/bin/upweight explain demo/digits.csv --target label \\
              --model demo/model.skops --row 46

  9 s. Nothing left this machine.
"""
ANSI = re.compile(r"\x1b\[[0-9;]*m")
NASTY = [
    " nan",
    " <script>alert(1)</script>",
    " [bold]markup[/bold] :smile:",
    " \x1b[31mred\x07\r\n\ttab",
    " 手書き数字の画像がここにあります",
    " e\u0301\u200d👩\u200d👩\u200d👧",
    " \u202ereversed",
    " " + "x" * 200,
]


def test_the_drawing_to_the_character(demo: Document) -> None:
    """The demo's shape is expressible in blocks, and its widest line has exactly 80 cells."""
    text = render(demo, width=80, color=False, unicode=True)
    assert text == GOLDEN
    assert max(map(width_of, text.splitlines())) == 80


def test_colour_is_laid_over_the_same_characters(demo: Document) -> None:
    """Without its escapes the coloured text is the plain text; plain text holds no escape."""
    coloured = render(demo, width=80, color=True, unicode=True)
    assert "\x1b[" in coloured
    assert ANSI.sub("", coloured) == GOLDEN


def test_no_colour_when_piped_or_asked(demo: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off where stdout is no terminal; off on a terminal where NO_COLOR is set; on otherwise, CI or not."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert "\x1b" not in render(demo)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert "\x1b" in render(demo)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in render(demo)


def test_ascii_holds_ascii_only(make_full: Callable[[str], Document], demo: Document) -> None:
    """Where the terminal is not UTF-8, every character is ASCII, pictures and signs too, and signs keep words."""
    text = render(demo, color=False, unicode=False)
    assert text.isascii()
    assert "v harmful" in text
    assert "^ helpful" in text
    assert " @===" in text
    for said in NASTY:
        assert render(make_full(said), color=False, unicode=False).isascii()


@pytest.mark.parametrize("width", [24, 33, 40, 60, 80, 120])
@pytest.mark.parametrize("unicode", [True, False])
def test_never_wider_than_asked(
    make_full: Callable[[str], Document], demo: Document, width: int, unicode: bool
) -> None:
    """No line passes the width, whatever a user's data holds: long words, wide letters, control characters."""
    for document in (demo, make_full(""), *map(make_full, NASTY)):
        lines = render(document, width=width, color=False, unicode=unicode).splitlines()
        assert max(map(width_of, lines)) <= width


def test_what_a_terminal_would_obey_is_gone(make_full: Callable[[str], Document]) -> None:
    """Escapes, bells, carriage returns and text direction marks in the data reach no terminal; markup is text."""
    text = render(make_full(NASTY[3]), color=False, unicode=True)
    assert not set(text) & {"\x1b", "\x07", "\r", "\t"}
    assert "\u202e" not in render(make_full(NASTY[6]), color=False, unicode=True)
    assert "[bold]markup[/bold] :smile:" in render(make_full(NASTY[2]), width=200, color=True, unicode=True)


def test_nothing_prints_nan_inf_or_none(full: Document) -> None:
    """Absent values are a dash with its reason; a point that is not finite is left out and counted."""
    for unicode in (True, False):
        text = render(full, color=False, unicode=unicode)
        assert not re.search(r"\b(nan|inf|None)\b", text)
        assert "1 point left out" in " ".join(text.split())


def test_many_pictures_take_captions_of_two_lines() -> None:
    """What does not fit in one row of pictures is laid out in columns of one width, every id shown."""
    picture = Picture(np.eye(8), "a line")
    cards = tuple(RowCard(str(i), picture, "5", "by 11 %") for i in range(1000, 1009))
    group = RowCards((CardGroup("harmful: without it the loss here would fall", cards, "harmful"),))
    text = render(Document("t", sections=(Section("Why", "why", (group,)),)), color=False, unicode=True)
    captions = [line for line in text.splitlines() if "row 10" in line]
    assert [line.count("row") for line in captions] == [4, 4, 1]
    assert captions[0].split("   ")[1].strip().startswith("row 1000")
    assert sum(line.count("by 11 %") for line in text.splitlines()) == len(cards)


def test_a_table_too_wide_for_the_page_turns_into_lines() -> None:
    """Where no column can be narrowed without cutting a word, each row is written out with its columns' names."""
    table = RowTable("t", tuple(Column(f"column{i}") for i in range(9)), (TableRow("7", ("value",) * 9, "harmful"),))
    text = render(Document("t", sections=(Section("s", "s", (table,)),)), width=60, color=False, unicode=True)
    assert "row: 7, column0: value, column1: value" in " ".join(text.split())
    assert "▼ harmful" in text
    with pytest.raises(ValueError, match="table 'u': row '9' has another number of cells than the 1 columns"):
        RowTable("u", (Column("a"),), (TableRow("9", ("1", "2")),))


def test_empty_lists_say_none() -> None:
    """A list or a table without rows says so."""
    section = Section("s", "s", (RowCards((CardGroup("helpful", (), "helpful"),)), RowTable("t", (), ())))
    text = render(Document("t", sections=(section,)), color=False, unicode=True)
    assert text.count("none") == 2


def test_facts_grades_and_commands_share_a_column(full: Document) -> None:
    """Their values start in one column, also where a label is longer than the usual ten cells."""
    section = Section("", "x", (Facts((("a longer label", "one"),)), Command("upweight demo", "Next", "a note")))
    lines = render(Document("t", sections=(section,)), color=False, unicode=True).splitlines()
    assert {line.index(word) for line in lines for word in ("one", "upweight", "a note") if word in line} == {19}


def test_the_grade_stands_in_the_title_line(full: Document) -> None:
    """Title left, grade right, to the last cell; under it where both do not fit."""
    graded = replace(full, grade=replace(full.grade, letter="A", checked=True))
    first = render(graded, color=False, unicode=True).splitlines()[0]
    assert first.endswith("Grade A  ● checked")
    assert width_of(first) == 80
    assert "Grade A  * checked" in render(graded, width=30, color=False, unicode=False)


def test_a_strong_sentence_is_bold_only_in_colour() -> None:
    """The answer of a section stands out where there is colour, and is plain text elsewhere."""
    document = Document("t", sections=(Section("", "s", (Sentence("yes", strong=True),)),))
    assert "\x1b[1m  yes" in render(document, color=True)
    assert "\x1b" not in render(document, color=False)
