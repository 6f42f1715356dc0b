"""What an adapter hands over: a fitted model's objective, and the way back to the user's own words and class.

Stands on attribution; questions and influence stand on it. pandas, scipy.sparse and scikit-learn stop here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from upweight.attribution import Attribution
from upweight.shapes import Array
from upweight.solvers import Solver

__all__ = ["DIVIDES", "Adapted", "Inputs", "Stationarity"]

DIVIDES = {
    "sum": "a refit keeps the penalty fixed against the sum of the losses of the rows that are left",
    "mean": "a refit divides the loss by the total weight of the rows that are left",
    "rows": "a refit divides the loss by the number of rows that are left",
}


@runtime_checkable
class Inputs(Protocol):
    """Queries, ready to be read by one kind of model."""

    @property
    def rows(self) -> int:
        """How many."""
        ...


@dataclass(frozen=True)
class Stationarity:
    """Whether the fit is where its solver meant to be, judged before anything is polished.

    `gradient` is ‖∇F‖∞ at the user's own parameters in the solver's own scale, `tol` what that solver promises,
    `finished` whether it stopped before its step limit (None: it does not say). A gradient above tol from a solver
    that finished means other rows, labels or weights: `mismatch`. One that ran out of steps, or that never promises
    stationarity (SGD, sag, saga): `unconverged`.
    """

    gradient: float
    tol: float
    finished: bool | None
    mismatch: str | None = None  # the sentence, where it is so
    unconverged: str | None = None
    polished: bool = False  # the head's θ was moved to the optimum by Newton steps
    moved: float = 0.0  # how far that moved the training outputs, largest |Δz|
    by: str = "by Newton steps"  # what moved it


@dataclass(frozen=True)
class Adapted:
    """A fitted model, understood."""

    objective: Any  # LinearHead, or a Network
    attribution: Callable[[Any, str | Solver, Any], Attribution]  # objective, solver, damping -> all made ready
    kind: str  # "classification" or "regression"
    classes: tuple[Any, ...]  # the user's labels in the order of predict's columns; () for regression
    targets: tuple[str, ...]  # names of the outputs of a regression; ("y",) where there is one
    unit: str  # of a regression's target: its name where known, else "target units"
    row_ids: tuple[Any, ...]  # the DataFrame's index, else 0..n-1; unique
    labels: Array  # the user's y, as given, [n] or [n, targets]
    rows: Any  # the user's X as given (DataFrame, array, sparse): rows as they are
    read_query: Callable[[Any], Inputs]  # the user's X_query as the attribution reads it, through frozen preprocessing
    read_target: Callable[[Any], Array]  # the user's y -> encoded targets; InputError on an unseen label
    rebuild: Callable[[Any], Any]  # a state of the attribution -> a fitted model of the user's own class
    cold_refit: Callable[[Sequence[int]], Any] | None  # the user's own solver without these rows, from nothing
    stationarity: Stationarity
    model_name: str  # "LogisticRegression", as said in sentences
    has_probability: bool  # whether predict gives probabilities
    convention: str  # one sentence: what the refit divides by, what stays frozen (preprocessing, C, class weights)
    notes: tuple[str, ...] = field(default=())  # * sentences: constant column, class with one member, slack of L1 …
    fitted: Array | None = None  # θ [p] as the user's own solver left it, where `objective` was polished
    class_factors: Array | None = None  # what each class weighs a row with, inside the weights; None: 1
    stages: tuple[Any, ...] = ()  # frozen pipelines of transformers between `rows` and the features
    reads: str = ""  # what the features are, where they are neither columns nor made by `stages`
    row_inputs: Any = None  # RowInputs, where rows reach the features otherwise than by `stages`
