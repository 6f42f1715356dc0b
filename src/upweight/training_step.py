"""One step's gradient, of one model by a plain backward pass or of k stacked ones by vmap; and which models allow it.

Stands on torch; training_run stands on it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from upweight.errors import InputError
from upweight.optimisers import Tensors
from upweight.training_start import state_of

__all__ = ["Batch", "RowLoss", "activations", "gradients", "side_by_side", "trained", "why_apart"]

RowLoss: TypeAlias = Callable[[Any, Tensor], Tensor]
Gradient: TypeAlias = Callable[[Tensors, Tensors, Tensor, "Batch"], Tensors]


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows [b, ...], or k models' own [k, b, ...]."""

    inputs: tuple[Tensor, ...]
    targets: Tensor

    def at(self, rows: Tensor) -> "Batch":
        """These rows, [b] or [k, b]."""
        return Batch(tuple(x[rows] for x in self.inputs), self.targets[rows])


def trained(model: nn.Module) -> Tensors:
    """The parameters that train, tied ones once."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def gradients(model: nn.Module, row_loss: RowLoss, batch: Batch, shares: Tensor) -> Tensors:
    """∇ of Σ shares_i ℓ_i / b in the parameters that train, by a backward pass."""
    parameters = trained(model)
    loss = _loss(row_loss, model(*batch.inputs), batch.targets, shares)
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(parameters, found, strict=True))


def side_by_side(model: nn.Module, row_loss: RowLoss, shared: bool) -> Gradient:
    """The same of k models as one: (parameters [k, ...], everything else [k, ...], shares [k, b], batch) -> [k, ...].

    `shared`: all k read the same rows, [b, ...]; else each its own, [k, b, ...].
    """

    def loss(
        parameters: Tensors, fixed: Tensors, shares: Tensor, inputs: tuple[Tensor, ...], targets: Tensor
    ) -> Tensor:
        return _loss(row_loss, functional_call(model, {**parameters, **fixed}, inputs), targets, shares)

    rows = None if shared else 0
    batched = vmap(grad(loss), in_dims=(0, 0, 0, rows, rows), randomness="same")
    return lambda parameters, fixed, shares, batch: batched(parameters, fixed, shares, batch.inputs, batch.targets)


def why_apart(
    model: nn.Module, row_loss: RowLoss, batch: Batch, masks: Callable[[], AbstractContextManager[None]]
) -> str:
    """Why k such models cannot run as one, from a trial on a few rows; "" where they can."""
    own = trained(model)
    shares = next(iter(own.values())).new_ones(len(batch.targets))
    stacked = {name: torch.stack([p.detach(), p.detach()]) for name, p in own.items()}
    fixed = {name: torch.stack([v, v]) for name, v in state_of(model).items() if name not in own}
    try:
        with masks():
            found = side_by_side(model, row_loss, True)(stacked, fixed, torch.stack([shares, shares]), batch)
    except Exception as error:  # torch has many classes for it; a fault of the model's own comes back in its plain pass
        return f"torch.func.vmap does not support {type(model).__name__}: {_first_line(error)}"
    with masks():
        plain = gradients(model, row_loss, batch, shares)
    for name, g in plain.items():
        if not torch.allclose(found[name][1], g, rtol=1e-3, atol=1e-3 * float(g.abs().max())):
            return f"torch.func.vmap gives another gradient of {name!r} than a backward pass"
    return ""


@torch.no_grad()
def activations(model: nn.Module, batch: Batch) -> int:
    """Bytes that the innermost modules put out in one forward pass over these rows."""
    total = 0

    def count(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal total
        outputs = output if isinstance(output, tuple | list) else (output,)
        total += sum(value.nbytes for value in outputs if isinstance(value, Tensor))

    hooks = [part.register_forward_hook(count) for part in model.modules() if not list(part.children())]
    try:
        model(*batch.inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return total


def _loss(row_loss: RowLoss, outputs: Any, targets: Tensor, shares: Tensor) -> Tensor:
    losses = row_loss(outputs, targets)
    if losses.shape != shares.shape:
        raise InputError(
            f"the loss of {len(shares)} rows has shape {tuple(losses.shape)}. It must be one number per row, [b]: "
            'use reduction="none", and sum what one row has several of.'
        )
    return (shares * losses).sum() / len(shares)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
