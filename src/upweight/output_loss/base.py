"""What a loss is to a linear head: functions of a row's outputs z [c] and its target, nothing else.

Stands on shapes. Heads, curvature, leverage, refits and certificates are written once against it.
"""

from typing import Protocol, runtime_checkable

from upweight.shapes import Array, Float

__all__ = ["OutputLoss"]


@runtime_checkable
class OutputLoss(Protocol):
    """A row's loss as a function of its outputs; convex in z, unweighted, without penalty.

    Targets are encoded: a class index [b] (int), 0/1 or a real number [b], or one of these per output [b, c].
    """

    @property
    def name(self) -> str:
        """Of the loss."""
        ...

    @property
    def unit(self) -> str:
        """Of the loss: "nats", "half squared error", "half deviance" …"""
        ...

    @property
    def outputs(self) -> int:
        """c."""
        ...

    @property
    def separate(self) -> bool:
        """Curvature is diagonal over outputs: the fit is c fits."""
        ...

    @property
    def smooth(self) -> bool:
        """Twice differentiable everywhere; else curvature jumps and Newton needs its line search."""
        ...

    @property
    def concordance(self) -> float | None:
        """M in |third derivative along Δ| <= M · range(Δz) · second; 0: quadratic; None: no such M."""
        ...

    def value(self, z: Float[Array, "b c"], y: Array) -> Float[Array, " b"]:
        """Each row's loss."""
        ...

    def gradient(self, z: Float[Array, "b c"], y: Array) -> Float[Array, "b c"]:
        """∂ loss / ∂z."""
        ...

    def curvature(self, z: Float[Array, "b c"], y: Array) -> Float[Array, "b c c"]:
        """∂² loss / ∂z², positive semidefinite."""
        ...

    def predict(self, z: Float[Array, "b c"]) -> Float[Array, "b m"]:
        """What the user reads: class probabilities, or means; decision values where there is neither."""
        ...

    def predict_jacobian(self, z: Float[Array, "b c"]) -> Float[Array, "b m c"]:
        """∂ predict / ∂z."""
        ...

    @property
    def null_outputs(self) -> Float[Array, "m c"]:
        """Orthonormal directions of z that no target sees (softmax: the same shift of all); [0, c] if none."""
        ...
