"""Real removals where an l1 part keeps some coefficients: one that would change its sign is held at 0 instead.

On its support an l1 penalty is a fixed pull, so a warm refit can take a small coefficient through 0, where the real
one stops. Such a refit is done again without that coefficient, and stands if the gradient there is within what l1
holds. Coefficients that were 0 stay 0: the adapter says how near the nearest is. Stands on warm_refit; source:
METHODS.md 1 (L1).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from upweight.arrays import namespace, to_numpy
from upweight.curvature import HeadCurvature
from upweight.linear_head import LinearHead
from upweight.removal.warm_refit import Factors, Refits, refit_without
from upweight.shapes import Array
from upweight.solvers import Cholesky, Prepared

__all__ = ["refit_on_support"]

SLACK = 1e-6  # of the pull: rounding of the gradient at a coefficient that is held


def refit_on_support(
    head: LinearHead, prepared: Prepared, removals: Sequence[Sequence[int]], factors: Factors | None = None
) -> Refits:
    """As `refit_without`; `converged` is False where a held coefficient would have to take the other sign."""
    found = refit_without(head, prepared, removals, factors=factors)
    if head.linear_penalty is None:
        return found
    xp = namespace(head.weights)
    pull = to_numpy(head.params.collect(head.linear_penalty[None, ...])[0, ...])
    vectors = [found.vectors[j, :] for j in range(len(removals))]
    converged = np.array(found.converged)
    for j, rows in enumerate(removals):
        crossed = _crossed(head, pull, vectors[j])
        if crossed.any():
            one = [0.0] * len(rows) if factors is None else factors[j]
            vectors[j], converged[j] = _held(head, pull, rows, one, crossed)
    return replace(found, vectors=xp.stack(vectors) if vectors else found.vectors, converged=converged)


def _crossed(head: LinearHead, pull: Any, vector: Array) -> Any:
    """[p]: kept coefficients that are no longer on their side of 0."""
    before, after = to_numpy(head.params.vector), to_numpy(vector)
    return (pull != 0) & (before * after < 0)


def _held(
    head: LinearHead, pull: Any, rows: Sequence[int], factors: Sequence[float], crossed: Any
) -> tuple[Array, bool]:
    """The refit without these rows and with the crossed coefficients at 0, and whether it is the real one."""
    xp = namespace(head.weights)
    held, vector, settled = crossed.copy(), head.params.vector, False
    while crossed.any():
        spread = head.params.expand(xp.asarray(held, dtype=head.weights.dtype)[None, ...])[0, ...] > 0
        matrix = xp.where(spread, 0.0, head.params.matrix)
        smaller = replace(head, params=replace(head.params, matrix=matrix, free=xp.asarray(head.params.free) & ~spread))
        refit = refit_without(smaller, Cholesky().prepare(HeadCurvature(smaller)), [rows], factors=[factors])
        vector = head.params.collect(smaller.params.place(refit.vectors))[0, :]
        settled, crossed = bool(refit.converged[0]), _crossed(head, pull, vector) & ~held
        held = held | crossed
    keep = np.ones(head.n)
    keep[np.asarray(rows, dtype=int)] = factors
    there, factor = head.at(vector).without(xp.asarray(keep, dtype=head.weights.dtype))
    smooth = to_numpy(there.gradient - (1.0 - factor) * there.penalty_gradient) - factor * pull
    return vector, settled and bool(np.all(np.abs(smooth[held]) <= factor * np.abs(pull[held]) * (1.0 + SLACK)))
