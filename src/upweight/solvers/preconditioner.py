"""Approximate inverses that iterative solvers start from: each a frozen value, made ready for one curvature.

Stands on curvature; conjugate gradients stand on it. The low-rank one has a file of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from upweight.arrays import namespace
from upweight.curvature import Curvature, WithDiagonal
from upweight.errors import UnsupportedQuestion
from upweight.shapes import Array, Float, Vectors

__all__ = ["Approximation", "Diagonal", "Identity", "Preconditioner"]


@dataclass(frozen=True)
class Approximation:
    """M⁻¹ ≈ H⁻¹, symmetric and positive definite."""

    apply: Callable[[Vectors], Vectors]
    how: str  # said after "preconditioned by"; "" where there is nothing to say
    row_leverages: Callable[[Array], Float[Array, "b c c"]] | None = None  # s X_i M⁻¹ X_iᵀ of a slice or index
    drawn: Float[Array, " n"] | None = None  # of a part of the rows: how often M has each row's own curvature
    near: bool = False  # M⁻¹ H is near 1, so that x + M⁻¹ (b − H x) is better than x without another product


@runtime_checkable
class Preconditioner(Protocol):
    """Holds its settings; changes how many steps are needed, never the answer."""

    def prepare(self, curvature: Curvature) -> Approximation:
        """Made ready for this curvature.

        Raises: UnsupportedQuestion if the curvature lacks what it needs.
        """
        ...


@dataclass(frozen=True)
class Identity:
    """None at all."""

    def prepare(self, curvature: Curvature) -> Approximation:
        """The vectors themselves."""
        return Approximation(lambda vectors: vectors, "")


@dataclass(frozen=True)
class Diagonal:
    """1 / H_jj: cures columns of different scale, nothing else."""

    def prepare(self, curvature: Curvature) -> Approximation:
        """One pass over the rows.

        Raises: UnsupportedQuestion if the curvature does not know its diagonal.
        """
        if not isinstance(curvature, WithDiagonal):
            raise UnsupportedQuestion(
                f"preconditioner Diagonal() needs a curvature that knows its diagonal, and "
                f"{type(curvature).__name__} does not. Use Identity()."
            )
        h = curvature.curvature_diagonal()
        xp = namespace(h)
        floor = float(xp.max(h)) * float(xp.finfo(h.dtype).eps) if h.shape[0] else 1.0
        inverse = 1.0 / xp.where(
            h > floor, h, xp.full_like(h, max(floor, float(xp.finfo(h.dtype).smallest_normal) ** 0.5))
        )
        return Approximation(lambda vectors: vectors * inverse[None, :], "the curvature's diagonal")
