"""Influence: a fitted model and its training rows, ready for questions.

Stands on adapters, attribution, validation; workflows and faces stand on it. Public surface: DESIGN.md 3.
"""

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from upweight import questions
from upweight.adapters import Adapted, adapt
from upweight.attribution import COUNTERFACTUALS, Attribution
from upweight.display.words import count
from upweight.errors import InputError, MissingExtra, listed
from upweight.feature_effects import FeatureEffects
from upweight.mainstay import Mainstay
from upweight.outcomes import Refit, SmallestFlip
from upweight.questions import GroupEffect, Question
from upweight.relabel import Relabel
from upweight.saving import Source, TorchSource, read_influence, write_influence
from upweight.scores import Scores
from upweight.solvers import Solver
from upweight.validation.check import Check
from upweight.validation.grade import grade

__all__ = ["Influence", "Refit", "SmallestFlip"]

RowIds = Any  # a list, an array, an Index or a Series of row ids

VISIBLE = 1e-3  # a shift of an output that a person could read off a prediction


class Influence:
    """Which training rows made the model predict this, and what would happen without them."""

    def __init__(self, adapted: Adapted, solver: str | Solver = "auto", damping: float | str = 0.0) -> None:
        if damping != "auto" and not (isinstance(damping, float | int) and np.isfinite(damping) and damping >= 0):
            raise InputError(f"damping is {damping!r}. Give a number >= 0; 0 uses the model's own curvature.")
        self.adapted = adapted
        self.source: Source | TorchSource | None = None  # what `save` writes
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
        smoothing: float | None = None,
    ) -> "Influence":
        """A fitted linear estimator or perceptron, alone or at the end of a Pipeline, with the rows it was fitted on.

        solver: "auto", "cholesky", "woodbury", "cg", "lissa", or a solver with settings of its own. damping: added to
        the curvature; 0 is none, and for a perceptron what from_torch's "auto" is. The estimator is never changed.
        smoothing: of a model with hinges the width t, in the unit of its outputs, that derivatives round their kinks
        over: those of t log(1 + e^((1 − s)/t)) at its own optimum; 0 is the hinge itself, None a width that hardly
        moves an output. Removals with "leverage", groups and refits are the kinked model's own whatever it is.
        docs/models.md lists the models.
        Raises: UnsupportedModel by name; InputError for data that the model cannot have been fitted on; MissingExtra
        for a perceptron without torch.
        """
        if smoothing is not None and not (_is_number(smoothing) and np.isfinite(smoothing) and smoothing >= 0):
            raise InputError(f"smoothing is {smoothing!r}. Give a number >= 0: 0 is the hinge itself; or leave it out.")
        made = cls(adapt(estimator, X, y, sample_weight, smoothing), solver, damping)
        made.source = Source(estimator, X, y, sample_weight, solver, damping, smoothing)
        return made

    @classmethod
    def from_torch(
        cls,
        model: Any,
        loss: Callable[[Any, Any], Any],
        data: Any,
        penalty: Any = 0.0,
        params: Any = "all",
        normalization: str = "mean",
        solver: str | Solver = "auto",
        damping: float | str = "auto",
        train: Callable[..., Any] | None = None,
    ) -> "Influence":
        """A trained torch.nn.Module in evaluation mode, with the rows it was trained on.

        loss(outputs, targets) gives one number a row [b]. data: (X, y), (inputs, y), a Dataset or a DataLoader.
        penalty: the weight decay in the loss, as a number, {name or pattern: number}, or the optimizer. params: "all",
        "head", names, or a function of (name, parameter). train(weights [n], seed) -> model: the user's own training.
        Where the model is linear in what moves, the answers are those of from_sklearn. The module is never changed.
        Raises: UnsupportedModel, InputError; MissingExtra without torch.
        """
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise MissingExtra("Influence.from_torch needs torch: pip install 'upweight[torch]'.") from error
        from upweight.adapters.torch_module import adapt_torch

        made = cls(adapt_torch(model, loss, data, penalty, params, normalization, train), solver, damping)
        made.source = TorchSource(model, loss, data, penalty, params, normalization, solver, damping, train)
        return made

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
        return self._scores(question, answer, removal)

    def self_influence(self) -> Scores:
        """[1, n]: the estimated change of each row's own loss without it: high where the model learnt it from itself.

        Source: Koh & Liang (2017), section 5.4; leave-one-out loss evaluated at the predicted outputs, METHODS.md 2.1.
        """
        question = questions.OwnLoss(self.adapted, self.attribution)
        answer = question.scores("leverage")
        return self._scores(question, answer, "leverage")

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
        return self.without_each([rows])[0]

    def without_each(self, groups: Sequence[RowIds]) -> tuple[Refit, ...]:
        """`without` for each of these groups of rows (ids), all refitted side by side: many share a pass over the rows.

        Raises: InputError for unknown ids, or no rows left.
        """
        at = [self.positions(rows) for rows in groups]
        return questions.without(self.adapted, self.attribution, at, [list(rows) for rows in groups])

    def group(
        self,
        rows: RowIds,
        X_query: Any = None,
        y_query: Any = None,
        measurement: str | Callable[[Any, Any], float] = "loss",
    ) -> GroupEffect:
        """The estimated change of the measurement on each query if all these rows (ids) were removed together.

        Not the sum of their scores: rows that agree hold each other's place. `.refit()` gives the truth beside it.
        y_query, measurement: as in `scores`.
        Raises: MeasurementError, InputError.
        """
        at = self.positions(rows)
        question = questions.ask(self.adapted, self.attribution, X_query, y_query, measurement)
        return questions.group_effect(question, at, np.zeros(len(at)))

    def reweight(
        self,
        rows: RowIds,
        factor: Any,
        X_query: Any = None,
        y_query: Any = None,
        measurement: str | Callable[[Any, Any], float] = "loss",
    ) -> GroupEffect:
        """As `group`, if these rows weighed `factor` times what they do: 0 removed, 2 a second copy; one number a row.

        Raises: MeasurementError, InputError.
        """
        at = self._named(rows)
        factors = questions.factors_of(factor, len(at))
        if not factors.any():
            self.positions(rows)  # some have to stay
        question = questions.ask(self.adapted, self.attribution, X_query, y_query, measurement)
        return questions.group_effect(question, at, factors)

    def hangs_on(self, X_query: Any = None, y_query: Any = None, rows: Any = None, seed: int = 0) -> Mainstay:
        """The rows that the model as a whole hangs on: found greedily, confirmed by a refit; never called maximal.

        X_query None: the predictions of the training rows that stay. rows: how many to find, or a share of them; None:
        the smaller of 1 % and 50, at least 1. seed: of the random rows that are removed beside them.
        Raises: InputError.
        """
        count = questions.how_many(rows, len(self.row_ids))
        return questions.hangs_on(self.adapted, self.attribution, X_query, y_query, count, seed)

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

    def relabel(
        self,
        X_query: Any = None,
        y_query: Any = None,
        measurement: str | Callable[[Any, Any], float] = "loss",
    ) -> Relabel:
        """[q, n, c]: the estimated change of the measurement if each training row's label became class c.

        A regression: [q, n, targets], per unit of the target. Arguments as `scores`; measurements with a derivative.
        Raises: MeasurementError, InputError; UnsupportedQuestion for a function of predictions.
        """
        question = questions.ask(self.adapted, self.attribution, X_query, y_query, measurement)
        return questions.relabel(question, lambda evaluated: self._how(evaluated, "first_order"))

    def features(
        self,
        X_query: Any = None,
        y_query: Any = None,
        rows: RowIds = None,
        measurement: str | Callable[[Any, Any], float] = "loss",
    ) -> FeatureEffects:
        """[q, r, d]: the estimated change of the measurement per unit of each column of these training rows (ids).

        Columns are those of the table that you gave, before any preprocessing; categories and words are changed one by
        one (`frame`). rows None: the ten whose removal would change most. Arguments else as `scores`.
        Raises: MeasurementError, InputError; UnsupportedQuestion for a function of predictions.
        """
        question = questions.ask(self.adapted, self.attribution, X_query, y_query, measurement)
        at = questions.strongest_rows(question) if rows is None else self._named(rows)
        return questions.features(question, at, lambda evaluated: self._how(evaluated, "first_order"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the fitted estimator, its rows, labels, weights and the settings into one file: whole, no pickle.

        Raises: FileError for what cannot be stored, by name; a file that was there stays as it was.
        """
        write_influence(path, self.source, self.adapted, self.attribution)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        trust_pickle: bool = False,
        model: Any = None,
        loss: Callable[[Any, Any], Any] | None = None,
        train: Callable[..., Any] | None = None,
    ) -> "Influence":
        """An Influence as `save` wrote it: its answers are the same to the bit where the versions are.

        trust_pickle: also build parts of an estimator that skops does not know, which may run code (--trust-pickle).
        A network's file holds no code: give model (its state is loaded into a copy), loss, and train where refits are
        wanted; each row's loss is compared with the one saved.
        Raises: FileError for a file that is damaged, cut short, not one of ours, or newer; for types that nobody
        vouches for, by name; and where the model that was read or given is not the one that was saved.
        """
        source, adapted = read_influence(path, trust_pickle, model, loss, train)
        made = cls(adapted, source.solver, source.damping)
        made.source = source
        return made

    def positions(self, rows: Any) -> list[int]:
        """Where these row ids are.

        Raises: InputError for unknown or repeated ids, none, or all of them.
        """
        at = self._named(rows)
        if not at or len(at) == len(self.row_ids):
            raise InputError(f"{count(len(at), 'row')} of {len(self.row_ids):,} to remove. Name some, and leave some.")
        return at

    def _named(self, rows: Any) -> list[int]:
        """Where these row ids are, each once."""
        if isinstance(rows, str | bytes) or not isinstance(rows, Sequence | np.ndarray | pd.Index | pd.Series | range):
            raise InputError(f"rows is {rows!r}. Give a list of row ids.")
        rows = list(rows)
        unknown = [row for row in rows if not isinstance(row, Hashable) or row not in self._position]
        if unknown:
            raise InputError(f"no training row has the id {listed(unknown)}. Ids are {listed(self.row_ids)}.")
        if len(set(rows)) < len(rows):
            raise InputError("a row is named more than once. Name each row once.")
        return [self._position[row] for row in rows]

    @cached_property
    def _position(self) -> Mapping[Any, int]:
        return {row: i for i, row in enumerate(self.row_ids)}

    def _how(self, evaluated: str, removal: str) -> str:
        """One sentence: solver and why, removal, measurement."""
        attribution, fit = self.attribution, self.adapted.stationarity
        solved = attribution.prepared.how or str(attribution.solver)
        seen = fit.polished and fit.moved > VISIBLE
        start = f"the fit was first moved to its optimum {fit.by}; " if seen else ""
        return f"{start}{solved}, {attribution.reason}; {attribution.taken_out(removal)}; {evaluated}"

    def _scores(self, question: Question, answer: questions.Answer, removal: str) -> Scores:
        adapted, how = self.adapted, self._how(answer.how, removal)
        known = questions.signals(question, answer, removal)
        return Scores(
            values=answer.values,
            base=answer.base,
            measurement=question.name,
            unit=question.unit,
            better=question.better,
            row_ids=adapted.row_ids,
            labels=np.asarray(adapted.labels),
            meaning=f"{question.meaning} Counterfactual: {_counterfactual(self.attribution)}.",
            how=f"{how}; {known.damping_said}" if known.damping_said else how,
            grade=grade(known),
            rows=lambda at: questions.rows_as_they_are(adapted.rows, at),
            refitter=question.refits if self.attribution.refits_shown else None,
            notes=adapted.notes,
            distance=questions.distance(question),
            no_refit="a refit of this model is a training run; check and without do it",
        )


def _counterfactual(attribution: Attribution) -> str:
    """Its name, and what it is."""
    name = attribution.counterfactual
    return f"{name} ({COUNTERFACTUALS[name]})"


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
