"""The slices of a training table that a person could name: a value, a range, a time, a word, the label.

Stands on tables; in_common stands on it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from upweight.display.numbers import digits, minus
from upweight.display.row_view import pixels
from upweight.tables.kinds import SPACELESS, DateFormat, kind_of, parse_dates

__all__ = ["Slice", "Slices", "slices_of"]

COLUMNS = 500  # past which a table's columns are a representation, not what a person calls a column
ROWS_READ = 20_000  # rows that are read one by one where they are no table
FEW_VALUES = 10  # of a number: each is a slice of its own
TEXT = 2000  # characters of a text that are read
MONTHS = 120

_CUTS = (0.1, 0.25, 0.5, 0.75, 0.9)
_RANGES = ((0, 1), (0, 2), (0, 3), (2, 3), (3, 4), (3, 6), (4, 6), (5, 6))  # between cuts; 0 and 6 are the ends

Mask = NDArray[np.bool_]
Block = tuple[list["Slice"], sp.csc_matrix]  # slices and which rows lie in them [n, …]


@dataclass(frozen=True)
class Slice:
    """Rows that are alike in one column: `words` as in "have loop = open"; kind: value, range, dates, word, label."""

    column: str
    kind: str
    words: str


@dataclass(frozen=True)
class Slices:
    """`member` [n, m]: which rows lie in which slice; `classes` [n]: their label's number, where labels are classes."""

    slices: tuple[Slice, ...]
    member: sp.csr_matrix
    classes: NDArray[np.int64] | None


def slices_of(rows: Any, labels: Any, target: str, classes: bool) -> Slices:
    """The slices of a training table: its columns as they are, and the label.

    rows: a DataFrame, a Series of texts, an array [n, d], or a function of positions; labels [n] (several targets have
    no slices). Pictures, and tables of more than COLUMNS columns, have the label's slices only.
    """
    y = np.asarray(labels)
    found: list[Block] = []
    if y.ndim == 1:
        column = pd.Series(y, name=target)
        if classes:
            found.append(_values(column, "label"))
        elif kind_of(column)[0] == "numeric":
            found.append(_numbers(column, "label"))
    table = _table(rows, len(y))
    for at in range(0 if table is None else table.shape[1]):
        found += _of_column(table.iloc[:, at].reset_index(drop=True))  # type: ignore[union-attr]
    parts = [member for _, member in found]
    member = sp.csr_matrix(sp.hstack(parts, "csr") if parts else sp.csr_matrix((len(y), 0)), dtype=np.int64)
    codes = np.unique(y.astype(str), return_inverse=True)[1].astype(np.int64) if classes and y.ndim == 1 else None
    return Slices(tuple(one for some, _ in found for one in some), member, codes)


def _table(rows: Any, n: int) -> pd.DataFrame | None:
    """The rows as a table of columns; None for what has no columns that a person could name."""
    if callable(rows):
        if n > ROWS_READ or len(rows([0])[0]) > COLUMNS or pixels(rows([0])[0]) is not None:
            return None
        return pd.DataFrame(rows(range(n)))
    if isinstance(rows, pd.Series):
        rows = rows.to_frame(rows.name if rows.name is not None else "text")
    elif isinstance(rows, list | tuple) and rows and isinstance(rows[0], str):
        rows = pd.DataFrame({"text": list(rows)})
    elif isinstance(rows, np.ndarray) and rows.ndim == 2:
        rows = pd.DataFrame(rows, columns=[f"x{j}" for j in range(rows.shape[1])])
    if not isinstance(rows, pd.DataFrame) or len(rows) != n or rows.shape[1] > COLUMNS:
        return None
    return None if n == 0 or pixels(rows.iloc[0]) is not None else rows


def _of_column(column: pd.Series) -> Iterator[Block]:
    kind, how = kind_of(column)
    if kind == "ignored" and how != "constant":
        return
    name = str(column.name)
    empty = column.isna().to_numpy()
    if empty.any() and not empty.all():
        yield _block([(Slice(name, "value", f"{name} empty"), empty)], len(empty))
    if kind == "categorical":
        yield _values(column)
    elif kind == "numeric":
        yield _numbers(column)
    elif kind == "date" and isinstance(how, DateFormat):
        yield from _dates(column, how)
    elif kind == "text":
        yield from _words(column)


def _values(column: pd.Series, kind: str = "value") -> Block:
    codes, values = pd.factorize(column)
    return [Slice(str(column.name), kind, f"{column.name} = {_said(v)}") for v in values], _one_hot(codes, len(values))


def _numbers(column: pd.Series, kind: str = "range") -> Block:
    if column.nunique() <= FEW_VALUES:
        return _values(column, kind if kind == "label" else "value")
    found = []
    for low, high, mask in _ranges(column.to_numpy(dtype=float, na_value=np.nan)):
        words = _between(None if low is None else _said(low), None if high is None else _said(high))
        found.append((Slice(str(column.name), kind, f"{column.name} {words}"), mask))
    return _block(found, len(column))


def _dates(column: pd.Series, how: DateFormat) -> Iterator[Block]:
    name = str(column.name)
    dates = parse_dates(column, how.format)
    seconds = np.where(dates.isna(), np.nan, dates.to_numpy().astype("datetime64[s]").astype(np.int64).astype(float))

    def day(at: float | None) -> str | None:
        return None if at is None else str(pd.Timestamp(at, unit="s"))[:10]

    found = [
        (Slice(name, "dates", f"{name} {_between(day(low), day(high))}"), mask) for low, high, mask in _ranges(seconds)
    ]
    yield _block(found, len(column))
    for unit, span in (("Y", "year"), ("M", "month")):
        codes, periods = pd.factorize(dates.dt.to_period(unit))
        if 1 < len(periods) <= MONTHS:
            slices = [Slice(name, "dates", f"{name} in the {span} {period}") for period in periods]
            yield slices, _one_hot(codes, len(periods))


def _words(column: pd.Series) -> Iterator[Block]:
    from sklearn.feature_extraction.text import CountVectorizer

    texts = column.astype("object").where(column.notna(), "").astype(str).str.slice(0, TEXT)
    if texts.str.contains(SPACELESS, regex=True).mean() > 0.5:
        return
    words = CountVectorizer(binary=True)
    try:
        member = words.fit_transform(texts)
    except ValueError:  # not one word
        return
    names = words.get_feature_names_out()
    several = np.flatnonzero(np.asarray(member.sum(axis=0)).ravel() > 1)
    slices = [Slice(str(column.name), "word", f"the word {names[j]!r} in {column.name}") for j in several]
    yield slices, sp.csc_matrix(member[:, several])


def _ranges(x: NDArray[np.float64]) -> Iterator[tuple[float | None, float | None, Mask]]:
    """Least and greatest value (None: an end that is open) and the rows, each set of rows once."""
    known = x[np.isfinite(x)]
    cuts = [-np.inf, *np.quantile(known, _CUTS, method="inverted_cdf"), np.inf]
    seen: set[bytes] = set()
    for a, b in _RANGES:
        mask = (x > cuts[a]) & (x <= cuts[b])
        inside = x[mask & np.isfinite(x)]
        if not 0 < len(inside) < len(known) or mask.tobytes() in seen:
            continue
        seen.add(mask.tobytes())
        yield None if a == 0 else float(inside.min()), None if b == len(cuts) - 1 else float(inside.max()), mask


def _between(low: str | None, high: str | None) -> str:
    if low is None or high is None:
        return f"at most {high}" if low is None else f"at least {low}"
    return f"= {low}" if low == high else f"from {low} to {high}"


def _said(value: Any) -> str:
    """A value as a reader writes it; a whole number with all of its digits."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return str(value)
    x = float(value)
    return minus(digits(x, 15 if x.is_integer() else 4))


def _one_hot(codes: NDArray[Any], values: int) -> sp.csc_matrix:
    """[n, values]; a code below 0 is an empty cell."""
    rows = np.flatnonzero(codes >= 0)
    return sp.csc_matrix((np.ones(len(rows)), (rows, codes[rows])), shape=(len(codes), values))


def _block(found: Sequence[tuple[Slice, Mask]], n: int) -> Block:
    masks = [mask for _, mask in found]
    return [slice_ for slice_, _ in found], sp.csc_matrix(np.stack(masks, axis=1) if masks else np.zeros((n, 0)))
