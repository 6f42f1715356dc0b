"""LiSSA, as Koh & Liang used it: x ← b + (I − H_batch / σ) x, whose limit over σ is H⁻¹ b. For comparison only.

After J steps it answers (1 − (1 − h/σ)^J) / h in a direction of curvature h: a hidden damping of about σ / J. Stands on
curvature. Sources: Agarwal, Bullins & Hazan (2017); Koh & Liang (2017), section 3; METHODS.md 4.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from upweight.arrays import beside, length, namespace, to_numpy
from upweight.curvature import Batched, Curvature
from upweight.randomness import generator
from upweight.shapes import Vectors
from upweight.solvers.base import Prepared, Solution, Status, bent, only_finite, relative, statuses

__all__ = ["LiSSA"]

MARGIN = 1.5  # σ over the largest eigenvalue met: a batch that was not probed may bend more
PROBES, POWER_STEPS = 5, 20  # batches probed, and power iterations on each
CHECK_EVERY = 50  # steps between two true residuals, at least; a pass over the rows otherwise
HOPELESS = 1e3  # relative residual at which the series has diverged


@dataclass(frozen=True)
class LiSSA:
    """Stops at the true residual `tol` or after `max_iterations`; `scale` (σ) is found by power iteration if None."""

    tol: float = 1e-3
    max_iterations: int = 5000
    batch: int = 256
    repeats: int = 1
    scale: float | None = None
    seed: int = 0

    def prepare(self, curvature: Curvature) -> Prepared:
        """Finds σ once there is a right-hand side to tell the array library."""
        scales: dict[str, float] = {}

        def sigma(b: Vectors) -> float:
            if "found" not in scales:
                scales["found"] = self.scale if self.scale is not None else _scale(self, curvature, b)
            return scales["found"]

        def answer(b: Vectors) -> Solution:
            return _solve(self, curvature, b, sigma(b))

        j = self.max_iterations
        how = (
            f"LiSSA with batches of {self.batch:,} rows, at most {j:,} steps, σ by power iteration, which adds a "
            f"hidden damping of about σ / steps, to a residual of {self.tol:.0e}"
        )
        return Prepared(answer, lambda b: answer(b).x, how=how)


def _solve(settings: LiSSA, curvature: Curvature, b: Vectors, sigma: float) -> Solution:
    """Every repeat goes one step at a time; their mean is judged at each check, and the best mean of a row is kept."""
    xp = namespace(b)
    b, good = only_finite(b)
    k = b.shape[0]
    products = [_products(settings, curvature, repeat) for repeat in range(settings.repeats)]
    iterates = [b] * settings.repeats  # the first step from 0
    best, best_residual = xp.zeros_like(b), relative(b, b)
    steps, lost = np.zeros(k, dtype=int), np.zeros(k, dtype=bool)
    lowest: list[float | None] = [None] * k
    overflown = np.zeros(k, dtype=bool)  # H of finite numbers is not finite
    open_rows = to_numpy(best_residual) > settings.tol
    every = max(CHECK_EVERY, -(-_rows(curvature) // settings.batch))
    count = 1
    while np.any(open_rows) and count < settings.max_iterations:
        for _ in range(min(every, settings.max_iterations - count)):
            iterates = [b + x - next(product)(x) / sigma for x, product in zip(iterates, products, strict=True)]
            count += 1
        x = sum(iterates[1:], iterates[0]) / (settings.repeats * sigma)
        x = xp.where(xp.isfinite(x), x, xp.zeros_like(x))
        residual = relative(b - curvature.matmul(x), b)
        steps[open_rows] = count
        better = (residual < best_residual) & beside(open_rows, b)
        best = xp.where(better[:, None], x, best)
        best_residual = xp.where(better, residual, best_residual)
        diverged = open_rows & ~(to_numpy(residual) < HOPELESS)
        for row in np.flatnonzero(diverged):
            lowest[row] = _bends_down(curvature, x[int(row) : int(row) + 1, :])
        lost |= diverged
        overflown |= open_rows & np.isnan(to_numpy(residual))
        open_rows = open_rows & ~lost & (to_numpy(best_residual) > settings.tol)
        iterates = [xp.where(beside(open_rows, b)[:, None], x, xp.zeros_like(x)) for x in iterates]
    met: list[Status | None] = [None] * k
    for row in np.flatnonzero(to_numpy(best_residual) > settings.tol):
        met[row] = Status.OUT_OF_STEPS
        if lost[row]:
            met[row] = Status.STALLED if lowest[row] is None else Status.NEGATIVE_CURVATURE
        if overflown[row]:
            met[row] = Status.NONFINITE_INPUT
    return Solution(
        best, best_residual, steps, statuses(good, best_residual, settings.tol, met), bent(curvature, lowest)
    )


def _rows(curvature: Curvature) -> int:
    return curvature.rows if isinstance(curvature, Batched) else 1


def _products(settings: LiSSA, curvature: Curvature, repeat: int | str) -> Iterator[Callable[[Vectors], Vectors]]:
    """H v on one batch after another: a new order of the rows each time all have been read."""
    if not isinstance(curvature, Batched) or curvature.rows <= settings.batch:
        while True:
            yield curvature.matmul
    batched, n, epoch = curvature, curvature.rows, 0
    while True:
        order = generator(settings.seed, "lissa batches", repeat, epoch).permutation(n)
        for start in range(0, n - settings.batch + 1, settings.batch):
            yield _on_rows(batched, order[start : start + settings.batch])
        epoch += 1


def _on_rows(curvature: Batched, rows: Any) -> Callable[[Vectors], Vectors]:
    return lambda v: curvature.matmul_rows(v, beside(rows, v))


def _scale(settings: LiSSA, curvature: Curvature, b: Vectors) -> float:
    """MARGIN times the largest eigenvalue that power iteration finds on a few batches."""
    xp, largest = namespace(b), 0.0
    products = _products(settings, curvature, "probe")
    for probe in range(PROBES):
        product = next(products)
        start = generator(settings.seed, "lissa probe", probe).standard_normal((1, curvature.size))
        v = beside(start, b, b.dtype)
        for _ in range(POWER_STEPS):
            v = v / xp.maximum(length(v), xp.full_like(v[:, 0], xp.finfo(v.dtype).smallest_normal))[:, None]
            v = product(v)
            largest = max(largest, float(length(v)[0]))
    return MARGIN * largest if largest > 0 else 1.0


def _bends_down(curvature: Curvature, v: Vectors) -> float | None:
    """The Rayleigh quotient of v where it is negative."""
    xp = namespace(v)
    size = float(xp.sum(v * v))
    found = float(xp.sum(v * curvature.matmul(v))) / size if size > 0 else 0.0
    return found if found < 0 else None
