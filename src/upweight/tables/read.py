"""A table from a file: CSV, TSV, either of them gzipped, or Parquet, with its layout found and said.

Stands on layout and memory; pandas does the parsing. Inference of columns stands on it.
"""

import contextlib
import csv
import difflib
import importlib
import itertools
import os
import re
import warnings
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from upweight.errors import FileError, MissingExtra, listed
from upweight.tables.layout import SEPARATORS, Layout, find_layout, opened, records
from upweight.tables.memory import available_memory, require_memory

__all__ = ["Table", "read_table"]

_PARQUET_FACTOR = 3.0  # bytes in memory for each uncompressed byte of Parquet: columns are copied once
_KINDS = {
    b"PK\x03\x04": "a zip archive or a spreadsheet. Save the sheet as CSV",
    b"\x89PNG": "an image",
    b"%PDF": "a PDF",
    b"BZh": "compressed by bzip2. Unpack it first: bunzip2",
    b"\xfd7zXZ": "compressed by xz. Unpack it first: unxz",
}
# Floats to the last bit; pandas 3.1 does so by itself and warns of the option.
_EXACT: dict[str, Any] = {}
if tuple(int(part) for part in pd.__version__.split(".")[:2]) < (3, 1):
    _EXACT["float_precision"] = "round_trip"
_DECIMAL_COMMA = re.compile(r"\s*[+-]?((\d+|\d{1,3}(\.\d{3})+)(,\d*)?|,\d+)([eE][+-]?\d+)?\s*")
_THOUSANDS_COMMA = re.compile(r"\s*[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?\s*")


@dataclass(frozen=True)
class Table:
    """A table as it was read: `frame` with a RangeIndex (data rows from 0), and what was found on the way."""

    frame: pd.DataFrame
    path: Path
    notes: tuple[str, ...]


def read_table(path: str | os.PathLike[str], memory: int | None = None) -> Table:
    """The rows of a CSV, TSV, gzip or Parquet file, refused in advance if they would not fit.

    memory: bytes that may be used; None asks the system. An empty cell, NA, NaN, null and `?` are missing values.
    Raises: FileError, with path and row; ResourceError with the numbers; MissingExtra for Parquet without pyarrow.
    """
    shown, file = os.fspath(path), Path(path)
    try:
        _require_file(file, shown)
        with open(file, "rb") as stream:
            start = stream.read(8)
        for magic, kind in _KINDS.items():
            if start.startswith(magic):
                raise FileError(f"{shown}: is {kind}. Tables are read as CSV, TSV, .gz of these, or Parquet.")
        if start.startswith(b"PAR1") or file.suffix in {".parquet", ".pq"}:
            frame, notes = _parquet(file, shown, memory)
        else:
            frame, notes = _text(file, shown, memory)
    except OSError as error:
        raise FileError(f"{shown}: cannot be read ({error.strerror or error}).") from error
    if not len(frame):
        raise FileError(f"{shown}: has a header ({listed(list(frame.columns))}) and no rows.")
    return Table(frame, file, notes)


def _require_file(file: Path, shown: str) -> None:
    if file.is_dir():
        inside = sorted(p.name for p in file.iterdir() if p.is_file() and not p.name.startswith("."))
        hint = f" It holds {listed(inside)}." if inside else ""
        raise FileError(f"{shown}: is a folder. Give the name of a file in it.{hint}")
    if not file.exists():
        folder = file.parent
        if not folder.is_dir():
            raise FileError(f"{shown}: there is no folder '{folder}'.")
        names = sorted(p.name for p in folder.iterdir())
        near = difflib.get_close_matches(file.name, names, n=1, cutoff=0.5)
        hint = f"Did you mean '{folder / near[0]}'?" if near else f"Looked in '{folder.resolve()}'."
        raise FileError(f"{shown}: there is no such file. {hint}")
    if not file.is_file():  # a pipe can be read once, and the table is gone through more than once
        raise FileError(f"{shown}: is a pipe or a device. Save the table as a file first.")


def _text(file: Path, shown: str, memory: int | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    layout = find_layout(file, shown, memory)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            first = _parse(file, layout, header=None, nrows=1, dtype=str, keep_default_na=False)
            names = [str(name) for name in first.iloc[0]]
            _require_distinct(names, shown)
            if any(count != len(names) for _, count in _first(file, layout, 2)):
                raise FileError(_ragged(file, layout, shown))  # else pandas would take a first column for the index
            frame = _parse(file, layout, na_values=["?"])
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error) as error:
        raise FileError(_ragged(file, layout, shown) or f"{shown}: cannot be parsed: {error}") from error
    # pandas pads a short row with missing values, so only an empty last cell can hide one.
    if len(frame) and frame.iloc[:, -1].isna().any() and (fault := _ragged(file, layout, shown)):
        raise FileError(fault)
    frame, commas = _comma_numbers(frame, layout)
    found = f"separator {_written(layout.separator)}" if len(names) > 1 else "one column, no separator"
    notes = [", ".join([found, *commas, f"encoding {layout.encoding}", *(["gzip"] if layout.gzipped else [])])]
    if layout.encoding in {"cp1252", "latin-1"}:
        notes.append(f"the file is not UTF-8 and was read as {layout.encoding}: look at the accents")
    if all(_is_number(name) for name in names):
        notes.append("the first line holds only numbers and was read as the column names")
    return frame, tuple(notes)


def _parse(file: Path, layout: Layout, **options: Any) -> pd.DataFrame:
    with opened(file, layout) as text:
        frame: pd.DataFrame = pd.read_csv(
            text,
            sep=layout.separator,
            skipinitialspace=layout.spaced,
            index_col=False,
            low_memory=False,  # in pieces, one column could get two types
            **_EXACT,
            **options,
        )
    return frame


def _first(file: Path, layout: Layout, count: int) -> list[tuple[int, int]]:
    with contextlib.closing(records(file, layout)) as counts:
        return list(itertools.islice(counts, count))


def _ragged(file: Path, layout: Layout, shown: str) -> str:
    """The rows that do not have one field a column; empty if all do."""
    counts = records(file, layout)
    _, width = next(counts)
    bad = [(row, line, count) for row, (line, count) in enumerate(counts) if count != width]
    if not bad:
        return ""
    row, line, count = bad[0]
    total = "1 row has" if len(bad) == 1 else f"{len(bad):,} rows have"
    return (
        f"{shown}: the header names {width} columns and {total} another number of fields: "
        f"row {row:,} (line {line:,}) has {count}"
        + (f", also rows {listed([r for r, _, _ in bad[1:]])}" if len(bad) > 1 else "")
        + f".\nThe file may be cut short there, or a {SEPARATORS[layout.separator]} or a quote stands in a cell "
        "without quotes around it."
    )


def _comma_numbers(frame: pd.DataFrame, layout: Layout) -> tuple[pd.DataFrame, list[str]]:
    """Columns of text that are numbers with a comma, made numbers: 1,5 where the separator is another, else 1,234."""
    decimal = layout.separator != ","
    pattern, before = (_DECIMAL_COMMA, ".") if decimal else (_THOUSANDS_COMMA, ",")
    changed: dict[str, pd.Series] = {}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            continue
        cells = column.dropna().astype(str)
        if not cells.str.contains(",", regex=False).any() or not cells.str.fullmatch(pattern).all():
            continue
        plain = cells.str.replace(before, "", regex=False).str.replace(",", ".", regex=False)
        changed[name] = plain.astype(float).reindex(frame.index)
    if not changed:
        return frame, []
    points = [c for c in frame.columns if pd.api.types.is_float_dtype(frame[c]) and (frame[c] % 1 > 0).any()]
    said = "decimal comma" if decimal else "comma between thousands"
    if decimal and points:  # 1.234 may have been meant as thousands there: only a person knows
        said += f" (but a decimal point in {listed(points)})"
    return frame.assign(**changed), [said]


def _parquet(file: Path, shown: str, memory: int | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtra(f"{shown}: reading Parquet needs pyarrow: pip install 'upweight[parquet]'") from error
    try:
        meta = parquet.ParquetFile(file).metadata
        size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        size = max(size, 8 * meta.num_rows * meta.num_columns)  # repeated values take little room in the file
        require_memory(shown, size, _PARQUET_FACTOR, available_memory() if memory is None else memory)
        _require_distinct([str(name) for name in meta.schema.to_arrow_schema().names], shown)
        frame = parquet.read_table(file).to_pandas()
    except FileError:
        raise
    except (ValueError, OSError) as error:  # pyarrow's own errors derive from these
        first = str(error).splitlines()[0]
        raise FileError(f"{shown}: is not a whole Parquet file ({first}). Copy or write it again.") from error
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1).reset_index(drop=True)
    exact = [name for name in frame if isinstance(_first_value(frame[name]), Decimal)]
    return frame.astype(dict.fromkeys(exact, "float64")), ("Parquet",)


def _first_value(column: pd.Series) -> Any:
    at = column.first_valid_index() if column.dtype == object else None
    return None if at is None else column.loc[at]


def _require_distinct(names: list[str], shown: str) -> None:
    counts = pd.Series([name for name in names if name], dtype=object).value_counts()
    twice = list(counts[counts > 1].index)
    if twice:
        hint = " Does the first line hold data? Put a line of names above it." if _is_number(twice[0]) else ""
        raise FileError(f"{shown}: column names stand more than once: {listed(twice)}. Rename them.{hint}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _written(separator: str) -> str:
    return "tab" if separator == "\t" else f"'{separator}'"
