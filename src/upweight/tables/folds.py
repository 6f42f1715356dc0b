"""Folds that keep groups whole and never learn from later rows: what is left out of each fit, and what it is tested on.

Stands on arrangement; out-of-fold losses stand on it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upweight.tables.arrangement import Arrangement

__all__ = ["Fold", "folds"]

Positions = NDArray[np.int64]

GROUPED = 10  # folds of whole groups; as many as there are groups where these are fewer
FORWARD = 5  # stretches of time: each but the first is tested by a model of those before it


@dataclass(frozen=True, eq=False)
class Fold:
    """Positions, ascending: `out` is not learnt from and holds `tested`."""

    out: Positions
    tested: Positions


def folds(arrangement: Arrangement) -> list[Fold]:
    """Forward in time where there is an order, else by whole groups; none where nothing arranges the rows."""
    if arrangement.times is not None:
        return _forward(arrangement)
    return [] if arrangement.groups is None else _by_groups(arrangement.groups)


def _forward(arrangement: Arrangement) -> list[Fold]:
    times = arrangement.times
    assert times is not None
    ranked = np.sort(times)
    starts = np.unique([ranked[len(ranked) * j // FORWARD] for j in range(1, FORWARD)])
    starts = starts[starts > ranked[0]]
    ends = [*starts[1:], np.inf]
    found = []
    for start, end in zip(starts, ends, strict=True):
        tested = np.flatnonzero((times >= start) & (times < end)).astype(np.int64)
        out = np.union1d(np.flatnonzero(times >= start), arrangement.companions(tested))
        found.append(Fold(out.astype(np.int64), tested))
    return [fold for fold in found if len(fold.out) < len(times)]


def _by_groups(groups: Positions) -> list[Fold]:
    """The largest group first, each to the fold that has fewest rows: no draw decides."""
    codes, sizes = np.unique(groups, return_counts=True)
    load = np.zeros(min(GROUPED, len(codes)))
    member = np.empty(len(codes), dtype=np.int64)
    for j in np.argsort(-sizes, kind="stable"):
        member[j] = int(np.argmin(load))
        load[member[j]] += sizes[j]
    fold_of = member[np.searchsorted(codes, groups)]
    tested = [np.flatnonzero(fold_of == k).astype(np.int64) for k in range(len(load))]
    return [Fold(rows, rows) for rows in tested]
