"""The optimum of a linear head from where it stands: damped Newton steps with the exact Hessian and a line search.

A full step is taken where the gradient shrinks in the norm of H⁻¹ (affine invariant, no function values, exact to
rounding near the optimum); elsewhere, and where the curvature jumps, the step is halved until F falls. Convex heads
only. Stands on curvature and solvers; adapters polish with it. Source: Deuflhard (2004), section 2.1; Nocedal &
Wright (2006), chapter 3.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from upweight.arrays import NotPositiveDefinite, factor, namespace
from upweight.curvature import HeadCurvature
from upweight.linear_head import LinearHead
from upweight.shapes import Array, Float
from upweight.solvers import SOLVERS, Solver, Woodbury

__all__ = ["DENSE", "Minimum", "minimise"]

Inverse = Callable[[Float[Array, " p"]], Float[Array, " p"]]

DENSE = 4000  # parameters up to which the Hessian, or rows × outputs up to which the n-side, is written out
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


def minimise(head: LinearHead, tol: float = 1e-12, max_steps: int = 100, solver: Solver | None = None) -> Minimum:
    """The head at the minimum of its own F.

    `tol`: the decrement, relative to √(s Σ w ℓ), at which one last full step is taken (that step squares it).
    `solver`: what answers H d = −g; else the Hessian is factored where it can be written out, the n-side where that is
    small, or conjugate gradients. A head that has no minimum (separable data without a penalty) ends `converged` False.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a trial step may overflow; it is not taken
        return _descend(head, tol, max_steps, solver)


def _descend(head: LinearHead, tol: float, max_steps: int, solver: Solver | None) -> Minimum:
    size, decrement = 0.0, float("inf")
    for step in range(max_steps):
        inverse = _inverse(head, solver)
        direction = -inverse(head.gradient)
        slope = _dot(head.gradient, direction)
        if not slope < 0.0:  # zero gradient, or a direction that the curvature cannot answer
            return Minimum(head, abs(slope) ** 0.5, step, slope == 0.0 or decrement <= size)
        decrement, size = (-slope) ** 0.5, tol * max(head.value, 0.0) ** 0.5
        close = decrement <= size
        moved = _step(head, direction, slope, inverse)
        if moved is None:  # nothing to gain that could be measured
            return Minimum(head, decrement, step, close or _drowned(head, slope))
        head = moved
        if close:
            return Minimum(head, _decrement(head, inverse), step + 1, True)
    return Minimum(head, decrement, max_steps, False)


def _step(head: LinearHead, direction: Array, slope: float, inverse: Inverse) -> LinearHead | None:
    """The head one accepted step on; None where no step helps."""
    start, theta = head.value, head.params.vector
    full = head.at(theta + direction)
    if _finite(full) and _decrement(full, inverse) <= 0.5 * (-slope) ** 0.5:
        return full
    length = 1.0
    for _ in range(HALVINGS):
        trial = full if length == 1.0 else head.at(theta + length * direction)
        if np.isfinite(trial.value) and trial.value <= start + SUFFICIENT * length * slope and trial.value < start:
            return trial
        length *= 0.5
    return None


def _inverse(head: LinearHead, solver: Solver | None) -> Inverse:
    """v -> H⁻¹ v at the head; where that is not a way down, with a little of the diagonal added."""
    curvature = HeadCurvature(head)
    if solver is None and head.params.size <= DENSE:
        return _factored(head, curvature.dense())
    if solver is None:
        solver = Woodbury() if head.n * head.c <= DENSE else SOLVERS["cg"]()
    prepared = solver.prepare(curvature)
    return lambda v: prepared(v[None]).x[0]


def _factored(head: LinearHead, h: Float[Array, "p p"]) -> Inverse:
    """Cholesky in coordinates where H has a unit diagonal: columns of any scale; damped until it is a way down."""
    xp = namespace(h)
    diagonal = xp.linalg.diagonal(h)
    scale = xp.where(diagonal > 0, 1.0 / xp.sqrt(xp.where(diagonal > 0, diagonal, 1.0)), 1.0)
    unit = h * scale[:, None] * scale[None, :]
    eye = xp.eye(h.shape[0], dtype=h.dtype)
    for damping in (0.0, 1e-14, *(10.0**k for k in range(-12, 3, 2))):
        try:
            solve = factor(unit + damping * eye if damping else unit)
        except NotPositiveDefinite:
            continue
        x = scale * solve((scale * head.gradient)[:, None])[:, 0]
        if bool(xp.all(xp.isfinite(x))) and _dot(head.gradient, x) > 0.0:
            break
    else:
        return lambda v: scale**2 * v
    return lambda v: scale * solve((scale * v)[:, None])[:, 0]


def _decrement(head: LinearHead, inverse: Inverse) -> float:
    return float(abs(_dot(head.gradient, inverse(head.gradient))) ** 0.5)


def _drowned(head: LinearHead, slope: float) -> bool:
    """Whether the decrease that is left is below what F's own rounding lets one see."""
    return -slope <= ROUNDING * float(np.finfo(np.float64).eps) * max(abs(head.value), 1e-300)


def _finite(head: LinearHead) -> bool:
    xp = namespace(head.gradient)
    return bool(np.isfinite(head.value)) and bool(xp.all(xp.isfinite(head.gradient)))


def _dot(a: Float[Array, " p"], b: Float[Array, " p"]) -> float:
    return float(namespace(a).sum(a * b))
