"""How the columns of the user's own table reach the features that the model reads: a derivative taken all the way back.

Walks pipelines, column transformers and unions, whose transformers stay as they were fitted. Stands on column_routes;
questions.features asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from upweight.adapters.column_routes import LINEAR, UNUSED, Back, Reach, farthest, leaf
from upweight.adapters.inputs import take_rows
from upweight.shapes import Array, Float

__all__ = ["ColumnMap", "column_map", "table_columns"]

SAMPLE = 200  # training rows from which a step's size is taken


@dataclass(frozen=True)
class ColumnMap:
    """For r rows of a table of d columns: `gradient` [q, r, d] per unit, and how each column reaches the model."""

    names: tuple[str, ...]
    gradient: Float[Array, "q r d"]
    reach: tuple[Reach, ...]


def column_map(stages: Sequence[Pipeline], x: Any, at: Sequence[int], gradient: Float[Array, "q r d"]) -> ColumnMap:
    """`gradient` by what the model reads of rows `at` of the table `x`, taken back to the table's own columns."""
    names = table_columns(x)
    later = Back(gradient, (LINEAR,) * gradient.shape[2])
    if stages:
        sample = np.unique(np.linspace(0, _rows(x) - 1, min(SAMPLE, _rows(x))).astype(int))
        batch = take_rows(x, np.concatenate([np.asarray(at, dtype=int), sample]))
        inputs = []
        for stage in stages:
            inputs.append(batch)
            batch = stage.transform(batch)
        for stage, read in zip(reversed(stages), reversed(inputs), strict=True):
            later = _back(stage, read, later)
    return ColumnMap(names, later.gradient, later.reach)


def table_columns(x: Any) -> tuple[str, ...]:
    """The columns' names as the user knows them: the table's, x0, x1 … of an array, "text" of a list of texts."""
    columns = getattr(x, "columns", None)
    if columns is not None:
        return tuple(str(name) for name in columns)
    name = getattr(x, "name", None)
    shape = getattr(x, "shape", ()) or np.shape(x[0])
    if len(getattr(x, "shape", ())) == 2 or (isinstance(x, list) and len(np.shape(x[0])) == 1):
        return tuple(f"x{j}" for j in range(shape[-1]))
    return (str(name) if name is not None else "text",)


def _rows(x: Any) -> int:
    return int(x.shape[0]) if hasattr(x, "shape") else len(x)


def _back(transformer: Any, x: Any, later: Back) -> Back:
    if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
        return later
    if isinstance(transformer, Pipeline):
        return _through_pipeline(transformer, x, later)
    if isinstance(transformer, ColumnTransformer):
        return _through_columns(transformer, x, later)
    if isinstance(transformer, FeatureUnion):
        return _through_union(transformer, x, later)
    return leaf(transformer, x, later)


def _through_pipeline(pipeline: Pipeline, x: Any, later: Back) -> Back:
    read = []
    for _, step in pipeline.steps:
        read.append((step, x))
        x = x if step is None or isinstance(step, str) else step.transform(x)
    for step, given in reversed(read):
        later = _back(step, given, later)
    return later


def _through_columns(columns: ColumnTransformer, x: Any, later: Back) -> Back:
    """Each branch reads its own columns, which may overlap."""
    width = int(x.shape[1])
    gradient = np.zeros((*later.gradient.shape[:2], width))
    reach = [UNUSED] * width
    fitted = getattr(columns, "feature_names_in_", None)
    by_name = fitted is not None and hasattr(x, "columns")
    places = {str(name): j for j, name in enumerate(x.columns)} if by_name else {}
    names = [str(name) for name in fitted] if fitted is not None else []
    for name, transformer, spec in columns.transformers_:
        out = columns.output_indices_[name]
        if (isinstance(transformer, str) and transformer == "drop") or out.stop <= out.start:
            continue
        alone, found = _chosen(spec, int(columns.n_features_in_), names)
        where = [places[names[j]] for j in found] if by_name else found
        back = _back(transformer, _part(x, where, alone), Back(later.gradient[:, :, out], later.reach[out]))
        for k, j in enumerate(where):
            gradient[:, :, j] += back.gradient[:, :, k]
            reach[j] = farthest(reach[j], back.reach[k])
    return Back(gradient, tuple(reach))


def _chosen(spec: Any, width: int, names: list[str]) -> tuple[bool, list[int]]:
    """Positions of a branch's columns, and whether it reads one column as a plain series."""
    alone = isinstance(spec, str | int | np.integer) and not isinstance(spec, bool)
    frame = pd.DataFrame([range(width)], columns=names or None)
    wanted = [spec] if alone else spec
    if isinstance(wanted, slice):
        by_label = isinstance(wanted.start or wanted.stop, str)
    else:
        wanted = list(wanted)
        by_label = bool(wanted) and isinstance(wanted[0], str)
    if not isinstance(wanted, slice) and not wanted:
        return alone, []
    part = frame.loc[:, wanted] if by_label else frame.iloc[:, wanted]
    return alone, [int(j) for j in part.iloc[0]]


def _part(x: Any, where: list[int], alone: bool) -> Any:
    chosen: Any = where[0] if alone else where
    return x.iloc[:, chosen] if hasattr(x, "iloc") else x[:, chosen]


def _through_union(union: FeatureUnion, x: Any, later: Back) -> Back:
    """Every branch reads all columns; their derivatives add up."""
    weights = union.transformer_weights or {}
    start, found = 0, list[Back]()
    for name, transformer in union.transformer_list:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        read = x if isinstance(transformer, str) else transformer.transform(x)
        out = slice(start, start + int(read.shape[1]))
        start = out.stop
        part = Back(later.gradient[:, :, out] * weights.get(name, 1.0), later.reach[out])
        found.append(_back(transformer, x, part))
    total: Array = sum(back.gradient for back in found)
    return Back(total, tuple(farthest(*ways) for ways in zip(*(back.reach for back in found), strict=True)))
