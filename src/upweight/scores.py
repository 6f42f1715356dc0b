"""Scores: for each query, the estimated change of a measurement if each training row were removed; and how to read it.

Stands on display, saved_scores and validation.grade; influence makes them.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.display.blocks import (
    Block,
    Column,
    Document,
    GradeView,
    Point,
    Reasons,
    RowTable,
    Scatter,
    Section,
    Sentence,
    TableRow,
)
from upweight.display.figures import Sides, draw_influence
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import Effect, count, measured, number, short, verdict
from upweight.errors import InputError, listed
from upweight.saved_scores import KEPT_ROWS, Distance, Rows, foremost, read_scores, write_scores
from upweight.validation.grade import Grade

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Distance", "Scores"]

Refitter = Callable[[Sequence[int]], NDArray[np.float64]]  # positions of rows -> [r, q] real change without each
SHOWN = 5
STRONGEST, OTHERS = 200, 100  # rows in the picture of a notebook
RANK = "rank of the row, the largest effect first"


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
    rows: Rows = field(repr=False)  # positions -> columns as they are
    refitter: Refitter | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    distance: Distance | None = field(default=None, repr=False)  # None: no query, or not known
    no_refit: str = "these scores hold no model to refit"  # why, where refitter is None

    def top(self, k: int = 10, query: int = 0, kind: str = "both") -> pd.DataFrame:
        """The k rows whose removal would change query `query` most: row, estimate, refit, label, the row itself.

        kind: "harmful", "helpful" or "both" (measurements with a good direction); "raises", "lowers" or "both" for the
        rest. What is shown is refitted: `refit` is a real removal, in the same unit as `estimate`; a refit that found
        no optimum is absent (None), and after `load` so is the column, with the reason in `attrs["refit"]`. Order: by
        the estimate; ties by row order.
        Raises: InputError for a kind or query that there is not.
        """
        at = self.ranked(k, query, kind)
        refit = self._refits(at, query)
        columns: dict[str, Any] = {
            "row": [self.row_ids[i] for i in at],
            "estimate": self.values[query, at],
            "refit": pd.Series(refit, dtype=object) if None in refit else refit,
            "label": self._labels(at),
        }
        if self.refitter is None:
            del columns["refit"]
        for name, column in self.rows(at).items():
            columns[name if name not in columns else f"{name} (column)"] = list(column)
        frame = pd.DataFrame(columns)
        if self.refitter is None:
            frame.attrs["refit"] = self.no_refit
        return frame

    def to_frame(self) -> pd.DataFrame:
        """One line for each query and row: query (its position), row (its id), estimate, label; q · n lines.

        Estimates only, in the order of queries and rows; `attrs` holds measurement, unit, meaning and grade.
        """
        q, n = self.values.shape
        rows = pd.DataFrame({"row": pd.Series(list(self.row_ids)), "label": self._labels(range(n))})
        frame = rows.iloc[np.tile(np.arange(n), q)].reset_index(drop=True)
        frame.insert(0, "query", np.repeat(np.arange(q), n))
        frame.insert(2, "estimate", self.values.ravel())
        said = {"measurement": self.measurement, "unit": self.unit, "meaning": self.meaning}
        frame.attrs.update(said, grade=self.grade.letter)
        return frame

    def plot(self, ax: Any = None, query: int = 0) -> "Axes":
        """Each row's score over its distance to query `query`, ▲ and ▼ by its sign; returns matplotlib's axes.

        ax: axes to draw on; None: new ones. Where there is no query, or no distance, over the rank of the row.
        Raises: MissingExtra without matplotlib; InputError for a query that there is not.
        """
        self._require(query)
        apart = self.distance
        of = f"query {query} · " if self.base is not None and len(self.values) > 1 else ""
        return draw_influence(
            ax,
            None if apart is None else apart.to(query),
            self.values[query],
            self._sides,
            RANK if apart is None else apart.label,
            f"change of {measured(self.measurement)} without the row ({self.unit})",
            f"{of}{count(self.values.shape[1], 'row')} · grade {self.grade.letter}",
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything but the model into one file, whole or not at all: no pickle, no code.

        Of the rows as they are, the 1,000 that stand first in some query's lists are stored, and `notes` says so.
        Raises: FileError where the file cannot be written, or holds ids or labels that would not come back the same.
        """
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        write_scores(path, held, foremost(self.values, KEPT_ROWS))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Scores":
        """Scores as `save` wrote them: the same numbers, words and grade; `refit` is absent, and `no_refit` says why.

        Raises: FileError for a file that is damaged, cut short, not one of ours, or written by a newer version.
        """
        return cls(**read_scores(path))

    def ranked(self, k: int = 10, query: int = 0, kind: str = "both") -> list[int]:
        """Positions of the rows of `top`, without refitting them."""
        self._require(query)
        value = self.values[query]
        key = -np.abs(value) if kind == "both" else -value * self._direction(kind)
        order = np.argsort(key, kind="stable")
        order = order[key[order] < 0]
        return [int(i) for i in order[:k]]

    def refits(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        """[q, r]: the real change without each of these rows (ids) alone; NaN where a refit found no optimum.

        Raises: InputError for ids that there are not, and where these scores hold no model to refit.
        """
        if self.refitter is None:
            raise InputError(f"there is nothing to refit: {self.no_refit}.")
        place = {row: i for i, row in enumerate(self.row_ids)}
        unknown = [row for row in rows if row not in place]
        if unknown:
            raise InputError(f"no training row has the id {listed(unknown)}. Ids are {listed(self.row_ids)}.")
        found = self.refitter([place[row] for row in rows]) if len(rows) else np.zeros((0, len(self.values)))
        return np.ascontiguousarray(found.T)

    def effect(self, change: float | None, query: int = 0) -> Effect:
        """A change of query `query`, ready to be said in words."""
        base = None if self.base is None else float(self.base[query])
        better: Any = self.better
        return Effect(change, base, self.measurement, self.unit, better, reason="the refit found no optimum")

    def graded(self, grade: Grade) -> "Scores":
        """The same scores under another grade: that of a check."""
        return replace(self, grade=grade)

    def document(self, query: int = 0, k: int = SHOWN, picture: bool = False) -> Document:
        """What print and a notebook show: the rows that matter most for one query, and the grade; picture: a map."""
        at = self.ranked(k, query)
        refits = self._refits(at, query)
        rows = []
        for i, refit in zip(at, refits, strict=True):
            estimate = self.effect(float(self.values[query, i]), query)
            real = self.effect(refit, query) if self.refitter is not None else None
            label = number(float(self.labels[i])) if self.labels.dtype.kind == "f" else str(self.labels[i])
            cells = (label, short(estimate), *((short(real),) if real is not None else ()))
            rows.append(TableRow(str(self.row_ids[i]), cells, verdict(estimate)))
        table = RowTable(
            f"rows whose removal would change query {query} most",
            (Column("label"), Column("estimate"), *((Column("refit"),) if self.refitter is not None else ())),
            tuple(rows),
        )
        shown: tuple[Block, ...] = (table, *([self._map(query)] if picture and len(self.values) else []))
        q, n = self.values.shape
        view = GradeView(self.grade.letter, self.grade.reasons, self.grade.would_raise, self.grade.checked)  # type: ignore[arg-type]
        said = [self.how, *self.notes, *([f"no refit: {self.no_refit}"] if self.refitter is None else [])]
        trust: tuple[Block, ...] = (Reasons(view), *(Sentence(text) for text in said))
        return Document(
            f"{count(q, 'query', 'queries')} × {count(n, 'row')}",
            self.meaning,
            sections=(Section("Rows", "rows", shown), Section("Trust", "trust", trust)),
        )

    def __repr__(self) -> str:
        q, n = self.values.shape
        size = f"{count(q, 'query', 'queries')} × {count(n, 'row')}"
        return f"<Scores: {size}, {self.measurement} in {self.unit}, grade {self.grade.letter}>"

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document(picture=True))

    @property
    def _sides(self) -> Sides:
        """What rows of positive and negative score are called."""
        if self.better is None:
            return Sides("raises", "lowers")
        return Sides("helpful", "harmful") if self.better == "lower" else Sides("harmful", "helpful")

    def _map(self, query: int) -> Scatter:
        """Influence over distance for a notebook: some of the rows where they are many."""
        values = self.values[query]
        order = np.argsort(-np.abs(values), kind="stable")
        strongest, others = order[:STRONGEST], np.sort(order[STRONGEST:])
        thinned = others[:: max(1, -(-len(others) // OTHERS))]
        rank = np.argsort(order, kind="stable") + 1.0
        x = rank if self.distance is None else self.distance.to(query)
        points = tuple(
            Point(float(x[i]), float(values[i]), str(self.row_ids[i]), verdict(self.effect(float(values[i]), query)))
            for i in (*strongest, *thinned)
        )
        whole = len(points) == len(values)
        some = (
            f"all {len(values):,} rows" if whole else f"the {STRONGEST} strongest of {len(values):,} rows and a sample"
        )
        change = f"change of {measured(self.measurement)} without the row ({self.unit})"
        return Scatter(
            f"{some}; above the line: its removal raises",
            RANK if self.distance is None else self.distance.label,
            change,
            points,
            "y = 0",
        )

    def _labels(self, at: Sequence[int]) -> list[Any]:
        return [self.labels[i].tolist() if self.labels.ndim > 1 else self.labels[i] for i in at]

    def _require(self, query: int) -> None:
        """Raises: InputError for a query that there is not."""
        if not 0 <= query < len(self.values):
            raise InputError(
                f"query {query} is not there: these scores hold {count(len(self.values), 'query', 'queries')}."
            )

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
