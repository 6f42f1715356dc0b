"""What a real refit came to: the model without some rows, and the smallest set found that flips a prediction.

Stands on display and removal.certificate; influence makes them.
"""

from dataclasses import dataclass
from typing import Any

from upweight.display.blocks import Block, Document, Facts, Section, Sentence
from upweight.display.html import fragment
from upweight.display.terminal import render
from upweight.display.words import among, count, number
from upweight.removal.certificate import Certificate

__all__ = ["Refit", "SmallestFlip"]

LISTED = 20  # row ids in what is shown


@dataclass(frozen=True, eq=False)
class Refit:
    """The model really refitted without some rows."""

    model: Any  # the user's own class, fitted
    rows: tuple[Any, ...]
    certificate: Certificate
    meaning: str
    converged: bool

    def document(self) -> Document:
        """What print and a notebook show: what was refitted without which rows, and how exact it is."""
        pairs = (
            ("model", type(self.model).__name__ + (" (use .model)" if self.converged else ", of no optimum")),
            ("without", _ids(self.rows)),
        )
        return Document(
            "Refit",
            f"without {count(len(self.rows), 'row')}",
            sections=(Section("", "refit", (Facts(pairs), Sentence(self.meaning))),),
        )

    def __repr__(self) -> str:
        return f"<Refit of {type(self.model).__name__} without {count(len(self.rows), 'row')}>"

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document())


@dataclass(frozen=True, eq=False)
class SmallestFlip:
    """The smallest set of rows found whose removal flips a prediction, confirmed by a refit; or that none was found."""

    rows: tuple[Any, ...]  # row ids; empty where none was found
    found: bool
    before: Any  # what the model predicts now, and after the refit
    after: Any
    margin: tuple[float, float, float] | None  # now, predicted without them, really without them
    proved: bool  # the refit's certificate is smaller than the margin
    sentence: str

    def document(self) -> Document:
        """What print and a notebook show: the sentence, the rows, the prediction and the margin before and after."""
        pairs = [("now", _said(self.before))]
        if self.found:
            pairs += [("then", _said(self.after)), ("rows", _ids(self.rows))]
        if self.margin is not None:
            now, predicted, real = (number(x) for x in self.margin)
            pairs.append(("margin", f"{now} now; without them {predicted} as estimated, {real} by a refit"))
            proof = "yes, the refit is closer to exact than the margin is wide" if self.proved else "no"
            pairs.append(("proved", proof))
        blocks: tuple[Block, ...] = (Sentence(self.sentence, strong=True), Facts(tuple(pairs)))
        return Document("Smallest flip", _head(self), sections=(Section("", "flip", blocks),))

    def __str__(self) -> str:
        return render(self.document())

    def _repr_html_(self) -> str:
        return fragment(self.document())


def _head(flip: SmallestFlip) -> str:
    return count(len(flip.rows), "row") if flip.found else "none found"


def _ids(rows: tuple[Any, ...]) -> str:
    more = len(rows) - LISTED
    return among(rows[:LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _said(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)
