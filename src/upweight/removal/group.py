"""Some rows' weights multiplied by factors at once (0: removed, 2: a second copy): where θ goes, by three estimates.

    e_i = factor_i − 1,   K = Σ e_i k_i,   b = s (Σ e_i w_i X_iᵀ u_i + K r)
    plain sum     δθ = −H⁻¹ b
    one by one    δθ = the rows' own Newton steps, each with its leverage, added up
    group Newton  δθ = −(H + s Σ e_i w_i X_iᵀ S_i X_i + s K Λ)⁻¹ b, corrected once by the gradient found there

Group Newton is exact for quadratic losses. It goes through a system of the rows alone where they are few and the
penalty stays (B = X_S H⁻¹ X_Sᵀ), else through the matrix written out, the n-side, or conjugate gradients behind H.
A direction that these rows alone determine has no optimum without them: it stays where it is, and is named.
Stands on curvature and solvers. Source: METHODS.md 2.2, 11.31; Woodbury (1950); Rubinstein & Hopkins (2025).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from upweight.arrays import blocks, namespace, to_numpy
from upweight.curvature import Curvature, HeadCurvature
from upweight.errors import listed
from upweight.linear_head import LinearHead
from upweight.params import Params
from upweight.randomness import generator
from upweight.removal.leverage import SMALLEST_GAP
from upweight.shapes import Array, Float, Vector
from upweight.solvers import CG, Prepared, Woodbury
from upweight.solvers.preconditioner import Approximation
from upweight.solvers.symmetric import symmetric

__all__ = [
    "SHRINKS",
    "GroupMoves",
    "GroupStep",
    "corrected",
    "direction_name",
    "group_newton",
    "one_by_one",
    "plain_sum",
]

FEW = 1000  # rows × outputs up to which their own system is cheaper than H written out again
DENSE = 4000  # parameters, or rows × outputs of all rows, up to which a matrix is written out
TOL = 1e-10  # relative residual of conjugate gradients
SHRINKS = 0.5  # of the step: a larger correction comes from too far away to be trusted
NEARLY_ALL = 0.999  # of a direction's length: what the rest holds is not worth a name
LOOKS = 4  # inverse iterations: a gap below SMALLEST_GAP stands out after one


@dataclass(frozen=True)
class GroupStep:
    """One Newton step on the objective that really has these factors."""

    delta: Vector  # [p]
    held: Vector | None  # [p] what these rows alone determine: it stays where it is in `delta`
    how: str
    solve: Callable[[Vector], Vector]  # (the Hessian with these factors)⁻¹ b, off `held`


@dataclass(frozen=True)
class GroupMoves:
    """Where θ goes, as an attribution's states; `left`: of the way, what one Newton step was short of."""

    states: Any  # [3, …]: group Newton and its correction, plain sum, one by one
    left: float
    how: str
    held: str = ""  # what these rows alone determine, by name; it stays where it is
    along: Any = None  # [1, …] the state moved along it, so far that these rows' own outputs move by 1 at most


def group_newton(
    head: LinearHead,
    prepared: Prepared,
    rows: Array,
    factors: Float[Array, " m"],
    damping: float = 0.0,
) -> GroupStep:
    """The step when each of `rows` (positions, once each) weighs `factors` times what it did.

    `prepared` is H + damping at the head's θ, an optimum.
    """
    xp = namespace(head.weights)
    e = factors - 1.0
    pulls = head.scale * (e * xp.take(head.weights, rows))[:, None] * xp.take(head.output_gradients, rows, axis=0)
    few = rows.shape[0] * head.c
    if head.normalization == "sum" and prepared.direct and few < head.params.size and few <= _enough(head):
        return _through_rows(head, prepared, rows, e, pulls)
    b = _pulled(head, rows, pulls) + _penalty_pull(head, rows, e)
    keep = np.ones(head.n)
    keep[to_numpy(rows)] = to_numpy(factors)
    there, left = head.without(xp.asarray(keep, dtype=head.weights.dtype))
    before = HeadCurvature(head).damped(damping)
    after = HeadCurvature(there, penalty_factor=left).damped(damping)
    if head.params.size <= DENSE:
        return _written_out(before, after, b)
    held = _held_columns(before, after)
    solver = Woodbury() if head.n * head.c <= DENSE else CG(tol=TOL, preconditioner=_Behind(prepared))
    made = solver.prepare(after)

    def solve(v: Vector) -> Vector:
        x = made(v[None, :]).x[0, :]
        return x if held is None else _beside(before, x, held)

    return GroupStep(-solve(b), held, made.how, solve)


def plain_sum(head: LinearHead, prepared: Prepared, rows: Array, factors: Float[Array, " m"]) -> Vector:
    """The derivative times the step: what adding up plain scores says. `prepared` as in `group_newton`."""
    xp, e = namespace(head.weights), factors - 1.0
    pulls = head.scale * (e * xp.take(head.weights, rows))[:, None] * xp.take(head.output_gradients, rows, axis=0)
    b = _pulled(head, rows, pulls) + _penalty_pull(head, rows, e)
    return -prepared(b[None, :]).x[0, :]


def one_by_one(curvature: HeadCurvature, prepared: Prepared, rows: Array, factors: Float[Array, " m"]) -> Vector:
    """The rows' own steps added up; `prepared` is `curvature`, what single removals see, made ready.

    In the mean form one curvature serves every factor: an error of order s².
    """
    head, e = curvature.head, factors - 1.0
    xp, c = namespace(head.weights), head.c
    t = None
    if head.normalization != "sum":
        t = prepared(head.penalty_gradient[None, :]).x
    corrected = []
    for some in blocks(rows.shape[0], 64.0 * c * head.params.size):
        at, step = rows[some], e[some][:, None]
        x = head.features.take(at)
        u = step * xp.take(head.weights, at)[:, None] * xp.take(head.output_gradients, at, axis=0)
        bend = step[:, :, None] * curvature.outputs.blocks(at)
        if t is not None:
            along = x @ xp.matrix_transpose(head.params.expand(t)[0, :, :])
            share = head.scale * step * xp.take(head.shares, at)[:, None]
            u = u - (bend @ (share * along)[:, :, None])[:, :, 0]
        eye = xp.eye(c, dtype=x.dtype)
        gap = eye + bend @ _own_blocks(head, prepared, at, x)
        alone = xp.linalg.det(gap) < SMALLEST_GAP
        gap = xp.where(alone[:, None, None], eye, gap)
        corrected.append(xp.linalg.solve(gap, u[:, :, None])[:, :, 0])
    b = head.scale * _pulled(head, rows, xp.concat(corrected, axis=0))
    delta = -prepared(b[None, :]).x[0, :]
    return delta if t is None else delta - head.scale * xp.sum(e * xp.take(head.shares, rows)) * t[0, :]


def corrected(
    head: LinearHead, step: GroupStep, rows: Array, factors: Float[Array, " m"], damping: float = 0.0
) -> tuple[Vector, float]:
    """δθ corrected by the gradient that is found at θ + δθ, with the same factor; and how large a share that was.

    The share is what one step was short of; what is left is about its square. A correction that does not shrink is not
    taken. Costs one pass over the rows.
    """
    xp, delta = namespace(step.delta), step.delta
    keep = np.ones(head.n)
    keep[to_numpy(rows)] = to_numpy(factors)
    there, left = head.at(head.params.vector + delta).without(xp.asarray(keep, dtype=head.weights.dtype))
    r = there.gradient - (1.0 - left) * there.penalty_gradient + damping * delta
    more = -step.solve(r)
    curvature = HeadCurvature(head).damped(damping)
    way, short = (float(xp.sum(v * curvature.matmul(v[None, :])[0, :])) for v in (delta, more))
    share = (short / way) ** 0.5 if way > 0 else 0.0
    if not np.isfinite(share):
        return delta, float("inf")
    return (delta + more if share < SHRINKS else delta), share


def direction_name(params: Params, direction: Vector) -> str:
    """The parameters that a direction consists of, largest first: "the coefficient of 'age'"."""
    size = np.square(to_numpy(direction))
    order = np.argsort(-size, kind="stable")
    count = int(np.searchsorted(np.cumsum(size[order]), NEARLY_ALL * size.sum())) + 1
    names = [params.name(int(at)) for at in order[:count]]
    if len(names) == 1:
        return "the intercept" if names[0] == "intercept" else f"the coefficient of {names[0]!r}"
    return f"a combination of {listed(names)}"


# -- the right-hand side ----------------------------------------------------------------------------------------------


def _pulled(head: LinearHead, rows: Array, pulls: Float[Array, "m c"]) -> Vector:
    """Σ X_iᵀ pulls_i."""
    xp = namespace(pulls)
    total = xp.zeros((head.c, head.features.columns), dtype=pulls.dtype)
    for some in blocks(rows.shape[0], 16.0 * head.features.columns):
        total = total + xp.matrix_transpose(pulls[some, :]) @ head.features.take(rows[some])
    return head.params.collect(total[None, :, :])[0, :]


def _penalty_pull(head: LinearHead, rows: Array, e: Float[Array, " m"]) -> Vector:
    """s K r."""
    xp = namespace(e)
    return head.scale * xp.sum(e * xp.take(head.shares, rows)) * head.penalty_gradient


# -- through the rows -------------------------------------------------------------------------------------------------


def _enough(head: LinearHead) -> int:
    return FEW if head.params.size <= DENSE else DENSE


def _through_rows(
    head: LinearHead, prepared: Prepared, rows: Array, e: Float[Array, " m"], pulls: Float[Array, "m c"]
) -> GroupStep:
    """−H⁻¹ X_Sᵀ (v − R (J + RᵀBR)⁻¹ RᵀB v), s e_i w_i S_i = R_i J_i R_iᵀ, J the signs of e."""
    xp, (m, c) = namespace(pulls), pulls.shape
    values, vectors = xp.linalg.eigh(HeadCurvature(head).outputs.blocks(rows))
    size = xp.sqrt(head.scale * xp.abs(e)[:, None] * xp.clip(values, min=0.0))
    root = vectors * size[:, None, :]  # [m, c, c]
    back = xp.matrix_transpose(root)
    b = _crossed(head, prepared, rows)
    half = xp.reshape(back @ xp.reshape(b, (m, c, m * c)), (m * c, m * c))  # RᵀB
    whole = xp.reshape(back @ xp.reshape(xp.matrix_transpose(half), (m, c, m * c)), (m * c, m * c))  # RᵀBR
    sign = xp.where(e < 0, -1.0, 1.0)[:, None] + xp.zeros_like(pulls)
    values, vectors = xp.linalg.eigh(
        0.5 * (whole + xp.matrix_transpose(whole)) + xp.eye(m * c) * xp.reshape(sign, (-1,))
    )
    kept = xp.abs(values) > SMALLEST_GAP
    inverse = xp.where(kept, 1.0 / xp.where(kept, values, 1.0), 0.0)

    def inner(seen: Float[Array, " mc"]) -> Float[Array, "m c"]:
        """R (J + RᵀBR)⁻¹ seen."""
        solved = vectors @ (inverse * (xp.matrix_transpose(vectors) @ seen))
        return (root @ xp.reshape(solved, (m, c, 1)))[:, :, 0]

    def solve(v: Vector) -> Vector:
        x = prepared(v[None, :]).x
        z = _outputs(head, rows, x)
        seen = xp.reshape((back @ z[:, :, None])[:, :, 0], (m * c,))
        return (x - prepared(_pulled(head, rows, inner(seen))[None, :]).x)[0, :]

    held = None
    if not bool(xp.all(kept)):
        null = xp.reshape(vectors[:, int(xp.argmin(xp.abs(values)))], (m, c, 1))
        held = prepared(_pulled(head, rows, (root @ null)[:, :, 0])[None, :]).x[0, :]
    moved = _pulled(head, rows, pulls - inner(half @ xp.reshape(pulls, (m * c,))))
    delta = -prepared(moved[None, :]).x[0, :]
    return GroupStep(delta, held, f"a {m * c:,} × {m * c:,} system of the rows beside H", solve)


def _outputs(head: LinearHead, rows: Array, x: Float[Array, "1 p"]) -> Float[Array, "m c"]:
    """X_i x of these rows."""
    xp, w = namespace(x), head.params.expand(x)[0, :, :]
    parts = [
        head.features.take(rows[some]) @ xp.matrix_transpose(w)
        for some in blocks(rows.shape[0], 16.0 * head.features.columns)
    ]
    return xp.concat(parts, axis=0)


def _crossed(head: LinearHead, prepared: Prepared, rows: Array) -> Float[Array, "m c m c"]:
    """X_S H⁻¹ X_Sᵀ, a block of rows against a block of rows."""
    xp, m, c, width = namespace(head.weights), rows.shape[0], head.c, head.features.columns
    out = xp.zeros((m, c, m, c), dtype=head.weights.dtype)
    for some in blocks(m, 64.0 * c * head.params.size):
        images = _images(head, prepared, head.features.take(rows[some]))
        flat = xp.reshape(images, (-1, width))
        for others in blocks(m, 16.0 * width + 8.0 * flat.shape[0]):
            z = head.features.take(rows[others]) @ xp.matrix_transpose(flat)
            z = xp.reshape(z, (z.shape[0], images.shape[0], c, c))
            out[some, :, others, :] = xp.permute_dims(z, (1, 2, 0, 3))
    return out


def _images(head: LinearHead, prepared: Prepared, x: Float[Array, "b D"]) -> Float[Array, "b c c D"]:
    """H⁻¹ X_iᵀ of these rows, one matrix for each output."""
    xp, c, width = namespace(x), head.c, head.features.columns
    eye = xp.eye(c, dtype=x.dtype)
    v = xp.reshape(eye[None, :, :, None] * x[:, None, None, :], (-1, c, width))
    return xp.reshape(head.params.expand(prepared(head.params.collect(v)).x), (-1, c, c, width))


def _own_blocks(head: LinearHead, prepared: Prepared, rows: Array, x: Float[Array, "b D"]) -> Float[Array, "b c c"]:
    """B_i of these rows."""
    if prepared.row_leverages is not None:
        return prepared.row_leverages(rows)
    return head.scale * namespace(x).sum(_images(head, prepared, x) * x[:, None, None, :], axis=3)


# -- through the parameters -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Behind:
    """H at the fit as the preconditioner of H without the rows."""

    prepared: Prepared

    def prepare(self, _: Curvature) -> Approximation:
        """As it is."""
        return Approximation(self.prepared.apply, "the factor of H at the fit")


def _written_out(before: HeadCurvature, after: HeadCurvature, b: Vector) -> GroupStep:
    """Cholesky in coordinates where H has a unit diagonal; where these rows held a direction, what is left of H."""
    xp, p = namespace(b), b.shape[0]
    diagonal = before.curvature_diagonal()
    unit = 1.0 / xp.sqrt(xp.where(diagonal > 0, diagonal, 1.0))
    h = unit[:, None] * after.dense() * unit[None, :]
    how = f"Cholesky of the {p:,} × {p:,} Hessian with these rows' factors"
    made = symmetric(h)
    if made.singular:
        return _left(before, h, unit, b)
    v = xp.asarray(generator(0, "smallest gap").normal(size=p), dtype=b.dtype)
    gap = 1.0
    for _ in range(LOOKS):
        seen = unit * before.matmul((unit * v)[None, :])[0, :]
        v = made.solve(seen[:, None])[:, 0]
        v = v / xp.linalg.vector_norm(v)
        bend = float(xp.sum(v * (unit * before.matmul((unit * v)[None, :])[0, :])))
        gap = float(v @ h @ v) / bend if bend > 0 else 1.0
    if gap <= SMALLEST_GAP:
        return _left(before, h, unit, b)

    def solve(r: Vector) -> Vector:
        return unit * made.solve((unit * r)[:, None])[:, 0]

    return GroupStep(-solve(b), None, how, solve)


def _left(before: HeadCurvature, h: Float[Array, "p p"], unit: Vector, b: Vector) -> GroupStep:
    """In the coordinates where H is 1 (on what it sees): eigenvectors that these rows do not hold alone."""
    xp, p = namespace(b), b.shape[0]
    values, vectors = xp.linalg.eigh(unit[:, None] * before.dense() * unit[None, :])
    seen = values > float(xp.max(values)) * p * xp.finfo(b.dtype).eps
    basis = vectors * xp.where(seen, 1.0 / xp.sqrt(xp.where(seen, values, 1.0)), 0.0)[None, :]
    inner = xp.matrix_transpose(basis) @ h @ basis
    gaps, ways = xp.linalg.eigh(
        0.5 * (inner + xp.matrix_transpose(inner)) + xp.eye(p) * xp.where(seen, 0.0, 2.0)[:, None]
    )
    kept = gaps > SMALLEST_GAP
    inverse = xp.where(kept, 1.0 / xp.where(kept, gaps, 1.0), 0.0)
    through = unit[:, None] * (basis @ ways)
    held = None if bool(xp.all(kept)) else through[:, int(xp.argmin(gaps))]

    def solve(r: Vector) -> Vector:
        return through @ (inverse * (xp.matrix_transpose(through) @ r))

    return GroupStep(-solve(b), held, f"eigenvectors of the {p:,} × {p:,} Hessian with these rows' factors", solve)


def _held_columns(before: HeadCurvature, after: HeadCurvature) -> Vector | None:
    """Parameters that nothing bends any more, where no matrix is written out: one-hot columns, above all."""
    xp = namespace(before.head.weights)
    was = before.curvature_diagonal()
    gone = (after.curvature_diagonal() < SMALLEST_GAP * was) & (was > 0)
    if not bool(xp.any(gone)):
        return None
    return xp.where(gone, 1.0 / xp.sqrt(xp.where(gone, was, 1.0)), 0.0)


def _beside(before: HeadCurvature, delta: Vector, held: Vector) -> Vector:
    """δθ without its part along `held`, in H's own angles."""
    xp = namespace(delta)
    seen = before.matmul(held[None, :])[0, :]
    return delta - held * xp.sum(seen * delta) / xp.sum(seen * held)
