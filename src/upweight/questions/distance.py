"""How far training rows are from a query, for a picture of influence over distance.

Stands on the questions' own baseline of nearness; influence hands it to Scores.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from upweight.arrays import blocks, to_numpy
from upweight.features import DenseFeatures, Taken
from upweight.linear_head import LinearHead
from upweight.questions.base import Question
from upweight.questions.on_queries import OnQueries
from upweight.scores import Distance

__all__ = ["distance"]

STANDARDISED = "distance to the query (columns in standard deviations)"
COSINE = "distance to the query (1 − cosine of the features)"


def distance(question: Question) -> Distance | None:
    """Lazily, of one query at a time; None for a question that has no query, or measures all of them at once.

    Dense columns that the model reads: Euclidean, each column divided by its standard deviation over the training
    rows; a kernel's features as they are, so that rows are near where it is large. Else (sparse columns, a network):
    1 − cosine, the baseline of nearness.
    """
    if not isinstance(question, OnQueries):
        return None
    head, inputs, attribution = question.adapted.objective, question.features, question.attribution
    if isinstance(head, LinearHead) and isinstance(head.features, DenseFeatures) and isinstance(inputs, Taken):
        rows, queries, reads = head.features, inputs, question.adapted.reads

        @cache
        def spread() -> NDArray[np.float64]:
            return np.ones(rows.columns) if reads else _spread(rows)

        return Distance(
            lambda query: _euclidean(rows, _block(queries, slice(query, query + 1))[0], spread()),
            f"distance to the query ({reads})" if reads else STANDARDISED,
        )

    def cosine(query: int) -> NDArray[np.float64]:
        near = to_numpy(attribution.nearness(attribution.some(inputs, np.asarray([query]))))
        return np.asarray(1.0 - np.asarray(near, dtype=np.float64)[0])

    return Distance(cosine, COSINE)


def _spread(rows: DenseFeatures) -> NDArray[np.float64]:
    """Standard deviation of each column [D]; the mean first: squares of large numbers would cancel."""
    total = sum(_block(rows, at).sum(axis=0) for at in _blocks(rows))
    mean = np.asarray(total / rows.rows)
    squares = sum(((_block(rows, at) - mean) ** 2).sum(axis=0) for at in _blocks(rows))
    return np.asarray(np.sqrt(squares / rows.rows))


def _euclidean(rows: DenseFeatures, query: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n]: a column that is the same in all rows tells none apart and is left out."""
    scale = np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)
    return np.concatenate([np.sqrt((((_block(rows, at) - query) * scale) ** 2).sum(axis=1)) for at in _blocks(rows)])


def _blocks(rows: DenseFeatures) -> list[slice]:
    return list(blocks(rows.rows, 3.0 * rows.bytes_per_row()))


def _block(rows: Taken, at: slice) -> NDArray[np.float64]:
    return np.asarray(to_numpy(rows.take(np.arange(at.start, at.stop))), dtype=np.float64)
