"""Where benchmarks write: a table to the screen and beside it, with everything behind it, as JSON."""

import json
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "write"]

RESULTS = Path(__file__).parent / "results"


def write(name: str, document: dict[str, Any], table: str) -> None:
    """results/NAME.json and results/NAME.txt; the table is printed."""
    print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (RESULTS / f"{name}.txt").write_text(table + "\n", encoding="utf-8")
