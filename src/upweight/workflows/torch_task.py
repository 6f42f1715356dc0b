"""What `package.module:function` returns for a network: model, loss, data, and what else from_torch takes.

Stands on imported; torch_opened makes an Influence of it. Imports torch: nothing of the table's path stands on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from upweight.errors import InputError, listed
from upweight.workflows.imported import called

__all__ = ["TorchTask", "read_task"]

KEYS = ("model", "loss", "data", "penalty", "params", "normalization", "damping", "train", "queries")
FORMS = "It must return (model, loss, data), or a mapping of from_torch's arguments and, if you like, 'queries': (X, y)"


@dataclass(frozen=True, eq=False)
class TorchTask:
    """The arguments of Influence.from_torch by name, and `queries`: the rows that are asked about, else None."""

    name: str
    model: Any
    loss: Any
    data: Any
    penalty: Any = 0.0
    params: Any = "all"
    normalization: str = "mean"
    damping: float | str = "auto"
    train: Any = None
    queries: Any = None  # (X, y), (X, None), a Dataset or a DataLoader


def read_task(name: str, device: str | None = None) -> TorchTask:
    """The function called once, its model moved to `device` where one is given.

    Raises: InputError for what cannot be imported, called or read; MissingExtra where its module lacks torch.
    """
    place = None if device is None else _device(device)
    task = _task(name, called(name))
    return task if place is None else _moved(task, place)


def _task(name: str, returned: Any) -> TorchTask:
    if isinstance(returned, Mapping):
        unknown = [key for key in returned if key not in KEYS]
        if unknown:
            raise InputError(f"{name} returned a mapping with {listed(unknown)}. Its keys are {', '.join(KEYS)}.")
        missing = [key for key in KEYS[:3] if key not in returned]
        if missing:
            raise InputError(f"{name} returned a mapping without {listed(missing)}. {FORMS}.")
        given = dict(returned)
    elif isinstance(returned, tuple | list) and len(returned) == 3:
        given = dict(zip(KEYS, returned, strict=False))
    else:
        seen = f"{len(returned)} values" if isinstance(returned, tuple | list) else f"a {type(returned).__name__}"
        raise InputError(f"{name} returned {seen}. {FORMS}.")
    task = TorchTask(name, **given)
    if not isinstance(task.model, nn.Module):
        raise InputError(f"{name}: the model is a {type(task.model).__name__}, not a torch.nn.Module. {FORMS}.")
    return task


def _device(name: str) -> torch.device:
    """Raises: InputError for a name that is no device, or a device that is not there."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"--device {name!r} is no device. Use {listed(_there())}.") from None
    try:
        torch.empty(1, device=device)
        absent = device.type == "meta"
    except Exception:  # every backend has its own way to say that it is not there
        absent = True
    if absent:
        raise InputError(f"--device {name!r}: there is none on this machine, as torch sees it. Use {listed(_there())}.")
    return device


def _there() -> list[str]:
    """Devices that can be used."""
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = ["cpu", *(f"cuda:{k}" if k else "cuda" for k in range(cuda))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def _moved(task: TorchTask, device: torch.device) -> TorchTask:
    """On another device: the model, a loss with weights of its own, and tensors; a Dataset's rows follow the model."""
    loss = task.loss.to(device) if isinstance(task.loss, nn.Module) else task.loss
    data, queries = (_placed(part, device) for part in (task.data, task.queries))
    return replace(task, model=task.model.to(device), loss=loss, data=data, queries=queries)


def _placed(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    return type(value)(_placed(part, device) for part in value) if type(value) in (tuple, list) else value
