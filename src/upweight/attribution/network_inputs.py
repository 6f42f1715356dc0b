"""Queries of a network, on its device: one tensor, or several that the module takes together.

Stands on network; the torch adapters make them, a network's attribution reads them.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upweight.network import Inputs

__all__ = ["NetworkInputs", "flat", "numbers", "parts_of"]


class NetworkInputs:
    """q queries along the first axis of each tensor."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    @property
    def rows(self) -> int:
        """How many."""
        return int(parts_of(self.inputs)[0].shape[0])

    def some(self, at: NDArray[np.int64]) -> "NetworkInputs":
        """These of them."""
        rows = torch.from_numpy(np.asarray(at, dtype=np.int64))
        taken = tuple(part[rows.to(part.device)] for part in parts_of(self.inputs))
        return NetworkInputs(taken if isinstance(self.inputs, tuple) else taken[0])


def parts_of(inputs: Inputs) -> tuple[Tensor, ...]:
    """Its tensors, one or several."""
    return inputs if isinstance(inputs, tuple) else (inputs,)


def flat(inputs: Inputs) -> NDArray[np.float64] | None:
    """[n, d], all axes but the first in one; None where inputs are several, or no numbers."""
    if isinstance(inputs, tuple) or not inputs.is_floating_point():
        return None
    return numbers(inputs.reshape(inputs.shape[0], -1))


def numbers(tensor: Tensor) -> NDArray[np.float64]:
    """On the CPU, in float64."""
    return np.asarray(tensor.detach().to("cpu", torch.float64).numpy())
