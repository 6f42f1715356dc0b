"""Lines of characters: cleaned, turned to ASCII, wrapped, padded and put side by side, by the cells they fill.

Stands on rich's table of cell widths; terminal and html clean what they show with it.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from rich.cells import cell_len, chop_cells

__all__ = ["beside", "clean", "command_lines", "mapped", "pad", "to_ascii", "width_of", "wrap"]

T = TypeVar("T")

_ASCII = str.maketrans(
    {
        **{"·": "|", "…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "▲": "^", "▼": "v", "●": "*", "○": "o"},
        **{"▸": ">", "“": '"', "”": '"', "‘": "'", "’": "'", "„": '"', "≤": "<=", "≥": ">=", "≈": "~"},
        **{"→": "->", "←": "<-", "≠": "!=", "½": "1/2", "µ": "u", "μ": "u", "°": " deg"},
    }
)
_POWER = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\ufeff")
_GLUED = re.compile(r"(?<=\d) (?=%)|(?<=[▲▼^v]) (?=helpful|harmful|removal )")  # one thing, one line
_TOKEN = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*'|["'])+""")


def mapped(value: T, change: Callable[[str], str]) -> T:
    """The same frozen value with every string in it changed, however deep."""
    seen: Any = value
    if isinstance(seen, str):
        return change(seen)  # type: ignore[return-value]
    if isinstance(seen, tuple):
        return tuple(mapped(item, change) for item in seen)  # type: ignore[return-value]
    if isinstance(seen, frozenset):
        return frozenset(mapped(item, change) for item in seen)  # type: ignore[return-value]
    if is_dataclass(seen) and not isinstance(seen, type):
        changes = {f.name: mapped(getattr(seen, f.name), change) for f in fields(seen)}
        return replace(seen, **changes)  # type: ignore[return-value]
    return value


def clean(text: str) -> str:
    """The text without what a terminal or a browser would obey: control and direction characters."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cs") or c in _DIRECTIONS else c for c in text)


def to_ascii(text: str) -> str:
    """The text in ASCII: our own signs by their likeness, accents dropped, other letters as \\u escapes."""
    text = _POWER.sub(lambda power: "^" + unicodedata.normalize("NFKC", power[0]).replace("−", "-"), text)
    text = text.translate(_ASCII)
    plain = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(plain).encode("ascii", "backslashreplace").decode("ascii")


def width_of(text: str) -> int:
    """The cells that the text fills in a terminal."""
    return cell_len(text)


def wrap(text: str, width: int, hanging: int = 0) -> list[str]:
    """Lines of at most `width` cells, broken at spaces (inside a word only where it is longer than a line).

    hanging: cells by which every line after the first is indented. An empty text is one empty line.
    """
    width, lines, line = max(width, hanging + 4, 4), [], ""
    for word in _GLUED.sub("\u00a0", text).split(" "):
        joined = f"{line} {word}" if line.strip() else line + word
        if cell_len(joined) <= width:
            line = joined
            continue
        if line.strip():
            lines.append(line)
            line = " " * hanging
        while cell_len(line + word) > width:
            head = chop_cells(word, width - cell_len(line))[0]
            lines.append(line + head)
            line, word = " " * hanging, word[len(head) :]
        line += word
    return [done.replace("\u00a0", " ").rstrip() for done in [*lines, line]]


def pad(text: str, width: int, align: str = "left") -> str:
    """The text with spaces up to `width` cells."""
    spaces = " " * max(0, width - cell_len(text))
    return spaces + text if align == "right" else text + spaces


def beside(columns: Sequence[Sequence[str]], widths: Sequence[int], gap: int = 0) -> list[str]:
    """Blocks of lines side by side, each padded to its width."""
    height = max((len(column) for column in columns), default=0)
    lines = []
    for i in range(height):
        cells = [pad(c[i] if i < len(c) else "", w) for c, w in zip(columns, widths, strict=True)]
        lines.append((" " * gap).join(cells).rstrip())
    return lines


def _options(line: str) -> list[str]:
    """The words of a command, an option together with its value."""
    parts: list[str] = []
    for token in _TOKEN.findall(line):
        if parts and parts[-1].startswith("--") and " " not in parts[-1] and not token.startswith("-"):
            parts[-1] += f" {token}"
        else:
            parts.append(token)
    return parts


def command_lines(line: str, width: int) -> list[str]:
    """A shell command over lines that still paste as one: broken between words, each line but the last ends in \\.

    Where a word is longer than a line it is broken too, and then no line is indented: each must start in column 0,
    as whatever stands before the rest of a word would paste as a space.
    """
    words = _options(line)
    flush = any(cell_len(word) > width - 4 for word in words)
    if flush:
        words = [piece for word in _TOKEN.findall(line) for piece in _pieces(word, width - 2)]
    lines, now = [], ""
    for word in words:
        start = "" if now.endswith("\\") else " "
        joined = now + start + word if now else word
        if now and (start == "" or cell_len(joined) > width - 2):
            lines.append(now if start == "" else now + " \\")
            now = word if flush else "  " + word
        else:
            now = joined
    return [*lines, now]


def _pieces(word: str, width: int) -> list[str]:
    """A word cut into pieces that the shell joins again; a single quote is closed before a cut and opened after it."""
    pieces: list[str] = []
    while cell_len(word) > width:
        head = chop_cells(word, width - 1)[0].rstrip("\\")
        quoted = head.count("'") % 2 == 1 and '"' not in head
        pieces.append(head + ("'" if quoted else "") + "\\")
        word = ("'" if quoted else "") + word[len(head) :]
    return [*pieces, word]
