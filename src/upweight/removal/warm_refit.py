"""Real removals: the model refitted without some rows, from θ* by Newton steps, many removals in one go.

Each Newton system is solved by conjugate gradients with the factor of H at θ* as preconditioner: a removal changes few
directions of H, so two or three steps suffice (METHODS.md 2.1), and all k removals share each pass over the rows.
A refit divides by what its estimator divides by: the penalty keeps the factor 1 − s Σ shares removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from upweight.arrays import namespace, to_numpy
from upweight.curvature import HeadCurvature
from upweight.linear_head import LinearHead
from upweight.output_loss import Softmax
from upweight.shapes import Array, Float, Vectors
from upweight.solvers import Prepared

__all__ = ["Factors", "Left", "Refits", "left_at", "refit_without"]

Factors = Sequence[Sequence[float]]  # for each set of rows, one number a row

MEMORY = 256 * 2**20  # outputs and curvatures of the refits that run side by side
NEWTON_STEPS = 50
CG_STEPS = 200
HALVINGS = 30
ROUNDING = 1e-15  # of the objective's own size: what is left below it cannot be seen
SLOW = 0.2  # Newton near an optimum squares what is left; towards infinity each step leaves 1/e of it
STRIDE = 1e-3  # of the way so far: a last step longer than this heads for infinity


@dataclass(frozen=True)
class Refits:
    """k refitted parameter vectors; `decrement` is how far each still is from its optimum, in the norm of H."""

    vectors: Vectors
    decrement: Any  # [k] numpy
    steps: Any  # [k] Newton steps
    converged: Any  # [k] bool


def refit_without(
    head: LinearHead,
    prepared: Prepared,
    removals: Sequence[Sequence[int]],
    tol: float = 1e-11,
    start: Vectors | None = None,
    factors: Factors | None = None,
) -> Refits:
    """The optimum without each of these sets of rows (positions): [k, p], with what is left of the way to it.

    `prepared` is H at `head` (any penalty factor). `tol`: the Newton decrement at which a refit stops, relative to how
    far it moved. `factors`: what each set's rows weigh instead, times what they did; one a row. A refit that ends
    earlier (no optimum: the removed rows held a direction alone) is finite and says `converged` False.
    """
    at_once = _side_by_side(head)
    parts = [
        _refit(
            _Batch.of(head, removals[i : i + at_once], None if factors is None else factors[i : i + at_once]),
            prepared,
            tol,
            None if start is None else start[i : i + at_once],
        )
        for i in range(0, len(removals), at_once)
    ]
    xp = namespace(head.weights)
    if not parts:
        empty = np.zeros(0)
        return Refits(xp.zeros((0, head.params.size), dtype=head.weights.dtype), empty, empty, empty.astype(bool))
    return Refits(
        xp.concat([part.vectors for part in parts], axis=0),
        np.concatenate([part.decrement for part in parts]),
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.converged for part in parts]),
    )


@dataclass(frozen=True)
class Left:
    """What is left to go at each of k refits: ∇F there, a step H̃⁻¹∇F by conjugate gradients, and ∇F − H̃ step [k, p]."""

    gradient: Vectors
    step: Vectors
    residual: Vectors


def left_at(
    head: LinearHead, prepared: Prepared, removals: Sequence[Sequence[int]], vectors: Vectors, tol: float = 1e-4
) -> Left:
    """Of the objectives without each of these sets of rows (positions) at these θ [k, p]; arguments as refit_without.

    `tol`: of the step, in the norm of H; its residual is the true one.
    """
    at_once, xp, parts = _side_by_side(head), namespace(head.weights), []
    for i in range(0, len(removals), at_once):
        batch = _Batch.of(head, removals[i : i + at_once], None)
        _, gradient, curvatures = batch.evaluate(vectors[i : i + at_once, :])
        todo = np.ones(gradient.shape[0], dtype=bool)
        step = -_newton_direction(batch, curvatures, prepared, gradient, todo, tol)
        parts.append((gradient, step, gradient - batch.product(curvatures, step)))
    return Left(*(xp.concat(list(some), axis=0) for some in zip(*parts, strict=True)))


def _side_by_side(head: LinearHead) -> int:
    """How many refits share a pass."""
    c, n = head.c, head.n
    bend = 2 * c if isinstance(head.loss, Softmax) else c * c
    return max(1, int(MEMORY // (8.0 * n * (bend + 4 * c) + 64.0 * head.params.size)))


@dataclass(frozen=True)
class _Batch:
    """k objectives side by side: the same rows, each with its own set left out or weighed anew."""

    head: LinearHead
    keep: Any  # [n, k] numpy, 0 where left out
    factor: Array  # [k] of the penalty

    @classmethod
    def of(cls, head: LinearHead, removals: Sequence[Sequence[int]], factors: Factors | None) -> "_Batch":
        xp = namespace(head.weights)
        keep = np.ones((head.n, len(removals)), dtype=np.uint8 if factors is None else np.float64)
        for j, rows in enumerate(removals):
            keep[np.asarray(rows, dtype=int), j] = 0 if factors is None else factors[j]
        lost = xp.matrix_transpose(1.0 - xp.asarray(keep, dtype=head.weights.dtype)) @ head.shares
        return cls(head, keep, 1.0 - head.scale * lost)

    @cached_property
    def gauge(self) -> HeadCurvature:
        """H at θ*: what it pins, every refit pins."""
        return HeadCurvature(self.head)

    def _weights(self, rows: slice) -> Float[Array, "b k"]:
        xp = namespace(self.head.weights)
        keep = xp.asarray(self.keep[rows, :], dtype=self.head.weights.dtype)
        return keep * self.head.weights[rows][:, None]

    def _targets(self, rows: slice, k: int) -> Array:
        """Each row's target k times, as the flattened outputs need it."""
        xp = namespace(self.head.weights)
        y = self.head.targets[rows] if self.head.targets.ndim == 1 else self.head.targets[rows, :]
        return xp.repeat(y, k, axis=0)

    def evaluate(self, theta: Vectors) -> tuple[Array, Vectors, list[Any]]:
        """F [k], ∇F [k, p] and the weighted curvatures of the outputs, one pass."""
        xp = namespace(theta)
        head, k, c = self.head, theta.shape[0], self.head.c
        w = xp.reshape(head.params.place(theta), (k * c, -1))
        value, total, curvatures = xp.zeros(k, dtype=theta.dtype), xp.zeros_like(w), []
        for rows in head.batches(k * (c + 2)):
            flat = xp.reshape(head.features.matmul(w, rows), (-1, c))
            y, weight = self._targets(rows, k), self._weights(rows)
            value = value + xp.sum(xp.reshape(head.loss.value(flat, y), (-1, k)) * weight, axis=0)
            u = xp.reshape(head.loss.gradient(flat, y), (-1, k, c)) * weight[:, :, None]
            total = total + head.features.rmatmul(xp.reshape(u, (-1, k * c)), rows)
            curvatures.append(_bend(head, flat, y, weight))
        matrices = xp.reshape(w, (k, c, -1))
        pull = head.penalty[None] * matrices
        energy = 0.5 * xp.sum(head.penalty[None] * matrices**2, axis=(1, 2))
        if head.linear_penalty is not None:
            pull = pull + head.linear_penalty[None]
            energy = energy + xp.sum(head.linear_penalty[None] * matrices, axis=(1, 2))
        gradient = head.scale * xp.reshape(total, (k, c, -1)) + self.factor[:, None, None] * pull
        return head.scale * value + self.factor * energy, head.params.collect(gradient), curvatures

    def product(self, curvatures: list[Any], v: Vectors) -> Vectors:
        """H_k v_k for every k, at the θ of `evaluate`."""
        xp = namespace(v)
        head, k, c = self.head, v.shape[0], self.head.c
        w = xp.reshape(head.params.expand(v), (k * c, -1))
        total = xp.zeros_like(w)
        for rows, s in zip(head.batches(k * (c + 2)), curvatures, strict=True):
            z = xp.reshape(head.features.matmul(w, rows), (-1, k, c))
            e = _bent(s, z)
            total = total + head.features.rmatmul(xp.reshape(e, (-1, k * c)), rows)
        pull = self.factor[:, None, None] * head.penalty[None] * xp.reshape(w, (k, c, -1))
        out = head.params.collect(head.scale * xp.reshape(total, (k, c, -1)) + pull)
        return out + self.gauge.pinned(v)  # else rounding drifts where nothing bends


def _bend(head: LinearHead, z: Float[Array, "b c"], y: Array, weight: Float[Array, "r k"]) -> Any:
    """Weighted curvatures of the outputs [r, k, c, c]; softmax: p, w p and the likeliest class, c numbers each."""
    xp, (_, k), c = namespace(z), weight.shape, head.c
    if isinstance(head.loss, Softmax):
        p = xp.reshape(head.loss.predict(z), (-1, k, c))
        return p, p * weight[:, :, None], xp.argmax(p, axis=2)[:, :, None]
    return xp.reshape(head.loss.curvature(z, y), (-1, k, c, c)) * weight[:, :, None, None]


def _bent(s: Any, z: Float[Array, "r k c"]) -> Float[Array, "r k c"]:
    """Curvature times z; softmax: w p (z − pᵀz), z less its likeliest class's first, so that 1 − p keeps its digits."""
    if isinstance(s, tuple):
        xp, (p, weighed, top) = namespace(z), s
        z = z - xp.take_along_axis(z, top, axis=2)
        return weighed * (z - xp.sum(p * z, axis=2)[:, :, None])
    return z * s[:, :, :, 0] if z.shape[2] == 1 else (s @ z[:, :, :, None])[:, :, :, 0]


def _refit(batch: _Batch, prepared: Prepared, tol: float, start: Vectors | None) -> Refits:
    head, k = batch.head, batch.keep.shape[1]
    xp = namespace(head.weights)
    origin = xp.repeat(head.params.vector[None], k, axis=0)
    theta = origin if start is None else start
    value, gradient, curvatures = batch.evaluate(theta)
    steps, moved = np.zeros(k, dtype=int), np.zeros(k)
    left = _decrement(prepared, gradient)
    scale = _size(head)
    stuck, slow = np.zeros(k, dtype=bool), np.zeros(k, dtype=bool)
    for _ in range(NEWTON_STEPS):
        todo = (left > np.maximum(tol * moved, ROUNDING * scale)) & ~stuck
        if not todo.any():
            break
        direction = _newton_direction(batch, curvatures, prepared, gradient, todo)
        slope = xp.sum(direction * gradient, axis=1)
        size, waiting = np.where(todo, 1.0, 0.0), todo.copy()
        for _ in range(HALVINGS):
            trial = theta + xp.asarray(size, dtype=theta.dtype)[:, None] * direction
            new = batch.evaluate(trial)
            remains = _decrement(prepared, new[1])
            allowed = to_numpy(value + 1e-4 * xp.asarray(size) * slope + 1e-14 * xp.abs(value))
            fine = np.isfinite(remains) & ((to_numpy(new[0]) <= allowed) | (remains <= 0.5 * left))
            waiting = waiting & ~fine
            if not waiting.any():
                break
            size = np.where(waiting, 0.5 * size, size)
        size = np.where(waiting, 0.0, size)  # no step helps: rounding, or no optimum
        if waiting.any():
            trial = theta + xp.asarray(size, dtype=theta.dtype)[:, None] * direction
            new = batch.evaluate(trial)
            remains = _decrement(prepared, new[1])
        stuck = stuck | waiting | (todo & (remains > 0.5 * left) & (remains < 1e-6 * np.maximum(moved, left)))
        slow = np.where(todo & ~stuck, remains > SLOW * left, slow)
        steps = steps + todo
        theta, (value, gradient, curvatures), left = trial, new, remains
        moved = np.maximum(moved, _norm(batch, curvatures, theta - origin))
    settled = left <= np.maximum(1e3 * tol * moved, 1e3 * ROUNDING * scale)
    settled = settled | (stuck & (left <= 1e-6 * moved))  # all that an ill-conditioned H lets one see
    if (settled & slow).any():  # the gradient faded and Newton never caught up: is there an optimum at all?
        onward = _newton_direction(batch, curvatures, prepared, gradient, settled & slow)
        further, way = _length(head, onward), _length(head, theta - origin)
        settled = settled & ~(slow & (way > 1e-6 * scale) & (further > STRIDE * way))
    return Refits(theta, left, steps, settled)


def _size(head: LinearHead) -> float:
    """√F + ‖θ‖_H: the scale, in the unit of the decrement, against which a gradient rounds."""
    return float(np.sqrt(abs(head.value)) + _length(head, head.params.vector[None, ...])[0])


def _length(head: LinearHead, v: Vectors) -> Any:
    """Each vector's length in the norm of H at θ*, which no refit makes fade."""
    xp = namespace(v)
    return np.sqrt(np.maximum(to_numpy(xp.sum(v * HeadCurvature(head).matmul(v), axis=1)), 0.0))


def _norm(batch: _Batch, curvatures: list[Any], v: Vectors) -> Any:
    xp = namespace(v)
    return np.sqrt(np.maximum(to_numpy(xp.sum(v * batch.product(curvatures, v), axis=1)), 0.0))


def _decrement(prepared: Prepared, gradient: Vectors) -> Any:
    """‖∇F‖ in the norm of H⁻¹ at θ*."""
    xp = namespace(gradient)
    return np.sqrt(np.maximum(to_numpy(xp.sum(gradient * prepared.apply(gradient), axis=1)), 0.0))


def _newton_direction(
    batch: _Batch, curvatures: list[Any], prepared: Prepared, gradient: Vectors, todo: Any, tol: float = 1e-6
) -> Vectors:
    """−H_k⁻¹ ∇F_k by preconditioned conjugate gradients, k at once; finished ones stand still."""
    xp = namespace(gradient)

    def dot(a: Vectors, b: Vectors) -> Array:
        return xp.sum(a * b, axis=1)

    x, r = xp.zeros_like(gradient), -gradient
    z = prepared.apply(r)
    d, rz = z, dot(r, z)
    goal = tol**2 * to_numpy(rz)
    active = todo & (to_numpy(rz) > 0)
    for _ in range(CG_STEPS):
        if not active.any():
            break
        hd = batch.product(curvatures, d)
        bend = dot(d, hd)
        active = active & (to_numpy(bend) > 0)  # a direction that nothing bends: keep what there is
        mask = xp.asarray(active)
        step = xp.where(mask, rz / xp.where(mask, bend, 1.0), 0.0)[:, None]
        x, r = x + step * d, r - step * hd
        z, before = prepared.apply(r), rz
        rz = dot(r, z)
        active = active & (to_numpy(rz) > goal)
        d = z + xp.where(xp.asarray(active), rz / xp.where(before == 0, 1.0, before), 0.0)[:, None] * d
    return x
