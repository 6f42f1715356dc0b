"""The exact Hessian of a network's objective, as products: one pass over the rows for all vectors.

It bends down where training has not ended at a minimum; solvers say so. Stands on derivatives. Source: Pearlmutter
(1994); METHODS.md 3.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from upweight.curvature.over_rows import OverRows
from upweight.derivatives import gradient, pulled
from upweight.shapes import Float

__all__ = ["Hessian"]


@dataclass(frozen=True, eq=False)
class Hessian(OverRows):
    """s Σ_i w_i ∇²ℓ_i + f Λ + δI."""

    @property
    def name(self) -> str:
        """Hessian."""
        return "Hessian"

    def products(self, rows: slice | Tensor) -> Callable[[Float[Tensor, "k p"]], Float[Tensor, "k p"]]:
        """Σ w_i ∇²ℓ_i v: one gradient, then one backward pass for each vector."""
        leaf = self.network.leaf()
        losses = self.network.losses(leaf, *self.network.batch(rows))
        slope = gradient(losses, leaf, self.network.weights[rows])
        return lambda vectors: pulled(slope, leaf, vectors)
