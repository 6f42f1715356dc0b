"""How well an order finds what it should, against scikit-learn's own and by hand."""

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.metrics import average_precision_score, roc_auc_score

from upweight.validation.detection import area, average_precision, found_early, found_within, interval


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_precision_and_area_are_those_of_scikit_learn(seed: int, ties: bool) -> None:
    """With ties too: rows of one value come in together."""
    random = np.random.default_rng(seed)
    score = random.integers(0, 6, 50).astype(float) if ties else random.normal(size=50)
    wanted = random.uniform(size=50) < 0.2
    assert average_precision(score, wanted) == pytest.approx(average_precision_score(wanted, score), abs=1e-12)
    assert area(score, wanted) == pytest.approx(roc_auc_score(wanted, score), abs=1e-12)


def test_nothing_wanted_is_refused() -> None:
    """There is no precision of nothing."""
    with pytest.raises(ValueError, match="no row is wanted"):
        average_precision(np.zeros(3), np.zeros(3, dtype=bool))


def test_found_early_is_the_mean_over_budgets() -> None:
    """Of what is found within each; a tie counts at its middle."""
    random = np.random.default_rng(0)
    score, wanted = random.normal(size=2000), random.uniform(size=2000) < 0.1
    order = np.argsort(-score)
    budgets = (np.arange(600) + 0.5) / 2000
    by_hand = np.mean([found_within(order, wanted, b) for b in budgets])
    assert found_early(score, wanted, 0.3) == pytest.approx(by_hand, abs=2e-3)
    assert found_early(np.zeros(4), np.asarray([True, False, False, False]), 1.0) == pytest.approx(0.5)


def test_found_within_a_budget() -> None:
    """Of four wanted rows, three are among the first half."""
    wanted = np.asarray([True, True, False, True, False, True, False, False])
    assert found_within(np.arange(8), wanted, 0.5) == 0.75
    assert found_within(np.arange(8)[::-1], wanted, 0.25) == 0.0


@pytest.mark.parametrize("k", [3, 6, 31, 40])
def test_interval_is_students(k: int) -> None:
    """Beyond 31 repeats the normal's, 4 % narrower at most."""
    values = np.random.default_rng(0).normal(size=k)
    mean, low, high = interval(values)
    half = student.ppf(0.975, k - 1) * values.std(ddof=1) / k**0.5
    assert (low + high) / 2 == pytest.approx(mean)
    assert high - mean == pytest.approx(half, rel=1e-3 if k <= 31 else 0.04)


def test_two_repeats_have_no_interval() -> None:
    """A mean, and ends that are not numbers."""
    assert np.isnan(interval(np.asarray([1.0, 2.0]))[1:]).all()
