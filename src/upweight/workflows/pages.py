"""An explanation as what people read: the report (Overview, Why, Map, Trust) and the shorter answer of a terminal.

Stands on passages and display; the commands and the demo stand on it. Source: UX.md 4 and 6.
"""

from collections.abc import Sequence

import numpy as np

from upweight.display.blocks import Block, Document, Facts, GradeView, Point, Reasons, Scatter, Section, Sentence
from upweight.display.words import Effect, count, measured, number, verdict
from upweight.workflows.explanation import Explanation, Prediction
from upweight.workflows.passages import (
    flip_sentence,
    now,
    overall_table,
    own_sentence,
    question,
    row_cards,
    row_table,
    said,
)
from upweight.workflows.shared_passages import TITLE, shared_blocks, shared_sentence

__all__ = ["answer", "document", "grade_view"]

MAPPED = 400  # dots of a map: those that matter most, and a sample of the rest
MAPS = 5
HEADLINES = 3
ALONE = 5  # predictions that a terminal shows one by one
OVERALL = "Rows that hurt the held-out predictions most"
Pairs = Sequence[tuple[str, str]]


def document(
    explanation: Explanation,
    title: str,
    subtitle: str = "",
    footer: str = "",
    facts: Pairs = (),
    last: Sequence[Block] = (),
    show_rows: bool = True,
) -> Document:
    """The report. facts: what was read and fitted; last: blocks at the end of Trust (how to run it again)."""
    overview: list[Block] = [Facts(tuple(facts))] if facts else []
    if explanation.overall is not None:
        overview += [Sentence(OVERALL, strong=True)]
        overview += [overall_table(explanation.overall, explanation.id_name, show_rows)]
    sections = [
        Section("Overview", "overview", tuple(overview)),
        *_shared(explanation, show_rows),
        *(
            _why(explanation, p, f"why-{p.id}" if i else "why", show_rows, True)
            for i, p in enumerate(explanation.predictions)
        ),
        Section("Map", "map", tuple(_map(explanation, p) for p in explanation.predictions[:MAPS])),
        _trust(explanation, last),
    ]
    return Document(
        title, subtitle, _headline(explanation, show_rows), grade_view(explanation), tuple(sections), footer
    )


def answer(
    explanation: Explanation,
    title: str,
    subtitle: str = "",
    footer: str = "",
    facts: Pairs = (),
    last: Sequence[Block] = (),
    show_rows: bool = True,
) -> Document:
    """The terminal's page: one prediction with its rows as they are, several with a table each; check, grade, next."""
    alone = len(explanation.predictions) == 1
    sections = [Section("", "data", (Facts(tuple(facts)),))] if facts else []
    sections += _shared(explanation, show_rows)
    sections += [_why(explanation, p, "why", show_rows, alone) for p in explanation.predictions[:ALONE]]
    if (more := len(explanation.predictions) - ALONE) > 0:
        text = f"{count(more, 'more prediction')}: --report FILE and --json show each with its own rows."
        sections.append(Section("", "more", (Sentence(text),)))
    if explanation.overall is not None and explanation.overall.rows:
        table = overall_table(explanation.overall, explanation.id_name, show_rows)
        sections.append(Section(OVERALL, "overall", (table,), _loss_now(explanation)))
    trust = (Facts((("Checked", explanation.checked),)), Reasons(grade_view(explanation)))
    noted = tuple(("Note" if i == 0 else "", note) for i, note in enumerate(explanation.notes))
    sections.append(Section("", "trust", (*trust, *((Facts(noted),) if noted else ()))))
    sections.append(Section("", "last", tuple(last)))
    return Document(title, subtitle, sections=tuple(sections), footer=footer)


def grade_view(explanation: Explanation) -> GradeView:
    """The grade as a block."""
    grade = explanation.grade
    return GradeView(grade.letter, grade.reasons, grade.would_raise, grade.checked)  # type: ignore[arg-type]


def _loss_now(explanation: Explanation) -> str:
    overall = explanation.overall
    if overall is None:
        return ""
    of = "" if overall.queries == overall.held_out else f" over {overall.queries:,} of {overall.held_out:,} drawn"
    return f"({measured(overall.measurement).removeprefix('the ')} now: {number(overall.now, overall.unit)} a row{of})"


def _shared(explanation: Explanation, show_rows: bool) -> list[Section]:
    shared = explanation.shared
    if shared is None or not show_rows:
        return []
    return [Section(TITLE, "shared", tuple(shared_blocks(shared, explanation.id_name)))]


def _why(explanation: Explanation, prediction: Prediction, anchor: str, show_rows: bool, cards: bool) -> Section:
    name = explanation.id_name
    blocks: list[Block] = []
    if text := now(prediction, show_rows):
        blocks.append(Sentence(text))
    blocks.append(row_cards(prediction, name, show_rows) if cards else row_table(prediction, name, show_rows))
    if prediction.own is not None:
        blocks.append(Sentence(own_sentence(prediction, name)))
    if prediction.common and show_rows:  # it says what rows hold
        blocks.append(Sentence(prediction.common[0].sentence))
    if flip := flip_sentence(prediction, name):
        blocks.append(Sentence(flip, strong=True))
    return Section(question(prediction, name, show_rows), anchor, tuple(blocks))


def _headline(explanation: Explanation, show_rows: bool) -> tuple[str, ...]:
    """The answer first: what the model says, and what would change it."""
    name = explanation.id_name
    shared = explanation.shared
    out = [shared_sentence(shared, group, name) for group in shared.groups[:1]] if shared and show_rows else []
    for prediction in explanation.predictions[:HEADLINES]:
        flip = flip_sentence(prediction, name, named=4) if prediction.flip and prediction.flip.found else None
        out.append(f"{name.capitalize()} {prediction.id}: the model says {said(prediction)}. {flip or ''}".strip())
    more = len(explanation.predictions) - HEADLINES
    return (*out, f"and {count(more, 'more prediction')} below") if more > 0 else tuple(out)


def _map(explanation: Explanation, prediction: Prediction) -> Scatter:
    """Influence (up: helpful) against distance: where the rows that matter stand."""
    sign = -1.0 if prediction.better == "higher" else 1.0
    size = np.abs(prediction.influence)
    at = np.argsort(-size, kind="stable")
    if len(at) > MAPPED:  # the rest evenly by rank: a sample that needs no seed
        rest = at[MAPPED // 2 :]
        at = np.concatenate([at[: MAPPED // 2], rest[np.linspace(0, len(rest) - 1, MAPPED // 2).astype(int)]])
    points = tuple(
        Point(
            1.0 - float(prediction.similarity[i]),
            sign * float(prediction.influence[i]),
            f"{explanation.id_name} {explanation.row_ids[i]}",
            verdict(_effect(prediction, float(prediction.influence[i]))),
        )
        for i in at
    )
    drawn = (
        "" if len(points) == len(prediction.influence) else f"; {len(points):,} of {len(prediction.influence):,} rows"
    )
    up = "up: helpful" if prediction.better else "up: removal raises"
    return Scatter(
        f"{explanation.id_name} {prediction.id}: influence ({up}) against distance{drawn}",
        "distance (1 − cosine of the features)",
        f"change without the row ({prediction.unit})",
        points,
        "y = 0",
    )


def _effect(prediction: Prediction, change: float) -> Effect:
    better = prediction.better
    return Effect(change, prediction.now, prediction.measurement, prediction.unit, better)  # type: ignore[arg-type]


def _trust(explanation: Explanation, last: Sequence[Block]) -> Section:
    """The check's own section, then how it was computed, what was noted, and how to run it again."""
    if explanation.check is None:
        blocks: list[Block] = [Sentence(explanation.checked, strong=True), Reasons(grade_view(explanation))]
    else:
        own = explanation.check.section().blocks
        blocks = [Reasons(grade_view(explanation)) if isinstance(b, Reasons) else b for b in own]
    told = [("meaning", explanation.meaning), ("how", explanation.how)]
    told += [("notes" if i == 0 else "", note) for i, note in enumerate(explanation.notes)]
    return Section("Trust", "trust", (*blocks, Facts(tuple(told)), *last))
