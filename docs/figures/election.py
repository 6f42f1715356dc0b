"""Draws docs/figures/election.svg: estimates against real removals on the election table, by our own plot.

    python docs/figures/election.py

The page docs/election.md is run for the numbers, so that the figure shows what the page says.
"""

import contextlib
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import blocks

from upweight.display.blocks import Point, Scatter
from upweight.display.plots import svg

HERE = Path(__file__).resolve().parent
# the report's page colours these; a picture on its own brings them along
STYLE = "text{font:12px system-ui,sans-serif;fill:#1d2530}svg{background:#f7f8fa}"


def main() -> str:
    """The scatter as a file of its own."""
    page = HERE.parent / "election.md"
    space: dict[str, Any] = {}
    with contextlib.redirect_stdout(blocks.Printed()):
        for block in blocks.blocks(page.read_text(encoding="utf-8")):
            if block.kind == "python":
                exec(compile(block.body, str(page), "exec"), space)
    check = space["check"]
    points = tuple(
        Point(float(e), float(t), str(row))
        for row, e, t in zip(check.row_ids, check.estimate[0], check.refit[0], strict=True)
    )
    caption = "one query of the election table: estimate against real removal"
    drawn = svg(Scatter(caption, f"estimate ({check.unit})", f"refit ({check.unit})", points, "y = x"), "election")
    return drawn.replace(">", f"><style>{STYLE}</style>", 1) + "\n"


if __name__ == "__main__":
    (HERE / "election.svg").write_text(main(), encoding="utf-8")
    print("docs/figures/election.svg: drawn anew")
