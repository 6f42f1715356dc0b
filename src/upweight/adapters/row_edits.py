"""A training row with one cell changed: each other category of a column, each word out of a text, as new tables.

Stands on column_map, which says how a column reaches the model; questions.features asks.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from upweight.adapters.column_routes import Reach
from upweight.adapters.inputs import take_rows

__all__ = ["Edit", "cell", "cells", "edited", "other_values", "without_words"]

MOST_VALUES = 50  # categories of a column that are tried: the most frequent
MOST_WORDS = 1000  # of a text
ANY_WORD = r"(?u)\b\w+\b"


@dataclass(frozen=True)
class Edit:
    """Cell `column` of a row becomes `value`; `said` is how that is shown: the category, or the word that goes."""

    column: int
    value: Any
    said: Any
    kind: str  # "category" or "word"


def cell(x: Any, i: int, j: int) -> Any:
    """What stands in row i, column j of any kind of table; a text where a row is one."""
    if hasattr(x, "iloc"):
        return x.iloc[i, j] if len(x.shape) == 2 else x.iloc[i]
    if sp.issparse(x):
        return x[i, j]
    row = x[i]
    return row if isinstance(row, str | bytes) or not hasattr(row, "__len__") else row[j]


def cells(x: Any, i: int) -> tuple[Any, ...]:
    """Row i of any kind of table, in Python's own types."""
    if isinstance(x, pd.DataFrame):
        return tuple(x.iloc[[i]].astype(object).to_numpy()[0].tolist())
    if isinstance(x, pd.Series):
        return (x.iloc[i],)
    row = x[[i]].toarray()[0] if sp.issparse(x) else x[i]
    if isinstance(row, str | bytes) or not hasattr(row, "__len__"):
        return (row,)
    return tuple(np.asarray(row, dtype=None if hasattr(row, "dtype") else object).tolist())


def other_values(x: Any, i: int, j: int) -> list[Edit]:
    """What else stands in column j of the training rows: the most frequent values, spread over many numbers."""
    column = pd.Series(_column(x, j))
    now, counts = cell(x, i, j), column.value_counts(dropna=True, sort=True)
    values = [value for value, times in counts.items() if times > 0 and not _same(value, now)]
    if all(isinstance(value, int | float | np.number) for value in values):
        order: list[Any] = sorted(values, key=float)
        values = [order[int(k)] for k in np.linspace(0, len(order) - 1, min(len(order), MOST_VALUES))]
    return [Edit(j, value, value, "category") for value in values[:MOST_VALUES]]


def without_words(text: Any, j: int, reach: Reach) -> list[Edit]:
    """The text without each of its words, as the vectorizer cuts it into words; all of a word's places at once."""
    if not isinstance(text, str):
        return []
    reader = reach.reader
    plain = reader.analyzer == "word" and reader.tokenizer is None and reader.token_pattern
    pattern = re.compile(reader.token_pattern if plain else ANY_WORD)
    prepare, spans = reader.build_preprocessor(), dict[str, list[tuple[int, int]]]()
    for match in pattern.finditer(text):
        group = min(1, pattern.groups)
        spans.setdefault(prepare(match.group(group)), []).append(match.span(group))
    return [Edit(j, _cut(text, where), word, "word") for word, where in list(spans.items())[:MOST_WORDS]]


def edited(x: Any, i: int, edits: Sequence[Edit]) -> Any:
    """Row i once for each edit, as a table of the user's own kind."""
    at = np.full(len(edits), i)
    if isinstance(x, pd.DataFrame):
        frame = x.iloc[at].copy()
        for j in {edit.column for edit in edits}:
            values = [edit.value if edit.column == j else x.iloc[i, j] for edit in edits]
            frame.isetitem(j, pd.Series(values, dtype=x.dtypes.iloc[j]).array)
        return frame
    if isinstance(x, pd.Series):
        return pd.Series([edit.value for edit in edits], name=x.name, dtype=x.dtype)
    if len(getattr(x, "shape", ())) == 2:
        copies = take_rows(x, at)
        copies = copies.toarray() if sp.issparse(x) else np.array(copies)
        for k, edit in enumerate(edits):
            copies[k, edit.column] = edit.value
        return sp.csr_array(copies) if sp.issparse(x) else copies
    rows = []
    for edit in edits:
        row = x[i] if isinstance(x[i], str) else list(x[i])
        if isinstance(row, str):
            row = edit.value
        else:
            row[edit.column] = edit.value
        rows.append(row)
    return np.array(rows, dtype=object) if hasattr(x, "shape") else rows


def _cut(text: str, spans: Sequence[tuple[int, int]]) -> str:
    kept, last = [], 0
    for start, stop in spans:
        kept.append(text[last:start])
        last = stop
    return "".join([*kept, text[last:]])


def _column(x: Any, j: int) -> Any:
    if isinstance(x, pd.DataFrame):
        return x.iloc[:, j].to_numpy(dtype=object)
    if sp.issparse(x):
        return x[:, [j]].toarray()[:, 0]
    return np.asarray(x, dtype=object)[:, j] if isinstance(x, list) else np.asarray(x)[:, j]


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) if type(a) is type(b) or (np.isscalar(a) and np.isscalar(b)) else False
