"""The parts of a page about predictions and rows: sentences, cards and tables.

Stands on explanation and display; pages and the demo put them on a page. Source: UX.md 1 and 6.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from upweight.display.blocks import CardGroup, Column, RowCard, RowCards, RowTable, RowView, TableRow
from upweight.display.row_view import row_view
from upweight.display.words import (
    Verdict,
    absent,
    count,
    group_title,
    measured,
    number,
    percent,
    short,
    size,
    verdict,
)
from upweight.workflows.explanation import Overall, Prediction, RowEffect

__all__ = [
    "flip_sentence",
    "now",
    "overall_table",
    "own_sentence",
    "question",
    "row_cards",
    "row_table",
    "said",
    "value",
]

VALUES = 3  # shown of a target of several numbers


def value(x: Any) -> str:
    """A label or a number as a reader writes it."""
    if x is None:
        return absent("empty")
    if isinstance(x, list | tuple | np.ndarray):
        more = len(x) - VALUES
        return ", ".join(value(one) for one in list(x)[:VALUES]) + (f" … ({len(x):,} numbers)" if more > 0 else "")
    return number(x) if isinstance(x, float) else str(x)


def said(prediction: Prediction) -> str:
    """What the model says: "1 (61 %)", "152"."""
    sure = "" if prediction.sure is None else f" ({percent(prediction.sure)})"
    return f"{value(prediction.says)}{sure}"


def question(prediction: Prediction, id_name: str, show_rows: bool = True) -> str:
    """The heading: what the model says of which row, and the truth where it is known."""
    truth = ""
    if show_rows and prediction.truth is not None:
        right = prediction.is_class and not prediction.wrong
        truth = " (rightly)" if right else f" (it is {value(prediction.truth)})"
    return f"Why does the model say {value(prediction.says)} for {id_name} {prediction.id}?{truth}"


def now(prediction: Prediction, show_rows: bool = True) -> str:
    """How sure the model is, the measurement at the fit (which would give the truth away), where the row stands."""
    parts = []
    if prediction.sure is not None:
        parts.append(f"it gives {value(prediction.says)} a probability of {percent(prediction.sure)}")
    if show_rows and prediction.now is not None and prediction.measurement != "prediction":
        parts.append(f"{measured(prediction.measurement)} here is {number(prediction.now, prediction.unit)}")
    if prediction.origin:
        parts.append(prediction.origin)
    return "; ".join(parts)


def flip_sentence(prediction: Prediction, id_name: str, named: int = 12) -> str | None:
    """What the smallest set found does, as a refit confirmed it; or that none was found.

    named: how many of its rows are named; where there are more than twice as many, none is.
    """
    flip = prediction.flip
    if flip is None:
        return None
    if not flip.found:
        return f"Smallest flip: {flip.sentence}"
    more = len(flip.rows) - named
    if more > named:
        rows = count(len(flip.rows), id_name)
    else:
        ids = ", ".join(str(row) for row in flip.rows[:named]) + (f" and {more} more" if more > 0 else "")
        rows = f"{id_name}{'' if len(flip.rows) == 1 else 's'} {ids}"
    does = "reads" if prediction.is_class else "predicts"
    return f"Without {rows} it {does} {value(flip.after)}. Really refitted: yes, it does."


def own_sentence(prediction: Prediction, id_name: str) -> str:
    """What the row asked about does to itself: it is no explanation, and stands apart from the rows that are."""
    if prediction.own is None:
        return ""
    effect = prediction.own.shown
    how = "refitted" if prediction.own.refit.change is not None else "estimated"
    return (
        f"{id_name.capitalize()} {prediction.id} is itself a training row, and is listed apart: without it "
        f"{measured(prediction.measurement)} here would {short(effect)} ({how})."
    )


def row_cards(prediction: Prediction, id_name: str, show_rows: bool = True, sentences: bool = True) -> RowCards:
    """The row asked about, and the rows for and against it and nearest to it, as they are."""
    for_name, against_name = prediction.sides
    groups = [
        _group(prediction, against_name, prediction.against, id_name, show_rows, sentences),
        _group(prediction, for_name, prediction.for_it, id_name, show_rows, sentences),
        CardGroup(
            "nearest, for comparison",
            tuple(_card(effect, None, id_name, show_rows, sentences) for effect in prediction.nearest),
        ),
    ]
    asked = RowCard(
        str(prediction.id),
        _view(prediction.row, show_rows, f"{id_name} {prediction.id}"),
        value(prediction.truth) if show_rows and prediction.truth is not None else "",
        short=f"says {said(prediction)}",
        id_name=id_name,
    )
    return RowCards(tuple(groups), asked)


def row_table(prediction: Prediction, id_name: str, show_rows: bool = True) -> RowTable:
    """The same rows, one a line: the label, the estimate, the refit."""
    effects = (*prediction.against, *prediction.for_it)
    what, unit = _heading(prediction.measurement, prediction.unit)
    rows = tuple(
        TableRow(
            str(effect.id), (*((value(effect.label),) if show_rows else ()), *_changes(effect, unit)), effect.verdict
        )
        for effect in effects
    )
    columns = (*((Column("label"),) if show_rows else ()), Column("estimate"), Column("refit"))
    return RowTable(f"without this {id_name} {what} here would{unit}", columns, rows, id_name)


def overall_table(overall: Overall, id_name: str, show_rows: bool = True) -> RowTable:
    """The rows that harm the held-out predictions most."""
    label = (Column("label"), Column("model says")) if show_rows else ()
    what, unit = _heading(overall.measurement, overall.unit)
    rows = tuple(
        TableRow(
            str(effect.id),
            (*((value(effect.label), _read(effect)) if show_rows else ()), *_changes(effect, unit)),
            effect.verdict,
        )
        for effect in overall.rows
    )
    return RowTable("", (*label, Column(f"without it {what} would{unit}"), Column("refit")), rows, id_name)


def _heading(measurement: str, unit: str) -> tuple[str, str]:
    """What would change, and its unit where the cells are not shares of it and not probabilities."""
    plain = measurement not in ("loss", "prob") and unit != "probability"
    return measured(measurement), f" ({unit})" if plain else ""


def _changes(effect: RowEffect, unit: str) -> tuple[str, str]:
    """Estimate and refit, without the unit where the heading names it."""
    both = (effect.estimate, effect.refit)
    return tuple(short(replace(e, unit="") if unit else e) for e in both)  # type: ignore[return-value]


def _read(effect: RowEffect) -> str:
    """What the model says of a training row, and how sure it is where that is not its label."""
    sure = "" if effect.sure is None else f" ({percent(effect.sure)})"
    return f"{value(effect.says)}{sure}"


def _group(
    prediction: Prediction,
    name: Verdict,
    effects: tuple[RowEffect, ...],
    id_name: str,
    show_rows: bool,
    sentences: bool,
) -> CardGroup:
    title = group_title(name, prediction.measurement, better=prediction.better)  # type: ignore[arg-type]
    return CardGroup(title, tuple(_card(e, name, id_name, show_rows, sentences) for e in effects), name)


def _card(effect: RowEffect, expected: Verdict | None, id_name: str, show_rows: bool, sentences: bool) -> RowCard:
    """`expected`: what the list says of its rows (None: it says nothing); a refit that says otherwise is spelt out."""
    real = effect.shown
    if expected is None:
        brief = f"similarity {number(effect.similarity, decimals=2)}"
        words = f"without it {measured(real.measurement)} would {short(real)}"
    else:
        brief = f"by {size(real)}" if verdict(real) == expected else short(real)
        words = f"estimated: {short(effect.estimate)}"
    if effect.refit.change is None:
        brief, words = f"{brief} (estimated)", f"refit: {short(effect.refit)}"
    return RowCard(
        str(effect.id),
        _view(effect.row, show_rows, f"training {id_name} {effect.id}"),
        value(effect.label) if show_rows else "",
        short=brief,
        sentence=words if sentences else "",
        verdict=None if expected in (effect.verdict, None) else effect.verdict,
        id_name=id_name,
    )


def _view(row: Mapping[str, Any], show_rows: bool, alt: str) -> RowView | None:
    return row_view(row, alt=alt) if show_rows and row else None
