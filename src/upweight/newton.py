"""The optimum of a linear head from where it stands: damped Newton steps with the exact Hessian and a line search.

A full step is taken where the gradient shrinks in the norm of H⁻¹ (affine invariant, no function values, exact to
rounding near the optimum); elsewhere, and where the curvature jumps, the step is halved until F falls. Convex heads
only. Stands on curvature and solvers; adapters polish with it. Source: Deuflhard (2004), section 2.1; Nocedal &
Wright (2006), chapter 3.
"""

from dataclasses import dataclass

import numpy as np

from upweight.arrays import namespace
from upweight.curvature import HeadCurvature
from upweight.linear_head import LinearHead
from upweight.shapes import Array, Float
from upweight.solvers import SOLVERS, Cholesky, Prepared, Solver, Woodbury

__all__ = ["Minimum", "minimise", "newton_solver"]

DENSE = 4000  # parameters up to which the Hessian is written out
SUFFICIENT = 1e-4  # Armijo's share of the predicted decrease
HALVINGS = 40
ROUNDING = 8.0  # a step within so many roundings of F changes nothing that can be measured


@dataclass(frozen=True)
class Minimum:
    """`head` at the last θ; `decrement` √(gᵀH⁻¹g) says how far from the optimum it still is, in the norm of H."""

    head: LinearHead
    decrement: float
    steps: int
    converged: bool


def newton_solver(head: LinearHead) -> Solver:
    """The direct solver that this head can afford, else conjugate gradients."""
    if head.params.size <= DENSE:
        return Cholesky()
    if head.n * head.c <= DENSE:
        return Woodbury()
    solver: Solver = SOLVERS["cg"]()
    return solver


def minimise(head: LinearHead, tol: float = 1e-12, max_steps: int = 100, solver: Solver | None = None) -> Minimum:
    """The head at the minimum of its own F.

    `tol`: the decrement, relative to √(s Σ w ℓ), at which one last full step is taken (that step squares it).
    A head that has no minimum (separable data without a penalty) ends `converged` False, finite.
    """
    solver = solver or newton_solver(head)
    with np.errstate(over="ignore", invalid="ignore"):  # a trial step may overflow; it is not taken
        return _descend(head, tol, max_steps, solver)


def _descend(head: LinearHead, tol: float, max_steps: int, solver: Solver) -> Minimum:
    size, decrement = 0.0, float("inf")
    for step in range(max_steps):
        prepared = _prepared(head, solver)
        direction = -prepared.apply(head.gradient[None])[0]
        slope = _dot(head.gradient, direction)
        if not slope < 0.0:  # zero gradient, or a direction that the curvature cannot answer
            return Minimum(head, abs(slope) ** 0.5, step, slope == 0.0 or decrement <= size)
        decrement, size = (-slope) ** 0.5, tol * max(head.value, 0.0) ** 0.5
        close = decrement <= size
        moved = _step(head, direction, slope, prepared)
        if moved is None:  # nothing to gain that could be measured
            return Minimum(head, decrement, step, close or _drowned(head, slope))
        head = moved
        if close:
            return Minimum(head, _decrement(head, prepared), step + 1, True)
    return Minimum(head, decrement, max_steps, False)


def _step(head: LinearHead, direction: Array, slope: float, prepared: Prepared) -> LinearHead | None:
    """The head one accepted step on; None where no step helps."""
    start, theta = head.value, head.params.vector
    full = head.at(theta + direction)
    if _finite(full) and _decrement(full, prepared) <= 0.5 * (-slope) ** 0.5:
        return full
    length = 1.0
    for _ in range(HALVINGS):
        trial = head.at(theta + length * direction)
        if np.isfinite(trial.value) and trial.value <= start + SUFFICIENT * length * slope and trial.value < start:
            return trial
        length *= 0.5
    return None


def _prepared(head: LinearHead, solver: Solver) -> Prepared:
    """H at the head; where it answers with a direction that is not down, a little more of the identity."""
    curvature, damping = HeadCurvature(head), 0.0
    scale = float(namespace(head.gradient).max(namespace(head.gradient).abs(curvature.curvature_diagonal())))
    for _ in range(12):
        prepared = solver.prepare(curvature.damped(damping))
        x = prepared.apply(head.gradient[None])[0]
        left = prepared.solve(head.gradient[None]).residual[0] if damping == 0.0 else 0.0
        if _dot(head.gradient, x) > 0.0 and left < 0.5:
            return prepared
        damping = max(damping * 100.0, 1e-10 * scale, 1e-300)
    return prepared


def _decrement(head: LinearHead, prepared: Prepared) -> float:
    return abs(_dot(head.gradient, prepared.apply(head.gradient[None])[0])) ** 0.5


def _drowned(head: LinearHead, slope: float) -> bool:
    """Whether the decrease that is left is below what F's own rounding lets one see."""
    return -slope <= ROUNDING * float(np.finfo(np.float64).eps) * max(abs(head.value), 1e-300)


def _finite(head: LinearHead) -> bool:
    xp = namespace(head.gradient)
    return bool(np.isfinite(head.value)) and bool(xp.all(xp.isfinite(head.gradient)))


def _dot(a: Float[Array, " p"], b: Float[Array, " p"]) -> float:
    return float(namespace(a).sum(a * b))
