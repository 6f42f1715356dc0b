"""What each of scikit-learn's solvers promises about the gradient where it stops, as a bound for every entry of ∇F.

Stands on shapes; the readers make one, `stationarity` judges the fit by it. `Yardstick` makes it independent of units:
columns [D] is each column's root mean square, outputs [c] the size of ∂ℓ/∂z before anything is fitted, so that their
product is how large an entry of ∇F is at the start. Source: scikit-learn 1.9's solvers, named at each rule.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from upweight.shapes import Array, Float

__all__ = ["Promise", "Yardstick", "direct", "duality_gap", "largest_entry", "no_promise", "relative_to_start"]

SLACK = 2.0  # another order of summation; ten rows missing of digits exceed lbfgs's own tol 8 times
NO_LONGER_FELL = 1e-6  # relative gradient at which F falls by 64 roundings a step, lbfgs's other rule: 8 √(64 ε)
EXACT = 1e-7  # relative gradient that a direct solve in float64 leaves where the condition number is up to 1e8
EXACT_FLOAT32 = 1e-3


@dataclass(frozen=True)
class Yardstick:
    """Sizes of the problem before it is fitted, and the gradient of F at θ = 0."""

    columns: Float[Array, " D"]
    outputs: Float[Array, " c"]
    at_zero: Callable[[], Float[Array, "c D"]]

    @property
    def entries(self) -> Float[Array, "c D"]:
        """How large an entry of ∇F is before anything is fitted."""
        return np.asarray(self.outputs[:, None] * self.columns[None, :])

    @property
    def largest(self) -> Float[Array, "c D"]:
        """The largest of each output's entries: what rounding and a stalled solver leave spreads over all columns."""
        return np.broadcast_to(np.max(self.entries, axis=1)[:, None], self.entries.shape)


@dataclass(frozen=True)
class Promise:
    """`bound`: the largest |∂F| that a fit which stopped by its own rule leaves; None where there is no such rule.

    `scale` × ∇F is the gradient in the solver's own terms. `steps` and `limit` are its iterations and max_iter (None:
    not told).
    """

    solver: str
    bound: Callable[[Yardstick], Float[Array, "c D"]] | None
    scale: float = 1.0
    steps: int | None = None
    limit: int | None = None

    @property
    def finished(self) -> bool | None:
        """Whether it stopped before its limit."""
        return None if self.steps is None or self.limit is None else self.steps < self.limit


def direct(solver: str, float32: bool = False, dropped: float = 0.0) -> Promise:
    """A factorisation: rounding alone, and what lies in directions that it drops, `dropped` of the largest."""
    share = max(EXACT_FLOAT32 if float32 else EXACT, dropped)
    return Promise(solver, lambda yardstick: share * yardstick.largest)


def largest_entry(
    solver: str, tol: float, scale: float, steps: int | None, limit: int | None, fell: float = NO_LONGER_FELL
) -> Promise:
    """lbfgs (gtol), newton-cg, newton-cholesky: max |g| <= tol in the solver's own objective, scale × F.

    They also stop where F no longer falls, whatever the gradient: on columns of large numbers long before max |g| is
    at tol. `fell` is the relative gradient that this leaves.
    """

    def bound(yardstick: Yardstick) -> Float[Array, "c D"]:
        return np.maximum(SLACK * tol / scale, fell * yardstick.largest)

    if solver == "newton-cholesky" and limit is not None:
        limit -= 1  # it counts from 0 and reports one step less where it gives up
    return Promise(solver, bound, scale, steps, limit)


def relative_to_start(
    solver: str,
    share: float,
    steps: int | None,
    limit: int | None,
    scaling: float = 1.0,
    order: int = 2,
) -> Promise:
    """liblinear: ‖g‖ <= share × ‖g at θ = 0‖ (order 2; 1 for l1), the intercept's entry times its scaling.

    Ridge's sparse_cg and lsqr keep the same promise within the columns' sizes.
    """

    def bound(yardstick: Yardstick) -> Float[Array, "c D"]:
        start = np.array(yardstick.at_zero())
        start[:, -1] *= scaling
        entries = np.full_like(start, SLACK * share * float(np.linalg.norm(start.reshape(-1), ord=order)))
        entries[:, -1] /= scaling
        return np.maximum(entries, NO_LONGER_FELL * yardstick.largest)

    return Promise(solver, bound, 1.0, steps, limit)


def duality_gap(solver: str, gap: Float[Array, " c"], steps: int | None, limit: int | None) -> Promise:
    """Coordinate descent: F − F* <= gap, so |∂F/∂θ_j| <= √(2 gap × mean square of column j)."""

    def bound(yardstick: Yardstick) -> Float[Array, "c D"]:
        by_gap = np.sqrt(2.0 * np.maximum(gap, 0.0))[:, None] * yardstick.columns[None, :]
        return np.asarray(by_gap + EXACT * yardstick.largest)

    return Promise(solver, bound, 1.0, steps, limit)


def no_promise(solver: str, steps: int | None, limit: int | None) -> Promise:
    """sag, saga, SGD: they watch their own steps, or the loss, not the gradient."""
    return Promise(solver, None, 1.0, steps, limit)
