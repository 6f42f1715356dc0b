"""LogisticRegression and its CV form: cross-entropy, λ = 1/(C n), the sum form; two classes have one logit.

liblinear penalises the intercept by λ / intercept_scaling² (l1: λ / intercept_scaling). "balanced" counts weighted
rows. Source: METHODS.md 1 (mapping table and traps), scikit-learn's _logistic.py.
"""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from upweight.adapters.labels import class_codes, class_encoder, class_factors, count_steps
from upweight.adapters.promise import Promise, largest_entry, no_promise, relative_to_start
from upweight.adapters.reading import Reading, Task, layout, refitting, write_linear
from upweight.errors import UnsupportedModel
from upweight.output_loss import Logistic, OutputLoss, Separate, Softmax
from upweight.shapes import Array, Float

__all__ = ["logistic_promise", "penalties", "read_logistic", "read_logistic_cv", "shares_of_l1"]


def read_logistic(task: Task) -> Reading:
    """LogisticRegression with any solver."""
    estimator = task.estimator
    penalised = estimator.penalty is not None
    return _read(task, float(estimator.C) if penalised else np.inf, shares_of_l1(estimator), chosen=False)


def read_logistic_cv(task: Task) -> Reading:
    """LogisticRegressionCV at the C (and l1_ratio) that it chose.

    Raises: UnsupportedModel for refit=False, whose coefficients are a mean over folds and no optimum of anything.
    """
    estimator = task.estimator
    if not estimator.refit:
        raise UnsupportedModel(
            "LogisticRegressionCV(refit=False) averages the coefficients of its folds, which is no optimum of any "
            "objective. Fit it with refit=True."
        )
    chosen = float(np.ravel(estimator.C_)[0])
    found = np.ravel(np.asarray(estimator.l1_ratio_, dtype=object))
    share = float(found[0]) if len(found) and found[0] is not None else 0.0
    share = {"l1": 1.0, "l2": 0.0}.get(estimator.penalty, share)
    return _read(task, chosen, share, chosen=True)


def shares_of_l1(estimator: Any) -> float:
    """l1_ratio, through the deprecated `penalty` where that is still used."""
    named = {"l1": 1.0, "l2": 0.0, None: 0.0}
    if estimator.penalty in named:
        return named[estimator.penalty]
    return float(estimator.l1_ratio or 0.0)


def penalties(
    estimator: Any, weight: float, share: float, c: int, d: int
) -> tuple[Float[Array, "c D"], Float[Array, "c D"]]:
    """Λ and the l1 weights of `weight` split by `share`; liblinear's intercept is penalised like a feature."""
    ridge, l1 = np.zeros((c, d + 1)), np.zeros((c, d + 1))
    ridge[:, :-1], l1[:, :-1] = weight * (1.0 - share), weight * share
    if estimator.solver == "liblinear" and estimator.fit_intercept:
        scaling = float(estimator.intercept_scaling)
        ridge[:, -1], l1[:, -1] = weight * (1.0 - share) / scaling**2, weight * share / scaling
    return ridge, l1


def logistic_promise(
    estimator: Any, weights: Float[Array, " n"], counts: Array, share: float, steps: int | None
) -> Promise:
    """What this LogisticRegression's solver promises; `counts` is the number of rows of each class."""
    solver, tol, limit, n = estimator.solver, float(estimator.tol), int(estimator.max_iter), len(weights)
    if solver in ("lbfgs", "newton-cg", "newton-cholesky"):
        return largest_entry(solver, tol, n / float(np.sum(weights)), steps, limit)
    if solver == "liblinear" and not estimator.dual:
        rarest = max(int(np.min(counts)), 1) / n
        return relative_to_start(
            solver, tol * rarest, steps, limit, float(estimator.intercept_scaling), 1 if share else 2
        )
    return no_promise(solver + (" (dual)" if solver == "liblinear" else ""), steps, limit)


def _read(task: Task, strength: float, share: float, chosen: bool) -> Reading:
    estimator, n = task.estimator, task.n
    classes = tuple(estimator.classes_.tolist())
    codes = class_codes(task.y, classes)
    c = int(np.shape(estimator.coef_)[0])
    factors = class_factors(estimator.class_weight, classes, codes, task.sample_weight)
    weights = task.sample_weight * factors[codes]
    matrix, free = layout(estimator.coef_, estimator.intercept_, estimator.fit_intercept, c)
    ridge, l1 = penalties(estimator, 1.0 / (strength * n), share, c, task.d)
    loss: OutputLoss = Separate(Logistic()) if c == 1 else Softmax(c)
    counts = np.bincount(codes, minlength=len(classes))
    frozen = {} if estimator.class_weight is None else {"class_weight": dict(zip(classes, factors, strict=True))}
    return Reading(
        loss=loss,
        targets=codes.astype(np.float64) if c == 1 else codes,
        weights=weights,
        matrix=matrix,
        free=free,
        penalty=ridge,
        normalization="sum",
        classes=classes,
        output_names=(str(classes[1]),) if c == 1 else tuple(str(label) for label in classes),
        encode=class_encoder(classes, (lambda k: k.astype(np.float64)) if c == 1 else (lambda k: k)),
        write=write_linear,
        refit=refitting(task, _plain(estimator, strength, share) if chosen else estimator, **frozen),
        promise=logistic_promise(estimator, weights, counts, share, count_steps(estimator)),
        spread=np.full(c, 0.5),
        has_probability=True,
        l1=l1 if share else None,
        frozen=(*(("the choice of C",) if chosen else ()), *(("class weights",) if frozen else ())),
        class_factors=factors,
    )


def _plain(estimator: Any, strength: float, share: float) -> LogisticRegression:
    same = ("dual", "tol", "fit_intercept", "intercept_scaling", "class_weight", "random_state", "solver", "max_iter")
    return LogisticRegression(C=strength, l1_ratio=share, **{name: getattr(estimator, name) for name in same})
