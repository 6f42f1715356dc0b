"""What a linear head reads: rows of d numbers and an implicit constant column, last; never copied, never densified.

Stands on arrays. Sparse rows (scipy) live in the adapters and keep the same protocol.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

from upweight.arrays import blocks, namespace
from upweight.shapes import Array, Float

__all__ = ["NARROW", "DenseFeatures", "Features", "Taken", "rounded"]

NARROW = 3  # up to so many columns a matrix-vector product each, on a block in the cache, beats a skinny product


@runtime_checkable
class Taken(Protocol):
    """Rows that are only ever taken a few at a time: queries."""

    @property
    def rows(self) -> int:
        """How many."""
        ...

    @property
    def columns(self) -> int:
        """D = d + 1 with the constant."""
        ...

    def take(self, rows: Array) -> Float[Array, "b D"]:
        """These rows, dense, with the constant."""
        ...


@runtime_checkable
class Features(Taken, Protocol):
    """[n, D] rows; `rows` is a slice, or an index array where so typed."""

    def matmul(self, w: Float[Array, "k D"], rows: slice) -> Float[Array, "b k"]:
        """X wᵀ."""
        ...

    def rmatmul(self, e: Float[Array, "b k"], rows: slice) -> Float[Array, "k D"]:
        """eᵀ X."""
        ...

    def second_moment(self, weight: Float[Array, " b"], rows: slice) -> Float[Array, "D D"]:
        """Xᵀ diag(weight) X; weight may be negative."""
        ...

    def gram(self, other: "Features", scale: Float[Array, " D"]) -> Float[Array, "n m"]:
        """X diag(scale) X_otherᵀ."""
        ...

    def squares(self, scale: Float[Array, " D"]) -> Float[Array, " n"]:
        """Σ_j scale_j x_ij² of every row: scaled squared lengths."""
        ...

    def bytes_per_row(self) -> float:
        """Live memory that a pass needs for one row, beside its outputs."""
        ...


@dataclass(frozen=True)
class DenseFeatures:
    """Rows of an array of any float or integer type: each block is cast to `dtype` while it is read."""

    x: Array  # [n, d]
    dtype: Array

    @property
    def rows(self) -> int:
        """n."""
        return int(self.x.shape[0])

    @property
    def columns(self) -> int:
        """D."""
        return int(self.x.shape[1]) + 1

    def matmul(self, w: Float[Array, "k D"], rows: slice) -> Float[Array, "b k"]:
        """X wᵀ."""
        xp, x = namespace(w), self._block(rows)
        if 0 < w.shape[0] <= NARROW:
            out = xp.empty((x.shape[0], w.shape[0]), dtype=w.dtype)
            for j in range(w.shape[0]):
                out[:, j] = x @ w[j, :-1]
            return out + w[None, :, -1]
        return x @ xp.matrix_transpose(w[:, :-1]) + w[None, :, -1]

    def rmatmul(self, e: Float[Array, "b k"], rows: slice) -> Float[Array, "k D"]:
        """eᵀ X."""
        xp, x = namespace(e), self._block(rows)
        if 1 < e.shape[1] <= NARROW:
            parts = [xp.reshape(xp.asarray(e[:, j], copy=True), (1, -1)) @ x for j in range(e.shape[1])]
            return xp.concat([xp.concat(parts, axis=0), xp.sum(e, axis=0)[:, None]], axis=1)
        return xp.concat([xp.matrix_transpose(e) @ x, xp.sum(e, axis=0)[:, None]], axis=1)

    def second_moment(self, weight: Float[Array, " b"], rows: slice) -> Float[Array, "D D"]:
        """Xᵀ diag(weight) X."""
        xp = namespace(weight)
        x = self._block(rows)
        if bool(xp.any(weight < 0)) and bool(xp.all(weight <= 0)):  # pairs of outputs of a softmax
            return -self.second_moment(-weight, rows)
        held = weight != 0
        if 2 * int(xp.sum(xp.astype(held, xp.int64))) < x.shape[0]:  # hinges: most rows lie off their margin
            x, weight = x[held, :], weight[held]
        if bool(xp.all(weight >= 0)):  # one factor twice: half the flops of a product of two
            weighted = x * xp.sqrt(weight)[:, None]
            inner, border = xp.matrix_transpose(weighted) @ weighted, weight @ x
        else:
            weighted = x * weight[:, None]
            inner, border = xp.matrix_transpose(x) @ weighted, xp.sum(weighted, axis=0)
        top = xp.concat([inner, border[:, None]], axis=1)
        bottom = xp.concat([border, xp.reshape(xp.sum(weight), (1,))])
        return xp.concat([top, bottom[None, :]], axis=0)

    def gram(self, other: Features, scale: Float[Array, " D"]) -> Float[Array, "n m"]:
        """X diag(scale) X_otherᵀ."""
        xp = namespace(scale)
        right = other.take(xp.arange(other.rows)) * scale[None, :]
        return self.matmul(right, slice(0, self.rows))

    def squares(self, scale: Float[Array, " D"]) -> Float[Array, " n"]:
        """Σ_j scale_j x_ij²."""
        xp = namespace(scale)
        if bool(xp.all(scale[:-1] == scale[0])):
            return scale[0] * self._lengths + scale[-1]
        return xp.concat([xp.square(self._block(rows)) @ scale[:-1] + scale[-1] for rows in self._few()])

    @cached_property
    def _lengths(self) -> Float[Array, " n"]:
        """Σ_j x_ij²: what `squares` is asked for most."""
        xp = namespace(self.x)
        return xp.concat([xp.vecdot(block, block) for block in map(self._block, self._few())])

    @cached_property
    def ranges(self) -> tuple[Array, Array]:
        """The least and the greatest number of each column [d], without the constant, as the rows have them."""
        xp, low, high = namespace(self.x), self.x[0, :], self.x[0, :]
        for rows in self._few():
            block = self.x[rows, :]
            low, high = xp.minimum(low, xp.min(block, axis=0)), xp.maximum(high, xp.max(block, axis=0))
        return low, high

    def reach(self, scale: Float[Array, " D"]) -> float:
        """No row's `squares` is more: Σ_j scale_j max_i x_ij², from the columns' ranges; scale >= 0."""
        xp, (low, high) = namespace(scale), self.ranges
        most = xp.maximum(xp.abs(xp.astype(low, scale.dtype)), xp.abs(xp.astype(high, scale.dtype)))
        return float(most * most @ scale[:-1] + scale[-1])

    def _few(self) -> Iterator[slice]:
        """Rows of which a cast copy stays in the cache."""
        return blocks(self.rows, 16.0 * self.bytes_per_row())

    def take(self, rows: Array) -> Float[Array, "b D"]:
        """These rows with the constant."""
        xp = namespace(self.x)
        x = xp.astype(xp.take(self.x, rows, axis=0), self.dtype)
        return xp.concat([x, xp.ones((x.shape[0], 1), dtype=self.dtype)], axis=1)

    def bytes_per_row(self) -> float:
        """A cast copy of the row and a weighted one."""
        return 16.0 * self.columns

    def _block(self, rows: slice) -> Array:
        return namespace(self.x).astype(self.x[rows, :], self.dtype, copy=False)


@dataclass(frozen=True)
class Subset:
    """Some rows of features, dense: queries are few."""

    features: Features
    at: Array  # [m] positions

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.at)

    @property
    def columns(self) -> int:
        """D."""
        return self.features.columns

    def take(self, rows: Array) -> Array:
        """These of the chosen rows."""
        return self.features.take(self.at[rows])


def rounded(features: Features, dtype: Array) -> Features:
    """The same rows with products of another type, where their kind can."""
    return replace(features, dtype=dtype) if isinstance(features, DenseFeatures) else features
