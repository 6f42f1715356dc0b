"""A document in a terminal: plain lines first, colour laid over them, never wider than asked.

Stands on blocks, block_lines, text and rich; the command line and `print(scores)` stand on it.
Source: the drawing in UX.md 1.
"""

import io
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from upweight.display.block_lines import GAP, LABEL, BlockLines
from upweight.display.blocks import (
    Block,
    Command,
    Document,
    Facts,
    GradeView,
    Reasons,
    RowCard,
    RowCards,
    RowTable,
    Scatter,
    Section,
    Sentence,
)
from upweight.display.text import clean, command_lines, mapped, pad, to_ascii, width_of, wrap

__all__ = ["render"]

_NARROWEST = 24
_COLOURS = (  # UX.md 5, dark theme: both are read on black and on white
    (re.compile(r"[▲^] (helpful|removal raises)"), "#2D8FD0"),
    (re.compile(r"[▼v] (harmful|removal lowers)"), "#D0751A"),
)


@dataclass(frozen=True)
class _Line:
    """One finished line and its style."""

    text: str
    style: str = ""


def render(document: Document, width: int = 80, color: bool | None = None, unicode: bool | None = None) -> str:
    """The document as text of at most `width` cells a line (24 at least), ending in a newline.

    color: None: on a terminal and without NO_COLOR; unicode: None: where stdout's encoding is UTF-8.
    """
    color = _colour_wanted() if color is None else color
    unicode = _unicode_wanted() if unicode is None else unicode
    shown = mapped(mapped(document, clean), str if unicode else to_ascii)
    lines = _Page(max(width, _NARROWEST), BlockLines(unicode)).document(shown)
    console = Console(
        file=io.StringIO(),
        width=max(width, _NARROWEST),
        force_terminal=color,
        color_system="truecolor" if color else None,
        no_color=not color,
        force_jupyter=False,  # in a notebook rich would show the text instead of returning it
        legacy_windows=False,
    )
    with console.capture() as capture:
        for line in lines:
            text = Text(line.text, style=line.style if color else "")
            for pattern, style in _COLOURS if color else ():
                text.highlight_regex(pattern, f"bold {style}")
            console.print(text, soft_wrap=True, markup=False, highlight=False, emoji=False)
    return capture.get()


@dataclass(frozen=True)
class _Page:
    """The lines of one page, `width` cells across; blocks: what draws each block."""

    width: int
    blocks: BlockLines

    def document(self, document: Document) -> list[_Line]:
        title = f"{document.title} {self.blocks.sign('·')} {document.subtitle}" if document.subtitle else document.title
        lines = [_Line(text, "bold") for text in self._title(title, document.grade)]
        lines += [_Line("")] if document.headline else []
        for answer in document.headline:
            lines += self._indented(wrap(answer, self.width - 2, hanging=2), 2, "bold")
        for section in document.sections:
            lines += [_Line(""), *self.section(section)]
        if document.footer:
            lines += [_Line(""), *self._indented(wrap(document.footer, self.width - 2), 2)]
        return lines

    def section(self, section: Section) -> list[_Line]:
        lines = [_Line("  " + text, "bold") for text in self._heading(section)]
        indent = 4 if lines else 2
        runs = self._runs(section.blocks)
        for number, run in enumerate(runs):
            tall = [isinstance(block, RowTable | RowCards | RowCard | Scatter) for block in run]
            if number and all(tall) and not isinstance(runs[number - 1][0], Sentence):
                lines.append(_Line(""))
            if isinstance(run[0], Command) and not self._fits(run[0]):
                lines += [_Line("  " + run[0].label), *map(_Line, command_lines(run[0].line, self.width))]
                lines += self._indented(wrap(run[0].note, self.width - indent), indent) if run[0].note else []
            elif isinstance(run[0], Facts | Reasons | Command):
                lines += self._indented(self.blocks.labelled(run, self.width - indent), indent)
            else:
                style = "bold" if isinstance(run[0], Sentence) and run[0].strong else ""
                lines += self._indented(self.blocks.block(run[0], self.width - indent, section.title), indent, style)
        return lines

    def _title(self, title: str, grade: GradeView | None) -> list[str]:
        if grade is None:
            return wrap(title, self.width)
        said = f"Grade {grade.letter}" + (f"  {self.blocks.sign('●')} checked" if grade.checked else "")
        if width_of(title) + width_of(said) + GAP <= self.width:
            return [pad(title, self.width - width_of(said)) + said]
        return [*wrap(title, self.width), said]

    def _heading(self, section: Section) -> list[str]:
        if not section.title:
            return []
        room = self.width - 2
        if section.note and width_of(section.title) + width_of(section.note) + GAP <= room:
            return [pad(section.title, room - width_of(section.note)) + section.note]
        return [*wrap(section.title, room), *(wrap(section.note, room) if section.note else [])]

    def _runs(self, blocks: Sequence[Block]) -> list[list[Block]]:
        """Facts, grades and commands that follow each other share a column; every other block stands alone."""
        runs: list[list[Block]] = []
        shared = False
        for block in blocks:
            labelled = isinstance(block, Facts | Reasons) or (isinstance(block, Command) and self._fits(block))
            if labelled and shared:
                runs[-1].append(block)
            else:
                runs.append([block])
            shared = labelled
        return runs

    def _fits(self, command: Command) -> bool:
        """Whether no word of the command must be cut to stand in the column of values."""
        room = self.width - 4 - max(LABEL, width_of(command.label) + GAP)
        return all(width_of(line) <= room for line in command_lines(command.line, room)) and not any(
            width_of(word) > room - 4 for word in command.line.split()
        )

    def _indented(self, lines: Sequence[str], indent: int, style: str = "") -> list[_Line]:
        return [_Line((" " * indent + line).rstrip(), style) for line in lines]


def _colour_wanted() -> bool:
    """A terminal that shows colour, and nobody asked for none (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _unicode_wanted() -> bool:
    """Whether stdout's encoding carries half blocks."""
    return "utf" in (getattr(sys.stdout, "encoding", None) or "").lower()
