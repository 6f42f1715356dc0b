"""What a model says, of rows and of queries, and rows as they are: what every part of an explanation reads.

Stands on influence and questions; explain, overall and shared stand on it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.arrays import to_numpy
from upweight.influence import Influence
from upweight.measurement import decided
from upweight.questions.base import rows_as_they_are
from upweight.questions.on_set import as_predicted
from upweight.scores import Scores

__all__ = ["RowsOf", "plain", "real_changes", "rows_of", "says", "says_of_rows", "says_there"]

RowsOf = Callable[[Sequence[int]], list[Mapping[str, Any]]]  # positions -> rows as they are, by column


def says(influence: Influence, X: Any) -> tuple[list[Any], NDArray[np.float64] | None]:
    """What the model says of each row of X: classes, or numbers; and how sure it is (None without probabilities)."""
    adapted = influence.adapted
    return says_there(influence, to_numpy(influence.attribution.query_outputs(adapted.read_query(X))))


def says_of_rows(influence: Influence, at: Sequence[int]) -> tuple[list[Any], NDArray[np.float64] | None]:
    """The same of training rows, by position."""
    return says_there(influence, influence.attribution.outputs[np.asarray(at, dtype=int)])


def says_there(influence: Influence, z: Any) -> tuple[list[Any], NDArray[np.float64] | None]:
    """The same at these outputs [b, c]."""
    adapted = influence.adapted
    values = as_predicted(adapted, influence.attribution, z)
    if adapted.kind == "regression":
        return [plain(value) for value in values], None
    at = to_numpy(decided(z))
    sure = np.asarray([values[i, k] for i, k in enumerate(at)]) if adapted.has_probability else None
    return [plain(adapted.classes[int(k)]) for k in at], sure


def real_changes(scores: Scores, at: Sequence[int]) -> NDArray[np.float64]:
    """[r, q]: the real change without each of these rows alone; NaN where there is none."""
    if scores.refitter is None or not at:
        return np.full((len(at), len(scores.values)), np.nan)
    return scores.refitter(at)


def rows_of(source: Any) -> RowsOf:
    """Positions -> rows as they are, by column; a function that is this already is left as it is."""
    if callable(source):
        given: RowsOf = source
        return given

    def rows(at: Sequence[int]) -> list[Mapping[str, Any]]:
        columns = rows_as_they_are(source, at)
        return [{name: column[j] for name, column in columns.items()} for j in range(len(at))]

    return rows


def plain(value: Any) -> Any:
    """A numpy scalar as Python's own."""
    return value.item() if isinstance(value, np.generic) else value
