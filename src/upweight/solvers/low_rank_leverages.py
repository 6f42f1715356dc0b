"""Leverages s X_i M⁻¹ X_iᵀ of any rows from the low-rank preconditioner: the rest by its mean.

Basis: one product for each pair of outputs. Beyond it: the row's squared length there, times the mean inverse
curvature of the tail. Where no target sees a shift of all outputs, what is returned leaves that shift out, so that
rows of B sum to zero and c (c − 1) / 2 pairs give all of it. Stands on features; low_rank makes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from upweight.arrays import namespace
from upweight.curvature import HeadCurvature
from upweight.features import Features, rounded
from upweight.shapes import Array, Float

__all__ = ["RowLeverages"]

BLOCK = 2**22  # numbers of a block's product: it stays near the cache


@dataclass(frozen=True)
class RowLeverages:
    """Call it with a slice or an index array."""

    features: Features
    scale: float  # s
    basis: Float[Array, "g D"]  # in the units of the columns
    own: Float[Array, " g"]  # squared length of each direction within the penalised columns
    pairs: tuple[tuple[int, int], ...]
    stacked: Float[Array, "g Pg"]  # K⁻¹ of each pair, side by side
    squares: Float[Array, " n"]  # squared lengths of the rows, penalised columns in the units of the penalty
    tail: Float[Array, "c c"]  # inverse curvature beyond the basis
    sums_to_zero: bool

    @staticmethod
    def of(
        curvature: HeadCurvature,
        basis: Float[Array, "D g"],
        scale: Float[Array, " D"],
        bare: Float[Array, " D"],
        inverse: Float[Array, "gc gc"],
        tail: Float[Array, "c c"],
        bulk: str,
    ) -> "RowLeverages":
        """From the preconditioner's parts: basis in scaled columns, K⁻¹ ordered (output, direction)."""
        head, g = curvature.head, basis.shape[1]
        xp, c = namespace(scale), head.c
        dtype, null = getattr(xp, bulk), head.loss.null_outputs
        k = xp.reshape(inverse, (c, g, c, g))
        zero = null.shape[0] == 1 and not (c == 1 or head.loss.separate)
        if zero:
            off = xp.eye(c, dtype=scale.dtype) - xp.matrix_transpose(xp.asarray(null)) @ xp.asarray(null)
            turned = off @ xp.reshape(k, (c, g * c * g))
            turned = xp.permute_dims(xp.reshape(turned, (c, g, c, g)), (2, 0, 1, 3))
            turned = xp.reshape(off @ xp.reshape(turned, (c, c * g * g)), (c, c, g, g))
            k, tail = xp.permute_dims(turned, (1, 2, 0, 3)), off @ tail @ off
        pairs = _pairs(c, c == 1 or head.loss.separate, zero)
        parts = [0.5 * (k[a, :, b, :] + xp.matrix_transpose(k[a, :, b, :])) for a, b in pairs]
        penalised = basis * (1.0 - bare)[:, None]
        return RowLeverages(
            features=head.features if bulk == "float64" else rounded(head.features, dtype),
            scale=head.scale,
            basis=xp.astype(xp.matrix_transpose(basis * scale[:, None]), dtype),
            own=xp.sum(penalised * penalised, axis=0),
            pairs=pairs,
            stacked=xp.astype(xp.concat(parts, axis=1), dtype),
            squares=head.features.squares((scale * (1.0 - bare)) ** 2),
            tail=tail,
            sums_to_zero=zero,
        )

    def __call__(self, rows: Array) -> Float[Array, "b c c"]:
        """s X_i M⁻¹ X_iᵀ of these rows."""
        xp = namespace(self.basis)
        if not isinstance(rows, slice):
            x = xp.astype(self.features.take(rows), self.basis.dtype)
            return self._from(x @ xp.matrix_transpose(self.basis), xp.take(self.squares, rows))
        parts = [self._from(self.features.matmul(self.basis, part), self.squares[part]) for part in self._blocks(rows)]
        return parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)

    def _from(self, z: Float[Array, "b g"], squares: Float[Array, " b"]) -> Float[Array, "b c c"]:
        xp, (b, g), c = namespace(z), z.shape, self.tail.shape[0]
        z = xp.astype(z, self.basis.dtype, copy=False)
        rest = squares - xp.astype(z, squares.dtype) ** 2 @ self.own
        values = (xp.reshape(z @ self.stacked, (b, len(self.pairs), g)) @ z[:, :, None])[:, :, 0]
        total = xp.zeros((b, c, c), dtype=self.tail.dtype)
        for at, (i, j) in enumerate(self.pairs):
            total[:, i, j] = values[:, at]
            total[:, j, i] = values[:, at]
        if self.sums_to_zero:
            others = -xp.sum(total, axis=2)
            for a in range(c):
                total[:, a, a] = others[:, a]
        return self.scale * (total + xp.clip(rest, min=0.0)[:, None, None] * self.tail[None, :, :])

    def _blocks(self, rows: slice) -> Iterator[slice]:
        step = max(64, min(4096, BLOCK // max(1, self.stacked.shape[1])))
        for start in range(rows.start, rows.stop, step):
            yield slice(start, min(rows.stop, start + step))


def _pairs(c: int, apart: bool, zero: bool) -> tuple[tuple[int, int], ...]:
    out: list[Any] = [(a, b) for a in range(c) for b in range(a + zero, a + 1 if apart else c)]
    return tuple(out)
