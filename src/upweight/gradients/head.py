"""Row gradients of a linear head: g_i = X_iᵀ a_i + k_i r, from a pass over the features and no gradient formed.

a_i [c] is what the row's weight pulls its outputs with (w_i u_i; with leverage ũ_i), r [p] what the penalty pulls with
and k_i the row's share of it (0 where a refit divides by the same n). Source: METHODS.md 2.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from upweight.arrays import namespace
from upweight.linear_head import LinearHead
from upweight.shapes import Array, Float, Vector, Vectors

__all__ = ["HeadSource"]


@dataclass(frozen=True)
class HeadSource:
    """A row enters by a factor on its weight: 1 as fitted, 0 removed, 2 twice."""

    head: LinearHead
    pulls: Float[Array, "n c"]
    shares: Float[Array, " n"]
    shared: Vector

    @classmethod
    def plain(cls, head: LinearHead) -> "HeadSource":
        """The derivative: w_i u_i, and the share of the penalty's pull."""
        return cls(head, head.output_gradients * head.weights[:, None], head.shares, head.penalty_gradient)

    @property
    def n(self) -> int:
        """Rows."""
        return self.head.n

    @property
    def scale(self) -> float:
        """s."""
        return self.head.scale

    def dot(self, vectors: Vectors) -> Iterator[tuple[slice, Float[Array, "k b"]]]:
        """vectors · g_i in row blocks."""
        xp = namespace(vectors)
        head, k, c = self.head, vectors.shape[0], self.head.c
        w = xp.reshape(head.params.expand(vectors), (k * c, -1))
        along = vectors @ self.shared
        for rows in head.batches(k):
            z = xp.reshape(head.features.matmul(w, rows), (-1, k, c))
            own = (
                z[:, :, 0] * self.pulls[rows, 0][:, None]
                if c == 1
                else xp.sum(z * self.pulls[rows, :][:, None, :], axis=2)
            )
            yield rows, xp.matrix_transpose(own) + along[:, None] * self.shares[rows][None, :]

    def combine(self, e: Float[Array, "j n"]) -> Float[Array, "j p"]:
        """Σ_i e_i g_i."""
        xp = namespace(e)
        head, j, c = self.head, e.shape[0], self.head.c
        et = xp.matrix_transpose(e)
        total = xp.zeros((j * c, head.features.columns), dtype=e.dtype)
        for rows in head.batches(j):
            weighted = et[rows, :][:, :, None] * self.pulls[rows, :][:, None, :]
            total = total + head.features.rmatmul(xp.reshape(weighted, (-1, j * c)), rows)
        own = head.params.collect(xp.reshape(total, (j, c, -1)))
        return own + (e @ self.shares)[:, None] * self.shared[None, :]
