"""A table and a model of it: read, understood, fitted or loaded, split; and the same without rows that are asked about.

Stands on tables and influence; the commands stand on it.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from upweight.display.words import among, count
from upweight.errors import InputError, listed
from upweight.influence import Influence
from upweight.tables.default_model import default_model, prepare
from upweight.tables.infer import infer, labelled, likely_targets
from upweight.tables.inputs import inputs_for
from upweight.tables.model_file import load_model
from upweight.tables.read import read_table
from upweight.tables.split import held_out
from upweight.tables.target import require_column

__all__ = ["TableModel", "open_table", "without"]

Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TableModel:
    """`frame`: the file's rows, indexed by id; `train`, `held_out`: positions in it; `inputs`: rows -> the model's X."""

    path: Path
    frame: pd.DataFrame
    target: str
    id_name: str
    summary: str  # what the columns were read as, in one line
    model: Any
    fitted_here: bool  # a default pipeline; else the user's model
    inputs: Callable[[pd.DataFrame], Any]
    train: Positions
    held_out: Positions
    influence: Influence
    notes: tuple[str, ...] = ()
    cell_notes: tuple[str, ...] = ()  # those that may quote cells
    mismatch: str | None = None  # the user's model was not fitted on these rows

    @property
    def rows(self) -> pd.DataFrame:
        """The training rows as they are, without the target."""
        return self.frame.iloc[self.train].drop(columns=self.target)

    def x(self, at: Sequence[int] | Positions) -> Any:
        """The model's X for rows of the file."""
        return self.inputs(self.frame.iloc[np.asarray(at, dtype=int)])

    def y(self, at: Sequence[int] | Positions) -> pd.Series:
        """The target of rows of the file, empty cells included."""
        return self.frame[self.target].iloc[np.asarray(at, dtype=int)]

    def positions(self, ids: Sequence[str]) -> list[int]:
        """Where rows stand in the file: data rows counted from 0, or the ids of the user's own column.

        Raises: InputError naming the rows that there are not.
        """
        known = {str(row): i for i, row in enumerate(self.frame.index)}
        unknown = [row for row in ids if row not in known]
        if unknown:
            ends = f"{self.frame.index[0]} to {self.frame.index[-1]}"
            where = (
                f"Data rows are counted from 0: {ends}."
                if self.id_name == "row"
                else f"Its ids are {listed(list(self.frame.index))}."
            )
            raise InputError(f"{self.path}: there is no {self.id_name} {listed(unknown)}. {where}")
        return [known[row] for row in dict.fromkeys(ids)]


def open_table(
    path: str | os.PathLike[str],
    target: str | None,
    *,
    id_column: str | None = None,
    model: str | os.PathLike[str] | None = None,
    trust_pickle: bool = False,
    solver: str = "auto",
    seed: int = 0,
    before_fit: Callable[[int, int], None] = lambda rows, columns: None,
) -> TableModel:
    """The file's rows with a model of `target`: a default pipeline on three quarters of them, or the user's own.

    before_fit: told how many rows and columns a default pipeline is about to be fitted to.
    Raises: InputError, FileError, UnsupportedModel, ResourceError, MissingExtra.
    """
    table = read_table(path)
    stored = None if model is None else load_model(model, trust_pickle)
    target = target or (stored.target if stored else None)
    if target is None:
        likely = likely_targets(table.frame)
        raise InputError(
            f"{path}: which column is to be predicted? Give --target. "
            + (f"Likely: {listed(likely, 5)}." if likely else f"The columns are {listed(list(table.frame.columns), 20)}.")
        )
    frame = _with_ids(table.frame, target, id_column)
    rows, left_out = labelled(frame, target)
    notes = [*table.notes[1:], *([left_out] if left_out else [])]
    known = np.flatnonzero(frame[target].notna().to_numpy()).astype(np.int64)
    id_name = id_column or "row"
    if left_out:  # whole numbers beside an empty cell are whole numbers again
        frame = frame.assign(**{target: rows[target].astype(object).reindex(frame.index)})
    if stored is None:
        columns = infer(frame, target, id_column)
        train, test = held_out(rows, target, columns.task, seed=seed)
        before_fit(len(train), len(columns.features))
        learnt = prepare(rows.iloc[train], columns)
        fitted: Any = default_model(columns, rows.iloc[train], seed).fit(learnt, rows[target].iloc[train])
        influence = Influence.from_sklearn(fitted, learnt, rows[target].iloc[train], solver=solver)

        def inputs(some: pd.DataFrame) -> Any:
            return prepare(some, columns)

        return TableModel(
            table.path, frame, target, id_name, columns.summary, fitted, True, inputs, known[train], known[test],
            influence, tuple(notes), columns.notes,
        )  # fmt: skip
    fitted_on, said = stored.fitted_on(path)
    train = known if fitted_on is None else np.intersect1d(fitted_on, known).astype(np.int64)
    test = np.setdiff1d(known, train).astype(np.int64)
    file = stored

    def stored_inputs(some: pd.DataFrame) -> Any:
        return inputs_for(file, some, target)

    x, y = stored_inputs(frame.iloc[train]), rows[target].reindex(frame.index[train])
    influence = Influence.from_sklearn(stored.model, x, y, solver=solver)
    width = np.shape(x)[1] if len(np.shape(x)) == 2 else 1
    summary = stored.columns.summary if stored.columns else f"{count(width, 'column')}, as {stored.path} reads them"
    mismatch = influence.adapted.stationarity.mismatch
    return TableModel(
        table.path, frame, target, id_name, summary, stored.model, False, stored_inputs, train, test, influence,
        (*notes, said), mismatch=mismatch,
    )  # fmt: skip


def without(table: TableModel, at: Sequence[int], solver: str = "auto") -> TableModel:
    """The same with rows of the file (positions) taken out of the training rows, and the model refitted.

    A default pipeline is fitted anew; the user's model keeps its preprocessing.
    Raises: InputError if they hold every row of a class, or leave too few.
    """
    out = np.intersect1d(np.asarray(at, dtype=np.int64), table.train)
    if not len(out):
        return table
    kept = np.setdiff1d(table.train, out)
    y = table.influence.adapted.labels
    keeps = np.isin(table.train, out, invert=True)
    if table.influence.adapted.kind == "classification":
        gone = [label for label in table.influence.adapted.classes if not np.any(y[keeps] == label)]
        if gone:
            raise InputError(
                f"taking {listed(list(table.frame.index[out]))} out leaves no row of class {listed(gone)}, and a model "
                "without it could not be asked. Add --keep to leave them in."
            )
    ids = list(table.frame.index[out])
    x = table.x(kept)
    labels = pd.Series(y[keeps], index=table.frame.index[kept], name=table.target)
    if table.fitted_here:
        model = clone(table.model).fit(x, labels)
    else:
        refit = table.influence.without(ids)
        if not refit.converged:
            raise InputError(
                f"without {listed(ids)} the model has no optimum to refit to. Add --keep to leave them in, "
                "or fit the model with a penalty."
            )
        model = refit.model
    rows = f"{table.id_name} {ids[0]}" if len(ids) == 1 else f"{len(ids)} rows ({among(ids[:5])}{' …' if len(ids) > 5 else ''})"
    itself = "it does not explain itself" if len(ids) == 1 else "they do not explain themselves"
    said = f"{rows} {'was' if len(ids) == 1 else 'were'} taken out of the training rows and the model refitted, so that {itself}"
    influence = Influence.from_sklearn(model, x, labels, solver=solver)
    return replace(table, model=model, train=kept, influence=influence, notes=(*table.notes, said))


def _with_ids(frame: pd.DataFrame, target: str, id_column: str | None) -> pd.DataFrame:
    """The frame under the user's ids.

    Raises: InputError if there is no such column, if it has gaps, or names two rows the same.
    """
    if id_column is None:
        return frame
    require_column(frame, id_column, "id column")
    ids = frame[id_column]
    if id_column == target or ids.isna().any() or not ids.is_unique:
        infer(frame, target, id_column)  # says what is wrong with it
    return frame.set_index(pd.Index(ids.tolist()))
