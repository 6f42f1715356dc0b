"""What the user gave to from_torch, checked and understood: model, rows, loss, what moves, and what it is penalised by.

Stands on the torch checks of this folder; torch_linear and torch_network turn it into an objective.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from upweight.adapters.torch_checks import refuse_mixing, refuse_model, refuse_training_mode
from upweight.adapters.torch_data import Rows, read_rows
from upweight.adapters.torch_head import Head, find_head, pass_over
from upweight.adapters.torch_loss import RowLoss, read_loss
from upweight.adapters.torch_params import choose, read_penalties, used
from upweight.errors import InputError
from upweight.network import Network
from upweight.network_health import first_nonfinite
from upweight.shapes import Array

__all__ = ["FORMS", "Reading", "read", "refuse_nonfinite_outputs"]

SEEN = 8  # rows that show which parameters the loss reads
FORMS = ("mean", "sum")  # what a refit of a torch model may divide by


@dataclass(frozen=True, eq=False)
class Reading:
    """What the user gave, understood."""

    model: nn.Module
    rows: Rows
    loss: RowLoss
    chosen: tuple[str, ...]
    penalties: dict[str, float]
    normalization: str
    train: Callable[..., Any] | None
    head: Head | None
    notes: tuple[str, ...]

    @property
    def weights(self) -> Array:
        """[n]."""
        return self.rows.weights

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        c = self.loss.loss.outputs
        if self.loss.classes:
            return tuple(str(label) for label in self.loss.classes) if c > 1 else (str(self.loss.classes[1]),)
        return ("y",) if c == 1 else tuple(f"y{k}" for k in range(c))


def read(model: Any, loss: Any, data: Any, penalty: Any, params: Any, normalization: str, train: Any) -> Reading:
    """All of it.

    Raises: UnsupportedModel, InputError.
    """
    if normalization not in FORMS:
        raise InputError(f"normalization is {normalization!r}. Use 'mean' (torch's mean loss) or 'sum'.")
    if train is not None and not callable(train):
        raise InputError(f"train is {train!r}. Give a function of (weights, seed) that returns the trained model.")
    device, dtype = refuse_model(model)
    refuse_training_mode(model)
    rows = read_rows(data, device, dtype)
    seen = pass_over(model, rows.inputs)
    outputs = seen.outputs
    refuse_mixing(model, rows.inputs)
    refuse_nonfinite_outputs(model, rows, outputs)
    row_loss = read_loss(loss, outputs, rows.targets, rows.ids)
    head = find_head(model, rows.inputs, seen)
    chosen, notes = choose(model, params, head.path if head else None, penalty)
    few = tuple(part[:SEEN] for part in rows.inputs)
    chosen, idle = used(model, row_loss.call, few, rows.targets[:SEEN], chosen, named=not isinstance(params, str))
    penalties, decay = read_penalties(model, chosen, penalty)
    said = (*rows.notes, *row_loss.notes, *notes, *idle, *decay)
    return Reading(model, rows, row_loss, chosen, penalties, normalization, train, head, said)


def refuse_nonfinite_outputs(model: nn.Module, rows: Rows, outputs: Tensor) -> None:
    """Raises: InputError that names the first layer and row where numbers stop being finite."""
    if bool(torch.isfinite(outputs).all()):
        return
    name, value = next(iter(model.named_parameters()))
    network = Network(
        module=model,
        row_loss=lambda z, _: z.reshape(len(z), -1).sum(dim=1),
        chosen=(name,),
        inputs=rows.inputs[0] if len(rows.inputs) == 1 else rows.inputs,
        targets=rows.targets,
        weights=torch.ones(rows.n).to(value),
        penalty=torch.zeros(value.numel()).to(value),
        normalization="mean",
    )
    raise InputError(f"{first_nonfinite(network)}. Look at this row's inputs, and at the layer before it.")
