"""What the model as a whole hangs on: a set of rows, really removed, beside other sets of as many.

Stands on display; questions make it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from upweight.display.blocks import Column, Document, Facts, RowTable, Section, Sentence, TableRow
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import DASH, among, count, number, percent

__all__ = ["Mainstay", "Without"]

LISTED = 5  # row ids in the sentence


@dataclass(frozen=True)
class Without:
    """What the model does without some rows; all None where a refit found no optimum."""

    rows: tuple[Any, ...]  # row ids
    moved: float | None  # how far predictions move: mean share of probability that changes class, else root mean square
    changed: float | None  # predictions that change class, a mean for several sets; None for a regression
    loss: float | None  # mean change of the loss; None without labels


@dataclass(frozen=True, eq=False)
class Mainstay:
    """The rows found whose removal moves the model's predictions most; confirmed by a refit, never called maximal."""

    found: Without  # really refitted
    estimate: Without  # the same rows by a group's Newton step
    self_influence: Without  # as many rows with the largest self-influence, really refitted
    random: tuple[Without, ...]  # as many random rows, several times, really refitted
    row_labels: tuple[Any, ...]
    row_columns: Mapping[str, tuple[Any, ...]]  # the rows as they are
    training_rows: int
    over: str  # whose predictions: "rows that stay" or "queries"
    predictions: int
    unit: str  # of `moved`
    loss_unit: str
    spread: float | None  # of a regression's predictions (standard deviation)
    exact: str  # what is proved of the refit; "" where it found no optimum
    how: str
    meaning: str

    @property
    def rows(self) -> tuple[Any, ...]:
        """Row ids, in the order in which they were chosen."""
        return self.found.rows

    @property
    def sentence(self) -> str:
        """What happens without them, beside other rows."""
        k = len(self.rows)
        who = f"{count(k, 'row')} of {self.training_rows:,} ({among(self.rows[:LISTED])}{' …' if k > LISTED else ''})"
        if self.found.moved is None:
            return f"Without {who} no optimum was found: these rows hold up a class or a direction of the model."
        one = k == 1
        random = f"{count(k, 'random row')} {self._does(self._chance, one)}"
        own = f"{'that' if one else f'the {k:,}'} of largest self-influence {self._does(self.self_influence, one)}"
        loss = ""
        if self.found.loss is not None:
            verb = "rises" if self.found.loss > 0 else "falls"
            loss = f"; their mean loss {verb} by {number(abs(self.found.loss))} ({self.loss_unit})"
        if self.found.changed is not None:
            some = f"{self.found.changed:,.0f} of them change" if self.found.changed > 1 else ""
            changed = (some or ("1 of them changes" if self.found.changed else "none of them changes")) + " class"
            loss = f", {changed}{loss}"
        share = f", {percent(self._moved_by / self.spread)} of their spread" if self.spread else ""
        share += "" if self.unit == "probability" else ")"
        return (
            f"Without {who} the predictions of {self.predictions:,} {self.over} move by "
            f"{self._moved(self._moved_by)}{self._kind}{share}{loss}. {random}, {own}. Confirmed by a refit; no larger "
            "effect was found."
        )

    def to_frame(self) -> pd.DataFrame:
        """The rows: id, label, and their columns as they are."""
        columns: dict[str, Any] = {"row": list(self.rows), "label": list(self.row_labels)}
        for name, column in self.row_columns.items():
            columns[name if name not in columns else f"{name} (column)"] = list(column)
        frame = pd.DataFrame(columns)
        frame.attrs.update(sentence=self.sentence, meaning=self.meaning)
        return frame

    def document(self) -> Document:
        """What print and a notebook show."""
        sets = [
            ("these rows, refitted", self.found),
            ("these rows, as estimated", self.estimate),
            ("largest self-influence", self.self_influence),
            (f"random rows, mean of {len(self.random)}", self._chance),
        ]
        classes = self.found.changed is not None or self.found.moved is None
        columns = [Column("change class")] if self.spread is None and classes else []
        columns += [Column("move by"), Column("mean loss")]
        lines = tuple(TableRow(name, tuple(self._cells(one, len(columns) == 3))) for name, one in sets)
        caption = f"predictions of {self.predictions:,} {self.over} without {count(len(self.rows), 'row')}"
        ids = f"{among(self.rows[:20])}{' …' if len(self.rows) > 20 else ''}"
        pairs = [("rows", ids), *([("exact", self.exact)] if self.exact else [])]
        blocks = (Sentence(self.sentence, strong=True), RowTable(caption, tuple(columns), lines, id_name="without"))
        trust = (Facts(tuple(pairs)), Sentence(self.how), Sentence(self.meaning))
        return Document(
            "What the model hangs on",
            count(len(self.rows), "row"),
            sections=(Section("", "mainstay", blocks), Section("Trust", "trust", trust)),
        )

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document())

    @property
    def _chance(self) -> Without:
        """The random sets that have an optimum, averaged."""
        there = [one for one in self.random if one.moved is not None]
        if not there:
            return Without((), None, None, None)
        moved, changed, loss = (
            [float(getattr(one, name)) for one in there if getattr(one, name) is not None]
            for name in ("moved", "changed", "loss")
        )
        mean = [float(np.mean(values)) if values else None for values in (moved, changed, loss)]
        return Without((), mean[0], mean[1], mean[2])

    @property
    def _moved_by(self) -> float:
        return self.found.moved or 0.0

    @property
    def _kind(self) -> str:
        return " on average" if self.unit == "probability" else " (root mean square"

    def _does(self, one: Without, singular: bool) -> str:
        """What these rows do to predictions when they leave."""
        if one.moved is None:
            return "leave no optimum" if not singular else "leaves no optimum"
        return f"{'moves' if singular else 'move'} them by {self._moved(one.moved)}"

    def _cells(self, one: Without, classes: bool) -> list[str]:
        changed = [] if not classes else [DASH if one.changed is None else number(one.changed)]
        moved = DASH if one.moved is None else self._moved(one.moved)
        loss = DASH if one.loss is None else f"{'rises' if one.loss > 0 else 'falls'} by {number(abs(one.loss))}"
        return [*changed, moved, loss]

    def _moved(self, value: float) -> str:
        if self.unit == "probability":
            return f"{number(100.0 * value)} points"
        return number(value, self.unit)
