"""Whether a torch model is where its training meant to end: the gradient that is left, a weight decay that nobody gave,
and a checkpoint that is no better than a constant.

Stands on network, linear_head and newton; torch_module asks. Source: METHODS.md 5, 11.27.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upweight.adapters.base import Stationarity
from upweight.adapters.torch_loss import RowLoss
from upweight.features import DenseFeatures
from upweight.linear_head import LinearHead
from upweight.network import Network
from upweight.newton import minimise
from upweight.params import Params
from upweight.shapes import Array, Float

__all__ = ["best_constant", "judge_network", "suspect_checkpoint", "suspect_decay"]

CONVERGED = 1e-4  # of a row's own gradient: a refit of one row in 10,000 moves as much
TYPICAL = 16  # rows whose gradients say how large one is
ALONG = 0.95  # cosine at which the gradient that is left is the parameters themselves
STEPS = 100


def judge_network(network: Network) -> Stationarity:
    """‖∇F‖ beside a row's own gradient: a network that is not at an optimum is unconverged, never a mismatch."""
    left = network.gradient
    own = _typical(network)
    largest, bound = float(left.abs().max()), CONVERGED * own
    seen = float(torch.linalg.vector_norm(left.double())) / own if own > 0 else 0.0
    if seen <= CONVERGED:
        return Stationarity(largest, bound, None)
    sentence = (
        f"the training gradient at these parameters is {largest:.1e} at its largest and {seen:.1e} of a typical row's "
        "own in length: training has not converged to an optimum of this loss and penalty"
    )
    return Stationarity(largest, bound, None, unconverged=sentence)


def suspect_checkpoint(judged: Stationarity, read: RowLoss, weights: Float[Array, " n"]) -> Stationarity:
    """A mismatch where the model's mean loss on its own rows is no better than the best constant outputs'."""
    best = best_constant(read, weights)
    own = float(np.average(read.values, weights=weights))
    if best is None or judged.unconverged is None or own < best[0]:
        return judged
    sentence = (
        f"the model's mean loss on its own training rows is {own:.4g}, and {best[0]:.4g} is what the best constant "
        "prediction has: these are not the trained parameters (an untrained checkpoint?), or not its rows, targets or "
        "loss"
    )
    return replace(judged, mismatch=sentence, unconverged=None)


def best_constant(read: RowLoss, weights: Float[Array, " n"]) -> tuple[float, NDArray[np.float64]] | None:
    """(mean loss, outputs [c]) of the best constant prediction; None where the loss is not convex."""
    if not read.convex:
        return None
    c = read.loss.outputs
    nothing = DenseFeatures(np.zeros((len(weights), 0)), np.float64)
    start = np.zeros((c, 1))
    if read.loss.unit.endswith("squared error") and read.targets.size == len(weights) * c:
        start = np.average(read.targets.reshape(-1, c), axis=0, weights=weights)[:, None]
    params = Params(start, np.ones((c, 1), dtype=bool), tuple(map(str, range(c))), ("intercept",))
    head = LinearHead(nothing, read.loss, read.targets, weights, params, np.zeros((c, 1)), "mean")
    try:
        found = minimise(head, max_steps=STEPS).head
    except (RuntimeError, ValueError):  # outputs that the user's loss does not take
        return None
    return (found.value, np.asarray(found.params.matrix[:, 0])) if np.isfinite(found.value) else None


def suspect_decay(gradient: Array, theta: Array, penalised: bool) -> str | None:
    """The sentence where the gradient that is left is −κθ: a weight decay that is part of no penalty given."""
    lengths = float(np.linalg.norm(gradient)) * float(np.linalg.norm(theta))
    along = float(gradient @ theta) / lengths if lengths > 0 else 0.0
    if abs(along) < ALONG:
        return None
    kappa = abs(float(gradient @ theta)) / float(theta @ theta)
    if along < 0:
        more = "more than the penalty given" if penalised else "that is not in penalty"
        return (
            f"the training gradient that is left points along the parameters (cosine {along:.2f}), as a weight decay "
            f"of about {kappa:.2g} {more} would leave it: if the model was trained with one, pass it"
        )
    if not penalised:
        return None
    return (
        f"the training gradient that is left points along the parameters (cosine {along:.2f}): the penalty given is "
        f"about {kappa:.2g} larger than what the model was trained with"
    )


def _typical(network: Network) -> float:
    """Mean length of a row's own gradient, over rows spread over the data."""
    at = np.unique(np.linspace(0, network.n - 1, TYPICAL).round().astype(int))
    few = _some(network, at)
    rows: Tensor = few.combine(torch.eye(len(at), dtype=network.dtype, device=network.device))
    return float(torch.linalg.vector_norm(rows.double(), dim=1).mean())


def _some(network: Network, at: NDArray[np.int64]) -> Network:
    """The same network on some of its rows."""
    rows = torch.as_tensor(at, device=network.device)
    inputs, targets = network.batch(rows)
    return replace(network, inputs=inputs, targets=targets, weights=network.weights[rows])
