"""How well an order finds the rows that it should: average precision, and the share found within a budget.

Stands on numpy. Ties: rows of one value count at their mean place, so that no order among them is invented.
Source: METHODS.md 8 (metrics).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = ["area", "average_precision", "found_early", "found_within", "interval"]

Floats = NDArray[np.float64]

# 97.5 % points of Student's t for 1 … 30 degrees of freedom; beyond them the normal's
STUDENT: tuple[float, ...] = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179)
STUDENT += (
    2.160,
    2.145,
    2.131,
    2.120,
    2.110,
    2.101,
    2.093,
    2.086,
    2.080,
    2.074,
    2.069,
    2.064,
    2.060,
    2.056,
    2.052,
    2.048,
    2.045,
    2.042,
)
NORMAL = 1.960


def average_precision(score: Floats, wanted: NDArray[np.bool_]) -> float:
    """Mean over the wanted rows of the precision among all rows that score at least as high; 1 is perfect.

    Raises: ValueError where no row is wanted.
    """
    if not wanted.any():
        raise ValueError("no row is wanted, so none can be found.")
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(wanted[order])
    last = np.append(np.flatnonzero(np.diff(ranked) != 0), len(ranked) - 1)  # where each run of ties ends
    precision = hits[last] / (last + 1)
    gained = np.diff(hits[last], prepend=0)
    return float((precision * gained).sum() / hits[-1])


def area(score: Floats, wanted: NDArray[np.bool_]) -> float:
    """How often a wanted row scores above one that is not, a tie as half: the area under the ROC curve."""
    k, n = int(wanted.sum()), len(wanted)
    return float((rankdata(score)[wanted].sum() - k * (k + 1) / 2) / (k * (n - k)))


def found_early(score: Floats, wanted: NDArray[np.bool_], budget: float) -> float:
    """Share of the wanted rows found, on average over all budgets up to this one (a share of the rows); ties by half.

    Of each budget this is the share of wanted rows among so many rows of all, so that an order compares with another as
    it would if the wanted rows were known without error, some being wanted for nothing and some not counted.
    """
    place = (len(score) + 1 - rankdata(score)[wanted] - 0.5) / len(score)
    return float(np.maximum(1.0 - place / budget, 0.0).mean())


def found_within(order: Sequence[int] | NDArray[np.int64], wanted: NDArray[np.bool_], budget: float) -> float:
    """Share of the wanted rows among the first `budget` (a share) of this order of all rows."""
    first = np.asarray(order)[: round(budget * len(order))]
    return float(wanted[first].sum() / wanted.sum())


def interval(values: Floats) -> tuple[float, float, float]:
    """Mean and 95 % interval (Student's t) of independent repeats; NaN ends with fewer than three."""
    k = len(values)
    mean = float(np.mean(values))
    if k < 3:
        return mean, float("nan"), float("nan")
    half = (STUDENT[k - 2] if k - 2 < len(STUDENT) else NORMAL) * float(np.std(values, ddof=1)) / k**0.5
    return mean, mean - half, mean + half
