"""A model that can be audited, and the way between its rows as numbers and rows as people know them.

Stands on influence, row_inputs and audit_steps; audit asks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters.row_inputs import table_rows
from upweight.attribution import HeadAttribution
from upweight.display.words import count
from upweight.errors import UnsupportedModel, UnsupportedQuestion
from upweight.influence import Influence
from upweight.linear_head import LinearHead
from upweight.removal.certificate import Certificate, certify
from upweight.workflows.audit_bounds import Bounds
from upweight.workflows.audit_parts import AlteredRow
from upweight.workflows.audit_steps import Subject
from upweight.workflows.reading import plain

__all__ = ["AlteredRefit", "altered_rows", "refitter", "subject_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AlteredRefit:
    """The model really refitted on training rows of which some were changed."""

    model: Any  # the user's own class, fitted
    rows: tuple[Any, ...]  # ids of the changed ones
    data: Any  # those rows as they were changed, of the kind that the training rows are
    certificate: Certificate
    converged: bool
    meaning: str


def subject_of(influence: Influence) -> Subject:
    """The linear head of a model and what its rows are made of.

    Raises: UnsupportedModel, UnsupportedQuestion by name, with what to use instead.
    """
    adapted, attribution = influence.adapted, influence.attribution
    head, name = adapted.objective, adapted.model_name
    if not isinstance(head, LinearHead):
        raise UnsupportedModel(
            f"{name} moves more than a linear head, so it cannot be refitted after every small change of a row. Use "
            "from_torch(params='head') with its penalty, or a linear model of scikit-learn."
        )
    if type(attribution) is not HeadAttribution:
        raise UnsupportedModel(
            f"{name} has hinges, whose optimum moves along a path of its own when a row's inputs change. Audit a "
            "LogisticRegression, or a LinearSVC with loss='squared_hinge'."
        )
    if head.linear_penalty is not None:
        raise UnsupportedQuestion(
            f"{name} has an L1 penalty: which coefficients are 0 changes as rows move, which is not followed here. "
            "Audit the same model with an L2 penalty."
        )
    inputs = adapted.row_inputs if adapted.row_inputs is not None else table_rows(adapted)
    return Subject.of(adapted, attribution.head, inputs, attribution.prepared)


def altered_rows(
    subject: Subject, bounds: Bounds, influence: Influence, rows: NDArray[np.int64], cells: Floats
) -> tuple[AlteredRow, ...]:
    """Rows (positions) and their changed cells [k, d], as people know them."""
    if not len(rows):
        return ()
    inputs, labels = subject.inputs, np.asarray(influence.adapted.labels)
    names, before = inputs.columns, inputs.cells(rows)
    free = np.flatnonzero(bounds.within > 0)
    out = []
    for k, i in enumerate(rows.tolist()):
        row, label = influence.row_ids[i], plain(labels[i])
        if names:
            shown = tuple(names[j] for j in free)
            out.append(AlteredRow(row, label, shown, before[k, free], cells[k, free]))
        else:
            out.append(AlteredRow(row, label, (), before[k].reshape(inputs.shape), cells[k].reshape(inputs.shape)))
    return tuple(out)


def refitter(subject: Subject, bounds: Bounds, influence: Influence) -> Callable[[Sequence[AlteredRow]], AlteredRefit]:
    """Altered rows -> the model of the user's own class, refitted on them."""

    def refit(altered: Sequence[AlteredRow]) -> AlteredRefit:
        rows = np.asarray(influence.positions([one.row for one in altered]), dtype=np.int64)
        cells = subject.inputs.cells(rows)
        free = np.flatnonzero(bounds.within > 0) if subject.inputs.columns else np.arange(cells.shape[1])
        for k, one in enumerate(altered):
            cells[k, free] = one.after.reshape(-1)
        vector, converged = subject.refit(rows, cells)
        longer = subject.altered(rows, cells)
        certificate = certify(longer, rows.tolist(), vector)
        adapted = subject.adapted
        meaning = (
            f"{adapted.model_name} refitted with {count(len(rows), 'changed row')}; {certificate.sentence}; "
            f"{adapted.convention}."
        )
        data = subject.inputs.data(rows, cells)
        return AlteredRefit(
            adapted.rebuild(vector), tuple(one.row for one in altered), data, certificate, converged, meaning
        )

    return refit
