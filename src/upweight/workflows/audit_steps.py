"""Training rows moved step by step against a prediction, the model refitted after every step; and which rows to move.

    x ← Π(x − α sign ∇ₓm),   Π: the bound around the row as it is, and the valid range,   α = bound / 25

A row's gain is what the derivative at the fit says it could do: Σ over its cells of the room that is left there, times
|∇ₓm|. Stands on moving_refit, row_inputs, audit_bounds and audit_goals. Source: Koh & Liang (2017), 5.2; METHODS.md 9.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters import Adapted
from upweight.adapters.row_inputs import RowInputs
from upweight.arrays import blocks, to_numpy
from upweight.curvature import HeadCurvature
from upweight.gradients import PerturbedSource
from upweight.linear_head import LinearHead
from upweight.perturbation import Inputs
from upweight.removal.changed_refit import Changed, lengthened
from upweight.removal.moving_refit import Moving
from upweight.removal.warm_refit import refit_without
from upweight.sensitivity import Implicit
from upweight.shapes import Array, Vector
from upweight.solvers import Prepared
from upweight.solvers.auto import choose
from upweight.workflows.audit_bounds import Bounds
from upweight.workflows.audit_goals import Goal

__all__ = ["Gains", "Path", "Subject", "gains", "walk"]

STEPS_TO_BOUND = 25.0  # Koh & Liang: 0.02 grey levels towards half a level
PATIENCE = 10  # steps without gain after which no more are taken
GAIN = 1e-3  # of the way so far: less is no gain

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Subject:
    """The model under audit: a linear head at its optimum, and what its rows are made of."""

    adapted: Adapted
    head: LinearHead
    prepared: Prepared  # H at the head
    inputs: RowInputs

    @classmethod
    def of(cls, adapted: Adapted, head: LinearHead, inputs: RowInputs, prepared: Prepared | None = None) -> "Subject":
        """With a factor of H, or what comes nearest."""
        if prepared is None or (prepared.inverse is None and prepared.leverages is None):
            prepared = choose(head).solver.prepare(HeadCurvature(head))
        return cls(adapted, head, prepared, inputs)

    def outputs(self, queries: Any, vector: Vector | None = None) -> Floats:
        """z [q, c] at θ, or elsewhere."""
        at = self.head.params.matrix if vector is None else self.head.params.at(vector).matrix
        return np.asarray(to_numpy(queries.take(np.arange(queries.rows)) @ at.T))

    def toward(self, goal: Goal, z: Array) -> Vector:
        """∇ of the goal in θ [p]."""
        x = goal.queries.take(np.arange(goal.queries.rows))
        return self.head.params.collect((goal.slope(z).T @ x)[None])[0, :]

    def altered(self, rows: NDArray[np.int64], cells: Floats) -> LinearHead:
        """The objective with the altered rows, read from the user's own kind of data, behind the others."""
        features: Any = self.adapted.read_query(self.inputs.data(rows, cells))
        return lengthened(self.head, Changed(rows, features=features))

    def refit(self, rows: NDArray[np.int64], cells: Floats, start: Vector | None = None) -> tuple[Vector, bool]:
        """θ of the model refitted on the altered rows to rounding, and whether that is its optimum."""
        at = None if start is None else start[None]
        found = refit_without(self.altered(rows, cells), self.prepared, [rows.tolist()], start=at)
        return found.vectors[0, :], bool(found.converged[0])


@dataclass(frozen=True, eq=False)
class Gains:
    """What rows could do, the largest first."""

    rows: NDArray[np.int64]  # positions
    values: Floats


def gains(subject: Subject, goal: Goal, bounds: Bounds) -> Gains:
    """Of all rows that the inputs have derivatives for at a fair price: those that pull most on what the head reads."""
    head, inputs = subject.head, subject.inputs
    v = subject.toward(goal, subject.outputs(goal.queries))[None]
    source = PerturbedSource(head, Inputs())
    strongest = np.arange(head.n)
    if inputs.at_most is not None and inputs.at_most < head.n:
        pulls = np.concatenate(
            [
                np.linalg.norm(to_numpy(block)[0], axis=1)
                for _, block in Implicit(subject.prepared).adjoint(v, source).blocks
            ]
        )
        strongest = np.argsort(-pulls, kind="stable")[: inputs.at_most]
    found = np.zeros(len(strongest))
    some = PerturbedSource(head, Inputs(), strongest)
    for where, block in Implicit(subject.prepared).adjoint(v, some).blocks:
        gradient = to_numpy(block)[0]
        for part in blocks(len(gradient), 64.0 * len(bounds.within)):
            rows = strongest[where][part]
            found[where][part] = _gain(inputs.slopes(rows, gradient[part]), inputs.cells(rows), bounds)
    order = np.argsort(-found, kind="stable")
    return Gains(strongest[order], found[order])


@dataclass(frozen=True, eq=False)
class Path:
    """Where the steps led: the first place that reached the goal, else the best so far."""

    rows: NDArray[np.int64]
    cells: Floats  # [k, d]
    vector: Vector  # θ there
    value: float
    reached: bool
    steps: int  # up to that place


def walk(
    subject: Subject, goal: Goal, rows: Sequence[int], bounds: Bounds, steps: int, on_grid: bool = False
) -> Iterator[Path]:
    """The best place so far, after every step; ends where the goal is reached, nothing moves, or nothing is gained.

    `on_grid`: the rows are read as the grid stores them, after every step.
    """
    at = np.asarray(rows, dtype=np.int64)
    inputs = subject.inputs
    before = inputs.cells(at)
    low, high = bounds.box(before)
    alpha = bounds.within / STEPS_TO_BOUND
    moving = Moving(subject.head, subject.prepared, at)
    state = moving.start()
    _, back = inputs.read(at, before)
    cells, used, s = before, before, None
    z = subject.outputs(goal.queries)
    start = goal.value(z)
    best = Path(at, before, state.vector, start, goal.reached(z), 0)
    slope: Floats | None = None
    for step in range(1, steps + 1):
        if best.reached or step - best.steps > PATIENCE + (STEPS_TO_BOUND if on_grid else 0):
            return
        if slope is None:
            s = moving.adjoint(state, subject.toward(goal, z), s)
            slope = np.nan_to_num(back(to_numpy(moving.pull(state, s))))
        further = inputs.held(np.clip(cells - alpha * np.sign(slope), low, high), low, high)
        if _same(further, cells):
            return
        cells = further
        read = np.clip(bounds.encoded(cells, before), low, high) if on_grid else cells
        if not _same(read, used):
            used = read
            features, back = inputs.read(at, used)
            state = moving.follow(state, np.concatenate([features, np.ones((len(at), 1))], axis=1))
            if not state.converged:
                return
            z, slope = subject.outputs(goal.queries, state.vector), None
            value, reached = goal.value(z), goal.reached(z)
            if reached or value < best.value - GAIN * (start - best.value):
                best = Path(at, used, state.vector, value, reached, step)
        yield best


def _gain(slope: Floats, cells: Floats, bounds: Bounds) -> Floats:
    """[k]: how far the goal falls, by the derivative, where each cell goes as far as it may."""
    low, high = bounds.box(cells)
    room = np.where(slope > 0, cells - low, high - cells)
    return np.asarray(np.sum(np.nan_to_num(room * np.abs(slope)), axis=1))


def _same(a: Floats, b: Floats) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))
