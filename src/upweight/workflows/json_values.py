"""Values, checks and grades as JSON has them: what is no number is null, an id is a plain value.

Stands on validation; the commands' JSON and the evidence record stand on it.
"""

import math
from collections.abc import Sequence
from typing import Any

from upweight.validation.check import Check
from upweight.validation.grade import Grade

__all__ = ["as_number", "as_plain", "check_form", "grade_form"]


def as_number(x: float | None) -> float | None:
    """A finite float, else None."""
    return float(x) if x is not None and math.isfinite(x) else None


def as_plain(x: Any) -> Any:
    """An id, a label or a cell: numbers, text and lists of them as they are, all else as text."""
    if hasattr(x, "item") and getattr(x, "shape", None) == ():
        x = x.item()
    if isinstance(x, float):
        return as_number(x)
    if x is None or isinstance(x, str | int | bool):
        return x
    return [as_plain(y) for y in x] if isinstance(x, Sequence) else str(x)


def check_form(check: Check) -> dict[str, Any]:
    """Estimates beside refits."""
    return {
        "measurement": check.measurement,
        "unit": check.unit,
        "rows": [as_plain(row) for row in check.row_ids],
        "estimate": [[as_number(x) for x in line] for line in check.estimate.tolist()],
        "refit": [[as_number(x) for x in line] for line in check.refit.tolist()],
        "pearson": as_number(check.pearson),
        "spearman": as_number(check.spearman),
        "slope": as_number(check.slope),
        "signs": as_number(check.signs),
        "intervals": {name: list(span) for name, span in check.comparison.intervals.items()},
        "noise_floor": as_number(check.noise_floor),
        "own_solver_gap": as_number(check.noise.gap),
        "ranking": {name: as_number(value) for name, value in check.ranking},
        "groups": [
            {"name": g.name, "rows": g.rows, "estimate": as_number(g.estimate), "refit": as_number(g.refit)}
            for g in check.groups
        ],
        "unfinished": check.unfinished,
    }


def grade_form(grade: Grade) -> dict[str, Any]:
    """The letter and why."""
    return {
        "letter": grade.letter,
        "checked": grade.checked,
        "reasons": list(grade.reasons),
        "would_raise": list(grade.would_raise),
    }
