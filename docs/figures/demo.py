"""Draws docs/figures/demo.svg: what `upweight demo` prints, from a real run.

    python docs/figures/demo.py

Letters are text, block characters are rectangles, so that the digits look the same whatever font the reader has.
"""

import os
import re
import sys
import tempfile
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import blocks

HERE = Path(__file__).resolve().parent
CELL, LINE, MARGIN, COLUMNS = 8.4, 17.0, 18.0, 80  # pixels of a character, of a line, around all of it
BLOCKS = {"█": (0.0, 1.0), "▀": (0.0, 0.5), "▄": (0.5, 0.5)}  # where in its line a block starts, and how high it is
STYLE = (
    "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1d2530;"
    "white-space:pre}.ink{fill:#1d2530}.up{fill:#0b63a5}.down{fill:#b84a00}.strong{font-weight:700}"
)


def printed() -> list[str]:
    """The lines of `upweight demo`."""
    with tempfile.TemporaryDirectory() as empty:
        here = os.getcwd()
        os.chdir(empty)
        try:
            return blocks.call("upweight demo").rstrip().split("\n")
        finally:
            os.chdir(here)


def drawn(lines: list[str]) -> str:
    """The lines as one SVG."""
    width, height = 2 * MARGIN + CELL * COLUMNS, 2 * MARGIN + LINE * len(lines)
    parts = []
    for i, line in enumerate(lines):
        top = MARGIN + LINE * i
        parts += [_ink(m.start(), m.group(), top) for m in re.finditer(r"█+|▀+|▄+", line)]
        for m in re.finditer(r"[^█▀▄\s]+(?: [^█▀▄\s]+)*", line):
            x, size = MARGIN + CELL * m.start(), CELL * len(m.group())
            parts.append(
                f'<text x="{x:.1f}" y="{top + 13:.1f}" textLength="{size:.1f}"{_class(i, m.group())}>'
                f"{escape(m.group())}</text>"
            )
    described = "What make demo prints: a digit that the model reads wrongly, the training rows behind it, a check."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'role="img" aria-label="{described}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" rx="8" fill="#f7f8fa" stroke="#d5dae1"/>{"".join(parts)}</svg>\n'
    )


def _ink(column: int, run: str, top: float) -> str:
    start, size = BLOCKS[run[0]]
    x, width = MARGIN + CELL * column, CELL * len(run)
    return (
        f'<rect class="ink" x="{x:.1f}" y="{top + LINE * start:.1f}" width="{width:.1f}" height="{LINE * size:.1f}"/>'
    )


def _class(line: int, text: str) -> str:
    kind = "strong" if line == 0 else "up" if "▲" in text else "down" if "▼" in text else ""
    return f' class="{kind}"' if kind else ""


if __name__ == "__main__":
    (HERE / "demo.svg").write_text(drawn(printed()), encoding="utf-8")
    print("docs/figures/demo.svg: drawn anew")
