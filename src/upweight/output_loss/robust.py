"""Huber's loss of one output with a fixed threshold: quadratic near the target, linear beyond.

Stands on the array namespace; source: Huber (1964), scikit-learn's SGD.
"""

from dataclasses import dataclass

from upweight.arrays import namespace
from upweight.shapes import Array

__all__ = ["Huber"]


@dataclass(frozen=True)
class Huber:
    """½ r² for |r| <= ε, else ε (|r| − ε/2), r = z − y."""

    epsilon: float
    name: str = "huber"
    unit: str = "Huber loss"
    smooth: bool = False
    concordance: float | None = None

    def value(self, z: Array, y: Array) -> Array:
        """Huber's loss."""
        xp = namespace(z)
        r = xp.abs(z - y)
        return xp.where(r <= self.epsilon, 0.5 * r**2, self.epsilon * (r - 0.5 * self.epsilon))

    def first(self, z: Array, y: Array) -> Array:
        """r, cut at ±ε."""
        return namespace(z).clip(z - y, min=-self.epsilon, max=self.epsilon)

    def second(self, z: Array, y: Array) -> Array:
        """1 inside, 0 outside."""
        xp = namespace(z)
        return xp.where(xp.abs(z - y) <= self.epsilon, xp.ones_like(z), xp.zeros_like(z))

    def mean(self, z: Array) -> Array:
        """z."""
        return z

    def mean_slope(self, z: Array) -> Array:
        """1."""
        return namespace(z).ones_like(z)
