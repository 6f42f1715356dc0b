"""Half deviances of the Tweedie family: normal, Poisson, compound, gamma, as scalar losses of the linear predictor.

Each holds its constant, so that a perfect prediction costs 0 (scikit-learn's loss plus constant_to_optimal_zero).
Stands on the array namespace; source: METHODS.md 1, Jørgensen (1987) for the family.
"""

from dataclasses import dataclass

from upweight.arrays import namespace
from upweight.shapes import Array

__all__ = ["Gamma", "Poisson", "Tweedie"]


@dataclass(frozen=True)
class Poisson:
    """y log(y/μ) − y + μ, μ = e^z, y >= 0."""

    name: str = "poisson"
    unit: str = "half deviance"
    smooth: bool = True
    concordance: float | None = 1.0  # third = second = μ

    def value(self, z: Array, y: Array) -> Array:
        """Half deviance; y log y is 0 at y = 0."""
        xp = namespace(z)
        safe = xp.where(y > 0, y, xp.ones_like(y))
        return y * (xp.log(safe) - z) - y + xp.exp(z)

    def first(self, z: Array, y: Array) -> Array:
        """μ − y."""
        return namespace(z).exp(z) - y

    def second(self, z: Array, y: Array) -> Array:
        """μ."""
        return namespace(z).exp(z)

    def mean(self, z: Array) -> Array:
        """μ."""
        return namespace(z).exp(z)

    def mean_slope(self, z: Array) -> Array:
        """μ."""
        return namespace(z).exp(z)


@dataclass(frozen=True)
class Gamma:
    """y/μ − 1 − log(y/μ), μ = e^z, y > 0."""

    name: str = "gamma"
    unit: str = "half deviance"
    smooth: bool = True
    concordance: float | None = 1.0  # |third| = second = y/μ

    def value(self, z: Array, y: Array) -> Array:
        """Half deviance."""
        xp = namespace(z)
        return y * xp.exp(-z) + z - xp.log(y) - 1.0

    def first(self, z: Array, y: Array) -> Array:
        """1 − y/μ."""
        return 1.0 - y * namespace(z).exp(-z)

    def second(self, z: Array, y: Array) -> Array:
        """y/μ."""
        return y * namespace(z).exp(-z)

    def mean(self, z: Array) -> Array:
        """μ."""
        return namespace(z).exp(z)

    def mean_slope(self, z: Array) -> Array:
        """μ."""
        return namespace(z).exp(z)


@dataclass(frozen=True)
class Tweedie:
    """y^{2−p}/((1−p)(2−p)) − y μ^{1−p}/(1−p) + μ^{2−p}/(2−p), μ = e^z, y >= 0, for a power 1 < p < 2.

    Outside [1, 2] the log link is not convex in z; at 1 and 2 the limits are Poisson and Gamma.
    """

    power: float
    name: str = "tweedie"
    unit: str = "half deviance"
    smooth: bool = True

    @property
    def concordance(self) -> float | None:
        """Each of second's two terms grows at its own rate: the faster bounds the third derivative."""
        return max(2.0 - self.power, self.power - 1.0)

    def value(self, z: Array, y: Array) -> Array:
        """Half deviance."""
        xp = namespace(z)
        a, b = 1.0 - self.power, 2.0 - self.power
        return y**b / (a * b) - y * xp.exp(a * z) / a + xp.exp(b * z) / b

    def first(self, z: Array, y: Array) -> Array:
        """μ^{2−p} − y μ^{1−p}."""
        xp = namespace(z)
        return xp.exp((2.0 - self.power) * z) - y * xp.exp((1.0 - self.power) * z)

    def second(self, z: Array, y: Array) -> Array:
        """(2−p) μ^{2−p} + (p−1) y μ^{1−p}."""
        xp = namespace(z)
        a, b = 1.0 - self.power, 2.0 - self.power
        return b * xp.exp(b * z) - a * y * xp.exp(a * z)

    def mean(self, z: Array) -> Array:
        """μ."""
        return namespace(z).exp(z)

    def mean_slope(self, z: Array) -> Array:
        """μ."""
        return namespace(z).exp(z)
