"""A curvature written out once: for a network of few parameters its p products cost less than the solves that follow.

Stands on arrays; a network's attribution makes it.
"""

from dataclasses import dataclass, replace

from upweight.arrays import namespace
from upweight.curvature.base import Batched
from upweight.shapes import Array, Float, Vector, Vectors

__all__ = ["Written"]


@dataclass(frozen=True, eq=False)
class Written:
    """The matrix [p, p] plus a diagonal of its own."""

    matrix: Float[Array, "p p"]
    name: str  # of what was written out
    operator: Batched  # that itself: products with a few rows come from it
    diagonal: Vector | None = None
    damping: float = 0.0

    @property
    def size(self) -> int:
        """p."""
        return int(self.matrix.shape[0])

    def blank(self, k: int) -> Vectors:
        """Zeros of the type and place of its vectors."""
        return 0.0 * self.matrix[:1, :] + namespace(self.matrix).zeros((k, 1), dtype=self.matrix.dtype)

    def matmul(self, vectors: Vectors) -> Vectors:
        """C v."""
        found = vectors @ self.matrix + self.damping * vectors
        return found if self.diagonal is None else found + self.diagonal[None, :] * vectors

    @property
    def rows(self) -> int:
        """n."""
        return self.operator.rows

    def matmul_rows(self, vectors: Vectors, rows: Array) -> Vectors:
        """C v with the data part from these rows alone."""
        found = self.operator.matmul_rows(vectors, rows) + self.damping * vectors
        return found if self.diagonal is None else found + self.diagonal[None, :] * vectors

    def damped(self, damping: float) -> "Written":
        """C + δI."""
        return replace(self, damping=self.damping + damping)

    def shifted(self, diagonal: Vector) -> "Written":
        """C + diag(d)."""
        return replace(self, diagonal=diagonal if self.diagonal is None else self.diagonal + diagonal)

    def dense(self) -> Float[Array, "p p"]:
        """[p, p]."""
        xp = namespace(self.matrix)
        extra = self.damping * xp.ones_like(self.matrix[0, :])
        if self.diagonal is not None:
            extra = extra + self.diagonal
        return self.matrix + xp.eye(self.size, dtype=self.matrix.dtype) * extra[None, :]
