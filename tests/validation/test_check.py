"""The check end to end: what it holds, what it says, what it does with input that cannot be compared."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

from tests.validation.cases import Asked, alone, classes, fitted, regression, table
from upweight import Influence
from upweight.errors import InputError
from upweight.questions import own_solver
from upweight.validation.check import Check, size_rank


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def checked(asked: Asked, **settings: Any) -> Check:
    return asked.influence.check(asked.x, asked.y, **settings)


def text(check: Check) -> str:
    """As printed, on one line."""
    return " ".join(str(check).split())


def test_ridge_refits_are_real() -> None:
    """Each refit equals scikit-learn's own Ridge without that row, to 1e-9 of the largest effect."""
    asked = regression(Ridge(), 40)
    check = checked(asked)
    x, y = asked.influence.adapted.rows, asked.influence.adapted.labels

    def losses(keep: Any) -> Any:
        return 0.5 * (Ridge().fit(x[keep], y[keep]).predict(asked.x) - asked.y) ** 2

    everything = np.arange(len(x))
    own = np.stack([losses(everything != row) - losses(everything >= 0) for row in check.row_ids], axis=1)
    np.testing.assert_allclose(check.refit, own, atol=1e-9 * np.abs(own).max())
    np.testing.assert_allclose(check.estimate, own, atol=1e-9 * np.abs(own).max())
    assert check.base == pytest.approx(losses(everything >= 0))


def test_attributes() -> None:
    """pearson, spearman, slope, signs, noise floor and grade are those of the pairs that it holds."""
    check = checked(classes(LogisticRegression(), 41))
    assert check.estimate.shape == check.refit.shape == (3, 24)
    assert check.pearson == pytest.approx(stats.pearsonr(check.estimate.ravel(), check.refit.ravel()).statistic)
    assert check.spearman == pytest.approx(stats.spearmanr(check.estimate.ravel(), check.refit.ravel()).statistic)
    assert check.slope == pytest.approx(1.0, abs=0.03)
    assert check.signs == 1.0
    assert 0 < check.noise_floor < 0.1 * np.abs(check.refit).max()
    assert check.grade.checked
    names = [name for name, _ in check.ranking]
    assert names == ["these estimates", "similar columns", "the row's own loss"]
    assert check.ranking[0][1] > max(rank for _, rank in check.ranking[1:])


def test_noise_floor_is_the_distance_to_the_optimum() -> None:
    """0 for a direct solver; for a loose one what a tighter fit of the same rows changes, to 1 %."""
    assert checked(regression(Ridge(), 42)).noise_floor == pytest.approx(0.0, abs=1e-12)
    asked = classes(LogisticRegression(tol=1e-2), 43)
    adapted = asked.influence.adapted
    tight = LogisticRegression(tol=1e-12, max_iter=1000).fit(adapted.rows, adapted.labels)
    loose = LogisticRegression(tol=1e-2).fit(adapted.rows, adapted.labels)

    def losses(model: Any) -> Any:
        return -np.log(model.predict_proba(asked.x)[np.arange(3), asked.y])

    assert checked(asked).noise.floor == pytest.approx(np.abs(losses(loose) - losses(tight)), rel=0.01, abs=1e-9)


def test_seed_decides_everything() -> None:
    """The same seed gives the same check to the bit; another seed removes other rows."""
    one, two, other = (checked(classes(LogisticRegression(), 44), seed=s) for s in (0, 0, 1))
    assert one.row_ids == two.row_ids != other.row_ids
    assert one.comparison == two.comparison
    assert one.groups == two.groups
    assert str(one) == str(two)
    assert one.noise.gap == two.noise.gap


@pytest.mark.parametrize("measurement", ["loss", "prob", "log_prob", "margin", "prediction", "parameter:x1"])
def test_every_measurement_is_checked(measurement: str) -> None:
    """Every named measurement ends in an A on a healthy model, its own solver compared."""
    asked = classes(LogisticRegression(), 45)
    if measurement.startswith("parameter"):
        check = asked.influence.check(measurement=measurement)
        assert [name for name, _ in check.ranking] == ["these estimates", "the row's own loss"]
    else:
        check = checked(asked, measurement=measurement)
    assert check.grade.letter == "A"
    assert check.noise.gap is not None
    assert "nan" not in text(check).lower().split()


def test_function_of_all_predictions_is_checked() -> None:
    """A callable over the whole set has one value a row, no baseline of similarity, and a grade."""
    asked = classes(LogisticRegression(), 46)
    check = checked(asked, measurement=lambda p, y: float(np.mean(p[np.arange(len(y)), y])))
    assert check.refit.shape == (1, 24)
    assert check.grade.letter == "A"


def test_measurement_that_nothing_moves() -> None:
    """A constant function: nothing to compare, each value absent with its reason, B and no NaN."""
    check = checked(classes(LogisticRegression(), 47), measurement=lambda p, y: 1.0)
    assert (check.pearson, check.spearman, check.slope, check.signs) == (None, None, None, None)
    assert check.grade.letter == "B"
    assert "all estimates are 0" in check.grade.reasons[0]
    assert "the estimates do not differ" in text(check)
    assert "nan" not in text(check).lower().split()


def test_single_row() -> None:
    """One refit: its size can be compared, its correlation cannot; B."""
    check = checked(regression(Ridge(), 48), rows=1)
    assert len(check.row_ids) == 1
    assert check.grade.letter == "B"
    assert "only 1 row could be refitted" in " ".join(check.grade.reasons)
    assert "spearman" not in check.comparison.intervals


def test_no_rows_is_refused() -> None:
    """rows=0 is named, with what to give."""
    with pytest.raises(InputError, match=r"rows is 0\. Give the number of rows"):
        checked(regression(Ridge(), 49), rows=0)


def test_refits_without_an_optimum_are_left_out_and_counted() -> None:
    """Separable without a penalty: no refit ends; nothing is compared, nothing is NaN, and it is said."""
    x, _, _ = table(50, n=60, d=2)
    x[:, 0] = np.sign(x[:, 0]) * (np.abs(x[:, 0]) + 1.0)
    check = checked(fitted(LogisticRegression(C=np.inf), x, (x[:, 0] > 0).astype(int)))
    assert check.unfinished == 24
    assert check.refit.shape == (3, 0)
    assert (check.pearson, check.slope) == (None, None)
    assert check.noise_floor is None
    assert "found no optimum" in check.noise.reason
    assert check.grade.letter == "C"
    assert "24 refits found no optimum" in check.grade.reasons
    assert "nan" not in text(check).lower().split()


def test_row_that_alone_holds_a_direction() -> None:
    """It is named where the query reads its direction; a query that does not is answered as any other."""
    asked = alone()
    assert asked.influence.scores(asked.x, asked.y).grade.letter == "C"
    assert asked.influence.scores(asked.x[:2], asked.y[:2]).grade.letter == "B"


@pytest.mark.parametrize(("damping", "letters"), [(1e-6, "BA"), (10.0, "CD")], ids=["a trace", "all"])
def test_damping_that_decides_is_graded_down(damping: float, letters: str) -> None:
    """A damping far below the curvature changes nothing; one far above it makes the scores its own, and is named."""
    asked = regression(Ridge(), 58)
    influence = Influence(asked.influence.adapted, damping=damping)
    check = influence.check(asked.x, asked.y)
    assert check.grade.letter in letters
    said = " ".join(influence.scores(asked.x, asked.y).grade.reasons)
    assert ("twice the damping" in said) == (damping > 1)


def test_few_rows_are_all_refitted() -> None:
    """Twelve rows: all of them are removed, one by one."""
    x, signal, rng = table(51, n=12, d=2)
    check = checked(fitted(Ridge(), x, signal + rng.normal(size=15)))
    assert len(check.row_ids) == 12
    assert check.grade.letter == "A"


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, sp.csr_matrix], ids=["array", "frame", "sparse"])
def test_own_solver_reads_the_rows_as_given(kind: Any) -> None:
    """Arrays, DataFrames and sparse rows alike: the model's own solver agrees with the refit to 1e-6."""
    x, signal, rng = table(52)
    y = signal + rng.normal(size=len(x))
    given = kind(x[:-3])
    model = Ridge(solver="cholesky", fit_intercept=False).fit(given, y[:-3])
    check = Influence.from_sklearn(model, given, y[:-3]).check(kind(x[-3:]), y[-3:])
    assert check.noise.gap == pytest.approx(0.0, abs=1e-6)


def test_own_solver_that_takes_too_long_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large fit is timed on a tenth of its rows; past the limit it is left out, and the reason says how long."""
    asked = classes(LogisticRegression(), 53)
    fits = []
    cold = asked.influence.adapted.cold_refit

    def counting(removed: Any) -> Any:
        fits.append(300 - len(removed))
        return cold(removed)

    asked.influence.adapted = replace(asked.influence.adapted, cold_refit=counting)
    monkeypatch.setattr(own_solver, "NUMBERS", 10)
    monkeypatch.setattr(own_solver, "SECONDS", 0.0)
    check = checked(asked)
    assert len(fits) == 1
    assert fits[0] < 40
    assert check.noise.gap is None
    assert "300 rows with the model's own solver would take about" in check.noise.reason
    assert check.grade.letter == "A"
    monkeypatch.setattr(own_solver, "SECONDS", 1e9)
    assert checked(asked).noise.gap is not None


def test_own_solver_that_cannot_fit_says_why() -> None:
    """Its own error is the reason; a model that cannot be fitted again has another."""
    asked = regression(Ridge(), 54)

    def refuse(removed: Any) -> Any:
        raise InputError("these rows hold every member of a class")

    asked.influence.adapted = replace(asked.influence.adapted, cold_refit=refuse)
    assert checked(asked).noise.reason == "not compared: these rows hold every member of a class"
    asked.influence.adapted = replace(asked.influence.adapted, cold_refit=None)
    check = checked(asked)
    assert check.noise.reason == "not compared: this model cannot be fitted again"
    assert "cannot be fitted again" in text(check)


def test_rare_class_is_never_lost() -> None:
    """With one member of a class, the tenth that leaves never holds it: the own solver is compared."""
    x, _, rng = table(55, n=120)
    y = rng.integers(0, 2, size=len(x))
    y[5] = 2
    check = checked(fitted(LogisticRegression(), x, y))
    assert check.noise.gap is not None


def test_section_says_it_in_words() -> None:
    """Rows removed, correlation, sign, size, noise, own solver, groups and grade, in a terminal and in HTML."""
    asked = classes(LogisticRegression(), 56)
    check = checked(asked)
    said = text(check)
    for words in (
        "24 rows really removed, model refitted: correlation",
        "rank correlation (95 %:",
        "times the estimate (95 %:",
        "refits above the noise and above 1 % of the largest",
        "from its optimum",
        "of the effect away from our refit",
        "similar columns",
        "3 rows whose removal raises it most: estimates add up to",
        "Grade A",
    ):
        assert words in said
    assert "95 %" in check._repr_html_()
    assert check.sentence() in said
    assert max(map(len, str(check).splitlines())) <= 80


def test_regression_speaks_in_its_unit() -> None:
    """The noise and the groups carry the target's own unit."""
    x, signal, rng = table(57)
    y = pd.Series(signal + rng.normal(size=len(x)), name="price")
    model = LinearRegression().fit(x[:-3], y[:-3])
    check = Influence.from_sklearn(model, x[:-3], y[:-3]).check(x[-3:], measurement="prediction")
    assert "price from its optimum" in text(check)


def test_size_rank() -> None:
    """Averaged over queries; a query without spread is left out, none at all is absent."""
    refit = np.asarray([[1.0, -2.0, 3.0], [0.0, 0.0, 0.0]])
    assert size_rank(np.asarray([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]), refit) == pytest.approx(1.0)
    assert size_rank(np.ones((2, 3)), refit) is None
