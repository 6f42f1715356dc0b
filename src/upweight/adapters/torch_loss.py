"""The user's loss, one number a row: what is refused with the exact change, and how its targets read.

Stands on torch_standard_loss and torch_output_loss; torch_module asks. Source: METHODS.md 11.19, 11.28.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from upweight.adapters.labels import class_encoder, number_encoder
from upweight.adapters.torch_loss_checks import (
    attempt,
    flattened,
    refuse_dependence,
    refuse_ignored,
    refuse_nonfinite,
    refuse_shape,
    runs,
)
from upweight.adapters.torch_output_loss import AutodiffLoss
from upweight.adapters.torch_standard_loss import recognise, trial_outputs, trial_targets
from upweight.arrays import to_numpy
from upweight.errors import InputError
from upweight.output_loss import OutputLoss
from upweight.shapes import Array, Float

__all__ = ["RowLoss", "read_loss"]

TRIAL = 5  # rows of the first call
BENDS = 512  # rows whose curvature is looked at
FLAT = 1e-8  # relative curvature that is none
PROBABILITIES = (
    "the loss reads probabilities, so the model is read as a regression on 0 and 1: end it in logits and use "
    "BCEWithLogitsLoss for classes, margins and certificates"
)


@dataclass(frozen=True, eq=False)
class RowLoss:
    """`call` [b, …], [b, …] -> [b] is what a network's objective sums; `loss` the same as a head reads it."""

    call: Callable[[Tensor, Tensor], Tensor]
    loss: OutputLoss
    targets: Array  # encoded
    values: Float[Array, " n"]  # each row's, at the model's own outputs
    classes: tuple[Any, ...]  # () for a regression
    encode: Callable[..., Array]
    has_probability: bool
    convex: bool  # in the outputs, where the data's lie
    notes: tuple[str, ...] = ()


def read_loss(loss: Any, outputs: Tensor, targets: Tensor, ids: tuple[Any, ...]) -> RowLoss:
    """What the loss is, tried on the model's own outputs [n, …] and targets.

    Raises: InputError for a loss that is no function, gives one number for a batch, several for a row, or a row's
    number that depends on the other rows; for targets that it cannot read.
    """
    if not callable(loss) or isinstance(loss, type):
        made = f" Give {loss.__name__}(reduction='none')." if isinstance(loss, type) else ""
        raise InputError(f"loss is {loss!r}, which is not a function of (outputs, targets).{made}")
    home = outputs.device
    trial = torch.device("cpu") if home.type != "cpu" and runs(loss, outputs.cpu(), targets.cpu()) else home
    refuse_shape(loss, outputs[:TRIAL].to(trial), targets[:TRIAL].to(trial), ids)
    refuse_dependence(loss, outputs[:TRIAL].to(trial), targets[:TRIAL].to(trial), ids)
    call = flattened(loss)
    attempt(loss, outputs.to(trial), targets.to(trial), ids)  # all rows: a class index out of range shows here
    plain = _autodiff(loss, outputs, targets)
    encoded = _encoded(targets, plain.outputs)
    with torch.no_grad():
        z = outputs.reshape(len(outputs), -1).double().cpu().numpy()
        values = plain.value(z, encoded)
    refuse_nonfinite(values, ids)
    return _understood(plain, call, z, encoded, targets, values, ids)


def _understood(
    plain: AutodiffLoss,
    call: Callable[[Tensor, Tensor], Tensor],
    z: Array,
    encoded: Array,
    targets: Tensor,
    values: Array,
    ids: tuple[Any, ...],
) -> RowLoss:
    """One of our losses, or the user's by autograd."""
    refuse_ignored(encoded, plain.outputs, ids)
    standard = recognise(plain, encoded, float(np.max(np.abs(z), initial=1.0)))
    if standard is not None:
        said = ("its value is shown up to a constant of each row, which no answer sees",) if standard.shifted else ()
        classes, encode = _labels(standard.classes, encoded, standard.loss.outputs)
        at_user = standard.loss.value(z, encoded) if standard.shifted else values
        return RowLoss(call, standard.loss, encoded, at_user, classes, encode, bool(classes), True, said)
    if _reads_log_probabilities(plain, z, encoded):
        again = replace(plain, call=_cross_entropy, shape=(plain.outputs,), name="cross_entropy")
        logits = _understood(again, _cross_entropy, z, encoded, targets, values, ids)
        read = "the outputs are log-probabilities: they are read as logits, whose cross-entropy is the same loss"
        return replace(logits, notes=(*logits.notes, read))
    return _by_autograd(plain, call, z, encoded, values)


def _by_autograd(
    plain: AutodiffLoss, call: Callable[[Tensor, Tensor], Tensor], z: Array, encoded: Array, values: Array
) -> RowLoss:
    c, whole = plain.outputs, encoded.dtype.kind == "i"
    bends = plain.curvature(z[:BENDS], encoded[:BENDS])
    size = float(np.max(np.abs(bends), initial=0.0))
    lowest = float(np.min(np.linalg.eigvalsh(bends))) if np.isfinite(bends).all() and len(bends) else 0.0
    apart = c == 1 or float(np.max(np.abs(bends * (1.0 - np.eye(c))), initial=0.0)) <= FLAT * size
    null = _null(plain, z, encoded)
    uniform = len(null) == 1 and bool(np.allclose(np.abs(null), c**-0.5))
    shares = encoded.ndim == 1 and whole and c > 1 and int(encoded.min()) >= 0 and int(encoded.max()) < c
    sided = c == 1 and _is_sided(plain, encoded)
    found = replace(plain, separate=apart and size > 0, probabilities=bool(shares and uniform), null=null)
    classes, encode = _labels(c if shares else 2 if sided else 0, encoded, c)
    said = (PROBABILITIES,) if c == 1 and not classes and _reads_probabilities(plain, z, encoded) else ()
    return RowLoss(call, found, encoded, values, classes, encode, found.probabilities, lowest >= -FLAT * size, said)


def _labels(classes: int, encoded: Array, c: int) -> tuple[tuple[Any, ...], Callable[..., Array]]:
    """Class labels, and the user's y -> targets as the loss reads them."""
    labels: tuple[Any, ...] = tuple(range(classes))
    if classes:
        plain = class_encoder(labels, (lambda k: k) if c > 1 else (lambda k: k.astype(np.float64)))
    else:
        flat = encoded.ndim == 1
        plain = number_encoder(1 if flat else int(encoded.shape[1]), flat)
    return labels, lambda y, where="y": plain(_flat_rows(y, encoded.ndim), where)


def _flat_rows(y: Any, ndim: int) -> Any:
    y = to_numpy(y) if isinstance(y, Tensor) else y
    return np.reshape(y, (len(y), -1)) if np.ndim(y) > 2 and ndim == 2 else y


def _encoded(targets: Tensor, c: int) -> Array:
    """[n] or [n, t]: int64 for class indices (one whole number beside several outputs), else float64."""
    values = targets.cpu().numpy().reshape(len(targets), -1)
    values = values[:, 0] if values.shape[1] == 1 else values
    whole = not targets.is_floating_point() and targets.dtype != torch.bool
    return values.astype(np.int64 if whole and values.ndim == 1 and c > 1 else np.float64)


def _autodiff(loss: Any, outputs: Tensor, targets: Tensor) -> AutodiffLoss:
    """In float64 on the host where the loss can, else as the model computes."""
    name = type(loss).__name__ if isinstance(loss, nn.Module) else getattr(loss, "__name__", "loss").strip("<>")
    name = "loss" if name == "lambda" else name
    flat = outputs.reshape(len(outputs), -1)
    host = torch.device("cpu")
    for call, device, dtype in (
        (_double(loss, host), host, torch.float64),
        (loss, outputs.device, torch.float64),
        (loss, outputs.device, outputs.dtype),
    ):
        if dtype == torch.float64 and device.type == "mps":
            continue
        real = targets.to(device, dtype) if targets.is_floating_point() else targets.to(device)
        if runs(call, outputs[:TRIAL].to(device, dtype), real[:TRIAL]):
            break
    return AutodiffLoss(
        call=flattened(call),
        shape=tuple(outputs.shape[1:]),
        target_shape=tuple(targets.shape[1:]),
        target_dtype=targets.dtype,
        device=device,
        dtype=dtype,
        name=name,
        unit=f"units of {name}" if name != "loss" else "units of the loss",
        outputs=int(flat.shape[1]),
    )


def _double(loss: Any, device: torch.device) -> Any:
    """A copy of a loss module with its weights in float64; functions as they are."""
    return copy.deepcopy(loss).to(device, torch.float64) if isinstance(loss, nn.Module) else loss


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none")


def _reads_log_probabilities(plain: AutodiffLoss, z: Array, encoded: Array) -> bool:
    """NLLLoss behind LogSoftmax: −z_y, and every row of outputs is a distribution."""
    if encoded.dtype.kind != "i" or encoded.ndim != 1 or plain.outputs < 2 or len(plain.shape) != 1:
        return False
    if np.min(encoded) < 0 or np.max(encoded) >= plain.outputs or plain.name == "cross_entropy":
        return False
    if np.max(np.abs(np.log(np.sum(np.exp(np.minimum(z, 1.0)), axis=1)))) > 1e-4:
        return False
    return bool(np.allclose(plain.gradient(z, encoded), -np.eye(plain.outputs)[encoded]))


def _reads_probabilities(plain: AutodiffLoss, z: Array, encoded: Array) -> bool:
    """BCELoss behind a sigmoid: −log of p or 1 − p."""
    if encoded.ndim != 1 or not np.isin(encoded, (0, 1)).all() or np.min(z) <= 0 or np.max(z) >= 1:
        return False
    p, y = z[:, 0], encoded
    return bool(np.allclose(plain.gradient(z, encoded)[:, 0], (p - y) / (p * (1 - p)), rtol=1e-6))


def _null(plain: AutodiffLoss, z: Array, encoded: Array) -> Array:
    """Orthonormal directions [m, c] along which neither gradient nor loss changes, for any row and target."""
    c = plain.outputs
    if c == 1:
        return np.zeros((0, 1))
    draw = np.random.default_rng(0)
    try:
        y = trial_targets(encoded, c, draw)
        trial = trial_outputs(len(y), c, y, 2.0, 1.0, draw)
        seen = plain.gradient(trial, y)
    except (RuntimeError, ValueError, IndexError):
        y, trial = encoded[:BENDS], z[:BENDS]
        seen = plain.gradient(trial, y)
    if not np.isfinite(seen).all():
        return np.zeros((0, c))
    _, sizes, directions = np.linalg.svd(seen, full_matrices=True)
    sizes = np.append(sizes, np.zeros(c - len(sizes)))
    kept = []
    before = plain.value(trial, y)
    for direction in directions[sizes <= FLAT * max(float(sizes[0]), 1e-300)]:
        moved = plain.value(trial + 3.0 * direction, y)
        if np.allclose(moved, before, rtol=1e-9, atol=1e-9 * max(1.0, float(np.max(np.abs(before))))):
            kept.append(direction)
    return np.asarray(kept).reshape(len(kept), c)


def _is_sided(plain: AutodiffLoss, encoded: Array) -> bool:
    """A loss of one logit: 0/1 targets, falling in z for 1 and rising for 0 wherever it is asked."""
    if encoded.ndim != 1 or not np.isin(encoded, (0, 1)).all() or len(np.unique(encoded)) < 2:
        return False
    z = np.linspace(-12.0, 12.0, 49)[:, None]
    try:
        slopes = [plain.gradient(z, np.full(49, side, dtype=encoded.dtype))[:, 0] for side in (0, 1)]
    except (RuntimeError, ValueError):
        return False
    return bool(np.all(slopes[0] >= 0) and np.all(slopes[1] <= 0) and slopes[0][-1] > 0 and slopes[1][0] < 0)
