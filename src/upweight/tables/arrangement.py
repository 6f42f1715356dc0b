"""What keeps rows of a table together (a group: a patient, a user, a document) and in order (a time).

Stands on infer's kinds; parts and folds stand on it, and with them everything that is held out.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.errors import InputError, listed
from upweight.tables.kinds import DateFormat, kind_of, parse_dates
from upweight.tables.target import in_rows, require_column

__all__ = ["Arrangement", "arranged"]

Positions = NDArray[np.int64]

_BIRTH = re.compile(r"birth|born|dob\b|geburt", re.IGNORECASE)  # says how old somebody is, not when a row was made


@dataclass(frozen=True, eq=False)
class Arrangement:
    """`groups` [n]: a code for each row, −1 where its cell is empty; `times` [n]: what rows are sorted by.

    None: nothing keeps rows together, or in order. time_asked: by name, not found among the columns.
    """

    group_column: str | None = None
    groups: Positions | None = None
    time_column: str | None = None
    times: NDArray[np.float64] | None = None
    time_asked: bool = False
    notes: tuple[str, ...] = ()

    def take(self, at: Sequence[int] | Positions) -> "Arrangement":
        """Of these rows."""
        rows = np.asarray(at, dtype=np.int64)
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, groups=groups, times=None if self.times is None else self.times[rows])

    def companions(self, at: Sequence[int] | Positions) -> Positions:
        """These rows and all others of their groups, ascending."""
        rows = np.unique(np.asarray(at, dtype=np.int64))
        if self.groups is None:
            return rows
        own = self.groups[rows]
        return np.union1d(rows, np.flatnonzero(np.isin(self.groups, own[own >= 0]))).astype(np.int64)

    def without_time(self) -> "Arrangement":
        """The same, in no order."""
        return replace(self, time_column=None, times=None, time_asked=False)


def arranged(
    frame: pd.DataFrame,
    target: str,
    group: str | None = None,
    time: str | None = None,
    dates: Mapping[str, DateFormat] | None = None,
) -> Arrangement:
    """The rows of `frame` by these columns; without `time`, by the one column of dates if there is one.

    dates: the columns of dates, where they are known already. Rows without a target may lack either.
    Raises: InputError that names the column and the rows that lack a value, or a column that arranges nothing.
    """
    known = frame[target].notna().to_numpy()
    notes: list[str] = []
    groups = None if group is None else _groups(frame, group, target, known, notes)
    if time is not None:
        if time in (target, group):
            role = "--target" if time == target else "--group"
            raise InputError(f"column {time!r} is given both as {role} and as --time. Name two columns.")
        return Arrangement(group, groups, time, _times(frame, time, known), True, tuple(notes))
    others = [name for name in frame.columns if name not in (target, group)]
    found = _dates_in(frame[known], others) if dates is None else {n: how for n, how in dates.items() if n in others}
    name = _order_of(frame[known], found, notes)
    if name is None:
        return Arrangement(group, groups, notes=tuple(notes))
    return Arrangement(group, groups, name, _seconds(frame[name], found[name]), False, tuple(notes))


def _groups(
    frame: pd.DataFrame, name: str, target: str, known: NDArray[np.bool_], notes: list[str]
) -> Positions | None:
    require_column(frame, name, "group column")
    if name == target:
        raise InputError(f"column {name!r} is given both as --target and as --group. Name two columns.")
    cells = frame[name]
    empty = cells.isna().to_numpy() & known
    if empty.any():
        raise InputError(
            f"group column {name!r} is empty in {in_rows(frame.index[empty])}: which rows belong with them? "
            "Fill it in, or delete these rows."
        )
    try:
        codes, values = pd.factorize(cells)
    except TypeError as error:
        kind = type(cells.iloc[0]).__name__
        raise InputError(f"group column {name!r} holds {kind}s. Name a column of plain values.") from error
    count = len(np.unique(codes[known]))
    if count < 2:
        raise InputError(
            f"group column {name!r} holds one value in all {int(known.sum()):,} rows, so nothing could be held out. "
            "Leave --group out, or name a column with several values."
        )
    if len(values) == int((codes >= 0).sum()):
        notes.append(f"every row has a {name!r} of its own, so it keeps no rows together")
        return None
    return codes.astype(np.int64)


def _times(frame: pd.DataFrame, name: str, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    require_column(frame, name, "time column")
    cells = frame[name]
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        times = cells.to_numpy(dtype=float, na_value=np.nan)
    else:
        _, how = kind_of(cells[known])
        if not isinstance(how, DateFormat) and cells[known].nunique() > 1:
            bad = cells[known & cells.notna().to_numpy()]
            raise InputError(
                f"time column {name!r} holds no numbers and no dates ({str(bad.iloc[0])!r} in row {bad.index[0]}), so "
                "it gives the rows no order. Name a column of either."
            )
        times = np.zeros(len(cells)) if not isinstance(how, DateFormat) else _seconds(cells, how)
        times = np.where(cells.isna().to_numpy(), np.nan, times)
    bad_rows = ~np.isfinite(times) & known
    if bad_rows.any():
        raise InputError(
            f"time column {name!r} has no time in {in_rows(frame.index[bad_rows])}: are they early or late? "
            "Fill it in, or delete these rows."
        )
    if len(np.unique(times[known])) < 2:
        raise InputError(
            f"time column {name!r} holds one time in all {int(known.sum()):,} rows, so none is later than another. "
            "Leave --time out, or name a column with several."
        )
    return times


def _seconds(cells: pd.Series, how: DateFormat) -> NDArray[np.float64]:
    """Since the earliest date; NaN where there is none."""
    dates = parse_dates(cells, how.format)
    since = (dates - pd.Timestamp(how.earliest)).dt.total_seconds()
    return np.asarray(since.to_numpy(dtype=float, na_value=np.nan), dtype=np.float64)


def _dates_in(rows: pd.DataFrame, names: Sequence[str]) -> dict[str, DateFormat]:
    """The columns of dates; numbers are none."""
    found = {}
    for name in names:
        if not pd.api.types.is_numeric_dtype(rows[name]):
            _, how = kind_of(rows[name])
            if isinstance(how, DateFormat):
                found[name] = how
    return found


def _order_of(rows: pd.DataFrame, found: Mapping[str, DateFormat], notes: list[str]) -> str | None:
    """The column of dates that orders the rows; of several the one by which the file is sorted."""
    dated = [name for name in found if not _BIRTH.search(str(name))]
    full = [name for name in dated if rows[name].notna().all()]
    if len(full) > 1:
        in_order = [name for name in full if _sorted(_seconds(rows[name], found[name]))]
        full = in_order if len(in_order) == 1 else full
    if len(full) == 1:
        return full[0]
    if len(full) > 1:
        notes.append(f"columns {listed(full)} hold dates; --time names the one that orders the rows (none does now)")
    elif dated:
        gaps = rows.index[rows[dated[0]].isna()]
        notes.append(f"column {dated[0]!r} is empty in {in_rows(gaps)}, so its dates do not order the rows")
    return None


def _sorted(times: NDArray[np.float64]) -> bool:
    steps = np.diff(times)
    return bool((steps >= 0).all() or (steps <= 0).all())
