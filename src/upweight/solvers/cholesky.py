"""Dense Cholesky of the written-out curvature: exact, p³/3 once, p² for every right-hand side.

Where the matrix is singular (collinear columns without a penalty) the eigenvectors it does have answer instead: exact
for every question that does not see the missing directions, and the residual says when one does.
"""

from dataclasses import dataclass

import numpy as np

from upweight.arrays import beside, namespace
from upweight.curvature import Curvature, Dense, Named
from upweight.errors import UnsupportedQuestion
from upweight.shapes import Array, Float, Vectors
from upweight.solvers.base import Prepared, Solution, Status, only_finite, relative, statuses
from upweight.solvers.symmetric import SMALLEST_CONDITION, symmetric

__all__ = ["Cholesky"]

NOISE = 10.0  # roundings of a narrower type in an entry, of the largest eigenvalue: METHODS.md 11.1


@dataclass(frozen=True)
class Cholesky:
    """The residual is taken from the matrix that was factored: a second pass over the data costs 17 solves."""

    tol: float = 1e-8
    smallest_condition: float = SMALLEST_CONDITION

    def prepare(self, curvature: Curvature) -> Prepared:
        """Writes H out and factors it.

        Raises: UnsupportedQuestion if the curvature has no dense form.
        """
        if not isinstance(curvature, Dense):
            raise UnsupportedQuestion(
                f"solver='cholesky' needs a curvature that can be written out, and "
                f"{type(curvature).__name__} cannot. Use solver='cg'."
            )
        called = curvature.name if isinstance(curvature, Named) else "Hessian"
        written = curvature.dense()
        xp, p = namespace(written), written.shape[0]
        h, noise = xp.astype(written, xp.float64, copy=False), None
        if written.dtype != xp.float64:  # factored in float64; its entries are what they are
            noise = NOISE * float(xp.finfo(written.dtype).eps)
        if not bool(xp.all(xp.isfinite(h))):
            return _unanswered(written, called)
        factored = symmetric(h, self.smallest_condition, noise)
        bent = Status.NEGATIVE_CURVATURE if factored.lowest < 0 else None
        lowest: tuple[float | None, ...] = (factored.lowest if bent else None,)

        def apply(b: Vectors) -> Vectors:
            return xp.astype(exactly(xp.astype(b, h.dtype, copy=False)), b.dtype, copy=False)

        def exactly(b: Vectors) -> Vectors:
            return xp.matrix_transpose(factored.solve(xp.matrix_transpose(b)))

        def answer(b: Vectors) -> Solution:
            b, good = only_finite(b)
            wide = xp.astype(b, h.dtype, copy=False)
            x = exactly(wide)
            residual, x = relative(wide - x @ h, wide), xp.astype(x, b.dtype, copy=False)
            found = statuses(good, residual, self.tol, [bent] * b.shape[0])
            return Solution(x, residual, np.zeros(b.shape[0], dtype=int), found, lowest * b.shape[0])

        def inverse() -> Float[Array, "p p"]:
            eye = beside(np.eye(p), h)
            return xp.astype(factored.solve(eye), written.dtype, copy=False)

        words = (
            f"Cholesky of the {p:,} × {p:,} {called}"
            if not factored.singular
            else f"eigenvectors of the {p:,} × {p:,} {called}, which is singular "
            f"(reciprocal condition {factored.reciprocal_condition:.0e})"
        )
        if factored.lowest < 0:
            words += f"; it bends down: its lowest eigenvalue is {factored.lowest:.3g}"
        return Prepared(
            answer,
            apply,
            inverse=inverse,
            reciprocal_condition=factored.reciprocal_condition,
            how=words,
        )


def _unanswered(h: Float[Array, "p p"], called: str) -> Prepared:
    """What a matrix that holds NaN or infinity gives: zeros, and its status."""
    xp = namespace(h)

    def answer(b: Vectors) -> Solution:
        k = b.shape[0]
        residual, status = beside(np.full(k, np.inf), b), (Status.NONFINITE_INPUT,) * k
        return Solution(xp.zeros_like(b), residual, np.zeros(k, dtype=int), status)

    how = f"the {h.shape[0]:,} × {h.shape[0]:,} {called} holds NaN or infinity and was not factored"
    return Prepared(answer, xp.zeros_like, inverse=lambda: xp.zeros_like(h), how=how)
