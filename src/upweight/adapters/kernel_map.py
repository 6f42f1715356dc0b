"""Exact features of a kernel: φ(x) with φ(x)·φ(x′) = K(x, x′) on the training rows, so that a kernel model is a head.

Pivoted Cholesky K = ΦΦᵀ, stopped where what is left is rounding: r ≤ n pivot rows carry the rest, and a query is read
by K(x, pivots) and one triangular solve. What a query has outside the span of the training rows no fit on them sees.
Stands on scipy's LAPACK; the readers of kernel models stand on it. Source: METHODS.md 2.6, Harbrecht et al. (2012).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lapack, solve_triangular
from sklearn.metrics.pairwise import pairwise_kernels

from upweight.arrays import blocks
from upweight.errors import UnsupportedModel
from upweight.shapes import Array, Float

__all__ = ["KernelMap", "kernel_map", "named_kernel"]

MOST_ROWS = 10_000  # K and its factor take 1.6 GB there
INDEFINITE = 1e-8  # of K's largest entry: what ΦΦᵀ may miss of K

Kernel = Callable[[Any, Any], Array]


@dataclass(frozen=True)
class KernelMap:
    """Rows [b, d] -> φ [b, r]; `pivots` are positions of training rows, `lower` [r, r] the factor of their kernel."""

    kernel: Kernel
    pivots: Array
    rows: Any  # [r, d] the pivot rows
    lower: Float[Array, "r r"]

    def __call__(self, x: Any) -> Float[Array, "b r"]:
        """φ(x), block by block."""
        parts = [np.zeros((0, len(self.pivots)))]
        for some in blocks(x.shape[0], 32.0 * len(self.pivots)):
            k = self.kernel(x[some], self.rows)
            parts.append(solve_triangular(self.lower, k.T, lower=True, check_finite=False).T)
        return np.concatenate(parts)

    def dual(self, theta: Float[Array, "c r"]) -> Float[Array, "c r"]:
        """Weights of the pivot rows' kernels that give θ·φ(x)."""
        return np.asarray(solve_triangular(self.lower, theta.T, lower=True, trans="T", check_finite=False).T)

    @property
    def names(self) -> tuple[str, ...]:
        """Of φ's columns: each is what its pivot row adds to those before."""
        return tuple(f"direction of row {int(i)}" for i in self.pivots)


def named_kernel(name: str, **settings: Any) -> Kernel:
    """A kernel of scikit-learn by name."""

    def kernel(a: Any, b: Any) -> Array:
        a, b = a.astype(np.float64), b.astype(np.float64)
        return np.asarray(pairwise_kernels(a, b, metric=name, filter_params=True, **settings), dtype=np.float64)

    return kernel


def kernel_map(kernel: Kernel, x: Any, model: str, n: int) -> tuple[KernelMap, Float[Array, "n r"]]:
    """The map of these training rows, and φ of each of them.

    Raises: UnsupportedModel for more rows than K can be held for, and for a kernel that is not positive semidefinite
    on them, by the name of the model.
    """
    if n > MOST_ROWS:
        raise UnsupportedModel(
            f"{model} with a kernel on {n:,} rows needs their {n:,} × {n:,} kernel matrix; up to {MOST_ROWS:,} rows "
            "are read. Use a Pipeline of Nystroem and the linear form of this model (LinearSVC, Ridge)."
        )
    k = kernel(x, x)
    k = 0.5 * (k + k.T)
    factor, pivots, rank, _ = lapack.dpstrf(k, lower=1)
    pivots, rank = np.asarray(pivots) - 1, int(rank)
    lower = np.tril(factor)[:, :rank]
    phi = np.empty_like(lower)
    phi[pivots] = lower
    missed = max((float(np.max(np.abs(phi[s] @ phi.T - k[s]))) for s in blocks(n, 32.0 * n)), default=0.0)
    if not missed <= INDEFINITE * float(np.max(np.abs(k), initial=0.0)):
        raise UnsupportedModel(
            f"{model}: this kernel is not positive semidefinite on these rows (a factor of it misses {missed:.1e}), so "
            "it has no features and the fit no optimum. Use kernel='rbf', 'poly' or 'linear'."
        )
    kept = pivots[:rank]
    return KernelMap(kernel, kept, x[kept], np.ascontiguousarray(lower[:rank])), phi
