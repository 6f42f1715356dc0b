"""A fitted model looked at: whether it is at its optimum, and which rows it bends for.

Stands on influence and diagnosis; doctor_answers and doctor_curvature stand on it.
"""

import numpy as np

from upweight.arrays import to_numpy
from upweight.display.words import count, number
from upweight.errors import listed
from upweight.influence import Influence
from upweight.validation.grade import HIGH_LEVERAGE
from upweight.workflows.diagnosis import Findings

__all__ = ["look_at_fit", "look_at_rows"]


def look_at_fit(found: Findings, influence: Influence, settled: bool = False) -> None:
    """Whether the fit is where its solver meant to be; what the adapter noted.

    settled: near enough to its minimum for a removal not to feel what is left.
    """
    fit = influence.adapted.stationarity
    if fit.mismatch:
        found.problem("fit", fit.mismatch, "give the rows, labels and weights that it was fitted on")
    elif fit.unconverged and not settled:
        found.warn("fit", fit.unconverged, "fit it to its optimum: more steps, a smaller tol, scaled columns")
    else:
        where = "near its minimum" if fit.unconverged else "at its optimum"
        found.ok("fit", f"{where} (largest gradient {number(fit.gradient)})")
    for note in influence.adapted.notes:
        found.warn("model", note)


def look_at_rows(found: Findings, influence: Influence) -> None:
    """Rows with so much leverage that the model bends while they leave."""
    h = to_numpy(influence.attribution.leverages())
    high = [int(i) for i in np.argsort(-h, kind="stable") if h[i] > HIGH_LEVERAGE]
    if not high:
        found.ok("leverage", f"the largest is {number(float(np.max(h, initial=0.0)))}")
        return
    ids = [influence.row_ids[i] for i in high]
    said = (
        f"{count(len(high), 'row')} with a leverage above {HIGH_LEVERAGE} ({listed(ids)}; the largest "
        f"{number(float(h[high[0]]), decimals=2)})"
    )
    if influence.attribution.exact:
        found.ok("leverage", f"{said}, which a Newton step takes into account exactly")
    else:
        found.warn("leverage", said, "the model bends while such a row leaves: read the refit column")
