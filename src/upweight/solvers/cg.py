"""Conjugate gradients for H x = b, k right-hand sides at once: each its own recurrence, all sharing every product.

Stands on curvature and preconditioners. Sources: Hestenes & Stiefel (1952), section 3; METHODS.md 4.

Departures from the textbook: a finished row leaves the block, so that products shrink; the true residual replaces the
updated one every 25 steps and at the end, and rows that it contradicts start again from where they are; what is
returned is the best iterate, not the last.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from upweight.arrays import length, namespace, to_numpy
from upweight.curvature import Curvature, RowJacobians
from upweight.randomness import generator
from upweight.shapes import Array, Float, Vectors
from upweight.solvers.base import Prepared, Solution, Status, only_finite, relative, statuses
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
    max_iterations: int = 1000
    preconditioner: Preconditioner = field(default_factory=Identity)

    def prepare(self, curvature: Curvature) -> Prepared:
        """Makes the preconditioner ready; products come later.

        Raises: UnsupportedQuestion if the curvature lacks what the preconditioner needs.
        """
        near = self.preconditioner.prepare(curvature)

        def answer(b: Vectors) -> Solution:
            return _solve(curvature, near, b, self.tol, self.max_iterations)

        how = f"conjugate gradients on {curvature.size:,} parameters to a residual of {self.tol:.0e}"
        leverages, error = near.leverages, None
        if leverages is not None and isinstance(curvature, RowJacobians):
            error = _leverage_error(curvature, answer, leverages)
        return Prepared(
            answer,
            near.apply,
            leverages=leverages,
            how=f"{how}, preconditioned by {near.how}" if near.how else how,
            leverage_error=error,
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
        arrays = {
            name: xp.take(getattr(self, name), xp.asarray(index), axis=0)
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


def _solve(curvature: Curvature, near: Approximation, b: Vectors, tol: float, max_iterations: int) -> Solution:
    xp = namespace(b)
    b, good = only_finite(b)
    k = b.shape[0]
    ledger = _Ledger([None] * k, [None] * k, np.zeros(k, dtype=int), [None] * k)
    x, residual = xp.zeros_like(b), relative(b, b)
    todo = np.flatnonzero(to_numpy(residual) > tol)
    for _ in range(1 + RESTARTS):
        if todo.shape[0] == 0:
            break
        index = xp.asarray(todo)
        _run(curvature, near, (todo, xp.take(b, index, axis=0), xp.take(x, index, axis=0)), ledger, tol, max_iterations)
        found = dict(zip(todo.tolist(), (ledger.x[i] for i in todo), strict=True))
        x = xp.stack([found.get(i, x[i, :]) for i in range(k)], axis=0)
        residual = relative(b - curvature.matmul(x), b)
        behind = to_numpy(residual) > tol
        todo = np.flatnonzero(behind & np.array([s is None for s in ledger.status]))
    left = to_numpy(residual) > tol
    met = [None if not late else s or Status.STALLED for s, late in zip(ledger.status, left, strict=True)]
    return Solution(x, residual, ledger.steps, statuses(good, residual, tol, met), tuple(ledger.lowest))


def _run(
    curvature: Curvature,
    near: Approximation,
    start: tuple[Any, Vectors, Vectors],
    ledger: _Ledger,
    tol: float,
    max_iterations: int,
) -> None:
    """Iterates until every row is done, has failed, or is out of steps; leaves the best iterates in the ledger."""
    at, b, x = start
    xp, eps = namespace(b), float(namespace(b).finfo(b.dtype).eps)
    fresh = not np.any(ledger.steps[at])
    r = b if fresh else b - curvature.matmul(x)
    d = near.apply(r)
    here = relative(r, b)
    block = _Block(at, b, x, r, d, _dot(r, d), x, here, here)
    largest, count = 0.0, 0

    while block.at.shape[0]:
        block = ledger.close(block, ledger.steps[block.at] >= max_iterations, Status.OUT_OF_STEPS)
        if not block.at.shape[0]:
            return
        hd = curvature.matmul(block.d)
        bend, square = _dot(block.d, hd), _dot(block.d, block.d)
        square = xp.where(square > 0, square, xp.ones_like(square))
        rayleigh = to_numpy(bend / square)
        largest = max(largest, float(xp.max(length(hd) / xp.sqrt(square))))
        upward = rayleigh > eps * largest  # False for NaN too
        if not np.all(upward):
            down = rayleigh < -eps * largest * np.sqrt(curvature.size)
            for place in np.flatnonzero(down):
                ledger.lowest[block.at[place]] = float(rayleigh[place])
            hd, bend = (xp.take(a, xp.asarray(np.flatnonzero(upward)), axis=0) for a in (hd, bend))
            block = ledger.close(block, down, Status.NEGATIVE_CURVATURE)
            block = ledger.close(block, ~upward[~down], Status.STALLED)
            if not block.at.shape[0]:
                return
        step = (block.rz / bend)[:, None]
        x, r = block.x + step * block.d, block.r - step * hd
        count += 1
        ledger.steps[block.at] += 1
        if count % TRUE_EVERY == 0:
            r = block.b - curvature.matmul(x)
        block = _turned(block, x, r, near.apply(r))
        block = ledger.close(block, to_numpy(relative(block.r, block.b)) <= tol, None)
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
        gap = xp.take(found, index, axis=0) - exact
        size_of = xp.sqrt(xp.sum(exact * exact, axis=(1, 2)))
        apart = xp.sqrt(xp.sum(gap * gap, axis=(1, 2)))
        return float(xp.max(apart / xp.where(size_of > 0, size_of, xp.ones_like(size_of))))

    return largest
