"""A torch model that is linear in what moves: its last nn.Linear as a linear head on the features before it, float64.

Stands on torch_reading; everything that serves scikit-learn's linear models serves it.
"""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from upweight.adapters.base import Adapted, Inputs
from upweight.adapters.promise import Yardstick, no_promise
from upweight.adapters.stationarity import column_sizes, judge, polish
from upweight.adapters.torch_adapted import adapted
from upweight.adapters.torch_data import read_queries
from upweight.adapters.torch_head import Head, read_features
from upweight.adapters.torch_reading import Reading
from upweight.adapters.torch_row_inputs import torch_rows
from upweight.adapters.torch_trained import best_constant, suspect_checkpoint, suspect_decay
from upweight.attribution import HeadAttribution
from upweight.features import DenseFeatures
from upweight.linear_head import LinearHead
from upweight.params import Params
from upweight.shapes import Array
from upweight.solvers import Solver

__all__ = ["as_head", "is_linear"]


def is_linear(read: Reading) -> bool:
    """Whether only the last linear layer moves, under a convex loss, and is held by its penalty or by the rows."""
    head = read.head
    if head is None or not head.linear or not set(read.chosen) <= set(head.names) or not read.loss.convex:
        return False
    loose = head.free(read.chosen) & (head.spread(read.penalties) == 0)
    most = int(np.max(loose.sum(axis=1), initial=0))
    return most <= 1 or most < int(np.sum(read.weights > 0))


def as_head(read: Reading) -> Adapted:
    """The head at the optimum of its rows, where Newton finds one."""
    head = read.head
    assert head is not None
    inputs, matrix = read.rows.inputs, head.matrix()
    names = _column_names(read, head)
    objective = LinearHead(
        features=DenseFeatures(head.features, np.float64),
        loss=read.loss.loss,
        targets=read.loss.targets,
        weights=read.weights,
        params=Params(matrix, head.free(read.chosen), read.output_names, (*names, "intercept")),
        penalty=head.spread(read.penalties),
        normalization=read.normalization,
    )
    sizes = Yardstick(
        column_sizes(head.features, read.weights),
        float(np.sum(read.weights)) * objective.scale * _spread(read),
        lambda: np.zeros_like(matrix),
    )
    judged = suspect_checkpoint(
        judge(objective, no_promise("a training loop", None, None), sizes), read.loss, read.weights
    )
    notes = read.notes
    if judged.unconverged or judged.mismatch:
        decay = suspect_decay(objective.gradient, objective.params.vector, bool(np.any(objective.penalty)))
        notes = (*notes, decay) if decay else notes
    polished, stationarity = polish(objective, judged, sizes, None)

    def read_query(x: Any) -> Inputs:
        queries = read_queries(x, read.rows)
        return DenseFeatures(read_features(read.model, head.path, queries.inputs), np.float64)

    def rebuild(vector: Array) -> nn.Module:
        module = copy.deepcopy(read.model)
        if not np.array_equal(vector, objective.params.vector):
            layer = module.get_submodule(head.path)
            moved = torch.as_tensor(polished.params.at(np.asarray(vector)).matrix)
            with torch.no_grad():
                layer.weight.copy_(moved[:, :-1].to(layer.weight))  # type: ignore[operator, arg-type]
                if layer.bias is not None:
                    layer.bias.copy_(moved[:, -1].to(layer.weight))  # type: ignore[operator, arg-type]
        return module

    frozen = (
        ()
        if head.path == "" or inputs[0].reshape(len(inputs[0]), -1).shape[1] == matrix.shape[1] - 1
        else ("backbone",)
    )
    made = adapted(read, polished, _undamped, read_query, rebuild, stationarity, frozen, notes, objective.params.vector)
    return replace(made, row_inputs=torch_rows(read.model, head.path, inputs, read.rows.names))


def _undamped(objective: LinearHead, solver: str | Solver, damping: float | str) -> HeadAttribution:
    """A convex head needs no damping."""
    return HeadAttribution(objective, solver, 0.0 if isinstance(damping, str) else float(damping))


def _column_names(read: Reading, head: Head) -> tuple[str, ...]:
    d = head.features.shape[1]
    named = read.rows.names
    if named is not None and len(named) == d:
        return named
    return tuple(f"x{j}" for j in range(d))


def _spread(read: Reading) -> Array:
    """How large ∂ℓ/∂z is at the best constant outputs: [c]."""
    best = best_constant(read.loss, read.weights)
    c = read.loss.loss.outputs
    z = np.broadcast_to(np.zeros(c) if best is None else best[1], (read.rows.n, c))
    slopes = read.loss.loss.gradient(np.ascontiguousarray(z), read.loss.targets)
    return np.asarray(np.sqrt(np.average(slopes**2, axis=0, weights=read.weights)))
