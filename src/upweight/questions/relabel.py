"""What if a row's label were another? First order in the label, for every row and class at once; refits confirm.

There is no leverage correction for a label: it would score a label changed to itself (METHODS.md 2.1). Where H does not
depend on the labels, as with canonical links, what is left is the loss's third derivative. Source: METHODS.md 1.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from upweight.adapters import Adapted
from upweight.arrays import to_numpy
from upweight.errors import UnsupportedQuestion
from upweight.measurement import class_of
from upweight.perturbation import Labels, Perturbation, Targets
from upweight.questions.base import Answer, Question, rows_as_they_are
from upweight.questions.linearised import conditions, linearised, perturbable, refits_of
from upweight.questions.trust import signals
from upweight.relabel import Relabel
from upweight.removal.changed_refit import Changed
from upweight.shapes import Array
from upweight.validation.grade import grade

__all__ = ["relabel"]

REACH = 1e-3  # of the targets' spread: on each side of a target, whose derivative is a difference
HOW = "first order in the label, without a leverage correction: for labels there is none that is right"
FAR = "the labels on top move the model furthest, and there first order is least exact: read the refit column"


def relabel(question: Question, how: Callable[[str], str]) -> Relabel:
    """[q, n, c]: the change of the measurement if the row's label were class c; a regression: per unit of its target.

    `how` puts what was evaluated behind what solved it. Raises: UnsupportedQuestion.
    """
    adapted = question.adapted
    attribution = question.attribution
    perturbable(question, "relabel")
    found = linearised(question, _path(question), None)
    strongest = np.argmax(np.abs(found.values), axis=2)[:, :, None]
    shown = np.take_along_axis(found.values, strongest, axis=2)[:, :, 0]
    said = "; ".join(text for text in (f"the {question.name} linearised; {HOW}", found.said) if text)
    answer = Answer(shown, question.now(), said, found.solutions, found.missing)
    classes = bool(adapted.classes)
    targets = to_numpy(attribution.targets)
    predicted = np.zeros((attribution.n, 0)) if classes else to_numpy(attribution.loss.predict(attribution.outputs))
    return Relabel(
        values=found.values + 0.0,  # no −0
        base=question.now(),
        measurement=question.name,
        unit=question.unit,
        better=question.better,
        row_ids=adapted.row_ids,
        labels=np.asarray(adapted.labels),
        classes=adapted.classes,
        codes=class_of(targets, attribution.c) if classes else np.zeros(0, dtype=np.int64),
        predicted=predicted,
        meaning=_meaning(question),
        how=how(said),
        grade=grade(signals(question, answer, "first_order")),
        rows=lambda at: rows_as_they_are(adapted.rows, at),
        refitter=(lambda at, to: _refits(question, at, to, predicted)) if attribution.refits_shown else None,
        notes=adapted.notes if attribution.loss.concordance == 0.0 else (FAR, *adapted.notes),
    )


def _meaning(question: Question) -> str:
    adapted = question.adapted
    if adapted.classes:
        changed = "if that training row's label became that class"
    else:
        changed = "per unit by which that training row's target rises"
    where = f"of the {question.name}" + (" on each query" if not question.name.startswith("parameter:") else "")
    return (
        f"Estimated change {where}, in {question.unit}, {changed} and the {adapted.model_name} were refitted; "
        f"{conditions(question)}"
    )


def _path(question: Question) -> Perturbation:
    """Labels, or a regression's targets.

    Raises: UnsupportedQuestion where a class has no weight.
    """
    adapted, attribution = question.adapted, question.attribution
    if adapted.classes:
        factors = _factors(adapted)
        if np.any(factors <= 0):
            k = int(np.flatnonzero(factors <= 0)[0])
            raise UnsupportedQuestion(
                f"class {adapted.classes[k]!r} has class_weight 0, so what a row of another label would weigh is not "
                "known. Give every class a weight above 0."
            )
        return Labels(_encoded(adapted), factors, attribution.c)
    spread = float(np.std(to_numpy(attribution.targets)))
    return Targets(REACH * (spread if spread > 0 else 1.0))


def _factors(adapted: Adapted) -> NDArray[np.float64]:
    given = adapted.class_factors
    return np.ones(len(adapted.classes)) if given is None else np.asarray(given, dtype=np.float64)


def _encoded(adapted: Adapted) -> Array:
    """The target of each class, [c] or [c, outputs]."""
    labels = np.empty(len(adapted.classes), dtype=object)
    labels[:] = adapted.classes
    return adapted.read_target(labels)


def _refits(
    question: Question, at: Sequence[int], becomes: Sequence[int], predicted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[r, q]: the real change with each of these labels; NaN where a refit found no optimum."""
    adapted, attribution = question.adapted, question.attribution
    rows, to = np.asarray(at, dtype=np.int64), np.asarray(becomes, dtype=np.int64)
    old, weights = to_numpy(attribution.targets)[rows], to_numpy(attribution.weights)[rows]
    if adapted.classes:
        factors = _factors(adapted)
        weights = weights / factors[class_of(old, attribution.c)] * factors[to]
        targets = to_numpy(_encoded(adapted))[to]
    else:
        targets = predicted[rows].reshape(old.shape)
    return refits_of(question, Changed(rows, targets=targets, weights=weights))
