"""OneVsRestClassifier over a binary LogisticRegression: c fits, whose losses add up and whose probabilities are divided
by their sum.

Class weights inside belong to each fit alone, so each output weighs its two sides itself.
Stands on logistic; source: METHODS.md 1, scikit-learn's multiclass.py.
"""

import copy
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from upweight.adapters.labels import class_codes, class_encoder, class_factors, count_steps
from upweight.adapters.logistic import logistic_promise, penalties, shares_of_l1
from upweight.adapters.reading import Reading, Task, layout, write_linear
from upweight.errors import UnsupportedModel
from upweight.output_loss import Logistic, OneVsRest, OutputLoss, Scalar, Separate, Weighted
from upweight.shapes import Array, Float

__all__ = ["read_one_vs_rest"]


def read_one_vs_rest(task: Task) -> Reading:
    """OneVsRestClassifier(LogisticRegression).

    Raises: UnsupportedModel for any other estimator inside, and for multilabel targets.
    """
    estimator, n = task.estimator, task.n
    if estimator.multilabel_:
        raise UnsupportedModel(
            "OneVsRestClassifier was fitted on multilabel targets. Explain one label at a time: fit a binary "
            "LogisticRegression for it."
        )
    fits = list(estimator.estimators_)
    strange = [type(fit).__name__ for fit in fits if type(fit) is not LogisticRegression]
    if strange:
        raise UnsupportedModel(
            f"OneVsRestClassifier over {strange[0]} is not supported. Use LogisticRegression inside it, or alone."
        )
    first, classes, c = fits[0], tuple(estimator.classes_.tolist()), len(fits)
    codes = class_codes(task.y, classes)
    targets = codes.astype(np.float64) if c == 1 else np.eye(c)[codes]
    sides = (targets if c > 1 else targets[:, None]).astype(np.int64)
    factors = np.stack([class_factors(first.class_weight, (0, 1), side, task.sample_weight) for side in sides.T])
    strength = np.inf if first.penalty is None else float(first.C)
    ridge, l1 = penalties(first, 1.0 / (strength * n), shares_of_l1(first), c, task.d)
    matrix, free = layout(
        np.concatenate([fit.coef_ for fit in fits]),
        np.concatenate([np.broadcast_to(fit.intercept_, (1,)) for fit in fits]),
        first.fit_intercept,
        c,
    )
    scalar: Scalar = Logistic()
    if first.class_weight is not None:
        scalar = Weighted(scalar, positive=tuple(factors[:, 1].tolist()), negative=tuple(factors[:, 0].tolist()))
    loss: OutputLoss = Separate(scalar) if c == 1 else OneVsRest(scalar, outputs=c)
    steps = [count_steps(fit) for fit in fits]
    known = [step for step in steps if step is not None]
    rarest = min(int(np.min(np.bincount(side, minlength=2))) for side in sides.T)
    heaviest = task.sample_weight * np.max(
        [np.sum(factors[k][side] * task.sample_weight) / np.sum(task.sample_weight) for k, side in enumerate(sides.T)]
    )
    return Reading(
        loss=loss,
        targets=targets,
        weights=task.sample_weight,
        matrix=matrix,
        free=free,
        penalty=ridge,
        normalization="sum",
        classes=classes,
        output_names=(str(classes[1]),) if c == 1 else tuple(str(label) for label in classes),
        encode=class_encoder(classes, (lambda k: k.astype(np.float64)) if c == 1 else (lambda k: np.eye(c)[k])),
        write=_write,
        refit=_refitting(task, sides, factors),
        promise=logistic_promise(
            first, heaviest, np.array([rarest]), shares_of_l1(first), max(known) if known else None
        ),
        spread=np.full(c, 0.5),
        has_probability=True,
        l1=l1 if shares_of_l1(first) else None,
        frozen=("class weights",) if first.class_weight is not None else (),
    )


def _write(estimator: Any, matrix: Float[Array, "c D"]) -> None:
    for k, fit in enumerate(estimator.estimators_):
        write_linear(fit, matrix[k : k + 1])


def _refitting(task: Task, sides: Array, factors: Float[Array, "c 2"]) -> Any:
    """Each of the c fits anew, its own class weights frozen."""

    def refit(kept: Array) -> Any:
        model = copy.deepcopy(task.estimator)
        for k, fit in enumerate(model.estimators_):
            frozen = {} if fit.class_weight is None else {"class_weight": dict(enumerate(factors[k].tolist()))}
            fresh = clone(fit).set_params(**frozen)
            model.estimators_[k] = fresh.fit(task.x[kept], sides[kept, k], sample_weight=task.sample_weight[kept])
        return model

    return refit
