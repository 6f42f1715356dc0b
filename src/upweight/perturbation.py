"""What is changed about a row: an affine path of its data, equal to the row at ε = 0, that knows nothing of models.

The weight of a row is the default and has its own fast path (`gradients.head`); here are its label and its inputs.
Stands on measurement; gradient sources stand on it. Source: METHODS.md 1 (table of right-hand sides), DESIGN.md 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from upweight.arrays import namespace
from upweight.measurement import class_of
from upweight.shapes import Array, Float

__all__ = ["Batch", "Inputs", "Labels", "Perturbation", "Tangent", "Targets"]


@dataclass(frozen=True)
class Batch:
    """b rows: what the model reads, encoded targets and weights."""

    inputs: Array  # [b, d]
    targets: Array  # [b] or [b, c]
    weights: Float[Array, " b"]


@dataclass(frozen=True)
class Tangent:
    """How a path leaves the row: the weight of each part, and the inputs (None: they stay)."""

    weights: tuple[Float[Array, "j b"], ...]
    inputs: Float[Array, "j b d"] | None


@runtime_checkable
class Perturbation(Protocol):
    """m numbers ε a row. A path is a few parts, the row itself first, whose weighted losses add up."""

    @property
    def step(self) -> float:
        """The finite size that the question means."""
        ...

    @property
    def moves_inputs(self) -> bool:
        """Whether the path moves what the model reads."""
        ...

    def targets(self, batch: Batch) -> tuple[Array, ...]:
        """The encoded targets of each part."""
        ...

    def parts(self, batch: Batch, eps: Float[Array, "b m"]) -> tuple[Batch, ...]:
        """The parts at ε."""
        ...

    def push(self, batch: Batch, e: Float[Array, "j b m"]) -> Tangent:
        """The tangent at ε = 0 along e."""
        ...

    def pull(
        self, batch: Batch, by_weight: Sequence[Float[Array, "k b"]], by_input: Float[Array, "k b d"] | None
    ) -> Float[Array, "k b m"]:
        """Its transpose: from the derivative by the weight of each part, and by the inputs of a row of weight 1."""
        ...


@dataclass(frozen=True)
class Labels:
    """(1 − ε) ℓ(x, y) + ε ℓ(x, class k), one ε a class; a row keeps its own sample weight.

    `classes` [m] or [m, c]: the encoded target of each class. `factors` [m]: what the class weighs a row with, > 0.
    """

    classes: Array
    factors: Float[Array, " m"]
    outputs: int
    step: float = 1.0
    moves_inputs: bool = False

    def own(self, batch: Batch) -> Array:
        """Class index [b] of each row."""
        return class_of(batch.targets, self.outputs)

    def targets(self, batch: Batch) -> tuple[Array, ...]:
        """The row's own, then each class."""
        xp, b = namespace(batch.weights), batch.weights.shape[0]
        return (batch.targets, *(xp.stack([self.classes[k, ...]] * b) for k in range(self.classes.shape[0])))

    def parts(self, batch: Batch, eps: Float[Array, "b m"]) -> tuple[Batch, ...]:
        """The row, and a copy of it in each class."""
        xp = namespace(eps)
        tangent = self.push(batch, eps[None, ...])
        weights = [batch.weights + tangent.weights[0][0, :], *(part[0, :] for part in tangent.weights[1:])]
        pairs = zip(self.targets(batch), weights, strict=True)
        return tuple(replace(batch, targets=y, weights=xp.astype(w, eps.dtype)) for y, w in pairs)

    def push(self, batch: Batch, e: Float[Array, "j b m"]) -> Tangent:
        """The row loses what the classes gain; its own class is itself."""
        xp = namespace(e)
        e = xp.where(self._same(batch)[None, ...], 0.0, e)
        gained = e * self._weights(batch)[None, ...]
        lost = -xp.sum(e, axis=2) * batch.weights[None, :]
        return Tangent((lost, *(gained[:, :, k] for k in range(e.shape[2]))), None)

    def pull(
        self, batch: Batch, by_weight: Sequence[Float[Array, "k b"]], by_input: Float[Array, "k b d"] | None
    ) -> Float[Array, "k b m"]:
        """Exactly 0 for the row's own class."""
        xp = namespace(batch.weights)
        own = by_weight[0] * batch.weights[None, :]
        other = xp.stack(list(by_weight[1:]), axis=2) * self._weights(batch)[None, ...]
        return xp.where(self._same(batch)[None, ...], 0.0, other - own[:, :, None])

    def _same(self, batch: Batch) -> Array:
        xp = namespace(batch.weights)
        return self.own(batch)[:, None] == xp.arange(self.classes.shape[0])[None, :]

    def _weights(self, batch: Batch) -> Float[Array, "b m"]:
        """What each row weighs in each class."""
        xp = namespace(batch.weights)
        plain = batch.weights / xp.take(self.factors, self.own(batch))
        return plain[:, None] * self.factors[None, :]


@dataclass(frozen=True)
class Targets:
    """y + ε, one ε a target: a regression's label, per unit.

    The derivative in y is a central difference over ± `reach`: every loss here is affine in y but for Huber's kinks.
    """

    reach: float
    step: float = 1.0
    moves_inputs: bool = False

    def targets(self, batch: Batch) -> tuple[Array, ...]:
        """The row's own; then above and below, target by target."""
        shifts = [self._shift(batch, k) for k in range(self._width(batch))]
        return (batch.targets, *(y for shift in shifts for y in (batch.targets + shift, batch.targets - shift)))

    def parts(self, batch: Batch, eps: Float[Array, "b m"]) -> tuple[Batch, ...]:
        """The row, whose targets move."""
        moved = batch.targets + (eps if batch.targets.ndim == 2 else eps[:, 0])
        return (replace(batch, targets=moved),)

    def push(self, batch: Batch, e: Float[Array, "j b m"]) -> Tangent:
        """As the difference has it."""
        xp = namespace(e)
        half = e * batch.weights[None, :, None] / (2.0 * self.reach)
        moved = [part for k in range(e.shape[2]) for part in (half[:, :, k], -half[:, :, k])]
        return Tangent((xp.zeros_like(half[:, :, 0]), *moved), None)

    def pull(
        self, batch: Batch, by_weight: Sequence[Float[Array, "k b"]], by_input: Float[Array, "k b d"] | None
    ) -> Float[Array, "k b m"]:
        """The difference of the two sides."""
        xp = namespace(batch.weights)
        pairs = zip(by_weight[1::2], by_weight[2::2], strict=True)
        slopes = xp.stack([(above - below) / (2.0 * self.reach) for above, below in pairs], axis=2)
        return slopes * batch.weights[None, :, None]

    def _width(self, batch: Batch) -> int:
        return int(batch.targets.shape[1]) if batch.targets.ndim == 2 else 1

    def _shift(self, batch: Batch, k: int) -> Array:
        xp = namespace(batch.weights)
        if batch.targets.ndim == 1:
            return xp.asarray(self.reach, dtype=batch.weights.dtype)
        return self.reach * xp.eye(self._width(batch), dtype=batch.weights.dtype)[k, :][None, :]


@dataclass(frozen=True)
class Inputs:
    """x + ε, one ε a feature, per unit of it."""

    step: float = 1.0
    moves_inputs: bool = True

    def targets(self, batch: Batch) -> tuple[Array, ...]:
        """The row's own."""
        return (batch.targets,)

    def parts(self, batch: Batch, eps: Float[Array, "b m"]) -> tuple[Batch, ...]:
        """The row, moved."""
        return (replace(batch, inputs=batch.inputs + eps),)

    def push(self, batch: Batch, e: Float[Array, "j b m"]) -> Tangent:
        """The inputs move, the weight stays."""
        return Tangent((namespace(e).zeros_like(e[:, :, 0]),), e)

    def pull(
        self, batch: Batch, by_weight: Sequence[Float[Array, "k b"]], by_input: Float[Array, "k b d"] | None
    ) -> Float[Array, "k b m"]:
        """A row of weight w has w times the derivative."""
        moved = 0.0 if by_input is None else by_input  # never None where inputs move
        return moved * batch.weights[None, :, None]
