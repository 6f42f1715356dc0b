"""The user's model run over rows, in their order and without a graph: outputs, and what to do where it cannot.

Stands on torch; every other torch adapter stands on it.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from upweight.errors import InputError, UnsupportedModel, listed

__all__ = ["call", "outputs_of", "path_of"]

ROWS = 512  # of one pass
NUMBERS = 800_000  # of one pass's inputs on a CPU: larger ones push a deep network's activations out of its caches
FEW = 8  # rows that a pass has all the same


def _batches(inputs: tuple[Tensor, ...]) -> Iterator[slice]:
    """Row blocks in order."""
    n, rows = len(inputs[0]), ROWS
    if inputs[0].device.type == "cpu":
        row = max(1, sum(part[:1].numel() for part in inputs))
        rows = min(ROWS, max(FEW, NUMBERS // row))
    for start in range(0, n, rows):
        yield slice(start, min(n, start + rows))


def call(model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """The outputs [b, …] of one batch, detached.

    Raises: InputError where the model cannot read the inputs; UnsupportedModel where it does not return one tensor.
    """
    name = type(model).__name__
    try:
        with torch.no_grad():
            outputs = model(*inputs)
    except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{name} cannot read its inputs ({_described(inputs)}): {first}.{_hint(model, inputs)}"
        ) from error
    if not isinstance(outputs, Tensor):
        kind = type(outputs).__name__
        raise UnsupportedModel(
            f"{name} returns a {kind} where one tensor [rows, …] is needed. Wrap it in a module that returns the "
            "tensor which the loss reads."
        )
    if outputs.ndim == 0 or len(outputs) != len(inputs[0]):
        raise UnsupportedModel(
            f"{name} gives outputs of shape {list(outputs.shape)} for {len(inputs[0])} rows. The first axis must be "
            "the rows: batch_first=True in recurrent layers and attention."
        )
    if not outputs.is_floating_point():
        raise UnsupportedModel(f"{name} returns {outputs.dtype} outputs, which have no gradient. Return the logits.")
    return outputs.detach()


def outputs_of(model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """All rows' outputs [n, …]."""
    return torch.cat([call(model, tuple(part[rows] for part in inputs)) for rows in _batches(inputs)])


def path_of(model: nn.Module, module: nn.Module) -> str:
    """Where a layer is in the model: its path, or the model's class where it is the model."""
    names = [name for name, layer in model.named_modules() if layer is module]
    return names[0] if names and names[0] else type(model).__name__


def _described(inputs: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{list(part.shape)} {str(part.dtype).removeprefix('torch.')}" for part in inputs)


def _hint(model: nn.Module, inputs: tuple[Tensor, ...]) -> str:
    types = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    strange = [part.dtype for part in inputs if part.dtype not in types]
    if not types or not strange:
        return " Give the inputs as in training."
    wanted = str(next(iter(types))).removeprefix("torch.")
    seen = listed([str(dtype).removeprefix("torch.") for dtype in dict.fromkeys(strange)])
    return f" The model's parameters are {wanted} and its inputs {seen}: X.to(torch.{wanted}), or model.to(X.dtype)."
