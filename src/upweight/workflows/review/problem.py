"""What a review learns from: a model's features, its labels as codes, and the head that is fitted again and again.

Stands on adapters and linear_head. A model with a likelihood (logistic regression) is reviewed as it is; any other is
stood in for by a logistic regression on what it reads, with its penalty, since suspicion needs a probability.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import SelectorMixin, VarianceThreshold
from sklearn.utils import get_tags

from upweight.adapters import Adapted
from upweight.adapters.labels import class_codes
from upweight.display.words import among, count
from upweight.errors import InputError, UnsupportedModel, listed
from upweight.linear_head import LinearHead
from upweight.output_loss import Logistic, Separate, Softmax
from upweight.params import Params

__all__ = ["Problem", "pose"]

FOLDS = 5
LEAST = 1e-4  # the penalty where the model has none, in units of the mean squared length of a row

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """n rows of k classes. `weights` [n] are without what each class weighs, `factors` [k]."""

    head: LinearHead  # at the optimum of its own labels, where it is the model's own
    own: bool  # whether the head is the model's own objective
    codes: Codes  # [n]
    weights: Floats
    factors: Floats
    folds: int
    how: str  # what is fitted, in one sentence
    notes: tuple[str, ...]

    @property
    def classes(self) -> int:
        """k."""
        return len(self.factors)

    def with_labels(self, codes: Codes, weights: Floats | None = None) -> LinearHead:
        """The head under these labels, its rows weighing `weights` [n] times what they do."""
        own = self.weights * self.factors[codes]
        targets = codes.astype(np.float64) if self.head.c == 1 else codes
        return replace(self.head, targets=targets, weights=own if weights is None else own * weights)

    def fold_of(self, codes: Codes, generator: np.random.Generator) -> Codes:
        """[n] the fold that leaves each row out: every class spread evenly."""
        fold = np.empty(len(codes), dtype=np.int64)
        start = 0
        for k in range(self.classes):
            at = generator.permutation(np.flatnonzero(codes == k))
            fold[at] = (start + np.arange(len(at))) % self.folds
            start += len(at)
        return fold


def pose(adapted: Adapted) -> Problem:
    """The problem that a fitted classifier and its rows pose.

    Raises: InputError for a regression, or a class with one row; UnsupportedModel for a perceptron.
    """
    if adapted.kind != "classification":
        raise InputError(
            f"{adapted.model_name} is a regression, which has no labels to review. Influence.from_sklearn(…)"
            ".self_influence() ranks the rows that its fit hangs on."
        )
    head = adapted.objective
    if not isinstance(head, LinearHead):
        raise UnsupportedModel(
            f"{adapted.model_name} is trained anew for every fold and every trial, which takes too long for a review. "
            "Review LogisticRegression on the same columns, or on the outputs of its last hidden layer."
        )
    codes = class_codes(adapted.labels, adapted.classes)
    members = np.bincount(codes, minlength=len(adapted.classes))
    few = np.flatnonzero(members == 1)
    if len(few):
        rows = [adapted.row_ids[int(np.flatnonzero(codes == k)[0])] for k in few]
        raise InputError(
            f"class {listed([adapted.classes[k] for k in few])} has one row ({listed(rows)}): no model that has not "
            "seen that row knows the class. Leave these rows out, or give the class more."
        )
    least = int(members[members > 0].min())
    folds, notes = min(FOLDS, least), list[str]()
    if folds < FOLDS:
        name = adapted.classes[int(np.argmax(members == least))]
        notes.append(f"class {name!r} has {count(least, 'row')}, so there are {folds} folds instead of {FOLDS}")
    supervised = _supervised(adapted)
    if supervised:
        notes.append(
            f"{among(supervised)} learnt from the labels and is not fitted anew in each fold, so that what is called "
            "out of fold has seen them a little"
        )
    own = _is_own(head)
    factors = np.ones(len(adapted.classes)) if adapted.class_factors is None else np.asarray(adapted.class_factors)
    if not own:
        head = _stand_in(head, len(adapted.classes))
    frozen = " behind its preprocessing as it was fitted" if adapted.stages else ""
    what = f"{adapted.model_name}" if own else f"a logistic regression in place of {adapted.model_name}"
    plain = head.weights / np.where(factors[codes] > 0, factors[codes], 1.0)
    return Problem(head, own, codes, plain, factors, folds, what + frozen, tuple(notes))


def _supervised(adapted: Adapted) -> list[str]:
    """Class names of frozen transformers that read the labels."""
    found = [step for stage in adapted.stages for step in _transformers(stage)]
    by_label = [isinstance(step, SelectorMixin) and not isinstance(step, VarianceThreshold) for step in found]
    return [
        type(step).__name__
        for step, chosen in zip(found, by_label, strict=True)
        if chosen or get_tags(step).target_tags.required
    ]


def _transformers(step: Any) -> Iterator[Any]:
    """The transformers inside pipelines, unions and column transformers."""
    inner = getattr(step, "transformers_", None) or getattr(step, "transformer_list", None)
    inner = inner or getattr(step, "steps", None)
    if inner is None:
        if step is not None and not isinstance(step, str):
            yield step
        return
    for part in inner:
        yield from _transformers(part[1])


def _is_own(head: LinearHead) -> bool:
    """Logistic regression, penalised by squares alone."""
    one = isinstance(head.loss, Separate) and isinstance(head.loss.scalar, Logistic) and head.c == 1
    likely = one or isinstance(head.loss, Softmax)
    penalised = bool(np.any(head.penalty > 0))
    return likely and head.normalization == "sum" and head.linear_penalty is None and penalised


def _stand_in(head: LinearHead, classes: int) -> LinearHead:
    """A logistic regression on the same features, each column under the model's largest penalty on it, from θ = 0."""
    c, width = 1 if classes == 2 else classes, head.features.columns
    pull = head.penalty if head.linear_penalty is None else head.penalty + np.abs(head.linear_penalty)
    strength = np.max(pull, axis=0)
    if head.linear_penalty is not None or not np.any(strength > 0):  # columns that L1 left out are read again
        strength = np.append(np.full(width - 1, strength[:-1].max(initial=0.0)), strength[-1])
    if not np.any(strength > 0):
        lengths = head.features.squares(np.append(np.ones(width - 1), 0.0))
        strength = np.append(np.full(width - 1, LEAST * max(float(np.mean(lengths)), 1e-300)), 0.0)
    free = np.ones((c, width), dtype=bool)
    free[:, -1] = bool(np.any(np.asarray(head.params.free)[:, -1]))
    names = tuple(str(k) for k in range(c))
    return LinearHead(
        features=head.features,
        loss=Separate(Logistic()) if c == 1 else Softmax(c),
        targets=np.zeros(head.n) if c == 1 else np.zeros(head.n, dtype=np.int64),
        weights=head.weights,
        params=Params(np.zeros((c, width)), free, names, head.params.column_names),
        penalty=np.broadcast_to(strength, (c, width)).copy(),
        normalization="sum",
    )
