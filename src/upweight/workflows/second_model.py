"""A second model of the same table, on the same training rows: the default pipeline, or one without some columns.

Stands on table_model and tables; the command `compare` stands on it.
"""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from upweight.errors import InputError, listed
from upweight.influence import Influence
from upweight.tables.default_model import default_model, prepare
from upweight.tables.infer import infer
from upweight.workflows.table_model import TableModel

__all__ = ["second_model"]


def second_model(table: TableModel, leave_out: Sequence[str] = (), solver: str = "auto", seed: int = 0) -> TableModel:
    """The same table with a default pipeline fitted to the table's training rows, which does not read `leave_out`.

    Raises: InputError for a column that there is not, that is no feature, or where no column is left.
    """
    names = [*table.frame.columns]
    unknown = [name for name in leave_out if name not in names]
    if unknown:
        raise InputError(f"{table.path}: there is no column {listed(unknown)}. There are {listed(names, 20)}.")
    if table.target in leave_out:
        raise InputError(f"column {table.target!r} is the target: no model reads it. Name another column to leave out.")
    order = table.arrangement
    columns = infer(
        table.frame.drop(columns=[name for name in leave_out if name not in (table.id_column, order.group_column)]),
        table.target,
        table.id_column,
        group_column=order.group_column,
    )
    learnt = table.frame.iloc[table.train]
    y = pd.Series(table.influence.adapted.labels, index=learnt.index, name=table.target)
    x = prepare(learnt, columns)
    fitted = default_model(columns, learnt, seed).fit(x, y)
    return replace(
        table,
        model=fitted,
        model_path=None,
        inputs=lambda some: prepare(some, columns),
        summary=columns.summary,
        influence=Influence.from_sklearn(fitted, x, y, solver=solver),
        mismatch=None,
    )
