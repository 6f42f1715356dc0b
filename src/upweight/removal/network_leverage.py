"""Taking one row out of a network exactly for one Gauss-Newton step: its pull u_i becomes ũ_i, the rest stays linear.

    B_i = s J_i H′⁻¹ J_iᵀ,   ũ_i = (I − w_i S_i B_i)⁻¹ w_i (u_i + S_i J_i t_i),   t_i = s k_i H′⁻¹ r − d

u, S: first and second derivative of the loss in the row's outputs; r = Λθ and k_i the row's share of it (mean form);
d = H⁻¹∇F, the step that training still had to go: taking the row out and ending training are predicted together, and
the second subtracted. The row's own second derivative of the outputs is left out (Gauss-Newton).
Stands on gradients; a network's attribution stands on it. Source: METHODS.md 2.1, 5.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from upweight.derivatives import gradient, pulled
from upweight.gradients.autodiff import AutodiffSource, row_jacobians
from upweight.network import Network, even_blocks
from upweight.removal.leverage import SMALLEST_GAP
from upweight.shapes import Bool, Float
from upweight.solvers import Prepared

__all__ = ["NetworkLeverage", "leverage_corrected", "leverages_of", "where_training_ends"]


@dataclass(frozen=True, eq=False)
class NetworkLeverage:
    """What single removals need of every row."""

    source: AutodiffSource  # with ũ in place of u
    h: Float[Tensor, " n"]  # largest eigenvalue of w_i S_i B_i
    moves: Float[Tensor, "n c"]  # how far the row's own outputs move when it leaves
    alone: Bool[Tensor, " n"]  # True where the row alone holds a direction: its ũ is left uncorrected


def leverage_corrected(
    network: Network,
    at_removal: Prepared,
    shift: Float[Tensor, " p"] | None,
    pull: Float[Tensor, " p"] | None = None,
) -> NetworkLeverage:
    """ũ_i, leverages and own moves of every row, a block of Jacobians at a time; `at_removal` is H′ made ready.

    `pull`: r where it is not Λθ.
    """
    rest = at_removal((network.penalty_gradient if pull is None else pull)[None]).x[0]
    found = [_block(network, at_removal, shift, rest, rows) for rows in _blocks(network)]
    pulls, h, moves, alone = (torch.cat([part[j] for part in found]) for j in range(4))
    w = network.weights[:, None]
    linear = replace(
        network,
        row_loss=_along,
        targets=torch.where(w > 0, pulls / torch.where(w > 0, w, 1.0), torch.zeros_like(pulls)),
    )
    return NetworkLeverage(AutodiffSource(linear, pull=pull), h, moves, alone)


def where_training_ends(
    network: Network, shift: Float[Tensor, " p"] | None, pull: Float[Tensor, " p"] | None = None
) -> AutodiffSource:
    """Row gradients J_iᵀu_i with u_i at the outputs that training was on its way to, z(θ − d); J_i stays at θ.

    Taking J_i along too (g_i − ∇²ℓ_i d), with the curvature left at θ, was further from refits in 26 of 27 small tanh
    networks: the two move together.
    """
    if shift is None:
        return AutodiffSource(network, pull=pull)
    ended = network.vector - shift
    pulls = []
    for rows in network.batches(0):
        x, y = network.batch(rows)
        pulls.append(_slopes(network, network.raw_outputs(ended, x).detach(), y))
    return AutodiffSource(replace(network, row_loss=_along, targets=torch.cat(pulls)), pull=pull)


def leverages_of(network: Network, prepared: Prepared, rows: Tensor) -> Float[Tensor, " r"]:
    """The leverages of some rows alone: c solves a row."""
    b, ws, _, _ = _parts(network, prepared, rows)
    return _largest(ws @ b)


def _blocks(network: Network) -> list[slice]:
    each = 3.0 * network.c * network.size * network.vector.element_size()
    return list(even_blocks(network.n, network.batch_bytes / each))


def _parts(network: Network, prepared: Prepared, rows: slice | Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """B_i, w_i S_i, w_i u_i, J_i."""
    jacobians = row_jacobians(network, rows)
    b, c, p = jacobians.shape
    solved = prepared(jacobians.reshape(b * c, p)).x.reshape(b, c, p)
    x, y = network.batch(rows)
    u, s = _bends(network, network.raw_outputs(network.vector, x).detach(), y)
    w = network.weights[rows]
    return network.scale * (jacobians @ solved.mT), w[:, None, None] * s, w[:, None] * u, jacobians


def _block(
    network: Network, prepared: Prepared, shift: Tensor | None, rest: Tensor, rows: slice
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    b, ws, wu, jacobians = _parts(network, prepared, rows)
    along = (network.scale * network.shares[rows])[:, None] * (jacobians @ rest)
    ahead = along if shift is None else along - jacobians @ shift
    pull = wu + (ws @ ahead[:, :, None])[:, :, 0]
    wsb = ws @ b
    h = _largest(wsb)
    alone = ~(1.0 - h >= SMALLEST_GAP)
    eye = torch.eye(wsb.shape[1], dtype=wsb.dtype, device=wsb.device)
    gap = torch.where(alone[:, None, None], eye, eye - wsb)
    own = torch.linalg.solve(gap, pull[:, :, None])[:, :, 0]
    return own, h, (b @ own[:, :, None])[:, :, 0] + along, alone


def _bends(network: Network, raw: Tensor, y: Tensor) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c c"]]:
    """u and S of some rows, of the loss in their outputs alone."""
    leaf, b = raw.clone().requires_grad_(), raw.shape[0]
    with torch.enable_grad():
        u = gradient(network.row_loss(leaf, y), leaf, leaf.new_ones(b))
        columns = [pulled(column, leaf, leaf.new_ones((1, b)))[0] for column in u.reshape(b, -1).unbind(dim=1)]
    return u.detach().reshape(b, -1), torch.stack([column.reshape(b, -1) for column in columns], dim=2)


def _slopes(network: Network, raw: Tensor, y: Tensor) -> Float[Tensor, "b c"]:
    """u alone."""
    leaf, b = raw.clone().requires_grad_(), raw.shape[0]
    with torch.enable_grad():
        return gradient(network.row_loss(leaf, y), leaf, leaf.new_ones(b)).detach().reshape(b, -1)


def _largest(wsb: Float[Tensor, "b c c"]) -> Float[Tensor, " b"]:
    """Largest real part of an eigenvalue."""
    if wsb.shape[1] == 1:
        return wsb[:, 0, 0]
    found: Tensor = torch.linalg.eigvals(wsb).real.amax(dim=1)
    return found


def _along(outputs: Tensor, pulls: Tensor) -> Tensor:
    """Linear in the outputs: its gradient in θ is J_iᵀ ũ_i."""
    return (outputs.reshape(outputs.shape[0], -1) * pulls).sum(dim=1)
