"""How far a few training rows, changed within a bound, can move predictions: found by sign steps, counted by refits.

Stands on influence and the audit's parts; the command and Python call it. Source: Koh & Liang (2017), section 5.2;
METHODS.md 9.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from upweight.errors import UnsupportedQuestion
from upweight.workflows.audited import Audit

__all__ = ["audit"]

STEPS = 100  # of the paper
LEVELS = (1, 2, 4, 8)  # grid steps of the defence table


def audit(
    model: Any,
    X: Any = None,
    y: Any = None,
    X_query: Any = None,
    y_query: Any = None,
    *,
    rows: int | Sequence[int] = 1,
    within: float | Mapping[Any, float] | Any = None,
    limits: tuple[Any, Any] | None = None,
    precision: float | Mapping[Any, float] | Any = None,
    together: bool = False,
    steps: int = STEPS,
    tries: int = 3,
    defences: Sequence[str] = ("encoded", "penalty", "leverage", "levels"),
    levels: Sequence[int] = LEVELS,
) -> Audit:
    """How few training rows, changed within a bound, flip these predictions; every flip is a refitted model's.

    model: a fitted scikit-learn classifier or regressor with its training rows X, y; or an Influence (X, y stay None),
    from_torch too where what moves is a linear head. y_query None: the labels that the model says; a prediction that
    is already another label is not attacked. rows: how many rows may be changed at once, or several numbers to try.
    within: how far a cell may move, in its own unit: a number, {column: number} (columns not named stay), or an array;
    None: half of what the column's digits or levels show (where it has none, 1 % of its standard deviation). Columns
    of words, of two values and of categories stay. limits: (least, greatest) of what is valid, as `within`; None: the
    column's own least and greatest (of an image the channel's). precision: the step of the grid on which the data are
    stored (1 grey level); None: what the data show. together: one change against the mean loss of all queries, instead
    of one for each. steps: sign steps of within / 25 at most, after each of which the model is refitted. tries: rows
    that are tried one after the other where one may be changed. defences: which are tabulated. levels: grid steps.
    Raises: UnsupportedModel, UnsupportedQuestion by name; InputError.
    """
    raise UnsupportedQuestion("audit is not there yet for this model.")
