"""Mistakes grouped by the harmful rows that they share, and what removing these rows really does to all of them.

Stands on questions and explanation; explain stands on it. Mistakes are compared by their LEADING harmful rows: the
cosine of two such vectors is high where the same rows do most of the harm. Groups by average linkage, so that no draw
decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from upweight import questions
from upweight.adapters.inputs import take_rows
from upweight.arrays import to_numpy
from upweight.display.words import Effect
from upweight.influence import Influence
from upweight.questions.on_queries import OnQueries
from upweight.workflows.explanation import Mistake, Prediction, RowEffect, SharedHarm, SharedRow, Together
from upweight.workflows.measured import ERROR, chosen
from upweight.workflows.reading import RowsOf, plain, says_there

__all__ = ["ALIKE", "LEADING", "MOST", "alike", "shared_harm"]

LEADING = 10  # most harmful rows of a mistake, by which it is compared
ALIKE = 0.5  # mean cosine from which mistakes are one group
MOST = 10  # shared rows that are removed together
ENOUGH = 0.8  # of what all shared rows together do: the fewest rows that do so are shown

Floats = NDArray[np.float64]


def shared_harm(
    influence: Influence,
    X: Any,
    y: Any,
    predictions: Sequence[Prediction],
    rows: RowsOf,
    held_out: tuple[Any, Any] | None = None,
) -> SharedHarm | None:
    """The mistakes among the predictions of X by the rows that harm them together; None where there are fewer than two.

    Harm is in the unit of each prediction's own measurement. A row is shared that is among the leading harmful rows of
    half of a group, and of two of it. Of the shared rows, the most harmful first, the fewest are kept
    without which a refit mends as many mistakes as it can; where it mends none, the fewest that do ENOUGH of what all
    of them do. Groups in which a row mends most mistakes come first.
    """
    if not predictions:
        return None
    is_class = predictions[0].is_class
    at = [i for i, p in enumerate(predictions) if p.better and (p.wrong if is_class else p.truth is not None)]
    if len(at) < 2:
        return None
    change = np.stack([_towards_better(predictions[i]) for i in at])
    measure = _held_out_measure(influence, held_out, predictions[0].measurement)
    groups: list[Together] = []
    alone: list[int] = []
    for members in alike(change):
        found = None
        if len(members) > 1:
            some = [at[i] for i in members]
            truths = take_rows(y, some)
            group = _Group(influence, take_rows(X, some), truths, [predictions[i] for i in some], change[members])
            found = _together(group, rows, measure)
        if found is None:
            alone += members
        else:
            groups.append(found)
    ids = tuple(predictions[at[i]].id for i in sorted(alone))
    groups.sort(key=lambda group: (-_mended(group) / len(group.rows), -len(group.mistakes)))
    return SharedHarm(len(predictions), tuple(groups), ids, is_class)


def _mended(group: Together) -> int:
    """As refitted, else as estimated."""
    if group.mended is None:
        return 0
    return group.mended[0] if group.mended[1] is None else group.mended[1]


def alike(change: Floats) -> list[list[int]]:
    """Mistakes [m] in groups by their leading harmful rows; the groups and their members in the order given.

    change [m, n]: what removing each row does to each mistake; below 0 mends it.
    """
    lead = leading(change)
    columns = np.unique(np.concatenate(lead)) if any(len(one) for one in lead) else np.zeros(0, dtype=np.int64)
    harm = np.zeros((len(change), len(columns)))
    for i, one in enumerate(lead):
        harm[i, np.searchsorted(columns, one)] = -change[i, one]
    lengths = np.linalg.norm(harm, axis=1, keepdims=True)
    unit = harm / np.where(lengths > 0, lengths, 1.0)
    apart = np.clip(1.0 - unit @ unit.T, 0.0, None)
    np.fill_diagonal(apart, 0.0)
    labels = fcluster(linkage(squareform(apart, checks=False), "average"), 1.0 - ALIKE, "distance")
    groups: dict[int, list[int]] = {}
    for i, label in enumerate(labels):
        groups.setdefault(int(label), []).append(i)
    return list(groups.values())


def leading(change: Floats) -> list[NDArray[np.int64]]:
    """Of each mistake its LEADING most harmful rows, ascending; fewer where fewer harm it."""
    found = []
    for one in change:
        top = np.argsort(one, kind="stable")[:LEADING]
        found.append(np.sort(top[one[top] < 0]).astype(np.int64))
    return found


def _towards_better(prediction: Prediction) -> Floats:
    """Its scores with the sign of a loss: below 0 where the removal mends."""
    return -prediction.influence if prediction.better == "higher" else prediction.influence


@dataclass(frozen=True, eq=False)
class _Group:
    """Mistakes that are alike; `change` [m, n] below 0 where a removal mends."""

    influence: Influence
    x: Any
    y: Any
    predictions: list[Prediction]
    change: Floats

    @cached_property
    def question(self) -> OnQueries:
        """What is measured, on all of them at once."""
        name = self.predictions[0].measurement
        asked = (None, "prediction") if name == ERROR else (self.y, name)
        found = questions.ask(self.influence.adapted, self.influence.attribution, self.x, *asked)
        assert isinstance(found, OnQueries)  # only a named measurement has a better way on each prediction
        return found

    def measured(self, values: Floats) -> Floats:
        """[…, m]: of a number the distance from the truth."""
        if self.predictions[0].measurement != ERROR:
            return values
        return np.asarray(np.abs(values - np.asarray([p.truth for p in self.predictions], dtype=float)))

    def says(self, z: Any) -> list[Any]:
        """What the model says at these outputs: classes, or numbers."""
        return says_there(self.influence, z)[0]

    def right(self, said: Sequence[Any]) -> int:
        """How many of these are the truth."""
        return sum(bool(a == p.truth) for a, p in zip(said, self.predictions, strict=True))

    def effect(self, change: float, base: float) -> Effect:
        """In words' own form."""
        p = self.predictions[0]
        known = float(change) if np.isfinite(change) else None
        better: Any = p.better
        return Effect(known, base, p.measurement, p.unit, better, reason="the refit found no optimum")


def _together(group: _Group, rows: RowsOf, held_out: Callable[[list[int]], Effect | None]) -> Together | None:
    """None where no row is shared, or where a refit shows that the shared rows do these mistakes no harm."""
    own = group.influence.attribution
    m = len(group.predictions)
    harms = np.zeros(group.change.shape[1], dtype=np.int64)
    for one in leading(group.change):
        harms[one] += 1
    net = group.change.mean(axis=0)
    shared = np.flatnonzero((harms >= max(2, -(-m // 2))) & (net < 0))
    ranked = [int(i) for i in shared[np.argsort(net[shared], kind="stable")][:MOST]]
    if not ranked:
        return None
    prefixes = [ranked[: k + 1] for k in range(len(ranked))]
    sets = [[], *prefixes, *([i] for i in ranked)]
    after = group.measured(group.question.after(sets))
    start = after[0] if np.isfinite(after[0]).all() else group.measured(group.question.now())
    change = after - start[None]
    states, converged = own.refitted(prefixes)
    z = to_numpy(own.outputs_at(states, group.question.features))
    said = [group.says(z[k]) if converged[k] else None for k in range(len(prefixes))]
    higher = group.predictions[0].better == "higher"
    k = _fewest(group, said, change[1 : 1 + len(ranked)].mean(axis=1) * (-1.0 if higher else 1.0))
    if k is None:
        return None
    estimated = _estimated(group, prefixes[k])
    estimate = group.measured(to_numpy(group.question.measured.value(estimated, group.question.targets))) - start
    refit, base = change[1 + k], float(start.mean())
    after_k = said[k]
    harm = np.minimum(group.change, 0.0).sum()
    shown, numbers = prefixes[k], rows(prefixes[k])
    effects = [
        RowEffect(
            id=group.influence.row_ids[i],
            label=plain(np.asarray(group.influence.adapted.labels)[i]),
            estimate=group.effect(float(np.mean([p.influence[i] for p in group.predictions])), base),
            refit=group.effect(float(change[1 + len(ranked) + j].mean()), base),
            row=row,
            says=group.says(own.outputs[[i]])[0],
        )
        for j, (i, row) in enumerate(zip(shown, numbers, strict=True))
    ]
    return Together(
        mistakes=tuple(
            Mistake(
                p.id,
                p.truth,
                p.says,
                group.effect(float(estimate[i]), float(start[i])),
                group.effect(float(refit[i]), float(start[i])),
                None if after_k is None else after_k[i],
            )
            for i, p in enumerate(group.predictions)
        ),
        rows=tuple(
            SharedRow(effect, int(harms[i]), float(np.minimum(group.change[:, i], 0.0).sum() / harm))
            for i, effect in zip(shown, effects, strict=True)
        ),
        estimate=group.effect(float(estimate.mean()), base),
        refit=group.effect(float(refit.mean()), base),
        mended=(group.right(group.says(estimated)), None if after_k is None else group.right(after_k))
        if group.predictions[0].is_class
        else None,
        held_out=held_out(shown),
    )


def _fewest(group: _Group, said: Sequence[list[Any] | None], change: Floats) -> int | None:
    """The prefix to keep, by what refits did; without any optimum the first; None where they mend nothing."""
    done = [k for k in range(len(said)) if said[k] is not None and np.isfinite(change[k])]
    if not done:
        return 0
    if group.predictions[0].is_class:
        right = {k: group.right(said[k] or []) for k in done}
        if max(right.values()):
            return next(k for k in done if right[k] == max(right.values()))
    least = min(change[k] for k in done)
    return next((k for k in done if change[k] <= ENOUGH * least), None) if least < 0 else None


def _estimated(group: _Group, out: list[int]) -> Floats:
    """[m, c] outputs without these rows, by their common Newton step."""
    own = group.influence.attribution
    states = own.moved(out, [0.0] * len(out)).states[:1]
    return np.asarray(to_numpy(own.outputs_at(states, group.question.features))[0])


def _held_out_measure(
    influence: Influence, held_out: tuple[Any, Any] | None, measurement: str
) -> Callable[[list[int]], Effect | None]:
    """Rows -> what their removal really does to the mean loss (of a number: the mean error) over all held-out rows."""
    if held_out is None:
        return lambda out: None
    x, y = held_out
    name = chosen("loss" if measurement == "loss" else None, influence.adapted.kind, True)
    asked = (None, "prediction") if name == ERROR else (y, name)
    question = questions.ask(influence.adapted, influence.attribution, x, *asked)

    def effect(out: list[int]) -> Effect | None:
        after = question.after([[], out])
        if name == ERROR:
            after = np.abs(after - np.asarray(y, dtype=float)[None])
        before, now = (float(one.mean()) for one in after)
        known = now - before if np.isfinite(now - before) else None
        return Effect(known, before, name, question.unit, "lower", reason="the refit found no optimum")

    return effect
