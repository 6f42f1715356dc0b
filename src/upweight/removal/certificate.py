"""A proof of how close a refit is to the exact optimum, from the gradient that is left and the Hessian where it ended.

    ν = ‖∇F(θ̃)‖ in the norm of H̃⁻¹,   κ = M · reach · ν,   ‖θ̃ − θ*‖_{H̃} ≤ ν · (−ln(1 − κ)) / κ   if κ < 1

M is the loss's concordance, reach = max_i max_{a,b} √((e_a − e_b)ᵀ X_i H̃⁻¹ X_iᵀ (e_a − e_b)) over the rows that are
left: how far a step of unit length moves any row's outputs apart. Quadratic losses (M = 0): the distance is ν itself.
Losses without M have only ‖∇F‖ / λ, where every parameter is penalised. Source: METHODS.md 2.3, derived there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from upweight.arrays import namespace, to_numpy
from upweight.curvature import HeadCurvature
from upweight.linear_head import LinearHead
from upweight.removal.leverage import leverages
from upweight.shapes import Array, Vector
from upweight.solvers import Cholesky, Prepared, Solver

__all__ = ["Certificate", "certify"]


@dataclass(frozen=True)
class Certificate:
    """`bound`: at most this far from the exact refit, in the norm of H̃; None where nothing can be proved, with why.

    `outputs_within`: at most this far, any output of any row that is left (logits, linear predictor).
    """

    bound: float | None
    outputs_within: float | None
    residual: float
    sentence: str
    proof: bool  # False: nothing is proved, or the bound stands on solves and leverages that are iterated
    prepared: Prepared  # H̃ made ready: what turns the bound into one on another measurement

    def within(self, direction: Vector) -> float | None:
        """|aᵀ(θ̃ − θ*)| for a linear measurement a, at most; None where nothing can be proved."""
        if self.bound is None:
            return None
        xp = namespace(direction)
        length = math.sqrt(max(0.0, float(xp.sum(direction * self.prepared(direction[None]).x[0]))))
        return length * self.bound


def certify(
    head: LinearHead,
    rows: Sequence[int],
    refitted: Vector,
    solver: Solver | None = None,
    factors: Sequence[float] | None = None,
) -> Certificate:
    """Proves how far `refitted` is from the optimum without `rows` (positions).

    `factors`: what the rows weigh instead, times what they did; 0 unless given. `solver` prepares H̃; dense Cholesky
    unless given. One that iterates estimates the bound, and the sentence says so.
    """
    xp = namespace(head.weights)
    keep = np.ones(head.n)
    keep[np.asarray(rows, dtype=int)] = 0.0 if factors is None else factors
    left = xp.asarray(keep, dtype=head.weights.dtype)
    there, factor = head.at(refitted).without(left)
    prepared = (solver or Cholesky()).prepare(HeadCurvature(there, penalty_factor=factor))
    residual = there.gradient - (1.0 - factor) * there.penalty_gradient
    nu = math.sqrt(max(0.0, float(xp.sum(residual * prepared(residual[None]).x[0]))))
    size = float(xp.linalg.vector_norm(residual))
    bound, why = _bound(there, prepared, nu, size, factor, left)
    if bound is None:
        return Certificate(None, None, size, why, False, prepared)
    b = (to_numpy(leverages(there, prepared)) / there.scale)[keep > 0]
    reach = math.sqrt(max(0.0, float(np.max(np.diagonal(b, axis1=1, axis2=2), initial=0.0))))
    word = "proved" if prepared.direct else "estimated by iterated solves, not proved"
    sentence = (
        f"{word}: no output of any row that is left is further than {reach * bound:.1e} from the exact refit "
        f"(gradient left {size:.1e})"
    )
    return Certificate(bound, reach * bound, size, sentence, prepared.direct, prepared)


def _bound(
    head: LinearHead, prepared: Prepared, nu: float, size: float, factor: float, left: Array
) -> tuple[float | None, str]:
    xp = namespace(left)
    m = head.loss.concordance
    if m == 0.0:
        return nu, ""
    if m is None:
        smallest = factor * float(xp.min(head.params.collect(head.penalty[None])[0]))
        if smallest > 0:
            return size / smallest * math.sqrt(_largest_curvature(prepared, head)), ""
        return None, (
            f"not proved: the {head.loss.name} loss bends in jumps and some parameters carry no penalty; "
            f"the gradient left is {size:.1e}"
        )
    b = to_numpy(leverages(head, prepared)) / head.scale
    b = b[to_numpy(left) > 0]
    diagonal = np.diagonal(b, axis1=1, axis2=2)
    spread = (
        diagonal[:, :, None] + diagonal[:, None, :] - 2.0 * b if head.c > 1 and not head.loss.separate else diagonal
    )
    kappa = m * math.sqrt(max(0.0, float(np.max(spread)))) * nu
    if kappa >= 1:
        return None, f"not proved: the refit is still too far from its optimum for the bound (κ = {kappa:.2g})"
    return (nu if kappa < 1e-8 else nu * -math.log1p(-kappa) / kappa), ""


def _largest_curvature(prepared: Prepared, head: LinearHead) -> float:
    """An upper bound of λ_max(H̃): its trace."""
    xp = namespace(head.weights)
    traces = HeadCurvature(head)
    squares = head.features.squares(xp.ones(head.features.columns, dtype=head.weights.dtype))
    own = sum(traces.output_curvatures[:, a, a] for a in range(head.c))
    return float(head.scale * xp.sum(own * squares) + xp.max(head.penalty))
