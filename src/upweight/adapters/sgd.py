"""SGDClassifier and SGDRegressor: mean loss over the number of rows, whatever their weights, and α; rarely optimal.

Classifiers fit one output for two classes, else one against the rest for each class, whose class weight then counts
on its own side alone. Source: METHODS.md 1 (mapping table), scikit-learn's _stochastic_gradient.py.
"""

from typing import Any

import numpy as np

from upweight.adapters.labels import class_codes, class_encoder, class_factors, count_steps, number_encoder
from upweight.adapters.promise import no_promise
from upweight.adapters.reading import Kinks, Reading, Task, layout, refitting, regression_names, write_linear
from upweight.errors import UnsupportedModel
from upweight.output_loss import (
    Hinge,
    Huber,
    Insensitive,
    Logistic,
    ModifiedHuber,
    OneVsRest,
    OutputLoss,
    Scalar,
    Separate,
    Squared,
    SquaredHinge,
    SquaredInsensitive,
    Weighted,
)
from upweight.shapes import Array, Float

__all__ = ["read_sgd_classifier", "read_sgd_regressor"]

ZERO_ONE: dict[str, Scalar] = {
    "hinge": Hinge(),
    "log_loss": Logistic(),
    "modified_huber": ModifiedHuber(),
    "squared_hinge": SquaredHinge(),
}
PROBABILITY = ("log_loss", "modified_huber")
KINKED = ("hinge", "epsilon_insensitive")
USE_INSTEAD = "hinge, log_loss, modified_huber, squared_hinge, squared_error, huber"


def read_sgd_regressor(task: Task) -> Reading:
    """SGDRegressor.

    Raises: UnsupportedModel for kinks with an l1 part, or without a penalty.
    """
    estimator = task.estimator
    encode = number_encoder(1, True)
    targets = encode(task.y)
    matrix, free = layout(estimator.coef_, estimator.intercept_, estimator.fit_intercept, 1)
    ridge, l1 = _penalties(estimator, 1, task.d)
    mean = np.average(targets, weights=task.sample_weight)
    spread = np.sqrt(np.average((targets - mean) ** 2, weights=task.sample_weight))
    return Reading(
        loss=Separate(_scalar(task)),
        targets=targets,
        weights=task.sample_weight,
        matrix=matrix,
        free=free,
        penalty=ridge,
        normalization="rows",
        classes=(),
        output_names=regression_names(task, 1),
        encode=encode,
        write=write_linear,
        refit=refitting(task, estimator),
        promise=no_promise("SGD", count_steps(estimator), int(estimator.max_iter)),
        spread=spread[None],
        l1=l1,
        kinks=_kinks(task, float(spread) if spread > 0 else 1.0, l1),
    )


def read_sgd_classifier(task: Task) -> Reading:
    """SGDClassifier.

    Raises: UnsupportedModel for the perceptron, and for kinks with an l1 part, or without a penalty.
    """
    estimator = task.estimator
    scalar: Scalar = _scalar(task)
    classes = tuple(estimator.classes_.tolist())
    codes = class_codes(task.y, classes)
    c = 1 if len(classes) == 2 else len(classes)
    factors = class_factors(estimator.class_weight, classes, codes, np.ones(task.n))
    zero_one = estimator.loss in ZERO_ONE

    def code(k: Array) -> Array:
        sides = k.astype(np.float64) if c == 1 else np.eye(c)[k]
        return sides if zero_one else 2.0 * sides - 1.0

    weights, settings = task.sample_weight, {}
    if estimator.class_weight is not None:
        settings = {"class_weight": dict(zip(classes, factors, strict=True))}
        if c == 1:
            weights = weights * factors[codes]
        else:
            scalar = Weighted(scalar, positive=tuple(factors.tolist()), negative=(1.0,) * c)
    divided = c > 1 and estimator.loss in PROBABILITY
    loss: OutputLoss = OneVsRest(scalar, outputs=c) if divided else Separate(scalar, outputs=c)
    matrix, free = layout(estimator.coef_, estimator.intercept_, estimator.fit_intercept, c)
    ridge, l1 = _penalties(estimator, c, task.d)
    return Reading(
        loss=loss,
        targets=code(codes),
        weights=weights,
        matrix=matrix,
        free=free,
        penalty=ridge,
        normalization="rows",
        classes=classes,
        output_names=(str(classes[1]),) if c == 1 else tuple(str(label) for label in classes),
        encode=class_encoder(classes, code),
        write=write_linear,
        refit=refitting(task, estimator, **settings),
        promise=no_promise("SGD", count_steps(estimator), int(estimator.max_iter)),
        spread=np.ones(c),
        has_probability=estimator.loss in PROBABILITY,
        l1=l1,
        frozen=("class weights",) if settings else (),
        class_factors=factors if c == 1 else None,
        kinks=_kinks(task, 1.0, l1),
    )


def _scalar(task: Task) -> Scalar:
    name = task.estimator.loss
    if name in ZERO_ONE and task.name == "SGDClassifier":
        return ZERO_ONE[name]
    if name == "squared_error":
        return Squared()
    if name == "huber":
        return Huber(float(task.estimator.epsilon))
    if name == "epsilon_insensitive":
        return Insensitive(float(task.estimator.epsilon))
    if name == "squared_epsilon_insensitive":
        return SquaredInsensitive(float(task.estimator.epsilon))
    raise UnsupportedModel(
        f"{task.name}(loss={name!r}) has a loss without curvature and without a margin, so a row's removal has no one "
        f"answer. Use one of {USE_INSTEAD}; docs/models.md lists the models that work."
    )


def _kinks(task: Task, unit: float, l1: Array | None) -> Kinks | None:
    """Raises: UnsupportedModel for a loss of hinges that no l2 penalty alone holds: its optimum has no exact path."""
    estimator = task.estimator
    if estimator.loss not in KINKED:
        return None
    if l1 is not None or estimator.penalty is None or not estimator.alpha > 0:
        raise UnsupportedModel(
            f"{task.name}(loss={estimator.loss!r}, penalty={estimator.penalty!r}) has kinks in its loss and no l2 "
            "penalty alone that would hold it. Use penalty='l2'; docs/models.md lists the models that work."
        )
    return Kinks(unit=unit, solver="SGD", bound=None, finished=None)


def _penalties(estimator: Any, c: int, d: int) -> tuple[Float[Array, "c D"], Float[Array, "c D"] | None]:
    share = {"l2": 0.0, "l1": 1.0, None: 0.0}.get(estimator.penalty, float(estimator.l1_ratio or 0.0))
    alpha = 0.0 if estimator.penalty is None else float(estimator.alpha)
    ridge, l1 = np.zeros((c, d + 1)), np.zeros((c, d + 1))
    ridge[:, :-1], l1[:, :-1] = alpha * (1.0 - share), alpha * share
    return ridge, l1 if alpha * share > 0 else None
