"""The last linear layer of a model, found by running it, and what stands before it: features for a linear head.

Stands on torch_forward; torch_module asks. A layer is the head where its output is the model's output and it runs
once; it is linear where features @ Wᵀ + b is that output on all rows, at its own parameters and at others.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from upweight.adapters.torch_checks import tolerance
from upweight.adapters.torch_forward import call, outputs_of
from upweight.shapes import Array, Bool, Float

__all__ = ["Head", "Pass", "find_head", "pass_over", "read_features"]

SEEN = 8  # rows of a trial batch


@dataclass(frozen=True, eq=False)
class Head:
    """`path` "" where the model is the layer itself; `linear`: the outputs are linear in its parameters."""

    path: str
    layer: nn.Linear
    features: NDArray[np.float64]  # [n, d]
    linear: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Of its parameters, in the model."""
        prefix = f"{self.path}." if self.path else ""
        return (f"{prefix}weight", f"{prefix}bias") if self.layer.bias is not None else (f"{prefix}weight",)

    def matrix(self) -> Float[Array, "c D"]:
        """W and b [c, d + 1]; b = 0 where there is none."""
        w = self.layer.weight.detach().cpu().double().numpy()
        b = np.zeros(len(w)) if self.layer.bias is None else self.layer.bias.detach().cpu().double().numpy()
        return np.concatenate([w, b[:, None]], axis=1)

    def spread(self, values: dict[str, float]) -> Float[Array, "c D"]:
        """One number for the weight and one for the bias as [c, d + 1]; 0 where not named."""
        full = np.zeros((self.layer.out_features, self.layer.in_features + 1))
        full[:, :-1] = values.get(self.names[0], 0.0)
        full[:, -1] = values.get(self.names[-1], 0.0) if len(self.names) == 2 else 0.0
        return full

    def free(self, chosen: tuple[str, ...]) -> Bool[Array, "c D"]:
        """Which entries move."""
        return self.spread({name: 1.0 for name in self.names if name in chosen}) > 0


@dataclass(frozen=True, eq=False)
class Pass:
    """The model run once over all rows: outputs [n, …], and what its last linear layer reads, where it has one."""

    outputs: Tensor
    path: str | None = None
    features: NDArray[np.float64] | None = None  # [n, d]


def pass_over(model: nn.Module, inputs: tuple[Tensor, ...]) -> Pass:
    """Every row goes through the model once, beside the few that find its last layer. Raises: as `call`."""
    path = _last(model, inputs)
    if path is None:
        return Pass(outputs_of(model, inputs))
    features, outputs = _watched(model, path, inputs)
    return Pass(outputs, path, features)


def find_head(model: nn.Module, inputs: tuple[Tensor, ...], seen: Pass) -> Head | None:
    """The layer whose output is the model's, with the features of all rows; None where there is none."""
    if seen.path is None or seen.features is None:
        return None
    layer = model.get_submodule(seen.path)
    assert isinstance(layer, nn.Linear)
    head = Head(seen.path, layer, seen.features)
    matrix = head.matrix()
    z = head.features @ matrix[:, :-1].T + matrix[:, -1]
    outputs = seen.outputs.reshape(len(seen.outputs), -1).double().cpu().numpy()
    return replace(head, linear=_same(z, outputs, seen.outputs.dtype) and _linear(model, head, inputs))


def _linear(model: nn.Module, head: Head, inputs: tuple[Tensor, ...]) -> bool:
    """Whether outputs stay features @ Wᵀ + b where W and b are others: no activation after it, no second use."""
    batch = tuple(part[:SEEN] for part in inputs)
    draw = torch.Generator().manual_seed(0)
    for sign in (1.0, -1.0):
        other = {}
        for name, value in zip(head.names, head.layer.parameters(recurse=False), strict=True):
            noise = torch.randn(value.shape, generator=draw, dtype=torch.float64).to(value)
            other[name] = sign * value.detach() + (value.detach().std(correction=0) + 0.1) * noise
        with torch.no_grad():
            seen = functional_call(model, other, batch).reshape(len(batch[0]), -1).double().cpu().numpy()
        w = other[head.names[0]].double().cpu().numpy()
        b = other[head.names[1]].double().cpu().numpy() if len(head.names) == 2 else 0.0
        if not _same(head.features[:SEEN] @ w.T + b, seen, head.layer.weight.dtype):
            return False
    return True


def _same(a: NDArray[np.float64], b: NDArray[np.float64], dtype: torch.dtype) -> bool:
    size = float(np.max(np.abs(b), initial=0.0)) or 1.0
    if not np.isfinite(size):
        return False
    return a.shape == b.shape and bool(np.max(np.abs(a - b), initial=0.0) <= tolerance(dtype) * size)


def read_features(model: nn.Module, path: str, inputs: tuple[Tensor, ...]) -> NDArray[np.float64]:
    """What the layer at this path reads for each row [n, d], in float64."""
    return _watched(model, path, inputs)[0]


def _watched(model: nn.Module, path: str, inputs: tuple[Tensor, ...]) -> tuple[NDArray[np.float64], Tensor]:
    """The same, and the outputs [n, …]."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        kept.append(given[0].detach().double().cpu())

    handle = model.get_submodule(path).register_forward_pre_hook(keep)
    try:
        outputs = outputs_of(model, inputs)
    finally:
        handle.remove()
    return np.asarray(torch.cat(kept).reshape(len(outputs), -1).numpy()), outputs


def _last(model: nn.Module, inputs: tuple[Tensor, ...]) -> str | None:
    """The path of the linear layer that runs once, on one vector a row, and whose output is the model's."""
    ran: dict[str, list[tuple[Tensor, Tensor]]] = {}
    handles = []
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward:

            def keep(_: nn.Module, given: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
                ran.setdefault(name, []).append((given[0].detach(), output.detach().clone()))

            handles.append(layer.register_forward_hook(keep))
    batch = tuple(part[:SEEN] for part in inputs)
    try:
        outputs = call(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    found = [
        name
        for name, calls in ran.items()
        if len(calls) == 1
        and calls[0][0].ndim == 2
        and len(calls[0][0]) == len(outputs)
        and torch.equal(calls[0][1].reshape(len(outputs), -1), outputs.reshape(len(outputs), -1))
    ]
    return found[-1] if found else None
