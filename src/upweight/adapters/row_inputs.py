"""What a training row's own numbers are, and what the head reads of them: the one place where kinds of data vary.

`TableRows`: columns of numbers through frozen preprocessing, each row read anew. Networks: torch_row_inputs. Stands on
column_map and inputs; questions.features and workflows.audit ask.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from upweight.adapters.base import Adapted
from upweight.adapters.column_map import column_map, table_columns
from upweight.adapters.column_routes import Reach
from upweight.adapters.inputs import take_rows
from upweight.arrays import blocks, to_numpy
from upweight.errors import UnsupportedQuestion

__all__ = ["Back", "RowInputs", "TableRows", "table_rows"]

Floats = NDArray[np.float64]
Back = Callable[[Floats], Floats]  # derivative by what the head reads [k, f] -> by the cells [k, d]

SAMPLE = 200  # rows beside a changed one, from which column_map takes the size of its differences
MEMORY = 256 * 2**20  # of a derivative that is kept
SMOOTH = 200  # rows whose derivative is taken, where each is found by differences


@runtime_checkable
class RowInputs(Protocol):
    """Training rows as d numbers each (cells), in one flat order."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row: (d,) of a table."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the cells; () where a row is an array with axes of its own."""
        ...

    @property
    def movable(self) -> NDArray[np.bool_]:
        """[d]: cells by which the model has a derivative."""
        ...

    @property
    def groups(self) -> NDArray[np.int64]:
        """[d]: cells that share a scale: each column its own, the pixels of a channel one."""
        ...

    @property
    def at_most(self) -> int | None:
        """Of how many rows derivatives are cheap enough to be asked for; None: of all."""
        ...

    def values(self, group: int) -> Floats:
        """What stands in these cells of the training rows, finite ones only: all, or a sample that holds the ends."""
        ...

    def cells(self, rows: NDArray[np.int64]) -> Floats:
        """[k, d] as they are; NaN where there is no number."""
        ...

    def held(self, cells: Floats, low: Floats, high: Floats) -> Floats:
        """The same as the data's own type holds them, inside [low, high]."""
        ...

    def slopes(self, rows: NDArray[np.int64], gradient: Floats) -> Floats:
        """[k, d] from the derivative by what the head reads of these rows [k, f], as they are."""
        ...

    def read(self, rows: NDArray[np.int64], cells: Floats) -> tuple[Floats, Back]:
        """What the head reads [k, f] with these cells instead, and the way back there."""
        ...

    def data(self, rows: NDArray[np.int64], cells: Floats) -> Any:
        """These rows with these cells, of the kind that the user's X is."""
        ...


@dataclass(frozen=True, eq=False)
class TableRows:
    """A DataFrame or an array; what is no number stays."""

    adapted: Adapted
    reach: tuple[Reach, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (len(self.reach),)

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's."""
        return table_columns(self.adapted.rows)

    @cached_property
    def movable(self) -> NDArray[np.bool_]:
        """Columns of numbers that have a derivative."""
        found = np.asarray([one.name in ("linear", "smooth") for one in self.reach])
        x = self.adapted.rows
        if isinstance(x, pd.DataFrame):
            found &= [pd.api.types.is_numeric_dtype(t) and not pd.api.types.is_bool_dtype(t) for t in x.dtypes]
        return found

    @property
    def groups(self) -> NDArray[np.int64]:
        """Each column its own."""
        return np.arange(len(self.reach))

    @property
    def at_most(self) -> int | None:
        """All, but where differences are taken row by row."""
        return SMOOTH if any(one.name == "smooth" for one in self.reach) else None

    def values(self, group: int) -> Floats:
        """The column."""
        column = _numbers(self.adapted.rows, [group])[:, 0]
        return column[np.isfinite(column)]

    def cells(self, rows: NDArray[np.int64]) -> Floats:
        """NaN where a column holds no number."""
        return np.array(self._table[rows])

    def held(self, cells: Floats, low: Floats, high: Floats) -> Floats:
        """Rounded where the data are float32."""
        x = self.adapted.rows
        types = list(x.dtypes) if isinstance(x, pd.DataFrame) else [x.dtype] * cells.shape[1]
        narrow = [j for j, t in enumerate(types) if t in (np.float32, np.float16)]
        out = np.array(cells)
        for j in narrow:
            out[:, j] = inside(cells[:, j].astype(types[j]), low[:, j], high[:, j])
        return out

    def slopes(self, rows: NDArray[np.int64], gradient: Floats) -> Floats:
        """Block by block."""
        x = self.adapted.rows
        if not self.adapted.stages:
            return gradient
        parts = [
            column_map(self.adapted.stages, x, rows[some].tolist(), gradient[None, some]).gradient[0]
            for some in blocks(len(rows), 64.0 * (gradient.shape[1] + self.shape[0]))
        ]
        return np.concatenate(parts)

    def read(self, rows: NDArray[np.int64], cells: Floats) -> tuple[Floats, Back]:
        """Through preprocessing that is linear by its derivative; else the rows are read anew at every place."""
        if not self.adapted.stages and self.movable.all():
            return np.array(cells), lambda gradient: gradient
        here = self._slope_at(tuple(rows.tolist()))
        if here is None:
            changed = self.data(rows, cells)
            return self._features(changed), lambda gradient: self._back(changed, gradient[None])[0]
        start, slope = here
        moved = np.nan_to_num(cells - self._table[rows])
        features = start + np.einsum("fkd,kd->kf", slope, moved)
        return features, lambda gradient: np.einsum("kf,fkd->kd", gradient, slope)

    def data(self, rows: NDArray[np.int64], cells: Floats) -> Any:
        """A copy; columns that change hold floats."""
        x = self.adapted.rows
        now, some = self.cells(rows), take_rows(x, rows)
        changed = [j for j in np.flatnonzero(self.movable) if np.any(_other(cells[:, j], now[:, j]))]
        if isinstance(x, pd.DataFrame):
            some = some.copy()
            for j in changed:
                own = x.dtypes.iloc[j]
                kind = own if own in (np.float32, np.float16) else np.float64
                some.isetitem(j, cells[:, j].astype(kind))
            return some
        some = np.array(some, dtype=some.dtype if some.dtype.kind in "fO" else np.float64)
        some[:, changed] = cells[:, changed]
        return some

    @cached_property
    def _table(self) -> Floats:
        return _numbers(self.adapted.rows, range(len(self.reach)), self.movable)

    @cached_property
    def _slopes(self) -> dict[tuple[int, ...], tuple[Floats, Floats]]:
        return {}

    def _slope_at(self, rows: tuple[int, ...]) -> tuple[Floats, Floats] | None:
        """What the head reads of these rows [k, f], and its derivative [f, k, d]; None where that is not constant."""
        known = self._slopes.get(rows)
        if known is not None:
            return known
        straight = all(one.name == "linear" for one, can in zip(self.reach, self.movable, strict=True) if can)
        f, k = int(self.adapted.objective.features.columns) - 1, len(rows)
        if not straight or 8.0 * f * f * k > MEMORY:
            return None
        some = take_rows(self.adapted.rows, np.asarray(rows))
        units = np.broadcast_to(np.eye(f)[:, None, :], (f, k, f))
        self._slopes.clear()  # those of one attack at a time
        self._slopes[rows] = self._features(some), self._back(some, np.array(units))
        return self._slopes[rows]

    def _features(self, some: Any) -> Floats:
        inputs: Any = self.adapted.read_query(some)
        return np.asarray(to_numpy(inputs.take(np.arange(inputs.rows)))[:, :-1])

    def _back(self, some: Any, gradient: Floats) -> Floats:
        """[q, k, d] of these rows of the table's kind."""
        if not self.adapted.stages:
            return gradient
        beside = take_rows(self.adapted.rows, self._sample)
        table = pd.concat([some, beside]) if isinstance(some, pd.DataFrame) else np.concatenate([some, beside])
        return np.asarray(column_map(self.adapted.stages, table, range(gradient.shape[1]), gradient).gradient)

    @cached_property
    def _sample(self) -> NDArray[np.int64]:
        n = len(self.adapted.row_ids)
        return np.unique(np.linspace(0, n - 1, min(SAMPLE, n)).astype(int))


def table_rows(adapted: Adapted) -> TableRows:
    """The numbers of a scikit-learn model's training table.

    Raises: UnsupportedQuestion for texts, sparse matrices, kernels, and where no column of numbers reaches the model.
    """
    x, name = adapted.rows, adapted.model_name
    if adapted.reads:
        raise UnsupportedQuestion(
            f"{name} reads {adapted.reads} on its training rows: a changed row changes every row's features. Use a "
            "Pipeline of Nystroem and the linear form of this model."
        )
    if sp.issparse(x) or not isinstance(x, pd.DataFrame | np.ndarray) or len(x.shape) != 2:
        kind = "a sparse matrix" if sp.issparse(x) else "no table of numbers"
        raise UnsupportedQuestion(
            f"X is {kind}, and cells are changed by small amounts. Give a DataFrame or an array of numbers."
        )
    head = adapted.objective
    width = int(head.features.columns) - 1
    reach = column_map(adapted.stages, x, [0], np.ones((1, 1, width))).reach
    found = TableRows(adapted, reach)
    if not found.movable.any():
        raise UnsupportedQuestion(
            f"no column of numbers reaches {name} with a derivative: categories, bins and texts cannot be changed by "
            "small amounts. Ask what other categories or words would do: features."
        )
    return found


def inside(values: NDArray[Any], low: Floats, high: Floats) -> Floats:
    """Numbers of a narrow type, the next one inwards where rounding took them out."""
    values = np.where(values.astype(np.float64) > high, np.nextafter(values, values.dtype.type(-np.inf)), values)
    values = np.where(values.astype(np.float64) < low, np.nextafter(values, values.dtype.type(np.inf)), values)
    return values.astype(np.float64)


def _numbers(x: Any, columns: Sequence[int] | range, movable: NDArray[np.bool_] | None = None) -> Floats:
    """[rows, columns] in float64, NaN where there is no number."""
    if isinstance(x, pd.DataFrame):
        out = np.full((len(x), len(columns)), np.nan)
        for k, j in enumerate(columns):
            if movable is None or movable[j]:
                out[:, k] = pd.to_numeric(x.iloc[:, j], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        return out
    part = np.asarray(x)[:, list(columns)]
    if part.dtype.kind in "fiub":
        return part.astype(np.float64)
    numbers = pd.DataFrame(part).apply(pd.to_numeric, errors="coerce")
    return np.asarray(numbers.to_numpy(dtype=np.float64, na_value=np.nan))


def _other(a: Floats, b: Floats) -> NDArray[np.bool_]:
    return np.asarray((a != b) & ~(np.isnan(a) & np.isnan(b)))
