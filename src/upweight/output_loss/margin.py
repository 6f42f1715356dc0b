"""Squared margin losses of one output: squared hinge and modified Huber. Targets are 0/1; t = ±z is the margin.

Stands on the array namespace; source: METHODS.md 1 (mapping table), Zhang (2004), scikit-learn's SGD.
"""

from dataclasses import dataclass

from upweight.arrays import namespace
from upweight.shapes import Array

__all__ = ["ModifiedHuber", "SquaredHinge"]


@dataclass(frozen=True)
class SquaredHinge:
    """max(0, 1 − t)²."""

    name: str = "squared_hinge"
    unit: str = "squared hinge loss"
    smooth: bool = False
    concordance: float | None = None

    def value(self, z: Array, y: Array) -> Array:
        """Squared shortfall of the margin."""
        return self._short(z, y) ** 2

    def first(self, z: Array, y: Array) -> Array:
        """−2 (1 − t) times the side."""
        return -2.0 * (2.0 * y - 1.0) * self._short(z, y)

    def second(self, z: Array, y: Array) -> Array:
        """2 where the margin is short."""
        xp = namespace(z)
        return xp.where(self._short(z, y) > 0, 2.0 * xp.ones_like(z), xp.zeros_like(z))

    def mean(self, z: Array) -> Array:
        """z: a decision value."""
        return z

    def mean_slope(self, z: Array) -> Array:
        """1."""
        return namespace(z).ones_like(z)

    def _short(self, z: Array, y: Array) -> Array:
        return namespace(z).clip(1.0 - (2.0 * y - 1.0) * z, min=0.0)


@dataclass(frozen=True)
class ModifiedHuber:
    """max(0, 1 − t)² for t >= −1, else −4t."""

    name: str = "modified_huber"
    unit: str = "modified Huber loss"
    smooth: bool = False
    concordance: float | None = None

    def value(self, z: Array, y: Array) -> Array:
        """Squared near the margin, linear far on the wrong side."""
        xp = namespace(z)
        t = (2.0 * y - 1.0) * z
        return xp.where(t >= -1.0, xp.clip(1.0 - t, min=0.0) ** 2, -4.0 * t)

    def first(self, z: Array, y: Array) -> Array:
        """−2 times the shortfall, cut at 2."""
        xp = namespace(z)
        side = 2.0 * y - 1.0
        return -2.0 * side * xp.clip(1.0 - side * z, min=0.0, max=2.0)

    def second(self, z: Array, y: Array) -> Array:
        """2 in the quadratic part."""
        xp = namespace(z)
        t = (2.0 * y - 1.0) * z
        return xp.where((t < 1.0) & (t >= -1.0), 2.0 * xp.ones_like(z), xp.zeros_like(z))

    def mean(self, z: Array) -> Array:
        """Probability (clip(z, −1, 1) + 1) / 2."""
        return (namespace(z).clip(z, min=-1.0, max=1.0) + 1.0) / 2.0

    def mean_slope(self, z: Array) -> Array:
        """½ where it moves."""
        xp = namespace(z)
        return xp.where(xp.abs(z) < 1.0, 0.5 * xp.ones_like(z), xp.zeros_like(z))
