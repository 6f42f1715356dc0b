"""An answer as an evidence record: from what `upweight explain` found, or from Scores and a Check in Python.

Stands on workflows, influence and fingerprints; the commands stand on it. Rows are named by their ids: no column, label
or truth of a row is written down.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from upweight.display.words import Effect, measured, short, verdict
from upweight.errors import InputError
from upweight.evidence.filed import Evidence
from upweight.evidence.fingerprints import parameters_sha256, rows_sha256, settings_sha256, versions_used
from upweight.evidence.schema import FORMAT
from upweight.files import sha256_of
from upweight.influence import Influence
from upweight.removal.certificate import Certificate
from upweight.scores import Scores
from upweight.validation.check import Check
from upweight.validation.grade import Grade
from upweight.workflows.explain import SHOWN
from upweight.workflows.explanation import Explanation, Overall, Prediction, RowEffect
from upweight.workflows.json_values import as_number, as_plain, check_form, grade_form
from upweight.workflows.passages import flip_sentence, said

__all__ = ["evidence", "explained"]

PYTHON: dict[str, Any] = {
    "asked_by": "python", "data": None, "model": None, "query": None, "target": None, "id_column": None, "group": None,
    "time": None, "rows": [], "worst": None, "keep": True, "to": None, "with_rows": True,
}  # fmt: skip


def explained(
    explanation: Explanation,
    first: Influence,
    influence: Influence,
    asked: Mapping[str, Any],
    command: str,
    left_out: Sequence[str] = (),
) -> Evidence:
    """The record of what `upweight explain` found.

    first, influence: before and after the rows that are asked about were taken out; asked: the record's `question`;
    left_out: notes that may quote cells. The files of the question are read for their fingerprints.
    Raises: FileError where one cannot be read.
    """
    proofs = _Proofs(influence)
    name, with_rows = explanation.id_name, bool(asked["with_rows"])
    answer = {
        "id_name": name,
        "meaning": explanation.meaning,
        "how": explanation.how,
        "notes": [note for note in explanation.notes if note not in left_out],
        "predictions": [_prediction(p, name, with_rows, proofs) for p in explanation.predictions],
        "overall": None if explanation.overall is None else _overall(explanation.overall, name, with_rows, proofs),
    }
    return _record(first, explanation, answer, explanation.check, explanation.grade, asked, command)


def evidence(
    influence: Influence, scores: Scores, check: Check | None = None, query: int = 0, seed: int = 0, shown: int = SHOWN
) -> Evidence:
    """The record of one query's scores: its strongest rows on either side, really refitted, and the check.

    seed: the one that `check` was given. The fingerprints are those of the parameters and of the training rows.
    Raises: InputError for scores of another model's rows, or a query that there is not.
    """
    if tuple(scores.row_ids) != tuple(influence.row_ids):
        raise InputError("these scores are of other training rows than this Influence. Give the one that made them.")
    proofs = _Proofs(influence)
    kinds = ("raises", "lowers") if scores.better is None else ("helpful", "harmful")
    at = [i for kind in kinds for i in scores.ranked(shown, query, kind)]
    refits = scores.refitter(at)[:, query].tolist() if scores.refitter is not None and at else [None] * len(at)
    rows = [
        _removal(
            scores.row_ids[i],
            scores.effect(float(scores.values[query, i]), query),
            replace(scores.effect(as_number(real), query), reason=_absent(scores)),
            "row",
            proofs,
        )
        for i, real in zip(at, refits, strict=True)
    ]
    prediction = {
        "id": query,
        "origin": "a query in Python, by its position",
        "says": None,
        "probability": None,
        "measurement": scores.measurement,
        "unit": scores.unit,
        "now": None if scores.base is None else as_number(float(scores.base[query])),
        "rows": rows,
        "flip": None,
        "sentences": [],
    }
    answer = {
        "id_name": "row",
        "meaning": scores.meaning,
        "how": scores.how,
        "notes": list(scores.notes),
        "predictions": [prediction],
        "overall": None,
    }
    asked = {
        **PYTHON,
        "task": influence.adapted.kind,
        "measurement": scores.measurement,
        "solver": type(influence.attribution.solver).__name__,
        "seed": seed,
        "shown": shown,
        "checked": 0 if check is None else len(check.row_ids) + check.unfinished,
    }
    grade = scores.grade if check is None else check.grade
    return _record(influence, influence, answer, check, grade, asked, None)


def _record(
    first: Influence,
    of: Explanation | Influence,
    answer: Mapping[str, Any],
    check: Check | None,
    grade: Grade,
    asked: Mapping[str, Any],
    command: str | None,
) -> Evidence:
    rows = of.train_rows if isinstance(of, Explanation) else len(of.row_ids)
    return Evidence(
        {
            "upweight_evidence": FORMAT,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "question": dict(asked),
            "model": {"name": first.adapted.model_name, "train_rows": rows},
            "answer": answer,
            "check": None if check is None else {**check_form(check), "sentence": check.sentence()},
            "grade": grade_form(grade),
            "seed": asked["seed"],
            "versions": versions_used(first),
            "fingerprints": {
                **{name: _sum(asked[name]) for name in ("data", "query", "model")},
                "parameters": parameters_sha256(first),
                "rows": rows_sha256(first),
                "settings": settings_sha256(asked),
            },
        }
    )


def _sum(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else sha256_of(path)


class _Proofs:
    """The certificate of each removal, each set of rows once."""

    def __init__(self, influence: Influence) -> None:
        self._influence, self._known = influence, dict[tuple[int, ...], Certificate]()

    def __call__(self, rows: Sequence[Any]) -> dict[str, Any] | None:
        """Of the refit without these rows (ids); None where a refit is a training run."""
        attribution = self._influence.attribution
        if not attribution.refits_shown:
            return None
        at = tuple(sorted(self._influence.positions(list(rows))))
        if at not in self._known:
            states, _ = attribution.refitted([at])
            self._known[at] = attribution.certificate(at, states[0])
        found = self._known[at]
        return {
            "proved": found.bound is not None and found.proof,
            "bound": as_number(found.bound),
            "outputs_within": as_number(found.outputs_within),
            "gradient_left": as_number(found.residual),
            "sentence": found.sentence,
        }


def _prediction(prediction: Prediction, id_name: str, with_rows: bool, proofs: _Proofs) -> dict[str, Any]:
    flip = prediction.flip
    sentences = [f"{id_name} {prediction.id}: the model says {said(prediction)}"]
    if text := flip_sentence(prediction, id_name):
        sentences.append(text)
    return {
        "id": as_plain(prediction.id),
        "origin": prediction.origin,
        "says": as_plain(prediction.says),
        "probability": as_number(prediction.sure),
        "measurement": prediction.measurement.removeprefix("the "),
        "unit": prediction.unit,
        "now": as_number(prediction.now) if with_rows else None,  # it would give the truth away
        "rows": [_effect(e, id_name, with_rows, proofs) for e in (*prediction.for_it, *prediction.against)],
        "flip": None
        if flip is None
        else {
            "rows": [as_plain(row) for row in flip.rows],
            "before": as_plain(flip.before),
            "after": as_plain(flip.after),
            "margin": None if flip.margin is None else [as_number(x) for x in flip.margin],
            "proved": bool(flip.proved),
            "sentence": flip.sentence,
            "certificate": proofs(flip.rows) if flip.found else None,
        },
        "sentences": sentences,
    }


def _overall(overall: Overall, id_name: str, with_rows: bool, proofs: _Proofs) -> dict[str, Any]:
    return {
        "measurement": overall.measurement.removeprefix("the "),
        "unit": overall.unit,
        "now": as_number(overall.now),
        "queries": overall.queries,
        "held_out": overall.held_out,
        "rows": [_effect(e, id_name, with_rows, proofs) for e in overall.rows],
    }


def _effect(effect: RowEffect, id_name: str, with_rows: bool, proofs: _Proofs) -> dict[str, Any]:
    estimate, refit = effect.estimate, effect.refit
    if not with_rows:  # a share of the measurement now, beside the change itself, would say what it is now
        estimate, refit = replace(estimate, base=None), replace(refit, base=None)
    return _removal(effect.id, estimate, refit, id_name, proofs)


def _removal(row: Any, estimate: Effect, refit: Effect, id_name: str, proofs: _Proofs) -> dict[str, Any]:
    shown = estimate if refit.change is None else refit
    how = "estimated" if refit.change is None else "really refitted"
    return {
        "id": as_plain(row),
        "verdict": verdict(shown),
        "estimate": as_number(estimate.change),
        "refit": as_number(refit.change),
        "sentence": f"without {id_name} {row} {measured(shown.measurement)} would {short(shown)} ({how})",
        "certificate": None if refit.change is None else proofs([row]),
    }


def _absent(scores: Scores) -> str:
    return scores.no_refit if scores.refitter is None else "the refit found no optimum"
