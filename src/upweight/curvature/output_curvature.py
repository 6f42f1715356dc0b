"""A row's curvature w_i S_i [c, c] in the form that its loss allows: nobody holds or multiplies more than needed.

Stands on the output losses; the head's curvature stands on it. Three forms: `Apart` (diagonal: n c numbers), `Shared`
(softmax, diag(p) − p pᵀ: n c numbers), `Blocks` (any other: n c² numbers, made anew for each block of rows once they
would be large). Source: METHODS.md 2.1, 11.2.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

from upweight.arrays import namespace
from upweight.linear_head import LinearHead
from upweight.output_loss import Softmax
from upweight.shapes import Array, Float

__all__ = ["Apart", "Blocks", "OutputCurvature", "Shared", "output_curvature"]

KEEP_BYTES = 512 * 2**20  # c × c blocks of all rows beyond this are made per block of rows


@runtime_checkable
class OutputCurvature(Protocol):
    """w_i S_i of every row; `rows` is a slice or an index array."""

    def blocks(self, rows: Array) -> Float[Array, "b c c"]:
        """Written out."""
        ...

    def entry(self, a: int, b: int, rows: slice) -> Float[Array, " b"]:
        """One entry for these rows."""
        ...

    def times(self, z: Float[Array, "b c k"], rows: Array) -> Float[Array, "b c k"]:
        """w_i S_i z for k sets of outputs."""
        ...

    def moments(self, z: Float[Array, "b g"], rows: Array) -> Float[Array, "c g c g"]:
        """Σ_i w_i S_i ⊗ z_i z_iᵀ over these rows, for g numbers of each."""
        ...


@dataclass(frozen=True)
class Apart:
    """Diagonal over outputs."""

    head: LinearHead

    @cached_property
    def _diagonal(self) -> Float[Array, "n c"]:
        head, xp = self.head, namespace(self.head.weights)
        if head.c == 1:
            return head.loss.curvature(head.outputs, head.targets)[:, 0, :] * head.weights[:, None]
        parts = []
        for rows in head.batches(head.c):
            full = head.loss.curvature(head.outputs[rows, :], _some(head.targets, rows))
            parts.append(xp.stack([full[:, a, a] for a in range(head.c)], axis=1))
        return xp.concat(parts, axis=0) * head.weights[:, None]

    def blocks(self, rows: Array) -> Float[Array, "b c c"]:
        """Diagonal matrices."""
        xp = namespace(self.head.weights)
        return _some(self._diagonal, rows)[:, :, None] * xp.eye(self.head.c, dtype=self._diagonal.dtype)

    def entry(self, a: int, b: int, rows: slice) -> Float[Array, " b"]:
        """Zero off the diagonal."""
        return self._diagonal[rows, a] * (1.0 if a == b else 0.0)

    def times(self, z: Float[Array, "b c k"], rows: Array) -> Float[Array, "b c k"]:
        """Elementwise."""
        return z * namespace(z).astype(_some(self._diagonal, rows), z.dtype)[:, :, None]

    def moments(self, z: Float[Array, "b g"], rows: Array) -> Float[Array, "c g c g"]:
        """One Gram matrix an output, on the diagonal."""
        xp, (_, g), c = namespace(z), z.shape, self.head.c
        out = xp.zeros((c, g, c, g), dtype=z.dtype)
        root = xp.astype(xp.sqrt(_some(self._diagonal, rows)), z.dtype)
        for a in range(c):
            f = z * root[:, a][:, None]
            out[a, :, a, :] = xp.matrix_transpose(f) @ f
        return out


@dataclass(frozen=True)
class Shared:
    """Softmax: S z = p ⊙ (z − pᵀz), with z shifted by its likeliest class first so that 1 − p keeps its digits."""

    head: LinearHead

    @cached_property
    def probabilities(self) -> Float[Array, "n c"]:
        """p of every row."""
        return self.head.loss.predict(self.head.outputs)

    @cached_property
    def _likeliest(self) -> Array:
        return namespace(self.probabilities).argmax(self.probabilities, axis=1)

    def blocks(self, rows: Array) -> Float[Array, "b c c"]:
        """diag(p) − p pᵀ; rows sum to 0 by construction."""
        loss, head = self.head.loss, self.head
        return loss.curvature(_some(head.outputs, rows), None) * _some(head.weights, rows)[:, None, None]

    def entry(self, a: int, b: int, rows: slice) -> Float[Array, " b"]:
        """p_a times what the other classes hold, or −p_a p_b."""
        xp = namespace(self.head.weights)
        p = self.probabilities[rows, :]
        if a != b:
            return -p[:, a] * p[:, b] * self.head.weights[rows]
        others = [p[:, other] for other in range(self.head.c) if other != a]
        return p[:, a] * xp.sum(xp.stack(others), axis=0) * self.head.weights[rows]

    def times(self, z: Float[Array, "b c k"], rows: Array) -> Float[Array, "b c k"]:
        """p ⊙ (z − pᵀz), weighted."""
        xp = namespace(z)
        p, top = _some(self.probabilities, rows), _some(self._likeliest, rows)
        top = xp.broadcast_to(top[:, None, None], (z.shape[0], 1, z.shape[2]))
        z = z - xp.take_along_axis(z, top, axis=1)
        return (z - p[:, None, :] @ z) * (p * _some(self.head.weights, rows)[:, None])[:, :, None]

    def times_differences(self, z: Float[Array, "b e k"], rows: Array) -> Float[Array, "b e k"]:
        """S z of the first c − 1 outputs from their differences to the last, which is minus their sum: S 1 = 0."""
        xp = namespace(z)
        p = xp.astype(_some(self.probabilities, rows), z.dtype)[:, :-1]
        weight = xp.astype(_some(self.head.weights, rows), z.dtype)[:, None]
        return (z - p[:, None, :] @ z) * (p * weight)[:, :, None]

    def moments(self, z: Float[Array, "b g"], rows: Array) -> Float[Array, "c g c g"]:
        """−Σ w (p_a z)(p_b z)ᵀ for a ≠ b in one product; Σ_b is 0, which gives a = b."""
        xp, (b, g), c = namespace(z), z.shape, self.head.c
        root = xp.sqrt(_some(self.head.weights, rows))[:, None] * _some(self.probabilities, rows)
        f = xp.reshape(xp.astype(root, z.dtype)[:, :, None] * z[:, None, :], (b, c * g))
        out = -xp.reshape(xp.matrix_transpose(f) @ f, (c, g, c, g))
        for a in range(c):
            out[a, :, a, :] = xp.zeros((g, g), dtype=z.dtype)
            out[a, :, a, :] = -xp.sum(out[a, :, :, :], axis=1)
        return out


@dataclass(frozen=True)
class Blocks:
    """Any loss: c × c blocks, kept while they are small."""

    head: LinearHead

    @cached_property
    def _kept(self) -> Float[Array, "n c c"] | None:
        head = self.head
        if head.n * head.c * head.c * 8 > KEEP_BYTES:
            return None
        return head.loss.curvature(head.outputs, head.targets) * head.weights[:, None, None]

    def blocks(self, rows: Array) -> Float[Array, "b c c"]:
        """As the loss gives them."""
        if self._kept is not None:
            return _some(self._kept, rows)
        head = self.head
        made = head.loss.curvature(_some(head.outputs, rows), _some(head.targets, rows))
        return made * _some(head.weights, rows)[:, None, None]

    def entry(self, a: int, b: int, rows: slice) -> Float[Array, " b"]:
        """One entry of the blocks."""
        return self.blocks(rows)[:, a, b]

    def times(self, z: Float[Array, "b c k"], rows: Array) -> Float[Array, "b c k"]:
        """Batched products."""
        return namespace(z).astype(self.blocks(rows), z.dtype) @ z

    def moments(self, z: Float[Array, "b g"], rows: Array) -> Float[Array, "c g c g"]:
        """One weighted Gram matrix a pair of outputs."""
        xp, (_, g), c = namespace(z), z.shape, self.head.c
        out = xp.zeros((c, g, c, g), dtype=z.dtype)
        s = xp.astype(self.blocks(rows), z.dtype)
        for a in range(c):
            for b in range(a, c):
                out[a, :, b, :] = xp.matrix_transpose(z * s[:, a, b][:, None]) @ z
                out[b, :, a, :] = out[a, :, b, :]
        return out


def output_curvature(head: LinearHead) -> OutputCurvature:
    """The cheapest form that the head's loss allows."""
    if head.c == 1 or head.loss.separate:
        return Apart(head)
    return Shared(head) if isinstance(head.loss, Softmax) else Blocks(head)


def _some(values: Array, rows: Array) -> Array:
    """These rows of an array."""
    if isinstance(rows, slice):
        return values[rows, ...]
    return namespace(values).take(values, rows, axis=0)
