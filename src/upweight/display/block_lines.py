"""Each block as plain lines of at most so many cells: tables, cards, plots and pictures in characters.

Stands on blocks, words, text, pictures and plots; terminal puts the lines on a page. Source: UX.md 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from upweight.display.blocks import (
    Block,
    CardGroup,
    Command,
    Facts,
    FieldsView,
    Picture,
    Reasons,
    RowCard,
    RowCards,
    RowTable,
    RowView,
    Scatter,
    Sentence,
    TextView,
)
from upweight.display.pictures import half_blocks, shades
from upweight.display.plots import characters, described
from upweight.display.text import beside, command_lines, pad, to_ascii, width_of, wrap
from upweight.display.words import Verdict, mark, verdict_label

__all__ = ["GAP", "LABEL", "BlockLines"]

GAP = 3  # cells between columns
LABEL = 10  # cells of a label: one column of values down the page


@dataclass(frozen=True)
class BlockLines:
    """Blocks as lines; unicode: whether half blocks and ▲ ▼ may be used (every string is ASCII already where not)."""

    unicode: bool

    def block(self, block: Block, width: int, heading: str = "") -> list[str]:
        """One block's lines; heading: the section's title, which a caption need not repeat."""
        if isinstance(block, Sentence):
            return wrap(block.text, width)
        if isinstance(block, Facts | Reasons | Command):
            return self.labelled([block], width)
        if isinstance(block, RowTable):
            return self._table(block, width, heading)
        if isinstance(block, RowCards):
            return self._cards(block, width)
        if isinstance(block, RowCard):
            return self._card(block, width)
        if isinstance(block, Scatter):
            return self._scatter(block, width)
        return self._view(block, width)

    def labelled(self, run: Sequence[Block], width: int) -> list[str]:
        """Facts, grades and commands under one another, their values in one column."""
        pairs: list[tuple[str, list[str]]] = []
        labels = [name for block in run for name in _labels(block)]
        across = min(max([LABEL, *(width_of(name) + GAP for name in labels)]), width // 2)
        room = width - across
        for block in run:
            if isinstance(block, Facts):
                pairs += [(label, wrap(value, room)) for label, value in block.pairs]
            elif isinstance(block, Reasons):
                grade = block.grade
                pairs.append(("Grade", wrap(f"{grade.letter}   {grade.meaning}", room, hanging=4)))
                said = [
                    *grade.reasons,
                    *([f"would raise it: {'; '.join(grade.would_raise)}"] if grade.would_raise else []),
                ]
                pairs += [("", ["    " + line for line in wrap(text, room - 4)]) for text in said]
            elif isinstance(block, Command):
                pairs.append((block.label, command_lines(block.line, room)))
                pairs += [("", wrap(block.note, room))] if block.note else []
        lines: list[str] = []
        for label, value in pairs:
            lines += beside([wrap(label, max(across - 1, 4)), value], [across, 0])
        return lines

    def _table(self, table: RowTable, width: int, heading: str) -> list[str]:
        aligns = ["right", *(column.align for column in table.columns), "left"]
        grid = [[table.id_name, *(column.name for column in table.columns), ""]]
        grid += [[row.id, *row.cells, self._verdict(row.verdict)] for row in table.rows]
        widths = [max(width_of(line[i]) for line in grid) for i in range(len(aligns))]
        gap = GAP if sum(widths) + GAP * (len(widths) - 1) <= width else 2
        least = [max(width_of(word) for line in grid for word in line[i].split(" ")) for i in range(len(aligns))]
        while sum(widths) + gap * (len(widths) - 1) > width and widths != least:
            room, widest = max((w - low, i) for i, (w, low) in enumerate(zip(widths, least, strict=True)))
            widths[widest] -= min(room, 1)
        lines = wrap(table.caption, width) if table.caption and table.caption != heading else []
        if sum(widths) + gap * (len(widths) - 1) > width:  # too many columns for the page: one row under another
            for cells in grid[1:]:
                named = (f"{name}: {cell}" if name else cell for name, cell in zip(grid[0], cells, strict=True))
                lines += wrap(", ".join(part for part in named if part), width, hanging=2)
            return lines
        for cells in grid if table.rows else ():
            wrapped = [
                [pad(part, w, align) for part in wrap(cell, w)]
                for cell, w, align in zip(cells, widths, aligns, strict=True)
            ]
            lines += beside(wrapped, widths, gap)
        return lines if table.rows else [*lines, "none"]

    def _cards(self, cards: RowCards, width: int) -> list[str]:
        asked = cards.asked
        if asked is None or not isinstance(asked.view, Picture):
            above = [] if asked is None else ["asked", *self._card(asked, width)]
            return [*above, *self._groups(cards.groups, width)]
        left = ["asked", *self._view(asked.view, width), *wrap(self._name(asked), 12)]
        left += wrap(asked.short, 12) if asked.short else []
        across = max(width_of(line) for line in left) + GAP
        if width - across < 30:
            return [*left, *self._groups(cards.groups, width), *self._said(asked, width)]
        lines = beside([left, self._groups(cards.groups, width - across)], [across, 0])
        return [*lines, *self._said(asked, width)]

    def _groups(self, groups: Sequence[CardGroup], width: int) -> list[str]:
        lines: list[str] = []
        for group in groups:
            sign = mark(group.verdict, self.unicode) if group.verdict else self.sign("○")
            lines += wrap(f"{sign} {group.title}", width, hanging=2)
            small = all(isinstance(c.view, Picture) and not c.sentence for c in group.cards)
            if not group.cards:
                lines.append("  none")
            elif small:
                lines += self._grid(group.cards, width)
            else:
                lines += ["  " + line for card in group.cards for line in self._card(card, width - 2)]
        return lines

    def _grid(self, cards: Sequence[RowCard], width: int) -> list[str]:
        """Pictures side by side; the caption is one line where all of them stand in one row, else two."""
        drawn = [self._view(card.view, width) if card.view else [] for card in cards]
        captions = [[f"{self._name(card)}  {card.short}".rstrip()] for card in cards]
        across = [max(map(width_of, [*caption, *view])) for caption, view in zip(captions, drawn, strict=True)]
        if sum(across) + GAP * (len(across) - 1) > width:
            captions = [[self._name(card), card.short] if card.short else [self._name(card)] for card in cards]
            across = [max(map(width_of, [*caption, *view])) for caption, view in zip(captions, drawn, strict=True)]
        one = min(max(across, default=0), width)
        per_line = max(1, (width + GAP) // (one + GAP))
        blocks = [
            [part for line in caption for part in wrap(line, one)] + view
            for caption, view in zip(captions, drawn, strict=True)
        ]
        lines: list[str] = []
        for start in range(0, len(blocks), per_line):
            now = blocks[start : start + per_line]
            lines += beside(now, [one] * len(now), GAP)
        return lines

    def _card(self, card: RowCard, width: int) -> list[str]:
        """A row with its words: a picture stands left of them, text and fields under them."""
        head = "  ".join(part for part in (self._name(card), card.short, self._verdict(card.verdict)) if part)
        if isinstance(card.view, Picture):
            picture = self._view(card.view, width)
            across = max(map(width_of, picture)) + GAP
            if width - across >= 24:
                said = [*wrap(head, width - across), *self._said(card, width - across)]
                return beside([picture, said], [across, 0])
            return [*wrap(head, width), *picture, *self._said(card, width)]
        view = ["  " + line for line in self._view(card.view, width - 2)] if card.view else []
        return [*wrap(head, width), *["  " + line for line in self._said(card, width - 2)], *view]

    def _scatter(self, scatter: Scatter, width: int) -> list[str]:
        words = described(scatter) + (f"; dotted: {scatter.line}" if scatter.line else "")
        plot = characters(scatter, min(width, 64), unicode=self.unicode)
        return [*wrap(scatter.caption, width), *plot, *wrap(words, width)]

    def _view(self, view: RowView, width: int) -> list[str]:
        if isinstance(view, Picture):
            at_most = min(width, 32)
            return half_blocks(view, at_most) if self.unicode else shades(view, at_most)
        if isinstance(view, TextView):
            return wrap(_with_marks(view), width)
        return wrap(self._fields(view), width)

    def _fields(self, view: FieldsView) -> str:
        named = (f"{self.sign('▸') + ' ' if name in view.marked else ''}{name} {value}" for name, value in view.fields)
        line = f" {self.sign('·')} ".join(named)
        return f"{line}, and {view.more:,} more" if view.more else line

    def _name(self, card: RowCard) -> str:
        label = f'"{card.label}"' if card.label else ""
        return "  ".join(part for part in (f"{card.id_name} {card.id}".strip(), label) if part)

    def _said(self, card: RowCard, width: int) -> list[str]:
        return wrap(card.sentence, width) if card.sentence else []

    def _verdict(self, verdict: Verdict | None) -> str:
        return f"{mark(verdict, self.unicode)} {verdict_label(verdict)}" if verdict else ""

    def sign(self, sign: str) -> str:
        """The sign, or its ASCII stand-in."""
        return sign if self.unicode else to_ascii(sign)


def _labels(block: Block) -> list[str]:
    """The labels that a block puts in the left column."""
    if isinstance(block, Facts):
        return [label for label, _ in block.pairs]
    return ["Grade"] if isinstance(block, Reasons) else [block.label] if isinstance(block, Command) else []


def _with_marks(view: TextView) -> str:
    """The text with *stars* around the words that matter."""
    return "".join(f"*{part}*" if matters else part for part, matters in view.parts)
