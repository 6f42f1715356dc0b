"""What a network reads of a training row, and what its head makes of it: pixels, and the way back to them.

One tensor of floating-point numbers [n, …]; what stands before the head is run with a graph for the rows asked about,
and for no others. Stands on torch and row_inputs; torch_linear makes it. Source: METHODS.md 9 (pixels: the VJP of f).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from upweight.adapters.row_inputs import Back, inside

__all__ = ["TorchRows", "torch_rows"]

ROWS = 64  # whose derivatives are asked for, the rows that pull most on what the head reads
GRAPHS = 16  # rows run with a graph at once
SEEN = 2_000_000  # numbers of a group that stand for all, its ends among them

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TorchRows:
    """Rows of one tensor as the model reads them; `path` is the head's."""

    model: nn.Module
    path: str
    inputs: Tensor  # [n, …]
    names: tuple[str, ...] = ()  # of columns, where the rows are a table

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return tuple(self.inputs.shape[1:])

    @property
    def columns(self) -> tuple[str, ...]:
        """Of a table; () of images and other arrays."""
        if len(self.shape) != 1:
            return ()
        return self.names or tuple(f"x{j}" for j in range(self.shape[0]))

    @property
    def movable(self) -> NDArray[np.bool_]:
        """All of them."""
        return np.ones(self._size, dtype=bool)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """Of a table each column its own; of an array its first axis, channels, where it has three."""
        if len(self.shape) == 1:
            return np.arange(self._size)
        channels = self.shape[0] if len(self.shape) == 3 else 1
        return np.repeat(np.arange(channels), self._size // channels)

    @property
    def at_most(self) -> int | None:
        """Each costs a pass through the network and back."""
        return ROWS

    def values(self, group: int) -> Floats:
        """Evenly spaced rows of it, and its least and greatest."""
        cells = torch.from_numpy(np.flatnonzero(self.groups == group)).to(self.inputs.device)
        flat = self.inputs.reshape(len(self.inputs), -1)
        own = flat if len(cells) == self._size else flat.index_select(1, cells)
        every = max(1, -(-own.numel() // SEEN))
        return _numbers(torch.cat([own[::every].reshape(-1), own.min()[None], own.max()[None]]))

    def cells(self, rows: NDArray[np.int64]) -> Floats:
        """[k, d] as they are."""
        at = torch.from_numpy(np.asarray(rows, dtype=np.int64)).to(self.inputs.device)
        return _numbers(self.inputs[at].reshape(len(rows), -1))

    def held(self, cells: Floats, low: Floats, high: Floats) -> Floats:
        """Rounded to the tensor's type, inside [low, high]."""
        if self.inputs.dtype == torch.float64:
            return cells
        rounded = self._tensor(cells).reshape(len(cells), -1)
        if self.inputs.dtype in (torch.float32, torch.float16):
            return inside(rounded.cpu().numpy(), low, high)
        return np.clip(_numbers(rounded), low, high)

    def slopes(self, rows: NDArray[np.int64], gradient: Floats) -> Floats:
        """[k, d]: vᵀ ∂f of these rows as they are."""
        parts = [np.zeros((0, self._size))]
        for start in range(0, len(rows), GRAPHS):
            part = slice(start, start + GRAPHS)
            parts.append(self.read(rows[part], self.cells(rows[part]))[1](gradient[part]))
        return np.concatenate(parts)

    def read(self, rows: NDArray[np.int64], cells: Floats) -> tuple[Floats, Back]:
        """The features of these cells [k, f], and vᵀ ∂f for any v, from the same pass."""
        leaf = self._tensor(cells).requires_grad_(True)
        kept: list[Tensor] = []

        def keep(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            kept.append(given[0])

        handle = self.model.get_submodule(self.path).register_forward_pre_hook(keep)
        try:
            with torch.enable_grad():
                self.model(leaf)
        finally:
            handle.remove()
        seen = kept[0]

        def back(gradient: Floats) -> Floats:
            v = torch.as_tensor(gradient).to(seen).reshape(seen.shape)
            (found,) = torch.autograd.grad(seen, leaf, v, retain_graph=True, materialize_grads=True)
            return _numbers(found.reshape(len(cells), -1))

        return _numbers(seen.reshape(len(cells), -1)), back

    def data(self, rows: NDArray[np.int64], cells: Floats) -> Tensor:
        """A tensor [k, …] of the training rows' type."""
        return self._tensor(cells)

    @property
    def _size(self) -> int:
        return int(np.prod(self.shape))

    def _tensor(self, cells: Floats) -> Tensor:
        return torch.as_tensor(cells).to(self.inputs).reshape(len(cells), *self.shape)


def torch_rows(model: nn.Module, path: str, inputs: tuple[Tensor, ...], names: Any) -> TorchRows | None:
    """None where rows are several tensors, or no numbers that could move."""
    if len(inputs) != 1 or not inputs[0].is_floating_point():
        return None
    return TorchRows(model, path, inputs[0].detach(), tuple(names or ()))


def _numbers(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().to("cpu", torch.float64).numpy())
