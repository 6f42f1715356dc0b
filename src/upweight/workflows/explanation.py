"""What an explanation holds: predictions, the rows behind each, and how far to trust it; all of it frozen.

Stands on display.words and validation; `explain` fills it, `pages` and the commands' JSON read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.display.words import Effect, Verdict, verdict
from upweight.influence import SmallestFlip
from upweight.validation.check import Check
from upweight.validation.grade import Grade
from upweight.workflows.in_common import Common

__all__ = [
    "NOT_REFITTED",
    "Explanation",
    "Mistake",
    "Overall",
    "Prediction",
    "RowEffect",
    "SharedHarm",
    "SharedRow",
    "Together",
]

NOT_REFITTED = "not refitted"  # a refit is a training run, which has to be asked for
UNCHECKED = "nothing was refitted: a refit of this model is a training run; with train, upweight check makes some"


@dataclass(frozen=True)
class RowEffect:
    """One training row: what leaving it out was estimated to do, and what it really does.

    `says`, `sure`: what the model says of the row itself (overall only); `similarity`: to the row asked about, −1 to 1.
    """

    id: Any
    label: Any
    estimate: Effect
    refit: Effect  # its change is absent, with the reason, where the refit found no optimum
    row: Mapping[str, Any]
    similarity: float | None = None
    says: Any = None
    sure: float | None = None

    @property
    def shown(self) -> Effect:
        """What a person reads: the real removal, else the estimate."""
        return self.estimate if self.refit.change is None else self.refit

    @property
    def verdict(self) -> Verdict:
        """Helpful, harmful, … by what is shown."""
        return verdict(self.shown)


@dataclass(frozen=True, eq=False)
class Prediction:
    """One prediction and the training rows behind it, `against` (harmful, or lowers) and `for_it` (helpful, raises)."""

    id: Any
    origin: str  # where the row stands: "held out", "taken out of the training rows", …
    says: Any
    sure: float | None  # the probability that the model gives to what it says
    truth: Any  # None where it is not known
    row: Mapping[str, Any]
    measurement: str
    unit: str
    now: float | None  # the measurement at the fit
    for_it: tuple[RowEffect, ...]
    against: tuple[RowEffect, ...]
    nearest: tuple[RowEffect, ...]
    flip: SmallestFlip | None
    influence: NDArray[np.float64]  # [n] every row's estimate
    similarity: NDArray[np.float64]  # [n]
    sides: tuple[Verdict, Verdict]  # what for_it and against are called
    better: str | None  # which way of the measurement is good
    is_class: bool  # else a number
    own: RowEffect | None = None  # the row itself, where it stands among the training rows that it is explained by
    common: tuple[Common, ...] = ()  # what the rows that move it most have in common, the clearest first

    @property
    def wrong(self) -> bool:
        """Whether a class was read that is not the true one."""
        return self.is_class and self.truth is not None and bool(self.says != self.truth)


@dataclass(frozen=True, eq=False)
class Overall:
    """The rows that do the held-out predictions most harm: effects on the mean measurement over `queries` of them."""

    rows: tuple[RowEffect, ...]
    measurement: str
    unit: str
    now: float
    queries: int
    held_out: int  # of which `queries` were drawn


@dataclass(frozen=True, eq=False)
class SharedRow:
    """A training row that harms several mistakes; `effect`: without it alone, on the mean over all of its group."""

    effect: RowEffect
    harms: int  # mistakes of the group that have it among their most harmful rows
    share: float  # of all harm that rows do to the group


@dataclass(frozen=True, eq=False)
class Mistake:
    """One mistake without the shared rows of its group."""

    id: Any
    truth: Any  # as Prediction's
    says: Any
    estimate: Effect
    refit: Effect
    after: Any  # what the refitted model says; None where the refit found no optimum


@dataclass(frozen=True, eq=False)
class Together:
    """Mistakes that hang on the same rows, and what removing all of these rows does to them."""

    mistakes: tuple[Mistake, ...]
    rows: tuple[SharedRow, ...]
    estimate: Effect  # on the mean over the mistakes
    refit: Effect
    mended: tuple[int, int | None] | None  # mistakes that would be right, estimated and refitted; None of a number
    held_out: Effect | None  # by the same refit, on the mean over all held-out rows


@dataclass(frozen=True, eq=False)
class SharedHarm:
    """The mistakes among the predictions by the harmful rows that they share; `alone`: ids of those that share none."""

    asked: int
    groups: tuple[Together, ...]
    alone: tuple[Any, ...]
    is_class: bool  # a mistake is a wrong class; else every prediction of a number whose truth is known

    @property
    def mistakes(self) -> int:
        """How many."""
        return len(self.alone) + sum(len(group.mistakes) for group in self.groups)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Predictions explained, the rows that harm most, the check and the grade."""

    predictions: tuple[Prediction, ...]
    overall: Overall | None
    check: Check | None  # None where a refit is a training run, which nobody asked for
    grade: Grade
    kind: str  # "classification" or "regression"
    target: str
    model_name: str
    train_rows: int
    row_ids: tuple[Any, ...]
    id_name: str
    how: str
    meaning: str
    notes: tuple[str, ...]
    shared: SharedHarm | None = None  # of two mistakes or more

    @property
    def checked(self) -> str:
        """What was refitted, in one line."""
        return UNCHECKED if self.check is None else self.check.sentence()
