"""A measurement by its derivative in θ, paired with any perturbation of the rows: what relabelling and features share.

Stands on attribution (Perturbable) and the questions that have a derivative.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upweight.arrays import namespace, to_numpy
from upweight.attribution import COUNTERFACTUALS, Attribution, Perturbable
from upweight.errors import UnsupportedQuestion
from upweight.perturbation import Perturbation
from upweight.questions.base import Question, finite, measured_at, optimum, query_chunks
from upweight.questions.on_parameter import OnParameter
from upweight.questions.on_queries import OnQueries
from upweight.removal.changed_refit import Changed
from upweight.shapes import Vectors
from upweight.solvers import Solution

__all__ = ["Linearised", "conditions", "linearised", "perturbable", "refits_of"]


@dataclass(frozen=True, eq=False)
class Linearised:
    """[q, r, m] per unit of the path, the solves behind it, and what could not be computed."""

    values: NDArray[np.float64]
    solutions: tuple[Solution, ...]
    said: str
    missing: str | None


def perturbable(question: Question, what: str) -> Perturbable:
    """The question's attribution, where it answers for changed rows.

    Raises: UnsupportedQuestion.
    """
    if not isinstance(question.attribution, Perturbable):
        raise UnsupportedQuestion(
            f"{what} is not answered for {question.adapted.model_name}: its adapter knows no other labels or inputs. "
            "Ask about the rows' weights: scores, group, reweight."
        )
    return question.attribution


def linearised(question: Question, path: Perturbation, rows: NDArray[np.int64] | None) -> Linearised:
    """∂m/∂ε of every query and row (positions; None: all).

    Raises: UnsupportedQuestion for a measurement that has no derivative here.
    """
    attribution = perturbable(question, "This question")
    parts, solutions, said = [], [], ""
    for v in _directions(question, question.attribution):
        response = attribution.perturbed(v, path, rows)
        blocks = [to_numpy(block) for _, block in response.blocks]
        parts.append(np.concatenate(blocks, axis=1))
        solutions.append(response.solution)
        said = response.solution.said
    whole = np.concatenate(parts, axis=0)
    q, r, m = whole.shape
    flat, missing = finite(np.moveaxis(whole, 2, 1).reshape(q * m, r))
    return Linearised(np.moveaxis(flat.reshape(q, m, r), 1, 2), tuple(solutions), said, missing)


def conditions(question: Question) -> str:
    """The end of a meaning: how a refit is made, and which counterfactual the estimate is of."""
    name = question.attribution.counterfactual
    return f"{question.adapted.convention}. Counterfactual: {name} ({COUNTERFACTUALS[name]})."


def refits_of(question: Question, changed: Changed) -> NDArray[np.float64]:
    """[m, q]: the real change with each row changed, alone; NaN where a refit found no optimum."""
    states, converged = perturbable(question, "This question").changed(changed)
    best = optimum(question.adapted, question.attribution)
    start = question.now() if best is None else measured_at(question, best)
    after = np.stack([measured_at(question, state) for state in states])
    return np.where(np.asarray(converged)[:, None], after - start[None], np.nan)


def _directions(question: Question, attribution: Attribution) -> Iterator[Vectors]:
    """∇m [k, p] of the queries, in chunks."""
    if isinstance(question, OnParameter):
        v = namespace(attribution.vector).zeros_like(attribution.vector)[None, :]
        v[0, attribution.index(question.parameter)] = 1.0
        yield v
    elif isinstance(question, OnQueries):
        z = to_numpy(attribution.query_outputs(question.features))
        for chunk in query_chunks(attribution, question.features.rows, 1):
            dz = question.measured.gradient(z[chunk], question.targets[chunk])
            yield attribution.directions(attribution.some(question.features, chunk), dz)
    else:
        raise UnsupportedQuestion(
            f"{question.name!r} is a function of all predictions at once, whose derivative is not known. Use a named "
            "measurement: loss, log_prob, prob, margin, prediction or parameter:NAME."
        )
