"""What an audit found: how few training rows, changed within a bound, move which predictions, in numbers and words.

Stands on audit_parts, audit_passages and display; audit makes it. Every flip in it is a refit's, never an
estimate's. Source: METHODS.md 9.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from upweight.display.blocks import Document
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import among, count
from upweight.errors import InputError
from upweight.workflows.audit_parts import AlteredRow, Attack, Defence, Findings, FragileRow, Joint
from upweight.workflows.audit_passages import SHOWN, document, sentences

__all__ = ["AlteredRow", "Attack", "Audit", "Defence", "FragileRow", "Joint"]


@dataclass(frozen=True, eq=False)
class Audit(Findings):
    """How far a few changed training rows can move these predictions. Predictions keep the order of X_query."""

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
        return pd.DataFrame(lines).astype({"rows": "Int64", "altered": object})

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

    @property
    def defences(self) -> pd.DataFrame:
        """What each defence leaves of the flips: kind, defence, flipped, of, meaning."""
        lines = [(d.kind, d.name, d.flipped, d.of, d.meaning) for d in self.defended]
        return pd.DataFrame(lines, columns=["kind", "defence", "flipped", "of", "meaning"])

    @property
    def sentences(self) -> tuple[str, ...]:
        """The answer in words, the shortest first."""
        return sentences(self)

    def document(self, k: int = SHOWN) -> Document:
        """What print and a notebook show: the answer, the changed rows, fragility, defences, how it was done."""
        return document(self, k)

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
