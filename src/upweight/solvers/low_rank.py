"""The Hessian of a linear head in its leading principal directions: exact there, one number a direction beyond them.

With the columns scaled to unit penalty, M⁻¹ = Q K⁻¹ Qᵀ + T (1 + σ ⊗ τ)⁻¹ Tᵀ + (rest): Q the leading directions of
the features and every column without a penalty (the constant), K the Hessian of their coordinates from all rows or a
part of them; T the remaining directions with their second moments τ, σ the mean curvature over outputs. Stands on the
head's curvature; conjugate gradients stand on it. Source: METHODS.md 4; Frangella, Tropp & Udell (2023) for the form.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from upweight.arrays import BLOCK_BYTES, blocks, namespace, to_numpy
from upweight.curvature import Curvature, HeadCurvature
from upweight.errors import UnsupportedQuestion
from upweight.features import rounded
from upweight.linear_head import LinearHead
from upweight.randomness import generator
from upweight.shapes import Array, Float, Vectors
from upweight.solvers.low_rank_leverages import RowLeverages
from upweight.solvers.preconditioner import Approximation
from upweight.solvers.symmetric import Symmetric, symmetric

__all__ = ["LowRank", "alike_outputs"]

DENSE_COLUMNS = 2048  # up to here all eigenvectors of the second moment are found, beyond it the leading ones alone
RUN = 64  # rows that are read in one piece where not all are read
ROUGH = 1e-6  # reciprocal condition of K below which float32 sums leave rounding alone
GATHERED = 2048  # rows that are taken together for a second moment: large enough for a fast product
EXTRA = 10  # directions beyond the rank that the search carries along
ROUNDS = 3  # of the search: enough for a preconditioner


@dataclass(frozen=True)
class LowRank:
    """Shares of the rows give Q (`basis_fraction`) and K (`fraction`); products over rows are `bulk`."""

    rank: int = 128
    fraction: float = 1.0
    basis_fraction: float = 1.0
    bulk: str = "float64"  # or "float32"
    seed: int = 0

    def prepare(self, curvature: Curvature) -> Approximation:
        """Two passes over (a part of) the rows and one factor of (rank + 1) · outputs.

        Raises: UnsupportedQuestion if the curvature is not a linear head's.
        """
        if not isinstance(curvature, HeadCurvature):
            raise UnsupportedQuestion(
                f"preconditioner LowRank() reads the features of a linear head, and "
                f"{type(curvature).__name__} has none. Use Diagonal() or Identity()."
            )
        made = _make(self, curvature)
        if made.factored.reciprocal_condition < ROUGH and self.bulk != "float64":
            return replace(self, bulk="float64").prepare(curvature)
        g, c = made.head_basis.shape[1], curvature.head.c
        part = "all" if self.fraction >= 1 else f"{self.fraction:.0%} of the"
        how = f"the Hessian in {g:,} directions × {c:,} outputs from {part} rows"
        if self.bulk != "float64":
            how += f", summed in {self.bulk}"
        alike = alike_outputs(curvature.head)
        return Approximation(made.apply, how, (lambda rows: made.leverages(rows)) if alike else None, near=True)

    @classmethod
    def from_part(cls, rank: int, rows: int, basis_rows: int, n: int) -> "LowRank":
        """With so many of n rows, or all of them, in float32: all that many rows need (measured on MNIST)."""
        return cls(rank, min(1.0, rows / n), min(1.0, basis_rows / n), bulk="float32")


def alike_outputs(head: LinearHead) -> bool:
    """Whether all outputs have the same free columns; else a row's leverage is not a function of its coordinates."""
    free = to_numpy(head.params.free)
    return bool(np.all(free == free[:1]))


@dataclass(frozen=True)
class _Made:
    curvature: HeadCurvature
    scale: Float[Array, " D"]  # columns in the units in which the penalty is 1; 0: not a parameter, or never seen
    head_basis: Float[Array, "D g"]  # [Q, columns without a penalty], orthonormal, in scaled columns
    factored: Symmetric  # K, (output, direction)
    tail_basis: Float[Array, "D t"]
    tail_weight: Float[Array, "c t"]  # 1 / (1 + σ_a τ_j)
    rotation: Float[Array, "c c"]  # eigenvectors of the mean curvature over outputs
    moments: Float[Array, " t"]  # τ
    bare: Float[Array, " D"]  # 1 for a column in the basis without a penalty, which has no rest
    bulk: str

    def apply(self, vectors: Vectors) -> Vectors:
        """M⁻¹ v."""
        xp, k = namespace(vectors), vectors.shape[0]
        params, c = self.curvature.head.params, self.curvature.head.c
        w = xp.reshape(params.expand(vectors) * self.scale[None, None, :], (k * c, -1))
        first, last = w @ self.head_basis, w @ self.tail_basis  # [kc, g], [kc, t]
        g = first.shape[1]
        solved = self.factored.solve(xp.matrix_transpose(xp.reshape(first, (k, c * g))))
        solved = xp.reshape(xp.matrix_transpose(solved), (k * c, g))
        out = w + (solved - first) @ xp.matrix_transpose(self.head_basis)
        if not last.shape[1]:
            return params.collect(xp.reshape(out, (k, c, -1)) * self.scale[None, None, :])
        turned = xp.matrix_transpose(self.rotation) @ xp.reshape(last, (k, c, -1))
        turned = self.rotation @ (turned * (self.tail_weight - 1.0)[None, :, :])
        out = out + xp.reshape(turned, (k * c, -1)) @ xp.matrix_transpose(self.tail_basis)
        return params.collect(xp.reshape(out, (k, c, -1)) * self.scale[None, None, :])

    @cached_property
    def leverages(self) -> RowLeverages:
        """s X_i M⁻¹ X_iᵀ of any rows."""
        xp, t = namespace(self.scale), self.tail_basis.shape[1]
        total = float(xp.sum(self.moments)) if t else 0.0
        mean = self.tail_weight @ self.moments / total if total > 0 else xp.ones_like(self.rotation[0, :])
        tail = (self.rotation * mean[None, :]) @ xp.matrix_transpose(self.rotation)
        inverse = self.factored.solve(xp.eye(self.rotation.shape[0] * self.head_basis.shape[1], dtype=tail.dtype))
        inverse = 0.5 * (inverse + xp.matrix_transpose(inverse))
        return RowLeverages.of(self.curvature, self.head_basis, self.scale, self.bare, inverse, tail, self.bulk)


def _make(settings: LowRank, curvature: HeadCurvature) -> _Made:
    head, c = curvature.head, curvature.head.c
    xp, dtype = namespace(head.weights), curvature.diagonal.dtype
    free = xp.astype(xp.asarray(head.params.free), dtype)
    d = head.params.expand(curvature.diagonal[None, :])[0, :, :]
    count = xp.sum(free, axis=0)
    mean = xp.sum(d, axis=0) / xp.where(count > 0, count, xp.ones_like(count))
    weight = _row_weights(curvature)
    mean, bare = _bare_columns(mean, count, settings.rank, weight)
    scale = xp.where(count > 0, 1.0 / xp.sqrt(xp.where(mean > 0, mean, xp.ones_like(mean))), xp.zeros_like(mean))
    q, tail, moments = _directions(settings, curvature, weight, scale * (1.0 - bare))
    at = xp.asarray(np.flatnonzero(to_numpy(bare)))
    units = xp.astype(xp.arange(scale.shape[0])[:, None] == at[None, :], dtype)
    basis = xp.concat([q, units], axis=1)
    k, outputs = _reduced(settings, curvature, basis, scale)
    g = basis.shape[1]
    for a in range(c):  # the penalty in these coordinates: the identity where all outputs are penalised alike
        own = xp.where(free[a, :] > 0, d[a, :], mean) * scale**2
        k[a, :, a, :] += xp.matrix_transpose(basis) @ (basis * own[:, None])
    if curvature.has_null:
        null = xp.asarray(head.loss.null_outputs, dtype=dtype)
        shift = xp.matrix_transpose(null) @ null
        seen = basis * scale[:, None]
        pin = xp.matrix_transpose(seen) @ (seen * xp.astype(curvature.pins, dtype)[:, None])
        for a in range(c):
            for b in range(c):
                k[a, :, b, :] += shift[a, b] * pin
    flat = xp.reshape(k, (c * g, c * g))
    factored: Symmetric = symmetric(0.5 * (flat + xp.matrix_transpose(flat)))
    sigma, rotation = xp.linalg.eigh(outputs)
    weights = 1.0 / (1.0 + xp.clip(sigma, min=0.0)[:, None] * moments[None, :])
    return _Made(curvature, scale, basis, factored, tail, weights, rotation, moments, bare, settings.bulk)


def _row_weights(curvature: HeadCurvature) -> Float[Array, " n"]:
    """s w_i tr(S_i) / c: how much a row bends its outputs, on average."""
    xp, every = namespace(curvature.head.weights), slice(0, curvature.head.n)
    own = xp.stack([curvature.outputs.entry(a, a, every) for a in range(curvature.head.c)], axis=0)
    return curvature.head.scale * xp.mean(own, axis=0)


def _bare_columns(
    mean: Float[Array, " D"], count: Float[Array, " D"], rank: int, weight: Float[Array, " n"]
) -> tuple[Float[Array, " D"], Float[Array, " D"]]:
    """Penalty of each column, and which have none and go into the basis as they are.

    Where more than `rank` have none, all but the constant get a small one: a preconditioner may.
    """
    xp = namespace(mean)
    bare = (count > 0) & ~(mean > 0)
    if int(xp.sum(xp.astype(bare, xp.int64))) > rank:
        constant = xp.arange(mean.shape[0]) == mean.shape[0] - 1
        lowest = 1e-3 * float(xp.sum(weight))
        mean = xp.where(bare & ~constant, xp.full_like(mean, max(lowest, 1e-300)), mean)
        bare = bare & constant
    return mean, xp.astype(bare, mean.dtype)


def _directions(
    settings: LowRank, curvature: HeadCurvature, weight: Float[Array, " n"], scale: Float[Array, " D"]
) -> tuple[Float[Array, "D r"], Float[Array, "D t"], Float[Array, " t"]]:
    """Leading directions of the weighted, scaled features; the others, with their second moments per unit weight."""
    xp, features = namespace(scale), curvature.head.features
    if settings.bulk != "float64":
        features = rounded(features, getattr(xp, settings.bulk))
    width = scale.shape[0]
    live = int(xp.sum(xp.astype(scale > 0, xp.int64)))
    rank = min(settings.rank, live, curvature.head.n)
    if settings.rank >= live and width <= DENSE_COLUMNS:  # all directions: the columns themselves
        at = xp.asarray(np.flatnonzero(to_numpy(scale) > 0))
        units = xp.astype(xp.arange(width)[:, None] == at[None, :], scale.dtype)
        return units, xp.zeros((width, 0), dtype=scale.dtype), xp.zeros((0,), dtype=scale.dtype)
    runs = list(_runs(curvature.head.n, settings.basis_fraction, features.bytes_per_row()))
    share = sum(r.stop - r.start for r in runs) / curvature.head.n
    total = float(xp.sum(weight)) or 1.0
    if width <= DENSE_COLUMNS:
        moment = xp.zeros((width, width), dtype=scale.dtype)
        root = xp.astype(xp.sqrt(xp.clip(weight, min=0.0) / total), getattr(xp, settings.bulk))
        for index in map(xp.asarray, _gathered(runs, GATHERED)):
            x = features.take(index) * xp.take(root, index)[:, None]
            moment = moment + xp.astype(xp.matrix_transpose(x) @ x, scale.dtype)
        at = xp.asarray(np.flatnonzero(to_numpy(scale) > 0))
        moment = moment * (scale[:, None] * scale[None, :] / share)
        moment = xp.take(xp.take(moment, at, axis=0), at, axis=1)
        values, vectors = xp.linalg.eigh(moment)  # ascending
        vectors = xp.astype(xp.arange(width)[:, None] == at[None, :], scale.dtype) @ vectors
        split = live - rank
        values = xp.clip(values, min=0.0)
        return vectors[:, split:], vectors[:, :split], values[:split]
    drawn = generator(settings.seed, "low rank directions").standard_normal((width, min(rank + EXTRA, live)))
    q = xp.linalg.qr(xp.asarray(drawn, dtype=scale.dtype) * scale[:, None]).Q
    for _ in range(ROUNDS):
        image = xp.zeros((q.shape[1], width), dtype=scale.dtype)
        w = xp.matrix_transpose(q * scale[:, None])
        for rows in runs:
            image = image + features.rmatmul(features.matmul(w, rows) * weight[rows][:, None], rows)
        image = xp.matrix_transpose(image * scale[None, :])
        small = xp.matrix_transpose(q) @ image
        _, turn = xp.linalg.eigh(0.5 * (small + xp.matrix_transpose(small)))
        leading = image @ turn[:, turn.shape[1] - q.shape[1] :]
        q = xp.linalg.qr(xp.flip(leading, axis=1)).Q
    return q[:, :rank], xp.zeros((width, 0), dtype=scale.dtype), xp.zeros((0,), dtype=scale.dtype)


def _reduced(
    settings: LowRank, curvature: HeadCurvature, basis: Float[Array, "D g"], scale: Float[Array, " D"]
) -> tuple[Float[Array, "c g c g"], Float[Array, "c c"]]:
    """Hessian of the data in these coordinates, and the mean curvature over outputs times the total weight."""
    head, g = curvature.head, basis.shape[1]
    xp, c = namespace(scale), head.c
    w = xp.matrix_transpose(basis * scale[:, None])
    bulk, features = getattr(xp, settings.bulk), head.features
    if settings.bulk != "float64":
        features, w = rounded(features, bulk), xp.astype(w, bulk)
    k, outputs = xp.zeros((c, g, c, g), dtype=scale.dtype), xp.zeros((c, c), dtype=scale.dtype)
    seen, most = 0, max(RUN, int(BLOCK_BYTES // (8.0 * c * g)))
    runs = list(_runs(head.n, settings.fraction, 8.0 * c * g + features.bytes_per_row()))
    for rows_of in _gathered(runs, most):
        index = xp.asarray(rows_of)
        if basis.shape[0] <= DENSE_COLUMNS:
            z = features.take(index) @ xp.matrix_transpose(w)
        else:
            z = xp.concat([features.matmul(w, rows) for rows in _pieces(rows_of)], axis=0)
        k = k + xp.astype(curvature.outputs.moments(xp.astype(z, bulk, copy=False), index), scale.dtype)
        outputs = outputs + xp.sum(curvature.outputs.blocks(index), axis=0)
        seen += index.shape[0]
    factor = head.scale * head.n / max(seen, 1)
    return k * factor, outputs * factor


def _runs(n: int, fraction: float, bytes_per_row: float) -> Iterator[slice]:
    """All rows in blocks, or evenly spread runs of about this share of them."""
    if fraction >= 1:
        yield from blocks(n, bytes_per_row)
        return
    runs = max(1, round(n * fraction / RUN))
    for start in np.unique(np.linspace(0, max(0, n - RUN), runs).astype(int)):
        yield slice(int(start), min(n, int(start) + RUN))


def _gathered(runs: Sequence[slice], most: int) -> Iterator[NDArray[np.int64]]:
    """The rows of these runs, about so many at a time."""
    rows = np.concatenate([np.arange(run.start, run.stop) for run in runs])
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


def _pieces(index: NDArray[np.int64]) -> Iterator[slice]:
    """The same rows as slices, for features that are too wide to be taken."""
    for part in np.split(index, np.flatnonzero(np.diff(index) != 1) + 1):
        yield slice(int(part[0]), int(part[-1]) + 1)
