"""The Hessian of a part of the rows, written out and factored: cheaper than directions where parameters are few.

Stands on the head's curvature; conjugate gradients stand on it. Source: METHODS.md 4 (a part of the rows suffices).
"""

from dataclasses import dataclass

import numpy as np

from upweight.arrays import namespace
from upweight.curvature import Curvature, HeadCurvature
from upweight.errors import UnsupportedQuestion
from upweight.features import rounded
from upweight.shapes import Vectors
from upweight.solvers.preconditioner import Approximation
from upweight.solvers.symmetric import symmetric

__all__ = ["SampledHessian"]

ROUGH = 1e-5  # reciprocal condition below which the factor is made anew in float64, from all rows
BLOCK = 2048  # rows whose moments are summed together


@dataclass(frozen=True)
class SampledHessian:
    """From this many rows, evenly spread; their products are `bulk`, the factor is float64."""

    rows: int = 2000
    bulk: str = "float32"

    def prepare(self, curvature: Curvature) -> Approximation:
        """One pass over the part and one factor.

        Raises: UnsupportedQuestion if the curvature is not a linear head's.
        """
        if not isinstance(curvature, HeadCurvature):
            raise UnsupportedQuestion(
                f"preconditioner SampledHessian() reads the rows of a linear head, and "
                f"{type(curvature).__name__} has none. Use Diagonal() or Identity()."
            )
        head = curvature.head
        xp, c, width = namespace(head.weights), head.c, head.features.columns
        features = rounded(head.features, getattr(xp, self.bulk))
        at = np.unique(np.linspace(0, head.n - 1, min(self.rows, head.n)).astype(np.int64))
        total = xp.zeros((c, width, c, width), dtype=head.weights.dtype)
        for start in range(0, len(at), BLOCK):
            index = xp.asarray(at[start : start + BLOCK])
            total += xp.astype(curvature.outputs.moments(features.take(index), index), total.dtype, copy=False)
        total *= head.scale * head.n / len(at)
        factored = symmetric(curvature.assembled(total))
        if factored.reciprocal_condition < ROUGH and self.bulk != "float64":  # what is left of a direction is rounding
            at, factored = np.arange(head.n), symmetric(curvature.dense())
        solve = factored.solve

        def apply(vectors: Vectors) -> Vectors:
            return xp.matrix_transpose(solve(xp.matrix_transpose(vectors)))

        part = "all" if len(at) == head.n else f"{len(at):,} of the"
        return Approximation(apply, f"the Hessian of {part} rows", near=True)
