"""A linear head with hinges at its true optimum, and real removals from there along the exact path.

The head's loss is rounded over a width t; its optimum there starts the path: each hinge takes as its dual the share of
its slope, which makes that point the optimum of slightly moved margins, and the path moves them back. Outputs are
fitted apart. Where a refit divides by fewer rows, the boxes of those left grow: F / (what its penalty keeps).
Stands on svm_path and linear_head. Source: METHODS.md 2.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from upweight.linear_head import LinearHead
from upweight.output_loss import Rounded, Separate, Weighted
from upweight.removal.changed_refit import Changed, lengthened
from upweight.removal.hinges import FULL, INSIDE, OFF, HingeFit, Hinges, violation
from upweight.removal.svm_path import follow, follow_each
from upweight.shapes import Array, Bool, Float, Vector, Vectors

__all__ = ["ExactHinge", "largest_miss", "rounded_loss", "true_optimum", "with_width"]

SNAPPED = 1e-6  # share of its box at which a dual is taken to be at a bound
MET = 1e-8  # largest miss of the optimum's conditions at which a path's end is believed


@dataclass(frozen=True)
class ExactHinge:
    """The optimum of the hinges themselves, all rows kept: one (hinges, fit) an output."""

    head: LinearHead  # rounded; at its own optimum
    fits: tuple[tuple[Hinges, HingeFit], ...]

    @cached_property
    def vector(self) -> Vector:
        """θ [p]."""
        return self._vector([fit for _, fit in self.fits])

    @property
    def settled(self) -> bool:
        """Whether every output's path ended in an optimum."""
        return all(_met(hinges, fit) for hinges, fit in self.fits)

    @property
    def outputs(self) -> Float[Any, "n c"]:
        """z of the rows."""
        return self.head.at(self.vector).outputs

    @property
    def places(self) -> NDArray[np.int64]:
        """[n, c]: OFF, INSIDE or FULL; of a row's two edges the one that holds it."""
        out = np.zeros((self.head.n, len(self.fits)), dtype=np.int64)
        for a, (hinges, fit) in enumerate(self.fits):
            for place in (FULL, INSIDE):
                out[hinges.row[fit.place == place], a] = place
        return out

    def refitted(
        self, sets: Sequence[Sequence[int]], factors: Sequence[Sequence[float]] | None = None
    ) -> tuple[Vectors, Bool[Any, " k"]]:
        """θ [k, p] after these rows really leave (or weigh `factors` times what they did), and whether it is one."""
        keeps = [self._keep(rows, None if factors is None else factors[j]) for j, rows in enumerate(sets)]
        thetas = np.zeros((len(sets), *self.head.params.matrix.shape))
        settled = np.ones(len(sets), dtype=bool)
        for a, (hinges, fit) in enumerate(self.fits):
            ends = [self._without(hinges, keep) for keep in keeps]
            for j, end in enumerate(follow_each(hinges, fit, ends)):
                thetas[j, a] = end.theta
                settled[j] &= _met(ends[j], end)
        return self.head.params.collect(thetas), settled

    def changed(self, changed: Changed) -> tuple[Vectors, Bool[Any, " m"]]:
        """θ [m, p] with one row changed each, as `refit_changed`: the row's box closes while the newcomer's opens."""
        longer = lengthened(self.head, changed)
        n, m = self.head.n, len(changed.rows)
        out = np.asarray(changed.rows, dtype=np.int64)
        thetas = np.zeros((m, *self.head.params.matrix.shape))
        settled = np.ones(m, dtype=bool)
        for a, (kept, fit) in enumerate(self.fits):
            whole = _hinges(longer, a)
            old = whole.row < n
            start = replace(whole, box=np.where(old, whole.box, 0.0))
            start.box[old] = kept.box
            where = np.flatnonzero(old)
            dual, place = np.zeros(len(old)), np.full(len(old), OFF)
            dual[where], place[where] = fit.dual, fit.place
            inside = replace(fit.inside, hinges=start, members=where[fit.inside.members].tolist())
            moved = HingeFit(dual, place, fit.theta, inside=inside)
            ends = []
            for k in range(m):
                box = np.where(start.row == out[k], 0.0, start.box)
                ends.append(replace(start, box=np.where(start.row == n + k, whole.box, box)))
            for k, end in enumerate(follow_each(start, moved, ends)):
                thetas[k, a] = end.theta
                settled[k] &= _met(ends[k], end)
        return self.head.params.collect(thetas), settled

    def ends(self, rows: Sequence[int], factors: Sequence[float] | None = None) -> tuple[tuple[Hinges, HingeFit], ...]:
        """The hinges of each output without these rows (or with these factors), and where their path ends."""
        keep = self._keep(rows, factors)
        ends = [(self._without(hinges, keep), hinges, fit) for hinges, fit in self.fits]
        return tuple((end, next(follow_each(hinges, fit, [end]))) for end, hinges, fit in ends)

    def without(self, out: Sequence[int]) -> "ExactHinge":
        """The same around the refit without these rows, which keep their places with weight 0."""
        ends = self.ends(out)
        there, factor = self.head.at(self._vector([fit for _, fit in ends])).without(self._keep(out, None))
        # F over its factor: the divisor of the rows that are left and the whole penalty, so that shares stay theirs
        return ExactHinge(replace(there, divisor=factor / self.head.scale), ends)

    def _keep(self, rows: Sequence[int], factors: Sequence[float] | None) -> NDArray[np.float64]:
        keep = np.ones(self.head.n)
        keep[np.asarray(rows, dtype=np.int64)] = 0.0 if factors is None else factors
        return keep

    def _without(self, hinges: Hinges, keep: NDArray[np.float64]) -> Hinges:
        """F of the rows that are left, over what its penalty keeps: boxes grow where the divisor shrinks."""
        left = 1.0 - self.head.scale * float(np.sum(self.head.shares * (1.0 - keep)))
        return replace(hinges, box=hinges.box * keep[hinges.row] / max(left, 1e-300))

    def _vector(self, fits: Sequence[HingeFit]) -> Vector:
        return self.head.params.collect(np.stack([fit.theta for fit in fits])[None])[0]


def rounded_loss(head: LinearHead) -> Rounded | None:
    """The hinges that a head consists of; None where its loss is another."""
    loss = head.loss
    if not isinstance(loss, Separate):
        return None
    scalar: Any = loss.scalar.scalar if isinstance(loss.scalar, Weighted) else loss.scalar
    return scalar if isinstance(scalar, Rounded) else None


def with_width(head: LinearHead, width: float) -> LinearHead:
    """The same head, its hinges rounded over another width."""
    loss: Any = head.loss
    scalar: Any = loss.scalar
    if isinstance(scalar, Weighted):
        inner: Any = scalar.scalar
        scalar = replace(scalar, scalar=replace(inner, width=width))
    else:
        scalar = replace(scalar, width=width)
    return replace(head, loss=replace(loss, scalar=scalar))


def true_optimum(head: LinearHead, duals: Sequence[Array] | None = None) -> ExactHinge:
    """The optimum of the hinges themselves, from the optimum of the rounded ones, where `head` stands.

    `duals`: of each output what its hinges pull with, in F's scale, where another solver has found them.
    """
    theta = np.asarray(head.params.matrix)
    fits = []
    for a in range(head.c):
        hinges = _hinges(head, a)
        dual = _duals(head, hinges, theta[a]) if duals is None else _given(hinges, duals[a])
        share = dual / np.where(hinges.box > 0, hinges.box, 1.0)
        place = np.where(share >= 1.0, FULL, np.where(share <= 0.0, OFF, INSIDE))
        start = hinges.pulled(dual)
        start[-1] += theta[a, -1] if hinges.free else 0.0
        z = hinges.outputs(start)
        moved = np.where(place == OFF, np.minimum(z, hinges.margin), np.maximum(z, hinges.margin))
        near = replace(hinges, margin=np.where(place == INSIDE, z, moved))
        fits.append(follow(near, HingeFit(dual, place, start), margin=hinges.margin))
    return ExactHinge(head, tuple(fits))


def largest_miss(head: LinearHead, dual: Array) -> float:
    """By how much a row misses its margin at the head's θ, in the unit of z, if its hinges pull with `dual` (c = 1)."""
    hinges = _hinges(head, 0)
    near = SNAPPED * hinges.box
    gap = hinges.outputs(np.asarray(head.params.matrix)[0]) - hinges.margin
    off, full = dual <= near, dual >= hinges.box - near
    miss = np.where(off, -gap, np.where(full, gap, np.abs(gap)))
    return float(np.max(miss, initial=0.0, where=hinges.box > 0))


def _met(hinges: Hinges, fit: HingeFit) -> bool:
    return fit.settled and violation(hinges, fit) <= MET


def _hinges(head: LinearHead, a: int) -> Hinges:
    """Those of one output, in F's scale."""
    loss: Any = head.loss
    scalar, n = loss.scalar, head.n
    y = head.targets if head.targets.ndim == 2 else head.targets[:, None]
    weight = np.asarray(head.weights, dtype=np.float64)
    if isinstance(scalar, Weighted):
        weight = weight * np.broadcast_to(scalar.factor(np.zeros(y.shape), y), y.shape)[:, a]
        scalar = scalar.scalar
    pieces = scalar.pieces(np.asarray(y[:, a], dtype=np.float64))
    free = np.asarray(head.params.free)[a]
    penalty = np.asarray(head.penalty)[a]
    held = free & (penalty > 0)
    return Hinges(
        features=head.features,
        row=np.tile(np.arange(n), len(pieces)),
        sign=np.concatenate([np.asarray(s) for s, _ in pieces]),
        margin=np.concatenate([np.asarray(m) for _, m in pieces]),
        box=np.tile(head.scale * weight, len(pieces)),
        inverse=np.where(held, 1.0 / np.where(held, penalty, 1.0), 0.0),
        free=bool(free[-1] and penalty[-1] == 0),
    )


def _duals(head: LinearHead, hinges: Hinges, theta: Array) -> Float[Any, " m"]:
    """What each hinge pulls with at a rounded optimum, at its bounds where it is close, in balance."""
    scalar = rounded_loss(head)
    width = scalar.width if scalar is not None else 0.0
    short = hinges.margin - hinges.outputs(theta)
    share = expit(short / width) if width > 0 else (short > 0).astype(np.float64)
    for snapped in (SNAPPED, 1e-12, 0.0):
        held = np.where(share <= snapped, 0.0, np.where(share >= 1.0 - snapped, 1.0, share))
        dual = _balanced(hinges, held * hinges.box) if hinges.free else held * hinges.box
        if dual is not None:
            return dual
    return np.zeros_like(share)


def _given(hinges: Hinges, dual: Array) -> Float[Any, " m"]:
    """Another solver's duals within their boxes and in balance; none where they cannot be."""
    held = np.clip(np.asarray(dual, dtype=np.float64), 0.0, hinges.box)
    near = SNAPPED * hinges.box
    held = np.where(held <= near, 0.0, np.where(held >= hinges.box - near, hinges.box, held))
    found = _balanced(hinges, held) if hinges.free else held
    return np.zeros_like(held) if found is None else found


def _balanced(hinges: Hinges, dual: Float[Any, " m"]) -> Float[Any, " m"] | None:
    """Σ s a = 0 by moving those between their bounds; None where they cannot."""
    for _ in range(50):
        off = float(hinges.sign @ dual)
        if abs(off) <= 1e-15 * max(float(np.sum(dual)), 1e-300):
            return dual
        room = dual * (hinges.box - dual)
        total = float(np.sum(room))
        if not total > 0:
            return None
        dual = np.clip(dual - hinges.sign * off * room / total, 0.0, hinges.box)
    return dual if abs(off) <= 1e-10 * float(np.sum(dual)) else None
