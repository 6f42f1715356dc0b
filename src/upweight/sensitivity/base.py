"""What a sensitivity is: the linear map from a change of the training rows to the change of θ, and its transpose.

⟨adjoint(V), e⟩ = ⟨V, forward(e)⟩: to rounding where the solver is direct, to its residual where it iterates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from upweight.gradients import GradientSource
from upweight.shapes import Array, Float, Vectors
from upweight.solvers import Solution

__all__ = ["Response", "Sensitivity"]


@dataclass(frozen=True)
class Response:
    """∂m/∂(row factor) for q measurements, streamed: blocks of rows, and what the solver says of itself."""

    solution: Solution
    blocks: Iterator[tuple[slice, Float[Array, "q b *m"]]]


@runtime_checkable
class Sensitivity(Protocol):
    """∂θ/∂(row factors), paired from either side."""

    def adjoint(self, v: Vectors, source: GradientSource) -> Response:
        """∇m [q, p] against every row."""
        ...

    def forward(self, e: Float[Array, "j n *m"], source: GradientSource) -> Float[Array, "j p"]:
        """How θ moves when the row factors move by e."""
        ...
