"""A linear head of hinges made ready: what it predicts and what removals do is exact, its derivatives are rounded.

As HeadAttribution, with θ at the optimum of the hinges themselves. Rows inside and outside the margin have no weight
derivative at all (METHODS.md 2.5), so a removal is no derivative here: each row is really taken out along the exact
path, all of them side by side. Derivatives (labels, features, plain sums) are those of the rounded loss at its own
optimum. Stands on head and removal.hinge_refit; the adapters of hinge models hand it over.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from upweight.arrays import blocks
from upweight.attribution.head import HeadAttribution
from upweight.features import Features
from upweight.linear_head import LinearHead
from upweight.output_loss import OutputLoss
from upweight.removal.certificate import Certificate
from upweight.removal.changed_refit import Changed
from upweight.removal.effects import Removals
from upweight.removal.group import GroupMoves, plain_sum
from upweight.removal.hinge_refit import ExactHinge, with_width
from upweight.removal.hinges import OFF, duality_gap, violation
from upweight.shapes import Array, Bool, Float, Vector, Vectors
from upweight.solvers import Prepared, Solution, Solver, Status

__all__ = ["HingeAttribution"]

WALKED_FLOPS = 5e11  # some ten seconds: beyond it rows are ranked by the rounded loss's Newton steps
PIECES = 10.0  # of a path, typically


class HingeAttribution(HeadAttribution):
    """`head` is rounded, at its own optimum; `exact` is the optimum of the hinges themselves; `smoothing`: as asked."""

    def __init__(
        self,
        exact: ExactHinge,
        smoothing: float | None,
        head: LinearHead,
        solver: str | Solver = "auto",
        damping: float = 0.0,
    ) -> None:
        super().__init__(head, solver, damping)
        self.exactly, self.smoothing = exact, smoothing
        self._true = with_width(head, 0.0).at(exact.vector)

    @property
    def loss(self) -> OutputLoss:
        """With its kinks."""
        return self._true.loss

    @property
    def vector(self) -> Vector:
        """θ of the hinges' own optimum."""
        return self.exactly.vector

    @property
    def outputs(self) -> Float[Array, "n c"]:
        """z of the training rows there."""
        return self._true.outputs

    @property
    def exact(self) -> bool:
        """Whether an estimate is the refit itself: each row is walked out."""
        return self.walks

    @property
    def flat(self) -> bool:
        """Whether the kinks are not rounded: then nothing bends but the penalty."""
        return self.smoothing == 0

    @cached_property
    def walks(self) -> bool:
        """Whether every row that holds the optimum can be walked out in some seconds."""
        cost = 2.0 * PIECES * self.n * self.head.features.columns * self.c
        return cost * len(self._holding) <= WALKED_FLOPS

    def at(self, state: Vector) -> HeadAttribution:
        """The hinges themselves at another θ."""
        return HeadAttribution(self._true.at(state), self.solver)

    def query_outputs(self, inputs: Features) -> Float[Array, "q c"]:
        """z of the queries."""
        return self.outputs_at(self.vector[None, :], inputs)[0]

    def refitted(
        self, sets: Sequence[Sequence[int]], factors: Sequence[Sequence[float]] | None = None
    ) -> tuple[Vectors, Bool[Array, " k"]]:
        """θ at the end of each path [k, p], and whether it is an optimum."""
        return self.exactly.refitted(sets, factors)

    def optimum(self, settled: bool) -> Vector:
        """Where removals start."""
        return self.vector

    @cached_property
    def _holding(self) -> NDArray[np.int64]:
        """Rows whose removal can move θ: those with a pull; all where the divisor goes with a row."""
        if np.any(np.asarray(self.head.shares) > 0):
            return np.arange(self.n)
        return np.flatnonzero((self.exactly.places != OFF).any(axis=1))

    @cached_property
    def _moves(self) -> Float[Array, "h p"]:
        """δθ of every row that holds the optimum, walked out alone; NaN where nothing is left to fit."""
        vectors, settled = self.refitted([[int(i)] for i in self._holding])
        return np.where(settled[:, None], vectors - self.vector[None], np.nan)

    def removals(self, v: Vectors, removal: str) -> Removals:
        """Change of k linear measurements without each row: really ("leverage"), or by the rounded derivative."""
        if removal != "leverage" or not self.walks:
            return super().removals(v, removal)

        def walked() -> Iterator[tuple[slice, Float[Array, "k b"]]]:
            position = np.full(self.n, -1)
            position[self._holding] = np.arange(len(self._holding))
            for rows in blocks(self.n, 8.0 * (v.shape[0] + v.shape[1])):
                out = np.zeros((v.shape[0], rows.stop - rows.start))
                there = position[rows]
                out[:, there >= 0] = v @ self._moves[there[there >= 0]].T
                yield rows, out

        return Removals(self.prepared(v), walked(), self.n, self._said())

    def _said(self) -> str:
        return f"{len(self._holding):,} of {self.n:,} rows hold the optimum, the others change nothing"

    def taken_out(self, removal: str) -> str:
        """How `removals` takes a row out, in words."""
        if removal == "leverage" and self.walks:
            return "each row really taken out along the exact path of the optimum"
        if self.flat:
            return f"{super().taken_out(removal)} of the kinked loss itself, whose curvature is the penalty alone"
        asked = "" if self.smoothing is None else f" (smoothing = {self.smoothing:g})"
        return f"{super().taken_out(removal)} of the rounded loss{asked}"

    def own_moves(self) -> Float[Array, "n c"]:
        """How far each row's own outputs move when it leaves."""
        if not self.walks:
            return super().own_moves()
        out = np.zeros((self.n, self.c))
        for some in blocks(len(self._holding), 32.0 * self.head.features.columns * self.c):
            rows = self._holding[some]
            x = self.head.features.take(rows)
            out[rows] = np.einsum("bcd,bd->bc", self.head.params.expand(self._moves[some]), x)
        return out

    def alone(self, solutions: Sequence[Solution], shown: NDArray[np.int64]) -> int:
        """None: a path that has no end says so."""
        return 0 if self.walks else super().alone(solutions, shown)

    def changed(self, changed: Changed) -> tuple[Vectors, Bool[Array, " m"]]:
        """θ with one row changed each, along the exact path."""
        return self.exactly.changed(changed)

    def moved(self, rows: Sequence[int], factors: Sequence[float]) -> GroupMoves:
        """The group along the exact path; its rows' own paths added up; the rounded derivative."""
        at, f = np.asarray(rows, dtype=np.int64), np.asarray(factors, dtype=np.float64)
        together, settled = self.refitted([at.tolist()], [f.tolist()])
        alone, each = self.refitted([[int(i)] for i in at], [[float(x)] for x in f])
        summed = self.vector + np.sum(np.where(each[:, None], alone - self.vector[None], 0.0), axis=0)
        states = np.stack([together[0], self.vector + plain_sum(self.head, self.prepared, at, f), summed])
        how = "these rows really taken to these weights along the exact path of the optimum"
        return GroupMoves(states, 0.0 if bool(settled[0]) else float("inf"), how)

    def certificate(self, rows: Sequence[int], state: Vector, factors: Sequence[float] | None = None) -> Certificate:
        """What is known of the path's end: the gap to its dual, or how far an optimum's conditions are missed."""
        theta = np.asarray(self.head.params.at(state).matrix)
        ends = self.exactly.ends(rows, factors)
        missed = max(violation(there, replace(fit, theta=theta[a])) for a, (there, fit) in enumerate(ends))
        inverse = np.stack([there.inverse for there, _ in ends])
        over = _over(self.head.params.collect(inverse[None]))
        if any(there.free for there, _ in ends):
            sentence = (
                f"not proved: the intercept has no penalty; the conditions of an optimum hold to {missed:.1e} of the "
                "margin"
            )
            return Certificate(None, None, missed, sentence, False, over)
        gap = sum(max(0.0, duality_gap(there, fit, theta[a])) for a, (there, fit) in enumerate(ends))
        bound = math.sqrt(2.0 * gap)
        lengths = [float(np.max(self.head.features.squares(row))) for row in inverse]
        reach = math.sqrt(max(lengths)) * bound
        sentence = (
            f"proved: no output of any row that is left is further than {reach:.1e} from the exact refit (duality gap "
            f"{gap:.1e})"
        )
        return Certificate(bound, reach, missed, sentence, True, over)

    def certificates(self, sets: Sequence[Sequence[int]], states: Vectors) -> tuple[Certificate, ...]:
        """The same of each path."""
        return tuple(self.certificate(rows, states[j]) for j, rows in enumerate(sets))

    def without(self, out: Sequence[int]) -> "HingeAttribution":
        """The same around the refit without these rows, which keep their places with weight 0."""
        there = self.exactly.without(out)
        return HingeAttribution(there, self.smoothing, there.head, self.solver, self.damping)


def _over(inverse: Float[Array, "1 p"]) -> Prepared:
    """Λ⁻¹: what turns a bound in the norm of Λ into one on a measurement."""

    def solve(b: Vectors) -> Solution:
        nothing = np.zeros(len(b))
        return Solution(inverse * b, nothing, nothing.astype(int), (Status.CONVERGED,) * len(b))

    return Prepared(solve, lambda b: inverse * b)
