"""Scores as one file and back: numbers to the bit, words, grade, and as many rows as `top` is likely to show.

Stands on store and validation.grade; Scores.save and Scores.load stand on it. A file holds no model, so nothing is
refitted after it is loaded.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upweight.display.words import count
from upweight.errors import FileError
from upweight.store.archive import read_archive, write_archive
from upweight.store.scalars import decoded, encoded
from upweight.store.tables import pack, unpack
from upweight.validation.grade import Grade

__all__ = ["KEPT_ROWS", "Distance", "Rows", "foremost", "read_scores", "write_scores"]

KEPT_ROWS = 1000  # rows that are stored as they are, those that matter most first
KEPT_DISTANCES = 5e6  # numbers, 20 MB: past it a plot of loaded scores is over ranks

_WORDS = ("measurement", "unit", "better", "meaning", "how")

Rows = Callable[[Sequence[int]], Mapping[str, Sequence[Any]]]  # positions -> columns as they are


@dataclass(frozen=True, eq=False)
class Distance:
    """How far each training row is from a query: `to(query)` [n], >= 0; `label`: what is measured, for an axis."""

    to: Callable[[int], NDArray[np.float64]]
    label: str


def foremost(values: NDArray[np.float64], k: int) -> list[int]:
    """Positions of the k rows that stand first when each query [q, n] lists its rows, from either end."""
    n = values.shape[1]
    best = np.full(n, n)
    for scores in values:
        place = np.empty(n, dtype=np.int64)
        place[np.argsort(scores, kind="stable")] = np.arange(n)
        best = np.minimum(best, np.minimum(place, n - 1 - place))
    return [int(i) for i in np.argsort(best, kind="stable")[:k]]


def write_scores(path: str | os.PathLike[str], fields: Mapping[str, Any], kept: Sequence[int]) -> None:
    """Writes what `Scores` holds, whole or not at all; kept: positions of the rows that are stored as they are.

    Raises: FileError where it cannot be written, or an id or label would not come back the same.
    """
    parts: dict[str, bytes] = {}
    n = fields["values"].shape[1]
    notes = list(fields["notes"])
    about: dict[str, Any] = {name: fields[name] for name in _WORDS}
    about["grade"] = asdict(fields["grade"])
    about["values"] = pack(fields["values"], parts, "values")
    about["base"] = None if fields["base"] is None else pack(fields["base"], parts, "base")
    about["labels"] = pack(np.asarray(fields["labels"]), parts, "labels")
    about["row_ids"] = pack(list(fields["row_ids"]), parts, "row_ids")
    try:
        about["rows"] = [[name, pack(list(column), parts, f"rows.{j}")] for j, (name, column) in _columns(fields, kept)]
        about["kept"] = [int(i) for i in kept]
    except FileError as error:
        about["rows"], about["kept"] = [], []
        notes.append(f"The rows themselves were not saved ({error}).")
    if about["kept"] and len(kept) < n:
        some = f"of the {count(len(kept), 'row')} that matter most, of {n:,}; the others show None"
        notes.append(f"Saved with the columns {some}.")
    about["distance"] = _distances(fields["distance"], fields["values"].shape, parts)
    about["notes"] = notes
    write_archive(
        path, "Scores", {name: encoded(value) if name in _WORDS else value for name, value in about.items()}, parts
    )


def read_scores(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of `Scores`, with the reason why there is no refit.

    Raises: FileError for what is damaged, cut short, foreign, or written by a newer version.
    """
    archive = read_archive(path, "Scores")
    about, parts = archive.about, archive.parts
    try:
        fields: dict[str, Any] = {name: decoded(about[name]) for name in _WORDS}
        grade = about["grade"]
        fields["grade"] = Grade(grade["letter"], tuple(grade["reasons"]), tuple(grade["would_raise"]), grade["checked"])
        fields["values"] = unpack(about["values"], parts)
        fields["base"] = None if about["base"] is None else unpack(about["base"], parts)
        fields["labels"] = unpack(about["labels"], parts)
        fields["row_ids"] = tuple(unpack(about["row_ids"], parts))
        fields["notes"] = tuple(about["notes"])
        columns = {name: unpack(column, parts) for name, column in about["rows"]}
        fields["rows"] = _shown(columns, {row: k for k, row in enumerate(about["kept"])})
        fields["distance"] = _stored_distance(about["distance"], parts)
    except Exception as error:  # the sums are right, so the writer was not ours
        raise FileError(f"{archive.shown}: is not laid out as Scores ({type(error).__name__}: {error}).") from error
    fields["refitter"] = None
    fields["no_refit"] = (
        f"loaded from {archive.shown}, which holds no model to refit; ask the Influence again for real removals"
    )
    return fields


def _columns(fields: Mapping[str, Any], kept: Sequence[int]) -> Any:
    rows: Rows = fields["rows"]
    return enumerate(rows(list(kept)).items())


def _shown(columns: Mapping[str, Sequence[Any]], place: Mapping[int, int]) -> Rows:
    """The stored columns by position; None where the row was not stored."""

    def rows(at: Sequence[int]) -> Mapping[str, Sequence[Any]]:
        found = [place.get(int(i)) for i in at]
        return {name: [None if k is None else column[k] for k in found] for name, column in columns.items()}

    return rows


def _distances(distance: Distance | None, shape: tuple[int, int], parts: dict[str, bytes]) -> Any:
    q, n = shape
    if distance is None or q * n > KEPT_DISTANCES:
        return None
    stored = np.stack([distance.to(query) for query in range(q)]) if q else np.zeros(shape)
    return {"label": distance.label, "to": pack(stored.astype(np.float32), parts, "distance")}


def _stored_distance(about: Any, parts: Mapping[str, bytes]) -> Distance | None:
    if about is None:
        return None
    stored = unpack(about["to"], parts)
    return Distance(lambda query: np.asarray(stored[query], dtype=np.float64), str(about["label"]))
