"""A table and a model of it, looked at before they are used: columns, classes, the model's fit, memory and time.

Stands on table_model and diagnosis; doctor stands on it. A model that would take long to fit is not fitted: its cost is
said, and what only a fitted model shows is left out.
"""

import os

import numpy as np
import pandas as pd

from upweight.adapters import NETWORKS, READERS
from upweight.adapters.inputs import read_ids
from upweight.adapters.labels import class_codes
from upweight.adapters.refusals import refuse
from upweight.adapters.transformed import column_names, read_matrix
from upweight.adapters.wrappers import refuse_unfitted, unwrap
from upweight.display.words import count
from upweight.solvers.auto import Sizes, choose
from upweight.tables.infer import Columns, infer, labelled
from upweight.tables.inputs import inputs_for
from upweight.tables.model_file import ModelFile, load_model
from upweight.tables.read import read_table
from upweight.workflows.diagnosis import Diagnosis, Findings
from upweight.workflows.doctor_answers import look_at_answers
from upweight.workflows.effort import LONG, in_words, seconds_to_fit
from upweight.workflows.table_model import TableModel, open_table, target_of, with_ids

__all__ = ["diagnose_table"]

TRAINED = 0.75  # of the rows
HOW = ("explained from the", "does not say which rows")  # in notes that say how, and ask for nothing


def diagnose_table(
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
) -> Diagnosis:
    """Everything that can be said of them.

    Raises: FileError, ResourceError for a file that cannot be read; InputError where no target is given.
    """
    table = read_table(path)
    found = Findings(os.fspath(path), "table")
    stored = None if model is None else found.tried("model", lambda: load_model(model, trust_pickle))
    target = target_of(table, target or (stored.target if stored else None))
    found.subject = f"{os.fspath(path)}, {target}"
    found.sizes |= {"rows": len(table.frame), "columns": len(table.frame.columns)}
    found.ok("rows", f"{count(len(table.frame), 'row')}, {count(len(table.frame.columns), 'column')}")
    for note in table.notes[1:]:
        found.warn("file", note)
    framed = found.tried("id", lambda: with_ids(table.frame, target, id_column))
    frame = table.frame if framed is None else framed
    columns = None
    if model is None:
        columns = _look_at_columns(found, frame, target, id_column if framed is not None else None, group)
    rows = found.tried("target", lambda: labelled(frame, target))
    if rows is not None:
        kind = None if stored is None else _kind_of(stored)
        _look_at_target(found, *rows, target, kind if columns is None else columns.task)
        if stored is not None:
            _look_at_model(found, stored, rows[0], target)
    if found.stopped:
        return found.diagnosis()
    if columns is not None:
        seconds = seconds_to_fit(int(TRAINED * len(frame)), len(columns.features))
        found.seconds["fit"] = seconds
        if seconds > LONG:
            return _unfitted(found, frame, columns, seconds)
    opened: TableModel | None = found.tried(
        "model",
        lambda: open_table(
            path, target, id_column=id_column, group=group, time=time, model=model, trust_pickle=trust_pickle,
            solver=solver, seed=seed,
        ),
    )  # fmt: skip
    if opened is None:
        return found.diagnosis()
    for note in opened.notes:
        (found.ok if any(how in note for how in HOW) else found.warn)("rows", note)
    held = f", {len(opened.held_out):,} held out" if len(opened.held_out) else ""
    how = f" ({opened.apart})" if opened.apart else ""
    found.ok("split", f"{len(opened.train):,} to learn from{held}{how}")
    look_at_answers(found, opened.influence, float(frame.memory_usage(deep=True).sum()))
    return found.diagnosis()


def _look_at_columns(
    found: Findings, frame: pd.DataFrame, target: str, id_column: str | None, group: str | None
) -> Columns | None:
    """What the columns are, and what of them teaches nothing."""
    columns = found.tried("columns", lambda: infer(frame, target, id_column, group_column=group))
    if columns is None:
        return None
    found.ok("columns", columns.summary)
    for note in columns.notes:
        found.warn("columns", note)
    return columns


def _look_at_target(found: Findings, rows: pd.DataFrame, left_out: str | None, target: str, kind: str | None) -> None:
    """Rows without one, and how many classes; `kind` None: it is not known."""
    if left_out:
        found.warn("target", left_out)
    if kind == "classification":
        sizes = rows[target].value_counts()
        found.sizes["classes"] = len(sizes)
        found.ok("target", f"{len(sizes):,} classes, the smallest of {count(int(sizes.min()), 'row')}")
    elif kind == "regression":
        found.ok("target", "a number")


def _kind_of(file: ModelFile) -> str:
    """By the classes that the fitted model has."""
    return "classification" if hasattr(file.model, "classes_") else "regression"


def _look_at_model(found: Findings, file: ModelFile, rows: pd.DataFrame, target: str) -> None:
    """The user's model, each of its demands apart: its kind, its fit, its columns, its classes."""
    wrapped = found.tried("model", lambda: unwrap(file.model))
    if wrapped is None:
        return
    final = wrapped.final
    if type(final) in READERS or isinstance(final, NETWORKS):
        found.tried("model", lambda: refuse_unfitted(final))
    else:
        found.problem("model", str(refuse(final)))
    x = found.tried("columns", lambda: inputs_for(file, rows, target))
    if x is not None and not found.stopped:
        names, ids = column_names(wrapped, x), read_ids(x, None, len(rows), unique=False)
        found.tried("columns", lambda: read_matrix(wrapped, x, x, ids, names, "the table"))
    classes = getattr(final, "classes_", None)
    if classes is not None:
        labels = rows[target].to_numpy()
        found.tried("target", lambda: class_codes(labels, tuple(np.asarray(classes).tolist())))


def _unfitted(found: Findings, frame: pd.DataFrame, columns: Columns, seconds: float) -> Diagnosis:
    """What can be said without fitting."""
    wide = [frame[name].nunique() for name in columns.categorical]
    d = len(columns.numeric) + len(columns.date) + int(np.sum(wide)) + 1
    outputs = max(1, found.sizes.get("classes", 1))
    outputs = 1 if outputs == 2 else outputs
    rows = int(TRAINED * len(frame))
    sizes = Sizes(rows, outputs, d, d * outputs, float(min(d, len(columns.features) + 1)), outputs == 1, outputs)
    choice = choose(sizes)
    found.sizes["parameters"] = d * outputs
    found.solver = choice.name
    found.ok("solver", choice.reason)
    said = f"fitting one to {rows:,} rows may take {in_words(seconds)}, so its fit and its rows were not looked at"
    found.warn("model", said, "fit it once, keep it as skops, and give --model")
    found.room(choice.bytes + 3.0 * float(frame.memory_usage(deep=True).sum()))
    return found.diagnosis()
