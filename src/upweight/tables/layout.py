"""How a text table is written: compression, encoding and separator, found from its bytes before it is parsed.

Stands on encoding and memory; reading stands on it.
"""

import contextlib
import csv
import gzip
import io
import re
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import pandas as pd

from upweight.errors import FileError
from upweight.tables.encoding import EncodingFinder
from upweight.tables.memory import available_memory, require_memory

__all__ = ["SEPARATORS", "Layout", "find_layout", "opened", "records"]

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}

_SAMPLE = 1 << 16  # characters from which the separator is found
_CHUNK = 1 << 20
_ENDS = re.compile(rb"[,;\t|\n]")  # what may end a cell
_LETTERS = re.compile(rb"[A-Za-z\x80-\xff]")
# Bytes at pandas' peak, measured on numbers (1 to 19 digits), short different words and long texts: for each byte of
# the file, for each cell, and for each cell of text where strings are Python's own.
_PER_BYTE, _PER_CELL, _PER_STRING = 2.2, 20.0, 85.0


@dataclass(frozen=True)
class Layout:
    """What was found about a text table: enough to open and parse it."""

    gzipped: bool
    encoding: str
    separator: str
    spaced: bool  # a space follows each separator


def find_layout(path: Path, shown: str, memory: int | None) -> Layout:
    """The layout of a CSV or TSV file, compressed by gzip or not.

    The whole file is read once, in pieces, so that what is wrong with its bytes is known before memory is used.
    Raises: FileError (empty, cut short, not text); ResourceError if it would not fit into memory.
    """
    with open(path, "rb") as stream:
        gzipped = stream.read(2) == b"\x1f\x8b"
    try:
        encoding = _scan(path, gzipped, shown, memory)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(
            f"{shown}: the gzip file is damaged or cut short ({error}). Copy or download it again."
        ) from error
    with opened(path, Layout(gzipped, encoding, ",", spaced=False)) as text:
        sample = text.read(_SAMPLE)
    if not sample.strip():
        raise FileError(f"{shown}: the file is empty. It needs a line of column names and then one line a row.")
    separator = _separator(sample, cut=len(sample) == _SAMPLE)
    header = next(record for record in csv.reader(io.StringIO(sample, newline=""), delimiter=separator) if record)
    spaced = len(header) > 1 and all(name.startswith(" ") for name in header[1:])
    return Layout(gzipped, encoding, separator, spaced)


@contextlib.contextmanager
def opened(path: Path, layout: Layout) -> Iterator[TextIO]:
    """The table's text, decompressed and decoded, line ends as they are."""
    with _bytes(path, layout.gzipped) as raw:
        text = io.TextIOWrapper(raw, encoding=layout.encoding, newline="")
        try:
            yield text
        finally:
            text.detach()


def records(path: Path, layout: Layout) -> Generator[tuple[int, int], None, None]:
    """For each record that is not blank: the line of the file on which it ends, and its number of fields."""
    before = csv.field_size_limit(2**31 - 1)  # long documents are rows too
    try:
        with opened(path, layout) as text:
            reader = csv.reader(text, delimiter=layout.separator, skipinitialspace=layout.spaced)
            for record in reader:
                if record:
                    yield reader.line_num, len(record)
    finally:
        csv.field_size_limit(before)


@contextlib.contextmanager
def _bytes(path: Path, gzipped: bool) -> Iterator[BinaryIO]:
    with gzip.open(path, "rb") if gzipped else open(path, "rb") as stream:
        yield cast(BinaryIO, stream)


def _scan(path: Path, gzipped: bool, shown: str, memory: int | None) -> str:
    """Read every byte once: the encoding, or the fault."""
    limit = available_memory() if memory is None else memory
    finder, size, factor = EncodingFinder(shown), 0, 0.0
    with _bytes(path, gzipped) as raw:
        while chunk := raw.read(_CHUNK):
            if not size:
                factor = _memory_factor(chunk)
                require_memory(shown, path.stat().st_size, factor, limit)
            size += len(chunk)
            require_memory(shown, size, factor, limit)  # what a gzip file unpacks to is known only as it does
            finder.feed(chunk)
    finder.feed(b"")
    if not size:
        raise FileError(f"{shown}: the file is empty (0 bytes).")
    return finder.found()


def _memory_factor(chunk: bytes) -> float:
    """Bytes in memory for each byte of a file that goes on like this piece of it: short cells cost most."""
    letters = len(_LETTERS.findall(chunk)) > 0.2 * len(chunk)
    boxed = letters and _strings_are_objects()
    cells = len(_ENDS.findall(chunk)) / len(chunk)
    return _PER_BYTE + cells * (_PER_STRING if boxed else _PER_CELL)


def _strings_are_objects() -> bool:
    """So without pyarrow, and before pandas 3."""
    return bool(getattr(pd.Series(["a"]).dtype, "storage", "python") == "python")


def _separator(sample: str, cut: bool) -> str:
    """The separator that splits the header and then most rows into as many fields; comma where none does."""

    def fit(separator: str) -> tuple[float, int]:
        counts = [len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=separator) if row]
        if cut and len(counts) > 1:
            counts.pop()  # the last record is not whole
        if not counts or counts[0] < 2:
            return 0.0, 0
        return sum(count == counts[0] for count in counts) / len(counts), counts[0]

    return max(SEPARATORS, key=fit)
