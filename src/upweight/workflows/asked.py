"""Which predictions are explained: rows of the file, rows of another file, or the worst; and a model without them.

Stands on table_model and explain; the commands stand on it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from upweight.errors import InputError
from upweight.tables.read import read_table
from upweight.tables.target import require_column
from upweight.workflows.explain import worst
from upweight.workflows.limits import AT_ONCE, refuse_many
from upweight.workflows.out_of_fold import losses_out_of_fold
from upweight.workflows.table_model import TableModel
from upweight.workflows.taken_out import without

__all__ = ["AT_ONCE", "Asked", "ask_query", "ask_rows", "ask_worst"]


@dataclass(frozen=True, eq=False)
class Asked:
    """`table`: the model that answers; `x`: its input; `y`: truths or None; `rows`: as they are, without the target."""

    table: TableModel
    x: Any
    y: pd.Series | None
    rows: pd.DataFrame
    origins: tuple[str, ...]


def ask_rows(table: TableModel, ids: Sequence[str], keep: bool = False, solver: str = "auto") -> Asked:
    """Rows of the file by id; training rows among them are first taken out, unless they are kept.

    Raises: InputError for rows that there are not, or that the model cannot do without.
    """
    return _of_file(table, table.positions(ids), keep, solver)


def ask_worst(table: TableModel, k: int, keep: bool = False, solver: str = "auto") -> Asked:
    """The k held-out rows with most loss; where no row was held out, the training rows with most loss out of fold.

    Raises: InputError if k is no count.
    """
    if k < 1:
        raise InputError(f"--worst {k} asks for nothing. Give 1 or more.")
    refuse_many(k)
    if len(table.held_out):
        at = table.held_out[worst(table.influence, table.x(table.held_out), table.y(table.held_out), k)]
        return _of_file(table, [int(i) for i in at], keep, solver)
    loss, said = losses_out_of_fold(table.influence, table.arrangement.take(table.train))
    known = np.flatnonzero(np.isfinite(loss))
    at = table.train[known[np.argsort(-loss[known], kind="stable")[:k]]]
    return _of_file(replace(table, notes=(*table.notes, said)), [int(i) for i in at], keep, solver)


def ask_query(table: TableModel, path: str | os.PathLike[str], id_column: str | None = None) -> Asked:
    """The rows of another file; a target column in it is the truth.

    Raises: InputError that names the file and the columns that it lacks; FileError.
    """
    frame = read_table(path).frame
    refuse_many(len(frame))
    if id_column is not None:
        require_column(frame, id_column, "id column")
        frame = frame.set_index(pd.Index(frame[id_column].tolist()))
    try:
        x = table.inputs(frame)
    except InputError as error:
        raise InputError(f"{os.fspath(path)}: {error}") from error
    y = frame[table.target] if table.target in frame.columns else None
    return Asked(table, x, y, table.shown(frame), (f"a row of {os.fspath(path)}",) * len(frame))


def _of_file(table: TableModel, at: list[int], keep: bool, solver: str) -> Asked:
    refuse_many(len(at))
    left = table if keep else without(table, at, solver)
    train, held = set(table.train.tolist()), set(table.held_out.tolist())
    learnt = "left among the training rows" if keep else "taken out of the training rows first"
    y = left.y(at)
    apart = ["without a known target" if unknown else "neither learnt from nor held out" for unknown in y.isna()]
    origins = tuple(
        learnt if i in train else "held out of the training rows" if i in held else other
        for i, other in zip(at, apart, strict=True)
    )
    return Asked(left, left.x(at), None if y.isna().all() else y, left.shown(left.frame.iloc[at]), origins)
