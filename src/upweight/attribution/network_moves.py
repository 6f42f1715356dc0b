"""Where a network's θ goes when some rows weigh other than they did: one Newton step, or the steps that end nearer.

A network's objective without some rows may bend down, or hardly up: a step that ends far from any minimum is not shown
where the rows' own steps, added up, end nearer. Stands on the regime and removal; a network's attribution stands on it.
Source: METHODS.md 2.2, 5.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from upweight.attribution.regime import Regime
from upweight.curvature.ggn import GGN
from upweight.curvature.hessian import Hessian
from upweight.gradients.autodiff import AutodiffSource
from upweight.removal.group import SHRINKS, GroupMoves
from upweight.removal.network_group import group_newton, plain_sum, reweighed
from upweight.shapes import Float
from upweight.solvers import Prepared, Solver

__all__ = ["estimated_moves"]


def estimated_moves(
    regime: Regime,
    solver: Solver,
    each: tuple[AutodiffSource, Prepared] | None,
    rows: Sequence[int],
    factors: Sequence[float],
) -> GroupMoves:
    """Group Newton and its correction, the plain sum, and the rows' own steps added up.

    `each`: the leverage-corrected source and the curvature that it was made with; None where leverages are too dear.
    """
    network = regime.network
    kind = Hessian if regime.near else GGN
    newton, after = group_newton(network, regime.curvature, kind, solver, rows, factors, regime.shift, regime.held)
    plain = plain_sum(regime.rows_where_it_ends, regime.prepared, rows, factors)
    own = plain if each is None else plain_sum(*each, rows, factors)
    how, left = f"a Newton step on the objective with these weights: {after.how}", 0.0
    if newton is None:
        newton, after = own, regime.prepared if each is None else each[1]
        how = "the rows' own steps added up, because without all of them the curvature bends down"
    if regime.near:  # what one step was short of, seen from where it ends
        more, left = _short_of(regime, newton, rows, factors, after)
        if left < SHRINKS:
            newton, how = newton + more, f"{how}, corrected once by the gradient that it finds"
        elif newton is not own:
            steps = (newton, own, plain)
            best = steps[int(np.argmin([_left_by(regime, step, rows, factors) for step in steps]))]
            if best is not newton:
                newton, how = best, "the rows' own steps added up, which end nearer than a Newton step on all of them"
                _, left = _short_of(regime, newton, rows, factors, after)
    states = [network.at(network.vector + step).values for step in (newton, plain, own)]
    return GroupMoves(states, left, how)


def _short_of(
    regime: Regime, step: Tensor, rows: Sequence[int], factors: Sequence[float], after: Prepared
) -> tuple[Float[Tensor, " p"], float]:
    """The step that is missing where this one ends, and its length beside this one's."""
    more: Tensor = -after(_slope(regime, step, rows, factors)[None]).x[0]
    way, short = (abs(float(v @ regime.curvature.matmul(v[None])[0])) for v in (step, more))
    return more, (short / way) ** 0.5 if way > 0 else 0.0


def _left_by(regime: Regime, step: Tensor, rows: Sequence[int], factors: Sequence[float]) -> float:
    """How far from an optimum it ends, in the norm of the curvature at the fit."""
    slope = _slope(regime, step, rows, factors)
    left = float(slope @ regime.prepared(slope[None]).x[0])
    return left if np.isfinite(left) else np.inf


def _slope(regime: Regime, step: Tensor, rows: Sequence[int], factors: Sequence[float]) -> Float[Tensor, " p"]:
    """The gradient with these weights where the step ends, taken from where training was on its way to."""
    network = regime.network
    start = network.vector if regime.shift is None else network.vector - regime.shift
    found: Tensor = reweighed(network.at(start + step), rows, factors)[0].gradient
    return found
