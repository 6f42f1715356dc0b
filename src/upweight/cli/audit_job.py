"""The options of `upweight audit` as one value, and what its lists and bounds mean.

Stands on nothing but errors; auditing stands on it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upweight.errors import InputError
from upweight.workflows.imported import names_function

__all__ = ["Job", "counts", "moves", "require_one_question"]


@dataclass(frozen=True)
class Job:
    """The options of the command."""

    data: Path
    target: str | None
    rows: tuple[str, ...]
    query: Path | None
    worst: int | None
    changed: tuple[int, ...]
    within: float | Mapping[str, float] | None
    together: bool
    max_fragile: int | None
    id_column: str | None
    group: str | None
    time: str | None
    model: Path | None
    trust_pickle: bool
    report: Path | None
    solver: str
    seed: int
    show_rows: bool
    as_json: bool

    @property
    def options(self) -> list[tuple[str, object]]:
        """Everything that was asked for beside the data and the target, so that it can be asked again."""
        within = self.within.items() if isinstance(self.within, Mapping) else ()
        return [
            ("--id", self.id_column),
            ("--group", self.group),
            ("--time", self.time),
            ("--model", self.model),
            ("--trust-pickle", self.trust_pickle),
            *(("--row", row) for row in self.rows),
            ("--query", self.query),
            ("--worst", self.worst),
            ("--rows-changed", None if self.changed == (1,) else ",".join(map(str, self.changed))),
            *(("--within", f"{column}={by:g}") for column, by in within),
            ("--within", None if self.within is None or within else f"{self.within:g}"),
            ("--together", self.together),
            ("--max-fragile", self.max_fragile),
            ("--solver", None if self.solver == "auto" else self.solver),
            ("--seed", self.seed or None),
            ("--no-rows", not self.show_rows),
            ("--report", self.report),
        ]


def counts(text: str) -> tuple[int, ...]:
    """ "1,2,10" as numbers, the least first.

    Raises: InputError.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() and int(part) > 0 for part in parts):
        raise InputError(f"--rows-changed {text!r} is no list of counts. Give whole numbers from 1 on, as 1,2,10.")
    return tuple(sorted({int(part) for part in parts}))


def moves(given: Sequence[str]) -> float | dict[str, float] | None:
    """One number for all columns, or one for each that is named; None where nothing was given.

    Raises: InputError.
    """
    if not given:
        return None
    named = [text.rpartition("=") for text in given]
    if len(given) == 1 and not named[0][1]:
        return _positive(given[0], given[0])
    alone = [text for text, (column, _, _) in zip(given, named, strict=True) if not column]
    if alone:
        raise InputError(f"--within {alone[0]!r} names no column. Give one number alone, or COLUMN=NUMBER each time.")
    columns = [column for column, _, _ in named]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise InputError(f"--within names column {twice[0]!r} twice. Give one number a column.")
    return {column: _positive(by, text) for text, (column, _, by) in zip(given, named, strict=True)}


def require_one_question(job: Job) -> None:
    """Raises: InputError unless the options ask one thing of a table."""
    if names_function(job.data):
        raise InputError(f"{job.data}: audit reads a table. Networks are audited in Python: upweight.audit(…).")
    asked = (("--row", job.rows or None), ("--query", job.query), ("--worst", job.worst))
    given = [name for name, value in asked if value is not None]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} ask different questions. Give one of them.")


def _positive(text: str, option: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (math.isfinite(found) and found > 0):
        raise InputError(f"--within {option!r}: {text!r} is no number above 0. Give how far a cell may move.")
    return found
