"""A fitted model on disk: skops, with the rows it was fitted on beside it in the same file; pickle only on request.

Stands on files and trust; the commands stand on it. A file that we write is an ordinary skops file with one more
member, so `skops.io.load` reads it too.
"""

import io
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import skops.io
from numpy.typing import NDArray

from upweight.errors import FileError, InputError, listed
from upweight.files import sha256_of, write_atomically
from upweight.tables.infer import Columns
from upweight.tables.kinds import DateFormat
from upweight.tables.trust import is_harmless

__all__ = ["ModelFile", "load_model", "model_bytes", "model_in", "save_model"]

_ABOUT, _ROWS = "upweight.json", "upweight_rows.npy"
_FORMAT = 1
_PICKLES = {".pkl", ".pickle", ".joblib"}


@dataclass(frozen=True)
class ModelFile:
    """A model and what its file says of it; all but `model` and `path` are absent where another program wrote it."""

    model: Any
    path: Path
    rows: NDArray[np.int64] | None = None
    target: str | None = None
    columns: Columns | None = None
    data_sha256: str | None = None
    version: str | None = None

    def fitted_on(self, data: str | os.PathLike[str]) -> tuple[NDArray[np.int64] | None, str]:
        """The rows of this data file that the model was fitted on, None if that is not known; and a sentence."""
        if self.rows is None or self.data_sha256 is None:
            return None, f"{self.path} does not say which rows it was fitted on: all rows of the file are used"
        if sha256_of(data) != self.data_sha256:
            return (
                None,
                f"{self.path} was fitted on another version of {os.fspath(data)}: all rows of the file are used",
            )
        return self.rows, f"explained from the {len(self.rows):,} rows that {self.path} was fitted on"


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    rows: Sequence[int] | NDArray[Any] | None = None,
    target: str | None = None,
    data: str | os.PathLike[str] | None = None,
    columns: Columns | None = None,
) -> None:
    """Write a model as skops, whole or not at all.

    rows: which data rows of the file `data` it was fitted on, from 0; columns: what `prepare` needs for queries.
    Raises: FileError if the disk is full or the model holds what skops cannot store.
    """
    about: dict[str, Any] = {"format": _FORMAT, "upweight": version("upweight"), "target": target}
    about["data_sha256"] = None if data is None else sha256_of(data)
    about["columns"] = None if columns is None else asdict(columns)
    buffer = io.BytesIO(model_bytes(model, os.fspath(path)))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_ABOUT, json.dumps(about))
        if rows is not None:
            member = io.BytesIO()
            np.save(member, _as_rows(np.asarray(rows)), allow_pickle=False)
            archive.writestr(_ROWS, member.getvalue())
    write_atomically(path, buffer.getvalue())


def model_bytes(model: Any, shown: str) -> bytes:
    """The model as the bytes of a skops file; `shown`: the file that it is for.

    Raises: FileError if the model holds what skops cannot store.
    """
    buffer = io.BytesIO()
    try:
        skops.io.dump(model, buffer, compression=zipfile.ZIP_DEFLATED)
        # skops also writes what it cannot read back (a lambda, a lock): better to know now.
        stored = buffer.getvalue()
        skops.io.loads(stored, trusted=skops.io.get_untrusted_types(data=stored))
    except Exception as error:  # skops raises whatever the odd part of a model raises
        raise FileError(f"{shown}: skops cannot store this model ({_first_line(error)}).") from error
    return stored


def model_in(content: bytes, shown: str, trusted: bool, trust_with: str) -> Any:
    """The model in a skops file's bytes; trust_with: how its reader says that the file may run code.

    Raises: FileError for types that nobody vouches for, by name, unless `trusted`.
    """
    types = skops.io.get_untrusted_types(data=content)
    unknown = [name for name in types if not is_harmless(name)]
    if unknown and not trusted:
        raise FileError(
            f"{shown}: holds {listed(unknown, at_most=5)}, which could run code that nobody vouches for.\n"
            f"If you made the file or trust its maker, {trust_with}; else ask for a model of "
            "scikit-learn's own parts."
        )
    return skops.io.loads(content, trusted=types)


def load_model(path: str | os.PathLike[str], trust_pickle: bool = False) -> ModelFile:
    """A model from a skops file; from a pickle or joblib file only with trust_pickle, since that runs code.

    Raises: FileError if it is no model, is cut short, or would run code that nobody vouched for.
    """
    shown, file = os.fspath(path), Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise FileError(f"{shown}: cannot be read ({error.strerror}).") from error
    if zipfile.is_zipfile(io.BytesIO(content)):
        return _from_skops(content, file, shown, trust_pickle)
    if content.startswith(b"PK"):
        raise FileError(f"{shown}: the skops file is damaged or cut short. Copy it again, or save the model again.")
    if file.suffix not in _PICKLES and not content.startswith(b"\x80"):
        raise FileError(f"{shown}: is no model file. Save the model with skops.io.dump(model, 'model.skops').")
    if not trust_pickle:
        raise FileError(
            f"{shown}: is a pickle, and loading one runs whatever code its maker put in.\n"
            "If you made it or trust its maker, add --trust-pickle; better, save the model with skops."
        )
    try:
        model = joblib.load(io.BytesIO(content))
    except Exception as error:  # a broken pickle raises anything
        raise FileError(f"{shown}: is no whole pickle ({_first_line(error)}). Save the model again.") from error
    return ModelFile(_require_model(model, shown), file)


def _from_skops(content: bytes, file: Path, shown: str, trusted: bool) -> ModelFile:
    try:
        model = model_in(content, shown, trusted, "add --trust-pickle")
        about, rows = _beside(content)
    except FileError:
        raise
    except Exception as error:  # foreign bytes: whatever goes wrong in them is the file's fault
        raise FileError(
            f"{shown}: is no whole skops model ({type(error).__name__}: {_first_line(error)}). "
            "Save it again with skops.io.dump(model, 'model.skops')."
        ) from error
    columns = about.get("columns")
    return ModelFile(
        _require_model(model, shown),
        file,
        rows,
        about.get("target"),
        None if columns is None else _columns(columns),
        about.get("data_sha256"),
        about.get("upweight"),
    )


def _beside(content: bytes) -> tuple[dict[str, Any], NDArray[np.int64] | None]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        about: dict[str, Any] = json.loads(archive.read(_ABOUT)) if _ABOUT in names else {}
        if about.get("format", _FORMAT) != _FORMAT:
            raise ValueError(f"written by a newer upweight, {about.get('upweight')}")
        if _ROWS not in names:
            return about, None
        return about, _as_rows(np.load(io.BytesIO(archive.read(_ROWS)), allow_pickle=False))


def _columns(stored: dict[str, Any]) -> Columns:
    dates = {name: DateFormat(**how) for name, how in stored["date"].items()}
    lists = {name: tuple(stored[name]) for name in ("numeric", "categorical", "text", "notes")}
    return Columns(stored["target"], stored["task"], date=dates, ignored=stored["ignored"], **lists)


def _as_rows(rows: NDArray[Any]) -> NDArray[np.int64]:
    if rows.ndim != 1 or (rows.size and (rows.dtype.kind not in "iu" or rows.min() < 0)):
        raise InputError(f"rows must be a list of row numbers from 0, not {rows.dtype} of shape {rows.shape}.")
    return rows.astype(np.int64)


def _require_model(model: Any, shown: str) -> Any:
    if not hasattr(model, "predict"):
        raise FileError(
            f"{shown}: holds a {type(model).__name__}, which predicts nothing. Save the fitted model itself."
        )
    return model


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
