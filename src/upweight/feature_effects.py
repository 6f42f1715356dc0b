"""FeatureEffects: what each cell of some training rows does to a measurement: per unit, per category, per word.

Stands on display and validation.grade, as Scores; influence makes it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.display.blocks import Block, Column, Document, GradeView, Reasons, RowTable, Section, Sentence, TableRow
from upweight.display.figures import draw_features
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import Effect, count, measured, number, short
from upweight.errors import InputError, listed
from upweight.validation.grade import Grade

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CellChange", "FeatureEffects"]

Refitter = Callable[[Sequence[int]], NDArray[np.float64]]  # positions in `changes` -> [m, q] real change with each
SHOWN = 8
BARS = 12
REFITTED = 20  # categories and words of a row: the strongest are really refitted
KINDS = {
    "linear": "number",
    "smooth": "number, by differences",
    "category": "category",
    "text": "text",
    "none": "no derivative",
    "unused": "not used",
}


@dataclass(frozen=True, eq=False)
class CellChange:
    """Row `row` of those asked for, its column `column` changed: to a category `value`, or by the word `value` less."""

    row: int
    column: int
    value: Any
    effects: NDArray[np.float64]  # [q]
    kind: str  # "category" or "word"


@dataclass(frozen=True, eq=False)
class FeatureEffects:
    """Sign: > 0, the measurement would rise with the number. 0 where a column has no effect per unit. Never NaN."""

    values: NDArray[np.float64]  # [q, r, d] change per unit of each column of the user's own table
    row_ids: tuple[Any, ...]  # of the r rows
    columns: tuple[str, ...]  # d
    reach: tuple[str, ...]  # d: "linear", "smooth", "category", "text", "none", "unused"
    cells: tuple[tuple[Any, ...], ...]  # [r][d] what stands there
    spread: NDArray[np.float64]  # [d] standard deviation over the training rows; 0 where there is none
    changes: tuple[CellChange, ...]
    base: NDArray[np.float64]  # [q] the measurement now
    measurement: str
    unit: str
    better: str | None
    meaning: str
    how: str
    grade: Grade
    refitter: Refitter | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def frame(self, query: int = 0, row: Any = None) -> pd.DataFrame:
        """One row's cells, the strongest first: column, value, effect, per sd, refit, unit, kind.

        row: its id; None: the first. A number has its `effect` per unit and `per sd`, per standard deviation of the
        column, so that columns compare; they are ranked by it. A category has one line for each other category, as
        column=category, a text one for each word, as column−word: the effect if it became that, or lost that; `refit`
        is the real one, of the twenty strongest. What there is not is None, and `kind` says why.
        Raises: InputError for a query or a row that there is not.
        """
        k = self._row(query, row)
        lines = self._ranked(query, k)
        changed = [line.change for line in lines if line.change is not None][:REFITTED]
        real = dict[int | None, float | None]()
        if changed and self.refitter is not None:
            found = self.refitter(changed)[:, query]
            real = {m: float(x) if np.isfinite(x) else None for m, x in zip(changed, found, strict=True)}
        frame = _table(lines)
        refits = [None if line.change is None else real.get(line.change) for line in lines]
        frame.insert(4, "refit", pd.Series(refits, dtype=object, index=frame.index))
        return frame

    def to_frame(self) -> pd.DataFrame:
        """Every query and row, one under the other: query, row, then as `frame`, not refitted."""
        parts = []
        for query in range(len(self.values)):
            for k, row in enumerate(self.row_ids):
                part = _table(self._ranked(query, k))
                part.insert(0, "row", [row] * len(part))
                part.insert(0, "query", query)
                parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def plot(self, ax: Any = None, query: int = 0, row: Any = None) -> "Axes":
        """A bar for each of one row's strongest cells, the strongest on top; returns matplotlib's axes.

        Numbers: one standard deviation more of the column; categories and words: that change. row: its id; None: the
        first. ax: axes to draw on; None: new ones.
        Raises: MissingExtra without matplotlib; InputError for a query or row that there is not, or no effect at all.
        """
        at = self._row(query, row)
        frame = _table(self._ranked(query, at))  # nothing is refitted for a picture
        steps = [e if sd is None or sd != sd else sd for e, sd in zip(frame["effect"], frame["per sd"], strict=True)]
        drawn = [(name, float(step)) for name, step in zip(frame["column"], steps, strict=True) if step][:BARS]
        return draw_features(
            ax,
            [name for name, _ in drawn],
            np.asarray([step for _, step in drawn]),
            f"change of {measured(self.measurement)} ({self.unit}), one standard deviation more or as named",
            f"row {self.row_ids[at]} · query {query} · grade {self.grade.letter}",
        )

    def document(self, query: int = 0, row: Any = None, k: int = SHOWN) -> Document:
        """What print and a notebook show: the strongest cells of one row, and the grade."""
        at = self._row(query, row)
        rows = list[TableRow]()
        for line in self.frame(query, row).to_dict("records"):
            if line["effect"] is None or len(rows) == k:
                continue
            per_unit = line["per sd"] is not None
            how_far = "one standard deviation more" if per_unit else "if it became so"
            how_far = "without the word" if line["kind"] == "word" else how_far
            step = float(line["per sd"] if per_unit else line["effect"])
            real = "–" if line["refit"] is None else short(self._effect(float(line["refit"]), query))
            cells = (_said(line["value"]), how_far, short(self._effect(step, query)), real)
            rows.append(TableRow(line["column"], cells))
        table = RowTable(
            f"cells of row {self.row_ids[at]} that move query {query} most",
            (Column("value"), Column("change"), Column("estimate"), Column("refit")),
            tuple(rows),
        )
        q, r, d = self.values.shape
        view = GradeView(self.grade.letter, self.grade.reasons, self.grade.would_raise, self.grade.checked)  # type: ignore[arg-type]
        trust: tuple[Block, ...] = (Reasons(view), Sentence(self.how), *(Sentence(note) for note in self.notes))
        return Document(
            f"{count(q, 'query', 'queries')} × {count(r, 'row')} × {count(d, 'column')}",
            self.meaning,
            sections=(Section("Cells", "cells", (table,)), Section("Trust", "trust", trust)),
        )

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document())

    def _ranked(self, query: int, k: int) -> list["_Line"]:
        """The lines of one row, the strongest first, absent ones last."""
        return sorted(self._lines(query, k), key=lambda line: -line.size)

    def _lines(self, query: int, k: int) -> Iterator["_Line"]:
        for j, name in enumerate(self.columns):
            value, kind = self.cells[k][j], self.reach[j]
            if kind in ("linear", "smooth") and value is not None and value == value:
                effect = float(self.values[query, k, j])
                per_sd = effect * float(self.spread[j])
                yield _Line(name, value, effect, per_sd, f"{self.unit} per unit", KINDS[kind])
            elif kind in ("linear", "smooth"):
                yield _Line(name, None, None, None, "", "missing")
            elif kind == "unused":
                yield _Line(name, value, 0.0, None, self.unit, KINDS[kind])
            elif not any(change.row == k and change.column == j for change in self.changes):
                nothing = kind in ("category", "text")
                yield _Line(name, value, 0.0 if nothing else None, None, self.unit if nothing else "", KINDS[kind])
        for m, change in enumerate(self.changes):
            if change.row != k:
                continue
            name, effect = self.columns[change.column], float(change.effects[query])
            if change.kind == "word":
                unit = f"{self.unit} if the word were deleted"
                yield _Line(f"{name}−{change.value}", change.value, effect, None, unit, "word", m)
            else:
                unit, value = f"{self.unit} if it became that", self.cells[k][change.column]
                yield _Line(f"{name}={change.value}", value, effect, None, unit, "category", m)

    def _row(self, query: int, row: Any) -> int:
        if not 0 <= query < len(self.values):
            held = count(len(self.values), "query", "queries")
            raise InputError(f"query {query} is not there: these effects hold {held}.")
        if row is None:
            return 0
        if row not in self.row_ids:
            raise InputError(
                f"row {row!r} is not among those asked for ({listed(self.row_ids)}). Name it in features(rows=…)."
            )
        return self.row_ids.index(row)

    def _effect(self, change: float, query: int) -> Effect:
        better: Any = self.better
        return Effect(change, float(self.base[query]), self.measurement, self.unit, better)


@dataclass(frozen=True)
class _Line:
    """One line of the frame; `change`: its place in `changes`."""

    column: str
    value: Any
    effect: float | None
    per_sd: float | None
    unit: str
    kind: str
    change: int | None = None

    @property
    def size(self) -> float:
        """What lines are ranked by: per standard deviation, or the change of a category or word."""
        return -1.0 if self.effect is None else abs(self.effect if self.per_sd is None else self.per_sd)


def _table(lines: Sequence[_Line]) -> pd.DataFrame:
    """None stays None."""
    held = {
        "column": [line.column for line in lines],
        "value": pd.Series([line.value for line in lines], dtype=object),
        "effect": _numbers([line.effect for line in lines]),
        "per sd": _numbers([line.per_sd for line in lines]),
        "unit": [line.unit for line in lines],
        "kind": [line.kind for line in lines],
    }
    return pd.DataFrame(held)


def _numbers(values: list[float | None]) -> Any:
    return pd.Series(values, dtype=object) if None in values else values


def _said(value: Any) -> str:
    text = number(value) if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else text[:23] + "…"
