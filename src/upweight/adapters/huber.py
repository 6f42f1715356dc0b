"""HuberRegressor: σ + σ H_ε(r/σ) with its scale σ as a second output that only a constant moves; λ = 2α/n, sum form.

Source: METHODS.md 1 (mapping table), scikit-learn's _huber.py.
"""

from typing import Any

import numpy as np

from upweight.adapters.labels import count_steps, number_encoder
from upweight.adapters.promise import Promise, largest_entry
from upweight.adapters.reading import Reading, Task, refitting, write_linear
from upweight.output_loss import HuberWithScale
from upweight.shapes import Array, Float

__all__ = ["read_huber"]

STOPPED_FALLING = 1e-3  # 20 √ftol: scipy's default ftol of 2.2e-9 is left as it is


def read_huber(task: Task) -> Reading:
    """HuberRegressor."""
    estimator, n, d = task.estimator, task.n, task.d
    epsilon = float(estimator.epsilon)
    encode = number_encoder(1, True)
    matrix = np.zeros((2, d + 1))
    matrix[0, :-1], matrix[0, -1], matrix[1, -1] = estimator.coef_, estimator.intercept_, estimator.scale_
    free = np.zeros((2, d + 1), dtype=bool)
    free[0, :-1], free[0, -1], free[1, -1] = True, estimator.fit_intercept, True
    penalty = np.zeros((2, d + 1))
    penalty[0, :-1] = 2.0 * estimator.alpha / n
    targets = encode(task.y)

    def write(copy: Any, moved: Float[Array, "c D"]) -> None:
        write_linear(copy, moved[:1])
        copy.scale_ = float(moved[1, -1])
        residual = np.abs(targets - task.x @ copy.coef_ - copy.intercept_)
        copy.outliers_ = residual > copy.scale_ * copy.epsilon

    return Reading(
        loss=HuberWithScale(epsilon),
        targets=targets,
        weights=task.sample_weight,
        matrix=matrix,
        free=free,
        penalty=penalty,
        normalization="sum",
        classes=(),
        output_names=(task.target_names[0], "scale"),
        encode=encode,
        write=write,
        refit=refitting(task, estimator),
        promise=_promise(task),
        spread=np.array([2.0 * epsilon, max(epsilon**2 - 1.0, 1.0)]),
    )


def _promise(task: Task) -> Promise:
    """gtol on the summed objective, and ftol, which comes first: F fell by less than 2.2e-9 of itself in a step."""
    estimator = task.estimator
    steps, limit = count_steps(estimator), int(estimator.max_iter)
    return largest_entry("lbfgs", float(estimator.tol), float(task.n), steps, limit, fell=STOPPED_FALLING)
