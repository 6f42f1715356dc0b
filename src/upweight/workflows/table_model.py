"""A table and a model of it: read, understood, fitted or loaded, and what is held out of it.

Stands on tables and influence; the commands stand on it.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upweight.display.words import count
from upweight.errors import InputError, listed
from upweight.influence import Influence
from upweight.tables.arrangement import Arrangement, arranged
from upweight.tables.default_model import default_model, prepare
from upweight.tables.infer import Columns, infer, labelled, likely_targets
from upweight.tables.inputs import inputs_for
from upweight.tables.model_file import ModelFile, load_model
from upweight.tables.parts import parts
from upweight.tables.read import Table, read_table
from upweight.tables.target import require_column

__all__ = ["TableModel", "open_table", "target_of", "with_ids"]

Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TableModel:
    """`frame`: the file's rows by id; `train`, `held_out`: positions in it; `inputs`: rows -> the model's X."""

    path: Path
    frame: pd.DataFrame
    target: str
    id_column: str | None
    summary: str  # what the columns were read as, in one line
    model: Any
    model_path: Path | None  # the user's model; None: a default pipeline was fitted here
    inputs: Callable[[pd.DataFrame], Any]
    train: Positions
    held_out: Positions
    influence: Influence
    notes: tuple[str, ...] = ()
    cell_notes: tuple[str, ...] = ()  # those that may quote cells
    mismatch: str | None = None  # the user's model was not fitted on these rows
    arrangement: Arrangement = field(default_factory=Arrangement)  # of the rows of `frame`
    apart: str = ""  # how the held-out rows were told apart, "" where they were drawn at random, or by the model's file

    @property
    def rows(self) -> pd.DataFrame:
        """The training rows as they are: columns beside the target and the id."""
        return self.shown(self.frame.iloc[self.train])

    def shown(self, some: pd.DataFrame) -> pd.DataFrame:
        """What a person is shown of rows: the columns beside the target and the id."""
        return some.drop(columns=[self.target, self.id_name] if self.id_column else self.target, errors="ignore")

    @property
    def id_name(self) -> str:
        """What a row is called: "row", or the name of the id column."""
        return self.id_column or "row"

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
                if self.id_column is None
                else f"Its ids are {listed(list(self.frame.index))}."
            )
            raise InputError(f"{self.path}: there is no {self.id_name} {listed(unknown)}. {where}")
        return [known[row] for row in dict.fromkeys(ids)]


def open_table(
    path: str | os.PathLike[str],
    target: str | None,
    *,
    id_column: str | None = None,
    group: str | None = None,
    time: str | None = None,
    model: str | os.PathLike[str] | None = None,
    trust_pickle: bool = False,
    solver: str = "auto",
    seed: int = 0,
    before_fit: Callable[[int, int], None] = lambda rows, columns: None,
) -> TableModel:
    """The file's rows with a model of `target`: a default pipeline on three quarters of them, or the user's own.

    group: rows with one value of this column are never on both sides; time: held-out rows are the latest by this one.
    before_fit: told how many rows and columns a default pipeline is about to be fitted to.
    Raises: InputError, FileError, UnsupportedModel, ResourceError, MissingExtra.
    """
    table = read_table(path)
    stored = None if model is None else load_model(model, trust_pickle)
    target = target_of(table, target or (stored.target if stored else None))
    frame = with_ids(table.frame, target, id_column)
    rows, left_out = labelled(frame, target)
    if left_out:  # whole numbers beside an empty cell are whole numbers again
        frame = frame.assign(**{target: rows[target].astype(object).reindex(frame.index)})
    notes = (*table.notes[1:], *([left_out] if left_out else []))
    source = _Source(table.path, frame, rows, target, id_column, group, time, notes)
    if stored is None:
        return _fitted(source, solver, seed, before_fit)
    return _loaded(source, stored, solver)


def target_of(table: Table, target: str | None) -> str:
    """The column to predict.

    Raises: InputError that names likely ones where none was given.
    """
    if target is not None:
        return target
    likely = likely_targets(table.frame)
    columns = f"Likely: {listed(likely, 5)}." if likely else f"There are {listed(list(table.frame.columns), 20)}."
    raise InputError(f"{table.path}: which column is to be predicted? Give --target. {columns}")


@dataclass(frozen=True, eq=False)
class _Source:
    """`rows`: those of `frame` that have a target."""

    path: Path
    frame: pd.DataFrame
    rows: pd.DataFrame
    target: str
    id_column: str | None
    group: str | None
    time: str | None
    notes: tuple[str, ...]

    @property
    def known(self) -> Positions:
        """Where `rows` stand in `frame`."""
        return np.flatnonzero(self.frame[self.target].notna().to_numpy()).astype(np.int64)


def _fitted(source: _Source, solver: str, seed: int, before_fit: Callable[[int, int], None]) -> TableModel:
    """With a default pipeline, on three quarters of the rows."""
    columns = infer(source.frame, source.target, source.id_column, group_column=source.group)
    arrangement = arranged(source.frame, source.target, source.group, source.time, columns.date)
    split = parts(source.rows, source.target, columns.task, arrangement.take(source.known), seed)
    train, test = split.train, split.held_out
    before_fit(len(train), len(columns.features))
    learnt, y = source.rows.iloc[train], source.rows[source.target].iloc[train]
    x = prepare(learnt, columns)
    fitted = default_model(columns, learnt, seed).fit(x, y)
    return TableModel(
        path=source.path,
        frame=source.frame,
        target=source.target,
        id_column=source.id_column,
        summary=columns.summary,
        model=fitted,
        model_path=None,
        inputs=partial(_prepared, columns=columns),
        train=source.known[train],
        held_out=source.known[test],
        influence=Influence.from_sklearn(fitted, x, y, solver=solver),
        notes=(*source.notes, *arrangement.notes, *split.notes),
        cell_notes=columns.notes,
        arrangement=arrangement if split.in_order else arrangement.without_time(),
        apart=split.how,
    )


def _loaded(source: _Source, file: ModelFile, solver: str) -> TableModel:
    """With the user's model, on the rows that its file names, else on all of them."""
    fitted_on, said = file.fitted_on(source.path)
    train = source.known if fitted_on is None else np.intersect1d(fitted_on, source.known).astype(np.int64)
    arrangement = arranged(
        source.frame, source.target, source.group, source.time, file.columns.date if file.columns else None
    )
    unread = [source.target]
    if source.group is not None and not hasattr(file.model, "feature_names_in_"):
        unread.append(source.group)  # a model without names reads every number: a group is none of them
    inputs = partial(_read, file=file, target=source.target, unread=unread)
    x = inputs(source.frame.iloc[train])
    y = source.rows[source.target].reindex(source.frame.index[train])
    width = np.shape(x)[1] if len(np.shape(x)) == 2 else 1
    influence = Influence.from_sklearn(file.model, x, y, solver=solver)
    rest = np.setdiff1d(source.known, train).astype(np.int64)
    return TableModel(
        path=source.path,
        frame=source.frame,
        target=source.target,
        id_column=source.id_column,
        summary=file.columns.summary if file.columns else f"{count(width, 'column')}, as {file.path.name} reads them",
        model=file.model,
        model_path=file.path,
        inputs=inputs,
        train=train,
        held_out=rest,
        influence=influence,
        notes=(*source.notes, said, *arrangement.notes, *_as_the_file_has_it(arrangement, train, rest)),
        mismatch=influence.adapted.stationarity.mismatch,
        arrangement=arrangement,
    )


def _read(some: pd.DataFrame, file: ModelFile, target: str, unread: list[str]) -> Any:
    return inputs_for(file, some.drop(columns=unread[1:], errors="ignore") if file.columns is None else some, target)


def _as_the_file_has_it(arrangement: Arrangement, train: Positions, rest: Positions) -> list[str]:
    """What the user's own choice of training rows does not respect: it is theirs, and is said."""
    notes = []
    if arrangement.groups is not None and len(rest):
        both = np.intersect1d(arrangement.groups[train], arrangement.groups[rest])
        if len(both):
            rows = count(len(both), "group")
            notes.append(
                f"{rows} of {arrangement.group_column!r} stand both in the model's training rows and beside them"
            )
    if arrangement.times is not None and len(rest):
        late = int(np.sum(arrangement.times[train] > np.min(arrangement.times[rest])))
        if late:
            rows = count(late, "training row")
            notes.append(
                f"the model learnt from {rows} later by {arrangement.time_column!r} than the first held-out row"
            )
    return notes


def _prepared(some: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    return prepare(some, columns)


def with_ids(frame: pd.DataFrame, target: str, id_column: str | None) -> pd.DataFrame:
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
