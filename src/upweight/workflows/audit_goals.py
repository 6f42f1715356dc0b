"""What an attack on predictions lowers: one prediction's margin, or minus the mean loss of all.

Stands on measurement and adapters; audit_steps takes the steps. Source: METHODS.md 9.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.arrays import to_numpy
from upweight.measurement import Measurement, class_of, class_scores
from upweight.output_loss import OutputLoss
from upweight.shapes import Array

__all__ = ["Goal", "LossOfAll", "MarginOf", "ValueOf", "margins"]

Floats = NDArray[np.float64]


def margins(z: Array, labels: NDArray[np.int64]) -> Floats:
    """[q]: each label's score over the strongest other class's; below 0 the model says another label."""
    scores = np.array(to_numpy(class_scores(z)), dtype=np.float64)
    at = np.arange(len(scores))
    own = scores[at, labels]
    scores[at, labels] = -np.inf
    return np.asarray(own - scores.max(axis=1))


@dataclass(frozen=True, eq=False)
class MarginOf:
    """One prediction's margin; reached where the model says another label."""

    queries: Any  # one, as the attribution reads it
    label: int

    def value(self, z: Array) -> float:
        """Against the strongest rival."""
        return float(margins(z, np.asarray([self.label]))[0])

    def slope(self, z: Array) -> Floats:
        """[1, c]."""
        scores = np.array(to_numpy(class_scores(z)), dtype=np.float64)
        own = np.zeros_like(scores)
        own[0, self.label], scores[0, self.label] = 1.0, -np.inf
        own[0, int(np.argmax(scores[0]))] = -1.0
        return own if z.shape[1] > 1 else own[:, 1:]

    def reached(self, z: Array) -> bool:
        """Flipped."""
        return self.value(z) < 0.0


@dataclass(frozen=True, eq=False)
class LossOfAll:
    """Minus the mean loss of several predictions; never reached, unless none is left."""

    queries: Any
    targets: Array  # encoded
    loss: OutputLoss

    def value(self, z: Array) -> float:
        """Below 0."""
        return -float(np.mean(to_numpy(self.loss.value(z, self.targets))))

    def slope(self, z: Array) -> Floats:
        """[q, c]."""
        return np.asarray(-to_numpy(self.loss.gradient(z, self.targets)) / z.shape[0])

    def reached(self, z: Array) -> bool:
        """All flipped."""
        return bool(np.all(margins(z, to_numpy(class_of(self.targets, z.shape[1]))) < 0))


@dataclass(frozen=True, eq=False)
class ValueOf:
    """A regression's prediction, to be lowered (sign 1) or raised (sign −1); never reached."""

    queries: Any
    measured: Measurement
    sign: float

    def value(self, z: Array) -> float:
        """In its own unit, times the sign."""
        return self.sign * float(to_numpy(self.measured.value(z, z[:, 0]))[0])

    def slope(self, z: Array) -> Floats:
        """[1, c]."""
        return self.sign * to_numpy(self.measured.gradient(z, z[:, 0]))

    def reached(self, z: Array) -> bool:
        """Further is always further."""
        return False

    def other_way(self) -> "ValueOf":
        """Raised instead."""
        return replace(self, sign=-self.sign)


Goal = MarginOf | LossOfAll | ValueOf
