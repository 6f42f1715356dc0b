"""From the user's estimator and data to `Adapted`: wrappers off, data checked, a reader asked, all tied together.

Stands on the other files of this folder; influence stands on it.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from upweight.adapters.base import DIVIDES, Adapted
from upweight.adapters.inputs import count_rows, read_ids, read_weights
from upweight.adapters.kinked import settle
from upweight.adapters.labels import target_names, target_unit, training_codes
from upweight.adapters.reading import Reading, Task
from upweight.adapters.refusals import refuse, refuse_positive, refuse_smoothing
from upweight.adapters.remarks import class_remarks, column_remarks, support_remark
from upweight.adapters.sparse_features import features_of
from upweight.adapters.stationarity import judge, polish, reconsider, yardstick
from upweight.adapters.transformed import column_names, read_matrix
from upweight.adapters.wrappers import Unwrapped, refuse_unfitted, replaced, unwrap
from upweight.attribution import Attribution, HeadAttribution
from upweight.errors import InputError, UnsupportedModel, listed
from upweight.features import Features
from upweight.linear_head import LinearHead
from upweight.params import Params
from upweight.shapes import Array

__all__ = ["assemble"]


def assemble(
    readers: Mapping[type, Callable[[Task], Reading]],
    estimator: Any,
    x: Any,
    y: Any,
    sample_weight: Any,
    smoothing: float | None = None,
) -> Adapted:
    """The fitted model as a linear head, with the way back; `smoothing`: the width that its kinks are rounded over.

    Raises: UnsupportedModel; InputError.
    """
    wrapped = unwrap(estimator)
    reader = readers.get(type(wrapped.final))
    if reader is None:
        raise refuse(wrapped.final)
    refuse_unfitted(wrapped.final)
    refuse_positive(wrapped.final)
    n = count_rows(x)
    if count_rows(y, "y") != n:
        raise InputError(f"X has {n} rows and y has {count_rows(y, 'y')}. Give one target per row.")
    ids = read_ids(x, y, n)
    weights = read_weights(sample_weight, n)
    names = column_names(wrapped, x)
    matrix = read_matrix(wrapped, x, x, ids, names, "X")
    labels = np.asarray(y)
    reading = reader(Task(wrapped.final, matrix, labels, weights, target_names(y)))
    codes = training_codes(labels, reading.classes)
    read = matrix if reading.phi is None else reading.phi
    head = _head(reading, read, names(matrix.shape[1]) if reading.map is None else reading.map.names)
    _refuse_interpolation(head, type(wrapped.final).__name__)
    at_user, said = head, list[str]()
    attribution: Callable[..., Attribution] = HeadAttribution
    if reading.kinks is None:
        refuse_smoothing(smoothing, type(wrapped.final).__name__)
        sizes = yardstick(head, read, reading.spread)
        judged = judge(head, reading.promise, sizes)
        judged = judged if reading.map is not None else reconsider(judged, reading, wrapped.final, n)
        head, stationarity = polish(head, judged, sizes, reading.l1)
    else:
        settled = settle(head, reading.kinks, smoothing, type(wrapped.final).__name__)
        head, attribution, stationarity, said = settled.head, settled.attribution, settled.stationarity, [settled.note]
    columns = head.features if reading.phi is None else features_of(matrix)
    remarks = [*column_remarks(columns, x, names(matrix.shape[1])), *class_remarks(codes, reading.classes)]
    if reading.l1 is not None:
        remarks.append(support_remark(head, reading.l1))
    remarks += said

    def read_query(query: Any) -> Features:
        query_ids = read_ids(query, None, count_rows(query, "X_query"), unique=False)
        columns = read_matrix(wrapped, query, x, query_ids, names, "X_query")
        return features_of(columns if reading.map is None else reading.map(columns))

    def rebuild(vector: Array) -> Any:
        final = copy.deepcopy(wrapped.final)
        if not np.array_equal(vector, at_user.params.vector):
            reading.write(final, head.params.at(vector).matrix)
        return replaced(copy.deepcopy(estimator), final)

    def cold_refit(removed: Sequence[int]) -> Any:
        kept = np.setdiff1d(np.arange(n), np.asarray(removed, dtype=np.int64))
        _refuse_lost_class(codes, kept, reading.classes)
        final = reading.refit(kept)
        if hasattr(wrapped.final, "feature_names_in_"):
            final.feature_names_in_ = wrapped.final.feature_names_in_
        return replaced(copy.deepcopy(estimator), final)

    return Adapted(
        objective=head,
        attribution=attribution,
        kind="classification" if reading.classes else "regression",
        classes=reading.classes,
        targets=() if reading.classes else reading.output_names,
        unit=target_unit(y),
        row_ids=ids,
        labels=labels,
        rows=x,
        read_query=read_query,
        read_target=lambda query: reading.encode(query, "y_query"),
        rebuild=rebuild,
        cold_refit=cold_refit,
        stationarity=stationarity,
        model_name=type(wrapped.final).__name__,
        has_probability=reading.has_probability,
        convention=_convention(reading, wrapped),
        notes=tuple(remarks),
        fitted=at_user.params.vector,
        class_factors=reading.class_factors,
        stages=wrapped.stages,
        reads="" if reading.map is None else "features of its kernel",
    )


def _head(reading: Reading, matrix: Any, names: Sequence[str]) -> LinearHead:
    free, pull = reading.free, None
    if reading.l1 is not None:
        free = free & ((reading.matrix != 0) | (reading.l1 == 0))
        pull = reading.l1 * np.sign(reading.matrix)
    return LinearHead(
        features=features_of(matrix),
        loss=reading.loss,
        targets=reading.targets,
        weights=reading.weights,
        params=Params(reading.matrix, free, reading.output_names, (*names, "intercept")),
        penalty=reading.penalty,
        normalization=reading.normalization,
        linear_penalty=pull,
    )


def _refuse_lost_class(codes: Array, kept: Array, classes: tuple[Any, ...]) -> None:
    if not len(kept):
        raise InputError("no rows would be left to fit on. Remove fewer.")
    if classes:
        lost = [classes[k] for k in np.setdiff1d(np.unique(codes), np.unique(codes[kept]))]
        if lost:
            raise InputError(
                f"without these rows no row of class {listed(lost)} is left, so the model would lose it. Remove fewer."
            )


def _refuse_interpolation(head: LinearHead, name: str) -> None:
    """Raises: UnsupportedModel where an output has as many unpenalised parameters as there are rows."""
    loose = np.asarray(head.params.free) & (head.penalty == 0)
    most, rows = int(np.max(np.sum(loose, axis=1))), int(np.sum(head.weights > 0))
    if most > 1 and most >= rows:
        raise UnsupportedModel(
            f"{name} has {most} parameters without a penalty for {rows} rows: it passes through every row, so no "
            "removal has an answer. Give it a penalty (Ridge, or a finite C), or fewer columns."
        )


def _convention(reading: Reading, wrapped: Unwrapped) -> str:
    kept = list(reading.frozen)
    if wrapped.transformers:
        kept.insert(0, f"preprocessing ({', '.join(wrapped.transformers)})")
    if wrapped.searched:
        kept.append("the settings that the search chose")
    sentence = DIVIDES[reading.normalization]
    return sentence + (f"; frozen: {', '.join(kept)}" if kept else "")
