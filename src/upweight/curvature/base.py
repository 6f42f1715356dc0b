"""What a curvature is: a symmetric [p, p] map of the whole objective at its θ, penalty included, and its damping.

Stands on shapes; solvers stand on it. What a solver needs beyond products it asks for by isinstance.
"""

from typing import Protocol, runtime_checkable

from upweight.shapes import Array, Float, Vectors

__all__ = ["Curvature", "Dense", "RootPlusDiagonal"]


@runtime_checkable
class Curvature(Protocol):
    """H (+ δI); products alone."""

    size: int

    def matmul(self, vectors: Vectors) -> Vectors:
        """H v, row by row."""
        ...

    def damped(self, damping: float) -> "Curvature":
        """H + δI."""
        ...


@runtime_checkable
class Dense(Protocol):
    """A curvature that can be written out."""

    def dense(self) -> Float[Array, "p p"]:
        """The matrix."""
        ...


@runtime_checkable
class RootPlusDiagonal(Protocol):
    """H = diag(diagonal) + R Rᵀ with R [p, m], m = n · c: the n-side of a linear head."""

    diagonal: Float[Array, " p"]  # 0 where a parameter is not penalised

    def root(self, v: Float[Array, "k m"]) -> Vectors:
        """R v."""
        ...

    def root_transpose(self, v: Vectors) -> Float[Array, "k m"]:
        """Rᵀ v."""
        ...

    def gram(self) -> Float[Array, "m m"]:
        """Rᵀ D⁺ R over the penalised parameters alone (D⁺: 1/diagonal, 0 where it is 0)."""
        ...
