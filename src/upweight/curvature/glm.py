"""The exact Hessian of a linear head: H = s Σ w_i X_iᵀ S_i X_i + f Λ + δI, X_i = I_c ⊗ x_iᵀ.

f is 1 at the fit and 1 − s·(shares removed) for a refit that divides by fewer rows. Directions that no data and no
penalty see (the same shift of all logits where it is not penalised) get the mean curvature γ, so that H is invertible
and answers that do not see them are unchanged. Stands on linear_head; source: METHODS.md 1 (gauge), 2.1.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from upweight.arrays import namespace
from upweight.linear_head import LinearHead
from upweight.shapes import Array, Float, Vectors

__all__ = ["HeadCurvature"]


@dataclass(frozen=True)
class HeadCurvature:
    """Curvature, Dense and RootPlusDiagonal of one head."""

    head: LinearHead
    penalty_factor: float = 1.0
    damping: float = 0.0

    @property
    def size(self) -> int:
        """p."""
        return self.head.params.size

    @cached_property
    def output_curvatures(self) -> Float[Array, "n c c"]:
        """w_i S_i; kept, since n c² is the size of the outputs times c."""
        head = self.head
        return head.loss.curvature(head.outputs, head.targets) * head.weights[:, None, None]

    @cached_property
    def diagonal(self) -> Float[Array, " p"]:
        """f Λ + δ."""
        collected = self.head.params.collect(self.head.penalty[None])[0]
        return self.penalty_factor * collected + self.damping

    def damped(self, damping: float) -> "HeadCurvature":
        """H + δI."""
        return replace(self, damping=self.damping + damping)

    def matmul(self, vectors: Vectors) -> Vectors:
        """H v in one pass over the rows for all k."""
        xp = namespace(vectors)
        head, k, c = self.head, vectors.shape[0], self.head.c
        w = xp.reshape(head.params.expand(vectors), (k * c, -1))
        total = xp.zeros_like(w)
        for rows in head.batches(k):
            z = xp.reshape(head.features.matmul(w, rows), (-1, k, c))
            e = z @ self.output_curvatures[rows, :, :]
            total = total + head.features.rmatmul(xp.reshape(e, (-1, k * c)), rows)
        out = head.scale * head.params.collect(xp.reshape(total, (k, c, -1))) + vectors * self.diagonal[None]
        return out + self.mean_curvature * self.project_null(vectors)

    def dense(self) -> Float[Array, "p p"]:
        """[p, p], from one weighted Gram matrix per pair of outputs; accumulated in row order."""
        xp = namespace(self.head.weights)
        head, c, width = self.head, self.head.c, self.head.features.columns
        pairs = [(a, b) for a in range(c) for b in range(a, c) if a == b or not head.loss.separate]
        grams = {pair: xp.zeros((width, width), dtype=self.diagonal.dtype) for pair in pairs}
        for rows in head.batches(1):
            for a, b in pairs:
                weight = self.output_curvatures[rows, a, b]
                grams[a, b] = grams[a, b] + head.features.second_moment(weight, rows)
        zero = xp.zeros((width, width), dtype=self.diagonal.dtype)
        full = xp.stack(
            [xp.concat([grams.get((min(a, b), max(a, b)), zero) for b in range(c)], axis=1) for a in range(c)]
        )
        free = head.params.select(xp.reshape(full, (c * width, c * width)))
        eye = xp.eye(self.size, dtype=self.diagonal.dtype)
        h = head.scale * free + eye * self.diagonal[None]
        if self.has_null:
            h = h + self.mean_curvature * self.project_null(eye)
        return h

    # -- the n-side -------------------------------------------------------------------------------------------------

    @cached_property
    def output_roots(self) -> Float[Array, "n c c"]:
        """L_i with L_i L_iᵀ = s w_i S_i, from the eigenvectors of each c × c block."""
        xp = namespace(self.head.weights)
        blocks = self.output_curvatures * self.head.scale
        if self.head.c == 1 or self.head.loss.separate:
            return xp.sqrt(blocks)  # diagonal: elementwise root is the root
        values, vectors = xp.linalg.eigh(blocks)
        return vectors * xp.sqrt(xp.clip(values, min=0.0))[:, None, :]

    def root(self, v: Float[Array, "k m"]) -> Vectors:
        """R v, R = [X_iᵀ L_i]_i."""
        xp = namespace(v)
        head, k, c = self.head, v.shape[0], self.head.c
        e = xp.permute_dims(xp.reshape(v, (k, -1, c)), (1, 0, 2)) @ xp.matrix_transpose(self.output_roots)
        total = xp.zeros((k * c, head.features.columns), dtype=v.dtype)
        for rows in head.batches(k):
            total = total + head.features.rmatmul(xp.reshape(e[rows, :, :], (-1, k * c)), rows)
        return head.params.collect(xp.reshape(total, (k, c, -1)))

    def root_transpose(self, v: Vectors) -> Float[Array, "k m"]:
        """Rᵀ v."""
        xp = namespace(v)
        head, k, c = self.head, v.shape[0], self.head.c
        w = xp.reshape(head.params.expand(v), (k * c, -1))
        parts = [
            xp.reshape(head.features.matmul(w, rows), (-1, k, c)) @ self.output_roots[rows, :, :]
            for rows in head.batches(k)
        ]
        return xp.reshape(xp.permute_dims(xp.concat(parts, axis=0), (1, 0, 2)), (k, -1))

    def gram(self) -> Float[Array, "m m"]:
        """Rᵀ D⁺ R [n c, n c]: one kernel matrix per output, since D is diagonal."""
        xp = namespace(self.head.weights)
        n, c = self.head.n, self.head.c
        roots, total = self.output_roots, None
        for a, kernel in enumerate(self.kernels()):
            # row (i, r), column (j, t): L_i[a, r] K_a[i, j] L_j[a, t]
            part = (
                roots[:, a, :][:, :, None, None] * kernel[:, None, :, None] * roots[:, a, :][None, None, :, :]
            )
            total = part if total is None else total + part
        return xp.reshape(total, (n * c, n * c))

    def kernels(self) -> list[Float[Array, "n n"]]:
        """X D_a⁺ Xᵀ for each output a; one matrix, repeated, where all outputs are penalised alike."""
        xp = namespace(self.head.weights)
        spread = self.head.params.expand(self.diagonal[None])[0]
        inverse = xp.where(spread > 0, 1.0 / xp.where(spread > 0, spread, 1.0), 0.0)
        found: list[tuple[Array, Array]] = []
        out = []
        for a in range(self.head.c):
            same = [kernel for scale, kernel in found if bool(xp.all(scale == inverse[a, :]))]
            if not same:
                same = [self.head.features.gram(self.head.features, inverse[a, :])]
                found.append((inverse[a, :], same[0]))
            out.append(same[0])
        return out

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
        null = xp.asarray(self.head.loss.null_outputs, dtype=vectors.dtype)
        w = self.head.params.expand(vectors)
        shifted = xp.matrix_transpose(null) @ (null @ w)
        return self.head.params.collect(xp.where(self.null_columns[None, None, :], shifted, 0.0))

    @cached_property
    def mean_curvature(self) -> float:
        """γ: trace(H) / p, the scale at which a null direction is pinned."""
        if not self.has_null:
            return 0.0
        head, xp = self.head, namespace(self.head.weights)
        traces = sum(self.output_curvatures[:, a, a] for a in range(head.c))
        squares = head.features.squares(xp.ones(head.features.columns, dtype=self.diagonal.dtype))
        return float((head.scale * xp.sum(traces * squares) + xp.sum(self.diagonal)) / self.size)
