"""Results as JSON: stable keys, documented in docs/commands.md; `upweight` is the version of the form.

Numbers are in the unit named beside them; a value that could not be computed is null.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from upweight.influence import SmallestFlip
from upweight.validation.check import Check
from upweight.validation.grade import Grade
from upweight.workflows.explanation import Explanation, Prediction, RowEffect, SharedHarm
from upweight.workflows.table_model import TableModel

__all__ = ["FORM", "check_form", "explanation_form", "grade_form", "held_out_form"]

FORM = 1


def explanation_form(explanation: Explanation, show_rows: bool) -> dict[str, Any]:
    """What `explain` found."""
    overall = explanation.overall
    return {
        "id": explanation.id_name,
        "target": explanation.target,
        "kind": explanation.kind,
        "model": explanation.model_name,
        "train_rows": explanation.train_rows,
        "predictions": [_prediction(p, show_rows) for p in explanation.predictions],
        "harmful_overall": None
        if overall is None
        else {
            "measurement": overall.measurement.removeprefix("the "),
            "unit": overall.unit,
            "now": _number(overall.now),
            "held_out_rows": overall.held_out,
            "measured_on": overall.queries,
            "rows": [_effect(e, show_rows) for e in overall.rows],
        },
        "shared_harm": _shared(explanation.shared) if show_rows else None,
        "check": check_form(explanation.check),
        "grade": grade_form(explanation.grade),
        "how": explanation.how,
        "meaning": explanation.meaning,
        "notes": list(explanation.notes),
    }


def check_form(check: Check) -> dict[str, Any]:
    """Estimates beside refits."""
    return {
        "measurement": check.measurement,
        "unit": check.unit,
        "rows": [_plain(row) for row in check.row_ids],
        "estimate": [[_number(x) for x in line] for line in check.estimate.tolist()],
        "refit": [[_number(x) for x in line] for line in check.refit.tolist()],
        "pearson": _number(check.pearson),
        "spearman": _number(check.spearman),
        "slope": _number(check.slope),
        "signs": _number(check.signs),
        "intervals": {name: list(span) for name, span in check.comparison.intervals.items()},
        "noise_floor": _number(check.noise_floor),
        "own_solver_gap": _number(check.noise.gap),
        "ranking": {name: _number(value) for name, value in check.ranking},
        "groups": [
            {"name": g.name, "rows": g.rows, "estimate": _number(g.estimate), "refit": _number(g.refit)}
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


def held_out_form(table: TableModel) -> dict[str, Any]:
    """The rows held out of training, and the columns that were respected in telling them apart."""
    order = table.arrangement
    return {
        "rows": len(table.held_out),
        "group": order.group_column,
        "time": order.time_column,
        "how": table.apart or None,
    }


def _prediction(prediction: Prediction, show_rows: bool) -> dict[str, Any]:
    for_name, against_name = prediction.sides
    out: dict[str, Any] = {
        "id": _plain(prediction.id),
        "origin": prediction.origin,
        "says": _plain(prediction.says),
        "probability": _number(prediction.sure),
        "measurement": prediction.measurement.removeprefix("the "),
        "unit": prediction.unit,
        for_name: [_effect(e, show_rows) for e in prediction.for_it],
        against_name: [_effect(e, show_rows) for e in prediction.against],
        "nearest": [_effect(e, show_rows) for e in prediction.nearest],
        "flip": _flip(prediction.flip),
    }
    if show_rows:
        out |= {"truth": _plain(prediction.truth), "now": _number(prediction.now), "row": _row(prediction.row)}
    return out


def _effect(effect: RowEffect, show_rows: bool) -> dict[str, Any]:
    out = {
        "id": _plain(effect.id),
        "estimate": _number(effect.estimate.change),
        "refit": _number(effect.refit.change),
        "verdict": effect.verdict,
    }
    if effect.similarity is not None:
        out["similarity"] = _number(effect.similarity)
    if show_rows:
        out |= {"label": _plain(effect.label), "row": _row(effect.row)}
    return out


def _shared(shared: SharedHarm | None) -> dict[str, Any] | None:
    if shared is None:
        return None
    return {
        "mistakes": shared.mistakes,
        "groups": [
            {
                "count": len(group.mistakes),
                "mistakes": [
                    {
                        "id": _plain(one.id),
                        "truth": _plain(one.truth),
                        "says": _plain(one.says),
                        "then_says": _plain(one.after),
                        "now": _number(one.refit.base),
                        "estimate": _number(one.estimate.change),
                        "refit": _number(one.refit.change),
                    }
                    for one in group.mistakes
                ],
                "rows": [
                    {"harms": row.harms, "share": _number(row.share), **_effect(row.effect, True)} for row in group.rows
                ],
                "measurement": group.refit.measurement.removeprefix("the "),
                "unit": group.refit.unit,
                "estimate": _number(group.estimate.change),
                "refit": _number(group.refit.change),
                "right_estimate": None if group.mended is None else group.mended[0],
                "right_refit": None if group.mended is None else group.mended[1],
                "held_out_refit": None if group.held_out is None else _number(group.held_out.change),
            }
            for group in shared.groups
        ],
        "alone": [_plain(one) for one in shared.alone],
    }


def _flip(flip: SmallestFlip | None) -> dict[str, Any] | None:
    if flip is None:
        return None
    return {
        "found": flip.found,
        "rows": [_plain(row) for row in flip.rows],
        "before": _plain(flip.before),
        "after": _plain(flip.after),
        "proved": flip.proved,
    }


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in row.items()}


def _number(x: float | None) -> float | None:
    return float(x) if x is not None and math.isfinite(x) else None


def _plain(x: Any) -> Any:
    if hasattr(x, "item") and getattr(x, "shape", None) == ():
        x = x.item()
    if isinstance(x, float):
        return _number(x)
    if x is None or isinstance(x, str | int | bool):
        return x
    return [_plain(y) for y in x] if isinstance(x, Sequence) else str(x)
