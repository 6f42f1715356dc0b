"""Conjugate gradients for many right-hand sides in one Krylov space: each uses what all of them have seen of H.

A pass over the rows serves all k columns and adds k directions; the k × k systems of a step are solved exactly, with
directions that repeat others cut off. Each run ends with one more direction taken on trust, because behind a
preconditioner near H⁻¹ its coefficient is nearly 1. Products are float32; the answer that results is judged by
products in float64 with a few mixtures of all columns under random signs, E ‖Σ ± r‖² = Σ ‖r‖². For few columns a
look at each would cost more than a product: what the direction on trust leaves is seen on a tenth of the rows, and what
float32 may hide in a residual is measured in float64 on a sample.

The error that is promised and stated is √(Σ rᵀM⁻¹r / Σ bᵀx), M the preconditioner: close to the relative error of the
answer in the norm of H, which is that of scores over all rows (empirical Fisher ≈ H); ‖r‖ / ‖b‖ would promise less
and cost more. Stands on curvature and preconditioners. Sources: O'Leary (1980); METHODS.md 4.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from upweight.arrays import namespace, to_numpy
from upweight.curvature import Batched, Curvature, HeadCurvature, Rounded, RowJacobians
from upweight.errors import UnsupportedQuestion
from upweight.randomness import generator
from upweight.shapes import Array, Float, Vectors
from upweight.solvers.base import Prepared, Solution, Status, only_finite, statuses
from upweight.solvers.cg import CG
from upweight.solvers.low_rank import LowRank, alike_outputs
from upweight.solvers.preconditioner import Approximation, Preconditioner
from upweight.solvers.sampled import SampledHessian

__all__ = ["BlockCG"]

SMALL = 1024  # parameters up to which the whole Hessian of a part of the rows is cheaper than leading directions
SPREAD = 2  # times the parameters: how many rows that part has
LEAST = 100  # rows that are tried before; fewer are no sample, and the columns are few anyhow
SHOWN = 64  # rows whose leverages are made by the preconditioner itself
FEW = 8  # right-hand sides up to which a smaller preconditioner pays
TRUST = 3.0  # the trusted direction takes off at least this factor: stop that much earlier, then look
SAMPLE = 128  # rows on which float32 products are compared with float64 where no whole product is
TENTH = 10  # one of so many rows shows what a direction on trust leaves
SEEN = 2.0  # on the error that they show
MARGIN = 3.0  # on the rounding that the sample shows for one product: it is a sample
LOST = 4.0  # an error so many times the lowest met is rounding: the best answer is returned
APART = 0.1  # of tol: the residual to which rows are solved one by one where the block stalls


@dataclass(frozen=True)
class BlockCG:
    """Relative error <= tol in the norm of H: of each right-hand side up to `probes` of them, else root mean square."""

    tol: float = 8e-4  # scores within 1e-3, with room for what the mixtures miss
    max_passes: int = 30
    preconditioner: Preconditioner | None = None  # None: LowRank, sized by the rows and the right-hand sides
    bulk: str = "float32"  # of the products inside a run; reaches about 1e-6
    probes: int = 4

    def prepare(self, curvature: Curvature) -> Prepared:
        """Nothing yet: which preconditioner pays depends on how many questions come.

        Raises: UnsupportedQuestion if the curvature lacks what the preconditioner needs.
        """
        if self.preconditioner is None and not isinstance(curvature, HeadCurvature):
            raise UnsupportedQuestion(
                f"BlockCG() sizes its preconditioner by the rows of a linear head, and {type(curvature).__name__} has "
                "none. Use BlockCG(preconditioner=...)."
            )
        ready = _Ready(self, curvature)
        return Prepared(
            lambda b: _solve(self, curvature, ready.near(b.shape[0]), b),
            lambda b: ready.many.apply(b),
            leverages=ready.leverages,
            row_leverages=ready.row_leverages,
            how=(
                f"block conjugate gradients with {self.bulk} products on {curvature.size:,} parameters to a relative "
                f"error of {self.tol:.0e}"
            ),
        )


class _Ready:
    """The preconditioner for many right-hand sides, or for few, made when first asked for."""

    def __init__(self, settings: BlockCG, curvature: Curvature) -> None:
        self.settings, self.curvature = settings, curvature
        given = settings.preconditioner
        alike = isinstance(curvature, HeadCurvature) and alike_outputs(curvature.head)
        has = alike if given is None else self.many.row_leverages is not None
        self.row_leverages = self._row_leverages if has else None
        self.leverages = self._leverages if has else None

    @cached_property
    def many(self) -> Approximation:
        return (self.settings.preconditioner or self._sized(128, 200, 10_000)).prepare(self.curvature)

    @cached_property
    def few(self) -> Approximation:
        if self.curvature.size <= SMALL:
            half = self.curvature.size // 2
            fewer = half if half >= LEAST else 0
            return SampledHessian(SPREAD * self.curvature.size, fewer=fewer).prepare(self.curvature)
        return self._sized(64, 100, 4_000).prepare(self.curvature)

    def near(self, k: int) -> Approximation:
        small = k <= FEW and self.settings.preconditioner is None and "many" not in self.__dict__
        return self.few if small else self.many

    def _row_leverages(self, rows: Array) -> Float[Array, "b c c"]:
        assert isinstance(self.curvature, RowJacobians)
        if not isinstance(rows, slice) and rows.shape[0] <= SHOWN:  # as right-hand sides of their own
            near = self.few if "few" in self.__dict__ and "many" not in self.__dict__ else self.many
            jacobians = self.curvature.row_jacobians(rows)
            r, c, p = jacobians.shape
            xp = namespace(jacobians)
            solved = xp.reshape(near.apply(xp.reshape(jacobians, (r * c, p))), (r, c, p))
            found = self.curvature.loss_scale() * (jacobians @ xp.matrix_transpose(solved))
            return found if near.drawn is None else self._with_own(found, xp.asarray(near.drawn)[rows], rows)
        assert self.many.row_leverages is not None
        return self.many.row_leverages(rows)

    def _with_own(self, found: Float[Array, "r c c"], times: Float[Array, " r"], rows: Array) -> Float[Array, "r c c"]:
        """B of M with each row's own curvature in it once, as in H: B (I + (1 − times) S B)⁻¹."""
        assert isinstance(self.curvature, HeadCurvature)
        xp = namespace(found)
        own = self.curvature.outputs.blocks(rows) * (1.0 - times)[:, None, None]
        mended = xp.linalg.solve(xp.eye(found.shape[1], dtype=found.dtype) + found @ own, found)
        return 0.5 * (mended + xp.matrix_transpose(mended))

    def _leverages(self) -> Float[Array, "n c c"]:
        assert isinstance(self.curvature, RowJacobians)
        return self._row_leverages(slice(0, self.curvature.rows))

    def _sized(self, rank: int, each: int, basis: int) -> LowRank:
        assert isinstance(self.curvature, HeadCurvature)
        return LowRank.from_part(rank, each * rank, basis, self.curvature.head.n)


@dataclass(frozen=True)
class _Made:
    """A preconditioner that is ready."""

    near: Approximation

    def prepare(self, curvature: Curvature) -> Approximation:
        return self.near


def _solve(settings: BlockCG, curvature: Curvature, near: Approximation, b: Vectors) -> Solution:
    xp, k = namespace(b), b.shape[0]
    b, good = only_finite(b)
    if k == 0:
        return Solution(b, xp.zeros((0,), dtype=b.dtype), np.zeros(0, dtype=int), ())
    start = near.apply(b)
    square = _dot(b, start)
    asked = to_numpy(square) > 0  # the rest is zero: answered
    if not asked.any():
        status = statuses(good, xp.zeros_like(square), settings.tol, [None] * k)
        return Solution(xp.zeros_like(b), xp.zeros_like(square), np.zeros(k, dtype=int), status)
    size = xp.sqrt(xp.where(square > 0, square, xp.ones_like(square)))[:, None]
    run = _Run(settings, curvature, near, b / size)
    x, error, passes = run.together(start / size)
    apart = 0
    errors = xp.asarray(np.where(asked, error, 0.0))
    if not error <= settings.tol:
        errors = run.errors(x)
        failed = np.flatnonzero(~(to_numpy(errors) <= settings.tol))
        if failed.shape[0]:
            x = run.one_by_one(x, failed)
            errors, apart = run.errors(x), failed.shape[0]
    residual = xp.asarray(to_numpy(errors), dtype=b.dtype)
    met = [None if rest <= settings.tol else Status.STALLED for rest in to_numpy(residual)]
    said = _said(settings, near, float(xp.max(residual)), run, k, passes, apart)
    return Solution(
        x * size, residual, np.where(asked, passes, 0), statuses(good, residual, settings.tol, met), said=said
    )


def _spread(n: int, count: int) -> slice:
    """So many of n rows, or some more, evenly."""
    return slice(0, n, max(1, n // count))


def _said(settings: BlockCG, near: Approximation, error: float, run: "_Run", k: int, passes: int, apart: int) -> str:
    of = f"by {settings.probes} random mixtures of all {k}" if k > settings.probes else "of each"
    by = f"float32 within {run.rounding:.0e} on {SAMPLE} rows" if run.rounding is not None else "in float64"
    text = f"{passes} steps behind {near.how}; relative error {error:.0e} {of}, {by} (residual {run.residual:.0e})"
    return text + (f"; {apart} of {k} solved one by one" if apart else "")


class _Run:
    """One call: columns scaled to bᵀM⁻¹b = 1, so that each counts by its relative error."""

    def __init__(self, settings: BlockCG, curvature: Curvature, near: Approximation, b: Vectors) -> None:
        self.settings, self.curvature, self.near, self.b = settings, curvature, near, b
        rounded = settings.bulk != "float64" and isinstance(curvature, Rounded)
        self.fast = curvature.rounded(settings.bulk) if rounded and isinstance(curvature, Rounded) else curvature
        xp, k = namespace(b), b.shape[0]
        self.eps = float(xp.finfo(getattr(xp, settings.bulk) if rounded else b.dtype).eps)
        self.residual = 0.0  # of the answer, root mean square
        self.rounding: float | None = None  # of its products, where their sample is what vouches for it
        drawn = np.eye(k)
        if k > settings.probes:
            drawn = generator(0, "mixtures", k).choice([-1.0, 1.0], (settings.probes, k)) / np.sqrt(settings.probes)
        self.signs = xp.asarray(drawn, dtype=b.dtype)

    def together(self, z: Vectors) -> tuple[Vectors, float, int]:
        """From z = M⁻¹b: the best answer met, its error by the mixtures, and how many passes were made."""
        settings, xp = self.settings, namespace(self.b)
        x, r, q, whole = xp.zeros_like(self.b), self.b, z, float(xp.sum(self.b * z))
        few = self.b.shape[0] <= settings.probes and self._can_sample
        best, lowest, before = (np.inf, z), np.inf, 1.0
        for count in range(1, settings.max_passes + 1):
            hq = self.fast.matmul(q)
            solve = xp.asarray(_directions(to_numpy(q @ xp.matrix_transpose(hq)), self.eps), dtype=q.dtype)
            along = xp.matrix_transpose(solve @ (q @ xp.matrix_transpose(r)))
            x, r = x + along @ q, r - along @ hq
            z = self.near.apply(r)
            q = z - xp.matrix_transpose(solve @ (hq @ xp.matrix_transpose(z))) @ q
            here = self._largest(r, z, x) if few else float(np.sqrt(max(float(xp.sum(r * z)), 0.0) / whole))
            lost, lowest = not here <= LOST * lowest, min(lowest, here)
            hoped = here * min(1.0, here / before) / (1.0 if few else TRUST)  # with the next direction, on trust
            before = here
            answer, left = (x, r) if few or lost else (x + q, r)
            if few and not lost and here > settings.tol >= hoped:
                answer, left, here = self._trusted(x, r, q)
            if (here if few else hoped) <= settings.tol or lost or count == settings.max_passes:
                error, residual = (
                    self._sampled(answer, left, here, count) if few and not lost else self._audited(answer)
                )
                gained = error < 0.5 * best[0]
                if error < best[0]:
                    best, self.residual = (error, answer), residual
                if best[0] <= settings.tol or lost or not gained:
                    break
        return best[1], best[0], count

    def _trusted(self, x: Vectors, r: Vectors, q: Vectors) -> tuple[Vectors, Vectors, float]:
        """The answer with the next direction on trust, what it leaves, its error: by a product with a part of the rows.

        Such a product errs at random, which adds to the length of what is left: an error is overstated, not hidden.
        """
        assert isinstance(self.fast, Batched)
        left = r - self.fast.matmul_rows(q, _spread(self.fast.rows, max(self.fast.rows // TENTH, SAMPLE)))
        return x + q, left, SEEN * self._largest(left, self.near.apply(left), x + q)

    @property
    def _can_sample(self) -> bool:
        return self.fast is not self.curvature and isinstance(self.fast, Batched) and self.fast.rows > SAMPLE

    def _sampled(self, x: Vectors, r: Vectors, here: float, count: int) -> tuple[float, float]:
        """Error and ‖r‖ / ‖b‖ from the steps' own residual, and from float32 on some rows; by `_audited` if not enough.

        A product with a few rows is scaled up to all of them, so its rounding is no less than if all erred alike.
        """
        assert isinstance(self.curvature, Batched)
        assert isinstance(self.fast, Batched)
        xp = namespace(x)
        rows = _spread(self.fast.rows, SAMPLE)
        gap = self.curvature.matmul_rows(x, rows) - self.fast.matmul_rows(x, rows)
        rounding = self._largest(gap, self.near.apply(gap), x)
        error = here + MARGIN * count * rounding
        if not error <= self.settings.tol:
            return self._audited(x)
        self.rounding = rounding
        return error, float(xp.sqrt(xp.sum(r * r) / xp.sum(self.b * self.b)))

    def _largest(self, r: Vectors, z: Vectors, x: Vectors) -> float:
        """√(rᵀz / bᵀx), the largest of all columns."""
        left, of = to_numpy(_dot(r, z)), to_numpy(_dot(self.b, x))
        shares = np.where(of > 0, left / np.where(of > 0, of, 1.0), np.where(left > 0, np.inf, 0.0))
        return float(np.sqrt(max(float(np.max(shares)), 0.0)))

    def errors(self, x: Vectors) -> Float[Array, " k"]:
        """Each column's own, by a float64 product with all of them."""
        xp = namespace(x)
        r = self.b - self.curvature.matmul(x)
        found = xp.clip(_dot(r, self.near.apply(r)), min=0.0)
        of = _dot(self.b, x)
        self.residual = float(xp.sqrt(xp.sum(r * r) / xp.sum(self.b * self.b)))
        return xp.sqrt(found / xp.where(of > 0, of, xp.ones_like(of)))

    def one_by_one(self, x: Vectors, failed: Any) -> Vectors:
        """These columns by conjugate gradients of their own, in float64."""
        xp = namespace(x)
        solver = CG(tol=APART * self.settings.tol, preconditioner=_Made(self.near))
        found = solver.prepare(self.curvature)(xp.take(self.b, xp.asarray(failed), axis=0)).x
        at = {int(row): j for j, row in enumerate(failed)}
        return xp.stack([found[at[i], :] if i in at else x[i, :] for i in range(x.shape[0])], axis=0)

    def _audited(self, x: Vectors) -> tuple[float, float]:
        """Error and ‖r‖ / ‖b‖ of these columns: the largest where each is looked at, else from the mixtures."""
        xp = namespace(x)
        b, mixed = self.signs @ self.b, self.signs @ x
        r = b - self.curvature.matmul(mixed)
        self.rounding = None
        z, residual = self.near.apply(r), float(xp.sqrt(xp.sum(r * r) / xp.sum(b * b)))
        if b.shape[0] == x.shape[0]:
            return self._largest(r, z, x), residual
        left, of = float(xp.sum(r * z)), float(xp.sum(self.b * x))
        return float(np.sqrt(max(left, 0.0) / of)) if of > 0 else np.inf, residual


def _directions(gram: Any, eps: float) -> Any:
    """(qᵀHq)⁺ [k, k], directions brought to one length first: small columns count as much as large ones."""
    scale = np.diag(gram).copy()
    scale = np.where(scale > 0, 1.0 / np.sqrt(np.where(scale > 0, scale, 1.0)), 0.0)
    values, vectors = np.linalg.eigh(0.5 * (gram + gram.T) * scale[:, None] * scale[None, :])
    kept = values > 10.0 * eps * values[-1]
    turned = scale[:, None] * vectors[:, kept]
    return (turned / values[kept]) @ turned.T


def _dot(u: Vectors, v: Vectors) -> Float[Array, " k"]:
    return namespace(u).sum(u * v, axis=1)
