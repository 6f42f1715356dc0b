"""Influence: a fitted model and its training rows, ready for questions.

Stands on adapters, attribution, validation; workflows and faces stand on it. Public surface: DESIGN.md 3.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from upweight import questions
from upweight.adapters import Adapted, adapt
from upweight.display.words import among, count
from upweight.errors import InputError, listed
from upweight.outcomes import Refit, SmallestFlip
from upweight.questions import Question
from upweight.scores import Scores
from upweight.solvers import Solver
from upweight.validation.check import Check
from upweight.validation.grade import grade

__all__ = ["Influence", "Refit", "SmallestFlip"]

RowIds = Any  # a list, an array, an Index or a Series of row ids

VISIBLE = 1e-3  # a shift of an output that a person could read off a prediction


class Influence:
    """Which training rows made the model predict this, and what would happen without them."""

    def __init__(self, adapted: Adapted, solver: str | Solver = "auto", damping: float = 0.0) -> None:
        if not (np.isfinite(damping) and damping >= 0):
            raise InputError(f"damping is {damping!r}. Give a number >= 0; 0 uses the model's own curvature.")
        self.adapted = adapted
        self.attribution = adapted.attribution(adapted.objective, solver, damping)

    @classmethod
    def from_sklearn(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        solver: str | Solver = "auto",
        damping: float = 0.0,
    ) -> "Influence":
        """A fitted linear estimator, alone or at the end of a Pipeline, with the rows it was fitted on.

        solver: "auto", "cholesky", "woodbury", "cg", "lissa", or a solver with settings of its own. The estimator is
        never changed. docs/models.md lists the models.
        Raises: UnsupportedModel by name; InputError for data that the model cannot have been fitted on.
        """
        return cls(adapt(estimator, X, y, sample_weight), solver, damping)

    @property
    def row_ids(self) -> tuple[Any, ...]:
        """The training rows' ids: the DataFrame's index, else 0 … n − 1."""
        return self.adapted.row_ids

    def scores(
        self,
        X_query: Any = None,
        y_query: Any = None,
        measurement: str | Callable[[Any, Any], float] = "loss",
        removal: str = "leverage",
    ) -> Scores:
        """[q, n]: the estimated change of the measurement on each query if each training row were removed.

        y_query None: the predicted label. measurement: "loss", "log_prob", "prob", "margin", "prediction",
        "parameter:NAME" (no query), or a function of (predictions of all queries, y_query) that returns one number.
        removal: "leverage" (the row is taken out by a Newton step, the measurement evaluated there), "first_order"
        (the plain derivative).
        Raises: MeasurementError, InputError.
        """
        if removal not in ("leverage", "first_order"):
            raise InputError(f"removal {removal!r} is not known. Use 'leverage' or 'first_order'.")
        question = questions.ask(self.adapted, self.attribution, X_query, y_query, measurement)
        answer = question.scores(removal)
        return self._scores(question, answer, self._how(answer.how, removal))

    def self_influence(self) -> Scores:
        """[1, n]: the estimated change of each row's own loss without it: high where the model learnt it from itself.

        Source: Koh & Liang (2017), section 5.4; leave-one-out loss evaluated at the predicted outputs, METHODS.md 2.1.
        """
        question = questions.OwnLoss(self.adapted, self.attribution)
        answer = question.scores("leverage")
        return self._scores(question, answer, self._how(answer.how, "leverage"))

    def smallest_flip(self, x_query: Any, to: Any = None) -> SmallestFlip:
        """The smallest set found whose removal changes this one prediction, confirmed by a refit; never called minimal.

        to: the class to reach (None: any other), or for a regression the value to cross.
        Raises: InputError for more than one query, an unknown class, or a value on the wrong side.
        """
        found, after, before, sentence, proved = questions.flip(self.adapted, self.attribution, x_query, to)
        rows = tuple(self.row_ids[i] for i in found.rows) if found else ()
        margin = (found.before, found.predicted, found.margin) if found else None
        return SmallestFlip(rows, found is not None, before, after, margin, proved, sentence)

    def without(self, rows: RowIds) -> Refit:
        """The model refitted without these rows (ids): the user's own class, with a certificate of how exact it is.

        Raises: InputError for unknown ids, or no rows left.
        """
        at = self.positions(rows)
        states, converged = self.attribution.refitted([at])
        certificate = self.attribution.certificate(at, states[0])
        model = self.adapted.rebuild(states[0])
        lost = (
            "" if converged[0] else "no optimum was found: these rows alone held a class or a direction of the model; "
        )
        meaning = (
            f"{self.adapted.model_name} refitted without {count(len(at), 'row')} "
            f"({among(rows[:5])}{' …' if len(rows) > 5 else ''}); {lost}{certificate.sentence}; "
            f"{self.adapted.convention}. This does not prove what another choice of preprocessing or settings "
            "would give."
        )
        return Refit(model, tuple(rows), certificate, meaning, bool(converged[0]))

    def check(
        self,
        X_query: Any = None,
        y_query: Any = None,
        measurement: str | Callable[[Any, Any], float] = "loss",
        rows: int = 24,
        seed: int = 0,
    ) -> Check:
        """Estimates against real refits of stratified rows (top, bottom, random) and groups; the grade.

        Raises: as `scores`.
        """
        question = questions.ask(self.adapted, self.attribution, X_query, y_query, measurement)
        return questions.check(question, rows, seed)

    def positions(self, rows: Any) -> list[int]:
        """Where these row ids are.

        Raises: InputError for unknown or repeated ids, none, or all of them.
        """
        if isinstance(rows, str | bytes) or not isinstance(rows, Sequence | np.ndarray | pd.Index | pd.Series | range):
            raise InputError(f"rows is {rows!r}. Give a list of row ids.")
        rows = list(rows)
        unknown = [row for row in rows if not isinstance(row, Hashable) or row not in self._position]
        if unknown:
            raise InputError(f"no training row has the id {listed(unknown)}. Ids are {listed(self.row_ids)}.")
        if len(set(rows)) < len(rows):
            raise InputError("a row is named more than once. Name each row to remove once.")
        if not rows or len(rows) == len(self.row_ids):
            raise InputError(
                f"{count(len(rows), 'row')} of {len(self.row_ids):,} to remove. Name some, and leave some."
            )
        return [self._position[row] for row in rows]

    @cached_property
    def _position(self) -> Mapping[Any, int]:
        return {row: i for i, row in enumerate(self.row_ids)}

    def _how(self, evaluated: str, removal: str) -> str:
        """One sentence: solver and why, removal, measurement."""
        prepared = self.attribution.prepared
        taken = "each row taken out by a Newton step with its leverage" if removal == "leverage" else "plain derivative"
        fit = self.adapted.stationarity
        seen = fit.polished and fit.moved > VISIBLE
        start = "the fit was first moved to its optimum by Newton steps; " if seen else ""
        return f"{start}{prepared.how or self.attribution.solver}, {self.attribution.reason}; {taken}; {evaluated}"

    def _scores(self, question: Question, answer: questions.Answer, how: str) -> Scores:
        adapted = self.adapted
        return Scores(
            values=answer.values,
            base=answer.base,
            measurement=question.name,
            unit=question.unit,
            better=question.better,
            row_ids=adapted.row_ids,
            labels=np.asarray(adapted.labels),
            meaning=question.meaning,
            how=how,
            grade=grade(questions.signals(question, answer)),
            rows=lambda at: questions.rows_as_they_are(adapted.rows, at),
            refitter=question.refits,
            notes=adapted.notes,
            distance=questions.distance(question),
        )
