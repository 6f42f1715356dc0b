"""Two models over the same training rows, asked for the same predictions: what each leans on.

Stands on influence, questions and reading; the command and Python call it. Source: Koh & Liang (2017), section 5.1.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight import questions
from upweight.adapters.inputs import count_rows
from upweight.arrays import to_numpy
from upweight.errors import InputError, listed
from upweight.influence import Influence
from upweight.questions.on_queries import OnQueries
from upweight.saved_scores import Distance
from upweight.scores import Scores
from upweight.validation.metrics import spearman
from upweight.workflows.comparison import Comparison
from upweight.workflows.reading import says
from upweight.workflows.side import FIRST, Side

__all__ = ["compare"]

Floats = NDArray[np.float64]


def compare(
    influence_a: Influence,
    influence_b: Influence,
    X_query: Any,
    y_query: Any = None,
    *,
    X_query_b: Any = None,
    names: tuple[str, str] | None = None,
    distance: Floats | None = None,
) -> Comparison:
    """Which training rows two models lean on for the same predictions, on one scale.

    The models may differ in everything but their training rows (ids) and labels. Measured is the margin of y_query (of
    a regression the prediction), each model's in units of its own spread over the queries; with fewer than two queries,
    over the training rows. y_query None: the labels that influence_a says. X_query_b: the same queries as influence_b
    reads them, where that differs. names: what the models are called. distance [q, n]: one distance for both; else
    each model's own, in what it reads.
    Raises: InputError for other training rows, labels, classes or queries; MeasurementError.
    """
    order = _aligned(influence_a, influence_b)
    x_b = X_query if X_query_b is None else X_query_b
    q, q_b = count_rows(X_query, "X_query"), count_rows(x_b, "X_query_b")
    if q != q_b:
        raise InputError(f"X_query has {q} rows and X_query_b {q_b}. Give the same predictions to both.")
    classes = influence_a.adapted.kind == "classification"
    if distance is not None and np.shape(distance) != (q, len(order)):
        raise InputError(f"distance has shape {np.shape(distance)}. Give [{q}, {len(order)}]: queries, training rows.")
    said = says(influence_a, X_query)[0], says(influence_b, x_b)[0]
    if y_query is not None and count_rows(y_query, "y_query") != q:
        raise InputError(
            f"X_query has {q} rows and y_query {count_rows(y_query, 'y_query')}. Give one label per query."
        )
    asked = _asked(y_query, said[0], (influence_a, influence_b)) if classes else None
    labels = np.asarray(influence_a.adapted.labels)
    named = _named(influence_a, influence_b) if names is None else names
    apart = None if distance is None else Distance(lambda query: np.asarray(distance[query]), "distance to the query")
    first = _side(influence_a, X_query, asked, np.arange(len(order)), labels, named[0], said[0], apart)
    second = _side(influence_b, x_b, asked, order, labels, named[1], said[1], apart)
    a, b = first.scores.values, second.scores.values
    agreement = np.asarray([_or_nan(spearman(x, y)) for x, y in zip(a, b, strict=True)], dtype=float)
    shared = np.asarray([_overlap(np.abs(x), np.abs(y)) for x, y in zip(a, b, strict=True)], dtype=float)
    what = first.scores.measurement
    of = "" if not classes else " of the given label" if y_query is not None else f" of the label that {named[0]} says"
    over = "queries" if q > 1 else "training rows"
    return Comparison(
        first, second, influence_a.row_ids, labels, () if asked is None else tuple(asked), agreement, shared,
        f"Estimated change of the {what}{of}, if a training row were removed and the model refitted, in units of the "
        f"spread (standard deviation) of each model's {what} over the {over}: {_spread_said(first)}, "
        f"{_spread_said(second)}.",
    )  # fmt: skip


def _aligned(a: Influence, b: Influence) -> NDArray[np.int64]:
    """Where each row of a stands in b.

    Raises: InputError unless both learnt from the same rows under the same labels.
    """
    kinds = (a.adapted.kind, b.adapted.kind)
    if kinds[0] != kinds[1]:
        raise InputError(f"one model is a {kinds[0]}, the other a {kinds[1]}. Compare two of one kind.")
    where = {row: i for i, row in enumerate(b.row_ids)}
    lacking = [row for row in a.row_ids if row not in where]
    more = set(where) - set(a.row_ids)
    if lacking or more:
        beyond = [row for row in b.row_ids if row in more]
        faults = [f"rows {listed(some)} are only in {which}" for some, which in ((lacking, "the first"), (beyond, "the "
                  "second")) if some]  # fmt: skip
        raise InputError(
            f"the models learnt from different rows: {'; '.join(faults)} ({len(a.row_ids):,} and {len(b.row_ids):,} "
            "rows). Fit both on the same rows, under the same ids."
        )
    shared = set(a.adapted.classes) & set(b.adapted.classes)
    if kinds[0] == "classification" and not shared:
        raise InputError(
            f"the models share no class: {listed(a.adapted.classes)} and {listed(b.adapted.classes)}. "
            "Give both the same labels."
        )
    order = np.asarray([where[row] for row in a.row_ids], dtype=np.int64)
    y, other = np.asarray(a.adapted.labels), np.asarray(b.adapted.labels)[order]
    if y.ndim != 1 or other.ndim != 1:
        raise InputError("a model of several targets at once has no one number to compare. Fit one model per target.")
    wrong = np.flatnonzero(y != other)
    if len(wrong):
        rows = listed([a.row_ids[i] for i in wrong])
        raise InputError(
            f"the models learnt different labels in {len(wrong):,} of {len(y):,} rows ({rows}). "
            "Fit both on the same labels."
        )
    return order


def _asked(y_query: Any, said: Sequence[Any], both: Sequence[Influence]) -> NDArray[Any]:
    """[q] labels whose margin is measured.

    Raises: InputError where one of the models does not know a label.
    """
    given = np.asarray(said if y_query is None else to_numpy(y_query) if hasattr(y_query, "detach") else y_query)
    known = set(both[0].adapted.classes) & set(both[1].adapted.classes)
    unknown = [label for label in dict.fromkeys(given.tolist()) if label not in known]
    if unknown:
        raise InputError(
            f"y_query holds {listed(unknown)}, which is no class of both models ({listed(sorted(known))})."
        )
    return given


def _side(
    influence: Influence,
    x: Any,
    asked: NDArray[Any] | None,
    order: NDArray[np.int64],
    labels: NDArray[Any],
    name: str,
    said: list[Any],
    distance: Distance | None,
) -> Side:
    """One model's answers, its rows in this order."""
    scores = _scores(influence, x, asked, order)
    spread = _spread(influence, x, asked, scores)
    own = scores.distance if distance is None else distance
    assert own is not None  # a named measurement has queries, and they have a distance
    size = np.abs(scores.values)
    q = len(size)
    by_distance, not_nearest = np.full(q, np.nan), np.full(q, np.nan)
    for i in range(q):  # a distance is made when it is asked for: once for both numbers
        far = own.to(i)
        by_distance[i] = _or_nan(spearman(size[i], far))
        not_nearest[i] = 1.0 - _overlap(size[i], -far)
    nan = np.full(q, np.nan)
    other = None if asked is None else labels[None, :] != asked[:, None]
    help_ = np.maximum(-scores.values, 0.0)
    return Side(
        name=name,
        scores=scores,
        spread=spread,
        distance=own,
        says=tuple(said),
        by_distance=by_distance,
        other_class=nan if other is None else _share(size, other),
        helped_by_others=nan if other is None else _share(help_, other),
        effective_rows=_divided(size.sum(axis=1) ** 2, (size**2).sum(axis=1)),
        not_nearest=not_nearest,
    )


def _scores(influence: Influence, x: Any, asked: NDArray[Any] | None, order: NDArray[np.int64]) -> Scores:
    """Of the margin, or of a regression's prediction; rows, refits and distances in this order."""
    scores = influence.scores(x, measurement="prediction") if asked is None else influence.scores(x, asked, "margin")
    refitter, rows, apart = scores.refitter, scores.rows, scores.distance
    return replace(
        scores,
        values=scores.values[:, order],
        row_ids=tuple(scores.row_ids[i] for i in order),
        labels=np.asarray(scores.labels)[order],
        rows=lambda at: rows([int(order[i]) for i in at]),
        refitter=None if refitter is None else lambda at: refitter([int(order[i]) for i in at]),
        distance=None if apart is None else Distance(lambda query: apart.to(query)[order], apart.label),
    )


def _spread(influence: Influence, x: Any, asked: NDArray[Any] | None, scores: Scores) -> float:
    """Standard deviation of the measurement over the queries, or over the training rows where one query has none.

    Raises: InputError where it is the same for all.
    """
    assert scores.base is not None  # a named measurement has a value now
    values = scores.base
    if len(values) < 2:
        own, measured = influence.attribution, "prediction" if asked is None else "margin"
        question = questions.ask(influence.adapted, own, x, asked, measured)
        assert isinstance(question, OnQueries)  # every named measurement but a parameter is one
        values = to_numpy(question.measured.value(to_numpy(own.outputs), to_numpy(own.targets)))
    spread = float(np.std(values))
    if not (np.isfinite(spread) and spread > 1e-12 * max(1.0, float(np.abs(values).max()))):
        raise InputError(
            f"the {scores.measurement} of {influence.adapted.model_name} is the same on all {len(values):,} rows asked "
            "about, so it has no spread to be measured in. Ask about rows that differ."
        )
    return spread


def _named(a: Influence, b: Influence) -> tuple[str, str]:
    one, two = a.adapted.model_name, b.adapted.model_name
    return (one, two) if one != two else (f"{one} a", f"{two} b")


def _spread_said(side: Side) -> str:
    return f"{side.spread:.3g} {side.scores.unit} of {side.name}"


def _overlap(x: Floats, y: Floats) -> float:
    """Share of the FIRST largest of x that are among as many largest of y."""
    k = min(FIRST, len(x))
    return len(np.intersect1d(np.argsort(-x, kind="stable")[:k], np.argsort(-y, kind="stable")[:k])) / k


def _share(size: Floats, of: NDArray[np.bool_]) -> Floats:
    return _divided(np.where(of, size, 0.0).sum(axis=1), size.sum(axis=1))


def _divided(above: Floats, below: Floats) -> Floats:
    """NaN where there is nothing to divide by."""
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan))


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
