"""Which training rows to move against a goal, and how few suffice: single ones, then several together; refits decide.

Stands on audit_steps; audit and audit_defences ask.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upweight.shapes import Vector
from upweight.workflows.audit_bounds import Bounds
from upweight.workflows.audit_goals import Goal
from upweight.workflows.audit_steps import STEPS_TO_BOUND, Gains, Path, Subject, gains, walk

__all__ = ["HOPE", "Found", "Plan", "search"]

HOPE = 2.0  # times what a row did for each unit of gain: a prediction that needs more than that is out of reach
TRIAL = 5  # each of several rows is first moved for 1 / TRIAL of the steps
GOES_ON = 0.5  # of the best row's fall by then: the rows that are moved on
PACE = 5  # steps by whose mean fall a row at its bound is judged: it ends where that cannot bring it past the best

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How hard to try."""

    allowed: tuple[int, ...]  # numbers of rows, rising
    steps: int
    tries: int  # rows that are tried alone


@dataclass(frozen=True, eq=False)
class Found:
    """The first change that reached the goal, else the one that came nearest; every output is a refit's."""

    rows: NDArray[np.int64]  # positions; none where no step helped
    cells: Floats
    vector: Vector  # θ of the refit
    outputs: Floats  # [q, c] of the queries there
    reached: bool
    converged: bool
    steps: int
    promised: float
    tried: NDArray[np.int64]


def search(
    subject: Subject,
    goal: Goal,
    bounds: Bounds,
    plan: Plan,
    ranked: Gains | None = None,
    on_grid: bool = False,
) -> Found:
    """`ranked`: the rows by gain, where that is known; on_grid: rows are read as the grid stores them."""
    ranked = gains(subject, goal, bounds) if ranked is None else ranked
    tried, best = 0, list[_Try]()
    for k in plan.allowed:
        sets = [one for one in _sets(ranked, k, plan.tries) if one[1] > 0.0]
        tried = max([tried, *(len(rows) for rows, _ in sets), len(sets)])
        for one in _walked(subject, goal, bounds, plan.steps, sets, on_grid):
            best.append(one)
            if one.path.reached:
                found = _refitted(subject, goal, one, ranked, tried)
                if found.reached and found.converged:
                    return found
    nearest = min(best, key=lambda one: one.path.value, default=None)
    if nearest is None or not nearest.path.steps:
        none, z = np.zeros(0, dtype=np.int64), subject.outputs(goal.queries)
        now = subject.head.params.vector
        return Found(
            none, np.zeros((0, len(bounds.within))), now, z, goal.reached(z), True, 0, 0.0, ranked.rows[:tried]
        )
    return _refitted(subject, goal, nearest, ranked, tried)


@dataclass(frozen=True, eq=False)
class _Try:
    """One set of rows, as far as it was moved."""

    path: Path
    promised: float


def _walked(
    subject: Subject,
    goal: Goal,
    bounds: Bounds,
    steps: int,
    sets: Sequence[tuple[NDArray[np.int64], float]],
    on_grid: bool,
) -> Iterator[_Try]:
    """Each set is moved for a fifth of the steps; those that got furthest go on, the best first, others while they
    might get past it."""
    z = subject.outputs(goal.queries)
    start = Path(np.zeros(0, dtype=np.int64), np.zeros((0, 0)), subject.head.params.vector, goal.value(z), False, 0)
    ways = [walk(subject, goal, rows.tolist(), bounds, steps, on_grid) for rows, _ in sets]
    first = list[Path]()
    for way, (_, promised) in zip(ways, sets, strict=True):
        path = _on(way, start, steps if len(sets) == 1 else max(1, steps // TRIAL))
        first.append(path)
        if path.reached:
            yield _Try(path, promised)
            return
    order = sorted(range(len(sets)), key=lambda j: first[j].value)
    fall = start.value - first[order[0]].value if order else 0.0
    best = None
    for j in order:
        if start.value - first[j].value < GOES_ON * fall:
            break
        path = _on(ways[j], first[j], steps - max(1, steps // TRIAL), best)
        best = path.value if best is None else min(best, path.value)
        yield _Try(path, sets[j][1])


def _on(way: Iterator[Path], path: Path, steps: int, past: float | None = None) -> Path:
    """The best place after so many more steps; fewer where at its pace it does not get past a value."""
    values = [path.value]
    for left, one in zip(range(steps - 1, -1, -1), way, strict=False):
        path = one
        values.append(path.value)
        if path.reached:
            break
        if past is not None and path.steps >= STEPS_TO_BOUND and len(values) > PACE:
            pace = (values[-1 - PACE] - values[-1]) / PACE
            if path.value - left * pace >= past:
                break
    return path


def _sets(ranked: Gains, k: int, tries: int) -> list[tuple[NDArray[np.int64], float]]:
    """Single rows, the strongest first; or the k strongest together."""
    if k == 1:
        return [(ranked.rows[j : j + 1], float(ranked.values[j])) for j in range(min(tries, len(ranked.rows)))]
    return [(ranked.rows[:k], float(ranked.values[:k].sum()))] if k <= len(ranked.rows) else []


def _refitted(subject: Subject, goal: Goal, one: _Try, ranked: Gains, tried: int) -> Found:
    """What the path's rows really do: the model refitted on them as the user's own data would hold them."""
    path = one.path
    vector, converged = subject.refit(path.rows, path.cells, path.vector)
    z = subject.outputs(goal.queries, vector)
    return Found(
        path.rows, path.cells, vector, z, goal.reached(z), converged, path.steps, one.promised, ranked.rows[:tried]
    )
