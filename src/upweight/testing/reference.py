"""Dense float64 answers for small linear heads, written a second way: loops, Kronecker products and plain Newton.

numpy only, and nothing of the code under test but the head's numbers (and the losses that have no formula below).
Everybody's tests stand on it. Source: METHODS.md 1, 2.1, 13.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from upweight.arrays import namespace, to_numpy
from upweight.linear_head import LinearHead

__all__ = ["Plain", "first_order", "inverse", "leverage_corrected", "leverages", "measured_change", "refit"]

Matrix: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Plain:
    """A head as plain numbers. Rows carry the constant as their last number."""

    x: Matrix  # [n, D]
    y: Any  # [n] or [n, c]
    weights: Matrix  # [n]
    theta: Matrix  # [c, D]
    free: NDArray[np.bool_]  # [c, D]
    penalty: Matrix  # [c, D]
    pull: Matrix  # [c, D], the fixed gradient of an L1 part
    normalization: str
    loss: Any
    total: float  # the divisor: n, or the sum of the weights before anything is removed

    @staticmethod
    def of(head: LinearHead) -> "Plain":
        """The same numbers on the host."""
        x = _host(head.features.take(namespace(head.weights).arange(head.n)))
        weights = _host(head.weights)
        penalty = _host(head.penalty)
        pull = np.zeros_like(penalty) if head.linear_penalty is None else _host(head.linear_penalty)
        return Plain(
            x,
            to_numpy(head.targets),
            weights,
            _host(head.params.matrix),
            np.asarray(to_numpy(head.params.free), dtype=bool),
            penalty,
            pull,
            head.normalization,
            head.loss,
            float(weights.sum()) if head.normalization == "mean" else float(len(x)),
        )

    @property
    def where(self) -> NDArray[np.int64]:
        """Places of the free entries in the flattened matrix."""
        return np.flatnonzero(self.free.reshape(-1))

    def removed(self, rows: list[int]) -> "tuple[Plain, float]":
        """Without these rows (weight 0), and what the penalty is multiplied by then."""
        weights = self.weights.copy()
        weights[rows] = 0.0
        return replace(self, weights=weights), 1.0 - sum(self.share(i) for i in rows) / self.total

    def share(self, row: int) -> float:
        """What a refit's divisor loses with this row."""
        return {"sum": 0.0, "mean": float(self.weights[row]), "rows": 1.0}[self.normalization]

    def row(self, i: int) -> tuple[float, Matrix, Matrix]:
        """Loss, ∂ℓ/∂z [c] and ∂²ℓ/∂z² [c, c] of one row, unweighted."""
        return _row_loss(self.loss, self.theta @ self.x[i], self.y[i])

    def row_gradient(self, i: int) -> Matrix:
        """g_i [p]."""
        return np.kron(self.row(i)[1], self.x[i])[self.where]

    def row_jacobian(self, i: int) -> Matrix:
        """X_i [c, p]."""
        return np.kron(np.eye(len(self.theta)), self.x[i][None])[:, self.where]

    def penalty_gradient(self) -> Matrix:
        """Λθ, and the fixed pull of an L1 part, [p]."""
        return (self.penalty * self.theta + self.pull).reshape(-1)[self.where]

    def value(self, factor: float = 1.0) -> float:
        """F."""
        data = sum(w * self.row(i)[0] for i, w in enumerate(self.weights) if w) / self.total
        penalty = np.sum(0.5 * self.penalty * self.theta**2 + self.pull * self.theta)
        return float(data + factor * penalty)

    def gradient(self, factor: float = 1.0) -> Matrix:
        """∇F [p]."""
        total: Matrix = factor * self.penalty_gradient()
        for i, w in enumerate(self.weights):
            total = total + w * self.row_gradient(i) / self.total
        return total

    def hessian(self, factor: float = 1.0) -> Matrix:
        """H [p, p] without damping and without a pinned gauge."""
        total: Matrix = factor * np.diag(self.penalty.reshape(-1)[self.where])
        for i, w in enumerate(self.weights):
            jacobian = self.row_jacobian(i)
            total = total + w * jacobian.T @ self.row(i)[2] @ jacobian / self.total
        return total

    def moved(self, step: Matrix) -> "Plain":
        """At θ + step."""
        theta = self.theta.reshape(-1).copy()
        theta[self.where] += step
        return replace(self, theta=theta.reshape(self.theta.shape))

    def gauge(self) -> Matrix:
        """Orthonormal directions [m, p] that neither loss nor penalty sees, known in advance (softmax)."""
        if self.loss.name != "softmax":
            return np.zeros((0, len(self.where)))
        c, width = self.theta.shape
        found = []
        for j in range(width):
            if self.free[:, j].all() and (self.penalty[:, j] == 0).all():
                direction = np.zeros((c, width))
                direction[:, j] = c**-0.5
                found.append(direction.reshape(-1)[self.where])
        return np.array(found).reshape(-1, len(self.where))


def inverse(h: Matrix, gauge: Matrix, singular: bool = False) -> Matrix:
    """H⁻¹ on the complement of the gauge, 0 on it; the pseudo-inverse where columns are collinear as well."""
    if singular:
        inverted: Matrix = np.linalg.pinv(h, rcond=1e-10, hermitian=True)
        return inverted
    scale = np.trace(h) / len(h)
    inverted = np.linalg.inv(h + scale * gauge.T @ gauge) - gauge.T @ gauge / scale
    return inverted


def first_order(head: LinearHead, measurement: Matrix) -> Matrix:
    """(1/n) ∇mᵀ H⁻¹ (w_i g_i + share_i Λθ) [q, n] for measurement gradients [q, p]."""
    plain = Plain.of(head)
    solved = measurement @ inverse(plain.hessian(), plain.gauge())
    return np.stack([solved @ _pulls(plain, i) for i in range(len(plain.x))], axis=1)


def leverage_corrected(head: LinearHead, measurement: Matrix) -> Matrix:
    """∇mᵀ of one Newton step on the objective that really lacks the row, [q, n]: H rebuilt for each."""
    plain = Plain.of(head)
    columns = []
    for i in range(len(plain.x)):
        rest, factor = plain.removed([i])
        columns.append(measurement @ inverse(rest.hessian(factor), plain.gauge()) @ _pulls(plain, i))
    return np.stack(columns, axis=1)


def leverages(head: LinearHead) -> Matrix:
    """B_i = s X_i H⁻¹ X_iᵀ [n, c, c]; gauge directions add nothing."""
    plain = Plain.of(head)
    inverted = inverse(plain.hessian(), plain.gauge())
    rows = [plain.row_jacobian(i) for i in range(len(plain.x))]
    return np.stack([x @ inverted @ x.T / plain.total for x in rows])


def refit(head: LinearHead, rows: list[int], steps: int = 200, goal: float = 1e-13) -> Matrix:
    """θ [c, D] fitted without these rows by Newton's method with halved steps, to a gradient of `goal`.

    The objective divides by what the estimator's own refit divides by, up to a factor that moves nothing.
    """
    plain, factor = Plain.of(head).removed(rows)
    best, at, waited = np.inf, plain, 0
    for _ in range(steps):
        gradient = plain.gradient(factor)
        norm = float(np.abs(gradient).max())
        waited = 0 if norm < 0.5 * best else waited + 1
        if norm < best:
            best, at = norm, plain
        if best <= goal or waited == 3:  # rounding is reached
            break
        step = -np.linalg.pinv(plain.hessian(factor), rcond=1e-14, hermitian=True) @ gradient
        size, here = 1.0, plain.value(factor)
        while size > 1e-9 and not plain.moved(size * step).value(factor) <= here + 1e-15 * abs(here):
            size *= 0.5
        plain = plain.moved(size * step)
    return at.theta


def measured_change(head: LinearHead, rows: list[int], measurement: Matrix) -> Matrix:
    """∇mᵀ (θ without these rows − θ) [q], a linear measurement's real change."""
    change = (refit(head, rows) - refit(head, [])).reshape(-1)
    moved: Matrix = measurement @ change[Plain.of(head).where]
    return moved


def _pulls(plain: Plain, i: int) -> Matrix:
    pull: Matrix = plain.weights[i] * plain.row_gradient(i) + plain.share(i) * plain.penalty_gradient()
    return pull / plain.total


def _row_loss(loss: Any, z: Matrix, y: Any) -> tuple[float, Matrix, Matrix]:
    """Textbook formulas; for losses without one here, what the loss itself says (tested on its own)."""
    if loss.name == "softmax":
        p = np.exp(z - np.log(np.sum(np.exp(z - z.max()))) - z.max())
        return float(-np.log(p[y])), p - np.eye(len(z))[y], np.diag(p) - np.outer(p, p)
    if loss.name == "logistic":
        p = 1.0 / (1.0 + np.exp(-z))
        value = np.logaddexp(0.0, z) - np.atleast_1d(y) * z
        return float(np.sum(value)), p - np.atleast_1d(y), np.diag(p * (1 - p))
    if loss.name == "squared":
        r = z - np.atleast_1d(y)
        return float(np.sum(r**2) / 2), r, np.eye(len(z))
    z, y = z[None], np.asarray(y)[None]
    return float(loss.value(z, y)[0]), _host(loss.gradient(z, y))[0], _host(loss.curvature(z, y))[0]


def _host(a: Any) -> Matrix:
    return np.asarray(to_numpy(a), dtype=np.float64)
