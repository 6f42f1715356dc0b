"""Kernel and hinge models through the door: exact features, leave-one-out, what they say of their fit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import SGDClassifier
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC

from upweight import Influence
from upweight.adapters import adapt
from upweight.adapters.kernel_map import kernel_map, named_kernel
from upweight.attribution import HeadAttribution
from upweight.errors import UnsupportedQuestion
from upweight.features import DenseFeatures
from upweight.linear_head import LinearHead
from upweight.newton import minimise
from upweight.output_loss import Logistic, Separate
from upweight.params import Params

X, Y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
HERE, THERE = slice(0, 150), slice(150, 160)


def test_features_of_a_kernel_reproduce_it_on_rows_and_queries() -> None:
    """φ(x)·φ(x′) is K(x, x′) where one of the two is a training row; twins add no direction."""
    x = np.concatenate([X[:60], X[:20]])
    kernel = named_kernel("rbf", gamma=0.05)
    mapped, phi = kernel_map(kernel, x, "SVC", 80)
    assert phi.shape == (80, 60)
    np.testing.assert_allclose(phi @ phi.T, kernel(x, x), atol=1e-12)
    np.testing.assert_allclose(mapped(X[THERE]) @ phi.T, kernel(X[THERE], x), atol=1e-11)
    theta = np.random.default_rng(0).normal(size=(1, 60))
    np.testing.assert_allclose(
        mapped.dual(theta) @ kernel(mapped.rows, X[THERE]), theta @ mapped(X[THERE]).T, atol=1e-10
    )


@pytest.mark.parametrize("alpha", [0.1, 3.0])
def test_kernel_ridge_leave_one_out_is_the_closed_form(alpha: float) -> None:
    """y − f without the row is (y − f) / (1 − h), h the diagonal of K(K + α)⁻¹: our score of every row, to 1e-9."""
    x, y = load_diabetes(return_X_y=True)
    x, y = x[:120], (y[:120] - 150) / 50
    model = KernelRidge(kernel="rbf", gamma=20.0, alpha=alpha).fit(x, y)
    kernel = rbf_kernel(x, gamma=20.0)
    hat = np.diag(kernel @ np.linalg.inv(kernel + alpha * np.eye(120)))
    residual = y - model.predict(x)
    found = Influence.from_sklearn(model, x, y).self_influence().values[0]
    truth = 0.5 * ((residual / (1 - hat)) ** 2 - residual**2)
    np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-11)


def test_kernel_logistic_matches_function_space_and_refits() -> None:
    """METHODS.md 2.6 in function values, a row with leverage: the head's step is that one, and near the refit."""
    x, y = X[:80], Y[:80].astype(np.float64)
    lam, n = 2e-3, 80
    kernel = rbf_kernel(x, gamma=0.03)
    _, phi = kernel_map(named_kernel("rbf", gamma=0.03), x, "kernel logistic", n)
    width = phi.shape[1]
    free = np.ones((1, width + 1), dtype=bool)
    free[0, -1] = False
    params = Params(np.zeros((1, width + 1)), free, ("y",), tuple(map(str, range(width + 1))))
    head = minimise(
        LinearHead(
            DenseFeatures(phi, np.float64),
            Separate(Logistic()),
            y,
            np.ones(n),
            params,
            np.full((1, width + 1), lam),
            "sum",
        )
    ).head
    f = head.outputs[:, 0]
    p = 1 / (1 + np.exp(-f))
    d = p * (1 - p) / n
    inverse = np.linalg.solve(lam * np.eye(n) + kernel * d[None, :], kernel)  # (λI + KD)⁻¹K
    row = int(np.argmax(np.diag(inverse) * d))
    leverage = float(d[row] * inverse[row, row])
    step = inverse[:, row] * (p - y)[row] / n / (1 - leverage)
    ready = HeadAttribution(head)
    v = ready.directions(DenseFeatures(phi, np.float64), np.ones((n, 1)))
    ours = ready.removals(v, "leverage").values()[:, row]
    np.testing.assert_allclose(ours, step, rtol=1e-7, atol=1e-10)
    states, settled = ready.refitted([[row]])
    assert settled.all()
    real = (ready.outputs_at(states, DenseFeatures(phi, np.float64))[0, :, 0]) - f
    assert leverage > 0.05
    assert abs(ours[row] / real[row] - 1) < 0.03 < abs(ours[row] * (1 - leverage) / real[row] - 1)


@pytest.mark.parametrize(
    "model", [SVC(), LinearSVC(loss="hinge", max_iter=10**5), make_pipeline(StandardScaler(), SVC(kernel="linear"))]
)
def test_every_question_is_answered(model: Any) -> None:
    """Scores, groups, labels, flips, checks and files of a hinge model, and what its notes say."""
    found = Influence.from_sklearn(model.fit(X[HERE], Y[HERE]), X[HERE], Y[HERE])
    queries, labels = X[THERE], Y[THERE]
    scores = found.scores(queries, labels, measurement="margin")
    top = scores.top(5)
    np.testing.assert_allclose(top["estimate"], top["refit"], rtol=1e-9)
    assert "exact path" in scores.how
    assert any("has kinks" in note and "moves no training output by more than" in note for note in found.adapted.notes)
    check = found.check(queries, labels, measurement="margin")
    assert check.grade.letter in "AB"
    group = found.group([int(i) for i in top["row"]], queries, labels, measurement="margin").refit()
    np.testing.assert_allclose(group.estimate, group.truth, rtol=1e-8, atol=1e-10)
    nearest = int(np.argmin(np.abs(found.attribution.query_outputs(found.adapted.read_query(queries))[:, 0])))
    flip = found.smallest_flip(queries[[nearest]])
    if flip.rows:
        kept = np.setdiff1d(np.arange(150), flip.rows)
        assert len(kept) < 150
        assert flip.before != flip.after
    assert found.relabel(queries[:2], labels[:2]).values.shape == (2, 150, 2)


def test_features_of_a_row_are_refused_for_a_kernel_and_answered_for_a_linear_one() -> None:
    """Another cell would give the row a feature that no training row has."""
    kernel = Influence.from_sklearn(SVC().fit(X[HERE], Y[HERE]), X[HERE], Y[HERE])
    with pytest.raises(UnsupportedQuestion, match=r"SVC reads features of its kernel .* Nystroem"):
        kernel.features(X[THERE], Y[THERE], [3])
    linear = Influence.from_sklearn(SVC(kernel="linear").fit(X[HERE], Y[HERE]), X[HERE], Y[HERE])
    assert linear.features(X[THERE], Y[THERE], [3]).values.shape == (10, 1, 30)


def test_rows_labels_and_order_that_the_model_was_not_fitted_on_are_seen() -> None:
    """The support rows that libsvm keeps are compared; rows off the margin by whether they miss it."""
    model = SVC().fit(X[HERE], Y[HERE])
    fine = adapt(model, X[HERE], Y[HERE])
    assert fine.stationarity.mismatch is None
    off = int(np.setdiff1d(np.arange(150), model.support_)[0])
    held = int(model.support_[0])

    def turned(i: int) -> Any:
        y = Y[HERE].copy()
        y[i] = 1 - y[i]
        return y

    assert "to the other side" in str(adapt(model, X[HERE], turned(held)).stationarity.mismatch)
    assert "misses its margin" in str(adapt(model, X[HERE], turned(off)).stationarity.mismatch)
    back = slice(None, None, -1)
    assert "not these rows" in str(adapt(model, X[HERE][back], Y[HERE][back]).stationarity.mismatch)
    assert "go up to position" in str(adapt(model, X[:100], Y[:100]).stationarity.mismatch)
    weighted = adapt(model, X[HERE], Y[HERE], np.linspace(0.1, 3.0, 150)).stationarity
    assert weighted.mismatch is not None


def test_a_fit_that_stopped_early_is_said_and_finished() -> None:
    """At the limit of its steps, or of SGD: unconverged, and taken to the optimum that the full fit has."""
    with pytest.warns(Warning, match="terminated early"):
        early = SVC(kernel="linear", max_iter=10).fit(X[HERE], Y[HERE])
    adapted = adapt(early, X[HERE], Y[HERE])
    assert "ran into its limit" in str(adapted.stationarity.unconverged)
    full = SVC(kernel="linear", tol=1e-9).fit(X[HERE], Y[HERE])
    ready = adapted.attribution(adapted.objective, "auto", 0.0)
    np.testing.assert_allclose(ready.outputs[:, 0], full.decision_function(X[HERE]), atol=1e-4)
    sgd = SGDClassifier(alpha=0.05, random_state=0).fit(X[HERE], Y[HERE])
    assert "SGD stops by its own steps" in str(adapt(sgd, X[HERE], Y[HERE]).stationarity.unconverged)


@pytest.mark.parametrize("model", [LinearSVC(loss="hinge", max_iter=10**6), SVC()], ids=["proved", "free intercept"])
def test_refits_side_by_side_are_certified_as_one_alone(model: Any) -> None:
    """By the gap to the path's dual, not by how the rounded loss bends."""
    found = Influence.from_sklearn(model.fit(X[HERE], Y[HERE]), X[HERE], Y[HERE])
    rows = [[int(i)] for i in np.argsort(-np.abs(found.self_influence().values[0]))[:3]]
    for one, side in zip(rows, found.without_each(rows), strict=True):
        alone = found.without(one)
        assert side.certificate.sentence == alone.certificate.sentence
        assert side.certificate.outputs_within == alone.certificate.outputs_within
        assert side.certificate.proof == isinstance(model, LinearSVC)


def test_gamma_that_was_found_stays_in_refits() -> None:
    """gamma="scale" would depend on the rows that are left; the convention says that it is frozen."""
    model = SVR().fit(X[HERE], X[HERE, 0])
    adapted = adapt(model, X[HERE], X[HERE, 0])
    assert "frozen: gamma" in adapted.convention
    assert adapted.cold_refit is not None
    assert adapted.cold_refit([0, 1, 2])._gamma == model._gamma


def test_kinks_that_are_rounded_are_within_a_hundredth_of_the_margin() -> None:
    """The rule of the width: the rounded optimum's outputs beside the true one's."""
    adapted = adapt(SVC(C=10.0).fit(X[HERE], Y[HERE]), X[HERE], Y[HERE])
    ready = adapted.attribution(adapted.objective, "auto", 0.0)
    assert np.max(np.abs(adapted.objective.outputs - ready.outputs)) <= 0.01
    assert replace(adapted.stationarity, moved=0.0).polished
