"""Correlation, rank, slope, sign and their intervals, against scipy and planted truths."""

import numpy as np
import pytest
from scipy import stats

from upweight.validation.metrics import (
    compare_with_refits,
    counted,
    pearson,
    row_errors,
    settled,
    sign_agreement,
    slope,
    spearman,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def planted(seed: int, q: int = 1, r: int = 24, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Refits that are 1.2 times the estimate, with noise."""
    estimate = rng(seed).normal(size=(q, r))
    return estimate, 1.2 * estimate + noise * rng(seed + 1).normal(size=(q, r))


def test_against_scipy() -> None:
    """Pearson, Spearman with ties, and least squares through the origin, to rounding."""
    x, y = (a[0] for a in planted(0))
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    tied_x, tied_y = np.round(x), np.round(y)
    assert spearman(tied_x, tied_y) == pytest.approx(stats.spearmanr(tied_x, tied_y).statistic, abs=1e-12)
    assert slope(x, y) == pytest.approx(np.linalg.lstsq(x[:, None], y, rcond=None)[0][0], abs=1e-12)


def test_planted_agreement() -> None:
    """A perfect estimate scores 1 four times; its negative −1, −1, −1 and no sign right."""
    estimate, _ = planted(1, q=2)
    same = compare_with_refits(estimate, estimate, np.zeros(2), rng())
    assert (same.pearson, same.spearman, same.slope, same.signs) == pytest.approx((1.0, 1.0, 1.0, 1.0))
    turned = compare_with_refits(estimate, -estimate, np.zeros(2), rng())
    assert (turned.pearson, turned.spearman, turned.slope, turned.signs) == pytest.approx((-1.0, -1.0, -1.0, 0.0))


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1.0, 1e100])
def test_unit_does_not_matter(scale: float) -> None:
    """Every value is the same in any unit, however large or small: nothing overflows, nothing underflows."""
    estimate, truth = planted(2)
    one = compare_with_refits(estimate, truth, np.zeros(1), rng())
    other = compare_with_refits(scale * estimate, scale * truth, np.zeros(1), rng())
    for name in ("pearson", "spearman", "slope", "signs"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-9)
        assert other.intervals[name] == pytest.approx(one.intervals[name], rel=1e-9)


def test_signs_count_only_what_matters() -> None:
    """Refits below their query's noise, or below 1 % of its largest, have no sign to be right about."""
    truth = np.asarray([[1.0, -0.5, 0.009, -0.2], [1e-4, 2e-4, -1e-4, 5e-7]])
    assert counted(truth, np.asarray([0.3, 0.0])).tolist() == [[True, True, False, False], [True, True, True, False]]
    estimate = np.asarray([[1.0, -0.5, -0.1, 0.2], [1e-4, 2e-4, 1e-4, -5e-7]])
    comparison = compare_with_refits(estimate, truth, np.asarray([0.3, 0.0]), rng())
    assert comparison.counted == 5
    assert comparison.signs == pytest.approx(4 / 5)
    assert sign_agreement(estimate[0], truth[0], np.zeros(4, dtype=bool)) is None


def test_ties_by_rounding_are_ties() -> None:
    """Duplicated rows differ by rounding only: they share a rank, and the rank correlation is 1."""
    values = np.repeat([-3.0, 0.5, 2.0], 8)
    jitter = 1e-12 * rng().normal(size=(2, 24))
    assert np.unique(settled(values + jitter[0])).size == 3
    comparison = compare_with_refits((values + jitter[0])[None], (values + jitter[1])[None], np.zeros(1), rng())
    assert comparison.spearman == pytest.approx(1.0, abs=1e-12)
    assert stats.spearmanr(values + jitter[0], values + jitter[1]).statistic < 0.99


@pytest.mark.parametrize(
    ("estimate", "truth", "missing"),
    [
        ([[0.0, 0.0, 0.0]], [[1.0, 2.0, 3.0]], {"pearson", "spearman", "slope"}),
        ([[1.0, 2.0, 3.0]], [[0.0, 0.0, 0.0]], {"pearson", "spearman", "signs"}),
        ([[0.1, 0.1, 0.1]], [[0.1, 0.1, 0.1]], {"pearson", "spearman"}),
        ([[1.0]], [[2.0]], {"pearson", "spearman"}),
        ([[]], [[]], {"pearson", "spearman", "slope", "signs"}),
    ],
    ids=["flat estimates", "flat refits", "flat both", "one pair", "none"],
)
def test_what_cannot_be_computed_is_absent(
    estimate: list[list[float]], truth: list[list[float]], missing: set[str]
) -> None:
    """Absent with its reason, never NaN; what can be computed is there."""
    found = compare_with_refits(np.asarray(estimate), np.asarray(truth), np.zeros(1), rng())
    assert set(found.reasons) == missing
    assert all(found.reasons.values())
    for name in ("pearson", "spearman", "slope", "signs"):
        value = getattr(found, name)
        assert (value is None) == (name in missing)
        assert value is None or np.isfinite(value)
    assert all(np.isfinite(span).all() for span in found.intervals.values())


def test_intervals_depend_on_the_generator_alone() -> None:
    """The same seed gives the same intervals to the bit; another seed others, close by."""
    estimate, truth = planted(3, q=2)
    one, two, other = (compare_with_refits(estimate, truth, np.zeros(2), rng(s)) for s in (5, 5, 6))
    assert one == two
    assert one.intervals != other.intervals
    assert one.intervals["slope"] == pytest.approx(other.intervals["slope"], abs=0.02)


@pytest.mark.parametrize("name", ["pearson", "slope"])
def test_bootstrap_covers_the_truth(name: str) -> None:
    """Of 200 samples of 40 rows, the 95 % interval holds the planted value in 89 to 99 %.

    The percentile bootstrap is a little short at 40 rows; 1.5 % is the standard error of the share.
    """
    truth_of = {"slope": 1.2, "pearson": 1.2 / np.hypot(1.2, 0.3)}
    inside = 0
    for seed in range(200):
        estimate, truth = planted(2 * seed, r=40)
        low, high = compare_with_refits(estimate, truth, np.zeros(1), rng(seed), draws=400).intervals[name]
        inside += low <= truth_of[name] <= high
    assert 0.89 <= inside / 200 <= 0.99


def test_queries_are_drawn_once_there_are_many() -> None:
    """With a slope of its own for each query, drawing queries widens the interval; two queries are taken as given."""
    slopes = rng(7).uniform(0.5, 1.5, size=(40, 1))
    estimate = rng(8).normal(size=(40, 50))
    low, high = compare_with_refits(estimate, slopes * estimate, np.zeros(40), rng(9)).intervals["slope"]
    assert high - low > 0.12  # 3.9 standard errors of a mean of 40 such slopes: 0.18; rows alone: under 0.04
    low, high = compare_with_refits(estimate[:2], slopes[:2] * estimate[:2], np.zeros(2), rng(9)).intervals["slope"]
    assert high - low < 0.1


def test_row_errors() -> None:
    """Each row's error over all queries, as a share of its effect; a row without effect cannot be far off."""
    truth = np.asarray([[3.0, 0.5, 0.0], [4.0, -0.5, 0.0]])
    estimate = np.asarray([[3.0, 0.5, 0.01], [3.5, -0.5, 0.0]])
    assert row_errors(estimate, truth) == pytest.approx([0.1, 0.0, 0.01 / (0.05 * 5.0)])
    assert row_errors(np.ones((1, 2)), np.zeros((1, 2))).tolist() == [1.0, 1.0]
