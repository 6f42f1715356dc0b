"""The model that is fitted to a table when the user brings none: linear, on standardised and one-hot columns.

Stands on infer and scikit-learn; the commands stand on it. Every part loads from a skops file without trust, so
whatever is not scikit-learn's own (dates into days, cells without a value) happens in `prepare`, before the pipeline.
"""

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from upweight.errors import InputError, listed
from upweight.tables.infer import Columns
from upweight.tables.kinds import SPACELESS, parse_dates
from upweight.tables.target import in_rows

__all__ = ["default_model", "prepare"]

_OFTEN = 10  # rows that must miss a value, and have one, before "is missing" is a feature: rarer ones are one row's own
_RARE = 2  # a category, or a word, of a single row would be that row's own parameter
_RARE_SHARE = 0.001  # nor does a category that so few rows have earn one in a large table


def prepare(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """The model's input from a table: training rows or queries, the same way.

    Numbers as float64 (NaN where missing), dates as days since the earliest training date, categories and texts as
    strings. Other columns are ignored; the index is kept.
    Raises: InputError naming columns that are missing, cells that are no number or no date, infinite values.
    """
    absent = [name for name in columns.features if name not in frame.columns]
    if absent:
        noun = "column is" if len(absent) == 1 else "columns are"
        raise InputError(
            f"{noun} missing: {listed(absent, at_most=10)}. The model reads {listed(columns.features, 20)}."
        )
    made: dict[str, pd.Series] = {}
    for name in columns.numeric:
        made[name] = _numbers(frame[name])
    for name, how in columns.date.items():
        dates = parse_dates(frame[name], how.format)
        _require(dates.notna() | frame[name].isna(), frame[name], f"is no date written as {how.words}")
        made[name] = (dates - pd.Timestamp(how.earliest)).dt.total_seconds() / 86400.0
    for name in columns.categorical:
        made[name] = _strings(frame[name], "missing")
    for name in columns.text:
        made[name] = _strings(frame[name], "")
    return pd.DataFrame(made, index=frame.index)


def default_model(columns: Columns, frame: pd.DataFrame, seed: int = 0) -> Pipeline:
    """An unfitted pipeline for these columns: LogisticRegression (C = 1) or Ridge (alpha = 1).

    frame: the training rows, raw or prepared; fit on `prepare(frame, columns)`. Text keeps the matrix sparse.
    """
    parts: list[tuple[str, object, list[str] | str]] = []
    numbers = [*columns.numeric, *columns.date]
    if numbers:
        scaled = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
        parts.append(("numeric", scaled, numbers))
    missing = frame[numbers].isna().sum() if numbers else pd.Series(dtype=int)
    often = [name for name in numbers if _OFTEN <= missing[name] <= len(frame) - _OFTEN]
    if often:
        indicator = MissingIndicator(features="all", sparse=False, error_on_new=False)
        parts.append(("missing", indicator, often))
    if columns.categorical:
        rare = max(_RARE, round(_RARE_SHARE * len(frame)))
        encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=rare)
        parts.append(("category", encoder, list(columns.categorical)))
    for number, name in enumerate(columns.text):
        # scikit-learn refuses a part whose name holds two underscores.
        parts.append((f"text:{number if '__' in name else name}", _words(frame[name]), name))
    # Threshold 1: with text, the matrix stays sparse however full the other columns make it.
    features = ColumnTransformer(parts, sparse_threshold=1.0 if columns.text else 0.3)
    # Tight tolerances: influence is defined at the optimum, and what is left of the gradient is an error in it.
    if columns.task == "regression":
        model: object = Ridge(alpha=1.0, tol=1e-12, random_state=seed)  # it iterates when the matrix is sparse
    else:
        model = LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000, random_state=seed)
    return Pipeline([("features", features), ("model", model)])


def _words(column: pd.Series) -> TfidfVectorizer:
    """Words that at least two rows share; short runs of characters where a script has no spaces, or none are shared."""
    text = _strings(column, "")
    if text.str.contains(SPACELESS, regex=True).mean() > 0.5:
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 2), min_df=_RARE, sublinear_tf=True)
    words = text.str.lower().str.findall(r"\b\w\w+\b").map(set).explode().dropna()
    if words.duplicated().any():
        return TfidfVectorizer(min_df=_RARE, sublinear_tf=True)
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), min_df=1, sublinear_tf=True)


def _numbers(column: pd.Series) -> pd.Series:
    """The column as float64; a query file may hold it as text."""
    numbers = pd.to_numeric(column.astype("object"), errors="coerce").astype("float64")
    _require(numbers.notna() | column.isna(), column, "is no number")
    _require(~numbers.isin([float("inf"), float("-inf")]), column, "is infinite")
    return numbers


def _strings(column: pd.Series, missing: str) -> pd.Series:
    if pd.api.types.is_float_dtype(column) and not (column.dropna() % 1).any():
        column = column.astype("Int64")  # 1, not 1.0: a code beside an empty cell is still the training table's code
    filled = column.astype("object").where(column.notna(), missing)
    return filled.astype(str).astype("object")  # object: the same fitted types under pandas 2 and 3


def _require(good: pd.Series, column: pd.Series, fault: str) -> None:
    if not good.all():
        bad = column[~good]
        cells = listed(list(bad.astype(str).unique()))
        raise InputError(
            f"column {str(column.name)!r} {fault} in {in_rows(bad.index)}: {cells}. "
            "Correct these cells, or leave them empty."
        )
