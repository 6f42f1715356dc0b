"""A network's objective at θ, its chosen parameters: F(θ; w) = s Σ_i w_i ℓ_i(θ) + ½ θᵀΛθ, and its first derivatives.

Conventions are the linear head's: "mean": s = 1/Σw, and a row that leaves takes its w_i of the penalty with it; "sum":
s = 1/n, and it takes none; n never changes. θ [p] is the chosen parameters one after another, in the order of
`named_parameters` (tied ones once); all others, and the buffers, stay at the values in `state`.
The module is called by `functional_call` and never changed; whether it is in evaluation mode is the adapter's business.
No result keeps a graph. Stands on derivatives; source: METHODS.md 1.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

from upweight.derivatives import differentiable, gradient, pulled
from upweight.shapes import Float

__all__ = ["Inputs", "Network", "RowLoss", "even_blocks"]

Inputs: TypeAlias = Tensor | tuple[Tensor, ...]
RowLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]

BATCH_BYTES = 2.0**27  # of activations and gradients alive in one batch
MEASURED_ROWS = 4  # a pass over so many says what a row takes


@dataclass(frozen=True, eq=False)
class Network:
    """n rows, c outputs, p chosen parameters. `inputs` and `targets` hold one row per entry of their first axis."""

    module: nn.Module
    row_loss: RowLoss  # (outputs, targets) -> [b], unweighted, without the penalty
    chosen: tuple[str, ...]
    inputs: Inputs  # on the parameters' device, as targets and weights
    targets: Tensor
    weights: Float[Tensor, " n"]
    penalty: Float[Tensor, " p"]  # Λ's diagonal
    normalization: str  # "mean", "sum"
    state: Mapping[str, Tensor] | None = None  # of all parameters and buffers; None: the module's own
    divisor: float | None = None  # 1/s where it is not that of these weights: rows have left, n stays
    batch_bytes: float = BATCH_BYTES

    # -- sizes ------------------------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.weights.shape[0])

    @cached_property
    def size(self) -> int:
        """p."""
        return sum(self._sizes)

    @cached_property
    def c(self) -> int:
        """Outputs of a row, over all their axes."""
        x, _ = self.batch(slice(0, min(2, self.n)))
        return prod(self.raw_outputs(self.vector, x).shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        """Type of θ and of all that is made of it."""
        return self.vector.dtype

    @property
    def device(self) -> torch.device:
        """Where all of it lies."""
        return self.vector.device

    @cached_property
    def scale(self) -> float:
        """s: what multiplies the weighted sum of losses."""
        if self.divisor is not None:
            return 1.0 / self.divisor
        return 1.0 / float(self.weights.sum(dtype=torch.float64)) if self.normalization == "mean" else 1.0 / self.n

    @cached_property
    def shares(self) -> Float[Tensor, " n"]:
        """What a refit's divisor loses with each row: its weight, or 0."""
        return self.weights if self.normalization == "mean" else torch.zeros_like(self.weights)

    # -- parameters -------------------------------------------------------------------------------------------------

    @cached_property
    def values(self) -> Mapping[str, Tensor]:
        """Every parameter and buffer by name, detached."""
        if self.state is not None:
            return self.state
        own = [*self.module.named_parameters(), *self.module.named_buffers()]
        return {name: value.detach() for name, value in own}

    @cached_property
    def vector(self) -> Float[Tensor, " p"]:
        """θ."""
        with torch.inference_mode(False):
            return torch.cat([self.values[name].detach().reshape(-1) for name in self.chosen])

    @cached_property
    def _sizes(self) -> list[int]:
        return [self.values[name].numel() for name in self.chosen]

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Shape of a chosen parameter."""
        return tuple(self.values[name].shape)

    def position(self, name: str) -> slice:
        """Where a chosen parameter lies in θ."""
        start = sum(self._sizes[: self.chosen.index(name)])
        return slice(start, start + self.values[name].numel())

    def pieces(self, vector: Float[Tensor, " p"]) -> dict[str, Tensor]:
        """The chosen parameters by name, cut from a vector."""
        parts = torch.split(vector, self._sizes)
        return {
            name: part.reshape(self.values[name].shape).to(self.values[name].dtype)
            for name, part in zip(self.chosen, parts, strict=True)
        }

    def at(self, vector: Float[Tensor, " p"]) -> "Network":
        """The same objective at another θ."""
        return self.with_state({**self.values, **self.pieces(vector.detach())})

    def with_state(self, state: Mapping[str, Tensor]) -> "Network":
        """The same objective with these values of all parameters and buffers."""
        return replace(self, state={name: value.detach() for name, value in state.items()})

    def without(self, keep: Float[Tensor, " n"]) -> tuple["Network", float]:
        """The same rows with weights w · keep (0 where a row left), and the factor that its penalty keeps."""
        lost = float((self.shares * (1.0 - keep)).sum())
        return replace(self, weights=self.weights * keep, divisor=1.0 / self.scale), 1.0 - self.scale * lost

    # -- rows -------------------------------------------------------------------------------------------------------

    def batch(self, rows: slice | Tensor) -> tuple[Inputs, Tensor]:
        """Inputs and targets of these rows."""
        inputs = tuple(part[rows] for part in self.inputs) if isinstance(self.inputs, tuple) else self.inputs[rows]
        return inputs, self.targets[rows]

    def raw_outputs(self, vector: Float[Tensor, " p"], x: Inputs) -> Tensor:
        """What the loss reads, in the module's own shape; a graph only where `vector` has one."""
        arguments = x if isinstance(x, tuple) else (x,)
        with differentiable(self.module, vector.device):
            found: Tensor = functional_call(self.module, {**self.values, **self.pieces(vector)}, arguments)
        return found

    def outputs(self, vector: Float[Tensor, " p"], x: Inputs) -> Float[Tensor, "b c"]:
        """The same with all axes but the first in one."""
        found = self.raw_outputs(vector, x)
        return found.reshape(found.shape[0], -1)

    def losses(self, vector: Float[Tensor, " p"], x: Inputs, y: Tensor) -> Float[Tensor, " b"]:
        """ℓ_i of these rows, unweighted, without the penalty."""
        raw = self.raw_outputs(vector, x)
        with torch.enable_grad():
            return self.row_loss(raw, y)

    def batches(self, k: int = 1) -> Iterator[slice]:
        """Row blocks of nearly one size for a pass with k vectors at once."""
        return even_blocks(self.n, self.batch_bytes / (self.bytes_per_row * (2 + k)))

    @cached_property
    def bytes_per_row(self) -> float:
        """What a gradient that can be differentiated again keeps of a row."""
        few = min(self.n, max(1, MEASURED_ROWS // 2))
        many = min(self.n, MEASURED_ROWS)
        kept = [self._kept_bytes(count) for count in {few, many}]
        return max(1.0, abs(kept[-1] - kept[0]) / (many - few) if many > few else kept[0] / many)

    def _kept_bytes(self, count: int) -> float:
        kept = [0.0]

        def pack(tensor: Tensor) -> Tensor:
            kept[0] += tensor.numel() * tensor.element_size()
            return tensor.detach()  # a node that holds its own output would never be freed

        x, y = self.batch(slice(0, count))
        leaf = self.leaf()
        with saved_tensors_hooks(pack, lambda tensor: tensor):
            losses = self.losses(leaf, x, y)
            gradient(losses, leaf, torch.ones_like(losses))
        return kept[0]

    def leaf(self) -> Float[Tensor, " p"]:
        """θ as a leaf to differentiate in."""
        with torch.inference_mode(False):
            return self.vector.clone().requires_grad_()

    # -- the objective ----------------------------------------------------------------------------------------------

    @cached_property
    def row_losses(self) -> Float[Tensor, " n"]:
        """ℓ_i at θ."""
        return torch.cat([self.losses(self.vector, *self.batch(rows)).detach() for rows in self.batches(0)])

    @cached_property
    def value(self) -> float:
        """F at θ."""
        penalty = 0.5 * (self.penalty * self.vector**2).sum(dtype=torch.float64)
        return float(self.scale * (self.weights * self.row_losses).sum(dtype=torch.float64) + penalty)

    @cached_property
    def penalty_gradient(self) -> Float[Tensor, " p"]:
        """Λθ."""
        return self.penalty * self.vector

    @cached_property
    def gradient(self) -> Float[Tensor, " p"]:
        """∇F at θ: zero where training has converged."""
        return self.scale * self.combine(self.weights[None, :])[0] + self.penalty_gradient

    def combine(self, e: Float[Tensor, "j n"]) -> Float[Tensor, "j p"]:
        """Σ_i e_i ∇ℓ_i, unweighted."""
        with differentiable(self.module, self.device):
            total = self.vector.new_zeros((e.shape[0], self.size))
            for rows in self.batches(e.shape[0]):
                leaf = self.leaf()
                total += pulled(self.losses(leaf, *self.batch(rows)), leaf, e[:, rows])
        return total


def even_blocks(n: int, most: float) -> Iterator[slice]:
    """Row slices of nearly one size, none larger than `most`: a last block of one row would meet squeezes."""
    count = max(1, -(-n // max(1, int(most))))
    for block in range(count if n else 0):
        yield slice(block * n // count, (block + 1) * n // count)
