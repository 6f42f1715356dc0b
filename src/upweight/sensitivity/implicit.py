"""∂θ/∂w = −s H⁻¹ G at an optimum: a prepared curvature and a gradient source, from either side.

Source: implicit function theorem; Koh & Liang (2017), equation 1; METHODS.md 1 for sign and scale.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from upweight.gradients import GradientSource
from upweight.sensitivity.base import Response
from upweight.shapes import Array, Float, Vectors
from upweight.solvers import Prepared

__all__ = ["Implicit"]


@dataclass(frozen=True)
class Implicit:
    """Holds H made ready; who is perturbed is the source's business."""

    prepared: Prepared

    def adjoint(self, v: Vectors, source: GradientSource) -> Response:
        """−s (H⁻¹∇m)·g_i: one solve per measurement, one pass over the rows for all."""
        solution = self.prepared(v)

        def stream() -> Iterator[tuple[slice, Float[Array, "q b *m"]]]:
            for rows, products in source.dot(solution.x):
                yield rows, -source.scale * products

        return Response(solution, stream())

    def forward(self, e: Float[Array, "j n *m"], source: GradientSource) -> Float[Array, "j p"]:
        """−s H⁻¹ Σ e_i g_i."""
        return -source.scale * self.prepared(source.combine(e)).x
