"""Row gradients of a linear head: g_i = X_iᵀ a_i + k_i r, from a pass over the features and no gradient formed.

Many products are float32 where a sample of rows shows in float64 that they hold.
a_i [c] is what the row's weight pulls its outputs with (w_i u_i; with leverage ũ_i), r [p] what the penalty pulls with
and k_i the row's share of it (0 where a refit divides by the same n). Source: METHODS.md 2.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from upweight.arrays import cached_blocks, namespace
from upweight.features import DenseFeatures, rounded
from upweight.linear_head import LinearHead
from upweight.shapes import Array, Float, Vector, Vectors

__all__ = ["HeadSource"]

MANY = 2e10  # flops of a pass beyond which it is float32: half a second or so in float64
LARGE = 5e6  # numbers in rows that are float32 themselves, from which reading them in float64 is most of the pass
SAMPLE = 64  # rows on which that is checked
HOLDS = 2e-5  # relative error on them, for each vector


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
        """vectors · g_i in row blocks, of one type throughout."""
        xp = namespace(vectors)
        along = vectors @ self.shared if self._shares_any else None
        for rows, own in self._bulk(vectors) if self.rounds(vectors) else self._exact(vectors):
            found = xp.matrix_transpose(own)
            yield rows, found if along is None else found + along[:, None] * self.shares[rows][None, :]

    def rounds(self, vectors: Vectors) -> bool:
        """Whether `dot` makes its products in float32: they are many, and on a sample of rows they hold."""
        head, k, xp = self.head, vectors.shape[0], namespace(vectors)
        if vectors.dtype != xp.float64 or not isinstance(head.features, DenseFeatures):
            return False
        numbers = head.n * head.features.columns
        single = head.features.x.dtype == namespace(head.features.x).float32 and numbers >= LARGE
        if not single and 2.0 * numbers * k * head.c < MANY:
            return False
        at = slice(0, head.n, max(1, head.n // SAMPLE))
        part = replace(head, features=replace(head.features, x=head.features.x[at, :]))
        some = replace(self, head=part, pulls=self.pulls[at, :], shares=self.shares[at])
        exact = next(some._exact(vectors))[1]
        gap = xp.astype(next(some._bulk(vectors))[1], xp.float64) - exact
        size = xp.sqrt(xp.sum(exact * exact, axis=0))
        return bool(xp.all(xp.sqrt(xp.sum(gap * gap, axis=0)) <= HOLDS * size))

    def said(self, vectors: Vectors) -> str:
        """Products in float32, where there are so many."""
        if not self.rounds(vectors):
            return ""
        return f"rows multiplied in float32 (within {HOLDS:.0e} of float64 on {SAMPLE} of them)"

    @property
    def _shares_any(self) -> bool:
        return bool(namespace(self.shares).any(self.shares != 0))

    def _exact(self, vectors: Vectors) -> Iterator[tuple[slice, Float[Array, "b k"]]]:
        xp, head, k, c = namespace(vectors), self.head, vectors.shape[0], self.head.c
        w = xp.reshape(head.params.expand(vectors), (k * c, -1))
        for rows in cached_blocks(head.n, max(k * c, 2 * head.features.columns)):
            z = xp.reshape(head.features.matmul(w, rows), (-1, k, c))
            pulls = self.pulls[rows, :]
            yield rows, z[:, :, 0] * pulls[:, :1] if c == 1 else xp.sum(z * pulls[:, None, :], axis=2)

    def _bulk(self, vectors: Vectors) -> Iterator[tuple[slice, Float[Array, "b k"]]]:
        """float32, in blocks that stay in the cache; c − 1 outputs where pulls sum to zero over all of them."""
        xp, head, k, c = namespace(vectors), self.head, vectors.shape[0], self.head.c
        w, pulls = xp.permute_dims(head.params.expand(vectors), (1, 0, 2)), self.pulls
        null = head.loss.null_outputs
        if c > 1 and null.shape[0] == 1 and bool(xp.all(xp.asarray(null == null[0, 0]))):
            w, pulls = w[:-1, :, :] - w[-1:, :, :], pulls[:, :-1]
        outputs = w.shape[0]
        flat = xp.astype(xp.reshape(w, (outputs * k, -1)), xp.float32)
        features, pulls = rounded(head.features, xp.float32), xp.astype(pulls, xp.float32)
        for rows in cached_blocks(head.n, outputs * k):
            z = xp.reshape(features.matmul(flat, rows), (-1, outputs, k))
            one = outputs == 1  # thousands of products of one number are dear
            yield rows, z[:, 0, :] * pulls[rows, :] if one else (pulls[rows, None, :] @ z)[:, 0, :]

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
