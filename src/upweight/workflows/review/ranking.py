"""Signals put together: the mean of the ranks of those that labels flipped on purpose choose.

They are picked greedily, one at a time and each once, as long as more flipped labels are found; what that is worth is
judged on sets that had no part in the picking. Source: Caruana et al. (2004), ensemble selection; METHODS.md 8.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from upweight.validation.detection import found_early
from upweight.workflows.review.problem import Floats

__all__ = ["WITHIN", "Weights", "blend", "pick", "standing", "worth"]

PICKS = 4  # at most
WITHIN = 0.3  # budgets, as shares of the rows, that count: who looks at more does not review

Weights = dict[str, float]
Measured = Sequence[tuple[Mapping[str, Floats], NDArray[np.bool_]]]  # a set's standings by signal, and what was flipped


def standing(value: Floats) -> Floats:
    """[n] −log of the share of rows that are at least as suspect: the first ranks count most. Ties share their mean."""
    n = len(value)
    return np.asarray(-np.log1p(-(rankdata(value) - 0.5) / n))


def blend(standings: Mapping[str, Floats], weights: Weights) -> Floats:
    """[n] the weighted mean of standings."""
    return np.asarray(sum(weight * standings[name] for name, weight in weights.items()))


def pick(sets: Measured, names: Sequence[str]) -> Weights:
    """Equal weights, of sum 1, of the signals whose standings find most of what was flipped in these sets."""
    totals = [np.zeros(len(wanted)) for _, wanted in sets]
    chosen: list[str] = []
    best = 0.0
    for _ in range(PICKS):
        found = {
            name: np.mean(
                [found_early(t + s[name], wanted, WITHIN) for t, (s, wanted) in zip(totals, sets, strict=True)]
            )
            for name in names
            if name not in chosen
        }
        if not found:
            break
        name = max(found, key=lambda one: found[one])
        if found[name] <= best:
            break
        best, totals = float(found[name]), [t + s[name] for t, (s, _) in zip(totals, sets, strict=True)]
        chosen.append(name)
    return {name: 1.0 / len(chosen) for name in chosen}


def worth(sets: Measured, names: Sequence[str]) -> list[Floats]:
    """Each set's rows in the order that the other sets pick: what has to be judged there."""
    out = []
    for i, (standings, _) in enumerate(sets):
        others = [one for j, one in enumerate(sets) if j != i]
        out.append(blend(standings, pick(others, names)))
    return out
