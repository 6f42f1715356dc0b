"""The smallest set of rows found whose removal flips a prediction, confirmed by a refit; never called minimal.

Rank by the leverage-corrected effect on the margin (linear in the outputs, unlike the loss); take the shortest prefix
whose predicted sum crosses zero; refit; grow by the shortfall × 1.5 or bisect; put rows back while it stays flipped.
Beside it the adaptive version re-scores after every removal, so that twins cannot mask each other.
Source: METHODS.md 2.4; Broderick, Giordano & Meager (2020) for the prefix; Hu et al. (2024) on adaptivity.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Flip", "smallest_flip"]

ADAPTIVE_UP_TO = 12  # rows: beyond it the prefix's set is large enough for twins to matter little
MASKED = 3.0  # how much more than predicted a few rows may turn out to do, once their twins are gone
GROW = 1.5
ROUNDS = 12

Margins = Callable[[Sequence[Sequence[int]]], NDArray[np.float64]]  # sets of rows -> margin after a real refit, or inf
Effects = Callable[[Sequence[int]], NDArray[np.float64]]  # rows already out -> change of the margin, each further row


@dataclass(frozen=True)
class Flip:
    """Rows (positions) whose removal flips it; `margin` after the refit is below 0, `predicted` what was estimated."""

    rows: tuple[int, ...]
    before: float
    predicted: float
    margin: float
    refits: int


def smallest_flip(before: float, effects: Effects, margins: Margins, at_most: int) -> Flip | None:
    """The smallest set found, or None: not finding one proves nothing.

    `before`: the margin now, > 0. `effects(out)`: predicted change of it [n] for each row once `out` have left (rows
    in `out` read 0). `margins(sets)`: the margin after real refits. `at_most`: largest set to try.
    """
    count = _Counter(margins)
    first = effects(())
    order = np.argsort(first, kind="stable")
    order = order[first[order] < 0][:at_most]
    best = _prefix(before, first, order, count)
    if best is not None:
        best = _pruned(best, count)
    limit = min(len(best) - 1 if best is not None else at_most, ADAPTIVE_UP_TO)
    hope = before + MASKED * float(first[order[:limit]].sum())
    found = _adaptive(before, effects, count, limit) if hope < 0 else None
    if found is not None:
        best = _pruned(found, count)
    if best is None:
        return None
    rows = tuple(int(r) for r in best)
    predicted = before + float(first[list(rows)].sum())
    return Flip(rows, before, predicted, float(count([rows])[0]), count.refits)


class _Counter:
    """Refits, each set once."""

    def __init__(self, margins: Margins) -> None:
        self._margins, self._known, self.refits = margins, dict[tuple[int, ...], float](), 0

    def __call__(self, sets: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        keys = [tuple(sorted(int(r) for r in rows)) for rows in sets]
        new = [key for key in dict.fromkeys(keys) if key not in self._known]
        if new:
            self.refits += len(new)
            self._known.update(zip(new, (float(m) for m in self._margins(new)), strict=True))
        return np.asarray([self._known[key] for key in keys])


def _prefix(
    before: float, effect: NDArray[np.float64], order: NDArray[np.int64], margins: _Counter
) -> list[int] | None:
    if not len(order):
        return None
    total = before + np.cumsum(effect[order])
    crossed = np.flatnonzero(total < 0)
    size = int(crossed[0]) + 1 if len(crossed) else len(order)
    lower = 0  # largest prefix known not to flip it
    for _ in range(ROUNDS):
        margin = float(margins([order[:size].tolist()])[0])
        if margin < 0:
            break
        if size == len(order):
            return None
        lower = size
        reached = (before - margin) / before  # share of the way; the rest costs more than pro rata
        grown = size * (1.0 + GROW * (1.0 / reached - 1.0)) if reached > 0 else GROW * size
        size = int(min(len(order), max(size + 1, np.ceil(min(grown, 4.0 * size)))))
    else:
        return None
    upper = size
    while upper - lower > 1:
        middle = (upper + lower) // 2
        if float(margins([order[:middle].tolist()])[0]) < 0:
            upper = middle
        else:
            lower = middle
    return [int(r) for r in order[:upper]]


def _pruned(rows: list[int], margins: _Counter) -> list[int]:
    """Put back, one at a time, the row without which it stays flipped by most."""
    while len(rows) > 1 and len(rows) <= 60:
        without = [[r for r in rows if r != back] for back in rows]
        margin = margins(without)
        if margin.min() >= 0:
            break
        rows = without[int(np.argmin(margin))]
    return rows


def _adaptive(before: float, effects: Effects, margins: _Counter, at_most: int) -> list[int] | None:
    out: list[int] = []
    needed: list[int] = []  # rows without which there is no optimum
    while len(out) < at_most:
        effect = effects(out)
        effect[needed] = 0.0
        row = int(np.argmin(effect))
        if effect[row] >= 0:
            return None
        margin = float(margins([[*out, row]])[0])
        if margin == np.inf:
            needed.append(row)
            continue
        out.append(row)
        if margin < 0:
            return out
    return None
