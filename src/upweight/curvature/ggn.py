"""The Gauss-Newton matrix of a network: s Σ_i w_i J_iᵀ S_i J_i, the Hessian with its outputs taken as straight.

Never bends down where the loss is convex in the outputs; equal to the Hessian where they are linear in θ or the rows
are fitted exactly. S_i is never written out: it is the second derivative of the losses in the outputs alone, whatever
the loss. Stands on derivatives. Sources: Schraudolph (2002); METHODS.md 3.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from upweight.curvature.over_rows import OverRows
from upweight.derivatives import gradient, pulled
from upweight.shapes import Float

__all__ = ["GGN"]


@dataclass(frozen=True, eq=False)
class GGN(OverRows):
    """s Σ_i w_i J_iᵀ S_i J_i + f Λ + δI."""

    @property
    def name(self) -> str:
        """Gauss-Newton matrix."""
        return "Gauss-Newton matrix"

    def products(self, rows: slice | Tensor) -> Callable[[Float[Tensor, "k p"]], Float[Tensor, "k p"]]:
        """J v, S J v, Jᵀ S J v: three backward passes for each vector."""
        network, leaf = self.network, self.network.leaf()
        x, y = network.batch(rows)
        z = network.raw_outputs(leaf, x)
        factors = torch.ones_like(z).requires_grad_()
        back = gradient(z, leaf, factors)
        apart = z.detach().requires_grad_()
        slope = gradient(network.row_loss(apart, y), apart, network.weights[rows])
        return lambda vectors: pulled(z, leaf, pulled(slope, apart, pulled(back, factors, vectors)))
