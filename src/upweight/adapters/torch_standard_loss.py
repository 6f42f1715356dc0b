"""Whether a loss is one of ours up to a factor, by value and gradient in float64 on outputs of many sizes.

Ours bring certificates, the gauge, probabilities and words. A constant of each row (y log y of a deviance) is let
through: no answer sees it. Stands on output_loss; torch_loss asks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upweight.adapters.torch_output_loss import AutodiffLoss
from upweight.output_loss import Logistic, OutputLoss, Poisson, Scaled, Separate, Softmax, Squared
from upweight.shapes import Array, Float

__all__ = ["Standard", "recognise", "trial_outputs", "trial_targets"]

SAME = 5e-9  # relative: float64 by two ways of writing it; softplus is linear beyond 20, where e⁻²⁰ = 2e-9 is left
ROWS = 96


@dataclass(frozen=True, eq=False)
class Standard:
    """Our loss, scaled to the user's; `classes`: 0 for a regression; `shifted`: values differ by a row's constant."""

    loss: OutputLoss
    classes: int
    shifted: bool


def recognise(loss: AutodiffLoss, targets: Array, spread: float) -> Standard | None:
    """The first of ours that agrees. `targets`: the data's own, encoded; `spread`: how far its outputs reach."""
    draw = np.random.default_rng(0)
    for ours, classes in _candidates(loss.outputs, targets):
        y = trial_targets(targets, loss.outputs, draw)
        zs = [trial_outputs(len(y), loss.outputs, y, size, spread, draw) for size in (0.3, 3.0, 15.0)]
        found = _agrees(loss, ours, zs, y)
        if found is not None:
            factor, shifted = found
            return Standard(ours if factor == 1.0 else _scaled(ours, factor), classes, shifted)
    return None


def trial_targets(targets: Array, c: int, draw: np.random.Generator) -> Array:
    """Some of the data's own; of class indices, every class."""
    own = targets[draw.choice(len(targets), size=ROWS)]
    if targets.dtype.kind == "i" and targets.ndim == 1 and c > 1 and own.min() >= 0 and own.max() < c:
        return np.concatenate([own, draw.integers(0, c, size=ROWS)])
    return own


def trial_outputs(
    n: int, c: int, y: Array, size: float, spread: float, draw: np.random.Generator
) -> Float[Array, "n c"]:
    """Random outputs of this size: around 0, and for numbers also around their targets."""
    z = size * draw.standard_normal((n, c))
    if y.dtype.kind == "f" and y.size == z.size and np.max(np.abs(y), initial=0.0) < 100.0:
        half = draw.random(n) < 0.5
        z[half] = y.reshape(n, c)[half] + size * min(spread, 10.0) * z[half] / 15.0
    return z


def _candidates(c: int, targets: Array) -> Iterator[tuple[OutputLoss, int]]:
    if targets.dtype.kind == "i":
        if targets.ndim == 1 and c > 1 and targets.min() >= 0 and targets.max() < c:
            yield Softmax(c), c
        return
    if targets.size != len(targets) * c:
        return
    if np.isin(targets, (0.0, 1.0)).all():
        yield Separate(Logistic(), c), 2 if c == 1 else 0
    yield Separate(Squared(), c), 0
    if np.all(targets >= 0):
        yield Separate(Poisson(), c), 0


def _agrees(loss: AutodiffLoss, ours: OutputLoss, zs: list[NDArray[np.float64]], y: Array) -> tuple[float, bool] | None:
    """(factor, whether values differ by constants) where gradients are proportional; None where they are not."""
    factor, constants = None, []
    for z in zs:
        try:
            with np.errstate(all="ignore"):
                theirs, own = loss.gradient(z, y), ours.gradient(z, y)
                value, reference = loss.value(z, y), ours.value(z, y)
        except (RuntimeError, ValueError, IndexError):  # outputs that this loss does not take
            return None
        if not (np.isfinite(theirs).all() and np.isfinite(own).all() and np.isfinite(value).all()):
            return None
        if factor is None:
            factor = float(np.sum(theirs * own) / np.sum(own * own)) if np.any(own) else 0.0
            factor = next((near for near in (1.0, 2.0, 0.5) if abs(factor - near) < SAME), factor)
        if not factor > 0 or np.any(np.abs(theirs - factor * own) > SAME * factor * _size(own)):
            return None
        constants.append((value - factor * reference, SAME * factor * _size(reference)))
    first, small = constants[0]
    if factor is None or any(np.any(np.abs(gap - first) > tol + small) for gap, tol in constants):
        return None
    return factor, bool(np.any(np.abs(first) > small))


def _size(values: NDArray[np.float64]) -> float:
    return max(1.0, float(np.max(np.abs(values))))


def _scaled(ours: OutputLoss, factor: float) -> OutputLoss:
    c, words = ours.outputs, ours.unit
    if words == "half squared error":
        whole = factor / 2.0
        words = "squared error" if abs(whole - 1.0) < SAME else f"{whole:g} × squared error"
        if c > 1 and abs(whole * c - 1.0) < SAME:
            words = "mean squared error"
        return Scaled(ours, factor, words)
    mean = c > 1 and ours.separate and abs(factor * c - 1.0) < SAME
    return Scaled(ours, factor, f"mean {words}" if mean else f"{factor:g} × {words}")
