"""Cross-entropy over c classes by softmax. Targets: class index [b]. Source: METHODS.md 2.1, 11.2, 11.3."""

from dataclasses import dataclass

import numpy as np

from upweight.arrays import namespace
from upweight.shapes import Array, Float

__all__ = ["Softmax"]


@dataclass(frozen=True)
class Softmax:
    """log Σ_k exp(z_k) − z_y, in nats."""

    outputs: int
    name: str = "softmax"
    unit: str = "nats"
    separate: bool = False
    smooth: bool = True
    concordance: float | None = 1.0

    def value(self, z: Float[Array, "b c"], y: Array) -> Float[Array, " b"]:
        """−log p_y, exact where p_y is close to 1: log1p of what the other classes hold."""
        xp = namespace(z)
        own = xp.take_along_axis(z, y[:, None], axis=1)
        gap = z - own  # own entry: exactly 0
        top = xp.maximum(xp.max(gap, axis=1), xp.zeros_like(gap[:, 0]))
        others = xp.sum(xp.where(self._own(z, y), 0.0, xp.exp(gap - top[:, None])), axis=1)
        return xp.where(top > 0, top + xp.log(xp.exp(-top) + others), xp.log1p(others))

    def gradient(self, z: Float[Array, "b c"], y: Array) -> Float[Array, "b c"]:
        """p − e_y; the own class as −Σ of the others, so that 1 − p_y keeps its digits."""
        xp = namespace(z)
        others = xp.where(self._own(z, y), 0.0, self.predict(z))
        return xp.where(self._own(z, y), -xp.sum(others, axis=1)[:, None], others)

    def curvature(self, z: Float[Array, "b c"], y: Array) -> Float[Array, "b c c"]:
        """diag(p) − p pᵀ."""
        xp = namespace(z)
        p = self.predict(z)
        eye = xp.eye(self.outputs, dtype=z.dtype)
        off = -p[:, :, None] * p[:, None, :] * (1.0 - eye)
        return off - eye * xp.sum(off, axis=2)[:, :, None]  # rows sum to 0 by construction

    def predict(self, z: Float[Array, "b c"]) -> Float[Array, "b c"]:
        """Class probabilities."""
        xp = namespace(z)
        e = xp.exp(z - xp.max(z, axis=1)[:, None])
        return e / xp.sum(e, axis=1)[:, None]

    def predict_jacobian(self, z: Float[Array, "b c"]) -> Float[Array, "b c c"]:
        """diag(p) − p pᵀ: the curvature, since both are derivatives of p."""
        return self.curvature(z, None)

    @property
    def null_outputs(self) -> Float[Array, "m c"]:
        """The same shift of all classes."""
        return np.full((1, self.outputs), self.outputs**-0.5)

    def _own(self, z: Float[Array, "b c"], y: Array) -> Array:
        xp = namespace(z)
        return xp.arange(self.outputs)[None, :] == y[:, None]
