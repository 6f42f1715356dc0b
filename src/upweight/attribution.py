"""One linear head made ready for every question: its curvature prepared once, its leverages once, refits remembered.

Stands on solvers, sensitivity, removal; influence and its workflows stand on it.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from upweight.arrays import namespace, to_numpy
from upweight.curvature import HeadCurvature
from upweight.features import Features, Taken, rounded
from upweight.gradients import HeadSource
from upweight.linear_head import LinearHead
from upweight.removal.effects import Removals, output_directions
from upweight.removal.leverage import (
    SMALLEST_GAP,
    Leverage,
    largest_leverages,
    leverage_corrected,
    removal_curvature,
)
from upweight.removal.support import refit_on_support
from upweight.sensitivity import Implicit
from upweight.shapes import Array, Bool, Float, Vectors
from upweight.solvers import Cholesky, Prepared, Solver
from upweight.solvers.auto import choose

__all__ = ["Attribution"]

FAR = 0.01  # of the bend at which a row would hold a direction alone

WRITTEN_OUT = 4000  # parameters: a certificate's H takes 128 MB


class Attribution:
    """Lazily: what no question has asked for is not computed."""

    def __init__(self, head: LinearHead, solver: Solver, damping: float = 0.0) -> None:
        self.head, self.solver, self.damping = head, solver, damping
        self._refits: dict[tuple[int, ...], tuple[Array, bool]] = {}

    @cached_property
    def prepared(self) -> Prepared:
        """H (+ damping), made ready."""
        return self.solver.prepare(HeadCurvature(self.head).damped(self.damping))

    @cached_property
    def at_removal(self) -> tuple[HeadCurvature, Prepared]:
        """The curvature that single removals see; H itself where a refit divides by the same n."""
        if self.head.normalization == "sum":
            return HeadCurvature(self.head).damped(self.damping), self.prepared
        curvature = removal_curvature(self.head).damped(self.damping)
        return curvature, self.solver.prepare(curvature)

    @cached_property
    def _direct(self) -> Prepared:
        """The same curvature by a solver that has leverages: an iterative one without them would solve n · c times."""
        curvature, prepared = self.at_removal
        if prepared.leverages is not None or prepared.inverse is not None:
            return prepared
        return choose(self.head).solver.prepare(curvature)

    @cached_property
    def leverage(self) -> Leverage:
        """ũ, leverages and own moves of every row."""
        return leverage_corrected(self.at_removal[0], self._direct)

    def removals(self, v: Vectors, removal: str) -> Removals:
        """Change of k linear measurements without each row: removal "leverage" or "first_order"."""
        if removal == "leverage":
            return Removals.of(Implicit(self.at_removal[1]), self.leverage.source, v)
        return Removals.of(Implicit(self.prepared), HeadSource.plain(self.head), v)

    def output_removals(self, features: Taken, removal: str) -> Removals:
        """Change of every output of every query without each row [q · c, b]."""
        return self.removals(output_directions(self.head.params, features), removal)

    def refitted(self, sets: Sequence[Sequence[int]]) -> tuple[Vectors, Bool[Array, " k"]]:
        """θ after really removing each set of rows (positions) [k, p], and whether each refit found its optimum."""
        keys = [tuple(sorted({int(r) for r in rows})) for rows in sets]
        new = [key for key in dict.fromkeys(keys) if key not in self._refits]
        if new:
            refits = refit_on_support(self.head, self._direct, new)
            for j, key in enumerate(new):
                self._refits[key] = (refits.vectors[j, :], bool(refits.converged[j]))
        xp = namespace(self.head.weights)
        if not keys:
            return xp.zeros((0, self.head.params.size), dtype=self.head.weights.dtype), np.zeros(0, dtype=bool)
        return xp.stack([self._refits[key][0] for key in keys]), np.asarray([self._refits[key][1] for key in keys])

    def outputs_at(self, vectors: Vectors, features: Features) -> Float[Array, "k q c"]:
        """z of the queries at k parameter vectors."""
        xp = namespace(vectors)
        c = self.head.c
        w = xp.reshape(self.head.params.place(vectors), (vectors.shape[0] * c, -1))
        z = features.matmul(w, slice(0, features.rows))
        return xp.permute_dims(xp.reshape(z, (features.rows, vectors.shape[0], c)), (1, 0, 2))

    def without(self, out: Sequence[int]) -> "Attribution":
        """The same made ready around the refit without these rows, which keep their places with weight 0."""
        vectors, _ = self.refitted([out])
        keep = np.ones(self.head.n)
        keep[np.asarray(out, dtype=int)] = 0.0
        xp = namespace(self.head.weights)
        head, factor = self.head.at(vectors[0, :]).without(xp.asarray(keep, dtype=self.head.weights.dtype))
        # F over its factor: the divisor of the rows that are left and the whole penalty, so that shares stay theirs
        return Attribution(replace(head, divisor=factor / head.scale), self.solver, self.damping)

    @property
    def certifier(self) -> Solver:
        """What certificates are solved with: directly where H can be written out, since a proof cannot be iterated."""
        return Cholesky() if self.head.params.size <= WRITTEN_OUT else self.solver

    def leverage_of(self, rows: Sequence[int]) -> float:
        """The largest leverage among these rows; those of all rows are made only where the solver has no other way."""
        if "leverage" not in self.__dict__ and rows:
            found = largest_leverages(self.at_removal[0], self._direct, np.asarray(rows, dtype=np.int64))
            if found is not None:
                return float(np.max(to_numpy(found)))
        return float(np.max(to_numpy(self.leverage.h)[list(rows)], initial=0.0))

    @cached_property
    def alone(self) -> NDArray[np.int64]:
        """Rows that alone hold a direction of θ: none where each row bends penalised columns far less than needed."""
        if "leverage" not in self.__dict__ and self._direct.row_leverages is not None and self._held_by_penalty():
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(to_numpy(self.leverage.alone))

    def _held_by_penalty(self) -> bool:
        """Whether only the constant is free and s w tr(S_i) ‖x_i‖² in units of the penalty is below 1/SMALLEST_GAP."""
        head, curvature = self.head, self.at_removal[0]
        xp = namespace(head.weights)
        penalty = xp.min(head.params.expand(curvature.diagonal[None, :])[0, :, :], axis=0)
        if not bool(xp.all(penalty[:-1] > 0)):
            return False
        scale = xp.concat([1.0 / penalty[:-1], xp.zeros_like(penalty[-1:])])
        bend = sum(xp.max(curvature.outputs.entry(a, a, slice(0, head.n))) for a in range(head.c))
        return (
            float(head.scale * bend * xp.max(rounded(head.features, xp.float32).squares(scale)))
            < FAR * 1.0 / SMALLEST_GAP
        )
