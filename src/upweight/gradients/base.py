"""What the middle of every answer needs of the rows: each row's gradient against k vectors, and weighted sums of them.

Stands on shapes; sensitivities stand on it. A source already knows what is perturbed: the row's weight, plain or with
leverage.
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from upweight.shapes import Array, Float, Vectors

__all__ = ["GradientSource"]


@runtime_checkable
class GradientSource(Protocol):
    """g_i for n rows, never formed as [n, p]."""

    @property
    def n(self) -> int:
        """Rows."""
        ...

    @property
    def scale(self) -> float:
        """s: θ moves by −s H⁻¹ g_i per unit of the row's weight factor."""
        ...

    def dot(self, vectors: Vectors) -> Iterator[tuple[slice, Float[Array, "k b *m"]]]:
        """Each vector against every row, in row blocks."""
        ...

    def said(self, vectors: Vectors) -> str:
        """How `dot` makes its products with these where not in full precision; else ""."""
        ...

    def combine(self, e: Float[Array, "j n *m"]) -> Float[Array, "j p"]:
        """Σ_i e_i g_i."""
        ...
