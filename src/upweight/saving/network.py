"""A network's Influence in a file: its state, rows and settings as plain numbers; no code.

Stands on store and the torch adapters. The reader gives the module, the loss and the training again, and every row's
loss is compared with the one that was saved.
"""

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from upweight.adapters import Adapted
from upweight.adapters.torch_data import Rows
from upweight.adapters.torch_module import adapt_torch
from upweight.adapters.torch_reading import read
from upweight.arrays import to_numpy
from upweight.errors import FileError, InputError, listed
from upweight.saving.sources import TorchSource, solver_about, solver_in
from upweight.store.archive import Archive, write_archive
from upweight.store.scalars import decoded, encoded
from upweight.store.tables import pack, unpack

__all__ = ["read_network", "write_network"]

CLOSE = 1e-4  # relative: what another device or another torch leaves of a row's loss

Parts = dict[str, bytes]


def write_network(path: str | os.PathLike[str], source: TorchSource, adapted: Adapted, losses: Any) -> None:
    """Writes state, rows, settings and each row's loss [n] into one file, whole or not at all.

    Raises: FileError for what cannot be stored, by name, and where the model has changed since `adapted` was made.
    """
    shown = os.fspath(path)
    given = read(source.model, source.loss, source.data, source.penalty, source.params, source.normalization, None)
    parts: Parts = {}
    rows = given.rows
    about = {
        "door": "torch",
        "model": type(source.model).__name__,
        "solver": solver_about(source.solver, shown),
        "damping": source.damping,
        "normalization": source.normalization,
        "chosen": list(given.chosen),
        "penalties": dict(given.penalties),
        "notes": list(adapted.notes),
        "trained": source.train is not None,
        "state": _pack_state(source.model, parts, shown),
        "inputs": [_pack_tensor(x, parts, f"inputs.{k}") for k, x in enumerate(rows.inputs)],
        "targets": _pack_tensor(rows.targets, parts, "targets"),
        "weights": pack(rows.weights, parts, "weights"),
        "ids": pack(list(rows.ids), parts, "ids"),
        "names": encoded(rows.names),
        "rows_notes": list(rows.notes),
        "losses": pack(np.asarray(to_numpy(losses), dtype=np.float64), parts, "losses"),
    }
    again = adapt_torch(source.model, source.loss, rows, given.penalties, given.chosen, source.normalization)
    now = again.attribution(again.objective, source.solver, source.damping)
    found = _difference(losses, now.loss.value(now.outputs, now.targets), rows.ids, 0.0)
    if found:
        raise FileError(
            f"{shown}: the model or its data have changed since this Influence was made ({found}). Make the Influence "
            "again, then save it. Nothing was written."
        )
    write_archive(path, "Influence", about, parts)


def read_network(archive: Archive, model: Any, loss: Any, train: Any) -> tuple[TorchSource, Adapted]:
    """What was saved, with the module given: a copy of it in the saved state, in evaluation mode.

    Raises: InputError where model or loss is not given; FileError where the state does not fit the module, or the
    losses of the rows are not those that were saved.
    """
    about, parts, shown = archive.about, archive.parts, archive.shown
    if not isinstance(model, nn.Module) or not callable(loss):
        raise InputError(
            f"{shown}: holds the state of a {about.get('model')}, not its code. Give model=, a module of that class, "
            "and loss=, the function that it was explained with."
        )
    try:
        like = next(model.parameters())
        state = {name: _tensor(part, parts) for name, part in about["state"]}
        rows = Rows(
            tuple(_tensor(part, parts).to(like.device) for part in about["inputs"]),
            _tensor(about["targets"], parts).to(like.device),
            unpack(about["weights"], parts),
            tuple(unpack(about["ids"], parts)),
            decoded(about["names"]),
            tuple(about["rows_notes"]),
        )
        losses = unpack(about["losses"], parts)
        solver, damping, normalization = solver_in(about["solver"]), about["damping"], about["normalization"]
        penalties, chosen, notes = dict(about["penalties"]), list(about["chosen"]), tuple(about["notes"])
    except Exception as error:  # the sums are right, so the writer was not ours
        raise FileError(f"{shown}: is not laid out as an Influence ({type(error).__name__}: {error}).") from error
    own = _filled(model, state, shown)
    source = TorchSource(own, loss, rows, penalties, chosen, normalization, solver, damping, train)
    found = adapt_torch(own, loss, rows, penalties, chosen, normalization, train)
    made = found.attribution(found.objective, solver, damping)
    differ = _difference(losses, made.loss.value(made.outputs, made.targets), rows.ids, CLOSE)
    if differ:
        raise FileError(
            f"{shown}: the model or the loss given is not the one that was saved ({differ}). Give the class and the "
            "loss that it was made with."
        )
    return source, replace(found, notes=notes)


def _filled(model: nn.Module, state: Mapping[str, Tensor], shown: str) -> nn.Module:
    """A copy of the module in the saved state.

    Raises: FileError with the names that do not fit.
    """
    own = copy.deepcopy(model).eval()
    mine = own.state_dict()
    wrong = [f"{name} is missing" for name in mine if name not in state]
    wrong += [f"{name} is not in it" for name in state if name not in mine]
    wrong += [
        f"{name} has shape {list(mine[name].shape)} instead of {list(value.shape)}"
        for name, value in state.items()
        if name in mine and mine[name].shape != value.shape
    ]
    if wrong:
        raise FileError(
            f"{shown}: the state does not fit the {type(model).__name__} that was given ({listed(wrong)}). "
            "Give a module of the class and sizes that were saved."
        )
    dtypes = {value.dtype for value in state.values() if value.is_floating_point()}
    if len(dtypes) == 1:
        own = own.to(dtypes.pop())
    own.load_state_dict(state)
    return own


def _difference(before: Any, after: Any, ids: tuple[Any, ...], relative: float) -> str:
    """The row whose loss differs most, in words; "" where none does."""
    one, other = (np.asarray(to_numpy(part), dtype=np.float64).reshape(-1) for part in (before, after))
    if one.shape != other.shape:
        return f"{len(one)} rows then, {len(other)} now"
    off = np.abs(one - other)
    worst = int(np.argmax(off))
    if off[worst] <= relative * max(1e-2, float(np.max(np.abs(one)))):
        return ""
    return f"row {ids[worst]!r} had the loss {one[worst]:.4g}, and has {other[worst]:.4g}"


def _pack_state(model: nn.Module, parts: Parts, shown: str) -> list[Any]:
    state = model.state_dict()
    odd = [name for name, value in state.items() if not isinstance(value, Tensor) or value.is_quantized]
    if odd:
        raise FileError(f"{shown}: the state {listed(odd)} is no plain tensor, which is not stored.")
    return [[name, _pack_tensor(value, parts, f"state.{k}")] for k, (name, value) in enumerate(state.items())]


def _pack_tensor(tensor: Tensor, parts: Parts, name: str) -> Any:
    """The tensor's bytes: every type of torch, those that numpy lacks too."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    kind = str(flat.dtype).removeprefix("torch.")
    return {"dtype": kind, "shape": list(tensor.shape), "bytes": pack(flat.view(torch.uint8).numpy(), parts, name)}


def _tensor(described: Any, parts: Mapping[str, bytes]) -> Tensor:
    dtype = getattr(torch, described["dtype"])
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{described['dtype']!r} is no type of torch")
    held = torch.from_numpy(np.array(unpack(described["bytes"], parts)))
    return held.view(dtype).reshape(described["shape"])
