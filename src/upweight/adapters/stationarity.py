"""Whether a fit is where its solver meant to be, judged before anything is polished; and the polishing.

Above its promise although the solver finished: these are not the rows, labels or weights of the fit. Above it at the
step limit, or from a solver that promises nothing (SGD, sag, saga): not converged. Then Newton steps take the head to
the optimum that every answer starts from. A difference below tol, about one row in 1/tol, cannot be seen.
Stands on promise and newton; `assemble` stands on it. Source: METHODS.md 1, 5.
"""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from upweight.adapters.base import Stationarity
from upweight.adapters.promise import Promise, Yardstick
from upweight.adapters.reading import Reading
from upweight.arrays import blocks
from upweight.linear_head import LinearHead
from upweight.newton import DENSE, minimise
from upweight.shapes import Array, Float

__all__ = ["column_sizes", "judge", "polish", "reconsider", "yardstick"]

UNPROMISED = 1e-4  # relative gradient above which a solver without a promise has not converged
SAME = 1e-6  # relative difference of two runs of one deterministic solver
REFITTABLE = 1e11  # multiplications of a refit beyond which a suspicion is not looked into
AT_ROUNDING = 1e-12  # relative gradient below which there is nothing to polish
AFFORDABLE = 5e10  # multiplications of one Newton step; beyond it the fit is left as it is, and said
STEPS = 40  # separable data without a penalty has no optimum: each step only lengthens θ


def column_sizes(x: Any, weights: Float[Array, " n"]) -> Float[Array, " D"]:
    """Root mean square of each column under the weights; 1 for the constant."""
    share = weights / np.sum(weights)
    if sp.issparse(x):
        squares = np.asarray(x.multiply(x).T @ share).reshape(-1)
    else:
        squares = np.zeros(x.shape[1])
        for rows in blocks(x.shape[0], 16.0 * x.shape[1]):
            squares += share[rows] @ x[rows].astype(np.float64) ** 2
    return np.append(np.sqrt(squares), 1.0)


def yardstick(head: LinearHead, x: Any, spread: Float[Array, " c"]) -> Yardstick:
    """The problem's own sizes, in F's scale."""
    total = float(np.sum(head.weights)) * head.scale

    def at_zero() -> Float[Array, "c D"]:
        start = head.at(np.zeros(head.params.size))
        return np.asarray(start.params.expand(start.gradient[None])[0])

    return Yardstick(column_sizes(x, head.weights), total * np.maximum(spread, np.finfo(float).tiny), at_zero)


def judge(head: LinearHead, promise: Promise, sizes: Yardstick) -> Stationarity:
    """What the gradient of F at the user's own parameters says of the fit and of the data."""
    gradient = np.abs(head.params.expand(head.gradient[None])[0])
    free = np.asarray(head.params.free)
    kept = promise.bound is not None
    bound = promise.bound(sizes) if promise.bound is not None else UNPROMISED * sizes.entries
    excess = np.where(free, gradient / np.maximum(bound, np.finfo(float).tiny), 0.0)
    worst = np.unravel_index(int(np.argmax(excess)), excess.shape) if excess.size else (0, 0)
    seen, allowed = float(gradient[worst]) * promise.scale, float(bound[worst]) * promise.scale
    if not excess[worst] > 1.0:
        return Stationarity(seen, allowed, promise.finished)
    size = f"the training gradient at the fitted parameters is {seen:.1e}"
    if not kept:
        sentence = (
            f"{size}, and {promise.solver} stops by its own steps, not by the gradient: the fit has not converged, or "
            "these are not the rows, labels or weights that the model was fitted on"
        )
        return Stationarity(seen, allowed, promise.finished, unconverged=sentence)
    stops = f"{size}; {promise.solver} stops at {allowed:.1e}"
    if promise.finished is False:
        sentence = f"{stops}, and ran into its limit of {promise.limit} steps: the fit has not converged"
        return Stationarity(seen, allowed, False, unconverged=sentence)
    sentence = f"{stops}: these are not the rows, labels or weights that the model was fitted on"
    return Stationarity(seen, allowed, promise.finished, mismatch=sentence)


def reconsider(judged: Stationarity, reading: Reading, estimator: Any, n: int) -> Stationarity:
    """A suspected mismatch is none where the user's own solver, run anew on these rows, stops at the same parameters.

    lbfgs may give up far from any optimum on columns of very different sizes, and tells nobody afterwards.
    """
    entries = n * len(reading.free.ravel())
    if judged.mismatch is None or entries * (reading.promise.steps or 1) > REFITTABLE:
        return judged
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            again = _parameters(reading.refit(np.arange(n)))
    except ValueError:  # its solver refuses these rows, so it cannot have been fitted on them
        return judged
    theirs = _parameters(estimator)
    if again.shape != theirs.shape or np.max(np.abs(again - theirs)) > SAME * np.max(np.abs(theirs)):
        return judged
    size = judged.mismatch.partition(":")[0]
    sentence = f"{size}, and stops there again when it is fitted anew on these rows: the fit has not converged"
    return replace(judged, mismatch=None, unconverged=sentence)


def _parameters(estimator: Any) -> Array:
    parts = []
    for fit in getattr(estimator, "estimators_", [estimator]):
        coef = fit.coef_.toarray() if sp.issparse(fit.coef_) else fit.coef_
        parts += [np.ravel(coef), np.ravel(fit.intercept_)]
    return np.concatenate(parts).astype(np.float64)


def polish(
    head: LinearHead, judged: Stationarity, sizes: Yardstick, l1: Float[Array, "c D"] | None
) -> tuple[LinearHead, Stationarity]:
    """The head at the optimum of its rows, where Newton finds one that keeps the signs of an l1 part."""
    relative = np.abs(head.gradient) / np.maximum(head.params.collect(sizes.entries[None])[0], np.finfo(float).tiny)
    if not head.params.size or float(np.max(relative)) <= AT_ROUNDING:
        return head, judged
    if _cost(head) > AFFORDABLE:
        return head, judged
    found = minimise(head, max_steps=STEPS)
    if not found.converged:
        return head, judged
    if l1 is not None:
        signed = (l1 > 0) & np.asarray(head.params.free)
        if np.any(signed & (np.sign(found.head.params.matrix) != np.sign(head.params.matrix))):
            return head, judged
    moved = float(np.max(np.abs(found.head.outputs - head.outputs)))
    return found.head, replace(judged, polished=True, moved=moved)


def _cost(head: LinearHead) -> float:
    """Multiplications of one Newton step by the direct solver that minimise takes."""
    rows, size = float(head.n) * head.c, head.params.size
    if size > DENSE:
        return rows**2 * (head.features.columns + rows) if rows <= DENSE else float("inf")
    pairs = head.c if head.loss.separate else head.c * (head.c + 1) / 2
    return float(head.n) * head.features.columns**2 * pairs + size**3 / 3.0
