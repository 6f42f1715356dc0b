"""c separate classifiers read as one: each class's own probability, divided by their sum.

The loss is the sum over the c fits; targets are [n, c] of 0/1. Stands on separate; source: Zadrozny & Elkan (2002).
"""

from dataclasses import dataclass

from upweight.arrays import namespace
from upweight.output_loss.separate import Separate
from upweight.shapes import Array, Float

__all__ = ["OneVsRest"]


@dataclass(frozen=True)
class OneVsRest(Separate):
    """Separate, whose prediction is a distribution over the c classes."""

    def predict(self, z: Float[Array, "b c"]) -> Float[Array, "b c"]:
        """Probabilities that sum to 1; the same for all classes where each says 0."""
        xp = namespace(z)
        p = self.scalar.mean(z)
        total = xp.sum(p, axis=1)[:, None]
        return xp.where(total > 0, p / xp.where(total > 0, total, 1.0), 1.0 / self.outputs)

    def predict_jacobian(self, z: Float[Array, "b c"]) -> Float[Array, "b c c"]:
        """(δ_kl − P_k) p′_l / Σp."""
        xp = namespace(z)
        total = xp.sum(self.scalar.mean(z), axis=1)[:, None]
        slope = xp.where(total > 0, self.scalar.mean_slope(z) / xp.where(total > 0, total, 1.0), 0.0)
        eye = xp.eye(self.outputs, dtype=z.dtype)
        return (eye[None] - self.predict(z)[:, :, None]) * slope[:, None, :]
