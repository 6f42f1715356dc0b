"""A loss tried before it is used: one number a row, its own alone, finite; every refusal holds the exact change.

Stands on torch; torch_loss asks. Source: METHODS.md 11.19.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from upweight.adapters.torch_checks import tolerance
from upweight.display.words import count
from upweight.errors import InputError, listed
from upweight.shapes import Array

__all__ = [
    "attempt",
    "flattened",
    "refuse_dependence",
    "refuse_ignored",
    "refuse_nonfinite",
    "refuse_shape",
    "runs",
]


def flattened(loss: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """[b, 1] as [b]."""

    def call(outputs: Tensor, targets: Tensor) -> Tensor:
        found: Tensor = loss(outputs, targets)
        return found.reshape(len(outputs)) if found.ndim > 1 else found

    return call


def runs(loss: Any, outputs: Tensor, targets: Tensor) -> bool:
    """Whether the loss takes these: a class index out of range on the host is an error of the data, so it does."""
    try:
        with torch.no_grad():
            found = loss(outputs, targets)
    except IndexError:
        return True
    except Exception:  # of the user's own code: another type or device is tried
        return False
    return isinstance(found, Tensor) and found.dtype == outputs.dtype


def attempt(loss: Any, outputs: Tensor, targets: Tensor, ids: tuple[Any, ...]) -> Any:
    """Raises: InputError with shapes, types and what to change where the loss refuses."""
    try:
        with torch.no_grad():
            return loss(outputs, targets)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        c = outputs.shape[1] if outputs.ndim > 1 else 1
        whole = not targets.is_floating_point() and targets.dtype != torch.bool
        if whole and outputs.ndim > 1:
            bad = torch.nonzero(((targets < 0) | (targets >= c)).reshape(len(targets), -1).any(dim=1)).reshape(-1)
            if len(bad):
                rows = [ids[int(i)] for i in bad]
                seen = list(dict.fromkeys(targets[bad].reshape(-1).tolist()))
                raise InputError(
                    f"y is out of range in {count(len(rows), 'row')} (row {listed(rows)}: class {listed(seen)}); the "
                    f"model has {c} outputs, so classes are 0 … {c - 1}."
                ) from error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"the loss cannot read outputs {_said(outputs)} and targets {_said(targets)}: {first}. "
            + (
                "Class indices are int64 [rows] for cross-entropy, targets are floats of the outputs' shape else: "
                "y.long(), or y.float()."
            )
        ) from error


def refuse_shape(loss: Any, outputs: Tensor, targets: Tensor, ids: tuple[Any, ...]) -> None:
    """Raises: InputError unless the loss gives [b] or [b, 1] numbers, with the change that makes it so."""
    found, b = attempt(loss, outputs, targets, ids), len(outputs)
    name = type(loss).__name__ if isinstance(loss, nn.Module) else getattr(loss, "__name__", "the loss")
    name = "the loss" if name == "<lambda>" else name
    if not isinstance(found, Tensor):
        raise InputError(f"{name} returned {found!r:.60} for {b} rows. It must return a tensor of one loss per row.")
    if found.ndim == 0:
        reduction = getattr(loss, "reduction", None)
        if isinstance(loss, nn.Module) and reduction in ("mean", "sum"):
            several = " and average its outputs, so that it returns one number per row" if _many(outputs) else ""
            what = f"nn.{name}(reduction={reduction!r})"
            change = f"Use nn.{name}(reduction='none'){several if _elementwise(outputs, targets) else ''}."
        else:
            what, change = (
                name,
                (
                    "Return one loss per row: pass reduction='none' to torch's losses, e.g. lambda outputs, targets: "
                    "F.cross_entropy(outputs, targets, reduction='none')."
                ),
            )
        raise InputError(f"{what} returns one number for {b} rows, and one number per row is needed. {change}")
    if tuple(found.shape) == (b,) or (len(found) == b and found.numel() == b):
        return
    if tuple(found.shape) == (b, b) and outputs.numel() == b and targets.numel() == b:
        raise InputError(
            f"{name} compares every output with every target: outputs are {list(outputs.shape)} and targets "
            f"{list(targets.shape)}. Give both one shape: outputs.squeeze(-1), or y[:, None]."
        )
    raise InputError(
        f"{name} returns {list(found.shape)} for {b} rows, and [{b}] is needed. Average or add up each row's numbers: "
        f"lambda outputs, targets: loss(outputs, targets).flatten(1).mean(1)."
    )


def refuse_dependence(loss: Any, outputs: Tensor, targets: Tensor, ids: tuple[Any, ...]) -> None:
    """Raises: InputError where a row's loss is another when it is alone."""
    together = attempt(loss, outputs, targets, ids).reshape(-1)
    finite = together[torch.isfinite(together)]
    size = float(finite.abs().max()) if len(finite) else 0.0
    for i in range(len(outputs)):
        alone = attempt(loss, outputs[i : i + 1], targets[i : i + 1], ids)
        one, other = float(alone.reshape(-1)[0]), float(together[i])
        if (np.isfinite(one) or np.isfinite(other)) and not abs(one - other) <= tolerance(outputs.dtype) * size:
            raise InputError(
                f"the loss of row {ids[i]!r} is {one:.6g} alone and {other:.6g} "
                f"among {len(outputs)} rows: it depends on the other rows of the batch (a mean over it, or a division "
                "by its size), so no row has a loss of its own. Return each row's own loss."
            )


def refuse_ignored(encoded: Array, c: int, ids: tuple[Any, ...]) -> None:
    """Raises: InputError for rows whose class is torch's ignore_index."""
    if encoded.dtype.kind == "i" and encoded.ndim == 1 and c > 1 and np.any(encoded == -100):
        rows = [ids[int(i)] for i in np.flatnonzero(encoded == -100)]
        raise InputError(
            f"y is -100 (ignore_index) in {count(len(rows), 'row')} ({listed(rows)}): these rows have no loss. Leave "
            "them out."
        )


def refuse_nonfinite(values: Array, ids: tuple[Any, ...]) -> None:
    """Raises: InputError that names rows whose loss is NaN or infinite."""
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        rows = [ids[int(i)] for i in bad]
        raise InputError(
            f"the loss is {values[bad[0]]} in {count(len(rows), 'row')} ({listed(rows)}). Look at these rows' outputs "
            "and targets: a logarithm of 0, or a target outside the loss's range."
        )


def _many(outputs: Tensor) -> bool:
    return outputs.ndim > 1 and outputs[0].numel() > 1


def _elementwise(outputs: Tensor, targets: Tensor) -> bool:
    return outputs.shape == targets.shape


def _said(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
