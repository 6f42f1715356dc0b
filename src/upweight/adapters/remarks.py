"""What does not forbid an answer but belongs beside it: constant and empty columns, lonely classes, the slack of l1.

Stands on linear_head; `assemble` stands on it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from upweight.adapters.sparse_features import SparseFeatures
from upweight.errors import listed
from upweight.features import DenseFeatures, Features
from upweight.linear_head import LinearHead
from upweight.shapes import Array, Float

__all__ = ["class_remarks", "column_remarks", "support_remark"]


def column_remarks(read: Features, x: Any, names: Sequence[str]) -> list[str]:
    """Sentences on columns that are empty in the user's table, or constant in what the model reads."""
    out = []
    if isinstance(x, pd.DataFrame):
        empty = [str(name) for name in x.columns if x[name].isna().all()]
        if empty:
            out.append(f"{_columns(empty)} empty in every row and {_say(empty)} nothing")
    still = [str(names[j]) for j in np.flatnonzero(_constant(read)).tolist()]
    if still:
        out.append(f"{_columns(still)} constant and {_say(still)} nothing that the intercept does not")
    return out


def class_remarks(codes: Array, classes: tuple[Any, ...]) -> list[str]:
    """A sentence on classes that one row alone holds: without it the model would lose the class."""
    if not classes:
        return []
    counts = np.bincount(codes, minlength=len(classes))
    alone = [classes[k] for k in np.flatnonzero(counts == 1)]
    none = [classes[k] for k in np.flatnonzero(counts == 0)]
    out = []
    if alone:
        one = "class" if len(alone) == 1 else "classes"
        out.append(f"{one} {listed(alone)} of one row each: without it the class is gone, and no refit can keep it")
    if none:
        out.append(f"no row of y is of class {listed(none)}, which the model knows")
    return out


def support_remark(head: LinearHead, l1: Float[Array, "c D"]) -> str:
    """How near the nearest coefficient at zero is to joining, relative to its l1 weight."""
    params = head.params
    free = np.asarray(params.free)
    used, resting = int(np.sum(free & (l1 > 0))), (l1 > 0) & ~free
    told = f"l1 keeps {used} of {int(np.sum(l1 > 0))} coefficients; answers hold while these and their signs stay"
    if not np.any(resting):
        return told
    pull = np.zeros_like(l1)
    e = head.output_gradients * head.weights[:, None]
    for rows in head.batches(1):
        pull = pull + head.features.rmatmul(e[rows, :], rows)
    slack = np.where(resting, 1.0 - np.abs(head.scale * pull) / np.where(l1 > 0, l1, 1.0), np.inf)
    a, j = np.unravel_index(int(np.argmin(slack)), slack.shape)
    name = params.column_names[j] if head.c == 1 else f"{params.output_names[a]}/{params.column_names[j]}"
    nearest = float(slack[a, j])
    if nearest < 0:
        return f"{told}; {name!r} should have joined already (its gradient exceeds its l1 weight by {-nearest:.1%})"
    return f"{told}; the nearest at zero, {name!r}, joins once its gradient grows by {nearest:.1%} of its l1 weight"


def _constant(read: Features) -> Array:
    if isinstance(read, DenseFeatures):
        low, high = read.ranges
        return np.asarray(low == high)
    assert isinstance(read, SparseFeatures)
    matrix = read.x
    stored = np.bincount(matrix.indices, minlength=matrix.shape[1])
    low = np.asarray(matrix.min(axis=0).toarray()).reshape(-1)
    high = np.asarray(matrix.max(axis=0).toarray()).reshape(-1)
    return (low == high) & ((stored == matrix.shape[0]) | (high == 0))


def _columns(names: Sequence[str]) -> str:
    return f"column {names[0]!r} is" if len(names) == 1 else f"columns {listed(names)} are"


def _say(names: Sequence[str]) -> str:
    return "tells" if len(names) == 1 else "tell"
