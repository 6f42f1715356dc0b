"""The rows that the model as a whole hangs on: without them its predictions move most, confirmed by a refit.

Ranked by leverage-corrected moves of all outputs in the metric of the predictions (½ Δzᵀ S Δz, summed over queries),
chosen one after another, estimated by a group's Newton step and really removed, beside as many random rows and as many
of the largest self-influence. Not finding a larger effect proves nothing. Stands on the questions and attribution.
Source: METHODS.md 2.2, 2.4; Broderick, Giordano & Meager (2020).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.adapters import Adapted
from upweight.arrays import namespace, to_numpy
from upweight.attribution import Attribution
from upweight.errors import InputError
from upweight.mainstay import Mainstay, Without
from upweight.measurement import decided
from upweight.questions.base import optimum, query_chunks, rows_as_they_are
from upweight.questions.on_set import as_predicted
from upweight.questions.own_loss import OwnLoss
from upweight.randomness import generator
from upweight.removal.leverage import SMALLEST_GAP
from upweight.removal.strongest import strongest_set
from upweight.shapes import Array, Vectors

__all__ = ["hangs_on", "how_many"]

SHARE, MOST = 0.01, 50  # of the training rows, unless a number is asked for
RANDOM = 5  # sets of random rows to compare with
DENSE = 4000  # parameters up to which the metric of all queries is one matrix
DIRECTIONS = 2000  # beyond it: outputs of queries that are looked at, drawn at random
ANEW_FLOPS = 2e10  # a second or so: up to it every row is ranked anew after each removal


def how_many(rows: Any, n: int) -> int:
    """How many rows to find: a number, a share of n, or (None) the smaller of 1 % and 50, at least 1.

    Raises: InputError for anything else, or all rows.
    """
    if rows is None:
        return max(1, min(MOST, int(SHARE * n)))
    said = f"rows is {rows!r}. Give how many rows to find, 1 to {n - 1:,}, or a share of them such as 0.01."
    if isinstance(rows, bool) or not isinstance(rows, int | float | np.integer | np.floating) or not np.isfinite(rows):
        raise InputError(said)
    count = max(1, round(float(rows) * n)) if 0 < rows < 1 else int(rows)
    if not 1 <= count < n or (rows >= 1 and count != rows):
        raise InputError(said)
    return count


def hangs_on(adapted: Adapted, attribution: Attribution, x_query: Any, y_query: Any, count: int, seed: int) -> Mainstay:
    """The set, what the model does without it by estimate and refit, and what it does without other rows.

    x_query None: the training rows, of which those that stay are counted.
    Raises: InputError.
    """
    own = x_query is None
    inputs = adapted.read_query(adapted.rows if own else x_query)
    if inputs.rows == 0:
        raise InputError("X_query has no rows. Give at least one, or none at all for the training rows.")
    targets = attribution.targets if own else None if y_query is None else adapted.read_target(y_query)
    if targets is not None and len(targets) != inputs.rows:
        raise InputError(f"X_query has {inputs.rows} rows and y_query {len(targets)}. Give one label per query.")
    z = to_numpy(attribution.query_outputs(inputs))
    moves = _Moves(attribution, inputs, z, _metric(adapted, attribution, z), own, seed)
    stays = _Stays(adapted, attribution)
    greedy = strongest_set(count, moves.gains(count), stays, moves.settled(count))
    alone = moves.alone(attribution)
    alone[stays(())] = -np.inf
    largest = [int(i) for i in np.argsort(-alone, kind="stable")[:count] if np.isfinite(alone[i])]
    sets = [greedy, largest, _self_influence(adapted, attribution, stays, count)]
    may = np.flatnonzero(~stays(()))
    for j in range(RANDOM):
        drawn = generator(seed, "hangs on", j).choice(may, size=min(count, len(may)), replace=False)
        sets.append([int(i) for i in drawn])
    states, converged = attribution.refitted(sets)
    seen = _Seen(adapted, attribution, inputs, targets, _base(adapted, attribution, inputs, z), own)
    real = [seen.without(rows, states[j : j + 1], bool(converged[j])) for j, rows in enumerate(sets)]
    best = int(np.argmax([-1.0 if one.moved is None else one.moved for one in real]))
    estimate = seen.without(sets[best], attribution.moved(sets[best], [0.0] * len(sets[best])).states[:1], True)
    rows = rows_as_they_are(adapted.rows, sets[best])
    labels = np.asarray(adapted.labels)[sets[best]]
    return Mainstay(
        found=real[best],
        estimate=estimate,
        self_influence=real[2],
        random=tuple(real[3:]),
        row_labels=tuple(label.tolist() if hasattr(label, "tolist") else label for label in labels),
        row_columns={name: tuple(column) for name, column in rows.items()},
        training_rows=attribution.n,
        over="rows that stay" if own else "queries",
        predictions=inputs.rows - (len(sets[best]) if own else 0),
        unit=_unit(adapted),
        loss_unit=attribution.loss.unit,
        spread=None if adapted.kind == "classification" else float(np.std(seen.predicted)),
        exact="" if not converged[best] else attribution.certificate(sets[best], states[best]).sentence,
        how=moves.how(count),
        meaning=(
            f"Which {count:,} of {attribution.n:,} rows move the predictions of the {adapted.model_name} most if they "
            f"are removed together and it is refitted; {adapted.convention}."
        ),
    )


@dataclass(frozen=True)
class _Moves:
    """How far sets of rows move the outputs `z` of the queries, in the metric S [q, c, c]."""

    attribution: Attribution
    inputs: Any
    z: NDArray[np.float64]
    metric: NDArray[np.float64]
    own: bool  # queries are the training rows: what a row does to itself is not counted
    seed: int

    @cached_property
    def directions(self) -> list[Vectors]:
        """V in parts, Vᵀ V = Σ X_qᵀ S_q X_q."""
        return list(self._short())

    @property
    def looked_at(self) -> NDArray[np.int64]:
        """Queries that rank the rows: all, or as many at random as a large model allows."""
        q, c = self.z.shape
        if self.attribution.size <= DENSE or q * c <= DIRECTIONS:
            return np.arange(q)
        some = generator(self.seed, "hangs on", "queries").choice(q, size=max(1, DIRECTIONS // c), replace=False)
        return np.sort(some)

    def _raw(self) -> Iterator[Vectors]:
        """Its rows, for some queries at a time."""
        at, c = self.looked_at, self.z.shape[1]
        values, vectors = np.linalg.eigh(self.metric)
        root = vectors * np.sqrt(np.clip(values, 0.0, None))[:, None, :]
        for chunk in query_chunks(self.attribution, len(at), c):
            some = self.attribution.some(self.inputs, at[chunk])
            for a in range(c):
                yield self.attribution.directions(some, root[at[chunk], :, a])

    def _short(self) -> Iterator[Vectors]:
        """The same with at most p rows."""
        p = self.attribution.size
        if len(self.looked_at) * self.z.shape[1] <= p:
            yield from self._raw()
            return
        total, theta = np.zeros((p, p)), self.attribution.vector
        for part in self._raw():
            total += to_numpy(part).T @ to_numpy(part)
        values, vectors = np.linalg.eigh(total)
        kept = values > values[-1] * p * np.finfo(np.float64).eps
        v = (vectors[:, kept] * np.sqrt(values[kept])).T
        for chunk in query_chunks(self.attribution, len(v), 1):
            yield namespace(theta).asarray(v[chunk], dtype=theta.dtype)

    def alone(self, engine: Attribution) -> NDArray[np.float64]:
        """[n]: ½ ‖V δ_i‖² of every row, without its own output."""
        out = np.zeros(engine.n)
        for v in self.directions:
            for rows, block in engine.removals(v, "leverage").blocks:
                out[rows] += 0.5 * np.sum(to_numpy(block) ** 2, axis=0)
        if self.own and len(self.looked_at) == engine.n:
            own = to_numpy(engine.own_moves())
            out -= 0.5 * np.einsum("na,nab,nb->n", own, self.metric, own)
        return out

    def anew(self, count: int) -> bool:
        """Whether every row can be ranked anew after each removal."""
        return 4.0 * count * self.attribution.n * self.attribution.size**2 <= ANEW_FLOPS

    def gains(self, count: int) -> Any:
        """What each further row adds to the move, once some have left."""
        attribution, anew = self.attribution, self.anew(count)
        start = self.alone(attribution)

        def gain(out: Sequence[int]) -> NDArray[np.float64]:
            if not out:
                return start
            engine = attribution.without(out) if anew else attribution
            state = attribution.refitted([out])[0] if anew else attribution.moved(out, [0.0] * len(out)).states[:1]
            at = self.looked_at
            dz = to_numpy(attribution.outputs_at(state, self.inputs))[0][at] - self.z[at]
            pull = (self.metric[at] @ dz[:, :, None])[:, :, 0]
            total = 0.0
            for chunk in query_chunks(attribution, len(at), 1):
                v = attribution.directions(attribution.some(self.inputs, at[chunk]), pull[chunk])
                total = total + namespace(v).sum(v, axis=0, keepdims=True)
            along = np.asarray(to_numpy(engine.removals(total, "leverage").values())[0], dtype=np.float64)
            return (self.alone(engine) if anew else start) + along

        return gain

    def settled(self, count: int) -> Any:
        """Whether a refit without these rows has an optimum; not asked where rows are not ranked anew."""
        if not self.anew(count):
            return lambda out: True
        return lambda out: bool(self.attribution.refitted([out])[1][0])

    def how(self, count: int) -> str:
        """One sentence: how the set was looked for."""
        seen, q = len(self.looked_at), len(self.z)
        ranked = "ranked anew after each removal" if self.anew(count) else "ranked once, their sum followed"
        on = "" if seen == q else f" on {seen:,} of {q:,} predictions drawn at random"
        return f"rows chosen one after another by their leverage-corrected moves of all outputs{on}, {ranked}; refitted"


class _Stays:
    """Rows that may not leave: without weight, alone with a direction of θ, or the last of their class."""

    def __init__(self, adapted: Adapted, attribution: Attribution) -> None:
        weights, leverage = to_numpy(attribution.weights), to_numpy(attribution.leverages())
        self._never = (weights <= 0) | (1.0 - leverage < SMALLEST_GAP)
        labels = np.asarray(adapted.labels)
        classes = adapted.kind == "classification" and labels.ndim == 1
        self._codes = np.unique(labels, return_inverse=True)[1] if classes else np.zeros(attribution.n, dtype=int)
        self._there = weights > 0

    def __call__(self, out: Sequence[int]) -> NDArray[np.bool_]:
        there = self._there.copy()
        there[list(out)] = False
        left = np.bincount(self._codes[there], minlength=int(self._codes.max()) + 1)
        return np.asarray(self._never | (left[self._codes] <= 1))


@dataclass(frozen=True)
class _Seen:
    """What a person sees of a refit: classes that change, how far predictions move, the mean loss."""

    adapted: Adapted
    attribution: Attribution
    inputs: Any
    targets: Array | None
    base: NDArray[np.float64]  # z at the optimum of all rows
    own: bool  # queries are the training rows: those that leave are not counted

    @property
    def predicted(self) -> NDArray[np.float64]:
        """As the estimator predicts."""
        return as_predicted(self.adapted, self.attribution, self.base)

    def without(self, rows: Sequence[int], state: Any, converged: bool) -> Without:
        """Beside the model of all rows."""
        ids = tuple(self.adapted.row_ids[i] for i in rows)
        if not converged:
            return Without(ids, None, None, None)
        left = np.delete(np.arange(len(self.base)), list(rows)) if self.own else np.arange(len(self.base))
        z = to_numpy(self.attribution.outputs_at(state, self.inputs))[0]
        apart = as_predicted(self.adapted, self.attribution, z)[left] - self.predicted[left]
        changed = None
        if self.adapted.kind == "classification":
            changed = int(np.sum(decided(z[left]) != decided(self.base[left])))
        if self.adapted.has_probability:
            moved = float(np.mean(0.5 * np.sum(np.abs(apart), axis=1)))
        else:
            moved = float(np.sqrt(np.mean(apart**2)))
        loss = None
        if self.targets is not None:
            y = self.targets[left]
            value = self.attribution.loss.value
            loss = float(np.mean(to_numpy(value(z[left], y)) - to_numpy(value(self.base[left], y))))
        return Without(ids, moved, changed, loss)


def _base(adapted: Adapted, attribution: Attribution, inputs: Any, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """z where removals start: at the optimum of all rows."""
    best = optimum(adapted, attribution)
    return z if best is None else to_numpy(attribution.outputs_at(attribution.states_of(best), inputs))[0]


def _metric(adapted: Adapted, attribution: Attribution, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """[q, c, c]: of probabilities by cross-entropy, their information; else squared moves of what is predicted."""
    loss = attribution.loss
    jacobian = to_numpy(loss.predict_jacobian(z))
    if loss.name in ("softmax", "logistic") and adapted.has_probability and jacobian.shape[1] == jacobian.shape[2]:
        classes = adapted.read_target(np.asarray([adapted.classes[int(k)] for k in decided(z)]))
        return np.asarray(to_numpy(loss.curvature(z, classes)), dtype=np.float64)
    return np.asarray(np.swapaxes(jacobian, 1, 2) @ jacobian, dtype=np.float64)


def _self_influence(adapted: Adapted, attribution: Attribution, stays: _Stays, count: int) -> list[int]:
    values = np.array(OwnLoss(adapted, attribution).scores("leverage").values[0])
    values[stays(())] = -np.inf
    return [int(i) for i in np.argsort(-values, kind="stable")[:count] if np.isfinite(values[i])]


def _unit(adapted: Adapted) -> str:
    if adapted.kind == "regression":
        return adapted.unit
    return "probability" if adapted.has_probability else "decision score"
