"""KernelRidge: ½ (z − y)² over exact features of its kernel, λ = α/n (or one per target), sum form, no intercept.

Source: METHODS.md 1 (Ridge) and 2.6, scikit-learn's kernel_ridge.py.
"""

from typing import Any

import numpy as np

from upweight.adapters.kernel_map import kernel_map, named_kernel
from upweight.adapters.labels import number_encoder
from upweight.adapters.promise import direct
from upweight.adapters.reading import Reading, Task, refitting, regression_names
from upweight.errors import UnsupportedModel
from upweight.output_loss import Separate, Squared
from upweight.shapes import Float

__all__ = ["read_kernel_ridge"]


def read_kernel_ridge(task: Task) -> Reading:
    """KernelRidge with a kernel that scikit-learn has a name for.

    Raises: UnsupportedModel for precomputed kernels and functions.
    """
    estimator, n = task.estimator, task.n
    name = estimator.kernel
    if not isinstance(name, str) or name == "precomputed":
        raise UnsupportedModel(
            f"KernelRidge(kernel={name!r}) has no columns to read a query from, only values of its kernel. "
            "Use a kernel by its name: 'rbf', 'poly', 'laplacian', 'linear'."
        )
    kernel = named_kernel(name, gamma=estimator.gamma, degree=estimator.degree, coef0=estimator.coef0)
    mapped, phi = kernel_map(kernel, task.x, "KernelRidge", n)
    flat = np.ndim(estimator.dual_coef_) == 1
    dual = np.asarray(estimator.dual_coef_, dtype=np.float64).reshape(n, -1) if _same(task) else None
    c = int(np.shape(estimator.dual_coef_)[1]) if not flat else 1
    encode = number_encoder(c, flat)
    targets = encode(task.y)
    matrix = np.zeros((c, phi.shape[1] + 1))
    if dual is not None:
        matrix[:, :-1] = dual.T @ phi
    else:
        matrix[:, :-1] = np.linalg.lstsq(phi, np.reshape(estimator.predict(task.x), (n, c)), rcond=None)[0].T
    free = np.ones_like(matrix, dtype=bool)
    free[:, -1] = False
    penalty = np.zeros_like(matrix)
    alpha = np.asarray(estimator.alpha, dtype=np.float64).reshape(-1, 1) / n
    penalty[:, :-1] = np.broadcast_to(alpha, (c, phi.shape[1]))

    def write(copy: Any, moved: Float[Any, "c D"]) -> None:
        held = np.zeros((c, n))
        held[:, mapped.pivots] = mapped.dual(moved[:, :-1])
        copy.X_fit_, copy.dual_coef_ = task.x, held[0] if flat else held.T

    spread = targets.reshape(n, c)
    return Reading(
        loss=Separate(Squared(), outputs=c),
        targets=targets,
        weights=task.sample_weight,
        matrix=matrix,
        free=free,
        penalty=penalty,
        normalization="sum",
        classes=(),
        output_names=regression_names(task, c),
        encode=encode,
        write=write,
        refit=refitting(task, estimator),
        promise=direct("its Cholesky solve"),
        spread=np.sqrt(np.average(spread**2, axis=0, weights=task.sample_weight)),
        map=mapped,
        phi=phi,
    )


def _same(task: Task) -> bool:
    """Whether these are as many rows as it was fitted on: then its dual coefficients are theirs."""
    return int(task.estimator.X_fit_.shape[0]) == task.n
