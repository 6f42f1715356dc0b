"""What is asked of a prediction: a number per query, its unit, which way is better, and its derivative in the outputs.

Stands on output_loss. `NAMES` holds one line a measurement; "parameter:NAME" and callables are read by `scores`.
Source: METHODS.md 1, 11.3.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from upweight.arrays import namespace
from upweight.errors import MeasurementError, listed
from upweight.output_loss import OutputLoss
from upweight.shapes import Array, Float

__all__ = ["NAMES", "Measurement", "class_of", "class_scores", "decided", "measurement"]


@dataclass(frozen=True)
class Measurement:
    """`value` and `gradient` are functions of outputs z [q, c] and encoded targets."""

    name: str
    unit: str
    better: str | None  # "lower", "higher" or None
    value: Callable[[Array, Array], Float[Array, " q"]]
    gradient: Callable[[Array, Array], Float[Array, "q c"]]


@dataclass(frozen=True)
class _Asked:
    """What a measurement is built from."""

    loss: OutputLoss
    classification: bool
    has_probability: bool
    given: bool  # whether the user gave y_query; else the targets are the predicted labels
    unit: str  # of a regression's target


def measurement(
    name: str, loss: OutputLoss, classification: bool, has_probability: bool, given: bool, unit: str
) -> Measurement:
    """The measurement of this name for this kind of model.

    Raises: MeasurementError if there is none of that name, or this model or query does not have it.
    """
    if name not in NAMES:
        raise MeasurementError(
            f"measurement {name!r} is not known. Use one of {listed(sorted(NAMES), len(NAMES))}, 'parameter:NAME', "
            "or a function of (predictions, y)."
        )
    return NAMES[name](_Asked(loss, classification, has_probability, given, unit))


def class_of(targets: Array, c: int) -> Array:
    """Class index of encoded targets: an index, 0/1 or ±1 for one output, or one column per class."""
    xp = namespace(targets)
    if targets.ndim == 2:
        return xp.argmax(targets, axis=1)
    return xp.astype(targets > 0, xp.int64) if c == 1 else xp.astype(targets, xp.int64)


def class_scores(z: Float[Array, "q c"]) -> Float[Array, "q m"]:
    """One score per class, the largest decides: z itself, or (0, z) where one output stands for two classes."""
    xp = namespace(z)
    return z if z.shape[1] > 1 else xp.concat([xp.zeros_like(z), z], axis=1)


def decided(z: Float[Array, "q c"]) -> Array:
    """The class index that is predicted."""
    return namespace(z).argmax(class_scores(z), axis=1)


def _loss(asked: _Asked) -> Measurement:
    if not asked.classification and not asked.given:
        raise MeasurementError(
            "the loss of a regression needs y_query. Give it, or use measurement='prediction', which needs no label."
        )
    return Measurement("loss", asked.loss.unit, "lower", asked.loss.value, asked.loss.gradient)


def _log_prob(asked: _Asked) -> Measurement:
    _need_probability(asked, "log_prob")
    if asked.loss.name in ("softmax", "logistic") and (asked.loss.outputs == 1 or not asked.loss.separate):
        loss = asked.loss  # exact where the probability rounds to 0 or 1
        return Measurement(
            "log_prob",
            "nats",
            "higher" if asked.given else None,
            lambda z, y: -loss.value(z, _as_targets(loss, y)),
            lambda z, y: -loss.gradient(z, _as_targets(loss, y)),
        )
    plain = _prob(asked)

    def value(z: Array, y: Array) -> Array:
        xp = namespace(z)
        return xp.log(xp.maximum(plain.value(z, y), xp.asarray(xp.finfo(z.dtype).smallest_normal)))

    def gradient(z: Array, y: Array) -> Array:
        xp = namespace(z)
        p = xp.maximum(plain.value(z, y), xp.asarray(xp.finfo(z.dtype).smallest_normal))
        return plain.gradient(z, y) / p[:, None]

    return Measurement("log_prob", "nats", plain.better, value, gradient)


def _as_targets(loss: OutputLoss, y: Array) -> Array:
    """The labels as this loss's targets (0/1 for a binary one)."""
    xp = namespace(y)
    return xp.astype(class_of(y, loss.outputs), xp.float64) if loss.outputs == 1 else class_of(y, loss.outputs)


def _prob(asked: _Asked) -> Measurement:
    _need_probability(asked, "prob")
    loss = asked.loss

    def value(z: Array, y: Array) -> Array:
        p, k = loss.predict(z), class_of(y, loss.outputs)
        xp = namespace(z)
        if p.shape[1] == 1:
            return xp.where(k == 1, p[:, 0], 1.0 - p[:, 0])
        return xp.take_along_axis(p, k[:, None], axis=1)[:, 0]

    def gradient(z: Array, y: Array) -> Array:
        jacobian, k = loss.predict_jacobian(z), class_of(y, loss.outputs)
        xp = namespace(z)
        if jacobian.shape[1] == 1:
            return jacobian[:, 0, :] * xp.where(k == 1, 1.0, -1.0)[:, None]
        return xp.take_along_axis(
            jacobian, k[:, None, None] + xp.zeros_like(jacobian[:, :1, :], dtype=k.dtype), axis=1
        )[:, 0, :]

    return Measurement("prob", "probability", "higher" if asked.given else None, value, gradient)


def _margin(asked: _Asked) -> Measurement:
    if not asked.classification:
        raise MeasurementError("a regression has no margin. Use measurement='prediction' or 'loss'.")
    joint = not asked.loss.separate  # softmax: against all others together; c separate fits: against the next best

    def rivals(z: Array, y: Array) -> tuple[Array, Array, Array]:
        xp = namespace(z)
        scores, k = class_scores(z), class_of(y, z.shape[1])
        own = xp.arange(scores.shape[1])[None, :] == k[:, None]
        others = xp.where(own, -xp.inf, scores)
        return scores, own, others

    def share(others: Array) -> Array:
        """How the rivals' common score moves with each of theirs: softmax weights, or the best alone."""
        xp = namespace(others)
        if joint:
            e = xp.exp(others - xp.max(others, axis=1)[:, None])
            return e / xp.sum(e, axis=1)[:, None]
        return xp.astype(xp.arange(others.shape[1])[None, :] == xp.argmax(others, axis=1)[:, None], xp.float64)

    def value(z: Array, y: Array) -> Array:
        xp = namespace(z)
        scores, own, others = rivals(z, y)
        top = xp.max(others, axis=1)
        rest = xp.log(xp.sum(xp.exp(others - top[:, None]), axis=1)) if joint else xp.zeros_like(top)
        return xp.sum(xp.where(own, scores, 0.0), axis=1) - top - rest

    def gradient(z: Array, y: Array) -> Array:
        xp = namespace(z)
        _, own, others = rivals(z, y)
        full = xp.where(own, 1.0, -share(others))
        return full if z.shape[1] > 1 else full[:, 1:]

    unit = "log-odds" if asked.has_probability and (joint or asked.loss.outputs == 1) else "decision score"
    return Measurement("margin", unit, "higher" if asked.given else None, value, gradient)


def _prediction(asked: _Asked) -> Measurement:
    if asked.classification:
        source = _prob(asked) if asked.has_probability else _margin(asked)
        return replace(source, name="prediction", better=None)
    loss = asked.loss
    if loss.separate and loss.outputs > 1:
        raise MeasurementError(
            f"this regression predicts {loss.outputs} numbers at once. Use measurement='loss', or a function of "
            "(predictions, y) that returns the number you mean."
        )
    return Measurement(
        "prediction",
        asked.unit,
        None,
        lambda z, y: loss.predict(z)[:, 0],
        lambda z, y: loss.predict_jacobian(z)[:, 0, :],
    )


def _need_probability(asked: _Asked, name: str) -> None:
    if not asked.classification:
        raise MeasurementError(f"a regression has no {name!r}. Use measurement='prediction' or 'loss'.")
    if not asked.has_probability:
        raise MeasurementError(f"this model gives no probabilities, so there is no {name!r}. Use 'margin' or 'loss'.")


NAMES: dict[str, Callable[[_Asked], Measurement]] = {
    "loss": _loss,
    "log_prob": _log_prob,
    "prob": _prob,
    "margin": _margin,
    "prediction": _prediction,
}
