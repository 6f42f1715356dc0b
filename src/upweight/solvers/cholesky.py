"""Dense Cholesky of the written-out curvature: exact, p³/3 once, p² for every right-hand side.

Where the matrix is singular (collinear columns without a penalty) the eigenvectors it does have answer instead: exact
for every question that does not see the missing directions, and the residual says when one does.
"""

from dataclasses import dataclass

import numpy as np

from upweight.arrays import namespace
from upweight.curvature import Curvature, Dense
from upweight.errors import UnsupportedQuestion
from upweight.shapes import Array, Float, Vectors
from upweight.solvers.base import Prepared, Solution, Status, only_finite, relative, statuses
from upweight.solvers.symmetric import SMALLEST_CONDITION, symmetric

__all__ = ["Cholesky"]


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
        h = curvature.dense()
        xp, p = namespace(h), h.shape[0]
        factored = symmetric(h, self.smallest_condition)
        bent = Status.NEGATIVE_CURVATURE if factored.lowest < 0 else None
        lowest: tuple[float | None, ...] = (factored.lowest if bent else None,)

        def apply(b: Vectors) -> Vectors:
            return xp.matrix_transpose(factored.solve(xp.matrix_transpose(b)))

        def answer(b: Vectors) -> Solution:
            b, good = only_finite(b)
            x = apply(b)
            residual = relative(b - x @ h, b)
            found = statuses(good, residual, self.tol, [bent] * b.shape[0])
            return Solution(x, residual, np.zeros(b.shape[0], dtype=int), found, lowest * b.shape[0])

        def inverse() -> Float[Array, "p p"]:
            return factored.solve(xp.eye(p, dtype=h.dtype))

        words = (
            f"Cholesky of the {p:,} × {p:,} Hessian"
            if not factored.singular
            else f"eigenvectors of the {p:,} × {p:,} Hessian, which is singular "
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
