"""Ridge: ½ (z − y)² and λ = α/n, one α or one per target; the sum form, intercept free.

Source: METHODS.md 1 (mapping table), scikit-learn's _ridge.py.
"""

from typing import Any

import numpy as np
from sklearn.base import clone

from upweight.adapters.labels import number_encoder
from upweight.adapters.reading import Reading, Stopping, Task, layout
from upweight.output_loss import Separate, Squared
from upweight.shapes import Array, Float

__all__ = ["read_ridge", "write_linear"]


def write_linear(estimator: Any, matrix: Float[Array, "c D"]) -> None:
    """coef_ and intercept_ in the shapes that the estimator had."""
    shape, intercept = np.shape(estimator.coef_), estimator.intercept_
    estimator.coef_ = np.array(matrix[:, :-1]).reshape(shape)
    estimator.intercept_ = matrix[:, -1].reshape(np.shape(intercept)) if np.ndim(intercept) else float(matrix[0, -1])


def read_ridge(task: Task) -> Reading:
    """Ridge."""
    estimator, n = task.estimator, task.n
    flat = np.ndim(task.y) == 1 or np.ndim(estimator.coef_) == 1
    c = 1 if np.ndim(estimator.coef_) == 1 else int(np.shape(estimator.coef_)[0])
    encode = number_encoder(c, flat)
    matrix, free = layout(estimator.coef_, estimator.intercept_, estimator.fit_intercept, c)
    penalty = np.zeros_like(matrix)
    penalty[:, :-1] = np.broadcast_to(np.reshape(estimator.alpha, (-1, 1)) / n, (c, task.d))
    return Reading(
        loss=Separate(Squared(), outputs=c),
        targets=encode(task.y),
        weights=task.sample_weight,
        matrix=matrix,
        free=free,
        penalty=penalty,
        normalization="sum",
        kind="regression",
        classes=(),
        output_names=task.target_names if len(task.target_names) == c else tuple(f"y{k}" for k in range(c)),
        encode=encode,
        write=write_linear,
        plain=lambda: clone(estimator),
        stopping=Stopping("a direct solve", 1.0, None),
        has_probability=False,
    )
