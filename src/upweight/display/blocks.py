"""Everything that is shown, as frozen values: a document, its sections, and the blocks in them.

Stands on words and numpy; workflows and faces build these, terminal and html draw them. A block holds text
that is ready to be read (words.py wrote it) and knows nothing of models. Source: UX.md 1 and 4.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from upweight.display.words import CHECKED_B, GRADES, Verdict

__all__ = [
    "Block",
    "CardGroup",
    "Column",
    "Command",
    "Document",
    "Facts",
    "FieldsView",
    "GradeView",
    "Picture",
    "Point",
    "Reasons",
    "RowCard",
    "RowCards",
    "RowTable",
    "RowView",
    "Scatter",
    "Section",
    "Sentence",
    "TableRow",
    "TextView",
]


@dataclass(frozen=True, eq=False)
class Picture:
    """A grey picture [height, width]: any numbers; the greatest is ink, or the least where ink is "low"."""

    pixels: NDArray[Any]
    alt: str = "picture"
    ink: Literal["high", "low"] = "high"

    def __post_init__(self) -> None:
        shape = np.shape(self.pixels)
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"picture {self.alt!r}: its pixels have shape {shape}. Give a [height, width] array.")


@dataclass(frozen=True)
class TextView:
    """A text in parts, in order: (characters, whether they matter)."""

    parts: tuple[tuple[str, bool], ...]

    @property
    def text(self) -> str:
        """The whole text, without marks."""
        return "".join(part for part, _ in self.parts)


@dataclass(frozen=True)
class FieldsView:
    """A row's columns by name and ready value; marked: names that matter; more: how many are not shown."""

    fields: tuple[tuple[str, str], ...]
    marked: frozenset[str] = frozenset()
    more: int = 0


RowView = Picture | TextView | FieldsView


@dataclass(frozen=True)
class GradeView:
    """A grade with its reasons and what would raise it; checked: real refits stand behind it."""

    letter: Literal["A", "B", "C", "D"]
    reasons: tuple[str, ...] = ()
    would_raise: tuple[str, ...] = ()
    checked: bool = False

    @property
    def meaning(self) -> str:
        """What the letter says, in the words of UX.md 6; a B that was refitted says so."""
        return CHECKED_B if self.letter == "B" and self.checked else GRADES[self.letter]


@dataclass(frozen=True)
class Sentence:
    """One paragraph; strong: the answer of its section."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Facts:
    """Label and value pairs, one a line; a label may be empty where a value goes on."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Column:
    """A table's column: its heading, and which side its cells stand on."""

    name: str
    align: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class TableRow:
    """One training row in a table: its id, one cell for each column after the id, and its verdict."""

    id: str
    cells: tuple[str, ...]
    verdict: Verdict | None = None


@dataclass(frozen=True)
class RowTable:
    """Training rows, one a line: id, columns (estimate and refit beside each other), the verdict last."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    id_name: str = "row"

    def __post_init__(self) -> None:
        wrong = [row.id for row in self.rows if len(row.cells) != len(self.columns)]
        if wrong:
            raise ValueError(
                f"table {self.caption!r}: row {wrong[0]!r} has another number of cells than the "
                f"{len(self.columns)} columns. Give one cell for each column after the id."
            )


@dataclass(frozen=True)
class RowCard:
    """One row as it is: id, label, the change in short ("fall 11 %"), the whole sentence, its verdict.

    id_name "" leaves the word before the id away (the query that was asked about may have a title instead).
    """

    id: str
    view: RowView | None = None
    label: str = ""
    short: str = ""
    sentence: str = ""
    verdict: Verdict | None = None
    id_name: str = "row"


@dataclass(frozen=True)
class CardGroup:
    """A ranked list of rows under one title; verdict None: for comparison (the nearest rows)."""

    title: str
    cards: tuple[RowCard, ...]
    verdict: Verdict | None = None


@dataclass(frozen=True)
class RowCards:
    """The row that was asked about (where there is one) and ranked lists of rows beside it."""

    groups: tuple[CardGroup, ...]
    asked: RowCard | None = None


@dataclass(frozen=True)
class Point:
    """A dot of a scatter: its place, its name (row id), its verdict (▲ ▼, else a circle)."""

    x: float
    y: float
    id: str = ""
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Scatter:
    """Dots on two axes: estimate against refit with the line y = x, or the Map with the line y = 0.

    Points that are not finite are left out and counted by the renderers; caption says what is seen, in words.
    """

    caption: str
    x_label: str
    y_label: str
    points: tuple[Point, ...]
    line: Literal["y = x", "y = 0"] | None = None


@dataclass(frozen=True)
class Reasons:
    """The grade, spelled out: letter, what it means, why, and what would raise it."""

    grade: GradeView


@dataclass(frozen=True)
class Command:
    """A line that can be pasted into a shell as it stands, with the word before it ("Next")."""

    line: str
    label: str = "Next"
    note: str = ""


Block = Sentence | Facts | RowTable | RowCards | RowCard | Scatter | Reasons | Command | Picture | TextView | FieldsView


@dataclass(frozen=True)
class Section:
    """Blocks under a heading; anchor: its name in a link; title "" : no heading; note: beside the heading."""

    title: str
    anchor: str
    blocks: tuple[Block, ...]
    note: str = ""


@dataclass(frozen=True)
class Document:
    """One page, read from top to bottom: what this is, the answer, the grade, the sections, the last line."""

    title: str
    subtitle: str = ""
    headline: tuple[str, ...] = ()
    grade: GradeView | None = None
    sections: tuple[Section, ...] = field(default=())
    footer: str = ""
