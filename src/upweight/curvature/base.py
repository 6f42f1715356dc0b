"""What a curvature is: a symmetric [p, p] map of the whole objective at its θ, penalty included, and its damping.

Stands on shapes; solvers stand on it. What a solver needs beyond products it asks for by isinstance.
"""

from typing import Protocol, runtime_checkable

from upweight.shapes import Array, Float, Vectors

__all__ = [
    "Batched",
    "Curvature",
    "Dense",
    "Named",
    "Placed",
    "RootPlusDiagonal",
    "Rounded",
    "RowJacobians",
    "RowKernel",
    "WithDiagonal",
]


@runtime_checkable
class Curvature(Protocol):
    """H (+ δI); products alone."""

    @property
    def size(self) -> int:
        """p."""
        ...

    def matmul(self, vectors: Vectors) -> Vectors:
        """H v, row by row."""
        ...

    def damped(self, damping: float) -> "Curvature":
        """H + δI."""
        ...


@runtime_checkable
class Dense(Protocol):
    """A curvature that can be written out."""

    def dense(self) -> Float[Array, "p p"]:
        """The matrix."""
        ...


@runtime_checkable
class Batched(Protocol):
    """A curvature that is a mean over rows: products with a few rows estimate the whole without bias."""

    @property
    def rows(self) -> int:
        """n."""
        ...

    def matmul_rows(self, vectors: Vectors, rows: Array | slice) -> Vectors:
        """H v with the data part from these rows alone, scaled up by n / their number; penalty and damping whole."""
        ...


@runtime_checkable
class Named(Protocol):
    """A curvature that is not simply called the Hessian."""

    @property
    def name(self) -> str:
        """What sentences call it."""
        ...


@runtime_checkable
class Placed(Protocol):
    """A curvature that says what its vectors are made of; others take numpy's float64."""

    def blank(self, k: int) -> Vectors:
        """Zeros [k, p] of its own array library, type and device."""
        ...


@runtime_checkable
class Rounded(Protocol):
    """A curvature whose products over rows may be cheaper and less exact."""

    def rounded(self, bulk: str) -> Curvature:
        """The same map with products of this type ("float32"), summed over blocks of rows in the vectors' own."""
        ...


@runtime_checkable
class WithDiagonal(Protocol):
    """A curvature that knows its own diagonal."""

    def curvature_diagonal(self) -> Float[Array, " p"]:
        """H_jj."""
        ...


@runtime_checkable
class RootPlusDiagonal(Protocol):
    """H = diag(diagonal) + R Rᵀ + pin: the n-side of a linear head.

    R's columns fall into g groups of m that share no penalised parameter (c groups of n where outputs are fitted
    apart, else one group of n times the rank of a row's curvature), so that Rᵀ D⁺ R is block diagonal.
    """

    @property
    def diagonal(self) -> Float[Array, " p"]:
        """D: 0 where a parameter is not penalised."""
        ...

    @property
    def size(self) -> int:
        """p."""
        ...

    def matmul(self, vectors: Vectors) -> Vectors:
        """H v."""
        ...

    def root(self, v: Float[Array, "k g m"]) -> Vectors:
        """R v."""
        ...

    def root_transpose(self, v: Vectors) -> Float[Array, "k g m"]:
        """Rᵀ v."""
        ...

    def gram(self) -> Float[Array, "g m m"]:
        """The blocks of Rᵀ D⁺ R over the penalised parameters alone (D⁺: 1/diagonal, 0 where it is 0)."""
        ...

    def pinned(self, vectors: Vectors) -> Vectors:
        """γ times the part in directions that neither data nor penalty see; 0 where there are none."""
        ...


@runtime_checkable
class RowJacobians(Protocol):
    """A curvature whose rows act through a few linear outputs each: what leverages are made of."""

    @property
    def rows(self) -> int:
        """n."""
        ...

    def row_jacobians(self, rows: Array) -> Float[Array, "r c p"]:
        """X_i of these rows, written out."""
        ...

    def row_outputs(self, vectors: Vectors) -> Float[Array, "k n c"]:
        """X_i v: how every row's outputs move along v."""
        ...

    def unseen_outputs(self) -> Float[Array, "m c"]:
        """Directions of a row's outputs that no target sees: leverages are known up to these."""
        ...

    def loss_scale(self) -> float:
        """s: what multiplies the weighted sum of losses."""
        ...


@runtime_checkable
class RowKernel(RowJacobians, Protocol):
    """What leverages need of the n-side. o outputs a group: 1 where outputs are fitted apart, else c."""

    def root_kernel(self) -> Float[Array, "g m n o"]:
        """Rᵀ D⁺ Xᵀ, group by group."""
        ...

    def row_kernel(self) -> Float[Array, "n c"]:
        """Diagonal of X_i D⁺ X_iᵀ, which has no other entries."""
        ...
