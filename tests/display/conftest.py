"""A document like the drawing in UX.md 1, and one with every block in it."""

from collections.abc import Callable

import numpy as np
import pytest

from upweight.display.blocks import (
    Block,
    CardGroup,
    Column,
    Command,
    Document,
    Facts,
    FieldsView,
    GradeView,
    Picture,
    Point,
    Reasons,
    RowCard,
    RowCards,
    RowTable,
    Scatter,
    Section,
    Sentence,
    TableRow,
    TextView,
)

FIVE = Picture(
    np.array([[int(c) * 16.0 for c in line] for line in ("01111", "01000", "01110", "00001", "00001", "01110")]),
    "a handwritten 5",
)
ONE = Picture(
    np.array([[int(c) * 16.0 for c in line] for line in ("00100", "01100", "00100", "00100", "00100", "01110")]),
    "a handwritten 1",
)


def demo_document() -> Document:
    """The drawing of UX.md 1, out of blocks."""
    harmful = (
        RowCard("832", ONE, "1", "by 11 %", verdict="harmful"),
        RowCard("930", FIVE, "5", "by 8 %", verdict="harmful"),
    )
    helpful = (RowCard("1611", FIVE, "5", "by 6 %", verdict="helpful"),)
    grade = GradeView("A", ("signs, ranking and sizes agree with refits",), checked=True)
    why: tuple[Block, ...] = (
        RowCards(
            (
                CardGroup("harmful: without it the loss here would fall", harmful, "harmful"),
                CardGroup("helpful: without it the loss here would rise", helpful, "helpful"),
            ),
            asked=RowCard("46", FIVE, "5"),
        ),
        Sentence("Without rows 832, 678, 247 it reads 5. Really refitted: yes, it does.", strong=True),
    )
    table = RowTable(
        "Rows that hurt the held-out digits most",
        (
            Column("label", "right"),
            Column("model says"),
            Column("without it the loss would"),
            Column("refit says"),
        ),
        (
            TableRow("1571", ("8", "8 (33 %)", "fall 0.57 %", "fall 0.55 %"), "harmful"),
            TableRow("1495", ("1", "9", "fall 0.45 %", "fall 0.46 %"), "harmful"),
        ),
    )
    return Document(
        "upweight demo",
        "handwritten digits from scikit-learn, nothing is downloaded",
        sections=(
            Section(
                "",
                "data",
                (
                    Facts(
                        (
                            ("data", "1,797 rows, 64 numbers each, 10 classes · 1,347 train, 450 held out"),
                            ("model", "logistic regression, right on 96.9 % of held-out rows"),
                        )
                    ),
                ),
            ),
            Section("Why did the model read held-out row 46 as a 1? (it is a 5)", "why", why),
            Section("Rows that hurt the held-out digits most", "rows", (table,), "(loss now: 0.156 a row)"),
            Section(
                "",
                "trust",
                (
                    Facts(
                        (
                            (
                                "Checked",
                                "12 rows really removed, model refitted: correlation 0.998, sign right 12 of 12, "
                                "real effect 1.01 times the estimate",
                            ),
                        )
                    ),
                    Reasons(grade),
                ),
            ),
            Section(
                "",
                "next",
                (
                    Facts((("Report", "demo/report.html     open it in a browser; it needs no internet"),)),
                    Command(
                        ".venv/bin/upweight explain demo/digits.csv --target label --model demo/model.skops --row 46"
                    ),
                ),
            ),
        ),
        footer="9 s. Nothing left this machine.",
    )


def full_document(said: str = "") -> Document:
    """Every block and every field once; said: put into each string that a user's data may reach."""
    grade = GradeView("C", (f"two rows have leverage above 0.2{said}",), (f"refit more rows{said}",))
    text = TextView(((f"the film was {said}", False), (f"dreadful{said}", True), (" from start to end", False)))
    fields = FieldsView((("bmi" + said, "0.0617"), ("bp" + said, "−0.02" + said)), frozenset({"bmi" + said}), more=12)
    cards = RowCards(
        (
            CardGroup(
                f"harmful: without it the loss here would fall{said}",
                (
                    RowCard(f"r7{said}", text, f"bad{said}", f"by 11 %{said}", f"removing r7 lowers{said}", "harmful"),
                    RowCard("r8", fields, "good", "by 3 %", "", "harmful"),
                ),
                "harmful",
            ),
            CardGroup("nearest, for comparison", (RowCard("r9", FIVE, "5", "", "nearest of all"),)),
        ),
        asked=RowCard(f"q1{said}", fields, f"bad{said}", id_name=f"query{said}"),
    )
    table = RowTable(
        f"Rows that matter{said}",
        (Column(f"label{said}"), Column("estimate", "right"), Column("refit", "right")),
        (
            TableRow(f"r7{said}", (f"bad{said}", "fall 11 %", "fall 10.8 %"), "harmful"),
            TableRow("r5", ("good", "rise 2 %", "– (no refit)"), "helpful"),
            TableRow("r6", ("good", "stay the same", "stay the same"), "no effect"),
        ),
        id_name=f"review{said}",
    )
    points = (
        Point(0.1, 0.11, f"r7{said}", "helpful"),
        Point(-0.2, -0.19, "r5", "harmful"),
        Point(0.0, 0.01, "r6"),
        Point(float("nan"), 0.3, "r0"),
    )
    scatter = Scatter(f"Estimate against refit{said}", f"refit{said}", f"estimate{said}", points, "y = x")
    atlas = Scatter("Influence against distance", "distance", "influence", points[:3], "y = 0")
    return Document(
        f"reviews.csv{said}",
        f"sentiment{said}",
        (f"3 labels look wrong{said}.", f"Without the 12 most harmful, the loss would fall 4 %{said}."),
        grade,
        (
            Section(f"Look at these first{said}", "overview", (Sentence(f"In common{said}", strong=True), table)),
            Section("Why", "why", (cards, RowCard("r2", ONE, "1", "by 2 %", "a sentence", "helpful"))),
            Section("Map", "map", (atlas, text, fields, FIVE), note=f"14 rows{said}"),
            Section(
                "Trust",
                "trust",
                (
                    scatter,
                    Reasons(grade),
                    Facts(((f"seed{said}", f"0{said}"),)),
                    Command(f"upweight check a.csv{said}", note=f"goes on{said}"),
                ),
            ),
        ),
        footer=f"24 Nov 2026{said}",
    )


@pytest.fixture
def make_full() -> Callable[[str], Document]:
    return full_document


@pytest.fixture
def demo() -> Document:
    return demo_document()


@pytest.fixture
def full() -> Document:
    return full_document()
