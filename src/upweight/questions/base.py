"""What a question is: something measured, its estimated change without each row, and the same by real refits.

Stands on attribution and adapters; influence asks. One kind a file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from upweight.adapters import Adapted
from upweight.arrays import to_numpy
from upweight.attribution import Attribution
from upweight.solvers import Solution

__all__ = [
    "ROW_REMOVED",
    "Answer",
    "Movable",
    "Question",
    "changes",
    "finite",
    "measured_at",
    "optimum",
    "query_chunks",
    "rows_as_they_are",
]

ROW_REMOVED = "if that training row were removed"  # of every question's meaning

CHUNK_BYTES = 256 * 2**20  # gradients of the queries that are solved for at once


@dataclass(frozen=True, eq=False)
class Answer:
    """Scores before they are dressed: [q, n], the measurement now [q], and what the solver said."""

    values: NDArray[np.float64]
    base: NDArray[np.float64] | None
    how: str
    solutions: tuple[Solution, ...]
    missing: str | None = None


@runtime_checkable
class Question(Protocol):
    """Something measured, of one model."""

    @property
    def adapted(self) -> Adapted:
        """The model."""
        ...

    @property
    def attribution(self) -> Attribution:
        """Its head, made ready."""
        ...

    @property
    def name(self) -> str:
        """Of what is measured."""
        ...

    @property
    def unit(self) -> str:
        """Of what is measured."""
        ...

    @property
    def better(self) -> str | None:
        """Which way is good: "lower", "higher", or None."""
        ...

    @property
    def meaning(self) -> str:
        """One sentence: change of what, without what, under which refit."""
        ...

    def scores(self, removal: str) -> Answer:
        """Estimated change without each row."""
        ...

    def now(self) -> NDArray[np.float64]:
        """[q]: the measurement at the fit."""
        ...

    def after(self, sets: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """[k, q]: the measurement after really removing each set; NaN where a refit found no optimum."""
        ...

    def refits(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """[r, q]: the real change without each of these rows alone; NaN where there is no optimum."""
        ...

    def similarity(self) -> NDArray[np.float64] | None:
        """[q, n]: how near each row is to each query, the cheap baseline; None without queries."""
        ...


@runtime_checkable
class Movable(Question, Protocol):
    """A question that can be asked again at other parameters, of as many as one likes."""

    def at(self, states: Any) -> NDArray[np.float64]:
        """[k, q]: the measurement at k states of the attribution."""
        ...

    def along(self, states: Any) -> NDArray[np.float64]:
        """[k, q]: its change up to each state by its derivative; evaluated where it has none."""
        ...


def changes(question: Question, rows: Sequence[int]) -> NDArray[np.float64]:
    """[r, q]: refitted measurement minus the measurement at the optimum of all rows: what the removal alone did."""
    best = optimum(question.adapted, question.attribution)
    start = question.now() if best is None else measured_at(question, best)
    return question.after([[row] for row in rows]) - start[None]


def measured_at(question: Question, state: Any) -> NDArray[np.float64]:
    """[q]: the measurement at other parameters."""
    there: Any = question  # every kind is a dataclass of its own
    return np.asarray(replace(there, attribution=question.attribution.at(state)).now())


def optimum(adapted: Adapted, attribution: Attribution) -> Any:
    """The state in which removals start: the exact optimum of all rows; None where there is none."""
    return attribution.optimum(adapted.stationarity.polished)


def finite(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], str | None]:
    """The values with 0 where one could not be computed, and the sentence that says so."""
    bad = ~np.isfinite(values)
    if not bad.any():
        return values, None
    rows = np.flatnonzero(bad.any(axis=0))
    return np.where(bad, 0.0, values), f"{int(bad.sum()):,} scores of {len(rows):,} rows overflowed and read 0"


def query_chunks(attribution: Attribution, queries: int, per_query: int) -> list[NDArray[np.int64]]:
    """Query positions in chunks whose right-hand sides fit CHUNK_BYTES."""
    each = 8.0 * per_query * attribution.size * 4
    step = max(1, int(CHUNK_BYTES // each))
    return [np.arange(i, min(queries, i + step)) for i in range(0, queries, step)]


def rows_as_they_are(rows: Any, at: Sequence[int]) -> Mapping[str, Sequence[Any]]:
    """The user's own columns of these rows: a DataFrame's by name, an array's as x0, x1 …, a list's as "row"."""
    where = list(at)
    if isinstance(rows, pd.DataFrame):
        return {str(name): rows[name].iloc[where].tolist() for name in rows.columns}
    if isinstance(rows, pd.Series):
        return {str(rows.name or "text"): rows.iloc[where].tolist()}
    if sp.issparse(rows):
        rows = sp.csr_matrix(rows)[where].toarray()
        return {f"x{j}": rows[:, j].tolist() for j in np.flatnonzero(rows.any(axis=0))}
    if hasattr(rows, "shape") and len(rows.shape) == 2:
        taken = to_numpy(rows)[where]
        return {f"x{j}": taken[:, j].tolist() for j in range(taken.shape[1])}
    return {"row as it is": [rows[i] for i in where]}
