"""Some rows' weights of a network multiplied by factors at once: where θ goes, by one Newton step on what is left.

    δθ = −C′⁻¹ (∇F′ − ∇F) + (C⁻¹ − C′⁻¹) ∇F

C′ and F′ are the curvature and the objective with the rows' new weights; the second part is there only where the
regime follows removals to the optimum (its shift d = C⁻¹∇F). The rows' own second derivatives are in C′.
Stands on gradients, curvature and the network; its attribution stands on it. Source: METHODS.md 2.2, 5.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from upweight.curvature.over_rows import OverRows
from upweight.curvature.written import Written
from upweight.gradients.autodiff import AutodiffSource
from upweight.network import Network
from upweight.shapes import Float
from upweight.solvers import Prepared, Solver, Status

__all__ = ["group_newton", "plain_sum", "reweighed"]


def reweighed(network: Network, rows: Sequence[int], factors: Sequence[float]) -> tuple[Network, float]:
    """The objective with these rows' weights times factors, its penalty already times the factor that it keeps."""
    keep = torch.ones_like(network.weights)
    keep[_index(network, rows)] = torch.as_tensor(factors, dtype=keep.dtype, device=keep.device)
    there, left = network.without(keep)
    return replace(there, penalty=left * network.penalty), left


def group_newton(
    network: Network,
    curvature: Any,
    kind: type[OverRows],
    solver: Solver,
    rows: Sequence[int],
    factors: Sequence[float],
    shift: Float[Tensor, " p"] | None,
    held: Float[Tensor, " p"] | None = None,
) -> tuple[Float[Tensor, " p"] | None, Prepared]:
    """The step, and the curvature of what is left made ready; None where that bends down: a step has no direction.

    `curvature` is that at the fit, damping included. `held` [p]: what of its diagonal the rows have their share of;
    None: the penalty.
    """
    there, left = reweighed(network, rows, factors)
    if isinstance(curvature, Written):
        change = _steps(network, rows, factors)
        own = kind(_only(network, rows, change)).dense()
        after: Any = replace(curvature, matrix=curvature.matrix + own)
        after = after.shifted((left - 1.0) * (network.penalty if held is None else held))
    else:
        after = replace(curvature, network=there)
    prepared = solver.prepare(after)
    pull = there.gradient - (network.gradient if shift is None else 0.0)
    solution = prepared(pull[None])
    if solution.status[0] is Status.NEGATIVE_CURVATURE:
        return None, prepared
    delta = -solution.x[0]
    return (delta if shift is None else delta + shift), prepared


def plain_sum(source: AutodiffSource, prepared: Prepared, rows: Sequence[int], factors: Sequence[float]) -> Tensor:
    """−C⁻¹ s Σ (f_i − 1) g_i: the rows' derivatives added up; leverage-corrected where the source is."""
    network = source.network
    e = network.weights.new_zeros((1, network.n))
    e[0, _index(network, rows)] = _steps(network, rows, factors)
    step: Tensor = -source.scale * prepared(source.combine(e)).x[0]
    return step


def _steps(network: Network, rows: Sequence[int], factors: Sequence[float]) -> Tensor:
    return torch.as_tensor([f - 1.0 for f in factors], dtype=network.dtype, device=network.device)


def _index(network: Network, rows: Sequence[int]) -> Tensor:
    return torch.as_tensor(list(rows), dtype=torch.int64, device=network.device)


def _only(network: Network, rows: Sequence[int], change: Tensor) -> Network:
    """These rows alone, with the change of their weights, under the same s and no penalty."""
    at = _index(network, rows)
    inputs, targets = network.batch(at)
    return replace(
        network,
        inputs=inputs,
        targets=targets,
        weights=network.weights[at] * change,
        penalty=torch.zeros_like(network.penalty),
        divisor=1.0 / network.scale,
    )
