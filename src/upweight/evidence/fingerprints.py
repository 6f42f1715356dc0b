"""What an answer was found with, as sha256 sums: parameters, training rows, settings; and the versions.

Stands on influence and store.archive; the record stands on it.
"""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from upweight.arrays import to_numpy
from upweight.influence import Influence
from upweight.store.archive import versions

__all__ = ["parameters_sha256", "rows_sha256", "settings_sha256", "versions_used"]


def parameters_sha256(influence: Influence) -> str:
    """Of θ as the model's own solver left it, as float64."""
    fitted = influence.adapted.fitted
    theta = influence.attribution.vector if fitted is None else fitted
    return hashlib.sha256(np.ascontiguousarray(to_numpy(theta), dtype="<f8").tobytes()).hexdigest()


def rows_sha256(influence: Influence) -> str | None:
    """Of the training rows as they were given: ids, columns with their names, labels, weights; None if no table."""
    adapted = influence.adapted
    columns = _columns(adapted.rows)
    if columns is None:
        return None
    total = hashlib.sha256()
    weights = to_numpy(influence.attribution.weights)
    for name, values in [*columns, ("id", adapted.row_ids), ("label", adapted.labels), ("weight", weights)]:
        total.update(f"{name}\0".encode("utf-8", "backslashreplace"))
        total.update(_bytes(values))
    return total.hexdigest()


def settings_sha256(question: Mapping[str, Any]) -> str:
    """Of what was asked: JSON with sorted keys and no spaces."""
    text = json.dumps(question, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def versions_used(influence: Influence) -> dict[str, str]:
    """Python and the packages that the answer stands on; torch only where the model is torch's."""
    found = {"python": platform.python_version(), **versions()}
    if isinstance(influence.attribution.vector, np.ndarray):
        found.pop("torch", None)
    return found


def _columns(rows: Any) -> list[tuple[str, Any]] | None:
    """The rows as named columns of numbers or text."""
    if isinstance(rows, pd.DataFrame):
        return [(str(name), rows.iloc[:, j]) for j, name in enumerate(rows.columns)]
    if hasattr(rows, "tocsr"):
        matrix = rows.tocsr().copy()
        matrix.sum_duplicates()
        return [("data", matrix.data), ("indices", matrix.indices), ("indptr", matrix.indptr)]
    try:
        matrix = np.asarray(to_numpy(rows) if hasattr(rows, "shape") else rows)
    except Exception:  # whatever a Dataset of the user's raises
        return None
    return None if matrix.dtype == object and matrix.ndim == 0 else [("rows", matrix)]


def _bytes(values: Sequence[Any] | Any) -> bytes:
    """Numbers as float64, which every reader of the same file gives; all else as text."""
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        return np.ascontiguousarray(array, dtype="<f8").tobytes()
    shown = ("" if missing else str(x) for x, missing in zip(array.ravel().tolist(), _missing(array), strict=True))
    return "\0".join(shown).encode("utf-8", "backslashreplace")


def _missing(array: Any) -> list[bool]:
    flat = pd.isna(pd.Series(array.ravel(), dtype=object))
    return [bool(x) for x in flat]
