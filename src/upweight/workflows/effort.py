"""How long an explanation will take, from a few refits that are timed: said before it is begun.

Stands on influence; the commands stand on it.
"""

import time
from collections.abc import Sequence
from typing import Any

from upweight.adapters.inputs import count_rows, take_rows
from upweight.influence import Influence
from upweight.workflows.audit import LEVELS, TRIES, audit
from upweight.workflows.audit_steps import PATIENCE
from upweight.workflows.explain import FLIP_REFITS, SHOWN
from upweight.workflows.shared import MOST

__all__ = ["LONG", "in_words", "seconds_to_audit", "seconds_to_explain", "seconds_to_fit", "seconds_to_prove"]

LONG = 10.0  # seconds: what takes longer is said beforehand
TIMED = 8  # refits side by side, as the answer's own will be
STEPPED = 11  # sign steps, each with its refit
_FLOPS = 2e9  # a second, of a solver in numpy on one slow core
_PASSES = 150  # over the rows, until a default pipeline has converged


def in_words(seconds: float) -> str:
    """ "12 s", "5 min", "3 h"."""
    if seconds < 90:
        return f"{max(1.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def seconds_to_fit(rows: int, columns: int, outputs: int = 2) -> float:
    """Of a default pipeline, by its arithmetic; a rough number."""
    return 4.0 * rows * columns * outputs * _PASSES / _FLOPS


def seconds_to_explain(influence: Influence, predictions: int, checked: int, flips: bool, overall: int = 5) -> float:
    """Refits of all that is shown, of the flips and of the check, at the pace of a few that are refitted now."""
    n = len(influence.row_ids)
    influence.attribution.refitted([[0]])  # what is made ready once is no part of the pace
    start = time.perf_counter()
    influence.attribution.removals(0.0 * influence.attribution.vector[None, :], "leverage").values()
    scored = time.perf_counter() - start
    start = time.perf_counter()
    timed = [[i] for i in range(1, min(TIMED + 1, n - 1))]
    influence.attribution.refitted(timed)
    each = (time.perf_counter() - start) / max(1, len(timed))
    refits = predictions * (3 * SHOWN + (FLIP_REFITS if flips else 0) + (MOST if predictions > 1 else 0))
    refits += checked + overall
    return (predictions + 1) * scored + refits * each


def seconds_to_prove(influence: Influence, predictions: int, shown: int, overall: int = 5) -> float:
    """Of the certificates in an evidence record, at the pace of one: a removal of either kind, and the flip."""
    attribution = influence.attribution
    if not attribution.refits_shown:
        return 0.0
    states, _ = attribution.refitted([[0]])
    start = time.perf_counter()
    attribution.certificate([0], states[0])
    return (predictions * (2 * shown + 1) + overall) * (time.perf_counter() - start)


def seconds_to_audit(influence: Influence, X_query: Any, rows: Sequence[int], within: Any, together: bool) -> float:
    """At the most, unless rows go on gaining: attacks on all predictions and those of the defences, at the pace of one.

    Raises: InputError, UnsupportedModel, UnsupportedQuestion, as `audit`.
    """
    first = take_rows(X_query, [0])
    taken = []
    for steps in (1, 1, STEPPED):  # what is made ready once is no part of the pace
        start = time.perf_counter()
        audit(influence, X_query=first, within=within, steps=steps, tries=1, defences=())
        taken.append(time.perf_counter() - start)
    each = max(0.0, taken[2] - taken[1]) / (STEPPED - 1)
    attacks = sum(TRIES if k == 1 else 1 for k in rows) * (1 + len(LEVELS))
    return taken[1] + (1 if together else count_rows(X_query, "X_query")) * attacks * (PATIENCE + 1) * each
