"""Which labels look wrong, most suspect first: `review`.

Out of fold: every probability that is shown comes from fits that have not seen the row. Which signal orders the rows,
under which penalty and after how many rounds, is decided by labels flipped on purpose among these very rows.
Stands on adapters and the other files of this room; the command and Python call it. Source: METHODS.md 8; Koh & Liang
(2017), section 5.4.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from upweight.adapters import adapt
from upweight.randomness import generator
from upweight.workflows.review.evidence import NEAREST, SCHEDULES, gather, look, probabilities, strongest_other
from upweight.workflows.review.fits import CLOSE, Learner, out_of_fold
from upweight.workflows.review.problem import Problem, pose
from upweight.workflows.review.ranking import blend, standing
from upweight.workflows.review.result import Review
from upweight.workflows.review.signals import SIGNALS, likelier_other, measure
from upweight.workflows.review.trial import FUSED, Trial, hold

__all__ = ["review"]


def review(
    model: Any,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    seed: int = 0,
    progress: Callable[[str], None] = lambda done: None,
) -> Review:
    """Which of y look wrong to a fitted classifier of scikit-learn, most suspect first, each with its reasons.

    X, y, sample_weight: what the model was fitted on. seed: of the folds and of the labels flipped on purpose, which
    decide the signal that leads. Preprocessing stays as it was fitted; a model without a likelihood (SVC, ridge …) is
    stood in for by a logistic regression on what it reads. The model is never changed.
    Raises: InputError for a regression, for rows that the model cannot have been fitted on, for a class with one row,
    and for too few rows to try signals on; UnsupportedModel by name.
    """
    adapted = adapt(model, X, y, sample_weight)
    problem = pose(adapted)
    own = Learner(problem)
    fold = problem.fold_of(problem.codes, generator(seed, "review folds"))
    first = out_of_fold(own, problem.codes, fold, tol=CLOSE)
    rows = look(own)
    progress("every row predicted by a model of other folds")
    rows, trial, outside = hold(rows, first, fold, seed, progress)
    known = gather(rows, problem.codes, fold, SCHEDULES[trial.schedule], CLOSE, outside=outside, own_outside=first)
    values = measure(known)
    suspicion = blend({name: standing(values[name]) for name in trial.weights}, trial.weights)
    if trial.lead == FUSED:
        values[FUSED] = suspicion
    order = np.lexsort((-known.rounds_loss, -suspicion))
    p, at = probabilities(known.rounds), np.arange(len(order))
    suggested = strongest_other(known.rounds, problem.codes)
    absent = [name for name in SIGNALS if name not in values]
    notes = [*adapted.notes, *problem.notes]
    notes += [text for text in (adapted.stationarity.mismatch, adapted.stationarity.unconverged) if text]
    if absent:
        notes.append(f"left out, since so many rows would make them dear: {', '.join(absent)}")
    return Review(
        row_ids=adapted.row_ids,
        labels=np.asarray(adapted.labels).reshape(-1),
        classes=adapted.classes,
        order=order,
        suggested=suggested,
        p_label=p[at, problem.codes],
        p_suggested=p[at, suggested],
        loss=known.loss,
        loss_without=known.loss_without,
        held_out=known.removal_share,
        nearest=None if rows.nearest is None else problem.codes[rows.nearest],
        looks_wrong=likelier_other(known.rounds, problem.codes),
        signals=pd.DataFrame(values, index=pd.Index(adapted.row_ids, name="row")),
        leads=trial.lead,
        weights=trial.weights,
        trial=trial.table(),
        caught=trial.caught,
        right=trial.right,
        model_name=adapted.model_name,
        how=_how(problem, trial),
        notes=tuple(notes),
    )


def _how(problem: Problem, trial: Trial) -> str:
    times = "the model's own" if trial.strength == 1.0 else f"{trial.strength:g} times the model's"
    rounds = len(SCHEDULES[trial.schedule])
    again = "" if not rounds else (
        f"; then {'once' if rounds == 1 else 'twice'} more with suspected rows weighed down"
    )  # fmt: skip
    return (
        f"{problem.how}, fitted {problem.folds} times without a fold, under {times} penalty{again} (both are "
        f"those that find most labels flipped on purpose). Effects on held-out rows are first order, under the model's "
        f"own penalty. Nearest: the {NEAREST} rows of largest cosine in what it reads."
    )
