"""A network's curvature looked at: whether training ended at a minimum, how low it bends, memory, time.

What would take long is timed on a small piece, said, and left alone. Stands on network_effort and diagnosis;
doctor_answers calls it.
"""

import math
from typing import Any

import torch

from upweight.attribution.network import NetworkAttribution
from upweight.attribution.regime import WRITTEN_OUT, Regime
from upweight.display.words import number, percent
from upweight.influence import Influence
from upweight.network import Network
from upweight.network_health import asymmetry
from upweight.workflows.diagnosis import Findings
from upweight.workflows.doctor_fit import look_at_fit, look_at_rows
from upweight.workflows.doctor_training import look_at_training
from upweight.workflows.effort import LONG, in_words
from upweight.workflows.explain import CHECKED
from upweight.workflows.network_effort import Pace, pace_of, seconds_of_check, seconds_of_explanation

__all__ = ["look_at_network"]

CROOKED = {torch.float64: 1e-9}  # asymmetry past which a second derivative is wrong; else
CROOKED_SINGLE = 1e-4
VECTORS = 10  # of length p that a solve holds for each right-hand side
SQUARES = 4  # p × p arrays at the peak


def look_at_network(found: Findings, influence: Influence, held: float) -> None:
    """`held`: bytes of the data."""
    network, attribution = influence.adapted.objective, influence.attribution
    assert isinstance(network, Network)
    assert isinstance(attribution, NetworkAttribution)
    found.sizes["parameters"] = network.size
    crooked = asymmetry(network)
    if crooked > CROOKED.get(network.dtype, CROOKED_SINGLE):
        said = f"second derivatives are not symmetric ({crooked:.0e}): a layer's backward pass is not differentiable"
        found.problem("layers", said, "replace fused or custom layers by plain ones")
        look_at_fit(found, influence)
        return
    found.ok("layers", "all can be differentiated twice")
    found.room(_memory(network, held), _free(network))
    pace = pace_of(network)
    found.solver = type(attribution.solver).__name__.lower()
    found.seconds["ready"] = pace.ready
    if pace.ready > LONG:
        said = f"making the curvature ready takes about {in_words(pace.ready)}, so how it bends was not looked at"
        found.warn("curvature", said, "params='head' or fewer rows are quicker; a GPU: --device cuda")
        found.seconds["explain"] = pace.ready + pace.query
        look_at_fit(found, influence)
        look_at_training(found, attribution.refitter)
        return
    look_at_fit(found, influence, settled=bool(attribution.at_minimum))
    _look_at_regime(found, attribution.regime)
    found.ok("solver", f"{type(attribution.solver).__name__}, {attribution.reason}")
    if network.size <= WRITTEN_OUT:
        look_at_rows(found, influence)
    _look_at_time(found, influence, attribution, pace)


def _look_at_time(found: Findings, influence: Influence, attribution: Any, pace: Pace) -> None:
    flips = influence.adapted.kind == "classification"
    found.seconds["explain"] = pace.ready + seconds_of_explanation(influence, pace, 1, 0, CHECKED, flips)
    if attribution.refits_shown:
        found.seconds["check"] = pace.ready + seconds_of_check(influence, pace, 1, CHECKED)
        found.ok("refits", "cheap: each goes on from the trained parameters to the next minimum")
    else:
        look_at_training(found, attribution.refitter)


def _look_at_regime(found: Findings, regime: Regime) -> None:
    """Whether the implicit function theorem holds where training ended."""
    if regime.lowest is None:
        found.ok("minimum", f"need not be one: train goes on from here, and so do the estimates; {regime.reason}")
        return
    low = f"the lowest curvature met is {number(regime.lowest)}"
    if regime.near:
        gain = percent(0.5 * regime.left**2)
        found.ok("minimum", f"a Newton step would lower the objective by {gain}; {low}")
        return
    if math.isinf(regime.left):
        said = f"the Hessian bends down ({low}): training has not ended at a minimum"
    else:
        said = f"a Newton step would lower the objective by {percent(0.5 * regime.left**2)}; {low}"
    cure = (
        "train on (more steps, a smaller rate at the end, or L-BFGS), with weight decay in the loss; until then scores "
        f"mean the proximal response, with damping {number(regime.damping)}"
    )
    found.warn("minimum", said, cure)


def _memory(network: Network, held: float) -> float:
    """Bytes at the peak: the data, a batch with its graph, vectors or squares of the parameters."""
    each = network.vector.element_size()
    p = float(network.size)
    own = SQUARES * p * p if network.size <= WRITTEN_OUT else VECTORS * network.c * p
    batch = min(network.batch_bytes, 3.0 * network.n * network.bytes_per_row)
    return held + batch + each * own + 8.0 * 4.0 * network.n * network.c


def _free(network: Network) -> float | None:
    return float(torch.cuda.mem_get_info(network.device)[0]) if network.device.type == "cuda" else None
