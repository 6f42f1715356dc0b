"""Lasso, ElasticNet and their CV forms on their support: ½ (z − y)², α (1 − l1_ratio), the l1 part by its fixed signs.

The mean form: weights count relative to their sum. One support per target. Source: METHODS.md 1, scikit-learn's
_coordinate_descent.py.
"""

from typing import Any

import numpy as np
from sklearn.linear_model import ElasticNet, Lasso

from upweight.adapters.labels import count_steps, number_encoder
from upweight.adapters.promise import duality_gap
from upweight.adapters.reading import Reading, Task, layout, refitting, regression_names, write_linear
from upweight.output_loss import Separate, Squared
from upweight.shapes import Array

__all__ = ["read_elastic_net", "read_elastic_net_cv", "read_lasso", "read_lasso_cv"]


def read_lasso(task: Task) -> Reading:
    """Lasso."""
    return _read(task, float(task.estimator.alpha), 1.0, task.estimator, ())


def read_elastic_net(task: Task) -> Reading:
    """ElasticNet."""
    return _read(task, float(task.estimator.alpha), float(task.estimator.l1_ratio), task.estimator, ())


def read_lasso_cv(task: Task) -> Reading:
    """LassoCV at the α that it chose."""
    alpha = float(task.estimator.alpha_)
    return _read(task, alpha, 1.0, Lasso(alpha=alpha, **_same(task.estimator)), ("the choice of alpha",))


def read_elastic_net_cv(task: Task) -> Reading:
    """ElasticNetCV at the α and l1_ratio that it chose."""
    alpha, share = float(task.estimator.alpha_), float(task.estimator.l1_ratio_)
    plain = ElasticNet(alpha=alpha, l1_ratio=share, **_same(task.estimator))
    return _read(task, alpha, share, plain, ("the choice of alpha and l1_ratio",))


def _read(task: Task, alpha: float, share: float, plain: Any, frozen: tuple[str, ...]) -> Reading:
    estimator = task.estimator
    flat = np.ndim(estimator.coef_) == 1
    c = 1 if flat else int(np.shape(estimator.coef_)[0])
    encode = number_encoder(c, flat)
    targets: Array = encode(task.y)
    matrix, free = layout(estimator.coef_, estimator.intercept_, estimator.fit_intercept, c)
    ridge, l1 = np.zeros_like(matrix), np.zeros_like(matrix)
    ridge[:, :-1], l1[:, :-1] = alpha * (1.0 - share), alpha * share
    columns, weights = targets.reshape(task.n, c), task.sample_weight
    spread = np.sqrt(np.average((columns - np.average(columns, axis=0, weights=weights)) ** 2, axis=0, weights=weights))
    return Reading(
        loss=Separate(Squared(), outputs=c),
        targets=targets,
        weights=weights,
        matrix=matrix,
        free=free,
        penalty=ridge,
        normalization="mean",
        classes=(),
        output_names=regression_names(task, c),
        encode=encode,
        write=write_linear,
        refit=refitting(task, plain),
        promise=duality_gap(
            "coordinate descent",
            np.broadcast_to(np.asarray(estimator.dual_gap_, dtype=np.float64).reshape(-1), (c,)),
            count_steps(estimator),
            int(estimator.max_iter),
        ),
        spread=spread,
        l1=l1 if share * alpha > 0 else None,
        frozen=frozen,
    )


def _same(estimator: Any) -> dict[str, Any]:
    names = ("fit_intercept", "max_iter", "tol", "random_state", "selection")
    return {name: getattr(estimator, name) for name in names}
