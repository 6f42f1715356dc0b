"""The user's data as tensors: all rows in one fixed order, on the model's device, with ids, read twice to be sure.

Stands on torch_order; torch_module stands on it. Small data: everything is held at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

from upweight.adapters.inputs import read_ids
from upweight.adapters.torch_order import read_order
from upweight.display.words import count
from upweight.errors import InputError, listed

__all__ = ["Queries", "Rows", "as_shown", "read_queries", "read_rows"]

SAID = 64e6  # bytes of data beyond which it is said that all of it is held


@dataclass(frozen=True, eq=False)
class Rows:
    """`inputs`: what the model is called with, each [n, …]; `targets` [n, …]; `shown`: rows as people read them."""

    inputs: tuple[Tensor, ...]
    targets: Tensor
    weights: NDArray[np.float64]
    ids: tuple[Any, ...]
    names: tuple[str, ...] | None = None  # of the columns, where X was a table
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Queries:
    """Rows without targets: what the model is called with, each [q, …]."""

    inputs: tuple[Tensor, ...]

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.inputs[0])


def read_rows(data: Any, device: torch.device, dtype: torch.dtype) -> Rows:
    """(X, y), (inputs, y), a Dataset of (x, y) or (x1, x2, y), or a DataLoader; numpy and tables become `dtype`.

    Raises: InputError for anything else, for no rows, for two passes that differ, for data on another device.
    """
    if isinstance(data, Rows):
        rows = data  # read before, from a file
    elif isinstance(data, DataLoader):
        rows = _from_loader(data)
    elif _is_pair(data):
        rows = _from_arrays(data[0], data[1], dtype)
    elif isinstance(data, IterableDataset):
        raise InputError(
            "data is an IterableDataset, which has neither a number of rows nor a fixed order. Give a Dataset with "
            "__len__ and __getitem__, or list(data)."
        )
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, str | bytes | dict):
        rows = _from_dataset(data, np.arange(len(data)), default_collate)
    else:
        raise InputError(
            f"data is a {type(data).__name__}. Give (X, y) as tensors, (inputs, y) with a tuple of tensors, a Dataset "
            "of (x, y) items, or a DataLoader."
        )
    return _placed(rows, device)


def read_queries(x: Any, like: Rows) -> Queries:
    """The user's queries as the training inputs are: as many, of the same shapes, types and device.

    Raises: InputError that names the input and both shapes.
    """
    given = tuple(x) if isinstance(x, tuple | list) and len(like.inputs) > 1 else (x,)
    if len(given) != len(like.inputs):
        raise InputError(f"X_query has {len(given)} inputs; the model was trained on {len(like.inputs)}. Give a tuple.")
    if like.names is not None and isinstance(x, pd.DataFrame) and tuple(map(str, x.columns)) != like.names:
        raise InputError(f"X_query has the columns {listed(list(x.columns))}; X had {listed(like.names)}.")
    tensors = []
    for k, (part, known) in enumerate(zip(given, like.inputs, strict=True)):
        where = "X_query" if len(given) == 1 else f"X_query[{k}]"
        tensor = _tensor(part, known.dtype, where)
        if tensor.is_floating_point() != known.is_floating_point():
            raise InputError(f"{where} is {_kind(tensor)}; the training input is {_kind(known)}. Convert it.")
        if tensor.shape[1:] != known.shape[1:]:
            hint = " (one query: X[:1], not X[0])" if tensor.shape == known.shape[1:] else ""
            raise InputError(
                f"{where} has shape {list(tensor.shape)} where rows of shape {list(known.shape[1:])} were trained "
                f"on{hint}. Give [queries, {', '.join(map(str, known.shape[1:])) or 'no more axes'}]."
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{where} holds NaN or infinity in query {listed(_nonfinite(tensor))}. Fill them in.")
        tensors.append(tensor.to(known.device, known.dtype))
    if len({len(tensor) for tensor in tensors}) > 1:
        raise InputError(f"the inputs of X_query have {listed([len(tensor) for tensor in tensors])} rows. Pair them.")
    return Queries(tuple(tensors))


def as_shown(rows: Rows) -> Any:
    """What a person sees of a row: columns where there are some, pixels of a grey picture, else each input's values."""
    if len(rows.inputs) > 1:
        parts = [part.cpu().numpy() for part in rows.inputs]
        return [tuple(part[i] for part in parts) for i in range(rows.n)]
    x = rows.inputs[0].cpu().numpy()
    flat = x.reshape(len(x), -1)
    if x.ndim >= 3 and int(np.prod(x.shape[1:-2])) == 1:
        height, width = x.shape[-2:]
        return pd.DataFrame(flat, columns=[f"pixel_{i}_{j}" for i in range(height) for j in range(width)])
    if rows.names is not None:
        return pd.DataFrame(flat, columns=list(rows.names))
    return flat


def _is_pair(data: Any) -> bool:
    """A tuple (X, y), or a list of two arrays; a list of (x, y) items is a dataset."""
    if isinstance(data, tuple):
        return len(data) == 2
    return isinstance(data, list) and len(data) == 2 and all(getattr(part, "ndim", 0) >= 1 for part in data)


def _from_arrays(x: Any, y: Any, dtype: torch.dtype) -> Rows:
    parts = tuple(x) if isinstance(x, tuple) else (x,)
    if not parts:
        raise InputError("data[0] is an empty tuple. Give the model's inputs.")
    names = [str(k) if len(parts) > 1 else "" for k in range(len(parts))]
    inputs = tuple(_tensor(part, dtype, f"X{name and f'[{name}]'}") for part, name in zip(parts, names, strict=True))
    targets = _tensor(y, dtype, "y")
    _refuse_unpaired(inputs, targets)
    columns = tuple(str(name) for name in x.columns) if isinstance(x, pd.DataFrame) else None
    ids = read_ids(x, y, len(targets))
    return Rows(inputs, targets, np.ones(len(targets)), ids, columns)


def _from_loader(loader: "DataLoader[Any]") -> Rows:
    if isinstance(loader.dataset, IterableDataset):
        raise InputError(
            "the loader's dataset is an IterableDataset, which has neither a number of rows nor a fixed order. Give a "
            "Dataset with __len__ and __getitem__."
        )
    with torch.random.fork_rng(devices=[]):  # samplers draw from the user's own generator
        order = read_order(loader)
    collate = (
        loader.collate_fn if loader.batch_size is not None or loader.batch_sampler is not None else default_collate
    )
    rows = _from_dataset(loader.dataset, order.rows, collate)
    return replace(rows, weights=order.weights, notes=(*order.notes, *rows.notes))


def _from_dataset(dataset: Any, at: NDArray[np.int64], collate: Any) -> Rows:
    """These rows of a dataset, read twice: the passes must agree.

    Raises: InputError.
    """
    if not len(at):
        raise InputError("data has no rows. Give the rows that the model was trained on.")
    ids = _ids(dataset, at)
    if type(dataset) is TensorDataset:
        parts = tuple(part[torch.as_tensor(at)] for part in dataset.tensors)
        return _split(parts, ids)
    with torch.random.fork_rng(devices=[]):
        rows, again = (_split(_collated(dataset, at, collate), ids) for _ in range(2))
    pairs = zip((*rows.inputs, rows.targets), (*again.inputs, again.targets), strict=True)
    differ = [row for a, b in pairs if (row := _first_difference(a, b)) is not None]
    if differ:
        raise InputError(
            f"two passes over the data differ, first in row {ids[min(differ)]!r}: it is augmented or drawn anew each "
            "time, so no row has a gradient of its own. Give the data with its random transforms switched off."
        )
    return rows


def _collated(dataset: Any, at: NDArray[np.int64], collate: Any) -> Any:
    items = [dataset[int(row)] for row in at]
    if isinstance(items[0], dict):
        raise InputError(
            f"the dataset's items are dicts with the keys {listed(list(items[0]))}. Give items (x, y), or (x1, x2, y) "
            "for a model with two inputs."
        )
    try:
        return collate(items)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"the rows cannot be put into one tensor ({_first_line(error)}). All rows need one shape: pad or crop "
            "them in the dataset or in collate_fn."
        ) from error


def _split(batch: Any, ids: tuple[Any, ...]) -> Rows:
    """(x, y), ((x1, x2), y) or (x1, x2, y)."""
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        kind = f"a {type(batch).__name__}" if not isinstance(batch, tuple | list) else f"{len(batch)} part"
        raise InputError(f"the data's items are {kind}. Give items (x, y), or (x1, x2, y) for a model with two inputs.")
    first = batch[0]
    parts = tuple(first) if len(batch) == 2 and isinstance(first, tuple | list) else tuple(batch[:-1])
    strange = [type(part).__name__ for part in (*parts, batch[-1]) if not isinstance(part, Tensor)]
    if strange:
        raise InputError(
            f"the data's items hold {listed(strange)} where tensors are needed. Return tensors or numbers."
        )
    _refuse_unpaired(parts, batch[-1])
    if len(ids) != len(batch[-1]):
        raise InputError(f"{len(ids)} rows were collated into {len(batch[-1])}. Give a collate_fn that keeps each row.")
    return Rows(tuple(part.detach() for part in parts), batch[-1].detach(), np.ones(len(ids)), ids)


def _ids(dataset: Any, at: NDArray[np.int64]) -> tuple[Any, ...]:
    """The dataset's `ids`, else positions.

    Raises: InputError for too few, or twice the same.
    """
    ids = getattr(dataset, "ids", None)
    if ids is None or callable(ids):
        return tuple(at.tolist())
    ids = list(np.asarray(ids, dtype=object).tolist()) if isinstance(ids, np.ndarray) else list(ids)
    if len(ids) != len(dataset):
        raise InputError(f"the dataset has {len(dataset)} rows and {len(ids)} ids. Give one id per row.")
    twice = [row for row in dict.fromkeys(ids) if ids.count(row) > 1] if len(set(ids)) < len(ids) else []
    if twice:
        raise InputError(f"{len(twice)} row ids stand for more than one row ({listed(twice)}). Make them unique.")
    return tuple(ids[int(row)] for row in at)


def _tensor(values: Any, dtype: torch.dtype, where: str) -> Tensor:
    """A tensor as it is; numpy, tables and lists with floats in the model's own type."""
    if isinstance(values, Tensor):
        tensor = values.detach()
    else:
        try:
            array = values.to_numpy() if isinstance(values, pd.DataFrame | pd.Series) else np.asarray(values)
            tensor = torch.as_tensor(np.require(array, requirements=["C", "W"]))  # pandas gives its own, read-only
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{where} holds values that are not numbers ({_first_line(error)}). Encode them."
            ) from error
        if tensor.is_floating_point() or (isinstance(values, pd.DataFrame) and tensor.dtype != torch.bool):
            tensor = tensor.to(dtype)
    if tensor.ndim == 0:
        raise InputError(f"{where} is a single number. Give one entry per row.")
    return tensor


def _placed(rows: Rows, device: torch.device) -> Rows:
    """Rows on the model's device; from the host they are moved, and that is said.

    Raises: InputError from any other device; for NaN, naming rows.
    """
    if not rows.n:
        raise InputError("data has no rows. Give the rows that the model was trained on.")
    everything = (*rows.inputs, rows.targets)
    strange = [part.device for part in everything if part.device not in (device, torch.device("cpu"))]
    if strange:
        raise InputError(
            f"the model is on {str(device)!r} and its data on {str(strange[0])!r}. Move one of them: "
            f"model.to({str(strange[0])!r}), or the tensors with .to({str(device)!r})."
        )
    for part, where in zip(everything, [*(f"input {k}" for k in range(len(rows.inputs))), "y"], strict=True):
        if part.is_floating_point() and not bool(torch.isfinite(part).all()):
            bad = _nonfinite(part)
            named = [rows.ids[i] for i in bad]
            where = "X" if where == "input 0" and len(rows.inputs) == 1 else where
            raise InputError(
                f"{where} holds NaN or infinity in {count(len(bad), 'row')} ({listed(named)}). Fill them in, or leave "
                "these rows out."
            )
    moved = (f"the data was on the CPU and is held on {device}",) if device.type != "cpu" else ()
    inputs = tuple(part.to(device) for part in rows.inputs)
    held = sum(part.nbytes for part in everything)
    if held > SAID:
        moved = (*moved, f"all {rows.n:,} rows are held in memory at once ({held / 1e6:,.0f} MB)")
    return replace(rows, inputs=inputs, targets=rows.targets.to(device), notes=(*rows.notes, *moved))


def _refuse_unpaired(inputs: Sequence[Tensor], targets: Tensor) -> None:
    for k, part in enumerate(inputs):
        if part.ndim == 0 or targets.ndim == 0 or len(part) != len(targets):
            where = "X" if len(inputs) == 1 else f"input {k}"
            rows = [len(one) if one.ndim else "no" for one in (part, targets)]
            raise InputError(f"{where} has {rows[0]} rows and y has {rows[1]}. Give one target per row.")


def _first_difference(a: Tensor, b: Tensor) -> int | None:
    if a.shape == b.shape and torch.equal(a, b):
        return None
    if a.shape != b.shape:
        return 0
    same = (a == b) | ((a != a) & (b != b))
    rows = torch.nonzero(~same.reshape(len(a), -1).all(dim=1)).reshape(-1)
    return int(rows[0]) if len(rows) else None


def _nonfinite(tensor: Tensor) -> list[int]:
    bad = ~torch.isfinite(tensor).reshape(len(tensor), -1).all(dim=1)
    return [int(row) for row in torch.nonzero(bad).reshape(-1)]


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
