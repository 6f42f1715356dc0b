"""Least squares with an l2 penalty or none: Ridge, RidgeCV, LinearRegression, RidgeClassifier and its CV form.

½ (z − y)², λ = α/n (one α, or one per target), the sum form, intercept free. Classifiers fit ±1, one output per class
(one for two classes); their "balanced" counts rows without their weights.
Source: METHODS.md 1, scikit-learn's _ridge.py.
"""

from typing import Any

import numpy as np
from sklearn.linear_model import Ridge, RidgeClassifier

from upweight.adapters.labels import class_codes, class_encoder, class_factors, count_steps, number_encoder
from upweight.adapters.promise import Promise, direct, no_promise, relative_to_start
from upweight.adapters.reading import Reading, Task, layout, refitting, regression_names, write_linear
from upweight.errors import UnsupportedModel
from upweight.output_loss import Separate, Squared
from upweight.shapes import Array, Float

__all__ = ["read_least_squares", "read_ridge", "read_ridge_classifier", "read_ridge_classifier_cv", "read_ridge_cv"]


def read_ridge(task: Task) -> Reading:
    """Ridge."""
    return _regression(task, task.estimator.alpha, task.estimator, ())


def read_ridge_cv(task: Task) -> Reading:
    """RidgeCV at the α (one, or one per target) that it chose."""
    chosen = task.estimator.alpha_
    plain = Ridge(alpha=chosen, fit_intercept=task.estimator.fit_intercept)
    return _regression(task, chosen, plain, ("the choice of alpha",))


def read_least_squares(task: Task) -> Reading:
    """LinearRegression."""
    return _regression(task, 0.0, task.estimator, ())


def read_ridge_classifier(task: Task) -> Reading:
    """RidgeClassifier."""
    return _classifier(task, task.estimator.alpha, task.estimator, ())


def read_ridge_classifier_cv(task: Task) -> Reading:
    """RidgeClassifierCV at the α that it chose."""
    estimator = task.estimator
    plain = RidgeClassifier(
        alpha=estimator.alpha_, fit_intercept=estimator.fit_intercept, class_weight=estimator.class_weight
    )
    return _classifier(task, estimator.alpha_, plain, ("the choice of alpha",))


def _regression(task: Task, alpha: Any, plain: Any, frozen: tuple[str, ...]) -> Reading:
    estimator = task.estimator
    flat = np.ndim(estimator.coef_) == 1
    c = 1 if flat else int(np.shape(estimator.coef_)[0])
    encode = number_encoder(c, flat)
    targets = encode(task.y)
    matrix, free = layout(estimator.coef_, estimator.intercept_, estimator.fit_intercept, c)
    return Reading(
        loss=Separate(Squared(), outputs=c),
        targets=targets,
        weights=task.sample_weight,
        matrix=matrix,
        free=free,
        penalty=_penalty(alpha, task.n, c, task.d),
        normalization="sum",
        classes=(),
        output_names=regression_names(task, c),
        encode=encode,
        write=write_linear,
        refit=refitting(task, plain),
        promise=_promise(task),
        spread=_spread(targets.reshape(task.n, c), task.sample_weight),
        frozen=frozen,
    )


def _classifier(task: Task, alpha: Any, plain: Any, frozen: tuple[str, ...]) -> Reading:
    estimator = task.estimator
    if np.ndim(task.y) == 2 and np.shape(task.y)[1] > 1:
        raise UnsupportedModel(
            f"{task.name} was fitted on multilabel targets. Explain one label at a time: fit it on that column alone."
        )
    classes = tuple(estimator.classes_.tolist())
    codes = class_codes(task.y, classes)
    c = 1 if len(classes) == 2 else len(classes)
    factors = class_factors(estimator.class_weight, classes, codes, np.ones(task.n))
    settings = {} if estimator.class_weight is None else {"class_weight": dict(zip(classes, factors, strict=True))}

    def code(k: Array) -> Array:
        return 2.0 * k - 1.0 if c == 1 else 2.0 * np.eye(c)[k] - 1.0

    targets, weights = code(codes), task.sample_weight * factors[codes]
    matrix, free = layout(estimator.coef_, estimator.intercept_, estimator.fit_intercept, c)
    return Reading(
        loss=Separate(Squared(), outputs=c),
        targets=targets,
        weights=weights,
        matrix=matrix,
        free=free,
        penalty=_penalty(alpha, task.n, c, task.d),
        normalization="sum",
        classes=classes,
        output_names=(str(classes[1]),) if c == 1 else tuple(str(label) for label in classes),
        encode=class_encoder(classes, code),
        write=write_linear,
        refit=refitting(task, plain, **settings),
        promise=_promise(task),
        spread=_spread(targets.reshape(task.n, c), weights),
        frozen=(*frozen, *(("class weights",) if settings else ())),
        class_factors=factors,
    )


def _penalty(alpha: Any, n: int, c: int, d: int) -> Float[Array, "c D"]:
    penalty = np.zeros((c, d + 1))
    penalty[:, :-1] = np.broadcast_to(np.reshape(np.asarray(alpha, dtype=np.float64), (-1, 1)) / n, (c, d))
    return penalty


def _promise(task: Task) -> Promise:
    estimator = task.estimator
    solver = str(getattr(estimator, "solver_", getattr(estimator, "solver", "a direct solve")))
    float32 = np.dtype(getattr(estimator.coef_, "dtype", np.float64)) == np.float32
    steps, limit = count_steps(estimator), getattr(estimator, "max_iter", None)
    if solver in ("sag", "saga"):
        return no_promise(solver, steps, limit or 1000)
    if solver in ("sparse_cg", "lsqr"):
        return relative_to_start(solver, float(estimator.tol), steps if limit else None, limit)
    if hasattr(task.x, "indptr") and task.name == "LinearRegression":
        return relative_to_start("lsqr", float(estimator.tol), None, None)
    if task.name == "LinearRegression" and int(estimator.rank_) < task.d:
        return direct("LAPACK's gelsd", float32, dropped=float(estimator.tol) * task.d**0.5)
    return direct(solver, float32)


def _spread(targets: Float[Array, "n c"], weights: Float[Array, " n"]) -> Float[Array, " c"]:
    """Standard deviation of each target under the weights."""
    mean = np.average(targets, axis=0, weights=weights)
    return np.asarray(np.sqrt(np.average((targets - mean) ** 2, axis=0, weights=weights)))
