"""How far estimates agree with refits: correlation, rank, slope, sign, each with a bootstrap interval.

Stands on numpy. Intervals: percentile bootstrap over the removed rows, since the queries are given and the
rows are a sample; queries are drawn too once there are enough of them to stand for others. Source: METHODS.md 10.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Comparison",
    "compare_with_refits",
    "counted",
    "pearson",
    "row_errors",
    "settled",
    "sign_agreement",
    "slope",
    "spearman",
]

Values = NDArray[np.float64]

DRAWS = 2000
PAIRS_AT_ONCE = 500_000  # resampled pairs held at a time
PAIRS_IN_ALL = 10_000_000  # beyond it fewer draws: ten thousand pairs need no 2,000
QUERIES_DRAWN = 8  # so many queries or more are resampled as well
ROUNDING = 1e-7  # of the largest: a refit ends this close to its optimum, so smaller differences are ties
NEGLIGIBLE = 0.01  # of the largest refit of a query: the sign of less decides nothing
NEGLIGIBLE_ROW = 0.05


@dataclass(frozen=True)
class Comparison:
    """Point values and 95 % intervals; None where a value cannot be computed, with the reason under its name."""

    pearson: float | None
    spearman: float | None
    slope: float | None
    signs: float | None
    counted: int  # refits whose sign was compared
    pairs: int
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def pearson(x: Values, y: Values) -> float | None:
    """Pearson correlation; None without spread on both sides."""
    return _only(_pearson(x[None], y[None]))


def spearman(x: Values, y: Values) -> float | None:
    """Rank correlation, ties at their mean rank; None without spread on both sides."""
    return _only(_spearman(_codes(x)[None], _codes(y)[None]))


def slope(estimate: Values, truth: Values) -> float | None:
    """truth = slope × estimate, least squares through the origin: > 1 means the estimate is too small."""
    return _only(_slope(estimate[None], truth[None]))


def sign_agreement(estimate: Values, truth: Values, matters: NDArray[np.bool_]) -> float | None:
    """Share of the refits that matter whose sign was estimated right; None where none does."""
    return _only(_signs(estimate[None], truth[None], matters[None]))


def counted(truth: Values, noise: Values) -> NDArray[np.bool_]:
    """[q, r]: refits above their query's noise [q] and above 1 % of its largest refit: those whose sign matters."""
    size: Values = np.abs(truth)
    above: NDArray[np.bool_] = size > np.maximum(noise, NEGLIGIBLE * size.max(axis=1, initial=0.0))[:, None]
    return above


def row_errors(estimate: Values, truth: Values) -> Values:
    """[r]: how far each row's estimates are from its refits over all queries [q, r], as a share of its refits.

    A row with hardly any effect is measured against a twentieth of the largest, so that it cannot be off by much.
    """
    size: Values = np.linalg.norm(truth, axis=0)
    off: Values = np.linalg.norm(estimate - truth, axis=0)
    least = NEGLIGIBLE_ROW * float(size.max(initial=0.0))
    return off / np.where(size > least, size, least if least > 0 else 1.0)


def settled(x: Values) -> Values:
    """The values with differences of rounding taken out: neighbours closer than that share their mean."""
    order = np.argsort(x, kind="stable")
    gaps = np.diff(x[order]) > ROUNDING * np.max(np.abs(x), initial=0.0)
    group = np.concatenate([[0], np.cumsum(gaps)]) if len(x) else np.zeros(0, dtype=int)
    means = np.bincount(group, x[order]) / np.bincount(group) if len(x) else x
    out = np.empty_like(x)
    out[order] = means[group]
    return out


def compare_with_refits(
    estimate: Values, truth: Values, noise: Values, generator: np.random.Generator, draws: int = DRAWS
) -> Comparison:
    """All four for estimates and refits [q, r] in the measurement's unit; noise [q]: below it a refit has no sign."""
    q, r = estimate.shape
    matters = counted(truth, noise)
    arrays = (
        estimate,
        truth,
        _codes(np.concatenate([settled(x) for x in estimate]) if q else estimate.ravel()),
        _codes(np.concatenate([settled(x) for x in truth]) if q else truth.ravel()),
        matters,
    )
    measures: dict[str, Callable[..., Values]] = {
        "pearson": lambda e, t, _, __, ___: _pearson(e, t),
        "spearman": lambda _, __, e, t, ___: _spearman(e, t),
        "slope": lambda e, t, _, __, ___: _slope(e, t),
        "signs": lambda e, t, _, __, m: _signs(e, t, m),
    }
    flat = [a.reshape(1, -1) for a in arrays]
    points = {name: _only(f(*flat)) for name, f in measures.items()}
    found: dict[str, list[Values]] = {name: [] for name in measures}
    for pick in _picks(q, r, draws, generator):
        drawn = [a.ravel()[pick] for a in arrays]
        for name, f in measures.items():
            found[name].append(f(*drawn))
    return Comparison(
        points["pearson"],
        points["spearman"],
        points["slope"],
        points["signs"],
        counted=int(matters.sum()),
        pairs=q * r,
        intervals=_intervals(found, points),
        reasons={name: _why(name, estimate, truth) for name, value in points.items() if value is None},
    )


def _picks(q: int, r: int, draws: int, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Positions in a raveled [q, r], a draw a row: rows resampled whole (all queries), queries where they are many."""
    if q == 0 or r < 3:
        return
    left = max(200, min(draws, PAIRS_IN_ALL // (q * r)))
    while left > 0:
        now = min(left, max(1, PAIRS_AT_ONCE // (q * r)))
        rows = generator.integers(r, size=(now, 1, r))
        queries = generator.integers(q, size=(now, q, 1)) if q >= QUERIES_DRAWN else np.arange(q)[None, :, None]
        yield (queries * r + rows).reshape(now, -1)
        left -= now


def _intervals(found: dict[str, list[Values]], points: dict[str, float | None]) -> dict[str, tuple[float, float]]:
    """95 %, where the value exists in more than half of the draws."""
    out = {}
    for name, parts in found.items():
        values = np.concatenate(parts) if parts else np.zeros(0)
        good = values[np.isfinite(values)]
        if points[name] is not None and len(good) > len(values) / 2:
            out[name] = (float(np.quantile(good, 0.025)), float(np.quantile(good, 0.975)))
    return out


def _why(name: str, estimate: Values, truth: Values) -> str:
    if truth.size < 2:
        return f"{truth.size} refit{'s' if truth.size != 1 else ''} to compare"
    if name == "signs":
        return "no refit stands above the noise"
    if name == "slope":
        return "all estimates are 0"
    return "the estimates do not differ" if np.ptp(estimate) == 0 else "the refits do not differ"


def _only(value: Values) -> float | None:
    """The one value, or None where it is not a number."""
    return float(value[0]) if np.isfinite(value[0]) else None


def _quotient(above: Values, below: Values) -> Values:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)


def _pearson(x: Values, y: Values) -> Values:
    """Of each row [b, m] -> [b]; NaN inside this file only."""
    if x.shape[1] < 2:
        return np.full(len(x), np.nan)
    x, y = _centred(x), _centred(y)
    return np.clip(_quotient((x * y).sum(axis=1), np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))), -1.0, 1.0)


def _centred(x: Values) -> Values:
    """x less its mean, in units of its largest, so that squares neither overflow nor vanish; 0 where it is flat."""
    flat = np.ptp(x, axis=1) == 0  # the mean of equal numbers may differ from them by rounding
    x = np.where(flat[:, None], 0.0, x - x.mean(axis=1, keepdims=True))
    size = np.max(np.abs(x), axis=1, keepdims=True)
    return x / np.where(size > 0, size, 1.0)


def _spearman(x: NDArray[np.int64], y: NDArray[np.int64]) -> Values:
    return _pearson(_ranks(x), _ranks(y))


def _codes(x: Values) -> NDArray[np.int64]:
    """The place of each value among the different ones, ascending: ranks of a resample come from counts, unsorted."""
    return np.unique(x, return_inverse=True)[1].astype(np.int64)


def _ranks(codes: NDArray[np.int64]) -> Values:
    """Mean ranks in each row of [b, m]."""
    b, k = len(codes), int(codes.max(initial=0)) + 1
    at = codes + k * np.arange(b)[:, None]
    counts = np.bincount(at.ravel(), minlength=b * k).reshape(b, k)
    means = np.cumsum(counts, axis=1) - 0.5 * (counts - 1)
    ranks: Values = means.ravel()[at]
    return ranks


def _slope(estimate: Values, truth: Values) -> Values:
    size = np.max(np.abs(estimate), axis=1, keepdims=True, initial=0.0)
    unit = estimate / np.where(size > 0, size, 1.0)
    return _quotient((unit * truth).sum(axis=1), (unit**2).sum(axis=1)) / np.where(size > 0, size, 1.0)[:, 0]


def _signs(estimate: Values, truth: Values, matters: NDArray[np.bool_]) -> Values:
    right = (np.sign(estimate) == np.sign(truth)) & matters
    return _quotient(right.sum(axis=1).astype(float), matters.sum(axis=1).astype(float))
