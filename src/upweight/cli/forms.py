"""Results as JSON: stable keys, documented in docs/commands.md; `upweight` is the version of the form.

Numbers are in the unit named beside them; a value that could not be computed is null.
"""

from collections.abc import Mapping
from typing import Any

from upweight.influence import SmallestFlip
from upweight.tables.arrangement import Arrangement
from upweight.workflows.explanation import Explanation, Prediction, RowEffect, SharedHarm
from upweight.workflows.in_common import Common
from upweight.workflows.json_values import as_number, as_plain, check_form, grade_form

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
            "now": as_number(overall.now),
            "held_out_rows": overall.held_out,
            "measured_on": overall.queries,
            "rows": [_effect(e, show_rows) for e in overall.rows],
        },
        "shared_harm": _shared(explanation.shared) if show_rows else None,
        "check": None if explanation.check is None else check_form(explanation.check),
        "grade": grade_form(explanation.grade),
        "how": explanation.how,
        "meaning": explanation.meaning,
        "notes": list(explanation.notes),
    }


def held_out_form(rows: int, order: Arrangement | None = None, how: str = "") -> dict[str, Any]:
    """The rows held out of training, and the columns that were respected in telling them apart."""
    return {
        "rows": rows,
        "group": None if order is None else order.group_column,
        "time": None if order is None else order.time_column,
        "how": how or None,
    }


def _prediction(prediction: Prediction, show_rows: bool) -> dict[str, Any]:
    for_name, against_name = prediction.sides
    out: dict[str, Any] = {
        "id": as_plain(prediction.id),
        "origin": prediction.origin,
        "says": as_plain(prediction.says),
        "probability": as_number(prediction.sure),
        "measurement": prediction.measurement.removeprefix("the "),
        "unit": prediction.unit,
        for_name: [_effect(e, show_rows) for e in prediction.for_it],
        against_name: [_effect(e, show_rows) for e in prediction.against],
        "nearest": [_effect(e, show_rows) for e in prediction.nearest],
        "flip": _flip(prediction.flip),
    }
    if prediction.own is not None:
        out["own"] = _effect(prediction.own, show_rows)
    if show_rows:
        out |= {"truth": as_plain(prediction.truth), "now": as_number(prediction.now), "row": _row(prediction.row)}
        out["in_common"] = [_common(one) for one in prediction.common]
    return out


def _effect(effect: RowEffect, show_rows: bool) -> dict[str, Any]:
    out = {
        "id": as_plain(effect.id),
        "estimate": as_number(effect.estimate.change),
        "refit": as_number(effect.refit.change),
        "verdict": effect.verdict,
    }
    if effect.similarity is not None:
        out["similarity"] = as_number(effect.similarity)
    if show_rows:
        out |= {"label": as_plain(effect.label), "row": _row(effect.row)}
    return out


def _common(common: Common) -> dict[str, Any]:
    return {
        "side": common.side,
        "column": common.slice.column,
        "kind": common.slice.kind,
        "words": common.slice.words,
        "hits": common.hits,
        "of": common.of,
        "share": as_number(common.share),
        "p": as_number(common.p),
        "tried": common.tried,
        "sentence": common.sentence,
    }


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
                        "id": as_plain(one.id),
                        "truth": as_plain(one.truth),
                        "says": as_plain(one.says),
                        "then_says": as_plain(one.after),
                        "now": as_number(one.refit.base),
                        "estimate": as_number(one.estimate.change),
                        "refit": as_number(one.refit.change),
                    }
                    for one in group.mistakes
                ],
                "rows": [
                    {"harms": row.harms, "share": as_number(row.share), **_effect(row.effect, True)}
                    for row in group.rows
                ],
                "measurement": group.refit.measurement.removeprefix("the "),
                "unit": group.refit.unit,
                "estimate": as_number(group.estimate.change),
                "refit": as_number(group.refit.change),
                "right_estimate": None if group.mended is None else group.mended[0],
                "right_refit": None if group.mended is None else group.mended[1],
                "held_out_refit": None if group.held_out is None else as_number(group.held_out.change),
            }
            for group in shared.groups
        ],
        "alone": [as_plain(one) for one in shared.alone],
    }


def _flip(flip: SmallestFlip | None) -> dict[str, Any] | None:
    if flip is None:
        return None
    return {
        "found": flip.found,
        "rows": [as_plain(row) for row in flip.rows],
        "before": as_plain(flip.before),
        "after": as_plain(flip.after),
        "proved": flip.proved,
    }


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): as_plain(value) for name, value in row.items()}
