"""The model's own solver beside our refit, both without the same tenth of the rows: does a refit divide as we think?

Stands on adapters and attribution; trust stands on it. A penalty or a normalisation that was read wrongly shows here,
and nowhere else: estimates and our refits would share the mistake. Source: METHODS.md 1 (two meanings of removed).
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from upweight.adapters import Adapted
from upweight.attribution import Attribution
from upweight.errors import InputError
from upweight.questions.base import optimum
from upweight.questions.on_set import as_predicted

__all__ = ["compare_with_own_solver", "predictions_of"]

SHARE = 10  # a tenth of the rows leaves
SEEN = 200  # training rows whose predictions are compared
MOST_LUCK, UNPROMISED = 100.0, 5.0  # the second where a solver promises nothing, or did not keep its promise
NUMBERS = 5_000_000  # n p past which a cold fit is timed on a tenth first
SECONDS = 20.0  # longest cold fit that a check waits for


def compare_with_own_solver(
    adapted: Adapted, attribution: Attribution, generator: np.random.Generator
) -> tuple[float | None, float, str]:
    """(gap, what the solver's tol can explain of it, reason), both as shares of what the removal does.

    gap None: it was not run, and the reason says why.
    """
    cold = adapted.cold_refit
    if cold is None:
        return None, 0.0, "not compared: this model cannot be fitted again"
    n = attribution.n
    often = _may_leave(adapted, n)
    if len(often) < 2:
        return None, 0.0, "not compared: there are too few rows to leave any out"
    out = generator.choice(often, size=max(1, min(len(often) - 1, n // SHARE)), replace=False)
    seen = np.sort(generator.choice(n, size=min(SEEN, n), replace=False))
    start = optimum(adapted, attribution)
    vectors, converged = attribution.refitted([[int(i) for i in out]])
    if start is None or not bool(converged[0]):
        return None, 0.0, "not compared: our refit without a tenth of the rows found no optimum"
    full, without = (_predicted(adapted, attribution, vector, seen) for vector in (start, vectors[0, :]))
    size = float(np.linalg.norm(without - full))
    if size == 0:
        return None, 0.0, "not compared: a tenth of the rows changes no prediction"
    try:
        slow = _too_slow(cold, often, n * attribution.size, n)
        if slow:
            return None, 0.0, slow
        theirs = predictions_of(adapted, cold([int(i) for i in out]), _rows(adapted.rows, seen))
    except InputError as error:
        return None, 0.0, f"not compared: {error}"
    was = full if adapted.fitted is None else _predicted(adapted, attribution, adapted.fitted, seen)
    left = float(np.linalg.norm(was - full)) / size * _luck(adapted)
    return float(np.linalg.norm(theirs - without)) / size, left, ""


def _luck(adapted: Adapted) -> float:
    """How many times further from its optimum another fit may stop: the gradient that is promised over the one left."""
    fit = adapted.stationarity
    if fit.unconverged:
        return UNPROMISED
    return float(np.clip(fit.tol / fit.gradient, 1.0, MOST_LUCK)) if fit.gradient > 0 else 1.0


def predictions_of(adapted: Adapted, model: Any, x: Any) -> NDArray[np.float64]:
    """An estimator's own predictions, in the form of `as_predicted`."""
    if adapted.kind == "regression":
        return np.asarray(model.predict(x), dtype=float)
    return np.asarray(model.predict_proba(x) if adapted.has_probability else model.decision_function(x), dtype=float)


def _may_leave(adapted: Adapted, n: int) -> NDArray[np.int64]:
    """Positions of all rows but the first of each class: no class is lost."""
    if adapted.kind == "regression":
        return np.arange(n)
    return np.setdiff1d(np.arange(n), np.unique(np.asarray(adapted.labels), return_index=True)[1])


def _predicted(adapted: Adapted, attribution: Attribution, state: Any, seen: NDArray[np.int64]) -> NDArray[np.float64]:
    z = attribution.row_outputs_at(attribution.states_of(state), [int(i) for i in seen])
    return as_predicted(adapted, attribution, z[0])


def _too_slow(cold: Callable[[Sequence[int]], Any], often: NDArray[np.int64], numbers: int, n: int) -> str:
    """Why the cold fit is not run, "" where it may be; large ones are timed on a tenth of the rows."""
    if numbers <= NUMBERS:
        return ""
    start = perf_counter()
    cold([int(i) for i in often[np.arange(len(often)) % SHARE != 0]])
    seconds = SHARE * (perf_counter() - start)
    if seconds <= SECONDS:
        return ""
    return f"not compared: a fit of {n:,} rows with the model's own solver would take about {seconds:.0f} s"


def _rows(x: Any, at: NDArray[np.int64]) -> Any:
    """These rows of the user's own X, in its own form."""
    if hasattr(x, "iloc"):
        return x.iloc[at]
    if sp.issparse(x):
        return sp.csr_matrix(x)[at]
    return np.asarray(x)[at] if hasattr(x, "__array__") else [x[int(i)] for i in at]
