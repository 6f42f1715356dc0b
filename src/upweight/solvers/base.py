"""What a solver is: a frozen value that prepares a curvature once and then answers any number of right-hand sides.

A solver never raises on hard input and never returns NaN: each row's status says what happened and what to do.
Stands on curvature; sensitivities and refits stand on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, runtime_checkable

from upweight.arrays import length, namespace, to_numpy
from upweight.curvature import Curvature
from upweight.curvature.spectrum import lowest
from upweight.shapes import Array, Bool, Float, Vectors

__all__ = ["Prepared", "Solution", "Solver", "Status", "bent", "only_finite", "relative", "statuses"]


class Status(Enum):
    """What became of one right-hand side: cause, and what to do."""

    CONVERGED = "solved to the stated residual"
    STALLED = (
        "the residual stopped falling: the curvature is singular or too ill-conditioned for this precision. "
        "Standardise the columns, drop collinear ones, or add a penalty"
    )
    OUT_OF_STEPS = "the step limit came before the residual was reached. Allow more steps, or use solver='cholesky'"
    NEGATIVE_CURVATURE = (
        "the curvature bends down in a direction: the model is not at a minimum. Train it further, or add damping"
    )
    NONFINITE_INPUT = (
        "the question or the curvature holds NaN or infinity: a loss or gradient overflowed. Check the data"
    )


@dataclass(frozen=True)
class Solution:
    """Answers and how far to trust each: finite always.

    `residual` is ‖b − Hx‖ / ‖b‖, in the norm in which the solver promises its `tol` (its docstring says which).
    """

    x: Vectors
    residual: Float[Array, " k"]
    iterations: Any  # [k] int
    status: tuple[Status, ...]
    lowest: tuple[float | None, ...] = ()  # lowest Rayleigh quotient found, where a row met one that bends down
    said: str = ""  # how these were found and how far off they are, where it is known only afterwards

    def explain(self, row: int) -> str:
        """What became of this row and what to do, with the numbers."""
        status = self.status[row]
        text = f"{status.value} (relative residual {float(self.residual[row]):.1e})"
        lowest = self.lowest[row] if self.lowest else None
        if status is Status.NEGATIVE_CURVATURE and lowest is not None:
            text += f"; it bends by {lowest:.3g}, so damping has to be at least {1.1 * abs(lowest):.3g} more"
        return text


@dataclass(frozen=True)
class Prepared:
    """A curvature made ready: call it to solve; `apply` is the bare operator, without a residual."""

    solve: Callable[[Vectors], Solution]
    apply: Callable[[Vectors], Vectors]
    inverse: Callable[[], Float[Array, "p p"]] | None = None  # H⁻¹ written out, where that is affordable
    leverages: Callable[[], Float[Array, "n c c"]] | None = None  # s X_i H⁻¹ X_iᵀ in one go, where the solver has it
    reciprocal_condition: float | None = None
    how: str = ""  # one sentence: what was factored, how large, to what residual
    leverage_error: Callable[[], float] | None = None  # largest relative error met on a sample; None: exact
    row_leverages: Callable[[Array], Float[Array, "b c c"]] | None = None  # the same for some rows (slice or index)

    @property
    def direct(self) -> bool:
        """Whether solves and leverages are exact to rounding: a factor of H itself, or of its n-side."""
        return self.inverse is not None or (self.leverages is not None and self.leverage_error is None)

    def __call__(self, b: Vectors) -> Solution:
        """Solve for every row of b."""
        return self.solve(b)


@runtime_checkable
class Solver(Protocol):
    """Holds its settings; `tol` is the relative residual it promises."""

    @property
    def tol(self) -> float:
        """Relative residual."""
        ...

    def prepare(self, curvature: Curvature) -> Prepared:
        """Everything that does not depend on the right-hand side.

        Raises: UnsupportedQuestion if the curvature lacks what the solver needs.
        """
        ...


def only_finite(b: Vectors) -> tuple[Vectors, Bool[Array, " k"]]:
    """The same rows with 0 in place of those that hold NaN or infinity, and which rows were fine."""
    xp = namespace(b)
    good = xp.all(xp.isfinite(b), axis=1)
    return xp.where(good[:, None], b, xp.zeros_like(b)), good


def bent(curvature: Curvature, met: Sequence[float | None]) -> tuple[float | None, ...]:
    """The Rayleigh quotients of directions that bent down, lowered to the lowest that a short search finds.

    A direction that a solver happens to meet bends less than the worst one, and damping has to cure the worst.
    """
    if all(value is None for value in met):
        return tuple(met)
    worst = lowest(curvature).rayleigh
    return tuple(None if value is None else min(value, worst) for value in met)


def relative(r: Vectors, b: Vectors) -> Float[Array, " k"]:
    """‖r‖ / ‖b‖ of each row; ‖r‖ where b is 0."""
    xp, size = namespace(b), length(b)
    return length(r) / xp.where(size > 0, size, xp.ones_like(size))


def statuses(
    finite: Bool[Array, " k"],
    residual: Float[Array, " k"],
    tol: float,
    met: Sequence[Status | None],
) -> tuple[Status, ...]:
    """Each row's status: what is wrong with its input, else what the solver met, else its residual's verdict."""
    out = []
    for fine, r, seen in zip(to_numpy(finite), to_numpy(residual), met, strict=True):
        verdict = Status.CONVERGED if float(r) <= tol else Status.STALLED
        out.append(Status.NONFINITE_INPUT if not fine else seen or verdict)
    return tuple(out)
