"""The rows that harm the held-out predictions most, really refitted.

Stands on measured and reading; explain stands on it.
"""

from typing import Any

import numpy as np
import pandas as pd

from upweight.adapters.inputs import count_rows, take_rows
from upweight.display.words import Effect
from upweight.influence import Influence
from upweight.workflows.explanation import NOT_REFITTED, Overall, RowEffect
from upweight.workflows.measured import chosen, scored
from upweight.workflows.reading import RowsOf, plain, real_changes, rows_of, says_of_rows

__all__ = ["harmful_overall"]

CELLS = 2e7  # scores held at once for the rows that harm most: 160 MB


def harmful_overall(
    influence: Influence,
    X: Any,
    y: Any,
    *,
    shown: int = 5,
    rows: pd.DataFrame | RowsOf | None = None,
    seed: int = 0,
    most: int | None = None,
    measurement: str | None = None,
) -> Overall:
    """The rows whose removal would lower the mean loss (of a number: the mean error) over X most, really refitted.

    Where rows × queries would not fit CELLS, or X has more than `most` rows, a sample drawn from `seed` stands for it.
    measurement: None, the loss or the error.
    """
    n, total = len(influence.row_ids), count_rows(X, "X")
    q = min(total, max(50, int(CELLS // n)), total if most is None else most)
    if q < total:
        drawn = np.sort(np.random.default_rng(seed).choice(total, size=q, replace=False))
        X, y = take_rows(X, drawn), take_rows(y, drawn)
    scores = scored(influence, X, y, chosen(measurement, influence.adapted.kind, True))
    mean = scores.values.mean(axis=0)
    base = float(np.mean(scores.base)) if scores.base is not None else 0.0
    at = [int(i) for i in np.argsort(mean, kind="stable")[:shown] if mean[i] < 0]
    refits = real_changes(scores, at).mean(axis=1)
    read, sure = says_of_rows(influence, at)
    as_they_are = rows_of(influence.adapted.rows if rows is None else rows)
    reason = NOT_REFITTED if scores.refitter is None else "the refit found no optimum"

    def effect(change: float) -> Effect:
        finite = float(change) if np.isfinite(change) else None
        return Effect(finite, base, scores.measurement, scores.unit, "lower", reason=reason)

    effects = tuple(
        RowEffect(
            id=scores.row_ids[i],
            label=plain(scores.labels[i]),
            estimate=effect(mean[i]),
            refit=effect(real),
            row=row,
            says=read[j],
            sure=None if sure is None else float(sure[j]),
        )
        for j, (i, real, row) in enumerate(zip(at, refits, as_they_are(at), strict=True))
    )
    return Overall(effects, scores.measurement, scores.unit, base, q, total)
