"""Changed training rows as they are shown: a picture, or each cell before → after, what moved first.

Stands on audit_parts and display; audit_passages puts the cards on a page.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from upweight.display.blocks import CardGroup, FieldsView, Picture, RowCard, RowCards, RowView
from upweight.display.row_view import pixels
from upweight.display.words import count, number
from upweight.workflows.audit_parts import AlteredRow
from upweight.workflows.passages import value

__all__ = ["RowOf", "altered_cards"]

RowOf = Callable[[Any], Mapping[str, Any]]  # a training row's id -> the row as it is, by column

FIELDS = 8  # cells of a row
FIGURES = 2  # digits of a change
DECIMALS = 12  # more would be rounding


def altered_cards(
    title: str, altered: Sequence[AlteredRow], row_of: RowOf | None, id_name: str, show_rows: bool, at_most: int
) -> RowCards:
    """The first at_most changed rows under one title. row_of None: only the cells that may move are known.

    show_rows False: by how much which column moved, and nothing of what the row holds.
    """
    more = len(altered) - at_most
    said = f"{title}; {count(more, 'more row')} changed with them" if more > 0 else title
    return RowCards((CardGroup(said, tuple(_card(a, row_of, id_name, show_rows) for a in altered[:at_most])),))


def _card(altered: AlteredRow, row_of: RowOf | None, id_name: str, show_rows: bool) -> RowCard:
    row = row_of(altered.row) if row_of is not None else None
    return RowCard(
        str(altered.row),
        _view(altered, row, show_rows, f"training {id_name} {altered.row}, changed"),
        value(altered.label) if show_rows and altered.label is not None else "",
        short=_moved(altered),
        id_name=id_name,
    )


def _moved(altered: AlteredRow) -> str:
    """ "3 of 4 cells moved", or in a picture by how much at most."""
    if not altered.moved:
        return "no cell moved"
    cells = f"{altered.moved:,} of {count(altered.before.size, 'cell')} moved"
    return cells if altered.columns else f"{cells}, by {number(float(np.abs(altered.change).max()))} at most"


def _view(altered: AlteredRow, row: Mapping[str, Any] | None, show_rows: bool, alt: str) -> RowView | None:
    if not altered.columns:
        return _of_array(altered, show_rows, alt)
    moves = dict(zip(altered.columns, zip(altered.before.tolist(), altered.after.tolist(), strict=True), strict=True))
    if show_rows:
        then = {**(row or {}), **{name: after for name, (_, after) in moves.items()}}
        picture = pixels(then)
        if picture is not None:
            return Picture(picture, alt)
    fields = list(_moving(moves, show_rows))
    marked = frozenset(name for name, _ in fields)
    if show_rows:
        stays = [name for name in row or moves if name not in marked]
        fields += [(str(name), value((row or {}).get(name, moves.get(name, (None,))[0]))) for name in stays]
    return FieldsView(tuple(fields[:FIELDS]), marked, max(0, len(fields) - FIELDS))


def _moving(moves: Mapping[str, tuple[float, float]], show_rows: bool) -> Iterator[tuple[str, str]]:
    """Name and "before → after" of each cell that moved; without rows its change alone."""
    for name, (before, after) in moves.items():
        if after != before:
            yield str(name), _arrow(before, after) if show_rows else _signed(after - before)


def _arrow(before: float, after: float) -> str:
    """Both with the digits that the change takes: "12.32 → 12.325"."""
    places = _places(after - before)
    return f"{_fixed(before, places)} → {_fixed(after, places)}"


def _signed(change: float) -> str:
    return ("+" if change > 0 else "") + _fixed(change, _places(change))


def _places(change: float) -> int:
    """Decimals that show FIGURES digits of this change."""
    return min(DECIMALS, max(0, FIGURES - 1 - math.floor(math.log10(abs(change)))))


def _fixed(x: float, places: int) -> str:
    text = f"{x:,.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "−") if text.strip("-0.") else "0"


def _of_array(altered: AlteredRow, show_rows: bool, alt: str) -> RowView | None:
    """A picture where it is one or three channels of two sides, else its numbers by place."""
    array = altered.after
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    elif array.ndim == 3 and 3 in (array.shape[0], array.shape[-1]):
        array = array.mean(axis=0 if array.shape[0] == 3 else -1)
    if array.ndim == 2:
        return Picture(array, alt) if show_rows else None
    moves = {f"[{i}]": pair for i, pair in enumerate(zip(altered.before.flat, altered.after.flat, strict=True))}
    fields = tuple(_moving(moves, show_rows))
    return FieldsView(fields[:FIELDS], frozenset(name for name, _ in fields), max(0, len(fields) - FIELDS))
