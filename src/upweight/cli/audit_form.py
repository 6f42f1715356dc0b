"""An audit as JSON: stable keys, documented in docs/commands.md; in the manner of forms.

Stands on audited and json_values; auditing prints it.
"""

from collections.abc import Sequence
from typing import Any

from upweight.validation.grade import Grade
from upweight.workflows.audit_passages import Called, sentences
from upweight.workflows.audited import AlteredRow, Attack, Audit, Joint
from upweight.workflows.json_values import as_number, as_plain, grade_form

__all__ = ["audit_form"]


def audit_form(found: Audit, grade: Grade, called: Called) -> dict[str, Any]:
    """What `audit` found."""
    show_rows, ids = called.show_rows, called.queries or range(len(found.attacks))
    return {
        "kind": found.kind,
        "model": found.model_name,
        "train_rows": found.training_rows,
        "measurement": found.measurement,
        "unit": found.unit,
        "bound": found.bound,
        "rows_changed": list(found.allowed),
        "sentences": list(sentences(found, called)),
        "predictions": [_attack(attack, ids, show_rows) for attack in found.ranked],
        "together": [_joint(joint, ids, show_rows) for joint in found.together],
        "rows": [
            {
                "id": as_plain(one.row),
                **({"label": as_plain(one.label)} if show_rows else {}),
                "effect": as_number(one.effect),
                "changed_in": one.altered,
                "flips": one.flips,
            }
            for one in found.fragile
        ],
        "defences": [
            {"kind": d.kind, "name": d.name, "flipped": d.flipped, "of": d.of, "meaning": d.meaning}
            for d in found.defended
        ],
        "grade": grade_form(grade),
        "how": found.how,
        "meaning": found.meaning,
    }


def _attack(attack: Attack, ids: Sequence[Any], show_rows: bool) -> dict[str, Any]:
    return {
        "id": as_plain(ids[attack.query]),
        "says": as_plain(attack.says),
        "then_says": as_plain(attack.says_after),
        "now": as_number(attack.before),
        "refit": as_number(attack.after),
        "flipped": attack.flipped,
        "confirmed": attack.confirmed,
        "steps": attack.steps,
        "fragility": attack.fragility,
        "promised": as_number(attack.promised),
        "changed": [_altered(one, show_rows) for one in attack.altered],
        "tried": [as_plain(row) for row in attack.tried],
        "note": attack.note or None,
    }


def _joint(joint: Joint, ids: Sequence[Any], show_rows: bool) -> dict[str, Any]:
    return {
        "rows": len(joint.altered),
        "flips": joint.flips,
        "of": int(joint.attacked.sum()),
        "confirmed": joint.confirmed,
        "steps": joint.steps,
        "loss_now": as_number(joint.loss_before),
        "loss_refit": as_number(joint.loss_after),
        "predictions": [
            {
                "id": as_plain(id_),
                "attacked": bool(joint.attacked[i]),
                "now": as_number(float(joint.before[i])),
                "refit": as_number(float(joint.after[i])),
                "flipped": bool(joint.flipped[i]),
            }
            for i, id_ in enumerate(ids)
        ],
        "changed": [_altered(one, show_rows) for one in joint.altered],
        "tried": [as_plain(row) for row in joint.tried],
    }


def _altered(altered: AlteredRow, show_rows: bool) -> dict[str, Any]:
    """The cells that moved, before and after; without rows only by how much."""
    names = altered.columns or tuple(str(i) for i in range(altered.before.size))
    cells = []
    for name, before, after in zip(names, altered.before.flat, altered.after.flat, strict=True):
        if after != before:
            held = {"before": as_number(before), "after": as_number(after)} if show_rows else {}
            cells.append({"column": name, **held, "change": as_number(after - before)})
    label = {"label": as_plain(altered.label)} if show_rows else {}
    return {"id": as_plain(altered.row), **label, "cells": cells}
