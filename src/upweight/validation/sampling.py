"""Which rows and groups a check removes: the largest, the smallest and random ones, so that no part goes unseen.

Stands on numpy. Source: METHODS.md 10 (top-only samples inflate the correlation).
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHOWN", "shown", "stratified", "stratified_groups"]

SHOWN = 10  # rows that a person reads: their leverage and drift are graded, and a check of 24 rows refits them all


def shown(values: NDArray[np.float64], rows: int = SHOWN) -> NDArray[np.int64]:
    """Positions of the rows [n] with the largest |scores| [q, n] over all queries, largest first."""
    smallest = -np.abs(values).sum(axis=0)
    if not 0 < rows < len(smallest):
        return np.argsort(smallest, kind="stable")[:rows]
    may = np.flatnonzero(smallest <= np.partition(smallest, rows - 1)[rows - 1])  # ties included: few are sorted
    return may[np.argsort(smallest[may], kind="stable")][:rows]


def stratified(values: NDArray[np.float64], rows: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Positions of rows to remove, ascending: two fifths the largest, a sixth the smallest, the rest at random."""
    n = values.shape[1]
    if n <= rows:
        return np.arange(n)
    order = shown(values, n)
    top, bottom = order[: -(-2 * rows // 5)], order[n - rows // 6 :]
    rest = order[len(top) : n - len(bottom)]
    drawn = generator.choice(rest, size=rows - len(top) - len(bottom), replace=False)
    return np.sort(np.concatenate([top, bottom, drawn]))


def stratified_groups(
    values: NDArray[np.float64], generator: np.random.Generator
) -> tuple[tuple[str, NDArray[np.int64]], ...]:
    """Groups to remove whole, a hundredth of the rows each: lowest and highest scores, and random ones; () if few."""
    n = values.shape[1]
    size = max(2, n // 100)
    if n < 4 * size:
        return ()
    order = np.argsort(values.sum(axis=0), kind="stable")
    return (
        ("whose removal lowers it most", order[:size]),
        ("whose removal raises it most", order[n - size :]),
        ("drawn at random", generator.choice(n, size=size, replace=False)),
    )
