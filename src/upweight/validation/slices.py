"""Which slices of the rows are over-represented in a group of them: exact tests, corrected for all that were tried.

Stands on scipy; workflows.common stands on it. Sources: Fisher's exact test, one-sided; Tarone (1990); Holm (1979).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import hypergeom

__all__ = ["LEVEL", "Lift", "lifted"]

LEVEL = 0.05  # chance that anything at all is said where nothing holds

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Lift:
    """A slice that holds more of a group's rows than chance gives: `hits` of `of`, against `share` of all rows."""

    group: int
    slice: int
    hits: int
    of: int
    share: float
    p: float  # of so many hits or more, corrected
    tried: int  # what it is corrected for: pairs of a group and a slice


def lifted(
    member: sp.csr_matrix,
    groups: Sequence[Sequence[int]],
    strata: NDArray[np.int64] | None = None,
    plain: NDArray[np.bool_] | None = None,
    level: float = LEVEL,
) -> list[Lift]:
    """What holds at `level`, the smallest p first. member [n, m]: whether a row lies in a slice; groups: positions.

    Null hypothesis: a group is drawn from all rows without regard to the slice; with strata [n] (labels), it is also
    held against a draw that takes as many rows of each stratum, and the larger p counts, but for slices that are
    `plain` [m]. Slices too rare or too common to reach the level by any outcome are not tried: sizes alone say so.
    """
    n, m = member.shape
    sizes = np.asarray(member.sum(axis=0), dtype=np.int64).ravel()
    hits = [np.asarray(member[list(group)].sum(axis=0), dtype=np.int64).ravel() for group in groups]
    attainable = np.concatenate([_tail(np.minimum(sizes, len(g)), n, sizes, len(g)) for g in groups] or [np.zeros(0)])
    tried = _tried(attainable, level)
    family = int(tried.sum())
    p = np.ones(len(attainable))
    for g, group in enumerate(groups):
        seen = np.flatnonzero(tried[g * m : (g + 1) * m] & (hits[g] > 0))
        p[g * m + seen] = _tail(hits[g][seen], n, sizes[seen], len(group))
    most = int((p <= level).sum())
    hopeful = p <= level / max(1, family - most)  # Holm rejects no other, whatever becomes of these
    for g, group in enumerate(groups):
        if strata is None:
            break
        again = np.flatnonzero(hopeful[g * m : (g + 1) * m])
        again = again if plain is None else again[~plain[again]]
        inside = member[:, again].toarray() > 0
        for j, column in zip(again, inside.T, strict=True):
            alike = _stratified(column, np.asarray(group), strata, int(hits[g][j]))
            p[g * m + j] = max(p[g * m + j], alike)
    order = np.argsort(p, kind="stable")
    order = order[p[order] <= level]
    corrected = np.maximum.accumulate(p[order] * (family - np.arange(len(order))))
    return [
        Lift(
            int(at // m), int(at % m), int(hits[at // m][at % m]), len(groups[at // m]), float(sizes[at % m] / n),
            float(q), family,
        )
        for at, q in zip(order, corrected, strict=True)
        if q <= level
    ]  # fmt: skip


def _tail(hits: Counts, n: int, sizes: Counts, drawn: int) -> Floats:
    """P(so many hits or more) when `drawn` of n rows are drawn, each slice holding `sizes` of them."""
    pairs, back = np.unique(np.stack([hits, sizes]), axis=1, return_inverse=True)  # many words are equally rare
    return np.asarray(hypergeom.sf(pairs[0] - 1, n, pairs[1], drawn))[back.ravel()]


def _tried(attainable: Floats, level: float) -> NDArray[np.bool_]:
    """Tarone's family: the largest in which the smallest p that each could reach passes the correction for them all."""
    at_most = np.arange(1, len(attainable) + 1)
    reach = np.searchsorted(np.sort(attainable), level / at_most, side="right")
    enough = np.flatnonzero(reach <= at_most)
    if not len(enough):
        return np.zeros(len(attainable), dtype=bool)
    return np.asarray(attainable <= level / at_most[enough[0]])


def _stratified(inside: NDArray[np.bool_], group: NDArray[np.int64], strata: NDArray[np.int64], hits: int) -> float:
    """The same tail of a draw that takes as many rows of each stratum as the group holds: independent draws, added."""
    chance = np.ones(1)
    for stratum, drawn in zip(*np.unique(strata[group], return_counts=True), strict=True):
        here = strata == stratum
        chance = np.convolve(chance, hypergeom.pmf(np.arange(drawn + 1), here.sum(), inside[here].sum(), drawn))
    return float(min(1.0, chance[hits:].sum()))
