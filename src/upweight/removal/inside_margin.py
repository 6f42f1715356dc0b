"""The hinges on their margin and the inverse of their bordered Gram matrix, kept while they come and go.

A hinge that enters borders the inverse, one that leaves shrinks it: O(|INSIDE|²) each, refreshed now and then.
Stands on hinges; the exact path stands on it. Source: Cauwenberghs & Poggio (2000), section 2.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from upweight.removal.hinges import Hinges

__all__ = ["Inside"]

DEPENDENT = 1e-9  # of its own length: what a hinge may add to those inside and still count as one of them
REFRESHED = 50  # updates of the inverse before it is made anew
REFINED = 10  # steps; each gains the digits that the inverse has
CLOSE = 1e-13  # of the sums' own terms: what is left where a solution is good to rounding


@dataclass
class Inside:
    """[0 sᵀ; s Q] of the members, without its border where no intercept is free, and its inverse."""

    hinges: Hinges
    members: list[int] = field(default_factory=list)
    x: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))  # [|M|, D] s x √Λ⁻¹
    matrix: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    inverse: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    updates: int = 0

    @property
    def border(self) -> int:
        """1 with a free intercept."""
        return int(self.hinges.free)

    def vector(self, k: int) -> NDArray[np.float64]:
        """s x √Λ⁻¹ of one hinge."""
        x = self.hinges.features.take(self.hinges.row[[k]])[0]
        return np.asarray(self.hinges.sign[k] * x * np.sqrt(self.hinges.inverse))

    def column(self, k: int, v: NDArray[np.float64]) -> NDArray[np.float64]:
        """[s_k; Q_Mk]."""
        inner = self.x @ v if len(self.members) else np.zeros(0)
        return np.concatenate([[self.hinges.sign[k]], inner]) if self.border else inner

    def depends(self, k: int) -> tuple[NDArray[np.float64], float] | None:
        """(R v, own length) where hinge k is a combination of those inside; None where it adds something."""
        if not self.members:
            return None if self.border or float(self.vector(k) @ self.vector(k)) > 0 else (np.zeros(0), 0.0)
        v = self.vector(k)
        column, own = self.column(k, v), float(v @ v)
        image = self.solve(column)
        left = own - float(column @ image)
        size = max(own, float(np.max(np.diagonal(self.matrix), initial=0.0)))
        return (image, own) if left <= DEPENDENT * size else None

    def enter(self, k: int) -> None:
        """One that does not depend on those inside."""
        v = self.vector(k)
        column, own = self.column(k, v), float(v @ v)
        old, size = self.matrix, len(self.matrix)
        if not self.members:
            self.x = v[None, :]
            self.matrix = np.array([[0.0, column[0]], [column[0], own]]) if self.border else np.array([[own]])
        else:
            self.x = np.concatenate([self.x, v[None, :]])
            self.matrix = np.empty((size + 1, size + 1))
            self.matrix[:size, :size], self.matrix[size, size] = old, own
            self.matrix[:size, size] = self.matrix[size, :size] = column
        self.members.append(k)
        if size == 0 or self.updates >= REFRESHED:
            self._refresh()
            return
        image = self.solve_with(self.inverse, old, column)
        left = own - float(column @ image)
        grown = np.empty_like(self.matrix)
        grown[:size, :size] = self.inverse + np.outer(image, image) / left
        grown[:size, size] = grown[size, :size] = -image / left
        grown[size, size] = 1.0 / left
        self.inverse = grown
        self.updates += 1

    def leave(self, j: int) -> None:
        """Member at position j of `members`; the last one takes its place."""
        at = j + self.border
        last = self.members.pop()
        if j < len(self.members):
            self.members[j] = last
        self.x = _without(self.x, j)
        self.matrix = _without_both(self.matrix, at)
        if not self.members:
            self.matrix = self.inverse = np.zeros((0, 0))
            return
        corner = self.inverse[at, at]
        if self.updates >= REFRESHED or abs(corner) < 1e-300:
            self._refresh()
            return
        side = _without(self.inverse[:, at], at)
        self.inverse = _without_both(self.inverse, at)
        self.inverse -= np.outer(side / corner, side)
        self.updates += 1

    def solve(self, b: NDArray[np.float64]) -> NDArray[np.float64]:
        """With one step of refinement; the inverse is made anew where that step is not small."""
        x = self.inverse @ b
        more = self.inverse @ (b - self.matrix @ x)
        if self.updates and float(np.linalg.norm(more)) > 1e-6 * float(np.linalg.norm(x)):
            self._refresh()
            x = self.inverse @ b
            more = self.inverse @ (b - self.matrix @ x)
        return np.asarray(x + more)

    def solve_closely(self, b: NDArray[np.float64]) -> NDArray[np.float64]:
        """To rounding: refined while that lowers what is left, by least squares where too much is."""
        x = best = self.inverse @ b
        left = np.inf
        for _ in range(REFINED):
            rest = b - self.matrix @ x
            size = float(np.max(np.abs(rest), initial=0.0))
            if not size < 0.5 * left:
                break
            best, left = x, size
            x = x + self.inverse @ rest
        scale = np.abs(self.matrix) @ np.abs(best) + np.abs(b)  # of what rounding leaves
        if left <= CLOSE * float(np.max(scale, initial=0.0)):
            return np.asarray(best)
        return np.asarray(np.linalg.lstsq(self.matrix, b, rcond=None)[0])

    def fresh(self) -> None:
        """The inverse made anew: walks that start here need not make it each."""
        if self.updates and len(self.matrix):
            self._refresh()

    @property
    def bytes(self) -> float:
        """Of the arrays that a walk has for itself."""
        return float(self.x.nbytes + self.matrix.nbytes + self.inverse.nbytes)

    @staticmethod
    def solve_with(
        inverse: NDArray[np.float64], matrix: NDArray[np.float64], b: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The same with the matrix before it grew."""
        x = inverse @ b
        return np.asarray(x + inverse @ (b - matrix @ x))

    def _refresh(self) -> None:
        try:
            self.inverse = np.asarray(np.linalg.inv(self.matrix), dtype=np.float64)
        except np.linalg.LinAlgError:
            self.inverse = np.asarray(np.linalg.pinv(self.matrix), dtype=np.float64)
        self.updates = 0


def _without(a: NDArray[np.float64], j: int) -> NDArray[np.float64]:
    """A copy without row j, the last one in its place: one pass over memory as it lies."""
    out = a[:-1].copy()
    if j < len(out):
        out[j] = a[-1]
    return out


def _without_both(a: NDArray[np.float64], j: int) -> NDArray[np.float64]:
    """The same of row and column j."""
    out = a[:-1, :-1].copy()
    if j < len(out):
        out[j], out[:, j], out[j, j] = a[-1, :-1], a[:-1, -1], a[-1, -1]
    return out
