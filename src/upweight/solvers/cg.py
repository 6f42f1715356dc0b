"""Conjugate gradients for H x = b, k right-hand sides at once: each its own recurrence, all sharing every product.

Stands on curvature and preconditioners. Sources: Hestenes & Stiefel (1952), section 3; METHODS.md 4.

Departures from the textbook: a finished row leaves the block, so that products shrink; the true residual replaces the
updated one every 25 steps and at the end, and rows that it contradicts start again from where they are; what is
returned is the best iterate, not the last. Behind a preconditioner that is near H⁻¹ each run ends with one more
correction, taken on trust: the true residual that follows judges it. Products may be float32, residuals are not.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from upweight.arrays import beside, length, namespace, to_numpy
from upweight.curvature import Curvature, Placed, Rounded, RowJacobians
from upweight.randomness import generator
from upweight.shapes import Array, Float, Vectors
from upweight.solvers.base import Prepared, Solution, Status, bent, only_finite, relative, statuses
from upweight.solvers.preconditioner import Approximation, Identity, Preconditioner

__all__ = ["CG"]

TRUE_EVERY = 25  # steps between two true residuals: the updated one drifts
STALL_WINDOW = 50  # steps in which the best residual has to fall by a tenth
RESTARTS = 3  # how often rows may start again where updated and true residual disagree
CHECKED_ROWS = 12  # rows whose approximate leverage is checked by exact solves


@dataclass(frozen=True)
class CG:
    """Relative residual <= tol for each row; the other rows of a block change it by rounding only."""

    tol: float = 1e-8
    single_tol: float = 1e-4  # in place of `tol`, where that is less, for types narrower than float64
    max_iterations: int = 1000
    preconditioner: Preconditioner = field(default_factory=Identity)
    bulk: str = "float64"  # type of the products inside a run
    probes: int | None = None  # true residuals from this many random mixtures of all rows; None: each row's own

    def within(self, dtype: Any) -> float:
        """The relative residual that is promised for right-hand sides of this type."""
        return self.tol if str(dtype).endswith("float64") else max(self.tol, self.single_tol)

    def prepare(self, curvature: Curvature) -> Prepared:
        """Makes the preconditioner ready; products come later.

        Raises: UnsupportedQuestion if the curvature lacks what the preconditioner needs.
        """
        near = self.preconditioner.prepare(curvature)

        def answer(b: Vectors) -> Solution:
            return _solve(self, curvature, near, b)

        tol = self.within(curvature.blank(1).dtype) if isinstance(curvature, Placed) else self.tol
        words = "" if self.bulk == "float64" else f" with {self.bulk} products"
        words += "" if self.probes is None else f", checked on {self.probes} random mixtures of all questions"
        how = f"conjugate gradients{words} on {curvature.size:,} parameters to a residual of {tol:.0e}"
        leverages, error, by_row = None, None, near.row_leverages
        if by_row is not None and isinstance(curvature, RowJacobians):
            leverages = _of_all(by_row, curvature.rows)
            error = _leverage_error(curvature, answer, leverages)
        return Prepared(
            answer,
            near.apply,
            leverages=leverages,
            how=f"{how}, preconditioned by {near.how}" if near.how else how,
            leverage_error=error,
            row_leverages=by_row,
        )


@dataclass(frozen=True)
class _Block:
    """Rows still at work. All of them have the same number of rows; `at` are their places in b."""

    at: Any  # [a] int, numpy
    b: Vectors
    x: Vectors
    r: Vectors
    d: Vectors
    rz: Float[Array, " a"]
    best: Vectors
    best_residual: Float[Array, " a"]
    mark: Float[Array, " a"]  # best residual when the stall window began

    def only(self, kept: Any) -> "_Block":
        """These rows alone."""
        xp, index = namespace(self.b), np.flatnonzero(kept)
        if index.shape[0] == self.at.shape[0]:
            return self
        at = beside(index, self.b)
        arrays = {
            name: xp.take(getattr(self, name), at, axis=0)
            for name in ("b", "x", "r", "d", "rz", "best", "best_residual", "mark")
        }
        return _Block(at=self.at[index], **arrays)


@dataclass
class _Ledger:
    """What became of each of the k rows so far."""

    x: list[Any]
    status: list[Status | None]
    steps: Any  # [k] int
    lowest: list[float | None]

    def close(self, block: _Block, done: Any, status: Status | None) -> _Block:
        """Writes these rows down; the block without them."""
        for place in np.flatnonzero(done):
            self.x[block.at[place]] = block.best[int(place), :]
            self.status[block.at[place]] = status
        return block.only(~done)


def _solve(settings: CG, curvature: Curvature, near: Approximation, b: Vectors) -> Solution:
    xp, tol = namespace(b), settings.within(b.dtype)
    settings = replace(settings, tol=tol, single_tol=0.0)
    fast = curvature
    if settings.bulk != "float64" and isinstance(curvature, Rounded):
        fast = curvature.rounded(settings.bulk)
    b, good = only_finite(b)
    k = b.shape[0]
    ledger = _Ledger([None] * k, [None] * k, np.zeros(k, dtype=int), [None] * k)
    mixed = settings.probes is not None and settings.probes < k
    x, r = xp.zeros_like(b), b
    residual = to_numpy(relative(r, b))
    todo = np.flatnonzero(residual > tol)
    for attempt in range(1 + RESTARTS):
        if todo.shape[0] == 0:
            break
        index = beside(todo, b)
        block = _begin(todo, xp.take(b, index, axis=0), xp.take(x, index, axis=0), xp.take(r, index, axis=0), near)
        if attempt:  # what the first run took on trust was not enough
            near, settings = replace(near, near=False), replace(settings, tol=0.5 * tol)
        _run((curvature, fast), near, block, ledger, settings)
        found = dict(zip(todo.tolist(), (ledger.x[i] for i in todo), strict=True))
        x = xp.stack([found.get(i, x[i, :]) for i in range(k)], axis=0)
        if mixed:
            together = _mixed_residual(curvature, b, x, settings.probes or k)
            residual = np.where(residual > 0, together, 0.0)
        if not mixed or float(np.max(residual)) > tol:
            r = b - curvature.matmul(x)
            residual, mixed = np.nan_to_num(to_numpy(relative(r, b)), nan=np.inf), False
        todo = np.flatnonzero((residual > tol) & np.array([s is None for s in ledger.status]))
    met = [None if rest <= tol else s or Status.STALLED for s, rest in zip(ledger.status, residual, strict=True)]
    verdicts = statuses(good, residual, tol, met)
    return Solution(x, beside(residual, b), ledger.steps, verdicts, bent(curvature, ledger.lowest))


def _mixed_residual(curvature: Curvature, b: Vectors, x: Vectors, probes: int) -> float:
    """Root mean square over rows of ‖b − Hx‖ / ‖b‖, from sums of all rows with random signs: E ‖Σ ± r‖² = Σ ‖r‖²."""
    xp, k = namespace(b), b.shape[0]
    drawn = generator(0, "mixed residuals", k).choice([-1.0, 1.0], (probes, k))
    size = length(b)
    signs = beside(drawn, b, b.dtype) / xp.where(size > 0, size, xp.ones_like(size))[None, :]
    r = signs @ b - curvature.matmul(signs @ x)
    return float(xp.sqrt(xp.sum(r * r) / (probes * k)))


def _begin(at: Any, b: Vectors, x: Vectors, r: Vectors, near: Approximation) -> _Block:
    d = near.apply(r)
    here = relative(r, b)
    return _Block(at, b, x, r, d, _dot(r, d), x, here, here)


def _run(
    curvatures: tuple[Curvature, Curvature], near: Approximation, block: _Block, ledger: _Ledger, settings: CG
) -> None:
    """Iterates until every row is done, has failed, or is out of steps; leaves the best iterates in the ledger."""
    curvature, fast = curvatures  # for true residuals, for steps
    xp, eps = namespace(block.b), float(namespace(block.b).finfo(block.b.dtype).eps)
    if settings.bulk != "float64":
        eps = float(xp.finfo(getattr(xp, settings.bulk)).eps)
    largest, count = 0.0, 0
    while block.at.shape[0]:
        block = ledger.close(block, ledger.steps[block.at] >= settings.max_iterations, Status.OUT_OF_STEPS)
        if not block.at.shape[0]:
            return
        hd = fast.matmul(block.d)
        bend, square = _dot(block.d, hd), _dot(block.d, block.d)
        square = xp.where(square > 0, square, xp.ones_like(square))
        rayleigh = to_numpy(bend / square)
        largest = max(largest, float(xp.max(length(hd) / xp.sqrt(square))))
        upward = rayleigh > eps * largest  # False for NaN too
        if not np.all(upward):
            down = rayleigh < -eps * largest * np.sqrt(fast.size)
            for place in np.flatnonzero(down):
                ledger.lowest[block.at[place]] = float(rayleigh[place])
            hd, bend = (xp.take(a, beside(np.flatnonzero(upward), a), axis=0) for a in (hd, bend))
            block = ledger.close(block, down, Status.NEGATIVE_CURVATURE)
            stuck, overflown = ~upward[~down], np.isnan(rayleigh[~down])
            block = ledger.close(block, stuck & overflown, Status.NONFINITE_INPUT)
            block = ledger.close(block, stuck[~(stuck & overflown)], Status.STALLED)
            if not block.at.shape[0]:
                return
        step = (block.rz / bend)[:, None]
        x, r = block.x + step * block.d, block.r - step * hd
        count += 1
        ledger.steps[block.at] += 1
        if count % TRUE_EVERY == 0:
            r = block.b - curvature.matmul(x)
        before, z = relative(block.r, block.b), near.apply(r)
        block = _turned(block, x, r, z)
        here = relative(block.r, block.b)
        if near.near:  # z is the next correction; it shrinks the residual about as much as the last step did
            hoped = here * xp.clip(here / before, max=1.0)
            done = to_numpy(hoped) <= settings.tol
            trusted = xp.where(beside(done, x)[:, None], x + z, block.best)
            block = replace(block, best=trusted)
        else:
            done = to_numpy(here) <= settings.tol
        block = ledger.close(block, done, None)
        if count % STALL_WINDOW == 0:
            stuck = ~(to_numpy(block.best_residual) < 0.9 * to_numpy(block.mark))
            block = ledger.close(block, stuck, Status.STALLED)
            block = replace(block, mark=block.best_residual)


def _turned(block: _Block, x: Vectors, r: Vectors, z: Vectors) -> _Block:
    """At x, with the next direction, conjugate to the last."""
    xp = namespace(x)
    here, rz = relative(r, block.b), _dot(r, z)
    better = here < block.best_residual
    d = z + (rz / xp.where(block.rz != 0, block.rz, xp.ones_like(rz)))[:, None] * block.d
    return replace(
        block,
        x=x,
        r=r,
        d=d,
        rz=rz,
        best=xp.where(better[:, None], x, block.best),
        best_residual=xp.where(better, here, block.best_residual),
    )


def _dot(u: Vectors, v: Vectors) -> Float[Array, " k"]:
    return namespace(u).sum(u * v, axis=1)


def _of_all(by_row: Callable[[Array], Array], n: int) -> Callable[[], Array]:
    return lambda: by_row(slice(0, n))


def _leverage_error(
    curvature: RowJacobians, answer: Callable[[Vectors], Solution], leverages: Callable[[], Array]
) -> Callable[[], float]:
    def largest() -> float:
        """Half of the sample are the rows of largest leverage, half are drawn."""
        found = leverages()
        xp, (n, c, _) = namespace(found), found.shape
        size = to_numpy(xp.sum(found * found, axis=(1, 2)))
        top = np.argsort(-size, kind="stable")[: CHECKED_ROWS // 2]
        drawn = generator(0, "checked leverages").permutation(n)[: CHECKED_ROWS // 2]
        index = xp.asarray(np.unique(np.concatenate([top, drawn])))
        jacobians = curvature.row_jacobians(index)
        flat = xp.reshape(jacobians, (jacobians.shape[0] * c, jacobians.shape[2]))
        solved = xp.reshape(answer(flat).x, jacobians.shape)
        exact = curvature.loss_scale() * (jacobians @ xp.matrix_transpose(solved))
        unseen = xp.asarray(curvature.unseen_outputs(), dtype=exact.dtype)
        seen = xp.eye(c, dtype=exact.dtype) - xp.matrix_transpose(unseen) @ unseen
        exact = seen @ exact @ seen
        gap = seen @ xp.take(found, index, axis=0) @ seen - exact
        size_of = xp.sqrt(xp.sum(exact * exact, axis=(1, 2)))
        apart = xp.sqrt(xp.sum(gap * gap, axis=(1, 2)))
        return float(xp.max(apart / xp.where(size_of > 0, size_of, xp.ones_like(size_of))))

    return largest
