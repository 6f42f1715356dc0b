"""Draws docs/figures/looking.svg: the two plots of docs/looking.md, by running that page.

python docs/figures/looking.py
"""

import contextlib
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
    """Influence over distance, and refits over estimates beside it."""
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
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
    space["scores"].plot(ax=left)
    for points in space["check"].plot(ax=right).collections:
        points.set_rasterized(True)  # 2,760 pairs
    figure.savefig(HERE / "looking.svg", metadata={"Date": None}, dpi=160)
    print("docs/figures/looking.svg: drawn anew")


if __name__ == "__main__":
    main()
