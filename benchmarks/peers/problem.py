"""The one problem that every peer is asked: an L2-penalised softmax (or binary logistic) regression, fitted.

Stands on numpy alone, so it loads in upweight's environment and in each peer's; every file here stands on it.

The caller writes an .npz with
    X_train  float [n, d]        y_train  int [n], labels 0 .. c-1
    X_query  float [q, d]        y_query  int [q]
    W        float64 [c, d]      b        float64 [c], the intercepts, free of the penalty
    lam      float               F = (1/n) sum log loss + (lam / 2) ||W||^2, as scikit-learn with C = 1 / (lam n)
A binary problem has one logit: W [1, d], b [1], labels 0 and 1.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARRAYS = ("X_train", "y_train", "X_query", "y_query", "W", "b", "lam")


@dataclass(frozen=True)
class Problem:
    """Rows, queries and the fitted parameters; shapes as in the module's docstring."""

    X_train: NDArray[np.floating]
    y_train: NDArray[np.int64]
    X_query: NDArray[np.floating]
    y_query: NDArray[np.int64]
    W: NDArray[np.float64]
    b: NDArray[np.float64]
    lam: float

    @property
    def binary(self) -> bool:
        return len(self.W) == 1

    def take(self, rows: int | None = None, queries: int | None = None) -> "Problem":
        """The same parameters over the first rows and queries; the curvature is then that of these rows."""
        return replace(
            self,
            X_train=self.X_train[:rows],
            y_train=self.y_train[:rows],
            X_query=self.X_query[:queries],
            y_query=self.y_query[:queries],
        )


def load(path: Path, dtype: Any = np.float32) -> Problem:
    """The problem in an .npz, rows and queries in `dtype`. Raises: SystemExit naming the file and what it lacks."""
    with np.load(path) as file:
        missing = [name for name in ARRAYS if name not in file]
        if missing:
            raise SystemExit(f"{path}: lacks {', '.join(missing)}. Write it as benchmarks/peers/problem.py says.")
        held: dict[str, Any] = {name: file[name] for name in ARRAYS}
    for name in ("X_train", "X_query"):
        held[name] = np.ascontiguousarray(held[name], dtype=dtype)
    for name in ("y_train", "y_query"):
        held[name] = held[name].astype(np.int64)
    return Problem(**(held | {"lam": float(held["lam"])}))
