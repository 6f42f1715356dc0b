"""What a question asks of a fitted model: outputs, estimated removals, real refits, and how far each can be trusted.

Stands on solvers and removal; questions stand on it and know no model beyond it. `inputs` are queries as the adapter
read them, `states` [k, …] what refits end in: only the attribution that made them reads them.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from upweight.output_loss import OutputLoss
from upweight.removal.certificate import Certificate
from upweight.removal.effects import Removals
from upweight.removal.group import GroupMoves
from upweight.shapes import Array, Bool, Float, Vector, Vectors
from upweight.solvers import Prepared, Solution, Solver

__all__ = ["COUNTERFACTUALS", "Attribution"]

COUNTERFACTUALS = {
    "optimum": "the model is fitted to its optimum without the row, from where it is",
    "proximal": "the response that stays near the trained outputs and weights, which is no retraining",
    "continued": "training goes on from the model as it is for the steps of train, with and without the row",
    "same_init": "the same training run (start, order, seed) without the row",
    "new_init": "training runs that do not start where this model did, without the row",
}


@runtime_checkable
class Attribution(Protocol):
    """One model at one θ."""

    @property
    def solver(self) -> Solver:
        """What answers."""
        ...

    @property
    def damping(self) -> float:
        """Added to the curvature."""
        ...

    @property
    def reason(self) -> str:
        """Why this solver: ends the sentence that says how."""
        ...

    @property
    def at_minimum(self) -> bool | None:
        """Whether θ is the minimum as far as a removal would feel; None where the adapter has judged that."""
        ...

    @property
    def flat(self) -> bool:
        """Whether derivatives leave out how its loss bends."""
        ...

    @property
    def counterfactual(self) -> str:
        """A key of COUNTERFACTUALS: what an estimate predicts."""
        ...

    @property
    def refits_shown(self) -> bool:
        """Whether a refit costs so little that what is shown is refitted unasked."""
        ...

    @property
    def n(self) -> int:
        """Training rows."""
        ...

    @property
    def c(self) -> int:
        """Outputs of a row."""
        ...

    @property
    def size(self) -> int:
        """p."""
        ...

    @property
    def loss(self) -> OutputLoss:
        """Of a row's outputs."""
        ...

    @property
    def vector(self) -> Vector:
        """θ."""
        ...

    @property
    def outputs(self) -> Float[Array, "n c"]:
        """z of the training rows."""
        ...

    @property
    def targets(self) -> Array:
        """Encoded, [n] or [n, c]."""
        ...

    @property
    def weights(self) -> Float[Array, " n"]:
        """Of the training rows."""
        ...

    @property
    def exact(self) -> bool:
        """Whether one Newton step with leverage is the refit itself."""
        ...

    @property
    def prepared(self) -> Prepared:
        """The curvature, made ready."""
        ...

    def index(self, name: str) -> int:
        """Where the parameter of this name stands in θ.

        Raises: MeasurementError for an unknown one.
        """
        ...

    def at(self, state: Any) -> "Attribution":
        """The same objective at another θ."""
        ...

    def without(self, out: Sequence[int]) -> "Attribution":
        """The same made ready around the refit without these rows, which keep their places."""
        ...

    def query_outputs(self, inputs: Any) -> Float[Array, "q c"]:
        """z of the queries."""
        ...

    def some(self, inputs: Any, at: NDArray[np.int64]) -> Any:
        """These of the queries."""
        ...

    def directions(self, inputs: Any, dz: Float[Array, "q c"]) -> Vectors:
        """∇m = Jᵀ dz of every query [q, p]."""
        ...

    def evaluates(self, queries: int) -> bool:
        """Whether one solve for each output of so many queries is cheap: then measurements are evaluated."""
        ...

    def removals(self, v: Vectors, removal: str) -> Removals:
        """Change of k linear measurements without each row: "leverage" or "first_order"."""
        ...

    def taken_out(self, removal: str) -> str:
        """How `removals` takes a row out, in words."""
        ...

    def output_removals(self, inputs: Any, removal: str) -> Removals:
        """Change of every output of every query without each row [q · c, b]."""
        ...

    def own_moves(self) -> Float[Array, "n c"]:
        """How far each row's own outputs move when it leaves."""
        ...

    def refitted(
        self, sets: Sequence[Sequence[int]], factors: Sequence[Sequence[float]] | None = None
    ) -> tuple[Any, Bool[Array, " k"]]:
        """States after really removing each set of rows (positions), and whether each refit can be believed.

        `factors`: what each set's rows weigh instead, times what they did.
        """
        ...

    def moved(self, rows: Sequence[int], factors: Sequence[float]) -> GroupMoves:
        """Where θ goes, estimated, when these rows together weigh `factors` times what they did."""
        ...

    def refits_said(self) -> str | None:
        """What real refits of this model are, and what they are worth; None: the model's own solver is asked."""
        ...

    def optimum(self, settled: bool) -> Any:
        """The state in which removals start, all rows kept, or None. `settled`: it is known to be θ."""
        ...

    def states_of(self, state: Any) -> Any:
        """One state as several."""
        ...

    def outputs_at(self, states: Any, inputs: Any) -> Float[Array, "k q c"]:
        """z of the queries at k states."""
        ...

    def row_outputs_at(self, states: Any, rows: Sequence[int]) -> Float[Array, "k r c"]:
        """z of training rows at k states."""
        ...

    def parameters_at(self, states: Any, index: int) -> Float[Array, " k"]:
        """One parameter at k states."""
        ...

    def certificate(self, rows: Sequence[int], state: Any, factors: Sequence[float] | None = None) -> Certificate:
        """What is proved of the refit without these rows, or with these factors on their weights."""
        ...

    def leverage_of(self, rows: Sequence[int]) -> float:
        """The largest leverage among these rows."""
        ...

    def leverages(self) -> Float[Array, " n"]:
        """Of every row, in [0, 1)."""
        ...

    def alone(self, solutions: Sequence[Solution], shown: NDArray[Any]) -> int:
        """How many rows alone hold a direction that is measured, beside the pull of the rows shown."""
        ...

    def damping_change(self, solution: Solution, factor: float) -> float | None:
        """Relative change of these solves when the damping is multiplied; None without damping."""
        ...

    def nearness(self, inputs: Any) -> Float[Array, "q n"]:
        """Cosine of each query with each row: the cheap baseline."""
        ...
