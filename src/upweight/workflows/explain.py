"""Why a model predicts what it does: for each prediction the rows behind it, really refitted; the check; the grade.

Stands on influence, questions and measured; the commands and the demo stand on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight import questions
from upweight.adapters.inputs import count_rows, read_ids, take_rows
from upweight.arrays import to_numpy
from upweight.display.words import Effect, Verdict
from upweight.errors import InputError
from upweight.influence import Influence
from upweight.scores import Scores
from upweight.validation.check import Check
from upweight.validation.grade import Grade
from upweight.workflows.explanation import NOT_REFITTED, Explanation, Prediction, RowEffect
from upweight.workflows.in_common import LEADING, Common, in_common, leading
from upweight.workflows.measured import ERROR, chosen, scored
from upweight.workflows.overall import harmful_overall
from upweight.workflows.reading import RowsOf, plain, real_changes, rows_of, says
from upweight.workflows.shared import shared_harm
from upweight.workflows.slices import Slices, slices_of

__all__ = ["CHECKED", "FLIP_REFITS", "SHOWN", "Progress", "explain", "worst"]

SHOWN = 3  # rows of each kind beside a prediction
CHECKED = 24  # rows that the check removes
FLIP_REFITS = 80  # what the search for a flip of some twenty rows takes: only the time said beforehand uses it

Progress = Callable[[str], None]  # told what has just been done


def explain(
    influence: Influence,
    X: Any,
    y: Any = None,
    *,
    measurement: str | None = None,
    shown: int = SHOWN,
    check_rows: int = CHECKED,
    to: Any = None,
    held_out: tuple[Any, Any] | None = None,
    held_out_most: int | None = None,
    rows: pd.DataFrame | RowsOf | None = None,
    queries: pd.DataFrame | RowsOf | None = None,
    ids: Sequence[Any] | None = None,
    own: Sequence[int | None] | None = None,
    origins: Sequence[str] | None = None,
    target: str = "y",
    id_name: str = "row",
    notes: Sequence[str] = (),
    mismatch: str | None = None,
    seed: int = 0,
    progress: Progress = lambda done: None,
) -> Explanation:
    """Each prediction of X with the rows that helped and harmed it, refitted; the smallest flip; check and grade.

    y: the truth, None or NaN where it is not known. measurement None: the loss of a class; of a number its error in
    the target's unit, or its value where the truth is not known. to: the class to reach, or the value to cross (no
    flip is sought for a number without it). held_out: rows on which harm to all predictions is measured (drawn, where
    there are more than held_out_most).
    mismatch: what is known of the model not having been fitted on these rows, though this refit of it was.
    rows, queries: the training rows and X as they are, where X was prepared; origins: where each row of X stands.
    own: position of the training row that a row of X is, which is then listed apart. A model whose refit is a training
    run (attribution.refits_shown) is estimated only.
    Raises: InputError, MeasurementError, UnsupportedModel.
    """
    count = count_rows(X, "X")
    truths = _truths(y, count)
    ids = read_ids(X, None, count) if ids is None else ids
    cheap = influence.attribution.refits_shown
    by_loss = "loss" if measurement == "loss" else None
    as_they_are = rows_of(influence.adapted.rows if rows is None else rows)
    asked = rows_of(X if queries is None else queries)
    read, sure = says(influence, X)
    slices = slices_of(
        influence.adapted.rows if rows is None else rows,
        influence.adapted.labels,
        target,
        influence.adapted.kind == "classification",
    )
    predictions: list[Prediction] = []
    grades: list[Grade] = []
    for i in range(count):
        one = take_rows(X, [i])
        name = chosen(measurement, influence.adapted.kind, truths[i] is not None)
        label = None if truths[i] is None else take_rows(y, [i])
        scores = scored(influence, one, label, name)
        similarity = _similarity(influence, one)
        itself = None if own is None else own[i]
        behind = {kind: _behind(scores, similarity, kind, shown, as_they_are, itself) for kind in _kinds(scores)}
        for_it, against = behind.values()
        predictions.append(
            Prediction(
                id=ids[i],
                origin="" if origins is None else origins[i],
                says=read[i],
                sure=None if sure is None else float(sure[i]),
                truth=truths[i],
                row=asked([i])[0],
                measurement=scores.measurement,
                unit=scores.unit,
                now=None if scores.base is None else float(scores.base[0]),
                for_it=for_it,
                against=against,
                nearest=_nearest(scores, similarity, shown, as_they_are, itself),
                flip=_flip(influence, one, read[i], truths[i], to) if cheap else None,
                influence=scores.values[0],
                similarity=similarity,
                sides=_kinds(scores),
                better=scores.better,
                is_class=influence.adapted.kind == "classification",
                own=None if itself is None else _effects(scores, [itself], similarity, as_they_are)[0],
                common=_common(scores, slices, itself),
            )
        )
        grades.append(scores.grade)
        progress(f"{id_name} {ids[i]} explained")
    if held_out is not None and count_rows(held_out[0], "held_out") == 0:
        held_out = None
    shared = shared_harm(influence, X, y, predictions, as_they_are, held_out) if cheap else None
    overall = None
    if held_out is not None:
        overall = harmful_overall(
            influence, *held_out, rows=as_they_are, seed=seed, most=held_out_most, measurement=by_loss
        )
        progress("the rows that harm the held-out predictions found")
    check = _check(influence, X, y, truths, read, measurement, check_rows, seed) if cheap else None
    if check is not None:
        progress(f"{len(check.row_ids)} rows removed for the check")
    return Explanation(
        predictions=tuple(predictions),
        overall=overall,
        check=check,
        grade=_with_mismatch(max(grades, key=str) if check is None else check.grade, mismatch),
        kind=influence.adapted.kind,
        target=target,
        model_name=influence.adapted.model_name,
        train_rows=len(influence.row_ids),
        row_ids=influence.row_ids,
        id_name=id_name,
        how=scores.how,
        meaning=scores.meaning,
        notes=(*notes, *influence.adapted.notes),
        shared=shared,
    )


def worst(influence: Influence, X: Any, y: Any, k: int) -> list[int]:
    """Positions of the k queries with most loss, the worst first."""
    question = questions.ask(influence.adapted, influence.attribution, X, y, "loss")
    return [int(i) for i in np.argsort(-question.now(), kind="stable")[:k]]


def _behind(
    scores: Scores,
    similarity: NDArray[np.float64],
    kind: Verdict,
    shown: int,
    rows: RowsOf,
    own: int | None,
) -> tuple[RowEffect, ...]:
    at = [i for i in scores.ranked(shown + 1, 0, kind) if i != own][:shown]
    return _effects(scores, at, similarity, rows)


def _nearest(
    scores: Scores,
    similarity: NDArray[np.float64],
    shown: int,
    rows: RowsOf,
    own: int | None,
) -> tuple[RowEffect, ...]:
    at = [int(i) for i in np.argsort(-similarity, kind="stable")[: shown + 1] if i != own][:shown]
    return _effects(scores, at, similarity, rows)


def _common(scores: Scores, slices: Slices, own: int | None) -> tuple[Common, ...]:
    """Of the rows that come first on each side, and on either."""
    size = np.abs(scores.values[0])
    sides = {}
    for side, kind in (("either", "both"), *((kind, kind) for kind in _kinds(scores))):
        sides[side] = leading([i for i in scores.ranked(LEADING + 2, 0, kind) if i != own], size)
    return in_common(slices, sides)


def _effects(
    scores: Scores,
    at: Sequence[int],
    similarity: NDArray[np.float64],
    rows: RowsOf,
) -> tuple[RowEffect, ...]:
    refits = real_changes(scores, at)[:, 0]

    def refit(real: float) -> Effect:
        effect = scores.effect(float(real) if np.isfinite(real) else None)
        return effect if scores.refitter is not None else replace(effect, reason=NOT_REFITTED)

    return tuple(
        RowEffect(
            id=scores.row_ids[i],
            label=plain(scores.labels[i]),
            estimate=scores.effect(float(scores.values[0, i])),
            refit=refit(real),
            row=row,
            similarity=float(similarity[i]),
        )
        for i, real, row in zip(at, refits, rows(at), strict=True)
    )


def _similarity(influence: Influence, one: Any) -> NDArray[np.float64]:
    """[n]: cosine of the features, from −1 to 1."""
    return np.asarray(to_numpy(influence.attribution.nearness(influence.adapted.read_query(one)))[0])


def _kinds(scores: Scores) -> tuple[Verdict, Verdict]:
    return ("raises", "lowers") if scores.better is None else ("helpful", "harmful")


def _flip(influence: Influence, one: Any, read: Any, truth: Any, to: Any) -> Any:
    """Towards `to`; else towards the truth where the model reads another class; else towards any other class."""
    if influence.adapted.kind == "regression":
        return None if to is None else influence.smallest_flip(one, to)
    goal = truth if to is None and truth != read else to
    return influence.smallest_flip(one, goal)


def _check(
    influence: Influence,
    X: Any,
    y: Any,
    truths: Sequence[Any],
    read: Sequence[Any],
    measurement: str | None,
    rows: int,
    seed: int,
) -> Check:
    """On all predictions at once; a class that is not known stands as the one that was read."""
    name = chosen(measurement, influence.adapted.kind, all(t is not None for t in truths))
    if name == ERROR or (influence.adapted.kind == "regression" and name == "prediction"):
        return influence.check(X, measurement="prediction", rows=rows, seed=seed)
    labels = [r if t is None else t for t, r in zip(truths, read, strict=True)]
    given = None if all(t is None for t in truths) else y if None not in truths else np.asarray(labels, dtype=object)
    return influence.check(X, given, name, rows, seed)


def _truths(y: Any, count: int) -> list[Any]:
    """The truth of each query, None where it is not known.

    Raises: InputError if there is another number of them.
    """
    if y is None:
        return [None] * count
    if count_rows(y, "y") != count:
        raise InputError(f"X has {count} rows and y has {count_rows(y, 'y')}. Give one per row, or NaN.")
    values = y.tolist() if hasattr(y, "tolist") else y
    return [tuple(v) if isinstance(v, list) else None if pd.isna(v) else plain(v) for v in values]


def _with_mismatch(found: Grade, mismatch: str | None) -> Grade:
    """A refit without the rows asked about is at its optimum whatever the model was fitted on: its fault stays."""
    if mismatch is None or mismatch in found.reasons:
        return found
    cure = "give the rows and labels that the model was fitted on"
    return Grade("D", (mismatch, *found.reasons), (cure,), found.checked)
