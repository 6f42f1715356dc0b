"""Refits that follow training rows whose inputs move: the exact optimum after each step, and derivatives there.

The rows that move stand apart from the others, whose outputs are kept and updated. Each Newton system is solved by
conjugate gradients behind H⁻¹ of the first optimum, corrected for the rows that moved (what they bent there goes, what
they bend now comes): a step costs a few passes over the rows and no new factor. Stands on curvature and linear_head;
workflows.audit moves the rows. Source: METHODS.md 9, 2.1.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from upweight.arrays import factor, namespace
from upweight.curvature import HeadCurvature
from upweight.linear_head import LinearHead
from upweight.shapes import Array, Float, Vector
from upweight.solvers import Prepared

__all__ = ["Followed", "Moving"]

TOL = 1e-7  # of √F: the Newton decrement at which a refit stops; one more step would square it
CG_TOL = 1e-2  # of a Newton system, in the norm of H⁻¹
ADJOINT_TOL = 1e-4
CG_STEPS = 200
NEWTON_STEPS = 50
INVERTED = 4000  # parameters up to which H⁻¹ is written out
WRITTEN_OUT = 2e7  # n p²: below it H is written out and factored at every step, in some milliseconds
HALVINGS = 30


Operator = Callable[[Array], Array]


@dataclass(frozen=True)
class Followed:
    """The optimum while the moving rows read `x` [k, D] (constant last)."""

    there: LinearHead  # at θ, the moving rows without weight, all outputs known
    x: Float[Array, "k D"]
    converged: bool
    near: Operator | None = None  # about H⁻¹ there

    @property
    def vector(self) -> Vector:
        """θ."""
        return self.there.params.vector


@dataclass(frozen=True)
class Moving:
    """A head some of whose rows move; `prepared` is H at `head`, its optimum."""

    head: LinearHead
    prepared: Prepared
    rows: Array  # [k] positions

    @cached_property
    def still(self) -> LinearHead:
        """The rows that stay; what a refit divides by stays too."""
        xp = namespace(self.head.weights)
        keep = np.ones(self.head.n)
        keep[np.asarray(self.rows)] = 0.0
        weights = self.head.weights * xp.asarray(keep, dtype=self.head.weights.dtype)
        return replace(self.head, weights=weights, normalization="sum", divisor=1.0 / self.head.scale)

    @cached_property
    def own(self) -> tuple[Array, Array]:
        """Targets and weights of the moving rows."""
        xp = namespace(self.head.weights)
        at = xp.asarray(self.rows)
        return xp.take(self.head.targets, at, axis=0), xp.take(self.head.weights, at)

    def start(self) -> Followed:
        """Where they are now."""
        x = self.head.features.take(namespace(self.head.weights).asarray(self.rows))
        return Followed(_known(self.still, self.head.params.vector, self.head.outputs), x, True)

    def follow(self, last: Followed, x: Float[Array, "k D"]) -> Followed:
        """The optimum with the rows at `x`, from the last one."""
        there, n = last.there, self.head.n
        near = None if self.written else self._near(there, x)
        value, gradient = self._value(there, x), self._gradient(there, x)
        decrement = self._decrement(gradient)
        for _ in range(NEWTON_STEPS):
            if decrement <= TOL * max(value, 0.0) ** 0.5:
                return Followed(there, x, True, near)
            step = -self._solved(there, x, near, gradient, CG_TOL)
            slope, moved, length = _dot(step, gradient), None, 1.0
            dz = self.head.features.matmul(self.head.params.expand(step[None])[0, :, :], slice(0, n))
            for _ in range(HALVINGS):
                trial = _known(self.still, there.params.vector + length * step, there.outputs + length * dz)
                new, pull = self._value(trial, x), self._gradient(trial, x)
                left = self._decrement(pull)
                if np.isfinite(left) and (left <= 0.5 * decrement or new <= value + 1e-4 * length * slope):
                    moved = trial, new, pull, left
                    break
                length *= 0.5
            if moved is None:
                return Followed(there, x, decrement <= 1e3 * TOL * max(value, 0.0) ** 0.5, near)
            there, value, gradient, decrement = moved
        return Followed(there, x, False, near)

    def adjoint(self, at: Followed, v: Vector, guess: Vector | None = None) -> Vector:
        """H⁻¹v at the optimum."""
        return self._solved(at.there, at.x, at.near, v, ADJOINT_TOL, guess)

    def pull(self, at: Followed, s: Vector) -> Float[Array, "k d"]:
        """Derivative of a measurement, s = H⁻¹∇m, by each number that the moving rows read (without the constant)."""
        xp, (y, w), loss = namespace(s), self.own, self.head.loss
        matrix, z = at.there.params.matrix, self._own_outputs(at.there, at.x)
        direction = self.head.params.expand(s[None])[0, :, :]
        along = at.x @ xp.matrix_transpose(direction)
        bent = (loss.curvature(z, y) @ along[:, :, None])[:, :, 0]
        moved = loss.gradient(z, y) @ direction[:, :-1] + bent @ matrix[:, :-1]
        return -self.head.scale * w[:, None] * moved

    def _own_outputs(self, there: LinearHead, x: Float[Array, "k D"]) -> Float[Array, "k c"]:
        return x @ namespace(x).matrix_transpose(there.params.matrix)

    def _value(self, there: LinearHead, x: Float[Array, "k D"]) -> float:
        y, w = self.own
        losses = self.head.loss.value(self._own_outputs(there, x), y)
        return there.value + self.head.scale * float(namespace(w).sum(w * losses))

    def _gradient(self, there: LinearHead, x: Float[Array, "k D"]) -> Vector:
        xp, (y, w) = namespace(x), self.own
        u = self.head.loss.gradient(self._own_outputs(there, x), y) * w[:, None]
        own = self.head.params.collect((xp.matrix_transpose(u) @ x)[None])[0, :]
        return there.gradient + self.head.scale * own

    @property
    def written(self) -> bool:
        """Whether a factor of H costs next to nothing."""
        return self.head.n * self.head.params.size**2 <= WRITTEN_OUT

    def _solved(
        self,
        there: LinearHead,
        x: Float[Array, "k D"],
        near: Operator | None,
        b: Vector,
        tol: float,
        guess: Vector | None = None,
    ) -> Vector:
        """H⁻¹b: by a factor where that costs next to nothing, else to `tol` by conjugate gradients."""
        if not self.written:
            return _conjugate(self._product(there, x), near or self._first, b, tol, guess)
        xp, params = namespace(x), self.head.params
        c, width = self.head.c, self.head.features.columns
        own = xp.reshape(
            xp.sum(
                self._bend(there, x)[:, :, None, :, None] * x[:, None, :, None, None] * x[:, None, None, None, :],
                axis=0,
            ),
            (c * width, c * width),
        )
        h = HeadCurvature(there).dense() + params.select(own)
        return factor(h)(b[:, None])[:, 0]

    @cached_property
    def _first(self) -> Operator:
        """H⁻¹ at the first optimum; written out where it can be: one product instead of two triangular solves."""
        if self.prepared.inverse is None or self.head.params.size > INVERTED:
            return self.prepared.apply
        inverse = self.prepared.inverse()
        return lambda b: b @ inverse

    @cached_property
    def _left(self) -> tuple[Array, Array, Array]:
        """What the moving rows bent at the first optimum: directions [k c, p], H⁻¹ of them, curvatures."""
        start = self.start()
        directions = self._directions(start.x)
        return directions, self._first(directions), -self._bend(start.there, start.x)

    def _directions(self, x: Float[Array, "k D"]) -> Float[Array, "kc p"]:
        """X_iᵀ of the moving rows."""
        xp, c = namespace(x), self.head.c
        eye = xp.eye(c, dtype=x.dtype)
        full = eye[None, :, :, None] * x[:, None, None, :]
        return self.head.params.collect(xp.reshape(full, (x.shape[0] * c, c, x.shape[1])))

    def _near(self, there: LinearHead, x: Float[Array, "k D"]) -> Operator:
        """About H⁻¹ with the moving rows at x: (H₀ + U D Uᵀ)⁻¹ = P − PU (I + D UᵀPU)⁻¹ D UᵀP."""
        xp, (u, pu, d) = namespace(x), self._left
        new = self._directions(x)
        u, pu = xp.concat([u, new], axis=0), xp.concat([pu, self._first(new)], axis=0)
        blocks, c = xp.concat([d, self._bend(there, x)], axis=0), self.head.c
        m = blocks.shape[0]
        middle = xp.eye(m * c, dtype=x.dtype) + xp.reshape(
            blocks @ xp.reshape(u @ xp.matrix_transpose(pu), (m, c, m * c)), (m * c, m * c)
        )
        weights = xp.eye(m * c, dtype=x.dtype)
        small = xp.linalg.solve(middle, xp.reshape(blocks @ xp.reshape(weights, (m, c, m * c)), (m * c, m * c)))

        def apply(b: Array) -> Array:
            first = self._first(b)
            return first - ((first @ xp.matrix_transpose(u)) @ xp.matrix_transpose(small)) @ pu

        return apply

    def _bend(self, there: LinearHead, x: Float[Array, "k D"]) -> Float[Array, "k c c"]:
        """Curvature that the moving rows add, by their outputs."""
        y, w = self.own
        return self.head.loss.curvature(self._own_outputs(there, x), y) * (self.head.scale * w)[:, None, None]

    def _product(self, there: LinearHead, x: Float[Array, "k D"]) -> Callable[[Vector], Vector]:
        """v -> H v."""
        xp, params = namespace(x), self.head.params
        curvature, bend = HeadCurvature(there), self._bend(there, x)

        def product(v: Vector) -> Vector:
            along = x @ xp.matrix_transpose(params.expand(v[None])[0, :, :])
            e = (bend @ along[:, :, None])[:, :, 0]
            return curvature.matmul(v[None])[0, :] + params.collect((xp.matrix_transpose(e) @ x)[None])[0, :]

        return product

    def _decrement(self, gradient: Vector) -> float:
        """‖∇F‖ in the norm of H⁻¹ at the first optimum."""
        return float(max(0.0, _dot(gradient, self._first(gradient[None])[0, :])) ** 0.5)


def _known(still: LinearHead, vector: Vector, outputs: Float[Array, "n c"]) -> LinearHead:
    """The head at θ, whose outputs are known."""
    there = still.at(vector)
    there.__dict__["outputs"] = outputs  # a cached property's place
    return there


def _conjugate(
    product: Callable[[Vector], Vector],
    precondition: Operator,
    b: Vector,
    tol: float,
    guess: Vector | None = None,
) -> Vector:
    """H⁻¹b by preconditioned conjugate gradients, to `tol` of b's own length in the norm of the preconditioner."""
    x = namespace(b).zeros_like(b) if guess is None else guess
    r = b if guess is None else b - product(guess)
    z = precondition(r[None])[0, :]
    d, rz = z, _dot(r, z)
    size = rz if guess is None else _dot(b, precondition(b[None])[0, :])
    for _ in range(CG_STEPS):
        if rz <= tol**2 * size:
            break
        hd = product(d)
        bend = _dot(d, hd)
        if bend <= 0.0:  # a direction that nothing bends: keep what there is
            break
        x, r = x + rz / bend * d, r - rz / bend * hd
        z, before = precondition(r[None])[0, :], rz
        rz = _dot(r, z)
        d = z + rz / before * d
    return x


def _dot(a: Vector, b: Vector) -> float:
    return float(namespace(a).sum(a * b))
