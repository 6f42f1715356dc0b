"""The signals of a label that looks wrong, each named and defined once: [n], higher is more suspect.

Stands on evidence; the trial and the ranking stand on it. Source: METHODS.md 8 (table); confident learning: Northcutt,
Jiang & Chuang (2021), section 3.1; probability-weighted influence: Koh's talk on Koh & Liang (2017).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upweight.workflows.review.evidence import Evidence, own_loss, probabilities, strongest_other
from upweight.workflows.review.problem import Codes, Floats

__all__ = ["SIGNALS", "Signal", "confidently_other", "likelier_other", "measure"]


@dataclass(frozen=True)
class Signal:
    """What it is, in words, and its value of every row; None where the evidence lacks what it takes."""

    means: str
    value: Callable[[Evidence], Floats | None]


def measure(evidence: Evidence) -> dict[str, Floats]:
    """All signals that this evidence has, by name."""
    found = {name: signal.value(evidence) for name, signal in SIGNALS.items()}
    return {name: value for name, value in found.items() if value is not None}


def likelier_other(z: Floats, codes: Codes) -> NDArray[np.bool_]:
    """[n] where another class is likelier than the label."""
    return np.asarray(z.argmax(axis=1) != codes)


def confidently_other(z: Floats, codes: Codes) -> NDArray[np.bool_]:
    """[n] where another class is likelier than the label and above the mean probability that its own rows give it."""
    p = probabilities(z)
    k = p.shape[1]
    held = np.bincount(codes, minlength=k) > 0
    threshold = np.asarray([p[codes == c, c].mean() if held[c] else np.inf for c in range(k)])
    above = np.where(p >= threshold[None, :] - 1e-6, p, -1.0)  # as close to it as cleanlab counts
    counted = np.argmax(above, axis=1)
    counted = np.where(above.max(axis=1) < 0, codes, counted)
    own = p[np.arange(len(p)), codes]
    return np.asarray((counted != codes) & (p.max(axis=1) > own))


def _less(effect: Floats | None) -> Floats | None:
    return None if effect is None else -effect


def _margin(z: Floats, codes: Codes) -> Floats:
    p, at = probabilities(z), np.arange(len(z))
    return np.asarray(p[at, strongest_other(z, codes)] - p[at, codes])


def _wrong(e: Evidence) -> Floats | None:
    """p̂ that the label is wrong, by the model without the row."""
    return None if e.loss_without is None else np.asarray(-np.expm1(-e.loss_without))


def _self_influence(e: Evidence) -> Floats | None:
    return None if e.loss_without is None else e.loss_without - e.loss


def _weighted(value: Floats | None, e: Evidence) -> Floats | None:
    wrong = _wrong(e)
    return None if value is None or wrong is None else value * wrong


def _confident(e: Evidence) -> Floats:
    """Those that it counts first, then by the label's own probability."""
    own = probabilities(e.outside)[np.arange(len(e.codes)), e.codes]
    return confidently_other(e.outside, e.codes) + (1.0 - own)


SIGNALS: dict[str, Signal] = {
    "loss": Signal("the row's own loss", lambda e: e.loss),
    "margin": Signal("p of the likeliest other class less p of the label", lambda e: _margin(e.inside, e.codes)),
    "leave-one-out loss": Signal("the row's loss without it", lambda e: e.loss_without),
    "self-influence": Signal("how far its own loss would rise without it", _self_influence),
    "weighted self-influence": Signal(
        "self-influence times the probability, without the row, of another label",
        lambda e: _weighted(_self_influence(e), e),
    ),
    "held-out influence": Signal(
        "how far the loss on the rows of other folds would fall without it", lambda e: _less(e.removal)
    ),
    "weighted held-out influence": Signal(
        "held-out influence times the probability, without the row, of another label",
        lambda e: _weighted(_less(e.removal), e),
    ),
    "relabel gain": Signal(
        "how far the loss on the rows of other folds would fall with the label suggested", lambda e: _less(e.relabel)
    ),
    "out-of-fold loss": Signal("−log p of its label by a model of other folds", lambda e: own_loss(e.outside, e.codes)),
    "out-of-fold margin": Signal("the margin by a model of other folds", lambda e: _margin(e.outside, e.codes)),
    "confident learning": Signal(
        "counted as another class (out of fold, class thresholds), then by p of its label", _confident
    ),
    "loss, review's penalty": Signal(
        "the row's own loss under the review's penalty", lambda e: own_loss(e.firm_inside, e.codes)
    ),
    "out-of-fold loss, review's penalty": Signal(
        "−log p of its label by a model of other folds under the review's penalty",
        lambda e: own_loss(e.firm_outside, e.codes),
    ),
    "reweighted": Signal(
        "−log p of its label out of fold, suspected rows weighed down, under the review's penalty",
        lambda e: e.rounds_loss,
    ),
    "neighbours": Signal("share of its 10 nearest rows with another label", lambda e: e.near),
}
