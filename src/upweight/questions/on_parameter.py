"""One parameter of the model: no query is needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters import Adapted
from upweight.arrays import namespace, to_numpy
from upweight.attribution import Attribution
from upweight.questions.base import ROW_REMOVED, Answer, changes, finite

__all__ = ["OnParameter"]


@dataclass(frozen=True, eq=False)
class OnParameter:
    """`parameter`: NAME, "intercept", or OUTPUT/NAME."""

    adapted: Adapted
    attribution: Attribution
    parameter: str
    better: str | None = None
    unit: str = "units of the coefficient"

    @property
    def name(self) -> str:
        """As it was asked."""
        return f"parameter:{self.parameter}"

    @property
    def meaning(self) -> str:
        """Change of what, without what, under which refit."""
        return (
            f"Estimated change of the parameter {self.parameter} {ROW_REMOVED} and the "
            f"{self.adapted.model_name} refitted; {self.adapted.convention}."
        )

    @property
    def _at(self) -> int:
        return self.attribution.index(self.parameter)

    def now(self) -> NDArray[np.float64]:
        """[1]."""
        return to_numpy(self.attribution.vector)[[self._at]]

    def scores(self, removal: str) -> Answer:
        """[1, n]; linear in θ, so nothing is linearised."""
        v = namespace(self.attribution.vector).zeros_like(self.attribution.vector)[None, :]
        v[0, self._at] = 1.0
        removals = self.attribution.removals(v, removal)
        values, missing = finite(to_numpy(removals.values()))
        return Answer(values, self.now(), "a parameter is linear in itself", (removals.solution,), missing)

    def after(self, sets: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """[k, 1]."""
        states, converged = self.attribution.refitted(sets)
        return np.where(converged[:, None], self.at(states), np.nan)

    def at(self, states: Any) -> NDArray[np.float64]:
        """[k, 1]."""
        return to_numpy(self.attribution.parameters_at(states, self._at))[:, None]

    def along(self, states: Any) -> NDArray[np.float64]:
        """[k, 1]: linear in itself."""
        return self.at(states) - self.now()[None]

    def refits(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """[r, 1]."""
        return changes(self, rows)

    def similarity(self) -> None:
        """A parameter has no row nearest to it."""
        return None
