"""How far estimates agree with refits: correlation, rank, slope, sign, each with a bootstrap interval.

Source: METHODS.md 10. Intervals: percentile bootstrap, resampling whole queries where there are several, else rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["Comparison", "compare_with_refits", "pearson", "sign_agreement", "slope", "spearman"]

DRAWS = 2000


@dataclass(frozen=True)
class Comparison:
    """Point values and 95 % intervals; None where a value cannot be computed (no spread)."""

    pearson: float | None
    spearman: float | None
    slope: float | None
    signs: float | None
    intervals: dict[str, tuple[float, float]]
    pairs: int


def pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Pearson correlation; None without spread on both sides."""
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(np.clip(x @ y / size, -1.0, 1.0)) if size > 0 else None


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Rank correlation, ties at their mean rank."""
    return pearson(stats.rankdata(x), stats.rankdata(y))


def slope(estimate: NDArray[np.float64], truth: NDArray[np.float64]) -> float | None:
    """truth = slope × estimate, least squares through the origin: > 1 means the estimate is too small."""
    size = float(estimate @ estimate)
    return float(estimate @ truth / size) if size > 0 else None


def sign_agreement(estimate: NDArray[np.float64], truth: NDArray[np.float64], noise: float = 0.0) -> float | None:
    """Share of |truth| > noise whose sign was estimated right."""
    counted = np.abs(truth) > noise
    return float(np.mean(np.sign(estimate[counted]) == np.sign(truth[counted]))) if counted.any() else None


def compare_with_refits(
    estimate: NDArray[np.float64], truth: NDArray[np.float64], noise: float, generator: np.random.Generator
) -> Comparison:
    """All four for [q, r] estimates and refits."""
    q, r = estimate.shape
    measures = {
        "pearson": lambda e, t: pearson(e, t),
        "spearman": lambda e, t: spearman(e, t),
        "slope": lambda e, t: slope(e, t),
        "signs": lambda e, t: sign_agreement(e, t, noise),
    }
    points = {name: f(estimate.ravel(), truth.ravel()) for name, f in measures.items()}
    draws: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(DRAWS if q * r > 2 else 0):
        if q > 1:
            pick = generator.integers(q, size=q)
            e, t = estimate[pick].ravel(), truth[pick].ravel()
        else:
            pick = generator.integers(r, size=r)
            e, t = estimate[0, pick], truth[0, pick]
        for name, f in measures.items():
            value = f(e, t)
            if value is not None:
                draws[name].append(value)
    intervals = {
        name: (float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975)))
        for name, values in draws.items()
        if len(values) > DRAWS // 2
    }
    return Comparison(points["pearson"], points["spearman"], points["slope"], points["signs"], intervals, q * r)
