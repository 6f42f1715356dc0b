"""What an audit is made of: changed rows, attacks on predictions, rows by fragility, defences; all of it frozen.

Stands on nothing but numpy; audited holds them, audit makes them, audit_passages shows them. Source: METHODS.md 9.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AlteredRow", "Attack", "Defence", "Findings", "FragileRow", "Joint"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AlteredRow:
    """A training row as it is and as it was changed. The label and the row's weight stay."""

    row: Any  # its id
    label: Any
    columns: tuple[str, ...]  # the cells that may move, by name; () where a row is an image or another array
    before: Floats  # [cells] of a table, in the columns' own units; else the array as the model reads it
    after: Floats  # the same shape; nothing outside the bound or the limits

    @property
    def change(self) -> Floats:
        """After minus before."""
        return np.asarray(self.after - self.before)

    @property
    def moved(self) -> int:
        """How many cells moved."""
        return int(np.count_nonzero(self.after != self.before))


@dataclass(frozen=True, eq=False)
class Attack:
    """What was found against one prediction: with the fewest of the allowed rows that flip it, else the nearest miss.

    `before` and `after` are the margin of `label` against the strongest other class (of a regression the prediction):
    `after` is that of the model refitted on the altered rows.
    """

    query: int  # its position in X_query
    label: Any  # whose margin: what the model says; y_query where given; None of a regression
    says: Any  # what the model says now
    says_after: Any  # and refitted on the altered rows
    before: float
    after: float
    flipped: bool  # the refitted model says another label; of a regression always False
    confirmed: bool  # that refit ended at its optimum, to rounding
    altered: tuple[AlteredRow, ...]  # the rows changed together, the strongest first; () where nothing was changed
    steps: int  # sign steps taken, each followed by a refit; 0 where nothing was changed
    promised: float  # how far the derivative alone, at the fit, says these rows could move the margin within the bound
    tried: tuple[Any, ...]  # row ids by that number, the largest first, as far as they were tried or altered
    note: str = ""  # why nothing was changed, where nothing was

    @property
    def fragility(self) -> float:
        """1 / steps to the flip: 1 at the first step, 0 where it was not flipped."""
        return 1.0 / self.steps if self.flipped and self.steps else 0.0

    @property
    def rows(self) -> int | None:
        """How many changed rows flipped it; None where none of the allowed numbers did."""
        return len(self.altered) if self.flipped else None


@dataclass(frozen=True, eq=False)
class Joint:
    """One change of training rows against all predictions at once: it raises their mean loss."""

    altered: tuple[AlteredRow, ...]
    steps: int
    attacked: NDArray[np.bool_]  # [q] predictions that were right (or had no label) before
    before: Floats  # [q] margins
    after: Floats  # [q] of the model refitted on the altered rows
    flipped: NDArray[np.bool_]  # [q] of those attacked
    loss_before: float  # mean over those attacked
    loss_after: float
    confirmed: bool
    promised: float  # of the mean loss, as in Attack
    tried: tuple[Any, ...]

    @property
    def flips(self) -> int:
        """How many predictions."""
        return int(self.flipped.sum())


@dataclass(frozen=True)
class FragileRow:
    """A training row by what changing it could do."""

    row: Any
    label: Any
    effect: float  # how far it could move the predictions asked about within the bound, summed: by the derivative
    altered: int  # in how many attacks it was changed
    flips: int  # how many predictions those attacks flipped


@dataclass(frozen=True)
class Defence:
    """What a defence leaves of the flips, each counted by real refits."""

    kind: str  # "none", "encoded", "levels", "penalty", "leverage"
    name: str  # as shown: "re-encoded", "± 2 steps, re-encoded", "penalty × 10", "without 1 % of largest leverage"
    flipped: int
    of: int
    meaning: str  # what was done, in one sentence


@dataclass(frozen=True, eq=False)
class Findings:
    """All that was found; predictions keep the order of X_query."""

    attacks: tuple[Attack, ...]  # one a query; () where `together`
    together: tuple[Joint, ...]  # one for each number of rows allowed; () unless asked for
    fragile: tuple[FragileRow, ...]  # the rows whose effect is known, the largest first
    defended: tuple[Defence, ...]
    allowed: tuple[int, ...]  # how many rows might be changed at once
    bound: str  # the bound in words: "half of what each column's own digits show"
    within: Floats  # how far each cell might move, by column; of an image in its shape
    columns: tuple[str, ...]  # by name; () where a row is an image
    kind: str  # "classification" or "regression"
    measurement: str  # "margin" or "prediction"
    unit: str
    model_name: str
    training_rows: int
    how: str
    meaning: str
    notes: tuple[str, ...] = ()
    refitter: Callable[[Sequence[AlteredRow]], Any] | None = field(default=None, repr=False)

    @property
    def ranked(self) -> tuple[Attack, ...]:
        """The attacks, the most fragile prediction first: fewest rows, then fewest steps, then by the margin left; last
        those that were not attacked. Of a regression by how far the prediction moved.
        """
        if self.kind == "regression":
            return tuple(sorted(self.attacks, key=lambda a: -abs(a.after - a.before)))
        order = sorted(self.attacks, key=lambda a: (len(a.altered), a.steps, a.after) if a.flipped else (0, 0, a.after))
        return tuple(sorted(order, key=lambda a: (bool(a.note), not a.flipped)))

    def flips(self, at_most: int | None = None) -> int:
        """How many predictions were flipped with at most so many changed rows (None: any number allowed)."""
        most = max(self.allowed) if at_most is None else at_most
        return sum(1 for a in self.attacks if a.flipped and len(a.altered) <= most)
