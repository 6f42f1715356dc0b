"""The column to predict: which it may be, which rows have it, and whether it is a class or a number.

Stands on errors; infer stands on it.
"""

import difflib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from upweight.errors import InputError, listed

__all__ = ["Task", "in_rows", "labelled", "likely_targets", "require_column", "task_of"]

Task = Literal["classification", "regression"]

_FEW = 20  # whole numbers with at most this many values are classes: digits, ratings, years are on either side
_NAMES = ("label", "target", "class", "y", "outcome", "response", "category", "species", "diagnosis")


def require_column(frame: pd.DataFrame, name: str, role: str = "column") -> None:
    """Raises: InputError that suggests the nearest name and lists the others, if there is no such column."""
    if name in frame.columns:
        return
    names = [str(column) for column in frame.columns]
    lower = {column.lower(): column for column in reversed(names)}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    hint = f" Did you mean {lower[near[0]]!r}?" if near else ""
    raise InputError(f"there is no {role} {name!r}.{hint} The columns are {listed(names, at_most=20)}.")


def in_rows(index: pd.Index) -> str:
    """Rows for people: `3 rows (17, 204, 9031)`."""
    return f"{len(index):,} {'row' if len(index) == 1 else 'rows'} ({listed(list(index))})"


def labelled(frame: pd.DataFrame, target: str) -> tuple[pd.DataFrame, str | None]:
    """The rows that have a value to learn from, under their own row numbers, and a sentence on those left out.

    Raises: InputError if there is no such column, if it is empty, or if a value in it is infinite.
    """
    require_column(frame, target, "target")
    y = frame[target]
    missing = y.isna().to_numpy()
    if missing.all():
        raise InputError(f"column {target!r} is empty in all {len(y):,} rows: there is nothing to learn from.")
    if pd.api.types.is_float_dtype(y):
        infinite = np.isinf(y.to_numpy(dtype=float, na_value=np.nan))
        if infinite.any():
            where = in_rows(frame.index[infinite])
            raise InputError(f"column {target!r} is infinite in {where}. Correct it, or delete what cannot be.")
    if not missing.any():
        return frame, None
    rows = frame[~missing]
    rows = rows.assign(**{target: _as_if_whole(rows[target])})
    return rows, f"left out for want of a {target!r}: {in_rows(frame.index[missing])}"


def task_of(frame: pd.DataFrame, target: str, task: Task | None = None) -> tuple[Task, str | None]:
    """Whether the target is a class or a number, with a sentence on classes of a single row.

    frame: rows that have a target; task: what the user says it is, else it is inferred.
    Raises: InputError if all values are the same, or if there are too many classes to learn.
    """
    y = frame[target]
    counts = y.value_counts()
    counts = counts[counts > 0]  # a categorical column also counts what it could hold
    if len(counts) < 2:
        raise InputError(
            f"column {target!r} holds one value ({listed(list(counts.index))}) in all {len(y):,} rows: "
            "there is nothing to tell apart. Choose another --target, or add rows of another class."
        )
    numeric = pd.api.types.is_numeric_dtype(y) and not pd.api.types.is_bool_dtype(y)
    if task is None:
        task = "regression" if numeric and not _few_whole_numbers(y, len(counts)) else "classification"
    if task == "regression":
        if not numeric:
            bad = y[pd.to_numeric(y, errors="coerce").isna()]
            where = f"{str(bad.iloc[0])!r} in row {bad.index[0]}" if len(bad) else f"{y.dtype} values"
            raise InputError(f"column {target!r} is not a number ({where}), so no regression can be fitted to it.")
        return "regression", None
    if 2 * len(counts) > len(y):
        raise InputError(
            f"column {target!r} has {len(counts):,} different values in {len(y):,} rows: too many to be classes. "
            "Choose another --target; numbers can be predicted, names cannot."
        )
    single = list(counts.index[counts == 1])
    if not single:
        return "classification", None
    classes = (
        f"class {listed(single)} has a single row"
        if len(single) == 1
        else (f"{len(single):,} classes have a single row each ({listed(single)})")
    )
    return "classification", f"{classes}, which cannot be learnt from and held out at once"


def likely_targets(frame: pd.DataFrame) -> list[str]:
    """Up to five columns that people would want to predict, the likeliest first: by name, by place, by values."""
    usable = [name for name in frame.columns if _could_be_target(frame[name])]
    named = [name for known in _NAMES for name in usable if str(name).lower() == known]
    at_ends: Sequence[str] = [frame.columns[-1], frame.columns[0]]
    by_place = [name for name in at_ends if name in usable and _is_class(frame[name])]
    few = [name for name in usable if _is_class(frame[name])]
    last = [name for name in at_ends[:1] if name in usable]
    return [str(name) for name in dict.fromkeys([*named, *by_place, *few, *last])][:5]


def _as_if_whole(y: pd.Series) -> pd.Series:
    """The type that the column would have had without its empty cells: whole numbers and booleans again."""
    if pd.api.types.is_float_dtype(y) and (y % 1 == 0).all():
        return y.astype("int64")
    return y.infer_objects()


def _few_whole_numbers(y: pd.Series, distinct: int) -> bool:
    if distinct == 2:
        return True
    return distinct <= _FEW and 2 * distinct <= len(y) and bool((y % 1 == 0).all())


def _could_be_target(column: pd.Series) -> bool:
    y = column.dropna()
    try:
        distinct = y.nunique()
    except TypeError:  # lists and the like
        return False
    numeric = pd.api.types.is_numeric_dtype(y)
    return distinct >= 2 and (numeric or 2 * distinct <= len(y))


def _is_class(column: pd.Series) -> bool:
    y = column.dropna()
    numeric = pd.api.types.is_numeric_dtype(y) and not pd.api.types.is_bool_dtype(y)
    return y.nunique() <= _FEW and (not numeric or _few_whole_numbers(y, y.nunique()))
