"""From the user's estimator and data to `Adapted`: wrappers off, data checked, a reader asked, all tied together.

Stands on the other files of this folder; influence stands on it.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from upweight.adapters.base import Adapted, Stationarity
from upweight.adapters.inputs import (
    as_matrix,
    count_rows,
    explain_transform_error,
    read_ids,
    read_weights,
    refuse_wrong_columns,
)
from upweight.adapters.reading import Reading, Task
from upweight.adapters.wrappers import Unwrapped, refuse_unfitted, replaced, unwrap
from upweight.errors import InputError, UnsupportedModel
from upweight.features import DenseFeatures, Features
from upweight.linear_head import LinearHead
from upweight.params import Params

__all__ = ["assemble"]

Reader = Callable[[Task], Reading]


def assemble(readers: Mapping[type, Reader], estimator: Any, x: Any, y: Any, sample_weight: Any) -> Adapted:
    """The fitted model as a linear head, with the way back.

    Raises: UnsupportedModel; InputError.
    """
    wrapped = unwrap(estimator)
    reader = readers.get(type(wrapped.final))
    if reader is None:
        raise UnsupportedModel(
            f"{type(wrapped.final).__name__} is not supported. Use a linear model; docs/models.md lists them."
        )
    refuse_unfitted(wrapped.final)
    n = count_rows(x)
    if count_rows(y, "y") != n:
        raise InputError(f"X has {n} rows and y has {count_rows(y, 'y')}. Give one target per row.")
    ids = read_ids(x, y, n)
    weights = read_weights(sample_weight, n)
    names = column_names(wrapped, x)
    matrix = transformed(wrapped, x, x, ids, names, "X")
    labels = np.asarray(y)
    task = Task(wrapped.final, matrix, labels, weights, target_names(y))
    reading = reader(task)
    head = LinearHead(
        features=features(matrix),
        loss=reading.loss,
        targets=reading.targets,
        weights=reading.weights,
        params=Params(reading.matrix, reading.free, reading.output_names, (*names(matrix.shape[1]), "intercept")),
        penalty=reading.penalty,
        normalization=reading.normalization,
        linear_penalty=reading.linear_penalty,
    )

    def read_query(query: Any) -> Features:
        count = count_rows(query, "X_query")
        return features(transformed(wrapped, query, x, read_ids(query, None, count), names, "X_query"))

    def rebuild(moved: LinearHead) -> Any:
        final = copy.deepcopy(wrapped.final)
        reading.write(final, moved.params.matrix)
        return replaced(copy.deepcopy(estimator), final)

    def cold_refit(removed: Sequence[int]) -> Any:
        kept = np.setdiff1d(np.arange(n), np.asarray(removed, dtype=np.int64))
        given = reading.weights if reading.fit_weights is None else reading.fit_weights
        final = reading.plain().fit(matrix[kept], labels[kept], sample_weight=given[kept])
        if reading.classes and len(final.classes_) != len(reading.classes):
            raise InputError("these rows hold every member of a class: without them the model loses it.")
        return replaced(copy.deepcopy(estimator), final)

    gradient = float(np.max(np.abs(head.gradient), initial=0.0))
    return Adapted(
        head=head,
        kind=reading.kind,
        classes=reading.classes,
        targets=() if reading.classes else reading.output_names,
        unit=target_unit(y),
        row_ids=ids,
        labels=labels,
        rows=x,
        read_query=read_query,
        read_target=reading.encode,
        rebuild=rebuild,
        cold_refit=cold_refit,
        stationarity=Stationarity(gradient, reading.stopping.tol or 0.0, None),
        model_name=type(wrapped.final).__name__,
        has_probability=reading.has_probability,
        convention=convention(reading, wrapped),
        notes=reading.notes,
    )


def features(matrix: Any) -> Features:
    """Rows for a head: a dense array is read block by block, never copied whole."""
    return DenseFeatures(matrix.toarray() if sp.issparse(matrix) else matrix, np.float64)


def transformed(
    wrapped: Unwrapped, x: Any, known: Any, ids: Sequence[Any], names: Callable[[int], Sequence[str]], where: str
) -> Any:
    """X through the frozen stages, finite, with the columns that the final estimator was fitted on.

    Raises: InputError.
    """
    first = wrapped.stages[0] if wrapped.stages else wrapped.final
    refuse_wrong_columns(first, x, where)
    for stage in wrapped.stages:
        try:
            x = stage.transform(x)
        except Exception as error:
            raise explain_transform_error(error, x, known, where) from error
    matrix = as_matrix(x, ids, names, where)
    wanted = getattr(wrapped.final, "n_features_in_", matrix.shape[1])
    if matrix.shape[1] != wanted:
        raise InputError(f"{where} has {matrix.shape[1]} columns; the model was fitted on {wanted}.")
    return matrix


def column_names(wrapped: Unwrapped, x: Any) -> Callable[[int], tuple[str, ...]]:
    """d -> names of the columns that the final estimator reads."""
    names: Any = getattr(wrapped.final, "feature_names_in_", None)
    if names is None and not wrapped.stages:
        names = getattr(x, "columns", None)
    for stage in wrapped.stages:
        try:
            names = stage.get_feature_names_out(names)
        except Exception:  # a transformer that has no names: those of the columns' positions serve
            names = None
    fixed = None if names is None else tuple(str(name) for name in names)
    return lambda d: fixed if fixed is not None and len(fixed) == d else tuple(f"x{j}" for j in range(d))


def target_names(y: Any) -> tuple[str, ...]:
    """Column names of y where it has them, else ("y",)."""
    columns = getattr(y, "columns", None)
    if columns is not None:
        return tuple(str(name) for name in columns)
    name = getattr(y, "name", None)
    return (str(name) if name is not None else "y",)


def target_unit(y: Any) -> str:
    """What a regression's numbers are called."""
    name = getattr(y, "name", None)
    return str(name) if name is not None else "target units"


def convention(reading: Reading, wrapped: Unwrapped) -> str:
    """One sentence: what a refit divides by and what stays frozen."""
    divides = {
        "sum": "A refit keeps the penalty fixed against the sum of the losses of the rows that are left",
        "mean": "A refit divides the loss by the total weight of the rows that are left",
        "rows": "A refit divides the loss by the number of rows that are left",
    }[reading.normalization]
    kept = list(reading.frozen)
    if wrapped.transformers:
        kept.insert(0, f"preprocessing ({', '.join(wrapped.transformers)})")
    if wrapped.searched:
        kept.append("the settings that the search chose")
    return divides + (f"; frozen: {', '.join(kept)}." if kept else ".")
