"""The rows to learn from and the rows held out, where groups stay whole and the held-out rows are the latest.

Stands on arrangement and split; table_model stands on it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.errors import InputError
from upweight.tables.arrangement import Arrangement
from upweight.tables.split import held_out
from upweight.tables.target import Task, in_rows

__all__ = ["Parts", "parts"]

Positions = NDArray[np.int64]

FRACTION = 0.25
SMALLEST = 0.05  # of the rows: where groups and order together hold out fewer, they do not go together
DRAWS = 20  # of the groups: the draw whose held-out rows are most like the rest is taken


@dataclass(frozen=True, eq=False)
class Parts:
    """Positions, ascending; a row may be in neither. how: in one clause, "" where they were drawn at random.

    in_order: the held-out rows are the latest.
    """

    train: Positions
    held_out: Positions
    how: str = ""
    notes: tuple[str, ...] = ()
    in_order: bool = False


def parts(rows: pd.DataFrame, target: str, task: Task, arrangement: Arrangement, seed: int = 0) -> Parts:
    """About a quarter of the rows held out: whole groups, the latest rows, both, or drawn at random.

    An order that was found, not asked for, is left aside where the earlier rows cannot be learnt from alone, and this
    is said. Raises: InputError where nothing can be held out.
    """
    if arrangement.times is not None:
        try:
            return _latest(rows, target, task, arrangement)
        except InputError as error:
            if arrangement.time_asked:
                raise
            found = parts(rows, target, task, arrangement.without_time(), seed)
            said = f"held out without regard to {arrangement.time_column!r}: {str(error).partition('. ')[0]}"
            return Parts(found.train, found.held_out, found.how, (*found.notes, said))
    if arrangement.groups is not None:
        return _whole_groups(rows, target, task, arrangement, seed)
    return Parts(*held_out(rows, target, task, FRACTION, seed))


def _latest(rows: pd.DataFrame, target: str, task: Task, arrangement: Arrangement) -> Parts:
    """Rows from a time on; rows of the same time stay on one side. A group is on the side where most of it is."""
    times, groups = arrangement.times, arrangement.groups
    assert times is not None
    n = len(rows)
    cuts = np.unique(times)[1:]  # the earliest rows are never held out
    later = n - np.searchsorted(np.sort(times), cuts)
    test = times >= cuts[int(np.argmin(np.abs(later - FRACTION * n)))]
    train = ~test
    notes = []
    if groups is not None:
        size = np.bincount(groups)
        mostly_late = (np.bincount(groups, weights=test.astype(float)) > 0.5 * size)[groups]
        split = (test & ~mostly_late) | (train & mostly_late)
        train, test = train & ~mostly_late, test & mostly_late
        if split.any():
            notes.append(f"left out, since their {arrangement.group_column!r} is on both sides: {_rows(rows, split)}")
        if not train.any() or test.sum() < SMALLEST * n:
            raise InputError(
                f"no split by {arrangement.time_column!r} keeps every {arrangement.group_column!r} on one side, since "
                "they run through the whole time. Leave one of --group and --time out."
            )
    where = f"the earlier rows by {arrangement.time_column!r}"
    test, unseen = _learnable(rows, target, task, train, test, where)
    share = round(100 * float(test.mean()))
    how = f"the latest {max(1, share)} % by {arrangement.time_column!r}"
    if groups is not None:
        how += f", no {arrangement.group_column!r} on both sides"
    return Parts(_at(train), _at(test), how, (*notes, *unseen), True)


def _whole_groups(rows: pd.DataFrame, target: str, task: Task, arrangement: Arrangement, seed: int) -> Parts:
    """Groups in a random order until a quarter is reached; of several draws the one most like the whole."""
    groups = arrangement.groups
    assert groups is not None
    draw = np.random.default_rng([seed, 0x5712])
    codes, inside = np.unique(groups, return_inverse=True)
    of_class = _classes_of(rows, target, task, inside, len(codes))
    must = (of_class * ((of_class > 0).sum(axis=0) == 1)).sum(axis=1) > 0  # groups that alone hold a class are learnt
    free = np.flatnonzero(~must)
    name = arrangement.group_column
    if not len(free):
        raise InputError(
            f"each {name!r} alone holds a class of {target!r}, so none can be held out whole. Leave --group out."
        )
    best, least = np.empty(0, dtype=np.int64), np.inf
    for _ in range(DRAWS):
        some = _quarter(of_class, draw.permutation(free))
        away = float(np.abs(of_class[some].sum(axis=0) - FRACTION * of_class.sum(axis=0)).sum())
        if len(some) and away < least:
            best, least = some, away
    test = np.isin(inside, best)
    train = ~test
    test, unseen = _learnable(rows, target, task, train, test, f"the other groups of {name!r}")
    how = f"whole groups, {len(best):,} of the {len(codes):,} of {name!r}"
    return Parts(_at(train), _at(test), how, unseen)


def _quarter(of_class: NDArray[np.float64], order: Positions) -> Positions:
    """The first of these groups that bring the rows nearest to a quarter and leave every class somewhere else."""
    left, total = of_class.sum(axis=0), 0.0
    taken: list[int] = []
    goal = FRACTION * float(of_class.sum())
    for group in order:
        size = float(of_class[group].sum())
        if (left - of_class[group] <= 0).any() or (taken and abs(total + size - goal) > abs(total - goal)):
            continue
        left, total = left - of_class[group], total + size
        taken.append(int(group))
    return np.asarray(taken, dtype=np.int64)


def _classes_of(rows: pd.DataFrame, target: str, task: Task, inside: Positions, groups: int) -> NDArray[np.float64]:
    """[groups, classes]: rows of each class in each group; a number is one class."""
    labels = pd.factorize(rows[target])[0] if task == "classification" else np.zeros(len(rows), dtype=np.int64)
    table = np.zeros((groups, int(labels.max()) + 1))
    np.add.at(table, (inside, labels), 1.0)
    return table


def _learnable(
    rows: pd.DataFrame,
    target: str,
    task: Task,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    where: str,
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """The held-out rows whose class can be learnt, and a sentence on the others.

    Raises: InputError where the training rows hold one value, or no held-out row is left.
    """
    values = rows[target][train].unique()
    undo = "Leave that column out of the order or the groups."
    if len(values) < 2:
        raise InputError(f"{where} hold one value of {target!r}, so there is nothing to learn from them. {undo}")
    if task == "regression":
        return test, ()
    unseen = test & ~rows[target].isin(values).to_numpy()
    if not (test & ~unseen).any():
        raise InputError(f"{where} hold no class of {target!r} that the rows held out have. {undo}")
    said = f"not held out, since {where} hold no row of their class: {_rows(rows, unseen)}"
    return test & ~unseen, (said,) if unseen.any() else ()


def _rows(rows: pd.DataFrame, which: NDArray[np.bool_]) -> str:
    return in_rows(rows.index[which])


def _at(which: NDArray[np.bool_]) -> Positions:
    return np.flatnonzero(which).astype(np.int64)
