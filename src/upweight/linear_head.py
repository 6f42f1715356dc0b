"""The objective of every linear model and of every network's last layer: features, a layout, an output loss.

F(θ; w) = s Σ_i w_i ℓ(z_i, y_i) + (1 − s Σ removed shares) · ½ θᵀΛθ,   z_i = W x_i (constant column last)

Conventions, once for the whole library:
- `normalization` "sum": s = 1/n, a row that leaves takes no share of the penalty (LogisticRegression, Ridge);
  "mean": s = 1/Σw and it takes its w_i (GLMs); "rows": s = 1/n and it takes 1 whatever its weight (SGD).
- n never changes when rows leave; `shares` says what the refit's divisor loses with each row.
- penalty [c, D] is Λ's diagonal, part of H; numerical damping is the curvature's.
Stands on params, features, output_loss. Source: METHODS.md 1, 2.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from upweight.arrays import blocks, namespace
from upweight.features import Features
from upweight.output_loss import OutputLoss
from upweight.params import Params
from upweight.shapes import Array, Float

__all__ = ["LinearHead"]


@dataclass(frozen=True)
class LinearHead:
    """n rows, c outputs, p free parameters."""

    features: Features
    loss: OutputLoss
    targets: Array  # [n] or [n, c], encoded
    weights: Float[Array, " n"]
    params: Params
    penalty: Float[Array, "c D"]
    normalization: str  # "sum", "mean", "rows"
    linear_penalty: Float[Array, "c D"] | None = None  # fixed gradient of an L1 part on its support
    divisor: float | None = None  # 1/s where it is not that of these weights: rows have left, n stays

    @property
    def n(self) -> int:
        """Rows."""
        return self.features.rows

    @property
    def c(self) -> int:
        """Outputs."""
        return self.loss.outputs

    @cached_property
    def scale(self) -> float:
        """s: what multiplies the weighted sum of losses."""
        if self.divisor is not None:
            return 1.0 / self.divisor
        xp = namespace(self.weights)
        return 1.0 / float(xp.sum(self.weights)) if self.normalization == "mean" else 1.0 / self.n

    @cached_property
    def shares(self) -> Float[Array, " n"]:
        """What a refit's divisor loses with each row: 0, its weight, or 1."""
        xp = namespace(self.weights)
        if self.normalization == "sum":
            return xp.zeros_like(self.weights)
        return self.weights if self.normalization == "mean" else xp.ones_like(self.weights)

    @cached_property
    def penalty_gradient(self) -> Float[Array, " p"]:
        """Λθ (and the fixed gradient of an L1 part): what the penalty pulls with at θ."""
        pull = self.penalty * self.params.matrix
        if self.linear_penalty is not None:
            pull = pull + self.linear_penalty
        return self.params.collect(pull[None, ...])[0, ...]

    @cached_property
    def outputs(self) -> Float[Array, "n c"]:
        """z at θ for every row."""
        xp = namespace(self.weights)
        return xp.concat([self.features.matmul(self.params.matrix, rows) for rows in self.batches(1)], axis=0)

    @cached_property
    def output_gradients(self) -> Float[Array, "n c"]:
        """u_i = ∂ℓ_i/∂z, unweighted."""
        return self.loss.gradient(self.outputs, self.targets)

    @cached_property
    def gradient(self) -> Float[Array, " p"]:
        """∇F at θ: zero where the fit is stationary."""
        xp = namespace(self.weights)
        e = self.output_gradients * self.weights[:, None]
        total = xp.zeros_like(self.params.matrix)
        for rows in self.batches(1):
            total = total + self.features.rmatmul(e[rows, :], rows)
        return self.scale * self.params.collect(total[None, ...])[0, ...] + self.penalty_gradient

    @cached_property
    def value(self) -> float:
        """F at θ."""
        xp = namespace(self.weights)
        losses = self.loss.value(self.outputs, self.targets)
        theta = self.params.matrix
        penalty = 0.5 * xp.sum(self.penalty * theta**2)
        if self.linear_penalty is not None:
            penalty = penalty + xp.sum(self.linear_penalty * theta)
        return float(self.scale * xp.sum(self.weights * losses) + penalty)

    def at(self, vector: Float[Array, " p"]) -> "LinearHead":
        """The same objective at another θ."""
        return replace(self, params=self.params.at(vector))

    def without(self, keep: Float[Array, " n"]) -> tuple["LinearHead", float]:
        """The same rows with weights w · keep (0 where a row left), and the factor that its penalty keeps."""
        xp = namespace(self.weights)
        lost = float(xp.sum(self.shares * (1.0 - keep)))
        return replace(self, weights=self.weights * keep, divisor=1.0 / self.scale), 1.0 - self.scale * lost

    def batches(self, k: int) -> Iterator[slice]:
        """Row blocks for a pass with k sets of outputs at once."""
        return blocks(self.n, self.features.bytes_per_row() + 24.0 * k * self.c)
