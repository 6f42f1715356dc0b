"""How long a network's questions take, from one product with its Hessian that is timed: said before they are begun.

Stands on network, curvature and effort; the commands and the doctor stand on it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from upweight.attribution.regime import WRITTEN_OUT
from upweight.curvature.hessian import Hessian
from upweight.influence import Influence
from upweight.network import Network
from upweight.workflows.explain import FLIP_REFITS, SHOWN
from upweight.workflows.shared import MOST

__all__ = ["Pace", "pace_of", "seconds_of_check", "seconds_of_explanation", "timed"]

TOGETHER = 8  # products side by side, as a curvature that is written out makes them
SEARCH = 60  # products that look for the lowest curvature and the mean
STEPS = 100  # of conjugate gradients, typically
OWN = 6  # refits of a check beside its rows: the start, groups, the model's own solver, a seed tried twice


@dataclass(frozen=True)
class Pace:
    """Seconds of one product with the Hessian over all rows, and of making the curvature ready."""

    product: float
    ready: float
    query: float


def pace_of(network: Network) -> Pace:
    """From TOGETHER products that are timed now."""
    some = min(TOGETHER, network.size)
    vectors = network.vector.new_ones((some, network.size))
    curvature = Hessian(network)
    curvature.matmul(vectors[:1])  # what is made once is no part of the pace
    product = timed(lambda: curvature.matmul(vectors)) / some
    if network.size <= WRITTEN_OUT:
        return Pace(product, (2.0 * network.size + 4.0 * network.c) * product, (2.0 * network.c + 2.0) * product)
    return Pace(product, (SEARCH + 2.0 * STEPS) * product, (STEPS + 2.0) * product)


def seconds_of_explanation(
    influence: Influence, pace: Pace, predictions: int, more: int, checked: int, flips: bool
) -> float:
    """Once the curvature is ready: the queries and `more` that are only scored, and where a refit is cheap all that are
    shown, at the pace of one."""
    seconds = (predictions + more) * pace.query
    if not influence.attribution.refits_shown:
        return seconds
    each = timed(lambda: influence.attribution.refitted([[0], [1]])) / 2
    refits = predictions * (3 * SHOWN + (FLIP_REFITS if flips else 0) + (MOST if predictions > 1 else 0))
    return seconds + (refits + checked + OWN) * each


def seconds_of_check(influence: Influence, pace: Pace, queries: int, checked: int) -> float:
    """Refits at the pace of one that is made now: it is the one that the check starts from.

    Raises: UnsupportedQuestion where there is no way to refit; InputError for a training that fails.
    """
    each = timed(lambda: influence.attribution.refitted([[]]))
    if influence.attribution.refits_shown:
        each = timed(lambda: influence.attribution.refitted([[0], [1]])) / 2
    return queries * pace.query + (checked + OWN) * each


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call, the device's own work included."""
    _finish()
    start = time.perf_counter()
    call()
    _finish()
    return time.perf_counter() - start


def _finish() -> None:
    """What is queued on a device ends first."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
