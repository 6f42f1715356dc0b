"""What a solver is: a frozen value that prepares a curvature once and then answers any number of right-hand sides.

A solver never raises on hard input and never returns NaN: each row's status says what happened and what to do.
Stands on curvature; sensitivities and refits stand on it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import numpy as np

from upweight.arrays import length, namespace, to_numpy
from upweight.curvature import Curvature
from upweight.shapes import Array, Float, Vectors

__all__ = ["Prepared", "Solution", "Solver", "Status", "measured", "one_status"]


class Status(Enum):
    """What became of one right-hand side: cause, and what to do."""

    CONVERGED = "solved to the stated residual"
    STALLED = (
        "the residual stopped falling: the curvature is singular or too ill-conditioned for this precision. "
        "Standardise the columns, drop collinear ones, or add a penalty"
    )
    OUT_OF_STEPS = (
        "the step limit came before the residual was reached. Allow more steps, or use solver='cholesky'"
    )
    NEGATIVE_CURVATURE = "the curvature bends down in a direction: the model is not at a minimum. Train it further, or add damping"
    NONFINITE_INPUT = (
        "the right-hand side holds NaN or infinity: a loss or gradient overflowed. Check the data"
    )


@dataclass(frozen=True)
class Solution:
    """Answers and how far to trust each: finite always; `residual` is ‖b − Hx‖ / ‖b‖."""

    x: Vectors
    residual: Float[Array, " k"]
    iterations: Any  # [k] int
    status: tuple[Status, ...]


@dataclass(frozen=True)
class Prepared:
    """A curvature made ready: call it to solve; `apply` is the bare operator, without a residual."""

    solve: Callable[[Vectors], Solution]
    apply: Callable[[Vectors], Vectors]
    inverse: Callable[[], Float[Array, "p p"]] | None = None  # H⁻¹ written out, where that is affordable
    leverages: Callable[[], Float[Array, "n c c"]] | None = (
        None  # s X_i H⁻¹ X_iᵀ in one go, where the solver has it
    )
    reciprocal_condition: float | None = None
    how: str = ""  # one sentence: what was factored, how large, to what residual

    def __call__(self, b: Vectors) -> Solution:
        """Solve for every row of b."""
        return self.solve(b)


@runtime_checkable
class Solver(Protocol):
    """Holds its settings; `tol` is the relative residual it promises."""

    tol: float

    def prepare(self, curvature: Curvature) -> Prepared:
        """Everything that does not depend on the right-hand side.

        Raises: UnsupportedQuestion if the curvature lacks what the solver needs.
        """
        ...


def measured(curvature: Curvature, b: Vectors, x: Vectors, tol: float, iterations: Any) -> Solution:
    """The solution with its true residual; rows that are not finite become 0 and say why."""
    xp = namespace(b)
    good_b = xp.all(xp.isfinite(b), axis=1)
    good_x = xp.all(xp.isfinite(x), axis=1)
    x = xp.where((good_b & good_x)[:, None], x, 0.0)
    b = xp.where(good_b[:, None], b, 0.0)
    size = length(b)
    residual = length(b - curvature.matmul(x)) / xp.where(size > 0, size, 1.0)
    status = tuple(
        one_status(bool(fine), float(r), tol, Status.STALLED)
        for fine, r in zip(to_numpy(good_b), to_numpy(residual), strict=True)
    )
    return Solution(x, residual, np.broadcast_to(iterations, (b.shape[0],)), status)


def one_status(finite: bool, residual: float, tol: float, otherwise: Status) -> Status:
    """Converged by residual; else what the solver met."""
    if not finite:
        return Status.NONFINITE_INPUT
    return Status.CONVERGED if residual <= tol else otherwise
