"""One value of a table, an id or a label as JSON and back, of the same type: what JSON lacks carries a tag.

Stands on errors; tables stand on it. A tagged value is an object with one key, so that no plain value is mistaken.
"""

import base64
import datetime
import decimal
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from upweight.errors import FileError

__all__ = ["decoded", "encoded"]

_MISSING = {"NA": pd.NA, "NaT": pd.NaT}


def encoded(value: Any) -> Any:
    """The value in JSON.

    Raises: FileError for a type that would not come back as it is, by name.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if type(value) in (list, tuple):
        items = [encoded(item) for item in value]
        return items if type(value) is list else {"tuple": items}
    if type(value) is dict:
        return {"dict": [[encoded(key), encoded(item)] for key, item in value.items()]}
    for name, missing in _MISSING.items():
        if value is missing:
            return {"missing": name}
    for tag, (kind, write, _) in _TAGS.items():
        if type(value) is kind:
            return {tag: write(value)}
    if isinstance(value, np.generic) and value.dtype.kind in "biufUS":
        return {"numpy": [value.dtype.str, encoded(value.item())]}
    raise FileError(
        f"{value!r:.60} is a {type(value).__name__}, which cannot be stored so that it comes back the same. "
        "Use numbers, text, dates or categories."
    )


def decoded(stored: Any) -> Any:
    """The value that `encoded` was given."""
    if isinstance(stored, list):
        return [decoded(item) for item in stored]
    if not isinstance(stored, dict):
        return stored
    ((tag, inner),) = stored.items()
    if tag == "float":
        return float(inner)
    if tag == "tuple":
        return tuple(decoded(item) for item in inner)
    if tag == "dict":
        return {decoded(key): decoded(item) for key, item in inner}
    if tag == "missing":
        return _MISSING[inner]
    if tag == "numpy":
        return np.dtype(inner[0]).type(decoded(inner[1]))
    return _TAGS[tag][2](inner)


def _count(value: Any) -> list[Any]:
    """How many units since 1970, or long, a time is."""
    return [int(value.asm8.view("i8")), value.unit]


def _moment(value: pd.Timestamp) -> list[Any]:
    return [*_count(value), None if value.tz is None else _zone(str(value.tz))]


@cache
def _zone(name: str) -> str:
    """Raises: FileError for a time zone that its name does not bring back."""
    try:
        pd.Timestamp(0).tz_localize("UTC").tz_convert(name)
    except Exception as error:  # each library of time zones raises its own
        raise FileError(f"the time zone {name!r} cannot be stored by name. Convert the times to UTC.") from error
    return name


def _timestamp(stored: list[Any]) -> pd.Timestamp:
    units, unit, zone = stored
    found = pd.Timestamp(units, unit=unit).as_unit(unit)
    return found if zone is None else found.tz_localize("UTC").tz_convert(zone)


def _timedelta(stored: list[Any]) -> pd.Timedelta:
    return pd.Timedelta(stored[0], unit=stored[1]).as_unit(stored[1])


def _period(stored: list[Any]) -> pd.Period:
    return pd.Period(ordinal=stored[0], freq=stored[1])


def _interval(stored: list[Any]) -> Any:
    return pd.Interval(decoded(stored[0]), decoded(stored[1]), closed=stored[2])


# type -> what is written and how it is read; a subclass is another type and is refused
_TAGS: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "bytes": (bytes, lambda v: base64.b64encode(v).decode(), base64.b64decode),
    "complex": (complex, repr, complex),
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "timestamp": (pd.Timestamp, _moment, _timestamp),
    "timedelta": (pd.Timedelta, _count, _timedelta),
    "period": (pd.Period, lambda v: [v.ordinal, v.freqstr], _period),
    "interval": (pd.Interval, lambda v: [encoded(v.left), encoded(v.right), v.closed], _interval),
    "datetime": (datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    "date": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "time": (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
}
