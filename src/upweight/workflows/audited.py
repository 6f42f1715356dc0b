"""What an audit found: how few training rows, changed within a bound, move which predictions, in numbers and words.

Stands on display; audit makes it. Every flip in it is a refit's, never an estimate's. Source: METHODS.md 9.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.display.blocks import Block, Column, Document, Facts, RowTable, Section, Sentence, TableRow
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import among, count, number
from upweight.errors import InputError
from upweight.workflows.audit_parts import AlteredRow, Attack, Defence, FragileRow, Joint

__all__ = ["AlteredRow", "Attack", "Audit", "Defence", "FragileRow", "Joint"]

LISTED = 5  # row ids in a sentence
SHOWN = 8  # lines of a table

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Audit:
    """How far a few changed training rows can move these predictions. Predictions keep the order of X_query."""

    attacks: tuple[Attack, ...]  # one a query; () where `together`
    together: tuple[Joint, ...]  # one for each number of rows allowed; () unless asked for
    fragile: tuple[FragileRow, ...]  # the rows whose effect is known, the largest first
    defended: tuple[Defence, ...]
    allowed: tuple[int, ...]  # how many rows might be changed at once
    bound: str  # the bound in words: "half of what each column's own digits show"
    within: Floats  # how far each cell might move, by column; of an image in its shape
    columns: tuple[str, ...]  # by name; () where a row is an image
    kind: str  # "classification" or "regression"
    measurement: str  # "margin" or "prediction"
    unit: str
    model_name: str
    training_rows: int
    how: str
    meaning: str
    notes: tuple[str, ...] = ()
    refitter: Callable[[Sequence[AlteredRow]], Any] | None = field(default=None, repr=False)

    def to_frame(self) -> pd.DataFrame:
        """One line for each prediction, the most fragile first: query, label, says, then, before, after, rows, steps …

        Where all were attacked together: one line for each prediction and number of rows.
        """
        if self.together:
            lines = [
                {"rows": len(joint.altered), "query": i, "attacked": bool(joint.attacked[i]),
                 "before": float(joint.before[i]), "after": float(joint.after[i]), "flipped": bool(joint.flipped[i])}
                for joint in self.together for i in np.argsort(joint.after, kind="stable").tolist()
            ]  # fmt: skip
            return pd.DataFrame(lines)
        lines = [
            {"query": a.query, "label": a.label, "says": a.says, "then": a.says_after, "before": a.before,
             "after": a.after, "flipped": a.flipped, "rows": a.rows, "altered": [one.row for one in a.altered],
             "steps": a.steps, "fragility": a.fragility, "confirmed": a.confirmed, "note": a.note}
            for a in self.ranked
        ]  # fmt: skip
        return pd.DataFrame(lines).astype({"rows": object, "altered": object})

    @property
    def ranked(self) -> tuple[Attack, ...]:
        """The attacks, the most fragile prediction first: fewest rows, then fewest steps; then by the margin left."""
        return tuple(sorted(self.attacks, key=lambda a: (not a.flipped, len(a.altered), a.steps, a.after)
                            if a.flipped else (True, 0, 0, a.after)))  # fmt: skip

    def rows(self, k: int | None = None) -> pd.DataFrame:
        """Training rows by fragility, the k first: row, label, effect, altered, flips. None: all that are known."""
        return pd.DataFrame(
            [
                {"row": one.row, "label": one.label, "effect": one.effect, "altered": one.altered, "flips": one.flips}
                for one in self.fragile[:k]
            ],
            columns=["row", "label", "effect", "altered", "flips"],
        )

    def altered(self, query: int | None = None, rows: int | None = None) -> pd.DataFrame:
        """Every cell that moved: row, column, before, after, change. query: whose attack; None: where together.

        rows: of the joint attacks, the one with so many rows; None: the last. Column: its name, or the place in an
        array. Raises: InputError for a query or a number of rows that there is not.
        """
        lines = []
        for one in self._altered(query, rows):
            for place in np.argwhere(one.after != one.before):
                at = tuple(int(k) for k in place)
                name = one.columns[at[0]] if one.columns else at if len(at) > 1 else at[0]
                lines.append((one.row, name, float(one.before[at]), float(one.after[at]), float(one.change[at])))
        return pd.DataFrame(lines, columns=["row", "column", "before", "after", "change"])

    def refit(self, query: int | None = None, rows: int | None = None) -> Any:
        """The model of your own class, refitted on the altered rows of this attack. Arguments as `altered`.

        Raises: InputError for a query or a number of rows that there is not, or where nothing was changed.
        """
        changed = self._altered(query, rows)
        if not changed or self.refitter is None:
            raise InputError("nothing was changed there, so there is no other model. Name an attack with altered rows.")
        return self.refitter(changed)

    def flips(self, at_most: int | None = None) -> int:
        """How many predictions were flipped with at most so many changed rows (None: any number allowed)."""
        most = max(self.allowed) if at_most is None else at_most
        return sum(1 for a in self.attacks if a.flipped and len(a.altered) <= most)

    @property
    def defences(self) -> pd.DataFrame:
        """What each defence leaves of the flips: kind, defence, flipped, of, meaning."""
        lines = [(d.kind, d.name, d.flipped, d.of, d.meaning) for d in self.defended]
        return pd.DataFrame(lines, columns=["kind", "defence", "flipped", "of", "meaning"])

    @property
    def sentences(self) -> tuple[str, ...]:
        """The answer in words, the shortest first."""
        if self.together:
            return tuple(self._joint_said(joint) for joint in self.together)
        if self.kind == "regression":
            far = max(self.attacks, key=lambda a: abs(a.after - a.before))
            return (
                f"Prediction {far.query} moves furthest: from {number(far.before)} to {number(far.after)} {self.unit} "
                f"with {count(len(far.altered), 'training row')} changed by {self.bound}, by a refit.",
            )
        attacked = [a for a in self.attacks if not a.note]
        out = [
            f"{self.flips(k):,} of {count(len(attacked), 'prediction')} can be flipped by changing "
            f"{'' if k == 1 else 'at most '}{count(k, 'training row')} by {self.bound}; confirmed by refits."
            for k in self.allowed
        ]
        first = self.ranked[0]
        if first.flipped:
            ids = [one.row for one in first.altered[:LISTED]]
            more = " …" if len(first.altered) > LISTED else ""
            out.append(
                f"The most fragile is prediction {first.query}: with {'row' if len(first.altered) == 1 else 'rows'} "
                f"{among(ids)}{more} changed so, the refitted model says {first.says_after} instead of {first.says}."
            )
        return tuple(out)

    def document(self, k: int = SHOWN) -> Document:
        """What print and a notebook show: the answer, predictions and rows by fragility, defences, how it was done."""
        said: tuple[Block, ...] = tuple(Sentence(text, strong=i == 0) for i, text in enumerate(self.sentences))
        tables = [table for table in (self._predictions(k), self._rows(k), self._defences()) if table is not None]
        trust = Facts((("how", self.how), ("meaning", self.meaning), *(("note", note) for note in self.notes)))
        return Document(
            f"Audit of {self.model_name}",
            f"{count(self.training_rows, 'training row')}; {self.bound}",
            sections=(Section("Audit", "audit", (*said, *tables)), Section("Trust", "trust", (trust,))),
        )

    def __repr__(self) -> str:
        found = f"{len(self.attacks)} predictions, {self.flips()} flipped" if self.attacks else "all together"
        return f"<Audit of {self.model_name}: {found}>"

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document())

    def _altered(self, query: int | None, rows: int | None) -> tuple[AlteredRow, ...]:
        """Raises: InputError."""
        if query is None and self.together:
            found = [j for j in self.together if rows is None or len(j.altered) == rows]
            if not found:
                raise InputError(f"no joint attack changed {rows} rows; those asked for changed {among(self.allowed)}.")
            return found[-1].altered
        if query is None or not 0 <= query < len(self.attacks):
            held = count(len(self.attacks), "attack")
            raise InputError(f"query {query} is not there: this audit holds {held}, one a query.")
        return self.attacks[query].altered

    def _joint_said(self, joint: Joint) -> str:
        return (
            f"{joint.flips:,} of {count(int(joint.attacked.sum()), 'prediction')} flip together when "
            f"{count(len(joint.altered), 'training row')} "
            f"({among([one.row for one in joint.altered[:LISTED]])}{' …' if len(joint.altered) > LISTED else ''}) "
            f"change by {self.bound}; by a refit."
        )

    def _predictions(self, k: int) -> RowTable | None:
        if not self.attacks:
            return None
        rows = []
        for a in self.ranked[:k]:
            what = count(len(a.altered), "row") if a.altered else "none"
            cells = (str(a.says), str(a.says_after), number(a.before), number(a.after), what, f"{a.steps:,}")
            rows.append(TableRow(str(a.query), cells))
        columns = ("says", "then", f"{self.measurement} now", "then", "changed", "steps")
        return RowTable(
            "predictions by fragility; each 'then' is a refit's",
            tuple(Column(c) for c in columns),
            tuple(rows),
            "query",
        )

    def _rows(self, k: int) -> RowTable | None:
        rows = tuple(TableRow(str(r.row), (str(r.label), number(r.effect), f"{r.flips:,}")) for r in self.fragile[:k])
        what = "mean loss" if self.together else f"{self.measurement}s"
        columns = (Column("label"), Column(f"could move the {what} by"), Column("flips"))
        return RowTable("training rows by fragility", columns, rows) if rows else None

    def _defences(self) -> RowTable | None:
        rows = tuple(TableRow(d.name, (f"{d.flipped:,} of {d.of:,}",)) for d in self.defended)
        return RowTable("what a defence leaves of the flips", (Column("flipped"),), rows, "defence") if rows else None
