"""The Hessian of a part of the rows, factored: cheaper than directions where parameters are few.

Rows are drawn evenly along their summed curvature, not along their number: one that bends the loss more is likelier in
the part, and counts less for each time it is. With one output, a penalty and rows that hold few directions, the factor
is of rows × rows and float32; else of columns × columns and float64.
Stands on the head's curvature; conjugate gradients stand on it. Source: METHODS.md 4 (a part of the rows suffices).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upweight.arrays import namespace, to_numpy
from upweight.curvature import Curvature, HeadCurvature
from upweight.errors import UnsupportedQuestion
from upweight.features import NARROW, rounded
from upweight.shapes import Array, Float, Vectors
from upweight.solvers.preconditioner import Approximation
from upweight.solvers.symmetric import symmetric

__all__ = ["SampledHessian"]

ROUGH = 1e-5  # reciprocal condition below which what is left of a direction in float32 is rounding
BLOCK = 2048  # rows whose moments are summed together
HELD = 0.1  # directions that the penalty does not hold, beside rows drawn: up to here these rows show them
BARE = 1e-3  # of its own curvature: the penalty that a preconditioner gives the constant where it has none
SMALL = 64  # triangles that are inverted as they are


@dataclass(frozen=True)
class SampledHessian:
    """From this many rows for a factor of columns; first from `fewer` rows for a factor of rows, where they suffice."""

    rows: int = 2000
    bulk: str = "float32"  # of the products
    fewer: int = 0

    def prepare(self, curvature: Curvature) -> Approximation:
        """One pass over the part and one factor.

        Raises: UnsupportedQuestion if the curvature is not a linear head's.
        """
        if not isinstance(curvature, HeadCurvature):
            raise UnsupportedQuestion(
                f"preconditioner SampledHessian() reads the rows of a linear head, and "
                f"{type(curvature).__name__} has none. Use Diagonal() or Identity()."
            )
        return _by_rows(curvature, self.fewer, self.bulk) or _by_columns(curvature, self.rows, self.bulk)


def _by_columns(curvature: HeadCurvature, rows: int, bulk: str) -> Approximation:
    head = curvature.head
    xp, c, width = namespace(head.weights), head.c, head.features.columns
    features = rounded(head.features, getattr(xp, bulk))
    at, raised = _drawn(curvature, rows)
    total = xp.zeros((c, width, c, width), dtype=head.weights.dtype)
    for start in range(0, len(at), BLOCK):
        index = xp.asarray(at[start : start + BLOCK])
        root = xp.sqrt(xp.asarray(raised[start : start + BLOCK], dtype=total.dtype))
        z = features.take(index)
        z = z * xp.astype(root, z.dtype)[:, None]
        total += xp.astype(curvature.outputs.moments(z, index), total.dtype, copy=False)
    factored = symmetric(curvature.assembled(total * head.scale))
    if factored.reciprocal_condition < ROUGH and bulk != "float64":
        at, raised, factored = np.arange(head.n), np.ones(head.n), symmetric(curvature.dense())
    solve = factored.solve

    def apply(vectors: Vectors) -> Vectors:
        return xp.matrix_transpose(solve(xp.matrix_transpose(vectors)))

    return Approximation(apply, _said(len(at), head.n), drawn=_times(head.n, at, raised), near=True)


def _by_rows(curvature: HeadCurvature, rows: int, bulk: str) -> Approximation | None:
    """M⁻¹ = D⁻¹ − D⁻¹ Fᵀ (I + F D⁻¹ Fᵀ)⁻¹ F D⁻¹, F the rows drawn; None where these would not do."""
    head, d = curvature.head, curvature.diagonal
    xp = namespace(d)
    bare = ~(d > 0)
    if head.c > 1 or not 0 < rows < min(head.n, curvature.size) or int(xp.sum(xp.astype(bare, xp.int64))) > 1:
        return None
    kind = getattr(xp, bulk)
    at, raised = _drawn(curvature, rows)
    index = xp.asarray(at)
    weight = head.scale * xp.take(curvature.outputs.entry(0, 0, slice(0, head.n)), index)
    root = xp.astype(xp.sqrt(weight * xp.asarray(raised, dtype=d.dtype)), kind)
    f = xp.astype(rounded(head.features, kind).take(index), kind, copy=False) * root[:, None]
    f = head.params.collect(f[:, None, :])
    own = BARE * xp.astype(xp.sum(f * f, axis=0), d.dtype)
    unit = 1.0 / xp.sqrt(xp.where(bare, xp.where(own > 0, own, xp.ones_like(own)), d))
    f = f * xp.astype(unit, kind)[None, :]
    k = f @ xp.matrix_transpose(f)
    if not float(xp.sum(xp.linalg.diagonal(k))) * ROUGH <= 1.0:
        return None
    inverse = _inverse_of_triangle(xp.linalg.cholesky(k + xp.eye(k.shape[0], dtype=kind)))
    if not k.shape[0] - float(xp.sum(inverse * inverse)) <= HELD * k.shape[0]:
        return None

    def apply(vectors: Vectors) -> Vectors:
        scaled = vectors * unit[None, :]
        v = xp.astype(scaled, kind)
        if v.shape[0] <= NARROW:  # matrix-vector products are faster than skinny ones
            parts = [((f @ v[j, :]) @ xp.matrix_transpose(inverse)) @ inverse @ f for j in range(v.shape[0])]
            turned = xp.stack(parts) if parts else v
        else:
            turned = (v @ xp.matrix_transpose(f)) @ xp.matrix_transpose(inverse) @ inverse @ f
        return (scaled - xp.astype(turned, vectors.dtype)) * unit[None, :]

    return Approximation(apply, _said(len(at), head.n), drawn=_times(head.n, at, raised), near=True)


def _drawn(curvature: HeadCurvature, rows: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """At even steps of the summed curvature s w_i tr(S_i): which rows, and what multiplies the curvature of each."""
    head, n = curvature.head, curvature.head.n
    own = sum(to_numpy(curvature.outputs.entry(a, a, slice(0, n))) for a in range(head.c))
    summed = np.cumsum(np.maximum(own, 0.0))
    total = summed[-1] if n else 0.0
    if rows >= n or not (np.isfinite(total) and total > 0):
        every = np.unique(np.linspace(0, n - 1, min(rows, n)).astype(np.int64))
        return every, np.full(len(every), n / max(len(every), 1))
    steps = (np.arange(rows) + 0.5) * (total / rows)
    at, times = np.unique(np.minimum(np.searchsorted(summed, steps), n - 1), return_counts=True)
    return at, times * (total / rows) / np.asarray(own)[at]


def _times(n: int, at: NDArray[np.int64], raised: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.zeros(n)
    out[at] = raised
    return out


def _inverse_of_triangle(lower: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """L⁻¹ by halves: all but the smallest parts are products."""
    xp, m = namespace(lower), lower.shape[0]
    if m <= SMALL:
        return xp.linalg.inv(lower)
    h = m // 2
    first, last = _inverse_of_triangle(lower[:h, :h]), _inverse_of_triangle(lower[h:, h:])
    corner = -(last @ lower[h:, :h] @ first)
    top = xp.concat([first, xp.zeros((h, m - h), dtype=lower.dtype)], axis=1)
    return xp.concat([top, xp.concat([corner, last], axis=1)], axis=0)


def _said(rows: int, n: int) -> str:
    part = "all" if rows == n else f"{rows:,} of the"
    return f"the Hessian of {part} rows"
