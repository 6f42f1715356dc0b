"""A function of the predictions for all queries at once: evaluated at the predicted outputs after each removal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters import Adapted, Inputs
from upweight.arrays import to_numpy
from upweight.attribution import Attribution
from upweight.errors import MeasurementError
from upweight.questions.base import ROW_REMOVED, Answer, changes, finite
from upweight.removal.effects import evaluated
from upweight.shapes import Array

__all__ = ["OnSet"]


@dataclass(frozen=True, eq=False)
class OnSet:
    """`function(predictions, y)`: predictions as the estimator gives them ([q, classes] or [q]); returns a number."""

    adapted: Adapted
    attribution: Attribution
    features: Inputs
    y: Any
    function: Callable[[Any, Any], float]
    better: str | None = None
    unit: str = "units of the function"

    @property
    def name(self) -> str:
        """The function's."""
        return str(getattr(self.function, "__name__", type(self.function).__name__)).strip("<>")

    @property
    def meaning(self) -> str:
        """Change of what, without what, under which refit."""
        return (
            f"Estimated change of {self.name} over {self.features.rows:,} queries {ROW_REMOVED} "
            f"and the {self.adapted.model_name} refitted; {self.adapted.convention}."
        )

    @cached_property
    def _z(self) -> Array:
        return to_numpy(self.attribution.query_outputs(self.features))

    def now(self) -> NDArray[np.float64]:
        """[1]."""
        return np.asarray([self._measure(self._z)])

    def scores(self, removal: str) -> Answer:
        """[1, n]."""
        removals = self.attribution.output_removals(self.features, removal)
        base = self.now()

        def change(moved: Array) -> Array:
            return np.asarray([[self._measure(z)] for z in moved]) - base[None]

        values, missing = finite(to_numpy(evaluated(removals, self._z, change)))
        return Answer(values, base, f"{self.name} evaluated at the predicted outputs", (removals.solution,), missing)

    def after(self, sets: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """[k, 1]."""
        states, converged = self.attribution.refitted(sets)
        out = np.full((len(sets), 1), np.nan)
        for j in np.flatnonzero(converged):  # without an optimum there may be no finite prediction to give it
            out[j] = self.at(states[j : j + 1])[0]
        return out

    def at(self, states: Any) -> NDArray[np.float64]:
        """[k, 1]."""
        z = to_numpy(self.attribution.outputs_at(states, self.features))
        return np.asarray([self._measure(one) for one in z]).reshape(len(z), 1)

    def along(self, states: Any) -> NDArray[np.float64]:
        """[k, 1]: evaluated, since a function of whole predictions need have no derivative (AUROC, a recall)."""
        return self.at(states) - self.now()[None]

    def refits(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """[r, 1]."""
        return changes(self, rows)

    def similarity(self) -> None:
        """A set has no row nearest to it."""
        return None

    def _measure(self, z: Array) -> float:
        value = self.function(as_predicted(self.adapted, self.attribution, z), self.y)
        if np.shape(value) != () or not np.isfinite(np.asarray(value, dtype=float)):
            raise MeasurementError(
                f"the function {self.name!r} returned {value!r}. It is called once with the predictions for all "
                "queries and must return one finite number."
            )
        return float(value)


def as_predicted(adapted: Adapted, attribution: Attribution, z: Array) -> NDArray[np.float64]:
    """Outputs as the estimator's own predictions: [q, classes] probabilities, decision scores, or [q] means."""
    p = to_numpy(attribution.loss.predict(z))
    if adapted.has_probability and p.shape[1] == 1:
        return np.concatenate([1.0 - p, p], axis=1)
    return p[:, 0] if p.shape[1] == 1 else p
