"""The user's X, y, weights and ids, checked before a model sees them; every refusal names rows and columns.

Stands on errors; `assemble` stands on it.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from upweight.arrays import blocks
from upweight.display.words import count
from upweight.errors import InputError, listed
from upweight.shapes import Array, Float

__all__ = [
    "as_matrix",
    "count_rows",
    "explain_transform_error",
    "read_ids",
    "read_weights",
    "refuse_wrong_columns",
    "take_rows",
]


def count_rows(x: Any, where: str = "X") -> int:
    """n of a table, array, sparse matrix or list.

    Raises: InputError.
    """
    if isinstance(x, (str, bytes)) or (not hasattr(x, "__len__") and not hasattr(x, "shape")):
        raise InputError(f"{where} is {x!r:.60}; give a table, an array or a list with one entry per row.")
    shape: tuple[int, ...] | None = getattr(x, "shape", None)
    rows = int(shape[0]) if shape else len(x)
    if rows == 0:
        raise InputError(f"{where} has no rows.")
    return rows


def take_rows(x: Any, rows: Sequence[int] | Array) -> Any:
    """These rows of whatever the user gave, in its own kind."""
    if hasattr(x, "iloc"):
        return x.iloc[np.asarray(rows)]
    if hasattr(x, "shape"):
        return x[np.asarray(rows)]
    return [x[int(row)] for row in rows]


def read_ids(x: Any, y: Any, n: int, unique: bool = True) -> tuple[Any, ...]:
    """The index of X, else of y, else 0..n-1.

    Raises: InputError that lists ids which stand for more than one row.
    """
    for holder in (x, y):
        index = getattr(holder, "index", None)
        if isinstance(index, pd.Index):
            if unique and not index.is_unique:
                twice = index[index.duplicated()].unique().tolist()
                raise InputError(
                    f"{len(twice)} row ids stand for more than one row ({listed(twice)}). "
                    "Call reset_index(), or make the index unique."
                )
            return tuple(index.tolist())
    return tuple(range(n))


def read_weights(sample_weight: Any, n: int) -> Float[Array, " n"]:
    """Float64 weights, ones where none are given.

    Raises: InputError for the wrong length, for weights that are negative or not finite, and where all are 0.
    """
    if sample_weight is None:
        return np.ones(n)
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"sample_weight is not a number in every row ({error}).") from error
    if weights.shape != (n,):
        raise InputError(f"sample_weight has shape {weights.shape}; X has {n} rows. Give one weight per row.")
    for bad, what in ((~np.isfinite(weights), "not a finite number"), (weights < 0, "negative")):
        rows = np.flatnonzero(bad)
        if len(rows):
            raise InputError(
                f"sample_weight is {what} in {count(len(rows), 'row')} (position {listed(rows.tolist())}). "
                "Weights must be 0 or more."
            )
    if not np.any(weights > 0):
        raise InputError("sample_weight is 0 in every row: nothing is left to explain from.")
    return weights


def refuse_wrong_columns(fitted: Any, x: Any, where: str, by_name: bool = False) -> None:
    """Raises: InputError where X's columns are not those that `fitted` (any step) was fitted on.

    `by_name`: it looks its columns up by name, so that others beside them, and their order, do not matter.
    """
    names = getattr(fitted, "feature_names_in_", None)
    given = getattr(x, "columns", None)
    if names is not None and given is not None:
        wanted, seen = [str(name) for name in names], [str(name) for name in given]
        missing = [name for name in wanted if name not in seen]
        if missing or (seen != wanted and not by_name):
            extra = [name for name in seen if name not in wanted]
            said = [f"missing: {listed(missing)}"] if missing else []
            said += [f"not known: {listed(extra)}"] if extra else []
            said = said or [f"another order: {listed(seen)} instead of {listed(wanted)}"]
            raise InputError(
                f"{where} does not have the columns that the model was fitted on ({'; '.join(said)}). "
                "Give the same columns in the same order."
            )
        return
    wanted_count = getattr(fitted, "n_features_in_", None)
    shape: tuple[int, ...] = getattr(x, "shape", ())
    if wanted_count is not None and len(shape) == 2 and shape[1] != wanted_count:
        raise InputError(f"{where} has {shape[1]} columns; the model was fitted on {wanted_count}.")


def as_matrix(x: Any, ids: Sequence[Any], names: Callable[[int], Sequence[str]], where: str) -> Any:
    """[n, d] numpy (float32, float64, integer or boolean kept as they are) or scipy CSR, finite.

    Raises: InputError for other shapes, for text, and for NaN or infinity with their rows and columns.
    """
    if sp.issparse(x):
        matrix = x if x.format == "csr" else sp.csr_array(x)
        bad = np.flatnonzero(~np.isfinite(matrix.data))
        if len(bad):
            rows = np.searchsorted(matrix.indptr, bad, side="right") - 1
            _refuse_nonfinite(rows, matrix.indices[bad], ids, names(matrix.shape[1]), where)
        return matrix
    matrix = _frame_values(x, where) if isinstance(x, pd.DataFrame) else np.asarray(x)
    if matrix.ndim != 2:
        raise InputError(
            f"{where} has shape {matrix.shape}; give one row per example and one column per feature "
            "(one example: X[[0]], not X[0])."
        )
    if matrix.dtype.kind not in "fiub":
        try:
            matrix = matrix.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{where} holds values that are not numbers ({error}). Encode them inside a Pipeline."
            ) from error
    if matrix.dtype.kind == "f":
        for block in blocks(matrix.shape[0], float(matrix.shape[1])):
            if not np.isfinite(matrix[block]).all():  # the rare case looks at all rows at once
                at, columns = np.nonzero(~np.isfinite(matrix))
                _refuse_nonfinite(at, columns, ids, names(matrix.shape[1]), where)
    return matrix


def explain_transform_error(error: Exception, x: Any, known: Any, where: str) -> InputError:
    """What a frozen transformer refused, with the columns and values that it has not seen."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "unknown categor" in text.lower():
        unseen = _unseen_categories(x, known)
        if unseen:
            return InputError(
                f"{where} holds categories that the model was not fitted on: {'; '.join(unseen)}. "
                "Use a category that it knows, or fit the encoder with handle_unknown='ignore'."
            )
    missing = _missing_columns(x)
    if re.search(r"\bNaN\b|infinity", text) and missing:
        return InputError(f"{where} holds NaN in {missing}, and the model's preprocessing does not take it. ({text})")
    return InputError(f"{where} cannot be read by the model's frozen preprocessing: {text}")


def _frame_values(x: pd.DataFrame, where: str) -> Array:
    types = {getattr(dtype, "numpy_dtype", dtype) for dtype in x.dtypes}
    plain = all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in x.dtypes)
    if plain and len(types) == 1:
        return x.to_numpy()
    try:
        return x.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        text = [str(name) for name, dtype in x.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
        raise InputError(
            f"{where} has columns that are not numbers ({listed(text)}). Encode them inside a Pipeline."
        ) from error


def _refuse_nonfinite(rows: Array, columns: Array, ids: Sequence[Any], names: Sequence[str], where: str) -> None:
    named_rows = [ids[row] for row in np.unique(rows)]
    named_columns = [str(names[column]) for column in np.unique(columns)]
    raise InputError(
        f"{where} holds NaN or infinity in {len(named_rows)} rows ({listed(named_rows)}), "
        f"columns {listed(named_columns)}. Fill them in, leave these rows out, or put an imputer into the Pipeline."
    )


def _unseen_categories(x: Any, known: Any) -> list[str]:
    """column 'c' ('value'), for columns of words or integers of a table that hold what the training rows do not."""
    if not isinstance(x, pd.DataFrame) or not isinstance(known, pd.DataFrame):
        return []
    said = []
    for name in x.columns:
        if name in known.columns and x[name].dtype.kind != "f":
            values = list(dict.fromkeys(v for v in x[name].tolist() if v not in set(known[name].tolist())))
            if values:
                said.append(f"column {str(name)!r} ({listed(values)})")
    return said


def _missing_columns(x: Any) -> str:
    if not isinstance(x, pd.DataFrame):
        return ""
    names = [str(name) for name in x.columns if x[name].isna().any()]
    return f"columns {listed(names)}" if names else ""
