"""The Gauss-Newton matrix of a network: s Σ_i w_i J_iᵀ S_i J_i, the Hessian with its outputs taken as straight.

Never bends down where the loss is convex in the outputs; equal to the Hessian where they are linear in θ or the rows
are fitted exactly. S_i is never written out: it is the second derivative of the losses in the outputs alone, whatever
the loss. Stands on derivatives and row Jacobians. Sources: Schraudolph (2002); METHODS.md 3.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from upweight.curvature.over_rows import OverRows
from upweight.derivatives import differentiable, gradient, pulled
from upweight.gradients.autodiff import row_jacobians
from upweight.network import even_blocks
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
        leaf = self.network.leaf()
        z = self.network.raw_outputs(leaf, self.network.batch(rows)[0])
        factors = torch.ones_like(z).requires_grad_()
        back = gradient(z, leaf, factors)
        apart, slope = self._output_slopes(z, rows)
        return lambda vectors: pulled(z, leaf, pulled(slope, apart, pulled(back, factors, vectors)))

    def dense(self) -> Float[Tensor, "p p"]:
        """[p, p], from the rows' Jacobians: as many backward passes as a row has outputs, where products take 3 p."""
        network = self.network
        if network.c > 3 * self.size:
            return super().dense()
        total = network.vector.new_zeros((self.size, self.size))
        for jacobians, bends in self._jacobians():
            total += jacobians.flatten(0, 1).mT @ (bends @ jacobians).flatten(0, 1)
        extra = self.penalty_factor * network.penalty + self.damping
        return network.scale * 0.5 * (total + total.mT) + torch.diag(extra)

    def curvature_diagonal(self) -> Float[Tensor, " p"]:
        """Its diagonal, from the rows' Jacobians: as many backward passes as a row has outputs."""
        network = self.network
        total = torch.zeros_like(network.vector)
        for jacobians, bends in self._jacobians():
            total += (jacobians * (bends @ jacobians)).sum((0, 1))
        return network.scale * total + self.penalty_factor * network.penalty + self.damping

    def _jacobians(self) -> Iterator[tuple[Float[Tensor, "b c p"], Float[Tensor, "b c c"]]]:
        """J_i and w_i S_i, a block of rows at a time."""
        network = self.network
        per_row = (2.0 * network.c + 1.0) * (network.bytes_per_row + network.size * network.vector.element_size())
        for rows in even_blocks(network.n, network.batch_bytes / per_row):
            jacobians = row_jacobians(network, rows)
            with differentiable(network.module, network.device):
                z = network.raw_outputs(network.vector, network.batch(rows)[0])
                apart, slope = self._output_slopes(z, rows)
                each = torch.eye(network.c, dtype=z.dtype, device=z.device).reshape(-1, 1, *z.shape[1:])
                bends = pulled(slope, apart, each.expand(-1, *z.shape)).reshape(network.c, len(z), network.c)
            yield jacobians, bends.transpose(0, 1)

    def _output_slopes(self, z: Tensor, rows: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Outputs cut off from θ, and Σ w_i ∂ℓ_i/∂z in them with its graph."""
        apart = z.detach().requires_grad_()
        losses = self.network.row_loss(apart, self.network.batch(rows)[1])
        return apart, gradient(losses, apart, self.network.weights[rows])
