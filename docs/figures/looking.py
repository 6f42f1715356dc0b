"""Draws docs/figures/looking_scores.svg and looking_check.svg: what docs/looking.md plots, by running that page.

python docs/figures/looking.py
"""

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
mpl.rcParams.update({"svg.hashsalt": "upweight", "svg.fonttype": "none", "font.size": 9})

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import blocks  # noqa: E402
from matplotlib import pyplot  # noqa: E402

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Both pictures."""
    page = HERE.parent / "looking.md"
    space: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(blocks.Printed()),
    ):
        for block in blocks.blocks(page.read_text(encoding="utf-8")):
            if block.kind == "python":
                exec(compile(block.body, str(page), "exec"), space)
    for name, plotted in (("scores", space["scores"].plot), ("check", space["check"].plot)):
        figure, axes = pyplot.subplots(figsize=(5.6, 4.0), layout="constrained")
        plotted(ax=axes)
        for points in axes.collections:
            points.set_rasterized(name == "check")  # 2,760 pairs
        figure.savefig(HERE / f"looking_{name}.svg", metadata={"Date": None}, dpi=160)
        print(f"docs/figures/looking_{name}.svg: drawn anew, {os.path.getsize(HERE / f'looking_{name}.svg'):,} bytes")


if __name__ == "__main__":
    main()
