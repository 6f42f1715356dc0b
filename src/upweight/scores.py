"""Scores: for each query, the estimated change of a measurement if each training row were removed; and how to read it.

Stands on display and validation.grade; influence makes them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.display.blocks import Block, Column, Document, GradeView, Reasons, RowTable, Section, Sentence, TableRow
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import Effect, count, number, short, verdict
from upweight.errors import InputError, listed
from upweight.validation.grade import Grade

__all__ = ["Scores"]

Refitter = Callable[[Sequence[int]], NDArray[np.float64]]  # positions of rows -> [r, q] real change without each
SHOWN = 5


@dataclass(frozen=True, eq=False)
class Scores:
    """Sign: > 0, the measurement would rise without the row. Unit: the measurement's own. Never NaN."""

    values: NDArray[np.float64]  # [q, n]
    base: NDArray[np.float64] | None  # [q] the measurement now
    measurement: str
    unit: str
    better: str | None  # which way is good: "lower", "higher", or None
    row_ids: tuple[Any, ...]
    labels: NDArray[Any]
    meaning: str  # one sentence: change of what, on removal of what, under which refit
    how: str  # one sentence: which solver, removal, precision, and why
    grade: Grade
    rows: Callable[[Sequence[int]], Mapping[str, Sequence[Any]]] = field(repr=False)  # positions -> columns as they are
    refitter: Refitter | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def top(self, k: int = 10, query: int = 0, kind: str = "both") -> pd.DataFrame:
        """The k rows whose removal would change query `query` most: row, estimate, refit, label, the row itself.

        kind: "harmful", "helpful" or "both" (measurements with a good direction); "raises", "lowers" or "both" for the
        rest. What is shown is refitted: `refit` is a real removal, in the same unit as `estimate`; a refit that found
        no optimum is absent (None). Order: by the estimate; ties by row order.
        Raises: InputError for a kind or query that there is not.
        """
        at = self.ranked(k, query, kind)
        refit = self._refits(at, query)
        columns: dict[str, Any] = {
            "row": [self.row_ids[i] for i in at],
            "estimate": self.values[query, at],
            "refit": pd.Series(refit, dtype=object) if None in refit else refit,
            "label": [self.labels[i].tolist() if self.labels.ndim > 1 else self.labels[i] for i in at],
        }
        for name, column in self.rows(at).items():
            columns[name if name not in columns else f"{name} (column)"] = list(column)
        return pd.DataFrame(columns)

    def ranked(self, k: int = 10, query: int = 0, kind: str = "both") -> list[int]:
        """Positions of the rows of `top`, without refitting them."""
        if not 0 <= query < len(self.values):
            raise InputError(
                f"query {query} is not there: these scores hold {count(len(self.values), 'query', 'queries')}."
            )
        value = self.values[query]
        key = -np.abs(value) if kind == "both" else -value * self._direction(kind)
        order = np.argsort(key, kind="stable")
        order = order[key[order] < 0]
        return [int(i) for i in order[:k]]

    def effect(self, change: float | None, query: int = 0) -> Effect:
        """A change of query `query`, ready to be said in words."""
        base = None if self.base is None else float(self.base[query])
        better: Any = self.better
        return Effect(change, base, self.measurement, self.unit, better, reason="the refit found no optimum")

    def graded(self, grade: Grade) -> "Scores":
        """The same scores under another grade: that of a check."""
        return replace(self, grade=grade)

    def document(self, query: int = 0, k: int = SHOWN) -> Document:
        """What print and a notebook show: the rows that matter most for one query, and the grade."""
        at = self.ranked(k, query)
        refits = self._refits(at, query)
        rows = []
        for i, refit in zip(at, refits, strict=True):
            estimate = self.effect(float(self.values[query, i]), query)
            real = self.effect(refit, query) if self.refitter is not None else None
            label = number(float(self.labels[i])) if self.labels.dtype.kind == "f" else str(self.labels[i])
            cells = (label, short(estimate), short(real) if real is not None else "not available")
            rows.append(TableRow(str(self.row_ids[i]), cells, verdict(estimate)))
        table = RowTable(
            f"rows whose removal would change query {query} most",
            (Column("label"), Column("estimate"), Column("refit")),
            tuple(rows),
        )
        q, n = self.values.shape
        view = GradeView(self.grade.letter, self.grade.reasons, self.grade.would_raise, self.grade.checked)  # type: ignore[arg-type]
        trust: tuple[Block, ...] = (Reasons(view), Sentence(self.how), *(Sentence(note) for note in self.notes))
        return Document(
            f"{count(q, 'query', 'queries')} × {count(n, 'row')}",
            self.meaning,
            sections=(Section("Rows", "rows", (table,)), Section("Trust", "trust", trust)),
        )

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document())

    def _direction(self, kind: str) -> float:
        """+1 where rows of this kind have positive scores."""
        kinds = ("raises", "lowers") if self.better is None else ("helpful", "harmful")
        if kind not in kinds:
            raise InputError(f"kind {kind!r} is not one of {listed([*kinds, 'both'])} for {self.measurement!r}.")
        if self.better is None:
            return 1.0 if kind == "raises" else -1.0
        return 1.0 if (kind == "helpful") == (self.better == "lower") else -1.0

    def _refits(self, at: Sequence[int], query: int) -> list[float | None]:
        if self.refitter is None or not at:
            return [None] * len(at)
        found = self.refitter(at)[:, query]
        return [float(x) if np.isfinite(x) else None for x in found]
