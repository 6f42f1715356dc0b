"""FeatureEffects: what each cell of some training rows does to a measurement: per unit, per category, per word.

Stands on display and validation.grade, as Scores; influence makes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.display.blocks import Block, Column, Document, GradeView, Reasons, RowTable, Section, Sentence, TableRow
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import Effect, count, number, short
from upweight.errors import InputError, listed
from upweight.validation.grade import Grade

__all__ = ["CellChange", "FeatureEffects"]

SHOWN = 8
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
    notes: tuple[str, ...] = ()

    def frame(self, query: int = 0, row: Any = None) -> pd.DataFrame:
        """One row's cells, the strongest first: column, value, effect, per sd, unit, kind.

        row: its id; None: the first. A number has its `effect` per unit and `per sd`, per standard deviation of the
        column, so that columns compare; they are ranked by it. A category has one line for each other category, as
        column=category, a text one for each word, as column−word: the effect if it became that, or lost that. What has
        no effect is None, and `kind` says why.
        Raises: InputError for a query or a row that there is not.
        """
        k = self._row(query, row)
        lines = list(self._lines(query, k))
        order = sorted(range(len(lines)), key=lambda i: -self._size(lines[i]))
        names = ("column", "value", "effect", "per sd", "unit", "kind")
        held = {name: [lines[i][at] for i in order] for at, name in enumerate(names)}
        absent = {"value", *(name for name in ("effect", "per sd") if None in held[name])}
        return pd.DataFrame(
            {name: pd.Series(held[name], dtype=object) if name in absent else held[name] for name in names}
        )

    def to_frame(self) -> pd.DataFrame:
        """Every query and row, one under the other: query, row, then as `frame`."""
        parts = []
        for query in range(len(self.values)):
            for row in self.row_ids:
                part = self.frame(query, row)
                part.insert(0, "row", [row] * len(part))
                part.insert(0, "query", query)
                parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def document(self, query: int = 0, row: Any = None, k: int = SHOWN) -> Document:
        """What print and a notebook show: the strongest cells of one row, and the grade."""
        at = self._row(query, row)
        frame = self.frame(query, row)
        rows = []
        for line in frame[frame["effect"].notna()].head(k).to_dict("records"):
            step = line["per sd"] if line["per sd"] is not None else line["effect"]
            effect = self._effect(float(step), query)
            how_far = "one standard deviation more" if line["per sd"] is not None else "if it became so"
            how_far = "without the word" if line["kind"] == "word" else how_far
            each = (
                f"{number(line['effect'], self.unit)} per unit"
                if line["per sd"] is not None
                else number(line["effect"])
            )
            cells = (_said(line["value"]), how_far, short(effect), each)
            rows.append(TableRow(line["column"], cells))
        table = RowTable(
            f"cells of row {self.row_ids[at]} that move query {query} most",
            (Column("value"), Column("change"), Column("estimate"), Column("effect")),
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

    def _lines(self, query: int, k: int) -> Iterator[tuple[Any, ...]]:
        for j, name in enumerate(self.columns):
            value, kind = self.cells[k][j], self.reach[j]
            if kind in ("linear", "smooth") and value is not None and value == value:
                effect = float(self.values[query, k, j])
                yield name, value, effect, effect * float(self.spread[j]), f"{self.unit} per unit", KINDS[kind]
            elif kind in ("linear", "smooth"):
                yield name, None, None, None, "", "missing"
            elif kind == "unused":
                yield name, value, 0.0, None, self.unit, KINDS[kind]
            elif not any(change.row == k and change.column == j for change in self.changes):
                nothing = kind in ("category", "text")
                yield name, value, 0.0 if nothing else None, None, self.unit if nothing else "", KINDS[kind]
        for change in self.changes:
            if change.row == k:
                name, value = self.columns[change.column], self.cells[k][change.column]
                word = change.kind == "word"
                label = f"{name}−{change.value}" if word else f"{name}={change.value}"
                step = "if the word were deleted" if word else "if it became that"
                shown = change.value if word else value
                yield label, shown, float(change.effects[query]), None, f"{self.unit} {step}", change.kind

    def _size(self, line: tuple[Any, ...]) -> float:
        """What lines are ranked by: per standard deviation, or the change of a category or word; absent ones last."""
        effect, per_sd = line[2], line[3]
        return -1.0 if effect is None else abs(effect if per_sd is None else per_sd)

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


def _said(value: Any) -> str:
    text = number(value) if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else text[:23] + "…"
