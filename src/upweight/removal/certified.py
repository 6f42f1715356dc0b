"""Certificates of many refits side by side, by the penalty: H̃ ⪰ λI bounds what solves and leverages would only say.

    ν² = rᵀH̃⁻¹r ≤ rᵀx + xᵀe + ‖e‖²/λ,   e = r − H̃x for any x,   reach² ≤ 2 max_i ‖x_i‖² / λ  (1 with one output)

With x by a few conjugate gradients a refit at its optimum is proved at the cost of a step and a half; no factor of H̃ is
made, and nothing rests on an iterated solve. Source: METHODS.md 2.3; certificate has the bound that it ends in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from upweight.arrays import namespace, to_numpy
from upweight.curvature import Curvature, HeadCurvature
from upweight.linear_head import LinearHead
from upweight.removal.certificate import Certificate, certify
from upweight.removal.warm_refit import left_at
from upweight.shapes import Array, Float, Vector, Vectors
from upweight.solvers import CG, Prepared, Solution, Solver
from upweight.solvers.preconditioner import Approximation

__all__ = ["certify_each"]


def certify_each(
    head: LinearHead, removals: Sequence[Sequence[int]], refitted: Vectors, prepared: Prepared, solver: Solver
) -> tuple[Certificate, ...]:
    """What is proved of the refit without each of these sets of rows (positions); `prepared` is H at `head`.

    Where some parameters carry no penalty, or the loss has no concordance, one `certify` after another, by `solver`.
    """
    smallest = float(np.min(to_numpy(head.params.collect(head.penalty[None])), initial=math.inf))
    if head.loss.concordance is None or not 0.0 < smallest < math.inf or not removals:
        return tuple(certify(head, rows, refitted[j, :], solver) for j, rows in enumerate(removals))
    xp = namespace(refitted)
    left = left_at(head, prepared, removals, refitted)
    sizes, shares = _squared_lengths(head), to_numpy(head.shares)
    found = []
    for j, rows in enumerate(removals):
        r, x, e = left.gradient[j, :], left.step[j, :], left.residual[j, :]
        floor = smallest * (1.0 - head.scale * float(shares[list(rows)].sum()))
        squared = float(xp.sum(r * x) + xp.sum(x * e) + xp.sum(e * e) / floor)
        longest = float(np.delete(sizes, list(rows)).max(initial=0.0))
        later = _Later(head, tuple(rows), refitted[j, :], prepared)
        size = float(xp.linalg.vector_norm(r))
        found.append(_proved(head, math.sqrt(max(0.0, squared)), longest / floor, size, later.prepared))
    return tuple(found)


def _proved(head: LinearHead, nu: float, reach: float, size: float, prepared: Prepared) -> Certificate:
    """`reach`: ‖x‖² / λ of the longest row that is left."""
    apart = head.c > 1 and not head.loss.separate
    kappa = float(head.loss.concordance or 0.0) * math.sqrt((2.0 if apart else 1.0) * reach) * nu
    if kappa >= 1.0:
        why = f"not proved: the refit is still too far from its optimum for the bound (κ = {kappa:.2g})"
        return Certificate(None, None, size, why, False, prepared)
    bound = nu if kappa < 1e-8 else nu * -math.log1p(-kappa) / kappa
    within = math.sqrt(reach) * bound
    sentence = (
        f"proved: no output of any row that is left is further than {within:.1e} from the exact refit "
        f"(gradient left {size:.1e})"
    )
    return Certificate(bound, within, size, sentence, True, prepared)


def _squared_lengths(head: LinearHead) -> Any:
    """‖x_i‖² over the columns that any output's parameters read [n]."""
    xp = namespace(head.weights)
    free = xp.any(xp.asarray(head.params.free), axis=0)
    return to_numpy(head.features.squares(xp.astype(free, head.weights.dtype)))


@dataclass(frozen=True)
class _Later:
    """H̃ at one refit, made ready when somebody asks for a bound on another measurement."""

    head: LinearHead
    rows: tuple[int, ...]
    vector: Vector
    near: Prepared

    @property
    def prepared(self) -> Prepared:
        """By conjugate gradients behind the factor of H at θ*."""
        return Prepared(self._solve, lambda b: self._solve(b).x)

    def _solve(self, b: Float[Array, "k p"]) -> Solution:
        keep = np.ones(self.head.n)
        keep[list(self.rows)] = 0.0
        there, factor = self.head.at(self.vector).without(
            namespace(self.vector).asarray(keep, dtype=self.head.weights.dtype)
        )
        return CG(preconditioner=_Given(self.near)).prepare(HeadCurvature(there, penalty_factor=factor))(b)


@dataclass(frozen=True)
class _Given:
    """A factor that is there already, as a preconditioner."""

    near: Prepared

    def prepare(self, curvature: Curvature) -> Approximation:
        """The same, whatever the curvature."""
        return Approximation(self.near.apply, "the factor at the fit")
