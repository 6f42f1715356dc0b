"""Rows, labels and weights as parts of an archive and back: arrays, sparse matrices, frames, series, lists; no pickle.

Stands on scalars; saved scores and influences stand on it. What comes back has the types, the ids, the categories and
the memory order of what went in, so that products over it are the same to the bit.
"""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from upweight.errors import FileError
from upweight.store.scalars import decoded, encoded

__all__ = ["pack", "unpack"]

_PLAIN = "biufcmM"  # numpy kinds that .npy keeps and pandas columns are made of
_KEPT_BY_NPY = _PLAIN + "SU"

Parts = dict[str, bytes]


def pack(value: Any, parts: Parts, name: str) -> Any:
    """Puts the value into `parts` under names that start with `name`, and returns its description in JSON.

    Raises: FileError, with the column, for what would not come back the same.
    """
    if isinstance(value, pd.DataFrame):
        return _pack_frame(value, parts, name)
    if isinstance(value, pd.Series):
        column = _pack_column(value.array, parts, f"{name}.values", f"{name} {value.name!r}")
        return {"series": column, "name": encoded(value.name), "index": _pack_index(value.index, parts, f"{name}.ids")}
    if isinstance(value, pd.Index):
        return {"pandas index": _pack_index(value, parts, name)}
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return {"extension": _pack_column(value, parts, name, name)}
    if sp.issparse(value):
        stored = value if value.format in ("csr", "csc", "coo", "bsr", "dia") else value.tocsr()
        buffer = io.BytesIO()
        sp.save_npz(buffer, stored, compressed=False)
        parts[f"{name}.npz"] = buffer.getvalue()
        return {"sparse": f"{name}.npz"}
    if isinstance(value, np.ndarray):
        return _pack_array(value, parts, name)
    if value is None or isinstance(value, list | tuple | range):
        return {"list": _pack_json(value if value is None else list(value), parts, name)}
    raise FileError(
        f"{name} is a {type(value).__module__}.{type(value).__name__}, which is not stored. "
        "Give a pandas table, a numpy array, a scipy sparse matrix or a list."
    )


def unpack(described: Any, parts: Mapping[str, bytes]) -> Any:
    """The value that `pack` described."""
    if "matrix" in described or "frame" in described:
        return _frame(described, parts)
    if "series" in described:
        values = _column(described["series"], parts)
        return pd.Series(values, index=_index(described["index"], parts), name=decoded(described["name"]), copy=False)
    if "pandas index" in described:
        return _index(described["pandas index"], parts)
    if "extension" in described:
        return _column(described["extension"], parts)
    if "sparse" in described:
        return sp.load_npz(io.BytesIO(parts[described["sparse"]]))
    if "list" in described:
        return _json(described["list"], parts)
    return _array(described, parts)


def _pack_frame(frame: pd.DataFrame, parts: Parts, name: str) -> Any:
    ids = _pack_index(frame.index, parts, f"{name}.ids")
    columns = _pack_index(frame.columns, parts, f"{name}.columns")
    kinds = {str(dtype) for dtype in frame.dtypes}
    if len(kinds) == 1 and _is_plain(frame.dtypes.iloc[0]):
        return {"matrix": _pack_array(frame.to_numpy(), parts, name), "index": ids, "columns": columns}
    packed = [
        _pack_column(frame.iloc[:, j].array, parts, f"{name}.{j}", f"{name}: column {frame.columns[j]!r}")
        for j in range(frame.shape[1])
    ]
    return {"frame": packed, "index": ids, "columns": columns}


def _frame(described: Any, parts: Mapping[str, bytes]) -> pd.DataFrame:
    ids, columns = (_index(described[key], parts) for key in ("index", "columns"))
    if "matrix" in described:
        matrix = _array(described["matrix"], parts)
        return pd.DataFrame(matrix, index=ids, columns=columns, copy=False)
    frame = pd.DataFrame({j: _column(column, parts) for j, column in enumerate(described["frame"])}, index=ids)
    frame.columns = columns
    return frame


def _pack_column(values: Any, parts: Parts, name: str, shown: str) -> Any:
    """A column's values: as .npy, as codes of categories, or one by one with the name of their type."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return {
            "codes": _pack_array(np.asarray(values.codes), parts, f"{name}.codes"),
            "categories": _pack_index(pd.Index(values.categories), parts, f"{name}.categories"),
            "ordered": bool(values.ordered),
        }
    if _is_plain(dtype):
        return _pack_array(np.asarray(values), parts, name)
    listed = [*values]
    try:
        described = {"values": _pack_json(listed, parts, name), "dtype": str(dtype)}
        back = _column(described, parts)
        same = str(back.dtype) == str(dtype) and pd.Series(back).equals(pd.Series(values).astype(back.dtype))
    except FileError as error:
        raise FileError(f"{shown}: {error}") from error
    except (TypeError, ValueError):
        same = False
    if not same:
        raise FileError(
            f"{shown} has the type {str(dtype)!r}, which would not come back the same. "
            "Make it numbers, text, dates or categories."
        )
    return described


def _column(described: Any, parts: Mapping[str, bytes]) -> Any:
    if "codes" in described:
        dtype = pd.CategoricalDtype(_index(described["categories"], parts), described["ordered"])
        return pd.Categorical.from_codes(_array(described["codes"], parts).tolist(), dtype=dtype)
    if "values" in described:
        listed = _json(described["values"], parts)
        if described["dtype"] == "object":
            return _objects(listed, (len(listed),))
        return pd.array(listed, dtype=described["dtype"])
    return _array(described, parts)


def _pack_index(index: pd.Index, parts: Parts, name: str) -> Any:
    names = [encoded(n) for n in index.names]
    if isinstance(index, pd.RangeIndex):
        return {"range": [index.start, index.stop, index.step], "names": names}
    if isinstance(index, pd.MultiIndex):
        levels = [
            _pack_column(index.get_level_values(k).array, parts, f"{name}.{k}", name) for k in range(index.nlevels)
        ]
        return {"levels": levels, "names": names}
    return {"column": _pack_column(index.array, parts, name, name), "names": names}


def _index(described: Any, parts: Mapping[str, bytes]) -> pd.Index:
    names = [decoded(n) for n in described["names"]]
    if "range" in described:
        start, stop, step = described["range"]
        return pd.RangeIndex(start, stop, step, name=names[0])
    if "levels" in described:
        return pd.MultiIndex.from_arrays([_column(level, parts) for level in described["levels"]], names=names)
    values = _column(described["column"], parts)
    found: pd.Index = pd.Index(values, dtype=values.dtype, name=names[0])
    return found


def _pack_array(array: NDArray[Any], parts: Parts, name: str) -> Any:
    if array.dtype == object:
        return {"values": _pack_json(array.ravel().tolist(), parts, name), "shape": list(array.shape)}
    if array.dtype.kind not in _KEPT_BY_NPY:
        raise FileError(f"{name} has the type {str(array.dtype)!r}, which is not stored. Make it numbers or text.")
    by_column = array.ndim == 2 and abs(array.strides[0]) < abs(array.strides[1])
    buffer = io.BytesIO()
    np.save(buffer, np.asfortranarray(array) if by_column else np.ascontiguousarray(array), allow_pickle=False)
    parts[f"{name}.npy"] = buffer.getvalue()
    return {"npy": f"{name}.npy", "shape": list(array.shape)}


def _array(described: Any, parts: Mapping[str, bytes]) -> NDArray[Any]:
    shape = tuple(described["shape"])
    if "values" in described:
        return _objects(_json(described["values"], parts), shape)
    found: NDArray[Any] = np.load(io.BytesIO(parts[described["npy"]]), allow_pickle=False)
    return found.reshape(shape) if found.shape != shape else found  # ascontiguousarray makes a lone number a row


def _objects(listed: list[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    flat = np.empty(len(listed), dtype=object)
    for i, value in enumerate(listed):  # one by one: numpy would open up lists
        flat[i] = value
    return flat.reshape(shape)


def _pack_json(value: Any, parts: Parts, name: str) -> str:
    parts[f"{name}.json"] = json.dumps(encoded(value), allow_nan=False).encode()
    return f"{name}.json"


def _json(name: str, parts: Mapping[str, bytes]) -> Any:
    return decoded(json.loads(parts[name]))


def _is_plain(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in _PLAIN
