"""A network's rows under any perturbation of their data: how v·∇ℓ changes with it, and the transpose of that.

By the weight of a part: v·∇ℓ(x, y_part); by the inputs: ∂ₓ(v·∇ℓ), one more backward pass for each v. Inputs of any
shape are read as one axis [b, d]. Stands on network, derivatives and perturbation. Source: METHODS.md 1, 9.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from upweight.derivatives import along_rows, differentiable, gradient, pulled
from upweight.errors import UnsupportedQuestion
from upweight.network import Inputs, Network
from upweight.perturbation import Batch, Labels, Perturbation
from upweight.shapes import Array, Float

__all__ = ["PerturbedNetworkSource", "replaced_inputs"]


@dataclass(frozen=True)
class PerturbedNetworkSource:
    """A GradientSource with m numbers a row: θ moves by −s C⁻¹ Σ e_im ∂∇ℓ_i/∂ε_m."""

    network: Network
    perturbation: Perturbation
    rows: Tensor | None = None  # positions; None: all

    def __post_init__(self) -> None:
        if self.perturbation.moves_inputs:
            _only_numbers(self.network)
        if isinstance(self.perturbation, Labels):  # its arrays as this network's
            own = self.perturbation
            classes = torch.as_tensor(own.classes, device=self.network.device).to(self.network.targets.dtype)
            factors = torch.as_tensor(own.factors, device=self.network.device).to(self.network.dtype)
            object.__setattr__(self, "perturbation", replace(own, classes=classes, factors=factors))

    @property
    def n(self) -> int:
        """Rows."""
        return self.network.n if self.rows is None else int(self.rows.shape[0])

    @property
    def scale(self) -> float:
        """s: neither labels nor inputs change what a refit divides by."""
        return self.network.scale

    def said(self, vectors: Any) -> str:
        """Nothing: products are of the model's own type."""
        return ""

    def dot(self, vectors: Float[Tensor, "k p"]) -> Iterator[tuple[slice, Float[Array, "k b m"]]]:
        """∂(v · ∇ℓ_i)/∂ε in row blocks."""
        for rows, at in self._blocks(vectors.shape[0]):
            batch = self._batch(at)
            x, _ = self.network.batch(at)
            with differentiable(self.network.module, self.network.device):
                by_weight = [
                    self._along(x, y.reshape(batch.targets.shape), vectors) for y in self.perturbation.targets(batch)
                ]
                by_input = self._by_input(x, batch.targets, vectors) if self.perturbation.moves_inputs else None
            yield rows, self.perturbation.pull(batch, by_weight, by_input)

    def combine(self, e: Float[Tensor, "j r m"]) -> Float[Array, "j p"]:
        """Σ_i Σ_m e_im ∂∇ℓ_i/∂ε_m."""
        network = self.network
        total = network.vector.new_zeros((e.shape[0], network.size))
        for rows, at in self._blocks(e.shape[0]):
            batch = self._batch(at)
            x, _ = network.batch(at)
            tangent = self.perturbation.push(batch, e[:, rows, :])
            with differentiable(network.module, network.device):
                for weight, y in zip(tangent.weights, self.perturbation.targets(batch), strict=True):
                    leaf = network.leaf()
                    total += pulled(network.losses(leaf, x, y.reshape(batch.targets.shape)), leaf, weight)
                if tangent.inputs is not None:
                    leaf, read = network.leaf(), self._read(x)
                    slope = gradient(network.losses(leaf, read, batch.targets), read, batch.weights)
                    moved = tangent.inputs.reshape(e.shape[0], *slope.shape)
                    total += pulled(slope, leaf, moved)
        return total

    def _along(self, x: Any, y: Tensor, vectors: Tensor) -> Tensor:
        leaf = self.network.leaf()
        return along_rows(self.network.losses(leaf, x, y), leaf, vectors)

    def _by_input(self, x: Any, y: Tensor, vectors: Tensor) -> Float[Tensor, "k b d"]:
        leaf, read = self.network.leaf(), self._read(x)
        losses = self.network.losses(leaf, read, y)
        slope = gradient(losses, leaf, torch.ones_like(losses))
        return pulled(slope, read, vectors).reshape(len(vectors), len(losses), -1)  # rows do not mix

    @staticmethod
    def _read(x: Inputs) -> Tensor:
        assert isinstance(x, Tensor)  # refused before
        return x.detach().clone().requires_grad_()

    def _blocks(self, k: int) -> Iterator[tuple[slice, Tensor]]:
        where = torch.arange(self.network.n, device=self.network.device) if self.rows is None else self.rows
        step = max(1, int(self.network.batch_bytes / (self.network.bytes_per_row * (4 + 2 * k))))
        for start in range(0, len(where), step):
            rows = slice(start, min(start + step, len(where)))
            yield rows, where[rows]

    def _batch(self, at: Tensor) -> Batch:
        network = self.network
        read = network.inputs[0] if isinstance(network.inputs, tuple) else network.inputs
        return Batch(read[at].reshape(len(at), -1), network.targets[at], network.weights[at])


def replaced_inputs(network: Network, images: Float[Tensor, "k p"], rows: Tensor, inputs: Any) -> Float[Tensor, "k m"]:
    """−s w (v·∇ℓ(x′, y) − v·∇ℓ(x, y)): v's estimated change if row `rows`[m] read `inputs` [m] instead, finite.

    `images` are C⁻¹∇m.
    """
    x, y = network.batch(rows)
    with differentiable(network.module, network.device):

        def along(read: Any) -> Tensor:
            leaf = network.leaf()
            return along_rows(network.losses(leaf, read, y), leaf, images)

        then, now = along(inputs), along(x)
    return -network.scale * network.weights[rows] * (then - now)


def _only_numbers(network: Network) -> None:
    """Raises: UnsupportedQuestion where inputs have no derivative."""
    if isinstance(network.inputs, tuple):
        raise UnsupportedQuestion(
            f"features are asked of a model with one input, and this one takes {len(network.inputs)}. "
            "Ask about the rows: scores, group, reweight."
        )
    if not network.inputs.is_floating_point():
        raise UnsupportedQuestion(
            f"the inputs are {str(network.inputs.dtype).removeprefix('torch.')} (tokens or categories), which have no "
            "derivative. Ask about the rows: scores, group, reweight."
        )
