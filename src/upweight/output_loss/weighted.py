"""A scalar loss whose sides weigh differently in each output: class weights of one-against-rest fits.

Targets are 0/1 (or −1/1: above ½ is the positive side). Stands on the scalar losses.
"""

from dataclasses import dataclass

import numpy as np

from upweight.arrays import namespace
from upweight.output_loss.separate import Scalar
from upweight.shapes import Array

__all__ = ["Weighted"]


@dataclass(frozen=True)
class Weighted:
    """ℓ(z_k, y_k) × `positive`[k] where y_k is the positive side, else × `negative`[k]."""

    scalar: Scalar
    positive: tuple[float, ...]
    negative: tuple[float, ...]

    @property
    def name(self) -> str:
        """The scalar loss's name."""
        return self.scalar.name

    @property
    def unit(self) -> str:
        """The scalar loss's unit."""
        return f"class-weighted {self.scalar.unit}"

    @property
    def smooth(self) -> bool:
        """As the scalar loss."""
        return self.scalar.smooth

    @property
    def concordance(self) -> float | None:
        """As the scalar loss: both derivatives carry the same factor."""
        return self.scalar.concordance

    def value(self, z: Array, y: Array) -> Array:
        """Weighted loss."""
        return self.factor(z, y) * self.scalar.value(z, y)

    def first(self, z: Array, y: Array) -> Array:
        """Weighted derivative."""
        return self.factor(z, y) * self.scalar.first(z, y)

    def second(self, z: Array, y: Array) -> Array:
        """Weighted second derivative."""
        return self.factor(z, y) * self.scalar.second(z, y)

    def mean(self, z: Array) -> Array:
        """As the scalar loss."""
        return self.scalar.mean(z)

    def mean_slope(self, z: Array) -> Array:
        """As the scalar loss."""
        return self.scalar.mean_slope(z)

    def factor(self, z: Array, y: Array) -> Array:
        """What each target weighs in its output."""
        xp = namespace(z)
        positive = xp.asarray(np.array(self.positive), dtype=z.dtype)
        negative = xp.asarray(np.array(self.negative), dtype=z.dtype)
        return xp.where(y > 0.5, positive, negative)
