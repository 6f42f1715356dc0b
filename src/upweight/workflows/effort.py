"""How long an explanation will take, from three refits that are timed: said before it is begun.

Stands on influence; the commands stand on it.
"""

import time

import numpy as np

from upweight.influence import Influence
from upweight.workflows.explain import FLIP_REFITS, SHOWN

__all__ = ["LONG", "seconds_to_explain", "seconds_to_fit"]

LONG = 10.0  # seconds: what takes longer is said beforehand
_FLOPS = 2e9  # a second, of a solver in numpy on one slow core
_PASSES = 150  # over the rows, until a default pipeline has converged


def seconds_to_fit(rows: int, columns: int, outputs: int = 2) -> float:
    """Of a default pipeline, by its arithmetic; a rough number."""
    return 4.0 * rows * columns * outputs * _PASSES / _FLOPS


def seconds_to_explain(influence: Influence, predictions: int, checked: int, flips: bool, overall: int = 5) -> float:
    """Refits of what is shown, of the flips and of the check, at the pace of three that are refitted now."""
    n = len(influence.row_ids)
    start = time.perf_counter()
    influence.attribution.removals(np.zeros((1, influence.adapted.head.params.size)), "leverage").values()
    scored = time.perf_counter() - start
    start = time.perf_counter()
    influence.attribution.refitted([[i] for i in range(min(3, n - 1))])
    each = (time.perf_counter() - start) / min(3, n - 1)
    refits = predictions * (3 * SHOWN + (FLIP_REFITS if flips else 0)) + checked + overall
    return (predictions + 1) * scored + refits * each
