"""A sum over outputs of one scalar loss each: binary, regression, one-against-rest, several targets at once.

Targets: [b] where c = 1, else [b, c]. Stands on the scalar losses; source: METHODS.md 1 (mapping table).
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from upweight.arrays import namespace
from upweight.shapes import Array, Float

__all__ = ["Logistic", "Scalar", "Separate", "Squared"]


@runtime_checkable
class Scalar(Protocol):
    """A loss of one output, elementwise on arrays of any shape."""

    @property
    def name(self) -> str:
        """As OutputLoss, and so the next three."""
        ...

    @property
    def unit(self) -> str:
        """Of the loss."""
        ...

    @property
    def smooth(self) -> bool:
        """Whether `second` is continuous."""
        ...

    @property
    def concordance(self) -> float | None:
        """M in |third| <= M · second; None: no such M."""
        ...

    def value(self, z: Array, y: Array) -> Array:
        """Loss."""
        ...

    def first(self, z: Array, y: Array) -> Array:
        """d loss / dz."""
        ...

    def second(self, z: Array, y: Array) -> Array:
        """d² loss / dz², >= 0."""
        ...

    def mean(self, z: Array) -> Array:
        """What the user reads for this output: a probability, a mean, or z itself."""
        ...

    def mean_slope(self, z: Array) -> Array:
        """d mean / dz."""
        ...


@dataclass(frozen=True)
class Squared:
    """½ (z − y)²."""

    name: str = "squared"
    unit: str = "half squared error"
    smooth: bool = True
    concordance: float | None = 0.0

    def value(self, z: Array, y: Array) -> Array:
        """½ (z − y)²."""
        return 0.5 * (z - y) ** 2

    def first(self, z: Array, y: Array) -> Array:
        """z − y."""
        return z - y

    def second(self, z: Array, y: Array) -> Array:
        """1."""
        return namespace(z).ones_like(z)

    def mean(self, z: Array) -> Array:
        """z."""
        return z

    def mean_slope(self, z: Array) -> Array:
        """1."""
        return namespace(z).ones_like(z)


@dataclass(frozen=True)
class Logistic:
    """log(1 + e^{−z}) for y = 1, log(1 + e^{z}) for y = 0, in nats."""

    name: str = "logistic"
    unit: str = "nats"
    smooth: bool = True
    concordance: float | None = 1.0

    def value(self, z: Array, y: Array) -> Array:
        """softplus of −z (y = 1) or z (y = 0)."""
        xp = namespace(z)
        t = (1.0 - 2.0 * y) * z
        return xp.maximum(t, xp.zeros_like(t)) + xp.log1p(xp.exp(-xp.abs(t)))

    def first(self, z: Array, y: Array) -> Array:
        """p − y without cancellation: ±σ(∓z)."""
        side = 1.0 - 2.0 * y
        return side * self.mean(side * z)

    def second(self, z: Array, y: Array) -> Array:
        """p (1 − p), from e^{−|z|}."""
        xp = namespace(z)
        e = xp.exp(-xp.abs(z))
        return e / (1.0 + e) ** 2

    def mean(self, z: Array) -> Array:
        """σ(z)."""
        xp = namespace(z)
        e = xp.exp(-xp.abs(z))
        return xp.where(z >= 0, 1.0 / (1.0 + e), e / (1.0 + e))

    def mean_slope(self, z: Array) -> Array:
        """σ′(z)."""
        return self.second(z, z)


@dataclass(frozen=True)
class Separate:
    """Σ_k ℓ(z_k, y_k): its curvature is diagonal over outputs."""

    scalar: Scalar
    outputs: int = 1
    separate: bool = True

    @property
    def name(self) -> str:
        """The scalar loss's name."""
        return self.scalar.name

    @property
    def unit(self) -> str:
        """The scalar loss's unit."""
        return self.scalar.unit

    @property
    def smooth(self) -> bool:
        """As the scalar loss."""
        return self.scalar.smooth

    @property
    def concordance(self) -> float | None:
        """As the scalar loss: the range over outputs bounds each output's own change."""
        return self.scalar.concordance

    def value(self, z: Float[Array, "b c"], y: Array) -> Float[Array, " b"]:
        """Summed over outputs."""
        return namespace(z).sum(self.scalar.value(z, self._columns(y)), axis=1)

    def gradient(self, z: Float[Array, "b c"], y: Array) -> Float[Array, "b c"]:
        """Per output."""
        return self.scalar.first(z, self._columns(y))

    def curvature(self, z: Float[Array, "b c"], y: Array) -> Float[Array, "b c c"]:
        """Diagonal."""
        return self.scalar.second(z, self._columns(y))[:, :, None] * namespace(z).eye(self.outputs, dtype=z.dtype)

    def predict(self, z: Float[Array, "b c"]) -> Float[Array, "b c"]:
        """Per output."""
        return self.scalar.mean(z)

    def predict_jacobian(self, z: Float[Array, "b c"]) -> Float[Array, "b c c"]:
        """Diagonal."""
        return self.scalar.mean_slope(z)[:, :, None] * namespace(z).eye(self.outputs, dtype=z.dtype)

    @property
    def null_outputs(self) -> Float[Array, "m c"]:
        """None: each output is seen by its own target."""
        return np.zeros((0, self.outputs))

    def _columns(self, y: Array) -> Array:
        return y if y.ndim == 2 else y[:, None]
