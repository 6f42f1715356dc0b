"""Any loss of the user's as a head's loss: its value, gradient and curvature in the outputs, by autograd in float64.

Stands on output_loss; torch_loss builds it where the loss is none of ours. Rows are independent, so that one backward
pass gives every row's gradient, and c more their curvature.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upweight.output_loss import Softmax
from upweight.shapes import Array, Float

__all__ = ["AutodiffLoss"]


@dataclass(frozen=True, eq=False)
class AutodiffLoss:
    """`call` reads outputs [b, *shape] and targets [b, *target_shape]; here both are flat: [b, c], [b] or [b, t]."""

    call: Callable[[Tensor, Tensor], Tensor]
    shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    target_dtype: torch.dtype
    device: torch.device
    dtype: torch.dtype
    name: str
    unit: str
    outputs: int
    separate: bool = False
    probabilities: bool = False  # blind to the same shift of all outputs: softmax of them is what it reads
    null: NDArray[np.float64] | None = None
    smooth: bool = False  # not known
    concordance: float | None = None

    def value(self, z: Float[Array, "b c"], y: Array) -> Float[Array, " b"]:
        """The user's own loss."""
        with torch.no_grad():
            return _numpy(self._losses(self._leaf(z), y))

    def gradient(self, z: Float[Array, "b c"], y: Array) -> Float[Array, "b c"]:
        """One backward pass."""
        leaf = self._leaf(z)
        return _numpy(_slope(self._losses(leaf, y).sum(), leaf))

    def curvature(self, z: Float[Array, "b c"], y: Array) -> Float[Array, "b c c"]:
        """A backward pass for each output, symmetric to the bit."""
        leaf = self._leaf(z)
        with torch.enable_grad():
            losses = self._losses(leaf, y).sum()
            first = torch.autograd.grad(losses, leaf, create_graph=True, allow_unused=True)[0]
        if first is None or not first.requires_grad:  # linear in z
            return np.zeros((len(z), self.outputs, self.outputs))
        rows = [_slope(first[:, k].sum(), leaf, keep=True) for k in range(self.outputs)]
        full = _numpy(torch.stack(rows, dim=1))
        return 0.5 * (full + full.transpose(0, 2, 1))

    def predict(self, z: Float[Array, "b c"]) -> Float[Array, "b m"]:
        """Class probabilities where the loss reads them, else the outputs."""
        return Softmax(self.outputs).predict(z) if self.probabilities else z

    def predict_jacobian(self, z: Float[Array, "b c"]) -> Float[Array, "b m c"]:
        """∂ predict / ∂z."""
        if self.probabilities:
            return Softmax(self.outputs).predict_jacobian(z)
        return np.broadcast_to(np.eye(self.outputs), (len(z), self.outputs, self.outputs))

    @property
    def null_outputs(self) -> Float[Array, "m c"]:
        """Found numerically."""
        return np.zeros((0, self.outputs)) if self.null is None else self.null

    def _leaf(self, z: Array) -> Tensor:
        leaf = torch.tensor(np.asarray(z), dtype=self.dtype, device=self.device)
        return leaf.requires_grad_(True)

    def _losses(self, leaf: Tensor, y: Array) -> Tensor:
        targets = torch.as_tensor(np.asarray(y)).reshape(len(leaf), *self.target_shape)
        targets = targets.to(self.device, self.dtype if self.target_dtype.is_floating_point else self.target_dtype)
        with torch.enable_grad() if torch.is_grad_enabled() else torch.no_grad():
            return self.call(leaf.reshape(len(leaf), *self.shape), targets)


def _slope(total: Tensor, leaf: Tensor, keep: bool = False) -> Tensor:
    if not total.requires_grad:
        return torch.zeros_like(leaf)
    found = torch.autograd.grad(total, leaf, retain_graph=keep, allow_unused=True)[0]
    return torch.zeros_like(leaf) if found is None else found


def _numpy(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.detach().double().cpu().numpy())
