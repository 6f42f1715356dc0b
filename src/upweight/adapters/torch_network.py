"""A torch model that is not linear in what moves: its objective by autograd.

Stands on network and torch_reading; torch_module asks.
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from upweight.adapters.base import Adapted
from upweight.adapters.torch_adapted import adapted
from upweight.adapters.torch_data import read_queries
from upweight.adapters.torch_params import flat
from upweight.adapters.torch_reading import Reading
from upweight.adapters.torch_trained import judge_network, suspect_checkpoint, suspect_decay
from upweight.arrays import to_numpy
from upweight.attribution.network import NetworkAttribution
from upweight.attribution.network_inputs import NetworkInputs
from upweight.errors import InputError
from upweight.network import Network
from upweight.network_health import first_nonfinite
from upweight.removal.retraining import Retraining
from upweight.solvers import Solver

__all__ = ["as_network"]


def as_network(read: Reading) -> Adapted:
    """The network where its training left it.

    Raises: InputError for a gradient that is not finite.
    """
    like = dict(read.model.named_parameters())[read.chosen[0]].detach()
    inputs = read.rows.inputs
    network = Network(
        module=read.model,
        row_loss=read.loss.call,
        chosen=read.chosen,
        inputs=inputs[0] if len(inputs) == 1 else inputs,
        targets=read.rows.targets,
        weights=torch.as_tensor(read.weights).to(like),
        penalty=flat(read.model, read.chosen, read.penalties, like),
        normalization=read.normalization,
    )
    if not bool(torch.isfinite(network.gradient).all()):
        raise InputError(f"{first_nonfinite(network)}. No row's influence passes through it.")
    judged = suspect_checkpoint(judge_network(network), read.loss, read.weights)
    notes = read.notes
    if judged.unconverged or judged.mismatch:
        left, theta = (to_numpy(part).astype(np.float64) for part in (network.gradient, network.vector))
        decay = suspect_decay(left, theta, any(read.penalties.values()))
        notes = (*notes, decay) if decay else notes

    def rebuild(state: Tensor | Mapping[str, Tensor]) -> nn.Module:
        module = copy.deepcopy(read.model)
        values = state if isinstance(state, Mapping) else network.pieces(torch.as_tensor(state).to(like))
        own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        with torch.no_grad():
            for name, value in values.items():
                own[name].copy_(value)
        return module

    def read_query(x: Any) -> NetworkInputs:
        queries = read_queries(x, read.rows).inputs
        return NetworkInputs(queries[0] if len(queries) == 1 else queries)

    refits = None if read.train is None else Retraining(read.train, network)

    def attribution(objective: Network, solver: str | Solver, damping: float | str) -> NetworkAttribution:
        return NetworkAttribution(
            objective, solver, damping, loss=read.loss.loss, targets=read.loss.targets, refitter=refits
        )

    left_out = [name for name, _ in read.model.named_parameters() if name not in set(read.chosen)]
    frozen = (f"{len(left_out)} of its parameters",) if left_out else ()
    return adapted(read, network, attribution, read_query, rebuild, judged, frozen, notes, None)
