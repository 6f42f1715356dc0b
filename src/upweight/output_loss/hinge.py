"""The hinge and the ε-insensitive losses of one output, their kinks rounded over a width t; t = 0 is the loss itself.

Both plain ones are sums of pieces max(0, m − s z), each rounded to t log(1 + e^{(m − s z)/t}): above it by t log 2 at
most, and its derivatives approach a step and a spike as t falls. At t = 0 a row on its kink has derivative 0, as its
weight has there. `pieces` hands s and m to the exact path.
Stands on the array namespace; source: METHODS.md 2.5, Koh & Liang (2017), section 4.2.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from upweight.arrays import namespace
from upweight.output_loss.separate import Scalar
from upweight.shapes import Array

__all__ = ["Hinge", "Insensitive", "Pieces", "Rounded", "SquaredInsensitive"]

SEEN = 50.0  # widths: e^{−50} of a slope is below rounding
ON = 1e-10  # of the size of outputs: as near as this a row is on its kink

Pieces = tuple[tuple[Array, Array], ...]  # (s, m), each as y


@runtime_checkable
class Rounded(Scalar, Protocol):
    """A sum of hinges max(0, m − s z), rounded over `width`."""

    @property
    def width(self) -> float:
        """t, in the unit of z; 0: not rounded."""
        ...

    def pieces(self, y: Array) -> Pieces:
        """(s, m) of every hinge of these targets."""
        ...


@dataclass(frozen=True)
class Hinge:
    """max(0, 1 − s z), s = ±1 from targets 0/1."""

    width: float = 0.0
    name: str = "hinge"
    unit: str = "hinge loss"

    @property
    def smooth(self) -> bool:
        """Where it is rounded."""
        return self.width > 0

    @property
    def concordance(self) -> float | None:
        """1/t."""
        return 1.0 / self.width if self.width > 0 else None

    def pieces(self, y: Array) -> Pieces:
        """One."""
        s = 2.0 * y - 1.0
        return ((s, namespace(s).ones_like(s)),)

    def value(self, z: Array, y: Array) -> Array:
        """Shortfall of the margin, rounded."""
        return _value(1.0 - (2.0 * y - 1.0) * z, self.width)

    def first(self, z: Array, y: Array) -> Array:
        """−s times the share of the slope."""
        s = 2.0 * y - 1.0
        return -s * _slope(1.0 - s * z, self.width, 1.0 + namespace(z).abs(z))

    def second(self, z: Array, y: Array) -> Array:
        """A spike of width t at the margin; 0 where it is not rounded."""
        return _bend(1.0 - (2.0 * y - 1.0) * z, self.width)

    def mean(self, z: Array) -> Array:
        """z: a decision value."""
        return z

    def mean_slope(self, z: Array) -> Array:
        """1."""
        return namespace(z).ones_like(z)


@dataclass(frozen=True)
class Insensitive:
    """max(0, |z − y| − ε)."""

    epsilon: float
    width: float = 0.0
    name: str = "epsilon_insensitive"
    unit: str = "epsilon-insensitive loss"

    @property
    def smooth(self) -> bool:
        """Where it is rounded."""
        return self.width > 0

    @property
    def concordance(self) -> float | None:
        """1/t."""
        return 1.0 / self.width if self.width > 0 else None

    def pieces(self, y: Array) -> Pieces:
        """Below the tube, and above it."""
        one = namespace(y).ones_like(y)
        return (one, y - self.epsilon), (-one, -y - self.epsilon)

    def value(self, z: Array, y: Array) -> Array:
        """How far outside the tube, rounded."""
        return _value(z - y - self.epsilon, self.width) + _value(y - z - self.epsilon, self.width)

    def first(self, z: Array, y: Array) -> Array:
        """1 above the tube, −1 below."""
        size = self.epsilon + namespace(z).abs(z) + namespace(z).abs(y)
        return _slope(z - y - self.epsilon, self.width, size) - _slope(y - z - self.epsilon, self.width, size)

    def second(self, z: Array, y: Array) -> Array:
        """A spike of width t at each edge."""
        return _bend(z - y - self.epsilon, self.width) + _bend(y - z - self.epsilon, self.width)

    def mean(self, z: Array) -> Array:
        """z."""
        return z

    def mean_slope(self, z: Array) -> Array:
        """1."""
        return namespace(z).ones_like(z)


@dataclass(frozen=True)
class SquaredInsensitive:
    """max(0, |z − y| − ε)²."""

    epsilon: float
    name: str = "squared_epsilon_insensitive"
    unit: str = "squared epsilon-insensitive loss"
    smooth: bool = False
    concordance: float | None = None

    def value(self, z: Array, y: Array) -> Array:
        """Squared distance from the tube."""
        return self._out(z, y) ** 2

    def first(self, z: Array, y: Array) -> Array:
        """Twice the signed distance."""
        xp = namespace(z)
        return 2.0 * xp.sign(z - y) * self._out(z, y)

    def second(self, z: Array, y: Array) -> Array:
        """2 outside the tube."""
        xp = namespace(z)
        return xp.where(self._out(z, y) > 0, 2.0 * xp.ones_like(z), xp.zeros_like(z))

    def mean(self, z: Array) -> Array:
        """z."""
        return z

    def mean_slope(self, z: Array) -> Array:
        """1."""
        return namespace(z).ones_like(z)

    def _out(self, z: Array, y: Array) -> Array:
        xp = namespace(z)
        return xp.clip(xp.abs(z - y) - self.epsilon, min=0.0)


def _value(short: Array, t: float) -> Array:
    """max(r, 0) + t log(1 + e^{−|r|/t})."""
    xp = namespace(short)
    whole = xp.clip(short, min=0.0)
    return whole + t * xp.log1p(_faded(short, t)) if t > 0 else whole


def _slope(short: Array, t: float, size: Array) -> Array:
    """σ(r/t); the step at t = 0, not yet taken on the kink itself."""
    xp = namespace(short)
    if t == 0:
        return xp.astype(short > ON * size, short.dtype)
    e = _faded(short, t)
    return xp.where(short >= 0, 1.0 / (1.0 + e), e / (1.0 + e))


def _bend(short: Array, t: float) -> Array:
    """σ′(r/t)/t."""
    if t == 0:
        return namespace(short).zeros_like(short)
    e = _faded(short, t)
    return e / (1.0 + e) ** 2 / t


def _faded(short: Array, t: float) -> Array:
    """e^{−|r|/t}; 0 where it is below rounding, so that rows far from a kink cost the curvature nothing."""
    xp = namespace(short)
    far = xp.abs(short) / t
    return xp.where(far < SEEN, xp.exp(-xp.clip(far, max=SEEN)), 0.0)
