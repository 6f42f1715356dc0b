"""A loss times a constant: a mean over outputs, a whole squared error instead of half of it.

Stands on base; the torch adapter stands on it.
"""

from dataclasses import dataclass

from upweight.output_loss.base import OutputLoss
from upweight.shapes import Array, Float

__all__ = ["Scaled"]


@dataclass(frozen=True)
class Scaled:
    """factor × loss, factor > 0; predictions are the loss's own."""

    loss: OutputLoss
    factor: float
    unit: str

    @property
    def name(self) -> str:
        """Another than the loss's: where that is −log p, this is not."""
        return f"scaled_{self.loss.name}"

    @property
    def outputs(self) -> int:
        """c."""
        return self.loss.outputs

    @property
    def separate(self) -> bool:
        """As the loss."""
        return self.loss.separate

    @property
    def smooth(self) -> bool:
        """As the loss."""
        return self.loss.smooth

    @property
    def concordance(self) -> float | None:
        """As the loss: both derivatives carry the factor."""
        return self.loss.concordance

    def value(self, z: Float[Array, "b c"], y: Array) -> Float[Array, " b"]:
        """Scaled loss."""
        return self.factor * self.loss.value(z, y)

    def gradient(self, z: Float[Array, "b c"], y: Array) -> Float[Array, "b c"]:
        """Scaled gradient."""
        return self.factor * self.loss.gradient(z, y)

    def curvature(self, z: Float[Array, "b c"], y: Array) -> Float[Array, "b c c"]:
        """Scaled curvature."""
        return self.factor * self.loss.curvature(z, y)

    def predict(self, z: Float[Array, "b c"]) -> Float[Array, "b m"]:
        """As the loss."""
        return self.loss.predict(z)

    def predict_jacobian(self, z: Float[Array, "b c"]) -> Float[Array, "b m c"]:
        """As the loss."""
        return self.loss.predict_jacobian(z)

    @property
    def null_outputs(self) -> Float[Array, "m c"]:
        """As the loss."""
        return self.loss.null_outputs
