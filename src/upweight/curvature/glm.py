"""The exact Hessian of a linear head: H = s Σ w_i X_iᵀ S_i X_i + f Λ + δI, X_i = I_c ⊗ x_iᵀ.

f is 1 at the fit and 1 − s·(shares removed) for a refit that divides by fewer rows. Directions that no data and no
penalty see (the same shift of all logits where it is not penalised) get γ_j, the mean curvature of their column, so
that H is invertible and answers that do not see them are unchanged. Stands on linear_head; source: METHODS.md 1, 2.1.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from upweight.arrays import blocks, cached_blocks, namespace
from upweight.curvature.output_curvature import OutputCurvature, Shared, output_curvature
from upweight.features import NARROW, Features, rounded
from upweight.linear_head import LinearHead
from upweight.shapes import Array, Float, Vectors

__all__ = ["HeadCurvature"]

SMALL_COLUMNS = 64  # up to here rows are made dense and all outputs share one product: a pair alone is too small


@dataclass(frozen=True)
class HeadCurvature:
    """Every protocol of curvature.base, for one head."""

    head: LinearHead
    penalty_factor: float = 1.0
    damping: float = 0.0
    bulk: str = "float64"  # type of the products over rows in `matmul`; all else is the head's own

    @property
    def size(self) -> int:
        """p."""
        return self.head.params.size

    @property
    def rows(self) -> int:
        """n."""
        return self.head.n

    @property
    def _features(self) -> Features:
        features = self.head.features
        return (
            features if self.bulk == "float64" else rounded(features, getattr(namespace(self.head.weights), self.bulk))
        )

    @cached_property
    def outputs(self) -> OutputCurvature:
        """w_i S_i, in the form that the loss allows."""
        return output_curvature(self.head)

    @property
    def output_curvatures(self) -> Float[Array, "n c c"]:
        """w_i S_i of all rows written out: n c² numbers, so ask `outputs.blocks(rows)` where n or c is large."""
        return self.outputs.blocks(slice(0, self.head.n))

    @cached_property
    def diagonal(self) -> Float[Array, " p"]:
        """f Λ + δ."""
        collected = self.head.params.collect(self.head.penalty[None, ...])[0, ...]
        return self.penalty_factor * collected + self.damping

    def blank(self, k: int) -> Vectors:
        """Zeros of the head's own kind."""
        xp = namespace(self.diagonal)
        return xp.broadcast_to(xp.zeros_like(self.diagonal)[None, :], (k, self.size))

    def damped(self, damping: float) -> "HeadCurvature":
        """H + δI."""
        return replace(self, damping=self.damping + damping) if damping else self

    def rounded(self, bulk: str) -> "HeadCurvature":
        """The same map with products of this type ("float32"), each block's sum in float64."""
        made = replace(self, bulk=bulk)
        made.__dict__["outputs"] = self.outputs  # a cached property's place: they are the same
        return made

    def matmul(self, vectors: Vectors) -> Vectors:
        """H v in one pass over the rows for all k."""
        xp, head, k = namespace(vectors), self.head, vectors.shape[0]
        w = xp.permute_dims(head.params.expand(vectors), (1, 0, 2))  # outputs before vectors: long inner loops
        features, differences = self._features, False
        times = self.outputs.times
        if self.bulk != "float64":
            if isinstance(self.outputs, Shared):
                differences, times = True, self.outputs.times_differences
            w = xp.astype(w[:-1, :, :] - w[-1:, :, :] if differences else w, getattr(xp, self.bulk))
        flat = xp.reshape(w, (w.shape[0] * k, features.columns))
        total = xp.zeros(flat.shape, dtype=vectors.dtype)
        held = features.columns * (2 if self.bulk == "float64" else 1)  # a block of rows, or its copy, is read twice
        if self.bulk != "float64" and flat.shape[0] <= NARROW:
            held //= 4  # so few columns fit beside it, and larger products start faster
        for rows in cached_blocks(head.n, max(w.shape[0] * k, held)):
            z = features.matmul(flat, rows)
            e = times(xp.reshape(z, (z.shape[0], w.shape[0], k)), rows)
            total += xp.astype(features.rmatmul(xp.reshape(e, z.shape), rows), vectors.dtype, copy=False)
        total = xp.reshape(total, (w.shape[0], k, features.columns))
        if differences:
            total = xp.concat([total, -xp.sum(total, axis=0, keepdims=True)], axis=0)
        return self._with_penalty(xp.permute_dims(total, (1, 0, 2)), head.scale, vectors)

    def matmul_rows(self, vectors: Vectors, rows: Array | slice) -> Vectors:
        """H v with the data part from these rows alone, scaled up by n / their number; a slice is not copied."""
        xp, head, (k, _), c = namespace(vectors), self.head, vectors.shape, self.head.c
        w = xp.reshape(xp.permute_dims(head.params.expand(vectors), (1, 0, 2)), (c * k, head.features.columns))
        if isinstance(rows, slice):
            x, w = None, w if self.bulk == "float64" else xp.astype(w, getattr(xp, self.bulk))
            z = self._features.matmul(w, rows)
        else:
            x = self._features.take(rows)
            z = x @ xp.matrix_transpose(xp.astype(w, x.dtype, copy=False))
        e = xp.astype(self.outputs.times(xp.reshape(z, (z.shape[0], c, k)), rows), z.dtype, copy=False)
        e = xp.reshape(e, z.shape)
        total = self._features.rmatmul(e, rows) if x is None else xp.matrix_transpose(e) @ x
        total = xp.reshape(xp.astype(total, vectors.dtype, copy=False), (c, k, head.features.columns))
        return self._with_penalty(xp.permute_dims(total, (1, 0, 2)), head.scale * head.n / z.shape[0], vectors)

    def dense(self) -> Float[Array, "p p"]:
        """[p, p], from one weighted Gram matrix per pair of outputs; accumulated in row order."""
        xp = namespace(self.head.weights)
        head, c, width = self.head, self.head.c, self.head.features.columns
        full = xp.zeros((c, width, c, width), dtype=self.diagonal.dtype)
        if width <= SMALL_COLUMNS:
            for rows in blocks(head.n, 8.0 * (2 * c + 1) * width):
                x = head.features.take(xp.arange(rows.start, rows.stop))
                full += self.outputs.moments(x, rows)
        else:
            self._fill(full)
        full *= head.scale
        return self.assembled(full)

    def assembled(self, full: Float[Array, "c D c D"]) -> Float[Array, "p p"]:
        """H from its data part (changed in place): penalty and pins added, free entries kept."""
        xp, head = namespace(full), self.head
        c, width = head.c, head.features.columns
        if self.has_null:
            shift = self._null_projector(full.dtype)
            eye = xp.eye(width, dtype=full.dtype) * xp.astype(self.pins, full.dtype)[None, :]
            for a in range(c):
                for b in range(c):
                    full[a, :, b, :] += shift[a, b] * eye
        h = head.params.select(xp.reshape(full, (c * width, c * width)))
        flat = xp.reshape(h, (-1,))
        flat[:: self.size + 1] += self.diagonal
        return xp.reshape(flat, (self.size, self.size))

    def curvature_diagonal(self) -> Float[Array, " p"]:
        """H_jj, from one pass; a block of rows at a time is dense, never all of them."""
        xp = namespace(self.head.weights)
        head, total = self.head, xp.zeros_like(self.head.penalty)
        for rows in head.batches(1):
            x = head.features.take(xp.arange(rows.start, rows.stop))
            own = xp.stack([self.outputs.entry(a, a, rows) for a in range(head.c)], axis=0)
            total = total + own @ (x * x)
        found = head.scale * total
        if self.has_null:
            share = xp.linalg.diagonal(self._null_projector(found.dtype))[:, None]
            found = found + share * self.pins[None, :]
        return head.params.collect(found[None, ...])[0, ...] + self.diagonal

    def _fill(self, full: Float[Array, "c D c D"]) -> None:
        """One weighted Gram matrix a pair of outputs, by the features' own product (sparse rows stay sparse)."""
        head, c = self.head, self.head.c
        sums_to_zero = isinstance(self.outputs, Shared)  # over b, for every a: the diagonal follows from the others
        pairs = [(a, b) for a in range(c) for b in range(a, c)]
        pairs = [(a, b) for a, b in pairs if (a != b or not sums_to_zero) and (a == b or not self._apart)]
        for rows in head.batches(1):
            for a, b in pairs:
                full[a, :, b, :] += head.features.second_moment(self.outputs.entry(a, b, rows), rows)
        for a, b in pairs:
            if a != b:
                full[b, :, a, :] = full[a, :, b, :]  # each block is symmetric itself
        if sums_to_zero:
            for a in range(c):
                full[a, :, a, :] = -namespace(full).sum(full[a, :, :, :], axis=1)

    def _with_penalty(self, data: Float[Array, "k c D"], scale: float, vectors: Vectors) -> Vectors:
        out = scale * self.head.params.collect(data) + vectors * self.diagonal[None, :]
        return out + self.pinned(vectors) if self.has_null else out

    # -- the n-side -------------------------------------------------------------------------------------------------

    @property
    def _apart(self) -> bool:
        return self.head.c == 1 or self.head.loss.separate

    @cached_property
    def _roots(self) -> Float[Array, "n c r"]:
        """L_i with L_i L_iᵀ = s w_i S_i without its null columns; apart: the c roots of its diagonal, r = 1."""
        xp, head = namespace(self.head.weights), self.head
        if self._apart:
            diagonal = [self.outputs.entry(a, a, slice(0, head.n)) for a in range(head.c)]
            return xp.sqrt(head.scale * xp.stack(diagonal, axis=1))[:, :, None]
        values, vectors = xp.linalg.eigh(head.scale * self.output_curvatures)
        kept = slice(head.loss.null_outputs.shape[0], head.c)  # ascending: what no target sees comes first
        return vectors[:, :, kept] * xp.sqrt(xp.clip(values[:, kept], min=0.0))[:, None, :]

    def root(self, v: Float[Array, "k g m"]) -> Vectors:
        """R v, R = [X_iᵀ L_i]_i."""
        xp, head, k = namespace(v), self.head, v.shape[0]
        roots, c = self._roots, self.head.c
        if self._apart:
            e = xp.permute_dims(v, (2, 0, 1)) * roots[:, None, :, 0]
        else:
            by_row = xp.permute_dims(xp.reshape(v, (k, head.n, roots.shape[2])), (1, 0, 2))
            e = by_row @ xp.matrix_transpose(roots)
        total = xp.zeros((k * c, head.features.columns), dtype=v.dtype)
        for rows in head.batches(k):
            total = total + head.features.rmatmul(xp.reshape(e[rows, :, :], (rows.stop - rows.start, k * c)), rows)
        return head.params.collect(xp.reshape(total, (k, c, head.features.columns)))

    def root_transpose(self, v: Vectors) -> Float[Array, "k g m"]:
        """Rᵀ v."""
        xp, z = namespace(v), self.row_outputs(v)
        if self._apart:
            return xp.permute_dims(z * self._roots[None, :, :, 0], (0, 2, 1))
        spread = xp.permute_dims(xp.permute_dims(z, (1, 0, 2)) @ self._roots, (1, 0, 2))
        return xp.reshape(spread, (v.shape[0], 1, self.head.n * self._roots.shape[2]))

    def gram(self) -> Float[Array, "g m m"]:
        """Rᵀ D⁺ R: apart, one kernel matrix for each output; else all (row, rank) pairs together."""
        xp, roots, n = namespace(self.head.weights), self._roots, self.head.n
        if self._apart:
            scaled = [kernel * roots[:, a, :] * roots[None, :, a, 0] for a, kernel in enumerate(self.kernels)]
            return xp.stack(scaled, axis=0)
        m = n * roots.shape[2]
        total = xp.zeros((n, roots.shape[2], n, roots.shape[2]), dtype=roots.dtype)
        for a, kernel in enumerate(self.kernels):
            # row (i, r), column (j, t): L_i[a, r] K_a[i, j] L_j[a, t]
            left = roots[:, a, :][:, :, None, None] * kernel[:, None, :, None]
            total += left * roots[None, None, :, a, :]
        return xp.reshape(total, (1, m, m))

    def row_jacobians(self, rows: Array) -> Float[Array, "r c p"]:
        """X_i = I_c ⊗ x_iᵀ of these rows."""
        xp, c = namespace(self.head.weights), self.head.c
        x = self.head.features.take(rows)
        full = xp.eye(c, dtype=x.dtype)[None, :, :, None] * x[:, None, None, :]
        flat = self.head.params.collect(xp.reshape(full, (x.shape[0] * c, c, x.shape[1])))
        return xp.reshape(flat, (x.shape[0], c, self.size))

    def row_outputs(self, vectors: Vectors) -> Float[Array, "k n c"]:
        """X_i v for every row."""
        xp = namespace(vectors)
        head, k, c = self.head, vectors.shape[0], self.head.c
        w = xp.reshape(head.params.expand(vectors), (k * c, head.features.columns))
        z = xp.concat([head.features.matmul(w, rows) for rows in head.batches(k)], axis=0)
        return xp.permute_dims(xp.reshape(z, (head.n, k, c)), (1, 0, 2))

    def root_kernel(self) -> Float[Array, "g m n o"]:
        """Rᵀ D⁺ Xᵀ."""
        xp, roots, n = namespace(self.head.weights), self._roots, self.head.n
        if self._apart:
            return xp.stack([(k * roots[:, a, :])[:, :, None] for a, k in enumerate(self.kernels)], axis=0)
        parts = [roots[:, a, :][:, :, None] * kernel[:, None, :] for a, kernel in enumerate(self.kernels)]
        return xp.reshape(xp.stack(parts, axis=-1), (1, -1, n, self.head.c))

    def row_kernel(self) -> Float[Array, "n c"]:
        """Diagonal of X_i D⁺ X_iᵀ."""
        xp = namespace(self.head.weights)
        return xp.stack([xp.linalg.diagonal(kernel) for kernel in self.kernels], axis=1)

    def unseen_outputs(self) -> Float[Array, "m c"]:
        """The same shift of all outputs, for a softmax."""
        return self.head.loss.null_outputs

    def loss_scale(self) -> float:
        """s: what multiplies the weighted sum of losses."""
        return self.head.scale

    @cached_property
    def kernels(self) -> tuple[Float[Array, "n n"], ...]:
        """X D_a⁺ Xᵀ for each output a; one matrix, repeated, where all outputs are penalised alike."""
        xp = namespace(self.head.weights)
        spread = self.head.params.expand(self.diagonal[None, :])[0, :, :]
        inverse = xp.where(spread > 0, 1.0 / xp.where(spread > 0, spread, 1.0), 0.0)
        out: list[Array] = []
        for a in range(self.head.c):
            same = [b for b in range(a) if bool(xp.all(inverse[a, :] == inverse[b, :]))]
            features = self.head.features
            out.append(out[same[0]] if same else features.gram(features, inverse[a, :]))
        return tuple(out)

    # -- the gauge --------------------------------------------------------------------------------------------------

    @cached_property
    def null_columns(self) -> Array:
        """[D] bool: columns whose shift over outputs neither the loss nor the penalty sees."""
        xp = namespace(self.head.weights)
        unseen = (self.head.penalty * self.penalty_factor + self.damping) <= 0.0
        return xp.all(unseen & xp.asarray(self.head.params.free), axis=0)

    @cached_property
    def has_null(self) -> bool:
        """Whether H has such directions."""
        xp = namespace(self.head.weights)
        return self.head.loss.null_outputs.shape[0] > 0 and bool(xp.any(self.null_columns))

    def project_null(self, vectors: Vectors) -> Vectors:
        """The part of each vector that lies in the null directions."""
        xp = namespace(vectors)
        if not self.has_null:
            return xp.zeros_like(vectors)
        shifted = self._null_projector(vectors.dtype) @ self.head.params.expand(vectors)
        return self.head.params.collect(xp.where(self.null_columns[None, None, :], shifted, 0.0))

    def pinned(self, vectors: Vectors) -> Vectors:
        """γ_j times the part in the null directions."""
        xp = namespace(vectors)
        if not self.has_null:
            return xp.zeros_like(vectors)
        shifted = self._null_projector(vectors.dtype) @ self.head.params.expand(vectors)
        return self.head.params.collect(shifted * self.pins[None, None, :])

    @cached_property
    def pins(self) -> Float[Array, " D"]:
        """γ_j: the mean curvature of a null column's own entries, the scale at which its shift is pinned; else 0."""
        head, xp = self.head, namespace(self.head.weights)
        null = xp.astype(self.null_columns, self.diagonal.dtype)
        if not self.has_null:
            return xp.zeros_like(null)
        total = xp.zeros_like(null)
        intercept_alone = float(xp.sum(null)) == float(null[-1])
        for rows in head.batches(1):
            own = xp.sum(xp.stack([self.outputs.entry(a, a, rows) for a in range(head.c)], axis=0), axis=0)
            if intercept_alone:
                total = total + null * xp.sum(own)
                continue
            x = head.features.take(xp.arange(rows.start, rows.stop))
            total = total + null * (own @ (x * x))
        found = head.scale * total / head.c
        return xp.where((null > 0) & (found <= 0), xp.ones_like(found), found)

    def _null_projector(self, dtype: Array) -> Float[Array, "c c"]:
        xp = namespace(self.head.weights)
        null = xp.asarray(self.head.loss.null_outputs, dtype=dtype)
        return xp.matrix_transpose(null) @ null
