"""HuberRegressor's joint loss of a prediction and a scale: σ + σ H_ε((y − z)/σ), H(t) = t² or 2ε|t| − ε².

Outputs are (z, σ); σ's only free parameter is its constant column (Params.free). Jointly convex where σ > 0.
Stands on the array namespace; source: METHODS.md 1, Owen (2007).
"""

from dataclasses import dataclass

import numpy as np

from upweight.arrays import namespace
from upweight.shapes import Array, Float

__all__ = ["HuberWithScale"]


@dataclass(frozen=True)
class HuberWithScale:
    """σ + σ H_ε((y − z)/σ) per row; targets [b]."""

    epsilon: float
    outputs: int = 2
    name: str = "huber_with_scale"
    unit: str = "Huber loss with its scale"
    separate: bool = False
    smooth: bool = False
    concordance: float | None = None

    def value(self, z: Float[Array, "b c"], y: Array) -> Float[Array, " b"]:
        """The loss; infinite where σ <= 0."""
        xp = namespace(z)
        r, sigma, inside = self._parts(z, y)
        quadratic = r**2 / sigma
        linear = 2.0 * self.epsilon * xp.abs(r) - self.epsilon**2 * sigma
        return xp.where(z[:, 1] > 0, sigma + xp.where(inside, quadratic, linear), xp.inf)

    def gradient(self, z: Float[Array, "b c"], y: Array) -> Float[Array, "b c"]:
        """∂ / ∂(z, σ)."""
        xp = namespace(z)
        t = self._cut(z, y)
        return xp.stack([-2.0 * t, 1.0 - t**2], axis=1)

    def curvature(self, z: Float[Array, "b c"], y: Array) -> Float[Array, "b c c"]:
        """(2/σ) (1, t)(1, t)ᵀ inside, 0 outside."""
        xp = namespace(z)
        r, sigma, inside = self._parts(z, y)
        v = xp.stack([xp.ones_like(r), xp.where(inside, r / sigma, 0.0)], axis=1)
        scale = xp.where(inside, 2.0 / sigma, 0.0)
        return scale[:, None, None] * v[:, :, None] * v[:, None, :]

    def predict(self, z: Float[Array, "b c"]) -> Float[Array, "b m"]:
        """The prediction alone, [b, 1]."""
        return z[:, :1]

    def predict_jacobian(self, z: Float[Array, "b c"]) -> Float[Array, "b m c"]:
        """(1, 0)."""
        xp = namespace(z)
        return xp.stack([xp.ones_like(z[:, :1]), xp.zeros_like(z[:, :1])], axis=2)

    @property
    def null_outputs(self) -> Float[Array, "m c"]:
        """None."""
        return np.zeros((0, 2))

    def _parts(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        xp = namespace(z)
        sigma = xp.where(z[:, 1] > 0, z[:, 1], 1.0)
        r = y - z[:, 0]
        return r, sigma, xp.abs(r) <= self.epsilon * sigma

    def _cut(self, z: Array, y: Array) -> Array:
        xp = namespace(z)
        r, sigma, _ = self._parts(z, y)
        return xp.clip(r / sigma, min=-self.epsilon, max=self.epsilon)
