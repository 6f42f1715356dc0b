"""A preconditioner's M⁻¹ in place of H⁻¹, applied once: what scores are worth without the curvature, or part of it.

For comparison only, as LiSSA: Approximate(Identity()) is the product of two gradients, Approximate(Diagonal()) has each
parameter's own curvature. Its status and residual say how far off it is. Stands on curvature and preconditioners.
"""

from dataclasses import dataclass, field

import numpy as np

from upweight.arrays import to_numpy
from upweight.curvature import Curvature
from upweight.shapes import Vectors
from upweight.solvers.base import Prepared, Solution, Status, only_finite, relative, statuses
from upweight.solvers.preconditioner import Identity, Preconditioner

__all__ = ["Approximate"]


@dataclass(frozen=True)
class Approximate:
    """Converged where M⁻¹ b happens to have the residual `tol`; else out of steps, having taken none."""

    preconditioner: Preconditioner = field(default_factory=Identity)
    tol: float = 1e-8

    def prepare(self, curvature: Curvature) -> Prepared:
        """The preconditioner made ready.

        Raises: UnsupportedQuestion if the curvature lacks what it needs.
        """
        near = self.preconditioner.prepare(curvature)

        def answer(b: Vectors) -> Solution:
            b, finite = only_finite(b)
            x = near.apply(b)
            residual = relative(b - curvature.matmul(x), b)
            met = [None if r <= self.tol else Status.OUT_OF_STEPS for r in to_numpy(residual)]
            return Solution(x, residual, np.zeros(len(met), dtype=int), statuses(finite, residual, self.tol, met))

        stands = near.how or "the identity"
        return Prepared(answer, near.apply, how=f"{stands} in place of the curvature of {curvature.size:,} parameters")
