"""Two models that learnt from the same rows, on the same predictions: which rows each leans on, in numbers and words.

Stands on side and display; compare makes it. Source: Koh & Liang (2017), section 5.1 and figure 4.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.display.blocks import Block, Column, Document, Facts, RowTable, Scatter, Section, Sentence, TableRow
from upweight.display.blocks import Point as Dot
from upweight.display.figures import draw_two
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import among, count, number, percent
from upweight.errors import InputError
from upweight.workflows.passages import value
from upweight.workflows.side import FIRST, Side

__all__ = ["LEANS", "Comparison"]

LEANS = 5.0  # a row with so many times the other model's share of all influence is one that only this model leans on
LISTED = 5  # row ids in a sentence
HARDLY = 0.1  # a rank correlation nearer to 0 is no trend
DRAWN = 400  # dots of a report

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models over the same training rows, on the same predictions. Rows are in the order of `row_ids`."""

    a: Side
    b: Side
    row_ids: tuple[Any, ...]
    labels: NDArray[Any]  # [n]
    asked: tuple[Any, ...]  # [q] the label that the margin is of; () of a regression
    agreement: Floats  # [q] rank correlation of the two influences, NaN where one is the same for all rows
    shared: Floats  # [q] share of the FIRST most influential rows that both have
    meaning: str

    def to_frame(self) -> pd.DataFrame:
        """One line for each prediction: how far the models agree on it, and each one's numbers (`_a`, `_b`)."""
        columns: dict[str, Any] = {"query": np.arange(len(self.agreement))}
        if self.asked:
            columns["label"] = list(self.asked)
        columns |= {"rank_correlation": self.agreement, "shared": self.shared}
        for end, side in (("a", self.a), ("b", self.b)):
            columns[f"says_{end}"] = list(side.says)
            columns[f"{self.a.scores.measurement}_{end}"] = side.standing
            columns[f"by_distance_{end}"] = side.by_distance
            if self.asked:
                columns[f"other_class_{end}"] = side.other_class
                columns[f"helped_by_others_{end}"] = side.helped_by_others
            columns[f"effective_rows_{end}"] = side.effective_rows
            columns[f"not_nearest_{end}"] = side.not_nearest
        frame = pd.DataFrame(columns)
        frame.attrs.update(a=self.a.name, b=self.b.name, meaning=self.meaning)
        return frame

    def rows(self, k: int = FIRST, query: int | None = None) -> pd.DataFrame:
        """The rows that are among the k most influential of either model: row, label, influence, share, refit, leans.

        query None: over all predictions. influence and refit in units of the spread, below 0 helpful; share of all
        influence; leans: "a" or "b" where the other's share is LEANS times smaller, else "both". No column refit of a
        model whose refit is a training run. Order: by the larger share.
        Raises: InputError for a query that there is not.
        """
        self._require(query)
        share_a, share_b = self.a.shares(query), self.b.shares(query)
        best = np.union1d(_first(share_a, k), _first(share_b, k))
        at = best[np.argsort(-np.maximum(share_a, share_b)[best], kind="stable")]
        columns: dict[str, Any] = {"row": [self.row_ids[i] for i in at], "label": list(self.labels[at])}
        for end, side, share in (("a", self.a, share_a), ("b", self.b, share_b)):
            columns |= {f"influence_{end}": side.signed(query)[at], f"share_{end}": share[at]}
            real = side.refits([int(i) for i in at], query)
            if real is not None:
                columns[f"refit_{end}"] = real
        leans = np.where(share_a[at] >= LEANS * share_b[at], "a", "both")
        columns["leans"] = np.where(share_b[at] >= LEANS * share_a[at], "b", leans)
        return pd.DataFrame(columns)

    def helpful_others(self, query: int, k: int = FIRST) -> pd.DataFrame:
        """Rows of another class than the query's that help it, the k largest of either model: row, label, influence.

        Raises: InputError for a regression, or a query that there is not.
        """
        self._require(query)
        if not self.asked:
            raise InputError("a regression has no classes, so no row is of another one.")
        other = self.labels != self.asked[query]
        help_a, help_b = (np.where(other, np.maximum(-s.influence[query], 0.0), 0.0) for s in (self.a, self.b))
        best = np.union1d(*(_first(help_, k)[: int((help_ > 0).sum())] for help_ in (help_a, help_b)))
        at = best[np.argsort(-np.maximum(help_a, help_b)[best], kind="stable")]
        return pd.DataFrame(
            {
                "row": [self.row_ids[i] for i in at],
                "label": list(self.labels[at]),
                "influence_a": self.a.influence[query, at],
                "influence_b": self.b.influence[query, at],
            }
        )

    def plot(self, ax: Any = None, query: int | None = None) -> Any:
        """Each row's influence under b over that under a, in units of the spreads; returns matplotlib's axes.

        query None: the mean over the predictions. Rows of another class than the query's are drawn as ▽.
        Raises: MissingExtra without matplotlib; InputError for a query that there is not.
        """
        self._require(query)
        other = self.labels != self.asked[query] if self.asked and query is not None else None
        return draw_two(
            ax,
            self.a.signed(query),
            self.b.signed(query),
            other,
            f"{self.a.name}: change without the row (spreads)",
            f"{self.b.name}: change without the row (spreads)",
            self._of(query),
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """The comparison in words: agreement, then what each model leans on."""
        q = len(self.agreement)
        both = _mean(self.shared) * FIRST
        alike = number(_mean(self.agreement), decimals=2)
        out = [
            f"On {count(q, 'prediction')} the two models order the training rows alike by {alike} (rank correlation; "
            f"1: the same order), and share {number(both, decimals=1)} of the {FIRST} rows that matter most."
        ]
        for side in (self.a, self.b):
            near = _mean(side.by_distance)
            how = "falls with" if near < -HARDLY else "grows with" if near > HARDLY else "hardly depends on"
            text = (
                f"{side.name}: some {number(_mean(side.effective_rows), decimals=0)} rows stand behind a prediction; "
                f"influence {how} distance (rank correlation {number(near, decimals=2)}), and "
                f"{number(FIRST * _mean(side.not_nearest), decimals=1)} of the {FIRST} rows that matter most are not "
                f"among the {FIRST} nearest"
            )
            if self.asked:
                text += (
                    f"; {percent(_mean(side.other_class))} of its influence, and "
                    f"{percent(_mean(side.helped_by_others))} of the helpful part, comes from other classes"
                )
            out.append(text + ".")
        return (*out, *self._leaning())

    def document(
        self,
        k: int = FIRST,
        title: str = "Two models, the same predictions",
        show_rows: bool = True,
        query_ids: Sequence[Any] | None = None,
    ) -> Document:
        """What print, a notebook and the report show. show_rows: else no labels; query_ids: names of the queries."""
        sentences = tuple(Sentence(text, strong=i == 0) for i, text in enumerate(self.sentences))
        shown: tuple[Block, ...] = (*sentences, *self._apart(query_ids), self._measures())
        rows: tuple[Block, ...] = (self._table(k, show_rows), self._map())
        graded = [(side.name, f"grade {side.scores.grade.letter}: {side.scores.grade.reasons[0]}") for side in self]
        trust = Facts((*graded, *((side.name, side.scores.how) for side in self), ("meaning", self.meaning)))
        return Document(
            title,
            f"{self.a.name} · {self.b.name}",
            sections=(
                Section("Compare", "compare", shown),
                Section("Rows that matter most to either", "rows", rows),
                Section("Trust", "trust", (trust,)),
            ),
        )

    def __iter__(self) -> Iterator[Side]:
        """The two sides."""
        return iter((self.a, self.b))

    def __repr__(self) -> str:
        q = count(len(self.agreement), "prediction")
        return f"<Comparison: {self.a.name} and {self.b.name}, {q} × {count(len(self.row_ids), 'row')}>"

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document())

    def _leaning(self) -> list[str]:
        """Which rows only one of them leans on, over all predictions."""
        share_a, share_b = self.a.shares(None), self.b.shares(None)
        out = []
        for one, other, mine, theirs in (
            (self.a, self.b, share_a, share_b),
            (self.b, self.a, share_b, share_a),
        ):
            at = [i for i in _first(mine, FIRST) if mine[i] > 0 and mine[i] >= LEANS * theirs[i]]
            if at:
                ids = among([self.row_ids[i] for i in at[:LISTED]]) + (" …" if len(at) > LISTED else "")
                noun = "row" if len(at) == 1 else "rows"
                out.append(
                    f"{one.name} leans on {noun} {ids}, which {'has' if len(at) == 1 else 'have'} at least "
                    f"{LEANS:.0f} times less say in {other.name}."
                )
        return out

    def _apart(self, query_ids: Sequence[Any] | None) -> list[Block]:
        """Where the two agree least."""
        known = np.isfinite(self.agreement)
        if known.sum() < 2:
            return []
        i = int(np.argmin(np.where(known, self.agreement, np.inf)))
        name = f"query {i}" if query_ids is None else f"row {query_ids[i]}"
        said = " and ".join(f"{value(side.says[i])} ({side.name})" for side in self)
        return [
            Sentence(f"They agree least on {name}: {number(float(self.agreement[i]), decimals=2)}. They say {said}.")
        ]

    def _measures(self) -> RowTable:
        """One measure a line, the two models beside each other; means over the predictions."""
        measured = self.a.scores.measurement
        lines: list[tuple[str, list[str]]] = []
        if self.asked:
            right = [sum(bool(s == y) for s, y in zip(side.says, self.asked, strict=True)) for side in self]
            lines.append(("says the label asked about", [f"{r} of {len(self.asked)}" for r in right]))
        lines.append((f"{measured}, in its spreads", [number(_mean(side.standing), decimals=2) for side in self]))
        lines.append(("influence with distance", [number(_mean(side.by_distance), decimals=2) for side in self]))
        lines.append(("rows behind a prediction", [number(_mean(side.effective_rows), decimals=0) for side in self]))
        lines.append(("matter most, not nearest", [percent(_mean(side.not_nearest)) for side in self]))
        if self.asked:
            lines.append(("influence, other classes", [percent(_mean(side.other_class)) for side in self]))
            lines.append(("help, other classes", [percent(_mean(side.helped_by_others)) for side in self]))
        rows = tuple(TableRow(name, tuple(cells)) for name, cells in lines)
        return RowTable("means over the predictions", (Column(self.a.name), Column(self.b.name)), rows, "")

    def _table(self, k: int, show_rows: bool) -> RowTable:
        frame = self.rows(k)
        sides = (("a", self.a), ("b", self.b))
        columns = [Column("label")] if show_rows else []
        for end, side in sides:
            columns.append(Column(side.name))
            columns += [Column("refit")] if f"refit_{end}" in frame else []
        columns.append(Column("leans"))
        rows = []
        for _, line in frame.iterrows():
            cells = [value(line["label"])] if show_rows else []
            for end, _ in sides:
                cells.append(percent(line[f"influence_{end}"]))
                cells += [percent(line[f"refit_{end}"])] if f"refit_{end}" in frame else []
            only = {"a": self.a.name, "b": self.b.name, "both": "both"}[line["leans"]]
            rows.append(TableRow(str(line["row"]), (*cells, only)))
        sign = "; below 0: the row helps" if self.asked else ""
        caption = f"mean change of the {self.a.scores.measurement} without the row, in % of its spread{sign}"
        return RowTable(caption, tuple(columns), tuple(rows[: 2 * k]))

    def _map(self) -> Scatter:
        x, y = self.a.signed(None), self.b.signed(None)
        size = np.maximum(np.abs(x) / (np.abs(x).max() or 1.0), np.abs(y) / (np.abs(y).max() or 1.0))
        at = np.argsort(-size, kind="stable")[:DRAWN]
        some = "all rows" if len(at) == len(x) else f"the {DRAWN} rows that matter most"
        dots = tuple(Dot(float(x[i]), float(y[i]), str(self.row_ids[i])) for i in at)
        return Scatter(
            f"influence on all predictions under either model; {some}", f"{self.a.name} (spreads)",
            f"{self.b.name} (spreads)", dots, "y = 0",
        )  # fmt: skip

    def _of(self, query: int | None) -> str:
        q = len(self.agreement)
        return f"mean over {count(q, 'prediction')}" if query is None else f"query {query} of {q}"

    def _require(self, query: int | None) -> None:
        """Raises: InputError for a query that there is not."""
        q = len(self.agreement)
        if query is not None and not 0 <= query < q:
            raise InputError(f"query {query} is not there: the comparison holds {count(q, 'query', 'queries')}.")


def _first(size: Floats, k: int) -> NDArray[np.int64]:
    """Positions of the k largest, the largest first."""
    return np.argsort(-size, kind="stable")[:k]


def _mean(values: Floats) -> float:
    """Over what exists; NaN where nothing does."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")
