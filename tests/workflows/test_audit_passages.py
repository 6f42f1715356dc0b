"""An audit in words: hand-made findings of every kind, as text in 80 columns and as escaped HTML."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from upweight.display.blocks import FieldsView, Picture
from upweight.display.html import report
from upweight.display.terminal import render
from upweight.workflows.altered_cards import altered_cards
from upweight.workflows.audit_passages import Called, document, sentences
from upweight.workflows.audited import AlteredRow, Attack, Audit, Defence, FragileRow, Joint

BOUND = "half of what each column's own digits show"
COLUMNS = ("income", "age", "share")


def altered(row: Any, label: Any = "paid", columns: tuple[str, ...] = COLUMNS) -> AlteredRow:
    """Two of three cells moved."""
    before = np.array([50.123, -31.0, 0.25])
    return AlteredRow(row, label, columns, before, before + np.array([0.0005, -0.5, 0.0]))


FLIPPED = Attack(0, "paid", "paid", "failed", 0.4, -0.02, True, True, (altered(83),), 3, 0.5, (83, 4))
PAIR = Attack(1, "paid", "paid", "failed", 1.4, -0.1, True, True, (altered(83), altered(5)), 9, 0.5, (83, 5))
STAYS = Attack(2, "paid", "paid", "paid", 2.4, 2.2, False, True, (altered(83),), 100, 0.5, (83, 5))
LEFT = Attack(3, "failed", "paid", "paid", -1.0, -1.0, False, True, (), 0, 0.0, (), "the model says another label")
JOINT = Joint(
    (altered(83), altered(5)), 7, np.array([True, True, False]), np.array([1.0, 2.0, -1.0]), np.array([-0.1, 0.5, -1]),
    np.array([True, False, False]), 0.4, 0.5, True, 0.3, (83, 5),
)  # fmt: skip


def audit(attacks: tuple[Attack, ...] = (STAYS, PAIR, FLIPPED), **changes: Any) -> Audit:
    """Findings with every part filled."""
    found = Audit(
        attacks=attacks,
        together=(),
        fragile=(FragileRow(83, "paid", 0.7, 3, 2), FragileRow(5, "failed", 0.2, 1, 1)),
        defended=(Defence("none", "none", 2, 3, "as found"), Defence("encoded", "re-encoded", 0, 3, "cells rounded")),
        allowed=(1, 2),
        bound=BOUND,
        within=np.array([0.0005, 0.5, 0.005]),
        columns=COLUMNS,
        kind="classification",
        measurement="margin",
        unit="logit",
        model_name="LogisticRegression",
        training_rows=120,
        how="sign steps, each followed by a refit",
        meaning="the margin of the label that the model says",
        notes=("the first note", "the second note"),
    )
    return replace(found, **changes)


@pytest.mark.parametrize(
    ("attack", "changes", "said"),
    [
        (FLIPPED, {}, f"Prediction 0 can be flipped by changing 1 training row by {BOUND}; refitted: yes, it does."),
        (PAIR, {}, "Prediction 1 can be flipped by changing 2 training rows by"),
        (replace(FLIPPED, confirmed=False), {}, "refitted: yes, but that refit found no optimum."),
        (STAYS, {}, "Prediction 2 was not flipped by changing at most 2 training rows by"),
        (STAYS, {}, "by a refit its margin goes from 2.4 to 2.2 logits."),
        (STAYS, {"allowed": (1,)}, "Prediction 2 was not flipped by changing 1 training row by"),
        (LEFT, {}, "Prediction 3 was not attacked: the model says another label."),
        (
            STAYS,
            {"kind": "regression", "measurement": "prediction", "unit": "mg"},
            f"Prediction 2 moves from 2.4 to 2.2 mg when 1 training row changes by {BOUND}; by a refit.",
        ),
        (
            replace(LEFT, note="no column is a number"),
            {"kind": "regression"},
            "Prediction 3 was not moved: no column is a number.",
        ),
    ],
)
def test_the_first_sentence_is_the_answer(attack: Attack, changes: dict[str, Any], said: str) -> None:
    """Of one prediction: flipped or not, by how many rows, and what the refit came to."""
    found = audit((attack,), **changes)
    assert said in found.sentences[0]
    assert len(found.sentences) == 1


def test_several_predictions() -> None:
    """A count for each number of rows that was allowed; those that were not attacked are no part of it."""
    found = audit((STAYS, PAIR, FLIPPED, LEFT))
    first, second, third, last = found.sentences
    assert first == f"1 of 3 predictions can be flipped by changing 1 training row by {BOUND}; confirmed by refits."
    assert second.startswith("2 of 3 predictions can be flipped by changing at most 2 training rows by")
    assert third.startswith("The most fragile is prediction 0: with row 83 changed so, the refitted model says failed")
    assert last == "1 prediction was not attacked (3): the model says another label."
    assert [a.query for a in found.ranked] == [0, 1, 2, 3]


def test_flips_without_an_optimum_are_said() -> None:
    """A flip whose refit did not end is counted, and named as that."""
    found = audit((STAYS, replace(FLIPPED, confirmed=False)))
    assert "; by refits, 1 of which found no optimum." in found.sentences[0]


def test_none_attacked_and_none_flipped() -> None:
    """Neither is said to be confirmed."""
    assert audit((LEFT, LEFT)).sentences == ("None of 2 predictions was attacked: the model says another label.",)
    assert audit((STAYS, STAYS)).sentences[0] == (
        f"0 of 2 predictions can be flipped by changing 1 training row by {BOUND}."
    )


def test_all_together() -> None:
    """One change against all of them: which flip, with which rows, and the loss before and after."""
    found = audit((), together=(JOINT,))
    assert found.sentences == (
        f"1 of 2 predictions flips when 2 training rows (83 and 5) change by {BOUND}; by a refit.",
    )
    text = render(document(found, called=Called(queries=("a", "b", "c"))), unicode=True)
    assert "changed together; flipped: a" in text
    assert "one change against all predictions" in text


@pytest.mark.parametrize(
    "found",
    [audit(), audit((FLIPPED,)), audit((LEFT,), fragile=(), defended=()), audit((), together=(JOINT,))],
    ids=["several", "one", "none", "together"],
)
@pytest.mark.parametrize("show_rows", [True, False])
def test_pages_fit_80_columns(found: Audit, show_rows: bool) -> None:
    """As text, with the notes and how it was done; a section that would be empty is left out."""
    page = document(found, called=Called(show_rows=show_rows))
    text = render(page, 80, unicode=True)
    assert max(map(len, text.splitlines())) <= 80
    assert "sign steps, each followed by a refit" in text
    assert "the second note" in text
    titles = [section.title for section in page.sections]
    assert titles == (["Audit", "By fragility", "Defences", "Trust"] if found.fragile else ["By fragility", "Trust"])
    assert str(found) == render(document(found))


def test_cells_before_and_after() -> None:
    """As many digits as the change takes; a column that may not move is shown as it is, after those that moved."""
    cards = altered_cards("changed", (altered(83),), lambda row: {"town": "Bremen", "age": -31}, "row", True, 3)
    view = cards.groups[0].cards[0].view
    assert isinstance(view, FieldsView)
    assert view.fields == (
        ("income", "50.123 → 50.1235"), ("age", "−31 → −31.5"), ("town", "Bremen"),
    )  # fmt: skip
    assert view.marked == {"income", "age"}
    assert cards.groups[0].cards[0].short == "2 of 3 cells moved"


def test_without_rows_nothing_that_a_row_holds_is_shown() -> None:
    """Ids, columns and changes only."""
    found = audit()
    page = document(found, called=Called(row_of=lambda row: {"town": "Bremen"}, show_rows=False))
    text = render(page, unicode=True)
    for hidden in ("Bremen", "50.123", "−31", "label"):
        assert hidden not in text.replace("the label that", "")
    assert "income +0.0005 · ▸ age −0.5" in text


def test_more_rows_than_are_shown_are_counted() -> None:
    """Three cards, and how many more."""
    cards = altered_cards("changed", [altered(i) for i in range(10)], None, "row", True, 3)
    assert cards.groups[0].title == "changed; 7 more rows changed with them"
    assert [card.id for card in cards.groups[0].cards] == ["0", "1", "2"]


def test_pictures() -> None:
    """Pixel columns, and arrays of one or three channels, are drawn; another array is named by place."""
    names = tuple(f"pixel_{r}_{c}" for r in range(2) for c in range(3))
    before = np.arange(6.0)
    rows = [
        AlteredRow(1, 0, names, before, before + 0.5),
        AlteredRow(2, 0, (), before.reshape(1, 2, 3), before.reshape(1, 2, 3) - 0.25),
        AlteredRow(3, 0, (), np.zeros((3, 4, 5)), np.ones((3, 4, 5))),
    ]
    cards = altered_cards("changed", rows, None, "row", True, 3).groups[0].cards
    shapes = [np.shape(card.view.pixels) for card in cards if isinstance(card.view, Picture)]
    assert shapes == [(2, 3), (2, 3), (4, 5)]
    assert cards[1].short == "6 of 6 cells moved, by 0.25 at most"
    hidden = altered_cards("changed", rows, None, "row", False, 3).groups[0].cards
    assert not any(isinstance(card.view, Picture) for card in hidden)
    third = np.where(np.arange(6) == 2, 0.5, 0.0)
    flat = altered_cards("changed", [AlteredRow(4, 0, (), before, before + third)], None, "row", True, 3)
    assert flat.groups[0].cards[0].view == FieldsView((("[2]", "2 → 2.5"),), frozenset({"[2]"}), 0)


def test_a_row_that_did_not_move() -> None:
    """Says so."""
    still = AlteredRow(7, "paid", COLUMNS, np.ones(3), np.ones(3))
    (group,) = altered_cards("changed", [still], None, "row", True, 3).groups
    assert group.cards[0].short == "no cell moved"
    assert isinstance(group.cards[0].view, FieldsView)
    assert not group.cards[0].view.marked


def test_the_report_escapes_what_users_wrote() -> None:
    """Ids, labels, columns, names and the bound are text, whatever they hold; the notebook's blocks as well."""
    evil = "<script>alert(1)</script>"
    row = altered(evil, evil, (f"income{evil}", "age", "share"))
    attack = replace(FLIPPED, says=evil, says_after=f"then {evil}", altered=(row,))
    found = audit((attack,), bound=evil, model_name=evil, fragile=(FragileRow(evil, evil, 1.0, 1, 1),), notes=(evil,))
    called = Called(queries=(evil,), row=evil, row_of=lambda row: {"town": evil})
    for page in (report(document(found, called=called)), found._repr_html_()):
        assert "<script" not in page
        assert "&lt;script&gt;" in page


def test_the_report_has_links_and_no_script() -> None:
    """The same sections, each named in the list of links."""
    page = report(document(audit()))
    for anchor in ("audit", "fragility", "defences", "trust"):
        assert f'href="#{anchor}"' in page
        assert f'id="{anchor}"' in page
    assert "<script" not in page
    assert "50.123 → 50.1235" in page


def test_names_of_the_predictions() -> None:
    """The user's own ids stand in the sentences and tables."""
    called = Called(queries=("L-9", "L-8", "L-7"), row="loan")
    assert sentences(audit(), called)[-1].startswith("The most fragile is prediction L-9: with loan 83 changed so")
