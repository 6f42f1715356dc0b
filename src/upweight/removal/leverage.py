"""Taking one row out exactly for one Newton step: the row's pull u_i becomes ũ_i, and everything else stays linear.

    B_i = s X_i H′⁻¹ X_iᵀ,   t = H′⁻¹ r,   ũ_i = (I − w_i S_i B_i)⁻¹ w_i (u_i + s k_i S_i X_i t),
    δθ_i = s (H′⁻¹ X_iᵀ ũ_i + k_i t)

H′ carries the penalty that a refit without one row still has: H where it divides by the same n, H − s k̄ Λ where its
divisor loses the row's share k_i (k̄: their mean over rows that weigh; unequal shares leave an error of order
s² (k_i − k̄)).
Exact for quadratic losses. Source: METHODS.md 2.1; Rubinstein & Hopkins (2025) sum it over groups.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from upweight.arrays import blocks, namespace
from upweight.curvature import HeadCurvature
from upweight.gradients import HeadSource
from upweight.linear_head import LinearHead
from upweight.shapes import Array, Float, Vector
from upweight.solvers import Prepared

__all__ = ["Leverage", "largest_leverages", "leverage_corrected", "leverages", "removal_curvature"]

SMALLEST_GAP = (
    1e-8  # 1 − h below this: the row alone determines a direction, and a refit without it has no optimum there
)


@dataclass(frozen=True)
class Leverage:
    """What single removals need of every row."""

    source: HeadSource  # with ũ in place of u
    h: Float[Array, " n"]  # leverage: largest eigenvalue of w_i S_i B_i, in [0, 1)
    moves: Float[Array, "n c"]  # how far the row's own outputs move when it leaves: B_i ũ_i + s k_i X_i t
    alone: Float[Array, " n"]  # 1.0 where the row alone determines a direction: its ũ is left uncorrected
    blocks: Callable[[], Float[Array, "n c c"]]  # B_i = s X_i H′⁻¹ X_iᵀ of all rows: n c² numbers, made when asked for


def removal_curvature(head: LinearHead) -> HeadCurvature:
    """H′: the curvature of the objective that single-row refits minimise."""
    xp = namespace(head.weights)
    present = xp.astype(head.weights > 0, head.weights.dtype)
    mean_share = float(xp.sum(head.shares * present)) / max(1.0, float(xp.sum(present)))
    return HeadCurvature(head, penalty_factor=1.0 - head.scale * mean_share)


def leverages(head: LinearHead, prepared: Prepared) -> Float[Array, "n c c"]:
    """B_i for every row, by the cheapest means that the solver offers."""
    if prepared.leverages is not None:
        return prepared.leverages()
    if prepared.inverse is not None:
        return _from_inverse(head, prepared.inverse())
    return _from_operator(head, prepared)


def largest_leverages(curvature: HeadCurvature, prepared: Prepared, rows: Array) -> Float[Array, " b"] | None:
    """h of these rows alone (index); None where the solver makes all of them in one go."""
    if prepared.row_leverages is not None:
        return _largest(curvature.outputs.blocks(rows) @ prepared.row_leverages(rows))
    if prepared.leverages is not None or prepared.inverse is None:
        return None
    jacobians = curvature.row_jacobians(rows)  # a solve for each output of each row
    flat = namespace(jacobians).reshape(jacobians, (-1, jacobians.shape[2]))
    solved = namespace(flat).reshape(prepared.apply(flat), jacobians.shape)
    b = curvature.loss_scale() * (jacobians @ namespace(flat).matrix_transpose(solved))
    return _largest(curvature.outputs.blocks(rows) @ b)


def leverage_corrected(curvature: HeadCurvature, prepared: Prepared) -> Leverage:
    """ũ_i, leverages and own moves of every row, block by block; `prepared` is `curvature` made ready."""
    head = curvature.head
    xp = namespace(head.weights)
    r = head.penalty_gradient
    mean_form = head.normalization != "sum"
    t = prepared(r[None, ...]).x[0, ...] if mean_form else xp.zeros_like(r)
    along = (head.scale * head.shares)[:, None] * _outputs_of(head, t) if mean_form else None
    corrected, moves, h, alone = [], [], [], []
    eye = xp.eye(head.c, dtype=head.output_gradients.dtype)
    for rows, b in _by_blocks(head, prepared):
        ws = curvature.outputs.blocks(rows)
        u = head.output_gradients[rows, :] * head.weights[rows][:, None]
        if along is not None:
            u = u + _apply(ws, along[rows, :])
        wsb = ws @ b
        held = _largest(wsb)
        only = 1.0 - held < SMALLEST_GAP
        gap = xp.where(only[:, None, None], eye, eye - wsb)
        own = u / gap[:, :, 0] if head.c == 1 else xp.linalg.solve(gap, u[:, :, None])[:, :, 0]
        moved = _apply(b, own)
        corrected.append(own)
        moves.append(moved if along is None else moved + along[rows, :])
        h.append(held)
        alone.append(xp.astype(only, held.dtype))
    # H′ is used in the solve, so r meets it there: δθ = s H′⁻¹ (X_iᵀ ũ_i + k_i r)
    source = HeadSource(head, xp.concat(corrected, axis=0), head.shares, r)
    return Leverage(source, xp.concat(h), xp.concat(moves, axis=0), xp.concat(alone), lambda: leverages(head, prepared))


def _by_blocks(head: LinearHead, prepared: Prepared) -> Iterator[tuple[slice, Float[Array, "b c c"]]]:
    """B_i in blocks of rows, so that n c² numbers are never held where the solver can make them row by row."""
    make = prepared.row_leverages
    whole = None if make is not None else leverages(head, prepared)
    for rows in blocks(head.n, 64.0 * head.c * head.c):
        yield rows, whole[rows, ...] if whole is not None else make(rows)  # type: ignore[misc]


def _apply(blocks_: Float[Array, "n c c"], v: Float[Array, "n c"]) -> Float[Array, "n c"]:
    return (blocks_ @ v[:, :, None])[:, :, 0]


def _outputs_of(head: LinearHead, t: Vector) -> Float[Array, "n c"]:
    xp = namespace(t)
    w = head.params.expand(t[None, ...])[0, ...]
    return xp.concat([head.features.matmul(w, rows) for rows in head.batches(1)], axis=0)


def _largest(wsb: Float[Array, "n c c"]) -> Float[Array, " n"]:
    """Largest eigenvalue of S B, both positive semidefinite: exact for c = 1, else by a few power steps."""
    xp = namespace(wsb)
    c = wsb.shape[1]
    if c == 1:
        return wsb[:, 0, 0]
    v = wsb @ xp.ones((wsb.shape[0], c, 1), dtype=wsb.dtype) + wsb[:, :, :1]
    for _ in range(12):
        size = xp.linalg.vector_norm(v, axis=1, keepdims=True)
        v = wsb @ (v / xp.where(size > 0, size, 1.0))
    trace = sum(wsb[:, a, a] for a in range(c))
    return xp.minimum(xp.linalg.vector_norm(v[:, :, 0], axis=1), trace)


def _from_inverse(head: LinearHead, inverse: Float[Array, "p p"]) -> Float[Array, "n c c"]:
    """Row-wise quadratic forms, one product with X per pair of outputs."""
    xp = namespace(inverse)
    c, width = head.c, head.features.columns
    half = xp.matrix_transpose(xp.reshape(head.params.expand(inverse), (-1, c * width)))
    full = xp.reshape(head.params.expand(half), (c, width, c, width))  # 0 where a parameter is not free
    parts = []
    for rows in blocks(head.n, head.features.bytes_per_row() + 16.0 * width + 8.0 * c * c):
        x = head.features.take(xp.arange(rows.start, rows.stop))
        columns = []
        for a in range(c):
            images = xp.reshape(x @ xp.reshape(full[a, :, :, :], (width, c * width)), (-1, c, width))
            columns.append(xp.sum(images * x[:, None, :], axis=2))
        parts.append(head.scale * xp.stack(columns, axis=1))
    return xp.concat(parts, axis=0)


def _from_operator(head: LinearHead, prepared: Prepared) -> Float[Array, "n c c"]:
    """Solves for the outputs of a block of rows at a time: right for any solver, dear for many rows."""
    xp = namespace(head.weights)
    c, width = head.c, head.features.columns
    parts = []
    for rows in blocks(head.n, 64.0 * c * head.params.size):
        x = head.features.take(xp.arange(rows.start, rows.stop))
        eye = xp.eye(c, dtype=x.dtype)
        v = xp.reshape(eye[None, :, :, None] * x[:, None, None, :], (-1, c, width))
        images = xp.reshape(head.params.expand(prepared(head.params.collect(v)).x), (-1, c, c, width))
        parts.append(head.scale * xp.sum(images * x[:, None, None, :], axis=3))
    return xp.concat(parts, axis=0)
