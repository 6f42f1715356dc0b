"""What each column of a table is: a number, a category, a text, a date, or nothing to learn from.

Stands on target and kinds; the default model and the commands stand on it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from upweight.errors import InputError, listed
from upweight.tables.kinds import DateFormat, is_counter, kind_of, nearly_numeric
from upweight.tables.target import Task, in_rows, labelled, likely_targets, require_column, task_of

__all__ = ["Columns", "infer", "labelled", "likely_targets"]

THE_ID, THE_GROUP = "the id", "the group"  # why a column that the user named is not learnt from


@dataclass(frozen=True)
class Columns:
    """Which columns the model reads and as what, by name; `ignored` gives the reason for each of the others."""

    target: str
    task: Task
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    date: Mapping[str, DateFormat] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that the model reads, in the order in which `prepare` returns them."""
        return (*self.numeric, *self.date, *self.categorical, *self.text)

    @property
    def summary(self) -> str:
        """One line: `5 numeric, 2 categories, 1 text; ignored: id (all different)`."""
        counts = (
            (len(self.numeric), "numeric", "numeric"),
            (len(self.categorical), "category", "categories"),
            (len(self.text), "text", "texts"),
            (len(self.date), "date", "dates"),
        )
        read = ", ".join(f"{n:,} {one if n == 1 else many}" for n, one, many in counts if n)
        if not self.ignored:
            return read
        shown = [f"{name} ({reason})" for name, reason in list(self.ignored.items())[:3]]
        more = len(self.ignored) - len(shown)
        return f"{read}; ignored: {', '.join(shown)}" + (f" and {more:,} more" if more else "")


def infer(
    frame: pd.DataFrame,
    target: str,
    id_column: str | None = None,
    task: Task | None = None,
    group_column: str | None = None,
) -> Columns:
    """What each column is, from its values.

    Numbers stay numbers however few values they take; only strings and booleans become categories. Rows without a
    target are not looked at. group_column: what keeps rows together is not learnt from.
    Raises: InputError, which names the column and the rows.
    """
    require_column(frame, target, "target")
    if id_column == target:
        raise InputError(f"column {target!r} is given both as --target and as --id. Name two columns.")
    if id_column is not None:
        _require_ids(frame, id_column)
    rows, _ = labelled(frame, target)
    task, single = task_of(rows, target, task)
    kinds: dict[str, list[str]] = {"numeric": [], "categorical": [], "text": []}
    dates: dict[str, DateFormat] = {}
    ignored: dict[str, str] = {}
    for name in frame.columns:
        if name == target:
            continue
        if name in (id_column, group_column):
            ignored[name] = THE_ID if name == id_column else THE_GROUP
            continue
        kind, detail = kind_of(rows[name])
        if isinstance(detail, DateFormat):
            dates[name] = detail
        elif kind == "ignored":
            ignored[name] = str(detail)
        else:
            kinds[kind].append(name)
    if not any(kinds.values()) and not dates:  # then a column that counts the rows is better than nothing
        kinds["numeric"] = [n for n in ignored if n not in (id_column, group_column) and is_counter(rows[n])]
        ignored = {name: why for name, why in ignored.items() if name not in kinds["numeric"]}
    if not any(kinds.values()) and not dates:
        reasons = ", ".join(f"{name} ({reason})" for name, reason in list(ignored.items())[:5])
        raise InputError(f"no column is left to predict {target!r} from: {reasons or 'the table has no other'}.")
    _require_finite(rows, kinds["numeric"])
    used = [*kinds["numeric"], *dates, *kinds["categorical"], *kinds["text"]]
    notes = [single, *_on_ignored(ignored), *_on_dates(dates), *_on_typos(rows, kinds["categorical"])]
    notes.append(_on_missing(rows, used))
    return Columns(
        target,
        task,
        tuple(kinds["numeric"]),
        tuple(kinds["categorical"]),
        tuple(kinds["text"]),
        dates,
        ignored,
        tuple(note for note in notes if note),
    )


def _require_ids(frame: pd.DataFrame, id_column: str) -> None:
    require_column(frame, id_column, "id column")
    ids = frame[id_column]
    if ids.isna().any():
        where = in_rows(frame.index[ids.isna()])
        raise InputError(f"id column {id_column!r} is empty in {where}. Fill it in, or leave --id out.")
    again = ids[ids.duplicated(keep=False)]
    if len(again):
        rows = list(frame.index[ids == again.iloc[0]])
        raise InputError(
            f"id column {id_column!r} holds {again.nunique():,} ids more than once ({listed(list(again.unique()))}; "
            f"the first in rows {listed(rows)}). An id must name one row: correct them, or leave --id out."
        )


def _require_finite(rows: pd.DataFrame, names: list[str]) -> None:
    faults = []
    for name in names:
        infinite = np.isinf(rows[name].to_numpy(dtype=float, na_value=np.nan))
        if infinite.any():
            faults.append(f"column {name!r} is infinite in {in_rows(rows.index[infinite])}")
    if faults:
        more = f"; and {len(faults) - 3:,} more columns" if len(faults) > 3 else ""
        raise InputError("; ".join(faults[:3]) + more + ". Correct them, or leave these cells empty.")


def _on_ignored(ignored: Mapping[str, str]) -> list[str]:
    notes = []
    for reason, count in Counter(ignored.values()).items():
        if reason not in (THE_ID, THE_GROUP):
            names = [name for name, why in ignored.items() if why == reason]
            notes.append(f"{'column' if count == 1 else 'columns'} {listed(names)} left out: {reason}")
    return notes


def _on_dates(dates: Mapping[str, DateFormat]) -> list[str]:
    return [
        f"dates in {name!r} are read as {how.words} and used as days since {how.earliest[:10]}"
        for name, how in dates.items()
    ]


def _on_typos(rows: pd.DataFrame, names: list[str]) -> list[str]:
    notes = []
    for name in names:
        bad = nearly_numeric(rows[name])
        if len(bad):
            values = listed(list(bad.astype(str).unique()))
            notes.append(
                f"column {name!r} is nearly all numbers but is read as categories because of {values} "
                f"in {in_rows(bad.index)}"
            )
    return notes


def _on_missing(rows: pd.DataFrame, names: list[str]) -> str | None:
    counts = rows[names].isna().sum()
    counts = counts[counts > 0]
    if not len(counts):
        return None
    cells, where = int(counts.sum()), listed(list(counts.index))
    said = f"{cells:,} missing values" if cells > 1 else "1 missing value"
    return f"{said} in {where}: numbers get the column's median, categories one called 'missing', texts none"
