"""How far each number of a training row may move: the bound, the valid range, the grid on which the data are stored.

Stands on adapters.row_inputs; audit asks. Source: METHODS.md 9 (the box of half a grey level).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters.row_inputs import RowInputs
from upweight.display.words import among, count, number
from upweight.errors import InputError, listed

__all__ = ["Bounds", "bounds", "grid_of"]

HALF = 0.4995  # of a grid step: below the tie, so that rounding finds the way back
UNSEEN = 0.01  # of a column's standard deviation, where its numbers show no grid
DIGITS = 8  # after the point that are looked for
FEWEST = 3  # different values below which a column of numbers is a category
ROUNDING = 8.0  # of the last bit
LISTED = 3  # columns by name

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bounds:
    """[d] each: `within` 0 where a cell stays, `grid` 0 where the data show none."""

    within: Floats
    low: Floats
    high: Floats
    grid: Floats
    said: str

    def box(self, cells: Floats) -> tuple[Floats, Floats]:
        """Where rows [k, d] may go: the least and greatest of each cell, itself where it stays or is no number."""
        down, up = cells - self.within, cells + self.within
        down = np.where(cells - down > self.within, np.nextafter(down, cells), down)  # the sum may round outwards
        up = np.where(up - cells > self.within, np.nextafter(up, cells), up)
        fixed = (self.within == 0) | ~np.isfinite(cells)
        low = np.where(fixed, cells, np.minimum(cells, np.maximum(down, self.low)))
        high = np.where(fixed, cells, np.maximum(cells, np.minimum(up, self.high)))
        return low, high

    def encoded(self, cells: Floats, before: Floats) -> Floats:
        """The cells as the grid stores them; where there is no grid, as they are."""
        step = np.where(self.grid > 0, self.grid, 1.0)
        steps = np.round((cells - before) / step)
        return np.where(self.grid > 0, np.where(steps == 0, before, before + steps * step), cells)

    def of_steps(self, steps: float) -> "Bounds":
        """The same cells within so many steps of the grid, those that show none as they are."""
        within = np.where((self.within > 0) & (self.grid > 0), steps * self.grid, 0.0)
        return replace(self, within=within, said=f"{number(steps)} {'step' if steps == 1 else 'steps'} of the grid")


def bounds(inputs: RowInputs, within: Any, limits: Any, precision: Any) -> Bounds:
    """What the arguments of audit mean for these rows.

    Raises: InputError for unknown columns, other shapes, numbers that are no bound, and where nothing may move.
    """
    d = int(np.prod(inputs.shape))
    groups = {int(group): inputs.values(int(group)) for group in np.unique(inputs.groups)}
    fewest = {group: len(np.unique(values[:100_000])) for group, values in groups.items()}
    grids = {group: grid_of(values) for group, values in groups.items()}
    spread = {group: float(np.std(values)) if len(values) else 0.0 for group, values in groups.items()}
    grid = _spread(grids, inputs) if precision is None else _read(precision, inputs, "precision", np.zeros(d))
    ends = (
        _spread({g: _end(v, np.min) for g, v in groups.items()}, inputs),
        _spread({g: _end(v, np.max) for g, v in groups.items()}, inputs),
    )
    low, high = _limits(limits, inputs, ends)
    if within is None:
        few = _spread({group: float(n < FEWEST) for group, n in fewest.items()}, inputs) > 0
        reach = np.where(grid > 0, HALF * grid, UNSEEN * _spread(spread, inputs))
        reach = np.where(few & ~_named(precision, inputs), 0.0, reach)
    else:
        reach = _read(within, inputs, "within", np.zeros(d))
        _refuse_unmovable(within, inputs)
        half = (grid > 0) & (np.abs(reach - 0.5 * grid) <= 1e-6 * grid)
        reach = np.where(half, HALF * grid, reach)  # at the tie itself rounding may go either way
    reach = np.where(inputs.movable, reach, 0.0)
    if not (reach > 0).any():
        raise InputError(
            "within lets no cell move: it is 0, or names only columns of words, categories or two values. Give a bound "
            "above 0 for a column of numbers, as {column: number}."
        )
    return Bounds(reach, low, high, np.where(inputs.movable, grid, 0.0), _said(within, inputs, reach, grid))


def grid_of(values: Floats) -> float:
    """The step of which all values are multiples apart: a power of ten, or the least difference; 0 where there is none.

    Values of a narrow type (float32) hold their own rounding.
    """
    found = np.unique(values)
    if len(found) < 2:
        return 0.0
    size = float(np.max(np.abs(found)))
    narrow = bool(np.all(found == found.astype(np.float32)))
    exact = bool(np.all(found == np.round(found)))
    eps = float(np.finfo(np.float32 if narrow and not exact else np.float64).eps) * ROUNDING
    for digits in range(DIGITS + 1):
        step = 10.0**-digits
        if step < 4.0 * eps * size:
            break
        if np.all(np.abs(found - np.round(found, digits)) <= eps * np.maximum(np.abs(found), step)):
            return step
    gaps = np.diff(found)
    gaps = gaps[gaps > 4.0 * eps * size]
    if not len(gaps):
        return 0.0
    near = float(np.min(gaps))
    steps = (found - found[0]) / near
    if steps[-1] > 1e6:  # so fine that rounding alone could look like it
        return 0.0
    whole = np.round(steps)
    step = float(np.sum(whole * (found - found[0])) / np.sum(whole**2))  # by least squares: the least gap is rounded
    off = np.abs(found - found[0] - np.round((found - found[0]) / step) * step)
    return step if np.all(off <= 1e-3 * step + eps * size) and len(found) > FEWEST else 0.0


def _end(values: Floats, which: Any) -> float:
    return float(which(values)) if len(values) else 0.0


def _spread(by_group: Mapping[int, float], inputs: RowInputs) -> Floats:
    """One number a group as [d]."""
    known = np.asarray([by_group[g] for g in sorted(by_group)])
    return np.asarray(known[np.searchsorted(np.asarray(sorted(by_group)), inputs.groups)], dtype=np.float64)


def _named(given: Any, inputs: RowInputs) -> NDArray[np.bool_]:
    """Columns that a mapping names."""
    names = {str(name) for name in given} if isinstance(given, Mapping) else set[str]()
    if not inputs.columns:
        return np.zeros(len(inputs.groups), dtype=bool)
    return np.asarray([name in names for name in inputs.columns])


def _read(given: Any, inputs: RowInputs, what: str, rest: Floats, least: float = 0.0) -> Floats:
    """[d] from a number, {column: number} (`rest` elsewhere), or an array that fits a row.

    Raises: InputError.
    """
    out = np.array(rest)
    if isinstance(given, Mapping):
        names = {name: j for j, name in enumerate(inputs.columns)}
        unknown = [name for name in given if str(name) not in names]
        if unknown:
            known = listed(inputs.columns, 10) if inputs.columns else "none: rows are arrays, so give a number or array"
            raise InputError(f"{what} names {listed(unknown)}, which is no column of X ({known}).")
        for name, value in given.items():
            out[names[str(name)]] = _number(value, f"{what}[{name!r}]")
    else:
        try:
            array = np.asarray(given.cpu() if hasattr(given, "cpu") else given, dtype=np.float64)
            out = np.broadcast_to(array, inputs.shape).reshape(-1).astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{what} is {given!r:.60}. Give a number, {{column: number}}, or an array that fits a row of shape "
                f"{list(inputs.shape)}."
            ) from error
    bad = np.flatnonzero(~(np.isfinite(out) & (out >= least)))
    if len(bad):
        where = f" in column {inputs.columns[bad[0]]!r}" if inputs.columns else ""
        need = "" if least == -np.inf else " and 0 or more"
        raise InputError(f"{what} is {out[bad[0]]}{where}. Give finite numbers{need}.")
    return out


def _number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} is {value!r:.60}. Give a number.") from error


def _limits(given: Any, inputs: RowInputs, ends: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Raises: InputError."""
    if given is None:
        return ends
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InputError(
            f"limits is {given!r:.60}. Give (least, greatest), each a number, {{column: number}} or array."
        )
    low, high = (
        own if one is None else _read(one, inputs, f"limits[{k}]", own, -np.inf)
        for k, (one, own) in enumerate(zip(given, ends, strict=True))
    )
    wrong = np.flatnonzero(low > high)
    if len(wrong):
        where = f" in column {inputs.columns[wrong[0]]!r}" if inputs.columns else ""
        raise InputError(f"limits start at {low[wrong[0]]} and end at {high[wrong[0]]}{where}. Give the lesser first.")
    return low, high


def _refuse_unmovable(within: Any, inputs: RowInputs) -> None:
    """Raises: InputError where a column is named that cannot move."""
    stuck = [name for name, by, can in zip(inputs.columns, _named(within, inputs), inputs.movable, strict=False)
             if by and not can]  # fmt: skip
    if stuck:
        raise InputError(
            f"within names {listed(stuck)}, which {'is no column' if len(stuck) == 1 else 'are no columns'} of numbers "
            "that the model reads with a derivative. Leave it out."
        )


def _said(within: Any, inputs: RowInputs, reach: Floats, grid: Floats) -> str:
    """The bound in words, to follow "changed by"."""
    moves = reach > 0
    cells = "pixel" if not inputs.columns else "cell"
    if within is None:
        shown = moves & (grid > 0)
        if shown.all() or not (moves & ~shown).any():
            return f"less than half a step of each {cells}'s own grid, which rounding would hide"
        if not shown.any():
            return f"{number(UNSEEN * 100)} % of each column's standard deviation"
        return (
            f"less than half a step of each {cells}'s own grid, or {number(UNSEEN * 100)} % of its standard deviation "
            "where it has none"
        )
    if isinstance(within, Mapping):
        named = [f"at most {number(float(value))} in {name}" for name, value in within.items()]
        more = len(named) - LISTED
        return among(named[:LISTED]) + (f" and {count(more, 'more column')}" if more > 0 else "")
    sizes = np.unique(reach[moves])
    if len(sizes) == 1 or np.ndim(within) == 0:
        most = float(within) if np.ndim(within) == 0 else float(sizes[0])
        return f"at most {number(most)} a {cells}"
    return f"at most {number(float(sizes[0]))} to {number(float(sizes[-1]))} a {cells}"
