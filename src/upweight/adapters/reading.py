"""What a reader is given and what it finds: one estimator's objective, parameters and promise, without its wrappers.

Stands on the output losses; the readers (logistic, ridge …) return it, `assemble` turns it into `Adapted`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone

from upweight.adapters.kernel_map import KernelMap
from upweight.adapters.labels import Encoder
from upweight.adapters.promise import Promise
from upweight.output_loss import OutputLoss
from upweight.shapes import Array, Bool, Float

__all__ = ["Kinks", "Reading", "Task", "layout", "refitting", "regression_names", "write_linear"]


@dataclass(frozen=True)
class Task:
    """A fitted final estimator and the data that it saw, already through the frozen preprocessing."""

    estimator: Any
    x: Any  # [n, d] numpy or scipy CSR
    y: Array  # as the user gave it, numpy
    sample_weight: Float[Array, " n"]
    target_names: tuple[str, ...]

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.x.shape[0])

    @property
    def d(self) -> int:
        """Columns, without the constant."""
        return int(self.x.shape[1])

    @property
    def name(self) -> str:
        """The estimator's class, as sentences say it."""
        return type(self.estimator).__name__


@dataclass(frozen=True)
class Kinks:
    """What else is known of a fit whose loss has kinks: its derivative says nothing of where it stands.

    `unit`: one of z, against which a kink is rounded. `bound`: where its solver stops, in the unit of z: by how much a
    row misses its margin where `dual`, what each hinge pulled with in the solver's end, is kept; else F − F* over the
    sum of the boxes. None: it promises nothing.
    """

    unit: float
    solver: str
    bound: float | None
    finished: bool | None
    dual: Float[Array, " m"] | None = None
    fault: str | None = None  # the sentence, where the solver's own end contradicts these rows


@dataclass(frozen=True)
class Reading:
    """F's parts for one estimator; the fields of LinearHead by the same names."""

    loss: OutputLoss
    targets: Array
    weights: Float[Array, " n"]
    matrix: Float[Array, "c D"]
    free: Bool[Array, "c D"]
    penalty: Float[Array, "c D"]
    normalization: str
    classes: tuple[Any, ...]  # () for a regression
    output_names: tuple[str, ...]
    encode: Encoder  # the user's y -> targets; InputError on what it cannot be
    write: Callable[[Any, Float[Array, "c D"]], None]  # puts a matrix into a copy of the estimator
    refit: Callable[[Array], Any]  # positions that stay -> the final estimator fitted on them, settings frozen
    promise: Promise
    spread: Float[Array, " c"]  # how large ∂ℓ/∂z is before anything is fitted
    has_probability: bool = False
    l1: Float[Array, "c D"] | None = None  # weight of |θ|: its support is free, its signs are fixed
    frozen: tuple[str, ...] = ()  # what a refit keeps: "C", "class weights"
    class_factors: Float[Array, " k"] | None = None  # what each class weighs a row with, inside `weights`
    map: KernelMap | None = None  # the estimator's columns -> what the head reads, and `phi`: that of the training rows
    phi: Float[Array, "n r"] | None = None
    kinks: Kinks | None = None  # of a loss that is a sum of hinges


def layout(coef: Any, intercept: Any, fit_intercept: bool, c: int) -> tuple[Float[Array, "c D"], Bool[Array, "c D"]]:
    """The matrix [c, D] in float64 and its free entries, from coef_ and intercept_ of any of sklearn's shapes."""
    coef = np.asarray(coef.toarray() if sp.issparse(coef) else coef, dtype=np.float64).reshape(c, -1)
    last = np.broadcast_to(np.asarray(intercept, dtype=np.float64).reshape(-1), (c,))
    free = np.ones((c, coef.shape[1] + 1), dtype=bool)
    free[:, -1] = fit_intercept
    return np.concatenate([coef, last[:, None]], axis=1), free


def write_linear(estimator: Any, matrix: Float[Array, "c D"]) -> None:
    """Puts coef_ and intercept_ into a copy of an estimator, in the shapes and the sparsity that it had."""
    coef = np.array(matrix[:, :-1])
    sparse = sp.issparse(estimator.coef_)
    estimator.coef_ = type(estimator.coef_)(coef) if sparse else coef.reshape(np.shape(estimator.coef_))
    shape = np.shape(estimator.intercept_)
    if shape:
        estimator.intercept_ = np.broadcast_to(matrix[:, -1], shape).copy()
    else:
        estimator.intercept_ = float(matrix[0, -1])


def refitting(task: Task, unfitted: Any, **settings: Any) -> Callable[[Array], Any]:
    """Positions -> `unfitted` with these settings, fitted on these rows with the user's own weights."""

    def refit(kept: Array) -> Any:
        model = clone(unfitted).set_params(**settings)
        return model.fit(task.x[kept], task.y[kept], sample_weight=task.sample_weight[kept])

    return refit


def regression_names(task: Task, c: int) -> tuple[str, ...]:
    """The targets' names, or y0, y1 … where y has none."""
    return task.target_names if len(task.target_names) == c else tuple(f"y{k}" for k in range(c))
