"""What a model from a file is given to read of a table, by what it says of its own columns.

Stands on default_model and model_file; the commands stand on it.
"""

from typing import Any

import pandas as pd

from upweight.errors import InputError, listed
from upweight.tables.default_model import prepare
from upweight.tables.model_file import ModelFile

__all__ = ["inputs_for"]


def inputs_for(file: ModelFile, frame: pd.DataFrame, target: str) -> Any:
    """The model's X from a table: a data frame, an array for a model fitted without names, or one column of texts.

    A model that we wrote reads what `prepare` makes; another one reads its columns as they are in the table.
    Raises: InputError naming the columns that are missing, or the numbers that do not agree.
    """
    if file.columns is not None:
        return prepare(frame, file.columns)
    names = getattr(file.model, "feature_names_in_", None)
    rest = frame.drop(columns=target, errors="ignore")
    if names is not None:
        absent = [name for name in names if name not in frame.columns]
        if absent:
            raise InputError(
                f"{file.path} was fitted on columns that the table lacks: {listed(absent, at_most=10)}. "
                f"The table has {listed(list(frame.columns), at_most=10)}."
            )
        return frame[list(names)]
    numbers = rest.select_dtypes("number")
    count = getattr(file.model, "n_features_in_", None)
    if count is not None:
        if numbers.shape[1] != count:
            raise InputError(
                f"{file.path} was fitted on {count:,} columns without names and the table has {numbers.shape[1]:,} "
                f"columns of numbers beside {target!r}. Fit it on a data frame, so that it knows its columns."
            )
        return numbers.to_numpy(dtype=float)
    texts = [name for name in rest.columns if name not in numbers.columns]
    if len(texts) != 1:
        raise InputError(
            f"{file.path} reads one column of texts and the table has {len(texts):,} ({listed(texts)}). "
            "Leave the others out of the file."
        )
    return rest[texts[0]].astype("object").where(rest[texts[0]].notna(), "")
