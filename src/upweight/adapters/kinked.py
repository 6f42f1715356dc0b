"""A fit whose loss is a sum of hinges: taken to its true optimum by the exact path, judged there, and rounded beside.

Two heads come of it. The hinges' own optimum is what predictions, removals, groups and refits start from. Derivatives
(labels, features, plain sums) stand on the rounded loss at its own optimum, whose width t is the first of
unit/100, /3, /9 … that moves no training output by more than a hundredth of `unit` (1 for a margin, a regression's
target by its spread); or the t that the user asks for, 0 the kinked loss itself. Where no dual is known and Newton does
not get there at once, the way down starts at t = unit, each optimum the start of the next.
Stands on newton and removal.hinge_refit; `assemble` stands on it. Source: METHODS.md 2.5.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from upweight.adapters.base import Stationarity
from upweight.adapters.reading import Kinks
from upweight.attribution import HeadAttribution, HingeAttribution
from upweight.errors import InputError
from upweight.linear_head import LinearHead
from upweight.newton import minimise
from upweight.removal.hinge_refit import ExactHinge, largest_miss, true_optimum, with_width

__all__ = ["Settled", "settle"]

NARROW = 0.01  # of the unit: the widest rounding, and what it may move an output
DIVIDE = 3.0
NARROWINGS = 4
NARROWEST = 1e-9  # of the unit: in less hardly a double finds room, and 1/t drowns the penalty
CONTINUED = (1.0, 0.5, 0.25, 0.1, 0.03)  # widths on the way down, in units
STEPS = 100
UNPROMISED = 1e-3  # units of z above which a solver without a promise has not converged
ROUNDING = 1e-4  # units of z that a solver misses by whatever its tol


@dataclass(frozen=True)
class Settled:
    """`head`: rounded, at its own optimum; `attribution` makes it ready; `note` says what was rounded."""

    head: LinearHead
    attribution: partial[HingeAttribution] | type[HeadAttribution]
    stationarity: Stationarity
    note: str


def settle(head: LinearHead, kinks: Kinks, smoothing: float | None, model: str) -> Settled:
    """From the user's own parameters, where `head` stands with its hinges as they are; `smoothing`: t as asked for.

    Raises: InputError where there is no derivative of the hinges rounded so, or not at an optimum.
    """
    exact = None
    if kinks.dual is not None:
        exact = true_optimum(with_width(head, 0.0), [kinks.dual])
    if exact is None or not exact.settled:
        start = _continued(head, kinks.unit)
        exact = true_optimum(start)
    if not exact.settled:
        if smoothing is not None:
            raise InputError(
                f"smoothing is {smoothing!r}, and the exact path of the optimum was not found on these rows (ties "
                f"among them): refits of this {model} are rounded too. Leave smoothing out."
            )
        return _unsettled(start, head, kinks)
    if smoothing is None:
        rounded, width, off = _rounded(head, exact, kinks.unit)
        over = f"round the kinks over a width of {width:.2g}, which moves no training output by more than {off:.2g}"
    else:
        rounded, over = _as_asked(head, exact, kinks.unit, smoothing, model)
    exact = replace(exact, head=rounded)
    moved = float(np.max(np.abs(exact.outputs - head.outputs), initial=0.0))
    judged = _judge(head, head.at(exact.vector), kinks)
    judged = replace(judged, polished=True, moved=moved, by="along the exact path of its dual")
    note = (
        f"the {head.loss.name} loss has kinks, where it has no derivative: removals, groups and refits follow the "
        f"exact path of its optimum; derivatives (labels, features, plain sums) {over}"
    )
    return Settled(rounded, partial(HingeAttribution, exact, smoothing), judged, note)


def _as_asked(head: LinearHead, exact: ExactHinge, unit: float, width: float, model: str) -> tuple[LinearHead, str]:
    """The optimum of the hinges rounded over this width, and what is said of it."""
    there = with_width(head.at(exact.vector), width)
    if width == 0:
        if np.any(np.asarray(head.params.free) & (np.asarray(head.penalty) == 0)):
            raise InputError(
                f"smoothing is 0, and the intercept of this {model} has no penalty: without the bend of the hinges no "
                "curvature is left for it. Give smoothing > 0, or a model whose intercept is penalised (LinearSVC)."
            )
        said = "are those of the kinked loss itself, as asked: it does not bend, so that the penalty is all curvature"
        return there, said
    if width < NARROWEST * unit:
        raise InputError(
            f"smoothing is {width!r}, less than {NARROWEST * unit:.1g}, where rounding decides. Give a larger one, or "
            "0 for the hinges themselves."
        )
    found = minimise(there, max_steps=STEPS)
    if not found.converged:
        start = head.at(exact.vector)
        for wider in (*(share * unit for share in CONTINUED if share * unit > width), width):
            found = minimise(with_width(start, wider), max_steps=STEPS)
            start = found.head
    if not found.converged:
        raise InputError(
            f"smoothing is {width!r}: Newton's steps do not find the optimum of hinges rounded over so small a width. "
            "Give a larger one, or 0 for the hinges themselves."
        )
    off = float(np.max(np.abs(found.head.outputs - exact.outputs), initial=0.0))
    said = f"round the kinks over a width of {width:.2g}, as asked, which moves training outputs by up to {off:.2g}"
    return found.head, said


def _continued(head: LinearHead, unit: float) -> LinearHead:
    """The rounded optimum from the user's parameters: at once where Newton finds it, else by way of wider roundings."""
    found = minimise(with_width(head, NARROW * unit), max_steps=STEPS)
    if found.converged:
        return found.head
    for width in (*CONTINUED, NARROW):
        head = minimise(with_width(head, width * unit), max_steps=STEPS).head
    return head


def _rounded(head: LinearHead, exact: ExactHinge, unit: float) -> tuple[LinearHead, float, float]:
    """(rounded optimum, its width, how far its outputs are from the true ones)."""
    truth = exact.outputs
    there, width = head.at(exact.vector), NARROW * unit
    for narrowing in range(NARROWINGS):
        found = minimise(with_width(there, width), max_steps=STEPS)
        if not found.converged:
            found = minimise(with_width(_continued(head, unit), width), max_steps=STEPS)
        there = found.head
        off = float(np.max(np.abs(there.outputs - truth), initial=0.0))
        if off <= NARROW * unit or narrowing == NARROWINGS - 1:
            break
        width /= DIVIDE
    return there, width, off


def _judge(head: LinearHead, best: LinearHead, kinks: Kinks) -> Stationarity:
    """By how much rows miss their margins, or F beside F at the optimum: the gradient says nothing at kinks."""
    if kinks.dual is not None:
        left, what = largest_miss(head, kinks.dual), "a row misses its margin by {:.1e}"
    else:
        boxes = max(head.scale * float(np.sum(head.weights)), 1e-300)
        left = max(0.0, head.value - best.value) / boxes
        what = "a row's mean loss at the fitted parameters is {:.1e} above the optimum's"
    bound = UNPROMISED * kinks.unit if kinks.bound is None else kinks.bound + ROUNDING * kinks.unit
    if kinks.fault is not None:
        return Stationarity(left, bound, kinks.finished, mismatch=kinks.fault)
    if left <= bound:
        return Stationarity(left, bound, kinks.finished)
    size = what.format(left)
    if kinks.bound is None:
        sentence = (
            f"{size}, and {kinks.solver} stops by its own steps: the fit has not converged, or these are not the rows, "
            "labels or weights that the model was fitted on"
        )
        return Stationarity(left, bound, kinks.finished, unconverged=sentence)
    stops = f"{size}; {kinks.solver} stops at {bound:.1e}"
    if kinks.finished is False:
        sentence = f"{stops}, and ran into its limit of steps: the fit has not converged"
        return Stationarity(left, bound, False, unconverged=sentence)
    sentence = f"{stops}: these are not the rows, labels or weights that the model was fitted on"
    return Stationarity(left, bound, kinks.finished, mismatch=sentence)


def _unsettled(start: LinearHead, head: LinearHead, kinks: Kinks) -> Settled:
    """The rounded loss alone, where ties sent the path in a circle."""
    moved = float(np.max(np.abs(start.outputs - head.outputs), initial=0.0))
    judged = replace(_judge(head, with_width(start, 0.0), kinks), polished=True, moved=moved)
    note = (
        f"the {head.loss.name} loss has kinks, and the exact path of its optimum was not found on these rows (ties "
        f"among them): every answer rounds the kinks over a width of {NARROW * kinks.unit:.2g}"
    )
    return Settled(start, HeadAttribution, judged, note)
