"""What one column is, from its values alone.

Stands on pandas; infer stands on it. Numbers are never guessed to be categories: only strings and booleans are.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

__all__ = ["SPACELESS", "DateFormat", "Kind", "is_counter", "kind_of", "nearly_numeric", "parse_dates"]

Kind = Literal["numeric", "categorical", "text", "date", "ignored"]

SPACELESS = r"[\u0e00-\u0eff\u3040-\u30ff\u4e00-\u9fff]{3}"  # Thai, Lao, Japanese, Chinese: words without spaces
_ID_NAMES = {"id", "index", "idx", "uid", "uuid", "guid", "key", "row", "rowid", "row_id", "nr", "no", "unnamed: 0"}
_FORMATS = {
    "ISO8601": "year-month-day",  # with slashes too
    "%d.%m.%Y": "day.month.year",
    "%d.%m.%Y %H:%M": "day.month.year hour:minute",
    "%m/%d/%Y": "month/day/year",
    "%d/%m/%Y": "day/month/year",
    "%m/%d/%Y %H:%M": "month/day/year hour:minute",
    "%d/%m/%Y %H:%M": "day/month/year hour:minute",
}
_SAMPLE = 200  # values tried before a whole column is


@dataclass(frozen=True)
class DateFormat:
    """How a column of dates is read: its format for pandas, and the earliest date, from which days are counted."""

    format: str
    earliest: str

    @property
    def words(self) -> str:
        """The format for people."""
        return _FORMATS.get(self.format, self.format)


def kind_of(column: pd.Series) -> tuple[Kind, DateFormat | str]:
    """The kind of a column, with its date format where it is a date and the reason where it is ignored."""
    values = column.dropna()
    if not len(values):
        return "ignored", "empty"
    if pd.api.types.is_datetime64_any_dtype(values):
        how = DateFormat("ISO8601", parse_dates(values, "ISO8601").min().isoformat())
        return ("date", how) if values.nunique() > 1 else ("ignored", "constant")
    try:
        distinct = values.nunique()
    except TypeError:
        return "ignored", f"holds {type(values.iloc[0]).__name__}s"
    if distinct == 1:
        return "ignored", "constant"
    if pd.api.types.is_bool_dtype(values) or all(isinstance(value, bool) for value in values.iloc[:_SAMPLE]):
        return "categorical", ""
    if pd.api.types.is_complex_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        return "ignored", f"holds {values.dtype} values"
    if pd.api.types.is_numeric_dtype(values):
        return ("ignored", "all different") if is_counter(column) else ("numeric", "")
    return _kind_of_strings(values.astype(str), distinct)


def parse_dates(column: pd.Series, style: str) -> pd.Series:
    """The column as dates without a time zone (UTC where one was given); NaT where a cell is not one."""
    values = column if pd.api.types.is_datetime64_any_dtype(column) else column.astype("str")
    dates = pd.to_datetime(values, format=style, errors="coerce", utc=True)
    return dates.dt.tz_localize(None)


def is_counter(column: pd.Series) -> bool:
    """Whole numbers, all different, that are called an id or count up from 0 or 1 in the order of the rows."""
    if column.isna().any() or not pd.api.types.is_integer_dtype(column) or column.nunique() < len(column):
        return False
    start = int(column.iloc[0])
    counting = start in (0, 1) and bool((column.diff().iloc[1:] == 1).all())
    return counting or str(column.name).lower() in _ID_NAMES


def nearly_numeric(column: pd.Series) -> pd.Series:
    """The cells that keep a column of categories from being numbers, if there are few of them; else none."""
    values = column.dropna()
    bad = pd.to_numeric(values.astype(str), errors="coerce").isna()
    return values[bad] if 0 < bad.sum() <= 0.1 * len(values) else values[:0]


def _kind_of_strings(values: pd.Series, distinct: int) -> tuple[Kind, DateFormat | str]:
    how = _date_format(values)
    if how is not None:
        return "date", how
    words = values.str.count(r"\s+").mean() + 1
    mostly_different = 2 * distinct > len(values)
    if (words >= 3 and mostly_different) or (words >= 5 and distinct > 50):
        return "text", ""
    if mostly_different and values.str.contains(SPACELESS, regex=True).mean() > 0.5:
        return "text", ""
    return ("ignored", "all different") if distinct == len(values) else ("categorical", "")


def _date_format(values: pd.Series) -> DateFormat | None:
    # Bare numbers are years or codes, not dates, and pandas' ISO reader would take them.
    sample = values.iloc[:_SAMPLE]
    if not sample.str.contains(r"^\s*\d{1,4}[-./]\d{1,2}[-./]\d{1,4}", regex=True).all():
        return None
    for style in _FORMATS:
        if not parse_dates(sample, style).isna().any():
            dates = parse_dates(values, style)
            if not dates.isna().any():
                return DateFormat(style, dates.min().isoformat())
    return None
