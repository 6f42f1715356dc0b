"""A review: the rows in the order of suspicion, why each is doubted, and how far the order was found to be right.

Stands on display; reviewing makes it. A label "looks wrong": only a person says that it is. Source: UX.md 5, 6.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.display.blocks import Column, Document, Facts, RowTable, Section, Sentence, TableRow
from upweight.display.figures import Sides, draw_influence
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import among, count, number, percent
from upweight.validation.detection import interval
from upweight.workflows.passages import value
from upweight.workflows.review.ranking import WITHIN

__all__ = ["Review"]

SHOWN = 10
LISTED = 5  # signals of the trial in a page
ALONE = 0.5  # nats by which a row's own loss rises without it before that is a reason

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Review:
    """n rows; arrays are in their order as given, `order` [n] is the most suspect first."""

    row_ids: tuple[Any, ...]
    labels: NDArray[Any]
    classes: tuple[Any, ...]
    order: NDArray[np.int64]
    suggested: NDArray[np.int64]  # the likeliest other class out of fold, by its place in `classes`
    p_label: Floats  # out of fold
    p_suggested: Floats
    loss: Floats  # of the model as it is fitted, nats
    loss_without: Floats | None  # the same without the row itself; None: too dear
    held_out: Floats  # change of the loss on rows of other folds without the row, as a share of it; > 0: helpful
    nearest: NDArray[np.int64] | None  # classes of the nearest rows; None: too many rows
    looks_wrong: NDArray[np.bool_]  # out of fold another class is likelier than the label
    signals: pd.DataFrame  # [n, signals], higher: more suspect
    leads: str  # what orders the rows
    weights: Mapping[str, float]  # of the signals in it
    trial: pd.DataFrame  # how many labels flipped on purpose each signal finds
    caught: Floats  # share of flipped labels that `looks_wrong` counts, one number a set
    right: Floats  # share of what it counts that was flipped
    model_name: str
    how: str
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """One line a row, the most suspect first, with the reasons in words.

        rank 1 is the most suspect. p_label, p_suggested: probabilities out of fold. loss, loss_without: of the model as
        it is, and without the row itself (nats). held_out: change of the loss on rows of other folds without the row,
        as a share of it; > 0: helpful.
        """
        at = self.order
        columns: dict[str, Any] = {
            "row": [self.row_ids[i] for i in at],
            "label": self.labels[at],
            "suggested": [self.classes[k] for k in self.suggested[at]],
            "rank": np.arange(1, len(at) + 1),
            "p_label": self.p_label[at],
            "p_suggested": self.p_suggested[at],
            "loss": self.loss[at],
        }
        if self.loss_without is not None:
            columns["loss_without"] = self.loss_without[at]
        columns |= {
            "held_out": self.held_out[at],
            "looks_wrong": self.looks_wrong[at],
            "reasons": ["; ".join(self.reasons(int(i))) for i in at],
        }
        frame = pd.DataFrame(columns)
        frame.attrs.update(how=self.how, leads=self.leads)
        return frame

    def reasons(self, at: int) -> tuple[str, ...]:
        """Why the row at this position is doubted, or is not, in words."""
        label, other = value(self.labels[at]), value(self.classes[self.suggested[at]])
        out = [
            f"out of fold the model gives its label {label} {percent(self.p_label[at])}, and {other} "
            f"{percent(self.p_suggested[at])}"
        ]
        change = float(self.held_out[at])
        if change != 0.0:
            moved, kind = ("rise", "helpful") if change > 0 else ("fall", "harmful")
            out.append(f"without it, the loss on held-out rows would {moved} {percent(abs(change))}: {kind}")
        if self.loss_without is not None and self.loss_without[at] - self.loss[at] > ALONE:
            out.append(
                f"without it, its own loss would rise from {number(self.loss[at])} to "
                f"{number(self.loss_without[at])} nats: the model learnt it from itself"
            )
        if self.nearest is not None:
            kinds = np.bincount(self.nearest[at], minlength=len(self.classes))
            most = int(np.argmax(kinds))
            same = ", as it is" if self.classes[most] == self.labels[at] else ""
            out.append(
                f"{kinds[most]} of its {len(self.nearest[at])} nearest rows are {value(self.classes[most])}{same}"
            )
        return tuple(out)

    def plot(self, ax: Any = None) -> Any:
        """Each row's effect on the held-out rows over the probability that its label has; returns matplotlib's axes.

        Raises: MissingExtra without matplotlib.
        """
        return draw_influence(
            ax, self.p_label, self.held_out, Sides("helpful", "harmful"), "probability of its label, out of fold",
            "change of the held-out loss without the row (share)", self._counted(),
        )  # fmt: skip

    @property
    def sentences(self) -> tuple[str, ...]:
        """How many labels look wrong, how sure that is, and what orders the rows."""
        sets = len(self.caught)
        best = self.trial.iloc[0]
        lead = self.trial[self.trial["signal"] == self.leads]
        led = best if lead.empty else lead.iloc[0]
        name = f"{self.leads} ({among(list(self.weights))})" if len(self.weights) > 1 else self.leads
        others = self.trial[self.trial["signal"] != led["signal"]]
        return (
            f"{self._counted()}: out of fold another class is likelier than the label.",
            f"Of labels flipped on purpose ({sets} sets) {_span(self.caught)} look wrong in this way; of those that "
            f"came to look wrong there, {_span(self.right)} were flipped.",
            f"Rows are ordered by: {name}. Looking at up to {percent(WITHIN)} of the rows finds {_found(led)} of the "
            f"flipped labels on average; next {others.iloc[0]['signal']}, {_found(others.iloc[0])}.",
        )

    def document(self, k: int = SHOWN, title: str = "Labels that look wrong") -> Document:
        """What print, a notebook and the report show: the k most suspect rows, the trial, how it was come by."""
        said = tuple(Sentence(text, strong=i == 0) for i, text in enumerate(self.sentences))
        trust = [("how", self.how), *(("note", note) for note in self.notes)]
        return Document(
            title,
            self.model_name,
            sections=(
                Section("Review", "review", said),
                Section("Look at these first", "rows", (self._table(k), *self._why(k))),
                Section("Trial on flipped labels", "trial", (self._trial(),)),
                Section("Trust", "trust", (Facts(tuple(trust)),)),
            ),
        )

    def __repr__(self) -> str:
        return f"<Review: {self._counted()}>"

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document())

    def _counted(self) -> str:
        k, n = int(self.looks_wrong.sum()), len(self.order)
        return f"{k:,} of {count(n, 'label')} {'looks' if k == 1 else 'look'} wrong"

    def _table(self, k: int) -> RowTable:
        rows = []
        for i in self.order[:k]:
            cells = [
                value(self.labels[i]),
                value(self.classes[self.suggested[i]]),
                percent(self.p_label[i]),
                percent(self.p_suggested[i]),
                percent(self.held_out[i]),
            ]
            if self.nearest is not None:
                other = int(np.sum(self.nearest[i] == self.suggested[i]))
                cells.append(f"{other} of {len(self.nearest[i])}")
            rows.append(TableRow(str(self.row_ids[i]), tuple(cells)))
        columns = [
            Column("label"),
            *(Column(name, "right") for name in ("suggested", "p label", "p sugg.", "held-out")),
        ]
        columns += [Column("nearest", "right")] if self.nearest is not None else []
        caption = (
            "p: out of fold; held-out: change of the loss on rows of other folds without the row (below 0: harmful); "
            "nearest: how many of the nearest rows have the label suggested"
        )
        return RowTable(caption if self.nearest is not None else caption.partition("; nearest")[0], tuple(columns),
                        tuple(rows))  # fmt: skip

    def _why(self, k: int) -> tuple[Sentence, ...]:
        """The first row's reasons, spelled out."""
        at = [int(i) for i in self.order[: min(k, 1)]]
        return tuple(Sentence(f"Row {self.row_ids[i]}: {'; '.join(self.reasons(i))}.") for i in at)

    def _trial(self) -> RowTable:
        rows = []
        for _, line in self.trial.head(LISTED).iterrows():
            cells = [_found(line), percent(line["uniform"], 0), percent(line["class-dependent"], 0),
                     number(line["average_precision"], decimals=2)]  # fmt: skip
            rows.append(TableRow(str(line["signal"]), tuple(cells)))
        columns = tuple(Column(name, "right") for name in ("found", "uniform", "by class", "precision"))
        caption = (
            f"share of the flipped labels found, on average over all budgets up to {percent(WITHIN)} of the rows, with "
            "its 95 % interval over the sets; precision: average precision"
        )
        return RowTable(caption, columns, tuple(rows), "signal")


def _found(line: Any) -> str:
    """82 % (79 to 85 %)."""
    return _shown(float(line["found"]), float(line["low"]), float(line["high"]))


def _span(shares: Floats) -> str:
    """The same of shares, one a set."""
    return _shown(*interval(shares))


def _shown(mean: float, low: float, high: float) -> str:
    if not np.isfinite(low):
        return percent(mean, decimals=0)
    start = percent(max(low, 0.0), decimals=0).removesuffix(" %")
    return f"{percent(mean, decimals=0)} ({start} to {percent(min(high, 1.0), decimals=0)})"
