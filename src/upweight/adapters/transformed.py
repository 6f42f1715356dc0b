"""X as the final estimator reads it: through the frozen stages, with its columns' names, finite.

Stands on inputs and wrappers; `assemble` stands on it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sklearn.compose import ColumnTransformer

from upweight.adapters.inputs import as_matrix, explain_transform_error, refuse_wrong_columns
from upweight.adapters.wrappers import Unwrapped
from upweight.errors import InputError

__all__ = ["column_names", "read_matrix"]


def read_matrix(
    wrapped: Unwrapped, x: Any, known: Any, ids: Sequence[Any], names: Callable[[int], Sequence[str]], where: str
) -> Any:
    """[n, d] numpy or CSR; `known` is the training X, to name what a query holds that it does not.

    Raises: InputError for other columns than the fitted ones, for what a transformer refuses, for NaN and infinity.
    """
    first = wrapped.stages[0].steps[0][1] if wrapped.stages else wrapped.final
    refuse_wrong_columns(first, x, where, by_name=isinstance(first, ColumnTransformer))
    given = x
    for stage in wrapped.stages:
        try:
            x = stage.transform(x)
        except Exception as error:
            raise explain_transform_error(error, given, known, where) from error
    matrix = as_matrix(x, ids, names, where)
    wanted = getattr(wrapped.final, "n_features_in_", matrix.shape[1])
    if matrix.shape[1] != wanted:
        raise InputError(f"{where} has {matrix.shape[1]} columns; the model was fitted on {wanted}.")
    return matrix


def column_names(wrapped: Unwrapped, x: Any) -> Callable[[int], tuple[str, ...]]:
    """d -> names of the columns that the final estimator reads: its own, its transformers', the table's, or x0, x1 …"""
    names = getattr(wrapped.final, "feature_names_in_", None)
    if names is None and not wrapped.stages:
        names = getattr(x, "columns", None)
    if names is None:
        for stage in wrapped.stages:
            try:
                names = stage.get_feature_names_out(names)
            except Exception:  # a transformer without names: positions serve
                names = None
    fixed = None if names is None else tuple(str(name) for name in names)
    return lambda d: fixed if fixed is not None and len(fixed) == d else tuple(f"x{j}" for j in range(d))
