"""What a reader is given and what it finds: one estimator's objective, parameters and promise, without its wrappers.

Stands on linear_head's parts; the readers (logistic, ridge …) return it, `assemble` turns it into `Adapted`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from upweight.output_loss import OutputLoss
from upweight.shapes import Array, Bool, Float

__all__ = ["Reading", "Stopping", "Task", "layout"]


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
class Stopping:
    """What the solver promises about the gradient where it stops.

    `scale` turns ∇F into the solver's own gradient; `tol` is the largest entry of that gradient which a fit that
    stopped by its own rule can leave, or None where the solver makes no such promise; `steps` and `limit` are its
    iterations and max_iter, None for a direct solver.
    """

    solver: str
    scale: float
    tol: float | None
    steps: int | None = None
    limit: int | None = None


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
    kind: str
    classes: tuple[Any, ...]
    output_names: tuple[str, ...]
    encode: Callable[[Any], Array]  # the user's y -> targets; InputError on what it cannot be
    write: Callable[[Any, Float[Array, "c D"]], None]  # puts a matrix into a copy of the estimator
    plain: Callable[[], Any]  # an unfitted estimator with the chosen settings and no class weights, for cold refits
    stopping: Stopping
    has_probability: bool
    linear_penalty: Float[Array, "c D"] | None = None
    fit_weights: Float[Array, " n"] | None = None  # sample_weight of a cold refit where it is not `weights`
    frozen: tuple[str, ...] = ()  # what a refit keeps: "the choice of C", "class weights"
    notes: tuple[str, ...] = ()


def layout(coef: Any, intercept: Any, fit_intercept: bool, c: int) -> tuple[Float[Array, "c D"], Bool[Array, "c D"]]:
    """The matrix [c, D] in float64 and its free entries, from coef_ and intercept_ of any of sklearn's shapes."""
    coef = np.asarray(coef.toarray() if hasattr(coef, "toarray") else coef, dtype=np.float64).reshape(c, -1)
    last = np.broadcast_to(np.asarray(intercept, dtype=np.float64).reshape(-1), (c,))
    free = np.ones((c, coef.shape[1] + 1), dtype=bool)
    free[:, -1] = fit_intercept
    return np.concatenate([coef, last[:, None]], axis=1), free
