"""A linear head's rows under any perturbation of their data: how v·∇ℓ changes with it, and the transpose of that.

With z = W x̃, u = ∂ℓ/∂z, S = ∂²ℓ/∂z² and V the matrix of v (x̃ carries the constant):
by the weight of a part: u(y_part)·(V x̃);   by the inputs: Vᵀu + Wᵀ S V x̃, without the constant's column.
No leverage correction exists for these: it is wrong for labels. Source: METHODS.md 1, 2.1, 9.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from upweight.arrays import blocks, namespace
from upweight.linear_head import LinearHead
from upweight.perturbation import Batch, Perturbation
from upweight.shapes import Array, Float, Vectors

__all__ = ["PerturbedSource", "replaced_inputs"]


@dataclass(frozen=True)
class PerturbedSource:
    """A GradientSource with m numbers a row: θ moves by −s H⁻¹ Σ e_im ∂∇ℓ_i/∂ε_m."""

    head: LinearHead
    perturbation: Perturbation
    rows: Array | None = None  # positions; None: all

    @property
    def n(self) -> int:
        """Rows."""
        return self.head.n if self.rows is None else int(self.rows.shape[0])

    @property
    def scale(self) -> float:
        """s: neither labels nor inputs change what a refit divides by."""
        return self.head.scale

    def said(self, vectors: Vectors) -> str:
        """Nothing: products are in the head's own precision."""
        return ""

    def dot(self, vectors: Vectors) -> Iterator[tuple[slice, Float[Array, "k b m"]]]:
        """∂(v · ∇ℓ_i)/∂ε in row blocks."""
        xp, head, k, c = namespace(vectors), self.head, vectors.shape[0], self.head.c
        v = head.params.expand(vectors)
        flat = xp.reshape(v, (k * c, -1))
        for rows in self._blocks(k):
            batch, z = self._batch(rows), self._outputs(rows)
            along = xp.permute_dims(xp.reshape(self._product(flat, rows), (-1, k, c)), (1, 0, 2))
            gradients = [head.loss.gradient(z, y) for y in self.perturbation.targets(batch)]
            by_weight = [xp.sum(along * u[None, ...], axis=2) for u in gradients]
            by_input = self._by_input(v, along, z, gradients[0], batch) if self.perturbation.moves_inputs else None
            yield rows, self.perturbation.pull(batch, by_weight, by_input)

    def combine(self, e: Float[Array, "j r m"]) -> Float[Array, "j p"]:
        """Σ_i Σ_m e_im ∂∇ℓ_i/∂ε_m."""
        xp, head, j, c = namespace(e), self.head, e.shape[0], self.head.c
        total = xp.zeros((j, c, head.features.columns), dtype=e.dtype)
        for rows in self._blocks(j):
            batch, z, x = self._batch(rows), self._outputs(rows), self._taken(rows)
            tangent = self.perturbation.push(batch, e[:, rows, :])
            gradients = [head.loss.gradient(z, y) for y in self.perturbation.targets(batch)]
            pulls = sum(t[:, :, None] * u[None, ...] for t, u in zip(tangent.weights, gradients, strict=True))
            if tangent.inputs is not None:
                moved = tangent.inputs * batch.weights[None, :, None]
                dz = moved @ xp.matrix_transpose(head.params.matrix[:, :-1])
                s = head.loss.curvature(z, batch.targets)
                pulls = pulls + (s[None, ...] @ dz[:, :, :, None])[:, :, :, 0]
                ut = xp.matrix_transpose(gradients[0])
                still = xp.zeros((j, c, 1), dtype=e.dtype)
                total = total + xp.concat([ut[None, ...] @ moved, still], axis=2)
            total = total + xp.matrix_transpose(pulls) @ x
        return head.params.collect(total)

    def _by_input(
        self, v: Float[Array, "k c D"], along: Float[Array, "k b c"], z: Array, u: Array, batch: Batch
    ) -> Float[Array, "k b d"]:
        xp = namespace(v)
        bent = (self.head.loss.curvature(z, batch.targets)[None, ...] @ along[:, :, :, None])[:, :, :, 0]
        return u[None, ...] @ v[:, :, :-1] + bent @ xp.astype(self.head.params.matrix[:, :-1], v.dtype)[None, ...]

    def _blocks(self, k: int) -> Iterator[slice]:
        head = self.head
        held = head.features.columns if self.perturbation.moves_inputs or self.rows is not None else head.c
        return blocks(self.n, 8.0 * (k + 2) * held + 24.0 * k * head.c + head.features.bytes_per_row())

    def _at(self, rows: slice) -> Array:
        xp = namespace(self.head.weights)
        return xp.arange(rows.start, rows.stop) if self.rows is None else self.rows[rows]

    def _product(self, w: Float[Array, "k D"], rows: slice) -> Float[Array, "b k"]:
        """X wᵀ; chosen rows are few, and taken out densely."""
        if self.rows is None:
            return self.head.features.matmul(w, rows)
        return self._taken(rows) @ namespace(w).matrix_transpose(w)

    def _taken(self, rows: slice) -> Float[Array, "b D"]:
        return self.head.features.take(self._at(rows))

    def _outputs(self, rows: slice) -> Float[Array, "b c"]:
        return namespace(self.head.weights).take(self.head.outputs, self._at(rows), axis=0)

    def _batch(self, rows: slice) -> Batch:
        """Heads read the rows where they lie: `inputs` is where that is."""
        xp, at = namespace(self.head.weights), self._at(rows)
        return Batch(at, xp.take(self.head.targets, at, axis=0), xp.take(self.head.weights, at))


def replaced_inputs(head: LinearHead, vectors: Vectors, rows: Array, x: Float[Array, "m D"]) -> Float[Array, "k m"]:
    """−s w (v·∇ℓ(x′, y) − v·∇ℓ(x, y)): v's estimated change if row `rows`[m] read x [m, D] instead, finite.

    `vectors` are H⁻¹∇m; `x` carries the constant.
    """
    xp, k, c = namespace(vectors), vectors.shape[0], head.c
    flat = xp.reshape(head.params.expand(vectors), (k * c, -1))
    y = xp.take(head.targets, rows, axis=0)

    def pulls(features: Array, z: Array) -> Float[Array, "k m"]:
        along = xp.reshape(features @ xp.matrix_transpose(flat), (-1, k, c))
        return xp.matrix_transpose(xp.sum(along * head.loss.gradient(z, y)[:, None, :], axis=2))

    now = pulls(head.features.take(rows), xp.take(head.outputs, rows, axis=0))
    then = pulls(x, x @ xp.matrix_transpose(head.params.matrix))
    return -head.scale * xp.take(head.weights, rows)[None, :] * (then - now)
