"""One of two models that are compared: its influence on the predictions, and what the influence is like, in numbers.

Stands on scores and display; comparison stands on it. Source: Koh & Liang (2017), section 5.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upweight.display.figures import Sides, draw_influence
from upweight.display.words import count, measured
from upweight.errors import InputError
from upweight.saved_scores import Distance
from upweight.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FIRST", "Side"]

FIRST = 10  # most influential rows of a prediction, and nearest ones

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two models. Arrays [q] hold NaN where a number does not exist."""

    name: str
    scores: Scores  # in the measurement's own unit; rows in the comparison's order
    spread: float  # of the measurement over the predictions: what its numbers are divided by
    distance: Distance
    says: tuple[Any, ...]  # [q]
    by_distance: Floats  # [q] rank correlation of the size of influence with distance: below 0, near rows matter more
    other_class: Floats  # [q] share of all influence, signs left aside, from rows of another class than the query's
    helped_by_others: Floats  # [q] share of the helpful influence from rows of another class
    effective_rows: Floats  # [q] (Σ|s|)² / Σ s²: how many rows of equal influence would be as concentrated
    not_nearest: Floats  # [q] share of the FIRST most influential rows that are not among as many nearest ones

    @property
    def influence(self) -> Floats:
        """[q, n] estimated change of the measurement without the row, in units of its spread; below 0: helpful."""
        return self.scores.values / self.spread

    @property
    def standing(self) -> Floats:
        """[q] the measurement now, in units of its spread."""
        base = self.scores.base
        assert base is not None  # a named measurement has a value now
        return base / self.spread

    def shares(self, query: int | None) -> Floats:
        """[n] of all influence on a query, signs left aside; None: the mean over the queries."""
        size = np.abs(self.scores.values if query is None else self.scores.values[[query]])
        total = size.sum(axis=1, keepdims=True)
        return np.asarray((size / np.where(total > 0, total, 1.0)).mean(axis=0))

    def signed(self, query: int | None) -> Floats:
        """[n] influence on a query; None: the mean over the queries."""
        return np.asarray(self.influence.mean(axis=0) if query is None else self.influence[query])

    def plot(self, ax: Any = None, query: int = 0) -> "Axes":
        """Each row's influence on query `query`, in spreads, over its distance; returns matplotlib's axes.

        Raises: MissingExtra without matplotlib; InputError for a query that there is not.
        """
        if not 0 <= query < len(self.says):
            raise InputError(f"query {query} is not there: {count(len(self.says), 'query', 'queries')} were asked.")
        return draw_influence(
            ax,
            self.distance.to(query),
            self.influence[query],
            Sides("raises", "lowers") if self.scores.better is None else Sides("harmful", "helpful"),
            self.distance.label,
            f"change of {measured(self.scores.measurement)} without the row (spreads)",
            f"{self.name} · query {query}",
        )

    def refits(self, at: Sequence[int], query: int | None) -> Floats | None:
        """[r] the same by real removals, NaN where a refit found no optimum; None where a refit is a training run."""
        if self.scores.refitter is None:
            return None
        if not at:
            return np.zeros(0)
        real = self.scores.refitter(at) / self.spread
        return np.asarray(real.mean(axis=1) if query is None else real[:, query])
