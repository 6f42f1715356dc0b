"""A network, its training rows and its queries, opened for a command; and which predictions are explained.

Where a refit is cheap, a training row that is asked about is taken out first, as the table's path does; else it stays
among the training rows, and its own influence stands apart. Stands on torch_task and influence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upweight.adapters.torch_data import Rows, read_rows
from upweight.adapters.torch_module import understood
from upweight.adapters.torch_reading import Reading, read
from upweight.display.words import among, count
from upweight.errors import InputError, UnsupportedQuestion, listed
from upweight.influence import Influence
from upweight.tables.arrangement import Arrangement
from upweight.workflows.explain import worst
from upweight.workflows.limits import refuse_many
from upweight.workflows.out_of_fold import losses_out_of_fold
from upweight.workflows.reading import RowsOf
from upweight.workflows.torch_rows import Together, shown_rows
from upweight.workflows.torch_task import TorchTask

__all__ = ["Opened", "TorchAsked", "ask_rows", "ask_worst", "open_task", "read_asked", "x_of", "y_of"]

LEFT_IN = "a training row, left in"
TAKEN_OUT = "taken out of the training rows first"
SELF = (
    "a row that is asked about stands among the training rows itself and is listed apart, because a refit of this "
    "network without it is a training run"
)


@dataclass(frozen=True, eq=False)
class Opened:
    """`queries`: rows that are asked about beside the training rows, None where the function gives none."""

    task: TorchTask
    reading: Reading
    influence: Influence
    queries: Rows | None
    truths: bool  # whether the queries' targets are known
    solver: str
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> Rows:
        """The training rows."""
        return self.reading.rows

    @property
    def measurement(self) -> str | None:
        """None: explain's own choice; a network with several numbers a row is measured by its loss."""
        own = self.influence.adapted
        one = own.kind == "classification" or (self.influence.attribution.c == 1 and np.ndim(own.labels) == 1)
        return None if one else "loss"


@dataclass(frozen=True, eq=False)
class TorchAsked:
    """`x`, `y`: what is asked about, y None where the truth is not known; `own`: positions of rows left in."""

    opened: Opened
    x: Any
    y: Any
    ids: tuple[Any, ...]
    rows: RowsOf
    origins: tuple[str, ...]
    own: tuple[int | None, ...] | None


def open_task(task: TorchTask, solver: str = "auto") -> Opened:
    """Everything read and checked.

    Raises: UnsupportedModel, InputError.
    """
    reading = read(task.model, task.loss, task.data, task.penalty, task.params, task.normalization, task.train)
    queries, truths = read_asked(task, reading)
    return Opened(task, reading, _influence(task, reading, solver), queries, truths, solver)


def x_of(rows: Rows) -> Any:
    """The model's inputs, sliced by rows as one array."""
    return rows.inputs[0] if len(rows.inputs) == 1 else Together(rows.inputs)


def y_of(rows: Rows) -> NDArray[Any]:
    """Targets as the user's labels are read: [q], or [q, t]."""
    values = rows.targets.cpu().numpy()
    flat = values.reshape(len(values), -1)
    return np.asarray(flat[:, 0] if flat.shape[1] == 1 else flat)


def ask_rows(opened: Opened, ids: Sequence[str], keep: bool = False) -> TorchAsked:
    """Queries by id where the function gives some; else training rows.

    Raises: InputError for rows that there are not, or that the model cannot do without.
    """
    rows = opened.rows if opened.queries is None else opened.queries
    known = {str(row): i for i, row in enumerate(rows.ids)}
    unknown = [row for row in ids if row not in known]
    if unknown:
        what = "training rows" if opened.queries is None else "queries"
        ends = f"{rows.ids[0]} to {rows.ids[-1]}"
        raise InputError(f"{opened.task.name}: there is no row {listed(unknown)}. Its {what} are {ends}.")
    return _asked(opened, [known[row] for row in dict.fromkeys(ids)], keep)


def ask_worst(opened: Opened, k: int, keep: bool = False) -> TorchAsked:
    """The k queries with most loss; without queries, the training rows, under models without them where that is cheap.

    Raises: InputError if k is no count, or the queries' truths are not known.
    """
    if k < 1:
        raise InputError(f"--worst {k} asks for nothing. Give 1 or more.")
    refuse_many(k)
    if opened.queries is not None:
        if not opened.truths:
            raise InputError(f"{opened.task.name}: its queries have no truths, so none is the worst. Give --row.")
        at = worst(opened.influence, x_of(opened.queries), y_of(opened.queries), k)
        return _asked(opened, at, keep)
    loss, said = _losses(opened.influence)
    known = np.flatnonzero(np.isfinite(loss))
    at = [int(i) for i in known[np.argsort(-loss[known], kind="stable")[:k]]]
    return _asked(replace(opened, notes=(*opened.notes, said)), at, keep)


def _losses(influence: Influence) -> tuple[NDArray[np.float64], str]:
    """[n], and how they were come by."""
    try:
        loss, said = losses_out_of_fold(influence, Arrangement())
        return loss, said.replace("no row was held out", "the function gives no queries")
    except UnsupportedQuestion:
        own = influence.attribution
        loss = np.asarray(own.loss.value(own.outputs, own.targets), dtype=np.float64)
        return loss, "the function gives no queries: the worst are the training rows with most loss"


def _asked(opened: Opened, at: list[int], keep: bool) -> TorchAsked:
    refuse_many(len(at))
    rows = opened.rows if opened.queries is None else opened.queries
    some = _some(rows, at)
    y = y_of(some) if opened.queries is None or opened.truths else None
    origins, own, left = ("one of the function's queries",) * len(at), None, opened
    if opened.queries is None:
        if not keep and opened.influence.attribution.refits_shown:
            left, origins = _without(opened, at), (TAKEN_OUT,) * len(at)
        else:
            own, origins = tuple(at), (LEFT_IN,) * len(at)
            left = opened if keep else replace(opened, notes=(*opened.notes, SELF))
    return TorchAsked(left, x_of(some), y, some.ids, shown_rows(some), origins, own)


def _without(opened: Opened, at: Sequence[int]) -> Opened:
    """The same without these training rows: the model refitted to the minimum of the rest."""
    rows = opened.rows
    ids = [rows.ids[i] for i in at]
    if rows.n - len(at) < 2:
        raise InputError(f"taking {listed(ids)} out leaves {count(rows.n - len(at), 'training row')}. Add --keep.")
    refit = opened.influence.without(ids)
    if not refit.converged:
        raise InputError(f"without {listed(ids)} the model has no minimum to refit to. Add --keep to leave them in.")
    kept = np.setdiff1d(np.arange(rows.n), np.asarray(at))
    scale = rows.n / len(kept) if opened.reading.normalization == "sum" else 1.0  # F keeps the 1/n of all rows
    task = replace(
        opened.task,
        model=refit.model,
        data=_some(rows, kept),
        penalty={name: scale * value for name, value in opened.reading.penalties.items()},
        params=list(opened.reading.chosen),
        train=_on_the_rest(opened.reading.train, rows.n, kept),
        queries=None,
    )
    found = open_task(task, opened.solver)
    return replace(found, task=opened.task, notes=(*opened.notes, _said(ids)))


def _said(ids: Sequence[Any]) -> str:
    """What was taken out, and what for."""
    if len(ids) == 1:
        taken, does, rest = f"row {ids[0]} was", "it does not explain itself", "it"
    else:
        taken = f"rows {among(ids[:5])}{' …' if len(ids) > 5 else ''} were"
        does, rest = "they do not explain themselves", "them"
    return f"{taken} taken out of the training rows, so that {does}: the model that answers is refitted without {rest}"


def _on_the_rest(train: Callable[..., Any] | None, n: int, kept: NDArray[np.int64]) -> Callable[..., Any] | None:
    """The user's training with weight 0 for the rows that are gone."""
    if train is None:
        return None

    def trained(weights: torch.Tensor, seed: int) -> Any:
        full = weights.new_zeros(n)
        full[torch.as_tensor(kept, device=weights.device)] = weights
        return train(full, seed)

    return trained


def _some(rows: Rows, at: Sequence[int] | NDArray[np.int64]) -> Rows:
    where = np.asarray(at, dtype=np.int64)
    index = torch.as_tensor(where, device=rows.targets.device)
    return replace(
        rows,
        inputs=tuple(part[index] for part in rows.inputs),
        targets=rows.targets[index],
        weights=rows.weights[where],
        ids=tuple(rows.ids[int(i)] for i in where),
    )


def _influence(task: TorchTask, reading: Reading, solver: str) -> Influence:
    return Influence(understood(reading), solver, task.damping)


def read_asked(task: TorchTask, reading: Reading) -> tuple[Rows | None, bool]:
    """The function's queries, None where it gives none, and whether their truths are known.

    Raises: InputError for queries that are no rows of this model.
    """
    if task.queries is None:
        return None, False
    given, truths = task.queries, True
    if isinstance(given, tuple) and len(given) == 2 and given[1] is None:
        first = given[0][0] if isinstance(given[0], tuple) else given[0]
        given, truths = (given[0], np.zeros(len(first))), False
    like = dict(reading.model.named_parameters())[reading.chosen[0]]
    try:
        rows = read_rows(given, like.device, like.dtype)
        own = [(tuple(part.shape[1:]), part.dtype) for part in reading.rows.inputs]
        seen = [(tuple(part.shape[1:]), part.dtype) for part in rows.inputs]
        if own != seen:
            raise InputError(f"their inputs are {_described(seen)}; those of the training rows are {_described(own)}.")
    except InputError as error:
        raise InputError(f"{task.name}: the queries: {error}") from error
    return rows, truths


def _described(parts: Sequence[tuple[tuple[int, ...], torch.dtype]]) -> str:
    return " and ".join(f"{list(shape)} {str(dtype).removeprefix('torch.')}" for shape, dtype in parts)
