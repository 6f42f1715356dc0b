"""What a defence leaves of the flips that were found, or of attacks made anew; each counted by real refits.

Stands on audit_search and newton; audit asks. Source: METHODS.md 9.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from upweight.arrays import to_numpy
from upweight.display.words import count, number
from upweight.linear_head import LinearHead
from upweight.measurement import class_of
from upweight.newton import minimise
from upweight.workflows.audit_bounds import Bounds
from upweight.workflows.audit_goals import LossOfAll, MarginOf, margins
from upweight.workflows.audit_parts import Defence
from upweight.workflows.audit_search import HOPE, Found, Plan, search
from upweight.workflows.audit_steps import Gains, Subject

__all__ = ["DEFENCES", "Flip", "defended", "labels_of"]

STRONGER = 10.0  # times the penalty
DROPPED = 0.01  # of the rows, those of the largest leverage

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Flip:
    """One attack, what it was made for, and how its rows were ranked."""

    goal: MarginOf | LossOfAll
    found: Found
    ranked: Gains

    def flipped(self, z: Floats) -> NDArray[np.bool_]:
        """[q]: which predictions are another label at these outputs."""
        return margins(z, labels_of(self.goal, z.shape[1])) < 0


@dataclass(frozen=True, eq=False)
class Table:
    """What the defences are tried on."""

    subject: Subject
    bounds: Bounds
    plan: Plan
    flips: Sequence[Flip]  # one an attack, whether it reached its goal or not
    levels: Sequence[int]
    leverages: Callable[[], Floats]  # [n]

    def before(self) -> tuple[int, int]:
        """Predictions flipped, and attacked."""
        flipped = sum(int(flip.flipped(flip.found.outputs).sum()) for flip in self.flips)
        return flipped, sum(flip.found.outputs.shape[0] for flip in self.flips)


def labels_of(goal: MarginOf | LossOfAll, c: int) -> NDArray[np.int64]:
    """[q] class indices that an attack leads away from."""
    if isinstance(goal, MarginOf):
        return np.asarray([goal.label])
    return np.asarray(to_numpy(class_of(goal.targets, c)), dtype=np.int64)


def defended(
    subject: Subject,
    bounds: Bounds,
    plan: Plan,
    flips: Sequence[Flip],
    names: Sequence[str],
    levels: Sequence[int],
    leverages: Callable[[], Floats],
) -> tuple[tuple[Defence, ...], tuple[str, ...]]:
    """A line for each defence, the first for none, and notes on what could not be tried."""
    table = Table(subject, bounds, plan, flips, levels, leverages)
    found, of = table.before()
    lines = [Defence("none", "none", found, of, "as found: the altered rows, the model refitted on them")]
    notes = list[str]()
    for name in names:
        for one in DEFENCES[name](table):
            if isinstance(one, Defence):
                lines.append(one)
            else:
                notes.append(one)
    return tuple(lines), tuple(notes)


def _encoded(table: Table) -> Iterator[Defence | str]:
    """The altered rows, stored on the grid again."""
    moved, grid = table.bounds.within > 0, table.bounds.grid > 0
    if not (moved & grid).any():
        yield "re-encoding was not tried: the data show no grid; give precision"
        return
    left, of = 0, table.before()[0]
    for flip in table.flips:
        flipped = flip.flipped(flip.found.outputs)
        if not flipped.any():
            continue
        before = table.subject.inputs.cells(flip.found.rows)
        cells = table.bounds.encoded(flip.found.cells, before)
        if np.array_equal(cells, before, equal_nan=True):
            continue  # every cell is back where it was
        low, high = table.bounds.box(before)
        vector, fine = table.subject.refit(flip.found.rows, np.clip(cells, low, high))
        after = flip.flipped(table.subject.outputs(flip.goal.queries, vector))
        left += int((flipped & after).sum()) if fine else 0
    some = "" if grid[moved].all() else "; columns without a grid keep their change"
    yield Defence("encoded", "re-encoded", left, of, f"the altered rows are stored on the grid again{some}")


def _stronger(table: Table) -> Iterator[Defence | str]:
    """The same altered rows, under a stronger penalty."""
    head = table.subject.head
    if not bool(np.any(np.asarray(head.penalty) > 0)):
        yield "a stronger penalty was not tried: the model has none"
        return
    stronger = replace(head, penalty=head.penalty * STRONGER)
    name = f"penalty × {number(STRONGER)}"
    yield from _under(table, stronger, "penalty", name, f"fitted with {number(STRONGER)} times the penalty")


def _without_leverage(table: Table) -> Iterator[Defence | str]:
    """The same altered rows, after the rows of the largest leverage have left."""
    head, n = table.subject.head, table.subject.head.n
    out = np.argsort(-table.leverages(), kind="stable")[: max(1, round(DROPPED * n))]
    keep = np.ones(n)
    keep[out] = 0.0
    left, factor = head.without(keep)
    less = replace(left, divisor=factor / head.scale)  # F over its factor: the whole penalty, fewer rows
    what = f"fitted without the {count(len(out), 'row')} of the largest leverage"
    yield from _under(table, less, "leverage", f"without {count(len(out), 'row')} of most leverage", what)


def _under(table: Table, head: LinearHead, kind: str, name: str, what: str) -> Iterator[Defence | str]:
    """How many flips the same altered rows still cause in another fit, of predictions that it gets as before."""
    fitted = minimise(head)
    if not fitted.converged:
        yield f"{name} was not tried: that fit has no optimum"
        return
    there = Subject.of(table.subject.adapted, fitted.head, table.subject.inputs)
    left, of, lost = 0, table.before()[0], 0
    for flip in table.flips:
        flipped = flip.flipped(flip.found.outputs)
        if not flipped.any():
            continue
        clean = flip.flipped(there.outputs(flip.goal.queries))  # another label without any attack
        lost += int((flipped & clean).sum())
        if not (flipped & ~clean).any():
            continue
        vector, fine = there.refit(flip.found.rows, flip.found.cells)
        after = flip.flipped(there.outputs(flip.goal.queries, vector))
        left += int((flipped & ~clean & after).sum()) if fine else 0
    say = "says" if lost == 1 else "say"
    also = f"; {lost:,} of them {say} another label then without any change" if lost else ""
    yield Defence(kind, name, left, of, f"{what}, on the same altered rows{also}")


def _levels(table: Table) -> Iterator[Defence | str]:
    """Whole steps of the grid, which re-encoding does not undo: attacked anew."""
    if not ((table.bounds.within > 0) & (table.bounds.grid > 0)).any():
        yield "whole steps of the grid were not tried: the data show no grid; give precision"
        return
    done: list[NDArray[np.bool_] | None] = [None] * len(table.flips)
    of = table.before()[1]
    for level in sorted(table.levels):
        wider, beyond = table.bounds.of_steps(float(level)), 0
        for k, flip in enumerate(table.flips):
            last = done[k]
            if last is not None and last.all():
                continue  # what so many steps reach, more reach too
            if not _hopeful(table, flip, wider):
                beyond += 1
                continue
            found = search(table.subject, flip.goal, wider, table.plan, flip.ranked, on_grid=True)
            done[k] = flip.flipped(found.outputs) & found.converged
        flipped = sum(int(one.sum()) for one in done if one is not None)
        steps = count(level, "step")
        what = f"attacked anew with changes of at most {steps} of the grid, as it stores them: re-encoding undoes none"
        what += f"; {count(beyond, 'prediction')} too far for that by the derivative, not tried" if beyond else ""
        yield Defence("levels", f"± {steps}, re-encoded", flipped, of, what)


def _hopeful(table: Table, flip: Flip, wider: Bounds) -> bool:
    """Whether so many steps could flip one prediction, by HOPE times what the attack that was made did for its gain."""
    found, moved = flip.found, table.bounds.within > 0
    if not isinstance(flip.goal, MarginOf) or not found.promised > 0.0:
        return True
    start = flip.goal.value(table.subject.outputs(flip.goal.queries))
    did = (start - flip.goal.value(found.outputs)) / found.promised
    most = float(np.max(wider.within[moved] / table.bounds.within[moved]))
    promised = float(flip.ranked.values[: max(table.plan.allowed)].sum())
    return HOPE * did * most * promised > start


DEFENCES: dict[str, Callable[[Table], Iterator[Defence | str]]] = {
    "encoded": _encoded,
    "penalty": _stronger,
    "leverage": _without_leverage,
    "levels": _levels,
}
