"""A row of the user's own columns as what it is: a picture, a text, or fields.

Stands on blocks and words; workflows call it for every row that is shown. It reads anything with `items()`: a dict
or a pandas Series, so that it imports no pandas.
"""

import math
import re
from collections.abc import Collection, Iterable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from upweight.display.blocks import FieldsView, Picture, RowView, TextView
from upweight.display.words import absent, number

__all__ = ["Row", "pixels", "row_view"]

_PIXEL = re.compile(r"pixel_(\d+)_(\d+)")
_LONG_TEXT = 40  # characters: a name or a category is shorter
_SMALLEST_SIDE = 2


@runtime_checkable
class Row(Protocol):
    """One row: names and values (dict, pandas Series)."""

    def items(self) -> Iterable[tuple[object, object]]:
        """(name, value), in the order of the columns."""
        ...


def row_view(row: Row, at_most: int = 8, marked: Collection[str] = (), cut: int = 280, alt: str = "picture") -> RowView:
    """The row as a Picture (columns pixel_R_C), a TextView (one long text) or a FieldsView, in this order.

    at_most: fields shown, marked ones first kept; marked: names of fields, or words of the text, that matter;
    cut: characters of a text that are shown; alt: what the picture is, in words.
    """
    picture = pixels(row)
    if picture is not None:
        return Picture(picture, alt)
    pairs = [(str(name), value) for name, value in row.items()]
    texts = [value for _, value in pairs if isinstance(value, str) and len(value) >= _LONG_TEXT]
    if len(texts) == 1:
        return _text(texts[0], marked, cut)
    kept = {name for name, _ in pairs if name in marked}
    room = max(at_most - len(kept), 0)
    for name, _ in pairs:
        if name not in kept and room > 0:
            kept, room = kept | {name}, room - 1
    shown = tuple((name, _value(value)) for name, value in pairs if name in kept)
    return FieldsView(shown, frozenset(kept & set(marked)), len(pairs) - len(shown))


def pixels(row: Row) -> NDArray[np.float64] | None:
    """The picture [height, width] in columns pixel_R_C, or None unless they fill a rectangle with finite numbers.

    R and C count from 0 or from 1; columns of other names are left aside.
    """
    found: dict[tuple[int, int], float] = {}
    for name, value in row.items():
        place = _PIXEL.fullmatch(str(name))
        if place is None:
            continue
        try:
            grey = float(value)  # type: ignore[arg-type]  # what is no number raises
        except (TypeError, ValueError):
            return None
        if not math.isfinite(grey):
            return None
        found[int(place[1]), int(place[2])] = grey
    if not found:
        return None
    top, left = (min(place[axis] for place in found) for axis in (0, 1))
    height, width = (max(place[axis] for place in found) + 1 - start for axis, start in ((0, top), (1, left)))
    if len(found) != height * width or min(height, width) < _SMALLEST_SIDE:
        return None
    picture = np.empty((height, width))
    for (r, c), grey in found.items():
        picture[r - top, c - left] = grey
    return picture


def _text(text: str, marked: Collection[str], cut: int) -> TextView:
    """The start of a text, cut between words, with every marked word's span."""
    text = " ".join(text.split())
    if len(text) > cut:
        start = text[: cut - 1]
        text = (start.rsplit(" ", 1)[0] if " " in start[cut // 2 :] else start).rstrip() + "…"
    if not marked:
        return TextView(((text, False),))
    words = "|".join(re.escape(word) for word in sorted(marked, key=len, reverse=True))
    parts = re.split(rf"(?<!\w)({words})(?!\w)", text, flags=re.IGNORECASE)
    return TextView(tuple((part, i % 2 == 1) for i, part in enumerate(parts) if part))


def _value(value: object) -> str:
    """One value as a reader writes it; a missing one is a dash with its reason."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return absent("empty")
    if isinstance(value, float | np.floating):
        x = float(value)
        if not math.isfinite(x):
            return absent("empty" if math.isnan(x) else "infinite")
        return f"{x:.6g}".replace("-", "−") if x == 0 or 1e-4 <= abs(x) < 1e6 else number(x)
    if hasattr(value, "isoformat"):
        return str(value).removesuffix(" 00:00:00")
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return str(value)
