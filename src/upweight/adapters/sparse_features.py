"""Rows of a scipy CSR matrix and an implicit constant column, never densified but for the rows that are asked for.

Stands on features; scipy.sparse stops at the adapters.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from upweight.arrays import blocks
from upweight.features import DenseFeatures, Features
from upweight.shapes import Array, Float

__all__ = ["SparseFeatures", "features_of"]


@dataclass(frozen=True)
class SparseFeatures:
    """[n, d] CSR of any float or integer type: each block is cast to float64 while it is read."""

    x: Any

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
        return np.asarray(self._block(rows) @ w[:, :-1].T + w[None, :, -1])

    def rmatmul(self, e: Float[Array, "b k"], rows: slice) -> Float[Array, "k D"]:
        """eᵀ X."""
        turned = self._turned if self._are_all(rows) else self._block(rows).T
        return np.concatenate([(turned @ e).T, np.sum(e, axis=0)[:, None]], axis=1)

    def second_moment(self, weight: Float[Array, " b"], rows: slice) -> Float[Array, "D D"]:
        """Xᵀ diag(weight) X: sparse times sparse, written out at the end."""
        x = self._block(rows)
        weighted = sp.csr_array(x.multiply(weight[:, None]))
        out = np.empty((self.columns, self.columns))
        out[:-1, :-1] = (x.T @ weighted).toarray()
        out[-1, :-1] = out[:-1, -1] = np.asarray(weighted.sum(axis=0)).reshape(-1)
        out[-1, -1] = np.sum(weight)
        return out

    def gram(self, other: Features, scale: Float[Array, " D"]) -> Float[Array, "n m"]:
        """X diag(scale) X_otherᵀ."""
        if isinstance(other, SparseFeatures):
            scaled = sp.csr_array(other._block(slice(0, other.rows)).multiply(scale[None, :-1]))
            return np.asarray((self._block(slice(0, self.rows)) @ scaled.T).toarray() + scale[-1])
        return self.matmul(np.asarray(other.take(np.arange(other.rows))) * scale[None], slice(0, self.rows))

    def squares(self, scale: Float[Array, " D"]) -> Float[Array, " n"]:
        """Σ_j scale_j x_ij²."""
        parts = []
        for rows in blocks(self.rows, self.bytes_per_row()):
            x = self._block(rows)
            parts.append(np.asarray(x.multiply(x) @ scale[:-1]).reshape(-1) + scale[-1])
        return np.concatenate(parts)

    def take(self, rows: Array) -> Float[Array, "b D"]:
        """These rows, dense, with the constant."""
        x = self.x[np.asarray(rows)].toarray().astype(np.float64, copy=False)
        return np.concatenate([x, np.ones((x.shape[0], 1))], axis=1)

    def bytes_per_row(self) -> float:
        """Values and positions of a row, and a weighted copy."""
        return 40.0 * (1.0 + float(self.x.nnz) / max(1, self.rows))

    @cached_property
    def _whole(self) -> Any:
        return self.x.astype(np.float64) if self.x.dtype != np.float64 and self.x.nnz < 2**20 else self.x

    @cached_property
    def _turned(self) -> Any:
        """X of all rows by columns: the same numbers, but looked over by scipy each time that it is made."""
        return self._whole.astype(np.float64, copy=False).T

    def _block(self, rows: slice) -> Any:
        some = self._whole if self._are_all(rows) else self._whole[rows]
        return some.astype(np.float64, copy=False)

    def _are_all(self, rows: slice) -> bool:
        return rows.indices(self.rows) == (0, self.rows, 1)


def features_of(matrix: Any) -> Features:
    """Rows for a head, read block by block: never copied whole, never densified."""
    return SparseFeatures(sp.csr_array(matrix)) if sp.issparse(matrix) else DenseFeatures(matrix, np.float64)
