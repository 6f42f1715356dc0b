"""A named measurement on each query: loss, log-probability, probability, margin, prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters import Adapted
from upweight.arrays import to_numpy
from upweight.attribution import Attribution
from upweight.features import Features
from upweight.measurement import Measurement
from upweight.questions.base import Answer, changes, finite, query_chunks
from upweight.removal.effects import Removals, evaluated, gradient_directions, query_outputs
from upweight.shapes import Array
from upweight.solvers import Solution

__all__ = ["OnQueries", "Subset"]

EVALUATED_FLOPS = 4e10  # a second or so: beyond it one solve a query, not one for each of its outputs


@dataclass(frozen=True)
class Subset:
    """Some rows of features, dense: queries are few."""

    features: Features
    at: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.at)

    @property
    def columns(self) -> int:
        """D."""
        return self.features.columns

    def take(self, rows: Array) -> Array:
        """These of the chosen rows."""
        return self.features.take(self.at[rows])


@dataclass(frozen=True, eq=False)
class OnQueries:
    """`targets`: encoded labels of the queries, the user's or the predicted ones."""

    adapted: Adapted
    attribution: Attribution
    features: Features
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
            f"Estimated change of the {self.name}{label} on each query, in {self.unit}, if that training row were "
            f"removed and the {self.adapted.model_name} refitted; {self.adapted.convention}."
        )

    @cached_property
    def _z(self) -> Array:
        return query_outputs(self.attribution.head, self.features)

    def now(self) -> NDArray[np.float64]:
        """[q]."""
        return to_numpy(self.measured.value(self._z, self.targets))

    def scores(self, removal: str) -> Answer:
        """One solve a query, or one for each of its outputs where that is cheap: then evaluated, not linearised."""
        head = self.attribution.head
        flops = 4.0 * head.n * head.c**2 * head.features.columns * self.features.rows
        by_value = removal == "leverage" and (head.c == 1 or flops <= EVALUATED_FLOPS)
        parts: list[NDArray[np.float64]] = []
        solutions: list[Solution] = []
        said = ""
        for chunk in query_chunks(self.attribution, self.features, head.c if by_value else 1):
            part, removals = self._chunk(chunk, removal, by_value)
            parts.append(part)
            solutions.append(removals.solution)
            said = removals.said
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=0) if parts else np.zeros((0, head.n))
        values, missing = finite(whole)
        how = f"the {self.name} evaluated at the predicted outputs" if by_value else f"the {self.name} linearised"
        how += f"; {said}" if said else ""
        return Answer(values, self.now(), how, tuple(solutions), missing)

    def _chunk(self, chunk: NDArray[np.int64], removal: str, by_value: bool) -> tuple[NDArray[np.float64], Removals]:
        some, z, y = Subset(self.features, chunk), self._z[chunk], self.targets[chunk]
        if not by_value:
            dz = self.measured.gradient(z, y)
            v = gradient_directions(self.attribution.head.params, some, dz)
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
        vectors, converged = self.attribution.refitted(sets)
        z = self.attribution.outputs_at(vectors, self.features)
        values = [to_numpy(self.measured.value(z[j], self.targets)) for j in range(len(sets))]
        out = np.asarray(values).reshape(len(sets), self.features.rows)
        return np.where(converged[:, None], out, np.nan)

    def refits(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """[r, q]."""
        return changes(self, rows)

    def similarity(self) -> NDArray[np.float64]:
        """Cosine of the features: the cheap baseline."""
        head = self.attribution.head
        x = to_numpy(self.features.take(np.arange(self.features.rows)))
        ones = np.ones(head.features.columns)
        lengths = np.sqrt(to_numpy(head.features.squares(ones))[None] * (x**2).sum(axis=1)[:, None])
        products = np.concatenate([to_numpy(head.features.matmul(x, rows)) for rows in head.batches(len(x))]).T
        return products / np.where(lengths > 0, lengths, 1.0)
