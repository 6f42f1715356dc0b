"""What is measured on a prediction, and a regression's error in the unit of its target.

Stands on questions and scores; explain stands on it. A regression is scored on its predictions (linear, no label
needed); where the truth is known the same numbers become changes of |prediction − truth|.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.influence import Influence
from upweight.scores import Scores

__all__ = ["ERROR", "chosen", "error_scores", "scored"]

ERROR = "the error"


def chosen(measurement: str | None, kind: str, known: bool) -> str:
    """The measurement's name: the user's, else the loss of a class, the error or the value of a number."""
    if measurement is not None:
        return measurement
    if kind == "classification":
        return "loss"
    return ERROR if known else "prediction"


def scored(influence: Influence, x: Any, y: Any, measurement: str) -> Scores:
    """Scores of the queries under this measurement.

    Raises: MeasurementError, InputError.
    """
    if measurement == ERROR:
        return error_scores(influence.scores(x, measurement="prediction"), np.asarray(y, dtype=float))
    return influence.scores(x, y, measurement)


def error_scores(scores: Scores, truth: NDArray[np.float64]) -> Scores:
    """Scores of predictions [q, n] as changes of |prediction − truth|, in the target's unit; lower is better."""
    assert scores.base is not None  # a prediction has a value now
    offset = scores.base - truth
    refitter = scores.refitter

    def change(moved: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.abs(offset + moved) - np.abs(offset)

    def refits(rows: Sequence[int]) -> NDArray[np.float64]:
        assert refitter is not None  # scores of a live influence
        return change(refitter(rows))

    return replace(
        scores,
        values=change(scores.values.T).T,
        base=np.abs(offset),
        measurement=ERROR,
        better="lower",
        refitter=refits,
        meaning=scores.meaning.replace("the prediction on", "the error |prediction − truth| on"),
    )
