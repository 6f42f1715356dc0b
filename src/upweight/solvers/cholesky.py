"""Dense Cholesky of the written-out curvature: exact, p³/3 once, p² for every right-hand side.

Where the matrix is singular (collinear columns without a penalty) the eigenvectors it does have answer instead: exact
for every question that does not see the missing directions, and the residual says when one does.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from upweight.arrays import NotPositiveDefinite, factor, length, namespace, to_numpy
from upweight.curvature import Curvature, Dense
from upweight.errors import UnsupportedQuestion
from upweight.shapes import Array, Float, Vectors
from upweight.solvers.base import Prepared, Solution, Status, one_status

__all__ = ["Cholesky"]


@dataclass(frozen=True)
class Cholesky:
    """The residual is taken from the matrix that was factored: a second pass over the data costs 17 solves."""

    tol: float = 1e-8
    smallest_condition: float = 1e-13  # reciprocal; below it the factor's digits are noise

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
        xp = namespace(h)
        values, vectors = None, None
        p = h.shape[0]
        try:
            solve = factor(h)
            condition = _reciprocal_condition(h, solve)
        except NotPositiveDefinite:
            condition = 0.0
        negative = False
        if condition < self.smallest_condition:
            values, vectors = xp.linalg.eigh(h)
            cut = xp.max(xp.abs(values)) * p * xp.finfo(h.dtype).eps
            negative = bool(values[0] < -cut)
            kept = xp.where(xp.abs(values) > cut, 1.0 / xp.where(values == 0, 1.0, values), 0.0)

            def solve(b: Array) -> Array:
                return vectors @ (kept[:, None] * (xp.matrix_transpose(vectors) @ b))

        def apply(b: Vectors) -> Vectors:
            return xp.matrix_transpose(solve(xp.matrix_transpose(b)))

        def answer(b: Vectors) -> Solution:
            good = xp.all(xp.isfinite(b), axis=1)
            b = xp.where(good[:, None], b, 0.0)
            x = apply(b)
            size = length(b)
            residual = length(b - x @ h) / xp.where(size > 0, size, 1.0)
            otherwise = Status.NEGATIVE_CURVATURE if negative else Status.STALLED
            status = tuple(
                Status.NEGATIVE_CURVATURE
                if negative and bool(g)
                else one_status(bool(g), float(r), self.tol, otherwise)
                for g, r in zip(to_numpy(good), to_numpy(residual), strict=True)
            )
            return Solution(x, residual, np.zeros(b.shape[0], dtype=int), status)

        def inverse() -> Float[Array, "p p"]:
            return solve(xp.eye(p, dtype=h.dtype))

        words = (
            f"Cholesky of the {p:,} × {p:,} Hessian"
            if values is None
            else (
                f"eigenvectors of the {p:,} × {p:,} Hessian, which is singular (reciprocal condition {condition:.0e})"
            )
        )
        return Prepared(answer, apply, inverse, None, condition, words)


def _reciprocal_condition(h: Float[Array, "p p"], solve: Any) -> float:
    """1 / (‖H‖₁ ‖H⁻¹‖₁), the second norm estimated by a few solves (Hager 1984)."""
    xp = namespace(h)
    p = h.shape[0]
    norm = float(xp.max(xp.sum(xp.abs(h), axis=0)))
    x = xp.full((p, 1), 1.0 / p, dtype=h.dtype)
    estimate = 0.0
    for _ in range(5):
        y = solve(x)
        found = float(xp.sum(xp.abs(y)))
        if not found > estimate:
            break
        estimate = found
        z = solve(xp.where(y >= 0, 1.0, -1.0))
        at = int(xp.argmax(xp.abs(z[:, 0])))
        x = xp.astype(xp.arange(p) == at, h.dtype)[:, None]
    return 1.0 / (norm * estimate) if norm * estimate > 0 else 0.0
