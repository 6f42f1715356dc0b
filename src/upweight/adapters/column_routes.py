"""How one frozen transformer passes a derivative back from its outputs to its inputs, and what it makes of a column.

Exactly where it is linear; by central differences at the row where it is smooth; categories and texts have none: what
they do is asked by changing them. Stands on scikit-learn; column_map walks pipelines with it.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from upweight.adapters.inputs import take_rows
from upweight.shapes import Array, Float

__all__ = ["LINEAR", "UNUSED", "Back", "Reach", "dense", "farthest", "leaf"]

MOST_DIFFERENCED = 300  # columns of a transformer that is neither linear nor known: each costs four rows a row
STEP = 1e-3  # of a column's spread: the four-point difference is then right to ~1e-12 of it


@dataclass(frozen=True)
class Reach:
    """What becomes of a column on its way to the model; the larger `rank` speaks for one that goes several ways."""

    rank: int
    name: str
    by: str = ""  # the transformer that decided it
    reader: Any = None  # of a text: the vectorizer


UNUSED = Reach(0, "unused")
LINEAR = Reach(1, "linear")


@dataclass(frozen=True)
class Back:
    """The derivative by a transformer's inputs [q, r, d], and what becomes of each of them."""

    gradient: Float[Array, "q r d"]
    reach: tuple[Reach, ...]


def farthest(*reaches: Reach) -> Reach:
    """Of several ways that a column goes."""
    return max(reaches, key=lambda reach: reach.rank, default=UNUSED)


def leaf(transformer: Any, x: Any, later: Back) -> Back:
    """Through a transformer that holds no others; `x` [B, d_in] is what it reads, the rows asked for first."""
    rows = later.gradient.shape[1]
    if isinstance(transformer, SelectorMixin):
        return _scattered(later, transformer.get_support(indices=True), _width(x), 1.0)
    if isinstance(transformer, FunctionTransformer):
        if transformer.func is None:
            return later
    elif type(transformer) in _LINEAR:
        found = _LINEAR[type(transformer)](transformer, x, later)
        if found is not None:
            return found
    for kinds, rank, name in _CHANGED:
        if isinstance(transformer, kinds):
            reader = transformer if name == "text" else None
            width = 1 if name == "text" else _width(x)
            still = np.zeros((later.gradient.shape[0], rows, width))
            return Back(still, (Reach(rank, name, type(transformer).__name__, reader),) * width)
    return _differenced(transformer, x, later)


def dense(x: Any) -> Array:
    """Numbers, written out."""
    return np.asarray(x.toarray() if sp.issparse(x) else x, dtype=np.float64)


def _width(x: Any) -> int:
    return int(x.shape[1]) if len(getattr(x, "shape", ())) == 2 else 1


def _scattered(later: Back, kept: Array, width: int, factor: Any) -> Back:
    """Column kept[j] became output j, times a factor."""
    gradient = np.zeros((*later.gradient.shape[:2], width))
    gradient[:, :, kept] = later.gradient[:, :, : len(kept)] * factor
    reach = [UNUSED] * width
    for j, column in enumerate(kept):
        reach[int(column)] = later.reach[j]
    return Back(gradient, tuple(reach))


def _scaled(factor: Any, later: Back) -> Back:
    return Back(later.gradient * (1.0 if factor is None else factor), later.reach)


def _divided(transformer: Any, x: Any, later: Back) -> Back:
    scale = transformer.scale_
    return _scaled(None if scale is None else 1.0 / scale, later)


def _min_max(transformer: Any, x: Any, later: Back) -> Back | None:
    return None if transformer.clip else _scaled(transformer.scale_, later)


def _max_abs(transformer: Any, x: Any, later: Back) -> Back | None:
    return None if getattr(transformer, "clip", False) else _scaled(1.0 / transformer.scale_, later)


def _mixed(transformer: Any, x: Any, later: Back) -> Back:
    """Every output is a sum over all inputs."""
    gradient = later.gradient
    if getattr(transformer, "whiten", False):
        gradient = gradient / np.sqrt(transformer.explained_variance_)
    through = farthest(*later.reach)
    return Back(gradient @ transformer.components_, (through,) * transformer.components_.shape[1])


def _imputed(transformer: Any, x: Any, later: Back) -> Back:
    """What is there stays as it is; what is missing has no derivative."""
    width = _width(x)
    empty = np.asarray(pd.isna(np.asarray(transformer.statistics_, dtype=object)), dtype=bool)
    kept = np.arange(width) if transformer.keep_empty_features else np.flatnonzero(~empty)
    there = ~np.asarray(pd.isna(_cells(take_rows(x, np.arange(later.gradient.shape[1])))), dtype=bool)
    back = _scattered(later, kept, width, 1.0)
    return Back(back.gradient * there[None, :, :], back.reach)


def _constant(transformer: Any, x: Any, later: Back) -> Back:
    width = _width(x)
    return Back(np.zeros((*later.gradient.shape[:2], width)), (LINEAR,) * width)


def _differenced(transformer: Any, x: Any, later: Back) -> Back:
    """Four-point central differences of a transformer that is not known to be linear, row by row."""
    name, width = type(transformer).__name__, _width(x)
    q, rows = later.gradient.shape[:2]
    gradient = np.zeros((q, rows, width))
    if width > MOST_DIFFERENCED or len(getattr(x, "shape", ())) != 2:
        return Back(gradient, (Reach(4, "none", name),) * width)
    numbers = [j for j in range(width) if _numeric(_column(x, j))]
    reach = [Reach(5, "category", name)] * width
    for j in numbers:
        reach[j] = farthest(Reach(2, "smooth", name), farthest(*later.reach))
    spread = [_spread(_column(x, j)) for j in numbers]
    for i in range(rows):
        moved = _moved(take_rows(x, np.full(4 * len(numbers), i)), numbers, STEP * np.asarray(spread))
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                out = dense(transformer.transform(moved)) if numbers else np.zeros((0, later.gradient.shape[2]))
        except Exception:  # it refuses what lies beside the row
            out = np.full((4 * len(numbers), later.gradient.shape[2]), np.nan)
        for at, j in enumerate(numbers):
            up, down, far_up, far_down = out[4 * at : 4 * at + 4]
            slope = (8.0 * (up - down) - (far_up - far_down)) / (12.0 * STEP * spread[at])
            if np.isfinite(slope).all():
                gradient[:, i, j] = later.gradient[:, i, :] @ slope
            else:
                reach[j] = farthest(reach[j], Reach(4, "none", name))
    return Back(gradient, tuple(reach))


def _moved(x: Any, columns: list[int], steps: Array) -> Any:
    """Copies of one row, four a column: ± one step, ± two."""
    x = x.toarray() if sp.issparse(x) else x.copy()
    for at, j in enumerate(columns):
        values = np.array(_column(x, j), dtype=np.float64)
        values[4 * at : 4 * at + 4] += steps[at] * np.array([1.0, -1.0, 2.0, -2.0])
        if isinstance(x, pd.DataFrame):
            x.isetitem(j, values)
        else:
            x = x if x.dtype.kind in "fO" else x.astype(np.float64)
            x[:, j] = values
    return x


def _column(x: Any, j: int) -> Any:
    if isinstance(x, pd.DataFrame):
        return x.iloc[:, j]
    return x[:, [j]].toarray()[:, 0] if sp.issparse(x) else x[:, j]


def _cells(x: Any) -> Any:
    """Dense, of any type."""
    return x.toarray() if sp.issparse(x) else np.asarray(x)


def _numeric(values: Any) -> bool:
    dtype = getattr(values, "dtype", None)
    if dtype is not None and getattr(dtype, "kind", "O") in "fiub":
        return True
    try:
        np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return not isinstance(dtype, pd.CategoricalDtype)


def _spread(values: Any) -> float:
    """Standard deviation, or the size of what is there where nothing varies."""
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    found = float(np.std(numbers)) if len(numbers) else 0.0
    return found if found > 0 else max(1.0, float(np.max(np.abs(numbers), initial=0.0)))


_LINEAR: dict[type, Callable[[Any, Any, Back], Back | None]] = {
    StandardScaler: _divided,
    RobustScaler: _divided,
    MaxAbsScaler: _max_abs,
    MinMaxScaler: _min_max,
    PCA: _mixed,
    IncrementalPCA: _mixed,
    TruncatedSVD: _mixed,
    SimpleImputer: _imputed,
    MissingIndicator: _constant,
}
_CHANGED: tuple[tuple[Any, int, str], ...] = (
    ((OneHotEncoder, OrdinalEncoder, TargetEncoder, KBinsDiscretizer, Binarizer), 5, "category"),
    ((CountVectorizer, TfidfVectorizer, HashingVectorizer), 6, "text"),
)
