"""LogisticRegression: cross-entropy and λ = 1/(C n), in the sum form; two classes have one logit.

Source: METHODS.md 1 (mapping table and traps), scikit-learn's _logistic.py.
"""

from typing import Any

import numpy as np
from sklearn.base import clone

from upweight.adapters.labels import balanced_weights, class_codes, class_encoder
from upweight.adapters.reading import Reading, Stopping, Task, layout
from upweight.adapters.ridge import write_linear
from upweight.output_loss import Logistic, OutputLoss, Separate, Softmax

__all__ = ["read_logistic"]


def read_logistic(task: Task) -> Reading:
    """LogisticRegression with any solver."""
    estimator, n = task.estimator, task.n
    classes = tuple(estimator.classes_.tolist())
    codes = class_codes(task.y, classes)
    c = int(np.shape(estimator.coef_)[0])
    factors = balanced_weights(estimator.class_weight, classes, codes, task.sample_weight)
    matrix, free = layout(estimator.coef_, estimator.intercept_, estimator.fit_intercept, c)
    penalty = np.zeros_like(matrix)
    penalty[:, :-1] = 1.0 / (estimator.C * n)
    loss: OutputLoss = Separate(Logistic()) if c == 1 else Softmax(c)
    weights = task.sample_weight * factors[codes]

    def plain() -> Any:
        return clone(estimator).set_params(class_weight=None)

    return Reading(
        loss=loss,
        targets=codes.astype(np.float64) if c == 1 else codes,
        weights=weights,
        matrix=matrix,
        free=free,
        penalty=penalty,
        normalization="sum",
        kind="classification",
        classes=classes,
        output_names=(str(classes[1]),) if c == 1 else tuple(str(label) for label in classes),
        encode=class_encoder(classes, (lambda k: k.astype(np.float64)) if c == 1 else (lambda k: k)),
        write=write_linear,
        plain=plain,
        stopping=Stopping(estimator.solver, 1.0, estimator.tol),
        has_probability=True,
        frozen=("class weights",) if estimator.class_weight is not None else (),
    )
