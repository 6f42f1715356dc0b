"""Real refits with a row changed: another label, weight or inputs, everything else as it was.

A changed row is a row that leaves and another one that comes in its place: the newcomers stand behind the training
rows, and each refit leaves out the row that it changes and every newcomer but its own. Nothing changes what a refit
divides by. Stands on the refits of `support` and `warm_refit`.
"""

from dataclasses import dataclass, replace
from typing import Any

from upweight.arrays import namespace
from upweight.features import DenseFeatures, Features
from upweight.linear_head import LinearHead
from upweight.removal.support import refit_on_support
from upweight.removal.warm_refit import Refits
from upweight.shapes import Array, Float
from upweight.solvers import Prepared

__all__ = ["Changed", "lengthened", "refit_changed"]


@dataclass(frozen=True)
class Changed:
    """What m refits read instead: row `rows`[m], each in a refit of its own."""

    rows: Array  # [m] positions
    targets: Array | None = None  # [m] or [m, c], encoded; None: as they are, and so the next two
    weights: Array | None = None  # [m]
    features: Any = None  # Features of m rows, as the adapter reads queries


def refit_changed(head: LinearHead, prepared: Prepared, changed: Changed) -> Refits:
    """The optimum with each row changed, alone: [m, p]. `prepared` is H at `head`."""
    n, m = head.n, len(changed.rows)
    longer = lengthened(head, changed)
    leave = [[int(changed.rows[k]), *(n + j for j in range(m) if j != k)] for k in range(m)]
    return refit_on_support(longer, prepared, leave)


def lengthened(head: LinearHead, changed: Changed) -> LinearHead:
    """The head with its newcomers behind its rows, divided as before."""
    xp = namespace(head.weights)
    at = xp.asarray(changed.rows)
    new = changed.features
    if new is None:
        new = DenseFeatures(head.features.take(at)[:, :-1], head.weights.dtype)
    targets = xp.take(head.targets, at, axis=0) if changed.targets is None else changed.targets
    weights = xp.take(head.weights, at) if changed.weights is None else changed.weights
    return replace(
        head,
        features=_Stacked(head.features, new),
        targets=xp.concat([head.targets, targets], axis=0),
        weights=xp.concat([head.weights, weights]),
        normalization="sum",  # the divisor stays, so no row has a share of the penalty
        divisor=1.0 / head.scale,
    )


@dataclass(frozen=True)
class _Stacked:
    """Features of two sets of rows, one after the other."""

    first: Features
    second: Features

    @property
    def rows(self) -> int:
        """Of both."""
        return self.first.rows + self.second.rows

    @property
    def columns(self) -> int:
        """D."""
        return self.first.columns

    def matmul(self, w: Float[Array, "k D"], rows: slice) -> Float[Array, "b k"]:
        """X wᵀ."""
        return namespace(w).concat([part.matmul(w, some) for part, some, _ in self._split(rows)], axis=0)

    def rmatmul(self, e: Float[Array, "b k"], rows: slice) -> Float[Array, "k D"]:
        """eᵀ X."""
        total = namespace(e).zeros((e.shape[1], self.columns), dtype=e.dtype)
        for part, some, here in self._split(rows):
            total = total + part.rmatmul(e[here, :], some)
        return total

    def second_moment(self, weight: Float[Array, " b"], rows: slice) -> Float[Array, "D D"]:
        """Xᵀ diag(weight) X."""
        total = namespace(weight).zeros((self.columns, self.columns), dtype=weight.dtype)
        for part, some, here in self._split(rows):
            total = total + part.second_moment(weight[here], some)
        return total

    def gram(self, other: Features, scale: Float[Array, " D"]) -> Float[Array, "n m"]:
        """X diag(scale) X_otherᵀ."""
        xp = namespace(scale)
        right = other.take(xp.arange(other.rows)) * scale[None, :]
        return self.matmul(right, slice(0, self.rows))

    def squares(self, scale: Float[Array, " D"]) -> Float[Array, " n"]:
        """Σ_j scale_j x_ij²."""
        return namespace(scale).concat([self.first.squares(scale), self.second.squares(scale)])

    def take(self, rows: Array) -> Float[Array, "b D"]:
        """These rows with the constant."""
        xp, n = namespace(rows), self.first.rows
        behind = rows >= n
        x = self.first.take(xp.where(behind, 0, rows))
        y = self.second.take(xp.where(behind, rows - n, 0))
        return xp.where(behind[:, None], y, x)

    def bytes_per_row(self) -> float:
        """The wider of the two."""
        return max(self.first.bytes_per_row(), self.second.bytes_per_row())

    def _split(self, rows: slice) -> list[tuple[Features, slice, slice]]:
        """(part, its rows, where they lie in what is asked), at least one."""
        n, start, stop = self.first.rows, rows.start or 0, self.rows if rows.stop is None else rows.stop
        cut = min(max(n, start), stop)
        found = []
        if start < cut:
            found.append((self.first, slice(start, cut), slice(0, cut - start)))
        if cut < stop:
            found.append((self.second, slice(cut - n, stop - n), slice(cut - start, stop - start)))
        return found
