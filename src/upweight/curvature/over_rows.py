"""What a network's curvatures share: a sum over rows, its penalty, its damping, and all vectors in one pass.

Stands on network; the Hessian and the Gauss-Newton matrix stand on it and give what one batch of rows adds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from upweight.derivatives import differentiable
from upweight.network import Network
from upweight.shapes import Float, Vectors

__all__ = ["OverRows"]

AT_ONCE = 64  # vectors that share one pass over the rows


@dataclass(frozen=True, eq=False)
class OverRows(ABC):
    """s Σ_i w_i C_i + f Λ + δI; f is 1 at the fit, 1 − s·(shares removed) for a refit that divides by fewer rows."""

    network: Network
    damping: float = 0.0
    penalty_factor: float = 1.0

    @property
    @abstractmethod
    def name(self) -> str:
        """What sentences call it."""

    @abstractmethod
    def products(self, rows: slice | Tensor) -> Callable[[Float[Tensor, "k p"]], Float[Tensor, "k p"]]:
        """Σ w_i C_i v over these rows, for any number of blocks of vectors."""

    @property
    def size(self) -> int:
        """p."""
        return self.network.size

    @property
    def rows(self) -> int:
        """n."""
        return self.network.n

    def blank(self, k: int) -> Float[Tensor, "k p"]:
        """Zeros of the type and place of its vectors."""
        return self.network.vector.new_zeros((k, self.size))

    def damped(self, damping: float) -> "OverRows":
        """C + δI."""
        return replace(self, damping=self.damping + damping)

    def matmul(self, vectors: Vectors) -> Vectors:
        """C v, k at a time."""
        network = self.network
        with differentiable(network.module, network.device):
            total = torch.zeros_like(vectors)
            chunks, sums = torch.split(vectors, AT_ONCE), torch.split(total, AT_ONCE)
            for rows in network.batches(min(len(vectors), AT_ONCE)):
                times = self.products(rows)
                for chunk, out in zip(chunks, sums, strict=True):
                    out += times(chunk)
        return self._with_penalty(total, network.scale, vectors)

    def matmul_rows(self, vectors: Vectors, rows: Any) -> Vectors:
        """C v with the data part from these rows alone, scaled up by n / their number."""
        network = self.network
        rows = torch.as_tensor(rows, device=network.device)
        with differentiable(network.module, network.device):
            total = self.products(rows)(vectors)
        return self._with_penalty(total, network.scale * network.n / len(rows), vectors)

    def dense(self) -> Float[Tensor, "p p"]:
        """[p, p]."""
        full: Tensor = self.matmul(torch.eye(self.size, dtype=self.network.dtype, device=self.network.device))
        return 0.5 * (full + full.mT)

    def _with_penalty(self, total: Tensor, scale: float, vectors: Tensor) -> Tensor:
        return scale * total + (self.penalty_factor * self.network.penalty + self.damping) * vectors
