"""The way back to the user's words: what both kinds of torch objective hand over beside themselves.

Stands on torch_reading; torch_linear and torch_network call it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from upweight.adapters.base import DIVIDES, Adapted, Inputs, Stationarity
from upweight.adapters.torch_data import as_shown
from upweight.adapters.torch_predictor import cold_refit
from upweight.adapters.torch_reading import Reading
from upweight.shapes import Array

__all__ = ["adapted"]


def adapted(
    read: Reading,
    objective: Any,
    attribution: Callable[..., Any],
    read_query: Callable[[Any], Inputs],
    rebuild: Callable[[Any], nn.Module],
    stationarity: Stationarity,
    frozen: Sequence[str],
    notes: Sequence[str],
    fitted: Array | None,
) -> Adapted:
    """`frozen`: what a refit keeps; `fitted`: θ as the user's own training left it, where it was polished."""
    labels = read.rows.targets.cpu().numpy()
    one = labels.ndim == 2 and labels.shape[1] == 1
    convention = DIVIDES[read.normalization] + (f"; frozen: {', '.join(frozen)}" if frozen else "")
    return Adapted(
        objective=objective,
        attribution=attribution,
        kind="classification" if read.loss.classes else "regression",
        classes=read.loss.classes,
        targets=() if read.loss.classes else read.output_names,
        unit="target units",
        row_ids=read.rows.ids,
        labels=labels[:, 0] if one else labels,
        rows=as_shown(read.rows),
        read_query=read_query,
        read_target=lambda y: read.loss.encode(y, "y_query"),
        rebuild=rebuild,
        cold_refit=None if read.train is None else cold_refit(read, read.train),
        stationarity=stationarity,
        model_name=type(read.model).__name__,
        has_probability=read.loss.has_probability,
        convention=convention,
        notes=tuple(notes),
        fitted=fitted,
    )
