"""A named measurement on each query: loss, log-probability, probability, margin, prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters import Adapted, Inputs
from upweight.arrays import to_numpy
from upweight.attribution import Attribution
from upweight.measurement import Measurement
from upweight.questions.base import ROW_REMOVED, Answer, changes, finite, query_chunks
from upweight.removal.effects import Removals, evaluated
from upweight.shapes import Array
from upweight.solvers import Solution

__all__ = ["OnQueries"]


@dataclass(frozen=True, eq=False)
class OnQueries:
    """`targets`: encoded labels of the queries, the user's or the predicted ones."""

    adapted: Adapted
    attribution: Attribution
    features: Inputs
    targets: Array
    measured: Measurement
    given: bool
    x_query: Any = None  # as the user gave it, for the model's own predictions

    @property
    def name(self) -> str:
        """The measurement's."""
        return self.measured.name

    @property
    def unit(self) -> str:
        """The measurement's."""
        return self.measured.unit

    @property
    def better(self) -> str | None:
        """Which way is good."""
        return self.measured.better

    @property
    def meaning(self) -> str:
        """Change of what, without what, under which refit."""
        label = "" if self.given else " (of the predicted label)"
        return (
            f"Estimated change of the {self.name}{label} on each query, in {self.unit}, {ROW_REMOVED} "
            f"and the {self.adapted.model_name} refitted; {self.adapted.convention}."
        )

    @cached_property
    def _z(self) -> Array:
        return to_numpy(self.attribution.query_outputs(self.features))

    def now(self) -> NDArray[np.float64]:
        """[q]."""
        return to_numpy(self.measured.value(self._z, self.targets))

    def scores(self, removal: str) -> Answer:
        """One solve a query, or one for each of its outputs where that is cheap: then evaluated, not linearised."""
        queries, c, n = self.features.rows, self.attribution.c, self.attribution.n
        by_value = removal == "leverage" and self.attribution.evaluates(queries)
        parts: list[NDArray[np.float64]] = []
        solutions: list[Solution] = []
        said = ""
        for chunk in query_chunks(self.attribution, queries, c if by_value else 1):
            part, removals = self._chunk(chunk, removal, by_value)
            parts.append(part)
            solutions.append(removals.solution)
            said = removals.said
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=0) if parts else np.zeros((0, n))
        values, missing = finite(whole)
        how = f"the {self.name} evaluated at the predicted outputs" if by_value else f"the {self.name} linearised"
        how += f"; {said}" if said else ""
        return Answer(values, self.now(), how, tuple(solutions), missing)

    def _chunk(self, chunk: NDArray[np.int64], removal: str, by_value: bool) -> tuple[NDArray[np.float64], Removals]:
        some, z, y = self.attribution.some(self.features, chunk), self._z[chunk], self.targets[chunk]
        if not by_value:
            dz = self.measured.gradient(z, y)
            v = self.attribution.directions(some, dz)
            removals = self.attribution.removals(v, removal)
            return to_numpy(removals.values()), removals
        removals = self.attribution.output_removals(some, removal)
        base = self.measured.value(z, y)

        def change(moved: Array) -> Array:
            b, q, c = moved.shape
            repeated = np.tile(y, (b, *(1,) * (y.ndim - 1)))
            return self.measured.value(moved.reshape(b * q, c), repeated).reshape(b, q) - base[None]

        return to_numpy(evaluated(removals, z, change)), removals

    def after(self, sets: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """[k, q]."""
        states, converged = self.attribution.refitted(sets)
        return np.where(converged[:, None], self.at(states), np.nan)

    def at(self, states: Any) -> NDArray[np.float64]:
        """[k, q]."""
        z = to_numpy(self.attribution.outputs_at(states, self.features))
        values = [to_numpy(self.measured.value(z[j], self.targets)) for j in range(len(z))]
        return np.asarray(values).reshape(len(z), self.features.rows)

    def along(self, states: Any) -> NDArray[np.float64]:
        """[k, q]: ∇m · Δz."""
        dz = to_numpy(self.measured.gradient(self._z, self.targets))
        moves = to_numpy(self.attribution.outputs_at(states, self.features)) - self._z[None]
        return np.asarray(np.sum(dz[None] * moves, axis=2))

    def refits(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """[r, q]."""
        return changes(self, rows)

    def similarity(self) -> NDArray[np.float64]:
        """Cosine of the features: the cheap baseline."""
        return to_numpy(self.attribution.nearness(self.features))
