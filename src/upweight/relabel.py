"""Relabel: for each query and training row, the estimated change of a measurement if the row's label were another.

Stands on display and validation.grade, as Scores; influence makes it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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

__all__ = ["Relabel"]

Refitter = Callable[[Sequence[int], Sequence[int]], NDArray[np.float64]]  # positions, classes -> [r, q] real change
SHOWN = 5


@dataclass(frozen=True, eq=False)
class Relabel:
    """Sign: > 0, the measurement would rise with the other label. A regression: change per unit of the target.

    A row's own label reads exactly 0. Never NaN.
    """

    values: NDArray[np.float64]  # [q, n, c], or [q, n, targets] per unit of the target
    base: NDArray[np.float64]  # [q] the measurement now
    measurement: str
    unit: str
    better: str | None  # which way is good: "lower", "higher", or None
    row_ids: tuple[Any, ...]
    labels: NDArray[Any]
    classes: tuple[Any, ...]  # () for a regression
    codes: NDArray[np.int64]  # [n] class index of each row; [0] for a regression
    predicted: NDArray[np.float64]  # [n, targets] what a regression predicts for its rows: their other label; [n, 0]
    meaning: str
    how: str
    grade: Grade
    rows: Callable[[Sequence[int]], Mapping[str, Sequence[Any]]] = field(repr=False)
    refitter: Refitter | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def top(self, k: int = 10, query: int = 0, kind: str = "both") -> pd.DataFrame:
        """The k rows whose label, if changed, would move query `query` most: row, label, other label, estimate, refit.

        kind: "harmful" (the label as it is does harm: another one would be better here), "helpful", "both"; "raises",
        "lowers" or "both" where no way is good. Each row is shown with its strongest class; a regression's other label
        is what the model predicts for the row. `refit` is a real refit with the other label; None where it found no
        optimum.
        Raises: InputError for a kind or query that there is not.
        """
        at, becomes, estimate = self.ranked(k, query, kind)
        refit = self._refits(at, becomes, query)
        columns: dict[str, Any] = {
            "row": [self.row_ids[i] for i in at],
            "label": [_plain(self.labels[i]) for i in at],
            "other label": [self._other(i, k) for i, k in zip(at, becomes, strict=True)],
            "estimate": estimate,
            "refit": pd.Series(refit, dtype=object) if None in refit else refit,
        }
        for name, column in self.rows(at).items():
            columns[name if name not in columns else f"{name} (column)"] = list(column)
        return pd.DataFrame(columns)

    def ranked(
        self, k: int = 10, query: int = 0, kind: str = "both"
    ) -> tuple[list[int], list[int], NDArray[np.float64]]:
        """Positions, other classes and estimates of the rows of `top`, without refitting them."""
        if not 0 <= query < len(self.values):
            held = count(len(self.values), "query", "queries")
            raise InputError(f"query {query} is not there: these answers hold {held}.")
        changes = self.values[query]
        if not self.classes:
            labels = np.asarray(self.labels, dtype=np.float64).reshape(len(changes), -1)
            changes = np.sum(changes * (self.predicted - labels), axis=1, keepdims=True)
        sign = 0.0 if kind == "both" else self._direction(kind)
        key = np.abs(changes) if kind == "both" else sign * changes
        becomes = np.argmax(key, axis=1)
        best = key[np.arange(len(key)), becomes]
        order = np.argsort(-best, kind="stable")
        order = order[best[order] > 0][:k]
        return [int(i) for i in order], [int(becomes[i]) for i in order], changes[order, becomes[order]]

    def to_frame(self) -> pd.DataFrame:
        """Every estimate as one line: query, row, label, becomes, estimate (a regression: target, per unit of it)."""
        q, n, c = self.values.shape
        names: Sequence[Any] = self.classes or [f"y{t}" for t in range(c)]
        return pd.DataFrame(
            {
                "query": np.repeat(np.arange(q), n * c),
                "row": [self.row_ids[i] for _ in range(q) for i in range(n) for _ in range(c)],
                "label": [_plain(self.labels[i]) for _ in range(q) for i in range(n) for _ in range(c)],
                "becomes" if self.classes else "target": list(names) * (q * n),
                "estimate" if self.classes else "per unit": self.values.reshape(-1),
            }
        )

    def document(self, query: int = 0, k: int = SHOWN) -> Document:
        """What print and a notebook show."""
        at, becomes, estimates = self.ranked(k, query)
        rows = []
        for i, to, estimate, real in zip(at, becomes, estimates, self._refits(at, becomes, query), strict=True):
            said = short(self._effect(real, query)) if self.refitter is not None else "not available"
            now, then = _said(_plain(self.labels[i])), _said(self._other(i, to))
            cells = (now, then, short(self._effect(float(estimate), query)), said)
            rows.append(TableRow(str(self.row_ids[i]), cells, verdict(self._effect(float(estimate), query))))
        table = RowTable(
            f"labels whose change would move query {query} most",
            (Column("label"), Column("other label"), Column("estimate"), Column("refit")),
            tuple(rows),
        )
        q, n, c = self.values.shape
        view = GradeView(self.grade.letter, self.grade.reasons, self.grade.would_raise, self.grade.checked)  # type: ignore[arg-type]
        trust: tuple[Block, ...] = (Reasons(view), Sentence(self.how), *(Sentence(note) for note in self.notes))
        last = count(c, "class", "classes") if self.classes else count(c, "target")
        return Document(
            f"{count(q, 'query', 'queries')} × {count(n, 'row')} × {last}",
            self.meaning,
            sections=(Section("Labels", "labels", (table,)), Section("Trust", "trust", trust)),
        )

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document())

    def _effect(self, change: float | None, query: int) -> Effect:
        better: Any = self.better
        reason = "the refit found no optimum"
        return Effect(change, float(self.base[query]), self.measurement, self.unit, better, reason=reason)

    def _other(self, i: int, k: int) -> Any:
        if self.classes:
            return self.classes[k]
        other = self.predicted[i].tolist()
        return other[0] if len(other) == 1 else other

    def _direction(self, kind: str) -> float:
        kinds = ("raises", "lowers") if self.better is None else ("helpful", "harmful")
        if kind not in kinds:
            raise InputError(f"kind {kind!r} is not one of {listed([*kinds, 'both'])} for {self.measurement!r}.")
        if self.better is None:
            return 1.0 if kind == "raises" else -1.0
        return 1.0 if (kind == "helpful") == (self.better == "lower") else -1.0

    def _refits(self, at: Sequence[int], becomes: Sequence[int], query: int) -> list[float | None]:
        if self.refitter is None or not at:
            return [None] * len(at)
        found = self.refitter(at, becomes)[:, query]
        return [float(x) if np.isfinite(x) else None for x in found]


def _plain(label: Any) -> Any:
    return label.tolist() if isinstance(label, np.ndarray) else label


def _said(label: Any) -> str:
    return number(float(label)) if isinstance(label, float | np.floating) else str(label)
