"""Questions of a fitted linear model: one kind a file; `ask` reads a measurement's name."""

from collections.abc import Callable
from typing import Any

from upweight.adapters import Adapted
from upweight.arrays import namespace, to_numpy
from upweight.attribution import Attribution
from upweight.errors import InputError, MeasurementError
from upweight.measurement import decided, measurement
from upweight.questions.base import Answer, Movable, Question, rows_as_they_are
from upweight.questions.distance import distance
from upweight.questions.features import features, strongest_rows
from upweight.questions.flipping import flip
from upweight.questions.group import GroupEffect, factors_of, group_effect
from upweight.questions.on_parameter import OnParameter
from upweight.questions.on_queries import OnQueries
from upweight.questions.on_set import OnSet
from upweight.questions.own_loss import OwnLoss
from upweight.questions.relabel import relabel
from upweight.questions.trust import check, signals
from upweight.questions.whole_model import hangs_on, how_many
from upweight.questions.without import without
from upweight.shapes import Array

__all__ = [
    "Answer",
    "GroupEffect",
    "OwnLoss",
    "Question",
    "ask",
    "check",
    "distance",
    "factors_of",
    "features",
    "flip",
    "group_effect",
    "hangs_on",
    "how_many",
    "relabel",
    "rows_as_they_are",
    "signals",
    "strongest_rows",
    "without",
]


def ask(
    adapted: Adapted,
    attribution: Attribution,
    x_query: Any,
    y_query: Any,
    measured: str | Callable[[Any, Any], float],
) -> Movable:
    """The question behind a measurement.

    Raises: MeasurementError, InputError.
    """
    if isinstance(measured, str) and measured.startswith("parameter:"):
        return OnParameter(adapted, attribution, measured.removeprefix("parameter:"))
    if measured == "parameter":
        raise MeasurementError("say which one: measurement='parameter:NAME', as the feature is named, or 'intercept'.")
    if x_query is None:
        raise InputError(f"measurement {measured!r} needs X_query: the rows whose prediction is explained.")
    features = adapted.read_query(x_query)
    if features.rows == 0:
        raise InputError("X_query has no rows. Give at least one.")
    if callable(measured):
        return OnSet(adapted, attribution, features, y_query, measured)
    classification = adapted.kind == "classification"
    given = y_query is not None
    asked = measurement(measured, attribution.loss, classification, adapted.has_probability, given, adapted.unit)
    z = to_numpy(attribution.query_outputs(features))
    if classification and (not given or measured == "prediction"):
        targets = _predicted(adapted, z)
    elif given:
        targets = adapted.read_target(y_query)
        if len(targets) != features.rows:
            raise InputError(f"X_query has {features.rows} rows and y_query {len(targets)}. Give one label per query.")
    else:
        targets = z[:, 0]  # a regression's prediction reads no target
    return OnQueries(adapted, attribution, features, targets, asked, given, x_query)


def _predicted(adapted: Adapted, z: Array) -> Array:
    """Encoded targets of the predicted classes."""
    return adapted.read_target(namespace(z).asarray([adapted.classes[int(k)] for k in decided(z)]))
