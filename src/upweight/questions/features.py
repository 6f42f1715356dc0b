"""What if a cell of a training row were another? Per unit of a number; category by category; word by word.

The derivative by what the head reads is taken back through the frozen preprocessing to the user's own columns. What has
no derivative is changed: the whole row is read anew, and the difference of its gradients stands for the step.
Source: METHODS.md 1 and 9.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from upweight.adapters import Adapted
from upweight.adapters.column_map import ColumnMap, column_map, table_columns
from upweight.adapters.column_routes import LINEAR
from upweight.adapters.row_edits import Edit, cell, cells, edited, other_values, without_words
from upweight.arrays import namespace, to_numpy
from upweight.errors import InputError, UnsupportedQuestion
from upweight.feature_effects import CellChange, FeatureEffects
from upweight.linear_head import LinearHead
from upweight.perturbation import Inputs
from upweight.questions.base import Answer, Question
from upweight.questions.linearised import Linearised, conditions, linearised, perturbable, refits_of
from upweight.questions.trust import signals
from upweight.removal.changed_refit import Changed
from upweight.validation.grade import grade

__all__ = ["features", "strongest_rows"]

DEFAULT_ROWS = 10
SAME = 1e-9  # relative: values of a column that the model reads alike
FREE_TEXT = 50  # different values of a column of words beyond which, if most rows have their own, it is no category


def strongest_rows(question: Question) -> list[int]:
    """The rows whose removal would change most, over all queries."""
    sizes = np.abs(question.scores("leverage").values).sum(axis=0)
    return [int(i) for i in np.argsort(-sizes, kind="stable")[:DEFAULT_ROWS]]


def features(question: Question, rows: Sequence[int], how: Callable[[str], str]) -> FeatureEffects:
    """[q, r, d] per unit of each column of the table, and what other categories and missing words would do.

    Raises: UnsupportedQuestion; InputError for no rows.
    """
    adapted, attribution = question.adapted, question.attribution
    if not len(rows):
        raise InputError("rows holds no row. Name training rows by their ids, or leave it out for the strongest ten.")
    perturbable(question, "features")
    at = np.asarray(rows, dtype=np.int64)
    found = linearised(question, Inputs(), at)
    held = tuple(cells(adapted.rows, int(i)) for i in at)
    mapped = _back(adapted, at, held, found.values)
    mapped, notes = _without_free_text(mapped, adapted.rows)
    edits, changes = _changes(question, found, mapped, at)
    spread = _spread(adapted.rows, mapped)
    said = "; ".join(text for text in (f"the {question.name} linearised", found.said, *_ways(mapped)) if text)
    values = np.zeros((len(found.values), attribution.n))
    for k, i in enumerate(at):
        own = [np.abs(change.effects) for change in changes if change.row == k]
        values[:, i] = np.max([np.zeros(len(values)), *(np.abs(mapped.gradient[:, k, :] * spread).T), *own], axis=0)

    def refits(which: Sequence[int]) -> NDArray[np.float64]:
        return _refits(question, [int(at[changes[m].row]) for m in which], [edits[m] for m in which])

    known = signals(question, Answer(values, question.now(), said, found.solutions, found.missing), "first_order")
    derivative = not changes  # of a unit of a number: exact at the fit, whatever the row's leverage
    return FeatureEffects(
        values=mapped.gradient,
        row_ids=tuple(adapted.row_ids[i] for i in at),
        columns=mapped.names,
        reach=tuple(reach.name for reach in mapped.reach),
        cells=held,
        spread=spread,
        changes=changes,
        refitter=refits if attribution.refits_shown else None,
        base=question.now(),
        measurement=question.name,
        unit=question.unit,
        better=question.better,
        meaning=_meaning(question),
        how=how(said),
        grade=grade(replace(known, quadratic=True) if derivative else known),
        notes=(*notes, *adapted.notes),
    )


def _back(
    adapted: Adapted, at: NDArray[np.int64], held: Sequence[tuple[Any, ...]], gradient: NDArray[np.float64]
) -> ColumnMap:
    """The derivative by what the head reads [q, r, f], taken back to the rows' own numbers.

    Raises: UnsupportedQuestion.
    """
    if adapted.row_inputs is None:
        _refuse_other_columns(adapted, at, held, gradient.shape[2])
        return column_map(adapted.stages, adapted.rows, at.tolist(), gradient)
    own = np.stack([adapted.row_inputs.slopes(at, one) for one in gradient])  # through the network before the head
    return ColumnMap(table_columns(adapted.rows), own, (LINEAR,) * own.shape[2])


def _meaning(question: Question) -> str:
    where = "" if question.name.startswith("parameter:") else " on each query"
    return (
        f"Estimated change of the {question.name}{where}, in {question.unit}, per unit by which a number of that "
        f"training row rises, or if its category became another or its word were deleted, and the "
        f"{question.adapted.model_name} were refitted; {conditions(question)}"
    )


def _ways(mapped: ColumnMap) -> list[str]:
    """How derivatives were taken through the preprocessing, where that is worth a word."""
    smooth = sorted({reach.by for reach in mapped.reach if reach.name == "smooth"})
    said = [f"through {', '.join(smooth)} by central differences at the row"] if smooth else []
    if any(reach.name in ("category", "text") for reach in mapped.reach):
        said.append("categories and words by the difference of the row's gradients, first order")
    return said


def _without_free_text(mapped: ColumnMap, x: Any) -> tuple[ColumnMap, list[str]]:
    """A column of words of its own in most rows is no category; and what has no effect here is said by name."""
    reach = list(mapped.reach)
    for j, one in enumerate(reach):
        if (
            one.name == "category"
            and isinstance(x, pd.DataFrame)
            and not pd.api.types.is_numeric_dtype(x.dtypes.iloc[j])
        ):
            different = x.iloc[:, j].nunique()
            if different > max(FREE_TEXT, len(x) // 2):
                reach[j] = replace(one, name="none")
    notes = [
        f"column {name!r}: {one.by} has no derivative and no categories here, so no effect of it can be given"
        for name, one in zip(mapped.names, reach, strict=True)
        if one.name == "none"
    ]
    return replace(mapped, reach=tuple(reach)), notes


def _changes(
    question: Question, found: Linearised, mapped: ColumnMap, at: NDArray[np.int64]
) -> tuple[list[Edit], tuple[CellChange, ...]]:
    """Every other category, every word that is there: what the whole row, read anew, would do."""
    adapted = question.adapted
    x, made, out = adapted.rows, list[Edit](), list[CellChange]()
    for k, i in enumerate(at):
        edits = list[Edit]()
        for j, reach in enumerate(mapped.reach):
            if reach.name == "category":
                edits += other_values(x, int(i), j)
            elif reach.name == "text":
                edits += without_words(cell(x, int(i), j), j, reach)
        if edits:
            kept = _merged(k, edits, _effects(question, found, int(i), edited(x, int(i), edits)))
            made += [edit for edit, _ in kept]
            out += [change for _, change in kept]
    return made, tuple(out)


def _refits(question: Question, rows: Sequence[int], edits: Sequence[Edit]) -> NDArray[np.float64]:
    """[m, q]: the real change with each edit, alone; NaN where a refit found no optimum."""
    x, parts = question.adapted.rows, list[NDArray[np.float64]]()
    for i, group in groupby(range(len(edits)), key=lambda m: int(rows[m])):
        some = [edits[m] for m in group]
        inputs = question.adapted.read_query(edited(x, i, some))
        parts.append(refits_of(question, Changed(np.full(len(some), i), features=inputs)))
    return np.concatenate(parts, axis=0)


def _effects(question: Question, found: Linearised, i: int, table: Any) -> NDArray[np.float64]:
    """[q, m]: of reading each row of the table instead of row i; 0 where the model reads the same."""
    attribution = perturbable(question, "features")
    inputs = question.adapted.read_query(table)
    rows = np.full(inputs.rows, i)
    parts = [to_numpy(attribution.replaced(solution.x, rows, inputs)) for solution in found.solutions]
    other = to_numpy(attribution.unlike(rows, inputs))
    return np.where(other[None, :], np.concatenate(parts, axis=0), 0.0)


def _merged(k: int, edits: Sequence[Edit], effects: NDArray[np.float64]) -> list[tuple[Edit, CellChange]]:
    """One line for neighbouring numbers that the model reads alike (bins); none for what it does not read."""
    out = list[tuple[Edit, CellChange]]()
    size = np.max(np.abs(effects), initial=0.0)

    def same(m: int) -> tuple[Any, ...]:
        number = isinstance(edits[m].said, int | float | np.number) and edits[m].kind == "category"
        key = tuple(np.round(effects[:, m] / (SAME * size)).tolist()) if size > 0 else ()
        return (edits[m].column, number, key if number else m)

    for _, group in groupby(range(len(edits)), key=same):
        members = list(group)
        first, last = edits[members[0]], edits[members[-1]]
        if not effects[:, members[0]].any():
            continue
        said = first.said if len(members) == 1 else f"{first.said} … {last.said}"
        out.append((first, CellChange(k, first.column, _shown(said), effects[:, members[0]], first.kind)))
    return out


def _refuse_other_columns(adapted: Adapted, at: NDArray[np.int64], held: Sequence[tuple[Any, ...]], width: int) -> None:
    """Raises: UnsupportedQuestion where what the head reads is made by a network or a kernel, not by columns."""
    head = adapted.objective
    if adapted.reads:
        raise UnsupportedQuestion(
            f"{adapted.model_name} reads {adapted.reads} on its training rows: another cell gives a row a feature that "
            "none of them has. Ask about the rows (scores, group, relabel), or use a Pipeline of Nystroem and the "
            "linear form of this model."
        )
    if adapted.stages:
        return
    reads_table = width == len(held[0])
    if reads_table and isinstance(head, LinearHead):
        read = to_numpy(head.features.take(namespace(head.weights).asarray(at)))[:, :-1]
        reads_table = np.allclose(read, np.asarray(held, dtype=np.float64), rtol=1e-4, atol=1e-6)
    if not reads_table:
        raise UnsupportedQuestion(
            f"the head of {adapted.model_name} reads {width} numbers that a network makes, which are no columns of "
            "your data. Use params='all', or ask about the rows: scores, group, relabel."
        )


def _spread(x: Any, mapped: ColumnMap) -> NDArray[np.float64]:
    """[d]: standard deviation of each column of numbers over the training rows; 0 where it is none."""
    numbers = [j for j, one in enumerate(mapped.reach) if one.name in ("linear", "smooth")]
    out = np.zeros(len(mapped.names))
    if not numbers:
        return out
    if sp.issparse(x):
        mean = np.asarray(x.mean(axis=0)).reshape(-1)
        square = np.asarray(x.multiply(x).mean(axis=0)).reshape(-1)
        out[numbers] = np.sqrt(np.maximum(square - mean**2, 0.0))[numbers]
        return out
    if isinstance(x, pd.DataFrame):
        columns = x.iloc[:, numbers].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        columns = np.asarray(np.asarray(x)[:, numbers], dtype=np.float64)
    there = np.isfinite(columns)
    rows = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, columns, 0.0).sum(axis=0) / rows
    out[numbers] = np.sqrt((np.where(there, columns - mean, 0.0) ** 2).sum(axis=0) / rows)
    return out


def _shown(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
